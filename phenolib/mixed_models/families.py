"""The distributions of a response and their links: likelihood, its derivatives, variance and draws.

Each family works on the linear predictor η. With ℓ(η) the log-likelihood of one row,

    s = dℓ/dη,   w = −d²ℓ/dη²,   v = dw/dη

are what the mode of the random effects and the gradient of Laplace's approximation need. All w are positive, so that
the mode is unique.
"""

import numpy as np
from scipy.special import expit, gammaln, polygamma, psi

from phenolib.errors import InputError, near

FAR = 40.0  # |η| beyond which exp(η) would leave the numbers


def family(name):
    """The family of a name.

    raises  InputError for a name that is not there
    """
    known = {f.name: f for f in (Gaussian, Gamma, Binomial, Poisson, NegativeBinomial)}
    if str(name).lower() not in known:
        raise InputError(f"family '{name}' is not known{near(name, known)}")
    return known[str(name).lower()]()


def refuse(bad, response, rule):
    """One line on the first row that a family cannot hold. bad (n,) True where the response breaks the rule."""
    if bad.any():
        raise InputError(f"the response '{response}' breaks the rule in {int(bad.sum())} rows, first in row "
                         f"{int(np.flatnonzero(bad)[0])}: {rule}")


class Gaussian:
    """y = η + ε with ε ~ N(0, σ²); fitted by its own profiled likelihood, see ``gaussian``."""

    name, link, shaped, parameter = "gaussian", "identity", True, "residual SD"

    def check(self, y, trials, response):
        pass

    def mean(self, eta):
        return np.asarray(eta, float)

    def slope(self, eta):
        return np.ones_like(np.asarray(eta, float))

    def variance(self, mu, scale, trials):
        return np.full_like(mu, scale**2)

    def draw(self, rng, mu, scale, trials):
        return rng.normal(mu, scale)

    def level_variance(self, mean, scale):
        return scale**2


class Log:
    """What families with the logarithm as their link share; the mean is e^η."""

    link = "log"

    def mean(self, eta):
        return np.exp(np.clip(eta, -FAR, FAR))

    slope = mean


class Gamma(Log):
    """y ~ Gamma with the mean μ = e^η and the shape ν: variance μ²/ν."""

    name, shaped, parameter = "gamma", True, "shape"

    def check(self, y, trials, response):
        refuse(~(y > 0), response, "the gamma family needs numbers above 0; leave zeros out or model them apart")

    def start(self, y, mu):
        return 1 / max(np.mean((y / mu - 1) ** 2), 1e-4)

    def loglik(self, y, eta, nu, trials):
        eta = np.clip(eta, -FAR, FAR)
        return nu * (np.log(nu * y) - eta) - np.log(y) - nu * y * np.exp(-eta) - gammaln(nu)

    def derivatives(self, y, eta, nu, trials):
        ratio = nu * y / self.mean(eta)
        return ratio - nu, ratio, -ratio

    def shape_derivatives(self, y, eta, nu, trials):
        "dℓ, ds and dw by log ν."
        ratio = y / self.mean(eta)
        return nu * (np.log(nu * ratio) + 1 - ratio - psi(nu)), nu * (ratio - 1), nu * ratio

    def variance(self, mu, nu, trials):
        return mu**2 / nu

    def draw(self, rng, mu, nu, trials):
        return np.maximum(rng.gamma(nu, mu / nu), np.finfo(float).tiny)

    def level_variance(self, mean, nu):
        return float(polygamma(1, nu))  # variance of log y, Nakagawa et al. (2017)


class Poisson(Log):
    """y ~ Poisson with the mean μ = e^η."""

    name, shaped, parameter = "poisson", False, ""

    def check(self, y, trials, response):
        refuse((y < 0) | (y != np.round(y)), response, f"the {self.name} family needs counts: 0, 1, 2, …")

    def loglik(self, y, eta, shape, trials):
        eta = np.clip(eta, -FAR, FAR)
        return y * eta - np.exp(eta) - gammaln(y + 1)

    def derivatives(self, y, eta, shape, trials):
        mu = self.mean(eta)
        return y - mu, mu, mu

    def variance(self, mu, shape, trials):
        return mu

    def draw(self, rng, mu, shape, trials):
        return rng.poisson(mu).astype(float)

    def level_variance(self, mean, shape):
        return float(np.log1p(1 / mean))


class NegativeBinomial(Poisson):
    """Counts with the mean μ = e^η and the variance μ + μ²/k (NB2)."""

    name, shaped, parameter = "negative_binomial", True, "size"

    def start(self, y, mu):
        return 1 / np.clip(np.mean((y - mu) ** 2 - mu) / np.mean(mu**2), 1e-2, 1e2)

    def loglik(self, y, eta, k, trials):
        mu = self.mean(eta)
        return (gammaln(y + k) - gammaln(k) - gammaln(y + 1) - k * np.log1p(mu / k)
                + y * (np.clip(eta, -FAR, FAR) - np.log(k + mu)))

    def derivatives(self, y, eta, k, trials):
        mu = self.mean(eta)
        w = k * mu * (k + y) / (k + mu) ** 2
        return k * (y - mu) / (k + mu), w, w * (k - mu) / (k + mu)

    def shape_derivatives(self, y, eta, k, trials):
        "dℓ, ds and dw by log k."
        mu = self.mean(eta)
        slope = psi(y + k) - psi(k) - np.log1p(mu / k) + (mu - y) / (k + mu)
        return (k * slope, k * mu * (y - mu) / (k + mu) ** 2,
                k * mu * ((2 * k + y) * (k + mu) - 2 * k * (k + y)) / (k + mu) ** 3)

    def variance(self, mu, k, trials):
        return mu + mu**2 / k

    def draw(self, rng, mu, k, trials):
        return rng.poisson(rng.gamma(k, mu / k)).astype(float)

    def level_variance(self, mean, k):
        return float(np.log1p(1 / mean + 1 / k))


class Binomial:
    """y successes of m trials, with the probability p = 1 / (1 + e^−η)."""

    name, link, shaped, parameter = "binomial", "logit", False, ""

    def check(self, y, trials, response):
        refuse((y < 0) | (y > trials) | (y != np.round(y)), response,
               "the binomial family needs 0 or 1, or with trials='column' whole successes from 0 to the trials")

    def mean(self, eta):
        return expit(eta)

    def slope(self, eta):
        return expit(eta) * expit(-np.asarray(eta))

    def loglik(self, y, eta, shape, trials):
        ways = gammaln(trials + 1) - gammaln(y + 1) - gammaln(trials - y + 1)
        return ways + y * eta - trials * np.logaddexp(0, eta)

    def derivatives(self, y, eta, shape, trials):
        p, q = expit(eta), expit(-eta)
        return y - trials * p, trials * p * q, trials * p * q * (q - p)

    def variance(self, mu, shape, trials):
        return trials * mu * (1 - mu)

    def draw(self, rng, mu, shape, trials):
        return rng.binomial(trials.astype(int), mu).astype(float)

    def level_variance(self, mean, shape):
        return np.pi**2 / 3  # of the logistic distribution
