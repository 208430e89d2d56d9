"""Soil salinity of cropland: what is read of a place, its classes, and samples with what satellites see around them.

The study reads the ten bands of Sentinel-2 at a sample, 19 salinity and 16 vegetation indices of them, and nine
channels of a window of 65 × 65 pixels around it: elevation, slope, two curvatures, two water indices, and three numbers
of the season. It lists neither the indices nor how the season is measured; both lists here are ours.
"""

import warnings
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import indices, phenology, terrain
from phenolib.errors import InputError
from phenolib.errors import near as alike

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
VEGETATION = ("NDVI", "SR", "DVI", "EVI", "EVI2", "SAVI", "OSAVI", "MSAVI", "GNDVI", "GDVI2", "ARVI", "NLI", "NDRE",
              "RENDVI", "CIre", "MTCI")
SALINITY = ("S1", "S2", "S3", "S5", "S6", "SI", "SI1", "SI2", "SI3", "SI_T", "NDSI", "BI", "Int1", "Int2", "VSSI",
            "CRSI", "COSRI", "SI_SWIR", "SSSI2")
LAYERS = ("dem", "slope", "profile", "plan", "lswi", "ndwi", "sos", "gus", "sdps")
CLASSES = {"none": (0, 1), "slight": (1, 2), "moderate": (2, 4), "heavy": (4, 6), "solonchak": (6, np.inf)}  # [g/kg],
# limits of humid regions as in Hindawi J. Chem. 2021, 6634919, Table 8; those of deserts are higher
WINDOW = 65  # pixels of 10 m
CELL = 20.0  # side of a cell of what surrounds a pixel, in the dense form of the network [m]


def classify(salt):
    """The class of a salt content, 0 none to 4 solonchak; −1 where it is missing.

    salt     (...) [g/kg]; DataArray or numpy
    returns  like it, int8

    >>> classify(np.array([0.5, 1.0, 3.0, 5.0, 30.0, np.nan])).tolist()
    [0, 1, 2, 3, 4, -1]
    """
    edges = [low for low, _ in CLASSES.values()][1:]
    values = np.where(np.isnan(salt), -1, np.digitize(salt, edges)).astype(np.int8)
    return salt.copy(data=values) if isinstance(salt, xr.DataArray) else values


# ---- what is read of a place

def phenology_of(ndvi, years, *, method="double_logistic"):
    """Three numbers of the largest season of each harvest year, pixel by pixel.

    SOS   day on which 20 % of the amplitude is reached on the left
    SDPS  first day on which 90 % of it is reached: the peak of the season begins
    GUS   green-up slope, (V(SDPS) − V(SOS)) / (SDPS − SOS) = 0.7 · amplitude / (SDPS − SOS)

    ndvi     (time, y, x), from the autumn before the first year to the end of the last
    years    harvest years
    method   of ``phenology.seasons``
    returns  Dataset (year, y, x) float32: sos, sdps [d, after 1 January of the year], gus [d⁻¹]; without a season the
             dates are NaN, and the slope is 0 where the year was observed, for nothing grew

    The study names the three without saying how they are measured; all of this is our choice.
    """
    found = phenology.seasons(ndvi.transpose("time", "y", "x"), method=method, thresholds=(0.2, 0.9), per_year=1,
                              interval=0)
    found = found[["sos20", "sos90", "amplitude", "quality"]].swap_dims(season="year")
    found = found.drop_vars(["season", "rank"], errors="ignore")
    found = found.transpose("year", ...).reindex(year=list(years))
    newyear = xr.DataArray(np.array([f"{year}-01-01" for year in years], "datetime64[ns]"), dims="year")
    sos, sdps = ((found[name] - newyear) / np.timedelta64(1, "D") for name in ("sos20", "sos90"))
    quality = found["quality"].fillna(phenology.FLAGS["no_data"]).astype(int)
    bare = ((quality & phenology.FLAGS["no_season"]) > 0) & ((quality & phenology.FLAGS["no_data"]) == 0)
    slope = (0.7 * found["amplitude"] / (sdps - sos).where(sdps > sos)).where(~bare, 0.0)
    made = xr.Dataset({"sos": sos, "gus": slope, "sdps": sdps})
    return made.astype(np.float32).drop_attrs(deep=False)


def layers_of(optical, dem, season, *, smooth=2.0):
    """The nine channels of what surrounds a pixel, on the grid of its reflectance.

    optical  Dataset (y, x) of the bands B03, B08, B11 [-], 10 m
    dem      DataArray (y, x) [m] of another grid of the same projection; or what ``ground_of`` gave for this one
    season   Dataset (y, x) sos, gus, sdps of one year, see ``phenology_of``, of any grid of the projection
    smooth   SD of the Gaussian that the elevation is smoothed with before curvatures are taken [its cells]
    returns  Dataset (y, x) float32 of ``LAYERS``

    Slope and curvatures are computed on the cells of the elevation and brought to the pixels bilinearly; so are dates,
    where both neighbours have one, else the nearest.
    """
    made = ground_of(dem, optical, smooth=smooth) if isinstance(dem, xr.DataArray) else dict(dem)
    made |= {name.lower(): indices.index(name, optical) for name in ("LSWI", "NDWI")}
    made |= {name: _onto(season[name], optical) for name in ("sos", "gus", "sdps")}
    grid = {axis: optical[axis] for axis in ("y", "x")}
    return xr.Dataset({name: (("y", "x"), made[name].transpose("y", "x").values.astype(np.float32)) for name in LAYERS},
                      grid)


def ground_of(dem, like, *, smooth=2.0):
    """Elevation, slope and curvatures on the grid of an image: dict of (y, x), see ``layers_of``."""
    ground = terrain.terrain(dem, smooth=smooth).assign(dem=dem)
    return {name: _onto(ground[name], like) for name in ("dem", "slope", "profile", "plan")}


def _onto(layer, like):
    """A layer on another grid of its projection: bilinear, the nearest where that is missing."""
    at = {"y": like["y"], "x": like["x"]}
    layer = layer.drop_vars([c for c in layer.coords if c not in ("y", "x")])
    near_by = layer.sel(at, method="nearest", tolerance=2 * abs(float(layer["x"][1] - layer["x"][0])))
    smooth = layer.interp(at)
    return smooth.where(np.isfinite(smooth), near_by.assign_coords(at))


def cells(layers):
    """Channels on cells of 20 m: means of what is known of 2 × 2 pixels, in the order from the north-west corner.

    layers   (..., rows, columns) array with even rows and columns
    returns  (..., rows / 2, columns / 2) float32, NaN where nothing is known
    """
    *lead, rows, columns = layers.shape
    if rows % 2 or columns % 2:
        raise InputError(f"{rows} x {columns} pixels: an even number of rows and columns is needed for cells of 20 m")
    parts = np.asarray(layers, np.float32).reshape(*lead, rows // 2, 2, columns // 2, 2)
    known = np.isfinite(parts)
    count = known.sum((-3, -1))
    return np.where(count > 0, np.where(known, parts, 0).sum((-3, -1)) / np.maximum(count, 1), np.nan).astype(
        np.float32)


@dataclass(frozen=True)
class Scene:
    """An area on a day: what the networks read of each of its pixels.

    area     its name
    date     asked for
    optical  Dataset (y, x) of ``BANDS`` [-], each pixel from the clear image nearest in time; age [d], by how much that
             is later
    layers   Dataset (y, x) of ``LAYERS``
    """

    area: str
    date: pd.Timestamp
    optical: xr.Dataset
    layers: xr.Dataset

    @property
    def clear(self):
        """Share of its pixels of which an image is clear."""
        return float(np.isfinite(self.optical["B08"]).mean())


def nearest_clear(images, date):
    """Each pixel from the clear image nearest in time.

    images   Dataset (time, y, x) of bands, NaN where it is not clear
    date     wanted
    returns  Dataset (y, x) of the bands, and age [d]: image less date
    raises   InputError without an image
    """
    if not images.sizes["time"]:
        raise InputError(f"there is no image near {pd.Timestamp(date):%Y-%m-%d}; ask for more days around it")
    away = (images["time"].values - np.datetime64(pd.Timestamp(date), "ns")) / np.timedelta64(1, "D")
    made, age = None, None
    for k in np.argsort(np.abs(away), kind="stable"):
        image = images.isel(time=k, drop=True).load()
        known = np.isfinite(image.to_array()).all("variable")
        if made is None:
            made, age = image.where(known), xr.where(known, away[k], np.nan)
        else:
            new = known & np.isnan(age)
            made, age = image.where(new, made), age.where(~new, away[k])
        if not np.isnan(age).any():
            break
    kept = [c for c in made.coords if c not in ("y", "x", "spatial_ref")]
    age = age.astype(np.float32).assign_attrs(units="d", long_name="image less date")
    return made.drop_vars(kept).assign(age=age.drop_vars([c for c in kept if c in age.coords]))


def scene_of(archive, area, date, *, box=None, within=25, method="double_logistic", smooth=2.0, seasons=None):
    """What the networks read of an area on a day, from the files of an archive.

    archive  ``archive.Archive`` with Sentinel-2 scenes, an elevation and NDVI through the years
    area     name of a row of ``archive.areas``
    date     of the image; the season is that of its calendar year
    box      left, bottom, right, top [m]: only so much; None: all
    within   days before and after the date in which an image may lie
    method   of ``phenology_of``
    smooth   of ``layers_of``
    seasons  dict that keeps the seasons of years for the next call
    returns  Scene, in memory
    raises   InputError as ``nearest_clear``, and where the archive lacks one of the three
    """
    date, seasons = pd.Timestamp(date), {} if seasons is None else seasons
    part = _within(box)
    optical = nearest_clear(archive.salt_scenes(area, date, within=within).sel(part), date)
    key = area, date.year, box
    if key not in seasons:
        wide = _within(None if box is None else (box[0] - CELL, box[1] - CELL, box[2] + CELL, box[3] + CELL))
        ndvi = archive.ndvi(area, (date.year - 1, date.year)).sel(wide)
        span = slice(f"{date.year - 1}-09-01", f"{date.year}-12-31")
        seasons[key] = phenology_of(ndvi.sel(time=span), [date.year], method=method).sel(year=date.year, drop=True)
    far = 15 * 30.0  # beyond the box, so that smoothing does not see its edge [m]
    dem = archive.dem(area).sel(_within(None if box is None else (box[0] - far, box[1] - far, box[2] + far,
                                                                  box[3] + far)))
    return Scene(area, date, optical, layers_of(optical, dem, seasons[key], smooth=smooth))


def _within(box):
    """Selection of a box left, bottom, right, top [m] of a raster with rows from the north."""
    return {} if box is None else {"x": slice(box[0], box[2]), "y": slice(box[3], box[1])}


def near(images, dates, within=25):
    """Of images (time, …) those within so many days of one of some dates."""
    time, span = images["time"].values, np.timedelta64(int(within), "D")
    wanted = [np.datetime64(pd.Timestamp(date), "ns") for date in dates]
    return images.isel(time=np.flatnonzero([any(abs(t - date) <= span for date in wanted) for t in time]))


def images_of(archive, area, dates, *, within=25):
    """The scenes near some dates as one cube, read window by window: what is mapped, see ``nearest_clear``.

    returns  Dataset (time, y, x) of ``BANDS``
    """
    dates = sorted(pd.Timestamp(date) for date in dates)
    middle = dates[0] + (dates[-1] - dates[0]) / 2
    reach = int(np.ceil((dates[-1] - dates[0]) / pd.Timedelta(2, "D"))) + within
    return near(archive.salt_scenes(area, middle, within=reach), dates, within)


def land_cover(archive, area, year, like):
    """Classes of the land of a year on the grid of a layer (y, x), 0 where none is told; None without such a map."""
    import rioxarray

    path = archive.root / "crop_maps" / f"{area}_{year}.tif"
    if not path.is_file():
        return None
    classes = rioxarray.open_rasterio(path)[0].drop_vars(["band", "spatial_ref"], errors="ignore")
    return classes.reindex(y=like["y"], x=like["x"], method="nearest", tolerance=10.0, fill_value=0).astype(np.int32)


# ---- samples

@dataclass(frozen=True)
class Samples:
    """Soil samples with what was read of their places.

    table    DataFrame, one row a sample: sample, site, area, date, campaign ("2019-07"), x, y [m], salt, salt_low,
             salt_high [g/kg], land_cover, age [d] of the image
    bands    (n, 10) reflectance of the pixel
    indices  (n, 35) of ``VEGETATION`` and ``SALINITY``
    layers   (n, 9) of the pixel
    windows  (n, 9, 65, 65) float32, NaN where nothing is known
    patches  (n, 9, reach, reach) float32, the same in cells of 20 m around the cell of the pixel; None if not asked for
    asked    number of samples in the archive; those without a clear image or with a window beyond the scene are left
             out, and ``lost`` tells of them
    """

    table: pd.DataFrame
    bands: np.ndarray
    indices: np.ndarray
    layers: np.ndarray
    windows: np.ndarray
    patches: np.ndarray | None = None
    asked: int = 0
    lost: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.table)

    def __getitem__(self, rows):
        """Some of them; rows: (m,) int or (n,) bool."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        return Samples(self.table.iloc[rows].reset_index(drop=True), self.bands[rows], self.indices[rows],
                       self.layers[rows], self.windows[rows], None if self.patches is None else self.patches[rows],
                       self.asked, self.lost)

    @property
    def target(self):
        """(n,) what networks learn: y = ln(1 + S)."""
        return np.log1p(self.table["salt"].to_numpy(float))

    @property
    def ndvi(self):
        """(n,) NDVI of the pixel, which opens one branch of the indices or the other."""
        return self.indices[:, VEGETATION.index("NDVI")]

    @cached_property
    def features(self):
        """What forest and support vectors read, a DataFrame (n, 81): bands, indices, the layers of the pixel, and their
        means over squares of 150 and 650 m and SDs over 650 m."""
        wide = {"": self.layers}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a channel of which nothing is known around stays NaN
            for metres in (150, 650):
                wide[f"_mean_{metres}"] = np.nanmean(_middle(self.windows, int(metres // 10)), (2, 3))
            wide["_sd_650"] = np.nanstd(self.windows, (2, 3))
        made = {**dict(zip(BANDS, self.bands.T)), **dict(zip(VEGETATION + SALINITY, self.indices.T))}
        made |= {f"{name}{kind}": values[:, k] for kind, values in wide.items() for k, name in enumerate(LAYERS)}
        return pd.DataFrame(made)


def _middle(windows, size):
    """The square of so many pixels (or one more, to be odd) in the middle of windows (..., 65, 65)."""
    half, middle = size // 2, windows.shape[-1] // 2
    return windows[..., middle - half:middle + half + 1, middle - half:middle + half + 1]


def names():
    """Names of the columns that ``groups`` of inputs are made of: bands, indices and layers."""
    return [*BANDS, *VEGETATION, *SALINITY, *LAYERS]


def indices_of(bands):
    """The 35 indices of reflectance.

    bands    Dataset of ``BANDS``, or DataFrame or (n, 10) array of them
    returns  Dataset, or (n, 35) array
    """
    if isinstance(bands, xr.Dataset):
        return indices.indices(VEGETATION + SALINITY, bands)
    values = bands[list(BANDS)].to_numpy() if isinstance(bands, pd.DataFrame) else np.asarray(bands)
    data = xr.Dataset({name: ("sample", values[:, k]) for k, name in enumerate(BANDS)})
    return np.stack([indices.index(name, data).values for name in VEGETATION + SALINITY], 1)


def take(table, scene, *, reach=0, lost=None):
    """What is read of the places of samples in a scene.

    table    DataFrame with x, y [m]
    scene    Scene
    reach    side of the patches [cells]; 0: none
    lost     dict that is told how many were left out, and why
    returns  Samples
    raises   InputError where every sample lies outside the scene
    """
    lost = {} if lost is None else lost
    x, y = scene.optical["x"].values, scene.optical["y"].values
    step = float(x[1] - x[0])
    column, row = np.floor((table["x"] - x[0]) / step + 0.5), np.floor((y[0] - table["y"]) / step + 0.5)
    column, row = column.to_numpy(int), row.to_numpy(int)
    inside = (row >= 0) & (row < y.size) & (column >= 0) & (column < x.size)
    if not inside.any():
        raise InputError(f"no sample lies in the scene of '{scene.area}' (x {x[0]:.0f} to {x[-1]:.0f}, y {y[-1]:.0f} "
                         f"to {y[0]:.0f} m); the first is at x {table['x'].iloc[0]:.0f}, y {table['y'].iloc[0]:.0f}; "
                         "compare their projections")
    half, cell = WINDOW // 2, reach // 2
    whole = inside & (row >= half) & (row < y.size - half) & (column >= half) & (column < x.size - half)
    if reach:
        whole &= ((row // 2 >= cell) & (row // 2 < y.size // 2 - cell)
                  & (column // 2 >= cell) & (column // 2 < x.size // 2 - cell))
    bands = scene.optical[list(BANDS)].to_array().values
    clear = np.zeros(len(table), bool)
    clear[inside] = np.isfinite(bands[:, row[inside], column[inside]]).all(0)
    for why, some in (("outside the scene", ~inside), ("window beyond the scene", inside & ~whole),
                      ("no clear image", whole & ~clear)):
        lost[why] = lost.get(why, 0) + int(some.sum())
    kept = np.flatnonzero(whole & clear)
    stack = scene.layers[list(LAYERS)].to_array().values
    spans = [(slice(r - half, r + half + 1), slice(c - half, c + half + 1)) for r, c in zip(row[kept], column[kept])]
    windows = np.stack([stack[:, r, c] for r, c in spans]) if spans else np.empty((0, len(LAYERS), WINDOW, WINDOW),
                                                                                np.float32)
    patches = None
    if reach:
        coarse = cells(stack[:, :y.size // 2 * 2, :x.size // 2 * 2])
        around = [(slice(r // 2 - cell, r // 2 + cell + 1), slice(c // 2 - cell, c // 2 + cell + 1))
                  for r, c in zip(row[kept], column[kept])]
        patches = np.stack([coarse[:, r, c] for r, c in around]) if around else np.empty(
            (0, len(LAYERS), reach, reach), np.float32)
    own = bands[:, row[kept], column[kept]].T.astype(np.float32)
    made = table.iloc[kept].assign(age=scene.optical["age"].values[row[kept], column[kept]])
    return Samples(made.reset_index(drop=True), own, indices_of(own).astype(np.float32),
                   stack[:, row[kept], column[kept]].T.astype(np.float32), windows, patches, len(table), lost)


def pooled(parts):
    """Samples of several scenes as one."""
    parts, lost = list(parts), {}
    for part in parts:
        for why, count in part.lost.items():
            lost[why] = lost.get(why, 0) + count
    whole = [None if parts[0].patches is None else np.concatenate([p.patches for p in parts])]
    return Samples(pd.concat([p.table for p in parts], ignore_index=True),
                   *(np.concatenate([getattr(p, name) for p in parts]) for name in
                     ("bands", "indices", "layers", "windows")), *whole, sum(p.asked for p in parts), lost)


def of_archive(archive, area="", *, reach=0, within=25, most=4_000_000, **options):
    """Samples of an area with what the scene of their day shows of their places.

    Of a scene no more is read than the windows need: boxes around samples, of at most ``most`` pixels each.

    archive  ``archive.Archive``
    area     name; default that of most samples
    reach    side of the patches of the dense form [cells]; 0: none
    within   days between sample and image, at most
    most     pixels of a box
    options  of ``scene_of``
    returns  Samples, in the order of the campaigns; samples without a clear image or with a window beyond the scene are
             left out, see ``Samples.lost``
    raises   InputError without samples, or as ``scene_of`` and ``take``
    """
    table = archive.salt_samples(area)
    area = area or table["area"].value_counts().index[0]
    table = table[table["area"] == area]
    table = table.assign(campaign=pd.to_datetime(table["date"]).dt.strftime("%Y-%m"))
    margin = 10.0 * max(WINDOW // 2, reach + 1) + CELL
    parts, seasons = [], {}
    for _, own in table.groupby("campaign", sort=True):
        date = own["date"].sort_values().iloc[len(own) // 2]
        for some in _boxes(own, margin, most):
            box = None if len(some) == len(own) else _box(some, margin)
            scene = scene_of(archive, area, date, box=box, within=within, seasons=seasons, **options)
            parts.append(take(some, scene, reach=reach, lost={}))
    return pooled(parts)


def _boxes(table, margin, most):
    """Samples in groups whose boxes have at most so many pixels, halved along the longer side until they have."""
    left, bottom, right, top = _box(table, margin)
    if (right - left) * (top - bottom) / 100 <= most or len(table) == 1:
        return [table]
    axis = "x" if right - left > top - bottom else "y"
    order = table.sort_values(axis, kind="stable")
    half = len(order) // 2
    return [*_boxes(order.iloc[:half], margin, most), *_boxes(order.iloc[half:], margin, most)]


def _box(table, margin):
    """left, bottom, right, top of samples with a margin, on whole cells of 40 m [m]"""
    return (np.floor((table["x"].min() - margin) / 40) * 40, np.floor((table["y"].min() - margin) / 40) * 40,
            np.ceil((table["x"].max() + margin) / 40) * 40, np.ceil((table["y"].max() + margin) / 40) * 40)


def smearing(residuals):
    """The factor that turns e^ŷ of a model of y = ln(1 + S) into a mean of 1 + S: the mean of e^residual.

    residuals  (n,) y − ŷ of samples that were not fitted

    Duan (1983), J. Am. Stat. Assoc. 78:605.

    >>> round(smearing(np.log([0.5, 1.5])), 3)
    1.0
    """
    return float(np.exp(np.asarray(residuals, float)).mean())


def check(name, known):
    """Raises InputError if a name is not among those that are known."""
    if name not in known:
        raise InputError(f"'{name}' is not known{alike(name, known)}; there are {', '.join(known)}")
