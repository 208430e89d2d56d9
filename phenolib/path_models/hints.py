"""What a model leaves out: score tests of missing paths and covariances."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import chi2

from phenolib.path_models import moments
from phenolib.path_models.layouts import cell, names_of
from phenolib.path_models.text import Term


def hints(result, *, least=3.84, most=20):
    """What χ² would lose by each path or covariance that the model leaves out, without fitting it.

    score = s² / (I_aa − I_aθ I_θθ⁻¹ I_θa) ~ χ²(1),  epc = s / (I_aa − …), the estimate that is to be expected

    With many candidates some are large by chance; one that theory does not name is a hint, and no result.

    result   PathModel
    least    smallest score that is told
    most     rows at most
    returns  DataFrame by falling score: group, lval, op, rval, score, p, epc, epc_std, loop (the path would lead back
             to where it starts). Those that the data cannot tell from what is in the model are left out.

    Sörbom (1989).
    """
    description, system = result.description, result.system
    names = names_of(description, result.rows.columns)
    place = {n: k for k, n in enumerate(names)}
    rows = []
    for g, layout in enumerate(system.layouts):
        terms = candidates(description)
        kinds = np.array(["S" if t.op == "~~" else "A" for t in terms])
        cells = np.array([cell(t, place) for t in terms]).reshape(-1, 2)
        new = system.size + np.arange(len(terms))
        more = {"kind": kinds, "row": cells[:, 0], "col": cells[:, 1], "parameter": new}
        wider = replace(layout, **{k: np.concatenate([getattr(layout, k), v]) for k, v in more.items()})
        whole = moments.System((*system.layouts[:g], wider, *system.layouts[g + 1:]), system.size + len(terms),
                               system.means)
        at_rest = [t.value or 0.0 for t in terms]
        theta = np.concatenate([result.theta, at_rest])[None]
        _, slope, information = moments.likelihood(whole, theta, result.blocks)
        old = slice(0, system.size)
        across = information[0, old, system.size:]
        own = np.diag(information[0])[system.size:]
        left = own - (across * np.linalg.solve(information[0, old, old], across)).sum(0)
        covariance = moments.implied(layout, result.theta[None])[0][0]
        residual = moments.matrices(layout, result.theta[None])[1][0]
        for k, t in enumerate(terms):
            if not left[k] > 1e-6 * own[k]:
                continue
            i, j = cells[k]
            change = slope[0, system.size + k] / left[k]
            scale = (np.sqrt(covariance[j, j] / covariance[i, i]) if t.op != "~~"
                     else 1 / np.sqrt(abs(residual[i, i] * residual[j, j])))
            score = slope[0, system.size + k] ** 2 / left[k]
            rows.append((result.rows.groups[g], t.lval, t.op, t.rval, score, chi2.sf(score, 1), change, change * scale,
                         back(description, t)))
    table = pd.DataFrame(rows, columns=["group", "lval", "op", "rval", "score", "p", "epc", "epc_std", "loop"])
    table = table[table["score"] >= least].sort_values("score", ascending=False, kind="stable")
    return table.head(most).reset_index(drop=True)


def candidates(description):
    """Terms that are not in a model, and those that are fixed at a value other than that of a scale.

    Paths between all that is on either side of a '~', loadings of the indicators on other latent variables, and
    covariances of two residuals; none of exogenous columns whose moments are given.
    """
    there = {t.arrow for t in description.terms if t.op != "~~"}
    both = {frozenset((t.lval, t.rval)) for t in description.terms if t.op == "~~"}
    inner = dict.fromkeys(n for t in description.terms if t.op == "~" for n in (t.rval, t.lval))
    inner.update(dict.fromkeys(n for n in description.latent))
    outside = set(description.exogenous) if description.fixed else set()
    found = [Term(t.lval, t.op, t.rval, None, t.value) for t in description.terms if t.value == 0 and t.written
             and t.lval != t.rval]
    indicators = dict.fromkeys(t.rval for t in description.terms if t.op == "=~" and t.rval not in description.latent)
    for latent in description.latent:
        found += [Term(latent, "=~", n) for n in indicators if (latent, n) not in there]
    for effect in inner:
        found += [Term(effect, "~", cause) for cause in inner if cause != effect and (cause, effect) not in there
                  and not {cause, effect} <= outside and (effect not in outside)]
    everything = [n for n in dict.fromkeys([*indicators, *inner]) if n not in outside]
    for k, first in enumerate(everything):
        found += [Term(first, "~~", second) for second in everything[k + 1:] if frozenset((first, second)) not in both]
    return found


def back(description, term):
    """Whether a path would lead back to where it starts."""
    if term.op == "~~":
        return False
    after, open_ = set(), [term.arrow[1]]
    while open_:
        here = open_.pop()
        more = {t.arrow[1] for t in description.terms if t.op != "~~" and t.arrow[0] == here} - after
        after |= more
        open_ += more
    return term.arrow[0] in after
