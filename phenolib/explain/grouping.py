"""Inputs of the salinity models in groups, and where a group stands among columns and channels."""

import numpy as np
import pandas as pd

from phenolib import indices
from phenolib.errors import InputError, near
from phenolib.salinity import BANDS, LAYERS, SALINITY, VEGETATION

INPUTS = (*BANDS, *VEGETATION, *SALINITY, *LAYERS)
SPECTRAL = {"SWIR": ("B11", "B12"), "red edge": ("B05", "B06", "B07"), "greenness": ("B08", "B8A"),
            "visible": ("B02", "B03", "B04")}  # an index stands with the first of these that has one of its bands
SPATIAL = {"elevation": ("dem",), "relief": ("slope", "profile", "plan"), "LSWI": ("lswi",), "NDWI": ("ndwi",),
           "SOS": ("sos",), "GUS": ("gus",), "SDPS": ("sdps",)}
ORDER = ("visible", "red edge", "greenness", "SWIR", *SPATIAL)
NAMES = {"bands": BANDS, "indices": (*VEGETATION, *SALINITY), "ndvi": ("NDVI",), "window": LAYERS, "patch": LAYERS}


def groups(inputs=INPUTS, *, joined=None):
    """The inputs in groups that stay or go together.

    An index stands in the first of SWIR, red edge, greenness (near infrared) and visible that has one of its bands, so
    that indices that are functions of one another, and pairs that differ in their form alone, are in one group, and no
    red-edge or SWIR band is read by an index of another group. The channels of the window stand alone, but for the
    slope and the two curvatures, which are relief.

    No grouping parts the inputs wholly. NDRE and CIre read B08 beside the red edge and MTCI reads B04; greenness reads
    visible bands; the channels lswi and ndwi are made of bands of SWIR, greenness and visible (``shared`` lists all).
    It is accepted because a group is then everything that needs its bands: without it nothing of them is left among the
    bands and indices. What two groups both tell is in neither's rise of error, and is split between them by Shapley
    values. Where that matters, join them: joined={"water": ("SWIR", "LSWI")}.

    inputs   names of inputs; default ten bands, 35 indices and nine channels. Groups without any are left out.
    joined   {new group: groups that it takes the place of}
    returns  {group: list of inputs}, each input in one group
    raises   InputError for an input or a group that is not known

    >>> groups(["B04", "B08", "NDVI", "MTCI", "dem"])
    {'visible': ['B04'], 'red edge': ['MTCI'], 'greenness': ['B08', 'NDVI'], 'elevation': ['dem']}
    """
    found = {name: [] for name in ORDER}
    for name in inputs:
        found[_home(name)].append(name)
    found = {name: members for name, members in found.items() if members}
    for new, parts in (joined or {}).items():
        for part in parts:
            if part not in found:
                raise InputError(f"group '{part}' is not there to be joined{near(part, found)}")
        members = [member for part in parts for member in found.pop(part)]
        if new in found:
            raise InputError(f"there is a group '{new}' beside those that are joined; give another name")
        found[new] = members
    return found


def shared(grouped=None):
    """Inputs that read a band of another group.

    grouped  as ``groups`` gives; default that of all inputs
    returns  DataFrame: input, group, band, other (the group of that band)
    """
    grouped = groups() if grouped is None else grouped
    at = {name: group for group, members in grouped.items() for name in members}
    rows = [(name, group, band, at[band]) for name, group in at.items() for band in _bands(name)
            if at.get(band, group) != group]
    return pd.DataFrame(rows, columns=["input", "group", "band", "other"])


def _home(name):
    for group, members in {**SPATIAL, **SPECTRAL}.items():
        if name in members:
            return group
    if name not in indices.TABLE:
        raise InputError(f"input '{name}' is in no group{near(name, INPUTS)}")
    wanted = indices.needs(name)
    for group, members in SPECTRAL.items():
        if set(members) & set(wanted):
            return group
    raise InputError(f"index '{name}' reads {', '.join(wanted)}, which are in no group{near(name, INPUTS)}")


def _bands(name):
    name = {"lswi": "LSWI", "ndwi": "NDWI"}.get(name, name)
    return indices.needs(name) if name in indices.TABLE else ()


def places(labels, grouped):
    """Columns of each group: by the longest input that a label is, or begins with before an underscore."""
    at = {name: g for g, members in enumerate(grouped.values()) for name in members}
    found = [[] for _ in grouped]
    for k, label in enumerate(map(str, labels)):
        fits = [name for name in at if label == name or label.startswith(f"{name}_")]
        if not fits:
            raise InputError(f"column '{label}' belongs to no group{near(label, at)}")
        found[at[max(fits, key=len)]].append(k)
    for group, place in zip(grouped, found):
        if not place:
            raise InputError(f"group '{group}' has no column; make groups of the inputs that the model reads")
    return [np.array(place, int) for place in found]


def labels_of(inputs, names):
    """Names of all columns or channels, in order."""
    if isinstance(inputs, pd.DataFrame):
        return tuple(inputs.columns)
    labels = []
    for key, values in inputs.items():
        known = {**NAMES, **(names or {})}
        if key not in known:
            raise InputError(f"the channels of input '{key}' have no names{near(key, known)}")
        if len(known[key]) != channels(values):
            raise InputError(f"input '{key}' has {channels(values)} channels and {len(known[key])} names; give names")
        labels += known[key]
    return tuple(labels)


def channels(values):
    return 1 if values.ndim == 1 else values.shape[1]


def count(inputs):
    return len(inputs) if isinstance(inputs, pd.DataFrame) else len(next(iter(inputs.values())))


def take(inputs, rows):
    if isinstance(inputs, pd.DataFrame):
        return inputs.iloc[rows].reset_index(drop=True)
    return {key: values[rows] for key, values in inputs.items()}


def swapped(inputs, others, place, labels):
    """Inputs with the columns ``place`` from others."""
    if isinstance(inputs, pd.DataFrame):
        return pd.DataFrame({k: (others if k in place else inputs).iloc[:, k].to_numpy()
                             for k in range(len(labels))}).set_axis(inputs.columns, axis=1)
    result, start = {}, 0
    for key, values in inputs.items():
        own = place[(place >= start) & (place < start + channels(values))] - start
        start += channels(values)
        if own.size:
            values = values.copy()
            if values.ndim == 1:
                values[:] = others[key]
            else:
                values[:, own] = others[key][:, own]
        result[key] = values
    return result


def of_length(values, n, what="labels of blocks"):
    """The values as an array; InputError where there are not n of them."""
    values = np.asarray(values)
    if values.shape != (n,):
        raise InputError(f"{values.size} {what} for {n} samples; give one for each")
    return values
