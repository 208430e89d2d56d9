"""Compiled dates and intervals of one season from a function fitted to its observations."""

import numba
import numpy as np

from phenolib.curves import functions
from phenolib.curves.finder import (
    AMPLITUDE,
    BASE,
    BASE_AFTER,
    BASE_BEFORE,
    BASE_SPREAD,
    END_UNSEEN,
    FIT_POOR,
    LARGE_INTEGRAL,
    LENGTH,
    LONGEST,
    PEAK_UNSEEN,
    PEAK_VALUE,
    SHARE,
    SMALL_INTEGRAL,
    START_UNSEEN,
    VALUES,
    doubted,
    level_around,
    locate,
)
from phenolib.curves.functions import ELMORE, EXTRA, EXTRA2, GAUSSIAN, GU
from phenolib.curves.lanes import BORROWED, WIDTH

PLAIN = dict(BORROWED, fastmath={"contract", "nsz", "arcp"})
L = WIDTH
POOR = 1.8  # residuals this many times those of the smoother: the function does not fit
ALIKE, WORSE = 0.25, 1.2  # residuals that follow one another so much, and are so much larger, are a misfit too
INFLATE = 1.17  # of the intervals: what makes those of simulated seasons hold the share they promise
EXPONENT = 0.5  # SD of the logarithm of the exponents of Gu's form about 0, at which it is Beck's
TRUST = 10.0  # how many observations the noise of the whole series counts for, beside those of the season


@numba.njit(**PLAIN)
def begin(form, a, bounds, prior, room, roles, peak_day, top, first, last):
    """Start, bounds and prior SDs of the parameters, from what the smoother found; False if it found too little."""
    left, right = room[7, 0], room[7, 1]
    height = top - min(left, right)
    t20, t50, t80 = room[0, roles[0]], room[0, roles[1]], room[0, roles[2]]
    e20, e50, e80 = room[1, roles[0]], room[1, roles[1]], room[1, roles[2]]
    if not (np.isfinite(t50 + t20 + t80 + e50 + e20 + e80) and t80 > t20 and e20 > e80 and height > 0):
        return False
    a[:] = 0.0
    a[functions.LEFT], a[functions.RIGHT], a[functions.TOP] = left, right, top
    for k in range(3):
        bounds[k, 0], bounds[k, 1] = a[k] - 2 * height, a[k] + 2 * height
        prior[k] = height
    if form == GAUSSIAN:
        a[functions.START] = peak_day
        a[functions.RISE] = np.log(0.8326 / max(peak_day - t50, 2.0))
        a[functions.FALL] = np.log(0.8326 / max(e50 - peak_day, 2.0))
        a[functions.END] = a[EXTRA] = np.log(2.0)
        bounds[functions.START, 0], bounds[functions.START, 1] = t50, e50
        prior[functions.START] = 30.0
        for k in (functions.END, EXTRA):
            bounds[k, 0], bounds[k, 1] = 0.0, np.log(8.0)
            prior[k] = 0.5
    else:
        a[functions.START], a[functions.END] = t50, e50
        a[functions.RISE], a[functions.FALL] = np.log(2.7726 / (t80 - t20)), np.log(2.7726 / (e20 - e80))
        for k in (functions.START, functions.END):
            bounds[k, 0], bounds[k, 1] = first, last
            prior[k] = 30.0
    for k in (functions.RISE, functions.FALL):
        a[k] = min(max(a[k], np.log(0.01)), 0.0)
        bounds[k, 0], bounds[k, 1] = np.log(0.005), 0.0
        prior[k] = 0.8
    if form == ELMORE:
        bounds[EXTRA, 0], bounds[EXTRA, 1] = -height / 100, height / 50
        prior[EXTRA] = height / 200
    if form == GU:
        for k in (EXTRA, EXTRA2):
            bounds[k, 0], bounds[k, 1] = -2.0, 2.0
            prior[k] = EXPONENT
    return True


@numba.njit(**PLAIN)
def pass_level(form, a, level, x, low, high):
    """The day between low and high at which the function passes a level, near x: Newton's steps, held by bisection."""
    f_low = functions.value(form, a, low)[0] - level
    f_high = functions.value(form, a, high)[0] - level
    if not f_low * f_high < 0:
        return np.nan, np.nan
    if not low < x < high:
        x = 0.5 * (low + high)
    slope = np.nan
    for _ in range(20):
        f, slope = functions.value(form, a, x)
        f -= level
        if f * f_low > 0:
            low = x
        else:
            high = x
        step = f / slope if slope != 0 else 1e9
        new = x - step
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - x) < 0.01:
            x = new
            break
        x = new
    return x, slope


@numba.njit(**PLAIN)
def refine(form, base_spread, t, near, lane, Z, S, T, Y, Q, W, P, sd, peaks, q, count, flags, marks, roles, widen,
           days, values, room, space):
    """Replaces dates, intervals and metrics that ``finder.measure`` gave by those of a fitted function.

    Where the function cannot be fitted, or fits much worse than the smoother, what there was stays, with the flag.
    """
    x, y, w, dent, arrays, a, bounds, prior, A, C, b, step, trial, points = space
    F, J = arrays[0], arrays[1]
    size = F.size
    left, peak, right = peaks[q, 0], peaks[q, 1], peaks[q, 2]
    if flags & PEAK_UNSEEN or flags & START_UNSEEN and flags & END_UNSEEN:
        return flags
    limit = BASE_SPREAD * sd
    low = max(peaks[q, 4], near[left, 0])
    if q:
        low = max(low, peaks[q - 1, 1])
    _, first, _ = level_around(t, Z, T, lane, left, low, peak, limit * np.sqrt(S[left * L + lane]))
    high = min(peaks[q, 5], near[right, 1])
    if q + 1 < count:
        high = min(high, peaks[q + 1, 1])
    _, _, last = level_around(t, Z, T, lane, right, peak, high, limit * np.sqrt(S[right * L + lane]))
    shown = (days.size - 2) // 6
    top_day = days[6 * shown]
    top = values[PEAK_VALUE]
    middle = t[peak]
    for mark in range(marks.shape[0]):
        room[0, mark] -= middle
        room[1, mark] -= middle
    good = begin(form, a, bounds, prior, room, roles, top_day - middle, top, t[left] - middle, t[right] - middle)
    for mark in range(marks.shape[0]):
        room[0, mark] += middle
        room[1, mark] += middle
    k = 0
    most = 0.0
    for i in range(first, last + 1):
        v = Q[i * L + lane]
        if v > 0:
            x[k], y[k], w[k], dent[k] = t[i] - middle, Y[i * L + lane], v, P[i * L + lane]
            most = max(most, v)
            k += 1
    m = functions.parameters(form)
    if not good or k < m:
        return flags | FIT_POOR
    while k % L:
        x[k], y[k], w[k] = 0.0, 0.0, 0.0
        k += 1
    noise = max(sd, 1e-4 * (top - values[BASE]))
    tie = base_spread * (top - values[BASE])
    rr, ww = functions.fit(form, tie, a, bounds, prior, x, y, w, dent, k, noise, arrays, A, C, b, step, trial)
    if not rr / max(ww - m, 0.2 * ww) < (POOR * noise) ** 2:
        return flags | FIT_POOR
    fit_weights, residuals = arrays[2], arrays[3]
    lagged = 0.0
    for i in range(1, k):
        lagged += np.sqrt(fit_weights[i] * fit_weights[i - 1]) * residuals[i] * residuals[i - 1]
    if lagged > ALIKE * rr and rr / max(ww - m, 0.2 * ww) > (WORSE * noise) ** 2:
        return flags | FIT_POOR
    variance = (rr + TRUST * noise * noise) / (max(ww - m, 0.0) + TRUST)
    # the maximum: the best of 16 days between the flanks, then of 16 around it
    lo, hi = a[functions.START], a[functions.END]
    if form == GAUSSIAN:
        lo = hi = a[functions.START]
    for _ in range(2):
        for i in range(L):
            points[i] = lo + (hi - lo) * i / (L - 1)
        functions.evaluate(form, a, points, L, F, J, size)
        best = 0
        for i in range(L):
            if F[i] > F[best]:
                best = i
        width = (hi - lo) / (L - 1)
        lo, hi = points[best] - width, points[best] + width
    summit, top = np.float64(points[best]), np.float64(F[best])
    feet = t[left] - middle, t[right] - middle
    if not feet[0] < summit < feet[1]:
        return flags | FIT_POOR
    points[0], points[1], points[2] = feet[0], feet[1], summit
    bases = functions.value(form, a, feet[0])[0], functions.value(form, a, feet[1])[0]
    if not (bases[0] < top and bases[1] < top):
        return flags | FIT_POOR
    k = 3
    for end in range(2):
        for mark in range(marks.shape[0]):
            share = marks[mark, 1]
            level = bases[end] + share * (top - bases[end]) if marks[mark, 0] == SHARE else share
            start = room[end, mark] - middle
            day, slope = (pass_level(form, a, level, start, feet[0], summit) if end == 0 else
                          pass_level(form, a, level, start, summit, feet[1]))
            if not np.isfinite(day) and marks[mark, 0] == SHARE:
                return flags | FIT_POOR
            room[2 + end, mark] = day
            room[4 + end, mark] = slope
            points[k] = day if np.isfinite(day) else 0.0
            k += 1
    while k % L:
        points[k] = 0.0
        k += 1
    functions.evaluate(form, a, points, k, F, J, size)
    area = np.nan
    for end in range(2):
        for mark in range(marks.shape[0]):
            place = int(marks[mark, 2])
            room[end, mark] = room[2 + end, mark] + middle
            if place < 0:
                continue
            d = (end * shown + place) * 3
            if not np.isfinite(days[d]):  # the smoother says why there is none
                continue
            i = 3 + end * marks.shape[0] + mark
            share = marks[mark, 1] if marks[mark, 0] == SHARE else np.nan
            for p in range(m):
                g = np.float64(J[p * size + i])
                if marks[mark, 0] == SHARE:
                    g -= (1 - share) * J[p * size + end] + share * J[p * size + 2]
                b[p] = g
            spread = 0.0
            for p in range(m):
                v = b[p]
                for r in range(p):
                    v -= C[p, r] * step[r]
                step[p] = v / C[p, p]
                spread += step[p] * step[p]
            level_of = bases[end] + share * (top - bases[end]) if marks[mark, 0] == SHARE else marks[mark, 1]
            half = INFLATE * widen * np.sqrt(spread * variance) / max(abs(room[4 + end, mark]), 1e-30)
            half = min(half, LONGEST)
            day = room[end, mark]
            if widen > 0:  # where function and smoother disagree by more than both allow, one of them is wrong
                known = min(days[d + 2] - days[d], days[d] - days[d + 1])
                half += max(0.0, abs(day - days[d]) - np.hypot(half, known))
            low, high = doubted(t, lane, Y, Q, W, day - half, day + half, locate(t, t.size, day), level_of, bases[end],
                                sd, end)
            days[d], days[d + 1], days[d + 2] = day, low, high
            if marks[mark, 0] == SHARE:
                values[VALUES + end * shown + place] = bases[end] + share * (top - bases[end])
    days[6 * shown] = summit + middle
    base = 0.5 * (bases[0] + bases[1])
    if flags & START_UNSEEN:
        base = bases[1]
    if flags & END_UNSEEN:
        base = bases[0]
    values[PEAK_VALUE], values[BASE], values[AMPLITUDE] = top, base, top - base
    values[BASE_BEFORE], values[BASE_AFTER] = bases
    if shown:
        length = days[3 * shown] - days[0]
        values[LENGTH] = length
        if np.isfinite(length):
            area = 0.0
            for i in range(3 * L):
                points[i] = days[0] - middle + length * (i + 0.5) / (3 * L)
            functions.evaluate(form, a, points, 3 * L, F, J, size)
            for i in range(3 * L):
                area += F[i]
            area *= length / (3 * L)
        values[LARGE_INTEGRAL] = area
        values[SMALL_INTEGRAL] = area - base * length
    return flags


@numba.njit(**PLAIN)
def draw(form, t, left, right, middle, space, curve):
    """Puts the fitted function in place of the curve between two nodes; where two meet, the mean of both."""
    a = space[5]
    for i in range(left, right + 1):
        f = functions.value(form, a, t[i] - middle)[0]
        curve[i] = 0.5 * (curve[i] + f) if i in (left, right) else f
