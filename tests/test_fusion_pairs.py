"""Pairs of fine and coarse images: names, gaps, partners and places."""

import os
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import fusion_pairs
from phenolib.sources.fusion_pairs import Pairs

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
real = pytest.mark.skipif(not ROOT or not Path(ROOT, "fusion_lst").is_dir(),
                          reason="PHENOLIB_ARCHIVE names no archive with pairs of images")


def planted(dates=("2016-02-05", "2016-02-18", "2016-03-08"), fine=(0, 2), size=12, seed=0, unit="K", **coords):
    "Three coarse images and two fine ones with a gap."
    rng = np.random.default_rng(seed)
    time = np.array(dates, "datetime64[ns]") if isinstance(dates[0], str) else np.array(dates)
    places = {"y": -34.8 - 0.001 * np.arange(size), "x": 146 + 0.001 * np.arange(size)} | coords
    coarse = xr.DataArray(rng.uniform(295, 320, (len(dates), size, size)).astype(np.float32),
                          {"time": time, **places}, ("time", "y", "x"))
    sharp = coarse.isel(time=list(fine)) + np.float32(1)
    sharp[0, 3, 4] = np.nan
    coarse, sharp = (one if unit == "K" else one * 10 for one in (coarse, sharp))
    return Pairs("place", sharp.rio.write_crs(4326), coarse.rio.write_crs(4326), unit)


def test_what_is_written_is_read_again(tmp_path):
    "Values, gaps, dates and places come back; the image to predict is a coarse one without a fine one."
    pairs = planted()
    fusion_pairs.write(pairs, tmp_path / "place")
    names = sorted(path.name for path in (tmp_path / "place").iterdir())
    assert names[0] == "Landsat_LST_cloudrm_20160205.tif" and names[3] == "MOD11A1_LST_cloudrm_20160218.tif"
    [found] = fusion_pairs.read(tmp_path)
    assert (found.name, found.unit) == ("place", "K")
    for ours, theirs in ((found.fine, pairs.fine), (found.coarse, pairs.coarse)):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours["time"], theirs["time"])
        np.testing.assert_allclose(ours["y"], theirs["y"])
        assert ours.rio.crs.to_epsg() == 4326
    assert np.isnan(found.fine[0, 3, 4]) and found.fine["label"].values.tolist() == ["20160205", "20160308"]
    first = (tmp_path / "place" / names[0]).read_bytes()
    fusion_pairs.write(pairs, tmp_path / "place")
    assert (tmp_path / "place" / names[0]).read_bytes() == first


def test_dates_without_a_calendar_keep_their_order(tmp_path):
    "t1, t2 and t10 are numbers, and in the order of the numbers; there is no place."
    pairs = planted(dates=(1, 2, 10), unit="1")
    fusion_pairs.write(pairs, tmp_path / "Test_1")
    [found] = fusion_pairs.read(tmp_path)
    assert found.coarse["time"].values.tolist() == [1, 2, 10] and found.unit == "1"
    assert found.coarse["label"].values.tolist() == ["t1", "t2", "t10"]
    np.testing.assert_array_equal(found.coarse, pairs.coarse)


def test_several_bands_are_an_axis(tmp_path):
    "Images of several bands are read as time, band, y, x."
    one = planted(unit="1")
    order = "time", "band", "y", "x"
    many = [xr.concat([image, image + 1], "band").transpose(*order) for image in (one.fine, one.coarse)]
    fusion_pairs.write(Pairs("place", *many), tmp_path)
    [found] = fusion_pairs.read(tmp_path)
    assert found.fine.dims == ("time", "band", "y", "x")
    np.testing.assert_array_equal(found.coarse, many[1])


def test_pairs_that_do_not_fit_are_refused(tmp_path):
    "A fine image alone, other sizes, other places, other names, and no value at all."
    pairs, folder = planted(), tmp_path / "place"
    fusion_pairs.write(Pairs("place", pairs.fine, pairs.coarse[1:], "K"), folder)
    with pytest.raises(InputError, match="place: the fine image of 20160205 has no coarse one of that date"):
        fusion_pairs.read(folder)
    small = planted(size=10)
    fusion_pairs.write(Pairs("place", pairs.fine, small.coarse, "K"), folder)
    with pytest.raises(InputError, match="MOD11A1_LST_cloudrm_20160205.tif: has 10 x 10 pixels, Landsat.* 12 x 12"):
        fusion_pairs.read(folder)
    moved = planted(x=146.0005 + 0.001 * np.arange(12))
    fusion_pairs.write(Pairs("place", pairs.fine, moved.coarse, "K"), folder)
    with pytest.raises(InputError, match="lies elsewhere than Landsat.*by 0.50 pixels"):
        fusion_pairs.read(folder)
    fusion_pairs.write(Pairs("place", pairs.fine * np.nan, pairs.coarse, "K"), folder)
    with pytest.raises(InputError, match="has no value at all"):
        fusion_pairs.read(folder)
    with pytest.raises(InputError, match="no such folder"):
        fusion_pairs.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no image named like"):
        (tmp_path / "empty").mkdir()
        fusion_pairs.read(tmp_path / "empty")


@pytest.mark.parametrize(("name", "why"), [
    ("MOD11A1_LST_2016.tif", "tells not the date"), ("LST_20160205.tif", "tells not whether it is fine or coarse"),
    ("Landsat_MODIS_20160205.tif", "whether it is fine or coarse"), ("Landsat_20161305.tif", "20161305 is no date")])
def test_names_that_tell_too_little_are_refused(name, why):
    "A name tells the date and whether the image is fine or coarse."
    with pytest.raises(InputError, match=why):
        fusion_pairs.told(Path(name))


@real
def test_real_pairs_are_read():
    "Landsat and MODIS temperature around a day to predict, and three pairs made to test fusion with."
    [pairs] = fusion_pairs.read(Path(ROOT, "fusion_lst"))
    assert pairs.unit == "K" and pairs.fine.shape == (2, 400, 400) and pairs.coarse.shape == (3, 400, 400)
    assert 0 < int(pairs.fine.isnull().sum()) < 10 and float(pairs.fine.min()) > 290
    made = fusion_pairs.read(Path(ROOT, "fusion_simulated"))
    assert [one.name for one in made] == ["Test_1", "Test_2", "Test_3"]
    assert made[1].fine["label"].values.tolist() == ["t1", "t4"] and made[0].unit == "1"
