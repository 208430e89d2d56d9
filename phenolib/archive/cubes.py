"""An area of an archive as cubes of both Sentinels on one grid, from a catalogue of scenes or from a patch."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources import sentinel
from phenolib.sources.crop_classes import CDL, COLOURS, OTHER

GREEN = "B02", "B03", "B04", "B08"


@dataclass(frozen=True)
class Cube:
    """An area in some years.

    area     its name
    optical  Dataset (time, y, x) B02, B03, B04, B08 reflectance, what is not clear missing
    radar    Dataset (time, y, x) vv, vh [linear power]
    crops    {year: DataArray (y, x) of classes}; empty without a crop map
    legend   {class: (name, colour)}
    truth    DataFrame of the true dates of parcels (parcel, crop, season, direction, share, date) and a DataArray
             (y, x) of their numbers, for scoring alone; or None
    """

    area: str
    optical: xr.Dataset
    radar: xr.Dataset
    crops: dict
    legend: dict
    truth: tuple | None

    @property
    def names(self):
        """{class: name}"""
        return {code: name for code, (name, _) in self.legend.items()}

    def top(self, rows):
        """The first rows from the north; 0: all."""
        if not rows:
            return self
        y = slice(0, rows)
        return replace(self, optical=self.optical.isel(y=y), radar=self.radar.isel(y=y),
                       crops={year: labels.isel(y=y) for year, labels in self.crops.items()},
                       truth=self.truth and (self.truth[0], self.truth[1].isel(y=y)))

    @property
    def scenes(self):
        """Both cubes by sensor, as ``maps.map_tiles`` takes them."""
        return {"optical": self.optical, "radar": self.radar}


class Cubes:
    """The part of an ``Archive`` that knows areas to be mapped."""

    def cube(self, area="", *, bbox=None, years=None, tile=200):
        """An area in some harvest years, with the autumn before and the winter after, read when it is computed.

        area     name of a row of ``areas``, or of a place of ``patch_places``; default the first there is
        bbox     west, south, east, north [degrees] in place of a name, for a catalogue
        years    first and last harvest year; default all that is there
        tile     pixels a side of a chunk; 0: no dask, but each window read as it is asked for, the fastest way for
                 ``maps.map_tiles``
        returns  Cube
        raises   InputError without a catalogue and patches, for an unknown area, and as ``sources.stac.open_stac``
        """
        places = self.patch_places["place"].tolist() if "patches" in self.kinds() else []
        listed = [*self.areas["name"], *places]
        if not bbox and not area and not listed:
            raise InputError(f"the archive '{self.name}' names no area; give bbox, west,south,east,north in degrees")
        area = area or ("bbox" if bbox else listed[0])
        dates = None if years is None else f"{years[0] - 1}-07-01/{years[1] + 1}-06-30"
        if not bbox and area not in listed:
            raise InputError(f"area '{area}' is not in the archive '{self.name}'{near(area, listed)}")
        if bbox or area in set(self.areas["name"]):
            return self._of_catalogue(area, bbox, dates, tile)
        return self._of_patch(area, years)

    def _of_catalogue(self, area, bbox, dates, tile):
        from phenolib.sources.stac import open_stac

        same = dict(dates=dates, chunks={"time": -1, "y": tile, "x": tile} if tile else False)
        sensors = {"sentinel-2": dict(bands=GREEN, mask=sentinel.LAND), "sentinel-1": dict(bands=("vv", "vh"))}
        if bbox:
            optical = open_stac(self.catalogue(), bbox=bbox, sensors="sentinel-2", **same, **sensors["sentinel-2"])
            radar = open_stac(self.catalogue(), bbox=bbox, sensors="sentinel-1", **same, **sensors["sentinel-1"],
                              like=optical)
        else:
            optical, radar = (self.scenes(area, sensors=s, **same, **own) for s, own in sensors.items())
        maps = {int(path.stem.rpartition("_")[2]): path for path in self.root.glob(f"crop_maps/{area}_*.tif")}
        crops = {year: _aligned(path, optical) for year, path in sorted(maps.items())}
        return Cube(area, optical[list(GREEN)], radar[["vv", "vh"]], crops, CDL, self._parcels(area, optical))

    def _of_patch(self, area, years):
        patch = self.patch(area)
        optical, radar = sentinel.clear(patch["optical"], sentinel.LAND)[list(GREEN)], patch["radar"][["vv", "vh"]]
        same = {axis: optical[axis] for axis in sentinel.SPACE}
        radar = radar.sel(same, method="nearest").assign_coords(same)
        crops = {}
        if "crops" in patch:
            crops = {pd.Timestamp(patch["crops"].attrs["until"]).year: patch["crops"]["crop"]}
        if years is not None:
            span = slice(f"{years[0] - 1}-07-01", f"{years[1] + 1}-06-30")
            optical, radar = optical.sel(time=span), radar.sel(time=span)
        legend = {code: (name, COLOURS.get(name, OTHER)) for code, name in sentinel.CROPS.items()}
        return Cube(area, optical, radar, crops, legend, None)

    def _parcels(self, area, like):
        """True dates of the parcels of an area, and their numbers (y, x); None where the archive has no such truth."""
        path = self.root / "truth" / f"{area}_parcels.tif"
        tables = sorted((self.root / "truth").glob("*_seasons.csv"))
        found = [t for t in map(pd.read_csv, tables) if "parcel" in t and (t["area"] == area).any()]
        if not path.is_file() or not found:
            return None
        dates = found[0][found[0]["area"] == area]
        return dates.assign(date=pd.to_datetime(dates["date"])), _aligned(path, like)


def _aligned(path, like):
    """A raster of classes on the grid of a cube, by the nearest pixel; 0 where it has none."""
    import rioxarray

    grid = like["B04"].isel(time=0, drop=True)
    return rioxarray.open_rasterio(path)[0].rio.reproject_match(grid).drop_vars("band").astype(np.int32)
