"""Weekly images of the tubes below simulated plots, with the tables of the plots and the truth of both."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from phenolib.files import atomic, write_text
from phenolib.simulate import optics, plot_growth, plots, rhizotron, true_dates
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.sources import minirhizotron

TUBE, YEAR = 0.20, 0.06  # SD of ln: of the roots that a tube shows, of the light of a camera in a year
TRACED = 3  # of the years, the first; in every second tube every third image then has its mask beside it
EVENTS = ("tube", "plot", "depth_cm", "date", "length_mm", "branch_points", "roots", "rld_cm_cm3")

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated minirhizotron images with known truth; growth {growth}, seed {seed}, harvest years {first}-{last}
kinds:
  root_images: {{path: "roots/images/*.jpg", reader: minirhizotron, units: "8 bit"}}
  plots: {{path: "plots/plots.csv", reader: plot_tables, units: "kPa, degC, reflectance 1"}}
"""


def make(folder, *, config=DEFAULT, settings=None):
    """Write images of roots, and the plots below which they grow.

    folder    receives roots/images/<tube>_<depth>_<date>.jpg, roots/masks/ beside those meant for training,
              roots/tubes.csv, truth/root_masks/ of all, truth/root_images.csv, what ``plots.make``
              writes, and archive.yml
    config    for the seed, ``warmer`` and ``rain``
    settings  ``plot_growth.Settings``
    """
    folder, seed = Path(folder), config.seed
    settings = plots.with_config(settings, config)
    grown = plot_growth.grow(settings, seed=seed)
    plots.write(folder, grown, settings, config)
    tubes = table(grown)
    minirhizotron.write_tubes(folder / "roots", tubes)
    rows = []
    for k, tube in enumerate(tubes.itertuples()):
        rows += photograph(folder, seed, grown.sel(plot=tube.plot), tube, settings, traced=k % 2 == 0)
    write_text(folder / "truth" / "root_images.csv", true_dates.table(rows, list(EVENTS)))
    write_text(folder / "archive.yml", ARCHIVE.format(
        growth=settings.growth, seed=seed, first=settings.first, last=settings.last))


def table(grown):
    """The tubes, one in each plot and depth: tube, plot, depth_cm, mm_per_pixel, depth_of_field_mm."""
    places = [(str(plot), 100 * depth) for plot in grown["plot"].values for depth in plots.TUBES]
    return pd.DataFrame([{"tube": f"T{k + 1:03d}", "plot": plot, "depth_cm": round(depth), "mm_per_pixel": rhizotron.MM,
                          "depth_of_field_mm": rhizotron.FIELD} for k, (plot, depth) in enumerate(places)])


def photograph(folder, seed, grown, tube, settings, *, traced):
    """Write the images of one tube through all years. returns list of dict: rows of truth/root_images.csv"""
    rng = stream(seed, "roots", tube.tube)
    own = grown.sel(depth=tube.depth_cm / 100)
    wet = optics.wetness(np.clip(own["theta"].values, 0, 1))
    window = rhizotron.Window(rng, own["made"].values, own["lost"].values, wetness=wet,
                              density=float(np.exp(TUBE * rng.standard_normal() - TUBE**2 / 2)))
    time, rows, light = pd.DatetimeIndex(own["time"].values), [], {}
    for k, year in enumerate(settings.years):
        crop = str(grown["crop"].sel(season=year).values)
        first, last = plots.SEEN[crop]
        light.setdefault(year, float(np.exp(YEAR * stream(seed, "roots", "light", year).standard_normal())))
        begin = pd.Timestamp(year, 1, 1) + pd.Timedelta(days=first - 1)
        step = settings.every
        for number, date in enumerate(pd.date_range(begin, periods=(last - first) // step + 1, freq=f"{step}D")):
            day = time.get_loc(date) + 0.5
            image, mask = window.image(stream(seed, "roots", tube.tube, str(date.date())), day, light=light[year])
            given = traced and k < TRACED and number % 3 == 1
            about = {"tube": tube.tube, "depth_cm": tube.depth_cm, "date": date}
            path = minirhizotron.write(folder / "roots", image, mask=mask if given else None, **about)
            with atomic(folder / "truth" / "root_masks" / path.with_suffix(".png").name) as part:
                Image.fromarray(mask).save(part, "PNG")
            rows.append({**about, "plot": tube.plot, "date": str(date.date()),
                         **{name: round(value, 3) for name, value in window.traits(day).items()}})
    return rows
