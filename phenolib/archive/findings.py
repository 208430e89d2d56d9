"""What an archive holds, what is wrong with it, and which chapters can run on it."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from phenolib.archive import (
    Archive,
    catalogues,
    flux_sites,
    moisture,
    patches,
    plots,
    roots,
    salinity,
    stations,
    towers,
)
from phenolib.errors import InputError
from phenolib.files import checkout
from phenolib.sources import phenocam


@dataclass
class Finding:
    """One thing that is wrong: the kind of file, the file (relative to the archive), one line."""

    kind: str
    file: str
    problem: str


@dataclass
class Findings:
    """The outcome of ``check``; as text, the report that `phenolib data check` prints.

    name       of the archive
    kinds      DataFrame, one row per kind: kind, files, sites, first, last (dates), wrong (files with a problem)
    problems   list of Finding
    remarks    list of str: what is odd in a file that can be used
    chapters   DataFrame, one row per chapter: chapter, runs (bool), lacks (kinds that are not there)
    """

    name: str
    kinds: pd.DataFrame
    problems: list
    chapters: pd.DataFrame
    remarks: list = field(default_factory=list)

    def __iter__(self):
        return iter(self.problems)

    def __len__(self):
        return len(self.problems)

    def __str__(self):
        lines = [f"archive {self.name}"]
        for k in self.kinds.itertuples():
            period = f", {k.first:%Y-%m-%d} to {k.last:%Y-%m-%d}" if pd.notna(k.first) else ""
            lines.append(f"  {k.kind}: {k.files} files, {k.sites} sites{period}")
        lines += [f"  wrong: {f.problem}" for f in self.problems] or ["  nothing wrong found"]
        lines += [f"  remark: {remark}" for remark in self.remarks]
        for c in self.chapters.itertuples():
            lines.append(f"  chapter {c.chapter}: {'can run' if c.runs else 'lacks ' + ', '.join(c.lacks)}")
        return "\n".join(lines)


def check(folder):
    """Read every file of an archive and tell what was found, what is wrong, and which chapters can run.

    folder   a local folder
    returns  Findings; a file that cannot be read is one finding, never an exception
    raises   InputError if there is no such folder or nothing in it is recognised
    """
    if not Path(folder).is_dir():
        raise InputError(f"archive '{Path(folder).name}': there is no such folder")
    archive = Archive(folder)
    rows, problems, remarks = [], [], []
    for kind, paths in archive.kinds().items():
        row, wrong, odd = _kind(archive, kind, paths)
        rows.append(row)
        problems += wrong
        remarks += odd
    elsewhere = {"catalogue"} if archive._address else set()
    for kind, described in archive.described.items():
        if kind not in archive.kinds() and kind not in elsewhere:
            problem = f"archive.yml: no file matches '{described.path}' of '{kind}'"
            problems.append(Finding(kind, "archive.yml", problem))
    for table, name in (("sites", "sites.csv"), ("flux_sites", flux_sites.TABLE), ("areas", catalogues.TABLE),
                        ("soil_stations", stations.PROFILES), ("farms", "the tables of a farm"),
                        ("root_images", roots.TABLE)):
        try:
            getattr(archive, table)  # reads the table, and the header or the name of every file
        except InputError as error:  # a file that cannot be read is a finding of its own
            if not any(str(error) == p.problem for p in problems):
                problems.append(Finding(table, name, str(error)))
    usable = {row["kind"] for row in rows if row["wrong"] < row["files"]} | elsewhere
    columns = ["kind", "files", "sites", "first", "last", "wrong"]
    return Findings(archive.name, pd.DataFrame(rows, columns=columns), problems, _chapters(usable),
                    remarks)


def _kind(archive, kind, paths):
    """One row about a kind, what is wrong with its files, and what is odd in them."""
    sites, dates, wrong, odd = set(), [], [], []
    for path in paths:
        try:
            if kind == "cameras":
                data = phenocam.read(path)
                sites.add(data.site)
                dates += [data.time.values.min(), data.time.values.max()]
            elif kind == "transitions":
                table = phenocam.read_transitions(path)
                sites |= set(table["site"])
                dates += [table["transition_50"].min(), table["transition_50"].max()]
            elif kind in flux_sites.KINDS:
                site, first, last, remarks = flux_sites.look(kind, path)
                sites.add(site)
                dates += [first, last]
                odd += remarks
            elif kind in patches.KINDS:
                place, first, last, remarks = patches.look(path)
                sites.add(place)
                dates += [first, last]
                odd += remarks
            elif kind in stations.KINDS:
                names, first, last, remarks = stations.look(kind, path, archive._options(kind))
                sites |= set(names)
                dates += [first, last]
                odd += remarks
            elif kind in roots.KINDS:
                names, first, last, remarks = roots.look(kind, path, archive._root_masks)
                sites |= names
                dates += [first, last]
                odd += remarks
            elif kind in plots.KINDS:
                names, first, last, remarks = plots.look(path)
                sites |= names
                dates += [first, last]
                odd += remarks
            elif module := next((m for m in (salinity, moisture) if kind in m.KINDS), None):
                names, first, last, remarks = module.look(kind, path)
                sites |= names
                dates += [first, last]
                odd += remarks
            elif kind in towers.KINDS:
                names, first, last, remarks = towers.look(kind, path, archive._options(kind))
                sites |= names
                dates += [first, last]
                odd += remarks
            elif kind in catalogues.KINDS:
                dates += catalogues.look(path)
                sites |= set(archive.areas["name"])
        except InputError as error:
            wrong.append(Finding(kind, archive.label(path), str(error)))
        except OSError as error:
            wrong.append(Finding(kind, archive.label(path), f"{path.name}: cannot be opened: {error.strerror}"))
    dates = pd.to_datetime(pd.Series(dates, dtype="datetime64[ns]"))
    return {"kind": kind, "files": len(paths), "sites": len(sites), "first": dates.min(), "last": dates.max(),
            "wrong": len(wrong)}, wrong, odd


def _chapters(kinds):
    """Which chapters of the checkout can run on these kinds: a notebook's metadata name the kinds it needs."""
    rows = []
    for path in sorted((checkout() / "notebooks").glob("*.ipynb")) if checkout() else []:
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("phenolib", {})
        lacks = [k for k in metadata.get("kinds", []) if k not in kinds]
        rows.append({"chapter": path.stem, "runs": not lacks, "lacks": lacks})
    return pd.DataFrame(rows, columns=["chapter", "runs", "lacks"])
