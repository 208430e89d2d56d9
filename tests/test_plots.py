import base64
import json
import re
import struct
import zlib

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

matplotlib.use("agg")
import matplotlib.pyplot as plt

from phenolib import curves, phenology, plots
from phenolib.errors import InputError


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


@pytest.fixture
def area():
    "Days after 1 January of 2020 on 4 × 6 pixels of 10 m, rising to the north, one missing."
    values = 120.25 + np.arange(4.0)[::-1, None] * 10 + np.zeros(6)
    values[0, 0] = np.nan
    return xr.DataArray(values, dims=("y", "x"), name="sos50", attrs={"units": "d", "long_name": "start of season"},
                        coords={"y": 4e6 - 10.0 * np.arange(4), "x": 6e5 + 10.0 * np.arange(6), "year": 2020})


def test_a_map_has_north_up_and_its_true_proportion(area):
    "A raster that runs from south to north is turned; sides are metres, the title has the year, missing is grey."
    fig, axes = plt.subplots(1, 2)
    images = [plots.map_panel(ax, some, title="Valley", kind="days")
              for ax, some in zip(axes, (area, area.isel(y=slice(None, None, -1)).transpose("x", "y")))]
    assert all(np.ma.allequal(i.get_array(), np.ma.masked_invalid(area.values)) for i in images)
    assert images[0].get_extent() == [0, 60, 0, 40] and axes[0].get_aspect() == 1
    assert "Valley, 2020" in {axes[0].get_title(), axes[0].get_title(loc="left")}
    assert axes[0].get_facecolor() == matplotlib.colors.to_rgba(plots.MISSING)
    assert any(t.get_text() == "20 m" for t in axes[0].texts)
    plt.close(fig)


def test_limits_of_colours(area):
    "A difference is even about zero; a map of one value, or of none, has limits too; an unknown kind is told."
    low, high = plots.colour_limits(area - 125, "difference", quantiles=(0, 1))
    assert low == -high and high == 25.25
    for some in (area * 0, area * np.nan):
        low, high = plots.colour_limits(some, "amount")
        assert low < high
    assert plots.colour_limits(area, "days", (1, 2)) == (1, 2)
    with pytest.raises(InputError, match="'days'"):
        plots.map_panel(plt.figure().gca(), area, kind="day")
    plt.close("all")


@pytest.mark.parametrize("change, message", [
    (lambda a: a.drop_vars("year").expand_dims(year=[2020, 2021]), "needs y and x"),
    (lambda a: a.assign_coords(x=("x", a["x"].values, {"units": "degrees_east"})), "degrees")])
def test_what_is_no_map_is_refused(area, change, message):
    "Two years at once, and coordinates in degrees, are one clear line."
    with pytest.raises(InputError, match=message):
        plots.map_panel(plt.figure().gca(), change(area))
    plt.close("all")


@pytest.mark.parametrize("limits, labels", [
    ((-60, 200), ["1 Dec", "1 Jan", "1 Feb", "1 Mar", "1 Apr", "1 May", "1 Jun", "1 Jul"]),
    ((118, 154), ["1 May", "15 May", "1 Jun"]), ((116, 122), ["27 Apr", "29 Apr", "1 May", "3 May"])])
def test_days_are_read_as_dates(limits, labels):
    "Ticks stand at the first of months, more of them where few days are shown."
    fig, ax = plt.subplots()
    bar = fig.colorbar(ax.imshow(np.zeros((2, 2)), vmin=limits[0], vmax=limits[1]), ax=ax)
    plots.day_ticks(bar, year=2019)
    days = dict(zip([t.get_text() for t in bar.ax.get_yticklabels()], bar.get_ticks()))
    assert list(days) == labels and days["1 May"] == 120 and days.get("1 Dec", -31) == -31
    bar.mappable.set_clim(-80, 640)
    plots.day_ticks(bar)
    assert 3 <= len(bar.get_ticks()) <= 8
    plt.close(fig)


def test_small_differences_are_grey(area):
    "Grey is what its uncertainty covers, or whose uncertainty is missing; its share is told."
    fig, ax = plt.subplots()
    difference = area - 135  # rows of 15.25, 5.25, −4.75, −14.75
    _, share = plots.greyed(ax, difference, 5.0)
    assert share == 6 / 23 and np.ma.count(ax.images[1].get_array()) == 6
    unsure = xr.full_like(difference, 1.0).where(difference["x"] > 6e5)
    assert plots.greyed(ax, difference, unsure)[1] == 3 / 23
    plt.close(fig)


def test_classes_have_names_and_colours(area):
    "The key holds the classes that occur, the largest first, and one for all without a name; 0 is missing."
    fig, ax = plt.subplots()
    classes = area.copy(data=np.repeat([[1], [5], [5], [222]], 6, axis=1)).where(area["x"] > 6e5, 0)
    marks = plots.class_panel(ax, classes, plots.CDL)
    assert [m.get_label() for m in marks] == ["soybean", "corn", "other", "no value"]
    assert matplotlib.colors.to_hex(marks[0].get_facecolor()).upper() == plots.CDL[5][1]
    assert ax.images[0].get_array()[:, 1].tolist() == [2, 1, 1, 3] and not ax.images[0].get_array()[:, 0].any()
    plt.close(fig)


def read_map(page):
    "The layers of a map to zoom and their levels, read from the bytes of the pictures as the page's script does."
    data = json.loads(re.search(r"const data = (.*), \[W, H\]", page)[1])
    data["layers"][0]["src"] = re.search(r'src="(data:image/png[^"]*)"', page)[1]
    for layer in data["layers"]:
        png, parts, at = base64.b64decode(layer["src"].split(",")[1]), b"", 8
        while at < len(png):
            (length,), kind = struct.unpack(">I", png[at:at + 4]), png[at + 4:at + 8]
            parts += png[at + 8:at + 8 + length] if kind == b"IDAT" else b""
            at += 12 + length
        columns, rows = data["size"]
        raw = np.frombuffer(zlib.decompress(parts), np.uint8).reshape(rows, columns + 1)
        assert not raw[:, 0].any()  # no filter: bytes are levels
        layer["level"] = raw[:, 1:]
    return data


def test_values_of_a_map_are_in_its_picture(area):
    "Days come back whole, amounts to 1/254 of their range, classes by name; missing is level 0."
    classes = xr.where(area["y"] > 4e6 - 15, 1, 24) * xr.ones_like(area, int)
    page = plots.zoomable({"start": area, "height": area / 3, "crop": classes}, alt="Map of a valley's start",
                          kinds={"start": "days", "crop": plots.CDL}, limits={"height": (40, 45)}).data
    data = read_map(page)
    start, height, crop = data["layers"]
    assert start["level"][0, 0] == 0 and start["year"] == 2020 and data["corner"] == [6e5 - 5, 4e6 + 5]
    values = start["low"] + (start["level"].astype(float) - 1) * start["step"]
    assert np.array_equal(values[1:], np.floor(area.values[1:]))
    values = height["low"] + (height["level"].astype(float) - 1) * height["step"]
    assert np.abs(values - area.values / 3)[1:].max() <= height["step"] / 2 + 1e-9 and height["limits"] == [40, 45]
    assert crop["classes"][crop["level"][0, 1] - 1][0] == "corn"
    assert crop["classes"][crop["level"][3, 1] - 1][0] == "winter wheat"


def test_map_to_zoom_is_self_contained(area):
    "No network, no open place in the template, words of the caller only as text."
    name = 'start </script> of "2020"'
    page = plots.zoomable({name: area}, alt='A map <with> a "start"').data
    assert "http" not in page and "{{" not in page and page.count("</script>") == 1
    assert page.count("&lt;with&gt; a &quot;start&quot;") >= 2
    assert 'tabindex="0"' in page and 'role="application"' in page and "aria-live" in page and len(page) < 14_000


def test_large_maps_are_thinned_and_say_so(area):
    "More pixels than asked for are thinned to every second; the pixel is then twice as wide and its corner stays."
    page = plots.zoomable({"start": area}, alt="A map of the start of season", most=8).data
    data = read_map(page)
    assert data["size"] == [3, 2] and data["pixel"] == [20, 20] and data["corner"] == [6e5 - 5, 4e6 + 5]
    assert "One of 2 × 2 pixels" in page


def test_layers_of_a_map_share_a_grid(area):
    "Another grid and a kind for a layer that is not there are refused."
    with pytest.raises(InputError, match="lie on different grids"):
        plots.zoomable({"a": area, "b": area.assign_coords(x=area["x"] + 5)}, alt="Two maps of the start")
    with pytest.raises(InputError, match="no layer 'strat'"):
        plots.zoomable({"start": area}, alt="Map of the start", kinds={"strat": "days"})


def test_halves_of_a_violin_leave_out_what_is_too_few():
    "Three numbers are no distribution; the groups keep their order, and each side has its mark."
    fig, axes = plt.subplots()
    rng = np.random.default_rng(0)
    groups = {"corn": rng.normal(size=50), "rice": [1.0, 2.0, np.nan]}
    marks = plots.halves(axes, ("model", groups), ("clock", {"rice": rng.normal(size=30)}))
    assert len(marks) == 2 and len(axes.collections) == 4  # two bodies and the bars of their medians
    assert [t.get_text() for t in axes.get_xticklabels()] == ["corn", "rice"]
    plt.close(fig)
