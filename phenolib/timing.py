"""How fast and how large: pixels per second and memory of a call, measured so that two tools can be compared."""

import contextlib
import ctypes
import os
import threading
import time

import numpy as np

from phenolib.errors import InputError


@contextlib.contextmanager
def cores(number):
    """Keep this process to some of its cores for a while; where the system cannot, the library's own threads.

    number  how many; never more than the process has
    yields  how many there are
    """
    if not hasattr(os, "sched_setaffinity"):
        before = os.environ.get("NUMBA_NUM_THREADS")
        os.environ["NUMBA_NUM_THREADS"] = str(number)
        try:
            yield number
        finally:
            os.environ.pop("NUMBA_NUM_THREADS") if before is None else os.environ.update(NUMBA_NUM_THREADS=before)
        return
    allowed = os.sched_getaffinity(0)
    kept = sorted(allowed)[:number]
    os.sched_setaffinity(0, kept)
    try:
        yield len(kept)
    finally:
        os.sched_setaffinity(0, allowed)


def pixels_per_second(calls, *, rounds=5, number=1):
    """Speed of calls, run in turns so that all of them see the same machine in the same state.

    Each call is made once before the clock starts, so that nothing is compiled or read from disk in it. Other
    programs can only slow a round down, so the best round is the speed; the median tells how busy the machine was.

    calls    name → (function of one argument, its argument, pixels in it)
    rounds   how often each call is timed
    number   of cores
    returns  DataFrame by name: best, median [pixels s⁻¹], pixels, rounds
    raises   InputError without a round

    >>> speed = pixels_per_second({"sum": (np.sum, np.ones((50, 8)), 50)}, rounds=2)
    >>> list(speed.columns), bool(speed.loc["sum", "best"] >= speed.loc["sum", "median"])
    (['best', 'median', 'pixels', 'rounds'], True)
    """
    import pandas as pd

    if rounds < 1:
        raise InputError(f"rounds = {rounds}; give at least 1")
    seconds = {name: [] for name in calls}
    with cores(number):
        for function, argument, _ in calls.values():
            function(argument)
        for _ in range(rounds):
            for name, (function, argument, _) in calls.items():
                begun = time.perf_counter()
                function(argument)
                seconds[name].append(time.perf_counter() - begun)
    rows = {name: (calls[name][2] / min(s), calls[name][2] / np.median(s), calls[name][2], rounds)
            for name, s in seconds.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["best", "median", "pixels", "rounds"])


def peak_memory(function, argument, *, every=0.002):
    """Memory that a call needs at its height beyond what the process held before, its result included.

    function, argument  function(argument) is called once
    every               how often the memory is looked at [s]
    returns             [bytes]; a shorter height than ``every`` is not seen
    """
    import psutil

    with contextlib.suppress(AttributeError, OSError, TypeError):  # glibc gives back what it has kept for later
        ctypes.CDLL(None).malloc_trim(0)
    process, seen, done = psutil.Process(), [], threading.Event()

    def watch():
        while not done.wait(every):
            seen.append(process.memory_info().rss)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        kept = function(argument)
        seen.append(process.memory_info().rss)
    finally:
        done.set()
        watcher.join()
    del kept
    return max(0, max(seen) - before)
