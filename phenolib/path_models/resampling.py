"""Intervals of paths, routes and sums from rows, or clusters of rows, drawn anew."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from phenolib.errors import InputError
from phenolib.path_models import moments, quantities
from phenolib.path_models import rows as tables

TOGETHER = 250  # data sets that are fitted at a time
LEFT_OUT = 200  # parts that are left out in turn where there are more units than twice as many
ENOUGH = 1e-8  # χ² still to be gained in a draw; a draw need not be known better than to a share of its own error


@dataclass(frozen=True, repr=False)
class Resampled:
    """Estimates of many data sets drawn anew.

    paths, indirect   as of the model; estimate, bias, se, low, high (percentiles), bca_low, bca_high, p, and the same
                      of the standardised estimates: standardized, std_bias, std_se, std_low, …, std_bca_high
    n, failed   data sets drawn, and those without estimates, which are left out
    units       what was drawn: number of clusters, or of rows
    level, seed, notes
    path_draws, indirect_draws   (draw, row) standardised estimates
    """

    paths: pd.DataFrame
    indirect: pd.DataFrame
    n: int
    failed: int
    units: int
    level: float
    seed: int
    notes: tuple
    path_draws: np.ndarray
    indirect_draws: np.ndarray

    def __repr__(self):
        return f"Resampled: {self.n} draws of {self.units} units, {self.failed} failed"


def bootstrap(result, n=2000, *, cluster=None, seed=0, level=None):
    """Intervals of a path model from clusters of rows drawn with replacement.

    What is alike (rows of one plot-year) is drawn together; within each group, where no cluster is in two of them. Each
    data set is fitted anew, by least squares where these are the ML estimates. p is twice the smaller share of draws on
    one side of 0. BCa intervals correct percentiles for bias and for a spread that changes with the estimate; the
    acceleration comes from leaving out one unit (or one of 200 parts) at a time.

    result   PathModel, or Piecewise
    n        data sets; 2000 for intervals that are reported
    cluster  column of what is alike; default that of the fit, and rows where there is none
    seed     of the draws
    level    of the intervals; default that of the fit
    returns  Resampled
    raises   InputError for an unknown column, fewer than two clusters, or where more than half of the draws fail

    Efron (1987); Davison & Hinkley (1997).
    """
    if not hasattr(result, "system"):
        from phenolib.path_models.pieces import resampled

        return resampled(result, n, cluster=cluster, seed=seed, level=level)
    rows, level = result.rows, result.level if level is None else level
    checked(n, level)
    unit, notes = units(rows, cluster)
    count = unit.max() + 1
    parts = tables.pieces(rows, unit)
    stratum = strata(unit, rows.group, count)
    rng = np.random.default_rng(seed)
    ways = quantities.effect_table(result.description, rows.groups)

    def values(theta):
        return np.concatenate([*quantities.path_values(result.description, result.system, theta),
                               *quantities.effect_values(result.description, result.system, theta, ways)], 1)

    def refitted(weights):
        theta, good = refit(result, [piece.weighed(weights) for piece in parts])
        found = np.full((len(weights), point.size), np.nan)
        if good.any():
            found[good] = values(theta[good])
        return found

    point = values(result.theta[None])[0]
    draws = np.concatenate([refitted(drawn(rng, stratum, min(TOGETHER, n - k))) for k in range(0, n, TOGETHER)])
    draws = draws[np.isfinite(draws).all(1)]
    few(len(draws), n)
    left_out = np.concatenate([refitted(w) for w in without(count, rng)])
    told = intervals(point, draws, left_out[np.isfinite(left_out).all(1)], level)
    many = len(result.paths)
    edges = np.cumsum([0, many, many, len(ways), len(ways)])
    part = [{k: v[a:b] for k, v in told.items()} for a, b in zip(edges[:-1], edges[1:])]
    failed = n - len(draws)
    if failed:
        notes.append(f"{failed} of {n} draws have no estimates and are left out")
    return Resampled(
        joined(result.paths[["group", "lval", "op", "rval"]], part[0], part[1]), joined(ways, part[2], part[3]), n,
        failed, int(count), level, seed, tuple(notes), draws[:, edges[1]:edges[2]], draws[:, edges[3]:edges[4]])


def checked(n, level):
    """Raises InputError for numbers of draws and levels that make no interval."""
    if int(n) < 20 or not 0 < level < 1:
        raise InputError(f"n = {n}, level = {level}: give at least 20 draws, and a level between 0 and 1")


def few(good, n):
    """Raises InputError where most draws failed."""
    if good < n / 2:
        raise InputError(f"{n - good} of {n} draws have no estimates; the model is too large for its clusters: leave "
                         "paths out, or give more clusters")


def units(rows, cluster):
    """(n,) place of each row among the units that are drawn, and notes."""
    notes = []
    if cluster is not None:
        tables.known(rows.table, cluster)
        if rows.table[cluster].isna().any():
            raise InputError(f"column '{cluster}' has rows without a value; leave them out")
        unit = np.unique(rows.table[cluster].to_numpy(), return_inverse=True)[1]
    elif rows.cluster is not None:
        unit = rows.cluster
    else:
        unit = np.arange(len(rows.values))
    count = unit.max() + 1
    if count < 2:
        raise InputError(f"column '{cluster}' has one value; give at least two clusters to draw from")
    if count < 20:
        notes.append(f"{count} clusters are few: intervals come out too small")
    return unit, notes


def strata(unit, group, count):
    """Units that are drawn among themselves: those of one group where none is in two, otherwise all; list of places."""
    pairs = np.unique(np.column_stack([unit, group]), axis=0)
    if len(pairs) > count:
        return [np.arange(count)]
    return [pairs[pairs[:, 1] == g, 0] for g in np.unique(group)]


def drawn(rng, stratum, times):
    """How often each unit is in each of some data sets; (times, unit)."""
    weights = np.zeros((times, sum(len(s) for s in stratum)))
    for places in stratum:
        weights[:, places] = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=times)
    return weights


def without(count, rng):
    """Weights (b, unit) that leave out each unit, or each of 200 parts, in turn; lists of at most 250."""
    part = np.arange(count) if count <= 2 * LEFT_OUT else rng.permutation(count) % LEFT_OUT
    for k in range(0, part.max() + 1, TOGETHER):
        some = np.arange(k, min(k + TOGETHER, part.max() + 1))
        yield (part[None, :] != some[:, None]).astype(float)


def refit(result, blocks):
    """Parameters (b, k) of data sets, and (b,) whether they were found."""
    system = result.system
    good = np.all([b.n > b.seen.size for b in blocks], 0) if not system.means else np.ones(len(blocks[0].n), bool)
    if not system.means:
        good &= np.all([moments.definite(b.cov, b.scale) for b in blocks], 0)
    theta = np.broadcast_to(result.theta, (len(good), system.size)).copy()
    some = np.flatnonzero(good)
    if not some.size:
        return theta, good
    blocks = [b.take(some) for b in blocks]
    apart = sum(len(np.unique(layout.parameter)) for layout in system.layouts) == system.size
    if apart and not system.means and all(moments.closed(layout) is not None for layout in system.layouts):
        theta[some] = moments.least_squares(system, blocks)
    else:
        theta[some], good[some], _ = moments.largest(system, theta[some], blocks, enough=ENOUGH)
    return theta, good


def intervals(point, draws, left_out, level):
    """Percentile and BCa intervals of q quantities.

    point     (q,) estimates of the data
    draws     (b, q) of the draws
    left_out  (u, q) with one unit left out at a time
    returns   dict of (q,): estimate, bias, se, low, high, bca_low, bca_high, p
    """
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    count = len(draws)
    low, high = np.quantile(draws, tails, axis=0)
    below = ((draws < point).sum(0) + 0.5 * (draws == point).sum(0)) / count
    shift = norm.ppf(np.clip(below, 0.5 / count, 1 - 0.5 / count))
    away = left_out.mean(0) - left_out
    squares = (away**2).sum(0)
    speed = np.divide((away**3).sum(0), 6 * squares**1.5, out=np.zeros(point.size), where=squares > 0)
    bounds = []
    for tail in norm.ppf(tails):
        moved = shift + tail
        share = norm.cdf(shift + moved / np.maximum(1 - speed * moved, 1e-6))
        order = np.sort(draws, 0)
        at = np.clip(share * (count - 1), 0, count - 1)
        under = np.floor(at).astype(int)
        over = np.minimum(under + 1, count - 1)
        value = np.take_along_axis(order, np.stack([under, over]), 0)
        bounds.append(value[0] + (at - under) * (value[1] - value[0]))
    sides = np.minimum((draws <= 0).sum(0), (draws >= 0).sum(0))
    p = np.minimum(2 * (sides + 1) / (count + 1), 1.0)
    p[draws.std(0) == 0] = np.nan
    return {"estimate": point, "bias": draws.mean(0) - point, "se": draws.std(0, ddof=1), "low": low, "high": high,
            "bca_low": bounds[0], "bca_high": bounds[1], "p": p}


def joined(table, raw, standardised):
    """A table with what was found, raw and standardised."""
    scaled = {("standardized" if k == "estimate" else f"std_{k}"): v for k, v in standardised.items() if k != "p"}
    return table.reset_index(drop=True).assign(**raw, **scaled)
