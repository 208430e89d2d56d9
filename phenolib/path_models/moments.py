"""The moments that a model implies, their likelihood, and the estimates that make it largest; many data sets at once.

Every array may have data sets (draws of a bootstrap) as leading dimension; b stands for it in comments.
"""

from dataclasses import dataclass

import numpy as np

STEPS = 100  # at most, of Fisher scoring
ENOUGH = 1e-11  # χ² that is still to be gained where the estimates are taken as found
SINGULAR = 1e-9  # smallest eigenvalue of a correlation or of the scaled information that counts as not 0


@dataclass(frozen=True)
class Block:
    """Rows of one group that have values in the same columns.

    group   which
    seen    (o,) places of these columns among the columns of the model
    n       (b,) rows
    mean    (b, o)
    cov     (b, o, o) with divisor n
    scale   (o,) SDs of the columns, so that rounding errors do not depend on units
    """

    group: int
    seen: np.ndarray
    n: np.ndarray
    mean: np.ndarray
    cov: np.ndarray
    scale: np.ndarray

    def take(self, which):
        """The block of some of the data sets."""
        return Block(self.group, self.seen, self.n[which], self.mean[which], self.cov[which], self.scale)

    def repeat(self, times):
        """The block of one data set, as often as asked for, without a copy."""
        moments = (np.broadcast_to(x, (times, *x.shape[1:])) for x in (self.n, self.mean, self.cov))
        return Block(self.group, self.seen, *moments, self.scale)


@dataclass(frozen=True)
class Layout:
    """Where the parameters stand in the matrices of one group, in the notation of McArdle & McDonald (1984).

    v = A v + e, Cov(e) = S, E(e) = m; Σ = F B S Bᵀ Fᵀ, μ = F B m, B = (I − A)⁻¹; F takes the columns, which are first

    names      (v,) columns, then latent variables
    columns    number of columns
    kind       (c,) "A", "S" or "m" of each cell
    row, col   (c,) place; of S the one below the diagonal or on it, which stands for both
    parameter  (c,) place among the parameters
    arrows, covariances   (v, v) fixed values
    """

    names: tuple
    columns: int
    kind: np.ndarray
    row: np.ndarray
    col: np.ndarray
    parameter: np.ndarray
    arrows: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True)
class System:
    """The layouts of all groups, which share their parameters.

    layouts  one for each group
    size     number of parameters k
    means    whether means are parameters; otherwise they are those of the data
    """

    layouts: tuple
    size: int
    means: bool


def matrices(layout, theta):
    """A (b, v, v), S (b, v, v) and m (b, v) for parameters (b, k)."""
    count = len(layout.names)
    a = np.broadcast_to(layout.arrows, (len(theta), count, count)).copy()
    s = np.broadcast_to(layout.covariances, a.shape).copy()
    m = np.zeros((len(theta), count))
    for kind, matrix in (("A", a), ("S", s)):
        here = layout.kind == kind
        matrix[:, layout.row[here], layout.col[here]] = theta[:, layout.parameter[here]]
        if kind == "S":
            matrix[:, layout.col[here], layout.row[here]] = theta[:, layout.parameter[here]]
    here = layout.kind == "m"
    m[:, layout.row[here]] = theta[:, layout.parameter[here]]
    return a, s, m


def total(a):
    """B = (I − A)⁻¹ (b, v, v)."""
    return np.linalg.inv(np.eye(a.shape[-1]) - a)


def implied(layout, theta):
    """Covariances of all variables, also latent ones (b, v, v), and their means (b, v)."""
    a, s, m = matrices(layout, theta)
    b = total(a)
    return b @ s @ np.swapaxes(b, 1, 2), (b @ m[..., None])[..., 0]


def likelihood(system, theta, blocks, *, scores=False):
    """Normal log likelihood, its gradient and the expected information.

    theta    (b, k)
    blocks   list of Block, each with the data sets of theta
    scores   True: the gradient of each block instead of their sum, (block, b, k)
    returns  loglik (b,), −inf where the implied covariances are not positive definite; gradient (b, k);
             information (b, k, k)
    """
    draws, k = theta.shape
    loglik, gradient, information = np.zeros(draws), np.zeros((draws, k)), np.zeros((draws, k, k))
    apart = []
    for g, layout in enumerate(system.layouts):
        a, s, m = matrices(layout, theta)
        b = total(a)
        all_covariances, all_means = b @ s @ np.swapaxes(b, 1, 2), (b @ m[..., None])[..., 0]
        arrow = layout.kind == "A"
        here = np.zeros((layout.kind.size, k))
        here[np.arange(layout.kind.size), layout.parameter] = 1.0  # (c, k)
        factor = np.where((layout.kind == "S") & (layout.row == layout.col), 0.5, 1.0) * (layout.kind != "m")
        lift = np.where(arrow, all_means[:, layout.col], 1.0 * (layout.kind == "m")) * system.means  # (b, c)
        for block in (x for x in blocks if x.group == g):
            seen = block.seen
            u = b[:, seen[:, None], layout.row]  # (b, o, c): dΣ = f (u vᵀ + v uᵀ), dμ = t u
            v = np.where(arrow, all_covariances[:, seen[:, None], layout.col], b[:, seen[:, None], layout.col])
            sigma = all_covariances[:, seen[:, None], seen]
            values, vectors = np.linalg.eigh(sigma / (block.scale[:, None] * block.scale))
            good = values[:, 0] > 1e-12
            safe = np.where(good[:, None], values, 1.0)
            vectors = vectors / block.scale[:, None]
            w = (vectors / safe[:, None, :]) @ np.swapaxes(vectors, 1, 2)
            away = (block.mean - all_means[:, seen]) if system.means else np.zeros(block.mean.shape)
            moment = block.cov + away[:, :, None] * away[:, None, :]
            constant = seen.size * np.log(2 * np.pi) + 2 * np.log(block.scale).sum()
            fit = np.log(safe).sum(1) + np.einsum("bij,bij->b", w, moment) + constant
            loglik += np.where(good, -0.5 * block.n * fit, np.where(block.n > 0, -np.inf, 0.0))
            wu, wv = w @ u, w @ v
            rest = w @ moment @ w - w
            slope = factor * np.einsum("boc,boc->bc", u, rest @ v) + lift * np.einsum("boc,bo->bc", wu, away)
            slope = block.n[:, None] * slope @ here
            gradient += slope
            apart.append(slope)
            ut, vt = np.swapaxes(u, 1, 2), np.swapaxes(v, 1, 2)
            uu, uv = ut @ wu, ut @ wv  # (b, c, c)
            curve = factor[:, None] * factor * (uu * (vt @ wv) + uv * np.swapaxes(uv, 1, 2))
            curve += lift[:, :, None] * lift[:, None, :] * uu
            information += here.T @ (block.n[:, None, None] * curve) @ here
    return loglik, np.array(apart) if scores else gradient, information


def maximise(system, theta, blocks, *, steps=STEPS, enough=ENOUGH):
    """The parameters of the largest likelihood, by Fisher scoring with Levenberg's damping.

    theta    (b, k) to start from
    blocks   as in ``likelihood``
    steps    at most
    enough   χ² still to be gained (gᵀ I⁻¹ g) at which to stop
    returns  theta (b, k), found (b,) whether it came to an end, loglik (b,)
    """
    theta = theta.copy()
    loglik, gradient, information = likelihood(system, theta, blocks)
    damping, found = np.zeros(len(theta)), np.zeros(len(theta), bool)
    active = np.flatnonzero(np.isfinite(loglik))
    for _ in range(steps):
        if not active.size:
            break
        size = np.sqrt(np.maximum(np.einsum("bkk->bk", information[active]), 1e-300))  # (b, k)
        scaled = information[active] / (size[:, :, None] * size[:, None, :])
        scaled[:, np.arange(system.size), np.arange(system.size)] += 1e-10 + damping[active, None]
        step = np.linalg.solve(scaled, (gradient[active] / size)[..., None])[..., 0] / size
        gain = np.einsum("bk,bk->b", step, gradient[active])
        ended = (gain < enough) & (damping[active] < 1)
        found[active[ended]] = True
        active, step = active[~ended], step[~ended]
        if not active.size:
            break
        trial = theta[active] + step
        value, slope, curve = likelihood(system, trial, [x.take(active) for x in blocks])
        better = value >= loglik[active] - 1e-12 * (1 + np.abs(loglik[active]))
        taken = active[better]
        theta[taken], loglik[taken] = trial[better], value[better]
        gradient[taken], information[taken] = slope[better], curve[better]
        damping[taken] = np.where(damping[taken] > 1e-6, damping[taken] / 10, 0.0)
        refused = active[~better]
        damping[refused] = np.maximum(10 * damping[refused], 1e-2)
        active = active[damping[active] < 1e12]
    return theta, found, loglik


def largest(system, theta, blocks, *, enough=ENOUGH):
    """As ``maximise``; where that does not come to an end, the rest of the way by BFGS and Newton's method.

    Fisher scoring is quick where a model suits its data, and creeps along ridges where it does not.
    """
    theta, found, loglik = maximise(system, theta, blocks, enough=enough)
    for k in np.flatnonzero(~found & np.isfinite(loglik)):
        one = [b.take([k]) for b in blocks]
        theta[k], found[k], loglik[k] = newton(system, climb(system, theta[k], one), one)
    return theta, found, loglik


def climb(system, theta, blocks):
    """Parameters (k,) of a larger likelihood of one data set, by BFGS."""
    from scipy.optimize import minimize

    size = np.sqrt(np.maximum(np.diag(likelihood(system, theta[None], blocks)[2][0]), 1e-300))

    def falling(scaled):
        value, slope, _ = likelihood(system, (scaled / size)[None], blocks)
        return (-value[0] if np.isfinite(value[0]) else 1e300), -slope[0] / size

    return minimize(falling, theta * size, jac=True, method="BFGS", options={"maxiter": 5000}).x / size


def newton(system, theta, blocks, *, steps=20, enough=1e-8):
    """The last steps to the largest likelihood of one data set; theta (k,), whether it is there, and its logarithm."""
    found = False
    for _ in range(steps):
        value, slope, information = likelihood(system, theta[None], blocks)
        size = np.sqrt(np.maximum(np.diag(information[0]), 1e-300))
        observed = observed_information(system, theta, blocks, 1e-4 / size) / (size[:, None] * size)
        values, vectors = np.linalg.eigh(observed)
        if values[0] <= SINGULAR:
            break
        step = vectors @ ((vectors.T @ (slope[0] / size)) / values) / size
        if slope[0] @ step < enough:
            found = True
            break
        further = likelihood(system, (theta + step)[None], blocks)[0]
        if not further[0] >= value[0] - 1e-9 * abs(value[0]):
            break
        theta = theta + step
    return theta, found, float(value[0])


def observed_information(system, theta, blocks, step):
    """Minus the second derivatives of the log likelihood at theta (k,), by differences of the gradient; (k, k).

    step     (k,) how far to go on either side; a small share of the standard errors
    """
    k = theta.size
    around = np.concatenate([theta + np.diag(step), theta - np.diag(step)])
    gradient = likelihood(system, around, [x.repeat(2 * k) for x in blocks])[1]
    second = (gradient[:k] - gradient[k:]) / (2 * step[:, None])
    return -(second + second.T) / 2


def derivative(function, theta, step):
    """Central differences of function (b, k) → (b, q) at theta (k,); (q, k)."""
    values = function(np.concatenate([theta + np.diag(step), theta - np.diag(step)]))
    return ((values[:theta.size] - values[theta.size:]) / (2 * step[:, None])).T


def saturated(groups, columns, *, means):
    """A System that implies whatever moments the data have.

    groups, columns  numbers of them
    means            whether means are parameters
    """
    row, col = np.tril_indices(columns)
    kind = np.concatenate([np.full(row.size, "S"), np.full(columns * means, "m")])
    row, col = (np.concatenate([x, np.arange(columns * means)]) for x in (row, col))
    nothing = np.zeros((columns, columns))
    names = tuple(map(str, range(columns)))
    layouts = tuple(Layout(names, columns, kind, row, col, g * kind.size + np.arange(kind.size), nothing, nothing)
                    for g in range(groups))
    return System(layouts, groups * kind.size, means)


def closed(layout):
    """Equations {outcome: causes} of a group whose ML estimates are least squares, or None.

    That is so for columns without latent variables, without a way back along the arrows, without covariances of the
    residuals, and without fixed or equal values: the likelihood then falls apart into one factor for each equation.
    """
    fixed = layout.arrows.any() or layout.covariances.any() or np.unique(layout.parameter).size < layout.kind.size
    if fixed or layout.columns < len(layout.names):
        return None
    arrow, spread = layout.kind == "A", layout.kind == "S"
    causes = {int(i): layout.col[arrow & (layout.row == i)] for i in np.unique(layout.row[arrow])}
    order = layout.arrows.copy()
    order[layout.row[arrow], layout.col[arrow]] = 1
    if np.linalg.matrix_power(order, len(layout.names)).any():
        return None
    outside = [i for i in range(layout.columns) if i not in causes]
    wanted = {(i, i) for i in causes} | {(i, j) for i in outside for j in outside if i >= j}
    return causes if wanted == set(zip(layout.row[spread].tolist(), layout.col[spread].tolist())) else None


def least_squares(system, blocks):
    """Estimates (b, k) of a system all of whose layouts are ``closed``, from one block for each group."""
    theta = np.zeros((len(blocks[0].n), system.size))
    for block in blocks:
        layout = system.layouts[block.group]
        for i, causes in closed(layout).items():
            b = np.linalg.solve(block.cov[:, causes[:, None], causes], block.cov[:, causes, i][..., None])[..., 0]
            here = (layout.kind == "A") & (layout.row == i)
            theta[:, layout.parameter[here]] = b
            own = (layout.kind == "S") & (layout.row == i) & (layout.col == i)
            theta[:, layout.parameter[own]] = (block.cov[:, i, i] - (b * block.cov[:, causes, i]).sum(1))[:, None]
        outside = (layout.kind == "S") & ~np.isin(layout.row, list(closed(layout)))
        theta[:, layout.parameter[outside]] = block.cov[:, layout.row[outside], layout.col[outside]]
        here = layout.kind == "m"
        if here.any():
            layout_b = np.eye(layout.columns) - matrices(layout, theta)[0]
            theta[:, layout.parameter[here]] = (layout_b @ block.mean[..., None])[:, layout.row[here], 0]
    return theta


def definite(cov, scale=None):
    """(b,) whether covariances (b, p, p) are positive definite, judged on the scale of correlations.

    scale   (p,) SDs against which those of a constant column are nothing
    """
    size = np.sqrt(np.maximum(np.einsum("bii->bi", cov), 0.0))
    safe = np.where(size > 0, size, 1.0)
    values = np.linalg.eigvalsh(cov / (safe[:, :, None] * safe[:, None, :]))
    return (values[:, 0] > SINGULAR) & (size > (0.0 if scale is None else 1e-6 * scale)).all(1)
