"""Several runs at a time, each after those it needs, with their names and times on the screen."""

import contextlib
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from phenolib.errors import InputError
from phenolib.runner import execution, processes


def together(tasks, *, needs=None, jobs=2):
    """Run callables, so many at a time, and wait for all.

    tasks    {name: callable without arguments}
    needs    {name: names that have to end well before}; names that are no task count as done
    jobs     how many at a time
    returns  {name: what it returned, or the exception it raised}
    raises   InputError if tasks wait for each other in a circle
    """
    waiting = {name: {other for other in (needs or {}).get(name, ()) if other in tasks} for name in tasks}
    done, running, behind = {}, {}, _behind(waiting)
    processes.start_all()
    with _Screen() as screen, ThreadPoolExecutor(jobs) as pool:
        try:
            while waiting or running:
                ready = [name for name, before in waiting.items() if before <= done.keys()]
                for name in sorted(ready, key=lambda name: -behind[name]):  # those that most wait for come first
                    failed = [other for other in waiting[name] if isinstance(done[other], Exception)]
                    if failed:
                        done[name] = execution.ChapterFailed(f"{name} was not run: it needs {failed[0]}, which failed")
                    elif len(running) < jobs:
                        running[pool.submit(screen.watch, name, tasks[name])] = name
                    else:
                        continue
                    del waiting[name]
                if not running and waiting and not any(before <= done.keys() for before in waiting.values()):
                    raise InputError(f"needs: these chapters wait for each other: {', '.join(sorted(waiting))}")
                for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                    done[running.pop(future)] = future.exception() or future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.end_all()
            raise
    return {name: done[name] for name in tasks}


def _behind(waiting):
    """How many tasks wait for each, at once or by way of others: {name: count}."""
    found = {}
    for name in waiting:
        beyond, new = set(), {name}
        while new:
            new = {other for other, before in waiting.items() if before & new} - beyond
            beyond |= new
        found[name] = len(beyond)
    return found


class _Screen:
    """A line with a clock for each run on a terminal; plain lines at start and end elsewhere."""

    def __enter__(self):
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self.bars = None
        if console.is_terminal:
            columns = (SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), TimeElapsedColumn())
            self.bars = Progress(*columns, TextColumn("{task.fields[state]}"), console=console)
            self.bars.start()
        return self

    def __exit__(self, *_):
        if self.bars:
            self.bars.stop()

    def watch(self, name, task):
        """Run a task between its start and its end on the screen."""
        begun = time.monotonic()
        if self.bars:
            bar = self.bars.add_task(name, total=1, state="")
        else:
            self._say(f"{name}: started")
        state = "failed"
        try:
            result = task()
            state = "done"
            return result
        finally:
            if self.bars:
                self.bars.update(bar, completed=1, state=state)
            else:
                self._say(f"{name}: {state} after {time.monotonic() - begun:.1f} s")

    @staticmethod
    def _say(line):
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{line}\n")  # in one piece: two threads may speak at once
            sys.stderr.flush()
