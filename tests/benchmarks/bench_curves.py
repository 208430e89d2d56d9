"""Speed, memory and accuracy of the curve engine, beside the smoother `whittaker-eilers` on the same machine.

    python tests/benchmarks/bench_curves.py                    speed and memory
    python tests/benchmarks/bench_curves.py --large            and a dask cube of 2000 × 2000 pixels to Zarr
    python tests/benchmarks/bench_curves.py --accuracy         errors of all methods on all kinds of series instead
    … --pixels 5000 --rounds 3 --out found.json

Speeds are of one core and of the best of the rounds, in which all calls take turns. The peer smooths and does nothing
else; ours finds the seasons with two thresholds, their figures, qualities and intervals. Not a test: nothing here is
held against a bound, and pytest does not collect it.
"""

import argparse
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import xarray as xr

from phenolib import phenology, timing
from phenolib.simulate.series import KINDS, score, series

SEED = 2026  # the engine was developed on other seeds
FEW = 25  # a slow method is timed on pixels / FEW
METHODS = {
    "whittaker": dict(method="whittaker"),
    "whittaker, automatic": dict(method="whittaker", smoothness="auto"),
    "double_logistic": dict(method="double_logistic"),
    "double_logistic, beck": dict(method="double_logistic", form="beck"),
    "asymmetric_gaussian": dict(method="asymmetric_gaussian"),
    "harmonic": dict(method="harmonic"),
    "savgol": dict(method="savgol"),
    "loess": dict(method="loess"),
}
SLOW = ("harmonic", "savgol", "loess")
KEPT = ["sos50", "eos50", "amplitude", "quality"]  # what the cube writes


def seasons(cube, **options):
    return phenology.seasons(cube, thresholds=(0.2, 0.5), per_year=1, **options)


def many(pixels):
    """The one_season set as (pixel, time); beyond 20,000 pixels it repeats."""
    cube = series("one_season", min(pixels, 20_000), seed=SEED, margin=None)["ndvi"]
    repeated = np.tile(cube.values, (-(-pixels // len(cube)), 1))[:pixels]
    return xr.DataArray(repeated, dims=cube.dims, coords={"time": cube["time"]})


def peer(cube):
    """The peer's loop, one smoother kept, and its input: rows of NumPy, missing values with weight 0."""
    import whittaker_eilers

    smoother = whittaker_eilers.WhittakerSmoother(lmbda=10, order=2, data_length=cube.sizes["time"])
    values = cube.values.astype(float)
    weights = np.isfinite(values).astype(float)

    def loop(rows):
        for value, weight in zip(*rows):
            smoother.update_weights(weight)
            smoother.smooth(value)

    return loop, (np.nan_to_num(values), weights)


# ---------------------------------------------------------------------------------- what runs in a process of its own
def job_speed(pixels, rounds):
    """(a) to (f): every method beside the peer, in turns on one core."""
    cube = many(pixels)
    few = cube[: max(pixels // FEW, 200)]
    calls = {}
    if importlib.util.find_spec("whittaker_eilers"):
        part = cube[: max(pixels // 5, 200)]
        loop, rows = peer(part)
        calls["whittaker-eilers, smoothing alone"] = loop, rows, len(part)
        lists = tuple(r.tolist() for r in rows)
        calls["whittaker-eilers, from lists"] = loop, lists, len(part)
    for name, options in METHODS.items():
        part = few if name in SLOW else cube
        calls[name] = lambda c, options=options: seasons(c, **options), part, len(part)
    side = int(pixels**0.5)
    scene = cube[: side * side].values.reshape(side, side, -1).transpose(2, 0, 1)
    scene = xr.DataArray(np.ascontiguousarray(scene), dims=("time", "y", "x"), coords={"time": cube["time"]})
    calls["whittaker, time first"] = lambda c: seasons(c, method="whittaker"), scene, side * side
    return timing.pixels_per_second(calls, rounds=rounds).to_dict("index")


def job_cores(pixels, method, rounds):
    """(g): the best of some rounds on one core and on two, in turns: seconds, and seconds of work on all cores."""
    cube = many(pixels)
    seasons(cube[:2048], method=method)
    best = {}
    for _ in range(rounds):
        for asked in (1, 2):
            with timing.cores(asked) as number:
                begun, busy = time.perf_counter(), time.process_time()
                seasons(cube, method=method)
                took = time.perf_counter() - begun, time.process_time() - busy
                best[number] = min(best.get(number, took), took)
    return best


def job_scaling(sizes, method, rounds):
    """(h): seconds, and what a call holds at its height beyond its input, for growing cubes on one core."""
    rows = []
    for pixels in sizes:
        cube = many(pixels)
        speed = timing.pixels_per_second({"ours": (lambda c: seasons(c, method=method), cube, pixels)}, rounds=rounds)
        with timing.cores(1):
            held = timing.peak_memory(lambda c: seasons(c, method=method), cube)
        rows.append({"pixels": pixels, "seconds": pixels / speed["best"].item(), "bytes": held})
    return rows


def job_large(side, chunk, method):
    """(i): a lazy cube of side × side pixels through ``seasons`` to Zarr on two threads."""
    import dask
    import dask.array

    bank = series("one_season", 2000, seed=SEED, margin=None)["ndvi"]

    def made(block_id):
        pick = np.random.default_rng([SEED, *block_id[:2]]).integers(0, len(bank), chunk * chunk)
        return bank.values[pick].reshape(chunk, chunk, -1)

    chunks = ((chunk,) * (side // chunk),) * 2 + ((bank.sizes["time"],),)
    cube = xr.DataArray(dask.array.map_blocks(made, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 3, "f4")),
                        dims=("y", "x", "time"), coords={"time": bank["time"]})
    one = chunk * chunk * bank.sizes["time"] * 4
    seasons(bank, method=method)
    with tempfile.TemporaryDirectory() as folder, dask.config.set(scheduler="threads", num_workers=2):
        found = seasons(cube, method=method)[KEPT]
        found = found.drop_vars([c for c in found.coords if c not in ("year", "rank")])
        for name in KEPT[:2]:
            found[name] = ((found[name] - bank["time"].values[0]) / np.timedelta64(1, "D")).astype(np.float32)

        def write(ds):
            ds.to_zarr(Path(folder) / "out.zarr", mode="w", consolidated=False)

        begun = time.perf_counter()
        peak = timing.peak_memory(write, found, every=0.01)
        seconds = time.perf_counter() - begun
        share = float(xr.open_zarr(Path(folder) / "out.zarr", consolidated=False)["sos50"].notnull().mean())
    return {"pixels": side * side, "seconds": seconds, "peak_beyond_a_chunk": peak - one, "chunk": one,
            "dated": share}


def job_accuracy(kind, pixels):
    """Errors of every method on one kind of series, each threshold apart; up to three seasons a year may be found."""
    truth = series(kind, pixels, seed=SEED, margin=None)
    rows = []
    for name, options in METHODS.items():
        some = truth.isel(pixel=slice(0, pixels // 8 if name in SLOW else pixels))
        found = phenology.seasons(some["ndvi"], **options)
        row = {"kind": kind, "method": name, "pixels": some.sizes["pixel"]}
        for share in (20, 50):
            marks = score(found[f"sos{share}"], found[f"eos{share}"], some, share)
            row |= {f"sos{share}": marks["mae_sos"], f"eos{share}": marks["mae_eos"]}
            row |= {f"found{share}": marks["found"], f"false{share}": marks["false"]}
        rows.append(row)
    return rows


# ------------------------------------------------------------------------------------------------------------ reports
def run(job, **options):
    """The answer of a job in a fresh process, so that neither memory nor cores of one leak into the next."""
    command = [sys.executable, __file__, "--job", json.dumps([job, options])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def speed(pixels, rounds):
    table = pd.DataFrame(run("speed", pixels=pixels, rounds=rounds)).T
    base = "whittaker-eilers, smoothing alone"
    table["ratio"] = table["best"] / table["best"].get(base, np.nan)
    print(table.round({"best": 0, "median": 0, "ratio": 2}).to_string())
    return table.to_dict("index")


def two_cores(pixels, rounds):
    """How many times as fast two cores are as one."""
    result = {}
    for method, some in (("whittaker", pixels), ("double_logistic", pixels // 4)):
        seconds = {int(k): v for k, v in run("cores", pixels=some, method=method, rounds=rounds).items()}
        if 2 not in seconds:
            print("two cores: this machine lends one only")
            return {}
        factor, idle = seconds[1][0] / seconds[2][0], 2 * seconds[1][1] / seconds[2][1]
        result[method] = {"one": seconds[1], "two": seconds[2], "factor": factor, "by_work": idle, "pixels": some}
        print(f"{method}: {factor:.2f} times as fast on two cores, {some} pixels; by the work done {idle:.2f}, which "
              "is what two idle cores would give")
    return result


def scaling(sizes, rounds):
    """Seconds and memory against pixels; exponent 1 is linear."""
    rows = run("scaling", sizes=sizes, method="whittaker", rounds=rounds)
    table = pd.DataFrame(rows)
    exponent = np.polyfit(np.log(table["pixels"]), np.log(table["seconds"]), 1)[0]
    each = np.polyfit(table["pixels"], table["bytes"], 1)[0]
    print(table.assign(rate=table["pixels"] / table["seconds"]).round(3).to_string(index=False))
    print(f"time grows with pixels to the power {exponent:.2f}; {each:.0f} bytes a pixel beyond the input of 876")
    return {"rows": rows, "exponent": exponent, "bytes_per_pixel": each}


def large(sides=(500, 1000, 2000), chunk=250):
    rows = [run("large", side=side, chunk=chunk, method="whittaker") for side in sides]
    table = pd.DataFrame(rows)
    table["rate"] = table["pixels"] / table["seconds"]
    table["peak [MB]"] = table["peak_beyond_a_chunk"] / 1e6
    print(table.round(3).to_string(index=False))
    return rows


def accuracy(pixels):
    rows = [row for kind in KINDS for row in run("accuracy", kind=kind, pixels=pixels)]
    print(pd.DataFrame(rows).round(2).to_string(index=False))
    return rows


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--pixels", type=int, default=20_000)
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--large", action="store_true")
    ask.add_argument("--accuracy", action="store_true")
    ask.add_argument("--out", type=Path)
    ask.add_argument("--job", help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.job:
        job, options = json.loads(given.job)
        print(json.dumps(globals()[f"job_{job}"](**options)))
        return
    result = {"machine": platform.processor() or platform.machine(), "cores": psutil.cpu_count(), "seed": SEED,
              "python": platform.python_version()}
    if given.accuracy:
        result["accuracy"] = accuracy(given.pixels)
    else:
        result["speed"] = speed(given.pixels, given.rounds)
        result["two_cores"] = two_cores(8 * given.pixels, given.rounds)
        result["scaling"] = scaling([given.pixels // 4 * 2**k for k in range(6)], given.rounds)
    if given.large:
        result["large"] = large()
    if given.out:
        given.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
