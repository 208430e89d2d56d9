"""Images of a region: MODIS temperature and NDVI at 1 km, GLASS at 0.05°, and rain at 0.1°, on latitude and longitude.

MODIS as AppEEARS hands it out: netCDF with `LST_Day_1km` and `LST_Night_1km` (MOD11A1, 0.02 K, 0 where missing) or
`_1_km_16_days_NDVI` (MOD13A2, 0.0001, −3000 where missing) on time, lat and lon, or one GeoTIFF a date and layer
(`MOD11A1.061_LST_Day_1km_doy2019001….tif`). GLASS as netCDF with `LST_Day`, `LST_Night` (0.01 K) and `NDVI`
(0.0001; Liang et al. 2021, doi:10.1175/BAMS-D-18-0341.1; names and scales from memory). Rain as the daily files of
IMERG, `precipitation` [mm/day] (Huffman et al. 2020, doi:10.1007/978-3-030-24568-9_19).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources.coarse_moisture import on_grid, open_netcdf, times, touching, write_netcdf

ZERO = 273.15  # K
KELVIN = (200.0, 350.0)  # that a surface of the land can have
CELSIUS = (-75.0, 80.0)
UNITS = {"k": "K", "kelvin": "K", "c": "degC", "degc": "degC", "°c": "degC", "celsius": "degC",
         "degrees_celsius": "degC"}
NDVI = (-0.3, 1.0)
DULL = 0.12  # a region whose NDVI stays below at all dates is divided once too often
LOOKED = 4, 3  # times in a file, and dates each time, whose values are looked at
GOOD = (0, 1)  # bits 0-1 of the quality: made, good or of other quality
MOST_RAIN = 2000.0  # mm a day
PER_DAY = {"mm/day": 1.0, "mm/d": 1.0, "mm d-1": 1.0, "mm day-1": 1.0, "mm": 1.0, "mm/hr": 24.0, "mm/h": 24.0,
           "mm hr-1": 24.0, "mm h-1": 24.0, "kg m-2 s-1": 86400.0, "m": 1000.0}
RAIN = ("precipitation", "precipitationCal", "precip", "tp")
DOY = re.compile(r"(?P<layer>.+?)_doy(?P<date>\d{7})\d*(_aid\d+)?\.tif", re.IGNORECASE)


@dataclass(frozen=True)
class Layer:
    """A layer of a product: its name in a file, the name of its quality, how its numbers become values."""

    name: str
    quality: str = ""
    scale: float = 1.0
    fill: float = 0.0
    dtype: str = "uint16"
    range: tuple = KELVIN
    text: str = ""


MODIS = {
    "lst_day": Layer("LST_Day_1km", "QC_Day", 0.02, 0, text="Daily daytime 1km grid Land-surface Temperature"),
    "lst_night": Layer("LST_Night_1km", "QC_Night", 0.02, 0,
                       text="Daily nighttime 1km grid Land-surface Temperature"),
    "ndvi": Layer("_1_km_16_days_NDVI", "_1_km_16_days_VI_Quality", 1e-4, -3000, "int16", NDVI,
                  "1 km 16 days NDVI"),
}
GLASS = {
    "lst_day": Layer("LST_Day", "", 0.01, 0, text="land surface temperature by day"),
    "lst_night": Layer("LST_Night", "", 0.01, 0, text="land surface temperature by night"),
    "ndvi": Layer("NDVI", "", 1e-4, -3000, "int16", NDVI, "normalised difference vegetation index"),
}
LONG = {"lst_day": "temperature of the land surface by day", "lst_night": "temperature of the land surface by night",
        "ndvi": "NDVI"}


def read_modis(path, what, *, box=None):
    """MODIS temperature or NDVI of a region, see ``read_glass``.

    path     netCDF of AppEEARS; a folder of its GeoTIFFs, or one of them
    what     "lst_day", "lst_night" or "ndvi"
    box      (west, south, east, north) [degrees]: only the cells that touch it; default all
    returns  (time, y, x) DataArray float32 named ``what`` [degC] or [1], NaN where missing or, with a layer of quality
             in the file or beside the GeoTIFF, where bits 0–1 tell that nothing was made (only 00 and 01 are kept).
             Read when it is computed. attrs: units, source, quality (name of that layer or ""), scale_factor
    raises   InputError as ``read_glass``
    """
    path = Path(path)
    _known(what, MODIS)
    if path.is_dir() or path.suffix.lower() in (".tif", ".tiff"):
        return _of_rasters(path, what, box)
    return _of_netcdf(path, what, MODIS, box)


def read_glass(path, what, *, box=None):
    """GLASS temperature or NDVI of a region.

    path     netCDF
    what     "lst_day", "lst_night" or "ndvi"
    box      (west, south, east, north) [degrees]: only the cells that touch it; default all
    returns  (time, y, x) DataArray float32 named ``what`` [degC] or [1], NaN where missing, read when it is computed;
             attrs: units, source, quality, scale_factor
    raises   InputError for HDF4, a file without the layer, other axes than time, latitude and longitude, a unit that
             is not known, and values that cannot be: after their scale factor temperatures outside 200 to 350 K, NDVI
             outside −0.3 to 1 or nowhere above 0.12. Looked at are the values of twelve dates
    """
    _known(what, GLASS)
    return _of_netcdf(Path(path), what, GLASS, box)


def read_rain(path, *, box=None):
    """Daily rain of a region.

    path     netCDF with precipitation; mm per hour, and kg m⁻² s⁻¹, become mm per day
    box      (west, south, east, north) [degrees]: only the cells that touch it; default all
    returns  (time, y, x) DataArray float32 named "rain" [mm d-1], NaN where missing, read when it is computed
    raises   InputError for a file without precipitation, a unit that is not known, and for negative rain or more than
             2000 mm a day at one of the twelve dates looked at
    """
    path = Path(path)
    data = open_netcdf(path)
    name = next((n for n in RAIN if n in data), None)
    if name is None:
        raise InputError(f"{path.name}: has no variable 'precipitation'{near('precipitation', data.data_vars)}")
    units = " ".join(str(data[name].attrs.get("units", "")).split())
    if units not in PER_DAY:
        raise InputError(f"{path.name}: {name} has the unit '{units}'; mm/day or mm/hr is expected, name it in the "
                         "attribute units")
    array = touching(path, on_grid(path, times(path, data[name])), box)
    values = _scaled(array, float(array.attrs.get("scale_factor", 1)) * PER_DAY[units],
                     float(array.attrs.get("add_offset", 0)) * PER_DAY[units])
    low, high = _extremes(values)
    if low < 0:
        raise InputError(f"{path.name}: {name} goes down to {low:g} {units}; rain is 0 or more, name the value that "
                         "stands for missing as _FillValue")
    if high > MOST_RAIN:
        raise InputError(f"{path.name}: {name} reaches {high:g} mm a day as '{units}'; at most {MOST_RAIN:g} is "
                         "expected, correct the attribute units")
    return _named(values, "rain", {"units": "mm d-1", "long_name": "rain", "source": path.name})


def write_modis(layers, path):
    """Write temperature or NDVI as AppEEARS hands out MOD11A1 or MOD13A2, atomically, the same bytes for the same
    values.

    layers   {"lst_day": (time, y, x) [degC], "lst_night": …} or {"ndvi": (time, y, x) [-]}, NaN where missing
    path     the file
    raises   InputError for another layer, missing coordinates, or values that cannot be
    """
    _write(layers, path, MODIS, "MOD13A2.061" if "ndvi" in layers else "MOD11A1.061")


def write_glass(layers, path):
    """Write temperature or NDVI as ``read_glass`` reads it; arguments as ``write_modis``."""
    _write(layers, path, GLASS, "GLASS")


def write_rain(array, path):
    """Write daily rain as ``read_rain`` reads it.

    array    (time, y, x) [mm d-1], 0 or more, NaN where missing
    path     the file
    raises   InputError for negative rain or missing coordinates
    """
    if float(array.min()) < 0:
        raise InputError(f"{Path(path).name}: rain goes down to {float(array.min()):g} mm a day; 0 or more is expected")
    about = {"units": "mm/day", "long_name": "Daily mean precipitation rate"}
    packed = {"dtype": "float32", "_FillValue": np.float32(-9999.9)}
    rounded = array.copy(data=np.round(array.values.astype(np.float32), 2))  # IMERG tells 0.01 mm
    write_netcdf({"precipitation": (rounded, about, packed)}, path, title="IMERG, daily")


# ---- reading

def _of_netcdf(path, what, product, box):
    layer, data = product[what], open_netcdf(path)
    if layer.name not in data:
        raise InputError(f"{path.name}: has no layer '{layer.name}'{near(layer.name, data.data_vars)}")
    array = touching(path, on_grid(path, times(path, data[layer.name])), box)
    quality = None
    if layer.quality and layer.quality in data:
        quality = touching(path, on_grid(path, times(path, data[layer.quality])), box)
    return _values(path.name, what, layer, array, quality)


def _of_rasters(path, what, box):
    """One GeoTIFF a date of a folder, or one alone."""
    layer, label = MODIS[what], path.name
    folder = path if path.is_dir() else path.parent
    files, qualities = (_dated(folder, name) if name else {} for name in (layer.name, layer.quality))
    if not path.is_dir():
        files = {date: file for date, file in files.items() if file == path}
    if not files:
        there = sorted({found["layer"] for p in folder.glob("*.tif") if (found := DOY.fullmatch(p.name))})
        raise InputError(f"{label}: holds no GeoTIFF named like MOD11A1.061_{layer.name}_doy2019001_aid0001.tif"
                         f"{near(layer.name, there)}")
    array = touching(path, _stack(files), box)
    quality = None
    if qualities:
        lacks = next((date for date in files if date not in qualities), None)
        if lacks is not None:
            raise InputError(f"{label}: the quality of {lacks:%Y-%m-%d} is missing, though other dates have theirs; "
                             f"add the file of {layer.quality}, or remove them all")
        quality = touching(path, _stack({date: qualities[date] for date in files}), box)
    return _values(label, what, layer, array, quality)


def _dated(folder, name):
    """Dates and files of a layer in a folder, sorted."""
    found = {}
    for path in sorted(folder.glob("*.tif")):
        told = DOY.fullmatch(path.name)
        if told and told["layer"].endswith(name):
            date = pd.to_datetime(told["date"], format="%Y%j")
            if date in found:
                raise InputError(f"{path.name} and {found[date].name}: both hold {name} of {date:%Y-%m-%d}; keep one "
                                 "of them")
            found[date] = path
    return dict(sorted(found.items()))


def _stack(files):
    import rasterio
    import rioxarray

    found, first = [], None
    for path in files.values():
        try:
            raster = rioxarray.open_rasterio(path, chunks={})
        except rasterio.errors.RasterioIOError as error:
            raise InputError(f"{path.name}: cannot be read as a raster ({error}); download it again") from None
        if raster.rio.crs is None or not raster.rio.crs.is_geographic:
            raise InputError(f"{path.name}: does not lie on longitude and latitude; bring it to EPSG:4326 first")
        one = raster.isel(band=0, drop=True).drop_vars("spatial_ref")
        first = one if first is None else first
        if one.shape != first.shape or not (np.allclose(one["x"], first["x"]) and np.allclose(one["y"], first["y"])):
            raise InputError(f"{path.name}: lies on another grid than {next(iter(files.values())).name}; take all from "
                             "one order")
        found.append(one.assign_coords(x=first["x"], y=first["y"]))
    time = xr.DataArray(np.array(list(files), "datetime64[ns]"), dims="time", name="time")
    whole = xr.concat(found, time, combine_attrs="override").rename("raster")
    return on_grid(next(iter(files.values())), whole)


def _values(label, what, layer, array, quality):
    """Numbers of a file as °C or NDVI, checked at some dates."""
    attrs = array.attrs
    units = str(attrs.get("units", "")).strip().lower()
    integer = np.issubdtype(array.dtype, np.integer)
    scale = float(attrs.get("scale_factor", layer.scale if integer else 1.0))
    if integer and scale == 1.0:  # GeoTIFFs whose scale is told nowhere
        scale = layer.scale
    if integer and "_FillValue" not in attrs and "missing_value" not in attrs:
        array = array.assign_attrs(_FillValue=layer.fill)
    values = _scaled(array, scale, float(attrs.get("add_offset", 0)))
    if quality is not None:
        values = values.where((quality.astype("int64") & 3).isin(GOOD))
    low, high = _extremes(values)
    if not np.isfinite(low):
        return _finish(values, what, label, layer, quality, scale)
    told = f"{label}: {layer.name} holds {low:.4g} to {high:.4g} after its scale factor {scale:g}"
    if what == "ndvi":
        if low < NDVI[0] or high > NDVI[1] + 0.005:
            raise InputError(f"{told}; NDVI lies in {NDVI[0]:g} to {NDVI[1]:g}, the factor of this product is "
                             f"{layer.scale:g}")
        if high < DULL and scale != layer.scale:
            raise InputError(f"{told}, nowhere green; the factor of this product is {layer.scale:g}")
        return _finish(values, what, label, layer, quality, scale)
    inside = {"K": KELVIN[0] <= low and high <= KELVIN[1], "degC": CELSIUS[0] <= low and high <= CELSIUS[1]}
    unit = UNITS.get(units) or next((name for name, fits in inside.items() if fits), "K")
    if not inside[unit]:
        limits = KELVIN if unit == "K" else CELSIUS
        raise InputError(f"{told}; {limits[0]:g} to {limits[1]:g} {unit} is expected, the factor of this product is "
                         f"{layer.scale:g}")
    values = values - np.float32(ZERO) if unit == "K" else values
    return _finish(values, what, label, layer, quality, scale)


def _finish(values, what, label, layer, quality, scale):
    about = {"units": "1" if what == "ndvi" else "degC", "long_name": LONG[what], "source": label,
             "quality": layer.quality if quality is not None else "", "scale_factor": scale}
    return _named(values, what, about)


def _named(values, name, about):
    import rioxarray  # noqa: F401

    return values.rename(name).assign_attrs(about).rio.write_crs(4326)


def _scaled(array, scale, offset):
    """Values without what stands for missing, times the factor plus the offset."""
    fill = array.attrs.get("_FillValue", array.attrs.get("missing_value"))
    values = array.astype("float32")
    for one in np.atleast_1d([] if fill is None else fill):
        values = values.where(values != np.float32(one))
    return (values * np.float32(scale) + np.float32(offset)).drop_attrs().astype("float32")


def _extremes(values):
    """Smallest and largest value at some dates, few parts of the file; NaN where there is none."""
    times, dates = LOOKED
    begin = np.linspace(0, max(values.sizes["time"] - dates, 0), times).round().astype(int)
    steps = np.unique(np.clip(begin[:, None] + np.arange(dates), 0, values.sizes["time"] - 1))
    part = values.isel(time=steps).values
    part = part[np.isfinite(part)]
    return (float(part.min()), float(part.max())) if part.size else (np.nan, np.nan)


def _known(what, product):
    if what not in product:
        raise InputError(f"the images '{what}' are not known{near(what, product)}")


def _write(layers, path, product, title):
    path = Path(path)
    if not layers:
        raise InputError(f"{path.name}: there is no layer to write; give {' or '.join(product)}")
    made = {}
    for what, array in layers.items():
        _known(what, product)
        layer = product[what]
        values = array.values.astype(np.float64) + (0 if what == "ndvi" else ZERO)
        low, high = (float(f(values)) for f in (np.nanmin, np.nanmax)) if np.isfinite(values).any() else (np.nan,) * 2
        if low < layer.range[0] or high > layer.range[1]:
            raise InputError(f"{path.name}: '{what}' reaches from {low:.4g} to {high:.4g}; "
                             f"{layer.range[0]:g} to {layer.range[1]:g} {'K' if what != 'ndvi' else ''} is expected")
        numbers = np.where(np.isfinite(values), np.round(values / layer.scale), layer.fill).astype(layer.dtype)
        about = {"units": "NDVI" if what == "ndvi" else "Kelvin", "long_name": layer.text,
                 "scale_factor": layer.scale, "add_offset": 0.0}
        made[layer.name] = (array.copy(data=numbers), about, {"dtype": layer.dtype, "_FillValue": np.dtype(
            layer.dtype).type(layer.fill)})
    write_netcdf(made, path, title=title)
