"""Maps of salinity through the years: what is planted in them is counted, and what is noise is not called change."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import salinity_maps as maps_of
from phenolib.errors import InputError

YEARS = range(2019, 2026)


def maps(values, years=YEARS):
    "(year, y, x) maps on a grid of 10 m."
    values = np.asarray(values, float)
    space = {"y": 4e6 - 10.0 * np.arange(values.shape[1]), "x": 5e5 + 10.0 * np.arange(values.shape[2])}
    return xr.DataArray(values, {"year": list(years), **space}, ("year", "y", "x"), "salt")


def strips(**columns):
    "Maps whose columns hold the given courses of years, 20 rows each."
    courses = np.array(list(columns.values())).T
    return maps(np.repeat(courses[:, None, :], 20, 1), range(2019, 2019 + len(courses)))


def test_areas_of_classes_and_their_share():
    "A hundred pixels of 10 m are one hectare; missing pixels lower what is retrieved and not the shares."
    salt = np.full((1, 20, 20), 0.5)
    salt[0, :10] = 5.0
    salt[0, :5, :4] = np.nan
    table = maps_of.class_areas(maps(salt, [2020])).set_index("class")
    assert table.hectares[["none", "heavy"]].tolist() == pytest.approx([2.0, 1.8])
    assert table.share.sum() == pytest.approx(1) and table.retrieved.iloc[0] == pytest.approx(0.95)
    assert maps_of.class_areas(maps(salt, [2020]), pixel=30).hectares.sum() == pytest.approx(9 * 3.8)


def test_corrected_areas_recover_the_truth():
    "A map that calls a third of the heavy pixels moderate is corrected to the true area, inside its interval."
    rng = np.random.default_rng(0)
    truth = np.where(rng.random((1, 200, 200)) < 0.3, 5.0, 0.5)
    found = np.where((truth == 5) & (rng.random(truth.shape) < 1 / 3), 3.0, truth)
    some = [rng.choice(np.flatnonzero(found == value), 60) for value in (0.5, 3.0, 5.0)]
    drawn = np.concatenate(some)
    counts = maps_of.confusion(found.ravel()[drawn], truth.ravel()[drawn])
    assert counts.loc["moderate", "heavy"] == 60 and counts.to_numpy().sum() == 180
    heavy = maps_of.class_areas(maps(found, [2020]), confusion=counts).set_index("class").loc["heavy"]
    true = (truth == 5).mean() * 400
    assert heavy.hectares < 0.75 * true and heavy.low - 1e-9 <= true <= heavy.high + 1e-9
    assert heavy.producers == pytest.approx(2 / 3, abs=0.03)


def test_an_area_needs_a_sample_of_each_class():
    "A mapped class of which the sample holds nothing is refused, by name."
    with pytest.raises(InputError, match="class moderate has fewer than 2"):
        maps_of.class_areas(maps(np.full((1, 4, 4), 3.0), [2020]), confusion=maps_of.confusion([0.5, 0.5], [0.5, 0.5]))


def test_persistence_is_recovered():
    "Six years of seven are enough; five are fluctuating; too few years have no class."
    gap = np.nan
    salt = strips(high=[9, 9, 9, 1, 9, 9, 9], low=[1, 1, 1, 1, 9, 1, 1], now=[9, 1, 9, 1, 9, 9, 9],
                  middle=[3] * 7, short=[9, gap, gap, 9, gap, 9, 9])
    found = maps_of.persistence(salt)
    assert found.values[0].tolist() == [2, 0, 1, 1, -1]
    assert found.attrs["retrieved"] == pytest.approx(0.8)
    assert maps_of.persistence(salt, least=4).values[0, 4] == 2
    with pytest.raises(InputError, match="low <= limit"):
        maps_of.persistence(salt, low=5)


def test_rising_and_falling_are_told_from_fluctuating():
    "A steady rise is rising where a test is asked for; a persistent place stays persistent."
    salt = strips(up=[1, 1.5, 2, 3, 4, 5, 7], down=[7, 5, 4, 3, 2, 1.5, 1], high=[5, 6, 7, 8, 9, 10, 11])
    assert maps_of.persistence(salt).values[0].tolist() == [1, 1, 2]
    assert maps_of.persistence(salt, trend=0.05).values[0].tolist() == [3, 4, 2]


def test_transitions_count_every_pair():
    "Counts of pooled years, and of first and last; rows are shares."
    salt = strips(stays=[0.5, 0.5, 0.5], moves=[0.5, 3.0, 9.0], gap=[5.0, np.nan, 5.0])
    pooled = maps_of.transitions(salt)
    assert pooled.loc["none", ["none", "moderate"]].tolist() == [40, 20]
    assert pooled.loc["moderate", "solonchak"] == 20 and pooled.attrs["retrieved"] == pytest.approx(4 / 6)
    assert maps_of.row_shares(pooled).loc["none", "none"] == pytest.approx(2 / 3)
    ends = maps_of.transitions(salt, between="ends")
    assert ends.loc["none", "solonchak"] == 20 and ends.loc["heavy", "heavy"] == 20
    assert ends.attrs["pairs"] == [(2019, 2021)]
    with pytest.raises(InputError, match="has no transition"):
        maps_of.transitions(salt.isel(year=[0]))


def test_noise_is_not_called_change():
    "Ninety per cent intervals of unchanged soil leave about ten per cent beyond; a doubling of salty soil is seen."
    rng = np.random.default_rng(1)
    truth = np.log1p(np.full((2, 60, 60), 5.0))
    truth[1, :, 30:] += 1.5
    y = truth + rng.normal(0, 0.3, truth.shape)
    bounds = [maps(np.expm1(y + k * 1.645 * 0.3), [2020, 2021]) for k in (0, -1, 1)]
    found = maps_of.change(*bounds, 2020, 2021)
    assert 0.06 < float(found.sure[:, :30].mean()) < 0.14 and float(found.sure[:, 30:].mean()) > 0.9
    row = maps_of.changed(*bounds).iloc[0]
    assert row.rose > 0.45 and row.fell < 0.06 and row.rose + row.fell + row.within == pytest.approx(1)
    with pytest.raises(InputError, match="upside down|above the upper"):
        maps_of.change(bounds[0], bounds[2], bounds[1], 2020, 2021)


def test_kappa_and_its_interval():
    "Kappa is 1 for equal maps, about 0 for chance, and as scikit-learn has it; blocks widen the interval."
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(2)
    truth = maps(rng.lognormal(1, 1, (1, 40, 40)), [2020])[0]
    assert maps_of.kappa(truth, truth)["value"] == pytest.approx(1)
    chance = truth.copy(data=rng.permutation(truth.values.ravel()).reshape(truth.shape))
    assert abs(maps_of.kappa(truth, chance)["value"]) < 0.05
    blocks = rng.random((4, 4)) < 0.5  # whole blocks of 100 m are wrong
    wrong = np.kron(blocks, np.ones((10, 10))).astype(bool)
    found = truth.where(~wrong, chance)
    got = maps_of.kappa(found, truth, blocks=100.0)
    assert got["value"] == pytest.approx(cohen_kappa_score(maps_of.codes(found).ravel(), maps_of.codes(truth).ravel()))
    low, high = got["interval"]
    assert low < got["value"] < high
    alone = maps_of.kappa(found, truth, blocks=np.arange(1600).reshape(40, 40))["interval"]
    assert high - low > 2 * (alone[1] - alone[0])
    assert maps_of.kappa(found, truth, weights="linear")["value"] != got["value"]
    assert maps_of.kappa(truth * np.nan, truth)["value"] is None


def test_agreement_by_year():
    "A row a year; a map that misses half of its pixels says so."
    rng = np.random.default_rng(3)
    truth = maps(rng.lognormal(1, 1, (2, 30, 30)), [2020, 2021])
    found = truth.copy()
    found[1, :15] = np.nan
    table = maps_of.yearly_agreement(found, truth, blocks=100.0, draws=50).set_index("year")
    assert table.kappa.tolist() == pytest.approx([1, 1]) and table.retrieved.tolist() == pytest.approx([1, 0.5])
    with pytest.raises(InputError, match="no year is in both"):
        maps_of.yearly_agreement(truth.assign_coords(year=[1, 2]), truth)


def planted(campaigns, *, seed=0, n=120, spread=0.05):
    "Samples of campaigns: spring has 1.3 times the 1 + S of summer, autumn the same, each year 3 % more."
    rng = np.random.default_rng(seed)
    rows = []
    for date in campaigns:
        at = pd.Timestamp(date)
        site = rng.integers(40, size=n)
        y = 1.5 + 0.5 * np.sin(site) + np.log({3: 1.3, 7: 1.0, 6: 1.0, 10: 1.0}[at.month])
        y = y + np.log(1.03) * (at.year - 2021) + rng.normal(0, spread) + rng.normal(0, 0.3, n)
        rows.append(pd.DataFrame({"date": at, "site": site, "salt": np.expm1(np.maximum(y, 0))}))
    return pd.concat(rows, ignore_index=True)


def test_season_is_told_from_year_where_it_can_be():
    "With every season in every year the planted factors are recovered, and nothing is confounded."
    table = planted([f"{y}-{m:02d}-15" for y in range(2019, 2026) for m in (3, 7, 10)])
    found = maps_of.seasons(table, reference="summer")
    factors = found.factors.set_index("what")
    spring, year = factors.loc["spring against summer"], factors.loc["each year"]
    assert spring.low < 1.3 < spring.high and spring.low > 1.1
    assert year.low < 1.03 < year.high and found.confounded == []


def test_six_campaigns_say_what_they_cannot_tell():
    "Spring of one year alone is named; a random effect of campaigns widens the interval."
    table = planted(["2019-07-21", "2020-03-15", "2020-06-03", "2020-10-10", "2022-10-10", "2024-06-10"])
    found = maps_of.seasons(table)
    assert any("spring was sampled in 2020 alone" in s for s in found.confounded)
    assert any("2019, 2022, 2024 were each sampled in one season" in s for s in found.confounded)
    narrow = maps_of.seasons(table, campaigns=False).factors
    wide, close = (np.log(f.high / f.low) for f in (found.factors, narrow))
    assert (wide > 2 * close).all()
    spring = found.factors.iloc[0]
    assert spring.what == "spring against summer" and spring.low < 1.3 < spring.high


def test_what_is_missing_is_named():
    "A missing column, one season alone, and maps without years are refused in one line."
    table = planted(["2020-06-01", "2021-06-01"])
    with pytest.raises(InputError, match="all samples are of summer"):
        maps_of.seasons(table)
    with pytest.raises(InputError, match="no column 'site'"):
        maps_of.seasons(table.drop(columns="site"))
    with pytest.raises(InputError, match="year, y and x"):
        maps_of.class_areas(xr.DataArray(np.ones((3, 3)), dims=("y", "x")))


def test_trends_of_squares_are_found_where_they_are_planted():
    "A square whose 1 + S grows by a tenth a year has that trend, the others none."
    values = np.full((7, 40, 40), 3.0)
    values[:, :20, :20] = (np.exp(0.1 * np.arange(7)) * 4 - 1)[:, None, None]
    found = maps_of.square_trends(maps(values))
    assert found.shape == (2, 2) and np.isclose(found[0, 0], 0.1) and np.allclose(found.values.ravel()[1:], 0)


def test_areas_are_the_same_of_salt_and_of_classes():
    "A map of classes gives the hectares of the map that it was made from."
    from phenolib import salinity

    salt = maps(np.random.default_rng(0).uniform(0, 10, (2, 30, 30)), (2019, 2020))
    classes = salt.copy(data=salinity.classify(salt.values))
    assert maps_of.class_areas(salt)["hectares"].tolist() == maps_of.class_areas(classes)["hectares"].tolist()
