"""Intervals that hold their level on new groups, from residuals of groups that no network was trained on."""

import numpy as np

from phenolib.errors import InputError


def quantile(residuals, groups, level):
    """The half-width that holds a new sample of a new group with the probability ``level`` (split conformal).

    q = the smallest r with  Σₖ 1/(K+1) · (share of group k with |residual| ≤ r)  ≥  level

    Each of the K calibration groups counts the same, however many samples it has; the new group is the (K+1)th and
    counts as beyond all. With one residual a group this is the ⌈(K+1) · level⌉th of them in order. The highest level
    that K groups can hold is K/(K+1): five sites reach 5/6.

    residuals  (n,) found − reference of the calibration groups, in any unit, or that over a σ̂ that is known for each
               new sample too; missing ones are left out
    groups     (n,) labels, e.g. the cluster of sites; groups must be exchangeable with those to come
    level      probability that an interval is to hold [-]
    returns    half-width in the unit of the residuals; infinite where the groups are too few for the level
    raises     InputError for a level outside 0–1, or residuals and groups of different length

    Lei et al. (2018) for the split; Lee, Barber & Willett (2023) for the weights of groups.

    >>> quantile([1, -2, 3, 4, 5], ["a", "b", "c", "d", "e"], 0.8)
    5.0
    >>> quantile([1, -2, 3, 4, 5], ["a", "b", "c", "d", "e"], 0.9)
    inf
    """
    residuals, groups = np.abs(np.asarray(residuals, float)), np.asarray(groups)
    if not 0 < level < 1 or residuals.shape != groups.shape:
        raise InputError(f"level = {level}, {residuals.size} residuals, {groups.size} groups: give a level between 0 "
                         "and 1, and a group for each residual")
    residuals, groups = residuals[np.isfinite(residuals)], groups[np.isfinite(residuals)]
    _, member, count = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(residuals)
    held = np.cumsum(1 / count[member[order]]) / (count.size + 1)
    enough = np.flatnonzero(held >= level - 1e-12)
    return float(residuals[order[enough[0]]]) if enough.size else np.inf
