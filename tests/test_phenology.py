import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import curves, phenology
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


def assert_same(a, b, minutes=1.0, rtol=1e-4):
    "Dates within a minute, flags and counts equal, amounts to single precision."
    assert set(a) == set(b)
    for name in b:
        one, other = a[name].values, b[name].values
        if one.dtype.kind == "M":
            assert (np.isnat(one) == np.isnat(other)).all(), name
            away = (one - other)[~np.isnat(one)] / np.timedelta64(1, "m")
            assert np.abs(away).max(initial=0) <= minutes, name
        else:
            np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-6, err_msg=name)


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
    assert_same(phenology.seasons(series, weights=xr.full_like(series, 0.01)), phenology.seasons(series))


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


def logistic(day, *, start=110.0, end=260.0, rise=0.08, fall=0.08, base=0.2, height=0.5, after=None, years=3):
    "Beck's double logistic every year on given days, and no noise; ``after``: the base behind the season."
    after = base if after is None else after
    values = np.full(np.shape(day), base)
    for january in 365.0 * np.arange(years):
        values = values + height / (1 + np.exp(-rise * (day - january - start)))
        values = values - (base + height - after) / (1 + np.exp(-fall * (day - january - end)))
    return values


def on(day, values, start="2018-01-01"):
    "A series on days since a start."
    time = np.datetime64(start, "ns") + (np.asarray(day, float) * 86400e9).astype("timedelta64[ns]")
    values = np.asarray(values)
    return xr.DataArray(values, dims=("pixel", "time")[-values.ndim :], coords={"time": time}, name="ndvi")


def days(dates, start="2018-01-01"):
    return (np.asarray(dates) - np.datetime64(start, "ns")) / DAY


EVERY_5 = np.arange(0.0, 3 * 365, 5)
EVERY_DAY = np.arange(0.0, 3 * 365)
MIDDLE = 365 + 110.0, 365 + 260.0  # days at which the second season is half up and half down


@pytest.mark.parametrize("method, most", [("savgol", 0.3), ("whittaker", 0.4), ("double_logistic", 0.3),
                                          ("asymmetric_gaussian", 0.8), ("loess", 0.2), ("harmonic", 4.0)])
def test_every_method_dates_a_logistic_season(method, most):
    "A logistic season on every fifth day is half up and half down within the stated days; noise of 4 % adds 2 more."
    clean = logistic(EVERY_5)
    noise = 0.02 * np.random.default_rng(1).normal(size=(20, EVERY_5.size))
    for values, limit in ((clean, most), (clean + noise, most + 2)):
        found = phenology.seasons(on(EVERY_5, values), method=method, per_year=1)
        known = phenology.FLAGS["fit_poor"] if method == "asymmetric_gaussian" else 0  # no logistic is a Gaussian
        assert (found.n_seasons == 3).all() and ((found.quality & ~known) == 0).all()
        for name, truth in zip(("sos50", "eos50"), MIDDLE):
            assert np.abs(days(found[name].isel(season=1)) - truth).mean() < limit


@pytest.mark.parametrize("method", curves.METHODS)
def test_a_date_does_not_depend_on_which_others_are_asked_for(method):
    "The day of 50 % is the same beside 5, 40 and 95 % as alone: the fit starts from the same shares."
    values = logistic(EVERY_5) + 0.02 * np.random.default_rng(3).normal(size=(40, EVERY_5.size))
    one, many = (phenology.seasons(on(EVERY_5, values), method=method, thresholds=shares)
                 for shares in ((0.5,), (0.05, 0.4, 0.5, 0.95)))
    for name in ("sos50", "sos50_low", "eos50", "eos50_high", "quality"):
        np.testing.assert_array_equal(one[name], many[name])


@pytest.mark.parametrize("form", [*curves.FORMS, "gaussian"])
def test_fitted_function_gives_back_its_own_dates(form):
    "A season of exactly the fitted form is dated within 0.3 days by its fit."
    curve = {
        "beck": lambda t, up, down: up - down,
        "elmore": lambda t, up, down: (1 - 0.002 * np.maximum(t - 110, 0)) * (up - down),
        "gu": lambda t, up, down: up**1.5 - down**0.7,
        "gaussian": lambda t, up, down: np.exp(-np.where(t < 180, np.abs(t - 180) / 65, np.abs(t - 180) / 80)
                                               ** np.where(t < 180, 3.0, 4.0)),
    }[form]

    def at(day):
        t = day[:, None] - 365.0 * np.arange(3)
        return curve(t, 1 / (1 + np.exp(-0.09 * (t - 110))), 1 / (1 + np.exp(-0.07 * (t - 260)))).sum(1)

    option = dict(method="asymmetric_gaussian") if form == "gaussian" else dict(method="double_logistic", form=form)
    found = phenology.seasons(on(EVERY_5, 0.2 + 0.5 * at(EVERY_5)), per_year=1, **option)
    assert (found.quality == 0).all()
    fine = np.arange(365, 730, 0.01)
    exact = at(fine)
    for share in (0.2, 0.5):
        above = np.flatnonzero(exact >= share * exact.max())
        for event, truth in (("sos", fine[above[0]]), ("eos", fine[above[-1]])):
            assert abs(days(found[f"{event}{100 * share:.0f}"][1]) - truth) < 0.3


def test_levels_are_passed_where_the_closed_form_passes_them():
    "Absolute levels are dated where a logistic passes them; a level above the peak has no date."
    found = phenology.seasons(on(EVERY_DAY, logistic(EVERY_DAY)), method="whittaker", per_year=1, smoothness=10.0,
                              levels=(0.3, 0.45, 0.6, 0.9))
    for level in (0.3, 0.45, 0.6):
        away = np.log(0.5 / (level - 0.2) - 1) / 0.08
        assert abs(days(found[f"sos_at_{level}"][1]) - (MIDDLE[0] - away)) < 0.4
        assert abs(days(found[f"eos_at_{level}"][1]) - (MIDDLE[1] + away)) < 0.4
    assert np.isnat(found["sos_at_0.9"].values).all() and np.isnat(found["eos_at_0.9"].values).all()


@pytest.mark.parametrize("method", ["savgol", "whittaker", "double_logistic"])
def test_level_below_the_base_has_no_date(method):
    "A level that the curve never comes down to is never passed."
    found = phenology.seasons(on(EVERY_5, logistic(EVERY_5)), method=method, per_year=1, levels=(0.1,))
    assert np.isnat(found["sos_at_0.1"].values).all() and np.isnat(found["eos_at_0.1"].values).all()


def test_rules_agree_with_the_closed_forms_of_a_logistic():
    "Steepest days are the inflections, tangents lie 2/r from them, changes of curvature ln(5 + 2√6)/r."
    found = phenology.seasons(on(EVERY_DAY, logistic(EVERY_DAY)), method="whittaker", per_year=1, smoothness=10.0,
                              also=("slope", "gu", "curvature"))
    (up, down), tangent, bend = MIDDLE, 2 / 0.08, np.log(5 + 2 * np.sqrt(6)) / 0.08
    expected = {"sos_slope": (up, 1.5), "eos_slope": (down, 1.5), "upturn": (up - tangent, 2),
                "stabilisation": (up + tangent, 2), "downturn": (down - tangent, 2), "recession": (down + tangent, 2),
                "greenup": (up - bend, 3), "maturity": (up + bend, 3), "senescence": (down - bend, 3),
                "dormancy": (down + bend, 3)}
    for name, (day, most) in expected.items():
        assert abs(days(found[name][1]) - day) < most, name


def test_rules_find_the_flanks_of_a_long_noisy_summer():
    "Dips in a flat summer are no ends of a season: steepest and bent days of 40 noisy plateaus lie on the flanks."
    rng = np.random.default_rng(4)
    values = logistic(EVERY_5, start=100, end=290, rise=0.15, fall=0.15) + 0.02 * rng.normal(size=(40, EVERY_5.size))
    found = phenology.seasons(on(EVERY_5, values), method="whittaker", per_year=1, also=("slope", "curvature"))
    middle = found.isel(season=1)
    bend = np.log(5 + 2 * np.sqrt(6)) / 0.15
    for rule, half, away, most in (("sos_slope", "sos50", 0, 5), ("eos_slope", "eos50", 0, 5),
                                   ("greenup", "sos50", -bend, 20), ("dormancy", "eos50", bend, 20)):
        assert np.abs((middle[rule].values - middle[half].values) / DAY - away).max() < most, rule


def test_intervals_of_the_steepest_days_hold_them():
    "Nominal 90 % intervals of the steepest rise and fall hold 80 to 98 % of 200 true ones; without, there are none."
    rng = np.random.default_rng(5)
    values = logistic(EVERY_5) + 0.02 * rng.normal(size=(200, EVERY_5.size))
    found = phenology.seasons(on(EVERY_5, values), method="double_logistic", per_year=1, also=("slope",))
    for name, day in zip(("sos_slope", "eos_slope"), MIDDLE):
        low, high = (days(found[name + bound].isel(season=1)) for bound in ("_low", "_high"))
        assert 0.8 < np.mean((low <= day) & (day <= high)) < 0.98
    assert "sos_slope_low" not in phenology.seasons(on(EVERY_5, values[0]), also=("slope",), interval=0)


@pytest.mark.parametrize("method", ["whittaker", "double_logistic"])
def test_interval_reaches_beyond_a_value_taken_for_a_cloud(method):
    "A single low value before the end may be a harvest: the interval reaches to the value before it, or further."
    values = logistic(EVERY_5) + 0.01 * np.random.default_rng(6).normal(size=EVERY_5.size)
    end = np.searchsorted(EVERY_5, MIDDLE[1])
    low = values.copy()
    low[end - 2] = 0.21
    plain, doubted = (phenology.seasons(on(EVERY_5, v), method=method, per_year=1).isel(season=1)
                      for v in (values, low))
    assert days(doubted["eos50_low"]) <= EVERY_5[end - 3] + 0.01 < days(plain["eos50_low"])
    assert abs(days(doubted["eos50"]) - days(plain["eos50"])) < 3


def test_rules_stay_within_their_season_where_a_smaller_one_is_not_kept():
    "The steepest fall of the large season is its own, also when the small season behind it has no slot."
    large, small = dict(start=80, end=160, rise=0.1, fall=0.1), dict(start=215, end=280, rise=0.25, fall=0.25)
    series = on(EVERY_DAY, logistic(EVERY_DAY, **large) + logistic(EVERY_DAY, **small, base=0.0, height=0.3))
    one, two = (phenology.seasons(series, method="whittaker", per_year=k, also=("slope",)) for k in (1, 2))
    both = two.isel(season=two["rank"].values == 1)
    assert np.abs((both.eos_slope.values - both.eos50.values) / DAY).max() < 3
    assert (one.eos_slope.values == both.eos_slope.values).all()


def test_metrics_are_those_of_the_integrated_curve():
    "Bases, amplitude, length, integrals and rates equal those of the planted curve, with another base behind it."
    day = np.arange(-200.0, 565.0)
    dip = 0.05 * np.exp(-0.5 * ((day + 60) / 25) ** 2) + 0.05 * np.exp(-0.5 * ((day - 425) / 25) ** 2)
    values = logistic(day, years=1, after=0.3) - dip
    found = phenology.seasons(on(day, values), method="whittaker", smoothness=5.0)
    found = found.isel(season=int(found.amplitude.argmax("season")))
    k = int(day.searchsorted(185))
    left, right = values[:k].min(), values[k:].min()
    top, base = values.max(), (left + right) / 2
    fine = np.arange(day[0], day[-1], 0.02)
    f = np.interp(fine, day, values)
    up, down = ((fine < fine[f.argmax()]) & (fine > -60)), ((fine > fine[f.argmax()]) & (fine < 425))

    def rises(share):
        return fine[up][np.searchsorted(f[up], left + share * (top - left))]

    def falls(share):
        return fine[down][np.searchsorted(-f[down], -(right + share * (top - right)))]

    start, end = rises(0.2), falls(0.2)
    inside = (fine >= start) & (fine <= end)
    expected = {"base_before": left, "base_after": right, "base": base, "peak_value": top, "amplitude": top - base,
                "length": end - start, "large_integral": f[inside].sum() * 0.02,
                "small_integral": (f[inside] - base).sum() * 0.02,
                "greenup_rate": 0.6 * (top - left) / (rises(0.8) - start),
                "senescence_rate": 0.6 * (top - right) / (end - falls(0.8)),
                "sos20_value": left + 0.2 * (top - left), "eos50_value": right + 0.5 * (top - right)}
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=0.01), name


@pytest.mark.parametrize("kind, fills", [("int16", {"_FillValue": -9999}), ("uint16", {"missing_value": 65535}),
                                         ("int32", {"_FillValue": -1, "missing_value": -2})])
def test_whole_numbers_with_a_scale_are_the_numbers_they_stand_for(kind, fills):
    "Stored as whole numbers with scale, offset and fill value, a series has the dates of its values, and its units."
    values = on(EVERY_5, np.round(logistic(EVERY_5), 4))
    gone = np.random.default_rng(0).random(EVERY_5.size) < 0.3
    stored = np.round((values - 0.1) / 0.0001)
    for k, fill in enumerate(fills.values()):
        stored = stored.where(~gone | (np.arange(EVERY_5.size) % len(fills) != k), fill)
    stored = stored.astype(kind).assign_attrs(scale_factor=0.0001, add_offset=0.1, units="1", **fills)
    assert_same(phenology.seasons(stored), phenology.seasons(values.where(~gone)), rtol=1e-3)
    smoothed = curves.smooth(stored)
    assert smoothed.attrs == {"units": "1"}
    np.testing.assert_allclose(smoothed, curves.smooth(values.where(~gone)), atol=1e-5)


@pytest.mark.parametrize("method", curves.METHODS)
def test_cube_in_any_order_and_in_chunks_is_the_same(method):
    "A cube with time first, with time last, or in dask chunks gives exactly the same dates."
    rng = np.random.default_rng(2)
    values = (logistic(EVERY_5)[:, None, None] + 0.02 * rng.normal(size=(EVERY_5.size, 2, 3))).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    first = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": on(EVERY_5, EVERY_5)["time"]})
    last = xr.DataArray(np.ascontiguousarray(values.transpose(1, 2, 0)), dims=("y", "x", "time"),
                        coords=dict(first.coords))
    options = dict(method=method, also=("slope",), levels=(0.4,), curve=True)
    expected = phenology.seasons(last, **options)
    xr.testing.assert_equal(phenology.seasons(first, **options), expected)
    xr.testing.assert_equal(phenology.seasons(first.chunk(x=2, y=1), **options).compute(), expected)


def test_double_precision_is_the_same_as_single():
    "The dates do not depend on whether the numbers were given in single or in double precision."
    values = logistic(EVERY_5) + 0.02 * np.random.default_rng(3).normal(size=(5, EVERY_5.size))
    for method in ("savgol", "whittaker"):
        double, single = (phenology.seasons(on(EVERY_5, values.astype(kind)), method=method)
                          for kind in ("float64", "float32"))
        assert_same(double, single)


def widths(values, name="sos50", day=EVERY_5, **options):
    found = phenology.seasons(on(day, values), per_year=1, **options)
    return ((found[f"{name}_high"] - found[f"{name}_low"]) / DAY).values


@pytest.mark.parametrize("method", curves.METHODS)
def test_interval_widens_with_noise_and_holds_its_date(method):
    "Five times the noise makes an interval three times as wide at least; 50 % is narrower than 90 %, 0 has none."
    noise = np.random.default_rng(4).normal(size=(8, EVERY_5.size))
    quiet, loud = logistic(EVERY_5) + 0.005 * noise, logistic(EVERY_5) + 0.025 * noise
    options = {"method": method} | ({"span": 0.06} if method == "loess" else {})
    if method != "harmonic":  # three harmonics are off by more than the noise
        assert np.nanmedian(widths(loud, **options)) > 3 * np.nanmedian(widths(quiet, **options))
    half, most = widths(loud, interval=0.5, **options), widths(loud, interval=0.9, **options)
    dated = np.isfinite(most)
    assert (half < most)[dated].all() and np.median((most / half)[dated]) == pytest.approx(1.6449 / 0.6745, rel=0.01)
    found = phenology.seasons(on(EVERY_5, loud), **options)
    for name in ("sos20", "sos50", "eos50", "eos20"):
        date, low, high = (found[f"{name}{end}"].values for end in ("", "_low", "_high"))
        seen = ~np.isnat(date)
        assert seen.any() and (low < date)[seen].all() and (date < high)[seen].all()
        assert np.isnat(low[~seen]).all() and np.isnat(high[~seen]).all()
    assert not [name for name in phenology.seasons(on(EVERY_5, loud), interval=0, **options) if "_low" in name]


@pytest.mark.parametrize("method", ["whittaker", "double_logistic"])
def test_interval_widens_across_a_gap(method):
    "A start in the middle of seven weeks without observations has an interval twice as wide as the others."
    values = logistic(EVERY_5) + 0.01 * np.random.default_rng(5).normal(size=(8, EVERY_5.size))
    values[:, np.abs(EVERY_5 - MIDDLE[0]) < 25] = np.nan
    found = np.nanmean(widths(values, method=method), 0)
    assert found[1] > (2 if method == "whittaker" else 1.1) * max(found[0], found[2])


@pytest.mark.parametrize("method", ["savgol", "whittaker"])
def test_interval_holds_its_date_where_the_curve_is_almost_level(method):
    "Where noise leaves the curve level at the threshold the interval is long, and still lies around its date."
    rng = np.random.default_rng(0)
    values = logistic(EVERY_5) + rng.uniform(0, 0.15, (4000, 1)) * rng.normal(size=(4000, EVERY_5.size))
    values[rng.random(values.shape) < rng.uniform(0, 0.9, (4000, 1))] = np.nan
    found = phenology.seasons(on(EVERY_5, values.astype(np.float32)), method=method)
    for name in ("sos20", "sos50", "eos50", "eos20"):
        date, low, high = (found[f"{name}{end}"].values for end in ("", "_low", "_high"))
        wrong = ~np.isnat(date) & ~((low <= date) & (date <= high))
        assert wrong.sum() == 0, f"{name}: {low[wrong][0]} to {high[wrong][0]} around {date[wrong][0]}"


@pytest.mark.parametrize("method", ["savgol", "whittaker", "double_logistic"])
@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_unit_of_the_series_does_not_matter(method, unit):
    "Carbon uptake in kg m⁻² s⁻¹, of the order 1e-7, has the dates and intervals that it has in other units."
    values = logistic(EVERY_5) + 0.02 * np.random.default_rng(6).normal(size=EVERY_5.size)
    same, other = (phenology.seasons(on(EVERY_5, factor * values), method=method) for factor in (1, unit))
    for name in ("sos20", "sos50", "eos20", "sos20_low", "eos20_high"):
        assert np.nanmax(np.abs((other[name].values - same[name].values) / DAY)) < 0.05, name


@pytest.mark.parametrize("method", curves.METHODS)
def test_missing_values_at_the_ends_do_not_move_the_bases(method):
    "Five weeks without values at both ends of the time axis leave the bases and dates of the seasons between."
    values = logistic(EVERY_5) + 0.01 * np.random.default_rng(0).normal(size=(6, EVERY_5.size))
    series = on(EVERY_5, values)
    whole = phenology.seasons(series, method=method, per_year=1)
    cut = phenology.seasons(series.where((EVERY_5 >= 40) & (EVERY_5 <= 1060)), method=method, per_year=1)
    for first, name, end in ((0, "base_before", "sos20"), (2, "base_after", "eos20")):
        assert float(np.abs(cut[name] - whole[name]).isel(season=first).max()) < 0.02
        assert np.nanmax(np.abs(((cut[end] - whole[end]) / DAY).isel(season=first))) < 4


@pytest.mark.parametrize("method", ["savgol", "harmonic"])
def test_series_without_seasons_do_not_end_the_process(method):
    "Random walks, negative ones and such with missing ends too, are dated within the series or not at all."
    code = f"""
import numpy as np, xarray as xr
from phenolib import phenology
time = np.datetime64("2018-01-01", "ns") + np.arange(219) * np.timedelta64(5, "D")
rng = np.random.default_rng(0)
walks = np.cumsum(rng.normal(size=(1500, 219)), 1)
walks[rng.random(walks.shape) < rng.uniform(0, 0.9, (1500, 1))] = np.nan
series = xr.DataArray(walks.astype(np.float32), dims=("pixel", "time"), coords={{"time": time}})
found = phenology.seasons(series, method={method!r})
for name in ("sos20", "sos50", "peak", "eos50", "eos20"):
    date = found[name].values[~np.isnat(found[name].values)]
    assert (date >= time[0]).all() and (date <= time[-1]).all(), name
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr[-400:]
