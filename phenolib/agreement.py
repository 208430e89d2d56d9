"""Season dates beside other season dates: on a given curve, beside known truth, beside another series."""

import numpy as np
import pandas as pd

from phenolib import metrics, phenology
from phenolib.errors import InputError

EVENTS = ("sos", "eos")


def dates_on_curve(curve, share, peaks):
    """Start and end of seasons at a share of the amplitude, on a curve that is taken as it is.

    The curve is neither smoothed nor judged: the season of a peak is bounded by the lowest points between it and the
    peaks next to it, and each side is measured from its own lowest point,

        SOSₚ = first day on the way from the left trough with c ≥ c_left + p · (c_peak − c_left)
        EOSₚ = last day on the way to the right trough with c ≥ c_right + p · (c_peak − c_right)

    Another maximum bounds a season too, whether or not it is asked for, if it stands out from the troughs around it by
    half a per cent of the range of the curve.

    curve    (time,) DataArray, missing values are passed over
    share    [-]
    peaks    (n,) datetime64, at or next to maxima of the curve
    returns  DataFrame: sos, peak, eos [datetime64], in the order of ``peaks``; NaT where a side never reaches the share
    raises   InputError for a share outside 0–1 or a curve without values

    >>> time = pd.date_range("2020-01-01", periods=201, freq="D")
    >>> import xarray as xr
    >>> hat = xr.DataArray(100.0 - abs(np.arange(201) - 100), {"time": time}, ["time"])
    >>> dates_on_curve(hat, 0.4, [time[100]])["sos"].dt.strftime("%d %B").item()
    '10 February'
    """
    if not 0 < share < 1:
        raise InputError(f"share = {share} is out of range; give a value between 0 and 1")
    curve = curve.dropna("time")
    value, time = curve.values.astype(float), curve["time"].values.astype("datetime64[ns]")
    if value.size < 3:
        raise InputError("the curve has fewer than three values; there is nothing to date")
    tops = maxima(value)
    rows = []
    for peak in np.asarray(peaks, "datetime64[ns]"):
        around = np.flatnonzero(np.abs(time - peak) <= np.timedelta64(5, "D"))
        if np.isnat(peak) or not around.size:
            rows.append((np.datetime64("NaT"),) * 3)
            continue
        k = around[value[around].argmax()]
        before, after = tops[tops < k - 5], tops[tops > k + 5]
        a, b = before[-1] if before.size else 0, after[0] if after.size else value.size - 1
        left, right = a + value[a : k + 1].argmin(), k + value[k : b + 1].argmin()
        rows.append((crossing(time, value, left, k, share), time[k], crossing(time, value, right, k, share)))
    return pd.DataFrame(rows, columns=["sos", "peak", "eos"]).astype("datetime64[ns]")


def maxima(value, rise=0.005):
    """Places of the maxima that stand out by a share of the range on both sides."""
    from scipy.signal import find_peaks

    padded = np.concatenate([[-np.inf], value, [-np.inf]])
    return find_peaks(padded, prominence=rise * np.ptp(value))[0] - 1


def crossing(time, value, trough, peak, share):
    """The day on the way from a trough to a peak, on either side, at which a share of the way is first done."""
    step = 1 if peak > trough else -1
    way = value[trough : peak + step if peak + step >= 0 else None : step]
    level = value[trough] + share * (value[peak] - value[trough])
    if way.size < 2 or value[peak] <= value[trough]:
        return np.datetime64("NaT", "ns")
    k = int(np.argmax(way >= level))
    part = (level - way[k - 1]) / (way[k] - way[k - 1])
    before, after = (np.datetime64(time[trough + step * i], "ns") for i in (k - 1, k))
    return before + (part * (after - before).astype(float)).astype("timedelta64[ns]")


def beside_truth(found, truth, *, within=45.0):
    """Dates and intervals found in simulated series, each beside the true date.

    found    Dataset of ``phenology.seasons`` for ``truth.ndvi``, with intervals
    truth    Dataset of ``simulate.series``
    within   days between a found and a true peak
    returns  DataFrame with a row for each true date whose season was found: pixel, cloudy, form, event ("sos20"),
             date, low, high, true [days since the epoch of the truth], error (date − true) and width [days], amplitude
             of the season that was found; what was refused is NaN

    A season that was not found has no row: its dates have no interval that could be right or wrong.
    """
    epoch = np.datetime64(truth.attrs["epoch"], "ns")

    def day(values):
        return (values - epoch) / np.timedelta64(1, "D")

    true_peak = truth["peak"].values
    away = np.abs(day(found["peak"].values)[:, None, :] - true_peak[:, :, None])  # (pixel, season, found)
    away = np.where(np.isnan(away), np.inf, away)
    place, met = away.argmin(-1), away.min(-1) <= within
    pixel, season = np.nonzero(met)
    slot = place[pixel, season]
    tables = []
    for event in EVENTS:
        for share in truth["share"].values:
            name = f"{event}{share:02d}"
            if name + "_low" not in found:
                raise InputError(f"the seasons have no '{name}_low'; give the shares of the truth as thresholds, and "
                                 "an interval above 0")
            true = truth[event].sel(share=share).values[pixel, season]
            columns = {k: day(found[name + tail].values[pixel, slot])
                       for k, tail in (("date", ""), ("low", "_low"), ("high", "_high"))}
            tables.append(pd.DataFrame({
                "pixel": pixel, "cloudy": truth["cloudy"].values[pixel], "form": truth["form"].values[pixel],
                "event": name, **columns, "true": true, "amplitude": found["amplitude"].values[pixel, slot]}))
    rows = pd.concat(tables, ignore_index=True)
    rows = rows[rows["true"].notna()].reset_index(drop=True)
    return rows.assign(error=rows["date"] - rows["true"], width=rows["high"] - rows["low"])


def match_seasons(found, reference, *, within=60.0, key="site"):
    """Reference seasons, each with the found season whose peak is nearest; a found season is used once.

    found, reference  DataFrames of seasons with the columns key and peak; dates of the same names in both
    within            peaks further apart are no match [days]
    returns           the reference with the columns of ``found`` beside it, named ``…_found``; missing without a match
    """
    reference = reference.reset_index(drop=True)
    beside = pd.Series(-1, index=reference.index)
    found = found.reset_index(drop=True)
    for name, rows in reference.groupby(key):
        some = found[found[key] == name]
        which = metrics.match(some["peak"], rows["peak"], within=within)
        beside[rows.index[which >= 0]] = some.index[which[which >= 0]]
    columns = found.drop(columns=key).reindex(beside.where(beside >= 0)).add_suffix("_found")
    return pd.concat([reference, columns.reset_index(drop=True)], axis=1)


def on_own_curves(fits, share):
    """Seasons of a product dated again on the product's own daily curve.

    fits     site → (DataFrame of seasons with year, sos, peak, eos; (time,) daily curve), or None
    share    of the amplitude of each side [-]
    returns  DataFrame: site, year, sos, peak, eos and sos_again, peak_again, eos_again; empty where there are no fits
    """
    tables = [pd.DataFrame(columns=["site", "year", "sos", "peak", "eos", "sos_again", "peak_again", "eos_again"])]
    for site, fit in fits.items():
        if fit is not None and fit[0] is not None and fit[1] is not None:
            seasons = fit[0][["year", "sos", "peak", "eos"]].reset_index(drop=True)
            again = dates_on_curve(fit[1], share, seasons["peak"]).add_suffix("_again")
            tables.append(pd.concat([seasons.assign(site=site), again], axis=1))
    result = pd.concat(tables[1:] or tables, ignore_index=True)[list(tables[0])]
    return result.astype({c: "datetime64[ns]" for c in result if c not in ("site", "year")})


def seasons_of(series, **options):
    """Seasons of several sites as one table.

    series   site → (time,) DataArray
    options  of ``phenology.seasons``
    returns  DataFrame as ``phenology.table``, with series and site in front
    """
    tables = [phenology.table(phenology.seasons(one, **options), series=f"{site}_{one.name}", site=site)
              for site, one in series.items()]
    return pd.concat(tables, ignore_index=True)


def largest(series, days=10):
    """The largest value of every few days, on the day on which it was seen: the maximum-value composite.

    What lowers a value, such as a cloud, counts for nothing as long as one good day is left. Holben (1986).

    series   (time,) DataArray
    days     length of the steps, from the first day on
    returns  (time,) DataArray of the values that are kept
    """
    series = series.dropna("time")
    step = (series["time"].values - series["time"].values[0]) // np.timedelta64(int(days), "D")
    best = pd.Series(series.values).groupby(step).idxmax()
    return series.isel(time=best.to_numpy())


def observed(events, series, *, around=15):
    """Share of the days around each date on which there is an observation.

    events   DataFrame: site, date
    series   site → (time,) daily DataArray
    around   days on either side
    returns  (n,) list [-]
    """
    return [float(near(series[e.site], e.date, around).notnull().sum()) / (2 * around + 1) for e in events.itertuples()]


def near(series, date, around):
    """The part of a series that lies within a number of days of a date."""
    date, around = pd.Timestamp(date), pd.Timedelta(around, "D")
    return series.sel(time=slice(date - around, date + around))


def reasons(events, series, peaks, *, around=15):
    """What the series shows around dates on which two products disagree: a reason in words for each.

    events   DataFrame: site, date, found, low, high, share, direction ('rising', 'falling') of the reference
    series   site → (time,) daily DataArray, the observations
    peaks    DataFrame: site, peak of all seasons that we found
    around   days on either side of the reference date in which the observations are looked at
    returns  (n,) list of str
    """
    words = []
    for event, seen in zip(events.itertuples(), observed(events, series, around=around)):
        date, found = pd.Timestamp(event.date), pd.Timestamp(event.found)
        ours = peaks.loc[peaks["site"] == event.site, "peak"].dropna()
        between = ours.between(*sorted([date, found])).any() if pd.notna(found) else False
        level = event.low + event.share / 100 * (event.high - event.low)
        if pd.isna(found):
            words.append("no season of ours" if seen > 0.7 else "no season of ours, and a gap")
        elif seen < 0.7:
            words.append(f"gap: {100 * seen:.0f} % of the days observed")
        elif between:
            words.append("two rises, one season for one of us")
        elif not np.isfinite(level):
            words.append("the curves differ")
        else:
            part = float(near(series[event.site], date, around).mean()) / level
            words.append(f"observations there: {part:.1f} of its level")
    return words
