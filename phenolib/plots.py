"""One style, one colour for the same thing in the whole book, and pictures with their text."""

import base64
import html
import io
import json

import numpy as np
import pandas as pd

from phenolib import curves as smoothers
from phenolib import files
from phenolib.sources import phenocam

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
