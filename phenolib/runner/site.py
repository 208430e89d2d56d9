"""The book: chapters run where something they rest on changed, then the pages built from what they recorded."""

import contextlib
import datetime
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from phenolib import files
from phenolib.errors import CheckFailed, InputError
from phenolib.report import sources
from phenolib.runner import execution, notebooks, pictures, pool

STAGED = ("book", "_config.yml", "_toc.yml", "CHANGELOG.md")


@dataclass
class Built:
    """What a build of the book did."""

    ran: list
    fresh: list
    page: Path | None


def book(*, set=None, strict=True, jobs=2, only=None, timeout=execution.MINUTES, build=True):
    """Run the chapters that changed and build the pages to _build/html.

    set      name of a set, or None for the values that the book publishes
    strict   whether a check that does not hold fails the build
    jobs     chapters at a time
    only     run this chapter alone; the pages are left as they are
    build    whether to build the pages
    returns  Built
    raises   InputError, ChapterFailed or CheckFailed; the pages then stay as they were
    """
    root = notebooks.project()
    only = notebooks.find(str(only)) if only else None
    label = notebooks.set_name(set) or "default"
    set = Path(set).resolve().as_posix() if set and Path(set).suffix else set
    with files.lock(root / "_build" / "book.lock"), contextlib.chdir(root):
        runs = root / "_build" / "runs" / label
        work = {
            name: execution.prepare(name, set=set, out=runs / name, strict=strict, timeout=timeout, cwd=root)
            for name in ([only] if only else notebooks.chapters())
        }
        results, ran = run_stale(work, jobs)
        fresh = [name for name in work if name not in ran]
        if strict:
            insist(work, results)
        page = build_pages(root, work, results) if build and not only else None
        return Built(ran, fresh, page)


def run_stale(work, jobs):
    """Run the jobs that are not fresh; a failure is raised after all others ended.

    work     {chapter: Job}
    returns  ({chapter: results}, names of those that ran)
    """
    before = sources()
    stale = {name: job for name, job in work.items() if not is_fresh(job, before)}
    needs = {name: notebooks.needs(name) for name in stale}
    tasks = {name: lambda job=job: run_and_stamp(job, before) for name, job in stale.items()}
    outcomes = pool.together(tasks, needs=needs, jobs=jobs)
    raise_failures(outcomes)
    results = {name: json.loads((job.out / "results.json").read_text(encoding="utf-8")) for name, job in work.items()}
    return results, list(stale)


def run_and_stamp(job, modules):
    """Run one job and, last of all, stamp it with what it rests on.

    modules  {module: sha256} from before the run, so that a file edited meanwhile makes it stale
    """
    (job.out / "stamp.json").unlink(missing_ok=True)
    if job.out.is_dir():
        keep_only(job.out, "failed.ipynb")
    job.strict = False
    stamp = rests_on(job)
    results = execution.execute(job)
    stamp["modules"] = {name: modules.get(name) for name in job.modules}
    stamp["date"] = datetime.date.today().isoformat()
    files.write_json(job.out / "stamp.json", stamp)
    return results


def is_fresh(job, modules):
    """Whether nothing that the last run of a job rests on has changed."""
    try:
        stamp = json.loads((job.out / "stamp.json").read_text(encoding="utf-8"))
        recorded, _ = stamp.pop("modules"), stamp.pop("date")
    except (OSError, ValueError, KeyError):
        return False
    whole = all((job.out / name).is_file() for name in ("results.json", "notebook.ipynb"))
    return whole and stamp == rests_on(job) and all(modules.get(name) == sha for name, sha in recorded.items())


def rests_on(job):
    """Everything but the library's modules that a run's numbers can depend on, as hashes."""
    root = notebooks.project()
    lock = root / "requirements.lock"
    package = Path(execution.__file__).resolve().parent.parent
    compiled = (".py", ".pyc", ".nbi", ".nbc")
    beside = [path for path in package.rglob("*") if path.is_file() and path.suffix not in compiled]
    # published.csv is read by the generated pages alone, and those are made anew with every build
    beside += [path for path in (root / "data").glob("*.csv") if path.name != "published.csv"]
    return {
        "notebook": files.sha256(job.notebook),
        "lock": files.sha256(lock) if lock.is_file() else None,
        "beside": files.digest({path.name: files.sha256(path) for path in sorted(beside)}),
        "values": files.digest(job.parameters, job.bounds, job.set),
        "archive": job.archive,
        "python": platform.python_version(),
    }


def insist(work, results):
    """Fail for the checks of any chapter that did not hold."""
    missed = []
    for name, job in work.items():
        try:
            execution.insist(job, results[name])
        except CheckFailed as error:
            missed.append(str(error))
    if missed:
        raise CheckFailed("\n".join(missed))


def raise_failures(outcomes):
    """Raise what went wrong in some of several runs: what the user gave first, else the chapters that failed."""
    wrong = {name: error for name, error in outcomes.items() if isinstance(error, Exception)}
    for error in wrong.values():
        if not isinstance(error, InputError | execution.ChapterFailed | CheckFailed):
            raise error
    if wrong and all(isinstance(error, InputError) for error in wrong.values()):
        raise InputError("; ".join(f"{name}: {error}" for name, error in wrong.items()))
    if wrong:
        lines = [str(error) if name in str(error) else f"{name}: {error}" for name, error in wrong.items()]
        raise execution.ChapterFailed("\n".join(lines))


def keep_only(folder, name):
    """Empty a folder of the runner's own but for one file."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != name:
            path.unlink()


def build_pages(root, work, results):
    """Stage the pages, write the generated ones, and build them unless nothing changed since the last build.

    returns  path of the first page
    raises   ChapterFailed with the builder's own warnings
    """
    staged, site, html = root / "_build" / "source", root / "_build" / "site", root / "_build" / "html"
    stage(root, staged, work)
    write_generated(root, staged / "book", work, results)
    lock = root / "requirements.lock"
    content = {path.as_posix(): files.sha256(path) for path in [*sorted(staged.rglob("*")), lock] if path.is_file()}
    state = files.digest(content)
    note = root / "_build" / "site.json"
    if (html / "index.html").is_file() and note.is_file() and json.loads(note.read_text()).get("state") == state:
        return html / "index.html"
    note.unlink(missing_ok=True)
    shutil.rmtree(site, ignore_errors=True)  # with it every doctree that could hold an old number
    sphinx(staged, site, root / "_build" / "site.log")
    shutil.rmtree(html, ignore_errors=True)
    (site / "_build" / "html").replace(html)
    shutil.rmtree(site)
    files.write_json(note, {"state": state})
    return html / "index.html"


def stage(root, staged, work):
    """Put the pages and the executed notebooks where the builder reads them."""
    shutil.rmtree(staged, ignore_errors=True)
    (staged / "notebooks").mkdir(parents=True)
    for name in STAGED:
        if (root / name).is_dir():
            shutil.copytree(root / name, staged / name)
        elif (root / name).is_file():
            shutil.copyfile(root / name, staged / name)
    (staged / "book").mkdir(exist_ok=True)
    for name, job in work.items():
        pictures.staged(job.out / "notebook.ipynb", staged / "notebooks" / f"{name}.ipynb")


def write_generated(root, folder, work, results):
    """Write the pages Results, Parameters and Status into the staged book."""
    from phenolib.report import pages

    runs = {}
    for name, found in results.items():
        date = json.loads((work[name].out / "stamp.json").read_text(encoding="utf-8"))["date"]
        archive = found["archive"] or {"name": "simulated", "hash": ""}
        runs[name] = found | {"archive": archive, "set": found["set"] or "default", "date": date}
    kept = {}
    for kind in ("full", "real"):
        path = root / "data" / f"{kind}_results.json"
        kept[kind] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    table = parameter_table(work)
    pages.write(folder, runs, table, published=root / "data" / "published.csv", modules=sources(), **kept)


def parameter_table(work):
    """{chapter: [{name, type, default, meaning, unit, fast, full}]}; the unit is what ends the help in brackets."""
    sets = {}
    for name in ("fast", "full"):
        there = (notebooks.project() / "tests" / "sets" / f"{name}.yml").is_file()
        sets[name] = notebooks.read_set(name) if there else {}
    table = {}
    for chapter, job in work.items():
        other = {name: found.get(chapter, {}).get("parameters", {}) for name, found in sets.items()}
        table[chapter] = []
        for parameter in notebooks.parameters(job.notebook):
            meaning, bracket, unit = parameter.help.rpartition("[")
            row = {"name": parameter.name, "type": parameter.type, "default": parameter.default}
            row["meaning"] = meaning.strip() if bracket and unit.endswith("]") else parameter.help
            row["unit"] = unit[:-1] if bracket and unit.endswith("]") else "-"
            table[chapter].append(row | {name: values.get(parameter.name) for name, values in other.items()})
    return table


def sphinx(staged, site, log):
    """Build the staged pages with warnings as errors."""
    if importlib.util.find_spec("jupyter_book") is None:
        raise InputError("Jupyter Book is not installed; install the project with its requirements.lock to build pages")
    start = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    options = ["build", str(staged), "--path-output", str(site), "-W", "-n", "--keep-going"]
    with open(log, "w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, "-c", start, *options], stdout=file, stderr=subprocess.STDOUT, cwd=staged, env=os.environ
        )
    if done.returncode or not (site / "_build" / "html" / "index.html").is_file():
        lines = log.read_text(encoding="utf-8").splitlines()
        wrong = [line for line in lines if "WARNING" in line or "ERROR" in line or "rror:" in line] or lines[-5:]
        shown = [line.replace(f"{staged}{os.sep}", "") for line in wrong[:20]]
        raise execution.ChapterFailed("\n".join([f"the pages were not built; see {execution.shown_path(log)}", *shown]))
