"""Maps of dates: a tile gives what its pixels give one by one, whatever else lies in it."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from phenolib import season_maps, splits
from phenolib.nets.cropclock import CropClock
from phenolib.nets.deepcrop import DeepCroP

FIRST = np.datetime64("2018-06-01", "ns")
DAY = np.timedelta64(1, "D")


def course(days, start, end):
    "NDVI that rises around one day of 2019 and falls around another."
    return 0.2 + 0.6 * (1 / (1 + np.exp((start - days) / 6)) - 1 / (1 + np.exp((end - days) / 6)))


def scenes(starts, *, size=24, cloudy=0.0, seed=0):
    "Two sensors over fields beside one another that start on several days of 2019."
    rng = np.random.default_rng(seed)
    time, look = FIRST + np.arange(0, 760, 5) * DAY, FIRST + np.arange(0, 760, 12) * DAY
    start = np.repeat(starts, -(-size // len(starts)))[:size][None, None, :]
    days = ((time - np.datetime64("2019-01-01")) / DAY)[:, None, None]
    ndvi = course(days, start, start + 110) * np.ones((1, size, 1))
    red = np.full(ndvi.shape, 0.06, np.float32)
    bands = {"B02": 0.04 + 0 * red, "B03": 0.06 + 0.04 * ndvi, "B04": red, "B08": red * (1 + ndvi) / (1 - ndvi)}
    clear = rng.random(time.size)[:, None, None] >= cloudy
    space = {"y": 4e6 - 10.0 * np.arange(size), "x": 5e5 + 10.0 * np.arange(size)}
    optical = xr.Dataset({b: (("time", "y", "x"), np.where(clear, v, np.nan).astype(np.float32))
                          for b, v in bands.items()}, {"time": time, **space})
    power = 10 ** (-1.2 + 0.3 * rng.random((look.size, size, size)))
    radar = xr.Dataset({v: (("time", "y", "x"), power) for v in ("vv", "vh")}, {"time": look, **space})
    return {"optical": optical, "radar": radar}


def scale():
    return {s: splits.Scaler(np.zeros(2), np.ones(2)) for s in ("optical", "sar")}


def clock(**options):
    torch.manual_seed(0)
    return season_maps.CropClock([CropClock().eval()], [scale()], (2019,), np.zeros(4), **options)


def deepcrop():
    torch.manual_seed(0)
    return season_maps.DeepCrop(DeepCroP().eval(), scale(), (2019,))


def part(block, y, x):
    return {s: cube.isel(y=y, x=x) for s, cube in block.items()}


def same(one, other):
    for name in one.data_vars:
        a, b = one[name].values, other[name].values
        assert (np.isnat(a) == np.isnat(b)).all(), name
        assert not np.isfinite(a.astype(float)).any() or np.nanmax(np.abs((a - b) / DAY)) < 1e-2, name


def test_a_curve_finds_the_fields_apart():
    "Each column has the dates of its field; the year is the harvest year; bounds lie around the dates."
    found = season_maps.Curve((2019,))(scenes([100, 140]))
    days = season_maps.days(found).sel(year=2019)
    assert np.abs(days["sos50"].isel(x=0) - 100).max() < 3 and np.abs(days["sos50"].isel(x=-1) - 140).max() < 3
    assert (found["sos20_low"] <= found["sos20"]).all() and (found["eos20"] <= found["eos20_high"]).all()


def test_a_year_without_scenes_is_missing():
    "Nothing is made up for a year that was not seen."
    found = season_maps.Curve((2019, 2031))(scenes([100]))
    assert found["sos50"].sel(year=2031).isnull().all() and found["sos50"].sel(year=2019).notnull().all()


def test_cropclock_dates_a_pixel_as_if_it_were_alone():
    "But for the mean of 3 × 3 pixels, neither what lies beside a pixel nor how a tile is cut up changes anything."
    block = scenes([100, 140, 180], cloudy=0.3)
    whole = clock()(block)
    same(whole, clock(batch=50)(block))
    same(whole.isel(y=slice(4, 12), x=slice(4, 8)),
         clock()(part(block, slice(3, 13), slice(3, 9))).isel(y=slice(1, 9), x=slice(1, 5)))


def test_deepcrop_with_its_context_gives_the_same_in_two_tiles():
    "Nine pixels of context are enough, and the border of the scene is missing."
    block = scenes([120], size=40)
    whole = deepcrop()(block)
    inner = dict(y=slice(9, 32), x=slice(9, 32))
    assert whole["sos50"].isel(x=slice(0, 9)).isnull().all() and whole["sos50"].isel(y=slice(32, None)).isnull().all()
    left = deepcrop()(part(block, slice(None), slice(0, 29))).isel(x=slice(0, 20))
    same(whole.isel(x=slice(9, 20), y=inner["y"]), left.isel(x=slice(9, 20), y=inner["y"]))


def test_deepcrop_gives_what_the_network_says_of_a_patch(monkeypatch):
    "One pixel by hand: its window, its patch, its dates."
    block = scenes([120], size=20)
    seen = {}
    way = deepcrop()
    dense = way.network.dense

    def spy(optical, sar, **given):
        seen.update(given, optical=torch.as_tensor(optical), sar=torch.as_tensor(sar))
        return dense(optical, sar, **given)

    monkeypatch.setattr(way.network, "dense", spy)
    found = way(block)
    with torch.no_grad():
        logits = way.network(seen["optical"][None, :, :18, :18].float(), seen["sar"][None, :, :18, :18].float(),
                             optical_days=seen["optical_days"][None], sar_days=seen["sar_days"][None],
                             mask=torch.as_tensor(seen["mask"][:, 9, 9])[None])
    expected = way.network.dates(logits, seen["optical_days"]).expected[0, 1]
    day = (found["sos50"].values[0, 9, 9] - block["optical"]["time"].values) / DAY
    assert np.abs(day - float(expected)).min() < 0.01


def test_a_pixel_that_was_never_seen_is_missing():
    "Cloud on every date: no date by any of the three, and no error."
    block = scenes([120], size=24)
    block["optical"] = block["optical"].where(block["optical"]["x"] > block["optical"]["x"][3])
    found = season_maps.Every({"ndvi": season_maps.Curve((2019,)), "cropclock": clock()})(block)
    assert found["ndvi_sos50"].isel(x=slice(0, 4)).isnull().all()
    assert found["cropclock_sos50"].isel(x=slice(0, 4)).isnull().all()
    assert found["cropclock_sos50"].isel(x=slice(4, None)).notnull().all()
    assert all(layer.attrs.get("long_name") for layer in found.data_vars.values())


def test_days_count_from_the_harvest_year():
    "A winter crop starts before its year begins."
    dates = xr.Dataset({"sos20": (("year", "x"), np.array([["2018-12-30", "NaT"]], "datetime64[ns]")),
                        "amplitude": (("year", "x"), np.ones((1, 2)))}, {"year": [2019]})
    found = season_maps.days(dates)
    assert list(found.data_vars) == ["sos20"] and found["sos20"].values[0, 0] == -2 and np.isnan(found["sos20"][0, 1])


@pytest.mark.parametrize("members", [0, 3])
def test_more_members_than_there_are(members):
    "The ensemble has two."
    fit = type("Fit", (), {"model": None})
    found = type("Found", (), {"networks": [fit, fit], "tasks": [fit, fit]})
    with pytest.raises(season_maps.InputError, match="the ensemble has 2"):
        season_maps.CropClock.of(found, (2019,), members=members)


def test_fields_are_judged_with_the_offset_of_their_crop_taken_away():
    "Two crops with offsets of their own; one field of three is five days off; small and undated fields are left out."
    number = np.repeat([1, 2, 3, 4, 5, 6], 10)[None].repeat(10, 0)
    true = {1: 100, 2: 110, 3: 120, 4: 200, 5: 210, 6: 220}
    found = np.vectorize(lambda n: true[n] + (7 if n <= 3 else -4) + 5 * (n == 2))(number).astype(np.float32)
    found[:, 50:] = np.nan
    at = {"y": np.arange(10.0), "x": np.arange(60.0)}
    dates = pd.DataFrame({"parcel": list(true), "crop": ["corn"] * 3 + ["rice"] * 3, "season": 2019,
                          "direction": "rising", "share": 50,
                          "date": [np.datetime64("2019-01-01") + np.timedelta64(d, "D") for d in true.values()]})
    layer = xr.Dataset({"ndvi_sos50": (("y", "x"), found)}, at)
    table = season_maps.fields(layer, (dates, xr.DataArray(number, at, ("y", "x"))), 2019, ["ndvi"], events=["sos50"])
    assert table["field"].tolist() == [1, 2, 3, 4, 5] and table["away"].tolist() == [7, 12, 7, -4, -4]
    assert table["left"].tolist() == [0, 5, 0, 0, 0]


def test_a_slope_to_the_north():
    "Two days a kilometre, whatever one block says; too few blocks give none."
    y = 4e6 - 10.0 * np.arange(400)
    values = np.repeat((y - y.min())[:, None] / 1000 * 2 + 100, 20, 1)
    values[:20] += 50
    layer = xr.DataArray(values, {"y": y, "x": np.arange(20.0)}, ("y", "x"))
    found = season_maps.northward(layer)
    assert found["blocks"] == 20 and found["slope"] == pytest.approx(2, abs=0.05) and found["low"] <= 2 <= found["high"]
    assert np.isnan(season_maps.northward(layer.where(layer["y"] > y[60]))["slope"])


@pytest.mark.parametrize("upward", [True, False])
def test_a_map_that_shows_what_lies_to_the_north_is_found_out(upward):
    "Moved by four pixels of 10 m and by an offset, with noise: 40 m, whichever way the rows run."
    rng = np.random.default_rng(0)
    fields = np.kron(rng.normal(0, 20, (30, 4)), np.ones((9, 10)))  # first row in the north
    y = 10.0 * np.arange(fields.shape[0])[::-1]
    map_of = {"y": y, "x": 10.0 * np.arange(fields.shape[1])}
    other = xr.DataArray(fields, map_of, ("y", "x"))
    layer = xr.DataArray(np.roll(fields, 4, 0) - 15 + rng.normal(0, 2, fields.shape), map_of, ("y", "x"))
    if upward:
        layer, other = layer.isel(y=slice(None, None, -1)), other.isel(y=slice(None, None, -1))
    found = season_maps.displacement(layer, other)
    assert found["north"] == found["low"] == found["high"] == found["misfit"].idxmin() == 40
    assert found["misfit"][40] < 3 < found["misfit"][0] and season_maps.displacement(other, other)["north"] == 0
    for nothing in (layer * np.nan, layer.isel(y=slice(0, 12))):
        assert np.isnan(season_maps.displacement(nothing, other.sel(y=nothing["y"]))["north"])


def test_only_four_dates_make_a_pixel_whole():
    "One that lacks one of them is not."
    found = xr.Dataset({f"ndvi_{event}": ("x", [1.0, np.nan if event == "eos20" else 2.0]) for event in
                        ("sos20", "sos50", "eos50", "eos20")})
    assert season_maps.whole(found, ["ndvi"])["ndvi"].values.tolist() == [1, 0]
