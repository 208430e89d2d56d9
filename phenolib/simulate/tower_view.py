"""What the instruments of simulated sites see: cosmic-ray neutrons by day and by hour, soil cores, point probes.

Counts come from the universal transport solution and the hydrogen of organic matter; the soil moisture in the files is
made from them as networks do, by Desilets with carbon as it was measured. So retrieval and truth do not share their
physics. Numbers are project defaults unless a source is named.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import neutron_footprint, neutrons
from phenolib.simulate import weather
from phenolib.simulate.calendar import stream
from phenolib.simulate.tower_water import LAYERS, warmth
from phenolib.sources.cosmos import PROBE_DEPTHS

GRID = np.arange(0.025, 1.0, 0.05)  # middles of thin layers, which meet at the bottoms of ``LAYERS`` [m]
DISTANCE = 75.0  # from the probe, at which depths are weighted [m]
DRY_COUNT = 1900.0, 0.12  # counts per hour over dry soil in dry air at 1013.25 hPa, and SD of ln of it among probes
PLANTS = {"grassland": (0.15, 0.35), "arable": (0.05, 1.3), "woodland": (11.0, 12.0), "heath": (1.0, 1.3)}  # kg m⁻²
# above ground without and with leaves
SNOW = 0.5, 0.018  # share of the counts that deep snow takes, and how fast it does with the water in it [mm⁻¹]
RAYS = 0.006  # SD of what is left of the incoming rays after their correction
CAMPAIGN = "05-20", "10-14"  # dates of soil cores
ERRORS = dict(bulk_density=0.05, organic_carbon=0.15, lattice_water=0.15, theta=0.012)  # SD, of ln and of moisture
TEXTURE = 0.03  # SD of sand and clay of soil maps
PROBE = dict(offset=0.030, gain=0.12, drift=0.003, white=0.003, lasting=0.006)  # SD of probes; drift in a year
RARE = 0.35  # share of sites with ten probes
LATE = 0.12  # share of sites that start later
CYCLE = 0.06, 11.0  # half the range of the incoming rays over the cycle of the sun, and its length [years]
FORBUSH = 0.9, 0.05, 5.0  # showers from the sun in a year, mean fall of the rays, days in which it is gone
RINGS = (5, 25, 75, 175)  # m from the probe, of soil cores
CORE_DEPTHS = np.arange(0.025, 0.30, 0.05)


def thin(layers):
    """Values of ``LAYERS`` (..., layer) on ``GRID``. returns (..., thin layer)"""
    return np.asarray(layers)[..., np.searchsorted([low for _, low in LAYERS], GRID)]


@dataclass(frozen=True)
class Neutrons:
    """theta as neutrons weight it (time, site), depth86 [m] (time, site), and expected counts per hour at 1013.25 hPa
    with the usual incoming rays (time, site); n_dry and bound [g g⁻¹] (site,)"""

    theta: np.ndarray
    depth86: np.ndarray
    counts: np.ndarray
    n_dry: np.ndarray
    bound: np.ndarray


def humidity(sky):
    """Absolute humidity [g m⁻³] of the air of ``tower_water.make_weather``."""
    return neutrons.absolute_humidity(sky["air"], vapour_pressure=10 * sky["vapour"])


def neutron_field(seed, table, sky, water, green):
    """Neutrons over all sites on all days. returns Neutrons"""
    density = table["bulk_density"].to_numpy()
    theta, depth = np.empty((2, *water.snow.shape))
    for k in range(len(table)):
        seen = neutron_footprint.depth_weighted(thin(water.theta[:, :, k]), GRID, bulk_density=density[k],
                                                distance=DISTANCE)
        theta[:, k], depth[:, k] = seen.theta, seen.depth86
    bound = np.array([neutrons.bound_water(place.lattice_water, place.organic_carbon, "organic_matter")
                      for place in table.itertuples()])
    n_dry = np.array([DRY_COUNT[0] * np.exp(DRY_COUNT[1] * stream(seed, "towers", "probe", s).standard_normal())
                      for s in table["site"]])
    bare, leafy = (np.array([PLANTS[c][k] for c in table["land_cover"]]) for k in (0, 1))
    over = 1 - SNOW[0] * (1 - np.exp(-SNOW[1] * water.snow))
    over = over / neutrons.biomass_factor(bare + (leafy - bare) * green)
    share = neutrons.uts(theta, humidity(sky), bulk_density=density, bound=bound)
    return Neutrons(theta, depth, n_dry * share * over, n_dry, bound)


def surveyed(seed, table):
    """Sites as surveys tell them: the columns of metadata, with errors of soil samples, and texture of soil maps.

    returns  DataFrame of site, bulk_density, soil_organic_carbon, lattice_water, sand, clay and theta_errors, those of
             two campaigns of cores
    """
    rows = []
    for place in table.itertuples():
        rng = stream(seed, "towers", "survey", place.site)
        z = rng.standard_normal(7)
        clay = float(np.clip(place.clay + TEXTURE * z[4], 0.02, 0.6))
        rows.append({
            "site": place.site, "bulk_density": round(place.bulk_density * np.exp(ERRORS["bulk_density"] * z[0]), 3),
            "soil_organic_carbon": round(place.organic_carbon * np.exp(ERRORS["organic_carbon"] * z[1]), 4),
            "lattice_water": round(place.lattice_water * np.exp(ERRORS["lattice_water"] * z[2]), 4),
            "sand": round(float(np.clip(place.sand + TEXTURE * z[5], 0.02, 0.97 - clay)), 3), "clay": round(clay, 3),
            "theta_errors": ERRORS["theta"] * z[[3, 6]]})
    return pd.DataFrame(rows)


def daily(seed, place, survey, number, sky, water, field, green, days):
    """A site's daily readings and their flags.

    place, survey, number   row of the table, row of ``surveyed``, number of the site
    sky, water, field, green  of ``tower_water`` and ``neutron_field``
    days                    slice of days
    returns                 Dataset (time[, probe]) as ``sources.cosmos.write`` takes it, with attrs n0 and start;
                            DataFrame of flags by column, "" where there is none
    """
    rng, k = stream(seed, "towers", "daily", place.site), number
    time, size = sky["time"][days], days.stop - days.start
    water_air, pa = humidity(sky)[days, k], sky["pressure"][days, k]
    rays = 1 + RAYS * weather.autoregression(rng, size, 0.97)
    raw = rng.poisson(24 * field.counts[days, k] / neutrons.pressure_factor(pa) * rays) / 24
    counts = raw * neutrons.pressure_factor(pa) * neutrons.humidity_factor(water_air)
    late = rng.random() < LATE
    first = int(rng.integers(120, max(size // 3, 121))) if late else 0
    n0 = reference_count(rng, survey, time, first, counts, field.theta[days, k])
    theta = neutrons.desilets(counts, n0, bulk_density=survey.bulk_density,
                              bound=neutrons.bound_water(survey.lattice_water, survey.soil_organic_carbon))
    theta = np.where((theta > 0) & (theta < 0.97), theta, np.nan)
    air, vapour = sky["air"][days, k], sky["vapour"][days, k]
    data = {
        "theta": theta.round(4), "neutrons": counts.round(2),
        "d86": (100 * neutron_footprint.depth86(theta, survey.bulk_density, DISTANCE)).round(1), "pa": pa.round(1),
        "ta": air.round(2), "ta_min": sky["lowest"][days, k].round(2), "ta_max": sky["highest"][days, k].round(2),
        "q": water_air.round(2), "rh": np.clip(100 * vapour / weather.saturation(air), 5, 100).round(1),
        "ws": sky["wind"][days, k].round(2), "precip": sky["rain"][days, k].round(1),
        "sw_in": sky["light"][days, k], "lw_in": sky["longwave"][days, k], "pe": sky["demand"][days, k].round(2),
        "swe": water.snow[days, k].round(1), "snow": (water.snow[days, k] > 0.5).astype(float)}
    probes = (1, 2, *(range(3, 11) if rng.random() < RARE else ()))
    moist, warm = points(seed, place, k, sky, water, green, days, probes)
    made = xr.Dataset({name: ("time", values) for name, values in data.items()},
                      {"time": time.astype("datetime64[ns]")})
    made = made.assign_coords(probe=list(probes))
    made["theta_tdt"], made["ts_tdt"] = (("time", "probe"), moist), (("time", "probe"), warm)

    flags = pd.DataFrame("", index=range(size), columns=["COSMOS_VWC", "CTS_MOD_CORR", "TA", "PRECIP"])
    for names, weeks, single in ((("theta", "neutrons", "d86"), 1.2, 0.010),
                                 (("theta_tdt", "ts_tdt"), 1.0, 0.006), (("ta", "rh", "q", "sw_in", "pe"), 0.2, 0.002),
                                 (("precip",), 0.2, 0.002)):
        gone = rng.random(size) < single
        for _ in range(rng.poisson(weeks * size / 365)):
            begin = rng.integers(size)
            gone[begin:begin + 7 * rng.integers(1, 4)] = True
        for name in names:
            made[name] = made[name].where(xr.DataArray(~gone, dims="time"))
    white = (data["snow"] > 0)
    flags.loc[white, ["COSMOS_VWC"]] = "E"
    filled = rng.random(size) < 0.004
    flags.loc[filled, "PRECIP"] = "I"
    for name, column in (("theta", "COSMOS_VWC"), ("neutrons", "CTS_MOD_CORR"), ("ta", "TA"), ("precip", "PRECIP")):
        flags.loc[np.isnan(made[name].values), column] = "M"
    made = made.isel(time=slice(first, None)).assign_attrs(site=place.site, n0=n0, start=str(time[first]))
    return made, flags.iloc[first:].reset_index(drop=True)


def reference_count(rng, survey, time, first, counts, truth):
    """N₀, mean of those from cores on the first two dates of ``CAMPAIGN`` on which a site counts [counts per hour]"""
    dates = np.flatnonzero([str(one)[5:] in CAMPAIGN for one in time[first:]])[:2] + first
    bound = neutrons.bound_water(survey.lattice_water, survey.soil_organic_carbon)
    found = []
    for day, error in zip(dates if dates.size else [first], survey.theta_errors):
        theta = float(np.clip(truth[day] + error, 0.02, 0.95))
        around = counts[max(day - 1, 0):day + 2].mean()
        found.append(around / neutrons.to_counts(theta, 1.0, "desilets", None, survey.bulk_density, bound))
    return float(np.mean(found))


def points(seed, place, number, sky, water, green, days, probes):
    """Moisture and temperature of point probes. returns (time, probe) [m³ m⁻³], (time, probe) [°C]"""
    size, moist, warm = days.stop - days.start, [], []
    surface = sky["air"][:, number] + 0.012 * sky["light"][:, number] * np.exp(-1.2 * green[:, number])
    layers = water.theta[days, :, number]
    middles = np.array([0.0, 0.05, 0.225, 0.675, 1.0])
    for probe in probes:
        rng = stream(seed, "towers", "point probe", place.site, probe)
        depth = PROBE_DEPTHS[probe]
        share = np.stack([np.interp(depth, middles, line) for line in
                          ((1, 1, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 1, 1))])
        true = layers @ share
        z = rng.standard_normal(3)
        seen = (true.mean() + (1 + PROBE["gain"] * z[0]) * (true - true.mean()) + PROBE["offset"] * z[1]
                + PROBE["drift"] * z[2] * np.arange(size) / 365
                + PROBE["lasting"] * weather.autoregression(rng, size, 0.95)
                + PROBE["white"] * rng.standard_normal(size))
        moist.append(np.clip(seen, 0.01, 0.98).round(4))
        warm.append((warmth(surface, depth, 86400.0)[days] + 0.2 * rng.standard_normal()).round(2))
    return np.stack(moist, 1), np.stack(warm, 1)


# ---- probes by the hour

def incoming(seed, hours):
    """Incoming rays over their mean: the cycle of the sun, sudden falls that take days to go, and a day's wave.

    hours    (time,) datetime64
    returns  (time,) [-]; the same at all sites
    """
    rng = stream(seed, "towers", "rays")
    at = (hours - np.datetime64("2009-12-01")) / np.timedelta64(1, "D")  # least sun spots, most rays
    made = 1 + CYCLE[0] * np.cos(2 * np.pi * at / (365.25 * CYCLE[1]))
    span = (at[-1] - at[0]) / 365
    for _ in range(1 + rng.poisson(FORBUSH[0] * span)):
        since = at - rng.uniform(at[0], at[-1])
        fall = FORBUSH[1] * rng.gamma(4, 0.25)
        made = made - fall * np.exp(-np.clip(since, 0, None) / FORBUSH[2]) * np.clip(since / 0.4 + 1, 0, 1)
    return made * (1 + 0.002 * np.cos(2 * np.pi * (at % 1 - 0.6)))


def hourly(seed, place, number, sky, water, field, days):
    """An hourly series of a probe, as it is before any correction.

    days     slice of days
    returns  (time) Dataset as ``sources.neutron_series.write`` takes it
    """
    rng, k = stream(seed, "towers", "hourly", place.site), number
    size = 24 * (days.stop - days.start)
    time = sky["time"][days][0].astype("datetime64[ns]") + np.arange(1, size + 1) * np.timedelta64(1, "h")
    at, noon = np.arange(size) + 0.5, np.arange(days.stop - days.start) * 24 + 12.0

    def through(values):
        return np.interp(at, noon, values[days, k])

    swing = through(sky["highest"] - sky["lowest"]) / 2
    ta = through(sky["air"]) + swing * np.cos(2 * np.pi * (at - 14.5) / 24)
    vapour = np.minimum(through(sky["vapour"]), weather.saturation(ta))
    pa = through(sky["pressure"]) + 0.4 * weather.autoregression(rng, size, 0.95)
    moist = neutrons.absolute_humidity(ta, vapour_pressure=10 * vapour)
    theta = np.interp(at, np.arange(days.stop - days.start) * 24 + 24.0, field.theta[days, k])
    above = field.counts[days, k] / neutrons.uts(field.theta[days, k], humidity(sky)[days, k],
                                                 bulk_density=place.bulk_density, bound=field.bound[k])
    share = neutrons.uts(theta, moist, bulk_density=place.bulk_density, bound=field.bound[k])
    mean = np.interp(at, noon, above) * share * incoming(seed, time) / neutrons.pressure_factor(pa)
    count = rng.poisson(mean).astype(float)
    slow = rng.poisson(0.62 * mean * (1 + 0.03 * weather.autoregression(rng, size, 0.98))).astype(float)
    odd = rng.random(size) < 0.0008
    count[odd] = np.round(count[odd] * rng.uniform(0.1, 0.6, odd.sum()))
    bursts = rng.gamma(0.15, 1, (size // 24, 24)) + 1e-12
    rain = bursts / bursts.sum(1, keepdims=True) * sky["rain"][days, k][:, None]
    relative = np.clip(100 * vapour / weather.saturation(ta), 5, 100)
    data = {"neutrons": np.maximum(count, 1), "neutrons_slow": np.maximum(slow, 1), "ta": ta.round(2),
            "rh": relative.round(1), "pa": pa.round(1), "precip": rain.ravel().round(1)}
    gone = np.zeros(size, bool)
    for _ in range(3):
        begin = rng.integers(size)
        gone[begin:begin + rng.integers(6, 120)] = True
    return xr.Dataset({name: ("time", np.where(gone, np.nan, values)) for name, values in data.items()}, {"time": time})


def cores(seed, place, number, sky, water, days):
    """Samples of soil cores around a probe, on the two dates of ``CAMPAIGN`` in a year.

    returns  DataFrame as ``sources.neutron_series.write_cores`` takes it
    """
    rng, rows = stream(seed, "towers", "cores", place.site), []
    year = str(sky["time"][days][0].astype("datetime64[Y]"))
    for date in CAMPAIGN:
        day = int((np.datetime64(f"{year}-{date}") - sky["time"][days][0]).astype(int)) + days.start
        layers = thin(water.theta[day, :, number])[:len(CORE_DEPTHS)]
        profile = 0
        for ring in RINGS:
            for _ in range(4 if ring < 100 else 6):
                profile += 1
                density = np.clip(place.bulk_density * (1 + 0.10 * rng.standard_normal()
                                                        + 0.05 * rng.standard_normal(len(layers))), 0.15, 1.9)
                theta = np.clip(layers * (1 + 0.05 * rng.standard_normal()) + 0.015 * rng.standard_normal(len(layers)),
                                0.02, np.minimum(0.95, 1 - density / 2.7 + 0.05))
                rows.append(pd.DataFrame({
                    "time": np.datetime64(f"{year}-{date}T12:00", "ns"), "profile": str(profile), "distance": ring,
                    "depth": CORE_DEPTHS, "theta_g": theta / density, "bulk_density": density,
                    "organic_carbon": np.clip(place.organic_carbon * np.exp(0.15 * rng.standard_normal(len(layers))),
                                              0.001, 0.55),
                    "lattice_water": np.clip(place.lattice_water * np.exp(0.1 * rng.standard_normal(len(layers))),
                                             0.0005, 0.2)}))
    made = pd.concat(rows, ignore_index=True)
    return made.round({"theta_g": 4, "bulk_density": 3, "organic_carbon": 4, "lattice_water": 4, "depth": 3})
