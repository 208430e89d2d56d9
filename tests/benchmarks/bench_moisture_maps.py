"""What a year of daily maps of two layers of moisture costs: 600 × 600 pixels of 1 km, from fused drivers on disk.

    python tests/benchmarks/bench_moisture_maps.py --out data/moisture_map_costs.json

The land is made of random smooth fields, almost all of it land, with drivers on disk as a Zarr. The forests have the
default size and are fitted to it, the network has weights of chance: neither matters for the time. Kept are wall and
processor time of each stage, the most memory that the process held (making the maps runs in a process of its own), what
a second call of finished maps costs, and how many rows a second LightGBM and ``quick_trees`` answer on one core. Not a
test: nothing here is held against a bound.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

PIXEL, CELL, RAIN, FACTOR = 1 / 120, 0.25, 0.1, 30
NORTH, WEST = 38.0, 126.0


def places(count, step, margin=0):
    """Middles (y, x) of so many cells a side, with more cells around."""
    import numpy as np

    at = step * (np.arange(-margin, count + margin) + 0.5)
    return NORTH - at, WEST + at


def smooth(random, lead, rows, columns, knots):
    """Random fields (lead, rows, columns) of SD about 1, bilinear between knots [pixels apart]."""
    import numpy as np

    def weights(n):
        at = np.arange(n) / knots
        low = at.astype(int)
        found = np.zeros((n, low[-1] + 2))
        found[np.arange(n), low], found[np.arange(n), low + 1] = 1 - (at - low), at - low
        return found.astype(np.float32)

    left, right = weights(rows), weights(columns)
    nodes = random.normal(size=(lead, left.shape[1], right.shape[1])).astype(np.float32)
    return left @ nodes @ right.T


def land_of(cells, days, folder, seed=0):
    """A region on disk: drivers.zarr, ground.nc, coarse.nc, rain.nc."""
    import numpy as np
    import pandas as pd
    import xarray as xr

    random, n = np.random.default_rng(seed), cells * FACTOR
    time_ = pd.date_range("2019-01-01", periods=days)
    record = pd.date_range("2018-11-01", time_[-1])
    y, x = places(n, PIXEL)
    height = 300 + 200 * smooth(random, 1, n, n, 60)[0] + 60 * smooth(random, 1, n, n, 6)[0]
    height[smooth(random, 1, n, n, 150)[0] > 1.9] = np.nan  # a little sea
    ground = {"elevation": height, "slope": 5 + smooth(random, 1, n, n, 4)[0], "sand": 0.4 + 0.1 * smooth(
        random, 1, n, n, 20)[0], "clay": 0.2 + 0.05 * smooth(random, 1, n, n, 20)[0]}
    sea = np.isnan(height)
    xr.Dataset({name: (("y", "x"), np.where(sea, np.nan, v).astype("f4")) for name, v in ground.items()},
               {"y": y, "x": x}).to_netcdf(folder / "ground.nc", engine="h5netcdf")
    at = {"time": time_, "y": y, "x": x}
    tile = 4 * FACTOR
    frame = xr.Dataset(coords=at)
    for name in ("lst_day", "lst_night", "ndvi"):
        import dask.array

        frame[name] = ("time", "y", "x"), dask.array.zeros((days, n, n), chunks=(days, tile, tile), dtype="f4")
    frame.to_zarr(folder / "drivers.zarr", zarr_format=3, consolidated=False, compute=False, encoding={
        name: {"chunks": (days, min(tile, n), min(tile, n))} for name in frame.data_vars})
    wave = -np.cos(2 * np.pi * np.arange(days) / 365)[:, None, None].astype(np.float32)
    for row in range(0, n, tile):
        for column in range(0, n, tile):
            part = slice(row, row + tile), slice(column, column + tile)
            cut, size = sea[part], sea[part].shape
            made = {}
            for name, middle, width in (("lst_day", 18, 6), ("lst_night", 8, 4), ("ndvi", 0.5, 0.1)):
                detail = smooth(random, 1, *size, 3) + smooth(random, days, *size, 10)
                made[name] = middle + width * (wave + 0.3 * detail) - 0.004 * width * np.nan_to_num(height[part]) / 10
                made[name][:, cut] = np.nan
            gap = smooth(random, days, *size, 20) > 1.5  # long cloud
            made["lst_day"][gap] = np.nan
            where = dict(zip("yx", part))
            xr.Dataset({name: (("time", "y", "x"), v.astype("f4")) for name, v in made.items()}).to_zarr(
                folder / "drivers.zarr", consolidated=False, region={"time": slice(None), **where})
    ry, rx = places(round(cells * CELL / RAIN), RAIN, 2)
    rain = random.gamma(0.3, 12, (len(record), ry.size, rx.size)).astype("f4")
    xr.DataArray(rain, {"time": record, "y": ry, "x": rx}, ("time", "y", "x"), "rain").to_netcdf(
        folder / "rain.nc", engine="h5netcdf")
    cy, cx = places(cells, CELL)
    wet = xr.DataArray(rain, {"time": record, "y": ry, "x": rx}, ("time", "y", "x")).interp(y=cy, x=cx)
    surface = 0.18 + 0.015 * np.log1p(wet.rolling(time=5, min_periods=1).sum()) + 0.01 * random.normal(size=wet.shape)
    root = 0.15 + 0.5 * surface.rolling(time=20, min_periods=1).mean()
    xr.Dataset({"surface": surface, "root_zone": root}).astype("f4").to_netcdf(folder / "coarse.nc", engine="h5netcdf")


def mapper_of(folder, options, networks=1):
    """The Mapper of a region on disk; forests are fitted to every 8th day, the network has weights of chance."""
    import numpy as np
    import torch
    import xarray as xr

    from phenolib import downscaling, moisture, moisture_base, moisture_correction, moisture_maps, moisture_samples
    from phenolib.nets import transfer

    ground, coarse = xr.load_dataset(folder / "ground.nc"), xr.load_dataset(folder / "coarse.nc")
    rain = xr.load_dataarray(folder / "rain.nc")
    drivers = xr.open_zarr(folder / "drivers.zarr", chunks=None, consolidated=False)
    some = drivers.isel(y=slice(0, 8 * FACTOR), x=slice(0, 8 * FACTOR), time=slice(None, None, 8)).load()
    part = ground.sel(y=some["y"], x=some["x"])
    averages = downscaling.means(moisture.covariates(some, part, rain), coarse)
    models = {layer: downscaling.fit(coarse, averages, layer=layer, stopping="", **options)
              for layer in moisture.LAYERS}
    torch.manual_seed(0)
    sizes, channels = dict(moisture_base.SIZES), len(moisture_samples.CHANNELS)
    found = [transfer.Corrector(channels, **sizes).eval() for _ in range(networks)]
    scales = moisture_correction.Scales(np.zeros(channels), np.ones(channels))
    correction = moisture_correction.Correction(found, scales, sizes, np.array([1.6, 1.6]))
    return moisture_maps.Mapper(models, coarse, rain, ground, correction)


def made(folder, options, networks, tile, threads):
    """Make the maps and tell what it cost; in a process of its own, for the memory."""
    import torch

    from phenolib import maps, moisture_maps

    torch.set_num_threads(1)
    mapper = mapper_of(folder, options, networks)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    wall, cpu = time.perf_counter(), time.process_time()
    report = moisture_maps.make(mapper, folder / "drivers.zarr", folder / "maps", tile=tile, threads=threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    again = time.perf_counter()
    moisture_maps.make(mapper, folder / "drivers.zarr", folder / "maps", tile=tile, threads=threads)
    again = time.perf_counter() - again
    fine = maps.open_map(folder / "maps/downscaled.zarr")["surface"].isel(time=slice(3)).load()
    mean = mapper.grid.block_mean(fine, mapper.land) - mapper.coarse["surface"].sel(time=fine["time"])
    return {
        "minutes": round(wall / 60, 2), "core_minutes": round(cpu / 60, 2),
        **{f"{stage}_minutes": round(seconds / 60, 2) for stage, seconds in report.seconds.items()},
        "peak_memory_gb": round(peak, 2), "memory_before_gb": round(before, 2), "second_call_seconds": round(again, 2),
        "gigabytes_on_disk": round(sum(p.stat().st_size for p in (folder / "maps").rglob("*") if p.is_file()) / 1e9, 2),
        "land_share": round(float(mapper.land.mean()), 3), "share": report.share,
        "largest_mass_error": float(abs(mean).max()),
        "leaves": [int(one.told["settings"]["leaves"]) for one in mapper.downscalers.values()],
        "rounds": [int(one.rounds) for one in mapper.downscalers.values()],
        "networks": networks, "weights_of_each": sum(p.numel() for p in mapper.correction.networks[0].parameters())}


def rows_a_second(leaves=(15, 31, 63), rounds=(50, 100, 150, 300, 800)):
    """Rows a second on one core of forests with 16 columns: {"<leaves> x <rounds>": {…}}."""
    import lightgbm
    import numpy as np

    from phenolib.quick_trees import Trees

    random = np.random.default_rng(0)
    fields = np.concatenate([smooth(random, 8, 120, 120, knots) for knots in (10, 40)])
    fields = fields + 0.05 * random.normal(size=fields.shape)
    columns = np.ascontiguousarray(fields.reshape(16, -1), np.float32)                   # (column, 120 × 120 pixels)
    train = random.normal(size=(20000, 16)).astype(np.float32)
    target = 0.3 + 0.05 * np.tanh(train @ random.normal(size=16)) + 0.02 * random.normal(size=len(train))
    found = {}
    for size in leaves:
        model = lightgbm.train({"num_leaves": size, "learning_rate": 0.05, "min_data_in_leaf": 50, "num_threads": 1,
                                "feature_fraction": 0.8, "bagging_fraction": 0.8, "bagging_freq": 1, "verbose": -1},
                               lightgbm.Dataset(train, target), max(rounds))
        for count in rounds:
            trees, rows = Trees(model.model_to_string(), count), np.ascontiguousarray(columns.T)
            trees.predict(columns)
            times, answers = [], []
            for answer in (lambda: model.predict(rows, num_iteration=count, num_threads=1),  # noqa: B023  used at once
                           lambda: trees.predict(columns)):                                  # noqa: B023
                each = []
                for _ in range(3):
                    begun = time.process_time()
                    answers.append(answer())
                    each.append(time.process_time() - begun)
                times.append(min(each))
            found[f"{size} x {count}"] = {"lightgbm": int(len(rows) / times[0]), "quick_trees": int(
                len(rows) / times[1]), "equal": bool((answers[0] == answers[-1]).all())}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20, help="coarse cells a side, of 30 pixels")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--tile", type=int, default=120)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--leaves", type=int, help="of a tree; default that of downscaling.fit")
    parser.add_argument("--rounds", type=int, help="trees; default that of downscaling.fit")
    parser.add_argument("--networks", type=int, default=1, help="that the correction is the mean of")
    parser.add_argument("--folder", type=Path, help="where the land is made and kept; default a temporary one")
    parser.add_argument("--no-speeds", action="store_true", help="do not measure rows a second")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")

    def alone(function, *arguments):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(function, *arguments).result()

    if not (folder / "coarse.nc").is_file():
        alone(land_of, given.cells, given.days, folder)
    shutil.rmtree(folder / "maps", ignore_errors=True)
    options = {name: value for name in ("leaves", "rounds") if (value := getattr(given, name))}
    told = alone(made, folder, options, given.networks, given.tile, given.threads)
    result = {"pixels": (given.cells * FACTOR) ** 2, "days": given.days, "tile": given.tile, "threads": given.threads,
              **told, **({} if given.no_speeds else {"rows_a_second": rows_a_second()}),
              "date": f"{datetime.date.today()}", "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    if given.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
