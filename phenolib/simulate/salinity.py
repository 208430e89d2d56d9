"""Salt in the topsoil of a delta: where it comes from, how it changes, and what it does to plants and soil.

Three landscapes are alike in all but this:

    terrain   low ground, nearness of the sea and distance from fresh water explain ``EXPLAINED`` of the variance of z
    anywhere  the same distribution of salt, as smooth, without any tie to ground, sea or canals
    harmless  the salt of ``terrain``, which no plant feels and no satellite sees

All numbers are project defaults unless a source is named.
"""

from dataclasses import dataclass

import numpy as np

from phenolib.errors import InputError, near
from phenolib.simulate import ground
from phenolib.simulate.calendar import stream

LANDSCAPES = ("terrain", "anywhere", "harmless")
MEAN, SPREAD = 1.0, 1.15  # of ln S, S in g/kg; gives a mean of 5.0 and an SD of 6.6 within the limits
LIMITS = 0.1, 40.0  # [g/kg]
EXPLAINED = 0.58  # share of the variance of z that low ground, sea and canals explain
WEIGHTS = {"low": 0.45, "coast": 0.35, "canal": 0.40}  # of the scores among themselves
REACH = 430.0, 55.0  # ℓ of both parts of the rest [m]; its correlation is 5 % at 1180 and 150 m
FINE = 0.15  # share of the short part of it
YEARLY, MIDDLE = 0.40, 0.7  # SD of the change between years in z at z = 0, and the z at which it is 60 % of that
KEEPS = 0.6  # of the change from a year to the next
DESALINATION = -0.04  # of ln S in reclaimed land a year
DROUGHT = 0.06  # change of ln S with one SD of the water deficit of the last 120 days
SEASON = ((1, 1.15), (74, 1.30), (166, 1.0), (201, 0.80), (288, 1.0), (366, 1.15))  # day of year, factor on S: high in
# March, leached in July, 1 in the middle of June and of October
ORIGIN = 2019.45  # the middle of June 2019 [years]


# ---- the ground

@dataclass(frozen=True)
class Ground:
    """A delta with the sea beyond one side, all (y, x) in pixels of 10 m.

    elevation  of the bare ground [m]
    coast      distance to the sea [m]
    canal      distance to the nearest river branch or canal, which bear fresh water [m]
    reclaimed  between the old dyke and the sea
    dyke       height of dykes above the ground [m]
    water      river branches and canals
    """

    elevation: np.ndarray
    coast: np.ndarray
    canal: np.ndarray
    reclaimed: np.ndarray
    dyke: np.ndarray
    water: np.ndarray


def relief(seed, area, *, key="relief", turn=0):
    """The ground of an area: it rises gently from the sea, with levees along branches and polders behind dykes.

    seed    of the archive
    area    ``parcels.Area``
    key     of the random streams
    turn    quarter turns against the clock; 0: the sea is in the east
    returns Ground
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter1d

    shape = (area.rows, area.columns) if turn % 2 == 0 else (area.columns, area.rows)
    rng = stream(seed, "delta", key, area.name)
    x, y = (np.arange(n) * 10.0 for n in (shape[1], shape[0]))
    one = np.zeros(1)
    shore, old = (ground.waves(rng, one, y, reach=900.0)[:, 0] for _ in range(2))
    coast = np.maximum(x[-1] - x[None] + (350 + 150 * shore)[:, None], 30.0)
    limit = (np.minimum(2600.0, 0.45 * x[-1]) + 300 * old)[:, None]
    water = np.zeros(shape, bool)
    count = max(2, round(y[-1] / 2500))
    for number in range(count):  # branches run to the sea
        place = (number + rng.uniform(0.3, 0.7)) / count * y[-1]
        line = place + 220 * ground.waves(rng, x, one, reach=900.0)[0]
        water |= np.abs(y[:, None] - line[None]) < rng.uniform(14, 26)
    main = water.copy()
    for number in range(max(1, round(x[-1] / 2600))):  # canals lead from one to the next, not into the polders
        place = x[0] + (number + rng.uniform(0.2, 0.6)) * 2600.0
        line = place + 120 * ground.waves(rng, one, y, reach=900.0)[:, 0]
        water |= (np.abs(x[None] - line[:, None]) < 8) & (coast > limit)
    canal = 10.0 * distance_transform_edt(~water)
    levee = np.exp(-((10.0 * distance_transform_edt(~main) / 160) ** 2))
    bumps = 0.35 * ground.waves(rng, x, y, reach=420.0) + 0.12 * ground.waves(rng, x, y, reach=110.0)
    reclaimed = coast < limit
    flat = gaussian_filter1d(np.where(reclaimed, 0.45, 1.0), 4, axis=1)
    elevation = 0.3 + 3.2 * (1 - np.exp(-coast / 5500)) - 0.25 * (1 - flat) / 0.55 + flat * bumps + 1.0 * levee
    dyke = np.zeros(shape)
    for at in (limit, 430.0):
        dyke = np.maximum(dyke, 2.2 * np.exp(-(((coast - at) / 18) ** 2)))
    layers = (np.maximum(elevation, 0.05).astype(np.float32), coast.astype(np.float32), canal.astype(np.float32),
              reclaimed, (dyke * ~water).astype(np.float32), water)
    return Ground(*(np.ascontiguousarray(np.rot90(layer, turn)) for layer in layers))


def surface(seed, area, land, height):
    """A model of the surface as satellites' radars make it: crops, trees and dykes stand in it, and it has noise.

    land     Ground
    height   (y, x) of crops [m]
    returns  (y/3, x/3) [m], cells of 30 m from the north-west corner; the last ones reach beyond the area
    """
    from scipy.ndimage import gaussian_filter

    x, y = area.middles(*area.whole)
    rng = stream(seed, "delta", "surface", area.name)
    trees = (ground.waves(rng, x, y, reach=45.0) > 1.1) & (land.canal < 90)
    trees |= ground.waves(rng, x, y, reach=90.0) > 2.6  # and of villages
    whole = land.elevation + land.dyke + np.where(trees, 5.0, height)
    edge = [(0, -n % 3) for n in whole.shape]
    whole = np.pad(whole, edge, mode="edge")
    cells = whole.reshape(whole.shape[0] // 3, 3, whole.shape[1] // 3, 3).mean((1, 3))
    noise = gaussian_filter(rng.standard_normal(cells.shape), 0.8)
    return (cells + 1.2 * noise / noise.std()).astype(np.float32)


# ---- the salt

def score(values):
    """Normal scores: values by rank, as a standard normal. returns like ``values``"""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    rank = rankdata(values, "average").reshape(np.shape(values))
    return ndtri((rank - 0.5) / rank.size).astype(np.float32)


def scores(land):
    """What terrain salt comes from: dict of (y, x) standard normal scores, high where there is much salt.

    land     Ground
    returns  low (low ground, smoothed over 100 m), coast (near the sea), canal (far from fresh water)
    """
    from scipy.ndimage import gaussian_filter

    return {"low": -score(gaussian_filter(land.elevation, 10)), "coast": -score(land.coast), "canal": score(land.canal)}


@dataclass(frozen=True)
class Salt:
    """Salt of an area through the years.

    ln S = 1.0 + 1.15·z + ln(season) + 0.06·drought, z = z₀ + a(z₀)·w(t) + trend in reclaimed land

    z₀ is fixed, so very salty and very fresh places stay so; a is largest in the middle, so margins move; w is a smooth
    field that keeps ``KEEPS`` from one June to the next, linear between. The season (``SEASON``) is 1.3 in March, 1 in
    the middle of June and of October and 0.8 in July, linear between.

    base       (y, x) z₀
    years      (year,) at whose middle of June ``wander`` holds
    wander     (year, y, x) standard normal
    reclaimed  (y, x)
    days       (day,) datetime64[D], and drought (day,) deficit of water in SDs around the mean of the season
    """

    base: np.ndarray
    years: np.ndarray
    wander: np.ndarray
    reclaimed: np.ndarray
    days: np.ndarray
    drought: np.ndarray

    def at(self, date, *, season=True, every=1):
        """Salt content of the topsoil, 0–20 cm.

        date     of it
        season   False: without its season and drought, as plants feel it who live through both
        every    so many pixels a side are one
        returns  (y, x) float32 [g/kg]
        """
        date = np.datetime64(date, "D")
        year = date.astype("datetime64[Y]")
        now = 1970 + year.astype(int) + (date - year.astype("datetime64[D]")).astype(int) / 365.25
        place = np.clip(now - 0.45 - self.years[0], 0, self.years.size - 1 - 1e-9)
        low, part = int(place), np.float32(place % 1)
        some = (slice(None, None, every),) * 2
        base = self.base[some]
        wander = (1 - part) * self.wander[low][some] + part * self.wander[min(low + 1, len(self.wander) - 1)][some]
        z = base + YEARLY * np.exp(-0.5 * (base / MIDDLE) ** 2) * wander
        log = MEAN + SPREAD * z + np.float32(DESALINATION * (now - ORIGIN)) * self.reclaimed[some]
        if season:
            dry = self.drought[np.clip(np.searchsorted(self.days, date), 0, self.days.size - 1)]
            log = log + np.float32(np.log(season_factor(date)) + DROUGHT * dry)
        return np.clip(np.exp(log), *LIMITS).astype(np.float32)


def season_factor(date):
    """Factor of the season on the salt of the topsoil, see ``SEASON``.

    >>> [round(float(season_factor(f"2022-{day}")), 2) for day in ("03-15", "06-15", "07-20", "10-15")]
    [1.3, 1.0, 0.8, 1.0]
    """
    date = np.datetime64(date, "D")
    day = (date - date.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 1
    return np.interp(day, *np.array(SEASON).T)


def drought(sky, window=120):
    """How dry the last days were against the same days of other years.

    sky      (time,) Dataset of ``weather.make``
    window   days
    returns  (time,) sum of evaporation less rain, in SDs around the mean of the day of year, within ±2
    """
    deficit = np.cumsum(sky["et0"].values - sky["rain"].values)
    total = deficit - np.concatenate([np.zeros(window), deficit[:-window]])
    day = sky["time"].dt.dayofyear.values
    mean = np.bincount(day, total) / np.maximum(np.bincount(day), 1)
    away = total - mean[day]
    away[:window] = 0
    return np.clip(away / max(away.std(), 1e-9), -2, 2)


def field(seed, area, land, landscape, years, sky):
    """The salt of an area.

    land       Ground
    landscape  one of ``LANDSCAPES``
    years      first and last year
    sky        weather of the area, ``weather.make``
    returns    Salt
    raises     InputError for an unknown landscape

    z₀ = √0.58 · T + √0.42 · G, in normal scores; T is the sum of ``scores`` by ``WEIGHTS``, G a Gaussian field that has
    no linear tie to them. In ``anywhere`` T is that of another delta whose sea is in the north, and the whole has no
    linear tie to the scores of this one.
    """
    known(landscape)
    x, y = area.middles(*area.whole)
    drivers = scores(land)
    rng = stream(seed, "delta", "salt", area.name)
    rest = (np.sqrt(1 - FINE) * ground.waves(rng, x, y, reach=REACH[0])
            + np.sqrt(FINE) * ground.waves(rng, x, y, reach=REACH[1]))
    if landscape == "anywhere":
        other = scores(relief(seed, area, key="another", turn=1))
        told = untied(sum(w * other[name] for name, w in WEIGHTS.items()), drivers)
    else:
        told = sum(w * drivers[name] for name, w in WEIGHTS.items())
    rest = untied(rest, {**drivers, "told": told})
    base = score(np.sqrt(EXPLAINED) * told / told.std() + np.sqrt(1 - EXPLAINED) * rest / rest.std())
    count, wander = years[1] - years[0] + 2, []
    for number in range(count):
        new = ground.waves(stream(seed, "delta", "year", area.name, years[0] + number), x, y, reach=300.0)
        wander.append(new if not number else KEEPS * wander[-1] + np.sqrt(1 - KEEPS**2) * new)
    return Salt(base, years[0] + np.arange(count), np.array(wander, np.float32), land.reclaimed,
                sky["time"].values.astype("datetime64[D]"), drought(sky))


def known(landscape):
    """raises InputError for a landscape that is not one of ``LANDSCAPES``"""
    if landscape not in LANDSCAPES:
        raise InputError(f"salt = {landscape}: is no landscape{near(str(landscape), LANDSCAPES)}")


def untied(values, others):
    """What of a field is not a linear function of others. returns like ``values``, mean 0"""
    design = np.stack([np.ones(values.size), *(other.ravel() for other in others.values())], 1)
    flat = np.asarray(values, float).ravel()
    return (flat - design @ np.linalg.lstsq(design, flat, rcond=None)[0]).reshape(values.shape)


# ---- what salt does

def leaf_factor(salt):
    """Factor on the leaf area: 1 − 0.6·S/(S+8), and nothing grows beyond some 25 g/kg.

    >>> leaf_factor(np.array([0.0, 8.0, 40.0])).round(2).tolist()
    [1.0, 0.7, 0.0]
    """
    return (1 - 0.6 * salt / (salt + 8)) / (1 + np.exp(np.minimum(salt - 25, 60)))


def delay(salt):
    """By how much green-up comes later, 8·(1 − e^{−S/6}) [days].

    >>> delay(np.array([0.0, 5.0, 40.0])).round(1).tolist()
    [0.0, 4.5, 8.0]
    """
    return 8 * (1 - np.exp(-salt / 6))


def pallor(salt):
    """How far salt takes green leaves on the way to ripe ones, less chlorophyll and water: 0.25·S/(S+8) [-]."""
    return 0.25 * salt / (salt + 8)


def moisture(salt):
    """Water that salt holds in the topsoil, 0.08·S/(S+8) [m³ m⁻³]."""
    return 0.08 * salt / (salt + 8)


def crust(salt, theta):
    """Share of bare ground under a crust of salt: 0.7·S/(S+6) where the topsoil is dry.

    salt     (...) [g/kg]
    theta    (...) water of the topsoil [m³ m⁻³]; half of the crust is there at 0.25
    returns  (...) 0–0.7
    """
    return 0.7 * salt / (salt + 6) / (1 + np.exp((theta - 0.25) / 0.03))
