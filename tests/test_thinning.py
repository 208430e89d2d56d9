from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import test_samples as planted
import torch
import xarray as xr

from phenolib import baselines, dating, samples, splits, thinning
from phenolib.errors import InputError
from phenolib.sources import sentinel

FEW = dict(epochs=2, members=2, progress=False)  # what takes a second


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="module")
def home(found, tmp_path_factory):
    "A store of its own, for the networks; ``found`` comes first, so that compiled code is where it always is."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHENOLIB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def archive(shift=0, **options):
    "Nine sites of eight clusters, the first two to test; the camera is ``shift`` days later than it was."
    return planted.Planted({f"s{k}": (f"c{min(k, 7)}", "test" if k < 2 else "train", "corn", 145 + 4 * k + shift,
                                      260 + 3 * k + shift, 8 - shift) for k in range(9)}, **options)


@pytest.fixture(scope="module")
def found():
    return samples.of_archive(archive())


@pytest.fixture(scope="module")
def split(found):
    return splits.leave_cluster_out(found, validation=0.2)


@pytest.fixture(scope="module")
def both(found, split):
    return dating.cropclock(found, split, **FEW)


@pytest.fixture(scope="module")
def optical(found, split):
    return dating.cropclock(found, split, sensors=("optical",), **FEW)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 1.0])
def test_thinning_keeps_the_share_of_each_season(found, share):
    "So many dates as the share of those that are there, rounded up; none that is not there."
    series = found.series()
    series.optical_there[0, 5:] = False
    kept = thinning.thin(series, share, seed=3)
    there = series.optical_there.sum(1)
    assert there[0] == 5 and (kept.sum(1) == np.ceil(share * there - 1e-9)).all()
    assert not (kept & ~series.optical_there).any()


def test_thinned_dates_are_nested_and_drawn_anew(found):
    "A smaller share of one draw is a part of a larger one; another seed keeps other dates."
    series = found.series()
    small, large = (thinning.thin(series, share, seed=1) for share in (0.2, 0.6))
    assert (large | ~small).all() and (small != thinning.thin(series, 0.2, seed=2)).any()
    with pytest.raises(InputError, match="share = 30 is out of range"):
        thinning.thin(series, 30)


def test_all_dates_give_the_errors_of_the_ensemble(found, both, optical):
    "Where nothing is left out the errors are those of the dates that the training gave."
    error = thinning.errors(found, [both, optical], shares=(1.0, 0.2), draws=2)
    for k, ensemble in enumerate((both, optical)):
        assert error[0, k] == pytest.approx(np.abs(ensemble.days - baselines.truth(found)), abs=1e-3)
    assert error.shape == (2, 2, len(found), 4) and np.abs(error[1] - error[0]).max() > 0.1


def test_thinning_leaves_radar_alone(found, both):
    "Without any optical date the ensemble still dates, and other radar gives other dates."
    none = np.zeros_like(found.series().optical_there)
    louder = {site: replace(place, sar=place.sar + 6) for site, place in found.places.items()}
    assert np.isfinite(thinning.medians(both, none)).all()
    other = [task.moved(replace(found, places=louder)) for task in both.tasks]
    assert np.abs(thinning.medians(replace(both, tasks=other), none) - thinning.medians(both, none)).max() > 1


def test_same_ensemble_twice_gains_nothing(found, both):
    "All gains and their intervals are zero, at each share."
    error = thinning.errors(found, [both, both], shares=(1.0, 0.3), draws=2)
    table = thinning.gain(found, error, shares=(1.0, 0.3), draws=50)
    assert (table[["gain", "gain_low", "gain_high"]] == 0).all(axis=None) and len(table) == 2 * 5


def test_planted_gain_is_found(found):
    "A gain of four days at one share, which the spread between clusters does not blur, for it is paired."
    rng, shape = np.random.default_rng(0), (len(found), 4)
    error = np.repeat(rng.uniform(0, 50, shape)[None, None], 2, 0).repeat(2, 1)
    error[1, 1] += 4
    error[:, :, 0, 2] = np.nan
    table = thinning.gain(found, error, shares=(1.0, 0.1), draws=200).set_index(["share", "event"])
    assert table.loc[(0.1, "all"), ["gain", "gain_low", "gain_high"]].tolist() == pytest.approx([4, 4, 4])
    assert table.loc[1.0, "gain"].abs().max() == 0 and table.loc[(1.0, "eos50"), "n"] == len(found) - 1
    assert table.loc[(1.0, "all"), "both"] == pytest.approx(np.nanmean(error[0, 0]))
    wide = table.loc[(0.1, "all")]
    assert wide["both_high"] - wide["both_low"] > 5


def test_groups_are_told_of_apart(found):
    "Each group has its own seasons and clusters; one of a single cluster has no interval, an empty one no row."
    error = np.ones((1, 2, len(found), 4)) * np.arange(len(found))[:, None]
    first = (found.table["site"] == "s0").to_numpy()
    groups = {"one": first, "others": ~first, "none": first & ~first}
    table = thinning.gain(found, error, shares=(1.0,), groups=groups, draws=20)
    table = table[table["event"] == "all"].set_index("group")
    assert list(table.index) == ["one", "others"] and table["clusters"].tolist() == [1, 7]
    assert table["both"].tolist() == [error[0, 0, mask].mean() for mask in (first, ~first)]
    assert np.isnan(table.loc["one", "gain_low"]) and np.isfinite(table.loc["others", "gain_low"])


def crop_map(folder, site, codes):
    "A crop map of a place with the labels given in the middle three rows and columns."
    labels = np.full((20, 20), 1200, np.uint16)
    labels[9:12, 9:12] = codes
    patch = xr.Dataset({"crop": (("y", "x"), labels)}, {"y": 200.0 - 10 * np.arange(20), "x": 10.0 * np.arange(20)},
                       {"place": site, "product": "OUTPUT_PLANTED", "resolution": 10})
    return sentinel.write_patch(folder, sentinel.with_crs(patch, 32631), first="2020-01-01", last="2020-12-31")


def test_camera_at_the_edge_of_its_field(found, tmp_path):
    "Two crops beside the site pixel are an edge; two two pixels off are none, nor is a place without a map."
    table = found.table.assign(site="inside").assign(site=np.resize(["inside", "edge", "unmapped"], len(found)))
    some = replace(found, table=table, places=dict.fromkeys(("inside", "edge", "unmapped")))
    files = [crop_map(tmp_path, "inside", 1200), crop_map(tmp_path, "edge", [[1100], [1100], [1200]])]
    maps = {"inside": np.repeat([[0], [1]], 9, 0) * np.ones(18, int), "edge": np.eye(18, dtype=int)}
    known = SimpleNamespace(kinds=lambda: {"patches": files}, field_map=maps.get)
    assert (thinning.at_edge(known, some) == (table["site"] == "edge")).all()
    assert (thinning.at_edge(known, some, truth=True) == table["site"].isin(["inside", "edge"])).all()


class Noisy(planted.Planted):
    "Cameras of one season's course with noise of their own."

    def phenocam(self, site):
        camera = super().phenocam(site)
        noise = np.random.default_rng(int(site[1:])).normal(0, 0.006, camera["gcc_90"].size)
        return camera.assign(gcc_90=camera["gcc_90"] + noise)


def test_sd_of_camera_dates_is_their_scatter():
    "Thirty cameras of one course: the SD that is told of is that of their dates, within a factor of 1.6."
    known = Noisy({f"s{k}": ("farm", "train", "corn", 150, 260, 5) for k in range(30)})
    some = samples.of_archive(known)
    sd = thinning.camera_sd(known, some)
    scatter = np.nanstd(baselines.truth(some), axis=0)
    assert sd.shape == (len(some), 4) and (np.isnan(sd) == np.isnat(some.dates)).all()
    assert (np.abs(np.log(np.nanmean(sd, 0) / scatter)) < np.log(1.6)).all(), (np.nanmean(sd, 0), scatter)


def test_other_labels_on_the_same_places(found):
    "Cameras ten days later change the dates by ten days and nothing that the satellites saw."
    later = thinning.relabelled(found, archive(shift=10))
    assert np.abs((later.dates - found.dates) / samples.DAY - 10).max() < 0.6
    same = [name for name in found.table if name not in (*samples.EVENTS, "on_season")]
    assert later.table[same].equals(found.table[same]) and later.places is found.places
    assert later.table["on_season"].all()


def test_camera_without_the_season_gives_no_dates(found):
    "A camera that was put up later: its years keep their dates, those before have none."
    class Late(planted.Planted):
        def phenocam(self, site):
            return super().phenocam(site).sel(time=slice("2019", None))

    some = thinning.relabelled(found, Late(archive().given))
    first = found.table["year"] == 2018
    assert np.isnat(some.dates[first]).all() and not np.isnat(some.dates[~first]).any()
    assert (some.table["on_season"] == ~first).all()


def test_transferred_to_the_same_archive_changes_nothing(found, split, both):
    "Dates and intervals of the tested rows are those of the training, for they are of the mean of all members."
    there = dating.elsewhere(both, found)
    for name in ("days", "low", "high"):
        assert getattr(there, name)[split.test] == pytest.approx(getattr(both, name)[split.test], abs=1e-3)


def test_transferred_keeps_the_scales_of_the_training(found, both):
    "Brighter satellites give other dates: they are not scaled by themselves; and the ensemble is left as it was."
    brighter = {site: replace(place, optical=place.optical + 0.3) for site, place in found.places.items()}
    before = both.tasks[0].known
    there = dating.elsewhere(both, replace(found, places=brighter))
    assert np.abs(there.days - dating.elsewhere(both, found).days).max() > 1
    assert (there.low <= there.days).all() and (there.days <= there.high).all() and both.tasks[0].known is before
