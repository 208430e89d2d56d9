import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from phenolib import phenology, trends
from phenolib.errors import InputError

YEARS = np.arange(2012, 2024)


def maps(values, years=None):
    "An array (year, y, x) of days on a grid in metres."
    values = np.asarray(values, np.float32)
    years = YEARS[:len(values)] if years is None else years
    return xr.DataArray(values, dims=("year", "y", "x"), name="sos50", attrs={"units": "d"}, coords={
        "year": years, "y": 4e6 - 10.0 * np.arange(values.shape[1]), "x": 6e5 + 10.0 * np.arange(values.shape[2])})


@pytest.fixture(scope="module")
def days():
    "Ten years of 6 × 8 pixels, a fifth missing, some years equal."
    rng = np.random.default_rng(1)
    values = rng.normal(120, 9, (10, 6, 8))
    values[:, :3] = np.round(values[:, :3] / 4) * 4  # ties
    values[rng.random(values.shape) < 0.2] = np.nan
    return maps(values)


@pytest.fixture(scope="module")
def seasons():
    "Three harvest years of winter wheat, sown in autumn, and of a summer crop beside it."
    time = pd.date_range("2018-07-01", "2021-12-31", freq="5D")
    t = (time - pd.Timestamp("2018-01-01")).days.to_numpy()

    def humps(*middles):
        return 0.2 + 0.6 * sum(np.exp(-(((t - m) / 45.0) ** 4)) for m in middles)

    winter = humps(*(365 * k + 15.0 + 4 * k for k in (1, 2, 3)))  # in the middle of January: green from early December
    summer = humps(*(365 * k + 200.0 + 6 * k for k in (0, 1, 2, 3)))
    series = xr.DataArray(np.stack([winter, summer])[:, None], dims=("y", "x", "time"), coords={"time": time})
    return phenology.seasons(series, per_year=1)


def test_days_count_from_the_new_year_of_the_harvest(seasons):
    "A start in autumn is negative and stays with its harvest; dates come back from the days exactly."
    start = trends.by_year(seasons, "sos50")
    assert start.dims == ("year", "y", "x") and start.dtype == np.float32 and start.attrs["units"] == "d"
    winter, summer = start.sel(year=[2019, 2020, 2021]).values[:, :, 0].T
    assert (winter < -5).all() and np.isfinite(winter).all() and (summer > 100).all()
    assert np.allclose(np.diff(summer), [6, 5], atol=1.0)  # 2020 has a 29 February
    again = np.datetime64("2020-01-01") + np.timedelta64(round(float(winter[1]) * 86400), "s")
    there = seasons["sos50"].isel(y=0, x=0).where(seasons["year"] == 2020, drop=True).values[0]
    assert abs(again - there) < np.timedelta64(60, "s")


def test_a_figure_is_returned_as_it_is(seasons):
    "The amplitude of each year keeps its units."
    height = trends.by_year(seasons, "amplitude")
    assert height.attrs["units"] == seasons["amplitude"].attrs["units"] and float(height.max()) < 0.8


def test_seasons_from_a_zarr_give_the_same_lazily(seasons, tmp_path):
    "What was written and opened again in chunks is computed block by block, with the same numbers."
    seasons.drop_vars("quality").to_zarr(tmp_path / "s.zarr", consolidated=False)
    stored = xr.open_zarr(tmp_path / "s.zarr", consolidated=False).chunk(y=1, season=2)
    start = trends.by_year(stored, "sos50")
    found = trends.over_years(start, least=3)
    assert start.chunks and found["trend"].chunks
    xr.testing.assert_equal(start.compute(), trends.by_year(seasons, "sos50"))
    xr.testing.assert_equal(found.compute(), trends.over_years(trends.by_year(seasons, "sos50"), least=3))


@pytest.mark.parametrize("change, message", [
    (dict(event="sos55"), "sos50"), (dict(rank=2), "rank 2"), (dict(drop=["year"]), "'year'")])
def test_what_is_not_there_is_told(seasons, change, message):
    "A mistyped event, an unknown rank and a Dataset without years are one clear line."
    change = dict(change)
    with pytest.raises(InputError, match=message):
        trends.by_year(seasons.drop_vars(change.pop("drop", [])), **change)


def test_a_year_twice_is_refused(seasons):
    "Two runs joined along season have years twice; nothing is chosen among them silently."
    with pytest.raises(InputError, match="occurs twice"):
        trends.by_year(xr.concat([seasons, seasons], "season", data_vars="all"))


def test_trend_is_that_of_scipy(days):
    "Slope and interval are those of theilslopes with and without ties, S is Kendall's; the order of years is free."
    found = trends.over_years(days.isel(year=[3, 1, 0, 2, *range(9, 3, -1)]), level=0.9)
    for y, x in np.ndindex(6, 8):
        v = days.values[:, y, x].astype(float)
        good = np.isfinite(v)
        v, t, got = v[good], YEARS[:10][good], found.isel(y=y, x=x)
        middle, _, low, high = stats.theilslopes(v, t, alpha=0.9)
        slope = [got[name] for name in ("trend", "trend_low", "trend_high")]
        assert np.allclose(slope, [middle, low, high], rtol=1e-6, atol=1e-7)
        assert got["n"] == v.size and np.allclose([got["mean"], got["sd"]], [v.mean(), v.std(ddof=1)], rtol=1e-6)
        assert got["earliest"] == v.min() and got["earliest_year"] == t[v.argmin()]
        assert got["latest"] == v.max() and got["latest_year"] == t[v.argmax()]
        sign = sum(np.sign(b - a) for a, b in itertools.combinations(v, 2))
        assert got["s"] == sign
        if np.unique(v).size == v.size:
            assert np.isclose(got["p"], stats.kendalltau(t, v, method="exact").pvalue, rtol=1e-6)


@pytest.mark.parametrize("n, s, one_sided", [
    (4, 4, 0.167), (4, 6, 0.042), (5, 6, 0.117), (8, 12, 0.089), (8, 20, 0.0071), (10, 11, 0.190), (10, 21, 0.036)])
def test_probabilities_are_those_of_kendalls_table(n, s, one_sided):
    "Without ties p / 2 is what the printed table of S gives."
    assert abs(trends.tail((1,) * n)[s] / 2 - one_sided) < 6e-4


@pytest.mark.parametrize("values", [[3, 1, 1, 4, 1, 5], [2, 2, 3, 3, 9, 9], [1, 1, 1, 1, 1, 2], [1, 2, 3, 4, 5, 5]])
def test_probability_with_ties_is_that_of_all_orders(values):
    "With equal years p is the share of all orders with so large an |S|."
    def kendall(v):
        return abs(sum(np.sign(b - a) for a, b in itertools.combinations(v, 2)))

    orders = np.array([kendall(o) for o in itertools.permutations(values)])
    found = trends.over_years(maps(np.array(values)[:, None, None]))
    assert np.isclose(found["p"].item(), (orders >= kendall(values)).mean(), rtol=1e-6)


def test_many_years_use_the_normal_distribution():
    "Beyond twenty years the variance is Kendall's with ties, and S is moved by one for continuity."
    rng = np.random.default_rng(3)
    v = np.round(rng.normal(0, 3, 30) + 0.12 * np.arange(30))
    found = trends.over_years(maps(v[:, None, None], years=np.arange(1990, 2020)))
    s, z = found["s"].item(), stats.norm.isf(stats.kendalltau(np.arange(30), v, method="asymptotic").pvalue / 2)
    assert s > 1 and np.isclose(found["p"].item(), 2 * stats.norm.sf(z * (s - 1) / s), rtol=1e-5)


def test_planted_trend_is_recovered_and_held():
    "A shift of half a day a year is found without bias, and 95 % intervals hold it in 93 to 98 of 100 pixels."
    rng = np.random.default_rng(5)
    found = trends.over_years(maps(rng.normal(0, 4, (12, 40, 50)) + 0.5 * np.arange(12)[:, None, None]))
    assert abs(float(found["trend"].mean()) - 0.5) < 0.03
    held = (found["trend_low"] <= 0.5) & (found["trend_high"] >= 0.5)
    assert 0.93 < float(held.mean()) < 0.98


def test_few_years_tell_no_trend():
    "Below the stated number of years the trend is missing and mean and SD stay; without any year all but n is missing."
    values = np.full((6, 1, 3), np.nan)
    values[:4, 0, 0], values[2, 0, 1] = [1, 2, 3, 4], 7
    found = trends.over_years(maps(values)).squeeze()
    assert found["n"].values.tolist() == [4, 1, 0]
    assert found["mean"].values[:2].tolist() == [2.5, 7] and np.isnan(found["sd"].values[1:]).all()
    for name in ("trend", "trend_low", "trend_high", "s", "p"):
        assert np.isnan(found[name]).all()
    assert np.isnan(found.isel(x=2).drop_vars("n").to_array()).all()
    assert trends.over_years(maps(values), least=4)["trend"].values[0, 0] == 1


def test_infinite_and_equal_values():
    "An infinite value is a missing one; years that are all equal have no trend with certainty."
    values = np.full((6, 1, 2), 5.0)
    values[1, 0, 0] = np.inf
    found = trends.over_years(maps(values)).squeeze()
    assert found["n"].values.tolist() == [5, 6] and (found["p"] == 1).all() and (found["trend"] == 0).all()


def test_years_must_be_years(days):
    "Years twice, no years and dates instead of days are refused."
    with pytest.raises(InputError, match="differ"):
        trends.over_years(days.assign_coords(year=[2012] * 10))
    with pytest.raises(InputError, match="dimension 'year'"):
        trends.over_years(days.rename(year="season"))
    with pytest.raises(InputError, match="datetime64"):
        trends.over_years(days.astype("datetime64[ns]"))
    with pytest.raises(InputError, match="level"):
        trends.over_years(days, level=95)


def test_a_late_year_stands_out_from_the_others_alone():
    "A year ten days late has an anomaly of ten days: it is no part of the mean it is compared with."
    values = np.tile(np.array([100, 102, 98, 101, 99, 110.0])[:, None, None], (1, 1, 2))
    values[0, 0, 1] = np.nan
    found = trends.anomaly(maps(values), 2017)
    assert found["anomaly"].values[0].tolist() == [10, 10] and found["n"].values[0].tolist() == [5, 4]
    assert np.isclose(found["in_sd"].values[0, 0], 10 / np.std([100, 102, 98, 101, 99], ddof=1))
    assert np.isnan(found["in_sd"].values[0, 1])  # four years of five
    part = trends.anomaly(maps(values), 2017, base=range(2015, 2018))
    assert part["anomaly"].values[0, 0] == 10 and part["n"].values[0, 0] == 2
    lazy = trends.anomaly(maps(values).chunk(year=1), 2017)
    assert lazy["anomaly"].chunks and lazy.compute().identical(found)


def test_anomaly_needs_the_year_and_others(days):
    "A year that is not there and a base of that year alone are refused."
    with pytest.raises(InputError, match="2030"):
        trends.anomaly(days, 2030)
    with pytest.raises(InputError, match="no year of the base"):
        trends.anomaly(days, 2015, base=[2015])


@pytest.mark.parametrize("chunks", [None, {"y": 2, "year": 1}])
def test_zones_hold_their_own_pixels(days, chunks):
    "Each row is what numpy says of the pixels of that class and year; 0 is no zone."
    zones = xr.DataArray(np.arange(48).reshape(6, 8) % 5, dims=("y", "x"), coords={"y": days["y"], "x": days["x"]})
    table = trends.zonal(days if chunks is None else days.chunk(chunks), zones, {1: "maize", 2: "rice"})
    assert len(table) == 4 * 10 and list(table["name"][:4]) == ["maize", "rice", "3", "4"]
    for row in table.itertuples():
        inside = days.sel(year=row.year).values[zones.values == row.zone]
        good = inside[np.isfinite(inside)].astype(float)
        assert row.pixels == inside.size and row.retrieved == good.size / inside.size
        assert np.allclose([row.mean, row.median, row.sd, row.q10, row.q90],
                           [good.mean(), np.median(good), good.std(ddof=1), *np.quantile(good, [0.1, 0.9])])


def test_layers_of_a_dataset_have_their_rows(days):
    "A Dataset of maps gives a row for each layer and zone; a zone without a value is told with a share of 0."
    found = trends.over_years(days.where(days["y"] < days["y"][0]))[["trend", "mean"]]
    zones = xr.zeros_like(days[0], int) + np.arange(1, 7)[:, None]
    table = trends.zonal(found, zones).set_index(["layer", "zone"])
    assert table.loc[("mean", 1), "retrieved"] == 0 and np.isnan(table.loc[("mean", 1), "median"])
    assert table.loc[("mean", 2), "retrieved"] == 1 and list(table.index.levels[0]) == ["mean", "trend"]


@pytest.mark.parametrize("change, message", [
    (lambda z: z[1:], "5"), (lambda z: z.assign_coords(x=z["x"] + 5), "0.5 pixels apart"),
    (lambda z: z + 0.5, "not whole"), (lambda z: z.expand_dims("band"), "dimensions")])
def test_another_grid_is_refused(days, change, message):
    "Zones of other size, half a pixel aside, with fractions or with a third dimension are one clear line."
    with pytest.raises(InputError, match=message):
        trends.zonal(days, change(xr.zeros_like(days[0], float) + 1))


def test_another_coordinate_system_is_refused(days):
    "The same numbers in another zone of UTM are another place."
    from phenolib.sources import sentinel

    one, two = (sentinel.with_crs(days.to_dataset(name="sos50"), f"EPSG:326{zone}")["sos50"] for zone in (10, 15))
    trends.zonal(one, xr.ones_like(one[0]))
    with pytest.raises(InputError, match="zone 10N, the zones in"):
        trends.zonal(one, xr.ones_like(two[0]))


CLASSES = ["deforestation", "forest gain", "stable forest", "stable non-forest"]
SAMPLE = pd.DataFrame([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]], CLASSES, CLASSES)
MAPPED = dict(zip(CLASSES, [200_000, 150_000, 3_200_000, 6_450_000]))


def test_areas_are_those_of_the_worked_example():
    "The example of Olofsson et al. (2014): area, accuracies and their 95 % intervals."
    found = trends.area_shares(MAPPED, SAMPLE)
    table, wide = found.table, stats.norm.ppf(0.975)
    assert np.round(table["share"]["deforestation"] * 1e7) == 235_086  # pixels of 0.09 ha: 21 158 ha
    assert abs(wide * table["share_se"]["deforestation"] * 1e7 * 0.09 - 6158) < 1  # ha
    assert round(found.overall, 2) == 0.95 and round(wide * found.overall_se, 2) == 0.02
    assert table["users"].round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert (wide * table["users_se"]).round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert table["producers"].round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert np.isclose(table["share"].sum(), 1)


def test_standard_errors_are_the_scatter_of_drawn_samples():
    "Over many samples of a map with known errors, shares are right in the mean and scatter by their standard errors."
    rng, mapped = np.random.default_rng(2), {1: 3000, 2: 6000, 3: 1000}
    true = np.array([[0.8, 0.15, 0.05], [0.1, 0.85, 0.05], [0.05, 0.05, 0.9]])
    weight = np.array([0.3, 0.6, 0.1])
    runs = [trends.area_shares(mapped, pd.DataFrame([rng.multinomial(60, row) for row in true], [1, 2, 3], [1, 2, 3]))
            for _ in range(400)]
    tables = np.stack([r.table.to_numpy() for r in runs])
    columns = list(runs[0].table)
    for name, exact in (("share", weight @ true), ("users", np.diag(true)),
                        ("producers", weight * np.diag(true) / (weight @ true))):
        value, se = tables[:, :, columns.index(name)], tables[:, :, columns.index(f"{name}_se")]
        assert np.allclose(value.mean(0), exact, atol=0.02)
        assert np.allclose(value.std(0), np.sqrt((se**2).mean(0)), rtol=0.15)
    overall = np.array([[r.overall, r.overall_se] for r in runs])
    assert np.isclose(overall[:, 0].std(), overall[:, 1].mean(), rtol=0.1)


def test_a_map_is_counted_and_its_classes_must_be_sampled():
    "A raster gives its own shares; a class without a sample, one sampled once, or other columns are refused."
    raster = xr.DataArray(np.array([[1, 1, 2.0], [2, 2, np.nan]]), dims=("y", "x"))
    sample = pd.DataFrame([[9, 1], [0, 10]], [1, 2], [1, 2])
    assert np.allclose(trends.area_shares(raster, sample).table["share"], [0.36, 0.64])
    with pytest.raises(InputError, match="class 7 is on the map"):
        trends.area_shares({1: 5, 7: 3}, sample)
    with pytest.raises(InputError, match="class 2 has fewer than 2"):
        trends.area_shares(raster, pd.DataFrame([[9, 1], [0, 1]], [1, 2], [1, 2]))
    with pytest.raises(InputError, match="same order"):
        trends.area_shares(raster, sample[[2, 1]])
