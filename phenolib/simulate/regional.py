"""A simulated peninsula at about 1 km: its land, its weather, and the water in two layers of its soil, day by day.

The place is that of the Korean Peninsula's south; coast, mountains, soils and weather are made up. All numbers are
project defaults unless a source is named. The archive part ``peninsula`` says what instruments see of it.
"""

from dataclasses import dataclass, field

import numba
import numpy as np

from phenolib.simulate import clouds, ground, weather
from phenolib.simulate.calendar import stream

COARSE, FINE = 0.25, 30  # a coarse cell [°], and fine pixels on its side
CENTRE = 127.5, 36.5  # lon, lat of a corner of coarse cells in the middle of the land
CLIMATE = "korea"
KM = 111.2  # km in a degree of latitude
SEA = 0.38  # share of the grid
FORESTS = 4, 5
COVERS = (4, 5, 10, 12, 13)  # IGBP: deciduous forest, mixed forest, grass, crops, towns
WATER = 17
CROP = {  # by cover: lowest and highest LAI, days of year of half of the rise and of half of the fall, their scale
    # [days], crop factor, share of roots in the upper layer, loss of leaf area under full stress
    4: (0.6, 5.0, 118, 302, 8.0, 0.82, 0.20, 0.35), 5: (2.0, 4.6, 125, 300, 11.0, 0.78, 0.20, 0.30),
    10: (0.3, 2.6, 110, 288, 12.0, 1.00, 0.45, 0.60), 12: (0.2, 4.2, 172, 268, 8.0, 1.20, 0.40, 0.55),
    13: (0.2, 1.1, 112, 295, 12.0, 0.70, 0.40, 0.40)}
LATER = 0.025  # days that leaves come later and fall earlier with a metre of elevation
LAPSE = 0.006  # fall of the temperature with elevation [K m⁻¹]
DEPTHS = 100.0, 900.0  # of the layers [mm]
P = 0.55  # share of the available water that plants take without stress
IMPEDED = 0.75, 0.88  # shares by which a valley floor holds the drainage of both layers back
GATHERED = 0.35  # share of a cell's drainage that comes up in its valleys the day after
RISE = 2.0  # factor on √(K₁·K₂) between the layers
LAG = 25.0  # days over which leaves remember stress
SPELL = (111, 155)  # days of year of a dry spell in the last year; rain then is ``DRY`` of what it would be
MOST = 60.0  # mean rain of a day above which only a quarter of the excess falls [mm d⁻¹]
HEAVY = 120.0  # rain of a pixel and day above which three tenths of the excess fall [mm d⁻¹]
DRY, FRONT = 0.06, (75.0, 28.0)  # and the rain of the two days of the front that ends it [mm d⁻¹]


# ---- the land

@dataclass(frozen=True)
class Land:
    """The land of a peninsula on the fine grid; (y, x), rows from the north.

    lon, lat   (x,), (y,) middles of pixels [°]
    land       whether a pixel is land
    elevation  [m], above 0 everywhere: the sea is told by ``land`` alone
    slope      of 1 km pixels [°]
    hollow     how much a place lies in a valley, 0-1
    sand, clay shares of the fine earth, 0-1
    cover      IGBP class, without water
    vigour     factor on leaf area
    sun        factor on the demand of the air, high on slopes to the south
    loose      structure of the soil that texture does not tell, mean 0 and SD 1: loose soil holds less and drains fast
    """

    lon: np.ndarray
    lat: np.ndarray
    land: np.ndarray
    elevation: np.ndarray
    slope: np.ndarray
    hollow: np.ndarray
    sand: np.ndarray
    clay: np.ndarray
    cover: np.ndarray
    vigour: np.ndarray
    sun: np.ndarray
    loose: np.ndarray

    @property
    def block(self):
        """Number of the coarse cell of each land pixel, row by row. returns (pixel,)"""
        rows, columns = np.nonzero(self.land)
        return rows // FINE * (self.land.shape[1] // FINE) + columns // FINE

    def on(self, values):
        """Values of the land pixels, row by row. returns (..., pixel)"""
        return np.ascontiguousarray(values[..., self.land])

    def back(self, values, missing=np.nan):
        """The land pixels put back on the grid. returns (..., y, x)"""
        made = np.full((*values.shape[:-1], *self.land.shape), missing, values.dtype)
        made[..., self.land] = values
        return made


def axes(tall, wide):
    """Middles of fine pixels of ``tall`` × ``wide`` coarse cells. returns (x,) lon, (y,) lat from the north [°]"""
    west, north = CENTRE[0] - COARSE * (wide // 2), CENTRE[1] + COARSE * (tall // 2)
    step = COARSE / FINE
    return west + step * (np.arange(wide * FINE) + 0.5), north - step * (np.arange(tall * FINE) + 0.5)


def kilometres(lon, lat):
    """Distances east and north of ``CENTRE``, on a plane. returns (x,), (y,) [m]"""
    return (lon - CENTRE[0]) * KM * 1000 * np.cos(np.radians(CENTRE[1])), (lat - CENTRE[1]) * KM * 1000


def land(seed, tall, wide, *, key="land", coast=None):
    """Draw the land: sea in the west and in the south with islands, mountains in the east, valleys, soils and cover.

    Elevation rises from the coast to ranges whose crests follow a random field, with roughness of a power law
    (spectral slope −2.6). Clay gathers in valleys and sand on slopes; both have a Matérn field of 30 km and one of
    2.5 km. Forest stands on slopes and heights, crops in valleys and plains, towns on flat land, grass between.

    seed        of the archive
    tall, wide  coarse cells
    key         of the random streams; another key gives another land of the same statistics, whose mountains rise to
                the north and not to the east
    coast       (y, x) land of another one, to take instead of drawing it
    returns     Land
    """
    from scipy.ndimage import gaussian_filter, uniform_filter
    from scipy.special import ndtr

    lon, lat = axes(tall, wide)
    x, y = kilometres(lon, lat)
    across, up = ((v - v.mean()) / np.ptp(v) for v in (x, y))

    def waves(name, reach, smoothness=1.5):
        return ground.waves(stream(seed, "peninsula", key, name), x, y, reach=reach, smoothness=smoothness)

    if coast is None:
        inland = 1.3 * across[None] + 0.75 * up[:, None] + 0.22 * waves("coast", 22e3, 1.0) + 0.03 * waves("bays", 5e3)
        coast = inland > np.quantile(inland, SEA)
        near = np.clip((inland - np.quantile(inland, SEA)) / 0.5, 0.02, 1)
    else:
        near = np.full(coast.shape, 0.7)
    rise = across[None] if key == "land" else up[:, None]
    height = ndtr(2.2 * rise + 0.9 * waves("ranges", 45e3, 2.5))
    crest = 1 - np.minimum(np.abs(waves("crests", 14e3, 2.0)), 1.6) / 1.6
    rough = power(stream(seed, "peninsula", key, "rough"), coast.shape)
    relief = near**0.8 * (0.10 + height)
    elevation = 15 + relief * (110 + 900 * height * crest + 190 * rough)
    elevation = np.where(elevation < 8, 8 * np.exp((elevation - 8) / 60), elevation)
    elevation = np.where(elevation > 900, 900 + 600 * np.tanh((elevation - 900) / 600), elevation)
    step = KM * 1000 * COARSE / FINE
    slope = np.degrees(np.arctan(np.hypot(np.gradient(elevation, axis=0) / step,
                                          np.gradient(elevation, axis=1) / step / np.cos(np.radians(CENTRE[1])))))
    below = sum(gaussian_filter(elevation, s) - elevation for s in (2, 5, 12)) / 3
    local = np.sqrt(uniform_filter(below**2, 41)) + 8
    hollow = ndtr(1.6 * below / local - 0.05 * np.maximum(slope - 1, 0) - 0.3)
    steep = ndtr((np.log(slope + 0.3) - np.log(1.6)) / 0.7)
    sand = 0.44 + 0.08 * waves("sand", 30e3) + 0.09 * waves("sand near", 2.5e3) + 0.10 * (steep - hollow)
    clay = 0.19 + 0.05 * waves("clay", 30e3) + 0.05 * waves("clay near", 2.5e3) + 0.16 * (hollow - 0.45)
    clay = np.clip(clay, 0.05, 0.48)
    sand = np.clip(sand, 0.08, np.minimum(0.85, 0.96 - clay))
    wild = steep + 0.5 * np.clip(elevation / 600, 0, 1.5) - 0.6 * hollow + 0.3 * waves("wild", 3e3)
    bar = np.quantile(wild[coast], [0.36, 0.44])
    cover = np.where(wild > bar[1], np.where(waves("leaves", 8e3) + elevation / 500 > 0.9, 5, 4),
                     np.where(wild > bar[0], 10, 12))
    town = waves("towns", 6e3) - 1.2 * steep - 0.6 * waves("villages", 2e3) ** 2
    cover = np.where((town > np.quantile(town[coast], 0.95)) & (wild <= bar[1]), 13, cover)
    vigour = np.clip(1 + 0.06 * waves("vigour", 3e3) + 0.05 * waves("vigour near", 1.2e3), 0.7, 1.3)
    south = np.gradient(gaussian_filter(elevation, 0.7), axis=0) / step  # rows go south: rising rows look north
    sun = np.clip(1 - 1.6 * south + 0.08 * waves("sun", 2.5e3), 0.6, 1.4)
    layers = (elevation, slope, hollow, sand, clay, cover.astype(np.uint8), vigour, sun, waves("loose", 3e3))
    return Land(lon, lat, coast, *(v if v.dtype == np.uint8 else v.astype(np.float32) for v in layers))


def power(rng, shape, exponent=2.6):
    """A random field whose spectrum falls with a power of the wave number, mean 0, variance 1. returns (y, x)"""
    k = np.hypot(np.fft.fftfreq(2 * shape[0])[:, None], np.fft.rfftfreq(2 * shape[1])[None])
    k[0, 0] = 1
    scale = k ** (-exponent / 2) * (k > 1.2 / max(shape))
    made = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((2 * shape[0], 2 * shape[1]))) * scale)
    made = made[:shape[0], :shape[1]]
    return (made - made.mean()) / made.std()


@dataclass(frozen=True)
class Soil:
    """Hydraulic properties, θ in m³ m⁻³: saturated, field (−33 kPa), wilting (−1500 kPa); psi [mm], b and K_s [mm/d]"""

    saturated: np.ndarray
    field: np.ndarray
    wilting: np.ndarray
    psi: np.ndarray
    b: np.ndarray
    conductivity: np.ndarray


def soil(sand, clay, loose=0.0):
    """Hydraulic properties from texture, for ψ = ψ_s·(θ/θ_s)^−b and K = K_s·(θ/θ_s)^(2b+3) (Clapp & Hornberger 1978).

    θ_s = 0.489 − 0.126·sand, log₁₀ ψ_s [cm] = 1.88 − 1.31·sand, b = 2.91 + 15.9·clay,
    log₁₀ K_s [in/h] = −0.884 + 1.53·sand: Cosby et al. (1984), Water Resour. Res. 20:682, from memory.

    sand, clay  (...) shares, 0-1
    loose       (...) structure, see ``Land``: θ_s falls by 5 % and K_s rises by 50 % with each; project default
    returns     Soil
    """
    saturated, psi = (0.489 - 0.126 * sand) * (1 - 0.05 * loose), 10 * 10 ** (1.88 - 1.31 * sand)
    b, conductivity = 2.91 + 15.9 * clay, 25.4 * 24 * 10 ** (-0.884 + 1.53 * sand) * 1.5**loose
    field, wilting = (saturated * np.minimum(psi / head, 1) ** (1 / b) for head in (3365.0, 152_960.0))
    return Soil(*(np.asarray(v, np.float64) for v in (saturated, field, wilting, psi, b, conductivity)))


# ---- the weather

@dataclass(frozen=True)
class Weather:
    """Weather of a land: series of the whole, and fields on the grid of 0.05°.

    time          (time,) datetime64[D]
    series        (time,) Dataset of ``weather.make``
    outside       (time,) R_a [MJ m⁻² d⁻¹]
    rain          (time, y/6, x/6) before the gain of mountains [mm d⁻¹]
    warm          (time, y/6, x/6) departure of the temperature from the series [K]
    """

    time: np.ndarray
    series: object
    outside: np.ndarray
    rain: np.ndarray
    warm: np.ndarray
    operators: tuple = field(repr=False)

    def year(self, year):
        """The days of a year; before the first: all days that are there. returns slice"""
        return slice(*np.searchsorted(self.time, [np.datetime64(f"{year}-01-01"), np.datetime64(f"{year + 1}-01-01")]))

    def spread(self, fields):
        """Fields of 0.05° on the fine grid, bilinear between their middles. returns (time, y, x) float32"""
        down, along = self.operators
        return np.matmul(np.matmul(down, fields), along.T)


def between(size, factor=6):
    """Weights that bring a line of ``size`` cells to ``factor`` times as many, linear. returns (size·factor, size)"""
    at = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
    low = np.minimum(np.floor(at).astype(int), max(size - 2, 0))
    made, rows = np.zeros((size * factor, size), np.float32), np.arange(size * factor)
    made[rows, low] = 1 - (at - low)
    made[rows, np.minimum(low + 1, size - 1)] += (at - low).astype(np.float32)
    return made


def make_weather(seed, lon, lat, years, *, rain=1.0, warmer=0.0):
    """Weather over the grid, from 1 July before the first year.

    The series of the climate ``CLIMATE`` says what falls in the mean; a field with correlation e^(−d/65 km), and in
    summer one of showers of some 20 km, say where. In the last year rain almost fails from day ``SPELL[0]`` to
    ``SPELL[1]``, and the two days after bring a front of ``FRONT``, so that there is a dry spell with a sudden end.

    seed      of the archive
    lon, lat  of fine pixels [°]
    years     first and last
    returns   Weather
    """
    series = weather.make(stream(seed, "peninsula", "weather"), CLIMATE, CENTRE[1], years, rain=rain, warmer=warmer)
    time = series["time"].values.astype("datetime64[D]")
    last = np.searchsorted(time, np.datetime64(f"{years[1]}-01-01"))
    mean = series["rain"].values.copy()
    mean = np.where(mean > MOST, MOST + 0.25 * (mean - MOST), mean)  # of a whole peninsula
    dry = slice(last + SPELL[0], last + SPELL[1] + 1)
    mean[dry] *= DRY
    mean[dry.stop:dry.stop + 2] = np.array(FRONT) * rain
    x, y = (v.reshape(-1, 6).mean(1) for v in kilometres(lon, lat))
    fields = [clouds.sky(stream(seed, "peninsula", name), time, reach=reach, persistence=keeps).at(x[None], y[:, None])
              for name, reach, keeps in (("rain", 200e3, 0.15), ("showers", 45e3, 0.0), ("warm", 450e3, 0.6))]
    wide, small, warm = fields
    front = np.zeros(time.size, bool)
    front[dry.stop:dry.stop + 2] = True
    even = np.where(front, 0.3, 1.0)[:, None, None].astype(np.float32)  # a front is everywhere
    local = np.exp(even * (0.65 * wide + 0.35 * small)) / (1 + np.exp(-np.where(even < 1, 9, 4 * (wide + 0.9))))
    local /= local.mean((1, 2), keepdims=True) ** 0.7
    local /= (local.mean((1, 2)) * mean).sum() / mean.sum()
    day = series["time"].dt.dayofyear.values
    hot = np.where((day > 150) & (day < 265) & (mean < 3), 1.0, 0.0)
    hot[dry] = 0
    falls = mean[:, None, None] * local + hot[:, None, None] * 14 * np.maximum(small - 1.35, 0)
    falls = np.where(falls > HEAVY, HEAVY + 0.3 * (falls - HEAVY), falls)
    falls = np.where(falls < 0.1, 0, falls).astype(np.float32)
    outside = weather.extraterrestrial(CENTRE[1], day)
    return Weather(time, series, outside, falls, (0.9 * warm).astype(np.float32),
                   (between(lat.size // 6), between(lon.size // 6)))


def rain(land_, sky, days):
    """Rain on the fine grid: the fields, more on mountains (35 % with 1000 m). returns (time, y, x) float32 [mm d⁻¹]"""
    return np.maximum(sky.spread(sky.rain[days]), 0) * (0.94 + 0.35e-3 * land_.elevation)


def temperature(land_, sky, days, elevation=None):
    """Mean air temperature of land pixels. returns (time, pixel) float32 [°C]"""
    elevation = land_.on(land_.elevation) if elevation is None else elevation
    mean = sky.series["t_mean"].values[days].astype(np.float32)
    return mean[:, None] + land_.on(sky.spread(sky.warm[days])) - np.float32(LAPSE) * (elevation - 100)


# ---- the water

@dataclass
class Water:
    """What the soil holds at the end of a day, and what goes on between; all begin as at field capacity.

    upper, lower  (pixel,) θ of 0-10 and 10-100 cm
    snow          (pixel,) [mm]
    memory        (pixel,) of stress, 0-1
    pool          (cell,) drainage of the day before that valleys get [mm]
    """

    upper: np.ndarray
    lower: np.ndarray
    snow: np.ndarray
    memory: np.ndarray
    pool: np.ndarray

    def stored(self):
        """All water, summed over pixels [mm]"""
        return float((DEPTHS[0] * self.upper + DEPTHS[1] * self.lower + self.snow).sum() + self.pool.sum())


@numba.njit(cache=True)
def _days(rain, air, evaporation, scale, day, table, kind, shift, vigour, facts, soil, share, block, hollow, upper,
          lower, snow, memory, pool):
    """The balance of days, see ``Basin``. Changes the state in place. returns (4, time, pixel), (time, 4) fluxes"""
    times, pixels = rain.shape
    out = np.empty((4, times, pixels), np.float32)  # upper, lower, leaf area, leaf area without stress
    flux = np.zeros((times, 4))  # rain, evapotranspiration, run-off, drainage that leaves
    first, second = DEPTHS
    drained = np.zeros(pool.size)
    for t in range(times):
        drained[:] = 0.0
        for i in range(pixels):
            full, capacity, wilting, psi, b, conduct = soil[:, i]
            c = kind[i]
            w1, w2 = upper[i] * first, lower[i] * second
            falls = float(rain[t, i])
            flux[t, 0] += falls
            if air[t, i] < 0.0:
                snow[i] += falls
                falls = 0.0
            else:
                melt = min(snow[i], 3.0 * air[t, i])
                snow[i] -= melt
                falls += melt
            # into the ground
            enters = min(falls, conduct, full * first - w1 + min(full * second - w2, 0.3 * conduct))
            flux[t, 2] += falls - enters
            w1 += enters
            if w1 > full * first:
                w2 += w1 - full * first
                w1 = full * first
            comes = min(pool[block[i]] * share[i], full * second - w2)
            w2 += comes
            flux[t, 3] += pool[block[i]] * share[i] - comes
            # leaves
            k2 = min(max((w2 / second - wilting) / ((1 - P) * (capacity - wilting)), 0.0), 1.0)
            k1 = min(max((w1 / first - wilting) / ((1 - P) * (capacity - wilting)), 0.0), 1.0)
            memory[i] += (k2 - memory[i]) / LAG
            potential = vigour[i] * table[c, (day[t] + shift[i]) % 366]
            leaves = potential * (1.0 - facts[c, 2] * (1.0 - memory[i]))
            shade = np.exp(-0.5 * leaves)
            # to the air
            demand = max(evaporation[t] * (float(air[t, i]) + 17.8), 0.0) * scale[i]
            open_ = min(max((w1 / first - 0.5 * wilting) / (capacity - 0.5 * wilting), 0.0), 1.0)
            drawn = facts[c, 0] * (1.0 - shade) * demand
            takes1 = min(shade * demand * open_ + drawn * facts[c, 1] * k1, max(w1 - 0.4 * wilting * first, 0.0))
            takes2 = min(drawn * (1.0 - facts[c, 1]) * k2, max(w2 - wilting * second, 0.0))
            w1 -= takes1
            w2 -= takes2
            flux[t, 1] += takes1 + takes2
            # down, and between the layers
            s1, s2 = w1 / (full * first), w2 / (full * second)
            p1, p2 = s1 ** b, s2 ** b
            q1, q2 = conduct * s1 * s1 * s1 * p1 * p1, conduct * s2 * s2 * s2 * p2 * p2
            n = 2.0 * b + 3.0
            q1 *= 1.0 - IMPEDED[0] * hollow[i]
            down = min(q1 / (1.0 + n * q1 / max(w1, 1.0)), max(full * second - w2, 0.0))
            rises = RISE * np.sqrt(q1 * q2) * (psi / p1 - psi / p2) / 500.0
            rises = min(max(rises, -2.0), 2.0)
            limit = 0.1 * abs(w2 / second - w1 / first) * first
            rises = min(max(rises, -limit), limit)
            rises = min(rises, full * first - w1 + down)
            q2 *= 1.0 - IMPEDED[1] * hollow[i]
            lost = q2 / (1.0 + n * q2 / max(w2, 1.0))
            w1 += rises - down
            w2 += down - rises - lost
            if w2 > full * second:
                flux[t, 2] += w2 - full * second
                w2 = full * second
            drained[block[i]] += lost
            upper[i], lower[i] = w1 / first, w2 / second
            out[0, t, i], out[1, t, i], out[2, t, i], out[3, t, i] = upper[i], lower[i], leaves, potential
        for k in range(pool.size):
            pool[k] = GATHERED * drained[k]
            flux[t, 3] += (1 - GATHERED) * drained[k]
    return out, flux


def leaf_table():
    """Leaf area by cover and day of year, without stress and at sea level. returns (cover, 366)"""
    day = np.arange(366.0)
    rows = []
    for cover in COVERS:
        low, high, rise, fall, scale = CROP[cover][:5]
        rows.append(low + (high - low) / (1 + np.exp(-(day - rise) / scale)) / (1 + np.exp((day - fall) / scale)))
    return np.array(rows)


class Basin:
    """A land with its soil, ready for the balance of water.

    Each day and pixel: rain, or snow that melts by 3 mm per °C, enters by K_s and by what fits, the rest runs off;
    bare soil evaporates e^(−LAI/2)·β(θ₁)·ET₀ and leaves transpire K_c·(1 − e^(−LAI/2))·k_str·ET₀ from both layers by
    their roots, k_str = clip((TAW − D_r)/((1 − p)·TAW), 0, 1) in each; ET₀ is that of Hargreaves. K(θ) drains both
    layers, a difference of potential moves water between them, valleys hold their drainage back by ``IMPEDED`` and get
    ``GATHERED`` of that of their coarse cell a day later. LAI falls by a share of the stress of the last ``LAG`` days.
    There is no irrigation and no run-on. Water is neither made nor lost.

    land     Land
    weather  Weather
    """

    def __init__(self, land_, sky):
        self.land, self.sky, self.soil = land_, sky, soil(*(
            land_.on(v) for v in (land_.sand, land_.clay, land_.loose)))
        self.kind = np.searchsorted(COVERS, land_.on(land_.cover))
        block = land_.block
        self.cells = (land_.land.shape[0] // FINE) * (land_.land.shape[1] // FINE)
        weight = land_.on(land_.hollow).astype(float) ** 2 + 0.02
        self.share = weight / np.bincount(block, weight, self.cells)[block]
        self.facts = np.array([CROP[c][5:8] for c in COVERS])
        self.shift = -np.round(LATER * land_.on(land_.elevation)).astype(int)

    def start(self):
        """The soil at field capacity, a summer's day. returns Water"""
        at = self.soil.field
        return Water(at.copy(), at.copy(), np.zeros_like(at), np.ones_like(at), np.zeros(self.cells))

    def balance(self, state, days):
        """Go through days; ``state`` is carried on.

        state    Water, changed
        days     slice of the weather
        returns  dict of (time, pixel) float32 surface, root_zone [m³ m⁻³], lai, potential [m² m⁻²], rain [mm d⁻¹] and
                 air [°C], and flux, (time, 4): rain, evapotranspiration, run-off and drainage summed over pixels [mm]
        """
        land_, sky = self.land, self.sky
        falls, air = land_.on(rain(land_, sky, days)), temperature(land_, sky, days)
        series = sky.series.isel(time=days)
        half = (series["t_max"] - series["t_min"]).values / 2
        demand = weather.hargreaves(20 - half, 20 + half, sky.outside[days]) / 37.8  # for each °C above −17.8
        s = self.soil
        soils = np.array([s.saturated, s.field, s.wilting, s.psi, s.b, s.conductivity])
        out, flux = _days(falls, air, demand, land_.on(land_.sun).astype(float), series["time"].dt.dayofyear.values,
                          leaf_table(), self.kind, self.shift, land_.on(land_.vigour).astype(float), self.facts, soils,
                          self.share, land_.block, land_.on(land_.hollow).astype(float), state.upper, state.lower,
                          state.snow, state.memory, state.pool)
        whole = (DEPTHS[0] * out[0] + DEPTHS[1] * out[1]) / sum(DEPTHS)
        return {"surface": out[0], "root_zone": whole, "lower": out[1], "lai": out[2], "potential": out[3],
                "rain": falls, "air": air, "flux": flux}
