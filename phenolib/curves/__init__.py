"""Smoothing of irregular, gappy seasonal series, compiled, any number of pixels."""

import functools
from contextlib import nullcontext
from importlib import import_module

import numpy as np
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import home, lock


@functools.cache
def kernel(name):
    """A compiled function of ``curves.kernels``.

    numba loads on the first call; that call, which compiles or reads the machine code from disk, is made under a
    lock, so that two processes never compile the same function at once.
    """
    ready = []

    def call(*arguments):
        with nullcontext() if ready else lock(home() / "cache" / "compile.lock"):
            result = getattr(import_module("phenolib.curves.kernels"), name)(*arguments)
        ready.append(True)
        return result

    return call


def smooth(series, *, method="savgol", weights=None, window=21.0, envelope=2, adaptation=2.0, steep=1.0, spike=2.0,
           max_gap=30.0, break_gap=120.0):
    """A daily curve through an irregular series, by the adaptive Savitzky–Golay filter of TIMESAT.

    At each day a quadratic is fitted by weighted least squares to the observations within ``window`` days, or to the
    nearest five where there are fewer. Where the curve changes by more than ``steep`` standard deviations within the
    window, the window shrinks until it does not, to a third at the most. Observations below the curve then lose
    weight and the fit is repeated, so that the curve leans towards the upper envelope (clouds, snow and shadow only
    ever lower a greenness index).

    series      (time, …) observations; NaN is missing; time need not be regular
    method      'savgol'
    weights     (time, …) 0 (ignore) to 1 (trust), relative to the largest; a missing leading dimension is filled up;
                default 1 wherever there is a value
    window      half width of the window [days]
    envelope    how often the weights below the curve are lowered (0–3)
    adaptation  strength of the envelope; each pass multiplies the weight of a low value by 1/adaptation
    steep       change within the window, in SDs of the series, above which the window shrinks (to a third at most)
    spike       an isolated value further from its neighbours than this many SDs is ignored; 0 keeps all
    max_gap     no window reaches across a gap longer than this; it is bridged by a straight line [days]
    break_gap   a gap longer than this is left empty [days]
    returns     (time, …) the curve on every day from the first to the last observation time, same units; NaN where
                there is nothing to rest on
    raises      InputError for a series without the dimension time, or an option out of range

    Jönsson & Eklundh (2002, 2004); the continuous narrowing of the window is ours.
    """
    options = check_options(method, window, envelope, adaptation, steep, spike, max_gap, break_gap)
    day, start, length = days_of(series)
    weights = weights_of(series, weights)
    time = (start + np.arange(length).astype("timedelta64[D]")).astype(series["time"].dtype)

    def block(values, weight):
        flat, shape = flatten(values), values.shape[:-1]
        return kernel("fit_all")(day, flat, flatten(weight), length, *options)[0].reshape(*shape, length)

    curve = xr.apply_ufunc(
        block, series, weights,
        input_core_dims=[["time"], ["time"]], output_core_dims=[["day"]],
        dask="parallelized", output_dtypes=[np.float64], dask_gufunc_kwargs={"output_sizes": {"day": length}},
    )
    curve = curve.rename(day="time").assign_coords(time=time).assign_attrs(series.attrs)
    return curve.transpose("time", ...).rename(series.name)


def check_options(method, window, envelope, adaptation, steep, spike, max_gap, break_gap):
    """The options of the smoother in the order of the compiled function, each checked."""
    if method != "savgol":
        raise InputError(f"method '{method}' is not known; use 'savgol'")
    if max_gap > break_gap:
        raise InputError(f"max_gap = {max_gap} is longer than break_gap = {break_gap}; give a longer break_gap too")
    limits = {"window": (window, 1, 366), "envelope": (envelope, 0, 3), "adaptation": (adaptation, 1, 100),
              "steep": (steep, 0.01, 100), "spike": (spike, 0, 100), "max_gap": (max_gap, 1, 366),
              "break_gap": (break_gap, 1, 3660)}
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise InputError(f"{name} = {value} is out of range; give a value from {low} to {high}")
    return (float(window), int(envelope), float(adaptation), float(steep), float(spike), float(max_gap),
            float(break_gap))


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
    """Weights of the observations: 1 where none are given."""
    if weights is None:
        return xr.ones_like(series, dtype=np.float64)
    if not isinstance(weights, xr.DataArray):
        raise InputError("weights must be a DataArray with the dimension time")
    extra = [d for d in weights.dims if d not in series.dims]
    if extra:
        raise InputError(f"weights have the dimension '{extra[0]}', which the series has not")
    if "time" not in weights.dims or weights.sizes["time"] != series.sizes["time"] or (
            "time" in weights.coords and not (weights["time"].values == series["time"].values).all()):
        raise InputError("weights need the same times as the series")
    plain = weights.drop_vars([c for c in weights.coords if c not in series.coords])
    return plain.broadcast_like(series).transpose(*series.dims).astype(np.float64)


def flatten(values):
    """(…, time) to (pixel, time), float64 and contiguous."""
    return np.ascontiguousarray(values.reshape(-1, values.shape[-1]), np.float64)
