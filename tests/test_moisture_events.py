"""How moisture moves at a site: planted drying times, gains and seasons are found, with rain and without it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import moisture_events as events
from phenolib.errors import InputError

TIME = pd.date_range("2016-01-01", "2020-12-31")


def of(values):
    "Series (site, time) as DataArray."
    names = [f"s{k}" for k in range(len(values))]
    return xr.DataArray(values, {"site": names, "time": TIME[:values.shape[1]]}, ("site", "time"))


def bucket(tau, *, gain=0.002, left=0.12, noise=0.0, often=0.15, seed=0):
    "Moisture that decays to ``left`` in ``tau`` days (site,) and rises by ``gain`` per mm; and its rain."
    rng, tau = np.random.default_rng(seed), np.asarray(tau, float)
    rain = np.where(rng.random((tau.size, TIME.size)) < often, 2 + rng.gamma(0.9, 9, (tau.size, TIME.size)), 0)
    v = np.full(rain.shape, left + 0.05)
    for k in range(1, TIME.size):
        v[:, k] = left + (v[:, k - 1] - left) * np.exp(-1 / tau) + gain * rain[:, k]
    return of(v + rng.normal(0, noise, v.shape)), of(rain)


def test_planted_drying_times_are_found():
    "Without noise within 5 %, θ_w within 0.01; the interval of years is narrow and around the value."
    tau = [4, 8, 16, 32]
    found = events.features(*bucket(tau), draws=50)
    assert np.allclose(found["tau"], tau, rtol=0.05) and np.allclose(found["drain"], tau, rtol=0.05)
    assert np.allclose(found["left"], 0.12, atol=0.01) and (found["used"] == 1).all() and (found["years"] == 5).all()
    assert (found["tau_low"] <= found["tau"]).all() and (found["tau"] <= found["tau_high"]).all()
    assert found["memory"].between(np.array(tau) / 1.7, np.array(tau) * 1.7).all()


def test_noise_of_neutrons_does_not_bend_the_times():
    "With an SD of 0.015 the mean time of ten sites is within a fifth of the planted one, and so is the noise."
    found = events.features(*bucket(np.repeat([8, 15, 30], 10), noise=0.015, seed=2), draws=0)
    assert np.allclose(found["tau"].to_numpy().reshape(3, 10).mean(1), [8, 15, 30], rtol=0.2)
    assert np.allclose(found["noise"], 0.015, atol=0.004) and found["tau_low"].isna().all()


def test_events_are_found_without_rain():
    "From rises alone times are a little long (showers hide in dry-downs), and in order; gain is not told."
    found = events.features(bucket([5, 12, 25], noise=0.002)[0], draws=0)
    assert found["tau"].is_monotonic_increasing and (found["tau"].between([5, 12, 25], [8, 19, 40])).all()
    assert found["gain"].isna().all() and (found["rise"] > 0).all() and not found.attrs["rain"]


def test_gain_is_moisture_per_millimetre():
    "Twice the gain is found as twice; it is what is left a day after the rain, a little less than what fell."
    a, b = (events.features(*bucket([60, 60], gain=g, noise=0.003), draws=0)["gain"] for g in (0.001, 0.002))
    assert a.between(0.0007, 0.001).all() and np.allclose(b / a, 2, rtol=0.1)


def test_season_range_and_winter():
    "A sine of amplitude 0.1 has a range of 0.2 less the ends, and its winter is where its top lies."
    day = TIME.day_of_year.to_numpy()
    wave = 0.3 + 0.1 * np.cos(2 * np.pi * (day - 15) / 365.25) + np.random.default_rng(0).normal(0, 0.002, TIME.size)
    found = events.features(of(wave[None]), draws=50).iloc[0]
    assert found["amplitude"] == pytest.approx(0.1, abs=0.002) and found["range"] == pytest.approx(0.2, abs=0.01)
    assert 0.38 < found["winter"] < 0.4 and found["winter_low"] <= found["winter"] <= found["winter_high"]


def test_a_unit_changes_sizes_and_not_times():
    "Moisture times 40 and shifted has the same times and 40 times the sizes."
    one, rain = bucket([6, 15], noise=0.005)
    a, b = (events.features(v, rain, draws=0) for v in (one, 40 * one - 3))
    for name in ("tau", "drain", "memory"):
        assert np.allclose(a[name], b[name], rtol=1e-3)
    for name in ("gain", "rise", "amplitude", "range"):
        assert np.allclose(40 * a[name], b[name], rtol=1e-6)


def test_counts_turned_over_rise_with_water():
    "Fewer counts, more water; and a count of 0 is refused."
    counts = of(np.random.default_rng(0).uniform(500, 1000, (2, 400)))
    wet = events.wetness(counts)
    assert (np.argsort(counts.values, 1) == np.argsort(-wet.values, 1)).all() and float(wet.min()) > -0.02
    with pytest.raises(InputError, match="a count of 0 is not above 0"):
        events.wetness(counts * 0)


def test_dry_downs_keep_to_the_rules():
    "None holds a shower, a gap of three days or fewer days than asked; each begins after its top."
    one, rain = bucket([8], noise=0.003)
    one[0, 300:303] = np.nan
    found = events.events(one, rain, least=6)
    assert len(found) > 20 and (found["days"] >= 6).all() and (found["start"] > found["top"]).all()
    for _, row in found.iterrows():
        inside = slice(row["start"], row["end"])
        assert float(rain[0].sel(time=inside).max()) <= events.SHOWER
        assert int(one[0].sel(time=inside).isnull().sum()) <= 2
    assert found["rain"].min() >= events.SHOWER


def test_what_is_missing_is_missing():
    "A site with few days has no features, one without winter no plateau; no number is made up."
    one, rain = bucket([8, 8, 8])
    one[1, 100:] = np.nan
    one[2] = one[2].where(~one["time"].dt.month.isin([11, 12, 1, 2]))
    found = events.features(one, rain, draws=20)
    assert found.loc["s1", list(events.FEATURES)].isna().all() and found.loc["s1", "used"] < 0.06
    assert np.isnan(found.loc["s2", "winter"]) and np.isfinite(found.loc["s2", "tau"])


def test_draws_are_of_whole_years():
    "The same seed gives the same interval; one odd year widens it."
    one, rain = bucket([8])
    odd = one.where(one["time"].dt.year != 2018, one - 0.08)
    a, again, b = (events.features(v, rain, draws=100, seed=3) for v in (one, one, odd))
    pd.testing.assert_frame_equal(a, again)
    assert (b["range_high"] - b["range_low"]).iloc[0] > 2 * (a["range_high"] - a["range_low"]).iloc[0]


def test_wrong_series_are_refused():
    "Hours, missing days, rain of other sites, rain below 0: one line each."
    one, rain = bucket([8, 9])
    with pytest.raises(InputError, match="not daily at 2016-01-05"):
        events.features(one.isel(time=[0, 1, 2, 3, 4, 6, 7]))
    with pytest.raises(InputError, match="rain: 1 sites"):
        events.features(one, rain[:1])
    with pytest.raises(InputError, match="below 0"):
        events.features(one, rain - 1)
    with pytest.raises(InputError, match="site and time"):
        events.events(one.values)
