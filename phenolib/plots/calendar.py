"""A year of one place as a wall chart: a lane for each quantity below one another on a common calendar."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from phenolib.errors import InputError
from phenolib.plots import MONTHS

INK, GREY, FAINT = "#22262B", "#7A818A", "#E3E6EA"
PALETTE = {"rain": "#9DB2C6", "leaf": "#009E73", "root": "#9A5F2C", "surface": "#56A3D9", "root_zone": "#0B4F8A",
           "salt": "#B06A9B", "subsoil": "#6C3A63", "breath": "#D55E00", "microbes": "#7A2F00"}
SIDE = 0.215  # of the width that the names take
FONTS = {"title": 22.0, "note": 10.5, "lane": 15.0, "about": 9.0, "says": 9.5, "mark": 10.0, "tick": 8.5,
         "month": 11.0}  # points


@dataclass(frozen=True)
class Curve:
    """One quantity through the year.

    value      (time,) DataArray
    low, high  (time,) of its interval, or None
    label      written at its end where a lane has several, or ""
    colour     matplotlib colour
    style      "ridge" (filled to the floor of the lane), "line", "bars" (the lane then hangs from its ceiling), or
               "points" with whiskers
    dots       (time,) DataArray of what was observed, or None
    """

    value: object
    low: object = None
    high: object = None
    label: str = ""
    colour: str = INK
    style: str = "ridge"
    dots: object = None


@dataclass(frozen=True)
class Mark:
    """A date that a lane tells of: date, the ends of its interval (None for none), a word, and the colour of its line
    ("": that of the last curve)."""

    date: object
    low: object = None
    high: object = None
    text: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Lane:
    """One lane.

    name    in large type, e.g. "Leaf"
    about   the instrument, in small type; lines are parted by a newline
    unit    of the scale
    curves  list of Curve on one scale
    marks   list of Mark
    says    what the lane tells in a few words, below the instrument; lines are parted by a newline
    limits  (low, high) of the scale; None: what the curves and their intervals need
    height  in parts of a usual lane
    """

    name: str
    about: str
    unit: str
    curves: list
    marks: list = field(default_factory=list)
    says: str = ""
    limits: tuple | None = None
    height: float = 1.0


def calendar(lanes, *, first, last, title="", note="", spans=(), size=(10.0, 10.0)):
    """A wall chart: lanes below one another, months along the top, dates with their intervals beside the curves.

    lanes   list of Lane, the uppermost first
    first, last  days between which the calendar runs
    title   of the chart, and note: a line in small type below it
    spans   (first, last, word) of stretches that are shaded through all lanes, e.g. of a drought
    size    inches
    returns matplotlib Figure; its axes are those of the lanes, in their order
    raises  InputError for no lane, an unknown style, or days that are no span
    """
    import matplotlib.dates as mdates
    import matplotlib.pyplot as plt

    first, last = pd.Timestamp(first), pd.Timestamp(last)
    if not lanes:
        raise InputError("a calendar needs a lane; give one or more plots.calendar.Lane")
    if not first < last:
        raise InputError(f"first = {first:%Y-%m-%d}, last = {last:%Y-%m-%d}: the last day must lie after the first")
    fig = plt.figure(figsize=size, facecolor="white", layout="none")
    width, tall = size
    top = 1 - ((0.30 + 0.42 * bool(title) + 0.30 * note.count("\n") * 0.8 + 0.32 * bool(note)) + 0.30) / tall
    bottom, gap = 0.18 / tall, 0.16 / tall
    unit = (top - bottom - gap * (len(lanes) - 1)) / sum(lane.height for lane in lanes)
    axes, at = [], top
    for lane in lanes:
        high = unit * lane.height
        ax = fig.add_axes([SIDE, at - high, 0.985 - SIDE, high])
        axes.append(ax)
        at -= high + gap
        ax.set(xlim=(first, last))
        _frame(ax, first, last)
    for begin, end, word in spans:
        for ax in axes:
            ax.axvspan(pd.Timestamp(begin), pd.Timestamp(end), color="#F6EFE2", lw=0, zorder=0)
        middle = pd.Timestamp(begin) + (pd.Timestamp(end) - pd.Timestamp(begin)) / 2
        axes[0].annotate(word, (middle, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), ha="center",
                         textcoords="offset points", fontsize=FONTS["about"], color="#A9772B", style="italic")
    for ax, lane in zip(axes, lanes):
        _draw(ax, lane, first, last)
    _months(axes[0], first, last, mdates)
    if title:
        fig.text(0.018, 1 - 0.16 / tall, title, fontsize=FONTS["title"], fontweight="bold", color=INK, va="top")
    if note:
        fig.text(0.019, 1 - (0.20 + 0.42 * bool(title)) / tall, note, fontsize=FONTS["note"], color=GREY, va="top",
                 linespacing=1.4)
    fig.canvas.draw()
    for ax, lane in zip(axes, lanes):
        _marks(fig, ax, lane, first, last)
    return fig


def _frame(ax, first, last):
    """A lane without a box: thin lines at the months, a floor."""
    ax.set_facecolor("none")
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.spines["bottom"].set(visible=True, color="#C3C8CE", linewidth=0.8)
    ax.tick_params(length=0, labelbottom=False)
    for month in pd.date_range(first, last, freq="MS")[int(first.day == 1):]:
        ax.axvline(month, color=FAINT, lw=0.7, zorder=0.5)


def _months(ax, first, last, mdates):
    """Names of the months above the uppermost lane."""
    edges = pd.DatetimeIndex([first, *pd.date_range(first + pd.Timedelta(days=1), last, freq="MS"), last])
    for begin, end in zip(edges[:-1], edges[1:]):
        if (end - begin).days > 12:
            ax.annotate(MONTHS[begin.month - 1], (begin + (end - begin) / 2, 1), xycoords=("data", "axes fraction"),
                        xytext=(0, 16), textcoords="offset points", ha="center", fontsize=FONTS["month"], color=INK)


def _draw(ax, lane, first, last):
    """Curves, scale and name of a lane."""
    low, high = lane.limits or _limits(lane, first, last)
    if any(curve.style == "bars" for curve in lane.curves):
        ax.set_ylim(high, low)
        ax.spines["top"].set(visible=True, color="#C3C8CE", linewidth=0.8)
        ax.spines["bottom"].set_visible(False)
    else:
        ax.set_ylim(low, high)
    for curve in lane.curves:
        if curve.style not in STYLES:
            raise InputError(f"style '{curve.style}' of a curve is not known; there are {', '.join(STYLES)}")
        STYLES[curve.style](ax, curve, low, high)
    ticks = _ticks(low, high)
    ax.set_yticks(ticks)
    ax.set_yticklabels([f"{tick:g}" for tick in ticks], fontsize=FONTS["tick"], color=GREY)
    ax.tick_params(axis="y", pad=3)
    place = dict(xycoords="axes fraction", textcoords="offset points", annotation_clip=False)
    left = -(SIDE / (0.985 - SIDE)) + 0.024
    colour = lane.curves[-1].colour if lane.curves else INK
    ax.annotate(lane.name, (left, 1), xytext=(0, -3), fontsize=FONTS["lane"], fontweight="bold", va="top", color=colour,
                **place)
    about = f"{lane.about}\n[{lane.unit}]" if lane.unit else lane.about
    ax.annotate(about, (left, 1), xytext=(0, -22), fontsize=FONTS["about"], va="top", color=GREY, linespacing=1.35,
                **place)
    if lane.says:
        down = -22 - 1.42 * FONTS["about"] * (about.count("\n") + 1) - 5
        ax.annotate(lane.says, (left, 1), xytext=(0, down), fontsize=FONTS["says"], va="top", color=INK,
                    linespacing=1.35, **place)


def _limits(lane, first, last):
    every = [part.sel(time=slice(first, last)).values.astype(float).ravel() for curve in lane.curves
             for part in (curve.value, curve.low, curve.high) if part is not None]
    every = np.concatenate(every) if every else np.array([0.0, 1.0])
    every = every[np.isfinite(every)]
    low, high = (every.min(), every.max()) if every.size else (0.0, 1.0)
    low = 0.0 if 0 <= low < 0.35 * high else low
    return low, high + 0.08 * ((high - low) or 1.0)


def _ticks(low, high):
    """Two or three round numbers."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=2, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [tick for tick in ticks if low <= tick <= low + 0.96 * (high - low)]


def _band(ax, curve, alpha):
    if curve.low is not None and curve.high is not None:
        ax.fill_between(curve.low["time"].values, curve.low.values, curve.high.values, color=curve.colour, alpha=alpha,
                        lw=0, zorder=2)


def _dots(ax, curve):
    if curve.dots is not None:
        ax.plot(curve.dots["time"].values, curve.dots.values, ".", ms=3.2, mew=0, color=INK, alpha=0.45, zorder=4)


def _ridge(ax, curve, low, high):
    time, value = curve.value["time"].values, curve.value.values.astype(float)
    ax.fill_between(time, low, value, color=curve.colour, alpha=0.20, lw=0, zorder=1)
    _band(ax, curve, 0.42)
    ax.plot(time, value, color=curve.colour, lw=1.6, zorder=3)
    _dots(ax, curve)


def _line(ax, curve, low, high):
    _band(ax, curve, 0.30)
    ax.plot(curve.value["time"].values, curve.value.values, color=curve.colour, lw=1.8, zorder=3)
    _dots(ax, curve)


def _points(ax, curve, low, high):
    time, value = curve.value["time"].values, curve.value.values.astype(float)
    ax.plot(time, value, "-", color=curve.colour, lw=1.2, alpha=0.55, zorder=2)
    if curve.low is not None and curve.high is not None:
        ax.vlines(time, curve.low.values, curve.high.values, color=curve.colour, lw=3.2, alpha=0.45, zorder=3)
    ax.plot(time, value, "o", ms=5.5, mfc="white", mec=curve.colour, mew=1.6, zorder=4)


def _bars(ax, curve, low, high):
    ax.bar(curve.value["time"].values, curve.value.values, width=np.timedelta64(1, "D"), bottom=low,
           color=curve.colour, lw=0, zorder=2)


STYLES = {"ridge": _ridge, "line": _line, "points": _points, "bars": _bars}


def _marks(fig, ax, lane, first, last):
    """Dates as thin lines with their interval on the floor, each with a word where nothing else is; names of curves
    too."""
    renderer, taken = fig.canvas.get_renderer(), []
    low, high = ax.get_ylim()
    ink = [_drawn(ax, curve, first, last) for curve in lane.curves]
    ink = np.concatenate(ink) if ink else np.empty((0, 2))
    marks = sorted((m for m in lane.marks if not pd.isna(m.date) and first <= pd.Timestamp(m.date) <= last),
                   key=lambda m: pd.Timestamp(m.date))
    lines = [ax.transData.transform((_number(m.date), low))[0] for m in marks]
    for k, mark in enumerate(marks):
        date, colour = pd.Timestamp(mark.date), mark.colour or lane.curves[-1].colour
        words = f"{date.day} {MONTHS[date.month - 1]}" + (f"  {mark.text}" if mark.text else "")
        others = [x for j, x in enumerate(lines) if j != k]
        level = _word(ax, words, date, taken, renderer, ink, others)
        ax.plot([date, date], [low, low + (high - low) * (level + 0.05)], color=colour, lw=1.2, zorder=5)
        if not (pd.isna(mark.low) or pd.isna(mark.high)):
            ax.plot([pd.Timestamp(mark.low), pd.Timestamp(mark.high)], [low, low], color=colour, lw=5, zorder=6,
                    solid_capstyle="butt", clip_on=False)
    for curve in lane.curves:
        if curve.label:
            _name(ax, curve, first, last, taken, renderer, ink, lines)


def _number(date):
    import matplotlib.dates as mdates

    return mdates.date2num(pd.Timestamp(date))


def _drawn(ax, curve, first, last):
    """Where the line of a curve and the ends of its interval run, (n, 2) on the canvas, a point a day."""
    import matplotlib.dates as mdates

    parts = [np.empty((0, 2))]
    for one in (part for part in (curve.value, curve.low, curve.high) if part is not None):
        one = one.dropna("time").sel(time=slice(first, last))
        if one.sizes["time"] > 1 and curve.style != "bars":
            x = mdates.date2num(one["time"].values)
            fine = np.arange(x[0], x[-1], 1.0)
            parts.append(np.column_stack([fine, np.interp(fine, x, one.values.astype(float))]))
    return ax.transData.transform(np.concatenate(parts))


def _cost(box, frame, taken, ink, lines):
    """How much is under a text: other texts and the edge count most, then lines of dates, then curves."""
    away = max(frame.x0 - box.x0, box.x1 - frame.x1, box.y1 - frame.y1, frame.y0 - box.y0, 0)
    hit = ((ink[:, 0] > box.x0 - 3) & (ink[:, 0] < box.x1 + 3) & (ink[:, 1] > box.y0 - 2) & (ink[:, 1] < box.y1 + 2))
    return (1e4 * sum(box.padded(2).overlaps(other) for other in taken) + 100 * away
            + 300 * sum(box.x0 - 3 < x < box.x1 + 3 for x in lines) + 3 * hit.sum())


def _best(ax, texts, renderer, taken, ink, lines, own=None):
    """Write the text that costs least of (text, arguments, cost of its place). returns its place in the list

    own  (n, 2) of the curve that is named: no other may lie nearer
    """
    frame, costs = ax.get_window_extent(renderer), []
    for words, options, place in texts:
        text = ax.annotate(words, **options)
        box = text.get_window_extent(renderer)
        costs.append(place + _cost(box, frame, taken, ink, lines))
        if own is not None:
            middle = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
            costs[-1] += 50 * (np.hypot(*(own - middle).T).min() > np.hypot(*(ink - middle).T).min() + 0.1)
        text.remove()
    k = int(np.argmin(costs))
    words, options, place = texts[k]
    halo = dict(facecolor="white", alpha=0.75, edgecolor="none", pad=0.6) if costs[k] > place else None
    text = ax.annotate(words, **options, bbox=halo)
    taken.append(text.get_window_extent(renderer))
    return k


def _word(ax, words, date, taken, renderer, ink, lines):
    """Write right or left of a date, high or lower down. returns its level in the lane"""
    levels = (0.88, 0.72, 0.56, 0.40, 0.24)
    texts = [(words, dict(xy=(date, level), xycoords=("data", "axes fraction"), xytext=(side, 0), ha=align, va="center",
                          textcoords="offset points", fontsize=FONTS["mark"], color=INK, zorder=7), (0.88 - level) * 8)
             for level in levels for side, align in ((5, "left"), (-5, "right"))]
    return levels[_best(ax, texts, renderer, taken, ink, lines) // 2]


def _name(ax, curve, first, last, taken, renderer, ink, lines):
    """Write the name of a curve above or below it, where there is room."""
    inside = curve.value.dropna("time").sel(time=slice(first, last))
    if not inside.sizes["time"]:
        return
    texts = []
    for share, shift in itertools.product(np.linspace(0.03, 0.97, 24), (10, -10, 15, -15, 22, -22, 30)):
        k = int(share * (inside.sizes["time"] - 1))
        texts.append((curve.label, dict(
            xy=(inside["time"].values[k], float(inside.values[k])), xytext=(0, shift), textcoords="offset points",
            ha="right" if share > 0.9 else "left" if share < 0.1 else "center", va="center",
            fontsize=FONTS["about"], color=curve.colour, fontweight="bold", zorder=7),
            0.2 * abs(shift) + 20 * abs(share - 0.5)))
    _best(ax, texts, renderer, taken, ink, lines, _drawn(ax, curve, first, last))
