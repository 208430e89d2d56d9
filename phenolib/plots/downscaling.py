"""Figures of downscaling: when training stops, what pixels ask, scores, cost, the Jensen gap, who gives the detail."""

import numpy as np

from phenolib.plots import COLOURS, nothing
from phenolib.plots.moisture import LAYER, WORDS

MARK = {"surface": "o", "root_zone": "s"}


def stopping(models):
    """Held-out error by the number of trees, with a dot at the number that was chosen.

    models   {layer: ``downscaling.Downscaler`` with a curve}
    returns  figure
    """
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(8, 3.2))
    for layer, one in models.items():
        ax.plot(one.curve.index, one.curve["error"], color=LAYER[layer], label=WORDS[layer])
        ax.plot(one.rounds, one.curve["error"].loc[one.rounds], "o", color=LAYER[layer], mec="white")
    ax.set(xlabel="trees", ylabel="held-out error [m³ m⁻³]", ylim=(0, None))
    ax.legend()
    return figure


def ranges(pixels, cells, labels):
    """Distributions of covariates over pixels and over means of cells; daily ones about the mean of their day.

    pixels, cells  Datasets of covariates and of their means
    labels         {name: label of its axis}
    returns        figure
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(labels), figsize=(8, 2.6), squeeze=False)
    for ax, (name, label) in zip(axes[0], labels.items()):
        fine, coarse = pixels[name], cells[name]
        if "time" in fine.dims:
            level, label = fine.mean(("y", "x")), f"{label},\nfrom the mean"
            fine, coarse = fine - level, coarse - level
        fine, coarse = (one.values[np.isfinite(one.values)] for one in (fine, coarse))
        edges = np.linspace(*np.quantile(fine, [0.001, 0.999]), 22)
        for values, colour, word in ((fine, "quiet", "pixels"), (coarse, "model", "cells")):
            ax.hist(values, edges, density=True, histtype="step", lw=1.5, color=COLOURS[colour], label=word)
        ax.set(xlabel=label, yticks=[])
    axes[0, 0].legend(loc="upper left", fontsize=8)
    return figure


def scores(tables, names, rows, columns):
    """Scores of several products, for both layers, with intervals.

    tables   {(row, layer): DataFrame of ``moisture_scores.compare``}
    names    {product: words}
    rows     {row: title}; one without a table says that there is none
    columns  {score: label}
    returns  figure
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(rows), len(columns), figsize=(8, 2.6 * len(rows)), squeeze=False, sharex=True)
    for line, (row, title) in zip(axes, rows.items()):
        for ax, (score, label) in zip(line, columns.items()):
            ax.set_title(title, fontsize=10)
            ax.set(xticks=range(len(names)), ylabel=label)
            ax.set_xticklabels(list(names.values()), rotation=30, ha="right")
            if not any(key[0] == row for key in tables):
                nothing(ax, "no true maps")
            for k, layer in enumerate(WORDS):
                if (row, layer) in tables:
                    one = tables[row, layer].reindex(list(names))
                    ax.errorbar(np.arange(len(one)) + 0.16 * (k - 0.5), one[score], _error(one, score),
                                fmt=MARK[layer], ms=5, color=LAYER[layer], label=WORDS[layer])
    axes[0, 0].legend(loc="lower left")
    return figure


def cost(table):
    """Held-out error against minutes, a line for each number of leaves, the number of trees at the largest ones.

    table    DataFrame: layer, leaves, rounds, minutes, error
    returns  figure
    """
    import matplotlib.pyplot as plt

    layers = list(dict.fromkeys(table["layer"]))
    figure, axes = plt.subplots(1, len(layers), figsize=(8, 3.4), squeeze=False)
    for ax, layer in zip(axes[0], layers):
        own = table[table["layer"] == layer]
        sizes = sorted(own["leaves"].unique())
        for k, size in enumerate(sizes):
            line = own[own["leaves"] == size]
            ax.plot(line["minutes"], line["error"], "osD^v"[k % 5] + "-", ms=5, color=plt.cm.viridis(k / len(sizes)),
                    label=f"{size} leaves")
        for one in line.itertuples():
            ax.annotate(f"{one.rounds:.0f}", (one.minutes, one.error), xytext=(0, 6), fontsize=8,
                        textcoords="offset points", ha="center")
        ax.set(xscale="log", xlabel="minutes for 131 million rows, one core", title=WORDS[layer],
               ylabel="held-out error [m³ m⁻³]")
    axes[0, -1].legend()
    return figure


def gaps(found, names):
    """Distributions of the Jensen gap of each layer and model.

    found    {(layer, model): array [m³ m⁻³]}
    names    {model: words}
    returns  figure
    """
    import matplotlib.pyplot as plt

    layers = list(dict.fromkeys(layer for layer, _ in found))
    figure, axes = plt.subplots(1, len(layers), figsize=(8, 3.0), sharex=True, squeeze=False)
    for ax, layer in zip(axes[0], layers):
        models = [model for one, model in found if one == layer]
        for model, colour in zip(models, ("optical", "model", "quiet", "camera")):
            values = np.asarray(found[layer, model])
            ax.hist(values[np.isfinite(values)], np.linspace(-0.06, 0.06, 61), histtype="step", lw=1.5, density=True,
                    color=COLOURS[colour], label=names[model])
        ax.set(xlabel="Jensen gap [m³ m⁻³]", yticks=[], title=WORDS[layer])
    axes[0, -1].legend(fontsize=8)
    return figure


def credit(table):
    """Mean absolute Shapley value of groups of covariates, for both layers, with intervals.

    table    DataFrame: layer, group, value, low, high
    returns  figure
    """
    import matplotlib.pyplot as plt

    order = table.groupby("group")["value"].max().sort_values().index
    figure, ax = plt.subplots(figsize=(8, 3.4))
    for k, layer in enumerate(dict.fromkeys(table["layer"])):
        one = table[table["layer"] == layer].set_index("group").reindex(order)
        error = np.nan_to_num(np.abs(one[["low", "high"]].to_numpy().T - one["value"].to_numpy()))
        ax.errorbar(one["value"], np.arange(len(order)) + 0.2 * (0.5 - k), xerr=error, fmt=MARK[layer], ms=5,
                    color=LAYER[layer], label=WORDS[layer])
    ax.set(yticks=range(len(order)), yticklabels=order, xlabel="mean absolute Shapley value [m³ m⁻³]", xlim=(0, None))
    ax.legend(loc="lower right")
    return figure


def landscapes(table, names):
    """RMSE over that of interpolation in several landscapes, by sets of covariates, with intervals.

    table    DataFrame: images, layer, name, ratio, ratio_low, ratio_high; empty: the figure says so
    names    {name of the set: words}
    returns  figure
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
    if not len(table):
        nothing(axes[0], "no landscapes")
        return figure
    there = list(dict.fromkeys(table["images"]))
    for ax, layer in zip(axes, WORDS):
        for k, (name, words) in enumerate(names.items()):
            one = table[(table["layer"] == layer) & (table["name"] == name)].set_index("images").reindex(there)
            ax.errorbar(np.arange(len(one)) + 0.2 * (k - (len(names) - 1) / 2), one["ratio"], _error(one, "ratio"),
                        fmt="o", color=COLOURS[("camera", "model", "quiet")[k % 3]], label=words)
        ax.axhline(1, color=COLOURS["truth"], lw=0.8)
        ax.set(xticks=range(len(there)), xticklabels=there, title=WORDS[layer], xlim=(-0.5, len(there) - 0.5),
               xlabel="what the images answer to")
    axes[0].set_ylabel("RMSE over that of interpolation")
    axes[1].legend(loc="lower right", fontsize=8)
    return figure


def _error(table, name):
    """Lengths of the bars below and above, (2, n)."""
    return np.nan_to_num(np.abs(table[[f"{name}_low", f"{name}_high"]].to_numpy(float).T - table[name].to_numpy(float)))
