import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import downscaling
from phenolib import downscaling_trials as trials
from phenolib.errors import InputError
from phenolib.explain import shapley

FACTOR, CELLS = 6, (8, 7)
DAYS = pd.date_range("2018-01-01", "2020-12-31", freq="5D")


def axes(factor=FACTOR, cells=CELLS):
    "Middles of fine pixels and of coarse cells of 0.25°."
    fine = [sign * (np.arange(n * factor) + 0.5) * 0.25 / factor for n, sign in zip(cells, (-1, 1))]
    coarse = [sign * (np.arange(n) + 0.5) * 0.25 for n, sign in zip(cells, (-1, 1))]
    return (38 + fine[0], 126 + fine[1]), (38 + coarse[0], 126 + coarse[1])


def planted(curve=lambda heat: 0.3 - 0.01 * heat, noise=0.0, seed=0, days=DAYS):
    "A land whose moisture is known from its temperature and soil: covariates, true moisture, coarse moisture."
    rng = np.random.default_rng(seed)
    (y, x), (coarse_y, coarse_x) = axes()
    shape = (len(days), y.size, x.size)
    coarse_part = rng.normal(0, 4, (len(days), *CELLS)).repeat(FACTOR, 1).repeat(FACTOR, 2)
    heat = coarse_part + rng.normal(0, 3, shape) + 5 * np.sin(np.arange(len(days)) / 12)[:, None, None]
    clay = 0.2 + 0.1 * rng.random(CELLS).repeat(FACTOR, 0).repeat(FACTOR, 1) + rng.normal(0, 0.03, shape[1:])
    land = np.ones(shape[1:], bool)
    land[:, :9] = False  # the sea reaches half into the second column of cells
    true = np.where(land, curve(heat) + 0.2 * clay, np.nan)
    at = {"time": days, "y": y, "x": x}
    layers = {"lst_day": (("time", "y", "x"), np.where(land, heat, np.nan).astype(np.float32)),
              "clay": (("y", "x"), np.where(land, clay, np.nan).astype(np.float32)),
              "season_sin": (("time",), np.sin(np.arange(len(days))).astype(np.float32))}
    true = xr.DataArray(true, at, ("time", "y", "x"))
    one = downscaling.grid((y, x), (coarse_y, coarse_x))
    coarse = one.block_mean(true, land).rename("surface") + rng.normal(0, noise, (len(days), *CELLS))
    return xr.Dataset(layers, at), true, coarse, land


def both_layers(seed=0):
    "A daily coarse product whose root zone is the surface of the last weeks, dimmed."
    rng = np.random.default_rng(seed)
    days = pd.date_range("2018-01-01", "2020-12-31")
    _, (y, x) = axes()
    wet = np.zeros((len(days), *CELLS))
    for t in range(1, len(days)):
        wet[t] = 0.85 * wet[t - 1] + 0.03 * rng.gamma(0.3, 1, CELLS)
    surface = xr.DataArray(0.1 + wet, {"time": days, "y": y, "x": x}, ("time", "y", "x"), "surface")
    return xr.Dataset({"surface": surface, "root_zone": 0.12 + 0.6 * downscaling.surface_lags(surface)["surface_15"]})


def small(**options):
    return dict(leaves=7, rounds=60, rate=0.1, leaf=20, patience=10) | options


def test_a_planted_line_is_found():
    "A linear relation between heat, clay and moisture is learnt between cells and holds at pixels."
    covariates, true, coarse, land = planted()
    model = downscaling.fit(coarse, covariates, layer="surface", model="linear")
    found = model.predict(covariates)
    assert float(np.abs(found - true).max()) < 1e-5 and found.notnull().values[:, land].all()
    assert found.attrs["share"] == 1 and 0 < found.attrs["beyond"] < 1 and model.told["dropped"] == 0


@pytest.mark.parametrize("model", ["lightgbm", "hybrid", "forest"])
def test_trees_follow_the_planted_line(model):
    "Trees find most of what is within cells, and much more than interpolation, which finds nothing."
    covariates, true, coarse, land = planted()
    fitted = downscaling.fit(coarse, covariates, layer="surface", model=model, trees=20, **small(rounds=200, leaves=15))
    found = fitted.downscale(coarse, covariates)["moisture"]
    plain = downscaling.bilinear(coarse, covariates, land=land, conserved=True)
    one = downscaling.grid(covariates, coarse)

    def within(maps):
        return np.corrcoef(*((each - one.expand(one.block_mean(each, land))).values[:, land].ravel()
                             for each in (maps, true)))[0, 1]

    assert within(found) > 0.8 and within(plain) < 0.1


@pytest.mark.parametrize("model", list(downscaling.MODELS))
def test_the_mean_of_each_cell_is_kept(model):
    "Means over the land of each cell equal the coarse product to 1e-6, also where a driver is missing."
    covariates, _, coarse, land = planted(lambda heat: 0.2 + 0.1 * np.tanh(-heat / 4), noise=0.01)
    heat = covariates["lst_day"]
    covariates["lst_day"] = heat.where(np.random.default_rng(1).random(heat.shape) > 0.3)
    found = downscaling.fit(coarse, covariates, layer="surface", model=model, trees=5,
                            **small()).downscale(coarse, covariates)
    back = downscaling.grid(covariates, coarse).block_mean(found["moisture"], land)
    assert float(np.abs(back - coarse).max()) < 1e-6
    share = 1 if model in ("lightgbm", "hybrid") else 0.7
    assert found.attrs["share"] == pytest.approx(share, abs=0.02)


def test_parts_add_up():
    "Moisture is the relation, the smooth residual, and one number for each cell and day."
    covariates, _, coarse, land = planted(noise=0.01)
    found = downscaling.fit(coarse, covariates, layer="surface", **small()).downscale(coarse, covariates)
    shift = (found["moisture"] - found["part_model"] - found["part_residual"]).values
    cell = shift.reshape(len(DAYS), CELLS[0], FACTOR, CELLS[1], FACTOR).swapaxes(2, 3)[:, :, 2:]
    assert np.nanmax(np.ptp(cell, axis=(3, 4))) < 1e-6
    assert {*found["residual"].dims} == {"time", "coarse_y", "coarse_x"}


def test_a_line_reaches_where_trees_stop():
    "Pixels lie beyond the means that were learnt from: trees stay level there, a hybrid goes on as the planted line."
    covariates, true, coarse, land = planted()
    far = covariates["lst_day"].values > float(downscaling.means(covariates, coarse)["lst_day"].max())
    errors = {model: float(np.abs(downscaling.fit(coarse, covariates, layer="surface", model=model, **small()).predict(
        covariates) - true).where(far).mean()) for model in ("lightgbm", "hybrid")}
    assert far.any() and errors["hybrid"] < 0.1 * errors["lightgbm"]


def test_the_sea_is_not_read():
    "What stands at sea, sense or nonsense, changes nothing on land, and the sea stays missing."
    covariates, _, coarse, land = planted()
    model = downscaling.fit(coarse, covariates, layer="surface", land=land, **small())
    first = model.downscale(coarse, covariates, land=land)["moisture"]
    wild = covariates.assign(lst_day=covariates["lst_day"].where(land, 1e6), clay=covariates["clay"].where(land, 9.0))
    again = downscaling.fit(coarse, wild, layer="surface", land=land, **small())
    second = again.downscale(coarse, wild, land=land)["moisture"]
    assert np.array_equal(first.values, second.values, equal_nan=True) and not np.isfinite(first.values[:, ~land]).any()


def test_what_is_held_out_is_never_read():
    "Other values in held-out cells and years, even absurd ones, leave the number of trees and every bit as they were."
    covariates, _, coarse, land = planted(noise=0.01)
    learn = xr.ones_like(coarse, bool).where(coarse["time"].dt.year < 2020, False)
    learn[:, :2, :] = False
    models = []
    for other in (coarse, coarse.where(learn, 0.9)):
        touched = covariates.copy(deep=True)
        if other is not coarse:
            touched["lst_day"] = touched["lst_day"].where(touched["time"].dt.year < 2020, 77.0)
        models.append(downscaling.fit(other, touched, layer="surface", learn=learn, **small()))
    assert models[0].model.model_to_string() == models[1].model.model_to_string()
    assert models[0].rounds == models[1].rounds and models[0].rows.equals(models[1].rows)
    assert models[0].told["n"] == int((learn & coarse.notnull()).sum())


def test_training_stops_by_blocks_and_years_it_has_not_seen():
    "In each pair nothing that stops the training shares a year or a block of cells with what it learns from."
    covariates, _, coarse, _ = planted()
    table = downscaling._table(coarse, downscaling.means(covariates, coarse), ["lst_day", "clay"], None)
    pairs = downscaling._pairs(table, "block and year", 2, 3, 0)
    assert len(pairs) == 9
    for train, stop in pairs:
        rows = [table.iloc[part] for part in (train, stop)]
        for by in (lambda one: one["time"].dt.year, lambda one: one["row"] // 2 * 100 + one["column"] // 2):
            assert not set(by(rows[0])) & set(by(rows[1]))


def test_leaking_rows_look_better_than_blocks_and_years():
    "Where each cell has a level of its own, rows at random promise what blocks and years do not hold."
    covariates, _, coarse, _ = planted(noise=0.01)
    own = np.random.default_rng(3).normal(0, 0.05, CELLS)
    errors = {stopping: downscaling.fit(coarse + own + 0.3, covariates, layer="surface", stopping=stopping,
                                        **small(leaves=31, rounds=150)).curve["error"].min()
              for stopping in ("random", "block and year")}
    assert errors["random"] < 0.7 * errors["block and year"]


def test_a_shifted_grid_is_refused():
    "A coarse grid shifted by half a cell or some pixels, of no whole ratio, or upside down, is refused in one line."
    (y, x), (coarse_y, coarse_x) = axes()
    one = downscaling.grid((y, x), (coarse_y, coarse_x))
    assert one.factor == (FACTOR, FACTOR) and one.cells == CELLS and one.first == (0, 0)
    for wrong, words in (((coarse_y - 0.125, coarse_x), "shifted by 0.500"), ((coarse_y, coarse_x + 0.02), "shifted"),
                         ((coarse_y[::-1], coarse_x), "from the south"), ((coarse_y[1:], coarse_x), "whole cells"),
                         ((38 + 1.1 * (coarse_y - 38), coarse_x), "whole number")):
        with pytest.raises(InputError, match=words):
            downscaling.grid((y, x), wrong)


def test_wrong_moisture_is_refused():
    "Per cent, swapped layers, unknown names, days without a coarse value: each tells what to do."
    covariates, _, coarse, _ = planted()
    product = both_layers()
    swapped = xr.Dataset({"surface": product["root_zone"], "root_zone": product["surface"]})
    daily = covariates.sel(time=covariates["time"].isin(product["time"]))
    for given, options, words in ((coarse * 100, {}, "per cent"), (coarse.rename("root_zone"), {}, "swapped"),
                                  (swapped, {}, "swapped"), (coarse, {"layer": "surfce"}, "did you mean 'surface'"),
                                  (coarse, {"columns": ["lst_dya"]}, "did you mean 'lst_day'"),
                                  (coarse - 1, {}, "missing"), (coarse.isel(time=slice(20, None)), {}, "2018-01-01"),
                                  (coarse, {"model": "lightgmb"}, "did you mean"),
                                  (coarse, {"learn": coarse > 9}, "at least 100")):
        with pytest.raises(InputError, match=words):
            downscaling.fit(given, daily, **{"layer": "surface"} | options)


@pytest.mark.parametrize("model", ["lightgbm", "hybrid"])
def test_a_saved_model_says_the_same_bits(tmp_path, model):
    "A model read back from its text predicts and downscales bit for bit as before; other files are refused."
    covariates, _, coarse, _ = planted(noise=0.01)
    model = downscaling.fit(coarse, covariates, layer="surface", model=model, **small())
    model.save(tmp_path / "model.json")
    again = downscaling.load(tmp_path / "model.json")
    assert (again.columns, again.rounds, again.told) == (model.columns, model.rounds, model.told)
    assert again.downscale(coarse, covariates).identical(model.downscale(coarse, covariates))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="other.json"):
        downscaling.load(tmp_path / "other.json")


def test_a_seed_gives_the_same_model():
    "The same data and seed give the same trees."
    covariates, _, coarse, _ = planted(noise=0.01)
    texts = {downscaling.fit(coarse, covariates, layer="surface", **small()).model.model_to_string() for _ in range(2)}
    assert len(texts) == 1


def test_the_root_zone_learns_from_what_the_surface_held():
    "Lags of the surface tell a root zone that is made of them; the surface model has none."
    covariates, _, _, _ = planted()
    product = both_layers()
    root = downscaling.fit(product, covariates, layer="root_zone", model="linear")
    surface = downscaling.fit(product, covariates, layer="surface", model="linear")
    assert root.lags == ("surface_0", "surface_5", "surface_15", "surface_30") and surface.lags == ()
    averages = downscaling.means(covariates, product)
    left = {layer: float(model.residual(product, averages).std() / product[layer].std())
            for layer, model in (("root_zone", root), ("surface", surface))}
    assert left["root_zone"] < 0.4 and left["surface"] > 0.8
    found = root.downscale(product, covariates)
    assert float(found["part_model"].notnull().where(downscaling.land_of(covariates)).mean()) == 1


def test_lags_know_only_the_past():
    "A lag is the value itself for a level past, changes with nothing that comes later, and passes over gaps."
    surface = both_layers()["surface"][:60]
    lags = downscaling.surface_lags(surface)
    later = surface.copy(data=np.where(np.arange(60)[:, None, None] > 30, 0.9, surface))
    for name, lag in downscaling.surface_lags(later).items():
        assert np.array_equal(lag[:31], lags[name][:31])
    gap = xr.full_like(surface, 0.2).where(np.arange(60)[:, None, None] % 7 > 2)
    filled = downscaling.surface_lags(gap)["surface_15"]
    assert np.allclose(filled[3:], 0.2) and np.isnan(filled[:3]).all()


def test_a_straight_relation_has_no_jensen_gap_and_a_curved_one_has():
    "f(mean) = mean(f) for a line; for a curve the gap is that of the planted curve."
    covariates, _, coarse, _ = planted()
    line = downscaling.fit(coarse, covariates, layer="surface", model="linear")
    assert float(np.abs(downscaling.jensen_gap(line, covariates, coarse)).max()) < 1e-5
    covariates, true, coarse, land = planted(lambda heat: 0.1 + 0.001 * heat**2)
    bent = downscaling.fit(coarse, covariates, layer="surface", **small(rounds=200))
    gap = downscaling.jensen_gap(bent, covariates, coarse)
    assert float(gap.mean()) == pytest.approx(-0.001 * 3**2, rel=0.35)


def test_a_tile_says_what_the_whole_says():
    "Whole cells cut out, with the coarse grid left whole and the knots made for all, give the same bits."
    covariates, _, coarse, land = planted(noise=0.01)
    model = downscaling.fit(coarse, covariates, layer="surface", **small())
    whole = model.downscale(coarse, covariates)["moisture"]
    knots = downscaling.grid(covariates, coarse).knots(
        model.residual(coarse, downscaling.means(covariates, coarse)), downscaling.land_of(covariates))
    part = dict(y=slice(2 * FACTOR, 5 * FACTOR), x=slice(FACTOR, 4 * FACTOR))
    tile = model.downscale(coarse, covariates.isel(part), knots=knots)["moisture"]
    assert np.array_equal(tile.values, whole.isel(part).values, equal_nan=True)


def test_smooth_is_bilinear_and_skips_what_is_missing():
    "A plane comes back as a plane; a missing cell is passed over; knots bring the means back."
    (y, x), (coarse_y, coarse_x) = axes()
    one = downscaling.grid((y, x), (coarse_y, coarse_x))
    plane = coarse_y[:, None] + 2 * coarse_x
    inner = slice(FACTOR, -FACTOR)
    assert np.allclose(one.smooth(plane)[inner, inner], (y[:, None] + 2 * x)[inner, inner], atol=1e-4)
    flat = np.full(CELLS, 0.3)
    flat[2:5, 2:6] = np.nan
    assert np.allclose(one.smooth(flat), 0.3) and np.isnan(one.smooth(np.full(CELLS, np.nan))).all()
    rough = np.random.default_rng(0).random((5, *CELLS))
    left = [np.abs(one.block_mean(one.smooth(made)) - rough).mean() for made in (rough, one.knots(rough, passes=30))]
    assert left[1] < 0.02 * left[0]


def test_credit_goes_to_the_driver_that_matters():
    "Shapley values name the temperature that moisture was planted on, not the season that tells nothing."
    covariates, _, coarse, _ = planted()
    model = downscaling.fit(coarse, covariates, layer="surface", **small())
    found = shapley.shap_trees(model.model, model.rows.iloc[::40], model.rows, most=30)
    size = dict(zip(found.names, np.abs(found.values).mean(0)))
    assert size["lst_day"] > 5 * size["season_sin"] and found.completeness()["within"] > 0.99


def test_blocks_and_a_year_are_held_out():
    "Tested cells lie in other blocks and in another year than those learnt from; rows at random share both."
    _, _, coarse, _ = planted()
    learn, test = trials.held_out(coarse, 2020, block=2, share=0.3, seed=1)
    year, row, column = coarse["time"].dt.year.values, np.arange(CELLS[0]) // 2, np.arange(CELLS[1]) // 2
    sides = []
    for side in (learn, test):
        t, y, x = np.nonzero(side.values)
        sides.append((set(year[t]), set(zip(row[y], column[x]))))
    assert not sides[0][0] & sides[1][0] and not sides[0][1] & sides[1][1] and sides[1][0] == {2020}
    drawn = [np.nonzero(side.values)[0] for side in trials.at_random(coarse, coarse["time"])]
    assert set(year[drawn[0]]) == set(year[drawn[1]]) and len(np.intersect1d(*drawn)) > 200
    with pytest.raises(InputError, match="2031"):
        trials.held_out(coarse, 2031)


def test_the_drivers_that_matter_gain_over_interpolation_and_others_do_not():
    "In trials against the truth the planted driver halves the error; one that knows nothing gains nothing."
    covariates, true, coarse, land = planted()
    idle = np.random.default_rng(9).normal(size=covariates["lst_day"].shape)
    covariates["ndvi"] = (("time", "y", "x"), np.where(land, idle, np.nan).astype(np.float32))
    days = covariates["time"].values[covariates["time"].dt.year == 2020]
    found = trials.trial(coarse, covariates, true, layer="surface", learn=trials.learn_before(coarse, 2020), days=days,
                         columns={"right": ["lst_day", "clay"], "idle": ["ndvi"]}, model="hybrid", **small())
    assert found.loc["bilinear", "ratio"] == 1 and found.loc["right", "ratio_high"] < 0.5
    assert found.loc["idle", "ratio"] > 0.97 and found.loc["right", "within"] > 0.9 > abs(found.loc["idle", "within"])


def test_cost_is_told_for_each_size():
    "Each number of leaves and trees has an error in held-out folds, a speed, and an error against the truth."
    covariates, true, coarse, _ = planted()
    found = trials.cost_curve(coarse, covariates, downscaling.means(covariates, coarse), layer="surface",
                              learn=trials.learn_before(coarse, 2020), days=covariates["time"].values[-5:],
                              leaves=(4, 16), rounds=(5, 40), truth=true, rate=0.1, leaf=20)
    assert len(found) == 4 and found.notna().all(axis=None) and (found["speed"] > 0).all()
    assert (found[found["rounds"] == 40]["error"].to_numpy() < found[found["rounds"] == 5]["error"].to_numpy()).all()


def test_random_rows_look_better_than_strict_ones():
    "The same model errs more in blocks and a year it never saw than in rows drawn at random."
    covariates, _, coarse, _ = planted(noise=0.01)
    own = coarse + 0.3 + np.random.default_rng(3).normal(0, 0.05, CELLS)
    product = xr.Dataset({"surface": own.rename("surface")})
    found = trials.leak(product, downscaling.means(covariates, own), layer="surface", year=2020, **small(leaves=31))
    assert found.loc["rows at random", "high"] < found.loc["other blocks, other year", "low"]


def test_figures_are_drawn():
    "Each figure has its axes, labels and a series for each layer or model that it was given."
    import matplotlib.pyplot as plt

    from phenolib.plots import downscaling as draw

    covariates, _, coarse, _ = planted()
    averages = downscaling.means(covariates, coarse)
    model = downscaling.fit(coarse, averages, layer="surface", **small())
    bounds = {f"{name}_{end}": 0.5 for name in ("pcc", "ratio") for end in ("low", "high")}
    table = pd.DataFrame([{"layer": "surface", "group": "LST", "value": 1.0, "low": 0.5, "high": 1.5, "leaves": 7,
                           "rounds": 5, "minutes": 1.0, "error": 0.1, "images": "moisture", "name": "study", "pcc": 0.5,
                           "ratio": 0.5, **bounds}])
    figures = [draw.stopping({"surface": model}), draw.ranges(covariates, averages, {"lst_day": "a", "clay": "b"}),
               draw.scores({("station", "surface"): table.set_index("name")}, {"study": "study"},
                           {"station": "at stations", "truth": "truth"}, {"pcc": "correlation"}),
               draw.cost(table), draw.gaps({("surface", "linear"): np.zeros(5)}, {"linear": "line"}),
               draw.credit(table), draw.landscapes(table, {"study": "LST"}), draw.landscapes(table[:0], {})]
    assert [len(one.axes) for one in figures] == [1, 2, 2, 1, 1, 1, 2, 2]
    assert all(axes.get_xlabel() or axes.get_ylabel() for one in figures[:-1] for axes in one.axes)
    plt.close("all")
