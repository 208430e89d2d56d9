"""Maps of any size, tile by tile: resumable, on threads or on dask.distributed, as Zarr and as Cloud-Optimized GeoTIFF.

A map grows in place: ``out`` can be opened at any time, tiles that are not there yet are missing. Empty files in
``out/.tiles`` tell which tiles are there, each made after the chunks of its tile; the folder goes when no tile is
missing any more. The same call again makes what is left, and ends with the same bytes whatever was killed in between.
Chunks are written beside and renamed, but not synced: after a power cut, make the map anew.
"""

import contextlib
import functools
import hashlib
import inspect
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import uuid
import warnings
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import digest, write_json

EPOCH, DAY = np.datetime64("1970-01-01", "ns"), np.timedelta64(1, "D")
DAYS = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}  # of dates, as float32: to 3 minutes
LOADING = threading.Lock()


class SetupFailed(InputError):
    """The setup of a map failed in a worker, so that no tile can be made."""


class TilesFailed(RuntimeError):
    """Some tiles of a map failed; its second argument is the Report."""


@dataclass
class Report:
    """What became of the tiles of a map: those made now, those that were there before, and why the others failed."""

    path: Path
    tiles: int
    done: int = 0
    kept: int = 0
    failed: dict = field(default_factory=dict)  # (row, column) of a tile → why, in one line
    pixels: int = 0  # made now
    seconds: float = 0.0


def map_tiles(function, cube, out, *, tile=256, overlap=0, setup=None, version="", scheduler="", workers=0,
              threads=None, errors="report", progress=True):
    """Apply a function to every tile of a cube and write what it finds into one Zarr whose chunks are the tiles.

    Each tile is read, computed and written by one thread of a worker, so memory is bounded by the tile, and at most
    two tiles a thread are under way; BLAS, torch and numba have one thread in each. A tile that fails stays missing,
    is told in the report and tried again by the next call. All tiles must give the same layers, of the same types and
    along the same coordinates; attributes are those of the first tile that succeeds.

    function   function(block), or function(block, model) with setup: block is the Dataset (…, y, x) of a tile, in
               memory, or a dict of them; returns a Dataset (…, y, x) of the tile, or of the whole block. Layers are
               numbers or dates. Dates are stored as days; truth values as 0 and 1; whole numbers get a _FillValue (the
               least of their type, the largest if unsigned), so that ``xr.open_zarr`` makes them floats with NaN;
               their own attrs['_FillValue'] comes first
    cube       Dataset (…, y, x), lazy or in memory, or {name: Dataset} on the same y and x
    out        folder of the Zarr; with a scheduler on a disk that all workers see
    tile       side of a tile [pixels]
    overlap    context on each side of a tile [pixels]; less at the edge of the scene, where nothing is padded
    setup      setup() makes the model, e.g. loads a network: once in each worker process
    version    text that names what the function uses (settings, the key of a network). The source of the function,
               plain arguments of a partial, tile, overlap, and variables and coordinates of the cube are compared with
               those of the map that is there; the values of the cube are not
    scheduler  address of a dask scheduler, "tcp://…"
    workers    processes of a dask cluster on this machine (in a script under ``if __name__ == "__main__"``);
               0: threads of this process
    threads    of each process; by default 1, with workers=0 as many as there are cores
    errors     "report" (and one warning), or "raise": TilesFailed in the end
    progress   a bar on a terminal; "always" shows it elsewhere too
    returns    Report
    raises     InputError for a cube or arguments that make no map, a folder that holds something else or is being
               written, a scheduler that is not there, a setup that fails, and where no tile succeeds

    >>> scene = xr.Dataset({"ndvi": (("y", "x"), np.eye(6))}, {"y": np.arange(6.0)[::-1], "x": np.arange(6.0)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = map_tiles(lambda block: block + 1, scene, Path(folder, "map.zarr"), tile=4, threads=1)
    ...     made = xr.open_zarr(report.path).load()
    >>> report.done, float(made.ndvi.sum())
    (4, 42.0)
    """
    from filelock import FileLock, Timeout

    for name, value, least in (("tile", tile, 1), ("overlap", overlap, 0), ("workers", workers, 0),
                               ("threads", 1 if threads is None else threads, 1)):
        if not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} = {value!r}; give a whole number, at least {least}")
    if scheduler and (workers or threads):
        raise InputError(f"scheduler '{scheduler}' has workers of its own; leave out workers and threads")
    if errors not in ("report", "raise"):
        raise InputError(f"errors = {errors!r}; give 'report' or 'raise'")
    if "://" in str(out):
        raise InputError(f"{out}: is a URL; give a folder, on a disk that all workers see")
    out = Path(out).expanduser().resolve()
    job = Job(function, setup, cube, out, int(tile), int(overlap), version)
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
    try:
        with lock:
            try:
                report = _made(job, scheduler, workers, threads, progress)
            finally:
                Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout as error:
        raise InputError(f"{out}: another run is writing this map; wait for it, or give another out") from error
    if report.failed:
        at, why = min(report.failed.items())
        said = (f"{out}: {len(report.failed)} of {report.tiles} tiles failed and stay missing, first {at} ({why}); "
                "the same call tries them again")
        if errors == "raise":
            raise TilesFailed(said, report)
        warnings.warn(said, stacklevel=2)
    return report


def _made(job, scheduler, workers, threads, progress):
    """Make the tiles that are missing; the report."""
    from tqdm import tqdm

    begun, tiles = time.perf_counter(), list(np.ndindex(*job.shape))
    todo = [at for at in tiles if not job.marked(at)] if job.found() else tiles
    report = Report(job.out, len(tiles), kept=len(tiles) - len(todo))
    total, left = (sum(map(job.pixels, some)) for some in (tiles, todo))
    with _pool(job, scheduler, workers, threads, len(todo)) as (submit, room), tqdm(
            total=total, initial=total - left, unit="pixel", unit_scale=True, mininterval=1,
            disable={True: None, False: True, "always": False}[progress]) as bar:
        for at, why in _results(job, todo, submit, room):
            if why:
                report.failed[at] = why
                bar.set_postfix(failed=len(report.failed))
            else:
                report.done += 1
                report.pixels += job.pixels(at)
            bar.update(job.pixels(at))
    if not job.out.exists():
        raise InputError(f"{job.out}: no tile succeeded, so no map was made; the first: {report.failed[tiles[0]]}")
    if not report.failed and job.marks.exists():
        job.finish()
    report.seconds = time.perf_counter() - begun
    return report


class Job:
    """All that a worker needs to make the tiles of a map."""

    def __init__(self, function, setup, cube, out, tile, overlap, version):
        self.single = isinstance(cube, xr.Dataset)
        self.cubes = {"cube": cube} if self.single else cube
        if not isinstance(self.cubes, dict) or not self.cubes:
            raise InputError(f"cube is a {type(cube).__name__}; give an xarray Dataset (…, y, x), or a dict of them")
        first = next(iter(self.cubes.values()))
        for name, part in self.cubes.items():
            if not isinstance(part, xr.Dataset) or not {"y", "x"} <= part.xindexes.keys():
                raise InputError(f"{name}: is no Dataset with the dimensions and coordinates y and x; name them so")
            if not all(part.sizes[a] and part.indexes[a].equals(first.indexes[a]) for a in "yx"):
                raise InputError(f"{name}: is empty, or its y and x are not those of the first; put all on one grid")
        self.grid = {a: xr.Variable(a, first[a].values, first[a].attrs) for a in "yx"}
        if "spatial_ref" in first.variables:
            self.grid["spatial_ref"] = xr.Variable((), np.int64(0), first["spatial_ref"].attrs)
        self.function, self.setup, self.out, self.marks = function, setup, out, out / ".tiles"
        self.tile, self.overlap, self.size = tile, overlap, (first.sizes["y"], first.sizes["x"])
        self.shape = tuple(-(-n // tile) for n in self.size)
        seen = [(name, {v: [part[v].dims, str(part[v].dtype)] for v in part.variables},
                 _hash({n: c for n, c in part.coords.items() if not {"y", "x"} <= set(c.dims)}))
                for name, part in sorted(self.cubes.items())]
        self.settings = {"function": _source(function), "setup": _source(setup), "cube": digest(seen)[:16],
                         "tile": tile, "overlap": overlap, "version": str(version)}
        self.model = self.group = self.layout = None

    # ---- what is on the disk

    def found(self):
        """Whether there is a map to go on with; refuses one that is something else. Clears up after a killed run."""
        for part in self.out.parent.glob(f".{self.out.name}.*.part"):
            shutil.rmtree(part)
        if not self.out.exists():
            return False
        try:
            before = json.loads(json.loads((self.out / "zarr.json").read_text())["attributes"]["map_settings"])
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{self.out}: is there and is no map of map_tiles; give another out") from error
        for name, value in self.settings.items():
            if before.get(name) != value:
                said = f"{name} {before.get(name)!r}, not {value!r}" if name in ("tile", "overlap", "version") else \
                    f"another {name}" + " (its coordinates or variables)" * (name == "cube")
                raise InputError(f"{self.out}: was made with {said}; give another out, or remove this one")
        return True

    def marked(self, at):
        return not self.marks.exists() or (self.marks / f"{at[0]}.{at[1]}").exists()

    def finish(self):
        """All tiles are there: what killed workers left half-written goes, then all marks at once."""
        for part in self.out.rglob("*.partial"):
            part.unlink(missing_ok=True)
        gone = self.out.with_name(f".{self.out.name}.{uuid.uuid4().hex}.part")
        self.marks.rename(gone)
        shutil.rmtree(gone)

    # ---- one tile

    def pixels(self, at):
        return int(np.prod([part.stop - part.start for part in self.window(at)]))

    def window(self, at, more=0):
        """Rows and columns of a tile, with so many pixels around it where the scene has them."""
        return tuple(slice(max(k * self.tile - more, 0), min((k + 1) * self.tile + more, n))
                     for k, n in zip(at, self.size))

    def make(self, at):
        """Make and write a tile; "", or why it failed."""
        _one_thread()
        model = _model(self)
        _one_thread()  # of libraries that came with the model
        try:
            layers, coordinates = _stored(self.own(at, self.function(self.block(at), *model)))
            self.check(layers, coordinates)
            for name, layer in layers.items():
                self.group[name][(..., *self.window(at))] = layer.values
            (self.marks / f"{at[0]}.{at[1]}").touch()
        except Exception as error:  # whatever a tile dies of, the others go on
            self.erase(at)
            return _line(error)
        return ""

    def block(self, at):
        rows, columns = self.window(at, self.overlap)
        parts = {name: part.isel(y=rows, x=columns) for name, part in self.cubes.items()}
        parts = {name: part.compute(scheduler="synchronous") if part.chunks else part.copy(deep=True).load()
                 for name, part in parts.items()}
        return parts["cube"] if self.single else parts

    def own(self, at, found):
        """Of what the function returned, the pixels of the tile."""
        if not isinstance(found, xr.Dataset) or not found.data_vars:
            raise InputError(f"the function returned a {type(found).__name__}; a Dataset with layers is expected")
        for name, layer in found.data_vars.items():
            if not {"y", "x"} <= set(layer.dims):
                raise InputError(f"the layer '{name}' has no y and x; give every layer both")
        for a, own, around in zip("yx", self.window(at), self.window(at, self.overlap)):
            if found.sizes[a] == around.stop - around.start:
                found = found.isel({a: slice(own.start - around.start, own.stop - around.start)})
            if found.sizes[a] != own.stop - own.start or \
                    (a in found.coords and not np.array_equal(found[a], self.grid[a].values[own])):
                raise InputError(f"the layers lie elsewhere along {a} than the block; keep its pixels and their order")
        return found.compute(scheduler="synchronous")

    def check(self, layers, coordinates):
        """Compare a tile with the layout of the map, which is made if there is none yet."""
        import zarr

        layout = {name: [list(layer.dims), list(layer.shape[:-2]), str(layer.dtype)] for name, layer in layers.items()}
        layout["coordinates"] = _hash(coordinates)
        if not self.out.exists():
            self.lay_out(layers, coordinates, layout)
        if self.layout is None:
            self.group = zarr.open_group(self.out, mode="r+")
            self.layout = json.loads((self.marks / "layout.json").read_text())
        for name in {**self.layout, **layout}:
            if layout.get(name) != self.layout.get(name):
                raise InputError(f"{name}: is {layout.get(name)} here and {self.layout.get(name)} in the first tile; "
                                 "every tile must give the same layers, types and coordinates")

    def lay_out(self, layers, coordinates, layout):
        """Write the empty map beside and rename it."""
        import zarr

        part = self.out.with_name(f".{self.out.name}.{uuid.uuid4().hex}.part")
        frame = xr.Dataset(coords={**coordinates, **self.grid}, attrs={
            "Conventions": "CF-1.11", "map_settings": json.dumps(self.settings, sort_keys=True)})
        plain = {name: {"_FillValue": None} for name, c in frame.variables.items() if c.dtype.kind == "f"}
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Consolidated metadata")
                frame.to_zarr(part, zarr_format=3, consolidated=False, encoding=plain)
                group = zarr.open_group(part, mode="r+", use_consolidated=False)
                for name, layer in layers.items():
                    lead = layer.shape[:-2]
                    about = layer.attrs | ({"grid_mapping": "spatial_ref"} if "spatial_ref" in self.grid else {})
                    about = json.loads(json.dumps(about, default=lambda v: getattr(v, "tolist", v.__str__)()))
                    group.create_array(name, shape=lead + self.size, dtype=layer.dtype, dimension_names=layer.dims,
                                       chunks=lead + tuple(min(self.tile, n) for n in self.size), attributes=about,
                                       fill_value=about.get("_FillValue", np.nan))
                zarr.consolidate_metadata(part)
            (part / ".tiles").mkdir()
            write_json(part / ".tiles/layout.json", layout)
            part.rename(self.out)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def erase(self, at):
        """Remove the chunks of a tile that failed while it was written."""
        for name in self.layout or ():
            if name in self.group and name != "coordinates":
                array = self.group[name]
                place = array.metadata.encode_chunk_key((0,) * (array.ndim - 2) + tuple(at))
                with contextlib.suppress(OSError):
                    (self.out / name / place).unlink(missing_ok=True)


# ---- where tiles are made

@contextlib.contextmanager
def _pool(job, scheduler, workers, threads, todo):
    """Threads of this process, a cluster on this machine, or one that is there: submit(at) → Future, room() → tiles."""
    if not todo:
        yield None, None
    elif not scheduler and not workers:
        import threadpoolctl

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch = sys.modules.get("torch")
        before = torch and torch.get_num_threads()
        with threadpoolctl.threadpool_limits(1), ThreadPoolExecutor(threads or cores) as pool:
            yield functools.partial(pool.submit, job.make), lambda: 2 * (threads or cores)
        if torch:
            torch.set_num_threads(before)
    else:
        import cloudpickle
        import dask
        from distributed import Client, LocalCluster

        with contextlib.ExitStack() as stack:
            stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": "1 day"}))  # it starts again
            try:
                client = stack.enter_context(Client(scheduler or stack.enter_context(LocalCluster(
                    n_workers=workers, threads_per_worker=threads or 1, dashboard_address=":0", silence_logs=50)),
                    set_as_default=False))
                client.wait_for_workers(1, timeout=60)
            except (OSError, ValueError) as error:
                raise InputError(f"scheduler '{scheduler}': cannot be reached or has no workers ({_line(error)}); "
                                 "start 'dask scheduler' and 'dask worker', or give workers=N") from error
            name = f"phenolib-map-{uuid.uuid4().hex}"
            client.register_plugin(_bring(cloudpickle.dumps(job)), name=name)
            stack.callback(client.unregister_worker_plugin, name)
            pool = stack.enter_context(client.get_executor(pure=False))
            yield functools.partial(pool.submit, _make, name), lambda: 2 * sum(client.nthreads().values())


def _results(job, todo, submit, room):
    """Each tile and why it failed, as they end; one at a time until one has made the layout."""
    running, waiting = {}, iter(todo)
    try:
        while True:
            free = (room() or 1 if job.out.exists() else 1) - len(running) if todo else 0
            running |= {submit(at): at for at in itertools.islice(waiting, max(0, free))}
            if not running:
                return
            ended = wait(running, timeout=60, return_when=FIRST_COMPLETED).done
            if not ended and not room():
                raise InputError(f"{job.out}: all workers are lost; the same call goes on with the tiles that are left")
            for future in ended:
                at, error = running.pop(future), future.exception()
                if isinstance(error, SetupFailed):
                    raise error
                why = _line(error) if error else future.result()
                for _ in range(30):  # another machine's disk may show it late
                    if why or job.out.exists():
                        break
                    time.sleep(1)
                else:
                    raise InputError(f"{job.out}: what a worker wrote is not seen from here; give an out on a disk "
                                     "that all workers share")
                yield at, why
    finally:
        for future in running:
            future.cancel()


def _make(name, at):
    from distributed import get_worker

    return get_worker().plugins[name].job.make(at)


def _bring(blob):
    """The plugin that brings a job to each worker once, also to those that start later or anew."""
    from distributed import WorkerPlugin

    class Bring(WorkerPlugin):
        def setup(self, worker):
            import cloudpickle
            import threadpoolctl

            self.job, self.limits = cloudpickle.loads(blob), threadpoolctl.threadpool_limits(1)

        def teardown(self, worker):
            self.limits.restore_original_limits()

    return Bring()


def _model(job):
    """() or (model,), made once in this process."""
    with LOADING:
        if job.model is None:
            try:
                job.model = (job.setup(),) if job.setup else ()
            except Exception as error:
                raise SetupFailed(f"setup failed in a worker: {_line(error)}") from error
    return job.model


def _one_thread():
    """One thread for torch and numba in the thread that asks, where they are loaded."""
    for library in ("torch", "numba"):
        if hasattr(sys.modules.get(library), "set_num_threads"):
            sys.modules[library].set_num_threads(1)


def _line(error):
    """An exception in one line."""
    if type(error).__name__ == "KilledWorker":
        return "the worker died each time it had this tile or one beside it (out of memory?)"
    text = " ".join(str(error).split())[:400]
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


# ---- what is stored

def _stored(found):
    """Layers (…, y, x) as numbers with their CF attributes, and the coordinates along their other dimensions."""
    layers = {}
    for name, layer in found.data_vars.items():
        layer = layer.variable.transpose(..., "y", "x")
        values, about = layer.values, {"long_name": name.replace("_", " "), **layer.attrs}
        fill = about.pop("_FillValue", None)
        if values.dtype.kind == "M":
            values, about = ((values - EPOCH) / DAY).astype("float32"), about | DAYS
        elif values.dtype.kind in "bui":
            values = values.astype("uint8") if values.dtype.kind == "b" else values
            limit = np.iinfo(values.dtype)
            about["_FillValue"] = int(fill if fill is not None else limit.min or limit.max)
            if fill is None and (values == about["_FillValue"]).any():
                raise InputError(f"{name}: holds {about['_FillValue']}, which stands for missing; give a larger type, "
                                 "or attrs['_FillValue']")
        elif values.dtype.kind != "f":
            raise InputError(f"{name}: holds '{values.dtype}'; give numbers or dates")
        layers[name] = xr.Variable(layer.dims, values, about)
    return layers, {name: c.variable.drop_encoding() for name, c in found.drop_vars(["y", "x"], errors="ignore")
                    .coords.items() if not {"y", "x"} & set(c.dims) and c.dims and c.dtype.kind in "MuifbUO"}


def _hash(arrays):
    return digest([(name, str(v.dtype), v.dims, v.values.tolist() if v.dtype.kind in "OU" else
                    hashlib.sha256(v.values.tobytes()).hexdigest()) for name, v in sorted(arrays.items())])[:16]


def _source(function):
    """A hash of a function's name, its source and the plain arguments of a partial."""
    given = []
    while isinstance(function, functools.partial):
        given.append([function.args, function.keywords])
        function = function.func
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = ""
    given = json.dumps(given, sort_keys=True, default=lambda value: type(value).__qualname__)
    return digest(getattr(function, "__qualname__", type(function).__qualname__), text, given)[:16]


# ---- reading

def open_map(path):
    """The layers of a map, read where they are indexed, without dask.

    Dates are decoded in the thread that asks. In several at a time, as dask would, warnings that xarray silences
    where a date is missing get through, for Python keeps its filters once for all threads.

    path     the Zarr
    returns  Dataset
    raises   FileNotFoundError as ``xr.open_zarr``
    """
    return xr.open_zarr(path, chunks=None, decode_coords="all")


# ---- GeoTIFF

def to_cog(path, folder, *, layers=None, colours=None):
    """Write each layer of a map as a Cloud-Optimized GeoTIFF, a block at a time in memory.

    Other dimensions are taken apart by name: ``sos20`` of season 2019 becomes ``sos20_2019.tif`` (``sos20_2019_2`` for
    the second season of a year). Dates become the day of the year of the season as int16: 1 is 1 January, 0 and below
    lie in the year before. Where no coordinate ``year`` tells the year, they become days since 1970-01-01 as int32.
    The band bears units and description; all attributes stand in its tags.

    path     the Zarr
    folder   where the files go, each written beside and renamed
    layers   names of variables; by default all with y and x
    colours  {layer: {class: "#rrggbb"}}: colour tables of uint8 layers
    returns  list of Path
    raises   InputError for a map without a coordinate system, unknown layers, colours of a layer that is not uint8
    """
    import rioxarray  # noqa: F401  gives datasets their .rio

    raw = xr.open_zarr(path, chunks=None, mask_and_scale=False, decode_times=False, decode_coords="all")
    read = open_map(path)
    known, colours, written = [n for n, v in raw.data_vars.items() if {"y", "x"} <= set(v.dims)], colours or {}, []
    for name in [*(layers or ()), *colours]:
        if name not in known:
            raise InputError(f"{path}: has no layer '{name}'{near(name, known)}")
        if name in colours and raw[name].dtype != "uint8":
            raise InputError(f"{path}: '{name}' is {raw[name].dtype}; colours are for classes, which are uint8")
    if raw.rio.crs is None:
        raise InputError(f"{path}: tells no coordinate system; give the cube one with cube.rio.write_crs('EPSG:…')")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in layers or known:
        dated = read[name].dtype.kind == "M"
        layer = (read if dated else raw)[name].transpose(..., "y", "x")
        for place in np.ndindex(layer.shape[:-2]):
            label = "_".join([name, *(_label(layer, dim, k) for dim, k in zip(layer.dims, place))])
            written.append(Path(folder, re.sub(r"[^\w.-]+", "-", label) + ".tif"))
            _write(written[-1], layer[place], raw[name].attrs, raw.rio.crs, colours.get(name))
    return written


def _label(layer, dim, k):
    """How place k along a dimension is called in the name of a file."""
    along = {name: c.values[k] for name, c in layer.coords.items() if c.dims == (dim,)}
    if dim in along:
        return str(along[dim]).removesuffix("T00:00:00.000000000")
    return f"{along.get('year', k)}" + (f"_{along['rank']}" if along.get("rank", 1) > 1 else "")


def _write(target, layer, attributes, crs, colours):
    """Write one layer (y, x), first as a plain GeoTIFF, then copied to a Cloud-Optimized one."""
    import rasterio
    import rasterio.shutil
    from matplotlib.colors import to_rgba

    about, first = dict(attributes), EPOCH
    dtype, nodata = str(layer.dtype), float("nan") if layer.dtype.kind == "f" else about.pop("_FillValue", None)
    if layer.dtype.kind == "M":
        dtype, nodata, about["units"] = "int32", -(2**31), DAYS["units"]
        if layer.coords.get("year", layer).ndim == 0:
            first, dtype, nodata = np.datetime64(f"{int(layer.year)}-01-01") - DAY, "int16", -(2**15)
            about["units"] = f"day of year {int(layer.year)}"
            about["meaning"] = f"1 is 1 January {int(layer.year)}; 0 and below lie in the year before"
    (height, width), transform = layer.shape, layer.rio.transform(recalc=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as part, \
            rasterio.Env(GDAL_NUM_THREADS="1"):
        with rasterio.open(Path(part, "plain.tif"), "w", driver="GTiff", height=height, width=width, count=1, crs=crs,
                           dtype=dtype, nodata=nodata, transform=transform, tiled=True, blockxsize=512,
                           blockysize=512, bigtiff="IF_SAFER") as file:
            for _, window in file.block_windows(1):
                values = layer[window.toslices()].values
                if layer.dtype.kind == "M":
                    days = np.floor((values - first) / DAY)
                    values = np.where(np.isfinite(days), days, nodata).astype(dtype)
                file.write(values, 1, window=window)
            file.scales, file.offsets = [float(about.get("scale_factor", 1))], [float(about.get("add_offset", 0))]
            file.units, file.descriptions = [str(about.get("units", ""))], [str(about.get("long_name", layer.name))]
            file.update_tags(1, **{k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in about.items()})
            if colours:
                file.write_colormap(1, {int(k): tuple(round(255 * v) for v in to_rgba(c)) for k, c in colours.items()})
        rasterio.shutil.copy(Path(part, "plain.tif"), Path(part, "cog.tif"), driver="COG", compress="DEFLATE",
                             predictor="YES", blocksize=512, bigtiff="IF_SAFER", num_threads=1,
                             overview_resampling="AVERAGE" if dtype.startswith("float") else "NEAREST")
        Path(part, "cog.tif").replace(target)
