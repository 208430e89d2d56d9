"""Maps made tile by tile equal the whole at once, whatever fails or is killed; they open as CF and as GeoTIFF."""

import errno
import os
import signal
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  gives datasets their .rio
import xarray as xr
import zarr.storage._local
from conftest import wait_for

from phenolib import maps  # what is heavy is imported where it is used: killed processes import this file too
from phenolib.errors import InputError
from phenolib.maps import map_tiles, open_map, to_cog

KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
import test_maps
from phenolib.maps import map_tiles
test_maps.PAUSE = 0.3
if __name__ == "__main__":
    map_tiles(test_maps.slowly, test_maps.scene(), sys.argv[1], tile=8, {how})
"""
PAUSE = 0.0


def scene(n=30, times=5):
    "Random reflectance on a grid of 10 m with a coordinate system."
    values = np.random.default_rng(0).normal(size=(times, n, n + 4)).astype("float32")
    time_ = pd.date_range("2019-01-01", periods=times, freq="7D")
    coordinates = {"time": time_, "y": 5e6 - 10.0 * np.arange(n), "x": 6e5 + 10.0 * np.arange(n + 4)}
    return xr.Dataset({"B04": (("time", "y", "x"), values)}, coordinates).rio.write_crs("EPSG:32632")


def layers(block):
    "A float, a date, a class and a layer with seasons."
    mean = block.B04.mean("time")
    day = np.datetime64("2019-03-01", "ns") + (mean * 10).round().astype(int) * np.timedelta64(1, "D")
    return xr.Dataset({
        "mean": mean.assign_attrs(units="1", long_name="mean reflectance"),
        "day": day.where(mean > -0.5), "kind": (mean > 0).astype("uint8"), "count": mean.notnull().astype("int32"),
        "part": xr.concat([mean, 2 * mean], xr.IndexVariable("half", [1, 2]))})


def slowly(block):
    "The same, with a pause in which a run can be killed."
    time.sleep(PAUSE)
    return layers(block)


def bytes_of(folder):
    "All files of a folder and what they hold."
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def opened(path):
    "The map, without any warning."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return xr.open_zarr(path).load()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    "The bytes of a map that nobody disturbed."
    out = tmp_path_factory.mktemp("undisturbed") / "map.zarr"
    map_tiles(slowly, scene(), out, tile=8)
    return bytes_of(out)


def test_tiles_are_the_whole(tmp_path):
    "Every kind of layer comes back as it was computed at once, with its units, dates as dates, on its grid."
    cube = scene()
    report = map_tiles(layers, cube.chunk(y=7, x=11), tmp_path / "map.zarr", tile=8, threads=2)
    assert (report.done, report.kept, report.tiles, report.pixels) == (20, 0, 20, 30 * 34) and not report.failed
    made, whole = opened(report.path), layers(cube)
    for name in whole.data_vars:
        np.testing.assert_allclose(made[name].values.astype(float), whole[name].values.astype(float), rtol=1e-6)
        assert made[name].attrs["grid_mapping"] == "spatial_ref" and "long_name" in made[name].attrs
    assert made.day.dtype.kind == "M" and made["mean"].attrs["units"] == "1" and made["mean"].dtype == "float32"
    assert made.rio.crs == cube.rio.crs and made.part.dims == ("half", "y", "x") and list(made.half) == [1, 2]
    assert made.part.encoding["chunks"] == (2, 8, 8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.zarr"] and not (report.path / ".tiles").exists()
    again = map_tiles(layers, cube, report.path, tile=8)
    assert (again.done, again.kept) == (0, 20)


def test_season_map_of_a_catalogue(tmp_path):
    "Seasons of a catalogue of scenes, mapped by tiles, are those of the whole scene at once."
    import rasterio

    from phenolib.sources.stac import open_stac
    from phenolib.sources.stac_catalog import write_catalog

    random, days = np.random.default_rng(1), pd.date_range("2018-03-01", "2019-02-20", freq="10D")
    peak, scenes = random.uniform(150, 230, (12, 12)), []
    for day in days:
        moment = (day - pd.Timestamp("2018-01-01")).days
        green = 0.1 + 0.35 * np.exp(-(((moment - peak) / 45) ** 2))
        grid = xr.Dataset(coords={"y": 5_500_015 - 10.0 * np.arange(12), "x": 600_005 + 10.0 * np.arange(12)})
        grid = grid.rio.write_crs("EPSG:32632").assign(B04=(("y", "x"), 0.2 - 0.3 * green + 0 * peak),
                                                       B08=(("y", "x"), green))
        grid.attrs = {"datetime": f"{day:%Y-%m-%d}T10:30:00Z", "processing_baseline": "02.08", "relative_orbit": 65}
        scenes.append(grid)
    cube = open_stac(write_catalog(tmp_path / "catalogue", scenes), bands=["B04", "B08"], mask=None)
    report = map_tiles(partial(season_layers, smoother="whittaker"), cube, tmp_path / "map.zarr", tile=5)
    assert not report.failed
    made, whole = opened(report.path), season_layers(cube.load(), smoother="whittaker")
    assert whole.sos50.notnull().sum() >= 100
    for name in ("sos50", "eos50", "peak"):
        away = abs(made[name] - whole[name].transpose(..., "y", "x")) / np.timedelta64(1, "m")
        assert float(away.max()) < 3 and (made[name].isnull() == whole[name].isnull()).all()
    np.testing.assert_array_equal(made.amplitude, whole.amplitude.transpose(..., "y", "x"))
    np.testing.assert_array_equal(made.quality, whole.quality.transpose(..., "y", "x"))
    np.testing.assert_array_equal(made.year, whole.year)
    files = {p.stem: p for p in to_cog(report.path, tmp_path / "cogs", layers=["sos50", "amplitude"])}
    assert set(files) == {f"{layer}_{year}" for layer in ("sos50", "amplitude") for year in (2018, 2019)}
    with rasterio.open(files["sos50_2018"]) as file:
        day = file.read(1)
        true = whole.sos50.isel(season=0).values
        assert file.dtypes == ("int16",) and file.units == ("day of year 2018",) and file.nodata == -32768
    there = ~np.isnat(true)
    assert abs(day[there] - pd.DatetimeIndex(true[there]).day_of_year).max() <= 1 and (day[~there] == -32768).all()


def season_layers(block, smoother):
    "Seasons of NDVI."
    from phenolib.phenology import seasons

    ndvi = (block.B08 - block.B04) / (block.B08 + block.B04)
    return seasons(ndvi.assign_attrs(units="1"), method=smoother, thresholds=(0.5,), per_year=1)


def test_a_map_is_opened_without_dask(tmp_path):
    "Layers are read where they are indexed, in the thread that asks, and missing dates are decoded without a word."
    def dates(block):
        values = np.full((block.sizes["y"], block.sizes["x"]), "2018-05-01", "datetime64[ns]")
        values[0] = "NaT"
        return xr.Dataset({"sos50": (("y", "x"), values)})

    report = map_tiles(dates, scene(), tmp_path / "map.zarr", tile=8)
    made = open_map(report.path)
    assert made["sos50"].chunks is None and made["sos50"].dtype.kind == "M"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made["sos50"].isel(y=0).isnull().all() and made["sos50"].isel(y=1).notnull().all()


def test_context_around_a_tile(tmp_path):
    "With overlap a mean of neighbours has no seams, given back with its context or without."
    cube = scene()

    def mean(block, size=None):
        found = block.B04[0].rolling(y=5, x=5, center=True, min_periods=1).mean().to_dataset(name="mean")
        return found.isel(y=slice(size), x=slice(size))

    map_tiles(mean, cube, tmp_path / "map.zarr", tile=8, overlap=2)
    np.testing.assert_allclose(opened(tmp_path / "map.zarr")["mean"], mean(cube)["mean"], rtol=1e-5)
    with pytest.warns(UserWarning, match="lie elsewhere along"):
        report = map_tiles(partial(mean, size=8), cube, tmp_path / "cut.zarr", tile=8, overlap=2)
    assert (0, 0) not in report.failed and (1, 1) in report.failed  # only at the edge a block starts with its tile


def test_two_cubes_and_a_model(tmp_path):
    "Optical and radar with times of their own come together; the model is made once; the caller's arrays stay."
    made, cube = [], scene()
    radar = scene(times=3).rename(B04="vv").drop_attrs().chunk(y=10)

    def both(blocks, model):
        blocks["optical"].B04[:] += 1
        return xr.Dataset({"sum": blocks["optical"].B04.sum("time") * model + blocks["radar"].vv.mean("time")})

    def setup():
        made.append(1)
        return 2.0

    before = cube.B04.values.copy()
    map_tiles(both, {"optical": cube, "radar": radar}, tmp_path / "map.zarr", tile=16, setup=setup, threads=3)
    np.testing.assert_allclose(opened(tmp_path / "map.zarr")["sum"],
                               2 * (before + 1).sum(0) + radar.vv.mean("time"), rtol=1e-4)
    assert made == [1]
    np.testing.assert_array_equal(cube.B04, before)
    with pytest.raises(InputError, match="setup failed in a worker: ZeroDivisionError"):
        map_tiles(both, cube, tmp_path / "other.zarr", setup=lambda: 1 / 0)
    assert not (tmp_path / "other.zarr").exists()


def failing(block, bad):
    "Fails on the first visit of the tiles that are named by a file for each."
    flag = bad / f"{block.y.values[0]:.0f}-{block.x.values[0]:.0f}"
    if flag.exists():
        flag.unlink()
        raise KeyError("no scene of this date")
    return layers(block)


def test_failed_tiles_are_told_and_tried_again(tmp_path, undisturbed):
    "The rest of the map is made, failed tiles are missing, and the next call makes them: the same bytes."
    bad, cube = tmp_path / "bad", scene()
    bad.mkdir()
    for row, column in ((0, 0), (2, 3)):
        (bad / f"{cube.y.values[8 * row]:.0f}-{cube.x.values[8 * column]:.0f}").touch()
    call = partial(map_tiles, partial(failing, bad=bad), cube, tmp_path / "map.zarr", tile=8)
    with pytest.raises(maps.TilesFailed, match="2 of 20 tiles failed") as caught:
        call(errors="raise")
    report = caught.value.args[1]
    assert set(report.failed) == {(0, 0), (2, 3)} and "KeyError: 'no scene of this date'" in report.failed[2, 3]
    made = opened(tmp_path / "map.zarr")
    for name in made.data_vars:
        gone = made[name].isnull()
        assert gone[..., :8, :8].all() and gone[..., 16:24, 24:32].all()
        assert name == "day" or int(gone.sum()) == 128 * (2 if name == "part" else 1)
    assert call().done == 2
    kept = {n: b for n, b in bytes_of(tmp_path / "map.zarr").items() if n != "zarr.json"}
    assert kept == {n: b for n, b in undisturbed.items() if n != "zarr.json"}  # that one names the function


def test_corrupt_input(tmp_path):
    "A chunk of the input that cannot be read costs the tiles that need it, no others."
    scene().to_zarr(tmp_path / "cube.zarr", zarr_format=3, encoding={"B04": {"chunks": (5, 8, 8)}}, consolidated=False)
    chunk = tmp_path / "cube.zarr/B04/c/0/1/2"
    chunk.write_bytes(chunk.read_bytes()[:20])
    cube = xr.open_zarr(tmp_path / "cube.zarr", consolidated=False)
    with pytest.warns(UserWarning, match=r"1 of 20 tiles failed .*\(1, 2\)"):
        report = map_tiles(layers, cube, tmp_path / "map.zarr", tile=8)
    assert set(report.failed) == {(1, 2)} and report.done == 19


def test_full_disk(tmp_path, undisturbed, monkeypatch):
    "A disk that is full in the middle of a chunk leaves no half tile; with room again the map ends with all bytes."
    writes, put = [], zarr.storage._local._put

    def full(path, value, exclusive=False):
        writes.append(path)
        if 40 <= len(writes) < 80:
            path.with_suffix(".partial").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(path, value, exclusive)

    monkeypatch.setattr(zarr.storage._local, "_put", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        report = map_tiles(slowly, scene(), tmp_path / "map.zarr", tile=8, threads=1)
    assert 0 < len(report.failed) < 20 and report.done + len(report.failed) == 20
    made = opened(report.path)
    for row, column in report.failed:
        part = made.isel(y=slice(8 * row, 8 * row + 8), x=slice(8 * column, 8 * column + 8))
        assert all(part[name].isnull().all() for name in part.data_vars)
    monkeypatch.undo()
    assert map_tiles(slowly, scene(), tmp_path / "map.zarr", tile=8).kept == report.done
    assert bytes_of(tmp_path / "map.zarr") == undisturbed


def test_killed_run(tmp_path, undisturbed):
    "A run that is killed in the middle is refused with other settings, goes on with the same, and ends the same."
    script, out = tmp_path / "script.py", tmp_path / "map.zarr"
    script.write_text(KILLED.format(tests=str(Path(__file__).parent), how="threads=1"))
    run = subprocess.Popen([sys.executable, script, out], start_new_session=True, cwd=Path(__file__).parent.parent)
    wait_for(lambda: len(list(out.glob(".tiles/*.*"))) > 5, seconds=90)  # layout.json is one
    with pytest.raises(InputError, match="another run is writing this map"):
        map_tiles(slowly, scene(), out, tile=8)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    (out / "mean/c/0/left.partial").write_bytes(b"half")
    with pytest.raises(InputError, match="was made with tile 8, not 16"):
        map_tiles(slowly, scene(), out, tile=16)
    report = map_tiles(slowly, scene(), out, tile=8)
    assert report.kept >= 5 and report.done + report.kept == 20 and report.done > 0
    assert bytes_of(out) == undisturbed
    assert not list(tmp_path.glob(".*"))


def deadly(block, bad):
    "Kills its worker once, in one tile."
    if block.y.values[0] == scene().y.values[16] and not bad.exists():
        bad.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return layers(block)


def test_killed_worker(tmp_path):
    "A worker that dies in the middle costs nothing: its tiles are made by another, the bytes are the same."
    call = partial(map_tiles, partial(deadly, bad=tmp_path / "bad"), scene().chunk(y=10), tile=8, version="1")
    report = call(tmp_path / "map.zarr", workers=2)
    assert (tmp_path / "bad").exists() and report.done == 20 and not report.failed
    call(tmp_path / "calm.zarr", threads=1)
    assert bytes_of(tmp_path / "map.zarr") == bytes_of(tmp_path / "calm.zarr")


def test_cluster_that_is_there(tmp_path, undisturbed):
    "A scheduler's address does as well, and the job is gone from its workers afterwards."
    from distributed import Client, LocalCluster

    def plugins(dask_worker):
        return list(dask_worker.plugins)

    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=None,
                      silence_logs=50) as cluster:
        map_tiles(slowly, scene(), tmp_path / "map.zarr", tile=8, scheduler=cluster.scheduler_address)
        with Client(cluster, set_as_default=False) as client:
            assert not any("map" in name for names in client.run(plugins).values() for name in names)
    assert bytes_of(tmp_path / "map.zarr") == undisturbed
    with pytest.raises(InputError, match="scheduler 'no://': cannot be reached or has no workers"):
        map_tiles(slowly, scene(), tmp_path / "other.zarr", scheduler="no://")


def test_refused(tmp_path):
    "What makes no map is refused in one line before anything is written."
    cube, out = scene(), tmp_path / "map.zarr"
    for message, arguments in (
            ("tile = 0; give a whole number", dict(tile=0)), ("overlap = 1.5", dict(overlap=1.5)),
            ("errors = 'stop'", dict(errors="stop")), ("leave out workers", dict(scheduler="tcp://a:1", workers=2)),
            ("cube is a DataArray", dict(cube=cube.B04)), ("name them so", dict(cube=cube.rename(y="lat"))),
            ("put all on one grid", dict(cube={"a": cube, "b": cube.isel(y=slice(3))})),
            ("no tile succeeded.*returned a float", dict(function=lambda block: 1.0)),
            ("no tile succeeded.*'a' has no y and x", dict(function=lambda block: xr.Dataset({"a": 1}))),
            ("no tile succeeded.*holds '<U1'", dict(function=lambda block: xr.full_like(block, "a", "<U1"))),
            ("no tile succeeded.*holds 255, which", dict(function=lambda block: xr.full_like(block, 255, "uint8")))):
        with pytest.raises(InputError, match=message):
            map_tiles(**{"function": layers, "cube": cube, "out": out, **arguments})
        assert not list(tmp_path.iterdir())
    map_tiles(layers, cube, out)
    for message, arguments in (
            ("another function", dict(function=slowly)), ("version '', not '2'", dict(version="2")),
            ("another cube", dict(cube=cube.isel(time=slice(3)))), ("overlap 0, not 3", dict(overlap=3))):
        with pytest.raises(InputError, match=message):
            map_tiles(**{"function": layers, "cube": cube, "out": out, **arguments})
    cube.to_zarr(tmp_path / "mine.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(InputError, match="mine.zarr: is there and is no map"):
        map_tiles(layers, cube, tmp_path / "mine.zarr")


def test_tiles_that_do_not_fit(tmp_path):
    "A tile with other layers or types than the first one fails with the difference."
    def odd(block):
        found = layers(block)
        return found if block.x[0] < 6e5 + 160 else found.assign(mean=found["mean"].astype("float64"))

    with pytest.warns(UserWarning, match=r"mean: is \[\['y', 'x'\], \[\], 'float64'\] here and .* 'float32'\] in"):
        assert set(map_tiles(odd, scene(), tmp_path / "map.zarr", tile=16).failed) == {(0, 1), (0, 2), (1, 1), (1, 2)}


def test_geotiff(tmp_path):
    "Layers become valid COGs on their place, with overviews, units, nodata and colours; dates without a year as days."
    import rasterio
    from rio_cogeo import cog_validate

    cube = scene(700, times=1)
    map_tiles(layers, cube.chunk(y=300), tmp_path / "map.zarr", tile=256)
    colours = {"kind": {0: "#aa0000", 1: "#00aa00"}}
    files = {p.name: p for p in to_cog(tmp_path / "map.zarr", tmp_path / "cogs", colours=colours)}
    assert set(files) == {"mean.tif", "day.tif", "kind.tif", "count.tif", "part_1.tif", "part_2.tif"}
    assert sorted(p.name for p in (tmp_path / "cogs").iterdir()) == sorted(files)
    whole = layers(cube)
    for path in files.values():
        valid, errors, warned = cog_validate(path, strict=True)
        assert valid, (path, errors, warned)
    with rasterio.open(files["mean.tif"]) as file:
        np.testing.assert_array_equal(file.read(1), whole["mean"])
        assert file.crs.to_epsg() == 32632 and file.transform == cube.rio.transform() and file.overviews(1) == [2]
        assert file.units == ("1",) and file.descriptions == ("mean reflectance",) and np.isnan(file.nodata)
    with rasterio.open(files["kind.tif"]) as file:
        assert file.colormap(1)[1] == (0, 170, 0, 255) and file.nodata == 255
        np.testing.assert_array_equal(file.read(1), whole["kind"])
    with rasterio.open(files["day.tif"]) as file:
        days = whole.day.values.astype("datetime64[D]").astype(int)
        np.testing.assert_array_equal(file.read(1), np.where(np.isnat(whole.day), -(2**31), days))
        assert file.units == ("days since 1970-01-01",)
    with pytest.raises(InputError, match="no layer 'men'; did you mean 'mean'"):
        to_cog(tmp_path / "map.zarr", tmp_path / "cogs", layers=["men"])
    with pytest.raises(InputError, match="'mean' is float32; colours are for classes"):
        to_cog(tmp_path / "map.zarr", tmp_path / "cogs", colours={"mean": {1: "red"}})
