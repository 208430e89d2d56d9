"""A model text fitted to a table, and all that is told about it."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from phenolib.errors import InputError, near
from phenolib.path_models import layouts, measures, moments, quantities, text
from phenolib.path_models import rows as tables

FEW_CLUSTERS = 20  # below, sandwich standard errors and bootstraps of clusters are too small by much
FEW_ROWS = 5  # rows for each free parameter below which a note is given


@dataclass(frozen=True, repr=False)
class PathModel:
    """A fitted model.

    paths      DataFrame: group, lval, op, rval, estimate, se, z, p, low, high, standardized, std_se, std_low, std_high,
               free. What is fixed has se 0 and neither z nor p (NaN).
    fit        Series of ``measures.indices``; with clusters also scaling, chi2_scaled and p_scaled
    indirect   DataFrame: group, source, target, kind, route, estimate, se, z, p, low, high, standardized, std_se,
               std_low, std_high, sobel_se, sobel_z, sobel_p (of routes). kind is direct, indirect (one route), sum
               (all indirect routes) or total. The standard errors are of the delta method.
    r2         DataFrame: group, variable, r2, low, high
    residual_correlations   DataFrame: correlations of the data less those of the model; one block for each group
    equality   DataFrame: path, chi2, df, p; whether paths are equal in all groups. None without groups.
    notes      sentences on what is doubtful
    n, dropped, level   rows used, rows left out, level of the intervals

    The rest is what other functions need: description, rows, blocks, system, theta (parameters), covariance (of them),
    places (of the terms among them), saturated (moments without a model), options (of the call).
    """

    paths: pd.DataFrame
    fit: pd.Series
    indirect: pd.DataFrame
    r2: pd.DataFrame
    residual_correlations: pd.DataFrame
    equality: pd.DataFrame | None
    notes: tuple
    n: int
    dropped: int
    level: float
    description: text.Description
    rows: tables.Rows
    blocks: list
    system: moments.System
    theta: np.ndarray
    covariance: np.ndarray
    places: dict
    saturated: list
    options: dict

    def __repr__(self):
        f = self.fit
        return (f"PathModel of {self.n} rows: χ² = {f['chi2']:.2f} (df {f['df']:.0f}, p {f['p']:.3f}), "
                f"CFI {f['cfi']:.3f}, RMSEA {f['rmsea']:.3f} ({f['rmsea_low']:.3f} to {f['rmsea_high']:.3f}), "
                f"SRMR {f['srmr']:.3f}")


def fit(description, data, *, groups=None, cluster=None, missing="raise", standardize=False, exogenous="fixed",
        equal=(), level=0.95):
    """A structural equation model by maximum likelihood: paths, measures of fit, routes and their sums.

    v = A v + e,  Cov(e) = S,  Σ = F (I − A)⁻¹ S (I − A)⁻ᵀ Fᵀ;  the largest normal likelihood of Σ, by Fisher scoring

    Standard errors are those of the expected information, with "fiml" of the observed one, with clusters of the
    sandwich. Standardised estimates have standard errors of their own, by the delta method. Where ``standardize`` is
    set, the SDs of the data count as known in ``se``; those of ``std_se`` are right in either case.

    description  model text in lavaan syntax: 'latent =~ x1 + x2', 'y ~ x + z', 'y ~~ z'; see ``text.read``
    data         DataFrame, one row for each observation, a column for each variable that is not latent
    groups       column whose values are fitted apart; labels of the text tie paths within a group
    cluster      column of what is alike (plot-years); for standard errors and χ², and for ``bootstrap``
    missing      "raise": refuse; "drop": leave such rows out; "fiml": use what they have (full information maximum
                 likelihood, values missing at random), with means as parameters and exogenous columns random
    standardize  True: every column in SDs from its mean; or names of columns
    exogenous    "fixed": moments of the exogenous columns are those of the data, and no parameters; "random": they are
                 parameters. Estimates are the same; likelihood, criteria and std_se are not. A written '~~' of such a
                 column makes all of them random.
    equal        operators whose terms are equal in all groups, e.g. ("~",) or ("=~",)
    level        of all intervals but that of the RMSEA (0.90)
    returns      PathModel
    raises       InputError for a text that is not understood, columns that are not there, constant or collinear,
                 missing values, too few rows, a model that is not identified, and estimates that do not come to an end

    Jöreskog (1970); McArdle & McDonald (1984). Numbers agree with lavaan (Rosseel 2012), ``likelihood = "normal"``.
    """
    if missing == "fiml":
        exogenous = "random"
    described = text.read(description, exogenous=exogenous)
    if not 0 < level < 1:
        raise InputError(f"level = {level}; give a level between 0 and 1")
    equal = (equal,) if isinstance(equal, str) else tuple(equal)
    if equal and groups is None:
        raise InputError(f"equal = {equal} needs groups; name the column of the groups")
    for op in equal:
        if op not in ("~", "=~", "~~"):
            raise InputError(f"equal names '{op}'; give operators of the text: '~', '=~' or '~~'")
    check_names(described, data)
    rows = tables.prepare(data, described.observed, groups=groups, cluster=cluster, missing=missing,
                          standardize=standardize)
    options = {"cluster": cluster, "missing": missing, "standardize": standardize, "equal": equal}
    return fitted(described, rows, [t for t in described.terms if t.op in equal and not t.given], level, options)


def check_names(description, data):
    """Raises InputError for latent variables that are columns, and for columns that are not there."""
    if not isinstance(data, pd.DataFrame):
        return
    for name in description.latent:
        if name in data.columns:
            raise InputError(f"the latent variable '{name}' is also a column of the data; give it another name")
    for term in description.terms:
        if term.label in data.columns:
            raise InputError(f"'{term.label}*{term.rval}' names the path '{term}' like a column; for a product make a "
                             "column of it, for a label take another name")
    for name in description.observed:
        if name not in data.columns:
            known = [*data.columns, *description.latent]
            raise InputError(f"'{name}' of the model is no column of the data, nor latent{near(name, known)}")


def fitted(description, rows, tied, level, options, *, tests=True):
    """The PathModel of rows that are ready. tied: terms that are equal in all groups; tests: of equal paths, if any."""
    count, columns = len(rows.groups), rows.columns
    means = options["missing"] == "fiml"
    places, _ = layouts.keys(description, count, tied)
    system = layouts.system(description, columns, count, equal=tied, means=means)
    enough_rows(description, rows, system)
    blocks = tables.blocks(rows)
    saturated, best = measures.without_model(rows, blocks, means)
    theta, loglik, notes = estimates(description, rows, system, places, blocks, saturated)
    covariance, more = uncertainty(description, rows, system, theta, blocks, places, options)
    notes += more
    fit_ = measures.indices(rows, description, system, theta, saturated, loglik, best)
    if rows.cluster is not None and not means and fit_["df"] > 0:
        cross = spread_of_moments(rows, saturated)
        fit_["scaling"] = measures.scaling(system, theta, saturated, np.bincount(rows.group), cross)
        fit_["chi2_scaled"] = fit_["chi2"] / fit_["scaling"]
        fit_["p_scaled"] = chi2.sf(fit_["chi2_scaled"], fit_["df"])
    paths, indirect, r2 = tell(description, rows, system, theta, covariance, level)
    notes += doubts(description, rows, system, theta, fit_, paths)
    result = PathModel(paths, fit_, indirect, r2, residuals(rows, system, theta, saturated), None, tuple(notes),
                       len(rows.values), rows.dropped, level, description, rows, blocks, system, theta, covariance,
                       places, saturated, options)
    return replace(result, equality=equality(result)) if count > 1 and tests else result


def enough_rows(description, rows, system):
    """Raises InputError for more parameters than moments, or than rows."""
    count, p = len(rows.groups), len(rows.columns)
    held = count * (p * (p + 1) // 2 + p * system.means)
    if system.size > held:
        raise InputError(f"the model is not identified: {system.size} parameters, with moments of exogenous columns, "
                         f"for {held} moments of the data; leave paths out, or fix some")
    given = sum(t.given for t in description.terms)
    free = system.size // count - given
    for g, name in enumerate(rows.groups):
        n = int((rows.group == g).sum())
        if n <= max(free, p):
            where = f" in group '{name}'" if name else ""
            raise InputError(f"{n} rows{where} are too few for {free} free parameters and {p} columns; give more rows, "
                             "or a smaller model")


def estimates(description, rows, system, places, blocks, saturated):
    """Parameters (k,) of the largest likelihood, its logarithm, and notes. Raises InputError where there is none."""
    size = system.size - len(rows.groups) * len(rows.columns) * system.means
    begin = np.array([layouts.start(description, rows.columns, saturated, places, size, means=system.means, regress=r)
                      for r in (True, False)])
    theta, found, loglik = moments.largest(system, begin, [b.repeat(2) for b in blocks])
    best = int(np.where(np.isfinite(loglik), loglik, -np.inf).argmax())
    notes = []
    if found.all() and np.ptp(loglik) > 1e-3:
        notes.append("the likelihood has more than one peak; the highest found is told, the next is lower by "
                     f"χ² = {2 * np.ptp(loglik):.2f}")
    theta, found, loglik = theta[best][None], found[best][None], loglik[best][None]
    value, gradient, information = moments.likelihood(system, theta, blocks)
    size = np.sqrt(np.maximum(np.diag(information[0]), 1e-300))
    names = {k: str(t) for (_, t), k in places.items()}
    values, vectors = np.linalg.eigh(information[0] / (size[:, None] * size))
    if not np.isfinite(value[0]) or (not found[0] and values[0] > moments.SINGULAR):
        worst = int(np.abs(gradient[0] / size).argmax())
        raise InputError(f"the estimates do not converge, least of all '{names.get(worst, 'a mean')}'; leave out this "
                         "or another path, or bring the columns to like units with standardize=True")
    if values[0] < moments.SINGULAR:
        weight = np.abs(vectors[:, values < moments.SINGULAR]).max(1)
        tied = [names.get(k, "a mean") for k in np.argsort(-weight)[:4] if weight[k] > 0.05]
        raise InputError(f"the model is not identified: the data do not tell {tables.listed(tied)} apart; fix one, or "
                         "leave one out")
    return theta[0], float(loglik[0]), notes


def uncertainty(description, rows, system, theta, blocks, places, options):
    """Covariance (k, k) of the parameters, and notes on it."""
    information = moments.likelihood(system, theta[None], blocks)[2][0]
    expected = np.linalg.inv(information)
    notes = []
    covariance = expected
    if system.means or rows.cluster is not None:
        step = 1e-3 * np.sqrt(np.diag(expected))
        observed = moments.observed_information(system, theta, blocks, step)
        if np.linalg.eigvalsh(observed / np.sqrt(np.outer(np.diag(information), np.diag(information))))[0] <= 0:
            notes.append("the likelihood is flat about the estimates; standard errors are those of the expected "
                         "information")
        else:
            covariance = np.linalg.inv(observed)
    if rows.cluster is not None:
        scores = cluster_scores(rows, system, theta, blocks)
        count = len(scores)
        covariance = covariance @ (scores.T @ scores * count / (count - 1)) @ covariance
        if count < FEW_CLUSTERS:
            notes.append(f"{count} clusters are few: standard errors, and intervals of a bootstrap, come out too small")
        if count <= theta.size:
            notes.append(f"{count} clusters do not reach the {theta.size} parameters; of several paths together, "
                         "tests are not to be had")
    if description.fixed:
        given = [k for (_, t), k in places.items() if t.given]
        covariance = covariance.copy()
        covariance[given] = 0.0
        covariance[:, given] = 0.0
    return covariance, notes


def cluster_scores(rows, system, theta, blocks):
    """Gradient of the log likelihood, summed over the rows of each cluster; (cluster, k)."""
    count = rows.cluster.max() + 1
    apart = [piece.weighed(np.eye(count)) for piece in tables.pieces(rows, rows.cluster)]
    if not system.means:  # deviations are from the mean of the group, not from that of the cluster
        middle = {b.group: b.mean[0] for b in blocks}
        away = [b.mean - middle[b.group] for b in apart]
        apart = [replace(b, cov=b.cov + d[:, :, None] * d[:, None, :]) for b, d in zip(apart, away)]
    return moments.likelihood(system, np.broadcast_to(theta, (count, theta.size)).copy(), apart)[1]


def spread_of_moments(rows, saturated):
    """Covariance of √N times the covariances of the data, all groups stacked, from what clusters add to them."""
    count, p = rows.cluster.max() + 1, len(rows.columns)
    i, j = np.tril_indices(p)
    sums = np.zeros((count, len(saturated) * i.size))
    for g, (mean, cov) in enumerate(saturated):
        mine = rows.group == g
        away = rows.values[mine] - mean
        each = (away[:, i] * away[:, j] - cov[i, j]) / mine.sum()
        np.add.at(sums[:, g * i.size:(g + 1) * i.size], rows.cluster[mine], each)
    return len(rows.values) * sums.T @ sums * count / (count - 1)


def tell(description, rows, system, theta, covariance, level):
    """The tables paths, indirect and r2."""
    step = 1e-4 * np.maximum(np.sqrt(np.diag(covariance)), 1e-6 * np.maximum(np.abs(theta), 1e-12))
    paths = quantities.path_table(description, rows.groups, rows.columns, means=system.means)

    def both(function):
        told, delta = [], []
        for which in (0, 1):
            told.append(function(theta[None])[which][0])
            slope = moments.derivative(lambda some, which=which: function(some)[which], theta, step)
            delta.append(np.sqrt(np.maximum(np.einsum("qk,kl,ql->q", slope, covariance, slope), 0.0)))
        return told, delta

    value, se = both(lambda some: quantities.path_values(description, system, some))
    free = np.array([t.value is None for t in quantities.described(description)] * len(rows.groups)
                    + [True] * (len(paths) - len(rows.groups) * len(quantities.described(description))))
    se[0][~free] = 0.0
    paths = judged(paths, value, se, level).assign(free=free)
    ways = quantities.effect_table(description, rows.groups)
    value, se = both(lambda some: quantities.effect_values(description, system, some, ways))
    indirect = judged(ways, value, se, level)
    indirect["sobel_se"] = quantities.sobel(ways, paths)
    with np.errstate(divide="ignore", invalid="ignore"):
        indirect["sobel_z"] = indirect["estimate"] / indirect["sobel_se"]
    indirect["sobel_p"] = 2 * norm.sf(np.abs(indirect["sobel_z"]))
    names = [n for n in layouts.names_of(description, rows.columns)
             if n in {t.arrow[1] for t in description.terms if t.op != "~~"}]
    value, se = both(lambda some: 2 * (explained(system, names, some),))
    r2 = pd.DataFrame([(g, n) for g in rows.groups for n in names], columns=["group", "variable"])
    half = norm.ppf(0.5 + level / 2) * se[0]
    r2 = r2.assign(r2=value[0], low=np.maximum(value[0] - half, np.minimum(value[0], 0)),
                   high=np.minimum(value[0] + half, np.maximum(value[0], 1)))
    return paths, indirect, r2


def explained(system, names, theta):
    """1 − residual variance / variance of each name in each group; (b, row)."""
    found = []
    for layout in system.layouts:
        _, s, _ = moments.matrices(layout, theta)
        whole, _ = moments.implied(layout, theta)
        here = [layout.names.index(n) for n in names]
        found.append(1 - s[:, here, here] / whole[:, here, here])
    return np.concatenate(found, 1)


def judged(table, value, se, level):
    """A table with estimates, standard errors, z, p and intervals, raw and standardised."""
    far = norm.ppf(0.5 + level / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(se[0] > 0, value[0] / se[0], np.nan)
    return table.assign(
        estimate=value[0], se=se[0], z=z, p=2 * norm.sf(np.abs(z)), low=value[0] - far * se[0],
        high=value[0] + far * se[0], standardized=value[1], std_se=se[1], std_low=value[1] - far * se[1],
        std_high=value[1] + far * se[1])


def residuals(rows, system, theta, saturated):
    """Correlations of the data less those of the model."""
    found = []
    p = len(rows.columns)
    for layout, (_, cov) in zip(system.layouts, saturated):
        whole = moments.implied(layout, theta[None])[0][0, :p, :p]
        away = [m / np.sqrt(np.outer(np.diag(m), np.diag(m))) for m in (cov, whole)]
        found.append(pd.DataFrame(away[0] - away[1], index=list(rows.columns), columns=list(rows.columns)))
    return found[0] if len(found) == 1 else pd.concat(dict(zip(rows.groups, found)), names=["group", "variable"])


def doubts(description, rows, system, theta, fit_, paths):
    """Sentences on what is doubtful."""
    notes = []
    if rows.dropped:
        notes.append(f"{rows.dropped} rows without a value are left out")
    if system.means:
        gone = np.isnan(rows.values).mean()
        notes.append(f"{100 * gone:.1f} % of the values are missing and taken as missing at random")
    if fit_["df"] == 0:
        notes.append("the model has no degrees of freedom: it fits whatever the data are, and nothing tests it")
    if fit_["n"] < FEW_ROWS * fit_["free"]:
        notes.append(f"{fit_['n']:.0f} rows are few for {fit_['free']:.0f} free parameters")
    negative = paths[(paths["op"] == "~~") & (paths["lval"] == paths["rval"]) & (paths["estimate"] < 0)]
    for row in negative.itertuples():
        notes.append(f"the variance of '{row.lval}'{f' in group {row.group}' if row.group else ''} is estimated as "
                     f"{row.estimate:.3g}, below 0: the model does not suit the data")
    if description.latent:
        for name, layout in zip(rows.groups, system.layouts):
            cov = moments.implied(layout, theta[None])[0][:, layout.columns:, layout.columns:]
            if not moments.definite(cov)[0]:
                notes.append(f"the covariances of the latent variables{f' in group {name}' if name else ''} are not "
                             "positive definite: two of them may be one")
    if description.cyclic():
        notes.append("paths lead back to where they start: there are totals, and no single routes")
    elif description.arrows and not quantities.routes(description):
        notes.append(f"there are more than {quantities.ROUTES} routes: only direct paths and sums are told")
    if rows.cluster is not None:
        notes.append("CFI, TLI, RMSEA and the criteria take rows as independent; chi2_scaled does not")
    return notes


def equality(result, *, op=None):
    """Whether paths are equal in all groups: χ² of the model with them equal less that without.

    result   PathModel with groups
    op       which terms: "~", or "=~"; default "~" where there are any
    returns  DataFrame: path ("all", then each alone), chi2, df, p
    raises   InputError without groups

    Jöreskog (1971).
    """
    if len(result.rows.groups) < 2:
        raise InputError("the model has one group; fit it with groups= to ask whether paths are equal")
    terms = [t for t in result.description.terms if t.value is None and not t.given]
    op = op or ("~" if any(t.op == "~" for t in terms) else "=~")
    chosen = [t for t in terms if t.op == op and (1, t) in result.places
              and result.places[0, t] != result.places[1, t]]
    tied = [t for t in terms if t.op in result.options["equal"]]
    found = []
    for name, some in [("all", chosen), *((str(t), [t]) for t in chosen)]:
        if not some:
            continue
        other = fitted(result.description, result.rows, tied + some, result.level, result.options, tests=False)
        away, df = other.fit["chi2"] - result.fit["chi2"], other.fit["df"] - result.fit["df"]
        found.append((name, max(away, 0.0), int(df), chi2.sf(max(away, 0.0), df)))
    return pd.DataFrame(found, columns=["path", "chi2", "df", "p"])


def compare(small, large):
    """Whether a model is worse than one that has it as a special case: difference of χ².

    small, large   PathModel of the same rows; small has fewer parameters
    returns        Series: chi2, df, p
    raises         InputError for other data, or where small is not the smaller one

    >>> import numpy as np, pandas as pd
    >>> x, e = np.random.default_rng(0).normal(size=(2, 200))
    >>> table = pd.DataFrame({"x": x, "y": 0.5 * x + e})
    >>> int(compare(fit("y ~ 0*x", table), fit("y ~ x", table))["df"])
    1
    """
    same = sorted(small.rows.columns) == sorted(large.rows.columns)
    if same:
        order = [large.rows.columns.index(name) for name in small.rows.columns]
        same = np.array_equal(small.rows.values, large.rows.values[:, order], equal_nan=True)
    if not same:
        raise InputError("the two models are of other columns or rows; fit both to the same data")
    df = small.fit["df"] - large.fit["df"]
    if df <= 0:
        raise InputError(f"the first model has {small.fit['df']:.0f} degrees of freedom, the second "
                         f"{large.fit['df']:.0f}; give the one with more first")
    away = max(small.fit["chi2"] - large.fit["chi2"], 0.0)
    return pd.Series({"chi2": away, "df": df, "p": chi2.sf(away, df)})
