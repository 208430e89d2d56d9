import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phenolib import fluxes, responses
from phenolib.errors import InputError
from phenolib.sources import flux_tower

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
THARANDT = Path(ROOT or ".") / "flux" / "Example_DETha98.txt"
E0, CALM = 180.0, 0.3


def tower(days=180, noise=0.8, seed=0, start="2020-03-01", rising=True):
    "Half-hours of a tower whose E₀ and R_ref are known; below a u* of 0.3 a part of the flux is not seen."
    rng = np.random.default_rng(seed)
    time = np.datetime64(start, "ns") + np.arange(1, 48 * days + 1) * np.timedelta64(30, "m")
    day = np.arange(1, 48 * days + 1) / 48
    weather = np.repeat(rng.normal(0, 3, days // 4 + 1), 192)[: day.size]
    t = 10 + 6 * np.sin(2 * np.pi * day / 365) + 5 * np.sin(2 * np.pi * (day - 0.35)) + weather
    light = np.maximum(700 * np.sin(2 * np.pi * (day - 0.25)), 0)
    r_ref = 2 + (1.5 * np.sin(np.pi * day / days) if rising else 0)
    reco = r_ref * responses.lloyd_taylor(t, e0=E0)
    ustar = rng.gamma(3, 0.17, day.size)
    seen = np.minimum(ustar / CALM, 1)
    nee = reco * np.where(light > 0, 1, seen) - 20 * light / (light + 400) + rng.normal(0, noise, day.size)
    nee[rng.random(day.size) < 0.25] = np.nan
    return pd.DataFrame({"time": time, "nee": nee, "t": t, "light": light, "ustar": ustar, "reco": reco,
                         "gpp": 20 * light / (light + 400)})


def parts(one, threshold=CALM, **options):
    "The partition of a tower."
    usable = fluxes.night(one["light"]) & fluxes.mixed(one["ustar"], threshold)
    return fluxes.partition(one["time"], one["nee"], one["t"], usable, **{"draws": 30, **options})


def test_a_clean_tower_gives_its_parameters():
    "Without noise E₀ comes out to a tenth of a kelvin, and respiration by day follows."
    one = tower(60, noise=0.0, rising=False)
    found = parts(one, draws=5)
    assert found.e0 == pytest.approx(E0, abs=0.1) and found.r_ref == pytest.approx(2, abs=0.01)
    assert np.allclose(found.series["reco"], one["reco"], rtol=0.01)


def test_planted_sensitivity_and_base_are_recovered():
    "E₀ and the course of R_ref of noisy towers lie within their intervals, respiration of the season within 5 %."
    inside = []
    for seed in range(4):
        one = tower(seed=seed)
        found = parts(one)
        low, high = found.interval
        inside.append(low <= E0 <= high)
        assert found.e0 == pytest.approx(E0, rel=0.25) and low < found.e0 < high
        assert float(found.series["reco"].mean()) == pytest.approx(one["reco"].mean(), rel=0.05)
        truth = 2 + 1.5 * np.sin(np.pi * np.arange(1, len(one) + 1) / len(one))
        assert np.abs(found.series["r_ref"] - truth).mean() < 0.2
        band = (found.series["reco_low"] <= one["reco"]) & (one["reco"] <= found.series["reco_high"])
        assert band.mean() > 0.8
    assert sum(inside) >= 3


def test_uptake_is_what_is_left():
    "GPP = R_eco − NEE wherever there is NEE, near the planted one by day and near zero at night; nothing is filled."
    one = tower()
    found = parts(one, draws=5)
    gpp, there, nee = found.series["gpp"].values, one["nee"].notna().to_numpy(), one["nee"].to_numpy()
    assert (np.isfinite(gpp) == there).all() and found.retrieved["gpp"] == pytest.approx(there.mean())
    assert np.allclose(gpp[there], (found.series["reco"].values - nee)[there])
    assert np.abs((gpp - one["gpp"])[there & (one["light"] > 0)].mean()) < 0.25


def test_calm_nights_make_respiration_too_small():
    "Without the filter of u* respiration is underestimated; with it, it is not."
    one = tower()
    raw, filtered = (float(parts(one, threshold, draws=2).series["reco"].mean()) for threshold in (0.0, CALM))
    assert raw < 0.93 * one["reco"].mean() < filtered * 0.98


def test_rules_of_the_windows():
    "Windows of 14 days every 5, with more than 6 values over 5 K; the three of the least error make the site's E₀."
    one = tower()
    found = parts(one, draws=2)
    start = found.windows["start"].diff().dropna().unique()
    assert list(start) == [np.timedelta64(5, "D")]
    site = found.windows[found.windows["fate"] == "site"]
    good = found.windows[found.windows["fate"].isin(["site", "good"])]
    assert len(site) == 3 and found.e0 == pytest.approx(site["e0"].mean())
    assert site["error"].max() <= good["error"].nsmallest(3).max()
    assert (good["range"] >= 5).all() and good["e0"].between(0, 450).all()
    assert (good["error"] < 0.5 * good["e0"]).all() and (good["n"] > 6).all()
    assert found.retrieved["windows"] == pytest.approx(len(good) / len(found.windows))
    assert found.refits["time"].diff().median() == pytest.approx(pd.Timedelta(4, "D"), abs=pd.Timedelta(12, "h"))


def test_one_temperature_is_refused_and_says_why():
    "Where no window spans 5 K there is no sensitivity: one line tells how many windows failed at what."
    one = tower(40)
    one["t"] = 10 + 0.05 * (one["t"] - one["t"].mean())
    with pytest.raises(InputError, match="none of 9 windows .*range below 5 K") as error:
        parts(one)
    assert "\n" not in str(error.value)


def test_spikes_are_left_out_of_the_fit():
    "A value of 60 in each week hardly moves E₀; the rule is that of the median absolute deviation."
    one, spiked = tower(), tower()
    spiked.loc[spiked.index % 336 == 5, "nee"] = 60.0
    assert parts(spiked, draws=2).e0 == pytest.approx(parts(one, draws=2).e0, rel=0.1)
    for end, out in ((13.3, 0), (13.4, 2)):  # 4.5 · 2 / 0.6745 = 13.34
        assert fluxes.outliers(np.array([-end, -2, -1, 0, 1, 2, end])).sum() == out
    assert not fluxes.outliers(np.ones(5)).any()


def test_filled_values_win_the_choice_and_mislead():
    "Two weeks that a model filled have the least error: their E₀ becomes that of the site unless they are left out."
    one = tower()
    some = slice(48 * 60, 48 * 100)
    one.loc[some, "nee"] = responses.lloyd_taylor(one.loc[some, "t"].to_numpy(), e0=20.0)
    assert parts(one, draws=2).e0 < 60
    one.loc[some, "nee"] = np.nan
    found = parts(one, draws=2)
    assert found.e0 == pytest.approx(E0, rel=0.3) and found.longest > 30 and found.retrieved["refits"] < 0.85


def test_sums_of_years():
    "A year of known respiration has its sum, with an interval; a part of a year has none but its share."
    one = tower(366 + 40, start="2020-01-01", rising=False)
    found = parts(one, draws=20).yearly()
    truth = one["reco"][: 48 * 366].sum() * 1800 * 12.011e-6
    assert found.index.tolist() == [2020, 2021] and found.loc[2020, "share"] == pytest.approx(1)
    assert found.loc[2020, "reco"] == pytest.approx(truth, rel=0.06)
    assert found.loc[2020, "low"] < found.loc[2020, "reco"] < found.loc[2020, "high"]
    assert np.isnan(found.loc[2021, "reco"]) and found.loc[2021, "share"] == pytest.approx(40 / 365, abs=0.001)


def test_same_seed_same_numbers():
    "Draws depend on the seed alone; a missing temperature leaves a missing respiration, and the share says so."
    one = tower(60)
    one.loc[100:147, "t"] = np.nan
    first, again, other = (parts(one, seed=seed) for seed in (1, 1, 2))
    assert first.interval == again.interval != other.interval and first.e0 == other.e0
    assert first.series["reco"].isnull().sum() == 48
    assert first.retrieved["reco"] == pytest.approx(1 - 48 / len(one))


def test_threshold_of_ustar_is_found():
    "The u* below which the flux falls is found to 0.1 m s⁻¹ in four towers, too high rather than too low."
    for seed in range(4):
        one = tower(360, noise=0.5, seed=seed, start="2020-01-01", rising=False)
        found = fluxes.ustar_threshold(one["time"], one["nee"], one["ustar"], one["t"], fluxes.night(one["light"]),
                                       draws=20)
        assert CALM - 0.05 < found.value < CALM + 0.1
        assert found.interval[0] < CALM + 0.1 and found.interval[1] > CALM and len(found.drawn) == 20
        assert set(found.table["season"]) == {1, 4, 7, 10} and found.found == 1
        assert found.retrieved == pytest.approx(found.table["threshold"].notna().mean())


def test_threshold_of_too_few_nights_is_refused():
    "Three days of nights tell no threshold; a season without enough says so in the table."
    one = tower(3)
    with pytest.raises(InputError, match="fewer than 160 values in the season"):
        fluxes.ustar_threshold(one["time"], one["nee"], one["ustar"], one["t"], fluxes.night(one["light"]))


def test_night_and_mixed():
    "Limits belong to the night and to mixed air; missing radiation or u* is neither."
    assert fluxes.night([0, 10, 10.1, np.nan]).tolist() == [True, True, False, False]
    assert fluxes.night([19.0], limit=20).all() and fluxes.mixed([0.3], [0.3]).all()
    assert not fluxes.mixed([np.nan], 0.0).any()
    with pytest.raises(InputError, match="u\\* of -9999"):
        fluxes.mixed([-9999.0], 0.3)


def test_what_is_wrong_is_told_in_one_line():
    "Codes of missing values, kelvin, disorder and lengths are named."
    one = tower(20)
    usable = fluxes.night(one["light"])
    wrong = [({"nee": one["nee"].fillna(-9999)}, "net exchange of -9999 .* at 2020-"),
             ({"t": one["t"] + 273.15}, "take 273.15 from kelvin"),
             ({"t": one["t"].where(one["t"] > 12, -9999)}, "below -46.02"),
             ({"time": one["time"][::-1]}, "not in order"),
             ({"nee": one["nee"][:-1]}, "of the same length"),
             ({"usable": usable[:-1]}, "True or False"),
             ({"usable": usable.astype(float)}, "True or False"),
             ({"usable": usable & False}, "0 of 960 values")]
    for change, said in wrong:
        given = {"time": one["time"], "nee": one["nee"], "t": one["t"], "usable": usable} | change
        with pytest.raises(InputError, match=said) as error:
            fluxes.partition(*given.values())
        assert "\n" not in str(error.value)


@pytest.mark.skipif(not THARANDT.is_file(), reason="PHENOLIB_ARCHIVE names no archive with a flux tower")
def test_tharandt_1998():
    "A spruce forest: threshold of u* as REddyProc has it of the same file, E₀ and respiration as of such forests."
    tower = flux_tower.read(THARANDT)
    nee, ustar, air = (tower[name] for name in ("nee", "ustar", "ta"))
    night = fluxes.night(tower["sw_in"])
    found = fluxes.ustar_threshold(tower["time"], nee, ustar, air, night, draws=30)
    assert found.value == pytest.approx(0.416, abs=0.03)  # its vignette "useCase"
    assert found.interval == pytest.approx((0.379, 0.611), abs=0.05)
    assert fluxes.filled(nee).sum() == 461
    usable = night & fluxes.mixed(ustar, 0.3)
    parts = fluxes.partition(tower["time"], nee.where(~fluxes.filled(nee)), air, usable, draws=20)
    assert 100 < parts.e0 < 250 and 2 < parts.r_ref < 4
    assert 1000 < parts.yearly().loc[1998, "reco"] < 1400 and parts.yearly().loc[1998, "share"] > 0.99
    filled = fluxes.partition(tower["time"], nee, air, usable, draws=2)
    assert filled.e0 < 50  # a model in its winter, see test_filled_values_win_the_choice_and_mislead
