"""Simulated flux sites: the same files for the same seed, in the layout of the real ones, with dates that come back."""

import filecmp

import numpy as np
import pandas as pd
import pytest

from phenolib import archive, metrics, phenology, simulate
from phenolib.errors import InputError
from phenolib.simulate import catalogue, config, flux_sites, plots
from phenolib.sources import site_series


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "The five flux sites with their default years."
    place = tmp_path_factory.mktemp("flux")
    simulate.make("flux_sites", place, seed=7)
    return place


@pytest.fixture(scope="module")
def data(folder):
    return archive.Archive(folder)


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_same_seed_writes_the_same_bytes(folder, tmp_path):
    "An archive is a function of its seed and sizes; fewer sites change none of those that stay."
    simulate.make("flux_sites", tmp_path / "all", seed=7)
    assert len(files(folder)) == 18
    assert filecmp.cmpfiles(folder, tmp_path / "all", files(folder), shallow=False)[0] == files(folder)
    simulate.make("flux_sites", tmp_path / "two", seed=7, sites=2)
    same = [name for name in files(tmp_path / "two") if "LC11" in name or "GPP_daily" in name]
    assert len(same) == 6 and filecmp.cmpfiles(folder, tmp_path / "two", same, shallow=False)[0] == same


def test_another_seed_is_another_landscape(data, tmp_path):
    "Students with different seeds get different dates."
    simulate.make("flux_sites", tmp_path, seed=8, sites=1)
    one, other = (a.reference("site_gpp").events.query("site == 'sim-flux1' and crop == 'winter wheat'")
                  for a in (data, archive.Archive(tmp_path)))
    assert (one["date"].to_numpy()[:50] != other["date"].to_numpy()[:50]).mean() > 0.8


def test_files_are_laid_out_as_the_real_ones(folder, data):
    "Folders, names, columns and digits are those of the public files; no name of a real site."
    assert {k: len(v) for k, v in data.kinds().items()} == {"site_indices": 10, "site_gpp": 5}
    assert "S2_NDVI_EVI2/S2_2017_01_01_2024_12_31_sim-flux1_LC11_NDVI_EVI2_mean.csv" in files(folder)
    lines = (folder / "GPP_daily" / "sim-flux2_GPP_DT_VUT_REF_dd_all_years.csv").read_text().splitlines()
    assert lines[0] == "TIMESTAMP,GPP_DT_VUT_REF" and all(" 00:00:00+00:00," in line for line in lines[1:])
    assert data.flux_sites["site"].str.startswith("sim-").all() and data.flux_sites["lon"].notna().all()
    for path in data.kinds()["site_indices"] + data.kinds()["site_gpp"]:
        read = site_series.read(path)
        assert not any("impossible" in v.attrs for v in read.values())
        assert str(read.time.values.min())[:10] >= "2017-01-01" and str(read.time.values.max())[:10] <= "2024-12-31"


def test_the_sky_is_cloudier_in_winter(data):
    "Half to nine tenths of the passes are missing, more in winter; passes come every five days or oftener."
    for site, steps in (("sim-flux1", {2, 3}), ("sim-flux4", {5}), ("sim-flux5", {1, 2})):
        ndvi = data.site_series(site).NDVI
        missing = ndvi.isnull()
        winter = ndvi.time.dt.month.isin([11, 12, 1, 2])
        assert 0.5 < float(missing.mean()) < 0.9
        assert float(missing[winter].mean()) > float(missing[~winter].mean())
        gaps = ndvi.indexes["time"].to_series().loc["2018-06":].diff().dt.days.value_counts(normalize=True)
        assert gaps[list(steps)].sum() > 0.95


def test_gpp_is_of_the_size_of_real_gpp(data):
    "Daily uptake peaks between 10 and 30 gC m⁻² d⁻¹, is small in winter, and misses a fifth to a half of the days."
    for site in data.flux_sites["site"]:
        gpp = data.gpp(site)
        assert 18 < float(gpp.max()) < 32 and float(gpp.min()) == 0
        assert float(gpp.where(gpp.time.dt.month.isin([12, 1])).median()) < 1.5
        assert 0.2 < float(gpp.isnull().mean()) < 0.5
        empty = gpp.isnull().astype(int).to_series()
        runs = empty.groupby((empty == 0).cumsum()).sum()
        assert runs.max() > 14 and (runs == 1).sum() > 20


def test_truth_hangs_together(data):
    "Starts come before ends, shares in order, winter crops and catch crops in their seasons, one row per event."
    truth = data.reference("site_gpp", "truth").events
    assert not truth.duplicated(["series", "crop", "season", "direction", "share"]).any()
    wide = truth.pivot(index=["series", "season", "crop"], columns=["direction", "share"], values="date")
    assert (wide["rising"][90] < wide["falling"][90]).all() and (wide["rising"][40] < wide["falling"][40]).all()
    for direction, sign in (("rising", 1), ("falling", -1)):
        steps = np.diff(wide[direction].sort_index(axis=1).to_numpy(), axis=1) / np.timedelta64(1, "D")
        assert (sign * steps[~np.isnan(steps)] >= 0).all()
    half = wide["rising"][50].dt.day_of_year
    crops = half.groupby("crop").agg(["min", "max"])
    assert crops.loc["winter wheat", "max"] < crops.loc["corn", "min"] < crops.loc["catch crop", "min"]
    assert set(truth["season"]) == set(range(2017, 2025))


def test_true_dates_come_back(data):
    """Planted dates come back from daily GPP: half of them within 3 days, 6 days on average at 50 %.

    Not all: gaps hide some, and a catch crop lost in the noise takes the end of the crop before it along.
    """
    truth = data.reference("site_gpp", "truth").events
    found = pd.concat([phenology.table(phenology.seasons(data.gpp(site)), series=f"{site}_GPP", site=site)
                       for site in data.flux_sites["site"]])
    both = metrics.match_events(phenology.events(found), truth[truth["share"].isin([20, 50])])
    for (share, _), some in both.groupby(["share", "direction"]):
        error = metrics.days(some["found"], some["date"], draws=2)
        assert error.median <= 3 and error.retrieved > 0.6
        assert share == 20 or error.mae <= 6


def test_indices_follow_the_uptake(data):
    "Where leaves take up carbon the satellite sees them green: wheat in May is green, bare corn land in April is not."
    ndvi = data.site_series("sim-flux3").NDVI
    month = ndvi.where(ndvi.time.dt.year.isin([2019, 2021, 2023])).groupby("time.month").median()
    assert float(month.sel(month=5)) > 0.7
    corn = ndvi.where(ndvi.time.dt.year.isin([2018, 2020, 2022])).groupby("time.month").median()
    assert float(corn.sel(month=4)) < 0.4 and float(corn.sel(month=8)) > 0.7


@pytest.mark.parametrize("bad, words", [
    (dict(sites=0), "sites = 0"), (dict(sites=6), "give 1 to 5 flux sites"), (dict(years=(2020, 2018)), "years = 2020"),
])
def test_sizes_out_of_range_are_named(tmp_path, bad, words):
    "A size that cannot be made is refused, and nothing is written."
    with pytest.raises(InputError, match=words):
        simulate.make("flux_sites", tmp_path / "new", seed=1, **bad)
    assert not (tmp_path / "new").exists()


def test_weather_leaves_the_clear_days_and_is_like_on_its_neighbours():
    "The upper tenth of the days lies within a fifth of the smooth curve's, the lower far below; neighbours agree."
    days = flux_sites.weather(np.random.default_rng(0), 20000)
    assert 0.9 < np.median(days) < 1.05 and np.quantile(days, 0.95) < 1.25 and np.quantile(days, 0.05) < 0.5
    assert 0.4 < np.corrcoef(days[:-1], days[1:])[0, 1] < 0.75


def test_both_parts_stand_in_one_archive(tmp_path):
    "Together the parts have the very files that each has alone, all kinds are listed, and each hash is its own."
    for part, sizes in (("cameras", dict(sites=3)), ("flux_sites", dict(sites=2))):
        simulate.make(part, tmp_path / part, seed=5, years=(2017, 2018), **sizes)
    simulate.join([tmp_path / "cameras", tmp_path / "flux_sites"], tmp_path / "both")
    both = archive.Archive(tmp_path / "both")
    assert list(both.kinds()) == ["cameras", "site_indices", "site_gpp"] and both.about["licence"] == "CC0-1.0"
    assert "simulated cameras" in both.about["note"] and "simulated flux sites" in both.about["note"]
    for part, kinds in (("cameras", ["cameras"]), ("flux_sites", ["site_gpp"]), ("flux_sites", ["site_indices"])):
        alone = archive.Archive(tmp_path / part)
        names = [name for name in files(tmp_path / part) if name != "archive.yml"]
        assert filecmp.cmpfiles(tmp_path / part, tmp_path / "both", names, shallow=False)[0] == names
        assert alone.hash(kinds) == both.hash(kinds)
    assert both.reference("cameras").source == both.reference("site_gpp").source == "truth"
    assert both.find_flux_site("BE-Lon") == "sim-flux1" and "sim-flux1" not in set(both.sites["site"])


def test_all_parts_at_once(tmp_path, monkeypatch):
    "Every part is made with the years asked for; nothing else is left."
    monkeypatch.setattr(catalogue, "AREAS", dict([*catalogue.AREAS.items()][:1]))
    monkeypatch.setattr(plots, "TUBES", plots.TUBES[:1])
    simulate.make_all(tmp_path / "all", config.make(seed=5, sites=2, squares=1, years=(2018, 2018)))
    found = archive.Archive(tmp_path / "all")
    assert {k: len(v) for k, v in found.kinds().items()} == {
        "cameras": 2, "site_indices": 10, "site_gpp": 5, "patches": 15, "soil": 2, "catalogue": 1,
        "plots": 1, "root_images": 6 * 192}  # the plots keep their years
    assert found.reference("site_gpp").events["season"].unique().tolist() == [2018]
    assert [p.name for p in tmp_path.iterdir()] == ["all"]
