"""Rasters in files, on disk or behind a URL, as values on a grid: opened, checked, read when they are computed."""

import functools
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from phenolib.errors import InputError
from phenolib.files import digest
from phenolib.sources.sentinel import WAVELENGTHS

SCL_MEANINGS = ("no_data saturated dark cloud_shadow vegetation bare_soil water unclassified cloud_medium_probability "
                "cloud_high_probability thin_cirrus snow")
GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": "3", "GDAL_HTTP_RETRY_DELAY": "1"}
SKIP = "give missing='skip' to leave the scene out"
SMALL = 300 * 300  # pixels of a part whose classes are remembered: all bands of a scene ask for the same
KNOT = 16  # pixels between those that are transformed to another coordinate system


@dataclass
class Source:
    """One raster of a scene and how its numbers become values."""

    item: str
    asset: str
    href: str
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    kind: str = "reflectance"  # reflectance, classes, linear, db
    number: int = 1  # of the band in the file
    sign: bool = False
    env: dict = field(default_factory=dict)
    otherwise: str = SKIP

    @property
    def path(self):
        """What GDAL opens."""
        href = self.href
        if self.sign:
            import planetary_computer

            href = planetary_computer.sign(href)
        if href.startswith("s3://"):
            return "/vsis3/" + href.removeprefix("s3://")
        return "/vsicurl/" + href if re.match("https?://", href) else href

    def refuse(self, why):
        """The error of this raster, as one line."""
        return InputError(f"{self.item}: the asset '{self.asset}' ({bare(self.href)}) {why}, or {self.otherwise}")


def probe(source):
    """Coordinate system, transform and shape of a raster; or, not raised, the error that it cannot be read."""
    import rasterio

    try:
        with rasterio.Env(**GDAL, **source.env), rasterio.open(source.path) as file:
            if file.crs is None:
                return source.refuse("is not in map coordinates; give a terrain-corrected product")
            need, size = _last_byte(file), _size(source)
            if need and size is not None and size < need:
                return source.refuse(f"is truncated ({size} of at least {need} bytes); download it again")
            return file.crs, file.transform, file.shape
    except (rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError, OSError) as error:
        return source.refuse(_unreadable(error))


def _last_byte(file):
    """Where the last block of a GeoTIFF ends [byte]; 0 for other formats."""
    if file.driver not in ("GTiff", "COG"):
        return 0
    height, width = file.block_shapes[0]
    bands = file.count if str(file.profile.get("interleave", "")).lower() == "band" else 1
    end = 0
    for band, row, column in np.ndindex(bands, -(-file.height // height), -(-file.width // width)):
        tags = [file.get_tag_item(f"BLOCK_{w}_{column}_{row}", "TIFF", bidx=band + 1) for w in ("OFFSET", "SIZE")]
        if all(tags):
            end = max(end, int(tags[0]) + int(tags[1]))
    return end


def _size(source):
    """Bytes of a file; None where that cannot be learnt."""
    if Path(source.href).is_file():
        return Path(source.href).stat().st_size
    if not re.match("https?://", source.href):
        return None
    try:
        with urlopen(Request(source.path.removeprefix("/vsicurl/"), method="HEAD"), timeout=20) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, TypeError, ValueError):
        return None


def _unreadable(error):
    text = str(error)
    code = re.search(r"HTTP (?:response|error) code ?:? ?(\d{3})|\b(40[134])\b", text)
    if code or "does not exist" in text or "No such file" in text:
        number = next((c for c in code.groups() if c), "") if code else ""
        what = f"answers with HTTP {number}" if number else "does not exist"
        return f"{what}; check the address" + (" and your keys" if number in ("401", "403") else "")
    return f"cannot be read, it may be truncated ({why(error)}); download it again"


def why(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}".split("?")[0]


def bare(href):
    """An address without the key that may be in it."""
    return str(href).split("?")[0] if re.match("https?://", str(href)) else str(href)


# ---- the grid

@dataclass
class Grid:
    """Where the pixels of the cube lie: coordinates, top left corner, rows and columns; of a part, where it begins."""

    crs: object
    transform: object
    shape: tuple
    first: tuple = (0, 0)

    def part(self, rows, columns):
        """The grid of some of the rows and columns, given as (first, end)."""
        return Grid(self.crs, _moved(self.transform, columns[0], rows[0]), (rows[1] - rows[0], columns[1] - columns[0]),
                    (self.first[0] + rows[0], self.first[1] + columns[0]))

    def coarser(self, n):
        """The grid of pixels n times as wide that covers this one."""
        return Grid(self.crs, _moved(self.transform, 0, 0, n, n), tuple(-(-size // n) for size in self.shape))

    def middles(self):
        """Coordinates x and y of the middles of the pixels."""
        (rows, columns), at, unit = self.shape, self.transform, {"units": "m" if self.crs.is_projected else "degrees"}
        return {"y": ("y", at.f + (np.arange(rows) + 0.5) * at.e, unit),
                "x": ("x", at.c + (np.arange(columns) + 0.5) * at.a, unit)}

    def bounds(self):
        """left, bottom, right, top"""
        (left, right), (top, bottom) = zip(corner(self.transform, 0, 0), corner(self.transform, *self.shape[::-1]))
        return left, bottom, right, top


def corner(transform, column, row):
    """x and y of the top left corner of a pixel (or column and row, with the inverse transform)."""
    a, b, c, d, e, f = transform[:6]
    return a * column + b * row + c, d * column + e * row + f


def _moved(transform, column, row, wide=1, high=1):
    """The transform of a part that starts at a column and row, of pixels so many times as wide and high."""
    from affine import Affine

    x, y = corner(transform, column, row)
    return Affine(transform.a * wide, transform.b * high, x, transform.d * wide, transform.e * high, y)


# ---- the pixels

class Layers:
    """One band of the cube (time, y, x), read where it is indexed."""

    ndim = 3

    def __init__(self, steps, grid, kind, keep, missing):
        self.steps = steps  # per time: [(Source, Source of classes or None), ...]
        self.grid, self.kind, self.keep, self.missing = grid, kind, keep, missing
        self.shape = (len(steps), *grid.shape)
        self.dtype = np.dtype("uint8" if kind == "classes" else "float32")

    def __getitem__(self, key):
        key = tuple(key) if isinstance(key, tuple) else (key,)
        key += (slice(None),) * (3 - len(key))
        picks = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape)]
        if not all(len(p) for p in picks):
            return np.empty([len(p) for p in picks], self.dtype)
        (top, bottom), (left, right) = ((int(p.min()), int(p.max()) + 1) for p in picks[1:])
        part = self.grid.part((top, bottom), (left, right))
        block = np.stack([self._step(int(t), part) for t in picks[0]])
        block = block[:, picks[1] - top][:, :, picks[2] - left]
        return block[tuple(0 if np.ndim(k) == 0 and not isinstance(k, slice) else slice(None) for k in key)]

    def _step(self, t, part):
        out = np.full(part.shape, 0 if self.kind == "classes" else np.nan, self.dtype)
        for source, classes in self.steps[t]:
            empty = out == 0 if self.kind == "classes" else np.isnan(out)
            if not empty.any():
                break
            try:
                values = read_raster(source, part)
                if classes is not None:
                    values[~np.isin(_classes(classes, part), self.keep)] = np.nan
            except InputError as error:
                if self.missing == "raise":
                    raise
                warnings.warn(f"{error}; its pixels are missing", stacklevel=2)
                continue
            out = np.where(empty, values, out).astype(self.dtype)
        return out


@dataclass(frozen=True)
class _Part:
    """A part of a file as it is now: what is remembered of it holds until the file changes."""

    key: tuple
    source: Source = field(compare=False)
    grid: Grid = field(compare=False)


def _classes(source, grid):
    """The classes of a small part of a file on disk, read once for the bands that follow each other; else read."""
    path = Path(source.href)
    if np.prod(grid.shape) > SMALL or not path.is_file():
        return read_raster(source, grid)
    stat = path.stat()
    key = str(path), stat.st_mtime_ns, stat.st_size, source.number, str(grid.crs), tuple(grid.transform), grid.shape
    return _remembered(_Part(key, source, grid))


@functools.lru_cache(maxsize=700)
def _remembered(part):
    values = read_raster(part.source, part.grid)
    values.flags.writeable = False
    return values


def read_raster(source, grid, *, step=1):
    """The values of one raster on a grid.

    source   Source
    grid     Grid
    step     read every nth pixel of the raster only (classes)
    returns  (y, x) float32 with NaN where missing; uint8 with 0 where missing for classes
    raises   InputError naming item and asset
    """
    import rasterio
    from rasterio.warp import transform_bounds
    from rasterio.windows import Window

    classes = source.kind == "classes"
    out = np.full(grid.shape, 0 if classes else np.nan, "uint8" if classes else "float32")
    try:
        with rasterio.Env(**GDAL, **source.env), rasterio.open(source.path) as file:
            left, bottom, right, top = transform_bounds(grid.crs, file.crs, *grid.bounds(), densify_pts=21)
            corners = [corner(~file.transform, x, y) for x in (left, right) for y in (bottom, top)]
            columns, rows = zip(*corners)
            ratio = (max(columns) - min(columns)) / grid.shape[1], (max(rows) - min(rows)) / grid.shape[0]
            more = 2 + int(np.ceil(max(ratio)))
            (c0, c1), (r0, r1) = ((max(int(np.floor(min(v))) - more, 0), min(int(np.ceil(max(v))) + more, n))
                                  for v, n in ((columns, file.width), (rows, file.height)))
            if c1 <= c0 or r1 <= r0:
                return out
            window = Window(c0, r0, c1 - c0, r1 - r0)
            shape = (-(-(r1 - r0) // step), -(-(c1 - c0) // step))
            values = file.read(source.number, window=window, out_shape=shape)
            empty = file.read_masks(source.number, window=window, out_shape=shape) == 0 if _has_mask(file) else None
            nodata = file.nodata if source.nodata is None else source.nodata
            transform = _moved(file.transform, c0, r0, (c1 - c0) / shape[1], (r1 - r0) / shape[0])
            crs = file.crs
    except (rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError, OSError) as error:
        raise source.refuse(_unreadable(error)) from error
    values = _valued(values, empty, nodata, source)
    place = _aligned(transform, crs, grid)
    if place is not None:
        return _put(values, out, *place)
    if classes:
        return _nearest(values, *positions(grid, crs, transform), 0)
    times = int(np.ceil(max(ratio) - 1e-6))
    if times < 2:
        return _bilinear(values, *positions(grid, crs, transform))
    total, count = np.zeros(grid.shape), np.zeros(grid.shape, "int32")
    for down, right in np.ndindex(times, times):  # the mean of as many points in the pixel as it has pixels under it
        point = _nearest(values, *positions(grid, crs, transform, (right + 0.5) / times, (down + 0.5) / times), np.nan)
        there = np.isfinite(point)
        total[there] += point[there]
        count += there
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype("float32")


def positions(grid, crs, transform, right=0.5, down=0.5):
    """Where the pixels of a grid lie in a raster.

    The same in whatever block a pixel is read, which the approximation in the warper of GDAL does not give.

    grid         Grid
    crs          of the raster
    transform    of the raster
    right, down  the point of the pixel, as share of its sides
    returns      rows, columns: (y, 1) and (1, x) in the same coordinate system, else (y, x); 0.5 is the middle of the
                 first row or column
    """
    if crs == grid.crs and transform.b == transform.d == 0:
        x, y = corner(grid.transform, np.arange(grid.shape[1])[None] + right, np.arange(grid.shape[0])[:, None] + down)
        return (y[:, :1] - transform.f) / transform.e, (x[:1] - transform.c) / transform.a
    columns, rows = corner(~transform, *_elsewhere(grid, crs, right, down))
    return rows, columns


def _elsewhere(grid, crs, right, down):
    """x, y (y, x) of the pixels of a grid in another coordinate system.

    Transformed at every 16th pixel of the whole grid and linear between, less than 1e-4 of a pixel from the truth.
    """
    from pyproj import Transformer

    inner = [first + np.arange(n) + share for first, n, share in zip(grid.first, grid.shape, (down, right))]
    knots = [np.arange(p[0] // KNOT, p[-1] // KNOT + 2) * KNOT for p in inner]
    x, y = corner(grid.transform, knots[1][None] - grid.first[1], knots[0][:, None] - grid.first[0])
    found = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(*np.broadcast_arrays(x, y))
    (row, column), (low, wide) = zip(*(((p // KNOT - k[0] // KNOT).astype(int), p % KNOT / KNOT)
                                       for p, k in zip(inner, knots)))
    for values in found:
        lines = values[row] * (1 - low[:, None]) + values[row + 1] * low[:, None]
        yield lines[:, column] * (1 - wide) + lines[:, column + 1] * wide


def _nearest(values, rows, columns, fill):
    """(y, x) the pixels in which the positions lie, ``fill`` outside."""
    height, width = values.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    row, column = (np.clip(np.floor(np.nan_to_num(p)), 0, n - 1).astype(int)
                   for p, n in ((rows, height), (columns, width)))
    return np.where(inside, values[row, column], np.array(fill, values.dtype))


def _bilinear(values, rows, columns):
    """(y, x) between the middles of the four pixels around, of those that are there; missing where the nearest is."""
    height, width = values.shape
    nearest = _nearest(values, rows, columns, np.nan)
    rows, columns = (np.clip(np.nan_to_num(p) - 0.5, 0, n - 1) for p, n in ((rows, height), (columns, width)))
    total, weights = 0.0, 0.0
    for down in (0, 1):
        row = np.minimum(np.floor(rows).astype(int) + down, height - 1)
        high = 1 - down + (2 * down - 1) * (rows - np.floor(rows))
        for right in (0, 1):
            column = np.minimum(np.floor(columns).astype(int) + right, width - 1)
            wide = 1 - right + (2 * right - 1) * (columns - np.floor(columns))
            value = values[row, column].astype("float64")
            weight = np.where(np.isfinite(value), high * wide, 0)
            total, weights = total + weight * np.nan_to_num(value), weights + weight
    there = np.isfinite(nearest) & (weights > 0)
    return np.where(there, total / np.where(there, weights, 1), np.nan).astype("float32")


def _has_mask(file):
    from rasterio.enums import MaskFlags

    return MaskFlags.per_dataset in file.mask_flag_enums[0]


def _valued(numbers, empty, nodata, source):
    """Digital numbers as values; what is missing is NaN, or class 0."""
    missing = ~np.isfinite(numbers) | (numbers == -9999)
    if source.kind == "classes":
        return np.where(missing | (numbers < 0) | (numbers > 11), 0, numbers).astype("uint8")
    if nodata is not None:
        missing |= numbers == nodata
    if empty is not None:
        missing |= empty
    if source.kind == "linear":
        missing |= numbers == 0  # no echo is weaker than the noise: zeros are the border of a scene
    values = numbers.astype("float64") * source.scale + source.offset
    if source.kind == "db":
        values = 10 ** (np.where(missing, 0.0, values) / 10)
    return np.where(missing, np.nan, values).astype("float32")


def _aligned(transform, crs, grid):
    """Row and column of the raster's first pixel on the grid, None where their pixels do not coincide."""
    same = crs == grid.crs and np.allclose([transform.a, transform.b, transform.d, transform.e],
                                           [grid.transform.a, 0, 0, grid.transform.e], rtol=1e-9)
    if not same:
        return None
    column, row = corner(~grid.transform, transform.c, transform.f)
    return (round(row), round(column)) if max(abs(column - round(column)), abs(row - round(row))) < 1e-4 else None


def _put(values, out, row, column):
    """Lay values into out, their first pixel at row and column; what sticks out is cut."""
    r0, c0 = max(row, 0), max(column, 0)
    r1, c1 = min(row + values.shape[0], out.shape[0]), min(column + values.shape[1], out.shape[1])
    if r1 > r0 and c1 > c0:
        out[r0:r1, c0:c1] = values[r0 - row:r1 - row, c0 - column:c1 - column]
    return out


def lazy(band, steps, grid, *, keep=None, missing="raise", chunks=None):
    """One variable of a cube, read when it is computed.

    band     its name
    steps    per time the sources of which a pixel takes the first that has it: [(Source, Source of scl or None), ...]
    grid     Grid
    keep     classes that are kept where a step has scl
    missing  "raise", or "skip": missing pixels and a warning where a file cannot be read
    chunks   {"time": 1, "y": 1024, "x": 1024}; False: no dask, each window is read as it is asked for
    returns  (("time", "y", "x"), dask array or an array of xarray that reads where it is indexed, attributes)
    """
    import dask.array

    if chunks is False:
        layers = Layers(steps, grid, "classes" if band == "scl" else "values", keep, missing)
        return ("time", "y", "x"), indexing.LazilyIndexedArray(Windowed(layers)), described(band)
    sizes = {"time": 1, "y": 1024, "x": 1024, **(chunks or {})}
    if set(sizes) != {"time", "y", "x"}:
        raise InputError(f"chunks names {', '.join(sizes)}; time, y and x are expected")
    layers = Layers(steps, grid, "classes" if band == "scl" else "values", keep, missing)
    name = f"{band}-" + digest(steps, str(grid.crs), tuple(grid.transform), grid.shape, keep, missing)
    data = dask.array.from_array(layers, chunks=tuple(sizes[d] for d in ("time", "y", "x")), name=name, asarray=False,
                                 meta=np.empty((0, 0, 0), layers.dtype))
    return ("time", "y", "x"), data, described(band)


class Windowed(BackendArray):
    """Layers as xarray reads them: an index stays lazy, and loading reads its window once."""

    def __init__(self, layers):
        self.layers, self.shape, self.dtype = layers, layers.shape, layers.dtype

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER,
                                                  self.layers.__getitem__)

    def __deepcopy__(self, memo):
        return self  # nothing in it changes


def described(band):
    """Attributes of a variable: long_name and units, and the classes of scl."""
    if band == "scl":
        return {"long_name": "scene classification", "units": "1", "flag_values": np.arange(12, dtype="uint8"),
                "flag_meanings": SCL_MEANINGS}
    if band in WAVELENGTHS:
        return {"long_name": f"surface reflectance at {WAVELENGTHS[band]} nm", "units": "1"}
    return {"long_name": f"backscatter {band.upper()}, linear power", "units": "1"}
