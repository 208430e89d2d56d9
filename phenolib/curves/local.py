"""Compiled smoothers of one pixel at a time: adaptive Savitzky–Golay, LOESS, harmonics."""

import numba
import numpy as np

from phenolib.curves.functions import back, cholesky
from phenolib.curves.whittaker import REACH

PLAIN = dict(cache=True, nogil=True, error_model="numpy")
TAU = 2 * np.pi
YEAR = 365.2425
SPANS = 10  # how many spans LOESS tries


@numba.njit(**PLAIN)
def local(t, y, w, first, last, x, h, taper):
    """One weighted quadratic around day x on the observations first … last-1: value, and variance / σ².

    The window of half width h is widened to the fifth nearest observation where that lies further. Weights fall to 0
    over ``taper`` days at its edge, so that the curve has no jumps but where few observations, or all on one side,
    leave only a straight line. The result never leaves the range of the observations it stands on.
    """
    nearest = np.full(5, np.inf)
    n = 0
    for k in range(first, last):
        a = abs(t[k] - x)
        if w[k] > 0.05:
            n += a < h + taper
            for q in range(5):
                if a < nearest[q]:
                    for r in range(4, q, -1):
                        nearest[r] = nearest[r - 1]
                    nearest[q] = a
                    break
    wide = h
    for q in range(5):
        if np.isfinite(nearest[q]):
            wide = max(wide, nearest[q])
            n = max(n, q + 1)
    s0 = s1 = s2 = s3 = s4 = b0 = b1 = b2 = 0.0
    left = right = 0.0
    least, most = np.inf, -np.inf
    for k in range(first, last):
        d = (t[k] - x) / wide
        a = abs(t[k] - x)
        if a >= wide + taper:
            continue
        v = w[k] * min(1.0, (wide + taper - a) / taper)
        if w[k] > 0.05:
            least, most = min(least, y[k]), max(most, y[k])
        s0 += v
        s1 += v * d
        s2 += v * d * d
        s3 += v * d * d * d
        s4 += v * d * d * d * d
        b0 += v * y[k]
        b1 += v * d * y[k]
        b2 += v * d * d * y[k]
        if d <= 0:
            left += v
        if d >= 0:
            right += v
    if s0 <= 0:
        return np.nan, np.nan
    m11 = s2 * s4 - s3 * s3
    m12 = s1 * s4 - s2 * s3
    m13 = s1 * s3 - s2 * s2
    determinant = s0 * m11 - s1 * m12 + s2 * m13
    if n >= 5 and min(left, right) > 0.15 * s0 and determinant > 1e-4 * s0 * s2 * s4:
        return min(most, max(least, (b0 * m11 - b1 * m12 + b2 * m13) / determinant)), m11 / determinant
    spread = s0 * s2 - s1 * s1
    if n >= 3 and spread > 1e-3 * s0 * s0:
        return min(most, max(least, (b0 * s2 - b1 * s1) / spread)), s2 / spread
    return b0 / s0, 1 / s0


@numba.njit(**PLAIN)
def without_spikes(t, y, w, where, n, spike):
    """Drops isolated values further from their neighbours than ``spike`` SDs; returns how many are left.

    TIMESAT's rule: against the median of five, and below the mean of its neighbours or above the larger of them.
    """
    sd = y[:n].std()
    if not (spike > 0 and sd > 0):
        return n
    c = spike * sd
    odd = np.zeros(n, np.bool_)
    for k in range(n):
        near = np.median(y[max(0, k - 2) : min(n, k + 3)])
        before, after = y[max(0, k - 1)], y[min(n - 1, k + 1)]
        if k == 0:
            before = after
        if k == n - 1:
            after = before
        odd[k] = abs(y[k] - near) > c and (y[k] < 0.5 * (before + after) - c or y[k] > max(before, after) + c)
    kept = 0  # a spike is no observation: nothing may rest on it, no gap is closed by it
    for k in range(n):
        if not odd[k]:
            t[kept], y[kept], w[kept], where[kept] = t[k], y[k], w[k], where[k]
            kept += 1
    return kept


@numba.njit(**PLAIN)
def lower(kind, turn, adaptation, nodes, f, t, y, w, where, n, REACH):
    """Lowers the weights of observations below the curve, by the rule of TIMESAT (kind 2), Chen (3), bisquare (1)."""
    m = s = far = rough = total = 0.0
    for j in range(n):
        m += f[where[j]] / n
        far = max(far, f[where[j]] - y[j])
        rough += w[j] * abs(y[j] - f[where[j]])
        total += w[j]
    for j in range(n):
        s += (f[where[j]] - m) ** 2 / n
    s = np.sqrt(s)
    rough = 1.2533 * rough / total if total > 0 else 0.0
    for j in range(n):
        below = f[where[j]] - y[j]
        if below <= 0:
            continue
        if kind == 3:
            w[j] *= 1 - below / far
        elif kind == 1 and rough > 0:
            u = below / (3.5 * rough)
            w[j] *= (1 - u * u) ** 2 if u < 1 else 0.0
        elif kind == 2 and s > 0:
            low = high = f[where[j]]
            a = where[j]
            while a > 0 and nodes[a - 1] >= t[j] - REACH:
                a -= 1
            while a < nodes.size and nodes[a] <= t[j] + REACH:
                if np.isfinite(f[a]):
                    low, high = min(low, f[a]), max(high, f[a])
                a += 1
            if low > m or turn < 2:
                ratio = 2.0 * below / s if high - low < 0.8 * s else 0.0
                w[j] *= np.exp(-ratio * ratio) / adaptation


@numba.njit(**PLAIN)
def savgol(nodes, t, y, w, where, n, window, steep, max_gap, kind, passes, adaptation, f, v):
    """Adaptive Savitzky–Golay curve f and its variance / σ² v at the nodes, each run of observations alone."""
    runs = 0
    run = np.zeros(n + 1, np.int64)
    for k in range(1, n):
        if t[k] - t[k - 1] > max_gap:
            runs += 1
            run[runs] = k
    runs += 1
    run[runs] = n
    steps = np.sort(np.diff(t[:n]))
    taper = max(1.0, steps[steps.size // 2])
    sd = y[:n].std()
    half = np.full(nodes.size, window)
    f[:], v[:] = np.nan, np.nan
    reach = 4.0 * window + taper
    for turn in range(passes + 2):  # a first look with the full window, then narrowed, then the envelope
        for r in range(runs):
            a, b = run[r], run[r + 1]
            lo, hi = a, a
            for i in range(where[a], where[b - 1] + 1):
                while t[lo] < nodes[i] - reach:
                    lo += 1
                while hi < b and t[hi] <= nodes[i] + reach:
                    hi += 1
                f[i], v[i] = local(t, y, w, lo, hi, nodes[i], half[i], taper)
        if turn == 0:
            a = b = 0
            for i in range(nodes.size):
                while nodes[a] < nodes[i] - window:
                    a += 1
                while b < nodes.size and nodes[b] <= nodes[i] + window:
                    b += 1
                if not np.isfinite(f[i]):
                    continue
                low = high = f[i]
                for j in range(a, b):
                    if np.isfinite(f[j]):
                        low, high = min(low, f[j]), max(high, f[j])
                change = high - low
                if sd > 0 and change > steep * sd:
                    half[i] = max(window / 3.0, window * steep * sd / change)
        elif turn <= passes:
            lower(kind, turn, adaptation, nodes, f, t, y, w, where, n, REACH)


@numba.njit(**PLAIN)
def tricube(t, y, w, n, x, count, skip):
    """LOESS at day x on its ``count`` nearest observations: value, variance / σ², and weight of the middle one."""
    a = 0  # the window of the nearest: slide while the next on the right is nearer than the first on the left
    while a + count < n and t[a + count] - x < x - t[a]:
        a += 1
    b = min(n, a + count)
    h = max(x - t[a], t[b - 1] - x) * 1.0001 + 1e-9
    s0 = s1 = s2 = s3 = s4 = b0 = b1 = b2 = 0.0
    q0 = q1 = q2 = q3 = q4 = 0.0
    for k in range(a, b):
        d = (t[k] - x) / h
        c = 1 - abs(d) ** 3
        v = w[k] * c * c * c
        s0, s1, s2, s3, s4 = s0 + v, s1 + v * d, s2 + v * d * d, s3 + v * d**3, s4 + v * d**4
        b0, b1, b2 = b0 + v * y[k], b1 + v * d * y[k], b2 + v * d * d * y[k]
        if w[k] > 0:
            u = v * v / w[k]
            q0, q1, q2, q3, q4 = q0 + u, q1 + u * d, q2 + u * d * d, q3 + u * d**3, q4 + u * d**4
    m11, m12, m13 = s2 * s4 - s3 * s3, s1 * s4 - s2 * s3, s1 * s3 - s2 * s2
    determinant = s0 * m11 - s1 * m12 + s2 * m13
    if determinant > 1e-6 * s0 * s2 * s4 and s0 > 0:
        e0, e1, e2 = m11 / determinant, -m12 / determinant, m13 / determinant
        var = e0 * e0 * q0 + 2 * e0 * e1 * q1 + (2 * e0 * e2 + e1 * e1) * q2 + 2 * e1 * e2 * q3 + e2 * e2 * q4
        return e0 * b0 + e1 * b1 + e2 * b2, var, e0
    return (b0 / s0, q0 / (s0 * s0), 1 / s0) if s0 > 0 else (np.nan, np.nan, 0.0)


@numba.njit(**PLAIN)
def loess(nodes, t, y, w, where, n, span, kind, passes, adaptation, f, v):
    """LOESS curve f with the span given, or the one with the least AICc, and its variance / σ²."""
    count = max(5, int(span * n))
    if span <= 0:
        best = np.inf
        for k in range(SPANS):
            tried = max(7, int(n * 0.015 * 1.5**k))
            if tried > n:
                break
            rss = trace = 0.0
            for j in range(n):
                value, _, own = tricube(t, y, w, n, t[j], tried, j)
                rss += w[j] * (y[j] - value) ** 2
                trace += own * w[j]
            if n - trace - 2 <= 0 or rss <= 0:
                continue
            aicc = np.log(rss / n) + 1 + 2 * (trace + 1) / (n - trace - 2)
            if aicc < best:
                best, count = aicc, tried
    f[:], v[:] = np.nan, np.nan
    for turn in range(passes + 1):
        if turn:
            lower(kind, turn, adaptation, nodes, f, t, y, w, where, n, REACH)
        for i in range(where[0], where[n - 1] + 1):
            f[i], v[i], _ = tricube(t, y, w, n, nodes[i], count, -1)


@numba.njit(**PLAIN)
def harmonic(nodes, t, y, w, where, n, order, kind, passes, adaptation, f, v):
    """Mean, trend and ``order`` harmonics of the year by weighted least squares, and the variance / σ²."""
    m = 2 + 2 * order
    A, C = np.zeros((m, m)), np.zeros((m, m))
    b, x, z = np.zeros(m), np.zeros(m), np.zeros(m)
    middle = 0.5 * (t[0] + t[n - 1])
    f[:], v[:] = np.nan, np.nan
    for turn in range(passes + 1):
        if turn:
            lower(kind, turn, adaptation, nodes, f, t, y, w, where, n, REACH)
        A[:] = 0
        b[:] = 0
        for j in range(n):
            terms(t[j], middle, order, z)
            for p in range(m):
                b[p] += w[j] * z[p] * y[j]
                for q in range(p + 1):
                    A[p, q] += w[j] * z[p] * z[q]
        for p in range(m):
            A[p, p] += 1e-6 * n
        if not cholesky(A, m, C):
            return
        back(C, m, b, x)
        for i in range(where[0], where[n - 1] + 1):
            terms(nodes[i], middle, order, z)
            f[i] = v[i] = 0.0
            for p in range(m):
                f[i] += x[p] * z[p]
                u = z[p]
                for q in range(p):
                    u -= C[p, q] * b[q]
                b[p] = u / C[p, p]
                v[i] += b[p] * b[p]


@numba.njit(**PLAIN)
def terms(day, middle, order, z):
    z[0], z[1] = 1.0, (day - middle) / YEAR
    for k in range(order):
        z[2 + 2 * k], z[3 + 2 * k] = np.cos(TAU * (k + 1) * day / YEAR), np.sin(TAU * (k + 1) * day / YEAR)
