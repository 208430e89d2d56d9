"""Throughput of maps: one worker against two, seconds against pixels, memory.

    python tests/benchmarks/bench_maps.py                            four sizes up to 1024 × 1024 pixels, tiles of 128
    python tests/benchmarks/bench_maps.py --sizes 256,512,768,1024 --tile 128 --work 24 --out found.json
    python tests/benchmarks/bench_maps.py --rounds 5
    python tests/benchmarks/bench_maps.py --rest 0.5                 each tile sleeps so long instead of computing

The cube is a Zarr on disk; the function computes in NumPy on one core for a while for each pixel. One and two processes
of one thread are timed in turns, cluster and scheduler started in the time: the best round is the speed, because
other programs can only slow a round down. ``busy`` leaves out the start: it counts from the first tile that is done.
With ``--rest`` a tile needs no core: what then lacks to twice the speed is the share of scheduler and disk, also where
other programs use the cores.
Memory is the most that the process (threads=1) ever held. Not a test: nothing is held against a bound here, and
pytest does not collect it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from phenolib.maps import map_tiles


def compute(block, work, rest=0.0):
    "A smooth function of the series of each pixel, work times over."
    values = block.ndvi.values
    time.sleep(rest)
    for _ in range(work):
        values = np.tanh(values + np.sin(values) * 0.1)
    return xr.Dataset({"found": (("y", "x"), values.mean(0)), "last": (("y", "x"), values[-1])})


def write_cube(path, size, tile, times=12):
    "A cube of random numbers, written in strips of tiles."
    coordinates = {"time": np.arange(times), "y": -10.0 * np.arange(size), "x": 10.0 * np.arange(size)}
    random = np.random.default_rng(0)
    for row in range(0, size, tile):
        part = {**coordinates, "y": coordinates["y"][row:row + tile]}
        values = random.normal(size=(times, len(part["y"]), size)).astype("float32")
        strip = xr.Dataset({"ndvi": (("time", "y", "x"), values)}, part)
        if row:
            strip.to_zarr(path, append_dim="y", consolidated=False)
        else:
            strip.to_zarr(path, zarr_format=3, consolidated=False, encoding={"ndvi": {"chunks": (times, tile, tile)}})
    return path


def seconds(cube, folder, tile, function, **where):
    "Seconds of a map of its own, start included, and from its first tile on."
    out, first = Path(folder, f"map-{time.monotonic_ns()}.zarr"), []
    report = map_tiles(function, xr.open_zarr(cube, consolidated=False), out, tile=tile, **where)
    assert not report.failed
    first = (out / "found/c/0/0").stat().st_mtime, max(p.stat().st_mtime for p in out.glob("last/c/*/*"))
    return report.seconds, (first[1] - first[0]) * report.tiles / (report.tiles - 1)


def alone(cube, folder, tile, work):
    "Seconds and peak memory [MB] of a map in a process of its own."
    out = Path(folder, f"map-{time.monotonic_ns()}.zarr")
    code = ["--one", str(cube), str(out), "--tile", str(tile), "--work", str(work)]
    done = subprocess.run([sys.executable, __file__, *code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="256,512,768,1024", help="sides of the scenes [pixels]")
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--work", type=int, default=24)
    parser.add_argument("--rest", type=float, default=0.0, help="seconds that a tile sleeps instead, with workers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON to write the numbers to, as 'workers'")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        cube, out = given.one
        report = map_tiles(partial(compute, work=given.work), xr.open_zarr(cube, consolidated=False), out,
                           tile=given.tile, threads=1)
        peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())  # ru_maxrss begins at the parent's
        print(json.dumps({"pixels": report.pixels, "seconds": report.seconds, "peak_mb": int(peak[1]) / 1e3}))
        return
    sizes = [int(n) for n in given.sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        cubes = {n: write_cube(Path(folder, f"cube-{n}.zarr"), n, given.tile) for n in sizes}
        rows = [min((alone(cubes[n], folder, given.tile, given.work) for _ in range(given.rounds)),
                    key=lambda row: row["seconds"]) for n in sizes]
        pixels, took = (np.array([row[key] for row in rows]) for key in ("pixels", "seconds"))
        slope, start = np.polyfit(pixels, took, 1)
        away = took - (start + slope * pixels)
        found = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "sizes": rows,
                 "line": {"pixels_per_second": 1 / slope, "start_s": start,
                          "largest_residual_share": float(np.max(np.abs(away) / took))}}
        turns = {n: [] for n in (1, 2)}
        function = partial(compute, work=0 if given.rest else given.work, rest=given.rest)
        for _ in range(given.rounds):
            for n, times in turns.items():
                times.append(seconds(cubes[sizes[-1]], folder, given.tile, function, workers=n))
        best = {n: np.min(times, 0) for n, times in turns.items()}
        found["workers"] = {n: {"seconds": [t[0] for t in times], "busy": [t[1] for t in times]}
                            for n, times in turns.items()}
        found["two_over_one"] = {"start_included": best[1][0] / best[2][0], "busy": best[1][1] / best[2][1]}
    print(json.dumps(found, indent=2))
    if given.out:
        old = json.loads(given.out.read_text()) if given.out.is_file() else {}
        given.out.write_text(json.dumps({**old, "workers": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
