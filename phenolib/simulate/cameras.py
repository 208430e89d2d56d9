"""Simulated field cameras: the greenness they would see, written as a camera network writes it, with the truth."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import curves
from phenolib.errors import InputError
from phenolib.files import write_text
from phenolib.simulate.calendar import growths, leaf_area, stream
from phenolib.sources import phenocam

SHARES = (5, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90)  # per cent of the amplitude at which the truth is kept
TWINS = {  # simulated stand-ins for the five test cameras of Deep-CroP, of like place and crops: twin, lon, lat,
    # cluster, delay of the season [days], rotation
    "sim-mead2": ("mead2", -96.47, 41.16, "sim-mead", 0, ("corn", "soybean")),
    "sim-mead3": ("mead3", -96.44, 41.18, "sim-mead", 0, ("soybean", "corn")),
    "sim-cafcookwestltar01": (
        "cafcookwestltar01", -117.09, 46.78, "sim-cafcook", 6, ("winter wheat", "spring wheat")),
    "sim-usof6": ("usof6", -90.04, 35.73, "sim-usof", -12, ("soybean", "rice")),
    "sim-NEON.D06.KONA.DP1.00042": (
        "NEON.D06.KONA.DP1.00042", -96.56, 39.10, "sim-kona", -4, ("winter wheat", "soybean")),
}
REGIONS = {  # name: lon, lat, delay of the season [days], rotations
    "belt": (-93.5, 41.8, 0, (("corn", "soybean"), ("soybean", "corn"), ("corn",))),
    "plains": (-98.5, 38.0, -6, (("winter wheat",), ("winter wheat", "corn"), ("soybean",))),
    "palouse": (-117.5, 46.9, 6, (("winter wheat", "spring wheat"), ("spring wheat", "dry beans"))),
    "delta": (-90.8, 35.6, -12, (("rice",), ("rice", "soybean"), ("soybean",))),
    "valley": (-121.5, 38.2, -18, (("rice",), ("alfalfa",), ("corn",))),
    "north": (-97.5, 47.2, 10, (("spring wheat", "soybean"), ("dry beans", "corn"))),
}


def make(folder, *, seed, sites=60, years=(2016, 2022)):
    """Write the camera part of an archive.

    folder   receives phenocam/*_AG_1000_3day.csv, sites.csv, truth/cameras.csv and archive.yml
    sites    how many cameras; the first five stand in for the test cameras of Deep-CroP
    years    first and last harvest year
    raises   InputError for a size out of range
    """
    first, last = int(years[0]), int(years[1])
    if not 1 <= int(sites) <= 5000:
        raise InputError(f"sites = {sites} is out of range; give 1 to 5000")
    if not 1990 <= first <= last <= 2100:
        raise InputError(f"years = {first}-{last} is out of range; give a first and a last year, e.g. 2016-2022")
    rows, truth = [], []
    for place in places(seed, int(sites)):
        rows.append(place)
        series, events = observe(seed, place, (first, last))
        phenocam.write(series, Path(folder) / "phenocam" / f"{place['site']}_AG_1000_3day.csv")
        truth.extend(events)
    write_text(Path(folder) / "sites.csv", table(rows, ["site", "lon", "lat", "cluster", "crop", "split", "twin"]))
    write_text(Path(folder) / "truth" / "cameras.csv",
               table(truth, ["series", "site", "crop", "season", "direction", "share", "date"]))
    write_text(Path(folder) / "archive.yml", ARCHIVE.format(seed=seed, sites=sites, first=first, last=last))


ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated cameras with known truth; seed {seed}, {sites} sites, harvest years {first}-{last}
kinds:
  cameras: {{path: "phenocam/*_[13]day.csv", reader: phenocam, units: "1"}}
"""


def table(rows, columns):
    """Rows as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def places(seed, sites):
    """Sites with place, cluster, rotation and split; every third stands beside the one before it."""
    found = []
    for site, (twin, lon, lat, cluster, delay, rotation) in list(TWINS.items())[:sites]:
        found.append(dict(site=site, lon=lon, lat=lat, cluster=cluster, rotation=rotation, split="test", twin=twin,
                          delay=delay))
    names = list(REGIONS)
    for number in range(1, sites - len(found) + 1):
        site = f"sim-{number:03d}"
        draw = stream(seed, "place", site)
        lon, lat, delay, rotations = REGIONS[names[(number // 2) % len(names)]]
        neighbour = number > 1 and number % 3 == 0
        where = found[-1] if neighbour else dict(
            lon=round(lon + 1.5 * draw.standard_normal(), 4), lat=round(lat + 0.8 * draw.standard_normal(), 4),
            cluster=site, delay=delay + 6 * draw.standard_normal())
        found.append(dict(
            site=site, lon=round(where["lon"] + (0.01 if neighbour else 0), 4), lat=where["lat"],
            cluster=where["cluster"], rotation=rotations[draw.integers(len(rotations))], split="train", twin="",
            delay=where["delay"]))
    for place in found:
        place["crop"] = "/".join(place["rotation"])
    return found


def greenness(season, day, draw):
    """Noise-free camera greenness of one growth above the bare field.

    GCC = c₀ + (c₁ − c₀) · (1 − e^{−k·LAI/cos ζ}) · g_top − c₂ · tassel

    The camera looks obliquely (ζ = 75°): it saturates at a small leaf area, and it sees the top of the canopy, which
    browns some days before the whole (0–15, drawn). Leaves lose up to a third of their greenness with age, as real
    camera series show. returns (day,) [-]
    """
    early = draw.uniform(0, 15)
    age = 1 - draw.uniform(0, 0.35) * np.clip((day - season.half - 20) / max(season.brown - season.half, 30), 0, 1)
    area, _ = leaf_area(season, day)
    _, top = leaf_area(season, day + early)
    cover = 1 - np.exp(-0.5 * area / np.cos(np.radians(75)))
    tassel = season.crop_facts.tassel * np.exp(-(((day - season.half - 32) / 9) ** 2))
    return np.clip(draw.uniform(0.085, 0.13) * cover * top * age - tassel, 0, None)


def observe(seed, place, years):
    """One camera: the files' columns as a Dataset, and the true dates of its seasons."""
    site = place["site"]
    draw = stream(seed, "camera", site)
    epoch = np.datetime64(f"{years[0] - 1}-07-01", "D")
    day = np.arange(int((np.datetime64(f"{years[1] + 1}-02-01", "D") - epoch).astype(int)), dtype=float)
    base = draw.uniform(0.325, 0.345)
    clean = np.full(day.size, base)
    seasons = growths(seed, site, place["rotation"], years, epoch, delay=place["delay"])
    single = []
    for k, season in enumerate(seasons):
        part = greenness(season, day, stream(seed, "view", site, season.harvest_year, k))
        single.append(part)
        clean = np.maximum(clean, base + part + weeds(season, day, stream(seed, "weeds", site, season.harvest_year)))
    events = truth_of(place, seasons, single, clean, day, epoch)
    return instrument(draw, place, clean, day, epoch), events


def weeds(season, day, draw):
    """A low green flush some weeks before the crop in a third of the years: weeds, volunteers. returns (day,) [-]"""
    start, height = season.half - draw.uniform(35, 75), draw.uniform(0.005, 0.025)
    if draw.random() > 0.35 or season.autumn or season.cut:
        return np.zeros(day.size)
    age = np.clip(day - start, -900, 900)
    return height / (1 + np.exp(-age / 3)) / (1 + np.exp((age - 20) / 2))


def truth_of(place, seasons, single, clean, day, epoch):
    """True events of a camera, see ``share_dates``."""
    return [dict(series=f"{place['site']}_AG_1000", site=place["site"], **event)
            for event in share_dates(seasons, single, clean, epoch)]


def share_dates(seasons, single, clean, epoch):
    """Share dates of a noise-free curve: each side of a season from its own minimum.

    seasons  list of Growth, in time order
    single   list of (day,): what each season alone adds, to find its peak
    clean    (day,) the curve
    epoch    datetime64[D] that is day 0
    returns  list of dict: crop, season (harvest year), direction, share [%], date
    """
    peaks = [int(np.argmax(part)) for part in single]
    edges = [0, *[a + int(np.argmin(clean[a : b + 1])) for a, b in zip(peaks[:-1], peaks[1:])], clean.size - 1]
    events = []
    for season, peak, left, right in zip(seasons, peaks, edges[:-1], edges[1:]):
        peak = left + int(np.argmax(clean[left : right + 1]))
        for direction, base in (("rising", left), ("falling", right)):
            step = 1 if direction == "rising" else -1
            side = clean[base : peak + step : step] if peak + step >= 0 else clean[base::step]
            for share in SHARES:
                level = side[0] + share / 100 * (clean[peak] - side[0])
                k = int(np.argmax(side >= level))
                at = base + step * (k - 1 + (level - side[k - 1]) / (side[k] - side[k - 1])) if k else float(base)
                events.append(dict(crop=season.crop, season=season.harvest_year, direction=direction, share=share,
                                   date=str(epoch + np.timedelta64(round(at), "D"))))
    return events


def instrument(draw, place, clean, day, epoch):
    """What the camera records: three-day values with noise, outliers, snow and gaps, padded and smoothed."""
    date = epoch + day.astype("timedelta64[D]")
    first = int(draw.integers(0, 500)) if draw.random() < 0.3 else int(draw.integers(0, 60))
    seen = np.zeros(day.size, bool)
    seen[first:] = True
    year_day = pd.DatetimeIndex(date).day_of_year.to_numpy()
    winter = np.cos(2 * np.pi * (year_day - 15) / 365.25)
    for start in np.flatnonzero(draw.random(day.size) < 1 / 450):  # power or camera fails
        seen[start : start + 1 + int(draw.exponential(22))] = False
    if draw.random() < 0.15:
        start = int(draw.integers(day.size))
        seen[start : start + int(draw.uniform(60, 200))] = False
    snow = np.zeros(day.size, bool)
    if place["lat"] > 38:
        for start in np.flatnonzero(draw.random(day.size) < 0.03 * np.clip(winter - 0.4, 0, 1)):
            snow[start : start + 2 + int(draw.exponential(6))] = True
    weather = np.zeros(day.size)
    for k in range(1, day.size):
        weather[k] = 0.6 * weather[k - 1] + 0.0032 * draw.standard_normal()
    values = np.where(snow, 0.333 + 0.004 * draw.standard_normal(day.size), clean + weather)
    odd = draw.random(day.size) < 0.012
    values = values + np.where(odd, draw.normal(-0.02, 0.02, day.size), 0)
    flagged = (odd & (np.abs(values - clean) > 0.015) & (draw.random(day.size) < 0.8)) | (draw.random(day.size) < 0.002)
    third = (pd.DatetimeIndex(date).day_of_year.to_numpy() % 3 == 2) & seen
    pad = 90
    span = np.arange(-pad, day.size + pad)
    shown = slice(pad, pad + day.size)
    raw = third.nonzero()[0]

    def column(what, digits=5):
        full = np.full(span.size, np.nan)
        full[shown][raw] = np.round(what[raw], digits)
        return full

    light = 320 + 25 * draw.standard_normal(day.size)
    red = 0.47 - 0.42 * (values - 0.3) + 0.004 * draw.standard_normal(day.size)
    spread = np.abs(0.0035 + 0.001 * draw.standard_normal(day.size))
    counts = np.where(third, 18 + draw.integers(-6, 20, day.size), 0).astype(float)
    columns = {"image_count": column(counts, 0)}
    for prefix, shift in (("midday_", 0.6), ("", 0.0)):
        noise = shift * 0.004 * draw.standard_normal(day.size)
        green = values - spread + noise
        parts = {"r": red * light, "g": green * light, "b": (1 - red - green) * light}
        for name, what in parts.items():
            columns[f"{prefix}{name}" if prefix else f"{name}_mean"] = column(what)
            if not prefix:
                columns[f"{name}_std"] = column(0.05 * what)
        if prefix:
            columns["midday_gcc"], columns["midday_rcc"] = column(green), column(red)
    for name, centre in (("gcc", values), ("rcc", red)):
        columns[f"{name}_mean"], columns[f"{name}_std"] = column(centre - spread), column(spread)
        for quantile, z in ((50, 0.0), (75, 0.6745), (90, 1.2816)):
            columns[f"{name}_{quantile}"] = column(centre + (z - 1.2816) * spread)
    columns["max_solar_elev"] = column(90 - abs(place["lat"] - 23.4 * -winter))
    columns["snow_flag"] = column(snow.astype(float), 0)
    for metric in ("gcc_mean", "gcc_50", "gcc_75", "gcc_90"):
        columns[f"outlierflag_{metric}"] = np.where(np.isfinite(columns["gcc_90"]), column(flagged.astype(float), 0), 0)
    time = (epoch + span.astype("timedelta64[D]")).astype("datetime64[ns]")
    smoothed(columns, time, year_day)
    keep = slice(raw[0], raw[-1] + 2 * pad + 1)
    data = xr.Dataset({k: ("time", v[keep]) for k, v in columns.items()}, {"time": time[keep]})
    return data.assign_attrs(site=place["site"], veg_type="AG", roi="1000", lat=place["lat"], lon=place["lon"],
                             elev=300.0, step=3)


def smoothed(columns, time, year_day):
    """The columns a processed file has: smoothed metrics without the flagged values, gaps filled from other years."""
    for metric in ("gcc_mean", "gcc_50", "gcc_75", "gcc_90", "rcc_mean", "rcc_50", "rcc_75", "rcc_90"):
        bad = columns.get(f"outlierflag_{metric}", np.zeros(time.size)) == 1
        series = xr.DataArray(np.where(bad, np.nan, columns[metric]), dims="time", coords={"time": time})
        curve = curves.smooth(series, envelope=0, spike=0, max_gap=14, break_gap=14).values
        if metric == "gcc_mean":
            filled = ~np.isfinite(curve)
            columns["int_flag"] = np.where(filled, 1.0, np.nan)
        usual = pd.Series(curve).groupby(pd.DatetimeIndex(time).day_of_year).transform("mean").interpolate(
            limit_direction="both").to_numpy()
        columns[f"smooth_{metric}"] = np.round(np.where(np.isfinite(curve), curve, usual), 5)
        columns[f"smooth_ci_{metric}"] = np.where(np.isfinite(curve), 0.003, 0.02)
