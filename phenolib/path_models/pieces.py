"""Piecewise models: each outcome has an equation of its own, a mixed model, and what they leave out is tested."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm, t

from phenolib.errors import InputError, near
from phenolib.path_models import rows as tables
from phenolib.path_models import text
from phenolib.path_models.quantities import effect_table, sobel
from phenolib.path_models.resampling import Resampled, checked, few, intervals, joined

DRAWS = 10_000  # of the paths, for intervals of their products


@dataclass(frozen=True, repr=False)
class Piecewise:
    """Equations fitted one by one.

    paths      DataFrame: lval, op, rval, estimate, se, df, statistic, p, low, high, standardized, std_low, std_high.
               op '~~' is the correlation of the residuals, with Fisher's interval.
    claims     DataFrame: claim, given (variables held), estimate, se, statistic, p; what the graph says is independent
    fit        Series: fisher_c, df, p, aicc, n, free, claims
    indirect   DataFrame: source, target, kind, route, estimate, low, high, standardized, std_low, std_high, sobel_se,
               sobel_z, sobel_p (of routes)
    r2         DataFrame: variable, marginal, conditional
    notes      sentences on what is doubtful
    models     {outcome: what the function that fits returned}

    The rest is what ``bootstrap`` needs: description, data, options.
    """

    paths: pd.DataFrame
    claims: pd.DataFrame
    fit: pd.Series
    indirect: pd.DataFrame
    r2: pd.DataFrame
    notes: tuple
    n: int
    dropped: int
    level: float
    models: dict
    description: text.Description
    data: pd.DataFrame
    options: dict

    def __repr__(self):
        f = self.fit
        return (f"Piecewise of {self.n} rows: Fisher's C = {f['fisher_c']:.2f} (df {f['df']:.0f}, p {f['p']:.3f}), "
                f"AICc {f['aicc']:.1f}")


def piecewise(equations, data, *, groups=None, families=None, fit=None, missing="raise", level=0.95, seed=0):
    """A path model as a set of mixed models: groups of rows, other families, and a test of what it leaves out.

    Each claim of the basis set says that two columns without an arrow between them are independent, given the causes of
    both; its p comes from the later one's equation with these and the earlier one in it. Fisher's C = −2 Σ ln p follows
    χ² with two degrees of freedom for each claim where the graph is right; AICc = C + 2 K n / (n − K − 1) of K
    parameters. Pairs of exogenous columns, and of residuals that covary ('~~'), claim nothing.

    equations  text, 'y ~ x + z' one a line; 'y ~~ z' for residuals that covary, which no equation uses
    data       DataFrame, one row for each observation
    groups     random effects of every equation as in ``mixed_models.fit``, e.g. "year", or {outcome: groups}
    families   {outcome: family}; others are gaussian
    fit        function (formula, data, groups=, family=) with .fixed in its result; default ``mixed_models.fit``
    missing    "raise": refuse; "drop": leave out rows without a value in any column of the model
    level      of all intervals
    seed       of the draws behind intervals of products
    returns    Piecewise. Estimates are on the scale of the link; standardised ones in SDs of a gaussian outcome, else
               for each SD of the cause. Intervals of products and sums come from paths drawn from their normal
               distributions, taken as independent; ``bootstrap`` needs no such thing.
    raises     InputError for a text that is not understood, latent variables, cycles, and as the function that fits

    Shipley (2009; 2013); Lefcheck (2016); MacKinnon, Lockwood & Williams (2004).
    """
    description = text.read(equations)
    refuse(description)
    if missing not in ("raise", "drop"):
        raise InputError(f"missing = '{missing}'; give 'raise' or 'drop'")
    if fit is None:
        from phenolib.mixed_models import fit
    rows = tables.prepare(data, description.observed, missing=missing)
    table = rows.table.assign(**dict(zip(rows.columns, rows.values.T)))
    outcomes = ordered(description)
    options = {"groups": by_outcome(groups, outcomes, "groups"), "fit": fit,
               "families": by_outcome(families or {}, outcomes, "families")}
    models = {name: equation(name, causes(description, name), table, options) for name in outcomes}
    paths = path_rows(description, models, table, options, level)
    claims, more = basis(description, table, options)
    free = sum(parameters(model) for model in models.values()) + sum(paths["op"] == "~~")
    n = len(table)
    c = -2 * np.log(np.maximum(claims["p"].to_numpy(float), 1e-300)).sum()
    df = 2 * len(claims)
    fit_ = pd.Series({"fisher_c": c, "df": df, "p": chi2.sf(c, df) if df else np.nan,
                      "aicc": c + 2 * free * n / (n - free - 1) if n > free + 1 else np.inf, "n": n, "free": free,
                      "claims": len(claims)}, dtype=float)
    notes = [f"{rows.dropped} rows without a value are left out"] * bool(rows.dropped) + more
    if not df:
        notes.append("every pair of columns is joined or exogenous: nothing tests the model")
    notes += [f"{name}: {note}" for name, model in models.items() for note in getattr(model, "notes", ())]
    ways, left_out = products(description, options)
    notes += left_out
    r2 = pd.DataFrame([(name, *(float(x) for x in model.r2)) for name, model in models.items() if hasattr(model, "r2")],
                      columns=["variable", "marginal", "conditional"])
    return Piecewise(paths, claims, fit_, indirect(ways, paths, level, seed), r2, tuple(notes), n, rows.dropped, level,
                     models, description, table, options)


def refuse(description):
    """Raises InputError for what equations one by one cannot hold."""
    if description.latent:
        raise InputError(f"equations one by one have no latent variables; '{description.latent[0]}' is one: use fit")
    loop = description.cyclic()
    if loop:
        raise InputError(f"equations one by one need an order; '{loop}' is its own cause")
    for term in description.terms:
        if term.value is not None or term.label:
            raise InputError(f"equations one by one have free paths alone; '{term}' is fixed or labelled")
    if not description.arrows:
        raise InputError("the text has no equation; give some such as 'y ~ x + z'")


def by_outcome(given, outcomes, role):
    """A dictionary {outcome: value} of one value for all, or of some."""
    if not isinstance(given, dict):
        return dict.fromkeys(outcomes, given)
    for name in given:
        if name not in outcomes:
            raise InputError(f"{role} names '{name}', which has no equation{near(name, outcomes)}")
    return given


def ordered(description):
    """Outcomes, causes before effects."""
    outcomes = list(dict.fromkeys(effect for _, effect in description.arrows))
    order = []
    while len(order) < len(outcomes):
        order += [n for n in outcomes if n not in order
                  and not any(c in outcomes and c not in order for c in causes(description, n))]
    return order


def causes(description, name):
    """Causes of a column, in the order of the text."""
    return [c for c, e in description.arrows if e == name]


def equation(outcome, predictors, table, options):
    """The fitted equation of one outcome."""
    more = {"groups": options["groups"].get(outcome), "family": options["families"].get(outcome) or "gaussian"}
    return options["fit"](f"{outcome} ~ {' + '.join(predictors)}", table, **more)


def parameters(model):
    """Number of estimated parameters: fixed effects, variances between groups and within."""
    if hasattr(model, "parameters"):
        return int(model.parameters)
    return len(model.fixed) + max(len(getattr(model, "random", ())), 1)


def effect_of(model, name):
    """The row of one predictor in the table of fixed effects."""
    found = model.fixed[model.fixed["term"] == name]
    if len(found) != 1:
        raise InputError(f"the equation has no single term '{name}'; give it as numbers, a class as 0 and 1")
    return found.iloc[0]


def gaussian(options, outcome):
    """Whether an outcome is on its own scale."""
    return (options["families"].get(outcome) or "gaussian") == "gaussian"


def path_rows(description, models, table, options, level):
    """The table of paths, and of the correlations of residuals."""
    found = []
    for outcome, model in models.items():
        for name in causes(description, outcome):
            row = effect_of(model, name)
            scale = table[name].std() / (table[outcome].std() if gaussian(options, outcome) else 1.0)
            found.append((outcome, "~", name, *(float(row[k]) for k in ("estimate", "se", "df", "statistic", "p", "low",
                                                                       "high")),
                          *(float(row[k]) * scale for k in ("estimate", "low", "high"))))
    for term in description.terms:
        if term.op == "~~" and term.written and term.lval != term.rval and {term.lval, term.rval} <= set(models):
            r = correlation(models, term)
            n = len(table)
            z, half = np.arctanh(r), norm.ppf(0.5 + level / 2) / np.sqrt(n - 3)
            statistic = r * np.sqrt((n - 2) / (1 - r**2))
            bounds = np.tanh([z - half, z + half])
            found.append((term.lval, "~~", term.rval, r, np.sqrt((1 - r**2) / (n - 2)), n - 2, statistic,
                          2 * t.sf(abs(statistic), n - 2), *bounds, r, *bounds))
    return pd.DataFrame(found, columns=["lval", "op", "rval", "estimate", "se", "df", "statistic", "p", "low", "high",
                                        "standardized", "std_low", "std_high"])


def correlation(models, term):
    """Correlation of the residuals of two equations."""
    return float(np.corrcoef(*(np.asarray(models[n].residuals, float) for n in (term.lval, term.rval)))[0, 1])


def basis(description, table, options):
    """The claims of independence and their tests, and notes."""
    outcomes = ordered(description)
    order = [*description.exogenous, *outcomes]
    joined_ = {frozenset(a) for a in description.arrows}
    joined_ |= {frozenset((x.lval, x.rval)) for x in description.terms if x.op == "~~"}
    found, notes = [], []
    for k, late in enumerate(order):
        for early in order[:k]:
            if late in description.exogenous or frozenset((early, late)) in joined_:
                continue
            held = list(dict.fromkeys([*causes(description, late), *causes(description, early)]))
            model = equation(late, [*held, early], table, options)
            tested = [float(x) for x in effect_of(model, early)[["estimate", "se", "statistic", "p"]]]
            found.append((f"{late} _||_ {early}", ", ".join(held), *tested))
            if not getattr(model, "converged", True):
                notes.append(f"the test of '{late} _||_ {early}' did not converge")
    return pd.DataFrame(found, columns=["claim", "given", "estimate", "se", "statistic", "p"]), notes


def products(description, options):
    """Routes and sums whose paths may be multiplied, and notes on the others.

    A path behind an outcome on another scale than its link's (a logarithm, a logit) starts from the outcome, and does
    not go on where the path to it ends.
    """
    ways = effect_table(description, ("",)).drop(columns="group")
    inner = {c for c, e in description.arrows if not gaussian(options, c) and causes(description, c)}
    if not inner:
        return ways, []
    blocked = ways["route"].map(lambda route: bool(set(route.split(" -> ")[1:-1]) & inner))
    pairs = {(row.source, row.target) for row in ways[blocked].itertuples()}
    ends = [(row.source, row.target) in pairs and row.kind in ("sum", "total") for row in ways.itertuples()]
    notes = [f"'{name}' is estimated on the scale of its link: what passes through it is no product of paths, and left "
             "out" for name in sorted(inner)]
    return ways[~blocked & ~np.array(ends)].reset_index(drop=True), notes


def multiplied(ways, pairs, values):
    """Routes and sums for values (b, path) of the paths, pairs [(cause, effect)]; (b, row)."""
    place = {pair: k for k, pair in enumerate(pairs)}
    found = np.zeros((len(values), len(ways)))
    for k, row in enumerate(ways.itertuples()):
        names = row.route.split(" -> ") if row.route else []
        if names:
            found[:, k] = np.prod([values[:, place[p]] for p in zip(names[:-1], names[1:])], axis=0)
    for k, row in enumerate(ways.itertuples()):
        if row.kind in ("sum", "total"):
            kinds = ("indirect",) if row.kind == "sum" else ("direct", "indirect")
            mine = (ways["source"] == row.source) & (ways["target"] == row.target) & ways["kind"].isin(kinds)
            found[:, k] = found[:, mine.to_numpy()].sum(1)
    return found


def indirect(ways, paths, level, seed):
    """The table of routes and sums with intervals from paths drawn as independent."""
    arrows = paths[paths["op"] == "~"]
    pairs = list(zip(arrows["rval"], arrows["lval"]))
    rng = np.random.default_rng(seed)
    scale = (arrows["standardized"] / arrows["estimate"]).to_numpy()
    made = arrows["estimate"].to_numpy() + arrows["se"].to_numpy() * rng.standard_normal((DRAWS, len(arrows)))
    tails = [(1 - level) / 2, (1 + level) / 2]
    told = {}
    for name, low, high, factor in (("estimate", "low", "high", 1.0), ("standardized", "std_low", "std_high", scale)):
        told[name] = multiplied(ways, pairs, arrows["estimate"].to_numpy()[None] * factor)[0]
        told[low], told[high] = np.quantile(multiplied(ways, pairs, made * factor), tails, axis=0)
    table = ways.assign(**told)
    table["sobel_se"] = sobel(ways.assign(group=""), paths.assign(group=""))
    table["sobel_z"] = table["estimate"] / table["sobel_se"]
    table["sobel_p"] = 2 * norm.sf(np.abs(table["sobel_z"]))
    return table


def resampled(result, n=2000, *, cluster=None, seed=0, level=None):
    """``bootstrap`` of a Piecewise: every equation is fitted to each draw. Levels of groups that lie within a cluster
    get names of their own for each time it is drawn."""
    level = result.level if level is None else level
    checked(n, level)
    data = result.data
    if cluster is not None:
        tables.known(data, cluster)
        if data[cluster].isna().any():
            raise InputError(f"column '{cluster}' has rows without a value; leave them out")
    unit = np.unique(data[cluster].to_numpy(), return_inverse=True)[1] if cluster else np.arange(len(data))
    count = unit.max() + 1
    if count < 2:
        raise InputError(f"column '{cluster}' has one value; give at least two clusters to draw from")
    members = [np.flatnonzero(unit == k) for k in range(count)]
    nested = inside(data, unit, result.options)
    ways, _ = products(result.description, result.options)
    arrows = result.paths[result.paths["op"] == "~"]
    pairs = list(zip(arrows["rval"], arrows["lval"]))

    def values(chosen):
        rows = np.concatenate([members[k] for k in chosen])
        times = np.repeat(np.arange(len(chosen)), [len(members[k]) for k in chosen])
        table = data.iloc[rows].reset_index(drop=True)
        table = table.assign(**{name: [f"{a}.{b}" for a, b in zip(times, table[name])] for name in nested})
        try:
            models = {name: equation(name, causes(result.description, name), table, result.options)
                      for name in result.models}
            paths = path_rows(result.description, models, table, result.options, level)
        except InputError:  # a draw without estimates; they are counted
            return np.full(2 * (len(result.paths) + len(ways)), np.nan)
        found = [paths[c].to_numpy(float) for c in ("estimate", "standardized")]
        here = (paths["op"] == "~").to_numpy()
        return np.concatenate([*found, *(multiplied(ways, pairs, f[here][None])[0] for f in found)])

    rng = np.random.default_rng(seed)
    draws = np.array([values(rng.integers(count, size=count)) for _ in range(n)])
    draws = draws[np.isfinite(draws).all(1)]
    few(len(draws), n)
    part = np.arange(count) if count <= 60 else rng.permutation(count) % 60
    left_out = np.array([values(np.flatnonzero(part != k)) for k in range(part.max() + 1)])
    point = np.concatenate([result.paths["estimate"], result.paths["standardized"], result.indirect["estimate"],
                            result.indirect["standardized"]])
    told = intervals(point, draws, left_out[np.isfinite(left_out).all(1)], level)
    edges = np.cumsum([0, *[len(result.paths)] * 2, *[len(ways)] * 2])
    some = [{k: v[a:b] for k, v in told.items()} for a, b in zip(edges[:-1], edges[1:])]
    notes = [f"{count} clusters are few: intervals come out too small"] * int(count < 20)
    failed = n - len(draws)
    if failed:
        notes.append(f"{failed} of {n} draws have no estimates and are left out")
    return Resampled(joined(result.paths[["lval", "op", "rval"]], some[0], some[1]), joined(ways, some[2], some[3]), n,
                     failed, int(count), level, seed, tuple(notes), draws[:, edges[1]:edges[2]],
                     draws[:, edges[3]:edges[4]])


def inside(data, unit, options):
    """Columns named by the groups each of whose levels lies within one cluster."""
    words = re.findall(r"[^\W\d]\w*", str(list(options["groups"].values())))
    names = [name for name in dict.fromkeys(words) if name in data.columns]
    return [name for name in names if pd.DataFrame({"level": data[name].to_numpy(), "unit": unit}).drop_duplicates()[
        "level"].is_unique and not pd.api.types.is_float_dtype(data[name])]
