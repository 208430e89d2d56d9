"""Scores of soil moisture: each is what its formula says, stations are drawn, and planted errors are found."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import moisture_scores as ms
from phenolib.errors import InputError


def planted(stations=12, days=400, seed=0):
    "(station, time) of moisture with a season and wet weeks."
    rng = np.random.default_rng(seed)
    wet = np.zeros((stations, days))
    for k in range(1, days):
        wet[:, k] = 0.9 * wet[:, k - 1] + rng.normal(0, 0.015, stations)
    season = 0.05 * np.cos(np.arange(days) / 365 * 2 * np.pi)
    level = rng.uniform(0.2, 0.35, (stations, 1))
    return xr.DataArray(level + season + wet, {"station": [f"s{k}" for k in range(stations)],
                                               "time": pd.date_range("2019-01-01", periods=days)}, ("station", "time"))


def noise(like, sd, seed=1):
    return like + np.random.default_rng(seed).normal(0, sd, like.shape)


def test_planted_bias_and_noise_are_found():
    "A product with an offset of 0.03 and noise of 0.02: bias, ubRMSE and RMSE are those, with intervals around them."
    truth = planted()
    found = ms.scores(noise(truth, 0.02) + 0.03, truth)
    assert found.bias == pytest.approx(0.03, abs=0.002) and found.ubrmse == pytest.approx(0.02, abs=0.002)
    assert found.rmse == pytest.approx(np.hypot(0.03, 0.02), abs=0.002)
    assert found.n == truth.size and found.share == 1 and len(found.stations) == 12
    row = found.table.loc["rmse"]
    assert row["low"] < row["mean"] < row["high"] and row["stations"] == 12
    assert found.result("rmse")["interval"] == pytest.approx((row["low"], row["high"]))


def test_scores_are_those_of_numpy():
    "Correlation, KGE and pooled scores of sums equal those computed one by one."
    truth = planted(3, 200)
    product = noise(0.8 * truth + 0.02, 0.01).where(np.random.default_rng(3).random(truth.shape) > 0.1)
    found = ms.scores(product, truth)
    good = np.isfinite(product[1].values)
    p, o = product[1].values[good], truth[1].values[good]
    r, alpha, beta = np.corrcoef(p, o)[0, 1], p.std() / o.std(), p.mean() / o.mean()
    row = found.stations.iloc[1]
    assert row["pcc"] == pytest.approx(r) and row["alpha"] == pytest.approx(alpha)
    assert row["kge"] == pytest.approx(1 - np.sqrt((r - 1)**2 + (alpha - 1)**2 + (beta - 1)**2))
    good = np.isfinite(product.values)
    pooled = np.corrcoef(product.values[good], truth.values[good])[0, 1]
    assert found.table.loc["pcc", "pooled"] == pytest.approx(pooled)
    assert found.share == pytest.approx(good.mean())


def test_a_climatology_has_no_anomaly_correlation():
    "A product that knows the season alone has a high correlation and none of the anomalies."
    truth = planted(8, 730)
    season = xr.DataArray(0.3 + 0.05 * np.cos(np.arange(730) / 365 * 2 * np.pi), {"time": truth["time"]}, "time")
    found = ms.scores(noise(season.broadcast_like(truth), 1e-4), truth)
    assert found.pcc > 0.5 and abs(found.anomaly_pcc) < 0.1


def test_anomalies_need_enough_days_around():
    "With fewer than 5 values in 35 days there is no anomaly; ten-day series take a longer window."
    truth = planted(1, 400).isel(station=0)
    ten = truth[::10]
    assert not np.isfinite(ms.anomalies(ten)).any()
    assert np.isfinite(ms.anomalies(ten, window=95)).mean() > 0.8
    inner = ms.anomalies(truth).values[50]
    assert inner == pytest.approx(truth.values[50] - truth.values[33:68].mean())
    gap = truth.where(np.arange(400) % 2 == 0)
    assert np.isfinite(ms.anomalies(gap)).sum() == 200


def test_products_are_held_against_each_other_on_the_same_days():
    "A gap of one product is a gap of all; own_share tells whose it was; a product does not win by what it leaves out."
    truth = planted()
    good, bad = noise(truth, 0.01), noise(truth, 0.03, 2)
    bad[:, :200] = np.nan
    table = ms.compare({"good": good, "bad": bad}, truth, draws=200)
    assert (table["n"] == 12 * 200).all() and (table["share"] == 0.5).all()
    assert table["own_share"].tolist() == [1.0, 0.5]
    assert table.loc["good", "rmse"] < table.loc["bad", "rmse"]
    assert ms.result(table, "good", "rmse")["n"] == 12
    assert "[" in ms.cells(table).loc["good", "rmse"]
    alone = ms.scores(good[:, 200:], truth[:, 200:], draws=200)
    assert table.loc["good", "rmse"] == pytest.approx(alone.rmse)


def test_a_ratio_is_paired():
    "What stations share cancels: the interval of the ratio is far narrower than those of the two errors."
    truth = planted(20)
    spread = xr.DataArray(np.linspace(0.5, 2, 20), {"station": truth["station"]}, "station")
    half, full = truth + 0.02 * spread, truth + 0.04 * spread
    both = ms.ratio(half, full, truth)
    assert both["value"] == pytest.approx(0.5) and np.ptp(both["interval"]) < 1e-6 and both["n"] == 20
    assert ms.ratio(half, full, truth, pooled=True)["value"] == pytest.approx(0.5)
    better = ms.gain(noise(truth, 0.01), noise(truth, 0.05), truth)
    assert better["interval"][0] > 0
    reverse = ms.ratio(noise(truth, 0.05), noise(truth, 0.01), truth)
    assert reverse["interval"][0] > 1


def test_clusters_widen_the_interval():
    "Stations of one coarse cell are drawn together."
    truth = planted(20)
    offset = xr.DataArray(np.repeat(np.random.default_rng(0).normal(0, 0.03, 4), 5), {"station": truth["station"]},
                          "station")
    alone, together = (ms.scores(truth + offset, truth, groups=g).table.loc["bias"]
                       for g in (None, np.repeat(range(4), 5)))
    assert together["high"] - together["low"] > 1.3 * (alone["high"] - alone["low"])


def test_a_stuck_station_has_no_correlation():
    "A constant prediction has an error and no correlation, and no NaN spoils the mean of the others."
    truth = planted(5)
    product = noise(truth, 0.01)
    product[2] = 0.25
    found = ms.scores(product, truth)
    assert np.isnan(found.stations["pcc"].iloc[2]) and found.stations["rmse"].notna().all()
    assert found.table.loc["pcc", "stations"] == 4 and found.pcc > 0.9


def test_what_cannot_be_scored_is_refused():
    "Per cent, no common station, wrong dimensions, unknown names: one line each."
    truth = planted(3)
    other = truth.assign_coords(station=["a", "b", "c"])
    for product, said in [(100 * truth, "per cent"), (other, "no value lies at a station"),
                          (truth.rename(station="y"), "dimensions station and time")]:
        with pytest.raises(InputError, match=said) as error:
            ms.scores(product, truth)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="did you mean 'rmse'"):
        ms.ratio(truth, truth, truth, name="rmes")
    with pytest.raises(InputError, match="do not increase"):
        ms.anomalies(truth[:, ::-1])


# ---- triple collocation

def three(n=3000, sds=(0.01, 0.02, 0.03), scales=(1, 0.8, 1.3), seed=0, common=0.0):
    rng = np.random.default_rng(seed)
    truth = 0.04 * rng.normal(size=n)
    shared = common * rng.normal(size=n)
    errors = [sd * rng.normal(size=n) for sd in sds]
    return truth, [scale * truth + e + (shared if k else 0) for k, (scale, e) in enumerate(zip(scales, errors))]


def test_triple_collocation_finds_the_planted_errors():
    "SDs of three independent errors and scales are found within their intervals."
    truth, made = three()
    found = ms.triple(*made, names=("gauge", "coarse", "fine"))
    for name, sd, scale, one in zip(found.names, (0.01, 0.02, 0.03), (1, 0.8, 1.3), made):
        assert found.error_sd[name] == pytest.approx(sd, rel=0.1)
        low, high = found.intervals["error_sd", name]
        assert low < sd < high
        assert found.r2[name] == pytest.approx(np.corrcoef(one, truth)[0, 1]**2, abs=0.02)
        assert found.scale[name] == pytest.approx(scale, rel=0.05)
    assert found.n == 3000 and len(found.remarks) == 1 and "cannot be tested" in found.remarks[0]


def test_triple_collocation_of_stations_leaves_their_means_out():
    "Offsets of stations are no error of time; whole stations are drawn."
    _, made = three(4000)
    made = [v.reshape(20, 200) + np.random.default_rng(k).normal(0, 0.1, (20, 1)) for k, v in enumerate(made)]
    found = ms.triple(*made)
    assert found.error_sd["y"] == pytest.approx(0.02, rel=0.1)
    assert found.result("error_sd", "y")["n"] == 4000


def test_errors_in_common_deceive_triple_collocation():
    "Two products that share an error look better than they are, and nothing in the numbers tells: the text does."
    _, made = three(common=0.02)
    found = ms.triple(*made)
    assert found.error_sd["x"] > 0.015 and found.error_sd["y"] < 0.9 * np.hypot(0.02, 0.02)
    assert "GLEAM" in found.remarks[-1]


def test_triple_collocation_refuses_what_it_cannot_do():
    "Too few triples, a series that falls when others rise, shapes that differ."
    _, (x, y, z) = three(500)
    for given, said in [((x[:80], y[:80], z[:80]), "80 days"), ((x, y, -z), "rise and fall"),
                        ((x, y, z[:400]), "shape")]:
        with pytest.raises(InputError, match=said) as error:
            ms.triple(*given)
        assert "\n" not in str(error.value)
    gap = np.where(np.arange(500) < 410, np.nan, z)
    with pytest.raises(InputError, match="90 days"):
        ms.triple(x, y, gap)
