import numpy as np
import pytest

from phenolib.errors import InputError
from phenolib.simulate import series as made

DATES = ("sos", "eos")


@pytest.fixture(scope="module")
def sets():
    "A few pixels of every kind."
    return {kind: made.series(kind, 60, seed=3) for kind in made.KINDS}


def plain(start=120.0, end=260.0, rate=0.08, pixels=2):
    "A plan with the same double-logistic season every year in every pixel."
    january = made.yearly(1)
    days, ones = np.arange(0.0, 1095, 5), np.ones((len(january), pixels))
    return made.Plan(np.full(pixels, "double_logistic"), np.full(pixels, 0.2), january + start * ones,
                     january + end * ones, 0.5 * ones, {"k1": rate * ones, "k2": rate * ones},
                     noise=np.zeros(pixels), **made.every(days, 0.3, 2))


@pytest.mark.parametrize("share", [10, 20, 50, 80])
def test_dates_of_a_logistic_are_those_of_its_equation(share):
    "A logistic of rate k reaches the share p at half − ln(1/p − 1) / k, and falls through it mirrored."
    plan = plain(rate=0.2)  # steep: the other side is below 1e-6 there
    known = made.truth(made.curves(plan, slice(0, 2)), plan, slice(0, 2), [share])
    away = np.log(100 / share - 1) / 0.2
    years = 365 * np.arange(3)
    assert np.allclose(known["sos"][..., 0], 120 - away + years, atol=0.01)
    assert np.allclose(known["eos"][..., 0], 260 + away + years, atol=0.01)


def test_each_side_of_gu_has_the_days_it_was_given():
    "Half of the rise is done on the half date, and a tenth to nine tenths take the width, at any exponent."
    t = np.arange(0, 400, 0.1)[None]
    for power in (0.3, 1.0, 4.0):
        rise = made.side(t, np.array([[200.0]]), np.array([[60.0]]), np.array([[power]]))[0]
        day = np.interp([0.1, 0.5, 0.9], rise, t[0])
        assert day[1] == pytest.approx(200, abs=0.02) and day[2] - day[0] == pytest.approx(60, abs=0.02)


def test_a_gaussian_has_the_half_dates_it_was_given():
    t = np.array([[80.0, 200.0]])
    value = made.gaussian(t, *np.array([[[80.0]], [[200.0]]]), left=np.array([[0.3]]), a1=np.array([[2.0]]),
                          a2=np.array([[5.0]]))
    assert np.allclose(value, 0.5, atol=1e-3)


@pytest.mark.parametrize("kind", made.KINDS)
def test_dates_agree_with_a_slow_walk(kind):
    "Walking from each trough to the peak, day by day on the curve, finds the dates that the fast search found."
    days, more = made.acquisitions(kind, 1)
    plan = made.DRAWS[kind](made.stream(1, kind, 0), days, **more)
    if not len(plan.start):
        return
    rows = slice(5, 12)
    value = made.curves(plan, rows)
    known = made.truth(value, plan, rows, [20, 50])
    peak, left, right = made.turns(value, plan.start[:, rows], plan.end[:, rows])
    for i in range(len(value)):
        for s in range(1, len(left)):
            for name, k, step in (("sos", left[s, i], 1), ("eos", right[s, i], -1)):
                top, low = value[i, peak[s + 1, i]], value[i, k]
                if top - low < made.SMALLEST:
                    continue
                while value[i, k] < low + np.float32(0.5) * (top - low):
                    k += step
                assert 0 <= step * (made.GRID[k] - known[name][i, s, 1]) <= made.STEP


@pytest.mark.parametrize("kind", made.KINDS)
def test_more_pixels_do_not_change_the_first_ones(kind, monkeypatch):
    "Neither in the same chunk of random numbers nor by a second chunk."
    monkeypatch.setattr(made, "CHUNK", 40)
    monkeypatch.setattr(made, "BLOCK", 16)
    few, many = made.series(kind, 21, seed=5), made.series(kind, 50, seed=5)
    assert few.identical(many.isel(pixel=slice(21)))
    assert not np.array_equal(many.clean[:10], many.clean[40:])


@pytest.mark.parametrize("kind", made.KINDS)
def test_same_seed_same_bytes(kind, sets):
    again, other = made.series(kind, 60, seed=3), made.series(kind, 60, seed=4)
    assert all(again[name].values.tobytes() == sets[kind][name].values.tobytes() for name in ("ndvi", *DATES))
    assert again.ndvi.values.tobytes() != other.ndvi.values.tobytes()


def test_flat_has_no_season(sets):
    "Nothing is true, the curve moves by less than the smallest season, and what is found there is false."
    flat = sets["flat"]
    assert not flat.complete.any() and flat.sos.isnull().all() and flat.season_start.isnull().all()
    assert float(np.ptp(flat.clean.values, 1).max()) < made.SMALLEST
    found = np.full((60, 1), 400.0)
    result = made.score(found, found + 100, flat, 20)
    assert np.isnan(result["found"]) and result["false"] == pytest.approx(100 / 3) and result["pairs"] == 0


@pytest.mark.parametrize("kind", [k for k in made.KINDS if k != "flat"])
def test_the_truth_scores_without_error(kind, sets):
    for share in (20, 50):
        dates = [sets[kind][name].sel(share=share) for name in DATES]
        result = made.score(*dates, sets[kind], share)
        assert result["found"] == 100 and result["false"] == 0 and result["true"] == result["pairs"] > 90
        assert result["mae_sos"] == result["mae_eos"] == result["p90_eos"] == result["bias_sos"] == 0


def test_score_counts_late_missed_and_false_seasons(sets):
    "Two days late is an error of two days; a season left out lowers the share; one in between is false."
    truth = sets["one_season"]
    sos, eos = (truth[name].sel(share=50).values.astype(float) for name in DATES)
    sos += 2
    sos[:30, 1] = np.nan
    false = np.full((60, 1), 365.0)  # a season of a few days in winter
    result = made.score(np.hstack([sos, false]), np.hstack([eos, false + 8]), truth, 50)
    assert result["found"] == pytest.approx(100 * (result["true"] - 30) / result["true"])
    assert result["false"] == pytest.approx(100 * 60 / result["true"])
    assert result["mae_sos"] == pytest.approx(2, abs=1e-3) and result["bias_sos"] == pytest.approx(2, abs=1e-3)
    assert result["mae_eos"] == 0


def test_what_is_found_in_an_incomplete_season_is_neither_found_nor_false(sets):
    truth = sets["irregular"]
    partial = ~truth.complete.values & np.isfinite(truth.season_start.values)
    found = [np.where(partial, truth[name].values, np.nan) for name in ("season_start", "season_end")]
    result = made.score(*found, truth, 20)
    assert partial.any() and result["found"] == result["false"] == 0


def test_dates_may_be_given_as_calendar_dates(sets):
    truth = sets["unequal"]
    dates = [np.datetime64(made.EPOCH, "ns") + (truth[name].sel(share=20).values * 86400).astype("timedelta64[s]")
             for name in DATES]
    assert made.score(*dates, truth, 20)["mae_sos"] < 1e-3


def test_winters_are_cloudier():
    "Of asymmetric series three of four values are missing in January, one of four in July."
    truth = made.series("asymmetric", 400)
    missing = truth.ndvi.isnull().groupby("time.month").mean(...)
    assert missing.sel(month=1) == pytest.approx(0.75, abs=0.03)
    assert missing.sel(month=7) == pytest.approx(0.25, abs=0.03)


def test_gap_shares_of_the_other_kinds(sets):
    for kind, share in {"one_season": 0.35, "two_seasons": 0.35, "unequal": 0.45, "flat_top": 0.4}.items():
        assert float(sets[kind].ndvi.isnull().mean()) == pytest.approx(share, abs=0.03)


def test_winter_crops_cross_new_year(sets):
    "Their 20 % start lies in the autumn before the harvest year, and start, peak and end follow each other."
    truth = sets["irregular"]
    winter = (truth.form == "winter_crop").values
    assert 15 < winter.sum() < 45
    second = truth.isel(season=1, pixel=winter).sel(share=20)
    good = second.complete.values
    assert good.all() and (second.sos.values < 365).all() and (second.eos.values > 365 + 120).all()
    assert (second.sos < second.peak).all() and (second.peak < second.eos).all()
    assert (second.year == 2022).all()


def test_irregular_dates_have_an_outage_and_uneven_steps(sets):
    step = np.diff(sets["irregular"].day)
    assert set(step[step < 30]) == {2, 3, 5, 8} and ((step >= 30) & (step < 70)).sum() == 1
    assert np.ptp(sets["irregular"].noise_factor.values) > 0.5


def test_complete_seasons_lie_inside_the_series(sets):
    "At least 20 days from either end; without a margin also those whose dates alone lie inside."
    for truth in sets.values():
        assert not (truth.sos < truth.day[0] + 20).any() and not (truth.eos > truth.day[-1] - 20).any()
    every = made.series("two_seasons", 60, seed=3, margin=None)
    assert every.complete.all() and not sets["two_seasons"].complete.all()


def test_any_share_gives_ordered_dates():
    truth = made.series("asymmetric", 30, shares=(50, 1, 99))
    assert list(truth.share.values) == [50, 1, 99]
    ordered = truth.isel(share=[1, 0, 2])
    good = truth.complete.values
    assert (np.diff(ordered.sos.values[good]) > 0).all() and (np.diff(ordered.eos.values[good]) < 0).all()


@pytest.mark.parametrize("options, word", [
    ({"kind": "one_seson"}, "did you mean 'one_season'"), ({"pixels": 0}, "pixels"), ({"seed": -1}, "seed"),
    ({"shares": (0, 50)}, "shares"), ({"shares": (0.2, 0.5)}, "shares"), ({"shares": ()}, "shares"),
    ({"shares": (20, 20)}, "shares"), ({"shares": ("20",)}, "shares"), ({"shares": (float("nan"),)}, "shares"),
    ({"margin": -1}, "margin"),
])
def test_what_cannot_be_made_is_named(options, word):
    with pytest.raises(InputError, match=word):
        made.series(**{"kind": "one_season", "pixels": 2} | options)


def test_score_names_what_does_not_fit(sets):
    truth = sets["flat"]
    with pytest.raises(InputError, match="share 30"):
        made.score(truth.peak, truth.peak, truth, 30)
    with pytest.raises(InputError, match="60 pixels"):
        made.score(truth.peak[:5], truth.peak[:5], truth, 20)
