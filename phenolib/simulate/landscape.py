"""The land around the simulated cameras: fields, their crops, soils and weather, and how they grow on one calendar."""

import itertools
from dataclasses import dataclass
from dataclasses import fields as fields_of
from functools import lru_cache

import numpy as np
import xarray as xr

from phenolib.errors import InputError
from phenolib.simulate import crops, ground, land, weather
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.simulate.true_dates import share_dates

TWINS = {  # simulated stand-ins for the five test cameras of Deep-CroP, of like place and crops: twin, lon, lat,
    # cluster, rotation
    "sim-mead2": ("mead2", -96.47, 41.16, "sim-mead", ("corn", "soybean")),
    "sim-mead3": ("mead3", -96.44, 41.18, "sim-mead", ("soybean", "corn")),
    "sim-cafcookwestltar01": ("cafcookwestltar01", -117.09, 46.78, "sim-cafcook", ("winter_wheat", "spring_wheat")),
    "sim-usof6": ("usof6", -90.04, 35.73, "sim-usof", ("soybean", "rice")),
    "sim-NEON.D06.KONA.DP1.00042": (
        "NEON.D06.KONA.DP1.00042", -96.56, 39.10, "sim-kona", ("winter_wheat", "soybean")),
}
REGIONS = {  # of the cameras: climate, lon, lat, rotations of the fields that cameras look at
    "belt": ("midwest", -93.5, 41.8, (("corn", "soybean"), ("soybean", "corn"), ("corn",))),
    "plains": ("plains", -98.5, 38.0, (("winter_wheat",), ("winter_wheat", "corn"), ("soybean",))),
    "palouse": ("northwest", -117.5, 46.9, (("winter_wheat", "spring_wheat"), ("spring_wheat", "dry_beans"))),
    "delta": ("delta", -90.8, 35.6, (("rice",), ("rice", "soybean"), ("soybean",))),
    "valley": ("california", -121.5, 38.2, (("rice",), ("alfalfa",), ("corn",))),
    "north": ("north", -97.5, 47.2, (("spring_wheat", "soybean"), ("dry_beans", "corn"))),
}
SQUARES = ("flanders", 3.9, 51.0)  # region and climate, lon, lat of the patches without a camera
SIZE = 26  # pixels of the map of a site: the patch and what geolocation may shift into it
LEAST = 0.5  # green leaf area that makes a season [m² m⁻²]
FIELDS = 4  # in the map of a site; the first is the one the camera looks at


@dataclass(frozen=True)
class Place:
    """One site: where it lies, and what grows where.

    site, lon, lat, cluster, split, twin    as in the table of sites
    region     of the cameras
    climate    of ``weather.CLIMATES``
    field      (y, x) number of the field of each pixel, 0 … FIELDS − 1
    vigour     (y, x) factor on the leaf area within a field [-]
    brightness (y, x) factor on the soil's reflectance [-]
    on_edge    whether the camera stands on the edge of its field
    """

    site: str
    lon: float
    lat: float
    cluster: str
    split: str
    twin: str
    region: str
    climate: str
    rotation: tuple
    field: np.ndarray
    vigour: np.ndarray
    brightness: np.ndarray
    on_edge: bool


def region_of(lon, lat):
    """The region of the cameras that a place belongs to: the nearest."""
    return min(REGIONS, key=lambda name: (lon - REGIONS[name][1]) ** 2 + (lat - REGIONS[name][2]) ** 2)


def places(seed, sites, *, config=DEFAULT):
    """The sites of the cameras with the fields around them; every third stands beside the one before it.

    seed     of the archive
    sites    how many; the first five stand in for the test cameras of Deep-CroP
    returns  list of Place; a site keeps its land whatever their number
    """
    found = [_place(seed, site, lon, lat, cluster, rotation, "test", twin, region_of(lon, lat), config)
             for site, (twin, lon, lat, cluster, rotation) in list(TWINS.items())[:sites]]
    names = list(REGIONS)
    for number in range(1, sites - len(found) + 1):
        site = f"sim-{number:03d}"
        draw = stream(seed, "place", site)
        region = names[(number // 2) % len(names)]
        _, lon, lat, rotations = REGIONS[region]
        neighbour = number > 1 and number % 3 == 0
        shift = draw.standard_normal(2)
        lon, lat, cluster = ((round(found[-1].lon + 0.01, 4), found[-1].lat, found[-1].cluster) if neighbour else (
            round(lon + 1.5 * shift[0], 4), round(lat + 0.8 * shift[1], 4), site))
        region = found[-1].region if neighbour else region
        rotations = REGIONS[region][3]
        found.append(_place(seed, site, lon, lat, cluster, rotations[draw.integers(len(rotations))], "train", "",
                            region, config))
    return found


def squares(seed, count, *, config=DEFAULT):
    """Places in Flanders without a camera, beside which the real squares of there can be laid. returns list of Place"""
    region, lon, lat = SQUARES
    found = []
    for number in range(1, count + 1):
        draw, site = stream(seed, "square", number), f"sim-square-{number:02d}"
        rotation = crops.rotation(draw, region, (0, 5))
        lon_lat = (round(at + spread * draw.standard_normal(), 4) for at, spread in ((lon, 0.4), (lat, 0.1)))
        found.append(_place(seed, site, *lon_lat, site, tuple(rotation), "", "", region, config))
    return found


def _place(seed, site, lon, lat, cluster, rotation, split, twin, region, config):
    rng = stream(seed, "land", site)
    on_edge = bool(rng.random() < config.camera_on_edge)
    field = fields(rng, on_edge)
    climate = REGIONS[region][0] if region in REGIONS else region
    return Place(site, lon, lat, cluster, split, twin, region, climate, tuple(rotation), field,
                 smooth(rng, field.shape, 0.12, 4), smooth(rng, field.shape, 0.10, 3), on_edge)


def fields(rng, on_edge, size=SIZE):
    """A map of four fields that meet near the middle; the camera stands there and looks north at field 0.

    returns (y, x) int, row 0 in the north
    """
    centre = size // 2
    row = centre if on_edge else centre + int(rng.integers(4, 9))  # the first row south of the camera's field
    column = centre - int(rng.integers(5, 10)) if rng.random() < 0.5 else centre + int(rng.integers(5, 10))
    lower = int(np.clip(column + rng.integers(-6, 7), 2, size - 3))
    y, x = np.mgrid[:size, :size]
    other = x >= column if column > centre else x < column
    return np.where(y < row, np.where(other, 1, 0), np.where(x < lower, 2, 3))


def smooth(rng, shape, sd, reach):
    """A factor around 1 whose neighbours are alike: e^{sd · g}, g a Gaussian field smoothed over ``reach`` pixels."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.standard_normal(shape), reach, mode="wrap")
    return np.exp(sd * field / field.std()).astype(np.float32)


@lru_cache(maxsize=1)
def whole(config=DEFAULT):
    """The landscape of an archive: its places, their weather and what grows there; kept for the next part that asks.

    returns  list of Place, the camera sites before the squares; weather and growth as ``grow`` gives them
    """
    found = places(config.seed, config.sites, config=config) + squares(config.seed, config.squares, config=config)
    return found, *grow(config.seed, found, config.years, config=config)


def grow(seed, found, years, *, config=DEFAULT):
    """Weather, crops and soils of all fields of the sites.

    seed     of the archive
    found    list of Place
    years    first and last harvest year; the same places differ when another year is the first
    config   for ``warmer``, ``rain`` and ``roughness``
    returns  (weather, growth): weather (site, time) as ``weather.make``; growth as ``crops.grow`` with the fields of
             the first site first, and the coordinate site (field)
    raises   InputError for years out of range
    """
    if not 1990 <= years[0] <= years[1] <= 2100:
        raise InputError(f"years = {years[0]}-{years[1]} is out of range; give a first and a last year, e.g. 2018-2020")
    skies, planted, water, rngs, soils = [], [], [], [], []
    for place in found:  # one weather for a cluster
        skies.append(weather.make(stream(seed, "weather", place.cluster), place.climate, place.lat, years,
                                  rain=config.rain, warmer=config.warmer))
        below = ground.soil_of(ground.make(seed, place.site, place.region, place.field.shape), place.field)
        soils += [land.soils([float(below["sand"][k])], [float(below["clay"][k])], stream(seed, "soil", place.site, k))
                  for k in range(FIELDS)]
        for number in range(FIELDS):
            rng = stream(seed, "field", place.site, number)
            share = crops.REGIONS[place.climate][1]
            if number:
                planted.append(crops.rotation(rng, place.climate, years))
            else:
                planted.append([place.rotation[(k + years[0]) % len(place.rotation)]
                                for k in range(years[1] - years[0] + 1)])
            water.append(bool(rng.random() < share))
            rngs.append(stream(seed, "growth", place.site, number))
    sky = xr.concat(skies, "site")
    soil = land.Soil(*(np.concatenate([getattr(one, f.name) for one in soils]) for f in fields_of(land.Soil)))
    site = np.repeat(np.arange(len(found)), FIELDS)
    growth = crops.grow(rngs, sky, soil, np.array(planted), years=years, site=site, irrigated=np.array(water))
    growth["roughness"] = growth["roughness"] * np.float32(config.roughness)
    return sky, growth.assign_coords(site=("field", np.array([p.site for p in found])[site]),
                                     number=("field", np.tile(np.arange(FIELDS), len(found))))


def windows(growth):
    """The growths of one field in time order: of crops, of catch crops between them, and from cut to cut.

    growth   (time,) of one field of ``grow``
    returns  list of (crop, harvest year, first, last): positions in time within which the growth has its peak
    """
    time, found = growth["time"].values, []
    years = time.astype("datetime64[Y]").astype(int) + 1970
    for s, year in enumerate(growth["season"].values):
        crop = str(growth["planted"].values[s])
        if crops.CROPS[crop].kind == "cut":
            stands = np.flatnonzero((growth["crop"].values == crops.CODES[crop]) & (years == year))
            if stands.size:
                cuts = np.flatnonzero(growth["mown"].values & (years == year))
                edges = [stands[0], *cuts[(cuts > stands[0]) & (cuts < stands[-1])], stands[-1]]
                found += [(crop, int(year), a + 1, b) for a, b in itertools.pairwise(edges)]  # cut in the evening
        elif not np.isnat(ends := [growth[event].values[s] for event in ("sowing", "harvest")]).any():
            found.append((crop, int(year), *np.searchsorted(time, ends)))
    covered = np.flatnonzero(growth["crop"].values == crops.CODES["catch_crop"])
    for run in np.split(covered, np.flatnonzero(np.diff(covered) > 1) + 1):
        if run.size:
            found.append(("catch_crop", int(years[run[0]]), run[0], run[-1]))
    return sorted(found, key=lambda one: one[2])


def truth(growth, shares):
    """True dates of every season of every field: of the green leaf area.

    growth   of ``grow``
    shares   of the amplitude, per cent
    returns  list of dict: site, field, crop, season, direction, share, date; the two sides by their own lowest area
    """
    rows, time = [], growth["time"].values
    kept = growth[["lai_green", "crop", "mown", "sowing", "harvest", "planted"]]
    for k in range(growth.sizes["field"]):
        own = kept.isel(field=k)
        about = {"site": str(own["site"].values), "field": int(own["number"])}
        rows += [{**about, **row, "date": str(row["date"])[:19]}
                 for row in share_dates(time, own["lai_green"].values, windows(own), shares, LEAST)]
    return rows
