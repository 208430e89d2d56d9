"""Tables of simulated experimental plots: treatments, crops, weather, soil sensors, Sentinel-2, and their truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import agreement
from phenolib.files import atomic, write_text
from phenolib.simulate import clouds, optics, orbits, plot_growth, true_dates
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.simulate.plot_growth import Settings
from phenolib.simulate.weather import autoregression, saturation
from phenolib.sources import plot_tables

TUBES = (0.1, 0.4, 0.8)  # depths at which there are tubes [m]; sensors are at all of ``plot_growth.DEPTHS``
SEEN = {"winter_wheat": (10, 255), "corn": (118, 307)}  # first and last day of year on which roots are photographed
SHARES = (10, 20, 25, 50)  # per cent of the amplitude at which the truth is kept
BANDS = "B04", "B08"
T4, MPS2 = (0.0, 85.0), (10.0, 500.0)  # what tensiometers and matric potential sensors can tell [kPa]
NOISE = {"t4": 0.4, "mps2": 0.10, "temperature": 0.10}  # SD of a day [kPa, share, °C]
OFFSET = {"t4": 1.0, "mps2": 0.12, "temperature": 0.25}  # SD among sensors
OUT = 1 / 250, 1 / 15  # chance per day that a sensor falls out, and that it comes back

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated plots with known truth; growth {growth}, seed {seed}, harvest years {first}-{last}
kinds:
  plots: {{path: "plots/plots.csv", reader: plot_tables, units: "kPa, degC, reflectance 1"}}
"""


def make(folder, *, config=DEFAULT, settings=None):
    """Write the tables of the plots.

    folder    receives plots/plots.csv, seasons.csv, weather.csv, soil.csv.gz and sentinel2.csv,
              truth/plots_seasons.csv, truth/plots.nc and archive.yml
    config    for the seed, ``warmer`` and ``rain``
    settings  ``plot_growth.Settings``
    """
    settings = with_config(settings, config)
    grown = plot_growth.grow(settings, seed=config.seed)
    write(Path(folder), grown, settings, config)
    write_text(Path(folder) / "archive.yml", ARCHIVE.format(
        growth=settings.growth, seed=config.seed, first=settings.first, last=settings.last))


def with_config(settings, config):
    """Settings with the weather that a configuration asks for. returns ``Settings``"""
    return replace(settings or Settings(), warmer=config.warmer, rain=config.rain)


def write(folder, grown, settings, config):
    """Write tables and truth of plots that have grown, see ``make``. grown: of ``plot_growth.grow``"""
    seed, here = config.seed, folder / "plots"
    about = pd.DataFrame({"plot": grown["plot"].values, "treatment": grown["treatment"].values, "soil": "silt loam",
                          "lon": plot_growth.LON, "lat": plot_growth.LAT})
    write_text(here / plot_tables.PLOTS, about.to_csv(index=False, lineterminator="\n"))
    rows = [{"plot": p, "season": int(y), "crop": str(grown["crop"].values[i, k]),
             **{e: str(grown[e].values[i, k])[:10] for e in ("sowing", "harvest")}}
            for i, p in enumerate(grown["plot"].values) for k, y in enumerate(grown["season"].values)]
    write_text(here / plot_tables.SEASONS, true_dates.table(rows, list(rows[0])))
    plot_tables.write_weather(here / plot_tables.WEATHER, sky(grown))
    plot_tables.write_soil(here / plot_tables.SOIL, sensors(seed, grown))
    plot_tables.write_satellite(here / plot_tables.SATELLITE, satellite(seed, grown, config))
    truth = dates(grown, settings)
    write_text(folder / "truth" / "plots_seasons.csv", true_dates.table(truth, list(truth[0])))
    kept = grown[["lai_green", "root_length", "tension", "theta", "soil_temperature", "stress"]].assign(
        evi2=(("plot", "time"), evi2(grown), {"units": "1"})).astype("float32")
    with atomic(folder / "truth" / "plots.nc") as part:
        kept.drop_attrs(deep=False).drop_vars("climate", errors="ignore").to_netcdf(part, engine="h5netcdf", encoding={
            **{name: {"zlib": True, "complevel": 4} for name in kept},
            "time": {"units": "days since 2000-01-01", "dtype": "int32"}})


def sky(grown):
    """Weather as a station at the plots has it: (time,) Dataset of the variables of ``plot_tables.SKY``."""
    found = grown[["t_mean", "t_min", "t_max", "rain", "radiation", "wind"]].copy()
    found["vapour_pressure"] = grown["humidity"]
    mean = (saturation(grown["t_min"]) + saturation(grown["t_max"])) / 2
    found["relative_humidity"] = (100 * np.clip(grown["humidity"] / mean, 0, 1)).assign_attrs(units="%")
    return found.drop_vars(["climate", "latitude", "elevation"], errors="ignore")


def sensors(seed, grown):
    """What the sensors in the plots say: (plot, time, depth) psi_t4, psi_mps2 [kPa, negative] and temperature [°C].

    A tensiometer runs dry below −85 kPa; the other sensor says nothing wetter than −10 kPa and nothing drier than
    −500 kPa. Each sensor has an offset, a drift and failures of its own.
    """
    tension, warm = grown["tension"].values, grown["soil_temperature"].values
    found = {name: np.full(tension.shape, np.nan) for name in ("psi_t4", "psi_mps2", "temperature")}
    for i, k in np.ndindex(tension.shape[0], tension.shape[2]):
        rng = stream(seed, "plots", "sensor", str(grown["plot"].values[i]), k)
        size, offset = tension.shape[1], rng.standard_normal(3)
        drift, noise = autoregression(rng, size, 0.99), rng.standard_normal((3, size))
        there = ~_failures(rng, size), ~_failures(rng, size)
        wet = tension[i, :, k] + OFFSET["t4"] * offset[0] + NOISE["t4"] * noise[0]
        usable = (wet < T4[1]) & there[0] & (warm[i, :, k] > 0)  # water in it freezes
        found["psi_t4"][i, :, k] = np.where(usable, -np.clip(wet, 0, None), np.nan)
        dry = tension[i, :, k] * np.exp(OFFSET["mps2"] * offset[1] + NOISE["mps2"] * (0.5 * drift + 0.5 * noise[1]))
        usable = (dry < MPS2[1]) & (tension[i, :, k] > MPS2[0] * 0.9) & there[1]
        found["psi_mps2"][i, :, k] = np.where(usable, -np.clip(dry, MPS2[0], None), np.nan)
        found["temperature"][i, :, k] = np.where(
            there[1], warm[i, :, k] + OFFSET["temperature"] * offset[2] + NOISE["temperature"] * noise[2], np.nan)
    dims = "plot", "time", "depth"
    return xr.Dataset({name: (dims, value) for name, value in found.items()},
                      {name: grown[name].values for name in dims})


def _failures(rng, size):
    """Days on which a sensor says nothing: a two-state chain. returns (size,) bool"""
    draws, out = rng.random(size), np.zeros(size, bool)
    for k in range(1, size):
        out[k] = draws[k] > OUT[1] if out[k - 1] else draws[k] < OUT[0]
    return out


def evi2(grown):
    """EVI2 of the plots without cloud or noise, (plot, time) [-]; 2.5·(NIR − red) / (NIR + 2.4·red + 1).

    The sun stands as when the satellite comes, low in winter, which makes a thin canopy look denser.
    """
    passing = grown["time"].values.astype("datetime64[D]").astype("datetime64[s]") + np.timedelta64(38_400, "s")
    sun = orbits.sun_zenith(plot_growth.LON, plot_growth.LAT, passing)
    red, infrared = np.moveaxis(reflectance(grown, sun), -1, 0)
    return 2.5 * (infrared - red) / (infrared + 2.4 * red + 1)


def reflectance(seen, sun=35.0):
    """Reflectance of the plots, (plot, time, band) of ``BANDS``; sun (time,) zenith angle [°]."""
    living, ripe, dead = optics.parts(seen["lai_total"].values, np.clip(seen["ripeness"].values, 0, 1))
    wet = optics.wetness(np.clip(seen["theta"].sel(depth=0.1).values, 0, 1))
    return optics.reflectance(living, np.clip(ripe, 0, 1), dead=dead, wetness=wet, bands=BANDS,
                              sun_zenith=np.broadcast_to(sun, living.shape))


def overpasses(grown):
    """Times of Sentinel-2 at the plots, datetime64[s].

    The first satellite gave data from July 2015; here it has flown half a year longer, so that no year of the plots is
    without one.
    """
    first, last = (np.datetime64(v, "D") for v in grown["time"].values[[0, -1]])
    table = orbits.passes("sentinel-2", plot_growth.LON, plot_growth.LAT, first, last)
    time = table["time"].to_numpy("datetime64[s]")
    repeat = np.timedelta64(10, "D")
    if time.size and time[0] - repeat > first:
        cycle = time[time < time[0] + repeat]
        back = int((time[0] - first) / repeat) + 1
        time = np.concatenate([*(cycle - k * repeat for k in range(back, 0, -1)), time])
    time = time[(time >= first) & (orbits.sun_zenith(plot_growth.LON, plot_growth.LAT, time) < 80)]
    return time[np.unique(time.astype("datetime64[D]"), return_index=True)[1]]


def satellite(seed, grown, config=DEFAULT):
    """Sentinel-2 at the plots: (plot, time) B04, B08 [-] and scl on every overpass, cloud and shadow among them."""
    time = overpasses(grown)
    sun = orbits.sun_zenith(plot_growth.LON, plot_growth.LAT, time)
    seen = grown.isel(time=np.searchsorted(grown["time"].values, time.astype("datetime64[D]").astype("datetime64[ns]")))
    rng, count = stream(seed, "plots", "satellite"), grown.sizes["plot"]
    state = clouds.states(stream(seed, "plots", "clouds"), time, 30.0 * np.arange(count), 0.0, np.clip(
        np.array(clouds.PROBABILITY[plot_growth.CLIMATE]) + config.cloud, 0.01, 0.99))
    value = clouds.veil(rng, np.swapaxes(reflectance(seen, sun), 0, 1), state, bands=BANDS)
    snow = seen["snow"].values.T > 10
    value[snow] = 0.75
    value = optics.observe(rng, value)
    classes = clouds.scl(state, seen["lai_green"].values.T, snow=snow)
    data = {band: (("time", "plot"), value[..., k]) for k, band in enumerate(BANDS)} | {
        "scl": (("time", "plot"), classes)}
    return xr.Dataset(data, {"time": time.astype("datetime64[ns]"), "plot": grown["plot"].values})


def dates(grown, settings):
    """True dates of leaves and roots, within the weeks in which roots are photographed.

    Leaves by EVI2 without noise, roots by their length density, of each depth of tubes and of their mean; each side of
    a season from its own lowest value in those weeks.

    returns  list of dict: plot, season, crop, treatment, organ, depth_cm ("" for the mean), direction, share, date
    """
    time = pd.DatetimeIndex(grown["time"].values)
    roots = grown["root_length"].sel(depth=list(TUBES))
    curves = {("leaf", ""): evi2(grown), ("root", ""): roots.mean("depth").values} | {
        ("root", f"{100 * z:.0f}"): roots.sel(depth=z).values for z in TUBES}
    rows = []
    for i, k in np.ndindex(grown.sizes["plot"], grown.sizes["season"]):
        year, crop = int(grown["season"].values[k]), str(grown["crop"].values[i, k])
        if year not in settings.years:
            continue
        inside = np.flatnonzero((time.year == year) & (time.day_of_year >= SEEN[crop][0])
                                & (time.day_of_year <= SEEN[crop][1]))
        for (organ, depth), curve in curves.items():
            own, when = curve[i, inside].astype(float), time.values[inside]
            peak = int(own.argmax())
            sides = {"rising": int(own[: peak + 1].argmin()), "falling": peak + int(own[peak:].argmin())}
            if own[peak] <= 0 or 0 in (peak, len(own) - 1 - peak):
                continue
            for direction, base in sides.items():
                rows += [{"plot": str(grown["plot"].values[i]), "season": year, "crop": crop,
                          "treatment": str(grown["treatment"].values[i]), "organ": organ, "depth_cm": depth,
                          "direction": direction, "share": share,
                          "date": str(agreement.crossing(when, own, base, peak, share / 100))[:10]} for share in SHARES]
    return [row for row in rows if row["date"] != "NaT"]
