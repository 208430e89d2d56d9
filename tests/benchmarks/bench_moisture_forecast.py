"""What a ten-year daily forecast of soil moisture on a grid costs: 100,000 cells, weather made block by block.

    python tests/benchmarks/bench_moisture_forecast.py --out data/moisture_forecast_costs.json

The network has the default size and weights of chance, which does not matter for the time; it begins with the bucket's
field capacity, or with ``--start series`` runs the bucket along. The weather of a cell is that of a region with noise
of its own: making it counts in the time, as reading it would. Kept are wall and processor time of all and of the
weather alone, the memory that the process held at most, the size on disk, the speed of the bare network and of an LSTM
on one core, and how far forecasts of some cells are from those of ``predict``. Not a test: nothing here is held
against a bound.
"""

import argparse
import datetime
import json
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

STATICS = ("sand", "clay", "organic_carbon", "bulk_density", "elevation", "woodland")
SITES = 20  # of the series that ``predict`` is asked of


class Sky:
    """Weather of a region for ten years; ``block`` gives that of some cells, the same for the same cells."""

    def __init__(self, days, seed=0):
        import numpy as np

        rng, day = np.random.default_rng(seed), np.arange(days)
        wave = -np.cos(2 * np.pi * (day - 20) / 365.25)
        wet = rng.random(days) < 0.45
        light = np.maximum(110 + 90 * wave + np.where(wet, -30, 20) + 15 * rng.normal(size=days), 5)
        self.region = np.stack([np.where(wet, rng.gamma(0.7, 6, days), 0), 9.5 + 6 * wave + 2.5 * rng.normal(size=days),
                                80 - 8 * wave + 5 * rng.normal(size=days), light, 3 + rng.gamma(2, 0.7, days),
                                np.maximum(1.6 + 1.4 * wave + 0.3 * rng.normal(size=days), 0.05)], -1).astype("f4")
        self.own = np.array([0.3, 1.5, 4, 12, 0.5, 0.2], "f4")
        self.seconds = []

    def block(self, cells):
        """(time, cell, variable) of a slice of cells."""
        import numpy as np

        begun = time.thread_time()
        rng, count = np.random.default_rng([1, cells.start]), cells.stop - cells.start
        made = rng.standard_normal((len(self.region), count, 6), np.float32)
        made *= self.own
        made += self.region[:, None]
        np.maximum(made[..., 0], 0, out=made[..., 0])
        made[..., 0] *= self.region[:, None, 0] > 0
        self.seconds.append(time.thread_time() - begun)
        return made


def model_of(start, statics, members=1, kind="attention"):
    """Networks with weights of chance."""
    import numpy as np
    import torch

    from phenolib import moisture_forecasts, moisture_series, moisture_training
    from phenolib.nets import moisture as nets

    torch.manual_seed(0)
    means = len(moisture_training.MEMORIES)
    scales = {"weather": np.array([0.6, 9.5, 80, 110, 4.4, 1.6, *means * [2.5, 1.6]]),
              "weather_sd": np.array([0.8, 5, 8, 70, 1, 1, *means * [1.5, 0.8]]),
              "static": np.array([0.4, 0.2, 0.05, 1.2, 100, 0.2])[:len(statics)],
              "static_sd": np.array([0.15, 0.08, 0.05, 0.2, 80, 0.4])[:len(statics)], "theta": 0.3, "theta_sd": 0.1}
    networks = []
    for _ in range(members):
        model = nets.KINDS[kind](scales, start=start).eval()
        torch.nn.init.normal_(model.leave.last.weight, std=0.3)
        networks.append(model)
    return moisture_forecasts.Moisture(networks, moisture_series.WEATHER, statics, start)


def soils_of(cells, seed=0):
    """(cell, column) of ``STATICS``."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(0.1, 0.8, cells), rng.uniform(0.05, 0.4, cells), rng.lognormal(-3, 0.6, cells),
                     rng.uniform(0.6, 1.6, cells), rng.uniform(0, 500, cells), rng.random(cells) < 0.2],
                    -1).astype("f4")


def speeds(sky, soils, start):
    """Cell-days a second of one network of each kind on one core, in processor time."""
    from phenolib import moisture_forecasts
    from phenolib.nets import moisture as nets

    found, days, cells = {}, 4 * moisture_forecasts.DAYS, moisture_forecasts.SITES
    weather, dates = sky.block(slice(0, cells))[:days], dates_of(days)
    theta = weather[..., 1] * 0 + 0.3
    for kind in nets.KINDS:
        model, times = model_of(start, STATICS, kind=kind), []
        for _ in range(4):
            begun = time.process_time()
            moisture_forecasts.said(model, weather, soils[:cells], dates, theta)
            times.append(time.process_time() - begun)
        found[kind] = int(days * cells / min(times))
    return found


def dates_of(days):
    """So many days (time,) from 2011 on."""
    import numpy as np

    return (np.datetime64("2011-01-01") + np.arange(days)).astype("datetime64[ns]")


def from_predict(model, sky, soils, path, block):
    """Largest difference of the forecast from ``predict`` at cells of the first block [m³ m⁻³]."""
    import numpy as np
    import pandas as pd
    import xarray as xr

    from phenolib import moisture_series

    weather = sky.block(slice(0, min(block, len(soils))))[:, :SITES].transpose(1, 0, 2)
    at = {"site": [f"{k}" for k in range(SITES)], "time": dates_of(weather.shape[1])}
    weather = xr.DataArray(weather, {**at, "variable": list(model.variables)}, ("site", "time", "variable"))
    static = pd.DataFrame(soils[:SITES], at["site"], list(STATICS))
    theta = weather[..., 0].drop_vars("variable")
    series = moisture_series.Series(weather, theta, moisture_series.first_guess(weather, static), static, None)
    if model.start == "state":  # the forecast begins at field capacity, the bucket after its first day
        series.start.values[:, 0] = moisture_series.limits(soils[:SITES, 0], soils[:SITES, 1])[1]
    said = xr.open_zarr(path)["theta"][:, :SITES].load()
    return float(np.abs(said.values.T - model.predict(series)["theta"].values).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=3653)
    parser.add_argument("--block", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--start", default="state", choices=("state", "series", "none"))
    parser.add_argument("--folder", type=Path, help="where the forecast is written and kept; default a temporary one")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()

    from phenolib import moisture_forecasts

    folder = given.folder or Path(tempfile.mkdtemp())
    path = folder / "moisture.zarr"
    shutil.rmtree(path, ignore_errors=True)
    sky, soils = Sky(given.days), soils_of(given.cells)
    model = model_of(given.start, STATICS, given.members)
    options = dict(times=dates_of(given.days), static=soils, block=given.block, threads=given.threads)
    load, cpu = os.getloadavg()[0], time.process_time()
    report = moisture_forecasts.forecast(model, sky.block, path, **options)
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    again = moisture_forecasts.forecast(model, sky.block, path, **options)
    result = {
        "cells": given.cells, "days": given.days, "start": given.start, "members": given.members,
        "weights_of_each": sum(p.numel() for p in model.networks[0].parameters()), "block": given.block,
        "threads": given.threads, "minutes": round(report.seconds / 60, 2), "core_minutes": round(cpu / 60, 2),
        "core_minutes_per_thread": round(cpu / 60 / given.threads, 2),
        "weather_core_minutes": round(sum(sky.seconds) / 60, 2),
        "cell_days_per_core_second": int(given.cells * given.days / cpu),
        "network_alone_cell_days_per_core_second": speeds(sky, soils, given.start),
        "peak_memory_gb": round(peak, 2), "second_call_seconds": round(again.seconds, 2),
        "gigabytes_on_disk": round(sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) / 1e9, 3),
        "largest_difference_from_predict": from_predict(model, sky, soils, path, given.block),
        "date": f"{datetime.date.today()}", "cores": os.cpu_count(), "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1)}
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    if given.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
