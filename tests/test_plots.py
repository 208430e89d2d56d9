import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

matplotlib.use("agg")
import matplotlib.pyplot as plt

from phenolib import curves, phenology, plots


@pytest.fixture
def series():
    time = pd.date_range("2019-01-01", "2020-12-31", freq="3D")
    day = time.day_of_year.to_numpy()
    values = 0.33 + 0.1 * np.exp(-(((day - 200) / 45) ** 4))
    return xr.DataArray(values, dims="time", coords={"time": time}, name="gcc")


def test_a_figure_is_shown_once_with_its_text(series, monkeypatch):
    "show emits one PNG with the alternative text and its width, and closes the figure."
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    fig, ax = plt.subplots()
    plots.series(ax, series, curves.smooth(series))
    plots.show(ax, alt="Greenness through two years with two humps")
    (data,), options = shown[0]
    assert data["image/png"] and "Greenness through two years" in data["text/plain"]
    about = options["metadata"]["image/png"]
    assert about["alt"].startswith("Greenness") and about["width"] == int(100 * fig.get_figwidth())
    assert not plt.fignum_exists(fig.number)


@pytest.mark.parametrize("alt", ["", "a figure"])
def test_a_figure_needs_its_text(alt):
    "A figure without words for those who cannot see it is refused."
    with pytest.raises(ValueError, match="alternative text"):
        plots.show(plt.figure(), alt=alt)
    plt.close("all")


def test_colours_are_apart():
    "Every thing has a colour of its own, in hexadecimal."
    colours = [c for k, c in plots.COLOURS.items() if k != "observation"]
    assert len(set(colours)) == len(colours) and all(re.fullmatch("#[0-9A-F]{6}", c) for c in colours)


def test_marks_stand_at_the_dates(series):
    "Filled marks stand at the first share, open ones at the second; a missing date has no mark."
    fig, ax = plt.subplots()
    rows = phenology.table(phenology.seasons(series))
    rows.loc[0, "sos20"] = pd.NaT
    plots.season_marks(ax, rows, curves.smooth(series))
    assert [len(line.get_xdata()) for line in ax.lines] == [len(rows) - 1, len(rows), len(rows), len(rows)]
    plt.close(fig)


def test_unobserved_time_is_shaded(series):
    "A gap of two months is shaded once."
    fig, ax = plt.subplots()
    gap = (series["time"] > np.datetime64("2019-03-01")) & (series["time"] < np.datetime64("2019-05-01"))
    plots.unobserved(ax, series["time"], series.where(~gap))
    assert len(ax.patches) == 1
    plt.close(fig)


def test_slider_is_self_contained(series):
    "The interactive figure needs no network, names what it shows, and keeps its numbers inside."
    page = plots.season_slider(series, {"smooth": curves.smooth(series)}, alt='A curve <with> a "slider"').data
    assert "http" not in page and "{{" not in page and "&quot;slider&quot;" in page
    assert page.count('aria-label="A curve &lt;with&gt; a &quot;slider&quot;"') == 2


def test_strips_hold_every_finite_value():
    "Missing values are left out, far ones drawn at the edge."
    fig, ax = plt.subplots()
    plots.strips(ax, {"a": [1.0, np.nan, 90.0], "b": []}, limit=21)
    assert sorted(ax.lines[0].get_xdata()) == [1.0, 21.0]
    plt.close(fig)


def test_map_has_a_scale_bar_of_a_round_number():
    "A map of sites says how long a kilometre is."
    fig, ax = plt.subplots()
    sites = pd.DataFrame({"site": ["a", "b"], "lon": [-100.0, -90.0], "lat": [35.0, 42.0]})
    plots.site_map(ax, sites, labels=["a", "b"])
    texts = [t.get_text() for t in ax.texts]
    assert {"a", "b"} <= set(texts) and any(re.fullmatch(r"[125]0* km", t) for t in texts)
    plt.close(fig)
