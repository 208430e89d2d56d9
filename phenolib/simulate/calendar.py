"""Crops, their calendars and their green leaf area through the years."""

import zlib
from dataclasses import dataclass

import numpy as np


def stream(seed, *keys):
    """A random generator of its own for a seed and any number of names and numbers."""
    return np.random.default_rng([seed, *(zlib.crc32(str(key).encode()) for key in keys)])


@dataclass(frozen=True)
class Crop:
    """How one growth of a crop goes by; all dates in days of the harvest year, spreads in days.

    Project defaults. Sowing dates and their spread are set so that they look like weekly state-wide crop progress
    and like the spread among real crop cameras; they are not measurements.
    """

    sowing: float  # mean day of year; negative: the year before
    sowing_sd: float
    rise: float  # days from sowing to half of the leaf area
    rise_sd: float
    rise_rate: float  # r₁ [1/day]
    duration: float  # days from half of the leaf area to half of the canopy brown
    duration_sd: float
    brown_scale: float  # s of the browning [days]
    leaf_area: float  # LAI_max [m² m⁻²]
    harvest: float  # days from half brown to harvest
    tassel: float = 0.0  # dip of greenness when the crop flowers


CROPS = {
    "corn": Crop(127, 8, 41, 4, 0.16, 91, 6, 7, 5.0, 22, 0.018),
    "soybean": Crop(138, 9, 44, 5, 0.13, 74, 6, 5, 5.0, 14),
    "winter wheat": Crop(-82, 9, 188, 7, 0.075, 62, 6, 6, 4.5, 14),
    "spring wheat": Crop(112, 9, 36, 5, 0.13, 52, 5, 6, 4.0, 14),
    "rice": Crop(120, 10, 48, 5, 0.12, 70, 6, 7, 5.5, 12),
    "dry beans": Crop(152, 8, 36, 4, 0.14, 48, 5, 5, 3.5, 8),
    "alfalfa": Crop(60, 8, 30, 5, 0.25, 400, 1, 8, 4.0, 0),
}
CUTS = 5  # of alfalfa a year
CUT_EVERY = 38  # days
REGROWTH = 20  # days from a cut to half of the leaf area


@dataclass(frozen=True)
class Growth:
    """One growth with its dates, in days since the epoch of the calendar."""

    crop: str
    harvest_year: int
    half: float
    brown: float
    end: float
    crop_facts: Crop
    vigour: float
    autumn: float = 0.0  # day of half of the autumn growth; 0: none
    cut: bool = False


def growths(seed, site, rotation, years, epoch, *, delay=0.0):
    """The growths of one field through the years.

    seed, site   key of the random stream, with the harvest year
    rotation     crop names, one a year, in turn
    years        first and last harvest year
    epoch        datetime64[D] that is day 0
    delay        of the field against the crop's mean [days]
    returns      list of Growth, in time order

    A year is early or late for a whole region: sites of one region are given one ``delay`` stream by the caller.
    """
    found = []
    for year in range(years[0], years[1] + 1):
        name = rotation[(year - years[0]) % len(rotation)]
        crop = CROPS[name]
        draw = stream(seed, "calendar", site, year)
        january = float((np.datetime64(f"{year}-01-01", "D") - epoch).astype(int))
        weather = 5.0 * stream(seed, "spring", year).standard_normal()  # one spring for all
        sown = january + crop.sowing + delay + weather + crop.sowing_sd * draw.standard_normal()
        vigour = float(np.clip(1 + 0.15 * draw.standard_normal(), 0.5, 1.4))
        half = sown + crop.rise + crop.rise_sd * draw.standard_normal()
        if name == "alfalfa":
            for _ in range(CUTS):
                end = half + CUT_EVERY - REGROWTH + 3 * draw.standard_normal()
                found.append(Growth(name, year, half, end + 30, end, crop, vigour, cut=True))
                half = end + REGROWTH
            continue
        brown = half + crop.duration + crop.duration_sd * draw.standard_normal()
        end = brown + crop.harvest + 4 * abs(draw.standard_normal())
        autumn = sown + 22 if name == "winter wheat" else 0.0
        found.append(Growth(name, year, half, brown, end, crop, vigour, autumn))
    return found


def leaf_area(growth, day):
    """Leaf area index and its green share of one growth on given days.

    LAI(t) = LAI_max · [1/(1+e^{−r₁(t−t₁)}) − 1/(1+e^{−r₂(t−t₂)})], green share g(t) = 1/(1+e^{(t−t_sen)/s})

    Leaf area falls only at harvest (r₂ = 1 per day); the canopy browns before. Winter wheat has a low autumn growth
    that stands through winter. returns (day,), (day,) [m² m⁻², -]
    """
    crop = growth.crop_facts
    rise = 1 / (1 + np.exp(-crop.rise_rate * (day - growth.half)))
    if growth.autumn:
        low = 0.05 / (1 + np.exp(-0.18 * (day - growth.autumn)))
        rise = np.maximum(rise, low)
    standing = 1 - 1 / (1 + np.exp(-np.clip(day - growth.end, -500, 500)))
    green = 1 / (1 + np.exp(np.clip((day - growth.brown) / crop.brown_scale, -500, 500)))
    return crop.leaf_area * growth.vigour * rise * standing, green
