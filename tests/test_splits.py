import numpy as np
import pandas as pd
import pytest

from phenolib import splits
from phenolib.errors import InputError


@pytest.fixture
def table():
    "Twelve sites in ten clusters over four years; mead1, mead2 and mead3 form one, of which two are tested."
    sites = ["mead1", "mead2", "mead3", *(f"s{k}" for k in range(9))]
    rows = pd.DataFrame([{"site": s, "year": y} for s in sites for y in range(2017, 2021)])
    middle = pd.to_datetime(rows["year"].astype(str) + "-07-01")
    return rows.assign(season=rows["site"] + "_" + rows["year"].astype(str),
                       cluster=rows["site"].where(~rows["site"].str.startswith("mead"), "mead"),
                       split=np.where(rows["site"].isin(["mead2", "mead3"]), "test", "train"),
                       **{e: middle + pd.Timedelta(d, "D") for e, d in zip(splits.EVENTS, (-60, -50, 50, 60))},
                       first=middle - pd.Timedelta(100, "D"), last=middle + pd.Timedelta(100, "D"))


def test_neighbours_of_test_sites_are_on_no_side(table):
    "The five test sites' way: mead2 and mead3 are tested, mead1 beside them is neither tested nor trained on."
    split = splits.leave_cluster_out(table, validation=0.3)
    assert set(table["site"].iloc[split.test]) == {"mead2", "mead3"}
    assert "mead1" not in set(table["site"].iloc[np.r_[split.train, split.validation]])
    sides = [set(table["cluster"].iloc[rows]) for rows in vars(split).values()]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2]) and len(sides[1]) == 3
    splits.refuse_leakage(table.iloc[split.train], table.iloc[split.test])


def test_named_clusters_are_tested(table):
    "Given clusters are tested with all their sites; an unknown one is refused with near names."
    split = splits.leave_cluster_out(table, ["mead", "s3"])
    assert set(table["site"].iloc[split.test]) == {"mead1", "mead2", "mead3", "s3"}
    with pytest.raises(InputError, match="did you mean 'mead'"):
        splits.leave_cluster_out(table, ["maed"])
    with pytest.raises(InputError, match="no sample to test on"):
        splits.leave_cluster_out(table.assign(split="train"))


def test_every_cluster_is_tested_once(table):
    "Over all folds every row is tested exactly once, and the same seed deals the same folds."
    for folds in (None, 4):
        parts = splits.each_cluster(table, folds=folds, seed=1)
        assert len(parts) == (folds or 10)
        assert sorted(np.concatenate([p.test for p in parts])) == list(range(len(table)))
        for part, again in zip(parts, splits.each_cluster(table, folds=folds, seed=1)):
            splits.refuse_leakage(table.iloc[part.train], table.iloc[part.test])
            assert (part.train == again.train).all() and (part.validation == again.validation).all()


def test_years_are_held_out_without_overlapping_windows(table):
    "Windows that reach into the tested year are on no side."
    split = splits.leave_years_out(table, [2019])
    assert set(table["year"].iloc[split.test]) == {2019} and set(table["year"].iloc[split.train]) == {2017, 2018, 2020}
    splits.refuse_leakage(table.iloc[split.train], table.iloc[split.test], clusters=False)
    wide = table.assign(last=table["last"] + pd.Timedelta(200, "D"))
    split = splits.leave_years_out(wide, [2019])
    assert set(wide["year"].iloc[split.train]) == {2017}
    splits.refuse_leakage(wide.iloc[split.train], wide.iloc[split.test], clusters=False)


def test_images_between_seasons_may_be_shared(table):
    "Less strictly, windows may share a winter, but not reach into the season of the other side."
    for longer, kept in ((220, {2017}), (180, {2017, 2018, 2020})):  # the next season begins 205 days after a window
        wide = table.assign(last=table["last"] + pd.Timedelta(longer, "D"))
        split = splits.leave_years_out(wide, [2019], strict=False)
        assert set(wide["year"].iloc[split.train]) == kept
        rows = wide.iloc[split.train], wide.iloc[split.test]
        splits.refuse_leakage(*rows, clusters=False, strict=False)
    with pytest.raises(InputError, match="overlaps"):
        splits.refuse_leakage(*rows, clusters=False)


def test_random_split_leaks(table):
    "A random split has the same farms on both sides, and is refused where it matters."
    split = splits.at_random(table, test=0.25)
    assert sorted(np.concatenate(list(vars(split).values()))) == list(range(len(table))) and split.test.size == 12
    with pytest.raises(InputError, match="the cluster '.*' is trained on and tested"):
        splits.refuse_leakage(table.iloc[split.train], table.iloc[split.test])


def test_overlapping_windows_are_refused(table):
    "Two windows of one site that share a day are named."
    train, test = table[table["season"] == "s1_2018"], table[table["season"] == "s1_2019"]
    splits.refuse_leakage(train, test, clusters=False)
    with pytest.raises(InputError, match="the window of 's1_2019' overlaps"):
        splits.refuse_leakage(train.assign(last=test["first"].iloc[0]), test, clusters=False)


def test_scaler_is_that_of_the_training_part():
    "Mean and SD are those of the fitted values that are there; a constant channel is only moved."
    rng = np.random.default_rng(0)
    values = rng.normal([5, -20], [2, 0], (40, 30, 4, 4, 2)).astype(np.float32)
    mask = rng.random((40, 30)) < 0.7
    values[~mask] = 1e6
    scaler = splits.Scaler.fit(values, mask)
    scaled = scaler.apply(values)[mask]
    assert scaled.dtype == np.float32 and scaled.mean((0, 1, 2)) == pytest.approx([0, 0], abs=1e-3)
    assert scaled[..., 0].std() == pytest.approx(1, abs=1e-3) and scaler.sd[1] == 1
