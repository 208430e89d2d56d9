"""Pixels per second of SoilNet window by window and of its dense form over a scene, and milliseconds of a step.

    python tests/benchmarks/bench_soilnet.py                            default sizes, 400 × 400 pixels
    python tests/benchmarks/bench_soilnet.py --channels 32 --dense-channels 32 --rows 1000 --times 1
    … --out found.json

On one thread, in seconds of processor time. The two ways take turns and the fastest of each counts, but work beside
still takes caches from both. Windows are cut before the clock runs, in batches of 64. The largest difference is that
of 32 pixels of the dense scene from the patches around them. Steps are forward and backward of 32 samples.
Not a test: nothing here is held against a bound, and pytest does not collect it.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from phenolib.nets.soilnet import PIXEL, WINDOW, DenseSoilNet, SoilNet

BATCH, TRAINED, COMPARED = 64, 32, 32
STEPS = 16, 32, 64  # channels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=400, help="rows and columns of the scene, even")
    parser.add_argument("--width", type=int, default=64, help="of a token, both networks")
    parser.add_argument("--channels", type=int, default=64, help="of SoilNet")
    parser.add_argument("--dense-channels", type=int, default=32, help="of the dense form")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--steps", action="store_true", help="measure steps of training, too")
    parser.add_argument("--out", type=Path, help="JSON to write the numbers to")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = scenes(given) | (steps(given) if given.steps else {})
    for name, value in found.items():
        print(f"{name:32} {value:.5g}")
    if given.out:
        sizes = {"rows": given.rows, "width": given.width, "channels": given.channels,
                 "dense_channels": given.dense_channels, "batch": BATCH}
        given.out.write_text(json.dumps({**sizes, **found}, indent=2) + "\n")


def scenes(given):
    torch.manual_seed(0)
    full = SoilNet(width=given.width, channels=given.channels).eval()
    dense = DenseSoilNet(width=given.width, channels=given.dense_channels).eval()
    rows, cells = given.rows, given.rows // 2 + dense.reach - 1
    scene = [torch.randn(shape) for shape in ((10, rows, rows), (35, rows, rows), (rows, rows), (9, cells, cells))]
    windows = samples(BATCH, WINDOW)
    before, whole, single, context = peak(), [], [], []
    with torch.no_grad():
        for _ in range(given.times):
            single.append(timed(full, *windows)[1] / BATCH)
            context.append(timed(dense.field, scene[-1])[1] / rows**2)
            answers, seconds = timed(dense.dense, *scene)
            whole.append(seconds / rows**2)
        raised = peak() - before
        places = torch.randint(rows, (COMPARED, 2)).tolist()
        patches = torch.stack([scene[-1][:, y // 2:y // 2 + dense.reach, x // 2:x // 2 + dense.reach]
                               for y, x in places])
        alone = dense(*(torch.stack([data[..., y, x] for y, x in places]) for data in scene[:3]), patches)
    away = alone - torch.stack([answers[y, x] for y, x in places])
    return {"window_pixels_per_s": 1 / min(single), "dense_pixels_per_s": 1 / min(whole),
            "times_faster": min(single) / min(whole), "dense_context_us_per_pixel": min(context) * 1e6,
            "largest_difference": float(away.abs().max()), "window_m": WINDOW * PIXEL, "dense_reach_m": dense.metres,
            "window_weights": weights(full), "dense_weights": weights(dense), "raised_rss_gb": raised,
            "peak_rss_gb": peak()}


def steps(given):
    """Milliseconds of forward and backward of 32 samples, {name: value}."""
    found = {}
    for name, channels in [(n, c) for n in ("full", "stack", "dense") for c in STEPS] + [("spectral", 0), ("index", 0)]:
        torch.manual_seed(0)
        sizes = {"width": given.width} | ({"channels": channels} if channels else {})
        model = DenseSoilNet(**sizes) if name == "dense" else SoilNet(name, **sizes)
        side = model.reach if name == "dense" else WINDOW
        data = samples(TRAINED, side)
        seconds = min(timed(step, model, data)[1] for _ in range(max(given.times, 2)))
        found[f"step_ms_{name}{'_' * bool(channels)}{channels or ''}"] = 1e3 * seconds
    return found


def samples(n, side):
    return torch.randn(n, 10), torch.randn(n, 35), torch.rand(n), torch.randn(n, 9, side, side)


def step(model, data):
    model.zero_grad()
    F.huber_loss(model(*data), torch.ones(TRAINED)).backward()


def weights(model):
    return sum(parameter.numel() for parameter in model.parameters())


def timed(function, *arguments):
    begun = time.process_time()
    found = function(*arguments)
    return found, time.process_time() - begun


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
