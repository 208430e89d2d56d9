"""A sweep: a chapter run for every combination of several values, into one table and one page."""

import csv
import functools
import io
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from phenolib import files
from phenolib.errors import InputError
from phenolib.runner import execution, notebooks, page, pool

COLUMNS = ("archive", "name", "value", "low", "high", "unit", "n", "why", "seconds", "error")


@dataclass
class Run:
    """One combination of values, and its results.json or the error in its place."""

    values: dict
    results: dict | None
    error: str = ""


def sweep(chapter, grid, *, set=None, out, jobs=2, timeout=execution.MINUTES):
    """Run a chapter for every combination of values and write sweep.csv and sweep.html.

    chapter  first characters of its name
    grid     {name: list of values or text with commas}
    set      name or file of a set for all other parameters
    out      folder of the table, the page and the runs
    jobs     runs at a time
    returns  list of Run, in the order of the grid
    raises   InputError if a name or value is wrong (nothing has started), or if no run got beyond its input
    """
    chapter = notebooks.find(str(chapter))
    grid = notebooks.several(chapter, grid)
    if not grid:
        raise InputError("a sweep needs values: -p NAME=V1,V2")
    out = Path(out)
    jobs_of, wrong = {}, {}
    combinations = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    for place, values in enumerate(combinations, 1):
        name = f"{place:0{len(str(len(combinations)))}d}_{_folder(values)}"
        try:
            jobs_of[name] = execution.prepare(chapter, values, set=set, out=out / "runs" / name, timeout=timeout)
        except InputError as error:  # an archive that one combination names is not there
            wrong[name] = error
    tasks = {name: functools.partial(execution.execute, job) for name, job in jobs_of.items()}
    outcomes = wrong | pool.together(tasks, jobs=jobs)
    for error in outcomes.values():
        if isinstance(error, Exception) and not isinstance(error, InputError | execution.ChapterFailed):
            raise error
    if all(isinstance(outcome, InputError) for outcome in outcomes.values()):
        raise InputError(next(iter(outcomes.values())))
    runs = [_run(values, outcomes[name]) for values, name in zip(combinations, sorted(outcomes))]
    files.write_text(out / "sweep.csv", table(runs))
    units = {parameter.name: parameter for parameter in notebooks.parameters(notebooks.chapters()[chapter])}
    files.write_text(out / "sweep.html", page.write(chapter, runs, {name: units[name].help for name in grid}))
    return runs


def table(runs):
    """The tidy table as CSV text: one row for each run and recorded result; a failed run is one row."""
    names = list(runs[0].values)
    # a parameter that bears the name of a column of ours keeps both apart
    heads = [f"parameter_{name}" if name in COLUMNS and name != "archive" else name for name in names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rest = [column for column in COLUMNS if column not in heads]
    writer.writerow(heads + rest)
    for run in runs:
        for row in _rows(run):
            cells = [*run.values.values(), *(row.get(column) for column in rest)]
            writer.writerow([page.plain(value) for value in cells])
    return text.getvalue()


def _rows(run):
    if not run.results:
        return [{"error": run.error}]
    start = {"archive": (run.results["archive"] or {}).get("name"), "seconds": run.results["seconds"]}
    rows = [start | {"name": name} | result for name, result in run.results["results"].items()]
    return rows or [start]


def _run(values, outcome):
    if isinstance(outcome, Exception):
        return Run(values, None, str(outcome))
    return Run(values, outcome)


def _folder(values):
    """A folder's name that says the values.

    >>> _folder({"site": "mead2", "threshold": 0.1})
    'site=mead2_threshold=0.1'
    """
    text = "_".join(f"{name}={page.label(value)}" for name, value in values.items())
    return re.sub(r"[^\w.=+-]+", "-", text)[:80]
