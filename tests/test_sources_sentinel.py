"""Patches of Sentinel-1 and -2: written, read back, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import sentinel

TIME = pd.date_range("2019-03-01T10:50", periods=6, freq="5D")


def optical(seed=1):
    "A 10 × 8 pixel patch of 10 m with two bands, cloud and holes."
    rng = np.random.default_rng(seed)
    dims, size = ("time", "y", "x"), (6, 10, 8)
    bands = {b: (dims, rng.uniform(0.02, 0.5, size).astype(np.float32)) for b in ("B04", "B08")}
    made = xr.Dataset({**bands, "scl": (dims, rng.choice([0, 4, 5, 8, 9], size).astype(np.uint8)),
                       "sun_zenith": ("time", np.linspace(50, 40, 6).astype(np.float32))},
                      {"time": TIME, "y": 5622435.0 - 10 * np.arange(10), "x": 574685.0 + 10 * np.arange(8)},
                      {"place": "field1", "product": "S2_L2A", "resolution": 10})
    made["B04"][2, 3:5] = np.nan
    return sentinel.with_crs(made, 32631)


def radar(seed=2):
    rng = np.random.default_rng(seed)
    size = (6, 5, 4)
    made = xr.Dataset({b: (("time", "y", "x"), (10 ** rng.uniform(-2.5, -0.5, size)).astype(np.float32))
                       for b in ("vv", "vh")},
                      {"time": TIME, "y": 5622430.0 - 20 * np.arange(5), "x": 574690.0 + 20 * np.arange(4)},
                      {"place": "field1", "product": "S1_GRD-ASCENDING", "resolution": 20})
    made["vh"][0, 0, 0] = np.nan
    return sentinel.with_crs(made, 32631)


@pytest.mark.parametrize("make, off", [(optical, 5.1e-5), (radar, 2e-5)])
def test_patch_is_read_as_written(tmp_path, make, off):
    "All but the rounding to 1/10000 (of reflectance, of a dB) comes back; what was missing is missing; same bytes."
    patch = make()
    path = sentinel.write_patch(tmp_path, patch)
    back = sentinel.read_patch(path)
    assert path.name == f"{patch.product}_{patch.resolution}m_field1_32631_2019-03-01_2019-03-26.nc"
    assert back.attrs["place"] == "field1" and sentinel.epsg_of(back) == 32631
    for name in patch.data_vars:
        np.testing.assert_array_equal(back[name].isnull(), patch[name].isnull())
        np.testing.assert_allclose(back[name], patch[name], atol=off)
    for axis in ("time", "y", "x"):
        np.testing.assert_array_equal(back[axis], patch[axis])
    again = sentinel.write_patch(tmp_path / "again", make())
    assert again.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["again", path.name])


def test_place_joins_its_files(tmp_path):
    "Optical and radar of one place; a place that is not there is named."
    sentinel.write_patch(tmp_path, optical())
    sentinel.write_patch(tmp_path, radar())
    found = sentinel.read_place(tmp_path, "field1")
    assert set(found) == {"optical", "radar"} and sentinel.places(tmp_path)["place"].tolist() == ["field1"] * 2
    with pytest.raises(InputError, match="no patches of the place field2"):
        sentinel.read_place(tmp_path, "field2")


def test_clear_keeps_what_was_seen():
    "Cloud and missing classes are NaN, and the share that is left is told."
    patch = optical()
    seen = sentinel.clear(patch)
    expected = patch["B08"].where(patch["scl"].isin([4, 5]))
    xr.testing.assert_equal(seen["B08"].drop_attrs(), expected.drop_attrs())
    assert seen.attrs["clear_share"] == pytest.approx(float(seen["B04"].notnull().sum() / patch["B04"].notnull().sum()))
    with pytest.raises(InputError, match="no scene classification"):
        sentinel.clear(patch.drop_vars("scl"))


def test_interior_and_coarse_labels():
    "A 6 × 6 field has a 4 × 4 interior; a coarse pixel over two crops has none."
    codes = np.zeros((12, 12), int)
    codes[2:8, 3:9] = 7
    labels = xr.DataArray(codes, {"y": 100.0 - 10 * np.arange(12), "x": 10.0 * np.arange(12)}, ("y", "x"))
    inside = sentinel.interior(labels) & (labels == 7)
    assert int(inside.sum()) == 16 and bool(inside[3, 4]) and not bool(inside[2, 3])
    coarse = xr.Dataset(coords={"y": 95.0 - 20 * np.arange(6), "x": 5.0 + 20 * np.arange(6)})
    seen = sentinel.on_coarse(labels, coarse)
    assert seen.shape == (6, 6) and (seen.values[1:4, 2:4] == 7).all() and int((seen == 7).sum()) == 6


def test_what_cannot_be_read_is_refused(tmp_path):
    "A missing, a cut, a foreign and a wrongly scaled file: one line each that names it."
    path = sentinel.write_patch(tmp_path, optical())
    with pytest.raises(InputError, match="nothing.nc: no such file"):
        sentinel.read_patch(tmp_path / "nothing.nc")
    half = tmp_path / path.name.replace("field1", "half")
    half.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=f"{half.name}: cannot be read as netCDF"):
        sentinel.read_patch(half)
    with pytest.raises(InputError, match="other.nc: the name is not"):
        sentinel.read_patch(path.rename(tmp_path / "other.nc"))
    foreign = tmp_path / "X_10m_place_32631_2019-01-01_2019-02-01.nc"
    xr.Dataset({"height": ("x", [1.0])}).to_netcdf(foreign, engine="h5netcdf")
    with pytest.raises(InputError, match="no band, map or weather in it; there are height"):
        sentinel.read_patch(foreign)
    loud = tmp_path / "S1_20m_loud_32631_2019-01-01_2019-02-01.nc"
    xr.Dataset({"VV": (("timestamp", "y", "x"), np.full((1, 2, 2), 900000, np.int32), {"scale_factor": 1e-4})},
               {"timestamp": TIME[:1], "y": [10.0, 0], "x": [0, 10.0]}).to_netcdf(loud, engine="h5netcdf")
    with pytest.raises(InputError, match="VV has the median 90; dB"):
        sentinel.read_patch(loud)
    twice = optical().isel(time=[0, 1, 1])
    with pytest.raises(InputError, match="stands twice"):
        sentinel.read_patch(sentinel.write_patch(tmp_path, twice.assign_attrs(place="twice")))


def test_patch_without_a_name_or_bands_is_not_written(tmp_path):
    "The place is part of the file's name; brightness that does not fit is refused; nothing is left behind."
    patch = optical()
    with pytest.raises(InputError, match="no attribute 'place'"):
        sentinel.write_patch(tmp_path, patch.assign_attrs(place=""))
    with pytest.raises(InputError, match="neither optical bands"):
        sentinel.write_patch(tmp_path, patch.drop_vars(["B04", "B08"]))
    with pytest.raises(InputError, match="B04 holds 9.*cannot be stored"):
        sentinel.write_patch(tmp_path, patch.assign(B04=patch["B04"].fillna(0) + 9))
    assert list(tmp_path.iterdir()) == []


def weather(place="field1"):
    "Ten days of weather with a hole."
    rng = np.random.default_rng(3)
    names = {new: units for new, _, _, units, _ in sentinel.WEATHER.values()}
    made = xr.Dataset({name: ("time", rng.uniform(0.1, 9, 10), {"units": units}) for name, units in names.items()},
                      {"time": pd.date_range("2019-03-01", periods=10), "x": 575000.0, "y": 5622120.0},
                      {"place": place, "product": "AgERA5_DAILY", "resolution": 1000})
    made["rain"][4] = np.nan
    return sentinel.with_crs(made, 32631)


def test_weather_is_read_as_written(tmp_path):
    "Daily weather comes back in its units; the file has those of AgERA5, one pixel a day, and stands beside patches."
    made = weather()
    path = sentinel.write_patch(tmp_path, made)
    assert path.name == "AgERA5_DAILY_1000m_field1_32631_2019-03-01_2019-03-10.nc"
    back = sentinel.read_patch(path)
    assert set(back.data_vars) == set(made.data_vars) and back.sizes == {"time": 10}
    for name in made.data_vars:
        np.testing.assert_allclose(back[name], made[name], rtol=1e-6, atol=2e-5)
        assert back[name].attrs["units"] == made[name].attrs["units"]
    with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as raw:
        assert raw["temperature_mean"].dims == ("timestamp", "y", "x") and raw["temperature_mean"].shape == (10, 1, 1)
        assert {n: v.attrs["units"] for n, v in raw.data_vars.items()} == {
            **dict.fromkeys(("temperature_mean", "temperature_min", "temperature_max", "dewpoint_temperature"), "K"),
            "precipitation_flux": "mm d-1", "solar_radiation_flux": "J m-2 d-1", "vapour_pressure": "hPa",
            "wind_speed": "m s-1"}
        assert float(raw["precipitation_flux"][4, 0, 0]) == -9999
    sentinel.write_patch(tmp_path, optical())
    assert set(sentinel.read_place(tmp_path, "field1")) == {"weather", "optical"}
    assert sentinel.write_patch(tmp_path / "again", weather()).read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match="the weather tells no place"):
        sentinel.write_patch(tmp_path, made.drop_vars("x"))
