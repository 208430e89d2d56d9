"""What two real squares in Flanders show, where an archive with them is named."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phenolib import indices, phenology
from phenolib.sources import sentinel

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
FOLDER = Path(ROOT or ".") / "sentinel_patch"
pytestmark = pytest.mark.skipif(not ROOT or not FOLDER.is_dir(), reason="PHENOLIB_ARCHIVE names no archive of patches")
PLACE = "0000280849BAC91C"
WHEAT, MAIZE, BARLEY, BEET, GRASS = 1110, 1200, 1510, 8100, 9120


@pytest.fixture(scope="module")
def square():
    return sentinel.read_place(FOLDER, PLACE)


@pytest.fixture(scope="module")
def ndvi(square):
    return indices.index("NDVI", sentinel.clear(square["optical"]))


def of(series, square, crop):
    "Series of the interior pixels of a crop, (pixel, time)."
    labels = square["crops"]["crop"]
    inside = (sentinel.interior(labels) & (labels == crop)).stack(pixel=("y", "x"))
    flat = series.stack(pixel=("y", "x")).isel(pixel=np.flatnonzero(inside)).transpose("pixel", "time")
    return flat.drop_vars(["pixel", "y", "x", "spatial_ref"])


def level(square, crop, band, month):
    "Median level of a month [dB] of the mean power over coarse pixels whose neighbours bear the same crop."
    labels = sentinel.on_coarse(square["crops"]["crop"], square["radar"])
    inside = sentinel.interior(labels) & (labels == crop)
    mean = indices.to_db(square["radar"][band].where(inside).mean(("y", "x")))
    return float(mean[(mean["time"].dt.year == 2019) & (mean["time"].dt.month == month)].median())


def middle(dates, first, last):
    "Median of the dates within a span, and the share of pixels that have one there."
    known = dates.values.astype("datetime64[ns]")
    there = (known >= np.datetime64(first)) & (known <= np.datetime64(last))
    return pd.Timestamp(int(np.median(known[there].astype(np.int64)))), there.any(1).mean()


def test_units_and_sizes(square):
    "Reflectance from 0 to 1, power above 0, 72 and 80 dates, the crops and the weather of the place."
    optical, radar = square["optical"], square["radar"]
    assert optical.sizes == {"time": 72, "x": 64, "y": 64} and radar.sizes == {"time": 80, "x": 32, "y": 32}
    assert 0 < float(optical["B08"].min()) and float(sentinel.clear(optical)["B08"].quantile(0.99)) < 0.8
    assert -25 < float(indices.to_db(radar["vh"]).median()) < -12
    counts = pd.Series(square["crops"]["crop"].values.ravel()).value_counts()
    assert counts[[GRASS, WHEAT, MAIZE, BARLEY, BEET]].tolist() == [1387, 1378, 413, 294, 154]
    assert 8 < float(square["weather"]["t_mean"].mean()) < 14 and float(square["weather"]["rain"].sum()) > 500


def test_patch_is_written_back(square, tmp_path):
    "Radar and optical patches, written and read again, differ by the rounding alone."
    for kind in ("radar", "optical_20"):
        back = sentinel.read_patch(sentinel.write_patch(tmp_path, square[kind]))
        for name in square[kind].data_vars:
            np.testing.assert_allclose(back[name], square[kind][name], rtol=3e-5, atol=1e-6)


def test_seasons_of_wheat_barley_and_maize(square, ndvi):
    "Wheat ends in July, winter barley ten days earlier or more, maize starts in June and ends in September, October."
    found = {crop: phenology.seasons(of(ndvi, square, crop), method="whittaker") for crop in (WHEAT, BARLEY, MAIZE)}
    wheat, share = middle(found[WHEAT]["eos50"], "2019-06-01", "2019-09-01")
    barley, _ = middle(found[BARLEY]["eos50"], "2019-05-15", "2019-08-15")
    assert wheat.month == 7 and share > 0.5 and (wheat - barley).days >= 10
    start, share = middle(found[MAIZE]["sos50"], "2019-04-15", "2019-08-15")
    end, _ = middle(found[MAIZE]["eos50"], "2019-08-01", "2019-11-15")
    assert start.month == 6 and share > 0.5 and end.month in (9, 10)


def test_catch_crops_are_seasons_of_their_own(square, ndvi):
    "After barley and after wheat most fields are green again in autumn 2019: a rise in August to October."
    for crop in (WHEAT, BARLEY):
        found = phenology.seasons(of(ndvi, square, crop), method="whittaker")
        assert middle(found["peak"], "2019-09-01", "2019-11-30")[1] > 0.5


def test_radar_of_wheat_falls_and_of_maize_and_beet_rises(square):
    "Wheat VH falls by 4 dB or more from March to May; maize and sugar beet rise by 4 dB or more from May to August."
    assert level(square, WHEAT, "vh", 3) - level(square, WHEAT, "vh", 5) >= 4
    for crop in (MAIZE, BEET):
        assert level(square, crop, "vh", 8) - level(square, crop, "vh", 5) >= 4


def test_months_of_a_geotiff():
    "The 17 × 17 patch has twelve months of both sensors; without the first month it is refused."
    path = FOLDER / "cropharvest_togo_98.tif"
    patch = sentinel.read_patch(path, start="2019-02")
    assert patch.sizes == {"time": 12, "y": 17, "x": 17} and 0.02 < float(patch["B08"].median()) < 0.6
    assert -30 < float(indices.to_db(patch["vh"]).median()) < -5 and 15 < float(patch["t_mean"].mean()) < 40
    with pytest.raises(sentinel.InputError, match="does not tell its months"):
        sentinel.read_patch(path)
