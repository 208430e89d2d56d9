"""Samples of maps of soil moisture, splits by station and year, and the simple corrections that a network has to beat.

Moisture is in m³ m⁻³, maps are (time, y, x), a patch has 9 × 9 pixels around the one that is told of.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import coarse_cells, moisture
from phenolib.errors import InputError, near
from phenolib.splits import Split, drawn, split

LAYERS = moisture.LAYERS
SIDE = 9  # pixels along a side of a patch
PAST = (1, 3, 7, 14)  # days over which the coarse product is averaged, the day itself included
FINE = tuple(f"fine_{layer}" for layer in LAYERS)
SMOOTH = tuple(f"past_{layer}_{days}" for layer in LAYERS for days in PAST)
CHANNELS = (*moisture.COVARIATES, "lst_known", *FINE, *SMOOTH)
CELL = 0.25  # side of a cell of the coarse product [°]
REACH = SIDE / 120  # stations nearer than this along both axes see the same pixels [°]
MOST = 0.7  # above it no soil is as wet [m³ m⁻³]
SIMPLE = {"coarse": "coarse product", "bilinear": "bilinear", "downscaled": "downscaled", "additive": "additive bias",
          "linear": "linear rescaling", "cdf": "CDF matching", "trees": "trees on the pixel"}


# ---- fields

class Fields(Mapping):
    """The channels of the network as maps, each made when it is asked for, so that one at a time is in memory.

    covariates  Dataset of ``moisture.COVARIATES``
    fine        Dataset (time, y, x) of surface, root_zone downscaled
    past        Dataset (time, y, x) of ``SMOOTH`` on the coarse grid: ``past``
    """

    def __init__(self, covariates, fine, past):
        self.covariates, self.fine, self.past = covariates, fine, past
        self.grid = coarse_cells.grid(fine, past)
        self.land = fine[LAYERS[0]].notnull().any("time").values

    def __getitem__(self, name):
        """One channel, float32: (time, y, x), (y, x) or (time,)."""
        if name in FINE:
            return np.asarray(self.fine[name.removeprefix("fine_")].values, np.float32)
        if name in SMOOTH:
            return self.grid.smooth(self.past[name], self.land).values
        if name == "lst_known":
            return np.isfinite(self["lst_day"]).astype(np.float32)
        return np.asarray(self.covariates[name].values, np.float32)

    def __iter__(self):
        return iter(CHANNELS)

    def __len__(self):
        return len(CHANNELS)


def past(coarse, dates):
    """Means of the coarse product over the last ``PAST`` days.

    coarse   Dataset (time, y, x) of surface, root_zone, daily
    dates    days that are wanted
    returns  Dataset (time, y, x) of ``SMOOTH``, on the grid of coarse; missing days are left out of a mean
    raises   InputError for a day that the product does not have, or moisture in per cent
    """
    at = pd.DatetimeIndex(coarse["time"].values).get_indexer(pd.DatetimeIndex(dates))
    if (at < 0).any():
        raise InputError(f"the coarse product has no {pd.DatetimeIndex(dates)[at < 0][0]:%Y-%m-%d}; give it for all "
                         "days")
    made = {}
    for layer in LAYERS:
        refuse_percent(coarse[layer].values, f"coarse {layer}")
        for days in PAST:
            mean = coarse[layer].rolling(time=days, min_periods=1).mean()
            made[f"past_{layer}_{days}"] = mean.isel(time=at).drop_attrs()
    return xr.Dataset(made)


def fields(covariates, fine, coarse):
    """All channels of the network for the days of the downscaled maps.

    covariates  Dataset of ``moisture.covariates``
    fine        Dataset (time, y, x) of surface, root_zone downscaled
    coarse      Dataset (time, y, x) of surface, root_zone, daily on the coarse grid
    returns     Fields, {channel: array}
    raises      InputError for a covariate that is not there, other days or pixels, moisture in per cent
    """
    for name in moisture.COVARIATES:
        if name not in covariates:
            raise InputError(f"the covariates have no '{name}'{near(name, list(covariates))}")
    for layer in LAYERS:
        if layer not in fine:
            raise InputError(f"the downscaled moisture has no '{layer}'{near(layer, list(fine))}")
        if np.nanmedian(fine[layer].values) > 1:  # single values may lie beyond what is plausible
            raise InputError(f"downscaled {layer} has a median of {np.nanmedian(fine[layer].values):.3g}: this is per "
                             "cent; give m³ m⁻³, divide by 100")
    for name in ("time", "y", "x"):
        if covariates.sizes[name] != fine.sizes[name] or not (covariates[name].values == fine[name].values).all():
            raise InputError(f"covariates and downscaled moisture differ in '{name}'; give both for the same days and "
                             "pixels")
    return Fields(covariates, fine, past(coarse, fine["time"].values))


# ---- samples

@dataclass(frozen=True)
class Samples:
    """Patches with what is told of their middle.

    table    a row a sample: time, row, column (of the pixel), cell (of the coarse product); station at stations
    patches  (n, channel, 9, 9) float32 of ``CHANNELS``, as they are; NaN where missing and beyond the map
    fine     (n, layer) downscaled moisture
    smooth   (n, layer) coarse product of the day, bilinear
    coarse   (n, layer) coarse product of the cell
    target   (n, layer) moisture of the station, or NaN
    """

    table: pd.DataFrame
    patches: np.ndarray
    fine: np.ndarray
    smooth: np.ndarray
    coarse: np.ndarray
    target: np.ndarray

    def __len__(self):
        return len(self.table)

    def __getitem__(self, rows):
        """Some of the samples, by row numbers."""
        return Samples(self.table.iloc[rows].reset_index(drop=True), *(
            values[rows] for values in (self.patches, self.fine, self.smooth, self.coarse, self.target)))

    @property
    def middle(self):
        """The channels of the pixel itself, (n, channel)."""
        return self.patches[:, :, SIDE // 2, SIDE // 2]

    def series(self, values):
        """Values (n, layer) of the samples as Dataset (station, time) of the layers; missing where there is no sample.

        For other numbers than moisture too, e.g. errors.
        """
        index = pd.MultiIndex.from_frame(self.table[["station", "time"]])
        return xr.Dataset({layer: xr.DataArray.from_series(pd.Series(values[:, k], index))
                           for k, layer in enumerate(LAYERS)})


def at_stations(channels, places, values):
    """Samples of the pixels that stations lie in, on the days of the maps on which a station has a value.

    channels  Fields
    places    DataFrame with station, lon, lat [°]
    values    Dataset (station, time) of surface, root_zone, daily, as ``Archive.layers_at_stations`` gives them
    returns   Samples; stations in the sea or off the map, and days without a value of either layer, have none
    raises    InputError for moisture in per cent, a station that stands still, no station on the map, or one twice
    """
    fine = channels.fine
    names = places["station"].astype(str).to_numpy()
    if len(set(names)) < len(names):
        raise InputError(f"station '{places['station'][places['station'].duplicated()].iloc[0]}' stands twice among "
                         "the places; keep one row of it")
    for layer in LAYERS:
        refuse_percent(values[layer].values, f"station {layer}")
        refuse_stuck(values[layer], layer)
    row, column = (_nearest(fine[axis].values, places[place].to_numpy(float)) for axis, place in
                   (("y", "lat"), ("x", "lon")))
    there = (row >= 0) & (column >= 0)
    there[there] = channels.land[row[there], column[there]]
    there &= np.isin(names, values["station"].values.astype(str))
    if not there.any():
        raise InputError(f"none of the {len(places)} stations lies on land of the maps; look at lon and lat")
    observed = values.assign_coords(station=values["station"].values.astype(str)).sel(station=names[there])
    observed = observed.reindex(time=fine["time"].values)
    target = np.stack([observed[layer].transpose("station", "time").values for layer in LAYERS], -1)
    known = np.isfinite(target).any(-1)
    known &= np.isfinite(fine[LAYERS[0]].values[:, row[there], column[there]].T)
    station, day = np.nonzero(known)
    return _samples(channels, day, row[there][station], column[there][station], target[known],
                    station=names[there][station])


def everywhere(channels, count=8000, *, years=None, seed=0):
    """Samples of pixels and days drawn from land, without a station's value.

    channels  Fields
    count     how many
    years     days of these alone, those that nothing is tested on; default all
    seed      of the draw
    returns   Samples
    """
    times = pd.DatetimeIndex(channels.fine["time"].values)
    days = np.flatnonzero(times.year.isin(times.year if years is None else list(years)))
    rows, columns = np.nonzero(channels.land)
    if not days.size or not rows.size:
        raise InputError(f"no land on days of {years}; give years of {times.year.min()} to {times.year.max()}")
    rng = np.random.default_rng(seed)
    day, place = np.sort(rng.choice(days, count)), rng.integers(rows.size, size=count)
    known = np.isfinite(channels.fine[LAYERS[0]].values[day, rows[place], columns[place]])
    day, place = day[known], place[known]
    return _samples(channels, day, rows[place], columns[place], np.full((day.size, len(LAYERS)), np.nan))


def of_maps(samples, maps):
    """Values of other maps, e.g. true ones, at the pixels and days of samples, (n, layer); missing on other days.

    maps   Dataset (time, y, x) of surface, root_zone on the grid of the samples
    """
    day = pd.DatetimeIndex(maps["time"].values).get_indexer(samples.table["time"])
    there, found = day >= 0, np.full(samples.target.shape, np.nan, np.float32)
    for k, layer in enumerate(LAYERS):
        days, place = np.unique(day[there], return_inverse=True)
        values = maps[layer].transpose("time", "y", "x").isel(time=days).values
        found[there, k] = values[place, samples.table["row"][there], samples.table["column"][there]]
    return found


def _samples(channels, day, row, column, target, **labels):
    fine = channels.fine
    half, size = SIDE // 2, (len(day), SIDE, SIDE)
    at_row, at_column = (np.asarray(at)[:, None] + np.arange(-half, half + 1) for at in (row, column))
    out = ((at_row < 0) | (at_row >= fine.sizes["y"]))[:, :, None] | (
        (at_column < 0) | (at_column >= fine.sizes["x"]))[:, None]
    at_row, at_column = at_row.clip(0, fine.sizes["y"] - 1), at_column.clip(0, fine.sizes["x"] - 1)
    patches = np.empty((len(day), len(CHANNELS), SIDE, SIDE), np.float32)
    for k, name in enumerate(CHANNELS):
        values = channels[name]
        if values.ndim == 3:
            patches[:, k] = values[np.asarray(day)[:, None, None], at_row[:, :, None], at_column[:, None]]
        elif values.ndim == 2:
            patches[:, k] = values[at_row[:, :, None], at_column[:, None]]
        else:
            patches[:, k] = np.broadcast_to(values[day][:, None, None], size)
        patches[:, k][out] = 0 if name == "lst_known" else np.nan
    middle = patches[:, :, half, half]
    lat, lon = fine["y"].values[row], fine["x"].values[column]
    cell_row, cell_column = _nearest(channels.past["y"].values, lat), _nearest(channels.past["x"].values, lon)
    coarse = np.stack([channels.past[f"past_{layer}_1"].values[day, cell_row, cell_column] for layer in LAYERS], 1)
    table = pd.DataFrame({**labels, "time": fine["time"].values[day], "row": row, "column": column,
                          "cell": [f"{a},{b}" for a, b in zip(cell_row, cell_column)]})
    return Samples(table, patches, *(middle[:, [CHANNELS.index(name) for name in names]] for names in (
        FINE, [f"past_{layer}_1" for layer in LAYERS])), coarse, np.asarray(target, np.float32))


def _nearest(axis, values):
    """Which cell of a regular axis each value lies in; −1 where it lies outside."""
    step = axis[1] - axis[0]
    found = np.floor((values - axis[0]) / step + 0.5).astype(int)
    return np.where((found >= 0) & (found < axis.size), found, -1)


def refuse_percent(values, what):
    """InputError if moisture is given in per cent, or below 0."""
    most, least = (np.nanmax(values), np.nanmin(values)) if np.isfinite(values).any() else (0, 0)
    if most > 1.5:
        raise InputError(f"{what} reaches {most:.4g}: this is per cent; give m³ m⁻³, divide by 100")
    if most > 1 or least < -0.05:
        raise InputError(f"{what} runs from {least:.3g} to {most:.3g}; volumetric moisture lies between 0 and 1")


def refuse_stuck(values, layer, days=30):
    """InputError if a station says the same number for many days in a row."""
    for name, series in zip(values["station"].values, values.transpose("station", "time").values):
        series = series[np.isfinite(series)]
        edges = np.flatnonzero(np.r_[True, np.diff(series) != 0, True])
        longest = int(np.diff(edges).max()) if series.size else 0
        if longest > days:
            raise InputError(f"station '{name}' says the same {layer} moisture on {longest} days in a row: a stuck "
                             "sensor; take these days out")


# ---- splits

@dataclass(frozen=True)
class Fold(Split):
    """A split that tests stations in a year of which nothing was trained on.

    year   that is tested
    part   of the clusters of stations, from 0
    """

    year: int
    part: int


def clusters(places, *, cell=CELL, reach=REACH):
    """Groups of stations that must stay on one side: in one coarse cell, or with patches that overlap.

    places   DataFrame with station, lon, lat [°]
    cell     side of a coarse cell [°]
    reach    stations nearer than this along both axes are one group [°]
    returns  Series of group numbers by station
    """
    from scipy.sparse.csgraph import connected_components

    lon, lat = places["lon"].to_numpy(float), places["lat"].to_numpy(float)
    apart = np.maximum(np.abs(lon[:, None] - lon), np.abs(lat[:, None] - lat))
    inside = np.floor(np.stack([lon, lat], 1) / cell + 1e-9)
    same = (apart < reach) | (inside[:, None] == inside).all(-1)
    return pd.Series(connected_components(same)[1], places["station"].astype(str).to_numpy(), name="cluster")


def folds(table, groups, *, parts=4, years=None, validation=0.2, seed=0):
    """Every cluster of stations is tested once in each tested year, by what knows neither.

    Other years of the tested stations, and the tested year of other stations, are on no side.

    table       DataFrame with station, time, a row a sample
    groups      Series of cluster by station: ``clusters``
    parts       that the clusters are dealt to
    years       that are tested; default all
    validation  share of the other clusters for validation, in the other years [-]
    seed        of the deal and of the draws
    returns     list of Fold
    raises      InputError for a single year, fewer clusters than parts + 1, an unknown year
    """
    year = pd.DatetimeIndex(table["time"]).year.to_numpy()
    there = sorted(set(year.tolist()))
    if len(there) < 2:
        raise InputError(f"all samples are of {there[0] if there else 'no year'}; leave-year-out needs two years or "
                         "more")
    own = groups.reindex(table["station"].astype(str)).to_numpy()
    if np.isnan(own.astype(float)).any():
        raise InputError(f"station '{table['station'][np.isnan(own.astype(float))].iloc[0]}' is in no cluster; give "
                         "clusters of all stations")
    names = np.random.default_rng(seed).permutation(np.unique(own))
    if not 2 <= parts < names.size:
        raise InputError(f"parts = {parts} of {names.size} clusters of stations; give 2 to {names.size - 1}")
    found = []
    for tested in years or there:
        if tested not in there:
            raise InputError(f"no sample is of {tested}; there are {', '.join(map(str, there))}")
        for part in range(parts):
            held = np.isin(own, names[part::parts])
            stopped = np.isin(own, sorted(drawn(names[~np.isin(names, names[part::parts])].tolist(), validation,
                                                seed + part)))
            made = split(~held & ~stopped & (year != tested), stopped & (year != tested), held & (year == tested))
            found.append(Fold(made.train, made.validation, made.test, tested, part))
    return found


def random_days(table, *, parts=4, validation=0.2, seed=0):
    """Every day is tested once by the other days of the same stations: optimistic, to show that alone.

    table    DataFrame with station, time
    returns  list of ``splits.Split``
    """
    days = np.unique(table["time"].to_numpy())
    rng = np.random.default_rng(seed)
    deal, found = rng.permutation(days.size), []
    for part in range(parts):
        test = deal % parts == part
        stop = ~test & (rng.random(days.size) < validation)
        sides = [table["time"].isin(days[side]).to_numpy() for side in (~test & ~stop, stop, test)]
        found.append(split(*sides))
    return found


# ---- simple corrections

def simple(samples, part, kinds=tuple(SIMPLE), *, seed=0):
    """What corrections without a network say of the test samples of a split.

    Shifts, lines and quantiles are fitted to all stations and days for training and validation together, per layer.

    samples  Samples at stations
    part     ``splits.Split``
    kinds    of ``SIMPLE``: the coarse product of the cell, bilinear, downscaled; with the mean difference added; as a
             line; by matching of cumulative distributions (Reichle & Koster 2004); and gradient-boosted trees that
             read the channels of the pixel alone, stopped by the validation samples
    seed     of the trees
    returns  {kind: (test, layer)}
    """
    for kind in kinds:
        if kind not in SIMPLE:
            raise InputError(f"kind '{kind}'{near(kind, SIMPLE)}")
    made = {kind: np.full((part.test.size, len(LAYERS)), np.nan, np.float32) for kind in kinds}
    for k in range(len(LAYERS)):
        for kind in kinds:
            made[kind][:, k] = _simple(samples, part, kind, k, seed)
    return made


def _simple(samples, part, kind, k, seed):
    """What one correction says of one layer at the test samples, (test,)."""
    known, test = np.r_[part.train, part.validation], part.test
    given = {"coarse": samples.coarse, "bilinear": samples.smooth, "downscaled": samples.fine}
    if kind in given:
        return given[kind][test, k]
    x, y, new = samples.fine[known, k], samples.target[known, k], samples.fine[test, k]
    good = np.isfinite(x) & np.isfinite(y)
    if not good.any():
        raise InputError(f"no station for training has a value of the {LAYERS[k]}; give more stations")
    x, y = x[good], y[good]
    if kind == "additive":
        return new + np.mean(y - x)
    if kind == "linear":
        return np.polyval(np.polyfit(x, y, 1), new)
    return match(x, y, new) if kind == "cdf" else new + _trees(samples, part, k, seed)


def match(x, y, new, count=101):
    """Values moved so that what is distributed as x is distributed as y (CDF matching, quantile by quantile).

    x, y     (n,), (m,) of the training part
    new      (…) values to move; beyond the training range they are shifted as its end is
    returns  (…)

    >>> match(np.arange(11.0), 2 * np.arange(11.0), np.array([2.5, 12.0])).tolist()
    [5.0, 22.0]
    """
    shares = np.linspace(0, 1, count)
    at, to = np.quantile(x, shares), np.quantile(y, shares)
    inside = np.interp(new, at, to)
    return inside + np.minimum(new - at[0], 0) + np.maximum(new - at[-1], 0)


def _trees(samples, part, k, seed):
    """What LightGBM says of target − fine at test samples, (test,)."""
    import lightgbm

    x, y = samples.middle, samples.target[:, k] - samples.fine[:, k]
    train, stop = (rows[np.isfinite(y[rows])] for rows in (part.train, part.validation))
    data = lightgbm.Dataset(x[train], y[train], params={"verbose": -1})
    options = {"objective": "l2", "num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 50,
               "feature_fraction": 0.8, "seed": seed, "deterministic": True, "force_row_wise": True, "num_threads": 1,
               "verbose": -1}
    stops = {"valid_sets": [data.create_valid(x[stop], y[stop])],
             "callbacks": [lightgbm.early_stopping(25, verbose=False)]} if stop.size else {}
    return lightgbm.train(options, data, 200, **stops).predict(x[part.test])
