"""Methods beside one another on the same seasons: errors by event with intervals, and what one gains over another."""

from pathlib import Path

import numpy as np
import pandas as pd

from phenolib import baselines, metrics
from phenolib.errors import InputError
from phenolib.samples import DAY, EVENTS

PUBLISHED = Path(__file__).resolve().parents[1] / "data" / "published.csv"
DRAWS = 4000


def errors(samples, days, *, moved=False):
    """Found less camera, (n, 4) days; negative is earlier.

    samples  ``samples.Samples``
    days     (n, 4) days since 1 January of the harvest year; NaN: not retrieved
    moved    False: against the camera's dates; True: against those that labels were moved to, the nearest scene of the
             window in the middle (NaN for what lies outside of it)
    """
    away = days - baselines.truth(samples)
    return away - samples.windows().moved if moved else away


def table(samples, found, rows, *, groups=None, level=0.95, seed=0, moved=False):
    """Errors of several methods by event and over the four events.

    found    {method: (n, 4) days since 1 January of the harvest year, of all samples}
    rows     of ``Samples.table`` that are judged
    groups   (n,) labels that are drawn as a whole; default the cluster
    level    of the interval
    moved    as ``errors``
    returns  DataFrame indexed by method and event, ``EVENTS`` and "mean" (of the four): mae, low, high (its interval),
             median (of |error|), bias, within15 [-], retrieved [-], n
    """
    labels = _labels(samples, rows, groups)
    known = np.isfinite(baselines.truth(samples)[rows])
    lines = {}
    for name, days in found.items():
        error = errors(samples, days, moved=moved)[rows]
        there = np.isfinite(error)
        mae, drawn = metrics.group_means(np.abs(error).T, labels, draws=DRAWS, seed=seed)  # (event,), (event, draw)
        columns = {
            "mae": mae,
            "median": [np.median(np.abs(e[k])) if k.any() else np.nan for e, k in zip(error.T, there.T)],
            "bias": np.where(there, error, 0).sum(0) / np.where(there.any(0), there.sum(0), np.nan),
            "within15": (np.abs(error) <= 15).sum(0) / np.maximum(known.sum(0), 1),
            "retrieved": there.sum(0) / known.sum(0),
            "n": there.sum(0),
        }
        for k, event in enumerate(EVENTS):
            lines[name, event] = {c: v[k] for c, v in columns.items()} | _bounds(drawn[k], level)
        lines[name, "mean"] = {c: np.mean(v) for c, v in columns.items()} | _bounds(drawn.mean(0), level)
    result = pd.DataFrame(lines).T.rename_axis(["method", "event"])
    return result[["mae", "low", "high", "median", "bias", "within15", "retrieved", "n"]].astype(float)


def gains(samples, found, rows, name, others, *, fill, groups=None, level=0.95, seed=0):
    """By how many days the mean absolute error of a method is smaller than that of others, in the same seasons.

    What a method does not retrieve counts as ``fill``, so that none wins by what it leaves out.

    found    {method: (n, 4) days}
    name     the method
    others   names of those that it is held against
    fill     (n, 4) days that stand where a method gives none, e.g. ``baselines.crop_mean`` of the training rows
    returns  DataFrame indexed by the other method and event, with "mean": gain, low, high [days], and better: whether
             the interval of the paired difference lies above zero (True), below (False) or on both sides (None)
    """
    labels = _labels(samples, rows, groups)
    size = {m: np.abs(errors(samples, np.where(np.isnan(found[m]), fill, found[m]))[rows]) for m in (name, *others)}
    lines = {}
    for other in others:
        value, drawn = metrics.group_means((size[other] - size[name]).T, labels, draws=DRAWS, seed=seed)
        for k, event in enumerate(EVENTS):
            lines[other, event] = {"gain": value[k]} | _bounds(drawn[k], level)
        lines[other, "mean"] = {"gain": value.mean()} | _bounds(drawn.mean(0), level)
    index = pd.MultiIndex.from_tuples(list(lines), names=["against", "event"])
    result = pd.DataFrame(list(lines.values()), index, ["gain", "low", "high"])
    result["better"] = np.select([result["low"] > 0, result["high"] < 0], [True, False], None)
    return result


def best(errors_of, names):
    """Which of some methods has the least mean absolute error, by event: {event: method}.

    errors_of  DataFrame of ``table``
    """
    some = errors_of.loc[list(names), "mae"].unstack("event")
    return some.idxmin().to_dict()


def cells(errors_of, *, digits=1):
    """A table to read: mean absolute error with its interval in brackets and the share retrieved, by event."""
    text = errors_of.apply(lambda r: f"{r['mae']:.{digits}f} [{r['low']:.0f}, {r['high']:.0f}]"
                           + ("" if r["retrieved"] > 0.995 else f" ({100 * r['retrieved']:.0f} %)"), axis=1)
    return text.unstack("event")[[*EVENTS, "mean"]].reindex(errors_of.index.unique("method")).rename(
        columns=str.upper).rename_axis(None, axis=1)


def result(errors_of, method, event="mean"):
    """One mean absolute error as the arguments of ``report.record``."""
    row = errors_of.loc[(method, event)]
    if not row["n"]:
        return {"value": None, "why": f"{method} retrieved none of these dates"}
    interval = None if np.isnan(row["low"]) else (row["low"], row["high"])
    return {"value": row["mae"], "interval": interval, "n": int(row["n"])}


def published(pattern):
    r"""Numbers that the studies report, of ``data/published.csv``, whose id matches a pattern.

    pattern  regular expression; its named groups become columns
    returns  DataFrame with these columns, id, quantity, value as a number, NaN where none is given, and said, the value
             or its range as text
    raises   InputError where the library was installed without the file

    >>> published(r"deepcrop\.t2\.mead3\.(?P<method>\w+)\.sos20\.mae").set_index("method")["value"].to_dict()
    {'ndvi': 37.0, 'deepcrop': 4.0}
    """
    if not PUBLISHED.is_file():
        raise InputError(f"{PUBLISHED} is missing; run from a checkout of the book, which holds what was published")
    rows = pd.read_csv(PUBLISHED, dtype=str, keep_default_na=False)
    parts = rows["id"].str.extract(f"^{pattern}$")
    kept = parts.notna().all(axis=1)
    value = pd.to_numeric(rows.loc[kept, "value"], errors="coerce")
    span = rows["low"].where(rows["low"] != "", "…") + " to " + rows["high"].where(rows["high"] != "", "…")
    said = rows["value"].where(rows["value"] != "", span)[kept]
    return parts[kept].assign(id=rows.loc[kept, "id"], quantity=rows.loc[kept, "quantity"], value=value, said=said)


def when(samples, days):
    """Days since 1 January of the harvest year as dates, (n, 4) datetime64[ns]; NaN as NaT."""
    date = samples.newyear[:, None] + (np.nan_to_num(days) * (DAY / np.timedelta64(1, "ns"))).astype("timedelta64[ns]")
    date[np.isnan(days)] = np.datetime64("NaT")
    return date


def leaf_days(archive, samples):
    """When the leaf area of the fields under pixels passed 20 and 50 % of its amplitude, where an archive knows it.

    It is no date that a camera or a satellite sees, and for scoring alone.

    archive  Archive of the samples
    samples  ``samples.Samples`` of ``samples.of_fields``
    returns  (n, 4) days since 1 January of the harvest year; NaN where there is no such truth
    """
    reference = archive.reference("patches")
    known = np.full((len(samples), len(EVENTS)), np.nan)
    if reference is None or reference.events.empty:
        return known
    events = reference.events
    name = np.where(events["direction"] == "rising", "sos", "eos") + events["share"].astype(str)
    dates = dict(list(events.assign(event=name).groupby(["site", "field", "season", "event"])["date"]))
    maps = {place: archive.field_map(place) for place in samples.table["cluster"].unique()}
    for k, row in enumerate(samples.table.itertuples()):
        pixel = tuple(int(part) for part in row.site.rsplit(" ", 1)[1].split(","))
        for j, event in enumerate(EVENTS):
            some = dates.get((row.cluster, maps[row.cluster][pixel], row.year, event))
            if some is not None:  # of several seasons in a year that nearest to the window's
                date = some.iloc[(some - row.anchor).abs().argmin()]
                known[k, j] = (date - pd.Timestamp(f"{row.year}-01-01")) / pd.Timedelta(1, "D")
    return known


def _labels(samples, rows, groups):
    """What is drawn as a whole: the cluster of each judged row, or what was given."""
    return (samples.table["cluster"].to_numpy() if groups is None else np.asarray(groups))[rows]


def _bounds(drawn, level):
    return dict(zip(("low", "high"), metrics.percentiles(drawn, level)))
