"""A tidy table of statistics: from samples to values with intervals, beside another table, as a file and back."""

import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from phenolib import files, metrics
from phenolib.errors import InputError, near

COLUMNS = ["what", "crop", "month", "value", "low", "high", "n", "unit"]
KEYS = ["what", "crop", "month"]
TOLERANCE = {"VV": 2.0, "VH": 2.0, "NDVI": 0.1}  # of monthly medians, in their unit; project default
WORDS = {"1": "count", "d": "days", "d of year": "day of year"}  # units as a record shows them
PUBLISHED = "data/real_statistics.csv"  # in a checkout: statistics of the public archives


def quantile(share):
    """A function that gives the quantile of a sample at ``share``."""
    return lambda sample: np.quantile(sample, share)


def robust(sample):
    """Standard deviation of a normal sample about 0, from the median of its absolute values."""
    return 1.4826 * np.median(np.abs(sample))


HOW = {  # the last words of a row's name: statistic of its sample
    "": np.median, "share": np.mean, "median": np.median, "10 %": quantile(0.1), "90 %": quantile(0.9),
    "longest": np.max, "mean": np.mean, "SD": lambda sample: np.std(sample, ddof=1) if sample.size > 1 else np.nan,
    "SD within sites": lambda sample: np.sqrt(np.mean(sample**2)), "robust SD within sites": robust,
}


def summary(rows, *, draws=200, seed=0):
    """Samples to one row each: value, interval and n.

    rows     of (what, how, crop, month, unit, group, value); how is a key of ``HOW``, a group is drawn as a whole
    returns  DataFrame ``COLUMNS``
    """
    samples = pd.DataFrame(rows, columns=["what", "how", "crop", "month", "unit", "group", "value"]).dropna()
    found = []
    for (what, how, crop, month, unit), some in samples.groupby(["what", "how", "crop", "month", "unit"]):
        values, bounds = metrics.bootstrap(some["value"], some["group"], {how: HOW[how]}, draws=draws, seed=seed)
        name = f"{what}, {how}" if how else what
        found.append((name, crop, month, values[how], *bounds[how], len(some), unit))
    return pd.DataFrame(found, columns=COLUMNS).sort_values(KEYS, ignore_index=True)


def result(table, what, crop="", month=0):
    """One row of a table as the arguments of ``report.record``: value, unit, interval and n, or why there is none.

    >>> result(pd.DataFrame(columns=COLUMNS), "VH", "maize", 7)
    {'value': None, 'unit': '-', 'why': 'the archive has no VH of maize in month 7'}
    """
    rows = table[(table["what"] == what) & (table["crop"] == crop) & (table["month"] == month)]
    if rows.empty:
        named = what + (f" of {crop}" if crop else "") + (f" in month {month}" if month else "")
        return {"value": None, "unit": "-", "why": f"the archive has no {named}"}
    row = rows.iloc[0]
    interval = None if np.isnan(row["low"]) else (row["low"], row["high"])
    return {"value": row["value"], "unit": WORDS.get(row["unit"], row["unit"]), "interval": interval, "n": row["n"]}


def compare(simulated, real):
    """Simulated statistics beside real ones.

    simulated, real  DataFrames as ``statistics`` or ``read`` gives them
    returns          DataFrame what, crop, month, simulated, real, distance (simulated − real), unit, within (of the
                     monthly medians of NDVI, VV and VH, whether the distance is within ``TOLERANCE``; missing for
                     what has none), overlap (whether the two intervals meet; missing where one is unknown); rows that
                     both have
    raises           InputError if they have no row in common, or a unit differs
    """
    both = simulated.merge(real, on=KEYS, suffixes=("", "_real"))
    if both.empty:
        raise InputError("the two tables have no row (what, crop, month) in common; were both made by this version?")
    other = both[both["unit"] != both["unit_real"]]
    if len(other):
        row = other.iloc[0]
        raise InputError(f"'{row['what']}' has the unit '{row['unit']}' in one table and '{row['unit_real']}' in the "
                         "other; make both with this version")
    away = both["value"] - both["value_real"]
    tolerance = both["what"].map(TOLERANCE)
    known = both[["low", "high", "low_real", "high_real"]].notna().all(axis=1)
    meet = (both["low"] <= both["high_real"]) & (both["low_real"] <= both["high"])
    return both[KEYS].assign(
        simulated=both["value"], real=both["value_real"], distance=away, unit=both["unit"],
        within=(away.abs() <= tolerance).astype("boolean").where(tolerance.notna()),
        overlap=meet.astype("boolean").where(known))


def distances(both):
    """How far monthly medians of simulated and real fields are apart, by crop and band.

    both     DataFrame of ``compare``
    returns  DataFrame band, crop, median and largest (of the absolute distances of the months), month (of the largest),
             within (share of the months within ``TOLERANCE``), n (months) and unit
    """
    months = both[both["what"].isin(TOLERANCE)].assign(away=lambda t: t["distance"].abs())
    found = [{"band": band, "crop": crop, "median": some["away"].median(), "largest": some["away"].max(),
              "month": some.loc[some["away"].idxmax(), "month"], "within": some["within"].astype(float).mean(),
              "n": len(some), "unit": some["unit"].iloc[0]} for (band, crop), some in months.groupby(["what", "crop"])]
    return pd.DataFrame(found, columns=["band", "crop", "median", "largest", "month", "within", "n", "unit"])


def write(table, path, archive, *, title="", sources=()):
    """Write a table of statistics, headed by ``#`` lines: archive, date, and whose data under which licence.

    table    of ``statistics``
    path     file to write
    archive  of which it is
    title    of the archive; default its own name
    sources  see ``attribution``
    raises   InputError as ``attribution``
    """
    head = [f"Statistics of the archive: {title or archive.name}", f"Made on {datetime.date.today()} with "
            "phenolib.fidelity; intervals 95 %, bootstrap over fields, sites or years",
            *attribution(archive, sources)]
    files.write_text(path, "".join(f"# {line}\n" for line in head) + table.to_csv(index=False, float_format="%.5g"))


def attribution(archive, sources=()):
    """Lines that say whose data an archive holds.

    sources  one line each: who measured, where it is published, licence; default licence and citation of archive.yml
    raises   InputError if neither tells the licence: nothing without one may be published
    """
    lines = [str(s) for s in sources] or [
        f"{key}: {archive.about[key]}" for key in ("licence", "citation") if archive.about.get(key)]
    if not lines:
        raise InputError(f"archive '{archive.name}': no licence is stated in archive.yml; name the sources and their "
                         "licences, one --source each")
    return lines


def read(path=""):
    """A table that ``write`` wrote, as ``statistics`` gives it.

    path     file; "" for the statistics of public archives that a checkout keeps in data/
    raises   InputError for a missing file or column
    """
    path = Path(path or (files.checkout() or Path()) / PUBLISHED)
    if not path.is_file():
        raise InputError(f"{path}: no such file; `python -m phenolib.fidelity ARCHIVE --out {path.name}` writes it")
    table = pd.read_csv(path, comment="#")
    for name in COLUMNS:
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, table.columns)}")
    return table.fillna({"crop": ""})
