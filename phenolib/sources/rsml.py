"""Tracings of roots in the Root System Markup Language (RSML): plants, roots with their laterals inside, points.

Format: Lobet et al. (2015), doi:10.1104/pp.114.253625. Points are in pixels of the image that was traced, x to the
right and y downwards; `resolution` tells how many of them make one `unit`. What is neither read nor written here:
properties, functions along roots, annotations.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.files import write_text

UNITS = {"pixel": np.nan, "mm": 1.0, "cm": 10.0, "inch": 25.4, "m": 1000.0, "um": 0.001}  # millimetres
LINES = ("polyline", "rootnavspline")  # the first that a root has is taken
GIVEN = ("plant", "id", "parent", "label")
MEGABYTES = 50  # of the largest file that is read


@dataclass(eq=False)
class Tracing:
    """Roots traced in an image.

    roots        DataFrame, one row per root: plant, id (unique in the tracing), parent (id of the root it grows from,
                 "" for none) and label, all text; made from them and from the points: order (1 without a parent, 2 for
                 a lateral of such a root, …), length (of the line through the points) [pixel], points (their number)
    points       {id: (k, 2) float array of x and y [pixel], the middle of the upper left pixel at 0, 0}
    unit         pixel, mm, cm, inch, m or um
    resolution   pixels per unit, None if unknown
    raises       InputError for a root twice, without points, or with a parent that is not there, of another plant or
                 one of its own laterals; or an unknown unit
    """

    roots: pd.DataFrame
    points: dict
    unit: str = "pixel"
    resolution: float | None = None

    def __post_init__(self):
        if self.unit not in UNITS:
            raise InputError(f"the unit '{self.unit}' is not known; pixel, mm, cm, inch, m and um are")
        lacks = [name for name in GIVEN if name not in self.roots]
        if lacks:
            raise InputError(f"the table of roots has no column '{lacks[0]}'; plant, id, parent and label are needed")
        self.roots = self.roots[list(GIVEN)].astype(str).reset_index(drop=True)
        ids, parents = self.roots["id"], dict(zip(self.roots["id"], self.roots["parent"]))
        if not ids.is_unique or "" in parents:
            raise InputError(f"the root '{ids[ids.duplicated() | (ids == '')].iloc[0]}' needs an id of its own")
        if set(ids) != set(self.points):
            one = sorted(set(ids) ^ set(self.points))[0]
            raise InputError(f"the root '{one}' is in the table of roots or among the points, not in both")
        self.points = {root: np.asarray(self.points[root], float) for root in ids}
        for root, points in self.points.items():
            if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
                raise InputError(f"the points of the root '{root}' are no (k, 2) numbers, one pair or more")
        plants = dict(zip(ids, self.roots["plant"]))
        self.roots["order"] = _orders(parents)
        other = next((root for root, above in parents.items() if above and plants[root] != plants[above]), None)
        if other is not None:
            raise InputError(f"the root '{other}' grows from '{parents[other]}' of another plant; correct its parent")
        self.roots["length"] = [float(np.hypot(*np.diff(points, axis=0).T).sum()) for points in self.points.values()]
        self.roots["points"] = [len(points) for points in self.points.values()]

    def __eq__(self, other):
        return (isinstance(other, Tracing) and self.roots.equals(other.roots)
                and (self.unit, self.resolution) == (other.unit, other.resolution)
                and all(np.array_equal(self.points[root], other.points[root]) for root in self.points))

    @property
    def mm_per_pixel(self):
        """Size of a pixel [mm], NaN if unit and resolution do not tell it."""
        return UNITS[self.unit] / self.resolution if self.resolution else np.nan

    def lengths(self, unit="pixel"):
        """Length of each root: that of the straight lines between its points, for a spline somewhat too short.

        unit     pixel, mm, cm, inch, m or um
        returns  Series by id
        raises   InputError for an unknown unit, or if the tracing does not tell the size of a pixel
        """
        if unit not in UNITS:
            raise InputError(f"the unit '{unit}' is not known{near(unit, UNITS)}")
        if unit != "pixel" and np.isnan(self.mm_per_pixel):
            raise InputError(f"lengths in {unit}: the tracing does not tell how large a pixel is; take pixels")
        scale = 1.0 if unit == "pixel" else self.mm_per_pixel / UNITS[unit]
        return pd.Series(self.roots["length"].to_numpy() * scale, self.roots["id"], name=f"length [{unit}]")

    def draw(self, shape, width=3, roots=None):
        """The roots drawn as lines with round ends: pixels whose middle lies within half a width of a line.

        shape    rows and columns of the image; what lies outside is left out
        width    of the lines [pixel], 1 or more
        roots    ids of those to be drawn; by default all
        returns  (y, x) bool
        raises   InputError for a width below 1
        """
        if not width >= 1:
            raise InputError(f"width = {width:g}; lines are drawn 1 pixel wide or wider")
        mask = np.zeros(shape, bool)
        for root in self.points if roots is None else roots:
            points = self.points[root]
            for start, end in zip(points[: max(1, len(points) - 1)], points[-max(1, len(points) - 1):]):
                _line(mask, start, end, width / 2)
        return mask


def read(path):
    """A tracing from a file.

    Where a root has both a polyline and the control points of a spline, the polyline is taken; a spline alone is taken
    as the line through its control points. Roots and plants without an ID, or with one that is there already, get one.

    path     RSML file
    returns  Tracing, its roots in the order of the file
    raises   InputError for no RSML, a document type (entities are not read), more than 50 MB, no root, a root without
             points, a point that is no number, roots in three dimensions, or an unknown unit
    """
    path = Path(path)
    top = _parsed(path)
    unit, resolution = _scale(path, top)
    rows, points, plants, inside = [], {}, {}, Counter()
    left = [(top, "", "")]  # elements whose roots are still to be read, with their plant and the root they belong to
    while left:
        element, plant, parent = left.pop()
        tag, name = _tag(element), element.get("ID", element.get("id", ""))
        if tag == "plant":
            plant = _unique(name or str(len(plants) + 1), plants)
            plants[plant] = None
        if tag == "root":
            inside[parent or plant] += 1
            name = _unique(name or f"{parent or plant}.{inside[parent or plant]}", points)
            points[name] = _points(path, element, name)
            rows.append({"plant": plant, "id": name, "parent": parent, "label": element.get("label", "")})
            parent = name
        if tag in ("rsml", "scene", "plant", "root"):
            left += [(inner, plant, parent) for inner in reversed(element)]
    if not rows:
        raise InputError(f"{path.name}: holds no root; export the tracing again")
    return Tracing(pd.DataFrame(rows), points, unit, resolution)


def write(path, tracing):
    """Write a tracing, atomically and the same bytes for the same values; every root gets a polyline.

    ``read`` gives the same tracing again where the roots of a plant stand together, each followed by its laterals.
    """
    top = ElementTree.Element("rsml")
    metadata, scene = ElementTree.SubElement(top, "metadata"), ElementTree.SubElement(top, "scene")
    resolution = {} if tracing.resolution is None else {"resolution": _text(tracing.resolution)}
    about = {"version": "1", "unit": tracing.unit, **resolution, "software": "phenolib", "file-key": Path(path).stem}
    for name, text in about.items():
        ElementTree.SubElement(metadata, name).text = text
    known = {("plant", plant): ElementTree.SubElement(scene, "plant", ID=plant)
             for plant in tracing.roots["plant"].unique()}
    for row in tracing.roots.sort_values("order", kind="stable").itertuples():
        within = known[("root", row.parent) if row.parent else ("plant", row.plant)]
        root = known["root", row.id] = ElementTree.SubElement(within, "root", ID=row.id, label=row.label)
        line = ElementTree.SubElement(ElementTree.SubElement(root, "geometry"), "polyline")
        for x, y in tracing.points[row.id]:
            ElementTree.SubElement(line, "point", x=_text(x), y=_text(y))
    ElementTree.indent(top)
    write_text(path, "<?xml version='1.0' encoding='UTF-8'?>\n" + ElementTree.tostring(top, encoding="unicode") + "\n")


class _NoTypes(ElementTree.TreeBuilder):
    """Builds elements of files without a document type: the place where entities would be declared."""

    def doctype(self, name, pubid, system):
        raise InputError("declares a document type, which may name other files and is not read; remove <!DOCTYPE …>")


def _parsed(path):
    """The outermost element of a file."""
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.rsml")] if path.parent.is_dir() else []
        raise InputError(f"{path.name}: there is no such file{near(path.name, beside)}")
    if path.stat().st_size > MEGABYTES * 1e6:
        raise InputError(f"{path.name}: more than {MEGABYTES} MB are not read; divide the tracing")
    try:
        top = ElementTree.fromstring(path.read_bytes(), ElementTree.XMLParser(target=_NoTypes()))
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise InputError(f"{path.name}: is no XML, or cut ({error}); an RSML file is expected") from None
    if _tag(top) != "rsml":
        raise InputError(f"{path.name}: is no RSML: the outermost element is <{_tag(top)}>, <rsml> is expected")
    return top


def _tag(element):
    """Name of an element without its name space."""
    return str(element.tag).rpartition("}")[2]


def _inner(element, name):
    """The first child of that name, or None."""
    return next((child for child in element if _tag(child) == name), None)


def _scale(path, top):
    """Unit and resolution [pixels per unit], None if unknown; dots per inch are pixels per inch."""
    metadata = _inner(top, "metadata")
    told = {_tag(child): (child.text or "").strip() for child in (metadata if metadata is not None else [])}
    unit = told.get("unit", "").lower() or "pixel"
    if unit not in UNITS:
        raise InputError(f"{path.name}: the unit '{told['unit']}' is not known; pixel, mm, cm, inch, m and um are")
    number = re.fullmatch(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*(dpi)?", told.get("resolution", "").lower())
    if not number or not 0 < float(number[1]) < np.inf:
        return unit, None
    return "inch" if number[2] else unit, float(number[1])


def _unique(name, taken):
    """The name, with a number behind it if it is taken."""
    k, new = 2, name
    while new in taken:
        k, new = k + 1, f"{name}-{k}"
    return new


def _points(path, root, name):
    """Points of a root, (k, 2) [pixel]."""
    geometry = _inner(root, "geometry")
    lines = [_inner(geometry, line) for line in LINES] if geometry is not None else []
    found = next((points for line in lines if line is not None
                  and (points := [point for point in line if _tag(point) == "point"])), None)
    if found is None:
        raise InputError(f"{path.name}: the root '{name}' has no points; a <polyline> or <rootnavspline> in <geometry> "
                         "is expected, trace it or remove it")
    values = np.array([[_number(path, name, k, point, axis) for axis in ("x", "y", "z")]
                       for k, point in enumerate(found, 1)])
    if np.ptp(values[:, 2]) > 0:
        raise InputError(f"{path.name}: the root '{name}' has points of different z; only flat tracings are read")
    return values[:, :2]


def _number(path, name, k, point, axis):
    text = point.get(axis, "0" if axis == "z" else None)
    if text is None:
        raise InputError(f"{path.name}: point {k} of the root '{name}' has no {axis}; a number is expected")
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(f"{path.name}: point {k} of the root '{name}' has {axis} = '{text}'; a number is expected")
    return value


def _orders(parents):
    """For each root, how many there are from the plant to it, itself counted: list of int.

    parents  {id: id of the root it grows from, "" for none}
    """
    orders = {"": 0}
    for root in parents:
        line = {}
        while root not in orders:
            line[root] = above = parents[root]
            if above not in parents and above or above in line:
                raise InputError(f"the root '{root}' grows from '{above}', which is "
                                 f"{'one of its laterals' if above in line else 'no root'}; correct its parent")
            root = above
        for one in reversed(line):
            orders[one] = orders[line[one]] + 1
    return [orders[root] for root in parents]


def _line(mask, start, end, radius):
    """Set the pixels of a mask whose middle is within a radius of the line between two points (x, y)."""
    low = np.maximum(np.floor(np.minimum(start, end) - radius), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, end) + radius) + 1, mask.shape[::-1]).astype(int)
    if (high <= low).any():
        return
    y, x = np.ogrid[low[1]:high[1], low[0]:high[0]]
    along = end - start
    share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / max(along @ along, 1e-12)
    share = np.clip(share, 0, 1)
    apart = (x - start[0] - share * along[0]) ** 2 + (y - start[1] - share * along[1]) ** 2
    mask[low[1]:high[1], low[0]:high[0]] |= apart <= radius**2


def _text(number):
    """The shortest text that reads back as the same number."""
    return repr(float(number)).removesuffix(".0")
