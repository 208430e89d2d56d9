"""Shapley values of trees, of networks, and of groups of inputs in any model."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib import metrics
from phenolib.errors import InputError
from phenolib.explain.grouping import channels, count, labels_of, of_length, places, swapped, take
from phenolib.explain.rises import Importance


@dataclass(frozen=True)
class Attributions:
    """What each input adds to each prediction, beside the mean prediction of the background.

    names    (p,) inputs; a name may stand twice (NDVI as an index and as the gate between the branches)
    values   (n, p) in units of the prediction
    noise    (n, p) half the difference between two halves of the draws, which spreads as the error of ``values`` does,
             also when columns are summed; 0 without draws
    gap      (n,) Σ values − (f(x) − mean f(background)), which should be 0 but for the draws
    error    (n,) standard error of Σ values by the draws, an upper bound as these are spread evenly; 0 without
    """

    names: tuple
    values: np.ndarray
    noise: np.ndarray
    gap: np.ndarray
    error: np.ndarray

    def completeness(self):
        """Whether the values add up: root mean square of ``gap`` and of ``error`` in units of the prediction, and
        ``within``, the share of samples whose gap is at most two standard errors (or 1e-5) [-]."""
        within = np.abs(self.gap) <= np.maximum(2 * self.error, 1e-5)
        return {"gap": float(np.sqrt(np.mean(self.gap**2))), "error": float(np.sqrt(np.mean(self.error**2))),
                "within": float(within.mean()), "n": len(self.gap)}


def shap_trees(model, X, background, *, most=100, seed=0):
    """Shapley values of a model of trees, by the interventional algorithm of TreeExplainer.

    model       fitted forest or boosted trees of scikit-learn or LightGBM
    X           (n, p) DataFrame that is explained
    background  DataFrame of the same columns, of the training fold only: with test samples in it the values would be
                measured from a mean that the model must not know
    most        rows of the background that are used, drawn at random; the time is in proportion to it
    seed        of that draw
    returns     Attributions
    raises      InputError for other columns

    Lundberg et al. (2020).
    """
    with warnings.catch_warnings():  # of its own imports
        warnings.simplefilter("ignore")
        import shap

    _same(X, background)
    rows = np.sort(np.random.default_rng(seed).permutation(len(background))[:most])
    rows = background.iloc[rows]
    explainer = shap.TreeExplainer(model, shap.maskers.Independent(rows, max_samples=len(rows)),
                                   feature_perturbation="interventional")
    values = np.asarray(explainer.shap_values(X, check_additivity=False), float)
    gap = values.sum(1) - (model.predict(X) - model.predict(rows).mean())
    return Attributions(tuple(X.columns), values, np.zeros_like(values), gap, np.zeros(len(values)))


def shap_network(model, inputs, background, *, draws=100, batch=64, seed=0, names=None, call=None):
    """Expected gradients of a network of several inputs: Shapley values of Aumann and Shapley over a background.

        φ = mean over b and α of  (x − b) · ∂f/∂x at b + α (x − b),   b from the background, α uniform on 0–1

    The GradientExplainer of shap draws both at random, tells no error of the sum, and fails where an input is not read,
    hence ours. Channels of a window are summed over its pixels. The way from b to x passes through inputs that do not
    exist, such as bands and indices that do not fit. Where a network reads the contrast of two groups, such as red edge
    and near infrared, both get large values that cancel: look at ``shap_sampled`` too, and at such groups joined.

    model       torch module, put into evaluation; of several networks a ModuleList, with their mean in ``call``
    inputs      {keyword: (n, channel), (n, channel, row, column), or (n,) array}, as the model wants them (scaled)
    background  the same of other samples, of the training fold only: the values are measured from their mean prediction
    draws       of b and α for each sample, an even number; the time is in proportion to it. Each half takes
                the background samples in turn and spreads α evenly
    batch       rows that pass the network at once
    seed        of the draws
    names       {keyword: names of its channels}, over ``NAMES``
    call        function of the model and a dict of tensors to (m,); default model(**tensors)
    returns     Attributions
    raises      InputError for inputs of other keywords, shapes or names, or missing values

    Erion et al. (2021).
    """
    import torch

    labels, n = labels_of(inputs, names), _same(inputs, background)
    rng, many = np.random.default_rng(seed), count(background)
    half, sample = _half(draws), np.repeat(np.arange(n), draws)
    other = np.concatenate([_in_turn(rng, many, half) for _ in range(2 * n)])
    along = np.concatenate([(rng.permutation(half) + rng.random(half)) / half for _ in range(2 * n)])
    parts, call = np.zeros((len(sample), len(labels))), call or _by_keyword
    predict = predictor(model, call=call, batch=batch)
    wanted = predict(inputs) - predict(background).mean()
    with evaluating(model):
        for s in range(0, len(sample), batch):
            cut = slice(s, s + batch)
            start, end = tensors(model, background, other[cut]), tensors(model, inputs, sample[cut])
            way = {key: end[key] - start[key] for key in inputs}
            point = {}
            for key, step in way.items():
                share = torch.as_tensor(along[cut]).to(step).view(-1, *[1] * (step.ndim - 1))
                point[key] = (start[key] + share * step).requires_grad_()
            slopes = torch.autograd.grad(call(model, point).sum(), list(point.values()), allow_unused=True)
            columns = [torch.zeros_like(step) if slope is None else slope * step
                       for slope, step in zip(slopes, way.values())]
            columns = [c.reshape(len(c), channels(c), -1).sum(-1) for c in columns]  # over the pixels of a window
            parts[cut] = torch.cat(columns, 1).cpu().numpy()  # (m, p)
    return _averaged(labels, parts.reshape(n, draws, -1), wanted)


def shap_sampled(predict, inputs, background, grouped, *, draws=20, seed=0, names=None):
    """Shapley values of groups by drawn orders: for any model, and no bands go without the indices made of them.

    In each draw a background sample is turned into the sample, group by group in random order; what the prediction
    changes by is the group's. The sum is exact for the drawn background.

    predict     function of inputs as given to (n,)
    inputs      DataFrame, or as in ``shap_network``
    background  the same, of the training fold only
    grouped     {group: inputs}, as ``groups`` gives; inputs of no group are refused
    draws       of an order and a background sample, an even number; each costs groups + 1 predictions of all samples
    seed, names  as in ``shap_network``
    returns     Attributions, by group
    raises      InputError as there

    Štrumbelj & Kononenko (2014).
    """
    labels, n = labels_of(inputs, names), _same(inputs, background)
    where = places(labels, grouped)
    rng = np.random.default_rng(seed)
    half = _half(draws)
    picks = np.concatenate([_in_turn(rng, count(background), half) for _ in range(2 * n)]).reshape(n, draws)
    parts = np.zeros((n, draws, len(grouped)))
    for k in range(draws):
        now = take(background, picks[:, k])
        before = np.asarray(predict(now), float)
        for g in rng.permutation(len(grouped)):
            now = swapped(now, inputs, where[g], labels)
            after = np.asarray(predict(now), float)
            parts[:, k, g], before = after - before, after
    wanted = np.asarray(predict(inputs), float) - np.mean(predict(background))
    return _averaged(tuple(grouped), parts, wanted)


def by_group(attributions, grouped, *, blocks, draws=2000, seed=0):
    """Mean absolute Shapley value of each group: the values of its inputs are summed in each sample first.

    attributions  ``Attributions`` of n samples, by inputs or by groups
    grouped       {group: inputs}; a column takes its group from the longest input that it is, or begins with before an
                  underscore (lswi_mean_150 is of lswi). Columns of no group are refused.
    blocks        (n,) labels of spatial blocks, drawn as a whole for the interval
    draws, seed   of that
    returns       Importance, in units of the prediction
    raises        InputError for a column of no group, a group without columns, or labels of another length
    """
    if tuple(attributions.names) == tuple(grouped):
        one = np.eye(len(grouped))
    else:
        one = np.zeros((len(attributions.names), len(grouped)))
        for g, place in enumerate(places(attributions.names, grouped)):
            one[place, g] = 1
    of_length(blocks, len(attributions.values))
    values, drawn = metrics.group_means(np.abs(attributions.values @ one).T, blocks, draws=draws, seed=seed)
    return Importance(tuple(grouped), values, drawn, np.abs(attributions.noise @ one).mean(0))


def predictor(model, *, call=None, batch=128):
    """A network as a function of {keyword: array} to (n,) predictions, as ``permutation`` and ``shap_sampled`` want it.

    model, call, batch  as in ``shap_network``
    """
    import torch

    def predict(inputs):
        with evaluating(model), torch.no_grad():
            parts = (tensors(model, inputs, slice(s, s + batch)) for s in range(0, count(inputs), batch))
            return np.concatenate([call(model, part).cpu().numpy() for part in parts]).astype(float)

    call = call or _by_keyword
    return predict


@contextmanager
def evaluating(model):
    """A torch module in evaluation, as it was afterwards."""
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)


def tensors(model, inputs, rows):
    """Rows of the inputs as tensors of the type and at the place of the model's weights."""
    import torch

    weight = next(model.parameters(), None)
    kind = {} if weight is None else {"device": weight.device, "dtype": weight.dtype}
    return {key: torch.as_tensor(values[rows], **kind) for key, values in inputs.items()}


def _by_keyword(model, inputs):
    return model(**inputs)


def _half(draws):
    if draws < 2 or draws % 2:
        raise InputError(f"draws = {draws}; give an even number, for two halves of them tell their error")
    return draws // 2


def _in_turn(rng, count, draws):
    """So many of 0 … count − 1, each as often as the others but for one."""
    return np.concatenate([rng.permutation(count) for _ in range(-(-draws // count))])[:draws]


def _averaged(labels, parts, wanted):
    """Attributions of draws (n, draw, p) and what they should sum to (n,)."""
    draws = parts.shape[1]
    values, total = parts.mean(1), parts.sum(2)
    noise = (parts[:, : draws // 2].mean(1) - parts[:, draws // 2 :].mean(1)) / 2
    return Attributions(tuple(labels), values, noise, values.sum(1) - wanted,
                        total.std(1, ddof=1) / np.sqrt(draws))


def _same(inputs, background):
    """The number of samples; InputError where inputs and background are not alike."""
    if isinstance(inputs, pd.DataFrame):
        if list(inputs.columns) != list(background.columns):
            raise InputError("the background has other columns than what is explained; give the same in the same order")
        return len(inputs)
    if set(inputs) != set(background):
        raise InputError(f"the background has the inputs {', '.join(background)}, what is explained has "
                         f"{', '.join(inputs)}; give the same")
    for key, values in inputs.items():
        if values.shape[1:] != background[key].shape[1:]:
            raise InputError(f"input '{key}' is {values.shape[1:]} and {background[key].shape[1:]} in the background; "
                             "give one shape")
        for name, some in (("the samples", values), ("the background", background[key])):
            if len(some) != count(inputs if some is values else background):
                raise InputError(f"input '{key}' has {len(some)} rows in {name}; give each input as many")
            if not np.isfinite(some).all():
                raise InputError(f"input '{key}' has missing values in {name}; leave out those samples")
    return count(inputs)
