import numpy as np
import pandas as pd
import pytest
import torch

import phenolib as ph
from phenolib import leaf_models as lm
from phenolib.errors import InputError
from phenolib.nets.leaf import CROPS, DRIVERS
from phenolib.simulate import plots
from phenolib.simulate.plot_growth import Settings

CROP = {2015: "corn", 2016: "winter_wheat"}


@pytest.fixture(autouse=True, scope="module")
def fixed():
    "One thread, and what was asked of torch before."
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def store(tmp_path, monkeypatch):
    "A store of models of its own."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    "Two harvest years of simulated plots."
    folder = tmp_path_factory.mktemp("plots")
    plots.make(folder, settings=Settings(first=2017, last=2018))
    return ph.open_archive(folder)


def planted(model, *, years=range(2012, 2018), noise=0.0, seed=0, every=5):
    "Seasons of three plots and both crops whose EVI2 a model makes of made-up weather."
    draw, rows, drivers, time = np.random.default_rng(seed), [], [], []
    for year in years:
        days = pd.date_range(f"{year - 1}-11-01", periods=lm.DAYS)
        wave = 10 - 8 * np.cos(2 * np.pi * (days.day_of_year.to_numpy() - 20) / 365)
        warmth = wave + draw.normal(0, 2) + draw.normal(0, 3, lm.DAYS)
        for k, treatment in enumerate(("dry", "rain", "wet")):
            crop = list(CROPS)[(year + k) % 2]
            sown = pd.Timestamp(year - 1, 10, 20) if crop == "winter_wheat" else pd.Timestamp(year, 4, 25)
            since = np.asarray((days - sown) / pd.Timedelta(1, "D"))
            made = dict.fromkeys(DRIVERS, 0.0)
            made |= {"t_mean": warmth, "t_min": warmth - 5, "t_max": warmth + 5, "soil_temperature": wave,
                     "day_length": lm.day_length(50.9, days.day_of_year.to_numpy()), "vpd": 0.8, "rain": 2.0,
                     "wet_10": -2.6, "wet_40": -2.4, "wet_80": -2.2, "since": np.clip(since, 0, 300),
                     "sown": (since > 0).astype(float), crop: 1.0}
            drivers.append(np.stack([np.broadcast_to(made[name], lm.DAYS) for name in DRIVERS], -1))
            time.append(days.values.astype("datetime64[D]"))
            rows.append((f"P{k}", year, crop, treatment, sown))
    table = pd.DataFrame(rows, columns=["plot", "season", "crop", "treatment", "sowing"])
    nothing = np.full((len(table), lm.DAYS), np.nan)
    leaves = lm.Leaves(table, np.stack(time), np.stack(drivers), nothing, None)
    truth = model(leaves)
    seen = np.where(np.arange(lm.DAYS) % every == 2, truth + noise * draw.standard_normal(truth.shape), np.nan)
    return lm.Leaves(table, leaves.time, leaves.drivers, seen, truth)


def by_warmth(leaves):
    "A double logistic in thermal time above 3 °C."
    crop = leaves.table["crop"].to_numpy()[:, None]
    middle, end = np.where(crop == "corn", 350.0, 450.0), np.where(crop == "corn", 1100.0, 1200.0)
    warmth = lm.thermal_sum(leaves, 3.0)
    return 0.08 + 0.6 * (1 / (1 + np.exp((middle - warmth) / 70)) - 1 / (1 + np.exp((end - warmth) / 50)))


RULES = {"winter_wheat": (3.0, 0.1, 2.2, 0.15, 0.08, 0.6), "corn": (7.0, 0.2, 0.9, 0.1, 0.06, 0.7)}


def by_rules(leaves):
    "The rules, integrated."
    p = np.array([RULES[crop] for crop in leaves.table["crop"]]).T[..., None]
    return lm._integrate(p, *lm._speed(leaves, 0.0))


def test_seasons_of_an_archive(archive):
    "Every plot-season becomes 365 days from November with drivers without gaps, composites and truth."
    leaves = lm.of_archive(archive)
    assert len(leaves) == 12 and leaves.drivers.shape == (12, 365, len(DRIVERS))
    assert np.isfinite(leaves.drivers).all() and np.isfinite(leaves.truth).all()
    assert 20 < np.isfinite(leaves.observed).sum(1).mean() < 50
    assert str(leaves.time[0, 0])[5:] == "11-01"
    weeks = lm.in_weeks(leaves)
    assert np.sqrt(np.nanmean(np.where(weeks, leaves.observed - leaves.truth, np.nan) ** 2)) < 0.1
    only = lm.of_archive(archive, left_out=(2017,))
    assert set(only.table["season"]) == {2018} and np.array_equal(only.drivers, leaves.take(
        leaves.table["season"] == 2018).drivers)


def test_later_values_change_nothing_before(archive, monkeypatch):
    "A sensor that is silent keeps its last value: what it says afterwards does not reach back."
    leaves = lm.of_archive(archive)
    day = leaves.time[0, 200].astype("datetime64[ns]")
    soil = archive.plot_soil()
    monkeypatch.setattr(archive, "plot_soil", lambda: soil.where(soil["time"] < day))
    other = lm.of_archive(archive)
    first = leaves.table["season"] == leaves.table["season"][0]
    assert np.array_equal(leaves.take(first).drivers[:, :200], other.take(first).drivers[:, :200])


@pytest.mark.parametrize("column, value, words", [("crop", "maize", "'maize' has no limits"),
                                                  ("sowing", pd.NaT, "no sowing date")])
def test_seasons_that_cannot_be_modelled_are_named(archive, monkeypatch, column, value, words):
    "A crop without limits and a season without a sowing date are refused by name."
    table = archive.plot_seasons.copy()
    table.loc[0, column] = value
    monkeypatch.setitem(vars(archive), "plot_seasons", table)
    with pytest.raises(InputError, match=words):
        lm.of_archive(archive)


def test_folds_leave_years_and_treatments_out():
    "Each year and each treatment is unseen once, and no part of a fold shares what it must not."
    table = planted(by_warmth).table
    found = lm.folds(table)
    assert sorted(y for f in found for y in f.held_years) == sorted(set(table["season"]))
    assert {f.held_treatment for f in found} == {"dry", "rain", "wet"}
    for fold in found:
        parts = np.concatenate([fold.train, fold.years, fold.treatment, fold.both])
        assert sorted(parts) == list(range(len(table)))
        train, both = table.iloc[fold.train], table.iloc[fold.both]
        assert not set(train["season"]) & set(both["season"]) and not set(train["treatment"]) & set(both["treatment"])


def test_leakage_is_refused():
    "A year, a treatment or a season of a plot on both sides is named, whatever archive the tested rows come from."
    table = planted(by_warmth).table
    dry, wet = table[table["treatment"] == "dry"], table[table["treatment"] == "wet"]
    with pytest.raises(InputError, match="season '2012'"):
        lm.refuse_leakage(dry, wet)
    lm.refuse_leakage(dry, wet, years=False)
    with pytest.raises(InputError, match="treatment 'dry'"):
        lm.refuse_leakage(dry[dry["season"] < 2014], dry[dry["season"] > 2014])
    with pytest.raises(InputError, match="plot P0 in 2012"):
        lm.refuse_leakage(dry, dry, years=False, treatments=False)
    with pytest.raises(InputError, match="two treatments"):
        lm.folds(dry)


def test_thermal_time_recovers_what_was_planted():
    "Base temperature and requirements come back from noisy composites, and hold in weather 3 K warmer."
    leaves = planted(by_warmth, noise=0.02)
    model = lm.thermal_time(leaves, np.arange(len(leaves)))
    found = model.parameters
    assert np.allclose(found["T_b"], 3, atol=1)
    assert np.allclose(found.loc["corn", ["S_1", "S_2"]].astype(float), [350, 1100], rtol=0.1)
    drivers = leaves.drivers.copy()
    drivers[..., 0] += 3
    warm = lm.replace(leaves, drivers=drivers)
    assert np.sqrt(np.mean((model(warm) - by_warmth(warm)) ** 2)) < 0.02


def test_rules_recover_what_was_planted():
    "The constants of the rules come back from seasons that the rules made."
    leaves = planted(by_rules, noise=0.01)
    model = lm.rules_alone(leaves, np.arange(len(leaves)))
    planted_constants = np.array([RULES[crop][:4] for crop in CROPS]).T
    assert np.allclose(model.constants[2], planted_constants[2], rtol=0.05)
    assert np.sqrt(np.mean((model(leaves) - leaves.truth) ** 2)) < 0.01


def test_climatology_and_season_index():
    "The mean season is that of the crop, and the index lies between 0 and 1, low in winter."
    leaves = planted(by_warmth)
    rows = np.arange(len(leaves))
    mean = lm.climatology(leaves, rows)(leaves)
    same = leaves.table["crop"].to_numpy() == leaves.table["crop"][0]
    assert np.allclose(mean[same], mean[0]) and np.sqrt(np.mean((mean - leaves.truth) ** 2)) < 0.1
    index = lm.season_index(leaves)
    assert index.min() >= 0 and index.max() <= 1 and index[:, 60:80].mean() < 0.1 < index[:, 220:260].mean()
    assert lm.growing_season_index(leaves, rows)(leaves).shape == leaves.truth.shape


def test_violations_are_counted():
    "A rise on frosty days and a second hump are found, and a smooth season has none."
    leaves = planted(by_warmth)
    assert max(share.mean() for share in lm.violations(leaves.truth, leaves).values()) < 0.002
    curve = leaves.truth + 0.3 * np.exp(-0.5 * ((np.arange(lm.DAYS) - 340) / 6) ** 2)
    assert 5 <= lm.violations(curve, leaves)["second"].sum(1).mean() <= 30
    drivers = leaves.drivers.copy()
    drivers[..., 0] = -1
    cold = lm.violations(leaves.truth, lm.replace(leaves, drivers=drivers))
    assert cold["cold"].sum(1).min() > 10


def test_errors_and_their_ratio():
    "Half the error in every season is a ratio of one half, whatever years are drawn."
    leaves = planted(by_warmth)
    far, near = (lm.mean_square(leaves.truth + e, leaves) for e in (0.1, 0.05))
    years = leaves.table["season"]
    assert lm.root_mean(far, years)["value"] == pytest.approx(0.1)
    ratio = lm.root_mean(near, years, over=far)
    assert ratio["value"] == pytest.approx(0.5) and ratio["interval"] == pytest.approx((0.5, 0.5))
    assert lm.root_mean(np.full(3, np.nan), [1, 2, 3])["value"] is None


def test_dates_of_curves():
    "Dates of a planted double logistic lie within three days of its own."
    leaves = planted(by_warmth).take(np.arange(3))
    found = lm.dates(leaves.truth, leaves)
    for row, curve, time in zip(leaves.table.itertuples(), leaves.truth, leaves.time):
        half = time[np.argmax(curve > curve.min() + 0.5 * np.ptp(curve))]
        date = found[(found["plot"] == row.plot) & (found["event"] == "sos50")]["date"].iloc[0]
        assert abs(date - pd.Timestamp(half)) <= pd.Timedelta(3, "D")


def test_invented_weather():
    "Weather is changed within its limits, the crop, its sowing and the length of the day are not."
    drivers = lm._tensor(planted(by_warmth).drivers)
    made = lm.invented(drivers, torch.Generator().manual_seed(1))
    same = [DRIVERS.index(name) for name in ("day_length", "since", "sown", *CROPS)]
    assert torch.equal(made[..., same], drivers[..., same])
    change = (made - drivers)[..., 0]
    assert -3 <= change.min() < -1 and 4 < change.max() <= 6 and (change.amax(1) - change.amin(1)).max() < 1e-4
    assert torch.equal(made, lm.invented(drivers, torch.Generator().manual_seed(1)))


def test_network_is_stored_and_learns(store):
    "A short training beats the mean of all days, comes back from the store as it was, and knows its noise."
    leaves = planted(by_rules, noise=0.01)
    rows = np.arange(12)
    settings = dict(members=1, epochs=12, seed=3, archive="planted")
    model = lm.network(leaves, rows, **settings)
    rest = leaves.take(np.arange(12, len(leaves)))
    error = np.sqrt(np.nanmean((model(rest) - rest.observed) ** 2))
    assert error < 0.8 * np.nanstd(rest.observed) and model.noise > 0
    again = lm.network(leaves, rows, **settings)
    assert np.array_equal(again(rest), model(rest)) and again.history == model.history
    assert (model.spread(rest) >= model.noise - 1e-6).all()
    free = lm.network(leaves, rows, weights=lm.FREE, **settings)
    assert not np.array_equal(free(rest), model(rest))


def test_network_refuses(store):
    "An unknown rule, seasons without composites, and a crop that is not there are named."
    leaves = planted(by_warmth)
    with pytest.raises(InputError, match="rule 'grwth'"):
        lm.network(leaves, [0], weights={"grwth": 1.0})
    with pytest.raises(InputError, match="no clear composite"):
        lm.network(lm.replace(leaves, observed=np.full_like(leaves.observed, np.nan)), [0, 1])
    with pytest.raises(InputError, match="no composite of corn"):
        lm.network(leaves, np.flatnonzero(leaves.table["crop"] == "winter_wheat"))


def test_scores_of_every_part():
    "Each part of each fold is scored once by a model that saw neither its year nor its treatment; leaks are refused."
    leaves = planted(by_warmth)
    folds = lm.folds(leaves)
    fits = {"mean": [lm.climatology(leaves, fold.train) for fold in folds]}
    table = lm.scores(fits, leaves, folds, leaves)
    counts = table.groupby("part").size()
    assert counts[lm.FAR] == len(leaves) and counts["both unseen"] == sum(len(f.both) for f in folds)
    assert (table["square"] > 0).all() and table["any"].between(0, 1).all()
    swapped = [lm.replace(fold, held_years=folds[k - 1].held_years) for k, fold in enumerate(folds)]
    with pytest.raises(InputError, match="trained on and tested"):
        lm.scores(fits, leaves, swapped, leaves)
