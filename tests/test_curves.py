import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import curves
from phenolib.curves import functions, whittaker
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


def season(day, noise=0.0, seed=0):
    "Three logistic seasons on given days since the start of 2020."
    t = np.asarray(day)[:, None] - 365.0 * np.arange(3)
    values = 0.2 + 0.5 * (1 / (1 + np.exp(-0.08 * (t - 110))) - 1 / (1 + np.exp(-0.08 * (t - 260)))).sum(1)
    return values + noise * np.random.default_rng(seed).normal(size=values.size)


def on(day, values):
    "A series, or pixels with time last, on days since the start of 2020."
    time = np.datetime64("2020-01-01", "ns") + (np.asarray(day, float) * 86400e9).astype("timedelta64[ns]")
    return xr.DataArray(values, dims=("pixel", "time")[-np.ndim(values) :], coords={"time": time})


EVERY_5 = np.arange(0.0, 1095, 5)
HALF_DAYS = np.sort(np.random.default_rng(7).choice(2190, 250, replace=False)) / 2.0


def dense_whittaker(t, y, w, smoothness):
    "The smoother written out: (W + λP) z = W y in double precision, P from ∫f''² and κ²∫f'² by divided differences."
    step = np.diff(t)
    first = np.diff(np.eye(t.size), axis=0) / step[:, None]
    apart = (step[:-1] + step[1:]) / 2
    second = np.diff(first, axis=0) / apart[:, None]
    penalty = second.T @ (apart[:, None] * second) + whittaker.TENSION**2 * first.T @ (step[:, None] * first)
    return np.linalg.solve(np.diag(w) + smoothness * penalty, w * y)


@pytest.mark.parametrize("day", [np.arange(0.0, 1095), EVERY_5, HALF_DAYS], ids=["daily", "every fifth", "irregular"])
@pytest.mark.parametrize("smoothness, most", [(10.0, 1e-3), (250.0, 2e-3), (2000.0, 1e-2)])
def test_whittaker_solves_its_equation(day, smoothness, most):
    "The curve is the dense solution within two thousandths of the amplitude; a stiff one or a gap: two hundredths."
    rng = np.random.default_rng(1)
    values = season(day, noise=0.03).astype(np.float32)
    values[(rng.random(day.size) < 0.3) | (np.abs(day - 400) < 20)] = np.nan
    weight = rng.uniform(0.2, 1, day.size).astype(np.float32)
    plan = curves.Plan(on(day, values), "whittaker", smoothness=smoothness, reweight="none")
    found = plan.curve(values[None], weight[None])[0]
    seen = np.isfinite(values)
    w, wy = (np.bincount(plan.node[seen], v[seen], plan.nodes.size) for v in (weight, weight * values))
    expected = dense_whittaker(plan.nodes, wy / np.where(w > 0, w, 1), w / w.max(), smoothness)
    away = np.abs(found - expected) / 0.5
    gap = np.abs(plan.nodes - 400) < 20
    assert np.isfinite(found).sum() > 0.95 * found.size
    assert np.nanmax(away[~gap]) < most and np.nanmax(away[gap]) < 0.02


def test_offset_of_the_series_does_not_roughen_its_curve():
    "Temperatures of 290 ± 15 K are smoothed as well as the same in degrees Celsius, also with much smoothing."
    values = 30 * season(np.arange(0.0, 1095), noise=0.02)
    near, far = (curves.smooth(on(np.arange(0.0, 1095), values + offset), method="whittaker", smoothness=1e4)
                 for offset in (0, 280))
    assert float(np.abs(far - 280 - near).max()) < 0.05


def smoothness_chosen(values):
    "Which factor of 2 about the default cross-validation took: the one with the same curve."
    curve = curves.smooth(on(EVERY_5, values), method="whittaker", reweight="none", smoothness="gcv")
    for step in range(-4, 12):
        known = curves.smooth(on(EVERY_5, values), method="whittaker", reweight="none", smoothness=250.0 * 2.0**step)
        if np.array_equal(curve, known):
            return step
    raise AssertionError("another smoothness than those that are tried")


def test_v_curve_is_not_misled_by_noise_alike_from_day_to_day():
    "On daily values with autocorrelated noise the V-curve comes nearer to the truth than cross-validation."
    day, rng = np.arange(0.0, 1095), np.random.default_rng(0)
    noise = np.zeros((20, day.size))
    for k in range(1, day.size):
        noise[:, k] = 0.8 * noise[:, k - 1] + 0.03 * rng.normal(size=20)
    truth = season(day)
    found = {name: curves.smooth(on(day, truth + noise), method="whittaker", reweight="none", smoothness=name)
             for name in ("gcv", "v-curve", "auto")}
    error = {name: float(np.abs(curve.transpose("pixel", "time").values - truth).mean())
             for name, curve in found.items()}
    assert error["v-curve"] < 0.8 * error["gcv"] and error["auto"] == error["v-curve"]


def test_noisier_series_are_smoothed_more():
    "Generalised cross-validation takes a larger λ for a noisier series, and beats the ends of its range."
    chosen = [np.mean([smoothness_chosen(season(EVERY_5, noise, seed)) for seed in range(6)])
              for noise in (0.003, 0.03, 0.15)]
    assert chosen[0] < chosen[1] < chosen[2]
    truth = curves.smooth(on(EVERY_5, season(EVERY_5)), method="whittaker", smoothness=1.0)
    noisy = on(EVERY_5, season(EVERY_5, 0.15))

    def error(smoothness):
        return float(np.abs(curves.smooth(noisy, method="whittaker", reweight="none", smoothness=smoothness)
                            - truth).mean())

    assert error("auto") < 0.6 * error(16.0)


@pytest.mark.parametrize("method", ["whittaker", "savgol", "loess", "harmonic"])
@pytest.mark.parametrize("kind", [k for k in curves.REWEIGHTING if k != "none"])
def test_reweighting_lifts_the_curve_out_of_clouds(method, kind):
    "Each rule brings the curve of a cloudy series closer to that of the clear one; without clouds it does little."
    clear = season(EVERY_5, 0.004)
    cloudy = clear - 0.15 * (np.random.default_rng(3).random(EVERY_5.size) < 0.12)
    options = {"method": method, "spike": 0} | ({"span": 0.06} if method == "loess" else {})
    truth, plain = (curves.smooth(on(EVERY_5, v), reweight="none", **options) for v in (clear, cloudy))
    passes = 4 if kind == "chen" else 2
    lifted, kept = (curves.smooth(on(EVERY_5, v), reweight=kind, envelope=passes, **options) for v in (cloudy, clear))
    assert float(np.abs(lifted - truth).mean()) < 0.75 * float(np.abs(plain - truth).mean())
    assert float(np.abs(kept - truth).mean()) < (0.03 if method == "harmonic" else 0.006)


def test_bisquare_leaves_a_harvest_alone():
    "Values that are low together after a harvest keep their weight, but for the first: only single dents lose it."
    day = np.arange(0.0, 365, 3)
    values = np.where(day < 200, 0.7, 0.2) + 0.002 * np.random.default_rng(0).normal(size=day.size)
    plain, robust, envelope = (curves.smooth(on(day, values), method="whittaker", reweight=kind)
                               for kind in ("none", "bisquare", "timesat"))
    moved, lifted = (float(np.abs(curve - plain).sum()) for curve in (robust, envelope))
    assert moved < 1 and moved < 0.8 * lifted


@pytest.mark.parametrize("form, count", [(functions.BECK, 7), (functions.ELMORE, 8), (functions.GU, 9),
                                         (functions.GAUSSIAN, 8)], ids=["beck", "elmore", "gu", "gaussian"])
def test_derivatives_of_the_functions_are_right(form, count):
    "Values, slopes and analytic derivatives agree with the function in double precision and its differences."
    days = np.arange(-150, 170, 10, dtype=np.float32) + np.float32(0.5)  # two times sixteen
    a = np.zeros(9)
    a[:7] = 0.2, 0.3, 0.8, -60.0, np.log(0.08), 70.0, np.log(0.06)
    a[7:] = {functions.ELMORE: (0.001, 0), functions.GU: (0.4, -0.3)}.get(form, (0, 0))
    if form == functions.GAUSSIAN:
        a[[3, 4, 5, 6, 7]] = 5.0, np.log(1 / 70), np.log(2.5), np.log(1 / 60), np.log(3.0)
    assert functions.parameters(form) == count
    room = days.size
    value, derivatives = np.zeros(room, np.float32), np.zeros(18 * room, np.float32)
    functions.evaluate(form, a, days, room, value, derivatives, room)

    def exact(a, shift=0.0):
        return np.array([functions.value(form, a, float(day) + shift) for day in days])

    np.testing.assert_allclose(value, exact(a)[:, 0], atol=1e-6)
    step = 1e-5
    slope = (exact(a, step)[:, 0] - exact(a, -step)[:, 0]) / (2 * step)
    np.testing.assert_allclose(exact(a)[:, 1], slope, atol=1e-8)
    for k in range(count):
        up, down = a.copy(), a.copy()
        up[k], down[k] = a[k] + step, a[k] - step
        differences = (exact(up)[:, 0] - exact(down)[:, 0]) / (2 * step)
        found = derivatives[k * room : (k + 1) * room]
        np.testing.assert_allclose(found, differences, atol=2e-5 * max(1, np.abs(differences).max()))


def test_no_cube_is_copied():
    "A cube in single precision is handed to the compiled code as it lies, time first or last."
    last = np.zeros((4, 5, 60), np.float32)
    first = np.zeros((60, 4, 5), np.float32)
    for cube, values in ((last, last), (first, np.moveaxis(first, 0, -1))):
        flat = curves.flatten(values)
        assert flat.shape == (20, 60) and np.shares_memory(flat, cube)
    assert curves.flatten(last.astype(float)).dtype == np.float32


def test_number_of_threads_does_not_change_the_curve(monkeypatch):
    "Cut into parts for one, two or three threads, a block gives exactly the same numbers."
    day = np.arange(0.0, 365, 8)
    values = season(day)[None] + 0.02 * np.random.default_rng(0).normal(size=(2300, day.size))
    block = on(day, values.astype(np.float32))
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert curves.workers(2300) == 1
    expected = curves.smooth(block, method="whittaker")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    assert np.array_equal(curves.smooth(block, method="whittaker"), expected, equal_nan=True)
    monkeypatch.setattr(curves, "workers", lambda pixels: 3)
    assert np.array_equal(curves.smooth(block, method="whittaker"), expected, equal_nan=True)


def test_infinite_and_fill_values_are_missing():
    "Infinities, and in whole numbers the fill value, leave the curve that a missing value leaves."
    values = season(EVERY_5, 0.01)
    gone = np.random.default_rng(2).random(EVERY_5.size) < 0.3
    expected = curves.smooth(on(EVERY_5, np.where(gone, np.nan, values)))
    for bad in (np.inf, -np.inf):
        assert np.array_equal(curves.smooth(on(EVERY_5, np.where(gone, bad, values))), expected, equal_nan=True)
    whole = on(EVERY_5, np.where(gone, -1, np.round(10000 * values)).astype("int16"))
    whole = whole.assign_attrs(scale_factor=1e-4, _FillValue=-1)
    np.testing.assert_allclose(curves.smooth(whole), expected, atol=2e-4)
