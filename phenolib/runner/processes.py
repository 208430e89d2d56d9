"""The processes of runs: a worker and its kernel for each chapter, ended with everything below them."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from phenolib import files

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_running = set()
_stopping = threading.Event()


class Stopped(Exception):
    """A run was ended from outside; nothing of it is kept."""


def execute(job, work):
    """Run a worker on a job and wait; everything that it started has ended when this returns.

    job      execution.Job
    work     folder for the notebook and what the chapter writes
    returns  {} when the chapter ended well, else {error, message, cell}
    raises   Stopped if ``end_all`` was called meanwhile
    """
    given = {"notebook": str(job.notebook), "output": str(work / "notebook.ipynb"), "parameters": job.values}
    files.write_json(work / ".job" / "job.json", given)
    with open(work / ".job" / "log", "wb") as log:
        if _stopping.is_set():
            raise Stopped
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "phenolib.runner.worker", str(work / ".job" / "job.json")],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=job.cwd,
            env=_environment(job, work),
            start_new_session=True,
        )
        _running.add(process)
        try:
            process.wait(timeout=60 * job.timeout)
        except subprocess.TimeoutExpired:
            return {"error": "Timeout", "message": f"did not end within {job.timeout:g} minutes", "cell": None}
        finally:
            _end(process)
    if _stopping.is_set():
        raise Stopped
    outcome = work / ".job" / "outcome.json"
    if not outcome.is_file():
        lines = (work / ".job" / "log").read_text(errors="replace").strip().splitlines()
        return {"error": "RunnerError", "message": lines[-1] if lines else "ended without a word", "cell": None}
    return json.loads(outcome.read_text(encoding="utf-8"))


def _end(process):
    """End a worker and every process below it, kernels too."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()
    process.stdin.close()
    _running.discard(process)


def start_all():
    """Let runs start again after ``end_all``."""
    _stopping.clear()


def end_all():
    """End every run that is under way, as on Ctrl-C; none starts until ``start_all``."""
    _stopping.set()
    for process in list(_running):
        _end(process)


def _environment(job, work):
    """What a kernel finds in its environment: its folder, its threads, this library, nobody's own settings."""
    env = dict(os.environ)
    env.pop("MPLBACKEND", None)  # any value makes every figure vanish from the notebook
    env.update({name: str(job.threads) for name in THREADS})
    env["PHENOLIB_RUN"] = str(work)
    env["PHENOLIB_BOUNDS"] = json.dumps(job.bounds)
    env["IPYTHONDIR"] = str(work / ".job" / "ipython")
    env["JUPYTER_RUNTIME_DIR"] = str(work / ".job" / "runtime")
    env["PYTHONHASHSEED"] = "0"
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    library = Path(files.__file__).resolve().parent.parent
    if library.name not in ("site-packages", "dist-packages"):
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(library), env.get("PYTHONPATH")]))
    return env
