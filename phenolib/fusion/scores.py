"""Errors of fused images, with intervals that know that neighbours and days are not independent."""

import numpy as np
import pandas as pd

from phenolib.errors import InputError
from phenolib.fusion.images import estarfm, starfm


def scores(found, truth, *, block=30, level=0.95, draws=2000, seed=0):
    """Errors of several methods on the pixels and days that all of them have.

    Days and square blocks are drawn with replacement, each for itself, and every method by the same draws: an error is
    alike within a block on a day, from day to day in one block, and from block to block on one day.

    found    {name: (…, y, x)} what each method gives, e.g. (time, y, x); the first is held against the others
    truth    (…, y, x) what it is held against, same unit; NaN where nothing is known
    block    side of the blocks [pixels]
    level    of the intervals [-]
    draws    of the bootstrap
    returns  DataFrame by method: n (pixels and days), share (of those with a truth that it has), rmse, bias and r with
             rmse_low and rmse_high, and ratio, ratio_low, ratio_high: of the first method's RMSE to its own
    raises   InputError for shapes that differ

    >>> truth = np.arange(32.0).reshape(2, 4, 4)
    >>> scores({"good": truth + 1, "bad": truth - 2}, truth, block=2, draws=20)[["n", "rmse", "bias", "ratio"]].values
    array([[32. ,  1. ,  1. ,  1. ],
           [32. ,  2. , -2. ,  0.5]])
    """
    truth = np.asarray(truth, float)
    layers = {name: np.asarray(values, float) for name, values in found.items()}
    for name, values in layers.items():
        if values.shape != truth.shape or truth.ndim < 2:
            raise InputError(f"'{name}' has the shape {values.shape}, the truth {truth.shape}; give both (…, y, x)")
    truth, *rest = (part.reshape(-1, *part.shape[-2:]) for part in (truth, *layers.values()))
    layers = dict(zip(layers, rest))
    known = np.isfinite(truth)
    both = known & np.all([np.isfinite(values) for values in layers.values()], axis=0)
    if not both.any():
        raise InputError("no pixel has a value by every method and in the truth; check dates and places")
    days, rows, columns = truth.shape
    part = (np.arange(rows)[:, None] // block * -(-columns // block) + np.arange(columns)[None] // block).ravel()
    count = part.max() + 1

    def sums(values):
        values = np.where(both, values, 0).reshape(days, -1)
        return np.stack([np.bincount(part, row, count) for row in values])  # (day, block)

    rng = np.random.default_rng(seed)
    day, place = (rng.multinomial(size, np.full(size, 1 / size), draws).astype(float) for size in (days, count))

    def drawn(table):
        return np.einsum("id,db,ib->i", day, table, place, optimize=True)

    n = sums(np.ones(truth.shape))
    weights, tail = drawn(n), (1 - level) / 2
    result, root = [], {}
    for name, values in layers.items():
        error = values - truth
        square = sums(error**2)
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw without a pixel; a truth that is constant
            likeness = np.corrcoef(values[both], truth[both])[0, 1]
            root[name] = np.sqrt(square.sum() / n.sum()), np.sqrt(drawn(square) / weights)
        result.append({"n": int(n.sum()), "share": float((known & np.isfinite(values)).sum() / known.sum()),
                       "rmse": root[name][0], "bias": float(error[both].mean()),
                       "r": float(likeness)})
    table = pd.DataFrame(result, index=pd.Index(layers, name="method"))
    first = next(iter(layers))
    for name, (value, some) in root.items():
        table.loc[name, ["rmse_low", "rmse_high"]] = np.nanquantile(some, [tail, 1 - tail])
        ratio = root[first][1] / some
        table.loc[name, "ratio"] = root[first][0] / value
        table.loc[name, ["ratio_low", "ratio_high"]] = np.nanquantile(ratio, [tail, 1 - tail])
    return table


def hold_out(fine, coarse, which, **options):
    """What several methods give for a fine image from the others, its nearest two in time at the most.

    fine     (time, …, y, x) DataArray of the fine images, with coordinate time
    coarse   the same of the coarse ones, of the same dates and perhaps more, on the fine grid
    which    position in ``fine`` of the one that is held out
    options  half, classes, valid of ``estarfm`` and ``starfm``
    returns  {method: (…, y, x)}: ESTARFM, STARFM, the coarse image of the day, added change (the nearest base image
             plus the change of the coarse one), and no change (the base image)
    raises   InputError for a single fine image, and as ``estarfm`` does
    """
    if fine.sizes["time"] < 2:
        raise InputError("one fine image; give two or more, so that one can be held out")
    day = fine["time"].values[which]
    rest = fine.isel(time=[k for k in range(fine.sizes["time"]) if k != which % fine.sizes["time"]])
    away = np.abs(rest["time"].values - day)
    pick = np.sort(np.argsort(away, kind="stable")[:2])
    base, near = rest.values[pick], int(np.argmin(away[pick]))
    level, at = coarse.sel(time=rest["time"][pick]).values, coarse.sel(time=day).values
    return {"ESTARFM": estarfm(base, level, at, **options)["fused"].values,
            "STARFM": starfm(base, level, at, **options)["fused"].values,
            "coarse": at, "added change": base[near] + at - level[near], "no change": base[near]}


def result(table, method, what="rmse"):
    """One number of ``scores`` as the arguments of ``report.record``: value, interval and n."""
    row = table.loc[method]
    return {"value": float(row[what]), "interval": (float(row[f"{what}_low"]), float(row[f"{what}_high"])),
            "n": int(row["n"])}


def by_spread(found, spread, truth, *, parts=10):
    """Error where the spread is small and where it is large.

    found, spread, truth  arrays of one shape: fused values, their ``sd``, and what they are held against
    parts                 of equal size, from the smallest spread to the largest
    returns               DataFrame by part: spread (median), rmse, n
    """
    table = pd.DataFrame({name: np.asarray(part, float).ravel() for name, part in
                          (("spread", spread), ("found", found), ("truth", truth))}).dropna()
    part = np.arange(len(table)) * parts // max(len(table), 1) + 1
    table = table.sort_values("spread", kind="stable")
    square = (table["found"] - table["truth"]) ** 2
    made = pd.DataFrame({"spread": table["spread"].groupby(part).median(), "rmse": np.sqrt(square.groupby(part).mean()),
                         "n": square.groupby(part).size()})
    return made.rename_axis("part")
