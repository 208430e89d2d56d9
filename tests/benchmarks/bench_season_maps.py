"""What a map of dates costs: core time against pixels and years, and what the area of the study would take.

    python tests/benchmarks/bench_season_maps.py               rows of TA2 of the simulated strips, weights of chance
    python tests/benchmarks/bench_season_maps.py --rounds 3

For NDVI by Whittaker, for Deep-CroP (lite) and for CropClock (one member), each with the reading of its scenes, one
thread. A line is laid through four sizes of one year, and for NDVI through four numbers of years of one size; printed
are its slope, the largest residual in per cent of the fit, and the core time of 4000 × 1000 pixels and one year by the
slope. Weights do not matter for the time. Not a test: nothing here is held against a bound.
"""

import argparse
import resource
import time

import numpy as np
import torch

import phenolib as ph
from phenolib import season_maps, splits
from phenolib.nets.cropclock import CropClock
from phenolib.nets.deepcrop import DeepCroP

WHOLE = 4000 * 1000
ROWS = 100, 200, 300, 400
SPANS = (2017, 2017), (2017, 2018), (2017, 2020), (2017, 2022)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", default="simulated+parts:maps")
    parser.add_argument("--area", default="TA2")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = ph.open_archive(given.archive)
    scale = {s: splits.Scaler(np.zeros(2), np.ones(2)) for s in ("optical", "sar")}
    ways = {"NDVI": lambda years: season_maps.Curve(years),
            "Deep-CroP": lambda years: season_maps.DeepCrop(DeepCroP().eval(), scale, years),
            "CropClock": lambda years: season_maps.CropClock([CropClock().eval()], [scale], years, np.zeros(4))}
    for name, way in ways.items():
        cost = [best(given, data, way, name, (2018, 2018), rows) for rows in ROWS]
        pixels = [n for n, _ in cost]
        told(f"{name}, pixels", pixels, [s for _, s in cost], WHOLE, "4000 × 1000 pixels")
    cost = [best(given, data, ways["NDVI"], "NDVI", span, 200)[1] for span in SPANS]
    told("NDVI, years", [last - first + 1 for first, last in SPANS], cost, 10, "10 years of 200 rows")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def best(given, data, way, name, span, rows):
    """Pixels, and the least core time of several rounds."""
    seconds = []
    for _ in range(given.rounds):
        begun = time.process_time()
        cube = data.cube(given.area, years=span, tile=400).top(rows)
        block = {s: part.compute(scheduler="synchronous") for s, part in cube.scenes.items()
                 if s == "optical" or name != "NDVI"}
        way(tuple(range(span[0], span[1] + 1)))(block)
        seconds.append(time.process_time() - begun)
    return block["optical"].sizes["y"] * block["optical"].sizes["x"], min(seconds)


def told(name, size, seconds, whole, what):
    slope, start = np.polyfit(size, seconds, 1)
    fit = start + slope * np.array(size)
    off = np.abs(np.array(seconds) - fit) / fit
    print(f"{name}: " + ", ".join(f"{n} {s:.1f} s" for n, s in zip(size, seconds))
          + f"; {1 / slope:,.0f} a second, start {start:.1f} s, residual {100 * off.max():.0f} %; "
          f"{what}: {(start + slope * whole) / 60:.1f} core-minutes", flush=True)


if __name__ == "__main__":
    main()
