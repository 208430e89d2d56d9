import os
import time

import numpy as np
import pytest

from phenolib import timing
from phenolib.errors import InputError


def sleeping(seconds):
    return lambda _: time.sleep(seconds)


def test_speed_is_pixels_over_the_best_round():
    "A call that lasts 20 ms on 100 pixels makes at most 5000 pixels a second, one of 5 ms about four times as many."
    calls = {"slow": (sleeping(0.02), None, 100), "fast": (sleeping(0.005), None, 100)}
    speed = timing.pixels_per_second(calls, rounds=3)
    assert 2500 < speed.loc["slow", "best"] <= 5000
    assert speed.loc["fast", "best"] > 2 * speed.loc["slow", "best"]
    assert (speed["best"] >= speed["median"]).all()


def test_calls_take_turns():
    "All calls are made once unmeasured, then one after the other in each round, so that they see the same machine."
    seen = []
    calls = {name: (seen.append, name, 1) for name in "ab"}
    timing.pixels_per_second(calls, rounds=2)
    assert seen == ["a", "b"] * 3


def test_no_round_is_refused():
    "A speed needs a round."
    with pytest.raises(InputError, match="rounds = 0"):
        timing.pixels_per_second({}, rounds=0)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot keep a process to a core")
def test_cores_are_given_back():
    "Within the block there is one core, after it those from before, after an error too."
    before = os.sched_getaffinity(0)
    with pytest.raises(KeyError), timing.cores(1) as number:
        assert number == len(os.sched_getaffinity(0)) == 1
        raise KeyError
    assert os.sched_getaffinity(0) == before


def test_threads_are_limited_where_cores_cannot_be(monkeypatch):
    "On a system without affinity the threads of the library are limited, and the setting comes back as it was."
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    for before in (None, "7"):
        if before is None:
            monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
        else:
            monkeypatch.setenv("NUMBA_NUM_THREADS", before)
        with timing.cores(1):
            assert os.environ["NUMBA_NUM_THREADS"] == "1"
        assert os.environ.get("NUMBA_NUM_THREADS") == before


def test_memory_of_a_call_counts_what_it_holds_at_its_height():
    "An array of 64 MB that is made and held for a moment is seen; its size is met within a tenth."
    def hold(size):
        array = np.ones(size)
        time.sleep(0.05)
        return array[:1].copy()

    found = timing.peak_memory(hold, 8_000_000)
    assert 0.9 < found / 64e6 < 1.3
