"""Looking inside a network: its parts, what it reads, where its attention goes, and what moves its dates."""

import numpy as np
import pandas as pd

from phenolib import metrics
from phenolib.plots import COLOURS
from phenolib.samples import EVENTS, SITE


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


def diagram(axes, model):
    """The parts of Deep-CroP as boxes with their widths.

    axes    matplotlib axes, about 9 × 3.7 inches
    model   ``nets.deepcrop.DeepCroP`` with both sensors and an encoder
    """
    from matplotlib.patches import FancyBboxPatch

    widths = ", ".join(str(layer.out_features) for layer in model.mlp[::3])
    names = {"optical": "30 optical scenes", "radar": "10 radar images"}
    boxes = [(0.9, 3, f"{names['optical']}\n18 × 18 × 2", "optical"), (2.9, 3, "convolutions\n32, 64, 128", "optical"),
             (5, 3, "30 tokens: 128 and\n4 values of the site", "optical"),
             (0.9, 0, f"{names['radar']}\n18 × 18 × 2", "radar"), (2.9, 0, "convolutions\n32, 64, 128", "radar"),
             (5, 0, "token of the\nradar", "radar"), (2.9, 1.5, "fusion\n30 × 448 → 128", "model"),
             (5, 1.5, "token of the\nfusion", "model"),
             (7, 1.5, f"to width {model.project.out_features},\nplus the day", "quiet"),
             (7, 0, f"attention,\n{model.encoder.heads} heads", "quiet"), (8.9, 0, f"classifier\n{widths}", "quiet"),
             (8.9, 1.5, "4 × (30 dates\nand no event)", "truth")]
    arrows = [((1.71, 3), (2.09, 3)), ((1.71, 0), (2.09, 0)), ((2.9, 2.64), (2.9, 1.86)), ((2.9, 0.36), (2.9, 1.14)),
              ((3.71, 3), (4.19, 3)), ((3.71, 1.5), (4.19, 1.5)), ((3.71, 0), (4.19, 0)), ((5.81, 3), (6.5, 1.86)),
              ((5.81, 1.5), (6.19, 1.5)), ((5.81, 0), (6.35, 1.14)), ((7, 1.14), (7, 0.36)), ((7.81, 0), (8.09, 0)),
              ((8.9, 0.36), (8.9, 1.14))]
    for start, end in arrows:
        axes.annotate("", end, start, arrowprops=dict(arrowstyle="-|>", color="#444444", lw=1))
    for x, y, text, colour in boxes:
        axes.add_patch(FancyBboxPatch((x - 0.81, y - 0.36), 1.62, 0.72, boxstyle="round,pad=0,rounding_size=0.08",
                                      fc=COLOURS[colour] + "22", ec=COLOURS[colour], lw=1.2))
        axes.text(x, y, text, ha="center", va="center", fontsize=8)
    axes.set(xlim=(0, 9.8), ylim=(-0.5, 3.5), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def sample(window, *, shown=8):
    """What a network reads of one season: some patches of both sensors, the site's pixel, and the labels.

    window   ``samples.Windows`` of one season
    shown    patches of each sensor
    returns  Figure; the camera's dates are black, the scenes that they are moved to orange
    """
    import matplotlib.pyplot as plt

    rows = [[f"{kind}{k}" for k in range(shown)] for kind in ("optical", "sar")]
    fig, axes = plt.subplot_mosaic([*rows, ["index"] * shown, ["level"] * shown], figsize=(9, 6.6),
                                   height_ratios=[1, 1, 2.2, 1.1])
    there = {"optical": np.flatnonzero(window.mask[0]), "sar": np.arange(window.sar.shape[1])}
    looks = {"optical": (0, "YlGn", (0.1, 0.9), "NDVI"), "sar": (1, "Purples", (-26, -12), "VH")}
    for kind, (band, colours, limits, name) in looks.items():
        values, days = getattr(window, kind)[0, ..., band], getattr(window, f"{kind}_days")[0]
        for k, place in enumerate(np.linspace(0, there[kind].size - 1, shown).astype(int)):
            ax, step = axes[f"{kind}{k}"], there[kind][place]
            ax.imshow(values[step], cmap=colours, vmin=limits[0], vmax=limits[1])
            ax.plot(SITE, SITE, "+", color="black", ms=6)
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"day {days[step]:.0f}", fontsize=9, fontweight="normal")
        axes[f"{kind}0"].set_ylabel(name)
    steps, green = there["optical"], COLOURS["optical"]
    series, days = window.optical[0, steps, SITE, SITE], window.optical_days[0, steps]
    above, below = axes["index"], axes["level"]
    above.plot(days, series[:, 0], "o-", ms=4, color=green, label="NDVI")
    above.plot(days, series[:, 1], "o--", ms=3, lw=1, color=green, mfc="white", label="GCC$_s$")
    below.plot(window.sar_days[0], window.sar[0, :, SITE, SITE, 1], "s-", ms=4, lw=1, color=COLOURS["radar"])
    for event, true, move in zip(EVENTS, window.true_day[0], window.moved[0]):
        for ax in (above, below):
            ax.axvline(true, color=COLOURS["truth"], lw=1.4)
            ax.axvline(true + move, color=COLOURS["model"], lw=1.4, ls="--")
        if np.isfinite(true):
            above.text(true, 1.04, event.upper(), ha="right" if event in ("sos20", "eos50") else "left", fontsize=8,
                       transform=above.get_xaxis_transform())
    above.legend(loc="upper left")
    above.set(ylabel="index [-]", xticklabels=[])
    below.set(xlabel=f"days since {window.start[0]}", ylabel="VH [dB]", xlim=above.get_xlim())
    return fig


def view(axes, views, *, near=20.0, far=120.0, opening=60.0):
    """What an ensemble learned of where the cameras look: the mean weight of each cell, and a ring of 1 SD a member.

    axes     matplotlib axes; metres to the east and to the north of the camera
    views    list of ``nets.cropclock.View``
    near, far, opening  of the sector to the north that is drawn beside it [m, m, °]
    returns  the image, for a colour bar; per cent of the weight
    """
    from matplotlib.patches import Ellipse

    weights = np.mean([one.weights().numpy(force=True) for one in views], 0)
    north, east = views[0].north.numpy(), views[0].east.numpy()
    side, half = int(np.sqrt(weights.size)), abs(north[0] - north[-1]) / (np.sqrt(weights.size) - 1) / 2
    image = axes.imshow(100 * weights.reshape(side, side), cmap="Greens", vmin=0, origin="upper", extent=(
        east.min() - half, east.max() + half, north.min() - half, north.max() + half))
    for one in views:
        up, right, tall, wide = (x.item() for x in one.bell())
        axes.add_patch(Ellipse((right, up), 2 * wide, 2 * tall, fill=False, lw=1, color=COLOURS["clock"]))
    angle = np.radians(np.linspace(-opening / 2, opening / 2, 30))
    for distance in (near, far):
        axes.plot(distance * np.sin(angle), distance * np.cos(angle), color=COLOURS["truth"], lw=1.2)
    for edge in angle[[0, -1]]:
        axes.plot(np.sin(edge) * np.array([near, far]), np.cos(edge) * np.array([near, far]), color=COLOURS["truth"],
                  lw=1.2)
    axes.plot(0, 0, "+", ms=11, mew=1.8, color=COLOURS["camera"])
    axes.grid(False)
    axes.set(xlabel="to the east of the camera [m]", ylabel="to the north [m]", aspect="equal",
             ylim=(north.min() - half, max(far + 5, north.max() + half)))
    return image


def density(axes, line, values, middle, bars, dates):
    """Densities of the four events of one season, with intervals above and the camera's dates as lines.

    axes     matplotlib axes
    line     (places,) days from the middle of the season, evenly apart
    values   (4, places) densities, 1 in sum; dark at 20 %, light at 50 %
    middle   Timestamp of the middle of the season
    bars     low, median, high: (4,) datetime64 each
    dates    Series of the camera's dates, NaT for none; solid at 20 %, dotted at 50 %
    """
    values, colour = np.asarray(values) / (line[1] - line[0]), COLOURS["clock"]
    top = 1.15 * values.max()
    for k, (event, date) in enumerate(dates.items()):
        low, median, high = (bound[k] for bound in bars)
        full, level = event.endswith("20"), top * (1 + 0.08 * k)
        axes.fill_between(middle + pd.to_timedelta(line, "D"), values[k], color=colour, lw=0,
                          alpha=0.5 if full else 0.2)
        axes.plot([low, high], [level] * 2, color=colour, lw=1.6)
        axes.plot(median, level, "o", ms=5, color=colour, mfc=colour if full else "white")
        axes.annotate(event.upper(), (high, level), xytext=(4, 0), textcoords="offset points", fontsize=7, va="center",
                      color=colour)
        if pd.notna(date):
            axes.axvline(date, color=COLOURS["truth"], lw=1.3, ls="-" if full else ":")
    axes.set(ylim=(0, 1.3 * top), ylabel="density [day⁻¹]")
