"""What a chapter reports: recorded results, checks of them, and files for further use.

In a run (``phenolib run``, ``phenolib book``) all three end in the run's folder; in an open notebook results
and checks are only shown, and files go to ``out/``.

>>> import phenolib as ph
>>> shown = ph.report.record("sos20_mae_days", 2.04, "days", interval=(1.6, 2.4), n=44)
sos20_mae_days = 2.04 days (95 % interval 1.60 to 2.40, n = 44)
>>> ph.report.check("sos20_mae_days", at_most=5)["held"]
sos20_mae_days ≤ 5: held
True
"""

import html
import json
import math
import numbers
import os
import re
import sys
from pathlib import Path

from phenolib import files

PACKAGES = (
    "dask",
    "matplotlib",
    "numba",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "semopy",
    "statsmodels",
    "torch",
    "xarray",
)

_results = {}
_checks = {}


class Shown(dict):
    """A dictionary that was displayed already: it shows nothing more as the last value of a cell."""

    def _ipython_display_(self):
        pass


def record(name, value, unit, *, interval=None, level=0.95, n=None, published=None, why=None, simulated=False):
    """Record a result of the chapter under a name, and show it.

    name        snake_case; the same name again replaces what was recorded
    value       a finite number, or None where there is none
    unit        unit as text; "-" for none
    interval    (low, high) around the value
    level       share of cases that the interval is made to cover
    n           number of cases behind the value
    published   id of the row of data/published.csv that this number stands beside
    why         the reason when the value is None
    simulated   whether it is of something that the chapter simulates, whatever its archive: it never stands among
                real numbers
    returns     what is recorded: value, low, high, level, n, unit, published_id, why, and simulated where it is
    raises      ValueError for a name, value, interval or reason that cannot be recorded
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"result '{name}': a name has small letters, digits and underscores, such as sos20_mae_days")
    if not unit:
        raise ValueError(f"result '{name}': give its unit ('-' for none)")
    if value is None and not why:
        raise ValueError(f"result '{name}': a value of None needs its reason, why=...")
    low, high = (_number(name, bound) for bound in interval) if interval is not None else (None, None)
    if low is not None and low > high:
        raise ValueError(f"result '{name}': the interval {low} to {high} is upside down")
    row = {
        "value": None if value is None else _number(name, value),
        "low": low,
        "high": high,
        "level": None if low is None else float(level),
        "n": None if n is None else int(n),
        "unit": unit,
        "published_id": published,
        "why": why,
    } | ({"simulated": True} if simulated else {})
    _results[name] = row
    if name in _checks:
        _checks[name]["held"] = _held(row["value"], _checks[name]["bound"])
    write_records()
    _show(sentence(name, row))
    return Shown(row)


def check(name, *, at_most=None, at_least=None):
    """Hold a recorded result against a bound, and show whether it held.

    A bound that held or not never stops the chapter; a strict run of the published parameters fails at its end.
    A set file may give its own bound under ``checks:``.

    name      a recorded result
    at_most   largest value that holds
    at_least  smallest value that holds
    returns   bound (at_most, at_least; those given) and held (True, False, or None where the value is None)
    raises    ValueError for a name that was not recorded, or no bound
    """
    from phenolib.errors import near

    if name not in _results:
        raise ValueError(f"check '{name}': no such result was recorded{near(name, _results)}")
    bound = {"at_most": at_most, "at_least": at_least}
    bound.update(json.loads(os.environ.get("PHENOLIB_BOUNDS") or "{}").get(name, {}))
    bound = {side: _number(name, limit) for side, limit in bound.items() if limit is not None}
    if not bound:
        raise ValueError(f"check '{name}': give at_most, at_least or both")
    value = _results[name]["value"]
    held = _held(value, bound)
    row = {"bound": bound, "held": held}
    _checks[name] = row
    write_records()
    signs = " and ".join(f"{'≤' if side == 'at_most' else '≥'} {digits(limit)}" for side, limit in bound.items())
    verdict = "held" if held else "cannot be judged without a value" if held is None else f"not held ({digits(value)})"
    _show(f"{name} {signs}: {verdict}", strong=verdict)
    return Shown(row)


def artefact(name):
    """The path to write a file of the chapter to; its folder exists.

    name     relative path, such as "dates.csv"
    returns  Path in the run's folder, or in out/ when the notebook is open in an editor
    raises   InputError if the name leads out of the folder
    """
    root = Path(os.environ.get("PHENOLIB_RUN") or "out")
    path = files.inside(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return root / name


def sentence(name, row):
    """One line of text for a recorded result.

    >>> sentence("bias_days", {"value": -0.5, "unit": "days", "low": None, "n": 12})
    'bias_days = -0.500 days (n = 12)'
    """
    if row["value"] is None:
        return f"{name}: no value, because {row['why']}"
    notes = []
    if row["low"] is not None:
        notes.append(f"{100 * row['level']:g} % interval {digits(row['low'])} to {digits(row['high'])}")
    if row["n"] is not None:
        notes.append(f"n = {row['n']}")
    unit = "" if row["unit"] == "-" else f" {row['unit']}"
    return f"{name} = {digits(row['value'])}{unit}" + (f" ({', '.join(notes)})" if notes else "")


def modules():
    """The phenolib modules loaded now, by name."""
    return sorted(name for name in sys.modules if name == "phenolib" or name.startswith("phenolib."))


def sources():
    """The sha256 of every module's source: {module name: hash}."""
    package = Path(__file__).resolve().parent.parent
    hashes = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        hashes[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = files.sha256(path)
    return hashes


def versions():
    """The versions of Python, this library and the packages of the field that are loaded now."""
    from importlib.metadata import PackageNotFoundError, version

    import phenolib

    found = {"python": sys.version.split()[0], "phenolib": phenolib.__version__}
    for package in PACKAGES:
        if {"scikit-learn": "sklearn"}.get(package, package) in sys.modules:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
    return found


def _held(value, bound):
    """Whether a value lies within its bound; None where there is no value."""
    if value is None:
        return None
    return bound.get("at_least", -math.inf) <= value <= bound.get("at_most", math.inf)


def write_records():
    """Write everything recorded so far to the run's folder, where the runner reads it."""
    if not os.environ.get("PHENOLIB_RUN"):
        return
    records = {
        "results": _results,
        "checks": _checks,
        "modules": modules(),
        "versions": versions(),
    }
    files.write_json(Path(os.environ["PHENOLIB_RUN"]) / "records.json", records)


def _number(name, value):
    """A plain int or float, from any number or single-valued array."""
    if hasattr(value, "dtype"):  # a NumPy duration would pass for a whole number
        value = value.item() if value.dtype.kind in "iuf" and value.size == 1 else str(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"result '{name}': {value!r} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"result '{name}': {value} cannot be recorded; give None and why=...")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def digits(value):
    """A number with three significant digits, or all digits before the point.

    >>> digits(0.95444), digits(2.0), digits(44.25), digits(12345.6), digits(7), digits(0.0)
    ('0.954', '2.00', '44.2', '12346', '7', '0')
    """
    if isinstance(value, int) or value == 0:
        return str(int(value))
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}" if places < 8 else f"{value:.3g}"


def _show(line, strong=None):
    """Show a line under the cell; plain text outside a notebook.

    No colour is named, so that the line is read in light and in dark.
    """
    if "IPython" not in sys.modules or sys.modules["IPython"].get_ipython() is None:
        print(line)
        return
    from IPython.display import display

    start, rest = re.match(r"(\w+)(.*)", line, re.DOTALL).groups()
    rest = html.escape(rest)
    if strong:
        rest = rest.replace(html.escape(strong), f"<strong>{html.escape(strong)}</strong>")
    style = "margin:0;padding:0.1em 0.6em;border-left:3px solid currentColor"
    page = f'<p class="phenolib-record" style="{style}"><code style="color:inherit">{start}</code>{rest}</p>'
    display({"text/plain": line, "text/html": page}, raw=True)
