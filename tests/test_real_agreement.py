"""TIMESAT's dates at the real flux sites beside ours, where an archive of them is named."""

import os

import pandas as pd
import pytest

from phenolib import agreement, archive, metrics, phenology

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
pytestmark = pytest.mark.skipif(not ROOT, reason="PHENOLIB_ARCHIVE names no real archive")
DAY = pd.Timedelta("1D")


@pytest.fixture(scope="module")
def data():
    return archive.open_archive(ROOT)


def test_the_rule_on_its_own_curve_gives_its_dates(data):
    "40 % of each side of TIMESAT's daily fit is its date in all but a few of 30 seasons, to a minute at the median."
    own = agreement.on_own_curves({site: data.timesat(site) for site in data.flux_sites["site"]}, 0.4)
    assert len(own) == 30
    for event in ("sos", "eos"):
        off = (own[f"{event}_again"] - own[event]).abs() / DAY
        assert off.median() < 0.01 and (off <= 1).sum() >= 25


def test_raw_uptake_comes_within_ten_days(data):
    "With the curve chosen without its settings, nine in ten of its dates are met, within ten days at the median."
    uptake = {site: data.gpp(site) for site in data.flux_sites["site"]}
    found = agreement.seasons_of(uptake, thresholds=(0.4,), method="whittaker", smoothness=2000.0)
    both = metrics.match_events(phenology.events(found), data.reference("site_gpp", "published").events)
    assert both["found"].notna().mean() >= 0.9
    assert (both.groupby("direction")["difference"].agg(lambda d: d.abs().median()) <= 10).all()
