"""A static STAC catalogue of Sentinel-2 and Sentinel-1 scenes as Cloud-Optimized GeoTIFFs, as ``stac`` reads them.

The layout is one folder per collection and scene, all links relative:

    catalog.json
    sentinel-2-l2a/collection.json
    sentinel-2-l2a/<scene>/<scene>.json, B02.tif … scl.tif
    sentinel-1-rtc/collection.json …

Reflectance is stored as uint16 digital numbers,

    number = reflectance · 10 000 + 1000 from processing baseline 04.00 on, without the 1000 before

with 0 for missing, and backscatter as float32 with NaN for missing. The same scenes give the same bytes.
"""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import write_json

VERSION = "1.0.0"
EXTENSIONS = [f"https://stac-extensions.github.io/{name}/schema.json" for name in
              ("projection/v1.2.0", "raster/v1.1.0", "eo/v1.1.0", "sat/v1.0.0", "grid/v1.1.0")]
COLLECTIONS = {"sentinel-2": ("sentinel-2-l2a", "Surface reflectance and scene classification"),
               "sentinel-1": ("sentinel-1-rtc", "Terrain-corrected backscatter")}
REFLECTANCE = re.compile(r"B(0[1-9]|8A|1[12])")
RADAR = re.compile(r"(vv|vh)(_db)?")
SCALE, SHIFT = 1e-4, 1000  # reflectance per digital number; digital numbers added from baseline 04.00 on
CLOUDS = (3, 8, 9, 10)  # classes of scl that count as cloud cover
BLOCK = 512  # pixels a side of a block of a GeoTIFF at most
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def write_catalog(folder, scenes, *, title="Sentinel scenes", licence="other", overwrite=False):
    """Write scenes as a static catalogue; the folder appears when all of it is there.

    A killed run leaves at most a folder beside it whose name starts with a dot and ends with `.part`.

    folder     the catalogue's folder, which must not be there yet
    scenes     Datasets (y, x), one after another (a generator keeps one in memory); a scene with several pixel sizes is
               a list of Datasets, one per size. Variables: `B02` … `B12` reflectance [1], `scl` classes; or `vv`, `vh`
               linear power [1], `vv_db`, `vh_db` [dB]. Coordinates of the middles of the pixels in metres with
               spatial_ref; the rest in attrs (of the first Dataset):
               datetime             of the acquisition, UTC (or a scalar coordinate ``time``)
               id                   name of the scene; made from platform, time and tile or orbit where absent
               platform             "sentinel-2a"
               processing_baseline  of Sentinel-2, "05.09"
               relative_orbit, orbit_state, tile    169, "ascending", "32UQD", each optional
               properties           {name: value} put into the item as they are, optional
    title      of the catalogue
    licence    an SPDX name, or "other"
    overwrite  replace a catalogue that is there
    returns    Path of catalog.json
    raises     InputError for a folder that is there, no scenes, a name that is there twice, a scene without datetime or
               coordinate system, uneven coordinates, unknown variables, or values that cannot be stored
    """
    folder = Path(folder)
    if folder.exists() and not (overwrite and (folder / "catalog.json").is_file()):
        raise InputError(f"{folder}: is there already; give another folder, or remove it first"
                         + ("" if overwrite else ", or give overwrite=True to replace a catalogue"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
    try:
        for scene in scenes:
            write_scene(part, scene)
        write_index(part, title=title, licence=licence)
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o777 & ~mask)
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".old"))
            folder.replace(old)
            part.replace(folder)
            shutil.rmtree(old)
        else:
            part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder / "catalog.json"


def write_scene(folder, scene):
    """Write one scene into the folder of a catalogue; its own folder appears when all of it is there.

    folder   of the catalogue
    scene    as one of ``write_catalog``
    returns  Path of the scene's folder
    raises   InputError as ``write_catalog``
    """
    parts = [scene] if isinstance(scene, xr.Dataset) else list(scene)
    sensor, item = _item(parts)
    place = scene_folder(folder, sensor, item["id"])
    if place.exists():
        raise InputError(f"{item['id']}: two scenes have this name; give each its own attrs['id']")
    beside = place.with_name(f".{place.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, values, transform, crs, nodata in _rasters(parts, item):
        write_cog(beside / f"{name}.tif", values, transform, crs, nodata)
    write_json(beside / f"{item['id']}.json", item)
    return beside.replace(place)


def scene_folder(folder, sensor, name):
    """Where the scene of a sensor ("sentinel-2", "sentinel-1") lies in the folder of a catalogue."""
    return Path(folder) / COLLECTIONS[sensor][0] / name


def write_index(folder, *, title="Sentinel scenes", licence="other"):
    """Write the collections and catalog.json over the scenes that lie in the folder of a catalogue.

    folder, title, licence   as ``write_catalog``
    returns                  Path of catalog.json
    raises                   InputError where there is no scene
    """
    folder, sensors = Path(folder), []
    for sensor in COLLECTIONS:
        paths = scene_folder(folder, sensor, ".").glob("[!.]*/*.json")  # what begins with a dot is not whole
        items = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        if items:
            sensors.append(sensor)
            _write_collection(folder, sensor, items, licence)
    if not sensors:
        raise InputError("there are no scenes to write; give at least one Dataset (y, x)")
    write_json(folder / "catalog.json", {
        "type": "Catalog", "stac_version": VERSION, "id": re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"),
        "title": title, "description": title,
        "links": [_link("root", "./catalog.json"),
                  *(_link("child", f"./{COLLECTIONS[s][0]}/collection.json") for s in sensors)]})
    return folder / "catalog.json"


def _write_collection(folder, sensor, items, licence):
    name, about = COLLECTIONS[sensor]
    items = sorted(items, key=lambda item: (item["properties"]["datetime"], item["id"]))
    moments = [item["properties"]["datetime"] for item in items]
    west, south, east, north = zip(*(item["bbox"] for item in items))
    write_json(folder / name / "collection.json", {
        "type": "Collection", "stac_version": VERSION, "id": name, "title": name, "description": f"{about}, {sensor}",
        "license": licence,
        "extent": {"spatial": {"bbox": [[min(west), min(south), max(east), max(north)]]},
                   "temporal": {"interval": [[moments[0], moments[-1]]]}},
        "links": [_link("root", "../catalog.json"), _link("parent", "../catalog.json"),
                  *(_link("item", f"./{item['id']}/{item['id']}.json", "application/geo+json") for item in items)]})


def write_cog(path, values, transform, crs, nodata, *, overviews="AVERAGE"):
    """Write one raster as a Cloud-Optimized GeoTIFF, losslessly, the same bytes for the same values.

    path       the file
    values     (y, x) uint8, uint16, int32 or float32
    transform  Affine of the top left corner
    crs        coordinate system
    nodata     the number that stands for missing
    overviews  how smaller copies are made; classes (uint8) and numbers (int32) always take the nearest
    """
    import rasterio
    import rasterio.shutil
    from rasterio.io import MemoryFile

    about = {"driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1, "crs": crs,
             "dtype": values.dtype, "transform": transform, "nodata": nodata}
    with rasterio.Env(GDAL_NUM_THREADS="1"), MemoryFile() as memory:
        with memory.open(**about) as file:
            file.write(values, 1)
        with memory.open() as file:
            rasterio.shutil.copy(file, path, driver="COG", compress="DEFLATE", level=6, predictor="YES",
                                 blocksize=min(BLOCK, -(-max(values.shape) // 128) * 128), num_threads=1,
                                 overview_resampling="NEAREST" if values.dtype in (np.uint8, np.int32) else overviews)


def _item(parts):
    """Sensor and STAC item (dict) of a scene."""
    for part in parts:
        if not isinstance(part, xr.Dataset):
            raise InputError(f"a scene is a {type(part).__name__}; an xarray Dataset (y, x) is expected")
    first = parts[0]
    names = [name for part in parts for name in part.data_vars]
    known = [n for n in names if REFLECTANCE.fullmatch(n) or n == "scl" or RADAR.fullmatch(n)]
    if not names or len(known) < len(names) or len({bool(RADAR.fullmatch(n)) for n in names}) > 1:
        raise InputError(f"a scene holds {', '.join(names) or 'no variables'}; give B02 … B12 and scl, or vv and vh "
                         "(linear power; vv_db and vh_db in dB)")
    if len(set(names)) < len(names):
        raise InputError(f"a scene holds {', '.join(sorted(n for n in set(names) if names.count(n) > 1))} twice; "
                         "give each band once")
    sensor = "sentinel-1" if RADAR.fullmatch(names[0]) else "sentinel-2"
    moment = first.attrs.get("datetime", first.coords["time"].values if "time" in first.coords else None)
    if moment is None or np.ndim(moment) or pd.isna(moment):
        raise InputError("a scene tells no time; put the moment of its acquisition into attrs['datetime']")
    moment = pd.Timestamp(moment)
    moment = moment if moment.tzinfo is None else moment.tz_convert(None)
    grids = [_grid(part) for part in parts]
    platform = str(first.attrs.get("platform", f"{sensor}a")).lower()
    name = str(first.attrs.get("id") or _name(platform, moment, first.attrs))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._\-]*", name):
        raise InputError(f"'{name}' is no name for a scene; use letters, digits, '_', '-' and '.'")
    geometry, bbox = _footprint(grids)
    crs, transform, shape = grids[0]
    properties = {"datetime": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z", "platform": platform,
                  "constellation": sensor, "instruments": ["msi" if sensor == "sentinel-2" else "c-sar"],
                  "gsd": min(abs(t.a) for _, t, _ in grids), **_projection(crs, transform, shape)}
    for key, new in (("relative_orbit", "sat:relative_orbit"), ("orbit_state", "sat:orbit_state")):
        if key in first.attrs:
            value = first.attrs[key]
            properties[new] = int(value) if key == "relative_orbit" else str(value).lower()
    if first.attrs.get("tile"):
        properties["grid:code"] = f"MGRS-{first.attrs['tile']}"
    if sensor == "sentinel-2":
        properties["s2:processing_baseline"] = _baseline(first.attrs, name)
        cover = _cloud_cover(parts)
        if cover is not None:
            properties["eo:cloud_cover"] = cover
    properties |= first.attrs.get("properties", {})
    assets = {name: _describe(name, properties, grid)
              for part, grid in zip(parts, grids) for name in part.data_vars}
    return sensor, {
        "type": "Feature", "stac_version": VERSION, "stac_extensions": EXTENSIONS, "id": name,
        "collection": COLLECTIONS[sensor][0], "geometry": geometry, "bbox": bbox, "properties": properties,
        "links": [_link("root", "../../catalog.json"), _link("parent", "../collection.json"),
                  _link("collection", "../collection.json")],
        "assets": assets}


def _name(platform, moment, attrs):
    short = re.sub(r"sentinel-(\d)", r"S\1", platform).upper()
    orbit = attrs.get("relative_orbit")
    place = attrs.get("tile") or (f"R{int(orbit):03d}" if orbit is not None else "")
    return "_".join(filter(None, (short, f"{moment:%Y%m%dT%H%M%S}", place)))


def _baseline(attrs, name):
    text = str(attrs.get("processing_baseline", ""))
    if not re.fullmatch(r"\d\d\.\d\d", text):
        raise InputError(f"{name}: attrs['processing_baseline'] is '{text}'; a text such as '02.08' or '05.09' is "
                         "expected, from which the offset of the numbers follows")
    return text


def _grid(part):
    """Coordinate system, transform and shape of a Dataset."""
    import rioxarray  # noqa: F401  gives datasets their .rio
    from affine import Affine

    if set(part.dims) != {"y", "x"}:
        raise InputError(f"a scene has the dimensions {', '.join(map(str, part.dims))}; y and x are expected")
    if part.rio.crs is None:
        raise InputError("a scene tells no coordinate system; give it one with scene.rio.write_crs('EPSG:32632')")
    x, y = part["x"].values.astype(float), part["y"].values.astype(float)
    if len(x) < 2 or len(y) < 2:
        raise InputError("a scene has fewer than 2 rows or columns; give at least 2 by 2 pixels")
    steps = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    even = all(np.allclose(np.diff(v), s, rtol=0, atol=1e-3 * abs(s)) for v, s in ((x, steps[0]), (y, steps[1])))
    if not even or steps[0] <= 0 or steps[1] >= 0:
        raise InputError("the coordinates of a scene are not even; x has to rise and y to fall in equal steps")
    return part.rio.crs, Affine(steps[0], 0, x[0] - steps[0] / 2, 0, steps[1], y[0] - steps[1] / 2), (len(y), len(x))


def _projection(crs, transform, shape):
    epsg = crs.to_epsg()
    about = {"proj:code": f"EPSG:{epsg}", "proj:epsg": epsg} if epsg else {"proj:wkt2": crs.to_wkt()}
    return about | {"proj:shape": list(shape), "proj:transform": [float(v) for v in transform]}


def _footprint(grids):
    """Polygon and box in degrees around all rasters of a scene."""
    from rasterio._err import CPLE_BaseError
    from rasterio.warp import transform, transform_bounds

    crs, corner, shape = max(grids, key=lambda grid: abs(grid[1].a) * grid[2][1])
    left, top, right, bottom = corner.c, corner.f, corner.c + corner.a * shape[1], corner.f + corner.e * shape[0]
    try:
        lon, lat = transform(crs, "EPSG:4326", [left, right, right, left, left], [bottom, bottom, top, top, bottom])
        bbox = [round(v, 7) for v in transform_bounds(crs, "EPSG:4326", left, bottom, right, top)]
    except CPLE_BaseError as error:
        raise InputError(f"a scene reaches from x, y {left:g}, {bottom:g} to {right:g}, {top:g}, outside {crs}; "
                         "coordinates in its unit are expected") from error
    ring = [[round(a, 7), round(b, 7)] for a, b in zip(lon, lat)]
    return {"type": "Polygon", "coordinates": [ring]}, bbox


def _cloud_cover(parts):
    """Share of the observed pixels that scl counts as cloud or its shadow [%]."""
    classes = next((part["scl"].values for part in parts if "scl" in part), None)
    if classes is None:
        return None
    seen = np.isfinite(classes) & (classes > 0)
    return round(100 * float(np.isin(classes, CLOUDS).sum() / max(seen.sum(), 1)), 4)


def _describe(name, properties, grid):
    """The asset of one variable."""
    crs, transform, shape = grid
    size = {"spatial_resolution": abs(transform.a)}
    if name == "scl":
        band = {"data_type": "uint8", "nodata": 0, **size}
    elif RADAR.fullmatch(name):
        band = {"data_type": "float32", "nodata": "nan", "unit": "dB" if name.endswith("_db") else "1", **size}
    else:
        offset = -SHIFT * SCALE if float(properties["s2:processing_baseline"]) >= 4 else 0.0
        band = {"data_type": "uint16", "nodata": 0, "scale": SCALE, "offset": offset, "unit": "1", **size}
    asset = {"href": f"./{name}.tif", "type": COG, "roles": ["data"], "gsd": abs(transform.a), "raster:bands": [band],
             **_projection(crs, transform, shape)}
    return asset | ({"eo:bands": [{"name": name}]} if REFLECTANCE.fullmatch(name) else {})


def _rasters(parts, item):
    """name, numbers as they are stored, transform, crs, nodata of each variable."""
    for part in parts:
        crs, transform, _ = _grid(part)
        for name, variable in part.data_vars.items():
            values = variable.transpose("y", "x").values
            band = item["assets"][name]["raster:bands"][0]
            if name == "scl":
                yield name, _classes(values, item["id"]), transform, crs, 0
            elif RADAR.fullmatch(name):
                yield name, _power(values, name, item["id"]), transform, crs, float("nan")
            else:
                yield name, _numbers(values, band, name, item["id"]), transform, crs, 0


def _classes(values, scene):
    values = np.where(np.isfinite(values), values, 0)
    if ((values < 0) | (values > 11) | (values != np.round(values))).any():
        raise InputError(f"{scene}: scl holds values that are no classes; whole numbers from 0 (missing) to 11 are "
                         "expected")
    return values.astype("uint8")


def _power(values, name, scene):
    values = values.astype("float32")
    if not name.endswith("_db") and (values < 0).any():
        raise InputError(f"{scene}: {name} holds negative values; linear power is expected, name it {name}_db if it is "
                         "in decibels")
    return values


def _numbers(values, band, name, scene):
    """Reflectance as digital numbers; what would fall on 0 (missing) or below becomes 1."""
    missing = ~np.isfinite(values)
    numbers = np.round((np.where(missing, 0, values).astype("float64") - band["offset"]) / band["scale"])
    if (numbers > 65535).any() or np.nanmax(np.where(missing, 0, values), initial=0) > 6.4:
        raise InputError(f"{scene}: {name} reaches {np.nanmax(values):g}; reflectance from 0 to 1 is expected, divide "
                         "digital numbers by 10000")
    return np.where(missing, 0, np.clip(numbers, 1, 65535)).astype("uint16")


def _link(rel, href, kind="application/json"):
    return {"rel": rel, "href": href, "type": kind}
