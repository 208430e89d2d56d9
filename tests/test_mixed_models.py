"""Mixed models against lme4, lmerTest and glmmTMB, against brute-force integrals, and against planted answers.

The reference figures come from lme4 1.1-31, lmerTest 3.1-3, glmmTMB 1.1.5 and performance 0.10.2 under R 4.2.2, fitted
to the table that ``field`` makes.
"""

import os
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import phenolib.mixed_models as mm
from phenolib.errors import InputError
from phenolib.plots import effects as drawing

matplotlib.use("agg")
import matplotlib.pyplot as plt

ROOT = Path(os.environ.get("PHENOLIB_ARCHIVE", ""), "statistics")
real = pytest.mark.skipif(not os.environ.get("PHENOLIB_ARCHIVE") or not ROOT.is_dir(),
                          reason="PHENOLIB_ARCHIVE names no archive with reference statistics")
FULL = "moisture * warmth + crop + treatment + (1 | year) + (1 | plot/tube)"
ORDER = ["Intercept", "moisture", "warmth", "crop[T.wheat]", "treatment[T.rain]", "treatment[T.wet]",
         "moisture:warmth"]


def chance(n, salt):
    "Numbers between 0 and 1 that every machine and every version of numpy makes alike."
    return np.mod(np.sin(np.arange(1, n + 1) * 12.9898 + salt * 78.233) * 43758.5453, 1).clip(1e-6, 1 - 1e-6)


def normal(n, salt):
    return stats.norm.ppf(chance(n, salt))


@pytest.fixture(scope="module")
def field():
    "Six years, eight plots with three tubes each, crossed with gaps: dates, root lengths, counts and shares."
    table = pd.DataFrame([(y, p, t, k) for y in range(6) for p in range(8) for t in range(3) for k in range(2)
                          if (y + p) % 5], columns=["year", "plot", "tube", "day"])
    n = len(table)
    table["moisture"], table["warmth"] = normal(n, 1), normal(n, 2)
    table["crop"] = np.where((table["year"] + table["plot"]) % 2, "wheat", "maize")
    table["treatment"] = np.array(["dry", "rain", "wet"])[table["plot"] % 3]
    years, plots, tubes, slopes = normal(6, 3), normal(8, 4), normal(24, 5), normal(8, 6)
    eta = (0.4 + 0.3 * table["moisture"] - 0.2 * table["warmth"] + 0.4 * (table["crop"] == "wheat")
           + 0.4 * years[table["year"]] + 0.3 * plots[table["plot"]] + 0.25 * tubes[table["plot"] * 3 + table["tube"]])
    table["sos"] = 120 + 10 * eta + 3 * slopes[table["plot"]] * table["moisture"] + 4 * normal(n, 7)
    table["rld"] = stats.gamma.ppf(chance(n, 8), 3) / 3 * np.exp(eta)
    table["tips"] = stats.poisson.ppf(chance(n, 9), np.exp(eta)).astype(int)
    table["clumps"] = stats.nbinom.ppf(chance(n, 10), 2, 2 / (2 + 2 * np.exp(eta))).astype(int)
    table["alive"] = stats.binom.ppf(chance(n, 11), 6, 1 / (1 + np.exp(-eta))).astype(int)
    table["trials"] = 6
    table["log_trials"] = np.log(6)
    table["seen"] = (chance(n, 12) < 1 / (1 + np.exp(0.4 - eta))).astype(int)
    table["year"] += 2015
    table["plot"] = "p" + table["plot"].astype(str)
    return table


@pytest.fixture(scope="module")
def dates(field):
    return mm.fit(f"sos ~ {FULL}", field)


def coefficients(result, names=ORDER):
    return result.fixed.set_index("term").loc[names]


def spread(result):
    "Random SDs by grouping and effect."
    return result.random.set_index(["group", "effect"])["sd"]


def close(found, expected, rtol):
    assert np.allclose(np.asarray(found, float), expected, rtol=rtol, atol=0), (np.asarray(found), expected)


@real
@pytest.mark.parametrize("reml", [True, False])
def test_sleepstudy_is_that_of_lme4(reml):
    "Estimates, standard errors, random SDs, their correlation and the likelihood of a random slope, REML and ML."
    name = "REML" if reml else "ML"
    told = pd.read_csv(ROOT / "reference" / f"lme4_sleepstudy_{name}.csv")
    result = mm.fit("Reaction ~ Days", pd.read_csv(ROOT / "sleepstudy.csv"), groups="(Days | Subject)", reml=reml)
    fixed, sd = told[told["kind"] == "fixed"], told[told["kind"] == "sdcor"]["estimate"].to_numpy()
    close(result.fixed["estimate"], fixed["estimate"], 1e-7)
    close(result.fixed["se"], fixed["se"], 1e-4)
    close(result.random["sd"], sd[[0, 1, 3]], 1e-4)
    assert np.isclose(result.correlations["correlation"][0], sd[2], atol=1e-4)
    loglik = told[told["kind"] == "loglik"]["estimate"].item()
    assert abs(result.loglik - loglik) < 1e-4 and result.method == name
    assert abs(result.aic - (12 - 2 * loglik)) < 1e-3 and abs(result.bic - (6 * np.log(180) - 2 * loglik)) < 1e-3


@real
def test_sleepstudy_has_the_degrees_of_freedom_of_lmertest():
    "Satterthwaite's degrees of freedom, t and p of the random slope."
    told = pd.read_csv(ROOT / "reference" / "lmerTest_sleepstudy_satterthwaite.csv", index_col=0)
    result = mm.fit("Reaction ~ Days + (Days | Subject)", pd.read_csv(ROOT / "sleepstudy.csv"))
    close(result.fixed["df"], told["df"], 1e-3)
    close(result.fixed["statistic"], told["t value"], 1e-4)
    close(result.fixed["p"], told["Pr(>|t|)"], 1e-2)
    close(result.r2, [0.279, 0.799], 2e-3)  # performance::r2_nakagawa


def test_crossed_and_nested_groups_are_those_of_lme4(dates):
    "Two crossed groupings, one with another nested in it: estimates, errors, degrees of freedom, SDs, AIC and BIC."
    fixed = coefficients(dates)
    close(fixed["estimate"], [125.021574414, 1.943126882, -1.630235857, 6.274775080, -2.991447697, 0.212047076,
                              0.507137509], 1e-4)
    close(fixed["se"], [2.186091599, 0.375768545, 0.396339892, 0.730324780, 2.474491460, 2.770057502, 0.388731461],
          1e-4)
    close(fixed["df"], [9.36193535, 209.42467600, 211.59102055, 196.27877023, 4.96079183, 4.98603371, 209.40710216],
          1e-3)
    close(fixed["p"], [3.12197132e-13, 5.42594051e-07, 5.58596704e-05, 2.65639823e-15, 2.81141521e-01, 9.41958468e-01,
                       1.93462384e-01], 1e-2)
    sd = spread(dates)
    close([sd["plot:tube"].item(), sd["plot"].item(), sd["year"].item(), sd["residual"].item()],
          [1.64051437, 2.68801617, 3.08368311, 5.35994107], 1e-4)
    close([dates.loglik, dates.aic, dates.bic], [-717.971875, 1457.943750, 1495.666552], 1e-7)
    assert dates.groups == {"year": 6, "plot": 8, "plot:tube": 24} and dates.n == 228 and dates.converged


def test_a_factor_is_tested_as_a_whole(dates):
    "F, degrees of freedom and p of each term, also of a factor with three levels, are those of lmerTest's anova."
    terms = dates.terms().set_index("term").loc[["moisture", "warmth", "crop", "treatment", "moisture:warmth"]]
    close(terms["statistic"], [26.74000, 16.91863, 73.81834, 0.96807, 1.70197], 1e-4)
    close(terms["ddf"], [209.42468, 211.59102, 196.27877, 4.97649, 209.40710], 1e-3)
    close(terms["p"], [5.4259e-07, 5.5860e-05, 2.6564e-15, 0.44144, 0.19346], 1e-3)


def test_shares_of_variance_are_nakagawas(dates):
    "Marginal and conditional R², and the share of each grouping, are those of performance."
    close(dates.r2, [0.278, 0.569], 2e-3)
    assert dates.icc.set_index("group")["icc"].round(3).to_dict() == {
        "year": 0.197, "plot": 0.150, "plot:tube": 0.056, "all": 0.403}


def test_modes_of_the_groups_are_those_of_lme4(dates):
    "Random effects given the data and their conditional standard errors."
    modes = dates.modes.set_index(["group", "level"])
    years = modes.loc["year"]
    close(years["estimate"], [-2.601045990, -3.762989251, 3.576523305, 0.422418081, 3.068305199, -0.703211344], 1e-4)
    close(years["se"], [1.14590219, 1.09893339, 1.09893339, 1.14594133, 1.14594133, 1.14590219], 1e-4)
    tube = modes.loc[("plot:tube", "p0:0")]
    close([tube["estimate"], tube["se"]], [-1.4714726324, 1.35758509], 1e-4)


def test_maximum_likelihood_is_that_of_lme4(field, dates):
    "The same model by ML, with its own degrees of freedom."
    result = mm.fit(f"sos ~ {FULL}", field, reml=False)
    fixed = coefficients(result)
    close(fixed["se"], [1.894537057, 0.372072704, 0.392250479, 0.722716550, 2.035882171, 2.280389643, 0.384957954],
          1e-4)
    close(fixed["df"], [13.22265964, 213.66685641, 216.23441925, 200.53157147, 7.50727068, 7.56345084, 213.53179606],
          1e-3)
    close([result.loglik, result.aic, result.bic], [-723.251224, 1468.502448, 1506.225250], 1e-7)


def test_random_slope_beside_a_crossed_group(field):
    "A correlated slope and a crossed intercept: what statsmodels cannot fit is as lme4 has it."
    result = mm.fit("sos ~ moisture + crop", field, groups=["(moisture | plot)", "year"])
    fixed = coefficients(result, ["Intercept", "moisture", "crop[T.wheat]"])
    close(fixed["estimate"], [124.34920309, 1.87053923, 5.31889342], 1e-4)
    close(fixed["se"], [1.752915332, 1.253017857, 0.661166138], 1e-3)
    close(fixed["df"], [9.41171075, 6.99556307, 209.20235191], 1e-3)
    close(result.random["sd"], [2.679747658, 3.414601878, 3.441044947, 4.785085386], 1e-4)
    assert abs(result.correlations["correlation"].item() + 0.265970285) < 1e-4
    close([result.aic, result.r2.marginal, result.r2.conditional], [1422.794211, 0.175, 0.643], 2e-3)


def test_agrees_with_statsmodels(field):
    "One random intercept is what statsmodels' MixedLM finds, by both methods."
    import statsmodels.formula.api as smf

    for reml in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = smf.mixedlm("sos ~ moisture + crop", field, groups=field["plot"]).fit(reml=reml)
        ours = mm.fit("sos ~ moisture + crop", field, groups="plot", reml=reml)
        close(ours.fixed.set_index("term")["estimate"], theirs.fe_params[list(ours.fixed["term"])], 1e-5)
        assert abs(ours.loglik - theirs.llf) < 1e-5
        assert np.isclose(ours.random["variance"].iloc[-1], theirs.scale, rtol=1e-4)


REFERENCE = {  # glmmTMB: estimates and standard errors of ORDER; SD of year, plot, tube; log-likelihood, AIC, BIC
    "gamma": ("rld", [0.6738257972, 0.2979009212, -0.2341994311, 0.3824934070, -0.3785215306, 0.1861730318,
                      -0.0242836638],
              [0.2078937284, 0.0458549343, 0.0460597772, 0.0839961273, 0.2393245612, 0.2676022084, 0.0443006893],
              [0.276766086, 0.242842370, 0.193315398], [-366.573007, 755.146015, 792.868816]),
    "poisson": ("tips", [0.6094082299, 0.3479666165, -0.1803370385, 0.4818326865, -0.4273550054, 0.0904026092,
                         -0.0215554156],
                [0.2056436455, 0.0461923491, 0.0511662670, 0.0915773117, 0.2332776042, 0.2548227855, 0.0470710376],
                [0.277574640, 0.223942661, 0.201355688], [-415.452898, 850.905795, 885.199252]),
    "negative_binomial": ("clumps", [1.3940331394, 0.2576769346, -0.2385888549, 0.4529093963, -0.3874803016,
                                     0.0617334458, -0.0376425731],
                          [0.1872620644, 0.0618689774, 0.0621627344, 0.1100354585, 0.2131776902, 0.2356092582,
                           0.0610597973],
                          [0.2367790644, 0.2069861930, 0.0250135524], [-578.925176, 1179.850352, 1217.573154]),
    "binomial": ("alive", [0.738887903, 0.277708631, -0.116591168, 0.350589514, -0.238655339, 0.179046605, 0.016019493],
                 [0.2156615828, 0.0652003124, 0.0690206300, 0.1241464065, 0.2457795736, 0.2796495128, 0.0697840875],
                 [0.270709038, 0.124802841, 0.365959407], [-352.158883, 724.317767, 758.611223]),
}


@pytest.mark.parametrize("family", REFERENCE)
def test_generalised_models_are_those_of_glmmtmb(field, family):
    "Crossed and nested groups with four families: estimates, standard errors, SDs and likelihood."
    response, estimate, se, sd, fit = REFERENCE[family]
    result = mm.fit(f"{response} ~ {FULL}", field, family=family, trials="trials" if family == "binomial" else None)
    fixed = coefficients(result)
    assert np.abs(fixed["estimate"] - estimate).max() < 1e-4 and np.isinf(fixed["df"]).all()
    close(fixed["se"], se, 1e-3)
    close([spread(result)[g].item() for g in ("year", "plot", "plot:tube")], sd, 1e-3 if sd[2] > 0.1 else 0.05)
    assert np.abs(np.array([result.loglik, result.aic, result.bic]) - fit).max() < 1e-3 and result.converged
    if family == "gamma":
        assert np.isclose(1 / np.sqrt(result.shape[0]), 0.612260144, rtol=1e-4)
        year = result.random.set_index("group").loc["year"]
        close([year["low"], year["high"]], [0.144549620, 0.5299181456], 2e-3)  # Wald on the log scale there too
    if family == "negative_binomial":
        assert np.isclose(result.shape[0], 2.38688385, rtol=1e-4) and result.shape[1] < 2.39 < result.shape[2]
    if family == "binomial":
        close(result.r2, [0.040, 0.101], 0.02)


def test_slope_and_offset_of_counts_are_those_of_glmmtmb(field):
    "A Poisson model with a random slope, and one with an exposure."
    slope = mm.fit("tips ~ moisture", field, groups=["(moisture | plot)", "year"], family="poisson")
    close(slope.fixed["estimate"], [0.732621397, 0.363807488], 1e-4)
    close(slope.fixed["se"], [0.1676724470, 0.0649496591], 1e-3)
    close(slope.random["sd"], [0.325700147, 0.127059584, 0.272517128], 1e-3)
    assert abs(slope.correlations["correlation"].item() + 0.132545085) < 1e-3 and abs(slope.loglik + 437.564298) < 1e-3
    rate = mm.fit("tips ~ moisture", field, groups="year", family="poisson", offset="log_trials")
    close(rate.fixed["estimate"], [-1.032076768, 0.368412953], 1e-4)
    close(rate.fixed["se"], [0.1208528222, 0.0439213476], 1e-3)


CBPP = {  # Lesnoff et al. (2004), as in lme4: incidence and size by herd and period
    "herd": [1] * 4 + [2] * 3 + [*np.repeat(range(3, 8), 4), 8, *np.repeat(range(9, 16), 4)],
    "period": [*"1234", *"123", *"1234" * 5, "1", *"1234" * 7],
    "incidence": [2, 3, 4, 0, 3, 1, 1, 8, 2, 0, 2, 2, 0, 2, 0, 5, 0, 0, 1, 3, 0, 0, 1, 8, 1, 3, 0, 12, 2, 0, 0, 0, 1,
                  1, 0, 2, 0, 5, 3, 1, 2, 1, 0, 0, 1, 2, 0, 0, 11, 0, 0, 0, 1, 1, 1, 0],
    "size": [14, 12, 9, 5, 22, 18, 21, 22, 16, 16, 20, 10, 10, 9, 6, 18, 25, 24, 4, 17, 17, 18, 20, 16, 10, 9, 5, 34,
             9, 6, 8, 6, 22, 22, 18, 22, 25, 27, 22, 22, 10, 8, 6, 5, 21, 24, 19, 23, 19, 2, 3, 2, 19, 15, 15, 15]}


def test_the_known_example_of_a_binomial_model():
    "Contagious bovine pleuropneumonia: Laplace as glmmTMB, quadrature as glmer with nine points."
    table = pd.DataFrame(CBPP)
    laplace = mm.fit("incidence ~ period + (1 | herd)", table, family="binomial", trials="size")
    close(laplace.fixed["estimate"], [-1.398532466, -0.992332293, -1.128671298, -1.580313687], 1e-4)
    close(laplace.fixed["se"], [0.232472051, 0.306642495, 0.326637808, 0.427436597], 1e-3)
    assert abs(laplace.loglik + 92.0262819) < 1e-5 and np.isclose(laplace.random["sd"][0], 0.642261672, rtol=1e-4)
    finer = mm.fit("incidence ~ period + (1 | herd)", table, family="binomial", trials="size", points=9)
    close(finer.fixed["estimate"], [-1.399219444, -0.991408657, -1.127812837, -1.579487774], 1e-4)
    close(finer.fixed["se"], [0.233510633, 0.306767852, 0.326767151, 0.427596208], 1e-4)
    assert np.isclose(finer.random["sd"][0], 0.647517861, rtol=1e-4) and "9-point" in finer.method


@pytest.mark.parametrize("family, response", [("binomial", "seen"), ("gamma", "rld"), ("poisson", "tips")])
def test_quadrature_is_the_integral(field, family, response):
    "With 25 points the likelihood is that of integrating each group's random effect by brute force, to 1e-6."
    result = mm.fit(f"{response} ~ moisture", field, groups="plot:tube", family=family, points=25)
    rough = mm.fit(f"{response} ~ moisture", field, groups="plot:tube", family=family)
    fixed = result.design.x @ result.estimate.beta
    sd, shape, total = result.random["sd"][0], result.estimate.scale, 0.0

    def likelihood(y, mu):
        if family == "binomial":
            return stats.bernoulli.pmf(y, mu / (1 + mu)).prod()
        density = stats.poisson.pmf(y, mu) if family == "poisson" else stats.gamma.pdf(y, shape, 0, mu / shape)
        return density.prod()

    for _, rows in field.groupby(["plot", "tube"]).groups.items():
        y, eta = field.loc[rows, response].to_numpy(), fixed[rows]
        total += np.log(integrate.quad(
            lambda b, y=y, eta=eta: likelihood(y, np.exp(eta + b)) * stats.norm.pdf(b, 0, sd),
            -8 * sd, 8 * sd, epsabs=0, epsrel=1e-10, limit=200)[0])
    assert abs(result.loglik - total) < 1e-6
    close(rough.fixed["estimate"], result.fixed["estimate"], 0.02)  # what Laplace's approximation costs here
    close(rough.fixed["se"], result.fixed["se"], 0.02)


def test_standard_errors_are_the_scatter_of_estimates():
    "Over simulated gamma tables the estimates scatter by their standard errors, and 95 % intervals hold the truth."
    rng, estimates, errors, held = np.random.default_rng(4), [], [], []
    plot = np.repeat(np.arange(30), 6)
    for _ in range(60):
        x = rng.normal(size=180)
        mu = np.exp(0.5 + 0.3 * x + 0.4 * rng.normal(size=30)[plot])
        table = pd.DataFrame({"y": rng.gamma(2, mu / 2), "x": x, "plot": plot})
        row = mm.fit("y ~ x", table, groups="plot", family="gamma").fixed.iloc[1]
        estimates.append(row["estimate"])
        errors.append(row["se"])
        held.append(row["low"] < 0.3 < row["high"])
    assert abs(np.mean(estimates) - 0.3) < 0.02 and abs(np.std(estimates) / np.mean(errors) - 1) < 0.25
    assert np.mean(held) > 0.88


def test_planted_effects_are_recovered():
    "Many years, plots and tubes: planted slopes and SDs lie in their intervals, and are near."
    rng = np.random.default_rng(8)
    year, plot = np.repeat(np.arange(25), 120), np.tile(np.repeat(np.arange(30), 4), 25)
    tube = np.tile(np.arange(4), 750)
    x = rng.normal(size=3000)
    y = (5 + 2 * x + 3 * rng.normal(size=25)[year] + 2 * rng.normal(size=30)[plot]
         + rng.normal(size=120)[plot * 4 + tube] + 1.5 * rng.normal(size=3000))
    result = mm.fit("y ~ x", pd.DataFrame({"y": y, "x": x, "year": year, "plot": plot, "tube": tube}),
                    groups=["year", "plot/tube"])
    assert abs(result.fixed["estimate"][1] - 2) < 0.1
    truth = result.random["group"].map({"year": 3, "plot": 2, "plot:tube": 1, "residual": 1.5})
    assert ((result.random["low"] < truth) & (truth < result.random["high"])).all()


def test_nested_models_are_compared_by_maximum_likelihood(field):
    "REML fits are fitted anew; ratio, p and AIC are those of anova() in lme4, and the notes say so."
    small = mm.fit("sos ~ moisture + crop", field, groups=["plot", "year"])
    large = mm.fit("sos ~ moisture + crop", field, groups=["(moisture | plot)", "year"])
    found = mm.compare(small, large)
    close([found.statistic, found.p], [56.86143, 4.4947e-13], 1e-3)
    close(found.table["aic"], [1481.734, 1428.872], 1e-6)
    assert found.df == 2 and any("anew" in note for note in found.notes) and any("variance" in n for n in found.notes)


def test_models_that_are_not_nested_are_refused(field):
    "Other predictors, other rows, other families, or the larger model first."
    small = mm.fit("sos ~ moisture", field, groups="year")
    with pytest.raises(InputError, match="no part of"):
        mm.compare(small, mm.fit("sos ~ warmth + crop", field, groups="year"))
    with pytest.raises(InputError, match="other rows"):
        mm.compare(small, mm.fit("sos ~ moisture + crop", field.iloc[5:], groups="year"))
    with pytest.raises(InputError, match="two kinds"):
        mm.compare(small, mm.fit("rld ~ moisture", field, groups="year", family="gamma"))
    with pytest.raises(InputError, match="smaller model first"):
        mm.compare(small, mm.fit("sos ~ moisture", field, groups="year"))
    with pytest.raises(InputError, match="no 'Intercept' by 'plot'"):
        mm.compare(mm.fit("sos ~ moisture", field, groups="plot"),
                   mm.fit("sos ~ moisture + crop", field, groups="year"))


def test_simulated_ratios_test_an_effect(field):
    "A strong effect has the smallest p there can be; one of noise has not; the seed fixes both."
    small, large = (mm.fit(f"sos ~ {terms}", field, groups=["plot", "year"])
                    for terms in ("moisture", "moisture + crop"))
    found = mm.bootstrap_test(small, large, draws=39, seed=1)
    assert found.p == 1 / 40 and found.low == 0 and found.high < 0.12 and found.failed == 0
    noisy = field.assign(noise=chance(len(field), 30))
    pair = small, mm.fit("sos ~ moisture + noise", noisy, groups=["plot", "year"])
    first, again = (mm.bootstrap_test(*pair, draws=39, seed=2) for _ in range(2))
    assert first.p > 0.05 and first.p == again.p and first.low < first.p < first.high
    assert abs(first.p - mm.compare(*pair).p) < 0.2
    with pytest.raises(InputError, match="draws"):
        mm.bootstrap_test(small, large, draws=3)


def test_with_few_groups_chi_square_is_too_bold():
    "Between 6 plots and no effect, the ratio test rejects too often; Satterthwaite's t keeps its level."
    rng, bold, honest = np.random.default_rng(0), [], []
    plot = np.repeat(np.arange(6), 8)
    for _ in range(100):
        y = rng.normal(size=6)[plot] + rng.normal(size=48)
        table = pd.DataFrame({"y": y, "wet": (plot % 2).astype(float), "plot": plot})
        large = mm.fit("y ~ wet", table, groups="plot")
        bold.append(mm.compare(mm.fit("y ~ 1", table, groups="plot"), large).p < 0.05)
        honest.append(large.fixed["p"][1] < 0.05)
    assert np.mean(bold) > 0.07 and np.mean(honest) < 0.085


def test_intervals_from_simulation(field):
    "Percentile intervals hold the estimates of fixed effects, lie near those of t, and cover R², SDs and shares."
    result = mm.fit("sos ~ moisture + crop", field, groups=["plot", "year"])
    found = mm.intervals(result, draws=60, seed=3).set_index(["kind", "name"])
    width = found["high"] - found["low"]
    t = result.fixed.set_index("term")
    assert abs(width[("fixed", "moisture")] / (t["high"] - t["low"])["moisture"] - 1) < 0.4
    assert set(found.index.get_level_values(0)) == {"fixed", "random", "icc", "r2"}
    assert (width > 0).all() and (found.loc["r2"]["low"] >= 0).all() and (found.loc["r2"]["high"] <= 1).all()
    assert found.attrs == {"draws": 60, "failed": 0}


def test_profile_of_a_variance_at_zero(field):
    "Groups of noise: SDs are 0, said to be singular, and their upper bounds are those of lme4's profile."
    result = mm.fit("warmth ~ moisture", field, groups=["plot", "year"], reml=False)
    assert result.singular and sum("Singular" in note for note in result.notes) == 2 and result.converged
    table = result.random.set_index("group")
    assert (table.loc[["plot", "year"], ["sd", "low"]] == 0).to_numpy().all()
    close(table.loc[["plot", "year"], "high"], [0.266150470, 0.235732630], 0.02)


def test_standardised_effects_are_those_of_scaled_columns(field):
    "standardize=True is the fit to columns less their mean over their SD; predictions stay in the original units."
    scaled = field.copy()
    for name in ("sos", "moisture", "warmth"):
        scaled[name] = (field[name] - field[name].mean()) / field[name].std()
    formula = "sos ~ moisture * warmth + crop + (1 | plot)"
    ours, theirs = mm.fit(formula, field, standardize=True), mm.fit(formula, scaled)
    close(ours.fixed["estimate"], theirs.fixed["estimate"], 1e-6)
    raw = mm.fit(formula, field)
    assert np.allclose(ours.predict(field), raw.predict(field), rtol=1e-6)
    assert np.allclose(ours.residuals, raw.residuals, atol=1e-5) and np.allclose(ours.fitted, raw.fitted, rtol=1e-6)
    assert np.allclose(mm.effects(ours, "moisture"), mm.effects(raw, "moisture"), rtol=1e-6)
    with pytest.raises(InputError, match="column of its own"):
        mm.fit("sos ~ np.exp(moisture)", field, groups="plot", standardize=True)


def test_the_unit_of_a_predictor_changes_its_slope_alone(field):
    "Moisture in a unit a thousandth as large, with a random slope: slope and SD change, the likelihood does not."
    table = field.assign(small=field["moisture"] * 1000)
    one, other = (mm.fit(f"sos ~ {name}", table, groups=f"({name} | plot)", reml=False)
                  for name in ("moisture", "small"))
    assert np.isclose(one.loglik, other.loglik, atol=1e-6) and other.converged
    close(other.fixed["estimate"][1] * 1000, one.fixed["estimate"][1], 1e-5)
    close(other.random["sd"][1] * 1000, one.random["sd"][1], 1e-4)


def test_prediction_for_known_and_typical_groups(field, dates):
    "Rows of the fit with their groups are its fitted values; a typical group leaves the random effects out."
    known = dates.predict(field, groups=True)
    assert np.allclose(known["mean"], dates.fitted) and (known["low"] < known["mean"]).all()
    typical = dates.predict(field)
    assert np.allclose(typical["mean"], dates.design.x @ dates.fixed["estimate"])
    assert ((typical["high"] - typical["low"]) > (known["high"] - known["low"])).mean() > 0.9
    assert np.allclose(dates.residuals, field["sos"] - dates.fitted)
    with pytest.raises(InputError, match="'p99:0' is no 'plot:tube'.*typical"):
        dates.predict(field.assign(plot="p99"), groups=True)
    with pytest.raises(InputError, match="'oats'.*not seen"):
        dates.predict(field.assign(crop="oats"))
    with pytest.raises(InputError, match="no column 'warmth'"):
        dates.predict(field.drop(columns="warmth"))
    with pytest.raises(InputError, match="1 of 228 rows"):
        dates.predict(field.assign(warmth=field["warmth"].where(field.index != 3)))


def test_intervals_of_known_groups_hold_their_means():
    "Over simulated tables the 95 % intervals of predictions for the groups of the fit hold their true means."
    rng, held, plot = np.random.default_rng(1), [], np.repeat(np.arange(20), 5)
    for _ in range(30):
        x, effect = rng.normal(size=100), rng.normal(size=20)
        table = pd.DataFrame({"x": x, "plot": plot, "y": 1 + x + effect[plot] + rng.normal(size=100)})
        found = mm.fit("y ~ x", table, groups="plot").predict(table, groups=True)
        held.append(np.mean((found["low"] < 1 + x + effect[plot]) & (1 + x + effect[plot] < found["high"])))
    assert 0.91 < np.mean(held) < 0.98


def test_effects_along_a_predictor(field):
    "The curve of a gamma model is exp of its linear predictor, in the units of the response."
    result = mm.fit("rld ~ moisture + warmth + crop", field, groups=["plot", "year"], family="gamma")
    beta = result.fixed.set_index("term")["estimate"]
    found = mm.effects(result, "moisture", {"crop": ["maize", "wheat"], "warmth": 1.0}, points=5)
    assert list(found) == ["moisture", "crop", "mean", "low", "high"] and len(found) == 10
    maize = found[found["crop"] == "maize"]
    assert np.allclose(np.log(maize["mean"]), beta["Intercept"] + beta["warmth"] + beta["moisture"] * maize["moisture"])
    assert ((found["low"] < found["mean"]) & (found["mean"] < found["high"])).all()
    whole = mm.effects(result, "crop")
    ratio = whole.set_index("crop")["mean"]
    assert np.isclose(np.log(ratio["wheat"] / ratio["maize"]), beta["crop[T.wheat]"])
    over = mm.effects(result, "crop", over_groups=True)
    assert np.allclose(over["mean"] / whole["mean"], np.exp((result.random["sd"] ** 2).sum() / 2))
    for bad in ({"term": "nix"}, {"term": "crop", "at": {"crop": "maize"}}, {"term": "crop", "at": {"warmth": np.nan}}):
        with pytest.raises(InputError):
            mm.effects(result, **bad)


def test_mean_over_groups_of_a_probability_is_nearer_to_a_half(field):
    "Averaged over groups a share of 0.8 shrinks towards 0.5, as the mean of simulated groups does."
    result = mm.fit("alive ~ moisture", field, groups=["plot", "year"], family="binomial", trials="trials")
    one, many = (mm.effects(result, "moisture", points=3, over_groups=o)["mean"] for o in (False, True))
    assert (np.abs(many - 0.5) < np.abs(one - 0.5)).all()
    sd = np.sqrt((result.random["sd"] ** 2).sum())
    eta = np.log(one[2] / (1 - one[2])) + sd * stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    assert abs(many[2] - np.mean(1 / (1 + np.exp(-eta)))) < 1e-4


def test_a_model_without_groups_is_ordinary_regression(field):
    "Least squares with its t-test, and a generalised linear model; a note says that rows are taken for independent."
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    ours, theirs = mm.fit("sos ~ moisture + crop", field), smf.ols("sos ~ moisture + crop", field).fit()
    table = ours.fixed.set_index("term").loc[theirs.params.index]
    close(table["se"], theirs.bse, 1e-8)
    close(table["p"], theirs.pvalues, 1e-4)
    assert (np.isclose(table["df"], theirs.df_resid)).all() and any("independent" in note for note in ours.notes)
    counts = mm.fit("tips ~ moisture", field, family="poisson")
    close(counts.fixed["se"], smf.glm("tips ~ moisture", field, family=sm.families.Poisson()).fit().bse, 1e-5)


def test_missing_values_are_refused_or_counted(field):
    "A missing or infinite value is named with its column; missing='drop' drops the rows and says how many."
    holes = field.assign(moisture=field["moisture"].where(field.index > 6))
    holes.loc[100, "sos"] = np.inf
    with pytest.raises(InputError, match="8 of 228 rows .*'moisture' in 7, 'sos' in 1"):
        mm.fit("sos ~ moisture", holes, groups="year")
    result = mm.fit("sos ~ moisture", holes, groups="year", missing="drop")
    assert result.dropped == 8 and result.n == 220 and "8 rows" in result.notes[0]
    mm.fit("sos ~ warmth", holes.drop(index=100), groups="year")  # a hole in a column that is not used is none


@pytest.mark.parametrize("formula, options, message", [
    ("sos moisture", {}, "is no formula"),
    ("sos ~ moisture +* crop", {}, "cannot be read"),
    ("sos ~ moistur", {}, "did you mean 'moisture'"),
    ("sos ~ moisture", {"groups": "yaer"}, "no column 'yaer'; did you mean 'year'"),
    ("sos ~ moisture + 1 | year", {}, "brackets of its own"),
    ("sos ~ moisture", {"groups": "(moisture | "}, "is not understood"),
    ("sos ~ moisture", {"groups": 3}, "groups hold 3"),
    ("sos ~ trials", {}, "column 'trials' is 6 in all 228 rows"),
    ("sos ~ moisture + double", {}, "'double' is an exact sum of 'Intercept', 'moisture'"),
    ("sos ~ date", {}, "holds dates"),
    ("sos ~ np.log(moisture)", {}, "'np.log.moisture.' is not finite"),
    ("sos ~ moisture", {"groups": "trials"}, "'trials' has one level"),
    ("sos ~ moisture", {"groups": "row"}, "cannot be told from the residuals"),
    ("sos ~ moisture", {"groups": ["plot", "twin"]}, "split the rows in the same way"),
    ("crop ~ moisture", {}, "no single column of numbers"),
    ("trials ~ moisture", {}, "same in all rows"),
    ("sos - 120 ~ moisture", {}, "write 'I"),
    ("moisture ~ warmth", {"family": "gamma"}, "numbers above 0"),
    ("rld ~ warmth", {"family": "poisson"}, "needs counts"),
    ("tips ~ warmth", {"family": "binomial"}, "needs 0 or 1"),
    ("sos ~ warmth", {"family": "gaussain"}, "did you mean 'gaussian'"),
    ("sos ~ warmth", {"trials": "trials"}, "belongs to the binomial family"),
    ("tips ~ warmth", {"family": "poisson", "groups": ["year", "plot"], "points": 9}, "one grouping with one effect"),
    ("group ~ warmth", {"groups": "year"}, "leaves no residual"),
    ("sos ~ warmth", {"level": 95}, "level = 95"),
])
def test_mistakes_are_one_clear_line(field, formula, options, message):
    "What a user can get wrong is told with the name of the column or value and what to do."
    table = field.assign(double=2 * field["moisture"] + 1, date=pd.to_datetime("2020-01-01") + pd.to_timedelta(
        field.index, "D"), row=range(len(field)), twin=field["plot"], group=field["year"] * 1.5)
    with pytest.raises(InputError, match=message) as error:
        mm.fit(formula, table, **{"groups": "year", **options})
    assert "\n" not in str(error.value)


def test_doubtful_fits_say_so(field):
    "Few levels, a search that is cut short, outcomes that are separated, and 0/1 data with small groups have notes."
    few = mm.fit("sos ~ moisture", field, groups="treatment")
    assert any("3 levels" in note for note in few.notes)
    short = mm.fit("sos ~ moisture", field, groups=["year", "plot/tube"], iterations=1)
    assert not short.converged and any("Not converged" in note for note in short.notes)
    apart = mm.fit("up ~ moisture", field.assign(up=(field["moisture"] > 0).astype(int)), groups="year",
                   family="binomial")
    assert any("separates" in note for note in apart.notes)
    small = field.assign(pair=field.index // 3)
    assert any("points=9" in note for note in mm.fit("seen ~ moisture", small, groups="pair", family="binomial").notes)
    even = mm.fit("steps ~ moisture", field.assign(steps=np.round(np.exp(1 + 0.5 * field["moisture"]))), groups="year",
                  family="negative_binomial")  # counts that vary less than any negative binomial
    assert any("family='poisson'" in note for note in even.notes) and np.isinf(even.shape[2]) and even.shape[1] > 1


def test_transforms_that_learn_from_the_data_are_kept_for_new_rows(field):
    "A polynomial of the fit's own range is that of the fit for three rows alone."
    result = mm.fit("sos ~ poly(moisture, 2)", field, groups="year")
    assert np.allclose(result.predict(field.head(3)), result.predict(field).head(3))
    curve = mm.effects(result, "moisture", points=3)
    assert np.allclose(curve["mean"], result.predict(curve[["moisture"]])["mean"])


def test_order_of_rows_and_names_of_levels_change_nothing(field, dates):
    "Rows in another order and plots with other names give the same fit."
    mixed = field.sample(frac=1, random_state=1)
    mixed["plot"] = mixed["plot"].map(lambda p: f"field {9 - int(p[1])}")
    again = mm.fit(f"sos ~ {FULL}", mixed)
    close(again.fixed["estimate"], dates.fixed["estimate"], 1e-6)
    assert np.isclose(again.loglik, dates.loglik, atol=1e-7)


def test_groups_can_stand_in_the_formula_or_beside_it(field, dates):
    "The two ways of naming random effects are one; || leaves the correlation out."
    beside = mm.fit("sos ~ moisture * warmth + crop + treatment", field, groups=["year", "plot/tube"])
    assert beside.loglik == dates.loglik and "(1 | plot/tube)" in beside.formula
    assert mm.fit("sos ~ moisture", field, groups="(moisture || plot)").correlations.empty


def test_checks_find_what_is_wrong_and_leave_what_is_right(field):
    "Skewed dates, spread that grows, counts with too much variance and neighbours that are alike are doubtful."
    rng = np.random.default_rng(3)
    right = mm.fit("rld ~ moisture + warmth + crop", field, groups=["year", "plot/tube"], family="gamma")
    told = mm.residual_checks(right).set_index("check")["verdict"]
    assert told.str.startswith(("fine", "cannot tell")).mean() > 0.8
    assert told["normal random effects of 'year', Intercept"].startswith("cannot tell: 6 levels")

    def doubtful(formula, table, family="gaussian", **options):
        found = mm.residual_checks(mm.fit(formula, table, groups="plot", family=family), **options)
        return set(found.loc[found["verdict"].str.startswith("doubtful"), "check"])

    skewed = field.assign(y=np.exp(0.5 * field["moisture"] + rng.normal(size=len(field))))
    assert {"normal residuals", "even spread along the fitted values"} <= doubtful("y ~ moisture", skewed)
    assert "dispersion" in doubtful("clumps ~ moisture + warmth + crop", field, family="poisson")
    long = pd.DataFrame({"plot": np.repeat(np.arange(10), 30), "week": np.tile(np.arange(30), 10)})
    walk = np.zeros((10, 30))
    for k in range(1, 30):
        walk[:, k] = 0.7 * walk[:, k - 1] + rng.normal(size=10)
    long["y"], long["noise"] = walk.ravel(), rng.normal(size=300)
    name = "no autocorrelation along 'week' within 'plot'"
    assert name in doubtful("y ~ 1", long, data=long, time="week")
    assert name not in doubtful("noise ~ 1", long, data=long, time="week")
    with pytest.raises(InputError, match="give the table"):
        mm.residual_checks(mm.fit("y ~ 1", long, groups="plot"), time="week")


@pytest.mark.parametrize("new_groups", [False, True])
def test_quantile_residuals_are_uniform_where_the_family_is_right(field, new_groups):
    "Counts of the negative binomial: uniform with that family, crowded at the ends with Poisson's."
    right, wrong = (mm.fit("clumps ~ moisture + warmth + crop", field, groups=["plot", "year"], family=family)
                    for family in ("negative_binomial", "poisson"))
    q = mm.quantile_residuals(right, new_groups=new_groups)
    assert 0 < q.min() and q.max() < 1 and stats.kstest(q, "uniform").pvalue > 0.05
    assert np.array_equal(q, mm.quantile_residuals(right, new_groups=new_groups))
    crowded = mm.quantile_residuals(wrong, new_groups=new_groups)
    assert np.mean(np.abs(crowded - 0.5) > 0.45) > 0.15


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_a_curve_is_drawn_for_each_level(field, axes):
    "One line in its band for each crop, named at its end without touching the other name; rows as dots."
    result = mm.fit("rld ~ moisture * crop", field, groups="year", family="gamma")
    drawing.effect_plot(axes, mm.effects(result, "moisture", {"crop": ["maize", "wheat"]}), "moisture", by="crop",
                        observed=(field["moisture"], field["rld"]), ylabel="RLD [cm cm⁻³]")
    assert len(axes.collections) == 2 and len(axes.lines) == 3 and axes.get_ylabel() == "RLD [cm cm⁻³]"
    axes.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert {t.get_text() for t in axes.texts} == {"maize", "wheat"} and not boxes[0].overlaps(boxes[1])
    with pytest.raises(InputError, match="no column 'moistur'"):
        drawing.effect_plot(axes, mm.effects(result, "moisture"), "moistur")


def test_a_factor_is_drawn_as_marks(field, axes):
    "Levels of a factor stand beside one another, each with its interval."
    result = mm.fit("sos ~ treatment + crop", field, groups="year")
    drawing.effect_plot(axes, mm.effects(result, "treatment", {"crop": ["maize", "wheat"]}), "treatment", by="crop",
                        observed=(field["treatment"], field["sos"]))
    assert [t.get_text() for t in axes.get_xticklabels()] == ["dry", "rain", "wet"]
    assert len(axes.containers) == 2 and axes.get_legend() is not None


def test_coefficients_are_drawn_beside_published_ones(dates, axes):
    "Each term but the intercept has a mark, its interval and its number; published ones a second; unknown ones none."
    drawing.forest(axes, dates.fixed, published={"moisture": (2.0, 1.0, 3.0), "warmth": -1.5, "crop[T.wheat]": None},
                   names={"moisture": "soil moisture"})
    words = [t.get_text() for t in axes.texts]
    assert len(words) == 6 + 2 and "2.00  [1.00, 3.00]" in words and "−1.50" in words
    assert axes.get_yticklabels()[0].get_text() == "soil moisture" and axes.get_ylim()[0] > axes.get_ylim()[1]
    with pytest.raises(InputError, match="published 'moistur' is no coefficient.*'moisture'"):
        drawing.forest(axes, dates.fixed, published={"moistur": 1.0})
