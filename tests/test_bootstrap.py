import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import bootstrap, phenology
from phenolib.errors import InputError

TIME = pd.date_range("2019-01-01", "2021-12-31", freq="5D")
CLEAN = np.exp(-(((TIME.day_of_year.values - 200) / 40) ** 2))


def series(noise, seed=0):
    values = CLEAN + noise * np.random.default_rng(seed).normal(size=TIME.size)
    return xr.DataArray(values, {"time": TIME}, ["time"], "ndvi", {"units": "1"})


def widths(found, name="sos50"):
    width = (found[f"{name}_high"] - found[f"{name}_low"]) / np.timedelta64(1, "D")
    return width.values[found["amplitude"].notnull()]


def test_more_noise_makes_wider_intervals():
    "Three times the noise makes about three times the width, also by other rules; the dates stay as they are."
    few = dict(method="whittaker", per_year=1, draws=60, also=("slope",))
    quiet, loud = (bootstrap.seasons(series(noise), **few) for noise in (0.01, 0.03))
    ratio = np.median(widths(loud)) / np.median(widths(quiet))
    assert 2 < ratio < 4.5
    assert np.nanmin(widths(loud, "sos_slope")) > 0 and np.nanmin(widths(loud, "peak")) > 0
    plain = phenology.seasons(series(0.01), method="whittaker", per_year=1)
    assert (quiet["sos50"] == plain["sos50"]).all() and (quiet["found"] > 0.9).all()


def test_the_spread_of_new_noise_is_what_it_says():
    "Its width is within a factor of two of the spread of dates under noise that is really new."
    many = xr.concat([series(0.03, seed) for seed in range(80)], "draw")
    dates = phenology.seasons(many, method="double_logistic", per_year=1)["sos50"]
    real = ((dates - dates[0]) / np.timedelta64(1, "D")).quantile([0.05, 0.95], "draw").diff("quantile").values
    found = bootstrap.seasons(series(0.03), method="double_logistic", per_year=1, draws=80)
    assert 0.5 < np.median(widths(found)) / np.median(real) < 2


def test_the_same_seed_gives_the_same_intervals():
    "The wild bootstrap and blocks repeat, and differ from one another."
    few = dict(method="whittaker", per_year=1, draws=20)
    a, b = (bootstrap.seasons(series(0.02), block=4, **few) for _ in range(2))
    wild = bootstrap.seasons(series(0.02), signs=True, **few)
    assert a.equals(b) and (widths(a) != widths(wild)).all()


def test_a_gap_stays_a_gap():
    "Where the series has no date, there is no interval."
    holed = series(0.01).where(abs((TIME - pd.Timestamp("2020-06-20")) / pd.Timedelta("1D")) > 40)
    found = bootstrap.seasons(holed, method="savgol", per_year=1, draws=20)
    lost = found.sel(season=found["year"] == 2020)
    assert lost["sos50"].isnull().all() and lost["sos50_low"].isnull().all() and lost["eos50_low"].notnull().all()


def test_what_cannot_be_drawn_is_refused():
    "Several series, no observation, or no draws."
    with pytest.raises(InputError, match="dimensions"):
        bootstrap.seasons(series(0.01).expand_dims("pixel"))
    with pytest.raises(InputError, match="no observation"):
        bootstrap.seasons(series(0.01) * np.nan)
    with pytest.raises(InputError, match="draws = 1"):
        bootstrap.seasons(series(0.01), draws=1)
