"""Training of the causal network of soil moisture (``nets.moisture``) on a network of sites; forecasts on grids."""

import hashlib
import json
import os
import shutil
import threading
import time
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import moisture_series, moisture_training, training
from phenolib.errors import InputError, near
from phenolib.files import digest

SITES = 64  # that are computed at once
DAYS = 182  # … and so many days: whole weeks, so that the pieces are the whole
STEP = 1e-4  # m³ m⁻³: of the whole numbers that forecasts are kept as
MISSING = -32768


@dataclass(frozen=True)
class Moisture:
    """Networks that say the soil moisture of each day from the weather up to it.

    networks   list of ``nets.moisture`` networks that differ by their first weights and order
    variables  of the weather, in order
    statics    columns of the soil, in order
    start      "state", "series" or "none", see ``nets.moisture.Inputs``
    histories  of their training
    stored     whether all came from the store
    seconds    that their training took
    """

    networks: list
    variables: tuple
    statics: tuple
    start: str = "state"
    histories: list = field(default_factory=list)
    stored: bool = False
    seconds: float = 0.0

    def only(self, members):
        """The same with its first so many networks, e.g. one for a fast forecast."""
        return replace(self, networks=self.networks[:members], histories=self.histories[:members])

    def predict(self, series):
        """Soil moisture of each site and day.

        series   ``moisture_series.Series``, whose target is not read
        returns  Dataset (site, time): theta and sigma [m³ m⁻³], mean and SD of the mixture of the networks
        raises   InputError for a variable or column of the soil that is missing

        A day knows of no later weather. Weeks are counted from the first day of the series.
        """
        lacks = [v for v in self.variables if v not in series.weather["variable"].values] or [
            v for v in self.statics if v not in series.static]
        if lacks:
            raise InputError(f"the series have no '{lacks[0]}', which the network was trained with"
                             f"{near(lacks[0], [*series.weather['variable'].values, *series.static])}")
        weather = series.weather.sel(variable=list(self.variables)).transpose("time", "site", "variable").values
        static = series.static[list(self.statics)].to_numpy(np.float32)
        start = series.start.transpose("time", "site").values
        found = [said(self, weather[:, a:a + SITES], static[a:a + SITES], series.theta["time"].values,
                      start[:, a:a + SITES]) for a in range(0, static.shape[0], SITES)]
        mean, sigma = (np.concatenate(part, 1).T for part in zip(*found))
        at = {"site": series.theta["site"].values, "time": series.theta["time"].values}
        return xr.Dataset({name: (("site", "time"), values, {"units": "m3 m-3"})
                           for name, values in (("theta", mean), ("sigma", sigma))}, at)


# ---- training

def fit(series, parts, *, kind="attention", members=1, epochs=30, width=None, start="state", attention=True,
        jitter=0.3, dropout=0.1, window=moisture_training.WINDOW, batch=8, steps=16, lr=4e-3, decay=0.01,
        patience=10, weights=None, seed=0, progress=True):
    """Networks fitted to the training part of a network of sites, stopped by its validation part.

    series     ``moisture_series.Series``
    parts      ``moisture_series.Parts``; of the target only its train and validation are read
    kind       "attention": convolutions and attention; "lstm": a recurrent network with the same inputs and training
    members    networks of the ensemble
    epochs     at most, of ``steps`` batches
    width      channels; default 32, of the LSTM 48
    start      "state": the bucket's moisture of the first day of a window, growing old; "series": the bucket's of each
               day, which the network corrects; "none"
    attention  False leaves it out
    jitter     SD of noise on the scaled soils in training, so that a site is not known by its soil [-]
    dropout    share of channels that are left out in training [-]
    window     days of a sample, the same for all sites of a batch
    batch      sites of a batch, drawn anew
    steps      batches of an epoch
    lr, decay, patience   of ``training.train``
    weights    of the terms of the loss, default ``nets.moisture.TERMS``; 0 leaves one out
    seed       of weights, windows and sites; members have 1000 · seed + 0, 1, …
    progress   of ``training.train``
    returns    Moisture; networks are kept in the store of ``training.fitted`` and trained once
    raises     InputError for an unknown kind, start or weight, or a window longer than the series

    Scales are those of the days and sites of the training alone. The error that stops it is the RMSE of the validation
    part in SDs. The second pass of the term "shift" is made for a quarter of the sites of a batch.
    """
    from phenolib.nets import moisture as nets

    if kind not in nets.KINDS:
        raise InputError(f"kind '{kind}' is not known{near(kind, nets.KINDS)}")
    weights = {**nets.TERMS, **(weights or {})}
    odd = [name for name in weights if name not in nets.TERMS]
    if odd:
        raise InputError(f"the loss has no term '{odd[0]}'{near(odd[0], nets.TERMS)}")
    data = moisture_training.tensors(series, parts, window)
    scales, names = moisture_training.scales_of(series, parts), list(series.weather["variable"].values)
    sizes = {"start": start, "rain": names.index("precip") if "precip" in names else None}
    sizes |= {"jitter": jitter, "dropout": dropout, "width": width or (32 if kind == "attention" else 48)}
    sizes |= {"attention": attention} if kind == "attention" else {}

    def build():
        return nets.KINDS[kind](scales, **sizes)

    def run(model, data, seed, checkpoint):
        return training.train(
            model, moisture_training.windows(data, window, batch, steps), epochs=epochs, lr=lr, decay=decay, seed=seed,
            loss=moisture_training.loss_of(weights, data["scale"]), validate=moisture_training.validation_of(data),
            patience=patience, checkpoint=checkpoint, progress=progress)

    parameters = {"kind": kind, "sizes": sizes, "epochs": epochs, "window": window, "batch": batch, "steps": steps,
                  "lr": lr, "decay": decay, "patience": patience, "weights": weights}
    print_of = digest(_print(
        series.weather.values, series.theta.values, series.start.values, series.static.to_numpy(float),
        series.theta["time"].values.astype("datetime64[D]").astype(int), parts.train.values, parts.validation.values),
        names, list(series.static))
    uses = [nets.losses, moisture_series, moisture_training]
    found = [training.fitted(f"moisture-{kind}", build, data, train=run, parameters=parameters, archive=print_of,
                             seed=1000 * seed + k, uses=uses) for k in range(members)]
    return Moisture([f.model for f in found], tuple(names), tuple(series.static), start, [f.history for f in found],
                    all(f.stored for f in found), sum(f.seconds for f in found))


# ---- forecasts

def said(moisture, weather, static, times, start):
    """Mean and SD of the mixture on plain arrays, days first, in pieces of half a year that carry on exactly.

    moisture  Moisture
    weather   (time, cell, variable) float32 in the order of ``moisture.variables``
    static    (cell, column) in the order of ``moisture.statics``
    times     (time,) datetime64, daily
    start     (time, cell) moisture of the bucket; for the start "state" its first row is enough, (1, cell)
    returns   two (time, cell) float32 arrays [m³ m⁻³]
    """
    import torch

    weather = moisture_training.remembered(weather, moisture.variables)
    weather, static, start = (torch.from_numpy(np.require(v, np.float32, "CW"))
                              for v in (weather, static, start))
    season, days = torch.from_numpy(moisture_training.season(times)), len(weather)
    age = torch.zeros(days) if moisture.start == "series" else torch.arange(days, dtype=torch.float32)
    state = start if moisture.start == "series" else start[:1].expand(days, -1)
    means, sigmas = [], []
    with torch.inference_mode():
        for model in moisture.networks:
            kept, found = None, []
            for a in range(0, days, DAYS):
                part = slice(a, a + DAYS)
                out, kept = model(weather[part], static, season[part], state[part], age[part], kept)
                found.append(out)
            means.append(torch.cat([out.mean for out in found]).numpy())
            sigmas.append(torch.cat([out.sigma for out in found]).numpy())
    if len(means) == 1:
        return means[0], sigmas[0]
    mean, sigma = training.combine(means, sigmas)
    return mean.astype(np.float32), sigma.astype(np.float32)


@dataclass(frozen=True)
class Report:
    """What a forecast did.

    path     of the Zarr
    cells    in it
    made     of them computed by this call; the others were there
    seconds  that the call took
    """

    path: Path
    cells: int
    made: int
    seconds: float


def forecast(moisture, weather, path, *, times, static, start=None, block=256, threads=None):
    """Daily soil moisture of many cells, block by block of cells, with memory for a few blocks alone.

    moisture  ``Moisture``; the time is that of one network times their number, see ``Moisture.only``
    weather   function (slice of cells) to (time, cell, variable) in the order of ``moisture.variables``, without gaps;
              called from several threads
    path      of the Zarr that is written: theta and sigma (time, cell) as whole numbers of 1e-4 m³ m⁻³, read with
              ``xarray.open_zarr`` as float. What a call that was killed had finished is not made again
    times     (time,) datetime64, each day once
    static    (cell, column) array in the order of ``moisture.statics``, or a DataFrame with these columns
    start     (cell,) moisture on the first day, e.g. of a land-surface model; None: field capacity of the texture, as
              the bucket begins. The start "series" runs the bucket along
    block     cells that are computed at once, and that are a piece on disk
    threads   default the cores
    returns   Report
    raises    InputError for days that are not daily, missing columns, weather of another shape or with gaps, and a Zarr
              that holds another forecast

    Each cell has the numbers that ``Moisture.predict`` gives it, to 5e-5 m³ m⁻³ by the whole numbers; pieces in time
    carry on exactly (to 1e-6).
    """
    import threadpoolctl
    import torch
    import zarr

    begun, path = time.perf_counter(), Path(path)
    times = np.asarray(times, "datetime64[ns]")
    if len(times) < 2 or (np.diff(times) != np.timedelta64(1, "D")).any():
        raise InputError("the times are not daily; give each day once, in order")
    static, texture = _soils(moisture, static)
    given = None if start is None else np.broadcast_to(np.asarray(start, np.float32), len(static))
    if given is not None and (moisture.start == "series" or not np.isfinite(given).all()):
        raise InputError("start holds missing values" if moisture.start != "series" else
                         "this network reads the bucket of each day; leave start out")
    about = {"cells": len(static), "block": block, "print": digest(
        _print(static, *([] if given is None else [given])), str(times[0]), len(times), moisture.variables, _print(
            *(v.detach().cpu().numpy() for model in moisture.networks for v in model.state_dict().values())))}
    if not path.exists():
        _lay_out(path, times, len(static), block, about)
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    if group.attrs.get("forecast") != json.dumps(about):
        raise InputError(f"{path.name}: is there and holds another forecast; give another path, or delete it")
    todo = [k for k in range(-(-len(static) // block)) if not (path / ".done" / str(k)).exists()]
    stop = threading.Event()

    def make(k):
        if stop.is_set():
            return
        try:
            cells = slice(k * block, min((k + 1) * block, len(static)))
            _make(moisture, weather, cells, static, texture, times, given, group)
            (path / ".done" / str(k)).touch()
        except BaseException:
            stop.set()
            raise

    before = torch.get_num_threads()
    with threadpoolctl.threadpool_limits(1), ThreadPoolExecutor(
            threads or len(os.sched_getaffinity(0)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for job in [pool.submit(make, k) for k in todo]:
            job.result()
    torch.set_num_threads(before)
    made = sum(min((k + 1) * block, len(static)) - k * block for k in todo)
    return Report(path, len(static), made, time.perf_counter() - begun)


def _make(moisture, weather, cells, static, texture, times, given, group):
    """One block of cells into the Zarr."""
    daily, count = np.asarray(weather(cells), np.float32), cells.stop - cells.start
    shape = len(times), count, len(moisture.variables)
    if daily.shape != shape or not np.isfinite(daily).all():
        raise InputError(f"the weather of cells {cells.start} to {cells.stop - 1} "
                         + (f"has the shape {daily.shape}; {shape} is expected" if daily.shape != shape else
                            "has gaps; fill them"))
    sand, clay = (v[cells] for v in texture)
    if moisture.start == "series":
        own = {name: daily[..., moisture.variables.index(name)] for name in ("precip", "pe", "ta")
               if name in moisture.variables}
        start = moisture_series.bucket(own["precip"], own["pe"], own.get("ta"), sand, clay)
    else:
        start = (moisture_series.limits(sand, clay)[1] if given is None else given[cells])[None]
    parts = [slice(a, min(a + SITES, count)) for a in range(0, count, SITES)]
    for name, values in zip(("theta", "sigma"), zip(*(said(moisture, daily[:, p], static[cells][p], times, start[:, p])
                                                      for p in parts))):
        group[name][:, cells] = np.rint(np.concatenate(values, 1) / np.float32(STEP)).astype(np.int16)


def _soils(moisture, static):
    """Soils (cell, column) as the networks read them, and sand and clay (cell,) of the bucket."""
    if isinstance(static, pd.DataFrame):
        for name in moisture.statics:
            if name not in static:
                raise InputError(f"the soils have no column '{name}'{near(name, static.columns)}")
        static = static[list(moisture.statics)].to_numpy()
    static = np.ascontiguousarray(static, np.float32)
    if static.ndim != 2 or static.shape[1] != len(moisture.statics) or not np.isfinite(static).all():
        raise InputError(f"the soils have the shape {static.shape}, or gaps; (cell, {len(moisture.statics)}) of "
                         f"{', '.join(moisture.statics) or 'nothing'} is expected")
    texture = [static[:, moisture.statics.index(name)] if name in moisture.statics else
               np.full(len(static), usual, np.float32) for name, usual in moisture_series.TEXTURE.items()]
    return static, texture


def _print(*arrays):
    """A hash of the bytes of arrays."""
    found = hashlib.sha256()
    for values in arrays:
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()


def _lay_out(path, times, cells, block, about):
    """Write the empty forecast beside and rename it."""
    import zarr

    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            xr.Dataset(coords={"time": times, "cell": np.arange(cells)}, attrs={
                "Conventions": "CF-1.11", "forecast": json.dumps(about)}).to_zarr(part, zarr_format=3,
                                                                                  consolidated=False)
            group = zarr.open_group(part, mode="r+", use_consolidated=False)
            for name, text in (("theta", "volumetric soil moisture"), ("sigma", "SD of its error")):
                group.create_array(name, shape=(len(times), cells), dtype="int16", dimension_names=("time", "cell"),
                                   chunks=(len(times), min(block, cells)), fill_value=MISSING, attributes={
                                       "units": "m3 m-3", "long_name": text, "scale_factor": STEP,
                                       "_FillValue": MISSING})
            zarr.consolidate_metadata(part)
        (part / ".done").mkdir()
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
