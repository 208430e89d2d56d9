import numpy as np
import pytest

from phenolib import conformal
from phenolib.errors import InputError


def test_one_residual_a_group_is_the_order_statistic():
    "With groups of one the half-width is the residual of rank ⌈(n+1) · level⌉."
    residuals = np.random.default_rng(0).permutation(np.arange(1.0, 21.0))
    for level in (0.5, 0.8, 0.9, 20 / 21):
        assert conformal.quantile(residuals, np.arange(20), level) == np.ceil(21 * level - 1e-9)


def test_a_large_group_counts_as_much_as_a_small_one():
    "A hundred seasons of one good site do not hide that two of three sites are bad."
    residuals = np.r_[np.linspace(0, 1, 100), 10.0, 12.0]
    groups = ["good"] * 100 + ["bad", "worse"]
    assert conformal.quantile(residuals, groups, 0.5) == 10.0
    assert conformal.quantile(residuals, groups, 0.7) == 12.0


def test_too_few_groups_give_no_interval():
    "Five sites reach 5/6 and not more, however many seasons they have."
    residuals, groups = np.arange(50.0), np.repeat(np.arange(5), 10)
    assert conformal.quantile(residuals, groups, 5 / 6) == 49
    assert conformal.quantile(residuals, groups, 0.84) == np.inf
    assert conformal.quantile([], [], 0.5) == conformal.quantile([np.nan], ["a"], 0.5) == np.inf


def test_new_groups_are_held_at_the_level():
    "Sites with biases of their own: intervals from 19 of them hold samples of a twentieth as often as asked."
    rng = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        count = rng.integers(1, 30, 20)
        member = np.repeat(np.arange(20), count)
        residuals = rng.normal(0, 3, 20)[member] + rng.normal(0, 1, member.size)
        new = member == 19
        held.append(np.mean(np.abs(residuals[new]) <= conformal.quantile(residuals[~new], member[~new], 0.8)))
    assert 0.79 <= np.mean(held) <= 0.86


@pytest.mark.parametrize("level, groups", [(1.0, [1, 2]), (0.0, [1, 2]), (0.9, [1])])
def test_what_has_no_interval_is_one_line(level, groups):
    "A level outside 0–1, or groups that do not fit, are refused."
    with pytest.raises(InputError, match="give a level"):
        conformal.quantile([1.0, 2.0], groups, level)
