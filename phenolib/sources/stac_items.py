"""The items of a STAC catalogue: which there are, and how the numbers of their assets are coded."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.sources.rasters import SKIP, Source, bare, why
from phenolib.sources.sentinel import WAVELENGTHS

CATALOGUES = {  # name: address, collection of each sensor, settings of GDAL
    "earth-search": ("https://earth-search.aws.element84.com/v1",
                     {"sentinel-2": "sentinel-2-l2a", "sentinel-1": "sentinel-1-grd"}, {"AWS_NO_SIGN_REQUEST": "YES"}),
    "planetary-computer": ("https://planetarycomputer.microsoft.com/api/stac/v1",
                           {"sentinel-2": "sentinel-2-l2a", "sentinel-1": "sentinel-1-rtc"}, {}),
    "copernicus": ("https://stac.dataspace.copernicus.eu/v1",
                   {"sentinel-2": "sentinel-2-l2a", "sentinel-1": "sentinel-1-grd"},
                   {"AWS_S3_ENDPOINT": "eodata.dataspace.copernicus.eu", "AWS_VIRTUAL_HOSTING": "FALSE"}),
}
NAMES = {  # band: its other names among the assets of a catalogue, the finest grid first
    "B01": ("coastal", "B01_60m", "B01_20m", "B1"), "B02": ("blue", "B02_10m", "B2"),
    "B03": ("green", "B03_10m", "B3"), "B04": ("red", "B04_10m", "B4"),
    "B05": ("rededge1", "B05_20m", "B5"), "B06": ("rededge2", "B06_20m", "B6"),
    "B07": ("rededge3", "B07_20m", "B7"), "B08": ("nir", "B08_10m", "B8"),
    "B8A": ("nir08", "B8A_20m"), "B09": ("nir09", "B09_60m", "B9"),
    "B11": ("swir16", "B11_20m"), "B12": ("swir22", "B12_20m"), "scl": ("SCL_20m",),
    "vv": ("vv_db", "gamma0_vv", "sigma0_vv", "gamma0_vv_db", "sigma0_vv_db"),
    "vh": ("vh_db", "gamma0_vh", "sigma0_vh", "gamma0_vh_db", "sigma0_vh_db"),
}
BOA_OFFSET = -1000  # digital numbers, from baseline 04.00 on


def items_of(catalog, collections, sensors, box, start, end, missing, skipped):
    """Items of the sensors, in the collections and the period, by time and name."""
    import pystac

    collections = [collections] if isinstance(collections, str) else collections
    if not isinstance(catalog, (str, Path)):
        items = list(catalog)
    elif str(catalog) in CATALOGUES:
        url, of, _ = CATALOGUES[catalog]
        _needs(catalog)
        items = _searched(url, collections or [of[s] for s in sensors], box, start, end)
    else:
        href = _static(catalog)
        if href is None:
            items = _searched(str(catalog), collections, box, start, end)
        else:
            try:
                root = pystac.read_file(href)
            except Exception as error:
                raise InputError(f"{href}: is no STAC catalogue that can be read ({why(error)}); give a catalog.json, "
                                 f"the URL of an API, or a name{near(str(catalog), CATALOGUES)}") from error
            items = [root] if isinstance(root, pystac.Item) else list(_walk(root, collections, missing, skipped))
    kept = {}
    for item in items:
        moment = moment_of(item)
        if sensor_of(item) in sensors and (moment is None or start <= moment <= end):
            if moment is None:
                skip(missing, skipped, item.id, InputError(f"{item.id}: has no datetime; add one to the item"))
                continue
            kept[item.collection_id, item.id] = item
    return sorted(kept.values(), key=lambda item: (moment_of(item), item.id))


def _static(catalog):
    """Path or URL of a static catalogue; None where it is the address of an API."""
    text = str(catalog)
    if re.match(r"https?://", text):
        return text if urlsplit(text).path.endswith((".json", ".geojson")) else None
    path = Path(text).expanduser()
    if path.is_dir():
        names = [path / n for n in ("catalog.json", "collection.json") if (path / n).is_file()]
        if not names:
            raise InputError(f"{path}: the folder holds no catalog.json; give the folder or file of a STAC catalogue")
        path = names[0]
    if not path.is_file():
        raise InputError(f"{text}: is neither a file nor a known catalogue{near(text, CATALOGUES)}")
    return str(path.resolve())


def _walk(parent, collections, missing, skipped):
    """The items under a catalogue; a broken link is an error that names it."""
    if collections is None or parent.STAC_OBJECT_TYPE != "Collection" or parent.id in collections:
        for link in parent.get_links("item"):
            item = _resolved(link, missing, skipped)
            if item is not None:
                yield item
    for link in parent.get_links("child"):
        child = _resolved(link, missing, skipped)
        if child is not None:
            yield from _walk(child, collections, missing, skipped)


def _resolved(link, missing, skipped):
    try:
        return link.resolve_stac_object().target
    except Exception as error:
        href = bare(link.get_absolute_href() or str(link.target))
        if _undated(href):
            said = f"{href}: has no datetime; add one to the item, or {SKIP}"
        else:
            said = (f"{href}: the catalogue links to it, but it cannot be read ({why(error)}); download it again, or "
                    f"{SKIP}")
        skip(missing, skipped, href, InputError(said))


def _undated(href):
    """Whether a file on disk is an item that lacks nothing but its date."""
    try:
        item = json.loads(Path(href).read_text(encoding="utf-8"))
        return item["type"] == "Feature" and not item["properties"].get("datetime")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _searched(url, collections, box, start, end):
    """Items that an API finds."""
    import pystac_client

    try:
        client = pystac_client.Client.open(url)
        if collections is None:
            collections = [c.id for c in client.get_collections() if re.search("sentinel-[12]", c.id.lower())]
        period = f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}"
        if box is None:
            raise InputError(f"{url}: is a search service; give bbox=(west, south, east, north) or site=(lon, lat)")
        return list(client.search(collections=collections, bbox=box, datetime=period, limit=100).items())
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{url}: does not answer as a STAC API ({why(error)}); check the address and the "
                         "connection, or give the path of a catalogue on disk") from error


def _needs(catalog):
    """Refuse a named catalogue whose files could not be opened anyway."""
    if catalog == "planetary-computer":
        try:
            import planetary_computer  # noqa: F401
        except ImportError as error:
            raise InputError("planetary-computer: its files need signed addresses; run pip install planetary-computer, "
                             "or use 'earth-search', which needs none") from error
    if catalog == "copernicus" and not (os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE")):
        raise InputError("copernicus: its files need the S3 keys of a (free) Data Space account; set AWS_ACCESS_KEY_ID "
                         "and AWS_SECRET_ACCESS_KEY, or use 'earth-search', which needs none")


def sensor_of(item):
    """`sentinel-1` or `sentinel-2` of a STAC item, "" for any other."""
    about = item.properties
    for text in (about.get("constellation"), about.get("platform"), item.collection_id, item.id):
        named = re.match(r"s(?:entinel)?-?([12])(?!\d)", str(text or "").lower())
        if named:
            return f"sentinel-{named[1]}"
    return ""


def moment_of(item):
    """Start of the acquisition, UTC without a zone."""
    moment = item.datetime or item.properties.get("start_datetime")
    if moment is None:
        return None
    moment = pd.Timestamp(moment)
    return moment if moment.tzinfo is None else moment.tz_convert(None)


def meets(item, box):
    from shapely.geometry import box as rectangle
    from shapely.geometry import shape

    if item.geometry:
        return shape(item.geometry).intersects(rectangle(*box))
    return not item.bbox or rectangle(*item.bbox).intersects(rectangle(*box))


def newest(items):
    """Items without those of which a newer version of the same granule is there, and how many those were."""
    best = {}
    for item in items:
        about = item.properties
        named = re.search(r"_T?(\d\d[A-Z]{3})_", item.id)
        tile = about.get("grid:code") or about.get("s2:mgrs_tile") or (named and named[1])
        if sensor_of(item) != "sentinel-2" or not tile:
            best[item.id] = item
            continue
        key = (str(tile)[-5:], about.get("platform"), moment_of(item).floor("30min"))
        if key not in best or version(item) > version(best[key]):
            best[key] = item
    return list(best.values()), len(items) - len(best)


def version(item):
    made = item.properties.get("s2:generation_time") or item.properties.get("created") or ""
    return baseline_of(item.properties, item.id) or 0.0, str(made), item.id


def skip(missing, skipped, name, error):
    if missing == "raise":
        raise error
    skipped.setdefault(name, str(error).removesuffix(f", or {SKIP}"))


# ---- what a scene is made of

@dataclass
class Scene:
    """A STAC item, its sources by band, and the grid of the first."""

    item: object
    sensor: str
    time: pd.Timestamp
    sources: dict
    classes: Source | None
    crs: object = None
    transform: object = None
    shape: tuple | None = None


def scene_of(item, wanted, keep, boa_offset, backscatter, env, catalog):
    sensor = sensor_of(item)
    sign = isinstance(catalog, str) and catalog == "planetary-computer"
    sources = {band: source_of(item, band, boa_offset, backscatter, sign, env) for band in wanted[sensor]}
    classes = None
    if sensor == "sentinel-2" and (keep is not None or "scl" in sources):
        classes = sources.get("scl") or source_of(item, "scl", boa_offset, backscatter, sign, env)
    scene = Scene(item, sensor, moment_of(item), sources, classes)
    _from_metadata(scene)
    return scene


def _from_metadata(scene):
    """The grid of a scene from its item, as far as that tells it."""
    import rasterio
    from affine import Affine

    asset = scene.item.assets[next(iter(scene.sources.values())).asset]
    about = {**scene.item.properties, **asset.extra_fields}
    code = about.get("proj:code") or (f"EPSG:{about['proj:epsg']}" if about.get("proj:epsg") else None)
    if code:
        scene.crs = rasterio.crs.CRS.from_user_input(code)
    if about.get("proj:transform") and about.get("proj:shape"):
        scene.transform, scene.shape = Affine(*about["proj:transform"][:6]), tuple(about["proj:shape"])


def offset_of(properties, coding, item=""):
    """What to add to scaled digital numbers of a Sentinel-2 band, so that 0 is no reflectance.

    In this order: nothing where ``earthsearch:boa_offset_applied`` is true; the stated offset, but not −1000 digital
    numbers with a baseline before 04.00, which never had it; −1000 digital numbers from baseline 04.00 on; nothing
    before. The baseline is ``s2:processing_baseline``, ``processing:version``, or the N0400 of the name of the product.

    properties  of the item
    coding      {"scale": [1], "offset": [1]} as stated for the asset, both optional
    item        name of the item, for the message and for the baseline in it
    returns     offset of reflectance [1]
    raises      InputError if neither offset nor baseline is told and the scene may be of either kind

    >>> offset_of({"s2:processing_baseline": "05.09"}, {})
    -0.1
    >>> offset_of({"s2:processing_baseline": "02.08"}, {"scale": 1e-4, "offset": -0.1})
    0.0
    >>> offset_of({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}, {"offset": -0.1})
    0.0
    """
    scale = coding.get("scale", 1e-4)
    if properties.get("earthsearch:boa_offset_applied") is True:
        return 0.0
    baseline = baseline_of(properties, item)
    old = baseline is not None and baseline < 4
    stated = coding.get("offset")
    if stated is not None and not (old and np.isclose(stated, BOA_OFFSET * scale)):
        return float(stated)
    if baseline is None and properties.get("earthsearch:boa_offset_applied") is None:
        raise InputError(f"{item}: tells neither the offset of its values nor its processing baseline; give "
                         "boa_offset='apply' (from baseline 04.00 on) or 'none'")
    return 0.0 if old else float(np.round(BOA_OFFSET * scale, 12))


def baseline_of(properties, item=""):
    """Processing baseline of a Sentinel-2 scene as a number, None where it is not told.

    >>> baseline_of({}, "S2B_MSIL2A_20220618T105629_N0400_R094_T31UFU")
    4.0
    """
    for name in ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline"):
        if re.fullmatch(r"\d+(\.\d+)?", str(properties.get(name, ""))):
            return float(properties[name])
    named = re.search(r"_N(\d\d)(\d\d)_", f"{properties.get('s2:product_uri', '')} {item}")
    return float(f"{named[1]}.{named[2]}") if named else None


def source_of(item, band, boa_offset, backscatter, sign, env):
    key = _asset(item, band)
    asset = item.assets[key]
    source = Source(item.id, key, asset.get_absolute_href() or asset.href, sign=sign, env=env)
    coding = _coding(asset)
    source.nodata = coding.get("nodata")
    if band == "scl":
        source.kind, source.nodata = "classes", 0
    elif band in WAVELENGTHS:
        source.scale = coding.get("scale", 1e-4)
        source.nodata = 0 if source.nodata is None else source.nodata
        how = boa_offset.get(item.id, "auto") if isinstance(boa_offset, dict) else boa_offset
        source.offset = {"apply": BOA_OFFSET * source.scale, "none": 0.0}.get(how)
        if source.offset is None:
            source.offset = offset_of(item.properties, {**coding, "scale": source.scale}, item.id)
    else:
        source.scale, source.offset = coding.get("scale", 1.0), coding.get("offset", 0.0)
        source.kind = _radar_unit(item, key, coding) if backscatter == "auto" else backscatter
    return source


def _asset(item, band):
    """Key of the asset that holds a band: by name, by another name, or by what its bands are called."""
    lower = {key.lower(): key for key in reversed(item.assets)}
    for name in (band, *NAMES[band]):
        if name.lower() in lower:
            return lower[name.lower()]
    for key, asset in item.assets.items():
        described = asset.extra_fields.get("eo:bands") or asset.extra_fields.get("bands") or []
        names = [str(d.get("name", "")).lower() for d in described]
        if names in ([band.lower()], [NAMES[band][-1].lower()]):
            return key
    there = ", ".join(list(item.assets)[:12])
    raise InputError(f"{item.id}: the asset '{band}' is missing (there are {there}); ask for other bands, or {SKIP}")


def _coding(asset):
    """Scale, offset, nodata and unit as stated for an asset, in the ways of STAC 1.0 and 1.1."""
    about = asset.extra_fields
    first = [(about.get(name) or [{}])[0] for name in ("raster:bands", "bands")]
    coding = {}
    for name in ("scale", "offset", "nodata", "unit"):
        for place in (*first, about):
            value = place.get(name, place.get(f"raster:{name}"))
            if value is not None and name not in coding:
                coding[name] = value if name == "unit" else float(value)
    return coding


def _radar_unit(item, key, coding):
    """`linear` or `db`, as the catalogue says."""
    unit = str(coding.get("unit", "")).lower()
    if unit in ("db", "decibel", "decibels") or key.lower().endswith("_db"):
        return "db"
    collection = str(item.collection_id or "").lower()
    if unit in ("1", "linear", "power", "linear power", "m2 m-2", "m2/m2", "m²/m²") or collection.endswith("rtc"):
        return "linear"
    if "grd" in collection:
        raise InputError(f"{item.id}: '{item.collection_id}' holds uncalibrated amplitudes in the geometry of the "
                         "radar; read terrain-corrected backscatter, e.g. collection sentinel-1-rtc of "
                         "'planetary-computer', or give backscatter='linear' or 'db' if this one is calibrated")
    raise InputError(f"{item.id}: does not tell the unit of '{key}'; give backscatter='linear' or 'db'")
