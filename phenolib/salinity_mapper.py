"""Maps of salinity over years, tile by tile: the season of each pixel, and its salt by the dense form."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import salinity
from phenolib.errors import InputError
from phenolib.salinity_models import Network


@dataclass(frozen=True)
class Mapper:
    """Salinity of the pixels of a tile in several years by the dense form: the function of ``maps.map_tiles``.

    Tiles must be even and overlap by ``overlap``; pixels nearer than that to the edge of the scene stay missing, for
    what surrounds them is not known.

    network    Network of the kind "dense"
    dates      of the images
    dem        DataArray (y, x) [m], lazy or not
    seasons    Dataset (year, y, x) of ``salinity.phenology_of``, lazy or not, with the years of the dates
    factor     of ``salinity.smearing``
    half       half-width of the interval of y
    within     days between date and image, at most
    reached    ``applicability.Area`` of ``predictors``; None: no such layer
    """

    network: Network
    dates: tuple
    dem: object
    seasons: object
    factor: float = 1.0
    half: float = np.nan
    within: int = 25
    reached: object = None

    @property
    def overlap(self):
        """Pixels of context on each side of a tile."""
        return self.network.members[0].reach - 1

    def __call__(self, block):
        """Layers of a block of images.

        block    Dataset (time, y, x) of ``salinity.BANDS``, NaN where it is not clear
        returns  Dataset (year, y, x), see ``names``: salt, salt_low, salt_high [g/kg], age [d] of the image; with
                 ``reached`` inside, 1 where the samples reach and 0 where not; missing where no image is near the date
        """
        import torch

        made = []
        with torch.no_grad():
            ground = None
            for date in map(pd.Timestamp, self.dates):
                images = salinity.near(block, [date], self.within)
                if not images.sizes["time"]:
                    made.append(None)
                    continue
                optical = salinity.nearest_clear(images, date)
                if ground is None:
                    ground = salinity.ground_of(around(self.dem, optical, 450.0), optical)
                season = around(self.seasons.sel(year=date.year, drop=True), optical, 40.0)
                layers = salinity.layers_of(optical, ground, season)
                made.append(self._year(optical, layers))
        there = next((one for one in made if one is not None), None)
        if there is None:
            raise InputError("no image lies near any of the dates; give other dates, or more days within")
        made = [xr.full_like(there, np.nan) if one is None else one for one in made]
        return xr.concat(made, pd.Index(self.names, name="year"))

    @property
    def names(self):
        """Of the maps: the years of the dates; where a year has several dates 100 · month is behind it: 202203."""
        dates = [pd.Timestamp(date) for date in self.dates]
        years = [date.year for date in dates]
        return years if len(set(years)) == len(years) else [100 * date.year + date.month for date in dates]

    def _year(self, optical, layers):
        bands = optical[list(salinity.BANDS)].to_array().values                         # (10, rows, columns)
        stack = layers[list(salinity.LAYERS)].to_array().values                         # (9, rows, columns)
        rows, columns = bands.shape[1:]
        edge, found = self.overlap, np.full((rows, columns), np.nan, np.float32)
        core = slice(edge, rows - edge), slice(edge, columns - edge)
        clear = np.isfinite(bands).all(0)
        if rows > 2 * edge and columns > 2 * edge:
            own = bands[:, *core].reshape(10, -1).T
            indices = np.full((len(own), len(salinity.VEGETATION + salinity.SALINITY)), np.nan, np.float32)
            good = clear[core].ravel()
            if good.any():
                indices[good] = salinity.indices_of(own[good])
            ndvi = np.nan_to_num(indices[:, salinity.VEGETATION.index("NDVI")])
            cells = np.moveaxis(salinity.cells(stack), 0, -1)
            b, i, around_ = self.network.scales.apply(own, indices, cells)
            shape = rows - 2 * edge, columns - 2 * edge
            given = (b.T.reshape(-1, *shape), i.T.reshape(-1, *shape), ndvi.reshape(shape), np.moveaxis(around_, -1, 0))
            said = [np.asarray(model.dense(*given)) for model in self.network.members]
            found[core] = np.where(good.reshape(shape), np.mean(said, 0), np.nan)
        layer = {"salt": (np.maximum(self.factor * np.exp(found) - 1, 0), "salt content, 0-20 cm"),
                 "salt_low": (np.maximum(np.expm1(found - self.half), 0), "lower bound of the salt content"),
                 "salt_high": (np.expm1(found + self.half), "upper bound of the salt content")}
        grid = {axis: optical[axis] for axis in ("y", "x")} | ({"spatial_ref": optical["spatial_ref"]}
                                                              if "spatial_ref" in optical.coords else {})
        made = xr.Dataset({name: (("y", "x"), values.astype(np.float32), {"units": "g kg-1", "long_name": text})
                           for name, (values, text) in layer.items()}, grid)
        made["age"] = optical["age"]
        if self.reached is not None:
            inside = np.zeros(rows * columns, np.float32)
            known = np.isfinite(found).ravel()
            own, stack = (x.reshape(len(x), -1).T[known] for x in (bands, stack))
            inside[known] = self.reached.inside(predictors(own, stack, self.network.scales))
            made["inside"] = ("y", "x"), np.where(known, inside, np.nan).reshape(rows, columns).astype(np.float32), {
                "units": "1", "long_name": "whether the samples reach this place"}
        return made


def predictors(bands, layers, scales):
    """What the area of applicability is told by: scaled bands (n, 10) and layers (n, 9) of pixels, side by side."""
    bands, _, layers = scales.apply(bands, None, layers)
    return np.concatenate([bands, layers], 1)


def around(layer, like, metres):
    """Of a raster with rows from the north, what lies within so many metres of the pixels of another; in memory."""
    x, y = like["x"].values, like["y"].values
    return layer.sel(x=slice(x.min() - metres, x.max() + metres), y=slice(y.max() + metres, y.min() - metres)).load()


@dataclass(frozen=True)
class Seasons:
    """``salinity.phenology_of`` of the NDVI of a tile, a function of ``maps.map_tiles``.

    years   harvest years
    method  of ``phenology.seasons``
    """

    years: tuple
    method: str = "double_logistic"

    def __call__(self, block):
        """Dataset (year, y, x) of sos, gus and sdps of NDVI, a Dataset (time, y, x) with the layer ndvi."""
        found = salinity.phenology_of(block["ndvi"], self.years, method=self.method)
        for name, units in (("sos", "d"), ("gus", "d-1"), ("sdps", "d")):
            found[name].attrs = {"units": units, "long_name": {"sos": "start of season", "gus": "green-up slope",
                                                               "sdps": "start of the peak of season"}[name]}
        return found
