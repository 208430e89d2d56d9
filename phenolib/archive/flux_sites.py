"""Flux sites of an archive: satellite indices, daily carbon uptake, and what TIMESAT made of it."""

from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import site_series, tables, timesat

KINDS = ("site_indices", "site_gpp", "timesat")
PATTERNS = {
    "site_indices": ("**/*_LC[0-9]*_mean.csv",),
    "site_gpp": ("**/*_GPP_*_dd*years.csv",),
    "timesat": ("**/*_[vy][pf]*[pt].csv",),  # *_vpp.csv and *_yfit.csv
}
READERS = {"site_indices": "site_series", "site_gpp": "site_series", "timesat": "timesat"}
TABLE = "flux_sites.csv"  # where the sites are, as sites.csv tells it of the cameras


def look(kind, path):
    """What a file of one of ``KINDS`` holds, read whole.

    returns  site, first and last date (datetime64), and remarks (list of str) on what is odd but no fault
    raises   InputError as the reader of the file
    """
    if kind == "timesat":
        if not is_fit(path):
            seasons = timesat.read_seasons(path)
            return tables.site_of(path), seasons["sos"].min(), seasons["eos"].max(), []
        fit = timesat.read_fit(path)
        return fit.attrs["site"], fit.time.values.min(), fit.time.values.max(), []
    data = site_series.read(path)
    if ("GPP" in data) != (kind == "site_gpp"):
        expected = "GPP" if kind == "site_gpp" else f"some of {', '.join(site_series.INDICES)}"
        raise InputError(f"{path.name}: holds {', '.join(data)}; {expected} is expected in a file of this name")
    odd = [f"{path.name}: {v.attrs['impossible']} value of {name} that cannot be is taken as missing"
           for name, v in data.items() if v.attrs.get("impossible")]
    return data.attrs["site"], data.time.values.min(), data.time.values.max(), odd


def is_fit(path):
    """Whether a file of TIMESAT is a daily fit (else it is one of seasons)."""
    return path.stem.endswith("fit")


class FluxSites:
    """The part of an ``Archive`` that knows flux sites."""

    @cached_property
    def flux_sites(self):
        """One row per flux site: site, lon, lat, cluster, crop, split, what else flux_sites.csv holds, and for each of
        the kinds site_indices, site_gpp and timesat whether there are files of it.

        Without flux_sites.csv the place is unknown (NaN): the files do not tell it.
        """
        files = self._flux_files
        there = sorted({site for sites in files.values() for site in sites})
        table = self._table(TABLE)
        if table is None:
            table = pd.DataFrame({"site": pd.Series(dtype=str), "lon": pd.Series(dtype=float),
                                  "lat": pd.Series(dtype=float), "cluster": "", "crop": "", "split": ""})
        rest = pd.DataFrame({"site": [s for s in there if s not in set(table["site"])]})
        table = pd.concat([table, rest.assign(cluster=rest["site"])], ignore_index=True)
        text = table.columns.difference(["lon", "lat"])
        table = table.assign(**{c: table[c].fillna("").astype(object) for c in text})
        return table.assign(**{kind: table["site"].isin(files[kind]).astype(bool) for kind in KINDS})

    @cached_property
    def _flux_files(self):
        """The files of each flux kind by site: {"site_gpp": {"BE-Lon": [Path]}, …}."""
        found = {kind: {} for kind in KINDS}
        for kind in KINDS:
            for path in self.kinds().get(kind, []):
                found[kind].setdefault(tables.site_of(path), []).append(path)
        return found

    def find_flux_site(self, name):
        """The flux site of that name, or in a simulated archive the twin that stands in for it.

        raises   InputError with near names if there is no such site
        """
        return self._named(name, self.flux_sites, "flux site")

    def site_series(self, site):
        """All indices of a flux site on all dates at which any was observed.

        site     name of the site
        returns  (time,) Dataset of NDVI, EVI2, PPI, … (those that the archive holds), NaN where missing; attrs: site,
                 source (names of the files), licence where it is known
        raises   InputError if there is no such site, it has no indices, or two files hold the same index of it on the
                 same date
        """
        site = self.find_flux_site(site)
        paths = self._files_of(site, "site_indices")
        variables, sources = {}, {}
        for path in paths:
            data = site_series.read(path)
            for name, variable in data.items():
                variables.setdefault(name, []).append(variable)
                sources.setdefault(name, []).append(path.name)
        for name, pieces in variables.items():
            whole = xr.concat(pieces, "time", combine_attrs="override").sortby("time") if len(pieces) > 1 else pieces[0]
            index = whole.indexes["time"]
            if not index.is_unique:
                raise InputError(f"{' and '.join(sources[name])}: both hold {name} on "
                                 f"{index[index.duplicated()][0]:%Y-%m-%d}; keep one of them")
            variables[name] = whole
        order = [name for name in site_series.VARIABLES if name in variables]
        data = xr.merge([variables[name].to_dataset() for name in order], join="outer", combine_attrs="drop_conflicts")
        data["time"].attrs = {"long_name": "date"}
        data.attrs = {"site": site, "source": ", ".join(path.name for path in paths)}
        return self._with_licence(data, "site_indices")

    def gpp(self, site):
        """Daily gross primary production of a flux site.

        site     name of the site
        returns  (time,) DataArray [gC m⁻² d⁻¹], every day from the first to the last, NaN where missing; attrs: site,
                 source, units, long_name, licence where it is known
        raises   InputError if there is no such site, or it has no or several files of GPP
        """
        paths = self._files_of(self.find_flux_site(site), "site_gpp")
        if len(paths) > 1:
            raise InputError(f"{paths[0].name} and {paths[1].name}: both hold GPP of one site; keep one of them")
        data = site_series.read(paths[0])
        days = pd.date_range(data.indexes["time"][0], data.indexes["time"][-1], freq="D", unit="ns", name="time")
        return self._with_licence(data["GPP"].reindex(time=days).assign_attrs(data.attrs), "site_gpp")

    def timesat(self, site):
        """What TIMESAT made of the GPP of a flux site.

        site     name of the site
        returns  seasons (see ``sources.timesat.read_seasons``) and daily fit (see ``read_fit``), either of them None if
                 its file is not there; None if neither is
        raises   InputError if there is no such site
        """
        paths = self._flux_files["timesat"].get(self.find_flux_site(site), [])
        paths = [path for path in paths if timesat.series_of(path) == "GPP"]
        seasons = next((timesat.read_seasons(path) for path in paths if not is_fit(path)), None)
        fit = next((timesat.read_fit(path) for path in paths if is_fit(path)), None)
        return None if seasons is None and fit is None else (seasons, fit)

    def _files_of(self, site, kind):
        if site not in self._flux_files[kind]:
            raise InputError(f"site '{site}' has no {kind} in the archive '{self.name}'")
        return self._flux_files[kind][site]

    def _gpp_events(self, events):
        """Planted events of GPP with the file they belong to."""
        files = {site: paths[0] for site, paths in self._flux_files["site_gpp"].items()}
        return events.assign(path=events["site"].map(files), veg_type="", step=1, metric="GPP", date_low=pd.NaT,
                             date_high=pd.NaT, low=np.nan, high=np.nan)

    def _gpp_published(self):
        """The starts and ends that TIMESAT set on GPP, as events.

        low and high are the minimum of the event's own side and the peak: low = (value − share·high) / (1 − share).
        """
        rows = []
        for site in self._flux_files["timesat"]:
            seasons, _ = self.timesat(site) or (None, None)
            gpp = self._flux_files["site_gpp"].get(site, [None])[0]
            for s in seasons.dropna(subset="share").itertuples() if seasons is not None else ():
                for direction, when, value in (("rising", s.sos, s.sos_value), ("falling", s.eos, s.eos_value)):
                    rows.append({
                        "series": f"{site}_GPP", "site": site, "season": s.year, "veg_type": "", "path": gpp, "step": 1,
                        "metric": "GPP", "direction": direction, "share": round(100 * s.share), "date": when,
                        "date_low": pd.NaT, "date_high": pd.NaT,
                        "low": (value - s.share * s.peak_value) / (1 - s.share), "high": s.peak_value})
        return pd.DataFrame(rows)
