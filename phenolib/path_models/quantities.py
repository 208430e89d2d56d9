"""What is told about a model: its paths, its routes and their sums, raw and in SDs, for any number of estimates."""

import numpy as np
import pandas as pd

from phenolib.path_models import moments
from phenolib.path_models.layouts import cell

ROUTES = 2000  # beyond them only sums are told


def path_table(description, groups, columns, *, means=False):
    """One row for each arrow and covariance that is not given: group, lval, op, rval."""
    rows = [(g, t.lval, t.op, t.rval) for g in groups for t in described(description)]
    rows += [(g, name, "~1", "") for g in groups for name in columns if means]
    return pd.DataFrame(rows, columns=["group", "lval", "op", "rval"])


def described(description):
    """Terms whose estimates are told."""
    return [t for t in description.terms if not t.given]


def path_values(description, system, theta):
    """Estimates of ``path_table``, raw and standardised by the implied SDs, for theta (b, k); twice (b, row).

    An arrow is standardised by SD(cause) / SD(effect), a covariance by both residual SDs, a variance by the variance
    of its variable, an intercept by the SD of its variable (``std.all`` of lavaan).
    """
    raw, standardised, intercepts, scaled = [], [], [], []
    for layout in system.layouts:
        a, s, m = moments.matrices(layout, theta)
        whole, _ = moments.implied(layout, theta)
        sd = np.sqrt(np.abs(np.einsum("bii->bi", whole)))
        own = np.sqrt(np.abs(np.einsum("bii->bi", s)))
        place = {n: k for k, n in enumerate(layout.names)}
        for t in described(description):
            i, j = cell(t, place)
            if t.op == "~~":
                divisor = sd[:, i] ** 2 if i == j else own[:, i] * own[:, j]
                raw.append(s[:, i, j])
                standardised.append(np.divide(raw[-1], divisor, out=np.zeros(len(theta)), where=divisor > 0))
            else:
                raw.append(a[:, i, j])
                standardised.append(raw[-1] * sd[:, j] / sd[:, i])
        if system.means:
            intercepts += list(m[:, :layout.columns].T)
            scaled += list((m / sd)[:, :layout.columns].T)
    return np.array(raw + intercepts).T, np.array(standardised + scaled).T


def routes(description):
    """Every way along the paths '~' from a cause to an outcome, without passing a variable twice; tuples of names.

    returns  list of tuples, shortest first, [] where there are more than 2000
    """
    after = {}
    for cause, effect in description.arrows:
        after.setdefault(cause, []).append(effect)
    found, open_ = [], [(name,) for name in after]
    while open_:
        found += [r for r in open_ if len(r) > 1]
        if len(found) > ROUTES:
            return []
        open_ = [(*r, name) for r in open_ for name in after.get(r[-1], []) if name not in r]
    return found


def effect_table(description, groups):
    """One row for each route, each sum of indirect routes and each total effect: group, source, target, kind, route.

    kind is "direct", "indirect" (one route), "sum" (all indirect routes) or "total". Exogenous sources come first.
    """
    ways = [] if description.cyclic() else routes(description)
    before, after = {}, {}
    for cause, effect in description.arrows:
        after.setdefault(cause, []).append(effect)
        before.setdefault(effect, []).append(cause)
    order = sorted(after, key=lambda n: n in before)
    rows = []
    for source in order:
        for target in before:
            mine = [r for r in ways if r[0] == source and r[-1] == target]
            reached = mine or target in reach(after, source)
            if source == target or not reached:
                continue
            for r in mine:
                rows.append((source, target, "direct" if len(r) == 2 else "indirect", " -> ".join(r)))
            if not mine and target in after.get(source, []):
                rows.append((source, target, "direct", f"{source} -> {target}"))
            if any(len(r) > 2 for r in mine) or not mine:
                rows.append((source, target, "sum", ""))
            rows.append((source, target, "total", ""))
    table = pd.DataFrame([(g, *r) for g in groups for r in rows],
                         columns=["group", "source", "target", "kind", "route"])
    return table


def reach(after, source):
    """All that lies behind a variable along the arrows."""
    found, open_ = set(), [source]
    while open_:
        more = [n for n in after.get(open_.pop(), []) if n not in found]
        found.update(more)
        open_ += more
    return found


def effect_values(description, system, theta, table):
    """Estimates of ``effect_table``, raw and standardised, for theta (b, k); twice (b, row).

    Along a route paths are multiplied; the total is (I − A)⁻¹ of the paths '~' alone, the sum of indirect ones is the
    total less the direct path.
    """
    count = len(system.layouts)
    raw, standardised = np.zeros((2, len(theta), len(table)))
    rows = list(table.itertuples())
    each = len(rows) // count
    for g, layout in enumerate(system.layouts):
        a, _, _ = moments.matrices(layout, theta)
        whole, _ = moments.implied(layout, theta)
        sd = np.sqrt(np.abs(np.einsum("bii->bi", whole)))
        place = {n: k for k, n in enumerate(layout.names)}
        paths = np.zeros_like(a)
        for cause, effect in description.arrows:
            paths[:, place[effect], place[cause]] = a[:, place[effect], place[cause]]
        totals = moments.total(paths)
        for k in range(g * each, (g + 1) * each):
            row = rows[k]
            i, j = place[row.target], place[row.source]
            if row.kind in ("total", "sum"):
                raw[:, k] = totals[:, i, j] - (paths[:, i, j] if row.kind == "sum" else 0)
            else:
                names = row.route.split(" -> ")
                raw[:, k] = np.prod([paths[:, place[e], place[c]] for c, e in zip(names[:-1], names[1:])], axis=0)
            standardised[:, k] = raw[:, k] * sd[:, j] / sd[:, i]
    return raw, standardised


def sobel(table, paths):
    """Sobel's standard error of each route, from the estimates and standard errors of its paths taken as independent.

    SE² = (product)² Σ (SEᵢ / bᵢ)²,  of two paths √(a²s_b² + b²s_a²)

    table    of ``effect_table``;  paths  with group, lval, op, rval, estimate, se
    returns  (row,) NaN for sums
    """
    known = {(r.group, r.rval, r.lval): (r.estimate, r.se) for r in paths[paths["op"] == "~"].itertuples()}
    found = np.full(len(table), np.nan)
    for k, row in enumerate(table.itertuples()):
        if row.route:
            names = row.route.split(" -> ")
            b, se = np.array([known[row.group, c, e] for c, e in zip(names[:-1], names[1:])]).T
            others = np.array([np.prod(np.delete(b, i)) for i in range(b.size)])
            found[k] = np.sqrt(((others * se) ** 2).sum())
    return found
