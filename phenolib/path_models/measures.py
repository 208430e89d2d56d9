"""How well a model fits: χ², CFI, TLI, RMSEA with its interval, SRMR, likelihood and criteria."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from phenolib.errors import InputError
from phenolib.path_models import moments
from phenolib.path_models.rows import Rows, collinear, listed
from phenolib.path_models.rows import blocks as blocks_of


def normal_loglik(values):
    """Log likelihood of complete rows (n, q) under a normal distribution with their own moments."""
    n, q = values.shape
    size = values.std(0)
    logdet = np.linalg.slogdet(np.corrcoef(values, rowvar=False).reshape(q, q))[1] + 2 * np.log(size).sum()
    return -n / 2 * (q * np.log(2 * np.pi) + logdet + q)


def independence(rows, outside, *, means=False):
    """Log likelihood of the model without any covariance but those among exogenous columns, and its missing ones.

    rows     Rows;  outside  places of the exogenous columns;  means  whether values may be missing
    returns  loglik, number of covariances that are 0
    """
    loglik, columns = 0.0, len(rows.columns)
    for g in range(len(rows.groups)):
        values = rows.values[rows.group == g]
        for k in set(range(columns)) - set(outside):
            loglik += normal_loglik(values[np.isfinite(values[:, k]), k][:, None])
        if outside and not means:
            loglik += normal_loglik(values[:, outside])
        elif outside:
            some = values[:, outside]
            some = some[np.isfinite(some).any(1)]
            part = Rows(tuple(rows.columns[k] for k in outside), some, np.zeros(len(some), int), ("",), None, 0)
            loglik += without_model(part, blocks_of(part), True)[1]
    zero = columns * (columns - 1) // 2 - len(outside) * (len(outside) - 1) // 2
    return loglik, len(rows.groups) * zero


def without_model(rows, blocks, means):
    """[(mean, cov)] of each group without a model, and their log likelihood; with missing values by iteration."""
    groups, p = len(rows.groups), len(rows.columns)
    system = moments.saturated(groups, p, means=True)
    i, j = np.tril_indices(p)
    theta = []
    for g in range(groups):
        values = rows.values[rows.group == g]
        cov = np.diag(np.nanvar(values, axis=0)) if means else np.cov(values, rowvar=False, ddof=0).reshape(p, p)
        theta += [cov[i, j], np.nanmean(values, axis=0)]
    theta = np.concatenate(theta)[None]
    if means:
        theta, found, loglik = moments.largest(system, theta, blocks)
        if not found[0]:
            raise InputError("the covariances of the columns cannot be estimated from values with so many gaps; use "
                             "missing='drop', or fewer columns")
    else:
        loglik = moments.likelihood(system, theta, blocks)[0]
    found = [moments.implied(layout, theta) for layout in system.layouts]
    for g, (cov, _) in enumerate(found):
        if not moments.definite(cov)[0]:
            tied = [rows.columns[k] for k in collinear(cov[0])]
            where = f" in group '{rows.groups[g]}'" if groups > 1 else ""
            raise InputError(f"the covariances of {listed(tied)} are not positive definite{where}; leave one of them "
                             "out, or give more rows")
    return [(mean[0], cov[0]) for cov, mean in found], float(loglik[0])


def rmsea(statistic, df, n, groups=1, *, level=0.90):
    """Root mean square error of approximation and its interval from the noncentral χ² (Browne & Cudeck 1993).

    RMSEA = √(groups · max(χ² − df, 0) / (df n));  the bounds take the noncentrality λ for which χ² lies at the upper
    and the lower end of its distribution in place of χ² − df.

    returns  (rmsea, low, high); 0, 0, 0 without degrees of freedom
    """
    if df == 0:
        return 0.0, 0.0, 0.0
    bounds = [max(statistic - df, 0.0)]
    for tail in ((1 + level) / 2, (1 - level) / 2):
        bounds.append(0.0 if chi2.cdf(statistic, df) < tail else brentq(
            lambda noncentral, tail=tail: ncx2.cdf(statistic, df, noncentral) - tail, 1e-12, 10 * statistic + 100))
    return tuple(float(np.sqrt(groups * b / (df * n))) for b in bounds)


def srmr(system, theta, saturated, n):
    """Standardised root mean square residual: observed less implied moments in SDs of the columns.

    saturated  [(mean, cov)] of each group;  n  (group,) rows
    """
    found = []
    for layout, (mean, cov) in zip(system.layouts, saturated):
        whole, means = moments.implied(layout, theta[None])
        p = len(mean)
        sd = np.sqrt(np.diag(cov))
        away = ((cov - whole[0, :p, :p]) / (sd[:, None] * sd))[np.tril_indices(p)]
        if system.means:
            away = np.concatenate([away, (mean - means[0, :p]) / sd])
        found.append(np.sqrt(np.mean(away**2)))
    return float(np.average(found, weights=n))


def indices(rows, description, system, theta, saturated, loglik, best):
    """All measures of a fitted model as a Series.

    loglik   of the model and of the exogenous columns;  best  the same of the saturated model
    returns  Series: chi2, df, p, cfi, tli, rmsea, rmsea_low, rmsea_high (90 %), srmr, loglik, aic, bic, n, free,
             chi2_baseline, df_baseline; p is NaN without degrees of freedom
    """
    groups, columns = len(rows.groups), len(rows.columns)
    outside = [rows.columns.index(name) for name in description.exogenous if name not in description.tied]
    given = outside if description.fixed else []
    free = system.size - groups * len(given) * (len(given) + 1) // 2
    moments_of_data = groups * (columns * (columns + 1) // 2 + columns * system.means)
    df = moments_of_data - system.size
    statistic = max(2 * (best - loglik), 0.0)
    alone, df_alone = independence(rows, outside, means=system.means)
    base = max(2 * (best - alone), 0.0)
    away, away_alone = max(statistic - df, 0.0), max(base - df_alone, statistic - df, 0.0)
    cfi = 1 - away / away_alone if away_alone > 0 else 1.0
    tli = 1.0
    if df > 0 and base != df_alone:
        tli = 1 - (statistic - df) * df_alone / ((base - df_alone) * df)
    n = len(rows.values)
    if given:
        loglik = loglik - sum(normal_loglik(rows.values[rows.group == g][:, given]) for g in range(groups))
    size, low, high = rmsea(statistic, df, n, groups)
    return pd.Series({
        "chi2": statistic, "df": df, "p": chi2.sf(statistic, df) if df else np.nan, "cfi": cfi, "tli": tli,
        "rmsea": size, "rmsea_low": low, "rmsea_high": high,
        "srmr": srmr(system, theta, saturated, np.bincount(rows.group)), "loglik": loglik,
        "aic": 2 * free - 2 * loglik, "bic": np.log(n) * free - 2 * loglik, "n": n, "free": free,
        "chi2_baseline": base, "df_baseline": df_alone}, dtype=float)


def scaling(system, theta, saturated, n, cross):
    """Satorra & Bentler's (1994) factor by which χ² is too large where rows are not normal, or not independent.

    c = tr(U Γ) / df,  U = W − W Δ (Δᵀ W Δ)⁻¹ Δᵀ W,  Δ = d vech(Σ) / dθ,  W the normal weights

    n        (group,) rows
    cross    (p*·groups, p*·groups) covariance Γ of √N vech(S), all groups stacked
    returns  c
    """
    p = len(saturated[0][0])
    i, j = np.tril_indices(p)
    share = n / n.sum()
    weights = np.zeros_like(cross)
    for g, layout in enumerate(system.layouts):
        inverse = np.linalg.inv(moments.implied(layout, theta[None])[0][0, :p, :p])
        double = np.where(i == j, 1.0, 2.0)
        w = 0.25 * double[:, None] * double * (inverse[np.ix_(i, i)] * inverse[np.ix_(j, j)]
                                               + inverse[np.ix_(i, j)] * inverse[np.ix_(j, i)])
        here = slice(g * i.size, (g + 1) * i.size)
        weights[here, here] = share[g] * w

    def stacked(some):
        return np.concatenate([moments.implied(layout, some)[0][:, i, j] for layout in system.layouts], 1)

    step = 1e-5 * np.maximum(np.abs(theta), 1e-3)
    delta = moments.derivative(stacked, theta, step)
    inner = weights @ delta
    part = np.linalg.solve(delta.T @ inner, inner.T @ cross @ inner)
    return float((np.trace(weights @ cross) - np.trace(part)) / (cross.shape[0] - theta.size))
