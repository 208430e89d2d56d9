"""Runs one notebook with papermill in a process of its own: ``python -m phenolib.runner.worker JOB.json``.

A process for each chapter, because two of them use two cores and a runaway one can be ended.
"""

import json
import os
import sys
import threading
from pathlib import Path

from phenolib import files

EPILOGUE = "import phenolib.report as _report; _report.write_records(); del _report"


def end_with_parent():
    """End this process and its kernel when the parent is gone: the pipe to it closes."""
    import psutil

    def wait():
        sys.stdin.buffer.read()
        for process in psutil.Process().children(recursive=True):
            process.kill()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def engine():
    """papermill's engine, with one hidden cell at the end that writes which modules the chapter used."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class Client(PapermillNotebookClient):
        def papermill_execute_cells(self):
            super().papermill_execute_cells()
            self.wait_for_reply(self.kc.execute(EPILOGUE, silent=True, store_history=False))

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, start_timeout=60, **_):
            Client(nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, timeout=None).execute()

    papermill_engines.register("phenolib", Engine)
    return "phenolib"


def execute(notebook, output, values):
    """Run a notebook; what went wrong is returned as {error, message, cell}, nothing as {}."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    notebook, output = (str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, output))
    try:
        papermill.execute_notebook(notebook, output, values, engine_name=engine(), progress_bar=False)
    except papermill.PapermillExecutionError as error:
        return {"error": error.ename, "message": error.evalue, "cell": error.exec_count}
    except DeadKernelError:
        return {"error": "DeadKernelError", "message": "the kernel died, perhaps for want of memory", "cell": None}
    return {}


def main(job):
    """Run what the job file says and write the outcome beside it."""
    job = Path(job)
    end_with_parent()
    content = json.loads(job.read_text(encoding="utf-8"))
    outcome = execute(content["notebook"], content["output"], content["parameters"])
    files.write_json(job.with_name("outcome.json"), outcome)


if __name__ == "__main__":
    main(sys.argv[1])
