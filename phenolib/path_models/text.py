"""Model text in lavaan syntax, read into terms."""

import re
from dataclasses import dataclass

from phenolib.errors import InputError

NAME = r"[^\W\d][\w.]*"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
OPERATOR = re.compile(r":=|==|=~|~~|<~|~\*~|~|<|>|\||%")
TERM = re.compile(rf"(?:({NUMBER}|{NAME})\s*\*\s*)?({NAME})")
REFUSED = {  # operator: what to do instead
    ":=": "products and sums of paths are in .indirect, so leave it out",
    "==": "give two paths one label to make them equal, e.g. 'y ~ a*x + a*z'",
    "<": "bounds are not offered, so leave it out",
    ">": "bounds are not offered, so leave it out",
    "<~": "composites are not offered; use '=~' or the mean of the columns",
    "~*~": "ordered categories are not offered, so leave it out",
    "|": "ordered categories are not offered, so leave it out",
    "%": "levels are not offered; name the clusters with cluster=",
}


@dataclass(frozen=True)
class Term:
    """One arrow or covariance of a model.

    lval, op, rval  as in lavaan: 'latent =~ indicator', 'outcome ~ cause', 'a ~~ b'
    label           terms of one label are equal, None without
    value           where it is fixed, None where it is estimated
    written         False for variances and covariances that come by themselves
    given           True for moments of exogenous columns that are taken from the data
    """

    lval: str
    op: str
    rval: str
    label: str | None = None
    value: float | None = None
    written: bool = True
    given: bool = False

    @property
    def arrow(self):
        """(cause, effect) of an arrow."""
        return (self.lval, self.rval) if self.op == "=~" else (self.rval, self.lval)

    def __str__(self):
        return f"{self.lval} {self.op} {self.rval}"


@dataclass(frozen=True)
class Description:
    """A model text, read.

    text       as it was given
    terms      all terms, with the variances and covariances that come by themselves
    latent     names behind '=~', in the order of the text
    observed   names of columns, in the order of the text
    exogenous  columns that no arrow reaches
    tied       names in a written '~~'
    fixed      whether the moments of the exogenous columns are taken from the data
    """

    text: str
    terms: tuple
    latent: tuple
    observed: tuple
    exogenous: tuple
    tied: tuple
    fixed: bool

    @property
    def arrows(self):
        """(cause, effect) of every path '~'."""
        return [t.arrow for t in self.terms if t.op == "~"]

    def cyclic(self):
        """A variable that is its own cause along the arrows, or None."""
        causes = {}
        for cause, effect in (t.arrow for t in self.terms if t.op != "~~"):
            causes.setdefault(effect, set()).add(cause)
        left = set(causes)
        while left:
            free = {v for v in left if not causes[v] & left}
            if not free:
                return min(left)
            left -= free
        return None


def read(text, *, exogenous="fixed"):
    """The terms of a model text.

    What comes by itself, as in lavaan's ``sem``: the first loading of a latent variable is 1; every variable has a
    variance; exogenous latent variables covary, and so do exogenous columns; the residual variance of an only indicator
    is 0. Residuals of two outcomes covary where '~~' is written, and only there.

    text       statements with =~, ~ and ~~, one a line or apart by ';'; # starts a comment; a line that ends in + or
               an operator goes on; '2*x' fixes, 'a*x' names, 'NA*x' sets free
    exogenous  "fixed": moments of exogenous columns are those of the data, and no parameters; "random": parameters
    returns    Description
    raises     InputError for whatever is not understood
    """
    if not isinstance(text, str):
        raise InputError(f"the model is {type(text).__name__}; give text such as 'y ~ x + z'")
    if exogenous not in ("fixed", "random"):
        raise InputError(f"exogenous = '{exogenous}'; give 'fixed' or 'random'")
    terms = [term for number, line in statements(text) for term in terms_of(line, number)]
    if not terms:
        raise InputError("the model text has no statement; give some such as 'y ~ x + z'")
    latent = tuple(dict.fromkeys(t.lval for t in terms if t.op == "=~"))
    seen = {}
    for t in terms:
        key = ("~~", *sorted((t.lval, t.rval))) if t.op == "~~" else t.arrow
        if key in seen:
            raise InputError(f"the model text has '{t}' twice, also as '{seen[key]}'; leave one out")
        if t.op != "~~" and t.lval == t.rval:
            raise InputError(f"the model text has '{t}': a variable is its own cause; leave it out")
        seen[key] = t
    terms = scaled(terms, latent)
    names = dict.fromkeys(n for t in terms for n in (t.lval, t.rval))
    observed = tuple(n for n in names if n not in latent)
    reached = {t.arrow[1] for t in terms if t.op != "~~"}
    outside = [n for n in names if n not in reached]
    columns = tuple(n for n in outside if n not in latent)
    tied = tuple(dict.fromkeys(n for t in terms if t.op == "~~" for n in (t.lval, t.rval)))
    fixed = exogenous == "fixed" and not set(tied) & set(columns)
    only = {t.rval for t in terms if t.op == "=~" and sum(o.op == "=~" and o.lval == t.lval for o in terms) == 1}
    for n in names:
        if ("~~", n, n) not in seen:
            alone = n in only and n not in latent
            terms.append(Term(n, "~~", n, None, 0.0 if alone else None, False, fixed and n in columns))
    for group in (tuple(n for n in outside if n in latent), columns):
        for k, first in enumerate(group):
            for second in group[k + 1:]:
                if ("~~", *sorted((first, second))) not in seen:
                    terms.append(Term(first, "~~", second, None, None, False, fixed and first in columns))
    return Description(text, tuple(terms), latent, observed, columns, tied, fixed)


def statements(text):
    """(number of the line, statement) of a text, lines that go on joined."""
    found, open_ = [], False
    for number, line in enumerate(text.replace("\u223c", "~").splitlines(), 1):
        for part in re.split("[#!]", line)[0].split(";"):
            part = part.strip()
            if not part:
                continue
            if found and (open_ or part[0] in "+*"):
                found[-1] = (found[-1][0], f"{found[-1][1]} {part}")
            else:
                found.append((number, part))
            open_ = part[-1] in "+*~=,"
    return found


def terms_of(line, number):
    """The terms of one statement."""
    where = f"model text, line {number}: '{line}'"
    found = OPERATOR.search(line)
    if not found:
        raise InputError(f"{where} has no operator; write 'y ~ x', 'latent =~ x1 + x2' or 'y ~~ z'")
    op = found.group()
    if op in REFUSED:
        raise InputError(f"{where} has '{op}': {REFUSED[op]}")
    left, right = line[:found.start()], line[found.end():]
    if OPERATOR.search(right):
        raise InputError(f"{where} has two operators; write one statement a line")
    terms = []
    for lval in left.split("+"):
        lval = lval.strip()
        if not re.fullmatch(NAME, lval):
            raise InputError(f"{where}: '{lval}' left of '{op}' is no name; use letters, digits, '_' and '.'")
        for part in right.split("+"):
            part = part.strip()
            term = TERM.fullmatch(part)
            if not term:
                raise InputError(f"{where}: '{part}' {reason(part, op)}")
            terms.append(Term(lval, op, term.group(2), *modifier(term.group(1))))
    return terms


def reason(part, op):
    """Why the right side of a statement is not understood, and what to do."""
    if not part:
        return f"is empty; give a name on both sides of '{op}' and of every '+'"
    if re.fullmatch(r"[01]", part) and op == "~":
        return "is an intercept; means are always free, so leave it out"
    if ":" in part or (part.count("*") and not re.match(rf"({NUMBER}|{NAME})\s*\*", part)):
        return "is not understood; make a column of the product, and name it"
    if "(" in part:
        return "holds a function; make a column of it, and name it; give labels as 'a*x'"
    return "is no name; use letters, digits, '_' and '.', and '+' between names"


def modifier(text):
    """(label, value) of what stands before '*'; a label of '' sets a first loading free."""
    if text is None:
        return None, None
    if re.fullmatch(NUMBER, text):
        return None, float(text)
    return ("", None) if text == "NA" else (text, None)


def scaled(terms, latent):
    """Terms in which each latent variable has a scale: its first loading is 1 unless it is set free or one is fixed."""
    terms = list(terms)
    for name in latent:
        own = [k for k, t in enumerate(terms) if t.op == "=~" and t.lval == name]
        if all(terms[k].value is None for k in own) and terms[own[0]].label is None:
            first = terms[own[0]]
            terms[own[0]] = Term(first.lval, first.op, first.rval, None, 1.0)
    return [Term(t.lval, t.op, t.rval, t.label or None, t.value) for t in terms]


def written(description, names=None):
    """The terms of a description as a text for semopy, each estimated one labelled by its place among the parameters.

    names    {term: label} of the estimated terms
    returns  text; moments that are given stay out, semopy takes them from the data itself
    """
    lines = []
    for t in description.terms:
        if not t.given:
            lines.append(f"{t.lval} {t.op} {t.value if t.value is not None else names[t]}*{t.rval}")
    return "\n".join(lines)
