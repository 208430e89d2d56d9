"""How far importances agree, between methods and with the truth."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from phenolib import metrics
from phenolib.errors import InputError


def agreement(importances, *, level=0.95, draws=2000, seed=0):
    """Spearman's rank correlation of importances between methods.

    importances  {method: Importance}: the interval is by their draws of blocks, which are paired where the blocks are
                 the same; or a DataFrame methods × groups: the interval is by groups drawn with replacement
    level        of the percentile interval
    draws, seed  of groups
    returns      DataFrame, a row a pair: first, second, correlation, low, high, n (groups)
    raises       InputError for methods with other groups, fewer than two methods or three groups
    """
    names, values, drawn = _stacked(importances, draws, seed)
    if len(names) < 2:
        raise InputError("agreement is between methods; give two or more")
    rows = [(names[a], names[b], *_spearman(values[a], values[b], drawn[a], drawn[b], level), values.shape[1])
            for a, b in combinations(range(len(names)), 2)]
    return pd.DataFrame(rows, columns=["first", "second", "correlation", "low", "high", "n"])


def against_truth(importances, truth, *, least=0.0, top=3, level=0.95, draws=2000, seed=0):
    """How near importances come to the true one.

    importances  {method: Importance}, or a DataFrame methods × groups
    truth        Importance of the same groups, or a Series by group beside a DataFrame
    least        true importances up to this count as none, and share one rank [units of the target]; by refits give
                 what they differ by from seed to seed, or chance ranks the groups that have none
    top          how many of the first are compared
    returns      DataFrame by method: correlation (Spearman's), low, high as in ``agreement``; first, the share of
                 the truly first groups that are among the method's first [-]; spurious, the largest importance that
                 it gives to a group with none [units of the target], NaN where there is no such group; n (groups)
    raises       InputError as ``agreement``
    """
    one = "the truth"
    both = {**importances, one: truth} if isinstance(importances, dict) else pd.concat(
        [importances, pd.DataFrame([truth], [one])])
    names, values, drawn = _stacked(both, draws, seed)
    true, sure = (np.where(a > least, a, np.where(np.isnan(a), np.nan, least)) for a in (values[-1], drawn[-1]))
    best, none = set(np.argsort(-true, kind="stable")[:top]), true <= least
    rows = [{"correlation": rho, "low": low, "high": high,
             "first": len(best & set(np.argsort(-value, kind="stable")[:top])) / len(best),
             "spurious": float(value[none].max()) if none.any() else np.nan, "n": len(value)}
            for value, some in zip(values[:-1], drawn[:-1])
            for rho, low, high in [_spearman(value, true, some, sure, level)]]
    return pd.DataFrame(rows, pd.Index(names[:-1], name="method"))


def _stacked(importances, draws, seed):
    """Methods, values (method, group), and draws (method, group, draw)."""
    if isinstance(importances, pd.DataFrame):
        values = importances.to_numpy(float)
        _enough(values.shape[1])
        pick = np.random.default_rng(seed).integers(values.shape[1], size=(values.shape[1], draws))
        return list(importances.index), values, values[:, pick]
    first = next(iter(importances.values()), None)
    for name, one in importances.items():
        if one.names != first.names:
            raise InputError(f"{name} has the groups {', '.join(one.names)}; the others have {', '.join(first.names)}")
        if one.drawn.shape != first.drawn.shape:
            raise InputError(f"{name} has {one.drawn.shape[1]} draws, the others {first.drawn.shape[1]}; give as many")
    _enough(len(first.names) if first else 0)
    return (list(importances), np.stack([one.values for one in importances.values()]),
            np.stack([one.drawn for one in importances.values()]))


def _enough(count):
    if count < 3:
        raise InputError(f"{count} groups; a rank correlation needs three or more")


def _spearman(first, second, drawn, others, level):
    """Spearman's correlation of (g,) and (g,), and its percentile interval from (g, draw); ties share their rank."""
    def correlation(a, b):
        a, b = (rankdata(x, axis=0, nan_policy="propagate") for x in (a, b))
        a, b = a - a.mean(0), b - b.mean(0)
        with np.errstate(invalid="ignore"):
            return (a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0))

    low, high = metrics.percentiles(correlation(drawn, others), level)
    return float(correlation(first, second)), float(low), float(high)
