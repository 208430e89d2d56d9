"""A fitted mixed model: its tables, what is doubtful about it, and its predictions."""

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from phenolib.errors import InputError
from phenolib.mixed_models import design as designs
from phenolib.mixed_models.gaussian import Linear, satterthwaite
from phenolib.mixed_models.laplace import EDGE, Generalised
from phenolib.mixed_models.layout import Layout

SINGULAR = 1e-4  # of the residual SD, or of the link's unit: a random SD below it is 0
LOOSE = 0.7  # standard error of the logarithm of an SD above which its interval comes from the profile
FEW = 5  # levels below which the variance between them is hardly known


class R2(NamedTuple):
    """Shares of variance that the fixed effects explain, and these with the random effects [-]."""

    marginal: float
    conditional: float


class Result:
    """A fitted (generalised) linear mixed model. ``phenolib.mixed_models.fit`` makes it.

    fixed          DataFrame: term, estimate, se, df (inf for a normal test), statistic (t or z), p, low, high
    random         DataFrame: group, effect, sd, low, high, variance; the linear model has a row 'residual'.
                   The interval is Wald's on the logarithm of the SD, near 0 the likelihood's profile; ``intervals``
                   has one from simulation
    correlations   DataFrame: group, first, second, correlation, low, high, of effects of one grouping
    r2             marginal and conditional R²
    icc            DataFrame: group, icc: share of the variance that is not explained, by grouping and in all
    loglik, aic, bic, n, method ("REML", "ML", "ML (Laplace)", …)
    groups         {grouping: number of levels}
    shape          (value, low, high) of the gamma's shape or the negative binomial's size, else None
    singular       True where a random variance is 0 or a correlation ±1
    converged      False where the search ended before the maximum
    notes          plain sentences on what is doubtful; dropped: rows left out for a missing value
    modes          DataFrame: group, level, effect, estimate, se: random effects given the data
    fitted         (n,) means with random effects, in the units of the response
    residuals      (n,) response − fitted; Pearson residuals, of variance 1, where the family is not gaussian
    """

    def __init__(self, design, family, *, reml=True, points=1, level=0.95, iterations=500, y=None, start=None,
                 details=True):
        self.design, self.family, self.level, self.points, self.iterations = design, family, level, points, iterations
        self.reml = bool(reml) and family.name == "gaussian"
        self.layout = Layout(design.terms, design.n)
        self.y = design.y if y is None else y
        self.estimate = self.engine().fit(start, iterations, details)
        if not (np.isfinite(self.estimate.beta).all() and np.isfinite(self.estimate.loglik)):
            raise InputError(f"'{design.formula}' has no estimates: the likelihood is not finite; use fewer terms, or "
                             "bring the predictors to a common size with standardize=True")
        if family.name == "gaussian" and self.estimate.scale < 1e-5 * np.std(self.y):
            raise InputError(f"'{design.formula}' leaves no residual: predictors and groups fit the response exactly; "
                             "use fewer of them")
        self.converged = bool(self.estimate.converged and self.estimate.definite)

    formula = property(lambda self: self.design.formula)
    n = property(lambda self: self.design.n)
    dropped = property(lambda self: self.design.dropped)
    loglik = property(lambda self: self.estimate.loglik)
    parameters = property(lambda self: self.design.x.shape[1] + len(self.layout.theta) + self.family.shaped)
    aic = property(lambda self: 2 * self.parameters - 2 * self.loglik)
    bic = property(lambda self: np.log(self.n) * self.parameters - 2 * self.loglik)
    groups = property(lambda self: {t.group: len(t.levels) for t in self.design.terms})

    @property
    def method(self):
        if self.family.name == "gaussian":
            return "REML" if self.reml else "ML"
        return "ML (Laplace)" if self.points == 1 else f"ML ({self.points}-point quadrature)"

    def again(self, y=None, *, reml=None, start=True, details=True):
        """The same model fitted to another response, or by another method."""
        return Result(self.design, self.family, reml=self.reml if reml is None else reml, points=self.points,
                      level=self.level, iterations=self.iterations, y=self.y if y is None else y, details=details,
                      start=self.estimate.parameters if start else None)

    @cached_property
    def fixed(self):
        se = np.sqrt(np.diag(self.estimate.covariance))
        return pd.DataFrame({"term": self.design.names, **self.tested(np.eye(len(se)))})

    def tested(self, contrasts, level=None):
        """Estimate, se, df, statistic, p, low, high of sums of fixed effects. contrasts (r, p) → dict of (r,)."""
        estimate = contrasts @ self.estimate.beta
        se = np.sqrt(np.einsum("rp,pq,rq->r", contrasts, self.estimate.covariance, contrasts))
        df = satterthwaite(self.estimate, contrasts) if self.family.name == "gaussian" else np.full(len(se), np.inf)
        half = stats.t.ppf(0.5 + (level or self.level) / 2, df) * se
        statistic = estimate / se
        return {"estimate": estimate, "se": se, "df": df, "statistic": statistic,
                "p": 2 * stats.t.sf(np.abs(statistic), df), "low": estimate - half, "high": estimate + half}

    def covariances(self, theta=None):
        """Covariance of the effects of each term, in the order of ``layout.terms``: list of (k, k)."""
        triangles = self.layout.triangles(self.estimate.theta if theta is None else theta)
        return [self.estimate.relative**2 * t @ t.T / np.outer(size, size)
                for t, size in zip(triangles, self.layout.sizes)][: len(self.layout.terms)]

    @cached_property
    def random(self):
        z, rows = stats.norm.ppf(0.5 + self.level / 2), []
        for term in self.design.terms:
            t = next(k for k, other in enumerate(self.layout.terms) if other is term)
            for a, effect in enumerate(term.effects):
                sd, se = float(np.sqrt(self.covariances()[t][a, a])), self.se_of_log_sd(t, a)
                if sd * self.layout.sizes[t][a] < SINGULAR * self.estimate.relative:
                    sd = 0.0
                low, high = (sd * np.exp(-z * se), sd * np.exp(z * se)) if sd and se < LOOSE else self.profile(t, a)
                rows.append((term.group, effect, sd, low, high, sd**2))
        if self.family.name == "gaussian":
            sd = self.estimate.scale
            spread = np.exp(z * np.sqrt(self.estimate.spread[-1, -1]) / sd)
            rows.append(("residual", "", sd, sd / spread, sd * spread, sd**2))
        return pd.DataFrame(rows, columns=["group", "effect", "sd", "low", "high", "variance"])

    def se_of_log_sd(self, t, a):
        """Standard error of the logarithm of a random SD, from that of θ (and of σ, which multiplies it)."""
        theta, spread = self.estimate.theta, self.estimate.spread
        row = [k for k, (s, b, _) in enumerate(self.layout.theta) if (s, b) == (t, a)]
        slope = np.zeros(len(spread))
        slope[row] = theta[row] / max(np.sum(theta[row] ** 2), 1e-300)
        if self.family.name == "gaussian":
            slope[-1] = 1 / self.estimate.scale
        return float(np.sqrt(slope @ spread @ slope))

    def profile(self, t, a):
        """Profile interval of a random SD near 0: to where the deviance, all else at its best, is larger by a χ².

        The effect is put first in its term, so that its SD is one number of θ. NaN where the fit did not converge.
        """
        from scipy.optimize import brentq

        if not self.estimate.converged:
            return np.nan, np.nan
        term = self.layout.terms[t]
        order = [a, *(k for k in range(len(term.effects)) if k != a)]
        turned = replace(term, effects=[term.effects[k] for k in order], z=term.z[:, order])
        engine = self.engine(Layout([turned if other is term else other for other in self.layout.terms], self.n))
        place = engine.layout.theta.index((next(k for k, x in enumerate(engine.layout.terms) if x is turned), 0, 0))
        best, rise = engine.search(None, self.iterations).value, stats.chi2.ppf(self.level, 1)

        def excess(value):
            return engine.search(None, self.iterations, held=(place, value)).value - best - rise

        size = self.estimate.relative / self.layout.sizes[t][a]
        here = np.sqrt(self.covariances()[t][a, a]) / size
        low = 0.0 if excess(0.0) < 0 else brentq(excess, 0, here, xtol=1e-4)
        high = 2 * max(here, 0.1)
        while excess(high) < 0 and high < 1e3:
            high *= 2
        return float(low * size), float(brentq(excess, here, high, xtol=1e-4) * size) if high < 1e3 else np.inf

    def engine(self, layout=None):
        layout = layout or self.layout
        if self.family.name == "gaussian":
            return Linear(self.design, layout, self.y, self.reml)
        return Generalised(self.design, layout, self.y, self.family, self.points)

    @cached_property
    def correlations(self):
        z, rows, theta = stats.norm.ppf(0.5 + self.level / 2), [], self.estimate.theta
        steps = 1e-6 * np.eye(len(theta))
        spread = np.zeros(0) if self.estimate.spread is None else self.estimate.spread[: len(theta), : len(theta)]
        for t, term in enumerate(self.layout.terms):
            for a in range(len(term.effects)):
                for b in range(a):
                    slope = np.array([self.angle(theta + s, t, a, b) - self.angle(theta - s, t, a, b) for s in steps])
                    value, half = self.angle(theta, t, a, b), z * np.sqrt(slope @ spread @ slope) / 2e-6
                    low, high = np.tanh([value - half, value + half]) if abs(np.tanh(value)) < 1 - 1e-6 else (-1.0, 1.0)
                    rows.append((term.group, term.effects[b], term.effects[a], np.tanh(value), low, high))
        return pd.DataFrame(rows, columns=["group", "first", "second", "correlation", "low", "high"])

    def angle(self, theta, t, a, b):
        """Fisher's z of the correlation of two effects of a term; 0 where one does not vary."""
        covariance = self.covariances(theta)[t]
        size = np.sqrt(covariance[a, a] * covariance[b, b])
        return np.arctanh(np.clip(covariance[a, b] / size, 1e-9 - 1, 1 - 1e-9)) if size > 0 else 0.0

    @property
    def shape(self):
        if self.family.name == "gaussian" or not self.family.shaped:
            return None
        if not self.estimate.free[-1]:  # at its edge, where it has a lower bound alone
            return self.estimate.scale, self.least_shape(), np.inf
        half = stats.norm.ppf(0.5 + self.level / 2) * np.sqrt(self.estimate.spread[-1, -1])
        return self.estimate.scale, self.estimate.scale * np.exp(-half), self.estimate.scale * np.exp(half)

    def least_shape(self):
        """Lower bound of a shape that is at its edge, from the likelihood's profile."""
        from scipy.optimize import brentq

        engine, rise = self.engine(), stats.chi2.ppf(self.level, 1)

        def excess(log):
            found = engine.search(self.estimate.parameters, self.iterations, held=(len(self.layout.theta), log))
            return found.value + 2 * self.loglik - rise

        return float(np.exp(brentq(excess, -EDGE / 2, EDGE, xtol=1e-3)))

    def variances(self):
        """Variance of the fixed part, of each random term, and within rows, on the scale of the link."""
        random = [float(np.mean(np.einsum("na,ab,nb->n", term.z, covariance, term.z)))
                  for term, covariance in zip(self.layout.terms, self.covariances())]
        mean = float(np.mean(self.y / self.design.trials))
        return (float(np.var(self.design.x @ self.estimate.beta, ddof=1)), random,
                self.family.level_variance(mean, self.estimate.scale))

    @property
    def r2(self):
        fixed, random, within = self.variances()
        total = fixed + sum(random) + within
        return R2(fixed / total, (fixed + sum(random)) / total)

    @property
    def icc(self):
        _, random, within = self.variances()
        total, by = sum(random) + within, {}
        for term, variance in zip(self.layout.terms, random):
            by[term.group] = by.get(term.group, 0.0) + variance / total
        rows = {group: by[group] for group in self.groups} | {"all": sum(by.values())}
        return pd.DataFrame({"group": list(rows), "icc": list(rows.values())})

    @property
    def singular(self):
        return bool(self.zeros())

    def zeros(self):
        """Groupings and effects whose part of the covariance is 0: list of (group, effect, correlated)."""
        found = []
        for value, (t, a, b) in zip(self.estimate.theta, self.layout.theta):
            if a == b and value < SINGULAR:
                sd = np.sqrt(self.covariances()[t][a, a]) * self.layout.sizes[t][a]
                found.append((self.layout.terms[t].group, self.layout.terms[t].effects[a],
                              bool(sd > SINGULAR * self.estimate.relative)))
        return found

    @cached_property
    def notes(self):
        said = []
        if self.dropped:
            said.append(f"{self.dropped} rows with missing values are left out; {self.n} are used.")
        if not self.design.terms:
            said.append("No groups are named: all rows are taken for independent.")
        for group, levels in self.groups.items():
            if levels < FEW:
                said.append(f"'{group}' has {levels} levels: the variance between them is hardly known; with so few, "
                            "take it for a fixed effect, or read its SD as a guess.")
        for group, effect, tied in self.zeros():
            said.append(f"Singular fit: the effects of '{group}' are correlated by ±1; leave out '{effect}' or the "
                        "correlation." if tied else f"Singular fit: the variance of '{effect}' between '{group}' is 0; "
                        "the data do not tell it from the rest.")
        if not self.estimate.converged:
            said.append(f"Not converged: {self.estimate.message}; estimates and errors are not to be trusted.")
        elif not self.estimate.definite:
            said.append("The likelihood is flat in some direction: standard errors are not to be trusted.")
        if self.shape and np.isinf(self.shape[2]):
            said.append(f"The {self.family.parameter} has no upper bound: "
                        + ("the counts vary no more than Poisson's; take family='poisson'."
                           if self.family.name == "negative_binomial" else "the response hardly varies."))
        if self.family.name == "binomial":
            if np.abs(self.design.x @ self.estimate.beta).max() > 15:
                said.append("Some probabilities are 0 or 1: a predictor separates the outcomes, and its estimate has "
                            "no bound.")
            small = [g for g, levels in self.groups.items() if self.design.trials.sum() / levels < 5]
            if self.points == 1 and small:
                said.append(f"'{small[0]}' has fewer than 5 trials a level: Laplace's approximation is rough there"
                            + ("; use points=9." if len(self.layout.terms) == 1 else "."))
        return said

    @cached_property
    def modes(self):
        rows, inverse = [], self.estimate.factor.inverse()
        for t, term in enumerate(self.layout.terms):
            k, size = len(term.effects), self.layout.sizes[t]
            triangle = self.layout.triangles(self.estimate.theta)[t] / size[:, None] * self.estimate.relative
            u = self.estimate.u[self.layout.starts[t] : self.layout.starts[t + 1]].reshape(-1, k)
            u = u / (self.estimate.relative if self.family.name == "gaussian" else 1)
            one = np.unique(term.codes, return_index=True)[1]  # a row of each level
            place = slice(self.layout.place[t], self.layout.place[t + 1])
            spread = triangle @ inverse[one][:, place, place] @ triangle.T
            table = pd.DataFrame({"group": term.group, "level": np.repeat(term.levels, k),
                                  "effect": term.effects * len(term.levels), "estimate": (u @ triangle.T).ravel(),
                                  "se": np.sqrt(np.einsum("lkk->lk", spread)).ravel()})
            rows.append((next(i for i, d in enumerate(self.design.terms) if d is term), table))
        empty = pd.DataFrame(columns=["group", "level", "effect", "estimate", "se"])
        return pd.concat([table for _, table in sorted(rows, key=lambda r: r[0])] or [empty], ignore_index=True)

    @cached_property
    def fitted(self):
        return self.units(self.family.mean(self.estimate.linear + self.design.offset))

    @cached_property
    def residuals(self):
        if self.family.name == "gaussian":
            return self.units(self.y) - self.fitted
        mu, trials = self.fitted, self.design.trials
        expected = mu * trials if self.family.name == "binomial" else mu
        return (self.y - expected) / np.sqrt(self.family.variance(mu, self.estimate.scale, trials))

    def units(self, value):
        """From the scale of the fit to the units of the response."""
        mean, sd = self.design.response_scale
        return mean + sd * value

    def predict(self, new, *, groups=False, level=None):
        """Mean of the response for other rows, with its interval.

        new      DataFrame with the predictors (and the offset); with ``groups`` also the grouping columns
        groups   False: of a typical group, random effects 0; True: of the groups named, which must be known
        level    of the interval; default that of the fit
        returns  DataFrame: mean, low, high in the units of the response (a probability for binomial), index of ``new``
        raises   InputError for a missing column, a level that the model has not seen, or a missing value

        The interval is that of the mean, not of a new observation. With groups it takes the variances for known. Of a
        response such as np.log(rld) it is the mean of the logarithm.
        """
        frame = designs.prepared(self.design, new)
        x = designs.rows_of(self.design.spec, frame)
        offset = frame[self.design.offset_name].to_numpy(float) if self.design.offset_name else 0.0
        level = level or self.level
        if not groups:
            found = self.tested(x, level)
            eta, low, high = found["estimate"], found["low"], found["high"]
        else:
            random, variance = self.random_rows(frame, new, x)
            eta = x @ self.estimate.beta + random
            half = stats.norm.ppf(0.5 + level / 2) * np.sqrt(variance)
            low, high = eta - half, eta + half
        return pd.DataFrame({name: self.units(self.family.mean(value + offset))
                             for name, value in (("mean", eta), ("low", low), ("high", high))}, index=new.index)

    def random_rows(self, frame, new, x):
        """Random part of other rows of known groups, and the variance of their linear predictor: (r,) each."""
        z = np.zeros((len(frame), self.layout.q))
        for t, term in enumerate(self.layout.terms):
            for name in term.columns:
                if name not in new:
                    raise InputError(f"the new table has no grouping column '{name}'; add it, or give groups=False")
            labels = designs.labels(new, term.columns)
            codes = pd.Index(term.levels).get_indexer(labels)
            if (codes < 0).any():
                raise InputError(f"'{labels.iloc[int(np.argmin(codes))]}' is no '{term.group}' of the fit; give "
                                 "groups=False for a typical one")
            rows = designs.rows_of(term.spec, frame) / self.layout.sizes[t]
            k = len(term.effects)
            loaded = rows @ self.layout.triangles(self.estimate.theta)[t]
            for a in range(k):
                z[np.arange(len(z)), self.layout.starts[t] + codes * k + a] = loaded[:, a]
        weight = None
        if self.family.name != "gaussian":
            weight = self.family.derivatives(self.y, self.estimate.linear + self.design.offset, self.estimate.scale,
                                             self.design.trials)[1]
        matrix = self.layout.matrix(self.estimate.values)
        weighted = self.design.x if weight is None else self.design.x * weight[:, None]
        inside = self.estimate.factor.solve(matrix.T @ weighted)  # how the modes follow β
        rest = x - z @ inside
        variance = (self.estimate.relative**2 * np.einsum("rq,qr->r", z, self.estimate.factor.solve(z.T.copy()))
                    + np.einsum("rp,pq,rq->r", rest, self.estimate.covariance, rest))
        return z @ self.estimate.u, variance

    def simulate(self, draws, *, seed=0):
        """Responses of the fitted model with new random effects: (draws, n), in the scale of the fit."""
        rng = np.random.default_rng(seed)
        matrix = self.layout.matrix(self.estimate.values) * self.estimate.relative
        fixed = self.design.x @ self.estimate.beta + self.design.offset
        found = np.empty((draws, self.n))
        for k in range(draws):
            mu = self.family.mean(fixed + matrix @ rng.normal(size=self.layout.q))
            found[k] = self.family.draw(rng, mu, self.estimate.scale, self.design.trials)
        return found

    def terms(self):
        """A joint test of all coefficients of each term, e.g. of a factor with three levels.

        returns  DataFrame: term, ndf, ddf, statistic, p: F with Satterthwaite's degrees of freedom for the linear
                 model, as in lmerTest (Fai & Cornelius 1996); else Wald's χ², ddf inf

        A main effect beside its interaction is that at the zero of the other predictor, or at its first level.
        """
        rows = []
        for name, places in self.design.slices.items():
            if name == "1":
                continue
            covariance = self.estimate.covariance[np.ix_(places, places)]
            beta = self.estimate.beta[places]
            wald = float(beta @ np.linalg.solve(covariance, beta))
            q = len(places)
            if self.family.name != "gaussian":
                rows.append((name, q, np.inf, wald, stats.chi2.sf(wald, q)))
                continue
            roots, axes = np.linalg.eigh(covariance)
            contrasts = np.zeros((q, len(self.estimate.beta)))
            contrasts[:, places] = axes.T
            df = satterthwaite(self.estimate, contrasts)
            ddf = df[0] if q == 1 else 2.0
            if q > 1 and (df > 2).all():
                expected = np.sum(df / (df - 2))
                ddf = float(df.mean()) if np.ptp(df) < 1e-6 * df.mean() else 2 * expected / (expected - q)
            rows.append((name, q, ddf, wald / q, stats.f.sf(wald / q, q, ddf)))
        return pd.DataFrame(rows, columns=["term", "ndf", "ddf", "statistic", "p"])

    def __repr__(self):
        groups = ", ".join(f"{name} ({levels})" for name, levels in self.groups.items()) or "none"
        lines = [f"{self.formula}   {self.family.name}, {self.method}", f"rows {self.n}; groups {groups}", "",
                 self.fixed.to_string(index=False, float_format="{:.4g}".format), ""]
        if self.design.terms:
            lines += [self.random.to_string(index=False, float_format="{:.4g}".format), ""]
        lines.append(f"R² marginal {self.r2.marginal:.3f}, conditional {self.r2.conditional:.3f}; "
                     f"log-likelihood {self.loglik:.2f}, AIC {self.aic:.2f}, BIC {self.bic:.2f}")
        return "\n".join([*lines, *self.notes])
