"""A gap-free fine series from a cloudy fine and a frequent coarse product: ESTARFM between composites."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.fusion.images import Pair

RESAMPLE = "bilinear", "nearest"
METHODS = "estarfm", "starfm"


def fuse_series(fine, coarse, dates, *, every=32, half=7, classes=4, valid=None, conversion="none",
                resample="bilinear", longest=16, method="estarfm", uncertainty=False, threads=1):
    """Fine images at any dates, from a fine series with gaps and a coarse one on its own grid.

    The year is cut into periods of ``every`` days, each a base date: per pixel the mean of fine − coarse over the days
    on which both are there, plus the mean of the coarse image over all days of the period. So fine and coarse base
    values differ by what they differ on the same days, and those of two pixels stand for the same days. Each date is
    predicted by ESTARFM from the base dates before and after it. A pixel that a base date lacks takes its next one on
    that side, one period further away.

    fine         (time, y, x) DataArray, lazy or in memory; NaN under cloud; sea is always NaN and is skipped
    coarse       (time, y, x) DataArray on its own, wider grid of the same axes, same unit
    dates        (n,) datetime64 that are wanted, in any order
    every        length of a period [days]
    half, classes, valid, uncertainty, threads  as in ``estarfm``
    conversion   as in ``estarfm``; none by default (project default): between two base dates the season changes, from
                 a base date to the day the weather does, and the slope of the one misled the other where it was tried
    resample     of ``RESAMPLE``: how the coarse image comes to the fine grid; missing cells are skipped
    method       of ``METHODS``; "starfm" is the simpler one, without ``sd``
    longest      a coarse value between two dates is interpolated in time where they are no further apart [days]
    returns      Dataset (time, y, x) on ``dates``: fused; sd; share (time) of the pixels that ever have a fine value
                 which were predicted [-]
    raises       InputError for dimensions, dates or places that do not fit together, and as ``estarfm`` does

    Zhu et al. (2010) for each date; the composites are ours.

    >>> times, y, x = pd.date_range("2020-01-01", periods=64), np.arange(12.0)[::-1], np.arange(12.0)
    >>> there = dict(dims=("time", "y", "x"), coords={"time": times})
    >>> fine = xr.DataArray(np.arange(64.0)[:, None, None] + np.ones((12, 12)), **there).assign_coords(y=y, x=x)
    >>> coarse = fine.coarsen(y=6, x=6).mean()
    >>> found = fuse_series(fine.where(fine["time"].dt.day % 4 == 0), coarse, times[[20, 40]])
    >>> found["fused"].mean(("y", "x")).values.round(3).tolist(), found["share"].values.tolist()
    ([21.0, 41.0], [1.0, 1.0])
    """
    fine, coarse = (_series(part, name) for part, name in ((fine, "fine"), (coarse, "coarse")))
    if method not in METHODS:
        raise InputError(f"method = '{method}'{near(method, METHODS)}")
    if resample not in RESAMPLE:
        raise InputError(f"resample = '{resample}'{near(resample, RESAMPLE)}")
    if not every >= 1:
        raise InputError(f"every = {every}; give the length of a period in days, e.g. 32")
    dates = pd.DatetimeIndex(np.atleast_1d(dates)).as_unit("ns")
    if not len(dates) or dates.isna().any():
        raise InputError("no dates, or a date that is missing, are asked for; give datetime64 values")
    wanted = dates.unique().sort_values()
    grid = Resampling(coarse, fine, resample)
    bases = _bases(fine, coarse, grid, every, longest)
    middles = np.array([base[0] for base in bases])
    span = [int(np.clip(np.searchsorted(middles, date, side="right") - 1, 0, max(len(bases) - 2, 0)))
            for date in wanted.values]
    land = np.any([np.isfinite(base[1]) for base in bases], axis=0)
    layers = {name: np.full((len(wanted), *land.shape), np.nan, np.float32)
              for name in ("fused", *["sd"] * (uncertainty and method == "estarfm"))}
    for first in sorted(set(span)):
        pick = np.flatnonzero(np.array(span) == first)
        before, after = _nearest(bases[first::-1]), _nearest(bases[first + 1:])
        both = [one for one in (before, after) if one is not None]
        images, coarses = (np.stack([one[i] for one in both]) for i in (0, 1))
        pair = Pair(images, coarses, half=half, classes=classes, valid=valid, conversion=conversion)
        later = grid(_at(coarse, wanted[pick], longest))
        found = (pair.at(later, uncertainty=uncertainty, threads=threads) if method == "estarfm" else
                 pair.starfm(later, threads=threads))
        for name, layer in layers.items():
            layer[pick] = found[name]
    place = wanted.get_indexer(dates)
    known = {name: coordinate for name, coordinate in fine.coords.items() if "time" not in coordinate.dims}
    result = xr.Dataset({name: (fine.dims, layer[place]) for name, layer in layers.items()},
                        {"time": dates.values, **known})
    result["fused"].attrs = dict(fine.attrs)
    made = np.isfinite(result["fused"].values).sum((1, 2))
    result["share"] = "time", made / land.sum() if land.any() else np.full(len(dates), np.nan)
    return result


def in_time(fine, dates, how="linear"):
    """A fine series at dates from its own clear values alone: what a fusion has to beat.

    fine     (time, y, x) DataArray, NaN where missing
    dates    (n,) datetime64
    how      "linear" between the clear values before and after, or "nearest" of the two; beyond the ends the last one
    returns  (time, y, x) DataArray float32 on ``dates``; NaN where a pixel has no clear value at all
    """
    if how not in ("linear", "nearest"):
        raise InputError(f"how = '{how}'{near(how, ('linear', 'nearest'))}")
    fine = _series(fine, "fine")
    dates = pd.DatetimeIndex(np.atleast_1d(dates)).as_unit("ns")
    values, times = np.asarray(fine, np.float32), fine["time"].values.astype("datetime64[ns]")
    days = (times - times[0]) / np.timedelta64(1, "D")
    there, at = np.isfinite(values), np.arange(len(times), dtype=np.int32)[:, None, None]
    before = np.maximum.accumulate(np.where(there, at, -1), axis=0)
    after = np.minimum.accumulate(np.where(there, at, len(times))[::-1], axis=0)[::-1]
    found = np.empty((len(dates), *values.shape[1:]), np.float32)
    for k, day in enumerate((dates.values - times[0]) / np.timedelta64(1, "D")):
        low, high = np.searchsorted(days, day, side="right") - 1, np.searchsorted(days, day)
        first = before[low] if low >= 0 else np.full(values.shape[1:], -1)
        second = after[high] if high < len(times) else np.full(values.shape[1:], len(times))
        first, second = (np.where(first < 0, second, first), np.where(second == len(times), first, second))
        one, other = (np.clip(part, 0, len(times) - 1)[None] for part in (first, second))
        a, b = (np.take_along_axis(values, part, 0)[0] for part in (one, other))
        gap, gone = days[other[0]] - days[one[0]], np.clip(day - days[one[0]], 0, None)
        share = np.divide(gone, gap, out=np.zeros_like(gap), where=gap > 0)
        found[k] = a + (share if how == "linear" else share > 0.5) * (b - a)
        found[k][(first < 0) | (second == len(times))] = np.nan
    return xr.DataArray(found, {**{n: c for n, c in fine.coords.items() if "time" not in c.dims}, "time": dates.values},
                        fine.dims)


class Resampling:
    """A coarse grid brought to a fine one: bilinear between the middles of the cells, or the cell that is nearest.

    Missing cells are skipped, their weight goes to the others; a fine pixel without any cell is NaN. Beyond the middles
    of the outermost cells their values go on to their edge, and no further.

    coarse, fine  DataArrays with coordinates along their last two dimensions
    how           of ``RESAMPLE``
    raises        InputError for grids that do not overlap, or of which the coarse one is finer
    """

    def __init__(self, coarse, fine, how="bilinear"):
        self.steps = [_weights(coarse[a].values, fine[b].values, b, how)
                      for a, b in zip(coarse.dims[-2:], fine.dims[-2:])]

    def __call__(self, values):
        """(…, y, x) on the coarse grid → (…, y, x) float32 on the fine one."""
        values = np.asarray(values, np.float32)
        there = np.isfinite(values)
        total = self._along(np.where(there, values, np.float32(0)))
        weight = self._along(there.astype(np.float32))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weight > 1e-3, total / weight, np.float32(np.nan))

    def _along(self, values):
        for axis, (low, high, share, there) in zip((-2, -1), self.steps):
            shape = (-1, 1) if axis == -2 else (-1,)
            rest = ((1 - share) * there).reshape(shape), (share * there).reshape(shape)
            values = values.take(low, axis) * rest[0] + values.take(high, axis) * rest[1]
        return values


def _weights(coarse, fine, name, how):
    """Two neighbours on a coarse axis of each place on a fine one, the share of the second, and whether there are."""
    if coarse.size < 2 or fine.size < 2:
        raise InputError(f"{name}: {coarse.size} coarse and {fine.size} fine places; give two or more of each")
    step, width = np.diff(coarse), abs(np.median(np.diff(coarse)))
    if not (np.all(step > 0) or np.all(step < 0)):
        raise InputError(f"{name}: the coarse grid goes up and down; sort it")
    if width < 0.999 * abs(np.median(np.diff(fine))):
        raise InputError(f"{name}: the coarse grid has steps of {width:g}, the fine one of "
                         f"{abs(np.median(np.diff(fine))):g}; are they swapped?")
    at = np.interp(fine, np.sort(coarse), np.arange(coarse.size) if step[0] > 0 else np.arange(coarse.size)[::-1])
    there = (fine >= coarse.min() - 0.501 * width) & (fine <= coarse.max() + 0.501 * width)
    if not there.any():
        raise InputError(f"{name}: the coarse grid goes from {coarse.min():g} to {coarse.max():g}, the fine one from "
                         f"{fine.min():g} to {fine.max():g}; they do not overlap")
    if how == "nearest":
        at = np.round(at)
    low = np.minimum(np.floor(at).astype(int), coarse.size - 2)
    return low, low + 1, (at - low).astype(np.float32), there.astype(np.float32)


def _series(values, name):
    if not isinstance(values, xr.DataArray) or values.ndim != 3 or values.dims[0] != "time":
        raise InputError(f"{name} has the dimensions {getattr(values, 'dims', type(values).__name__)}; give a "
                         "DataArray (time, y, x)")
    if not values.indexes["time"].is_monotonic_increasing or not values.indexes["time"].is_unique:
        raise InputError(f"the times of {name} are not sorted, or repeated; sort them by values.sortby('time')")
    return values


def _at(coarse, dates, longest):
    """The coarse series at dates (n, y, x): the image of the day, or between the two about it."""
    times = coarse["time"].values.astype("datetime64[ns]")
    dates = np.asarray(dates, "datetime64[ns]")
    after = np.clip(np.searchsorted(times, dates), 0, len(times) - 1)
    before = np.clip(np.searchsorted(times, dates, side="right") - 1, 0, len(times) - 1)
    used, where = np.unique(np.r_[before, after], return_inverse=True)
    values = np.asarray(coarse.isel(time=used), np.float32)
    first, second = values[where[:len(dates)]], values[where[len(dates):]]
    day = np.timedelta64(1, "D")
    gap, gone = (times[after] - times[before]) / day, (dates - times[before]) / day
    share = np.divide(gone, gap, out=np.zeros(len(dates)), where=gap > 0).astype(np.float32)
    result = first + share[:, None, None] * (second - first)
    outside = (dates < times[0]) | (dates > times[-1])
    away = np.where(outside, np.maximum((times[0] - dates) / day, (dates - times[-1]) / day), gap)
    result[away > np.where(outside, longest / 2, longest)] = np.nan
    return result


def _bases(fine, coarse, grid, every, longest):
    """Base dates: (middle, fine, coarse) of each period that has a value, in order."""
    times = fine["time"].values.astype("datetime64[ns]")
    period = ((times - times[0]) / np.timedelta64(1, "D") // every).astype(int)
    length, bases = np.timedelta64(int(every * 86400e9), "ns"), []
    for one in np.unique(period):
        pick = np.flatnonzero(period == one)
        values = np.asarray(fine.isel(time=pick), np.float32)
        level = _at(coarse, times[pick], longest)
        wide = grid(level)
        both = np.isfinite(values) & np.isfinite(wide)
        count = both.sum(0)
        if not count.any():
            continue
        apart = np.where(both, values - wide, 0).sum(0, dtype=float) / np.where(count, count, np.nan)
        known = np.isfinite(wide)
        mean = np.where(known, wide, 0).sum(0, dtype=float) / np.where(known.any(0), known.sum(0), np.nan)
        bases.append((times[0] + one * length + length / 2, (mean + apart).astype(np.float32),
                      mean.astype(np.float32)))
    if not bases:
        raise InputError("no day has a fine and a coarse value at one pixel; check the dates and places of both")
    return bases


def _nearest(bases):
    """Fine and coarse base values of the first of some base dates; what it lacks from the second."""
    if not bases:
        return None
    _, fine, coarse = bases[0]
    if len(bases) > 1:
        lost = ~np.isfinite(fine)
        fine, coarse = (np.where(lost, bases[1][i], bases[0][i]) for i in (1, 2))
    return fine, coarse
