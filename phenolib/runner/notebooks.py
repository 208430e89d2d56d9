"""Chapters on disk: their names, typed parameters, needs, and the sets of other values for them."""

import ast
import json
import math
from dataclasses import dataclass
from pathlib import Path

from phenolib import files
from phenolib.errors import InputError, near

KEYS = ("parameters", "checks", "archive", "title", "licence", "pictures")  # of a chapter in a set; the last four for
# real files
TYPES = {"bool": bool, "int": int, "float": float, "str": str}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: type = default  # help``."""

    name: str
    type: str
    default: object
    help: str


def project():
    """The folder that holds notebooks/: the checkout that the library runs from, else the folder one is in."""
    root = files.checkout() or Path.cwd()
    if not (root / "notebooks").is_dir():
        raise InputError("no notebooks/ here; run phenolib in a copy of the project, where the chapters are")
    return root


def chapters():
    """All chapters in the order of their names: {name: path}."""
    found = {path.stem: path for path in sorted((project() / "notebooks").glob("*.ipynb"))}
    if not found:
        raise InputError("notebooks/ holds no chapters (*.ipynb)")
    return found


def find(chapter):
    """The full name of a chapter from its first characters.

    chapter  such as "11" or "11_phenocam_dates"
    raises   InputError if none or several begin so
    """
    names = list(chapters())
    matching = [name for name in names if name == chapter] or [name for name in names if name.startswith(chapter)]
    if len(matching) == 1 and chapter:
        return matching[0]
    if chapter and matching:
        raise InputError(f"chapter '{chapter}': several begin so: {', '.join(matching)}; give more characters")
    raise InputError(f"chapter '{chapter}': there is none{near(chapter, names)}")


def metadata(path):
    """What a notebook says of itself under the metadata key ``phenolib``, such as needs: [12]."""
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
        return notebook.get("metadata", {}).get("phenolib", {})
    except (ValueError, AttributeError):
        raise InputError(f"{Path(path).name}: not a notebook that can be read") from None


def needs(chapter):
    """The full names of the chapters that have to run before this one."""
    return [find(_prefix(other)) for other in metadata(chapters()[chapter]).get("needs", [])]


def parameters(path):
    """The typed parameters of a notebook, from its cell tagged ``parameters``.

    path     notebook
    returns  list of Parameter, in the order of the cell
    """
    import papermill

    metadata(path)
    braces = str(path).replace("{", "{{").replace("}", "}}")  # papermill fills in fields of a path
    return [
        Parameter(name, *_type_and_default(found["inferred_type_name"], found["default"]), found["help"].strip())
        for name, found in papermill.inspect_notebook(braces).items()
    ]


def defaults(path):
    """{name: value} of a notebook's parameters cell."""
    return {parameter.name: parameter.default for parameter in parameters(path)}


def checked(chapter, given, *, source=""):
    """Values for parameters of a chapter, each of the parameter's type.

    chapter  full name
    given    {name: value}; text is read as the parameter's type
    source   where the values stand, for the error
    returns  {name: value}
    raises   InputError for an unknown name or a value of another type
    """
    known = {parameter.name: parameter for parameter in parameters(chapters()[chapter])}
    start = f"{source}: " if source else ""
    for name in given:
        if name not in known:
            raise InputError(f"{start}chapter {chapter} has no parameter '{name}'{near(name, known)}")
    return {name: _read(known[name], value, start) for name, value in given.items()}


def split(texts):
    """{name: text} from command-line arguments NAME=VALUE."""
    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(f"-p {text}: write it as NAME=VALUE")
        if name.strip() in given:
            raise InputError(f"-p {text}: '{name.strip()}' is given twice")
        given[name.strip()] = value.strip()
    return given


def several(chapter, given):
    """Lists of values for a sweep: {name: [value, ...]} from {name: "v1,v2"}.

    Values of a list parameter are parted by semicolons.
    """
    types = {parameter.name: parameter.type for parameter in parameters(chapters()[chapter])}
    grid = {}
    for name, text in given.items():
        mark = ";" if types.get(name, "").startswith("list") else ","
        texts = [part.strip() for part in text.split(mark)]
        values = [checked(chapter, {name: part})[name] for part in texts]
        grid[name] = [value for place, value in enumerate(values) if value not in values[:place]]
    return grid


def read_set(name):
    """A set: other values and bounds for chapters, {chapter: {parameters, checks}}.

    name     "fast", "full", "real" (files in tests/sets) or the path of a YAML file
    raises   InputError for a set, chapter, parameter or key that does not exist
    """
    import yaml

    path = Path(name) if Path(name).suffix in (".yml", ".yaml") else project() / "tests" / "sets" / f"{name}.yml"
    if not path.is_file():
        there = [found.stem for found in sorted((project() / "tests" / "sets").glob("*.yml"))]
        raise InputError(f"set '{name}': there is no such set or file{near(name, there)}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path.name}: expected chapters with their parameters and checks")
    result = {}
    for prefix, entry in content.items():
        try:
            chapter = find(_prefix(prefix))
        except InputError as error:
            raise InputError(f"{path.name}: {error}") from None
        result[chapter] = _entry(chapter, entry or {}, path.name)
    return result


def set_name(name):
    """How a set is called in results: a file by its stem, never by its path."""
    return Path(name).stem if name else None


def _entry(chapter, entry, source):
    """One chapter's part of a set, checked."""
    if not isinstance(entry, dict):
        raise InputError(f"{source}: {chapter}: expected parameters: and checks:")
    for key in entry:
        if key not in KEYS:
            raise InputError(f"{source}: {chapter}: '{key}' means nothing{near(key, KEYS)}")
    bounds = entry.get("checks") or {}
    for name, bound in bounds.items():
        if not isinstance(bound, dict) or not bound or set(bound) - {"at_most", "at_least"}:
            raise InputError(f"{source}: {chapter}: check '{name}' needs at_most or at_least")
    values = checked(chapter, entry.get("parameters") or {}, source=source)
    real = {"archive": entry.get("archive", "."), "title": entry.get("title", ""), "licence": entry.get("licence", ""),
            "pictures": bool(entry.get("pictures", True))}
    return {"parameters": values, "checks": bounds} | real


def _prefix(value):
    """A chapter's first characters from YAML or JSON, where 01 is the number 1."""
    return f"{value:02d}" if isinstance(value, int) else str(value)


def _type_and_default(annotation, text):
    """The type's name and the value of a default, from what papermill found in the cell."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return annotation, text
    if annotation in (None, "None"):
        annotation = type(value).__name__
    if annotation == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    return annotation, list(value) if isinstance(value, tuple) else value


def _read(parameter, value, start):
    """A value as the parameter's type, or one clear line."""
    kind = parameter.type.replace(" ", "")
    try:
        if kind.startswith("list"):
            return _read_list(value, kind[5:-1] or "str")
        if kind in TYPES:
            return _read_one(value, kind)
    except ValueError:
        shown = value if isinstance(value, str) else json.dumps(value, default=str)
        raise InputError(f"{start}parameter '{parameter.name}' is {_called(kind)}; '{shown}' is not") from None
    raise InputError(f"{start}parameter '{parameter.name}' has the type {kind}, which cannot be set from outside")


def _read_list(value, kind):
    """A list from a list, JSON text, or text with commas."""
    if isinstance(value, str):
        inner = value.strip()
        if inner.startswith("["):
            value = json.loads(inner)
        else:
            value = [part.strip() for part in inner.split(",")] if inner else []
    if not isinstance(value, list):
        raise ValueError
    return [_read_one(item, kind) for item in value]


def _read_one(value, kind):
    """A bool, int, float or str from itself or from text; ValueError for anything else."""
    if isinstance(value, str) and kind != "str":
        if kind == "bool":
            return {"true": True, "false": False}[value.lower()] if value.lower() in ("true", "false") else _refuse()
        value = TYPES[kind](value)
    if kind == "float" and type(value) is int:
        value = float(value)
    if type(value) is not TYPES[kind] or (kind == "float" and not math.isfinite(value)):
        _refuse()
    return value


def _refuse():
    raise ValueError


def _called(kind):
    """A type in words for an error.

    >>> _called("int"), _called("list[float]")
    ('a whole number (int)', 'a list of numbers (list[float])')
    """
    words = {"bool": "true or false", "int": "whole number", "float": "number", "str": "text"}
    if kind.startswith("list"):
        word = words.get(kind[5:-1], "text")
        return f"a list of {word if word in ('text', 'true or false') else word + 's'} ({kind})"
    return f"{'a ' if kind in ('int', 'float') else ''}{words[kind]} ({kind})"
