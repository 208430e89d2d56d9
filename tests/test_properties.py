"""What holds for any series: documented answers or an InputError, never anything else."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from phenolib import curves, phenology
from phenolib.errors import InputError

FAULTS = ("unsorted", "twice", "backwards", "NaT", "few", "numbers", "text", "complex")
FEW = settings(max_examples=25, deadline=None, derandomize=True)
DAY = np.timedelta64(1, "D")
METHODS = st.sampled_from(curves.METHODS)
STEADY = st.sampled_from(("savgol", "whittaker", "double_logistic", "asymmetric_gaussian"))
SEEDS = st.integers(0, 2**31)
DATES = ("sos20", "sos50", "peak", "eos50", "eos20")


def on(day, values, start="2015-03-01"):
    "A series on days since a start."
    time = np.datetime64(start, "ns") + np.round(np.asarray(day, float) * 86400e9).astype("timedelta64[ns]")
    return xr.DataArray(np.asarray(values), dims="time", coords={"time": time}, name="ndvi")


def seasons(day, *, noise=0.02, seed=0, base=0.2, height=0.5, length=140.0, first=60.0):
    "One logistic season every 365 days, with noise."
    t = np.asarray(day, float)[:, None] - first - 365.0 * np.arange(-1, 12)
    values = 1 / (1 + np.exp(np.clip(-0.1 * t, -80, 80))) - 1 / (1 + np.exp(np.clip(-0.1 * (t - length), -80, 80)))
    return base + height * values.sum(1) + noise * np.random.default_rng(seed).normal(size=len(t))


def holds(series, **options):
    "Dates seasons and asserts what the documentation promises for every series."
    found = phenology.seasons(series, **options)
    for name, values in found.items():
        assert values.dtype.kind == "M" or not np.isinf(values.values).any(), name
    half = np.timedelta64(12, "h")  # of the smoothers with one node a day it may lie so far from its observation
    first, last = series["time"].values[0] - half, series["time"].values[-1] + half
    for name in DATES:
        date = found[name].values
        seen = ~np.isnat(date)
        assert (date[seen] >= first).all() and (date[seen] <= last).all(), name
        early = np.isnat(date) | np.isnat(found.peak.values) | (
            (date <= found.peak.values) if name[0] == "s" else (date >= found.peak.values))
        assert early.all(), name
        if name != "peak":
            low, high = found[f"{name}_low"].values, found[f"{name}_high"].values
            assert (low[seen] <= date[seen]).all() and (date[seen] <= high[seen]).all(), name
            assert np.isnat(low[~seen]).all() and np.isnat(high[~seen]).all(), name
    for event in ("sos", "eos"):
        outer, inner = found[f"{event}20"].values, found[f"{event}50"].values
        both = ~np.isnat(outer) & ~np.isnat(inner)
        assert ((outer <= inner) if event == "sos" else (outer >= inner))[both].all()
    quality = found.quality.values
    assert ((0 <= quality) & (quality < 2 * max(phenology.FLAGS.values()))).all()
    assert (found.amplitude.notnull() == found.peak.notnull()).all()
    assert len(phenology.table(found)) >= int(found.peak.notnull().sum())
    return found


def rows(series, **options):
    "The dated seasons of a series."
    return phenology.table(phenology.seasons(series, per_year=12, **options)).dropna(subset="peak").reset_index()


@FEW
@given(value=st.floats(-1e6, 1e6), step=st.integers(1, 20), method=METHODS)
def test_constant_series_has_no_season(value, step, method):
    "A series of one value has no season, and that value as its curve."
    series = on(np.arange(0, 800, step), np.full(len(range(0, 800, step)), value))
    assert int(holds(series, method=method).n_seasons) == 0
    curve = curves.smooth(series, method=method).dropna("time")
    np.testing.assert_allclose(curve, np.float32(value), rtol=2e-3, atol=1e-30)


@FEW
@given(method=METHODS, seen=st.integers(0, 4), seed=SEEDS)
def test_all_missing_or_a_few_values_are_no_season(method, seen, seed):
    "Four values at the most, or none: no season, no curve, and a reason."
    rng = np.random.default_rng(seed)
    values = np.full(200, np.nan)
    values[rng.choice(200, seen, replace=False)] = rng.normal(size=seen)
    found = holds(on(np.arange(200) * 5, values), method=method)
    assert int(found.n_seasons) == 0
    reasons = sum(phenology.FLAGS[k] for k in ("no_data", "no_season", "outside_series", "amplitude_too_small"))
    assert ((found.quality & reasons) > 0).all()
    assert not np.isinf(curves.smooth(on(np.arange(200) * 5, values), method=method)).any()


@FEW
@given(seed=SEEDS, fault=st.sampled_from(FAULTS))
def test_faulty_times_and_values_are_refused(seed, fault):
    "Times out of order, repeated or missing, too few of them, and what is no number, are an InputError."
    rng = np.random.default_rng(seed)
    n = 4 if fault == "few" else int(rng.integers(6, 60))
    series = on(np.arange(n) * 3.0, rng.normal(size=n))
    time = series["time"].values.copy()
    k = int(rng.integers(1, n - 1))
    if fault == "unsorted":
        time[[k, k - 1]] = time[[k - 1, k]]
    elif fault == "twice":
        time[k] = time[k - 1]
    elif fault == "NaT":
        time[k] = np.datetime64("NaT")
    elif fault == "backwards":
        time = time[::-1]
    series = series.assign_coords(time=np.arange(n) if fault == "numbers" else time)
    series = series.astype({"text": str, "complex": complex}.get(fault, float))
    for function in (phenology.seasons, curves.smooth):
        with pytest.raises(InputError):
            function(series)


@FEW
@given(seed=SEEDS, method=METHODS, share=st.floats(0, 0.6))
def test_infinities_are_missing_values(seed, method, share):
    "An infinity of either sign counts as a missing value, wherever it stands."
    rng = np.random.default_rng(seed)
    day = np.arange(0.0, 800, 5)
    values = seasons(day, seed=seed)
    gone = rng.random(day.size) < share
    bad = np.where(rng.random(day.size) < 0.5, np.inf, -np.inf)
    infinite = holds(on(day, np.where(gone, bad, values)), method=method)
    xr.testing.assert_equal(infinite, phenology.seasons(on(day, np.where(gone, np.nan, values)), method=method))


@FEW
@given(seed=SEEDS, method=METHODS, years=st.sampled_from([1, 3, 10]), step=st.sampled_from([1, 5, 16]))
def test_one_or_ten_years_have_as_many_seasons(seed, method, years, step):
    "A season a year is found every year, by every method, in its harvest year."
    day = np.arange(0.0, 365 * years, step)
    options = {"smoothness": 250.0} if method == "whittaker" else {}
    series = on(day, seasons(day, noise=0.01, seed=seed, first=120, length=120), "2010-01-01")
    found = holds(series, method=method, per_year=1, **options)
    assert int(found.n_seasons) == years and found.peak.notnull().all()
    assert (found.peak.dt.year == found.year).all()


@FEW
@given(seed=SEEDS, method=METHODS, share=st.floats(0, 0.95), noise=st.floats(0, 0.3), swing=st.floats(0.05, 0.6),
       last=st.booleans())
def test_random_dates_and_gaps_keep_every_promise(seed, method, share, noise, swing, last):
    "On random dates, with gaps and any noise, dates are in order, within the series and within their intervals."
    rng = np.random.default_rng(seed)
    day = np.sort(rng.choice(4000, int(rng.integers(5, 400)), replace=False)) / 4 + rng.uniform(0, 0.2)
    values = seasons(day, noise=noise, seed=seed, height=rng.uniform(0, 1), base=rng.uniform(-1, 1))
    values[rng.random(day.size) < share] = np.nan
    k = int(rng.integers(0, day.size))
    values[k : k + int(rng.integers(0, 60))] = np.nan
    holds(on(day, values), method=method, min_swing=swing, crossing="last" if last else "first")


@FEW
@given(seed=SEEDS, scale=st.sampled_from([1e-4, 2e-4, 1e-3, 0.004]), kind=st.sampled_from(["int16", "uint16", "int32"]))
def test_whole_numbers_with_a_scale_are_as_good(seed, scale, kind):
    "Whole numbers with a scale and a fill value have the dates of the numbers they stand for, within an hour."
    day = np.arange(0.0, 1095, 5)
    whole = np.round(seasons(day, seed=seed) / scale)
    gone = np.random.default_rng(seed).random(day.size) < 0.2
    fill = {"int16": -32768, "uint16": 65535, "int32": -999999}[kind]
    series = on(day, np.where(gone, fill, whole).astype(kind)).assign_attrs(scale_factor=scale, _FillValue=fill)
    same, expected = rows(series), rows(on(day, np.where(gone, np.nan, whole * scale)))
    assert len(same) == len(expected)
    for name in DATES:
        assert (same[name].isna() == expected[name].isna()).all()
        assert not len(same) or ((same[name] - expected[name]).abs().dropna() / DAY <= 1 / 24).all(), name


@FEW
@given(seed=SEEDS, method=STEADY, scale=st.floats(-5, 5).map(lambda x: 10**x), offset=st.floats(-3, 3))
def test_scale_and_offset_leave_the_dates(seed, method, scale, offset):
    "Another unit and another zero move no date by more than an hour; the peak, which is flat, by no more than a day."
    day = np.arange(0.0, 1095, 5)
    values = seasons(day, seed=seed)
    same, other = (rows(on(day, v), method=method) for v in (values, scale * (values + offset)))
    assert len(same) == len(other)
    for name in DATES:
        away = (same[name] - other[name]).abs().dropna() / DAY
        assert (away <= (1 if name == "peak" else 1 / 24)).all(), name
    np.testing.assert_allclose(other["amplitude"], scale * same["amplitude"], rtol=1e-3)


@FEW
@given(seed=SEEDS, method=STEADY, shift=st.integers(1, 4000))
def test_a_shift_in_time_shifts_the_dates(seed, method, shift):
    "The same values some days later have the same dates, as many days later, within a second."
    rng = np.random.default_rng(seed)
    day = np.sort(rng.choice(1095, 250, replace=False)).astype(float)
    values = seasons(day, seed=seed)
    before, after = rows(on(day, values), method=method), rows(on(day + shift, values), method=method)
    assert len(before) == len(after) >= 2
    for name in DATES:
        away = (after[name] - before[name] - shift * DAY).dropna()
        assert len(away) == before[name].notna().sum() and (away.abs() / DAY < 1 / 86400).all(), name
