"""Importance as a rise of the error: of a fitted model without the order of a group, of a new one without the group."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib import metrics
from phenolib.errors import InputError, near
from phenolib.explain.grouping import count, labels_of, of_length, places, swapped, take

MEASURES = {"rmse": (np.square, np.sqrt), "mae": (np.abs, np.asarray)}  # loss of a sample, and what its mean becomes


@dataclass(frozen=True)
class Importance:
    """An importance of each group in units of the target, with draws of whole blocks.

    names   (g,) groups
    values  (g,)
    drawn   (g, draw) values of bootstrap draws of blocks; NaN with fewer than two blocks
    noise   (g,) what the method would give a group that adds nothing, by its own draws alone; NaN where not known
    """

    names: tuple
    values: np.ndarray
    drawn: np.ndarray
    noise: np.ndarray

    def table(self, level=0.95):
        """DataFrame by group: value, low, high (percentile interval) and noise."""
        low, high = metrics.percentiles(self.drawn, level)
        return pd.DataFrame({"value": self.values, "low": low, "high": high, "noise": self.noise},
                            pd.Index(self.names, name="group"))

    def shares(self):
        """As parts of the sum of all that are above 0; negative values count as 0. An Importance.

        Shares hide that a model may read nothing at all: show them beside the values.

        raises   InputError where no group is above 0
        """
        whole = np.clip(self.values, 0, None).sum()
        if not whole > 0:
            raise InputError("no group has an importance above 0; there is nothing to share, give the values")
        drawn = np.clip(self.drawn, 0, None)
        with np.errstate(invalid="ignore"):
            drawn = drawn / drawn.sum(0)
        return Importance(self.names, np.clip(self.values, 0, None) / whole, drawn, self.noise / whole)


def permuted(predict, inputs, truth, grouped, *, measure="rmse", repeats=10, seed=0, names=None):
    """Losses of test samples with each group shuffled among them; see ``permutation``.

    Tables of the test parts of several folds can be stacked and given to ``rise``.

    returns  DataFrame (n, 1 + groups): losses as they are ("") and with each group shuffled, mean of the repeats
    """
    labels, n = labels_of(inputs, names), count(inputs)
    truth, loss = of_length(truth, n, "values of truth"), _measure(measure)[0]
    where, rng = places(labels, grouped), np.random.default_rng(seed)
    losses = {"": loss(np.asarray(predict(inputs), float) - truth)}
    orders = [rng.permutation(n) for _ in range(repeats)]
    for group, place in zip(grouped, where):
        losses[group] = np.mean([loss(np.asarray(predict(swapped(inputs, take(inputs, order), place, labels)), float)
                                      - truth) for order in orders], axis=0)
    return pd.DataFrame(losses)


def permutation(predict, inputs, truth, grouped, *, blocks, measure="rmse", repeats=10, draws=2000, seed=0, names=None):
    """Rise of the error when a group of inputs is shuffled among test samples, all its inputs and windows in one order.

    It asks what a fitted model needs, also where other inputs could tell the same to another model, and it shows the
    model inputs that do not occur together (Hooker et al. 2021).

    predict   function of inputs as given to (n,), fitted on other samples
    inputs    DataFrame, or {keyword: array} as in ``shap_network``, of test samples
    truth     (n,)
    grouped   {group: inputs}; columns find theirs as in ``by_group``
    blocks    (n,) labels drawn as a whole for the interval
    measure   "rmse" or "mae"
    repeats   shuffles of each group
    names     as in ``shap_network``
    returns   Importance in units of the truth; below 0 by chance where the group is not read
    raises    InputError as ``by_group``, for an unknown measure, or truth of another length

    Breiman (2001); Fisher, Rudin & Dominici (2019).
    """
    losses = permuted(predict, inputs, truth, grouped, measure=measure, repeats=repeats, seed=seed, names=names)
    return rise(losses, blocks=blocks, measure=measure, draws=draws, seed=seed)


def reference(seed=0):
    """The reference model of ``refit``: LightGBM on one thread, the same for a seed; settings are a project default."""
    from lightgbm import LGBMRegressor

    return LGBMRegressor(n_estimators=300, learning_rate=0.05, num_leaves=15, min_child_samples=50,
                         colsample_bytree=0.5, subsample=0.8, subsample_freq=1, n_jobs=1, deterministic=True,
                         force_row_wise=True, random_state=seed, verbose=-1)


def refitted(build, X, y, grouped, *, train, test, kept=(), alone=False, measure="rmse", repeats=1, seed=0):
    """Losses of test samples by a model fitted with all groups and without each; see ``refit``.

    returns  DataFrame (n, 1 + groups): losses with all ("") and without each group, mean of the repeats
    """
    y, train, test = of_length(y, len(X), "values of y"), _rows(train, len(X)), _rows(test, len(X))
    both = np.intersect1d(train, test)
    if both.size:
        raise InputError(f"row {both[0]} is trained on and tested; give rows of different blocks")
    for name in kept:
        if name not in X.columns:
            raise InputError(f"column '{name}' is to be kept and is not there{near(name, X.columns)}")
    always = [X.columns.get_loc(name) for name in kept]
    used = [k for k in range(X.shape[1]) if k not in always]
    where = [np.asarray(used)[p] for p in places([X.columns[k] for k in used], grouped)]
    loss = _measure(measure)[0]

    def losses(columns):
        columns = sorted({*columns, *always})
        found = []
        for k in range(repeats):
            if columns:
                model = build(seed + k).fit(X.iloc[train, columns], y[train])
                found.append(loss(np.asarray(model.predict(X.iloc[test, columns]), float) - y[test]))
            else:
                found.append(loss(np.mean(y[train]) - y[test]))
        return np.mean(found, axis=0)

    result = {"": losses([] if alone else used)}
    for group, place in zip(grouped, where):
        result[group] = losses(place if alone else [k for k in used if k not in place])
    return pd.DataFrame(result, index=X.index[test])


def refit(build, X, y, grouped, *, train, test, blocks, kept=(), alone=False, measure="rmse", repeats=1, draws=2000,
          seed=0):
    """Rise of the error of a model that is fitted anew without a group: what the group alone can tell.

    On a large sample of a simulated landscape this is its true importance, as far as the model can learn it, and but
    for the chance of its fits, which ``repeats`` average and which different seeds show. What two groups both tell
    counts for neither. With ``alone`` it counts for both: then it is the fall of the error from that of the mean (or of
    the columns that are kept) to a model of that group alone, below 0 where that learns nothing but noise.

    build     function of a seed to an unfitted model with fit and predict, e.g. ``reference``
    X         (n, p) DataFrame. Windows stand as columns of their centre and of means and SDs at several sides
              (lswi, lswi_mean_150, lswi_mean_650): a group takes all columns that begin with its inputs
    y         (n,)
    grouped   {group: inputs}
    train, test  (m,) rows, of different blocks
    blocks    (m,) labels of the test rows, drawn as a whole; the interval does not hold the chance of the training
    kept      columns of no group that stay in every model, e.g. the season
    alone     see above
    measure   "rmse" or "mae"
    repeats   fits with seeds that follow; their losses are averaged
    returns   Importance in units of y
    raises    InputError for columns of no group, groups without columns, or rows that are trained on and tested

    Lei et al. (2018), leave one covariate out.
    """
    losses = refitted(build, X, y, grouped, train=train, test=test, kept=kept, alone=alone, measure=measure,
                      repeats=repeats, seed=seed)
    found = rise(losses, blocks=blocks, measure=measure, draws=draws, seed=seed)
    return Importance(found.names, -found.values, -found.drawn, found.noise) if alone else found


def rise(losses, *, blocks, measure="rmse", draws=2000, seed=0):
    """Rise of the error from the first column of losses to each of the others.

    losses   DataFrame (n, 1 + groups), as ``permuted`` and ``refitted`` give, also stacked over folds
    blocks   (n,) labels drawn as a whole, the same draws for all columns
    measure  as the losses were made
    returns  Importance
    raises   InputError for labels of another length, or losses that are missing
    """
    of_length(blocks, len(losses))
    missing = losses.isna().any(axis=1).to_numpy()
    if missing.any():
        raise InputError(f"{missing.sum()} of {missing.size} samples have no error, the first in row "
                         f"{missing.argmax()}: their truth or a prediction is missing; leave them out")
    mean, drawn = metrics.group_means(losses.to_numpy().T, blocks, draws=draws, seed=seed)
    mean, drawn = (_measure(measure)[1](a) for a in (mean, drawn))
    unknown = np.full(len(mean) - 1, np.nan)
    return Importance(tuple(losses.columns[1:]), mean[1:] - mean[0], drawn[1:] - drawn[0], unknown)


def _measure(name):
    if name not in MEASURES:
        raise InputError(f"measure '{name}' is not known{near(name, MEASURES)}")
    return MEASURES[name]


def _rows(rows, n):
    """Rows as numbers, of numbers or a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(of_length(rows, n, "values of a mask of rows")) if rows.dtype == bool else rows
