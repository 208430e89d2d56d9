"""Soil moisture drawn: maps in degrees, series at stations, dry spells of two layers, scores with their intervals."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.plots import ALIKE, COLOURS, MISSING, MONTHS, draw_map, nothing, upright
from phenolib.plots.effects import MARKS

SEA = "#D5D9DF"  # paler than what is missing on land
LAYER = {"surface": "#4BA3D9", "root_zone": "#0B3C6F", "rain": "#9BB8CC"}  # the layers and the rain, in every figure
WORDS = {"surface": "surface", "root_zone": "root zone"}
WHO = {  # whose series or score: (colour, how its line is drawn)
    "truth": (COLOURS["truth"], "-"), "station": (COLOURS["observation"], "-"),
    "coarse": (COLOURS["radar"], (0, (4, 1.5))), "bilinear": (COLOURS["quiet"], (0, (1, 1.5))),
    "downscaled": (COLOURS["optical"], "-"), "corrected": (COLOURS["model"], "-"),
}
KINDS = {  # of a map: (colours, limits, label)
    "moisture": ("YlGnBu", None, "soil moisture [m³ m⁻³]"),
    "index": ("BrBG", (0.0, 100.0), "moisture index [%]"),
    "change": ("BrBG", None, "change of soil moisture [m³ m⁻³]"),
    "error": ("PuOr", None, "error [m³ m⁻³]"),
    "elevation": ("gist_earth", None, "elevation [m]"),
    "amount": ("cividis", None, ""),
}
DEGREE = 111_195.0  # of a great circle [m]


def in_metres(layer):
    """A map in degrees on a plane in metres that is true in the middle of the map.

    layer    (..., y, x) DataArray; y latitude, x longitude [°]
    returns  the same values; x and y in metres from the south-western pixel, eastward and northward
    raises   InputError for dimensions other than y and x, or coordinates that cannot be degrees
    """
    for d in "yx":
        if d not in layer.dims or d not in layer.coords:
            raise InputError(f"'{layer.name}' has the dimensions {list(layer.dims)}; a map in degrees needs y and x "
                             "with their coordinates")
    y, x = (np.asarray(layer[d], float) for d in "yx")
    if np.abs(y).max() > 90 or np.abs(x).max() > 360:
        raise InputError(f"'{layer.name}' has y up to {np.abs(y).max():g} and x up to {np.abs(x).max():g}; degrees are "
                         "needed, so draw maps in metres with plots.map_panel")
    wide = DEGREE * np.cos(np.radians(y.mean()))
    flat = layer.drop_vars("spatial_ref", errors="ignore")
    return flat.assign_coords(y=("y", DEGREE * (y - y.min())), x=("x", wide * (x - x.min())))


def map_in_degrees(ax, layer, *, title="", kind="moisture", limits=None, land=None, cmap=None, points=None):
    """One map of latitude and longitude in its true proportion, with scale bar; sea pale grey, missing land grey.

    ax       matplotlib axes
    layer    (y, x) DataArray in degrees; a scalar coordinate ``time`` is put behind the title
    title    of the map
    kind     one of ``KINDS``: its colours and limits
    limits   (low, high) of the colours; default those of the kind, else quantiles of 2 and 98 %
    land     (y, x) True on land, on the grid of the layer; None: all that is missing is called missing
    cmap     other colours than those of the kind
    points   DataFrame with lon, lat and, if they are to be coloured on the scale of the map, value; None: without
    returns  the image, for a colour bar
    raises   InputError for an unknown kind, or dimensions that are no map in degrees
    """
    if kind not in KINDS:
        raise InputError(f"kind '{kind}' of a map of moisture is not known{near(kind, KINDS)}")
    low, high = _limits([layer], kind, limits)
    flat = upright(in_metres(layer))
    if "time" in layer.coords and layer["time"].ndim == 0:
        title = ", ".join(w for w in (title, day_words(layer["time"].values)) if w)
    image = draw_map(ax, flat, title, cmap=cmap or KINDS[kind][0], vmin=low, vmax=high)
    if land is not None:
        _sea(ax, land, image)
    if points is not None and len(points):
        x, y = _on_map(points, layer, image)
        if "value" in points:
            ax.scatter(x, y, c=points["value"], cmap=image.get_cmap(), norm=image.norm, s=26, ec="black", lw=0.7,
                       zorder=4)
        else:
            ax.scatter(x, y, s=9, color=COLOURS["model"], ec="white", lw=0.4, zorder=4)
    return image


def moisture_maps(maps, titles=None, *, kind="moisture", limits=None, land=None, columns=3, label=None, cmap=None,
                  points=None, rows=None, width=8.0):
    """Maps side by side with one scale of colours; what is drawn of each is told by ``map_in_degrees``.

    maps     [(y, x) DataArray], row by row; None leaves a place empty
    titles   of the maps, as many; default the names of the arrays
    kind, limits, land, cmap, points   of ``map_in_degrees``; land on any grid of degrees (sampled at each map)
    columns  of maps
    label    of the colour bar, with its unit; default that of the kind
    rows     words at the left of each row; None: without
    width    of the figure [inch]
    returns  figure
    raises   InputError for no map, or another number of titles than maps
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    there = [m for m in maps if m is not None]
    if not there:
        raise InputError("there is no map to draw; give at least one (y, x) array")
    titles = [getattr(m, "name", "") or "" for m in maps] if titles is None else list(titles)
    if len(titles) != len(maps):
        raise InputError(f"{len(maps)} maps and {len(titles)} titles; give a title for each map")
    limits = _limits(there, kind, limits)
    count = -(-len(maps) // columns)
    first = in_metres(there[0])
    each = (width - 1.2) / columns
    tall = each * _span(first, "y") / _span(first, "x")
    figure, axes = plt.subplots(count, columns, squeeze=False, figsize=(width, count * (tall + 0.42) + 0.35))
    image, empty = None, False
    for k, ax in enumerate(axes.ravel()):
        one = maps[k] if k < len(maps) else None
        if one is None:
            ax.set_axis_off()
            if k < len(maps) and titles[k]:
                nothing(ax, titles[k])
            continue
        own = None if land is None else _sampled(land, one)
        image = map_in_degrees(ax, one, title=titles[k], kind=kind, limits=limits, land=own, cmap=cmap, points=points)
        lost = one.isnull() if own is None else one.isnull() & own.values
        empty |= bool(lost.any())
        if rows is not None and k % columns == 0:
            ax.set_ylabel(rows[k // columns], fontsize=10, fontweight="bold")
    beyond = [any(bool(past.any()) for past in side) for side in ([m < limits[0] for m in there],
                                                                  [m > limits[1] for m in there])]
    bar = figure.colorbar(image, ax=axes.ravel().tolist(), shrink=0.8, aspect=30, pad=0.015, extend={
        (True, True): "both", (True, False): "min", (False, True): "max"}.get(tuple(beyond), "neither"))
    bar.set_label(KINDS[kind][2] if label is None else label)
    marks = [Patch(facecolor=SEA, edgecolor="#767B84", lw=0.5, label="sea")] if land is not None else []
    if empty:
        marks.append(Patch(facecolor=MISSING, edgecolor="#767B84", lw=0.5, label="no value"))
    if marks:
        figure.legend(handles=marks, loc="outside lower left", ncols=2, fontsize=8, handlelength=1)
    return figure


def station_series(axes, series, *, band=None, rain=None, title="", label="soil moisture [m³ m⁻³]", legend=True):
    """Moisture through time at one place from several sources, the observation in black, rain as bars from above.

    axes    matplotlib axes
    series  {who: (time,) DataArray [m³ m⁻³]}; who is one of ``WHO``, whose colour it takes
    band    (low, high) of the last series: (time,) DataArrays of its interval; None: without
    rain    (time,) [mm d⁻¹]; None: without
    label   of the y axis
    legend  whether the sources are named above the axes
    raises  InputError for a source that has no colour
    """
    for k, (who, values) in enumerate(series.items()):
        if who not in WHO:
            raise InputError(f"the source '{who}' of a series has no colour{near(who, WHO)}")
        colour, line = WHO[who]
        time = np.asarray(values["time"])
        if band is not None and k == len(series) - 1:
            axes.fill_between(time, np.asarray(band[0], float), np.asarray(band[1], float), color=colour, alpha=0.2,
                              lw=0, zorder=1)
        axes.plot(time, np.asarray(values, float), color=colour, ls=line, zorder=2 + (who in ("truth", "station")),
                  lw=1.1 if who in ("truth", "station") else 1.5, label=who)
    if rain is not None:
        hang_rain(axes, rain)
    axes.set(ylabel=label)
    axes.set_title(title, fontsize=10)
    months(axes)
    if legend:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.08 if title else 1.0), ncols=5, borderaxespad=0.1,
                    handlelength=2.2)


def hang_rain(axes, rain, *, share=0.3):
    """Rain as bars that hang from the upper edge, on a scale of its own at the right.

    rain     (time,) [mm d⁻¹]
    share    of the height that the largest bar takes [-]
    returns  the axes of the rain
    """
    fall = np.nan_to_num(np.asarray(rain, float))
    twin = axes.twinx()
    twin.bar(np.asarray(rain["time"]), fall, width=1.0, color=LAYER["rain"], lw=0, zorder=0)
    most = max(float(fall.max()), 1.0)
    twin.set_ylim(most / share, 0)
    step = 10 ** np.floor(np.log10(most))
    step *= max(m for m in (1, 2, 5) if m * step <= most)
    twin.set_yticks([0, step], [f"{0:g}", f"{step:g}"])
    twin.set_ylabel("rain [mm d⁻¹]", loc="top", fontsize=9)
    twin.spines["right"].set_visible(False)
    twin.tick_params(length=2)
    twin.grid(False)
    axes.set_zorder(twin.get_zorder() + 1)
    axes.patch.set_visible(False)
    return twin


def dry_spell(rain, layers, *, spread=None, spell=None, recovered=None, limits=(20, 40), width=8.0,
              label="moisture index [%]"):
    """Rain above, and below it each layer through a dry spell, with the days on which it was well again.

    rain       (time,) [mm d⁻¹]
    layers     {layer: (time,) DataArray}, e.g. the mean over land of the moisture index
    spread     {layer: (low, high)} of (time,) DataArrays drawn as a band; None: without
    spell      (first, last) day of the spell, shaded; None: without
    recovered  {layer: day}, marked; a layer without a day, or NaT, has not recovered within the series
    limits     levels drawn as lines, e.g. those below which a spell begins and above which it is over; () for none
    label      of the layers' axis
    returns    figure
    """
    import matplotlib.pyplot as plt
    from matplotlib.patheffects import withStroke

    figure, (top, low) = plt.subplots(2, 1, sharex=True, figsize=(width, 4.2), height_ratios=(1, 2.6))
    top.bar(np.asarray(rain["time"]), np.nan_to_num(np.asarray(rain, float)), width=1.0, color=LAYER["rain"], lw=0)
    top.set_ylabel("rain [mm d⁻¹]")
    for axes in (top, low):
        if spell is not None:
            axes.axvspan(*(pd.Timestamp(d) for d in spell), color="#F6E7CF", lw=0, zorder=0)
    for level in limits:
        low.axhline(level, color=COLOURS["quiet"], lw=0.9, ls=":", zorder=1)
    for name, values in layers.items():
        colour = LAYER.get(name, COLOURS["camera"])
        time = np.asarray(values["time"])
        if spread is not None and name in spread:
            low.fill_between(time, *(np.asarray(v, float) for v in spread[name]), color=colour, alpha=0.18, lw=0,
                             zorder=1)
        low.plot(time, np.asarray(values, float), color=colour, lw=1.8, zorder=3, label=WORDS.get(name, name))
        day = pd.Timestamp((recovered or {}).get(name, pd.NaT))
        if pd.notna(day) and day in values.indexes["time"]:
            at = float(values.sel(time=day))
            low.plot([day], [at], "o", ms=7, color=colour, mec="white", mew=1, zorder=4)
            low.annotate(f"{day.day} {MONTHS[day.month - 1]}", (day, at), xytext=(7, -11), fontsize=9, color=colour,
                         textcoords="offset points", zorder=4,
                         path_effects=[withStroke(linewidth=3, foreground="white")])
    low.set(ylabel=label)
    months(low)
    low.legend(loc="lower left", ncols=len(layers))
    if spell is not None:
        top.annotate("dry spell", (pd.Timestamp(spell[0]), 1), xycoords=("data", "axes fraction"), xytext=(4, -4),
                     textcoords="offset points", va="top", fontsize=9, color="#7A5A1E")
    return figure


def score_bars(axes, table, value, *, label, by="layer", who="method", low="low", high="high", marks=None):
    """A score of each method with its interval, in one group for each layer.

    axes    matplotlib axes
    table   DataFrame: the columns by, who, value and, where known, low and high
    value   column of the score
    label   of the y axis, with its unit
    by      column with a group for each value, e.g. the layer
    who     column with the method; those of ``WHO`` and the layers take its colour
    marks   {group: (low, high) or a number} of published scores, drawn as a grey band or line behind; None: without
    raises  InputError for a column that is not there
    """
    for name in (by, who, value):
        if name not in table:
            raise InputError(f"the table of scores has no column '{name}'{near(name, table.columns)}")
    groups, methods = list(pd.unique(table[by])), list(pd.unique(table[who]))
    step = 0.8 / max(len(methods), 1)
    for k, method in enumerate(methods):
        own = table[table[who] == method].set_index(by).reindex(groups)
        place = np.arange(len(groups)) + (k - (len(methods) - 1) / 2) * step
        error = None
        if {low, high} <= set(own):
            error = np.nan_to_num(np.abs(np.stack([own[value] - own[low], own[high] - own[value]]).astype(float)))
        colour = WHO[method][0] if method in WHO else LAYER.get(method, COLOURS["camera"])
        axes.errorbar(place, own[value].astype(float), error, fmt=MARKS[k % len(MARKS)], ms=6, lw=1.6, color=colour,
                      label=WORDS.get(method, str(method)), zorder=3)
    for k, group in enumerate(groups):
        if marks and group in marks:
            ends = np.atleast_1d(marks[group]).astype(float)
            axes.fill_between([k - 0.46, k + 0.46], ends.min(), ends.max(), color=ALIKE, lw=0, zorder=0)
            for end in set(ends):
                axes.hlines(end, k - 0.46, k + 0.46, color=COLOURS["quiet"], lw=1, zorder=1)
    axes.set(xticks=range(len(groups)), xticklabels=[WORDS.get(g, str(g)) for g in groups], ylabel=label,
             xlim=(-0.6, len(groups) - 0.4))
    axes.tick_params(axis="x", length=0)


def day_words(day):
    """A date as it stands in titles: 5 Jun 2020."""
    day = pd.Timestamp(day)
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def months(axes):
    """Dates on the x axis in few words: months, and the year where it changes."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=4, maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _limits(maps, kind, limits):
    """The ends of the colours for all maps together; even about zero for changes and errors."""
    if kind not in KINDS:
        raise InputError(f"kind '{kind}' of a map of moisture is not known{near(kind, KINDS)}")
    limits = KINDS[kind][1] if limits is None else limits
    if limits is None:
        finite = np.concatenate([np.asarray(m.values, float)[np.isfinite(m.values)] for m in maps])
        limits = np.quantile(finite, (0.02, 0.98)) if finite.size else (0.0, 1.0)
        if kind in ("change", "error"):
            limits = np.array([-1, 1]) * np.abs(limits).max()
    low, high = (float(v) for v in limits)
    return (low, high) if high > low else (low - 0.01, high + 0.01)


def _span(flat, dim):
    """Width or height of a map with its outer pixels [m]."""
    along = np.asarray(flat[dim], float)
    return np.ptp(along) + abs(along[1] - along[0])


def _sampled(land, layer):
    """Land at the pixels of a map: that of the pixel, or for coarser maps wherever any land is."""
    step, own = (abs(float(a["y"][1] - a["y"][0])) for a in (layer, land))
    if step < 1.5 * own:
        return land.astype(bool).reindex(y=layer["y"], x=layer["x"], method="nearest")
    share = xr.DataArray(np.zeros(layer.shape), {"y": layer["y"], "x": layer["x"]}, ("y", "x"))
    rows, cols = (np.abs(np.asarray(land[d])[:, None] - np.asarray(layer[d])[None]).argmin(1) for d in "yx")
    np.add.at(share.values, (rows[:, None], cols[None]), np.asarray(land, float))
    return share > 0


def _sea(ax, land, image):
    """Paint the sea over a map."""
    from matplotlib.colors import ListedColormap

    wet = upright(in_metres((~land.astype(bool)).astype(float)))
    ax.imshow(wet.where(wet > 0), extent=image.get_extent(), interpolation="nearest", cmap=ListedColormap([SEA]))


def _on_map(points, layer, image):
    """Places in the coordinates of a drawn map [m]."""
    _, wide, _, high = image.get_extent()
    y, x = (np.asarray(layer[d], float) for d in "yx")
    ends = [(v.min() - abs(v[1] - v[0]) / 2, v.max() + abs(v[1] - v[0]) / 2) for v in (x, y)]
    return (wide * (points["lon"] - ends[0][0]) / (ends[0][1] - ends[0][0]),
            high * (points["lat"] - ends[1][0]) / (ends[1][1] - ends[1][0]))
