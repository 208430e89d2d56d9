"""Looking inside a trained network: where its attention goes, and what moves its dates when it is taken away."""

import numpy as np
import pandas as pd

from phenolib import metrics


def received(model, batch):
    """How much attention each token receives, as a multiple of an equal share of what there is.

    It is the mean over the heads and over the tokens that look; 1 is what each would have of an even look around.

    model    ``nets.deepcrop.DeepCroP``
    batch    arguments of its ``attention``, with ``mask``
    returns  (n, tokens) [-]; NaN for a step that is not there
    raises   InputError as ``attention``
    """
    weights = model.attention(**batch).mean(1).numpy()                                  # (n, looking, looked at)
    there = np.ones(weights.shape[:2], bool)
    there[:, :batch["mask"].shape[1]] = batch["mask"].numpy()
    share = (weights * there[:, :, None]).sum(1)                                        # (n, tokens), 1 on average
    return np.where(there, share, np.nan)


def profile(values, lags, groups, *, step=15.0, reach=120.0, draws=500, seed=0):
    """Mean of values by their distance from an event, in bins of days, with intervals.

    values   (n, m); NaN: none
    lags     (n, m) days from the event
    groups   (n,) labels that are drawn as a whole in the bootstrap
    step     width of a bin [days]; one has its middle at 0
    reach    the bins of the farthest middles [days]
    returns  DataFrame by the middle of the bin: mean, low, high (95 %), n; bins without a value are left out

    >>> profile([[2.0, 4.0, 9.0]], [[-3, 3, 16]], ["a"])["mean"].to_dict()
    {0.0: 3.0, 15.0: 9.0}
    """
    values, lags = np.asarray(values, float), np.asarray(lags, float)
    labels = np.broadcast_to(np.asarray(groups)[:, None], values.shape)
    bins, rows = step * np.round(lags / step), {}
    for middle in np.arange(-reach // step, reach // step + 1) * step:
        here = (bins == middle) & np.isfinite(values)
        if here.any():
            mean, interval = metrics.bootstrap(values[here], labels[here], {"it": np.mean}, draws=draws, seed=seed)
            rows[middle] = (mean["it"], *interval["it"], int(here.sum()))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high", "n"])


def occlusion(dates, batch, sensor, middles, *, half=15.0):
    """How far dates move when the acquisitions of one sensor in a block of days become the mean of the training.

        move = d(x with 0 for the values of all |t − middle| ≤ half) − d(x)

    Values are scaled, so that 0 is the mean of the training. The dates of the acquisitions stay, and so does all that
    the other sensor saw.

    dates    function of a batch to (n, events) dates [days]
    batch    dict of tensors: the values ``sensor`` (n, acquisitions, …) and ``<sensor>_days`` (n, acquisitions)
    sensor   "optical" or "sar"
    middles  (n, blocks) middle of each block [days]; NaN: no block
    half     half the length of a block [days]; infinite: all acquisitions
    returns  (n, blocks, events) [days]; NaN where a block holds no acquisition, or a date is not there

    Zeiler & Fergus (2014), for patches of an image.
    """
    import torch

    values, days = batch[sensor], batch[f"{sensor}_days"]
    before, moves = np.asarray(dates(batch)), []
    for middle in np.asarray(middles, float).T:
        inside = (days - torch.from_numpy(middle).float()[:, None]).abs() <= half       # (n, acquisitions)
        hidden = values.masked_fill(inside.reshape(*inside.shape, *[1] * (values.ndim - 2)), 0)
        after = np.asarray(dates({**batch, sensor: hidden}))
        moves.append(np.where(inside.any(1)[:, None], after - before, np.nan))
    return np.stack(moves, 1)


def largest(moves, lags, groups, *, seed=0):
    """Where the mean move is largest, with its interval, as the arguments of ``report.record``.

    moves    (n, blocks) of ``occlusion`` at one event [days]; the sign does not count
    lags     (blocks,) days from the event to the middle of each block
    groups   (n,) labels that are drawn as a whole
    returns  value, interval and n [days], or None and why there is none

    >>> largest(np.array([[0.0, 3.0, 1.0], [0.5, -4.0, np.nan]]), [-10, 0, 10], ["a", "b"])["value"]
    0.0
    """
    moves, lags = np.abs(np.asarray(moves, float)), np.asarray(lags, float)
    rows = np.flatnonzero(np.isfinite(moves).any(1))
    groups = np.asarray(groups)[rows]

    def place(pick):
        some = moves[pick.astype(int)]
        count = np.isfinite(some).sum(0)
        return lags[(np.nansum(some, 0) / np.maximum(count, 1)).argmax()]

    return metrics.estimate(rows, groups, place, why="no date moved, for none was found", seed=seed)
