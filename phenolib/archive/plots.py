"""Experimental plots of an archive: what grew in them, their weather, their soil sensors, and Sentinel-2 above them."""

from functools import cached_property

import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import plot_tables

KINDS = ("plots",)
PATTERNS = {"plots": ("plots/plots.csv",)}
READERS = {"plots": "plot_tables"}
BESIDE = (plot_tables.SEASONS, plot_tables.WEATHER, plot_tables.SOIL, plot_tables.SATELLITE)


def look(path):
    """What the tables of plots hold, read whole: names of the plots, first and last date, remarks.

    raises   InputError as the readers of ``sources.plot_tables``
    """
    names = set(plot_tables.read_plots(path)["plot"])
    sky = plot_tables.read_weather(path.with_name(plot_tables.WEATHER))
    odd = [f"{path.name}: {name} is not beside it" for name in BESIDE if not _beside(path, name)]
    for read, name in ((plot_tables.read_soil, plot_tables.SOIL), (plot_tables.read_satellite, plot_tables.SATELLITE)):
        if found := _beside(path, name):
            others = set(read(found)["plot"].values.tolist()) - names
            odd += [f"{found.name}: the plot '{sorted(others)[0]}' is not in {path.name}"] if others else []
    return names, sky["time"].values.min(), sky["time"].values.max(), odd


class Plots:
    """The part of an ``Archive`` that knows experimental plots."""

    @cached_property
    def plots(self):
        """One row per plot, see ``plot_tables.read_plots``; without plots no row."""
        found = self.kinds().get("plots", [])
        return plot_tables.read_plots(found[0]) if found else pd.DataFrame(columns=["plot", "treatment"])

    @cached_property
    def plot_seasons(self):
        """What grew in which plot and year, see ``plot_tables.read_seasons``, with the treatment of the plot."""
        seasons = plot_tables.read_seasons(self._plot_file(plot_tables.SEASONS))
        return seasons.merge(self.plots[["plot", "treatment"]], "left", on="plot")

    def plot_weather(self):
        """Daily weather at the plots, see ``plot_tables.read_weather``."""
        return self._with_licence(plot_tables.read_weather(self._plot_file(plot_tables.WEATHER)), "plots")

    def plot_soil(self):
        """Soil sensors of the plots, see ``plot_tables.read_soil``."""
        return self._with_licence(plot_tables.read_soil(self._plot_file(plot_tables.SOIL)), "plots")

    def plot_satellite(self):
        """Sentinel-2 above the plots, see ``plot_tables.read_satellite``."""
        return self._with_licence(plot_tables.read_satellite(self._plot_file(plot_tables.SATELLITE)), "plots")

    def plot_truth(self):
        """True dates of leaves and roots, and their noise-free curves; None, None where the archive has no truth.

        returns  DataFrame: plot, season, crop, treatment, organ ("leaf", "root"), depth_cm (NaN: mean of the depths of
                 tubes), direction, share [%], date; and a lazy Dataset (plot, time, …) with evi2, lai_green,
                 root_length, tension, theta and soil_temperature
        """
        path = self.root / "truth" / "plots_seasons.csv"
        if not path.is_file():
            return None, None
        return pd.read_csv(path, parse_dates=["date"]), xr.open_dataset(self.root / "truth" / "plots.nc")

    def root_truth(self):
        """What is truly in view in each image; None where the archive has no truth.

        returns  DataFrame: tube, plot, depth_cm, date, length_mm, branch_points, roots, rld_cm_cm3, mask (Path)
        """
        path = self.root / "truth" / "root_images.csv"
        if not path.is_file():
            return None
        found = pd.read_csv(path, parse_dates=["date"])
        names = [f"{r.tube}_D{r.depth_cm:03d}_{r.date:%Y-%m-%d}.png" for r in found.itertuples()]
        return found.assign(mask=[self.root / "truth" / "root_masks" / name for name in names])

    def _plot_file(self, name):
        found = self.kinds().get("plots", [])
        if not found:
            raise InputError(f"archive '{self.name}' has no plots; plots/plots.csv tells of them")
        path = _beside(found[0], name)
        if path is None:
            raise InputError(f"archive '{self.name}': {name} is not beside {found[0].name}; it is needed here")
        return path


def _beside(path, name):
    """A table beside plots.csv, compressed or not; None where there is none."""
    names = name, name.removesuffix(".gz"), f"{name}.gz"
    return next((path.with_name(n) for n in names if path.with_name(n).is_file()), None)
