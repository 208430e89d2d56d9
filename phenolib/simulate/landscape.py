"""The land around the simulated cameras: fields, their crops, soils and weather, and how they grow on one calendar."""

import itertools
from dataclasses import dataclass
from dataclasses import fields as fields_of

import numpy as np
import xarray as xr

from phenolib import agreement
from phenolib.errors import InputError
from phenolib.simulate import cameras, crops, land, weather
from phenolib.simulate.calendar import stream

CLIMATE_OF = {"belt": "midwest", "plains": "plains", "palouse": "northwest", "delta": "delta", "valley": "california",
              "north": "north"}  # region of the cameras: climate
SIZE = 26  # pixels of the map of a site: the patch and what geolocation may shift into it
EDGE = 0.3  # share of sites whose camera stands on the edge of its field: the pixel it stands in is another crop's
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
    return min(cameras.REGIONS, key=lambda name: (lon - cameras.REGIONS[name][0]) ** 2
               + (lat - cameras.REGIONS[name][1]) ** 2)


def places(seed, sites):
    """The sites of the cameras with the fields around them.

    seed     of the archive
    sites    how many
    returns  list of Place; a site keeps its land whatever their number
    """
    found = []
    for row in cameras.places(seed, sites):
        rng = stream(seed, "land", row["site"])
        region = region_of(row["lon"], row["lat"])
        on_edge = bool(rng.random() < EDGE)
        field = fields(rng, on_edge)
        found.append(Place(
            row["site"], row["lon"], row["lat"], row["cluster"], row["split"], row["twin"], region, CLIMATE_OF[region],
            tuple(name.replace(" ", "_") for name in row["rotation"]), field, smooth(rng, field.shape, 0.12, 4),
            smooth(rng, field.shape, 0.10, 3), on_edge))
    return found


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


def grow(seed, found, years):
    """Weather, crops and soils of all fields of the sites.

    seed     of the archive
    found    list of Place
    years    first and last harvest year
    returns  (weather, growth): weather (site, time) as ``weather.make``; growth as ``crops.grow`` with the fields of
             the first site first, and the coordinate site (field)
    raises   InputError for years out of range
    """
    if not 1990 <= years[0] <= years[1] <= 2100:
        raise InputError(f"years = {years[0]}-{years[1]} is out of range; give a first and a last year, e.g. 2018-2020")
    skies, planted, water, rngs, sand, clay = [], [], [], [], [], []
    for place in found:  # one weather for a cluster
        skies.append(weather.make(stream(seed, "weather", place.cluster), place.climate, place.lat, years))
        for number in range(FIELDS):
            rng = stream(seed, "field", place.site, number)
            share = crops.REGIONS[place.climate][1]
            if number:
                planted.append(crops.rotation(rng, place.climate, years))
            else:
                planted.append([place.rotation[(k + years[0]) % len(place.rotation)]
                                for k in range(years[1] - years[0] + 1)])
            water.append(bool(rng.random() < share))
            sand.append(rng.uniform(15, 60))
            clay.append(rng.uniform(12, 35))
            rngs.append(stream(seed, "growth", place.site, number))
    sky = xr.concat(skies, "site")
    each = [land.soils([a], [b], stream(seed, "soil", k)) for k, (a, b) in enumerate(zip(sand, clay))]
    soil = land.Soil(*(np.concatenate([getattr(one, f.name) for one in each]) for f in fields_of(land.Soil)))
    site = np.repeat(np.arange(len(found)), FIELDS)
    growth = crops.grow(rngs, sky, soil, np.array(planted), years=years, site=site, irrigated=np.array(water))
    return sky, growth.assign_coords(site=("field", np.array([p.site for p in found])[site]),
                                     number=("field", np.tile(np.arange(FIELDS), len(found))))


def truth(growth, shares):
    """True dates of every season of every field: of the green leaf area, from sowing to harvest.

    growth   of ``grow``
    shares   of the amplitude, per cent
    returns  list of dict: site, field, crop, season, direction, share, date; the two sides by their own lowest area
    """
    rows = []
    time = growth["time"].values
    area = growth["lai_green"].values
    for k in range(growth.sizes["field"]):
        for s, year in enumerate(growth["season"].values):
            first, last = growth["sowing"].values[k, s], growth["harvest"].values[k, s]
            if np.isnat(first) or np.isnat(last):
                continue
            a, b = np.searchsorted(time, [first, last])
            b = min(b + 20, time.size - 1)
            peak = a + int(area[k, a : b + 1].argmax())
            if area[k, peak] < LEAST or peak in (a, b):
                continue
            troughs = {"rising": a + int(area[k, a:peak].argmin()), "falling": b - int(area[k, b:peak:-1].argmin())}
            for share, (direction, trough) in itertools.product(shares, troughs.items()):
                date = agreement.crossing(time, area[k], trough, peak, share / 100)
                if not np.isnat(date):
                    rows.append({"site": str(growth["site"].values[k]), "field": int(growth["number"].values[k]),
                                 "crop": str(growth["planted"].values[k, s]), "season": int(year),
                                 "direction": direction, "share": share, "date": str(date)[:19]})
    return rows
