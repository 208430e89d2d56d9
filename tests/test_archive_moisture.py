"""Soil moisture in an archive: kinds by name, years, boxes, ground, stations, pairs, and what is refused."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine

from phenolib import archive
from phenolib.errors import InputError
from phenolib.sources import coarse_moisture, fusion_pairs, moisture_stations, regional_images

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
real = pytest.mark.skipif(not ROOT or not Path(ROOT, "soil_moisture").is_dir(),
                          reason="PHENOLIB_ARCHIVE names no archive with soil-moisture stations")
NORTH, WEST, FINE = 37.0, 127.0, 60
DAYS = {2018: pd.date_range("2018-11-22", "2018-12-31", unit="ns"),
        2019: pd.date_range("2019-01-01", "2019-02-09", unit="ns")}
DEPTHS = np.array([0.05, 0.1, 0.2, 0.5, 1.0])


def field(time, cell, mean, spread, *, seed=0, memory=0.0, more=0):
    "A field over the region, with some cells more on all sides."
    rng = np.random.default_rng(seed)
    size = round(0.5 / cell) + 2 * more
    values = np.zeros((len(time), size, size))
    for k in range(len(time)):
        values[k] = memory * values[k - 1] + rng.normal(0, 1, (size, size))
    middles = cell * (np.arange(size) + 0.5 - more)
    return xr.DataArray((mean + spread * values / values.std()).astype(np.float32),
                        {"time": time, "y": NORTH - middles, "x": WEST + middles}, ("time", "y", "x"))


def raster(path, values, nodata, corner=(WEST, NORTH)):
    "A GeoTIFF of the ground."
    import rasterio

    step = 0.5 / FINE
    with rasterio.open(path, "w", driver="GTiff", height=FINE, width=FINE, count=1, dtype=values.dtype.name,
                       nodata=nodata, crs=4326, transform=Affine(step, 0, corner[0], 0, -step, corner[1])) as file:
        file.write(values, 1)


def land():
    "A plane that rises to the east by 10 m a pixel, with sea in the west."
    height = np.tile(10.0 * np.arange(FINE), (FINE, 1)).astype(np.float32)
    height[:, :6] = np.nan
    return height


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "An archive of two winters' ends, whose coarse products reach beyond the ground."
    folder = tmp_path_factory.mktemp("moisture")
    place = folder / "peninsula"
    place.mkdir()
    for year, time in DAYS.items():
        for layer, memory in (("surface", 0.6), ("root_zone", 0.97)):
            coarse_moisture.write(field(time, 0.25, 0.3, 0.03, seed=year, memory=memory, more=1),
                                  place / f"{coarse_moisture.LAYERS[layer]}_{year}_GLEAM_v3.8a.nc", layer=layer)
        regional_images.write_modis({what: field(time, 1 / 120, mean, 3, seed=year) for what, mean in (
            ("lst_day", 15), ("lst_night", 5))}, place / f"MOD11A1.061_{year}.nc")
        regional_images.write_modis({"ndvi": field(time[::16], 1 / 120, 0.5, 0.05)}, place / f"MOD13A2.061_{year}.nc")
        regional_images.write_glass({what: field(time, 0.05, mean, 3, seed=year, more=3) for what, mean in (
            ("lst_day", 15), ("lst_night", 5))}, place / f"GLASS_LST_{year}.nc")
        regional_images.write_glass({"ndvi": field(time[::8], 0.05, 0.5, 0.05)}, place / f"GLASS_NDVI_{year}.nc")
        regional_images.write_rain(abs(field(time, 0.1, 0, 5, seed=year, more=2)), place / f"IMERG_{year}.nc")
    raster(place / "dem.tif", land(), np.nan)
    for name, value, kind in (("sand", 420, "uint16"), ("clay", 210, "uint16"), ("land_cover", 12, "uint8")):
        raster(place / f"{name}.tif", np.full((FINE, FINE), value, kind), 65535 if kind == "uint16" else 255)
    stations(folder / "soil_moisture")
    pairs = field(pd.to_datetime(["2019-05-01", "2019-05-17", "2019-06-02"]), 0.01, 300, 3).rio.write_crs(4326)
    fusion_pairs.write(fusion_pairs.Pairs("fusion_lst", pairs[[0, 2]], pairs, "K"), folder / "fusion_lst")
    fusion_pairs.write(fusion_pairs.Pairs("fusion_lst", pairs[[1]], None, "K"), folder / "truth")
    return folder


def stations(folder):
    time, names = DAYS[2019], ["SIM_001", "SIM_002"]
    rng = np.random.default_rng(4)
    values = 0.25 + rng.normal(0, 0.02, (2, len(time), 5))
    data = xr.Dataset({"moisture": (("station", "time", "depth"), values)},
                      {"station": names, "time": time, "depth": DEPTHS})
    moisture_stations.write(data, folder / "uscrn_daily.csv.gz")
    moisture_stations.write_sensors(pd.DataFrame({
        "network": "SIM", "station": np.repeat(names, 5), "lat": np.repeat([36.9, 36.7], 5),
        "lon": np.repeat([127.2, 127.4], 5), "elevation": 100.0, "depth_from": np.tile(DEPTHS, 2),
        "depth_to": np.tile(DEPTHS, 2), "sensor": "probe", "hours": 900, "days": 40}), folder / "uscrn_sensors.csv")
    moisture_stations.write_static(pd.DataFrame({"network": "SIM", "station": names, "clay": [0.2, 0.3],
                                                 "land_cover": "10", "climate": "Dwa"}),
                                   folder / "station_static_variables.csv.gz")


def test_kinds_follow_from_the_names(made):
    "Every kind is found without archive.yml, nothing is wrong, and the tables beside are counted."
    found = archive.check(made)
    assert list(found) == [] and found.remarks == []
    table = found.kinds.set_index("kind")
    assert table["files"].to_dict() == {
        "coarse_moisture": 4, "fine_images": 4, "coarse_images": 4, "rain": 2, "ground": 1, "moisture_stations": 1,
        "fusion_pairs": 5}
    assert table.at["coarse_moisture", "first"] == pd.Timestamp("2018-11-22")
    assert table.at["fine_images", "sites"] == 3 and table.at["moisture_stations", "sites"] == 2


def test_coarse_moisture_is_cut_and_joined(made):
    "Both layers of both years, on the cells of the ground; one year on demand; a year that is not there is refused."
    data = archive.open_archive(made)
    found = data.coarse_moisture()
    assert dict(found.sizes) == {"time": 80, "y": 2, "x": 2} and set(found) == {"surface", "root_zone"}
    assert found["y"].values.tolist() == [36.875, 36.625] and found["surface"].attrs["missing_dates"] == []
    planted = field(DAYS[2019], 0.25, 0.3, 0.03, seed=2019, memory=0.6, more=1)
    np.testing.assert_array_equal(data.coarse_moisture(2019)["surface"], planted[:, 1:3, 1:3])
    assert data.coarse_moisture((2018, 2019), box=(126, 36, 128, 38)).sizes["x"] == 4
    with pytest.raises(InputError, match="has no SMsurf of GLEAM in 2020; there are 2019 to 2019"):
        data.coarse_moisture((2019, 2020))
    with pytest.raises(InputError, match="has no SMsurf, the surface of 2021"):
        data.coarse_moisture(2021)


def test_images_and_rain_are_joined_and_cut(made):
    "Lazy series of all years; products beyond the ground keep the cells that touch it."
    data = archive.open_archive(made)
    day = data.fine_images("lst_day")
    assert day.sizes["time"] == 80 and day.chunks is not None and day.rio.crs.to_epsg() == 4326
    np.testing.assert_array_equal(day["x"], data.ground()["x"])
    assert data.fine_images("ndvi", 2019).sizes["time"] == 3
    assert data.coarse_images("lst_night", (2018, 2019)).shape == (80, 10, 10)
    assert data.coarse_images("ndvi").sizes["time"] == 10
    assert data.rain(2018).shape == (40, 5, 5) and float(data.rain().min()) >= 0
    for ask in (data.fine_images, data.coarse_images):
        with pytest.raises(InputError, match="the images 'lst_dya' are not known; did you mean 'lst_day'"):
            ask("lst_dya")
    with pytest.raises(InputError, match="has no .*2020"):
        data.fine_images("lst_day", 2020)


def test_ground_is_in_fractions_and_missing_at_sea(made):
    "A plane that rises 10 m a pixel has the slope of that over a pixel's metres; soil comes as fractions."
    ground = archive.open_archive(made).ground()
    assert ground["elevation"].isnull().sum() == 6 * FINE
    width = 111.2e3 * 0.5 / FINE * np.cos(np.radians(ground["y"].values))
    np.testing.assert_allclose(ground["slope"][:, 20], np.degrees(np.arctan(10 / width)), rtol=1e-5)
    assert float(ground["slope"].min()) > 0.2 and ground["slope"].isnull().sum() == 6 * FINE
    assert float(ground["sand"].max()) == pytest.approx(0.42) and float(ground["clay"].min()) == pytest.approx(0.21)
    assert ground["sand"].isnull().sum() == 6 * FINE and ground["land_cover"].dtype == "uint8"
    assert set(np.unique(ground["land_cover"])) == {0, 12}


@pytest.mark.parametrize(("name", "values", "why"), [
    ("sand", 0.42, "sand.tif: holds at most 0.42; it looks like shares, multiply by 1000"),
    ("clay", 21.0, "clay.tif: holds at most 21; it looks like per cent, multiply by 10"),
    ("clay", 2100.0, "clay.tif: holds 2100 to 2100; g/kg from 0 to 1000"),
    ("dem", -9999.0, "dem.tif: holds elevations from -9999 to -9999; metres are expected, and the value of the sea"),
    ("land_cover", None, "land_cover.tif is missing beside it"), ("sand", "moved", "sand.tif: lies on another grid")])
def test_wrong_ground_is_refused(made, tmp_path, name, values, why):
    "Units, missing values, files and grids each have their own line."
    for path in (made / "peninsula").glob("*.tif"):
        shutil.copy(path, tmp_path)
    if values is None:
        (tmp_path / f"{name}.tif").unlink()
    elif values == "moved":
        raster(tmp_path / f"{name}.tif", np.full((FINE, FINE), 420, "uint16"), 65535, (WEST + 0.01, NORTH))
    else:
        raster(tmp_path / f"{name}.tif", np.full((FINE, FINE), values, "float32"), np.nan)
    with pytest.raises(InputError, match=why):
        archive.open_archive(tmp_path).ground()
    assert len(archive.check(tmp_path)) == 1


def test_stations_have_places_soil_and_layers(made):
    "Places, probes and soil of stations in one table; moisture of layers with the share that was retrieved."
    data = archive.open_archive(made)
    table = data.moisture_stations()
    assert table["station"].tolist() == ["SIM_001", "SIM_002"] and table["clay"].tolist() == [0.2, 0.3]
    assert table.at[0, "depths"] == tuple(DEPTHS) and table.at[1, "lon"] == 127.4
    assert data.station_moisture()["moisture"].shape == (2, 40, 5)
    layers = data.layers_at_stations()
    assert layers["root_zone"].attrs["retrieved"] == 1 and layers["lat"].values.tolist() == [36.9, 36.7]


def test_a_station_without_a_place_is_refused(made, tmp_path):
    "The station is named; so is the table that is missing."
    shutil.copytree(made / "soil_moisture", tmp_path / "own")
    path = tmp_path / "own" / "uscrn_sensors.csv"
    path.write_text(path.read_text().replace("SIM_002", "SIM_003"))
    with pytest.raises(InputError, match="uscrn_sensors.csv: station 'SIM_002' of .* is not in it; did you mean"):
        archive.open_archive(tmp_path).moisture_stations()
    path.unlink()
    with pytest.raises(InputError, match="uscrn_sensors.csv is missing beside it; it tells where the stations are"):
        archive.open_archive(tmp_path).moisture_stations()


def test_pairs_and_what_is_kept_back(made):
    "The middle date has a coarse image only; its fine one lies among the truth."
    data = archive.open_archive(made)
    [pairs] = data.fusion_pairs()
    assert pairs.fine.sizes["time"] == 2 and pairs.coarse.sizes["time"] == 3
    truth = data.fusion_truth()["fusion_lst"]
    np.testing.assert_array_equal(truth["time"], pairs.coarse["time"][[1]])
    np.testing.assert_array_equal(truth, pairs.coarse[[1]])


def test_the_truth_of_a_region_is_read_by_year(tmp_path):
    "Two years of packed truth are one series; a year on demand; without any there is none."
    (tmp_path / "truth").mkdir()
    for year, time in DAYS.items():
        planted = field(time, 0.05, 0.3, 0.03, seed=year)
        xr.Dataset({"surface": planted, "root_zone": planted + 0.05}).to_netcdf(
            tmp_path / "truth" / f"peninsula_moisture_{year}.nc", engine="h5netcdf", encoding={
                "surface": {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": -32768}})
    regional_images.write_rain(abs(field(DAYS[2019], 0.1, 0, 5)), tmp_path / "IMERG_2019.nc")
    data = archive.open_archive(tmp_path)
    whole = data.moisture_truth()
    assert dict(whole.sizes) == {"time": 80, "y": 10, "x": 10} and whole["surface"].dtype == "float32"
    found = data.moisture_truth(2019)["surface"]
    np.testing.assert_allclose(found, field(DAYS[2019], 0.05, 0.3, 0.03, seed=2019), atol=1e-4)
    assert data.moisture_truth(2017) is None and data.image_truth() is None


def test_the_hash_follows_the_files_beside(made, tmp_path):
    "A change of the clay, the probes or the truth changes the hash of what they belong to, and no other."
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    first = {kind: archive.open_archive(copy).hash([kind]) for kind in ("ground", "moisture_stations", "rain",
                                                                        "fusion_pairs")}
    raster(copy / "peninsula" / "clay.tif", np.full((FINE, FINE), 220, "uint16"), 65535)
    path = copy / "soil_moisture" / "uscrn_sensors.csv"
    path.write_text(path.read_text().replace("127.4", "127.41"))
    next((copy / "truth").glob("*.tif")).unlink()
    second = {kind: archive.open_archive(copy).hash([kind]) for kind in first}
    assert {kind for kind in first if first[kind] != second[kind]} == {"ground", "moisture_stations", "fusion_pairs"}


def test_swapped_layers_are_a_finding(made, tmp_path):
    "Files whose names were exchanged are refused when they are read, and by the check."
    for one, other in (("SMsurf", "SMroot"), ("SMroot", "SMsurf")):
        array = coarse_moisture.read(made / "peninsula" / f"{one}_2019_GLEAM_v3.8a.nc")
        layer = next(k for k, v in coarse_moisture.LAYERS.items() if v == other)
        coarse_moisture.write(array, tmp_path / f"{other}_2019_GLEAM_v3.8a.nc", layer=layer)
    with pytest.raises(InputError, match="the layers of soil moisture look swapped"):
        archive.open_archive(tmp_path).coarse_moisture()
    [finding] = archive.check(tmp_path)
    assert "look swapped" in finding.problem


def test_hdf4_and_version_4_are_findings(tmp_path):
    "Files that a user would download first are recognised, and refused with what to do."
    (tmp_path / "MOD11A1.A2019001.h28v05.061.hdf").write_bytes(b"\x0e\x03\x13\x01rest")
    field(DAYS[2019], 0.1, 0.3, 0.02).rename(y="lat", x="lon").rename("SMrz").to_netcdf(
        tmp_path / "SMrz_2019_GLEAM_v4.1a.nc", engine="h5netcdf")
    problems = {finding.kind: finding.problem for finding in archive.check(tmp_path)}
    assert "is HDF4" in problems["fine_images"] and "GLEAM v4" in problems["coarse_moisture"]


def test_what_is_not_there_is_named(made, tmp_path):
    "An archive without a kind says how a file of it is named; two files of one day are refused."
    shutil.copy(made / "peninsula" / "IMERG_2019.nc", tmp_path)
    data = archive.open_archive(tmp_path)
    assert data.rain().shape == (40, 9, 9)  # no ground to cut to
    assert data.moisture_truth() is None and data.image_truth() is None and data.fusion_truth() == {}
    for ask, why in ((data.ground, "has no ground; a file of it is named like dem.tif"),
                     (data.coarse_moisture, "has no coarse moisture; a file of it is named like SMsurf_<year>"),
                     (data.gauge_points, "has no gauge points"), (data.fusion_pairs, "has no fusion pairs")):
        with pytest.raises(InputError, match=why):
            ask()
    shutil.copy(made / "peninsula" / "IMERG_2019.nc", tmp_path / "IMERG_2019_again.nc")
    with pytest.raises(InputError, match="has rain of 2019-01-01 in two files; keep one of them"):
        archive.open_archive(tmp_path).rain()


@real
def test_real_stations_have_layers():
    "82 stations with their soil; surface and root zone where the probes carry them; pairs of images of four places."
    data = archive.open_archive(ROOT)
    table = data.moisture_stations()
    assert len(table) == 82 and table["clay"].notna().mean() > 0.9 and table["lon"].between(-160, -65).all()
    layers = data.layers_at_stations()
    assert layers["surface"].sizes["station"] == 82
    assert [pairs.name for pairs in data.fusion_pairs()] == ["fusion_lst", "Test_1", "Test_2", "Test_3"]
    assert len(data.gauge_points()) == 9919 and data.fusion_truth() == {}
