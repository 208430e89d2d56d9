"""Correction of soil moisture towards stations: planted biases, honest splits, intervals, maps, files, errors."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from phenolib import moisture, moisture_correction, moisture_samples
from phenolib.errors import InputError
from phenolib.moisture_samples import CHANNELS, LAYERS, SIMPLE, Samples, clusters, folds, match, random_days

CELLS, FACTOR, STATIONS = 4, 30, 40
OFFSET, GAIN = 0.02, 0.5  # planted: θ = fine + 0.02 + 0.5 · (clay − 0.25)


def smooth_noise(rng, shape, reach):
    "A field of SD 1 that changes over some pixels."
    from scipy.ndimage import gaussian_filter

    made = gaussian_filter(rng.normal(size=shape), reach, mode="nearest")
    return (made - made.mean()) / made.std()


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory):
    "A store of models for these tests alone."
    patch = pytest.MonkeyPatch()
    patch.setenv("PHENOLIB_HOME", str(tmp_path_factory.mktemp("home")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def land():
    "Two years of maps of 4 × 4 cells, every 30th day, with a sea, and stations whose offset is that of clay."
    rng, size = np.random.default_rng(1), CELLS * FACTOR
    y, x = 37.0 - (np.arange(size) + 0.5) / 120, 127.0 + (np.arange(size) + 0.5) / 120
    coarse_y, coarse_x = 37.0 - (np.arange(CELLS) + 0.5) / 4, 127.0 + (np.arange(CELLS) + 0.5) / 4
    daily, dates = pd.date_range("2018-12-01", "2020-12-31"), pd.date_range("2019-01-05", "2020-12-20", freq="30D")
    wet = 0.27 + 0.05 * np.cumsum(rng.normal(size=daily.size)) / np.sqrt(daily.size)
    cells = {layer: xr.DataArray((wet[:, None, None] + rng.normal(0, 0.02, (CELLS, CELLS))).astype(np.float32),
                                 {"time": daily, "y": coarse_y, "x": coarse_x}, ("time", "y", "x"))
             for layer in LAYERS}
    sea = np.zeros((size, size), bool)
    sea[:, :12] = True
    clay = (0.25 + 0.06 * smooth_noise(rng, (size, size), 2)).astype(np.float32)
    at, flat, still = {"time": dates, "y": y, "x": x}, ("y", "x"), {"y": y, "x": x}
    fields = {}
    for name in moisture.COVARIATES:
        if name.startswith("season"):
            fields[name] = ("time", np.sin(np.arange(dates.size, dtype=np.float32)))
        elif name in moisture.GROUND:
            values = clay if name == "clay" else smooth_noise(rng, (size, size), 4).astype(np.float32)
            fields[name] = (flat, np.where(sea, np.nan, values))
        else:
            values = 10 + rng.normal(size=(dates.size, size, size)).astype(np.float32)
            values[:, sea] = np.nan
            if name == "lst_day":
                values[3, 40:60, 40:60] = np.nan
            fields[name] = (at.keys(), values)
    covariates = xr.Dataset(fields, at)
    coarse = xr.Dataset(cells)
    fine = {}
    for layer in LAYERS:
        smooth = coarse[layer].sel(time=dates).interp(y=y, x=x, method="nearest", kwargs={"fill_value": "extrapolate"})
        fine[layer] = (smooth + xr.DataArray(0.03 * smooth_noise(rng, (size, size), 3), still, flat)).where(
            xr.DataArray(~sea, still, flat)).transpose("time", "y", "x").astype(np.float32)
    fine = xr.Dataset(fine)
    row, column = rng.integers(0, size, STATIONS), rng.integers(14, size, STATIONS)
    places = pd.DataFrame({"station": [f"s{k:02d}" for k in range(STATIONS)], "lon": x[column] + 0.002, "lat": y[row]})
    observed = {}
    for layer in LAYERS:
        own = fine[layer].values[:, row, column].T + OFFSET + GAIN * (clay[row, column] - 0.25)[:, None]
        observed[layer] = (("station", "time"), own + rng.normal(0, 0.004, own.shape))
    values = xr.Dataset(observed, {"station": places["station"].to_numpy(), "time": dates})
    values["root_zone"][:3, 4:] = np.nan
    return moisture_samples.fields(covariates, fine, coarse), places, values


@pytest.fixture(scope="module")
def samples(land):
    return moisture_samples.at_stations(*land)


@pytest.fixture(scope="module")
def parts(land, samples):
    return folds(samples.table, clusters(land[1], cell=1e-3, reach=1e-3), parts=4, years=[2020])


@pytest.fixture(scope="module")
def base(land):
    everywhere = moisture_samples.everywhere(land[0], 1500, years=[2019])
    return moisture_correction.pretrain(everywhere, sizes={"width": 12}, epochs=8, progress=False)


@pytest.fixture(scope="module")
def corrected(base, samples, parts):
    return moisture_correction.finetune(base, samples, parts[0], epochs=60, rate=3e-3, patience=60, progress=False)


def rmse(found, target):
    return float(np.sqrt(np.nanmean((found - target) ** 2)))


# ---- samples

def test_a_patch_is_what_lies_around_the_station(land, samples):
    "The middle of a patch is the pixel of the station on that day; its sides are the pixels around."
    channels, places, values = land
    k = len(samples) // 2
    one = samples.table.iloc[k]
    day = int(np.flatnonzero(channels.fine["time"].values == one["time"])[0])
    place = places.set_index("station").loc[one["station"]]
    assert abs(channels.fine["y"].values[one["row"]] - place["lat"]) < 1 / 240
    assert abs(channels.fine["x"].values[one["column"]] - place["lon"]) < 1 / 240
    for name in ("lst_day", "clay", "past_root_zone_7", "fine_surface"):
        patch, whole = samples.patches[k, CHANNELS.index(name)], channels[name]
        whole = whole[day] if whole.ndim == 3 else whole
        around = np.pad(whole, 4, constant_values=np.nan)[one["row"]:one["row"] + 9, one["column"]:one["column"] + 9]
        assert np.array_equal(patch, around, equal_nan=True)
    assert np.allclose(samples.target[k], [values[layer].sel(station=one["station"], time=one["time"])
                                           for layer in LAYERS], equal_nan=True)
    assert np.isnan(samples.target[:, 1]).sum() > 0 and not np.isnan(samples.target[:, 0]).any()


def test_the_past_is_the_past(land):
    "Means of the last days, the day itself included, leave the days after alone."
    coarse = xr.Dataset({layer: xr.DataArray(np.linspace(0, 0.3, 31)[:, None, None] * np.ones((1, 2, 2)), {
        "time": pd.date_range("2019-01-01", periods=31)}, ("time", "y", "x")) for layer in LAYERS})
    found = moisture_samples.past(coarse, [np.datetime64("2019-01-20")])
    for days in moisture_samples.PAST:
        assert found[f"past_surface_{days}"].values == pytest.approx(0.01 * (19 - (days - 1) / 2))
    with pytest.raises(InputError, match="has no 2019-02-20"):
        moisture_samples.past(coarse, [np.datetime64("2019-02-20")])


def test_samples_everywhere_know_no_station(land):
    "Pixels of land, of the years asked for, without a target; the same seed draws the same."
    one, two = (moisture_samples.everywhere(land[0], 300, years=[2019], seed=5) for _ in range(2))
    assert (pd.DatetimeIndex(one.table["time"]).year == 2019).all() and np.isnan(one.target).all()
    assert np.isfinite(one.fine).all() and (one.table["column"] >= 12).all()
    assert np.array_equal(one.patches, two.patches, equal_nan=True)


def test_series_puts_values_where_they_belong(samples):
    "Values of samples come back as station and time."
    found = samples.series(samples.target)
    k = 17
    one = samples.table.iloc[k]
    assert float(found["surface"].sel(station=one["station"], time=one["time"])) == samples.target[k, 0]
    assert int(found["surface"].notnull().sum()) == len(samples)


# ---- splits

def test_no_station_year_or_neighbour_is_on_two_sides(land, samples):
    "Tested clusters and the tested year are in neither training nor validation; every station is tested once a year."
    groups = clusters(land[1])
    tested = []
    for part in folds(samples.table, groups, parts=3):
        year = pd.DatetimeIndex(samples.table["time"]).year
        sides = [set(groups[samples.table["station"].iloc[rows]]) for rows in (part.train, part.validation, part.test)]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
        assert (year[part.test] == part.year).all() and part.year not in set(year[np.r_[part.train, part.validation]])
        tested.append(part.test)
    assert np.array_equal(np.sort(np.concatenate(tested)), np.arange(len(samples)))


def test_neighbours_are_one_cluster():
    "Stations in one coarse cell, and those whose patches overlap across its edge, stay together."
    places = pd.DataFrame({"station": list("abcde"), "lon": [127.01, 127.20, 127.26, 127.60, 128.0], "lat": 37.1})
    found = clusters(places)
    assert found["a"] == found["b"] == found["c"] and found[["c", "d", "e"]].nunique() == 3


def test_random_days_test_all_days_once(samples):
    "Each day is tested once, at stations that were trained on: the optimistic split."
    parts = random_days(samples.table, parts=3)
    assert np.array_equal(np.sort(np.concatenate([one.test for one in parts])), np.arange(len(samples)))
    for one in parts:
        days, stations = ([set(samples.table[name].iloc[rows]) for rows in (one.train, one.test)]
                          for name in ("time", "station"))
        assert not days[0] & days[1] and stations[1] <= stations[0]


# ---- networks

def test_the_maps_are_learnt_without_being_shown(base):
    "From what lies around it, the network tells moisture in cells that it never saw."
    assert base.r2["surface"] > 0.3 and base.r2["root_zone"] > 0.2  # the rest is noise without a cause
    assert set(base.detail) == set(LAYERS)


def test_a_bias_that_clay_makes_is_found_at_unseen_stations(samples, parts, corrected):
    "The network takes away most of the planted bias in a year and at stations it never saw; one shift cannot."
    test = samples[parts[0].test]
    plain = moisture_samples.simple(samples, parts[0], ["downscaled", "additive", "linear", "cdf"])
    found, sd = corrected.at(test)
    errors = {kind: rmse(values, test.target) for kind, values in plain.items()} | {"found": rmse(found, test.target)}
    assert errors["additive"] < errors["downscaled"] and errors["found"] < 0.7 * errors["additive"]
    assert (sd > 0).all()


def test_test_stations_are_never_read(base, samples, parts, corrected):
    "Other values at tested stations and in the tested year leave every bit of the weights as it was."
    target = samples.target.copy()
    target[parts[0].test] = 0.123
    target[pd.DatetimeIndex(samples.table["time"]).year == 2020] += 0.05
    again = moisture_correction.finetune(base, dataclasses.replace(samples, target=target), parts[0], epochs=60,
                                         rate=3e-3, patience=60, archive="elsewhere", progress=False)
    assert not again.stored
    for one, two in zip(corrected.networks[0].state_dict().values(), again.networks[0].state_dict().values()):
        assert torch.equal(one, two)


def test_what_is_frozen_stays(base, samples, parts, corrected):
    "Weights of the early part are those of the maps; without freezing, and from scratch, they are not."
    early = {name: value for name, value in base.network.state_dict().items() if name.startswith("early")}
    options = {"epochs": 1, "progress": False}
    whole = moisture_correction.finetune(base, samples, parts[0], frozen=False, **options)
    scratch = moisture_correction.finetune(base, samples, parts[0], from_scratch=True, **options)
    for name, value in early.items():
        assert torch.equal(corrected.networks[0].state_dict()[name], value)
        assert not torch.equal(whole.networks[0].state_dict()[name], value)
        assert not torch.equal(scratch.networks[0].state_dict()[name], value)


def test_the_first_step_starts_from_the_downscaled_map(base, samples):
    "A head begun anew corrects nothing."
    network = moisture_correction.Correction([base.network], base.scales, base.sizes)
    restarted = moisture_correction.transfer_start(base)
    assert np.allclose(restarted.at(samples[:20])[0], samples.fine[:20], atol=1e-7)
    assert not np.allclose(network.at(samples[:20])[0], samples.fine[:20])


def test_the_store_gives_the_same(base, samples, parts, corrected):
    "Trained again it comes from the store with the same numbers; two members are averaged."
    options = {"epochs": 60, "rate": 3e-3, "patience": 60, "progress": False}
    again = moisture_correction.finetune(base, samples, parts[0], **options)
    assert again.stored and np.array_equal(again.at(samples[:9])[0], corrected.at(samples[:9])[0])
    two = moisture_correction.finetune(base, samples, parts[0], **{**options, "epochs": 1}, members=2)
    assert len(two.networks) == 2 and (two.at(samples[:9])[1] > 0).all()


# ---- maps

def test_the_map_is_what_the_patches_say(land, samples, parts, corrected):
    "At the pixels of stations the map has the values of their patches, also beside the sea and the edge."
    made = moisture_correction.correct_map(corrected, land[0], land[0].fine["surface"])
    found = corrected.at(samples)[0]
    day = np.searchsorted(land[0].fine["time"].values, samples.table["time"].to_numpy())
    for k, layer in enumerate(LAYERS):
        at = made[layer].values[day, samples.table["row"], samples.table["column"]]
        assert np.allclose(at, found[:, k], atol=1e-5)
    assert made.attrs["share"] == 1 and np.isnan(made["surface"].values[:, :, :12]).all()
    assert np.array_equal(np.isnan(made["surface"]), np.isnan(land[0].fine["surface"]))


def test_tiles_with_overlap_are_the_whole(land, corrected):
    "A tile with as many pixels around it as the network reads has the numbers of the whole map; any piece of time too."
    fields = {name: land[0][name] for name in CHANNELS if name != "lst_known"}
    whole = corrected(fields)[0]
    o, rows, columns = corrected.overlap, slice(30, 60), slice(60, 90)
    tile = {name: values if values.ndim == 1 else values[..., 30 - o:60 + o, 60 - o:90 + o]
            for name, values in fields.items()}
    assert np.allclose(corrected(tile)[0][..., o:-o, o:-o], whole[..., rows, columns], atol=1e-6, equal_nan=True)
    some = {name: values if values.ndim == 2 else values[4:6] for name, values in fields.items()}
    assert np.allclose(corrected(some)[0], whole[:, 4:6], atol=1e-6, equal_nan=True)


def test_saved_is_loaded(tmp_path, land, samples, corrected):
    "A file gives back the numbers and the width of the intervals; another file is refused."
    wide = corrected.calibrated(np.full((20, 2), 0.03), np.full((20, 2), 0.02), np.arange(20))
    wide.save(tmp_path / "correction.npz")
    again = moisture_correction.Correction.load(tmp_path / "correction.npz")
    assert again.half.tolist() == [1.5, 1.5] and again.level == wide.level
    assert np.array_equal(again.at(samples[:9])[0], wide.at(samples[:9])[0])
    some = {name: values if values.ndim == 2 else values[:2] for name, values in land[0].items()}
    for one, two in zip(again(some), wide(some)):
        assert np.array_equal(one, two, equal_nan=True)
    (tmp_path / "other.npz").write_text("nothing")
    with pytest.raises(InputError, match="no saved correction"):
        moisture_correction.Correction.load(tmp_path / "other.npz")


# ---- comparison

def test_intervals_of_other_folds_hold(base, samples, parts, land):
    "Every sample is tested once; intervals from other stations hold about as many as they should."
    groups = clusters(land[1], cell=1e-3, reach=1e-3)[samples.table["station"]].to_numpy()
    found = moisture_correction.compare(samples, parts, {2020: base}, ["downscaled", "trees", "transfer"], epochs=40,
                                        rate=3e-3, patience=40, progress=False)
    tested = pd.DatetimeIndex(samples.table["time"]).year == 2020
    assert np.array_equal(found.fold >= 0, tested) and set(found.models) == {("transfer", k) for k in range(4)}
    low, high = found.intervals(samples, groups, level=0.8)
    inside = ((samples.target >= low) & (samples.target <= high))[tested & np.isfinite(samples.target).all(1)]
    assert 0.65 < inside.mean() < 0.95
    with pytest.raises(InputError, match="tests samples that fold 0 has tested"):
        moisture_correction.compare(samples, [parts[0], parts[0]], base, ["additive"])


def test_matching_of_distributions():
    "Values come out distributed as those of the training part; beyond their range they go on."
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.2, 0.05, 5000), rng.gamma(4, 0.05, 5000)
    moved = match(x, y, rng.normal(0.2, 0.05, 5000))
    assert np.allclose(np.quantile(moved, [0.1, 0.5, 0.9]), np.quantile(y, [0.1, 0.5, 0.9]), atol=0.01)
    assert np.all(np.diff(match(x, y, np.linspace(-0.5, 1, 50))) >= 0)


def test_planted_shift_and_line_are_found(samples, parts):
    "A shift is found by the mean, a line by the line, at stations that were left out."
    for slope, kind in ((1.0, "additive"), (0.6, "linear"), (0.6, "cdf")):
        planted = dataclasses.replace(samples, target=slope * samples.fine + 0.04)
        found = moisture_samples.simple(planted, parts[0], [kind])[kind]
        assert rmse(found, planted.target[parts[0].test]) < (0.01 if kind == "cdf" else 1e-5)
    assert set(moisture_samples.simple(samples, parts[0])) == set(SIMPLE)


# ---- errors

def refused(land, message, *, channels=None, places=None, **changed):
    with pytest.raises(InputError, match=message):
        moisture_samples.at_stations(channels or land[0], land[1] if places is None else places,
                                     land[2].assign(changed))


def test_what_cannot_be_meant_is_refused(land, samples, parts, base, corrected):
    "Per cent, a stuck sensor, stations off the map, one year, too few clusters, a channel that is not there."
    channels, places, values = land
    refused(land, "station surface reaches .*per cent", surface=values["surface"] * 100)
    refused(land, "between 0 and 1", surface=values["surface"] - 0.5)
    long = pd.date_range("2019-01-01", periods=80)
    stuck = xr.Dataset({layer: (("station", "time"), np.full((1, 80), 0.2)) for layer in LAYERS},
                       {"station": ["s00"], "time": long})
    with pytest.raises(InputError, match="'s00' says the same surface moisture on 80 days"):
        moisture_samples.at_stations(channels, places, stuck)
    refused(land, "none of the 40 stations lies on land", places=places.assign(lon=10.0))
    refused(land, "stands twice", places=pd.concat([places, places.iloc[:1]]))
    with pytest.raises(InputError, match="leave-year-out needs two years"):
        folds(samples.table[pd.DatetimeIndex(samples.table["time"]).year == 2019], clusters(places))
    with pytest.raises(InputError, match="parts = 99"):
        folds(samples.table, clusters(places), parts=99)
    with pytest.raises(InputError, match="no sample is of 2031"):
        folds(samples.table, clusters(places), parts=3, years=[2031])
    with pytest.raises(InputError, match="'clay' is not among the fields"):
        corrected({name: channels[name] for name in CHANNELS if name != "clay"})
    with pytest.raises(InputError, match="has the shape"):
        corrected({name: channels[name][:, :5] if name == "clay" else channels[name] for name in CHANNELS})
    with pytest.raises(InputError, match="differ in 'y'"):
        moisture_samples.fields(channels.covariates.isel(y=slice(0, 30)), channels.fine, None)
    with pytest.raises(InputError, match="downscaled surface has a median of .*per cent"):
        moisture_samples.fields(channels.covariates, channels.fine * 100, None)
    with pytest.raises(InputError, match="kind 'additiv'; did you mean 'additive'"):
        moisture_samples.simple(samples, parts[0], ["additiv"])
    empty = Samples(samples.table, samples.patches, samples.fine, samples.smooth, samples.coarse,
                    np.full_like(samples.target, np.nan))
    with pytest.raises(InputError, match="no station sample for train"):
        moisture_correction.finetune(base, empty, parts[0], progress=False)
