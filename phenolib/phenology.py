"""Seasons and their dates: start and end by any rule, across New Year, with an interval and a quality."""

import math
import re

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm, t

from phenolib import curves
from phenolib.errors import InputError, near
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
    "fit_poor": 2048,  # the function could not be fitted, or fits much worse than the smoother: dates are its
    "amplitude_too_small": 4096,  # no season, but half the rise and fall that would make one
}
FIGURES = {  # what is told of a season beside its dates: units and meaning, in the order of the compiled code
    "peak_value": ("{units}", "level of the peak"),
    "amplitude": ("{units}", "peak minus base"),
    "base": ("{units}", "mean of the troughs before and after"),
    "length": ("d", "from start to end at the lowest threshold"),
    "greenup_rate": ("{units} d-1", "mean rise from 20 to 80 % of the amplitude"),
    "senescence_rate": ("{units} d-1", "mean fall from 80 to 20 % of the amplitude"),
    "small_integral": ("{units} d", "area above the base from start to end at the lowest threshold"),
    "large_integral": ("{units} d", "area from start to end at the lowest threshold"),
    "noise": ("{units}", "SD of an observation about the curve"),
    "base_before": ("{units}", "level of the trough before"),
    "base_after": ("{units}", "level of the trough after"),
}
RULES = {
    "slope": ("sos_slope", "eos_slope"),
    "gu": ("upturn", "stabilisation", "downturn", "recession"),
    "curvature": ("greenup", "maturity", "senescence", "dormancy"),
}
LONG = {
    "sos_slope": "day of the steepest rise", "eos_slope": "day of the steepest fall",
    "upturn": "steepest rise, its tangent at the base", "stabilisation": "steepest rise, its tangent at the peak",
    "downturn": "steepest fall, its tangent at the peak", "recession": "steepest fall, its tangent at the base",
    "greenup": "first maximum of the change of curvature on the rise", "maturity": "its second maximum on the rise",
    "senescence": "first minimum of the change of curvature on the fall", "dormancy": "its second minimum on the fall",
}
EVENT = re.compile(r"(sos|eos)\d\d")
PLACES = {name: k for k, name in enumerate(LONG)}
START, END = (FLAGS[f"{side}_not_observed"] | FLAGS[f"{side}_in_gap"] | FLAGS["peak_not_observed"]
              for side in ("start", "end"))
DRAWS = 20  # of the curve observed anew, for the intervals of the other rules
UNSEEN = (START, END, START, START, END, END, START, START, END, END)  # flags with which a rule's date is missing


def seasons(series, *, method="savgol", thresholds=(0.2, 0.5), levels=(), also=(), weights=None, per_year=3,
            min_swing=0.25, min_amplitude=0.0, min_days=14, crossing="first", interval=0.9, curve=False, **options):
    """Seasons of a series, their dates and an interval on each.

    The series becomes a curve c (``curves.smooth``). A season is a peak with the trough before and the trough after
    it, both at least ``min_swing`` of the curve's range lower, and at least four times the noise of an observation;
    its amplitude is at least six times that noise, or less where the curve is known so much better. Each side is
    measured on its own:

        SOSₚ = first day on the way from the left trough with c ≥ c_left + p · (c_peak − c_left)
        EOSₚ = last day on the way to the right trough with c ≥ c_right + p · (c_peak − c_right)

    The level of a trough is the mean of the curve where it cannot be told from its lowest point. A date that would
    fall into a gap longer than ``max_gap``, or whose trough or peak was not observed, is missing (NaT) and the quality
    says why. A turning point at the edge of the observations counts as observed if its level is within a fifth of the
    amplitude of the median level of those that were seen in the series. Dates more than half of ``max_gap`` (and one
    and a half usual steps of the series) from an observation are marked as interpolated.

    The interval of a date follows from the noise of the residuals and from what the smoother or the fitted function
    makes of it there and at the two levels: σ √(v_t + (1−p)² v_base + p² v_peak) / |slope|, widened by factors that
    were fitted on simulated seasons (chapter 03 shows how well they hold, and where they do not). Where values near
    the base, within 12 days of the date, were taken for clouds, it reaches to the observation beyond them: they may
    have shown a harvest.

    series         (time, …) DataArray, numpy or dask
    method         savgol, whittaker, double_logistic, asymmetric_gaussian, harmonic or loess
    thresholds     shares of the amplitude, whole per cent [-]
    levels         absolute values, in units of the series: dates ``sos_at_VALUE``, ``eos_at_VALUE``
    also           further rules: 'slope' (steepest rise and fall), 'gu' (tangents at these, with base and peak; Gu et
                   al. 2009), 'curvature' (extrema of the change of curvature; Zhang et al. 2003); their intervals
                   take 20 draws of the curve observed anew, see ``rule_dates``
    weights        (time, …) 0 to 1; default 1 wherever there is a value
    per_year       how many seasons a year are kept, the largest amplitudes first; ``n_seasons`` counts all
    min_swing      rise and fall that make a season, as a share of the range of the curve [-]: from its 5th to its 95th
                   percentile for savgol, loess and harmonic, between its extremes for the others
    min_amplitude  … and in units of the series
    min_days       from trough to trough; a shorter rise and fall is not a season [days]
    crossing       'first': the date at which the level is first reached on the way from the trough to the peak, as
                   TIMESAT does; 'last': the last time the curve passes it before the peak (and first after it). They
                   differ where weeds, a cover crop or autumn growth come before the main rise.
    interval       probability that an interval is to hold the date; 0: none
    curve          whether the daily curve is returned too, with the dimension ``day``
    options        of the smoother, see ``curves.options``
    returns        Dataset with dimensions (…, season): ``sosNN`` and ``eosNN`` (NN = threshold in per cent) with
                   ``_low`` and ``_high``, ``peak`` [datetime64], ``amplitude``, ``base`` (mean of the two troughs,
                   ``base_before`` and ``base_after``), ``peak_value``, ``length`` [days], ``greenup_rate``,
                   ``senescence_rate`` (20 to 80 %) [units per day], ``small_integral`` (above the base),
                   ``large_integral`` (from start to end at the lowest threshold) [units · days], ``sosNN_value``,
                   ``eosNN_value``, ``noise`` (SD of an observation), ``quality`` (CF flags; 0 is good);
                   ``n_seasons`` (…). ``season`` has fixed length, harvest years × per_year, with the coordinates
                   ``year`` (the harvest year: that in which half of the amplitude is lost again; of the peak where
                   the end was not seen) and ``rank`` (1 is the largest).
    raises         InputError for thresholds that are no whole per cent from 1 to 99, and as ``curves.smooth``

    Jönsson & Eklundh (2002, 2004), seasonal-amplitude method with a minimum for each side.

    >>> time = pd.date_range("2020-01-01", "2020-12-31", freq="5D")
    >>> hump = np.exp(-(((time.day_of_year.values - 200) / 40) ** 2))
    >>> found = seasons(xr.DataArray(hump, dims="time", coords={"time": time}), thresholds=(0.5,), per_year=1)
    >>> found.sos50.dt.strftime("%d %B").item(), found.eos50.dt.strftime("%d %B").item()
    ('14 June', '20 August')
    """
    percent = whole_percent(thresholds)
    levels = tuple(dict.fromkeys(float(v) for v in np.atleast_1d(np.asarray(levels, float))))
    check(per_year, min_swing, min_amplitude, crossing, interval, also, levels)
    plan = curves.Plan(series, method, **options)
    series = curves.decoded(series)
    calendar = pd.DatetimeIndex(plan.start + np.arange(plan.length + 2).astype("timedelta64[D]")).year.to_numpy()
    first, years = int(calendar[0]), int(calendar[plan.length - 1] - calendar[0]) + 1
    year = np.minimum(calendar - first, years - 1).astype(np.int32)
    shares = sorted({*(p / 100 for p in percent), 0.2, 0.5, 0.8})
    kept = [p / 100 for p in percent]
    marks = np.array([(0, share, kept.index(share) if share in kept else -1) for share in shares]
                     + [(1, level, len(kept) + k) for k, level in enumerate(levels)], float)
    names = [f"{p:02d}" for p in percent] + [f"_at_{v:g}" for v in levels]
    slots, dates_kept = years * int(per_year), 6 * len(names) + 1
    figures_kept = len(FIGURES) + 2 * len(names)
    widen = float(norm.ppf(0.5 + interval / 2)) if interval else 0.0
    drawn = bool(curve or also)
    rules = [name for rule in also for name in RULES[rule]]
    places = [PLACES[name] for name in rules]

    def block(values, weight=None):
        pixels, shape = math.prod(values.shape[:-1]), values.shape[:-1]
        stamps = np.empty((dates_kept, pixels, slots), np.int64)  # each variable in one piece
        figures = np.empty((figures_kept, pixels, slots), np.float32)
        quality, total = np.empty((pixels, slots), np.int16), np.empty(pixels, np.int32)
        nodes = np.empty((pixels, plan.nodes.size), np.float32) if drawn else None
        plan.run(values, weight, marks=marks, stamps=stamps, values_out=figures, quality=quality, total=total,
                 curve=nodes, year=year, years=years, per_year=int(per_year), last=crossing == "last", widen=widen,
                 rule=(float(min_swing), float(min_amplitude), float(min_days)))
        results = [np.moveaxis(stamps, 0, -1), np.moveaxis(figures, 0, -1), quality, total]
        if curve:
            results.append(curves.kernel("daily")(plan.nodes, nodes, plan.length))
        if also:
            results.append(rule_dates(plan, values, weight, nodes, stamps, figures, quality, places, widen))
        return tuple(r.reshape(shape + r.shape[1:]) for r in results)

    inputs = [series] if weights is None else [series, curves.weights_of(series, weights)]
    outputs = [["season", "date"], ["season", "figure"], ["season"], []]
    kinds = [np.int64, np.float32, np.int16, np.int32]
    sizes = {"season": slots, "date": dates_kept, "figure": figures_kept}
    if curve:
        outputs, kinds, sizes = [*outputs, ["day"]], [*kinds, np.float32], {**sizes, "day": plan.length}
    if also:
        outputs, kinds = [*outputs, ["season", "rule", "bound"]], [*kinds, "datetime64[ns]"]
        sizes |= {"rule": len(places), "bound": 3}
    stamps, figures, quality, total, *more = xr.apply_ufunc(
        block, *inputs, input_core_dims=[["time"]] * len(inputs), output_core_dims=outputs, dask="parallelized",
        output_dtypes=kinds, dask_gufunc_kwargs={"output_sizes": sizes})
    slot_year, rank = np.repeat(np.arange(first, first + years), per_year), np.tile(np.arange(1, per_year + 1), years)
    result = label(stamps, figures, quality, total, names, series.attrs.get("units", "1"), bool(interval), {
        "year": ("season", slot_year, {"long_name": "harvest year"}),
        "rank": ("season", rank, {"long_name": "rank by amplitude within the year, 1 is the largest"})})
    if also:
        bounds = (("", ""), ("_low", "earliest "), ("_high", "latest "))
        for k, name in enumerate(rules):
            for bound, (end, text) in enumerate(bounds if interval else bounds[:1]):
                result[name + end] = more[-1].isel(rule=k, bound=bound).assign_attrs(long_name=text + LONG[name])
    if curve:
        day = plan.start + np.arange(plan.length).astype("timedelta64[D]")
        result["curve"] = more[0].assign_coords(day=day).assign_attrs(curves.units_of(series))
    return result


def check(per_year, min_swing, min_amplitude, crossing, interval, also, levels):
    """Refuses options of ``seasons`` that are out of range."""
    if not 1 <= int(per_year) <= 24:
        raise InputError(f"per_year = {per_year} is out of range; give 1 to 24")
    if not 0 < min_swing < 1 or min_amplitude < 0:
        raise InputError("min_swing must lie between 0 and 1, min_amplitude must not be negative")
    if crossing not in ("first", "last"):
        raise InputError(f"crossing '{crossing}' is not known; use 'first' or 'last'")
    if not 0 <= interval < 1:
        raise InputError(f"interval = {interval} is out of range; give a probability below 1, e.g. 0.9, or 0 for none")
    for rule in also:
        if rule not in RULES:
            raise InputError(f"also: the rule '{rule}' is not known{near(rule, RULES)}; use {' or '.join(RULES)}")
    if not np.isfinite(levels).all():
        raise InputError("levels must be numbers in units of the series")


def whole_percent(thresholds):
    """Thresholds as whole per cent, ascending; anything else is refused."""
    percent = sorted({round(100 * float(p)) for p in np.atleast_1d(thresholds)})
    for p in np.atleast_1d(thresholds):
        if not 1 <= round(100 * float(p)) <= 99 or abs(100 * float(p) - round(100 * float(p))) > 1e-6:
            raise InputError(f"threshold {p} is not a whole per cent of the amplitude from 0.01 to 0.99")
    return percent


def label(stamps, figures, quality, total, names, units, interval, coords):
    """The columns of the compiled code as named variables with units; coords: of the seasons, beside the input's."""
    dims, n, variables = stamps.dims[:-1], len(names), {}
    dates = stamps.data.view("datetime64[ns]")  # as numbers until now: xarray looks through dates, and copies for it

    def add(name, values, text, **attributes):
        variables[name] = (dims, values, {**attributes, "long_name": text})

    for end, (event, text) in enumerate((("sos", "start of season"), ("eos", "end of season"))):
        for k, name in enumerate(names):
            what = f"{text} at {name[4:]} {units}"
            if not name.startswith("_at_"):
                what = f"{text} at {int(name)} % of the amplitude"
            at = 3 * (end * n + k)
            add(f"{event}{name}", dates[..., at], what)
            if interval:
                add(f"{event}{name}_low", dates[..., at + 1], f"earliest {what}")
                add(f"{event}{name}_high", dates[..., at + 2], f"latest {what}")
    add("peak", dates[..., 6 * n], "day of the maximum")
    for k, (name, (unit, text)) in enumerate(FIGURES.items()):
        add(name, figures.data[..., k], text, units=unit.format(units=units))
    for end, event in enumerate(("sos", "eos")):
        for k, name in enumerate(names):
            if not name.startswith("_at_"):
                add(f"{event}{name}_value", figures.data[..., len(FIGURES) + end * n + k],
                    f"level of the curve at {event}{name}", units=units)
    variables["quality"] = (dims, quality.data, {
        "long_name": "why a date is missing or weak; 0 is good",
        "flag_masks": np.array(list(FLAGS.values()), np.int16), "flag_meanings": " ".join(FLAGS)})
    variables["n_seasons"] = (dims[:-1], total.data, {"units": "1", "long_name": "seasons found in the whole series"})
    return xr.Dataset(variables, coords={**stamps.coords, **coords})


def rule_dates(plan, values, weight, nodes, stamps, figures, quality, places, widen):
    """Dates by other rules on the daily curve between the troughs of each season, and their intervals.

    A rule that looks for a steepest or most bent day has no formula for its error. So the curve is observed anew, DRAWS
    times: at the observations, with the noise that was found, and smoothed and dated in the same way. What the dates do
    then they did when the season was observed: they scatter, and they move off; half the interval is the root mean
    square of both. On simulated seasons intervals of 90 % hold 0.86 to 0.94 of the steepest days, 0.6 to 0.85 of Gu's
    tangents and 0.7 to 0.9 of the bends. The draws are the same in every call and for every pixel.

    plan     ``curves.Plan``
    values, weight     (…, time)
    nodes    (pixel, node) the curve
    stamps, figures    (date, pixel, slot), (figure, pixel, slot) of the compiled pass; quality (pixel, slot)
    places   which of the rules
    widen    half an interval in SDs; 0: none
    returns  (pixel, slot, rule, 3) datetime64: date, lower and upper end
    """
    def dates(curve):
        daily = curves.kernel("daily")(plan.nodes, curve, plan.length)
        return curves.kernel("rule_dates")(daily, peak, bases)[..., places]

    peak = (stamps[-1] - plan.start.astype(np.int64)) / 86400e9
    peak[stamps[-1] == np.iinfo(np.int64).min] = np.nan
    names = list(FIGURES)
    bases = figures[[names.index("base_before"), names.index("base_after")]]
    day = dates(nodes)
    day[(quality[..., None] & np.array(UNSEEN)[places]) > 0] = np.nan
    half = np.full(day.shape, np.nan)
    if widen:
        observed, weight = curves.flatten(values), None if weight is None else curves.flatten(weight)
        noise = np.nanmax(np.nan_to_num(figures[names.index("noise")]), axis=1, initial=0.0)[:, None]
        spread = noise * np.ones_like(observed)
        if weight is not None:
            spread = spread / np.sqrt(np.clip(weight / np.nanmax(weight, axis=1, keepdims=True), 0.05, 1))
        spread[~np.isfinite(observed)] = np.nan
        rng, clean = np.random.default_rng(0), nodes[:, plan.node]
        moved, count = np.zeros(day.shape), np.zeros(day.shape)
        for _ in range(DRAWS):
            away = dates(plan.curve(clean + spread * rng.standard_normal(observed.shape[1], np.float32), weight)) - day
            good = np.isfinite(away)
            count += good
            moved += np.where(good, away**2, 0)
        few = t.ppf(norm.cdf(widen), DRAWS - 1)  # the SD of so few draws is itself uncertain
        half = few * np.sqrt(moved / np.where(count < DRAWS / 2, np.nan, count))
    days = np.stack([day, day - half, day + half], -1)
    result = plan.start + np.nan_to_num(days * 86400e9).astype("timedelta64[ns]")
    result[~np.isfinite(days)] = np.datetime64("NaT")
    return result


def table(found, *, intervals=False, **labels):
    """Seasons as rows, one a season, in the order of their peaks.

    found      Dataset of ``seasons`` for one series (dimension season only)
    intervals  whether sosNN_low, sosNN_high, … are kept
    labels     columns put in front, e.g. series="mead2_AG_1000"
    returns    DataFrame: labels, season (harvest year), rank, sosNN … ascending, peak, eosNN … descending [datetime64],
               amplitude, base, quality (int) and reason (the flags in words). A year within the observations but
               without a season has one row without dates.
    """
    rows = found.drop_dims("day", errors="ignore").drop_vars("n_seasons").to_dataframe().reset_index(drop=True)
    rows = rows.rename(columns={"year": "season"})
    empty = rows["amplitude"].isna()
    rows = rows[~empty | ((rows["rank"] == 1) & (rows["quality"] & FLAGS["outside_series"] == 0))].copy()
    rows["reason"] = [reason(q) for q in rows["quality"]]
    order = rows["peak"].fillna(pd.to_datetime(rows["season"].astype(str) + "-07-01"))
    starts = sorted(c for c in rows if EVENT.fullmatch(c) and c.startswith("sos"))
    ends = sorted((c for c in rows if EVENT.fullmatch(c) and c.startswith("eos")), reverse=True)
    ranges = [f"{c}_{end}" for c in (*starts, *ends) for end in ("low", "high") if f"{c}_{end}" in rows]
    columns = ["season", "rank", *starts, "peak", *ends, *(ranges if intervals else []), "amplitude", "base", "quality",
               "reason"]
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
                     [c for c in rows if EVENT.fullmatch(c)], var_name="event", value_name="date")
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
