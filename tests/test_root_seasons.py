"""Seasons of roots: dates by share, the end of net growth, and days between two organs."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import root_seasons
from phenolib.errors import InputError


def season(start=120, end=220, first=60, last=300, step=7, noise=0.0, rng=None):
    "A weekly series whose halves lie on given days of 2018."
    day = np.arange(first, last, step)
    value = 0.2 + 2 / (1 + np.exp(-(day - start) / 6)) * (1 - 1 / (1 + np.exp(-(day - end) / 6)))
    value = value + noise * (rng or np.random.default_rng(0)).standard_normal(day.size)
    return xr.DataArray(value, {"time": pd.Timestamp("2018-01-01") + pd.to_timedelta(day, "D")}, ["time"])


def day_of(found, event):
    return found.set_index("event")["date"][event].day_of_year - 1


@pytest.mark.parametrize("method", ["double_logistic", "whittaker"])
def test_halves_are_found(method):
    "The days at half of the amplitude are those that were put in, and lie within their intervals."
    found = root_seasons.dates(season(), shares=(0.2, 0.5), method=method)
    assert abs(day_of(found, "sos50") - 120) <= 3 and abs(day_of(found, "eos50") - 220) <= 3
    assert day_of(found, "sos20") < 120 and day_of(found, "eos20") > 220
    some = found[found["event"] == "sos50"].iloc[0]
    assert some["low"] <= some["date"] <= some["high"]


def test_growth_ends_before_the_roots_are_gone():
    "Net growth is over at the plateau, weeks before the decline."
    found = root_seasons.dates(season())
    assert 130 < day_of(found, "net") < 175 < day_of(found, "eos50")


def test_the_end_of_net_growth_by_its_rule():
    "The first of fourteen days on which growth stays below 5 % of its fastest."
    time = pd.date_range("2018-01-01", periods=100)
    value = np.concatenate([np.zeros(20), np.linspace(0, 1, 30), np.ones(50)])
    end = root_seasons.net_end(xr.DataArray(value, {"day": time.values}, ["day"]))
    assert abs((end - np.datetime64("2018-02-20")) / np.timedelta64(1, "D")) <= 2
    always = xr.DataArray(np.linspace(0, 1, 100), {"day": time.values}, ["day"])
    assert np.isnat(root_seasons.net_end(always))


def test_what_has_no_season_has_no_dates():
    "Too few values, or none above zero, give no row."
    assert root_seasons.dates(season().isel(time=slice(5))).empty
    assert root_seasons.dates(season() * 0).empty
    flat = root_seasons.dates(season() * 0 + 1.0)
    assert flat.empty or flat["date"].isna().all()


def test_tubes_are_pooled_by_their_mean():
    "Groups are means over tubes on each date; a missing column is named."
    images = pd.DataFrame({"tube": ["a", "b"] * 2, "plot": "p", "season": 2018, "rld": [1.0, 3.0, 2.0, 4.0],
                           "date": pd.to_datetime(["2018-05-01"] * 2 + ["2018-05-08"] * 2)})
    found = root_seasons.pooled(images, "rld")
    assert list(found) == [("p", 2018)] and found["p", 2018].values.tolist() == [2.0, 3.0]
    with pytest.raises(InputError, match="no column 'length'"):
        root_seasons.pooled(images, "length")


def test_days_between_roots_and_leaves():
    "Roots ten days after the leaves are +10; the end of net growth is held against the end of the leaves."
    about = pd.DataFrame({"plot": ["p"], "season": [2018], "crop": ["corn"], "treatment": ["rainfed"]})
    leaf = root_seasons.table({("p", 2018): season()}, about, base=0.1)
    root = root_seasons.table({("p", 2018): season(130, 235)}, about)
    found = root_seasons.apart(root, leaf).set_index("event")["days"]
    assert abs(found["sos50"] - 10) <= 2 and abs(found["eos50"] - 15) <= 2
    assert found["net"] < 0 and "peak" in found.index
    again = root_seasons.leaves(xr.concat([season()], pd.Index(["p"], name="plot")), about,
                                {("p", 2018): (np.datetime64("2018-01-01"), np.datetime64("2018-12-31"))})
    pd.testing.assert_series_equal(again["date"], leaf["date"])
