"""Patches of Sentinel-1 and Sentinel-2 around one place, as training data sets hand them out: netCDF or GeoTIFF.

The netCDF layout is that of the WorldCereal extractions: one file per place and product, named
``<product>_<resolution>m_<place>_<EPSG>_<from>_<to>.nc``, with the dimensions ``timestamp y x``. Reflectance is stored
as whole numbers of 1/10000 with 0 for missing, backscatter in dB as whole numbers of 1/10000 with 0 for missing, the
scene classification (SCL) as small whole numbers. ``read_patch`` gives reflectance from 0 to 1 and backscatter in
linear power, NaN where missing; ``write_patch`` writes the same layout.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import atomic

NAME = re.compile(r"(?P<product>.+)_(?P<resolution>\d+)m_(?P<place>[^_]+)_(?P<epsg>\d{4,5})_"
                  r"(?P<first>\d{4}-\d\d-\d\d)_(?P<last>\d{4}-\d\d-\d\d)\.nc")
SCALE = 1e-4
WAVELENGTHS = {"B01": 442.7, "B02": 492.4, "B03": 559.8, "B04": 664.6, "B05": 704.1, "B06": 740.5, "B07": 782.8,
               "B08": 832.8, "B8A": 864.7, "B09": 945.1, "B11": 1613.7, "B12": 2202.4}  # of Sentinel-2A [nm]
BANDS = tuple(WAVELENGTHS)
ANGLES = {"sunZenithAngles": ("sun_zenith", "zenith angle of the sun"),
          "sunAzimuthAngles": ("sun_azimuth", "azimuth of the sun, clockwise from north"),
          "viewZenithMean": ("view_zenith", "zenith angle of the sensor"),
          "viewAzimuthMean": ("view_azimuth", "azimuth of the sensor, clockwise from north")}
WEATHER = {  # column: name, factor, offset, units, meaning
    "temperature_mean": ("t_mean", 1, -273.15, "degC", "mean air temperature"),
    "temperature_min": ("t_min", 1, -273.15, "degC", "lowest air temperature"),
    "temperature_max": ("t_max", 1, -273.15, "degC", "highest air temperature"),
    "dewpoint_temperature": ("t_dew", 1, -273.15, "degC", "dew point"),
    "precipitation_flux": ("rain", 1, 0, "mm d-1", "precipitation"),
    "solar_radiation_flux": ("radiation", 1e-6, 0, "MJ m-2 d-1", "global radiation"),
    "vapour_pressure": ("vapour_pressure", 0.1, 0, "kPa", "vapour pressure"),
    "wind_speed": ("wind", 1, 0, "m s-1", "wind speed at 10 m"),
}
FILE_UNITS = {"degC": "K", "MJ m-2 d-1": "J m-2 d-1", "kPa": "hPa"}  # units of weather in files, where they are others
MAPS = {"CT": ("crop", "crop type, code of the data set; 0: not labelled"),
        "LC": ("land_cover", "land cover, code of the data set; 0: not labelled"),
        "IRR": ("irrigation", "irrigation, code of the data set; 0: not labelled")}
LAND = (4, 5, 6, 7)  # SCL: vegetation, bare, water, unclassified
CLEAR = (*LAND, 11)  # and snow
SPACE = "y", "x"
CROPS = {1110: "winter wheat", 1120: "spring wheat", 1200: "maize", 1300: "rice", 1500: "barley", 1510: "winter barley",
         2230: "tomato", 4100: "soybean", 5100: "potato", 7100: "beans", 8100: "sugar beet", 9100: "fodder crops",
         9120: "permanent grass", 9211: "cotton"}  # codes of crop types in the WorldCereal legend: some of them
MONTHLY = ("VV", "VH", *(f"B{k}" for k in (*range(1, 9), "8A", *range(9, 13))), "temperature_2m", "total_precipitation")


def read_patch(path, *, start=None):
    """One patch: Sentinel-2 or Sentinel-1 at all its dates, a crop map, or the weather of the place.

    path     netCDF named as the module says, or a GeoTIFF of twelve months with the bands VV VH B1 … B12 of each
    start    first month of a GeoTIFF, e.g. '2019-02'; the file does not tell it
    returns  Dataset, by what the file holds:
             (time, y, x) B02 … B12 reflectance 0–1 float32, scl uint8 (0: missing), sun_zenith … (time) [degree];
             (time, y, x) vv, vh backscatter, linear power float32; (y, x) crop, land_cover, irrigation, int;
             (time) t_mean, t_min, t_max, t_dew [degC], rain [mm d-1], radiation [MJ m-2 d-1], vapour_pressure [kPa],
             wind [m s-1]. x, y are the centres of the pixels [m], with spatial_ref; attrs: place, product, resolution
             [m], tile, until (last day of the file's name), source. NaN where missing; times in order.
    raises   InputError for a missing, unreadable or half-written file, an unknown layout, or values that cannot be
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() in (".tif", ".tiff"):
        return _read_monthly(path, start)
    parts = NAME.fullmatch(path.name)
    if not parts:
        raise InputError(f"{path.name}: the name is not <product>_<resolution>m_<place>_<EPSG>_<from>_<to>.nc")
    try:
        with xr.open_dataset(path, mask_and_scale=False, engine="h5netcdf") as file:
            raw = file.load()
    except (OSError, ValueError, KeyError) as e:
        raise InputError(f"{path.name}: cannot be read as netCDF ({e}); fetch it again") from None
    if "timestamp" in raw.dims:
        raw = raw.rename(timestamp="time").sortby("time")
        if raw.indexes["time"].has_duplicates:
            twice = raw.indexes["time"][raw.indexes["time"].duplicated()][0]
            raise InputError(f"{path.name}: the time {twice} stands twice; leave one of them out")
    known = [v for v in raw.data_vars if v in BANDS or v in ("VV", "VH", "SCL", *ANGLES, *WEATHER, *MAPS)]
    calendar = [v for v in raw.data_vars if re.fullmatch(r"\w\w_[ES]OS", v)]
    if not known and not calendar:
        raise InputError(f"{path.name}: no band, map or weather in it; there are {', '.join(map(str, raw.data_vars))}")
    result = xr.Dataset({name: values for v in known for name, values in [_variable(path, v, raw[v])]},
                        attrs={"place": parts["place"], "product": parts["product"],
                               "resolution": int(parts["resolution"]), "tile": str(raw.attrs.get("tile", "")),
                               "until": parts["last"], "source": path.name})
    for v in calendar:  # days of the year
        result[v.lower()] = raw[v].drop_attrs().squeeze(drop=True).assign_attrs(long_name=f"{v}, day of the year")
    if all(d in raw.dims for d in SPACE) and raw.sizes["y"] > 1:
        result = with_crs(result, int(parts["epsg"]))
        for axis, name in (("x", "easting"), ("y", "northing")):
            result[axis].attrs = {"units": "m", "long_name": name}
    return result


def _variable(path, name, raw):
    """(name, values) of one variable of a file in the units of the data model."""
    if name in WEATHER:
        new, factor, offset, units, text = WEATHER[name]
        values = raw.squeeze([d for d in SPACE if d in raw.dims], drop=True).astype(float)
        values = values.where(values != raw.attrs.get("_FillValue", -9999)) * factor + offset
        return new, values.drop_vars("spatial_ref", errors="ignore").assign_attrs(units=units, long_name=text)
    if name in MAPS:
        new, text = MAPS[name]
        return new, raw.astype(np.int32).drop_attrs().assign_attrs(long_name=text)
    if name in ANGLES:
        new, text = ANGLES[name]
        return new, raw.astype(np.float32).drop_attrs().assign_attrs(units="degree", long_name=text)
    if name == "SCL":
        whole = np.where(np.isfinite(raw), raw, 0)
        if whole.min() < 0 or whole.max() > 11:
            raise InputError(f"{path.name}: SCL holds {whole.max():g}; classes are 0 to 11")
        values = raw.copy(data=whole.astype(np.uint8)).drop_attrs()
        return "scl", values.assign_attrs(long_name="scene classification of Sen2Cor; 0: missing")
    scale = float(raw.attrs.get("scale_factor", SCALE))
    values = raw.astype(np.float32) * np.float32(scale)
    values = values.where(raw != 0).drop_attrs()
    if name in ("VV", "VH"):
        middle = float(values.median())
        if not -45 < middle < 15:
            raise InputError(f"{path.name}: {name} has the median {middle:g}; dB, stored as whole numbers of "
                             f"{scale:g}, lie between -45 and 15")
        values = 10 ** (values / 10)
        return name.lower(), values.assign_attrs(units="1", long_name=f"backscatter {name}, linear power")
    middle = float(values.median())
    if middle > 1.6:
        raise InputError(f"{path.name}: {name} has the median {middle:g}; reflectance lies between 0 and 1")
    return name, values.assign_attrs(units="1", long_name=f"reflectance {name}", wavelength=WAVELENGTHS[name])


def _read_monthly(path, start):
    """A GeoTIFF of months; see ``read_patch``."""
    import rioxarray

    if start is None:
        raise InputError(f"{path.name}: the file does not tell its months; give the first one, start='YYYY-MM'")
    try:
        raw = rioxarray.open_rasterio(path, band_as_variable=False).load()
    except Exception as e:  # rasterio's own errors share no base
        raise InputError(f"{path.name}: cannot be read as GeoTIFF ({e}); fetch it again") from None
    names = [str(n) for n in raw.attrs.get("long_name", ())]
    months = sum(re.fullmatch(r"VV(_\d+)?", n) is not None for n in names)
    if not months or len(names) < months * len(MONTHLY):
        raise InputError(f"{path.name}: the bands are not VV VH B1 … B12 for each month")
    time = pd.date_range(start, periods=months, freq="MS")
    result = {}
    for k, name in enumerate(MONTHLY):
        part = raw.isel(band=[m * len(MONTHLY) + k for m in range(months)]).rename(band="time").assign_coords(time=time)
        part = part.astype(np.float32).drop_attrs()
        if name in ("VV", "VH"):
            result[name.lower()] = 10 ** (part / 10)
            result[name.lower()].attrs = {"units": "1", "long_name": f"backscatter {name}, linear power"}
        elif (band := f"B{name[1:]:0>2}") in BANDS:
            part = (part * SCALE).where(part > 0)
            result[band] = part.assign_attrs(units="1", long_name=f"reflectance {band}", wavelength=WAVELENGTHS[band])
        elif name == "temperature_2m":
            result["t_mean"] = part.mean(SPACE).assign_attrs(units="K", long_name="mean air temperature") - 273.15
        elif name == "total_precipitation":
            result["rain"] = (1000 * part.mean(SPACE)).assign_attrs(units="mm d-1", long_name="precipitation")
    result["t_mean"].attrs = {"units": "degC", "long_name": "mean air temperature"}
    found = xr.Dataset(result, attrs={"place": path.stem, "product": "monthly", "source": path.name})
    return with_crs(found, raw.rio.crs.to_wkt())


def with_crs(bands, crs):
    """The bands with their coordinate reference system (EPSG code or WKT) as the coordinate spatial_ref, after CF."""
    import pyproj

    known = pyproj.CRS.from_user_input(crs)
    wkt = known.to_wkt()
    return bands.drop_vars("spatial_ref", errors="ignore").assign_coords(
        spatial_ref=xr.Variable((), 0, {**known.to_cf(), "spatial_ref": wkt}))


def epsg_of(bands):
    """EPSG code of bands; InputError if they do not tell it."""
    import pyproj

    wkt = bands["spatial_ref"].attrs.get("crs_wkt") if "spatial_ref" in bands.coords else None
    code = pyproj.CRS.from_wkt(wkt).to_epsg() if wkt else None
    if code is None:
        raise InputError("the bands do not tell their coordinate reference system; see sources.sentinel.with_crs")
    return code


def places(folder):
    """The places that a folder has patches of, each with its files: DataFrame place, product, resolution, path."""
    rows = [{**m.groupdict(), "path": p} for p in sorted(Path(folder).glob("*.nc")) if (m := NAME.fullmatch(p.name))]
    return pd.DataFrame(rows, columns=["place", "product", "resolution", "path"]).astype({"resolution": float})


def read_place(folder, place):
    """All patches of one place.

    folder   of the files
    place    as ``places`` names it
    returns  dict with those that there are of: ``optical`` (bands of 10 m, and those of 20 m by their nearest pixel;
             scl), ``optical_20`` (bands of 20 m as they are, and scl), ``radar`` (vv, vh), ``crops`` (crop) and
             ``weather``; Datasets as ``read_patch`` gives them
    raises   InputError for a place without files
    """
    files = places(folder)
    files = files[files["place"] == place]
    if files.empty:
        raise InputError(f"{folder}: there are no patches of the place {place}")
    found = {}
    for path in files["path"]:
        patch = read_patch(path)
        kinds = {"vv": "radar", "crop": "crops", "rain": "weather", "B04": "optical", "B11": "optical_20"}
        for variable, kind in kinds.items():
            if variable in patch:
                found[kind] = patch
    if "optical" in found and "optical_20" in found:
        fine, coarse = found["optical"], found["optical_20"]
        coarse = coarse.reindex(x=fine["x"], y=fine["y"], method="nearest").reindex(time=fine["time"])
        coarse["scl"] = coarse["scl"].fillna(0).astype(np.uint8)
        found["optical"] = fine.merge(coarse.drop_vars(["spatial_ref"], errors="ignore"), combine_attrs="override")
    return found


def clear(optical, keep=CLEAR):
    """The bands where the scene classification says that the ground was seen; elsewhere NaN.

    optical  (time, y, x) Dataset with scl
    keep     classes that are kept
    returns  Dataset of the bands; the attribute ``clear_share`` tells how much of what was there is left [-]
    raises   InputError if there is no scl
    """
    if "scl" not in optical:
        raise InputError("there is no scene classification (scl) among the bands; nothing tells what is cloud")
    bands = [b for b in optical.data_vars if b in BANDS]
    seen = optical["scl"].isin(keep)
    result = optical[bands].where(seen)
    there = optical[bands[0]].notnull()
    result.attrs["clear_share"] = float((there & seen).sum() / max(int(there.sum()), 1))
    return result


def interior(labels, reach=1):
    """Pixels all of whose neighbours within ``reach`` pixels have the same label; (y, x) bool."""
    from scipy.ndimage import maximum_filter, minimum_filter

    values = labels.transpose(*SPACE).values
    size = 2 * int(reach) + 1
    high, low = (f(values, size, mode="nearest") for f in (maximum_filter, minimum_filter))
    alike = high == low
    edge = np.ones_like(alike)
    edge[reach:-reach or None, reach:-reach or None] = False
    return labels.transpose(*SPACE).copy(data=alike & ~edge)


def pixels(series, mask):
    """The series of the pixels of a mask, (pixel, time), in rows from the north; without coordinates of place."""
    flat = series.transpose("time", *SPACE).values[:, mask.transpose(*SPACE).values]
    return xr.DataArray(flat.T, {"time": series["time"]}, ("pixel", "time"), series.name, series.attrs)


def on_coarse(labels, coarse):
    """Labels of fine pixels on coarse ones, where all the fine ones in it agree, else 0: (y, x) as ``coarse``."""
    step = abs(float(coarse["x"][1] - coarse["x"][0])) / abs(float(labels["x"][1] - labels["x"][0]))
    if abs(step - round(step)) > 1e-6:
        raise InputError(f"the coarse pixels are {step:g} times as wide as the fine ones; a whole number is needed")
    blocks = labels.transpose(*SPACE).coarsen(y=round(step), x=round(step))
    low, high = blocks.min(), blocks.max()
    return low.where(low == high, 0).astype(labels.dtype).reindex(x=coarse["x"], y=coarse["y"], method="nearest")


def write_patch(folder, patch, *, first=None, last=None):
    """Writes a patch in the layout that ``read_patch`` reads: the same file for the same patch.

    folder   made if absent
    patch    Dataset as ``read_patch`` gives it, of Sentinel-1 or Sentinel-2, a crop map or weather, with its attributes
             and spatial_ref; weather also with the scalar coordinates x, y of the place [m]
    first, last   dates in the name; default: of the patch; a crop map needs them
    returns  Path
    raises   InputError for a patch without bands, place, product or resolution, or weather that tells no place
    """
    missing = [a for a in ("place", "product", "resolution") if not patch.attrs.get(a)]
    if missing:
        raise InputError(f"the patch has no attribute '{missing[0]}'; it is part of the name of its file")
    bands = [b for b in patch.data_vars if b in BANDS]
    stored = {b: _whole(patch[b] / SCALE, np.uint16, b) for b in bands}
    for name in ("vv", "vh"):
        if name in patch:
            power = patch[name].where(patch[name] > 0)
            stored[name.upper()] = _whole(10 * np.log10(power) / SCALE, np.int32, name)
    maps = {old: patch[new].astype(np.uint16).drop_attrs() for old, (new, _) in MAPS.items() if new in patch}
    sky = {} if stored or maps else _sky(patch)
    if not stored and not maps and not sky:
        raise InputError("the patch has neither optical bands (B02 …) nor backscatter (vv, vh), and no crop map or "
                         "weather")
    for name in stored:
        stored[name].attrs = {"_FillValue": stored[name].dtype.type(0), "scale_factor": SCALE}
    if "scl" in patch:
        stored["SCL"] = patch["scl"].astype(np.uint8).drop_attrs()
    stored |= {old: patch[new].astype(np.float32).drop_attrs() for old, (new, _) in ANGLES.items() if new in patch}
    epsg = epsg_of(patch)
    days = patch.indexes["time"].strftime("%Y-%m-%d") if "time" in patch.dims else (first, last)
    if None in (first or days[0], last or days[-1]):
        raise InputError("a crop map tells no dates; give first and last for the name of its file")
    attributes = {k: patch.attrs[k] for k in ("tile",) if patch.attrs.get(k)}
    whole = xr.Dataset({**stored, **maps, **sky}, attrs={**attributes, "location_id": patch.attrs["place"],
                                                         "epsg": epsg, "resolution": patch.attrs["resolution"]})
    whole = whole.drop_vars("spatial_ref", errors="ignore")
    whole = whole.rename(time="timestamp") if "time" in whole.dims else whole
    path = Path(folder) / (f"{patch.attrs['product']}_{patch.attrs['resolution']}m_{patch.attrs['place']}_{epsg}_"
                           f"{first or days[0]}_{last or days[-1]}.nc")
    encoding = {name: {"zlib": True, "complevel": 4} for name in stored if whole[name].ndim == 3}
    if "timestamp" in whole.dims:
        encoding["timestamp"] = {"units": "microseconds since 2000-01-01", "dtype": "int64"}
    with atomic(path) as part:
        whole.to_netcdf(part, engine="h5netcdf", encoding=encoding)
    return path


def _sky(patch):
    """Weather of a patch as files hold it: (time, y, x) of one pixel, −9999 for missing."""
    known = {old: facts for old, facts in WEATHER.items() if facts[0] in patch}
    if not known:
        return {}
    if not all(axis in patch.coords and patch[axis].ndim == 0 for axis in SPACE):
        raise InputError("the weather tells no place; give it the scalar coordinates x and y [m]")
    placed = patch[[facts[0] for facts in known.values()]].expand_dims(SPACE).transpose("time", *SPACE)
    found = {}
    for old, (new, factor, offset, units, _) in known.items():
        values = (placed[new].values - offset) / factor
        found[old] = placed[new].copy(data=np.where(np.isnan(values), -9999, values).astype(np.float32))
        found[old].attrs = {"units": FILE_UNITS.get(units, units), "_FillValue": np.float32(-9999)}
    return found


def _whole(values, kind, name):
    """Values as whole numbers with 0 for missing; one that would round to 0 becomes 1."""
    limits = np.iinfo(kind)
    whole = np.rint(values)
    whole = whole.where(whole != 0, 1) if kind == np.uint16 else whole.where(whole != 0, -1)
    whole = whole.where(values.notnull(), 0)
    if float(whole.min()) < limits.min or float(whole.max()) > limits.max:
        raise InputError(f"{name} holds {float(whole.max()) * SCALE:g}; it cannot be stored as {np.dtype(kind)}")
    return whole.astype(kind)
