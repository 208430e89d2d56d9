"""The ground below simulated fields: exact slopes, bounds, and values that belong to a place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma, kv

from phenolib.errors import InputError
from phenolib.simulate import ground

FEW = settings(max_examples=12, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**31)


@FEW
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.sampled_from([2.0, 10.0, 30.0]))
def test_slope_of_a_plane_is_exact(east, north, pixel):
    "A plane has one slope, at its edges too, whatever the pixel."
    y, x = np.mgrid[:7, :9] * pixel
    found = ground.slope(5 + east * x - north * y, pixel)
    np.testing.assert_allclose(found, np.degrees(np.arctan(np.hypot(east, north))), atol=1e-9)


def test_slope_of_horn():
    "Two sides of a three by three window weigh 1, 2, 1; its middle counts for nothing."
    z = np.zeros((3, 3))
    z[1, 1] = 100.0
    assert ground.slope(z)[1, 1] == 0
    z[:, 2] = [1.0, 2.0, 3.0]
    assert np.tan(np.radians(ground.slope(z)[1, 1])) == pytest.approx(np.hypot(8 / 80, 2 / 80))


def test_wetness_is_half_on_the_level_and_highest_in_hollows():
    "Level ground has a half, a ridge less, a hollow more; steeper ground less than gentle."
    x = 10.0 * np.arange(80)
    wave = np.tile(4 * np.cos(2 * np.pi * x / 400), (60, 1))
    found = ground.wetness(wave)
    assert (ground.wetness(np.full((30, 30), 7.0)) == 0.5).all()
    assert found[30, 40] < 0.2 < 0.8 < found[30, 20]
    steep, gentle = (ground.wetness(np.tile(k * x, (60, 1)))[30, 40] for k in (0.2, 0.05))
    assert steep < gentle < 0.5


@FEW
@given(SEEDS, st.sampled_from(sorted(ground.REGIONS)))
def test_values_lie_within_their_bounds(seed, region):
    "Sand and clay are what fields have, together at most 100 %; nothing is negative; salt is within its range."
    found, facts = ground.make(seed, "one", region, (26, 26)), ground.REGIONS[region]
    assert 15 <= facts.sand[0] <= found.sand.min() and found.sand.max() <= facts.sand[1] <= 60
    assert 10 <= facts.clay[0] <= found.clay.min() and found.clay.max() <= facts.clay[1] <= 35
    assert float((found.sand + found.clay).max()) <= 100
    assert 0 <= found.slope.min() and found.slope.max() < 45
    assert 0 <= found.wetness.min() and found.wetness.max() <= 1
    assert 0.2 < found.carbon.min() and found.carbon.max() < 6
    assert 0.1 <= found.salinity.min() and found.salinity.max() <= 40
    assert all(found[name].attrs["units"] == units for name, units in ground.UNITS.items())
    assert np.isfinite(found.to_array()).all()


@FEW
@given(SEEDS)
def test_a_place_keeps_its_ground(seed):
    "Another map of the place holds the same values around its middle; another place or seed has others."
    small, large = (ground.make(seed, "one", "palouse", shape) for shape in ((26, 26), (61, 40)))
    part = large.sel(y=small.y, x=small.x)
    for name in small:
        np.testing.assert_allclose(part[name], small[name], rtol=1e-6, atol=1e-6)
    assert small.identical(ground.make(seed, "one", "palouse", (26, 26)))
    for other in (ground.make(seed, "two", "palouse", (26, 26)), ground.make(seed + 1, "one", "palouse", (26, 26))):
        assert not np.allclose(other.elevation - other.elevation.mean(), small.elevation - small.elevation.mean())


def test_waves_have_the_covariance_of_matern():
    "Over many draws the variance is 1 and the correlation falls with distance as the formula says."
    x = np.array([0.0, 50.0, 100.0, 200.0, 400.0])
    for smoothness in (1.5, 2.5):
        drawn = np.stack([ground.waves(np.random.default_rng(k), x, np.zeros(1), reach=150.0, smoothness=smoothness)[0]
                          for k in range(1500)])
        r = np.sqrt(2 * smoothness) * x[1:] / 150.0
        expected = 2 ** (1 - smoothness) / gamma(smoothness) * r**smoothness * kv(smoothness, r)
        np.testing.assert_allclose(drawn.var(0), 1, atol=0.12)
        np.testing.assert_allclose(np.corrcoef(drawn.T)[0, 1:], expected, atol=0.08)


def test_relief_fits_the_region():
    "The Palouse rolls, deltas are flat; salt is in the valley and at the coast, and lies in low ground."
    found = {region: [ground.make(3, f"s{k}", region, (26, 26)) for k in range(12)] for region in ground.REGIONS}
    steep = {region: np.median([one.slope for one in some]) for region, some in found.items()}
    salt = {region: np.median([one.salinity for one in some]) for region, some in found.items()}
    assert 3 < steep["palouse"] < 9 and steep["delta"] < 0.5 and steep["valley"] < 0.5 < steep["belt"] < 3
    assert salt["yellow_river"] > 3 and salt["valley"] > 1.2
    assert all(salt[r] < 1 for r in ("belt", "plains", "palouse", "delta", "north", "flanders"))
    wide = ground.make(3, "wide", "yellow_river", (300, 300))
    assert np.corrcoef(wide.elevation.values.ravel(), np.log(wide.salinity).values.ravel())[0, 1] < -0.2


def test_carbon_rises_with_clay_wetness_and_cool_climate():
    "Each alone: correlations over a rolling area, and the means of a cool and a warm region."
    wide = ground.make(5, "wide", "palouse", (300, 300))
    logs = [np.log(wide.carbon).values.ravel(), np.log(wide.clay).values.ravel(), wide.wetness.values.ravel()]
    slopes = np.linalg.lstsq(np.stack([*logs[1:], np.ones(logs[0].size)], 1), logs[0], rcond=None)[0]
    np.testing.assert_allclose(slopes[:2], [0.5, 1.0], atol=0.12)
    cool, warm = (np.mean([ground.make(5, f"s{k}", r, (5, 5)).carbon.mean() for k in range(40)])
                  for r in ("north", "delta"))
    assert cool > 1.3 * warm


def test_sand_and_clay_are_spread_over_places_as_over_fields():
    "Over many places every percentage is about as likely; within one they differ little, and neighbours least."
    middles = [ground.make(11, f"s{k}", "belt", (1, 1)) for k in range(400)]
    for name, (low, high) in (("sand", (15, 60)), ("clay", (12, 35))):
        values = np.array([float(one[name].item()) for one in middles])
        assert np.abs(np.histogram(values, 5, (low, high))[0] - 80).max() < 35
    one = ground.make(11, "s1", "belt", (26, 26))
    assert one.sand.diff("x").std() < 0.3 * one.sand.std() and one.sand.std() < 15


def test_means_of_fields():
    "A field has the mean of its pixels, a number without pixels none; a map of another shape is refused."
    land = ground.make(1, "one", "belt", (4, 6))
    fields = np.array([[0, 0, 0, 2, 2, 2]] * 4)
    found = ground.soil_of(land, fields)
    assert found.sizes == {"field": 3} and np.isnan(found.sand[1])
    assert float(found.clay[0]) == pytest.approx(float(land.clay[:, :3].mean()))
    assert float(found.elevation[2]) == pytest.approx(float(land.elevation[:, 3:].mean()))
    with pytest.raises(InputError, match="give a map of the same place"):
        ground.soil_of(land, fields[:3])


def test_bulk_density_falls_with_carbon():
    "Mineral soil alone has 1.64 g cm⁻³; 1.5 % carbon is near what ploughed soils have."
    assert ground.bulk_density(0.0) == pytest.approx(1.64) and 1.35 < ground.bulk_density(1.5) < 1.5
    assert (np.diff(ground.bulk_density([0.5, 1, 2, 5])) < 0).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="region 'palous' is not known; did you mean 'palouse'"):
        ground.make(1, "one", "palous", (3, 3))
    with pytest.raises(InputError, match="shape = 0 x 3; give one row"):
        ground.make(1, "one", "belt", (0, 3))
