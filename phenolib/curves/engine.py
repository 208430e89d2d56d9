"""Compiled pass over a block of pixels: smooth, find the seasons, date them, and write the results."""

import numba
import numpy as np
from numba.core import types

from phenolib.curves import finder, fitting, local, whittaker
from phenolib.curves.finder import AMPLITUDE, NO_DATA, NO_SEASON, OUTSIDE, SMALL
from phenolib.curves.lanes import BORROWED, WIDTH
from phenolib.curves.whittaker import HUGE

PLAIN = dict(cache=True, nogil=True, error_model="numpy", _nrt=True)
L = WIDTH
WHITTAKER, SAVGOL, LOESS, HARMONIC = range(4)
DEFAULT_SMOOTHNESS = 250.0  # [day³]
GCV, V_CURVE = -1.0, -2.0  # in place of a smoothness
NAT = np.iinfo(np.int64).min
DAY = 86400 * 10**9


@numba.njit(**BORROWED)
def whittaker_curves(n, t, p, options, buffers, lam, mean):
    """Whittaker curves of L pixels: from Y, Q to Z (curve), S (variance / σ²), W (weights after the last pass)."""
    Y, Q, W, R, C, E, Z, S, G, T, B, P = buffers
    kind, passes, adaptation, smoothness = options[1], options[2], options[3], options[4]
    whittaker.centre(n, Y, Q, W, mean)
    if kind == whittaker.BISQUARE:
        whittaker.dents(n, t, Y, Q, P, T, B)
    if smoothness > 0:
        lam[:] = smoothness
    else:
        choose_smoothness(n, t, p, options, buffers, lam)
    whittaker.solve(n, p, lam, Y, W, R, C, E, Z)
    for turn in range(1, passes + 1):
        if kind == whittaker.BISQUARE:
            whittaker.bisquare(n, Y, Q, W, Z, P)
        elif kind == whittaker.TIMESAT:
            whittaker.timesat(n, t, turn, adaptation, Y, W, Z)
        elif kind == whittaker.CHEN:
            whittaker.chen(n, Y, Q, W, Z)
        whittaker.solve(n, p, lam, Y, W, R, C, E, Z)
    whittaker.spreads(n, R, C, E, S)
    whittaker.put_back(n, Y, Z, mean)


@numba.njit(**PLAIN)
def choose_smoothness(n, t, p, options, buffers, lam):
    """The smoothness of each lane, tried at factors of 2 from 2⁻⁴ to 2¹¹ about the default, after two robust passes.

    gcv:     the least (Σ w r² / Σ w) / (1 − tr(H) / Σ w)²
    v-curve: the least step from one to the next on the plane of ln Σ w r² and ln ∫f''² (Frasso & Eilers 2015); noise
             that is alike from day to day does not mislead it
    """
    Y, Q, W, R, C, E, Z, S, G, T, B, P = buffers
    gcv = options[4] == GCV
    lam[:] = DEFAULT_SMOOTHNESS
    whittaker.solve(n, p, lam, Y, W, R, C, E, Z)
    if options[1] == whittaker.BISQUARE:
        for _ in range(2):
            whittaker.bisquare(n, Y, Q, W, Z, P)
            whittaker.solve(n, p, lam, Y, W, R, C, E, Z)
    best, score = np.full(L, np.float32(DEFAULT_SMOOTHNESS)), np.full(L, np.inf)
    figures = np.zeros(4 * L, np.float32)
    before = np.zeros((2, L))
    for step in range(-4, 12):
        tried = DEFAULT_SMOOTHNESS * 2.0**step
        lam[:] = np.float32(tried)
        whittaker.solve(n, p, lam, Y, W, R, C, E, Z)
        if gcv:
            whittaker.spreads(n, R, C, E, S)
        whittaker.validation(n, t, Y, W, Z, S, figures)
        for k in range(L):
            total = figures[2 * L + k]
            if not total > 0:
                continue
            if gcv:
                found = figures[k] / total / (1 - figures[L + k] / total) ** 2
            else:
                fit, bend = np.log(figures[k] + 1e-37), np.log(figures[3 * L + k] + 1e-37)
                found = np.hypot(fit - before[0, k], bend - before[1, k]) if step > -4 else np.inf
                before[0, k], before[1, k] = fit, bend
                tried = DEFAULT_SMOOTHNESS * 2.0 ** (step - 0.5)
            if found < score[k]:
                score[k], best[k] = found, np.float32(tried)
    lam[:] = best


@numba.njit(**PLAIN)
def single_curves(n, t, options, buffers, lanes, room, extent):
    """Curves of the smoothers that take one pixel at a time, into the lanes of Z, S and W."""
    Y, Q, W, R, C, E, Z, S, G, T, B, P = buffers
    method, kind, passes, adaptation, _, window, steep, spike, max_gap, span, order = options
    x, y, w, f, v, where = room
    for lane in range(L):
        k = 0
        for i in range(n):
            o = i * L + lane
            W[o] = 0.0
            Z[o] = 0.0
            S[o] = 1.0
            if Q[o] > 0 and lane < lanes:
                x[k], y[k], w[k], where[k] = t[i], Y[o], Q[o], i
                k += 1
        if k < 5:
            continue
        k = local.without_spikes(x, y, w, where, k, spike)
        if k < 5:
            continue
        if method == SAVGOL:
            local.savgol(t, x, y, w, where, k, window, steep, max_gap, kind, passes, adaptation, f, v)
        elif method == LOESS:
            local.loess(t, x, y, w, where, k, span, kind, passes, adaptation, f, v)
        else:
            local.harmonic(t, x, y, w, where, k, int(order), kind, passes, adaptation, f, v)
        for i in range(n):
            if np.isfinite(f[i]):
                Z[i * L + lane] = f[i]
                S[i * L + lane] = v[i]
        known = np.sort(f[np.isfinite(f)])
        if known.size:
            extent[lane], extent[L + lane] = known[int(0.05 * (known.size - 1))], known[int(0.95 * (known.size - 1))]
            for j in range(k):
                v[j] = abs(y[j] - f[where[j]])
            extent[2 * L + lane] = 1.4826 * np.median(v[:k])
        for j in range(k):  # an observation that was weighed down is still one: only spikes and rejected ones are not
            W[where[j] * L + lane] = max(w[j], 0.06 * (w[j] > 0))


@numba.njit(**BORROWED)
def curves_of(n, t, width, p, options, buffers, facts, sigma, close, places, counts, lam, lanes, room, extent):
    """Curve, variance, gaps, running sums and turning points of L pixels; options as ``phenolib.curves.options``."""
    Y, Q, W, R, C, E, Z, S, G, T, B, P = buffers
    max_gap = options[8]
    extent[:] = np.nan
    if options[0] == WHITTAKER:
        whittaker_curves(n, t, p, options, buffers, lam, close)
    else:
        single_curves(n, t, options, buffers, lanes, room, extent)
    whittaker.noise(n, Y, W, Z, S, sigma, R, C)
    whittaker.gaps(n, t, W, G, facts)
    longest = 0.0
    for k in range(L):
        sigma[k] = np.sqrt(sigma[k])
        longest = max(longest, facts[3 * L + k])
        close[k] = max(0.5 * max_gap, 1.5 * (facts[L + k] - facts[k]) / max(facts[2 * L + k] - 1, 1.0))
    if longest > max_gap:
        whittaker.bridge(n, t, max_gap, W, G, Z, T, B)
    whittaker.course(n, t, width, close, G, Z, T, B, places, counts)


@numba.njit(**BORROWED)
def put(row_days, row_values, flags, pixel, slot, per_year, start, stamps, values, quality):
    """Writes a season into the slots of its year, ranked by amplitude; the smallest falls out."""
    at, last = slot, slot + per_year - 1
    while at <= last and values[AMPLITUDE, pixel, at] >= row_values[AMPLITUDE]:
        at += 1
    if at > last:
        return
    for q in range(last, at, -1):
        for k in range(stamps.shape[0]):
            stamps[k, pixel, q] = stamps[k, pixel, q - 1]
        for k in range(values.shape[0]):
            values[k, pixel, q] = values[k, pixel, q - 1]
        quality[pixel, q] = quality[pixel, q - 1]
    for k in range(stamps.shape[0]):
        d = row_days[k]
        stamps[k, pixel, at] = start + np.int64(d * DAY) if np.isfinite(d) else NAT
    for k in range(values.shape[0]):
        values[k, pixel, at] = row_values[k]
    quality[pixel, at] = flags


@numba.njit(**BORROWED)
def empty_year(t, lane, n, width, year, which, G, Z, close, swing, sd):
    """Why a year has no season; it is judged by the part that lies between the first and the last observation."""
    days = covered = inside = 0.0
    low, high = np.inf, -np.inf
    for i in range(n):
        if year[int(t[i])] != which:
            continue
        days += width[i]
        g = G[i * L + lane]
        if g < HUGE:
            inside += width[i]
            if g <= close:
                covered += width[i]
                low, high = min(low, Z[i * L + lane]), max(high, Z[i * L + lane])
    if covered < 0.5 * inside:
        return NO_DATA
    if inside < 0.75 * days:
        return OUTSIDE
    return SMALL if high - low >= max(0.5 * swing, 4 * sd) > 0 else NO_SEASON


@numba.njit(**BORROWED)
def pixels_of(observed, weights, node, t, width, year, years, per_year, start, marks, roles, rule, last, widen, form,
              base, options, stamps, values, quality, total, curve, made):
    """What ``run`` does, in the room it has made."""
    (p, buffers, facts, sigma, row, close, lam, places, counts, kind, place, levels, peaks, days, figures, g, near,
     beside, room, space, extent, single) = made
    Y, Q, W, R, C, E, Z, S, G, T, B, P = buffers
    pixels, n = observed.shape[0], t.size
    for first in range(0, pixels, L):
        whittaker.fill(observed, weights, first, node, n, row, Y, Q)
        curves_of(n, t, width, p, options, buffers, facts, sigma, close, places, counts, lam, pixels - first, single,
                  extent)
        for lane in range(min(L, pixels - first)):
            pixel = first + lane
            if curve.size:
                for i in range(n):
                    curve[pixel, i] = Z[i * L + lane] if G[i * L + lane] <= rule[4] else np.nan
            if quality.shape[1] == 0:
                continue
            for q in range(quality.shape[1]):
                for k in range(stamps.shape[0]):
                    stamps[k, pixel, q] = NAT
                for k in range(values.shape[0]):
                    values[k, pixel, q] = np.nan
                quality[pixel, q] = 0
            sd = sigma[lane]
            rough = extent[2 * L + lane] if np.isfinite(extent[lane]) else np.float64(sd)
            count, swing = finder.find(t, lane, n, Z, G, facts, extent, rough, places[lane], counts[lane], rule,
                                       kind, place, levels, peaks)
            small = 0
            for q in range(count):
                flags = finder.measure(t, g, near, beside, lane, Y, Q, W, Z, S, G, T, B, R, C, sd, close[lane], peaks,
                                       q, count, marks, roles, rule, last, widen, days, figures, room)
                if form >= 0:
                    flags = fitting.refine(form, base, t, near, lane, Z, S, T, Y, Q, W, P, sd, peaks, q, count, flags,
                                           marks, roles, widen, days, figures, room, space)
                    if curve.size and not flags & finder.FIT_POOR:
                        fitting.draw(form, t, peaks[q, 0], peaks[q, 2], t[peaks[q, 1]], space, curve[pixel])
                if not figures[AMPLITUDE] >= max(rule[1], finder.least(S, lane, peaks, q, rough)):
                    small += 1
                    continue
                slot = year[min(max(int(days[days.size - 1]), 0), year.size - 1)] * per_year
                put(days, figures, flags, pixel, slot, per_year, start, stamps, values, quality)
            total[pixel] = count - small
            for q in range(years):
                if np.isnan(values[AMPLITUDE, pixel, q * per_year]):
                    quality[pixel, q * per_year] = empty_year(
                        t, lane, n, width, year, q, G, Z, close[lane], swing, rough)
                for r in range(1, per_year):
                    if np.isnan(values[AMPLITUDE, pixel, q * per_year + r]):
                        quality[pixel, q * per_year + r] = NO_SEASON


READ = types.Array(types.float32, 2, "A", readonly=True)  # any strides: neither a transposed cube is copied, nor …
SIGNATURE = types.void(  # … is the whole compiled anew for another kind of array
    READ, READ, types.int64[::1], types.float64[::1], types.float64[::1], types.int32[::1], types.int64, types.int64,
    types.int64, types.float64[:, ::1], types.UniTuple(types.int64, 3), types.UniTuple(types.float64, 5),
    types.boolean, types.float64, types.int64, types.float64,
    types.Tuple([types.int64] * 3 + [types.float64] * 7 + [types.int64]),
    types.Array(types.int64, 3, "A"), types.Array(types.float32, 3, "A"), types.int16[:, ::1], types.int32[::1],
    types.float32[:, ::1])


@numba.njit(SIGNATURE, **PLAIN)
def run(observed, weights, node, t, width, year, years, per_year, start, marks, roles, rule, last, widen, form, base,
        options, stamps, values, quality, total, curve):
    """All pixels of a block.

    observed, weights (pixel, time); node (time,); t, width (node,) days; year (day,) counted from the first.
    rule (min_swing, min_amplitude, min_days, max_gap, break_gap); widen: of the intervals, in SDs; form of the function
    that is fitted to each season, or -1; base: SD of the difference of its two bases, as a share of the amplitude.
    Fills stamps (date, pixel, slot) ns, values (value, pixel, slot), quality (pixel, slot), total (pixel,), and
    curve (pixel, node) where it is not empty.
    """
    n = t.size
    p = whittaker.penalty(t)
    buffers = (np.zeros(n * L, np.float32), np.zeros(n * L, np.float32), np.zeros(n * L, np.float32),
               np.zeros(n * L, np.float32), np.zeros(n * L, np.float32), np.zeros(n * L, np.float32),
               np.zeros(n * L, np.float32), np.zeros(n * L, np.float32), np.zeros(n * L, np.float32),
               np.zeros(n * L, np.float32), np.zeros(n * L, np.float32), np.zeros(n * L, np.float32))
    facts, sigma = np.zeros(4 * L, np.float32), np.zeros(L, np.float32)
    row, close, lam = np.zeros(2 * 16 * L, np.float32), np.zeros(L, np.float32), np.zeros(L, np.float32)
    places, counts = np.zeros((L, n + 3), np.int32), np.zeros(L, np.int32)
    kind, place, levels = np.zeros(n + 3, np.int32), np.zeros(n + 3, np.int32), np.zeros(n + 3)
    peaks = np.zeros((n + 3, 6), np.int32)
    days, figures = np.empty(stamps.shape[0] + 1), np.empty(values.shape[0])
    g, near, beside = finder.slopes(t), finder.around(t, 60.0), finder.around(t, finder.NEARBY)
    room = np.zeros((8, marks.shape[0] + 2))
    most = (max(n, 8 * marks.shape[0], 3 * L) // L + 2) * L
    observations = np.zeros((4, most), np.float32)  # day, value, weight, dent
    fitted = (np.zeros(most, np.float32), np.zeros(18 * most, np.float32), np.zeros(most, np.float32),
              np.zeros(most, np.float32))  # function, derivatives, weights, residuals
    space = (observations[0], observations[1], observations[2], observations[3], fitted, np.zeros(9),
             np.zeros((9, 2)), np.zeros(9), np.zeros((9, 9)), np.zeros((9, 9)), np.zeros(9), np.zeros(9),
             np.zeros((2, 9)), np.zeros(most, np.float32))
    extent = np.zeros(3 * L)  # 5th and 95th percentile of each curve and its median deviation, where these are taken
    single = (np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.int64))
    pixels_of(observed, weights, node, t, width, year, years, per_year, start, marks, roles, rule, last, widen, form,
              base, options, stamps, values, quality, total, curve,
              (p, buffers, facts, sigma, row, close, lam, places, counts, kind, place, levels, peaks, days, figures, g,
               near, beside, room, space, extent, single))


@numba.njit(types.float32[:, ::1](types.float64[::1], types.float32[:, ::1], types.int64), **PLAIN)
def daily(t, curve, length):
    """A curve at nodes t as one value a day, day 0 … length−1, by Hermite's cubic between nodes; (pixel, day)."""
    pixels, n = curve.shape
    g = finder.slopes(t)
    result = np.full((pixels, length), np.float32(np.nan))
    for day in range(length):
        x = min(max(float(day), t[0]), t[n - 1])
        i = finder.locate(t, n, x)
        h = t[i + 1] - t[i]
        u = (x - t[i]) / h
        before, after = max(i - 1, 0), min(i + 2, n - 1)
        for p in range(pixels):
            f0, f1 = curve[p, i], curve[p, i + 1]
            if u < 1e-9:
                result[p, day] = f0
                continue
            if u > 1 - 1e-9:
                result[p, day] = f1
                continue
            m0 = g[i, 0] * curve[p, before] + g[i, 1] * f0 + g[i, 2] * f1
            m1 = g[i + 1, 0] * f0 + g[i + 1, 1] * f1 + g[i + 1, 2] * curve[p, after]
            if not np.isfinite(m0):
                m0 = (f1 - f0) / h
            if not np.isfinite(m1):
                m1 = (f1 - f0) / h
            a, b = h * (m0 + m1) - 2 * (f1 - f0), 3 * (f1 - f0) - h * (2 * m0 + m1)
            result[p, day] = ((a * u + b) * u + h * m0) * u + f0
    return result
