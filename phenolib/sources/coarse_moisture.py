"""Daily soil moisture of two layers on 0.25°, as the files of GLEAM v3 hold it; and netCDF on latitude and longitude.

A file `SMsurf_<year>_GLEAM_v3.8a.nc` holds SMsurf, the moisture of 0–10 cm, a file `SMroot_…` that of the root zone
[m³ m⁻³], daily, −999 where missing (Martens et al. 2017, doi:10.5194/gmd-10-1903-2017). Version 4 lies on 0.1° and
names its layers SMs and SMrz: another product, which is refused.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import atomic

CELL = 0.25  # degrees
LAYERS = {"surface": "SMsurf", "root_zone": "SMroot"}
ABOUT = {"surface": "soil moisture of 0-10 cm", "root_zone": "soil moisture of the root zone, 0-100 cm"}
VERSION_4 = ("SMs", "SMrz")
MISSING = -999.0
CHUNK = 32  # days
SPREAD = 20  # cells a side, at most, that layers are compared on
HDF4 = b"\x0e\x03\x13\x01"
TIME = re.compile(r"(days|hours|minutes|seconds) since (\d{4}-\d\d?-\d\d?)(?:[ T](\d[\d:.]*))?.*")
CALENDARS = ("", "standard", "gregorian", "proleptic_gregorian", "julian")
NAMES = {"y": ("y", "lat", "latitude"), "x": ("x", "lon", "longitude"), "time": ("time",)}


def read(path, *, box=None, most_missing=0.1):
    """One layer of soil moisture in one file.

    path          netCDF named SMsurf_… or SMroot_… with that variable on time, lat and lon, in any order
    box           (west, south, east, north) [degrees]: only the cells whose middles lie in it; default all
    most_missing  share of the days between the first and the last that may be missing [-]
    returns       (time, y, x) DataArray float32 named "surface" or "root_zone" [m3 m-3] on every day from the first to
                  the last, y from north to south, x from −180 to 180. attrs: units, source, missing_dates (list of
                  str: days without a field, NaN) and remarks (list of str)
    raises        InputError for a file that cannot be read, HDF4, another variable than the name of the file tells,
                  GLEAM v4 or any other grid than 0.25°, a grid beside whole multiples of 0.25°, moisture in per cent
                  or negative, no value at all, a day twice, and more missing days than allowed
    """
    import rioxarray  # noqa: F401

    path = Path(path)
    with open_netcdf(path) as data:
        name = _variable(path, data)
        found = on_grid(path, times(path, data[name]))
        _grid(path, found)
        found = (found if box is None else inside(path, found, box)).load()
    layer = next(layer for layer, known in LAYERS.items() if known == name)
    values = found.values.astype(np.float32)
    values[values == np.float32(found.attrs.get("_FillValue", MISSING))] = np.nan
    _values(path, name, values)
    whole, gaps = _every_day(path, xr.DataArray(values, found.coords, found.dims), most_missing)
    remarks = [f"{path.name}: {len(gaps)} of {whole.sizes['time']} days are missing, {_days(gaps)}"] if gaps else []
    whole.attrs = {"units": "m3 m-3", "long_name": ABOUT[layer], "source": path.name, "missing_dates": gaps,
                   "remarks": remarks}
    return whole.rename(layer).rio.write_crs(4326)


def write(array, path, *, layer="", version="v3.8a"):
    """Write one layer of soil moisture as ``read`` reads it, atomically and the same bytes for the same values.

    array    (time, y, x) [m3 m-3], NaN where missing
    path     the file, named <SMsurf or SMroot>_<year>_GLEAM_<version>.nc
    layer    "surface" or "root_zone"; default the name of the array
    version  of the product, for the file's attributes
    raises   InputError for another layer, or coordinates that are missing
    """
    layer = layer or str(array.name)
    if layer not in LAYERS:
        raise InputError(f"{Path(path).name}: the layer '{layer}' is not known{near(layer, LAYERS)}")
    about = {"units": "m3.m-3", "long_name": ABOUT[layer], "standard_name": LAYERS[layer]}
    packed = {"dtype": "float32", "_FillValue": np.float32(MISSING)}
    write_netcdf({LAYERS[layer]: (array, about, packed)}, path, title=f"GLEAM {version}", version=version)


read_gleam, write_gleam = read, write


def check_layers(surface, root_zone):
    """Refuse layers that are swapped: the surface must change more from day to day than the root zone.

    Compared is the variance of the change from one day to the next over that of all days, the middle value over the
    cells, at most 20 × 20 of them; with fewer than 30 days nothing is said.

    surface    (time, y, x) [m3 m-3]
    root_zone  (time, y, x) [m3 m-3]
    returns    (surface, root zone) of that ratio, 0 to 4; NaN where too few days
    raises     InputError where the root zone changes more quickly, or the grids differ
    """
    for axis in ("y", "x"):
        if surface.sizes[axis] != root_zone.sizes[axis] or not np.allclose(surface[axis], root_zone[axis], atol=1e-6):
            raise InputError(f"the layers of soil moisture lie on different grids ({axis}: {surface.sizes[axis]} and "
                             f"{root_zone.sizes[axis]} cells); take both from one version and one region")
    ratios = tuple(_quickness(layer) for layer in (surface, root_zone))
    if ratios[1] > ratios[0]:
        raise InputError(f"the layers of soil moisture look swapped: from day to day the root zone changes by "
                         f"{ratios[1]:.3g} of its variance, the surface by {ratios[0]:.3g}; SMsurf is the surface, "
                         "SMroot the root zone, compare the files' names with what is in them")
    return ratios


# ---- netCDF on latitude and longitude

def open_netcdf(path):
    """A netCDF file without any scaling, lazily in parts of ``CHUNK`` days. raises InputError, for HDF4 too"""
    path = Path(path)
    if not path.is_file():
        beside = [p.name for p in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        raise InputError(f"{path.name}: there is no such file{near(path.name, beside)}")
    with open(path, "rb") as file:
        if file.read(4) == HDF4:
            raise InputError(f"{path.name}: is HDF4, which is not read here; order it from AppEEARS as netCDF, or "
                             "convert it with 'gdal_translate -of netCDF' on longitude and latitude")
    try:
        data = xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False, decode_times=False, decode_coords="all",
                               chunks={})
    except (OSError, ValueError, KeyError) as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(f"{path.name}: cannot be read as netCDF ({why}); it may be truncated, download it "
                         "again") from None
    return data.chunk({axis: CHUNK for axis in data.dims if axis == "time"})


def times(path, array):
    """The array with its numbers of time as dates; AppEEARS counts them in the Julian calendar from 2000 on, which is
    the same day by day. raises InputError for no time, or a unit that is not read"""
    if "time" not in array.dims:
        raise InputError(f"{path.name}: '{array.name}' has no dimension time, but {', '.join(map(str, array.dims))}; "
                         "daily fields are expected")
    attrs = array["time"].attrs
    told = TIME.fullmatch(str(attrs.get("units", "")))
    if told is None or str(attrs.get("calendar", "")).lower() not in CALENDARS:
        raise InputError(f"{path.name}: its time is in '{attrs.get('units', '')}' of the calendar "
                         f"'{attrs.get('calendar', '')}'; 'days since 1970-01-01' of the standard calendar is expected")
    start = pd.Timestamp(f"{told[2]} {told[3] or ''}".strip())
    found = (start + pd.to_timedelta(array["time"].values.astype(float), unit=told[1])).floor("D")
    if found.has_duplicates:
        raise InputError(f"{path.name}: holds {found[found.duplicated()][0]:%Y-%m-%d} twice; one field a day is "
                         "expected")
    days = xr.DataArray(found.values.astype("datetime64[ns]"), dims="time")
    return array.assign_coords(time=days).sortby("time")


def on_grid(path, array):
    """The array on (time, y, x): y from north to south, x from −180 to 180 degrees, middles of cells exact.

    raises   InputError for dimensions that are not latitude and longitude, or steps that differ
    """
    names = {n: axis for axis, known in NAMES.items() for n in array.dims if str(n).lower() in known}
    if sorted(names.values()) != ["time", "x", "y"] or len(array.dims) != 3:
        raise InputError(f"{path.name}: '{array.name}' lies on {', '.join(map(str, array.dims))}; time, lat and lon "
                         "are expected")
    array = array.rename({n: axis for n, axis in names.items() if n != axis}).transpose("time", "y", "x")
    for axis, most in (("y", 90.0), ("x", 360.0)):
        values = np.asarray(array[axis].values, float)
        if np.abs(values).max() > most:
            raise InputError(f"{path.name}: its {axis} reaches {np.abs(values).max():g}; latitude and longitude in "
                             "degrees are expected, bring it to EPSG:4326 first")
        if axis == "x":
            values = np.where(values > 180, values - 360, values)
        array = array.assign_coords({axis: values})
        order = np.argsort(values if axis == "x" else -values, kind="stable")
        array = array if (order == np.arange(order.size)).all() else array.isel({axis: order})
        array = array.assign_coords({axis: middles(path, axis, array[axis].values)})
    return array.drop_vars([name for name in array.coords if name not in ("time", "y", "x")])


def inside(path, array, box):
    """The cells of an array whose middles lie in a box. raises InputError where none does"""
    west, south, east, north = box
    found = array.sel(y=(array["y"] <= north) & (array["y"] >= south), x=(array["x"] >= west) & (array["x"] <= east))
    if 0 in found.shape:
        raise InputError(f"{path.name}: none of its cells lies in {west:g} to {east:g} °E, {south:g} to {north:g} °N; "
                         f"it holds {float(array['x'].min()):g} to {float(array['x'].max()):g} °E, "
                         f"{float(array['y'].min()):g} to {float(array['y'].max()):g} °N")
    return found


def touching(path, array, box):
    """The cells of an array that touch a box, (west, south, east, north) [degrees]; all where the box is None.

    raises   InputError where none does
    """
    if box is None:
        return array
    west, south, east, north = box
    tall, wide = (0.499 * abs(float(array[axis][1] - array[axis][0])) if array.sizes[axis] > 1 else 0
                  for axis in ("y", "x"))
    return inside(path, array, (west - wide, south - tall, east + wide, north + tall))


def write_netcdf(variables, path, **attrs):
    """Write fields on time, lat and lon, compressed, in parts of ``CHUNK`` days.

    variables  {name: (DataArray (time, y, x) as it is stored, its attributes, its encoding)}
    path       the file
    attrs      of the file
    """
    data = {}
    for name, (array, about, _) in variables.items():
        lacks = [axis for axis in ("time", "y", "x") if axis not in array.coords or axis not in array.dims]
        if lacks:
            raise InputError(f"{Path(path).name}: what is to be written as '{name}' has no coordinate '{lacks[0]}'; "
                             "time, y and x are needed")
        array = array.transpose("time", "y", "x")
        data[name] = ("time", "lat", "lon"), array.data, about
    places = {"time": np.asarray(array["time"].values, "datetime64[ns]"),
              "lat": ("lat", np.asarray(array["y"].values, float), {"units": "degrees_north"}),
              "lon": ("lon", np.asarray(array["x"].values, float), {"units": "degrees_east"})}
    encoding = {"time": {"units": "days since 1970-01-01", "dtype": "int32"}}
    for name, (one, _, packed) in variables.items():
        sizes = tuple(min(most, one.sizes[axis]) for axis, most in (("time", CHUNK), ("y", 512), ("x", 512)))
        encoding[name] = {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": sizes, **packed}
    with atomic(path) as part:
        xr.Dataset(data, places, {"Conventions": "CF-1.8", **attrs}).to_netcdf(part, engine="h5netcdf",
                                                                              encoding=encoding)


def middles(path, axis, values):
    """Middles of cells of an even grid, without what rounding to float32 did to them.

    raises   InputError where the steps differ by more than 2 %
    """
    if values.size < 2:
        return values
    steps = np.diff(values)
    step = float(np.median(np.abs(steps)))
    if np.abs(np.abs(steps) - step).max() > 0.02 * step:
        raise InputError(f"{path.name}: its {axis} has steps from {np.abs(steps).min():g} to {np.abs(steps).max():g} "
                         "degrees; an even grid is expected")
    parts = round(1 / step)  # all cells here are whole parts of a degree: 4, 10, 20, 120
    if parts and abs(parts * step - 1) < 1e-3:
        exact = (2 * np.round(values * parts - 0.5) + 1) / (2 * parts)
        if np.abs(exact - values).max() < 0.02 * step:
            return exact
    return values


def _variable(path, data):
    """Which of the two variables a file holds, and that its name agrees."""
    names = [str(n) for n in data.data_vars]
    if set(VERSION_4) & set(names):
        raise InputError(f"{path.name}: holds {'/'.join(n for n in VERSION_4 if n in names)}, the name of GLEAM v4 on "
                         "0.1°, another product; version 3 with SMsurf and SMroot on 0.25° is expected")
    held = [n for n in LAYERS.values() if n in names]
    if not held:
        raise InputError(f"{path.name}: has no variable SMsurf or SMroot{near('SMsurf', names)}")
    told = [n for n in LAYERS.values() if n.lower() in path.name.lower()]
    if len(told) == 1 and told[0] not in held or not told and len(held) > 1:
        raise InputError(f"{path.name}: holds {' and '.join(held)}, "
                         f"{'but is named ' + told[0] if told else 'and its name tells not which'}; name it after what "
                         "is in it")
    return told[0] if len(told) == 1 else held[0]


def _grid(path, array):
    for axis in ("y", "x"):
        values = array[axis].values
        if values.size < 2:
            raise InputError(f"{path.name}: has {values.size} cell along {axis}; two or more are needed to know its "
                             "grid")
        step = float(np.abs(np.diff(values)).mean())
        if abs(step - CELL) > 0.01 * CELL:
            which = "GLEAM v4" if abs(step - 0.1) < 0.005 else "another product"
            raise InputError(f"{path.name}: lies on {step:.4g}°, this is {which}; version 3 on {CELL:g}° is expected, "
                             "average it to that grid, or take the file of version 3")
        off = float(np.abs(np.mod(values / CELL, 1) - 0.5).max()) * CELL
        if off > 0.02 * CELL:
            raise InputError(f"{path.name}: its {axis} begins at {values[0]:g}, {off:.3g}° beside the middles of cells "
                             f"of {CELL:g}°; the grid is shifted, middles such as "
                             f"{(np.floor(values[0] / CELL) + 0.5) * CELL:g} are expected")


def _values(path, name, values):
    if not np.isfinite(values).any():
        raise InputError(f"{path.name}: {name} has no value at all; download it again, or choose another region")
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if high > 1:
        raise InputError(f"{path.name}: {name} reaches {high:g}; it looks like per cent, m³ m⁻³ from 0 to 1 is "
                         "expected, divide by 100")
    if low < 0:
        raise InputError(f"{path.name}: {name} goes down to {low:g}; m³ m⁻³ from 0 to 1 is expected, name the value "
                         "that stands for missing as _FillValue")


def _every_day(path, array, most_missing):
    """The array on all days, and those that were not there or hold no value."""
    days = pd.date_range(array["time"].values[0], array["time"].values[-1], freq="D", unit="ns")
    empty = array["time"].values[~np.isfinite(array.values).any(axis=(1, 2))]
    gaps = days.difference(pd.DatetimeIndex(array["time"].values)).union(pd.DatetimeIndex(empty))
    if len(gaps) > most_missing * len(days):
        raise InputError(f"{path.name}: {len(gaps)} of {len(days)} days are missing, the first {gaps[0]:%Y-%m-%d}; "
                         f"daily fields are expected, download it again or allow more than {most_missing:.0%} with "
                         "most_missing")
    whole = array if len(days) == array.sizes["time"] else array.reindex(time=days)
    return whole, gaps.strftime("%Y-%m-%d").tolist()


def _days(gaps):
    return ", ".join(gaps[:3]) + (f" and {len(gaps) - 3} more" if len(gaps) > 3 else "")


def _quickness(layer):
    """Variance of the change from day to day over that of all days: the middle value of the cells."""
    if layer.sizes["time"] < 30:
        return np.nan
    some = {axis: slice(None, None, -(-layer.sizes[axis] // SPREAD)) for axis in ("y", "x")}
    values = layer.isel(some).transpose("time", "y", "x").values.astype(float).reshape(layer.sizes["time"], -1)
    values = values[:, np.isfinite(values).mean(axis=0) > 0.5]
    if not values.shape[1]:
        return np.nan
    spread = np.nanvar(values, axis=0)
    ratio = np.nanvar(np.diff(values, axis=0), axis=0)[spread > 0] / spread[spread > 0]
    return float(np.median(ratio)) if ratio.size else np.nan
