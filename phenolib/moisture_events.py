"""How moisture moves at a site: how fast it dries, how far rain lifts it, how it swings with the season.

What is told here needs no soil map and no calibration: any daily series that rises with water will do, soil moisture of
neutrons or probes, or counts turned over (``wetness``). Drying times and memory have no unit of moisture; sizes (gain,
rise, amplitude, range, winter) have that of the series. Rain is used where it is given. Without it events are found
from the rises alone.

The intervals come from draws of whole calendar years: a drought year counts as one, not as 365 days.
"""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError

FEATURES = {  # name: unit where the series is in m³ m⁻³, meaning
    "tau": ("days", "time to lose all but 1/e of what is left to lose, dry-downs of the warm half of the year"),
    "drain": ("days", "the same in the cold half, when water runs down more than it evaporates"),
    "gain": ("m3 m-3 mm-1", "moisture gained per mm of rain; NaN without rain"),
    "rise": ("m3 m-3", "mean size of a rise"),
    "amplitude": ("m3 m-3", "half the swing of the yearly harmonic"),
    "range": ("m3 m-3", "5 to 95 % of the days"),
    "memory": ("days", "e-folding time of the autocorrelation of what departs from the season"),
    "winter": ("m3 m-3", "median of December to February, where drained soil holds what it can"),
}
TIMES = np.geomspace(1.0, 120.0, 60)  # drying times that are tried [days]
WARM = (4, 5, 6, 7, 8, 9)  # months; of the northern half of the earth
WINTER = (12, 1, 2)
LEAST = 5  # days of a dry-down
LONGEST = 60  # days of one that are looked at
EVENTS = 8  # dry-downs that a drying time needs
WET, SHOWER = 5.0, 2.0  # mm in two days that make an event, mm in a day that end a dry-down
JUMP = 2.5  # what counts as a rise, in SD of the noise of a difference
LAGS = 120  # days


def wetness(neutrons, *, dry=0.99):
    """Corrected counts turned over: fewer neutrons, more water. It knows no soil, no carbon and no calibration.

    w = N_dry / N − 1, N_dry the quantile of the site's own counts

    neutrons  (site, time) DataArray of corrected counts, above 0
    dry       quantile that stands for the driest days [-]
    returns   like neutrons [-]; 0 on a day as dry as that
    raises    InputError for a count of 0 or less

    A project default. It uses no metadata, but it is not blind to carbon: where organic matter holds hydrogen already,
    a millimetre of rain changes counts by less, and all *sizes* in w are smaller. Times are touched less: noise, larger
    beside the signal there, makes them longer.

    >>> wetness(xr.DataArray([[1000.0, 800.0]], dims=("site", "time")), dry=1).values.tolist()
    [[0.0, 0.25]]
    """
    if float(neutrons.min()) <= 0:
        raise InputError(f"a count of {float(neutrons.min()):g} is not above 0; leave it missing where nothing was "
                         "counted")
    found = neutrons.quantile(dry, "time").drop_vars("quantile") / neutrons - 1
    return found.transpose(*neutrons.dims).assign_attrs(units="1", long_name="dry over measured counts, less 1")


def noise(series):
    """SD of what changes from day to day without lasting, from second differences (robust): σ = 1.48 MAD(Δ²) / √6.

    series   (…, time) array, daily, NaN where missing
    returns  (…) unit of the series; NaN without three days in a row

    A sharp rise is an outlier here and does not count. Where it rains every other day this is too large.

    >>> float(noise(np.arange(9.0)))
    0.0
    """
    values = np.asarray(series, float)
    bent = values[..., 2:] - 2 * values[..., 1:-1] + values[..., :-2]
    made = np.full(bent.shape[:-1], np.nan)
    some = np.isfinite(bent).any(-1)
    if some.any():
        made[some] = 1.4826 * np.nanmedian(np.abs(bent[some]), -1) / np.sqrt(6)
    return made[()]


def events(moisture, rain=None, *, least=LEAST, jump=JUMP, wet=WET, shower=SHOWER):
    """Rises and the dry-downs that follow them.

    With rain a rise is two days with ``wet`` mm or more, and a dry-down ends before the next day with more than
    ``shower``. Without it a rise is one of the mean of three days, above the noise of the series and 5 % of its range,
    and a dry-down ends before the next. It begins when the two days are over (without rain a day after the top), so
    that noise has no say in it, and has at most 60 days and no gap of more than two.

    moisture  (site, time) DataArray, daily; the first dimension may have any name
    rain      (site, time) DataArray [mm d⁻¹] at the same sites and days, or None
    least     days with a value that a dry-down needs; 0 keeps rises without one
    jump      of a rise, in SD of the noise of a difference (without rain) [-]
    wet, shower   with rain [mm]
    returns   DataFrame, a row per event: site, rise (its size, unit of the series), rain [mm] (NaN where not known),
              top (last day of the rise), start, end (of the dry-down, datetime64), days (with a value in it)
    raises    InputError for series that are not daily, or rain of other sites or days
    """
    moisture, rain = _daily(moisture, rain)
    time = moisture["time"].values
    rows = []
    for k, name in enumerate(moisture[moisture.dims[0]].values):
        own = moisture.values[k].astype(float)
        for row in _events(own, None if rain is None else rain.values[k].astype(float), jump, wet, shower):
            days = int(np.isfinite(own[row[1] + 1:row[2] + 1]).sum())
            if days >= least:
                rows.append((name, row[3], row[4], time[row[1]], time[min(row[1] + 1, len(time) - 1)], time[row[2]],
                             days))
    return pd.DataFrame(rows, columns=["site", "rise", "rain", "top", "start", "end", "days"])


def features(moisture, rain=None, *, warm=WARM, winter=WINTER, least=LEAST, draws=200, level=0.9, seed=0, **options):
    """What ``FEATURES`` lists, by site, with intervals from draws of years.

    tau, drain: θ(t) = θ_w + A e^(−t/τ) over the days of all dry-downs of a half-year, θ_w one number of the site in it,
    A one of each event; least squares over ``TIMES``. θ_w is kept above what is half a range below the driest
    days, else a straight line would have no drying time. gain: slope of rise on rain through 0. memory: days until the
    autocovariance has fallen to 1/e of that at one day (that at 0 days holds the noise), at most 120.

    moisture  (site, time) DataArray, daily, of any unit that rises with water
    rain      (site, time) DataArray [mm d⁻¹], or None
    warm      months of tau; drain has the others
    winter    months of the plateau
    least     days of a dry-down
    draws     of years, for intervals; 0: none
    level     of the intervals [-]
    options   of ``events``
    returns   DataFrame by site: each feature and its _low and _high, left and left_cold (θ_w of tau and drain), noise,
              events (dry-downs), used (share of all days with a value), years (with 90 days or more). NaN where a
              feature cannot be told: fewer than 8 dry-downs, half a year of days, or 30 days of winter
    raises    InputError as ``events``

    McColl et al. (2017), Geophys. Res. Lett. 44:3682, for the exponential form; events together, months and limits are
    project defaults. Two probes of one place may differ more than two soils: compare sites that are read alike.
    """
    moisture, rain = _daily(moisture, rain)
    index = moisture.indexes["time"]
    year, month = index.year.to_numpy(), index.month.to_numpy()
    rng = np.random.default_rng(seed)
    rows = {}
    for k, name in enumerate(moisture[moisture.dims[0]].values):
        own = moisture.values[k].astype(float)
        there = np.isfinite(own)
        row = {"noise": float(noise(own)), "used": float(there.mean())}
        years, days = np.unique(year[there], return_counts=True)
        years = years[days >= 90]
        row["years"] = years.size
        times = np.ones((1, years.size))
        if draws and years.size > 1:
            drawn = rng.multinomial(years.size, np.full(years.size, 1 / years.size), draws)
            times = np.concatenate([times, drawn])
        member = np.where(np.isin(year, years), np.searchsorted(years, year), -1)
        kept = np.where(member >= 0, own, np.nan)
        made = _site(kept, None if rain is None else rain.values[k].astype(float), index.day_of_year.to_numpy(), month,
                     member, times, warm, winter, least, options)
        row["events"] = made.pop("events")
        for feature, values in made.items():
            row[feature] = float(values[0])
            if feature in FEATURES:
                known = values[1:][np.isfinite(values[1:])]
                enough = known.size >= 0.5 * draws > 0 and np.isfinite(values[0])
                low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if enough else (np.nan, np.nan)
                row |= {f"{feature}_low": float(low), f"{feature}_high": float(high)}
        rows[name] = row
    table = pd.DataFrame(rows).T.rename_axis("site").astype(float).astype({"years": int, "events": int})
    order = [f"{name}{end}" for name in FEATURES for end in ("", "_low", "_high")]
    table = table[[*order, "left", "left_cold", "noise", "events", "used", "years"]]
    table.attrs = {"rain": rain is not None, "level": level, "draws": int(draws)}
    return table


# ---- one site

def _daily(moisture, rain):
    """Both as (site, time) of the same sites and days."""
    for name, given in (("moisture", moisture), ("rain", rain)):
        if given is None:
            continue
        if not isinstance(given, xr.DataArray) or given.ndim != 2 or "time" not in given.dims:
            raise InputError(f"{name}: give a DataArray with the dimensions site and time, not "
                             f"{getattr(given, 'dims', type(given).__name__)}")
    moisture = moisture.transpose(..., "time")
    step = np.diff(moisture["time"].values)
    if moisture.sizes["time"] < 3 or (step != np.timedelta64(1, "D")).any():
        at = int(np.flatnonzero(step != np.timedelta64(1, "D"))[0]) if step.size and (
            step != np.timedelta64(1, "D")).any() else 0
        raise InputError(f"moisture: the series is not daily at {str(moisture['time'].values[at])[:10]}; give every "
                         "day, missing ones as NaN")
    if rain is None:
        return moisture, None
    rain = rain.transpose(..., "time")
    if rain.shape != moisture.shape or (rain["time"].values != moisture["time"].values).any() or (
            rain[rain.dims[0]].values != moisture[moisture.dims[0]].values).any():
        raise InputError(f"rain: {rain.shape[0]} sites and {rain.shape[1]} days, moisture has {moisture.shape[0]} and "
                         f"{moisture.shape[1]}; give both at the same sites and days (rain.reindex_like(moisture))")
    if float(rain.min()) < 0:
        raise InputError(f"rain: {float(rain.min()):g} mm is below 0; leave it missing where it was not measured")
    return moisture, rain


def _events(v, rain, jump, wet, shower):
    """(before, top, end, rise, rain) of each event; a dry-down has the days top + 1 to end."""
    n = v.size
    there = np.isfinite(v)
    if there.sum() < 10:
        return []
    wide = np.pad(v, 1, constant_values=np.nan)
    parts = np.stack([wide[:-2], wide[1:-1], wide[2:]])
    count = np.isfinite(parts).sum(0)
    smooth = np.where(there & (count > 1), np.nansum(parts, 0) / np.maximum(count, 1), np.nan)
    spread = np.subtract(*np.quantile(v[there], [0.95, 0.05]))
    limit = max(jump * np.sqrt(2 / 3) * float(np.nan_to_num(noise(v))), 0.05 * spread)
    if rain is None:
        lifted = np.zeros(n, bool)
        for lag in (1, 2):
            lifted[lag:] |= smooth[lag:] - smooth[:-lag] > limit
    else:
        two = np.nan_to_num(rain)
        lifted = two + np.r_[0, two[:-1]] >= wet
    value, mean = v.tolist(), smooth.tolist()  # a list is faster to walk
    water = None if rain is None else rain.tolist()
    known, lifted = there.tolist(), lifted.tolist()
    found, i = [], 1
    while i < n - 1:
        if not lifted[i]:
            i += 1
            continue
        before = i - 2 if i > 1 and rain is not None and not water[i] >= shower else i - 1
        last = i
        while last + 1 < n and lifted[last + 1] and last - i < 10:
            last += 1
        top = last
        if rain is None:
            near = smooth[i:last + 2]
            top = i + int(np.argmax(np.where(np.isnan(near), -np.inf, near)))
        end, low, missing, j = top, np.fmin(mean[top], np.inf), 0, top + 1
        while j < n and j - top <= LONGEST and missing <= 2:
            if rain is not None:
                if not water[j] <= shower:  # more, or not known
                    break
            elif mean[j] - low > limit:
                break
            if known[j]:
                end, missing = j, 0
                low = mean[j] if mean[j] < low else low
            else:
                missing += 1
            j += 1
        if rain is None:
            end -= end > top + 1  # the mean of three days has the next rise in it
            rise, fell = mean[top] - mean[before], np.nan
        else:  # the day after the last shower, not the highest: noise would lift that
            rise = value[min(last + (water[last] > shower), n - 1)] - value[before]
            fell = rain[before + 1:top + 1].sum()
        found.append((before, top, end, float(rise), float(fell)))
        i = max(end, last) + 1
    return found


def _site(v, rain, day, month, member, times, warm, winter, least, options):
    """{feature: (1 + draw,)} of one site; ``member`` is the number of the year of each day, ``times`` (1 + draw, year)
    how often each year counts."""
    limits = {name: options.get(name, default) for name, default in (("jump", JUMP), ("wet", WET), ("shower", SHOWER))}
    all_events = _events(v, rain, *limits.values())
    dry = [e for e in all_events if np.isfinite(v[e[1] + 1:e[2] + 1]).sum() >= least]
    there = np.isfinite(v)
    none = np.full(len(times), np.nan)
    made = dict.fromkeys((*FEATURES, "left", "left_cold"), none)
    made["events"] = len(dry)
    if there.sum() < 180:
        return made
    low, high = _quantiles(v[there], member[there], times, (0.05, 0.95))
    made["range"] = high - low
    floor = low[0] - (high[0] - low[0]) / 2
    for name, left, some in (("tau", "left", [e for e in dry if month[e[1]] in warm]),
                             ("drain", "left_cold", [e for e in dry if month[e[1]] not in warm])):
        if len(some) >= EVENTS:
            made[name], made[left] = _drying(v, some, member, times, floor)
    rises = np.array([(e[3], e[4], member[e[1]]) for e in all_events if np.isfinite(e[3])]).reshape(-1, 3)
    if rain is not None:
        rises = rises[np.isfinite(rises[:, 1]) & (rises[:, 1] > 0)]
    if len(rises) >= EVENTS:
        sums = _by_year(np.stack([np.ones(len(rises)), rises[:, 0], rises[:, 0] * rises[:, 1], rises[:, 1]**2]),
                        rises[:, 2].astype(int), times)
        with np.errstate(invalid="ignore", divide="ignore"):
            made["rise"] = sums[1] / sums[0]
            if rain is not None:
                made["gain"] = sums[2] / sums[3]
    season, made["amplitude"] = _season(v, day, member, times)
    made["memory"] = _memory(v - season, member, times)
    cold = there & np.isin(month, winter)
    if cold.sum() >= 30:
        made["winter"] = _quantiles(v[cold], member[cold], times, (0.5,))[0]
    return made


def _by_year(values, member, times):
    """Sums (…, n) over the days or events of each draw of years: (…, draw)."""
    flat = values.reshape(-1, values.shape[-1])
    sums = np.stack([np.bincount(member, row, times.shape[1]) for row in flat])
    return (sums @ times.T).reshape(*values.shape[:-1], len(times))


def _quantiles(values, member, times, shares):
    """Quantiles of the values of each draw of years: (share, draw)."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(times[:, member[order]], 1)
    place = [(total >= s * total[:, -1:]).argmax(1) for s in shares]
    found = values[order][np.array(place)]
    return np.where(total[:, -1] > 0, found, np.nan)


def _drying(v, some, member, times, floor):
    """τ and θ_w of each draw of years: (draw,), (draw,). The amplitude of each event is projected out, so that the
    squares left are a quadratic in θ_w, which sums over events."""
    long = max(e[2] - e[1] for e in some)
    days = np.arange(1, long + 1)
    y = np.full((len(some), long), np.nan)
    for k, e in enumerate(some):
        y[k, :e[2] - e[1]] = v[e[1] + 1:e[2] + 1]
    good = np.isfinite(y).astype(float)  # (event, day)
    y = np.nan_to_num(y)
    fall = np.exp(-days[:, None] / TIMES)  # (day, time)
    ee, ey, e1 = good @ fall**2, y @ fall, good @ fall  # (event, time)
    a = (y**2).sum(1)[:, None] - ey**2 / ee
    b = y.sum(1)[:, None] - ey * e1 / ee
    c = good.sum(1)[:, None] - e1**2 / ee
    year = member[[e[1] for e in some]]
    a, b, c = (_by_year(part.T, year, times) for part in (a, b, c))  # (time, draw)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.maximum(b / c, floor)
    rest = a - 2 * b * left + c * left**2
    known = np.isfinite(rest).all(0) & (c[0] > 0)
    best = np.clip(np.where(known, np.nan_to_num(rest), 0).argmin(0), 1, len(TIMES) - 2)
    at = np.arange(len(times))
    before, here, after = rest[best - 1, at], rest[best, at], rest[best + 1, at]
    bend = before - 2 * here + after
    with np.errstate(invalid="ignore", divide="ignore"):
        aside = np.where(bend > 0, np.clip((before - after) / (2 * bend), -1, 1), 0)
    tau = np.exp(np.log(TIMES[best]) + aside * np.log(TIMES[1] / TIMES[0]))
    return np.where(known, tau, np.nan), np.where(known, left[best, at], np.nan)


def _season(v, day, member, times):
    """Mean and two harmonics (time,), and the amplitude of the first of each draw (draw,)."""
    turn = 2 * np.pi * day / 365.25
    X = np.stack([np.ones_like(turn), np.sin(turn), np.cos(turn), np.sin(2 * turn), np.cos(2 * turn)])
    good = np.isfinite(v)
    products = np.concatenate([X[:, None] * X[None], (X * np.nan_to_num(v))[:, None]], 1)[..., good]
    sums = np.moveaxis(_by_year(products, member[good], times), -1, 0)  # (draw, 5, 6)
    fitted = np.full((len(times), 5), np.nan)
    solid = np.linalg.cond(sums[..., :5]) < 1e6  # else a season is missing
    fitted[solid] = np.linalg.solve(sums[solid][..., :5], sums[solid][..., 5:])[..., 0]
    return fitted[0] @ X, np.hypot(fitted[:, 1], fitted[:, 2])


def _memory(v, member, times):
    """Days until the autocovariance is 1/e of that at one day, of each draw: (draw,); ``LAGS`` where it is longer."""
    good = np.isfinite(v)
    starts = np.flatnonzero(np.diff(member, prepend=-2))  # years are blocks of days
    pairs = np.zeros((2, LAGS, times.shape[1]))
    for k, x in enumerate((np.nan_to_num(v), good.astype(float))):
        later = np.lib.stride_tricks.sliding_window_view(np.r_[x, np.zeros(LAGS)], LAGS + 1)[:, 1:]  # (day, lag)
        sums = np.add.reduceat(x[:, None] * later, starts, axis=0)
        for block, year in zip(sums, member[starts]):
            if year >= 0:
                pairs[k, :, year] += block
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = np.divide(*(pairs @ times.T))  # (lag, draw)
        share = covariance / covariance[0]
    below = share < np.exp(-1)
    first = np.where(below.any(0), below.argmax(0), LAGS - 1)
    at = np.arange(len(times))
    upper, lower = share[np.maximum(first - 1, 0), at], share[first, at]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(below.any(0), (upper - np.exp(-1)) / (upper - lower), 1.0)
    found = np.maximum(first - 1, 0) + part
    return np.where((covariance[0] > 0) & np.isfinite(found), found, np.nan)
