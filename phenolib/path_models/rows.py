"""Rows of a table made ready for a model: columns checked, missing values treated, moments of groups and clusters."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.path_models.moments import SINGULAR, Block

MISSING = ("raise", "drop", "fiml")


@dataclass(frozen=True)
class Rows:
    """The part of a table that a model uses.

    columns  (p,) names
    values   (n, p) float, NaN only with missing = "fiml"
    group    (n,) place among the groups;  groups their names, ("",) without
    cluster  (n,) place among the clusters, None without
    dropped  rows left out for missing values
    table    the same rows with all columns, None where there are none
    """

    columns: tuple
    values: np.ndarray
    group: np.ndarray
    groups: tuple
    cluster: np.ndarray | None
    dropped: int
    table: pd.DataFrame | None = None


def prepare(data, columns, *, groups=None, cluster=None, missing="raise", standardize=False):
    """The Rows of a table. Arguments as in ``path_models.fit``; raises InputError for what a model cannot use."""
    if not isinstance(data, pd.DataFrame):
        raise InputError(f"the data are {type(data).__name__}; give a DataFrame with a column for each variable")
    if missing not in MISSING:
        raise InputError(f"missing = '{missing}'; give 'raise', 'drop' or 'fiml'")
    values = np.column_stack([numbers(data, name) for name in columns])
    codes = {}
    for role, name in (("groups", groups), ("cluster", cluster)):
        if name is None:
            continue
        known(data, name)
        if data[name].isna().any():
            raise InputError(f"column '{name}' ({role}) has {int(data[name].isna().sum())} rows without a value; "
                             "leave them out")
        codes[role] = data[name].to_numpy()
    gone = np.isnan(values)
    if missing == "raise" and gone.any():
        worst = int(gone.sum(0).argmax())
        raise InputError(f"column '{columns[worst]}' has {int(gone[:, worst].sum())} rows without a value, "
                         f"{int(gone.any(1).sum())} of {len(values)} rows lack some; leave them out with "
                         "missing='drop', or use them with missing='fiml'")
    keep = ~(gone.all(1) if missing == "fiml" else gone.any(1))
    if not keep.any():
        raise InputError(f"no row has a value in each of the columns {listed(columns)}; give rows that have")
    values = values[keep]
    names, group = ("",), np.zeros(len(values), int)
    if "groups" in codes:
        found, group = np.unique(codes["groups"][keep], return_inverse=True)
        names = tuple(f"{x:g}" if isinstance(x, float) else str(x) for x in found)
        if len(names) < 2:
            raise InputError(f"column '{groups}' has one value, '{names[0]}'; give at least two groups, or none")
    if standardize is not False:
        chosen = columns if standardize is True else tuple(standardize)
        for name in chosen:
            if name not in columns:
                raise InputError(f"standardize names '{name}', which is not in the model{near(name, columns)}")
        here = [columns.index(name) for name in chosen]
        spread = np.nanstd(values[:, here], axis=0)
        values[:, here] = (values[:, here] - np.nanmean(values[:, here], axis=0)) / np.where(spread > 0, spread, 1.0)
    cluster = np.unique(codes["cluster"][keep], return_inverse=True)[1] if "cluster" in codes else None
    rows = Rows(tuple(columns), values, group, names, cluster, int((~keep).sum()), data[keep])
    for k, name in enumerate(names):
        varying(rows, values[group == k], f" in group '{name}'" if name else "")
    return rows


def known(data, name):
    """Raises InputError for a column that is not in the data, or there twice."""
    if name not in data.columns:
        raise InputError(f"the data have no column '{name}'{near(name, data.columns)}")
    if isinstance(data[name], pd.DataFrame):
        raise InputError(f"the data have the column '{name}' twice; leave one out")


def numbers(data, name):
    """A column as float (n,)."""
    known(data, name)
    column = data[name]
    kind = column.dtype
    if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
        example = column.dropna().iloc[0] if column.notna().any() else ""
        raise InputError(f"column '{name}' holds '{kind}', e.g. '{example}'; give numbers, a class as 0 and 1")
    values = column.to_numpy(float, na_value=np.nan)
    if not (values == values).any():
        raise InputError(f"column '{name}' has no value at all; leave it out of the model")
    if np.isinf(values).any():
        raise InputError(f"column '{name}' has {int(np.isinf(values).sum())} infinite values; make them missing")
    return values


def varying(rows, values, where):
    """Raises InputError for constant columns and for columns that are a sum of others."""
    spread, count = np.nanstd(values, axis=0), np.isfinite(values).sum(0)
    size = np.nanmax(np.abs(values), axis=0)
    for k, name in enumerate(rows.columns):
        if count[k] < 2 or not spread[k] > 1e-12 * max(size[k], 1e-300):
            raise InputError(f"column '{name}' is constant{where}; leave it out of the model")
    whole = values[np.isfinite(values).all(1)]
    if len(whole) <= len(rows.columns):
        return  # too few rows are told with the number of parameters
    apart = np.std(whole, axis=0)
    if (apart > 0).all():
        tied = collinear(np.cov(whole, rowvar=False, ddof=0))
        if tied.size:
            names = [rows.columns[k] for k in tied]
            raise InputError(f"the columns {listed(names)} are perfectly collinear{where}; leave one of them out")


def collinear(cov):
    """Places of the columns that depend on each other linearly; empty where covariances are positive definite."""
    size = np.sqrt(np.diag(cov))
    values, vectors = np.linalg.eigh(cov / (size[:, None] * size))
    return np.flatnonzero(np.abs(vectors[:, 0]) > 1e-3) if values[0] < SINGULAR else np.array([], int)


def listed(names):
    """'a', 'b' and 'c'."""
    names = [f"'{n}'" for n in names]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


@dataclass(frozen=True)
class Piece:
    """Sums over the rows of each unit that have values in the same columns; columns centred and in SDs.

    group, seen  as of ``moments.Block``
    place        (u,) which units have such rows
    sums         (u, 1 + o + o²) number, sum and sum of products
    middle, scale   (o,) what was taken off, and the SDs
    """

    group: int
    seen: np.ndarray
    place: np.ndarray
    sums: np.ndarray
    middle: np.ndarray
    scale: np.ndarray

    def weighed(self, weights):
        """The Block of data sets in which each unit occurs so often; weights (b, unit)."""
        sums = weights[:, self.place] @ self.sums
        n, o = sums[:, 0], self.seen.size
        sums = sums[:, 1:] / np.maximum(n, 1)[:, None]
        mean = sums[:, :o]
        cov = sums[:, o:].reshape(-1, o, o) - mean[:, :, None] * mean[:, None, :]
        return Block(self.group, self.seen, n, self.middle + mean * self.scale,
                     cov * (self.scale[:, None] * self.scale), self.scale)


def pieces(rows, unit):
    """Sums of each group, and of each pattern of values that are there, by unit.

    rows     Rows
    unit     (n,) place of each row among the units that are drawn together
    returns  list of Piece
    """
    middle, scale = np.nanmean(rows.values, axis=0), np.nanstd(rows.values, axis=0)
    patterns, member = np.unique(np.column_stack([rows.group, np.isfinite(rows.values)]), axis=0, return_inverse=True)
    found = []
    for k, pattern in enumerate(patterns):
        mine, seen = np.flatnonzero(member.ravel() == k), np.flatnonzero(pattern[1:])
        mine = mine[np.argsort(unit[mine], kind="stable")]
        x = (rows.values[mine][:, seen] - middle[seen]) / scale[seen]
        place, first = np.unique(unit[mine], return_index=True)
        each = np.column_stack([np.ones(len(x)), x, (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)])
        found.append(Piece(int(pattern[0]), seen, place, np.add.reduceat(each, first), middle[seen], scale[seen]))
    return found


def blocks(rows):
    """Moments of each group, and of each pattern of values that are there: list of Block with one data set."""
    return [piece.weighed(np.ones((1, 1))) for piece in pieces(rows, np.zeros(len(rows.values), int))]
