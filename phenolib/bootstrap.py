"""Intervals of season dates by resampling the residuals of a series: slow, and free of a formula."""

import numpy as np
import xarray as xr

from phenolib import curves, phenology
from phenolib.errors import InputError

WITHIN = 60  # days between the peaks of a season and of its likeness in a draw
BOUNDS = ("_low", "_high")


def seasons(series, *, draws=200, level=0.9, block=1, signs=False, seed=0, **options):
    """Season dates of one series with intervals from series drawn anew.

    With the curve c at the observations and the residuals r = y − c, each draw is

        yᵢ* = c(tᵢ) + f · sᵢ · r_{k(i)}

    where k takes residuals of the same series with replacement, ``block`` neighbours at a time, so that noise that
    comes in spells stays in spells. With ``signs`` each residual stays where it is and s is −1 or 1 at random (the wild
    bootstrap), which keeps the noise of each time of the year but makes clouds as bright as they are dark. A flexible
    curve follows its observations, so the residuals are smaller than the noise; f makes up for it: the noise that
    ``phenology.seasons`` gives over the robust SD of the residuals, and at least 1. Draws have the gaps of the series.
    All of them are dated in one call of ``phenology.seasons``; a season of the series is looked for again in each draw
    as that with the nearest peak, within 60 days. With q the percentiles of its dates d* and d the date of the series,
    the interval is the reflected one, from 2d − q(high) to 2d − q(low): what the smoother does to its own curve it
    did to the truth, to first order.

    series    (time,) DataArray
    draws     how many
    level     probability that an interval is to hold the date [-]
    block     observations that are drawn together
    signs     wild bootstrap in place of blocks
    seed      of the draws
    options   of ``phenology.seasons``
    returns   Dataset of ``phenology.seasons`` with ``_low`` and ``_high`` of every date, also of the peak and by the
              rules of ``also``, from the draws; ``found`` (season): share of the draws with the season [-]. No interval
              where the date is missing in more than half of the draws.
    raises    InputError for more than one series, a series without observations, and as ``phenology.seasons``

    The draws come from a curve that is smoothed already; what is flat in it was once steeper. So the interval is one of
    the noise and of little of the bias. Davison & Hinkley (1997), chapters 2 and 8; Wu (1986) for the wild bootstrap.
    """
    if series.dims != ("time",):
        raise InputError(f"the series has the dimensions {', '.join(map(str, series.dims))}; give one with time alone")
    if int(draws) < 2 or int(block) < 1 or not 0 < level < 1:
        raise InputError(f"draws = {draws}, block = {block}, level = {level}: give draws from 2, block from 1 and a "
                         "level between 0 and 1")
    options = {**options, "interval": 0}
    result = phenology.seasons(series, curve=True, **options)
    at_observations = result["curve"].interp(day=series["time"], kwargs={"fill_value": "extrapolate"}).values
    made = drawn(curves.decoded(series), at_observations, draws, block, signs, seed, float(result["noise"].max()))
    again = phenology.seasons(made, **options)
    place, near = likeness(result["peak"].values, again["peak"].values)
    for name in [n for n, v in result.data_vars.items() if v.dims == ("season",) and v.dtype.kind == "M"]:
        dates = np.take_along_axis(again[name].values, place, 1)
        dates[~near] = np.datetime64("NaT")
        low, high = percentiles(dates - result[name].values, level)
        for bound, away in zip(BOUNDS, (high, low)):
            result[name + bound] = result[name].copy(data=result[name].values - away)
    share = np.where(np.isnat(result["peak"].values), np.nan, near.mean(0))
    result["found"] = ("season", share, {"units": "1", "long_name": "share of the draws with the season"})
    return result


def drawn(series, curve, draws, block, signs, seed, noise):
    """(draw, time) series made of a curve and resampled residuals of the series about it."""
    rng = np.random.default_rng(seed)
    values = series.values.astype(float)
    good = np.flatnonzero(np.isfinite(values) & np.isfinite(curve))
    if not good.size:
        raise InputError("the series has no observation on a curve; nothing can be drawn")
    residual = values[good] - curve[good]
    spread = 1.4826 * np.median(np.abs(residual))
    residual *= max(1.0, noise / spread) if np.isfinite(noise) and spread > 0 else 1.0
    made = np.full((int(draws), values.size), np.nan)
    if signs:
        noise = residual * rng.choice((-1.0, 1.0), (int(draws), good.size))
    else:
        blocks = -(-good.size // int(block))
        first = rng.integers(good.size, size=(int(draws), blocks, 1))
        place = (first + np.arange(int(block))).reshape(int(draws), -1)[:, : good.size] % good.size
        noise = residual[place]
    made[:, good] = curve[good] + noise
    return xr.DataArray(made, {"time": series["time"]}, ("draw", "time"), series.name, series.attrs)


def likeness(peak, again):
    """Which season of a draw is which of the series: the one with the nearest peak.

    peak     (season,) datetime64, again (draw, found) datetime64
    returns  (draw, season) place in ``again``, and whether it is near enough
    """
    away = np.abs((again[:, None, :] - peak[None, :, None]) / np.timedelta64(1, "D"))  # (draw, season, found)
    away = np.where(np.isnan(away), np.inf, away)
    return away.argmin(-1), away.min(-1) <= WITHIN


def percentiles(away, level):
    """(draw, season) durations to their lower and upper percentile, each (season,); NaT where most are missing."""
    days = away / np.timedelta64(1, "D")
    enough = np.isfinite(days).mean(0) >= 0.5
    bounds = np.full((2, days.shape[1]), np.timedelta64("NaT", "ns"))
    if enough.any():
        found = np.nanquantile(days[:, enough], [(1 - level) / 2, (1 + level) / 2], axis=0)
        bounds[:, enough] = (found * 86400e9).astype("timedelta64[ns]")
    return bounds
