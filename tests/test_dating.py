from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import test_samples as planted
import torch

from phenolib import baselines, conformal, dating, samples, splits, tasks
from phenolib.errors import InputError

TASKS = [tasks.Patches, tasks.Acquisitions]
FEW = dict(epochs=2, members=2, progress=False)  # what takes a second
LATE = 8  # days by which the satellites are behind the camera


@pytest.fixture(autouse=True, scope="module")
def threads():
    "One thread, and what was asked of torch before."
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory, found):
    "A store of its own, once the samples are there: what numba compiled lies in the other one."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHENOLIB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def found():
    "Fourteen sites of thirteen clusters whose seasons begin and end on their own days, the first four to test."
    rng = np.random.default_rng(0)
    sites = {f"s{k:02}": (f"c{k - (k == 9)}", "test" if k < 4 else "train", "corn", int(150 + rng.integers(-20, 21)),
                          int(260 + rng.integers(-20, 21)), LATE) for k in range(14)}
    return samples.of_archive(planted.Planted(sites))


@pytest.fixture(scope="module")
def split(found):
    return splits.leave_cluster_out(found, validation=0.2, seed=1)


def changed(found, rows, change):
    "The samples with other satellite series at the sites of some rows."
    sites = set(found.table["site"].iloc[rows])
    return replace(found, places={name: change(place) if name in sites else place
                                  for name, place in found.places.items()})


def brighter(place):
    return replace(place, optical=place.optical + 5, sar=place.sar - 40, pixel=place.pixel + 5, radar=place.radar * 9)


def epoch(task, seed=0, number=1):
    return list(task.batches(number, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("kind", TASKS)
def test_batches_are_the_same_for_the_same_generator(found, split, kind):
    "One generator state gives one epoch; another gives another."
    task = kind(found, split)
    first, again, other = epoch(task), epoch(task), epoch(task, seed=1)
    assert all(torch.equal(a[k], b[k]) for a, b in zip(first, again) for k in a)
    assert not all(torch.equal(a[k], b[k]) for a, b in zip(first, other) for k in a)


def traced(task, monkeypatch):
    "The rows that a task will be asked for, a list for each batch."
    met, read = [], task.tensors
    monkeypatch.setattr(task, "tensors", lambda rows, *more: met.append(rows) or read(rows, *more))
    return met


@pytest.mark.parametrize("kind", TASKS)
def test_an_epoch_gives_each_training_season_once(found, split, kind, monkeypatch):
    "No season twice, none of validation or test, and no batch larger than asked."
    task = kind(found, split, batch=7)
    met = traced(task, monkeypatch)
    epoch(task)
    assert sorted(np.concatenate(met)) == sorted(split.train) and max(map(len, met)) <= 7


def test_windows_are_drawn_at_other_offsets_and_keep_their_labels(found, split):
    "The offset is drawn for each season of an epoch, and the target names the scene nearest to the camera's date."
    task = tasks.Patches(found, split, batch=50)
    targets = [epoch(task, seed)[0]["target"] for seed in range(6)]
    assert len({int(x) for target in targets for x in target[:, 1]}) > 5
    windows = found.windows(split.train)
    days = np.take_along_axis(windows.optical_days, windows.target.clip(0, found.steps - 1), 1)
    inside = (windows.target >= 0) & (windows.target < found.steps)
    assert np.abs(days - windows.true_day)[inside].max() <= 2.5 + 1e-6  # half of the distance of scenes


def test_acquisitions_move_with_the_dates_and_some_are_left_out(found, split, monkeypatch):
    "Days and dates of a season move alike by up to 10, the middle as far back; up to 30 % are dropped, none is added."
    task = tasks.Acquisitions(found, split, batch=50)
    met = traced(task, monkeypatch)
    other = epoch(task)[0]
    plain = task.tensors(met[0])
    move = (plain["middle"] - other["middle"])[:, None]
    assert move.abs().max() <= 10 and move.std() > 3
    for name in ("day", "optical_days", "sar_days"):
        torch.testing.assert_close(other[name] - plain[name], move.expand_as(plain[name]), atol=1e-3, rtol=0)
    for sensor in ("optical", "sar"):
        kept, there = other[f"{sensor}_weights"], plain[f"{sensor}_weights"]
        assert (kept <= there).all() and 0.7 < kept.sum() / there.sum() < 0.95
        assert 0.015 < (other[sensor] - plain[sensor]).std() < 0.025


@pytest.mark.parametrize("kind", TASKS)
def test_scales_are_those_of_the_training_part(found, split, kind):
    "Other series at validation and test sites change no scale and no batch; at training sites they do."
    first = kind(found, split)
    for rows in (split.test, split.validation):
        second = kind(changed(found, rows, brighter), split)
        assert all((first.scales[s].mean == second.scales[s].mean).all() for s in ("optical", "sar"))
        assert all((first.scales[s].sd == second.scales[s].sd).all() for s in ("optical", "sar"))
        assert all(torch.equal(a[k], b[k]) for a, b in zip(epoch(first), epoch(second)) for k in a)
    third = kind(changed(found, split.train, brighter), split)
    assert all((np.abs(first.scales[s].mean - third.scales[s].mean) > 1).all() for s in ("optical", "sar"))


@pytest.mark.parametrize("kind", TASKS)
def test_a_split_that_leaks_is_refused(found, split, kind):
    "A cluster on both sides is no validation."
    with pytest.raises(InputError, match="trained on and tested"):
        kind(found, splits.Split(split.train, split.train[:2], split.test))


def moved(found, rows):
    "The samples with dates forty days later in some rows."
    table = found.table.copy()
    for event in samples.EVENTS:
        table.loc[table.index[rows], event] += pd.Timedelta(40, "D")
    return replace(found, table=table)


def test_test_dates_do_not_teach_deepcrop(found, split):
    "Other dates at the test sites change no date that Deep-CroP gives; at training sites they do."
    options = dict(epochs=1, progress=False)
    first, second, third = (dating.deepcrop(some, split, **options).days for some in (
        found, moved(found, split.test), moved(found, split.train)))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third, equal_nan=True)


def test_test_dates_do_not_teach_cropclock(found, split):
    "Other dates at the test sites change no date and no interval of CropClock; at training sites they do."
    first, second, third = (dating.cropclock(some, split, **FEW) for some in (
        found, moved(found, split.test), moved(found, split.train)))
    for name in ("days", "low", "high"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert np.abs(first.days - third.days).min() > 0


@pytest.fixture(scope="module")
def clock(found, split):
    return dating.cropclock(found, split, epochs=40, lr=5e-3, members=2, level=0.8, progress=False)


def test_cropclock_dates_planted_seasons(found, split, clock):
    "Its dates at test sites are right to three days, its intervals lie around them, and it misses none."
    assert (clock.low <= clock.days).all() and (clock.days <= clock.high).all()
    errors = baselines.score(found, clock.days, split.test)
    assert all(error.retrieved == 1 and error.mae < 3 for error in errors.values())
    true = baselines.truth(found)
    inside = ((clock.low <= true) & (true <= clock.high))[np.r_[split.train, split.validation]]
    assert inside.mean() >= 0.8  # the rows that it is calibrated on


def test_each_training_cluster_is_validated_once(found, split, clock):
    "The clusters that are not tested are dealt to the members; none is lost, none is tested."
    rows = np.concatenate([task.split.validation for task in clock.tasks])
    assert sorted(rows) == sorted([*split.train, *split.validation])
    names = [set(found.table["cluster"].iloc[task.split.validation]) for task in clock.tasks]
    assert len(names) == 2 and not names[0] & names[1] and all(names)
    for task in clock.tasks:
        assert sorted([*task.split.train, *task.split.validation]) == sorted(rows)
        assert not set(task.split.test) & set(rows)


def test_a_member_answers_alone_for_what_it_did_not_learn(clock, split):
    "Densities of a member's validation rows are its own; those of the test rows are the mean."
    models = [fit.model for fit in clock.networks]
    every, density = [t.densities(m) for t, m in zip(clock.tasks, models)], dating.whole(clock.tasks, models)
    for own, task in zip(every, clock.tasks):
        assert torch.equal(density[task.split.validation], own[task.split.validation])
    torch.testing.assert_close(density[split.test], (every[0] + every[1])[split.test] / 2)


def test_intervals_are_widened_until_they_hold_the_level(found, split, clock):
    "The widened central intervals hold their conformal share of the clusters, where the densities alone are too sure."
    model, task = clock.networks[0].model, clock.tasks[0]
    true = task.known.true_day
    sure = (-0.5 * ((model.line - torch.from_numpy(true).float()[..., None] - 6) / 4) ** 2).softmax(-1)  # 1.5 SD off
    rows = np.r_[split.train, split.validation]
    widen = dating.calibrated(found, rows, model, sure, true, 0.5)
    assert (widen > 0.1).all()
    rank = model.probability(sure.cumsum(-1), torch.from_numpy(true).float()).numpy()
    held = np.abs(rank - 0.5)[rows] <= 0.25 + widen + 1e-6
    groups = found.table["cluster"].to_numpy()[rows]
    for event in range(4):
        shares = [held[groups == name, event].mean() for name in set(groups)]
        assert sum(shares) / (len(shares) + 1) >= 0.5
        assert conformal.quantile(rank[rows, event] - 0.5, groups, 0.5) == pytest.approx(0.25 + widen[event])


def test_too_few_clusters_give_the_whole_line(found, split, clock):
    "Nine clusters cannot hold 95 %: the interval is all of the line, and says so by its width."
    model, task = clock.networks[0].model, clock.tasks[0]
    density = dating.whole(clock.tasks, [fit.model for fit in clock.networks])
    rows = np.r_[split.train, split.validation]
    widen = dating.calibrated(found, rows, model, density, task.known.true_day, 0.95)
    assert widen == pytest.approx([0.5 - 0.95 / 2] * 4)
    dates = model.dates(density.log(), level=0.95, widen=torch.as_tensor(widen))
    assert (dates.low < -270).all()


def test_an_unknown_date_teaches_and_calibrates_nothing(found, split):
    "Seasons without a date of one event are trained on for the others, and leave a date for all."
    table = found.table.copy()
    table.loc[table.index[split.train[::2]], "eos20"] = pd.NaT
    dates = dating.cropclock(replace(found, table=table), split, **FEW)
    assert np.isfinite(dates.days).all() and np.isfinite(dates.low).all()


def test_acquisitions_that_are_left_out_change_what_is_said(found, clock):
    "The radar left out of a trained network changes its densities; kept whole it does not."
    task, model = clock.tasks[0], clock.networks[0].model
    none = {"sar": np.zeros_like(task.known.sar_there)}
    assert torch.equal(task.densities(model), task.densities(model, keep={"sar": task.known.sar_there}))
    assert (task.densities(model) - task.densities(model, keep=none)).abs().max() > 1e-3


def test_other_samples_are_dated_as_the_same_networks_date_test_sites(found, split, clock):
    "Samples that the networks never saw get what test sites get, with the scales and the widening of the training."
    other = changed(found, split.train, brighter)
    there = dating.elsewhere(clock, other, level=0.8)
    for name in ("days", "low", "high"):
        np.testing.assert_allclose(getattr(there, name)[split.test], getattr(clock, name)[split.test], atol=0.01)
    assert np.abs(there.days - clock.days)[split.train].max() > 1


def test_each_fold_tests_its_own_rows(found):
    "Put together over folds, every cluster has the days of the fold that tests it, and a fold that leaks is refused."
    parts = splits.each_cluster(found, folds=4)
    days = dating.tested(found, parts, lambda part: {"fold": np.full((len(found), 4), float(part.test[0]))})["fold"]
    assert all((days[part.test] == part.test[0]).all() for part in parts)
    with pytest.raises(InputError, match="trained on and tested"):
        dating.tested(found, [splits.at_random(found)], lambda part: {})


def test_a_second_call_comes_from_the_store(found, split):
    "Members are trained once; another option trains anew."
    first, second = (dating.cropclock(found, split, **FEW) for _ in range(2))
    other = dating.cropclock(found, split, **{**FEW, "epochs": 1})
    assert all(fit.stored for fit in second.networks) and not any(fit.stored for fit in other.networks)
    np.testing.assert_array_equal(first.days, second.days)
    np.testing.assert_array_equal(first.high, second.high)


@pytest.mark.parametrize("call, message", [
    (lambda found, split: dating.deepcrop(found, split, "rnn"), "there are deepcrop, optic, cnn"),
    (lambda found, split: dating.cropclock(found, split, members=1), "give 2 to 9"),
    (lambda found, split: dating.cropclock(found, split, members=10), "give 2 to 9"),
    (lambda found, split: dating.cropclock(found, split, sensors=()), "name some of optical, sar"),
])
def test_a_mistake_is_one_clear_line(found, split, call, message):
    "What cannot be trained is refused with what can."
    with pytest.raises(InputError, match=message):
        call(found, split)
