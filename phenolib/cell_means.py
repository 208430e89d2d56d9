"""What a model of coarse moisture learns from: layers that are checked, means over cells, lags of the surface."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.coarse_cells import grid
from phenolib.errors import InputError, near

LAYERS = ("surface", "root_zone")
SPANS = 5, 15, 30  # e-folding times of the lags of the surface [days]


def check_moisture(moisture, layer):
    """InputError unless an array is moisture of a layer as a fraction: not per cent, not below 0, not another layer.

    moisture  DataArray [m³ m⁻³], whose name, if it is one of ``LAYERS``, must be the layer
    layer     of ``LAYERS``
    """
    if layer not in LAYERS:
        raise InputError(f"layer = '{layer}'{near(layer, LAYERS)}")
    if moisture.name in LAYERS and moisture.name != layer:
        raise InputError(f"the array is named '{moisture.name}' and was given as '{layer}'; the layers are swapped")
    low, high = float(moisture.min()), float(moisture.max())
    if not np.isfinite(low):
        raise InputError(f"moisture of the {layer} has no value at all")
    if high > 1:
        raise InputError(f"moisture of the {layer} goes up to {high:g}; it has to be a fraction, m³ m⁻³ (per cent: "
                         "divide by 100)")
    if low < 0:
        raise InputError(f"moisture of the {layer} goes down to {low:g}; mark missing values as NaN")


def check_layers(moisture):
    """InputError if the root zone changes faster than the surface, as it does where the two were swapped.

    moisture  Dataset (time, y, x) with surface and root_zone; told by the median over cells of the SD of the change
              from one time to the next
    """
    change = {name: float(moisture[name].diff("time").std("time").median()) for name in LAYERS}
    if change["root_zone"] > change["surface"]:
        raise InputError(f"root_zone changes by {change['root_zone']:.4f} from one time to the next and surface by "
                         f"{change['surface']:.4f} m³ m⁻³; the surface has to change more: the layers are swapped")


def surface_lags(surface, spans=SPANS):
    """What the surface held lately, for the root zone beneath: its value and exponential means of its past.

    m(t) = Σ S(tᵢ) e^{−(t − tᵢ)/T} / Σ e^{−(t − tᵢ)/T}  over tᵢ ≤ t; missing days are left out

    surface  DataArray (time, y, x) [m³ m⁻³], daily; coarse, or a fine field of days
    spans    T [days]
    returns  Dataset of surface_0 (the day itself) and surface_<T>, same dimensions
    raises   InputError for times that do not ascend

    Albergel et al. (2008) give the same filter in a recursive form.
    """
    surface = surface.transpose("time", "y", "x")
    step = np.diff(surface["time"].values) / np.timedelta64(1, "D")
    if (step <= 0).any():
        raise InputError("times of the surface do not ascend; sort them, each once")
    values = surface.values.astype(float)
    there, found = np.isfinite(values), {"surface_0": surface.astype(np.float32)}
    for span in spans:
        total, weight, out = np.zeros(values.shape[1:]), np.zeros(values.shape[1:]), np.empty(values.shape, np.float32)
        for t in range(len(values)):
            fade = np.exp(-step[t - 1] / span) if t else 1.0
            total = fade * total + np.where(there[t], values[t], 0)
            weight = fade * weight + there[t]
            with np.errstate(invalid="ignore"):
                out[t] = total / weight  # missing until the first value
        found[f"surface_{span:g}"] = surface.copy(data=out)
    return xr.Dataset({name: one.rename(name) for name, one in found.items()})


def located(covariates):
    """Covariates with latitude and longitude among them: a model that knows where it is may learn places by heart."""
    shape = (covariates.sizes["y"], covariates.sizes["x"])
    land = land_of(covariates)
    place = {"latitude": np.broadcast_to(covariates["y"].values[:, None], shape),
             "longitude": np.broadcast_to(covariates["x"].values, shape)}
    return covariates.assign({name: (("y", "x"), np.where(land, v, np.nan).astype(np.float32))
                              for name, v in place.items()})


def land_of(covariates):
    """Pixels of land, (y, x) bool: where each layer of the ground, one without time, has a value; else any layer."""
    ground = [one for one in covariates.values() if set(one.dims) == {"y", "x"}]
    if ground:
        found = np.logical_and.reduce([one.transpose("y", "x").notnull().values for one in ground])
    else:
        found = np.logical_or.reduce([one.notnull().any("time").transpose("y", "x").values
                                      for one in covariates.values() if {"y", "x"} <= set(one.dims)])
    if not found.any():
        raise InputError("no pixel has all layers of the ground; look at the covariates")
    return found


def means(covariates, coarse, *, land=None, least=0.1):
    """Means of fine covariates over the land of coarse cells: what a model learns from.

    covariates  Dataset of (time, y, x), (y, x) or (time) on the fine grid
    coarse      DataArray or Dataset (time, y, x), daily; if it has the surface, its lags are added (``surface_lags``),
                as means of their smooth fields
    land        (y, x) bool; default ``land_of``
    least       share of a cell's land that must have a value [-]
    returns     Dataset on the coarse grid, and of the days of the covariates
    raises      InputError as ``grid``, and for a day without coarse moisture
    """
    one = grid(covariates, coarse)
    land = land_of(covariates) if land is None else np.asarray(land, bool)
    found = {name: one.block_mean(layer, land, least=least) if "y" in layer.dims else layer
             for name, layer in covariates.items()}
    for name, lag in lags_of(coarse, covariates["time"]).items():
        found[name] = one.block_mean(one.smooth(lag, land), land)
    return xr.Dataset(found).drop_attrs()


def lags_of(coarse, time):
    """Lags of the surface on given days, on the coarse grid; none where the coarse product has no surface."""
    if not isinstance(coarse, xr.Dataset) or "surface" not in coarse:
        return {}
    return dict(on_days(surface_lags(coarse["surface"].load()), time).items())


def on_days(coarse, time):
    lost = ~np.isin(time.values, coarse["time"].values)
    if lost.any():
        raise InputError(f"there is no coarse moisture of {pd.Timestamp(time.values[lost][0]):%Y-%m-%d}"
                         + (f" and {lost.sum() - 1} more days" if lost.sum() > 1 else "")
                         + "; give covariates of days that it has")
    return coarse.sel(time=time.values)


def layer_of(coarse, layer):
    """One layer of the coarse product, checked."""
    if isinstance(coarse, xr.Dataset):
        if layer not in coarse:
            raise InputError(f"the coarse moisture has no '{layer}'{near(layer, list(coarse))}")
        if set(LAYERS) <= set(coarse):
            check_layers(coarse)
        coarse = coarse[layer]
    check_moisture(coarse, layer)
    return coarse.transpose("time", "y", "x")


def stacked(layers, columns, land):
    """Layers at land pixels, one after the other, float32: (column, time × pixel), time first.

    layers   Dataset of (time, y, x), (y, x) or (time), all of the same days
    columns  names, in their order
    land     (y, x) bool
    raises   InputError for a column that is not there
    """
    for name in columns:
        if name not in layers:
            raise InputError(f"the covariates have no '{name}'{near(name, list(layers))}")
    out = np.empty((len(columns), layers.sizes["time"], int(land.sum())), np.float32)
    for k, name in enumerate(columns):
        layer = layers[name]
        if "y" not in layer.dims:
            out[k] = layer.values[:, None]
        elif "time" in layer.dims:
            out[k] = layer.transpose("time", "y", "x").values[:, land]
        else:
            out[k] = layer.transpose("y", "x").values[land]
    return out.reshape(len(columns), -1)
