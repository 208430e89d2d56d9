"""MODIS, GLASS and rain of a region: scales, gaps, quality, units, and what cannot be."""

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import regional_images
from phenolib.sources.coarse_moisture import write_netcdf

SIZE = 12


def images(what="lst_day", cell=1 / 120, days=40, every=1, seed=0):
    "Temperature or NDVI with gaps."
    rng = np.random.default_rng(seed)
    values = rng.normal(18, 6, (days, SIZE, SIZE)) if what != "ndvi" else rng.uniform(-0.1, 0.9, (days, SIZE, SIZE))
    values[rng.random(values.shape) < 0.3] = np.nan
    time = pd.date_range("2019-01-01", periods=days, freq=f"{every}D", unit="ns")
    middles = cell * (np.arange(SIZE) + 0.5)
    return xr.DataArray(values.astype(np.float32), {"time": time, "y": 37 - middles, "x": 127 + middles},
                        ("time", "y", "x"))


def stored(folder, numbers, name="LST_Day_1km", fill=0, file="MOD11A1.061_2019.nc", **attrs):
    "A file with numbers as they are."
    path = folder / file
    packed = {} if fill is None else {"_FillValue": numbers.dtype.type(fill)}
    write_netcdf({name: (numbers, attrs, {"dtype": numbers.dtype.name, **packed})}, path)
    return path


@pytest.mark.parametrize(("what", "read", "write", "step"), [
    ("lst_day", regional_images.read_modis, regional_images.write_modis, 0.02),
    ("lst_night", regional_images.read_modis, regional_images.write_modis, 0.02),
    ("ndvi", regional_images.read_modis, regional_images.write_modis, 1e-4),
    ("lst_day", regional_images.read_glass, regional_images.write_glass, 0.01),
    ("ndvi", regional_images.read_glass, regional_images.write_glass, 1e-4)])
def test_what_is_written_is_read_again(tmp_path, what, read, write, step):
    "Values come back to half a step of the format, gaps exactly, lazily; the same values give the same bytes."
    planted, path = images(what), tmp_path / "a.nc"
    write({what: planted}, path)
    found = read(path, what)
    assert found.chunks is not None and found.name == what and found.units == ("1" if what == "ndvi" else "degC")
    np.testing.assert_array_equal(found.isnull(), planted.isnull())
    assert float(abs(found - planted).max()) <= step / 2 + 3e-5
    np.testing.assert_allclose(found["y"], planted["y"], atol=1e-9)
    assert found.rio.crs.to_epsg() == 4326
    first = path.read_bytes()
    write({what: planted}, path)
    assert path.read_bytes() == first


def test_day_and_night_lie_in_one_file(tmp_path):
    "Two layers are told apart; the third is not there."
    day, night = images(seed=1), images(seed=2) - 8
    regional_images.write_modis({"lst_day": day, "lst_night": night}, tmp_path / "a.nc")
    for what, planted in (("lst_day", day), ("lst_night", night)):
        assert float(abs(regional_images.read_modis(tmp_path / "a.nc", what) - planted).max()) < 0.011
    with pytest.raises(InputError, match="a.nc: has no layer '_1_km_16_days_NDVI'"):
        regional_images.read_modis(tmp_path / "a.nc", "ndvi")
    with pytest.raises(InputError, match="the images 'lst' are not known; did you mean 'lst_day'"):
        regional_images.read_modis(tmp_path / "a.nc", "lst")


def test_files_that_are_scaled_already_are_recognised(tmp_path):
    "Kelvin or °C as floats, by their unit or by their range."
    planted = images()
    for numbers, attrs in ((planted + 273.15, {"units": "K"}), (planted + 273.15, {}), (planted, {"units": "degC"}),
                           (planted, {})):
        path = stored(tmp_path, numbers.astype("float32"), fill=None, **attrs)
        found = regional_images.read_modis(path, "lst_day")
        assert float(abs(found - planted).max()) < 1e-4
    fahrenheit = stored(tmp_path, (planted * 30 + 500).astype("float32"), fill=None)
    with pytest.raises(InputError, match="200 to 350 K is expected"):
        regional_images.read_modis(fahrenheit, "lst_day")


def test_a_wrong_scale_factor_is_refused(tmp_path):
    "Twice, half and no factor for temperature; ten times and a tenth for NDVI; integers without one take theirs."
    planted = images()
    numbers = ((planted + 273.15) / 0.02).round().fillna(0).astype("uint16")
    assert float(abs(regional_images.read_modis(stored(tmp_path, numbers), "lst_day") - planted).max()) < 0.011
    for factor in (0.04, 0.01):
        path = stored(tmp_path, numbers, scale_factor=factor)
        with pytest.raises(InputError, match=f"after its scale factor {factor}; 200 to 350 K is expected.*is 0.02"):
            regional_images.read_modis(path, "lst_day")
    numbers = (images("ndvi") / 1e-4).round().fillna(-3000).astype("int16")
    for factor, why in ((1e-3, "NDVI lies in -0.3 to 1"), (1e-5, "nowhere green")):
        path = stored(tmp_path, numbers, "_1_km_16_days_NDVI", -3000, scale_factor=factor)
        with pytest.raises(InputError, match=f"{why}.*is 0.0001"):
            regional_images.read_modis(path, "ndvi")


def test_quality_is_honoured(tmp_path):
    "Only pixels whose bits 0-1 are 00 or 01 are kept, whatever the higher bits say."
    planted = images().fillna(20.0)
    quality = (planted * 0).astype("uint8")
    quality[:, 0], quality[:, 1], quality[:, 2], quality[:, 3] = 0b10, 0b11, 0b01, 0b1000100
    numbers = ((planted + 273.15) / 0.02).round().astype("uint16")
    path = tmp_path / "a.nc"
    write_netcdf({"LST_Day_1km": (numbers, {"scale_factor": 0.02}, {"dtype": "uint16", "_FillValue": np.uint16(0)}),
                  "QC_Day": (quality, {}, {"dtype": "uint8"})}, path)
    found = regional_images.read_modis(path, "lst_day")
    assert found.attrs["quality"] == "QC_Day"
    assert np.isnan(found[:, :2]).all() and np.isfinite(found[:, 2:]).all()


def raster(folder, name, numbers, nodata=0, crs=4326):
    numbers.rio.write_crs(crs).rio.write_nodata(nodata).rio.to_raster(folder / name)


def test_one_geotiff_a_date_is_read(tmp_path):
    "A folder of GeoTIFFs gives the series in the order of days, with its quality; without all of it, it is refused."
    planted = images(days=3)
    numbers = ((planted + 273.15) / 0.02).round().fillna(0).astype("uint16")
    for k, day in ((2, "2019003"), (0, "2019001"), (1, "2019002000000")):
        raster(tmp_path, f"MOD11A1.061_LST_Day_1km_doy{day}_aid0001.tif", numbers[k].drop_vars("time"))
    found = regional_images.read_modis(tmp_path, "lst_day")
    assert float(abs(found - planted).max()) < 0.011
    np.testing.assert_array_equal(found["time"], planted["time"])
    one = regional_images.read_modis(tmp_path / "MOD11A1.061_LST_Day_1km_doy2019003_aid0001.tif", "lst_day")
    assert one.sizes["time"] == 1 and pd.Timestamp(one["time"].values[0]) == pd.Timestamp("2019-01-03")
    quality = xr.zeros_like(numbers[0]).drop_vars("time").astype("uint8")
    quality[0] = 3
    raster(tmp_path, "MOD11A1.061_QC_Day_doy2019001_aid0001.tif", quality, 255)
    with pytest.raises(InputError, match="the quality of 2019-01-02 is missing, though other dates have theirs"):
        regional_images.read_modis(tmp_path, "lst_day")
    for day in ("2019002", "2019003"):
        raster(tmp_path, f"MOD11A1.061_QC_Day_doy{day}_aid0001.tif", quality, 255)
    found = regional_images.read_modis(tmp_path, "lst_day")
    assert np.isnan(found[:, 0]).all() and np.isfinite(found[:, 1:]).any()
    with pytest.raises(InputError, match="holds no GeoTIFF named like MOD11A1.061_LST_Night_1km_doy2019001"):
        regional_images.read_modis(tmp_path, "lst_night")
    raster(tmp_path, "MOD11A1.061_LST_Night_1km_doy2019001_aid0001.tif", numbers[0].drop_vars("time"), crs=32652)
    with pytest.raises(InputError, match="does not lie on longitude and latitude"):
        regional_images.read_modis(tmp_path, "lst_night")


def test_hdf4_is_refused_with_what_to_do(tmp_path):
    "MOD11A1 and GLASS as HDF4 name the way out."
    for name, read in (("MOD11A1.A2019001.h28v05.061.hdf", regional_images.read_modis),
                       ("GLASS06A01.V01.A2019001.hdf", regional_images.read_glass)):
        path = tmp_path / name
        path.write_bytes(b"\x0e\x03\x13\x01rest")
        with pytest.raises(InputError, match=f"{name}: is HDF4.*AppEEARS as netCDF, or convert it with 'gdal_transl"):
            read(path, "lst_day")


def test_rain_is_in_mm_a_day(tmp_path):
    "mm per hour become mm per day; another unit, negative rain and floods are refused."
    planted = abs(images(cell=0.1)).fillna(0).round(2)
    regional_images.write_rain(planted, tmp_path / "IMERG_2019.nc")
    found = regional_images.read_rain(tmp_path / "IMERG_2019.nc")
    assert found.units == "mm d-1"
    np.testing.assert_allclose(found, planted, atol=1e-5)
    keep = {"name": "precipitation", "file": "b.nc", "fill": -9999.9}
    np.testing.assert_allclose(regional_images.read_rain(stored(tmp_path, planted / 24, units="mm/hr", **keep)),
                               planted, atol=1e-4)
    with pytest.raises(InputError, match="precipitation has the unit 'inches'; mm/day or mm/hr is expected"):
        regional_images.read_rain(stored(tmp_path, planted, units="inches", **keep))
    with pytest.raises(InputError, match="precipitation goes down to -1 mm/day; rain is 0 or more"):
        regional_images.read_rain(stored(tmp_path, planted * 0 - 1, units="mm/day", **keep))
    with pytest.raises(InputError, match="mm a day as 'mm/hr'; at most 2000 is expected"):
        regional_images.read_rain(stored(tmp_path, planted * 0 + 100, units="mm/hr", **keep))
    with pytest.raises(InputError, match="rain goes down to -1 mm a day"):
        regional_images.write_rain(planted - planted.max() * 0 - 1 - planted, tmp_path / "c.nc")


def test_what_cannot_be_is_not_written(tmp_path):
    "Kelvin given as °C, another layer and missing coordinates are refused before anything is written."
    planted = images()
    with pytest.raises(InputError, match="'lst_day' reaches from .* K is expected"):
        regional_images.write_modis({"lst_day": planted + 273.15}, tmp_path / "a.nc")
    with pytest.raises(InputError, match="the images 'lai' are not known"):
        regional_images.write_modis({"lai": planted}, tmp_path / "a.nc")
    with pytest.raises(InputError, match="has no coordinate 'y'"):
        regional_images.write_modis({"lst_day": planted.drop_vars("y")}, tmp_path / "a.nc")
    assert not (tmp_path / "a.nc").exists()
