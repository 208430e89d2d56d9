"""Soil stations, weather and catalogues of an archive: recognised, described, opened, hashed and checked."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import archive
from phenolib.archive import catalogues
from phenolib.errors import InputError
from phenolib.sources import sentinel, soil_stations
from phenolib.sources.stac_catalog import write_catalog


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    "Caches of each test lie in its own folder."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path / "home"))


def soil(path, *names, theta=0.3, depths=(0.1, 0.5)):
    "A small file of readings, every value the same."
    size, time = (len(names), 30, len(depths)), pd.date_range("2018-03-01", periods=30)
    data = {"theta": theta, "soil_temperature": 12.0, "ec": 0.2}
    soil_stations.write(xr.Dataset({k: (("station", "time", "depth"), np.full(size, v)) for k, v in data.items()},
                                   {"station": list(names), "time": time, "depth": list(depths)}), path)
    return path


def sky(folder, place, first="2018-03-01"):
    "A month of weather."
    made = xr.Dataset({"rain": ("time", np.arange(30.0)), "t_mean": ("time", np.full(30, 9.0))},
                      {"time": pd.date_range(first, periods=30), "x": 500000.0, "y": 5000000.0},
                      {"place": place, "product": "AgERA5_DAILY", "resolution": 1000})
    return sentinel.write_patch(folder / "patches", sentinel.with_crs(made, 32632))


def scene(date, east=600_000.0, north=5_500_000.0, n=20):
    "A scene of Sentinel-1 over a square of 200 m, all of one value."
    where = {"y": north - (np.arange(n) + 0.5) * 10, "x": east + (np.arange(n) + 0.5) * 10}
    made = xr.Dataset({"vv": (("y", "x"), np.full((n, n), 0.1, "float32"))}, where,
                      {"datetime": date, "relative_orbit": 117, "orbit_state": "ascending"})
    return sentinel.with_crs(made, 32632)


@pytest.fixture
def folder(tmp_path):
    "Two files with three soil stations, weather of two places, and two scenes."
    root = tmp_path / "mine"
    soil(root / "soil" / "farm_readings.csv.gz", "one", "two", theta=0.2)
    soil(root / "soil" / "far_readings.csv", "sim-far")
    (root / "soil" / "profiles.csv").write_text("site,sand_percent\none,31\nsim-far,52\n")
    (root / "sites.csv").write_text("site,lon,lat,twin\none,9,49,\nsim-far,12,48,far\n")
    sky(root, "one")
    sky(root, "sim-far")
    write_catalog(root / "catalogue", [scene("2018-06-06T05:26:00Z"), scene("2018-06-18T05:26:00Z")])
    (root / "areas.csv").write_text("name,lon,lat,epsg,west,south,east,north\n"
                                    "field,10.4,49.6,32632,10.3838,49.6431,10.3855,49.6442\n")
    return root


def test_the_kinds_follow_from_the_files(folder):
    "Nothing describes them; stations, places and areas are listed."
    found = archive.open_archive(folder)
    assert {k: len(v) for k, v in found.kinds().items()} == {"patches": 2, "soil": 2, "catalogue": 1}
    table = found.soil_stations.set_index("station")
    assert table.index.tolist() == ["sim-far", "one", "two"]
    assert table["sand_percent"].fillna(-1).tolist() == [52, 31, -1]
    assert found.areas.loc[0, ["name", "epsg"]].tolist() == ["field", 32632]


def test_soil_and_weather_of_a_site(folder, capsys):
    "One station of several in a file; the name of a real site finds its twin, and says so; a wrong one suggests near."
    found = archive.open_archive(folder)
    data = found.soil("two")
    assert data.sizes == {"time": 30, "depth": 2} and float(data.theta.mean()) == pytest.approx(0.2)
    assert data.attrs["site"] == "two" and data.attrs["source"] == "farm_readings.csv.gz"
    assert found.soil("far").attrs["site"] == "sim-far" and found.weather("far").attrs["place"] == "sim-far"
    assert capsys.readouterr().out.count("far: the simulated twin 'sim-far' stands in") == 2
    assert float(found.weather("one").rain.sum()) == pytest.approx(435)
    with pytest.raises(InputError, match="site 'twoo' has no soil station in the archive 'mine'; did you mean 'two'"):
        found.soil("twoo")
    with pytest.raises(InputError, match="site 'two' has no weather in the archive 'mine'; there are 'one', 'sim-far'"):
        found.weather("two")
    second = sky(folder, "one", "2019-03-01")
    with pytest.raises(InputError, match=f"{second.name}: both hold weather"):
        archive.open_archive(folder).weather("one")
    soil(folder / "soil" / "more_readings.csv", "two")
    with pytest.raises(InputError, match="farm_readings.csv.gz and more_readings.csv: both hold the station 'two'"):
        archive.open_archive(folder).soil("one")


def test_depths_of_archive_yml(folder):
    "An option, beside the path or under 'options:', tells the depths; others are refused."
    for text in ("soil: {path: 'soil/far_*.csv', depths: [0.2, 0.9]}",
                 "licence: CC0\nkinds: {soil: {path: 'soil/far_*.csv', options: {depths: [0.2, 0.9]}}}"):
        (folder / "archive.yml").write_text(text)
        found = archive.open_archive(folder)
        assert found.soil("sim-far").depth.values.tolist() == [0.2, 0.9] and not list(archive.check(folder))
    assert found.soil("sim-far").attrs["licence"] == "CC0"
    (folder / "archive.yml").write_text("soil: {path: 'soil/far_*.csv', deep: [0.2, 0.9]}")
    with pytest.raises(InputError, match="'soil' has the key 'deep'"):
        archive.open_archive(folder)


def test_scenes_of_an_area(folder):
    "The catalogue is opened on the grid of the area's zone; options are those of open_stac."
    found = archive.open_archive(folder)
    assert found.catalogue() == folder.resolve() / "catalogue" / "catalog.json"
    cube = found.scenes("field", sensors="sentinel-1", bands=["vv"])
    assert cube.sizes["time"] == 2 and cube.rio.crs.to_epsg() == 32632 and cube.attrs["area"] == "field"
    assert float(cube.vv.mean()) == pytest.approx(0.1) and cube.sizes["x"] < 20
    assert found.scenes("field", sensors="sentinel-1", bands=["vv"], dates="2018-06-18").sizes["time"] == 1
    with pytest.raises(InputError, match="area 'fild' is not in areas.csv of the archive 'mine'; did you mean 'field'"):
        found.scenes("fild")
    write_catalog(folder / "other", [scene("2018-07-06T05:26:00Z")])
    assert found.catalogue().parent.name == "catalogue"
    (folder / "catalogue").rename(folder / "more")
    with pytest.raises(InputError, match="more/catalog.json and other/catalog.json: both are catalogues"):
        archive.open_archive(folder).catalogue()


def test_a_catalogue_elsewhere(folder, monkeypatch):
    "archive.yml may name a service instead of a file: it is opened by name, and chapters that need scenes can run."
    (folder / "archive.yml").write_text("catalogue: {stac: earth-search}")
    found, asked = archive.open_archive(folder), []
    monkeypatch.setattr("phenolib.sources.stac.open_stac", lambda *a, **k: asked.append((a, k)) or xr.Dataset())
    found.scenes("field", dates="2020")
    assert asked == [(("earth-search",), {"bbox": (10.3838, 49.6431, 10.3855, 49.6442), "crs": "EPSG:32632",
                                          "dates": "2020"})]
    assert found.kinds() == {} and not list(archive.check(folder))
    (folder / "archive.yml").write_text("soil: soil/*_readings.csv*")
    with pytest.raises(InputError, match="has no catalogue of scenes"):
        archive.open_archive(folder).catalogue()


@pytest.mark.parametrize("text, problem", [
    ("name,lon,lat,epsg,west,south,east\na,1,2,3,4,5,6", "the column 'north' is missing"),
    ("name,lon,lat,epsg,west,south,east,north\na,1,2,3,4,5,6,far", "line 2 has north = 'far'"),
    ("name,lon,lat,epsg,west,south,east,north\na,1,2,3,4,5,6,7\na,1,2,3,4,5,6,7", "line 3 names the area 'a' again"),
])
def test_a_wrong_table_of_areas(folder, text, problem):
    "It is one finding, whatever else is there."
    (folder / "areas.csv").write_text(text + "\n")
    with pytest.raises(InputError, match=f"areas.csv: .*{problem}"):
        _ = archive.open_archive(folder).areas
    assert sum(problem in f.problem for f in archive.check(folder)) == 1


def test_check_finds_broken_readings_and_rasters(folder):
    "Counts and periods of each kind; a cut raster, a missing scene and a file of readings in per cent are findings."
    findings = archive.check(folder)
    assert not list(findings)
    kinds = findings.kinds.set_index("kind")
    assert kinds.loc["soil", ["files", "sites", "wrong"]].tolist() == [2, 3, 0]
    assert kinds.loc["catalogue", ["files", "sites", "wrong"]].tolist() == [1, 1, 0]
    assert [f"{kinds.loc[kind, 'last']:%Y-%m-%d}" for kind in ("catalogue", "soil")] == ["2018-06-18", "2018-03-30"]
    path = folder / "soil" / "far_readings.csv"
    path.write_text(path.read_text().replace(",0.3,", ",30.0,"))
    raster = next((folder / "catalogue").rglob("vv.tif"))
    raster.write_bytes(raster.read_bytes()[:200])
    problems = [f.problem for f in archive.check(folder)]
    assert len(problems) == 2 and any("it looks like per cent" in p for p in problems)
    assert any("vv.tif" in p and "truncated" in p and "missing=" not in p for p in problems)
    raster.unlink()
    with pytest.raises(InputError, match="does not exist"):
        catalogues.look(folder / "catalogue" / "catalog.json")


def test_ports_without_depths_are_a_remark(tmp_path):
    "Five ports of which nothing tells the depths are taken as those of the Cook Agronomy Farm; check says so."
    path = soil(tmp_path / "mine" / "cook_readings.csv", "one", depths=(0.1, 0.2, 0.3, 0.4, 0.5))
    assert not archive.check(path.parent).remarks
    (path.parent / "depths.csv").unlink()
    findings = archive.check(path.parent)
    assert not list(findings) and "nothing tells the depths of its ports" in findings.remarks[0]
    assert archive.open_archive(path.parent).soil("one").depth.values.tolist() == [0.3, 0.6, 0.9, 1.2, 1.5]


def test_the_hash_covers_depths_profiles_truth_and_rasters(folder):
    "Each of them changes the hash of its kind and leaves those of the others."
    kinds = ("soil", "catalogue", "patches")

    def hashes():
        found = archive.open_archive(folder)
        return {k: found.hash([k]) for k in kinds}

    before = hashes()
    raster = next((folder / "catalogue").rglob("vv.tif"))
    (folder / "truth").mkdir()
    for path, kind in (((folder / "soil" / "depths.csv"), "soil"), ((folder / "soil" / "profiles.csv"), "soil"),
                       ((folder / "truth" / "soil.nc"), "soil"), (raster, "catalogue"),
                       (folder / "areas.csv", "catalogue")):
        path.write_bytes((path.read_bytes() if path.is_file() else b"") + b"\n")
        after = hashes()
        assert {k for k in kinds if after[k] != before[k]} == {kind}, path.name
        before = after
