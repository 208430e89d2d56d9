"""Series of moisture and weather: gaps, targets, the bucket, and who is held out."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import moisture_series
from phenolib.errors import InputError


def readings(sites=6, years=(2014, 2017), seed=0):
    "A small network: weather with a common part, moisture, two probes, three clusters."
    rng, names = np.random.default_rng(seed), [f"S{k:02d}" for k in range(sites)]
    time = pd.date_range(f"{years[0]}-01-01", f"{years[1]}-12-31")
    size, wave = (sites, len(time)), -np.cos(2 * np.pi * time.day_of_year.to_numpy() / 365)
    common = rng.normal(size=len(time))
    values = {"precip": rng.gamma(0.3, 8, size), "ta": 9 + 6 * wave + 2 * common + np.arange(sites)[:, None],
              "rh": 80 - 8 * wave + rng.normal(size=size), "sw_in": 110 + 90 * wave + rng.normal(size=size),
              "ws": 3 + rng.gamma(2, 0.3, size), "pe": np.maximum(1.6 + 1.5 * wave, 0.1) + np.zeros(size),
              "theta": 0.3 - 0.08 * wave + 0.01 * rng.normal(size=size)}
    daily = xr.Dataset({name: (("site", "time"), v) for name, v in values.items()}, {"site": names, "time": time})
    shift = xr.DataArray([0.02, 0.04, 0.5], {"probe": [1, 2, 9]}, "probe")
    daily["theta_tdt"] = (daily["theta"] + shift).transpose("site", "time", "probe")
    daily = daily.assign_coords(probe_depth=("probe", [0.1, 0.1, 0.5]))
    table = pd.DataFrame({
        "site": names, "cluster": [f"c{k // 2}" for k in range(sites)], "sand": rng.uniform(0.2, 0.7, sites),
        "clay": rng.uniform(0.1, 0.3, sites), "soil_organic_carbon": rng.uniform(0.02, 0.2, sites),
        "bulk_density": rng.uniform(0.6, 1.5, sites), "elevation": rng.uniform(10, 300, sites),
        "land_cover": ["Broadleaf woodland" if k == 1 else "Improved grassland" for k in range(sites)]})
    return daily, table


@pytest.fixture(scope="module")
def given():
    "The readings of all tests; none changes them."
    return readings()


def test_series_are_whole(given):
    "Gaps of the weather are filled, those of the target stay; soils come under their names."
    daily, table = given
    daily = daily.copy(deep=True)
    daily["ta"][1, 100:130] = np.nan
    daily["precip"][:, 50] = np.nan
    daily["theta"][2, 10:20] = np.nan
    daily["theta"][3, 5] = 0.95
    series = moisture_series.prepare((daily, table))
    assert series.weather.dims == ("site", "time", "variable") and bool(series.weather.notnull().all())
    assert list(series.static) == list(moisture_series.STATICS) and series.static["woodland"].sum() == 1
    assert int(series.theta.isnull().sum()) == 11 and any("0.9" in r for r in series.remarks)
    ta = series.weather.sel(variable="ta")
    assert abs(ta[1, 100:130] - given[0]["ta"][1, 100:130]).max() < 0.01  # the other sites say it
    assert series.filled == pytest.approx((30 + 6) / 6 / daily.sizes["time"] / 6)
    assert float(series.weather.sel(variable="precip")[:, 50].max()) == 0
    assert series.cluster.tolist() == ["c0", "c0", "c1", "c1", "c2", "c2"]


def test_the_target_may_be_probes(given):
    "Probes of the uppermost 12 cm, and none below."
    series = moisture_series.prepare(given, target="probes")
    assert np.allclose(series.theta, given[0]["theta"] + 0.03, atol=1e-6)


def test_without_soil_nothing_of_it_is_read(given):
    "The bucket is that of a loam at each site, and the table of soils need not be there."
    daily, table = given
    series = moisture_series.prepare((daily, table[["site"]]), statics=False)
    loam = moisture_series.first_guess(series.weather)
    assert series.static.shape == (6, 0) and np.array_equal(series.start, loam)
    assert not np.array_equal(moisture_series.prepare(given).start, loam)
    assert series.cluster.tolist() == list(table["site"])  # each for itself where no clusters are told


def test_further_variables_keep_their_last_value(given):
    "A gap of a satellite is never filled from later days."
    daily, table = given
    lst = daily["ta"].where(daily["time"].dt.day % 5 == 3)
    series = moisture_series.prepare((daily.assign(lst=lst), table), extra=("lst",))
    made = series.weather.sel(variable="lst")
    assert np.allclose(made[:, 2], lst[:, 2]) and np.allclose(made[:, 3:7], lst[:, 2:3]) and not made[:, :2].any()


def test_the_bucket_keeps_its_water_and_its_limits():
    "What came in is what is there more, as long as nothing is asked for, drains or runs off."
    rain = np.zeros((40, 3), "f4")
    pe = np.full((40, 3), 3.0, "f4")
    sand, clay = np.array([0.8, 0.4, 0.2]), np.array([0.05, 0.2, 0.4])
    dry = moisture_series.bucket(rain, pe, None, sand, clay)
    assert (np.diff(dry, axis=0) <= 0).all() and (dry >= moisture_series.limits(sand, clay)[2] - 1e-6).all()
    rain[30] = 5.0
    pe[30:] = 0
    wet = moisture_series.bucket(rain, pe, None, sand, clay)
    assert np.allclose(wet[30] - wet[29], 5 / 500, atol=1e-6)
    flood = moisture_series.bucket(np.full((40, 3), 300.0), pe, None, sand, clay)
    assert (flood <= moisture_series.limits(sand, clay)[0] + 1e-6).all()


def test_snow_lies_and_melts():
    "Snow does not wet the soil before it is warm."
    rain, ta = np.zeros((60, 1), "f4"), np.full((60, 1), -3.0, "f4")
    rain[20:30], ta[40:] = 4.0, 4.0
    theta = moisture_series.bucket(rain, np.full((60, 1), 1.0, "f4"), ta)[:, 0]
    assert (np.diff(theta[:40]) <= 0).all() and theta[42] > theta[39] + 0.03


def test_the_bucket_does_not_know_tomorrow(given):
    "Other weather later changes no bit before."
    weather = moisture_series.prepare(given).weather
    other = weather.copy(deep=True)
    other[:, 500:] *= 1.7
    a, b = moisture_series.first_guess(weather), moisture_series.first_guess(other)
    assert np.array_equal(a[:, :500], b[:, :500]) and not np.array_equal(a, b)


def test_parts_share_nothing(given):
    "Each day of each site is on one side at most; no cluster and no year is on two."
    series = moisture_series.prepare(given)
    parts = moisture_series.parts(series, test_years=2017, validation_years=[2016], test_clusters=["c1"])
    masks = np.stack([getattr(parts, n).values for n in ("train", "validation", "years", "sites", "both")])
    assert (masks.sum(0) <= 1).all() and masks.any((1, 2)).all()
    year = series.theta["time"].dt.year.values
    assert set(year[parts.train.values.any(0)]) == {2014, 2015} == set(year[parts.sites.values.any(0)])
    assert set(year[parts.both.values.any(0)]) == {2017} and set(year[parts.validation.values.any(0)]) == {2016}
    assert set(series.cluster[parts.known]) == {"c0", "c2"} and not (parts.known & parts.both.any("time")).any()
    assert parts.table(series).loc["both", "days"] == 2 * 365
    drawn = moisture_series.parts(series, test_clusters=1, seed=3)
    assert len(set(series.cluster[~drawn.known])) == 1


def test_a_site_left_out_takes_its_neighbours_along(given):
    "Sites of the cluster of a tested one are on no side."
    series = moisture_series.prepare(given)
    parts = moisture_series.parts(series, test_sites=["S03"], test_years=[2017])
    assert parts.known.tolist() == [True, True, False, False, True, True]
    assert parts.sites.any("time").values.tolist() == [False, False, False, True, False, False]


def test_a_part_of_the_series(given):
    "Chosen sites come with their rows."
    series = moisture_series.prepare(given).sel(site=["S04", "S01"])
    assert list(series.static.index) == list(series.sites["site"]) == ["S04", "S01"] and series.weather.shape[0] == 2
    random = moisture_series.at_random(series, test=0.3)
    assert random.years.values.mean() == pytest.approx(0.3, abs=0.03) and not random.both.any()


@pytest.mark.parametrize(("options", "said"), [
    ({"target": "probe"}, "did you mean 'probes'"), ({"weather": ("precip", "pe", "tar")}, "no variable 'tar'"),
    ({"extra": ("lst",)}, "no variable 'lst'"), ({"statics": ("silt",)}, "no column 'silt'"),
    ({"least": 5000}, "no site has 5000"), ({"weather": ("ta", "pe")}, "needs precip and pe")])
def test_what_cannot_be_prepared_is_told(given, options, said):
    "One line that names it."
    with pytest.raises(InputError, match=said):
        moisture_series.prepare(given, **options)


@pytest.mark.parametrize(("options", "said"), [
    ({"test_years": 2020}, "2020 is not in the series"), ({"test_clusters": ["c9"]}, "cluster 'c9'"),
    ({"test_sites": ["S99"]}, "site 'S99'"), ({"test_clusters": 3}, "there are 3"),
    ({"test_years": 2016, "validation_years": [2016]}, "for test and for validation"),
    ({"test_years": [2014, 2015, 2016, 2017]}, "no day with soil moisture to train on")])
def test_parts_that_cannot_be_are_told(given, options, said):
    "One line that names it."
    with pytest.raises(InputError, match=said):
        moisture_series.parts(moisture_series.prepare(given), **options)


def test_per_cent_is_refused(given):
    "Moisture, carbon: a share is expected."
    daily, table = given
    with pytest.raises(InputError, match="divide per cent by 100"):
        moisture_series.prepare((daily.assign(theta=daily["theta"] * 100), table))
    with pytest.raises(InputError, match="sand of"):
        moisture_series.prepare((daily, table.assign(sand=40.0)))
