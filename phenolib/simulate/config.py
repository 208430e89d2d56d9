"""What a simulated landscape is made from: one seed, one set of sizes and assumptions, in one file."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import yaml

from phenolib.errors import InputError, near


@dataclass(frozen=True)
class Config:
    """Sizes and assumptions of a landscape and of the instruments in it; all but the sizes are project defaults.

    A name with two numbers is a range from which each site or season draws evenly. ``brown_end`` and ``top_lead``
    decide on the offsets between camera and satellite at the end of season; ``leafwise`` is the share of the browning
    that goes leaf by leaf, the rest goes through all leaves together.
    """

    seed: int = 7
    sites: int = 60  # cameras, and patches around them
    squares: int = 12  # patches in Flanders without a camera
    years: tuple = (2016, 2022)  # first and last harvest year of the landscape and of the cameras
    patch_years: tuple = (2018, 2020)  # of the satellite patches
    catalogue_year: int = 2020  # of the three small areas
    warmer: float = 0.0  # added to all air temperatures [°C]
    rain: float = 1.0  # factor on all rain [-]
    cloud: float = 0.0  # added to the probability of cloud [-]
    camera_on_edge: float = 0.3  # share of cameras that stand on the edge of the field they look at
    camera_zenith: tuple = (70.0, 80.0)  # of the line of sight [°]
    top_lead: tuple = (0.0, 15.0)  # days by which the top of a canopy browns before the whole
    leaf_ageing: tuple = (0.1, 0.55)  # share of their greenness that leaves lose to a camera before they brown
    brown_end: float = 1.0  # how far ripe leaves are from green, 0-1; below 1 some chlorophyll is left
    leafwise: float = 0.0  # share of the browning that goes leaf by leaf
    shrivel: float = 0.85  # share of its area that a ripe leaf loses to the view from above
    roughness: float = 1.0  # factor on the roughness of soils [-]


DEFAULT = Config()
BOUNDS = {"sites": (1, 5000), "squares": (0, 500), "years": (1990, 2100), "patch_years": (1990, 2100),
          "catalogue_year": (1990, 2100), "warmer": (-10, 10), "rain": (0, 5), "cloud": (-1, 1),
          "camera_on_edge": (0, 1), "top_lead": (0, 40), "leaf_ageing": (0, 1), "brown_end": (0, 1), "leafwise": (0, 1),
          "shrivel": (0, 1), "camera_zenith": (0, 85), "roughness": (0.3, 3)}


def read(path=None, **changes):
    """A configuration from a YAML file; what it does not name keeps its default.

    path     file of lines such as ``warmer: 2.0`` or ``years: [2018, 2020]``; None: the defaults
    changes  of its values
    returns  Config
    raises   InputError for a missing file, an unknown name, a value of the wrong type or out of range
    """
    if path is None:
        return make(**changes)
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no configuration file {path}; `phenolib simulate --show-config` prints one")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: {error.problem}" if mark else "it is not UTF-8 text"
        raise InputError(f"{path}: is no YAML file: {where}") from error
    if not isinstance(given, dict):
        raise InputError(f"{path}: lines such as 'warmer: 2.0' are expected")
    try:
        make(**given)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return make(**given | changes)


def make(**given):
    """A configuration with some values changed. returns Config. raises InputError as ``read``"""
    known = {f.name: f.default for f in fields(Config)}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"'{name}' is not a value of the configuration{near(str(name), known)}")
        given[name] = _value(name, value, known[name])
    made = replace(DEFAULT, **given)
    for name in [f.name for f in fields(Config) if isinstance(f.default, tuple)]:
        first, last = getattr(made, name)
        if first > last:
            raise InputError(f"{name} = {first}-{last}: the first is larger than the last")
    if "patch_years" not in given and not _within(made.patch_years, made.years):
        made = replace(made, patch_years=made.years)
    if not _within(made.patch_years, made.years):
        raise InputError(f"patch_years = {list(made.patch_years)} lies outside years = {list(made.years)}")
    return made


def text(config=DEFAULT):
    """A configuration as the YAML that ``read`` reads. returns str"""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None)


def _within(inner, outer):
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _value(name, value, default):
    kind = type(default[0] if isinstance(default, tuple) else default)
    many = isinstance(default, tuple)
    given = list(value) if isinstance(value, (list, tuple)) else [value]
    wanted = ("two " if many else "a ") + ("whole number" if kind is int else "number") + ("s" if many else "")
    if len(given) != (2 if many else 1) or isinstance(value, (list, tuple)) != many or not all(
            isinstance(v, int if kind is int else (int, float)) and not isinstance(v, bool) for v in given):
        raise InputError(f"{name} = {value}: {wanted} is expected" if not many else
                         f"{name} = {value}: {wanted}, [first, last], are expected")
    low, high = BOUNDS.get(name, (0, 2**32 - 1))
    if not all(low <= v <= high for v in given):
        raise InputError(f"{name} = {value} is out of range; give {low:g} to {high:g}")
    return tuple(kind(v) for v in given) if many else kind(value)
