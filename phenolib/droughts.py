"""Dry spells of each soil layer: how unusual its moisture is for the season, when a spell begins and ends, recovery."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError

DRY, NORMAL = 20.0, 40.0  # percentiles below which it is dry, and above which it is over
WINDOW = 31  # days of the year around a day that make its climatology
PENTAD = 5  # days
EVENTS = ["series", "onset", "end", "days", "lowest", "deficit", "open"]


def moisture_index(series, reference=None, *, window=WINDOW, least=20):
    """Percentile of moisture within what the same place and layer had at this time of the year.

    index = 100 · (values of the climatology below θ + half of those equal to it) / their number

    series     (time, …) or (…, time) DataArray of moisture [m³ m⁻³], daily or not
    reference  DataArray of the years that make the climatology, at the same places; default the series itself
    window     days of the year around a day [days]
    least      values that a climatology needs; with fewer the index is missing
    returns    DataArray like the series, 0-100, float32; attrs: years of the climatology and values in it
    raises     InputError without time, or for a climatology of other places

    A percentile needs many years: three years give some 90 values, but only three independent seasons, so the driest
    day of three years stands at 1 however mild it was. It orders the days of a place and compares layers and places; it
    does not tell how rare a drought is. Sheffield et al. (2004), J. Geophys. Res. 109:D24108, for the principle.
    """
    own = reference is None
    reference = series if own else reference
    for name, given in (("series", series), ("reference", reference)):
        if not isinstance(given, xr.DataArray) or "time" not in given.dims:
            raise InputError(f"the {name} has no dimension time; give a DataArray of moisture with its dates")
    turned, known = series.transpose("time", ...), reference.transpose("time", ...)
    if turned.shape[1:] != known.shape[1:]:
        raise InputError(f"the climatology is of shape {known.shape[1:]}, the series of {turned.shape[1:]}; give both "
                         "of the same places")
    day, of_year = (v["time"].dt.dayofyear.values for v in (turned, known))
    values, base = (np.asarray(v.values, np.float32) for v in (turned, known))
    found = np.full(values.shape, np.nan, np.float32)
    most = 0
    for one in np.unique(day):
        away = np.abs(of_year - one)
        near = base[np.minimum(away, 365 - np.minimum(away, 365)) <= window // 2]  # (value, …)
        count = np.isfinite(near).sum(0)
        most = max(most, int(count.max(initial=0)))
        for k in np.flatnonzero(day == one):
            rank = (near < values[k]).sum(0) + 0.5 * (near == values[k]).sum(0)
            with np.errstate(invalid="ignore", divide="ignore"):
                found[k] = np.where(np.isfinite(values[k]) & (count >= least), 100 * rank / count, np.nan)
    years = known["time"].dt.year.values
    result = turned.copy(data=found).transpose(*series.dims).rename("moisture_index")
    result.attrs = {"units": "%", "long_name": "percentile of the season", "climatology":
                    f"{years.min()}-{years.max()}", "values": most}
    return result


def spells(index, *, below=DRY, days=10, bridge=3):
    """Dry spells: runs of days with the index below a percentile.

    index    (time,) or (series, time) DataArray of ``moisture_index``, daily; the other dimension may have any name
    below    percentile [%]
    days     that are dry in a spell, at least
    bridge   missing or less dry days within a run that do not end it [days]
    returns  DataFrame: series (its label; empty of one alone), onset (first dry day), end (first day after the last dry
             one), days between them, lowest (percentile), deficit (sum of below − index) [% d], open (the series ends
             in it)
    raises   InputError for dates that are not daily, or more dimensions

    20 % is "moderate drought" in the classes of the US Drought Monitor; length and bridge are project defaults.
    """
    index = _daily(index)
    rows = []
    for label, own in _each(index):
        dry = np.flatnonzero(own < below)
        if not dry.size:
            continue
        for run in np.split(dry, np.flatnonzero(np.diff(dry) > bridge + 1) + 1):
            first, last = run[0], run[-1]
            if run.size < days:
                continue
            values = own[first:last + 1]
            time = index["time"].values
            rows.append({"series": label, "onset": time[first], "end": time[last] + np.timedelta64(1, "D"),
                         "days": int(last - first + 1), "lowest": float(np.nanmin(values)),
                         "deficit": float(np.nansum(np.maximum(below - values, 0))),
                         "open": bool(not np.isfinite(own[last + 1:]).any())})
    return pd.DataFrame(rows, columns=EVENTS)


def recovery(index, end, *, above=NORMAL, below=DRY, most=180):
    """Days from the end of a spell until the index is above a percentile: a surface takes days, a root zone weeks.

    index    (…, time) DataArray of ``moisture_index``
    end      date from which it is counted, e.g. that of the rain that ended the spell: one for all places
    above    percentile that is recovery [%]
    below    places that were not below this at any of the ten days before ``end`` have nothing to recover from [%]
    most     days after which it is given up
    returns  Dataset (…): days, NaN where it was not dry, or is not known, or did not recover; recovered bool; dry bool
    raises   InputError for an end outside of the series
    """
    turned = index.transpose(..., "time")
    time, end = turned["time"].values, np.datetime64(pd.Timestamp(end), "ns")
    if not time[0] <= end <= time[-1]:
        raise InputError(f"end = {pd.Timestamp(end):%Y-%m-%d} lies outside of the series, "
                         f"{pd.Timestamp(time[0]):%Y-%m-%d} to {pd.Timestamp(time[-1]):%Y-%m-%d}")
    day = (time - end) / np.timedelta64(1, "D")
    before, after = (day >= -10) & (day < 0), (day >= 0) & (day <= most)
    values = turned.values
    dry = (values[..., before] < below).any(-1)
    good = values[..., after] > above
    recovered = good.any(-1) & dry
    took = np.where(recovered, day[after][good.argmax(-1)], np.nan)
    dims = turned.dims[:-1]
    coords = {k: v for k, v in turned.coords.items() if "time" not in v.dims}
    return xr.Dataset({"days": (dims, took, {"units": "d", "long_name": "days to recovery"}),
                       "recovered": (dims, recovered), "dry": (dims, dry)}, coords)


def flash_droughts(index, *, high=40.0, low=20.0, pentads=4):
    """Flash droughts: the mean of five days falls from a high to below a low percentile within few pentads.

    index    (time,) or (series, time) DataArray of ``moisture_index``, daily
    high     percentile that it comes from, at least [%]
    low      percentile that it falls below [%]
    pentads  five-day means within which it does
    returns  DataFrame: series, onset (last pentad at or above high, its first day), reached (first day of the pentad
             below low), days between them, drop [%]
    raises   InputError for dates that are not daily, or more dimensions

    From the 40th to below the 20th percentile in 20 days: Ford & Labosier (2017), Agric. For. Meteorol. 247:414, for
    0-40 cm of soil; Otkin et al. (2018), Bull. Am. Meteorol. Soc. 99:911, for the idea. Both from memory.
    """
    index = _daily(index)
    count = index.sizes["time"] // PENTAD
    rows = []
    for label, own in _each(index):
        parts = own[:count * PENTAD].reshape(count, PENTAD)
        there = np.isfinite(parts).sum(1)
        mean = np.where(there >= 3, np.where(np.isfinite(parts), parts, 0).sum(1) / np.maximum(there, 1), np.nan)
        last = None
        for k, value in enumerate(mean):
            if value >= high:
                last = k
            elif value < low and last is not None:
                if k - last <= pentads:
                    time = index["time"].values
                    rows.append({"series": label, "onset": time[last * PENTAD], "reached": time[k * PENTAD],
                                 "days": (k - last) * PENTAD, "drop": float(mean[last] - value)})
                last = None
    return pd.DataFrame(rows, columns=["series", "onset", "reached", "days", "drop"])


def _daily(index):
    if not isinstance(index, xr.DataArray) or "time" not in index.dims or index.ndim > 2:
        raise InputError(f"the index has the dimensions {getattr(index, 'dims', ())}; give (time,) or (series, time), "
                         "of maps a mean or a few pixels")
    step = np.diff(index["time"].values) / np.timedelta64(1, "D")
    if (step != 1).any():
        place = int(np.flatnonzero(step != 1)[0])
        raise InputError(f"the dates are not daily: {step[place]:g} days after "
                         f"{pd.Timestamp(index['time'].values[place]):%Y-%m-%d}; reindex them to every day")
    return index


def _each(index):
    if index.ndim == 1:
        return [("", index.values)]
    name = next(d for d in index.dims if d != "time")
    labels = index[name].values if name in index.coords else range(index.sizes[name])
    return list(zip(labels, index.transpose(name, "time").values))
