"""An area of an archive as cubes: from a catalogue by name or box, from a patch, with crops and truth beside it."""

import numpy as np
import pytest

from phenolib import archive
from phenolib.errors import InputError
from phenolib.simulate import config, parcels, scenes
from phenolib.sources import sentinel


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    "Two areas of other years in one catalogue, as the part for maps has them, of a few scenes."
    folder = tmp_path_factory.mktemp("maps")
    areas = [parcels.around(name, *scenes.AREAS[name][:2], (60, 60), scenes.AREAS[name][2]) for name in ("TA1", "TA2")]
    scenes.write(folder, areas, name="maps", years={"TA1": (2018, 2018), "TA2": (2018, 2019)}, config=config.DEFAULT,
                 dates=4, bands=("B02", "B03", "B04", "B08", "scl", "vv", "vh"))
    return archive.open_archive(folder)


def test_windows_without_dask_are_the_same(two):
    "With tile=0 nothing is read before it is asked for, whatever is asked, and the maps of a tile are the same."
    import pickle

    import xarray as xr

    lazy, chunked = two.cube("TA1", tile=0), two.cube("TA1", tile=25)
    assert lazy.optical.chunks == {} and chunked.optical.chunks
    window = dict(time=[0, 2], y=slice(10, 31), x=slice(3, 4))
    for far in (lazy, pickle.loads(pickle.dumps(lazy))):
        xr.testing.assert_identical(far.optical.isel(window).load(), chunked.optical.isel(window).load())
        xr.testing.assert_identical(far.radar.isel(x=5).load(), chunked.radar.isel(x=5).load())


def test_classes_are_read_again_when_the_file_changes(two):
    "What is remembered of a file holds until it changes."
    import os

    path = next(two.root.glob("catalogue/sentinel-2*/*TA1*/*scl*.tif"), None) or next(two.root.rglob("*TA1*scl*.tif"))
    from phenolib.sources import rasters

    source = rasters.Source("one", "scl", str(path), kind="classes")
    crs, transform, _ = rasters.probe(source)
    grid, before = rasters.Grid(crs, transform, (20, 20)), rasters._remembered.cache_info().misses
    first = rasters._classes(source, grid)
    assert rasters._classes(source, grid) is first and not first.flags.writeable
    os.utime(path, (1, 1))
    assert rasters._classes(source, grid) is not first and rasters._remembered.cache_info().misses == before + 2


def test_an_area_by_name(two):
    "Both sensors on one grid, clouds taken out, lazily; the crops of each year; the truth of its own parcels alone."
    cube = two.cube("TA2")
    assert {**cube.optical.sizes} == {"time": 4, "y": 60, "x": 60} and list(cube.radar.data_vars) == ["vv", "vh"]
    assert cube.optical["B04"].chunks and (cube.optical["x"] == cube.radar["x"]).all()
    assert sorted(cube.crops) == [2018, 2019] and cube.crops[2018].dims == ("y", "x")
    assert set(np.unique(cube.crops[2018])) <= set(cube.names) and cube.names[3] == "rice"
    dates, number = cube.truth
    assert set(dates["area"]) == {"TA2"} and set(np.unique(number)) >= set(dates["parcel"].iloc[:1])
    assert not list(two.root.rglob("B11.tif"))


def test_an_area_by_its_box(two):
    "The same pixels; what belongs to a name, crops and truth, is not there."
    row = two.areas.set_index("name").loc["TA1"]
    cube = two.cube(bbox=tuple(row[["west", "south", "east", "north"]]))
    named = two.cube("TA1")
    assert not cube.crops and cube.truth is None
    inner = dict(x=named.optical["x"], y=named.optical["y"])
    np.testing.assert_array_equal(cube.optical["B08"].sel(inner, method="nearest"), named.optical["B08"])


def test_the_first_rows(two):
    "All that belongs to the area is cut alike; none means all."
    cube = two.cube("TA1")
    some = cube.top(7)
    assert some.optical.sizes["y"] == some.radar.sizes["y"] == some.crops[2018].sizes["y"] == 7
    assert some.truth[1].sizes["y"] == 7 and cube.top(0) is cube


def test_years_take_the_autumn_before(two):
    "Scenes from July of the year before to June of the year after."
    times = two.cube("TA1", years=(2018, 2018)).optical["time"].values
    assert times.min() >= np.datetime64("2017-07-01") and times.max() < np.datetime64("2019-07-01")
    with pytest.raises(InputError, match="no scene"):
        two.cube("TA1", years=(2021, 2021))


@pytest.mark.parametrize(("given", "said"), [
    ({"area": "TA3"}, "area 'TA3' is not in the archive"), ({"bbox": (0, 0, 1, 1)}, "no scene")])
def test_what_is_not_there_is_named(two, given, said):
    "One line."
    with pytest.raises(InputError, match=said):
        two.cube(**given)


def test_a_patch_is_an_area_too(tmp_path, monkeypatch):
    "Its radar is brought to the grid of its light; the crop map bears the year in which it ends."
    import pandas as pd
    import xarray as xr

    time = pd.date_range("2018-09-01", periods=4, freq="30D")
    fine = {"y": 4e6 - 10.0 * np.arange(20), "x": 5e5 + 10.0 * np.arange(20)}
    coarse = {"y": 4e6 - 5 - 20.0 * np.arange(10), "x": 5e5 + 5 + 20.0 * np.arange(10)}
    bands = {b: (("time", "y", "x"), np.full((4, 20, 20), 0.1, np.float32)) for b in ("B02", "B03", "B04", "B08")}
    bands["scl"] = ("time", "y", "x"), np.full((4, 20, 20), 4, np.uint8)
    optical = xr.Dataset(bands, {"time": time, **fine})
    radar = xr.Dataset({v: (("time", "y", "x"), np.ones((4, 10, 10))) for v in ("vv", "vh")}, {"time": time, **coarse})
    crops = xr.Dataset({"crop": (("y", "x"), np.full((20, 20), 1110))}, fine, {"until": "2019-11-30"})
    found = archive.Archive.__new__(archive.Archive)
    found_there = {"optical": optical, "radar": radar, "crops": crops}
    monkeypatch.setattr(archive.Archive, "patch", lambda self, name: found_there)
    monkeypatch.setattr(archive.Archive, "kinds", lambda self: {"patches": [1]})
    monkeypatch.setattr(archive.Archive, "areas", pd.DataFrame({"name": []}))
    monkeypatch.setattr(archive.Archive, "patch_places", pd.DataFrame({"place": ["p"]}))
    cube = found.cube(years=(2019, 2019))
    assert cube.area == "p" and list(cube.crops) == [2019] and cube.names == sentinel.CROPS
    assert cube.radar.sizes["x"] == 20 and (cube.radar["x"] == cube.optical["x"]).all()
