"""Compiled dates by other rules than a share of the amplitude, on daily curves."""

import numba
import numpy as np
from numba.core import types

TURN = 0.25  # a rise behind the trough, as a share of the season's height, that belongs to another season …
LOW = 0.3  # … once the curve was as low as this, as a share of it: a dip in a long summer ends no season
EDGE = 0.04  # curvature is not looked at within this share of the height from trough and peak: there are the wiggles
HALF = 5  # days on either side over which a derivative is taken: an interpolated curve has none at single days
PLAIN = dict(cache=True, nogil=True, error_model="numpy")


@numba.njit(**PLAIN)
def top(v, i, a, b):
    """Place of the extreme next to i between a and b, by the parabola through it and its neighbours."""
    if i <= a or i >= b:
        return float(i)
    c = v[i - 1] - 2 * v[i] + v[i + 1]
    return i + 0.5 * (v[i - 1] - v[i + 1]) / c if c != 0 else float(i)


@numba.njit(types.float64[:, :, ::1](types.Array(types.float32, 2, "C", readonly=True),
                                     types.Array(types.float64, 2, "A", readonly=True),
                                     types.Array(types.float32, 3, "A", readonly=True)), **PLAIN)
def rule_dates(curve, peak, base):
    """Dates of each season by maximum slope, Gu's tangents and the change of curvature.

    curve (pixel, day), peak (pixel, season) days, NaN where there is no season; base (2, pixel, season) its level
    before and after. returns (pixel, season, 10) days:
    steepest rise and fall; upturn, stabilisation, downturn, recession; greenup, maturity, senescence, dormancy
    """
    pixels, length = curve.shape
    seasons = peak.shape[1]
    found = np.full((pixels, seasons, 10), np.nan)
    f, slope, bend = np.zeros(length), np.zeros(length), np.zeros(length)
    for p in range(pixels):
        f[:] = curve[p]
        for s in range(seasons):
            if not np.isfinite(peak[p, s]):
                continue
            m = min(max(int(round(peak[p, s])), 0), length - 1)
            low, high = -1.0, float(length)  # the peaks before and after
            for q in range(seasons):
                if peak[p, q] < peak[p, s]:
                    low = max(low, peak[p, q])
                if peak[p, q] > peak[p, s]:
                    high = min(high, peak[p, q])
            a = b = m
            before, after = base[0, p, s], base[1, p, s]
            before, after = before + LOW * (f[m] - before), after + LOW * (f[m] - after)
            k = m
            while k > 0 and k - 1 > low and np.isfinite(f[k - 1]):
                k -= 1
                a = k if f[k] < f[a] else a
                if f[a] <= before and f[k] - f[a] > TURN * (f[m] - f[a]):
                    break
            k = m
            while k < length - 1 and k + 1 < high and np.isfinite(f[k + 1]):
                k += 1
                b = k if f[k] < f[b] else b
                if f[b] <= after and f[k] - f[b] > TURN * (f[m] - f[b]):
                    break
            if m - a < 4 or b - m < 4:
                continue
            height = f[m] - min(f[a], f[b])
            for k in range(a, b + 1):
                i, j = max(k - HALF, a), min(k + HALF, b)
                slope[k] = (f[j] - f[i]) / (j - i)
            for k in range(a, b + 1):
                i, j = max(k - HALF, a), min(k + HALF, b)
                d = slope[k] / height
                bend[k] = (slope[j] - slope[i]) / (j - i) / height / (1 + d * d) ** 1.5
            up = a + np.argmax(slope[a : m + 1])
            down = m + np.argmin(slope[m : b + 1])
            found[p, s, 0], found[p, s, 1] = top(slope, up, a, m), top(slope, down, m, b)
            rise, fall = slope[up], slope[down]
            if rise > 0 > fall:
                found[p, s, 2] = up - (f[up] - f[a]) / rise
                found[p, s, 3] = up + (f[m] - f[up]) / rise
                found[p, s, 4] = down - (f[down] - f[m]) / fall
                found[p, s, 5] = down + (f[b] - f[down]) / fall
            for k in range(a, b + 1):  # the change of curvature, in place of the slope
                i, j = max(k - HALF, a), min(k + HALF, b)
                slope[k] = (bend[j] - bend[i]) / (j - i)
            c, d = up, down  # where the flanks begin, and where they end
            while c > a and f[c - 1] > f[a] + EDGE * (f[m] - f[a]):
                c -= 1
            while d < b and f[d + 1] > f[b] + EDGE * (f[m] - f[b]):
                d += 1
            e, g = up, down
            while e < m and f[e + 1] < f[m] - EDGE * (f[m] - f[a]):
                e += 1
            while g > m and f[g - 1] < f[m] - EDGE * (f[m] - f[b]):
                g -= 1
            found[p, s, 6] = top(slope, c + np.argmax(slope[c : up + 1]), c, up)
            found[p, s, 7] = top(slope, up + np.argmax(slope[up : e + 1]), up, e)
            found[p, s, 8] = top(slope, g + np.argmin(slope[g : down + 1]), g, down)
            found[p, s, 9] = top(slope, down + np.argmin(slope[down : d + 1]), down, d)
    return found
