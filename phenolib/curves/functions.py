"""Compiled fits of seasonal functions to the observations of one season: robust, bounded, with analytic gradients."""

import numba
import numpy as np

from phenolib.curves.lanes import BORROWED, WIDTH, choose, exponential, load, logarithm, spread, store, total

FAST = dict(BORROWED, fastmath={"contract", "nsz", "arcp"})
L = WIDTH
BECK, ELMORE, GU, GAUSSIAN = 0, 1, 2, 3
LEFT, RIGHT, TOP, START, RISE, END, FALL, EXTRA, EXTRA2 = range(9)  # places of the parameters
CUT = 5.0  # of the bisquare below the curve, in SDs
ROUNDS = 12


@numba.njit(**FAST)
def parameters(form):
    """How many parameters a form has."""
    return (7, 8, 9, 8)[form]


@numba.njit(**FAST)
def evaluate(form, a, x, n, F, J, room):
    """The function and its derivatives after each parameter.

    a (9,) parameters, x (room,) days, n how many (padded to a multiple of L); fills F (room,) and J (9 · room,), flat.

    With σ₁ = 1/(1 + e^(−e^ρ (x−s))), σ₂ = 1/(1 + e^(−e^φ (x−e))), levels l (left), r (right) and m (top):
    Beck      l + (m − l)·σ₁ − (m − r)·σ₂
    Elmore    the same, m falling by d per day from s on
    Gu        l + (m − l)·σ₁^(e^c) − (m − r)·σ₂^(e^d)
    Gaussian  m − (m − l)·(1 − e^(−(e^ρ (s−x))^(e^c))) left of s, and so with φ, d and r on the right of it
    """
    one, zero = spread(1.0), spread(0.0)
    left, right, top = spread(a[LEFT]), spread(a[RIGHT]), spread(a[TOP])
    s = spread(a[START])
    r1, r2 = spread(np.exp(a[RISE])), spread(np.exp(a[FALL]))
    if form == GAUSSIAN:
        # the places END and EXTRA hold the logarithms of the exponents
        p1, p2 = spread(np.exp(a[END])), spread(np.exp(a[EXTRA]))
        for k in range(0, n, L):
            d = load(x, k) - s
            before = d < zero
            r, p = choose(before, r1, r2), choose(before, p1, p2)
            low = choose(before, left, right)
            u = choose(before, zero - d, d) * r
            u = choose(u < spread(1e-6), spread(1e-6), u)
            log = logarithm(u)
            power = exponential(p * log)
            g = exponential(zero - power)
            slope = (top - low) * g * power * p  # −∂f/∂ln u
            store(F, k, low + (top - low) * g)
            store(J, LEFT * room + k, choose(before, one - g, zero))
            store(J, RIGHT * room + k, choose(before, zero, one - g))
            store(J, TOP * room + k, g)
            store(J, START * room + k, slope * r / u * choose(before, spread(-1.0), one))
            store(J, RISE * room + k, choose(before, zero - slope, zero))
            store(J, FALL * room + k, choose(before, zero, zero - slope))
            store(J, END * room + k, choose(before, zero - slope * log, zero))
            store(J, EXTRA * room + k, choose(before, zero, zero - slope * log))
        return
    e = spread(a[END])
    for k in range(0, n, L):
        t = load(x, k)
        d1, d2 = t - s, t - e
        g1 = one / (one + exponential(zero - r1 * d1))
        g2 = one / (one + exponential(zero - r2 * d2))
        c1 = c2 = one
        h1, h2 = g1, g2
        if form == GU:
            c1, c2 = spread(np.exp(a[EXTRA])), spread(np.exp(a[EXTRA2]))
            log1, log2 = logarithm(g1), logarithm(g2)
            h1, h2 = exponential(c1 * log1), exponential(c2 * log2)
            store(J, EXTRA * room + k, (top - left) * h1 * c1 * log1)
            store(J, EXTRA2 * room + k, (right - top) * h2 * c2 * log2)
        up, down = top - left, top - right
        f = left + up * h1 - down * h2
        if form == ELMORE:
            fall = spread(a[EXTRA])
            after = choose(zero < d1, d1, zero)
            f = f - fall * after * (h1 - h2)
            store(J, EXTRA * room + k, zero - after * (h1 - h2))
            up, down = up - fall * after, down - fall * after
        s1, s2 = up * c1 * h1 * (one - g1), down * c2 * h2 * (one - g2)
        store(F, k, f)
        store(J, LEFT * room + k, one - h1)
        store(J, RIGHT * room + k, h2)
        store(J, TOP * room + k, h1 - h2)
        moved = zero - s1 * r1
        if form == ELMORE:  # the fall begins at s
            moved = moved + choose(zero < d1, spread(a[EXTRA]) * (h1 - h2), zero)
        store(J, START * room + k, moved)
        store(J, RISE * room + k, s1 * d1 * r1)
        store(J, END * room + k, s2 * r2)
        store(J, FALL * room + k, zero - s2 * d2 * r2)


@numba.njit(**FAST)
def weigh(n, y, q, dent, F, w, r, sd):
    """Residuals r, weights w (bisquare below the curve), and the weighted sum of squares."""
    zero, one = spread(0.0), spread(1.0)
    cut = spread(1.0 / (CUT * sd))
    cost = zero
    for k in range(0, n, L):
        d = load(y, k) - load(F, k)
        below = zero - d
        p = load(dent, k)
        below = choose(p < below, p, below)
        u = choose(zero < below, below * cut, zero)
        u = one - u * u
        u = choose(zero < u, u, zero)
        v = load(q, k) * u * u
        store(w, k, v)
        store(r, k, d)
        # Tukey's loss for those below, squares for those above: what the step has to bring down
        loss = choose(zero < below, (one - u * u * u) * (CUT * CUT * sd * sd / 3.0) + (d * d - below * below) * u * u,
                      d * d)
        cost = cost + load(q, k) * loss
    return total(cost)


@numba.njit(**FAST)
def normal(m, n, w, r, J, room, A, b):
    """A = JᵀWJ and b = JᵀWr."""
    for i in range(m):
        g = spread(0.0)
        for k in range(0, n, L):
            v = load(w, k) * load(J, i * room + k)
            store(J, (9 + i) * room + k, v)
            g = g + v * load(r, k)
        b[i] = total(g)
        for j in range(i + 1):
            c = spread(0.0)
            for k in range(0, n, L):
                c = c + load(J, (9 + i) * room + k) * load(J, j * room + k)
            A[i, j] = total(c)
            A[j, i] = A[i, j]


@numba.njit(**FAST)
def cholesky(A, m, C):
    """Lower factor of A in C; False if A is not positive definite."""
    for i in range(m):
        for j in range(i + 1):
            v = A[i, j]
            for k in range(j):
                v -= C[i, k] * C[j, k]
            if i == j:
                if not v > 0:
                    return False
                C[i, i] = np.sqrt(v)
            else:
                C[i, j] = v / C[j, j]
    return True


@numba.njit(**FAST)
def back(C, m, b, x):
    """Solves C Cᵀ x = b."""
    for i in range(m):
        v = b[i]
        for k in range(i):
            v -= C[i, k] * x[k]
        x[i] = v / C[i, i]
    for i in range(m - 1, -1, -1):
        v = x[i]
        for k in range(i + 1, m):
            v -= C[k, i] * x[k]
        x[i] = v / C[i, i]


@numba.njit(**FAST)
def fit(form, tie, a, bounds, prior, x, y, q, dent, n, sd, arrays, A, C, b, step, trial):
    """Fits a form by Levenberg and Marquardt's method with bounds; the parameters are held near their start.

    a (9,) start, replaced by the result; bounds (9, 2); prior (9,) SD of each parameter about its start; tie: SD of the
    difference of both bases. A receives the precision matrix of the result in units of 1/sd². returns the sum of
    squares of the weighted residuals, and the sum of the weights; NaN if it failed
    """
    F, J, w, r = arrays
    room = F.size
    m = parameters(form)
    start = trial[1]
    for i in range(m):
        start[i] = a[i]
    evaluate(form, a, x, n, F, J, room)
    cost = np.float64(weigh(n, y, q, dent, F, w, r, sd))
    damping = 1e-3
    tied = 1.0 / tie**2
    for _ in range(ROUNDS):
        normal(m, n, w, r, J, room, A, b)
        for i in range(m):
            p = (sd / prior[i]) ** 2
            A[i, i] += p
            b[i] -= p * (a[i] - start[i])
        hold = sd * sd * tied
        A[0, 0] += hold
        A[1, 1] += hold
        A[0, 1] -= hold
        A[1, 0] -= hold
        b[0] -= hold * (a[0] - a[1])
        b[1] += hold * (a[0] - a[1])
        better = False
        for _trial in range(4):
            for i in range(m):
                A[i, i] *= 1 + damping
            good = cholesky(A, m, C)
            for i in range(m):
                A[i, i] /= 1 + damping
            if good:
                back(C, m, b, step)
                size = 0.0
                held = tied * (a[0] - a[1]) ** 2
                extra = 0.0
                for i in range(m):
                    trial[0, i] = min(max(a[i] + step[i], bounds[i, 0]), bounds[i, 1])
                    size = max(size, abs(trial[0, i] - a[i]) / prior[i])
                    held += ((a[i] - start[i]) / prior[i]) ** 2
                    extra += ((trial[0, i] - start[i]) / prior[i]) ** 2
                extra += tied * (trial[0, 0] - trial[0, 1]) ** 2
                evaluate(form, trial[0], x, n, F, J, room)
                new = np.float64(weigh(n, y, q, dent, F, w, r, sd))
                if new + extra * sd * sd <= cost + held * sd * sd:
                    better = True
                    cost = new
                    for i in range(m):
                        a[i] = trial[0, i]
                    damping = max(damping * 0.1, 1e-7)
                    break
            damping = min(damping * 10, 1e3)
        if not better or size < 0.01:
            break
    evaluate(form, a, x, n, F, J, room)
    weigh(n, y, q, dent, F, w, r, sd)
    normal(m, n, w, r, J, room, A, b)
    for i in range(m):
        A[i, i] += (sd / prior[i]) ** 2
    hold = sd * sd * tied
    A[0, 0] += hold
    A[1, 1] += hold
    A[0, 1] -= hold
    A[1, 0] -= hold
    rr = ww = spread(0.0)
    for k in range(0, n, L):
        v = load(w, k)
        ww = ww + v
        rr = rr + v * load(r, k) * load(r, k)
    if not cholesky(A, m, C):
        return np.nan, 0.0
    return np.float64(total(rr)), np.float64(total(ww))


@numba.njit(**FAST)
def value(form, a, x):
    """(value, slope) of the function at one day."""
    r1, r2 = np.exp(a[RISE]), np.exp(a[FALL])
    if form == GAUSSIAN:
        d = x - a[START]
        r, p, low = (r1, np.exp(a[END]), a[LEFT]) if d < 0 else (r2, np.exp(a[EXTRA]), a[RIGHT])
        u = max(abs(d) * r, 1e-6)
        power = u**p
        g = np.exp(-power)
        slope = -(a[TOP] - low) * g * power * p / u * r
        return low + (a[TOP] - low) * g, -slope if d < 0 else slope
    d1, d2 = x - a[START], x - a[END]
    g1, g2 = 1 / (1 + np.exp(-r1 * d1)), 1 / (1 + np.exp(-r2 * d2))
    up, down = a[TOP] - a[LEFT], a[TOP] - a[RIGHT]
    c1 = c2 = 1.0
    h1, h2 = g1, g2
    if form == GU:
        c1, c2 = np.exp(a[EXTRA]), np.exp(a[EXTRA2])
        h1, h2 = g1**c1, g2**c2
    f = a[LEFT] + up * h1 - down * h2
    slope = 0.0
    if form == ELMORE and d1 > 0:
        f -= a[EXTRA] * d1 * (h1 - h2)
        slope = -a[EXTRA] * (h1 - h2)
        up, down = up - a[EXTRA] * d1, down - a[EXTRA] * d1
    return f, slope + up * c1 * h1 * (1 - g1) * r1 - down * c2 * h2 * (1 - g2) * r2
