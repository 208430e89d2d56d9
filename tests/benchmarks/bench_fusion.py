"""Speed and memory of ESTARFM, and its agreement with a public port where its numbers are at hand.

    python tests/benchmarks/bench_fusion.py                          writes data/fusion_speed.json
    python tests/benchmarks/bench_fusion.py --archive ../shared/data    and compares with the port

Core-seconds are the time that the process worked, the least of some rounds, in which all calls take turns: one date
of 200 × 200 pixels, half window 25, four classes, one band and four; eight dates at once against one by one; and a
year and more of images between composites. The port's speeds were measured on the same kind of machine. Not a test:
nothing here is held against a bound, and pytest does not collect it.
"""

import argparse
import platform
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import xarray as xr
from scipy.ndimage import gaussian_filter, uniform_filter

from phenolib import fusion, timing
from phenolib.files import write_json

SEED, HALF = 2026, 25
PORT = {1: 1923.0, 4: 235.0}  # pixels per second of the public Python port, by bands


def scene(side, bands, dates):
    """A land of three classes with its blurred views: fine and coarse (2, b, y, x), coarse (date, b, y, x)."""
    rng = np.random.default_rng(SEED)
    pattern = gaussian_filter(rng.normal(size=(side, side)), 4)
    kind = np.digitize(pattern, np.quantile(pattern, [0.3, 0.7]))
    fine = np.empty((dates + 2, bands, side, side), np.float32)
    for t in range(dates + 2):
        for b in range(bands):
            fine[t, b] = 1500 + 200 * b + np.array([0, 900, 1800])[kind] + 120 * t * (kind + 1)
    fine += rng.normal(0, 90, fine.shape).astype(np.float32)
    coarse = uniform_filter(fine, (0, 0, 16, 16)).astype(np.float32)
    return fine[[0, -1]], coarse[[0, -1]], coarse[1:-1]


def cube(side, days):
    """A cloudy daily series of 1 km and its 5 km view (time, y, x) [°C]."""
    rng = np.random.default_rng(SEED)
    land = gaussian_filter(rng.normal(size=(side, side)), 1.5)
    times, t = pd.date_range("2018-01-01", periods=days), np.arange(days)
    level = 15 - 12 * np.cos(2 * np.pi * t / 365) + rng.normal(0, 3, days)
    values = (level[:, None, None] + 3 * land / land.std()).astype(np.float32)
    where = {"y": 38 - (np.arange(side) + 0.5) / 120, "x": 126 + (np.arange(side) + 0.5) / 120}
    full = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times, **where})
    cloud = gaussian_filter(rng.normal(size=(60, side, side)).astype(np.float32), (0, 12, 12))
    clear = np.stack([np.roll(cloud[k % 60], 7 * k, 1) < 0 for k in range(days)])
    return full.where(xr.DataArray(clear, dims=full.dims)), full.coarsen(y=6, x=6).mean()


def best(calls, rounds):
    """Core-seconds of each call: the least of the rounds; a first one, which compiles, is not counted."""
    seconds = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            if turn:
                seconds[name].append(time.process_time() - begun)
    return {name: min(some) for name, some in seconds.items()}


def speed(rounds):
    """Pixels per second of one date, by bands, beside the port's."""
    result = {}
    for bands in (1, 4):
        fine, coarse, later = scene(200, bands, 1)
        call = partial(fusion.estarfm, fine, coarse, later[0], half=HALF)
        rate = 40_000 / best({"ours": call}, rounds)["ours"]
        similar = float(call()["n_similar"].mean())
        result[str(bands)] = {"pixels_per_second": rate, "port": PORT[bands], "times_as_fast": rate / PORT[bands],
                              "similar_pixels": similar}
        print(f"{bands} band(s): {rate:,.0f} pixels/s, {rate / PORT[bands]:.0f} times the port, {similar:.0f} similar")
    return result


def shared(rounds, dates=8):
    """What it gains to predict several dates at once: seconds of the dates one by one over seconds of all."""
    fine, coarse, later = scene(200, 1, dates)
    pair = fusion.Pair(fine, coarse, half=HALF)
    seconds = best({"at once": lambda: pair.at(later), "one by one": lambda: [pair.at(one) for one in later]}, rounds)
    gain = seconds["one by one"] / seconds["at once"]
    print(f"{dates} dates at once: {gain:.1f} times as fast as one by one")
    return {"dates": dates, "gain": gain}


def long(side=240, days=1096, step=4):
    """Core-seconds of a series, with composites, and what it holds at its height beyond its input."""
    fine, coarse = cube(side, days)
    dates = fine["time"].values[::step][:270]
    fusion.fuse_series(fine[:80], coarse[:80], dates[:3])
    begun = time.process_time()
    found = fusion.fuse_series(fine, coarse, dates, half=7)
    seconds = time.process_time() - begun
    held = timing.peak_memory(lambda given: fusion.fuse_series(given, coarse, dates, half=7), fine)
    print(f"{side} × {side} pixels, {len(dates)} dates: {seconds:.1f} core-seconds, {held / 1e6:.0f} MB")
    return {"side": side, "days": days, "dates": len(dates), "core_seconds": seconds, "bytes": int(held),
            "share": float(found["share"].mean())}


def agreement(archive):
    """Differences from what the port made of its own scenes, as shares of the range."""
    result = {}
    for path in sorted(Path(archive, "fusion_reference").glob("*.npz")):
        given = np.load(path)
        fine, coarse = (np.stack([given[f"{part}_{date}"] for date in "mn"]) for part in ("fine", "coarse"))
        found = fusion.estarfm(fine, coarse, given["coarse_p"], half=HALF, valid=(0, 10_000))["fused"].values
        apart = np.abs(found - given["reference"]) / 10_000
        result[path.stem] = {"median": float(np.median(apart)), "largest": float(apart.max()), "n": apart.size}
        print(f"{path.stem}: median {np.median(apart):.1e} of the range, largest {apart.max():.1e}")
    return result


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--archive", help="folder that holds fusion_reference")
    ask.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "data" / "fusion_speed.json")
    given = ask.parse_args()
    with timing.cores(1):
        result = {"machine": platform.processor() or platform.machine(), "cores": psutil.cpu_count(),
                  "python": platform.python_version(), "half": HALF, "speed": speed(given.rounds),
                  "dates": shared(given.rounds), "series": long()}
    if given.archive:
        result["agreement"] = agreement(given.archive)
    write_json(given.out, result)


if __name__ == "__main__":
    main()
