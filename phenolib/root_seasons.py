"""Seasons of roots and leaves in plots: dates of both on one calendar, and what lies between them."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import phenology
from phenolib.errors import InputError

NET, LASTS = 0.05, 14  # growth is over when it stays below 5 % of its fastest for 14 days
MARGIN = 45  # days before and after a season's weeks in which its own level is taken to last
COLUMNS = ("event", "date", "low", "high")


def pooled(images, value, *, by=("plot", "season")):
    """Series of a trait, the mean over the tubes of a group on each date.

    images   DataFrame, one row per image: tube, date, the columns of ``by`` and the trait
    value    name of the trait's column
    by       columns that make a group
    returns  dict: values of ``by`` to a (time,) DataArray
    raises   InputError for a column that is missing
    """
    for name in (*by, "tube", "date", value):
        if name not in images:
            raise InputError(f"the table of images has no column '{name}'")
    return {key: xr.DataArray(some.groupby("date")[value].mean().rename_axis("time").to_xarray(), name=value)
            for key, some in images.groupby(list(by), sort=True)}


def dates(series, *, shares=(0.2, 0.5), method="double_logistic", interval=0.9, **options):
    """Dates of the largest season of one series, by share of rise and of decline, and the end of net growth.

    ``sosNN`` and ``eosNN`` are the days at a share of the amplitude, each side from its own base. Roots stay in the
    picture after they have ceased to grow, so cessation has a second meaning: ``net`` is the first day after the
    fastest growth from which growth stays below 5 % of its maximum for 14 days. It has no interval here.

    The weeks of one season are all there is of a root series: beyond them the level of the first and the last value is
    taken to last for 45 days, so that both bases are seen. The curve runs through the middle of the values: what errs
    to both sides alike, as lengths in small pictures and cloudless composites do, has no upper envelope. (With one, the
    simulated leaves of wheat ended 6 to 7 days later, and its roots 3.)

    series    (time,) DataArray of a trait, one season in it, missing values passed over
    shares    of the amplitude, whole per cent
    method    of ``phenology.seasons``; the double logistic is the study's for leaves, and ours for roots
    interval  level of the intervals
    options   of ``phenology.seasons``
    returns   DataFrame: event ("sos20", …, "peak", "net"), date, low, high (NaT where there is none)
    """
    series = series.dropna("time").sortby("time")
    empty = pd.DataFrame(columns=list(COLUMNS))
    if series.sizes["time"] < 8 or not float(series.max()) > 0:
        return empty
    time, value = pd.DatetimeIndex(series["time"].values), series.values.astype(float)
    step = max(int(np.median(np.diff(time) / np.timedelta64(1, "D"))), 1)
    more = pd.to_timedelta(np.arange(step, MARGIN + 1, step), "D")
    whole = np.concatenate([np.full(more.size, value[:2].mean()), value, np.full(more.size, value[-2:].mean())])
    whole = xr.DataArray(whole, {"time": time.union(time[0] - more).union(time[-1] + more)}, ["time"])
    found = phenology.seasons(whole, method=method, thresholds=shares, per_year=1, min_swing=0.2, interval=interval,
                              curve=True, **{"max_gap": 60, "envelope": 0, **options})
    if not found["amplitude"].notnull().any():
        return empty
    best = found.isel(season=int(np.argmax(found["amplitude"].fillna(-1).values)))
    names = [f"{side}{round(100 * p):02d}" for p in shares for side in ("sos", "eos")]
    rows = [(name, *(best[f"{name}{end}"].values for end in ("", "_low", "_high"))) for name in names]
    rows.append(("peak", best["peak"].values, np.datetime64("NaT"), np.datetime64("NaT")))
    rows.append(("net", net_end(found["curve"]), np.datetime64("NaT"), np.datetime64("NaT")))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[1:], "datetime64[ns]"))


def net_end(curve):
    """The end of net growth on a daily curve: see ``dates``.

    curve    (day,) DataArray with the coordinate day [datetime64], or (time,)
    returns  datetime64, NaT where growth never ends
    """
    value, name = curve.values.astype(float), curve.dims[0]
    growth = np.gradient(np.where(np.isfinite(value), value, np.nanmin(value)))
    fastest = int(growth.argmax())
    slow = growth <= NET * growth[fastest]
    for k in range(fastest, len(value) - LASTS):
        if slow[k : k + LASTS].all():
            return curve[name].values[k].astype("datetime64[ns]")
    return np.datetime64("NaT", "ns")


def table(series, seasons, *, by=("plot", "season"), **options):
    """Dates of many series: one row for each series and event.

    series   as ``pooled`` gives it
    seasons  DataFrame with plot, season, crop, treatment (``archive.plot_seasons``)
    by       of ``pooled``
    options  of ``dates``
    returns  DataFrame: the columns of ``by``, crop, treatment, event, date, low, high
    """
    found = [dates(one, **options).assign(**dict(zip(by, key))) for key, one in series.items()]
    found = pd.concat([one for one in found if len(one)] or [pd.DataFrame(columns=[*by, *COLUMNS])], ignore_index=True)
    about = seasons.drop_duplicates(["plot", "season"])[["plot", "season", "crop", "treatment"]]
    return found.merge(about, "left", on=["plot", "season"])


def leaves(evi2, seasons, weeks, **options):
    """Dates of the leaves of plots, from their composites within the weeks in which roots were looked at.

    The two bases may lie further apart than elsewhere (``base`` 0.1 of the amplitude): before its spring a winter crop
    is green, after its harvest the soil is bare.

    evi2     (plot, time) of ``sources.plot_tables.evi2``
    seasons  DataFrame of ``archive.plot_seasons``
    weeks    {(plot, season): (first, last)} days between which roots were photographed
    options  of ``dates``
    returns  as ``table``
    """
    series = {key: evi2.sel(plot=key[0], time=slice(*span)).drop_vars("plot") for key, span in weeks.items()}
    return table(series, seasons, **{"base": 0.1, **options})


def apart(roots, leaves):
    """Days from the date of the leaves to that of the roots, event by event; negative: roots are first.

    roots, leaves  of ``table``; ``net`` of the roots is held against eos20 of the leaves
    returns        DataFrame: plot, season, crop, treatment, event, days, and what else ``roots`` has, such as depth_cm
    """
    against = pd.concat([leaves[leaves["event"] != "net"], leaves[leaves["event"] == "eos20"].assign(event="net")])
    both = roots.merge(against[["plot", "season", "event", "date"]], on=["plot", "season", "event"],
                       suffixes=("", "_leaf"))
    both["days"] = (both["date"] - both["date_leaf"]) / pd.Timedelta(days=1)
    return both.drop(columns="date_leaf")
