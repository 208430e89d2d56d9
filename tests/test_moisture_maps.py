"""Daily maps of moisture: tiles are the whole, killed runs end with the same bytes, mass is kept, sea is missing."""

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from conftest import wait_for

from phenolib import downscaling, moisture, moisture_correction, moisture_maps, moisture_samples
from phenolib.errors import InputError
from phenolib.maps import TilesFailed
from phenolib.nets import transfer

DAYS, FACTOR, CELLS = 40, 5, 4
KILLED = """
import pickle, sys, time
from phenolib import moisture_maps
said = moisture_maps.Mapper.corrected
def slowly(*given):
    time.sleep(0.5)
    return said(*given)
moisture_maps.Mapper.corrected = slowly
with open(sys.argv[1], "rb") as file:
    mapper, drivers = pickle.load(file)
moisture_maps.make(mapper, drivers, sys.argv[2], tile=10, threads=1, progress=False)
"""


def land():
    "Elevation of 4 × 4 cells of 5 × 5 pixels; two cells and some pixels are sea."
    rows, columns = np.indices((CELLS * FACTOR, CELLS * FACTOR))
    height = 100 + 30 * np.sin(rows / 3) + 20 * np.cos(columns / 4)
    return np.where((rows < 5) & (columns < 10) | (rows + columns > 33), np.nan, height)


def region(seed=0):
    "A Mapper with models of both layers and a correction of chance, and its drivers, with gaps."
    random = np.random.default_rng(seed)
    n = CELLS * FACTOR
    y, x = 38 - 0.05 * (np.arange(n) + 0.5), 126 + 0.05 * (np.arange(n) + 0.5)
    days = pd.date_range("2019-03-01", periods=DAYS)
    height = land()
    ground = xr.Dataset({name: (("y", "x"), np.where(np.isfinite(height), scale * height, np.nan).astype("f4"))
                         for name, scale in (("elevation", 1), ("slope", 0.1), ("sand", 0.004), ("clay", 0.002))},
                        {"y": y, "x": x})
    at = {"time": days, "y": y, "x": x}
    slow = np.sin(np.arange(DAYS) / 6)[:, None, None]
    drivers = {name: middle + width * (slow + np.sin(height / 9) + 0.5 * random.normal(size=(DAYS, n, n)))
               for name, middle, width in (("lst_day", 20, 4), ("lst_night", 8, 2), ("ndvi", 0.5, 0.1))}
    drivers["lst_day"][random.random((DAYS, n, n)) < 0.1] = np.nan
    drivers = xr.Dataset({name: (("time", "y", "x"), v.astype("f4")) for name, v in drivers.items()}, at)
    places = {"y": 38 - 0.25 * (np.arange(CELLS) + 0.5), "x": 126 + 0.25 * (np.arange(CELLS) + 0.5)}
    record = pd.date_range("2019-01-01", "2019-05-31")
    rain = xr.DataArray(random.gamma(0.3, 10, (len(record), 14, 14)), {
        "time": record, "y": 38.15 - 0.1 * np.arange(14), "x": 125.85 + 0.1 * np.arange(14)}, ("time", "y", "x"))
    wet = rain.rolling(time=5, min_periods=1).mean().interp(y=places["y"], x=places["x"])
    surface = 0.2 + 0.02 * np.log1p(wet) + 0.005 * random.normal(size=wet.shape)
    coarse = xr.Dataset({"surface": surface, "root_zone": 0.25 + 0.5 * (surface.rolling(time=20, min_periods=1).mean()
                                                                        - 0.2)}).transpose("time", "y", "x")
    covariates = moisture.covariates(drivers, ground, rain)
    averages = downscaling.means(covariates, coarse)
    models = {layer: downscaling.fit(coarse, averages, layer=layer, stopping="", rounds=20, leaves=8, leaf=10)
              for layer in moisture.LAYERS}
    torch.manual_seed(1)
    sizes = {"width": 8, "blocks": 4, "dropout": 0.0}
    channels = len(moisture_samples.CHANNELS)
    network = transfer.Corrector(channels, **sizes).eval()
    scales = moisture_correction.Scales(np.full(channels, 0.2), np.full(channels, 0.5))
    correction = moisture_correction.Correction([network], scales, sizes, np.array([0.1, 0.1]))
    return moisture_maps.Mapper(models, coarse, rain, ground, correction), drivers


@pytest.fixture(scope="module")
def mapped():
    "The region and its maps made in memory."
    mapper, drivers = region()
    return mapper, drivers, mapper(drivers)


@pytest.fixture(scope="module")
def sizes():
    "Sizes of the blocks that covariates were made of."
    return []


@pytest.fixture(scope="module")
def undisturbed(mapped, sizes, tmp_path_factory):
    "What making maps told that nobody disturbed, of drivers on disk."
    mapper, drivers, _ = mapped
    folder, said = tmp_path_factory.mktemp("made"), moisture.covariates
    drivers.to_zarr(folder / "drivers.zarr", zarr_format=3, consolidated=False, encoding={
        name: {"chunks": (DAYS, 10, 10)} for name in drivers})

    def covariates(block, *rest):
        sizes.append(dict(block.sizes))
        return said(block, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(moisture, "covariates", covariates)
        return moisture_maps.make(mapper, folder / "drivers.zarr", folder / "maps", tile=10, threads=2)


def bytes_of(folder):
    "All files of the maps and what they hold."
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def test_tiles_are_the_whole(mapped, undisturbed):
    "Maps made tile by tile are those of the whole region at once, and downscaled as by the library's own function."
    mapper, drivers, whole = mapped
    made = moisture_maps.open(undisturbed.path).load()
    assert set(made) == set(whole) and made["surface"].attrs["units"] == "m3 m-3" and len(made.time) == DAYS
    covariates = moisture.covariates(drivers, mapper.ground, mapper.rain)
    for layer in moisture.LAYERS:
        np.testing.assert_array_equal(made[f"{layer}_downscaled"], whole[f"{layer}_downscaled"])
        own = mapper.downscalers[layer].downscale(mapper.coarse, covariates)["moisture"]
        np.testing.assert_allclose(made[f"{layer}_downscaled"], own, atol=2e-7)
        for which in moisture_maps.WHICH:
            np.testing.assert_allclose(made[layer + which], whole[layer + which], atol=1.01 * moisture_maps.STEP)


def test_correction_is_that_of_whole_maps(mapped):
    "What is mapped is what the correction says of the fields of the whole region."
    mapper, drivers, whole = mapped
    covariates = moisture.covariates(drivers, mapper.ground, mapper.rain)
    fine = xr.Dataset({layer: whole[f"{layer}_downscaled"] for layer in moisture.LAYERS})
    fields = moisture_samples.fields(covariates, fine, mapper.coarse)
    own = moisture_correction.correct_map(mapper.correction, fields, fine["surface"])
    for name in own:
        np.testing.assert_allclose(whole[name], own[name], atol=moisture_maps.STEP)
    assert (abs(whole["surface"] - fine["surface"]).max() > 1e-3) and (whole["surface_high"] >= whole["surface"]).where(
        whole["surface"].notnull(), True).all()


def test_mass_is_kept_before_the_correction(mapped, undisturbed):
    "The mean of each cell over land is the coarse product."
    mapper, drivers, _ = mapped
    made = moisture_maps.open(undisturbed.path)
    for layer in moisture.LAYERS:
        mean = mapper.grid.block_mean(made[f"{layer}_downscaled"].load(), mapper.land)
        away = (mean - mapper.coarse[layer].sel(time=drivers["time"])).values
        assert np.isfinite(away).any(0).sum() == 14 and np.nanmax(abs(away)) < 1e-6


def test_sea_stays_missing_and_shares_are_told(mapped, undisturbed):
    "No layer has a value at sea, all have one on land; the share of the drivers that was there is told."
    mapper, drivers, _ = mapped
    made = moisture_maps.open(undisturbed.path).load()
    for name in made.data_vars:
        assert (np.isfinite(made[name].values) == mapper.land).all()
    share = made.attrs["share"]
    assert share == undisturbed.share and share["surface"] == share["ndvi"] == 1
    known = np.isfinite(drivers["lst_day"].values[:, mapper.land]).mean()
    assert 0.85 < known < 0.95 and share["lst_day"] == pytest.approx(known, abs=1e-6)


def test_killed_and_resumed(mapped, undisturbed, tmp_path):
    "A run that was killed while it corrected goes on where it ended and ends with the same bytes."
    mapper, drivers, _ = mapped
    with open(tmp_path / "given.pickle", "wb") as file:
        pickle.dump((mapper, drivers), file)
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "given.pickle", tmp_path / "maps"],
                               start_new_session=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})
    wait_for(lambda: len(list((tmp_path / "maps/corrected.zarr/.tiles").glob("?.?"))) >= 1, 120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    report = moisture_maps.make(mapper, drivers, tmp_path / "maps", tile=10, threads=2)
    assert 1 <= report.corrected.kept < 4 and report.downscaled.kept == 4
    assert bytes_of(tmp_path / "maps") == bytes_of(undisturbed.path)


def test_a_tile_that_fails_is_made_by_the_next_call(mapped, undisturbed, tmp_path, monkeypatch):
    "Nothing is corrected before all tiles are downscaled; the next call ends with the same bytes."
    mapper, drivers, _ = mapped
    said, seen = moisture_maps.Mapper.downscaled, []

    def failing(self, block, cells):
        seen.append(1)
        if len(seen) == 2:
            raise OSError("disk full")
        return said(self, block, cells)

    with monkeypatch.context() as broken:
        broken.setattr(moisture_maps.Mapper, "downscaled", failing)
        with pytest.raises(TilesFailed, match="1 of 4 tiles failed .*disk full"):
            moisture_maps.make(mapper, drivers, tmp_path / "maps", tile=10, threads=1)
    assert not (tmp_path / "maps/corrected.zarr").exists()
    report = moisture_maps.make(mapper, drivers, tmp_path / "maps", tile=10, threads=1)
    assert (report.downscaled.kept, report.downscaled.done, report.corrected.done) == (3, 1, 4)
    assert bytes_of(tmp_path / "maps") == bytes_of(undisturbed.path)


def test_second_call_makes_nothing_and_others_are_refused(mapped, undisturbed):
    "A finished map is kept as it is; other models, days or coarse data are refused."
    mapper, drivers, _ = mapped
    again = moisture_maps.make(mapper, drivers, undisturbed.path, tile=10)
    assert (again.downscaled.done, again.corrected.done, again.corrected.kept) == (0, 0, 4)
    wetter = replace(mapper, coarse=mapper.coarse + 0.01)
    for other, given in ((wetter, drivers), (mapper, drivers.isel(time=slice(9)))):
        with pytest.raises(InputError, match="maps of other models, days or coarse data"):
            moisture_maps.make(other, given, undisturbed.path, tile=10)


def test_memory_is_bounded_by_the_tile(undisturbed, sizes):
    "No more than a tile, with what the network reads around it, and some days of it are computed at once."
    assert undisturbed.downscaled.done == 4 == undisturbed.corrected.done
    assert max(one["time"] for one in sizes) == moisture_maps.DAYS < DAYS
    assert max(one["y"] for one in sizes) == 14 == max(one["x"] for one in sizes)


def test_downscaled_alone(mapped, tmp_path):
    "Without a correction, maps of one layer or both are made and told apart by their names."
    mapper, drivers, whole = mapped
    alone = replace(mapper, downscalers={"root_zone": mapper.downscalers["root_zone"]}, correction=None)
    report = moisture_maps.make(alone, drivers, tmp_path / "maps", tile=20)
    made = moisture_maps.open(tmp_path / "maps")
    assert report.corrected is None and list(made) == ["root_zone_downscaled"]
    np.testing.assert_array_equal(made["root_zone_downscaled"], whole["root_zone_downscaled"])


def test_refused(mapped, tmp_path):
    "What does not fit is told in one line: tiles, grids, layers, days."
    mapper, drivers, _ = mapped
    surface = mapper.downscalers["surface"]
    for match, call in (
            ("a coarse cell has 5 pixels, give a multiple of it, such as 10",
             lambda: moisture_maps.make(mapper, drivers, tmp_path / "maps", tile=12)),
            ("shifted", lambda: replace(mapper, coarse=mapper.coarse.assign_coords(x=mapper.coarse["x"] + 0.1))),
            ("the layers are swapped", lambda: replace(mapper, downscalers={"surface": surface, "root_zone": surface})),
            ("a correction needs both", lambda: replace(mapper, downscalers={"surface": surface})),
            ("per cent", lambda: replace(mapper, coarse=100 * mapper.coarse)),
            ("the ground has no 'clay'", lambda: replace(mapper, ground=mapper.ground.drop_vars("clay"))),
            ("the drivers have no 'ndvi'", lambda: mapper(drivers.drop_vars("ndvi"))),
            ("different grids along x", lambda: mapper(drivers.assign_coords(x=drivers["x"] + 0.02))),
            ("no 2019-06-01", lambda: mapper(drivers.assign_coords(time=drivers["time"] + np.timedelta64(92, "D")))),
            ("holds no maps of moisture", lambda: moisture_maps.open(tmp_path))):
        with pytest.raises(InputError, match=match):
            call()
    assert not (tmp_path / "maps").exists()
