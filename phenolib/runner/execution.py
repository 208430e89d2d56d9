"""One run of one chapter: from checked parameters to an executed notebook and results.json."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from phenolib import files
from phenolib.errors import CheckFailed, InputError, near
from phenolib.runner import notebooks, processes

SCHEMA = 1
MINUTES = 20


class ChapterFailed(RuntimeError):
    """A chapter raised or ran out of time; the message is one line with the kept notebook's path."""


@dataclass
class Job:
    """A chapter and the values it is to run with, all checked.

    chapter     full name
    values      values that differ from the parameters cell
    bounds      bounds of checks that a set gives
    set         name of the set, or None
    published   whether the values are those of the chapter and its set
    cwd         folder that relative paths start from
    """

    chapter: str
    values: dict
    out: Path
    bounds: dict = field(default_factory=dict)
    set: str | None = None
    published: bool = True
    strict: bool = False
    timeout: float = MINUTES
    threads: int = 1
    cwd: Path = field(default_factory=Path.cwd)
    archive: dict | None = None
    modules: list = field(default_factory=list)  # of the library, used by the chapter; known after the run

    @property
    def notebook(self):
        return notebooks.chapters()[self.chapter]

    @property
    def parameters(self):
        """Every parameter of the chapter with its value in this run."""
        return notebooks.defaults(self.notebook) | self.values


def prepare(chapter, given=None, *, set=None, out, source="", **options):
    """A job whose names, types and archive were checked; no kernel has started.

    chapter  first characters of its name
    given    {name: value or text} that win over the set
    set      name or file of a set, or None
    out      folder of the results
    raises   InputError
    """
    name = notebooks.find(str(chapter))
    entry = notebooks.read_set(set).get(name, {}) if set else {}
    own = notebooks.checked(name, given or {}, source=source)
    start = notebooks.defaults(notebooks.chapters()[name])
    wanted = start | entry.get("parameters", {})
    values = {key: value for key, value in (wanted | own).items() if value != start[key]}
    job = Job(
        name,
        values,
        Path(out),
        bounds=entry.get("checks", {}),
        set=notebooks.set_name(set),
        published=wanted | own == wanted,
        **options,
    )
    job.archive = describe_archive(job)
    return job


def describe_archive(job):
    """{name, hash} of the archive that a job reads, or None if the chapter reads none.

    raises   InputError for an archive that has other kinds of files than the chapter reads
    """
    if "archive" not in job.parameters:
        return None
    with contextlib.chdir(job.cwd):
        archive = _open(job.parameters["archive"])
        about = notebooks.metadata(job.notebook)
        kinds = [*about.get("kinds", []), *about.get("also", [])]  # what the chapter needs, and what it can use
        there = archive.kinds() if kinds else {}
        if there and not set(kinds) & set(there):  # without any file the chapter tells what is wrong
            raise InputError(f"chapter {job.chapter} reads {', '.join(kinds)}, and the archive '{archive.name}' has "
                             f"only {', '.join(there)}; `phenolib data check` tells which chapters run on an archive")
        return {"name": archive.name, "hash": archive.hash(kinds or None)}


def execute(job):
    """Run a job and leave its notebook, artefacts and results.json in its folder.

    returns  the content of results.json
    raises   InputError of the chapter (nothing is left), ChapterFailed (the notebook is kept as failed.ipynb),
             CheckFailed in a strict run of published values (everything is kept)
    """
    with _workplace(job.out) as work:
        begun = time.monotonic()
        outcome = processes.execute(job, work)
        seconds = round(time.monotonic() - begun, 1)
        _clean_notebook(work / "notebook.ipynb", job, work)
        if outcome.get("error") in ("InputError", "NoScenes"):
            raise InputError(outcome["message"])
        if outcome:
            raise ChapterFailed(_failure(job, work, outcome))
        results = _results(job, work, seconds)
        files.write_json(work / "results.json", results)
        (job.out / "failed.ipynb").unlink(missing_ok=True)
        _publish(work, job.out)
    if job.strict and job.published:
        insist(job, results)
    return results


def commit():
    """The commit of the source tree, with "-changed" where code or chapters differ; None outside a repository."""
    root = files.checkout()
    if root is None or not (root / ".git").exists():
        return None
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        git = ["git", "-C", str(root)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        status = [*git, "status", "--porcelain", "--", "phenolib", "notebooks", "requirements.lock", "tests/sets"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout.strip()
        return head.strip() + ("-changed" if changed else "")
    return None


def shown_path(path):
    """A path as a person would type it here."""
    return os.path.relpath(path)


def _open(name):
    from phenolib.archive import open_archive

    return open_archive(name)


@contextlib.contextmanager
def _workplace(out):
    """A folder beside ``out`` to run in; it and the folders made for it are gone afterwards if nothing is kept."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {shown_path(out)}: is a file; name a folder")
    old = out / "results.json"
    if old.is_file() and '"schema"' not in old.read_text(errors="replace"):
        raise InputError(f"--out {shown_path(out)}: holds a results.json that is not a chapter's; name another folder")
    made = [folder for folder in [out, *out.parents] if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        _sweep_out(out)
        work = Path(tempfile.mkdtemp(dir=out, prefix=f".run-{os.getpid()}-"))
    except OSError as error:
        raise InputError(f"--out {shown_path(out)}: cannot write there ({error.strerror})") from None
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _sweep_out(out):
    """Take away what killed runs left in a folder."""
    import psutil

    for left in out.glob(".run-*"):
        process = left.name.split("-")[1]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def _clean_notebook(path, job, work):
    """Take what belongs to this machine out of an executed notebook: timings, and paths in any text."""
    if not path.is_file():
        return
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        if cell["metadata"].get("tags") == []:
            del cell["metadata"]["tags"]
    folders = [str(work), str(files.home().resolve()), str(files.checkout() or job.cwd), str(job.cwd)]
    names = {f"{folder}{os.sep}": "" for folder in folders if Path(folder).parent != Path(folder)}
    names |= {value: Path(value).name for value in job.values.values() if _is_path(value)}
    files.write_text(path, json.dumps(_renamed(notebook, names), indent=1, ensure_ascii=False) + "\n")


def _renamed(value, names):
    """Every text in a JSON value with the paths in ``names`` replaced, and those of the kernel's own cells."""
    if isinstance(value, dict):
        return {key: item if key.startswith("image/") else _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, str):
        for path, name in names.items():
            value = re.sub(r"(?<![\w./-])" + re.escape(path), name, value)
        return re.sub(r"\S{0,200}/ipykernel_\d+/\d+\.py", "cell", value) if "/ipykernel_" in value else value
    return value


def _is_path(value):
    return isinstance(value, str) and len(Path(value).parts) > 1 and Path(value).is_absolute()


def _failure(job, work, outcome):
    """Keep the notebook of a failed run and say in one line what failed, and where it lies."""
    message = " ".join(str(outcome["message"]).split())
    cell = f" in cell {outcome['cell']}" if outcome["cell"] else ""
    kind = "" if outcome["error"] in ("Timeout", "RunnerError") else f"{outcome['error']}: "
    line = f"{job.chapter} failed{cell}: {kind}{message}"
    if (work / "notebook.ipynb").is_file():
        (work / "notebook.ipynb").replace(job.out / "failed.ipynb")
        line += f"; its notebook is kept: {shown_path(job.out / 'failed.ipynb')}"
    return line


def _results(job, work, seconds):
    """The content of results.json."""
    records = json.loads((work / "records.json").read_text(encoding="utf-8"))
    job.modules = records["modules"]
    plain = {name: Path(value).name if _is_path(value) else value for name, value in job.parameters.items()}
    return {
        "schema": SCHEMA,
        "chapter": job.chapter,
        "archive": job.archive,
        "set": job.set,
        "parameters": plain,
        "seed": plain.get("seed"),
        "commit": commit(),
        "versions": records["versions"],
        "seconds": seconds,
        "results": records["results"],
        "checks": records["checks"],
    }


def _publish(work, out):
    """Move a finished run into its folder, results.json last; other files there are left alone."""
    (out / "results.json").unlink(missing_ok=True)
    shutil.rmtree(work / ".job")
    (work / "records.json").unlink()
    found = [path for path in sorted(work.rglob("*")) if path.is_file()]
    for path in sorted(found, key=lambda path: path == work / "results.json"):
        target = out / path.relative_to(work)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def insist(job, results):
    """Fail a strict run for checks that did not hold, or that its set names and the chapter never made."""
    missing = [name for name in job.bounds if name not in results["checks"]]
    if missing:
        hint = near(missing[0], results["checks"])
        raise CheckFailed(f"{job.chapter}: set '{job.set}' bounds '{missing[0]}', which the chapter never checks{hint}")
    missed = []
    for name, check in results["checks"].items():
        if check["held"] is False:
            bound = " and ".join(f"{side.replace('_', ' ')} {limit:g}" for side, limit in check["bound"].items())
            missed.append(f"{name} is {results['results'][name]['value']:.4g}, not {bound}")
    if missed:
        notebook = shown_path(job.out / "notebook.ipynb")
        raise CheckFailed(f"{job.chapter}: {'; '.join(missed)}; its notebook is kept: {notebook}")
