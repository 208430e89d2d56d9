"""Coarse soil moisture on a fine grid: a relation learnt between cells, what it leaves, and mass that is kept.

The relation S = f(X) is fitted to coarse cells with X the means of fine covariates, and used at fine pixels as if it
held at any scale. What f leaves in a cell is added as a smooth field, and a shift in each cell keeps its mean.
"""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import xarray as xr

from phenolib import quick_trees
from phenolib.cell_means import (
    LAYERS,
    check_layers,
    check_moisture,
    lags_of,
    land_of,
    layer_of,
    located,
    means,
    on_days,
    stacked,
    surface_lags,
)
from phenolib.coarse_cells import Grid, grid, outside
from phenolib.errors import InputError, near
from phenolib.files import atomic

__all__ = ["GROUPS", "LAYERS", "MODELS", "Downscaler", "Grid", "bilinear", "check_layers", "check_moisture", "fit",
           "grid", "jensen_gap", "lags_of", "land_of", "load", "located", "means", "outside", "stacked", "surface_lags"]

MODELS = {"lightgbm": "LightGBM", "hybrid": "LightGBM on a line", "forest": "random forest",
          "linear": "linear regression"}
GROUPS = {"LST": ("lst",), "NDVI": ("ndvi",), "terrain": ("elevation", "slope"), "soil": ("sand", "clay"),
          "rain": ("rain",), "season": ("season",), "surface moisture": ("surface",),
          "place": ("latitude", "longitude")}
CHUNK = 500_000  # rows that are predicted at a time
APART = 15  # days between what is learnt from and what stops the training


# ---- models

@dataclass(frozen=True)
class Downscaler:
    """A relation between covariates and moisture of one layer, learnt between coarse cells; made by ``fit``.

    layer     of ``LAYERS``
    kind      "lightgbm" (of a hybrid too, which has a line), "forest" or "linear"
    columns   covariates that it reads, in order
    model     Booster of LightGBM, or regressor of scikit-learn
    line      (2, column + 1) of a hybrid: what a missing value counts as, and the factor, of each column, and the
              constant; trees tell what the line leaves. None for others
    rounds    trees of the booster; 0 for others
    low, high (column,) range of each covariate in the training rows
    told      dict: n rows, dropped share of rows without a value, cells, folds, settings
    curve     DataFrame of the rounds: error in the folds that stopped the training [m³ m⁻³] and its SD
    rows      DataFrame of the training rows (background of attributions); None after ``load``
    """

    layer: str
    kind: str
    columns: tuple
    model: object
    rounds: int
    low: np.ndarray
    high: np.ndarray
    told: dict
    curve: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    rows: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    threads: int = 1
    line: np.ndarray | None = None

    @property
    def lags(self):
        """Columns that are lags of the surface."""
        return tuple(name for name in self.columns if name.startswith("surface_"))

    @cached_property
    def _quick(self):
        return {}

    def trees(self, rounds=None):
        """The first trees of the booster as ``quick_trees.Trees``, or None for another model or trees too large."""
        if not hasattr(self.model, "model_to_string") or self.told["settings"]["leaves"] > quick_trees.MOST:
            return None
        rounds = rounds or self.rounds
        if rounds not in self._quick:
            self._quick[rounds] = quick_trees.Trees(self.model.model_to_string(), rounds)
        return self._quick[rounds]

    def answer(self, values, *, rounds=None):
        """Moisture of values (column, n) float32 of ``columns`` in their order: (n,) float32.

        A booster answers where covariates are missing too, the other models not: NaN.

        rounds  trees that are used; default all
        """
        if self.kind == "lightgbm":
            quick = self.trees(rounds)
            found = self.model.predict(values.T, num_threads=self.threads, num_iteration=rounds or self.rounds) \
                if quick is None else quick.predict(values)
            return (found if self.line is None else found + on_line(self.line, values)).astype(np.float32)
        there, found = np.isfinite(values).all(0), np.full(values.shape[1], np.nan, np.float32)
        if there.any():
            found[there] = self.model.predict(values[:, there].T)
        return found

    def predict(self, covariates, *, coarse=None, land=None, rounds=None):
        """f(X) at each pixel of land.

        covariates  Dataset on the fine grid, or of ``means`` on the coarse
        coarse      Dataset with the daily surface, for lags that are not among the covariates
        land        (y, x) bool; default ``land_of``
        rounds      trees that are used; default all
        returns     DataArray (time, y, x) [m³ m⁻³] float32; attribute ``share`` of land pixels and days with a value,
                    ``beyond`` of them with a covariate outside of the training range
        raises      InputError for a column that is not there
        """
        land = land_of(covariates) if land is None else np.asarray(land, bool)
        lags = lags_of(coarse, covariates["time"]) if set(self.lags) - set(covariates) else {}
        one = grid(covariates, coarse) if lags else None
        days, pixels = covariates.sizes["time"], int(land.sum())
        found, step = np.full((days, *land.shape), np.nan, np.float32), max(1, CHUNK // max(pixels, 1))
        there = beyond = 0
        for start in range(0, days, step):
            part = covariates.isel(time=slice(start, start + step))
            for name in set(self.lags) & set(lags) - set(covariates):
                part = part.assign({name: one.smooth(lags[name].isel(time=slice(start, start + step)), land)})
            values = stacked(part, self.columns, land)
            said = self.answer(values, rounds=rounds)
            said[np.isnan(values).all(0)] = np.nan
            found[start:start + step, land] = said.reshape(-1, pixels)
            told = np.isfinite(said)
            there += int(told.sum())
            beyond += int((_beyond(values, self.low, self.high) & told).sum())
        attrs = {"units": "m3 m-3", "share": there / max(days * pixels, 1), "beyond": beyond / max(there, 1)}
        return xr.DataArray(found, {"time": covariates["time"].values, "y": covariates["y"], "x": covariates["x"]},
                            ("time", "y", "x"), self.layer, attrs)

    def residual(self, coarse, averages, *, rounds=None):
        """What f leaves in coarse cells: S − f(X̄), (time, y, x) on the coarse grid.

        coarse    as in ``fit``
        averages  Dataset of ``means``
        """
        said = self.predict(averages, land=land_of(averages), rounds=rounds)
        return (on_days(layer_of(coarse, self.layer), averages["time"]) - said).astype(np.float32).rename("residual")

    def downscale(self, coarse, covariates, *, land=None, averages=None, knots=None, rounds=None):
        """Moisture on the fine grid: S(fine) = f(X) + smooth residual + shift of the cell, whose mean is kept.

        coarse      DataArray or Dataset (time, y, x), daily, as in ``fit``
        covariates  Dataset on the fine grid, of days that the coarse product has
        land        (y, x) bool; default ``land_of``
        averages    Dataset of ``means``, if they are there already
        knots       of the residual on the whole coarse grid (``Grid.knots``): for tiles, which see no other cells
        rounds      trees that are used; default all
        returns     Dataset: moisture, part_model and part_residual (time, y, x) float32, moisture being their sum and a
                    shift in each cell; residual (time, coarse_y, coarse_x) S − f(X̄). Attributes: ``share`` and
                    ``beyond`` as in ``predict``; ``outside``, share of values outside of 0–0.7
        raises      InputError as ``grid`` and ``fit``
        """
        one = grid(covariates, coarse)
        land = land_of(covariates) if land is None else np.asarray(land, bool)
        wanted = on_days(layer_of(coarse, self.layer), covariates["time"])
        model = self.predict(covariates, coarse=coarse, land=land, rounds=rounds)
        left = None
        if knots is None:
            averages = means(covariates, coarse, land=land) if averages is None else averages
            left = self.residual(coarse, averages, rounds=rounds)
            knots = one.knots(left, land)
        rest = one.smooth(knots, land)
        moisture = one.conserve(model + rest, wanted, land)
        found = xr.Dataset({"moisture": moisture, "part_model": model.drop_attrs(), "part_residual": rest.drop_attrs()},
                           attrs={"layer": self.layer, **model.attrs, "outside": moisture.attrs["outside"]})
        if left is not None:
            found["residual"] = left.rename(y="coarse_y", x="coarse_x")
        return found

    def save(self, path):
        """Write a LightGBM model as JSON text, for ``load``; no pickle."""
        if self.kind != "lightgbm":
            raise InputError(f"a {MODELS[self.kind]} has no text form; only kind 'lightgbm' can be saved")
        text = {"layer": self.layer, "columns": self.columns, "rounds": self.rounds, "low": self.low.tolist(),
                "high": self.high.tolist(), "told": self.told, "model": self.model.model_to_string(),
                "line": None if self.line is None else self.line.tolist()}
        with atomic(Path(path)) as part:
            Path(part).write_text(json.dumps(text))

    def with_threads(self, threads):
        """The same model, predicting with so many threads."""
        return replace(self, threads=int(threads))


@numba.njit(cache=True, nogil=True)
def _beyond(values, low, high):
    """Which of n have a covariate outside of its range; values (column, n)."""
    found = np.zeros(values.shape[1], np.bool_)
    for k in range(values.shape[0]):
        for n in range(values.shape[1]):
            found[n] |= values[k, n] < low[k] or values[k, n] > high[k]
    return found


def load(path, *, threads=1):
    """A Downscaler that ``Downscaler.save`` wrote; it predicts the same bits."""
    import lightgbm

    try:
        text = json.loads(Path(path).read_text())
        model = lightgbm.Booster(model_str=text["model"])
    except (KeyError, UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise InputError(f"{path} holds no downscaling model ({type(fault).__name__}: {fault}); write one with "
                         "Downscaler.save") from fault
    return Downscaler(text["layer"], "lightgbm", tuple(text["columns"]), model, text["rounds"],
                      np.array(text["low"], np.float32), np.array(text["high"], np.float32), text["told"],
                      threads=threads, line=None if text["line"] is None else np.array(text["line"]))


def fit(coarse, covariates, *, layer, model="lightgbm", columns=None, learn=None, land=None, stopping="block and year",
        block=2, folds=3, leaves=31, rate=0.05, rounds=300, leaf=50, patience=30, keep=False, trees=50, threads=1,
        seed=0):
    """Learn a relation between covariates and moisture from coarse cells.

    coarse      DataArray (time, y, x) of the layer, or Dataset of both [m³ m⁻³], daily. With both, the root zone is
                told what the surface held lately (``surface_lags``)
    covariates  Dataset on the fine grid, of days that the coarse product has; or its ``means``, made once for several
                models
    layer       of ``LAYERS``
    model       of ``MODELS``. Trees say nothing beyond the range of the means they learnt from, and pixels lie beyond
                it; a hybrid has a line that does, and trees for what the line leaves
    columns     covariates to learn from; default all, lags of the surface for the root zone alone
    learn       DataArray (time, y, x) bool on the coarse grid: cells and days to learn from; default all. Others are
                read for nothing, neither to stop nor for scales
    land        (y, x) bool; default ``land_of``
    stopping    "block and year": the number of trees is chosen in cells of blocks and in a year that the trees have not
                seen, in each pair of both, and the model then fitted to all that may be learnt from; with a single
                year, in thirds of it. "random": in rows drawn at random, neighbours and yesterday on both sides; to
                show what that does. "": ``rounds`` trees
    block       side of the blocks [cells]
    folds       that the blocks are dealt to
    leaves, rate, rounds, leaf, patience  of LightGBM: leaves of a tree, learning rate, trees at most, least rows in a
                leaf, trees without gain before it stops; shares of rows and columns for a tree are 0.8
    keep        True: all ``rounds`` trees are kept, and ``curve`` tells the error of each number; to choose by hand
    trees       of the forest
    threads     of the machine
    seed        of all draws
    returns     Downscaler
    raises      InputError for per cent, swapped layers, a shifted grid, a missing column, too few cells or days

    Ke et al. (2017); the scheme of means, model, residual is the common one of downscaling.
    """
    if model not in MODELS:
        raise InputError(f"model = '{model}'{near(model, MODELS)}")
    wanted = layer_of(coarse, layer)
    is_mean = covariates.sizes["y"] == wanted.sizes["y"] and covariates.sizes["x"] == wanted.sizes["x"]
    averages = covariates if is_mean else means(covariates, coarse, land=land)
    if columns is None:
        columns = [name for name in averages if layer == "root_zone" or not name.startswith("surface_")]
    table = _table(on_days(wanted, averages["time"]), averages, columns, learn)
    X, y = table[list(columns)], table["target"].to_numpy()
    told = {"n": len(table), "cells": int(table["cell"].nunique()), "dropped": 0.0, "folds": 0}
    low, high = X.min().to_numpy(np.float32), X.max().to_numpy(np.float32)
    if model in ("forest", "linear"):
        there = X.notna().all(axis=1).to_numpy()
        told["dropped"] = float(1 - there.mean())
        if there.sum() < 2 * len(columns):
            raise InputError(f"{there.sum()} of {len(X)} rows have all {len(columns)} covariates; give fewer columns")
        fitted = _scikit(model, trees, threads, seed).fit(X[there].to_numpy(np.float32), y[there])
        return Downscaler(layer, model, tuple(columns), fitted, 0, low, high, told, rows=X[there], threads=threads)
    import lightgbm

    settings = {"objective": "regression", "metric": "l2", "num_leaves": int(leaves), "learning_rate": rate,
                "min_data_in_leaf": int(leaf), "feature_fraction": 0.8, "bagging_fraction": 0.8, "bagging_freq": 1,
                "num_threads": int(threads), "deterministic": True, "force_row_wise": True, "seed": int(seed),
                "verbosity": -1}
    curve, on = None, model == "hybrid"
    if stopping:
        pairs = _pairs(table, stopping, block, folds, seed)
        curve = _curve(X, y, pairs, settings, int(rounds), int(rounds) if keep else patience, on)
        rounds, told["folds"] = int(rounds) if keep else int(curve["error"].idxmin()), len(pairs)
    line = _line(X, y) if on else None
    booster = lightgbm.train(settings, lightgbm.Dataset(X, _less(line, X, y)), int(rounds))
    told["settings"] = {"leaves": leaves, "rate": rate, "leaf": leaf, "stopping": stopping, "seed": seed}
    return Downscaler(layer, "lightgbm", tuple(columns), booster, int(rounds), low, high, told, curve, X, threads, line)


def on_line(line, values):
    """What the line of a hybrid says of values (column, n): (n,) float64."""
    fill, factor = line
    found = np.full(values.shape[1], factor[-1])
    for k, one in enumerate(values):
        found += factor[k] * np.where(np.isnan(one), fill[k], one)
    return found


def _line(X, y):
    """Least squares on columns in SDs, as (fill, factor) with the constant at the end."""
    from sklearn.linear_model import LinearRegression

    fill, sd = X.mean().to_numpy(float), X.std().to_numpy(float)
    sd = np.where(sd > 0, sd, 1.0)
    fitted = LinearRegression().fit(((X.fillna(X.mean()) - fill) / sd).to_numpy(float), y)
    factor = fitted.coef_ / sd
    return np.array([np.r_[fill, 1.0], np.r_[factor, fitted.intercept_ - factor @ fill]])


def _less(line, X, y):
    return y if line is None else y - on_line(line, X.to_numpy(float).T)


def _curve(X, y, pairs, settings, rounds, patience, on):
    """Mean error over pairs of rows to learn from and to stop by, for each number of trees, grown side by side."""
    import lightgbm

    grown = []
    for train, stop in pairs:
        line = _line(X.iloc[train], y[train]) if on else None
        data = lightgbm.Dataset(X.iloc[train], _less(line, X.iloc[train], y[train]), params=settings)
        booster = lightgbm.Booster(settings, data)
        booster.add_valid(data.create_valid(X.iloc[stop], _less(line, X.iloc[stop], y[stop])), "stop")
        grown.append(booster)
    errors = []
    while len(errors) < rounds and (not errors or len(errors) - np.argmin(np.mean(errors, 1)) <= patience):
        for booster in grown:
            booster.update()
        errors.append([booster.eval_valid()[0][2] for booster in grown])
    found = np.array(errors)
    return pd.DataFrame({"error": np.sqrt(found.mean(1)), "sd": np.sqrt(found).std(1)},
                        index=pd.RangeIndex(1, len(found) + 1, name="rounds"))


def _scikit(model, trees, threads, seed):
    if model == "linear":
        from sklearn.linear_model import LinearRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LinearRegression())
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(trees, min_samples_leaf=10, max_features=1 / 3, n_jobs=threads, random_state=seed)


def _table(wanted, averages, columns, learn):
    """Rows to learn from: time, row and column of the cell, its number, target, covariates."""
    cells = np.ones((averages.sizes["y"], averages.sizes["x"]), bool)
    table = pd.DataFrame(stacked(averages, columns, cells).T, columns=list(columns))
    time, row, column = np.indices(wanted.shape).reshape(3, -1)
    table = table.assign(target=wanted.values.astype(float).ravel(), time=averages["time"].values[time], row=row,
                         column=column, cell=row * wanted.shape[2] + column)
    spatial = [name for name in columns if "y" in averages[name].dims]
    good = table["target"].notna() & table[spatial].notna().any(axis=1)
    if learn is not None:
        if set(learn.dims) != {"time", "y", "x"} or learn.sizes["y"] != cells.shape[0]:
            raise InputError(f"learn has the dimensions {dict(learn.sizes)}; give (time, y, x) of the coarse grid")
        good &= on_days(learn, averages["time"]).transpose("time", "y", "x").values.astype(bool).ravel()
    if good.sum() < 100:
        there = np.unique(table["time"][table["target"].notna()])
        raise InputError(f"{good.sum()} cells and days have moisture and covariates, at least 100 are needed; the "
                         f"layer has values on {there.size} of the {averages.sizes['time']} days that are asked for")
    return table[good].reset_index(drop=True)


def _pairs(table, stopping, block, folds, seed):
    """Rows to learn from and to stop by, for each pair of a fold of blocks and a year."""
    rng = np.random.default_rng(seed)
    if stopping == "random":
        part = rng.permutation(len(table)) % folds
        return [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(folds)]
    if stopping != "block and year":
        raise InputError(f"stopping = '{stopping}'{near(stopping, ['block and year', 'random'])}")
    time = pd.DatetimeIndex(table["time"])
    period = time.year.to_numpy()
    if np.unique(period).size < 2:
        period = pd.qcut(time.to_julian_date(), 3, labels=False).astype(int)
    blocks = (table["row"] // block * 1000 + table["column"] // block).to_numpy()
    names = rng.permutation(np.unique(blocks))
    if names.size < 2:
        raise InputError(f"all cells lie in one block of {block} cells; give a smaller block or more cells")
    fold = pd.Series(np.arange(names.size) % folds, names)[blocks].to_numpy()
    pairs, day = [], time.to_julian_date().to_numpy()
    for one in np.unique(period):
        held = period == one
        near_by = (day > day[held].min() - APART) & (day < day[held].max() + APART)
        for k in np.unique(fold):
            train, stop = np.flatnonzero(~near_by & (fold != k)), np.flatnonzero(held & (fold == k))
            if train.size and stop.size:
                pairs.append((train, stop))
    if not pairs:
        raise InputError("no block and year is left to stop the training by; give more years, or stopping=''")
    return pairs


# ---- against it

def bilinear(coarse, fine, *, land=None, conserved=False):
    """Coarse moisture between the middles of cells: what any covariate has to beat.

    coarse     DataArray (time, y, x)
    fine       Grid, or anything with the y and x of the fine grid
    land       (y, x) bool; default all
    conserved  True: the means of cells are kept too, as ``Downscaler.downscale`` keeps them
    returns    DataArray (time, y, x) float32
    """
    one = fine if isinstance(fine, Grid) else grid(fine, coarse)
    if not conserved:
        return one.smooth(coarse, land)
    return one.conserve(one.smooth(one.knots(coarse, land), land), coarse, land)


def jensen_gap(model, covariates, coarse, *, land=None, fine=None):
    """f(X̄) − mean f(X) of each cell and day: how far from its own mean a curved relation lands.

    The relation is learnt from means and used at pixels. If it is not straight the mean of what it says at pixels is
    not what it says of the mean; the shift of the cell hides that, it does not mend it.

    model       Downscaler
    covariates  Dataset on the fine grid
    coarse      as in ``fit``
    fine        what ``predict`` said of the pixels, if it is there already
    returns     DataArray (time, y, x) on the coarse grid [m³ m⁻³]
    """
    land = land_of(covariates) if land is None else np.asarray(land, bool)
    fine = model.predict(covariates, coarse=coarse, land=land) if fine is None else fine
    averages = means(covariates, coarse, land=land)
    said = model.predict(averages, land=land_of(averages))
    return (said - grid(covariates, coarse).block_mean(fine, land)).astype(np.float32).rename("jensen_gap")
