"""What the simulated satellites and cameras see: optics, radar, clouds, orbits, views."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from phenolib.errors import InputError
from phenolib.simulate import camera_view, clouds, crops, optics, orbits, radar

SEVEN = ["B02", "B03", "B04", "B05", "B08", "B11", "B12"]
CHECKED = [  # reflectances of a reference run of the models: living leaves, LAI, seven bands, NDVI, EVI2, GCC
    (optics.leaf(0.0), 0.0, (0.129, 0.146, 0.178, 0.191, 0.233, 0.333, 0.301), 0.134, 0.083, 0.322),
    (optics.leaf(0.0), 1.0, (0.060, 0.086, 0.070, 0.119, 0.304, 0.259, 0.161), 0.626, 0.397, 0.398),
    (optics.leaf(0.0), 2.0, (0.036, 0.064, 0.033, 0.091, 0.370, 0.219, 0.100), 0.834, 0.580, 0.478),
    (optics.leaf(0.0), 4.0, (0.026, 0.055, 0.017, 0.079, 0.470, 0.195, 0.070), 0.928, 0.749, 0.555),
    ({**optics.GREEN, "cab": 8.0, "car": 2.0, "cbrown": 0.8}, 3.0,
     (0.045, 0.079, 0.058, 0.147, 0.338, 0.201, 0.078), 0.709, 0.476, 0.434),
    (optics.leaf(1.0), 1.0, (0.088, 0.106, 0.155, 0.181, 0.266, 0.327, 0.225), 0.263, 0.169, 0.302),
    (optics.leaf(1.0), 3.0, (0.068, 0.085, 0.144, 0.180, 0.318, 0.334, 0.169), 0.376, 0.261, 0.285),
]


def ndvi(value, bands=tuple(optics.BANDS)):
    red, infrared = value[..., bands.index("B04")], value[..., bands.index("B08")]
    return (infrared - red) / (infrared + red)


def days(start, count):
    return np.datetime64(start, "D") + np.arange(count)


# Optics


@pytest.mark.parametrize("living, lai, bands, index, evi2, gcc", CHECKED)
def test_the_models_give_the_reference_reflectances(living, lai, bands, index, evi2, gcc):
    "The reflectances and indices of the reference run come out of the models through our bands."
    pytest.importorskip("prosail")
    seen = optics.response(SEVEN) @ optics.spectrum(lai, living, view_zenith=5.0, azimuth=60.0)
    assert np.allclose(seen, bands, atol=0.005)
    blue, green, red, _, infrared = seen[:5]
    assert ndvi(seen, SEVEN) == pytest.approx(index, abs=0.005)
    assert 2.5 * (infrared - red) / (infrared + 2.4 * red + 1) == pytest.approx(evi2, abs=0.005)
    assert green / (blue + green + red) == pytest.approx(gcc, abs=0.005)


@pytest.mark.parametrize("ripeness, row", [(0.0, 0), (0.0, 1), (0.0, 2), (0.0, 3), (1.0, 5), (1.0, 6)])
def test_the_table_gives_the_reference_reflectances(ripeness, row):
    "The shipped table, made at nadir, is near the reference run, which looked 5° off."
    _, lai, bands, index, *_ = CHECKED[row]
    seen = optics.reflectance(lai, ripeness, bands=SEVEN)
    assert np.allclose(seen, bands, atol=0.02)
    assert ndvi(seen, SEVEN) == pytest.approx(index, abs=0.02)


def test_the_table_is_near_the_models_between_its_nodes():
    "Canopies of any area, ripeness, dead share, soil and sun are interpolated to 0.01, their NDVI to 0.02."
    pytest.importorskip("prosail")
    draw = np.random.default_rng(1)
    lai, ripeness, dead = draw.uniform(0, 6, 60), draw.random(60), draw.exponential(0.5, 60)
    wet, bright, sun = draw.random(60), draw.uniform(0.6, 1.4, 60), draw.uniform(20, 70, 60)
    made = optics.reflectance(lai, ripeness, dead=dead, wetness=wet, brightness=bright, sun_zenith=sun)
    true = np.array([
        optics.response() @ optics.spectrum(lai[k] + dead[k], optics.leaf(ripeness[k]), dead[k] / (lai[k] + dead[k]),
                                            wetness=wet[k], brightness=bright[k], sun_zenith=sun[k])
        for k in range(60)])
    assert np.abs(made - true).max() < 0.01
    assert np.abs(ndvi(made) - ndvi(true)).max() < 0.02


def test_a_small_table_is_read_as_it_was_written(tmp_path):
    "Made, packed and read again, a table differs by the packing alone, and its nodes come back exactly."
    pytest.importorskip("prosail")
    small = optics.make_table({"area": [0, 3], "ripeness": [0, 1], "dead": [0, 1], "sun_zenith": [20, 35]})
    optics.write_table(small, tmp_path / "table.nc")
    axes, values = optics.read_table(tmp_path / "table.nc")
    assert axes["area"].tolist() == [0, 3]
    assert np.abs(values - small.reflectance.values).max() < 1e-5
    whole = optics.reflectance(3.0, [0.0, 1.0], wetness=1.0, brightness=0.7, sun_zenith=35.0)
    assert np.allclose(values[1, :, 0, 2, 1, 1], whole, atol=2e-5)


def test_the_table_is_small_and_whole():
    axes, values = optics.read_table()
    assert optics.TABLE.stat().st_size < 1.5e6
    assert values.shape == (*(len(v) for v in optics.NODES.values()), len(optics.BANDS))
    assert all(np.allclose(axes[name], nodes) for name, nodes in optics.NODES.items())
    assert 0 <= values.min() and values.max() <= 1


def test_numbers_and_arrays_give_the_same_reflectance():
    "What is interpolated for single numbers first equals what is interpolated for all axes at once."
    draw = np.random.default_rng(2)
    lai, ripeness = draw.uniform(0, 9, (4, 5)), draw.random((4, 5))
    short = optics.reflectance(lai, ripeness, dead=0.4, wetness=0.3, brightness=0.9, sun_zenith=41.0)
    full = optics.reflectance(lai, ripeness, dead=np.full((4, 5), 0.4), wetness=np.full((4, 5), 0.3),
                              brightness=np.full((4, 5), 0.9), sun_zenith=np.full((4, 5), 41.0))
    assert short.shape == full.shape == (4, 5, 10) and short.dtype == np.float32
    assert np.allclose(short, full, atol=1e-6)
    assert np.allclose(optics.reflectance(lai[1, 2], ripeness[1, 2], dead=0.4, wetness=0.3, brightness=0.9,
                                          sun_zenith=41.0), full[1, 2], atol=1e-6)
    assert optics.reflectance(np.zeros((0, 3)), 0.5).shape == (0, 3, 10)


def test_ripening_lowers_ndvi_and_water_darkens_soil():
    "NDVI falls with ripeness and with dead leaves between the green; wet soil and water are darker."
    ripe = optics.reflectance(4.0, np.linspace(0, 1, 21))
    assert np.all(np.diff(ndvi(ripe)) < 0.005) and ndvi(ripe)[-1] < 0.45
    mixed = optics.reflectance([4.0, 3.0, 2.0, 1.0, 0.0], dead=[0.0, 1.0, 2.0, 3.0, 4.0])
    assert np.all(np.diff(ndvi(mixed)) < 0)
    soil = optics.reflectance(0.0, wetness=optics.wetness(np.array([0.05, 0.15, 0.4])))
    assert np.all(np.diff(soil, axis=0) < 0)
    assert optics.reflectance(0.0, wetness=1.0, brightness=optics.WATER).max() < 0.06


def test_reflectance_stays_within_bounds_far_outside_the_table():
    value = optics.reflectance([0, 50.0], 1.0, dead=30.0, wetness=0.0, brightness=[9.0, 0.0], sun_zenith=[0.0, 89.0])
    assert np.all((value >= 0) & (value <= 1))


def test_missing_stays_missing():
    value = optics.reflectance([np.nan, 2.0, 2.0], [0.0, np.nan, 0.0])
    assert np.isnan(value[:2]).all() and np.isfinite(value[2]).all()
    assert np.isnan(optics.reflectance(2.0, wetness=np.nan)).all()
    assert np.isnan(radar.backscatter("maize", [np.nan], [1.0], 0.2)[0]).all()


def test_wrong_input_of_optics_is_told():
    with pytest.raises(InputError, match="lai"):
        optics.reflectance(-1.0)
    with pytest.raises(InputError, match="ripeness"):
        optics.reflectance(1.0, 30.0)
    with pytest.raises(InputError, match="B09"):
        optics.reflectance(1.0, bands=["B09"])
    with pytest.raises(InputError, match="per cent"):
        optics.wetness(25.0)


def test_without_the_models_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "prosail", None)
    with pytest.raises(InputError, match="pip install prosail"):
        optics.make_table()
    assert optics.reflectance(1.0).shape == (10,)


def test_noise_of_reflectance_has_its_two_parts():
    "A dark surface has an error of 0.003, a bright one of 3 % more; the mean is kept."
    for value in (0.05, 0.6):
        seen = optics.observe(np.random.default_rng(0), np.full(200_000, value))
        assert seen.mean() == pytest.approx(value, abs=2e-4)
        assert seen.std() == pytest.approx(np.hypot(0.03 * value, 0.003), rel=0.02)


# Radar


def levels(group, standing, water=None, theta=0.2, **more):
    both = radar.backscatter(group, standing, standing if water is None else water, theta, **more)
    return [radar.decibel(one) for one in both]


@pytest.mark.parametrize("group, area, vv, vh", [
    ("small grain by leaf", 0.0, -10.5, -20.2), ("small grain by leaf", 1.0, None, -21.3),
    ("small grain by leaf", 4.0, -13.2, -19.1), ("small grain by leaf", 6.0, -12.7, -17.3),
    ("maize", 4.0, -11.9, -17.0), ("maize", 6.0, None, -15.1), ("small grain", 3.0, -13.8, -22.0),
    ("small grain", 6.0, -15.6, -22.5), ("ndvi", 0.15, -11.3, -21.0), ("ndvi", 0.8, -11.6, -16.2)])
def test_backscatter_has_the_values_of_the_reference(group, area, vv, vh):
    "At 39° over soil of 0.2 m³ m⁻³."
    found = levels(group, area)
    for one, expected in zip(found, (vv, vh)):
        assert expected is None or one == pytest.approx(expected, abs=0.1)


def test_soil_is_brighter_when_wetter_and_steeper():
    vv, vh = radar.bare_soil(np.array([[0.05], [0.2], [0.35]]), np.array([31.0, 39.0, 45.0]))
    for one in (vv, vh):
        assert np.all(np.diff(one, axis=0) > 0) and np.all(np.diff(one, axis=1) < 0)


def test_wheat_falls_through_stem_elongation_and_recovers_as_it_dries():
    "Both polarisations fall from leaf area 1 to 5 and come back when the canopy ripens before the harvest."
    area = np.linspace(1, 5, 9)
    vv, vh = levels("small grain", area)
    assert np.all(np.diff(vv) < 0) and np.all(np.diff(vh) < 0)
    assert vv[0] - vv[-1] > 2.5 and vh[0] - vh[-1] > 1
    ripe = levels("small grain", 5.0, radar.canopy_water(5.0, np.linspace(0, 1, 9)))
    assert all(np.all(np.diff(one) > 0) for one in ripe)


def test_maize_rises_in_cross_polarisation():
    "From bare soil in May to full leaf in August VH rises by at least 4 dB, VV by little."
    day = np.arange(135.0, 230.0)
    area = 5.0 / (1 + np.exp(-0.16 * (day - 168)))
    vv, vh = levels(radar.GROUP_OF["corn"], area)
    assert vh[-1] - vh[0] >= 4
    assert abs(vv[-1] - vv[0]) < 2


def test_a_flooded_paddy_is_dark_and_brightens_as_rice_grows():
    vv, vh = levels("rice", np.array([0.0, 1.0, 3.0, 6.0]), flooded=1.0)
    assert vv[0] == pytest.approx(-20) and vh[0] < -25
    assert np.all(np.diff(vv) > 0) and np.all(np.diff(vh) > 0)
    assert np.all(levels("rice", 0.0, flooded=0.5)[0] < levels("rice", 0.0)[0])


def test_every_crop_has_a_radar_group():
    assert set(radar.GROUP_OF) == set(crops.CROPS)
    assert set(radar.GROUP_OF.values()) <= set(radar.GROUPS)


def test_wrong_input_of_radar_is_told():
    with pytest.raises(InputError, match="maize"):
        radar.backscatter("maiz", 1.0, 1.0, 0.2)
    with pytest.raises(InputError, match="per cent"):
        radar.bare_soil(20.0, 39.0)
    with pytest.raises(InputError, match="negative"):
        radar.backscatter("maize", -1.0, 1.0, 0.2)
    with pytest.raises(InputError, match="image"):
        radar.speckle(np.random.default_rng(0), np.ones(5))


@pytest.fixture(scope="module")
def field():
    return radar.speckle(np.random.default_rng(3), np.ones((30, 180, 180)))


def test_speckle_has_the_mean_and_spread_of_its_looks(field):
    "Mean 1; in dB the spread and the bias of a gamma of 4.4 looks."
    level = radar.decibel(field)
    assert field.mean() == pytest.approx(1, abs=0.005)
    assert level.std() == pytest.approx(10 / np.log(10) * np.sqrt(special.polygamma(1, 4.4)), abs=0.03)
    assert level.std() == pytest.approx(2.2, abs=0.05)
    assert level.mean() == pytest.approx(10 / np.log(10) * (special.digamma(4.4) - np.log(4.4)), abs=0.03)
    points = radar.point_speckle(np.random.default_rng(4), np.full(100_000, 0.02))
    assert points.mean() == pytest.approx(0.02, rel=0.01)
    assert radar.decibel(points).std() == pytest.approx(2.2, abs=0.05)


def test_neighbours_share_speckle_and_distant_pixels_do_not(field):
    for axis in (1, 2):
        size = field.shape[axis]
        along = [np.corrcoef(np.take(field, range(size - k), axis).ravel(),
                             np.take(field, range(k, size), axis).ravel())[0, 1] for k in (1, 2)]
        assert along[0] > 0.3 and abs(along[1]) < 0.02
    assert abs(np.corrcoef(field[0].ravel(), field[1].ravel())[0, 1]) < 0.05
    edges = np.corrcoef(field[..., 0].ravel(), field[..., -1].ravel())[0, 1]
    assert abs(edges) < 0.06  # the field does not wrap around


def test_the_mean_of_a_patch_varies_as_that_of_independent_cells(field):
    "A patch of 18 × 18 pixels of 10 m varies as 9 × 9 cells of 20 m, about four times as much as its pixels would."
    patch = field.reshape(30, 10, 18, 10, 18).mean(axis=(2, 4))
    cells = 1 / 4.4 / 81
    assert 0.85 * cells < patch.var() < 1.1 * cells
    fine = radar.speckle(np.random.default_rng(5), np.ones((30, 180, 180)), resolution=10)
    assert fine.reshape(30, 10, 18, 10, 18).mean(axis=(2, 4)).var() == pytest.approx(cells / 4, rel=0.1)


@pytest.mark.parametrize("width", [1.0, 1.4, 2.0, 2.2, 3.7])
def test_the_cell_has_its_width(width):
    weight = radar._cell(width)
    assert (weight**2).sum() == pytest.approx(1, abs=1e-6) and np.all(weight >= 0)
    assert weight.sum() ** 2 == pytest.approx(width, rel=1e-5)


def test_gain_is_of_the_orbit():
    "Every orbit has one gain in both polarisations, within half a dB."
    found = radar.gains(np.random.default_rng(0), [44, 95, 44, 117])
    assert list(found) == [44, 95, 117]
    assert np.abs(radar.decibel(np.array(list(found.values())))).max() <= 0.5


# Clouds


def test_the_share_of_cloud_is_that_of_the_month():
    "At places far apart through many years the share of cloud in each month is the one asked for."
    time = days("2000-01-01", 365 * 12)
    place = 60_000.0 * np.arange(40)
    share = np.array(clouds.PROBABILITY["valley"])
    state = clouds.states(np.random.default_rng(1), time, place, 0 * place, share)
    month = time.astype("datetime64[M]").astype(int) % 12
    for k in range(12):
        part = state[month == k]
        assert np.isin(part, (clouds.THIN, clouds.THICK)).mean() == pytest.approx(share[k], abs=0.03)
        free = ~np.isin(part, (clouds.THIN, clouds.THICK))
        assert (part[free] == clouds.HAZE).mean() == pytest.approx(0.04, abs=0.012)
    clear = np.isin(state, (clouds.CLEAR, clouds.DARK))
    assert (state[clear] == clouds.DARK).mean() == pytest.approx(0.02, abs=0.004)


def test_the_sky_is_like_its_neighbours_and_like_the_day_before():
    "Correlation falls as e^(−3 d / reach) in space and as ρ^t in time, over gaps in the days too."
    time = np.cumsum(np.tile([1, 2], 3000))
    distance = np.array([0.0, 2_000, 6_667, 20_000, 200_000])
    sky = clouds.sky(np.random.default_rng(2), time, persistence=0.5, waves=1500)
    field = sky.at(distance, 0 * distance)
    assert field.std() == pytest.approx(1, abs=0.03)
    assert np.corrcoef(field.T)[0] == pytest.approx(np.exp(-3 * distance / 20_000), abs=0.08)
    far = field[:, 4]
    assert np.corrcoef(far[0::2], far[1::2])[0, 1] == pytest.approx(0.25, abs=0.05)  # two days later
    assert np.corrcoef(far[1:-1:2], far[2::2])[0, 1] == pytest.approx(0.5, abs=0.05)  # a day later


def test_points_and_grids_see_the_same_sky():
    sky = clouds.sky(np.random.default_rng(0), days("2019-05-01", 3))
    x, y = np.arange(0, 3000, 100.0), np.arange(0, 2000, 100.0)
    grid = sky.at(x[None, :], y[:, None])
    assert grid.shape == (3, 20, 30)
    assert np.allclose(sky.at(x[[4, 9]], y[[7, 1]]), grid[:, [7, 1], [4, 9]], atol=1e-4)


def test_clouds_of_a_scene_are_patches():
    "Neighbours in a scene share clear or cloudy as often as two normals of their correlation share a sign."
    x = np.arange(0, 40_000, 500.0)
    state = clouds.states(np.random.default_rng(5), days("2019-03-01", 40), x[None, :], x[:, None], np.full(12, 0.5))
    assert set(np.unique(state)) == {clouds.CLEAR, clouds.HAZE, clouds.DARK, clouds.SHADOW, clouds.THIN, clouds.THICK}
    cloudy = state >= clouds.THIN
    same = (cloudy[..., 1:] == cloudy[..., :-1]).mean()
    assert same == pytest.approx(1 - np.arccos(np.exp(-3 * 500 / 20_000)) / np.pi, abs=0.04)  # 0.88
    assert 0.01 < (state == clouds.SHADOW).mean() < 0.1


def test_scene_classes_come_from_the_state_and_the_land():
    state = [clouds.CLEAR, clouds.CLEAR, clouds.CLEAR, clouds.CLEAR, clouds.HAZE, clouds.DARK, clouds.SHADOW,
             clouds.THIN, clouds.THICK]
    found = clouds.scl(state, [3, 0, 0.2, 3, 3, 0, 3, 3, 3], flooded=[0, 0, 1, 0, 0, 0, 0, 0, 0],
                       snow=[0, 0, 0, 1, 0, 0, 0, 0, 0])
    assert found.tolist() == [4, 5, 6, 11, 4, 5, 3, 8, 9]


def test_unseen_cloud_lowers_ndvi_and_shadow_darkens():
    "Haze whitens a green field, shadow darkens it and more in the infrared; clear ground is left as it is."
    green = optics.reflectance(np.full(400, 4.0))
    state = np.repeat([clouds.CLEAR, clouds.HAZE, clouds.DARK, clouds.SHADOW, clouds.THICK], 80)
    seen = clouds.veil(np.random.default_rng(0), green, state)
    clear, haze, dark, shadow, thick = seen.reshape(5, 80, 10)
    assert np.array_equal(clear, green[:80])
    assert np.all(ndvi(haze) < ndvi(clear)) and np.all(haze[:, 2] > clear[:, 2])
    assert np.all(dark < clear) and shadow.mean() < dark.mean()
    assert np.all((shadow / clear)[:, 6] < (shadow / clear)[:, 0])
    assert np.all(np.abs(ndvi(thick)) < 0.25) and np.all((seen >= 0) & (seen <= 1))
    image = clouds.veil(np.random.default_rng(0), np.tile(green[:1], (2, 3, 4, 1)), np.full((2, 3, 4), clouds.HAZE),
                        shared=2)
    assert np.ptp(image[0, ..., 0]) == 0 and image[0, 0, 0, 0] != image[1, 0, 0, 0]


def test_wrong_input_of_clouds_is_told():
    draw = np.random.default_rng(0)
    with pytest.raises(InputError, match="twelve"):
        clouds.states(draw, days("2019-01-01", 3), 0.0, 0.0, [0.5])
    with pytest.raises(InputError, match="rise"):
        clouds.sky(draw, days("2019-01-01", 3)[::-1])
    with pytest.raises(InputError, match="dates"):
        clouds.states(draw, [1, 2], 0.0, 0.0, np.full(12, 0.5))
    with pytest.raises(InputError, match="differ"):
        clouds.veil(draw, np.zeros((3, 10)), np.zeros(4, int))


# Orbits


def gaps(table, orbit):
    return set(np.diff(table.time[table.orbit == orbit].values).astype("timedelta64[s]").astype(int) / 86400)


def test_optical_passes_come_every_ten_days_then_every_five():
    "On one track, before and after the second satellite."
    alone = orbits.passes("sentinel-2", -96.47, 41.16, "2016-01-01", "2017-06-30")
    both = orbits.passes("sentinel-2", -96.47, 41.16, "2017-07-11", "2021-12-31")
    assert set(alone.satellite) == {"sentinel-2a"} and set(both.satellite) == {"sentinel-2a", "sentinel-2b"}
    for orbit in set(both.orbit):
        assert gaps(alone, orbit) == {10.0} and gaps(both, orbit) == {5.0}
    assert both.time.is_monotonic_increasing
    assert orbits.passes("sentinel-2", -96.47, 41.16, "2014-01-01", "2015-01-01").empty


def test_radar_passes_come_every_six_days_until_the_second_satellite_fails():
    both = orbits.passes("sentinel-1", 11.6, 48.1, "2017-01-01", "2021-12-20")
    later = orbits.passes("sentinel-1", 11.6, 48.1, "2022-01-01", "2023-12-31")
    for orbit in set(both.orbit):
        assert gaps(both, orbit) == {6.0} and gaps(later, orbit) == {12.0}
    assert set(later.satellite) == {"sentinel-1a"}
    one = orbits.passes("sentinel-1", 11.6, 48.1, "2017-01-01", "2018-01-01", satellites=("sentinel-1a",))
    assert all(gaps(one, orbit) == {12.0} for orbit in set(one.orbit))


@pytest.mark.parametrize("lon, lat", [(-96.47, 41.16), (-117.1, 46.8), (-90.0, 35.7), (11.6, 48.1), (145.0, -34.0)])
def test_tracks_look_from_where_they_can_and_pass_at_their_hour(lon, lat):
    "Radar looks at 29–46° in the morning and the evening, the optical sensor within 12° before noon."
    optical = orbits.passes("sentinel-2", lon, lat, "2019-01-01", "2019-12-31")
    sar = orbits.passes("sentinel-1", lon, lat, "2019-01-01", "2019-12-31")
    assert 1 <= optical.orbit.nunique() <= 3 and 2 <= sar.orbit.nunique() <= 5
    assert optical.angle.between(0, 12).all() and sar.angle.between(29, 46).all()
    for table, hours in ((optical, {"descending": 10.5}), (sar, {"ascending": 18.0, "descending": 6.0})):
        solar = (table.time.dt.hour + table.time.dt.minute / 60 + lon / 15) % 24
        for direction, hour in hours.items():
            assert (solar[table.direction == direction] - hour).abs().max() < 0.8
    assert sar.groupby("orbit").angle.nunique().max() == 1


def test_neighbours_in_a_scene_share_tracks():
    "Two places 5 km apart are seen by the same pass within a second or two, at nearly the same angle."
    one, two = (orbits.passes("sentinel-1", lon, 41.16, "2019-01-01", "2019-02-01") for lon in (-96.47, -96.41))
    assert one.orbit.tolist() == two.orbit.tolist()
    assert np.abs((one.time - two.time).dt.total_seconds()).max() < 5 and np.abs(one.angle - two.angle).max() < 0.6


def test_the_sun_stands_where_it_should():
    "At an equinox noon on the equator it is overhead; at midsummer noon at 45° N 21.6° from there."
    assert orbits.sun_zenith(0.0, 0.0, np.datetime64("2019-03-20T12:07")) < 1
    assert orbits.sun_zenith(0.0, 45.0, np.datetime64("2019-06-21T12:02")) == pytest.approx(21.6, abs=0.5)
    assert orbits.sun_zenith(-96.47, 41.16, np.datetime64("2019-06-21T06:00")) > 90
    assert orbits.sun_zenith(np.zeros(3), 45.0, days("2019-06-21", 3)).shape == (3,)


def test_wrong_input_of_orbits_is_told():
    with pytest.raises(InputError, match="sentinel-1"):
        orbits.tracks("sentinel1", 0.0, 0.0)
    with pytest.raises(InputError, match="longitude"):
        orbits.tracks("sentinel-1", 41.0, -96.5)
    with pytest.raises(InputError, match="before"):
        orbits.passes("sentinel-1", 0.0, 0.0, "2019-02-01", "2019-01-01")
    with pytest.raises(InputError, match="sentinel-2a"):
        orbits.passes("sentinel-1", 0.0, 0.0, "2019-01-01", "2019-02-01", satellites=["sentinel-2a"])


def test_a_shift_moves_a_scene_by_the_spread_given():
    "The slope of a ramp tells by how much each scene was moved; its bands move together."
    ramp = np.broadcast_to(np.arange(60.0)[:, None], (400, 2, 60, 60))
    moved = orbits.shift(np.random.default_rng(0), ramp, sd=5.0)
    away = (moved - ramp)[..., 30, 30]
    assert np.allclose(away[:, 0], away[:, 1]) and abs(away.mean()) < 0.1
    assert 10 * away[:, 0].std() == pytest.approx(5, rel=0.1)


# Camera view


def test_the_camera_saturates_where_it_should():
    "With LAI_max 5, ζ = 75° and k = 0.5 half of the amplitude is reached at a leaf area of 0.36."
    area = np.linspace(0, 5, 5001)
    share = camera_view.greenness(area) - camera_view.greenness(0.0)
    half = np.interp(0.5, share / share[-1], area)
    assert half == pytest.approx(0.36, abs=0.005)
    steep = camera_view.greenness(area, zenith=20.0)
    assert np.all(steep <= camera_view.greenness(area))


def test_camera_comes_before_ndvi_and_ndvi_before_leaf_area():
    "Half of the amplitude is reached at leaf areas of about 0.36, 0.75 and 2.5, days apart in this order."
    area = np.linspace(0, 5, 5001)
    index = ndvi(optics.reflectance(area))
    half = [np.interp(0.5, (v - v[0]) / (v[-1] - v[0]), area) for v in (camera_view.greenness(area), index, area)]
    assert half == pytest.approx([0.36, 0.75, 2.5], abs=0.06)
    time = -np.log(5 / np.array(half) - 1) / 0.12
    assert time[1] - time[0] == pytest.approx(7, abs=1) and time[2] - time[0] == pytest.approx(21, abs=1)


@pytest.mark.parametrize("azimuth, row, column", [(0, 22, 30), (90, 30, 37), (180, 37, 30), (270, 30, 22)])
def test_the_wedge_lies_in_the_azimuth(azimuth, row, column):
    "Its area is that of a sector from 20 to 120 m, its middle lies ahead, and the camera's own pixel is not in it."
    seen = camera_view.wedge((61, 61), camera=(305, 305), azimuth=azimuth)
    assert seen.sum() * 100 == pytest.approx(np.pi / 6 * (120**2 - 20**2), rel=0.03)
    assert seen[row, column] == 1 and seen[30, 30] == 0
    middle = np.array([(seen.sum(1) * np.arange(61)).sum(), (seen.sum(0) * np.arange(61)).sum()]) / seen.sum()
    assert np.degrees(np.arctan2(middle[1] - 30, 30 - middle[0])) % 360 == pytest.approx(azimuth, abs=1)


def test_a_camera_on_the_edge_sees_the_field_before_it():
    "A camera in the southern field that looks north sees the northern crop alone; its own pixel has the other."
    crop = np.zeros((40, 40))
    crop[:20] = 1  # the northern field
    seen = camera_view.wedge(crop.shape, camera=(200, 210), azimuth=0)
    assert crop[21, 20] == 0
    assert camera_view.view(np.stack([crop, 2 * crop]), seen) == pytest.approx([1, 2])


def test_wrong_input_of_a_view_is_told():
    with pytest.raises(InputError, match="sees nothing"):
        camera_view.wedge((10, 10), camera=(50, 50), azimuth=0, near=200, far=300)
    with pytest.raises(InputError, match="no wedge"):
        camera_view.wedge((10, 10), camera=(50, 50), azimuth=0, near=100, far=50)
    with pytest.raises(InputError, match="leaf area"):
        camera_view.greenness(-1.0)


def test_same_seed_same_bytes():
    "Every draw comes from the generator that was given."
    def all_of_it(seed):
        draw = np.random.default_rng(seed)
        return SimpleNamespace(
            noise=optics.observe(draw, np.full((3, 4), 0.2)), speckle=radar.speckle(draw, np.ones((2, 8, 8))),
            state=clouds.states(draw, days("2019-01-01", 20), np.arange(5) * 9e3, 0.0, np.full(12, 0.5)),
            moved=orbits.shift(draw, np.eye(8)[None], sd=5.0))
    one, same, other = (vars(all_of_it(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not any(np.array_equal(one[name], other[name]) for name in one)
