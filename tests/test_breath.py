"""Rows of towers and chambers, models on unseen periods, incubations, and the pictures of them."""

import os
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import breath, breath_incubations, breath_models, breath_responses, responses
from phenolib.errors import InputError
from phenolib.plots import breath as draw
from phenolib.sources import field_sensors, flux_tower, incubations

matplotlib.use("Agg")
pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(os.environ.get("PHENOLIB_ARCHIVE") or ".")
CALM, E0 = 0.25, 220.0


def tower(days=240, seed=0, noise=0.4, start="2020-03-01"):
    "Half-hours of a tower: Lloyd-Taylor respiration, calm nights that lose flux, gaps."
    rng = np.random.default_rng(seed)
    time = np.datetime64(start, "ns") + np.arange(1, 48 * days + 1) * np.timedelta64(30, "m")
    day = np.arange(1, 48 * days + 1) / 48
    light = np.maximum(700 * np.sin(2 * np.pi * (day - 0.25)), 0)
    ts = 10 + 6 * np.sin(2 * np.pi * day / 365) + 3 * np.sin(2 * np.pi * (day - 0.4)) + rng.normal(0, 1, day.size)
    ustar = rng.gamma(3, 0.15, day.size)
    reco = 2 * responses.lloyd_taylor(ts, e0=E0)
    nee = reco * np.where(light > 0, 1, np.minimum(ustar / CALM, 1)) - 20 * light / (light + 400)
    nee = nee + rng.normal(0, noise, day.size)
    nee[rng.random(day.size) < 0.2] = np.nan
    data = {"nee": nee, "sw_in": light, "ustar": ustar, "ta": ts + 1, "ts": ts,
            "swc": 0.3 + 0.1 * np.cos(2 * np.pi * day / 40)}
    return xr.Dataset({k: ("time", v) for k, v in data.items()}, {"time": time})


def rows(sites=2, days=360, seed=0, noise=0.2, form="product", plants=False):
    "Rows of sites whose respiration is base · f(θ) · g(T), or nothing of that kind."
    rng, made = np.random.default_rng(seed), []
    for k in range(sites):
        day = np.arange(0, days, 0.25)
        t = 10 + 7 * np.sin(2 * np.pi * day / 365) + rng.normal(0, 2.5, day.size)
        w = np.clip(0.28 + 0.08 * np.cos(2 * np.pi * day / 45) - 0.006 * (t - 10), 0.06, 0.44)
        s = w / 0.45
        if form == "product":
            flux = (2 + k) * (1 - 2.5 * (s - 0.55) ** 2) * responses.q10(t, q10=2.4, reference=10.0)
        else:  # the best temperature moves with moisture
            flux = (2 + k) * np.exp(-((t - 2 - 26 * s) / 7) ** 2)
        green = np.maximum(6 * np.sin(2 * np.pi * day / 365) + rng.normal(2, 1.5, day.size), 0)
        flux = flux + (0.4 * green if plants else 0)
        made.append(pd.DataFrame({
            "site": f"S{k}", "time": np.datetime64("2019-01-01", "ns") + (day * 86400e9).astype("timedelta64[ns]"),
            "flux": flux * (1 + rng.laplace(0, noise / 2, day.size)), "temperature": t, "moisture": w,
            "uptake": green, "gpp": green, "instrument": "tower", "region": "A"}))
    return pd.concat(made, ignore_index=True)


# ---- rows

def test_a_tower_gives_its_mixed_nights():
    "Rows are of dark, well-mixed, measured half-hours; the shares of the steps multiply to what is retrieved."
    data = tower()
    found = breath.tower(data, site="T", region="R", threshold=CALM)
    told = found.told.loc["T"]
    picked = data.sel(time=found.table["time"].values)
    assert (picked["sw_in"] <= 10).all() and (picked["ustar"] >= CALM).all() and found.table["flux"].notna().all()
    assert told[list(breath.STEPS)].prod() == pytest.approx(told["retrieved"]) and told["rows"] == len(found.table)
    assert list(found.table) == list(breath.COLUMNS) and set(found.table["region"]) == {"R"}
    found = breath.tower(data, site="T", draws=4)
    limits = found.told[["threshold", "threshold_low", "threshold_high"]].iloc[0]
    assert limits.between(0.15, 0.6).all() and limits["threshold_low"] <= limits["threshold_high"]


def test_uptake_is_of_the_day_before():
    "Uptake is the mean of yesterday's net uptake by daylight, the same all day, and missing on the first day."
    data = tower(20)
    made = breath._before(data["time"].values, np.maximum(-data["nee"].values, 0), data["sw_in"].values)
    date = (data["time"].values - np.timedelta64(15, "m")).astype("datetime64[D]")
    assert np.isnan(made[date == date[0]]).all()
    day = np.flatnonzero(date == date[0] + 3)
    assert np.ptp(made[date == date[0] + 4]) == 0
    nee, bright = data["nee"].values[day], data["sw_in"].values[day] >= breath.BRIGHT
    expected = np.nanmean(np.maximum(-nee[bright], 0)) * bright.mean()
    assert made[date == date[0] + 4][0] == pytest.approx(expected)


def test_uptake_has_not_seen_the_night():
    "Other fluxes by night leave the uptake as it is, so a model that reads it has not seen what it is tested on."
    data = tower(60)
    other = data.assign(nee=data["nee"].where(data["sw_in"] >= breath.BRIGHT, data["nee"] + 3))
    one, two = (breath.tower(d, site="T", threshold=CALM).table for d in (data, other))
    assert np.array_equal(one["uptake"], two["uptake"], equal_nan=True) and one["uptake"].notna().mean() > 0.9
    assert (two["gpp"].mean() > one["gpp"].mean() + 1) and one["gpp"].mean() > one["uptake"].mean()


def test_filled_values_are_left_out():
    "Values with more decimals than the rest are taken for filled, and told."
    data = tower(60)
    nee = np.round(data["nee"].values, 2)
    nee[1000:1050] = np.round(data["nee"].values, 2)[1000:1050] + 0.004
    found = breath.tower(data.assign(nee=("time", nee)), site="T", threshold=0.1)
    count = int(np.isfinite(nee[1000:1050]).sum())
    assert any(f"{count} of" in r and "filled" in r for r in found.remarks)
    assert not found.table["time"].isin(data["time"].values[1000:1050]).any()


def test_chambers_give_hours_of_the_uppermost_sensors():
    "Chambers of one hour are averaged; the uppermost sensors count; impossible fluxes are left out and told."
    time = pd.date_range("2021-05-01", periods=600, freq="30min")
    frame = pd.DataFrame({"chamber": 1, "time": time, "flux": 2.0, "temperature_10cm": 5.0, "temperature_5cm": 8.0,
                          "moisture_30cm": 0.2})
    frame.loc[10, "flux"] = -12.0
    found = breath.chamber(frame, site="C")
    assert len(found.table) == 300 and set(found.table["temperature"]) == {8.0}
    assert found.table["flux"].eq(2.0).all() and any("1 of 600" in r for r in found.remarks)
    dry = breath.chamber(frame.drop(columns="moisture_30cm"), site="C")
    assert dry.table["moisture"].isna().all() and any("no sensor of moisture" in r for r in dry.remarks)


class Small:
    "An archive of one tower and two chamber sites, one of which has nothing."

    def kinds(self):
        return {"flux_towers": [], "chambers": [], "cosmos_sites": []}

    def flux_towers(self):
        return ["T", "SHORT"]

    def flux_tower(self, site):
        return tower(3 if site == "SHORT" else 200)

    def chamber_sites(self):
        return ["C"]

    def chambers(self, site):
        time = pd.date_range("2021-05-01", periods=600, freq="h")
        return pd.DataFrame({"chamber": 1, "time": time, "flux": 2.0, "temperature_5cm": 8.0})

    def cosmos_sites(self):
        return pd.DataFrame({"site": ["SIMAA", "SIMAB"], "cluster": ["north", "south"], "tower": ["T", ""]})


def test_all_sites_of_an_archive():
    "Regions come from the table of sites; a site that cannot be used is told with its reason and stops nothing."
    found = breath.sites(Small(), draws=3)
    assert set(found.table["site"]) == {"T", "C"} and found.told.loc["T", "region"] == "north"
    assert "no threshold of u*" in found.told.loc["SHORT", "why"] and found.told.loc["SHORT", "rows"] == 0
    few = breath.thinned(found.table, 50)
    assert (few.groupby("site").size() == 50).all() and few["time"].max() == found.table["time"].max()


def test_soils_from_texture_or_from_the_rows():
    "Porosity comes from bulk density, the wilting point from texture; without them the wettest and driest rows."
    some = rows()
    statics = pd.DataFrame({"site": ["S0"], "bulk_density": [1.325], "soil_organic_carbon": [0.0], "sand": [0.4],
                            "clay": [0.2]})
    found = breath.soils(some, statics)
    assert found.loc["S0", "saturated"] == pytest.approx(0.5) and 0.1 < found.loc["S0", "wilting"] < 0.25
    wet = some[some["site"] == "S1"]["moisture"]
    assert found.loc["S1", "saturated"] == pytest.approx(wet.quantile(0.99))
    assert found["saturated_of"].tolist() == ["bulk density", "wettest rows"]


def test_another_threshold_is_another_year():
    "The sum of a year and E₀ are told for thresholds as the bootstrap of nights draws them."
    told = breath.threshold_effect(tower(370, start="2020-01-01"), draws=6, count=3, seed=1)
    assert len(told) == 3 and told["threshold"].is_monotonic_increasing and told["nights"].is_monotonic_decreasing
    assert told["reco"].between(500, 1500).all() and told["e0"].between(100, 350).all()


# ---- comparison

def test_periods_are_held_out_whole():
    "All rows of thirty days are in one fold, and every fold is there."
    time = rows()["time"]
    fold = breath.folds(time, block=30, count=4)
    period = ((time - time.min()) / np.timedelta64(30, "D")).astype(int)
    assert pd.Series(fold).groupby(period).nunique().max() == 1 and set(fold) == {0, 1, 2, 3}
    assert set(breath.folds(time + np.timedelta64(1, "h"), block="year")) == {0}
    with pytest.raises(InputError, match="one period of 1000 days"):
        breath.folds(time, block=1000)


def test_the_form_that_made_the_fluxes_wins():
    "Fluxes of Lloyd-Taylor alone are best told by it; intervals hold the margin, the mean of other periods is no help."
    some = rows(sites=1)
    some["flux"] = 2 * responses.lloyd_taylor(some["temperature"].to_numpy(), e0=E0) + np.random.default_rng(1).normal(
        0, 0.4, len(some))
    found = breath_models.compare(some, ("mean", "lloyd_taylor", "jules_q10"), draws=100)
    best = found.winners.loc["S0"]
    assert best["winner"] == "lloyd_taylor" and best["sure"] and best["low"] < best["margin"] < best["high"]
    table = found.table.loc["S0"]
    assert table.loc["lloyd_taylor", "rmse"] == pytest.approx(0.4, rel=0.1) and table.loc["mean", "r2"] <= 0
    assert (table["r2_low"] <= table["r2"]).all() and (table["r2"] <= table["r2_high"]).all()


@pytest.mark.parametrize("form, better", [("product", False), ("other", True)])
def test_a_free_network_shows_what_no_product_can(form, better):
    "Where the best temperature moves with moisture the free network gains on the product; where f·g holds it does not."
    some = rows(sites=1, form=form)
    found = breath_models.compare(some, ("product", "free"), fold=breath.folds(some["time"], count=2),
                                  network={"members": 2, "epochs": 150, "loss": "square"}, draws=100)
    told = breath_models.gain(found, "free", "product")
    assert (told["interval"][0] > 0.1) == better and told["n"] == len(found.rows)
    assert told["value"] < 0.1 or better


def test_plants_are_a_part_of_their_own():
    "Where a part of the flux goes with the uptake of the day before, the network that reads it gains."
    some = rows(sites=1, plants=True)
    found = breath_models.compare(some, ("product", "product_plants"), fold=breath.folds(some["time"], count=2),
                                  network={"members": 2, "epochs": 150}, draws=100)
    assert breath_models.gain(found, "product_plants", "product")["interval"][0] > 0.05


def test_sites_without_moisture_are_scored_without():
    "A site with flux and temperature alone has scores of the models that need no more, and a remark on the others."
    some = rows(sites=2)
    some.loc[some["site"] == "S1", "moisture"] = np.nan
    found = breath_models.compare(some, ("lloyd_taylor", "jules_q10"), draws=50)
    table = found.table["retrieved"].unstack()
    assert table.loc["S1", "jules_q10"] == 0 and table.loc["S1", "lloyd_taylor"] == 1 and table.loc["S0"].eq(1).all()
    assert any("S1" in r and "jules_q10" in r for r in found.remarks)


def test_the_held_out_period_is_not_seen():
    "Other fluxes in a fold leave the predictions of that fold as they are."
    some = rows(sites=1)
    fold = breath.folds(some["time"], count=3)
    other = some.assign(flux=some["flux"].where(fold != 1, 50.0), moisture=some["moisture"])
    names = ("mean", "lloyd_taylor_quadratic")
    one, two = (breath_models.compare(t, names, fold=fold, draws=10).rows for t in (some, other))
    for name in names:
        assert np.allclose(one.loc[fold == 1, name], two.loc[fold == 1, name])


def test_own_models_and_mistakes():
    "A function of one's own is scored beside the others; unknown names and one fold are refused in one line."
    some = rows(sites=1)
    found = breath_models.compare(some, {"mean": None, "twice": lambda train, water, seed: lambda r: 2 * r["flux"]},
                                  draws=10)
    assert found.table.loc[("S0", "twice"), "bias"] == pytest.approx(some["flux"].mean())
    for call, words in (((some, ("lloyd_tailor",)), "did you mean"), ((some.drop(columns="uptake"),), "uptake")):
        with pytest.raises(InputError, match=words):
            breath_models.compare(*call)
    with pytest.raises(InputError, match="one fold"):
        breath_models.compare(some, ("mean",), fold=np.zeros(len(some), int))


def test_error_of_a_response():
    "The error is relative to the mean of the truth, over what both know; the band's coverage is a share."
    grid = np.linspace(0, 1, 11)
    truth = grid + 1
    told = breath_responses.response_error(np.where(grid > 0.55, np.nan, truth * 1.1), truth * 0.95, truth * 1.2, truth)
    assert told["error"] == pytest.approx(0.1) and told["coverage"] == 1 and told["share"] == pytest.approx(6 / 11)


def test_curves_are_scaled_and_held_against_truth():
    "Learned curves come on the range of the data with the true ones scaled alike; g = 1 at 10 °C, a largest f of 1."
    some = rows(days=500)
    water = breath.soils(some)
    found = breath_models.network(some, water, members=3, epochs=200)
    s = np.linspace(0.01, 1.2, 300)
    theta = s * water["saturated"].mean()
    truth = xr.Dataset({"f": (("site", "s"), 3 * (1 - 2.5 * (theta / 0.45 - 0.55) ** 2)[None]),
                        "g": (("site", "temperature"), responses.q10(np.arange(-5, 31), q10=2.4, reference=0.0)[None])},
                       {"site": ["S0"], "s": s, "temperature": np.arange(-5.0, 31.0)})
    told = breath_responses.curves(found, some, water, truth=truth.sel(site="S0"))
    assert told["true_f"].max() == pytest.approx(1) and np.nanmax(told["f"][0]) == pytest.approx(1, abs=0.1)
    for name in ("f", "g"):
        assert breath_responses.response_error(*told[name], told[f"true_{name}"])["error"] < 0.12
    gone = truth.assign(f=truth["f"] * np.nan, g=truth["g"] * np.nan).sel(site="S0")
    assert breath_responses.curves(found, some, water, truth=gone)["true_f"] is None


def test_what_bends_f_is_told_way_by_way():
    "With the true θ_sat and θ the error of f is the least; a region that is no product is left out; no truth, no rows."
    some = rows(sites=1, plants=True, noise=0.1)
    some = some.assign(moisture=some["moisture"] * 1.15)  # a sensor that reads too wet
    s = np.linspace(0.01, 1.2, 300)
    f = 1 - 2.5 * (s - 0.55) ** 2
    truth = xr.Dataset({"f": (("site", "s"), f[None]), "saturated": ("site", [0.45]),
                        "g": (("site", "temperature"), responses.q10(np.arange(-5, 31), q10=2.4, reference=10.0)[None]),
                        "theta": (("site", "time"), (some["moisture"] / 1.15).to_numpy()[None])},
                       {"site": ["S0"], "s": s, "temperature": np.arange(-5.0, 31.0), "time": some["time"].to_numpy()})
    quick = {"members": 2, "epochs": 150}
    told = breath_responses.put_right(some, breath.soils(some), ["A"], truth=truth, **quick).set_index("way")["error"]
    assert list(told.index) == list(breath_responses.WAYS) and told["true_moisture"] < 0.1
    assert told["true_moisture"] == told.min() and told["no_plants"] > 2 * told["true_moisture"]
    gone = truth.assign(f=truth["f"] * np.nan)
    assert breath_responses.put_right(some, breath.soils(some), ["A"], truth=gone, **quick).empty
    assert breath_responses.put_right(some, breath.soils(some), ["A"], truth=None).empty


# ---- incubations

def jars(q10=2.2, seed=0):
    "A study of three soils at three temperatures and four moistures."
    rng, lines = np.random.default_rng(seed), []
    for soil, t, w, day in ((s, t, w, d) for s in range(3) for t in (5, 15, 25) for w in (0.2, 0.4, 0.6, 0.9)
                            for d in (1, 10, 40, 300)):
        flux = (1 + soil) * q10 ** ((t - 10) / 10) * np.exp(-((w - 0.6) / 0.4) ** 2 - day / 200) * rng.normal(1, 0.03)
        lines.append({"study": "A", "series": f"{soil}-{t}-{w}", "site": f"s{soil}", "treatment": "", "temperature": t,
                      "moisture": w, "moisture_of": "pore space", "time": float(day), "value": flux, "unit": "x",
                      "kind": "rate", "flux": flux, "basis": "soil", "doubtful": False})
    return pd.DataFrame(lines)


def test_jars_give_back_what_was_planted():
    "Q10 and the moisture response of planted jars come back; a study with one temperature is told as lost."
    other = jars()[lambda t: t["temperature"] == 5].assign(study="B")
    both = pd.concat([jars(), other])
    found, points = breath_incubations.temperature(both)
    assert found.index.tolist() == ["A"] and found.attrs["lost"] == {"B": "one temperature"}
    assert found.loc["A", "q10"] == pytest.approx(2.2, rel=0.03)
    assert found.loc["A", "low"] < 2.2 * 1.02 and found.loc["A", "high"] > 2.2 * 0.98
    assert points.set_index("temperature")["relative"].to_dict() == pytest.approx(
        {t: 2.2 ** ((t - 10) / 10) for t in (5, 15, 25)}, rel=0.05)
    wet = breath_incubations.moisture(both).set_index(["study", "moisture"])["relative"]
    assert wet["A"][0.6] == 1 and wet["A"][0.2] == pytest.approx(np.exp(-1), rel=0.1)
    with pytest.raises(InputError, match="none of 1 studies"):
        breath_incubations.temperature(other)


# ---- pictures

def test_pictures_have_what_they_show():
    "Each picture is drawn of small tables: panels for the models, rows for the regions, an axis for the studies."
    import matplotlib.pyplot as plt

    some = rows(sites=2)
    found = breath_models.compare(some, ("mean", "lloyd_taylor"), draws=20)
    fig = draw.observed_predicted(found, ["mean", "lloyd_taylor"], columns=2)
    assert [ax.get_title() for ax in fig.axes[:2]] == ["mean", "Lloyd-Taylor"]
    s, t = np.linspace(0.2, 0.9, 20), np.linspace(0, 25, 20)
    one = {"s": s, "f": (s, s - 0.1, s + 0.1), "temperature": t, "g": (t / 10, t / 11, t / 9), "wilting": 0.3,
           "true_f": s, "seen_s": s, "seen_t": t}
    assert len(draw.response_rows({"a": one, "b": one}).axes) == 4
    fig, axes = plt.subplots(2, 2)
    draw.site_scores(axes[0, 0], found, ["mean", "lloyd_taylor"])
    told, _ = breath_incubations.temperature(jars())
    draw.q10_studies(axes[0, 1], told)
    draw.wet_studies(axes[1, 0], breath_incubations.moisture(jars()))
    draw.surface(axes[1, 1], s, t, np.outer(t, s), seen=(s, t))
    assert len(axes[0, 0].get_xticklabels()) == 2
    fig.canvas.draw()
    plt.close("all")


# ---- real files

@pytest.mark.skipif(not (ROOT / "soil_respiration").is_dir(), reason="PHENOLIB_ARCHIVE names no archive with chambers")
def test_real_chambers():
    "Six sites are read; two have the flux alone; a negative moisture is told; a model with moisture beats the mean."
    made = {p.name.split(".")[0]: breath.chamber(field_sensors.read(p), site=p.name.split(".")[0])
            for p in sorted((ROOT / "soil_respiration").glob("d*.csv.gz"))}
    assert len(made) == 6 and sum(r.table["moisture"].notna().any() for r in made.values()) == 4
    assert any("negative" in r for r in made["d20200212_KAYE_UNE"].remarks)
    some = breath.thinned(made["d20200120_CHANG"].table, 1500)
    found = breath_models.compare(some, ("mean", "lloyd_taylor", "lloyd_taylor_quadratic"), draws=50)
    assert found.winners["winner"].iloc[0] == "lloyd_taylor_quadratic"
    assert found.table.loc[("d20200120_CHANG", "lloyd_taylor_quadratic"), "r2"] > 0.6


@pytest.mark.skipif(not (ROOT / "flux").is_dir(), reason="PHENOLIB_ARCHIVE names no archive with a flux tower")
def test_real_towers():
    "Tharandt gives its nights without the filled ones; a winter week at US-CRT has too few nights for a threshold."
    found = breath.tower(flux_tower.read(ROOT / "flux" / "Example_DETha98.txt"), site="DE-Tha", threshold=0.3)
    assert len(found.table) > 3500 and any("461 of 11263" in r for r in found.remarks)
    week = flux_tower.read(ROOT / "flux" / "AMF_US-CRT_BASE_HH_2-5.csv")
    with pytest.raises(InputError, match="no threshold of u"):
        breath.tower(week, site="US-CRT", draws=2)


@pytest.mark.skipif(not (ROOT / "soil_incubations").is_dir(), reason="PHENOLIB_ARCHIVE names no archive with jars")
def test_real_incubations():
    "Of 34 studies 22 have temperatures to compare; most Q10 lie between 1 and 3.5; three have a moisture response."
    table = incubations.read(ROOT / "soil_incubations")
    found, _ = breath_incubations.temperature(table, draws=50)
    assert found.attrs["asked"] == 34 and len(found) == 22 and found["q10"].median() == pytest.approx(1.9, abs=0.2)
    assert (found["q10"] > 1).all() and (found["q10"] < 3.5).sum() == 20
    assert breath_incubations.moisture(table, draws=50)["study"].nunique() == 3
