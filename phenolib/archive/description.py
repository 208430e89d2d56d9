"""What belongs to an archive: its kinds of files, how their names tell them, and what archive.yml says of them."""

from dataclasses import dataclass, field

from phenolib.archive import catalogues, flux_sites, moisture, patches, plots, roots, salinity, stations, towers
from phenolib.errors import InputError, near

# for each kind: the first pattern that any file matches is taken; "|" stands between patterns taken together
PATTERNS = {
    "cameras": ("phenocam/*_[13]day.csv", "**/*_[13]day.csv"),
    "transitions": ("**/*transition_dates*.csv",),
    **flux_sites.PATTERNS,
    **patches.PATTERNS,
    **stations.PATTERNS,
    **roots.PATTERNS,
    **plots.PATTERNS,
    **salinity.PATTERNS,
    **moisture.PATTERNS,
    **towers.PATTERNS,
    **catalogues.PATTERNS,
}
READERS = {"cameras": "phenocam", "transitions": "phenocam", **flux_sites.READERS, **patches.READERS,
           **stations.READERS, **roots.READERS, **plots.READERS, **salinity.READERS, **moisture.READERS,
           **towers.READERS, **catalogues.READERS}
OPTIONS = {"cameras": ("columns",), "transitions": (), "soil": ("depths",), "catalogue": ("stac",),
           **dict.fromkeys((*flux_sites.KINDS, *patches.KINDS, *roots.KINDS, *plots.KINDS, *salinity.KINDS,
                           *moisture.KINDS, "farm"), ()), **towers.OPTIONS}
ABOUT = ("title", "licence", "citation", "note")  # keys of archive.yml that are not kinds


@dataclass
class Kind:
    """One entry of archive.yml: where the files of a kind are, and how to read them."""

    path: str = ""
    files: list = field(default_factory=list)
    reader: str = ""
    options: dict = field(default_factory=dict)
    units: object = ""
    licence: str = ""


def table_of(kind):
    """The table of places that belongs to a kind."""
    return (flux_sites.TABLE if kind in flux_sites.KINDS else
            catalogues.TABLE if kind in (*catalogues.KINDS, *salinity.KINDS) else
            roots.TABLE if kind in roots.KINDS else "sites.csv")


def first_match(root, kind, patterns):
    """Files of the first pattern that any file matches; the truth and what is hidden are left out."""

    def belongs(path):
        parts = path.relative_to(root).parts
        aside = parts[0] == "truth" or any(part.startswith(".") for part in parts)
        # that the pattern matches too
        other = {"cameras": "transition_dates", "salt": "coastal_samples", "cosmos": "_Flags"}.get(kind)
        return path.is_file() and not aside and not (other and other in path.name)

    found = ({path for one in pattern.split("|") for path in root.glob(one)} for pattern in patterns)
    return next(filter(None, (sorted(filter(belongs, paths)) for paths in found)), [])


def read_description(root):
    """What archive.yml says: the archive's title, licence, …, and its kinds."""
    path = root / "archive.yml"
    if not path.is_file():
        return {}, {}
    import yaml

    try:
        text = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"archive.yml: is not valid YAML: {error}") from None
    if not isinstance(text, dict):
        raise InputError("archive.yml: 'key: value' lines are expected, e.g. 'cameras: phenocam/*_3day.csv'")
    about = {k: text[k] for k in ABOUT if k in text}
    kinds = text.get("kinds", {k: v for k, v in text.items() if k not in ABOUT}) or {}
    if not isinstance(kinds, dict):
        raise InputError("archive.yml: under 'kinds:' lines like 'cameras: phenocam/*_3day.csv' are expected")
    return about, {str(name): _kind(name, value) for name, value in kinds.items()}


def _kind(name, value):
    if isinstance(value, str):
        value = {"path": value}
    if isinstance(value, list):
        value = {"files": value}
    if not isinstance(value, dict):
        raise InputError(f"archive.yml: '{name}' is {value!r}; a path pattern such as phenocam/*_3day.csv is expected")
    # options may stand beside the path: {stac: https://…}
    rest = {k: value[k] for k in value if k not in Kind.__dataclass_fields__ and k in OPTIONS.get(name, value)}
    value = {**{k: v for k, v in value.items() if k not in rest}, "options": {**value.get("options", {}), **rest}}
    kind = {"reader": READERS.get(name, ""), **value}
    for what, given, known in (
        ("key", kind, Kind.__dataclass_fields__),
        ("option", kind.get("options", {}), OPTIONS.get(name, kind.get("options", {}))),
        ("reader", [kind["reader"]], [READERS.get(name, kind["reader"])]),
    ):
        wrong = next((g for g in given if g not in known), None)
        if wrong:
            raise InputError(f"archive.yml: '{name}' has the {what} '{wrong}'{near(wrong, known)}")
    if not isinstance(kind.get("path", ""), str) or not isinstance(kind.get("files", []), list | dict):
        raise InputError(f"archive.yml: '{name}' needs one pattern as 'path' or a list of names as 'files'")
    return Kind(**kind)
