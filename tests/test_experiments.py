"""Experiments with planted effects: variances of one, truth that comes back, analyses that hold or break their word."""

import numpy as np
import pytest

from phenolib import experiments, path_models
from phenolib.errors import InputError


def test_planted_effects_are_those_of_the_study():
    "Indirect effects are the products that the study reports; what is left makes every variance one."
    true = experiments.truth()
    assert true["deeper => leaves"] == pytest.approx(0.13, abs=0.001)
    assert true["deeper => roots"] == pytest.approx(0.06, abs=0.001)
    assert true["temperature => leaves"] == pytest.approx(-0.08, abs=0.001)
    assert true["temperature => roots"] == pytest.approx(-0.14, abs=0.001)
    table = experiments.draw(years=2000, plots=20, seed=3)
    np.testing.assert_allclose(table[["temperature", "deeper", "maize", *experiments.ORDER]].var(), 1, atol=0.06)


def test_a_large_experiment_gives_the_truth_back():
    "Estimates of many years lie at the planted coefficients."
    true = experiments.truth()
    for name in ("plot-years", "mixed models"):
        found = experiments.analyse(experiments.draw(years=600, plots=12, own=0.0, seed=1), name).set_index("what")
        assert set(found.index) == set(true)
        np.testing.assert_allclose(found["estimate"], [true[what] for what in found.index], atol=0.06)


def test_the_same_seed_is_the_same_experiment():
    "And another is another; a null path is null."
    one, same, other = (experiments.draw(seed=s, images=3) for s in (1, 1, 2))
    assert one.equals(same) and not one.equals(other) and len(one) == 6 * 6 * 3
    assert experiments.truth({"roots ~ temperature": 0})["roots ~ temperature"] == 0


def test_pseudo_replicates_break_their_word():
    "Taken for rows of their own, images hold far fewer truths than they promise, and find what is not there."
    found = experiments.repeat(25, ("every image", "mixed models"), images=10, effects={"roots ~ temperature": 0})
    table = experiments.assess(found).set_index(["analysis", "what"])
    naive, honest = table.loc["every image"], table.loc["mixed models"]
    assert naive["held"].mean() < 0.7 < 0.85 < honest["held"].mean()
    assert naive.loc["roots ~ temperature", "found"] > 0.2 >= honest.loc["roots ~ temperature", "found"]
    assert (table["held_low"] <= table["held"]).all() and (table["held"] <= table["held_high"]).all()


def test_resampled_years_are_wider_than_plot_years():
    "What a year has in common is seen only by drawing years."
    table = experiments.draw(years=12, common=0.6, seed=4)
    wide, narrow = (experiments.analyse(table, name, draws=200).set_index("what") for name in
                    ("years, drawn", "plot-years, drawn"))
    ratio = (wide["high"] - wide["low"]) / (narrow["high"] - narrow["low"])
    assert ratio.loc["rld ~ temperature"] > 1.2
    assert (wide["low"] <= wide["high"]).all()


def test_the_graph_is_a_model():
    "It is what the path models fit."
    model = path_models.fit(experiments.GRAPH, experiments.draw(years=60))
    assert set(model.paths.query("op == '~'")["lval"]) == set(experiments.ORDER)


@pytest.mark.parametrize("call, said", [
    (lambda: experiments.draw(effects={"roots ~ mosture": 0.1}), "no path 'roots ~ mosture'.*roots ~ moisture"),
    (lambda: experiments.draw(effects={"roots ~ moisture": 1.2}), "effects on roots explain"),
    (lambda: experiments.draw(years=1), "years = 1"),
    (lambda: experiments.draw(common=0.9, own=0.3), "shares of one variance"),
    (lambda: experiments.analyse(experiments.draw(), "mixed model"), "analysis 'mixed model' is not known"),
])
def test_mistakes_are_told(call, said):
    "What cannot be drawn or analysed is refused with what can."
    with pytest.raises(InputError, match=said):
        call()
