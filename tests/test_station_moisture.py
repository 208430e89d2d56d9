"""Moisture at stations that were left out: planted corrections are found, nothing of a tested station is read."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import moisture_scores, soil
from phenolib import station_moisture as sm
from phenolib.errors import InputError

TIME = pd.date_range("2019-01-01", "2020-12-31")


def planted(count=16, seed=0):
    "Stations on a line 60 km apart; 5 cm and 50 cm, the deeper one a filter of 20 days with an own level."
    rng = np.random.default_rng(seed)
    wet = np.zeros((count, TIME.size))
    for k in range(1, TIME.size):
        rain = np.where(rng.random(count) < 0.15, rng.uniform(0.02, 0.12, count), 0)
        wet[:, k] = np.minimum(wet[:, k - 1] * np.exp(-1 / 10) + rain, 0.25)
    clay = rng.uniform(0.1, 0.4, count)
    top = 0.08 + 0.3 * clay[:, None] + wet
    low = 0.05 + 0.8 * soil.exponential_filter(TIME.values, top, 20) + rng.normal(0, 0.003, top.shape)
    names = [f"s{k:02d}" for k in range(count)]
    stations = pd.DataFrame({"station": names, "lon": -100 + 0.66 * np.arange(count), "lat": 35.0, "clay": clay,
                             "sand": 0.8 - clay, "organic_carbon": 0.01, "saturation": 0.45, "elevation": 300.0})
    return stations, *(xr.DataArray(v, {"station": names, "time": TIME}, ("station", "time")) for v in (top, low))


def gauges(stations, top, seed=1):
    "Ten-day rows: a product of twice the amplitude, and radar that knows the moisture."
    rng = np.random.default_rng(seed)
    starts = pd.date_range(TIME[0], TIME[-1] - pd.Timedelta(10, "D"), freq="10D")
    made = pd.DataFrame([(s, t, t + pd.Timedelta(10, "D")) for s in stations["station"] for t in starts],
                        columns=["station", "start", "end"])
    mean = sm.ten_days(top, made)
    made["ssm_fraction"] = 2 * mean - 0.15 + rng.normal(0, 0.02, len(made))
    made["VV"] = -16 + 20 * mean + rng.normal(0, 0.5, len(made))
    for name, value in (("VH", -20.0), ("angle", 38.0), ("B4", 0.1), ("B8", 0.3), ("B11", 0.2), ("B12", 0.15)):
        made[name] = value + rng.normal(0, 0.01, len(made))
    return made


def rows_of(labels, rows, parts):
    at = dict(zip(labels, range(len(labels))))
    return [test[rows["station"].map(at).to_numpy()] for test in parts]


def test_near_stations_are_held_out_together():
    "Two stations of one town are one group; folds test each group once."
    found = sm.clusters([-97.0, -97.1, -90.0, -80.0], [36.1, 36.1, 40.0, 41.0])
    assert found.tolist() == [0, 0, 1, 2]
    parts = sm.folds(found, 10)
    assert len(parts) == 3 and (np.sum(parts, 0) == 1).all() and all(test[0] == test[1] for test in parts)
    with pytest.raises(InputError, match="within 25 km"):
        sm.folds([0, 0, 0])


def test_ten_days_are_those_of_the_row():
    "The mean of start to the day before end; five days are needed; unknown stations have none."
    _, top, _ = planted(2)
    table = pd.DataFrame({"station": ["s01", "s01", "other"], "start": TIME[[0, 30, 0]], "end": TIME[[10, 40, 10]]})
    gap = top.copy()
    gap[1, 30:36] = np.nan
    mean = sm.ten_days(gap, table)
    assert mean[0] == pytest.approx(top[1, :10].mean()) and np.isnan(mean[1:]).all()


def test_a_planted_amplitude_is_mended_at_stations_left_out():
    "A product of twice the amplitude: a line mends it, a shift does not; with radar and soil the trees find it too."
    stations, top, _ = planted()
    rows = sm.gauge_rows(gauges(stations, top), stations)
    target = sm.ten_days(top, rows)
    parts = rows_of(stations["station"], rows, sm.folds(sm.clusters(stations["lon"], stations["lat"]), 2))
    found = sm.correct(rows, target, list(sm.CORRECTIONS), parts)
    error = {name: np.sqrt(np.nanmean((v - target)**2)) for name, v in found.items()}
    assert error["linear"] < 0.5 * error["additive"] and error["ridge"] < 0.5 * error["coarse"]
    assert error["trees"] < 0.5 * error["coarse"] and error["images"] < error["coarse"]
    both = moisture_scores.compare({name: sm.wide(rows, v) for name, v in found.items()}, sm.wide(rows, target),
                                   window=95, draws=50)
    assert both.loc["linear", "rmse"] < both.loc["coarse", "rmse"] and set(both["stations"]) == {16}


def test_a_station_left_out_is_not_read():
    "Other probe values at the tested stations leave every prediction for them as it is, to the last bit."
    stations, top, low = planted(12)
    rows = sm.gauge_rows(gauges(stations, top), stations)
    target = sm.ten_days(top, rows)
    parts = sm.folds(sm.clusters(stations["lon"], stations["lat"]), 3)
    test = rows_of(stations["station"], rows, parts)[0]
    kinds = list(sm.CORRECTIONS)
    one, two = (sm.correct(rows, t, kinds, [test]) for t in (target, np.where(test, target + 0.2, target)))
    for kind in kinds:
        np.testing.assert_array_equal(one[kind], two[kind])
    other = low.where(~xr.DataArray(parts[0], dims="station"), 0.4)
    one, two = (sm.profile_at_stations(top, v, stations, parts[:1])[0] for v in (low, other))
    for kind in sm.PROFILES:
        np.testing.assert_array_equal(one[kind][parts[0]], two[kind][parts[0]])


def test_the_depth_is_told_by_a_filter_of_the_planted_time():
    "20 days are found at training stations, and the filter beats the surface as it is and the climatology."
    stations, top, low = planted()
    parts = sm.folds(sm.clusters(stations["lon"], stations["lat"]), 4)
    found, times = sm.profile_at_stations(top, low, stations, parts)
    assert times == [20.0] * 4
    table = moisture_scores.compare(found, low, draws=50)
    assert table.loc["filter", "rmse"] < 0.3 * table.loc[["surface", "climatology"], "rmse"].min()
    assert table.loc["filter", "anomaly_pcc"] > 0.9 and table.loc["lags", "anomaly_pcc"] > 0.9


def test_a_year_left_out_is_not_read():
    "The other year alone is fitted; a station without it gets no prediction."
    _, top, low = planted(6)
    low = low.copy()
    low[2, low["time"].dt.year.values == 2019] = np.nan
    found = sm.profile_in_years(top, low)
    assert found["filter"][2, 400:].isnull().all() and found["filter"][2, :300].notnull().all()
    changed = low.copy()
    changed[:, changed["time"].dt.year.values == 2020] += 0.1
    again = sm.profile_in_years(top, changed)
    for kind in found:
        np.testing.assert_array_equal(found[kind][:2, 366:], again[kind][:2, 366:])
    with pytest.raises(InputError, match="needs two"):
        sm.profile_in_years(top[:, :300], low[:, :300])


def test_the_time_of_drying_is_found():
    "Surfaces that dry with 10 days say about 10 days, noise of the probe included; a stuck probe says nothing."
    _, top, _ = planted(8)
    made = sm.drying(top + np.random.default_rng(3).normal(0, 5e-4, top.shape))
    assert made["tau"].between(8.5, 12).all() and (made["r2"] > 0.8).all()
    flat = sm.drying(xr.zeros_like(top) + 0.2)
    assert flat["tau"].isna().all()


def test_rank_correlation_of_stations():
    "What rises with clay is found; too few stations give None and why."
    x = np.arange(30.0)
    found = sm.rank_correlation(x, x**2, np.arange(30), draws=200)
    assert found["value"] == pytest.approx(1) and found["n"] == 30
    assert sm.rank_correlation(x[:5], x[:5], np.arange(5))["value"] is None


def test_mistakes_are_told():
    "Unknown kinds and columns, no station in common, folds of other stations."
    stations, top, low = planted(6)
    table = gauges(stations, top)
    rows = sm.gauge_rows(table, stations)
    target = sm.ten_days(top, rows)
    for call, said in [(lambda: sm.correct(rows, target, ["tree"], []), "did you mean 'trees'"),
                       (lambda: sm.correct(rows, target, ["ridge"], [np.ones(len(rows), bool)]), "leaves 0 rows"),
                       (lambda: sm.gauge_rows(table.rename(columns={"VV": "vv"}), stations), "no column 'VV'"),
                       (lambda: sm.gauge_rows(table, stations.assign(station="x")), "no gauge is at a station"),
                       (lambda: sm.profile_at_stations(top, low, stations, [np.ones(4, bool)]), "folds are of 4"),
                       (lambda: sm.profile_in_years(top, low, ("lag",)), "did you mean 'lags'")]:
        with pytest.raises(InputError, match=said) as error:
            call()
        assert "\n" not in str(error.value)
