"""Pictures of salinity: what is planted is at its place in them, and a wrong table is refused in one line."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import plots
from phenolib.errors import InputError
from phenolib.plots import salinity as pictures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def maps(years=(2019, 2020, 2021)):
    "Maps whose salt rises to the east, of 20 × 30 pixels."
    salt = np.exp(np.linspace(-1, 3, 30)) * np.ones((len(years), 20, 1))
    return xr.DataArray(salt, {"year": list(years), "y": 4e6 - 10.0 * np.arange(20), "x": 5e5 + 10.0 * np.arange(30)},
                        ("year", "y", "x"))


def words(figure):
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text)]


def test_maps_share_one_logarithmic_scale():
    "A panel a year, one scale in the unit, a north arrow and a scale bar; what is outside is said below."
    salt = maps()
    salt[0, :3] = np.nan
    figure = pictures.salt_maps(salt, outside=salt.isel(year=0, drop=True) > 15)
    shown = words(figure)
    assert {"2019", "2020", "2021", "N", "salt content [g/kg]", "beyond the area of applicability",
            "no value"} <= set(shown) and "100 m" in shown
    assert "beyond the area of applicability" not in words(pictures.salt_maps(maps()))
    norms = [ax.images[0].norm for ax in figure.axes if ax.images]
    assert all((n.vmin, n.vmax) == (0.5, 20) and isinstance(n, matplotlib.colors.LogNorm) for n in norms)
    with pytest.raises(InputError, match="above 0"):
        pictures.salt_maps(salt, limits=(0, 5))


def test_colours_of_classes_follow_the_scale():
    "Classes take their colours from the scale of the maps, in order; each of persistence has its own."
    scale = matplotlib.colormaps[pictures.SALT](np.linspace(0, 1, 1001))[:, :3]
    place = [np.abs(scale - matplotlib.colors.to_rgb(c)).sum(1).argmin() for _, c in pictures.CLASSES.values()]
    assert (np.diff(place) > 100).all()
    assert len({colour for _, colour in pictures.PERSISTENCE.values()}) == 5
    from phenolib import salinity, salinity_maps

    assert [name for name, _ in pictures.CLASSES.values()] == list(salinity.CLASSES)
    assert tuple(name for name, _ in pictures.PERSISTENCE.values()) == salinity_maps.PERSISTENCE


def test_bars_are_areas():
    "A bar of each year and class is as high as its area; corrected areas have dots."
    table = pd.DataFrame({"year": [2020, 2021] * 2, "class": ["none"] * 2 + ["heavy"] * 2,
                          "hectares": [10.0, 20, 30, 40]})
    figure = pictures.class_bars(table)
    assert [p.get_height() for ax in figure.axes for p in ax.patches] == [10, 20, 30, 40]
    corrected = table.assign(corrected=table.hectares + 1, low=table.hectares, high=table.hectares + 3)
    assert "corrected for errors of the map" in words(pictures.class_bars(corrected))
    with pytest.raises(InputError, match="no column 'hectares'"):
        pictures.class_bars(table.rename(columns={"hectares": "hectare"}))


def test_transitions_show_shares_of_rows():
    "A row of 3 and 1 shows 75 and 25; an empty row shows nothing."
    counts = pd.DataFrame([[3, 1], [0, 0]], ["none", "heavy"], ["none", "heavy"])
    figure, ax = plt.subplots()
    pictures.transition_matrix(ax, counts)
    assert [t.get_text() for t in ax.texts][:2] == ["75", "25"] and len(ax.texts) == 2 + 2 + 1


def test_spectra_in_the_order_of_wavelength():
    "The median of each class with enough samples is drawn over the wavelength, whatever the order of the columns."
    bands = pd.DataFrame({"B11": [0.3] * 6, "B02": [0.05] * 6, "B08": [0.2] * 3 + [0.4] * 3})
    figure, ax = plt.subplots()
    pictures.spectra_by_class(ax, bands, np.array([0, 0, 0, 4, 4, 4]))
    first, last = (line.get_xydata() for line in ax.lines)
    assert first[:, 0].tolist() == [492, 833, 1614] and first[:, 1].tolist() == [0.05, 0.2, 0.3]
    assert last[1, 1] == 0.4 and ax.get_legend_handles_labels()[1] == ["none (3)", "solonchak (3)"]
    with pytest.raises(InputError, match="band 'B13'"):
        pictures.spectra_by_class(ax, bands.rename(columns={"B11": "B13"}), np.zeros(6, int))


def test_importance_has_the_largest_on_top():
    "Groups stand in the order of their mean, each method with its own mark and interval."
    table = pd.DataFrame({"group": ["a", "b"] * 2, "method": ["SHAP"] * 2 + ["refit"] * 2, "value": [0.1, 0.5] * 2,
                          "low": [0.0, 0.4] * 2, "high": [0.2, 0.6] * 2})
    figure, ax = plt.subplots()
    pictures.importance(ax, table)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b", "a"] and ax.yaxis_inverted()
    assert ax.get_legend_handles_labels()[1] == ["SHAP", "refit"]
    with pytest.raises(InputError, match="no column 'value'"):
        pictures.importance(ax, table.drop(columns="value"))


def test_pairs_that_a_logarithm_cannot_show_are_counted():
    "Both axes are logarithmic with equal limits; zero and missing values are not drawn, and the count says so."
    figure, ax = plt.subplots()
    n = pictures.predicted_observed(ax, [1.0, 2, 0, np.nan], [1.5, 3, 2, 1])
    assert n == 2 and ax.get_xscale() == ax.get_yscale() == "log" and ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlabel() == "observed salt content [g/kg]"


def test_alike_indices_stand_together():
    "Of two families of three alike indices each stands together in the figure; a constant one is left out."
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 80))
    values = pd.DataFrame({"A1": a, "B1": b, "A2": a**3, "B2": -b, "A3": np.exp(a), "B3": b * 2, "C": 1.0})
    figure = pictures.correlations(values, groups={name: name[0] for name in values})
    names = [t.get_text()[0] for t in figure.axes[0].get_yticklabels()]
    assert names in (["A"] * 3 + ["B"] * 3, ["B"] * 3 + ["A"] * 3)
    with pytest.raises(InputError, match="at least two"):
        pictures.correlations(values[["C"]])


def test_classes_fit_the_panel_of_maps():
    "The legends are those that plots.class_panel takes; missing classes are grey."
    figure, ax = plt.subplots()
    classes = xr.DataArray(np.array([[0, 2], [-1, 2]], np.int8), {"y": [20.0, 10.0], "x": [0.0, 10.0]}, ("y", "x"))
    marks = plots.class_panel(ax, classes, pictures.PERSISTENCE, missing=(-1,))
    assert [m.get_label() for m in marks] == ["persistent high", "stable low", "no value"]
