"""Trials of downscaling: who is held out, what detail is right, what leaves and rounds cost, which landscape gives."""

import time

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import downscaling, metrics, moisture, moisture_detail, moisture_scores
from phenolib.errors import InputError

LAG = 2  # pixels at which detail is told


def learn_before(coarse, year):
    """DataArray (time, y, x) bool: days of other years than that which is tested."""
    return xr.ones_like(coarse, bool).where(coarse["time"].dt.year != year, False)


def held_out(coarse, year, *, block=2, share=0.3, seed=0):
    """Blocks of cells drawn for the test, in one year: what may be learnt from, and what is tested.

    coarse   DataArray (time, y, x)
    year     that is tested
    block    side of a block [cells]
    share    of the blocks that are tested [-]
    returns  learn, test: DataArray (time, y, x) bool; the tested cells in other years, and other cells in the tested
             year, are on no side
    raises   InputError for a year that is not there
    """
    years = coarse["time"].dt.year
    if year not in years:
        raise InputError(f"there is no coarse moisture of {year}; give one of {int(years.min())}–{int(years.max())}")
    row, column = np.indices(coarse.transpose("time", "y", "x").shape[1:])
    blocks = row // block * 1000 + column // block
    there = coarse.notnull().any("time").transpose("y", "x").values
    names = np.random.default_rng(seed).permutation(np.unique(blocks[there]))
    held = xr.DataArray(np.isin(blocks, names[:max(1, round(share * names.size))]), dims=("y", "x"))
    of_year = years == year
    return tuple((~of_year if keep else of_year).where(coarse.notnull(), False).astype(bool)
                 & (~held if keep else held).assign_coords(y=coarse["y"], x=coarse["x"]) for keep in (True, False))


def at_random(coarse, days, *, share=0.3, seed=0):
    """The same with cells and days drawn at random: each tested cell is learnt from on the days around. To show that.

    days     of the covariates
    returns  learn, test
    """
    drawn = xr.DataArray(np.random.default_rng(seed).random(coarse.shape) < share, coarse.coords, coarse.dims)
    there = coarse.notnull() & coarse["time"].isin(days)
    return there & ~drawn, there & drawn


def cell_errors(model, coarse, averages, test):
    """Errors of f(X̄) in tested cells and days, before any residual is added.

    returns  DataFrame: error and observed [m³ m⁻³], block (of 2 × 2 cells)
    """
    left = model.residual(coarse, averages).rename("left")
    observed = coarse[model.layer] if isinstance(coarse, xr.Dataset) else coarse
    table = xr.Dataset({"error": -left, "observed": observed.sel(time=left["time"]),
                        "test": test.sel(time=left["time"])}).to_dataframe().reset_index()
    table = table[table["test"] & table["error"].notna()]
    row, column = (table[axis].map({value: k for k, value in enumerate(averages[axis].values)}) for axis in "yx")
    return table.assign(block=(row // 2).astype(str) + "," + (column // 2).astype(str))[["error", "observed", "block"]]


def rmse_of(table):
    """RMSE of ``cell_errors`` as the arguments of ``report.record``, with an interval by blocks."""
    return metrics.estimate(table["error"], table["block"], lambda e: float(np.sqrt(np.mean(e**2))), why="nothing held")


def pixels(maps, land, factor, *, count=1500, seed=0):
    """Some land pixels as if they were stations: DataArray (station, time), with the cell that each lies in.

    maps     DataArray (time, y, x)
    land     (y, x) bool
    factor   (y, x) pixels in a cell
    count    pixels that are drawn
    returns  DataArray (station, time) with the coordinate ``cell``
    """
    row, column = np.nonzero(land)
    drawn = np.sort(np.random.default_rng(seed).permutation(row.size)[:count])
    row, column = row[drawn], column[drawn]
    cell = row // factor[0] * 1000 + column // factor[1]
    values = maps.transpose("time", "y", "x").values[:, row, column].T
    return xr.DataArray(values, {"station": np.arange(row.size), "time": maps["time"].values,
                                 "cell": ("station", cell)}, ("station", "time"))


def detail(found, truth, cell, *, lag=LAG):
    """Detail of a map against the truth: what ``moisture_detail`` tells, in one line.

    returns  dict: within (correlation of deviations from the cell), sd_ratio, variogram (ratio at the lag), each with
             _low and _high
    """
    inner = moisture_detail.within_cell(found, truth, cell=cell)
    line = moisture_detail.variogram_ratio(found, truth, lags=(lag,), block=cell).iloc[0]
    told = {"within": inner["correlation"], "sd_ratio": inner["sd_ratio"],
            "variogram": {"value": line["ratio"], "interval": (line["low"], line["high"])}}
    row = {}
    for name, one in told.items():
        value, bounds = one["value"], one.get("interval") or (np.nan, np.nan)
        row |= {name: np.nan if value is None else value, f"{name}_low": bounds[0], f"{name}_high": bounds[1]}
    return row


def rmse_ratio(found, plain, truth, cell, *, level=0.95, draws=1000, seed=0):
    """RMSE of a map over that of another at the same pixels and days; below 1 it is better.

    found, plain, truth  DataArrays (time, y, x)
    cell                 side of the squares that are drawn for the interval [pixels]
    returns              dict value, interval, n (squares): the arguments of ``report.record``
    """
    errors = [((one - truth) ** 2).transpose("time", "y", "x").values for one in (found, plain)]
    both = np.isfinite(errors[0]) & np.isfinite(errors[1])
    sums = np.stack([np.where(both, e, 0).sum(0) for e in errors])  # (2, y, x)
    rows, columns = sums.shape[1] // cell, sums.shape[2] // cell
    sums = sums[:, :rows * cell, :columns * cell].reshape(2, rows, cell, columns, cell).sum((2, 4)).reshape(2, -1)
    sums = sums[:, sums[1] > 0]
    if sums.shape[1] < 2:
        raise InputError(f"{sums.shape[1]} squares of {cell} pixels have both maps and the truth; two are needed")
    times = np.random.default_rng(seed).multinomial(sums.shape[1], np.full(sums.shape[1], 1 / sums.shape[1]), draws)
    low, high = metrics.percentiles(np.sqrt((times @ sums[0]) / (times @ sums[1])), level)
    return {"value": float(np.sqrt(sums[0].sum() / sums[1].sum())), "interval": (float(low), float(high)),
            "n": sums.shape[1]}


def trial(coarse, covariates, truth, *, layer, learn, days, land=None, averages=None, columns=None, **options):
    """Downscaled moisture by several sets of columns beside interpolation, scored against the truth.

    coarse      DataArray or Dataset, daily
    covariates  Dataset on the fine grid
    truth       DataArray (time, y, x)
    days        that are tested
    columns     {name: columns}; default all of the covariates
    options     of ``downscaling.fit``
    returns     DataFrame by name, "bilinear" (with the means of cells kept) first: rmse [m³ m⁻³], ratio of it to that
                of bilinear with ratio_low and ratio_high, and ``detail``; all at pixels that every map has
    """
    land = downscaling.land_of(covariates) if land is None else land
    averages = downscaling.means(covariates, coarse, land=land) if averages is None else averages
    test, grid = covariates.sel(time=days), downscaling.grid(covariates, coarse)
    wanted = (coarse[layer] if isinstance(coarse, xr.Dataset) else coarse).sel(time=days)
    made = {"bilinear": downscaling.bilinear(wanted, grid, land=land, conserved=True)}
    for name, chosen in (columns or {"all": None}).items():
        model = downscaling.fit(coarse, averages, layer=layer, learn=learn, columns=chosen, **options)
        made[name] = model.downscale(coarse, test, land=land, averages=averages.sel(time=days))["moisture"]
    truth = on(truth, test).where(land).load()
    for one in list(made.values()):
        truth = truth.where(one.notnull())
    rows = {}
    for name, one in made.items():
        ratio = rmse_ratio(one, made["bilinear"], truth, grid.factor[0])
        rows[name] = {"rmse": float(np.sqrt(((one - truth)**2).mean())), "ratio": ratio["value"],
                      "ratio_low": ratio["interval"][0], "ratio_high": ratio["interval"][1],
                      **detail(one, truth, grid.factor[0])}
    return pd.DataFrame(rows).T


def each(coarse, covariates, truth, *, layers=downscaling.LAYERS, models=("lightgbm", "hybrid"), **options):
    """``trial`` of each layer and model in one table, with layer, model and name as columns.

    coarse, truth  Datasets of the layers
    options        of ``trial``
    """
    found = [trial(coarse[layer], covariates, truth[layer], layer=layer, model=model, **options).rename_axis(
        "name").reset_index().assign(layer=layer, model=model) for layer in layers for model in models]
    return pd.concat(found, ignore_index=True)


def at_pixels(maps, truth, land, factor, *, count=1500, draws=500, seed=0):
    """Scores of maps at some land pixels, each taken for a station with the truth as its probe.

    maps     {name: DataArray (time, y, x)}
    truth    DataArray (time, y, x)
    returns  DataFrame of ``moisture_scores.compare``, with intervals by drawing cells
    """
    made = {name: pixels(one, land, factor, count=count, seed=seed) for name, one in maps.items()}
    reference = pixels(truth, land, factor, count=count, seed=seed)
    return moisture_scores.compare({name: one.drop_vars("cell") for name, one in made.items()},
                                   reference.drop_vars("cell"), groups=reference["cell"].values, draws=draws, seed=seed)


def gap_row(gap, part, coarse, truth, grid, land):
    """What the Jensen gap of a model does to the means of cells, in one line.

    gap      DataArray of ``downscaling.jensen_gap``
    part     Dataset of ``Downscaler.downscale``
    coarse   DataArray (time, y, x) of the same days
    truth    DataArray on the fine grid, or None
    returns  dict: mean and size (root mean square) of the gap, and with a truth the error of the means of cells, with
             and without the shift that keeps the coarse means [m³ m⁻³]
    """
    row = {"mean gap": float(gap.mean()), "size of the gap": float(np.sqrt((gap**2).mean()))}
    if truth is not None:
        cells = grid.block_mean(truth, land).where(coarse.notnull())
        loose = grid.block_mean(part["part_model"] + part["part_residual"], land)
        row["error without shift"] = float(np.sqrt(((loose - cells)**2).mean()))
        row["error with shift"] = float(np.sqrt(((coarse - cells)**2).mean()))
    return row


def credit(model, coarse, covariates, grid, land, *, count=300, draws=500, seed=0):
    """Shapley values of a LightGBM model at some pixels and days, by groups of covariates.

    model       Downscaler with its training rows, from which the background is drawn
    covariates  Dataset on the fine grid
    count       pixels and days that are drawn
    returns     DataFrame: group, value (mean absolute), low, high, by drawing cells [m³ m⁻³]
    """
    from phenolib import explain

    values = downscaling.stacked(_with_lags(model, coarse, covariates, grid, land), model.columns, land).T
    drawn = np.random.default_rng(seed).choice(len(values), count, replace=False)
    row, column = (place[drawn % land.sum()] // size for place, size in zip(np.nonzero(land), grid.factor))
    found = explain.shap_trees(model.model, pd.DataFrame(values[drawn], columns=list(model.columns)), model.rows,
                               seed=seed)
    groups = {name: list(of) for name, of in downscaling.GROUPS.items()
              if any(column.startswith(of) for column in model.columns)}
    told = explain.by_group(found, groups, blocks=row * 1000 + column, draws=draws, seed=seed)
    return told.table().reset_index()


def on(maps, like):
    """Maps on the pixels and days of others, whose coordinates they take."""
    return maps.sel(time=like["time"]).assign_coords(y=like["y"], x=like["x"]).drop_vars("spatial_ref", errors="ignore")


def landscape(data, years, *, columns, layers=downscaling.LAYERS, models=("lightgbm", "hybrid"), every=2,
              **options):
    """What covariates could gain in a landscape whose true images are known: as if fusion had no error.

    data      Archive with ``image_truth`` and ``moisture_truth``
    years     (learnt from, tested)
    columns   {name: columns}, as in ``trial``
    models    of ``downscaling.MODELS``
    every     of the images of the tested year that are scored: each second, third, …
    options   of ``downscaling.fit``
    returns   DataFrame of ``trial``, with layer, model and name as columns; None where the archive has no truth
    """
    truth = data.moisture_truth(list(years))
    if truth is None:
        return None
    coarse = data.coarse_moisture(list(years)).load().drop_vars("spatial_ref", errors="ignore")
    ground = data.ground().load()
    images = data.image_truth(list(years)).load()
    images = images.sel(time=images["time"] >= images["time"][0] + np.timedelta64(30, "D"))  # sums of rain reach back
    covariates = moisture.covariates(images, ground, data.rain(list(years)).load()).load()
    days = covariates["time"].values[covariates["time"].dt.year == years[-1]][::every]
    learn = learn_before(coarse["surface"], years[-1])
    averages = downscaling.means(covariates, coarse)
    truth = on(truth, covariates.sel(time=days)).load()
    return each(coarse, covariates, truth, layers=layers, models=models, learn=learn, days=days, averages=averages,
                columns=columns, **options)


def leak(coarse, averages, *, layer, year, seed=0, **options):
    """One model tested at rows drawn at random, and one at blocks and a year that it never saw.

    averages   Dataset of ``downscaling.means``
    year       that is held out
    options    of ``downscaling.fit``
    returns    DataFrame by split: rmse of f(X̄) with low and high [m³ m⁻³], n, and rounds
    """
    wanted, rows = coarse[layer], {}
    splits = {"rows at random": ("random", at_random(wanted, averages["time"], seed=seed)),
              "other blocks, other year": ("block and year", held_out(wanted, year, seed=seed))}
    for name, (stopping, (learn, test)) in splits.items():
        model = downscaling.fit(coarse, averages, layer=layer, learn=learn, stopping=stopping, seed=seed, **options)
        told = rmse_of(cell_errors(model, coarse, averages, test))
        low, high = told["interval"] or (np.nan, np.nan)
        rows[name] = {"rmse": told["value"], "low": low, "high": high, "n": told["n"], "rounds": model.rounds}
    return pd.DataFrame(rows).T


def cost_curve(coarse, covariates, averages, *, layer, learn, days, leaves=(7, 15, 31, 63), rounds=(25, 50, 100, 200),
               truth=None, land=None, **options):
    """Accuracy against cost over the leaves of a tree and the number of trees.

    averages   Dataset of ``downscaling.means``
    days       that are predicted
    truth      DataArray (time, y, x) or None
    options    of ``downscaling.fit``
    returns    DataFrame: leaves, rounds, error (RMSE of f in cells of blocks and years not learnt from, m³ m⁻³), speed
               (pixels and days a second on one core), and with a truth rmse and within against it
    """
    land = downscaling.land_of(covariates) if land is None else land
    test, grid = covariates.sel(time=days).load(), downscaling.grid(covariates, coarse)
    rows, true = [], None if truth is None else on(truth, test).where(land).load()
    for size in leaves:
        model = downscaling.fit(coarse, averages, layer=layer, learn=learn, leaves=size, rounds=max(rounds),
                                patience=max(rounds), keep=True, **options)
        values = downscaling.stacked(_with_lags(model, coarse, test, grid, land), model.columns, land)
        for count in rounds:
            model.answer(values[:, :64], rounds=count)  # reads the trees
            begun = time.process_time()
            model.answer(values, rounds=count)
            row = {"leaves": size, "rounds": count, "error": float(model.curve["error"].loc[count]),
                   "speed": values.shape[1] / max(time.process_time() - begun, 1e-9)}
            if true is not None:
                made = model.downscale(coarse, test, land=land, averages=averages.sel(time=days), rounds=count)
                row["rmse"] = float(np.sqrt(((made["moisture"] - true)**2).mean()))
                row["within"] = moisture_detail.within_cell(made["moisture"], true,
                                                            cell=grid.factor[0])["correlation"]["value"]
            rows.append(row)
    return pd.DataFrame(rows)


def _with_lags(model, coarse, covariates, grid, land):
    lags = downscaling.lags_of(coarse, covariates["time"]) if model.lags else {}
    return covariates.assign({name: grid.smooth(lag, land) for name, lag in lags.items()})
