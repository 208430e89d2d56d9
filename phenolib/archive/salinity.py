"""Soil samples with their salt, elevation and NDVI of an archive, for maps of salinity."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources import coastal_samples, salt_samples, sentinel

KINDS = ("salt", "dem", "ndvi", "coastal", "landsat")
PATTERNS = {"salt": ("delta/*samples.csv", "**/*salt_samples*.csv"), "dem": ("delta/dem_*.tif", "**/dem_*.tif"),
            "ndvi": ("delta/ndvi_*.nc", "**/ndvi_*_[12][0-9][0-9][0-9].nc"),
            "coastal": ("**/coastal_samples*.csv", "**/soil_data_*.csv"),
            "landsat": ("**/SWIR2.tif",)}  # and the five files beside it
READERS = {"salt": "salt_samples", "dem": "raster", "ndvi": "netcdf", "coastal": "coastal_samples",
           "landsat": "landsat"}
TABLE = "areas.csv"
TRUTH = "delta_*.nc"  # of the salt of all pixels, under truth/
HIGHEST = 9000.0  # elevation beyond which a model is not in metres
BRIGHT = 1.2  # a scene whose middle value of a band is larger is not in reflectance 0-1
LOOKED = 256  # pixels a side of the middle of a scene that are looked at for that


def look(kind, path):
    """What a file holds: names of sites or of the area, first and last date (NaT of an elevation), remarks.

    raises   InputError as ``sources.salt_samples.read``, ``read_dem``, ``read_ndvi``, and ``read`` and ``scene`` of
             ``sources.coastal_samples``
    """
    if kind == "coastal":
        table = coastal_samples.read(path)
        return (set(table.get("area", [])), table["date"].min(), table["date"].max(),
                [f"{path.name}: {remark}" for remark in table.attrs["remarks"]])
    if kind == "landsat":
        if path.name == "Blue.tif" or not path.with_name("Blue.tif").is_file():  # once a folder
            coastal_samples.scene(path.parent)
        return {path.parent.name}, pd.NaT, pd.NaT, []
    if kind == "salt":
        table = salt_samples.read(path)
        return set(table["site"]), table["date"].min(), table["date"].max(), remarks(path, table)
    if kind == "dem":
        read_dem(path)
        return {path.stem.removeprefix("dem_")}, pd.NaT, pd.NaT, []
    with read_ndvi(path) as ndvi:
        time = ndvi["time"].values
    return {path.stem.removeprefix("ndvi_").rpartition("_")[0]}, time.min(), time.max(), []


def remarks(path, table):
    """What is odd in samples that can be used."""
    odd, salt = [], table["salt"]
    if (table["salt_low"] == salt).all() and salt.max() <= 4 and salt.median() < 0.5:
        odd.append(f"{path.name}: no salt content is above {salt.max():g} g/kg; if these are per cent, multiply by 10")
    shallow = table["depth_bottom"].nunique() > 1
    return odd + ([f"{path.name}: its layers end at different depths; do not mix them"] if shallow else [])


def read_dem(path):
    """A model of elevation. returns DataArray (y, x) [m] float32, NaN where missing, with its projection

    raises   InputError for a file that is no raster, is in degrees or not in metres
    """
    import rasterio
    import rioxarray

    try:
        raster = rioxarray.open_rasterio(path, masked=True)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(f"{path.name}: cannot be read as a raster ({error}); give a GeoTIFF") from None
    with raster:
        crs = raster.rio.crs
        if crs is None or not crs.is_projected:
            raise InputError(f"{path.name}: lies in degrees or in no projection; bring it to the UTM zone of its area "
                             "first, slopes need metres")
        found = raster.isel(band=0, drop=True).astype("float32").load()
    if found.isnull().all() or abs(found).max() > HIGHEST:
        raise InputError(f"{path.name}: holds elevations up to {float(abs(found).max()):g}; metres are expected")
    return found.assign_attrs(units="m", long_name="elevation of the surface").rename("dem")


def read_ndvi(path):
    """NDVI through time. returns DataArray (time, y, x), read when it is computed

    raises   InputError for a file without NDVI on time, y and x, or with values beyond −1 to 1
    """
    try:
        data = xr.open_dataset(path, engine="h5netcdf", decode_coords="all")
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name}: cannot be read as netCDF ({error}); give the file as it was written") from None
    name = next((n for n in data.data_vars if n.lower() == "ndvi"), None)
    if name is None or set(data[name].dims) != {"time", "y", "x"}:
        raise InputError(f"{path.name}: has no variable NDVI on time, y and x{near('NDVI', data.data_vars)}")
    ndvi = data[name].transpose("time", "y", "x").rename("NDVI")
    first = ndvi.isel(time=ndvi.sizes["time"] // 2)
    if abs(first).max() > 1.01:
        raise InputError(f"{path.name}: holds NDVI up to {float(abs(first).max()):g}; -1 to 1 is expected, divide what "
                         "was multiplied, or name its scale_factor")
    return ndvi


def check_inside(samples, scene):
    """Refuse samples that lie outside a scene.

    samples  DataFrame with sample, x, y [m] in the projection of the scene
    scene    Dataset or DataArray with x and y, the middles of its pixels [m]
    raises   InputError that names the first of them
    """
    half = abs(float(scene["x"][1] - scene["x"][0])) / 2
    left, right, low, high = (float(f(scene[axis])) for axis in ("x", "y") for f in (min, max))
    outside = ~(samples["x"].between(left - half, right + half) & samples["y"].between(low - half, high + half))
    if outside.any():
        first = samples[outside].iloc[0]
        raise InputError(f"{int(outside.sum())} of {len(samples)} samples lie outside the scene (x {left - half:.0f} "
                         f"to {right + half:.0f}, y {low - half:.0f} to {high + half:.0f} m), the first is "
                         f"'{first['sample']}' at {first['x']:.0f}, {first['y']:.0f}; compare the projections, or "
                         "leave them out")


def check_reflectance(cube, name="the scenes"):
    """Refuse reflectance in per cent or times 10,000, by the middle of the first image that has values.

    cube     Dataset (…, y, x) of bands; of a lazy one no more is read than that middle
    name     what the message calls it
    raises   InputError that names the band
    """
    window = {axis: slice(max(cube.sizes[axis] - LOOKED, 0) // 2, (cube.sizes[axis] + LOOKED) // 2)
              for axis in ("y", "x")}
    for band in cube.data_vars:
        part = cube[band].isel(window)
        for image in [part] if "time" not in part.dims else (part.isel(time=k) for k in range(part.sizes["time"])):
            values = image.values[np.isfinite(image.values)]
            if not values.size:
                continue
            middle = float(np.median(values))
            if middle > BRIGHT:
                unit = "per cent, divide by 100" if middle <= 100 else "times 10000, divide by 10000"
                raise InputError(f"{name}: {band} has a median of {middle:.4g}; reflectance from 0 to 1 is expected, "
                                 f"this looks like {unit}, or state the scale in the catalogue")
            break


def beside(root):
    """The truth that belongs to samples: set of Path."""
    return set((root / "truth").glob(TRUTH))


class Salinity:
    """The part of an ``Archive`` that knows soil samples with their salt, elevation and NDVI."""

    def salt_samples(self, area=""):
        """Soil samples of all tables, see ``sources.salt_samples.read``.

        area     only of this area; default all
        returns  DataFrame; lon and lat of a table in degrees become x, y [m] of the area's zone
        raises   InputError without samples, for an unknown area, and as ``read``
        """
        paths = self.kinds().get("salt", [])
        if not paths:
            raise InputError(f"the archive '{self.name}' has no soil samples; name a table of them *salt_samples*.csv")
        table = pd.concat([self._projected(path, salt_samples.read(path)) for path in paths], ignore_index=True)
        if area:
            if area not in set(table["area"]):
                raise InputError(f"area '{area}' has no soil samples in the archive '{self.name}'"
                                 f"{near(area, sorted(set(table['area'])))}")
            table = table[table["area"] == area].reset_index(drop=True)
        return table

    def coastal_samples(self):
        """Samples with EC and six bands of Landsat, see ``sources.coastal_samples.read``; None where there are none.

        Several tables are taken for the same samples: that which tells most of them is read, and what is odd in the
        others is told too. attrs: file, its name; remarks, of all.
        """
        paths = self.kinds().get("coastal", [])
        if not paths:
            return None
        tables = {path: coastal_samples.read(path) for path in paths}
        best = max(paths, key=lambda path: tables[path].shape[1])
        table = tables[best]
        table.attrs |= {"file": best.name, "remarks": [f"{path.name}: {remark}" for path in (best, *(
            p for p in paths if p != best)) for remark in tables[path].attrs["remarks"]]}
        return table

    def landsat_scene(self):
        """A scene of six bands of Landsat, see ``sources.coastal_samples.scene``; None where there is none.

        raises   InputError for scenes in several folders, and as ``scene``
        """
        folders = sorted({path.parent for path in self.kinds().get("landsat", [])})
        if len(folders) > 1:
            raise InputError(f"the archive '{self.name}' has scenes of Landsat in {len(folders)} folders, "
                             f"{folders[0].name} and {folders[1].name} among them; leave one")
        return coastal_samples.scene(folders[0]) if folders else None

    def _projected(self, path, table):
        """Samples with x and y in the zone of their area."""
        if "x" in table:
            return table
        from pyproj import Transformer

        zones = self.areas.set_index("name")["epsg"]
        for name in sorted(set(table["area"]) - set(zones.index)):
            raise InputError(f"{path.name}: area '{name}' is not in {TABLE}, which tells the zone of its metres"
                             f"{near(name, zones.index)}")
        parts = []
        for name, own in table.groupby("area", sort=False):
            x, y = Transformer.from_crs(4326, int(zones[name]), always_xy=True).transform(own["lon"].values,
                                                                                          own["lat"].values)
            parts.append(own.assign(x=x, y=y))
        return pd.concat(parts).sort_index()

    def dem(self, area):
        """Elevation of the surface of an area, see ``read_dem``: DataArray (y, x) [m].

        raises   InputError without one, and as ``read_dem``
        """
        found = {path.stem.removeprefix("dem_"): path for path in self.kinds().get("dem", [])}
        if area not in found:
            raise InputError(f"the archive '{self.name}' has no elevation of the area '{area}'; it would be "
                             f"dem_{area}.tif{near(area, found)}")
        return read_dem(found[area])

    def ndvi(self, area, years=None):
        """NDVI of an area in calendar years, read when it is computed.

        area     name
        years    first and last; None: all there are
        returns  DataArray (time, y, x), NaN in gaps
        raises   InputError for an area or a year that is not there
        """
        files = {}
        for path in self.kinds().get("ndvi", []):
            name, _, year = path.stem.removeprefix("ndvi_").rpartition("_")
            files.setdefault(name, {})[int(year) if year.isdigit() else 0] = path
        if area not in files:
            raise InputError(f"the archive '{self.name}' has no NDVI of the area '{area}'; it would be ndvi_{area}_"
                             f"<year>.nc{near(area, files)}")
        there = files[area]
        wanted = sorted(there) if years is None else range(int(years[0]), int(years[-1]) + 1)
        for year in wanted:
            if year not in there:
                raise InputError(f"the archive '{self.name}' has no NDVI of '{area}' in {year}; there are "
                                 f"{min(there)} to {max(there)}")
        return xr.concat([read_ndvi(there[year]) for year in wanted], "time")

    def salt_truth(self, area):
        """The true salt of all pixels of a simulated area: DataArray (time, y, x) [g/kg]; None where there is none."""
        path = self.root / "truth" / f"delta_salt_{area}.nc"
        return xr.open_dataset(path, engine="h5netcdf", decode_coords="all")["salt"] if path.is_file() else None

    def ground_truth(self, area):
        """The true ground of a simulated area: Dataset (y, x) of elevation without what stands on it, distance to the
        coast and to fresh water [m], and reclaimed; None where there is none."""
        path = self.root / "truth" / f"delta_ground_{area}.nc"
        return xr.open_dataset(path, engine="h5netcdf", decode_coords="all") if path.is_file() else None

    def salt_scenes(self, area, date, *, within=25):
        """Sentinel-2 around a date over an area: all ten bands, what is not clear land or water missing.

        area     name of a row of ``areas``
        date     of it
        within   days before and after that an acquisition may lie
        returns  Dataset (time, y, x) of ``salinity.BANDS`` [-] on 10 m, read window by window as it is computed
        raises   InputError for a catalogue without one of the bands, without a scene in these days, or of reflectance
                 in per cent or times 10,000
        """
        from phenolib.salinity import BANDS

        date = pd.Timestamp(date)
        span = [(date + pd.Timedelta(days=days)).strftime("%Y-%m-%d") for days in (-within, within)]
        cube = self.scenes(area, sensors="sentinel-2", bands=BANDS, dates="/".join(span), mask=sentinel.LAND,
                           chunks=False)
        check_reflectance(cube[["B08"]], f"the scenes of '{area}' around {date:%Y-%m-%d}")
        return cube[list(BANDS)]
