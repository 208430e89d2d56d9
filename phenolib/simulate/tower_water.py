"""Sites of a simulated network of soil-moisture stations: their places, soils and weather, and the water in the soil.

Five regions lie within Great Britain's range of climate; no site is a real one. Numbers are project defaults unless a
source is named. What instruments see is in ``tower_view``, the exchange of carbon dioxide in ``tower_breath``.
"""

from dataclasses import dataclass

import numba
import numpy as np
import pandas as pd
from scipy.special import gammaincinv, ndtr

from phenolib.simulate import weather
from phenolib.simulate.calendar import stream

LAYERS = (0.0, 0.10), (0.10, 0.35), (0.35, 1.00)  # top and bottom [m]
THICK = np.array([1000 * (low - top) for top, low in LAYERS])  # mm
SPIN = 2  # years before the first, in which the water forgets its start
STEPS = 12  # of a day
LAPSE = 0.0065  # fall of the temperature with elevation [K m⁻¹]
DRY_MONTHS, DRY_RAIN, DRY_WARM = (4, 8), 0.5, 1.5  # the drought of the last year: months, factor on rain, warming [K]
SHARED = 0.60, 0.28, 0.12  # of the variance of a day's weather: of all sites, of those of a region, of one alone
ORGANIC = 130.0  # kg m⁻³ of carbon in a soil that is all organic, Lawrence & Slater (2008), Clim. Dyn. 30:145
DOWN = 1.0, 0.60, 0.22  # carbon of layers, share of that of the uppermost
PEAT = 0.88, 6.1, 10.2, 2.0e-3  # θ_s, b, ψ_s [mm], K_s [mm s⁻¹] of half rotten peat: Letts et al. (2000), Atmos.-Ocean
# 38:141, from memory
MATTER = 1.724  # g of organic matter with 1 g of carbon


@dataclass(frozen=True)
class Region:
    """Where sites of a region lie, and normals of their climate at sea level."""

    lon: tuple
    lat: tuple
    elevation: tuple  # m
    mean: float  # °C, of the year
    swing: float  # half the range of its yearly wave [°C]
    rain: tuple  # of months [mm]
    wet_days: tuple  # of months
    covers: tuple  # shares of ``COVERS``
    sand: float  # median share
    clay: float


REGIONS = {
    "southeast": Region((-1.4, 1.2), (50.9, 52.6), (15, 150), 10.9, 6.6,
                        (58, 45, 42, 45, 48, 50, 47, 54, 52, 68, 64, 60),
                        (12, 10, 10, 9, 9, 9, 8, 9, 9, 11, 12, 12), (0.30, 0.50, 0.14, 0.06), 0.42, 0.24),
    "southwest": Region((-4.9, -2.4), (50.3, 51.5), (30, 260), 10.9, 5.6,
                        (118, 92, 80, 72, 66, 66, 68, 80, 82, 112, 120, 122),
                        (16, 13, 13, 11, 11, 10, 10, 11, 12, 15, 16, 16), (0.50, 0.20, 0.18, 0.12), 0.36, 0.22),
    "midlands": Region((-2.3, 0.2), (52.5, 54.0), (30, 240), 10.2, 6.5,
                       (62, 48, 48, 50, 52, 60, 56, 62, 56, 68, 66, 66),
                       (13, 11, 11, 10, 10, 10, 9, 10, 10, 12, 13, 13), (0.32, 0.46, 0.14, 0.08), 0.46, 0.19),
    "west": Region((-4.3, -2.7), (52.0, 54.6), (90, 420), 10.1, 5.7,
                   (150, 112, 104, 82, 80, 82, 88, 100, 108, 146, 154, 160),
                   (18, 15, 15, 13, 13, 12, 13, 14, 14, 17, 18, 19), (0.50, 0.08, 0.20, 0.22), 0.38, 0.20),
    "north": Region((-5.0, -2.4), (55.4, 57.6), (60, 430), 9.0, 5.9,
                    (128, 96, 88, 68, 66, 72, 82, 92, 94, 124, 120, 122),
                    (17, 14, 15, 12, 12, 12, 13, 14, 14, 17, 17, 17), (0.34, 0.16, 0.22, 0.28), 0.52, 0.13),
}
COVERS = "grassland", "arable", "woodland", "heath"
GREEN = {  # by cover: lowest and highest share of ground under green leaves, days of year of half of the rise and of
    # half of the fall, their scale [days], crop factor, water on a closed canopy [mm], shares of roots by layer
    "grassland": (0.62, 0.95, 92, 305, 14.0, 1.00, 0.4, (0.52, 0.38, 0.10)),
    "arable": (0.15, 0.95, 105, 208, 9.0, 1.05, 0.4, (0.42, 0.40, 0.18)),
    "woodland": (0.35, 0.92, 118, 302, 9.0, 1.05, 2.0, (0.25, 0.42, 0.33)),
    "heath": (0.58, 0.80, 115, 300, 18.0, 0.85, 0.8, (0.55, 0.35, 0.10))}
CARBON = {"grassland": 0.042, "arable": 0.023, "woodland": 0.050, "heath": 0.100}  # median of topsoil [g g⁻¹]
TIED = -0.14, 0.40, 3.0, 0.36  # of ln carbon: a kelvin, a doubling of rain, clay of 1, SD of a site's own
FREE = 0.050, 0.79  # median and SD of ln carbon that is free: about those of all sites where it is tied
LEAST, MOST = 0.008, 0.35  # carbon [g g⁻¹]
OWN = dict(pores=0.09, density=0.06, psi=0.55, b=0.12, rate=0.6, organic=0.45)  # what texture and carbon do not tell
# of a soil: SD of ln of θ_s, of bulk density (less where pores are more), of ln of ψ_s, b, K_s and the organic share


# ---- sites and soils

def code(number):
    """Name of a site, five letters that no site of the real network has: 0 → SIMAA."""
    return f"SIM{chr(65 + number // 26)}{chr(65 + number % 26)}"


def sites(seed, count, carbon="tied"):
    """Places, cover and soils of sites; a site is the same whatever the number of sites.

    carbon   "tied": ln carbon follows cold, rain, clay and cover by ``TIED``, with a scatter of its own; "free": it is
             drawn from about the same spread, whatever climate, clay and cover are
    returns  DataFrame: site, cluster (region), lon, lat, elevation [m], land_cover, sand, clay, organic_carbon [g g⁻¹]
             of the topsoil, bulk_density [g cm⁻³], lattice_water [g g⁻¹], mean_rain [mm a⁻¹] and mean_temperature [°C]
             of the climate, wetter (factor on rain), and what is a site's own, of mean 0 and SD 1: structure (loose
             soil), drainage, leaves, retention (fine pores), rotten (how much its carbon does to its pores)
    """
    rows, names = [], list(REGIONS)
    for number in range(count):
        name, cluster = code(number), names[number % len(names)]
        region, rng = REGIONS[cluster], stream(seed, "towers", "site", code(number))
        lon, lat = rng.uniform(*region.lon), rng.uniform(*region.lat)
        up = rng.beta(1.2, 1.8)
        elevation = region.elevation[0] + up * (region.elevation[1] - region.elevation[0])
        weights = np.array(region.covers) * np.array([1.0, 1.6 - 1.5 * up, 1.0, 0.4 + 2.2 * up])
        cover = COVERS[int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random()))]
        a, b = 0.55 * rng.standard_normal(2)
        parts = np.array([region.sand * np.exp(a), region.clay * np.exp(b), 1 - region.sand - region.clay])
        sand, clay = np.clip(parts[:2] / parts.sum(), (0.08, 0.05), (0.85, 0.50))
        wetter = (0.92 + 0.35 * elevation / 250) * np.exp(0.06 * rng.standard_normal())
        rain, warm = sum(region.rain) * wetter, region.mean - LAPSE * elevation
        own = rng.standard_normal(6)
        if carbon == "tied":
            cold, wet, heavy, scatter = TIED
            log = (np.log(CARBON[cover]) + cold * (warm - 9.5) + wet * np.log2(rain / 950) + heavy * (clay - 0.2)
                   + scatter * own[0])
        else:
            log = np.log(FREE[0]) + FREE[1] * own[0]
        organic = float(np.clip(np.exp(log), LEAST, MOST))
        normal = 30 ** -0.5  # what 30 years leave of the scatter of single ones
        rows.append({
            "site": name, "cluster": cluster, "lon": round(lon, 4), "lat": round(lat, 4),
            "elevation": round(elevation, 1), "land_cover": cover, "sand": sand, "clay": clay,
            "organic_carbon": organic, "bulk_density": bulk_density(organic, 1.52 - 0.25 * clay + 0.05 * own[1]),
            "lattice_water": float(np.clip(0.006 + 0.08 * clay + 0.003 * own[2], 0.002, 0.06)),
            "mean_rain": rain * (1 + 0.13 * normal * rng.standard_normal()),
            "mean_temperature": warm + 0.5 * normal * rng.standard_normal(), "wetter": wetter,
            "structure": own[3], "drainage": own[4], "leaves": own[5]})
        rows[-1] |= dict(zip(("retention", "rotten"), rng.standard_normal(2)))
        rows[-1]["bulk_density"] *= 1 - OWN["density"] * own[3]
    return pd.DataFrame(rows)


def bulk_density(carbon, mineral=1.5):
    """Bulk density of a soil from its carbon: 1/ρ = OM/0.244 + (1 − OM)/ρ_m, OM = 1.724·carbon.

    carbon   [g g⁻¹]
    mineral  ρ_m, density of the soil without organic matter [g cm⁻³]
    returns  [g cm⁻³]

    Adams (1973), J. Soil Sci. 24:10, from memory.

    >>> [round(float(bulk_density(c)), 2) for c in (0.01, 0.05, 0.30)]
    [1.38, 1.04, 0.41]
    """
    matter = MATTER * carbon
    return 1 / (matter / 0.244 + (1 - matter) / mineral)


@dataclass(frozen=True)
class Soil:
    """Hydraulic properties (layer, site): saturated, critical (−33 kPa), wilting (−1.5 MPa) θ [m³ m⁻³], psi [mm], b,
    conductivity [mm d⁻¹], organic (share)"""

    saturated: np.ndarray
    critical: np.ndarray
    wilting: np.ndarray
    psi: np.ndarray
    b: np.ndarray
    conductivity: np.ndarray
    organic: np.ndarray

    def retained(self, head):
        """θ at a suction [mm]. returns (layer, site)"""
        return self.saturated * np.minimum(self.psi / head, 1) ** (1 / self.b)


def soils(table):
    """Hydraulic properties of layers from texture and carbon, and what neither tells, by ``OWN``.

    ψ = ψ_s·(θ/θ_s)^−b and K = K_s·(θ/θ_s)^(2b+3) (Clapp & Hornberger 1978). The mineral part is that of Cosby et al.
    (1984), Water Resour. Res. 20:682; the organic one is ``PEAT``. They are mixed by the share f = carbon per volume /
    130 kg m⁻³ (Lawrence & Slater 2008), K_s by its logarithm (project default). Constants from memory.

    table    of ``sites``
    returns  Soil
    """
    sand, clay, loose, fine, rotten = (table[name].to_numpy() for name in (
        "sand", "clay", "structure", "retention", "rotten"))
    carbon = table["organic_carbon"].to_numpy() * np.array(DOWN)[:, None]
    deep = np.where(table["land_cover"] == "arable", 0.85, 1.0)  # ploughing brings carbon down: less on top
    carbon = carbon * np.stack([np.ones(len(table)), 1 / deep, np.ones(len(table))])
    density = bulk_density(carbon, 1.52 - 0.25 * clay)
    share = np.clip(1000 * carbon * density / ORGANIC * np.exp(OWN["organic"] * rotten), 0, 1)
    mineral = (0.489 - 0.126 * sand, 2.91 + 15.9 * clay, 10 * 10 ** (1.88 - 1.31 * sand),
               86400 * 0.0070556 * 10 ** (-0.884 + 1.53 * sand))
    full, b, psi, rate = ((1 - share) * m + share * p for m, p in zip(mineral, (*PEAT[:3], 86400 * PEAT[3])))
    rate = np.exp((1 - share) * np.log(mineral[3]) + share * np.log(86400 * PEAT[3]))
    full = np.clip(full * np.exp(OWN["pores"] * loose), 0.3, 0.92)
    psi, b = psi * np.exp(OWN["psi"] * fine), b * np.exp(OWN["b"] * fine)
    rate = rate * np.exp(OWN["rate"] * loose)
    made = Soil(full, full, full, psi, b, rate, share)
    return Soil(full, made.retained(3365.0), made.retained(152_960.0), psi, b, rate, share)


# ---- weather

def make_weather(seed, table, years, *, rain=1.0, warmer=0.0):
    """Daily weather of sites, alike at all of them, more so within a region; a drought in the last year.

    Rain, warmth, light and wind of a day are normal deviates with shares ``SHARED`` of variance of all sites, of a
    region and of one site; each is a sum of a part that changes from day to day and one that lasts for weeks. A day is
    wet where the first is above the quantile of the month, and the rest of its probability gives the amount, of a gamma
    distribution. The other formulas are those of ``weather.make``. From April to August of the last year a site gets
    half of its normal rain, and all days are 1.5 K warmer.

    seed, years    of the archive, first and last
    table          of ``sites``
    rain, warmer   factor on all rain, added to all temperatures [K]
    returns        dict of (time, site) arrays: rain [mm], air, lowest, highest [°C], vapour [kPa], wind at 2 m [m s⁻¹],
                   light [W m⁻²], longwave [W m⁻²], pressure [hPa], demand (reference evapotranspiration) [mm], outside
                   [MJ m⁻² d⁻¹], and time (time,) datetime64[D], from two years before the first on
    """
    date = pd.date_range(f"{years[0] - SPIN}-01-01", f"{years[1]}-12-31", freq="D")
    day, size = date.day_of_year.to_numpy(float)[:, None], len(date)
    summer = -np.cos(2 * np.pi * (day - 24) / 365.25)
    rows = [REGIONS[cluster] for cluster in table["cluster"]]
    high, wetter = table["elevation"].to_numpy(), table["wetter"].to_numpy()

    def waves(name, keeps, lasts, slow):
        """Deviates (time, site) of mean 0 and variance 1, a share ``slow`` of which keeps ``lasts`` from day to day."""
        def one(*keys):
            rng = stream(seed, "towers", "weather", name, *keys)
            return (np.sqrt(1 - slow) * weather.autoregression(rng, size, keeps)
                    + np.sqrt(slow) * weather.autoregression(rng, size, lasts))

        both, near, own = np.sqrt(SHARED)
        whole, regions = one("all"), {name: one("region", name) for name in REGIONS}
        return np.stack([both * whole + near * regions[site.cluster] + own * one("site", site.site)
                         for site in table.itertuples()], axis=1)

    drought = (date.year == years[1]) & (date.month >= DRY_MONTHS[0]) & (date.month <= DRY_MONTHS[1])
    wave = waves("rain", 0.30, 0.88, 0.06)
    chance = np.stack([np.clip(weather.monthly(np.array(r.wet_days) / 30.4, day[:, 0]), 0.05, 0.9) for r in rows], 1)
    depth = np.stack([weather.monthly(np.array(r.rain) / np.array(r.wet_days), day[:, 0]) for r in rows], 1) * wetter
    above = np.clip((ndtr(wave) - (1 - chance)) / chance, 0, 1 - 1e-9)
    wet = above > 0
    water = np.where(wet, gammaincinv(weather.SHAPE, above) / weather.SHAPE * depth * rain, 0.0)
    normal = (chance * depth)[drought].sum(0) * rain
    water[drought] *= DRY_RAIN * normal / np.maximum(water[drought].sum(0), 1.0)
    water = np.where(water < 0.05, 0.0, water)

    spread = 2.6 * (1 - 0.25 * summer)
    mean = np.array([r.mean for r in rows]) - LAPSE * high + np.array([r.swing for r in rows]) * summer
    mild = 0.10 - 0.30 * summer  # correlation of warmth and rain: what rains in winter comes from the sea
    mean = mean + spread * (mild * wave + np.sqrt(1 - mild**2) * waves("warm", 0.70, 0.97, 0.15))
    mean = mean + warmer + DRY_WARM * drought[:, None]
    outside = np.stack([weather.extraterrestrial(lat, day[:, 0]) for lat in table["lat"]], 1)
    bright = waves("light", 0.35, 0.9, 0.2)
    light = np.clip(np.where(wet, 0.32, 0.50) + 0.11 * bright + 0.03 * drought[:, None], 0.10, 0.76)
    width = 8.0 * np.clip(light / 0.5 * (1 + 0.15 * summer), 0.35, 1.7)
    lowest, highest = mean - width / 2, mean + width / 2
    below = np.where(wet, 0.2, np.clip(0.9 + 0.6 * summer + 0.9 * waves("dew", 0.3, 0.9, 0.2), 0, None))
    vapour = np.minimum(weather.saturation(lowest - below), 0.995 * weather.saturation(mean))
    wind = np.clip(3.3 * (1 - 0.12 * summer) * np.exp(0.40 * waves("wind", 0.45, 0.9, 0.2) - 0.08), 0.4, None)
    radiation = light * outside
    demand = weather.penman_monteith(lowest, highest, vapour, wind, radiation, outside, high)
    cloud = np.clip(1 - light / 0.72, 0, 1)
    clear = 1.24 * (10 * vapour / (mean + 273.15)) ** (1 / 7)  # Brutsaert (1975), Water Resour. Res. 11:742
    longwave = 5.67e-8 * (mean + 273.15) ** 4 * np.minimum(clear * (1 + 0.22 * cloud**2), 1)
    pressure = 1013.25 * np.exp(-high / 8400) + 8.0 * waves("pressure", 0.75, 0.93, 0.3) - 4.0 * wave
    return {"time": date.values.astype("datetime64[D]"), "rain": water, "air": mean, "lowest": lowest,
            "highest": highest, "vapour": vapour, "wind": wind, "light": radiation * 1e6 / 86400, "longwave": longwave,
            "pressure": pressure, "demand": demand, "outside": outside}


def leaves(table, time):
    """Share of ground under green leaves, through the years. returns (time, site) [-]"""
    day = (time - time.astype("datetime64[Y]")).astype(int)[:, None] + 1.0
    low, high, rise, fall, scale = (np.array([GREEN[c][k] for c in table["land_cover"]]) for k in range(5))
    later = 4.0 * table["leaves"].to_numpy() + 0.02 * table["elevation"].to_numpy()
    up = 1 / (1 + np.exp(-(day - rise - later) / scale))
    return low + (high - low) * np.clip(up - 1 / (1 + np.exp(-(day - fall) / scale)), 0, 1)


# ---- water

@dataclass(frozen=True)
class Water:
    """Water of sites through the years; theta (time, layer, site) [m³ m⁻³] at the end of days, snow (time, site) [mm],
    beta (time, site): share of the demand that roots can draw, and the sums of days (time, site) [mm]: evaporation (all
    of it), runoff, drainage"""

    theta: np.ndarray
    snow: np.ndarray
    beta: np.ndarray
    evaporation: np.ndarray
    runoff: np.ndarray
    drainage: np.ndarray


def balance(table, soil, sky, green=None):
    """The water of three layers, day by day in ``STEPS`` steps.

    Rain falls as snow below 0.5 °C, wets leaves, runs off what the soil cannot take and infiltrates. Layers exchange
    water by K of the upper one and by the difference of their suctions; the lowest drains freely, slowed by a factor of
    the site. Bare ground evaporates from the uppermost layer, roots draw from all by the shares of ``GREEN`` with a
    stress of (θ − θ_w)/(θ_c − θ_w). All start at −10 kPa.

    table, soil, sky   of ``sites``, ``soils`` and ``make_weather``
    green              of ``leaves``
    returns            Water
    """
    green = leaves(table, sky["time"]) if green is None else green
    factor, film = (np.array([GREEN[c][k] for c in table["land_cover"]]) for k in (5, 6))
    roots = np.array([GREEN[c][7] for c in table["land_cover"]]).T
    slow = np.exp(np.where(table["land_cover"] == "heath", -2.6, -1.2) + 0.8 * table["drainage"].to_numpy())
    facts = np.stack([soil.saturated, soil.critical, soil.wilting, soil.psi, soil.b, soil.conductivity])
    theta, snow, fluxes = _days(sky["rain"], sky["air"], sky["demand"] * factor, green, green * film, facts,
                                np.ascontiguousarray(roots), np.minimum(slow, 1.0), soil.retained(1020.0).copy(), THICK)
    return Water(theta, snow, fluxes[3], fluxes[0], fluxes[1], fluxes[2])


@numba.njit(cache=True)
def _days(rain, air, demand, green, film, facts, roots, slow, theta, thick):
    days, places = rain.shape
    out, white = np.empty((days, 3, places)), np.empty((days, places))
    flux = np.zeros((4, days, places))  # evaporation, run-off, drainage; stress of roots
    head, rate, dry = np.empty(3), np.empty(3), np.empty(3)
    dt = 1.0 / STEPS
    for i in range(places):
        snow = 0.0
        full, critical, wilting = facts[0, :, i], facts[1, :, i], facts[2, :, i]
        psi, b, fast = facts[3, :, i], facts[4, :, i], facts[5, :, i]
        for t in range(days):
            liquid = rain[t, i]
            if air[t, i] < 0.5:
                snow += liquid
                liquid = 0.0
            caught = min(liquid, film[t, i])
            melt = min(snow, 0.4 + 3.5 * max(air[t, i], 0.0))
            snow -= melt
            liquid += melt - caught
            left = max(demand[t, i] - caught, 0.0)
            flux[0, t, i] += caught
            for _ in range(STEPS):
                for k in range(3):
                    s = min(theta[k, i] / full[k], 1.0)
                    head[k] = min(psi[k] * s ** -b[k], 1.6e5)
                    rate[k] = fast[k] * s ** (2 * b[k] + 3)
                    dry[k] = min(max((theta[k, i] - wilting[k]) / (critical[k] - wilting[k]), 0.0), 1.0)
                room = fast[0] * dt
                enters = min(liquid * dt, room)
                flux[1, t, i] += liquid * dt - enters
                theta[0, i] += enters / thick[0]
                for k in range(2):  # downward exchange of k with k + 1, damped so that a step cannot overshoot
                    apart = (thick[k] + thick[k + 1]) / 2
                    both = np.sqrt(rate[k] * rate[k + 1])
                    stiff = (rate[k] * (2 * b[k] + 3) / theta[k, i] / thick[k]
                             + both / apart * (b[k] * head[k] / theta[k, i] / thick[k]
                                               + b[k + 1] * head[k + 1] / theta[k + 1, i] / thick[k + 1]))
                    q = (rate[k] + both * (head[k + 1] - head[k]) / apart) * dt / (1 + dt * stiff)
                    if q > 0:
                        q = min(q, 0.3 * (theta[k, i] - 0.01) * thick[k])
                    else:
                        q = max(q, -0.3 * (theta[k + 1, i] - 0.01) * thick[k + 1])
                    theta[k, i] -= q / thick[k]
                    theta[k + 1, i] += q / thick[k + 1]
                out_ = rate[2] * slow[i]
                out_ = out_ * dt / (1 + dt * out_ * (2 * b[2] + 3) / theta[2, i] / thick[2])
                theta[2, i] -= out_ / thick[2]
                flux[2, t, i] += out_
                low = 0.5 * wilting[0]
                bare = left * dt * (1 - green[t, i]) * min(max((theta[0, i] - low) / (critical[0] - low), 0.0), 1.0)
                bare = min(bare, 0.3 * max(theta[0, i] - low, 0.0) * thick[0])
                theta[0, i] -= bare / thick[0]
                flux[0, t, i] += bare
                for k in range(3):
                    drawn = left * dt * green[t, i] * roots[k, i] * dry[k]
                    drawn = min(drawn, 0.3 * max(theta[k, i] - wilting[k], 0.0) * thick[k])
                    theta[k, i] -= drawn / thick[k]
                    flux[0, t, i] += drawn
                    flux[3, t, i] += roots[k, i] * dry[k] * dt
                for k in (2, 1):
                    over = max(theta[k, i] - full[k], 0.0)
                    theta[k, i] -= over
                    theta[k - 1, i] += over * thick[k] / thick[k - 1]
                over = max(theta[0, i] - full[0], 0.0)
                theta[0, i] -= over
                flux[1, t, i] += over * thick[0]
            out[t, :, i], white[t, i] = theta[:, i], snow
    return out, white, flux


# ---- warmth of the soil

def warmth(surface, depth, step, *, conducts=5e-7):
    """Temperature at a depth from that of the surface: each wave of it is e^(−z/D) as high and z/D late, D = √(2κ/ω).

    surface   (time, ...) [°C]; taken as repeating, so the first weeks are to be left out
    depth     [m]
    step      between times [s]
    conducts  κ, thermal diffusivity [m² s⁻¹]
    returns   (time, ...) [°C]
    """
    waves = np.fft.rfft(surface, axis=0)
    depth_of = np.sqrt(np.pi * np.fft.rfftfreq(len(surface), step) / conducts) * depth
    waves *= np.exp(-(1 + 1j) * depth_of).reshape(-1, *[1] * (surface.ndim - 1))
    return np.fft.irfft(waves, len(surface), axis=0)
