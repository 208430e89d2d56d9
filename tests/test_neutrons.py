"""Cosmic-ray neutrons: corrections, the curves and back, the chance of counting, footprint and calibration."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import neutron_calibration, neutron_footprint, neutrons
from phenolib.errors import InputError

SOIL = dict(bulk_density=1.4, bound=0.02)
N0 = 1200.0


def hourly(theta, seed=0, start="2020-03-01", rays=1.0, form="desilets"):
    "Counts of a probe over soil of a known moisture, under changing air and rays."
    rng = np.random.default_rng(seed)
    size = np.size(theta)
    time, hour = pd.date_range(start, periods=size, freq="h"), np.arange(size)
    pa, q = 1000 + 12 * np.sin(hour / 90), 8 + 4 * np.sin(hour / 300)
    mean = neutrons.to_counts(np.asarray(theta), N0, form, q, *SOIL.values()) * rays / neutrons.pressure_factor(pa)
    if form == "desilets":
        mean = mean / neutrons.humidity_factor(q)
    return xr.Dataset({"neutrons": ("time", rng.poisson(mean).astype(float)), "pa": ("time", pa), "q": ("time", q)},
                      {"time": time})


def cores(theta=0.2, time="2020-03-03 12:00", profiles=6, noise=0.0, seed=0, density=1.4, rings=(25.0, 75.0, 200.0)):
    "Samples of cores in rings around a probe; theta by distance or one for all."
    rng = np.random.default_rng(seed)
    rows = [{"time": pd.Timestamp(time), "profile": f"{ring:g}-{k}", "distance": ring, "depth": depth,
             "theta_g": max(0.01, dict(zip(rings, np.broadcast_to(theta, len(rings))))[ring] + off) / density,
             "bulk_density": density, "organic_carbon": 0.02 / neutrons.ORGANIC_WATER, "lattice_water": 0.0}
            for ring in rings for k in range(profiles) for off in [rng.normal(0, noise)]
            for depth in np.arange(0.025, 0.3, 0.05)]
    return pd.DataFrame(rows)


def test_the_curve_of_desilets_has_its_known_values():
    "Four values of the published curve; bound water lowers the counts."
    found = neutrons.desilets_counts(np.array([0.05, 0.2, 0.4, 0.6]), 1, bulk_density=1.4)
    np.testing.assert_allclose(found, [0.9081, 0.6854, 0.5736, 0.5206], atol=5e-5)
    assert (neutrons.desilets_counts(np.array([0.05, 0.2]), 1, bulk_density=1.4, bound=0.03) < found[:2]).all()


@pytest.mark.parametrize("soil", [dict(bulk_density=1.4), SOIL, dict(bulk_density=0.2, bound=0.25)])
def test_moisture_comes_back_from_its_counts(soil):
    "Desilets and the rewrite of Köhli invert the curve, in mineral soil and in peat."
    theta = np.linspace(0.0, 0.9, 46)
    counts = neutrons.desilets_counts(theta, N0, **soil)
    for inverse in (neutrons.desilets, neutrons.koehli):
        np.testing.assert_allclose(inverse(counts, N0, **soil), theta, atol=1e-9)
        assert np.isnan(inverse(np.array([0.372 * N0, 100.0]), N0, **soil)).all()  # fewer than over water
        assert inverse(np.array([1.1 * N0]), N0, **soil) < 0


def test_the_universal_solution_has_its_known_values():
    "Three values of the default set, and moisture back from counts for every set, soil and humidity."
    found = [float(neutrons.uts(0.2, h)) for h in (0, 5, 10)]
    np.testing.assert_allclose(found, [0.4466, 0.4290, 0.4133], atol=5e-5)
    theta, humidity = np.meshgrid(np.linspace(0.01, 0.8, 30), [0.0, 4.0, 15.0])
    for name in neutrons.UTS:
        counts = 1900 * neutrons.uts(theta, humidity, parameters=name, **SOIL)
        assert (np.diff(counts, axis=1) < 0).all()
        back = neutrons.uts_theta(counts, 1900, humidity, parameters=name, **SOIL)
        np.testing.assert_allclose(back, theta, atol=1e-6)
    lost = neutrons.uts_theta(np.array([5.0, np.nan, 9000]), 1900, 5.0, **SOIL)
    assert np.isnan(lost).all()


def test_the_calibration_number_of_one_form_is_not_that_of_the_other():
    "N_D over N₀ at equal counts depends on moisture and set: 1.34 to 1.60 with a detector's response."
    theta = np.array([0.05, 0.5])
    over = neutrons.desilets_counts(theta, 1, bulk_density=1.43) / neutrons.humidity_factor(5.0)
    found = [over / neutrons.uts(theta, 5.0, parameters=name) for name in ("Mar21_mcnp_drf", "Mar21_uranos_drf")]
    assert np.min(found) == pytest.approx(1.34, abs=0.02) and np.max(found) == pytest.approx(1.60, abs=0.02)


def test_corrections_take_the_air_out():
    "Counts made under changing pressure, vapour, rays and plants come back; missing stays missing."
    pressure, humidity = np.array([980.0, 1013.25, 1030]), np.array([3.0, 0, 12])
    rays = neutrons.incoming_factor(np.array([150.0, 160, 170]), 160, rigidity=2.55)
    raw = 900 * rays / neutrons.pressure_factor(pressure) / neutrons.humidity_factor(humidity) / (
        neutrons.biomass_factor(8.0))
    found = neutrons.corrected(raw, pressure=pressure, humidity=humidity, incoming=rays, biomass=8.0)
    np.testing.assert_allclose(found, 900)
    assert rays[1] == 1 and rays[0] < 150 / 160 < 1  # nearer to the pole the rays change more
    lost = neutrons.corrected(xr.DataArray([900.0, np.nan], dims="time"), pressure=1000.0)
    assert lost.dims == ("time",) and lost.notnull().values.tolist() == [True, False]


def test_vapour_is_that_of_the_tables():
    "17.3 g m⁻³ in saturated air of 20 °C, half of it at half the humidity; vapour pressure gives the same."
    assert neutrons.absolute_humidity(20.0, relative=100.0) == pytest.approx(17.3, abs=0.05)
    assert neutrons.absolute_humidity(20.0, relative=50.0) == pytest.approx(8.64, abs=0.03)
    assert neutrons.absolute_humidity(20.0, vapour_pressure=23.38) == pytest.approx(17.28, abs=0.02)


@pytest.mark.parametrize("call, problem", [
    (lambda: neutrons.humidity_factor(np.array([0.004, 0.012])), "0.012 at most; it looks like kg m⁻³.*multiply with"),
    (lambda: neutrons.humidity_factor(95.0), "humidity 95 is out of range; 0 to 60 g m⁻³"),
    (lambda: neutrons.pressure_factor(101.3), "pressure 101.3 is out of range.*1 kPa is 10 hPa"),
    (lambda: neutrons.pressure_factor(1000.0, beta=0.76), "beta = 0.76"),
    (lambda: neutrons.absolute_humidity(20.0, relative=0.8), "0.8 at most; it looks like a fraction"),
    (lambda: neutrons.absolute_humidity(293.0, relative=80.0), "temperature 293 is out of range.*subtract 273.15"),
    (lambda: neutrons.absolute_humidity(20.0), "either the relative humidity"),
    (lambda: neutrons.corrected(np.array([800.0, 0]), pressure=1000.0), "count of 0 is not above 0"),
    (lambda: neutrons.desilets(np.array([-3.0]), N0, **SOIL), "both must be above 0"),
    (lambda: neutrons.desilets_counts(25.0, N0, **SOIL), "soil moisture 25 is out of range.*divide per cent by 100"),
    (lambda: neutrons.desilets(800.0, N0, bulk_density=1400), "bulk density 1400.*divide kg m⁻³ by 1000"),
    (lambda: neutrons.uts(0.2, 5.0, parameters="Mar21_mcnp"), "did you mean 'Mar21_mcnp_drf'"),
    (lambda: neutrons.uts_theta(600.0, N0, 5.0, parameters="desilets", **SOIL), "the set 'desilets' is not known"),
    (lambda: neutrons.counting_band(600.0, N0, form="Mar21_mcnp_drf", **SOIL), "needs the humidity"),
    (lambda: neutrons.counting_band(800.0, N0, level=90, **SOIL), "level = 90; a probability between 0 and 1"),
    (lambda: neutrons.bound_water(0.01, 2.5), "organic carbon 2.5.*divide per cent"),
    (lambda: neutrons.bound_water(0.01, 0.02, "matter"), "soc_as = 'matter'"),
    (lambda: neutrons.incoming_factor(np.array([0.0, 100]), 100.0), "incoming intensity of 0 is not above 0"),
    (lambda: neutrons.incoming_factor(100.0, 100.0, rigidity=40.0), "0 to 20 GV"),
    (lambda: neutron_footprint.depth86(20.0, 1.4), "soil moisture 20"),
    (lambda: neutron_footprint.depth_weights([10.0, 20.0], 0.2), "10, 20 m are not middles of layers"),
    (lambda: neutron_footprint.depth_weighted([0.2, 0.3], [0.05], bulk_density=1.4), "not one value for each of 1"),
    (lambda: neutron_footprint.distance_weights([900.0], 0.2, 5.0), "0 to 600 m"),
])
def test_mistakes_are_one_clear_line(call, problem):
    "Wrong units above all, each told with its value and what to do."
    with pytest.raises(InputError, match=problem) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_band_holds_the_truth_as_often_as_it_says():
    "Daily sums drawn around a known moisture: nine of ten bands hold it, by SD and by draws, in every form."
    rng = np.random.default_rng(3)
    for form, humidity in (("desilets", None), ("Mar21_mcnp_drf", 8.0)):
        mean = float(neutrons.to_counts(0.25, 1500.0, form, humidity, *SOIL.values()))
        counted = rng.poisson(mean / 0.95 * 24, 1500) / 24 * 0.95
        for draws, some in ((0, 1500), (400, 500)):
            sd, low, high = neutrons.counting_band(counted[:some], 1500.0, hours=24, factor=0.95, form=form,
                                                   humidity=humidity, draws=draws, **SOIL)
            assert ((low < 0.25) & (high > 0.25)).mean() == pytest.approx(0.9, abs=0.03)
            theta = neutrons.to_theta(counted[:some], 1500.0, form, humidity, *SOIL.values())
            assert sd.mean() == pytest.approx(theta.std(), rel=0.1)


def test_few_counts_over_wet_soil_are_noisy():
    "The band widens with moisture, narrows with hours, and by draws leans to wet; it has no end over all but water."
    counts = neutrons.desilets_counts(np.array([0.1, 0.3, 0.5]), 800.0, **SOIL)
    sd, low, high = neutrons.counting_band(counts, 800.0, draws=2000, seed=1, **SOIL)
    theta = neutrons.desilets(counts, 800.0, **SOIL)
    assert (np.diff(sd) > 0).all() and (high - theta > theta - low).all()
    day = neutrons.counting_band(counts, 800.0, hours=24, **SOIL)[0]
    np.testing.assert_allclose(day, sd / 24**0.5)
    assert np.isinf(neutrons.counting_band(np.array([0.39 * 800]), 800.0, draws=500, **SOIL)[2]).all()
    again = neutrons.counting_band(counts, 800.0, draws=2000, seed=1, **SOIL)
    np.testing.assert_array_equal(again[2], high)


@pytest.mark.parametrize("form", ["desilets", "Mar21_mcnp_drf"])
def test_a_series_gives_back_its_moisture(form):
    "Planted moisture that changes slowly is within the band nine times of ten, whatever the air does."
    truth = 0.25 + 0.08 * np.sin(np.arange(2400) / 500)
    found = neutrons.moisture(hourly(truth, form=form), N0, form=form, hours=24, **SOIL)
    mean = pd.Series(truth).rolling(24, min_periods=12).mean().to_numpy()
    known = found.theta.notnull().values
    inside = ((found.theta_low < mean) & (found.theta_high > mean)).values[known]
    assert inside.mean() == pytest.approx(0.9, abs=0.05)
    away = (found.theta.values - mean)[known]
    assert np.sqrt((away**2).mean()) == pytest.approx(float(found.theta_sd.mean()), rel=0.2)
    assert found.attrs["retrieved"] == found.attrs["counted"] == pytest.approx(known.mean())
    assert found.theta.attrs["units"] == "m3 m-3" and found.attrs["incoming"] == "1 throughout"
    assert (found.depth86.values[known] > 0.1).all() and (found.depth86.values[known] < 0.4).all()


def test_gaps_and_what_has_no_moisture_are_told():
    "Too few hours give none, a day with half of them does; counts above those of dry soil are missing and counted."
    data = hourly(np.full(480, 0.2))
    data["neutrons"][100:136] = np.nan
    data["neutrons"][300:348] *= 2
    found = neutrons.moisture(data, N0, **SOIL)
    assert np.isnan(found.theta.values[[112, 135, 146]]).all() and np.isfinite(found.theta.values[[99, 111, 147]]).all()
    assert np.isnan(found.theta.values[335]) and np.isfinite(found.neutrons.values[335])
    assert 0.05 < found.attrs["out_of_range"] < 0.2
    assert found.attrs["retrieved"] == float(found.theta.notnull().mean()) < found.attrs["counted"]
    data["pa"][50] = np.nan  # no pressure, no count
    assert neutrons.moisture(data, N0, hours=1, least=1, **SOIL).theta.isnull().values[50]


def test_rays_that_are_not_corrected_are_taken_for_moisture():
    "Five per cent more rays make a soil of 0.20 look several points drier; with the monitor it is right again."
    data = hourly(np.full(1000, 0.2), rays=1.05)
    plain, right = (neutrons.moisture(data, N0, **more, **SOIL).theta.mean() for more in ({}, {"incoming": 1.05}))
    assert right == pytest.approx(0.2, abs=0.003) and 0.02 < 0.2 - plain < 0.06


def test_a_series_that_is_none_is_refused():
    "A missing variable, and hours that are left out."
    data = hourly(np.full(100, 0.2))
    with pytest.raises(InputError, match="no 'pa'"):
        neutrons.moisture(data.drop_vars("pa"), N0, **SOIL)
    with pytest.raises(InputError, match="no 'q'; .*ta and rh"):
        neutrons.moisture(data.drop_vars("q"), N0, **SOIL)
    with pytest.raises(InputError, match="not hourly at 2020-03-01T11:00"):
        neutrons.moisture(data.isel(time=np.r_[0:10, 11:100]), N0, **SOIL)
    with pytest.raises(InputError, match="'desilet' is not known.*desilets"):
        neutrons.moisture(data, N0, form="desilet", **SOIL)


def test_jumps_of_the_counter_are_left_out():
    "Part hours and doubled counts go, the noise of counting and a shower stay."
    data = hourly(np.r_[np.full(200, 0.15), np.full(200, 0.25)])
    data["neutrons"][[50, 300]] = [300, 1500]
    found = neutrons.screened(data["neutrons"])
    assert found.attrs["screened"] == 2 and np.isnan(found.values[[50, 300]]).all()


def test_depth_has_its_known_values():
    "Three published depths; dry soil is seen deeper, and less deep far from the probe."
    found = neutron_footprint.depth86(np.array([0.05, 0.2, 0.4]), 1.4)
    np.testing.assert_allclose(found, [0.491, 0.226, 0.152], atol=5e-4)
    assert neutron_footprint.depth86(0.2, 1.4, 200.0) < neutron_footprint.depth86(0.2, 1.4, 0.0)


def test_layers_are_weighted_as_the_integral_of_their_weight():
    "Many thin layers and few thick ones give the same, 86 % lie above D86, and a deep profile holds all."
    thin = neutron_footprint.depth_weights(np.arange(0.005, 1, 0.01), 0.2)
    thick = neutron_footprint.depth_weights(np.arange(0.05, 1, 0.1), 0.2)
    np.testing.assert_allclose(thin.reshape(10, 10).sum(1), thick, atol=1e-12)
    assert thin[:20].sum() == pytest.approx(1 - np.exp(-2)) and thin.sum() == pytest.approx(1, abs=1e-4)


def test_a_profile_is_seen_from_above():
    "A uniform profile is its own mean; a wet top counts more than its share, and so the depth is less."
    depths = np.arange(0.025, 0.6, 0.05)
    flat = neutron_footprint.depth_weighted(np.full((2, 12), 0.2), depths, bulk_density=1.4)
    np.testing.assert_allclose(flat.theta, 0.2)
    wet = np.where(depths < 0.1, 0.4, 0.1)
    found = neutron_footprint.depth_weighted(np.stack([wet, wet[::-1]]), depths, bulk_density=1.4)
    assert found.theta[0] > wet.mean() + 0.05 > found.theta[1] + 0.05 and found.depth86[0] < found.depth86[1]
    assert found.depth86 == pytest.approx(neutron_footprint.depth86(found.theta, 1.4))
    gap = neutron_footprint.depth_weighted(np.where(depths < 0.04, np.nan, 0.2), depths, bulk_density=1.4)
    assert gap.theta == pytest.approx(0.2) and gap.covered < flat.covered[0] - 0.2
    assert np.isnan(neutron_footprint.depth_weighted(np.full(12, np.nan), depths, bulk_density=1.4).theta)


def test_the_footprint_shrinks_with_water():
    "86 % of the neutrons come from 130 to 240 m, from less where soil and air are wet; the short form is much alike."
    r = np.arange(0.25, 600, 0.5)

    def radius(theta, humidity):
        part = neutron_footprint.distance_weights(r, theta, humidity).cumsum()
        return r[np.searchsorted(part / part[-1], 1 - np.exp(-2))]

    found = [radius(0.05, 3.0), radius(0.1, 8.0), radius(0.4, 8.0), radius(0.4, 15.0)]
    assert found == sorted(found, reverse=True) and 180 < found[0] < 245 and 95 < found[-1] < 150
    short = (30 * np.exp(-r / 1.6) + np.exp(-r / 100)) * (1 - np.exp(-3.7 * r))
    full = neutron_footprint.distance_weights(r, 0.15, 5.0)
    assert abs(np.log((full / full.sum()) / (short / short.sum())))[(r > 2) & (r < 250)].max() < 0.4
    assert neutron_footprint.rescaled(100.0, vegetation=20.0) > 100 > neutron_footprint.rescaled(100.0, pressure=700.0)


@pytest.mark.parametrize("form", ["desilets", "Mar21_mcnp_drf"])
def test_the_planted_count_over_dry_soil_is_found(form):
    "Even soil gives N₀ within the chance of counting; the interval holds it; moisture at the cores is theirs."
    data = hourly(np.full(200, 0.2), form=form)
    found = neutron_calibration.calibrate(cores(), data, form=form, draws=100)
    assert found.n0 == pytest.approx(N0, rel=0.02) and found.low < N0 < found.high
    assert found.soil == pytest.approx(SOIL) and found.form == form and found.campaigns["hours"].item() == 24
    covered, depth = found.campaigns[["covered", "depth86"]].to_numpy()[0]
    assert covered == pytest.approx(1 - np.exp(-0.6 / depth), abs=0.02)
    theta = neutrons.moisture(data, found.n0, form=form, **found.soil).theta.sel(time="2020-03-04T00:00")
    assert theta == pytest.approx(0.2, abs=1e-3)


def test_near_cores_tell_more():
    "Water near the probe raises the mean it sees more than the same water far away; uneven soil widens the interval."
    data = hourly(np.full(200, 0.2))
    near, far = (neutron_calibration.calibrate(cores(theta), data, draws=0) for theta in ([.4, .2, .2], [.2, .2, .4]))
    assert near.campaigns["theta"].item() > far.campaigns["theta"].item() + 0.03 > 0.23
    assert near.n0 > far.n0 and np.isnan(near.low)
    even, uneven = (neutron_calibration.calibrate(cores(noise=n), data, draws=100) for n in (0.0, 0.06))
    assert uneven.high - uneven.low > 1.5 * (even.high - even.low)


def test_campaigns_stand_side_by_side():
    "Two days of cores give a number each and their mean; a day without counts is refused."
    data = hourly(np.r_[np.full(300, 0.15), np.full(300, 0.3)])
    two = pd.concat([cores(0.15), cores(0.3, "2020-03-22 12:00", seed=1)])
    found = neutron_calibration.calibrate(two, data, draws=50)
    assert found.campaigns["n0"].to_numpy() == pytest.approx([N0, N0], rel=0.012)
    assert found.n0 == pytest.approx(found.campaigns["n0"].mean()) and 0 < found.spread < 0.02
    np.testing.assert_allclose(found.campaigns["theta"], [0.15, 0.3], atol=1e-6)
    with pytest.raises(InputError, match="only 0 of 24 hours around the cores of 2021"):
        neutron_calibration.calibrate(cores(time="2021-03-22 12:00"), data)
    with pytest.raises(InputError, match="row 108 of the cores is the second"):
        neutron_calibration.calibrate(pd.concat([cores(), cores()[5:6]], ignore_index=True), data)
    with pytest.raises(InputError, match="no column 'lattice_water'"):
        neutron_calibration.calibrate(two.drop(columns="lattice_water"), data)
    with pytest.raises(InputError, match="row 3 of the cores has a missing value"):
        neutron_calibration.calibrate(cores().assign(theta_g=lambda t: t["theta_g"].where(t.index != 3)), data)
    with pytest.raises(InputError, match="soil moisture 14 is out of range"):
        neutron_calibration.calibrate(cores().assign(theta_g=10.0), data)


def test_carbon_has_to_be_counted_the_same_way_twice():
    "Calibrated and read with one rule the moisture is right; with the other it is off, most where carbon is much."
    data, rich = hourly(np.full(200, 0.2)), cores().assign(organic_carbon=0.1)
    one, other = (neutron_calibration.calibrate(rich, data, soc_as=rule, draws=0)
                  for rule in ("crspy", "organic_matter"))
    at = dict(time="2020-03-04T00:00")
    right = [neutrons.moisture(data, made.n0, **made.soil).theta.sel(at) for made in (one, other)]
    mixed = neutrons.moisture(data, one.n0, **other.soil).theta.sel(at)
    assert right == pytest.approx([0.2, 0.2], abs=1e-3) and mixed < 0.2 - 0.04
