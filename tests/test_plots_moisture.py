"""Pictures of soil moisture: what is planted is at its place, and what cannot be drawn is refused in one line."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.plots import moisture as pictures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def field(cell=1 / 12, side=1.0, name="1 km"):
    "Moisture that rises to the east over one degree at 60° N; the western third is sea."
    n = round(side / cell)
    y, x = 60.5 - cell * (np.arange(n) + 0.5), 126.0 + cell * (np.arange(n) + 0.5)
    values = np.linspace(0.1, 0.4, n) * np.ones((n, 1))
    return xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), name=name).where(lambda a: a["x"] > 126 + side / 3)


def series(n=30):
    return xr.DataArray(np.linspace(0.3, 0.1, n), {"time": pd.date_range("2020-05-01", periods=n)}, ("time",))


def words(figure):
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text)]


def test_degrees_keep_their_proportion():
    "At 60° N a degree of longitude is half as long as one of latitude, so the map is twice as high as wide."
    _, ax = plt.subplots()
    west, east, south, north = pictures.map_in_degrees(ax, field()).get_extent()
    assert abs((north - south) / (east - west) - 2) < 0.01 and abs(north - 111_195) < 1
    with pytest.raises(InputError, match="plots.map_panel"):
        pictures.in_metres(field().assign_coords(x=np.arange(12) * 1000.0))
    with pytest.raises(InputError, match="needs y and x"):
        pictures.in_metres(field().rename(x="lon"))


def test_maps_share_one_scale():
    "Coarse and fine maps of one land have the same colours and extent; sea is told from what is missing on land."
    fine, coarse = field(), field(1 / 4, name="coarse")
    land = xr.ones_like(fine, bool).where(fine["x"] > 126 + 1 / 3, False)
    fine[3, 10] = np.nan
    figure = pictures.moisture_maps([coarse, fine.assign_coords(time=pd.Timestamp("2020-05-03")), None], land=land)
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert len(images) == 2 and images[0].get_clim() == images[1].get_clim()
    assert np.allclose(images[0].get_extent(), images[1].get_extent(), rtol=0.01)
    assert {"coarse", "1 km, 3 May 2020", "sea", "no value", "soil moisture [m³ m⁻³]"} <= set(words(figure))
    with pytest.raises(InputError, match="2 titles"):
        pictures.moisture_maps([fine], ["a", "b"])
    with pytest.raises(InputError, match="did you mean 'moisture'"):
        pictures.moisture_maps([fine], kind="moistur")
    with pytest.raises(InputError, match="no map"):
        pictures.moisture_maps([None])


def test_places_lie_where_they_are():
    "A station in the middle of the land is drawn in the middle of the map, in the colour of its value."
    _, ax = plt.subplots()
    place = pd.DataFrame({"lon": [126.5], "lat": [60.0], "value": [0.2]})
    image = pictures.map_in_degrees(ax, field(), points=place)
    _, east, _, north = image.get_extent()
    dots = ax.collections[0]
    assert np.allclose(dots.get_offsets(), [[east / 2, north / 2]], rtol=1e-6)
    assert dots.norm is image.norm and dots.get_array().tolist() == [0.2]


def test_changes_are_even_about_zero():
    "The colours of a change and of an error have zero in their middle, whatever the values."
    for kind in ("change", "error"):
        _, ax = plt.subplots()
        low, high = pictures.map_in_degrees(ax, field() - 0.15, kind=kind).get_clim()
        assert low == -high < 0


def test_sources_keep_their_colours():
    "A station is black and the last series has its interval; rain hangs from above; an unknown source is refused."
    _, ax = plt.subplots()
    s = series()
    pictures.station_series(ax, {"station": s, "corrected": s + 0.01}, band=(s - 0.02, s + 0.04), rain=100 * s)
    assert [line.get_color() for line in ax.lines] == [pictures.WHO["station"][0], pictures.WHO["corrected"][0]]
    assert len(ax.collections) == 1 and ax.figure.axes[1].get_ylim()[1] == 0
    with pytest.raises(InputError, match="did you mean 'corrected'"):
        pictures.station_series(ax, {"correctd": s})


def test_a_spell_is_shaded_and_its_end_marked():
    "The spell is shaded in both panels; a layer that recovered has a dated dot, one that did not has none."
    s = series()
    figure = pictures.dry_spell(100 * s, {"surface": s, "root_zone": s / 2}, spell=("2020-05-05", "2020-05-12"),
                                recovered={"surface": "2020-05-15", "root_zone": pd.NaT})
    assert {"15 May", "dry spell", "surface", "root zone"} <= set(words(figure))
    assert sum(line.get_marker() == "o" for line in figure.axes[1].lines) == 1


def test_scores_stand_in_groups():
    "Each layer is a group with a mark for each method, in the order of the table, and its interval."
    table = pd.DataFrame([(layer, method, 0.5, 0.4, 0.7) for layer in ("surface", "root_zone")
                          for method in ("coarse", "corrected")], columns=["layer", "method", "pcc", "low", "high"])
    _, ax = plt.subplots()
    pictures.score_bars(ax, table, "pcc", label="PCC [-]", marks={"surface": (0.7, 0.8)})
    assert [t.get_text() for t in ax.get_xticklabels()] == ["surface", "root zone"]
    assert ax.get_legend_handles_labels()[1] == ["coarse", "corrected"]
    with pytest.raises(InputError, match="no column 'rmse'"):
        pictures.score_bars(ax, table, "rmse", label="RMSE")
