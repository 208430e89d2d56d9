"""Whether a map has the detail of the truth: a blurred map may win by RMSE, but not here."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import metrics
from phenolib.errors import InputError

LAGS = (1, 2, 4, 8, 16)  # pixels
BLOCK = 30  # pixels: side of the squares that are drawn for intervals, one coarse cell


def variogram_ratio(found, truth, *, lags=LAGS, block=BLOCK, level=0.95, draws=1000, seed=0):
    """The variogram of maps over that of the truth, by distance: 1 has as much detail, below 1 is blurred.

    γ(h) = ½ mean (θ(s) − θ(s + h))²  over all pairs of pixels h apart along rows and columns, and over all days

    found, truth  ([time,] y, x) DataArrays or arrays [m³ m⁻³]; pairs of pixels that both have count
    lags          h [pixels]
    block         squares of so many pixels are drawn whole for the interval: project default, one cell of 0.25° at 1 km
    level, draws, seed   of the interval
    returns       DataFrame by lag: ratio, low, high, gamma and gamma_truth [(m³ m⁻³)²], pairs
    raises        InputError for maps of different shape, lags beyond the map, or a truth without any detail

    The ratio says how much detail there is, not whether it is in the right place: see ``within_cell``. Noise of its
    own raises it.

    >>> truth = np.random.default_rng(0).normal(size=(64, 64))
    >>> round(float(variogram_ratio(truth / 2, truth, lags=(1,))["ratio"].iloc[0]), 3)
    0.25
    """
    found, truth = _maps(found, truth)
    rows, columns = found.shape[1:]
    member = _member(rows, columns, block)
    lines = {}
    for lag in lags:
        if not 1 <= lag < min(rows, columns):
            raise InputError(f"lag = {lag} does not fit on maps of {rows} × {columns} pixels; give 1 or more and less "
                             "than both")
        sums = np.zeros((member.max() + 1, 3))  # (block, found truth pairs)
        for axis in (1, 2):
            (a, b), (c, d) = (_apart(v, lag, axis) for v in (found, truth))
            steps = [(b - a)**2 / 2, (d - c)**2 / 2]
            good = np.isfinite(steps[0]) & np.isfinite(steps[1])
            where = _apart(member[None], lag, axis)[0][0].ravel()
            each = [*(np.where(good, s, 0).sum(0).ravel() for s in steps), good.sum(0).ravel()]
            sums += np.stack([np.bincount(where, e, len(sums)) for e in each], -1)
        total = sums.sum(0)
        if not total[2]:
            raise InputError(f"no two pixels {lag} apart have a value in both maps")
        if not total[1] > 0:
            raise InputError(f"the truth is the same at all pixels {lag} apart; a ratio needs a truth that differs")
        bounds = _bounds(sums, lambda s: s[..., 0] / s[..., 1], level, draws, seed)
        lines[lag] = {"ratio": total[0] / total[1], **bounds,
                      "gamma": total[0] / total[2], "gamma_truth": total[1] / total[2], "pairs": int(total[2])}
    return pd.DataFrame(lines).T.astype({"pairs": int}).rename_axis("lag")


def edge_contrast(found, truth, *, cover=None, share=0.1, block=BLOCK, level=0.95, draws=1000, seed=0):
    """How much of the contrast across edges of the truth a map shows: 1 all of it, 0 none.

    contrast = Σ Δθ · sign Δθ_true / Σ |Δθ_true|  over neighbouring pixels on both sides of an edge

    found, truth  ([time,] y, x) [m³ m⁻³]
    cover         (y, x) classes: an edge is where two neighbours differ in class; missing: no edge. None: the share of
                  neighbours that differ most in the truth, each day
    share         of them [-]
    block, level, draws, seed   as ``variogram_ratio``
    returns       dict value [-], interval, n (pairs): the arguments of ``report.record``
    raises        InputError for maps of different shape, or no edge with a value in both

    Noise of the map that is not in the truth does not count, for its sign is that of the truth by chance.
    """
    found, truth = _maps(found, truth)
    member = _member(*found.shape[1:], block)
    steps = []
    for axis in (1, 2):
        (a, b), (c, d) = (_apart(v, 1, axis) for v in (found, truth))
        edge = None
        if cover is not None:
            one, two = (v[0] for v in _apart(_cover(cover, found)[None], 1, axis))
            edge = (one != two) & np.isfinite(one) & np.isfinite(two)
        steps.append((b - a, d - c, edge, _apart(member[None], 1, axis)[0][0]))
    if cover is None:
        size = np.concatenate([np.abs(np.where(np.isfinite(f), t, np.nan)).reshape(len(t), -1) for f, t, _, _ in steps],
                              1)
        size.sort(1)  # NaN to the end
        place = np.floor((1 - share) * np.isfinite(size).sum(1)).astype(int)
        least = np.take_along_axis(size, np.minimum(place, size.shape[1] - 1)[:, None], 1)[:, 0]
    sums = np.zeros((member.max() + 1, 3))
    for over, true, edge, where in steps:
        at = np.broadcast_to(edge, true.shape) if cover is not None else np.abs(true) >= least[:, None, None]
        at = at & np.isfinite(over) & np.isfinite(true)
        each = [np.where(at, over * np.sign(true), 0), np.where(at, np.abs(true), 0), at]
        sums += np.stack([np.bincount(where.ravel(), e.sum(0).ravel(), len(sums)) for e in each], -1)
    total = sums.sum(0)
    if not total[1] > 0:
        raise InputError("no edge of the truth has a value in both maps; give the land cover, or a larger share")
    bounds = _bounds(sums, lambda s: s[..., 0] / s[..., 1], level, draws, seed)
    return _record(total[0] / total[1], bounds, total[2], "no edge")


def within_cell(found, truth, *, cell=BLOCK, least=0.3, level=0.95, draws=1000, seed=0):
    """Detail within coarse cells: the deviations from the mean of the cell and day, of a map and of the truth.

    d = θ − mean of θ over the cell;  correlation of d with the true d, SD(d) / SD(true d), RMSE of d against true d

    found, truth  ([time,] y, x) [m³ m⁻³], the first pixel at the corner of a cell
    cell          side of a cell [pixels]
    least         share of its pixels with a value that a cell and day needs [-]
    level, draws, seed   of the intervals, by drawing cells
    returns       {"correlation", "sd_ratio", "rmse"} → dict value, interval, n (cells)
    raises        InputError for maps of different shape or no whole number of cells

    All pixels, cells and days are one sample. A map that copies the coarse cell, or one that is smooth between cells,
    has no correlation here worth the name, whatever its RMSE.
    """
    found, truth = _maps(found, truth)
    days, rows, columns = found.shape
    if rows % cell or columns % cell:
        raise InputError(f"maps of {rows} × {columns} pixels are no whole cells of {cell}; cut them to cells")
    good = np.isfinite(found) & np.isfinite(truth)

    def by_cell(v):
        return v.reshape(days, rows // cell, cell, columns // cell, cell).transpose(1, 3, 0, 2, 4).reshape(
            -1, days, cell * cell)  # (cell, day, pixel)

    good = by_cell(good)
    good &= (good.mean(-1) >= least)[..., None]
    count = good.sum(-1)
    moved = []
    for v in (found, truth):
        v = np.where(good, by_cell(v), 0)
        moved.append(np.where(good, v - (v.sum(-1) / np.maximum(count, 1))[..., None], 0))
    p, o = moved
    sums = np.stack([count.sum(-1), *((v).sum((-1, -2)) for v in (p * p, o * o, p * o))], -1).astype(float)
    sums = sums[sums[:, 0] > 0]
    total = sums.sum(0)
    if not len(sums) or not total[2] > 0:
        raise InputError("no cell has pixels of both maps that differ; compare the extent of both")
    flat = total[1] < 1e-12 * total[2]
    kinds = {"correlation": lambda s: s[..., 3] / np.sqrt(np.where(flat, 0, s[..., 1] * s[..., 2])),
             "sd_ratio": lambda s: np.sqrt(s[..., 1] / s[..., 2]),
             "rmse": lambda s: np.sqrt(np.maximum(s[..., 1] - 2 * s[..., 3] + s[..., 2], 0) / s[..., 0])}
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: _record(how(total), _bounds(sums, how, level, draws, seed), len(sums),
                              "the map does not differ within cells") for name, how in kinds.items()}


def _maps(found, truth):
    """Both as (time, y, x) float arrays of one shape; DataArrays by their coordinates."""
    if isinstance(found, xr.DataArray) and isinstance(truth, xr.DataArray):
        order = [d for d in ("time", "y", "x") if d in truth.dims]
        if set(found.dims) != set(order):
            raise InputError(f"the map has the dimensions {', '.join(map(str, found.dims))}, the truth "
                             f"{', '.join(order)}; give both the same")
        sizes = {d: (found.sizes[d], truth.sizes[d]) for d in ("y", "x")}
        for name, (own, true) in sizes.items():
            if own != true or not np.allclose(found[name], truth[name], atol=1e-5):
                raise InputError(f"map and truth differ in {name} ({own} and {true} pixels, or shifted); bring one to "
                                 "the grid of the other")
        if "time" in order:
            days = np.intersect1d(found["time"], truth["time"])
            found, truth = found.sel(time=days), truth.sel(time=days)
        found, truth = found.transpose(*order), truth.transpose(*order)
    found, truth = (np.asarray(v, float) for v in (found, truth))
    if found.shape != truth.shape or found.ndim not in (2, 3) or not found.size:
        raise InputError(f"map and truth have the shapes {found.shape} and {truth.shape}; give both as ([time,] y, x) "
                         "with days in common")
    return (found, truth) if found.ndim == 3 else (found[None], truth[None])


def _cover(cover, found):
    cover = np.asarray(cover, float)
    if cover.shape != found.shape[1:]:
        raise InputError(f"the land cover has the shape {cover.shape}, the maps {found.shape[1:]}; give both one grid")
    return cover


def _member(rows, columns, block):
    """(y, x) number of the square of ``block`` pixels."""
    wide = -(-columns // block)
    return np.arange(rows)[:, None] // block * wide + np.arange(columns)[None] // block


def _apart(v, lag, axis):
    """(time, y, x) twice: all pixels with a partner ``lag`` further along the axis, and the partners."""
    end = v.shape[axis]
    return (np.take(v, np.arange(end - lag), axis), np.take(v, np.arange(lag, end), axis))


def _bounds(sums, how, level, draws, seed):
    """Interval of a figure of sums (block, …) by drawing blocks with something in them."""
    sums = sums[sums[:, -1 if sums.shape[1] == 3 else 0] > 0]
    if len(sums) < 2:
        return {"low": np.nan, "high": np.nan}
    times = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), draws)
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = metrics.percentiles(how(times @ sums), level)
    return {"low": float(low), "high": float(high)}


def _record(value, bounds, n, why):
    if not np.isfinite(value):
        return {"value": None, "why": why}
    interval = None if np.isnan(bounds["low"]) else (bounds["low"], bounds["high"])
    return {"value": float(value), "interval": interval, "n": int(n)}
