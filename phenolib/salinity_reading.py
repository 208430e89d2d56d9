"""Pixels of a simulated delta with their true salt: the large sample that says what inputs are worth there.

A few hundred soil samples cannot tell what a group of inputs is worth: a model that is fitted anew without it differs
by chance as much as by the group. Where the salt of every pixel is known, thousands of pixels can.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib import blocks, explain, metrics, salinity, salinity_models
from phenolib.errors import InputError
from phenolib.explain.grouping import places
from phenolib.salinity import BANDS, LAYERS, SALINITY, VEGETATION, WINDOW


@dataclass(frozen=True)
class Landscape:
    """Soil samples of an area, and pixels of the same days with their true salt.

    samples   ``salinity.Samples``
    pixels    DataFrame: sample, site, campaign, date, x, y [m], salt [g/kg]; None where no truth is known
    features  DataFrame of the pixels, as ``salinity.Samples.features``; None likewise
    """

    samples: salinity.Samples
    pixels: pd.DataFrame | None
    features: pd.DataFrame | None

    @property
    def target(self):
        """(pixel,) y = ln(1 + S)."""
        return np.log1p(self.pixels["salt"].to_numpy(float))


@dataclass(frozen=True)
class Reference:
    """What a model of very many samples loses without each group.

    importance  ``explain.Importance``: rise of the RMSE of y
    least       what chance alone makes of an importance of 0: two standard errors over the seeds [of y]
    r2          of y, with all groups [-], and its interval
    n           pixels
    """

    importance: explain.Importance
    least: float
    r2: float
    interval: tuple
    n: int


def drawn(archive, area, *, pixels=12_000, within=25, seed=0, **options):
    """Samples of an area, and pixels drawn at random from the same scenes, with their true salt.

    Each campaign gives as many pixels, of those on clear land whose window lies in the scene: also of roads, where no
    one takes samples. Of an archive without truth the samples alone are read, as ``salinity.of_archive`` does.

    archive  ``archive.Archive``
    area     name
    pixels   of all campaigns together; fewer where a scene has no more
    within   days between date and image, at most
    seed     of the draw
    options  of ``salinity.scene_of``
    returns  Landscape
    raises   InputError as ``salinity.of_archive``, and where the truth has no day near a campaign
    """
    truth = archive.salt_truth(area)
    if truth is None:
        return Landscape(salinity.of_archive(archive, area, within=within, **options), None, None)
    table = archive.salt_samples(area)
    table = table.assign(campaign=pd.to_datetime(table["date"]).dt.strftime("%Y-%m"))
    campaigns, rng, seasons = table.groupby("campaign", sort=True), np.random.default_rng(seed), {}
    parts, rows, values = [], [], []
    for campaign, own in campaigns:
        date = own["date"].sort_values().iloc[len(own) // 2]
        scene = salinity.scene_of(archive, area, date, within=within, seasons=seasons, **options)
        parts.append(salinity.take(own, scene))
        row, column = _places(scene, -(-pixels // len(campaigns)), rng)
        x, y = scene.optical["x"].values[column], scene.optical["y"].values[row]
        salt = _salt(truth, date, x, y)
        rows.append(pd.DataFrame({"campaign": campaign, "date": date, "x": x, "y": y, "salt": salt}))
        values.append(features(scene, row, column))
    found = pd.concat(rows, ignore_index=True)
    names = [f"P{k:06d}" for k in range(len(found))]
    return Landscape(salinity.pooled(parts), found.assign(sample=names, site=names),
                     pd.concat(values, ignore_index=True))


def features(scene, row, column):
    """What forest and support vectors read of pixels of a scene, without cutting out their windows.

    scene        ``salinity.Scene``
    row, column  (n,) pixels whose window lies in the scene
    returns      DataFrame (n, 81), the same as ``salinity.Samples.features`` of samples there
    """
    own = np.stack([scene.optical[name].values[row, column] for name in BANDS], 1).astype(np.float32)
    made = dict(zip((*BANDS, *VEGETATION, *SALINITY), np.concatenate([own, salinity.indices_of(own)], 1).T))
    wide = {kind: {} for kind in ("", "_mean_150", "_mean_650", "_sd_650")}
    for name in LAYERS:
        layer = scene.layers[name].values
        wide[""][name] = layer[row, column]
        wide["_mean_150"][name], _ = _moments(layer, 15, row, column)
        wide["_mean_650"][name], wide["_sd_650"][name] = _moments(layer, WINDOW, row, column)
    made |= {f"{name}{kind}": values for kind, layers in wide.items() for name, values in layers.items()}
    return pd.DataFrame(made).astype(np.float32)


def trees(seed=0):
    """LightGBM as the model of ``reference``: ``explain.reference`` with half the trees and coarser bins; a project
    default."""
    return explain.reference(seed).set_params(n_estimators=150, learning_rate=0.08, max_bin=63)


def reference(landscape, grouped, *, size, folds=4, labels=None, window=660.0, seeds=(0, 1), build=trees, draws=2000):
    """The true importance of groups: rise of the error of a model of many pixels that is fitted anew without each.

    Every pixel is tested once, by a model of other blocks, whose windows share no pixel with it. What two groups both
    tell is in neither's rise; see ``worth``.

    landscape  Landscape with pixels
    grouped    {group: inputs}, see ``explain.groups``
    size       side of a block [m]
    folds      that the blocks are dealt to
    labels     side of the blocks of the interval [m]; default ``size``
    window     see ``blocks.by_block`` [m]
    seeds      of the fits; two or more, for their differences tell what chance makes
    build      function of a seed to a model that is not yet fitted
    draws      of blocks
    returns    Reference
    raises     InputError without pixels, with one seed, and as ``blocks.by_block`` and ``explain.refit``

    Lei et al. (2018), leave one covariate out.
    """
    if len(seeds) < 2:
        raise InputError("one seed does not tell what chance makes of an importance; give two or more")
    parts, y = _parts(landscape, size, folds, window), landscape.target
    losses = [pd.concat(explain.refitted(build, landscape.features, y, grouped, train=part.train, test=part.test,
                                         seed=seed) for part in parts) for seed in seeds]
    mean = sum(losses) / len(losses)
    own = _labels(landscape.pixels.iloc[mean.index], labels or size)
    single = np.stack([np.sqrt(one.mean()) for one in losses])  # (seed, 1 + group)
    spread = (single[:, 1:] - single[:, :1]).std(0, ddof=1)
    least = 2 * float(np.sqrt(np.mean(spread**2) / len(seeds)))
    r2, interval = _explained(mean[""].to_numpy(), y[mean.index], own, draws)
    return Reference(explain.rise(mean, blocks=own, draws=draws), least, r2, interval, len(mean))


def worth(landscape, grouped, *, size, folds=4, labels=None, window=660.0, build=trees, seed=0, draws=2000):
    """The true importance of groups that tell the same twice: Shapley values of the fall of the error.

    A model is fitted anew with every set of groups. A group is worth what it takes from the error when it joins a
    set, on average over all orders of joining, so that what two groups both tell is halved between them; all
    together make the fall from the mean of the training pixels to the whole model. The time doubles with each group.

    grouped    {group: inputs}, at most eight: join those that belong together
    seed       of the fits
    returns    ``explain.Importance`` in units of y
    raises     InputError for more groups, and as ``reference``

    The other arguments are those of ``reference``. Covert, Lundberg & Lee (2020).
    """
    from itertools import combinations
    from math import factorial

    names = list(grouped)
    if len(names) > 8:
        raise InputError(f"{len(names)} groups make {2 ** len(names)} models; join them to eight or fewer")
    sets = [own for k in range(len(names) + 1) for own in combinations(names, k)]
    parts, y = _parts(landscape, size, folds, window), landscape.target
    at = {c: name for name, place in zip(names, places(landscape.features.columns, grouped)) for c in place}
    losses, where = [], []
    for part in parts:
        read = [[column for column, name in at.items() if name in own] for own in sets]
        found = [_losses(build(seed), landscape.features, y, part, one) for one in read]
        losses.append(np.stack(found))  # (set, pixel)
        where.append(part.test)
    own = _labels(landscape.pixels.iloc[np.concatenate(where)], labels or size)
    mean, drawn = metrics.group_means(np.concatenate(losses, 1), own, draws=draws)
    number, count, found = {one: k for k, one in enumerate(sets)}, len(names), []
    error = np.sqrt(np.concatenate([mean[:, None], drawn], 1))  # (set, 1 + draw)
    for name in names:
        value = 0
        for one in sets:
            if name not in one:
                weight = factorial(len(one)) * factorial(count - len(one) - 1) / factorial(count)
                more = tuple(n for n in names if n in one or n == name)
                value = value + weight * (error[number[one]] - error[number[more]])
        found.append(value)
    found = np.array(found)
    return explain.Importance(tuple(names), found[:, 0], found[:, 1:], np.full(count, np.nan))


@dataclass(frozen=True)
class Reading:
    """What a network and a forest read of the test samples of a split.

    importances  {method: ``explain.Importance``}; methods are "network, SHAP", "network, gradients",
                 "network, permutation", "forest, SHAP" and "forest, permutation"
    gradients    ``explain.Attributions`` of the network by single inputs
    sampled      the same by groups
    blocks       (n,) labels of the samples that are explained
    """

    importances: dict
    gradients: explain.Attributions
    sampled: explain.Attributions
    blocks: np.ndarray


def read(network, forest, samples, split, grouped, *, side=660.0, shown=128, draws=10, gradients=30, repeats=5, most=50,
         seed=0):
    """The importance of groups of inputs to a network and a forest by five methods, on test samples.

    Backgrounds are training samples. Shapley values are of some test samples, permutation is of all.

    network    ``salinity_models.Network``, explained by the mean of its members
    forest     ``salinity_models.Table`` of the kind "forest"
    samples    ``salinity.Samples``
    split      ``splits.Split`` that both were trained on
    grouped    {group: inputs}, see ``explain.groups``
    side       of the blocks of the intervals [m]
    shown      test samples that are drawn for Shapley values, at most
    draws      orders of the groups for each
    gradients  of expected gradients for each
    repeats    shuffles of each group
    most       training samples in the background of the forest
    seed       of all draws
    returns    Reading
    raises     InputError as the functions of ``explain``
    """
    test = samples[split.test]
    some = np.sort(np.random.default_rng(seed).permutation(len(test))[:shown])
    own = _labels(test.table, side)
    inputs, around = (salinity_models.inputs(part, network.scales, network.dense)
                      for part in (test, samples[split.train]))
    chosen = {name: values[some] for name, values in inputs.items()}
    whole = ensemble(network)
    predict = explain.predictor(whole, call=mean_of)
    tables = [part.features.fillna(forest.fill) for part in (test, samples[split.train])]
    with warnings.catch_warnings():  # the forest was fitted to the columns in this order, without their names
        warnings.filterwarnings("ignore", "X has feature names", UserWarning)
        warnings.filterwarnings("ignore", "IProgress not found")  # shap draws no bars here
        exact = explain.shap_trees(forest.model, tables[0].iloc[some], tables[1], most=most, seed=seed)
    sampled = explain.shap_sampled(predict, chosen, around, grouped, draws=draws, seed=seed)
    expected = explain.shap_network(whole, chosen, around, draws=gradients, seed=seed, call=mean_of)
    made = {"network, SHAP": explain.by_group(sampled, grouped, blocks=own[some]),
            "network, gradients": explain.by_group(expected, grouped, blocks=own[some]),
            "network, permutation": explain.permutation(predict, inputs, test.target, grouped, blocks=own,
                                                        repeats=repeats, seed=seed),
            "forest, SHAP": explain.by_group(exact, grouped, blocks=own[some]),
            "forest, permutation": explain.permutation(lambda X: forest.model.predict(X.to_numpy()), tables[0],
                                                       test.target, grouped, blocks=own, repeats=repeats, seed=seed)}
    return Reading(made, expected, sampled, own[some])


def ensemble(network):
    """The members of a ``salinity_models.Network`` as one torch module; its prediction is ``mean_of``."""
    import torch

    return torch.nn.ModuleList(network.members)


def mean_of(members, batch):
    """Mean prediction of members for a dict of tensors, (n,)."""
    return sum(salinity_models.call(one, batch) for one in members) / len(members)


def looks(network, samples):
    """``explain.attention`` of the members of a full network at samples, their mean."""
    inputs = salinity_models.inputs(samples, network.scales, network.dense)
    each = [explain.attention(one, inputs, call=lambda model, batch: model.attention(*(batch[name] for name in (
        "bands", "indices", "ndvi", "window")))) for one in network.members]
    return sum(each[1:], each[0]) / len(each)


def tokens(reading, names=(*BANDS, "index")):
    """Importance of what attention looks at, bands and all indices, by the gradients of a ``Reading``."""
    grouped = {name: [name] for name in BANDS} | {"index": [*VEGETATION, *SALINITY], "window": list(LAYERS)}
    whole = explain.by_group(reading.gradients, grouped, blocks=reading.blocks)
    keep = [whole.names.index(name) for name in names]
    return explain.Importance(tuple(names), whole.values[keep], whole.drawn[keep], whole.noise[keep])


def together(importances):
    """Importances in several landscapes as one: groups are named "landscape: group", draws are side by side.

    importances  {landscape: ``explain.Importance``} with as many draws each
    returns      ``explain.Importance``
    """
    return explain.Importance(tuple(f"{place}: {name}" for place, one in importances.items() for name in one.names),
                              *(np.concatenate([getattr(one, part) for one in importances.values()])
                                for part in ("values", "drawn", "noise")))


def change(first, second, group, level=0.95):
    """Importance of a group in one landscape over that in another: value and interval, for ``report.record``."""
    a, b = first.names.index(group), second.names.index(group)
    low, high = metrics.percentiles(second.drawn[b] / first.drawn[a], level)
    return {"value": float(second.values[b] / first.values[a]),
            "interval": None if np.isnan(low) else (float(low), float(high))}


def explained(truth, said, labels, *, level=0.95, draws=2000, seed=0):
    """R² of predictions, with its interval from draws of whole blocks.

    truth, said  (n,)
    labels       (n,) blocks
    returns      dict value, interval, n, as ``report.record`` takes them
    """
    truth, said = np.asarray(truth, float), np.asarray(said, float)
    return dict(zip(("value", "interval", "n"),
                    (*_explained((said - truth) ** 2, truth, labels, draws, level, seed), truth.size)))


def claims(importances, pairs):
    """Which claims of the form "A is above B" each importance supports.

    importances  {method: ``explain.Importance``}
    pairs        {claim: (groups, others)}: the smallest of the groups is above the largest of the others
    returns      DataFrame claims × methods: share of the draws of blocks in which it holds [-]; NaN without draws
    """
    made = {}
    for method, one in importances.items():
        at = {name: k for k, name in enumerate(one.names)}
        made[method] = {}
        for claim, (groups, others) in pairs.items():
            low, high = (one.drawn[[at[name] for name in some]] for some in (groups, others))
            known = np.isfinite(low).all() and np.isfinite(high).all()
            made[method][claim] = float((low.min(0) > high.max(0)).mean()) if known else np.nan
    return pd.DataFrame(made)


def _parts(landscape, size, folds, window):
    """Splits of the pixels."""
    if landscape.pixels is None:
        raise InputError("the true salt of pixels is not known in this archive; a reference needs it")
    return blocks.by_block(landscape.pixels, size=size, folds=folds, validation=0, window=window)


def _labels(table, size):
    return blocks.block_of(table["x"], table["y"], size)


def _losses(model, X, y, part, columns):
    """Squared errors of the test pixels by a model of some columns; without any, by the mean."""
    if not columns:
        return (y[part.test] - y[part.train].mean()) ** 2
    model.fit(X.iloc[part.train, columns], y[part.train])
    return (model.predict(X.iloc[part.test, columns]) - y[part.test]) ** 2


def _explained(losses, truth, labels, draws, level=0.95, seed=0):
    """R² from squared errors, and its interval."""
    (loss, mean, square), (a, b, c) = metrics.group_means(np.stack([losses, truth, truth**2]), labels, draws=draws,
                                                          seed=seed)
    low, high = metrics.percentiles(1 - a / (c - b**2), level)
    return float(1 - loss / (square - mean**2)), (None if np.isnan(low) else (float(low), float(high)))


def _places(scene, count, rng):
    """Rows and columns of clear pixels whose window lies in the scene, drawn without replacement."""
    half = WINDOW // 2
    clear = np.isfinite(scene.optical[list(BANDS)].to_array().values).all(0)
    clear[:half], clear[-half:], clear[:, :half], clear[:, -half:] = False, False, False, False
    found = np.flatnonzero(clear)
    if not found.size:
        raise InputError(f"the scene of '{scene.area}' on {scene.date:%Y-%m-%d} has no clear pixel whose window of "
                         f"{WINDOW} pixels lies in it; give a larger area")
    return np.unravel_index(np.sort(rng.permutation(found)[:count]), clear.shape)


def _salt(truth, date, x, y, most=10):
    """The true salt of places on the nearest day, (n,)."""
    import xarray as xr

    days = np.abs((truth["time"].values - np.datetime64(date, "ns")) / np.timedelta64(1, "D"))
    if days.min() > most:
        raise InputError(f"the truth has no day within {most} days of {pd.Timestamp(date):%Y-%m-%d}; the nearest is "
                         f"{days.min():.0f} days away")
    field = truth.isel(time=int(days.argmin())).load()
    return field.sel(x=xr.DataArray(x, dims="n"), y=xr.DataArray(y, dims="n"), method="nearest").values


def _moments(layer, size, row, column):
    """Mean and SD of what is known in squares around pixels, (n,) each; NaN where nothing is."""
    from scipy.ndimage import uniform_filter

    known = np.isfinite(layer)
    middle = np.mean(layer[known], dtype=float) if known.any() else 0.0
    values = np.where(known, layer - middle, 0).astype(float)
    share, mean, square = (uniform_filter(a, size, mode="constant")[row, column]
                           for a in (known.astype(float), values, values**2))
    share = np.where(share * size**2 > 0.5, share, np.nan)
    mean, square = mean / share, square / share
    return mean + middle, np.sqrt(np.maximum(square - mean**2, 0))
