"""Learnt responses of respiration: planted ones come back within their bands, and what no product can follow shows."""

import json

import numpy as np
import pytest

from phenolib import responses
from phenolib.errors import InputError
from phenolib.nets import respiration

pytestmark = pytest.mark.usefixtures("one_thread")

SATURATED = {"north": 0.42, "south": 0.50}
BASES = {"north": 1.5, "south": 3.0}


def jules(s):
    "f of JULES with a wilting point at 0.3 of saturation."
    return responses.jules_moisture(s, 1.0, 0.3)


def humped(s):
    "A response that is 0 when the soil is dry and when it is full, largest at s = 0.6."
    return (s / 0.6) ** 1.2 * ((1 - s) / 0.4) ** 0.8


def lloyd_taylor(t):
    return responses.lloyd_taylor(t, e0=280.0)


def moving_optimum(s, t):
    "No product: the temperature at which the soil breathes most rises from 4 °C in a dry to 20 °C in a full soil."
    return np.exp(-((t - 4 - 16 * s) / 8) ** 2)


def nights(truth, *, years=1, plant=0.0, apart=1.0, seed=0):
    "Night values of towers, three a night: dry when it is warm, a common error of each night, noise that grows."
    rng = np.random.default_rng(seed)
    parts = []
    for name in SATURATED:
        day = np.arange(365 * years)
        warm = np.sin(2 * np.pi * (day - 110) / 365)
        spell = np.repeat(rng.normal(0, 1, (2, len(day) // 6 + 1)), 6, 1)[:, : len(day)]
        s = np.clip(0.62 - 0.2 * warm + 0.09 * apart * spell[0], 0.15, 0.97)
        t = 10 + 7 * warm + 2.5 * apart * spell[1]
        s, t, day, warm = (np.repeat(values, 3) for values in (s, t, day, warm))
        t = t + rng.normal(0, 1.5, len(t))
        driver = np.clip(4 + 5 * warm + rng.normal(0, 2, len(t) // 3).repeat(3), 0.1, None)
        soil = BASES[name] * truth(s, t)
        night = np.repeat(rng.normal(0, 0.1, len(t) // 3), 3)
        flux = soil * np.exp(night) + plant * driver
        flux = flux + (0.2 + 0.08 * flux) * rng.laplace(0, 1, len(t))
        time = np.datetime64("2020-01-01", "ns") + day * np.timedelta64(1, "D")
        parts.append({"theta": s * SATURATED[name], "temperature": t, "flux": flux, "driver": driver, "soil": soil,
                      "site": np.full(len(t), name, object), "time": time})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def fitted(rows, keep=slice(None), **options):
    given = {name: rows[name][keep] for name in ("theta", "temperature", "flux", "site", "time")}
    return respiration.fit(**given, **{"saturated": SATURATED} | options)


@pytest.fixture(scope="module")
def rows():
    return nights(lambda s, t: jules(s) * responses.q10(t))


@pytest.fixture(scope="module")
def breath(rows):
    return fitted(rows)


def against(breath, f, g):
    "Share of the 5-95 % range within the bands, and mean error, of f (1 at s = 0.6) and of g."
    s, t = (np.linspace(*breath.ranges[name], 50) for name in ("s", "temperature"))
    found = {}
    for name, truth, made in (("f", f(s) / f(np.array(0.6)), breath.moisture_response(s, at=0.6)),
                              ("g", g(t) / g(np.array(10.0)), breath.temperature_response(t))):
        mean, low, high = made
        found[name] = ((low <= truth) & (truth <= high)).mean(), np.abs(mean - truth).mean() / truth.mean()
    return found


def test_responses_of_jules_come_back(rows, breath):
    "Though moisture and temperature go together, f and g are found within their bands over most of the data."
    s = rows["theta"] / np.where(rows["site"] == "north", *SATURATED.values())
    assert np.corrcoef(s, rows["temperature"])[0, 1] < -0.6
    for share, error in against(breath, jules, responses.q10).values():
        assert share >= 0.7 and error < 0.04


def test_another_product_comes_back():
    "A response that falls to nothing in a full soil, and that of Lloyd and Taylor: no form is built in."
    found = against(fitted(nights(lambda s, t: humped(s) * lloyd_taylor(t), seed=1)), humped, lloyd_taylor)
    for share, error in found.values():
        assert share >= 0.7 and error < 0.04


def test_the_base_of_each_site_comes_back(breath):
    "The rate at f = g = 1 lies within a tenth of that planted, as a sharp peak is learnt too low; their ratio closer."
    for name, (value, low, high) in breath.base.items():
        planted = BASES[name] * responses.q10(10.0)
        assert low < value < high < 1.3 * low and value == pytest.approx(planted, rel=0.1)
    assert breath.base["south"][0] / breath.base["north"][0] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("form", ["product", "free"])
def test_the_scale_is_fixed(rows, form):
    "g is 1 at 10 °C for every member, the largest f of every member is 1, and b f g is the flux of a product."
    breath = fitted(rows, form=form, members=2, epochs=40)
    assert np.allclose(breath.temperature_response(10.0), 1)
    members = breath._members(np.linspace(*breath.ranges["s_wide"], 200), 0) - breath._peak
    assert np.allclose(members.max(1), 0) and np.allclose(breath.moisture_response(0.5, at=0.5), 1)
    if form == "product":
        s, t = np.array([0.4, 0.6, 0.8]), np.array([12.0, 5.0, 14.0])
        made = breath.predict(s * SATURATED["north"], t, "north")[0]
        product = breath.base["north"][0] * breath.moisture_response(s)[0] * breath.temperature_response(t)[0]
        assert made == pytest.approx(product, rel=0.01)  # mean of products and product of means of logs


def test_there_is_no_response_where_there_were_no_data(rows, breath):
    "Beyond the rows f and g are missing and the flux stays as at the limit, which is told."
    (dry, wet), (cold, hot) = breath.limits
    assert np.isnan(breath.moisture_response([dry - 0.01, wet + 0.01])).all()
    assert np.isnan(breath.temperature_response([cold - 0.1, hot + 0.1])).all()
    assert np.isfinite(breath.moisture_response([dry, wet])).all()
    at, beyond = (breath.predict([0.3], [t], "south")[0] for t in (hot, hot + 5))
    assert at == beyond and breath.beyond([0.3, 0.3], [hot, hot + 5], "south").tolist() == [False, True]


def test_what_is_no_product_shows_as_misfit():
    "In weeks that neither read, the free network is nearer to the flux than the product, by an interval above 0."
    rows = nights(moving_optimum, apart=2.0, seed=2)
    week = rows["time"].astype("datetime64[D]").astype(int) // 7
    away = {}
    for form in ("product", "free"):
        made = fitted(rows, week % 3 != 0, form=form)
        test = {name: values[week % 3 == 0] for name, values in rows.items()}
        away[form] = np.abs(made.predict(test["theta"], test["temperature"], test["site"])[0] - test["soil"])
    gain, week = away["product"] - away["free"], week[week % 3 == 0]
    each = np.array([gain[week == one].sum() for one in np.unique(week)])
    rng = np.random.default_rng(0)
    drawn = rng.choice(each, (500, len(each))).sum(1)
    assert np.quantile(drawn, 0.05) > 0 and gain.mean() > 0.2 * away["product"].mean()


def test_a_rising_response_never_falls():
    "With monotone, g rises though the flux falls in the heat; without it g follows the fall."
    rows = nights(lambda s, t: jules(s) * np.exp(-((t - 12) / 6) ** 2), seed=3)
    t = np.linspace(0, 20, 100)
    rising, plain = (fitted(rows, monotone=flag, members=3, epochs=200) for flag in (True, False))
    assert (np.diff(rising._members(t, 1), axis=1) >= 0).all()
    assert plain.temperature_response(18.0)[0] < 0.75 * plain.temperature_response(12.0)[0]


def test_the_breath_of_plants_comes_back():
    "Plants that breathe in proportion to a driver are told from the soil; the parts add up."
    rows = nights(lambda s, t: jules(s) * responses.q10(t), plant=0.25, seed=4)
    breath = fitted(rows, autotrophic=rows["driver"])
    for value, low, high in breath.plant.values():
        assert low < 0.25 < high and value == pytest.approx(0.25, abs=0.06)
    some = [rows[name][:50] for name in ("theta", "temperature", "site", "driver")]
    whole, soil, plant = (breath.predict(*some, part=part)[0] for part in ("all", "soil", "plant"))
    assert whole == pytest.approx(soil + plant) and (plant > 0).all()
    with pytest.raises(InputError, match="give autotrophic, or part='soil'"):
        breath.predict(*some[:3])


def test_bands_hold_the_expected_flux(rows, breath):
    "The flux without noise lies in most of the bands of 90 %, and they are narrower where less is asked of them."
    given = [rows[name] for name in ("theta", "temperature", "site")]
    mean, low, high = breath.predict(*given)
    inside = ((low <= rows["soil"]) & (rows["soil"] <= high)).mean()
    assert inside > 0.6 and (low > 0).all()
    assert (breath.predict(*given, level=0.5)[2] < high).all()


def test_the_same_seed_gives_the_same_answer(rows):
    "Bit for bit; another seed does not, and a member does not depend on how many there are."
    first, again, other, more = (fitted(rows, members=members, epochs=30, seed=seed).to_dict()["weights"]
                                 for members, seed in ((2, 1), (2, 1), (2, 2), (3, 1)))
    assert first == again and first != other
    assert np.allclose(first["wet.second"], more["wet.second"][:2], atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"form": "free"}, {"monotone": True}])
def test_what_is_stored_predicts_the_same(rows, options):
    "Through JSON and back the fluxes and bases are the same to the bit."
    breath = fitted(rows, members=2, epochs=20, **options)
    again = respiration.Breath.from_dict(json.loads(json.dumps(breath.to_dict())))
    given = rows["theta"][:99], rows["temperature"][:99], "north"
    assert np.array_equal(breath.predict(*given), again.predict(*given)) and breath.base == again.base


def test_it_reads_an_even_part_of_many_rows(rows):
    "The part is told; a site with few rows keeps them all; missing rows are left out and told."
    few = np.r_[0:300, 1095:2190]
    breath = fitted(rows, few, members=2, epochs=10, most=800)
    assert breath.n == 800 and breath.remarks == ("800 of 1395 rows were read, evenly in time",)
    gaps = rows | {"theta": np.where(np.arange(2190) % 5, rows["theta"], np.nan)}
    breath = fitted(gaps, members=2, epochs=10)
    assert breath.retrieved == pytest.approx(0.8) and breath.n == 1752 and not breath.remarks
    mean, low, high = breath.predict(gaps["theta"][:5], gaps["temperature"][:5], "north")
    assert np.isnan([mean[0], low[0], high[0]]).all() and np.isfinite(mean[1:]).all()


def test_where_ten_degrees_were_not_seen_the_nearest_is_the_reference(rows):
    "A warm country: g is 1 at the coldest night, and a remark says so."
    warm = rows | {"temperature": rows["temperature"] + 20}
    breath = fitted(warm, members=2, epochs=10)
    assert breath.reference == warm["temperature"].min() and "10 °C was not seen" in breath.remarks[0]
    assert np.allclose(breath.temperature_response(breath.reference), 1)


def test_how_far_the_two_vary_on_their_own(rows):
    "Where T follows s nothing is left within a class; where they are apart all is; the field lies between."
    rng = np.random.default_rng(0)
    s = rng.uniform(0.1, 0.9, 2000)
    tied = respiration.identifiable(s * 0.4, 20 - 15 * s, site="one", saturated={"one": 0.4})
    apart = respiration.identifiable(s * 0.4, rng.uniform(0, 20, 2000), site="one", saturated={"one": 0.4})
    field = respiration.identifiable(rows["theta"], rows["temperature"], site=rows["site"], saturated=SATURATED)
    assert (tied["share"][:5] < 0.3).all() and tied["correlation"]["all"] == pytest.approx(-1)
    assert (apart["share"] > 0.9).all() and abs(apart["correlation"]["all"]) < 0.1
    assert (field["share"][:5] > tied["share"][:5]).all() and (field["share"][:5] < 0.95).any()
    assert field["n"][:5].sum() == field["n"]["all"] == 2190


def change(name, value):
    "Rows with another value in one place."
    return lambda rows: rows | {name: np.r_[value, rows[name][1:]]}


@pytest.mark.parametrize("rows_of, options, said", [
    (change("theta", 28.0), {}, "divide per cent by 100"),
    (change("temperature", 283.0), {}, "take 273.15 from kelvin"),
    (change("flux", -9999.0), {}, "mask codes of missing values"),
    (lambda rows: rows | {"flux": np.full(2190, np.nan)}, {}, "none of 2190 fluxes"),
    (lambda rows: rows | {"flux": rows["flux"][:-1]}, {}, "one value a row"),
    (lambda rows: rows, {"saturated": SATURATED | {"west": 0.4}}, "'west' of saturated has no row"),
    (lambda rows: rows, {"saturated": {"north": 0.4, "sout": 0.4}}, "'south'; did you mean 'north' or 'sout'"),
    (lambda rows: rows, {"saturated": 45.0}, "saturated = 45"),
    (lambda rows: rows, {"saturated": 0.15}, "of saturated; give the water content"),
    (lambda rows: rows, {"form": "produkt"}, "did you mean 'product'"),
    (lambda rows: rows, {"loss": "huber"}, "loss = 'huber'"),
    (lambda rows: rows, {"form": "free", "monotone": True}, "leave it out"),
    (lambda rows: rows, {"members": 1}, "a band needs two"),
    (lambda rows: rows | {"time": rows["time"][:1].repeat(2190)}, {}, "rows in 1 blocks of 7 days"),
    (lambda rows: rows | {"flux": np.where(rows["site"] == "north", np.nan, rows["flux"])}, {}, "'north' has no row"),
    (lambda rows: rows | {"temperature": np.full(2190, 8.0)}, {}, "the temperature is the same"),
    (lambda rows: rows, {"autotrophic": np.full(2190, -1.0)}, "uptake as a positive number"),
    (lambda rows: rows, {"autotrophic": np.zeros(2190)}, "zero throughout"),
])
def test_what_cannot_be_fitted_is_told(rows, rows_of, options, said):
    "One line says which value is wrong and what to do."
    with pytest.raises(InputError, match=said) as told:
        fitted(rows_of(rows), epochs=5, **options)
    assert "\n" not in str(told.value)


def test_what_cannot_be_predicted_is_told(breath):
    "A site that was not in the fit, per cent, arrays of different length, a driver that was not there."
    with pytest.raises(InputError, match="'nord' was not in the fit; did you mean 'north'"):
        breath.predict([0.3], [10.0], "nord")
    with pytest.raises(InputError, match="divide per cent by 100"):
        breath.predict([30.0], [10.0], "north")
    with pytest.raises(InputError, match="one value a row"):
        breath.predict([0.3, 0.2], [10.0], "north")
    with pytest.raises(InputError, match="had no autotrophic driver"):
        breath.predict([0.3], [10.0], "north", [1.0])
