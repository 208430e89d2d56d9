"""Pairs of fine and coarse images of the same place and dates, for fusing them in time and space.

One single-band GeoTIFF an image, all of one size: `Landsat_LST_cloudrm_20160205.tif` beside
`MOD11A1_LST_cloudrm_20160205.tif`, or `sim_Landsat_t1.tif` beside `sim_MODIS_t1.tif` where only the order of the dates
is told. The coarse image lies on the pixels of the fine one. A coarse image without a fine one is one to predict.
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import atomic

NAME = re.compile(r"(?P<what>.+)_(?P<label>\d{8}|t\d+)\.tiff?", re.IGNORECASE)
FINE = re.compile(r"(^|_)(landsat|fine|sentinel|etm|oli)", re.IGNORECASE)
COARSE = re.compile(r"(^|_)(mod|myd|coarse|viirs|glass)", re.IGNORECASE)
FILL = -3.4e38
MISSING = -1e30  # nothing that is measured lies below
KELVIN = (200.0, 350.0)


@dataclass
class Pairs:
    """Fine and coarse images of one place.

    name     of the place or the folder
    fine     (time, y, x) DataArray float32, NaN where missing; with several bands (time, band, y, x). Its time is
             datetime64, or the number in t1, t2, …; the coordinate `label` keeps the text of the file's name
    coarse   the same on the pixels of the fine images, of the same dates and more
    unit     "K", or "1" where the values tell no unit
    """

    name: str
    fine: xr.DataArray
    coarse: xr.DataArray
    unit: str = "1"


def read(folder):
    """All pairs of a folder, or of the folders in it.

    folder   with the images, or with folders of them
    returns  list of Pairs, sorted by name
    raises   InputError for a folder without images, a name that tells no date or neither fine nor coarse, a date twice,
             a fine image without its coarse one, and images of different sizes or places
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder.name}: there is no such folder; give the one that holds the images")
    places = [place for place in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())) if _images(place)]
    if not places:
        raise InputError(f"{folder.name}: holds no image named like Landsat_LST_cloudrm_20160205.tif or "
                         "sim_MODIS_t1.tif")
    return [read_pairs(_images(place), place.name) for place in places]


def read_pairs(paths, name):
    """The pairs of some files, see ``read``. returns Pairs"""
    found, first = {"fine": {}, "coarse": {}}, None
    for path in sorted(map(Path, paths)):
        kind, label = told(path)
        if label in found[kind]:
            raise InputError(f"{path.name}: is the second {kind} image of {label}; keep one of them")
        found[kind][label] = image = _image(path)
        first = first or (path, image)
        _same_place(path, image, *first)
    alone = sorted(set(found["fine"]) - set(found["coarse"]))
    if alone:
        raise InputError(f"{name}: the fine image of {alone[0]} has no coarse one of that date; add it, or take the "
                         "fine one away")
    if not found["fine"]:
        raise InputError(f"{name}: has no fine image; one at least, such as Landsat_…_20160205.tif, is needed")
    images = {kind: _series(name, kind, of) for kind, of in found.items()}
    unit = _unit(images["fine"])
    about = {"units": unit, "source": name}
    return Pairs(name, *(images[kind].assign_attrs(about) for kind in ("fine", "coarse")), unit)


def read_images(paths, name):
    """Images of one kind alone, such as the fine ones that a score is held against; (time, y, x) as in ``Pairs``."""
    images = {told(path)[1]: _image(path) for path in sorted(map(Path, paths))}
    return _series(name, "fine", images)


def told(path):
    """What the name of a file tells: ("fine" or "coarse", its date or t1, t2, …).

    >>> told(Path("MOD11A1_LST_cloudrm_20160218.tif")), told(Path("sim_Landsat_t4.tif"))
    (('coarse', '20160218'), ('fine', 't4'))
    """
    name = NAME.fullmatch(path.name)
    kinds = [kind for kind, known in (("fine", FINE), ("coarse", COARSE)) if name and known.search(name["what"])]
    if len(kinds) != 1:
        raise InputError(f"{path.name}: its name tells not {'the date' if not name else 'whether it is fine or coarse'}"
                         "; Landsat_…_20160205.tif or sim_MODIS_t1.tif is expected")
    if name["label"].isdigit() and pd.isna(pd.to_datetime(name["label"], format="%Y%m%d", errors="coerce")):
        raise InputError(f"{path.name}: {name['label']} is no date; year, month and day such as 20160205 are expected")
    return kinds[0], name["label"].lower()


def write(pairs, folder):
    """Write pairs as ``read`` reads them, atomically and the same bytes for the same values.

    pairs    Pairs; coarse may be None where only fine images are written
    folder   the files go there, named Landsat_LST_cloudrm_<date>.tif and MOD11A1_LST_cloudrm_<date>.tif in K, else
             sim_Landsat_<label>.tif and sim_MODIS_<label>.tif
    raises   InputError for images without dates
    """
    stems = ("Landsat_LST_cloudrm", "MOD11A1_LST_cloudrm") if pairs.unit == "K" else ("sim_Landsat", "sim_MODIS")
    for stem, images in zip(stems, (pairs.fine, pairs.coarse)):
        if images is None:
            continue
        if not {"time", "y", "x"} <= set(images.coords):
            raise InputError(f"{pairs.name}: images on time, y and x with their coordinates are expected, there are "
                             f"{', '.join(map(str, images.coords))}")
        for image in images:
            _write(image, Path(folder) / f"{stem}_{_label(image['time'])}.tif")


def _images(folder):
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".tif", ".tiff")
                  and not path.name.startswith("."))


def _image(path):
    import rasterio
    import rioxarray

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rioxarray.open_rasterio(path) as raster:
                image, nodata = raster.load(), raster.rio.nodata
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path.name}: cannot be read as a raster ({' '.join(str(error).split())[:120]}); give a "
                         "GeoTIFF") from None
    values = image.values.astype(np.float32)
    values[values < MISSING] = np.nan
    if nodata is not None and np.isfinite(nodata):
        values[values == np.float32(nodata)] = np.nan
    if not np.isfinite(values).any():
        raise InputError(f"{path.name}: has no value at all; download it again, or leave this date out")
    image = image.copy(data=values).drop_attrs(deep=False).drop_encoding()
    return image.isel(band=0, drop=True) if image.sizes["band"] == 1 else image


def _same_place(path, image, other, first):
    if image.shape != first.shape:
        raise InputError(f"{path.name}: has {' x '.join(map(str, image.shape))} pixels, {other.name} "
                         f"{' x '.join(map(str, first.shape))}; bring the coarse image to the pixels of the fine one")
    step = abs(float(first["x"][1] - first["x"][0])) if first.sizes["x"] > 1 else 1.0
    away = max(float(np.abs(image[axis].values - first[axis].values).max()) for axis in ("y", "x"))
    if away > 0.01 * step or image.rio.crs != first.rio.crs:
        raise InputError(f"{path.name}: lies elsewhere than {other.name}, by {away / step:.2f} pixels"
                         f"{'' if image.rio.crs == first.rio.crs else ' and in another projection'}; bring both to one "
                         "grid")


def _series(name, kind, images):
    """Images by label as one array, sorted by date."""
    dated = {label.isdigit() for label in images}
    if len(dated) > 1:
        raise InputError(f"{name}: some {kind} images tell a date and others only their order; name all alike")
    labels = sorted(images, key=lambda label: int(label.lstrip("t")))
    time = (np.array(pd.to_datetime(labels, format="%Y%m%d"), "datetime64[ns]") if dated == {True}
            else np.array([int(label[1:]) for label in labels]))
    first = images[labels[0]]
    same = [images[label].assign_coords(y=first["y"], x=first["x"]) for label in labels]
    whole = xr.concat(same, xr.DataArray(time, dims="time", name="time"), combine_attrs="override")
    return whole.assign_coords(label=("time", labels)).rename(kind)


def _unit(images):
    low, high = float(images.min()), float(images.max())
    return "K" if KELVIN[0] <= low and high <= KELVIN[1] else "1"


def _label(time):
    """The label of a date in a file's name."""
    if np.issubdtype(time.dtype, np.datetime64):
        return pd.Timestamp(time.values).strftime("%Y%m%d")
    return f"t{int(time)}"


def _write(image, path):
    import rasterio
    import rioxarray  # noqa: F401

    values = np.nan_to_num(image.values.astype(np.float32), nan=np.float32(FILL))
    values = values if image.ndim == 3 else values[None]
    about = {"driver": "GTiff", "height": values.shape[1], "width": values.shape[2], "count": values.shape[0],
             "dtype": "float32", "nodata": float(np.float32(FILL)), "compress": "deflate", "predictor": 3}
    if image.rio.crs is not None:
        about |= {"crs": image.rio.crs, "transform": image.rio.transform(recalc=True)}
    with atomic(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(part, "w", **about) as file:
            file.write(values)
