"""What a statistical model says, drawn: effects with their intervals, and coefficients beside published ones."""

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.plots import COLOURS, nothing

SEVERAL = ("model", "camera", "optical", "radar", "clock", "quiet")  # colours of curves in one figure, in this order
MARKS = ("o", "s", "^", "D", "v", "P")  # and their marks, to be told apart without colour
LINES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1)))


def effect_plot(axes, table, term, *, by=None, observed=None, colours=None, xlabel=None, ylabel="response"):
    """The mean of a response along a predictor with its interval: a curve in a band, or dots with bars for a factor.

    axes      matplotlib axes
    table     DataFrame of ``mixed_models.effects``: the predictor, mean, low, high, and what ``by`` names
    term      the predictor
    by        column with a curve for each value, labelled at its end; None: one curve
    observed  (x, y) of the data, drawn as dots behind; None: without
    colours   {value of by: name in ``plots.COLOURS``}; default in order
    xlabel    with its unit; default the name of the predictor
    ylabel    with its unit
    raises    InputError for a column that is not there
    """
    for name in [n for n in (term, by, "mean", "low", "high") if n is not None]:
        if name not in table:
            raise InputError(f"the table of effects has no column '{name}'{near(name, table.columns)}")
    values = [None] if by is None else list(pd.unique(table[by]))
    if len(values) > len(SEVERAL):
        raise InputError(f"'{by}' has {len(values)} values; give at most {len(SEVERAL)} for one figure")
    numeric = pd.api.types.is_numeric_dtype(table[term])
    levels = [] if numeric else list(pd.unique(table[term].astype(str)))
    if observed is not None:
        x, y = (np.asarray(v) for v in observed)
        if not numeric:
            jitter = np.random.default_rng(0).uniform(-0.32, 0.32, len(x))
            x = np.array([levels.index(str(v)) for v in x]) + jitter
        axes.plot(x, y, ".", ms=3.5, color=COLOURS["observation"], alpha=0.25, zorder=1)
    ends = []
    for k, value in enumerate(values):
        some = table if value is None else table[table[by] == value]
        colour = COLOURS[(colours or {}).get(value, SEVERAL[k])]
        if numeric:
            some = some.sort_values(term)
            axes.fill_between(some[term], some["low"], some["high"], color=colour, alpha=0.18, lw=0, zorder=2)
            axes.plot(some[term], some["mean"], color=colour, ls=LINES[k], lw=1.8, zorder=3)
            ends.append((some[term].iloc[-1], some["mean"].iloc[-1], value, colour))
        else:
            aside = (k - (len(values) - 1) / 2) * 0.16
            place = np.array([levels.index(v) for v in some[term].astype(str)]) + aside
            error = np.abs(np.stack([some["mean"] - some["low"], some["high"] - some["mean"]]))
            axes.errorbar(place, some["mean"], error, fmt=MARKS[k], ms=6, color=colour, lw=1.8, capsize=0, zorder=3,
                          label=None if value is None else str(value))
    axes.set(xlabel=term if xlabel is None else xlabel, ylabel=ylabel)
    if not numeric:
        axes.set(xticks=range(len(levels)), xticklabels=levels, xlim=(-0.6, len(levels) - 0.4))
        if by is not None:
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(values), borderaxespad=0.2)
    elif by is not None:
        beside(axes, ends)


def beside(axes, ends):
    """Words at the right ends of curves, moved apart where they would touch. ends: list of (x, y, words, colour)."""
    axes.figure.canvas.draw()
    to, back = axes.transData, axes.transData.inverted()
    height = 1.25 * 9 * axes.figure.dpi / 72  # of a line of text, in pixels
    last = -np.inf
    for x, y, words, colour in sorted(ends, key=lambda end: end[1]):
        right, up = to.transform((x, y))
        last = max(up, last + height)
        axes.annotate(str(words), (x, y), xytext=back.transform((right + 8, last)), textcoords="data", color=colour,
                      fontsize=9, va="center", ha="left", annotation_clip=False)


def forest(axes, fixed, *, published=None, names=None, leave_out=("Intercept",), digits=2, xlabel="estimate"):
    """Coefficients with their intervals, one below the other, beside published ones.

    axes       matplotlib axes; some 0.35 inch of height for each coefficient is enough
    fixed      DataFrame with term, estimate, low, high, as ``Result.fixed`` is
    published  {term: value or (value, low, high)}, or None; None or NaN where nothing is known
    names      {term: words} in place of names such as crop[T.wheat]
    leave_out  terms that are not drawn
    digits     of the numbers at the right
    xlabel     with its unit
    raises     InputError for a column that is not there, or a published term that the table does not have
    """
    for name in ("term", "estimate", "low", "high"):
        if name not in fixed:
            raise InputError(f"the table of coefficients has no column '{name}'{near(name, fixed.columns)}")
    rows = fixed[~fixed["term"].isin(leave_out)].reset_index(drop=True)
    known = {}
    for term, value in (published or {}).items():
        if term not in set(fixed["term"]):
            raise InputError(f"published '{term}' is no coefficient of the table{near(term, fixed['term'])}")
        triple = (value if isinstance(value, list | tuple | np.ndarray) else (value, np.nan, np.nan))
        triple = tuple(np.nan if v is None else float(v) for v in triple)
        if np.isfinite(triple[0]):
            known[term] = triple
    if rows.empty:
        nothing(axes, "no coefficients to show")
        return
    axes.axvline(0, color=COLOURS["quiet"], lw=1, zorder=1)
    for k, row in rows.iterrows():
        theirs = known.get(row["term"])
        up = 0.14 if theirs else 0.0
        _one(axes, k - up, row["estimate"], row["low"], row["high"], "o", COLOURS["model"])
        _words(axes, k - up, row["estimate"], row["low"], row["high"], digits, COLOURS["model"])
        if theirs:
            _one(axes, k + 0.18, *theirs, "D", COLOURS["truth"])
            _words(axes, k + 0.18, *theirs, digits, COLOURS["truth"])
    axes.set(yticks=range(len(rows)), yticklabels=[(names or {}).get(t, t) for t in rows["term"]], xlabel=xlabel,
             ylim=(len(rows) - 0.45, -0.55))
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)
    if known:
        from matplotlib.lines import Line2D

        marks = [Line2D([], [], marker=m, ls="-", color=COLOURS[c], ms=6 - (m == "D"), lw=1.8)
                 for m, c in (("o", "model"), ("D", "truth"))]
        axes.legend(marks, ["ours", "published"], loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)


def _one(axes, place, value, low, high, mark, colour):
    """A mark with its interval; without one if it is not known."""
    if np.isfinite(low) and np.isfinite(high):
        axes.plot([low, high], [place, place], "-", color=colour, lw=1.8, solid_capstyle="butt", zorder=2)
    axes.plot(value, place, mark, color=colour, ms=6 if mark == "o" else 5, zorder=3)


def _words(axes, place, value, low, high, digits, colour):
    """Number and interval at the right of the axes."""
    words = f"{value:.{digits}f}" + (f"  [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low + high) else "")
    axes.annotate(words.replace("-", "−"), (1, place), xycoords=("axes fraction", "data"), xytext=(8, 0),
                  textcoords="offset points", fontsize=8.5, va="center", ha="left", color=colour, annotation_clip=False)
