import numpy as np
import pandas as pd
import pytest
import test_samples as planted

from phenolib import baselines, comparison, samples

EVENTS = samples.EVENTS


@pytest.fixture(scope="module")
def found():
    "Twelve sites in six clusters with three seasons each, all of them tested."
    rng = np.random.default_rng(1)
    sites = {f"s{k}": (f"c{k // 2}", "test", "corn", *(int(d) for d in (150, 260) + rng.integers(-9, 10, 2)), 0)
             for k in range(12)}
    return samples.of_archive(planted.Planted(sites))


@pytest.fixture(scope="module")
def days(found):
    "Off by +4 days; by −3 at random with two dates missing; and right."
    truth = baselines.truth(found)
    noisy = truth - 3 + np.random.default_rng(2).normal(0, 1, truth.shape)
    noisy[[0, 5], 1] = np.nan
    return {"late": truth + 4, "early": noisy, "right": truth.copy()}


def test_errors_are_those_of_the_bench_of_single_dates(found, days):
    "Mean, median, bias, share retrieved and number are those of ``metrics.days``; the mean row is that of four dates."
    rows = np.arange(len(found))
    table = comparison.table(found, days, rows)
    single = baselines.score(found, days["early"], rows)
    for event in EVENTS:
        row = table.loc[("early", event)]
        for name in ("mae", "median", "bias", "within15", "retrieved", "n"):
            expected = getattr(single[event], name)
            scale = single[event].retrieved if name == "within15" else 1  # of all dates, not of those retrieved
            assert row[name] == pytest.approx(expected * scale, abs=1e-6), (event, name)
        assert row["low"] <= row["mae"] <= row["high"]
    assert table.loc[("early", "mean"), "mae"] == pytest.approx(table.loc["early"].loc[list(EVENTS), "mae"].mean())
    assert table.loc[("late", "mean"), ["mae", "low", "high"]].to_numpy() == pytest.approx(4)


def test_intervals_draw_whole_clusters(found, days):
    "An error that is shared by a cluster has a wider interval than one that each season has for itself."
    cluster = found.table["cluster"].astype("category").cat.codes.to_numpy()
    together = baselines.truth(found) + np.array([0, 2, 4, 6, 8, 10])[cluster][:, None]
    alone = baselines.truth(found) + np.random.default_rng(0).permutation(np.repeat([0, 2, 4, 6, 8, 10], 6))[:, None]
    table = comparison.table(found, {"together": together, "alone": alone}, np.arange(len(found)))
    width = (table["high"] - table["low"]).xs("mean", level="event")
    assert table["mae"].to_numpy() == pytest.approx(5) and width["together"] > 1.5 * width["alone"]


def test_gain_is_paired_and_says_better_only_where_the_interval_does(found, days):
    "Right gains four days over late with no doubt at all; a method gains nothing over itself, and nothing is claimed."
    rows = np.arange(len(found))
    fill = baselines.crop_mean(found, rows)
    gain = comparison.gains(found, days | {"again": days["right"]}, rows, "right", ["late", "again"], fill=fill)
    assert gain.loc[("late", "mean"), "gain"] == pytest.approx(4) and gain.loc[("late", "mean"), "better"] is True
    assert gain.loc[("again", "mean"), "gain"] == 0 and gain.loc[("again", "mean"), "better"] is None
    assert comparison.gains(found, days, rows, "right", [], fill=fill).empty
    lost = comparison.gains(found, days, rows, "late", ["right"], fill=fill)
    assert lost.loc[("right", "sos20"), "better"] is False


def test_what_is_left_out_does_not_win(found, days):
    "A method that gives only its best dates is scored with the crop's mean day for the others."
    rows, picky = np.arange(len(found)), days["right"].copy()
    picky[3:] = np.nan
    fill = baselines.crop_mean(found, rows)
    gain = comparison.gains(found, days | {"picky": picky}, rows, "late", ["picky"], fill=fill)
    completed = np.abs(baselines.completed(found, picky, rows) - baselines.truth(found)).mean()
    assert gain.loc[("picky", "mean"), "gain"] == pytest.approx(completed - 4, abs=1e-6)


def test_moved_labels_take_the_grid_away(found):
    "A date on the nearest scene is right against the moved label, and off by the move against the camera's date."
    moved = found.windows().moved
    scene = baselines.truth(found) + moved
    assert np.abs(comparison.errors(found, scene, moved=True)).max() < 1e-9
    assert np.abs(comparison.errors(found, scene)) == pytest.approx(np.abs(moved))


def test_best_is_by_event(found, days):
    "The method with the least error at each date."
    table = comparison.table(found, days, np.arange(len(found)))
    assert set(comparison.best(table, ["late", "early"]).values()) == {"early"}


def test_table_to_read_has_the_share_retrieved(found, days):
    "A cell holds the error, its interval, and the share retrieved where it is not all."
    cells = comparison.cells(comparison.table(found, days, np.arange(len(found))))
    assert cells.loc["late", "SOS20"] == "4.0 [4, 4]" and "(94 %)" in cells.loc["early", "SOS50"]
    assert list(cells.columns) == ["SOS20", "SOS50", "EOS50", "EOS20", "MEAN"]


def test_dates_of_days(found, days):
    "Days since 1 January of the harvest year become the dates they stand for."
    dates = comparison.when(found, days["early"])
    assert np.isnat(dates[0, 1])
    assert (dates[0, 0] - found.newyear[0]) / samples.DAY == pytest.approx(days["early"][0, 0])


def test_published_numbers_are_split_at_their_names():
    "All 40 cells of Table 2 and 108 rows of the tables; a pattern that fits nothing gives an empty table."
    table = comparison.published(r"deepcrop\.t2\.(?P<site>\w+)\.(?P<method>\w+)\.(?P<event>\w+)\.mae")
    assert len(table) == 40 and table["value"].notna().all() and set(table["method"]) == {"ndvi", "deepcrop"}
    assert comparison.published(r"nothing\.(?P<a>\w+)").empty


def test_no_value_is_recorded_with_its_reason(found):
    "A method that retrieves nothing has no error, and says so."
    nothing = np.full((len(found), 4), np.nan)
    table = comparison.table(found, {"nothing": nothing}, np.arange(len(found)))
    assert comparison.result(table, "nothing") == {"value": None, "why": "nothing retrieved none of these dates"}
    assert pd.isna(table.loc[("nothing", "sos20"), "low"])
