"Models of salinity: splits kept apart, scores, intervals, and maps that are what the network says of patches."

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import blocks, salinity, salinity_mapper, salinity_models
from phenolib.errors import InputError
from phenolib.splits import Split

SMALL = {"width": 8, "channels": 8, "heads": 2}
REACH = 33


def samples(n=60, seed=0):
    "Samples of which the elevation around tells the salt."
    rng = np.random.default_rng(seed)
    around = rng.standard_normal((n, 9, 65, 65)).astype(np.float32) * 0.3
    told = rng.standard_normal(n)
    around[:, 0] += told[:, None, None]
    bands = (0.1 + 0.2 * rng.random((n, 10))).astype(np.float32)
    table = pd.DataFrame({"sample": [f"s{k}" for k in range(n)], "site": [f"p{k}" for k in range(n)], "area": "A",
                          "campaign": "2020-06", "x": 3000.0 * rng.integers(0, 6, n) + 300 * rng.random(n),
                          "y": 300 * rng.random(n), "salt": np.exp(1 + 0.8 * told), "land_cover": "corn"})
    return salinity.Samples(table, bands, salinity.indices_of(bands).astype(np.float32), around[:, :, 32, 32], around,
                            around[:, :, :REACH, :REACH].copy(), n, {})


def some_found(n=400, folds=4, seed=0):
    rng = np.random.default_rng(seed)
    said = rng.normal(1.5, 0.6, n)
    y = (said + 0.4 * rng.standard_normal(n)).clip(0.01)
    found = pd.DataFrame({"model": "forest", "fold": np.arange(n) % folds, "row": np.arange(n), "y": y,
                          "found": said, "salt": np.expm1(y), "factor": 1.0})
    return salinity_models.in_grams(found), np.arange(n) % 40


def test_every_network_learns_from_the_training_part_and_comes_from_the_store(tmp_path, monkeypatch):
    "A network is trained once; the second call says the same from the store, whatever the test samples hold."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    data = samples(40)
    split = Split(np.arange(24), np.arange(24, 32), np.arange(32, 40))
    for kind in ("index", "full", "dense"):
        first = salinity_models.network(kind, data, split, sizes=SMALL, epochs=1, progress=False)
        data.table.loc[32:, "salt"] = 39.0
        again = salinity_models.network(kind, data, split, sizes=SMALL, epochs=1, progress=False)
        assert not first.stored and again.stored and np.array_equal(first(data), again(data))
        assert first(data).shape == (40,) and np.isfinite(first(data)).all()


def test_unknown_kinds_and_missing_patches_are_refused():
    "The message names what there is, or what to read."
    data = samples(12)
    split = Split(np.arange(8), np.arange(8, 10), np.arange(10, 12))
    with pytest.raises(InputError, match="'ful' is not known"):
        salinity_models.network("ful", data, split)
    bare = salinity.Samples(data.table, data.bands, data.indices, data.layers, data.windows)
    with pytest.raises(InputError, match="reads patches of cells"):
        salinity_models.network("dense", bare, split)


def test_scales_do_not_see_the_test_part():
    "Scales of training samples stay when others change; a missing value becomes the mean."
    data = samples(20)
    before = salinity_models.Scales.fit(data[np.arange(10)])
    data.bands[10:] = 99.0
    after = salinity_models.Scales.fit(data[np.arange(10)])
    assert np.array_equal(before.bands.mean, after.bands.mean)
    assert salinity_models.scaled(before.bands, np.full((1, 10), np.nan)).tolist() == [[0.0] * 10]


def test_a_forest_finds_what_stands_around():
    "Salt that hangs on the elevation around is found in blocks that were never seen; the mean finds nothing."
    data = samples(150)
    parts = blocks.by_block(data.table, size=3000, folds=3, window=650, validation=0.2)
    found, _ = salinity_models.compare(data, parts, ["mean", "forest"], trees=60)
    scores = salinity_models.scores(found, blocks.block_of(data.table["x"], data.table["y"], 3000), draws=100)
    assert scores.loc["forest", "log_rmse"] < 0.6 * scores.loc["mean", "log_rmse"]
    assert scores.loc["forest", "log_rmse_low"] <= scores.loc["forest", "log_rmse"] <= scores.loc["forest",
                                                                                                "log_rmse_high"]


def test_grams_have_no_bias_and_no_values_beyond_the_samples():
    "Turned back by the other folds' residuals, the mean of what was found is that of the salt, within a few per cent."
    found, _ = some_found(4000)
    assert abs(found["mapped"].mean() / found["salt"].mean() - 1) < 0.1
    assert found["mapped"].max() <= found["salt"].max() and found["mapped"].min() >= 0


def test_intervals_hold_their_level_without_their_own_residuals():
    "90 % intervals from other folds hold nine in ten; with too few blocks they are infinite and not made up."
    found, labels = some_found(2000)
    held = salinity_models.intervals(found, labels, level=0.9)
    assert 0.86 <= held["held"].mean() <= 0.95
    few = salinity_models.intervals(found, labels % 4, level=0.9)
    assert np.isinf(few["half"]).all()


def test_a_ratio_of_errors_has_its_interval_and_its_rival():
    "A model with half of the error of the better of two others has a ratio near a half."
    found, labels = some_found(1500)
    half = found.assign(model="full", found=found["y"] + 0.5 * (found["found"] - found["y"]))
    worse = found.assign(model="svr", found=found["y"] + 2 * (found["found"] - found["y"]))
    it = salinity_models.ratio(pd.concat([found, half, worse]), "full", ["forest", "svr"], labels, name="log_rmse",
                               draws=100)
    assert it["other"] == "forest" and np.isclose(it["value"], 0.5) and it["interval"][0] <= 0.5 <= it["interval"][1]


def test_errors_by_class_count_their_samples():
    "Labels with few samples are left out."
    found, _ = some_found(100)
    label = np.array(["few"] * 3 + ["many"] * 97)
    by = salinity_models.by_group(found, label, least=5)
    assert by.index.get_level_values("label").tolist() == ["many"] and by["n"].tolist() == [97]


def test_windows_are_turned_as_a_whole():
    "A batch is turned in one of eight ways; the middle stays, and no value is lost."
    import torch

    data = {"window": np.arange(2 * 9 * 25, dtype=np.float32).reshape(2, 9, 5, 5), "bands": np.zeros((2, 10), "f4"),
            "indices": np.zeros((2, 35), "f4")}
    seen = set()
    for epoch in range(40):
        for one in salinity_models.turned(data, 2)(epoch, torch.Generator().manual_seed(epoch)):
            assert set(one["window"].flatten().tolist()) == set(data["window"].ravel().tolist())
            assert sorted(one["window"][:, 0, 2, 2].tolist()) == [12.0, 237.0]
            seen.add(tuple(one["window"][:, 0, 0, 1].tolist()))
    assert len(seen) > 8


def test_a_map_is_what_the_network_says_of_each_patch(tmp_path, monkeypatch):
    "Pixels of a mapped block equal the network on the patch of cells around them; edges and clouds stay missing."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    data, rng = samples(40), np.random.default_rng(1)
    split = Split(np.arange(30), np.arange(30, 36), np.arange(36, 40))
    network = salinity_models.network("dense", data, split, sizes=SMALL, epochs=1, progress=False)
    side = 2 * REACH + 10
    x, y = 1000.0 * 20 + 5 + 10 * np.arange(side), 5000.0 - 5 - 10 * np.arange(side)
    bands = {b: (("time", "y", "x"), (0.1 + 0.3 * rng.random((1, side, side))).astype(np.float32))
             for b in salinity.BANDS}
    block = xr.Dataset(bands, {"time": pd.DatetimeIndex(["2020-06-17"]), "y": y, "x": x})
    block["B08"][0, 40, 41] = np.nan
    coarse = {"x": x[0] - 500 + 30.0 * np.arange(70), "y": y[0] + 500 - 30.0 * np.arange(70)}
    dem = xr.DataArray(rng.standard_normal((70, 70)).cumsum(0), coarse, ("y", "x"))
    fine = {"x": x[0] - 65 + 20.0 * np.arange(side // 2 + 8), "y": y[0] + 65 - 20.0 * np.arange(side // 2 + 8)}
    season = xr.Dataset({n: (("year", "y", "x"), rng.random((1, side // 2 + 8, side // 2 + 8)).astype(np.float32))
                         for n in ("sos", "gus", "sdps")}, {"year": [2020], **fine})
    mapper = salinity_mapper.Mapper(network, ("2020-06-15",), dem, season, 1.0, 0.5)
    found = mapper(block)
    assert found["year"].values.tolist() == [2020] and np.isnan(found["salt"][0, 40, 41])
    edge = mapper.overlap
    assert np.isnan(found["salt"][0, :edge]).all() and np.isfinite(found["salt"][0, edge:-edge, edge:-edge]).sum() > 90
    optical = salinity.nearest_clear(block, "2020-06-15")
    layers = salinity.layers_of(optical, dem, season.sel(year=2020))
    scene = salinity.Scene("A", pd.Timestamp("2020-06-15"), optical, layers)
    rows = np.array([edge, edge + 3, side - edge - 1])
    table = pd.DataFrame({"x": x[rows], "y": y[rows], "sample": list("abc"), "salt": 1.0})
    monkeypatch.setattr(salinity, "WINDOW", 5)
    taken = salinity.take(table, scene, reach=REACH)
    said = np.expm1(network(taken))
    assert np.allclose(found["salt"].values[0, rows, rows], np.maximum(said, 0), atol=1e-5)


def test_years_without_an_image_stay_missing(tmp_path, monkeypatch):
    "A date with no image near is missing as a whole; if none has any, the message says so."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    mapper = salinity_mapper.Mapper(None, ("2019-06-15",), None, None)
    block = xr.Dataset({b: (("time", "y", "x"), np.ones((1, 2, 2), "f4")) for b in salinity.BANDS},
                       {"time": pd.DatetimeIndex(["2020-06-17"]), "y": [15.0, 5.0], "x": [5.0, 15.0]})
    with pytest.raises(InputError, match="no image lies near any of the dates"):
        mapper(block)


def test_names_of_maps_tell_months_where_a_year_has_several():
    "Years for yearly maps; 202203 for March where one year has several dates."
    several = salinity_mapper.Mapper(None, ("2022-03-15", "2022-06-15"), None, None)
    yearly = salinity_mapper.Mapper(None, ("2021-06-15", "2022-06-15"), None, None)
    assert several.names == [202203, 202206] and yearly.names == [2021, 2022]
