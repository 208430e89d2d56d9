"""Fusion of base pairs: arguments checked and scaled, then handed to the compiled passes."""

import functools
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import home, lock

SIGNIFICANT = 0.05  # p of a slope that is believed
CHANGE = 0.02  # least change of the coarse image, as a share of the range of values
CONVERSIONS = "none", "values", "changes"  # in the order of the compiled code
NOISE = 0.005  # STARFM: error of a difference, as a share of the range of values; project default
UNIT = 1e-4  # STARFM: one unit of a difference, as a share of the range of values
OUTSIDE = 0.05  # share of values that may lie outside of the valid range


@functools.cache
def kernel(name):
    """A compiled function of ``fusion.kernel``; one process at a time compiles it or reads it from disk."""
    ready = []

    def call(*arguments):
        with nullcontext() if ready else lock(home() / "cache" / "compile.lock"):
            result = getattr(import_module("phenolib.fusion.kernel"), name)(*arguments)
        ready.append(True)
        return result

    return call


@dataclass(frozen=True)
class Scale:
    """What the tiles of a scene must know of the whole, so that they give its numbers.

    tolerance  (pair, band) how much similar pixels may differ, 2 σ / classes [unit of the image]
    low, high  (band,) range of the values [unit of the image]
    """

    tolerance: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, fine, coarse, *, classes=4, valid=None):
        """The scale of a whole scene; arguments as in ``estarfm``."""
        return cls._of(*_pairs(fine, coarse, valid), classes, valid)

    @classmethod
    def _of(cls, fine, coarse, classes, valid):
        if not classes >= 1:
            raise InputError(f"classes = {classes}; give 1 or more, e.g. 4")
        bases, bands = fine.shape[:2]
        sigma = np.array([[np.nanstd(fine[k, b], dtype=float, ddof=1) for b in range(bands)] for k in range(bases)])
        low, high = np.empty(bands), np.empty(bands)
        for b in range(bands):
            low[b], high[b] = valid or (min(np.nanmin(a[:, b]) for a in (fine, coarse)),
                                        max(np.nanmax(a[:, b]) for a in (fine, coarse)))
        return cls((2 * sigma / classes).astype(np.float32), low, high)


class Pair:
    """One or two base dates of a fine and a coarse image, ready to predict any number of dates.

    Arguments as in ``estarfm``. Similar pixels, their weights and the conversion coefficient depend on the base dates
    alone: ``at`` finds them once for all the dates that it is given.
    """

    def __init__(self, fine, coarse, *, half=25, classes=4, valid=None, conversion="values", scale=None):
        if conversion not in CONVERSIONS:
            raise InputError(f"conversion = '{conversion}'{near(conversion, CONVERSIONS)}")
        if not isinstance(half, (int, np.integer)) or half < 1:
            raise InputError(f"half = {half!r}; give the half width of the window, a whole number of fine pixels")
        self.grid = fine if isinstance(fine, xr.DataArray) else coarse
        self.banded = np.ndim(fine) == 4
        self.half, self.valid, self.conversion = int(half), valid, CONVERSIONS.index(conversion)
        self.fine, self.coarse = _pairs(fine, coarse, valid)
        self.scale = scale or Scale._of(self.fine, self.coarse, classes, valid)
        if self.scale.tolerance.shape != self.fine.shape[:2]:
            raise InputError(f"scale is of {self.scale.tolerance.shape} pairs and bands, the images have "
                             f"{self.fine.shape[:2]}; make it from the whole of the same images")

    @functools.cached_property
    def unlike(self):
        """(y · x) 1 − R: how unlike the fine and the coarse image are in a pixel, 0 to 2."""
        return _unlike(self.fine, self.coarse, self.scale).ravel()

    @functools.cached_property
    def distance(self):
        """(w · w) 1 + distance to the middle of the window, in half windows."""
        step = np.arange(-self.half, self.half + 1) / self.half
        return (1 + np.hypot(step[:, None], step[None])).astype(np.float32).ravel()

    def at(self, coarse_at, *, uncertainty=False, tile=None, threads=1, _fit=None):
        """ESTARFM for the dates of coarse images (band, y, x) or (date, band, y, x); see ``estarfm``."""
        later = self._later(coarse_at)
        mean = np.empty((len(self.coarse), *later.shape), np.float32)
        for k, base in enumerate(self.coarse):
            for b, one in enumerate(base):
                kernel("box")(later[b] - one, self.half, np.empty((4, one.shape[1]), np.float32), mean[k, b])
        limits = np.array(self.valid if self.valid else (-np.inf, np.inf), np.float32)
        fit = _believed(2 * self.distance.size) if _fit is None else _fit
        fused = np.empty(later.shape, np.float32)
        spread = np.empty(later.shape if uncertainty else (*later.shape[:2], 0, 0), np.float32)
        count = np.empty(later.shape[2:], np.int32)
        dated = np.ascontiguousarray(np.moveaxis(later, 1, -1))
        flat = [_flat(part) for part in (self.fine, self.coarse, mean, fused, spread, count)]
        size = self.distance.size + 1

        def work(area):
            space = (np.empty(2 * self.half + 1, np.uint8), np.empty(size, np.uint32), np.empty(size, np.uint32),
                     np.empty(size, np.float32), np.empty(len(self.fine), np.bool_))
            kernel("estarfm")(
                *flat[:2], dated.reshape(len(dated), -1, later.shape[1]), self.unlike, flat[2], self.scale.tolerance,
                self.distance, CHANGE * (self.scale.high - self.scale.low), fit, self.conversion, limits, self.half,
                area, count.shape, space, np.empty((len(self.fine), 3, later.shape[1]), np.float32), *flat[3:])

        self._each(tile, threads, work)
        return self._dataset(coarse_at, later, fused, spread if uncertainty else None, count)

    def starfm(self, coarse_at, *, tile=None, threads=1):
        """STARFM for the dates of coarse images; see ``starfm``."""
        later = self._later(coarse_at)
        fused, count = np.empty(later.shape, np.float32), np.empty(later.shape[2:], np.int32)
        span = (self.scale.high - self.scale.low).astype(np.float32)
        flat = [_flat(part) for part in (self.fine, self.coarse, later, fused, count)]
        size = len(self.fine), self.distance.size + 1

        def work(area):
            space = (np.empty(2 * self.half + 1, np.uint8), np.empty(size, np.uint32), np.empty(size, np.uint32),
                     np.empty(size[0], np.int64), np.empty(size[0], np.bool_))
            kernel("starfm")(*flat[:3], self.scale.tolerance, self.distance, np.float32(NOISE * 2 ** 0.5) * span,
                             np.float32(UNIT) * span, self.half, area, count.shape, space, *flat[3:])

        self._each(tile, threads, work)
        return self._dataset(coarse_at, later, fused, None, count)

    def pixel(self, y, x, coarse_at, *, band=0):
        """How one pixel is predicted on one date, step by step: what ``at`` does, to be looked at.

        y, x       row and column of the pixel, which both base dates must have
        coarse_at  (y, x) or (band, y, x)
        returns    Dataset of the window (y, x): fine (pair, y, x), similar (bool), weight (0 where not similar),
                   likeness R, change (pair, y, x) of the coarse image to the date; and of the pixel: slope V,
                   values_fine and values_coarse (pair, value) that it was drawn from, base (pair) fine value,
                   predicted (pair), trust (pair) T, and fused
        raises     InputError for a pixel outside of the image or that a base date lacks
        """
        bases, _, rows, columns = self.fine.shape
        if not (0 <= y < rows and 0 <= x < columns) or not np.isfinite(self.fine[:, :, y, x]).all():
            raise InputError(f"the pixel ({y}, {x}) is outside of the image or missing at a base date; take another")
        later = self._later(coarse_at)[:, 0]
        top, left = max(y - self.half, 0), max(x - self.half, 0)
        part = np.s_[..., top:y + self.half + 1, left:x + self.half + 1]
        fine, coarse = self.fine[part].astype(float), self.coarse[part].astype(float)
        apart = np.abs(fine - self.fine[:, :, y, x, None, None])
        similar = (apart <= self.scale.tolerance[:, :, None, None]).all((0, 1))
        unlike = self.unlike.reshape(rows, columns)[part].astype(float)
        ys, xs = np.arange(similar.shape[0]) + top - y, np.arange(similar.shape[1]) + left - x
        weight = similar / (unlike * (1 + np.hypot(ys[:, None], xs[None]) / self.half) + 1e-7)
        weight /= weight.sum()
        f, c = fine[:, band][:, similar], coarse[:, band][:, similar]
        span = (self.scale.high - self.scale.low)[band]
        rate, table = 1.0, _believed(2 * self.distance.size)
        if bases == 2 and self.conversion and similar.sum() > 5 and abs(np.diff(c.mean(1))[0]) >= CHANGE * span:
            a, b = (f[0] - f[1], c[0] - c[1]) if self.conversion == 2 else (f - f.mean(), c - c.mean())
            fit = (a * b).sum() / (b * b).sum(), (a * b).sum() ** 2 / ((a * a).sum() * (b * b).sum())
            n = f.size if self.conversion == 1 else f.shape[1] + 1
            rate = fit[0] if 0 < fit[0] <= 5 and fit[1] >= table[0, n] else 1.0
        change = later[band][part[1:]] - coarse[:, band]
        mean = np.nanmean(change, axis=(1, 2))
        known = np.where(np.isfinite(change), weight, 0)
        step = np.nansum(known * change, axis=(1, 2)) / known.sum((1, 2))
        step = rate * step if similar.sum() > 5 else mean
        base = self.fine[:, band, y, x].astype(float)
        trust = 1 / (np.abs(mean) + 1e-7)
        trust /= trust.sum()
        window = "y", "x"
        return xr.Dataset(
            {"fine": (("pair", *window), fine[:, band]), "similar": (window, similar), "weight": (window, weight),
             "likeness": (window, 1 - unlike),
             "change": (("pair", *window), change), "slope": rate, "values_fine": (("pair", "value"), f),
             "values_coarse": (("pair", "value"), c), "base": ("pair", base), "predicted": ("pair", base + step),
             "trust": ("pair", trust), "fused": (trust * (base + step)).sum()}, {"y": ys, "x": xs})

    def _later(self, coarse_at):
        """The coarse images to be predicted from as (band, date, y, x)."""
        values = np.asarray(coarse_at, np.float32)
        bands, *grid = self.fine.shape[1:]
        most = 3 + self.banded
        if values.ndim not in (most - 1, most) or list(values.shape[-2:]) != grid or (
                self.banded and values.shape[-3] != bands):
            asked = "(band, y, x) or (date, band, y, x)" if self.banded else "(y, x) or (date, y, x)"
            raise InputError(f"coarse_at has the shape {values.shape}, the pairs have {bands} bands of {tuple(grid)}; "
                             f"give {asked} on the fine grid")
        _same_grid(self.grid, coarse_at, "coarse_at")
        if self.valid is not None:
            _within(values, "coarse_at", self.valid)
        values = np.ascontiguousarray(values.reshape(-1, bands, *grid).swapaxes(0, 1))
        _alike(self.coarse.swapaxes(0, 1).reshape(bands, -1), values.reshape(bands, -1), "coarse", "coarse_at",
               apart=20)
        return values

    def _each(self, tile, threads, work):
        """Call ``work`` for each tile of the image, on threads."""
        rows, columns = self.fine.shape[2:]
        side = tile or (max(rows, columns) if threads == 1 else -(-max(rows, columns) // (2 * threads)))
        if side < 1:
            raise InputError(f"tile = {tile}; give the side of a tile in pixels")
        areas = [(y, min(y + side, rows), x, min(x + side, columns))
                 for y in range(0, rows, side) for x in range(0, columns, side)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, areas))

    def _dataset(self, coarse_at, later, fused, spread, count):
        """What was found as a Dataset with the dimensions of ``coarse_at``."""
        shape = np.shape(coarse_at)
        dims, coords = ("date", "band", "y", "x")[4 - len(shape):], {}
        if not self.banded and len(shape) == 3:
            dims = "date", "y", "x"
        if isinstance(coarse_at, xr.DataArray):
            dims, coords = coarse_at.dims, coarse_at.coords

        def back(values):
            return values.swapaxes(0, 1).reshape(shape)

        found = xr.Dataset({"fused": (dims, back(fused))}, coords)
        if spread is not None:
            found["sd"] = dims, back(spread)
        found["n_similar"] = dims[-2:], count
        there, made = (np.isfinite(part).all(0) for part in (later, fused))
        there, made = (there | made).sum((1, 2)), made.sum((1, 2))  # some without a coarse value are found from others
        share = np.divide(made, there, out=np.full(made.shape, np.nan), where=there > 0)
        dated = len(shape) == 3 + self.banded
        found["share"] = (dims[:1], share) if dated else ((), share[0])
        return found


def estarfm(fine, coarse, coarse_at, *, half=25, classes=4, valid=None, conversion="values", uncertainty=False,
            scale=None, tile=None, threads=1):
    """Fine images at dates with a coarse image, from one or two base dates with both (ESTARFM).

        F(t_p) = Σ_k T_k [ F(t_k) + V Σ_i W_i (C_i(t_p) − C_i(t_k)) ]

    i runs over the similar pixels of the window: |F_i − F| ≤ 2σ/classes in every band at both base dates. W_i falls
    with distance and with 1 − R_i, R the likeness of fine and coarse image in pixel i. V is the slope of fine on coarse
    values of the similar pixels at both dates, 1 where it tells nothing (p > 0.05 by the F test, outside 0–5, or the
    coarse image changed by less than 2 % of the range). T_k falls with the change of the coarse window since t_k.

    A missing value is never used and never filled: a pixel that one base date lacks is predicted from the other, one
    that both lack stays missing, and one without coarse values about it as well. From one base date V is 1.

    fine         (pair, y, x) or (pair, band, y, x) fine images at one or two base dates; NaN is missing
    coarse       the same shape: coarse images at the base dates, resampled to the fine grid, same unit
    coarse_at    (y, x) or (date, y, x), with band (band, y, x) or (date, band, y, x), on the fine grid
    half         half width of the window [fine pixels]; 25 for 30 m and 500 m, 7 to 12 for 1 km and 5 km
    classes      of land cover; more makes similar pixels more alike
    valid        (low, high) values that are possible [unit of the image]; what comes out beyond is replaced by the
                 weighted mean of the similar pixels. Default any
    conversion   of ``CONVERSIONS``: V from the values at both dates, as published; from the changes of each pixel
                 between them, so that the pattern within the coarse image does not flatten the slope; or none, V = 1
    uncertainty  also give ``sd``
    scale        ``Scale`` of the whole scene, where these images are a tile of it with an overlap of ``half``
    tile         side of the tiles that threads work on [pixels]; the numbers do not depend on it
    threads      that work at a time
    returns      Dataset with the dimensions of ``coarse_at``: fused; sd, of what the similar pixels predict (each
                 F(t_k) + V ΔC_i, with its weight T_k W_i; no error of the fine image itself) [unit of the image];
                 n_similar (y, x); share that was predicted of the pixels with a coarse value or a prediction [-]
    raises       InputError for shapes or grids that differ, a base date without a value, values outside ``valid``,
                 and fine and coarse images that are not of one unit

    Zhu et al. (2010). Missing data, sd and one base date are ours.
    """
    pair = Pair(fine, coarse, half=half, classes=classes, valid=valid, conversion=conversion, scale=scale)
    return pair.at(coarse_at, uncertainty=uncertainty, tile=tile, threads=threads)


def starfm(fine, coarse, coarse_at, *, half=25, classes=4, valid=None, scale=None, tile=None, threads=1):
    """Fine images at dates with a coarse image, by weights of likeness alone (STARFM), the simpler method.

        F(t_p) = Σ_k Σ_i W_ik (F_i(t_k) + C_i(t_p) − C_i(t_k)),  W ∝ 1 / (S · T · D)

    S = |F_i − C_i| at t_k, T = |C_i(t_k) − C_i(t_p)|, both in units of 1/10,000 of the range plus 1, D as in ESTARFM.
    Pixels alike to the middle at t_k are used whose S and T do not exceed its own by more than the error.

    Arguments and result as in ``estarfm``, without sd; n_similar is of the base date with more of them.

    Gao et al. (2006). Error and unit as shares of the range of values are project defaults.
    """
    pair = Pair(fine, coarse, half=half, classes=classes, valid=valid, scale=scale)
    return pair.starfm(coarse_at, tile=tile, threads=threads)


def _pairs(fine, coarse, valid):
    """Both as (pair, band, y, x) float32, NaN in both where one of them has no value in some band."""
    shape = np.shape(fine)
    if shape != np.shape(coarse) or len(shape) not in (3, 4):
        raise InputError(f"fine has the shape {shape}, coarse {np.shape(coarse)}; give both as (pair, y, x) or "
                         "(pair, band, y, x), the coarse image resampled to the fine grid")
    if not 1 <= shape[0] <= 2:
        raise InputError(f"{shape[0]} base pairs; give one, or the two about the dates that are wanted")
    _same_grid(fine, coarse, "coarse")
    if valid is not None and not valid[0] < valid[1]:
        raise InputError(f"valid = {valid}; give (low, high) in the unit of the images")
    arrays = []
    for name, given in (("fine", fine), ("coarse", coarse)):
        values = np.array(given, np.float32).reshape(shape[0], -1, *shape[-2:])
        values[~np.isfinite(values)] = np.nan
        arrays.append(values)
        if valid is not None:
            _within(values, name, valid)
    fine, coarse = arrays
    lost = ~np.isfinite(fine + coarse).all(1)
    for k in range(shape[0]):
        if lost[k].all():
            raise InputError(f"base pair {k + 1} of {shape[0]} has no pixel with a fine and a coarse value; leave it "
                             "out")
    _alike(fine.swapaxes(0, 1).reshape(fine.shape[1], -1), coarse.swapaxes(0, 1).reshape(fine.shape[1], -1), "fine",
           "coarse")
    for values in arrays:
        values[np.broadcast_to(lost[:, None], values.shape)] = np.nan
    return fine, coarse


def _within(values, name, valid):
    outside = np.nanmean((values < valid[0]) | (values > valid[1])) if np.isfinite(values).any() else 0
    if outside > OUTSIDE:
        raise InputError(f"{outside:.0%} of the {name} values lie outside of valid = ({valid[0]:g}, {valid[1]:g}): "
                         f"they go from {np.nanmin(values):g} to {np.nanmax(values):g}; check unit, scale, fill value")


def _same_grid(one, other, name):
    """Refuse two DataArrays whose last two coordinates differ."""
    if not (isinstance(one, xr.DataArray) and isinstance(other, xr.DataArray)):
        return
    for a, b in zip(one.dims[-2:], other.dims[-2:]):
        if a in one.coords and b in other.coords:
            mine, theirs = one[a].values, other[b].values
            if mine.shape == theirs.shape and mine.size > 1 and (
                    np.abs(mine - theirs).max() > 0.01 * np.abs(mine[1] - mine[0])):
                raise InputError(f"{name} is on another grid: {b} starts at {theirs[0]:g}, that of the fine image at "
                                 f"{mine[0]:g}; resample it to the fine grid")


def _alike(one, other, name, label, apart=5):
    """Refuse images (band, n) that cannot be of one unit: percent and fraction, or kelvin and °C."""
    for b, (mine, theirs) in enumerate(zip(one, other)):
        mine, theirs = (part[::max(part.size // 20_000, 1)] for part in (mine, theirs))
        mine, theirs = mine[np.isfinite(mine)], theirs[np.isfinite(theirs)]
        if not (mine.size and theirs.size):
            continue
        (a, p, z), (c, q, y) = (np.quantile(part, [0.05, 0.5, 0.95]) for part in (mine, theirs))
        first, second = z - a, y - c
        shifted = abs(p - q) > apart * max(first, second) > 0
        big, small = max(abs(p), abs(q)), min(abs(p), abs(q))
        scaled = big > 20 * small and max(first, second) > 20 * min(first, second) > 0
        if shifted or scaled:
            raise InputError(f"band {b + 1}: {name} has the median {p:g} (spread {first:g}), {label} {q:g} (spread "
                             f"{second:g}); give both in one unit, e.g. °C and not kelvin, fraction and not percent")


def _flat(values):
    """(…, y, x) as (…, y · x), the same memory."""
    return values.reshape(*values.shape[:-2], values.shape[-2] * values.shape[-1])


def _unlike(fine, coarse, scale):
    """1 − R of each pixel (y, x), 0 to 2; 0.5 where R is not known.

    Several bands: R is the correlation of the fine with the coarse values over bands and dates. One band (or too few
    values for a correlation): one minus the mean of |F − C| / (F + C), of values scaled to 0–1.
    """
    bases, bands = fine.shape[:2]
    if bands > 1 and bases * bands > 2:
        f, c = (part.reshape(bases * bands, *part.shape[2:]).astype(float) for part in (fine, coarse))
        there = np.isfinite(f)
        n = np.maximum(there.sum(0), 1)
        f, c = (np.where(there, part, 0) for part in (f, c))
        f, c = (np.where(there, part - part.sum(0) / n, 0) for part in (f, c))
        with np.errstate(invalid="ignore", divide="ignore"):
            likeness = (f * c).sum(0) / np.sqrt((f * f).sum(0) * (c * c).sum(0))
    else:
        low, span = (part[None, :, None, None] for part in (scale.low, scale.high - scale.low))
        f, c = (np.clip((part - low) / span, 0, None) for part in (fine.astype(float), coarse.astype(float)))
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.abs(f - c) / (f + c)
        there = np.isfinite(part)
        count = there.sum((0, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            likeness = 1 - np.where(there, part, 0).sum((0, 1)) / count
    likeness = np.where(np.isfinite(likeness), likeness, 0.5)
    return np.clip(1 - likeness, 0, 2).astype(np.float32)


@functools.cache
def _believed(most):
    """(2, most + 1) least and largest r² of a slope from n values for p ≤ 0.05, by the F test with 1 and n − 2."""
    from scipy.stats import f

    n = np.arange(most + 1)
    free = np.maximum(n - 2, 1)
    least = f.isf(SIGNIFICANT, 1, free)
    return np.stack([np.where(n > 2, least / (least + free), np.inf), np.full(n.shape, np.inf)])
