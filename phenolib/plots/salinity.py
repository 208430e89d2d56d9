"""Salinity drawn: maps of years, areas and transitions of classes, spectra, importance, correlations of indices."""

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.plots import ALIKE, COLOURS, MISSING, draw_map, upright
from phenolib.plots.effects import LINES, MARKS, SEVERAL

SALT = "plasma"  # from dark (little salt) to bright (much); no grey in it, which means that nothing is known
CLASSES = {0: ("none", "#20068F"), 1: ("slight", "#8606A6"), 2: ("moderate", "#D04D73"), 3: ("heavy", "#F9983E"),
           4: ("solonchak", "#F4ED27")}  # of ``salinity.classify``, along the same colours; for ``plots.class_panel``
PERSISTENCE = {0: ("stable low", "#2C5A8C"), 1: ("fluctuating", "#E4E6EA"), 2: ("persistent high", "#D55E00"),
               3: ("rising", "#F3B49F"), 4: ("falling", "#A9C6E5")}  # of ``salinity_maps.persistence``
WAVELENGTHS = {"B02": 492, "B03": 560, "B04": 665, "B05": 704, "B06": 741, "B07": 783, "B08": 833, "B8A": 865,
               "B11": 1614, "B12": 2202, "blue": 482, "green": 561, "red": 655, "nir": 865, "swir1": 1609,
               "swir2": 2201}  # centres [nm]
TICKS = (0.1, 0.2, 0.5, 1, 2, 4, 6, 10, 20, 40, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)


def salt_maps(maps, *, outside=None, limits=(0.5, 20.0), columns=4, label="salt content", unit="g/kg", width=8.0):
    """Maps of years side by side with one logarithmic scale of colours, scale bar and north.

    maps     (year, y, x) or (y, x) DataArray of amounts above 0
    outside  bool (year, y, x) or (y, x): beyond the area of applicability, drawn pale grey; None: nothing
    limits   (low, high) of the colours, in the unit of the maps
    columns  of maps, at most
    label, unit   of the colour bar
    width    of the figure [inch]
    returns  figure
    raises   InputError for limits that are not above 0 in order, or no dimensions y and x
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap, LogNorm
    from matplotlib.patches import Patch

    low, high = (float(v) for v in limits)
    if not 0 < low < high:
        raise InputError(f"limits = {limits}: a logarithmic scale needs two numbers above 0, the smaller first")
    maps = maps if "year" in maps.dims else maps.expand_dims("year")
    count = maps.sizes["year"]
    columns = min(columns, count)
    rows = -(-count // columns)
    first = upright(maps.isel(year=0))
    tall = first.sizes["y"] * abs(float(first["y"][1] - first["y"][0]))
    wide = first.sizes["x"] * abs(float(first["x"][1] - first["x"][0]))
    each = (width - 1.1) / columns
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=(width, rows * (each * tall / wide + 0.6) + 0.5))
    hidden = False
    for k, ax in enumerate(axes.ravel()):
        if k >= count:
            ax.set_visible(False)
            continue
        layer = upright(maps.isel(year=k))
        image = draw_map(ax, layer.clip(min=low / 10), "", cmap=SALT, norm=LogNorm(low, high))
        ax.set_title(f"{layer['year'].item():.0f}" if "year" in layer.coords else label, fontsize=10)
        if outside is not None:
            beyond = upright((outside.isel(year=k) if "year" in outside.dims else outside).astype(float))
            beyond = beyond.reindex_like(layer, method="nearest", tolerance=1e-3)
            beyond = beyond.where((beyond > 0.5) & layer.notnull())
            ax.imshow(beyond, extent=image.get_extent(), interpolation="nearest", cmap=ListedColormap([ALIKE]))
            hidden |= bool(beyond.notnull().any())
    _north(axes[0, 0])
    bar = figure.colorbar(image, ax=axes.ravel().tolist(), shrink=0.85, aspect=28, pad=0.015, extend="both")
    ticks = [t for t in TICKS if low <= t <= high]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.minorticks_off()
    bar.set_label(f"{label} [{unit}]")
    marks = [Patch(facecolor=ALIKE, edgecolor="#767B84", label="beyond the area of applicability")] if hidden else []
    if bool(maps.isnull().any()):
        marks.append(Patch(facecolor=MISSING, edgecolor="#767B84", label="no value"))
    if marks:
        figure.legend(handles=marks, loc="outside lower left", ncols=2, fontsize=8, handlelength=1)
    return figure


def _north(ax):
    """An arrow to the north above the upper right corner of a map."""
    ax.annotate("", (0.97, 1), xytext=(0, 19), xycoords="axes fraction", textcoords="offset points",
                annotation_clip=False, arrowprops={"arrowstyle": "<|-", "color": "black", "lw": 1, "shrinkA": 0,
                                                   "shrinkB": 3})
    ax.annotate("N", (0.97, 1), xytext=(-6, 7), xycoords="axes fraction", textcoords="offset points", ha="right",
                va="center", fontsize=8, annotation_clip=False)


def class_bars(areas, *, width=8.0):
    """Area of each class by year: bars as mapped, dots with their interval as corrected for errors of the map.

    areas    DataFrame of ``salinity_maps.class_areas``
    width    of the figure [inch]
    returns  figure
    raises   InputError for a column that is not there
    """
    import matplotlib.pyplot as plt

    for name in ("year", "class", "hectares"):
        if name not in areas:
            raise InputError(f"the table of areas has no column '{name}'{near(name, areas.columns)}")
    names = list(pd.unique(areas["class"]))
    figure, axes = plt.subplots(1, len(names), sharey=True, squeeze=False, figsize=(width, 2.9))
    colours, scale, unit = {name: colour for name, colour in CLASSES.values()}, 1.0, "ha"
    if areas["hectares"].max() >= 2e4:
        scale, unit = 1e-3, "1000 ha"
    for ax, name in zip(axes[0], names):
        own = areas[areas["class"] == name].sort_values("year")
        ax.bar(own["year"], scale * own["hectares"], 0.75, color=colours.get(name, COLOURS["quiet"]), zorder=2,
               label="as mapped")
        if "corrected" in own and own["corrected"].notna().any():
            error = scale * np.abs(np.stack([own["corrected"] - own["low"], own["high"] - own["corrected"]]))
            ax.errorbar(own["year"], scale * own["corrected"], error, fmt="o", ms=4, lw=1.3, color=COLOURS["truth"],
                        zorder=3, label="corrected for errors of the map")
        years = own["year"].to_numpy()
        ax.set_title(name, fontsize=10)
        ax.set(xticks=years[::3] if len(years) > 4 else years)
        ax.set_xticklabels([f"{y:.0f}" for y in ax.get_xticks()])
    axes[0, 0].set_ylabel(f"area [{unit}]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if len(handles) > 1:
        from matplotlib.patches import Patch

        handles[labels.index("as mapped")] = Patch(facecolor=MISSING)
        figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return figure


def transition_matrix(axes, counts, *, title=""):
    """Shares of each class that are in each class a year later, as a coloured table; counts stand at the right.

    axes     matplotlib axes
    counts   DataFrame of ``salinity_maps.transitions``: class before by rows, class after by columns
    title    of the axes
    returns  the image, for a colour bar
    """
    total = counts.sum(axis=1).to_numpy(float)
    share = counts.to_numpy(float) / np.where(total > 0, total, np.nan)[:, None]
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        if np.isfinite(value):
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=9,
                      color="white" if value > 0.55 else "black")
    for row, n in enumerate(total):
        axes.annotate(f"{100 * n / max(total.sum(), 1):.0f} %", (1, row), xycoords=("axes fraction", "data"),
                      xytext=(6, 0), textcoords="offset points", va="center", fontsize=8, color=COLOURS["quiet"])
    axes.annotate("of all", (1, 1), xycoords="axes fraction", xytext=(6, 3), textcoords="offset points", fontsize=8,
                  color=COLOURS["quiet"], va="bottom")
    axes.set(xticks=range(len(counts.columns)), yticks=range(len(counts)), xlabel="class after [% of the row]",
             ylabel="class before")
    axes.set_xticklabels(counts.columns, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticklabels(counts.index)
    axes.set_title(title, fontsize=10)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def spectra_by_class(axes, bands, classes, *, names=None, spread=(0.25, 0.75), least=3):
    """Median reflectance of each class along the wavelength, with the range between two quantiles.

    axes     matplotlib axes
    bands    DataFrame of reflectance [-], columns of ``WAVELENGTHS``
    classes  (n,) whole numbers, −1 for missing
    names    {number: (name, colour)}; default ``CLASSES``
    spread   quantiles of the range
    least    samples of a class that is drawn
    raises   InputError for a band that is not known, or another number of classes than rows
    """
    from matplotlib.patheffects import withStroke

    names, classes = names or CLASSES, np.asarray(classes)
    for band in bands:
        if band not in WAVELENGTHS:
            raise InputError(f"the wavelength of band '{band}' is not known{near(band, WAVELENGTHS)}")
    if len(bands) != classes.size:
        raise InputError(f"{len(bands)} spectra and {classes.size} classes; give a class for each")
    where = np.array([WAVELENGTHS[b] for b in bands])
    order = np.argsort(where)
    for k, (code, (name, colour)) in enumerate(names.items()):
        own = bands.to_numpy(float)[classes == code][:, order]
        own = own[np.isfinite(own).all(1)]
        if len(own) < least:
            continue
        low, middle, high = np.quantile(own, [spread[0], 0.5, spread[1]], axis=0)
        axes.fill_between(where[order], low, high, color=colour, alpha=0.16, lw=0, zorder=1)
        axes.plot(where[order], middle, marker=MARKS[k % len(MARKS)], ms=4.5, ls=LINES[k % len(LINES)], color=colour,
                  mec="#444444", mew=0.4, zorder=3, label=f"{name} ({len(own)})",
                  path_effects=[withStroke(linewidth=2.6, foreground="#666666")])
    axes.set(xlabel="wavelength [nm]", ylabel="reflectance [-]", ylim=(0, None))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.3, title="class (samples)",
                alignment="left")


def importance(axes, table, *, label="importance", colours=None):
    """How much each group of inputs matters by several methods: dots with intervals, the largest on top.

    axes     matplotlib axes; some 0.35 inch of height for each group is enough
    table    DataFrame: group, method, value, and low, high where they are known
    label    of the x axis, with its unit
    colours  {method: name in ``plots.COLOURS``}; default in order
    raises   InputError for a column that is not there, or more methods than colours
    """
    for name in ("group", "method", "value"):
        if name not in table:
            raise InputError(f"the table of importance has no column '{name}'{near(name, table.columns)}")
    methods = list(pd.unique(table["method"]))
    if len(methods) > len(SEVERAL):
        raise InputError(f"{len(methods)} methods are too many for one figure; give at most {len(SEVERAL)}")
    groups = table.groupby("group", sort=False)["value"].mean().sort_values(ascending=False, kind="stable").index
    axes.axvline(0, color=COLOURS["quiet"], lw=1, zorder=1)
    for k, method in enumerate(methods):
        own = table[table["method"] == method].set_index("group").reindex(groups)
        place = np.arange(len(groups)) + (k - (len(methods) - 1) / 2) * 0.7 / max(len(methods), 2)
        error = None
        if {"low", "high"} <= set(own):
            error = np.nan_to_num(np.abs(np.stack([own["value"] - own["low"], own["high"] - own["value"]])))
        colour = COLOURS[(colours or {}).get(method, SEVERAL[k])]
        axes.errorbar(own["value"], place, xerr=error, fmt=MARKS[k], ms=5, lw=1.5, color=colour, label=str(method),
                      zorder=3)
    axes.set(yticks=range(len(groups)), yticklabels=groups, ylim=(len(groups) - 0.4, -0.6), xlabel=label)
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)
    if len(methods) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(len(methods), 3), borderaxespad=0.2)


def predicted_observed(axes, observed, predicted, *, low=None, high=None, groups=None, unit="g/kg", what="salt content",
                       limits=None, title=""):
    """Predictions against observations on logarithmic axes with the line of equal values.

    axes                 matplotlib axes
    observed, predicted  (n,) above 0, in the unit
    low, high            (n,) intervals of the predictions, or None
    groups               (n,) labels with a colour and mark each, at most six, or None
    unit, what           of both axes
    limits               (low, high) of both axes; default what the values need
    title                of the axes
    returns              number of pairs that are drawn; those with a value that is missing or not above 0 are not
    raises               InputError for more groups than marks
    """
    from matplotlib.ticker import NullLocator

    observed, predicted = np.asarray(observed, float), np.asarray(predicted, float)
    good = (observed > 0) & (predicted > 0) & np.isfinite(observed * predicted)
    if limits is None:
        both = np.concatenate([observed[good], predicted[good]]) if good.any() else np.array([1.0, 10.0])
        limits = both.min() / 1.25, both.max() * 1.25
    labels = np.zeros(observed.size, int) if groups is None else np.asarray(groups)
    names = list(pd.unique(labels[good]))
    if len(names) > len(SEVERAL):
        raise InputError(f"{len(names)} groups are too many for one figure; give at most {len(SEVERAL)}")
    axes.plot(limits, limits, "-", color=COLOURS["truth"], lw=1, zorder=1)
    for k, name in enumerate(names):
        own = good & (labels == name)
        colour = COLOURS[SEVERAL[0] if groups is None else SEVERAL[k]]
        if low is not None and high is not None:
            axes.vlines(observed[own], np.asarray(low, float)[own].clip(limits[0]), np.asarray(high, float)[own],
                        color=colour, lw=0.7, alpha=0.3, zorder=2)
        axes.plot(observed[own], predicted[own], MARKS[k], ms=4, color=colour, alpha=0.7, mec="none", zorder=3,
                  label=None if groups is None else str(name))
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits, xlabel=f"observed {what} [{unit}]",
             ylabel=f"predicted {what} [{unit}]", aspect="equal")
    tens = np.log10(limits[1] / limits[0]) > 2.2
    ticks = [t for t in TICKS if limits[0] <= t <= limits[1] and (np.log10(t) % 1 == 0 if tens else t not in (4, 6))]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        axis.set_minor_locator(NullLocator())
    axes.set_title(title, fontsize=10)
    if groups is not None:
        axes.legend(loc="upper left", borderaxespad=0.2, handletextpad=0.2)
    return int(good.sum())


def correlations(values, *, groups=None, width=8.0):
    """Rank correlations of indices, ordered so that those that tell the same stand together.

    Clusters by average linkage of 1 − |ρ|, ρ Spearman's.

    values   DataFrame, a column for each index; constant ones are left out
    groups   {index: name of its group}, drawn as colours of the names; None: all alike
    width    of the figure [inch]
    returns  figure
    raises   InputError with fewer than two indices that vary
    """
    import matplotlib.pyplot as plt
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    rho = values.loc[:, values.nunique() > 1].corr("spearman", min_periods=10)
    rho = rho.loc[rho.notna().sum() > 1, rho.notna().sum() > 1]
    if len(rho) < 2:
        raise InputError("correlations need at least two indices that vary, with ten values in common")
    apart = 1 - np.abs(rho.fillna(0).to_numpy())
    np.fill_diagonal(apart, 0)
    order = leaves_list(linkage(squareform(apart, checks=False), "average", optimal_ordering=True))
    rho = rho.iloc[order, order]
    figure, ax = plt.subplots(figsize=(width, 0.92 * width))
    image = ax.imshow(rho, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.set(xticks=range(len(rho)), yticks=range(len(rho)))
    ax.set_xticklabels(rho.columns, rotation=90, fontsize=8)
    ax.set_yticklabels(rho.index, fontsize=8)
    kinds = list(dict.fromkeys((groups or {}).values()))
    colour = dict(zip(kinds, (COLOURS[c] for c in ("optical", "model", "camera", "radar")))) if groups else {}
    for names in (ax.get_xticklabels(), ax.get_yticklabels()):
        for word in names:
            word.set_color(colour.get((groups or {}).get(word.get_text(), ""), "black"))
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=ax, shrink=0.6, aspect=25)
    bar.set_label("rank correlation [-]")
    if groups:
        from matplotlib.patches import Patch

        figure.legend(handles=[Patch(color=c, label=k) for k, c in colour.items() if k], loc="outside lower center",
                      ncols=len(colour), title="colour of the names")
    return figure

