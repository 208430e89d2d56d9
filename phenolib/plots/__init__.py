"""One style, one colour for the same thing in the whole book, and pictures with their text."""

import base64
import html
import io
import json

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import curves as smoothers
from phenolib import files
from phenolib.errors import InputError, near
from phenolib.sources import phenocam
from phenolib.sources.crop_classes import CDL as CDL

COLOURS = {  # safe for the common kinds of colour blindness
    "camera": "#0072B2",
    "optical": "#009E73",
    "radar": "#8E5EA2",
    "model": "#D55E00",
    "clock": "#7A3B00",
    "truth": "#000000",
    "observation": "#000000",
    "quiet": "#8A8F98",
    "late": "#B2182B",
    "early": "#2166AC",
}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def style():
    """The one style of the book, for all figures that follow."""
    import matplotlib as mpl

    mpl.rcParams.update({
        "figure.figsize": (8, 3.6), "figure.dpi": 100, "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "axes.facecolor": "white", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "axes.grid.axis": "y", "axes.axisbelow": True, "axes.titlelocation": "left", "axes.titlesize": 11,
        "axes.titleweight": "bold", "axes.labelsize": 10, "axes.edgecolor": "#444444", "grid.color": "#E4E6EA",
        "grid.linewidth": 0.8, "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.frameon": False,
        "legend.fontsize": 9, "font.size": 10, "lines.linewidth": 1.6, "savefig.facecolor": "white",
        "axes.prop_cycle": mpl.cycler(color=[COLOURS[k] for k in ("camera", "optical", "radar", "model", "quiet")]),
        "axes.formatter.useoffset": False,
    })


def show(figure, alt, *, name=""):
    """Show a figure in a notebook as a PNG with its alternative text, and close it.

    figure  matplotlib Figure, or anything that belongs to one (axes, lines, a list of lines)
    alt     what a reader who cannot see the picture needs to know; one to three sentences
    name    "main" for the picture that the book puts at the top of the chapter
    raises  ValueError without a text
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    if len(str(alt).split()) < 5:
        raise ValueError("a figure needs an alternative text that says what is to be seen")
    while not hasattr(figure, "savefig"):
        figure = figure[0] if isinstance(figure, list | tuple | np.ndarray) else figure.figure
    width = int(figure.get_figwidth() * 100)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=180, metadata={"Software": None})
    plt.close(figure)
    png = {"image/png": base64.b64encode(image.getvalue()).decode(), "text/plain": f"[figure: {alt}]"}
    display(png, raw=True, metadata={"image/png": {"width": width, "alt": alt, "name": name}})


def series(axes, observed, curve=None, *, outliers=None, colour="camera", label=None):
    """Observations as dots and a smooth curve through them on one axis.

    axes      matplotlib axes
    observed  (time,) DataArray
    curve     (time,) DataArray, or None
    outliers  (time,) True where an observation is not used
    """
    good = observed if outliers is None else observed.where(~outliers)
    axes.plot(good["time"], good, ".", ms=3.5, color=COLOURS["observation"], alpha=0.5, zorder=2)
    if outliers is not None and bool(outliers.any()):
        bad = observed.where(outliers)
        axes.plot(bad["time"], bad, "x", ms=5, color=COLOURS["late"], zorder=2)
    if curve is not None:
        axes.plot(curve["time"], curve, "-", color=COLOURS[colour], zorder=3, label=label)
    axes.set_ylabel(f"{observed.attrs.get('long_name', observed.name)} [{observed.attrs.get('units', '-')}]")


def season_marks(axes, rows, curve, *, shares=(20, 50), text=True):
    """Start and end dates of seasons as marks on their curve.

    axes    matplotlib axes with the curve
    rows    DataFrame of ``phenology.table``
    curve   (time,) daily DataArray
    shares  which thresholds to mark [%]: filled marks for the first, open ones for the others
    """
    value = curve.to_series()
    for event, mark in (("sos", ">"), ("eos", "<")):
        for k, share in enumerate(shares):
            days = rows[f"{event}{share:02d}"].dropna().dt.round("D")
            axes.plot(days, value.reindex(days), mark, ms=7, color=COLOURS["model"], zorder=4, ls="",
                      mfc=COLOURS["model"] if k == 0 else "white")
            if text and k == 0:
                for day, y in zip(days, value.reindex(days)):
                    axes.annotate(f"{day.day} {MONTHS[day.month - 1]}", (day, y), textcoords="offset points",
                                  fontsize=8, xytext=(-6, 4) if event == "sos" else (6, 4),
                                  ha="right" if event == "sos" else "left")


def event(axes, row, metric, *, around=150, **smoothing):
    """The series around one reference event, with the reference date in black and ours in orange.

    axes       matplotlib axes
    row        an event: path, series, direction, share, date, found (NaT where there is none), reread if there is one
    metric     which greenness
    around     days shown on either side
    smoothing  options of ``curves.smooth``
    """
    values = phenocam.greenness(phenocam.read(row.path), metric)
    curve = smoothers.smooth(values, **smoothing)
    again = getattr(row, "reread", pd.NaT)
    middle = pd.Timestamp(row.date if pd.isna(again) else again)
    span = slice(middle - pd.Timedelta(around, "D"), middle + pd.Timedelta(around, "D"))
    unobserved(axes, values["time"], values, longest=smoothing.get("max_gap", 30))
    series(axes, values.sel(time=span), curve.sel(time=span))
    axes.axvline(middle, color=COLOURS["truth"], lw=1.4)
    words = "left out" if pd.isna(row.found) else f"{(row.found - middle) / pd.Timedelta(1, 'D'):+.0f} days"
    if pd.notna(row.found):
        axes.axvline(row.found, color=COLOURS["model"], lw=1.8)
    axes.set(xlim=(span.start, span.stop), ylabel="greenness [-]",
             title=f"{row.series}: {row.direction} {row.share} %, {middle:%d %b %Y}; ours: {words}")


def unobserved(axes, time, value, *, longest=30):
    """Shade the stretches of time without an observation for more than ``longest`` days."""
    days = pd.DatetimeIndex(np.asarray(time)[np.isfinite(np.asarray(value, float))])
    for before, after in zip(days[:-1], days[1:]):
        if (after - before).days > longest:
            axes.axvspan(before, after, color="#F2DCDC", lw=0, zorder=0)


def site_map(axes, sites, *, colour=None, size=28, labels=()):
    """Sites on a map with country and state outlines, longitude against latitude.

    axes    matplotlib axes
    sites   DataFrame with site, lon, lat
    colour  (n,) matplotlib colours, or None
    labels  sites to name
    """
    known = sites[["lon", "lat"]].notna().all(axis=1).to_numpy()
    sites, colour = sites[known], None if colour is None else np.asarray(colour)[known]
    if sites.empty:
        axes.text(0.5, 0.5, "no site has a known place", ha="center", transform=axes.transAxes)
        return
    root = files.checkout()
    pad = max(2.0, 0.08 * max(np.ptp(sites["lon"]), np.ptp(sites["lat"])))
    west, east = sites["lon"].min() - pad, sites["lon"].max() + pad
    south, north = sites["lat"].min() - pad, sites["lat"].max() + pad
    if root and (root / "data" / "outlines.csv").is_file():
        lines = pd.read_csv(root / "data" / "outlines.csv")
        for (layer, _), line in lines.groupby(["layer", "line"]):
            axes.plot(line["lon"], line["lat"], color="#9AA0A8" if layer == "country" else "#C9CDD3",
                      lw=0.9 if layer == "country" else 0.6, zorder=1)
    axes.scatter(sites["lon"], sites["lat"], s=size, c=colour if colour is not None else COLOURS["camera"],
                 edgecolor="white", linewidth=0.6, zorder=3)
    step, last = 0.045 * (north - south), -np.inf
    for row in sites[sites["site"].isin(labels)].sort_values("lat").itertuples():  # upwards, never over one another
        last = max(row.lat, last + step)
        side = -1 if row.lon > west + 0.6 * (east - west) else 1  # towards the middle of the map
        axes.annotate(row.site, (row.lon, row.lat), xytext=(row.lon + side * 0.02 * (east - west), last), fontsize=8,
                      va="center", ha="left" if side > 0 else "right", zorder=5,
                      bbox=dict(facecolor="white", edgecolor="none", alpha=0.85, pad=0.6),
                      arrowprops=dict(arrowstyle="-", lw=0.5, color="#444444", shrinkA=0, shrinkB=2))
    axes.set(xlim=(west, east), ylim=(south, north), xlabel="longitude [°]", ylabel="latitude [°]")
    axes.set_aspect(1 / np.cos(np.radians((south + north) / 2)))
    axes.grid(False)
    scale_bar(axes, west, east, south, north)


def scale_bar(axes, west, east, south, north):
    """A scale bar of a round number of kilometres in the lower left corner of a map in degrees."""
    degree = 111.32 * np.cos(np.radians(south + 0.06 * (north - south)))
    long = 0.22 * (east - west) * degree
    step = 10 ** np.floor(np.log10(long))
    kilometres = step * max(m for m in (1, 2, 5) if m * step <= long)
    x, y = west + 0.04 * (east - west), south + 0.05 * (north - south)
    axes.plot([x, x + kilometres / degree], [y, y], color="black", lw=2, zorder=4)
    axes.text(x, y + 0.015 * (north - south), f"{kilometres:g} km", fontsize=8, va="bottom", zorder=4)


def strips(axes, samples, *, limit=None, seed=0):
    """Samples as strips of dots, one below the other, each with a bar at its median.

    axes     matplotlib axes
    samples  label → (n,) numbers
    limit    values beyond ± limit are drawn at the edge
    """
    rng = np.random.default_rng(seed)
    if not samples:
        nothing(axes, "no values to show")
    for k, sample in enumerate(samples.values()):
        sample = np.asarray(sample, float)
        sample = sample[np.isfinite(sample)]
        shown = sample if limit is None else sample.clip(-limit, limit)
        axes.plot(shown, k + rng.uniform(-0.28, 0.28, sample.size), ".", ms=4, alpha=0.4, color=COLOURS["camera"])
        if sample.size:
            axes.plot(np.median(shown), k, "|", ms=24, mew=3, color=COLOURS["model"])
    axes.set(yticks=range(len(samples)), yticklabels=list(samples), ylim=(len(samples) - 0.4, -0.6))
    axes.grid(False)


def halves(axes, left, right, *, least=20):
    """Two samples of each group as the halves of a violin, with a bar at each median; returns a mark for each side.

    left, right  (colour of ``COLOURS``, {group: (n,) numbers}); the groups of ``left`` give the order
    least        numbers below which a half is not drawn
    """
    from matplotlib.patches import Patch

    marks = []
    for side, (colour, groups) in (("low", left), ("high", right)):
        found = {g: np.asarray(values, float)[np.isfinite(values)] for g, values in groups.items()}
        place = [k for k, g in enumerate(left[1]) if found.get(g, np.empty(0)).size >= least]
        if place:
            drawn = axes.violinplot([found[list(left[1])[k]] for k in place], place, side=side, widths=0.9,
                                    showextrema=False, showmedians=True)
            for body in drawn["bodies"]:
                body.set(facecolor=COLOURS[colour], alpha=0.7)
            drawn["cmedians"].set_color(COLOURS["truth"])
        marks.append(Patch(color=COLOURS[colour], alpha=0.7))
    axes.axhline(0, color=COLOURS["truth"], lw=0.8)
    axes.set_xticks(range(len(left[1])), left[1], rotation=35, ha="right")
    return marks


def nothing(axes, words):
    """An empty figure that says why it is empty."""
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=COLOURS["quiet"])
    axes.set(xticks=[], yticks=[])


def bars(axes, counts):
    """Counts as horizontal bars with their numbers, the largest on top. counts: (n,) Series."""
    axes.barh(counts.index[::-1].astype(str), counts[::-1], color=COLOURS["camera"])
    axes.bar_label(axes.containers[0], padding=3, fontsize=9)
    axes.grid(False)


def season_slider(observed, curves, *, threshold=0.2, alt):
    """A figure to play with: move the threshold and the smoothing, and see the dates move.

    observed   (time,) DataArray of one season
    curves     name of a smoothing → (time,) daily DataArray
    threshold  where the slider starts [-]
    alt        alternative text of the figure
    returns    an HTML object; it needs no network and no kernel
    """
    from importlib.resources import files as resources

    from IPython.display import HTML

    first = np.asarray(observed["time"].values[0], "datetime64[D]")

    def points(array):
        array = array.dropna("time")
        days = (array["time"].values.astype("datetime64[D]") - first).astype(int)
        return [[int(d), round(float(v), 4)] for d, v in zip(days, array.values)]

    data = {"start": str(first), "observed": points(observed), "threshold": threshold,
            "curves": {name: points(curve) for name, curve in curves.items()},
            "label": observed.attrs.get("long_name", str(observed.name)),
            "colours": {"curve": COLOURS["camera"], "mark": COLOURS["model"]}}
    page = resources("phenolib").joinpath("season_slider.html").read_text(encoding="utf-8")
    name = "season-" + files.digest(data)[:8]
    return HTML(page.replace("{{name}}", name).replace("{{alt}}", html.escape(alt)).replace(
        "{{data}}", json.dumps(data).replace("</", "<\\/")))


MISSING = "#9AA0A8"  # on a map: no value
ALIKE = "#E4E6EA"  # a difference that its uncertainty covers; a class that has no name
KINDS = {"amount": "cividis", "days": "viridis", "difference": "RdBu_r"}  # of a map, and their colours


def map_panel(ax, layer, *, title="", kind="amount", cmap=None, limits=None, quantiles=(0.02, 0.98)):
    """One map with north up, its pixels in their true proportion, and a scale bar below it; what is missing is grey.

    ax         matplotlib axes
    layer      (y, x) numbers; x, y are projected [m], in either direction
    title      of the map; the scalar coordinate year of the layer is put behind it
    kind       'amount', 'days' (after 1 January) or 'difference' (colours even about zero: earlier blue, later red)
    cmap       other colours than those of the kind
    limits     (low, high) of the colours; None: between two quantiles of the values
    returns    the image, for a colour bar
    raises     InputError for other dimensions, an unknown kind, or coordinates in degrees
    """
    layer = upright(layer)
    low, high = colour_limits(layer, kind, limits, quantiles)
    return draw_map(ax, layer, title, cmap=cmap or KINDS[kind], vmin=low, vmax=high)


def upright(layer):
    """The map (y, x) with north up and west to the left."""
    layer = layer.squeeze(drop=False)
    if set(layer.dims) != {"y", "x"} or min(layer.sizes.values()) < 2:
        raise InputError(f"'{layer.name}' has the dimensions {dict(layer.sizes)}; a map needs y and x, of 2 pixels or "
                         "more")
    system = layer["spatial_ref"].attrs.get("grid_mapping_name", "") if "spatial_ref" in layer.coords else ""
    if system == "latitude_longitude" or any("degree" in layer[d].attrs.get("units", "") for d in "yx"):
        raise InputError(f"'{layer.name}' lies in degrees; a map with a scale bar needs metres, see rio.reproject")
    for d in "yx":
        if d not in layer.coords:
            layer = layer.assign_coords({d: np.arange(layer.sizes[d])[::-1 if d == "y" else 1].astype(float)})
    return layer.transpose("y", "x").sortby("y", ascending=False).sortby("x").compute()


def colour_limits(layer, kind, limits=None, quantiles=(0.02, 0.98)):
    """The two ends of the colours of a map; even about zero for a difference."""
    if kind not in KINDS:
        raise InputError(f"kind '{kind}' of a map is not known{near(kind, KINDS)}")
    if limits is None:
        finite = np.asarray(layer.values, float)
        finite = finite[np.isfinite(finite)]
        limits = np.quantile(finite, quantiles) if finite.size else (0.0, 1.0)
        if kind == "difference":
            limits = np.array([-1, 1]) * np.abs(limits).max()
    low, high = (float(v) for v in limits)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def draw_map(ax, layer, title, **options):
    """An upright map in metres from its south-western corner, with its title and scale bar."""
    from matplotlib.transforms import offset_copy

    wide, high = (layer.sizes[d] * abs(float(layer[d][1] - layer[d][0])) for d in "xy")
    year = f"{layer['year'].item():.0f}" if "year" in layer.coords and layer["year"].ndim == 0 else ""
    ax.set_title(", ".join(words for words in (title, "" if year in title else year) if words), fontsize=10)
    ax.set_facecolor(MISSING)
    image = ax.imshow(layer, extent=(0, wide, 0, high), interpolation="nearest", **options)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.grid(False)
    step = 10 ** np.floor(np.log10(0.4 * wide))
    long = step * max(m for m in (1, 2, 5) if m * step <= 0.4 * wide)
    below = offset_copy(ax.transAxes, ax.figure, y=-5, units="points")
    ax.plot([0, long / wide], [0, 0], color="black", lw=2.5, transform=below, clip_on=False, solid_capstyle="butt")
    ax.annotate(f"{long:g} m" if long < 1000 else f"{long / 1000:g} km", (0, 0), xycoords="axes fraction",
                xytext=(0, -8), textcoords="offset points", fontsize=8, va="top")
    return image


def day_ticks(colourbar, *, year=None):
    """Dates on a colour bar of days after 1 January: the first of months, or days between where it spans few.

    colourbar  matplotlib Colorbar; days before the new year are negative
    year       of the map, for the date of leap years
    """
    low, high = colourbar.mappable.get_clim()
    start = pd.Timestamp(year or 2019, 1, 1)
    days = pd.date_range(start + pd.Timedelta(np.ceil(low), "D"), start + pd.Timedelta(np.floor(high), "D"))
    chosen = days
    for some in ((1,), (1, 15), (1, 8, 15, 22), range(1, 32, 2)):
        if np.isin(days.day, some).sum() >= 3:
            chosen = days[np.isin(days.day, some)]
            break
    chosen = chosen[::max(1, -(-len(chosen) // 8))]
    colourbar.set_ticks((chosen - start).days.tolist(), labels=[f"{d.day} {MONTHS[d.month - 1]}" for d in chosen])
    colourbar.minorticks_off()


def greyed(ax, layer, uncertainty, **options):
    """A map of differences on which those smaller than their uncertainty are pale grey.

    layer        (y, x) differences
    uncertainty  (y, x) or a number, in units of the layer, e.g. half of a 90 % interval; missing: not told, so grey
    options      of ``map_panel``
    returns      the image, for a colour bar, and the share of the values that is grey [-]
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch
    from matplotlib.transforms import offset_copy

    layer = upright(layer)
    if isinstance(uncertainty, xr.DataArray):
        uncertainty = upright(uncertainty).reindex_like(layer, method="nearest", tolerance=1e-3)
    small = ~(np.abs(layer) > uncertainty) & layer.notnull()
    image = map_panel(ax, layer, **{"kind": "difference", **options})
    ax.imshow(small.where(small), extent=image.get_extent(), interpolation="nearest", cmap=ListedColormap([ALIKE]))
    marks = [Patch(facecolor=ALIKE, edgecolor="#767B84", label="within its uncertainty")]
    if bool(layer.isnull().any()):
        marks.append(Patch(facecolor=MISSING, edgecolor="#767B84", label="no value"))
    below = offset_copy(ax.transAxes, ax.figure, y=-20, units="points")
    ax.legend(handles=marks, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, fontsize=8, borderaxespad=0,
              borderpad=0, handlelength=1)
    return image, float(small.sum() / max(int(layer.notnull().sum()), 1))


def class_panel(ax, classes, legend, *, title="", missing=(0,)):
    """One map of classes with a key of those that occur, the largest first.

    classes  (y, x) whole numbers; NaN and ``missing`` are grey
    legend   {code: (name, colour)}, e.g. ``CDL``; codes without a name are 'other', and pale
    returns  the marks of the key, for a key of several maps: ``fig.legend(handles=...)``
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    level, shown = class_levels(upright(classes), legend, missing)
    colours = ListedColormap([MISSING, *(colour for _, colour in shown)])
    draw_map(ax, level, title, cmap=colours, vmin=-0.5, vmax=len(shown) + 0.5)
    marks = [Patch(facecolor=colour, edgecolor="#767B84", lw=0.5, label=name) for name, colour in shown]
    if bool((level == 0).any()):
        marks.append(Patch(facecolor=MISSING, edgecolor="#767B84", lw=0.5, label="no value"))
    ax.legend(handles=marks, loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, borderaxespad=0, handlelength=1)
    return marks


def class_levels(classes, legend, missing=(0,)):
    """Classes as levels, 0 for missing and k for the kth of the shown (name, colour), the largest first."""
    known = np.isfinite(classes.values) & ~np.isin(classes.values, list(missing))
    codes, count = np.unique(classes.values[known], return_counts=True)
    codes = codes[np.argsort(-count, kind="stable")]
    named = [c for c in codes if int(c) in legend][:253]
    shown = [tuple(legend[int(c)]) for c in named]
    level = np.zeros(classes.shape, np.uint8)
    level[known] = len(named) + 1
    for k, code in enumerate(named):
        level[classes.values == code] = k + 1
    if (level == len(named) + 1).any():
        shown.append(("other", ALIKE))
    return classes.copy(data=level), shown


def zoomable(layers, *, alt, kinds=None, limits=None, most=1_000_000):
    """A map to move and to zoom, with a choice of layers and the value under the pointer.

    Works with mouse, fingers and keys. Each layer is one picture of at most 255 colours, whose bytes are the values
    too: they are read to 1/254 of the range from the smallest to the largest; days to the day on which they fall, as
    long as that range is no longer than 254 days.

    layers   {name: (y, x) DataArray} on one grid in metres; the scalar coordinate year gives days their year
    alt      alternative text of the map
    kinds    {name: kind of ``map_panel``, or for classes {code: (name, colour)}}; default 'amount'
    limits   {name: (low, high) of the colours}; default: between the quantiles of 2 and 98 %
    most     pixels of a layer; larger ones are thinned, and the note below the map says so
    returns  an HTML object; it needs no network and no kernel
    raises   InputError for layers on different grids, or as ``map_panel``
    """
    from importlib.resources import files as resources

    from IPython.display import HTML

    kinds, limits, made, first = kinds or {}, limits or {}, [], None
    for name in (*kinds, *limits):
        if name not in layers:
            raise InputError(f"there is no layer '{name}'{near(name, layers)}")
    for name, layer in layers.items():
        layer = upright(layer)
        if first is None:
            first, every = layer, int(np.ceil(np.sqrt(layer.size / most)))
        elif layer.shape != first.shape or any(np.abs(layer[d] - first[d].values).max() > 1e-3 for d in "yx"):
            raise InputError(f"the layers '{next(iter(layers))}' and '{name}' lie on different grids; bring them to "
                             "one, e.g. with rio.reproject_match")
        small = layer[::every, ::every]
        made.append(picture(str(name), small, kinds.get(name, "amount"), limits.get(name)))
    dx, dy = (abs(float(small[d][1] - small[d][0])) for d in "xy")
    thick = dx / every, dy / every  # of a pixel before thinning
    rows, columns = small.shape
    data = {"size": [columns, rows], "pixel": [dx, dy], "layers": made, "missing": MISSING, "alt": alt, "corner": [
        float(first["x"][0]) - thick[0] / 2, float(first["y"][0]) + thick[1] / 2]}
    words = {"name": "map-" + files.digest(data)[:8], "alt": html.escape(alt), "first": made[0].pop("src"),
             "aspect": f"{min(max(columns * dx / (rows * dy), 0.75), 2.5):.3f}",
             "note": f"One of {every} × {every} pixels is shown. " if every > 1 else ""}
    page = resources("phenolib").joinpath("map_view.html").read_text(encoding="utf-8")
    for word, value in words.items():
        page = page.replace("{{" + word + "}}", value)
    return HTML(page.replace("{{data}}", json.dumps(data).replace("</", "<\\/")))


def picture(name, layer, kind, limits):
    """A layer as a PNG of levels (0: missing) with its colours, and what a browser needs to tell its values."""
    import matplotlib as mpl
    from PIL import Image

    unit = layer.attrs.get("units", "")
    about = {"name": name, "unit": "" if unit == "1" else unit, "about": layer.attrs.get("long_name", name)}
    if "year" in layer.coords and layer["year"].ndim == 0:
        about["year"] = int(layer["year"])
    if isinstance(kind, dict):
        level, shown = class_levels(layer, kind)
        level, about["classes"] = level.values, shown
        palette = [colour for _, colour in shown]
    else:
        value = np.asarray(layer.values, float)
        known = np.isfinite(value)
        low, high = (value[known].min(), value[known].max()) if known.any() else (0.0, 1.0)
        step = (high - low) / 254 or 1.0
        if kind == "days" and step <= 1:
            low, step = np.floor(low), 1.0
        level = np.zeros(value.shape, np.uint8)
        level[known] = np.floor((value[known] - low) / step + (0 if kind == "days" else 0.5)).clip(0, 254) + 1
        ends = colour_limits(layer, kind, limits)
        colours = mpl.colormaps[KINDS[kind]]
        palette = [mpl.colors.to_hex(c) for c in colours((low + step * np.arange(255) - ends[0]) / (ends[1] - ends[0]))]
        about |= {"kind": kind, "low": float(low), "step": float(step), "limits": ends,
                  "digits": 0 if kind == "days" else int(max(0, np.round(-np.log10(step)))),
                  "colours": [mpl.colors.to_hex(c) for c in colours(np.linspace(0, 1, 13))]}
    image = Image.frombytes("P", level.shape[::-1], np.ascontiguousarray(level).tobytes())
    colours = [mpl.colors.to_rgb(c) for c in (MISSING, *palette)]
    image.putpalette([round(255 * part) for colour in colours for part in colour] + [0] * 3 * (256 - len(colours)))
    stream = io.BytesIO()
    image.save(stream, format="PNG", bits=8, compress_level=9)
    return {**about, "src": "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()}
