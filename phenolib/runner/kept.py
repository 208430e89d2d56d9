"""Results of long runs and of runs on real files, kept in data/ with where they come from."""

import contextlib
import datetime
import json
import os
import platform
import threading
from pathlib import Path

from phenolib import files
from phenolib.errors import InputError
from phenolib.report import sources
from phenolib.runner import execution, notebooks, pictures, pool, site

KEPT = ("results", "checks", "archive", "commit", "seconds", "set", "seed", "parameters")
HOURS = 24


def record(kind, *, only=None, jobs=2, timeout=60 * HOURS):
    """Run chapters with the set ``full`` or ``real`` and keep what they recorded in data/<kind>_results.json.

    kind     "full": every chapter; "real": those that the set lists, on the archive in PHENOLIB_ARCHIVE
    only     first characters of one chapter
    returns  path of the file
    raises   InputError, ChapterFailed; what other chapters recorded is kept all the same
    """
    root = notebooks.project()
    listed = notebooks.read_set(kind)
    names = list(notebooks.chapters()) if kind == "full" else list(listed)
    if only:
        names = [name for name in names if name == notebooks.find(str(only))]
    if not names:
        raise InputError(f"set '{kind}': lists no such chapter; add it to tests/sets/{kind}.yml")
    archives = real_archives(listed) if kind == "real" else {}
    lock = threading.Lock()
    target = root / "data" / f"{kind}_results.json"
    tasks = {}
    with contextlib.chdir(root):
        for name in names:
            given = {"archive": archives[name]} if name in archives else {}
            out = root / "_build" / "runs" / kind / name
            job = execution.prepare(name, given, set=kind, out=out, timeout=timeout, cwd=root)
            tasks[name] = lambda job=job: keep(job, target, lock)
        outcomes = pool.together(tasks, needs={name: notebooks.needs(name) for name in names}, jobs=jobs)
    site.raise_failures(outcomes)
    return target


def real_archives(listed):
    """{chapter: folder} of the real archive; a set may name a folder inside it under ``archive:``."""
    root = os.environ.get("PHENOLIB_ARCHIVE")
    if not root:
        raise InputError("PHENOLIB_ARCHIVE is not set; set it to the folder of the real archive")
    root = Path(root).expanduser().resolve()
    return {name: str(files.inside(root, entry["archive"])) for name, entry in listed.items()}


def keep(job, target, lock):
    """Run a job and put what it recorded in its place in the file, beside the other chapters'."""
    before = sources()
    results = execution.execute(job)
    entry = {key: results[key] for key in KEPT}
    entry["archive"] = results["archive"] | {"licence": licence(job)}
    entry["modules"] = {name: before.get(name) for name in job.modules}
    entry["date"] = datetime.date.today().isoformat()
    entry["machine"] = machine()
    if job.set == "real":
        own = {name for name, row in entry["results"].items() if row.get("simulated")}  # by the chapter, never real
        entry |= {part: {k: v for k, v in entry[part].items() if k not in own} for part in ("results", "checks")}
        asked = notebooks.read_set("real")[job.chapter]
        entry["archive"]["name"] = asked.get("title") or entry["archive"]["name"]
        if asked.get("pictures", True):  # files without a licence give numbers alone
            folder = notebooks.project() / "book" / "_static" / "real"
            pictures.keep(job.out / "notebook.ipynb", folder, job.chapter)
    with lock:
        content = {"schema": 1, "chapters": {}}
        if target.is_file():
            content = json.loads(target.read_text(encoding="utf-8"))
        content["chapters"][job.chapter] = entry
        content["chapters"] = dict(sorted(content["chapters"].items()))
        files.write_json(target, content)
    return results


def licence(job):
    """The licence that an archive names for itself or for its kinds of file; else that of the set's entry."""
    from phenolib.archive import open_archive

    archive = open_archive(job.parameters["archive"])
    of_kinds = sorted({kind.licence for kind in archive.described.values()} - {""})
    named = archive.about.get("licence") or ", ".join(of_kinds)
    return named or notebooks.read_set(job.set)[job.chapter]["licence"]


def machine():
    """The kind of machine, such as "2 cores, 24 GB, Some CPU"; never its name."""
    import psutil

    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return f"{os.cpu_count()} cores, {round(psutil.virtual_memory().total / 2**30)} GB, {processor}"
