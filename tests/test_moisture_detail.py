"""Detail of maps: a blurred map is exposed, a noisy one too, and a shifted one."""

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter, uniform_filter

from phenolib import moisture_detail as detail
from phenolib.errors import InputError


def planted(days=6, size=120, seed=0):
    "(time, y, x): a fine pattern that stays, on a smooth one that changes, and sea in a corner."
    rng = np.random.default_rng(seed)
    fine = gaussian_filter(rng.normal(size=(size, size)), 1.5, mode="reflect")
    fine *= 0.03 / fine.std()
    broad = np.stack([gaussian_filter(rng.normal(size=(size, size)), 25) for _ in range(days)])
    field = 0.25 + fine + 0.04 * broad / broad.std()
    field[:, :25, :25] = np.nan
    return field


def blurred(truth, width=9):
    there = np.isfinite(truth)
    full = np.where(there, truth, np.nanmean(truth))
    return np.where(there, np.stack([uniform_filter(v, width) for v in full]), np.nan)


def test_the_truth_has_its_own_detail():
    "All measures of the truth against itself are 1, and 0 for the error."
    truth = planted()
    table = detail.variogram_ratio(truth, truth)
    assert np.allclose(table[["ratio", "low", "high"]], 1) and list(table.index) == list(detail.LAGS)
    assert detail.edge_contrast(truth, truth)["value"] == pytest.approx(1)
    inside = detail.within_cell(truth, truth)
    assert inside["correlation"]["value"] == pytest.approx(1) and inside["sd_ratio"]["value"] == pytest.approx(1)
    assert inside["rmse"]["value"] == pytest.approx(0, abs=1e-6)


def test_a_blurred_map_does_not_win():
    "Its RMSE is smaller than that of a sharp noisy map, but variogram, edges and SD within cells give it away."
    truth = planted()
    blur = blurred(truth)
    sharp = truth + np.random.default_rng(1).normal(0, 0.03, truth.shape)
    assert np.nanstd(blur - truth) < np.nanstd(sharp - truth)
    near = detail.variogram_ratio(blur, truth, lags=(1, 2))
    assert (near["high"] < 0.3).all()
    assert detail.variogram_ratio(sharp, truth, lags=(1,))["low"].iloc[0] > 1
    assert detail.edge_contrast(blur, truth)["interval"][1] < 0.6
    assert detail.edge_contrast(sharp, truth)["value"] == pytest.approx(1, abs=0.05)
    assert detail.within_cell(blur, truth)["sd_ratio"]["interval"][1] < 0.8


def test_detail_in_the_wrong_place_has_the_variogram_but_no_correlation():
    "A map with another fine pattern of the same kind: the ratio is near 1, the correlation within cells is not."
    truth, other = planted(seed=0), planted(seed=5)
    assert detail.variogram_ratio(other, truth, lags=(1, 2))["ratio"].between(0.7, 1.4).all()
    assert abs(detail.within_cell(other, truth)["correlation"]["value"]) < 0.25


def test_a_copy_of_the_coarse_cell_has_no_detail():
    "The mean of each cell in all its pixels: nothing within cells, and it is told why no correlation can be given."
    truth = planted()
    cells = np.where(np.isfinite(truth), np.repeat(np.repeat(
        np.nanmean(truth.reshape(6, 4, 30, 4, 30), (2, 4)), 30, 1), 30, 2), np.nan)
    inside = detail.within_cell(cells, truth)
    assert inside["sd_ratio"]["value"] == pytest.approx(0, abs=1e-6)
    assert inside["correlation"]["value"] is None and "does not differ" in inside["correlation"]["why"]


def test_edges_of_land_cover():
    "A field wetter by 0.1 than its neighbour: a map that knows half of that shows half the contrast there."
    cover = np.where(np.arange(60) // 10 % 2, 12, 4)[None].repeat(60, 0)
    truth = np.where(cover == 12, 0.3, 0.2)[None]
    assert detail.edge_contrast(0.5 * truth, truth, cover=cover)["value"] == pytest.approx(0.5)
    assert detail.edge_contrast(0 * truth, truth, cover=cover, block=15)["interval"] == (0, 0)


def test_arrays_with_coordinates_meet_by_day_and_refuse_a_shift():
    "Common days are taken; a grid shifted by half a pixel is refused, as are shapes that differ."
    truth = planted()
    y, x = 37 - np.arange(120) / 120, 127 + np.arange(120) / 120
    days = np.datetime64("2020-05-01", "ns") + np.arange(6).astype("timedelta64[D]")
    lay = xr.DataArray(truth, {"time": days, "y": y, "x": x}, ("time", "y", "x"))
    assert detail.within_cell(lay[2:], lay[:4])["sd_ratio"]["value"] == pytest.approx(1)
    with pytest.raises(InputError, match="differ in x"):
        detail.variogram_ratio(lay.assign_coords(x=x + 0.5 / 120), lay)
    with pytest.raises(InputError, match="shapes"):
        detail.variogram_ratio(truth[:, :60], truth)
    with pytest.raises(InputError, match="are no whole cells"):
        detail.within_cell(truth, truth, cell=50)
    with pytest.raises(InputError, match="lag = 200"):
        detail.variogram_ratio(truth, truth, lags=(200,))
    with pytest.raises(InputError, match="no edge"):
        detail.edge_contrast(truth, truth, cover=np.ones((120, 120)))
