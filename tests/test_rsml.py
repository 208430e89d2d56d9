"""Tracings of roots: read from both kinds of lines, written and read again, measured, drawn, refused with one line."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenolib import archive
from phenolib.errors import InputError
from phenolib.sources import rsml

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
REAL = Path(ROOT or ".") / "roots_paper" / "rsml"
real = pytest.mark.skipif(not ROOT or not REAL.is_dir(), reason="PHENOLIB_ARCHIVE names no archive of tracings")
SPLINE = '<rootnavspline controlpointseparation="50" tension="0.5">{}</rootnavspline>'
LINE = "<polyline>{}</polyline>"


def root(points="0,0 3,4", inner="", line=LINE, about='ID="1" label="primary"'):
    "One root of a file."
    text = "".join(f'<point x="{x}" y="{y}"/>' for x, y in (p.split(",") for p in points.split()))
    return f"<root {about}><geometry>{line.format(text)}</geometry>{inner}</root>"


def plant(*roots, about='ID="1" label="barley"'):
    return f"<plant {about}>{''.join(roots)}</plant>"


def file(path, *plants, metadata="<unit>pixel</unit><resolution>xxx dpi</resolution>", head="<?xml version='1.0'?>"):
    "An RSML file."
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}<rsml><metadata>{metadata}</metadata><scene>{''.join(plants)}</scene></rsml>")
    return path


def tracing(**change):
    "A root of 10 pixels with a lateral of 5, and a second plant; 4 pixels a millimetre."
    roots = pd.DataFrame({"plant": ["a", "a", "b"], "id": ["1", "1.1", "2"], "parent": ["", "1", ""],
                          "label": ["primary", "lateral", ""]})
    points = {"1": [[0, 0], [10, 0]], "1.1": [[5, 0], [8, 4]], "2": [[20, 0.125]]}
    return rsml.Tracing(**{"roots": roots, "points": points, "unit": "mm", "resolution": 4.0, **change})


def test_laterals_lie_within_their_roots(tmp_path):
    "Plants, roots and laterals become rows in the order of the file, with parent, order, length and number of points."
    inner = root("3,4 3,14", about='ID="1.1" label="lateral"', inner=root("3,9 4,9", about='ID="1.1.1"'))
    found = rsml.read(file(tmp_path / "a.rsml", plant(root("0,0 3,4 6,8", inner), root("9,9 9,10", about='ID="2"')),
                           plant(root("1,1 1,3", about='ID="3"'), about='ID="7"')))
    table = found.roots.set_index("id")
    assert table["plant"].to_dict() == {"1": "1", "1.1": "1", "1.1.1": "1", "2": "1", "3": "7"}
    assert table["parent"].tolist() == ["", "1", "1.1", "", ""] and table["order"].tolist() == [1, 2, 3, 1, 1]
    assert table["length"].tolist() == [10, 10, 1, 1, 2] and table["points"].tolist() == [3, 2, 2, 2, 2]
    assert table["label"].tolist() == ["primary", "lateral", "", "", ""]
    assert (found.unit, found.resolution) == ("pixel", None) and found.points["1"].tolist() == [[0, 0], [3, 4], [6, 8]]


def test_the_line_is_taken_before_the_spline(tmp_path):
    "A file with control points alone gives the line through them; where both are there, the polyline counts."
    alone = rsml.read(file(tmp_path / "a.rsml", plant(root("0,0 0,5", line=SPLINE))))
    assert alone.lengths()["1"] == 5
    both = root("0,0 0,7", line=SPLINE.format('<point x="0" y="0"/><point x="1" y="0"/>') + LINE)
    assert rsml.read(file(tmp_path / "b.rsml", plant(both))).lengths()["1"] == 7


def test_names_are_made_where_they_lack_or_stand_twice(tmp_path):
    "Programs number the roots of each plant anew, write `id` or nothing: every root gets an id of its own."
    roots = [root(about='id="1"'), root(about=""), root(about="", inner=root(about=""))]
    found = rsml.read(file(tmp_path / "a.rsml", plant(*roots), plant(root(about='id="1"'), about="")))
    assert found.roots["id"].tolist() == ["1", "1.2", "1.3", "1.3.1", "1-2"]
    assert found.roots["plant"].tolist() == ["1"] * 4 + ["2"]
    spaced = (tmp_path / "a.rsml").read_text().replace("<rsml>", '<rsml xmlns="http://a.b/c">')
    (tmp_path / "b.rsml").write_text(spaced)
    assert rsml.read(tmp_path / "b.rsml") == found


@pytest.mark.parametrize("metadata, unit, resolution, size", [
    ("<unit>inch</unit><resolution>254.0</resolution>", "inch", 254, 0.1),
    ("<unit>CM</unit><resolution>100</resolution>", "cm", 100, 0.1),
    ("<unit>pixel</unit><resolution>300 dpi</resolution>", "inch", 300, 25.4 / 300),
    ("<unit>pixel</unit><resolution>1</resolution>", "pixel", 1, np.nan),
    ("<unit>mm</unit><resolution>0</resolution>", "mm", None, np.nan),
    ("", "pixel", None, np.nan),
])
def test_unit_and_resolution(tmp_path, metadata, unit, resolution, size):
    "Resolution is pixels per unit, dots per inch are pixels per inch; what tells no number is unknown."
    found = rsml.read(file(tmp_path / "a.rsml", plant(root()), metadata=metadata))
    assert (found.unit, found.resolution) == (unit, resolution)
    assert found.mm_per_pixel == pytest.approx(size, nan_ok=True)


def test_lengths_in_other_units():
    "Pixels by default; millimetres and centimetres where the size of a pixel is known, else one line that says so."
    found = tracing()
    assert found.lengths().tolist() == [10, 5, 0] and found.lengths("mm").tolist() == [2.5, 1.25, 0]
    assert found.lengths("cm")["1"] == 0.25 and found.lengths("inch")["1"] == pytest.approx(2.5 / 25.4)
    with pytest.raises(InputError, match="lengths in mm: the tracing does not tell how large a pixel is"):
        tracing(resolution=None).lengths("mm")
    with pytest.raises(InputError, match="the unit 'inches' is not known; did you mean 'inch'"):
        found.lengths("inches")


names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_written_is_read_again(tmp_path_factory, data):
    "Any names, any numbers, any nesting: the same tracing and the same bytes."
    ids = data.draw(st.lists(names, min_size=1, max_size=6, unique=True))
    rows = []
    for k, name in enumerate(ids):  # in the order in which a file nests them
        line = [""] if not rows else ["", rows[-1]["id"], rows[-1]["parent"]]
        parent = data.draw(st.sampled_from(line))
        new = not parent and (not rows or data.draw(st.booleans()))
        rows.append({"plant": f"p{k}" if new else rows[-1]["plant"], "id": name, "parent": parent,
                     "label": data.draw(names)})
    number = st.floats(-1e6, 1e6, allow_nan=False)
    points = {name: data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=4)) for name in ids}
    made = rsml.Tracing(pd.DataFrame(rows), points, data.draw(st.sampled_from(sorted(rsml.UNITS))),
                        data.draw(st.none() | st.floats(1e-3, 1e5)))
    path = tmp_path_factory.mktemp("any") / "a.rsml"
    rsml.write(path, made)
    found, first = rsml.read(path), path.read_bytes()
    assert found == made
    rsml.write(path, found)
    assert path.read_bytes() == first


def test_tracings_differ():
    "Another point, label, unit or resolution makes another tracing."
    assert tracing() == tracing() and tracing() != "tracing"
    for change in ({"unit": "cm"}, {"resolution": None}, {"roots": tracing().roots.assign(label="x")},
                   {"points": {**tracing().points, "2": [[20, 0.25]]}}):
        assert tracing(**change) != tracing()


@pytest.mark.parametrize("text, said", [
    ("", "is no XML, or cut"),
    ("<rsml><scene>", "is no XML, or cut"),
    ("\udcff", "is no XML, or cut"),
    ("<svg/>", "is no RSML: the outermost element is <svg>, <rsml> is expected"),
    ("<rsml><scene/></rsml>", "holds no root"),
    ("<!DOCTYPE rsml [<!ENTITY a SYSTEM 'file:///etc/hostname'>]><rsml>&a;</rsml>", "declares a document type"),
    ("<!DOCTYPE rsml [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><rsml>&b;</rsml>", "declares a document type"),
    ("<rsml>&a;</rsml>", "undefined entity"),
])
def test_what_is_no_tracing_is_refused(tmp_path, text, said):
    "Cut, of another kind, empty, or with entities, which could name other files or grow without end."
    path = tmp_path / "a.rsml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=f"^a.rsml: .*{said}") as error:
        rsml.read(path)
    assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("inner, said", [
    ('<root ID="5"/>', "the root '5' has no points; a <polyline> or <rootnavspline> in <geometry> is expected"),
    ('<root ID="5"><geometry/></root>', "the root '5' has no points"),
    (root(""), "the root '1' has no points"),
    (root("0,0 3,abc"), "point 2 of the root '1' has y = 'abc'; a number is expected"),
    (root("0,0 nan,4"), "point 2 of the root '1' has x = 'nan'"),
    (root(line=LINE.format('<point x="1"/>')), "point 1 of the root '1' has no y"),
    (root(line=LINE.format('<point x="1" y="1" z="1"/><point x="1" y="1" z="2"/>')),
     "the root '1' has points of different z; only flat tracings are read"),
])
def test_a_root_that_cannot_be_is_refused(tmp_path, inner, said):
    "The line names the root and the point."
    with pytest.raises(InputError) as error:
        rsml.read(file(tmp_path / "a.rsml", plant(inner)))
    assert str(error.value).startswith(f"a.rsml: {said}")


def test_other_errors_of_files(tmp_path, monkeypatch):
    "An unknown unit, a file that is not there, one that is too large."
    with pytest.raises(InputError, match="^a.rsml: the unit 'Furlong' is not known; pixel, mm, cm, inch, m and um are"):
        rsml.read(file(tmp_path / "a.rsml", plant(root()), metadata="<unit>Furlong</unit>"))
    with pytest.raises(InputError, match=r"^b.rsml: there is no such file; did you mean 'a.rsml'\?"):
        rsml.read(tmp_path / "b.rsml")
    monkeypatch.setattr(rsml, "MEGABYTES", 1e-4)
    with pytest.raises(InputError, match="^a.rsml: more than 0.0001 MB are not read"):
        rsml.read(tmp_path / "a.rsml")


ROOTS = tracing().roots


@pytest.mark.parametrize("change, said", [
    ({"unit": "px"}, "the unit 'px' is not known"),
    ({"roots": ROOTS.drop(columns="parent")}, "has no column 'parent'"),
    ({"roots": ROOTS.assign(id=["1", "1", "2"])}, "the root '1' needs an id of its own"),
    ({"points": {"1": [[0, 0]], "1.1": [[0, 0]]}}, "the root '2' is in the table of roots or among the points, not in"),
    ({"points": {**tracing().points, "2": [[0, np.inf]]}}, "the points of the root '2' are no"),
    ({"points": {**tracing().points, "2": [[0, 1, 2]]}}, "the points of the root '2' are no"),
    ({"roots": ROOTS.assign(parent=["", "9", ""])}, "the root '1.1' grows from '9', which is no root"),
    ({"roots": ROOTS.assign(parent=["1.1", "1", ""])}, "which is one of its laterals; correct its parent"),
    ({"roots": ROOTS.assign(parent=["", "2", ""])}, "the root '1.1' grows from '2' of another plant"),
])
def test_roots_and_points_must_fit(change, said):
    "A tracing made by hand is checked as one from a file."
    with pytest.raises(InputError) as error:
        tracing(**change)
    assert said in str(error.value)


def test_a_tracing_leaves_what_it_was_made_of():
    "Table and points of the caller stay as they were."
    roots, points = ROOTS[["plant", "id", "parent", "label"]].copy(), {k: [[0, 0]] for k in ("1", "1.1", "2")}
    tracing(roots=roots, points=points)
    assert list(roots) == ["plant", "id", "parent", "label"] and points["2"] == [[0, 0]]


@pytest.mark.parametrize("angle", range(0, 91, 15))
@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_drawn_lines_have_their_area(angle, width):
    "At any angle a line covers length × width and half a disc at each end, on average over where on the grid it lies."
    rng, turn = np.random.default_rng(angle), np.radians(angle)
    end, areas = [200 * np.cos(turn), 200 * np.sin(turn)], []
    for start in 30 + rng.random((40, 2)):
        one = rsml.Tracing(ROOTS[:1], {"1": [start, start + end]})
        areas.append(one.draw((260, 260), width).sum())
    assert np.mean(areas) == pytest.approx(200 * width + np.pi * width**2 / 4, rel=0.12 / width)


def test_drawing_keeps_to_the_image():
    "x is the column, y the row; what lies outside is left out; a point is a disc; roots may be drawn one by one."
    mask = tracing().draw((6, 12), 1)
    assert mask[0, :11].all() and not mask[0, 11] and not mask[1:, 0].any() and mask[4, 8]
    assert tracing().draw((6, 30), 3, roots=["2"]).sum() == 3 * 2 and not tracing().draw((6, 12), 3, roots=["2"]).any()
    with pytest.raises(InputError, match="width = 0.5; lines are drawn 1 pixel wide or wider"):
        tracing().draw((6, 12), 0.5)


def test_an_archive_knows_tracings(tmp_path, monkeypatch):
    "They are found anywhere in it; check names the one that is wrong, and a root without a length."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path / "home"))
    folder = tmp_path / "mine"
    file(folder / "traced" / "a.rsml", plant(root(), root("1,1", about='ID="x"')))
    file(folder / "traced" / "b.rsml", plant(root("0,zero")))
    found = archive.open_archive(folder)
    assert [p.name for p in found.root_tracings] == ["a.rsml", "b.rsml"] and not len(found.root_images)
    findings = archive.check(folder)
    assert [f.problem for f in findings] == ["b.rsml: point 1 of the root '1' has y = 'zero'; a number is expected"]
    assert findings.remarks == ["a.rsml: the root 'x' has one point and no length"]
    assert findings.kinds.iloc[0][["files", "sites", "wrong"]].tolist() == [2, 1, 1]


@real
def test_real_tracings(tmp_path):
    "Twelve images of two or three traced barley seedlings, 166 roots without laterals, some 101 000 pixels, no scale."
    paths = sorted(REAL.glob("*.rsml"))
    found = [rsml.read(path) for path in paths]
    table = pd.concat([t.roots for t in found])
    assert len(found) == 12 and len(table) == 166 and set(table["order"]) == {1} and set(table["label"]) == {"primary"}
    assert {t.roots["plant"].nunique() for t in found} == {2, 3}
    assert table["length"].sum() == pytest.approx(101_088.4, abs=0.1) and table["points"].min() >= 2
    for path, one in zip(paths, found):
        assert (one.unit, one.resolution) == ("pixel", None)
        rsml.write(tmp_path / path.name, one)
        assert rsml.read(tmp_path / path.name) == one
        high, wide = (int(v.max()) + 9 for v in np.concatenate(list(one.points.values())).T[::-1])
        alone = sum(int(one.draw((high, wide), 5, roots=[name]).sum()) for name in one.points)
        # a pixel near a bend belongs to two of its lines, so that drawn roots have a little less area
        assert alone == pytest.approx(5 * one.lengths().sum() + len(one.points) * np.pi * 25 / 4, rel=0.02)
        assert one.draw((high, wide), 5).sum() < alone
    assert len(archive.open_archive(ROOT).root_tracings) == 12
