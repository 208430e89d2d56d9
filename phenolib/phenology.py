"""Seasons and their dates: start and end at any share of the amplitude, across New Year, with a quality."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import curves
from phenolib.errors import InputError
from phenolib.sources import phenocam

FLAGS = {  # name: bit; the order is that of the compiled function
    "start_not_observed": 1,
    "end_not_observed": 2,
    "start_in_gap": 4,
    "end_in_gap": 8,
    "date_interpolated": 16,
    "peak_not_observed": 32,
    "peak_at_edge": 64,  # of the observations; taken for the peak because its level is usual
    "mostly_gaps": 128,
    "no_season": 256,
    "no_data": 512,  # no season, and less than half of the year was observed while the series ran
    "outside_series": 1024,  # no season, and a quarter of the year or more lies before or after the observations
}


def seasons(series, *, method="savgol", thresholds=(0.2, 0.5), weights=None, per_year=3, min_swing=0.25,
            min_amplitude=0.0, min_days=14, max_gap=30.0, crossing="first", **smoothing):
    """Seasons of a series and their dates.

    The series is smoothed to a daily curve c (``curves.smooth``). A season is a peak with the trough before and the
    trough after it, both at least ``min_swing`` of the curve's range (95th − 5th percentile) lower, and at least
    four times the noise. Each side is measured on its own:

        SOSₚ = first day on the way from the left trough with c ≥ c_left + p · (c_peak − c_left)
        EOSₚ = last day on the way to the right trough with c ≥ c_right + p · (c_peak − c_right)

    A date that would fall into a gap longer than ``max_gap``, or whose trough or peak was not observed, is missing
    (NaT) and the quality says why. A turning point at the edge of the observations counts as observed if its level
    is within a fifth of the amplitude of the median level of those that were seen in the series. Dates more than half
    of ``max_gap`` (and one and a half usual steps of the series) from an observation are marked as interpolated. The
    defaults are for steps up to about ten days; composites of 16 days and more are flattened.

    series         (time, …) DataArray, numpy or dask
    method         smoother: 'savgol'
    thresholds     shares of the amplitude, whole per cent [-]
    weights        (time, …) 0 to 1; default 1 wherever there is a value
    per_year       how many seasons a year are kept, the largest amplitudes first; ``n_seasons`` counts all
    min_swing      rise and fall that make a season, as a share of the range of the curve [-]
    min_amplitude  … and in units of the series
    min_days       from trough to trough; a shorter rise and fall is not a season [days]
    max_gap        longest gap in which the curve may be read [days]
    crossing       'first': the date at which the level is first reached on the way from the trough to the peak, as
                   TIMESAT does; 'last': the last time the curve passes it before the peak (and first after it). They
                   differ where weeds, a cover crop or autumn growth come before the main rise.
    smoothing      further options of ``curves.smooth``
    returns        Dataset with dimensions (…, season): ``sosNN`` and ``eosNN`` (NN = threshold in per cent), ``peak``
                   [datetime64], ``amplitude``, ``base`` (mean of the two troughs) [units of the series], ``quality``
                   (CF flags; 0 is good); ``n_seasons`` (…). ``season`` has fixed length, harvest years × per_year, with
                   the coordinates ``year`` (the harvest year: that in which half of the amplitude is lost again; of the
                   peak where the end was not seen) and ``rank`` (1 is the largest).
    raises         InputError for thresholds that are no whole per cent from 1 to 99, and as ``curves.smooth``

    Jönsson & Eklundh (2002, 2004), seasonal-amplitude method with a minimum for each side.

    >>> time = pd.date_range("2020-01-01", "2020-12-31", freq="5D")
    >>> hump = np.exp(-(((time.day_of_year.values - 200) / 40) ** 2))
    >>> found = seasons(xr.DataArray(hump, dims="time", coords={"time": time}), thresholds=(0.5,), per_year=1)
    >>> found.sos50.dt.strftime("%d %B").item(), found.eos50.dt.strftime("%d %B").item()
    ('14 June', '20 August')
    """
    percent = whole_percent(thresholds)
    if not 1 <= int(per_year) <= 24:
        raise InputError(f"per_year = {per_year} is out of range; give 1 to 24")
    if not 0 < min_swing < 1 or min_amplitude < 0:
        raise InputError("min_swing must lie between 0 and 1, min_amplitude must not be negative")
    if crossing not in ("first", "last"):
        raise InputError(f"crossing '{crossing}' is not known; use 'first' or 'last'")
    smoothing = {**DEFAULTS, **smoothing, "max_gap": max_gap}
    options = curves.check_options(method, **smoothing)
    day, start, length = curves.days_of(series)
    calendar = pd.DatetimeIndex(start + np.arange(length).astype("timedelta64[D]")).year.to_numpy()
    first, years = int(calendar[0]), int(calendar[-1] - calendar[0]) + 1
    share = np.array(percent, float) / 100
    columns = 2 * share.size + 4

    def block(values, weight):
        curve = curves.kernel("fit_all")(day, curves.flatten(values), curves.flatten(weight), length, *options)
        found, count = curves.kernel("find_all")(
            *curve, calendar - first, years, int(per_year), share, float(min_swing), float(min_amplitude),
            int(min_days), float(max_gap), crossing == "last", tuple(FLAGS.values()),
        )
        shape = values.shape[:-1]
        return found.reshape(*shape, years * per_year, columns), count.reshape(shape)

    sizes = {"season": years * per_year, "column": columns}
    found, count = xr.apply_ufunc(
        block, series, curves.weights_of(series, weights),
        input_core_dims=[["time"], ["time"]], output_core_dims=[["season", "column"], []],
        dask="parallelized", output_dtypes=[np.float64, np.int64], dask_gufunc_kwargs={"output_sizes": sizes},
    )
    result = label(found, percent, start, series.attrs.get("units", "1"))
    result["n_seasons"] = count.assign_attrs(units="1", long_name="seasons found in the whole series")
    coordinate = np.repeat(np.arange(first, first + years), per_year), np.tile(np.arange(1, per_year + 1), years)
    return result.assign_coords(
        year=("season", coordinate[0], {"long_name": "harvest year"}),
        rank=("season", coordinate[1], {"long_name": "rank by amplitude within the year, 1 is the largest"}),
    )


DEFAULTS = dict(window=21.0, envelope=2, adaptation=2.0, steep=1.0, spike=2.0, break_gap=120.0)


def whole_percent(thresholds):
    """Thresholds as whole per cent, ascending; anything else is refused."""
    percent = sorted({round(100 * float(p)) for p in np.atleast_1d(thresholds)})
    for p in np.atleast_1d(thresholds):
        if not 1 <= round(100 * float(p)) <= 99 or abs(100 * float(p) - round(100 * float(p))) > 1e-6:
            raise InputError(f"threshold {p} is not a whole per cent of the amplitude from 0.01 to 0.99")
    return percent


def label(found, percent, start, units):
    """The columns of the compiled function as named variables with units, flags and dates."""
    shares = len(percent)
    result = xr.Dataset()
    for end, (event, text) in enumerate((("sos", "start of season"), ("eos", "end of season"))):
        for s, p in enumerate(percent):
            result[f"{event}{p:02d}"] = dates(found.isel(column=end * shares + s), start).assign_attrs(
                long_name=f"{text} at {p} % of the amplitude")
    result["peak"] = dates(found.isel(column=2 * shares), start).assign_attrs(long_name="day of the maximum")
    result["amplitude"] = found.isel(column=2 * shares + 1).assign_attrs(
        units=units, long_name="peak minus base")
    result["base"] = found.isel(column=2 * shares + 2).assign_attrs(
        units=units, long_name="mean of the troughs before and after")
    quality = found.isel(column=2 * shares + 3).fillna(FLAGS["no_season"]).astype(np.int16)
    result["quality"] = quality.assign_attrs(
        long_name="why a date is missing or weak; 0 is good", flag_masks=np.array(list(FLAGS.values()), np.int16),
        flag_meanings=" ".join(FLAGS))
    return result


def dates(days, start):
    """Days since ``start`` (NaN: missing) as datetime64[ns]."""

    def block(values):
        whole = np.where(np.isfinite(values), values * 86400e9, 0).astype("timedelta64[ns]")
        return np.where(np.isfinite(values), start + whole, np.datetime64("NaT", "ns"))

    return xr.apply_ufunc(block, days, dask="parallelized", output_dtypes=["datetime64[ns]"])


def table(found, **labels):
    """Seasons as rows, one a season, in the order of their peaks.

    found    Dataset of ``seasons`` for one series (dimension season only)
    labels   columns put in front, e.g. series="mead2_AG_1000"
    returns  DataFrame: labels, season (harvest year), rank, sosNN … ascending, peak, eosNN … descending [datetime64],
             amplitude, base, quality (int) and reason (the flags in words). A year within the observations
             but without a season has one row without dates.
    """
    rows = found.drop_vars("n_seasons").to_dataframe().reset_index(drop=True).rename(columns={"year": "season"})
    empty = rows["quality"] >= FLAGS["no_season"]
    rows = rows[~empty | ((rows["rank"] == 1) & (rows["quality"] < FLAGS["outside_series"]))].copy()
    rows["reason"] = [reason(q) for q in rows["quality"]]
    order = rows["peak"].fillna(pd.to_datetime(rows["season"].astype(str) + "-07-01"))
    starts = sorted(c for c in rows if c.startswith("sos"))
    columns = ["season", "rank", *starts, "peak", *sorted((c for c in rows if c.startswith("eos")), reverse=True),
               "amplitude", "base", "quality", "reason"]
    rows = rows.loc[order.sort_values(kind="stable").index, columns].reset_index(drop=True)
    for k, (name, value) in enumerate(labels.items()):
        rows.insert(k, name, value)
    return rows


def rounded(rows):
    """The same table with its dates rounded to whole days."""
    dated = [c for c in rows if c[:3] in ("sos", "eos") or c == "peak"]
    return rows.assign(**{c: rows[c].dt.round("D") for c in dated})


def reason(quality):
    """A quality in words.

    >>> reason(5)
    'start not observed, start in gap'
    """
    return ", ".join(name.replace("_", " ") for name, bit in FLAGS.items() if int(quality) & bit)


def events(rows):
    """Season dates in long form: one row a date.

    rows     DataFrame of ``table`` with a column series
    returns  DataFrame: series, season, direction (rising | falling), share [%], date (no missing ones)
    """
    if not len(rows):
        return pd.DataFrame(columns=["series", "season", "direction", "share", "date"]).astype({"share": int})
    long = rows.melt([c for c in ("series", "season") if c in rows],
                     [c for c in rows if c[:3] in ("sos", "eos")], var_name="event", value_name="date")
    long["direction"] = np.where(long["event"].str.startswith("sos"), "rising", "falling")
    long["share"] = long["event"].str[3:].astype(int)
    return long.dropna(subset="date").drop(columns="event").reset_index(drop=True)


def passing(curve, level, near, direction):
    """The day a curve passes a level in a direction, nearest to a given day.

    curve      (time,) DataArray; missing values are passed over
    level      in units of the curve
    near       datetime64
    direction  'rising' or 'falling'
    returns    datetime64[ns], NaT if it never does
    """
    curve = curve.dropna("time")
    y, t = curve.values, curve["time"].values.astype("datetime64[ns]")
    up = (y[:-1] < level) & (y[1:] >= level)
    down = (y[:-1] >= level) & (y[1:] < level)
    k = np.flatnonzero(up if direction == "rising" else down)
    if not k.size:
        return np.datetime64("NaT", "ns")
    share = (level - y[k]) / (y[k + 1] - y[k])
    day = t[k] + (share * (t[k + 1] - t[k]).astype(float)).astype("timedelta64[ns]")
    return day[np.argmin(np.abs(day - np.datetime64(near, "ns")))]


def camera_seasons(cameras, *, metric="gcc_90", **options):
    """Seasons of many camera series as one table.

    cameras  DataFrame with series, site and path of each
    metric   which greenness
    options  of ``seasons``
    returns  DataFrame as ``table``, with series and site in front
    raises   InputError as ``sources.phenocam.read``
    """
    rows = []
    for camera in cameras.itertuples():
        series = phenocam.greenness(phenocam.read(camera.path), metric)
        rows.append(table(seasons(series, **options), series=camera.series, site=camera.site))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def reread(events):
    """Published events, each read again on the curve it was published with, at exactly its share.

    The product gives the date of the first three-day step at or past a share. Its own smoothed curve, in the same
    file as the observations, and its own two levels tell when the share itself was passed:

        c(t) = low + share · (high − low), between the steps by a straight line, next to the published date

    events   DataFrame of ``archive.reference(...).events``
    returns  the events with a column ``reread`` [datetime64]: NaT where the file has no smoothed curve, the date
             itself where no levels are given
    """
    events = events.reset_index(drop=True).copy()
    events["date"] = events["reread"] = pd.to_datetime(events["date"]).astype("datetime64[ns]")
    for (path, metric), rows in events.dropna(subset="low").groupby(["path", "metric"]):
        curve = phenocam.read(path).get(f"smooth_{metric}")
        for k, row in rows.iterrows():
            level = row["low"] + row["share"] / 100 * (row["high"] - row["low"])
            events.loc[k, "reread"] = pd.NaT if curve is None else passing(curve, level, row["date"], row["direction"])
    return events
