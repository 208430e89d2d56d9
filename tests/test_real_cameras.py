"""What the real camera files hold, where an archive of them is named."""

import os

import pandas as pd
import pytest

from phenolib import archive, metrics, phenology

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
pytestmark = pytest.mark.skipif(not ROOT, reason="PHENOLIB_ARCHIVE names no real archive")


@pytest.fixture(scope="module")
def data():
    return archive.open_archive(ROOT)


def rows_of(data, site):
    return phenology.camera_seasons(data.cameras(site, "AG"), per_year=8)


@pytest.mark.parametrize("site", ["mead2", "mead3"])
def test_a_camera_set_up_in_july_has_no_start(data, site):
    "At mead2 and mead3 the rise of 2016 was never seen; its fall was."
    first = rows_of(data, site).iloc[0]
    assert first["season"] == 2016 and first["reason"].startswith("start not observed")
    assert pd.isna(first["sos20"]) and pd.isna(first["sos50"]) and first["eos50"].month == 9


def test_an_empty_year_is_reported(data):
    "usof6 has almost no pictures in 2021: the year has a row, and no date."
    last = rows_of(data, "usof6").iloc[-1]
    assert last["season"] == 2021 and last["reason"] == "no data" and pd.isna(last["peak"])


def test_kona_has_several_seasons_a_year(data):
    "Wheat, then a cover crop: KONA has three seasons in 2016 and two in 2017."
    rows = rows_of(data, "NEON.D06.KONA.DP1.00042")
    count = rows[rows["series"].str.endswith("AG_1000")].dropna(subset="peak")["season"].value_counts()
    assert count[2016] == 3 and count[2017] == 2


def test_every_season_runs_forward(data):
    "In every season of every agricultural camera the dates stand in order, across New Year too."
    rows = phenology.camera_seasons(data.cameras(veg_type="AG"), per_year=8)
    order = rows[["sos20", "sos50", "peak", "eos50", "eos20"]]
    later = order.apply(lambda row: row.dropna().dt.floor("D").is_monotonic_increasing, axis=1)
    assert later.all()
    winter = rows["sos20"].dt.year < rows["eos20"].dt.year
    assert winter.sum() > 20


def test_published_dates_are_met(data):
    "Nine in ten published events and more have ours beside them, within two days at the median on the same curve."
    events = data.reference("cameras", "published").events
    events = events[(events["metric"] == "gcc_90") & (events["veg_type"] != "EN") & events["share"].isin([25, 50])]
    series = events.drop_duplicates("series")[["series", "site", "path"]]
    found = phenology.events(phenology.camera_seasons(series, thresholds=(0.25, 0.5), per_year=8))
    both = metrics.match_events(found, phenology.reread(events))
    half = both[both["share"] == 50]
    assert len(half) == 46 and (half["difference"].abs() <= 21).mean() >= 0.95
    for share in (25, 50):
        some = both[(both["share"] == share) & (both["difference"].abs() <= 21)]
        assert ((some["found"] - some["reread"]).abs() / pd.Timedelta(1, "D")).median() <= 2
    step = (half["date"] - half["reread"]).abs() / pd.Timedelta(1, "D")
    assert step.between(3, 6).all()
