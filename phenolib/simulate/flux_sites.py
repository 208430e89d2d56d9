"""Simulated cropland flux towers: daily carbon uptake and the Sentinel-2 indices around them, with the true dates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr

from phenolib.errors import InputError
from phenolib.files import write_text
from phenolib.simulate.calendar import Crop, Growth, growths, leaf_area, stream
from phenolib.simulate.true_dates import SHARES, share_dates, table
from phenolib.sources import site_series

PLACES = (  # stand-ins for five public flux sites, of like place: site, twin, lon, lat, delay of the season [days],
    # rotation, days of the five-day cycle on which a satellite passes, mean share of clear passes and its swing
    # over the year, yearly mean and half range of temperature [°C]
    dict(site="sim-flux1", twin="BE-Lon", lon=4.75, lat=50.55, delay=10.0, passes=(0, 3), clear=(0.25, 0.10),
         warmth=(10.5, 7.5), rotation=("winter wheat", "dry beans", "winter wheat", "corn")),
    dict(site="sim-flux2", twin="DE-Geb", lon=10.91, lat=51.10, delay=8.0, passes=(1, 3), clear=(0.28, 0.10),
         warmth=(9.5, 9.0), rotation=("corn", "winter wheat", "winter wheat", "spring wheat")),
    dict(site="sim-flux3", twin="FR-Gri", lon=1.95, lat=48.84, delay=4.0, passes=(2, 4), clear=(0.29, 0.08),
         warmth=(11.5, 7.5), rotation=("winter wheat", "corn")),
    dict(site="sim-flux4", twin="FR-Lam", lon=1.24, lat=43.50, delay=-2.0, passes=(1,), clear=(0.39, 0.10),
         warmth=(13.5, 8.0), rotation=("winter wheat", "corn", "winter wheat", "soybean")),
    dict(site="sim-flux5", twin="SE-Lnn", lon=13.10, lat=58.34, delay=8.0, passes=(0, 2, 3), clear=(0.19, 0.06),
         warmth=(7.0, 9.5), rotation=("spring wheat", "winter wheat")),
)
SECOND_SATELLITE = np.datetime64("2017-07-06")  # before it one satellite passes every ten days
# Project defaults, set so that the GPP of a season peaks at 10–25 gC m⁻² d⁻¹ as that of the public sites does
LIGHT_USE = {"corn": 2.5, "soybean": 1.8, "winter wheat": 2.2, "spring wheat": 2.1, "dry beans": 1.7,
             "catch crop": 1.7}  # gC fixed per MJ of absorbed photosynthetically active radiation
CATCH_CROP = Crop(0, 0, 50, 5, 0.15, 70, 6, 8, 2.8, 15)  # mustard or the like, between a cereal and a spring crop
BARE = 0.05  # light absorbed by weeds and mosses on a field without crop [-]


def make(folder, *, seed, sites=5, years=(2017, 2024)):
    """Write the flux part of an archive.

    folder   receives S2_NDVI_EVI2/, S2_PPI/ and GPP_daily/ with one file per site in each, flux_sites.csv,
             truth/site_gpp.csv and archive.yml
    sites    how many of the five sites
    years    first and last harvest year
    raises   InputError for a size out of range
    """
    first, last = int(years[0]), int(years[1])
    if not 1 <= int(sites) <= len(PLACES):
        raise InputError(f"sites = {sites} is out of range; give 1 to {len(PLACES)} flux sites")
    if not 1990 <= first <= last <= 2100:
        raise InputError(f"years = {first}-{last} is out of range; give a first and a last year, e.g. 2017-2024")
    folder, rows, truth = Path(folder), [], []
    for place in PLACES[: int(sites)]:
        indices, uptake, events = observe(seed, place, (first, last))
        for names in (("NDVI", "EVI2"), ("PPI",)):
            path = folder / site_series.file_name(place["site"], names, (first, last))
            site_series.write(indices[list(names)], path)
        site_series.write(uptake, folder / site_series.file_name(place["site"], ("GPP",), (first, last)))
        rows.append({**place, "cluster": place["site"], "crop": "/".join(place["rotation"]), "split": "test"})
        truth.extend(events)
    write_text(folder / "flux_sites.csv", table(rows, ["site", "lon", "lat", "cluster", "crop", "split", "twin"]))
    write_text(folder / "truth" / "site_gpp.csv",
               table(truth, ["series", "site", "crop", "season", "direction", "share", "date"]))
    write_text(folder / "archive.yml", ARCHIVE.format(seed=seed, sites=sites, first=first, last=last))


ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated flux sites with known truth; seed {seed}, {sites} sites, harvest years {first}-{last}
kinds:
  site_indices: {{path: "S2_*/*_LC[0-9]*_mean.csv", reader: site_series}}
  site_gpp: {{path: "GPP_daily/*_GPP_*_dd*years.csv", reader: site_series, units: "gC m-2 d-1"}}
"""


def observe(seed, place, years):
    """One site: its indices and its GPP as files hold them, and the true dates of its seasons.

    returns  Dataset(time) of NDVI, EVI2 and PPI at the passes, Dataset(time) of GPP on days with a value, list of
             true events
    """
    epoch = np.datetime64(f"{years[0] - 1}-01-01", "D")
    day = np.arange(int((np.datetime64(f"{years[1] + 2}-01-01", "D") - epoch).astype(int)), dtype=float)
    date = epoch + day.astype("timedelta64[D]")
    shown = (date >= np.datetime64(f"{years[0]}-01-01")) & (date <= np.datetime64(f"{years[1]}-12-31"))
    seasons = calendar(seed, place, years, epoch)
    light = light_and_warmth(place, pd.DatetimeIndex(date).day_of_year.to_numpy())
    area = [np.prod(leaf_area(season, day), axis=0) for season in seasons]  # green leaf area [m² m⁻²]
    single = [LIGHT_USE[s.crop] * light * absorbed(a) for s, a in zip(seasons, area)]
    wild = volunteers(seed, place, seasons, day)
    clean = 2.0 * light * (BARE + absorbed(wild)) + np.sum(single, axis=0)
    spans = [(s.crop, s.harvest_year, peak, peak) for s, peak in zip(seasons, np.argmax(single, axis=1).tolist())]
    events = [{**event, "series": f"{place['site']}_GPP", "site": place["site"],
               "date": str((event["date"] + np.timedelta64(12, "h")).astype("datetime64[D]"))}
              for event in share_dates(date.astype("datetime64[ns]"), clean, spans, SHARES, 0.0)]
    begin, end = str(date[shown][0]), str(date[shown][-1])
    events = [e for e in events if years[0] <= e["season"] <= years[1] and begin <= e["date"] <= end]
    uptake = tower(stream(seed, "flux_sites", place["site"], "tower"), clean[shown], date[shown])
    seen = satellite(stream(seed, "flux_sites", place["site"], "satellite"), place,
                     np.sum([wild, *area], axis=0)[shown], date[shown])
    about = {"site": place["site"]}
    return seen.assign_attrs(about), uptake.assign_attrs(about), events


def calendar(seed, place, years, epoch):
    """The growths of a field in time order, from the year before to the year after, catch crops between them."""
    rotation = place["rotation"]
    main = growths(seed, place["site"], (rotation[-1], *rotation[:-1]), (years[0] - 1, years[1] + 1), epoch,
                   delay=place["delay"])
    found = []
    for season, following in zip(main, [*main[1:], None]):
        found.append(season)
        draw = stream(seed, "flux_sites", place["site"], "catch crop", season.harvest_year)
        august = float((np.datetime64(f"{season.harvest_year}-08-01", "D") - epoch).astype(int))
        half = max(season.end + CATCH_CROP.rise, august + 30) + CATCH_CROP.rise_sd * draw.standard_normal()
        if following and not following.autumn and half < august + 50 and draw.random() < 0.7:
            brown = half + CATCH_CROP.duration + CATCH_CROP.duration_sd * draw.standard_normal()
            facts = replace(CATCH_CROP, leaf_area=CATCH_CROP.leaf_area * draw.uniform(0.6, 1.2))
            found.append(Growth("catch crop", season.harvest_year, half, brown, brown + CATCH_CROP.harvest, facts, 1.0))
    return found


def volunteers(seed, place, seasons, day):
    """Green leaf area of spilt grain and weeds some weeks after a harvest, where no crop follows at once.

    returns (day,) [m² m⁻²]
    """
    area = np.zeros(day.size)
    for season, following in zip(seasons, [*seasons[1:], None]):
        draw = stream(seed, "flux_sites", place["site"], "volunteers", season.crop, season.harvest_year)
        height, centre, width = draw.uniform(0.05, 0.5), season.end + draw.uniform(35, 60), draw.uniform(12, 25)
        if not following or following.half - season.end > 100:
            area += height * np.exp(-(((day - centre) / width) ** 2))
    return area


def absorbed(area):
    """Share of light that green leaves absorb: 1 − e^(−0.5·LAI). returns (day,) [-]"""
    return 1 - np.exp(-0.5 * area)


def light_and_warmth(place, year_day):
    """Mean light for photosynthesis through the year, lowered by cold.

    Extraterrestrial radiation (Allen et al. 1998, FAO 56, eq. 21), of which 30 % in winter to 50 % in summer reaches
    the field, half of it photosynthetically active; times 1/(1+e^(−(T−5)/2)) of the mean temperature of the day.
    returns (day,) [MJ m⁻² d⁻¹]
    """
    angle = 2 * np.pi * year_day / 365.25
    latitude, declination = np.radians(place["lat"]), 0.409 * np.sin(angle - 1.39)
    sunset = np.arccos(np.clip(-np.tan(latitude) * np.tan(declination), -1, 1))
    outside = 37.59 * (1 + 0.033 * np.cos(angle)) * (
        sunset * np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.sin(sunset))
    mean, swing = place["warmth"]
    temperature = mean - swing * np.cos(angle - 0.35)
    return 0.5 * (0.40 - 0.10 * np.cos(angle)) * outside / (1 + np.exp(-(temperature - 5) / 2))


def weather(draw, size):
    """How much of its clear-sky uptake each day reaches: skewed, like on its neighbours. returns (size,) [-]"""
    fast, slow = np.zeros(size), np.zeros(size)
    for k in range(1, size):
        fast[k] = 0.45 * fast[k - 1] + np.sqrt(1 - 0.45**2) * draw.standard_normal()
        slow[k] = 0.90 * slow[k - 1] + np.sqrt(1 - 0.90**2) * draw.standard_normal()
    rank = ndtr(0.85 * fast + 0.53 * slow)
    return 1.22 - 0.85 * (1 - rank) ** 1.8


def tower(draw, clean, date):
    """What the tower records: daily GPP with weather, noise and outages; a day without a value has no row."""
    value = clean * weather(draw, clean.size) + 0.25 * draw.standard_normal(clean.size)
    missing = draw.random(clean.size) < 0.06
    for start in np.flatnonzero(draw.random(clean.size) < 1 / 28):
        long = draw.random() < 0.12
        missing[start : start + 1 + int(draw.exponential(30 if long else 4))] = True
    value = np.array([float(f"{v:.6g}") for v in np.clip(value, 0, None)])
    kept = ~missing
    return xr.Dataset({"GPP": ("time", value[kept])}, {"time": date[kept].astype("datetime64[ns]")})


def satellite(draw, place, area, date):
    """What the satellite records around the tower: NDVI, EVI2 and PPI at its passes, missing under cloud.

    index = soil + (closed − soil) · (1 − e^(−k·LAI)), PPI = 0.45 · LAI; cloud that was not recognised mixes the
    index with that of a cloud. The sky is a two-state chain by the day, cloudier in winter.

    area      (day,) green leaf area [m² m⁻²]
    date      (day,) datetime64[D]
    returns   (pass,) Dataset
    """
    size = date.size
    year_day = pd.DatetimeIndex(date).day_of_year.to_numpy()
    mean, swing = place["clear"]
    chance = np.clip(mean - swing * np.cos(2 * np.pi * (year_day - 10) / 365.25), 0.02, 0.98)
    clear, keeps, fresh = np.zeros(size, bool), draw.random(size) < 0.45, draw.random(size)
    for k in range(size):
        clear[k] = clear[k - 1] if k and keeps[k] else fresh[k] < chance[k]
    number = date.astype(int)
    cycle, ten = number % 5, number % 10
    orbit = np.full(size, -1)
    for k, offset in enumerate(place["passes"]):
        orbit[(cycle == offset) & ((date >= SECOND_SATELLITE) | (ten == offset))] = k
    orbit[draw.random(size) < 0.01] = -1  # no product
    tilt = 1 + 0.012 * draw.standard_normal(len(place["passes"]))  # each orbit looks from its own side
    shared = draw.standard_normal(size)
    veil = np.where(draw.random(size) < 0.07, draw.uniform(0.05, 0.6, size), 0)  # cloud that was not recognised
    soil, columns = draw.uniform(0.15, 0.22), {}
    for name, bare, closed, k, cloud, noise in (
        ("NDVI", soil, 0.92, 0.70, 0.05, 0.014), ("EVI2", 0.55 * soil, 0.85, 0.35, 0.04, 0.012)):
        columns[name] = (bare + (closed - bare) * (1 - np.exp(-k * area)), cloud, noise)
    columns["PPI"] = (0.45 * area, 0.0, 0.02 + 0.06 * area)
    passed, data = orbit >= 0, {}
    for name, (value, cloud, noise) in columns.items():
        value = value * tilt[orbit] + noise * (0.7 * shared + 0.7 * draw.standard_normal(size))
        value = (1 - veil) * value + veil * cloud
        value = np.clip(value, 0, 3) if name == "PPI" else value
        missing = ~clear | ((name == "PPI") & (draw.random(size) < 0.02))
        data[name] = ("time", np.where(missing, np.nan, value)[passed].astype(np.float32))
    return xr.Dataset(data, {"time": date[passed].astype("datetime64[ns]")})
