import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import phenology
from phenolib.errors import InputError

DAY = np.timedelta64(1, "D")


def field(humps, start="2018-01-01", end="2020-12-31", step=3, noise=0.003, base=0.33, seed=0):
    "Greenness with flat-topped seasons: (half rise, half fall, height, steepness in days) each."
    time = pd.date_range(start, end, freq=f"{step}D")
    day = (time - pd.Timestamp("1970-01-01")).days.to_numpy(float)
    values = np.full(day.size, base)
    for rise, fall, height, steep in humps:
        a, b = (float((np.datetime64(d, "D") - np.datetime64("1970-01-01")).astype(int)) for d in (rise, fall))
        values += height / (1 + np.exp(-(day - a) / steep)) / (1 + np.exp((day - b) / steep))
    values += noise * np.random.default_rng(seed).normal(size=day.size)
    return xr.DataArray(values, dims="time", coords={"time": time}, name="gcc")


SUMMERS = [(f"{y}-06-05", f"{y}-09-20", 0.1, 4) for y in (2018, 2019, 2020)]


def rows_of(series, **options):
    return phenology.table(phenology.seasons(series, **options))


def off(found, date):
    return abs(pd.Timestamp(found) - pd.Timestamp(date)) / pd.Timedelta(1, "D")


def test_summer_seasons_come_back():
    "Three planted summers are found, each date within three days, and nothing else."
    rows = rows_of(field(SUMMERS))
    assert list(rows["season"]) == [2018, 2019, 2020] and (rows["quality"] == 0).all()
    for (rise, fall, _, steep), row in zip(SUMMERS, rows.itertuples()):
        early, late = pd.Timestamp(rise), pd.Timestamp(fall)
        assert off(row.sos50, early) <= 3 and off(row.eos50, late) <= 3
        assert off(row.sos20, early - steep * np.log(4) * DAY) <= 3
        assert off(row.eos20, late + steep * np.log(4) * DAY) <= 3
        assert row.sos20 < row.sos50 < row.peak < row.eos50 < row.eos20


def test_season_crossing_new_year():
    "A winter wheat that greens in November keeps its start before its end, in the harvest year."
    wheat = [(f"{y - 1}-11-05", f"{y}-06-20", 0.09, 5) for y in (2018, 2019, 2020)]
    rows = rows_of(field(wheat, start="2017-08-01")).dropna(subset="peak")
    assert list(rows["season"]) == [2018, 2019, 2020]
    assert (rows["sos20"] < rows["eos20"]).all() and (rows["sos50"].dt.year == rows["season"] - 1).all()
    assert max(off(r.sos50, f"{r.season - 1}-11-05") for r in rows.itertuples()) <= 3


def test_two_seasons_a_year():
    "A wheat and a soybean in one year are two seasons, ranked by amplitude."
    double = []
    for y in (2018, 2019, 2020):
        double += [(f"{y}-03-10", f"{y}-06-10", 0.1, 4), (f"{y}-07-15", f"{y}-09-25", 0.07, 4)]
    found = phenology.seasons(field(double))
    assert int(found.n_seasons) == 6
    first = found.sel(season=(found.year == 2019) & (found["rank"] == 1))
    assert off(first.sos50.item(), "2019-03-10") <= 3
    rows = phenology.table(found)
    assert rows["peak"].is_monotonic_increasing and len(rows) == 6


def test_rise_without_observations_has_no_date():
    "A camera set up in July has seen no start: the date is missing and the quality says why."
    rows = rows_of(field(SUMMERS, start="2018-07-10"))
    first = rows.iloc[0]
    assert pd.isna(first.sos20) and pd.isna(first.sos50) and first.reason == "start not observed, peak at edge"
    assert off(first.eos50, "2018-09-20") <= 3 and (rows["quality"].iloc[1:] == 0).all()


def test_rise_in_a_gap_has_no_date():
    "A green-up that falls into a gap is not interpolated into a date; the fall of the same season is kept."
    series = field(SUMMERS)
    gap = (series["time"] > np.datetime64("2019-05-10")) & (series["time"] < np.datetime64("2019-06-28"))
    rows = rows_of(series.where(~gap))
    second = rows[rows["season"] == 2019].iloc[0]
    assert pd.isna(second.sos50) and "start in gap" in second.reason and off(second.eos50, "2019-09-20") <= 3


def test_short_gap_is_dated_and_said():
    "A date within a gap of three weeks is kept and marked as interpolated."
    series = field(SUMMERS)
    gap = (series["time"] > np.datetime64("2019-05-27")) & (series["time"] < np.datetime64("2019-06-16"))
    row = rows_of(series.where(~gap)).query("season == 2019").iloc[0]
    assert "date interpolated" in row.reason and off(row.sos50, "2019-06-05") <= 8


def test_year_without_observations_is_reported():
    "A year of silence between others is a row without dates."
    series = field(SUMMERS)
    quiet = series["time"].dt.year == 2019
    rows = rows_of(series.where(~quiet))
    silent = rows[rows["season"] == 2019].iloc[0]
    assert silent.reason == "no data" and pd.isna(silent.peak) and len(rows) == 3


def test_constant_and_noise_have_no_season():
    "Bare soil has no season; noise alone makes none."
    time = pd.date_range("2018-01-01", "2019-12-31", freq="3D")
    flat = xr.DataArray(np.full(time.size, 0.33), dims="time", coords={"time": time})
    assert int(phenology.seasons(flat).n_seasons) == 0
    noise = flat + 0.004 * np.random.default_rng(0).normal(size=time.size)
    assert int(phenology.seasons(noise).n_seasons) == 0
    assert set(phenology.table(phenology.seasons(noise))["reason"]) == {"no season"}


def test_all_missing_is_no_data():
    "A series without a single value is no error and no season."
    found = phenology.seasons(field(SUMMERS) * np.nan)
    assert int(found.n_seasons) == 0 and len(phenology.table(found)) == 0


def test_first_and_last_crossing_differ_where_weeds_come_first():
    "With a green flush before the main rise, the first crossing is the flush and the last one the crop."
    flush = [(f"{y}-04-10", f"{y}-05-08", 0.03, 4) for y in (2018, 2019, 2020)]
    series = field(SUMMERS + flush)
    first, last = (
        rows_of(series, crossing=c, min_swing=0.4).query("season == 2019").iloc[0] for c in ("first", "last")
    )
    assert first.sos20 < pd.Timestamp("2019-05-01") < pd.Timestamp("2019-05-20") < last.sos20
    assert first.sos50 == last.sos50


def test_thresholds_name_the_dates():
    "Any whole per cent is a threshold of its own; parts of a per cent are refused."
    found = phenology.seasons(field(SUMMERS), thresholds=(0.5, 0.25, 0.05))
    assert {"sos05", "sos25", "sos50", "eos05"} <= set(found)
    for bad in (0, 1, 0.255, 20):
        with pytest.raises(InputError, match="whole per cent"):
            phenology.seasons(field(SUMMERS), thresholds=(bad,))


def test_blocks_of_pixels_are_the_same_as_pixels():
    "A dask cube gives the dates of its pixels one by one."
    cube = xr.concat([field(SUMMERS, seed=k) for k in range(4)], "pixel")
    lazy = phenology.seasons(cube.chunk(pixel=2)).compute()
    for k in range(4):
        xr.testing.assert_equal(lazy.isel(pixel=k), phenology.seasons(cube[k]))


def test_irregular_dates_and_order_of_magnitude_do_not_matter():
    "The same season on random dates, and in other units, has the same dates within two days."
    series = field(SUMMERS, step=1, noise=0.0)
    some = series.isel(time=np.sort(np.random.default_rng(3).choice(series.size, series.size // 4, replace=False)))
    reference = rows_of(series)
    for other in (rows_of(some), rows_of(1000 * series + 5)):
        for column in ("sos20", "sos50", "eos50", "eos20"):
            assert max(abs((other[column] - reference[column]) / pd.Timedelta(1, "D"))) <= 2


def test_a_flicker_of_days_is_no_season():
    "One wet, dark week between two dry ones is not a season."
    series = field(SUMMERS)
    flicker = (series["time"] >= np.datetime64("2019-12-01")) & (series["time"] < np.datetime64("2019-12-05"))
    assert len(rows_of(series + 0.04 * flicker, spike=0)) == 3


def test_quality_is_a_cf_flag():
    "The quality carries its own dictionary."
    attrs = phenology.seasons(field(SUMMERS)).quality.attrs
    assert len(attrs["flag_masks"]) == len(attrs["flag_meanings"].split()) == len(phenology.FLAGS)


def test_passing_is_the_nearest_crossing_in_its_direction():
    "A level is passed upwards in June and downwards in September."
    series = field(SUMMERS, noise=0.0)
    for near, direction, date in (("2019-05-01", "rising", "2019-06-05"), ("2018-11-01", "falling", "2018-09-20")):
        assert off(phenology.passing(series, 0.38, np.datetime64(near), direction), date) <= 1.5
    assert np.isnat(phenology.passing(series, 9.0, np.datetime64("2019-05-01"), "rising"))


def test_the_only_season_cut_on_both_sides_has_no_date():
    "Where no trough and no peak was ever seen there is nothing to measure from, and nothing is dated."
    series = field(SUMMERS[:1], start="2018-06-08", end="2018-09-12")
    rows = rows_of(series)
    assert rows[["sos20", "sos50", "eos50", "eos20"]].isna().all(axis=None)


def test_a_wild_value_does_not_bridge_a_gap():
    "One outlier in the middle of a gap is no observation: the date stays refused."
    series = field(SUMMERS)
    gap = (series["time"] > np.datetime64("2019-05-10")) & (series["time"] < np.datetime64("2019-06-28"))
    middle = np.flatnonzero(gap)[gap.values.sum() // 2]
    wild = series.where(~gap)
    wild[middle] = -3.0
    row = rows_of(wild).query("season == 2019").iloc[0]
    assert pd.isna(row.sos50) and "start in gap" in row.reason


def test_weights_of_fewer_dimensions_are_those_of_every_pixel():
    "Weights along time alone hold for all pixels, in any shape of cube."
    cube = xr.concat([xr.concat([field(SUMMERS, seed=3 * i + k) for k in range(3)], "x") for i in range(2)], "y")
    off = xr.DataArray((np.random.default_rng(0).random(cube.sizes["time"]) > 0.2).astype(float), dims="time")
    found = phenology.seasons(cube, weights=off)
    for y in range(2):
        for x in range(3):
            xr.testing.assert_equal(found.isel(y=y, x=x), phenology.seasons(cube[y, x], weights=off))
    with pytest.raises(InputError, match="dimension 'band'"):
        phenology.seasons(cube[0, 0], weights=off.expand_dims(band=2))
    with pytest.raises(InputError, match="must be a DataArray"):
        phenology.seasons(cube, weights=np.ones(cube.shape))


def test_only_the_ratio_of_weights_counts():
    "Weights of a hundredth everywhere are as good as weights of one."
    series = field(SUMMERS)
    xr.testing.assert_equal(phenology.seasons(series, weights=xr.full_like(series, 0.01)), phenology.seasons(series))


def test_times_that_are_no_dates_are_refused():
    "Numbers, missing times and chunks along time are one clear line each."
    series = field(SUMMERS)
    with pytest.raises(InputError, match="give datetime64"):
        phenology.seasons(series.assign_coords(time=np.arange(series.size)))
    with pytest.raises(InputError, match="NaT"):
        phenology.seasons(series.assign_coords(time=series["time"].where(np.arange(series.size) != 5)))
    with pytest.raises(InputError, match="chunk"):
        phenology.seasons(series.chunk(time=50))


def test_a_series_of_sixteen_days_is_not_all_gaps():
    "A regular series of 16-day steps is its own measure of what lies far apart."
    rows = rows_of(field(SUMMERS, step=16))
    assert len(rows) == 3 and not rows["reason"].str.contains("gap|interpolated").any()
