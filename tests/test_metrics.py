import numpy as np
import pandas as pd
import pytest

from phenolib import metrics
from phenolib.errors import InputError

DATES = pd.to_datetime(["2018-05-01", "2019-05-01", "2020-05-01", "2021-05-01"])


def test_errors_of_known_differences():
    "Differences of 1, −3, 8 days and one missing date give their mean, bias, shares and what was retrieved."
    found = DATES + pd.to_timedelta([1, -3, 8, 0], "D")
    found = found.where([True, True, True, False])
    error = metrics.days(found, DATES)
    assert (error.mae, error.bias, error.median, error.n, error.retrieved) == (4.0, 2.0, 3.0, 3, 0.75)
    assert error.within5 == pytest.approx(2 / 3) and error.rmse == pytest.approx(np.sqrt(74 / 3))
    assert error.interval[0] <= error.mae <= error.interval[1]


def test_share_within_counts_the_bound_itself():
    "Errors of 5, 10 and 15 days lie within 5, 10 and 15; early or late is the same."
    error = metrics.days(DATES + pd.to_timedelta([5, -10, 15, -16], "D"), DATES)
    assert (error.within5, error.within10, error.within15) == (0.25, 0.5, 0.75)


def test_whole_sites_are_drawn():
    "When the sites disagree, drawing sites gives a wider interval than drawing dates."
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(8), 20)
    difference = (3 * rng.normal(size=8))[site] + rng.normal(size=160)
    reference = np.full(160, np.datetime64("2020-05-01", "ns"))
    found = reference + (difference * 86400e9).astype("timedelta64[ns]")
    wide, narrow = metrics.days(found, reference, groups=site), metrics.days(found, reference)
    span = [e.intervals["bias"][1] - e.intervals["bias"][0] for e in (wide, narrow)]
    assert span[0] > 1.5 * span[1]


def test_one_site_has_no_interval():
    "A single group says nothing about the spread between groups."
    error = metrics.days(DATES, DATES, groups=["a"] * 4)
    assert np.isnan(error.interval).all() and error.mae == 0


def test_nothing_to_compare_is_not_a_number():
    "No pairs give NaN, not an error."
    error = metrics.days(DATES.where([False] * 4), DATES)
    assert np.isnan(error.mae) and error.n == 0 and error.retrieved == 0


def test_match_is_best_in_sum_and_uses_a_date_once():
    "Two references near one found date: the nearer gets it, the other goes without."
    found = pd.to_datetime(["2020-05-10", "2020-09-01"])
    reference = pd.to_datetime(["2020-05-08", "2020-05-20", "2020-09-05", "2021-01-01"])
    assert metrics.match(found, reference, within=30).tolist() == [0, -1, 1, -1]


def test_match_events_keeps_series_apart():
    "Dates of one camera are never matched to another's."
    found = pd.DataFrame({"series": ["a", "b"], "direction": "rising", "share": 50, "date": DATES[:2]})
    reference = pd.DataFrame({"series": ["a", "a"], "direction": "rising", "share": 50, "date": DATES[:2]})
    rows = metrics.match_events(found, reference, within=10)
    assert rows["difference"].iloc[0] == 0 and pd.isna(rows["found"].iloc[1])


def test_lengths_must_agree():
    "Dates are compared in pairs."
    with pytest.raises(InputError, match="give pairs"):
        metrics.days(DATES, DATES[:2])


def test_false_events_lie_within_the_reference_and_have_no_partner():
    "A date without a reference counts as false only where the reference looked."
    reference = pd.DataFrame({"series": "a", "direction": "rising", "share": 50, "date": DATES})
    found = pd.DataFrame({"series": "a", "direction": "rising", "share": 50,
                          "date": [*(DATES + pd.Timedelta(2, "D"))[:3], pd.Timestamp("2019-11-01"),
                                   pd.Timestamp("2012-05-01")]})
    both = metrics.match_events(found, reference)
    assert metrics.false_events(found, both).tolist() == [False, False, False, True]


def test_the_honest_interval_has_the_best_score():
    "Of intervals around a normal variable the score is least for the true quantiles, not wider and not narrower."
    y = np.random.default_rng(0).normal(size=20000)
    scores = {half: metrics.interval_score(0 * y - half, 0 * y + half, y).mean() for half in (1.0, 1.645, 2.6)}
    assert scores[1.645] < min(scores[1.0], scores[2.6])
    assert np.isnan(metrics.interval_score([0.0], [np.nan], [1.0])).all()
    with pytest.raises(InputError, match="level = 90"):
        metrics.interval_score([0.0], [1.0], [0.5], level=90)


def test_coverage_counts_what_is_known():
    "Three of four known truths lie inside; the missing one is left out; dates count like numbers."
    low, high = np.zeros(5), np.ones(5)
    held = metrics.coverage(low, high, [0.5, 0.0, 1.0, 2.0, np.nan])
    assert held["value"] == 0.75 and held["n"] == 4 and held["interval"][0] < 0.75 < held["interval"][1]
    assert metrics.coverage(DATES[:1], DATES[1:2], DATES[:1])["value"] == 1
    assert metrics.coverage([0.0], [np.nan], [1.0])["value"] is None


def test_coverage_draws_groups_as_a_whole():
    "Where all dates of a pixel are right or wrong together, the interval of the coverage is wider."
    pixel = np.repeat(np.arange(40), 25)
    truth = np.where(pixel % 4 == 0, 2.0, 0.5)
    spans = [np.ptp(metrics.coverage(0 * truth, 0 * truth + 1, truth, groups=g)["interval"]) for g in (None, pixel)]
    assert spans[1] > 2 * spans[0]


def test_quarters_by_width_show_who_is_too_sure():
    "When only the narrow intervals miss, the first quarter says so."
    width = np.repeat([1.0, 2.0, 3.0, 4.0], 10)
    table = metrics.by_width(0 * width, width, np.full(40, 1.5))
    assert table["coverage"].tolist() == [0.0, 1.0, 1.0, 1.0] and table["n"].tolist() == [10] * 4


def test_means_of_groups_are_those_of_the_bootstrap():
    "Mean and percentile interval agree with ``bootstrap`` to the noise of the draws; missing values are left out."
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 12, 200)
    values = rng.normal(size=12)[labels] + rng.normal(size=200)
    mean, drawn = metrics.group_means(np.stack([values, np.where(labels == 3, np.nan, values)]), labels, draws=4000)
    for k, some in enumerate((np.ones(200, bool), labels != 3)):
        known, interval = metrics.bootstrap(values[some], labels[some], {"it": np.mean}, draws=4000)
        assert mean[k] == pytest.approx(known["it"])
        assert np.array(metrics.percentiles(drawn[k])) == pytest.approx(np.array(interval["it"]), abs=0.08)
