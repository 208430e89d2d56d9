"""Soil stations, farms that have some, and daily weather of an archive."""

from functools import cached_property

import pandas as pd
import xarray as xr

from phenolib import farms
from phenolib.archive import patches
from phenolib.errors import InputError, near
from phenolib.sources import farm_tables, sentinel, soil_stations

KINDS = ("soil", "farm")
PATTERNS = {"soil": ("soil/*_readings.csv*", "**/*_readings.csv*"), "farm": ("farm/*_grids.csv*", "**/*_grids.csv*")}
READERS = {"soil": "soil_stations", "farm": "farm_tables"}
PROFILES = "profiles.csv"  # beside the readings: what the soil of each station is made of
BESIDE = (soil_stations.DEPTHS, PROFILES)
TABLES = {"profiles": farm_tables.read_profiles, "bdensity": farm_tables.read_density,
          "weather": farm_tables.read_weather}  # beside the maps of a farm, <name>_profiles.csv and so on


def look(kind, path, options):
    """What a file of readings, or the maps of a farm with the tables beside them, hold, read whole: stations (or the
    farm), first and last date, remarks.

    options  of ``soil_stations.read`` as archive.yml gives them
    raises   InputError as ``soil_stations.read`` and the readers of ``sources.farm_tables``
    """
    if kind == "farm":
        return _look_at_farm(path)
    data = soil_stations.read(path, **options)
    assumed = data.attrs["depths_from"] == "the Cook Agronomy Farm"
    odd = [f"{path.name}: nothing tells the depths of its ports; those of the Cook Agronomy Farm are taken, "
           f"{soil_stations.COOK_FARM[0]:g} to {soil_stations.COOK_FARM[-1]:g} m"] if assumed else []
    odd += [f"{path.name}: {name} has no value at all" for name in data if not data[name].notnull().any()]
    return data["station"].values.tolist(), data["time"].values.min(), data["time"].values.max(), odd


def _look_at_farm(path):
    grid = farm_tables.read_grid(path)
    found = {what: read(beside) for what, read in TABLES.items() if (beside := _beside(path, what))}
    dates = found["weather"]["time"].values[[0, -1]] if "weather" in found else (pd.NaT, pd.NaT)
    cells = int(grid["elevation"].notnull().sum())
    parts = [f"{cells} cells of {grid.attrs['cell']:g} m with {', '.join(grid)}"]
    parts += [f"{found[what]['station'].nunique()} {words}" for what, words in (
        ("profiles", "soil profiles"), ("bdensity", "places with cores")) if what in found]
    parts += [f"{found['weather'].sizes['time']} days of weather"] if "weather" in found else []
    lacks = [what for what in TABLES if what not in found]
    odd = [f"{path.name}: {'; '.join(parts)}{'; no ' + ' and no '.join(lacks) + ' beside it' if lacks else ''}"]
    return [_farm_name(path)], *dates, odd


def beside(paths):
    """The tables that belong to readings and to the maps of farms. returns set of Path"""
    found = {path.with_name(name) for path in paths for name in BESIDE}
    return found | {one for path in paths for what in TABLES if (one := _beside(path, what))}


class Stations:
    """The part of an ``Archive`` that knows soil stations, farms and weather."""

    @cached_property
    def soil_stations(self):
        """One row per soil station: station, path of its readings, and the columns of profiles.csv if it is there.

        raises   InputError for a file without stations, or a station that two files hold
        """
        rows = [{"station": name, "path": path} for path in self.kinds().get("soil", [])
                for name in soil_stations.stations(path)]
        table = pd.DataFrame(rows, columns=["station", "path"])
        twice = table[table["station"].duplicated(keep=False)]
        if len(twice):
            first, second = twice[twice["station"] == twice["station"].iloc[0]]["path"].iloc[:2]
            raise InputError(f"{first.name} and {second.name}: both hold the station '{twice['station'].iloc[0]}'; "
                             "keep one of them")
        beside = sorted({p.with_name(PROFILES) for p in table["path"]})
        profiles = [_profiles(path) for path in beside if path.is_file()]
        return table.merge(pd.concat(profiles), "left", on="station") if profiles else table

    def soil(self, site):
        """Daily readings of a soil station; a real site's name finds its simulated twin.

        site     name of the station
        returns  (time, depth) Dataset of theta [m3 m-3], soil_temperature [degC] and ec [dS m-1], NaN where missing,
                 see ``sources.soil_stations.read``; attrs: site, source, depths_from, licence where it is known
        raises   InputError if there is no such station
        """
        table = self.soil_stations.set_index("station")
        site = self._there(site, table.index, f"site '{site}' has no soil station")
        data = soil_stations.read(table.at[site, "path"], **self._options("soil")).sel(station=site, drop=True)
        return self._with_licence(data.assign_attrs(site=site), "soil")

    @cached_property
    def farms(self):
        """One row per farm: farm, path of its maps, and stations, the names of those whose readings lie beside them.

        raises   InputError for a station whose place no profile or core tells, or that lies outside the maps
        """
        rows = []
        for path in self.kinds().get("farm", []):
            own = [name for p in self._readings_of(path) for name in soil_stations.stations(p)]
            if own:
                _stations_of(path, own, ())
            rows.append({"farm": _farm_name(path), "path": path, "stations": own})
        return pd.DataFrame(rows, columns=["farm", "path", "stations"])

    def farm(self, name=""):
        """What is known of the place of each soil station of a farm, see ``farms.stations``.

        name     of the farm, as in <name>_grids.csv; not needed where there is one
        returns  DataFrame, a row for each station that has readings
        raises   InputError if there is no such farm, no readings lie beside its maps, a station has no profile or lies
                 outside the maps, and as ``sources.farm_tables``
        """
        readings = self.farm_soil(name)
        return _stations_of(self._farm(name), readings["station"].values.tolist(), readings["depth"].values)

    def farm_soil(self, name=""):
        """Daily readings of all soil stations of a farm: (station, time, depth) as ``sources.soil_stations.read``."""
        path = self._farm(name)
        found = [soil_stations.read(p, **self._options("soil")) for p in self._readings_of(path)]
        if not found:
            raise InputError(f"archive '{self.name}': no readings lie beside {path.name}; a file "
                             "<name>_readings.csv is expected")
        return self._with_licence(xr.concat(found, "station", join="outer", combine_attrs="override"), "soil")

    def farm_weather(self, name=""):
        """Daily weather of a farm: (time,) Dataset of rain [mm d-1], t_max and t_min [degC].

        raises   InputError if there is no such farm or no weather of it, and as ``sources.farm_tables.read_weather``
        """
        path = self._farm(name)
        found = _beside(path, "weather")
        if found is None:
            raise InputError(f"archive '{self.name}': no weather lies beside {path.name}; a file "
                             "<name>_weather.csv is expected")
        return self._with_licence(farm_tables.read_weather(found), "farm")

    def farm_grid(self, name=""):
        """Maps of a farm: (y, x) Dataset as ``sources.farm_tables.read_grid``."""
        return self._with_licence(farm_tables.read_grid(self._farm(name)), "farm")

    def farm_truth(self):
        """What is true on a simulated farm; None, None where the archive has no truth.

        returns  Dataset: (station, time, depth) theta [m3 m-3] and soil_temperature [degC] without sensors' errors,
                 (y, x) clay [%] and run_on [-]; and DataFrame of planted and true effects: driver, response, crop,
                 season, depth [m], value, unit, meaning
        """
        path = self.root / "truth" / "farm_effects.csv"
        if not path.is_file():
            return None, None
        return xr.open_dataset(self.root / "truth" / "farm.nc"), pd.read_csv(path, keep_default_na=False,
                                                                            na_values={"depth": [""]})

    def _farm(self, name):
        """Path of the maps of a farm."""
        known = {_farm_name(path): path for path in self.kinds().get("farm", [])}
        if not known:
            raise InputError(f"archive '{self.name}' has no farm; <name>_grids.csv beside the readings tells of one")
        if not name and len(known) > 1:
            raise InputError(f"archive '{self.name}' has {len(known)} farms; name one{near('', known)}")
        if name and name not in known:
            raise InputError(f"farm '{name}' is not in the archive '{self.name}'{near(name, known)}")
        return known[name] if name else next(iter(known.values()))

    def _readings_of(self, path):
        """Files of readings beside the maps of a farm: those of its name, else all."""
        there = [p for p in self.kinds().get("soil", []) if p.parent == path.parent]
        return [p for p in there if p.name.startswith(f"{_farm_name(path)}_readings")] or there

    def weather(self, site):
        """Daily weather of a place, from its file among the patches; a real site's name finds its simulated twin.

        site     name of the place
        returns  (time,) Dataset of t_mean, t_min, t_max, t_dew [degC], rain [mm d-1], radiation [MJ m-2 d-1],
                 vapour_pressure [kPa] and wind at 10 m [m s-1], see ``sources.sentinel.read_patch``
        raises   InputError if there is no weather of such a place, or there are two files of it
        """
        files = {}
        for path in self.kinds().get("patches", []):
            known = sentinel.NAME.fullmatch(path.name)
            if known and patches.kind_of(known["product"], float(known["resolution"])) == "weather":
                files.setdefault(known["place"], []).append(path)
        found = files[self._there(site, files, f"site '{site}' has no weather")]
        if len(found) > 1:
            raise InputError(f"{found[0].name} and {found[1].name}: both hold weather of one place; keep one of them")
        return self._with_licence(sentinel.read_patch(found[0]), "patches")


def _farm_name(path):
    return path.name.partition("_grids")[0]


def _beside(path, what):
    """A table of a farm beside its maps, compressed or not; None where there is none, or the file is no map."""
    if "_grids" not in path.name:
        return None
    names = [f"{_farm_name(path)}_{what}.csv{end}" for end in ("", ".gz")]
    return next((path.with_name(n) for n in names if path.with_name(n).is_file()), None)


def _stations_of(path, names, depths):
    given = {key: TABLES[what](found) for key, what in (("profiles", "profiles"), ("density", "bdensity"))
             if (found := _beside(path, what))}
    return farms.stations(farm_tables.read_grid(path), names, depths=depths, **given)


def _profiles(path):
    table = pd.read_csv(path, dtype={"site": str})
    if "site" not in table:
        raise InputError(f"{path.name}: the column 'site' is missing; it names the station of a profile")
    return table.rename(columns={"site": "station"})
