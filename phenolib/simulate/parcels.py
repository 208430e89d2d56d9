"""A mosaic of parcels over an area of any size: where they lie, what grows in them, on which soil.

All of it is computed window by window: a place has the same parcel and the same noise whichever window asks for it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyproj

from phenolib.errors import InputError
from phenolib.simulate import clouds, crops, landscape
from phenolib.simulate.calendar import stream

GRAIN = 125  # pixels a side of a block of noise
QUARTER = 80  # pixels a side of a quarter section, 800 m
SMALLEST, MOST = 400, 16  # pixels of the smallest parcel, 4 ha; parcels in a quarter section
OTHERS = (("water", 0.015), ("fallow", 0.04), ("grass", 0.06))  # shares of parcels out of the rotations


@dataclass(frozen=True)
class Area:
    """A rectangle of pixels of 10 m.

    name           part of the names of its scenes, and key of its random streams
    west, north    corner in UTM [m]
    epsg           code of the UTM zone
    rows, columns  of pixels, even
    region         of ``landscape.REGIONS``
    """

    name: str
    west: float
    north: float
    epsg: int
    rows: int
    columns: int
    region: str

    def middles(self, rows, columns, pixel=10.0):
        """Centres of the pixels of a window in UTM: x (column,), y (row,) [m]."""
        return (self.west + (np.arange(columns.start, columns.stop) + 0.5) * pixel,
                self.north - (np.arange(rows.start, rows.stop) + 0.5) * pixel)

    @property
    def whole(self):
        """The window of the area: rows, columns."""
        return slice(0, self.rows), slice(0, self.columns)

    @property
    def centre(self):
        """lon, lat of the middle [°]."""
        x, y = self.west + 5 * self.columns, self.north - 5 * self.rows
        return pyproj.Transformer.from_crs(self.epsg, 4326, always_xy=True).transform(x, y)

    @property
    def edges(self):
        """left, bottom, right, top in UTM [m]."""
        return self.west, self.north - 10 * self.rows, self.west + 10 * self.columns, self.north

    @property
    def bbox(self):
        """west, south, east, north of the box in degrees that holds all of it; along meridians it is a little larger"""
        return pyproj.Transformer.from_crs(self.epsg, 4326, always_xy=True).transform_bounds(*self.edges)


def around(name, lon, lat, size, region):
    """The area of a size around a place.

    lon, lat  of the middle [°]
    size      rows, columns
    region    of ``landscape.REGIONS``
    returns   Area; its corner lies on whole 20 m
    raises    InputError for a size that is not even or out of range
    """
    rows, columns = (int(n) for n in size)
    if rows % 2 or columns % 2 or not (60 <= rows <= 11_000 and 60 <= columns <= 11_000):
        raise InputError(f"size {rows}x{columns}: give even numbers of rows and columns from 60 to 11000")
    code = (32600 if lat >= 0 else 32700) + int((lon + 180) // 6) + 1
    east, north = pyproj.Transformer.from_crs(4326, code, always_xy=True).transform(lon, lat)
    return Area(name, np.floor(east / 20) * 20.0 - 5.0 * columns // 20 * 20, np.ceil(north / 20) * 20.0
                + 5.0 * rows // 20 * 20, code, rows, columns, region)


class Noise:
    """Normal numbers that belong to places: a place has the same ones in every window.

    It stands in for a Generator where the last two axes of what is drawn are rows and columns.

    seed, keys   of the random streams
    row, column  of the first pixel of the window
    """

    def __init__(self, seed, *keys, row, column):
        self.seed, self.keys, self.row, self.column, self.draws = seed, keys, row, column, 0

    def standard_normal(self, shape, dtype="float32"):
        """returns (..., y, x), from one stream for each block of ``GRAIN`` pixels; each call draws anew"""
        *layers, rows, columns = shape
        found = np.empty(shape, dtype)
        for i in range(self.row // GRAIN, (self.row + rows - 1) // GRAIN + 1):
            for j in range(self.column // GRAIN, (self.column + columns - 1) // GRAIN + 1):
                block = stream(self.seed, *self.keys, self.draws, i, j).standard_normal((*layers, GRAIN, GRAIN), dtype)
                (to_y, from_y), (to_x, from_x) = (_overlap(k * GRAIN, GRAIN, start, size) for k, start, size in
                                                  ((i, self.row, rows), (j, self.column, columns)))
                found[..., to_y, to_x] = block[..., from_y, from_x]
        self.draws += 1
        return found


def _overlap(at, size, start, length):
    """Where a piece of a line lies in a window of it: slice of the window, slice of the piece."""
    low, high = max(at, start), max(min(at + size, start + length), max(at, start))
    return slice(low - start, high - start), slice(low - at, high - at)


def smooth(seed, key, area, rows, columns, *, sd, reach):
    """A factor around 1 whose neighbours are alike, e^{sd · g}, as ``landscape.smooth``; the same in every window.

    key       name of the random streams
    sd        of g [-]
    reach     of the smoothing [pixels]
    returns   (y, x) float32
    """
    from scipy.ndimage import gaussian_filter1d

    wide = int(4 * reach + 0.5)
    field = Noise(seed, key, area.name, row=rows.start - wide, column=columns.start - wide).standard_normal(
        (rows.stop - rows.start + 2 * wide, columns.stop - columns.start + 2 * wide))
    for axis in (0, 1):
        field = gaussian_filter1d(field, reach, axis)
    weights = np.exp(-0.5 * (np.arange(-wide, wide + 1) / reach) ** 2)
    spread = ((weights / weights.sum()) ** 2).sum()
    return np.exp(sd / spread * field[wide:-wide, wide:-wide]).astype(np.float32)


# ---- what lies where

def quarter(seed, area, i, j):
    """The parcels of a quarter section: rectangles of 4 to 64 ha, north and west of them a road or a field's edge.

    i, j     of the quarter section, from the corner of the area
    returns  list of (row, column, height, width) in pixels of the area
    """
    rng = stream(seed, "parcels", area.name, i, j)
    road, lane = 2 - i % 2, 2 - j % 2  # every other one is that of a section
    whole, done = [(i * QUARTER + road, j * QUARTER + lane, QUARTER - road, QUARTER - lane)], []
    wanted = np.exp(rng.uniform(np.log(1.5 * SMALLEST), np.log(QUARTER**2)))
    while whole:
        row, column, height, width = piece = whole.pop()
        if height * width <= max(wanted, 3 * SMALLEST):
            done.append(piece)
            continue
        share = rng.choice((0.5, 0.5, 0.5, 1 / 3, 2 / 3))
        if height > width or (height == width and rng.random() < 0.5):
            cut = round(height * share)
            whole += [(row, column, cut, width), (row + cut, column, height - cut, width)]
        else:
            cut = round(width * share)
            whole += [(row, column, height, cut), (row, column + cut, height, width - cut)]
    return done


def lay_out(seed, area, rows, columns):
    """The parcels of a window.

    rows, columns  slices of pixels of the area
    returns        (y, x) int32 number of the parcel, 0 on roads and edges; dict of number: (row, column) of its middle
    """
    found, middles = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.int32), {}
    across = -(-area.columns // QUARTER)
    for i in range(rows.start // QUARTER, (rows.stop - 1) // QUARTER + 1):
        for j in range(columns.start // QUARTER, (columns.stop - 1) // QUARTER + 1):
            for k, (row, column, height, width) in enumerate(quarter(seed, area, i, j)):
                y, _ = _overlap(row, height, rows.start, rows.stop - rows.start)
                x, _ = _overlap(column, width, columns.start, columns.stop - columns.start)
                if y.start < y.stop and x.start < x.stop:
                    number = (i * across + j) * MOST + k + 1
                    found[y, x] = number
                    middles[number] = row + height / 2, column + width / 2
    return found, middles


def soils_and_crops(seed, area, years, numbers, middles):
    """What the fields of an area are like, each from random streams of its own.

    numbers  of the parcels; below 0: roads and edges of a cell of weather, which bear grass
    middles  (field, 2) row and column of the middle
    returns  DataFrame parcel, sand, clay, irrigated; (field, year) names of crops; list of Generators for the growth

    Texture varies over some 8 km; it and the shares of ``OTHERS`` are project defaults.
    """
    climate = landscape.REGIONS[area.region][0]
    x, y = area.west + 10 * middles[:, 1], area.north - 10 * middles[:, 0]
    sand, clay = (clouds.sky(stream(seed, key, area.name), [0], reach=8000.0).at(x, y)[0] for key in ("sand", "clay"))
    rows, planted, count = [], [], years[1] - years[0] + 1
    edges = np.cumsum([share for _, share in OTHERS])
    for number in numbers:
        rng = stream(seed, "parcel", area.name, number)
        drawn, water = rng.random(2)
        other = "grass" if number < 0 else next((n for (n, _), e in zip(OTHERS, edges) if drawn < e), None)
        planted.append([other] * count if other else list(crops.rotation(rng, climate, years)))
        rows.append((max(int(number), 0), other is None and water < crops.REGIONS[climate][1]))
    table = pd.DataFrame(rows, columns=["parcel", "irrigated"], index=np.asarray(numbers))
    table["sand"], table["clay"] = np.clip(38 + 12 * sand, 15, 65), np.clip(23 + 6 * clay, 10, 34)
    return table, np.array(planted), [stream(seed, "growth", area.name, number) for number in numbers]
