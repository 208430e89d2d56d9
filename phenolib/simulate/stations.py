"""Simulated stations at the camera sites: daily weather, and water, temperature and salt of the soil at five depths."""

from pathlib import Path

import numpy as np
import xarray as xr

from phenolib.files import atomic, write_text
from phenolib.simulate import ground, landscape, true_dates
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.simulate.patches import grid
from phenolib.simulate.weather import autoregression
from phenolib.sources import sentinel, soil_stations

SEES = 0.05  # soil above and below a sensor that it feels [m]
UPPER = 0.10  # lower border of the upper layer of water [m]
PROFILE = {  # column: variable of ``ground.soil_of``, digits
    "sand_percent": ("sand", 1), "clay_percent": ("clay", 1), "organic_carbon_percent": ("carbon", 2),
    "ec_e_dS_m": ("salinity", 2), "elevation_m": ("elevation", 1), "slope_degree": ("slope", 2),
    "wetness": ("wetness", 3)}
OFFSET = {"theta": 0.02, "soil_temperature": 0.3, "ec": 0.1}  # SD among sensors [m³ m⁻³, °C, of ln EC]
DRIFT = {"theta": 0.006, "soil_temperature": 0.1, "ec": 0.12}  # SD through time, with a memory of months
NOISE = {"theta": 0.002, "soil_temperature": 0.05, "ec": 0.02}  # SD of a day
OUT = 1 / 200, 1 / 20  # chance per day that a port falls out, and that it comes back
LOGGER = 1 / 500, 1 / 25  # the same of the whole station
DIES = 0.2  # share of the sensors that end for good before the last day

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated weather and soil stations with known truth; seed {seed}, {sites} sites, harvest years {first}-{last}
kinds:
  patches: {{path: "patches/*.nc", reader: sentinel, units: "reflectance 1, backscatter 1"}}
  soil: {{path: "soil/*_readings.csv*", reader: soil_stations, units: "m3 m-3, degC, dS m-1"}}
"""


def make(folder, *, config=DEFAULT):
    """Write the weather and the soil stations of an archive.

    folder   receives patches/AgERA5_DAILY_….nc, soil/*_readings.csv.gz, soil/depths.csv, soil/profiles.csv,
             truth/soil.nc and archive.yml
    config   for sizes and assumptions; every place of the patches has weather, and the field of every camera a station,
             on all days of the landscape
    """
    seed, folder = config.seed, Path(folder)
    found, sky, growth = landscape.whole(config)
    sites = found[: config.sites]
    for k, place in enumerate(found):
        sentinel.write_patch(folder / "patches", weather(place, sky.isel(site=k)))
    clean, rows = [], []
    for k, place in enumerate(sites):
        land = ground.make(seed, place.site, place.region, place.field.shape)
        soil = ground.soil_of(land, place.field).isel(field=0)
        clean.append(state(growth.isel(field=k * landscape.FIELDS), soil).assign_coords(station=place.site))
        read = readings(stream(seed, "stations", place.site), clean[-1])
        soil_stations.write(read, folder / "soil" / f"{place.site}_readings.csv.gz")
        rows.append({"site": place.site, "bulk_density_g_cm3": round(float(ground.bulk_density(soil["carbon"])), 3),
                     **{name: round(float(soil[which]), digits) for name, (which, digits) in PROFILE.items()}})
    write_text(folder / "soil" / "profiles.csv", true_dates.table(rows, list(rows[0])))
    truth = xr.concat(clean, "station").rename(station="site").astype(np.float32)
    with atomic(folder / "truth" / "soil.nc") as part:
        truth.to_netcdf(part, engine="h5netcdf", encoding={
            **{name: {"zlib": True, "complevel": 4, "chunksizes": (1, *truth[name].shape[1:])} for name in truth},
            "time": {"units": "days since 2000-01-01", "dtype": "int32"}})
    first, last = config.years
    write_text(folder / "archive.yml", ARCHIVE.format(seed=seed, sites=len(sites), first=first, last=last))


def weather(place, sky):
    """The weather of a place as AgERA5 has it, a Dataset as ``sentinel.write_patch`` takes it.

    Dew point from the vapour pressure, T = 237.3·ln(e/0.6108) / (17.27 − ln(e/0.6108)); wind at 10 m from that at 2 m,
    u₁₀ = u₂·ln(67.8·10 − 5.42) / 4.87: Allen et al. (1998), FAO 56, eqs 11 and 47.

    place    ``landscape.Place``
    sky      (time,) of ``weather.make``
    returns  (time,) t_mean, t_min, t_max, t_dew [degC], rain [mm d-1], radiation [MJ m-2 d-1], vapour_pressure [kPa],
             wind [m s-1]
    """
    x, y, code = grid(place)
    ratio = np.log(sky["humidity"] / 0.6108)
    data = {name: sky[name] for name in ("t_mean", "t_min", "t_max", "rain", "radiation")} | dict(
        t_dew=237.3 * ratio / (17.27 - ratio), vapour_pressure=sky["humidity"],
        wind=sky["wind"] * np.log(67.8 * 10 - 5.42) / 4.87)
    made = xr.Dataset({name: ("time", values.values) for name, values in data.items()}, {"time": sky["time"].values},
                      {"place": place.site, "product": "AgERA5_DAILY", "resolution": 1000})
    return sentinel.with_crs(made.assign_coords(x=x[9], y=y[9]), code)  # the camera's pixel


def state(growth, soil):
    """What perfect sensors would read in a field.

    A sensor feels the soil 5 cm above and below it. The landscape knows the water of two layers, each as a whole: at
    5 cm a sensor reads the upper one (0–10 cm), at 10 cm the mean of both, deeper the lower one (10–100 cm), so that
    the three lowest differ by their offsets alone. Temperature is that of the landscape at the same depths.

    Conductivity of the bulk soil, as loggers give it for 25 °C: EC = EC_e·θ_s·T(θ) + 0.01·clay·θ/θ_s,
    T = clip(1.4·θ − 0.1, 0, 1), θ_s = 1 − ρ_b/2.65, EC_e that of the field, 0.8 times at the surface and 1.4 times at
    1 m. The form is that of Rhoades et al. (1976), Soil Sci. Soc. Am. J. 40:651, for salt that neither moves nor falls
    out and a surface that conducts as far as it is wet; its numbers are project defaults, set so that they span what
    the Cook Agronomy Farm reads.

    growth   (time,) of one field of ``landscape.grow``
    soil     its row of ``ground.soil_of``
    returns  (time, depth) Dataset of theta [m3 m-3], soil_temperature [degC] and ec [dS m-1]
    """
    depth = growth["depth"]
    upper = ((UPPER + SEES - depth) / (2 * SEES)).clip(0, 1)
    theta = upper * growth["theta"].isel(layer=0) + (1 - upper) * growth["theta"].isel(layer=1)
    pores = 1 - float(ground.bulk_density(soil["carbon"])) / ground.PARTICLES
    salt = float(soil["salinity"]) * (0.8 + 0.6 * depth)
    ec = salt * pores * (1.4 * theta - 0.1).clip(0, 1) + 0.01 * float(soil["clay"]) * theta / pores
    data = {"theta": theta, "soil_temperature": growth["soil_temperature"], "ec": ec}
    units = {name: {"units": units, "long_name": text} for name, units, text, *_ in soil_stations.VARIABLES.values()}
    return xr.Dataset({name: (("time", "depth"), values.transpose("time", "depth").values.astype(float), units[name])
                       for name, values in data.items()}, {"time": growth["time"].values, "depth": depth.values})


def readings(rng, clean):
    """What real sensors read: each with an offset of its own, drift and noise, with gaps, some until the end.

    x = clean + offset + drift(t) + noise(t), of conductivity in its logarithm; drift keeps 0.985 from day to day.
    Project defaults. The offsets are of the size of what stations differ by at the Cook Agronomy Farm; about a fifth is
    missing, there a quarter to a third is.

    rng      numpy Generator
    clean    (time, depth) of ``state``
    returns  (time, depth) Dataset like it
    """
    days, ports = clean["theta"].shape
    lost = outages(rng, (days, ports), *OUT) | outages(rng, (days, 1), *LOGGER)
    lasts = np.where(rng.random(ports) < DIES, rng.integers(days // 2, days, ports), days)
    lost |= np.arange(days)[:, None] >= lasts
    made = clean.copy()
    for name in ("theta", "soil_temperature", "ec"):
        drift = np.stack([autoregression(rng, days, 0.985) for _ in range(ports)], 1)
        error = (OFFSET[name] * rng.standard_normal(ports) + DRIFT[name] * drift
                 + NOISE[name] * rng.standard_normal((days, ports)))
        values = clean[name].values * np.exp(error) if name == "ec" else clean[name].values + error
        made[name] = clean[name].copy(data=np.where(lost, np.nan, values))
    return made.assign(theta=made["theta"].clip(0.01, 0.6, keep_attrs=True))


def outages(rng, shape, begins, ends):
    """Days without a value: spells of a chain of two states along the first axis; the first day has one.

    rng      numpy Generator
    shape    (time, …)
    begins   chance per day that a spell begins
    ends     chance per day that it ends
    returns  (time, …) bool
    """
    drawn = rng.random(shape)
    lost = np.zeros(shape, bool)
    for t in range(1, shape[0]):
        lost[t] = np.where(lost[t - 1], drawn[t] >= ends, drawn[t] < begins)
    return lost
