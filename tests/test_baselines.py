import numpy as np
import pandas as pd
import pytest
import test_samples as planted

from phenolib import baselines, samples

LATE = {"corn": 12, "wheat": -4}  # days by which the satellites are behind the camera


@pytest.fixture(scope="module")
def found():
    "Fourteen sites, two crops, satellites late by a number that depends on the crop."
    rng = np.random.default_rng(0)
    sites = {}
    for k in range(14):
        crop = ("corn", "wheat")[k % 2]
        start, end = ((150, 260) if crop == "corn" else (105, 190)) + rng.integers(-12, 13, 2)
        sites[f"s{k}"] = (f"c{k}", "test" if k < 4 else "train", crop, int(start), int(end), LATE[crop])
    return samples.of_archive(planted.Planted(sites))


@pytest.fixture(scope="module")
def sides(found):
    test = (found.table["split"] == "test").to_numpy()
    return np.flatnonzero(~test), np.flatnonzero(test)


def errors(found, days, rows):
    return np.array([error.mae for error in baselines.score(found, days, rows).values()])


def test_threshold_shows_the_planted_delay(found):
    "NDVI at the study's shares is late by what was planted, per crop."
    off = pd.DataFrame(baselines.threshold(found) - baselines.truth(found)).groupby(found.table["crop"]).median()
    assert np.abs(off.loc["corn"] - LATE["corn"]).max() < 2 and np.abs(off.loc["wheat"] - LATE["wheat"]).max() < 2


def test_offset_per_crop_takes_the_delay_away(found, sides):
    "With an offset for each crop the test sites are right to two days."
    train, test = sides
    days = baselines.threshold(found)
    own = baselines.without_offset(found, days, train, by_crop=True)
    raw, own = errors(found, days, test), errors(found, own, test)
    assert (own < 2).all() and (own < raw - 3).all()


def test_fitted_threshold_is_no_worse_than_the_studys(found, sides):
    "The share with the least error on training seasons is at least as good there as 20 and 50 %."
    train, _ = sides
    study = errors(found, baselines.threshold(found), train)
    pooled = errors(found, baselines.fitted_threshold(found, train), train)
    own = errors(found, baselines.fitted_threshold(found, train, by_crop=True), train)
    assert (pooled <= study + 1e-9).all() and (own <= pooled + 1e-9).all() and (own < study - 1).any()


def test_crop_mean_is_the_mean_of_the_crop(found, sides):
    "The calendar of a crop is the mean of its training sites."
    train, test = sides
    days, truth = baselines.crop_mean(found, train), baselines.truth(found)
    corn = found.table["crop"].to_numpy() == "corn"
    assert days[test[corn[test]]][0] == pytest.approx(truth[train[corn[train]]].mean(0))


def test_test_sites_do_not_teach(found, sides):
    "Other dates at the test sites change no prediction of any baseline."
    train, test = sides
    table = found.table.copy()
    for event in samples.EVENTS:
        table.loc[table.index[test], event] += pd.Timedelta(40, "D")
    moved = samples.Samples(table, found.places, found.steps, found.looks, found.slide)
    first, second = baselines.every(found, train), baselines.every(moved, train)
    assert list(first) == list(second) and len(first) == 11
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_forest_learns_the_delay(found, sides):
    "A forest on the series around the window is better than the crop's mean day, and the same for the same seed."
    train, test = sides
    days = baselines.forest(found, train, trees=60)
    assert np.isfinite(days).all() and (days == baselines.forest(found, train, trees=60)).all()
    assert errors(found, days, test).mean() < errors(found, baselines.crop_mean(found, train), test).mean()


def test_radar_stands_in_for_clouds():
    "Where clouds hide the spring, VH/VV gives a start that NDVI alone does not; in clear series it changes little."
    hidden = range(22, 36)  # end of April to June of the first year
    sites = {"a": ("farm", "train", "corn", 150, 260, 0)}
    cloudy = samples.of_archive(planted.Planted(sites, cloudy=hidden))
    alone, both = (baselines.threshold(cloudy, curve) for curve in ("NDVI", "NDVI+CR"))
    assert np.isnan(alone[0, 0]) and np.abs(both - baselines.truth(cloudy))[0].max() < 8
    series, weight = baselines.with_radar(cloudy.places["a"])
    assert series["time"].to_index().is_monotonic_increasing and 0.8 < float(weight.min()) <= 1


def test_what_is_not_retrieved_counts(found, sides):
    "A missing day lowers the share retrieved, and is the crop's mean day where methods are compared on all dates."
    train, test = sides
    days = baselines.threshold(found)
    days[test[0], 0] = np.nan
    error = baselines.score(found, days, test)["sos20"]
    assert error.retrieved == pytest.approx(1 - 1 / test.size) and error.n == test.size - 1
    assert baselines.completed(found, days, train)[test[0], 0] == baselines.crop_mean(found, train)[test[0], 0]
