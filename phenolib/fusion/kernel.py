"""Compiled passes over the pixels of an image: ESTARFM and STARFM for all dates of a base pair at once."""

import os
from pathlib import Path

import numba
import numpy as np

from phenolib.files import digest, home, sha256

BEFORE = numba.config.CACHE_DIR
if "NUMBA_CACHE_DIR" not in os.environ:  # where the machine code is kept; put back at the end of this file
    numba.config.CACHE_DIR = str(home() / "cache" / "compiled" / digest(sha256(Path(__file__)))[:16])

FAST = {"contract", "nsz", "arcp"}  # no reordering of sums, and no promise that there is no NaN
# Nothing is allocated in these passes, so that no array needs a counting of references, which would take longer than
# the arithmetic of a row: the caller hands over work space too.
PASS = dict(nogil=True, error_model="numpy", _nrt=False)
ENOUGH = 5  # similar pixels; with as many or fewer the change of the whole window is taken
TINY = np.float32(1e-7)


@numba.njit(inline="always", **PASS)
def window(at, half, size):
    """First and last + 1 row (or column) of the window about ``at``, cut at the edge of the image."""
    return max(at - half, 0), min(at + half + 1, size)


@numba.njit(fastmath=FAST, **PASS)
def similar(fine, use, tolerance, y, x, rows, columns, half, mask, place, offset):
    """The pixels of a window that are like its middle in every band at every base date in use; how many there are.

    fine       (k, b, y · x) float32; NaN where a base date has no value
    use        (k,) which base dates the middle pixel has
    tolerance  (k, b) largest difference
    place      (n,) int32 flat index of each, filled here; offset: its place in the full window, for its distance
    """
    bases, bands = fine.shape[:2]
    top, bottom = window(y, half, rows)
    left, right = window(x, half, columns)
    wide, found, here = right - left, 0, y * columns + x
    for row in range(top, bottom):
        flat, apart = row * columns + left, (row - y + half) * (2 * half + 1) + left - x + half
        first = True
        for k in range(bases):
            if use[k]:
                for b in range(bands):
                    middle, most = fine[k, b, here], tolerance[k, b]
                    values = fine[k, b, flat:flat + wide]
                    if first:
                        for j in range(wide):
                            mask[j] = abs(values[j] - middle) <= most
                        first = False
                    else:
                        for j in range(wide):
                            mask[j] &= abs(values[j] - middle) <= most
        for j in range(wide):  # without a branch: the next one overwrites what is not similar
            place[found] = flat + j
            offset[found] = apart + j
            found += mask[j]
    return found


@numba.njit(fastmath=FAST | {"reassoc"}, **PASS)
def slope(f1, f2, c1, c2, place, found, here, least, critical, changed):
    """Conversion coefficient: slope of fine on coarse values of the similar pixels, both dates together; or 1.

    With ``changed`` it is the slope of the changes between the dates instead, through the origin.

    f1, f2    (y · x) float32 fine image of one band at two dates; c1, c2 coarse
    here      the middle pixel
    least     change of the mean of the coarse image between the dates that tells a slope at all
    critical  (2, n) least and largest r² of a slope that is believed, by the number of values
    """
    n, sf, sc, sff, scc, sfc, change, dff, dcc, dfc = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    f0, c0 = np.float64(f1[here]), np.float64(c1[here])  # small numbers keep their digits
    if f0 != f0:
        f0, c0 = np.float64(f2[here]), np.float64(c2[here])
    for i in range(found):
        j = place[i]
        f, g, c, d = f1[j] - f0, f2[j] - f0, c1[j] - c0, c2[j] - c0
        if f == f and g == g:
            n += 2
            sf += f + g
            sc += c + d
            sff += f * f + g * g
            scc += c * c + d * d
            sfc += f * c + g * d
            change += c - d
            dff += (f - g) * (f - g)
            dcc += (c - d) * (c - d)
            dfc += (f - g) * (c - d)
    if n < 4 or abs(change) * 2 / n < least:
        return 1.0
    vcc, vfc, vff = scc - sc * sc / n, sfc - sf * sc / n, sff - sf * sf / n
    if changed:
        vcc, vfc, vff, n = dcc, dfc, dff, n // 2 + 1  # n − 2 is then pixels − 1
    if not (vcc > 0 and vfc > 0 and vff > 0):
        return 1.0
    rate, fit = vfc / vcc, vfc * vfc / (vcc * vff)
    return rate if critical[0, n] <= fit <= critical[1, n] and rate <= 5 else 1.0


@numba.njit(fastmath=FAST | {"reassoc"}, **PASS)
def changes(after, before, weight, place, found):
    """Of one date: Σ w (after − before), Σ w (after − before)², and Σ w, over the similar pixels with both values."""
    step1, step2, total = np.float32(0), np.float32(0), np.float32(0)
    for i in range(found):
        step = after[place[i]] - before[place[i]]
        w = weight[i] if step == step else np.float32(0)
        step = step if step == step else np.float32(0)
        step1 += w * step
        step2 += w * step * step
        total += w
    return step1, step2, total


@numba.njit(fastmath=FAST, **PASS)
def changes_of_dates(after, before, weight, place, found, step1, step2, total):
    """The same for many dates at once: after (y · x, d), the three sums (d,)."""
    dates = after.shape[1]
    for d in range(dates):
        step1[d] = step2[d] = total[d] = 0
    for i in range(found):
        values, was, heavy = after[place[i]], before[place[i]], weight[i]
        for d in range(dates):
            step = values[d] - was
            w = heavy if step == step else np.float32(0)
            step = step if step == step else np.float32(0)
            step1[d] += w * step
            step2[d] += w * step * step
            total[d] += w


@numba.njit(fastmath=FAST | {"reassoc"}, **PASS)
def level(values, weight, place, found):
    """Σ w value / Σ w over the similar pixels."""
    total, heavy = np.float32(0), np.float32(0)
    for i in range(found):
        total += weight[i] * values[place[i]]
        heavy += weight[i]
    return total / heavy


@numba.njit(cache=True, fastmath=FAST, **PASS)
def estarfm(fine, coarse, later, unlike, mean_change, tolerance, distance, least, critical, conversion, valid, half,
            area, shape, space, sums, fused, deviation, count):
    """ESTARFM of one base pair (or one base) for all dates, in the rectangle ``area`` of the image.

    fine, coarse   (k, b, y · x) float32, NaN in both where a base date has no value
    later          (b, y · x, d) float32 the coarse image at the dates to be predicted; NaN allowed
    unlike         (y · x) float32 1 − R of each pixel, at least 0
    mean_change    (k, b, d, y · x) float32 mean over the window of later − coarse; NaN where none is known
    tolerance      (k, b); distance (w · w) 1 + distance / half; least (b,); critical as in ``slope``
    conversion     0: none, 1: slope of the values, 2: of their changes
    valid          (2,) values allowed
    area           (4,) top, bottom, left, right; shape (2,) of the image
    space          mask (w,), place (w · w + 1), offset (w · w + 1), weight (w · w + 1), use (k,)
    sums           (k, 3, d) float32
    fused          (b, d, y · x) float32, filled; deviation the same, or (b, d, 0) where it is not wanted
    count          (y · x) int32 similar pixels, filled
    """
    bases, bands = fine.shape[:2]
    dates, last = later.shape[2], fine.shape[0] - 1
    rows, columns = shape
    mask, place, offset, weight, use = space
    spread = deviation.shape[2] > 0
    for y in range(area[0], area[1]):
        for x in range(area[2], area[3]):
            here, some = y * columns + x, False
            for k in range(bases):
                use[k] = fine[k, 0, here] == fine[k, 0, here]
                some |= use[k]
            n = similar(fine, use, tolerance, y, x, rows, columns, half, mask, place, offset) if some else 0
            count[here] = n
            for i in range(n):
                weight[i] = np.float32(1) / (unlike[place[i]] * distance[offset[i]] + TINY)
            for b in range(bands):
                rate = np.float32(1)
                if last and n > ENOUGH and conversion:
                    rate = np.float32(slope(fine[0, b], fine[last, b], coarse[0, b], coarse[last, b], place, n, here,
                                            least[b], critical, conversion == 2))
                for k in range(bases):
                    if not use[k]:
                        continue
                    if dates == 1:
                        sums[k, 0, 0], sums[k, 1, 0], sums[k, 2, 0] = changes(
                            later[b, :, 0], coarse[k, b], weight, place, n)
                    else:
                        changes_of_dates(later[b], coarse[k, b], weight, place, n, sums[k, 0], sums[k, 1], sums[k, 2])
                for d in range(dates):
                    blend, value, second, first = 0.0, 0.0, 0.0, np.nan
                    for k in range(bases):
                        if not use[k]:
                            continue
                        mean, heavy = np.float64(mean_change[k, b, d, here]), sums[k, 2, d]
                        step, more = mean, 0.0
                        if n > ENOUGH and heavy > 0:
                            step = rate * np.float64(sums[k, 0, d] / heavy)
                            more = rate * rate * np.float64(sums[k, 1, d] / heavy) - step * step
                        if mean == mean:
                            now, guess = 1 / (abs(mean) + TINY), fine[k, b, here] + step
                            first = guess if blend == 0 else first  # the others about it, so that digits are kept
                            blend += now
                            value += now * (guess - first)
                            second += now * (more + (guess - first) ** 2)
                    result = first + value / blend
                    if spread:
                        deviation[b, d, here] = np.sqrt(max(second / blend - (value / blend) ** 2, 0.0))
                    if result < valid[0] or result > valid[1]:
                        value = 0.0
                        for k in range(bases):
                            mean = mean_change[k, b, d, here]
                            if use[k] and mean == mean:
                                value += level(fine[k, b], weight, place, n) / (np.float64(abs(mean)) + TINY)
                        result = value / blend
                    fused[b, d, here] = result


@numba.njit(cache=True, fastmath=FAST, **PASS)
def box(values, half, work, mean):
    """Mean of what is there in the window about each pixel, NaN where nothing is; the same in any part of an image.

    values  (d, y, x) float32, NaN left out; work (4, x) float32;  mean (d, y, x) float32, filled
    """
    dates, rows, columns = values.shape
    line, number, sums, counts = work[0], work[1], work[2], work[3]
    for d in range(dates):
        for y in range(rows):
            top, bottom = window(y, half, rows)
            for x in range(columns):
                line[x] = number[x] = sums[x] = counts[x] = 0
            for row in range(top, bottom):
                one = values[d, row]
                for x in range(columns):
                    line[x] += one[x] if one[x] == one[x] else np.float32(0)
                    number[x] += np.float32(1) if one[x] == one[x] else np.float32(0)
            for step in range(-half, half + 1):
                left, right = max(0, -step), min(columns, columns - step)
                for x in range(right - left):
                    sums[left + x] += line[left + step + x]
                    counts[left + x] += number[left + step + x]
            for x in range(columns):
                mean[d, y, x] = sums[x] / counts[x] if counts[x] > 0 else np.float32(np.nan)


@numba.njit(cache=True, fastmath=FAST, **PASS)
def starfm(fine, coarse, later, tolerance, distance, noise, unit, half, area, shape, space, fused, count):
    """STARFM of one or two base dates, in the rectangle ``area`` of the image.

    later        (b, d, y · x) float32
    noise, unit  (b,) what S and T may exceed those of the middle by, and what they are counted in
    space        mask (w,), place (k, w · w + 1), offset (k, w · w + 1), number (k,), use (k,)
    others       as in ``estarfm``
    """
    bases, bands, dates = fine.shape[0], fine.shape[1], later.shape[1]
    rows, columns = shape
    mask, place, offset, number, use = space
    for y in range(area[0], area[1]):
        for x in range(area[2], area[3]):
            here = y * columns + x
            count[here] = 0
            for k in range(bases):
                number[k] = 0
                if fine[k, 0, here] == fine[k, 0, here]:
                    for other in range(bases):
                        use[other] = other == k
                    number[k] = similar(fine, use, tolerance, y, x, rows, columns, half, mask, place[k], offset[k])
                    count[here] = max(count[here], number[k])
            for b in range(bands):
                for d in range(dates):
                    after, total, value = later[b, d], 0.0, 0.0
                    for k in range(bases):
                        if number[k] == 0:
                            continue
                        f, c = fine[k, b], coarse[k, b]
                        most_s = abs(f[here] - c[here]) + noise[b]
                        most_t = abs(after[here] - c[here]) + noise[b]
                        for i in range(number[k]):
                            j = place[k, i]
                            apart, change = abs(f[j] - c[j]), after[j] - c[j]
                            if apart <= most_s and (abs(change) <= most_t or (most_t != most_t and change == change)):
                                w = 1 / ((apart / unit[b] + 1) * (abs(change) / unit[b] + 1) * distance[offset[k, i]])
                                total += w
                                value += w * (f[j] + change)
                    fused[b, d, here] = value / total if total > 0 else np.nan


numba.config.CACHE_DIR = BEFORE
