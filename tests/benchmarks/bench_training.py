"""What the loop costs beside the bare lines that it stands for, on networks so small that nothing hides it.

    python tests/benchmarks/bench_training.py                  both networks, the median of 15 pairs of runs
    python tests/benchmarks/bench_training.py --repeats 40 --device cuda --out found.json

The bare loop takes as many batches of the same size, clipped gradients and steps; both run in turn, in pairs, on one
thread. ``saving`` is the time of one checkpoint. Not a test: pytest does not collect it.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from phenolib import training
from phenolib.training import loop

EPOCHS = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="JSON to write the numbers to")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {"device": given.device}
    for name, build, shape in (("dense 16-32-1", dense, (16,)), ("convolution 18 × 18", convolution, (2, 18, 18))):
        torch.manual_seed(0)
        data = {"x": torch.randn(1600, *shape), "y": torch.randn(1600)}
        bare(build(), data, given.device)
        ours(build(), data, given.device)
        pairs = [(bare(build(), data, given.device), ours(build(), data, given.device)) for _ in range(given.repeats)]
        steps = EPOCHS * 50
        found[name] = {"bare_us_a_step": 1e6 * statistics.median(b for b, _ in pairs) / steps,
                       "loop_us_a_step": 1e6 * statistics.median(o for _, o in pairs) / steps,
                       "overhead": statistics.median(o / b for b, o in pairs) - 1,
                       "saving_ms": 1e3 * saving(build())}
        print(name, {k: round(v, 4) for k, v in found[name].items()})
    if given.out:
        given.out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def dense():
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))


def convolution():
    return torch.nn.Sequential(torch.nn.Conv2d(2, 8, 5), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                               torch.nn.Flatten(), torch.nn.Linear(8, 1))


def squares(model, batch):
    return ((model(batch["x"])[:, 0] - batch["y"]) ** 2).mean()


def ours(model, data, device):
    begun = time.perf_counter()
    training.train(model, training.shuffled(data, 32), loss=squares, epochs=EPOCHS, schedule="constant", device=device)
    return time.perf_counter() - begun


def bare(model, data, device):
    begun = time.perf_counter()
    model.to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for _ in range(EPOCHS):
        for pick in torch.randperm(len(data["y"])).split(32):
            x, y = data["x"][pick].to(device), data["y"][pick].to(device)
            optimiser.zero_grad()
            loss = ((model(x)[:, 0] - y) ** 2).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
    loss.item()
    return time.perf_counter() - begun


def saving(model):
    optimiser, generator = torch.optim.AdamW(model.parameters()), torch.Generator()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        loop.save(Path(folder) / "c.pt", {}, model, optimiser, generator, torch.device("cpu"), training.History(), None)
        return time.perf_counter() - begun


if __name__ == "__main__":
    main()
