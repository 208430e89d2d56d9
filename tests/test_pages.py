"""The generated pages: planted runs must stand in the right cells of the built pages."""

import csv
import datetime
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from phenolib.errors import InputError
from phenolib.report import pages

TODAY = datetime.date(2026, 1, 31)
CHAPTER = "13_deep_crop_against_phenocam"
MAE = "deepcrop.t2.mead2.ndvi.sos20.mae"
NOTE = "site printed as m|ead_2; $x$ and <b>tags</b>"


def published_row(id, **fields):
    return dict.fromkeys(pages.COLUMNS, "") | {"id": id, "study": id.split(".")[0], "chapter": CHAPTER} | fields


ROWS = [
    published_row(MAE, place="mead2", quantity="MAE of SOS20, NDVI", value="33.3", unit="days", note=NOTE),
    published_row("cao.p", place="Selhausen", quantity="p-value", high="0.001", unit="-"),
    published_row("cao.r2", quantity="R²", low="0.80", high="0.92", unit="-", chapter="21_root_unet", result="r2"),
    published_row("korea.day", quantity="date", low="10-01", unit="month-day"),
]


def result(value, low=None, high=None, **fields):
    empty = {"level": 0.95 if low is not None else None, "n": None, "unit": "days", "published_id": None, "why": None}
    return {"value": value, "low": low, "high": high} | empty | fields


def run(archive="simulated", results=None, checks=None, **fields):
    base = {"schema": 1, "archive": {"name": archive, "hash": "abcdef0123456789"}, "set": "default", "seed": 7}
    base |= {"commit": "0123456789abcdef", "versions": {"numpy": "2.3.1"}, "seconds": 12.4}
    return base | {"results": results or {}, "checks": checks or {}} | fields


def kept(archive, results, **fields):
    entry = run(archive, results, modules={"phenolib.phenology": "new"}, date="2026-01-02", machine="a laptop")
    return {"schema": 1, "chapters": {CHAPTER: entry | fields}}


@pytest.fixture
def write(tmp_path):
    "Write the pages from planted runs; returns the folder."

    def call(runs, *, rows=ROWS, parameters=None, modules=None, **columns):
        with open(tmp_path / "published.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, pages.COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        book = tmp_path / "book"
        modules = {"phenolib.phenology": "new"} if modules is None else modules
        published = tmp_path / "published.csv"
        pages.write(book, runs, parameters or {}, published=published, modules=modules, today=TODAY, **columns)
        return book

    return call


def lines(folder, page, start):
    "The lines of a written page that begin so, with ordinary blanks."
    text = (folder / page).read_text(encoding="utf-8").replace(pages.NO_BREAK, " ")
    return [line for line in text.splitlines() if line.startswith(start)]


def test_three_columns_are_never_mixed(write):
    "What was simulated, run in full and run on real files stands each in its own column."
    runs = {CHAPTER: run(results={"ndvi_mae": result(41.234, 30.1, 52.3, n=15, published_id=MAE)})}
    full = kept("simulated", {"ndvi_mae": result(40.0, 35.0, 45.0, level=0.9, published_id=MAE)})
    real = kept("cameras", {"ndvi_mae": result(29.96, published_id=MAE)})
    row = lines(write(runs, full=full, real=real), "results.md", "| mead2 ")[0].split(" | ")
    assert row[2] == "33.3 {sup}`1, 2`" and row[3] == "days"
    assert row[4:7] == ["41 (30 to 52; n = 15)", "40.0 (90 %: 35.0 to 45.0)", "30.0"]
    assert "cameras" in row[8] and row[9] == f"{{doc}}`13 </notebooks/{CHAPTER}>` `ndvi_mae` |"


def test_a_run_on_real_files_stands_in_the_real_column(write):
    "A book built on another archive leaves the simulated column empty."
    runs = {CHAPTER: run("my/data", {"ndvi_mae": result(41.0, published_id=MAE)})}
    assert lines(write(runs), "results.md", "| mead2 ")[0].split(" | ")[4:7] == ["–", "–", "41"]


def test_what_a_chapter_simulates_is_never_real(write):
    "A number of series that a chapter makes itself stays out of the real column, from this build and from a kept run."
    rows = {"mae": result(2.1), "planted": result(1.7, simulated=True)}
    built = (write({CHAPTER: run("/my/cameras", rows)}) / "results.md").read_text()
    assert "2.1" in built and "1.7" not in built
    kept_rows = rows | {"planted": result(9.9, simulated=True)}
    built = (write({CHAPTER: run("simulated", rows)}, real=kept("phenocam", kept_rows)) / "results.md").read_text()
    assert "1.7" in built and "9.9" not in built


def test_no_value_is_shown_with_its_reason(write):
    "A record without a value says why, and earns nothing."
    runs = {CHAPTER: run(results={"ndvi_mae": result(None, why="no reference | here", published_id=MAE)})}
    row = lines(write(runs), "results.md", "| mead2 ")[0]
    assert r"none: no reference \| here" in row and "Nothing yet" in row


def test_the_expected_name_links_where_no_record_names_the_number(write):
    "The record called `result` stands beside the published number; a record that names its id goes before it."
    unet = run(results={"r2": result(0.9, unit="-"), "r2_tubes": result(0.7, unit="-")})
    folder = write({"21_root_unet": unet})
    assert any("0.80 to 0.92" in line and line.endswith("`r2` |") for line in lines(folder, "results.md", "| "))
    unet["results"]["r2_tubes"]["published_id"] = "cao.r2"
    found = [line for line in lines(write({"21_root_unet": unet}), "results.md", "| ") if "0.80 to 0.92" in line]
    assert len(found) == 1 and found[0].endswith("`r2_tubes` |")


def test_numbers_that_nothing_compares_are_counted_and_shown(write):
    "They stand in a folded table with their count; the overview counts them too."
    text = "\n".join(lines(write({CHAPTER: run(results={"a": result(1.0, published_id=MAE)})}), "results.md", ""))
    assert text.count("Published numbers that no chapter compares yet (2)") == 1
    assert "| less than 0.001 |" in text and "| from 1 October |" in text and "| Deep-CroP | 1 | 1 |" in text


def test_a_changed_module_makes_a_kept_run_stale(write):
    "The mark stands at the value and names the module; with the same source there is none."
    real = kept("cameras", {"ndvi_mae": result(29.0, published_id=MAE)})
    folder = write({}, real=real, modules={"phenolib.phenology": "newer"})
    assert "| 29 **stale** |" in lines(folder, "results.md", "| mead2 ")[0]
    assert "changed since: `phenolib.phenology`" in (folder / "results.md").read_text()
    assert "**stale** |" not in (write({}, real=real) / "results.md").read_text()


@pytest.mark.parametrize("value", [None, "absent"])
def test_an_unearned_verdict_is_refused(write, value):
    "A verdict needs a recorded value; an id is named, and no page is written."
    results = {} if value == "absent" else {"a": result(None, why="no reference", published_id=MAE)}
    rows = [ROWS[0] | {"verdict": "reproduced"}]
    with pytest.raises(InputError, match=f"{MAE} is called reproduced"):
        write({CHAPTER: run(results=results)}, rows=rows)


def test_an_earned_verdict_is_shown(write):
    "With a recorded value the verdict stands on the page and in the overview."
    rows = [ROWS[0] | {"verdict": "recovered"}]
    folder = write({CHAPTER: run(results={"a": result(33.0, published_id=MAE)})}, rows=rows)
    assert "| recovered |" in lines(folder, "results.md", "| mead2 ")[0]
    assert "| Deep-CroP | 1 | 1 | 0 | 1 | 0 |" in lines(folder, "results.md", "| Deep-CroP ")


def test_an_unknown_published_id_is_refused(write):
    "A record that names a number that is not in the list is named, with the id it may have meant."
    with pytest.raises(InputError, match="did you mean"):
        write({CHAPTER: run(results={"a": result(1.0, published_id=MAE + "x")})})


@pytest.mark.parametrize("where, archive", [("full", "cameras"), ("real", "simulated")])
def test_a_kept_run_in_the_wrong_file_is_refused(write, where, archive):
    "Real numbers cannot slip into the full column, nor simulated ones into the real column."
    with pytest.raises(InputError, match=f"data/{where}_results.json"):
        write({}, **{where: kept(archive, {"a": result(1.0)})})


def test_units_that_differ_are_written_out(write):
    "A record in another unit than the published number's says so."
    runs = {CHAPTER: run(results={"a": result(5.0, unit="weeks", published_id=MAE)})}
    assert "| 5 weeks |" in lines(write(runs), "results.md", "| mead2 ")[0]


def test_status_counts_checks_and_seconds(write):
    "Seconds and checks are summed; a chapter that did not run is listed as such."
    bound = {"bound": {"at_most": 5}, "held": True}
    checks = {"a": bound, "b": bound | {"held": False}, "c": bound | {"held": None}}
    runs = {CHAPTER: run(checks=checks), "21_root_unet": run(seconds=30.0, seed=None, commit=None)}
    folder = write(runs, parameters={"11_phenocam_dates": []})
    assert lines(folder, "status.md", "| **Total")[0].startswith(
        "| **Total, 2 chapters** | **42** |  |  | **1 held, 1 not held, 1 cannot be judged** |"
    )
    assert lines(folder, "status.md", "| {doc}`/notebooks/21_root_unet`")[0].endswith("| none |  |  |  |")
    assert "not run in this build" in lines(folder, "status.md", "| `11_phenocam_dates`")[0]


@pytest.mark.parametrize(
    "value, low, high, text",
    [(0.0, None, None, "0"), (-0.01234, None, None, "−0.0123"), (1e-12, None, None, "1.00e−12"), (5.0, 5.0, 5.0, "5")]
    + [(1234.5, 1000.0, 1500.0, "1234"), (0.98765, 0.98, 0.99, "0.9877")],
)
def test_digits_follow_the_interval(value, low, high, text):
    "Two digits of the interval's half-width, three of the value where there is none."
    assert pages.number(value, low, high) == text


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    "The three pages, built by Sphinx with warnings as errors from planted runs and the real list of numbers."
    source = tmp_path_factory.mktemp("source")
    (source / "notebooks").mkdir()
    for name in (CHAPTER, "21_root_unet"):
        (source / "notebooks" / f"{name}.md").write_text(f"# Chapter {name[:2]}\n")
    extensions = '["myst_parser", "sphinx_design"]'
    (source / "conf.py").write_text(
        f'extensions = {extensions}\nmyst_enable_extensions = ["dollarmath", "colon_fence"]\n'
    )
    listed = "\n".join(
        ["book/results", "book/parameters", "book/status", f"notebooks/{CHAPTER}", "notebooks/21_root_unet"]
    )
    (source / "index.md").write_text(f"# Index\n\n```{{toctree}}\n{listed}\n```\n")
    why = "a|b *c* `d` $e$ <script> {doc}`f` [g](h) _i_ {{ j }}"
    results = {"ndvi_mae": result(41.234, 30.1, 52.3, n=15, published_id=MAE), "odd": result(None, why=why)}
    checks = {"ndvi_mae": {"bound": {"at_most": 50}, "held": True}}
    texts = {"name": "threshold", "type": "float", "default": 0.2, "meaning": "share | of $a$ <b>", "unit": "-"}
    archive = {"name": "simulated", "type": "str", "default": "a b", "meaning": "", "unit": None, "fast": "x|y"}
    runs = {
        CHAPTER: run(results=results, checks=checks),
        "21_root_unet": run(results={"root_length_r2": result(0.9, unit="-")}),
    }
    real = kept("my_data", {"ndvi_mae": result(29.0, 20.0, 38.0, published_id=MAE)})
    real["chapters"][CHAPTER]["archive"]["licence"] = "CC BY 4.0"
    pages.write(
        source / "book",
        runs,
        {CHAPTER: [archive, texts], "21_root_unet": []},
        published=Path(__file__).parent.parent / "data" / "published.csv",
        real=real,
        today=TODAY,
    )
    out = tmp_path_factory.mktemp("html")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", str(source), str(out)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    return {
        p: BeautifulSoup((out / "book" / f"{p}.html").read_text(), "html.parser")
        for p in ("results", "parameters", "status")
    }


def row_of(page, text):
    "The cells of the first table row that holds a text."
    for row in page.select("div.wide-table tr"):
        cells = [cell.get_text(" ", strip=True).replace(pages.NO_BREAK, " ") for cell in row.select("td")]
        if any(text in cell for cell in cells):
            return cells
    raise AssertionError(f"no row with {text}")


def test_built_results_hold_the_numbers(html):
    "Published, simulated and real stand in one row of the built table, beside a link to the chapter."
    cells = row_of(html["results"], "ndvi_mae")
    assert cells[:4] == ["mead2", "MAE of SOS20, NDVI (TIMESAT)", "33.3", "days"]
    assert cells[4:7] == ["41 (30 to 52; n = 15)", "–", "29.0 (20.0 to 38.0) stale"]
    assert html["results"].find("a", href=f"../notebooks/{CHAPTER}.html")
    assert row_of(html["results"], "root_length_r2")[2].startswith("0.80 to 0.92 1")


def test_built_text_is_what_was_recorded(html):
    "Signs that MyST would read stand on the page as they were written."
    assert row_of(html["results"], "odd")[2] == "none 1"
    paragraphs = [p.get_text() for p in html["results"].find_all("p")]
    assert "a|b *c* `d` $e$ <script> {doc}`f` [g](h) _i_ {{ j }}" in paragraphs
    assert row_of(html["parameters"], "threshold")[5] == "share | of $a$ <b>"
    assert row_of(html["parameters"], "x|y")[2:4] == ["a b", "x|y"]


def test_built_results_hide_nothing(html):
    "All numbers of the studies stand on the page: those compared and, folded, those that wait."
    titles = [s.get_text(" ", strip=True) for s in html["results"].select("details summary")]
    counts = [int(title.split("(")[1].split(")")[0]) for title in titles]
    assert counts == [185, 31, 28, 9]
    assert "abstract and summary only" in html["results"].get_text()


def test_built_parameters_name_the_command(html):
    "The command line that changes a parameter is on the page."
    assert "phenolib run 13 -p threshold=0.2" in html["parameters"].get_text()


def test_built_status_names_archive_commit_and_versions(html):
    "A chapter's row links to it and names what it ran on."
    cells = row_of(html["status"], "Chapter 13")
    assert cells[1:7] == ["12", "default", "simulated abcdef01", "1 held", "7", "01234567"]
    assert row_of(html["status"], "numpy") == ["numpy", "2.3.1"]
    assert "2026-01-31" in html["status"].get_text()
