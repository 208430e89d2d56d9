"""The linear mixed model by its profiled likelihood, and Satterthwaite's degrees of freedom."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from phenolib.mixed_models.estimate import Estimate, curvature, improve, positive_inverse
from phenolib.mixed_models.layout import Factor


class Linear:
    """Deviance of y = Xβ + Zb + ε for covariances relative to σ², with β and σ at their best.

    With Λ of the parameters θ, C = ΛᵀZᵀZΛ + I, V = I + ZΛΛᵀZᵀ and r² = min ‖y − Xβ − ZΛu‖² + ‖u‖²,

        ML    d(θ) = log|C| + n (1 + log(2π r²/n))
        REML  d(θ) = log|C| + log|XᵀV⁻¹X| + (n − p)(1 + log(2π r²/(n − p)))

    Bates et al. (2015), Journal of Statistical Software 67(1), sections 3.4 and 3.5. X is made orthonormal first.
    """

    def __init__(self, design, layout, y, reml):
        self.layout, self.reml = layout, reml
        self.basis, self.upper = np.linalg.qr(design.x)  # X = QR
        self.y = y - design.offset
        self.n, self.p = design.x.shape
        self.k = self.n - self.p if reml else self.n
        self.constant = 2 * np.log(np.abs(np.diag(self.upper))).sum() if reml else 0.0

    def at(self, theta):
        """All that a deviance, its gradient and the estimates need at θ."""
        layout, values = self.layout, self.layout.values(theta)
        matrix = layout.matrix(values)
        factor = Factor(layout, values)
        right = matrix.T @ np.column_stack([self.basis, self.y])
        solved = factor.solve(right)
        inside, solved_y = solved[:, :-1], solved[:, -1]  # C⁻¹MᵀQ (q, p), C⁻¹Mᵀy (q,)
        information = np.eye(self.p) - right[:, :-1].T @ inside
        chol = cho_factor(information, lower=True)
        gamma = cho_solve(chol, self.basis.T @ self.y - right[:, :-1].T @ solved_y)
        u = solved_y - inside @ gamma
        linear = self.basis @ gamma + matrix @ u
        error = self.y - linear
        return {"values": values, "matrix": matrix, "factor": factor, "inside": inside, "chol": chol, "gamma": gamma,
                "u": u, "linear": linear, "error": error, "r2": error @ error + u @ u}

    def deviance(self, theta):
        """−2 log L at θ, σ and β profiled out, and its gradient."""
        here = self.at(theta)
        logs, slope_r2 = self.slopes(here)
        value = here["factor"].logdet + self.k * (1 + np.log(2 * np.pi * here["r2"] / self.k)) + self.constant
        if self.reml:
            value += 2 * np.log(np.diag(here["chol"][0])).sum()
        return value, logs + self.k / here["r2"] * slope_r2

    def slopes(self, here):
        """Derivatives by θ of the logarithms of the determinants, and of r²; (m,) each."""
        layout = self.layout
        leverage = np.einsum("ikl,il->ik", here["factor"].inverse(), here["values"])  # rows of MC⁻¹, filled columns
        outside = self.basis - here["matrix"] @ here["inside"]  # V⁻¹Q
        weighted = cho_solve(here["chol"], outside.T).T
        logs, r2 = np.zeros(len(layout.theta)), np.zeros(len(layout.theta))
        for j in range(len(layout.theta)):
            column, z = layout.column(j)
            logs[j] = 2 * z @ leverage[:, column]
            if self.reml:
                logs[j] -= 2 * np.sum(weighted * layout.along(j, here["inside"]))
            r2[j] = -2 * here["error"] @ layout.along(j, here["u"])
        return logs, r2

    def unprofiled(self, theta, sigma):
        """Gradient of the deviance by θ and σ, σ no longer profiled out."""
        here = self.at(theta)
        logs, r2 = self.slopes(here)
        return np.append(logs + r2 / sigma**2, 2 * self.k / sigma - 2 * here["r2"] / sigma**3)

    def search(self, start, most, *, polish=True, held=None):
        """The smallest deviance, ``estimate.Found``; held (place in θ, value) keeps one number where it is."""
        diagonal = self.layout.diagonal
        start = diagonal.astype(float) if start is None else start[: len(diagonal)]
        return improve(self.deviance, start, diagonal, most, polish=polish, held=held)

    def fit(self, start=None, most=500, details=True):
        """The Estimate with the smallest deviance."""
        found = self.search(start, most, polish=details)
        theta, here = found.x, self.at(found.x)
        sigma = np.sqrt(here["r2"] / self.k)
        inverse = np.linalg.inv(self.upper)
        half = inverse @ cho_solve(here["chol"], np.eye(self.p))
        estimate = Estimate(
            beta=inverse @ here["gamma"], covariance=sigma**2 * half @ inverse.T, theta=theta, scale=sigma,
            u=here["u"], factor=here["factor"], values=here["values"], linear=here["linear"], relative=sigma,
            loglik=-found.value / 2, converged=found.converged, message=found.message, parameters=np.append(theta, 0))
        if details:
            slope = curvature(lambda x: self.unprofiled(x[:-1], x[-1]), np.append(theta, sigma))
            estimate.free = np.append(free(self.layout, theta), True)
            estimate.spread = positive_inverse(slope / 2, estimate.free)  # of (θ, σ)
            estimate.moves = self.moves(here, sigma, half, inverse)
        return estimate

    def moves(self, here, sigma, half, inverse):
        """Derivatives of the covariance of β by θ and σ: (m + 1, p, p)."""
        outside = self.basis - here["matrix"] @ here["inside"]
        found = []
        for j in range(len(self.layout.theta)):
            change = outside.T @ self.layout.along(j, here["inside"])  # (p, p)
            found.append(sigma**2 * half @ (change + change.T) @ half.T)
        return np.stack([*found, 2 * sigma * half @ inverse.T])


def free(layout, theta, least=1e-4):
    """Which parameters are not held by a variance of 0: (m,) bool."""
    zero = {(t, b) for value, (t, a, b) in zip(theta, layout.theta) if a == b and value < least}
    return np.array([a != b or (t, b) not in zero for t, a, b in layout.theta], bool)


def satterthwaite(estimate, contrasts):
    """Degrees of freedom of t-tests of cᵀβ = 0. contrasts (r, p) → (r,)

        ν = 2 f² / (gᵀ A g),   f = cᵀ Cov(β) c,   g = ∂f/∂(θ, σ),   A = Cov(θ, σ)

    Satterthwaite (1946); as in lmerTest, Kuznetsova et al. (2017), Journal of Statistical Software 82(13).
    """
    variance = np.einsum("rp,pq,rq->r", contrasts, estimate.covariance, contrasts)
    slope = np.einsum("rp,jpq,rq->rj", contrasts, estimate.moves, contrasts)
    return 2 * variance**2 / np.einsum("rj,jk,rk->r", slope, estimate.spread, slope)
