"""The generalised linear mixed model: Laplace's approximation, or adaptive quadrature for one random intercept."""

import numpy as np
from numpy.polynomial.hermite import hermgauss
from scipy.special import logsumexp

from phenolib.errors import InputError
from phenolib.mixed_models.estimate import Estimate, curvature, improve, positive_inverse
from phenolib.mixed_models.gaussian import free
from phenolib.mixed_models.layout import Factor

STEP = 1e-4  # of the parameters, for the gradient of the quadrature
EDGE = 12.0  # of the logarithm of a shape: beyond it a negative binomial is a Poisson distribution


class Generalised:
    """Deviance of g(E y) = Xβ + Mu + offset, u ~ N(0, I), as a function of β, θ and the logarithm of the shape.

    With h(u) = Σ ℓ(yᵢ | ηᵢ) − ½ uᵀu, its mode û and H = MᵀWM + I there, W the observed −ℓ'',

        log L ≈ h(û) − ½ log|H|

    All parameters are searched together, with the exact gradient of the approximation; standard errors come from its
    curvature, so that they include what the covariances and the shape are uncertain by, as in glmmTMB. With more than
    one point, each group's integral is taken by Gauss-Hermite quadrature about its own mode (Pinheiro & Bates 1995).

    points  of the quadrature in each group; 1 is Laplace's approximation
    """

    def __init__(self, design, layout, y, family, points=1):
        self.layout, self.family, self.y, self.points = layout, family, y, int(points)
        self.offset, self.trials = design.offset, design.trials
        self.n, self.p = design.x.shape
        basis, upper = np.linalg.qr(design.x)
        self.basis, self.upper = basis * np.sqrt(self.n), upper / np.sqrt(self.n)
        self.m = len(layout.theta)
        self.u = np.zeros(layout.q)
        if self.points > 1 and (len(layout.terms) != 1 or layout.cols.shape[1] != 1):
            raise InputError(f"points = {points} needs one grouping with one effect; use points=1, Laplace's "
                             "approximation, for several")

    def parts(self, x):
        shape = float(np.exp(np.clip(x[-1], -EDGE, EDGE))) if self.family.shaped else 1.0
        return x[: self.p], x[self.p : self.p + self.m], shape

    def mode(self, fixed, values, shape):
        """The mode of u, by Newton's steps from the last one: u, η, H as a Factor."""
        matrix, u = self.layout.matrix(values), self.u

        def height(u):
            eta = fixed + matrix @ u
            return eta, self.family.loglik(self.y, eta, shape, self.trials).sum() - u @ u / 2

        eta, value = height(u)
        for _ in range(100):
            s, w, _ = self.family.derivatives(self.y, eta, shape, self.trials)
            slope = matrix.T @ s - u
            step = Factor(self.layout, values, w).solve(slope)
            gain = slope @ step
            for _ in range(30):
                eta_new, value_new = height(u + step)
                if value_new >= value - 1e-12 * abs(value):
                    break
                step = step / 2
            u, eta, value = u + step, eta_new, value_new
            if gain < 1e-9:  # what is left is of the order of its square
                break
        factor = Factor(self.layout, values, self.family.derivatives(self.y, eta, shape, self.trials)[1])
        self.u = u if np.isfinite(u).all() else np.zeros_like(u)
        return matrix, u, eta, value, factor

    def deviance(self, x):
        """−2 log L and its gradient."""
        if self.points > 1:
            value = self.quadrature(x)
            return value, np.array([(self.quadrature(x + e) - self.quadrature(x - e)) / (2 * STEP)
                                    for e in STEP * np.eye(len(x))])
        gamma, theta, shape = self.parts(x)
        values = self.layout.values(theta)
        matrix, u, eta, value, factor = self.mode(self.basis @ gamma + self.offset, values, shape)
        s, w, v = self.family.derivatives(self.y, eta, shape, self.trials)
        rows = np.einsum("ikl,il->ik", factor.inverse(), values)  # of MH⁻¹, filled columns
        leverage = np.einsum("ik,ik->i", rows, values)
        bend = leverage * v
        pull = factor.solve(matrix.T @ bend)  # through the mode, which moves with the parameters
        direct = bend - w * (matrix @ pull)
        slope = np.empty(len(x))
        slope[: self.p] = self.basis.T @ (s - direct / 2)
        for j in range(self.m):
            column, z = self.layout.column(j)
            moved = self.layout.along(j, u)
            slope[self.p + j] = (s @ moved - (w * z) @ rows[:, column]
                                 - (direct @ moved + s @ self.layout.along(j, pull)) / 2)
        if self.family.shaped:
            by, s_by, w_by = self.family.shape_derivatives(self.y, eta, shape, self.trials)
            slope[-1] = by.sum() - (leverage @ w_by + (matrix @ pull) @ s_by) / 2
        return -2 * (value - factor.logdet / 2), -2 * slope

    def quadrature(self, x):
        """−2 log L by Gauss-Hermite points about the mode of each group."""
        gamma, theta, shape = self.parts(x)
        values, fixed = self.layout.values(theta), self.basis @ gamma + self.offset
        _, u, _, _, factor = self.mode(fixed, values, shape)
        point, weight = hermgauss(self.points)
        spread = np.sqrt(factor.block[:, 0, 0])
        at = u[:, None] + np.sqrt(2) * spread[:, None] * point  # (group, point)
        eta = fixed[:, None] + values * at[self.layout.first]
        each = self.family.loglik(self.y[:, None], eta, shape, self.trials[:, None])
        log = np.stack([np.bincount(self.layout.first, e, self.layout.levels) for e in each.T], 1) - at**2 / 2
        return -2 * (logsumexp(log + point**2, axis=1, b=weight) + np.log(spread / np.sqrt(np.pi))).sum()

    def start(self):
        """Where to begin: the model without random effects, random SDs of 0.5."""
        gamma = np.zeros(self.p)
        middle = (self.y.sum() + 0.5) / (self.trials.sum() + 1)
        level = np.log(middle / (1 - middle)) if self.family.link == "logit" else np.log(max(self.y.mean(), 1e-8))
        gamma += np.linalg.lstsq(self.basis, np.full(self.n, level), rcond=None)[0]
        for _ in range(50):
            eta = self.basis @ gamma + self.offset
            s, w, _ = self.family.derivatives(self.y, eta, 1.0, self.trials)
            step = np.linalg.solve(self.basis.T @ (w[:, None] * self.basis) + 1e-8 * np.eye(self.p), self.basis.T @ s)
            gamma = gamma + step * min(1, 3 / max(np.abs(self.basis @ step).max(), 1e-12))
            if np.abs(step).max() < 1e-6:
                break
        mu = self.family.mean(self.basis @ gamma + self.offset)
        shape = [np.log(self.family.start(self.y, mu))] if self.family.shaped else []
        return np.concatenate([gamma, np.where(self.layout.diagonal, 0.5, 0.0), shape])

    def search(self, start, most, *, polish=True, held=None):
        """The smallest deviance, ``estimate.Found``; held (place in θ, value) keeps one number where it is."""
        start = self.start() if start is None else start
        diagonal = np.zeros(len(start), bool)
        diagonal[self.p : self.p + self.m] = self.layout.diagonal
        wide = np.full(len(start), np.inf)
        if self.family.shaped:
            wide[-1] = EDGE
        held = None if held is None else (self.p + held[0], held[1])
        return improve(self.deviance, start, diagonal, most, wide=wide, polish=polish, held=held)

    def fit(self, start=None, most=500, details=True):
        """The Estimate with the largest likelihood."""
        found = self.search(start, most, polish=details)
        gamma, theta, shape = self.parts(found.x)
        values = self.layout.values(theta)
        _, u, eta, _, factor = self.mode(self.basis @ gamma + self.offset, values, shape)
        inverse = np.linalg.inv(self.upper)
        estimate = Estimate(
            beta=inverse @ gamma, covariance=np.full((self.p,) * 2, np.nan), theta=theta, scale=shape, relative=1.0,
            u=u, factor=factor, values=values, linear=eta - self.offset, loglik=-found.value / 2,
            converged=found.converged, message=found.message, parameters=found.x)
        if details:
            step = 1e-4 if self.points == 1 else 1e-2  # further apart where the gradient is one of differences
            slope = curvature(lambda x: self.deviance(x)[1], found.x, step) / 2
            loose = np.ones(len(found.x), bool)
            loose[self.p : self.p + self.m] = free(self.layout, theta)
            loose[-1] &= not self.family.shaped or abs(found.x[-1]) < EDGE - 1e-4
            roots = np.linalg.eigvalsh(slope[np.ix_(loose, loose)])
            estimate.definite = bool(roots.min() > 1e-8 * roots.max())
            spread = positive_inverse(slope, loose)
            estimate.covariance = inverse @ spread[: self.p, : self.p] @ inverse.T
            estimate.free, estimate.spread = loose[self.p :], spread[self.p :, self.p :]
        return estimate
