"""Path diagrams: variables as boxes, effects as arrows, without crossing out what they say."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.plots import COLOURS

SIGNS = {1: (COLOURS["early"], "-"), -1: (COLOURS["late"], (0, (5, 2)))}  # colour, and line: told apart without colour
PALE = 0.35
INK, QUIET = "#1B1F24", "#57606A"
FONT, GAP = 9, 0.025  # points; inches between a coefficient and the published one
BENDS = (0.0, 0.12, -0.12, 0.22, -0.22, 0.34, -0.34, 0.48, -0.48)  # of an arrow, in shares of its length


@dataclass
class Arrow:
    """An arrow to be drawn.

    line     (m, 2) points [inches]; control: of its curve
    label    the coefficient; below: what stands under it
    size     (width, height) of both, at their middle, lines their heights [inches]
    """


    source: str
    target: str
    value: float
    p: float
    double: bool
    label: str
    below: str = ""
    line: np.ndarray | None = None
    control: np.ndarray | None = None
    size: tuple = (0.0, 0.0)
    lines: tuple = ()
    at: tuple = (0.0, 0.0)


def path_diagram(result, positions=None, *, names=None, published=None, r2=None, group=None, standardized=True,
                 alpha=0.05, size=None, title=""):
    """A path model as a picture: boxes for variables with their R², arrows for paths with their coefficients.

    A positive path is solid and blue, a negative one dashed and red; the stronger, the wider (on the standardised
    scale); where p ≥ alpha it is pale and its coefficient stands in brackets. Covariances of residuals, and of latent
    variables, are thin curved double arrows. Latent variables are oval. The face is white, for light and dark pages.

    result        PathModel, Piecewise or Resampled of ``path_models``, or DataFrame: lval, op, rval, estimate or
                  standardized, and p if there is one
    positions     {variable: (x, y)}, any unit, y upwards; default: causes left of effects; with latent variables in a
                  row, with their indicators below
    names         {variable: what to write}, "\\n" breaks a line
    published     {(cause, effect): value}, written below ours
    r2            {variable: R²}, default that of the result
    group         which one, of a model of several
    standardized  False: coefficients in the units of the columns; widths stay standardised where these are known
    alpha         p from which a path is pale
    size          (width, height) [inches]; default by the number of variables
    title         of the figure
    returns       matplotlib Figure, alternative text
    raises        InputError for a table without the columns, an unknown variable or group, or a place that is missing
    """
    from matplotlib.figure import Figure

    paths, shares = tables(result, r2, group)
    arrows, latent, inner = drawn(paths, published or {}, standardized)
    variables = dict.fromkeys(n for a in arrows for n in (a.source, a.target))
    for role, some in (("positions", positions), ("names", names), ("r2", r2)):
        for name in some or {}:
            if name not in variables and role != "r2":
                raise InputError(f"{role} names '{name}', which is not in the model{near(name, variables)}")
    if positions is None:
        positions = in_a_row(variables, arrows, latent, inner) if latent else layers(variables, arrows)
    for name in variables:
        if name not in positions:
            raise InputError(f"positions have no place for '{name}'; give (x, y) of every variable")
    words = {n: (names or {}).get(n, n) for n in variables}
    shares = {n: v for n, v in shares.items() if n in variables}
    half = halves(words, shares, latent)
    best, margins = extent({n: positions[n] for n in variables}, half, arrows, 0.3, 1.35 if latent else 0.95)
    figure = Figure(figsize=size or best, facecolor="white", layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, figure.get_figwidth()), ylim=(0, figure.get_figheight()))
    axes.axis("off")
    boxes = nodes(axes, {n: positions[n] for n in variables}, words, shares, latent, half, margins)
    route(arrows, boxes, figure.get_size_inches())
    place(figure, axes, arrows, boxes, alpha)
    draw(axes, arrows, alpha)
    below = legend(axes, arrows, alpha, published)
    if size is None:
        trim(figure, axes, arrows, boxes, 0.5 if title else 0.12, below)
    if title:
        axes.text(0.15, axes.get_ylim()[1] - 0.12, title, fontsize=11, fontweight="bold", color=INK, va="top")
    return figure, described(arrows, words, shares, alpha, standardized)


def tables(result, r2, group):
    """The table of paths of one group, and {variable: R²}."""
    paths = result if isinstance(result, pd.DataFrame) else result.paths
    for name in ("lval", "op", "rval"):
        if name not in paths:
            raise InputError(f"the table of paths has no column '{name}'; give .paths of a path model")
    if "estimate" not in paths and "standardized" not in paths:
        raise InputError("the table of paths has neither 'estimate' nor 'standardized'; give .paths of a path model")
    shares = getattr(result, "r2", None)
    groups = list(dict.fromkeys(paths["group"])) if "group" in paths else [""]
    if len(groups) > 1 and group is None:
        raise InputError(f"the model has {len(groups)} groups; name one with group={near('', groups)}")
    if group is not None and str(group) not in groups:
        raise InputError(f"the model has no group '{group}'{near(group, groups)}")
    chosen = groups[0] if group is None else str(group)
    if "group" in paths:
        paths = paths[paths["group"] == chosen]
    if r2 is not None:
        return paths, dict(r2)
    if not isinstance(shares, pd.DataFrame):
        return paths, {}
    if "group" in shares:
        shares = shares[shares["group"] == chosen]
    return paths, dict(zip(shares["variable"], shares["r2" if "r2" in shares else "marginal"]))


def drawn(paths, published, standardized):
    """Arrows of a table, names of latent variables, and names on either side of a '~'."""
    arrows, latent, inner = [], [], []
    unknown = set(published)
    for row in paths.to_dict("records"):
        if row["op"] == "~1" or (row["op"] == "~~" and row["lval"] == row["rval"]):
            continue
        source, target = (row["lval"], row["rval"]) if row["op"] == "=~" else (row["rval"], row["lval"])
        strength = row.get("standardized", row.get("estimate"))
        shown = strength if standardized else row.get("estimate", strength)
        if row["op"] == "=~":
            latent.append(source)
        if row["op"] == "~":
            inner += [source, target]
        given = next((published[k] for k in ((source, target), (target, source)[:2 * (row["op"] == "~~")])
                      if k in published), None)
        unknown -= {(source, target)} | ({(target, source)} if row["op"] == "~~" else set())
        p = row.get("p", np.nan) if row.get("se", 1.0) != 0 else 0.0  # what is fixed is not in doubt
        arrows.append(Arrow(source, target, float(strength), p, row["op"] == "~~", number(shown),
                            "" if given is None else f"publ. {number(given)}"))
    for cause, effect in unknown:
        raise InputError(f"published names '{cause} -> {effect}', which is no path of the model")
    return arrows, list(dict.fromkeys(latent)), list(dict.fromkeys(inner))


def number(value):
    """Two decimals, none of large values, two digits of small ones; with a minus sign.

    >>> number(-0.456), number(141.52), number(0.0012)
    ('−0.46', '142', '0.0012')
    """
    small = 1e-12 < abs(value) < 0.005
    text = f"{value:.2g}" if small else f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return text.replace("-", "−")


def layers(variables, arrows):
    """{variable: (x, y)}: each as far right as its longest way from a start; in a column near what it is joined to."""
    causes = {n: [a.source for a in arrows if a.target == n and not a.double] for n in variables}
    depth = dict.fromkeys(variables, 0)
    for _ in variables:  # a way back ends after as many steps as there are variables
        for n in variables:
            depth[n] = min(max([depth[c] + 1 for c in causes[n]], default=0), len(variables) - 1)
    columns = [[n for n in variables if depth[n] == d] for d in sorted(set(depth.values()))]
    y = {n: -k for column in columns for k, n in enumerate(column)}
    joined = {n: [b for a in arrows for b in (a.source, a.target) if n in (a.source, a.target) and b != n]
              for n in variables}
    for sweep in range(8):  # by the mean height of the neighbours
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            column.sort(key=lambda n: -np.mean([y[b] for b in joined[n]]))
            for k, n in enumerate(column):
                y[n] = (len(column) - 1) / 2 - k
    tall = max(len(c) for c in columns)
    return {n: (float(d), y[n] * (tall / max(len(column), 1)) ** 0.5)
            for d, column in enumerate(columns) for n in column}


def in_a_row(variables, arrows, latent, inner):
    """{variable: (x, y)} of a model with latent variables: these in a row, their indicators below, columns between."""
    after = {n: [a.target for a in arrows if a.source == n and not a.double] for n in variables}
    measured = {n: [b for b in after[n] if b not in latent and b not in inner] for n in latent}
    row, order = [n for n in variables if n in latent or n in inner], []
    while row:  # causes before effects, where there is an order
        free = [n for n in row if not any(n in after[m] for m in row if m != n)] or row[:1]
        order += free
        row = [n for n in row if n not in free]
    found, x = {}, 0.0
    for name in order:
        below = [b for b in measured.get(name, []) if b not in found]
        for k, b in enumerate(below):
            found[b] = (x + k, 0.0)
        width = max(len(below), 1.6)
        found[name] = (x + (len(below) - 1) / 2 if below else x, 1.0)
        x += width + 0.4
    return found


def halves(words, shares, latent):
    """{variable: (half width, half height)} of boxes around the words [inches]."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    def wide(text, size):
        return TextPath((0, 0), text, prop=FontProperties(size=size)).get_extents().width / 72

    found = {}
    for name, word in words.items():
        lines = word.split("\n")
        width = max([wide(line, FONT) for line in lines] + [wide("R² 0.00", FONT - 2)] * (name in shares))
        height = 0.165 * len(lines) + 0.145 * (name in shares)
        found[name] = (width / 2 + (0.16 if name in latent else 0.1), height / 2 + 0.075)
    return found


def extent(positions, half, arrows, top, steep=0.95):
    """(width, height) of a figure, and (left, right, below, above) margins around the centres of the boxes [inches]."""
    x, y = (np.array([p[k] for p in positions.values()], float) for k in (0, 1))
    names, span = list(positions), (np.ptp(x), np.ptp(y))
    joined = {frozenset((a.source, a.target)) for a in arrows if not a.double}
    need = [0.0, 0.0]  # inches for one unit of the positions, so that boxes keep apart
    for i, first in enumerate(names):
        for j, second in enumerate(names[:i]):
            away = abs(x[i] - x[j]), abs(y[i] - y[j])
            share = [d / s if s else 0.0 for d, s in zip(away, span)]
            k = int(share[1] > share[0])  # the direction in which these two are apart
            gap = (1.4, steep)[k] if frozenset((first, second)) in joined else (0.24, 0.35)[k]
            if away[k] > 0:
                need[k] = max(need[k], (half[first][k] + half[second][k] + gap) / away[k])
    level = [a for a in arrows if positions[a.source][1] == positions[a.target][1] and names]
    arcs = [0.0, 0.0]  # room below and above for bows between boxes of one row
    for a in level:
        between = [n for n in names if positions[n][1] == positions[a.source][1] and n not in (a.source, a.target)
                   and (positions[n][0] - positions[a.source][0]) * (positions[n][0] - positions[a.target][0]) < 0]
        if between or a.double:
            low = positions[a.source][1] == y.min() and span[1] > 0
            length = abs(positions[a.source][0] - positions[a.target][0]) * need[0]
            arcs[0 if low else 1] = max(arcs[0 if low else 1], 0.24 * length + 0.1)
    edge = [max(h[0] for h in half.values()) + 0.2] * 2 + [max(h[1] for h in half.values())] * 2
    margins = [edge[0], edge[1], edge[2] + 0.42 + arcs[0], edge[3] + top + arcs[1]]
    size = span[0] * need[0] + margins[0] + margins[1], span[1] * need[1] + margins[2] + margins[3]
    return (float(np.clip(size[0], 6.5, 12.0)), float(np.clip(size[1], 2.4, 9.0))), margins


def nodes(axes, positions, words, shares, latent, half, margins):
    """Draw the boxes; {variable: (x, y, half width, half height)} in inches."""
    from matplotlib.patches import FancyBboxPatch

    size = axes.figure.get_size_inches()
    boxes = {}
    for k in (0, 1):
        values = np.array([p[k] for p in positions.values()], float)
        low, high = margins[2 * k], size[k] - margins[2 * k + 1]
        share = (values - values.min()) / np.ptp(values) if np.ptp(values) else np.full(values.size, 0.5)
        for name, at in zip(positions, low + share * (high - low)):
            boxes[name] = (*boxes.get(name, ()), float(at))
    for name, (cx, cy) in boxes.items():
        w, h = half[name]
        boxes[name] = (cx, cy, w, h)
        axes.add_patch(FancyBboxPatch(
            (cx - w, cy - h), 2 * w, 2 * h, boxstyle=f"round,pad=0,rounding_size={h if name in latent else 0.08}",
            facecolor="#EEF3F8" if name in shares else "#F6F4EE", edgecolor=QUIET, linewidth=1.1, zorder=3,
            gid=f"node {name}"))
        up = 0.0725 if name in shares else 0.0
        style = {"ha": "center", "va": "center", "zorder": 4}
        axes.text(cx, cy + up, words[name], fontsize=FONT, color=INK, linespacing=1.15, **style)
        if name in shares:
            axes.text(cx, cy - h + 0.13, f"R² {number(shares[name])}", fontsize=FONT - 2, color=QUIET, **style)
    return boxes


def bent(first, last, bend):
    """Control point and (m, 2) points of a curve between two points; bend in shares of their distance."""
    away = last - first
    control = (first + last) / 2 + 2 * bend * np.array([-away[1], away[0]])
    s = np.linspace(0, 1, 80)[:, None]
    return control, (1 - s) ** 2 * first + 2 * s * (1 - s) * control + s**2 * last


def outside(points, box, pad=0.0):
    """(m,) whether points lie outside a box (x, y, half width, half height)."""
    return (np.abs(points[:, 0] - box[0]) > box[2] + pad) | (np.abs(points[:, 1] - box[1]) > box[3] + pad)


def route(arrows, boxes, size):
    """Give each arrow the bend with which it runs clear of boxes, and crosses and follows others least."""
    order = sorted(arrows, key=lambda a: (a.double, np.hypot(*np.subtract(boxes[a.source][:2], boxes[a.target][:2]))))
    for _ in range(3):
        for arrow in order:
            others = [a.line for a in arrows if a is not arrow and a.line is not None]
            best, height = None, boxes[arrow.source][1]
            level = abs(height - boxes[arrow.target][1]) < 0.01
            down = height - 0.01 < min(b[1] for b in boxes.values()) < max(b[1] for b in boxes.values()) - 0.01
            for bend in BENDS:
                if arrow.double and abs(bend) < 0.1:
                    continue
                control, line = clipped(arrow, boxes, bend)
                if len(line) < 8 or (arrow.double and level and (control[1] < height) != down):
                    continue  # a double arrow within a row bows away from the other rows
                hidden = sum((~outside(line, box, 0.05)).sum() for name, box in boxes.items()
                             if name not in (arrow.source, arrow.target))
                close = sum(min((np.hypot(*(line[:, None] - o[None, ::4]).transpose(2, 0, 1)).min(1) < 0.07).sum(), 30)
                            for o in others)
                beyond = ((line < [0.05, 0.3]) | (line > np.array(size) - 0.05)).any(1).sum()
                cost = 20 * hidden + 20 * beyond + close + (90 if not arrow.double else 30) * abs(bend)
                if best is None or cost < best[0]:
                    best = (cost, control, line)
            if best is None:  # boxes that touch
                best = (0, *bent(np.array(boxes[arrow.source][:2]), np.array(boxes[arrow.target][:2]), 0.3))
            arrow.control, arrow.line = best[1:]


def clipped(arrow, boxes, bend):
    """Control point and points of a curve from the edge of one box to that of the other."""
    first, last = boxes[arrow.source], boxes[arrow.target]
    control, line = bent(np.array(first[:2]), np.array(last[:2]), bend)
    seen = np.flatnonzero(outside(line, first, 0.02) & outside(line, last, 0.05 if not arrow.double else 0.02))
    if seen.size < 2:
        return control, line[:0]
    a, b = seen[0] / 79, seen[-1] / 79
    # the part of a quadratic curve between two of its points is one with this control point
    p = [np.array(first[:2]), control, np.array(last[:2])]
    inner = (1 - a) * ((1 - b) * p[0] + b * p[1]) + a * ((1 - b) * p[1] + b * p[2])
    s = np.linspace(0, 1, 80)[:, None]
    ends = line[seen[0]], line[seen[-1]]
    return inner, (1 - s) ** 2 * ends[0] + 2 * s * (1 - s) * inner + s**2 * ends[1]


def place(figure, axes, arrows, boxes, alpha):
    """Find a place for each coefficient beside its arrow, clear of boxes, arrows and other coefficients."""
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
    for arrow in arrows:
        words = [axes.text(0, 0, text, fontsize=size) for text, size in
                 ((shown(arrow, alpha), FONT), (arrow.below, FONT - 2)) if text]
        ends = [w.get_window_extent(renderer) for w in words]
        arrow.lines = tuple(e.height / figure.dpi for e in ends)
        arrow.size = max(e.width for e in ends) / figure.dpi, sum(arrow.lines) + GAP * (len(ends) - 1)
        for word in words:
            word.remove()
    width, height = figure.get_size_inches()
    lines = np.concatenate([a.line for a in arrows])
    thick = np.concatenate([np.where(np.arange(80) >= 68, 0.03, 0.0) + thickness(a) / 144 for a in arrows])
    done = {}
    for _ in range(3):
        for arrow in sorted(arrows, key=lambda a: np.hypot(*(a.line[0] - a.line[-1]))):
            w, h = arrow.size
            best = None
            others = np.concatenate([a.line for a in arrows if a is not arrow] or [np.full((1, 2), 1e3)])
            for share in (0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.26, 0.74, 0.2, 0.8, 0.14, 0.86):
                k = int(share * 79)
                along = arrow.line[min(k + 1, 79)] - arrow.line[k - 1]
                normal = np.array([-along[1], along[0]]) / max(np.hypot(*along), 1e-9)
                for side in (1, -1):
                    for gap in (0.04, 0.08, 0.14, 0.22):
                        reach = abs(normal[0]) * w / 2 + abs(normal[1]) * h / 2 + gap + thickness(arrow) / 144
                        at = arrow.line[k] + side * reach * normal
                        box = (*at, w / 2 + 0.02, h / 2 + 0.015)
                        cost = 4 * abs(share - 0.5) + 8 * gap + 3 * (~outside(lines, box, thick)).sum()
                        cost += 60 * sum(overlap(box, (*other[:2], other[2] + 0.03, other[3] + 0.03))
                                         for other in boxes.values())
                        room = distance(others, box)
                        cost += 12 * (room < distance(arrow.line, box) + 0.02) + 0.2 / (0.05 + room)  # whose is it?
                        cost += sum(60 * overlap(box, other)
                                    + 8 * overlap(box, (*other[:2], other[2] + 0.1, other[3] + 0.1))
                                    for name, other in done.items() if name != id(arrow))
                        cost += 100 * (at[0] - w / 2 < 0 or at[0] + w / 2 > width or at[1] - h / 2 < 0.25
                                       or at[1] + h / 2 > height)
                        if best is None or cost < best[0]:
                            best = (cost, at, box)
            arrow.at = tuple(best[1])
            done[id(arrow)] = best[2]


def distance(points, box):
    """Distance of the nearest of some points (m, 2) from a box."""
    away = np.maximum(np.abs(points - np.array(box[:2])) - np.array(box[2:]), 0)
    return np.hypot(away[:, 0], away[:, 1]).min()


def trim(figure, axes, arrows, boxes, top, below):
    """Take away what is empty above and below; ``top`` inches stay for a title, ``below`` for the legend."""
    low = min([b[1] - b[3] for b in boxes.values()] + [a.line[:, 1].min() for a in arrows]
              + [a.at[1] - a.size[1] / 2 for a in arrows]) - below
    high = max([b[1] + b[3] for b in boxes.values()] + [a.line[:, 1].max() for a in arrows]
               + [a.at[1] + a.size[1] / 2 for a in arrows]) + top
    axes.set_ylim(low, high)
    figure.set_size_inches(figure.get_figwidth(), high - low)


def overlap(a, b):
    """Whether two boxes (x, y, half width, half height) overlap."""
    return abs(a[0] - b[0]) < a[2] + b[2] and abs(a[1] - b[1]) < a[3] + b[3]


def thickness(arrow):
    """Width of an arrow [points]."""
    return 1.0 if arrow.double else 0.8 + 3.6 * min(abs(arrow.value), 1.0)


def faint(arrow, alpha):
    """Whether a path may as well be 0."""
    return bool(arrow.p >= alpha)


def shown(arrow, alpha):
    """The coefficient as it is written."""
    return f"({arrow.label})" if faint(arrow, alpha) else arrow.label


def draw(axes, arrows, alpha):
    """Draw arrows and coefficients."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    for arrow in arrows:
        colour, dashes = SIGNS[1 if arrow.value >= 0 else -1]
        pale = faint(arrow, alpha)
        width = thickness(arrow)
        curve = Path([arrow.line[0], arrow.control, arrow.line[-1]], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        if arrow.double:
            colour = QUIET
        axes.add_patch(FancyArrowPatch(
            path=curve, arrowstyle="<|-|>" if arrow.double else "-|>", mutation_scale=7 + 1.5 * width, linewidth=width,
            linestyle=dashes, color=colour, alpha=PALE if pale else 0.95, zorder=2, joinstyle="miter", capstyle="butt",
            gid=f"arrow {arrow.source} {arrow.target}"))
        x, y = arrow.at
        style = {"ha": "center", "va": "center", "zorder": 5, "linespacing": 1.0}
        if arrow.below:
            axes.text(x, y - (arrow.lines[0] + GAP) / 2, arrow.below, fontsize=FONT - 2, color=INK, style="italic",
                      gid="published", **style)
            y += (arrow.lines[1] + GAP) / 2
        axes.text(x, y, shown(arrow, alpha), fontsize=FONT, color=QUIET if pale else colour, gid="coefficient", **style)


def legend(axes, arrows, alpha, published):
    """One line or two below the picture that say what lines mean; returns the room they take [inches]."""
    from matplotlib.lines import Line2D

    marks = []
    for sign, word in ((1, "positive"), (-1, "negative")):
        if any((a.value >= 0) == (sign > 0) and not a.double for a in arrows):
            marks.append(Line2D([], [], color=SIGNS[sign][0], ls=SIGNS[sign][1], lw=2, label=word))
    if any(faint(a, alpha) for a in arrows):
        marks.append(Line2D([], [], color=SIGNS[1][0], lw=2, alpha=PALE, label=f"pale, (…): p ≥ {alpha:g}"))
    if any(a.double for a in arrows):
        marks.append(Line2D([], [], color=QUIET, lw=1, marker=".", label="double: residuals covary"))
    if published:
        marks.append(Line2D([], [], ls="", marker="$publ.$", ms=20, color=INK, mew=0.2, label="the study's"))
    wide = sum(0.6 + 0.065 * len(mark.get_label()) for mark in marks)
    lines = 1 if wide < axes.figure.get_figwidth() else 2
    axes.legend(handles=marks, loc="lower center", ncols=-(-len(marks) // lines), fontsize=FONT - 1.5, frameon=False,
                borderpad=0.1, handlelength=2.2, columnspacing=1.4, labelcolor=INK)
    return 0.22 + 0.18 * lines


def described(arrows, words, shares, alpha, standardized):
    """What the picture shows, in words."""
    def name(n):
        return words[n].replace("\n", " ")

    def told(a, join):
        doubt = f" (p ≥ {alpha:g})" if faint(a, alpha) else ""
        known = f" ({a.below.replace('publ.', 'published')})" if a.below else ""
        return f"{name(a.source)} {join} {name(a.target)} {a.label}{doubt}{known}"

    single = sorted((a for a in arrows if not a.double), key=lambda a: -abs(a.value))
    double = [a for a in arrows if a.double]
    text = [f"Path diagram of {len(words)} variables, {'standardised ' * standardized}coefficients by falling size: "
            + "; ".join(told(a, "to") for a in single[:14])
            + (f"; and {len(single) - 14} more" if len(single) > 14 else "") + "."]
    if double:
        text.append("Residuals that covary: " + "; ".join(told(a, "with") for a in double[:8])
                    + (f"; and {len(double) - 8} more" if len(double) > 8 else "") + ".")
    inner = [n for n in shares if n in words][:8]
    if inner:
        text.append("R²: " + ", ".join(f"{name(n)} {number(shares[n])}" for n in inner) + ".")
    return " ".join(text)
