"""Images of roots at the wall of buried tubes (minirhizotrons), masks of the roots in them, and a table of the tubes.

A folder holds ``images/``, and beside it perhaps ``masks/`` (a mask bears the name of its image) and ``tubes.csv`` with
the columns ``tube,plot,depth_cm,mm_per_pixel,depth_of_field_mm``; a cell may be empty where something is unknown. Two
ways of naming an image are known:

``T012_D040_2018-04-25.jpg``                   tube, depth [cm], date; with the location along the tube
                                               ``T012_L003_D040_2018-04-25.jpg``
``Soy_T003_L002_04.04.17_091357_003_Ann.jpg``  experiment, tube, location, day.month.year, time, session, user, as
                                               scanners that turn within the tube name their files

A mask holds two values; the larger one is root. Neither naming tells the size of a pixel: ``tubes.csv`` does.
"""

import contextlib
import datetime
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image, UnidentifiedImageError

from phenolib.errors import InputError, near
from phenolib.files import atomic, write_text
from phenolib.sources import tables

TABLE = "tubes.csv"
TUBES = ("tube", "plot", "depth_cm", "mm_per_pixel", "depth_of_field_mm")  # columns of tubes.csv
COLUMNS = ("image", "mask", "tube", "location", "depth_cm", "date", "session", "plot", "mm_per_pixel",
           "depth_of_field_mm")
NAME = re.compile(r"(?P<tube>[A-Za-z0-9-]+)(?:_(?P<location>L[A-Za-z0-9]+))?_D(?P<depth_cm>\d+(?:\.\d+)?)_"
                  r"(?P<date>\d{4}-\d\d-\d\d)")
SCANNER = re.compile(r"(?P<experiment>.*)_(?P<tube>T\d+)_(?P<location>L\d+)_(?P<date>\d\d\.\d\d\.\d\d)_(?P<time>\d{6})_"
                     r"(?P<session>\d+)_(?P<user>.*)")
ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "TIFF")
BANDS = ("red", "green", "blue")
MEGAPIXELS = 120  # of the largest image that is read; a tube scanned at 1200 dots per inch has 94
MOST_ROOT = 0.6  # share of an image beyond which a mask is taken for one whose roots are 0
ALIKE = 0.02  # share by which sizes within one folder may differ: scanners leave out a row now and then


def folder(path, images=None):
    """The images of a folder with what is known about each; no image is opened.

    path     folder that holds images/, or the images themselves
    images   those that are wanted (list of Path); by default all
    returns  DataFrame, one row per image, sorted by tube, location and date: image (Path), mask (Path, None without
             one), tube, location, depth_cm, date (datetime64), session, plot, mm_per_pixel, depth_of_field_mm (""
             or NaN if unknown), and what else tubes.csv holds, as text
    raises   InputError if there are no images, a name tells no tube or an impossible date, two images show the same, a
             mask has no image, tubes.csv lacks a tube or a column or holds a wrong value, or a depth in a name is
             another than that in tubes.csv
    """
    path = Path(path)
    if not path.is_dir():
        beside = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
        raise InputError(f"{path.name}: there is no such folder{near(path.name, beside)}")
    place = images[0].parent if images else path / "images" if (path / "images").is_dir() else path
    every = pictures(place)
    images = images or every
    if not images:
        raise InputError(f"{path.name}: holds no images; JPEG, PNG or TIFF files are expected in it or in its images/")
    stems, painted = {p.stem for p in every}, {}
    for mask in masks(place):
        if mask.stem not in stems:
            raise InputError(f"{mask.name}: this mask has no image; add the image {mask.stem}.jpg or remove the mask")
        if mask.stem in painted:
            raise InputError(f"{painted[mask.stem].name} and {mask.name}: both are masks of one image; keep one")
        painted[mask.stem] = mask
    found = pd.DataFrame([{"image": p, **parse(p)} for p in images], columns=COLUMNS)
    found = found.assign(mask=pd.Series([painted.get(p.stem) for p in images], dtype=object), plot="",
                         mm_per_pixel=np.nan, depth_of_field_mm=np.nan, date=found["date"].astype("datetime64[ns]"))
    known = tubes_of(place)
    found = _joined(found, read_tubes(known[0])) if known else found
    found = found.sort_values(["tube", "location", "date", "depth_cm"], kind="stable", ignore_index=True)
    again = found.duplicated(["tube", "location", "depth_cm", "date"])
    if again.any():
        k = int(again.to_numpy().argmax())
        one, other = found["image"][k - 1].name, found["image"][k].name
        raise InputError(f"{one} and {other}: both are of tube {found['tube'][k]} on {found['date'][k]:%Y-%m-%d}, at "
                         "one location and depth; keep one of them")
    return found


def masks(place):
    """The masks of the images in a folder, sorted: those in masks/ beside images/, or within the folder."""
    painted = _beside(Path(place)) / "masks"
    return pictures(painted) if painted.is_dir() else []


def tubes_of(place):
    """The tables of tubes of the images in a folder, as far as they exist: beside images/, and within the folder."""
    return [p for p in dict.fromkeys((_beside(Path(place)) / TABLE, Path(place) / TABLE)) if p.is_file()]


def parse(path):
    """What the name of an image tells.

    returns  dict: tube, location, depth_cm (NaN if unknown), date (datetime.datetime), session
    raises   InputError if it tells no tube and date, or a date that cannot be

    >>> parse("T012_D040_2018-04-25.jpg")["depth_cm"]
    40.0
    """
    name = Path(path).name
    told = NAME.fullmatch(Path(path).stem) or SCANNER.fullmatch(Path(path).stem)
    if not told:
        raise InputError(f"{name}: its name tells no tube and date; name it like T012_D040_2018-04-25.jpg (tube, depth "
                         "in cm, date) or Soy_T012_L003_25.04.18_091357_001_Ann.jpg")
    form, meant = ("%Y-%m-%d", "year-month-day") if told.re is NAME else ("%d.%m.%y", "day.month.year")
    told = told.groupdict(default="")
    try:
        date = datetime.datetime.strptime(told["date"], form)
    except ValueError:
        raise InputError(f"{name}: '{told['date']}' is no date; {meant} is expected") from None
    return {"tube": told["tube"], "location": told["location"], "depth_cm": float(told.get("depth_cm", "nan")),
            "date": date, "session": told.get("session", "")}


def read_tubes(path):
    """The table of tubes: tube, plot, depth_cm, mm_per_pixel, depth_of_field_mm (NaN if unknown), and further columns.

    raises   InputError for a missing column, a tube that is there twice, or a value that is no number or cannot be
    """
    text = tables.read(path)
    for name in TUBES:
        if name not in text:
            raise InputError(f"{Path(path).name}: the column '{name}' is missing; {', '.join(TUBES)} are expected")
    text = text.apply(lambda column: column.str.strip())
    twice = text.index[text["tube"].duplicated()]
    if len(twice):
        raise InputError(f"{Path(path).name}: line {twice[0]} names the tube '{text['tube'][twice[0]]}' again; keep "
                         "one row per tube")
    for name in TUBES[2:]:
        values = tables.numbers(path, text[name])
        wrong = values.index[(values < 0) if name == "depth_cm" else (values <= 0)]
        if len(wrong):
            raise InputError(f"{Path(path).name}: line {wrong[0]} has {name} = {values[wrong[0]]:g}; "
                             f"{'0 or more, downwards,' if name == 'depth_cm' else 'more than 0'} is expected")
        text[name] = values
    return text.reset_index(drop=True)


def write_tubes(folder, table):
    """Write tubes.csv into a folder, atomically; table as ``read_tubes`` gives it, one row per tube.

    raises   InputError if it lacks a column or a tube is there twice
    """
    for name in TUBES:
        if name not in table:
            raise InputError(f"{TABLE}: the table to be written has no column '{name}'{near(name, table.columns)}")
    if table["tube"].duplicated().any():
        raise InputError(f"{TABLE}: the tube '{table['tube'][table['tube'].duplicated()].iloc[0]}' is there twice")
    rest = [name for name in table if name not in TUBES]
    write_text(Path(folder) / TABLE, table[[*TUBES, *rest]].to_csv(index=False, lineterminator="\n"))


def same_resolution(table):
    """Refuse images that were not taken alike: lengths and networks need one size of a pixel. Only headers are read.

    table    of ``folder``
    returns  the table with the columns width and height [pixel]
    raises   InputError if mm_per_pixel differs, or widths or heights by more than 2 %
    """
    sizes = pd.DataFrame([size(p) for p in table["image"]], index=table.index, columns=["width", "height"])
    usual = sizes.mode().iloc[0]
    other = (sizes - usual).abs().gt(ALIKE * usual).any(axis=1).to_numpy()
    if other.any():
        k = int(other.argmax())
        w, h = sizes.iloc[k]
        raise InputError(f"mixed resolution: {table['image'].iloc[k].name} has {w} × {h} pixels, most images here have "
                         f"{usual['width']:g} × {usual['height']:g}; keep them in folders of their own")
    scale = table["mm_per_pixel"].to_numpy(float)
    other = ~np.isclose(scale, scale[0], rtol=1e-6, equal_nan=True)
    if other.any():
        k = int(other.argmax())
        here, there = ("no known" if np.isnan(scale[n]) else f"{scale[n]:g}" for n in (0, k))
        raise InputError(f"mixed resolution: {table['image'].iloc[0].name} has {here} mm per pixel, "
                         f"{table['image'].iloc[k].name} {there}; keep them in folders of their own")
    return table.assign(**sizes)


def size(path, *, whole=False):
    """Width and height of an image [pixel], from its header.

    whole    whether to look, too, if the end of the file is there; where its last bytes do not tell, it is decoded
    raises   InputError for no image, one larger than 120 megapixels, or a truncated file
    """
    with _opened(path) as image:
        if whole and not _ends(image, path):
            image.load()
        return image.size


def read(image, mask=None, *, mm_per_pixel=None, empty=False):
    """An image and the mask of its roots.

    image          a row of ``folder``, or the path of an image; a path whose name tells no tube may be read, too
    mask           path of the mask; by default that of the row
    mm_per_pixel   size of a pixel [mm]; by default that of the row
    empty          whether a mask without a root is meant so
    returns        Dataset: image (y, x, band) uint8, the bands red, green, blue (three times the same of a grey image);
                   mask (y, x) bool, if there is one; x and y, the middle of pixels from the upper left corner of the
                   image, in mm where the size of a pixel is known, else in pixels.
                   attrs: tube, location, depth_cm, date ("2018-04-25"), session, plot, mm_per_pixel, depth_of_field_mm
                   ("" or NaN if unknown), source
    raises         InputError for a truncated file, no image, more than 8 bits, more than 120 megapixels; a mask of
                   another size, of more than two values, without a root, or with more than 60 % root
    """
    about = _about(image)
    path, mask = Path(about["image"]), about.get("mask") if mask is None else mask
    scale = float(about["mm_per_pixel"] if mm_per_pixel is None else mm_per_pixel)
    if scale <= 0:
        raise InputError(f"{path.name}: mm_per_pixel = {scale:g}; more than 0 is expected")
    with _opened(path) as opened:
        if opened.mode.startswith(("I", "F")):
            raise InputError(f"{path.name}: has more than 8 bits a band (mode {opened.mode}); save it with 8 bits")
        pixels = np.array(opened.convert("RGB"))
    step, units = (scale, "mm") if scale > 0 else (1.0, "pixel")
    where = {"y": "distance from the upper edge", "x": "distance from the left edge"}
    found = xr.Dataset(
        {"image": (("y", "x", "band"), pixels, {"long_name": "brightness", "units": "-"})},
        {name: (name, (np.arange(n) + 0.5) * step, {"long_name": text, "units": units})
         for (name, text), n in zip(where.items(), pixels.shape)} | {"band": list(BANDS)},
        {**{name: about[name] for name in ("tube", "location", "session", "plot")},
         "depth_cm": float(about["depth_cm"]), "date": "" if pd.isna(about["date"]) else f"{about['date']:%Y-%m-%d}",
         "mm_per_pixel": scale, "depth_of_field_mm": float(about["depth_of_field_mm"]), "source": path.name})
    if not pd.isna(mask):
        found["mask"] = ("y", "x"), _mask(Path(mask), path.name, pixels.shape[:2], empty), {"long_name": "root"}
    return found


def write(folder, image, *, tube, depth_cm, date, location="", mask=None, quality=90):
    """Write an image and its mask as ``T012_D040_2018-04-25``, atomically and the same bytes for the same values.

    folder    gets images/<name>.jpg and masks/<name>.png
    image     (y, x) or (y, x, 3) uint8
    tube      name of letters, digits and hyphens, e.g. "T012"
    depth_cm  depth of the image [cm]
    date      of the image
    location  along the tube, "" or e.g. "L003"
    mask      (y, x) bool, True where there is root; None for an image without one
    quality   of the JPEG, 1–95
    returns   Path of the image
    raises    InputError for a name that could not be read again, or an image or mask of wrong shape or type
    """
    image = np.asarray(image)
    stem = "_".join(filter(None, (tube, location, "D" + f"{depth_cm:g}".zfill(3), f"{pd.Timestamp(date):%Y-%m-%d}")))
    if not NAME.fullmatch(stem):
        raise InputError(f"{stem}: the tube '{tube}', location '{location}' and depth {depth_cm:g} cm make no name "
                         "that can be read; T012, L003 and 40 are examples")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise InputError(f"{stem}: the image is {image.dtype} of the shape {image.shape}; uint8 of (y, x) or (y, x, 3) "
                         "is expected")
    if mask is not None:  # first: an image whose mask is still to come would be taken for one without
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != image.shape[:2]:
            raise InputError(f"{stem}: the mask is {mask.dtype} of the shape {mask.shape}; bool of {image.shape[:2]} "
                             "is expected")
        with atomic(Path(folder) / "masks" / f"{stem}.png") as part:
            Image.fromarray(mask).save(part, "PNG")
    with atomic(Path(folder) / "images" / f"{stem}.jpg") as part:
        Image.fromarray(image).save(part, "JPEG", quality=quality)
    return Path(folder) / "images" / f"{stem}.jpg"


def _beside(place):
    """The folder that holds masks/ and tubes.csv of the images in a folder."""
    return place.parent if place.name.lower() == "images" else place


def pictures(place):
    """The images that lie in a folder, by their endings, sorted; what is hidden is left out."""
    return sorted(p for p in place.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith("."))


def _joined(found, tubes):
    """The table of images with what the table of tubes knows."""
    lacks = ~found["tube"].isin(tubes["tube"])
    if lacks.any():
        first = found[lacks].iloc[0]
        raise InputError(f"{TABLE}: has no tube '{first['tube']}', of which {first['image'].name} is; add a row"
                         f"{near(first['tube'], tubes['tube'])}")
    more = tubes.set_index("tube").loc[found["tube"]].reset_index(drop=True).set_index(found.index)
    differs = (more["depth_cm"] - found["depth_cm"]).abs() > 0.5  # a name holds whole centimetres
    if differs.any():
        k = int(differs.to_numpy().argmax())
        raise InputError(f"{found['image'][k].name}: its name says {found['depth_cm'][k]:g} cm, {TABLE} says "
                         f"{more['depth_cm'][k]:g} cm for the tube {found['tube'][k]}; correct one of them")
    more["depth_cm"] = more["depth_cm"].fillna(found["depth_cm"])
    return found.assign(**{name: more[name] for name in more if name not in COLUMNS or name in TUBES})


def _about(image):
    """What is known about an image: of a row of the table, or of a path alone."""
    if not isinstance(image, str | Path):
        return image._asdict() if hasattr(image, "_asdict") else dict(image)
    unknown = {"image": image, "tube": "", "location": "", "session": "", "plot": "", "date": None,
               "depth_cm": np.nan, "mm_per_pixel": np.nan, "depth_of_field_mm": np.nan}
    stem = Path(image).stem
    return {**unknown, **(parse(image) if NAME.fullmatch(stem) or SCANNER.fullmatch(stem) else {})}


@contextlib.contextmanager
def _opened(path):
    """An image of which the header is read and the size allowed; what cannot be read of it is an InputError."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path.name}: there is no such file")
    large = f"{path.name}: more than {MEGAPIXELS} megapixels are not read; cut the image or make it smaller"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
            opened = Image.open(path, formats=FORMATS)
        with opened:
            if opened.width * opened.height > MEGAPIXELS * 1e6:
                raise InputError(large)
            yield opened
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(large) from None
    except UnidentifiedImageError:
        raise InputError(f"{path.name}: is no JPEG, PNG or TIFF image, or its start is damaged; copy it anew") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        if getattr(error, "errno", None):  # the disk, not the image
            raise
        raise InputError(f"{path.name}: the image is truncated or damaged ({error}); copy it again") from None


def _ends(image, path):
    """Whether a file ends as its format does, as far as can be seen without decoding; False where it cannot."""
    length = Path(path).stat().st_size
    if image.format == "TIFF":
        parts = [image.tag_v2.get(strip, image.tag_v2.get(tile)) for strip, tile in ((273, 324), (279, 325))]
        return None not in parts and max(start + n for start, n in zip(*parts)) <= length
    with open(path, "rb") as file:
        file.seek(-min(64, length), 2)
        return {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}[image.format] in file.read()


def _mask(path, image, shape, empty):
    """The mask of an image: (y, x) bool, True where there is root."""
    with _opened(path) as opened:
        if opened.size != shape[::-1]:
            raise InputError(f"{path.name}: the mask has {opened.width} × {opened.height} pixels, its image {image} "
                             f"{shape[1]} × {shape[0]}; they must be alike")
        values = np.asarray(opened if opened.mode in ("1", "L", "I;16") else opened.convert("L"))
    soil, root = int(values.min()), int(values.max())
    found = values == root
    if not (found | (values == soil)).all():
        raise InputError(f"{path.name}: the mask holds {np.unique(values).size} values; two are expected, soil and "
                         "root: set a threshold, and save it as PNG, which keeps values as they are")
    if soil == root and root > 0:
        raise InputError(f"{path.name}: the mask is {root} everywhere, all of it would be root; 0 means soil")
    if soil == root and not empty:
        raise InputError(f"{path.name}: the mask holds no root; remove it, or give empty=True if that is meant")
    if soil < root and found.mean() > MOST_ROOT:
        raise InputError(f"{path.name}: {found.mean():.0%} of the mask would be root; the roots seem to be {soil} and "
                         f"the soil {root}: invert it, the larger value is root")
    return found & (root > soil)
