"""The page of a sweep: a small picture for each recorded result, then the whole grid as a table."""

import base64
import html
import io
from pathlib import Path

from phenolib.report import digits

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#8E5EA2", "#000000", "#B8860B", "#56B4E9", "#B2182B")
MARKS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"))
STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #ffffff; --line: #d0d7de; --quiet: #57606a; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e8eb; --back: #14181d; --line: #3a424c; --quiet: #a3adb8; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
  max-width: 78rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.quiet { color: var(--quiet); }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; } figure img { width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); }
.legend { background: #ffffff; color: #1b1f24; border: 1px solid var(--line); padding: 0.4rem 0.8rem;
  display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; list-style: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.error { white-space: normal; min-width: 20rem; }
"""


def write(chapter, runs, meaning):
    """The page as HTML text that needs no other file.

    chapter  full name
    runs     list of grid.Run
    meaning  {parameter: help}, the swept parameters
    returns  str
    """
    good = [run for run in runs if run.results]
    along, lines = axes_of(good or runs, list(meaning))
    results = list(dict.fromkeys(name for run in good for name in run.results["results"]))
    valued = [name for name in results if any(value_of(run, name) is not None for run in good)]
    same = [name for name in valued if len(good) > 1 and len({value_of(run, name) for run in good}) == 1]
    drawn = [name for name in valued if name not in same]
    pictures = "".join(f"<figure>{picture(name, good, along, lines, meaning)}</figure>" for name in drawn)
    said = ", ".join(f"<code>{html.escape(name)}</code>: {html.escape(text)}" for name, text in meaning.items())
    parts = [
        f"<h1>Sweep of {html.escape(chapter)}</h1>",
        f"<p>{len(runs)} runs, {len(runs) - len(good)} failed. {said}.</p>",
        f'<p class="quiet">{html.escape(origin(good))}</p>',
        legend(lines),
        f'<div class="pictures">{pictures}</div>' if drawn else "<p>No recorded value differs between the runs.</p>",
        the_same(good, same),
        without_value(good, results, valued),
        f"<h2>The grid</h2>{grid_table(runs, list(meaning), results)}",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    title = f"<title>Sweep of {html.escape(chapter)}</title>"
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}{title}</head>\n<body>\n{body}\n</body></html>\n'


def axes_of(runs, names):
    """Which parameter goes along the axis, and the lines of the others: (name, [{name: value}, ...])."""
    varied = [name for name in names if len({str(run.values[name]) for run in runs}) > 1] or names
    numeric = [name for name in varied if all(is_number(run.values[name]) for run in runs)]
    along = (numeric or varied)[0]
    lines = []
    for run in runs:
        key = {name: run.values[name] for name in varied if name != along}
        if key not in lines:
            lines.append(key)
    return along, lines


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_of(run, name):
    return run.results["results"].get(name, {}).get("value")


def picture(name, runs, along, lines, meaning):
    """One result over the parameter along the axis, a line for each combination of the others, as an <img>."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from phenolib import plots

    unit = next(run.results["results"][name]["unit"] for run in runs if name in run.results["results"])
    numeric = all(is_number(run.values[along]) for run in runs)
    ticks = list(dict.fromkeys(label(run.values[along]) for run in runs))
    places = [run.values[along] for run in runs] if numeric else [0, 10]
    step = 0.01 * (max(places) - min(places))
    text = io.BytesIO()
    with rc_context():
        plots.style()
        figure = Figure(figsize=(4.4, 3.0))
        axes = figure.add_subplot()
        for place, key in enumerate(lines):
            chosen = [run for run in runs if matches(run, key) and value_of(run, name) is not None]
            xs = [run.values[along] if numeric else ticks.index(label(run.values[along])) for run in chosen]
            order = sorted(range(len(xs)), key=xs.__getitem__)
            rows = [chosen[k].results["results"][name] for k in order]
            shift = step * (place - (len(lines) - 1) / 2)  # lines that coincide stay visible
            draw(axes, [xs[k] + shift for k in order], rows, place, joined=numeric)
        if not numeric:
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_xlim(-0.5, len(ticks) - 0.5)
        bracket = meaning[along].rpartition("[")[2]
        axes.set_xlabel(along + (f" [{bracket}" if bracket.endswith("]") else ""))
        axes.set_ylabel(f"[{unit}]")
        axes.set_title(name)
        figure.savefig(text, format="svg", metadata={"Date": None})
    code = base64.b64encode(text.getvalue()).decode()
    alt = html.escape(in_words(name, unit, runs, along, lines), quote=True)
    return f'<img src="data:image/svg+xml;base64,{code}" alt="{alt}">'


def draw(axes, xs, rows, place, joined):
    """One line of values with their intervals."""
    ys = [row["value"] for row in rows]
    below = [row["value"] - row["low"] if row["low"] is not None else 0 for row in rows]
    above = [row["high"] - row["value"] if row["high"] is not None else 0 for row in rows]
    bars = [[max(0, bar) for bar in side] for side in (below, above)]
    style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKS[place % len(MARKS)][0], "ms": 4}
    axes.errorbar(xs, ys, yerr=bars if xs else None, ls="-" if joined else "", elinewidth=1, capsize=2, **style)


def matches(run, key):
    return all(run.values[name] == value for name, value in key.items())


def in_words(name, unit, runs, along, lines):
    """What a picture shows, for those who cannot see it."""
    sentences = [f"{name} in {unit} against {along}." if unit != "-" else f"{name} against {along}."]
    for key in lines[:8]:
        chosen = [run for run in runs if matches(run, key) and value_of(run, name) is not None]
        values = "; ".join(f"{label(run.values[along])}: {digits(value_of(run, name))}" for run in chosen)
        sentences.append((f"{in_key(key)}: " if key else "") + (values or "no value") + ".")
    return " ".join(sentences)


def in_key(key):
    return ", ".join(f"{name} = {label(value)}" for name, value in key.items())


def plain(value):
    """A value for a table: nothing for None, lists with semicolons, no folders of this machine."""
    if isinstance(value, list):
        return ";".join(str(item) for item in value)
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return "" if value is None else value


def label(value):
    """A parameter's value as a short label."""
    return str(plain(value))


def legend(lines):
    """The colours and marks of the lines; nothing where there is one line."""
    if len(lines) < 2:
        return ""
    items = ""
    for place, key in enumerate(lines):
        colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)][1]
        items += f'<li><span style="color:{colour}" aria-hidden="true">{mark}</span> {html.escape(in_key(key))}</li>'
    return f'<ul class="legend">{items}</ul>'


def origin(runs):
    """The archives, versions and commit that the runs share."""
    if not runs:
        return "No run ended well."
    archives = sorted({run.results["archive"]["name"] for run in runs if run.results["archive"]})
    parts = [f"Archive: {', '.join(archives)}."] if archives else []
    parts += [f"phenolib {runs[0].results['versions']['phenolib']}."]
    parts += [f"Commit {runs[0].results['commit'][:8]}."] if runs[0].results["commit"] else []
    return " ".join([*parts, "Bars are the recorded intervals."])


def the_same(runs, names):
    """The recorded results that have one and the same value in every run."""
    items = "".join(f"<li><code>{html.escape(name)}</code>: {value_of(runs[0], name):.6g}</li>" for name in names)
    return f"<h2>The same in every run</h2><ul>{items}</ul>" if items else ""


def without_value(runs, results, valued):
    """The recorded results that have no value in any run, with the reason."""
    items = ""
    for name in results:
        if name not in valued:
            why = next(run.results["results"][name]["why"] for run in runs if name in run.results["results"])
            items += f"<li><code>{html.escape(name)}</code>: {html.escape(why)}</li>"
    return f"<h2>Without a value</h2><ul>{items}</ul>" if items else ""


def grid_table(runs, names, results):
    """Every run with its values, what it recorded, and how long it took."""
    heads = "".join(f"<th>{html.escape(head)}</th>" for head in [*names, *results, "seconds"])
    rows = ""
    for run in runs:
        cells = "".join(f"<td>{html.escape(label(run.values[name]))}</td>" for name in names)
        if run.results:
            cells += "".join(f"<td>{cell(run.results['results'].get(name))}</td>" for name in results)
            cells += f"<td>{run.results['seconds']:.1f}</td>"
        else:
            cells += f'<td class="error" colspan="{len(results) + 1}">failed: {html.escape(run.error)}</td>'
        rows += f"<tr>{cells}</tr>"
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def cell(row):
    """A result in the grid: value and interval, or why there is none."""
    if row is None:
        return "–"
    if row["value"] is None:
        return f'<span title="{html.escape(row["why"], quote=True)}">none</span>'
    interval = f" ({digits(row['low'])} to {digits(row['high'])})" if row["low"] is not None else ""
    return f"{digits(row['value'])}{interval} {html.escape(row['unit'] if row['unit'] != '-' else '')}".strip()
