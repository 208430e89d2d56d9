"""Smoothing and fitting of irregular, gappy seasonal series, compiled, any number of pixels."""

import functools
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib import import_module

import numpy as np
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import home, lock

SMOOTHERS = ("whittaker", "savgol", "loess", "harmonic")  # in the order of the compiled code
FORMS = ("beck", "elmore", "gu")  # of the double logistic
METHODS = ("savgol", "whittaker", "double_logistic", "asymmetric_gaussian", "harmonic", "loess")
AUTOMATIC = {"auto": 0.0, "gcv": -1.0, "v-curve": -2.0}
REWEIGHTING = ("none", "bisquare", "timesat", "chen")
DEFAULTS = {  # what an option that is not given becomes; the functions start from the Whittaker smoother
    "savgol": dict(reweight="timesat", envelope=2, spike=2.0, max_gap=30.0, break_gap=120.0),
    "whittaker": dict(reweight="bisquare", envelope=2, spike=0.0, max_gap=120.0, break_gap=180.0),
    "loess": dict(reweight="none", envelope=0, spike=2.0, max_gap=30.0, break_gap=120.0),
    "harmonic": dict(reweight="bisquare", envelope=2, spike=0.0, max_gap=120.0, break_gap=180.0),
}
DEFAULTS["double_logistic"] = DEFAULTS["asymmetric_gaussian"] = DEFAULTS["whittaker"]
STEP = 8.0  # longest step between two nodes of the Whittaker curve [days]
KERNELS = {"run": "engine", "daily": "engine", "rule_dates": "rules"}
FILL = ("_FillValue", "missing_value")


@functools.cache
def kernel(name):
    """A compiled function: one of KERNELS.

    numba loads on the first call; that call, which compiles or reads the machine code from disk, is made under a
    lock, so that two processes never compile the same function at once.
    """
    ready = []

    def call(*arguments):
        if not ready and not (home() / "cache" / "compiled").is_dir() and "NUMBA_CACHE_DIR" not in os.environ:
            print("compiling, once: about half a minute", file=sys.stderr)
        with nullcontext() if ready else lock(home() / "cache" / "compile.lock"):
            result = getattr(import_module(f"phenolib.curves.{KERNELS[name]}"), name)(*arguments)
        ready.append(True)
        return result

    return call


def smooth(series, *, method="savgol", weights=None, **options):
    """A daily curve through an irregular series.

    savgol               adaptive Savitzky–Golay of TIMESAT: at each day a quadratic by weighted least squares on the
                         observations within ``window`` days, or the nearest five where there are fewer; where the
                         curve changes by more than ``steep`` SDs within it, the window shrinks, to a third at the most
    whittaker            the curve f that makes Σ w (y − f)² + λ (∫ f''² + κ² ∫ f'²) least; λ is ``smoothness``,
                         κ = 0.03 per day keeps f from swinging out in long gaps
    double_logistic      one fitted to each season, ``form`` beck, elmore or gu, from the Whittaker curve on
    asymmetric_gaussian  the same with this function
    harmonic             mean, trend and ``harmonics`` of the year
    loess                local quadratics with tricube weights, span by AICc: the smoother of the camera network

    series      (time, …) observations, numpy or dask; NaN, infinite and fill values are missing. Numbers that
                carry the attributes scale_factor, add_offset or _FillValue are decoded first
    weights     (time, …) 0 (ignore) to 1 (trust), relative to the largest; a missing leading dimension is filled up;
                default 1 wherever there is a value
    options     see ``options``
    returns     (time, …) float32, the curve on every day from the first to the last observation time, same units;
                NaN where there is nothing to rest on
    raises      InputError for a series without the dimension time, unsorted or repeated times, or an option out of
                range

    Jönsson & Eklundh (2002, 2004); Eilers (2003); Beck et al. (2006); Elmore et al. (2012); Gu et al. (2009);
    Richardson et al. (2018). The continuous narrowing of the window is ours.
    """
    plan = Plan(series, method, **options)
    series = decoded(series)
    time = (plan.start + np.arange(plan.length).astype("timedelta64[D]")).astype(series["time"].dtype)

    def block(values, weight=None):
        curve = plan.curve(values, weight)
        return kernel("daily")(plan.nodes, curve, plan.length).reshape(*values.shape[:-1], plan.length)

    inputs = [series] if weights is None else [series, weights_of(series, weights)]
    curve = xr.apply_ufunc(
        block, *inputs, input_core_dims=[["time"]] * len(inputs), output_core_dims=[["day"]],
        dask="parallelized", output_dtypes=[np.float32], dask_gufunc_kwargs={"output_sizes": {"day": plan.length}},
    )
    curve = curve.rename(day="time").assign_coords(time=time)
    curve.attrs = units_of(series)
    return curve.transpose("time", ...).rename(series.name)


def options(method="savgol", *, smoothness=250.0, window=21.0, steep=1.0, reweight=None, envelope=None, adaptation=2.0,
            spike=None, span=None, harmonics=3, form="gu", base=0.01, max_gap=None, break_gap=None):
    """The options of the smoothers, each checked; what is not given depends on the method (``DEFAULTS``).

    smoothness  λ of whittaker [day³], or chosen for each pixel: 'gcv' by generalised cross-validation (for noise that
                is new at each observation), 'v-curve' (for noise alike from day to day, as of daily fluxes); 'auto':
                v-curve where the steps are shorter than three days, else gcv
    window      half width of the window of savgol [days]
    steep       change within the window, in SDs of the series, above which it shrinks
    reweight    how observations below the curve lose weight: none, bisquare (only those that dent it: below the line
                between their neighbours too), timesat (upper envelope), chen (Chen et al. 2004)
    envelope    how often that is done (0–5)
    adaptation  strength of timesat's envelope; each pass multiplies the weight of a low value by 1/adaptation
    spike       an isolated value further from its neighbours than this many SDs is ignored; 0 keeps all
    span        share of the observations in a window of loess; default by AICc
    harmonics   how many harmonics of the year (1–8)
    form        of the double logistic: beck, elmore (the summer falls in a straight line), gu (exponents on both sides)
    base        how far the two bases of a fitted function may lie apart: SD, as a share of the amplitude
    max_gap     a longer gap is bridged by a straight line, and no date is read in it [days]
    break_gap   a gap longer than this is left empty [days]
    returns     dict
    raises      InputError for an unknown name or a value out of range
    """
    if method not in METHODS:
        raise InputError(f"method '{method}' is not known; use {' or '.join(METHODS)}{near(method, METHODS)}")
    given = dict(reweight=reweight, envelope=envelope, spike=spike, max_gap=max_gap, break_gap=break_gap)
    chosen = {**DEFAULTS[method], **{k: v for k, v in given.items() if v is not None}}
    for name, value, known in (("reweight", chosen["reweight"], REWEIGHTING), ("form", form, FORMS)):
        if value not in known:
            raise InputError(f"{name} '{value}' is not known; use {' or '.join(known)}")
    if chosen["max_gap"] > chosen["break_gap"]:
        raise InputError(f"max_gap = {chosen['max_gap']} is longer than break_gap = {chosen['break_gap']}; give a "
                         "longer break_gap too")
    if isinstance(smoothness, str):
        if smoothness not in AUTOMATIC:
            raise InputError(f"smoothness '{smoothness}' is not known; give a number or {' or '.join(AUTOMATIC)}")
        smoothness = AUTOMATIC[smoothness]
    elif not 1e-3 <= smoothness <= 1e8:
        raise InputError(f"smoothness = {smoothness} is out of range; give a value from 0.001 to 1e8, or 'auto'")
    limits = {"window": (window, 1, 366), "envelope": (chosen["envelope"], 0, 5), "adaptation": (adaptation, 1, 100),
              "steep": (steep, 0.01, 100), "spike": (chosen["spike"], 0, 100), "max_gap": (chosen["max_gap"], 1, 366),
              "break_gap": (chosen["break_gap"], 1, 3660), "span": (span or 0, 0, 1), "harmonics": (harmonics, 1, 8),
              "base": (base, 0.001, 10)}
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise InputError(f"{name} = {value} is out of range; give a value from {low} to {high}")
    return dict(chosen, method=method, smoothness=smoothness, window=window, steep=steep, adaptation=adaptation,
                span=span or 0.0, harmonics=harmonics, form=form, base=base)


class Plan:
    """What a call does with each block: the nodes of the curve and the options in the form of the compiled code.

    start    the first day of the series, as datetime64
    length   how many days the series covers
    nodes    (node,) days since start at which the curve is held
    """

    def __init__(self, series, method, **given):
        known = options(method, **given)
        day, self.start, self.length = days_of(series)
        smoother = known["method"] if known["method"] in SMOOTHERS else "whittaker"
        self.nodes, self.node = grid(day) if smoother == "whittaker" else daily_grid(day)
        self.width = np.gradient(self.nodes)
        if known["smoothness"] == AUTOMATIC["auto"]:
            known["smoothness"] = AUTOMATIC["v-curve" if np.median(np.diff(day)) < 3 else "gcv"]
        self.form = -1
        if known["method"] == "double_logistic":
            self.form = FORMS.index(known["form"])
        if known["method"] == "asymmetric_gaussian":
            self.form = len(FORMS)
        self.base = float(known["base"])
        self.max_gap, self.break_gap = float(known["max_gap"]), float(known["break_gap"])
        self.options = (
            SMOOTHERS.index(smoother), REWEIGHTING.index(known["reweight"]), int(known["envelope"]),
            float(known["adaptation"]), float(known["smoothness"]), float(known["window"]), float(known["steep"]),
            float(known["spike"]), self.max_gap, float(known["span"]), int(known["harmonics"]))

    def curve(self, values, weight):
        """The curve at the nodes for a block (…, time): (pixel, node)."""
        pixels = math.prod(values.shape[:-1])
        curve = np.empty((pixels, self.nodes.size), np.float32)
        marks = np.array([(0, share, -1) for share in (0.2, 0.5, 0.8)], float)
        self.run(values, weight, marks=marks, curve=curve)
        return curve

    def run(self, values, weight, *, marks, stamps=None, values_out=None, quality=None, total=None, curve=None,
            year=None, years=1, per_year=1, rule=(0.25, 0.0, 14.0), last=False, widen=0.0):
        """Runs the compiled pass over a block; see ``engine.run``."""
        observed, weight = flatten(values), flatten(weight)
        pixels, n = observed.shape[0], self.nodes.size
        nothing = np.empty((0, n), np.float32)
        if year is None:
            year = np.zeros(self.length + 2, np.int32)
        if stamps is None:
            slots = per_year * years if self.form >= 0 else 0
            kept = int((marks[:, 2] >= 0).sum())
            stamps = np.empty((6 * kept + 1, pixels, slots), np.int64)
            values_out = np.empty((11 + 2 * kept, pixels, slots), np.float32)
            quality = np.empty((pixels, slots), np.int16)
            total = np.empty(pixels, np.int32)
        shares = [round(float(m[1]), 6) if m[0] == 0 else None for m in marks]
        roles = tuple(shares.index(s) for s in (0.2, 0.5, 0.8))
        fixed = (self.node, self.nodes, self.width, year, int(years), int(per_year), self.start.astype(np.int64), marks,
                 roles, (*map(float, rule), self.max_gap, self.break_gap), bool(last), float(widen), self.form,
                 self.base, self.options)

        def part(a, b):
            kernel("run")(observed[a:b], weight[a:b] if weight.size else weight, *fixed, stamps[:, a:b],
                          values_out[:, a:b], quality[a:b], total[a:b], nothing if curve is None else curve[a:b])

        cores = workers(pixels)
        edges = [16 * round(pixels * k / cores / 16) for k in range(cores)] + [pixels]
        if cores == 1:
            part(0, pixels)
            return
        kernel("run")
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(part, edges[:-1], edges[1:]))


def workers(pixels):
    """How many threads a block is given: one inside dask, which runs several blocks itself, and for few pixels."""
    import threading

    if pixels < 2000 or threading.current_thread() is not threading.main_thread():
        return 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, int(os.environ.get("NUMBA_NUM_THREADS", allowed))))


def grid(day):
    """Nodes at the observation times, none closer than half a day, none further apart than STEP; and whose is whose.

    day      (time,) days since the first day, increasing
    returns  nodes (node,), node (time,) of each observation
    """
    nodes, node = [day[0]], [0]
    for d in day[1:]:
        step = d - nodes[-1]
        if step >= 0.5:
            parts = max(1, math.ceil(step / STEP - 1e-9))
            nodes += [nodes[-1] + step * k / parts for k in range(1, parts + 1)]
        node.append(len(nodes) - 1)
    while len(nodes) < 5:
        nodes.append(nodes[-1] + 1.0)
    return np.array(nodes), np.array(node, np.int64)


def daily_grid(day):
    """A node a day, at the hour at which most observations are made; each observation goes to the nearest."""
    hour = float(np.median(day - np.floor(day)))
    first = np.floor(day[0] - hour + 0.5)
    node = np.maximum(np.floor(day - hour + 0.5) - first, 0).astype(np.int64)
    return first + hour + np.arange(max(5, node[-1] + 1), dtype=float), node


def decoded(series):
    """Numbers that carry scale_factor or _FillValue as the float32 they stand for. Anything else as it is."""
    if not (np.issubdtype(series.dtype, np.number) or series.dtype == bool):
        raise InputError(f"the series holds '{series.dtype}'; give numbers")
    if np.issubdtype(series.dtype, np.complexfloating):
        raise InputError("the series holds complex numbers; give real ones")
    fills = [series.attrs[k] for k in FILL if k in series.attrs]
    if not fills and "scale_factor" not in series.attrs:
        return series
    result = series.astype(np.float32)
    for fill in fills:
        result = result.where(series != fill)
    if "scale_factor" in series.attrs:
        result = result * np.float32(series.attrs["scale_factor"]) + np.float32(series.attrs.get("add_offset", 0))
    result.attrs = units_of(series)
    return result


def units_of(series):
    """The attributes of a series that its curve keeps."""
    return {k: v for k, v in series.attrs.items() if k not in (*FILL, "scale_factor", "add_offset")}


def days_of(series):
    """Observation times as days since the first one, the first day, and how many days the series covers."""
    if "time" not in getattr(series, "dims", ()):
        raise InputError("the series has no dimension 'time'; give a DataArray with one")
    if "time" not in series.coords or not np.issubdtype(series["time"].dtype, np.datetime64):
        kind = series["time"].dtype if "time" in series.coords else "none"
        raise InputError(f"the times of the series are of kind '{kind}'; give datetime64 without a time zone")
    if len(series.chunksizes.get("time", ())) > 1:
        raise InputError("the series is cut into chunks along time; join them with .chunk(time=-1)")
    time = np.asarray(series["time"].values, "datetime64[ns]")
    if np.isnat(time).any():
        raise InputError("the series has a time that is missing (NaT); drop it")
    if time.size < 5:
        raise InputError(f"the series has {time.size} times; at least 5 are needed")
    if (np.diff(time) <= np.timedelta64(0, "ns")).any():
        raise InputError("the times of the series are not increasing; sort them and drop the repeated ones")
    start = time[0].astype("datetime64[D]")
    day = (time - start) / np.timedelta64(1, "D")
    return day.astype(np.float64), start.astype("datetime64[ns]"), int(np.floor(day[-1])) + 1


def weights_of(series, weights):
    """Weights of the observations, broadcast to the series."""
    if not isinstance(weights, xr.DataArray):
        raise InputError("weights must be a DataArray with the dimension time")
    extra = [d for d in weights.dims if d not in series.dims]
    if extra:
        raise InputError(f"weights have the dimension '{extra[0]}', which the series has not")
    if "time" not in weights.dims or weights.sizes["time"] != series.sizes["time"] or (
            "time" in weights.coords and not (weights["time"].values == series["time"].values).all()):
        raise InputError("weights need the same times as the series")
    plain = weights.drop_vars([c for c in weights.coords if c not in series.coords])
    return plain.broadcast_like(series).transpose(*series.dims)


def flatten(values):
    """(…, time) to (pixel, time) float32; a view where that can be, so that no cube is copied. None: nothing."""
    if values is None:
        return np.empty((0, 0), np.float32)
    flat = np.asarray(values).reshape(-1, values.shape[-1])
    return flat if flat.dtype == np.float32 else flat.astype(np.float32)
