"""Neutron stations, flux towers, chambers and incubations in an archive, and the truth of simulated ones."""

import gzip
import re

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources import cosmos, field_sensors, flux_tower, incubations, neutron_series, tables

KINDS = ("cosmos", "cosmos_sites", "flux_towers", "neutron_series", "neutron_cores", "chambers", "incubations")
PATTERNS = {
    "cosmos": ("**/COSMOS-UK_*_HydroSoil_Daily_*.csv*",),  # without the flags beside
    "cosmos_sites": ("**/COSMOS-UK_*SiteMetadata*.csv",),
    "flux_towers": ("**/*SET_H[HR]_*.csv|**/ICOSETC_*_FLUXNET_H[HR]_*.csv|**/AMF_*_BASE_H[HR]_*.csv|**/*DETha*.txt",),
    "neutron_series": ("**/*_time_series.csv*",),
    "neutron_cores": ("**/*_calibration.csv*",),
    "chambers": ("**/d20[0-9][0-9][01][0-9][0-3][0-9]_*.csv*|**/soil_respiration/*.csv.gz",),
    "incubations": ("**/timeSeries.csv",),  # and the files of the study beside it
}
READERS = {"cosmos": "cosmos", "cosmos_sites": "cosmos", "flux_towers": "flux_tower",
           "neutron_series": "neutron_series", "neutron_cores": "neutron_series", "chambers": "field_sensors",
           "incubations": "incubations"}
OPTIONS = {**dict.fromkeys(KINDS, ()), "cosmos": ("without",), "flux_towers": ("quality", "utc_offset"),
           "chambers": ("moisture_unit", "least_r2")}
HEADS = {  # words of the first line, one of which tells that a file is of a kind that its name alone does not
    "neutron_series": ("Neutron", neutron_series.TIME), "neutron_cores": ("Profile", neutron_series.TIME),
    "chambers": ("CSR_",)}
STUDY = ("metadata.yaml", "initConditions.csv")  # beside timeSeries.csv
SOILS = "site_soils.csv"  # beside the table of sites
SHARES = ("sand", "clay")
CLIMATE = ("mean_rain", "mean_temperature")
TRUTH = "towers_*"


def own(kind, paths):
    """Of files found by a pattern those whose first line is of the kind, where the name alone does not tell.

    A file that cannot be opened is kept, so that it is told what is wrong with it. Of incubations a table is taken
    that has another file of a study beside it.
    """
    if kind == "incubations":
        return [path for path in paths if any(path.with_name(n).is_file() for n in STUDY)]
    words = HEADS.get(kind)
    return [path for path in paths if words is None or any(word in _head(path) for word in words)]


def _head(path):
    """The first line of a file; all words that are looked for if it cannot be read."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            return file.readline(100_000).decode("utf-8", "replace")
    except (OSError, EOFError):
        return " ".join(word for words in HEADS.values() for word in words)


def look(kind, path, options):
    """What a file of one of ``KINDS`` holds, read whole.

    options  of its reader, as archive.yml gives them
    returns  set of sites, first and last date (NaT where it has none), remarks
    raises   InputError as the readers in ``sources``
    """
    if kind == "cosmos":
        data = _daily(path, options)
        return {data.attrs["site"]}, *_ends(data["time"]), data.attrs["remarks"]
    if kind == "cosmos_sites":
        table = cosmos.metadata(path)
        soils(path.with_name(SOILS), table["site"])
        return set(table["site"]), pd.NaT, pd.NaT, table.attrs["remarks"]
    if kind == "flux_towers":
        data = flux_tower.read(path, **options)
        return {_tower(path)}, *_ends(data["time"]), data.attrs["remarks"]
    if kind == "neutron_series":
        data = neutron_series.read(path)
        odd = [f"{path.name}: {one.attrs['impossible']} values of {name} that cannot be are taken as missing"
               for name, one in data.items() if one.attrs.get("impossible")]
        if data.attrs["added"]:
            odd.append(f"{path.name}: {data.attrs['added']} of {data.sizes['time']} hours between the first and the "
                       "last are not in the file and are missing")
        return {_station(path)}, *_ends(data["time"]), odd
    if kind == "neutron_cores":
        return {_station(path)}, *_ends(neutron_series.read_cores(path)["time"]), []
    if kind == "chambers":
        table = field_sensors.read(path, **options)
        return {_station(path)}, *_ends(table["time"]), table.attrs["remarks"]
    table = incubations.study(path.parent)
    incubations.soils(path.parent)
    return {path.parent.name}, pd.NaT, pd.NaT, table.attrs["remarks"]


def soils(path, sites):
    """Soil and climate of the sites of a network, beside its table of sites; None where there is no such file.

    path     CSV with the column site and what there is of sand, clay [0-1], cluster, mean_rain [mm a-1] and
             mean_temperature [degC] of a long time, and tower (the code of a flux tower there, or empty)
    sites    names of the sites of the network
    returns  DataFrame of these columns
    raises   InputError for a missing column site, a site twice or unknown, a share that is none, or no number
    """
    if not path.is_file():
        return None
    given = tables.read(path)
    if "site" not in given:
        raise InputError(f"{path.name}: the column 'site' is missing{near('site', given.columns)}")
    made = pd.DataFrame({"site": given["site"].str.strip()})
    unknown = made.index[~made["site"].isin(sites)]
    if len(unknown):
        name = made["site"][unknown[0]]
        raise InputError(f"{path.name}: line {unknown[0]} is of site '{name}', which the table of sites has not"
                         f"{near(name, sites)}")
    twice = made.index[made["site"].duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: line {twice[0]} is the second of site '{made['site'][twice[0]]}'; remove one")
    for name in (n for n in (*SHARES, *CLIMATE) if n in given):
        made[name] = tables.numbers(path, given[name])
        wrong = made.index[~made[name].between(0, 1) & made[name].notna()] if name in SHARES else []
        if len(wrong):
            raise InputError(f"{path.name}: line {wrong[0]} has {name} = {made[name][wrong[0]]:g}; 0 to 1 is expected, "
                             "divide per cent by 100")
    for name in (n for n in ("cluster", "tower") if n in given):
        made[name] = given[name].str.strip()
    return made.reset_index(drop=True)


def beside(root, kinds):
    """The files that belong to kinds beside their own: set of Path.

    root     of the archive
    kinds    {kind: [Path, ...]}
    """
    found = {path.with_name(SOILS) for path in kinds.get("cosmos_sites", [])}
    found |= {path.with_name(f"{path.name.partition('.csv')[0]}{flags}.csv") for path in kinds.get("cosmos", [])
              for flags in ("_Flags", "_QC_Flags")}
    found |= {path.with_name(f"{_station(path)}_DESCRIPTION.txt") for path in kinds.get("chambers", [])}
    found |= {path.with_name(name) for path in kinds.get("incubations", [])
              for name in STUDY}
    if {"cosmos", "flux_towers", "neutron_series", "chambers"} & set(kinds):
        found |= set((root / "truth").glob(TRUTH))
    return found


class Towers:
    """The part of an ``Archive`` that knows neutron stations, flux towers, chambers and incubations."""

    def cosmos_sites(self):
        """The sites of a network of neutron stations: what ``sources.cosmos.metadata`` gives, sorted by site, and of
        ``soils``, where that table is beside, sand, clay, cluster, mean_rain, mean_temperature and tower; a site
        without a cluster is one of its own.

        returns  DataFrame; attrs: remarks
        raises   InputError without a table of sites, for a site in two tables, and as the readers
        """
        found = []
        for path in self._tower_files("cosmos_sites", "COSMOS-UK_SiteMetadata_2013-2023.csv"):
            table = cosmos.metadata(path)
            rest = soils(path.with_name(SOILS), table["site"])
            remarks = table.attrs["remarks"]
            table = table if rest is None else table.merge(rest, "left", on="site")
            found.append(table.assign(cluster=table.get("cluster", pd.Series("", table.index)))
                         .assign(cluster=lambda t: t["cluster"].fillna("").where(t["cluster"].fillna("") != "",
                                                                                  t["site"])))
            found[-1].attrs["remarks"] = remarks
        whole = pd.concat([t.assign() for t in found], ignore_index=True) if len(found) > 1 else found[0]
        twice = whole["site"][whole["site"].duplicated()]
        if len(twice):
            raise InputError(f"the archive '{self.name}' has the site '{twice.iloc[0]}' in two tables of sites; keep "
                             "one")
        whole = whole.sort_values("site", ignore_index=True)
        whole.attrs = {"remarks": [r for t in found for r in t.attrs["remarks"]]}
        return whole

    def cosmos_daily(self, sites=None):
        """Daily readings of neutron stations, see ``sources.cosmos.read``.

        sites    names; None for all that have a file
        returns  (site, time[, probe]) Dataset float32 of all variables that a site has, every day from the first to
                 the last of all, NaN where missing; probe_depth (probe) [m]. attrs: remarks, licence where it is known;
                 each variable has units, long_name and retrieved (share with a value)
        raises   InputError for a site without a file or with two, a file that is not daily, and as ``read``
        """
        files = self._by_site("cosmos", "COSMOS-UK_<SITE>_HydroSoil_Daily_2013-2023.csv", _cosmos_site)
        names = sorted(files) if sites is None else list([sites] if isinstance(sites, str) else sites)
        found = {name: _daily(self._one(files, name, "daily readings of the neutron station"), self._options("cosmos"))
                 for name in names}
        return self._with_licence(together(found), "cosmos")

    def flux_towers(self):
        """Names of the flux towers with half-hourly measurements, sorted."""
        return sorted(self._by_site("flux_towers", "FLX_<site>_FLUXNET2015_FULLSET_HH_2014-2016_1-4.csv", _tower))

    def flux_tower(self, site, **options):
        """Half-hourly measurements of a tower, see ``sources.flux_tower.read``, which has the options: (time) Dataset.

        raises   InputError for a tower that is not there or has two files, and as ``read``
        """
        files = self._by_site("flux_towers", "FLX_<site>_FLUXNET2015_FULLSET_HH_2014-2016_1-4.csv", _tower)
        path = self._one(files, site, "flux tower")
        data = flux_tower.read(path, **{**self._options("flux_towers"), **options})
        return self._with_licence(data.assign_attrs(site=site), "flux_towers")

    def neutron_sites(self):
        """Names of the neutron probes with hourly counts, sorted."""
        return sorted(self._by_site("neutron_series", "<site>_time_series.csv", _station))

    def neutron_series(self, site):
        """Hourly counts and weather of a neutron probe, see ``sources.neutron_series.read``: (time) Dataset."""
        files = self._by_site("neutron_series", "<site>_time_series.csv", _station)
        data = neutron_series.read(self._one(files, site, "hourly neutron counts of"))
        return self._with_licence(data.assign_attrs(site=site), "neutron_series")

    def neutron_cores(self, site):
        """Soil cores around a neutron probe, see ``sources.neutron_series.read_cores``: DataFrame.

        Where the archive has one probe and one table of cores, they belong together whatever their names.
        """
        files = self._by_site("neutron_cores", "<site>_calibration.csv", _station)
        if site not in files and len(files) == 1 and self.neutron_sites() == [site]:
            return neutron_series.read_cores(next(iter(files.values()))[0])
        return neutron_series.read_cores(self._one(files, site, "soil cores at the neutron probe"))

    def chamber_sites(self):
        """Names of the data sets of automatic chambers, sorted."""
        return sorted(self._by_site("chambers", "d20200214_SITE.csv.gz", _station))

    def chambers(self, site, **options):
        """Measurements of the chambers of a site, see ``sources.field_sensors.read``, which has the options: DataFrame
        as its ``read``."""
        files = self._by_site("chambers", "d20200214_SITE.csv.gz", _station)
        path = self._one(files, site, "chambers of")
        return field_sensors.read(path, **{**self._options("chambers"), **options})

    def incubations(self, studies=None):
        """Incubations of soil, see ``sources.incubations.study``: one table of all studies, or of some.

        studies  names of their folders; None for all
        returns  DataFrame; attrs: units, remarks, studies (how many), retrieved (share of the rows with a rate)
        raises   InputError for a study that is not there, and as ``study``
        """
        files = self._by_site("incubations", "timeSeries.csv in a folder for each study", lambda p: p.parent.name)
        names = sorted(files) if studies is None else list([studies] if isinstance(studies, str) else studies)
        each = [incubations.study(self._one(files, name, "study").parent) for name in names]
        whole = pd.concat([one.assign() for one in each], ignore_index=True) if len(each) > 1 else each[0].copy()
        whole.attrs = {"units": each[0].attrs["units"], "remarks": [r for one in each for r in one.attrs["remarks"]],
                       "studies": len(each), "retrieved": float(whole["flux"].notna().mean())}
        return whole

    def tower_moisture_truth(self):
        """The true soil moisture at the stations of a simulated archive: Dataset of theta (site, time, layer) and
        theta_neutron (site, time), as the neutrons weigh it [m3 m-3]; None where there is none."""
        return self._tower_truth("moisture")

    def breath_truth(self):
        """The true fluxes at the towers of a simulated archive without noise: Dataset of reco, soil, plant, gpp (site,
        time) [umol m-2 s-1], the form of each and its curves; None where there is none."""
        return self._tower_truth("breath")

    def incoming_truth(self):
        """The true incoming rays at the hourly probes of a simulated archive, over their mean: (time) DataArray [-];
        None where there are none."""
        found = self._tower_truth("incoming")
        return None if found is None else found["incoming"]

    def tower_site_truth(self):
        """The true soil of the stations of a simulated archive: DataFrame; None where there is none."""
        path = self.root / "truth" / "towers_sites.csv"
        return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"site": str}) if path.is_file() else None

    # ---- helps

    def _tower_truth(self, what):
        path = self.root / "truth" / f"towers_{what}.nc"
        return xr.load_dataset(path, engine="h5netcdf") if path.is_file() else None

    def _tower_files(self, kind, example):
        paths = self.kinds().get(kind, [])
        if not paths:
            raise InputError(f"the archive '{self.name}' has no {kind.replace('_', ' ')}; a file of it is named like "
                             f"{example}")
        return paths

    def _by_site(self, kind, example, name):
        """The files of a kind by site: {site: [Path, ...]}."""
        found = {}
        for path in self._tower_files(kind, example):
            found.setdefault(name(path), []).append(path)
        return found

    def _one(self, files, site, what):
        """The one file of a site."""
        if site not in files:
            raise InputError(f"the archive '{self.name}' has no {what} '{site}'{near(site, sorted(files))}")
        if len(files[site]) > 1:
            raise InputError(f"the archive '{self.name}' has two files of {what} '{site}', "
                             f"{self.label(files[site][0])} and {self.label(files[site][1])}; keep one of them")
        return files[site][0]


def together(found):
    """Daily readings of several sites as one.

    found    {site: (time[, probe]) Dataset of ``sources.cosmos.read``}
    returns  (site, time[, probe]) Dataset float32, see ``Towers.cosmos_daily``
    """
    first = min(one.indexes["time"][0] for one in found.values())
    last = max(one.indexes["time"][-1] for one in found.values())
    days = pd.date_range(first, last, freq="D", unit="ns", name="time")
    names = list(dict.fromkeys(name for one in found.values() for name in one.data_vars))
    coords = {"site": list(found), "time": days}
    for axis, about in (("probe", "probe_depth"), ("depth", None)):
        there = sorted({value for one in found.values() if axis in one.dims for value in one[axis].values.tolist()})
        if there:
            coords[axis] = there
        if there and about:
            known = {p: d for one in found.values() if axis in one.dims
                     for p, d in zip(one[axis].values.tolist(), one[about].values.tolist())}
            coords[about] = (axis, [known[p] for p in there], {"units": "m"})
    data = {}
    for name in names:
        example = next(one[name] for one in found.values() if name in one)
        extra = [axis for axis in example.dims if axis != "time"]
        block = np.full([len(found), len(days), *(len(coords[axis]) for axis in extra)], np.nan, np.float32)
        for k, one in enumerate(found.values()):
            if name in one:
                start = days.get_loc(one.indexes["time"][0])
                rows = slice(start, start + one.sizes["time"])
                part = one[name].transpose("time", *extra)
                at = [[coords[axis].index(v) for v in part[axis].values.tolist()] for axis in extra]
                block[k, rows][(slice(None), *at)] = part.values
        about = {key: example.attrs[key] for key in ("units", "long_name") if key in example.attrs}
        data[name] = (("site", "time", *extra), block, {**about, "retrieved": float(np.isfinite(block).mean())})
    return xr.Dataset(data, coords, {"resolution": "daily", "stamp": "start of the day",
                                     "remarks": [r for one in found.values() for r in one.attrs["remarks"]]})


def _daily(path, options):
    data = cosmos.read(path, **options)
    if data.attrs["resolution"] != "daily":
        raise InputError(f"{path.name}: its rows are {data.attrs['resolution']}; daily ones are expected, in a file "
                         "such as COSMOS-UK_<SITE>_HydroSoil_Daily_2013-2023.csv")
    return data


def _cosmos_site(path):
    """The site of a file of COSMOS-UK by its name, or, of a file with another name, as it says itself."""
    found = cosmos.NAME.match(path.name)
    return found[1] if found else cosmos.read(path).attrs["site"]


def _tower(path):
    """The code of a tower that the name of its file tells, or the name itself."""
    found = flux_tower.SITE.search(path.name)
    return found[1] if found else path.name.partition(".")[0]


def _station(path):
    """The name of a station: that of its file without what follows it."""
    return re.sub(r"_(time_series|calibration)$", "", path.name.partition(".csv")[0])


def _ends(times):
    """First and last time."""
    values = pd.DatetimeIndex(np.asarray(times))
    return values.min(), values.max()
