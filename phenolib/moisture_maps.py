"""Daily maps of soil moisture at scale: downscaled and corrected tile by tile, from fused drivers on disk.

What a pixel needs from afar is little: what the models leave in the coarse cells around. It is computed first and kept
as ``cells.nc``. Then ``downscaled.zarr`` is made, tiles of whole cells that need nothing else, and from it
``corrected.zarr``, tiles with the few pixels around that the network reads. All three stay; a call that was killed goes
on where it ended.
"""

import functools
import hashlib
import json
import os
import pickle
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import downscaling, maps, moisture
from phenolib.coarse_cells import grid
from phenolib.errors import InputError, near
from phenolib.files import atomic, digest, write_json

DAYS = 32  # that are computed at a time, which bounds the memory
TILE = 120  # pixels: four coarse cells of 30
STEP = 2e-5  # in which corrected moisture is stored [m³ m⁻³]; 65535 is missing
WHICH = {"": "soil moisture", "_low": "lower bound of the soil moisture", "_high": "upper bound of the soil moisture"}


@dataclass(frozen=True, eq=False)
class Mapper:
    """The models and all that is small: what makes maps of moisture from drivers.

    Call it with the drivers of a region that fits into memory, or hand it to ``make``.

    downscalers  {layer: ``downscaling.Downscaler``} of both layers, or of one if nothing is corrected
    coarse       Dataset (time, y, x) of the daily coarse product; it may reach beyond the region
    rain         DataArray (time, y, x), daily, on its own grid, from 30 days before [mm d⁻¹]
    ground       Dataset (y, x) of ``moisture.GROUND`` on the fine grid of the whole region; missing at sea
    correction   ``moisture_correction.Correction``; None: maps are downscaled alone
    days         computed at a time; the fewer, the less memory
    raises       InputError for a layer without a model, a coarse grid that does not fit, ground without a layer
    """

    downscalers: dict
    coarse: xr.Dataset
    rain: xr.DataArray
    ground: xr.Dataset
    correction: object = None
    days: int = DAYS

    def __post_init__(self):
        wanted = tuple(moisture.LAYERS) if self.correction is not None else tuple(self.downscalers)
        for layer in (*wanted, *self.downscalers):
            if layer not in self.downscalers or layer not in moisture.LAYERS:
                raise InputError(f"downscalers of {', '.join(self.downscalers)}; a correction needs both of "
                                 f"{', '.join(moisture.LAYERS)}{near(layer, moisture.LAYERS)}")
            if layer not in self.coarse:
                raise InputError(f"the coarse product has no '{layer}'{near(layer, list(self.coarse))}")
            if self.downscalers[layer].layer != layer:
                raise InputError(f"the model given for '{layer}' was learnt for '{self.downscalers[layer].layer}'; "
                                 "the layers are swapped")
        for name in moisture.GROUND:
            if name not in self.ground:
                raise InputError(f"the ground has no '{name}'{near(name, list(self.ground))}")
        for name in ("coarse", "rain", "ground"):  # small, and read by every tile
            object.__setattr__(self, name, getattr(self, name).load())
        if set(moisture.LAYERS) <= set(self.coarse):
            downscaling.check_layers(self.coarse)
        for layer in wanted:
            downscaling.check_moisture(self.coarse[layer], layer)
        self.grid  # noqa: B018  refuses a shifted grid now, not in the first tile

    @functools.cached_property
    def grid(self):
        """``coarse_cells.Grid`` of the whole region."""
        return grid(self.ground, self.coarse)

    @functools.cached_property
    def land(self):
        """Pixels with all layers of the ground, (y, x) bool."""
        return np.logical_and.reduce([self.ground[name].transpose("y", "x").notnull().values
                                      for name in moisture.GROUND])

    @functools.cached_property
    def models(self):
        """The downscalers, each on one thread."""
        return {layer: one.with_threads(1) for layer, one in self.downscalers.items()}

    @functools.cached_property
    def lags(self):
        """Dataset (time, y, x) of the lags that the models read, on the coarse grid."""
        read = [name for one in self.downscalers.values() for name in one.lags]
        return downscaling.surface_lags(self.coarse["surface"].load())[sorted(set(read))] if read else xr.Dataset()

    @functools.cached_property
    def past(self):
        """Dataset (time, y, x) of the past of the coarse product that the network reads, on the coarse grid."""
        from phenolib import moisture_samples

        return moisture_samples.past(self.coarse, self.coarse["time"].values)

    @functools.cached_property
    def version(self):
        """A hash of the models and of all values but the drivers'."""
        told = [[layer, one.columns, _forest(one)] for layer, one in sorted(self.downscalers.items())]
        small = self.coarse, self.rain.to_dataset(name="rain"), self.ground[list(moisture.GROUND)]
        return digest(told, [_hash(one) for one in small], self.days)[:16]

    # ---- in memory

    def __call__(self, drivers):
        """Maps of the whole region, in memory; the numbers that ``make`` writes.

        drivers  Dataset (time, y, x) of ``moisture.DRIVERS`` on the grid of the ground
        returns  Dataset (time, y, x) float32 [m³ m⁻³]: <layer>_downscaled and, corrected, <layer>, <layer>_low and
                 <layer>_high; attribute ``share``: of land pixels and days, what each driver and layer has
        """
        drivers = self.checked(drivers).compute()
        cells = _cells(self, [self.averages(drivers)])
        found = self.downscaled(drivers, cells)
        made = found.rename({layer: f"{layer}_downscaled" for layer in self.models})
        if self.correction is not None:
            made = made.assign(_unpacked(self.corrected({"drivers": drivers, "downscaled": found})))
        return made.assign_attrs(share=json.loads(cells.attrs["share"]) | _shares(found, self.land))

    def checked(self, drivers):
        """The drivers, if they are all there, on the grid of the ground, of days that the coarse product has."""
        for name in moisture.DRIVERS:
            if name not in drivers:
                raise InputError(f"the drivers have no '{name}'{near(name, list(drivers))}")
        for axis in "yx":
            if drivers.sizes[axis] != self.ground.sizes[axis] or \
                    not np.allclose(drivers[axis], self.ground[axis], rtol=0, atol=1e-6):
                raise InputError(f"drivers and ground lie on different grids along {axis}; resample one to the other")
        days = pd.DatetimeIndex(drivers["time"].values)
        lost = days.difference(pd.DatetimeIndex(self.coarse["time"].values))
        if len(lost) or not days.is_monotonic_increasing or not days.is_unique:
            raise InputError(f"the coarse product has no {lost[0]:%Y-%m-%d}" if len(lost) else
                             "days of the drivers do not ascend, each once")
        grid_ = {name: self.ground[name].values for name in "yx"} | {
            name: data[name].variable for data in (self.ground, drivers) for name in ("spatial_ref",) if name in data}
        return xr.Dataset({name: drivers[name].transpose("time", "y", "x").variable for name in moisture.DRIVERS},
                          {"time": days.values.astype("datetime64[ns]"), **grid_}).drop_attrs(deep=False)

    # ---- pieces, each of a block of whole days

    def averages(self, block):
        """Of a block of whole cells: means of the covariates over the land of its cells, (time, y, x) of these cells,
        and the number of land pixels and days that have each driver."""
        window = self.window(block)
        land, found = self.land[window], []
        count = {name: 0 for name in moisture.DRIVERS}
        if land.any():
            one = grid(block, self.coarse)
            for days in _pieces(block, self.days):
                covariates = self.covariates(block.isel(time=days), window)
                for name in count:
                    count[name] += int(np.isfinite(covariates[name].values[:, land]).sum())
                part = downscaling.means(covariates, self.coarse["root_zone"] if "root_zone" in self.coarse else
                                         self.coarse["surface"], land=land)
                found.append(part.isel(dict(zip("yx", one.covered))))
        return window, (xr.concat(found, "time", data_vars="minimal", coords="minimal", compat="override")
                        if found else None), count

    def downscaled(self, block, cells):
        """Moisture of a block of whole cells: Dataset (time, y, x) of the layers, float32.

        cells   Dataset of ``knots_<layer>`` on the coarse grid
        """
        window = self.window(block)
        land, shape = self.land[window], tuple(block.sizes[axis] for axis in ("time", "y", "x"))
        made = {layer: np.full(shape, np.nan, np.float32) for layer in self.models}
        one = grid(block, self.coarse)
        for days in _pieces(block, self.days) if land.any() else ():
            covariates = self.covariates(block.isel(time=days), window)
            time_ = covariates["time"].values
            lags = {name: one.smooth(lag.sel(time=time_), land) for name, lag in self.lags.items()}
            for layer, model in self.models.items():
                given = covariates.assign({name: lags[name] for name in model.lags})
                said = model.predict(given, land=land).values
                rest = one.smooth(cells[f"knots_{layer}"].sel(time=time_).values, land)
                made[layer][days] = one.conserve(said + rest, self.coarse[layer].sel(time=time_).values, land)
        about = {layer: {"units": "m3 m-3", "long_name": f"downscaled soil moisture, {moisture.NAMES[layer]}"}
                 for layer in made}
        return xr.Dataset({layer: (("time", "y", "x"), values, about[layer]) for layer, values in made.items()},
                          {axis: block[axis].values for axis in ("time", "y", "x")})

    def corrected(self, blocks):
        """Corrected moisture of a block {"drivers", "downscaled"}: packed Dataset (time, y, x) of the layers."""
        block, fine = blocks["drivers"], blocks["downscaled"]
        window = self.window(block)
        land, shape = self.land[window], tuple(block.sizes[axis] for axis in ("time", "y", "x"))
        made = {layer + which: np.full(shape, 65535, np.uint16) for which in WHICH for layer in moisture.LAYERS}
        for days in _pieces(block, self.days) if land.any() else ():
            fields = self.fields(block.isel(time=days), fine.isel(time=days), window)
            for which, values in zip(WHICH, self.correction(fields)):
                for k, layer in enumerate(moisture.LAYERS):
                    known = np.isfinite(values[k])
                    made[layer + which][days][known] = np.rint(values[k][known] / STEP)
        return xr.Dataset({name: (("time", "y", "x"), values, {
            "units": "m3 m-3", "scale_factor": STEP, "_FillValue": 65535, "long_name": next(
                f"{WHICH[which]}, {moisture.NAMES[layer]}" for which in WHICH for layer in moisture.LAYERS
                if layer + which == name)}) for name, values in made.items()},
            {axis: block[axis].values for axis in ("time", "y", "x")})

    def fields(self, block, fine, window):
        """Channels of the network in a block of any pixels: {channel: array}."""
        from phenolib import moisture_samples

        land = self.land[window]
        covariates = self.covariates(block, window)
        found = {name: covariates[name].values for name in moisture.COVARIATES}
        found |= {f"fine_{layer}": fine[layer].values for layer in moisture.LAYERS}
        hull, own = [], []  # whole cells around the block, and the block in them
        for part, size in zip(window, self.grid.factor):
            first = part.start // size * size
            hull.append(slice(first, -(-part.stop // size) * size))
            own.append(slice(part.start - first, part.stop - first))
        y, x = (self.ground[axis].values[part] for axis, part in zip("yx", hull))
        one, past = grid((y, x), self.coarse), self.past.sel(time=block["time"].values)
        inside = np.zeros((y.size, x.size), bool)
        inside[tuple(own)] = land
        for name in moisture_samples.SMOOTH:
            found[name] = one.smooth(past[name].values, inside)[:, *own]
        return found

    def covariates(self, block, window):
        """``moisture.covariates`` of some days of a block."""
        ground = self.ground[list(moisture.GROUND)].isel(dict(zip("yx", window)))
        return moisture.covariates(block, ground, self._rain(block))

    def _rain(self, block):
        """The rain of a block and three cells around, all days."""
        found = self.rain
        for axis in "yx":
            places = found[axis].values
            step = abs(float(places[1] - places[0])) if places.size > 1 else 1.0
            low, high = float(block[axis].min()) - 3 * step, float(block[axis].max()) + 3 * step
            found = found.isel({axis: np.flatnonzero((places >= low) & (places <= high))})
        return found

    def window(self, block):
        """Rows and columns of the region that a block covers."""
        found = []
        for axis in "yx":
            first = int(np.abs(self.ground[axis].values - block[axis].values[0]).argmin())
            found.append(slice(first, first + block.sizes[axis]))
        return tuple(found)


# ---- on disk

@dataclass
class Made:
    """What ``make`` did.

    path        of the folder
    share       {driver or layer: share of land pixels and days that have it}
    downscaled  ``maps.Report`` of the downscaled tiles
    corrected   of the corrected ones, or None
    seconds     {stage: wall time of this call}
    """

    path: Path
    share: dict
    downscaled: object
    corrected: object = None
    seconds: dict = field(default_factory=dict)


def make(mapper, drivers, out, *, tile=TILE, threads=None, progress=True):
    """Daily maps of both layers of a region of any size, written tile by tile.

    Memory is bounded by the tile and the days of the drivers: give a year at a time. The same call again makes what is
    left, and ends with the same bytes. Models and small data are compared with those of maps that are there; the
    values of the drivers are not.

    mapper    Mapper
    drivers   Dataset (time, y, x) of ``moisture.DRIVERS``, lazy, or the path of a Zarr or netCDF of them; quickest in
              chunks of the size of a tile
    out       folder for ``cells.nc``, ``downscaled.zarr`` and ``corrected.zarr``
    tile      side of a tile [pixels], whole coarse cells
    threads   by default as many as there are cores
    progress  as in ``maps.map_tiles``
    returns   Made
    raises    InputError as Mapper and ``maps.map_tiles``; for a tile that is not whole cells; for a folder that holds
              maps of other models or data. TilesFailed for tiles that failed, which the same call tries again
    """
    if isinstance(drivers, (str, Path)):
        drivers = _opened(Path(drivers))
    drivers, out = mapper.checked(drivers), Path(out).expanduser().resolve()
    for size in mapper.grid.factor:
        if tile % size:
            raise InputError(f"tile = {tile}; a coarse cell has {size} pixels, give a multiple of it, such as "
                             f"{max(1, round(tile / size)) * size}")
    _ = mapper.models, mapper.lags, mapper.correction is not None and mapper.past  # before threads ask for them
    seconds, begun = {}, time.perf_counter()
    cells = _kept_cells(mapper, drivers, out, tile, threads)
    seconds["cells"] = time.perf_counter() - begun
    options = {"tile": tile, "threads": threads, "progress": progress, "errors": "raise"}
    begun = time.perf_counter()
    first = maps.map_tiles(functools.partial(_downscaled, mapper, cells), drivers, out / "downscaled.zarr",
                           version=mapper.version, **options)
    seconds["downscaled"] = time.perf_counter() - begun
    second = None
    if mapper.correction is not None:
        begun = time.perf_counter()
        fine = maps.open_map(out / "downscaled.zarr")
        second = maps.map_tiles(functools.partial(_corrected, mapper), {"downscaled": fine, "drivers": drivers},
                                out / "corrected.zarr", overlap=mapper.correction.overlap,
                                version=f"{mapper.version} {_weights(mapper.correction)}", **options)
        seconds["corrected"] = time.perf_counter() - begun
    if not (out / "share.json").is_file():
        made = maps.open_map(out / "downscaled.zarr")
        write_json(out / "share.json", json.loads(cells.attrs["share"]) | _shares(made, mapper.land, tile))
    return Made(out, json.loads((out / "share.json").read_text()), first, second, seconds)


def open(path):
    """Maps that ``make`` wrote, read where they are indexed.

    path     the folder
    returns  Dataset (time, y, x) [m³ m⁻³]: <layer>_downscaled and, if they were corrected, <layer>, <layer>_low and
             <layer>_high; attribute ``share`` as in Made, once all is there; tiles not made yet are missing
    raises   InputError for a folder without such maps
    """
    path = Path(path)
    if not (path / "downscaled.zarr").is_dir():
        raise InputError(f"{path}: holds no maps of moisture; make them with moisture_maps.make")
    found = maps.open_map(path / "downscaled.zarr")
    found = found.rename({layer: f"{layer}_downscaled" for layer in found.data_vars})
    if (path / "corrected.zarr").is_dir():
        found = found.assign(maps.open_map(path / "corrected.zarr").data_vars)
    told = path / "share.json"
    return found.drop_attrs(deep=False).assign_attrs({"share": json.loads(told.read_text())} if told.is_file() else {})


def _opened(path):
    """Drivers on disk, read as they are needed."""
    if not path.is_dir():
        return xr.open_dataset(path, engine="h5netcdf", chunks={}, decode_coords="all")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Failed to open Zarr store with consolidated")
        return xr.open_dataset(path, engine="zarr", decode_coords="all")


def _downscaled(mapper, cells, block):
    return mapper.downscaled(block, cells)


def _corrected(mapper, blocks):
    return mapper.corrected(blocks)


# ---- cells

def _kept_cells(mapper, drivers, out, tile, threads):
    """``cells.nc``, read, or made from a pass over the drivers."""
    path = out / "cells.nc"
    days = [str(day)[:10] for day in drivers["time"].values]
    key = digest(mapper.version, days, [drivers.sizes[axis] for axis in "yx"])
    if path.is_file():
        cells = xr.load_dataset(path, engine="h5netcdf")
        if cells.attrs.get("key") != key:
            raise InputError(f"{out}: holds maps of other models, days or coarse data; give another folder, or remove "
                             "it")
        return cells

    def one(at):
        part = drivers.isel(y=slice(at[0], at[0] + tile), x=slice(at[1], at[1] + tile))
        return mapper.averages(part.compute(scheduler="synchronous") if part.chunks else part.copy(deep=True).load())

    corners = [(row, column) for row in range(0, drivers.sizes["y"], tile)
               for column in range(0, drivers.sizes["x"], tile)]
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        cells = _cells(mapper, list(pool.map(one, corners)), pool)
    cells.attrs["key"] = key
    with atomic(path) as part:
        cells.to_netcdf(part, engine="h5netcdf")
    return cells


def _cells(mapper, found, pool=None):
    """Knots of what the models leave, (time, y, x) on the coarse grid, from the averages of all blocks."""
    whole, count, days = {}, dict.fromkeys(moisture.DRIVERS, 0), 0
    shape = mapper.coarse.sizes["y"], mapper.coarse.sizes["x"]
    for window, averages, known in found:
        for name in count:
            count[name] += known[name]
        if averages is None:
            continue
        days = averages.sizes["time"]
        rows, columns = (slice(first + part.start // size, first + part.stop // size)
                         for first, part, size in zip(mapper.grid.first, window, mapper.grid.factor))
        for name, layer in averages.items():
            if "y" not in layer.dims:
                whole.setdefault(name, layer)
                continue
            if name not in whole:
                lead = layer.shape[:-2]
                whole[name] = xr.DataArray(np.full((*lead, *shape), np.nan, np.float32), {
                    **{axis: layer[axis] for axis in layer.dims[:-2]}, "y": mapper.coarse["y"],
                    "x": mapper.coarse["x"]}, layer.dims)
            whole[name].values[..., rows, columns] = layer.values
    if not whole:
        raise InputError("no pixel of the region has all layers of the ground; look at the ground")
    averages, made = xr.Dataset(whole), {}
    for name, lag in mapper.lags.items():
        averages[name] = _lag_means(mapper, lag.sel(time=averages["time"].values))
    for layer, model in mapper.models.items():
        left = model.residual(mapper.coarse[layer], averages)
        pieces = [left.isel(time=part) for part in _pieces(left, mapper.days)]
        work = functools.partial(mapper.grid.knots, land=mapper.land)
        made[f"knots_{layer}"] = xr.concat(list((pool.map if pool else map)(work, pieces)), "time")
    share = {name: round(n / max(int(mapper.land.sum()) * days, 1), 6) for name, n in count.items()}
    return xr.Dataset(made, attrs={"share": json.dumps(share)})


def _lag_means(mapper, lag):
    """Means over land of the smooth field of a lag."""
    pieces = [lag.isel(time=part) for part in _pieces(lag, mapper.days)]
    return xr.concat([mapper.grid.block_mean(mapper.grid.smooth(one, mapper.land), mapper.land) for one in pieces],
                     "time").astype(np.float32)


# ---- what all share

def _forest(model):
    """The text of a forest of LightGBM with the line of a hybrid, or a hash of another model."""
    if model.kind == "lightgbm":
        line = "" if model.line is None else np.ascontiguousarray(model.line, float).tobytes().hex()
        return model.model.model_to_string() + line
    return hashlib.sha256(pickle.dumps(model.model)).hexdigest()


def _weights(correction):
    """A hash of a correction: weights, scales, widths of the intervals."""
    seen = hashlib.sha256()
    for network in correction.networks:
        for name, value in sorted(network.state_dict().items()):
            seen.update(name.encode() + value.numpy().tobytes())
    for values in (correction.scales.mean, correction.scales.sd, correction.half):
        seen.update(np.ascontiguousarray(values, float).tobytes())
    return seen.hexdigest()[:16]


def _hash(data):
    return {name: hashlib.sha256(np.ascontiguousarray(values.values).tobytes()).hexdigest()
            for name, values in sorted({**data.coords, **data.data_vars}.items()) if values.dtype.kind in "fiuMmb"}


def _pieces(block, days):
    """Slices of so many days."""
    return [slice(first, min(first + days, block.sizes["time"])) for first in range(0, block.sizes["time"], days)]


def _shares(found, land, tile=None):
    """{layer: share of land pixels and days that have it}, read tile by tile."""
    count, step = max(int(land.sum()) * found.sizes["time"], 1), tile or max(land.shape)
    known = dict.fromkeys(found.data_vars, 0)
    for at in np.ndindex(*(-(-size // step) for size in land.shape)):
        part = tuple(slice(k * step, (k + 1) * step) for k in at)
        for layer in known:
            known[layer] += int(np.isfinite(found[layer][:, *part].values[:, land[part]]).sum())
    return {layer: round(n / count, 6) for layer, n in known.items()}


def _unpacked(packed):
    """Layers in m³ m⁻³ of packed ones, as reading them from disk would give."""
    return {name: layer.where(layer != 65535).astype(np.float32) * np.float32(STEP) for name, layer in packed.items()}
