"""Soil carbon from moisture dynamics: planted links are found, what is not there is not, and the circle is shown."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import carbon_routes as routes
from phenolib import moisture_events, neutrons
from phenolib import soil_carbon as carbon
from phenolib.errors import InputError


def planted(n=54, *, tied=True, link=0.0, regions=5, seed=0):
    "Sites whose dynamics follow rain, clay, and by ``link`` carbon itself; carbon follows cold and clay, or nothing."
    rng = np.random.default_rng(seed)
    region = np.arange(n) % regions
    cold = 0.7 * rng.normal(0, 1, regions)[region] + 0.7 * rng.normal(0, 1, n)
    wet, clay, own = 0.5 * cold + 0.8 * rng.normal(0, 1, n), rng.normal(0, 1, n), rng.normal(0, 1, n)
    ln = 0.7 * own + (0.6 * cold + 0.4 * clay if tied else 0)
    moves = {f: 0.5 * wet + 0.4 * clay + link * own + rng.normal(0, 1, n) for f in ("tau", "memory", "range", "winter")}
    names = [f"s{k:02d}" for k in range(n)]
    sites = pd.DataFrame({
        "site": names, "cluster": region, "mean_rain": np.exp(6.5 + 0.2 * wet), "mean_temperature": 9 - cold,
        "elevation": 100 + 20 * cold + 30 * rng.normal(0, 1, n), "sand": 0.4 - 0.05 * clay, "clay": 0.2 + 0.04 * clay,
        "soil_organic_carbon": np.exp(-3.5 + 0.6 * ln)})
    dynamics = pd.DataFrame({k: 0.4 + 0.03 * v if k == "winter" else np.exp(0.3 * v) for k, v in moves.items()}, names)
    return carbon.rows(sites, dynamics)


def test_a_planted_link_is_found():
    "Dynamics that know carbon gain over climate and texture, at sites and at regions left out, with a small p."
    rows = planted(link=0.7)
    base, every = (carbon.predict(rows, name) for name in ("texture", "all"))
    gain = carbon.scores(rows, every, against=base)["gain"]
    assert gain["value"] > 0.08 and gain["interval"][0] > 0
    for hold in ("site", "region"):
        assert carbon.permutation(rows, hold=hold, permutations=199).p <= 0.01


@pytest.mark.parametrize("tied", [True, False])
def test_without_a_link_p_is_uniform(tied):
    "Of 120 landscapes without a link some 5 % have p below 0.05 and half below 0.5, whether or not carbon is climate."
    p = [carbon.permutation(planted(tied=tied, seed=k), permutations=99, seed=k).p for k in range(120)]
    assert np.mean(np.array(p) <= 0.05) <= 0.11 and 0.36 < np.mean(np.array(p) <= 0.5) < 0.64


def test_dynamics_alone_know_climate():
    "Where carbon is climate, dynamics tell carbon without a link of their own, and gain nothing over climate."
    told = [carbon.permutation(planted(n=120, seed=k), "mean", "dynamics", within=False, permutations=99).p
            for k in range(5)]
    more = [carbon.permutation(planted(n=120, seed=k), permutations=99).p for k in range(5)]
    free = [carbon.permutation(planted(n=120, tied=False, seed=k), "mean", "dynamics", within=False,
                               permutations=99).p for k in range(5)]
    assert np.median(told) <= 0.02 < 0.1 < np.median(more) and np.median(free) > 0.1


def test_left_out_in_closed_form_is_left_out():
    "Errors of one decomposition are those of ridge fitted anew without the site, or the region."
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 4)), rng.normal(size=20)
    for groups in (np.arange(20), np.arange(20) % 4):
        found = carbon._left_out(X[None], y, groups)[0]
        for g in np.unique(groups):
            test = groups == g
            mean = X[~test].mean(0)
            for k in (0, 6, 12):
                said = carbon._ridge(X[~test] - mean, y[~test], X[test] - mean, carbon.PENALTIES[k])
                assert np.allclose(found[k, test], y[test] - said)


def test_a_site_left_out_does_not_tell_its_own():
    "Another carbon of a site, or of its region, leaves its own prediction as it is."
    rows = planted(link=0.5, n=24, regions=3)
    other = rows.target.copy()
    other[7] += 5
    changed = carbon.Rows(rows.values, other, rows.groups, ())
    for model, hold in (("ridge", "site"), ("ridge", "region"), ("gp", "region")):
        a, b = (carbon.predict(r, "all", hold=hold, model=model) for r in (rows, changed))
        assert a[7] == pytest.approx(b[7], abs=1e-9) and not np.allclose(a, b)


def test_the_process_is_as_good_as_ridge_on_a_line():
    "A Gaussian process with a linear part comes within a fifth of the error of ridge."
    rows = planted(link=0.7, n=30)
    one, other = (carbon.scores(rows, carbon.predict(rows, "all", model=m))["rmse"]["value"] for m in ("gp", "ridge"))
    assert one < 1.2 * other


def test_power_grows_with_sites_and_nothing_is_found_where_nothing_is():
    "A link is found more often with 40 sites than with 15; after one permutation in about 5 %."
    table = carbon.power(planted(link=0.6), sizes=(15, 40, 400), repeats=60, permutations=59)
    assert table["sites"].tolist() == [15, 40] and table["power"].iloc[1] > table["power"].iloc[0] + 0.2
    assert (table["false"] < 0.15).all() and (table["power_low"] <= table["power"]).all()


def test_all_sets_are_compared_at_the_same_sites():
    "The table has a row for each set; the mean of the others is worth nothing; the same seed, the same table."
    rows = planted(link=0.5)
    table, found = carbon.compare(rows)
    assert (table["sites"] == 54).all() and (table.xs("mean", level="set")["r2"] < 0).all()
    assert table.loc[("site", "ridge", "all"), "r2"] > table.loc[("site", "ridge", "texture"), "r2"]
    assert set(found) == set(table.index) and table.equals(carbon.compare(rows)[0])


def test_land_cover_goes_in_as_classes():
    "Common classes are columns of the set with cover and of no other; a link that is cover's is not the dynamics'."
    rng = np.random.default_rng(0)
    heath = rng.random(80) < 0.4
    names = [f"s{k}" for k in range(80)]
    sites = pd.DataFrame({"site": names, "land_cover": np.where(heath, "heath", "arable"), "clay": rng.random(80),
                          "soil_organic_carbon": np.exp(-4 + heath + rng.normal(0, 0.3, 80))})
    sites.loc[0, "land_cover"] = "fen"
    moves = pd.DataFrame({"tau": np.exp(2 + heath + rng.normal(0, 0.5, 80))}, names)
    rows = carbon.rows(sites, moves)
    assert rows.columns("cover") == ["clay", "cover arable", "cover heath"] and rows.columns("texture") == ["clay"]
    assert carbon.permutation(rows, "texture", within=False, permutations=99).p <= 0.02
    assert carbon.permutation(rows, "cover", within=False, permutations=99).p > 0.05


def test_a_column_that_is_not_there_is_told():
    "Half a column is left out with a remark, a site without another column too; too few sites are refused."
    rows = planted()
    sites = pd.DataFrame({"site": rows.values.index, "soil_organic_carbon": np.exp(rows.target),
                          "clay": np.exp(rows.values["clay"])})
    moves = pd.DataFrame({"tau": 5.0 + np.arange(54), "gain": np.nan, "winter": 0.3 + 0.001 * np.arange(54)},
                         rows.values.index)
    moves.iloc[0, 0] = np.nan
    made = carbon.rows(sites, moves)
    assert len(made.values) == 53 and "gain" not in made.values and "gain" in made.remarks[0]
    assert "1 of 54 sites" in made.remarks[1]
    with pytest.raises(InputError, match="none of its columns is there"):
        made.columns("climate")
    with pytest.raises(InputError, match="10 or more"):
        carbon.rows(sites[:8], moves)
    with pytest.raises(InputError, match="divide per cent by 100"):
        carbon.rows(sites.assign(soil_organic_carbon=3.0), moves)
    with pytest.raises(InputError, match="did you mean 'climate'"):
        carbon.predict(rows, "climat")


# ---- a bucket whose soil holds more water the more carbon it has, and neutrons over it

def landscape(n=30, *, works=True, seed=0, years=3):
    "Sites, their true moisture, counts, and moisture as computed with the metadata; with or without an effect."
    rng = np.random.default_rng(seed)
    time = pd.date_range("2018-01-01", periods=365 * years)
    c = np.exp(rng.normal(-3.3, 0.7, n)).clip(0.005, 0.35)
    stretch = 1 + (3 * c if works else rng.permutation(3 * c))
    rain = np.where(rng.random((n, time.size)) < 0.25, rng.gamma(0.9, 7, (n, time.size)), 0)
    wet = np.full((n, time.size), 0.25)
    season = 1 + 0.7 * np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 190) / 365.25)
    for k in range(1, time.size):
        loss = (wet[:, k - 1] - 0.1) * season[k] / (14 * stretch)
        wet[:, k] = np.minimum(wet[:, k - 1] - loss + 0.002 * rain[:, k], 0.35 * stretch)
    names = [f"s{k:02d}" for k in range(n)]
    density = np.full(n, 1.2)
    sites = pd.DataFrame({"site": names, "cluster": np.arange(n) % 4, "soil_organic_carbon": c, "lattice_water": 0.01,
                          "bulk_density": density, "clay": rng.uniform(0.1, 0.4, n), "sand": 0.3,
                          "mean_temperature": rng.normal(9, 1, n), "mean_rain": rng.uniform(600, 1500, n),
                          "elevation": rng.uniform(0, 300, n)})
    like = xr.DataArray(wet, {"site": names, "time": time}, ("site", "time"))
    bound = neutrons.bound_water(0.01, c)[:, None]
    counts = neutrons.desilets_counts(wet, 1500.0, bulk_density=density[:, None], bound=bound)
    counts = like.copy(data=rng.poisson(24 * counts) / 24)
    theta = neutrons.desilets(counts, 1500.0, bulk_density=1.2, bound=xr.DataArray(bound[:, 0], {"site": names},
                                                                                   ("site",)))
    return sites, like, counts, theta, like.copy(data=rain)


@pytest.mark.parametrize("works", [True, False])
def test_carbon_that_slows_drying_is_told_from_moisture_alone(works):
    "Where carbon holds water, true moisture tells it beyond climate and texture; where it does not, nothing does."
    p = []
    for seed in range(3):
        sites, true, _, _, rain = landscape(works=works, n=40, seed=seed)
        rows = carbon.rows(sites, moisture_events.features(true, rain, draws=0))
        p.append(carbon.permutation(rows, permutations=199, within=False).p)
    assert max(p) <= 0.02 if works else min(p) > 0.02


def test_counts_are_not_blind_to_carbon():
    "Where carbon does nothing to moisture, sizes in counts still tell it, for its hydrogen is in them; times hardly."
    sites, _, counts, _, rain = landscape(works=False, n=40)
    rows = carbon.rows(sites, moisture_events.features(moisture_events.wetness(counts), rain, draws=0))
    every, times = (carbon.permutation(rows, added=a, permutations=199, within=False) for a in ("dynamics", "times"))
    assert every.p <= 0.01 and times.value < every.value / 4


def test_the_calibration_is_told_from_moisture_and_counts():
    "N₀ of every site comes out, the same on all days; with another carbon it does not stay the same."
    sites, _, counts, theta, _ = landscape(n=12, years=1)
    known = routes.calibration(theta, counts, sites)
    assert np.allclose(known["n0"], 1500, rtol=1e-6) and (known["spread"] < 1e-6).all()
    other = routes.calibration(theta, counts, sites.assign(soil_organic_carbon=0.3))
    assert (other["spread"] > 1e-3).all()


def test_the_own_carbon_gives_the_own_moisture():
    "Computed again with the same metadata nothing changes; another carbon keeps the level and moves the range."
    sites, _, counts, theta, _ = landscape(n=12, years=1)
    same = routes.with_carbon(theta, counts, sites, sites["soil_organic_carbon"])
    assert np.allclose(same, theta, atol=1e-9)
    more = routes.with_carbon(theta, counts, sites, np.full(12, 0.35))
    first = slice(0, 30)
    assert float(abs(more[:, first].mean("time") - theta[:, first].mean("time")).max()) < 0.01
    assert (more.std("time") > 1.1 * theta.std("time")).all()


def test_moisture_reads_back_a_wrong_carbon():
    "Shuffle the carbon of the metadata where carbon does nothing: what is computed again then tells the shuffled one."
    sites, _, counts, theta, rain = landscape(works=False, n=40, years=2)
    found = routes.shuffled(sites, theta, counts, rain, shuffles=3, changes=("carbon", "kept")).groupby("change").mean()
    assert (found["r2"] > 0.1).all() and (found["before"] < 0.05).all() and (found["follows"] > 0.8).all()
    with pytest.raises(InputError, match="did you mean 'density'"):
        routes.shuffled(sites, theta, counts, rain, changes=("densty",))


def test_routes_are_compared_at_the_same_sites():
    "A site that one route lacks is left out of all; remarks say so."
    sites, true, counts, theta, rain = landscape(n=14, years=1)
    probes = true.where(true["site"] != "s03")
    moves, rows = routes.tables(sites, {"neutrons": theta, "probes": probes}, rain, draws=0)
    assert set(moves) == {"neutrons", "probes"} and len(moves["neutrons"]) == 14
    assert [len(r.values) for r in rows.values()] == [13, 13] and "s03" not in rows["neutrons"].values.index


def test_metadata_without_density_is_refused():
    "One line that names the column, or the site."
    sites, _, counts, theta, _ = landscape(n=12, years=1)
    with pytest.raises(InputError, match="no column 'bulk_density'"):
        routes.calibration(theta, counts, sites.drop(columns="bulk_density"))
    with pytest.raises(InputError, match="site 's00' has no bulk density"):
        routes.calibration(theta, counts, sites.replace({"bulk_density": {1.2: np.nan}}))


def test_questions_are_those_that_can_be_asked():
    "Pairs without columns are left out; each answer is that of the single test."
    rows = planted(link=0.5)
    found = carbon.questions(rows, permutations=19)
    assert ("cover", "dynamics") not in found and ("texture", "times") in found
    assert found["texture", "dynamics"].p == carbon.permutation(rows, permutations=19).p
    table, _ = carbon.compare(rows)
    assert carbon.result(table, "all")["value"] == table.loc[("site", "ridge", "all"), "r2"]


def test_figures_are_drawn_from_what_is_there():
    "All five have something in each panel; without counts the circle says so, without regions points are of sites."
    import matplotlib.pyplot as plt

    from phenolib.plots import soil_carbon as draw

    sites, true, counts, theta, rain = landscape(n=14, years=1)
    series = {"neutrons": theta, "counts": moisture_events.wetness(counts), "probes": true}
    moves, rows = routes.tables(sites, series, rain, draws=0)
    one = rows["probes"]
    tables = {"probes": carbon.compare(one, holds=("site",), draws=10)[0].droplevel("model")}
    table = carbon.power(one, sizes=(10, 14), repeats=5, permutations=9, within=False)
    figures = [draw.dry_downs(series, ["s00", "s01"], 2018, rain=rain), draw.sets(tables),
               draw.against_carbon(rows, moves, sites.set_index("site")["mean_temperature"]),
               draw.against_carbon(rows, moves), draw.circle(pd.DataFrame(columns=["change"])),
               draw.circle(pd.DataFrame({"change": ["kept"], "before": 0.0, "r2": 0.1, "follows": 0.8}), [1.1], [2.0]),
               draw.power(carbon.permutation(one, permutations=19), {"probes": (table, "camera")})]
    assert [len(f.axes) for f in figures] == [2, 1, 13, 12, 2, 2, 2]
    assert all(ax.has_data() or ax.texts for f in figures for ax in f.axes)
    plt.close("all")
