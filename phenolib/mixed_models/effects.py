"""What a model predicts along one predictor."""

import itertools

import numpy as np
import pandas as pd
from numpy.polynomial.hermite import hermgauss

from phenolib.errors import InputError, near
from phenolib.mixed_models import design as designs


def effects(result, term, at=None, *, points=50, level=None, over_groups=False):
    """Mean of the response along a predictor, the others as they are in the data, with its interval.

    For each value, all rows get that value; their linear predictors are averaged, and the mean is brought to the scale
    of the response. The offset is 0: a rate for one unit of exposure.

    result       of ``fit``
    term         name of a predictor (a column, not a coefficient such as crop[T.wheat])
    at           {predictor: value or list of values} that others are held at; a list gives a curve for each
    points       along a numeric predictor, from its smallest to its largest value
    level        of the interval; default that of the fit
    over_groups  False: of a typical group, random effects 0; True: mean over all groups, which is larger for the
                 logarithm as a link, and nearer to 1/2 for a probability
    returns      DataFrame: term, those of ``at`` with a list, mean, low, high in the units of the response
    raises       InputError for a predictor that the model does not have, or an unknown level
    """
    design, at = result.design, dict(at or {})
    for name in (term, *at):
        if name not in design.variables:
            raise InputError(f"the model has no predictor '{name}'{near(name, design.variables)}")
    if term in at:
        raise InputError(f"'{term}' is the predictor that is moved; leave it out of at")
    if int(points) < 2:
        raise InputError(f"points = {points}; give 2 or more")
    frame = raw(design)
    column = frame[term]
    grid = list(column.cat.categories) if isinstance(column.dtype, pd.CategoricalDtype) else np.linspace(
        column.min(), column.max(), int(points))
    lists = {name: list(v) if isinstance(v, list | tuple | np.ndarray) else [v] for name, v in at.items()}
    rows, means, spreads = [], [], []
    still = {design.offset_name: 0.0} if design.offset_name else {}
    for values in itertools.product(grid, *lists.values()):
        row = dict(zip([term, *lists], values))
        moved = designs.prepared(design, frame.assign(**row, **still))
        means.append(designs.rows_of(design.spec, moved).mean(0))
        spreads.append(spread(result, moved) if over_groups else 0.0)
        rows.append({name: v for name, v in row.items() if name == term or len(lists[name]) > 1})
    found = result.tested(np.stack(means), level)
    table = pd.DataFrame(rows)
    for name, key in (("mean", "estimate"), ("low", "low"), ("high", "high")):
        table[name] = result.units(over(result.family, found[key], np.array(spreads)))
    return table.sort_values([*[n for n in table if n in lists], term], kind="stable", ignore_index=True)


def raw(design):
    """The predictors of the fit in their own units."""
    frame = design.frame[design.variables].copy()
    for name, (mean, sd) in design.scales.items():
        frame[name] = frame[name] * sd + mean
    return frame


def spread(result, frame):
    """Mean variance of the linear predictor between groups."""
    found = 0.0
    for term, covariance in zip(result.layout.terms, result.covariances()):
        z = designs.rows_of(term.spec, frame)
        found += float(np.mean(np.einsum("na,ab,nb->n", z, covariance, z)))
    return found


def over(family, eta, variance):
    """Mean of the response where the linear predictor is N(eta, variance). (r,), (r,) → (r,)"""
    if family.link == "log":
        return family.mean(eta + variance / 2)
    point, weight = hermgauss(31)
    return family.mean(eta[:, None] + np.sqrt(2 * variance)[:, None] * point) @ weight / np.sqrt(np.pi)
