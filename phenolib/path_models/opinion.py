"""The same model fitted by another library."""

import numpy as np
import pandas as pd

from phenolib.errors import InputError
from phenolib.path_models import text
from phenolib.path_models.quantities import described

TIGHT = {"ftol": 1e-12, "maxiter": 2000}  # its defaults stop early, up to half a per cent off


def by_semopy(result):
    """Estimates of semopy 2.3 beside ours: another library, another way to the largest likelihood.

    semopy is asked for estimates and their standard errors alone. Its likelihood, AIC and BIC are not those of the
    model (a worse one has better ones), so that they are not told.

    result   PathModel of one group without missing values
    returns  DataFrame: lval, op, rval, estimate, se, semopy, semopy_se, difference (of the estimates in SEs)
    raises   InputError for groups or missing values, and for a covariance of residuals between an outcome that causes
             something and one that does not: semopy 2.3 takes this for a covariance of the variables themselves, which
             is another model

    Igolkina & Meshcheryakov (2020).
    """
    import semopy

    description, rows = result.description, result.rows
    if len(rows.groups) > 1 or np.isnan(rows.values).any():
        raise InputError("semopy is compared with models of one group without missing values; leave groups= and "
                         "missing='fiml' out")
    for t in description.terms:
        if t.op == "~~" and t.lval != t.rval and len({causal(description, n) for n in (t.lval, t.rval)}) == 2:
            raise InputError(f"semopy takes '{t}' for another model, as one of the two is a cause and the other is not")
    labels = {t: f"p{k}" for (_, t), k in result.places.items()}
    model = semopy.Model(text.written(description, labels))
    model.fit(pd.DataFrame(rows.values, columns=list(rows.columns)), options=TIGHT)
    told = model.inspect()
    theirs = {}
    for row in told.itertuples(index=False):
        values = [pd.to_numeric(x, errors="coerce") for x in (row.Estimate, row[4])]
        theirs[(row.op, *(sorted((row.lval, row.rval)) if row.op == "~~" else (row.lval, row.rval)))] = values
    found = []
    ours = result.paths.set_index(["lval", "op", "rval"])
    for t in described(description):
        if t.value is None:
            key = ("~~", *sorted((t.lval, t.rval))) if t.op == "~~" else ("~", *t.arrow[::-1])
            mine = ours.loc[(t.lval, t.op, t.rval)]
            found.append((t.lval, t.op, t.rval, mine["estimate"], mine["se"], *theirs[key]))
    table = pd.DataFrame(found, columns=["lval", "op", "rval", "estimate", "se", "semopy", "semopy_se"])
    return table.assign(difference=(table["semopy"] - table["estimate"]) / table["se"])


def causal(description, name):
    """Whether a variable is a cause of another, or latent."""
    return name in description.latent or any(t.arrow[0] == name for t in description.terms if t.op != "~~")
