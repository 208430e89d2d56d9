"""Moisture at stations that a model has never seen: the coarse product mended, the depth told from the surface.

Whatever is fitted (scales, characteristic times, quantiles) is fitted to training stations, or years, alone.
"""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import soil
from phenolib.errors import InputError, near

APART = 25.0  # km: widest group of stations that are held out together, about a cell of 0.25°
LEAST = 5  # days of ten that a mean of a probe needs
SOIL = ("sand", "clay", "organic_carbon", "saturation")
IMAGES = ("VV", "VH", "ratio", "angle", "NDVI", "NDWI", "B4", "B11", "B12")
COARSE = ("coarse", "coarse_before", "coarse_30", "coarse_90")
SEASON = ("season_sin", "season_cos")
CORRECTIONS = {"coarse": "coarse, as it is", "additive": "coarse, shifted", "linear": "coarse, a line",
               "cdf": "coarse, CDF matched", "filter": "coarse, filtered", "ridge": "ridge", "trees": "LightGBM",
               "blind": "LightGBM, no images", "images": "LightGBM, no coarse"}
LAGS = (1, 5, 15, 40, 100)  # days: characteristic times of the filters that regressions read
PROFILES = {"surface": "surface, as it is", "climatology": "climatology", "filter": "exponential filter",
            "lags": "regression on lags", "trees": "LightGBM on lags"}
TREES = dict(n_estimators=150, learning_rate=0.05, num_leaves=15, min_child_samples=30, subsample=0.8,
             subsample_freq=1, colsample_bytree=0.8, n_jobs=1, verbose=-1, deterministic=True, force_col_wise=True)


# ---- who is held out

def clusters(lon, lat, *, apart=APART):
    """Stations in groups no wider than a distance: those of one group are trained on or tested together.

    lon, lat  (station,) [degrees]
    apart     widest group [km]
    returns   (station,) int labels

    Complete linkage of great-circle distances (scipy). In a dense network two groups may still be neighbours.

    >>> clusters([-97.0, -97.1, -90.0], [36.1, 36.1, 40.0]).tolist()
    [0, 0, 1]
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    lon, lat = (np.radians(np.asarray(v, float)) for v in (lon, lat))
    if lon.size < 2:
        return np.zeros(lon.size, int)
    half = (np.sin((lat[:, None] - lat) / 2)**2 + np.cos(lat[:, None]) * np.cos(lat) *
            np.sin((lon[:, None] - lon) / 2)**2)
    away = 2 * 6371 * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    np.fill_diagonal(away, 0)
    found = fcluster(linkage(squareform(away, checks=False), "complete"), apart, "distance")
    return pd.factorize(found)[0]


def folds(labels, count=10, *, seed=0):
    """Each group is tested in one fold: list of (station,) bool, True for those that are tested.

    labels  (station,) of ``clusters``
    count   of folds, at most the number of groups
    raises  InputError for fewer than two groups
    """
    names = np.unique(labels)
    if names.size < 2:
        raise InputError(f"all {len(labels)} stations are within {APART:g} km of each other; give stations that are "
                         "farther apart, for none can be left out")
    order = np.random.default_rng(seed).permutation(names)
    return [np.isin(labels, order[k::min(count, names.size)]) for k in range(min(count, names.size))]


# ---- ten days of a coarse product

def ten_days(moisture, gauges, *, least=LEAST):
    """Mean of a probe over the days of each row of gauges, from its start up to the day before its end.

    moisture  (station, time) DataArray, daily
    gauges    DataFrame with station, start, end
    least     days that the mean needs
    returns   (row,) float, NaN for stations that are not there or with too few days
    """
    table = moisture.transpose("station", "time").to_pandas()
    known = {name: k for k, name in enumerate(table.index)}
    time, values = table.columns.to_numpy("datetime64[ns]"), table.to_numpy(float)
    there = np.isfinite(values)
    sums, count = (np.concatenate([np.zeros((len(values), 1)), np.cumsum(v, 1)], 1)
                   for v in (np.where(there, values, 0), there))
    row = gauges["station"].map(known)
    at = row.fillna(0).astype(int).to_numpy()
    first, last = (np.searchsorted(time, gauges[name].to_numpy("datetime64[ns]")) for name in ("start", "end"))
    n = count[at, last] - count[at, first]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (sums[at, last] - sums[at, first]) / n
    return np.where(row.notna() & (n >= least), mean, np.nan)


def gauge_rows(gauges, stations):
    """What a correction may know of each ten days at a gauge: the coarse product, images, soil and season.

    gauges    DataFrame of ``Archive.gauge_points``: station, start, end, ssm_fraction, VV, VH, angle and bands
    stations  DataFrame of ``Archive.moisture_stations``, a row a station with ``SOIL``
    returns   DataFrame, a row a gauge and ten days: station, start, end, ``COARSE`` [m³ m⁻³], ``IMAGES``, ``SOIL``,
              elevation, ``SEASON``; sorted by station and start; only stations that both tables know. No longitude
              and no latitude: they would tell which station it is
    raises    InputError for a column that is missing, or no station in common
    """
    for name in ("station", "start", "end", "ssm_fraction", "VV", "VH", "B4", "B8", "B11"):
        if name not in gauges:
            raise InputError(f"the gauges have no column '{name}'{near(name, gauges.columns)}")
    known = stations.set_index("station")
    rows = gauges[gauges["station"].isin(known.index)].sort_values(["station", "start"]).reset_index(drop=True)
    if rows.empty:
        raise InputError(f"no gauge is at a station with probes; the first gauge is '{gauges['station'].iloc[0]}', the "
                         f"first station '{known.index[0]}'")
    by = rows.groupby("station")["ssm_fraction"]
    day = rows["start"].dt.day_of_year / 365.25 * 2 * np.pi
    with np.errstate(invalid="ignore", divide="ignore"):
        made = rows[["station", "start", "end", "VV", "VH", "angle", "B4", "B11", "B12"]].assign(
            coarse=rows["ssm_fraction"], coarse_before=by.shift(1),
            coarse_30=by.transform(lambda v: v.rolling(3, 1).mean()),
            coarse_90=by.transform(lambda v: v.rolling(9, 1).mean()),
            ratio=rows["VH"] - rows["VV"], NDVI=(rows["B8"] - rows["B4"]) / (rows["B8"] + rows["B4"]),
            NDWI=(rows["B8"] - rows["B11"]) / (rows["B8"] + rows["B11"]), season_sin=np.sin(day),
            season_cos=np.cos(day))
    for name in (*SOIL, "elevation"):
        made[name] = rows["station"].map(known[name]) if name in known else np.nan
    return made


def correct(rows, target, kinds, parts, *, seed=0):
    """Each correction fitted to the rows of training stations and applied to those that were left out.

    rows     DataFrame of ``gauge_rows``
    target   (row,) moisture of a probe, NaN where it is not known [m³ m⁻³]
    kinds    of ``CORRECTIONS``
    parts    list of (row,) bool: what is tested in each fold
    seed     of the trees
    returns  {kind: (row,) m³ m⁻³}; NaN where nothing was said
    raises   InputError for an unknown kind, or a fold without anything to train on

    coarse      as it is
    additive    and the mean of what it lacks at the training stations
    linear      a line through it at the training stations
    cdf         its quantiles mapped to those of the probes of the training stations
    filter      its exponential filter, the time fitted at the training stations, and a line: the lag of a depth
    ridge       linear regression on all of ``gauge_rows`` with a penalty chosen in the training rows
    trees       LightGBM on the same; blind: without images; images: without the coarse product
    """
    for kind in kinds:
        if kind not in CORRECTIONS:
            raise InputError(f"correction '{kind}' is not known{near(kind, CORRECTIONS)}")
    every = [*COARSE, *IMAGES, *SOIL, "elevation", *SEASON]
    chosen = {"ridge": every, "trees": every, "blind": [n for n in every if n not in IMAGES],
              "images": [n for n in every if n not in COARSE]}
    target, coarse = np.asarray(target, float), rows["coarse"].to_numpy(float)
    found = {kind: np.full(len(rows), np.nan) for kind in kinds}
    for test in parts:
        train = ~test & np.isfinite(target) & np.isfinite(coarse)
        if train.sum() < 30:
            raise InputError(f"a fold leaves {train.sum()} rows with a probe to train on; give more stations")
        for kind in kinds:
            if kind == "filter":
                lagged = _filtered(rows, coarse, np.where(train, target, np.nan))
                slope, level = np.polyfit(lagged[train], target[train], 1)
                found[kind][test] = level + slope * lagged[test]
            elif kind in chosen:
                X = rows[chosen[kind]].to_numpy(float)
                found[kind][test] = _learner("ridge" if kind == "ridge" else "trees", X[train], target[train],
                                             seed)(X[test])
            else:
                found[kind][test] = _mend(kind, coarse[train], target[train])(coarse[test])
    return found


def _filtered(rows, coarse, target):
    """The coarse product (row,) filtered with the time that follows the target best where it is given."""
    series = wide(rows, coarse)
    T, _ = soil.fit_time(series["time"].values, series.values, wide(rows, target).values)
    series = series.copy(data=soil.exponential_filter(series["time"].values, series.values, T))
    at = {name: xr.DataArray(rows[column].to_numpy(), dims="row") for name, column in (("station", "station"),
                                                                                       ("time", "start"))}
    return series.sel(at).values


def _mend(kind, x, y):
    if kind == "coarse":
        return lambda v: v
    if kind == "additive":
        return lambda v: v + (y - x).mean()
    if kind == "linear":
        slope, level = np.polyfit(x, y, 1)
        return lambda v: level + slope * v
    at = np.linspace(0, 1, 101)
    low, high = np.quantile(x, at), np.quantile(y, at)
    return lambda v: np.interp(v, low, high)


def _learner(kind, X, y, seed):
    """A fitted model as a function (n, feature) → (n,); missing features are the median, or for trees missing."""
    if kind == "trees":
        import lightgbm

        model = lightgbm.LGBMRegressor(**TREES, random_state=seed).fit(X, y)
        return model.booster_.predict
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kept = np.isfinite(X).any(0)
    model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), RidgeCV(np.logspace(-1, 4, 11)))
    model.fit(X[:, kept], y)
    return lambda v: model.predict(v[:, kept])


def wide(rows, values):
    """Values (row,) of ``gauge_rows`` as (station, time) DataArray; time is the first of the ten days."""
    table = rows[["station", "start"]].assign(value=values).pivot(index="station", columns="start", values="value")
    return xr.DataArray(table.to_numpy(float), {"station": table.index.to_numpy(str), "time": table.columns.to_numpy(
        "datetime64[ns]")}, ("station", "time"))


# ---- depth from the surface

def profile_at_stations(surface, deep, stations, parts, kinds=tuple(PROFILES), *, seed=0):
    """Moisture at depth from that at the surface, at stations whose depth was never seen.

    surface   (station, time) DataArray of the uppermost probe, daily
    deep      (station, time) DataArray of the deeper one
    stations  DataFrame with station and ``SOIL``
    parts     of ``folds``
    kinds     of ``PROFILES``
    returns   {kind: (station, time) DataArray}, where there is a surface value; and the fitted time of each fold [days]
    raises    InputError for an unknown kind

    surface      as it is
    climatology  mean by season of the training stations' depth: knows nothing of the place
    filter       ``soil.exponential_filter``, its time and a line a + b·SWI from the training stations
    lags         ridge on filters of 1 to 100 days, soil and season;  trees: LightGBM on the same
    """
    _known(kinds)
    surface, deep = surface.transpose("station", "time"), deep.transpose("station", "time")
    if any(len(test) != surface.sizes["station"] for test in parts):
        raise InputError(f"the folds are of {len(parts[0])} stations, the series of {surface.sizes['station']}; make "
                         "them of the stations of the series, in their order")
    time, top, low = surface["time"].values, surface.values.astype(float), deep.values.astype(float)
    X = _lagged(time, top, stations.set_index("station").reindex(surface["station"].values))
    index = {T: soil.exponential_filter(time, top, T) for T in soil.TIMES} if "filter" in kinds else {}
    found, times = {kind: np.full(top.shape, np.nan) for kind in kinds}, []
    for test in parts:
        train = np.broadcast_to(~test[:, None], top.shape) & np.isfinite(top) & np.isfinite(low)
        asked = np.broadcast_to(test[:, None], top.shape) & np.isfinite(top)
        for kind in kinds:
            if kind == "surface":
                said = top[asked]
            elif kind == "climatology":
                said = _season(time, np.where(train, low, np.nan)[None])[0][np.nonzero(asked)[1]]
            elif kind == "filter":
                T, _ = soil.fit_time(time, top[~test], low[~test])
                times.append(T)
                slope, level = np.polyfit(index[T][train], low[train], 1)
                said = level + slope * index[T][asked]
            else:
                said = _learner("ridge" if kind == "lags" else "trees", X[train], low[train], seed)(X[asked])
            found[kind][asked] = said
    return {kind: deep.copy(data=v) for kind, v in found.items()}, times


def profile_in_years(surface, deep, kinds=("surface", "climatology", "filter", "lags"), *, least=100, seed=0):
    """Moisture at depth from that at the surface, at a known station in a year that was never seen.

    surface, deep  (station, time) DataArrays, daily
    kinds          of surface, climatology, filter and lags, all but the first fitted to the station's own other years
    least          days of the other years that a station needs
    returns        {kind: (station, time) DataArray}
    raises         InputError for an unknown kind, or a single year
    """
    _known(kinds)
    surface, deep = surface.transpose("station", "time"), deep.transpose("station", "time")
    time, top, low = surface["time"].values, surface.values.astype(float), deep.values.astype(float)
    year = surface["time"].dt.year.values
    if np.unique(year).size < 2:
        raise InputError(f"the readings are of {year[0]} alone; leaving a year out needs two")
    X = _lagged(time, top, None)
    index = {T: soil.exponential_filter(time, top, T) for T in soil.TIMES} if "filter" in kinds else {}
    found = {kind: np.full(top.shape, np.nan) for kind in kinds}
    for one in np.unique(year):
        both = np.isfinite(top) & np.isfinite(low)
        train, asked = both & (year != one), np.isfinite(top) & (year == one)
        asked &= (train.sum(1) >= least)[:, None]
        T = None
        if "filter" in kinds and train.any():
            T, _ = soil.fit_time(time, np.where(year != one, top, np.nan), np.where(train, low, np.nan))
        season = _season(time, np.where(train, low, np.nan)[:, None]) if "climatology" in kinds else None
        for k in np.flatnonzero(asked.any(1)):
            own, want = train[k], asked[k]
            for kind in kinds:
                if kind == "surface":
                    said = top[k, want]
                elif kind == "climatology":
                    said = season[k][want]
                elif kind == "filter":
                    slope, level = np.polyfit(index[T][k, own], low[k, own], 1)
                    said = level + slope * index[T][k, want]
                else:
                    said = _learner("ridge", X[k, own], low[k, own], seed)(X[k, want])
                found[kind][k, want] = said
    return {kind: deep.copy(data=v) for kind, v in found.items()}


def _known(kinds):
    for kind in kinds:
        if kind not in PROFILES:
            raise InputError(f"profile '{kind}' is not known{near(kind, PROFILES)}")


def _lagged(time, top, stations):
    """(station, time, feature): filters of ``LAGS`` days, their deep soil and season; without stations no soil."""
    day = (time - time.astype("datetime64[Y]")) / np.timedelta64(1, "D") / 365.25 * 2 * np.pi
    parts = [*(soil.exponential_filter(time, top, T) for T in LAGS),
             *(np.broadcast_to(v, top.shape) for v in (np.sin(day), np.cos(day)))]
    for name in SOIL if stations is not None else ():
        for column in (name, f"{name}_deep"):
            if column in stations:
                parts.append(np.broadcast_to(stations[column].to_numpy(float)[:, None], top.shape))
    return np.stack(parts, -1)


def _season(time, values, window=31):
    """Mean by day of the year over 31 days and over the second dimension: (group, station, time) → (group, time)."""
    day = pd.DatetimeIndex(time).day_of_year.to_numpy() - 1
    there = np.isfinite(values)
    sums, count = (np.stack([np.bincount(day, v, 366) for v in part.sum(1)])
                   for part in (np.where(there, values, 0), there.astype(float)))
    half = window // 2
    around = [np.stack([np.roll(v, k, 1) for k in range(-half, half + 1)]).sum(0) for v in (sums, count)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (around[0] / around[1])[:, day]


# ---- how fast it dries

def drying(moisture, *, least=5, days=40, quiet=0.002):
    """How long the surface keeps what it got: time to lose all but a third of it, from days on which it dries.

    dθ/dt = −(θ − θ_w) / τ,  τ and θ_w by least squares over the days of dry-downs

    moisture  (station, time) DataArray, daily [m³ m⁻³]
    least     days in a row that dry, to be a dry-down [days]
    days      of dry-downs that a station needs
    quiet     rise that does not end a dry-down: the noise of a probe [m³ m⁻³]
    returns   DataFrame by station: tau [days], left (θ_w [m³ m⁻³]), days, r2 of the line; NaN with too few days, or
              where moisture does not dry faster when there is more of it

    Rain is not needed: what rises was wetted. Drying and draining are one here. McColl et al. (2017), Geophys. Res.
    Lett. 44:3682, for the exponential form; fitted to changes of a day in place of single events: project default.
    """
    moisture = moisture.transpose("station", "time")
    rows = {}
    for name, v in zip(moisture["station"].values, moisture.values.astype(float)):
        step = np.diff(v)
        falls = step < quiet  # NaN is no fall
        edges = np.flatnonzero(np.diff(np.r_[0, falls.astype(int), 0]))
        used = np.concatenate([np.arange(a, b) for a, b in zip(edges[::2], edges[1::2]) if b - a >= least] or [[]])
        used = used.astype(int)
        row = {"tau": np.nan, "left": np.nan, "days": used.size, "r2": np.nan}
        if used.size >= days and v[used].std() > 0:
            slope, level = np.polyfit(v[used], step[used], 1)
            if slope < 0:
                row |= {"tau": -1 / slope, "left": -level / slope, "r2": np.corrcoef(v[used], step[used])[0, 1]**2}
        rows[str(name)] = row
    return pd.DataFrame(rows).T.astype({"days": int}).rename_axis("station")


def rank_correlation(x, y, groups, *, level=0.95, draws=2000, seed=0):
    """Spearman's correlation of two columns over stations with an interval from draws of groups of them.

    x, y     (station,) numbers, NaN left out
    groups   (station,) labels drawn as a whole
    returns  dict value, interval, n: the arguments of ``report.record``
    """
    from scipy.stats import spearmanr

    from phenolib import metrics

    x, y = np.asarray(x, float), np.asarray(y, float)
    good = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if good.size < 8 or min(np.ptp(x[good]), np.ptp(y[good])) == 0:
        return {"value": None, "why": f"{good.size} stations, or no difference between them"}

    def rank(rows):
        a, b = (v[good[rows.astype(int)]] for v in (x, y))
        return spearmanr(a, b).statistic if min(np.ptp(a), np.ptp(b)) > 0 else 0.0

    return metrics.estimate(np.arange(good.size), np.asarray(groups)[good], rank, why="", level=level, draws=draws,
                            seed=seed)
