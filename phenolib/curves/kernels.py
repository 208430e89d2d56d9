"""Compiled functions of one block of pixels; numba is imported here and nowhere else."""

import numba
import numpy as np

ENVELOPE_REACH = 52  # days on either side in which the envelope rule takes the local range: a seventh of a year


@numba.njit(cache=True, nogil=True)
def local(t, y, w, first, last, x, h, taper):
    """One weighted quadratic around day x on the observations first … last-1.

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
        return np.nan
    m11 = s2 * s4 - s3 * s3
    m12 = s1 * s4 - s2 * s3
    m13 = s1 * s3 - s2 * s2
    determinant = s0 * m11 - s1 * m12 + s2 * m13
    if n >= 5 and min(left, right) > 0.15 * s0 and determinant > 1e-4 * s0 * s2 * s4:
        return min(most, max(least, (b0 * m11 - b1 * m12 + b2 * m13) / determinant))
    spread = s0 * s2 - s1 * s1
    if n >= 3 and spread > 1e-3 * s0 * s0:
        return min(most, max(least, (b0 * s2 - b1 * s1) / spread))
    return b0 / s0


@numba.njit(cache=True, nogil=True)
def fit_all(day, values, weights, length, window, envelope, adaptation, steep, spike, max_gap, break_gap):
    """Daily curves for all pixels.

    day (time,), values and weights (pixel, time); returns curve (pixel, day), gap (pixel, day): length of the gap
    between the observations around each day, and noise (pixel,): robust SD of observation − curve
    """

    pixels, times = values.shape
    curve = np.full((pixels, length), np.nan)
    gap = np.full((pixels, length), np.inf)
    noise = np.full(pixels, np.nan)
    t = np.empty(times)
    y = np.empty(times)
    w = np.empty(times)
    run = np.empty(times + 1, np.int64)
    fitted = np.empty(times)
    half = np.empty(length)
    for p in range(pixels):
        n = 0
        for k in range(times):
            if np.isfinite(values[p, k]) and weights[p, k] > 0:
                t[n] = day[k]
                y[n] = values[p, k]
                w[n] = weights[p, k]
                n += 1
        if n < 5:
            continue
        w[:n] /= w[:n].max()
        sd = y[:n].std()
        if spike > 0 and sd > 0:
            for k in range(n):
                a, b = max(0, k - 2), min(n, k + 3)
                near = np.median(y[a:b])
                before = y[max(0, k - 1)]
                after = y[min(n - 1, k + 1)]
                if k == 0:
                    before = after
                if k == n - 1:
                    after = before
                c = spike * sd
                if abs(y[k] - near) > c and (y[k] < 0.5 * (before + after) - c or y[k] > max(before, after) + c):
                    w[k] = 0.0
            kept = 0  # a spike is no observation: nothing may rest on it, no gap is closed by it
            for k in range(n):
                if w[k] > 0:
                    t[kept], y[kept], w[kept] = t[k], y[k], w[k]
                    kept += 1
            n = kept
            if n < 5:
                continue
        runs = 0  # runs of observations between gaps longer than max_gap
        run[0] = 0
        for k in range(1, n):
            if t[k] - t[k - 1] > max_gap:
                runs += 1
                run[runs] = k
        runs += 1
        run[runs] = n
        steps = np.sort(np.diff(t[:n]))
        taper = max(1.0, steps[steps.size // 2])
        f = curve[p]
        # which days lie within a run, and how long the gap around each day is
        k = 0
        for i in range(int(np.ceil(t[0])), int(np.floor(t[n - 1])) + 1):
            while k < n - 1 and t[k + 1] < i:
                k += 1
            gap[p, i] = 0.0 if t[k] == i or k == n - 1 or t[k + 1] == i else t[k + 1] - t[k]
        half[:] = window
        for turn in range(envelope + 2):  # a first look with the full window, then narrowed, then the envelope
            reach = 4.0 * window + taper
            for r in range(runs):
                a, b = run[r], run[r + 1]
                lo, hi = a, a
                for i in range(int(np.ceil(t[a])), int(np.floor(t[b - 1])) + 1):
                    while t[lo] < i - reach:
                        lo += 1
                    while hi < b and t[hi] <= i + reach:
                        hi += 1
                    f[i] = local(t, y, w, lo, hi, float(i), half[i], taper)
                lo, hi = a, a
                for j in range(a, b):
                    while t[lo] < t[j] - reach:
                        lo += 1
                    while hi < b and t[hi] <= t[j] + reach:
                        hi += 1
                    fitted[j] = local(t, y, w, lo, hi, t[j], half[int(t[j])], taper)
            if turn == 0:
                for i in range(length):
                    if not np.isfinite(f[i]):
                        continue
                    low = high = f[i]
                    for j in range(max(0, i - int(window)), min(length, i + int(window) + 1)):
                        if np.isfinite(f[j]):
                            low = min(low, f[j])
                            high = max(high, f[j])
                    change = high - low
                    if sd > 0 and change > steep * sd:
                        half[i] = max(window / 3.0, window * steep * sd / change)
            elif turn <= envelope:
                s = 0.0
                m = fitted[:n].mean()
                for j in range(n):
                    s += (fitted[j] - m) ** 2
                s = np.sqrt(s / n)
                for j in range(n):
                    if y[j] >= fitted[j] or s <= 0:
                        continue
                    low = high = fitted[j]
                    for q in range(max(0, int(t[j]) - ENVELOPE_REACH), min(length, int(t[j]) + ENVELOPE_REACH + 1)):
                        if np.isfinite(f[q]):
                            low = min(low, f[q])
                            high = max(high, f[q])
                    if low > m or turn < 2:
                        ratio = 2.0 * (fitted[j] - y[j]) / s if high - low < 0.8 * s else 0.0
                        w[j] *= np.exp(-ratio * ratio) / adaptation
        for r in range(runs - 1):  # bridge what is short enough to bridge
            a, b = t[run[r + 1] - 1], t[run[r + 1]]
            if b - a > break_gap:
                continue
            ya, yb = fitted[run[r + 1] - 1], fitted[run[r + 1]]
            for i in range(int(np.floor(a)) + 1, int(np.ceil(b))):
                f[i] = ya + (yb - ya) * (i - a) / (b - a)
        residual = np.sort(np.abs(y[:n] - fitted[:n]))
        noise[p] = 1.4826 * residual[n // 2]
    return curve, gap, noise


@numba.njit(cache=True, nogil=True)
def crossing(f, base, peak, level, last):
    """Day at which the curve f passes ``level`` between its base and its peak, on either side of the peak.

    Walks from the base to the peak and stops where the level is first reached; with ``last``, walks from the peak
    down and stops where the curve first falls below it.
    """
    a, b = (peak, base) if last else (base, peak)
    step = 1 if b >= a else -1
    i = a
    while i != b:
        here, there = f[i], f[i + step]
        if (here < level <= there) or (here >= level > there):
            return i + step * (level - here) / (there - here)
        i += step
    return np.nan


@numba.njit(cache=True, nogil=True)
def turning_points(f, first, last, swing, kind, place):
    """Alternating troughs (-1) and peaks (1) of f between two days whose rises and falls are at least ``swing``.

    Fills ``kind`` and ``place`` and returns how many there are. The first and the last one are where the curve
    begins and ends if it rises or falls from there, whatever the size of that swing.
    """
    n = 0
    low = high = first
    direction = 0  # 1: looking for a peak, -1: for a trough, 0: not yet known
    for i in range(first, last + 1):
        if f[i] > f[high]:
            high = i
        if f[i] < f[low]:
            low = i
        if direction >= 0 and f[high] - f[i] >= swing:
            if n == 0:
                kind[0], place[0], n = -1, first + np.argmin(f[first : high + 1]), 1
            kind[n], place[n], n = 1, high, n + 1
            direction, low, high = -1, i, i
        elif direction <= 0 and f[i] - f[low] >= swing:
            kind[n], place[n], n = -1, low, n + 1
            direction, low, high = 1, i, i
    if n == 0:
        return 0
    if kind[n - 1] < 0:  # what follows the last trough may be a rise that has not turned yet
        high = place[n - 1] + np.argmax(f[place[n - 1] : last + 1])
        if f[high] - f[place[n - 1]] >= swing:
            kind[n], place[n], n = 1, high, n + 1
    if kind[n - 1] > 0:
        kind[n], place[n], n = -1, place[n - 1] + np.argmin(f[place[n - 1] : last + 1]), n + 1
    return n


@numba.njit(cache=True, nogil=True)
def middle(values, n):
    """Median of the first n values."""
    v = np.sort(values[:n])
    return 0.5 * (v[(n - 1) // 2] + v[n // 2])


@numba.njit(cache=True, nogil=True)
def find_all(curve, gap, noise, year, years, per_year, share, min_swing, min_amplitude, min_days, max_gap, last, flags):
    """Seasons of all pixels.

    curve, gap (pixel, day) and noise (pixel,) as ``fit_all`` gives them; year (day,) counted from the first;
    share (threshold,) of the amplitude; flags: the quality bits in the order of ``phenology.FLAGS``.
    Returns found (pixel, year·rank, 2·threshold + 4): start days, end days, peak day, amplitude, base, quality; and
    how many seasons each pixel has.
    """
    START_UNSEEN, END_UNSEEN, START_GAP, END_GAP, INTERPOLATED, PEAK_UNSEEN, PEAK_EDGE, SPARSE = flags[:8]
    NO_SEASON, NO_DATA, OUTSIDE = flags[8:]
    edge = 10  # a turning point this close to the end of a run of observations [days] may not be the true one
    tolerance = 0.2  # … but is taken if its level is this close to the usual one, as a share of the amplitude
    pixels, length = curve.shape
    shares = share.size
    columns = 2 * shares + 4
    found = np.full((pixels, years * per_year, columns), np.nan)
    total = np.zeros(pixels, np.int64)
    kind = np.empty(length + 3, np.int64)
    place = np.empty(length + 3, np.int64)
    side = np.empty(length + 3, np.int64)
    levels = np.empty(length + 3)
    row = np.empty(columns)
    covered = np.empty(years)
    inside = np.empty(years)
    days = np.empty(years)
    for p in range(pixels):
        f, g = curve[p], gap[p]
        covered[:] = 0
        inside[:] = 0
        days[:] = 0
        between = np.sort(g[(g > 0) & np.isfinite(g)])
        close = 0.5 * max_gap  # days this close to an observation count as observed
        if between.size:
            close = max(close, 1.5 * between[between.size // 2])
        for i in range(length):
            days[year[i]] += 1
            covered[year[i]] += g[i] <= close
            inside[year[i]] += np.isfinite(g[i])
        known = np.sort(f[np.isfinite(f)])
        n = 0
        if known.size > 30:
            swing = max(min_amplitude, 4.0 * noise[p],
                        min_swing * (known[int(0.95 * (known.size - 1))] - known[int(0.05 * (known.size - 1))]))
            i = 0
            while i < length and swing > 0:  # stretches between gaps too long to bridge
                if not np.isfinite(f[i]):
                    i += 1
                    continue
                j = i
                while j < length - 1 and np.isfinite(f[j + 1]):
                    j += 1
                n += turning_points(f, i, j, swing, kind[n:], place[n:])
                i = j + 1
        k = 1
        while k < n - 1:  # a rise and fall within days is no season: drop it with the shallower of its troughs
            if kind[k] > 0 and place[k + 1] - place[k - 1] < min_days:
                a = k if f[place[k + 1]] > f[place[k - 1]] else k - 1
                kind[a : n - 2], place[a : n - 2] = kind[a + 2 : n].copy(), place[a + 2 : n].copy()
                n -= 2
                k = 1
            else:
                k += 1
        # which turning points were seen: observations on both sides, near enough
        for k in range(n):
            a = b = place[k]
            while a > 0 and g[a - 1] <= max_gap and place[k] - a < edge:
                a -= 1
            while b < length - 1 and g[b + 1] <= max_gap and b - place[k] < edge:
                b += 1
            side[k] = g[place[k]] <= max_gap and place[k] - a >= edge and b - place[k] >= edge
        usual = np.full(2, np.nan)  # the median level of the troughs and of the peaks that were seen; NaN: none was
        for which in range(2):
            m = 0
            for k in range(n):
                if (kind[k] > 0) == (which == 1) and side[k]:
                    levels[m] = f[place[k]]
                    m += 1
            if m:
                usual[which] = middle(levels, m)
        for k in range(n):
            if kind[k] < 0:
                continue
            peak, left, right = place[k], place[k - 1], place[k + 1]
            row[:] = np.nan
            quality = 0
            top = f[peak]
            height = top - min(f[left], f[right])
            if not side[k]:
                near = top >= usual[1] - tolerance * (usual[1] - min(f[left], f[right]))  # False for NaN
                quality |= PEAK_EDGE if near else PEAK_UNSEEN
            for end in range(2):
                base = right if end else left
                unseen = END_UNSEEN if end else START_UNSEEN
                near = f[base] - usual[0] <= tolerance * (top - usual[0])  # False for NaN
                if top - f[base] < tolerance * height or not (side[k - 1 + 2 * end] or near):
                    quality |= unseen
                    continue
                if quality & PEAK_UNSEEN:
                    continue
                for s in range(shares):
                    day = crossing(f, base, peak, f[base] + share[s] * (top - f[base]), last)
                    if not np.isfinite(day):
                        continue
                    hole = max(g[int(np.floor(day))], g[int(np.ceil(day))])
                    if hole > max_gap:
                        quality |= END_GAP if end else START_GAP
                        continue
                    if hole > close:
                        quality |= INTERPOLATED
                    row[end * shares + s] = day
            blind = 0
            for i in range(left, right + 1):
                blind += g[i] > close
            if blind > 0.5 * (right - left + 1):
                quality |= SPARSE
            row[columns - 4] = peak
            row[columns - 2] = 0.5 * (f[left] + f[right])
            if quality & START_UNSEEN and not quality & END_UNSEEN:
                row[columns - 2] = f[right]
            if quality & END_UNSEEN and not quality & START_UNSEEN:
                row[columns - 2] = f[left]
            row[columns - 3] = top - row[columns - 2]
            row[columns - 1] = quality
            total[p] += 1
            # rank by amplitude within the harvest year: the year in which half of the amplitude is lost again
            half = crossing(f, right, peak, 0.5 * (f[right] + top), last)
            slot = year[peak if quality & END_UNSEEN or not np.isfinite(half) else int(half)] * per_year
            at = 0
            while at < per_year and found[p, slot + at, columns - 3] >= row[columns - 3]:
                at += 1
            if at < per_year:
                for q in range(per_year - 1, at, -1):
                    found[p, slot + q] = found[p, slot + q - 1]
                found[p, slot + at] = row
        for q in range(years):
            if np.isnan(found[p, q * per_year, columns - 1]):
                # a year is judged by the part of it that lies between the first and the last observation
                if covered[q] < 0.5 * inside[q]:
                    found[p, q * per_year, columns - 1] = NO_DATA
                else:
                    found[p, q * per_year, columns - 1] = NO_SEASON if inside[q] >= 0.75 * days[q] else OUTSIDE
    return found, total
