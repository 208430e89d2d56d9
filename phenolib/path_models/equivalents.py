"""Models that no data can tell apart."""

import pandas as pd

from phenolib.errors import InputError
from phenolib.path_models import text

MOST = 200


def equivalent(description, *, most=MOST):
    """Models with paths turned round that imply the same covariances, and so have the same χ² on any data.

    An arrow a → b may be turned where b has the causes of a, and a itself, and no others (a covered arrow); doing so
    again and again reaches every model without cycles that is equivalent (Chickering 1995). Covariances of exogenous
    columns take part as arrows whose direction is free. An arrow at a variable whose residual covaries with another is
    left as it is: turning it may change the model, so with '~~' between outcomes the list is right, but may be short.

    description  model text of columns: '~' and '~~' alone, no way back along the arrows
    most         models at most
    returns      DataFrame: model (text), reversed (arrows turned, as 'a -> b'), n_reversed; fewest first, one for each
                 set of turned arrows, without the model itself
    raises       InputError for latent variables, cycles, and fixed or labelled paths

    >>> equivalent("m ~ x" + chr(10) + "y ~ m")["model"].tolist()
    ['x ~ m; y ~ m', 'm ~ y; x ~ m']
    """
    read = text.read(description)
    if read.latent:
        raise InputError(f"equivalents are found for columns alone; '{read.latent[0]}' is a latent variable")
    loop = read.cyclic()
    if loop:
        raise InputError(f"equivalents are found for models without cycles; '{loop}' is its own cause")
    for t in read.terms:
        if t.value is not None or t.label:
            raise InputError(f"equivalents are found for free paths; '{t}' is fixed or labelled")
    outside = list(read.exogenous)
    spouses = {n for t in read.terms if t.op == "~~" and t.written and t.lval != t.rval
               and not {t.lval, t.rval} <= set(outside) for n in (t.lval, t.rval)}
    free = frozenset((a, b) for k, a in enumerate(outside) for b in outside[k + 1:])
    start = frozenset(read.arrows) | free
    pairs = {frozenset(p) for p in free}
    residual = [f"{t.lval} ~~ {t.rval}" for t in read.terms if t.op == "~~" and t.written and t.lval != t.rval
                and not {t.lval, t.rval} <= set(outside)]
    seen, open_ = {start}, [start]
    while open_ and len(seen) < 50 * most:
        graph = open_.pop(0)
        for cause, effect in sorted(graph):
            if cause in spouses or effect in spouses:
                continue
            if causes(graph, effect) == causes(graph, cause) | {cause}:
                turned = graph - {(cause, effect)} | {(effect, cause)}
                if turned not in seen:
                    seen.add(turned)
                    open_.append(turned)
    models = {}
    for graph in seen:
        changed = tuple(sorted(f"{a} -> {b}" for a, b in read.arrows if (b, a) in graph))
        arrows, both = shown(graph, pairs)
        model = (sum(frozenset(a) in pairs for a in arrows), written(arrows, both, residual))
        models[changed] = min(model, models.get(changed, model))  # exogenous columns stay so where they can
    models.pop((), None)
    rows = sorted(models.items(), key=lambda item: (len(item[0]), item[0]))[:most]
    return pd.DataFrame([(m, ", ".join(c), len(c)) for c, (_, m) in rows], columns=["model", "reversed", "n_reversed"])


def causes(graph, name):
    """All that has an arrow to a name."""
    return {a for a, b in graph if b == name}


def shown(graph, pairs):
    """Arrows of a graph, less those between exogenous columns that may as well be covariances, and these."""
    both = {(a, b) for a, b in graph if frozenset((a, b)) in pairs and causes(graph, b) == causes(graph, a) | {a}}
    changed = True
    while changed:  # a covariance needs the same causes on both sides once the other covariances are no arrows
        arrows = graph - both
        wrong = {(a, b) for a, b in both if causes(arrows, a) != causes(arrows, b)}
        changed = bool(wrong)
        both -= wrong
    return graph - both, both


def written(arrows, both, residual):
    """A graph as text; covariances of exogenous columns come by themselves and stay out."""
    effects = sorted({b for _, b in arrows})
    lines = [f"{b} ~ {' + '.join(sorted(causes(arrows, b)))}" for b in effects]
    lines += [" ~~ ".join(sorted(p)) for p in sorted(both) if set(p) & set(effects)]
    return "; ".join([*lines, *residual])
