"""Tables of the places of an archive, such as sites.csv, and which of them lie close together."""

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near

SITE_COLUMNS = ("site", "lon", "lat", "cluster", "crop", "split")
SAME_CLUSTER = 5.0  # km; the fields of one farm or research station


def read(path):
    """A table of places: site, lon, lat [degrees], cluster, crop, split ("" where not told), then its other columns.

    raises   InputError for a missing column, a place that is no number, or a site that is there twice
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in ("site", "lon", "lat"):
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, table.columns)}")
    for name in ("lon", "lat"):
        values = pd.to_numeric(table[name], errors="coerce")
        if values.isna().any():
            row = int(values.isna().to_numpy().argmax())
            raise InputError(f"{path.name}: line {row + 2} has {name} = '{table[name][row]}'; degrees are expected")
        table[name] = values
    twice = table["site"][table["site"].duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: the site '{twice.iloc[0]}' is there twice; keep one row per site")
    missing = {c: "" for c in SITE_COLUMNS if c not in table}
    table = table.assign(**missing)
    table["cluster"] = table["cluster"].where(table["cluster"] != "", table["site"])
    return table[[*SITE_COLUMNS, *table.columns.difference(SITE_COLUMNS, sort=False)]]


def clusters(places):
    """Name of each site's cluster: connected sites within ``SAME_CLUSTER`` km, named by the first of them."""
    lon, lat = np.radians(places["lon"].to_numpy(float)), np.radians(places["lat"].to_numpy(float))
    half = (np.sin((lat[:, None] - lat) / 2) ** 2
            + np.cos(lat[:, None]) * np.cos(lat) * np.sin((lon[:, None] - lon) / 2) ** 2)
    near_by = 2 * 6371.0 * np.arcsin(np.sqrt(half)) <= SAME_CLUSTER
    first = np.arange(len(places))
    for _ in range(len(places)):
        lower = np.where(near_by | np.eye(len(places), dtype=bool), first, len(places)).min(axis=1, initial=len(places))
        if (lower == first).all():
            break
        first = lower
    return places["site"].to_numpy()[first]
