"""What a network for soil moisture has to beat: a bucket, two layers of soil, a regression on lags, a climatology.

All of them read the form of ``moisture_series``: weather (site, time, variable) without gaps, theta (site, time) with
NaN where it is not known, start (site, time), static by site. Whatever is fitted sees ``parts.train`` alone.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.moisture_stores import (
    LEAST,
    MOST,
    Store,
    as_theta,
    clusters_of,
    fit_bucket,
    fit_two_layers,
    hydraulics,
    sites_of,
    soil_of,
    training_of,
    weather_of,
)

__all__ = ["Climatology", "Regression", "Store", "fit_bucket", "fit_climatology", "fit_ridge", "fit_trees",
           "fit_two_layers", "hydraulics"]
LAGS = (1, 3, 7, 15, 30, 90, 180)  # days over which weather is summed
TREES = dict(objective="regression", learning_rate=0.05, num_leaves=15, min_data_in_leaf=30, bagging_fraction=0.8,
             bagging_freq=1, num_threads=1, verbosity=-1, deterministic=True, force_col_wise=True)


# ---- regression on lags

@dataclass(frozen=True)
class Regression:
    """A regression on lags: ``fit_ridge`` or ``fit_trees``.

    kind         "ridge" or "trees"
    names        of its inputs
    model        of scikit-learn or LightGBM
    start, properties   whether it reads the first guess, and which columns of the soil
    days         of the training part
    penalty      that was chosen, of the ridge
    """

    kind: str
    names: tuple
    model: object
    start: bool
    properties: tuple
    days: int
    penalty: float = np.nan

    def predict(self, series):
        """(site, time) DataArray theta [m3 m-3] at the sites and days of a series."""
        X, _ = _features(series, self.properties, self.start)
        said = self.model.predict(X.reshape(-1, X.shape[-1])).reshape(X.shape[:2])
        return as_theta(series, said.clip(0, MOST), self.kind)


def fit_ridge(series, parts, *, properties=True, start=True, every=5, folds=5):
    """Linear regression on sums of the weather over 1 to 180 days, the soil, the season and the first guess.

    properties  whether it reads ``series.static``
    start       whether it reads the first guess, ``series.start``, of the day
    every       each how manyth day of training is fitted: neighbouring days say the same
    folds       of whole clusters, among which the penalty is chosen
    returns     Regression
    raises      as ``fit_bucket``

    Sums reach back from the day itself; at the beginning they are of the days there are. scikit-learn's RidgeCV.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y, groups, about = _rows(series, parts, properties, start, every)
    count = min(int(folds), np.unique(groups).size)
    parted = list(GroupKFold(count).split(X, y, groups)) if count > 1 else None
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 11), cv=parted)).fit(X, y)
    return Regression("ridge", model=model, penalty=float(model[-1].alpha_), **about)


def fit_trees(series, parts, *, properties=True, start=True, every=5, rounds=200, seed=0):
    """LightGBM on the inputs of ``fit_ridge``: the usual choice for tables, quick to learn places by heart.

    rounds   of boosting, of 15 leaves at a rate of 0.05
    seed     of the rows that a tree is grown on
    other arguments, returns and raises   as ``fit_ridge``
    """
    import lightgbm

    X, y, _, about = _rows(series, parts, properties, start, every)
    model = lightgbm.train({**TREES, "seed": seed}, lightgbm.Dataset(X, y), int(rounds))
    return Regression("trees", model=model, **about)


def _rows(series, parts, properties, start, every):
    """Inputs (n, feature), targets (n,) and clusters (n,) of the training, and what a ``Regression`` keeps of them."""
    train, theta = training_of(series, parts)
    thinned = train & (np.arange(train.shape[1]) % int(every) == 0)
    thinned = train if thinned.sum() < LEAST else thinned
    columns = tuple(series.static.columns) if properties else ()
    X, names = _features(series, columns, start)
    groups = np.broadcast_to(clusters_of(series)[:, None], train.shape)[thinned]
    about = {"names": tuple(names), "start": bool(start), "properties": columns, "days": int(train.sum())}
    return X[thinned], theta[thinned], groups, about


def _features(series, columns, start):
    """Inputs (site, time, feature) and their names."""
    weather = series.weather.transpose("site", "time", "variable")
    values = weather_of(series, [str(v) for v in weather["variable"].values])
    named = [str(v) for v in weather["variable"].values]
    sums = np.concatenate([np.zeros((len(values), 1, values.shape[2])), np.cumsum(values, 1)], 1)
    at = np.arange(1, values.shape[1] + 1)
    made, names = [], []
    for lag in LAGS:
        first = np.maximum(at - lag, 0)
        made.append((sums[:, at] - sums[:, first]) / (at - first)[None, :, None])
        names += [f"{name}_{lag}" for name in named]
    day = 2 * np.pi * series.weather["time"].dt.day_of_year.values / 365.25
    season = np.stack([f(k * day) for k in (1, 2) for f in (np.sin, np.cos)], -1)
    shape = values.shape[:2]
    made.append(np.broadcast_to(season, (*shape, 4)))
    names += ["sin_1", "cos_1", "sin_2", "cos_2"]
    if columns:
        made.append(np.broadcast_to(soil_of(series)[list(columns)].to_numpy()[:, None], (*shape, len(columns))))
        names += list(columns)
    if start:
        made.append(series.start.transpose("site", "time").values[..., None])
        names.append("start")
    X = np.concatenate(made, -1)
    if not np.isfinite(X).all():
        name = names[int(np.argmin(np.isfinite(X).all((0, 1))))]
        raise InputError(f"the input '{name}' of the regression has values that are missing; prepare the series with "
                         "moisture_series.prepare")
    return X, names


# ---- climatology

@dataclass(frozen=True)
class Climatology:
    """Moisture by day of the year. seasons: (site, 366) of the known sites; where: cluster of each; soil: of each."""

    seasons: xr.DataArray
    where: pd.Series
    soil: pd.DataFrame
    neighbours: int

    def predict(self, series):
        """(site, time) DataArray theta [m3 m-3]: of the site itself, else of its cluster, else of the nearest soils."""
        day = series.weather["time"].dt.day_of_year.values - 1
        clusters, soils, said = clusters_of(series), soil_of(series), []
        known = self.seasons["site"].values
        for k, site in enumerate(sites_of(series)):
            here = known == site
            if not here.any():
                here = (self.where == clusters[k]).to_numpy()
            if not here.any():
                here = np.zeros(known.size, bool)
                here[self._nearest(soils.iloc[k])] = True
            said.append(self.seasons.values[here].mean(0)[day])
        return as_theta(series, np.stack(said), "climatology")

    def _nearest(self, soil):
        if self.soil.shape[1] == 0:
            return np.arange(len(self.soil))
        sd = self.soil.std(ddof=0)
        away = (((self.soil - soil[self.soil.columns]) / sd.where(sd > 1e-9, 1.0))**2).sum(axis=1)
        return np.argsort(away.to_numpy(), kind="stable")[:self.neighbours]


def fit_climatology(series, parts, *, window=31, neighbours=5):
    """Mean moisture by day of the year, of the training part: knows the place and the season, and no weather.

    window      of the circular mean over days of the year [days]
    neighbours  sites with the nearest soils that stand in for a site in a cluster that was never seen
    returns     Climatology
    raises      InputError for too few days
    """
    train, theta = training_of(series, parts)
    day = series.weather["time"].dt.day_of_year.values - 1
    kept = np.flatnonzero(train.sum(1) >= LEAST)
    if not kept.size:
        raise InputError(f"no site has {LEAST} days in the training part; a season by day of the year cannot be made")
    seasons = np.stack([_season(day[train[k]], theta[k][train[k]], window) for k in kept])
    sites = sites_of(series)[kept]
    return Climatology(xr.DataArray(seasons, {"site": sites, "day": np.arange(1, 367)}, ("site", "day")),
                       pd.Series(clusters_of(series)[kept], sites), soil_of(series).iloc[kept], int(neighbours))


def _season(day, values, window):
    """(366,) circular mean; days of the year that have none lie on a line between the nearest that have."""
    sums, count = np.bincount(day, values, 366), np.bincount(day, minlength=366).astype(float)
    reach = np.arange(-(window // 2), window // 2 + 1)
    around = (np.arange(366)[:, None] + reach) % 366
    sums, count = sums[around].sum(1), count[around].sum(1)
    there = count > 0
    return np.interp(np.arange(366), np.flatnonzero(there), sums[there] / count[there], period=366)
