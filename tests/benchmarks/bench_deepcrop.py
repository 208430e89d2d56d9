"""Seconds of Deep-CroP over a scene: patch by patch, and whole with shared convolutions.

    python tests/benchmarks/bench_deepcrop.py                           both sizes, 113 × 113 pixels
    python tests/benchmarks/bench_deepcrop.py --size lite --scene 161 --tile 48
    … --out found.json

On one thread, in seconds of processor time, so that other work on the machine counts little. The two ways take turns,
and the fastest of each counts. Patches are cut before the clock runs, in batches of 50 as in the study. Memory is what
the process held at most, and by how much the first call of ``dense`` raised it.
Not a test: nothing here is held against a bound, and pytest does not collect it.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch

from phenolib.nets.deepcrop import PATCH, SITE, SIZES, DeepCroP

BATCH = 50


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=list(SIZES), help="both if not given")
    parser.add_argument("--scene", type=int, default=113, help="rows and columns")
    parser.add_argument("--tile", type=int, default=32)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON to write the numbers to")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {size: measure(size, given) for size in ([given.size] if given.size else SIZES)}
    for size, row in found.items():
        for name, value in row.items():
            print(f"{size:10} {name:28} {value:.4g}")
    if given.out:
        given.out.write_text(json.dumps({"scene": given.scene, "tile": given.tile, **found},
                                        indent=2) + "\n")


def measure(size, given):
    torch.manual_seed(0)
    network = DeepCroP(size).eval()
    scenes = torch.rand(30, given.scene, given.scene, 2), torch.rand(10, given.scene, given.scene, 2)
    pixels = (given.scene - PATCH + 1) ** 2
    places = torch.randint(SITE, given.scene - PATCH + SITE + 1, (BATCH, 2)).tolist()
    patches = [torch.stack([cut(scene, *place) for place in places]) for scene in scenes]
    before, raised, whole, single = peak(), 0.0, [], []
    with torch.no_grad():
        for _ in range(given.times):
            dense, seconds = timed(network.dense, *scenes, tile=given.tile)
            whole.append(seconds / pixels)
            raised = raised or peak() - before
            alone, seconds = timed(network, *patches)
            single.append(seconds / BATCH)
    at = torch.stack([dense[row, column] for row, column in places])
    return {"patch_us_per_pixel": min(single) * 1e6, "dense_us_per_pixel": min(whole) * 1e6,
            "times_faster": min(single) / min(whole), "largest_difference": float((at - alone).abs().max()),
            "pixels": pixels, "dense_raised_rss_gb": raised, "peak_rss_gb": peak()}


def cut(scene, row, column):
    return scene[:, row - SITE:row - SITE + PATCH, column - SITE:column - SITE + PATCH]


def timed(function, *arguments, **options):
    begun = time.process_time()
    found = function(*arguments, **options)
    return found, time.process_time() - begun


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
