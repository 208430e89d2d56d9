"""Simulated plots and their tubes: water, roots, the dates that rates bring, and images that follow the roots."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from phenolib import simulate
from phenolib.archive import simulated
from phenolib.errors import InputError
from phenolib.files import sha256
from phenolib.simulate import config, plot_growth, plots, profile, rhizotron, roots
from phenolib.sources import plot_tables


@pytest.fixture(scope="module")
def grown():
    "Three years of the plots."
    return plot_growth.grow(plot_growth.Settings(first=2016, last=2018))


def test_no_water_is_lost(grown):
    "What falls, runs off, drains, evaporates and is stored adds up every day."
    assert grown.water_balance < 1e-9
    assert (grown["theta"] > 0).all() and (grown["theta"] < 0.5).all()


def test_water_evens_out_without_weather():
    "A profile that is wet on one side of a border and dry on the other comes to rest, and no layer overshoots."
    from phenolib.simulate import land

    soil = land.soils([20.0], [20.0])
    theta = profile.start(soil, 0.2)
    theta[3:] = soil.capacity
    none = np.zeros(1)
    for _ in range(300):
        before = theta.copy()
        theta, *_ = profile.step(theta, none, none, soil, water=none, temperature=10.0, evaporation=none,
                                 transpiration=none, uptake=np.zeros_like(theta))
        assert (theta >= soil.residual).all() and (theta <= soil.saturated + 1e-12).all()
    assert np.abs(theta - before).max() < 1e-3


def test_treatments_and_crops_differ(grown):
    "Shelters make soil drier and leaves die earlier; both crops grow in every treatment and year."
    summer = grown["tension"].sel(depth=0.2).where(grown["time"].dt.month.isin([6, 7]), drop=True)
    dry, rain, wet = (summer.isel(plot=grown["treatment"].values == t).median() for t in plot_growth.TREATMENTS)
    assert dry > rain >= wet
    for crop in plot_growth.CROPS:
        assert ((grown["crop"] == crop).sum("plot") == 3).all()
    assert grown["lai_green"].max("time").min() > 3


TARGETS = {"lasting": (-3, 25), "even": (0, 0), "early": (-8, 10)}


@pytest.mark.parametrize("growth", TARGETS)
def test_rates_bring_the_dates_apart(growth):
    "In dry soil roots start and end as many days from the leaves as an archive is meant to show; nothing sets a date."
    found = pd.DataFrame(plots.dates(plot_growth.grow(plot_growth.Settings(growth=growth)),
                                     plot_growth.Settings(growth=growth)))
    found = found[(found["share"] == 20) & (found["depth_cm"] == "") & (found["treatment"] == "sheltered")]
    day = found.assign(date=pd.to_datetime(found["date"])).pivot_table(
        index=["plot", "season"], columns=["organ", "direction"], values="date", aggfunc="first")
    for direction, target in zip(("rising", "falling"), TARGETS[growth]):
        apart = (day["root", direction] - day["leaf", direction]) / pd.Timedelta(days=1)
        assert apart.notna().mean() > 0.9
        assert abs(apart.mean() - target) < 2.5


def test_the_reversed_landscape_dries_where_roots_are():
    "With ``drink`` water is taken where roots are, so that soil below the roots stays wetter."
    one = plot_growth.Settings(first=2018, last=2018)
    by_depth, by_roots = (plot_growth.grow(one, growth=plot_growth.with_growth(drink=d)) for d in (0.0, 1.0))
    assert not np.allclose(by_depth["tension"], by_roots["tension"])
    nothing = plot_growth.grow(one, growth=plot_growth.with_growth(warmth=0.0))
    assert not np.allclose(by_depth["root_length"], nothing["root_length"])


def test_windows_follow_the_soil():
    "Over many windows the length in view is that of the soil."
    day = np.arange(200)
    made = 0.08 * np.exp(-(((day - 60) / 25) ** 2))
    lost = np.where(day > 110, 0.04, 0.004)
    expected, level = [], 0.0
    for m, loss in zip(made, lost):
        level = (level + m) * np.exp(-loss)
        expected.append(level)
    rng = np.random.default_rng(0)
    seen = np.zeros(200)
    for _ in range(150):
        born, dies = rhizotron.births(rng, made, lost)
        for one in (rhizotron.root(rng, b, d) for b, d in zip(born, dies)):
            alive = (day >= one.passed[0]) & (day < one.death)
            seen += alive * np.searchsorted(np.sort(one.passed), day, "right") * rhizotron.STEP
    seen *= rhizotron.MM / 10 / rhizotron.VOLUME / 150
    assert np.abs(seen - expected).max() < 0.08 * max(expected)


def test_a_root_grows_and_stays():
    "Without death a mask only gains; the picture shows roots lighter than soil; the same seed draws the same."
    day = np.arange(60)
    made, lost = np.where(day < 40, 0.1, 0.0), np.zeros(60)
    window = rhizotron.Window(np.random.default_rng(3), made, lost)
    early, late = window.mask(25), window.mask(55)
    assert early.any() and (late | ~early).all() and late.sum() > early.sum()
    picture, mask = window.image(np.random.default_rng(1), 55)
    again, _ = rhizotron.Window(np.random.default_rng(3), made, lost).image(np.random.default_rng(1), 55)
    assert (picture == again).all()
    assert picture[mask].mean() > picture[~mask].mean() + 15
    assert window.traits(55)["length_mm"] >= window.traits(25)["length_mm"] > 0


def test_roots_dry_the_soil_where_they_are_told_to():
    "With fewer roots the soil of the thirsty landscape is wetter, and that of the other is the same to the last digit."
    one = plot_growth.Settings(first=2017, last=2017)
    for name, same in (("lasting", True), ("thirsty", False)):
        rates = plot_growth.GROWTHS[name]
        slower = replace(rates, rise=tuple(0.5 * r for r in rates.rise))
        many, few = (plot_growth.grow(one, growth=some) for some in (rates, slower))
        assert float(few["root_length"].mean()) < 0.9 * float(many["root_length"].mean())
        assert (few["theta"].values == many["theta"].values).all() == same
        assert same or float(few["theta"].mean()) > float(many["theta"].mean())
        assert few.attrs["water_balance"] < 1e-9


def test_roots_that_feel_no_warmth_grow_in_the_cold():
    "Where the rate of warmth is 0, a colder soil slows no root."
    one = plot_growth.Settings(first=2017, last=2017)
    cold, free = (plot_growth.grow(one, growth=plot_growth.GROWTHS[name]) for name in ("lasting", "unwarmed"))
    spring = {"time": slice("2017-01-01", "2017-03-15")}
    assert float(free["root_length"].sel(spring).mean()) > 1.5 * float(cold["root_length"].sel(spring).mean())


def test_sensors_say_what_they_can(grown):
    "Tensiometers run dry, the other sensors see nothing wet, and both together give one potential near the truth."
    said = plots.sensors(7, grown)
    assert np.nanmin(said["psi_t4"]) > -90 and np.nanmax(said["psi_mps2"]) <= -10
    assert np.nanmin(said["psi_mps2"]) > -600
    both = plot_tables.potential(said)
    true = -grown["tension"]
    known = both.notnull() & (true > -400)
    away = (np.log(both / true)).where(known)
    assert abs(float(away.median())) < 0.1 and float(away.std()) < 0.4


def test_satellites_have_their_repeat(grown):
    "Ten days before July 2017, five after it; clouds are among the classes; the first year is not left out."
    seen = plots.satellite(7, plot_growth.grow(plot_growth.Settings(first=2015, last=2015)))
    assert pd.Timestamp(seen["time"].values[0]).year == 2014
    assert 20 < float((~seen["scl"].isin(plot_tables.CLEAR)).mean()) * 100 < 90


def test_an_archive_of_roots(tmp_path):
    "The part writes what the readers read, twice the same, and masks only for training."
    one = plot_growth.Settings(first=2018, last=2018)
    made = plot_growth.grow(one).isel(plot=slice(2))
    for name in ("a", "b"):
        tube = roots.table(made).iloc[:1]
        for row in tube.itertuples():
            rows = roots.photograph(tmp_path / name, 7, made.sel(plot=row.plot), row, one, traced=True)
        plots.write(tmp_path / name, made, one, config.DEFAULT)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    first, last = plots.SEEN[str(made["crop"].values[0, 0])]
    weeks = range((last - first) // 7 + 1)
    assert len(rows) == len(weeks) and [str(row["date"])[:4] for row in rows] == ["2018"] * len(weeks)
    assert sum(p.parts[:2] == ("roots", "masks") for p in files) == len(weeks[1::3]) < len(weeks) / 2
    assert all(sha256(tmp_path / "a" / p) == sha256(tmp_path / "b" / p) for p in files)
    sky = plot_tables.read_weather(tmp_path / "a" / "plots" / plot_tables.WEATHER)
    np.testing.assert_allclose(sky["rain"], made["rain"], atol=0.006)
    seasons = plot_tables.read_seasons(tmp_path / "a" / "plots" / plot_tables.SEASONS)
    assert seasons["crop"].tolist() == [str(v) for v in made["crop"].values.ravel()]


def test_values_of_a_part_are_asked_for_by_name():
    "A name sets the growth of roots; a wrong one is named, as is a value that no part here knows."
    parts, _, own = simulated.asked("simulated+parts:plots+growth:even+first:2020+last:2021")
    assert parts == ["plots"] and own == {"growth": "even", "first": 2020, "last": 2021}
    with pytest.raises(InputError, match="last = 2014: Sentinel-2 flies since 2015"):
        plot_growth.Settings(first=1990, last=2014)
    with pytest.raises(InputError, match="growth = evne"):
        simulated.asked("simulated+parts:plots+growth:evne")
    with pytest.raises(InputError, match="growth"):
        simulated.asked("simulated+parts:cameras+growth:even")
    assert {"growth", "first", "last", "every"} == simulate.own_values(["roots"])
