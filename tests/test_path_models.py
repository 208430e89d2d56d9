"""Path models against lavaan 0.6-14, against planted effects, and against each other."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from phenolib import path_models
from phenolib.errors import InputError
from phenolib.path_models import moments, text
from phenolib.path_models import rows as tables
from phenolib.plots.paths import path_diagram

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
STATISTICS = Path(ROOT or ".") / "statistics"
real = pytest.mark.skipif(not ROOT or not (STATISTICS / "reference").is_dir(),
                          reason="PHENOLIB_ARCHIVE names no archive with reference statistics")
DEMOCRACY = """
ind60 =~ x1 + x2 + x3
dem60 =~ y1 + y2 + y3 + y4
dem65 =~ y5 + y6 + y7 + y8
dem60 ~ ind60
dem65 ~ ind60 + dem60
y1 ~~ y5
y2 ~~ y4 + y6
y3 ~~ y7
y4 ~~ y8
y6 ~~ y8
"""
HOLZINGER = "visual =~ x1 + x2 + x3; textual =~ x4 + x5 + x6; speed =~ x7 + x8 + x9"
STUDY = """
sm ~ soil_t + deep_sm
rld ~ crop + deep_sm + soil_t
rp ~ sm + soil_t + rld
lp ~ sm + crop
lp ~~ rp
"""
WITHIN = "sm ~ soil_t + deep_sm; rld ~ deep_sm + soil_t; rp ~ sm + soil_t + rld; lp ~ sm; lp ~~ rp"
FIT = {"chisq": "chi2", "pvalue": "p", "logl": "loglik", "npar": "free"}


@pytest.fixture(scope="module")
def study():
    "Six rows in each of 42 plot-years, with effects along the graph of the study."
    rng = np.random.default_rng(3)
    clusters, rows = 42, 252
    cluster = np.repeat(np.arange(clusters), 6)

    def between(sd):
        return sd * rng.normal(size=clusters)[cluster]

    warm = between(0.6) + 0.8 * rng.normal(size=rows)
    deep = between(0.5) + 0.85 * rng.normal(size=rows)
    crop = (cluster % 2).astype(float)
    sm = 0.283 * deep - 0.174 * warm + between(0.4) + 0.85 * rng.normal(size=rows)
    rld = 0.47 * (crop - 0.5) * 2 - 0.3 * deep - 0.16 * warm + between(0.3) + 0.75 * rng.normal(size=rows)
    shared = between(0.4) + 0.7 * rng.normal(size=rows)
    rp = 0.53 * sm + 0.13 * warm + 0.3 * rld + shared
    lp = 0.46 * sm + 0.59 * (crop - 0.5) * 2 + 0.4 * shared + 0.6 * rng.normal(size=rows)
    table = pd.DataFrame({"soil_t": warm * 3 + 12, "deep_sm": deep * 0.05 + 0.3, "sm": sm * 0.04 + 0.25, "crop": crop,
                          "rld": rld * 0.5 + 2, "rp": rp * 10 + 150, "lp": lp * 9 + 145, "plot_year": cluster})
    gaps = table.copy()
    for name in ("soil_t", "sm", "rld", "lp"):
        gaps.loc[rng.random(rows) < 0.1, name] = np.nan
    return SimpleNamespace(whole=table, gaps=gaps)


@pytest.fixture(scope="module")
def fitted(study):
    "The model of the study, with clusters."
    return path_models.fit(STUDY, study.whole, cluster="plot_year")


def planted(n, seed=0):
    "Standardised variables of the graph of METHODS whose totals are known."
    rng = np.random.default_rng(seed)
    t, d, c = rng.normal(size=(3, n))
    sm = -0.174 * t + 0.283 * d + np.sqrt(0.89) * rng.normal(size=n)
    rld = 0.47 * c - 0.30 * d - 0.16 * t + np.sqrt(0.66) * rng.normal(size=n)
    rp = 0.53 * sm + 0.13 * t + 0.30 * rld + np.sqrt(0.67) * rng.normal(size=n)
    lp = 0.46 * sm + 0.59 * c + np.sqrt(0.44) * rng.normal(size=n)
    return pd.DataFrame({"soil_t": t, "deep_sm": d, "crop": c, "sm": sm, "rld": rld, "rp": rp, "lp": lp})


def row(table, lval, op, rval, group=None):
    "The one row of a table of paths."
    found = table[(table["lval"] == lval) & (table["op"] == op) & (table["rval"] == rval)]
    found = found if group is None else found[found["group"] == group]
    assert len(found) == 1
    return found.iloc[0]


def against(result, reference, *, estimate, se, standardized=None):
    "The largest deviations from a table of lavaan are within bounds."
    reference = reference.fillna({"rhs": ""})
    assert not result.paths.drop(columns=["z", "p"]).isna().any().any()
    count = 0
    for known in reference.to_dict("records"):
        pair = {known["lhs"], known["rhs"]}
        ours = result.paths[[r.op == known["op"] and {r.lval, r.rval} == pair for r in result.paths.itertuples()]]
        if known["op"] == "~1" and ours.empty:
            continue  # lavaan lists means of latent variables, which are 0
        if known["se"] > 0:
            assert ours["estimate"].item() == pytest.approx(known["est"], rel=estimate)
            assert ours["se"].item() == pytest.approx(known["se"], rel=se)
            count += 1
        if standardized and known["op"] != "~1":
            assert ours["standardized"].item() == pytest.approx(known["std.all"], abs=standardized)
    return count


@real
@pytest.mark.parametrize("model, table, name, count", [
    (DEMOCRACY, "PoliticalDemocracy", "politicaldemocracy", 31),
    (HOLZINGER, "HolzingerSwineford1939", "holzinger", 21)])
def test_lavaan_is_met(model, table, name, count):
    "Estimates, errors, standardised estimates and every measure of fit are those of lavaan."
    result = path_models.fit(model, pd.read_csv(STATISTICS / f"{table}.csv"))
    found = against(result, pd.read_csv(STATISTICS / f"reference/lavaan_{name}.csv"), estimate=1e-4, se=1e-3,
                    standardized=1e-4)
    assert found == count
    known = pd.read_csv(STATISTICS / f"reference/lavaan_{name}_fit.csv").set_index("measure")["value"]
    for measure in known.index.drop("fmin", errors="ignore"):
        assert result.fit[FIT.get(measure, measure)] == pytest.approx(known[measure], abs=1e-6)


@real
def test_missing_values_are_used_as_lavaan_uses_them():
    "Full information maximum likelihood gives lavaan's estimates, errors and means."
    table = pd.read_csv(STATISTICS / "reference/pd_missing.csv")
    result = path_models.fit(DEMOCRACY, table, missing="fiml")
    known = pd.read_csv(STATISTICS / "reference/lavaan_pd_missing_fiml.csv")
    assert against(result, known, estimate=1e-4, se=1e-3) == 42
    with pytest.raises(InputError, match="'y4' has .* missing='drop'"):
        path_models.fit(DEMOCRACY, table)


@real
def test_groups_are_held_equal_as_published():
    "Two schools: χ² apart and with equal loadings as published (Rosseel 2012), 115.851 and 124.044; p 0.224."
    table = pd.read_csv(STATISTICS / "HolzingerSwineford1939.csv")
    apart = path_models.fit(HOLZINGER, table, groups="school")
    equal = path_models.fit(HOLZINGER, table, groups="school", equal="=~")
    assert (apart.fit["chi2"], apart.fit["df"]) == (pytest.approx(115.851, abs=1e-3), 48)
    assert (equal.fit["chi2"], equal.fit["df"]) == (pytest.approx(124.044, abs=1e-3), 54)
    test = apart.equality.set_index("path")
    assert test.loc["all", "chi2"] == pytest.approx(8.192, abs=1e-3)
    assert test.loc["all", "p"] == pytest.approx(0.224, abs=1e-3)
    assert len(test) == 7 and path_models.compare(equal, apart)["df"] == 6


@real
def test_another_library_finds_the_same():
    "semopy's estimates lie within a thousandth of a standard error, its standard errors too."
    result = path_models.fit(DEMOCRACY, pd.read_csv(STATISTICS / "PoliticalDemocracy.csv"))
    table = path_models.by_semopy(result)
    assert len(table) == 31 and table["difference"].abs().max() < 1e-3
    assert np.allclose(table["semopy_se"], table["se"], rtol=1e-3)


def test_observed_paths_are_those_of_lavaan(study):
    "Exogenous columns as given: χ², interval of the RMSEA, criteria, standardised errors (lavaan 0.6-14, this table)."
    result = path_models.fit(STUDY, study.whole)
    known = {"free": 15, "chi2": 11.755744, "df": 7, "cfi": 0.989432, "tli": 0.972825, "loglik": -1297.747683,
             "aic": 2625.495367, "bic": 2678.436803, "rmsea": 0.051923, "rmsea_low": 0, "rmsea_high": 0.101977,
             "srmr": 0.063386, "chi2_baseline": 468.011051}
    for name, value in known.items():
        assert result.fit[name] == pytest.approx(value, abs=1e-5), name
    path = row(result.paths, "rp", "~", "sm")
    assert path["estimate"] == pytest.approx(141.521419, rel=1e-5)
    assert path["se"] == pytest.approx(11.393456, rel=1e-5)
    assert path["standardized"] == pytest.approx(0.621920, abs=1e-5)
    assert path["std_se"] == pytest.approx(0.040661, abs=1e-5)
    assert result.r2.set_index("variable")["r2"].round(3).to_dict() == {"sm": 0.094, "rld": 0.327, "rp": 0.400,
                                                                        "lp": 0.541}
    assert result.residual_correlations.loc["rp", "crop"] == pytest.approx(-0.176, abs=1e-3)


def test_routes_and_sums_are_those_of_lavaan(study):
    "An indirect effect along one route and along two, with standard errors of the delta method (lavaan's ':=')."
    indirect = path_models.fit(STUDY, study.whole).indirect
    chosen = indirect[(indirect["source"] == "deep_sm") & (indirect["target"] == "rp")].set_index("kind")
    assert chosen["route"].tolist() == ["deep_sm -> sm -> rp", "deep_sm -> rld -> rp", "", ""]
    one, both = chosen[chosen["route"] == "deep_sm -> sm -> rp"].iloc[0], chosen.loc["sum"]
    assert (one["estimate"], one["se"]) == (pytest.approx(22.772, abs=1e-3), pytest.approx(7.268, abs=1e-3))
    assert (one["standardized"], one["std_se"]) == (pytest.approx(0.122, abs=1e-3), pytest.approx(0.038, abs=1e-3))
    assert (both["estimate"], both["se"]) == (pytest.approx(13.479, abs=1e-3), pytest.approx(7.814, abs=1e-3))
    assert chosen.loc["total", "estimate"] == pytest.approx(both["estimate"])
    assert one["sobel_se"] == pytest.approx(one["se"], rel=0.02)  # the two paths are independent here


def test_clusters_widen_errors_as_in_lavaan(fitted):
    "Sandwich errors of plot-years are lavaan's; the scaled χ² is there beside the plain one."
    assert row(fitted.paths, "rp", "~", "sm")["se"] == pytest.approx(10.651942, rel=1e-5)
    assert row(fitted.paths, "lp", "~", "crop")["se"] == pytest.approx(0.837238, rel=1e-5)
    assert row(fitted.paths, "lp", "~", "crop")["std_se"] == pytest.approx(0.031793, rel=1e-4)
    assert fitted.fit["chi2_scaled"] == pytest.approx(fitted.fit["chi2"] / fitted.fit["scaling"])
    assert fitted.fit["scaling"] > 1.2


def test_repeated_rows_do_not_count_twice(study):
    "Each row four times, as a cluster: errors and scaled χ² are those of the rows once."
    once = study.whole.assign(row=range(len(study.whole)))
    often = pd.concat([once] * 4, ignore_index=True)
    a, b = (path_models.fit(STUDY, table, cluster="row") for table in (once, often))
    assert np.allclose(a.paths["se"], b.paths["se"], rtol=1e-6)
    assert a.fit["chi2_scaled"] == pytest.approx(b.fit["chi2_scaled"], rel=1e-6)
    assert b.fit["chi2"] == pytest.approx(4 * a.fit["chi2"], rel=1e-6)


def test_columns_with_gaps(study):
    "Exogenous gaps too: χ², CFI and a path as of lavaan with 'fiml'; leaving rows out says how many."
    result = path_models.fit(STUDY, study.gaps, missing="fiml")
    known = {"free": 28, "chi2": 10.644657, "cfi": 0.990304, "tli": 0.975067, "srmr": 0.051898, "bic": 3335.610043}
    for name, value in known.items():
        assert result.fit[name] == pytest.approx(value, abs=1e-5), name
    path = row(result.paths, "lp", "~", "sm")
    assert (path["estimate"], path["se"]) == (pytest.approx(101.977493, rel=1e-5), pytest.approx(11.070643, rel=1e-4))
    left = path_models.fit(STUDY, study.gaps, missing="drop")
    assert left.dropped == study.gaps.isna().any(axis=1).sum() == 252 - left.n
    assert any(f"{left.dropped} rows" in note for note in left.notes)


def test_units_do_not_matter(study):
    "Columns in units a billion times apart give the same fit and the same standardised paths."
    other = study.whole.assign(rp=study.whole["rp"] * 1e8, sm=study.whole["sm"] * 1e-8)
    a, b = (path_models.fit(STUDY, table) for table in (study.whole, other))
    assert b.fit["chi2"] == pytest.approx(a.fit["chi2"], abs=1e-6)
    assert np.allclose(a.paths["standardized"], b.paths["standardized"], atol=1e-7)
    z = path_models.fit(STUDY, study.whole, standardize=True)
    assert np.allclose(z.paths["standardized"], a.paths["standardized"], atol=1e-7)


def test_groups_of_columns(study):
    "Both crops apart, and with equal paths: χ² of lavaan's group.equal = 'regressions', 11.925299 on 18."
    apart = path_models.fit(WITHIN, study.whole, groups="crop")
    equal = path_models.fit(WITHIN, study.whole, groups="crop", equal="~")
    assert (apart.fit["chi2"], apart.fit["df"]) == (pytest.approx(6.986569, abs=1e-5), 10)
    assert (equal.fit["chi2"], equal.fit["df"]) == (pytest.approx(11.925299, abs=1e-5), 18)
    assert set(apart.paths["group"]) == {"0", "1"} and (apart.equality["df"] >= 1).all()
    same = [row(equal.paths, "rp", "~", "sm", g)["estimate"] for g in ("0", "1")]
    assert same[0] == pytest.approx(same[1]) and same[0] == pytest.approx(139.225343, rel=1e-5)


def test_a_covariance_with_a_mediator_and_equal_labels(study):
    "A residual that covaries with its cause's, and two paths of one label: χ² 149.769746 on 6 in lavaan."
    model = "sm ~ soil_t + deep_sm\nrp ~ a*sm + a*soil_t\nlp ~ sm + crop\nlp ~~ sm\nlp ~~ 0*rp"
    result = path_models.fit(model, study.whole)
    assert (result.fit["chi2"], result.fit["df"]) == (pytest.approx(149.769746, abs=1e-5), 6)
    assert row(result.paths, "rp", "~", "sm")["estimate"] == row(result.paths, "rp", "~", "soil_t")["estimate"]
    assert row(result.paths, "lp", "~", "sm")["std_se"] == pytest.approx(0.140978, abs=1e-5)


def test_a_loop_has_totals_and_no_routes(study):
    "A way back along the arrows is estimated (lavaan: χ² 34.002887 on 4); routes through it are not told one by one."
    result = path_models.fit("sm ~ deep_sm + lp\nlp ~ crop + sm\nrp ~ sm", study.whole)
    assert result.fit["chi2"] == pytest.approx(34.002887, abs=1e-5)
    assert not (result.indirect["kind"] == "indirect").any() and any("lead back" in note for note in result.notes)
    table = result.indirect.set_index(["source", "target", "kind"])["estimate"]
    a, b, c = (table[s, t, "direct"] for s, t in (("sm", "lp"), ("lp", "sm"), ("crop", "lp")))
    assert table["crop", "rp", "total"] == pytest.approx(c * b * table["sm", "rp", "direct"] / (1 - a * b))


def test_planted_totals_are_found():
    "Direct and indirect effects of the graph of the study lie in their intervals; the total of warmth on roots is nil."
    result = path_models.fit(STUDY, planted(4000), level=0.999)
    table = result.indirect.set_index(["source", "target", "kind"])
    truth = {("deep_sm", "lp", "sum"): 0.13, ("soil_t", "lp", "sum"): -0.08, ("deep_sm", "rp", "sum"): 0.06,
             ("soil_t", "rp", "sum"): -0.14, ("soil_t", "rp", "total"): -0.01, ("crop", "lp", "direct"): 0.59}
    for key, value in truth.items():
        found = table.loc[key]
        assert found["std_low"].item() < value < found["std_high"].item(), key


def test_columns_alone_are_least_squares():
    "Without latent variables and covariances the paths are those of regressions, and every path is one route."
    table = planted(300, seed=2)
    result = path_models.fit(STUDY.replace("lp ~~ rp", ""), table)
    x = np.column_stack([np.ones(300), table[["sm", "soil_t", "rld"]]])
    slopes = np.linalg.lstsq(x, table["rp"], rcond=None)[0][1:]
    assert np.allclose([row(result.paths, "rp", "~", n)["estimate"] for n in ("sm", "soil_t", "rld")], slopes)
    direct = result.indirect[result.indirect["kind"] == "direct"]
    assert len(direct) == (result.paths["op"] == "~").sum()


def test_both_ways_to_refit_agree():
    "Draws fitted by least squares and by iteration have the same estimates."
    table = planted(200, seed=1)
    result = path_models.fit(STUDY.replace("lp ~~ rp", ""), table)
    weights = np.random.default_rng(0).multinomial(200, np.full(200, 1 / 200), size=5).astype(float)
    blocks = [piece.weighed(weights) for piece in tables.pieces(result.rows, np.arange(200))]
    start = np.broadcast_to(result.theta, (5, result.theta.size))
    found, ended, _ = moments.maximise(result.system, start, blocks)
    assert ended.all() and np.allclose(found, moments.least_squares(result.system, blocks), atol=1e-6)


def test_bootstrap_repeats_and_covers(fitted):
    "The same seed gives the same intervals; they resemble those of the sandwich; none of the draws fails."
    a = path_models.bootstrap(fitted, 400, seed=5)
    b = path_models.bootstrap(fitted, 400, seed=5)
    pd.testing.assert_frame_equal(a.paths, b.paths)
    assert (a.failed, a.units) == (0, 42)
    arrows = (fitted.paths["op"] == "~").to_numpy()
    ratio = (a.paths["std_se"] / fitted.paths["std_se"])[arrows]
    assert ratio.between(0.75, 1.35).all()
    for table in (a.paths, a.indirect):
        assert (table["std_low"] < table["std_high"]).all() and (table["std_bca_low"] < table["std_bca_high"]).all()
        assert not table.isna().any().any()
    assert a.indirect["route"].tolist() == fitted.indirect["route"].tolist()


def test_bca_agrees_with_scipy():
    "One standardised path is a correlation: percentile and BCa intervals are those of scipy.stats.bootstrap."
    rng = np.random.default_rng(4)
    x = rng.exponential(size=60)
    y = 0.8 * x + rng.normal(size=60)
    result = path_models.fit("y ~ x", pd.DataFrame({"x": x, "y": y}))
    ours = path_models.bootstrap(result, 8000, seed=1).paths.iloc[0]
    for method, names in (("percentile", ("std_low", "std_high")), ("BCa", ("std_bca_low", "std_bca_high"))):
        theirs = stats.bootstrap((x, y), lambda a, b: np.corrcoef(a, b)[0, 1], paired=True, vectorized=False,
                                 n_resamples=3000, method=method, rng=np.random.default_rng(2)).confidence_interval
        assert np.allclose(ours[list(names)].astype(float), theirs, atol=0.02), method


def test_clusters_are_drawn_whole(study):
    "Rows repeated four times: drawn as clusters they give the width of the rows once, drawn as rows half of it."
    often = pd.concat([study.whole.assign(row=range(252))] * 4, ignore_index=True)
    result = path_models.fit("lp ~ sm + crop", often)
    widths = [path_models.bootstrap(result, 1000, cluster=c, seed=0).paths["se"].iloc[0] for c in ("row", None)]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.1)


def test_draws_that_fail_are_counted(study):
    "With so few clusters that a column is constant in some draws, these are left out and told; most must be found."
    few = study.whole[study.whole["plot_year"] < 6].assign(rare=lambda t: (t["plot_year"] == 0) + 0.0)
    result = path_models.fit("lp ~ sm + rare", few, cluster="plot_year")
    drawn = path_models.bootstrap(result, 200, seed=0)
    assert 30 < drawn.failed < 100 and any(str(drawn.failed) in note for note in drawn.notes)
    assert any("few" in note for note in drawn.notes)


def test_bootstrap_with_gaps_and_groups(study):
    "Models with missing values, and of several groups, are drawn anew too."
    gaps = path_models.fit("rp ~ sm + soil_t", study.gaps, missing="fiml")
    ratio = path_models.bootstrap(gaps, 150, seed=0).paths["se"] / gaps.paths["se"]
    assert ratio.between(0.6, 1.5).all()
    groups = path_models.fit("rp ~ sm + soil_t", study.whole, groups="crop", cluster="plot_year")
    drawn = path_models.bootstrap(groups, 100, seed=0)
    assert drawn.failed == 0 and drawn.paths["group"].tolist() == groups.paths["group"].tolist()


def test_hints_are_score_tests(study):
    "Scores and expected changes are lavaan's modification indices, and about what χ² loses when the path is there."
    result = path_models.fit(STUDY, study.whole)
    table = path_models.hints(result, least=0, most=100)
    hint = row(table, "sm", "~", "crop")
    assert (hint["score"], hint["epc"]) == (pytest.approx(4.764431, abs=1e-4), pytest.approx(-0.010237, abs=1e-5))
    assert hint["epc_std"] == pytest.approx(-0.131129, abs=1e-5)
    assert row(table, "sm", "~", "lp")["loop"] and not hint["loop"]
    wider = path_models.fit(STUDY + "sm ~ crop", study.whole)
    assert result.fit["chi2"] - wider.fit["chi2"] == pytest.approx(hint["score"], rel=0.05)
    assert path_models.compare(result, wider)["p"] == pytest.approx(hint["p"], abs=0.01)


def test_a_path_left_out_is_hinted_at():
    "Where the data have a path that the model lacks, it has the largest score."
    table = planted(800, seed=3)
    model = STUDY.replace("crop + deep_sm + soil_t", "deep_sm + soil_t")
    best = path_models.hints(path_models.fit(model, table)).iloc[0]
    assert {best["lval"], best["rval"]} == {"rld", "crop"} and best["p"] < 1e-6


@pytest.mark.parametrize("model", [
    "m ~ x; y ~ m", "m ~ x; y ~ m + x", "y ~ x + z; w ~ y", STUDY, "z ~ x + y + u; w ~ z; v ~ w + z"])
def test_equivalent_models_fit_alike(model):
    "Each model of the list has the χ² and the degrees of freedom of the first, on data that fit none."
    rng = np.random.default_rng(8)
    names = text.read(model).observed
    table = pd.DataFrame(rng.normal(size=(120, len(names))) @ rng.normal(size=(len(names),) * 2), columns=names)
    first, found = path_models.fit(model, table).fit, path_models.equivalent(model)
    assert len(found) and (found["n_reversed"] > 0).all()
    for other in found["model"]:
        fit = path_models.fit(other, table).fit
        assert fit["df"] == first["df"] and fit["chi2"] == pytest.approx(first["chi2"], abs=1e-6)


def test_what_is_not_equivalent_is_not_listed():
    "Two causes of one outcome that do not covary by a path: an arrow of a collider cannot be turned."
    found = path_models.equivalent("m ~ x; y ~ m + z")
    assert not found["reversed"].str.contains("m -> y").any()
    with pytest.raises(InputError, match="latent"):
        path_models.equivalent(DEMOCRACY)
    with pytest.raises(InputError, match="its own cause"):
        path_models.equivalent("y ~ x; x ~ y")


@pytest.mark.parametrize("model, message", [
    ("y", "no operator"), ("", "no statement"), ("sm ~ crop +", "is empty"), ("sm ~ 1 + crop", "intercept"),
    ("sm ~ crop:rld", "product"), ("sm ~ log(crop)", "function"), ("a := b*c", ":="), ("sm ~ a*crop\na == 2", "=="),
    ("sm ~ crop; sm ~ crop", "twice"), ("sm ~~ rp; rp ~~ sm", "twice"), ("sm ~ sm", "own cause"),
    ("3sm ~ crop", "no name"), ("sm ~ cropp", "did you mean 'crop'"), ("crop =~ sm + rp", "also a column"),
    ("sm ~ crop*rld", "product"), ("sm ~ crop ~ rld", "two operators"), ("f =~ sm + rp", "not identified"),
    ("f =~ NA*sm + rp + lp + rld", "not identified"), ("sm ~ rp; rp ~ sm", "not identified"),
    ("f =~ sm + rp\nf <~ lp", "composites")])
def test_a_wrong_model_is_one_clear_line(study, model, message):
    "What is not understood, not there, or not identified says so and what to do."
    with pytest.raises(InputError, match=message) as error:
        path_models.fit(model, study.whole)
    assert "\n" not in str(error.value)


def test_wrong_data_are_one_clear_line(study):
    "Constant, collinear, endless, worded, missing and too few values name the column and what to do."
    whole = study.whole.assign(flat=3.0, twin=study.whole["sm"] * 2 + 1, word="a", nothing=np.nan,
                               sum_=study.whole["sm"] + study.whole["rld"], endless=np.inf)
    for model, message in (("sm ~ flat", "'flat' is constant"), ("rp ~ sm + twin", "'sm' and 'twin' are perfectly"),
                           ("rp ~ sm + rld + sum_", "'sum_' are perfectly"), ("sm ~ word", "holds"),
                           ("sm ~ endless", "infinite"), ("sm ~ nothing", "no value at all")):
        with pytest.raises(InputError, match=message):
            path_models.fit(model, whole)
    with pytest.raises(InputError, match="'sm' has 33 rows without a value"):
        path_models.fit("sm ~ rld", study.gaps)
    with pytest.raises(InputError, match="12 rows are too few for 15 free"):
        path_models.fit(STUDY, study.whole.iloc[::21])
    with pytest.raises(InputError, match="'plotyear'; did you mean 'plot_year'"):
        path_models.fit(STUDY, study.whole, cluster="plotyear")
    with pytest.raises(InputError, match="constant in group '0'"):
        path_models.fit(STUDY, study.whole, groups="crop")
    with pytest.raises(InputError, match="needs groups"):
        path_models.fit(STUDY, study.whole, equal="~")
    with pytest.raises(InputError, match="DataFrame"):
        path_models.fit(STUDY, study.whole.to_numpy())


def test_what_is_doubtful_is_noted():
    "A negative variance, a model that nothing tests, and few rows are told in words."
    rng = np.random.default_rng(0)
    f = rng.normal(size=200)
    a = f + 0.1 * rng.normal(size=200)
    table = pd.DataFrame({"a": a, "b": 0.6 * f + rng.normal(size=200), "c": 0.6 * f + rng.normal(size=200)})
    table["c"] -= 0.2 * (table["b"] - 0.6 * f)  # b and c have less in common than each has with a
    heywood = path_models.fit("f =~ a + b + c", table)
    assert row(heywood.paths, "a", "~~", "a")["estimate"] < 0 and any("below 0" in note for note in heywood.notes)
    assert any("no degrees of freedom" in note for note in heywood.notes) and np.isnan(heywood.fit["p"])
    assert heywood.fit["cfi"] == pytest.approx(1) and heywood.fit["rmsea"] == 0
    assert any("few" in note for note in path_models.fit("a ~ b", table.head(9)).notes)


def ols(formula, data, *, groups=None, family="gaussian"):
    "Least squares in the place of a mixed model."
    import statsmodels.formula.api as smf

    model = smf.ols(formula, data).fit()
    low, high = model.conf_int().to_numpy().T
    fixed = pd.DataFrame({"term": model.params.index, "estimate": model.params.to_numpy(), "se": model.bse.to_numpy(),
                          "df": model.df_resid, "statistic": model.tvalues.to_numpy(), "p": model.pvalues.to_numpy(),
                          "low": low, "high": high})
    return SimpleNamespace(fixed=fixed, residuals=model.resid.to_numpy())


def test_a_chain_claims_what_it_should():
    "Five variables in a chain make six claims (Shipley 2009), each given the causes of both; C and AICc by hand."
    rng = np.random.default_rng(1)
    names = ["lat", "warm", "bud", "grow", "live"]
    table = pd.DataFrame(rng.normal(size=(150, 5)), columns=names)
    for a, b in zip(names[:-1], names[1:]):
        table[b] += 0.6 * table[a]
    chain = "warm ~ lat; bud ~ warm; grow ~ bud; live ~ grow"
    result = path_models.piecewise(chain, table, fit=ols)
    claims = dict(zip(result.claims["claim"], result.claims["given"]))
    assert claims == {"bud _||_ lat": "warm", "grow _||_ lat": "bud", "grow _||_ warm": "bud, lat",
                      "live _||_ lat": "grow", "live _||_ warm": "grow, lat", "live _||_ bud": "grow, warm"}
    c = -2 * np.log(result.claims["p"]).sum()
    assert result.fit["fisher_c"] == pytest.approx(c) and result.fit["df"] == 12
    assert result.fit["p"] == pytest.approx(stats.chi2.sf(c, 12)) and result.fit["p"] > 0.01
    k = 12  # a slope, an intercept and a variance in each of four equations
    assert result.fit["aicc"] == pytest.approx(c + 2 * k * 150 / (150 - k - 1))
    wrong = path_models.piecewise("warm ~ lat; bud ~ lat; grow ~ bud; live ~ grow", table, fit=ols)
    assert wrong.fit["p"] < 1e-4 and wrong.fit["aicc"] > result.fit["aicc"]


def test_piecewise_and_whole_agree():
    "Without random effects and covariances the two ways give the same paths, routes and sums."
    table = planted(500, seed=5)
    model = STUDY.replace("lp ~~ rp", "")
    whole, pieces = path_models.fit(model, table), path_models.piecewise(model, table, fit=ols)
    for p in pieces.paths.itertuples():
        other = row(whole.paths, p.lval, p.op, p.rval)
        assert p.estimate == pytest.approx(other["estimate"], rel=1e-6)
        assert p.se == pytest.approx(other["se"], rel=0.02)
    key = ["source", "target", "kind", "route"]
    both = whole.indirect.merge(pieces.indirect, on=key, suffixes=("", "_pieces"))
    assert len(both) == len(whole.indirect) == len(pieces.indirect)
    assert np.allclose(both["estimate"], both["estimate_pieces"], rtol=1e-6)
    assert np.allclose(both["low"], both["low_pieces"], atol=0.02)
    assert np.allclose(both["sobel_se"].dropna(), both["sobel_se_pieces"].dropna(), rtol=0.02)


def test_piecewise_with_mixed_models(study):
    "Equations with plot-years as random effects: the graph is not rejected, paths and their correlation are told."
    result = path_models.piecewise(STUDY, study.whole, groups="plot_year")
    assert result.fit["claims"] == 7 and result.fit["p"] > 0.05
    residual = row(result.paths, "lp", "~~", "rp")
    assert 0.2 < residual["low"] < residual["estimate"] < residual["high"] < 0.55
    assert row(result.paths, "rp", "~", "sm")["standardized"] == pytest.approx(0.62, abs=0.06)
    assert set(result.r2["variable"]) == {"sm", "rld", "rp", "lp"} and (result.r2["conditional"] >=
                                                                        result.r2["marginal"]).all()


def test_piecewise_bootstrap_draws_clusters(study):
    "Equations are fitted to clusters drawn anew, repeated clusters with names of their own."
    seen = []

    def counting(formula, data, *, groups=None, family="gaussian"):
        seen.append(data["plot_year"].nunique())
        return ols(formula, data)

    result = path_models.piecewise("lp ~ sm + crop; rp ~ sm", study.whole, groups="plot_year", fit=counting)
    drawn = path_models.bootstrap(result, 60, cluster="plot_year", seed=1)
    assert set(seen) == {41, 42} and drawn.failed == 0 and drawn.units == 42
    assert drawn.paths["estimate"].between(drawn.paths["low"], drawn.paths["high"]).all()


def test_a_product_through_another_scale_is_not_told(study):
    "What passes through an outcome with a logarithmic link is left out, with a note; wrong texts are refused."
    table = study.whole.assign(rld=np.exp(study.whole["rld"]))
    result = path_models.piecewise(STUDY, table, families={"rld": "gamma"}, fit=ols)
    assert not result.indirect["route"].str.contains("-> rld ->").any()
    assert any("'rld'" in note for note in result.notes)
    pairs = set(zip(result.indirect["source"], result.indirect["target"], result.indirect["kind"]))
    assert ("deep_sm", "rp", "total") not in pairs and ("deep_sm", "lp", "total") in pairs
    for model, message in ((DEMOCRACY, "latent"), ("y ~ x; x ~ y", "own cause"), ("lp ~ 1*sm", "fixed")):
        with pytest.raises(InputError, match=message):
            path_models.piecewise(model, study.whole, fit=ols)
    with pytest.raises(InputError, match="'lpp'.*did you mean 'lp'"):
        path_models.piecewise(STUDY, study.whole, families={"lpp": "gamma"}, fit=ols)


def boxes(figure):
    "Extents of boxes, coefficients and arrows of a figure in pixels."
    figure.canvas.draw()
    axes = figure.axes[0]
    nodes = [p.get_window_extent() for p in axes.patches if (p.get_gid() or "").startswith("node")]
    texts = [t.get_window_extent() for t in axes.texts if t.get_gid() in ("coefficient", "published")]
    arrows = [axes.transData.transform(p.get_path().interpolated(1).to_polygons(closed_only=False)[0])
              for p in axes.patches if (p.get_gid() or "").startswith("arrow")]
    return nodes, texts, arrows


@pytest.mark.parametrize("case", ["study", "clustered", "factors"])
def test_coefficients_stand_clear(study, fitted, case):
    "No coefficient lies on a box, on an arrow, on another or beyond the figure; no two boxes overlap."
    if case == "factors":
        rng = np.random.default_rng(0)
        f = rng.normal(size=(300, 3)) @ np.linalg.cholesky(np.full((3, 3), 0.4) + 0.6 * np.eye(3)).T
        table = pd.DataFrame(np.repeat(f, 3, axis=1) + 0.8 * rng.normal(size=(300, 9)),
                             columns=[f"x{k}" for k in range(1, 10)])
        figure, _ = path_diagram(path_models.fit(HOLZINGER, table))
    else:
        figure, _ = path_diagram(path_models.fit(STUDY, study.whole) if case == "study" else fitted,
                                 published={("sm", "rp"): 0.53} if case == "study" else None)
    nodes, texts, arrows = boxes(figure)
    width, height = figure.get_size_inches() * figure.dpi
    assert len(nodes) >= 7 and len(texts) >= 10
    for k, box in enumerate(texts):
        assert 0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height
        assert not any(box.overlaps(node) for node in nodes)
        assert not any(box.overlaps(other) for other in texts[:k] if abs(other.x0 + other.x1 - box.x0 - box.x1) > 2)
        for line in arrows:
            assert not ((line > [box.x0 + 1, box.y0 + 2]) & (line < [box.x1 - 1, box.y1 - 2])).all(1).any()
    assert not any(a.overlaps(b) for k, a in enumerate(nodes) for b in nodes[:k])


def test_a_diagram_says_what_it_shows(study, fitted):
    "Signs differ in line and colour, doubt is pale and in brackets, published values stand below; the text has it all."
    table = fitted.paths.copy()
    table.loc[(table["lval"] == "rp") & (table["rval"] == "soil_t"), "p"] = 0.3
    figure, alt = path_diagram(table, names={"sm": "soil\nmoisture"}, published={("sm", "lp"): 0.46}, r2={"lp": 0.54})
    axes = figure.axes[0]
    patches = {p.get_gid(): p for p in axes.patches}
    rising, falling = patches["arrow sm rp"], patches["arrow soil_t sm"]
    assert rising.get_linestyle() != falling.get_linestyle() and rising.get_edgecolor() != falling.get_edgecolor()
    assert rising.get_linewidth() > falling.get_linewidth() and patches["arrow soil_t rp"].get_alpha() < 0.5
    words = [t.get_text() for t in axes.texts]
    assert "(0.17)" in words and "publ. 0.46" in words and "R² 0.54" in words and "soil\nmoisture" in words
    assert figure.get_facecolor() == (1, 1, 1, 1)
    for part in ("soil moisture to rp 0.62", "−0.27", "p ≥ 0.05", "published 0.46", "lp 0.54", "covary"):
        assert part in alt, part


def test_a_diagram_refuses_what_it_lacks(study, fitted):
    "Unknown names, missing places, and groups that are not named are one clear line."
    for options, message in ((dict(names={"smm": "x"}), "did you mean 'sm'"),
                             (dict(positions={"sm": (0, 0)}), "no place"), (dict(group="x"), "no group 'x'"),
                             (dict(published={("lp", "sm"): 1}), "no path")):
        with pytest.raises(InputError, match=message):
            path_diagram(fitted, **options)
    groups = path_models.fit("rp ~ sm", study.whole, groups="crop")
    with pytest.raises(InputError, match="2 groups"):
        path_diagram(groups)
    assert path_diagram(groups, group="1")[1].startswith("Path diagram of 2 variables")
