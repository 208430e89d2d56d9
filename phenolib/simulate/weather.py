"""Daily weather of a simulated place: temperature, rain, radiation, humidity, wind and reference evaporation."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.signal import lfilter

from phenolib.errors import InputError, near


@dataclass(frozen=True)
class Climate:
    """Normals of a climate; months from January to December.

    Project defaults of the order of public station normals of such places; they are not measurements of any station.
    """

    mean: float  # mean temperature of the year [°C]
    swing: float  # half the range of its yearly wave [°C]
    coldest: float  # day of year of the lowest normal temperature
    rain: tuple  # of a month [mm]
    wet_days: tuple  # of a month, with 1 mm or more
    dry_range: float = 12.0  # from the lowest to the highest temperature of a dry day [°C]
    spread: float = 3.4  # SD of a day's temperature around its normal, mean of the year [°C]
    clear: float = 0.62  # radiation of a dry day as a share of that outside the atmosphere [-]
    dew: float = 1.0  # dew point below the lowest temperature on a dry day, mean of the year [°C]
    dew_swing: float = 0.0  # added in the warmest season and taken off in the coldest [°C]
    wind: float = 3.0  # at 2 m [m s⁻¹]


CLIMATES = {
    "midwest": Climate(10.0, 14.0, 20, (20, 22, 45, 80, 110, 115, 95, 95, 75, 60, 35, 25),
                       (5, 5, 7, 9, 11, 10, 9, 8, 7, 6, 5, 5), 12.5, 4.4, 0.62, 1.5, 0.5, 3.2),
    "plains": Climate(12.6, 13.5, 18, (18, 25, 55, 70, 110, 110, 100, 95, 65, 60, 30, 25),
                      (4, 5, 7, 8, 10, 9, 9, 8, 7, 6, 4, 4), 13.5, 4.4, 0.65, 2.0, 0.5, 3.6),
    "north": Climate(5.3, 17.0, 18, (14, 13, 25, 38, 70, 95, 80, 65, 60, 45, 20, 16),
                     (5, 4, 6, 6, 9, 11, 9, 8, 7, 6, 5, 5), 12.5, 4.8, 0.63, 1.0, 1.0, 3.6),
    "northwest": Climate(8.8, 10.0, 16, (65, 50, 55, 45, 45, 35, 15, 18, 20, 38, 68, 72),
                         (13, 11, 12, 10, 9, 7, 3, 3, 4, 8, 13, 13), 13.0, 3.4, 0.66, 2.5, 3.0, 2.8),
    "california": Climate(16.3, 8.5, 12, (95, 85, 65, 28, 15, 5, 1, 1, 5, 22, 50, 80),
                          (9, 8, 8, 5, 3, 1, 0.2, 0.3, 1, 3, 6, 9), 16.0, 2.7, 0.70, 1.5, 2.0, 2.4),
    "delta": Climate(15.9, 11.8, 16, (95, 95, 120, 125, 130, 90, 90, 75, 85, 100, 120, 120),
                     (9, 9, 10, 9, 10, 8, 8, 7, 6, 7, 9, 9), 12.5, 4.0, 0.63, 0.5, 0.0, 2.3),
    "florida": Climate(22.8, 5.2, 16, (55, 55, 75, 65, 110, 210, 190, 200, 190, 100, 60, 50),
                       (6, 6, 6, 6, 8, 14, 15, 16, 15, 9, 6, 5), 11.5, 2.7, 0.64, 0.0, 0.0, 2.2),
    "flanders": Climate(10.4, 7.4, 20, (70, 58, 60, 48, 62, 70, 75, 78, 65, 68, 72, 82),
                        (13, 11, 12, 10, 11, 10, 10, 10, 10, 11, 13, 13), 9.5, 3.2, 0.54, 0.5, 0.5, 3.0),
    "england": Climate(9.8, 6.4, 26, (62, 47, 45, 50, 50, 55, 52, 60, 58, 74, 72, 66),
                       (12, 10, 10, 9, 9, 9, 9, 9, 9, 11, 12, 12), 8.5, 2.9, 0.52, 0.3, 0.5, 3.4),
    "korea": Climate(12.3, 13.7, 18, (20, 28, 45, 75, 100, 130, 380, 340, 150, 50, 50, 22),
                     (5, 5, 6, 7, 8, 9, 15, 13, 8, 5, 6, 5), 10.0, 2.9, 0.60, 2.0, -2.0, 2.2),
    "yellow_river": Climate(12.9, 15.0, 16, (6, 9, 12, 28, 45, 75, 190, 140, 50, 30, 16, 7),
                            (2, 3, 3, 4, 6, 7, 12, 10, 6, 4, 3, 2), 11.0, 2.8, 0.60, 3.0, -2.5, 2.8),
}
PERSISTENCE = 0.25  # of a wet or dry spell from day to day [-]
SHAPE = 0.75  # of the gamma distribution of rain on a wet day
UNITS = dict(rain="mm d-1", t_mean="degC", t_min="degC", t_max="degC", radiation="MJ m-2 d-1", humidity="kPa",
             wind="m s-1", et0="mm d-1")
NAMES = dict(rain="rain and snow", t_mean="mean air temperature", t_min="lowest air temperature",
             t_max="highest air temperature", radiation="global radiation", humidity="actual vapour pressure",
             wind="wind speed at 2 m", et0="reference evapotranspiration")


def make(rng, climate, latitude, years, *, elevation=100.0, rain=1.0, warmer=0.0):
    """Daily weather of one place, from 1 July before the first year to 31 January after the last.

    Rain falls on days of a two-state chain, P(wet | wet) = p + (1−p)·ρ and P(wet | dry) = p·(1−ρ), in amounts of a
    gamma distribution. Temperature is a yearly sine with two first-order autoregressions on it, one of days and one of
    weeks, so that springs are early or late. Wet days are dull, have a small range and are moist.

    rng        numpy Generator
    climate    one of ``CLIMATES``
    latitude   of the place, north positive [°]
    years      first and last year
    elevation  above the sea [m]
    rain       factor on all amounts; the same days are wet [-]
    warmer     added to all temperatures [°C]
    returns    (time,) Dataset of rain, t_mean, t_min, t_max, radiation, humidity, wind and et0 with units; climate,
               latitude and elevation are scalar coordinates, so that ``xr.concat`` along a new ``site`` keeps them
    raises     InputError for an unknown climate, or years, latitude or rain out of range
    """
    if climate not in CLIMATES:
        raise InputError(f"climate '{climate}' is not known{near(climate, CLIMATES)}")
    first, last = int(years[0]), int(years[1])
    if not 1900 <= first <= last <= 2200:
        raise InputError(f"years = {first}-{last} is out of range; give a first and a last year, e.g. 2016-2022")
    if not -66 <= latitude <= 66:
        raise InputError(f"latitude = {latitude} is out of range; give -66 to 66 degrees")
    if not rain >= 0:
        raise InputError(f"rain = {rain} is out of range; give a factor of 0 or more")
    facts = CLIMATES[climate]
    date = pd.date_range(f"{first - 1}-07-01", f"{last + 1}-01-31", freq="D")
    day, size = date.day_of_year.to_numpy(float), len(date)
    summer = -np.cos(2 * np.pi * (day - facts.coldest) / 365.25)  # −1 in the coldest season, 1 in the warmest

    chance = np.clip(monthly(np.array(facts.wet_days) / 30.4, day), 0.002, 0.95)
    fresh, wet = rng.random(size), np.zeros(size, bool)
    for k in range(size):
        was = wet[k - 1] if k else False
        wet[k] = fresh[k] < (chance[k] + (1 - chance[k]) * PERSISTENCE if was else chance[k] * (1 - PERSISTENCE))
    depth = monthly(np.array(facts.rain) / np.array(facts.wet_days), day)
    water = np.where(wet, rng.gamma(SHAPE, 1, size) / SHAPE * depth * rain, 0.0)

    spread = facts.spread * (1 - 0.4 * summer)
    slow = autoregression(rng, size, 0.97)
    fast = autoregression(rng, size, 0.70)
    mean = normal(climate, day) + warmer + spread * (0.35 * slow + 0.94 * fast) - 0.8 * (wet - chance)
    light = np.clip(np.where(wet, 0.55, 1.0) * facts.clear + np.where(wet, 0.11, 0.06) * rng.standard_normal(size),
                    0.12, 0.78)
    width = facts.dry_range * np.clip(light / facts.clear * (1 + 0.15 * summer), 0.3, 1.6)
    lowest, highest = mean - width / 2, mean + width / 2
    below = np.where(wet, 0.0, np.clip(facts.dew + facts.dew_swing * summer + rng.standard_normal(size), 0, None))
    vapour = saturation(lowest - below)
    wind = np.clip(facts.wind * (1 - 0.12 * summer) * np.exp(0.35 * autoregression(rng, size, 0.4) - 0.06), 0.3, None)
    outside = extraterrestrial(latitude, day)
    radiation = light * outside
    data = dict(rain=water, t_mean=mean, t_min=lowest, t_max=highest, radiation=radiation, humidity=vapour, wind=wind,
                et0=penman_monteith(lowest, highest, vapour, wind, radiation, outside, elevation))
    return xr.Dataset(
        {name: ("time", value, {"units": UNITS[name], "long_name": NAMES[name]}) for name, value in data.items()},
        {"time": date, "climate": climate, "latitude": float(latitude), "elevation": float(elevation)})


def normal(climate, day):
    """Normal temperature of days of the year: the yearly wave alone. returns like ``day`` [°C]"""
    facts = CLIMATES[climate]
    return facts.mean - facts.swing * np.cos(2 * np.pi * (np.asarray(day, float) - facts.coldest) / 365.25)


def monthly(values, day):
    """Twelve monthly values on days of the year, linear between the middles of months. returns (day,)"""
    return np.interp(day, 15.2 + 30.44 * np.arange(-1, 13), np.r_[values[-1], values, values[0]])


def autoregression(rng, size, keeps):
    """A first-order autoregression of mean 0 and variance 1 that keeps a share from day to day. returns (size,)"""
    noise = rng.standard_normal(size)
    noise[1:] *= np.sqrt(1 - keeps**2)
    return lfilter([1.0], [1.0, -keeps], noise)


def saturation(temperature):
    """Saturation vapour pressure over water [kPa] at temperatures [°C]; Allen et al. (1998), FAO 56, eq. 11.

    >>> round(float(saturation(24.5)), 3)
    3.075
    """
    return 0.6108 * np.exp(17.27 * np.asarray(temperature) / (np.asarray(temperature) + 237.3))


def extraterrestrial(latitude, day):
    """Radiation outside the atmosphere on a level surface, sum of a day.

    R_a = (24·60/π)·0.0820·d_r·(ω_s sin φ sin δ + cos φ cos δ sin ω_s)

    latitude  north positive [°]
    day       day of year
    returns   [MJ m⁻² d⁻¹], broadcast

    Allen et al. (1998), FAO 56, eq. 21 and its example 8:

    >>> round(float(extraterrestrial(-20, 246)), 1)
    32.2
    """
    angle, place = 2 * np.pi * np.asarray(day, float) / 365, np.radians(latitude)
    tilt = 0.409 * np.sin(angle - 1.39)
    sunset = np.arccos(np.clip(-np.tan(place) * np.tan(tilt), -1, 1))
    height = sunset * np.sin(place) * np.sin(tilt) + np.cos(place) * np.cos(tilt) * np.sin(sunset)
    return 24 * 60 / np.pi * 0.0820 * (1 + 0.033 * np.cos(angle)) * height


def hargreaves(lowest, highest, outside):
    """Reference evapotranspiration from temperatures alone.

    ET₀ = 0.0023·(T̄ + 17.8)·√(T_x − T_n)·0.408·R_a

    lowest, highest  air temperature of the day [°C]
    outside          R_a of ``extraterrestrial`` [MJ m⁻² d⁻¹]
    returns          [mm d⁻¹], never below 0

    Allen et al. (1998), FAO 56, eq. 52 and its example 20:

    >>> round(float(hargreaves(14.8, 26.6, extraterrestrial(45 + 43 / 60, 196))), 1)
    5.0
    """
    mean, width = (np.asarray(lowest) + highest) / 2, np.clip(np.asarray(highest) - lowest, 0, None)
    return np.clip(0.0023 * (mean + 17.8) * np.sqrt(width) * 0.408 * outside, 0, None)


def penman_monteith(lowest, highest, vapour, wind, radiation, outside, elevation):
    """Reference evapotranspiration of short grass with ample water.

    ET₀ = [0.408·Δ·(R_n − G) + γ·900/(T+273)·u₂·(e_s − e_a)] / [Δ + γ·(1 + 0.34·u₂)], G = 0 for a day

    lowest, highest  air temperature of the day [°C]
    vapour           actual vapour pressure e_a [kPa]
    wind             at 2 m [m s⁻¹]
    radiation        global radiation [MJ m⁻² d⁻¹]
    outside          R_a of ``extraterrestrial`` [MJ m⁻² d⁻¹]
    elevation        above the sea [m]
    returns          [mm d⁻¹], never below 0

    Allen et al. (1998), FAO 56, eqs 6, 7, 8, 12, 13, 37, 38, 39 and 40, and its example 18:

    >>> outside = extraterrestrial(50.8, 187)
    >>> round(float(penman_monteith(12.3, 21.5, 1.409, 2.078, 22.07, outside, 100)), 1)
    3.9
    """
    mean = (np.asarray(lowest) + highest) / 2
    slope = 4098 * saturation(mean) / (mean + 237.3) ** 2
    gamma = 0.665e-3 * 101.3 * ((293 - 0.0065 * elevation) / 293) ** 5.26
    clear = (0.75 + 2e-5 * elevation) * np.asarray(outside)
    share = np.clip(radiation / np.maximum(clear, 1e-9), 0.25, 1)
    warm = 4.903e-9 * ((np.asarray(highest) + 273.16) ** 4 + (np.asarray(lowest) + 273.16) ** 4) / 2
    lost = warm * (0.34 - 0.14 * np.sqrt(vapour)) * (1.35 * share - 0.35)
    short = (saturation(lowest) + saturation(highest)) / 2 - vapour
    net = 0.77 * np.asarray(radiation) - lost
    evaporated = 0.408 * slope * net + gamma * 900 / (mean + 273) * wind * short
    return np.clip(evaporated / (slope + gamma * (1 + 0.34 * np.asarray(wind))), 0, None)
