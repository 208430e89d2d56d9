"""Greenness series of single pixels with exactly known season dates, to measure curve methods with.

Every series is a noise-free curve of known form, observed on acquisition days through noise, cloud gaps and clouds
that nobody detected. The dates are read from the noise-free curve, so that no method is its own judge. The eight
kinds differ in what makes dates hard: the form of the curve, the clouds, the acquisition days, neighbouring seasons.
"""

import inspect
import math
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.simulate.calendar import stream

KINDS = {
    "one_season": "one double-logistic season a year, every 5 days, 35 % cloud gaps all year",
    "two_seasons": "two well separated double-logistic seasons a year, every 5 days, 35 % cloud gaps all year",
    "asymmetric": "one season a year of other forms than the double logistic, and cloudy winters (75 % gaps)",
    "gompertz": "one season a year with Gompertz sides as steep as those of one_season, winters with 60 % gaps",
    "irregular": "two satellites with uneven steps, qualities and one outage; half of the pixels are winter crops",
    "unequal": "two partly overlapping seasons a year, the second as low as a third of the first, 45 % gaps",
    "flat": "bare soil, towns and evergreens: no season at all, so that every season found is false",
    "flat_top": "a long plateau with shallow dips, and a harvest within days",
}
EPOCH = "2021-01-01"
YEARS = 3
LENGTH = 365 * YEARS  # days
STEP = 0.5  # of the grid on which the curve is made and read [days]
GRID = np.arange(-200, LENGTH + 200, STEP, dtype=np.float32)  # days; the neighbouring seasons lie outside the series
CHUNK = 1000  # pixels with one random stream, so that more pixels never change the first ones
BLOCK = 250  # pixels made at once, so that they stay in the cache
REACH = 250  # days before its rise and after its fall in which a season is made; there it is below 0.0001
SMALLEST = 0.05  # [NDVI] a side that is lower than this is not a season that a method must find, or may not find
WINDOW = 20  # per cent; the share whose dates bound the season when a found one is matched
MATCH = 10.0  # days by which the middle of a found season may lie outside of that
FOOT = 0.01  # share of the amplitude at which a side has left its trough [-]
DATES = ("sos", "eos")


@dataclass
class Plan:
    """What is drawn for the pixels of one chunk; (season, pixel) arrays also cover the year before and after.

    form           (pixel,) name of the form of the curve
    base           (pixel,) [NDVI]
    start, end     (season, pixel) days at which the rise and the fall are half done
    height         (season, pixel) of the season above the base [NDVI]
    shape          name → (season, pixel) what the form asks for
    wobble         (pixel, grid) added to the base [NDVI], or 0
    days           (time,) acquisition days
    gap            (pixel or 1, time) probability of a gap [-]
    gap_length     (pixel or 1, time) mean length of gaps [acquisitions]
    noise, factor  (pixel,), (time,) their product is the standard deviation of the noise [NDVI]
    lowest         that an undetected cloud can make of a value [NDVI]
    cloudy         (pixel,) bool where the kind mixes conditions
    """

    form: np.ndarray
    base: np.ndarray
    start: np.ndarray
    end: np.ndarray
    height: np.ndarray
    shape: dict
    days: np.ndarray
    gap: np.ndarray
    gap_length: np.ndarray
    noise: np.ndarray
    factor: np.ndarray
    wobble: np.ndarray | float = 0.0
    lowest: float = -0.05
    cloudy: np.ndarray | None = None
    windows: list = field(default_factory=list)

    def __post_init__(self):
        first = np.minimum(self.start, self.shape.get("autumn", self.start)).min(1) - REACH
        last = self.end.max(1) + REACH
        self.windows = [slice(*np.searchsorted(GRID, [a, b])) for a, b in zip(first, last)]


# ----------------------------------------------------------------------------------------------- forms of a season
def logistic(t, rate, half):
    """1/(1+e^{−rate·(t−half)}), made in place in one buffer; (pixel, 1) against (1, day) [-]"""
    x = rate * (half - t)  # (pixel, day)
    np.exp(np.minimum(x, 80, out=x), out=x)
    x += 1
    return np.reciprocal(x, out=x)


def side(t, half, width, power):
    """Rise of Gu et al. (2009), (1+e^{−r(t−s)})^{−c}, given by the days that matter instead of by r and s.

    With x(p) = −ln(p^{−1/c} − 1): r = (x(0.9) − x(0.1)) / width and s = half − x(0.5) / r.

    t       (1, day)
    half    (pixel, 1) day at which half of the rise is done
    width   (pixel, 1) days from a tenth to nine tenths of the rise
    power   (pixel, 1) c; 1: logistic; large: fast start and slow end, near Gompertz; small: slow start and fast end
    returns (pixel, day) [-]
    """
    x10, x50, x90 = (-np.log(p ** (-1 / power) - 1) for p in (0.1, 0.5, 0.9))
    rate = (x90 - x10) / width
    x = logistic(t, rate, half - x50 / rate)
    np.log(x, out=x)
    x *= power
    return np.exp(x, out=x)


def double_logistic(t, start, end, *, k1, k2):
    """Rise minus fall, each a logistic of rate k [1/day]."""
    return logistic(t, k1, start) - logistic(t, k2, end)


def gompertz(t, start, end, *, g1, g2):
    """Gompertz rise minus Gompertz fall, 2^(−e^(−rate·(t−half))): a fast start and a slow end. g1, g2: rates [1/day]"""
    rise, fall = (np.exp(-np.exp(np.clip(rate * (half - t), -80, 20)) * np.float32(np.log(2)))
                  for rate, half in ((g1, start), (g2, end)))
    return rise - fall


def gu(t, start, end, *, rise, fall, c1, c2):
    """Gu's rise times what his fall leaves, so that the product never gets negative."""
    return side(t, start, rise, c1) * (1 - side(t, end, fall, c2))


def gaussian(t, start, end, *, left, a1, a2):
    """Asymmetric Gaussian e^{−(|t−t₀|/w)^a} with its own exponent and width on each side of the peak.

    left  share of the days between the two halves that lies before the peak; the widths follow from it [-]
    """
    days = t - (start + left * (end - start))
    before = days < 0
    width = np.where(before, left * (end - start) / np.log(2) ** (1 / a1),
                     (1 - left) * (end - start) / np.log(2) ** (1 / a2))
    x = np.log(np.maximum(np.abs(days) / width, np.float32(1e-6)))
    x *= np.where(before, a1, a2)
    return np.exp(-np.exp(np.minimum(x, 5, out=x)))


def elmore(t, start, end, *, rise, fall, decline):
    """Two logistic sides (Elmore et al. 2012) and a summer decline by a share of the height between the halves."""
    summer = np.clip((t - start) / (end - start), np.float32(-0.2), np.float32(1.2))
    return (1 - decline * summer) * logistic(t, 4.394 / rise, start) * (1 - logistic(t, 4.394 / fall, end))


def winter_crop(t, start, end, *, rise, fall, c1, c2, autumn, emergence, share, frost):
    """Autumn growth, a plateau through the winter that loses some leaves, green-up in spring and harvest in summer.

    autumn     (pixel, 1) day at which half of the autumn growth is done
    emergence  its 10–90 % width [days]
    share      of the height that is there in autumn [-]
    frost      share of the autumn growth that the winter takes [-]
    """
    plateau = share * logistic(t, 4.394 / emergence, autumn)
    plateau *= 1 - frost * logistic(t, np.float32(4.394 / 70), (autumn + start) / 2)
    return (plateau + (1 - share) * side(t, start, rise, c1)) * (1 - side(t, end, fall, c2))


def plateau(t, start, end, *, rise, fall, dips, depths, widths):
    """A long flat top: two logistic sides and a few shallow dips.

    dips, depths, widths  three each: days, share of the height [-], standard deviation of the dip [days]
    """
    top = logistic(t, 4.394 / rise, start) * (1 - logistic(t, 4.394 / fall, end))
    for day, depth, width in zip(dips, depths, widths):
        x = (t - day) / width
        top *= 1 - depth * np.exp(-0.5 * np.minimum(x * x, 50))
    return top


FORMS = {f.__name__: f for f in (double_logistic, gompertz, gu, gaussian, elmore, winter_crop, plateau)}
TAKES = {name: inspect.getfullargspec(f).kwonlyargs for name, f in FORMS.items()}


def curves(plan, rows):
    """The noise-free curves of some pixels of a chunk on the grid; returns (pixel, grid) [NDVI]."""
    value = np.repeat(plan.base[rows, None].astype(np.float32), GRID.size, 1)
    if np.ndim(plan.wobble):
        value += plan.wobble[rows]
    forms = plan.form[rows]
    for name in np.unique(forms):
        member = np.arange(rows.start, rows.stop)[forms == name]
        for s, window in enumerate(plan.windows):
            # (…, season, pixel) → (…, pixel, 1)
            given = {key: plan.shape[key][..., s, :][..., member, None].astype(np.float32) for key in TAKES[name]}
            start, end, height = (a[s, member, None].astype(np.float32) for a in (plan.start, plan.end, plan.height))
            growth = FORMS[name](GRID[None, window], start, end, **given)
            growth *= height
            if member.size == len(forms):
                value[:, window] += growth
            else:
                value[member - rows.start, window] += growth
    return value


# ------------------------------------------------------------------------------------------------ draws of the kinds
def yearly(per_year, after=1):
    """January the first of every planted season, with the year before and ``after`` years after; (season, 1) days"""
    return 365.0 * np.repeat(np.arange(-1, YEARS + after), per_year)[:, None]


def power(rng, size):
    """Exponents of Gu's sides: log-uniform from 0.3 (slow start, fast end) to 4 (fast start, slow end)."""
    return np.exp(rng.uniform(np.log(0.3), np.log(4), size))


def winters(days, middle=0.5, swing=0.25):
    """Probability of a gap that is highest in the first days of January and lowest in July; (1, time) [-]"""
    return middle + swing * np.cos(2 * np.pi * (days[None] - 3) / 365)


def plain(rng, templates, *, jitter=6.0, heights=(0.35, 0.65)):
    """Double-logistic seasons by ((half rise), (half fall), (rate)) ranges; each pixel has its own dates and rates."""
    each = [[rng.uniform(*r, CHUNK) for r in (start, end, rate, rate)] for start, end, rate in templates]
    january = yearly(len(templates))
    start, end, k1, k2 = (np.tile([e[i] for e in each], (YEARS + 2, 1)) for i in range(4))  # (season, pixel)
    start = january + start + rng.normal(0, jitter, start.shape)
    end = january + end + rng.normal(0, jitter, end.shape)
    return start, end, rng.uniform(*heights, start.shape), {"k1": k1, "k2": k2}


def every(days, share, length):
    """The same gap probability and mean gap length [acquisitions] on all days."""
    return {"days": days, "gap": np.full((1, days.size), share), "gap_length": np.full((1, days.size), length),
            "factor": np.ones(days.size)}


def cloudy_winters(days):
    """Gap probability 0.25 in July to 0.75 at New Year; gaps of 2 acquisitions on average in July, 5 at New Year."""
    gap = winters(days)
    return {"days": days, "gap": gap, "gap_length": 2 + 6 * (gap - 0.25), "factor": np.ones(days.size)}


def one_season(rng, days):
    "Plan of one chunk of this kind."
    base = rng.uniform(0.12, 0.25, CHUNK)
    start, end, height, shape = plain(rng, [((80, 150), (230, 290), (0.05, 0.12))])
    return Plan(np.full(CHUNK, "double_logistic"), base, start, end, height, shape, noise=np.full(CHUNK, 0.02),
                lowest=-np.inf, **every(days, 0.35, 2.5))


def two_seasons(rng, days):
    "Plan of one chunk of this kind."
    base = rng.uniform(0.12, 0.25, CHUNK)
    start, end, height, shape = plain(rng, [((60, 90), (135, 158), (0.08, 0.15)),
                                            ((208, 232), (275, 300), (0.08, 0.15))])
    return Plan(np.full(CHUNK, "double_logistic"), base, start, end, height, shape, noise=np.full(CHUNK, 0.02),
                lowest=-np.inf, **every(days, 0.35, 2.5))


def summer_forms(rng, january):
    """Dates, heights and shapes of one summer season a year, for whichever form the pixel has."""
    size = (len(january), CHUNK)
    half = rng.uniform(90, 160, CHUNK)
    lasts = rng.uniform(75, 160, CHUNK)
    start = january + half + rng.normal(0, 6, size)
    end = january + half + lasts + rng.normal(0, 6, size)
    height = rng.uniform(0.35, 0.65, size)
    pixel = {"rise": rng.uniform(25, 85, CHUNK), "fall": rng.uniform(12, 85, CHUNK),
             "c1": power(rng, CHUNK), "c2": power(rng, CHUNK), "left": rng.uniform(0.3, 0.65, CHUNK),
             "a1": rng.uniform(2, 6, CHUNK), "a2": rng.uniform(2, 6, CHUNK), "decline": rng.uniform(0.1, 0.45, CHUNK)}
    return start, end, height, {name: np.tile(value, (size[0], 1)) for name, value in pixel.items()}


def asymmetric(rng, days):
    "Plan of one chunk of this kind."
    form = rng.choice(["gu", "gaussian", "elmore"], CHUNK, p=[0.5, 0.25, 0.25])
    base = rng.uniform(0.12, 0.25, CHUNK)
    start, end, height, shape = summer_forms(rng, yearly(1))
    return Plan(form, base, start, end, height, shape, noise=rng.uniform(0.02, 0.03, CHUNK), **cloudy_winters(days))


def gompertz_season(rng, days):
    "Plan of one chunk of this kind: the rates give the same days from 20 to 80 % as those of one_season."
    base = rng.uniform(0.12, 0.25, CHUNK)
    start, end, height, shape = plain(rng, [((80, 150), (230, 290), (0.05, 0.12))])
    steep = np.log(np.log(5) / np.log(1.25)) / np.log(16)  # 20 to 80 %: ln(ln 5 / ln 1.25)/g against ln 16/k
    gap = winters(days, 0.4, 0.2)
    return Plan(np.full(CHUNK, "gompertz"), base, start, end, height,
                {"g1": steep * shape["k1"], "g2": steep * shape["k2"]}, noise=np.full(CHUNK, 0.02), lowest=-np.inf,
                days=days, gap=gap, gap_length=2 + 4 * (gap - 0.2), factor=np.ones(days.size))


def irregular(rng, days, factor, scene):
    "Plan of one chunk of this kind; ``factor`` and ``scene`` (time,) are the noise and the clouds of a date."
    january = yearly(1, after=2)
    start, end, height, shape = summer_forms(rng, january)
    form = rng.choice(["gu", "gaussian", "elmore"], CHUNK)
    winter = rng.random(CHUNK) < 0.5
    form = np.where(winter, "winter_crop", form)
    size = start.shape
    spring = january + rng.uniform(60, 105, CHUNK) + rng.normal(0, 6, size)
    harvest = january + rng.uniform(165, 200, CHUNK) + rng.normal(0, 5, size)
    autumn = january - rng.uniform(50, 90, CHUNK) + rng.normal(0, 5, size)
    start, end = np.where(winter, spring, start), np.where(winter, harvest, end)
    height = np.where(winter, rng.uniform(0.42, 0.68, size), height)
    shape |= {"rise": np.where(winter, rng.uniform(25, 55, CHUNK), shape["rise"]),
              "fall": np.where(winter, rng.uniform(12, 35, CHUNK), shape["fall"]), "autumn": autumn,
              "emergence": np.tile(rng.uniform(15, 35, CHUNK), (size[0], 1)), "share": rng.uniform(0.22, 0.55, size),
              "frost": rng.uniform(0, 0.25, size)}
    cloudy = rng.random(CHUNK) < 0.5
    gap = np.clip(np.where(cloudy, 0.52, 0.25)[:, None] + scene + winters(days, 0, 0.1), 0.03, 0.92)
    return Plan(form, rng.uniform(0.12, 0.25, CHUNK), start, end, height, shape, days, gap, np.full_like(gap, 2.5),
                rng.uniform(0.018, 0.026, CHUNK), factor, cloudy=cloudy)


def unequal(rng, days):
    "Plan of one chunk of this kind."
    base = rng.uniform(0.12, 0.25, CHUNK)
    first, lasts, between, second = (rng.uniform(*r, CHUNK) for r in ((60, 95), (60, 85), (24, 55), (60, 90)))
    halves = np.cumsum([first, lasts, between, second], 0)  # (4, pixel)
    january = yearly(2)
    size = (len(january), CHUNK)
    start = january + np.tile(halves[0::2], (YEARS + 2, 1)) + rng.normal(0, 4, size)
    end = january + np.tile(halves[1::2], (YEARS + 2, 1)) + rng.normal(0, 4, size)
    height = rng.uniform(0.35, 0.65, size)
    height[1::2] = height[0::2] * rng.uniform(0.35, 1, (YEARS + 2, CHUNK))
    rates = {name: np.tile(rng.uniform(0.075, 0.14, (2, CHUNK)), (YEARS + 2, 1)) for name in ("k1", "k2")}
    return Plan(np.full(CHUNK, "double_logistic"), base, start, end, height, rates, noise=np.full(CHUNK, 0.02),
                **every(days, 0.45, 2.5))


def flat(rng, days):
    "Plan of one chunk of this kind: a yearly wave and a slow drift, together less than SMALLEST from low to high."
    low, high = np.array([(0.08, 0.2), (0.15, 0.32), (0.6, 0.85)])[rng.integers(3, size=CHUNK)].T
    wave = rng.uniform(0, 0.015, (CHUNK, 1)) * np.cos(2 * np.pi * (GRID - rng.uniform(0, 365, (CHUNK, 1))) / 365)
    knots = np.arange(GRID[0], GRID[-1] + 16, 15)
    drift = rng.normal(size=(CHUNK, knots.size))
    for k in range(1, knots.size):  # correlation over about 60 days
        drift[:, k] = 0.78 * drift[:, k - 1] + 0.63 * drift[:, k]
    where = (GRID - knots[0]) / 15
    k = where.astype(int)
    wobble = wave + 0.006 * (drift[:, k] * (1 - where + k) + drift[:, k + 1] * (where - k))
    wobble *= np.minimum(1, 0.95 * SMALLEST / np.ptp(wobble, 1, keepdims=True))
    none = np.empty((0, CHUNK))
    return Plan(np.full(CHUNK, "double_logistic"), rng.uniform(low, high), none, none, none, {},
                wobble=wobble.astype(np.float32), noise=np.full(CHUNK, 0.02), **cloudy_winters(days))


def flat_top(rng, days):
    "Plan of one chunk of this kind."
    january = yearly(1)
    size = (len(january), CHUNK)
    start = january + rng.uniform(80, 140, CHUNK) + rng.normal(0, 6, size)
    end = january + rng.uniform(240, 300, CHUNK) + rng.normal(0, 6, size)
    shape = {"rise": np.tile(rng.uniform(25, 65, CHUNK), (size[0], 1)), "fall": rng.uniform(3, 8, size),
             "dips": start + (end - start) * rng.uniform(0.25, 0.9, (3, *size)),
             "depths": rng.uniform(0.02, 0.1, (3, *size)), "widths": rng.uniform(4, 9, (3, *size))}
    return Plan(np.full(CHUNK, "plateau"), rng.uniform(0.12, 0.25, CHUNK), start, end, rng.uniform(0.4, 0.65, size),
                shape, noise=rng.uniform(0.02, 0.03, CHUNK), **every(days, 0.4, 2.5))


DRAWS = {f.__name__: f for f in (one_season, two_seasons, asymmetric, irregular, unequal, flat, flat_top)}
DRAWS["gompertz"] = gompertz_season
PER_YEAR = {"two_seasons": 2, "unequal": 2}


def acquisitions(kind, seed):
    """Acquisition days of a set, and what belongs to the dates of an irregular one.

    returns  days (time,), {} or {"factor": (time,) of the noise, "scene": (time,) added to the probability of a gap}
    """
    if kind != "irregular":
        return np.arange(0.0, LENGTH, 5), {}
    rng = stream(seed, kind, "dates")
    days = np.cumsum(rng.choice([2, 3, 5, 8], LENGTH // 2, p=[0.25, 0.25, 0.35, 0.15])) - 2.0
    days = days[days < LENGTH]
    out = rng.uniform(60, LENGTH - 110)
    days = days[(days < out) | (days > out + rng.uniform(30, 50))]
    return days, {"factor": rng.uniform(0.6, 1.6, days.size), "scene": rng.uniform(-0.2, 0.2, days.size)}


def gaps(rng, plan):
    """Cloud gaps as a two-state chain whose probability is that of the plan on every date; (pixel, time) bool"""
    chance = rng.random((CHUNK, plan.days.size), dtype=np.float32)
    cloud = np.empty(chance.shape, bool)
    p = np.broadcast_to(plan.gap, chance.shape)
    stay = 1 - 1 / np.broadcast_to(plan.gap_length, chance.shape)
    cloud[:, 0] = chance[:, 0] < p[:, 0]
    for j in range(1, plan.days.size):
        enter = (p[:, j] - p[:, j - 1] * stay[:, j]) / (1 - p[:, j - 1])
        cloud[:, j] = chance[:, j] < np.where(cloud[:, j - 1], stay[:, j], enter)
    return cloud


def observe(rng, plan):
    """Noise, undetected clouds (5 %) and gaps of a chunk; (pixel, time) float32, float32 [NDVI], bool"""
    size = (CHUNK, plan.days.size)
    noise = rng.standard_normal(size, dtype=np.float32) * plan.noise[:, None].astype(np.float32)
    noise *= plan.factor.astype(np.float32)
    drop = np.where(rng.random(size) < 0.05, rng.uniform(0.05, 0.3, size), 0).astype(np.float32)
    return noise, drop, gaps(rng, plan)


# ------------------------------------------------------------------------------------------------------------ truth
def turns(value, start, end):
    """Peaks between the half dates of the planted seasons, and the troughs between neighbouring peaks.

    value       (pixel, grid)
    start, end  (season, pixel) days
    returns     peak (season, pixel), left, right (season − 2, pixel): positions on the grid; without the outer seasons
    """
    n = len(value)
    lo = np.clip(np.ceil((start - GRID[0]) / STEP).astype(int), 0, GRID.size - 2)
    hi = np.clip(((end - GRID[0]) / STEP).astype(int), lo + 1, GRID.size - 1)
    peak = np.empty(start.shape, int)
    for s in range(len(start)):
        a, b = lo[s].min(), hi[s].max() + 1
        at = np.arange(a, b)
        inside = (at >= lo[s][:, None]) & (at <= hi[s][:, None])
        peak[s] = a + np.where(inside, value[:, a:b], np.float32(-9)).argmax(1)
    trough = np.empty((len(start) - 1, n), int)
    for s in range(len(start) - 1):
        a, b = peak[s].min(), peak[s + 1].max() + 1
        at = np.arange(a, b)
        inside = (at >= peak[s][:, None]) & (at <= peak[s + 1][:, None])
        trough[s] = a + np.where(inside, value[:, a:b], np.float32(9)).argmin(1)
    return peak, trough[:-1], trough[1:]


def reached(value, trough, peak, level):
    """Day at which the curve first reaches a level on the way from its trough to its peak, on either side.

    value         (pixel, grid)
    trough, peak  (pixel,) positions on the grid; a trough after the peak is walked backwards
    level         (pixel,) [NDVI], above the trough and not above the peak
    returns       (pixel,) days, linear between the grid points
    """
    pixel = np.arange(len(value))
    a, b = min(trough.min(), peak.min()), max(trough.max(), peak.max()) + 1
    above = value[:, a:b] >= level[:, None]
    at = np.arange(a, b)
    if trough[0] < peak[0]:
        above &= at > trough[:, None]
        k = a + above.argmax(1)
        before = k - 1
    else:
        above &= at < trough[:, None]
        k = b - 1 - above[:, ::-1].argmax(1)
        before = np.minimum(k + 1, GRID.size - 1)
    low, high = value[pixel, before], value[pixel, k]
    share = (level - low) / np.maximum(high - low, np.float32(1e-9))
    return GRID[before] + share * (GRID[k] - GRID[before])


def truth(value, plan, rows, shares):
    """Dates and levels of the noise-free curves of some pixels.

    value    (pixel, grid) [NDVI]
    shares   per cent of the amplitude of each side
    returns  {"peak", "left", "right" [days], "top", "base_left", "base_right" [NDVI], "foot_left", "foot_right" [days]:
             (pixel, season), "sos", "eos": (pixel, season, share) [days]}
    """
    peak, left, right = turns(value, plan.start[:, rows], plan.end[:, rows])
    pixel = np.arange(len(value))
    found = {name: [] for name in ("peak", "top", "base_left", "base_right", "foot_left", "foot_right", *DATES)}
    for s in range(len(left)):
        at = peak[s + 1]
        top = value[pixel, at]
        found["peak"].append(GRID[at])
        found["top"].append(top)
        for date, foot, base, trough in (("sos", "foot_left", "base_left", left[s]),
                                         ("eos", "foot_right", "base_right", right[s])):
            low = value[pixel, trough]
            found[base].append(low)
            found[foot].append(reached(value, trough, at, low + FOOT * (top - low)))
            days = [reached(value, trough, at, low + np.float32(p / 100) * (top - low)) for p in shares]
            found[date].append(np.stack(days, -1))
    return {name: np.stack(value, 1) for name, value in found.items()}


# --------------------------------------------------------------------------------------------------------- the series
def series(kind, pixels, *, seed=0, shares=(20, 50), margin=20.0):
    """Greenness series of three years with known season dates.

    The dates are those of the noise-free curve c, each side with its own amplitude from the trough between two
    neighbouring peaks:

        SOSₚ = first day on the way from the left trough to the peak with c ≥ c_left + p · (c_peak − c_left)
        EOSₚ = last day on the way from the peak to the right trough with c ≥ c_right + p · (c_peak − c_right)

    A season is complete where both sides are at least ``SMALLEST`` high and where it lies at least ``margin`` days
    inside the series, from the day it has left its left trough (1 % of the amplitude) to the day it has reached the
    right one. Dates of other seasons are missing. The same kind and seed give the same bytes, and more pixels do not
    change the first ones.

    kind     one of ``KINDS``
    pixels   how many
    seed     0 or more
    shares   of the amplitude, whole per cent
    margin   [days]; None: a season is complete where its dates at all ``shares`` lie inside the series
    returns  Dataset with
             ndvi (pixel, time) observed, NaN in cloud gaps; clean (pixel, time) without noise
             sos, eos (pixel, season, share) [days since EPOCH], share in per cent; NaN where not complete
             peak (pixel, season) [days]; amplitude (peak − mean of both bases), base_left, base_right [NDVI]; the same
             complete (pixel, season) bool
             season_start, season_end (pixel, season) [days] at 20 %, also of incomplete seasons; ``score`` needs them
             cloudy (pixel) bool: the worse of the two cloud conditions in 'irregular'; in other kinds a larger share
             of gaps than the median pixel
             noise (pixel), noise_factor (time): their product is the standard deviation of the noise [NDVI]
             form (pixel): name of the form of the curve; year (season): in which the season ends; day (time)
    raises   InputError for an unknown kind, and for pixels, a seed, shares or a margin that make no sense

    >>> made = series("one_season", 2)
    >>> dict(made.sizes)
    {'pixel': 2, 'time': 219, 'season': 3, 'share': 2}
    """
    shares = checked(kind, pixels, seed, shares, margin)
    days, more = acquisitions(kind, seed)
    at = np.rint((days - GRID[0]) / STEP).astype(int)  # acquisition days lie on the grid
    asked = sorted({*shares, WINDOW})
    seasons = YEARS * PER_YEAR.get(kind, 1) + (kind == "irregular")  # there also what is sown in the last autumn
    made = {name: [] for name in ("ndvi", "clean", "noise", "cloudy", "form")}
    known = []
    for chunk in range(math.ceil(pixels / CHUNK)):
        rng = stream(seed, kind, chunk)
        plan = DRAWS[kind](rng, days, **more)
        noise, drop, gap = observe(rng, plan)
        share = gap.mean(1)
        cloudy = share > np.median(share) if plan.cloudy is None else plan.cloudy
        size = min(CHUNK, pixels - chunk * CHUNK)
        for first in range(0, size, BLOCK):
            rows = slice(first, min(first + BLOCK, size))
            value = curves(plan, rows)
            clean = value[:, at]
            seen = clean + noise[rows]
            seen = np.maximum(seen - drop[rows], np.minimum(seen, np.float32(plan.lowest)))
            seen[gap[rows]] = np.nan
            made["ndvi"].append(seen)
            made["clean"].append(clean)
            if len(plan.start):
                # the first planted season of a year with two has no trough of its own before it
                found = truth(value, plan, rows, asked)
                skip = PER_YEAR.get(kind, 1) - 1
                known.append({name: v[:, skip : skip + seasons] for name, v in found.items()})
        made["noise"].append(plan.noise[:size])
        made["cloudy"].append(cloudy[:size])
        made["form"].append(plan.form[:size] if kind != "flat" else np.full(size, "flat"))
    made = {name: np.concatenate(value) for name, value in made.items()}
    if known:
        known = {name: np.concatenate([k[name] for k in known]) for name in known[0]}
    else:
        known = {name: np.full((pixels, seasons) + (len(asked),) * (name in DATES), np.nan)
                 for name in ("peak", "top", "base_left", "base_right", "foot_left", "foot_right", *DATES)}
    return dataset(kind, seed, days, more, made, known, shares, asked, margin)


def checked(kind, pixels, seed, shares, margin):
    """The shares as a list of whole numbers; raises InputError for what ``series`` cannot make."""
    if kind not in KINDS:
        raise InputError(f"kind of series '{kind}' is not known{near(kind, KINDS)}")
    for name, value, least in (("pixels", pixels, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} is {value!r}; give a whole number from {least}")
    shares = list(np.atleast_1d(np.asarray(shares, object)))
    good = [isinstance(p, int | float | np.number) and not isinstance(p, bool) and p == int(p) and 1 <= p <= 99
            for p in shares if not (isinstance(p, float) and not np.isfinite(p))]
    if not shares or len(good) < len(shares) or not all(good) or len(set(shares)) < len(shares):
        raise InputError(f"shares are {shares}; give different whole per cent from 1 to 99, e.g. (20, 50)")
    if margin is not None and not 0 <= margin < LENGTH / 2:
        raise InputError(f"margin is {margin}; give days from 0 to {LENGTH // 2}, or None")
    return [int(p) for p in shares]


def dataset(kind, seed, days, more, made, known, shares, asked, margin):
    """Names, units and the mask of incomplete seasons for what ``series`` has made."""
    pick = [asked.index(p) for p in shares]
    first, last = days[0], days[-1]
    sides = np.minimum(known["top"] - known["base_left"], known["top"] - known["base_right"])
    if margin is None:
        inside = (known["sos"][..., pick] >= first).all(-1) & (known["eos"][..., pick] <= last).all(-1)
    else:
        inside = (known["foot_left"] >= first + margin) & (known["foot_right"] <= last - margin)
    complete = inside & (sides >= SMALLEST)

    def masked(values):
        mask = complete[..., None] if values.ndim == 3 else complete
        return np.where(mask, values, np.nan).astype(np.float32)

    date = {"units": "d", "epoch": EPOCH, "comment": f"days since {EPOCH}"}
    level = {"units": "1"}
    wide, per, dates = ("pixel", "time"), ("pixel", "season"), ("pixel", "season", "share")
    base = (known["base_left"] + known["base_right"]) / 2
    window = asked.index(WINDOW)
    years = np.repeat(np.arange(YEARS + 1), PER_YEAR.get(kind, 1))[: known["peak"].shape[1]] + int(EPOCH[:4])
    return xr.Dataset(
        {
            "ndvi": (wide, made["ndvi"], level | {"long_name": "observed greenness"}),
            "clean": (wide, made["clean"], level | {"long_name": "greenness without noise, clouds and gaps"}),
            "sos": (dates, masked(known["sos"][..., pick]), date | {"long_name": "start of season"}),
            "eos": (dates, masked(known["eos"][..., pick]), date | {"long_name": "end of season"}),
            "peak": (per, masked(known["peak"]), date),
            "amplitude": (per, masked(known["top"] - base), level),
            "base_left": (per, masked(known["base_left"]), level),
            "base_right": (per, masked(known["base_right"]), level),
            "complete": (per, complete),
            "season_start": (per, known["sos"][..., window].astype(np.float32), date),
            "season_end": (per, known["eos"][..., window].astype(np.float32), date),
            "cloudy": ("pixel", made["cloudy"]),
            "noise": ("pixel", made["noise"].astype(np.float32), level),
            "noise_factor": ("time", more.get("factor", np.ones(days.size)).astype(np.float32)),
            "form": ("pixel", made["form"]),
        },
        coords={"time": np.datetime64(EPOCH, "ns") + days.astype("timedelta64[D]"), "day": ("time", days),
                "share": shares, "year": ("season", years)},
        attrs={"kind": kind, "seed": int(seed), "epoch": EPOCH, "years": YEARS,
               "comment": f"simulated: {KINDS[kind]}"},
    )


# --------------------------------------------------------------------------------------------------------------- score
def score(found_sos, found_eos, truth, share):
    """How well found dates meet the true ones.

    A found season belongs to a true one if its middle lies between the true 20 % dates, widened by 10 days; each is
    used once, the nearest middle first come. What is found in an incomplete season is left out.

    found_sos, found_eos  (pixel, found) days since EPOCH or datetime64, NaN or NaT where nothing was found
    truth                 of ``series``, of the same pixels
    share                 per cent; one of ``truth.share``
    returns               found [% of the true seasons], false [% of the true seasons; of the pixel years where there
                          is none], mae_sos, bias_sos (found − true), p90_sos (of |error|), the same of eos [days],
                          true, pairs [counts]; NaN without pairs
    raises                InputError for a share that the truth does not have, and for other numbers of pixels

    >>> made = series("one_season", 5)
    >>> score(made.sos.sel(share=50), made.eos.sel(share=50), made, 50)["found"]
    100.0
    """
    if share not in truth.share.values:
        raise InputError(f"share {share} is not in the truth; it has {', '.join(str(p) for p in truth.share.values)}")
    sos, eos = numbers(found_sos), numbers(found_eos)
    if sos.shape != eos.shape or len(sos) != truth.sizes["pixel"]:
        raise InputError(f"found starts are {sos.shape} and ends {eos.shape}; give (pixel, found) for the "
                         f"{truth.sizes['pixel']} pixels of the truth")
    middle = (sos + eos) / 2  # (pixel, found)
    complete = truth.complete.values
    true_sos, true_eos = (truth[name].sel(share=share).values.astype(float) for name in DATES)  # (pixel, season)
    low, high = truth.season_start.values - MATCH, truth.season_end.values + MATCH
    used = np.zeros(middle.shape, bool)
    pixel = np.arange(len(middle))
    early, late = [np.empty(0)], [np.empty(0)]
    for s in range(complete.shape[1] if middle.shape[1] else 0):
        away = np.abs(middle - (true_sos[:, s] + true_eos[:, s])[:, None] / 2)
        fits = (middle >= low[:, s, None]) & (middle <= high[:, s, None]) & ~used & complete[:, s, None]
        away[~fits] = np.inf
        k = away.argmin(1)
        good = np.isfinite(away[pixel, k])
        used[pixel[good], k[good]] = True
        early.append((sos[pixel, k] - true_sos[:, s])[good])
        late.append((eos[pixel, k] - true_eos[:, s])[good])
    partial = (middle[:, :, None] >= low[:, None]) & (middle[:, :, None] <= high[:, None]) & ~complete[:, None]
    false = np.isfinite(middle) & ~used & ~partial.any(-1)
    early, late = np.concatenate(early), np.concatenate(late)
    true = int(complete.sum())
    result = {"found": 100 * early.size / true if true else math.nan,
              "false": 100 * float(false.sum()) / (true or len(middle) * YEARS)}
    for name, error in (("sos", early), ("eos", late)):
        size = np.abs(error)
        result |= {f"mae_{name}": float(size.mean()) if size.size else math.nan,
                   f"bias_{name}": float(error.mean()) if size.size else math.nan,
                   f"p90_{name}": float(np.percentile(size, 90)) if size.size else math.nan}
    return result | {"true": true, "pairs": int(early.size)}


def numbers(dates):
    """Dates as (pixel, found) float days since EPOCH."""
    dates = np.asarray(dates)
    if dates.dtype.kind == "M":
        dates = (dates - np.datetime64(EPOCH)) / np.timedelta64(1, "D")
    dates = dates.astype(float)
    return dates[:, None] if dates.ndim == 1 else dates
