"""What incubations say of the responses of respiration: temperature and moisture set by hand, all else the same.

In the field it is dry when it is warm, plants grow with both, and no model can tell them apart for sure. In a jar one
thing is changed. What a jar says is the heterotrophic part of a disturbed soil, cut off from new carbon.
"""

import numpy as np
import pandas as pd

from phenolib import metrics, responses
from phenolib.errors import InputError

EARLY = 60.0  # days of a series that are read: later the warm jars have less left to breathe (project default)
WAYS = {"rate": "flux", "cumulative": "flux", "amount": "value", "concentration": "value"}  # column that is compared
SAME = ("study", "site", "treatment", "unit", "kind", "moisture_of")  # a group differs by what is asked for alone
LEAST = 2  # settings of a group


def comparable(table, by, *, early=EARLY):
    """Rows of series that differ by one setting alone and were measured at the same time.

    table    DataFrame of ``sources.incubations.read``
    by       "temperature" or "moisture": what differs
    early    days that are read
    returns  DataFrame: study, group, set (group and time: what is compared), setting, value (log of what was
             measured), moisture_of; attrs: asked (studies), retrieved (share of the table's rows), lost (study → why)
    raises   InputError for another ``by``

    Rates are compared as they are; of a series in a cumulative unit that falls the values at the same day. Series of
    which the share that remains is told are left out: they tell of what was not breathed. Times are the same if they
    are the same to a twentieth. Values of zero or below have no log and are left out.
    """
    if by not in ("temperature", "moisture"):
        raise InputError(f"by = {by!r}; give 'temperature' or 'moisture'")
    other = "moisture" if by == "temperature" else "temperature"
    lost, kept = {}, []
    for study, part in table.groupby("study", sort=False):
        column = part["kind"].map(WAYS)
        value = np.where(column == "flux", part["flux"], np.where(column == "value", part["value"], np.nan))
        good = (value > 0) & part[by].notna().to_numpy() & (part["time"] <= early).to_numpy()
        if part[by].nunique() < LEAST:
            lost[study] = f"one {by}" if part[by].notna().any() else f"no {by} is told"
            continue
        if not good.any():
            lost[study] = f"no value above zero within {early:g} days that can be compared"
            continue
        some = part[good].assign(log=np.log(value[good]))
        when = np.round(np.log1p(some["time"]) / 0.05).astype(int)
        keys = [some[k].astype(str) for k in (*SAME, other)]
        some = some.assign(group=pd.factorize(pd.MultiIndex.from_arrays(keys))[0], when=when)
        some = some.groupby(["study", "group", "when", by, "moisture_of"], as_index=False)["log"].mean()
        size = some.groupby(["group", "when"])[by].transform("nunique")
        some = some[size >= LEAST]
        if some.empty:
            lost[study] = f"no two series differ by {by} alone and were measured at the same time"
            continue
        kept.append(some.assign(set=some["group"].astype(str) + " at " + some["when"].astype(str)))
    columns = ["study", "group", "set", "setting", "value", "moisture_of"]
    made = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=[*columns, by, "log"])
    made = made.drop(columns="setting", errors="ignore") if not kept else made
    made = made.rename(columns={by: "setting", "log": "value"})[columns]
    made.attrs = {"asked": table["study"].nunique(), "retrieved": len(made) / len(table), "lost": lost}
    return made


def temperature(table, *, reference=10.0, early=EARLY, draws=500, level=0.95, seed=0):
    """Temperature response of each study: Q10 and rates relative to 10 °C.

        log R = a_set + b (T − T_ref),   Q10 = e^{10 b}

    table        DataFrame of ``sources.incubations.read``
    reference    T_ref [°C]
    early        days that are read
    draws        of the interval: whole groups (soils, treatments) of a study
    level        of the interval
    returns      DataFrame by study: q10, low, high (NaN with one group), cold, warm [°C], middle (of both), groups, n;
                 DataFrame of study, temperature and relative (mean of R over that of T_ref, of the line where T_ref was
                 not among the temperatures); the remarks and studies lost are in attrs of both
    raises       InputError if no study has two temperatures

    A Q10 belongs to the temperatures of its study: as the form of Lloyd and Taylor has it, it is larger where it is
    cold. Soils with a warm jar run out of what is easily breathed sooner, so late values would say less; nothing is
    done about that beyond ``early``. Such values are collected by Hamdi et al. (2013), Soil Biol. Biochem. 58:115 (from
    memory).
    """
    some = comparable(table, "temperature", early=early)
    if some.empty:
        raise InputError(f"none of {some.attrs['asked']} studies has series that differ by temperature alone")
    lines, points = {}, []
    for study, part in some.groupby("study", sort=False):
        sets, group = part["set"].to_numpy(), pd.factorize(part["group"])[0]
        t, y = part["setting"].to_numpy(float), part["value"].to_numpy(float)
        within = pd.Series(t).groupby(sets).transform("mean").to_numpy()
        x, z = t - within, y - pd.Series(y).groupby(sets).transform("mean").to_numpy()
        sxy, sxx = (np.bincount(group, v) for v in (x * z, x * x))
        count = sxx.size
        times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), int(draws))
        slope = sxy.sum() / sxx.sum()
        bounds = (np.nan, np.nan)
        if count > 1:
            drawn = (times @ sxy) / (times @ sxx)
            bounds = tuple(np.exp(10 * np.quantile(drawn, responses.tails(level, count))))
        lines[study] = {"q10": np.exp(10 * slope), "low": bounds[0], "high": bounds[1], "cold": t.min(),
                        "warm": t.max(), "middle": (t.min() + t.max()) / 2, "groups": count, "n": len(part)}
        level_of = pd.Series(y - slope * (t - reference)).groupby(sets).transform("mean").to_numpy()
        relative = pd.Series(y - level_of).groupby(t).mean()
        points.append(pd.DataFrame({"study": study, "temperature": relative.index,
                                    "relative": np.exp(relative.to_numpy())}))
    found = pd.DataFrame.from_dict(lines, orient="index").rename_axis("study").sort_values("middle")
    points = pd.concat(points, ignore_index=True)
    found.attrs = points.attrs = dict(some.attrs)
    return found, points


def moisture(table, *, early=EARLY, least=3, level=0.95, draws=500, seed=0):
    """Moisture response of the studies with three moistures or more: rates over that of the wettest-breathing jar.

    table    DataFrame of ``sources.incubations.read``
    early    days that are read
    least    moistures that a study needs
    level, draws, seed   of the intervals, by drawing whole groups (a soil at a temperature, at all its times)
    returns  DataFrame: study, moisture_of ("pore space", "field capacity" or "dry soil"), moisture, relative (rate over
             that of the best moisture, in sets that have both), low, high, n
    raises   InputError if no study has that many

    Only a share of the pore space is θ/θ_sat; a share of the field capacity is not, and can be held against other
    curves by its form alone.
    """
    some = comparable(table, "moisture", early=early)
    lines = []
    for (study, of), part in some.groupby(["study", "moisture_of"], sort=False):
        wide = part.pivot_table(index="set", columns="setting", values="value")
        if wide.shape[1] < least:
            continue
        mean = wide.sub(wide.mean(axis=1), axis=0).mean()
        best = mean.idxmax()
        away = wide.sub(wide[best], axis=0).dropna(how="all")
        group = part.drop_duplicates("set").set_index("set")["group"].loc[away.index]
        values, drawn = metrics.group_means(away.to_numpy().T, group, draws=draws, seed=seed)
        low, high = metrics.percentiles(drawn, level)
        for k, wet in enumerate(wide.columns):
            lines.append({"study": study, "moisture_of": of, "moisture": wet, "relative": np.exp(values[k]),
                          "low": np.exp(low[k]), "high": np.exp(high[k]), "n": int(away[wet].notna().sum())})
    if not lines:
        raise InputError(f"none of {some.attrs['asked']} studies has series at {least} moistures or more")
    made = pd.DataFrame(lines)
    made.attrs = dict(some.attrs)
    return made


def against(found, curves):
    """Q10 of studies against that of temperature responses, each over the temperatures of the study.

    found    DataFrame of ``temperature``
    curves   name → function of °C, e.g. {"JULES, Q10": responses.q10}; NaN where it says nothing
    returns  DataFrame by study: q10, low, high and a column for each curve, [g(warm)/g(cold)]^(10/(warm − cold))

    >>> some = pd.DataFrame({"q10": [2.1], "low": [1.9], "high": [2.3], "cold": [5.0], "warm": [25.0]}, ["a"])
    >>> round(float(against(some, {"JULES, Q10": responses.q10}).loc["a", "JULES, Q10"]), 6)
    2.0
    """
    made = found[["q10", "low", "high"]].copy()
    cold, warm = found["cold"].to_numpy(float), found["warm"].to_numpy(float)
    for name, curve in curves.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            made[name] = (np.asarray(curve(warm)) / np.asarray(curve(cold))) ** (10 / (warm - cold))
    return made
