"""A simulated farm: files as a real one has them, water that adds up, and effects that a model finds again."""

import numpy as np
import pandas as pd
import pytest

from phenolib import archive, farms, mixed_models, simulate
from phenolib.files import sha256
from phenolib.simulate import config, farm, ground, weather
from phenolib.simulate.calendar import stream

SEED = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("farm")
    farm.make(folder, config=config.make(seed=SEED))
    return folder


@pytest.fixture(scope="module")
def opened(made):
    data = archive.open_archive(made)
    return data, data.farm(), data.farm_soil(), *data.farm_truth()


def test_the_part_is_asked_for():
    "The default archive does not have it."
    assert "farm" in simulate.parts(every=True) and "farm" not in simulate.parts()


def test_same_seed_same_bytes(made, tmp_path):
    "A second farm of the seed has the same files."
    simulate.make("farm", tmp_path, config=config.make(seed=SEED))
    names = sorted(p.relative_to(made) for p in made.rglob("*") if p.is_file())
    assert [sha256(tmp_path / n) for n in names] == [sha256(made / n) for n in names]


def test_files_are_an_archive(made, opened):
    "Nothing is found wrong; stations, cells, profiles and days are as many as on the farm that it is modelled on."
    data, table, soil, *_ = opened
    assert not list(archive.check(made)) and {k: len(v) for k, v in data.kinds().items()} == {"soil": 1, "farm": 1}
    assert len(table) == 27 and soil.sizes == {"station": 27, "time": 731, "depth": 5}
    assert soil["depth"].values.tolist() == [0.3, 0.6, 0.9, 1.2, 1.5] and soil.attrs["depths_from"] == "depths.csv"
    grid = data.farm_grid()
    cells = grid["elevation"].notnull()
    assert 3000 < int(cells.sum()) < 3600
    for name in grid:
        there = grid[name] != "" if grid[name].dtype.kind == "U" else grid[name].notnull()
        assert bool((there | ~cells).all()), name
    assert set(np.unique(grid["crop_2016"])) == {"", "WW", "SW", "SL"}
    assert table["bulk_density_150cm"].gt(table["bulk_density_30cm"]).mean() > 0.9
    sky = data.farm_weather()
    assert sky.sizes["time"] == 731 and bool((sky["t_max"] >= sky["t_min"]).all()) and float(sky["rain"].sum()) > 600
    assert not any(name.startswith("CAF") for name in table["station"])


def test_readings_lie_around_the_truth(opened):
    "Sensors err as they are said to, and no reading is out of what can be."
    _, _, soil, truth, _ = opened
    for name, most in (("theta", 0.03), ("soil_temperature", 0.5)):
        error = soil[name] - truth[name]
        assert float(np.sqrt((error**2).mean())) < most and abs(float(error.mean())) < most / 3
    assert 0.08 < float(soil["theta"].isnull().mean()) < 0.4
    assert float(truth["theta"].min()) > 0.05 and float(truth["theta"].max()) < 0.5


def test_soil_has_seasons_by_depth(opened):
    "Summers are dry, deep soil lags behind in warmth and swings less."
    _, _, _, truth, _ = opened
    month = truth[["theta", "soil_temperature"]].groupby("time.month").mean(...)
    assert float(month["theta"].sel(month=3)) > float(month["theta"].sel(month=9)) + 0.05
    swing = truth["soil_temperature"].std("time").mean("station").values
    assert (np.diff(swing) < 0).all()


def test_no_water_is_lost():
    "What arrives, drains, runs off, evaporates and is stored adds up every day."
    sky = weather.make(stream(5, "x"), farm.CLIMATE, farm.LAT, (2018, 2018)).sel(time=slice("2018-03-01", "2018-08-31"))
    leaves = [farm.grown_leaves(5, codes, sky, (2018, 2018)) for codes in (["WW"], ["SL"])]
    columns = farm.Columns(*(np.array(v, float) for v in (
        (-2, 0, 2), (12, 22, 36), (0.9, 1, 1.1), (-0.02, 0, 0.02))), np.array([0, 1, 0]), np.ones((3, 1)))
    grown = farm.run(columns, leaves, sky)
    assert grown["error"] < 1e-9 and np.isfinite(grown["theta"]).all()


def test_water_flows_downhill():
    "All cells of a valley drain through its mouth; every cell drains itself."
    down = np.add.outer(np.arange(20.0), np.zeros(11)) * -1
    valley = down + 0.5 * np.abs(np.arange(11) - 5)
    area = farm.drained(valley)
    assert area.min() == 1 and area[-1, 5] == area.max() > 60
    np.testing.assert_allclose(farm.drained(down)[-1].sum(), down.size)


def test_the_ground_is_planted_as_it_is_told():
    "Clay follows the wetness index with the correlation that is set; rain is moved and not made."
    found = [farm.terrain(seed) for seed in range(6)]
    r = [np.corrcoef(maps["clay"].values.ravel(), maps["wet"].values.ravel())[0, 1] for maps in found]
    assert np.mean(r) == pytest.approx(farm.SORTED, abs=0.12)
    for maps in found:
        assert float(maps["run_on"].mean()) == pytest.approx(1) and 0.7 < float(maps["sun"].min()) < 1
        steep = ground.slope(maps["elevation"].values)
        assert 2 < np.median(steep) < 12


def test_conductivity_follows_clay_and_water(made, opened):
    "Both maps rank places by clay; spring, when soil is wet, conducts better."
    data, *_, truth, _ = opened
    grid = data.farm_grid()
    inside = grid["elevation"].notnull().values
    clay = truth["clay"].values[inside]
    for name in ("eca_fall", "eca_spring"):
        assert np.corrcoef(clay, grid[name].values[inside])[0, 1] > 0.4
    assert float(grid["eca_spring"].mean()) > float(grid["eca_fall"].mean())


def test_true_effects_have_the_planted_signs(opened):
    "Low ground is wetter, by water and by clay; wheat drinks where legumes do not; wet topsoil is cooler."
    *_, effects = opened
    summer = effects[effects["season"] == "summer"].set_index(["driver", "meaning", "depth"])["value"].sort_index()
    whole, water = (summer["twi", words] for words in ("by water and by clay", "by water at the same clay"))
    assert (water > 0).all() and (whole > water).all()
    deep = summer["WW", "less legume as the rotation has both"]
    assert (deep.loc[[0.9, 1.2, 1.5]] < -0.02).all()
    assert (summer["theta", "of water at 0.3 m by the cooling of the topsoil"] < 0).all()


def test_a_mixed_model_finds_the_effects(opened):
    "The intervals of crop and terrain hold the truth at most depths, from sensors with errors and gaps."
    _, table, soil, _, effects = opened
    months = farms.table(soil, table)
    dry = months[months["month"].isin([7, 8, 9])].assign(
        late=lambda t: t["year"] - t["year"].mean().round() - 0.5, twi=lambda t: t["twi"] - table["twi"].mean(),
        wheat=lambda t: 1.0 * (t["kind"] == "winter wheat"), other=lambda t: 1.0 * (t["kind"] == "spring cereal"))
    dry = dry.groupby(["station", "depth", "late", "twi", "wheat", "other"], as_index=False)["theta"].mean()
    true = effects[effects["season"] == "summer"].set_index(["meaning", "depth"])["value"]
    held = []
    for depth, some in dry.groupby("depth"):
        fixed = mixed_models.fit("theta ~ (wheat + other) * late + twi", some, groups="station").fixed.set_index("term")
        for term, meaning in (("wheat", "less legume as the rotation has both"), ("twi", "by water and by clay")):
            held.append(fixed.loc[term, "low"] <= true[meaning, depth] <= fixed.loc[term, "high"])
    assert np.mean(held) >= 0.8


def test_another_configuration(tmp_path):
    "More rain makes wetter soil, warmer air warmer soil; one year is a farm too."
    means = {}
    for name, changes in (("plain", {}), ("wet", {"rain": 1.5, "warmer": 2.0})):
        farm.make(tmp_path / name, config=config.make(seed=SEED, years=(2018, 2018), **changes))
        data = archive.open_archive(tmp_path / name)
        truth, effects = data.farm_truth()
        means[name] = truth[["theta", "soil_temperature"]].mean()
        assert data.farm_soil().sizes["time"] == 365 and len(effects.query("season == 'year'")) == 30
        assert list(pd.unique(data.farm()["crop_2018"])) and "crop_2019" not in data.farm()
    assert float(means["wet"]["theta"]) > float(means["plain"]["theta"]) + 0.005
    assert 1 < float(means["wet"]["soil_temperature"] - means["plain"]["soil_temperature"]) < 3
