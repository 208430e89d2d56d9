"""What the real files of flux sites hold, where an archive of them is named."""

import os

import numpy as np
import pandas as pd
import pytest

from phenolib import archive
from phenolib.archive import flux_sites
from phenolib.sources import site_series, timesat

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
pytestmark = pytest.mark.skipif(not ROOT, reason="PHENOLIB_ARCHIVE names no real archive")
SITES = ["BE-Lon", "DE-Geb", "FR-Gri", "FR-Lam", "SE-Lnn"]


@pytest.fixture(scope="module")
def data():
    return archive.open_archive(ROOT)


def test_five_sites_are_found_beside_the_cameras(data):
    "Each has indices, GPP and what TIMESAT made of it; the cameras' sites are as they were."
    table = data.flux_sites
    assert table["site"].tolist() == SITES and table[["site_indices", "site_gpp", "timesat"]].all(axis=None)
    assert {k: len(data.kinds()[k]) for k in ("site_indices", "site_gpp", "timesat")} == {
        "site_indices": 20, "site_gpp": 5, "timesat": 10}
    assert not set(SITES) & set(data.sites["site"])


def test_files_are_read_and_written_back(data, tmp_path):
    "Every file but one is written again without a change of a byte; one PPI of −22685.5 at SE-Lnn is missing."
    for path in data.kinds()["site_indices"] + data.kinds()["site_gpp"]:
        series = site_series.read(path)
        site_series.write(series, tmp_path / path.name)
        odd = {name: v.attrs["impossible"] for name, v in series.items() if "impossible" in v.attrs}
        assert odd == ({"PPI": 1} if "PPI" in series and series.site == "SE-Lnn" else {})
        text = path.read_text().replace("-22685.54", "")
        assert (tmp_path / path.name).read_text() == text


def test_indices_and_gpp_are_plausible(data):
    "Three fifths to four fifths of the passes are missing, no date is there twice, GPP is that of a crop."
    for site in SITES:
        series, gpp = data.site_series(site), data.gpp(site)
        assert list(series) == ["NDVI", "EVI2", "PPI", "FAPAR", "LAI"] and series.indexes["time"].is_unique
        assert 0.6 < float(series.NDVI.isnull().mean()) < 0.82
        assert float(series.PPI.max()) <= 3.0 and 0.85 < float(series.NDVI.max()) < 0.95
        assert 19 < float(gpp.max()) < 29 and float(gpp.min()) == 0
        assert (np.diff(gpp.time) == np.timedelta64(1, "D")).all()


def test_coded_dates_are_read_right(data):
    "In all 30 seasons the fit at start, end and peak is the coded value, within 0.001; one day off it is 0.2 or more."
    count, off = 0, []
    for site in SITES:
        seasons, fit = data.timesat(site)
        count += len(seasons)
        for when, value in (("sos", "sos_value"), ("eos", "eos_value"), ("peak", "peak_value")):
            at = fit.interp(time=seasons[when].to_numpy()).values
            assert (np.abs(at - seasons[value]) < 1e-3).all()
        shifted = fit.interp(time=(seasons["sos"] + pd.Timedelta("1D")).to_numpy()).values
        off += np.abs(shifted - seasons["sos_value"]).tolist()
    assert count == 30 and np.mean(off) > 0.2


def test_starts_and_ends_lie_at_forty_per_cent(data):
    "TIMESAT's start and end are 40 % of the amplitude of their own side in every season, and the fit lacks one day."
    events = data.reference("site_gpp").events
    assert data.reference("site_gpp").source == "published" and len(events) == 60
    assert set(events["share"]) == {40} and (events["low"] > -0.01).all()
    for site in SITES:
        seasons, fit = data.timesat(site)
        assert np.allclose(seasons["share"], 0.4, atol=1e-6)
        assert np.allclose(seasons["amplitude"], seasons["peak_value"] - seasons["base"], atol=1e-4)
        days = (seasons["eos"] - seasons["sos"]) / pd.Timedelta("1D")
        assert np.allclose(days, seasons["length"], atol=0.01)
        missing = pd.date_range(fit.indexes["time"][0], fit.indexes["time"][-1]).difference(fit.indexes["time"])
        assert missing.strftime("%Y-%m-%d").tolist() == ([] if site == "SE-Lnn" else ["2020-12-31"])


def test_productivity_is_the_sum_of_the_fit(data):
    "The total productivity is the sum of the daily fit from the day of the start to the day after the end."
    for site in SITES:
        seasons, fit = data.timesat(site)
        for season in seasons.itertuples():
            days = fit.sel(time=slice(season.sos.floor("D"), season.eos.ceil("D")))
            assert abs(float(days.sum()) - season.total_productivity) < 0.1
            assert abs(float((days - season.base).sum()) - season.seasonal_productivity) < 0.1


def test_check_finds_nothing_wrong_with_them(data):
    "All kinds are counted, and the one impossible value is a remark."
    files = [(kind, path) for kind in flux_sites.KINDS for path in data.kinds()[kind]]
    remarks = [text for kind, path in files for text in flux_sites.look(kind, path)[3]]
    name = "PPI_2017_01_01_2024_12_31_SE-Lnn_LC11_mean.csv"
    assert remarks == [f"{name}: 1 value of PPI that cannot be is taken as missing"]


def test_a_slot_without_a_season_has_no_row(data):
    "FR-Gri has no GPP in 2018 and two seasons in 2019 and 2021."
    seasons, _ = data.timesat("FR-Gri")
    assert seasons["year"].value_counts().to_dict() == {2017: 1, 2019: 2, 2020: 1, 2021: 2, 2022: 1, 2023: 1}
    assert seasons.attrs["years"] == list(range(2017, 2024)) and list(seasons.columns) == timesat.COLUMNS
