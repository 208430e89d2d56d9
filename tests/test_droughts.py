"""Dry spells: percentiles of a season, begin and end of planted spells, recovery of two layers, flash droughts."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import droughts
from phenolib.errors import InputError

TIME = pd.date_range("2011-01-01", "2020-12-31")


def planted(seed=0, places=3):
    "(time, place) of ten years with a season; the spring of the last is dry."
    rng = np.random.default_rng(seed)
    season = 0.3 + 0.08 * np.cos(2 * np.pi * TIME.day_of_year.to_numpy() / 365.25)
    values = season[:, None] + rng.normal(0, 0.02, (TIME.size, places))
    dry = (TIME >= "2020-04-10") & (TIME < "2020-05-25")
    values[dry] -= 0.12
    return xr.DataArray(values, {"time": TIME, "place": list("abcdefgh"[:places])}, ("time", "place"))


def test_the_index_takes_the_season_out():
    "Percentiles are even over the year, whatever the season does; the dry spring stands near 0."
    index = droughts.moisture_index(planted())
    monthly = index.isel(place=0).groupby("time.month").median()
    assert monthly.to_series().between(35, 65).all()
    assert float(index.sel(time=slice("2020-04-10", "2020-05-24")).max()) < 15
    assert index.attrs["climatology"] == "2011-2020" and float(index.min()) >= 0 and float(index.max()) <= 100


def test_another_climatology_can_be_given():
    "Days wetter than all of the reference stand at 100; missing days stay missing, and too few values give none."
    series, past = planted(), planted(1).sel(time=slice(None, "2018"))
    series[-1] = np.nan
    index = droughts.moisture_index(series + 1, past)
    assert (index[:-1] == 100).all() and index[-1].isnull().all()
    assert droughts.moisture_index(series, past.sel(time="2018"), least=40).isnull().all()
    with pytest.raises(InputError, match="same places"):
        droughts.moisture_index(series, past[:, :2])


def test_a_planted_spell_is_found():
    "Its onset and end within few days, its length, and not in the place without one."
    series = planted()
    series[:, 2] = planted(3)[:, 2] + np.where((TIME >= "2020-04-10") & (TIME < "2020-05-25"), 0.12, 0)
    found = droughts.spells(droughts.moisture_index(series), days=20)
    assert found["series"].tolist() == ["a", "b"]
    assert (abs(found["onset"] - pd.Timestamp("2020-04-10")) <= pd.Timedelta(2, "D")).all()
    assert (abs(found["end"] - pd.Timestamp("2020-05-25")) <= pd.Timedelta(5, "D")).all()
    assert found["days"].between(43, 50).all() and not found["open"].any() and (found["lowest"] < 5).all()


def test_a_spell_at_the_end_is_open_and_a_gap_does_not_end_it():
    "Three missing days within a spell are bridged; a spell that the series ends in says so."
    index = xr.DataArray(np.r_[np.full(20, 60.0), np.full(20, 10.0)], {"time": TIME[:40]}, "time")
    index[30:33] = np.nan
    found = droughts.spells(index)
    assert len(found) == 1 and found["days"].iloc[0] == 20 and found["open"].iloc[0]
    assert len(droughts.spells(index, bridge=0)) == 1 and len(droughts.spells(index, days=30)) == 0


def test_the_surface_recovers_in_days_and_the_root_zone_in_weeks():
    "Planted relaxation times of the two layers come back in order; what was not dry has none."
    day = np.arange(120)
    made = [np.where(day < 50, 5, np.minimum(5 + rate * (day - 50), 70)) for rate in (20, 1.5)]
    index = xr.DataArray([*made, np.full(120, 60.0)], {"layer": ["surface", "root", "wet"], "time": TIME[:120]},
                         ("layer", "time"))
    found = droughts.recovery(index, TIME[50])
    assert found["days"].values[:2].tolist() == [2, 24] and np.isnan(found["days"].values[2])
    assert found["dry"].values.tolist() == [True, True, False]
    assert not droughts.recovery(index, TIME[50], most=10)["recovered"].values[1]
    with pytest.raises(InputError, match="outside of the series"):
        droughts.recovery(index, "2030-01-01")


def test_flash_is_fast():
    "A fall from 60 to 10 % in 15 days is one, the same fall in 60 days is none."
    fast = np.r_[np.full(50, 60.0), np.linspace(60, 10, 15), np.full(55, 10.0)]
    slow = np.r_[np.full(30, 60.0), np.linspace(60, 10, 60), np.full(30, 10.0)]
    index = xr.DataArray([fast, slow], {"station": ["fast", "slow"], "time": TIME[:120]}, ("station", "time"))
    found = droughts.flash_droughts(index)
    assert found["series"].tolist() == ["fast"]
    assert found["days"].iloc[0] <= 20 and found["drop"].iloc[0] > 20
    with pytest.raises(InputError, match="not daily"):
        droughts.flash_droughts(index[:, ::2])
    with pytest.raises(InputError, match="dimensions"):
        droughts.spells(index.expand_dims("x"))
