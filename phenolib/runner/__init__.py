"""Chapters run with papermill: one run, a sweep over several values, the whole book.

>>> from phenolib import runner
>>> callable(runner.run), callable(runner.sweep), callable(runner.book)
(True, True, True)
"""

from phenolib.runner.execution import MINUTES, ChapterFailed, execute, prepare
from phenolib.runner.grid import sweep
from phenolib.runner.kept import record
from phenolib.runner.notebooks import chapters, parameters
from phenolib.runner.pool import together
from phenolib.runner.site import book

__all__ = ["ChapterFailed", "book", "chapters", "parameters", "record", "run", "sweep"]


def run(chapter, given=None, *, set=None, out, strict=False, timeout=MINUTES, threads=1):
    """Run one chapter and leave its notebook, artefacts and results.json in a folder.

    chapter  first characters of its name
    given    {parameter: value, or text that is read as the parameter's type}
    set      "fast", "full" or a YAML file, whose values stand below the given ones
    out      folder of the results; other files there are left alone
    strict   whether a check that does not hold is an error, when the values are the published ones
    timeout  minutes for the whole chapter
    threads  for BLAS, torch and numba; with one, no number depends on the number of cores
    returns  the content of results.json
    raises   InputError (nothing is left), ChapterFailed (the notebook is kept), CheckFailed (everything is kept)
    """
    job = prepare(chapter, given, set=set, out=out, strict=strict, timeout=timeout, threads=threads)
    outcome = together({job.chapter: lambda: execute(job)})[job.chapter]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
