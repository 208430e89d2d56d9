"""Seconds and memory of a large simulated area, written as a catalogue of Sentinel scenes.

    python tests/benchmarks/bench_scene.py                           TA2, 4000 × 1000 pixels, all dates
    python tests/benchmarks/bench_scene.py --size 1000x1000 --dates 4
    … --scene TA1 --out found.json

Memory is the most that the process ever held.
The files are removed in the end. Not a test: nothing here is held against a bound, and pytest does not collect it.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from phenolib.simulate import scenes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="TA2", choices=list(scenes.AREAS))
    parser.add_argument("--size", default="4000x1000")
    parser.add_argument("--dates", type=int, help="at most so many of each sensor")
    parser.add_argument("--out", type=Path, help="JSON to write the numbers to")
    given = parser.parse_args()
    size = tuple(int(n) for n in given.size.split("x"))
    taken = {"optical": [], "backscatter": []}
    for name, seconds in taken.items():
        setattr(scenes, name, timed(getattr(scenes, name), seconds))
    with tempfile.TemporaryDirectory() as folder:
        out, begun, busy = Path(folder) / "scene", time.perf_counter(), time.process_time()
        scenes.make(out, given.scene, size=size, dates=given.dates)
        found = {"scene": given.scene, "size": given.size, "seconds": time.perf_counter() - begun,
                 "seconds_of_work": time.process_time() - busy,
                 "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
                 "disk_gb": sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e9,
                 "scenes": {name: len(seconds) for name, seconds in taken.items()},
                 "seconds_to_see_one": {name: sorted(seconds)[len(seconds) // 2] for name, seconds in taken.items()}}
    for name, value in found.items():
        print(f"{name:20} {value}")
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")


def timed(function, seconds):
    def call(*arguments):
        begun = time.perf_counter()
        found = function(*arguments)
        seconds.append(time.perf_counter() - begun)
        return found

    return call


if __name__ == "__main__":
    main()
