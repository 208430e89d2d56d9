import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter, uniform_filter

from phenolib import fusion, maps
from phenolib.errors import InputError

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
real = pytest.mark.skipif(not ROOT or not Path(ROOT, "fusion_reference").is_dir(),
                          reason="PHENOLIB_ARCHIVE names no archive with images for fusion")
DAYS = pd.date_range("2020-01-01", periods=128)


def scene(seed=0, side=48, bands=2, dates=2):
    "A land of two classes and its views at two base dates and some later ones; coarse images are wide means."
    rng = np.random.default_rng(seed)
    kind = gaussian_filter(rng.normal(size=(side, side)), 2) > 0
    fine = np.empty((2 + dates, bands, side, side), np.float32)
    for t in range(2 + dates):
        for b in range(bands):
            fine[t, b] = 20 + 5 * b + 4 * t + np.where(kind, 8 + 3 * t, 0) + rng.normal(0, 0.3, kind.shape)
    coarse = uniform_filter(fine, (0, 0, 6, 6)).astype(np.float32)
    return fine[[0, -1]], coarse[[0, -1]], coarse[1:-1], fine[1:-1]


def same(one, other):
    "All numbers alike to the bit, missing ones too."
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_a_linear_change_is_recovered(bands):
    "Where fine is a linear function of coarse values and the land changes everywhere alike, fusion is exact."
    rng = np.random.default_rng(0)
    land = rng.uniform(0, 10, (bands, 40, 40))
    coarse = np.stack([land + change for change in (0, 10, 4)]).astype(np.float32)
    fine = 1.5 * coarse + 3
    found = fusion.estarfm(fine[:2], coarse[:2], coarse[2], half=8, classes=2)
    assert np.allclose(found["fused"], fine[2], atol=1e-3) and found["share"] == 1


def test_the_conversion_is_what_makes_it_exact():
    "Fine changes three times as much as coarse: with the slope the change is found, from one base date it is not."
    rng = np.random.default_rng(1)
    coarse = (rng.uniform(0, 10, (40, 40)) + np.array([0, 10, 5])[:, None, None]).astype(np.float32)
    fine = 3 * coarse
    two = fusion.estarfm(fine[:2], coarse[:2], coarse[2], half=8)
    one = fusion.estarfm(fine[:1], coarse[:1], coarse[2], half=8)
    assert np.abs(two["fused"] - fine[2]).max() < 0.01
    assert np.allclose(one["fused"] - fine[0], 5, atol=0.01)  # a conversion of 1


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("conversion", fusion.CONVERSIONS)
def test_one_pixel_step_by_step_is_the_compiled_one(bands, conversion):
    "What is told of one pixel, written plainly, adds up to what the compiled pass gives, at the edge too."
    fine, coarse, later, _ = scene(bands=bands)
    pair = fusion.Pair(fine, coarse, half=7, conversion=conversion)
    whole = pair.at(later[0])
    for y, x in ((24, 24), (0, 3), (47, 20), (10, 46)):
        for band in range(bands):
            told = pair.pixel(y, x, later[0], band=band)
            assert told["fused"].item() == pytest.approx(whole["fused"].values[band, y, x], abs=1e-3)
        assert told["similar"].sum() == whole["n_similar"][y, x] and told["weight"].sum().item() == pytest.approx(1)
    with pytest.raises(InputError, match="outside of the image"):
        pair.pixel(48, 0, later[0])


def test_the_pattern_of_the_coarse_image_does_not_flatten_a_slope_of_changes():
    "Fine values that a class shares, coarse ones that mix classes: the slope of values is too flat, of changes right."
    rng = np.random.default_rng(2)
    mixed = gaussian_filter(rng.normal(size=(48, 48)), 3) * 30
    coarse = np.stack([20 + mixed + change for change in (0, 5, 15)]).astype(np.float32)
    fine = np.stack([np.full((48, 48), 30 + change) for change in (0, 5, 15)]).astype(np.float32)
    fine += rng.normal(0, 0.1, (48, 48)).astype(np.float32)
    flat, right = (np.abs(fusion.estarfm(fine[:2], coarse[:2], coarse[2], half=8, conversion=how)["fused"] - fine[2])
                   for how in ("values", "changes"))
    assert flat.mean() > 2 and right.max() < 0.1


def test_two_classes_change_each_by_its_own():
    "The fused image is nearer to the truth than the coarse one, and than no change, in each band."
    fine, coarse, later, truth = scene()
    found = fusion.estarfm(fine, coarse, later, half=10)["fused"].values
    for b in range(2):
        error, blurred, still = (np.abs(part[:, b] - truth[:, b]).mean() for part in (found, later, fine[:1]))
        assert error < 0.5 * blurred and error < 0.5 * still


def test_numpy_and_arrays_with_names():
    "A DataArray keeps its dimensions and coordinates, with or without bands and dates; numbers are those of numpy."
    fine, coarse, later, _ = scene(bands=1)
    plain = fusion.estarfm(fine, coarse, later, half=5)
    assert plain["fused"].dims == ("date", "band", "y", "x") and plain["share"].dims == ("date",)
    fine, coarse = (xr.DataArray(part[:, 0], dims=("pair", "lat", "lon"), coords={"lat": np.arange(48.0)[::-1]})
                    for part in (fine, coarse))
    later = xr.DataArray(later[:, 0], dims=("time", "lat", "lon"), coords={"time": DAYS[:2], "lat": fine["lat"]})
    named = fusion.estarfm(fine, coarse, later, half=5)
    assert named["fused"].dims == ("time", "lat", "lon") and (named["time"] == DAYS[:2]).all()
    assert same(named["fused"], plain["fused"][:, 0]) and named["n_similar"].dims == ("lat", "lon")
    single = fusion.estarfm(fine, coarse, later[1], half=5)
    assert single["fused"].dims == ("lat", "lon") and np.allclose(single["fused"], named["fused"][1], rtol=1e-5)


@pytest.mark.parametrize("method", [fusion.estarfm, fusion.starfm])
def test_several_dates_are_one_by_one(method):
    "What a base pair gives for many dates at once is what it gives for each, to the order of a sum."
    fine, coarse, later, _ = scene(dates=5)
    later[2, :, 10:20] = np.nan
    many = method(fine, coarse, later, half=6)["fused"]
    for k, one in enumerate(later):
        assert np.allclose(many[k], method(fine, coarse, one, half=6)["fused"], rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize("method", [partial(fusion.estarfm, uncertainty=True), fusion.starfm])
def test_tiles_give_the_numbers_of_the_whole(method, tmp_path):
    "Tiles on threads, and tiles cut out with an overlap by map_tiles, agree with the whole to the bit."
    fine, coarse, later, _ = scene(side=64, bands=1)
    fine[0, 0, 5:9, 30:40] = np.nan
    whole = method(fine, coarse, later, half=6)
    tiles = method(fine, coarse, later, half=6, tile=17, threads=2)
    assert all(same(whole[name], tiles[name]) for name in whole)
    scale = fusion.Scale.of(fine, coarse)
    cube = xr.Dataset({name: (("k", "y", "x"), part[:, 0]) for name, part in
                       (("fine", fine), ("coarse", coarse), ("later", later))},
                      {"y": np.arange(64.0)[::-1], "x": np.arange(64.0)})

    def tile(block):
        return method(block["fine"], block["coarse"], block["later"], half=6, scale=scale)[["fused", "n_similar"]]

    report = maps.map_tiles(tile, cube.chunk(y=20, x=20), tmp_path / "map.zarr", tile=20, overlap=6, threads=1)
    made = xr.open_zarr(report.path)
    assert not report.failed and same(made["fused"], whole["fused"][:, 0])


@pytest.mark.parametrize("method", [fusion.estarfm, fusion.starfm])
def test_missing_values_neither_spread_nor_are_filled(method):
    "A pixel that lacks one base date comes from the other, one that lacks both stays missing, all others are found."
    fine, coarse, later, truth = scene(bands=1)
    whole = method(fine, coarse, later, half=8)["fused"].values
    fine[0, 0, 10:14, 10:14] = np.nan
    fine[:, 0, 30:33, 30:33] = np.nan
    coarse[1, 0, 40, 5] = np.inf
    found = method(fine, coarse, later, half=8)
    lost = np.zeros((48, 48), bool)
    lost[30:33, 30:33] = True
    values = found["fused"].values[:, 0]
    assert (np.isnan(values) == lost).all() and found["share"].values == pytest.approx(1 - 9 / 48**2)
    assert np.abs(values - truth[:, 0])[:, ~lost].mean() < 1.2 * np.abs(whole - truth).mean()
    assert np.abs(values - truth[:, 0])[:, 10:14, 10:14].mean() < 3
    if method is fusion.estarfm:
        assert (found["n_similar"].values[lost] == 0).all() and (found["n_similar"].values[~lost] > 0).all()


def test_a_gap_of_the_day_is_not_a_change():
    "Without a coarse value about it a pixel stays missing; with some in the window it is found from those."
    fine, coarse, later, truth = scene(bands=1)
    hole = later.copy()
    hole[0, 0, :, :20] = np.nan
    found = fusion.estarfm(fine, coarse, hole, half=6)["fused"].values
    assert np.isnan(found[0, 0, :, :14]).all() and np.isfinite(found[0, 0, :, 14:]).all()
    assert np.abs(found[0, 0] - truth[0, 0])[:, 14:20].mean() < 4
    assert np.allclose(found[1], fusion.estarfm(fine, coarse, later, half=6)["fused"][1], rtol=1e-5)
    share = [fusion.estarfm(fine, coarse, part, half=6)["share"].values for part in (hole, np.full_like(later, np.nan))]
    assert share[0].tolist() == [1, 1] and np.isnan(share[1]).all()


def test_one_base_date_where_the_other_is_missing():
    "Half of the land lacks the first base date: there the numbers are near those from the second alone."
    fine, coarse, later, truth = scene(bands=1)
    fine[0, 0, :, :24] = np.nan
    found = fusion.estarfm(fine, coarse, later, half=6)["fused"].values
    assert np.isfinite(found).all() and np.abs(found - truth)[..., :18].mean() < 4


def test_values_out_of_range_are_replaced():
    "A change beyond the valid range gives the mean of the similar pixels, never a value outside of it."
    fine, coarse, later, _ = scene(bands=1)
    later = np.clip(later[0] + 30, 0, 60)
    wild = fusion.estarfm(fine, coarse, later, half=6)["fused"].values
    kept = fusion.estarfm(fine, coarse, later, half=6, valid=(0, 60))["fused"].values
    beyond = wild > 60
    assert beyond.any() and kept.max() <= 60 and np.abs(kept - wild)[~beyond].max() < 1
    assert (kept[beyond] >= fine.min()).all()


def test_the_spread_tells_where_fusion_errs():
    "Where neighbours of a kind change differently the sd is larger, and it is 0 where all change alike."
    fine, coarse, later, _ = scene(bands=1, dates=1)
    alike = fusion.estarfm(fine, coarse, coarse[0], half=6, uncertainty=True)
    level = np.stack([coarse[0], coarse[0] + 5])
    none = fusion.estarfm(2 * level, level, level[0] + 2, half=6, uncertainty=True)["sd"].values
    later[0, 0, :, 24:] += np.random.default_rng(0).normal(0, 6, (48, 24))
    torn = fusion.estarfm(fine, coarse, later, half=6, uncertainty=True)["sd"].values[0, 0]
    assert none.max() < 1e-2 and torn[:, 30:].mean() > 2 * torn[:, :18].mean() > 0
    assert np.isfinite(alike["sd"]).all() and "sd" not in fusion.estarfm(fine, coarse, later, half=6)


def test_images_that_cannot_be_fused_are_refused():
    "One line says what is wrong: shapes, an empty pair, units, values, shifted grids, settings."
    fine, coarse, later, _ = scene(bands=1)
    empty = fine.copy()
    empty[1] = np.nan
    grid = partial(xr.DataArray, dims=("pair", "y", "x"))
    at = [grid(part[:, 0], coords={"y": np.arange(48.0), "x": np.arange(48.0) + shift})
          for part, shift in ((fine, 0), (coarse, 0.5))]
    for given, options, said in [
            ((fine, coarse[..., 1:], later), {}, "fine has the shape"),
            ((fine[0, 0], coarse[0, 0], later[0, 0]), {}, "fine has the shape"),
            ((fine[[0, 0, 1]], coarse[[0, 0, 1]], later), {}, "3 base pairs"),
            ((fine, coarse, later[..., 2:]), {}, "coarse_at has the shape"),
            ((empty, coarse, later), {}, "base pair 2 of 2 has no pixel"),
            ((fine, coarse + 273.15, later + 273.15), {}, "not kelvin"),
            ((fine / 100, coarse, later), {}, "fraction and not percent"),
            ((fine, coarse, later * 100), {}, "coarse_at"),
            ((fine + 273.15, coarse + 273.15, later + 273.15), {"valid": (-60, 80)}, "lie outside of valid"),
            ((fine, coarse, later), {"valid": (80, -60)}, "valid = (80, -60)"),
            ((fine, coarse, later + 273.15), {"valid": (-60, 80)}, "of the coarse_at values lie outside"),
            ((fine, coarse, later), {"conversion": "value"}, "did you mean 'values'"),
            ((fine, coarse, later), {"half": 0}, "half = 0"),
            ((fine, coarse, later), {"classes": 0}, "classes = 0"),
            ((fine, coarse, later), {"scale": fusion.Scale.of(*scene(bands=2)[:2])}, "scale is of"),
            ((*at, later[:, 0]), {}, "another grid")]:
        with pytest.raises(InputError, match=said.replace("(", "\\(").replace(")", "\\)")):
            fusion.estarfm(*given, **options)


# ---- series

def cube(seed=0, side=36, cloud=0.5):
    "A season of two classes with weather, its cloudy fine series, and the coarse one at six pixels a cell."
    rng = np.random.default_rng(seed)
    kind = gaussian_filter(rng.normal(size=(side, side)), 2) > 0
    t = np.arange(len(DAYS))
    season, weather = 15 + 10 * np.sin(t / 40), rng.normal(0, 3, len(t))
    values = (season + weather)[:, None, None] + np.where(kind, 6 + 0.2 * weather[:, None, None], 0)
    values[:, :, :4] = np.nan  # sea
    y, x = 38 - (np.arange(side) + 0.5) / 120, 126 + (np.arange(side) + 0.5) / 120
    truth = xr.DataArray(values.astype(np.float32), dims=("time", "y", "x"), coords={"time": DAYS, "y": y, "x": x})
    clear = gaussian_filter(rng.normal(size=truth.shape), (0, 5, 5))
    fine = truth.where(clear > np.quantile(clear, cloud))
    return truth, fine, truth.coarsen(y=6, x=6).mean()


def test_a_cloudy_series_becomes_gap_free():
    "Every land pixel of every day is found, nearer to the truth than the coarse image; the sea stays missing."
    truth, fine, coarse = cube()
    dates = DAYS[[3, 50, 77, 126]]
    found = fusion.fuse_series(fine, coarse, dates, half=8)
    error = np.abs(found["fused"] - truth.sel(time=dates))
    wide = fusion.Resampling(coarse, fine)(coarse.sel(time=dates))
    assert (found["share"] == 1).all() and np.isnan(found["fused"][:, :, :4]).all()
    assert error.mean() < 0.35 * np.nanmean(np.abs(wide - truth.sel(time=dates)))
    assert found["fused"].dims == truth.dims and (found["time"] == dates).all()


def test_order_of_dates_does_not_matter_and_each_is_alone():
    "Dates in any order, repeated, or one alone give the same images."
    _, fine, coarse = cube()
    some = fusion.fuse_series(fine, coarse, DAYS[[90, 20, 20]], half=5)["fused"].values
    alone = fusion.fuse_series(fine, coarse, DAYS[20], half=5)["fused"].values
    assert same(some[1], some[2]) and np.allclose(some[1], alone[0], rtol=1e-5, equal_nan=True)
    assert not same(some[0], some[1])


def test_a_series_on_dask_is_the_one_in_memory():
    "A lazy series, in chunks of days, gives the same numbers."
    _, fine, coarse = cube()
    lazy = fusion.fuse_series(fine.chunk(time=10), coarse.chunk(time=7), DAYS[::40], half=5, uncertainty=True)
    assert lazy.identical(fusion.fuse_series(fine, coarse, DAYS[::40], half=5, uncertainty=True))


def test_a_period_under_cloud_takes_the_next_one():
    "A pixel without a clear day in a whole period is found from the base dates further away."
    truth, fine, coarse = cube(cloud=0.2)
    fine[32:64, 10:20, 10:20] = np.nan
    found = fusion.fuse_series(fine, coarse, DAYS[[40, 55]], half=5)
    error = np.abs(found["fused"] - truth.sel(time=found["time"]))
    assert (found["share"] == 1).all() and error[:, 10:20, 10:20].mean() < 2 * error.mean()


def test_days_without_a_coarse_image():
    "A coarse gap is bridged in time where it is short, and told as missing where it is long."
    truth, fine, coarse = cube()
    some = coarse.isel(time=np.r_[0:60:4, 100:128])
    found = fusion.fuse_series(fine, some, DAYS[[9, 80, 110]], half=5, longest=16)
    assert found["share"].values.tolist() == [1, 0, 1]
    halfway = fusion.series._at(coarse.isel(time=[0, 4]), DAYS[[1]].values, 16)
    assert np.allclose(halfway, 0.75 * coarse[0] + 0.25 * coarse[4], equal_nan=True)


def test_resampling_is_linear_between_cells_and_skips_missing_ones():
    "A plane comes back as a plane, a missing cell gets no zero, and beyond the grid there is nothing."
    y, x = 38 - (np.arange(8) + 0.5) / 20, 126 + (np.arange(8) + 0.5) / 20
    plane = xr.DataArray(y[:, None] + 2 * x[None], dims=("y", "x"), coords={"y": y, "x": x})
    there = 38 - (np.arange(60) + 0.5) / 120, 126 + (np.arange(60) + 0.5) / 120
    fine = xr.DataArray(np.zeros((60, 60)), dims=("y", "x"), coords=dict(zip("yx", there)))
    found = fusion.Resampling(plane, fine)(plane)
    asked = there[0][:, None] + 2 * there[1][None]
    assert np.allclose(found[3:45, 3:45], asked[3:45, 3:45], atol=1e-4)
    assert np.isnan(found[48:]).all() and np.isfinite(found[:48, :48]).all()
    hole = plane.where(~((plane["y"] < 37.9) & (plane["x"] < 126.1)))
    assert np.nanmin(fusion.Resampling(plane, fine)(hole)) > 280
    blocks = fusion.Resampling(plane, fine, "nearest")(plane)
    assert same(blocks[:48, :48], np.kron(plane.values.astype(np.float32), np.ones((6, 6), np.float32)))
    turned = fusion.Resampling(plane[::-1], fine)(plane[::-1])
    assert np.allclose(turned, found, atol=1e-4, equal_nan=True)


def test_series_that_do_not_fit_are_refused():
    "Times that are not sorted, grids apart or swapped, no common day, no dates: one line each."
    _, fine, coarse = cube()
    away = coarse.assign_coords(x=coarse["x"] + 5)
    for given, options, said in [((fine[0], coarse, DAYS[:1]), {}, "fine has the dimensions"),
                                 ((fine[::-1], coarse, DAYS[:1]), {}, "not sorted"),
                                 ((fine, away, DAYS[:1]), {}, "do not overlap"),
                                 ((coarse, fine, DAYS[:1]), {}, "swapped"),
                                 ((fine[:40], coarse[100:], DAYS[:1]), {}, "no day has a fine and a coarse"),
                                 ((fine, coarse, DAYS[:0]), {}, "no dates"),
                                 ((fine, coarse, DAYS[:1]), {"every": 0}, "every = 0"),
                                 ((fine, coarse, DAYS[:1]), {"resample": "linear"}, "resample = 'linear'")]:
        with pytest.raises(InputError, match=said):
            fusion.fuse_series(*given, **options)


def test_the_simpler_method_fuses_series_too():
    "STARFM between the same base dates finds every pixel, without a spread; another name is refused."
    _, fine, coarse = cube()
    found = fusion.fuse_series(fine, coarse, DAYS[[40]], half=5, method="starfm", uncertainty=True)
    assert (found["share"] == 1).all() and "sd" not in found
    with pytest.raises(InputError, match="or 'starfm'"):
        fusion.fuse_series(fine, coarse, DAYS[[40]], method="starf")


def test_the_nearest_in_time_and_the_line_between():
    "Of a pixel seen on days 0, 10 and 20 with a gap: nearest and interpolated values; beyond the ends the last one."
    times = DAYS[[0, 10, 20]]
    fine = xr.DataArray(np.array([1.0, 2.0, 4.0])[:, None, None] * np.ones((3, 2, 2)), dims=("time", "y", "x"),
                        coords={"time": times})
    fine[1, 0, 0] = np.nan
    fine[:, 1, 1] = np.nan
    dates = DAYS[[0, 4, 12, 30]]
    line, near = (fusion.in_time(fine, dates, how) for how in ("linear", "nearest"))
    assert np.allclose(line[:, 0, 1], [1, 1.4, 2.4, 4]) and np.allclose(line[:, 0, 0], [1, 1.6, 2.8, 4])
    assert near[:, 0, 1].values.tolist() == [1, 1, 2, 4] and near[:, 0, 0].values.tolist() == [1, 1, 4, 4]
    assert line[:, 1, 1].isnull().all() and (line["time"] == dates).all()


# ---- scores

def test_scores_find_planted_errors_on_common_pixels():
    "RMSE, bias and ratio of planted errors, on the pixels that all methods have; intervals hold them."
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 5, (20, 60, 60))
    truth[:, :10] = np.nan
    good, bad = truth + rng.normal(0, 1, truth.shape), truth + 1 + rng.normal(0, 2, truth.shape)
    bad[:5, 20:30] = np.nan
    table = fusion.scores({"good": good, "bad": bad}, truth, block=10, draws=200)
    assert (table["n"] == np.isfinite(bad).sum()).all() and table.loc["good", "share"] == 1 > table.loc["bad", "share"]
    assert np.allclose(table["rmse"], [1, 5**0.5], rtol=0.02) and np.allclose(table["bias"], [0, 1], atol=0.02)
    assert table.loc["bad", "ratio"] == pytest.approx(5**-0.5, rel=0.02)
    told = fusion.result(table, "bad", "ratio")
    assert told["interval"][0] < told["value"] < told["interval"][1] and told["n"] == table["n"].iloc[0]
    with pytest.raises(InputError, match="'good' has the shape"):
        fusion.scores({"good": good[1:]}, truth)
    with pytest.raises(InputError, match="no pixel has a value"):
        fusion.scores({"none": np.full_like(truth, np.nan)}, truth)


def test_an_error_that_days_share_widens_the_interval():
    "The same errors as a whole day, or anew in each pixel: the interval knows the difference."
    rng = np.random.default_rng(1)
    truth = np.zeros((20, 40, 40))
    shared = np.broadcast_to(rng.normal(0, 1, (20, 1, 1)), truth.shape)
    wide, narrow = (fusion.scores({"it": part}, truth, block=10, draws=300).loc["it"] for part in
                    (shared, rng.normal(0, 1, truth.shape)))
    assert wide["rmse_high"] - wide["rmse_low"] > 5 * (narrow["rmse_high"] - narrow["rmse_low"])


def test_an_image_is_held_out_of_its_own_prediction():
    "What is predicted for an image does not know it, comes from its two nearest neighbours, and beats no change."
    fine, coarse, later, truth = scene(bands=1, dates=2)
    times = {"time": DAYS[[0, 10, 20, 60]]}
    images, wide = (xr.DataArray(np.concatenate([part[:1], middle, part[1:]])[:, 0], dims=("time", "y", "x"),
                                 coords=times) for part, middle in ((fine, truth), (coarse, later)))
    made = fusion.hold_out(images, wide, 1, half=6)
    wrong = images.copy()
    wrong[1], wrong[3] = 99, 99
    again = fusion.hold_out(wrong, wide, 1, half=6)
    assert all(same(made[name], again[name]) for name in made) and same(made["no change"], images[0])
    table = fusion.scores(made, images[1], block=12, draws=50)
    assert table.loc["ESTARFM", "rmse"] < 0.5 * table.loc["no change", "rmse"]
    with pytest.raises(InputError, match="two or more"):
        fusion.hold_out(images[:1], wide, 0)


def test_pictures_of_a_fusion():
    "Each drawing takes what the library gives, and names units and methods."
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from phenolib.plots import fusion as draw

    fine, coarse, later, truth = scene(bands=1)
    told = fusion.Pair(fine, coarse, half=5).pixel(20, 20, later[0])
    figure = draw.one_pixel(told, unit="K", dates=("May", "June"))
    title = figure.axes[0].get_title(loc="left") + figure.axes[0].get_title()
    assert len(figure.axes) == 6 and "similar pixels" in title
    table = fusion.scores({"one": later, "two": later + 1}, truth, block=12, draws=20)
    figure, axes = plt.subplots(1, 4)
    draw.ratios(axes[0], {"here": table})
    draw.rmse_bars(axes[1], table, unit="K")
    draw.error_by_spread(axes[2], fusion.by_spread(later, np.abs(later), truth), unit="K")
    draw.image_row(axes[3:], [later], ["coarse"], label="K")
    assert "one" in axes[0].get_xlabel() and "[K]" in axes[1].get_xlabel() and "[K]" in axes[2].get_xlabel()
    plt.close("all")


def test_error_by_spread():
    "Errors drawn by a planted spread come back in order, part by part."
    rng = np.random.default_rng(2)
    spread = rng.uniform(0.1, 2, 20_000)
    table = fusion.by_spread(rng.normal(0, spread), spread, np.zeros(20_000), parts=5)
    assert table["rmse"].is_monotonic_increasing and np.allclose(table["rmse"], table["spread"], rtol=0.15)


# ---- real files

@real
@pytest.mark.parametrize("name", ["estarfm_200_1", "estarfm_60_4"])
def test_agreement_with_a_public_port(name):
    "The port's numbers come out everywhere to a millionth of the range, with the survival function in the F test."
    given = np.load(Path(ROOT, "fusion_reference", f"{name}.npz"))
    fine, coarse = (np.stack([given[f"{part}_{date}"] for date in "mn"]) for part in ("fine", "coarse"))
    found = fusion.estarfm(fine, coarse, given["coarse_p"], valid=(0, 10_000))["fused"].values
    difference = np.abs(found - given["reference"]) / 10_000
    assert np.median(difference) < 1e-6 and difference.max() < 1e-5


@real
@pytest.mark.parametrize("number,first,last", [(1, 1, 2), (2, 1, 4), (3, 1, 4)])
def test_classic_pairs_are_no_worse_than_starfm(number, first, last):
    "A changing level, a moving line and a changing patch, from one base date, are recovered as well as by STARFM."
    import rioxarray

    def image(sensor, date):
        path = Path(ROOT, "fusion_simulated", f"Test_{number}", f"sim_{sensor}_t{date}.tif")
        return rioxarray.open_rasterio(path).values[0].astype(np.float32)

    fine, coarse = image("Landsat", first)[None], image("MODIS", first)[None]
    later, truth = image("MODIS", last), image("Landsat", last)
    ours, simple = (np.sqrt(((method(fine, coarse, later)["fused"].values - truth)**2).mean())
                    for method in (fusion.estarfm, fusion.starfm))
    assert ours <= simple * 1.02
