"""Simulated field cameras: the greenness they would see, written as a camera network writes it, with the truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import curves
from phenolib.files import write_text
from phenolib.simulate import camera_view, landscape
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.simulate.crops import CROPS
from phenolib.simulate.true_dates import SHARES, share_dates, table
from phenolib.sources import phenocam

AGEING = 25.0  # days in which leaves lose 63 % of what they lose with age, from ten days after half of the leaf area
DEPTH = (0.065, 0.13)  # greenness of a closed canopy above the ground's, project default
TASSEL = {"corn": 0.018}  # what flowering takes away
LEAST = 0.02  # greenness above the higher of both minima that makes a season
CAMERA = (135.0, 135.0)  # from the north-west corner of the map of a site [m]: in the middle of its pixel


def make(folder, *, config=DEFAULT):
    """Write the camera part of an archive.

    folder   receives phenocam/*_AG_1000_3day.csv, sites.csv, truth/cameras.csv and archive.yml
    config   for seed, sites, years and what cameras see
    """
    found, _, growth = landscape.whole(config)
    rows, truth = [], []
    for k, place in enumerate(found[: config.sites]):
        series, events = observe(place, growth.isel(field=k * landscape.FIELDS), config)
        phenocam.write(series, Path(folder) / "phenocam" / f"{place.site}_AG_1000_3day.csv")
        rows.append({name: getattr(place, name) for name in ("site", "lon", "lat", "cluster", "split", "twin")}
                    | {"crop": "/".join(place.rotation).replace("_", " ")})
        truth += events
    write_text(Path(folder) / "sites.csv", table(rows, ["site", "lon", "lat", "cluster", "crop", "split", "twin"]))
    write_text(Path(folder) / "truth" / "cameras.csv",
               table(truth, ["series", "site", "crop", "season", "direction", "share", "date"]))
    first, last = config.years
    write_text(Path(folder) / "archive.yml",
               ARCHIVE.format(seed=config.seed, sites=config.sites, first=first, last=last))


ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated cameras with known truth; seed {seed}, {sites} sites, harvest years {first}-{last}
kinds:
  cameras: {{path: "phenocam/*_[13]day.csv", reader: phenocam, units: "1"}}
"""


def observe(place, growth, config):
    """One camera: the files' columns as a Dataset, and the true dates of its seasons.

    place    ``landscape.Place``
    growth   (time,) of the field that the camera looks at
    """
    time = growth["time"].values
    clean, spans = greenness(place, growth, config)
    events = [{**row, "series": f"{place.site}_AG_1000", "site": place.site, "crop": row["crop"].replace("_", " "),
               "date": str((row["date"] + np.timedelta64(12, "h")).astype("datetime64[D]"))}
              for row in share_dates(time, clean, spans, SHARES, LEAST)]
    epoch = time[0].astype("datetime64[D]")
    day = np.arange(time.size, dtype=float)
    return instrument(stream(config.seed, "camera", place.site), place, clean, day, epoch), events


def greenness(place, growth, config):
    """Noise-free greenness in the region of interest of a camera, and the growths in it.

    The camera looks obliquely to the north: it saturates at a small leaf area, and it sees the top of the canopy, which
    browns some days before the whole. Leaves lose a part of their greenness with age, as real camera series show.
    Height of saturation, lead of the top and ageing are drawn for each season, or once for a meadow.

    place    ``landscape.Place``
    growth   (time,) of the field
    config   for ``camera_zenith``, ``top_lead`` and ``leaf_ageing``
    returns  (time,) [-], list as ``landscape.windows`` gives it
    """
    draw = stream(config.seed, "view", place.site)
    ground, zenith = draw.uniform(0.325, 0.345), draw.uniform(*config.camera_zenith)
    seen = camera_view.wedge(place.field.shape, camera=CAMERA, azimuth=draw.normal(0, 10)) * (place.field == 0)
    area = growth["lai_total"].values * float(camera_view.view(place.vigour, seen))
    brown = growth["ripeness"].values.astype(float)
    top, depth = 1 - brown, np.full(area.size, draw.uniform(*DEPTH))
    flower = np.zeros(area.size)
    spans = landscape.windows(growth)
    for crop, _, first, last in spans:
        own, lead, ageing = draw.uniform(*DEPTH), draw.uniform(*config.top_lead), draw.uniform(*config.leaf_ageing)
        if CROPS[crop].kind not in ("annual", "winter"):
            continue
        days = np.arange(first, last + 1)
        half = first + int(np.argmax(area[days] >= area[days].max() / 2))
        turned = np.maximum.accumulate(np.where(days >= half, brown[days], 0))
        sooner = np.interp(days + lead, days, turned)
        age = -np.expm1(-np.clip(days - half - 10, 0, None) / AGEING)
        top[days] = np.where(days < half, 1 - brown[days], (1 - sooner) * (1 - ageing * age))
        depth[days] = own
        flower[days] = TASSEL.get(crop, 0.0) * growth["flowering"].values[days]
    signal = camera_view.greenness(area, np.clip(top, 0, 1), flower=flower, zenith=zenith, ground=ground,
                                   leaves=ground + depth)
    return np.maximum(signal, ground), spans


def instrument(draw, place, clean, day, epoch):
    """What the camera records: three-day values with noise, outliers, snow and gaps, padded and smoothed."""
    date = epoch + day.astype("timedelta64[D]")
    first = int(draw.integers(0, 500)) if draw.random() < 0.3 else int(draw.integers(0, 60))
    seen = np.zeros(day.size, bool)
    seen[first:] = True
    year_day = pd.DatetimeIndex(date).day_of_year.to_numpy()
    winter = np.cos(2 * np.pi * (year_day - 15) / 365.25)
    for start in np.flatnonzero(draw.random(day.size) < 1 / 700):  # power or camera fails
        seen[start : start + 1 + int(draw.exponential(22))] = False
    if draw.random() < 0.15:
        start = int(draw.integers(day.size))
        seen[start : start + int(draw.uniform(60, 200))] = False
    snow = np.zeros(day.size, bool)
    if place.lat > 38:
        for start in np.flatnonzero(draw.random(day.size) < 0.03 * np.clip(winter - 0.4, 0, 1)):
            snow[start : start + 2 + int(draw.exponential(6))] = True
    weather, unrest = np.zeros(day.size), 0.0022 * np.exp(0.35 * draw.standard_normal())
    for k in range(1, day.size):
        weather[k] = 0.75 * weather[k - 1] + unrest * draw.standard_normal()
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
    columns["max_solar_elev"] = column(90 - abs(place.lat - 23.4 * -winter))
    columns["snow_flag"] = column(snow.astype(float), 0)
    for metric in ("gcc_mean", "gcc_50", "gcc_75", "gcc_90"):
        columns[f"outlierflag_{metric}"] = np.where(np.isfinite(columns["gcc_90"]), column(flagged.astype(float), 0), 0)
    time = (epoch + span.astype("timedelta64[D]")).astype("datetime64[ns]")
    smoothed(columns, time, year_day)
    keep = slice(raw[0], raw[-1] + 2 * pad + 1)
    data = xr.Dataset({k: ("time", v[keep]) for k, v in columns.items()}, {"time": time[keep]})
    return data.assign_attrs(site=place.site, veg_type="AG", roi="1000", lat=place.lat, lon=place.lon,
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
