"""An archive is a set of source files with what is known about them; simulated and real ones are used alike."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from phenolib.archive import (
    catalogues,
    cubes,
    flux_sites,
    moisture,
    patches,
    plots,
    roots,
    salinity,
    simulated,
    site_tables,
    stations,
    towers,
)
from phenolib.archive.description import PATTERNS, Kind, first_match, read_description, table_of
from phenolib.archive.downloads import MANIFEST, catalogue, fetch, get
from phenolib.archive.site_tables import SITE_COLUMNS
from phenolib.errors import InputError, near
from phenolib.files import digest, home, inside, sha256, write_json
from phenolib.sources import coastal_samples, phenocam

__all__ = ["SITE_COLUMNS", "Archive", "Reference", "catalogue", "check", "get", "open_archive"]

# the five cameras that Zhao et al. (2022), doi:10.1016/j.rse.2022.113046, hold out for test
DEEPCROP_TEST = ("cafcookwestltar01", "mead2", "mead3", "NEON.D06.KONA.DP1.00042", "usof6")
EVENTS = (
    "series", "site", "veg_type", "path", "step", "metric", "direction", "share", "date", "date_low", "date_high",
    "low", "high")


def __getattr__(name):
    if name == "check":
        from phenolib.archive.findings import check

        return check
    raise AttributeError(f"module 'phenolib.archive' has no attribute '{name}'")


def open_archive(name):
    """Open an archive.

    name     "simulated" (made on first use), "simulated+seed:2+warmer:1.5" for another landscape (see
             ``archive.simulated``), a folder, the name of a public data set (see ``catalogue``), a URL at which
             archive.yml lists the files, or a STAC catalogue alone: its catalog.json on disk, the URL of that or of an
             interface, or a name such as "earth-search"
    returns  Archive
    raises   InputError if there is no such archive, or nothing in it is recognised
    """
    name = str(name)
    if simulated.named(name):
        return Archive(simulated.folder(name), name=name)
    if catalogues.alone(name):
        return Archive(catalogues.described(name))
    if name.startswith(("https://", "http://")):
        return Archive(*_remote(name))
    folder = Path(name).expanduser()
    if folder.is_dir() and name:
        return Archive(folder)
    if name and folder.is_file():
        raise InputError(f"archive '{name}' is a file; give the folder that holds it")
    names = list(catalogue()["name"].unique()) if MANIFEST.is_file() else []
    if name in names:
        return Archive(get(name))
    beside = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
    hint = near(folder.name, [*beside, *names, "simulated"])
    raise InputError(f"archive '{name}': there is no such folder{hint if 'did you mean' in hint else ''}; "
                     "give a folder, a URL, 'simulated', or a name that `phenolib data list` shows")


@dataclass
class Reference:
    """What the dates found in an archive are held against.

    source   "truth" of a simulated archive, or "published" by the network
    events   one row per event: series, site, path (of the series' file), metric ("gcc_90", "GPP"), direction ("rising"
             or "falling"), share [% of the amplitude], date, date_low, date_high (NaT where there is no interval)
    """

    source: str
    events: pd.DataFrame


class Archive(flux_sites.FluxSites, patches.Patches, stations.Stations, roots.Roots, plots.Plots,
              salinity.Salinity, moisture.Moisture, towers.Towers, catalogues.Catalogues, cubes.Cubes):
    """Source files in a folder, described by archive.yml and sites.csv or recognised by their names.

    name     title of the archive, or the last part of its folder's path
    root     the folder
    about    title, licence, citation and note of archive.yml
    """

    def __init__(self, root, base="", name=""):
        self.root = Path(root).resolve()
        self.base = base
        self.about, self.described = read_description(self.root)
        self.name = str(name or self.about.get("title") or self.root.name)
        if not self.kinds() and not self._address:
            looked = [k.path for k in self.described.values() if k.path] or [p for v in PATTERNS.values() for p in v]
            raise InputError(f"archive '{self.name}' is empty: no file in it is named like "
                             f"{' or '.join(looked).replace('|', ' or ')}")

    @property
    def simulated(self):
        """Whether it was made here, by its name; a folder that `phenolib simulate` wrote counts as any other."""
        return simulated.named(self.name)

    def __repr__(self):
        return f"<Archive {self.name}: {', '.join(f'{len(p)} {k}' for k, p in self.kinds().items())}>"

    def kinds(self):
        """The files of each kind, sorted: {"cameras": [Path, ...], ...}; kinds without a file are left out."""
        return {kind: list(paths) for kind, paths in self._kinds.items()}

    @cached_property
    def _kinds(self):
        if self.described:
            found = {name: self._files(name, kind) for name, kind in self.described.items()}
        else:
            found = {name: first_match(self.root, name, patterns) for name, patterns in PATTERNS.items()}
            found["root_images"] = roots.whole_folders(found["root_images"])
            found["landsat"] = coastal_samples.whole_scenes(found["landsat"])
            found |= {kind: towers.own(kind, found[kind]) for kind in towers.KINDS}
        return {name: paths for name, paths in found.items() if paths}

    def _files(self, name, kind):
        """Files of a kind of archive.yml; those at a URL are fetched once."""
        if kind.path.startswith(("https://", "http://")):
            kind = Kind(files=[kind.path])
        if kind.path and self.base:
            raise InputError(f"archive.yml of '{self.name}': files at a URL cannot be found by the pattern "
                             f"'{kind.path}'; list them under 'files:'")
        if kind.path:
            for pattern in kind.path.split("|"):
                inside(self.root, pattern)
            return first_match(self.root, name, [kind.path])
        known = kind.files if isinstance(kind.files, dict) else dict.fromkeys(kind.files)
        return sorted(self._file(str(file), sha) for file, sha in known.items())

    def _file(self, name, known):
        url = name if name.startswith(("https://", "http://")) else f"{self.base}/{name}" if self.base else ""
        cache = home() / "downloads" / "files" / digest(url)[:12]
        path = cache / Path(name).name if url == name else inside(self.root, name)
        if not path.is_file() or (known and sha256(path) != known):
            if not url:
                raise InputError(f"archive.yml of '{self.name}': the file {name} is missing or has another sha256")
            fetch(url, path, known)
        return path

    def hash(self, kinds=None):
        """One sha256 over the bytes of the files (of some kinds, or all), the tables beside them and the truth; of a
        catalogue elsewhere over its address."""
        elsewhere = [self._address] if self._address and (kinds is None or "catalogue" in kinds) else []
        kinds = self.kinds() if kinds is None else {k: self.kinds().get(k, []) for k in kinds}
        paths = {self.label(p): p for files in kinds.values() for p in files}
        places = {table_of(k) for k in kinds or ["cameras"]}
        beside = stations.beside(kinds.get("soil", [])) | stations.beside(kinds.get("farm", []))
        beside |= {p.with_name(name) for p in kinds.get("plots", []) for name in plots.BESIDE}
        beside |= roots.beside(kinds.get("root_images", []))
        beside |= salinity.beside(self.root) if "salt" in kinds else set()
        beside |= moisture.beside(self.root, kinds) | towers.beside(self.root, kinds)
        scenes = {p for c in kinds.get("catalogue", []) for p in c.parent.rglob("*")}
        truth = {p for k in kinds for p in (self.root / "truth").glob(f"{k}*")}
        for path in (*(self.root / name for name in places), *truth, *beside, *scenes):
            if path.is_file():
                paths[self.label(path)] = path
        store = home() / "cache" / "hashes" / f"{digest(str(self.root))[:16]}.json"
        old = json.loads(store.read_text()) if store.is_file() else {}
        new = {}
        for label, path in sorted(paths.items()):
            stat = path.stat()
            mark = [stat.st_size, stat.st_mtime_ns]
            new[label] = old[label] if old.get(label, [])[:2] == mark else [*mark, sha256(path)]
        if any(old.get(label) != mark for label, mark in new.items()):
            write_json(store, {**old, **new})
        described = {k: vars(self.described[k]) for k in kinds if k in self.described}
        return digest(described, [[label, mark[2]] for label, mark in new.items()], *elsewhere)

    def label(self, path):
        """The path of a file within the archive, as text."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def cameras(self, site="", veg_type=""):
        """The camera series, one row each: series ("<site>_<VEG>_<ROI>"), site, veg_type, roi, step [days], path.

        Where a series is there per day and per three days, the three-day file is taken.

        site       only this site (for a simulated archive, the name of the real site also stands for its twin)
        veg_type   only this vegetation, e.g. "AG" (agriculture)
        """
        table = self._cameras
        if site:
            table = table[table["site"] == self.find_site(site)]
        if veg_type:
            there = sorted(set(table["veg_type"]))
            table = table[table["veg_type"] == veg_type]
            if table.empty:
                raise InputError(f"no camera series of vegetation '{veg_type}' in the archive '{self.name}'"
                                 f"{near(veg_type, there)}")
        return table.drop(columns=["lon", "lat"]).reset_index(drop=True)

    @cached_property
    def _cameras(self):
        rows = [{**phenocam.read_header(p), "path": p} for p in self.kinds().get("cameras", [])]
        names = ["site", "veg_type", "roi", "step", "path", "lon", "lat"]
        table = pd.DataFrame(rows, columns=names)
        table.insert(0, "series", table["site"] + "_" + table["veg_type"] + "_" + table["roi"])
        return table.sort_values(["series", "step"]).drop_duplicates("series", keep="last").reset_index(drop=True)

    @cached_property
    def sites(self):
        """One row per site: site, lon, lat, cluster, crop, split, and what else sites.csv holds.

        A camera's site that sites.csv lacks is taken from the camera's header. Without sites.csv, sites within 5 km
        of one another form a cluster, named by its first member, and the test cameras of Deep-CroP are the test split.
        """
        places = self._cameras.drop_duplicates("site")[["site", "lon", "lat"]].reset_index(drop=True)
        table = self._table("sites.csv")
        if table is None:
            test = places["site"].isin(DEEPCROP_TEST)
            return places.assign(cluster=site_tables.clusters(places), crop="", split=np.where(test, "test", "train"))
        rest = places[~places["site"].isin(table["site"])]
        table = pd.concat([table, rest.assign(cluster=rest["site"])], ignore_index=True)
        text = table.columns.difference(["lon", "lat"])
        return table.assign(**{c: table[c].fillna("") for c in text})

    def _table(self, name):
        """A table of sites of the archive, or None if there is none."""
        path = self.root / name
        return site_tables.read(path) if path.is_file() else None

    def find_site(self, name):
        """The site of that name; in a simulated archive a real site's name finds the twin that stands in for it.

        raises   InputError with near names if there is no such site
        """
        return self._named(name, self.sites, "site")

    def _named(self, name, sites, what):
        if name in set(sites["site"]):
            return name
        twins = dict(zip(sites["twin"], sites["site"])) if "twin" in sites else {}
        twins.pop("", None)
        if name in twins:
            print(f"{name}: the simulated twin '{twins[name]}' stands in")
            return twins[name]
        raise InputError(f"{what} '{name}' is not in the archive '{self.name}'{near(name, [*sites['site'], *twins])}")

    def phenocam(self, site, roi=""):
        """A camera series as a Dataset (see ``sources.phenocam.read``).

        site     name of the site
        roi      region of interest, e.g. "1000" or "AG_1000"; by default agriculture before other vegetation, and
                 the network's standard region 1000 before others
        raises   InputError if there is no such site or region
        """
        table = self.cameras(site)
        if table.empty:
            raise InputError(f"site '{site}' has no camera in the archive '{self.name}'")
        if roi:
            labels = table["veg_type"] + "_" + table["roi"]
            chosen = table[(table["roi"] == roi) | (labels == roi)]
            if chosen.empty:
                raise InputError(f"site '{site}' has no region '{roi}'{near(roi, labels)}")
            table = chosen
        best = sorted(table.itertuples(), key=lambda t: (t.veg_type != "AG", t.roi != "1000", t.roi))[0]
        return self._read(best.path)

    def _there(self, name, names, lacks):
        """The name if it is among names, else the simulated twin of it that is; or an error that says what it lacks."""
        names, twins = sorted(set(names)), {}
        if name not in names and "twin" in self.sites:
            twins = {t: s for t, s in zip(self.sites["twin"], self.sites["site"]) if t and s in names}
        if name not in names and name not in twins:
            raise InputError(f"{lacks} in the archive '{self.name}'{near(name, names)}")
        if name in twins:
            print(f"{name}: the simulated twin '{twins[name]}' stands in")
        return twins.get(name, name)

    def _read(self, path):
        return self._with_licence(phenocam.read(path, **self._options("cameras")), "cameras")

    def _options(self, kind):
        """Options of the reader of a kind, as archive.yml gives them."""
        return self.described.get(kind, Kind()).options

    def _with_licence(self, data, kind):
        licence = self.described.get(kind, Kind()).licence or self.about.get("licence", "")
        return data.assign_attrs(licence=licence) if licence else data

    def reference(self, kind="cameras", source=""):
        """What the dates of a kind can be held against.

        kind     "cameras", "site_gpp", or "patches": the green leaf area of the fields in them, see ``field_map``
        source   "truth" (planted), "published" (by the network, or by TIMESAT for GPP), or "" for the best there is:
                 truth, else published
        returns  Reference, its table empty where the archive has none of the source asked for; None if there is none
                 at all
        """
        found = {"truth": self._truth(kind), "published": pd.DataFrame(columns=EVENTS)}
        if kind == "cameras" and "transitions" in self.kinds():
            events = self.transitions()
            found["published"] = events[events["path"].notna()].reset_index(drop=True)
        if kind == "site_gpp" and "timesat" in self.kinds():
            found["published"] = self._gpp_published()
        if source:
            if source not in found:
                raise InputError(f"reference '{source}' is not known{near(source, found)}")
            return Reference(source, found[source])
        return next((Reference(name, events) for name, events in found.items() if len(events)), None)

    def _truth(self, kind):
        path = self.root / "truth" / f"{kind}.csv"
        if not path.is_file():
            return pd.DataFrame(columns=EVENTS)
        events = pd.read_csv(path, dtype={"series": str, "site": str}, parse_dates=["date"])
        if kind == "site_gpp":
            return self._gpp_events(events)
        if kind == "patches":
            return events.assign(series=events["site"] + "_" + events["field"].astype(str), path=None, veg_type="AG",
                                 metric="lai_green", date_low=pd.NaT, date_high=pd.NaT, low=np.nan, high=np.nan)
        series = self._cameras.set_index("series")
        return events.assign(
            path=events["series"].map(series["path"]), veg_type=events["series"].map(series["veg_type"]),
            metric="gcc_90", date_low=pd.NaT, date_high=pd.NaT, low=np.nan, high=np.nan)

    def transitions(self):
        """The published transition dates as events (see ``Reference``), with `step` and the matching series' path.

        `path` is None for dates whose series (same region, same step) is not in the archive.
        """
        files = {p.name: p for p in reversed(first_match(self.root, "cameras", ["**/*_[13]day.csv"]))}
        rows = []
        for path in self.kinds().get("transitions", []):
            table = phenocam.read_transitions(path)
            step = table.attrs["step"]
            for t in table.to_dict("records"):
                series = f"{t['site']}_{t['veg_type']}_{t['roi_id']}"
                rows += [{
                    "series": series, "site": t["site"], "veg_type": t["veg_type"],
                    "path": files.get(f"{series}_{step}day.csv"), "step": step,
                    "metric": t["gcc_value"], "direction": t["direction"], "share": share,
                    "date": t[f"transition_{share}"],
                    "date_low": t[f"transition_{share}_lower_ci"], "date_high": t[f"transition_{share}_upper_ci"],
                    "low": t["min_gcc"], "high": t["max_gcc"],
                } for share in phenocam.SHARES]
        return pd.DataFrame(rows)


def _remote(url):
    """Fetch the description of an archive at a URL; its files follow when they are needed."""
    base = url.rstrip("/").removesuffix("/archive.yml")
    if catalogues.answers(base):
        return catalogues.described(base), "", ""
    root = home() / "downloads" / "archives" / digest(base)[:12]
    for name in ("archive.yml", "sites.csv"):
        (root / name).unlink(missing_ok=True)
        try:
            fetch(f"{base}/{name}", root / name)
        except InputError:
            if name == "archive.yml":
                raise InputError(f"{base}: an archive at a URL needs the file archive.yml there, a catalogue that it "
                                 "answers as STAC; neither could be fetched") from None
    return root, base, ""
