"""Water in soil: a potential on its scale, and the water content that belongs to it."""

import numpy as np
import pytest
import xarray as xr

from phenolib import soil
from phenolib.errors import InputError


def test_wetter_is_larger():
    "pF 2 is -10 kPa, pF 4.2 the wilting point of -1500 kPa; missing stays missing."
    psi = xr.DataArray([-10.0, -100.0, -1500.0, np.nan])
    np.testing.assert_allclose(soil.wetness(psi), [-2, -3, -4.176, np.nan], atol=1e-3)


def test_content_falls_as_it_dries():
    "Saturated at no tension, above the residual when dry; sand lets go sooner than clay."
    psi = -np.array([0.0, 1, 10, 33, 100, 1500])
    for texture, (residual, saturated, *_) in soil.TEXTURES.items():
        theta = soil.water_content(psi, texture)
        assert theta[0] == pytest.approx(saturated) and (np.diff(theta) < 0).all() and theta[-1] > residual
    assert soil.water_content(psi, "sand")[3] < 0.1 < 0.3 < soil.water_content(psi, "clay")[3]


def test_mistakes_are_told():
    "A tension in place of a potential, and a texture that is none."
    with pytest.raises(InputError, match="above zero.*tensions"):
        soil.wetness(np.array([-5.0, 5.0]))
    with pytest.raises(InputError, match="'silt laom' is not known.*silt loam"):
        soil.water_content(np.array(-5.0), "silt laom")


DAYS = np.datetime64("2020-01-01", "ns") + np.arange(200).astype("timedelta64[D]")


def rained(stations=4, days=200, seed=0):
    "(station, time) moisture at the surface: rain on some days, and drying in between."
    rng = np.random.default_rng(seed)
    wet = np.zeros((stations, days))
    for k in range(1, days):
        wet[:, k] = 0.8 * wet[:, k - 1] + np.where(rng.random(stations) < 0.15, rng.uniform(0, 0.2, stations), 0)
    return 0.15 + wet


def test_the_filter_is_an_exponentially_weighted_mean():
    "Far from the beginning it equals the weights e^(−age/T) of all values before, at irregular times too."
    surface, keep = rained()[0], np.sort(np.random.default_rng(1).choice(200, 150, replace=False))
    found = soil.exponential_filter(DAYS[keep], surface[keep], T=8)
    age = (DAYS[keep][-1] - DAYS[keep]) / np.timedelta64(1, "D")
    weights = np.exp(-age / 8)
    assert found[-1] == pytest.approx((weights * surface[keep]).sum() / weights.sum())


def test_gaps_are_skipped_and_stations_are_alone():
    "Missing days change nothing of the others; a station alone gives what it gives among others."
    surface = rained()
    surface[1, 40:70] = np.nan
    found = soil.exponential_filter(DAYS, surface, T=10)
    alone = soil.exponential_filter(DAYS[np.r_[0:40, 70:200]], surface[1, np.r_[0:40, 70:200]], T=10)
    np.testing.assert_allclose(found[1, np.r_[0:40, 70:200]], alone)
    assert np.isnan(found[1, 40:70]).all() and np.isfinite(found[0]).all()
    assert soil.exponential_filter(DAYS, surface[0], T=40).std() < soil.exponential_filter(DAYS, surface[0], 5).std()


def test_the_future_does_not_change_the_past():
    "Rain to come leaves the filter as it is."
    surface = rained()
    other = surface.copy()
    other[:, 120:] += 0.1
    both = [soil.exponential_filter(DAYS, v, T=15)[:, :120] for v in (surface, other)]
    np.testing.assert_array_equal(*both)


def test_a_planted_time_is_found():
    "Depth made by a filter of 20 days with an own level and noise: 20 is found, and no station is needed twice."
    surface = rained(6)
    deep = 0.1 + 0.7 * soil.exponential_filter(DAYS, surface, T=20)
    deep += np.random.default_rng(2).normal(0, 0.002, deep.shape)
    deep[3] = np.nan
    T, mean = soil.fit_time(DAYS, surface, deep)
    assert T == 20 and len(mean) == len(soil.TIMES) and mean.max() > 0.98


def test_mistakes_of_the_filter_are_told():
    "Times out of order, T of 0, nothing at depth."
    surface = rained(2)
    for given, said in [((DAYS[::-1], surface, 5), "in order"), ((DAYS, surface[:, :9], 5), "as many values"),
                        ((DAYS, surface, 0), "not above zero")]:
        with pytest.raises(InputError, match=said) as error:
            soil.exponential_filter(*given)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no station has 30 days"):
        soil.fit_time(DAYS, surface, np.full_like(surface, np.nan))
