"""Experiments with planted effects: how often an analysis holds what it promises, and how often it would find it.

Plots of two crops and three treatments are followed through some years. What drives is drawn, what follows is put
together from it by planted coefficients, and the rest is shared among all plots of a year, all years of a plot, and a
plot in a year. All variables have a variance of one in the long run, so coefficients are standardised ones.
"""

import re

import numpy as np
import pandas as pd

from phenolib import mixed_models, path_models
from phenolib.errors import InputError, near

GRAPH = """
moisture ~ temperature + deeper
rld ~ maize + temperature + deeper
roots ~ moisture + temperature + rld
leaves ~ moisture + maize
leaves ~~ roots
"""
STUDY = {  # direct effects of the study (Cao et al. 2026), and those that make up the indirect ones it reports
    "roots ~ moisture": 0.53, "roots ~ temperature": 0.13, "leaves ~ moisture": 0.46, "leaves ~ maize": 0.59,
    "rld ~ maize": 0.47,
    "moisture ~ deeper": 0.283, "moisture ~ temperature": -0.174,  # a product with 0.46 gives 0.13 and -0.08 on leaves
    "roots ~ rld": 0.30, "rld ~ deeper": -0.30, "rld ~ temperature": -0.16,  # what is left of 0.06 and -0.14 on roots
}
ORDER = ("moisture", "rld", "roots", "leaves")
COMMON = {"temperature": 0.7, "deeper": 0.3}  # share of a driver's variance that all plots of a year have in common
ROUTES = [(cause, to) for cause in ("deeper", "temperature") for to in ("leaves", "roots")]
TOGETHER = 0.2  # covariance of what is left of roots and leaves
ANALYSES = ("plot-years", "plot-years, drawn", "years, drawn", "mixed models", "every image")


def draw(years=6, plots=6, *, effects=None, common=0.25, own=0.05, images=1, noise=0.5, seed=0):
    """One experiment: a table of plots and years.

    years    of the experiment
    plots    crops change places every year: half of the plots, by turns
    effects  {"y ~ x": coefficient} in place of those of ``STUDY``; 0 is a null path
    common   share of what is not explained that is common to a year
    own      share of it that a plot keeps through the years
    images   rows of a plot-year; more than one are pseudo-replicates, which share all but a noise
    noise    SD of it, in roots and leaves
    seed     of all draws
    returns  DataFrame: plot, season, plot_year, temperature, deeper, maize (standardised), moisture, rld, roots, leaves
    raises   InputError for an unknown path, sizes or shares out of range, or effects that explain more than there is
    """
    if min(years, plots) < 2 or images < 1:
        raise InputError(f"years = {years}, plots = {plots}, images = {images}: give 2, 2 and 1 at least")
    if not 0 <= common + own <= 1 or min(common, own) < 0:
        raise InputError(f"common = {common}, own = {own}: shares of one variance; give 0 to 1 together")
    planted = known(effects)
    rng = np.random.default_rng(seed)
    left = rest(planted)

    def shared(shares, size=1):
        """(size, plot, year) of variance one: what a year, a plot and a plot-year have in common."""
        year, plot, both = (rng.standard_normal((size, *shape)) for shape in ((1, years), (plots, 1), (plots, years)))
        return np.sqrt(shares[0]) * year + np.sqrt(shares[1]) * plot + np.sqrt(1 - sum(shares)) * both

    data = {name: shared((share, 0.0))[0] for name, share in COMMON.items()}
    data["maize"] = np.where((np.arange(plots)[:, None] + np.arange(years)) % 2, 1.0, -1.0)
    pair = shared((common, own), 2)
    pair[1] = correlation(left) * pair[0] + np.sqrt(1 - correlation(left) ** 2) * pair[1]
    errors = dict(zip(("roots", "leaves"), pair)) | {name: shared((common, own))[0] for name in ("moisture", "rld")}
    for name in ORDER:
        causes = {cause: b for (to, cause), b in planted.items() if to == name}
        data[name] = sum(b * data[cause] for cause, b in causes.items()) + np.sqrt(left[name]) * errors[name]
    plot, year = np.meshgrid(np.arange(plots), np.arange(years), indexing="ij")
    table = pd.DataFrame({"plot": [f"P{k + 1:02d}" for k in plot.ravel()], "season": 2001 + year.ravel(),
                          **{name: value.ravel() for name, value in data.items()}})
    table.insert(2, "plot_year", table["plot"] + "-" + table["season"].astype(str))
    table = table.loc[table.index.repeat(images)].reset_index(drop=True)
    if images > 1:
        for name in ("roots", "leaves"):
            table[name] += noise * rng.standard_normal(len(table))
    return table


def known(effects):
    """Planted effects as {(to, from): coefficient}. raises InputError for a path that is none of the graph's"""
    found = {tuple(re.split(r"\s*~\s*", path)): b for path, b in STUDY.items()}
    for path, b in (effects or {}).items():
        pair = tuple(re.split(r"\s*~\s*", path.strip()))
        if pair not in found:
            raise InputError(f"the graph has no path '{path}'{near(path, STUDY)}; there are {', '.join(STUDY)}")
        found[pair] = float(b)
    return found


def truth(effects=None):
    """Planted coefficients and what follows from them.

    returns  {"roots ~ moisture": …, "temperature => roots": sum of all indirect routes, …}
    """
    planted = known(effects)
    found = {f"{to} ~ {cause}": b for (to, cause), b in planted.items()}
    return found | {f"{cause} => {to}": indirect(planted, cause, to) for cause, to in ROUTES}


def total(effects, cause, to):
    """Effect along all routes, of {(to, from): coefficient or array of draws}."""
    return sum(b * (1.0 if between == cause else total(effects, cause, between))
               for (end, between), b in effects.items() if end == to)


def indirect(effects, cause, to):
    """Effect along all routes with something in between."""
    return total(effects, cause, to) - effects.get((to, cause), 0.0)


def rest(planted):
    """What is left of each variance by the planted effects: {variable: variance}. raises InputError if there is none"""
    names = ["temperature", "deeper", "maize", *ORDER]
    place = {name: k for k, name in enumerate(names)}
    cov, left = np.eye(len(names)), {}
    for name in ORDER:
        k = place[name]
        b = np.zeros(len(names))
        for (to, cause), value in planted.items():
            if to == name:
                b[place[cause]] = value
        left[name] = 1 - float(b @ cov @ b)
        if left[name] <= 0.02:
            raise InputError(f"the effects on {name} explain {1 - left[name]:.2f} of its variance of 1; make them "
                             "smaller")
        cov[k] = cov[:, k] = b @ cov
        cov[k, k] = 1.0
    return left


def correlation(left):
    """Of what is left of roots and leaves."""
    return TOGETHER / np.sqrt(left["roots"] * left["leaves"])


def analyse(table, analysis, *, draws=500, seed=0, level=0.95):
    """Estimates and intervals of all paths and indirect effects, by one analysis.

    analysis  plot-years: maximum likelihood of the means of plot-years, and its standard errors;
              "plot-years, drawn": BCa intervals from plot-years drawn anew; "years, drawn": from whole years;
              mixed models: an equation each, with (1 | season) and Satterthwaite's degrees of freedom;
              every image: maximum likelihood of the rows as if each were one of its own
    draws     of the resampling
    returns   DataFrame: what, estimate, low, high
    raises    InputError for another analysis
    """
    if analysis not in ANALYSES:
        raise InputError(f"analysis '{analysis}' is not known{near(analysis, ANALYSES)}; there are "
                         f"{', '.join(ANALYSES)}")
    if analysis != "every image":
        table = table.groupby(["plot", "season", "plot_year"], as_index=False).mean()
    if analysis == "mixed models":
        return mixed(table, level, seed)
    model = path_models.fit(GRAPH, table, level=level)
    paths, indirect, ends = model.paths, model.indirect, ("low", "high")
    if analysis.endswith("drawn"):
        cluster = "season" if analysis.startswith("years") else "plot_year"
        clustered = path_models.fit(GRAPH, table, level=level, cluster=cluster)
        again = path_models.bootstrap(clustered, draws, seed=seed)
        paths, indirect, ends = again.paths, again.indirect, ("bca_low", "bca_high")
    paths = paths[paths["op"] == "~"] if "op" in paths else paths
    names = paths["lval"] + " ~ " + paths["rval"]
    sums = indirect[indirect["kind"] == "sum"]
    every = pd.concat([paths.assign(what=names), sums.assign(what=sums["source"] + " => " + sums["target"])])
    found = every[["what", "estimate", *ends]].set_axis(["what", "estimate", "low", "high"], axis=1)
    return found[found["what"].isin(truth())].reset_index(drop=True)


def mixed(table, level, seed, draws=4000):
    """Each equation with a random year; products from draws of t distributions with the degrees of freedom of each."""
    rng, rows, point, sample = np.random.default_rng(seed), [], {}, {}
    for line in GRAPH.split("\n"):
        if "~" not in line or "~~" in line:
            continue
        to = line.split("~")[0].strip()
        fixed = mixed_models.fit(line, table, groups="season", level=level).fixed.set_index("term")
        for cause in fixed.index.drop("Intercept"):
            it = fixed.loc[cause]
            rows.append({"what": f"{to} ~ {cause}", **it[["estimate", "low", "high"]]})
            point[to, cause] = it["estimate"]
            sample[to, cause] = it["estimate"] + it["se"] * rng.standard_t(max(it["df"], 1.0), draws)
    for cause, to in ROUTES:
        low, high = np.quantile(indirect(sample, cause, to), [(1 - level) / 2, (1 + level) / 2])
        rows.append({"what": f"{cause} => {to}", "estimate": indirect(point, cause, to), "low": low, "high": high})
    return pd.DataFrame(rows)


def repeat(n, analyses=ANALYSES, *, draws=500, level=0.95, seed=0, **design):
    """Many experiments, each analysed in several ways.

    n         experiments
    analyses  of ``analyse``
    draws     of the resampling in each
    level     of the intervals
    seed      of the first experiment; the next have the next ones
    design    of ``draw``
    returns   DataFrame: experiment, analysis, what, true, estimate, low, high; an analysis that found no estimates in
              an experiment has NaN
    raises    InputError as ``draw`` and ``analyse``
    """
    true, rows = truth(design.get("effects")), []
    for k in range(n):
        table = draw(seed=seed + k, **design)
        for name in analyses:
            try:
                found = analyse(table, name, draws=draws, seed=seed + k, level=level)
            except InputError as problem:
                if "not known" in str(problem):
                    raise
                found = pd.DataFrame({"what": list(true), "estimate": np.nan, "low": np.nan, "high": np.nan})
            rows.append(found.assign(experiment=k, analysis=name))
    every = pd.concat(rows, ignore_index=True)
    every.insert(0, "true", every["what"].map(true))
    return every[["experiment", "analysis", "what", "true", "estimate", "low", "high"]]


def assess(found, level=0.95):
    """How often intervals held the truth, and how often they left out zero.

    found    of ``repeat``
    level    of the intervals of both shares, which are exact (Clopper & Pearson 1934)
    returns  DataFrame, a row an analysis and effect: true, n (experiments with estimates), held, held_low, held_high,
             found (of a null path: the type-I error; else the power), found_low, found_high, width (median), bias
    """
    from statsmodels.stats.proportion import proportion_confint

    rows = []
    for (analysis, what), some in found.groupby(["analysis", "what"], sort=False):
        some = some.dropna(subset=["low", "high"])
        held = (some["low"] <= some["true"]) & (some["true"] <= some["high"])
        seen = (some["low"] > 0) | (some["high"] < 0)
        row = {"analysis": analysis, "what": what, "true": some["true"].mean(), "n": len(some)}
        for name, hits in (("held", held), ("found", seen)):
            low, high = proportion_confint(hits.sum(), len(some), 1 - level, "beta") if len(some) else (np.nan, np.nan)
            row |= {name: hits.mean(), f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"width": (some["high"] - some["low"]).median(),
                           "bias": (some["estimate"] - some["true"]).mean()})
    return pd.DataFrame(rows)
