"""Soil moisture of two layers in an archive: coarse fields, fine and coarse images, rain, ground, and stations."""

from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources import coarse_moisture, fusion_pairs, moisture_stations, regional_images

KINDS = ("coarse_moisture", "fine_images", "coarse_images", "rain", "ground", "moisture_stations", "gauge_points",
         "fusion_pairs")
PATTERNS = {
    "coarse_moisture": ("**/SM*_GLEAM_*.nc", "**/SM[sr][uo][ro][ft]*.nc"),
    "fine_images": ("**/MOD1[13]A[12].*",),
    "coarse_images": ("**/GLASS*.nc", "**/GLASS*.hdf"),
    "rain": ("**/*IMERG*.nc", "**/*IMERG*.nc4"),
    "ground": ("**/dem.tif",),  # and the files of ``GROUND`` beside it
    "moisture_stations": ("**/uscrn_daily*.csv*",),  # and the tables of ``TABLES`` beside it
    "gauge_points": ("**/gauge_points*.csv*",),
    "fusion_pairs": ("**/*[LM][aO][nD]*_[t12][0-9]*.tif",),  # Landsat or MODIS, then a date, or t1, t2, …
}
READERS = {"coarse_moisture": "gleam", "fine_images": "modis", "coarse_images": "glass", "rain": "imerg",
           "ground": "raster", "moisture_stations": "uscrn", "gauge_points": "gauges", "fusion_pairs": "fusion_pairs"}
GROUND = ("sand", "clay", "land_cover")
TABLES = {"sensors": ("uscrn_sensors.csv", "uscrn_sensors.csv.gz"),
          "static": ("station_static_variables.csv.gz", "station_static_variables.csv")}
PRODUCTS = {"lst_day": "MOD11A1", "lst_night": "MOD11A1", "ndvi": "MOD13A2"}
DEGREE = 111.2e3  # m of latitude
HIGHEST = 9000.0  # m


def look(kind, path):
    """What a file holds: names, first and last date (NaT where it has none), remarks.

    raises   InputError as the readers in ``sources``; layers of soil moisture that are swapped too
    """
    if kind == "coarse_moisture":
        found = coarse_moisture.read(path)
        beside = path.with_name(path.name.replace("SMroot", "SMsurf"))
        if found.name == "root_zone" and beside != path and beside.is_file():
            coarse_moisture.check_layers(coarse_moisture.read(beside), found)
        return {found.name}, *_ends(found), found.attrs["remarks"]
    if kind in ("fine_images", "coarse_images"):
        return _look_at_images(kind, path)
    if kind == "rain":
        return {"rain"}, *_ends(regional_images.read_rain(path)), []
    if kind == "ground":
        if path.stem != "dem":  # read with the elevation
            return set(), pd.NaT, pd.NaT, []
        return set(read_ground(path)), pd.NaT, pd.NaT, []
    if kind == "moisture_stations":
        data = moisture_stations.read(path)
        for name, read in (("sensors", moisture_stations.sensors), ("static", moisture_stations.static)):
            if table := _table(path, name):
                read(table)
        return set(data["station"].values.tolist()), *_ends(data), data.attrs["remarks"]
    if kind == "gauge_points":
        table = moisture_stations.gauges(path)
        return set(table["station"]), table["start"].min(), table["end"].max(), table.attrs["remarks"]
    first = next(p for p in sorted(path.parent.glob("*.tif")))
    pairs = fusion_pairs.read(path.parent)[0] if path == first else None  # once a folder
    fusion_pairs.told(path)
    dated = pairs is not None and np.issubdtype(pairs.coarse["time"].dtype, np.datetime64)
    return {path.parent.name}, *(_ends(pairs.coarse) if dated else (pd.NaT, pd.NaT)), []


def _look_at_images(kind, path):
    fine = kind == "fine_images"
    product, read = ((regional_images.MODIS, regional_images.read_modis) if fine else
                     (regional_images.GLASS, regional_images.read_glass))
    if path.suffix.lower() in (".tif", ".tiff"):
        held = [what for what, layer in product.items() if layer.name in path.name]
    else:
        names = {str(name) for name in coarse_moisture.open_netcdf(path).data_vars}
        held = [what for what, layer in product.items() if layer.name in names]
        if not held:
            wanted = [layer.name for layer in product.values()]
            raise InputError(f"{path.name}: has no layer {', '.join(wanted[:-1])} or {wanted[-1]}"
                             f"{near(wanted[0], names)}")
    found = [read(path, what) for what in held]
    ends = [end for one in found for end in _ends(one)]
    return set(held), min(ends, default=pd.NaT), max(ends, default=pd.NaT), []


def read_ground(path):
    """Elevation, slope, soil and land cover of a region.

    path     dem.tif [m] on longitude and latitude; sand.tif and clay.tif [g/kg], land_cover.tif [class of IGBP] lie
             beside it
    returns  (y, x) Dataset float32 of elevation [m], slope [degrees], sand and clay [0-1], NaN at sea, and land_cover
             (uint8, 0 at sea and where missing). Slope is that of the pixels (Horn 1981), over the metres that a pixel
             has at its latitude. Sea is where the elevation is missing
    raises   InputError for a missing file, another grid or projection, elevation that is not in metres, and sand or
             clay outside 0 to 1000 g/kg
    """
    import rioxarray  # noqa: F401

    made = {"elevation": _raster(path)}
    elevation = made["elevation"]
    low, high = float(elevation.min()), float(elevation.max())
    if not np.isfinite(low) or low < -500 or high > HIGHEST:
        raise InputError(f"{path.name}: holds elevations from {low:g} to {high:g}; metres are expected, and the value "
                         "of the sea named as missing (nodata)")
    sea = elevation.isnull()
    made["slope"] = elevation.copy(data=_slope(elevation)).where(~sea)
    for name in GROUND:
        other = path.with_name(f"{name}.tif")
        if not other.is_file():
            raise InputError(f"{path.name}: {other.name} is missing beside it; dem.tif, sand.tif, clay.tif and "
                             "land_cover.tif are needed")
        found = _raster(other)
        if found.shape != elevation.shape or any(np.abs(found[a].values - elevation[a].values).max() > 1e-5
                                                 for a in ("y", "x")):
            raise InputError(f"{other.name}: lies on another grid than {path.name}; bring both to one grid")
        found = found.assign_coords(y=elevation["y"], x=elevation["x"])
        top = 1000 if name != "land_cover" else 255
        if float(found.max()) > top or float(found.min()) < 0:
            raise InputError(f"{other.name}: holds {float(found.min()):g} to {float(found.max()):g}; "
                             f"{'g/kg from 0 to 1000' if top == 1000 else 'a class of IGBP, 1 to 17,'} is expected")
        if top == 1000 and float(found.max()) <= 100:
            raise InputError(f"{other.name}: holds at most {float(found.max()):g}; it looks like "
                             f"{'per cent, multiply by 10' if float(found.max()) > 1 else 'shares, multiply by 1000'}: "
                             "g/kg is expected")
        made[name] = ((found / 1000).where(~sea) if top == 1000 else
                      found.where(~sea, 0).fillna(0).astype("uint8"))
    units = {"elevation": "m", "slope": "degrees", "sand": "1", "clay": "1", "land_cover": "class of IGBP"}
    return xr.Dataset({name: one.astype("float32" if name != "land_cover" else "uint8").assign_attrs(units=units[name])
                       for name, one in made.items()}).rio.write_crs(4326)


def _raster(path):
    import rasterio
    import rioxarray

    try:
        with rioxarray.open_rasterio(path, masked=True) as raster:
            found = raster.isel(band=0, drop=True).astype("float32").load()
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path.name}: cannot be read as a raster ({' '.join(str(error).split())[:120]}); give a "
                         "GeoTIFF") from None
    if found.rio.crs is None or not found.rio.crs.is_geographic:
        raise InputError(f"{path.name}: does not lie on longitude and latitude; bring it to EPSG:4326 first")
    found = found.drop_vars("spatial_ref").sortby("y", ascending=False)
    places = {axis: coarse_moisture.middles(path, axis, found[axis].values) for axis in ("y", "x")}
    return found.assign_coords(places).drop_attrs()


def _slope(elevation):
    """Slope [degrees] (Horn 1981) with a pixel's metres at its latitude; at the coast a missing neighbour lies as high
    as the pixel itself. returns (y, x)"""
    z = elevation.values.astype(float)
    wide = np.pad(z, 1, mode="edge")
    near_by = {(r, c): wide[1 + r:1 + r + z.shape[0], 1 + c:1 + c + z.shape[1]] for r in (-1, 0, 1) for c in (-1, 0, 1)}
    near_by = {place: np.where(np.isfinite(one), one, z) for place, one in near_by.items()}
    north, south = (near_by[r, -1] + 2 * near_by[r, 0] + near_by[r, 1] for r in (-1, 1))
    east, west = (near_by[-1, c] + 2 * near_by[0, c] + near_by[1, c] for c in (1, -1))
    latitude = elevation["y"].values
    high = DEGREE * abs(latitude[0] - latitude[-1]) / (latitude.size - 1)
    longitude = elevation["x"].values
    wide = DEGREE * (longitude[-1] - longitude[0]) / (longitude.size - 1) * np.cos(np.radians(latitude))[:, None]
    return np.degrees(np.arctan(np.hypot((east - west) / 8 / wide, (north - south) / 8 / high)))


def beside(root, kinds):
    """The files that belong to kinds beside their own: set of Path.

    root     of the archive
    kinds    {kind: [Path, ...]}
    """
    found = {path.with_name(f"{name}.tif") for path in kinds.get("ground", []) for name in GROUND}
    found |= {path.with_name(name) for path in kinds.get("moisture_stations", []) for names in TABLES.values()
              for name in names}
    for kind, name in (("coarse_moisture", "moisture"), ("fine_images", "images")):
        if kind in kinds:
            found |= set((root / "truth").glob(f"peninsula_{name}_*.nc"))
    if "fusion_pairs" in kinds:
        found |= set((root / "truth").rglob("*LST_cloudrm*.tif"))
    return found


class Moisture:
    """The part of an ``Archive`` that knows soil moisture of two layers and what it can be refined and held against."""

    def coarse_moisture(self, years=None, *, box=None):
        """Daily soil moisture of two layers on 0.25°, see ``sources.coarse_moisture.read``.

        years    first and last, or one; None: all there are
        box      (west, south, east, north) [degrees]; default that of the ground, or all
        returns  (time, y, x) Dataset of surface and root_zone [m3 m-3], NaN where missing, on every day; attrs of each
                 as ``read``
        raises   InputError without files of both layers or a year, for swapped layers, and as ``read``
        """
        files = self._moisture_files("coarse_moisture", "SMsurf_<year>_GLEAM_v3.8a.nc")
        box = box if box is not None else self._box()
        layers = {}
        for layer, name in coarse_moisture.LAYERS.items():
            own = [path for path in files if name.lower() in path.name.lower()] or [
                path for path in files if not any(n.lower() in path.name.lower() for n in
                                                  coarse_moisture.LAYERS.values())]
            own = self._of_years(own, years)
            if not own:
                raise InputError(f"the archive '{self.name}' has no {name}, the {layer.replace('_', ' ')}"
                                 f"{f' of {years}' if years is not None else ''}; both layers are needed")
            found = [coarse_moisture.read(path, box=box) for path in own]
            layers[layer] = self._joined(found, years, f"{name} of GLEAM", "coarse_moisture")
            layers[layer].attrs |= {key: [one for part in found for one in part.attrs[key]]
                                    for key in ("missing_dates", "remarks")}
        coarse_moisture.check_layers(layers["surface"], layers["root_zone"])
        return xr.Dataset(layers)

    def fine_images(self, what, years=None):
        """MODIS images of 1 km, see ``sources.regional_images.read_modis``; read when they are computed.

        what     "lst_day", "lst_night" or "ndvi"
        years    first and last, or one; None: all there are
        returns  (time, y, x) DataArray [degC] or [1], NaN where missing
        raises   InputError for images or a year that is not there, and as ``read_modis``
        """
        if what not in PRODUCTS:
            raise InputError(f"the images '{what}' are not known{near(what, PRODUCTS)}")
        files = self._moisture_files("fine_images", "MOD11A1.061_<year>.nc")
        own = [path for path in files if path.name.startswith(PRODUCTS[what])]
        rasters = {path.parent for path in own if path.suffix.lower() == ".tif"}
        own = [path for path in own if path.suffix.lower() != ".tif"]
        if not own and not rasters:
            raise InputError(f"the archive '{self.name}' has no {PRODUCTS[what]}, which holds '{what}'; it would be "
                             f"{PRODUCTS[what]}.061_<year>.nc")
        found = [regional_images.read_modis(path, what) for path in (*self._of_years(own, years), *sorted(rasters))]
        return self._joined(found, years, f"'{what}' of {PRODUCTS[what]}", "fine_images")

    def coarse_images(self, what, years=None):
        """GLASS images of 0.05°; arguments and the rest as ``fine_images``."""
        if what not in PRODUCTS:
            raise InputError(f"the images '{what}' are not known{near(what, PRODUCTS)}")
        files = self._moisture_files("coarse_images", "GLASS_LST_<year>.nc")
        layer = regional_images.GLASS[what].name
        own = [path for path in self._of_years(files, years) if layer in coarse_moisture.open_netcdf(path)]
        if not own:
            raise InputError(f"the archive '{self.name}' has no images '{what}' of GLASS"
                             f"{f' of {years}' if years is not None else ''}; a file with the layer '{layer}' is "
                             "needed")
        found = [regional_images.read_glass(path, what, box=self._box()) for path in own]
        return self._joined(found, years, f"'{what}' of GLASS", "coarse_images")

    def rain(self, years=None):
        """Daily rain, see ``sources.regional_images.read_rain``: (time, y, x) DataArray [mm d-1]."""
        files = self._moisture_files("rain", "IMERG_<year>.nc")
        found = [regional_images.read_rain(path, box=self._box()) for path in self._of_years(files, years)]
        return self._joined(found, years, "rain", "rain")

    def ground(self):
        """Elevation, slope, sand, clay and land cover of the region, see ``read_ground``: Dataset (y, x)."""
        return self._ground.copy()

    def moisture_truth(self, years=None):
        """The true moisture of a simulated region: (time, y, x) Dataset of surface and root_zone [m3 m-3], read when
        it is computed; None where there is none."""
        return self._true("moisture", years)

    def image_truth(self, years=None):
        """The true images of a simulated region without cloud and noise, every eighth day: (time, y, x) Dataset of
        lst_day, lst_night [degC] and ndvi [1]; None where there is none."""
        return self._true("images", years)

    def moisture_stations(self):
        """One row per soil-moisture station with readings: station, lon, lat [degrees], elevation [m], network, depths
        (tuple of its probes [m]), and of ``sources.moisture_stations.static``, where that table is there, the rest.

        raises   InputError without stations, for one whose place no table of probes tells, and as the readers
        """
        path = self._station_file
        known = _table(path, "sensors")
        if known is None:
            raise InputError(f"{path.name}: {TABLES['sensors'][0]} is missing beside it; it tells where the stations "
                             "are")
        probes = moisture_stations.sensors(known)
        there = self._station_moisture["station"].values.tolist()
        lacks = sorted(set(there) - set(probes["station"]))
        if lacks:
            raise InputError(f"{known.name}: station '{lacks[0]}' of {path.name} is not in it"
                             f"{near(lacks[0], sorted(set(probes['station'])))}")
        table = probes.groupby("station", as_index=False).agg(
            lon=("lon", "first"), lat=("lat", "first"), elevation=("elevation", "first"),
            network=("network", "first"), depths=("depth_from", lambda d: tuple(sorted(set(d)))))
        table = table[table["station"].isin(there)]
        if static := _table(path, "static"):
            rest = moisture_stations.static(static)
            table = table.merge(rest.drop(columns="network").drop_duplicates("station"), "left", on="station")
        return table.reset_index(drop=True)

    def station_moisture(self):
        """Daily soil moisture of all stations and depths, see ``sources.moisture_stations.read``.

        returns  (station, time, depth) Dataset of moisture [m3 m-3] and hours, with lon and lat of the stations
        """
        places = self.moisture_stations().set_index("station")
        data = self._station_moisture
        own = places.loc[data["station"].values]
        data = data.assign_coords(lon=("station", own["lon"].to_numpy()), lat=("station", own["lat"].to_numpy()))
        return self._with_licence(data, "moisture_stations")

    def layers_at_stations(self):
        """Daily moisture of 0–10 and 0–100 cm at stations, see ``sources.moisture_stations.layers``.

        returns  (station, time) Dataset of surface and root_zone [m3 m-3], with lon and lat; attrs of each tell the
                 share that was retrieved
        """
        data = self.station_moisture()
        return moisture_stations.layers(data).assign_coords(lon=data["lon"], lat=data["lat"])

    def gauge_points(self):
        """Satellite bands of ten days at gauges with coarse soil moisture, see ``sources.moisture_stations.gauges``."""
        paths = self._moisture_files("gauge_points", "gauge_points.csv.gz")
        tables = [moisture_stations.gauges(path) for path in paths]
        if len(tables) == 1:
            return tables[0]
        whole = pd.concat([table.assign() for table in tables], ignore_index=True)
        whole.attrs = tables[0].attrs | {"remarks": [r for table in tables for r in table.attrs["remarks"]]}
        return whole

    def fusion_pairs(self):
        """Pairs of fine and coarse images, one entry a folder, see ``sources.fusion_pairs.read``: list of ``Pairs``."""
        paths = self._moisture_files("fusion_pairs", "Landsat_LST_cloudrm_20160205.tif")
        folders = sorted({path.parent for path in paths}, key=str)
        return [fusion_pairs.read_pairs([p for p in paths if p.parent == folder], folder.name) for folder in folders]

    def fusion_truth(self):
        """The fine images that pairs of a simulated archive keep back: {name of the pairs: (time, y, x) DataArray};
        empty where there are none."""
        found = {}
        for path in sorted((self.root / "truth").rglob("*LST_cloudrm*.tif")):
            found.setdefault("fusion_lst" if path.parent.name == "truth" else path.parent.name, []).append(path)
        return {name: fusion_pairs.read_images(paths, name) for name, paths in found.items()}

    # ---- helps

    @cached_property
    def _ground(self):
        paths = [path for path in self._moisture_files("ground", "dem.tif") if path.stem == "dem"]
        if not paths:
            raise InputError(f"the archive '{self.name}' has no dem.tif among the files of the ground; sand.tif, "
                             "clay.tif and land_cover.tif lie beside it")
        if len(paths) > 1:
            raise InputError(f"the archive '{self.name}' has {len(paths)} files dem.tif, {self.label(paths[0])} and "
                             f"{self.label(paths[1])} among them; leave one")
        return read_ground(paths[0])

    @property
    def _station_file(self):
        paths = self._moisture_files("moisture_stations", "uscrn_daily.csv.gz")
        if len(paths) > 1:
            raise InputError(f"the archive '{self.name}' has {len(paths)} files of stations, {self.label(paths[0])} "
                             f"and {self.label(paths[1])} among them; leave one")
        return paths[0]

    @cached_property
    def _station_moisture(self):
        return moisture_stations.read(self._station_file)

    def _moisture_files(self, kind, example):
        paths = self.kinds().get(kind, [])
        if not paths:
            raise InputError(f"the archive '{self.name}' has no {kind.replace('_', ' ')}; a file of it is named like "
                             f"{example}")
        return paths

    def _box(self):
        """West, south, east and north of the ground [degrees]; None without one."""
        if "ground" not in self.kinds():
            return None
        y, x = self._ground["y"].values, self._ground["x"].values
        half = (x[1] - x[0]) / 2
        return float(x[0] - half), float(y[-1] - half), float(x[-1] + half), float(y[0] + half)

    def _of_years(self, paths, years):
        """Files whose names tell no year, or one that is wanted."""
        wanted = _years(years)
        return [path for path in paths if wanted is None or not (told := _told(path.name)) or told & set(wanted)]

    def _joined(self, found, years, what, kind):
        """Fields of several files as one, in order of time, of the years wanted."""
        wanted = _years(years)
        if not found:
            raise InputError(f"the archive '{self.name}' has no {what} in {years}")
        first = found[0]
        for one in found[1:]:
            if one.shape[1:] != first.shape[1:] or any(np.abs(one[a].values - first[a].values).max() > 1e-6
                                                       for a in ("y", "x")):
                raise InputError(f"{one.attrs['source']}: lies on another grid than {first.attrs['source']}; take all "
                                 "from one order")
        whole = first if len(found) == 1 else xr.concat([o.assign_coords(y=first["y"], x=first["x"]) for o in found],
                                                        "time", combine_attrs="override").sortby("time")
        twice = whole.indexes["time"].duplicated()
        if twice.any():
            raise InputError(f"the archive '{self.name}' has {what} of {whole.indexes['time'][twice][0]:%Y-%m-%d} in "
                             "two files; keep one of them")
        if wanted is not None:
            there = sorted(set(whole.indexes["time"].year))
            lacks = next((year for year in wanted if year not in there), None)
            if lacks is not None:
                raise InputError(f"the archive '{self.name}' has no {what} in {lacks}; there are {there[0]} to "
                                 f"{there[-1]}")
            whole = whole.isel(time=np.isin(whole.indexes["time"].year, wanted))
        return self._with_licence(whole, kind)

    def _true(self, what, years):
        paths = self._of_years(sorted((self.root / "truth").glob(f"peninsula_{what}_*.nc")), years)
        if not paths:
            return None
        parts = [xr.open_dataset(path, engine="h5netcdf", decode_coords="all", chunks={"time": 32}).astype("float32")
                 for path in paths]
        return parts[0] if len(parts) == 1 else xr.concat(parts, "time", data_vars="minimal", join="override",
                                                          coords="minimal", compat="override", combine_attrs="override")


def _years(years):
    """All years from the first to the last; None for all there are."""
    if years is None:
        return None
    years = [years] if np.ndim(years) == 0 else list(years)
    return list(range(int(years[0]), int(years[-1]) + 1))


def _told(name):
    """Years that the name of a file tells, 1980 to 2099, as its own words; set of int."""
    words = name.replace(".", "_").replace("-", "_").split("_")
    return {int(word[:4]) for word in words if len(word) in (4, 8) and word.isdigit() and 1980 <= int(word[:4]) < 2100}


def _table(path, name):
    """A table beside the readings of stations; None where there is none."""
    return next((path.with_name(one) for one in TABLES[name] if path.with_name(one).is_file()), None)


def _ends(data):
    """First and last date."""
    return pd.Timestamp(data["time"].values[0]), pd.Timestamp(data["time"].values[-1])
