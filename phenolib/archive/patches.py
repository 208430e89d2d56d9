"""Satellite patches of an archive: what there is of each place, and a place with all that belongs to it."""

from functools import cached_property

import numpy as np
import pandas as pd

from phenolib.sources import sentinel

KINDS = ("patches",)
PATTERNS = {"patches": ("**/*_[0-9]*m_*_[0-9]*_????-??-??_????-??-??.nc",)}
READERS = {"patches": "sentinel"}
EVENTS = ("sowing", "emergence", "t_sen", "ripe", "harvest")  # of a season, in order


def look(path):
    """What a file holds, read whole: place, first and last date (NaT without dates), remarks.

    raises   InputError as ``sources.sentinel.read_patch``
    """
    patch = sentinel.read_patch(path)
    if "time" not in patch.dims:
        return patch.attrs["place"], np.datetime64("NaT"), np.datetime64("NaT"), []
    empty = [v for v in patch.data_vars if v in sentinel.BANDS and not patch[v].notnull().any()]
    odd = [f"{path.name}: the band {band} has no value at all" for band in empty]
    return patch.attrs["place"], patch["time"].values.min(), patch["time"].values.max(), odd


class Patches:
    """The part of an ``Archive`` that knows satellite patches."""

    @cached_property
    def field_dates(self):
        """True dates of field work and of stages, one row a field and season, for scoring alone.

        returns  DataFrame site, field, climate, crop, season, sowing, emergence, t_sen (half of the leaves are brown),
                 ripe and harvest (NaT where it did not come); without rows where the archive has no such truth
        """
        path = self.root / "truth" / "patches_seasons.csv"
        if not path.is_file():
            return pd.DataFrame(columns=["site", "field", "climate", "crop", "season", *EVENTS])
        return pd.read_csv(path, dtype={"site": str}, parse_dates=list(EVENTS))

    @cached_property
    def patch_places(self):
        """One row per place: place, files, and for optical, radar, crops and weather whether there are files of it.

        The names of files tell it, nothing is read: S2 is optical, S1 radar, AgERA5 weather, OUTPUT a crop map.
        """
        rows = []
        for path in self.kinds().get("patches", []):
            known = sentinel.NAME.fullmatch(path.name)
            if known:
                rows.append({"place": known["place"], "kind": kind_of(known["product"], float(known["resolution"])),
                             "path": path})
        table = pd.DataFrame(rows, columns=["place", "kind", "path"])
        kinds = ("optical", "radar", "crops", "weather")
        return pd.DataFrame([{"place": place, "files": len(some), **{k: k in set(some["kind"]) for k in kinds}}
                             for place, some in table.groupby("place")], columns=["place", "files", *kinds])

    def patch(self, place):
        """All of one place, see ``sources.sentinel.read_place``; a real site's name finds its simulated twin.

        place    name of the place
        returns  dict of Datasets: optical, optical_20, radar, crops, weather, as far as there are files
        raises   InputError for a place without files
        """
        place = self._there(place, self.patch_places["place"], f"place '{place}' has no patches")
        folders = {p.parent for p in self.kinds()["patches"] if f"m_{place}_" in p.name}
        found = {}
        for folder in sorted(folders):
            found |= sentinel.read_place(folder, place)
        return {kind: self._with_licence(patch, "patches") for kind, patch in found.items()}

    def field_map(self, place):
        """The field of each pixel of a simulated patch, for scoring against ``reference("patches")``.

        place    name of the place
        returns  (row, column) int, as the 10 m pixels of the patch; None where the archive has no such truth
        """
        path = self.root / "truth" / "patch_fields.csv"
        if not path.is_file():
            return None
        table = pd.read_csv(path, dtype={"site": str})
        place = self._there(place, table["site"].unique(), f"place '{place}' has no map of fields")
        return table[table["site"] == place].pivot(index="row", columns="column", values="field").to_numpy()


def kind_of(product, resolution):
    """What a product is, by its name; the 20 m file of Sentinel-2 alone has no red band, so it is no optical patch."""
    if product.startswith("S2"):
        return "optical" if resolution <= 10 else "optical_20"
    return "radar" if product.startswith("S1") else "weather" if "ERA5" in product else "crops"
