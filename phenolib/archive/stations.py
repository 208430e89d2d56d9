"""Soil stations and daily weather of an archive."""

from functools import cached_property

import pandas as pd

from phenolib.archive import patches
from phenolib.errors import InputError
from phenolib.sources import sentinel, soil_stations

KINDS = ("soil",)
PATTERNS = {"soil": ("soil/*_readings.csv*", "**/*_readings.csv*")}
READERS = {"soil": "soil_stations"}
PROFILES = "profiles.csv"  # beside the readings: what the soil of each station is made of
BESIDE = (soil_stations.DEPTHS, PROFILES)


def look(path, options):
    """What a file of readings holds, read whole: stations, first and last date, remarks.

    options  of ``soil_stations.read`` as archive.yml gives them
    raises   InputError as ``soil_stations.read``
    """
    data = soil_stations.read(path, **options)
    assumed = data.attrs["depths_from"] == "the Cook Agronomy Farm"
    odd = [f"{path.name}: nothing tells the depths of its ports; those of the Cook Agronomy Farm are taken, "
           f"{soil_stations.COOK_FARM[0]:g} to {soil_stations.COOK_FARM[-1]:g} m"] if assumed else []
    odd += [f"{path.name}: {name} has no value at all" for name in data if not data[name].notnull().any()]
    return data["station"].values.tolist(), data["time"].values.min(), data["time"].values.max(), odd


class Stations:
    """The part of an ``Archive`` that knows soil stations and weather."""

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


def _profiles(path):
    table = pd.read_csv(path, dtype={"site": str})
    if "site" not in table:
        raise InputError(f"{path.name}: the column 'site' is missing; it names the station of a profile")
    return table.rename(columns={"site": "station"})
