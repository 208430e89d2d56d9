"""Compiled search for seasons in one curve, their dates, the intervals of these and their metrics."""

import numba
import numpy as np

from phenolib.curves.lanes import BORROWED, WIDTH, look

ALLOCATES = dict(cache=True, nogil=True, error_model="numpy")
PLAIN = dict(BORROWED, fastmath={"contract", "nsz", "arcp"})
SMALL_STEP = dict(PLAIN, forceinline=True)
L = WIDTH
EDGE = 10.0  # a turning point this close to the end of the observations [days] may not be the true one
TOLERANCE = 0.2  # … but is taken if its level is this close to the usual one, as a share of the amplitude
START_UNSEEN, END_UNSEEN, START_GAP, END_GAP, INTERPOLATED, PEAK_UNSEEN, PEAK_EDGE, SPARSE = 1, 2, 4, 8, 16, 32, 64, 128
NO_SEASON, NO_DATA, OUTSIDE, FIT_POOR, SMALL = 256, 512, 1024, 2048, 4096
SHARE, LEVEL = 0, 1
(PEAK_VALUE, AMPLITUDE, BASE, LENGTH, RISE, FALL, SMALL_INTEGRAL, LARGE_INTEGRAL, NOISE, BASE_BEFORE,
 BASE_AFTER) = range(11)
VALUES = 11  # and behind them the level at each date
DOUBT = 12.0  # how far from a date a low value that was taken for a cloud may be an end of season after all [days]
INFLATE = 1.08  # of the intervals: what makes those of simulated seasons hold the share they promise
NEARBY = 25.0  # residuals within these days tell of the noise at a date …
LOCAL_TRUST = 4.0  # … beside that of the whole series, which counts for so many observations
LONGEST = 366.0  # half an interval can be [days]: where the curve is level the date is anywhere
CLEAR = 9.5, 6.0  # an amplitude of fewer SDs of itself, or of an observation, is no season
BASE_SPREAD, PEAK_SPREAD = 5.0, 0.8  # how far a curve may be from its extreme and count as level with it [SD]


@numba.njit(**SMALL_STEP)
def zigzag(Z, lane, places, n, swing, kind, place):
    """Alternating troughs (-1) and peaks (1) whose rises and falls are at least ``swing``.

    Z (node, L) flat, lane lane; places (n,): the nodes at which the curve turns, with its first and last node.
    Fills ``kind`` and ``place`` and returns how many there are. The first and the last one are where the curve
    begins and ends if it rises or falls from there, whatever the size of that swing.
    """
    m = 0
    low = high = before = places[0]
    direction = 0  # 1: looking for a peak, -1: for a trough, 0: not yet known
    f_low = f_high = look(Z, low * L + lane)
    for q in range(n):
        i = places[q]
        f = look(Z, i * L + lane)
        if f > f_high:
            high, f_high, before = i, f, low
        if f < f_low:
            low, f_low = i, f
        if direction >= 0 and f_high - f >= swing:
            if m == 0:
                kind[0], place[0], m = -1, before, 1
            kind[m], place[m], m = 1, high, m + 1
            direction, low, high, f_low, f_high = -1, i, i, f, f
        elif direction <= 0 and f - f_low >= swing:
            kind[m], place[m], m = -1, low, m + 1
            direction, low, high, f_low, f_high = 1, i, i, f, f
    if m == 0:
        return 0
    if kind[m - 1] < 0:  # what follows the last trough may be a rise that has not turned yet
        if f_high - look(Z, place[m - 1] * L + lane) >= swing:
            kind[m], place[m], m = 1, high, m + 1
            low = high
            for q in range(n):
                if places[q] > high and look(Z, places[q] * L + lane) < look(Z, low * L + lane):
                    low = places[q]
    if kind[m - 1] > 0:
        kind[m], place[m], m = -1, low, m + 1
    return m


@numba.njit(**SMALL_STEP)
def middle(values, n):
    """Median of the first n values; sorts them in place."""
    for i in range(1, n):
        v = values[i]
        k = i - 1
        while k >= 0 and values[k] > v:
            values[k + 1] = values[k]
            k -= 1
        values[k + 1] = v
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


@numba.njit(**ALLOCATES)
def slopes(t):
    """Weights of a node's two neighbours and itself in the slope of the parabola through them: (node, 3)."""
    n = t.size
    g = np.zeros((n, 3))
    for i in range(1, n - 1):
        a, b = t[i] - t[i - 1], t[i + 1] - t[i]
        g[i, 0], g[i, 2] = -b / (a * (a + b)), a / (b * (a + b))
        g[i, 1] = -g[i, 0] - g[i, 2]
    g[0, 2] = 1 / (t[1] - t[0])
    g[0, 1] = -g[0, 2]
    g[n - 1, 1] = 1 / (t[n - 1] - t[n - 2])
    g[n - 1, 0] = -g[n - 1, 1]
    return g


@numba.njit(**SMALL_STEP)
def between(t, g, Z, lane, i, level):
    """Where between nodes i and i+1 the curve passes a level, by Hermite's cubic: (share of the step, slope)."""
    h = t[i + 1] - t[i]
    o = i * L + lane
    f0, f1 = np.float64(look(Z, o)), np.float64(look(Z, o + L))
    before = look(Z, max(o - L, lane))
    after = look(Z, min(o + 2 * L, Z.size - L + lane))
    d = f1 - f0
    m0 = h * (g[i, 0] * before + g[i, 1] * f0 + g[i, 2] * f1)
    m1 = h * (g[i + 1, 0] * f0 + g[i + 1, 1] * f1 + g[i + 1, 2] * after)
    if d < 0:  # the cubic stays monotone (Fritsch & Carlson 1980)
        m0, m1 = max(min(m0, 0.0), 3 * d), max(min(m1, 0.0), 3 * d)
    else:
        m0, m1 = min(max(m0, 0.0), 3 * d), min(max(m1, 0.0), 3 * d)
    a, b = m0 + m1 - 2 * d, 3 * d - 2 * m0 - m1
    u = (level - f0) / d
    for _ in range(2):
        slope = (3 * a * u + 2 * b) * u + m0
        if slope * d <= 0.05 * d * d:
            break
        step = (((a * u + b) * u + m0) * u + f0 - level) / slope
        u = min(1.0, max(0.0, u - step))
        if abs(step) < 0.1:  # the next one would be a hundredth of a step
            break
    return u, ((3 * a * u + 2 * b) * u + m0) / h


@numba.njit(**SMALL_STEP)
def top_of(t, Z, lane, i):
    """Day and value of the turning point next to node i, by the parabola through it and its neighbours."""
    f = look(Z, i * L + lane)
    if i == 0 or i == t.size - 1:
        return t[i], f
    a, b = t[i] - t[i - 1], t[i + 1] - t[i]
    u, v = (look(Z, (i - 1) * L + lane) - f) / a, (look(Z, (i + 1) * L + lane) - f) / b
    c = (u + v) / (a + b)  # curvature / 2
    g = (v * a - u * b) / (a + b)  # slope at the node
    if c == 0:
        return t[i], f
    x = min(b, max(-a, -0.5 * g / c))
    return t[i] + x, f + (g + c * x) * x


@numba.njit(**SMALL_STEP)
def level_around(t, Z, T, lane, i, low, high, limit):
    """Level of the trough or peak at node i: the mean of the curve where it cannot be told from it.

    The extreme of a noisy curve lies beyond the true one. The mean runs over the nodes around, from ``low`` to
    ``high`` at the most, at which the curve is less than ``limit`` above it (below it, if limit is negative).
    returns the level, the first and the last of these nodes
    """
    o = i * L + lane
    f = look(Z, o) + np.float32(limit)
    first, last = low * L + lane, high * L + lane
    a = b = o
    if limit > 0:
        while a > first and look(Z, a - L) < f:
            a -= L
        while b < last and look(Z, b + L) < f:
            b += L
    else:
        while a > first and look(Z, a - L) > f:
            a -= L
        while b < last and look(Z, b + L) > f:
            b += L
    if a == b:
        return np.float64(look(Z, o)), i, i
    i, k = (a - lane) // L, (b - lane) // L
    return (look(T, b) - look(T, a)) / (t[k] - t[i]), i, k


@numba.njit(**ALLOCATES)
def around(t, reach):
    """For every node the first and the last one within ``reach`` days of it: (node, 2)."""
    near = np.empty((t.size, 2), np.int64)
    a = b = 0
    for i in range(t.size):
        while t[a] < t[i] - reach:
            a += 1
        while b < t.size - 1 and t[b + 1] <= t[i] + reach:
            b += 1
        near[i, 0], near[i, 1] = a, b
    return near


@numba.njit(**SMALL_STEP)
def cross(Z, lane, peak, base, level, last, start):
    """The node from which the curve passes ``level`` on the way from its base to its peak, or -1.

    Walks from ``start``, which lies between the two, towards the peak and stops where the level is first reached;
    with ``last``, towards the base, and stops where the curve first falls below it.
    """
    goal = (base if last else peak) * L + lane
    o = start * L + lane
    step = L if goal > o else -L
    f = np.float32(level)
    if last:
        while o != goal and look(Z, o + step) >= f:
            o += step
    else:
        while o != goal and look(Z, o + step) < f:
            o += step
    return -1 if o == goal else (o - lane) // L


@numba.njit(**SMALL_STEP)
def roughness(beside, R, C, lane, i, sd):
    """SD of an observation near node i: that of the whole series, and the residuals nearby as far as they go.

    R, C: running sums of the squared residuals and of their weights, see ``whittaker.noise``
    """
    o, p = (beside[i, 0] - 1) * L + lane, beside[i, 1] * L + lane
    rr, ww = look(R, p), look(C, p)
    if o >= 0:
        rr, ww = rr - look(R, o), ww - look(C, o)
    return np.sqrt((LOCAL_TRUST * sd * sd + rr) / (LOCAL_TRUST + ww))


@numba.njit(**SMALL_STEP)
def least(S, lane, peaks, q, sd):
    """The least amplitude that noise does not make, by the variance of the curve at the peak and the troughs."""
    low = max(look(S, peaks[q, 0] * L + lane), look(S, peaks[q, 2] * L + lane))
    return sd * min(CLEAR[0] * np.sqrt(look(S, peaks[q, 1] * L + lane) + low), CLEAR[1])


@numba.njit(**SMALL_STEP)
def partial(t, Z, T, lane, day, i):
    """Area under the curve up to a day between nodes i and i+1."""
    o = i * L + lane
    h = t[i + 1] - t[i]
    u = (day - t[i]) / h
    f = look(Z, o) + (look(Z, o + L) - look(Z, o)) * u
    return look(T, o) + 0.5 * (look(Z, o) + f) * u * h


@numba.njit(**SMALL_STEP)
def seen_beside(t, G, lane, i, n, max_gap):
    """Whether there are observations on both sides of node i, near enough."""
    if look(G, i * L + lane) > max_gap:
        return False
    a = b = i
    while a > 0 and look(G, (a - 1) * L + lane) <= max_gap and t[i] - t[a] < EDGE:
        a -= 1
    while b < n - 1 and look(G, (b + 1) * L + lane) <= max_gap and t[b] - t[i] < EDGE:
        b += 1
    return t[i] - t[a] >= EDGE and t[b] - t[i] >= EDGE


@numba.njit(**PLAIN)
def locate(t, n, day):
    """The node at or before a day."""
    low, high = 0, n - 1
    while high - low > 1:
        m = (low + high) // 2
        if t[m] <= day:
            low = m
        else:
            high = m
    return low


@numba.njit(**PLAIN)
def find(t, lane, n, Z, G, facts, extent, sd, places, count, rule, kind, place, levels, peaks):
    """Seasons of a lane: fills peaks (season, 6), and returns how many there are and the swing that makes one.

    peaks: left, peak and right node, flags, first and last node of the stretch between gaps too long to bridge.
    rule (min_swing, min_amplitude, min_days, max_gap, break_gap); extent (3, L) flat: low and high end of the range of
    the curve where percentiles are taken for them, NaN: its extremes; sd: the noise of an observation
    """
    min_swing, min_amplitude, min_days, max_gap, break_gap = rule
    first, last = facts[lane], facts[L + lane]
    if facts[2 * L + lane] < 5:
        return 0, 0.0
    a, b = 0, n - 1
    while t[a] < first:
        a += 1
    while t[b] > last:
        b -= 1
    k0 = 1
    while k0 < count and places[k0] <= a:
        k0 += 1
    k1 = count
    while k1 > k0 and places[k1 - 1] >= b:
        k1 -= 1
    low = high = look(Z, a * L + lane)
    for k in range(k0, k1 + 1):
        f = look(Z, (places[k] if k < k1 else b) * L + lane)
        low, high = min(low, f), max(high, f)
    range_ = high - low
    if np.isfinite(extent[lane]):
        range_ = extent[L + lane] - extent[lane]
    swing = max(min_amplitude, 4.0 * sd, min_swing * range_)
    if not (swing > 1e-6 * max(abs(low), abs(high)) and high - low >= swing):
        return 0, swing
    m = 0
    if facts[3 * L + lane] <= break_gap:
        places[k0 - 1], places[k1] = a, b
        m = zigzag(Z, lane, places[k0 - 1 :], k1 - k0 + 2, swing, kind, place)
    else:  # stretches between gaps too long to bridge, each alone
        i = a
        turn = k0
        while i <= b:
            if look(G, i * L + lane) > break_gap:
                i += 1
                continue
            j = i
            while j < b and look(G, (j + 1) * L + lane) <= break_gap:
                j += 1
            while turn < k1 and places[turn] <= i:
                turn += 1
            end = turn
            while end < k1 and places[end] < j:
                end += 1
            before, after = places[turn - 1], places[end]
            places[turn - 1], places[end] = i, j
            m += zigzag(Z, lane, places[turn - 1 :], end - turn + 2, swing, kind[m:], place[m:])
            places[turn - 1], places[end] = before, after
            i = j + 1
    k = 1
    while k < m - 1:  # a rise and fall within days is no season: drop it with the shallower of its troughs
        if kind[k] > 0 and t[place[k + 1]] - t[place[k - 1]] < min_days:
            drop = k if look(Z, place[k + 1] * L + lane) > look(Z, place[k - 1] * L + lane) else k - 1
            for q in range(drop, m - 2):
                kind[q], place[q] = kind[q + 2], place[q + 2]
            m -= 2
            k = 1
        else:
            k += 1
    for k in range(m):  # ±2: seen, with observations on both sides
        if seen_beside(t, G, lane, place[k], n, max_gap):
            kind[k] *= 2
    usual_low = usual_high = np.nan  # the median level of the troughs and of the peaks that were seen
    for which in (-1, 1):
        c = 0
        for k in range(m):
            if kind[k] == 2 * which:
                levels[c] = look(Z, place[k] * L + lane)
                c += 1
        if c and which > 0:
            usual_high = middle(levels, c)
        elif c:
            usual_low = middle(levels, c)
    found = 0
    for k in range(m):
        if kind[k] < 0:
            continue
        left, peak, right = place[k - 1], place[k], place[k + 1]
        fl, fp, fr = look(Z, left * L + lane), look(Z, peak * L + lane), look(Z, right * L + lane)
        lower = min(fl, fr)
        flags = 0
        if kind[k] != 2:
            flags |= PEAK_EDGE if fp >= usual_high - TOLERANCE * (usual_high - lower) else PEAK_UNSEEN
        for end in range(2):
            i, f = (right, fr) if end else (left, fl)
            near = f - usual_low <= TOLERANCE * (fp - usual_low)  # False for NaN
            if fp - f < TOLERANCE * (fp - lower) or not (near or kind[k + 1 if end else k - 1] == -2):
                flags |= END_UNSEEN if end else START_UNSEEN
        start, end = a, b  # of the stretch without a gap too long to bridge
        if facts[3 * L + lane] > break_gap:
            start, end = left, right
            while start > a and look(G, (start - 1) * L + lane) <= break_gap:
                start -= 1
            while end < b and look(G, (end + 1) * L + lane) <= break_gap:
                end += 1
        peaks[found, 0], peaks[found, 1], peaks[found, 2], peaks[found, 3] = left, peak, right, flags
        peaks[found, 4], peaks[found, 5] = start, end
        found += 1
    return found, swing


@numba.njit(**SMALL_STEP)
def doubted(t, lane, Y, Q, W, low, high, i, level, base, sd, end):
    """The interval of a date between nodes i and i+1, opened if low values beside it were taken for clouds.

    A value near the base before an end of season (after a start) may be a cloud that nobody flagged, or show that the
    field was bare by then (not green yet); the curve decides for the one, the interval allows for both.
    """
    o, step = (i * L + lane, -L) if end else ((i + 1) * L + lane, L)
    k, side = (i, -1) if end else (i + 1, 1)
    until = t[k] + side * DOUBT
    far = t.size - 1 if side > 0 else 0
    bottom, top = base - 3 * sd, min(level, base + max(3 * sd, 0.5 * (level - base)))
    while side * (until - t[k]) > 0:
        if look(W, o) < 0.5 * look(Q, o) and bottom < look(Y, o) < top:
            while k != far and not look(W, o) > 0.05:
                k += side
                o += step
            if end:
                low = min(low, t[k])
            else:
                high = max(high, t[k])
            until = t[k] + side * DOUBT
        if k == far:
            break
        k += side
        o += step
    return low, high


@numba.njit(**PLAIN)
def measure(t, g, near, beside, lane, Y, Q, W, Z, S, G, T, B, R, C, sd, close, peaks, q, count, marks, roles, rule,
            last, widen, days, values, room):
    """Dates, intervals and metrics of one season on the curve itself; returns its flags.

    marks (mark, 3): SHARE and share of the amplitude, or LEVEL and value, and the place among the results or -1; the
    shares first, ascending. roles: which marks are the shares 0.2, 0.5 and 0.8. room (8, mark): to work in.
    days receives for either side and result the day, the lower and the upper end of its interval, then the peak, then
    the day by which the harvest year is told.
    """
    max_gap = rule[3]
    left, peak, right, flags = peaks[q, 0], peaks[q, 1], peaks[q, 2], peaks[q, 3]
    shown = (days.size - 2) // 6
    for k in range(days.size):
        days[k] = np.nan
    for k in range(values.size):
        values[k] = np.nan
    top_day, top = top_of(t, Z, lane, peak)
    v_top = look(S, peak * L + lane)
    mean, a, b = level_around(t, Z, T, lane, peak, left, right, -PEAK_SPREAD * sd * np.sqrt(v_top))
    if b > a:
        top = mean
    room[6, 0] = room[6, 1] = np.nan
    for end in range(2):
        foot = right if end else left
        v_low = look(S, foot * L + lane)
        low, high = (peak, peaks[q, 5]) if end else (peaks[q, 4], peak)
        if not end and q:
            low = max(low, peaks[q - 1, 1])
        if end and q + 1 < count:
            high = min(high, peaks[q + 1, 1])
        limit = BASE_SPREAD * sd * np.sqrt(v_low)
        base, a, b = level_around(t, Z, T, lane, foot, max(low, near[foot, 0]), min(high, near[foot, 1]), limit)
        limit += look(Z, foot * L + lane)
        room[7, end] = base
        unseen = flags & (PEAK_UNSEEN | (END_UNSEEN if end else START_UNSEEN))
        at = peak if last else foot
        for step in range(marks.shape[0]):
            m = marks.shape[0] - 1 - step if last else step
            share = marks[m, 1]
            level = base + share * (top - base)
            if marks[m, 0] == LEVEL:
                level, at = share, peak if last else foot
            if at == foot and limit < level:  # up to there the curve is below
                at = a if end else b
            room[end, m] = np.nan
            if look(Z, foot * L + lane) >= level or look(Z, peak * L + lane) < level:
                continue
            i = cross(Z, lane, peak, foot, level, last, at)
            if i < 0:
                continue
            at = i
            if end != last:
                i -= 1  # the node before, in time
            o = i * L + lane
            k = int(marks[m, 2])
            if k < 0 or unseen:
                u = (level - look(Z, o)) / (look(Z, o + L) - look(Z, o))
                room[end, m] = t[i] + u * (t[i + 1] - t[i])
                continue
            u, slope = between(t, g, Z, lane, i, level)
            day = t[i] + u * (t[i + 1] - t[i])
            room[end, m] = day
            hole = max(look(G, o), look(G, o + L))
            if hole > max_gap:
                flags |= END_GAP if end else START_GAP
                continue
            if hole > close:
                flags |= INTERPOLATED
            var = look(S, o) * (1 - u) + look(S, o + L) * u
            if marks[m, 0] == SHARE:
                var += (1 - share) ** 2 * v_low + share**2 * v_top
            half = widen * roughness(beside, R, C, lane, i, sd) * np.sqrt(var)
            half = min(INFLATE * half / max(abs(slope), 1e-30), LONGEST)
            d = (end * shown + k) * 3
            low, high = doubted(t, lane, Y, Q, W, day - half, day + half, i, level, base, sd, end)
            days[d], days[d + 1], days[d + 2] = day, low, high
            values[VALUES + end * shown + k] = level
            if k == 0:
                room[6, end] = partial(t, Z, T, lane, day, i)
    if look(B, right * L + lane) - look(B, left * L + lane) > 0.5 * (t[right] - t[left]):
        flags |= SPARSE
    days[6 * shown] = top_day
    base = 0.5 * (room[7, 0] + room[7, 1])
    if flags & START_UNSEEN and not flags & END_UNSEEN:
        base = room[7, 1]
    if flags & END_UNSEEN and not flags & START_UNSEEN:
        base = room[7, 0]
    values[PEAK_VALUE] = top
    values[BASE] = base
    values[AMPLITUDE] = top - base
    values[NOISE] = sd
    values[BASE_BEFORE], values[BASE_AFTER] = room[7, 0], room[7, 1]
    if shown:
        values[LENGTH] = days[3 * shown] - days[0]
        values[LARGE_INTEGRAL] = room[6, 1] - room[6, 0]
        values[SMALL_INTEGRAL] = room[6, 1] - room[6, 0] - base * values[LENGTH]
    if not flags & (START_UNSEEN | PEAK_UNSEEN):
        values[RISE] = 0.6 * (top - room[7, 0]) / (room[0, roles[2]] - room[0, roles[0]])
    if not flags & (END_UNSEEN | PEAK_UNSEEN):
        values[FALL] = 0.6 * (top - room[7, 1]) / (room[1, roles[0]] - room[1, roles[2]])
    half_lost = room[1, roles[1]]
    days[6 * shown + 1] = top_day if flags & END_UNSEEN or not np.isfinite(half_lost) else half_lost
    return flags
