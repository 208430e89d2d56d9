"""What satellites and products see of the simulated peninsula: temperatures, NDVI, clouds, coarse moisture and rain.

All forms and numbers are project defaults unless a source is named.
"""

from functools import cached_property

import numpy as np

from phenolib.errors import InputError, near
from phenolib.simulate import clouds, ground, regional
from phenolib.simulate.calendar import stream

IMAGES = ("moisture", "weather", "elsewhere")
NDVI = 0.957, 0.129, 0.91  # of dense leaves, of dry soil, and k of the leaf area, fitted to spectra of PROSAIL
ANY, COMMON = (0.06, 0.34), 0.6  # θ from dry to wet for any soil [m³ m⁻³], and the share of that scale in the wetness
TYPICAL = 0.55, 0.70  # wetness of both layers that images have which do not answer to moisture
CLOUDY = (0.40, 0.40, 0.42, 0.42, 0.45, 0.60, 0.70, 0.65, 0.52, 0.38, 0.42, 0.42)  # probability by month
RAINY = 0.93  # probability of cloud where it rains 1 mm or more
THIN = 0.03  # share of the clear that has thin cloud unseen
COLDER = 2.0, 6.0  # by which thin cloud lowers a temperature [K]
LONG = 6  # days of cloud after which the coarse product has no temperature
NOISE = {"lst": 0.5, "ndvi": 0.012}  # SD of a fine pixel and day, of a composite
COARSE_NOISE = {"lst": 0.6, "ndvi": 0.015}
COARSE_BIAS = {"lst": 0.6, "ndvi": 0.015}  # SD of a smooth field; about ±1 K and ±0.03
STEP, COMPOSITE = 8, 16  # days between coarse NDVI, and of a composite of fine NDVI
LEAST = 0.3  # share of land that a coarse cell needs
DAMPED = 30.0  # days of the filter on the root zone of forests in the coarse product
AMPLITUDE = 0.75, 0.90  # of the coarse product around its mean, from lowest to highest
BIAS, REACH = 0.03, 37e3  # SD of its smooth bias [m³ m⁻³], and its reach, 1.5 cells [m]
SEASON = 0.01  # of its seasonal bias, half the range
ERROR = 0.015  # SD of its error that lasts
KEEPS, WHITE = {"surface": 0.85, "root_zone": 0.97}, {"surface": 0.007, "root_zone": 0.002}  # what is left of that
# after a day; SD of its noise
MAPS, MAPPED = (0.06, 0.04), 3.0  # SD of the error of maps of sand and clay, and of the filter on them [fine pixels]
RAIN_ERROR, DRIZZLE = 0.25, 0.03  # SD of ln rain of the product; share of dry days with false drizzle


class View:
    """Images of a basin.

    The surface is warmer than the air by 24 K · Rs/25 · (1 − EF)·(0.4 + 0.6·e^(−0.45·LAI)), with the evaporative
    fraction EF = 0.15 + 0.6·[(1 − f)·w₂ + f·w₁], f = e^(−0.45·LAI), w₁ and w₂ the wetness of the upper layer and that
    of the lower one: 40 % on the scale of the own soil, from half of wilting or from wilting to field capacity, and
    60 % on one scale for all soils, ``ANY``. Wetting by half of that range cools bare soil by up to 7 K, forest by
    3 K. Wetting both layers by as much warms clear nights by 1.2 to 1.6 K. NDVI = 0.957 − (0.957 − s)·e^(−0.91·LAI),
    s = 0.129 for dry soil and 0.02 more for wet, darker soil.

    basin   ``regional.Basin``
    seed    of the archive
    images  "moisture": as said; "weather": of the same land, but w₁, w₂ and LAI do not answer to moisture;
            "elsewhere": of another land of the same statistics, with no answer to moisture either
    raises  InputError for other images
    """

    def __init__(self, basin, seed, images="moisture"):
        known(images)
        self.basin, self.seed, self.images, self.sky = basin, seed, images, basin.sky
        land = basin.land
        self.land = land
        self.seen = basin
        if images == "elsewhere":
            other = regional.land(seed, land.land.shape[0] // regional.FINE, land.land.shape[1] // regional.FINE,
                                  key="elsewhere", coast=land.land)
            self.seen = regional.Basin(other, basin.sky)
        x, y = regional.kilometres(land.lon, land.lat)
        rough = ground.waves(stream(seed, "peninsula", images == "elsewhere", "emissivity"), x, y, reach=1.5e3)
        self.texture = land.on(0.3 * rough).astype(np.float32)

    def state(self, water, days):
        """Wetness of both layers, 0-1, and leaf area, as the images know them. returns three (time, pixel)"""
        seen = self.seen
        if self.images != "moisture":
            day = self.sky.series["time"].dt.dayofyear.values[days]
            table = regional.leaf_table()
            leaves = table[seen.kind[None], (day[:, None] + seen.shift[None]) % 366]
            leaves = 0.93 * leaves * seen.land.on(seen.land.vigour)
            return np.float32(TYPICAL[0]), np.float32(TYPICAL[1]), leaves.astype(np.float32)
        wilting, full = (v.astype(np.float32) for v in (seen.soil.wilting, seen.soil.field))
        found = []
        for theta, low, high in ((water["surface"], 0.5 * wilting, full), (water["lower"], wilting, full)):
            own, common = (theta - low) / (high - low), (theta - ANY[0]) / (ANY[1] - ANY[0])
            found.append(np.clip((1 - COMMON) * own + COMMON * common, 0, 1.2))
        return *found, water["lai"]

    def make(self, water, days):
        """True images of days, without cloud and noise.

        water    of ``Basin.balance``
        days     slice of the weather
        returns  dict of (time, pixel) float32 lst_day, lst_night [°C], ndvi [-]
        """
        upper, lower, leaves = self.state(water, days)
        land, series = self.seen.land, self.sky.series.isel(time=days)
        height = land.on(land.elevation)
        air = water["air"] if self.seen is self.basin else regional.temperature(self.land, self.sky, days, height)
        width = (series["t_max"] - series["t_min"]).values.astype(np.float32)[:, None]
        light = np.clip(series["radiation"].values / 25, 0.12, 1.2).astype(np.float32)[:, None]
        clear = np.clip(series["radiation"].values / self.sky.outside[days] / 0.6, 0.2, 1.1)
        clear = clear.astype(np.float32)[:, None]
        open_ = np.exp(np.float32(-0.45) * leaves)
        town = land.on(land.cover == 13).astype(np.float32)
        fraction = 0.15 + 0.6 * ((1 - open_) * lower + open_ * upper)
        day = (air + 0.25 * width - 3 + 24 * light * (1 - fraction) * (0.4 + 0.6 * open_)
               + 2.5 * light * town + self.texture)
        forest = (land.on(land.cover) < 6).astype(np.float32)
        warm = (upper - TYPICAL[0]) * (0.2 + 0.8 * open_) + (lower - TYPICAL[1]) * (1 - 0.4 * open_)
        night = (air - 0.45 * width - 0.5 + 2.0 * warm * clear + 1.5 * town + 0.8 * forest
                 + 0.6 * self.texture)
        dense, soil, k = NDVI
        ndvi = dense - (dense - soil - 0.02 * upper) * np.exp(np.float32(-k) * leaves)
        return {name: v.astype(np.float32) for name, v in (("lst_day", day), ("lst_night", night), ("ndvi", ndvi))}

    # ---- clouds

    @cached_property
    def _excess(self):
        """How far the field of clouds lies above what makes a cloud, by day and by night, on 0.05°, and its band."""
        from scipy.special import ndtri

        sky, land = self.sky, self.land
        x, y = (v.reshape(-1, 6).mean(1) for v in regional.kilometres(land.lon, land.lat))
        wet = sky.rain >= 1
        month = sky.time.astype("datetime64[M]").astype(int) % 12
        raining = np.array([wet[month == m].mean() if (month == m).any() else 0.0 for m in range(12)])
        dry = np.clip((np.array(CLOUDY) - RAINY * raining) / (1 - raining), 0.05, 0.9)
        chance = np.where(wet, RAINY, dry[month][:, None, None])
        wide = clouds.sky(stream(self.seed, "peninsula", "clouds"), sky.time, reach=450e3, persistence=0.5)
        wide, found = wide.at(x[None], y[:, None]), {}
        for name in ("lst_day", "lst_night"):
            small = clouds.sky(stream(self.seed, "peninsula", "clouds", name), sky.time, reach=80e3, persistence=0.2)
            g = np.sqrt(0.75) * wide + 0.5 * small.at(x[None], y[:, None])
            found[name] = ((g - ndtri(1 - chance)).astype(np.float32),
                           (g - ndtri(1 - chance - THIN * (1 - chance))).astype(np.float32))
        return found

    def cloud(self, name, days):
        """Clouds over land pixels: seen, and thin and unseen. returns two (time, pixel) bool"""
        thick, band = (self.land.on(self.sky.spread(v[days]) > 0) for v in self._excess[name])
        return thick, band & ~thick

    def long_cloud(self, name):
        """Where cloud has lasted more than ``LONG`` days, on all days. returns (time, y/6, x/6) bool"""
        cloudy = self._excess[name][0] > 0
        run = np.zeros(cloudy.shape, int)
        for t in range(len(run)):
            run[t] = np.where(cloudy[t], (run[t - 1] if t else 0) + 1, 0)
        return run > LONG

    # ---- fine and coarse images

    def modis_lst(self, name, truth, days, year):
        """Temperatures of the fine sensor: nothing under cloud, too cold under thin cloud. returns (time, pixel)"""
        rng = stream(self.seed, "peninsula", "modis", name, year)
        thick, thin = self.cloud(name, days)
        found = truth + np.float32(NOISE["lst"]) * rng.standard_normal(truth.shape, dtype=np.float32)
        colder = rng.uniform(*COLDER, (len(found), 1)).astype(np.float32)
        found -= thin * colder
        found[thick] = np.nan
        return found

    def modis_ndvi(self, truth, days, year):
        """The best NDVI of sixteen days. returns (time,) first days of composites, (time, pixel)"""
        rng = stream(self.seed, "peninsula", "modis", "ndvi", year)
        thick, thin = self.cloud("lst_day", days)
        seen = np.where(thick, np.float32(np.nan), truth - np.float32(0.12) * thin)
        starts = np.arange(0, len(truth), COMPOSITE)
        found = np.stack([np.fmax.reduce(seen[k:k + COMPOSITE], axis=0) for k in starts])
        found += np.float32(NOISE["ndvi"]) * rng.standard_normal(found.shape, dtype=np.float32)
        return self.sky.time[days][starts], np.clip(found, -0.2, 1)

    @cached_property
    def _sixes(self):
        """Weights of the means over 6 × 6 fine pixels, and which of these have land on half of it or more."""
        from scipy.sparse import csr_matrix

        rows, columns = np.nonzero(self.land.land)
        shape = tuple(n // 6 for n in self.land.land.shape)
        cell = rows // 6 * shape[1] + columns // 6
        count = np.bincount(cell, minlength=shape[0] * shape[1])
        weights = csr_matrix((1.0 / count[cell], (cell, np.arange(cell.size))), (count.size, cell.size))
        return weights.astype(np.float32), (count >= 18).reshape(shape)

    def sixes(self, values):
        """Means over 6 × 6 fine pixels of the land in them. returns (time, y/6, x/6) float32, NaN at sea"""
        weights, dry = self._sixes
        return np.where(dry, (weights @ values.T).T.reshape(-1, *dry.shape), np.float32(np.nan))

    def _smooth(self, name, sd):
        x, y = (v.reshape(-1, 6).mean(1) for v in regional.kilometres(self.land.lon, self.land.lat))
        return sd * ground.waves(stream(self.seed, "peninsula", "glass", name), x, y, reach=35e3, smoothness=2.5)

    def glass_lst(self, name, truth, days, year):
        """Temperatures of the coarse product, gaps only under long cloud. returns (time, y/6, x/6)"""
        rng = stream(self.seed, "peninsula", "glass", name, year)
        found = self.sixes(truth) + self._smooth(name, COARSE_BIAS["lst"])
        found = found + COARSE_NOISE["lst"] * rng.standard_normal(found.shape)
        found[self.long_cloud(name)[days]] = np.nan
        return found.astype(np.float32)

    def glass_ndvi(self, truth, days, year):
        """Means of eight days of the coarse product. returns (time,) first days, (time, y/6, x/6)"""
        rng = stream(self.seed, "peninsula", "glass", "ndvi", year)
        starts = np.arange(0, len(truth), STEP)
        found = self.sixes(np.stack([truth[k:k + STEP].mean(0) for k in starts]))
        found = found + self._smooth("ndvi", COARSE_BIAS["ndvi"])
        found = found + COARSE_NOISE["ndvi"] * rng.standard_normal(found.shape)
        return self.sky.time[days][starts], np.clip(found, -0.2, 1).astype(np.float32)


def soil_maps(seed, land):
    """Sand and clay as a map of soils tells them: without what is finer than some 5 km, and with an error.

    returns  (y, x) sand, (y, x) clay, shares of the fine earth
    """
    from scipy.ndimage import gaussian_filter

    x, y = regional.kilometres(land.lon, land.lat)
    found = []
    for name, error in zip(("sand", "clay"), MAPS):
        wrong = ground.waves(stream(seed, "peninsula", "soil map", name), x, y, reach=8e3)
        found.append(np.clip(gaussian_filter(getattr(land, name), MAPPED) + error * wrong, 0.02, 0.9))
    total = np.maximum(found[0] + found[1], 0.98) / 0.98
    return found[0] / total, found[1] / total


def known(images):
    """Refuse images that there are not. raises InputError"""
    if images not in IMAGES:
        raise InputError(f"images = '{images}' is not known{near(str(images), IMAGES)}")


# ---- coarse moisture and rain

class Blocks:
    """Means over the land of coarse cells, and of the forests among it, through all years.

    land   ``regional.Land``
    """

    def __init__(self, land):
        self.shape = tuple(n // regional.FINE for n in land.land.shape)
        self.block, size = land.block, self.shape[0] * self.shape[1]
        self.forest = land.on(np.isin(land.cover, regional.FORESTS)).astype(float)
        self.count = np.bincount(self.block, minlength=size)
        self.dry = self.count >= LEAST * regional.FINE**2
        self.parts = []

    def add(self, water):
        """Take the days of ``Basin.balance``."""
        from scipy.sparse import csr_matrix

        n = np.maximum(self.count, 1)[self.block]
        size, at = len(self.count), np.arange(self.block.size)
        whole, trees = (csr_matrix((w / n, (self.block, at)), (size, at.size)) for w in (np.ones(at.size), self.forest))
        self.parts.append(np.stack([(whole @ water["surface"].T).T, (whole @ water["root_zone"].T).T,
                                    (trees @ water["root_zone"].T).T]))

    def layers(self):
        """True means of cells with enough land. returns dict of (time, y, x) surface, root_zone"""
        surface, root, _ = np.concatenate(self.parts, axis=1)
        return {name: np.where(self.dry, v, np.nan).reshape(-1, *self.shape)
                for name, v in (("surface", surface), ("root_zone", root))}

    def product(self, seed, land, time):
        """The coarse product of both layers.

        The root zone of forests is that of a filter of ``DAMPED`` days. Each cell's departures from its mean are
        scaled by a factor of ``AMPLITUDE``; to this come a smooth bias, one of the season, an error that lasts with
        e^(−d/33 km) in space, and noise.

        seed     of the archive
        land     ``regional.Land``
        time     (time,) datetime64[D] of all days
        returns  dict of (time, y, x) float32 surface, root_zone, NaN in cells with too little land
        """
        surface, root, trees = np.concatenate(self.parts, axis=1)
        damped = trees.copy()
        for t in range(1, len(damped)):
            damped[t] = damped[t - 1] + (trees[t] - damped[t - 1]) / DAMPED
        x, y = (v.reshape(-1, regional.FINE).mean(1) for v in regional.kilometres(land.lon, land.lat))
        day = (time - time.astype("datetime64[Y]")).astype(int)[:, None, None]
        found = {}
        for layer, values in (("surface", surface), ("root_zone", root - trees + damped)):
            rng = stream(seed, "peninsula", "coarse", layer)
            values = values.reshape(-1, *self.shape)
            mean, amplitude = values.mean(0), rng.uniform(*AMPLITUDE)
            smooth = ground.waves(rng, x, y, reach=REACH, smoothness=2.5)
            phase = 2 * np.pi * rng.random()
            lasts = clouds.sky(rng, time, reach=100e3, persistence=KEEPS[layer]).at(x[None], y[:, None])
            yearly = SEASON * np.cos(2 * np.pi * day / 365 - phase)
            values = (mean + amplitude * (values - mean) + BIAS * smooth + yearly + ERROR * lasts
                      + WHITE[layer] * rng.standard_normal(values.shape))
            dry = self.dry.reshape(self.shape)
            found[layer] = np.where(dry, np.clip(values, 0.01, 0.6), np.nan).astype(np.float32)
        return found


def rain_product(seed, land, sky, days, year):
    """Rain on 0.1° with an error of ``RAIN_ERROR`` in its logarithm and some false drizzle.

    returns  (y,) lat, (x,) lon of its pixels, which reach over the edge of the grid where that cuts them, and
             (time, y, x) float32 [mm d⁻¹]
    """
    rng = stream(seed, "peninsula", "rain product", year)
    falls = regional.rain(land, sky, days)
    row, column = np.floor(-10 * land.lat).astype(int), np.floor(10 * land.lon).astype(int)
    for at, axis in ((row, 1), (column, 2)):
        starts = np.searchsorted(at, np.unique(at))
        size = np.diff(np.r_[starts, at.size]).astype(np.float32)
        falls = np.add.reduceat(falls, starts, axis=axis) / size.reshape((-1, 1) if axis == 1 else (-1,))
    noise = rng.standard_normal(falls.shape, dtype=np.float32)
    found = falls * np.exp(RAIN_ERROR * noise - RAIN_ERROR**2 / 2)
    false = (falls < 0.1) & (rng.random(falls.shape) < DRIZZLE)
    found = np.where(false, rng.uniform(0.2, 1.2, falls.shape), found)
    return -(np.unique(row) + 0.5) / 10, (np.unique(column) + 0.5) / 10, found.astype(np.float32)
