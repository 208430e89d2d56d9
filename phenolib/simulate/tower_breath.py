"""Carbon dioxide of simulated sites: soil respiration in three forms, plants, uptake, and what flux towers and soil
chambers measure of it. Fluxes are in µmol m⁻² s⁻¹, positive to the atmosphere. Numbers are project defaults unless a
source is named.

The region of a tower decides on the form:
    "jules"    R = base · f(s) · g(T), f and Q10 of JULES
    "hump"     R = base · f(s) · g(T), f a hump that is 0 in saturated soil, g of Lloyd and Taylor
    "supply"   no product: substrate or oxygen limit more when it is warm, so the best temperature moves with water
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.signal import lfilter

from phenolib import responses
from phenolib.simulate import weather
from phenolib.simulate.calendar import stream
from phenolib.simulate.tower_water import LAYERS, REGIONS, warmth

FORMS = "jules", "hump", "supply"
STEP = 1800.0  # s
LEAD = 90  # days before the first, in which the soil takes on its warmth
DEPTH = 0.05  # of the soil temperature [m]
SHARE_WILTING = 0.30  # θ_w/θ_s in f of JULES, the same for all sites of the region
HUMP = 1.6, 1.2  # exponents of s and of 1 − s
ENERGY = 72.26e3, 8.314  # J mol⁻¹ of the reaction (Davidson et al. 2012, from memory); gas constant [J mol⁻¹ K⁻¹]
SUPPLY = (2.5, 5.0), (0.9, 2.5, 0.05), 5.0  # of substrate at s = 0.5, a; of oxygen at s = 0.7 and 10 °C, b, c [K⁻¹]; p
UPTAKE = {"grassland": 33.0, "arable": 42.0, "woodland": 36.0, "heath": 18.0}  # at full light and leaves
PLANT = 0.28  # respiration of plants as a share of the mean uptake of the day before
CALM = 0.75  # share of the flux that is missed in still air at night
FLUSH = 0.4, 4  # share of what is missed at night that comes after sunrise, in so many half-hours
NOISE = 0.35, 0.14  # SD of the random error: at a flux of 0, and its rise with the flux
LASTS = 0.10, 0.7  # SD of ln of soil respiration that neither moisture nor warmth explains, its rest after a day
GAPS = 0.21, 0.010, (10, 60)  # share of half-hours lost one by one or few together, chance of a day that a failure
# begins on it, and its length [half-hours]


# ---- the forms

def hump(s):
    """f = (s/s_o)^a ((1 − s)/(1 − s_o))^b with s_o = a/(a + b): 1 at s_o, 0 in dry and in saturated soil.

    >>> hump(np.array([0.0, 4 / 7, 1.0])).round(3).tolist()
    [0.0, 1.0, 0.0]
    """
    a, b = HUMP
    best = a / (a + b)
    s = np.clip(s, 0, 1)
    return (s / best) ** a * ((1 - s) / (1 - best)) ** b


def supply(s, temperature):
    """Respiration over that without limits at 10 °C, where microbes, substrate or oxygen limit it, whichever is least.

    R = (V^−p + G_S^−p + G_O^−p)^(−1/p),   G_S ∝ s^a,   G_O ∝ (1 − s)^b · e^(−c (T − 10))

    V(T) is Arrhenius; substrate comes through water and oxygen through air, of which warm water dissolves less. So
    respiration answers to warmth in moist soil, hardly in dry soil, and falls with it in wet soil.

    s            θ/θ_sat [-]
    temperature  [°C]
    returns      [-], broadcast

    The limits are those of the dual Arrhenius and Michaelis-Menten model (Davidson et al. 2012, Glob. Change Biol.
    18:371). That one is a product of functions of moisture and of temperature as long as its half-saturations are
    constant; a law of the minimum with these constants, which are project defaults, is none.

    >>> warm = np.arange(0.0, 31.0)
    >>> [float(warm[np.argmax(supply(s, warm))]) for s in (0.6, 0.7, 0.8)]
    [15.0, 10.0, 4.0]
    """
    s, warm = np.clip(s, 1e-3, 1 - 1e-3), np.asarray(temperature, float)
    (moist, a), (airy, b, falls), p = SUPPLY
    rate = np.exp(-ENERGY[0] / ENERGY[1] * (1 / (warm + 273.15) - 1 / 283.15))
    substrate = moist * (s / 0.5) ** a
    oxygen = airy * ((1 - s) / 0.3) ** b * np.exp(-falls * (warm - 10))
    return (rate**-p + substrate**-p + oxygen**-p) ** (-1 / p)


def moisture_response(form, s):
    """f of s = θ/θ_sat, 1 at its best; NaN where the form is no product. returns like s"""
    s = np.asarray(s, float)
    if form == "jules":
        return responses.jules_moisture(np.clip(s, 0, 1), 1.0, SHARE_WILTING)
    return hump(s) if form == "hump" else np.full(s.shape, np.nan)


def temperature_response(form, temperature):
    """g of temperature [°C], 1 at 10 °C; NaN where the form is no product. returns like temperature"""
    warm = np.asarray(temperature, float)
    if form == "jules":
        return responses.q10(warm, reference=10.0)
    return responses.lloyd_taylor(warm) if form == "hump" else np.full(warm.shape, np.nan)


def soil_respiration(form, base, s, temperature):
    """Respiration of the soil from s = θ/θ_sat and temperature [°C]; base: at 10 °C in moisture that does not limit."""
    if form == "supply":
        return base * supply(s, temperature)
    return base * moisture_response(form, s) * temperature_response(form, temperature)


# ---- the towers

@dataclass(frozen=True)
class Tower:
    """A tower: code, site, its number among sites, form, base rate [µmol m⁻² s⁻¹], threshold of u* [m s⁻¹]"""

    code: str
    site: str
    number: int
    form: str
    base: float
    threshold: float


def towers(seed, table, soil, count):
    """The first ``count`` sites of three regions that have a tower.

    The base rate rises with the carbon in the soil. returns list of Tower, codes XX-S01 and so on
    """
    order = stream(seed, "towers", "forms").permutation(len(REGIONS))
    forms = {name: FORMS[int(rank)] for name, rank in zip(REGIONS, order) if rank < len(FORMS)}
    made, carbon = [], 1000 * table["organic_carbon"].to_numpy() * table["bulk_density"].to_numpy()
    for number, place in enumerate(table.itertuples()):
        if place.cluster in forms and len(made) < count:
            rng = stream(seed, "towers", "tower", place.site)
            base = np.clip(2.2 * (carbon[number] / 45) ** 0.35 * np.exp(0.25 * rng.standard_normal()), 1.0, 4.0)
            made.append(Tower(f"XX-S{len(made) + 1:02d}", place.site, number, forms[place.cluster], float(base),
                              float(rng.uniform(0.12, 0.24))))
    return made


def half_hours(seed, place, sky, number, days):
    """Weather of half-hours from that of days.

    place, number  row of the table of sites, and its number
    sky            of ``tower_water.make_weather``
    days           slice of days
    returns        dict of (time,): time (datetime64[ns], end of the interval), up (sine of the sun's height), ta,
                   sw_in, vapour [kPa], vpd [hPa], ws, ustar, precip, pa
    """
    rng = stream(seed, "towers", "half-hours", place.site)
    day = sky["time"][days]
    size = 48 * len(day)
    time = (day[0].astype("datetime64[ns]") + np.arange(1, size + 1) * np.timedelta64(30, "m"))
    hour = (np.arange(48) + 0.5) / 2
    number_of_day = (day - day.astype("datetime64[Y]")).astype(int) + 1.0
    tilt = 0.409 * np.sin(2 * np.pi * number_of_day / 365 - 1.39)[:, None]
    lat, turn = np.radians(place.lat), np.pi * (hour + place.lon / 15 - 12) / 12
    up = np.sin(lat) * np.sin(tilt) + np.cos(lat) * np.cos(tilt) * np.cos(turn)
    clouds = np.exp(0.35 * weather.autoregression(rng, size, 0.85).reshape(-1, 48))
    light = np.maximum(up, 0) * clouds
    light *= (sky["light"][days, number] / light.mean(1))[:, None]

    low, high = sky["lowest"][days, number], sky["highest"][days, number]
    first = np.stack([np.arange(len(day)) * 24 + 5.0, np.arange(len(day)) * 24 + 14.5], 1).ravel()
    knots, at = np.stack([low, high], 1).ravel(), (np.arange(size) + 0.5) / 2
    part = np.clip(np.searchsorted(first, at) - 1, 0, len(first) - 2)
    share = np.clip((at - first[part]) / (first[part + 1] - first[part]), 0, 1)
    ta = knots[part] + (knots[part + 1] - knots[part]) * (1 - np.cos(np.pi * share)) / 2
    ta += 0.3 * weather.autoregression(rng, size, 0.9)

    def through(values):
        return np.interp(at, np.arange(len(day)) * 24 + 12.0, values[days, number])

    vapour = np.minimum(through(sky["vapour"]), weather.saturation(ta))
    wind = (through(sky["wind"]) * (1 + 0.25 * np.cos(2 * np.pi * (at % 24 - 14) / 24))
            * np.exp(0.25 * weather.autoregression(rng, size, 0.9)))
    still = np.where(up.ravel() > 0, 1.0, np.clip(0.30 + 0.16 * wind, 0.35, 1.0))
    ustar = np.clip(0.095 * wind * still * np.exp(0.30 * weather.autoregression(rng, size, 0.8)), 0.01, None)
    bursts = rng.gamma(0.12, 1, (len(day), 48)) + 1e-12
    rain = bursts / bursts.sum(1, keepdims=True) * sky["rain"][days, number][:, None]
    return {"time": time, "up": up.ravel(), "ta": ta, "sw_in": light.ravel(), "vapour": vapour, "ws": wind,
            "vpd": 10 * np.maximum(weather.saturation(ta) - vapour, 0), "ustar": ustar, "precip": rain.ravel(),
            "pa": through(sky["pressure"])}


def breath(seed, tower, place, soil, sky, water, green, days):
    """True fluxes of a tower's site, and the weather of its half-hours.

    soil, sky, water, green  of ``tower_water``
    days                     slice of days of the towers
    returns                  dict as ``half_hours`` with theta (uppermost layer), ts (true, at 5 cm) and soil, plant,
                             gpp, reco (time,)
    """
    k = tower.number
    whole = slice(days.start - LEAD, days.stop)
    air = half_hours(seed, place, sky, k, whole)
    cover = np.repeat(green[whole, k], 48)
    surface = air["ta"] + 0.012 * air["sw_in"] * np.exp(-1.2 * cover)
    air["ts"] = warmth(surface, DEPTH, STEP)
    at = np.arange(len(surface)) + 1.0
    ends = np.arange(whole.stop - whole.start) * 48 + 48.0
    air["theta"] = np.interp(at, ends, water.theta[whole, 0, k])
    stress = np.repeat(water.beta[whole, k], 48)
    gpp = (UPTAKE[place.land_cover] * (cover / 0.95) ** 1.5 * air["sw_in"] / (air["sw_in"] + 260)
           * np.clip((air["ta"] + 2) / 18, 0, 1) * stress / (1 + air["vpd"] / 30))
    before = np.roll(gpp.reshape(-1, 48).mean(1), 1)
    made = {**air, "gpp": gpp, "plant": PLANT * np.repeat(before, 48),
            "soil": soil_respiration(tower.form, tower.base, air["theta"] / soil.saturated[0, k], air["ts"])}
    made["reco"] = made["soil"] + made["plant"]
    return {name: values[48 * LEAD:] for name, values in made.items()}


def measured(seed, tower, place, true, evaporation):
    """What a tower measures, with its gaps filled as networks fill them.

    NEE = R_soil·e^ε + R_plant − GPP + Laplace noise whose SD grows with the flux. Of nights with u* below the threshold
    a part is missed, some of it comes after sunrise. About a quarter of the half-hours are gaps, filled by the mean of
    that time of day through the week around (flag 1), or through a month (2), and have no value where there is none.

    true         of ``breath``
    evaporation  of days (day,) [mm]
    returns      (time) Dataset as ``sources.flux_tower.write`` takes it
    """
    rng = stream(seed, "towers", "measured", tower.site)
    size = len(true["time"])
    own = np.repeat(LASTS[0] * weather.autoregression(rng, size // 48, LASTS[1]), 48)
    flux = true["soil"] * np.exp(own) + true["plant"] - true["gpp"]
    night = true["up"] <= 0
    lost = np.where(night, CALM * np.clip(1 - true["ustar"] / tower.threshold, 0, 1), 0.0) * np.maximum(flux, 0)
    back = np.zeros(size)
    rises = np.flatnonzero(~night[1:] & night[:-1]) + 1
    for before, rise in zip(np.r_[0, rises[:-1]], rises):
        back[rise:rise + FLUSH[1]] += FLUSH[0] * lost[before:rise].sum() / FLUSH[1]
    sd = NOISE[0] + NOISE[1] * np.abs(flux)
    nee = flux - lost + back + rng.laplace(0, sd / np.sqrt(2))

    gone = lfilter([1.0], [1.0, -0.75], rng.standard_normal(size))
    gone = gone > np.quantile(gone, 1 - GAPS[0])
    for start in np.flatnonzero(rng.random(size // 48) < GAPS[1]):
        begin = 48 * start + rng.integers(48)
        gone[begin:begin + rng.integers(*GAPS[2])] = True
    gone |= (true["precip"] > 0.4) & (rng.random(size) < 0.8)
    nee, flag = filled(np.where(gone, np.nan, nee))

    net = 0.77 * true["sw_in"] - 45
    heat = np.repeat(evaporation, 48) * 2.45e6 / 86400  # W m⁻² of a day's water
    heat = heat * (0.15 + 0.85 * true["sw_in"] / np.repeat(true["sw_in"].reshape(-1, 48).mean(1), 48))
    swc = true["theta"] * (1 + 0.03 * rng.standard_normal()) + 0.006 * rng.standard_normal()
    swc = np.clip(swc + 0.003 * weather.autoregression(rng, size, 0.9), 0.01, 0.98)
    data = {"nee": nee.round(3), "nee_sd": sd.round(2), "ta": true["ta"].round(2),
            "ts": (true["ts"] + 0.1 * weather.autoregression(rng, size, 0.95)).round(2), "swc": swc.round(4),
            "sw_in": true["sw_in"].round(1), "vpd": true["vpd"].round(2), "pa": true["pa"].round(1),
            "precip": true["precip"].round(2), "ws": true["ws"].round(2), "ustar": true["ustar"].round(3),
            "netrad": net.round(1), "le": (heat + 8 * rng.standard_normal(size)).round(1),
            "h": (0.85 * (net - heat) + 8 * rng.standard_normal(size)).round(1), "night": night.astype(float)}
    made = xr.Dataset({name: ("time", values) for name, values in data.items()}, {"time": true["time"]})
    made["nee_qc"] = "time", flag
    return made.assign_attrs(site=tower.code)


def filled(values):
    """Gaps filled by the mean of that half-hour of the 7 days around, or of 31. returns values, flags 0, 1, 2 or −1"""
    table, flag = values.reshape(-1, 48), np.where(np.isnan(values), -1, 0)
    made = values.copy()
    for mark, days in ((1, 7), (2, 31)):
        known = np.isfinite(table)
        ones = np.ones(days)
        total = np.apply_along_axis(np.convolve, 0, np.where(known, table, 0), ones, "same")
        count = np.apply_along_axis(np.convolve, 0, known.astype(float), ones, "same")
        mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0.5).ravel()
        new = np.isnan(made) & np.isfinite(mean)
        made[new], flag[new] = mean[new], mark
    return made, flag


def true_dataset(towers_, found, soil):
    """Noise-free fluxes and curves of all towers, for scoring.

    towers_  list of Tower; found: list of what ``breath`` gave for them
    returns  Dataset: reco, soil, plant, gpp, theta, soil_temperature (site, time); form, cosmos_site, base, saturated,
             wilting (that of f of JULES), threshold (site); f (site, s) and g (site, temperature), NaN where the form
             is no product
    """
    s, warm = np.linspace(0.02, 1, 50), np.arange(-5.0, 30.5, 0.5)
    names = {"reco": "reco", "soil": "soil", "plant": "plant", "gpp": "gpp", "theta": "theta", "soil_temperature": "ts"}
    data = {new: (("site", "time"), np.stack([one[old] for one in found]).astype(np.float32)) for new, old
            in names.items()}
    forms = [one.form for one in towers_]
    full = np.array([soil.saturated[0, one.number] for one in towers_])
    data |= {"form": ("site", forms), "cosmos_site": ("site", [one.site for one in towers_]),
             "base": ("site", [one.base for one in towers_]), "saturated": ("site", full),
             "wilting": ("site", np.where(np.array(forms) == "jules", SHARE_WILTING * full, np.nan)),
             "threshold": ("site", [one.threshold for one in towers_]),
             "f": (("site", "s"), np.stack([moisture_response(form, s) for form in forms])),
             "g": (("site", "temperature"), np.stack([temperature_response(form, warm) for form in forms]))}
    coords = {"site": [one.code for one in towers_], "time": found[0]["time"], "s": s, "temperature": warm}
    made = xr.Dataset(data, coords)
    for name in ("reco", "soil", "plant", "gpp", "base"):
        made[name].attrs["units"] = "umol m-2 s-1"
    for name in ("theta", "saturated", "wilting"):
        made[name].attrs["units"] = "m3 m-3"
    made.attrs = {"depth": f"theta of {LAYERS[0][0]:g} to {LAYERS[0][1]:g} m, temperature at {DEPTH:g} m",
                  "plant": f"{PLANT:g} times the mean uptake of the day before"}
    return made


# ---- chambers

def chambers(seed, tower, place, true, *, every, count):
    """What automatic chambers measure of the soil alone.

    every    half-hours between measurements of a chamber
    count    of chambers, each with a factor of its own (SD 12 %)
    returns  DataFrame as ``sources.field_sensors.write`` takes it: chamber, time (start), flux, r2, temperature_5cm,
             moisture_5cm
    """
    import pandas as pd

    rng, rows = stream(seed, "towers", "chambers", tower.site), []
    size = len(true["time"])
    own = np.repeat(LASTS[0] * weather.autoregression(rng, size // 48, LASTS[1]), 48)
    swc = np.clip(true["theta"] * (1 + 0.03 * rng.standard_normal()) + 0.006 * rng.standard_normal()
                  + 0.004 * weather.autoregression(rng, size, 0.9), 0.005, 0.95)
    warm = true["ts"] + 0.1 * weather.autoregression(rng, size, 0.95)
    broken = np.zeros(size, bool)
    for start in np.flatnonzero(rng.random(size // 48) < 0.006):
        broken[48 * start:48 * (start + rng.integers(2, 15))] = True
    for chamber in range(1, count + 1):
        factor = np.exp(0.12 * rng.standard_normal())
        at = np.arange(chamber % every, size, every)
        at = at[~broken[at] & (rng.random(at.size) > 0.05)]
        flux = factor * true["soil"][at] * np.exp(own[at])
        flux = flux + rng.laplace(0, 0.05 + 0.05 * flux)
        rows.append(pd.DataFrame({
            "chamber": chamber, "time": true["time"][at] - np.timedelta64(30, "m"), "flux": flux.round(3),
            "r2": (1 - 0.02 * rng.beta(1.2, 4, at.size) / np.maximum(flux, 0.2)).round(4),
            "temperature_5cm": warm[at].round(2), "moisture_5cm": swc[at].round(4)}))
    made = pd.concat(rows, ignore_index=True)
    made.attrs = {"site": f"Simulated chambers at {tower.code}", "lon": place.lon, "lat": place.lat,
                  "elevation": place.elevation}
    return made
