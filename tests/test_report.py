"""What a chapter records is what its results.json will hold, and what it shows is readable anywhere."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from phenolib import report
from phenolib.errors import InputError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    "A run's folder, and nothing recorded yet."
    monkeypatch.setenv("PHENOLIB_RUN", str(tmp_path))
    monkeypatch.delenv("PHENOLIB_BOUNDS", raising=False)
    monkeypatch.setattr(report, "_results", {})
    monkeypatch.setattr(report, "_checks", {})
    return tmp_path


def records(folder):
    return json.loads((folder / "records.json").read_text())


def test_record_writes_every_field(folder, capsys):
    "A result with its interval comes back from the file as it was given, and is shown on one line."
    report.record("mae_days", np.float32(2.0), "days", interval=(1.5, np.float64(2.5)), n=np.int64(44), published="a.b")
    row = {"value": 2.0, "low": 1.5, "high": 2.5, "level": 0.95, "n": 44, "unit": "days", "published_id": "a.b"}
    assert records(folder)["results"]["mae_days"] == row | {"why": None}
    assert capsys.readouterr().out == "mae_days = 2.00 days (95 % interval 1.50 to 2.50, n = 44)\n"


def test_record_keeps_whole_numbers_whole(folder):
    "A count stays an integer and has no level without an interval."
    row = report.record("n_series", np.int32(76), "-")
    assert row["value"] == 76 and isinstance(row["value"], int) and row["level"] is None


def test_none_is_recorded_with_its_reason(folder, capsys):
    "A result that cannot be computed stands as null with the reason."
    report.record("mae_days", None, "days", why="the archive has no reference")
    assert records(folder)["results"]["mae_days"]["why"] == "the archive has no reference"
    assert "no value, because the archive has no reference" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "more", "message"),
    [
        ("mae", float("nan"), {}, "give None and why"),
        ("mae", np.inf, {}, "give None and why"),
        ("mae", None, {}, "needs its reason"),
        ("mae", "2", {}, "is not a number"),
        ("mae", True, {}, "is not a number"),
        ("mae", np.timedelta64(3, "ns"), {}, "is not a number"),
        ("mae", np.array([1.0, 2.0]), {}, "is not a number"),
        ("MAE days", 2, {}, "small letters"),
        ("mae", 2, {"interval": (3, 1)}, "upside down"),
        ("mae", 2, {"interval": (1, float("nan"))}, "cannot be recorded"),
    ],
)
def test_what_cannot_be_recorded_is_refused(folder, name, value, more, message):
    "Not-a-number, text, durations, bad names and upside-down intervals never reach the file."
    with pytest.raises(ValueError, match=message):
        report.record(name, value, "days", **more)
    assert not (folder / "records.json").exists()


def test_a_unit_is_demanded():
    "A number without a unit is refused; '-' says that there is none."
    with pytest.raises(ValueError, match="'-' for none"):
        report.record("share", 0.5, "")


def test_the_same_name_replaces_and_rechecks(folder):
    "Recording a name again replaces its value, and its check follows the new value."
    report.record("mae", 2, "days")
    report.check("mae", at_most=3)
    report.record("mae", 4, "days")
    assert records(folder)["results"]["mae"]["value"] == 4
    assert records(folder)["checks"]["mae"] == {"bound": {"at_most": 3}, "held": False}


@pytest.mark.parametrize(
    ("value", "bound", "held"),
    [
        (5, {"at_most": 5}, True),
        (5.1, {"at_most": 5}, False),
        (0.9, {"at_least": 0.95}, False),
        (0.97, {"at_least": 0.95, "at_most": 1}, True),
        (None, {"at_most": 5}, None),
    ],
)
def test_check_says_whether_a_bound_held(folder, value, bound, held):
    "Bounds include themselves; without a value a check is neither held nor missed, and never raises."
    report.record("mae", value, "days", why=None if value else "no reference")
    assert report.check("mae", **bound) == {"bound": bound, "held": held}
    assert records(folder)["checks"]["mae"]["held"] is held


def test_a_set_gives_its_own_bound(folder, monkeypatch):
    "A bound of the set takes the place of the chapter's, side by side."
    monkeypatch.setenv("PHENOLIB_BOUNDS", json.dumps({"mae": {"at_most": 8}}))
    report.record("mae", 6, "days")
    assert report.check("mae", at_most=5, at_least=0) == {"bound": {"at_most": 8, "at_least": 0}, "held": True}


def test_check_needs_a_record_and_a_bound():
    "A mistyped name is answered with the near one; a check without a bound is refused."
    report.record("mae_days", 2, "days")
    with pytest.raises(ValueError, match="did you mean 'mae_days'"):
        report.check("mae_dais", at_most=3)
    with pytest.raises(ValueError, match="at_most, at_least or both"):
        report.check("mae_days")


def test_artefact_lies_in_the_folder(folder):
    "A file for further use lies in the run's folder, and no name leads out of it."
    assert report.artefact("maps/dates.csv") == folder / "maps" / "dates.csv"
    assert (folder / "maps").is_dir()
    for name in ("../dates.csv", "/tmp/dates.csv"):
        with pytest.raises(InputError):
            report.artefact(name)


def test_without_a_runner_nothing_is_written(tmp_path, monkeypatch):
    "In an open notebook a result is only shown, and files go to out/."
    monkeypatch.delenv("PHENOLIB_RUN")
    monkeypatch.chdir(tmp_path)
    report.record("mae", 2, "days")
    assert not list(tmp_path.iterdir())
    assert report.artefact("dates.csv") == Path("out/dates.csv")


def test_a_notebook_shows_html_without_colours(monkeypatch):
    "The line in a notebook escapes what it is given and names no colour, so that dark mode can read it."
    code = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
from phenolib import report
with capture_output() as captured:
    last = shell.run_cell("from phenolib import report; report.record('mae', None, 'days', why='a < b')")
page = [out.data["text/html"] for out in captured.outputs]
assert len(page) == 1, page
assert "a &lt; b" in page[0] and "#" not in page[0] and "background" not in page[0], page
assert last.result["why"] == "a < b"
"""
    monkeypatch.delenv("PHENOLIB_RUN")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sources_and_modules_agree():
    "Every loaded module of the library has a source hash, by the same name."
    assert set(report.modules()) <= set(report.sources())
    assert all(len(sha) == 64 for sha in report.sources().values())


def test_versions_name_what_is_loaded():
    "The versions hold Python, this library and loaded packages of the field, and nothing else."
    versions = report.versions()
    assert versions["numpy"] == np.__version__
    assert {"python", "phenolib"} <= set(versions)
