"""What an optimiser found, and how it got there."""

from dataclasses import dataclass

import numpy as np

FAR = 1e5  # a random SD beyond it, in units of the residual or the link, is none
GAIN = 1e-7  # of the deviance that one more step of Newton may promise, at the end


@dataclass
class Found:
    """The end of a search: x, the deviance there, whether it converged, and in words if not."""

    x: np.ndarray
    value: float
    converged: bool
    message: str


@dataclass
class Estimate:
    """One fitted model, in the units of the design. Row order as in the data; p fixed effects, q random ones.

    beta, covariance   (p,), (p, p)
    theta              (m,) parameters of the covariance of the random effects, see ``layout``
    scale              residual SD, or the shape of the family, or 1
    relative           what the random SDs of θ are multiplied by: σ in the linear model, else 1
    u, factor, values  modes of the standard normal random effects, and the equations they solve
    linear             (n,) linear predictor with random effects, without the offset
    parameters         where a new search can start
    spread             covariance of (θ, σ), or of (θ, log shape); ``moves`` the derivatives of the covariance of β
    """

    beta: np.ndarray
    covariance: np.ndarray
    theta: np.ndarray
    scale: float
    relative: float
    u: np.ndarray
    factor: object
    values: np.ndarray
    linear: np.ndarray
    loglik: float
    converged: bool
    message: str
    parameters: np.ndarray
    free: np.ndarray | None = None
    spread: np.ndarray | None = None
    moves: np.ndarray | None = None
    definite: bool = True


def improve(deviance, start, diagonal, most, *, wide=None, polish=True, held=None):
    """The smallest deviance: quasi-Newton steps within bounds, then steps of Newton.

    A standard deviation of 0 is a stationary point of any deviance, so a search that ends there starts once more from
    a distance; the better end counts.

    deviance  x → value, gradient
    start     (m,)
    diagonal  (m,) True where x is a standard deviation, which is not below 0
    most      iterations at most
    wide      (m,) largest size of what is no standard deviation; default without bound
    polish    False: without the steps of Newton where the search ends well, for draws by the hundred
    held      (place, value) of a number that is not moved
    """
    if not len(start):
        return Found(np.asarray(start), float(deviance(start)[0]), True, "")
    start = np.where(diagonal, np.maximum(start, 0.1), start)
    wide = np.full(len(start), np.inf) if wide is None else wide
    low, high = np.where(diagonal, 0.0, -wide), np.where(diagonal, FAR, wide)
    if held is not None:
        start[held[0]] = low[held[0]] = high[held[0]] = held[1]
    if (low == high).all():
        return Found(start, float(deviance(start)[0]), True, "")
    found = descend(deviance, start, low, high, most, polish)
    zero = diagonal & (found.x < 1e-3) & (low < high)
    if zero.any():
        again = descend(deviance, np.where(zero, 0.3, found.x), low, high, most, polish)
        found = again if again.value < found.value else found
    return found


def descend(deviance, start, low, high, most, polish):
    """One search of ``improve``."""
    from scipy.optimize import minimize

    bounds = [(a if np.isfinite(a) else None, b if np.isfinite(b) else None) for a, b in zip(low, high)]
    end = minimize(deviance, start, jac=True, bounds=bounds, method="L-BFGS-B",
                   options={"maxiter": most, "maxfun": 20 * most, "ftol": 1e-13, "gtol": 1e-5, "maxcor": 20})
    x, value = end.x, float(end.fun)
    if end.status == 1:  # out of iterations
        return Found(x, value, False, f"no minimum after {end.nit} iterations")
    if not polish and end.status == 0:
        return Found(x, value, True, "")
    for _ in range(4):
        slope = deviance(x)[1]
        loose = (x > low + 1e-4) & (x < high - 1e-4)
        if not loose.any():
            return Found(x, value, True, "")
        bend = curvature(lambda v: deviance(v)[1], x)[np.ix_(loose, loose)]
        roots, axes = np.linalg.eigh(bend)
        if roots.min() <= 0:
            return Found(x, value, bool(np.abs(slope[loose]).max() < 1e-2), "the deviance has no clear minimum")
        step = axes @ ((axes.T @ slope[loose]) / roots)
        gain = float(slope[loose] @ step) / 2
        trial = x.copy()
        trial[loose] = np.clip(x[loose] - step, low[loose], high[loose])
        if gain > GAIN and (new := float(deviance(trial)[0])) <= value:
            x, value = trial, new
            continue
        return Found(x, value, gain < 1e-3, "" if gain < 1e-3 else f"the deviance could still fall by about {gain:.2g}")
    return Found(x, value, False, "the last steps still lowered the deviance")


def curvature(gradient, x, step=1e-4):
    """Derivatives of a gradient by central differences, made symmetric: (m, m)."""
    found = np.empty((len(x),) * 2)
    for j in range(len(x)):
        away = np.zeros(len(x))
        away[j] = step * max(abs(x[j]), 0.1)
        found[j] = (gradient(x + away) - gradient(x - away)) / (2 * away[j])
    return (found + found.T) / 2


def positive_inverse(matrix, free=None):
    """Inverse over the directions of positive curvature; what is not free has no spread."""
    free = np.ones(len(matrix), bool) if free is None else free
    found = np.zeros_like(matrix)
    if free.any():
        roots, axes = np.linalg.eigh(matrix[np.ix_(free, free)])
        good = roots > 1e-8 * max(roots.max(), 1e-300)
        found[np.ix_(free, free)] = (axes[:, good] / roots[good]) @ axes[:, good].T
    return found
