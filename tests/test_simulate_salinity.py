"""The simulated delta: salt as planted, its effects in the right direction, files that read back, clear errors."""

import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.archive import Archive, check, simulated
from phenolib.archive import salinity as reading
from phenolib.errors import InputError
from phenolib.files import sha256
from phenolib.simulate import config, delta, delta_view, salinity, weather
from phenolib.simulate.calendar import stream
from phenolib.sources import coastal_samples

SMALL = delta.Settings(rows=192, columns=200, samples=60)


@pytest.fixture(scope="module")
def place():
    "A delta of 5 km: its area, ground, weather and scores."
    area = delta.around("DELTA", delta.Settings(rows=500, columns=520))
    land = salinity.relief(7, area)
    sky = weather.make(stream(7, "weather", area.name), area.region, area.centre[1], (2018, 2025))
    return area, land, sky, salinity.scores(land)


@pytest.fixture(scope="module")
def salts(place):
    "The salt of all three landscapes."
    area, land, sky, _ = place
    return {name: salinity.field(7, area, land, name, (2018, 2025), sky) for name in salinity.LANDSCAPES}


@pytest.fixture(scope="module")
def grown():
    "A small delta with two harvest years grown."
    return delta.Delta(delta.around("DELTA", SMALL), (2019, 2020), SMALL)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    "A small archive, made twice."
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta, "YEARS", {"DELTA": (2019, 2020), "COAST": (2019, 2020)})
        patch.setattr(delta, "CAMPAIGNS", ("2019-07-20", "2020-03-18", "2020-06-12"))
        patch.setattr(delta, "SEASONS", ())
        patch.setattr(delta, "NEAR", 1)
        for name in "ab":
            folder = tmp_path_factory.mktemp("delta") / name
            delta.make(folder, settings=SMALL)
            made.append(folder)
    return made


@pytest.fixture(scope="module")
def archive(folders):
    return Archive(folders[0])


def explained(values, scores):
    "Share of the variance of values that a linear function of scores has."
    design = np.stack([np.ones(values.size), *(s.ravel() for s in scores.values())], 1)
    rest = values.ravel() - design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    return 1 - rest.var() / values.var()


def test_salt_has_the_planted_distribution(salts):
    "ln S is normal with mean 1.0 and SD 1.15, within 0.1 to 40 g/kg, in each landscape and alike."
    for salt in salts.values():
        log = salinity.MEAN + salinity.SPREAD * salt.base
        assert abs(log.mean() - 1.0) < 0.01 and abs(log.std() - 1.15) < 0.01
        june = salt.at("2019-06-15")
        assert june.min() >= 0.1 and june.max() <= 40 and 4.0 < june.mean() < 6.5 and 5.0 < june.std() < 8.0


def test_terrain_explains_what_was_planted(place, salts):
    "Terrain, coast and canals explain 55 to 60 % of z, none of it anywhere; harmless is terrain."
    scores = place[3]
    assert 0.55 < explained(salts["terrain"].base, scores) < 0.61
    assert explained(salts["anywhere"].base, scores) < 0.02
    assert np.array_equal(salts["harmless"].base, salts["terrain"].base)
    for name in scores:
        assert np.corrcoef(scores[name].ravel(), salts["terrain"].base.ravel())[0, 1] > 0.2


def test_landscapes_are_as_smooth(salts):
    "Over 150 and 600 m, salt changes about as much in both landscapes."
    def gamma(z, lag):
        return np.mean((z[lag:] - z[:-lag]) ** 2) / 2 + np.mean((z[:, lag:] - z[:, :-lag]) ** 2) / 2

    for lag in (15, 60):
        ratio = gamma(salts["anywhere"].base, lag) / gamma(salts["terrain"].base, lag)
        assert 0.6 < ratio < 1.6


def test_season_of_salt():
    "Spring has 1.3 times, July 0.8 times the salt of June and October, and the step between days is small."
    factor = {day: float(salinity.season_factor(f"2022-{day}")) for day in ("03-15", "06-15", "07-20", "10-15")}
    assert factor["03-15"] == pytest.approx(1.3, abs=0.01) and factor["07-20"] == pytest.approx(0.8, abs=0.01)
    assert factor["06-15"] == pytest.approx(1.0, abs=0.01) and factor["10-15"] == pytest.approx(1.0, abs=0.01)
    days = pd.date_range("2021-12-01", "2023-01-31")
    assert np.abs(np.diff([salinity.season_factor(day) for day in days])).max() < 0.01


def test_hot_spots_stay_and_margins_move(salts, place):
    "Between years salt changes most in the middle; very salty and very fresh places keep their class."
    salt = salts["terrain"]
    logs = np.stack([np.log(salt.at(f"{year}-06-15", season=False)) for year in range(2019, 2026)])
    land = place[1].reclaimed
    spread, base = logs.std(0), salt.base
    assert spread[(np.abs(base) < 0.3) & ~land].mean() > 2 * spread[(np.abs(base) > 1.4) & ~land].mean()
    salty = logs > np.log(6)
    assert salty[:, base > 1.5].mean() > 0.95 and salty[:, base < -0.5].mean() < 0.02


def test_reclaimed_land_loses_salt(salts, place):
    "Ln S falls by 0.04 a year in reclaimed land against the rest."
    salt, land = salts["terrain"], place[1].reclaimed
    quiet = replace(salt, wander=np.zeros_like(salt.wander))
    inner = (quiet.at("2019-06-15") > 0.2) & (quiet.at("2019-06-15") < 30)
    change = np.log(quiet.at("2025-06-15", season=False) / quiet.at("2019-06-15", season=False))
    assert change[land & inner].mean() == pytest.approx(6 * salinity.DESALINATION, abs=0.01)
    assert abs(change[~land & inner].mean()) < 1e-6


def test_the_ground_is_low_and_flat(place):
    "It rises from the sea to some 4 m, levees stand along fresh water, and the model of the surface is rougher."
    area, land, _, _ = place
    assert 0 <= land.elevation.min() and land.elevation.max() < 5
    inland, near = land.coast > 2500, land.canal < 60
    assert land.elevation[inland].mean() > land.elevation[land.coast < 800].mean() + 0.5
    assert land.elevation[inland & near].mean() > land.elevation[inland & (land.canal > 500)].mean()
    model = salinity.surface(7, area, land, np.zeros((area.rows, area.columns)))
    assert model.shape == (-(-area.rows // 3), -(-area.columns // 3))
    rough, smooth = (np.abs(np.diff(z, axis=0)).mean() for z in (model, land.elevation))
    assert model.std() > 1.2 and rough > 5 * smooth


# ---- what salt does

def seen(delta_, salt, date="2020-05-20"):
    "Reflectance on a day where the whole area has one salt content."
    at = np.full(delta_.field.shape, salt, np.float32)
    felt = delta_view.Felt(at, at, np.ones_like(at), np.zeros_like(at))
    table = delta_view.Table(delta_view.BANDS, 35.0)
    value, green, cover = delta_view.reflectance(table, delta_.growth, delta_.day(date), felt, delta_.field, None,
                                                 config.DEFAULT)
    image = np.moveaxis(delta_view.crusted(value, cover, delta_view.BANDS), -1, 0)
    return xr.Dataset({b: (("y", "x"), v) for b, v in zip(delta_view.BANDS, image)}), green


def where(delta_, crop, year=2020):
    "Pixels of a crop."
    return np.isin(delta_.field, np.flatnonzero(delta_.planted[:, year - delta_.years[0]] == crop))


def test_salty_wheat_has_fewer_and_paler_leaves(grown):
    "At 10 g/kg leaf area falls by a third and more, NDVI falls, red and the lower red edge rise, water falls."
    fresh, lai = seen(grown, 0.0)
    salty, less = seen(grown, 10.0)
    wheat = where(grown, "winter_wheat") & (lai > 3)
    assert wheat.sum() > 500
    assert 0.5 < less[wheat].mean() / lai[wheat].mean() < 0.72
    change = {b: float((salty[b] - fresh[b]).values[wheat].mean()) for b in fresh}
    assert change["B04"] > 0 and change["B05"] > 0 and change["B11"] > 0 and change["B08"] < 0
    none, gone = seen(grown, 38.0)
    assert gone[wheat].max() < 0.01 * lai[wheat].max()


def test_salty_wheat_greens_up_later(grown):
    "The day on which half of the leaves have grown comes some five days later at 10 g/kg, the end does not."
    days = pd.date_range("2020-03-01", "2020-07-05", freq="2D")
    wheat = where(grown, "winter_wheat")

    def half(salt):
        lai = np.array([seen(grown, salt, day)[1][wheat].mean() for day in days])
        peak = lai.argmax()
        up = np.interp(0.5 * lai[peak], lai[:peak], np.arange(peak))
        return 2 * up, 2 * (peak + np.interp(-0.5 * lai[peak], -lai[peak:], np.arange(len(lai) - peak)))

    (fresh, ends), (salty, end) = half(0.0), half(10.0)
    assert 4 < salty - fresh < 8.5 and abs(end - ends) < 2.5


def test_dry_bare_soil_is_bright_with_salt_and_wet_one_dark():
    "A crust covers dry ground alone; where it is wet, salt only holds more water."
    assert salinity.crust(10.0, 0.10) > 0.35 and salinity.crust(10.0, 0.38) < 0.02 and salinity.crust(0.0, 0.1) == 0
    assert salinity.moisture(20.0) > salinity.moisture(2.0) > salinity.moisture(0.0) == 0


def test_harmless_salt_is_not_seen(grown):
    "Where salt is harmless a scene has no trace of it: it is that of land without salt."
    bare = copy.copy(grown)
    bare.settings = replace(SMALL, salt="harmless")
    salty, other = copy.copy(bare), replace(grown.salt, base=grown.salt.base[::-1].copy())
    salty.salt = other
    k = grown.near(["2020-05-20"])[0]
    one, two, real = (delta_view.scene(d, k) for d in (bare, salty, grown))
    assert all(np.array_equal(one[b], two[b]) for b in one)
    assert not np.array_equal(one["B08"], real["B08"])


# ---- samples and files

def test_samples_are_clustered(grown):
    "Six campaigns share the samples; most have a neighbour within 400 m, half of the sites are visited again."
    big = delta.around("DELTA", delta.Settings())
    wide = copy.copy(grown)
    wide.area, wide.field = big, np.zeros((big.rows, big.columns), int)
    places = delta.sites(wide, 806)
    spot = places[["row", "column"]].to_numpy() * 10
    away = np.hypot(*(spot[:, None] - spot[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(spot))
    assert len(places) > 400 and places["cluster"].nunique() == 70
    assert (away.min(1) < 400).mean() > 0.95 and spot.min() >= 560
    found = delta.visits(np.random.default_rng(0), places, 806, 6)
    assert len(found) == 806 and set(np.bincount(found[:, 1])) == {134, 135}
    visits = np.bincount(found[:, 0])
    campaigns = pd.DataFrame(found).groupby(0)[1].nunique()
    assert 0.35 < (campaigns > 1).sum() / (visits > 0).sum() < 0.6


def test_samples_hold_the_salt_of_their_place(archive):
    "A sample is the true pixel with 15 % of error, of its own campaign."
    table, truth = archive.salt_samples("DELTA"), archive.salt_truth("DELTA")
    assert len(table) == 60 and sorted(table["date"].dt.strftime("%Y-%m").unique()) == ["2019-07", "2020-03", "2020-06"]
    assert table["salt"].between(0.1, 40).all() and (table["salt_low"] == table["salt"]).all()
    true = [float(truth.sel(time=r.date, method="nearest").sel(x=r.x, y=r.y, method="nearest"))
            for r in table.itertuples()]
    away = np.log(table["salt"] / true)
    assert 0.08 < away.std() < 0.25 and abs(away.mean()) < 0.08


def test_laboratory_records_convert_back(archive):
    "Salt from the conductivity of the other coast is that of its pixels, with the errors of both."
    table, truth = archive.salt_samples("COAST"), archive.salt_truth("COAST")
    assert len(table) == 43 and table["ec_e_dS_m"].notna().all()
    np.testing.assert_allclose(table["salt_high"] / table["salt"], 1.2)
    true = [float(truth.sel(time=r.date, method="nearest").sel(x=r.x, y=r.y, method="nearest"))
            for r in table.itertuples()]
    assert np.corrcoef(np.log(table["salt"]), np.log(true))[0, 1] > 0.8
    assert len(archive.salt_samples()) == 103


def test_files_read_back(archive):
    "Elevation, NDVI and scenes lie on the area; gaps are missing; truth is kept."
    row = archive.areas.set_index("name").loc["DELTA"]
    dem = archive.dem("DELTA")
    assert dem.dims == ("y", "x") and dem.rio.crs.to_epsg() == int(row["epsg"]) and dem.notnull().all()
    assert float(dem["x"][0]) == row["left"] + 15 and float(dem["y"][0]) == row["top"] - 15
    ndvi = archive.ndvi("DELTA", (2019, 2020))
    assert ndvi.dims == ("time", "y", "x") and ndvi.sizes == {"time": 72, "y": 96, "x": 100}
    values = ndvi.values
    assert 0.02 < np.isnan(values).mean() < 0.6 and -0.7 < np.nanmin(values) and np.nanmax(values) < 1
    scenes = archive.salt_scenes("DELTA", "2020-06-12")
    assert scenes.sizes["y"] == 192 and scenes.sizes["x"] == 200 and float(scenes["x"][0]) == row["left"] + 5
    assert 0.05 < float(scenes["B08"].isel(time=0).median()) < 0.6
    ground = archive.ground_truth("DELTA")
    assert float(np.corrcoef(dem.coarsen(y=8, x=8, boundary="trim").mean().values.ravel(),
                             ground["elevation"].sel(y=dem["y"], x=dem["x"], method="nearest").coarsen(
                                 y=8, x=8, boundary="trim").mean().values.ravel())[0, 1]) > 0.5


def test_the_same_seed_gives_the_same_bytes(folders):
    "Every file of two archives of one seed is alike."
    names = sorted(p.relative_to(folders[0]) for p in folders[0].rglob("*") if p.is_file())
    assert names and names == sorted(p.relative_to(folders[1]) for p in folders[1].rglob("*") if p.is_file())
    assert [str(n) for n in names if sha256(folders[0] / n) != sha256(folders[1] / n)] == []


def test_check_finds_nothing_wrong(folders, tmp_path):
    "The findings of an archive name its samples, elevation and NDVI; a spoilt table is one finding."
    found = check(folders[0])
    assert len(found) == 0 and {"salt", "dem", "ndvi", "catalogue", "coastal", "landsat"} == set(found.kinds["kind"])
    shutil.copytree(folders[0], tmp_path / "spoilt", ignore=shutil.ignore_patterns("catalogue", "archive.yml"))
    path = tmp_path / "spoilt" / "delta" / "samples.csv"
    path.write_text(path.read_text().replace("salt_g_kg", "salt_percent"))
    found = check(tmp_path / "spoilt")
    assert any("is not in g/kg" in str(f) for f in found) and len(found) == 1


def test_the_coastal_table_belongs_to_its_scene(archive):
    "Its bands are those of pixels of the Landsat scene, its EC follows the salt there, its pairs and faults are told."
    table, scene = archive.coastal_samples(), archive.landsat_scene()
    assert table.attrs["asked"] == delta.POINTS and len(table) == delta.POINTS - delta.MASKED
    assert any("'NDVI' is not NDVI: it holds (red - green)/(red + green)" in r for r in table.attrs["remarks"])
    pairs = coastal_samples.duplicates(table)
    assert pairs["marked"].sum() == delta.PAIRS and table["area"].nunique() == 2 and table["strip"].nunique() == 10
    def places(some):
        return set(zip(*(coastal_samples.numbers(np.ravel(some[b])).astype(float) for b in coastal_samples.BANDS)))

    assert places(table) <= places(scene)
    salt = archive.salt_truth("COAST").sel(time=delta.RECORDED[-1])
    low, high = (1000 / 3.2 * float(f(salt)) for f in (np.min, np.max))
    assert low / 4 < table["ec"].min() < table["ec"].max() < high * 4
    assert scene.rio.crs == salt.rio.crs and float(scene["x"][1] - scene["x"][0]) == 30


def test_what_an_archive_lacks_is_named(archive):
    "Unknown areas and years, samples outside a scene, days without a scene."
    for call, words in ((lambda: archive.dem("DELTTA"), "no elevation of the area 'DELTTA'.*did you mean 'DELTA'"),
                        (lambda: archive.ndvi("DELTA", (2019, 2031)), "no NDVI of 'DELTA' in 2021; there are 2019"),
                        (lambda: archive.salt_samples("x"), "area 'x' has no soil samples"),
                        (lambda: archive.salt_scenes("DELTA", "2012-06-01"), "holds no scene")):
        with pytest.raises(InputError, match=words):
            call()
    scene, table = archive.dem("DELTA"), archive.salt_samples("DELTA")
    reading.check_inside(table, scene)
    with pytest.raises(InputError, match="1 of 60 samples lie outside the scene"):
        reading.check_inside(table.assign(x=[0.0, *table["x"][1:]]), scene)


def test_reflectance_of_another_unit_is_refused(folders, tmp_path):
    "Per cent or numbers times 10,000 in place of reflectance is one line; so is a band that is missing."
    place = tmp_path / "percent"
    shutil.copytree(folders[0], place)
    for path in place.glob("catalogue/*/*DELTA/*.json"):
        item = json.loads(path.read_text())
        item["properties"]["s2:processing_baseline"] = "02.14"
        for asset in item["assets"].values():
            band = asset["raster:bands"][0]
            band.update({"scale": 0.01, "offset": 0.0} if "scale" in band else {})
        path.write_text(json.dumps(item))
    with pytest.raises(InputError, match="B08 has a median of .*per cent, divide by 100"):
        Archive(place).salt_scenes("DELTA", "2020-06-12")
    for path in place.glob("catalogue/*/*DELTA/*.json"):
        item = json.loads(path.read_text())
        del item["assets"]["B11"]
        path.write_text(json.dumps(item))
    with pytest.raises(InputError, match="asset 'B11' is missing"):
        Archive(place).salt_scenes("DELTA", "2020-06-12")


def test_values_of_the_part_are_asked_for_by_name():
    "A name sets the landscape and the size; a wrong one is named."
    names, _, own = simulated.asked("simulated+parts:delta+salt:anywhere+rows:256+columns:256+samples:100")
    assert names == ["delta"] and own == {"salt": "anywhere", "rows": 256, "columns": 256, "samples": 100}
    for name, words in (("salt:anywere", "salt = anywere: is no landscape; did you mean 'anywhere'"),
                        ("rows:255", "rows = 255"), ("samples:3", "samples = 3")):
        with pytest.raises(InputError, match=words):
            simulated.asked(f"simulated+parts:delta+{name}")
