"""From a model text to the places of its parameters, and to values to start from."""

import numpy as np

from phenolib.path_models.moments import Layout, System


def names_of(description, columns):
    """Columns first, then latent variables."""
    return (*columns, *description.latent)


def keys(description, groups, equal=()):
    """The parameters of a model of several groups.

    description  Description
    groups       their number
    equal        terms that are equal in all groups
    returns      {(group, term): place}, number of parameters
    """
    places, seen = {}, {}
    for g in range(groups):
        for t in description.terms:
            if t.value is not None:
                continue
            key = (0 if t in equal else g, t.label or t)
            places[g, t] = seen.setdefault(key, len(seen))
    return places, len(seen)


def system(description, columns, groups=1, *, equal=(), means=False):
    """The System of a description; see ``moments.Layout``.

    description  Description
    columns      (p,) in the order of the moments
    groups       their number
    equal        terms whose parameters are equal in all groups
    means        whether means of the columns are parameters (last in the order)
    """
    places, size = keys(description, groups, equal)
    names = names_of(description, columns)
    place = {n: k for k, n in enumerate(names)}
    layouts = []
    for g in range(groups):
        cells = []
        arrows, covariances = np.zeros((2, len(names), len(names)))
        for t in description.terms:
            i, j = cell(t, place)
            if t.value is None:
                cells.append(("S" if t.op == "~~" else "A", i, j, places[g, t]))
            elif t.op == "~~":
                covariances[i, j] = covariances[j, i] = t.value
            else:
                arrows[i, j] = t.value
        if means:
            cells += [("m", i, i, size + g * len(columns) + i) for i in range(len(columns))]
        kind, row, col, parameter = zip(*cells)
        layouts.append(Layout(names, len(columns), np.array(kind), np.array(row), np.array(col), np.array(parameter),
                              arrows, covariances))
    return System(tuple(layouts), size + groups * len(columns) * means, means)


def cell(term, place):
    """Row and column of a term in A or S."""
    if term.op == "~~":
        return max(place[term.lval], place[term.rval]), min(place[term.lval], place[term.rval])
    cause, effect = term.arrow
    return place[effect], place[cause]


def start(description, columns, moments, places, size, *, means=False, regress=True):
    """Values to start from.

    Loadings come from the scales of the indicators, variances are half of those of the columns. With ``regress``,
    paths whose causes are columns come from least squares, and (co)variances of the residuals from these.

    description, columns, means  as in ``system``
    moments       [(mean (p,), cov (p, p))] of each group, those without a model
    places, size  of ``keys``
    regress       False: paths 0 at first; another place to start from
    returns       (k,)
    """
    theta = np.zeros(size + len(moments) * len(columns) * means)
    at = {n: k for k, n in enumerate(columns)}
    markers = {t.lval: t.rval for t in description.terms if t.op == "=~" and t.value is not None}
    slopes = [regressions(description, at, cov) if regress else {} for _, cov in moments]
    for (g, t), k in places.items():
        cov, slope = moments[g][1], slopes[g]

        def spread(name, cov=cov):
            while name in markers:
                name = markers[name]
            return np.sqrt(cov[at[name], at[name]]) if name in at else 1.0

        if t.op == "=~":
            marker = markers.get(t.lval)
            opposite = {t.rval, marker} <= set(at) and cov[at[t.rval], at[marker]] < 0
            theta[k] = (-0.7 if opposite else 0.7) * spread(t.rval) / spread(t.lval)
        elif t.op == "~":
            theta[k] = slope[t.lval][at[t.rval]] if t.lval in slope else 0.0
        elif t.given:
            theta[k] = cov[at[t.lval], at[t.rval]]
        elif t.lval in slope and t.rval in slope:
            left, right = (np.eye(len(at))[at[n]] - slope[n] for n in (t.lval, t.rval))
            theta[k] = left @ cov @ right
        elif t.lval == t.rval:
            theta[k] = 0.5 * spread(t.lval) ** 2
    if means:
        theta[size:] = np.concatenate([mean for mean, _ in moments])
    return theta


def regressions(description, at, cov):
    """{column: (p,) slopes by least squares} of the columns all of whose causes are columns."""
    found = {}
    for name in at:
        arrows = [t for t in description.terms if t.op != "~~" and t.arrow[1] == name]
        if arrows and all(t.arrow[0] in at for t in arrows):
            causes = [at[t.arrow[0]] for t in arrows]
            found[name] = np.zeros(len(at))
            found[name][causes] = np.linalg.solve(cov[np.ix_(causes, causes)], cov[causes, at[name]])
    return found
