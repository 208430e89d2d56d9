import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import curves
from phenolib.errors import InputError


def hump(step=3, days=365, noise=0.0, seed=0):
    "A smooth season on regular dates."
    day = np.arange(0, days, step)
    values = 0.34 + 0.1 * np.exp(-(((day - 190) / 45) ** 4)) + noise * np.random.default_rng(seed).normal(size=day.size)
    time = pd.Timestamp("2020-01-01") + pd.to_timedelta(day, "D")
    return xr.DataArray(values, dims="time", coords={"time": time}, name="gcc")


def test_quadratic_is_kept():
    "A quadratic goes through the filter unchanged, also on irregular dates."
    rng = np.random.default_rng(1)
    day = np.sort(rng.choice(300, 120, replace=False))
    curve = curves.smooth(
        xr.DataArray(1e-5 * (day - 150.0) ** 2, dims="time",
                     coords={"time": pd.Timestamp("2021-01-01") + pd.to_timedelta(day, "D")}),
        envelope=0, spike=0, steep=100, window=20)
    inner = slice(40, 220)
    expected = 1e-5 * (day[0] + np.arange(curve.size) - 150.0) ** 2
    assert np.abs(curve.values - expected)[inner].max() < 2e-4


def test_narrowing_keeps_a_harvest_steep():
    "Where the curve falls within days the window shrinks: the narrowed curve is closer to the step than the wide one."
    series = hump()
    series = series.where(series["time"] < np.datetime64("2020-08-01"), 0.34)
    wide = curves.smooth(series, steep=100, envelope=0)
    narrow = curves.smooth(series, steep=0.7, envelope=0)
    truth = series.interp(time=wide["time"])
    assert float(np.abs(narrow - truth).mean()) < 0.7 * float(np.abs(wide - truth).mean())


def test_envelope_leans_to_the_upper_side():
    "Values lowered by cloud pull the curve less with each pass of the envelope."
    series = hump(noise=0.002)
    low = np.random.default_rng(2).random(series.size) < 0.2
    cloudy = series - 0.03 * low
    clear = curves.smooth(series, envelope=0)
    errors = [float(np.abs(curves.smooth(cloudy, envelope=k, spike=0) - clear).mean()) for k in (0, 1, 2)]
    assert errors[1] < 0.7 * errors[0] and errors[2] <= errors[1]


def test_spike_is_ignored():
    "One wild value does not move the curve."
    series = hump()
    wild = series.copy()
    wild[60] = 0.9
    assert np.abs(curves.smooth(wild) - curves.smooth(series)).max() < 0.01


def test_gap_is_bridged_or_left_empty():
    "A gap up to break_gap is bridged by a straight line, a longer one stays empty; nothing is filled beyond the ends."
    series = hump(days=730)
    gap = (series["time"] > np.datetime64("2020-10-15")) & (series["time"] < np.datetime64("2021-01-01"))
    bridged = curves.smooth(series.where(~gap))
    assert bool(bridged.sel(time=slice("2020-10-20", "2020-12-20")).notnull().all())
    empty = curves.smooth(series.where(~gap), break_gap=60)
    assert bool(empty.sel(time=slice("2020-10-20", "2020-12-20")).isnull().all())
    late = curves.smooth(series.where(series["time"] > np.datetime64("2020-03-01")))
    assert bool(late.sel(time=slice("2020-01-01", "2020-02-28")).isnull().all())


def test_many_pixels_and_dask_give_the_numbers_of_one():
    "A cube, in memory or in chunks, is the same as its pixels one by one."
    cube = xr.concat([hump(noise=0.004, seed=k) for k in range(6)], "pixel")
    alone = xr.concat([curves.smooth(cube[k]) for k in range(6)], "pixel")
    assert np.array_equal(curves.smooth(cube).transpose("pixel", "time"), alone, equal_nan=True)
    lazy = curves.smooth(cube.chunk(pixel=2))
    assert lazy.chunks is not None
    assert np.array_equal(lazy.transpose("pixel", "time").compute(), alone, equal_nan=True)


def test_weight_zero_is_no_observation():
    "A value of weight 0 counts as little as a missing one."
    series = hump(noise=0.004)
    off = xr.DataArray(np.random.default_rng(0).random(series.size) < 0.3, dims="time")
    weighted = curves.smooth(series, weights=(~off).astype(float))
    assert np.array_equal(weighted, curves.smooth(series.where(~off)), equal_nan=True)


@pytest.mark.parametrize("bad, words", [
    (dict(method="magic"), "method 'magic'"),
    (dict(window=0), "window = 0"),
    (dict(envelope=9), "envelope = 9"),
    (dict(max_gap=200, break_gap=100), "max_gap = 200 is longer"),
])
def test_options_out_of_range_are_named(bad, words):
    "An option that cannot be meant is refused by name and value."
    with pytest.raises(InputError, match=words):
        curves.smooth(hump(), **bad)


def test_series_without_time_or_out_of_order_is_refused():
    "A series needs increasing times."
    with pytest.raises(InputError, match="dimension 'time'"):
        curves.smooth(xr.DataArray([1.0, 2.0], dims="x"))
    with pytest.raises(InputError, match="not increasing"):
        curves.smooth(hump()[::-1])
    with pytest.raises(InputError, match="at least 5"):
        curves.smooth(hump()[:3])
