"""Pixels with known salt: they are read like samples, and a planted group is the one that a reference needs."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.linear_model import LinearRegression

from phenolib import explain, salinity
from phenolib import salinity_reading as reading
from phenolib.errors import InputError

SIDE = 90


def scene(seed=0):
    "A scene of 90 × 90 pixels with a cloud in one corner and gaps in the dates of the season."
    rng = np.random.default_rng(seed)
    grid = {"y": 4e6 - 10.0 * np.arange(SIDE), "x": 5e5 + 10.0 * np.arange(SIDE)}
    bands = {name: (("y", "x"), rng.uniform(0.05, 0.5, (SIDE, SIDE)).astype(np.float32)) for name in salinity.BANDS}
    layers = {name: (("y", "x"), (100 * (name == "dem") + rng.normal(size=(SIDE, SIDE))).astype(np.float32))
              for name in salinity.LAYERS}
    optical, around = xr.Dataset(bands, grid), xr.Dataset(layers, grid)
    around["sos"] = around["sos"].where(rng.random((SIDE, SIDE)) < 0.7)
    optical = optical.where((optical["x"] > 5e5 + 400) | (optical["y"] < 4e6 - 400))
    return salinity.Scene("here", pd.Timestamp("2020-06-15"), optical.assign(age=optical["B02"] * 0), around)


def places(n=3000, seed=0):
    "Pixels with a table of their places over 6 × 6 km, and features of which B11 and the elevation make the salt."
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(n, 4)), columns=["B11", "B12", "dem", "B05"])
    table = pd.DataFrame({"x": rng.uniform(0, 6000, n), "y": rng.uniform(0, 6000, n), "campaign": "2020-06",
                          "sample": np.arange(n).astype(str), "site": np.arange(n).astype(str)})
    y = 3 + 0.5 * x["B11"] + 0.2 * x["dem"] + 0.1 * rng.normal(size=n)
    return reading.Landscape(None, table.assign(salt=np.expm1(y)), x)


def linear(seed):
    return LinearRegression()


def test_pixels_are_read_like_samples():
    "Features from sums over squares are those of samples whose windows were cut out, gaps included."
    one = scene()
    row, column = np.array([32, 50, 57]), np.array([44, 33, 57])
    table = pd.DataFrame({"x": one.optical["x"].values[column], "y": one.optical["y"].values[row]})
    expected = salinity.take(table, one).features
    pd.testing.assert_frame_equal(reading.features(one, row, column), expected, rtol=1e-4, atol=1e-4)


def test_places_are_clear_and_have_a_window():
    "No pixel is drawn twice, under the cloud, or nearer to the edge than half a window."
    one = scene()
    row, column = reading._places(one, 10_000, np.random.default_rng(0))
    assert len(set(zip(row, column))) == len(row) == (SIDE - 64) ** 2 - 9 * 9
    assert min(row.min(), column.min()) == 32 and max(row.max(), column.max()) == SIDE - 33
    assert np.isfinite(one.optical["B02"].values[row, column]).all()


def test_a_scene_without_clear_pixels_is_refused():
    "A scene under clouds is named with its day."
    one = scene()
    dark = salinity.Scene(one.area, one.date, one.optical * np.nan, one.layers)
    with pytest.raises(InputError, match="'here' on 2020-06-15 has no clear pixel"):
        reading._places(dark, 10, np.random.default_rng(0))


def test_the_planted_groups_are_needed():
    "Removing B11 or the elevation raises the error by what was planted; the red edge adds nothing beyond chance."
    landscape = places()
    grouped = explain.groups(["B11", "B12", "dem", "B05"])
    found = reading.reference(landscape, grouped, size=1500, folds=3, build=linear, draws=300)
    table = found.importance.table()
    assert table.value["SWIR"] == pytest.approx(np.hypot(0.5, 0.1) - 0.1, abs=0.02)
    assert table.value["elevation"] == pytest.approx(np.hypot(0.2, 0.1) - 0.1, abs=0.02)
    assert abs(table.value["red edge"]) < 0.002 and found.least < 1e-9
    assert found.r2 == pytest.approx(1 - 0.01 / (0.25 + 0.04 + 0.01), abs=0.01)
    assert found.interval[0] < found.r2 < found.interval[1] and found.n == 3000


def test_a_reference_needs_truth_and_seeds():
    "An archive without truth, and a single seed, are refused."
    landscape, grouped = places(300), explain.groups(["B11", "B12", "dem", "B05"])
    with pytest.raises(InputError, match="true salt of pixels is not known"):
        reading.reference(reading.Landscape(None, None, None), grouped, size=1500)
    with pytest.raises(InputError, match="two or more"):
        reading.reference(landscape, grouped, size=1500, seeds=(0,))


def test_what_two_groups_both_tell_is_halved():
    "Two copies of one input are each worth half of the fall of the error, though neither is missed alone."
    rng = np.random.default_rng(1)
    own = places(2000)
    twice = own.features.assign(B05=own.features["B11"] + 1e-3 * rng.normal(size=2000))
    landscape = reading.Landscape(None, own.pixels, twice)
    grouped = explain.groups(["B11", "B12", "dem", "B05"])
    found = reading.worth(landscape, grouped, size=1500, folds=3, build=linear, draws=200)
    table = found.table()
    assert table.value["SWIR"] == pytest.approx(table.value["red edge"], rel=0.02)
    without = reading.reference(landscape, grouped, size=1500, folds=3, build=linear, draws=200).importance.table()
    assert abs(without.value["SWIR"]) < 0.01 < 0.1 < table.value["SWIR"]
    assert table.value.sum() == pytest.approx(np.sqrt(0.25 + 0.04 + 0.01) - 0.1, abs=0.02)
    with pytest.raises(InputError, match="11 groups make 2048 models"):
        reading.worth(landscape, explain.groups(), size=1500)


def test_claims_hold_in_the_draws_where_they_hold():
    "A claim that holds in three draws of four has a share of 0.75; one that never holds has 0."
    drawn = np.array([[3.0, 3, 3, 1], [2, 2, 2, 2], [1, 1, 1, 0]])
    one = explain.Importance(("a", "b", "c"), drawn.mean(1), drawn, np.zeros(3))
    table = reading.claims({"it": one}, {"a first": (("a",), ("b", "c")), "c first": (("c",), ("a",))})
    assert table["it"].tolist() == [0.75, 0.0]


def test_explained_variance():
    "Predictions of the mean explain nothing, those of the truth everything."
    truth, labels = np.arange(40.0), np.arange(40) // 5
    assert reading.explained(truth, np.full(40, truth.mean()), labels)["value"] == pytest.approx(0)
    assert reading.explained(truth, truth, labels)["interval"] == pytest.approx((1, 1))


def test_the_truth_of_another_time_is_refused():
    "Salt is taken from the nearest day of the truth, not from another season."
    grid = {"time": pd.to_datetime(["2020-06-15", "2020-10-15"]), "y": [20.0, 10.0, 0.0], "x": [0.0, 10.0]}
    truth = xr.DataArray(np.arange(12.0).reshape(2, 3, 2), grid)
    assert reading._salt(truth, "2020-10-13", np.array([10.0, 0.0]), np.array([20.0, 0.0])).tolist() == [7.0, 10.0]
    with pytest.raises(InputError, match="no day within 10 days of 2021-03-01"):
        reading._salt(truth, "2021-03-01", np.array([0.0]), np.array([0.0]))
