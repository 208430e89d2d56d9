"""Pictures of neutrons: what is planted is at its place, and what is not there is said."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.plots import neutrons as pictures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def words(figure):
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text)]


def test_wet_soil_is_seen_less_deep():
    "The curve of the wettest soil lies above that of the driest everywhere."
    axis = pictures.footprint().axes[0]
    dry, wet = (line.get_ydata() for line in axis.lines[:3:2])
    assert (np.asarray(wet) < np.asarray(dry)).all()


def test_a_network_without_probes_says_so():
    "Panels without data hold one line of text in their place."
    found = words(pictures.network(pd.DataFrame(), None, ways=("a", "b", "c")))
    assert found.count("not in this archive") == 3


def test_the_swing_stands_over_carbon_in_per_cent():
    "A site of 0.02 g g⁻¹ whose series swings 0.8 times the truth is a point at 2 % and 0.8."
    drawn = pictures.network(pd.DataFrame(), None, ways=("a", "b", "c"), alpha=np.array([0.8]), carbon=np.array([0.02]))
    assert drawn.axes[1].lines[-1].get_xydata().tolist() == [[pytest.approx(2.0), pytest.approx(0.8)]]


def test_rain_hangs_from_the_top():
    "The largest rain is told, and its axis points down."
    _, ax = plt.subplots()
    fallen = xr.DataArray([0.0, 12.0, 3.0], {"time": pd.date_range("2020-01-01", periods=3)}, ("time",))
    pictures._rain(ax, fallen)
    twin = ax.figure.axes[1]
    assert twin.get_ylim()[0] > twin.get_ylim()[1] == 0 and any("12 mm" in t for t in words(ax.figure))
