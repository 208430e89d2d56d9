"""A forest of LightGBM answered many rows at a time gives LightGBM's own bits."""

import lightgbm
import numpy as np
import pytest

from phenolib.errors import InputError
from phenolib.quick_trees import Trees


def forest(leaves=31, rounds=30, missing=0.0, seed=0, **options):
    "A booster of six columns, some of whose values are missing, and rows that it has not seen."
    random = np.random.default_rng(seed)
    x = random.normal(size=(5000, 6)).astype(np.float32)
    x[:, 5] = np.round(x[:, 5])  # values that lie on the tests
    y = np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + x[:, 5] + 0.1 * random.normal(size=len(x))
    x[random.random(x.shape) < missing] = np.nan
    given = {"num_leaves": leaves, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1, "learning_rate": 0.2}
    return lightgbm.train(given | options, lightgbm.Dataset(x[:3000], y[:3000]), rounds), x[3000:]


def same(booster, rows, rounds=None):
    "Whether both give the same bits for all rows."
    text = booster.model_to_string()
    mine = Trees(text, rounds).predict(np.ascontiguousarray(rows.T))
    return bool((mine == booster.predict(rows, num_iteration=rounds, num_threads=1)).all())


@pytest.mark.parametrize("leaves", [2, 31, 32, 33, 64])
def test_bits_of_lightgbm(leaves):
    "Forests of any size have LightGBM's bits, for all trees and for the first of them."
    booster, rows = forest(leaves)
    assert same(booster, rows) and same(booster, rows, 7)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_missing_values(missing):
    "Missing values go where LightGBM sends them, whether it saw some in training or not; so do infinite ones."
    booster, rows = forest(missing=missing)
    random = np.random.default_rng(1)
    for value in (np.nan, np.inf, -np.inf, 0.0, -0.0):
        given = rows.copy()
        given[random.random(given.shape) < 0.3] = value
        assert same(booster, given)


def test_few_rows_and_trees_without_a_test():
    "Any number of rows is answered, none too, and trees of one leaf add their number."
    booster, rows = forest()
    for count in (0, 1, 511, 513):
        assert Trees(booster.model_to_string()).predict(rows[:count].T).shape == (count,)
    assert same(booster, rows[:1])
    flat, _ = forest(rounds=3, min_data_in_leaf=4000)
    assert same(flat, rows[:10])


def test_refused():
    "Forests of another kind are refused, and columns of another shape."
    booster, rows = forest(rounds=3)
    text = booster.model_to_string()
    random = np.random.default_rng(2)
    kinds = lightgbm.Dataset(random.integers(0, 9, (500, 2)), random.normal(size=500), categorical_feature=[0, 1])
    for match, given in (
            ("64 at most", forest(leaves=100, rounds=3)[0].model_to_string()),
            ("takes zero for missing", forest(rounds=3, zero_as_missing=True)[0].model_to_string()),
            ("no LightGBM model", "tree"),
            ("no LightGBM model", text.replace("objective=regression", "objective=binary")),
            ("by categories", lightgbm.train({"verbose": -1}, kinds, 2).model_to_string())):
        with pytest.raises(InputError, match=match):
            Trees(given)
    with pytest.raises(InputError, match="the model has 3 trees"):
        Trees(text, 4)
    with pytest.raises(InputError, match="give float32"):
        Trees(text).predict(rows.T.astype(float))
    with pytest.raises(InputError, match="give float32"):
        Trees(text).predict(rows)
