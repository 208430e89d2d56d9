"""Sentinel-2 and Sentinel-1 scenes of a STAC catalogue as one lazy cube: an API by name or URL, or files on disk.

Every scene keeps its own scale and offset, so that reflectance means the same before and after processing baseline
04.00, which adds 1000 to the digital numbers (https://sentiwiki.copernicus.eu/web/s2-products). What catalogues say of
that offset is not always true: Earth Search states −0.1 in ``raster:bands`` of every scene of its collection
`sentinel-2-l2a`, of old baselines and of scenes from which it was already taken; its property
``earthsearch:boa_offset_applied`` and the baseline decide here, see ``stac_items.offset_of``.
"""

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources.rasters import GDAL, Grid, bare, lazy, probe, read_raster
from phenolib.sources.sentinel import CLEAR, WAVELENGTHS
from phenolib.sources.stac_items import CATALOGUES, NAMES, items_of, meets, newest, scene_of, skip, version

DEFAULT = {"sentinel-2": ("B02", "B03", "B04", "B08"), "sentinel-1": ("vv", "vh")}
DOUBTFUL = 0.1  # share of values under −0.01 that makes the offset of a scene doubtful
FINE = 512  # pixels a side on which the clear share of a box is counted at most


class NoScenes(InputError):
    """A catalogue holds nothing of what was asked for."""


def open_stac(catalog, *, bbox=None, site=None, size=1000.0, dates=None, sensors=("sentinel-2",), collections=None,
              bands=None, resolution=10.0, crs=None, like=None, mask=CLEAR, chunks=None, missing="raise",
              boa_offset="auto", backscatter="auto", check=True):
    """Scenes of a catalogue on one grid, read when they are computed.

    Scenes of one sensor, orbit and solar day become one step: a pixel is taken from the first scene that has it, the
    newest first. Of two versions of one Sentinel-2 granule only that of the newer processing baseline is used.
    Bands already on the grid keep their values; on a coarser grid a pixel is the mean of the valid pixels under it, on
    a finer or shifted one it is bilinear between valid ones; `scl` is always the nearest. Radar in decibels is made
    linear before that. Values under 0 reflectance are kept as they are.

    catalog      one of ``CATALOGUES``, the URL of a STAC API, or the path or URL of a static catalog.json (or the
                 folder that holds it); or a list of pystac items
    bbox         west, south, east, north [degrees]; None takes all of a static catalogue
    site, size   instead of bbox: lon, lat of the middle [degrees] and side of the square around it [m]
    dates        "2018", "2018-06", "2018-06-05", "2018-03-01/2018-10-31", or two of these; None for all
    sensors      "sentinel-2", "sentinel-1", or both
    collections  names of collections; by default those of the named catalogue, or all of the sensors elsewhere
    bands        `B02` … `B12`, `scl`, `vv`, `vh`; by default the four bands of 10 m, and both polarisations
    resolution   side of a pixel [m, or the unit of crs]
    crs          of the grid, e.g. "EPSG:32632"; by default that of most scenes, Sentinel-2 first
    like         instead of resolution and crs: a cube of this function, on whose grid the scenes are put
    mask         classes of `scl` that are kept, by default ``CLEAR``; None keeps all
    chunks       {"time": 1, "y": 1024, "x": 1024}; False: no dask, each window is read as it is asked for, whatever its
                 size, which is the fastest way for ``maps.map_tiles``
    missing      "raise", or "skip": a scene that cannot be read is left out and counted; where that shows only while
                 the cube is computed, its pixels are missing and a warning names it
    boa_offset   "auto" (see ``offset_of``), or "apply" or "none" where the catalogue is known to be wrong; for single
                 scenes as {name: "none"}. A warning names scenes whose values say that the catalogue may be wrong
    backscatter  "auto", or "linear" or "db" where the catalogue does not tell
    check        open every file and look at `scl` now, so that missing, truncated and cloudy scenes are known before
                 the work starts; False opens nothing (clouds are then counted by ``eo:cloud_cover``)
    returns      Dataset (time, y, x): float32 reflectance [1], linear power [1], uint8 `scl` (0 = missing), NaN where
                 missing; time is the moment of acquisition (UTC). Coordinates along time: scene, sensor, platform,
                 relative_orbit, orbit_state, and where `scl` was read clear (share of the box that is clear) and
                 masked (share of its observed pixels that the mask takes).
                 attrs: scenes_found, _used, _outside (of the box), _cloudy (nothing clear in the box, kept),
                 _superseded, _skipped, and skipped (why)
    raises       InputError for an unknown catalogue, sensor or band, a box without scenes, an asset that is missing,
                 truncated or not there (HTTP 404), a radar unit or an offset that nobody tells
    """
    sensors = _checked(sensors, bands, missing, boa_offset, backscatter)
    keep = None if mask is None else tuple(int(c) for c in mask)
    wanted = {s: tuple(b for b in (bands or DEFAULT[s]) if _sensor_of_band(b) == s) for s in sensors}
    start, end = _period(dates)
    box = _box(bbox, site, size)
    env = dict(CATALOGUES[catalog][2]) if isinstance(catalog, str) and catalog in CATALOGUES else {}
    skipped = {}
    items = items_of(catalog, collections, sensors, box, start, end, missing, skipped)
    found, inside = len(items), [item for item in items if box is None or meets(item, box)]
    outside = found - len(inside)
    inside, superseded = newest(inside)
    scenes = []
    for item in inside:
        try:
            scenes.append(scene_of(item, wanted, keep, boa_offset, backscatter, env, catalog))
        except InputError as error:
            skip(missing, skipped, item.id, error)
    if check:
        scenes = _probed(scenes, missing, skipped)
        _doubt(scenes)
    if not scenes:
        problem = InputError if skipped else NoScenes  # scenes that could not be read may be there another time
        raise problem(f"{_shown(catalog)}: holds no scene of {' or '.join(sensors)} to read in this box and period "
                         f"({found} found, {outside} outside the box, {len(skipped)} skipped); check the longitude "
                         "before the latitude, and the dates")
    grid = _grid_of(scenes, box, site, size, resolution, crs) if like is None else Grid(
        like.rio.crs, like.rio.transform(), (like.sizes["y"], like.sizes["x"]))
    inside = [scene for scene in scenes if _on_grid(scene, grid)]
    outside, scenes = outside + len(scenes) - len(inside), inside
    if not scenes:
        raise NoScenes(f"{_shown(catalog)}: none of {found} scenes covers the box; give another box")
    groups = _groups(scenes)
    cube = _cube(groups, wanted, keep, grid, chunks, missing)
    shares, cloudy = _shares(groups, keep, grid, missing, check)
    cube = cube.assign_coords(shares)
    cube.attrs = {"title": "Sentinel scenes of " + _shown(catalog), "scenes_found": found, "scenes_used": len(scenes),
                  "scenes_outside": outside, "scenes_superseded": superseded, "scenes_skipped": len(skipped),
                  "scenes_cloudy": cloudy}
    if skipped:
        cube.attrs["skipped"] = "; ".join(list(skipped.values())[:20])
    if keep is not None and "sentinel-2" in sensors:
        cube.attrs["scl_kept"] = " ".join(map(str, keep))
    return cube


# ---- what the scenes hold

def _probed(scenes, missing, skipped):
    """Open every raster of the scenes; their grids, and the scenes that can be read."""
    rasters = [(scene, name, source) for scene in scenes for name, source in _rasters(scene).items()]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda raster: probe(raster[2]), rasters))
    broken = set()
    for (scene, name, _), answer in zip(rasters, answers):
        if isinstance(answer, InputError):
            skip(missing, skipped, scene.item.id, answer)
            broken.add(id(scene))
        elif name == next(iter(scene.sources)):
            scene.crs, scene.transform, scene.shape = answer
    return [scene for scene in scenes if id(scene) not in broken]


def _doubt(scenes):
    """Warn of scenes whose catalogue says that the offset is still to be taken, while their numbers lie under it."""
    import rasterio

    for scene in scenes:
        said = scene.item.properties.get("earthsearch:boa_offset_applied")
        source = next((s for s in scene.sources.values() if s.kind == "reflectance" and s.offset < 0), None)
        if said is not False or source is None:
            continue
        with rasterio.Env(**GDAL, **source.env), rasterio.open(source.path) as file:
            numbers = file.read(1, out_shape=tuple(min(n, 256) for n in file.shape))
        numbers = numbers[numbers != source.nodata]
        low = float((numbers * source.scale + source.offset < -0.01).mean()) if numbers.size else 0.0
        if low > DOUBTFUL:
            warnings.warn(f"{scene.item.id}: {low:.0%} of its values are under 0 with the offset that the catalogue "
                          "says is to be applied; it was probably applied already, give "
                          f"boa_offset={{'{scene.item.id}': 'none'}} after a look at the scene", stacklevel=3)


def _rasters(scene):
    return scene.sources if scene.classes is None else {**scene.sources, "scl": scene.classes}


# ---- the grid

def _grid_of(scenes, box, site, size, resolution, crs):
    """The grid on which the box is covered by whole pixels, in step with those of the first scene."""
    import rasterio
    from affine import Affine
    from rasterio.warp import transform_bounds

    if crs is None:
        known = [s.crs for s in scenes if s.crs is not None and s.sensor == "sentinel-2"]
        known = known or [s.crs for s in scenes if s.crs is not None]
        if not known:
            raise InputError(f"{scenes[0].item.id}: tells no coordinate system; give crs='EPSG:…' or check=True")
        crs = max(known, key=lambda c: (sum(c == k for k in known), str(c)))
    try:
        crs = rasterio.crs.CRS.from_user_input(crs)
    except rasterio.errors.CRSError as error:
        raise InputError(f"crs '{crs}' is unknown; give e.g. 'EPSG:32632'") from error
    if not resolution > 0:
        raise InputError(f"resolution is {resolution}; a positive number of metres is expected")
    placed = [s for s in scenes if s.transform is not None]
    first = next((s for s in placed if s.crs == crs), None)
    east, north = (first.transform.c, first.transform.f) if first else (0.0, 0.0)
    if site is not None:
        lon, lat = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        x, y = (v[0] for v in rasterio.warp.transform("EPSG:4326", crs, [lon], [lat]))
        left, bottom, right, top = x - size / 2, y - size / 2, x + size / 2, y + size / 2
    elif box is not None:
        left, bottom, right, top = transform_bounds("EPSG:4326", crs, *box)
    else:
        edges = [transform_bounds(s.crs, crs, *Grid(s.crs, s.transform, s.shape).bounds()) for s in placed]
        if not edges:
            raise InputError("the scenes tell no grid; give bbox=, site= or check=True")
        left, bottom, right, top = (f(e) for f, e in zip((min, min, max, max), zip(*edges)))
    column = np.floor((left - east) / resolution + 1e-6), np.ceil((right - east) / resolution - 1e-6)
    row = np.floor((north - top) / resolution + 1e-6), np.ceil((north - bottom) / resolution - 1e-6)
    transform = Affine(resolution, 0, east + column[0] * resolution, 0, -resolution, north - row[0] * resolution)
    return Grid(crs, transform, (max(int(row[1] - row[0]), 1), max(int(column[1] - column[0]), 1)))


def _on_grid(scene, grid):
    """Whether the raster of a scene reaches into the grid (its footprint may say so wrongly)."""
    from rasterio.warp import transform_bounds

    if scene.transform is None or scene.crs is None:
        return True
    left, bottom, right, top = transform_bounds(scene.crs, grid.crs, *Grid(scene.crs, scene.transform,
                                                                           scene.shape).bounds())
    west, south, east, north = grid.bounds()
    return left < east and right > west and bottom < north and top > south


def _groups(scenes):
    """Scenes of one sensor, orbit and solar day together, the newest baseline first; groups by time."""
    groups = {}
    for scene in scenes:
        about, bounds = scene.item.properties, scene.item.bbox or (0, 0, 0, 0)
        day = (scene.time + pd.Timedelta(hours=(bounds[0] + bounds[2]) / 30)).normalize()  # 15 degrees an hour
        orbit = (about.get("sat:relative_orbit"), about.get("sat:orbit_state")) if scene.sensor == "sentinel-1" else ()
        groups.setdefault((day, scene.sensor, orbit), []).append(scene)
    for group in groups.values():
        group.sort(key=lambda scene: version(scene.item), reverse=True)
    return sorted(groups.values(), key=lambda group: (min(s.time for s in group), group[0].sensor, group[0].item.id))


# ---- the pixels

def _cube(groups, wanted, keep, grid, chunks, missing):
    import rioxarray  # noqa: F401  gives datasets their .rio

    variables = {}
    for sensor, bands in wanted.items():
        for band in bands:
            steps = [[(s.sources[band], s.classes if band in WAVELENGTHS and keep is not None else None)
                      for s in group if s.sensor == sensor] for group in groups]
            variables[band] = lazy(band, steps, grid, keep=keep, missing=missing, chunks=chunks)
    first = [group[0].item.properties for group in groups]
    coordinates = {
        "time": ("time", np.array([min(s.time for s in g) for g in groups], "datetime64[ns]"),
                 {"long_name": "start of the acquisition (UTC)"}),
        **grid.middles(),
        "scene": ("time", [" ".join(s.item.id for s in g) for g in groups], {"long_name": "scenes of the step"}),
        "sensor": ("time", [g[0].sensor for g in groups]),
        "platform": ("time", [str(p.get("platform", "")).lower() for p in first]),
        "relative_orbit": ("time", [float(p.get("sat:relative_orbit") or np.nan) for p in first]),
        "orbit_state": ("time", [str(p.get("sat:orbit_state", "")).lower() for p in first]),
    }
    return xr.Dataset(variables, coordinates).rio.write_crs(grid.crs)


def _shares(groups, keep, grid, missing, look):
    """Coordinates with the clear and the masked share of each step; how many scenes show nothing of the box."""
    if not look or not any(scene.classes for group in groups for scene in group):
        told = [scene.item.properties.get("eo:cloud_cover") for group in groups for scene in group]
        return {}, sum(cover is not None and cover >= 99.99 for cover in told)
    keep = CLEAR if keep is None else keep
    n = max(1, int(np.ceil(max(grid.shape) / FINE)))
    coarse = grid.coarser(n)

    def seen(scene):
        if scene.classes is None:
            return None
        try:
            classes = read_raster(scene.classes, coarse, step=max(1, n // 2))
        except InputError:
            if missing == "raise":
                raise
            classes = np.zeros(coarse.shape, "uint8")
        return np.isin(classes, keep), classes > 0

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda group: [seen(scene) for scene in group], groups))
    clear, masked, cloudy = np.full(len(groups), np.nan), np.full(len(groups), np.nan), 0
    for t, answer in enumerate(answers):
        answer = [a for a in answer if a is not None]
        if answer:
            sight, there = (np.any([a[k] for a in answer], axis=0) for k in (0, 1))
            clear[t], masked[t] = sight.mean(), 1 - sight.sum() / max(there.sum(), 1)
            cloudy += sum(not a[0].any() for a in answer)
    every = "" if n == 1 else f", counted on every {n}th pixel"
    return {"clear": ("time", clear, {"units": "1", "long_name": "share of the box that is clear" + every}),
            "masked": ("time", masked, {"units": "1", "long_name": "share of the observed pixels not clear" + every}),
            }, cloudy


# ---- small things

def _checked(sensors, bands, missing, boa_offset, backscatter):
    sensors = (sensors,) if isinstance(sensors, str) else tuple(sensors)
    hows = boa_offset.values() if isinstance(boa_offset, dict) else [boa_offset]
    for value, known, what in [*((s, tuple(DEFAULT), "sensor") for s in sensors),
                               *((b, tuple(NAMES), "band") for b in bands or ()),
                               (missing, ("raise", "skip"), "missing ="),
                               *((how, ("auto", "apply", "none"), "boa_offset =") for how in hows),
                               (backscatter, ("auto", "linear", "db"), "backscatter =")]:
        if value not in known:
            raise InputError(f"{what} '{value}' is unknown{near(value, known)}")
    for sensor in sensors:
        if bands and not any(_sensor_of_band(b) == sensor for b in bands):
            raise InputError(f"bands {', '.join(bands)}: none is of {sensor}; add one, or leave the sensor out")
    for band in bands or ():
        if _sensor_of_band(band) not in sensors:
            raise InputError(f"band '{band}' is of {_sensor_of_band(band)}; add it to sensors")
    return sensors


def _sensor_of_band(band):
    return "sentinel-1" if band in ("vv", "vh") else "sentinel-2"


def _period(dates):
    """First and last moment of a period."""
    if dates is None:
        return pd.Timestamp("1970-01-01"), pd.Timestamp("2200-01-01")
    parts = dates.split("/") if isinstance(dates, str) else [dates] if np.ndim(dates) == 0 else list(dates)
    ends = {"": "1970/2200", "..": "1970/2200"}
    parts = [ends[p].split("/")[k > 0] if p in ends else p for k, p in enumerate(parts)]
    try:
        if any(isinstance(p, str) and not re.match(r"\d{4}(-\d\d){0,2}($|[T ])", p) for p in parts):
            raise ValueError("no date")
        start, end = (pd.Period(p) if isinstance(p, str) and len(p) <= 10 else pd.Timestamp(p)
                      for p in (parts[0], parts[-1]))
        start, end = getattr(start, "start_time", start), getattr(end, "end_time", end)
        start, end = (t if t.tzinfo is None else t.tz_convert(None) for t in (start, end))
    except (ValueError, TypeError) as error:
        raise InputError(f"dates '{dates}' are no dates; give e.g. '2018-03-01/2018-10-31'") from error
    if len(parts) > 2 or not start <= end:
        raise InputError(f"dates '{dates}': the first and the last are expected, in this order")
    return start, end


def _box(bbox, site, size):
    """west, south, east, north [degrees], or None."""
    if bbox is not None and site is not None:
        raise InputError("bbox and site are both given; give one of them")
    if site is not None:
        lon, lat = (float(v) for v in ((site["lon"], site["lat"]) if hasattr(site, "keys") else site))
        high = size / 2 / 111_000
        wide = high / max(np.cos(np.radians(lat)), 0.01)
        bbox = lon - wide, lat - high, lon + wide, lat + high
    if bbox is None:
        return None
    west, south, east, north = (float(v) for v in bbox)
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise InputError(f"bbox ({west:g}, {south:g}, {east:g}, {north:g}): west, south, east, north in degrees are "
                         "expected, west of east and south of north")
    return west, south, east, north


def _shown(catalog):
    return bare(catalog) if isinstance(catalog, (str, Path)) else "the given items"
