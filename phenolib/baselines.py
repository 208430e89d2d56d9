"""Dates without a network: thresholds on curves, calendars and a forest, each as good as the training sites make it."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import indices, metrics
from phenolib.samples import DAY, EVENTS, nearest, seasons_of

SHARES = tuple(round(0.05 * k, 2) for k in range(1, 20))  # of the amplitude, tried as thresholds
STUDY = {"sos20": 0.2, "sos50": 0.5, "eos50": 0.5, "eos20": 0.2}
METHODS = ("savgol", "whittaker", "double_logistic", "asymmetric_gaussian", "loess")
FEWEST = 5  # seasons of a crop that its own number is fitted to; else all crops
MISSED = 60.0  # what a date that is not retrieved counts when a method or a share is chosen [days]
GRID = np.arange(-180, 181, 15)  # of the forest, around the middle of the window [days]


def crossings(samples, curve="NDVI", *, shares=SHARES, **options):
    """When the curve of each site pixel passes shares of its amplitude, in the season that the window is placed on.

    samples  ``Samples``
    curve    NDVI or GCC of the site pixel in every clear scene, or NDVI+CR (``with_radar``)
    shares   of the amplitude, whole per cent [-]
    options  of ``phenology.seasons``
    returns  rising, falling: (n, share) days since 1 January of the harvest year; NaN without a date

    It is the season whose peak is the nearest to that of the season that the window is placed on, within 60 days.
    """
    names = [f"{round(100 * share):02d}" for share in shares]
    columns = [f"{side}{name}" for side in ("sos", "eos") for name in names]
    found = pd.DataFrame(pd.NaT, samples.table.index, columns, "datetime64[ns]")
    for site, rows in samples.table.groupby("site"):
        place, more = samples.places[site], {}
        series = place.pixel["NDVI" if curve == "NDVI+CR" else curve]
        if curve == "NDVI+CR":
            series, more["weights"] = with_radar(place)
        seasons = seasons_of(series, thresholds=shares, **more, **options)
        which = nearest(seasons, rows["peak"])
        there = which >= 0
        found.loc[rows.index[there]] = seasons.iloc[which[there]][columns].to_numpy("datetime64[ns]")
    days = (found.to_numpy("datetime64[ns]") - samples.newyear[:, None]) / DAY
    return days[:, :len(names)], days[:, len(names):]


def threshold(samples, curve="NDVI", *, shares=STUDY, **options):
    """Dates by one share of the amplitude per event; of the study: NDVI, TIMESAT's filter, 20 and 50 %, uncorrected.

    shares   {event: share}
    options  as ``crossings``
    returns  (n, 4) days since 1 January of the harvest year, in the order of ``EVENTS``; NaN: not retrieved
    """
    grid = tuple(sorted(set(shares.values())))
    rising, falling = crossings(samples, curve, shares=grid, **options)
    return np.stack([(rising if event.startswith("sos") else falling)[:, grid.index(shares[event])]
                     for event in EVENTS], -1)


def without_offset(samples, days, train, *, by_crop=False):
    """Predicted days less their median error on training seasons, per event, and per crop where asked.

    days     (n, 4) of another method
    train    rows of ``Samples.table``
    returns  (n, 4)

    Ours: the published differences of NDVI are largely constant, so that a network is to be held against this.
    """
    error = days - truth(samples)
    return days - by_group(samples, train, by_crop, lambda rows: pd.DataFrame(error[rows]).median().to_numpy())


def fitted_threshold(samples, train, curve="NDVI", *, by_crop=False, **options):
    """Dates by the share of the amplitude, per event, that has the least mean absolute error on training seasons.

    returns  (n, 4) days

    A date that is missing counts as 60 days off: a share must not win by skipping what is hard.
    """
    sides, true = crossings(samples, curve, **options), truth(samples)
    result = np.empty(true.shape)
    for k, event in enumerate(EVENTS):
        days = sides[event.startswith("eos")]  # (n, share)
        error = np.nan_to_num(np.abs(days - true[:, k, None]), nan=MISSED)
        known = train[np.isfinite(true[train, k])]
        chosen = by_group(samples, known, by_crop, lambda rows, error=error: error[rows].mean(0).argmin(keepdims=True))
        result[:, k] = days[np.arange(len(samples)), chosen[:, 0].astype(int)]
    return result


def crop_mean(samples, train):
    """The mean day of each event of the same crop at training sites: what a calendar knows; (n, 4) days."""
    return by_group(samples, train, True, lambda rows: pd.DataFrame(truth(samples)[rows]).mean().to_numpy())


def best_curve(samples, train, curve="NDVI"):
    """Dates at the study's shares by the smoother that does best on training seasons, less its median offset.

    Best has the least mean absolute error over the four events, a date that is missing counted as 60 days: who skips
    what is hard must not win.

    returns  (n, 4) days, name of the smoother
    """
    found = {method: without_offset(samples, threshold(samples, curve, method=method), train) for method in METHODS}
    known = np.isfinite(truth(samples)[train])

    def loss(method):
        return np.nan_to_num(np.abs(found[method] - truth(samples))[train], nan=MISSED)[known].mean()

    chosen = min(METHODS, key=loss)
    return found[chosen], chosen


def with_radar(place):
    """NDVI with what the radar tells where no scene was clear: VH/VV in dB, in units of NDVI by a straight line.

    The line is fitted at each place to NDVI interpolated to the radar's dates, where it was seen within 10 days; what
    the radar tells has the weight r² of that fit, so that it counts little where the two do not go together. Ours.

    place    ``samples.Place``
    returns  series (time,), weights (time,) 0 to 1
    """
    seen = place.pixel["NDVI"].dropna("time")
    ratio = indices.to_db(indices.index("CR", place.radar)).dropna("time")
    day, look = ((part["time"].values.astype("datetime64[ns]") - place.times[0]) / DAY for part in (seen, ratio))
    close = np.abs(look[:, None] - day).min(1) <= 10
    there = np.interp(look, day, seen.values)
    slope, level = np.polyfit(ratio.values[close], there[close], 1)
    trust = np.corrcoef(ratio.values[close], there[close])[0, 1] ** 2
    both = pd.DataFrame({"value": np.r_[seen.values, level + slope * ratio.values],
                         "weight": np.r_[np.ones(day.size), np.full(look.size, trust)]},
                        index=np.r_[seen["time"].values, ratio["time"].values].astype("datetime64[ns]"))
    both = both.groupby(level=0).mean()
    return tuple(xr.DataArray(both[name].to_numpy(), {"time": both.index.to_numpy()}, "time")
                 for name in ("value", "weight"))


def forest(samples, train, *, trees=300, seed=0):
    """Random forest on NDVI, GCC_s, VV and VH of the site pixel every 15 days around the middle of the window.

    What lies between two observations is interpolated; the day of the year of the middle is a further feature. The
    days of the events from the middle are learned, each event by a forest of its own.

    train    rows of ``Samples.table``
    returns  (n, 4) days; a forest always tells a date
    """
    from sklearn.ensemble import RandomForestRegressor

    middle = (samples.table["anchor"].to_numpy("datetime64[ns]") - samples.newyear) / DAY  # (n,)
    features = np.column_stack([around(samples), middle])
    target = truth(samples) - middle[:, None]
    result = np.empty_like(target)
    for k in range(len(EVENTS)):
        rows = train[np.isfinite(target[train, k])]
        model = RandomForestRegressor(trees, min_samples_leaf=2, max_features=0.3, random_state=seed)
        result[:, k] = model.fit(features[rows], target[rows, k]).predict(features) + middle
    return result


def around(samples):
    """NDVI, GCC_s, VV and VH [dB] of each site pixel on ``GRID`` around the middle of the window: (n, 4 · grid)."""
    result = []
    for row in samples.table.itertuples():
        place = samples.places[row.site]
        bands = [place.pixel["NDVI"], place.pixel["GCC"], *(indices.to_db(place.radar[v]) for v in ("vv", "vh"))]
        series = [band.dropna("time") for band in bands]
        result.append(np.concatenate([
            np.interp(GRID, (one["time"].values.astype("datetime64[ns]") - row.anchor.to_datetime64()) / DAY,
                      one.values) for one in series]))
    return np.array(result)


def completed(samples, days, train):
    """Predicted days with the crop's mean day where a method gives none, so that all are scored on the same dates."""
    return np.where(np.isnan(days), crop_mean(samples, train), days)


def every(samples, train, *, seed=0):
    """All baselines, fitted on the training rows: {name: (n, 4) days since 1 January of the harvest year}."""
    ndvi, gcc = threshold(samples, "NDVI"), threshold(samples, "GCC")
    (curve, first), (radar, second) = best_curve(samples, train), best_curve(samples, train, "NDVI+CR")
    return {
        "crop mean": crop_mean(samples, train),
        "NDVI": ndvi,
        "GCC_s": gcc,
        "NDVI, offset": without_offset(samples, ndvi, train),
        "NDVI, offset by crop": without_offset(samples, ndvi, train, by_crop=True),
        "NDVI, threshold": fitted_threshold(samples, train),
        "NDVI, threshold by crop": fitted_threshold(samples, train, by_crop=True),
        "GCC_s, offset": without_offset(samples, gcc, train),
        f"NDVI, best curve ({first})": curve,
        f"NDVI + VH/VV, best curve ({second})": radar,
        "random forest": forest(samples, train, seed=seed),
    }


def score(samples, days, rows, *, seed=0):
    """Errors of predicted days against the camera's dates as they are, not as they were moved.

    days     (n, 4) days since 1 January of the harvest year, of all samples; NaN: not retrieved
    rows     of ``Samples.table`` that are tested
    returns  {event: ``metrics.Errors``}, whole clusters drawn in the intervals
    """
    found = samples.newyear[rows, None] + (np.nan_to_num(days[rows]) * 86400e9).astype("timedelta64[ns]")
    found[np.isnan(days[rows])] = np.datetime64("NaT")
    groups = samples.table["cluster"].to_numpy()[rows]
    return {event: metrics.days(found[:, k], samples.dates[rows, k], groups=groups, seed=seed)
            for k, event in enumerate(EVENTS)}


def truth(samples):
    """The camera's dates, (n, 4) days since 1 January of the harvest year."""
    return (samples.dates - samples.newyear[:, None]) / DAY


def by_group(samples, train, by_crop, fit):
    """What ``fit(rows)``, an array, gives for the training rows of each sample's crop, or of all crops: (n, …)."""
    crop, pooled = samples.table["crop"].to_numpy(), fit(train)
    result = np.repeat(pooled[None].astype(float), len(samples), axis=0)
    for name in set(crop) if by_crop else ():
        rows = train[crop[train] == name]
        if rows.size >= FEWEST:
            own = fit(rows)
            result[crop == name] = np.where(np.isnan(own), pooled, own)
    return result
