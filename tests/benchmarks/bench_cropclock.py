"""What was tried for CropClock: variants of the network and of its training, compared on training clusters alone.

    python tests/benchmarks/bench_cropclock.py --out data/cropclock_tried.csv    all variants, about a minute each
    python tests/benchmarks/bench_cropclock.py --only "step 4" --folds 5 --epochs 20 --out found.csv
    python tests/benchmarks/bench_cropclock.py --speed                  pixels per second, with weights of chance

The clusters that are not tested are dealt to folds: one is predicted, the next stops the training, the others teach.
The test sites are never looked at, so that a choice made here costs the test nothing. One network a fold, no ensemble.
The first variant is always run; the others are held against it, date by date, with intervals over clusters. What
"other seed" differs by is chance, and so is a difference of that size of any other.
On one thread, in seconds of processor time. Not a test: nothing here is held against a bound, and pytest does not
collect it.
"""

import argparse
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from torch import nn

import phenolib as ph
from phenolib import curves, metrics, samples, splits, tasks, training
from phenolib.nets import cropclock
from phenolib.nets.cropclock import CropClock
from phenolib.sources import phenocam

LR, BATCH = 2e-3, 16  # as in ``dating.cropclock``
PERIODS = 15, 25, 40, 60, 90, 140, 220, 365, 600, 1200  # of the encodings of days that attention reads [days]
SHARE = 0.5  # of the camera's curve in the loss of two tasks


class NoYear(CropClock):
    "Every season has its middle on 1 January: the day of the year tells nothing."

    def forward(self, series, middle):
        return super().forward(series, 0 * middle)


class Fixed(CropClock):
    "A view that does not learn."

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.view.place.requires_grad_(False)

    def see(self, *bell):
        "The middle to the north and to the east [m], and the SD."
        north, east, wide = bell
        wide = np.log(wide / cropclock.WIDE)
        self.view.place.data = torch.tensor([north / 100, east / 100, wide, wide], dtype=torch.float32) / cropclock.PACE
        return self


class Pixel(Fixed):
    "The cell of the camera's pixel alone."

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.see(0, 0, 5)


class Patch(Fixed):
    "All cells alike."

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.see(0, 0, 1e4)


class EachCell(cropclock.View):
    "A weight for each cell in place of the bell."

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(cropclock.CELLS**2))

    def weights(self):
        return (2 * cropclock.PACE * self.place).softmax(0)


class Ranged(CropClock):
    "Beside each series on the line the same series in its own range, 0 to 1, so that amplitudes matter less."

    def __init__(self, *args, width=48, **options):
        super().__init__(*args, width=width, **options)
        more = len(cropclock.BANDWIDTHS) * sum(cropclock.SENSORS[s] for s in self.sensors)
        self.enter = nn.Conv1d(self.enter.in_channels + more, width, 1)

    def _on_line(self, *series):
        means, weight = super()._on_line(*series)
        seen = torch.where(weight > 0.05, means, torch.nan)
        low, high = (seen.detach().nanquantile(q, -1, keepdim=True) for q in (0.05, 0.95))
        return means, weight, torch.nan_to_num((seen - low) / (high - low + 0.1))


class Depthwise(nn.Module):
    "In place of ``Block``: each channel looks for itself, then they are mixed in twice as many."

    def __init__(self, width, dilation, dropout):
        super().__init__()
        look = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation, groups=width)
        self.steps = nn.Sequential(look, nn.GroupNorm(4, width), nn.Conv1d(width, 2 * width, 1), nn.GELU(),
                                   nn.Conv1d(2 * width, width, 1), nn.Dropout(dropout))

    def forward(self, x):
        return x + self.steps(x)


class Attention(CropClock):
    "Acquisitions look at one another, then each place of the line at them; days are sines, there are no kernels."

    def __init__(self, *args, width=48, dropout=0.1):
        super().__init__(*args, width=width)
        del self.enter, self.blocks, self.norm
        self.values = nn.ModuleDict({s: nn.Linear(cropclock.SENSORS[s], width) for s in self.sensors})
        self.days, self.places = (nn.Linear(2 * len(PERIODS) + 1, width) for _ in range(2))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.cross = nn.MultiheadAttention(width, 4, dropout, batch_first=True)
        self.blocks = nn.Sequential(cropclock.Block(width, 1, dropout), cropclock.Block(width, 2, dropout),
                                    nn.GroupNorm(4, width))

    @staticmethod
    def encoded(days):
        angle = 2 * np.pi * days[..., None] / torch.tensor(PERIODS)
        return torch.cat([days[..., None] / 100, angle.sin(), angle.cos()], -1)

    def forward(self, series, middle):
        tokens = torch.cat([self.values[s](self.view(series[s][1])) + self.days(self.encoded(series[s][0]))
                            for s in self.sensors], 1)                                  # (batch, n, width)
        gone = torch.cat([series[s][2] == 0 for s in self.sensors], 1)                  # (batch, n)
        tokens = self.encoder(tokens, src_key_padding_mask=gone)
        places = self.places(self.encoded(self.line)).expand(len(tokens), -1, -1)       # (batch, places, width)
        seen = self.cross(places, tokens, tokens, key_padding_mask=gone, need_weights=False)[0]
        return self.leave(self.blocks((places + seen).transpose(1, 2))).log_softmax(-1)


class TwoTasks(CropClock):
    "What the last layer reads also gives the camera's curve, by a layer of its own."

    def __init__(self, *args, width=48, **options):
        super().__init__(*args, width=width, **options)
        self.curve = nn.Conv1d(width, 1, 1)
        self.norm.register_forward_hook(lambda _, before, after: setattr(self, "seen", after))


class Curves(tasks.Acquisitions):
    "The task of ``TwoTasks``: batches hold the camera's curve too, in its range around the season."

    def tensors(self, rows, keep=None):
        return {**super().tensors(rows, keep), "curve": self.curves[rows],
                "unmoved": torch.from_numpy(self.known.middle[rows]).float()}

    def loss(self, model, batch):
        dates = super().loss(model, batch)
        if not model.training:
            return dates
        move = ((batch["unmoved"] - batch["middle"]) / cropclock.STEP)[:, None]         # in places of the line
        at = (torch.arange(model.line.numel()) - move).clamp(0, model.line.numel() - 1)
        first = at.long().clamp(max=model.line.numel() - 2)
        before, after = batch["curve"].gather(1, first), batch["curve"].gather(1, first + 1)
        away = model.curve(model.seen)[:, 0] - (before + (at - first) * (after - before))
        return dates + SHARE * (away[away.isfinite()] ** 2).mean()


COLUMNS = ["weights", *samples.EVENTS, "mae", "mae_low", "mae_high", "median", "gain", "gain_low", "gain_high",
           "coverage", "seconds"]  # of data/cropclock_tried.csv
VARIANTS = {  # name: arguments of ``measure``
    "default": {},
    "other seed": {"seed": 1},
    "camera's pixel": {"network": Pixel},
    "whole patch": {"network": Patch},
    "a weight a cell": {"places": {cropclock: {"View": EachCell}}},
    "view learned slower": {"places": {cropclock: {"PACE": 3.0}}},
    "view learned faster": {"places": {cropclock: {"PACE": 20.0}}},
    "40 epochs": {"epochs": 40},
    "step 4": {"places": {cropclock: {"STEP": 4}}},
    "step 10": {"places": {cropclock: {"STEP": 10}}},
    "width 24": {"options": {"width": 24}},
    "width 96": {"options": {"width": 96}},
    "optical only": {"sensors": ("optical",)},
    "radar only": {"sensors": ("sar",)},
    "no day of the year": {"network": NoYear},
    "kernel 6 only": {"places": {cropclock: {"BANDWIDTHS": (6.0,)}}},
    "kernels 6, 20, 60": {"places": {cropclock: {"BANDWIDTHS": (6.0, 20.0, 60.0)}}},
    "series in own range": {"network": Ranged},
    "attention": {"network": Attention},
    "camera's curve too": {"network": TwoTasks, "task": Curves},
    "nothing moved": {"dropped": 0.0, "places": {tasks: {"SHIFTED": 0.0, "NOISE": 0.0}}},
    "60 % left out": {"dropped": 0.6},
    "noise 0.2": {"places": {tasks: {"NOISE": 0.2}}},
    "depthwise": {"places": {cropclock: {"Block": Depthwise}}},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", default="simulated")
    parser.add_argument("--only", choices=list(VARIANTS), nargs="+", help="all if not given")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", action="store_true", help="pixels per second alone")
    parser.add_argument("--out", type=Path, help="CSV to write the table to")
    given = parser.parse_args()
    if given.folds < 3:
        parser.error("--folds: give 3 or more; one is predicted, one stops the training, the others teach")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Mean of empty slice")
    if given.speed:
        return speed()
    archive = ph.open_archive(given.archive)
    found = samples.of_archive(archive)
    Curves.curves = greenness(archive, found)
    parts, rows, first = folds(found, given.folds), [], None
    for name in dict.fromkeys(["default", *(given.only or VARIANTS)]):
        row, errors = measure(found, parts, given, **VARIANTS[name])
        first = errors if first is None else first
        groups = np.repeat(found.table["cluster"].to_numpy(), 4)
        row |= spread("mae", errors.ravel(), groups) | spread("gain", (first - errors).ravel(), groups)
        rows.append({"variant": name, **row})
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows).set_index("variant")[COLUMNS]
    table.loc["default", ["gain", "gain_low", "gain_high"]] = np.nan
    print(table.to_string())
    if given.out:
        table.to_csv(given.out)


def folds(found, count):
    """Splits of the clusters that are not tested: (train, validation, predicted) rows; the test sites are in none."""
    rows = splits.leave_cluster_out(found, validation=0).train
    cluster = found.table["cluster"].to_numpy()[rows]
    names = np.random.default_rng(1).permutation(sorted(set(cluster)))
    mine = [np.isin(cluster, names[k::count]) for k in range(count)]
    return [splits.Split(rows[~mine[k] & ~mine[(k + 1) % count]], rows[mine[(k + 1) % count]], rows[mine[k]])
            for k in range(count)]


def measure(found, parts, given, *, network=CropClock, options=None, sensors=("optical", "sar"),
            task=tasks.Acquisitions, dropped=tasks.DROPPED, seed=0, epochs=None, places=()):
    """A row of the table, and absolute errors (n, 4) of all samples in days, NaN where none was predicted.

    places   {module: {name: value}} that stand there while it is measured
    """
    errors, inside, seconds = np.full((len(found), 4), np.nan), np.full((len(found), 4), np.nan), 0.0
    with ExitStack() as stack:
        for module, values in dict(places).items():
            stack.enter_context(patch.multiple(module, **values))
        for k, part in enumerate(parts):
            torch.manual_seed(given.seed + seed + 1000 * k)
            model = network(sensors, **(options or {}))
            work = task(found, part, sensors=sensors, batch=BATCH, dropped=dropped)
            begun = time.process_time()
            training.train(model, work.batches, loss=work.loss, validate=work.validate, epochs=epochs or given.epochs,
                           lr=LR, seed=given.seed + seed + 1000 * k, progress=False)
            seconds += time.process_time() - begun
            dates = model.dates(work.densities(model, part.test).log())
            true = work.known.true_day[part.test]
            errors[part.test] = np.abs(dates.median.numpy() - true)
            inside[part.test] = metrics.inside(dates.low.numpy(), dates.high.numpy(), true)
    row = {"weights": sum(p.numel() for p in model.parameters() if p.requires_grad)}
    row |= {event: round(value, 1) for event, value in zip(samples.EVENTS, np.nanmean(errors, 0))}
    row |= {"median": round(np.nanmedian(errors), 1), "coverage": round(np.nanmean(inside), 2)}
    return row | {"seconds": round(seconds)}, errors


def spread(name, values, groups):
    """The mean of numbers with its interval over clusters, as three columns."""
    found = metrics.estimate(values, groups, np.mean, why="no date")
    low, high = found["interval"]
    return {name: round(found["value"], 1), f"{name}_low": round(low, 1), f"{name}_high": round(high, 1)}


def greenness(archive, found):
    """The camera's smoothed curve at the line around each season, in its 5–98 % range: (n, places), NaN outside."""
    line = np.arange(-cropclock.REACH, cropclock.REACH + cropclock.STEP, cropclock.STEP)
    smooth = {site: curves.smooth(phenocam.greenness(archive.phenocam(site), "gcc_90"), method="savgol")
              for site in found.places}
    result = []
    for row in found.table.itertuples():
        curve = smooth[row.site]
        days = (curve["time"].values.astype("datetime64[ns]") - row.anchor.to_datetime64()) / samples.DAY
        values = np.interp(line, days, curve.values, left=np.nan, right=np.nan)
        low, high = np.nanpercentile(values, [5, 98])
        result.append((values - low) / max(high - low, 0.02))
    return torch.from_numpy(np.array(result)).float()


def speed(pixels=500, times=5, scenes=60, looks=90):
    """Pixels per second of processor time, for pixels that share their days, and for pixels with days of their own."""
    torch.manual_seed(0)
    model = CropClock().eval()
    for name, count in (("days given once", 1), ("days of its own", pixels)):
        series = {s: (torch.rand(count, m).sub(0.5) * 600, torch.randn(pixels, m, 2), torch.ones(pixels, m))
                  for s, m in (("optical", scenes), ("sar", looks))}
        seconds = []
        for _ in range(times):
            begun = time.process_time()
            with torch.no_grad():
                model.dates(model(series, torch.full((count,), 180.0)))
            seconds.append(time.process_time() - begun)
        print(f"{name:18} {pixels / min(seconds):8.0f} pixels a second, {scenes} scenes and {looks} looks")


if __name__ == "__main__":
    main()
