"""Networks that date the seasons of samples, trained or from the store, and the dates they give."""

from dataclasses import dataclass

import numpy as np

from phenolib import conformal, splits, tasks
from phenolib.errors import InputError
from phenolib.samples import DAY, EVENTS
from phenolib.tasks import MODELS, Acquisitions, Patches, train


@dataclass(frozen=True)
class Found:
    """Dates of all samples by a network that was trained on some of them.

    days       (n, 4) days since 1 January of the harvest year; NaN: not retrieved
    low, high  (n, 4) bounds of the interval, or None where the network gives none
    networks   list of ``training.Fitted``, one a member
    tasks      what each was trained by
    """

    days: np.ndarray
    low: np.ndarray
    high: np.ndarray
    networks: list
    tasks: list


def deepcrop(found, split, model="deepcrop", *, epochs=40, lr=1e-3, batch=16, seed=0, archive="", progress=True):
    """Dates of all samples by Deep-CroP or one of its ablations, trained on the training rows.

    found    ``samples.Samples``
    split    ``splits.Split``; its validation rows choose the epoch
    model    name in ``MODELS``
    others   as ``train``
    returns  Found
    raises   InputError for an unknown model
    """
    if model not in MODELS:
        raise InputError(f"model '{model}': there are {', '.join(MODELS)}")
    task = Patches(found, split, batch=batch)
    network = train(task, tasks.deepcrop(model), name=f"deepcrop-{model}", epochs=epochs, lr=lr, seed=seed,
                    archive=archive, progress=progress)
    return Found(task.days(network.model), None, None, [network], [task])


def cropclock(found, split, *, sensors=("optical", "sar"), members=5, epochs=20, lr=2e-3, batch=16, level=0.9,
              dropped=tasks.DROPPED, seed=0, archive="", progress=True):
    """Dates and intervals of all samples by CropClock: an ensemble, each member stopped on clusters of its own.

    The clusters that are not tested are dealt to the members; each learns from all others, stops on its own, and says
    in the end where in its densities the dates of its own clusters lie. So each training cluster is calibrated on once,
    by a network that did not learn from it, and the intervals of the whole hold ``level`` on new clusters (conformal,
    on the ranks of the dates in the densities). That the same clusters also stopped the member makes them a little
    easier than new ones. The dates of all others are of the mean of the members' densities; those of the training rows
    are of the one member that did not learn from them.

    sensors  that are read
    members  of the ensemble, at least 2
    level    that the intervals are to hold [-]
    dropped  share of the acquisitions of each sensor that training leaves out of a season, at most [-]
    others   as ``deepcrop``
    returns  Found

    Chernozhukov et al. (2021) for conformal ranks; Lakshminarayanan et al. (2017) for ensembles.
    """
    own = [Acquisitions(found, part, sensors=sensors, batch=batch, dropped=dropped)
           for part in inner(found, split, members, seed)]
    fits = [train(task, tasks.cropclock(sensors), name="cropclock", epochs=epochs, lr=lr, seed=1000 * seed + k,
                  archive=archive, progress=progress) for k, task in enumerate(own)]
    density = whole(own, [fit.model for fit in fits])
    rows = np.concatenate([split.train, split.validation])
    widen = calibrated(found, rows, fits[0].model, density, own[0].known.true_day, level)
    return Found(*dates(found, fits[0].model, density, level, widen), fits, own)


def elsewhere(networks, other, *, level=0.9):
    """Dates of other samples, of another archive, by networks that never saw them.

    Values are scaled as in training, and intervals widened by what the training archive called for: they hold ``level``
    where the other archive is like it.

    networks  Found of ``deepcrop`` or ``cropclock``
    other     ``samples.Samples``
    level     of the intervals
    returns   Found of the other samples
    """
    import torch

    own, models = networks.tasks, [fit.model for fit in networks.networks]
    there = [task.moved(other) for task in own]
    if networks.low is None:
        return Found(there[0].days(models[0]), None, None, networks.networks, there)
    widen = widening(networks, level)
    density = torch.stack([task.densities(model) for task, model in zip(there, models)]).mean(0)
    return Found(*dates(other, models[0], density, level, widen), networks.networks, there)


def widening(networks, level=0.9):
    """What the intervals of an ensemble are widened by on each side to hold ``level``, in probability; (4,).

    networks  Found of ``cropclock``
    """
    own, models = networks.tasks, [fit.model for fit in networks.networks]
    rows = np.sort(np.concatenate([task.split.validation for task in own]))
    return calibrated(own[0].samples, rows, models[0], whole(own, models), own[0].known.true_day, level)


def view(networks):
    """Where the cameras look, so far as an ensemble learned it: mean weights (36,) of the cells of a patch.

    networks  Found of ``cropclock``
    """
    return np.mean([fit.model.view.weights().numpy(force=True) for fit in networks.networks], 0)


def dates(found, model, density, level, widen):
    """Medians and bounds of densities (n, 4, places): three (n, 4) of days since 1 January of the harvest year."""
    import torch

    middle = (found.table["anchor"].to_numpy("datetime64[ns]") - found.newyear) / DAY
    said = model.dates(density.log(), level=level, widen=torch.as_tensor(widen))
    return tuple(np.asarray(days) + middle[:, None] for days in said)


def inner(found, split, members, seed=0):
    """The clusters that are not tested, dealt to members: list of Split, each cluster in one validation part."""
    rows = np.concatenate([split.train, split.validation])
    cluster = found.table["cluster"].to_numpy()
    names = np.random.default_rng(seed).permutation(sorted(set(cluster[rows])))
    if not 2 <= members <= names.size:
        raise InputError(f"members = {members}: give 2 to {names.size}, for each stops on clusters of its own")
    own = [np.isin(cluster[rows], names[k::members]) for k in range(members)]
    return [splits.Split(np.sort(rows[~mine]), np.sort(rows[mine]), split.test) for mine in own]


def whole(tasks, models, keep=None):
    """Densities of all samples, (n, 4, places): of a validation row by its own member, of others by the mean of all."""
    import torch

    every = torch.stack([task.densities(model, keep=keep) for task, model in zip(tasks, models)])
    density = every.mean(0)
    for task, own in zip(tasks, every):
        density[task.split.validation] = own[task.split.validation]
    return density


def calibrated(found, rows, model, density, true_day, level):
    """By how much in probability each side of the central interval is widened to hold ``level`` on some rows; (4,)."""
    import torch

    rank = model.probability(density[rows].cumsum(-1), torch.as_tensor(np.nan_to_num(true_day[rows])).float()).numpy()
    rank[np.isnan(true_day[rows])] = np.nan
    groups = found.table["cluster"].to_numpy()[rows]
    half = [conformal.quantile(rank[:, k] - 0.5, groups, level) for k in range(len(EVENTS))]
    return np.minimum(half, 0.5) - level / 2


def tested(found, parts, fit):
    """What is fitted without the tested rows says of them, put together over the folds: {name: (n, 4) days}.

    found   ``samples.Samples``
    parts   list of ``splits.Split``
    fit     function of a Split to {name: (n, 4) days of all samples}
    returns NaN for what no fold tests
    raises  InputError if a fold trains on what it tests
    """
    result = {}
    for part in parts:
        train = np.concatenate([part.train, part.validation])
        splits.refuse_leakage(found.table.iloc[train], found.table.iloc[part.test])
        for name, days in fit(part).items():
            result.setdefault(name, np.full(days.shape, np.nan))[part.test] = days[part.test]
    return result
