"""From a formula and a table to the matrices of a mixed model, with every mistake told in one line."""

import re
import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near

NAMES = {"np": np}  # what a formula may call


@dataclass
class Term:
    """A random term: effects (k) that vary between the levels of a grouping.

    group    e.g. "plot:tube"; ``columns`` are the columns of the table behind it
    effects  names of the k effects
    levels   (L,) names; codes (n,) which level a row belongs to
    z        (n, k) what the effects are multiplied by
    spec     makes z for other rows
    """

    group: str
    columns: tuple
    effects: list
    levels: np.ndarray
    codes: np.ndarray
    z: np.ndarray
    spec: object


@dataclass
class Design:
    """Matrices of a model. y (n,), x (n, p), offset (n,), trials (n,); ``frame`` has the rows that are used."""

    formula: str
    response: str
    frame: pd.DataFrame
    y: np.ndarray
    x: np.ndarray
    names: list
    slices: dict
    spec: object
    terms: list
    offset: np.ndarray
    trials: np.ndarray
    offset_name: str | None = None
    trials_name: str | None = None
    dropped: int = 0
    scales: dict = field(default_factory=dict)
    response_scale: tuple = (0.0, 1.0)
    variables: list = field(default_factory=list)

    @property
    def n(self):
        return len(self.y)


def build(formula, data, groups, *, family, trials=None, offset=None, standardize=False, missing="raise"):
    """The Design of a formula; see ``phenolib.mixed_models.fit`` for the arguments."""
    if not isinstance(data, pd.DataFrame):
        raise InputError(f"data is a {type(data).__name__}; give a pandas DataFrame with one row per observation")
    if missing not in ("raise", "drop"):
        raise InputError(f"missing = '{missing}' is not known; give 'raise' or 'drop'")
    response, right, random = split(formula)
    asked = list(groups) if isinstance(groups, list | tuple) else [] if groups is None else [groups]
    pieces = [piece for text in [*random, *asked] for piece in random_pieces(text)]
    fixed = parsed(right)
    predictors = set().union(*(asked_for(text, data) for text in (right, *(effects for effects, _ in pieces))))
    variables = [*sorted(asked_for(response, data)), *sorted(predictors), *(name for _, c in pieces for name in c)]
    variables = list(dict.fromkeys([*variables, *(name for name in (trials, offset) if name)]))
    for name in variables:
        if name not in data:
            raise InputError(f"the table has no column '{name}'{near(name, data.columns)}")
    frame, dropped = complete(data[variables], missing)
    predictors = [v for v in variables if v in predictors]
    raw, frame = frame, usable(frame, predictors)
    y = vector(response, frame)
    scales, response_scale = {}, (0.0, 1.0)
    if standardize:
        frame, scales = standardized(frame, fixed, [parsed(effects) for effects, _ in pieces])
        if family.name == "gaussian":
            if offset:
                raise InputError(f"the offset '{offset}' has no place beside a standardised response; subtract it")
            response_scale = (float(y.mean()), float(y.std(ddof=1)))
            if not response_scale[1] > 0:
                raise InputError(f"the response '{response}' is the same in all rows; nothing is to be explained")
            y = (y - response_scale[0]) / response_scale[1]
    matrix = matrix_of(fixed, frame)
    counts = np.ones(len(frame)) if trials is None else numbers(frame, trials, "trials")
    family.check(y, counts, response)
    if np.ptp(y / counts) == 0:
        raise InputError(f"the response '{response}' is the same in all rows; nothing is to be explained")
    x, names = np.asarray(matrix, float), list(matrix.columns)
    for name, bad in zip(names, (~np.isfinite(x)).sum(0)):
        if bad:
            raise InputError(f"'{name}' is not finite in {bad} rows; leave them out, or leave the function out")
    collinear(x, names)
    if len(frame) <= x.shape[1] + 1:
        raise InputError(f"{len(frame)} rows are too few for {x.shape[1]} fixed effects; give more rows or fewer terms")
    terms = [random_term(effects, columns, frame, raw, family) for effects, columns in pieces]
    alike(terms)
    slices = {str(term): list(places) for term, places in matrix.model_spec.term_indices.items()}
    told = [text if "|" in text else f"1 | {text}" for text in asked]
    told = [text if text.strip().startswith("(") else f"({text})" for text in told]
    return Design(
        formula=" + ".join([" ".join(str(formula).split()), *told]), response=response, frame=frame, y=y, x=x,
        names=names, slices=slices, spec=matrix.model_spec, terms=terms, trials=counts, trials_name=trials,
        offset_name=offset, dropped=dropped, scales=scales,
        offset=np.zeros(len(frame)) if offset is None else numbers(frame, offset, "offset"),
        response_scale=response_scale, variables=predictors)


def split(formula):
    """Response, fixed part and random parts of a formula.

    >>> split("rld ~ sm * t + (1 | year) + (1 + t | plot/tube)")
    ('rld', 'sm * t', ['1 | year', '1 + t | plot/tube'])
    >>> split("sos ~ (1 | year)")
    ('sos', '1', ['1 | year'])
    """
    sides = str(formula).split("~")
    if len(sides) != 2 or not sides[0].strip() or not sides[1].strip():
        raise InputError(f"'{formula}' is no formula; write e.g. 'sos ~ moisture + crop', or with the random effects "
                         "'sos ~ moisture + (1 | year)'")
    pieces, depth, start = [], 0, 0
    right = sides[1]
    for place, sign in enumerate(right):
        depth += (sign == "(") - (sign == ")")
        if sign == "+" and depth == 0:
            pieces.append(right[start:place])
            start = place + 1
    pieces = [p.strip() for p in [*pieces, right[start:]]]
    random = [p for p in pieces if "|" in p and p.startswith("(") and p.endswith(")")]
    fixed = [p for p in pieces if p not in random]
    if any("|" in p for p in fixed):
        raise InputError(f"a random effect in '{formula}' does not stand in brackets of its own; write '+ (1 | year)'")
    if depth:
        raise InputError(f"the brackets of '{formula}' do not match; close each one")
    return sides[0].strip(), " + ".join(fixed) or "1", [p[1:-1].strip() for p in random]


def random_pieces(text):
    """Random terms of one text: pairs of effects and grouping columns.

    >>> random_pieces("plot/tube")
    [('1', ('plot',)), ('1', ('plot', 'tube'))]
    >>> random_pieces("(days | subject)")
    [('days', ('subject',))]
    >>> random_pieces("days || subject")
    [('1', ('subject',)), ('0 + days', ('subject',))]
    """
    if not isinstance(text, str):
        raise InputError(f"groups hold {text!r}; give names such as 'year', 'plot/tube' or '(days | subject)'")
    body = text.strip()
    body = body[1:-1].strip() if body.startswith("(") and body.endswith(")") else body
    effects, bar, grouping = body.rpartition("||") if "||" in body else body.rpartition("|")
    effects = effects.strip() if bar else "1"
    if not re.fullmatch(r"\w+(\s*[:/]\s*\w+)*", grouping.strip()) or not effects:
        raise InputError(f"the grouping '{text}' is not understood; write 'year', 'plot/tube' or '(days | subject)'")
    nested, found = [], []
    for part in grouping.split("/"):
        nested = [*nested, *(name.strip() for name in part.split(":"))]
        found.append(tuple(nested))
    wanted = [effects]
    if bar == "||":
        parts = [p.strip() for p in effects.split("+")]
        wanted = ([] if "0" in parts else ["1"]) + [f"0 + {p}" for p in parts if p not in ("0", "1")]
    return [(one, columns) for columns in found for one in wanted]


def parsed(text):
    """A formulaic Formula of one side, or one line that says what is wrong with it."""
    import formulaic
    from formulaic.errors import FormulaSyntaxError

    try:
        formula = formulaic.Formula(text)
    except FormulaSyntaxError as error:
        words = re.sub(r"\x1b\[[0-9;]*m|⧛|⧚", "", str(error)).split("\n")[0]
        raise InputError(f"the formula part '{text}' cannot be read: {words}") from error
    if not hasattr(formula, "required_variables") or hasattr(formula, "lhs"):
        raise InputError(f"the formula part '{text}' has more than one side; write one '~'")
    return formula


def asked_for(text, table):
    """Names of the columns that one side of a formula needs.

    formulaic does not tell those within transforms that learn from the data, such as poly(x, 2): they are looked for.

    >>> sorted(asked_for("poly(x, 2) + np.log(rld) + C(crop, contr.treatment('y'))", {"x": [], "y": [], "rld": []}))
    ['crop', 'rld', 'x']
    """
    words = re.findall(r"(?<![.\w])[^\W\d]\w*(?![\w(])", re.sub(r"'[^']*'|\"[^\"]*\"|\w+\s*=", "", text))
    return set(parsed(text).required_variables) | {word for word in words if word in table}


def matrix_of(formula, frame):
    """The model matrix of a formula, DataFrame (n, p)."""
    from formulaic.errors import FormulaicError

    try:
        with np.errstate(all="ignore"):  # what is not finite is told by name
            return formula.get_model_matrix(frame, context=NAMES, na_action="ignore")
    except (FormulaicError, ValueError) as error:
        words = str(error).split("\n")[0]
        raise InputError(f"'{formula}' cannot be computed: {words}; columns of the table and np.… are known") from error


def complete(frame, missing):
    """The rows without a missing value, and how many had one."""
    frame = frame.replace([np.inf, -np.inf], np.nan)
    gone = frame.isna()
    bad = gone.any(axis=1)
    if bad.any() and missing == "raise":
        worst = gone.sum().sort_values(ascending=False)
        told = ", ".join(f"'{name}' in {count}" for name, count in worst[worst > 0].items())
        raise InputError(f"{int(bad.sum())} of {len(frame)} rows have missing or infinite values ({told}); fill them, "
                         "or leave these rows out with missing='drop'")
    if bad.all():
        raise InputError("no row is without a missing value; choose other columns" if len(frame) else "no rows")
    return frame[~bad].reset_index(drop=True), int(bad.sum())


def usable(frame, predictors):
    """The table with text as categories; refuses predictors that are constant or dates."""
    frame = frame.copy()
    for name in predictors:
        column = frame[name]
        if column.nunique() < 2:
            raise InputError(f"column '{name}' is {column.iloc[0]} in all {len(frame)} rows; leave it out of the "
                             "formula")
        if pd.api.types.is_datetime64_any_dtype(column):
            raise InputError(f"column '{name}' holds dates; give numbers, e.g. days after 1 January")
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            levels = column.cat.remove_unused_categories() if isinstance(column.dtype, pd.CategoricalDtype) else column
            frame[name] = levels.astype("category")
    return frame


def vector(text, frame):
    """The response, or a function of columns such as np.log(rld): (n,)."""
    if re.search(r"[-+*/:^%]", re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*\)", "", text))):
        raise InputError(f"the response '{text}' is arithmetic; write 'I({text}) ~ …'")
    wanted = sorted(asked_for(text, frame))
    frame = frame[wanted].astype({v: float for v in wanted if pd.api.types.is_bool_dtype(frame[v])})
    matrix = matrix_of(parsed(f"0 + {text}"), frame)
    if matrix.shape[1] != 1 or not all(pd.api.types.is_numeric_dtype(frame[v]) for v in wanted):
        raise InputError(f"the response '{text}' is no single column of numbers; give one")
    y = np.asarray(matrix, float)[:, 0]
    if not np.isfinite(y).all():
        raise InputError(f"the response '{text}' is not finite in {int((~np.isfinite(y)).sum())} rows, first in row "
                         f"{int(np.flatnonzero(~np.isfinite(y))[0])}; leave them out")
    return y


def numbers(frame, name, what):
    """A column of numbers, (n,)."""
    if not pd.api.types.is_numeric_dtype(frame[name]):
        raise InputError(f"the {what} column '{name}' holds '{frame[name].dtype}'; give numbers")
    return frame[name].to_numpy(float)


def standardized(frame, *formulas):
    """The table with numeric predictors less their mean, over their SD; and these, by column."""
    fixed, random = formulas
    frame, scales = frame.copy(), {}
    for formula in (fixed, *random):
        for term in formula:
            for factor in term.factors:
                name = str(factor)
                if name == "1" or (name in frame and not pd.api.types.is_numeric_dtype(frame[name])):
                    continue
                if name.startswith("C("):
                    continue
                if name not in frame:
                    raise InputError(f"'{name}' cannot be standardised; make it a column of its own first")
                if name not in scales:
                    column = frame[name].astype(float)
                    scales[name] = (float(column.mean()), float(column.std(ddof=1)))
                    frame[name] = (column - scales[name][0]) / scales[name][1]
    return frame, scales


def collinear(x, names, tolerance=1e-7):
    """Refuse a matrix of which a column is a sum of others, and name them."""
    size = np.linalg.norm(x, axis=0)
    if (size == 0).any():
        raise InputError(f"'{names[int(np.flatnonzero(size == 0)[0])]}' is 0 in all rows; leave it out of the formula")
    scaled = x / size
    kept = []
    for j in range(x.shape[1]):
        if kept:
            share, *_ = np.linalg.lstsq(scaled[:, kept], scaled[:, j], rcond=None)
            if np.linalg.norm(scaled[:, j] - scaled[:, kept] @ share) < tolerance:
                others = [names[k] for k, s in zip(kept, share) if abs(s) > 1e-6]
                raise InputError(f"'{names[j]}' is an exact sum of {', '.join(f'{o!r}' for o in others)} (perfect "
                                 "collinearity); leave one of them out")
        kept.append(j)


def labels(table, columns):
    """What a row's group is called, e.g. "plot3:tube1"; a number that is whole is written without a point."""
    found = []
    for name in columns:
        column = table[name]
        if pd.api.types.is_float_dtype(column) and (column == column.round()).all():
            column = column.astype("int64")
        found.append(column.astype(str))
    return found[0].str.cat(found[1:], ":") if found[1:] else found[0]


def random_term(effects, columns, frame, raw, family):
    """One random Term; refuses groupings that cannot be told from the residual."""
    group = ":".join(columns)
    codes, levels = pd.factorize(labels(raw, columns), sort=True)
    if len(levels) < 2:
        raise InputError(f"the grouping '{group}' has one level, '{levels[0]}'; a random effect needs 2, better 5")
    matrix = matrix_of(parsed(effects), frame)
    z = np.asarray(matrix, float)
    if family.name == "gaussian" and len(levels) * z.shape[1] >= len(frame):
        raise InputError(f"the grouping '{group}' has {len(levels)} levels, {len(levels) * z.shape[1]} effects in "
                         f"all, for {len(frame)} rows: they cannot be told from the residuals; group more coarsely")
    collinear(z, list(matrix.columns))
    return Term(group, columns, list(matrix.columns), np.asarray(levels), codes, z, matrix.model_spec)


def alike(terms):
    """Refuse two groupings that split the rows in the same way and share an effect."""
    for k, one in enumerate(terms):
        for other in terms[:k]:
            same = len(one.levels) == len(other.levels) == len(set(zip(one.codes, other.codes)))
            if same and set(one.effects) & set(other.effects):
                raise InputError(f"the groupings '{other.group}' and '{one.group}' split the rows in the same way; "
                                 "name one of them")


def prepared(design, new):
    """Other rows brought to what the design was made of: known columns, known levels, the same scales."""
    if not isinstance(new, pd.DataFrame):
        raise InputError(f"new is a {type(new).__name__}; give a pandas DataFrame")
    needed = list(dict.fromkeys([*design.variables, *([design.offset_name] if design.offset_name else [])]))
    for name in needed:
        if name not in new:
            raise InputError(f"the new table has no column '{name}'{near(name, new.columns)}")
    frame, _ = complete(new[needed], "raise")
    for name in design.variables:
        if isinstance(design.frame[name].dtype, pd.CategoricalDtype):
            levels = design.frame[name].cat.categories
            other = set(frame[name].unique()) - set(levels)
            if other:
                raise InputError(f"column '{name}' has '{sorted(map(str, other))[0]}', which the model has not seen"
                                 f"{near(sorted(map(str, other))[0], levels)}")
            frame[name] = pd.Categorical(frame[name], levels)
        elif not pd.api.types.is_numeric_dtype(frame[name]):
            raise InputError(f"column '{name}' holds '{frame[name].dtype}'; the model was fitted to numbers")
        if name in design.scales:
            frame[name] = (frame[name] - design.scales[name][0]) / design.scales[name][1]
    return frame


def rows_of(spec, frame):
    """The matrix that a formula makes of a table that ``prepared`` made: (rows, columns)."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        matrix = spec.get_model_matrix(frame, context=NAMES, na_action="raise")
    if said:  # a level that is not known would become a row of zeros
        raise InputError(f"the new table does not fit the formula: {said[0].message}")
    return np.asarray(matrix, float)
