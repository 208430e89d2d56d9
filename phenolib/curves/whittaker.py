"""Compiled Whittaker smoother of WIDTH pixels at once, with the variance of the curve at every node."""

import numba
import numpy as np

from phenolib.curves.lanes import BORROWED, WIDTH, bits, both, choose, exponential, load, lowest, size, spread, store

FAST = dict(BORROWED, fastmath={"contract", "nsz", "arcp"})
PLAIN = dict(cache=True, nogil=True, error_model="numpy")
L = WIDTH
HUGE = np.float32(1e9)
NONE, BISQUARE, TIMESAT, CHEN = 0, 1, 2, 3
REACH = 52  # days on either side in which the envelope rule of TIMESAT takes the local range: a seventh of a year
TENSION = 0.03  # κ [1/day]
CUT = 3.5  # of the bisquare, in robust SDs


@numba.njit(**PLAIN)
def penalty(t):
    """The three diagonals of ∫f''² + κ²∫f'² for a curve given at nodes t, by divided differences.

    The second part keeps the curve from swinging out in gaps longer than 1/κ. t (node,) days, increasing.
    returns (3, node + 4): main, first and second upper diagonal from column 2 on
    """
    n = t.size
    p = np.zeros((3, n + 4), np.float32)
    for i in range(1, n - 1):
        s = np.sqrt(2.0 / (t[i + 1] - t[i - 1]))
        a, c = s / (t[i] - t[i - 1]), s / (t[i + 1] - t[i])
        b = -a - c
        k = i + 2
        p[0, k - 1] += a * a
        p[0, k] += b * b
        p[0, k + 1] += c * c
        p[1, k - 1] += a * b
        p[1, k] += b * c
        p[2, k - 1] += a * c
    for i in range(n - 1):
        k = i + 2
        a = TENSION**2 / (t[i + 1] - t[i])
        p[0, k] += a
        p[0, k + 1] += a
        p[1, k] -= a
    return p


@numba.njit(**FAST)
def fill(values, weights, first, node, n, row, Y, Q):
    """Observations of pixels first … first+L-1 on the nodes; beyond the last pixel there are none.

    values, weights (pixel, time) any strides, weights may be empty; node (time,) of each observation.
    Fills Y (value) and Q (quality weight, 0 where missing, at most 1), both (node, L) flat.
    """
    pixels, times = values.shape
    zero, one = spread(0.0), spread(1.0)
    for k in range(n * L):
        Y[k] = 0.0
        Q[k] = 0.0
    weighted = weights.size > 0
    lanes = min(L, pixels - first)
    across = values.strides[0] < values.strides[1]
    row[:] = np.nan
    half = 16 * L
    for start in range(0, times, 16):
        m = min(16, times - start)
        if across:
            for i in range(m):
                for k in range(lanes):
                    row[i * L + k] = values[first + k, start + i]
        else:
            for k in range(lanes):
                for i in range(m):
                    row[i * L + k] = values[first + k, start + i]
        if weighted:
            for k in range(lanes):
                for i in range(m):
                    row[half + i * L + k] = weights[first + k, start + i]
        for i in range(m):
            v = load(row, i * L)
            good = (v - v) == zero
            q = one
            if weighted:
                q = load(row, half + i * L)
                good = both(good, zero < q)
            q = choose(good, q, zero)
            o = node[start + i] * L
            store(Y, o, load(Y, o) + choose(good, v, zero) * q)
            store(Q, o, load(Q, o) + q)
    top = zero
    for i in range(n):
        q = load(Q, i * L)
        top = choose(top < q, q, top)
    scale = one / choose(zero < top, top, one)
    for i in range(n):
        q = load(Q, i * L)
        store(Y, i * L, load(Y, i * L) / choose(zero < q, q, one))
        store(Q, i * L, q * scale)


@numba.njit(**FAST)
def centre(n, Y, Q, W, mean):
    """Takes the mean of the observations off them; single precision is then that of the variation. mean (L,) flat.

    W receives the weights Q.
    """
    total = weight = spread(0.0)
    for i in range(n):
        q = load(Q, i * L)
        store(W, i * L, q)
        total = total + q * load(Y, i * L)
        weight = weight + q
    m = total / choose(spread(0.0) < weight, weight, spread(1.0))
    store(mean, 0, m)
    for i in range(n):
        store(Y, i * L, load(Y, i * L) - m)


@numba.njit(**FAST)
def put_back(n, Y, Z, mean):
    """Adds the mean to the observations and the curve again."""
    m = load(mean, 0)
    for i in range(n):
        store(Y, i * L, load(Y, i * L) + m)
        store(Z, i * L, load(Z, i * L) + m)


@numba.njit(**FAST)
def solve(n, p, smoothness, Y, W, R, C, E, Z):
    """Z = (W + λP)⁻¹ W Y by LDLᵀ of W/λ + P; R, C, E keep the factor. smoothness λ, one for each lane (1, L) flat.

    Each node waits for the reciprocal of the one before; the terms are ordered so that it waits for little else.
    """
    zero = spread(0.0)
    c1 = r1 = r2 = u1 = z1 = z2 = zero
    share = spread(1.0) / load(smoothness, 0)
    for i in range(n):
        o = i * L
        w = load(W, o) * share
        e2 = r2 * p[2, i]
        z = (w * load(Y, o) - e2 * z2) - c1 * z1
        r = spread(1.0) / ((w + p[0, i + 2] - e2 * p[2, i]) - (u1 * u1) * r1)
        u1 = spread(p[1, i + 2]) - c1 * p[2, i + 1]
        c1 = u1 * r
        r2 = r1
        r1 = r
        z2 = z1
        z1 = z
        store(R, o, r * share)
        store(C, o, c1)
        store(E, o, r * p[2, i + 2])
        store(Z, o, z * r)
    z1 = z2 = zero
    for k in range(n):
        o = (n - 1 - k) * L
        z = (load(Z, o) - load(E, o) * z2) - load(C, o) * z1
        store(Z, o, z)
        z2 = z1
        z1 = z


@numba.njit(**FAST)
def spreads(n, R, C, E, S):
    """S = diagonal of (W + λP)⁻¹ from the factor: the variance of the curve in units of σ² (Takahashi's recursion)."""
    a = b = d = zero = spread(0.0)
    for k in range(n):
        o = (n - 1 - k) * L
        c, e = load(C, o), load(E, o)
        s1 = (zero - e * b) - c * a
        s2 = (zero - e * d) - c * b
        d = a
        b = s1
        a = (load(R, o) - e * s2) - c * s1
        store(S, o, a)


@numba.njit(**FAST)
def scale(n, Y, W, Z):
    """Robust SD of observation − curve: weighted mean size × 1.2533, never quite 0."""
    s = sw = spread(0.0)
    for i in range(n):
        o = i * L
        w = load(W, o)
        s = s + w * size(load(Y, o) - load(Z, o))
        sw = sw + w
    s = s * 1.2533 / choose(spread(0.0) < sw, sw, spread(1.0))
    return choose(s < spread(1e-30), spread(1e-30), s)


@numba.njit(**FAST)
def dents(n, t, Y, Q, P, X, V):
    """P = how far each observation lies below the line between the one before it and the one after it.

    A cloud makes one value low; a harvest makes all that follow low. P tells them apart. X, V (node, L) flat: room.
    """
    zero = spread(0.0)
    when, level = spread(-1e6), zero
    for i in range(n):
        o = i * L
        store(X, o, when)
        store(V, o, level)
        seen = zero < load(Q, o)
        when = choose(seen, spread(t[i]), when)
        level = choose(seen, load(Y, o), level)
    when = spread(1e6)
    for k in range(n):
        o = (n - 1 - k) * L
        here = spread(t[n - 1 - k])
        y, x, v = load(Y, o), load(X, o), load(V, o)
        v = choose(x < spread(-1e5), level, v)
        level = choose(spread(1e5) < when, v, level)
        store(P, o, v + (level - v) * ((here - x) / (when - x)) - y)
        seen = zero < load(Q, o)
        when = choose(seen, here, when)
        level = choose(seen, y, level)


@numba.njit(**FAST)
def bisquare(n, Y, Q, W, Z, P):
    """Observations that dent the curve lose weight by Tukey's bisquare; the others keep theirs.

    The dent is how far the observation lies below the curve, or below the line P between its neighbours if that is
    less.
    """
    zero, one = spread(0.0), spread(1.0)
    r = one / (scale(n, Y, W, Z) * CUT)
    for i in range(n):
        o = i * L
        u = load(Z, o) - load(Y, o)
        p = load(P, o)
        u = choose(p < u, p, u) * r
        u = choose(zero < u, u, zero)
        u = one - u * u
        u = choose(zero < u, u, zero)
        store(W, o, load(Q, o) * u * u)


@numba.njit(**FAST)
def chen(n, Y, Q, W, Z):
    """Observations below the curve lose weight by their distance, as a share of the largest (Chen et al. 2004)."""
    zero, one = spread(0.0), spread(1.0)
    far = spread(1e-30)
    for i in range(n):
        o = i * L
        d = choose(zero < load(Q, o), load(Z, o) - load(Y, o), zero)
        far = choose(far < d, d, far)
    for i in range(n):
        o = i * L
        d = load(Z, o) - load(Y, o)
        d = choose(zero < d, d, zero) / far
        w = one - d
        store(W, o, load(Q, o) * choose(zero < w, w, zero))


@numba.njit(**FAST)
def timesat(n, t, turn, adaptation, Y, W, Z):
    """Observations below the curve lose weight by the rule of TIMESAT (Jönsson & Eklundh 2004)."""
    zero, one = spread(0.0), spread(1.0)
    m = s = sw = zero
    for i in range(n):
        w = choose(zero < load(W, i * L), one, zero)
        m = m + w * load(Z, i * L)
        sw = sw + w
    sw = choose(zero < sw, sw, one)
    m = m / sw
    for i in range(n):
        d = choose(zero < load(W, i * L), load(Z, i * L) - m, zero)
        s = s + d * d
    s = s / sw
    s = choose(s < spread(1e-36), spread(1e-36), s)
    a = b = 0
    for i in range(n):
        while t[a] < t[i] - REACH:
            a += 1
        while b < n and t[b] <= t[i] + REACH:
            b += 1
        o = i * L
        low = high = load(Z, o)
        for k in range(a, b):
            f = load(Z, k * L)
            low = choose(f < low, f, low)
            high = choose(high < f, f, high)
        d = load(Z, o) - load(Y, o)
        d = choose(zero < d, d, zero)
        narrow = (high - low) * (high - low) < s * 0.64
        r = choose(narrow, d * d * 4.0 / s, zero)
        factor = exponential(zero - r) / adaptation
        lowers = choose(zero < d, factor, one)
        if turn > 1:
            lowers = choose(m < low, lowers, one)
        store(W, o, load(W, o) * lowers)


@numba.njit(**FAST)
def gaps(n, t, W, G, facts):
    """G = time between the observations around each node, 0 at an observation, ≥ HUGE outside of them.

    facts (4, L) flat: first and last observation time, number of observations, longest gap
    """
    enough = spread(0.05)
    previous = spread(-2e9)
    count = spread(0.0)
    for i in range(n):
        seen = enough < load(W, i * L)
        previous = choose(seen, spread(t[i]), previous)
        count = count + choose(seen, spread(1.0), spread(0.0))
        store(G, i * L, previous)
    store(facts, L, previous)
    store(facts, 2 * L, count)
    following = spread(2e9)
    longest = spread(0.0)
    for k in range(n):
        i = n - 1 - k
        following = choose(enough < load(W, i * L), spread(t[i]), following)
        g = following - load(G, i * L)
        longest = choose(both(g < spread(HUGE), longest < g), g, longest)
        store(G, i * L, g)
    store(facts, 0, following)
    store(facts, 3 * L, longest)


@numba.njit(**FAST)
def bridge(n, t, max_gap, W, G, Z, X, Z1):
    """A straight line across every gap longer than max_gap. X, Z1 (node, L) flat: room to work in."""
    enough = spread(0.05)
    when, level = spread(0.0), spread(0.0)
    for i in range(n):
        o = i * L
        seen = enough < load(W, o)
        when = choose(seen, spread(t[i]), when)
        level = choose(seen, load(Z, o), level)
        store(X, o, when)
        store(Z1, o, level)
    for k in range(n):
        i = n - 1 - k
        o = i * L
        seen = enough < load(W, o)
        when = choose(seen, spread(t[i]), when)
        level = choose(seen, load(Z, o), level)
        g = load(G, o)
        share = (spread(t[i]) - load(X, o)) / choose(spread(0.0) < g, g, spread(1.0))
        line = load(Z1, o) + (level - load(Z1, o)) * share
        store(Z, o, choose(both(spread(max_gap) < g, g < spread(HUGE)), line, load(Z, o)))


@numba.njit(**FAST)
def noise(n, Y, W, Z, S, sigma, R, C):
    """Variance of an observation of weight 1: residuals over what is left of their number; sigma (L,) flat.

    R, C (node, L) flat receive the running sums of the squared residuals, each enlarged because the curve follows its
    own observations a little, and of their weights.
    """
    rr = left = near = sum_w = spread(0.0)
    for i in range(n):
        o = i * L
        w = load(W, o)
        r = load(Y, o) - load(Z, o)
        ws = w * load(S, o)
        wrr = w * r * r
        rr = rr + wrr
        left = left + w - ws * w
        near = near + wrr + wrr * ws
        sum_w = sum_w + w
        store(R, o, near)
        store(C, o, sum_w)
    left = choose(spread(1.0) < left, left, spread(1.0))
    store(sigma, 0, rr / left)


@numba.njit(**FAST)
def validation(n, t, Y, W, Z, S, figures):
    """Weighted sum of squares, trace of the hat matrix, sum of the weights, and ∫f''²: figures (4, L) flat."""
    rr = trace = total = bend = spread(0.0)
    for i in range(n):
        o = i * L
        w = load(W, o)
        r = load(Y, o) - load(Z, o)
        rr = rr + w * r * r
        trace = trace + w * load(S, o)
        total = total + w
        if 0 < i < n - 1:
            a, b = t[i] - t[i - 1], t[i + 1] - t[i]
            z = load(Z, o)
            d = (load(Z, o + L) - z) * (1 / b) - (z - load(Z, o - L)) * (1 / a)
            bend = bend + d * d * (2 / (a + b))
    store(figures, 3 * L, bend)
    store(figures, 0, rr)
    store(figures, L, trace)
    store(figures, 2 * L, total)


@numba.njit(**FAST)
def course(n, t, width, close, G, Z, T, B, places, counts):
    """Running sums along the curve, and where it turns.

    T = area under the curve up to each node, B = days up to each node that lie in gaps longer than close (L,) flat;
    width (node,) days that a node stands for; places (L, node + 2) receives the nodes at which it turns, from place 1
    to counts (L,) − 1: there is room for an end on either side.
    """
    counts[:] = 1
    limit = load(close, 0)
    area = blind = spread(0.0)
    before = load(Z, 0)
    here = before
    for i in range(n):
        o = i * L
        after = load(Z, min(i + 1, n - 1) * L)
        blind = blind + choose(limit < load(G, o), spread(width[i]), spread(0.0))
        store(B, o, blind)
        if i > 0:
            area = area + (before + here) * (0.5 * (t[i] - t[i - 1]))
            turns = bits(both(before < here, after <= here)) | bits(both(here < before, here <= after))
            while turns != 0:
                k = lowest(turns)
                turns &= turns - np.uint64(1)
                places[k, counts[k]] = i
                counts[k] += 1
        store(T, o, area)
        before = here
        here = after
