import numpy as np
import pytest
import xarray as xr

from phenolib import responses
from phenolib.errors import InputError

SOIL = {"saturated": 0.45, "wilting": 0.135}  # s_w = 0.3


def measured(flux, days=200, noise=0.2, seed=0):
    "Daily temperature and moisture of a season, not independent, and the flux of a function of both with noise."
    rng = np.random.default_rng(seed)
    time = np.datetime64("2020-03-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    spell = np.repeat(rng.normal(0, 1, (2, days // 5 + 1)), 5, 1)[:, :days]
    t = 11 + 6 * np.sin(np.pi * np.arange(days) / days) + 3 * spell[0]
    w = np.clip(0.27 - 0.06 * np.sin(np.pi * np.arange(days) / days) + 0.05 * spell[1], 0.08, 0.44)
    weekly = np.repeat(rng.normal(0, noise / 2, days // 7 + 1), 7)[:days]
    return time, t, w, flux(t, w) + weekly + rng.normal(0, noise, days)


def test_moisture_response_of_jules_at_its_known_values():
    "With s_w = 0.3: f(0.4) = 0.429, f(0.65) = 1, f(1) = 0.72, and 0.2 at and below the wilting point."
    s = np.array([0.1, 0.3, 0.4, 0.65, 1.0])
    assert responses.jules_moisture(s, 1.0, 0.3).round(3).tolist() == [0.2, 0.2, 0.429, 1.0, 0.72]
    assert responses.jules_moisture(s * 0.45, **SOIL).round(3).tolist() == [0.2, 0.2, 0.429, 1.0, 0.72]


def test_four_pools_begin_to_rise_later():
    "RothC starts at 1.7 s_w: nothing above 0.2 before it, the same optimum and the same fall."
    s = np.array([0.5, 0.51, 0.58, 0.65, 1.0])
    assert responses.jules_moisture(s, 1.0, 0.3, pools=4).round(3).tolist() == [0.2, 0.2, 0.6, 1.0, 0.72]


@pytest.mark.parametrize("wilting", [1 / 2.4, 0.42, 0.6, 0.95])
def test_a_rise_that_vanishes_divides_by_nothing(wilting):
    "In clays with four pools there is no rise: f is finite, 0.2 up to 1.7 s_w and on the fall above."
    s = np.linspace(0, 1, 101)
    with np.errstate(all="raise"):
        f = responses.jules_moisture(s, 1.0, wilting, pools=4)
    assert np.isfinite(f).all() and (f[s <= 1.7 * wilting] == 0.2).all() and (f >= 0.2).all() and (f <= 1).all()
    over = s > max(1.7 * wilting, (1 + wilting) / 2)
    assert np.allclose(f[over], 1 - 0.8 * (s[over] - (1 + wilting) / 2))


def test_moisture_above_saturation_counts_as_saturated():
    "A sensor above the porosity gives the flux of a full soil; missing stays missing."
    f = responses.jules_moisture(np.array([0.45, 0.5, np.nan]), **SOIL)
    assert f[0] == f[1] == pytest.approx(0.72) and np.isnan(f[2])


def test_temperature_responses_at_their_known_values():
    "Q10 and RothC at 0, 10, 20, 25 °C; both are 1 at 282.4 K; RothC stops at 263.15 K; Lloyd and Taylor at 0, 10, 20."
    t = np.array([0.0, 10.0, 20.0, 25.0])
    assert responses.q10(t).round(3).tolist() == [0.527, 1.053, 2.107, 2.979]
    assert responses.rothc(t).round(3).tolist() == [0.146, 1.105, 2.831, 3.812]
    assert responses.lloyd_taylor(t[:3]).round(3).tolist() == [0.302, 1.0, 2.303]
    assert responses.q10(9.25) == pytest.approx(1) and responses.rothc(9.25) == pytest.approx(1, abs=0.001)
    assert responses.rothc(np.array([-10.0, -10.5])).tolist() == [0, 0] and responses.rothc(-9.9) > 0
    assert np.isnan(responses.rothc(np.array([np.nan]))).all()


def test_sensitivity_of_a_curve():
    "Q10 of the Q10 form is its parameter at every temperature; that of Lloyd and Taylor falls with warmth."
    t = np.array([5.0, 10.0, 25.0])
    assert np.allclose(responses.sensitivity(lambda x: responses.q10(x, q10=2.7), t), 2.7)
    falling = responses.sensitivity(responses.lloyd_taylor, t)
    assert (np.diff(falling) < 0).all()
    local = np.exp(10 * 308.56 / (283.15 - 227.13) ** 2)  # exp(10 d ln g / dT)
    assert responses.sensitivity(responses.lloyd_taylor, 10.0, span=0.01) == pytest.approx(local, rel=1e-4)
    with pytest.raises(InputError, match="span = 0"):
        responses.sensitivity(responses.lloyd_taylor, 10.0, span=0)


def test_units_pools_plants_and_depth():
    "1e-8 kg C m⁻² s⁻¹ are 0.8326 µmol m⁻² s⁻¹; rates of pools, the factor of plants and that of depth as in JULES."
    assert responses.micromoles(1e-8) == pytest.approx(1e-8 * (1e3 / 12.011) * 1e6)
    assert responses.kilograms(responses.micromoles(2.5e-8)) == pytest.approx(2.5e-8)
    assert responses.jules_base(10.0) == pytest.approx(responses.micromoles(0.5e-7))
    pools = {"dpm": 0.1, "rpm": 2.0, "bio": 0.2, "hum": 8.0}
    rate = 0.1 * 3.22e-7 + 2 * 9.65e-9 + 0.2 * 2.12e-8 + 8 * 6.43e-10
    assert responses.jules_base(pools) == pytest.approx(responses.micromoles(rate))
    assert responses.jules_base(pools, cover=0.5) == pytest.approx(0.8 * responses.micromoles(rate))
    assert responses.vegetation_factor(np.array([0.0, 0.5, 1.0])).tolist() == [1.0, 0.8, 0.6]
    assert responses.layer_factor(np.array([0.0, 0.5])).round(4).tolist() == [1.0, 0.3679]


def test_respiration_is_the_product():
    "R = base · f · g for one time or many, and labels of a DataArray stay."
    f, g = (lambda w: responses.jules_moisture(w, **SOIL)), responses.q10
    half = {"moisture_response": lambda w: 0.5, "temperature_response": lambda t: 1.0}
    assert responses.respiration(0.3, 10.0, base=2.0, **half) == 1.0
    w = xr.DataArray([0.18, 0.2925], {"time": [3, 4]}, "time", attrs={"units": "m3 m-3"})
    made = responses.respiration(w, w * 0 + 9.25, base=3.0, moisture_response=f, temperature_response=g)
    assert made["time"].values.tolist() == [3, 4] and np.allclose(made, [3 * 0.4286, 3.0], atol=1e-3)
    assert "units" not in made.attrs


def test_wrong_units_are_refused_in_one_line():
    "Per cent, negative moisture, kelvin, missing codes, exchanged soil constants, unknown pools: each is named."
    response = {"base": 1.0, "moisture_response": lambda w: w, "temperature_response": lambda t: t}
    wrong = [(lambda: responses.respiration(23.5, 10.0, **response), "23.5 is above 1 .* per cent by 100"),
             (lambda: responses.respiration(np.array([0.3, -0.02]), 10.0, **response), "-0.02 is below zero"),
             (lambda: responses.respiration(0.3, 283.15, **response), "take 273.15 from kelvin"),
             (lambda: responses.lloyd_taylor(-9999.0), "-9999 °C is below"),
             (lambda: responses.jules_moisture(0.3, 0.1, 0.4), "exchanged"),
             (lambda: responses.jules_moisture(0.3, 45.0, 0.1), "45 is above 1"),
             (lambda: responses.jules_moisture(0.3, 0.4, 0.1, pools=2), "pools = 2"),
             (lambda: responses.jules_base({"humus": 3.0}), "no pool 'humus'"),
             (lambda: responses.jules_base(3.0, cover=0.2), "single pool"),
             (lambda: responses.vegetation_factor(40), "outside 0-1"),
             (lambda: responses.layer_factor(-0.1), "depths count downwards")]
    for call, said in wrong:
        with pytest.raises(ValueError, match=said) as error:
            call()
        assert "\n" not in str(error.value) and isinstance(error.value, InputError)


@pytest.mark.parametrize("form, planted, truth", [
    ("lloyd_taylor", {"r_ref": 2.0, "e0": 250.0}, lambda t, w: 2 * responses.lloyd_taylor(t, e0=250)),
    ("lloyd_taylor_exponential", {"e0": 250.0, "slope": 3.0},
     lambda t, w: 2 * responses.lloyd_taylor(t, e0=250) * np.exp(3 * (w - 0.25))),
    ("lloyd_taylor_quadratic", {"e0": 250.0},
     lambda t, w: 2 * responses.lloyd_taylor(t, e0=250) * (1 - 30 * (w - 0.25) ** 2)),
    ("jules_q10", {"base": 2.0}, lambda t, w: 2 * responses.q10(t) * responses.jules_moisture(w, **SOIL)),
    ("jules_rothc", {"base": 2.0}, lambda t, w: 2 * responses.rothc(t) * responses.jules_moisture(w, **SOIL)),
])
def test_a_planted_form_is_recovered(form, planted, truth):
    "Each form finds what was planted within its interval, in most of eight seasons, and predicts without noise."
    inside = []
    for seed in range(8):
        time, t, w, flux = measured(truth, seed=seed)
        found = responses.fit(form, flux, t, w, time=time, draws=80, seed=seed, **(SOIL if "jules" in form else {}))
        inside += [found.intervals[name][0] <= value <= found.intervals[name][1] for name, value in planted.items()]
        for name, value in planted.items():
            assert found.values[name] == pytest.approx(value, rel=0.35)
        assert np.abs(found.predict(t, w) - truth(t, w)).mean() < 0.12
        assert found.retrieved == found.converged == 1 and found.n == 200 and found.weeks >= 29
        assert 0.1 < found.rmse < 0.35 and 0 < found.r2 < 1
    assert np.mean(inside) > 0.7


def test_bands_of_a_fit_hold_the_curve():
    "The band of the fitted curve holds the truth at most temperatures, and widens beyond the data."
    time, t, w, flux = measured(lambda t, w: 2 * responses.lloyd_taylor(t, e0=250))
    found = responses.fit("lloyd_taylor", flux, t, time=time, draws=100)
    at = np.linspace(6, 22, 17)
    low, high = found.band(at)
    truth = 2 * responses.lloyd_taylor(at, e0=250)
    assert ((low <= truth) & (truth <= high)).mean() > 0.8
    far = np.ptp(found.band(35.0))
    assert far > 3 * np.ptp(found.band(14.0)) and (low < found.predict(at)).all()


def test_the_wrong_form_fits_worse():
    "Of a flux that moisture drives, temperature alone explains less."
    time, t, w, flux = measured(lambda t, w: 2 * responses.q10(t) * responses.jules_moisture(w, **SOIL))
    alone = responses.fit("lloyd_taylor", flux, t, time=time, draws=10)
    both = responses.fit("jules_q10", flux, t, w, time=time, draws=10, **SOIL)
    assert both.rmse < 0.8 * alone.rmse and both.r2 > alone.r2


def test_missing_rows_are_left_out_and_told():
    "A fifth of the temperatures is missing: the fit uses the rest and says which share it is; same seed, same fit."
    time, t, w, flux = measured(lambda t, w: 2 * responses.lloyd_taylor(t, e0=250))
    t[::5] = np.nan
    found, again = (responses.fit("lloyd_taylor", flux, t, time=time, draws=20, seed=4) for _ in range(2))
    assert found.n == 160 and found.retrieved == pytest.approx(0.8) and found.intervals == again.intervals
    assert np.isnan(found.predict(t)[::5]).all() and np.isfinite(found.predict(t)[1::5]).all()


def test_what_cannot_be_fitted_is_refused():
    "Unknown forms, missing moisture or soil, other lengths, short series and constant temperature: one line each."
    time, t, w, flux = measured(lambda t, w: 2 * responses.q10(t))
    wrong = [(("lloyd_tailor", flux, t), {}, "did you mean 'lloyd_taylor'"),
             (("lloyd_taylor_quadratic", flux, t), {}, "give theta"),
             (("jules_q10", flux, t, w), {}, "saturated and wilting"),
             (("jules_q10", flux, t, 100 * w), SOIL, "divide per cent"),
             (("lloyd_taylor", flux[:-1], t), {}, "of the same length"),
             (("lloyd_taylor", flux * np.nan, t), {}, "0 of 0 fluxes"),
             (("lloyd_taylor", np.where(np.arange(200) < 15, flux, np.nan), t), {}, "3 blocks of 7 days"),
             (("lloyd_taylor", flux, t * 0 + 10), {}, "cannot tell the parameters")]
    for given, options, said in wrong:
        with pytest.raises(InputError, match=said) as error:
            responses.fit(*given, time=time, draws=5, **options)
        assert "\n" not in str(error.value)
    found = responses.fit("jules_q10", flux, t, w, time=time, draws=5, **SOIL)
    with pytest.raises(InputError, match="give theta"):
        found.predict(t)
