"""Two layers of soil moisture on 0.25°: what is written is read, and what another product would be is refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import coarse_moisture

Y, X = 40.0 - 0.25 * (np.arange(4) + 0.5), 126.0 + 0.25 * (np.arange(5) + 0.5)


def moisture(memory, days=120, y=Y, x=X, seed=0):
    "Moisture that forgets a share of itself every day, missing in one cell of sea."
    rng = np.random.default_rng(seed)
    values = np.zeros((days, len(y), len(x)))
    for k in range(1, days):
        values[k] = memory * values[k - 1] + rng.normal(0, 0.03, values[k].shape)
    values = (0.3 + 0.1 * values / values.std()).clip(0.02, 0.6)
    values[:, 0, 0] = np.nan
    time = pd.date_range("2019-01-01", periods=days, unit="ns")
    return xr.DataArray(values.astype(np.float32), {"time": time, "y": y, "x": x}, ("time", "y", "x"))


def put(folder, array, name="SMsurf", file=None, dims=("time", "lat", "lon"), **attrs):
    "A file by other means than the writer."
    path = folder / (file or f"{name}_2019_GLEAM_v3.8a.nc")
    array = array.rename(y="lat", x="lon").transpose(*dims)
    array.rename(name).assign_attrs(**attrs).to_dataset().to_netcdf(path, engine="h5netcdf")
    return path


def test_what_is_written_is_read_again(tmp_path):
    "Values, days, places and gaps come back; the same values give the same bytes."
    planted, path = moisture(0.7), tmp_path / "SMsurf_2019_GLEAM_v3.8a.nc"
    coarse_moisture.write_gleam(planted, path, layer="surface")
    found = coarse_moisture.read_gleam(path)
    assert found.name == "surface" and found.dims == ("time", "y", "x") and found.attrs["missing_dates"] == []
    np.testing.assert_array_equal(found, planted)
    np.testing.assert_array_equal(found["y"], Y)
    np.testing.assert_array_equal(found["x"], X)
    assert found.rio.crs.to_epsg() == 4326 and np.isnan(found[:, 0, 0]).all()
    first = path.read_bytes()
    coarse_moisture.write_gleam(planted.rename("surface"), path)
    assert path.read_bytes() == first


def test_the_order_of_axes_does_not_matter(tmp_path):
    "A file from the south, from 0 to 360 degrees, with longitude before latitude, gives the same field."
    planted = moisture(0.7, x=np.array([-0.375, -0.125, 0.125, 0.375]))
    turned = planted.isel(y=slice(None, None, -1), x=[2, 3, 0, 1])
    turned = turned.assign_coords(x=turned["x"].values % 360)
    found = coarse_moisture.read(put(tmp_path, turned, dims=("time", "lon", "lat")))
    np.testing.assert_array_equal(found, planted)
    np.testing.assert_array_equal(found["x"], planted["x"])


def test_a_box_cuts_a_region(tmp_path):
    "Only the cells whose middles lie in the box are kept; a box elsewhere is refused."
    path = put(tmp_path, moisture(0.7))
    found = coarse_moisture.read(path, box=(126.25, 39.25, 126.75, 39.75))
    assert found["x"].values.tolist() == [126.375, 126.625] and found["y"].values.tolist() == [39.625, 39.375]
    with pytest.raises(InputError, match="none of its cells lies in 10 to 11 °E"):
        coarse_moisture.read(path, box=(10, 39, 11, 40))


def test_missing_days_are_kept_as_gaps_and_told(tmp_path):
    "Days that are not there, or hold nothing, are NaN on a full axis of days; too many are refused."
    planted = moisture(0.7)
    planted[20] = np.nan
    path = put(tmp_path, planted.isel(time=np.r_[:50, 53:120]))
    found = coarse_moisture.read(path)
    assert found.sizes["time"] == 120
    assert found.attrs["missing_dates"] == ["2019-01-21", "2019-02-20", "2019-02-21", "2019-02-22"]
    assert "4 of 120 days are missing, 2019-01-21, 2019-02-20, 2019-02-21 and 1 more" in found.attrs["remarks"][0]
    assert np.isnan(found.sel(time="2019-02-21")).all()
    path = put(tmp_path, planted.isel(time=np.r_[:40, 60:120]))
    with pytest.raises(InputError, match="21 of 120 days are missing, the first 2019-01-21.*most_missing"):
        coarse_moisture.read(path)
    assert coarse_moisture.read(path, most_missing=0.3).sizes["time"] == 120


def test_a_quarter_of_a_grid_off_or_another_grid_is_refused(tmp_path):
    "Version 4 on 0.1°, a grid shifted by half a cell, and steps that differ each have their own line."
    fine = moisture(0.7, y=39.95 - 0.1 * np.arange(4), x=126.05 + 0.1 * np.arange(5))
    with pytest.raises(InputError, match="lies on 0.1°, this is GLEAM v4; version 3 on 0.25° is expected"):
        coarse_moisture.read(put(tmp_path, fine))
    with pytest.raises(InputError, match="GLEAM v4 on 0.1°, another product"):
        coarse_moisture.read(put(tmp_path, fine, "SMs", file="SMs_2019_GLEAM_v4.1a.nc"))
    with pytest.raises(InputError, match="its x begins at 126.25, 0.125° beside the middles.*the grid is shifted"):
        coarse_moisture.read(put(tmp_path, moisture(0.7, x=X + 0.125)))
    with pytest.raises(InputError, match="its y has steps from 0.25 to 0.5 degrees; an even grid"):
        coarse_moisture.read(put(tmp_path, moisture(0.7, y=np.array([39.875, 39.625, 39.125]))))
    with pytest.raises(InputError, match="reaches 4e[+]06; latitude and longitude in degrees"):
        coarse_moisture.read(put(tmp_path, moisture(0.7, y=4e6 - 25000 * np.arange(4.0))))


def test_rounded_coordinates_are_the_middles_of_cells(tmp_path):
    "Coordinates in float32 come back exact, so that grids can be compared."
    rough = moisture(0.7, y=Y.astype(np.float32) + 1e-5, x=X.astype(np.float32))
    np.testing.assert_array_equal(coarse_moisture.read(put(tmp_path, rough))["y"], Y)


def test_wrong_units_and_wrong_names_are_refused(tmp_path):
    "Per cent, negative values, a layer under the other's name, no layer at all, no value at all."
    planted = moisture(0.7)
    with pytest.raises(InputError, match="SMsurf reaches [0-9.]+; it looks like per cent"):
        coarse_moisture.read(put(tmp_path, planted * 100))
    with pytest.raises(InputError, match="SMsurf goes down to -99; .*_FillValue"):
        coarse_moisture.read(put(tmp_path, planted.fillna(-99)))
    with pytest.raises(InputError, match="holds SMroot, but is named SMsurf; name it after what is in it"):
        coarse_moisture.read(put(tmp_path, planted, "SMroot", file="SMsurf_2019_GLEAM_v3.8a.nc"))
    with pytest.raises(InputError, match="no variable SMsurf or SMroot; did you mean 'SMsurface'"):
        coarse_moisture.read(put(tmp_path, planted, "SMsurface"))
    with pytest.raises(InputError, match="has no value at all"):
        coarse_moisture.read(put(tmp_path, planted * np.nan))
    with pytest.raises(InputError, match="the layer 'deep' is not known; there are 'surface', 'root_zone'"):
        coarse_moisture.write(planted, tmp_path / "a.nc", layer="deep")


def test_files_that_are_no_netcdf_are_refused(tmp_path):
    "HDF4 is told apart, with what to do; so are another file and none."
    path = tmp_path / "SMsurf_2019_GLEAM_v3.8a.nc"
    path.write_bytes(b"\x0e\x03\x13\x01" + b"0" * 100)
    with pytest.raises(InputError, match="is HDF4, which is not read here; order it from AppEEARS as netCDF, or"):
        coarse_moisture.read(path)
    path.write_bytes(b"no netCDF")
    with pytest.raises(InputError, match="cannot be read as netCDF"):
        coarse_moisture.read(path)
    with pytest.raises(InputError, match="there is no such file; did you mean 'SMsurf_2019_GLEAM_v3.8a.nc'"):
        coarse_moisture.read(tmp_path / "SMsurf_2018_GLEAM_v3.8a.nc")


def test_a_calendar_or_a_day_twice_is_refused(tmp_path):
    "Days of 360-day years are none; the Julian days of AppEEARS are."
    planted = moisture(0.7, days=40)
    path = tmp_path / "SMsurf_2019.nc"
    numbers = planted.assign_coords(time=("time", np.arange(6940.0, 6980), {"units": "days since 2000-01-01 00:00:00",
                                                                           "calendar": "julian"}))
    numbers = numbers.rename(y="lat", x="lon").rename("SMsurf")
    numbers.to_dataset().to_netcdf(path, engine="h5netcdf")
    assert pd.Timestamp(coarse_moisture.read(path)["time"].values[0]) == pd.Timestamp("2019-01-01")
    numbers["time"].attrs["calendar"] = "360_day"
    numbers.to_dataset().to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="of the calendar '360_day'; 'days since 1970-01-01' of the standard"):
        coarse_moisture.read(path)
    with pytest.raises(InputError, match="holds 2019-01-05 twice"):
        coarse_moisture.read(put(tmp_path, planted.isel(time=[0, 1, 2, 3, 4, 4, 5])))


def test_swapped_layers_are_refused():
    "The surface forgets faster than the root zone; the other way round they are swapped."
    surface, root_zone = moisture(0.7), moisture(0.98, seed=1)
    quick, slow = coarse_moisture.check_layers(surface, root_zone)
    assert quick > 3 * slow
    with pytest.raises(InputError, match="look swapped: from day to day the root zone changes by"):
        coarse_moisture.check_layers(root_zone, surface)
    with pytest.raises(InputError, match="different grids"):
        coarse_moisture.check_layers(surface, root_zone.isel(y=slice(2)))
    assert np.isnan(coarse_moisture.check_layers(surface[:20], root_zone[:20])).all()
