"""Fusion of images drawn: how one pixel is predicted, images beside each other, error against spread."""

import numpy as np

from phenolib.plots import COLOURS, MISSING

MARKS = "camera", "radar", "optical", "quiet", "model"  # colours of the methods that one is held against
SHAPES = "osDv^"
TICKS = 0.05, 0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3
PAIR = ("camera", "model")  # colours of the first and the second base date


def one_pixel(told, *, unit, dates=("first base date", "second base date"), width=8.0):
    """How ESTARFM predicts one pixel: its similar pixels, their weights, the slope of the conversion, the prediction.

    told     Dataset of ``fusion.Pair.pixel``, of two base dates
    unit     of the values
    dates    words for the base dates
    width    of the figure [inch]
    returns  figure
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(width, 0.8 * width), layout="constrained")
    x, y = told["x"].values, told["y"].values
    place = (x[0] - 0.5, x[-1] + 0.5, y[-1] + 0.5, y[0] - 0.5)
    similar = told["similar"].values

    ax = axes[0, 0]
    image = ax.imshow(told["fine"][0], extent=place, cmap="cividis", interpolation="nearest")
    ax.scatter(*np.meshgrid(x, y), s=np.where(similar, 22, 0), facecolor="none",
               edgecolor="white", lw=1.1)
    figure.colorbar(image, ax=ax, label=f"fine image [{unit}]", shrink=0.85)
    ax.set_title(f"1  similar pixels: {int(similar.sum())} of {similar.size}")

    ax = axes[0, 1]
    image = ax.imshow(np.where(similar, told["weight"], np.nan), extent=place, cmap="YlOrBr", interpolation="nearest")
    figure.colorbar(image, ax=ax, label="weight [-]", shrink=0.85)
    ax.set_title("2  their weights")
    for ax in axes[0]:
        ax.set(xlabel="pixels to the east", ylabel="pixels to the south")
        ax.locator_params(integer=True, nbins=7)
        ax.set_facecolor(MISSING)
        ax.plot(0, 0, "+", color="black", ms=12, mew=2)
        ax.grid(False)

    ax = axes[1, 0]
    fine, coarse = told["values_fine"].values, told["values_coarse"].values
    for k, name in enumerate(PAIR):
        ax.plot(coarse[k], fine[k], "o", ms=3.5, color=COLOURS[name], alpha=0.6, mew=0)
        ax.annotate(dates[k], (coarse[k].max(), np.median(fine[k])), xytext=(6, 0), textcoords="offset points",
                    va="center", color=COLOURS[name], fontsize=9)
    rate = float(told["slope"])
    ends = np.array([coarse.min(), coarse.max()])
    ax.plot(ends, fine.mean() + rate * (ends - coarse.mean()), color="black", lw=1.2)
    ax.set(xlabel=f"coarse image [{unit}]", ylabel=f"fine image [{unit}]", title=f"3  conversion: V = {rate:.2f}")
    ax.set_xlim(ends[0] - 0.08 * np.ptp(ends), ends[1] + 0.42 * np.ptp(ends))

    ax = axes[1, 1]
    base, found = told["base"].values, told["predicted"].values
    for k, name in enumerate(PAIR):
        ax.annotate("", (k, found[k]), (k, base[k]), arrowprops={"arrowstyle": "->", "color": COLOURS[name], "lw": 2})
        ax.plot(k, base[k], "o", color=COLOURS[name])
        ax.plot(k, found[k], "o", mfc="white", color=COLOURS[name], ms=7)
        ax.annotate(f"T = {float(told['trust'][k]):.2f}", (k, base[k]), xytext=(9, 0), textcoords="offset points",
                    va="center", fontsize=9)
    fused = float(told["fused"])
    ax.axhline(fused, color="black", lw=1.2, ls="--")
    ax.annotate(f"fused: {fused:.3g} {unit}", (0.5, fused), xytext=(0, 4), textcoords="offset points", ha="center",
                fontsize=9)
    ax.set(xticks=[0, 1], xticklabels=[f"from the {d}" if d.endswith("date") else f"from {d}" for d in dates],
           xlim=(-0.45, 1.65), ylabel=f"value [{unit}]", title="4  prediction from both")
    ax.margins(y=0.18)
    return figure


def error_by_spread(axes, table, *, unit, colour="model"):
    """Error against the spread of the similar pixels, part by part, and the line on which both are equal.

    axes     matplotlib axes
    table    DataFrame of ``fusion.by_spread``
    unit     of the values
    colour   name of ``plots.COLOURS``
    """
    axes.plot(table["spread"], table["rmse"], "o-", color=COLOURS[colour])
    top = 1.08 * max(table["spread"].max(), table["rmse"].max())
    axes.plot([0, top], [0, top], color=COLOURS["quiet"], ls=":", lw=1)
    axes.annotate("equal", (0.97 * top, 0.97 * top), ha="right", va="top", fontsize=8, color=COLOURS["quiet"],
                  xytext=(-8, 0), textcoords="offset points")
    axes.set(xlabel=f"spread of the similar pixels [{unit}]", ylabel=f"RMSE [{unit}]", xlim=(0, top), ylim=(0, top))


def image_row(axes, images, titles, *, label, words=""):
    """Images side by side on one scale of colours, without places.

    axes     as many as images
    images   [(…, y, x)]; of several bands or dates the first is drawn
    titles   of the images
    label    of the colour bar, with its unit
    words    at the left of the row
    """
    first = [np.asarray(image).reshape(-1, *np.shape(image)[-2:])[0] for image in images]
    low, high = np.nanquantile(np.stack(first), (0.01, 0.99))
    for ax, image, title in zip(axes, first, titles):
        drawn = ax.imshow(image, cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=9)
        ax.set_facecolor(MISSING)
        ax.grid(False)
    axes[0].set_ylabel(words, fontsize=9)
    axes[0].figure.colorbar(drawn, ax=list(axes), shrink=0.8, pad=0.01, label=label, extend="both")


def rmse_bars(axes, table, *, unit, title=""):
    """Error of several methods as bars with intervals; the first, which is judged, in the colour of a model.

    axes   matplotlib axes
    table  DataFrame of ``fusion.scores``
    unit   of the values
    """
    table = table[::-1]
    colours = [COLOURS["quiet"]] * (len(table) - 1) + [COLOURS["model"]]
    spread = [table["rmse"] - table["rmse_low"], table["rmse_high"] - table["rmse"]]
    axes.barh(table.index, table["rmse"], xerr=spread, color=colours, error_kw={"lw": 1})
    axes.set(title=title, xlabel=f"RMSE [{unit}]")
    axes.grid(axis="y", visible=False)


def ratios(axes, tables):
    """Error of one method over that of each other one, with intervals, for several images.

    axes    matplotlib axes
    tables  {words: DataFrame of ``fusion.scores``}, of the same methods
    """
    for k, table in enumerate(tables.values()):
        others = table.index[1:]
        for j, (method, colour, shape) in enumerate(zip(others, MARKS, SHAPES)):
            row, high = table.loc[method], k + 0.16 * (j - (len(others) - 1) / 2)
            axes.plot([row["ratio_low"], row["ratio_high"]], [high] * 2, color=COLOURS[colour], lw=1.4)
            axes.plot(row["ratio"], high, shape, ms=5, color=COLOURS[colour], label=None if k else method)
    axes.axvline(1, color="black", lw=1)
    axes.set(yticks=range(len(tables)), yticklabels=list(tables), xscale="log", ylim=(len(tables) - 0.5, -0.5),
             xlabel=f"RMSE of {next(iter(tables.values())).index[0]} over that of the other method")
    low, high = axes.get_xlim()
    ticks = [tick for tick in TICKS if low < tick < high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.legend(ncols=5, loc="lower left", bbox_to_anchor=(0, 1))
