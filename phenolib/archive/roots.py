"""Images of roots and tracings of an archive."""

from functools import cached_property

import numpy as np
import pandas as pd

from phenolib.errors import InputError
from phenolib.sources import minirhizotron, rsml

KINDS = ("root_images", "root_tracings")
IMAGE = ".[JPTjpt][PNIpni]*[GFgf]"  # jpg, jpeg, png, tif, tiff, in capitals too
PATTERNS = {
    "root_images": (f"roots/images/*{IMAGE}", f"roots_minirhizotron/images/*{IMAGE}",
                    f"images/*_[LD][0-9]*_*[0-9][-.][0-9][0-9]*{IMAGE}",
                    f"*/images/*_[LD][0-9]*_*[0-9][-.][0-9][0-9]*{IMAGE}"),
    "root_tracings": ("**/*.rsml",),
}
READERS = {"root_images": "minirhizotron", "root_tracings": "rsml"}
TABLE = minirhizotron.TABLE


def look(kind, path, masks):
    """What a file holds: {tube} or {name of the tracing}, first and last date (NaT of a tracing), remarks.

    Of images and masks only the header and the end of the file are read.

    masks    {(folder of images, name without its ending): mask}
    raises   InputError as ``sources.minirhizotron.parse`` and ``size`` or as ``sources.rsml.read``, and for a mask of
             another size than its image
    """
    if kind == "root_tracings":
        return {path.stem}, np.datetime64("NaT"), np.datetime64("NaT"), remarks(path, rsml.read(path))
    told = minirhizotron.parse(path)
    size, mask = minirhizotron.size(path, whole=True), masks.get((path.parent, path.stem))
    painted = minirhizotron.size(mask, whole=True) if mask else size
    if painted != size:
        raise InputError(f"{mask.name}: the mask has {painted[0]} × {painted[1]} pixels, its image {path.name} "
                         f"{size[0]} × {size[1]}; they must be alike")
    return {told["tube"]}, told["date"], told["date"], []


def remarks(path, tracing):
    """What is odd in a tracing that can be used."""
    short = tracing.roots["id"][tracing.roots["points"] < 2]
    return [f"{path.name}: the root '{short.iloc[0]}' has one point and no length"] if len(short) else []


def whole_folders(images):
    """All images of the folders of some, sorted, so that one with a wrong name is told of and not left out."""
    return sorted(path for place in {path.parent for path in images} for path in minirhizotron.pictures(place))


def beside(images):
    """The masks and the tables of tubes that belong to images: set of Path."""
    found = set()
    for place in {path.parent for path in images}:
        found |= {*minirhizotron.masks(place), *minirhizotron.tubes_of(place)}
    return found


class Roots:
    """The part of an ``Archive`` that knows images of roots and tracings."""

    @cached_property
    def root_images(self):
        """One row per image of roots, see ``sources.minirhizotron.folder``; without images no row.

        raises   InputError as ``sources.minirhizotron.folder``, and for images of mixed resolution
        """
        places = {}
        for path in self.kinds().get("root_images", []):
            places.setdefault(path.parent, []).append(path)
        found = [minirhizotron.folder(place, images) for place, images in places.items()]
        if not found:
            return pd.DataFrame(columns=minirhizotron.COLUMNS)
        return minirhizotron.same_resolution(pd.concat(found, ignore_index=True))

    @property
    def root_tracings(self):
        """The files of tracings, sorted: list of Path for ``sources.rsml.read``."""
        return self.kinds().get("root_tracings", [])

    @cached_property
    def _root_masks(self):
        places = {path.parent for path in self.kinds().get("root_images", [])}
        return {(place, mask.stem): mask for place in places for mask in minirhizotron.masks(place)}
