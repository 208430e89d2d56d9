"""What the chapters on soil moisture share: layers, days, fused drivers on disk, covariates, values at stations.

Dimensions are ``time y x`` with y = latitude and x = longitude [°], rows from the north. Moisture is in m³ m⁻³.
"""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import fusion
from phenolib.errors import InputError, near
from phenolib.files import atomic, digest, home, lock
from phenolib.training import store

LAYERS = ("surface", "root_zone")  # 0–10 cm and 0–100 cm
NAMES = {"surface": "surface, 0–10 cm", "root_zone": "root zone, 0–100 cm"}
DRIVERS = {"lst_day": ("degC", "land surface temperature by day"),
           "lst_night": ("degC", "land surface temperature by night"), "ndvi": ("1", "NDVI")}
WETTING = (1, 3, 7, 30)  # days over which rain is summed
GROUND = {"elevation": ("m", "elevation"), "slope": ("degree", "slope"), "sand": ("1", "sand"), "clay": ("1", "clay")}
COVARIATES = (*DRIVERS, "lst_range", *GROUND, *(f"rain_{days}" for days in WETTING), "season_sin", "season_cos")
STUDY = ("lst_day", "lst_night", "lst_range", "ndvi")  # the drivers that the study names: NDVI and LST
PERIODS = {"lst_day": 32, "lst_night": 32, "ndvi": 16}  # days whose clear pixels make a base image; project defaults
HALF = 7  # half-width of the window of the fusion [pixels]; 1 km against 5 km, project default
KEPT_AS = {"zlib": True, "complevel": 1, "dtype": "int16", "_FillValue": -32768}


def days(first, last, step=1):
    """Days from the first to the last, every ``step``-th.

    >>> len(days("2018-01-01", "2018-12-31", 4))
    92
    """
    if int(step) < 1:
        raise InputError(f"step = {step}; give a whole number of days, at least 1")
    return pd.date_range(first, last, freq=f"{int(step)}D")


# ---- drivers

def drivers(data, dates, *, half=HALF, what=tuple(DRIVERS)):
    """Fine images of days, fused from a cloudy fine and a coarse product, from the cache where they were made before.

    data     Archive with ``fine_images`` and ``coarse_images``
    dates    days, ascending
    half     half-width of the window [pixels]
    what     of ``DRIVERS``
    returns  Dataset (time, y, x) float32, read as it is needed; missing at sea and where neither product tells. Its
             attribute ``share`` gives the share of land pixels and days that each has
    raises   InputError for days that do not ascend, another driver, an archive without the images

    Base images are composites of the clear pixels of ``PERIODS`` days; ``fusion.fuse_series`` says how they are made.
    NDVI, which the coarse product has every eight days, is taken there and interpolated between.
    """
    dates = pd.DatetimeIndex(dates)
    for name in what:
        if name not in DRIVERS:
            raise InputError(f"driver '{name}' is not known{near(name, DRIVERS)}; there are {', '.join(DRIVERS)}")
    if not len(dates) or not dates.is_monotonic_increasing or not dates.is_unique:
        raise InputError("dates have to ascend, each once")
    folder, images = home() / "cache" / "drivers", data.hash(["fine_images", "coarse_images", "ground"])
    made = {}
    for name in what:
        key = digest(name, images, [str(date.date()) for date in dates], half, PERIODS[name],
                     store.sources(fusion, drivers))
        path = folder / f"{name}_{key[:16]}.nc"
        with lock(path.with_suffix(".lock")):
            if not path.is_file():
                _keep(_fused(data, name, dates, half), path)
        made[name] = xr.open_dataset(path, engine="h5netcdf", decode_coords="all", chunks={"time": 32})[name]
    found = xr.Dataset(made)
    found.attrs["share"] = {name: float(made[name].attrs["share"]) for name in what}
    return found


def _fused(data, name, dates, half):
    """One driver of days: DataArray (time, y, x)."""
    margin = pd.Timedelta(days=2 * PERIODS[name])
    years = (dates[0] - margin).year, (dates[-1] + margin).year
    fine, coarse = _of_years(data.fine_images(name), years), _of_years(data.coarse_images(name), years)
    land = data.ground()["elevation"].notnull()
    if name == "ndvi":  # the coarse product has a value every eighth day
        inside = (coarse["time"].values >= dates[0] - margin) & (coarse["time"].values <= dates[-1] + margin)
        wanted = coarse["time"].values[inside]
    else:
        wanted = dates
    made = fusion.fuse_series(fine.where(land), coarse, wanted, every=PERIODS[name], half=half)["fused"]
    if name == "ndvi":
        made = made.interp(time=dates, kwargs={"bounds_error": False})
    units, words = DRIVERS[name]
    share = float(made.notnull().where(land).mean())
    return made.astype(np.float32).rename(name).drop_attrs().assign_attrs(units=units, long_name=words,
                                                                         share=round(share, 6))


def _of_years(images, years):
    """Images of the years that are there."""
    year = images["time"].dt.year
    return images.isel(time=np.flatnonzero((year >= years[0]) & (year <= years[1]))).load()


def _keep(array, path):
    """Write a driver beside its place, then put it there."""
    scale = 1e-4 if array.name == "ndvi" else 0.01
    with atomic(path) as part:
        array.to_dataset().to_netcdf(part, engine="h5netcdf", encoding={array.name: {
            **KEPT_AS, "scale_factor": scale, "chunksizes": (min(32, array.sizes["time"]), *array.shape[1:])}})


# ---- covariates

def covariates(fused, ground, rain):
    """What moisture is told by, on the fine grid.

    fused    Dataset (time, y, x) of ``drivers``
    ground   Dataset (y, x) of elevation [m], slope [°], sand and clay [0–1]
    rain     DataArray (time, y, x) [mm d⁻¹], daily, on its own grid
    returns  Dataset of ``COVARIATES`` float32: (time, y, x) drivers, the range from night to day and sums of rain over
             the last 1, 3, 7 and 30 days, the day itself included [mm]; (y, x) ground; (time) sine and cosine of the
             day of year. Missing stays missing; at sea all are
    raises   InputError for ground of another grid, rain that does not reach back 30 days, a layer that is not there
    """
    for name in GROUND:
        if name not in ground:
            raise InputError(f"the ground has no '{name}'{near(name, list(ground))}; it holds {', '.join(ground)}")
    if fused.sizes["y"] != ground.sizes["y"] or fused.sizes["x"] != ground.sizes["x"] or not (
            np.allclose(fused["y"], ground["y"]) and np.allclose(fused["x"], ground["x"])):
        raise InputError("drivers and ground lie on different grids; resample one to the other")
    land = ground["elevation"].notnull().values
    found = {name: fused[name].astype(np.float32) for name in DRIVERS}
    found["lst_range"] = (found["lst_day"] - found["lst_night"]).assign_attrs(
        units="K", long_name="temperature of the surface, day − night")
    for name, (units, words) in GROUND.items():
        found[name] = ground[name].astype(np.float32).drop_attrs().assign_attrs(units=units, long_name=words)
    for length in WETTING:
        found[f"rain_{length}"] = _rain(rain, fused, length, land)
    turn = 2 * np.pi * (fused["time"].dt.dayofyear - 1) / 365.25
    for name, wave in (("season_sin", np.sin(turn)), ("season_cos", np.cos(turn))):
        found[name] = wave.astype(np.float32).drop_attrs().assign_attrs(units="1", long_name=name.replace("_", ", "))
    return xr.Dataset({name: found[name] for name in COVARIATES}).drop_attrs(deep=False)


def _rain(rain, fused, length, land):
    """Rain of the last days, bilinear between the middles of its cells: (time, y, x) [mm]."""
    times = pd.DatetimeIndex(rain["time"].values)
    last = times.get_indexer(fused["time"].values)
    if (last < 0).any():
        lacks = pd.Timestamp(fused["time"].values[last < 0][0])
        raise InputError(f"there is no rain of {lacks:%Y-%m-%d}, only of {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}; "
                         "choose days within")
    sums = rain.rolling(time=length, min_periods=max(1, int(0.8 * length))).mean() * length
    coarse = sums.isel(time=last).load()
    at = {name: fused[name].clip(float(rain[name].min()), float(rain[name].max())) for name in ("y", "x")}
    for name in at:  # beyond the outermost middles, by half a cell at most, the outermost value counts
        far = float(abs(fused[name] - at[name]).max()) / abs(float(rain[name][1] - rain[name][0]))
        if far > 0.5 + 1e-6:
            raise InputError(f"the rain ends {far - 0.5:.1f} of its cells before the land does along '{name}'; give "
                             "rain of the whole land")
    fine = coarse.interp(at).assign_coords(y=fused["y"], x=fused["x"])
    return fine.where(land).astype(np.float32).drop_attrs().assign_attrs(
        units="mm", long_name=f"rain of {length} day{'s' if length > 1 else ''}")


# ---- stations

def at_points(maps, lon, lat):
    """Values of maps at points: those of the pixels that the points lie in.

    maps     Dataset or DataArray (…, y, x)
    lon, lat (station,) [°], DataArrays or arrays
    returns  like maps with ``station`` in place of y and x
    raises   InputError for a point outside the maps
    """
    lon = lon if isinstance(lon, xr.DataArray) else xr.DataArray(np.asarray(lon, float), dims="station")
    lat = lat if isinstance(lat, xr.DataArray) else xr.DataArray(np.asarray(lat, float), dims="station")
    for name, values, along in (("longitude", lon, maps["x"]), ("latitude", lat, maps["y"])):
        half = abs(float(along[1] - along[0])) / 2 + 1e-9
        out = (values < float(along.min()) - half) | (values > float(along.max()) + half)
        if bool(out.any()):
            raise InputError(f"a station at {name} {float(values[out.values][0]):g} lies outside the maps, "
                             f"{float(along.min()):g} to {float(along.max()):g}")
    return maps.sel(y=lat, x=lon, method="nearest").drop_vars(["y", "x"])
