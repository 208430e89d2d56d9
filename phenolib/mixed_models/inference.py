"""Tests between two models, and intervals by simulation."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from phenolib.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """A likelihood-ratio test of a small model within a large one.

    statistic   2 (log L large − log L small), both fitted by maximum likelihood
    df          parameters that the large model has more
    p           from the χ² distribution, or from draws; low, high: its interval where it comes from draws, else NaN
    table       DataFrame: model, parameters, aic, bic, loglik, deviance
    method      in words
    notes       plain sentences
    draws       that were fitted; failed: that were not, and are left out
    """

    statistic: float
    df: int
    p: float
    table: pd.DataFrame
    method: str
    notes: list
    low: float = np.nan
    high: float = np.nan
    draws: int = 0
    failed: int = 0


def nested(small, large):
    """The two models fitted by maximum likelihood; refuses two that are not one within the other."""
    if (small.family.name, small.points) != (large.family.name, large.points):
        raise InputError(f"the models are of two kinds, {small.family.name} by {small.method} and {large.family.name} "
                         f"by {large.method}; compare models of one kind")
    if small.n != large.n or not np.allclose(small.design.y, large.design.y):
        raise InputError(f"the models are fitted to other rows or responses ({small.n} and {large.n} rows); fit both "
                         "to the same table, without rows that one of them drops")
    if not (np.allclose(small.design.offset, large.design.offset)
            and np.allclose(small.design.trials, large.design.trials)):
        raise InputError("the models differ in offset or trials; fit both with the same")
    left = small.design.x - large.design.x @ np.linalg.lstsq(large.design.x, small.design.x, rcond=None)[0]
    known = {(t.group, e) for t in large.design.terms for e in t.effects}
    missing = sorted({(t.group, e) for t in small.design.terms for e in t.effects} - known)
    if np.abs(left).max() > 1e-6 * np.abs(small.design.x).max() or missing:
        what = f"it has no '{missing[0][1]}' by '{missing[0][0]}'" if missing else "their fixed effects differ"
        raise InputError(f"'{small.formula}' is no part of '{large.formula}': {what}; give the smaller model first")
    if small.parameters >= large.parameters:
        raise InputError(f"'{small.formula}' has {small.parameters} parameters and '{large.formula}' "
                         f"{large.parameters}; give the smaller model first")
    return [m.again(reml=False, details=False) if m.reml else m for m in (small, large)]


def told(small, large):
    """Table and notes of a comparison."""
    rows = [(m.formula, m.parameters, m.aic, m.bic, m.loglik, -2 * m.loglik) for m in (small, large)]
    table = pd.DataFrame(rows, columns=["model", "parameters", "aic", "bic", "loglik", "deviance"])
    lost = [m for m in (small, large) if not m.estimate.converged]
    notes = [f"'{m.formula}' did not converge: {m.estimate.message}." for m in lost]
    return table, notes


def compare(small, large):
    """The likelihood-ratio test of two nested models; models fitted by REML are fitted anew by maximum likelihood.

    small, large  of ``fit``, to the same rows
    returns       Comparison; its notes say what was fitted anew, and where p is too large or too small
    raises        InputError for models that are not nested, or of different rows, responses or families

    With few groups p is too small for fixed effects (use Satterthwaite's, or ``bootstrap_test``); for a variance,
    which cannot be below 0, it is too large, up to twice (Self & Liang 1987).
    """
    first, second = nested(small, large)
    table, notes = told(first, second)
    if small.reml or large.reml:
        notes.append("Fitted anew by maximum likelihood: REML likelihoods of different fixed effects do not compare.")
    if len(second.layout.theta) > len(first.layout.theta):
        notes.append("The models differ in a variance, which cannot be below 0: p is too large, up to twice.")
    fewest = min(second.groups.values(), default=second.n)
    if fewest < 20 and second.design.x.shape[1] > first.design.x.shape[1]:
        notes.append(f"The smallest grouping has {fewest} levels: p is somewhat too small; bootstrap_test holds.")
    statistic, df = max(2 * (second.loglik - first.loglik), 0.0), second.parameters - first.parameters
    return Comparison(statistic, df, float(stats.chi2.sf(statistic, df)), table, "likelihood ratio, χ²", notes)


def bootstrap_test(small, large, *, draws=500, level=0.95, seed=0):
    """The likelihood-ratio test with its distribution from responses simulated by the small model.

        p = (1 + number of draws with a ratio at least as large) / (1 + draws)

    small, large  of ``fit``, to the same rows
    draws         simulated responses; each is fitted by both models
    level         of the interval of p, which is that of a share of draws (Clopper & Pearson 1934)
    seed          of the draws
    returns       Comparison
    raises        as ``compare``; InputError if fewer than half of the draws can be fitted

    Right also for variances at 0 and for few groups, as far as the small model is. Halekoh & Højsgaard (2014), Journal
    of Statistical Software 59(9).
    """
    if int(draws) < 19 or not 0 < level < 1:
        raise InputError(f"draws = {draws}, level = {level}: give 19 draws or more and a level between 0 and 1")
    first, second = nested(small, large)
    table, notes = told(first, second)
    statistic = max(2 * (second.loglik - first.loglik), 0.0)
    found = []
    for y in first.simulate(int(draws), seed=seed):
        one, other = refitted(first, y), refitted(second, y)
        if one is not None and other is not None:
            found.append(2 * (other.loglik - one.loglik))
    failed = int(draws) - len(found)
    if failed > draws / 2:
        raise InputError(f"{failed} of {draws} simulated responses cannot be fitted; use a simpler model")
    if failed:
        notes.append(f"{failed} of {draws} simulated responses could not be fitted and are left out.")
    beyond, n = int(np.sum(np.array(found) >= statistic - 1e-8)), len(found)
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, beyond, n - beyond + 1) if beyond else 0.0
    high = stats.beta.ppf(1 - tail, beyond + 1, n - beyond) if beyond < n else 1.0
    return Comparison(statistic, second.parameters - first.parameters, (1 + beyond) / (1 + n), table,
                      f"likelihood ratio, {n} simulated responses", notes, float(low), float(high), n, failed)


def refitted(result, y, details=False):
    """The model fitted to a simulated response; None where the response is constant or the search does not end."""
    if np.ptp(y) == 0:
        return None
    again = result.again(y, details=details)
    return again if again.estimate.converged else None


def intervals(result, *, draws=500, level=None, seed=0):
    """Percentile intervals of all that a model tells, from responses simulated by it (parametric bootstrap).

    result   of ``fit``
    draws    simulated responses, each fitted anew
    level    of the intervals; default that of the fit
    seed     of the draws
    returns  DataFrame: kind ('fixed', 'random', 'shape', 'icc', 'r2'), name, estimate, low, high; ``attrs`` has the
             number of draws and how many failed
    raises   InputError if fewer than half of the draws can be fitted

    An SD of few groups is estimated too small on average, and so are the draws: the interval shares that bias.
    """
    if int(draws) < 19:
        raise InputError(f"draws = {draws}; give 19 or more")
    kept = [again for y in result.simulate(int(draws), seed=seed) if (again := refitted(result, y)) is not None]
    failed = int(draws) - len(kept)
    if failed > draws / 2:
        raise InputError(f"{failed} of {draws} simulated responses cannot be fitted; use a simpler model")
    names, values = quantities(result)
    tail = (1 - (level or result.level)) / 2
    low, high = np.quantile(np.stack([quantities(again)[1] for again in kept]), [tail, 1 - tail], axis=0)
    found = pd.DataFrame(names, columns=["kind", "name"]).assign(estimate=values, low=low, high=high)
    found.attrs |= {"draws": int(draws), "failed": failed}
    return found


def quantities(result):
    """Names and values of fixed effects, random SDs and correlations, shape, shares of variance and R²."""
    names, values = [("fixed", name) for name in result.design.names], list(result.estimate.beta)
    for term, covariance in zip(result.layout.terms, result.covariances()):
        for a, effect in enumerate(term.effects):
            names.append(("random", f"{term.group} {effect}"))
            values.append(np.sqrt(covariance[a, a]))
    if result.family.shaped:
        names.append(("random", "residual") if result.family.name == "gaussian" else ("shape", result.family.parameter))
        values.append(result.estimate.scale)
    if result.design.terms:
        names += [("icc", group) for group in result.icc["group"]]
        values += list(result.icc["icc"])
    return [*names, ("r2", "marginal"), ("r2", "conditional")], np.array([*values, *result.r2])
