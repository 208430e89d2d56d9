"""Models of respiration side by side on periods they have not seen.

Rows are those of ``breath``. The classical forms are fitted to each site for itself, the networks share their responses
within a region.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib import responses
from phenolib.breath import COLUMNS, folds, soils
from phenolib.errors import InputError, near

MODELS = {  # name: needs moisture, needs uptake
    "mean": (False, False), "lloyd_taylor": (False, False), "jules_q10": (True, False), "jules_rothc": (True, False),
    "lloyd_taylor_quadratic": (True, False), "product": (True, False), "product_plants": (True, True),
    "free": (True, False), "free_plants": (True, True)}
NAMES = {"mean": "mean", "lloyd_taylor": "Lloyd-Taylor", "jules_q10": "JULES, Q10", "jules_rothc": "JULES, RothC",
         "lloyd_taylor_quadratic": "Lloyd-Taylor × moisture", "product": "network f·g",
         "product_plants": "network f·g + plants", "free": "free network",
         "free_plants": "free network + plants"}
NETWORKS = "product", "product_plants", "free", "free_plants"


@dataclass(frozen=True)
class Comparison:
    """Models on periods they have not seen.

    rows     DataFrame: the table with fold and a column for each model [µmol m⁻² s⁻¹], NaN where nothing was said
    table    DataFrame by site and model: n, retrieved, and rmse, bias [µmol m⁻² s⁻¹], r2 [-] with _low, _high
    winners  DataFrame by site: winner, rmse, second, margin (RMSE of the second less that of the winner), low, high
             (interval of the margin), sure (whether it lies above 0), classical (best that is no network), gain
             (RMSE of it less that of the best network), gain_low, gain_high
    soils    DataFrame by fold and site, of ``soils``
    remarks  which model said nothing of which site, and why
    """

    rows: pd.DataFrame
    table: pd.DataFrame
    winners: pd.DataFrame
    soils: pd.DataFrame
    remarks: tuple


def compare(table, models=tuple(MODELS), *, fold=None, statics=None, network=None, draws=300, level=0.95, seed=0):
    """Each model fitted to all periods but some, and scored on those, at every site.

    table    rows, e.g. ``Rows.table``
    models   names of ``MODELS``, or a dict of them and of own functions (train, soils, seed) → function of rows that
             returns (n,) fluxes
    fold     (n,) int of ``folds``; None: blocks of 30 days
    statics  of ``soils``
    network  options of the networks, for ``nets.respiration.fit``, e.g. {"epochs": 300, "members": 3}
    draws    of whole weeks, for the intervals
    level    of the intervals
    returns  Comparison
    raises   InputError for an unknown model, a column that is missing, or rows of one fold alone

    The classical forms have their parameters at each site for itself; the networks share one f and g (or one free
    response) within a region and have a base rate at each site. A model that needs moisture or uptake says nothing of
    sites without, and where most rows have it, nothing of the others. All models of a site are scored on the rows that
    each of them speaks of. R² = 1 − MSE / variance of what was observed, so the mean of other periods can be below 0.
    """
    known = dict(models) if isinstance(models, dict) else dict.fromkeys(models)
    for name in known:
        if name not in MODELS and known[name] is None:
            raise InputError(f"no model '{name}'{near(name, MODELS)}")
    for name in COLUMNS:
        if name not in table:
            raise InputError(f"the rows have no column '{name}'{near(name, table.columns)}")
    rows = table.reset_index(drop=True)
    fold = folds(rows["time"], seed=seed) if fold is None else np.asarray(fold)
    if np.unique(fold).size < 2:
        raise InputError("all rows are of one fold; give more periods")
    said = {name: np.full(len(rows), np.nan) for name in known}
    remarks, lack, waters = {}, {}, []
    for k in np.unique(fold):
        train, test = rows[fold != k], rows[fold == k]
        water = soils(train, statics)
        waters.append(water.assign(fold=k).reset_index())
        for name, own in known.items():
            for group, some in _groups(name, train):
                asked = test[test["site"].isin(some["site"].unique())]
                if asked.empty:
                    continue
                some, asked = (_with(name, part) for part in (some, asked))
                if some.empty or asked.empty:
                    lack.setdefault(group, {})[name] = None
                    continue
                try:
                    fitted = (own or FIT[name])(some, water, seed, **(network or {} if name in NETWORKS else {}))
                except InputError as problem:  # told
                    remarks.setdefault((group, name), f"{group}: '{name}': {problem}")
                    continue
                said[name][asked.index] = fitted(asked)
    rows = rows.assign(fold=fold, **said)
    scored, best = [], []
    for site, part in rows.groupby("site", sort=False):
        one, winner = _scores(site, part, list(known), draws, level, seed)
        scored.append(one)
        best.append(winner)
    return Comparison(rows, pd.concat(scored).set_index(["site", "model"]),
                      pd.DataFrame(best).set_index("site"), pd.concat(waters, ignore_index=True),
                      tuple([f"{group}: no rows have what {', '.join(names)} need" for group, names in lack.items()]
                            + list(remarks.values())))


def gain(found, model, than, *, sites=None, draws=300, level=0.95, seed=0):
    """By which share a model lowers the RMSE of another in unseen periods: 1 − RMSE/RMSE of the other, over sites.

    found    Comparison
    model    name, and ``than`` that it is held against
    sites    names; None for all that both speak of
    returns  value, interval, n (rows) as ``report.record`` takes them; the calendar's weeks are drawn, of all sites
             together; or None and why

    Each site counts by its mean squared errors over the variance of its fluxes, so none counts by its size alone.
    """
    rows = found.rows if sites is None else found.rows[found.rows["site"].isin(sites)]
    rows = rows[rows[[model, than]].notna().all(axis=1)]
    if rows.empty:
        return {"value": None, "why": f"no site where '{model}' and '{than}' both say something"}
    scale = rows.groupby("site")["flux"].transform("var").to_numpy() * rows.groupby("site")["flux"].transform("size")
    parts = [((rows[name] - rows["flux"]) ** 2 / scale).to_numpy() for name in (model, than)]
    week = pd.factorize(weeks(rows["time"]))[0]
    sums = np.stack([np.bincount(week, p) for p in parts])  # (2, week)
    value = 1 - np.sqrt(sums[0].sum() / sums[1].sum())
    if sums.shape[1] < 4:
        return {"value": float(value), "interval": None, "n": len(rows)}
    times = _times(sums.shape[1], draws, seed)
    drawn = 1 - np.sqrt((times @ sums[0]) / (times @ sums[1]))
    low, high = np.quantile(drawn, responses.tails(level, sums.shape[1]))
    return {"value": float(value), "interval": (float(low), float(high)), "n": len(rows)}


def gains(found, **options):
    """The gains of ``gain`` that a reader asks for, at towers and at chambers: name → value, interval and n."""
    rows, pairs = found.rows, {}
    for kind in ("tower", "chamber"):
        some = list(rows.loc[rows["instrument"] == kind, "site"].unique())
        best = "product_plants" if kind == "tower" else "product"
        for name, other in (("lloyd_taylor", "lloyd_taylor_quadratic"), ("jules", "jules_q10")):
            pairs[f"network_over_{name}_{kind}s"] = gain(found, best, other, sites=some, **options)
        if kind == "tower":
            pairs["plants_over_no_plants"] = gain(found, "product_plants", "product", sites=some, **options)
    return pairs


def misfits(found, **options):
    """What a free network gains over the product in each region, which is the misfit of all products.

    found    Comparison with both networks, and both with plants for regions of towers
    options  of ``gain``
    returns  region → value, interval and n of ``gain``; regions without moisture are left out
    """
    made = {}
    for name, part in found.rows.groupby("region", sort=False):
        plants = {"free_plants", "product_plants"} <= set(part) and part["product_plants"].notna().any()
        end = "_plants" if plants else ""
        if part[f"product{end}"].notna().any():
            made[name] = gain(found, f"free{end}", f"product{end}", sites=list(part["site"].unique()), **options)
    return made


def weeks(time):
    """Number of the week of each time, of seven days since 1970."""
    return np.asarray(time, "datetime64[D]").astype(int) // 7


def _times(count, draws, seed):
    """How often each of so many blocks is in each draw, (draw, block)."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), int(draws))


def _groups(name, train):
    """What a model is fitted to at once: a region for the networks, a site for the others."""
    return train.groupby("region" if name in NETWORKS else "site", sort=False)


def _with(name, part):
    wet, green = MODELS.get(name, (False, False))
    for column, needed in (("moisture", wet), ("uptake", green), ("temperature", name != "mean")):
        part = part[part[column].notna()] if needed else part
    return part


def _mean(train, water, seed):
    value = float(train["flux"].mean())
    return lambda rows: np.full(len(rows), value)


def _classical(form):
    def fit(train, water, seed):
        soil = water.loc[train["site"].iloc[0]]
        of = {k: soil[k] for k in ("saturated", "wilting")} if form.startswith("jules") else {}
        found = responses.fit(form, train["flux"], train["temperature"], train["moisture"], time=train["time"], draws=2,
                              seed=seed, **of)
        return lambda rows: np.asarray(found.predict(rows["temperature"].to_numpy(), rows["moisture"].to_numpy()))

    return fit


def _network(name):
    def fit(train, water, seed, **options):
        form, plants = name.split("_")[0], name.endswith("_plants")
        found = network(train, water, form=form, plants=plants, seed=seed, **options)

        def told(rows):
            green = {"autotrophic": rows["uptake"].to_numpy()} if plants else {"part": "soil"}
            return np.asarray(found.predict(rows["moisture"].to_numpy(), rows["temperature"].to_numpy(),
                                            rows["site"].to_numpy(), **green)[0])
        return told

    return fit


def network(train, water, *, form="product", plants=False, driver="uptake", seed=0, **options):
    """The network of ``nets.respiration`` fitted to rows: one response for all of them, a base rate for each site.

    train    rows with moisture and temperature (and the driver, with plants)
    water    of ``soils``
    form     "product" or "free"
    plants   whether a part of the flux goes with the uptake of the day before
    driver   "uptake", or "gpp", which has seen the nights: for responses, not for scores
    options  of ``nets.respiration.fit``
    returns  what ``nets.respiration.fit`` does
    """
    from phenolib.nets import respiration

    options |= {"autotrophic": train[driver].to_numpy()} if plants else {}
    return respiration.fit(train["moisture"].to_numpy(), train["temperature"].to_numpy(), train["flux"].to_numpy(),
                           site=train["site"].to_numpy(), time=train["time"].to_numpy(), form=form, seed=seed,
                           saturated=water.loc[train["site"].unique(), "saturated"].to_dict(), **options)


FIT = {"mean": _mean, **{form: _classical(form) for form in responses.FORMS if form in MODELS},
       **{name: _network(name) for name in NETWORKS}}


def _scores(site, part, models, draws, level, seed):
    """Scores of a site, and its winner."""
    spoke = [m for m in models if part[m].notna().any()]
    both = part[part[spoke].notna().all(axis=1)] if spoke else part.iloc[:0]
    week = pd.factorize(weeks(both["time"]))[0]
    blocks = int(week.max(initial=-1)) + 1
    y = both["flux"].to_numpy(float)
    away = {m: both[m].to_numpy(float) - y for m in spoke}
    times = np.vstack([np.ones(blocks), _times(blocks, draws, seed)]) if blocks > 3 else np.ones((1, blocks))

    def sums(values):
        return times @ np.bincount(week, values, blocks)  # first as it is, then the draws

    n = sums(np.ones(y.size))
    tail = responses.tails(level, blocks) if blocks > 3 else (np.nan,) * 2
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = sums(y**2) / n - (sums(y) / n) ** 2
        squares = {m: sums(a**2) / n for m, a in away.items()}
        found = {m: {"rmse": np.sqrt(squares[m]), "r2": 1 - squares[m] / spread, "bias": sums(away[m]) / n}
                 for m in spoke}
    lines = []
    for m in models:
        line = {"site": site, "model": m, "n": len(both) if m in spoke else 0,
                "retrieved": float(part[m].notna().mean())}
        for statistic in ("rmse", "r2", "bias"):
            drawn = found[m][statistic] if m in spoke and len(both) else np.full(1, np.nan)
            line |= {statistic: drawn[0]} | dict(zip((f"{statistic}_low", f"{statistic}_high"), _bounds(drawn, tail)))
        lines.append(line)
    order = sorted(spoke, key=lambda m: found[m]["rmse"][0]) if len(both) else []
    winner = {"site": site, "winner": order[0] if order else "", "rmse": np.nan, "second": "", "margin": np.nan,
              "low": np.nan, "high": np.nan, "sure": False, "classical": "", "gain": np.nan, "gain_low": np.nan,
              "gain_high": np.nan}
    if order:
        winner["rmse"] = found[order[0]]["rmse"][0]
    if len(order) > 1:
        margin = found[order[1]]["rmse"] - found[order[0]]["rmse"]
        low, high = _bounds(margin, tail)
        winner |= {"second": order[1], "margin": margin[0], "low": low, "high": high, "sure": bool(low > 0)}
    old, new = ([m for m in order if (m in NETWORKS) == is_net] for is_net in (False, True))
    if old:
        winner["classical"] = old[0]
    if old and new:
        more = found[old[0]]["rmse"] - found[new[0]]["rmse"]
        winner |= {"gain": more[0]} | dict(zip(("gain_low", "gain_high"), _bounds(more, tail)))
    return pd.DataFrame(lines), winner


def _bounds(drawn, tail):
    """Interval of (1 + draw,) values, whose first is the estimate."""
    good = drawn[1:][np.isfinite(drawn[1:])]
    return tuple(np.quantile(good, tail)) if good.size else (np.nan, np.nan)
