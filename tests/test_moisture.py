"""What the chapters on soil moisture share: drivers that are kept, sums of rain, values at points."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import moisture
from phenolib.errors import InputError

FINE = 1 / 120
Y, X = 36.25 - FINE * (np.arange(60) + 0.5), 127 + FINE * (np.arange(60) + 0.5)
TIME = pd.date_range("2018-11-01", "2020-03-01", name="time")
GROUND = xr.Dataset({name: (("y", "x"), np.full((60, 60), value, np.float32)) for name, value in (
    ("elevation", 50.0), ("slope", 1.0), ("sand", 0.4), ("clay", 0.2))}, {"y": Y, "x": X})


class Land:
    "An archive of images that are one plane, with a fine pattern that stays; the fine ones have clouds."

    def __init__(self, ground=GROUND):
        self.land, self.asked = ground, 0
        wave = 10 + 8 * np.sin(2 * np.pi * TIME.day_of_year.values / 365)[:, None, None]
        pattern = np.add.outer(np.sin(np.arange(60)), np.cos(np.arange(60))).astype(np.float32)
        whole = (wave + pattern).astype(np.float32)
        clear = np.random.default_rng(0).random((len(TIME), 60, 60)) > 0.5
        self.true = xr.DataArray(whole, {"time": TIME, "y": Y, "x": X}, ("time", "y", "x"))
        self.fine, self.coarse = self.true.where(clear), self.true.coarsen(y=6, x=6).mean()

    def hash(self, kinds):
        return "land"

    def ground(self):
        return self.land

    def fine_images(self, what):
        self.asked += 1
        return self.fine

    def coarse_images(self, what):
        return self.coarse


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))


def test_drivers_are_fused_once_and_kept(home):
    "The fine pattern comes back on days under clouds; a second call reads what the first one kept."
    land, dates = Land(), moisture.days("2019-06-01", "2019-08-30", 10)
    first = moisture.drivers(land, dates, what=("lst_day",))["lst_day"].load()
    asked = land.asked
    again = moisture.drivers(land, dates, what=("lst_day",))["lst_day"].load()
    assert land.asked == asked and first.identical(again)
    assert float(abs(first - land.true.sel(time=dates)).mean()) < 0.1
    assert first.attrs["share"] == 1


def test_the_sea_stays_missing(home):
    "Pixels without ground have no driver, and the share counts the others."
    ground = GROUND.assign(elevation=GROUND["elevation"].where(GROUND["x"] > X[9]))
    found = moisture.drivers(Land(ground), moisture.days("2019-06-01", "2019-06-30", 10), what=("lst_night",))
    assert bool(found["lst_night"].isel(x=slice(0, 10)).isnull().all()) and found.attrs["share"]["lst_night"] == 1


@pytest.mark.parametrize("dates, what, words", [
    (["2019-06-02", "2019-06-01"], ("ndvi",), "ascend"), (["2019-06-01"], ("ndwi",), "did you mean 'ndvi'"),
    ([], ("ndvi",), "ascend")])
def test_drivers_that_cannot_be(home, dates, what, words):
    "Days in disorder and unknown drivers are told in one line."
    with pytest.raises(InputError, match=words):
        moisture.drivers(Land(), pd.DatetimeIndex(dates), what=what)


def fused(dates):
    return xr.Dataset({name: (("time", "y", "x"), np.full((len(dates), 60, 60), value, np.float32))
                       for name, value in (("lst_day", 25.0), ("lst_night", 15.0), ("ndvi", 0.5))},
                      {"time": dates, "y": Y, "x": X})


def rain(values):
    y, x = Y[0] + FINE / 2 - 0.1 * (np.arange(5) + 0.5), X[0] - FINE / 2 + 0.1 * (np.arange(5) + 0.5)
    return xr.DataArray(np.broadcast_to(np.asarray(values, float)[:, None, None], (len(values), 5, 5)),
                        {"time": TIME[:len(values)], "y": y, "x": x}, ("time", "y", "x"))


def test_sums_of_rain():
    "Sums hold the last days with the day itself, and are missing where the days before are not there."
    dates = pd.DatetimeIndex([TIME[2], TIME[40]], name="time")
    found = moisture.covariates(fused(dates), GROUND, rain(np.arange(50)))
    middle = found.isel(y=30, x=30)
    assert set(found) == set(moisture.COVARIATES)
    assert np.allclose(middle["rain_1"], [2, 40]) and np.allclose(middle["rain_3"], [3, 40 + 39 + 38])
    assert np.isnan(middle["rain_30"][0]) and np.isclose(middle["rain_30"][1], np.arange(11, 41).sum())
    assert np.allclose(middle["lst_range"], 10) and found["clay"].dims == ("y", "x")
    assert bool(found["rain_1"].notnull().all())  # at the edge of the rain too
    assert np.allclose(found["season_sin"] ** 2 + found["season_cos"] ** 2, 1)


def test_covariates_of_other_ground_or_days():
    "Ground on another grid, without a layer, or days without rain are refused."
    dates = pd.DatetimeIndex([TIME[40]], name="time")
    with pytest.raises(InputError, match="different grids"):
        moisture.covariates(fused(dates), GROUND.assign_coords(x=X + 0.1), rain(np.ones(50)))
    with pytest.raises(InputError, match="no 'clay'"):
        moisture.covariates(fused(dates), GROUND.drop_vars("clay"), rain(np.ones(50)))
    with pytest.raises(InputError, match="ends 3.0 of its cells"):
        moisture.covariates(fused(dates), GROUND, rain(np.ones(50)).isel(x=slice(0, 2)))
    with pytest.raises(InputError, match="no rain of 2018-12-11"):
        moisture.covariates(fused(dates), GROUND, rain(np.ones(20)))


def test_values_at_points():
    "A point gets the pixel that it lies in; one outside is refused by name."
    maps = xr.DataArray(np.arange(3600.0).reshape(60, 60), {"y": Y, "x": X}, ("y", "x"))
    found = moisture.at_points(maps, [X[3] + 0.4 * FINE, X[10]], [Y[7], Y[0] - 0.4 * FINE])
    assert found.dims == ("station",) and found.values.tolist() == [7 * 60 + 3, 10.0]
    with pytest.raises(InputError, match="longitude 140 lies outside"):
        moisture.at_points(maps, [140.0], [36.1])
    with pytest.raises(InputError, match="at least 1"):
        moisture.days("2019-01-01", "2019-02-01", 0)
