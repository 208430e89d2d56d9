"""The generated pages of the book: results, parameters and status.

``runs`` holds what this build recorded: ``{chapter: results.json}``. What longer runs recorded is kept in
``data/full_results.json`` and ``data/real_results.json``, both of this form::

    {"schema": 1, "chapters": {"11_phenocam_dates": {
        "results": {name: {value, low, high, level, n, unit, published_id, why}},   as in results.json
        "checks": {name: {bound, held}},                                            as in results.json
        "archive": {"name": "...", "hash": "...", "licence": "..."},
        "modules": {"phenolib.phenology": sha256 of its source, ...},               what the chapter imported
        "commit": "...", "date": "2026-01-31", "machine": "...", "seconds": 12.5, "set": "full", "seed": 7}}}

A kept run is *stale* when a module it used has another source now. Simulated, full and real values stand in
three columns and are never mixed: the archives ``simulated`` are the first two, every other archive the third.

A record is set beside a published number by its ``published_id``; where no record names that number, the
record called ``result`` in ``chapter`` of published.csv is. Notes in published.csv are separated by ``"; "``.
"""

import csv
import datetime
import math
import re
import shlex

from phenolib.archive import simulated
from phenolib.errors import InputError, near
from phenolib.files import inside, write_text

COLUMNS = ["id", "study", "place", "quantity", "value", "low", "high", "unit", "note"]
COLUMNS += ["chapter", "result", "verdict"]
DOI = "[doi](https://doi.org/{})"
STUDIES = {  # name, and what was read of it
    "deepcrop": (
        "Deep-CroP",
        f"Zhao et al. 2022, {DOI.format('10.1016/j.rse.2022.113046')}, the whole paper.",
    ),
    "cao": ("Roots and leaves", f"Cao et al. 2026, {DOI.format('10.1016/j.jag.2026.105282')}, summary only."),
    "ss_soilnet": (
        "SS-SoilNet",
        f"Zhang et al. 2026, {DOI.format('10.1016/j.compag.2026.111748')}, summary only.",
    ),
    "korea": ("Two layers of soil moisture", "Zhang et al. 2025, IEEE JSTARS, abstract and summary only."),
    "cosmos_uk": (
        "COSMOS-UK",
        "A poster: it relates moisture, respiration and carbon, and states no number.",
    ),
}
WHERE = ("simulated", "full", "real")
EARNED = ("reproduced", "recovered")
NO_BREAK = "\u00a0"  # a value and its interval stay on one line of a cell
HELD = {True: "held", False: "not held", None: "cannot be judged"}
INTRO = """
*Simulated* is what this build recorded on the simulated archive, whose truth is known. It can show that a
method recovers what was planted; it can confirm no published accuracy. *Full* is the same with every fold and
the published sizes, *real* is on real files. Both are kept from an earlier run, and marked **stale** when a
module they used has changed since. In brackets stand the 95 % interval, unless another level is named, and the
number of cases n. A dash says that nothing was recorded.

A verdict is earned by a chapter: *reproduced* (the published number came out again), *recovered* (the method
found the planted value of the same kind), *not checkable* (with the reason). An empty one is open.
"""
HOW_TO_CHANGE = """
Each chapter begins with one cell of named parameters. The book is built with the defaults; *fast* and *full*
are what the two other sets put in their place, where they do. To run a chapter with another value, name it:

```shell
phenolib run 11 -p threshold=0.25          # one value
phenolib sweep 11 -p threshold=0.2,0.5     # several: one run each, one table
phenolib run 11 --set fast                 # the fast set
```
"""


def write(folder, runs, parameters, *, published, full=None, real=None, modules=None, today=None):
    """Write the pages results.md, parameters.md and status.md of the book.

    folder      the folder ``book`` of the staged book
    runs        {chapter: results.json as dict} of this build; a chapter may be missing
    parameters  {chapter: list of {name, type, default, meaning, unit, fast, full}}
    published   path of published.csv
    full, real  contents of data/full_results.json and data/real_results.json (schema above)
    modules     {module: sha256 of its source now}; a kept run of a module that is not in it is stale
    today       datetime.date of the build
    raises      InputError if a verdict is not earned, or a record names an unknown published id
    """
    rows, columns = read_published(published), sort_columns(runs, full, real)
    pages = {
        "results.md": results_page(runs, rows, columns, modules or {}),
        "parameters.md": parameters_page(runs, parameters),
        "status.md": status_page(runs, parameters, today or datetime.date.today()),
    }
    for name, text in pages.items():
        write_text(inside(folder, name), re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n")


def read_published(path):
    """The numbers that the studies report, one dict of text a row.

    path     published.csv
    returns  list of dict with the keys of COLUMNS
    raises   InputError if a column is missing, an id occurs twice, or a study or verdict is unknown
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if missing := [c for c in COLUMNS if c not in (reader.fieldnames or [])]:
        raise InputError(f"{path}: column '{missing[0]}' is missing; the columns are {', '.join(COLUMNS)}")
    seen = set()
    for row in rows:
        if row["id"] in seen:
            raise InputError(f"{path}: the id '{row['id']}' occurs twice; give each number its own")
        seen.add(row["id"])
        if row["study"] not in STUDIES:
            raise InputError(f"{path}: {row['id']}: unknown study '{row['study']}'{near(row['study'], STUDIES)}")
        if row["verdict"] not in ("", *EARNED) and not re.fullmatch(r"not checkable \(.+\)", row["verdict"]):
            known = "write reproduced, recovered or not checkable (why)"
            raise InputError(f"{path}: {row['id']}: unknown verdict '{row['verdict']}'; {known}")
    return rows


# what is known, and from where


def sort_columns(runs, full, real):
    """What is known, by column and chapter: ``{"simulated" | "full" | "real": {chapter: entry}}``.

    A run of this build on another archive than the simulated one takes the place of the kept real run; what it
    simulated itself is left out of that column.
    raises   InputError if a kept run stands in the wrong file
    """
    columns = {"simulated": {}}
    for where, kept in (("full", full), ("real", real)):
        columns[where] = dict((kept or {}).get("chapters", {}))
        for chapter, entry in columns[where].items():
            name = entry["archive"]["name"]
            if simulated.named(name) != (where == "full"):
                message = f"{chapter} ran on the archive '{name}'; keep it in the other file"
                raise InputError(f"data/{where}_results.json: {message}")
    for chapter, run in runs.items():
        columns["simulated" if simulated.named(run["archive"]["name"]) else "real"][chapter] = run
    columns["real"] = {chapter: run | {"results": {name: row for name, row in run["results"].items()
                                                   if not row.get("simulated")}}
                       for chapter, run in columns["real"].items()}
    return columns


def recorded(columns, where, chapter, name):
    """The record of a chapter in one of the three columns, or None."""
    return columns[where].get(chapter, {"results": {}})["results"].get(name)


def with_value(columns, chapter, name):
    """The columns in which a record has a value."""
    return [w for w in WHERE if (recorded(columns, w, chapter, name) or {}).get("value") is not None]


def stale(entry, modules):
    """The modules of a kept run whose source is another now."""
    return sorted(m for m, digest in entry.get("modules", {}).items() if modules.get(m) != digest)


def pair(published, columns):
    """Which records stand beside each published number: ``{id: [(chapter, name), ...]}``.

    raises   InputError if a record names an id that published.csv lacks
    """
    pairs = {row["id"]: [] for row in published}
    for chapter, entry in (item for where in WHERE for item in columns[where].items()):
        for name, record in entry["results"].items():
            id = record.get("published_id")
            if id and id not in pairs:
                message = f"'{name}' names the published id '{id}', which data/published.csv lacks"
                raise InputError(f"{chapter}: {message}{near(id, pairs)}")
            if id and (chapter, name) not in pairs[id]:
                pairs[id].append((chapter, name))
    for row in published:
        place = (row["chapter"], row["result"])
        if not pairs[row["id"]] and any(recorded(columns, w, *place) for w in WHERE):
            pairs[row["id"]].append(place)
    return pairs


def demand_earned(published, pairs, columns):
    """Refuse a verdict that no recorded value stands behind."""
    for row in published:
        earned = any(with_value(columns, *place) for place in pairs[row["id"]])
        if row["verdict"] in EARNED and not earned:
            message = f"is called {row['verdict']}, but {row['chapter']} recorded no value for it in this build"
            raise InputError(f"data/published.csv: {row['id']} {message}; empty the verdict or record the value")


# cells and tables


def escape(text):
    """Text as it stands, whatever MyST would read into it, on one line of a table.

    >>> print(escape("a|b_c $x$ <i>"))
    a\\|b\\_c \\$x\\$ \\<i\\>
    """
    return re.sub(r"([\\`*_{}\[\]()<>#+!|$~&@^])", r"\\\1", " ".join(str(text).split()))


def code(text):
    """Text as inline code in a table cell; an empty text stays empty."""
    text = " ".join(str(text).split())
    return escape(text) if "`" in text or not text else "`" + text.replace("|", "\\|") + "`"


def table(head, rows, *, frame="wide-table"):
    """A MyST table that scrolls sideways in its own frame where the screen is narrow.

    head   the names of the columns, separated by " | "
    rows   list of lists of cells, escaped
    frame  its classes; the theme's "full-width" lends a table the right margin of the page too
    """
    rule = " | ".join(["---"] * (head.count(" | ") + 1))
    lines = [f"| {line} |" for line in (head, rule, *(" | ".join(map(str, row)) for row in rows))]
    return "\n".join([f"````{{div}} {frame}", "", *lines, "", "````", ""])


def link(chapter, built, *, short=False):
    """A link to a chapter's page, by its title or its number; its name alone where there is no such page."""
    if chapter not in built:
        return code(chapter)
    return f"{{doc}}`{chapter[:2]} </notebooks/{chapter}>`" if short else f"{{doc}}`/notebooks/{chapter}`"


def number(value, low=None, high=None):
    """A value with two digits of its interval's half-width, or three digits of its own.

    >>> number(4.1234, 3.2, 5.1), number(0.04567), number(1234), number(-3.0, -8.04, 2.1)
    ('4.12', '0.0457', '1234', '−3.0')
    """
    width = (high - low) / 2 if low is not None and high is not None else 0
    if width <= 0 and float(value).is_integer():
        text = f"{value:.0f}"
    else:
        decimals = (1 if width > 0 else 2) - math.floor(math.log10(width if width > 0 else abs(value)))
        text = f"{value:.{max(decimals, 0)}f}" if decimals < 8 else f"{value:.2e}"
    return text.replace("-", "−")


def plain_unit(unit):
    """A unit to show: none for a number without dimension."""
    return "" if unit in (None, "-") else unit


def ours(record, unit):
    """A record as a cell: value, interval, n; its reason where there is no value.

    unit   the unit that the row names; another one is written out
    """
    if record is None:
        return "–"
    if record["value"] is None:
        return f"none: {escape(record['why'])}"
    low, high = record.get("low"), record.get("high")
    text, about = number(record["value"], low, high), []
    if plain_unit(record["unit"]) != plain_unit(unit):
        text += f" {escape(plain_unit(record['unit']) or 'without unit')}"
    if low is not None and high is not None:
        level = record.get("level") or 0.95
        level = "" if level == 0.95 else f"{100 * level:g} %: "
        about.append(f"{level}{number(low, low, high)} to {number(high, low, high)}")
    if record.get("n") is not None:
        about.append(f"n = {record['n']}")
    return (text + (f" ({'; '.join(about)})" if about else "")).replace(" ", NO_BREAK)


def cells(columns, chapter, name, unit, modules):
    """Our three columns of a row: the record in each, and whether it is stale."""
    for where in WHERE:
        record = recorded(columns, where, chapter, name)
        mark = " **stale**" if record and stale(columns[where][chapter], modules) else ""
        yield ours(record, unit) + mark


def printed(row):
    """A published number as its study prints it, a value, a range or a bound; and its unit."""
    dated = row["unit"] in ("date", "month", "month-day")

    def show(text):
        if not dated:
            return text.replace("-", "−")
        start = {"month-day": f"2000-{text}", "month": f"{text}-01"}.get(row["unit"], text)
        date = datetime.date.fromisoformat(start)
        day = "" if row["unit"] == "month" else f"{date.day} "
        return f"{day}{date:%B}" + ("" if row["unit"] == "month-day" else f" {date.year}")

    value, low, high = (show(row[k]) if row[k] else "" for k in ("value", "low", "high"))
    text = value or (f"{low} to {high}" if low and high else "not reported")
    if bool(low) != bool(high):
        after, before = ("from", "until") if dated else ("more than", "less than")
        text = f"{after} {low}" if low else f"{before} {high}"
    return text.replace(" ", NO_BREAK), "" if dated else escape(plain_unit(row["unit"]))


def footnotes(rows):
    """Marks for the notes of published numbers, {id: mark}, and the list of notes to stand below their table."""
    notes = {row["id"]: row["note"].split("; ") if row["note"] else [] for row in rows}
    order = list(dict.fromkeys(note for some in notes.values() for note in some))
    marks = {id: ", ".join(str(order.index(note) + 1) for note in some) for id, some in notes.items()}
    marks = {id: f"{NO_BREAK}{{sup}}`{mark}`" if mark else "" for id, mark in marks.items()}
    return marks, [*(f"{i}. {escape(note)}" for i, note in enumerate(order, 1)), ""]


# the page Results


def results_page(runs, published, columns, modules):
    """Each published number beside ours, by study; then all that each chapter recorded."""
    pairs = pair(published, columns)
    demand_earned(published, pairs, columns)
    overview, sections = [], []
    for study, (title, source) in STUDIES.items():
        rows = [row for row in published if row["study"] == study]
        compared = [row for row in rows if pairs[row["id"]]]
        rest = [row for row in rows if not pairs[row["id"]]]
        verdicts = [row["verdict"].split(" (")[0] for row in rows]
        counts = [verdicts.count(v) for v in (*EARNED, "not checkable")]
        overview.append([title, len(rows), len(compared), *counts])
        sections += [f"## {title}", "", source, ""]
        if rows and not compared:
            sections += ["No chapter of this build compares a number of this study.", ""]
        sections += comparison(compared, pairs, columns, modules, runs) if compared else []
        sections += open_numbers(rest, runs) if rest else []
    head = "Study | Published numbers | Compared | Reproduced | Recovered | Not checkable"
    text = ["# Results", INTRO, table(head, overview), *sections, "## What each chapter recorded", ""]
    for chapter in sorted({chapter for where in WHERE for chapter in columns[where]}):
        text += chapter_section(chapter, columns, modules, runs)
    return "\n".join(text)


def comparison(rows, pairs, columns, modules, built):
    """The table of published numbers and ours, with its notes."""
    (marks, notes), body, why = footnotes(rows), [], []
    for row, place in ((one, place) for one in rows for place in pairs[one["id"]]):
        value, unit = printed(row)
        values = cells(columns, *place, row["unit"], modules)
        says, source = can_say(columns, *place), f"{link(place[0], built, short=True)} {code(place[1])}"
        front = [escape(row["place"]), escape(row["quantity"]), value + marks[row["id"]], unit]
        body.append([*front, *values, brief(row["verdict"], why), says, source])
    head = "Place | Quantity | Published | Unit | Ours, simulated | Ours, full | Ours, real | Verdict"
    head += " | What it can and cannot say | Chapter, record"
    said = [text for k, reason in enumerate(why) for text in ("", f"{letter(k)}: {escape(reason)}.")]
    return [table(head, body, frame="wide-table published full-width"), *notes, *said, ""]


def brief(verdict, why):
    """A verdict without the reason in brackets behind it, which goes into the list below the table.

    >>> why = []
    >>> brief("not checkable (no scenes)", why), brief("reproduced", why), why
    ('not checkable\\xa0{sup}`a`', 'reproduced', ['no scenes'])
    """
    kind, _, reason = verdict.removesuffix(")").partition(" (")
    if not reason:
        return escape(verdict)
    if reason not in why:
        why.append(reason)
    return f"{escape(kind)}{NO_BREAK}{{sup}}`{letter(why.index(reason))}`"


def letter(k):
    """The kth letter, then two of them."""
    return (chr(96 + k // 26) if k >= 26 else "") + chr(97 + k % 26)


def can_say(columns, chapter, name):
    """What a comparison can and cannot say, from where its values come."""
    has = with_value(columns, chapter, name)
    if "real" in has:
        archive = escape(columns["real"][chapter]["archive"]["name"])
        return f"Holds for the real files of {archive}; whether these are the study's own is said in the chapter."
    return "Recovery of what was planted; not the study's accuracy." if has else "Nothing yet: no value."


def open_numbers(rows, built):
    """The folded table of published numbers that no chapter compares yet."""
    (marks, notes), body = footnotes(rows), []
    for row in rows:
        (value, unit), chapter = printed(row), link(row["chapter"], built, short=True)
        front = [escape(row["place"]), escape(row["quantity"]), value + marks[row["id"]], unit]
        body.append([*front, chapter, escape(row["verdict"]), code(row["id"])])
    title = f"Published numbers that no chapter compares yet ({len(rows)})"
    head = "Place | Quantity | Published | Unit | Chapter that will | Verdict | Id"
    return [f"`````{{dropdown}} {title}", "", table(head, body, frame="wide-table published"), *notes, "`````", ""]


def chapter_section(chapter, columns, modules, built):
    """All that a chapter recorded, in its three columns, with its checks and where the values come from."""
    entries = {where: columns[where][chapter] for where in WHERE if chapter in columns[where]}
    body, reasons = [], []
    for name in dict.fromkeys(name for entry in entries.values() for name in entry["results"]):
        unit = next(e["results"][name]["unit"] for e in entries.values() if name in e["results"])
        checks = [f"{w}: {held(e['checks'][name])}" for w, e in entries.items() if name in e.get("checks", {})]
        values = [aside(cell, reasons) for cell in cells(columns, chapter, name, unit, modules)]
        body.append([code(name), escape(plain_unit(unit)), *values, "; ".join(checks)])
    sources = [f"- {where.capitalize()}: {origin(entry, modules)}" for where, entry in entries.items()]
    head, frame = "Record | Unit | Simulated | Full | Real | Check", "wide-table full-width"
    records = table(head, body, frame=frame) if body else "It records nothing.\n"
    notes = [f"{k}. {reason}" for k, reason in enumerate(reasons, 1)]
    return [f"### Chapter {chapter[:2]}", "", link(chapter, built), "", *sources, "", records, *notes, ""]


def aside(cell, reasons):
    """A cell with its reason put into the list below the table, where many rows share few reasons.

    >>> reasons = []
    >>> aside("none: no reference **stale**", reasons), aside("2.0", reasons), reasons
    ('none\\xa0{sup}`1` **stale**', '2.0', ['no reference'])
    """
    if not cell.startswith("none: "):
        return cell
    reason, mark, _ = cell.removeprefix("none: ").partition(" **stale**")
    if reason not in reasons:
        reasons.append(reason)
    return f"none{NO_BREAK}{{sup}}`{reasons.index(reason) + 1}`{mark}"


def held(check):
    """A check in words: its bound, and whether it held."""
    signs = {"at_most": "≤", "at_least": "≥"}
    bound = " and ".join(f"{signs[side]} {number(limit)}" for side, limit in check["bound"].items())
    return f"{bound} {HELD[check['held']]}"


def origin(entry, modules):
    """Where a column's values come from, and what makes them stale."""
    parts = [f"archive {archive(entry)}"]
    parts += [f"{k} {escape(entry[k])}" for k in ("set", "seed", "date", "machine") if entry.get(k) is not None]
    parts += [f"commit {code(entry['commit'][:8])}"] if entry.get("commit") else []
    parts += [f"{entry['seconds']:.0f} s"] if entry.get("seconds") is not None else []
    changed = ", ".join(map(code, stale(entry, modules)))
    return ", ".join(parts) + (f"; **stale**, changed since: {changed}" if changed else "")


def archive(entry):
    """An archive by its name, the start of its hash, and its licence where one is named."""
    name, digest, licence = (entry["archive"].get(k) or "" for k in ("name", "hash", "licence"))
    return f"{escape(name)} {code(digest[:8])}" + (f" ({escape(licence)})" if licence else "")


# the pages Parameters and Status


def parameters_page(built, parameters):
    """Each chapter's parameters, with the command that changes one."""
    text = ["# Parameters", HOW_TO_CHANGE]
    for chapter, rows in sorted(parameters.items()):
        text += [f"## Chapter {chapter[:2]}", "", link(chapter, built), ""]
        if not rows:
            text += ["This chapter has no parameters.", ""]
            continue
        body = []
        for row in rows:
            values = [code(row[k]) if row.get(k) is not None else "" for k in ("default", "fast", "full")]
            meaning = [escape(row.get("meaning") or ""), escape(plain_unit(row.get("unit")))]
            body.append([code(row["name"]), code(row["type"]), *values, *meaning])
        numeric = [row for row in rows if row["type"] in ("float", "int") and row["name"] != "seed"]
        name, default = ((numeric or rows)[0][key] for key in ("name", "default"))
        command = f"phenolib run {chapter[:2]} -p {name}={shlex.quote(str(default))}"
        text += [table("Name | Type | Default | Fast | Full | Meaning | Unit", body)]
        text += ["To change one (here with its default):", "", "```shell", command, "```", ""]
    return "\n".join(text)


def status_page(runs, parameters, today):
    """What was run, for how long, on what, and with which packages."""
    body, versions = [], {}
    for chapter in sorted({*runs, *parameters}):
        run = runs.get(chapter)
        if run is None:
            body.append([code(chapter), "not run in this build", *[""] * 6])
            continue
        checks, commit = count_held([run]), code((run.get("commit") or "")[:8])
        front = [link(chapter, runs), f"{run['seconds']:.0f}", escape(run["set"]), archive(run), checks]
        body.append([*front, "" if run.get("seed") is None else run["seed"], commit, escape(run.get("date") or "")])
        for package, version in run.get("versions", {}).items():
            versions.setdefault(package, set()).add(version)
    seconds, checks = sum(run["seconds"] for run in runs.values()), count_held(runs.values())
    body.append([f"**Total, {len(runs)} chapters**", f"**{seconds:.0f}**", "", "", f"**{checks}**", "", "", ""])
    packages = [[code(package), escape(", ".join(sorted(found)))] for package, found in sorted(versions.items())]
    built = f"Built on {today.isoformat()}. A chapter for which nothing changed keeps the seconds of its last run."
    text = [
        "# Status",
        "",
        built,
        "",
        table("Chapter | Seconds | Set | Archive | Checks | Seed | Commit | Date", body),
    ]
    return "\n".join([*text, "## Versions", "", table("Package | Version", packages)])


def count_held(runs):
    """How many checks of some runs held."""
    found = [check["held"] for run in runs for check in run.get("checks", {}).values()]
    counts = [f"{found.count(outcome)} {word}" for outcome, word in HELD.items() if outcome in found]
    return ", ".join(counts) or "none"
