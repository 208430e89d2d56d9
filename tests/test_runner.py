"""Chapters run with what they were given, keep what belongs to them, and are run again only when they have to."""

import csv
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import DOUBLE, PARAMETERS, has_ended, wait_for, write_chapter

from phenolib import files, runner
from phenolib.errors import CheckFailed, InputError
from phenolib.runner import ChapterFailed, execution, grid, notebooks, pool, site

REPOSITORY = Path(__file__).resolve().parent.parent
def write_set(folder, name, content):
    (folder / "tests" / "sets").mkdir(parents=True, exist_ok=True)
    (folder / "tests" / "sets" / f"{name}.yml").write_text(yaml.safe_dump(content))


# names, types, sets: nothing starts


def test_parameters_have_names_types_and_meanings(project):
    "The parameters cell yields name, type, default and comment in its order."
    write_chapter(project, "10_double", DOUBLE)
    found = runner.parameters(project / "notebooks" / "10_double.ipynb")
    assert [p.name for p in found] == ["days", "site", "steps", "plot", "shares", "seed"]
    assert [p.type for p in found] == ["float", "str", "int", "bool", "list[float]", "int"]
    assert [p.default for p in found] == [2.0, "mead2", 3, True, [0.2, 0.5], 7]
    assert found[0].help == "days to double [days]"


@pytest.mark.parametrize(
    ("text", "value"),
    [("days=3", 3.0), ("steps=4", 4), ("plot=false", False), ("site=a=b", "a=b"), ("shares=0.1,0.9", [0.1, 0.9])],
)
def test_text_is_read_as_the_parameters_type(project, text, value):
    "A value from the command line takes the type of its parameter."
    write_chapter(project, "10_double", DOUBLE)
    found = notebooks.checked("10_double", notebooks.split([text]))
    assert list(found.values()) == [value] and type(list(found.values())[0]) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dyas=3", "no parameter 'dyas'; did you mean 'days'"),
        ("days=three", "'days' is a number.*'three' is not"),
        ("days=nan", "'days' is a number"),
        ("steps=2.5", "'steps' is a whole number"),
        ("plot=2", "'plot' is true or false"),
        ("shares=0.1,x", "'shares' is a list of numbers"),
        ("days", "write it as NAME=VALUE"),
    ],
)
def test_a_wrong_parameter_is_one_clear_line(project, text, message):
    "An unknown name is answered with the near one, a wrong type with the expected one."
    write_chapter(project, "10_double", DOUBLE)
    with pytest.raises(InputError, match=message):
        runner.run("10", notebooks.split([text]), out="out")
    assert not Path("out").exists()


def test_a_chapter_is_found_by_its_first_characters(project):
    "10 is enough where one chapter begins so; an unknown one is answered with near names."
    write_chapter(project, "10_double")
    write_chapter(project, "11_phenocam_dates")
    assert notebooks.find("11") == "11_phenocam_dates"
    with pytest.raises(InputError, match="several begin so"):
        notebooks.find("1")
    with pytest.raises(InputError, match="did you mean '11_phenocam_dates'"):
        notebooks.find("11_phenocam_date_s")


def test_a_set_stands_between_the_cell_and_the_caller(project):
    "The caller's value wins over the set's, and the set's over the cell's."
    write_chapter(project, "01_double", DOUBLE)
    write_set(project, "fast", {1: {"parameters": {"days": 1, "steps": 2}}})
    job = execution.prepare("01", {"steps": "9"}, set="fast", out="out")
    assert (job.parameters["days"], job.parameters["steps"], job.parameters["site"]) == (1.0, 9, "mead2")
    assert job.set == "fast" and not job.published
    assert execution.prepare("01", {"steps": 2}, set="fast", out="out").published


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"12": {}}, "fast.yml: chapter '12': there is none"),
        ({"10": {"parameters": {"dayz": 1}}}, "fast.yml: chapter 10_double has no parameter 'dayz'"),
        ({"10": {"parameters": {"days": "x"}}}, "fast.yml: parameter 'days' is a number"),
        ({"10": {"check": {}}}, "'check' means nothing; did you mean 'checks'"),
        ({"10": {"checks": {"double_days": 3}}}, "needs at_most or at_least"),
    ],
)
def test_a_wrong_set_names_its_file(project, content, message):
    "An unknown chapter, parameter or key in a set is an error that names the file."
    write_chapter(project, "10_double", DOUBLE)
    write_set(project, "fast", content)
    with pytest.raises(InputError, match=message):
        notebooks.read_set("fast")


def test_an_archive_that_is_not_there_is_refused_before_a_kernel_starts(project):
    "A mistyped archive folder is an error in a moment, not after a kernel has started."
    write_chapter(project, "10_double", DOUBLE, parameters='archive: str = "simulated"  # archive')
    begun = time.monotonic()
    with pytest.raises(InputError, match="there is no such folder"):
        runner.run("10", {"archive": "nowhere"}, out="out")
    assert time.monotonic() - begun < 5 and not Path("out").exists()


def test_an_archive_of_other_files_is_refused_before_a_kernel_starts(project, monkeypatch):
    "A chapter of roots says at once that a folder of cameras is not for it; one kind of several is enough."
    write_chapter(project, "10_double", DOUBLE, parameters='archive: str = "simulated"  # archive',
                  kinds=["root_images", "plots"], also=["soil"])
    there = {"cameras": ["a.csv"]}
    monkeypatch.setattr(execution, "_open", lambda name: SimpleNamespace(
        name="mine", hash=lambda kinds=None: "ab12", kinds=lambda: there))
    with pytest.raises(InputError, match="reads root_images, plots, soil, and the archive 'mine' has only cameras"):
        execution.prepare("10", {}, out="out")
    there["soil"] = ["b.csv"]
    assert execution.prepare("10", {}, out="out").archive == {"name": "mine", "hash": "ab12"}


# one run


def test_results_hold_what_a_reader_needs(project, monkeypatch):
    "results.json has every field of its schema; the run leaves its notebook and files, and no path of the machine."
    own = Path("my_data").resolve()
    own.mkdir()
    parameters = PARAMETERS + 'archive: str = "simulated"  # archive'
    write = "import os\nopen(ph.report.artefact('dates.csv'), 'w').write(archive)\nprint(os.getcwd() + '/x', archive)"
    write_chapter(project, "10_double", DOUBLE, write, parameters=parameters)
    monkeypatch.setattr(execution, "_open", lambda name: SimpleNamespace(name="mine", hash=lambda kinds=None: "ab12"))
    results = runner.run("10", {"days": "1.5", "archive": str(own)}, out="out")
    assert results == json.loads(Path("out/results.json").read_text())
    head = ["schema", "chapter", "archive", "set", "parameters", "seed", "commit", "versions", "seconds"]
    assert list(results) == [*head, "results", "checks"]
    assert results["chapter"] == "10_double" and results["schema"] == 1 and results["seed"] == 7
    assert results["archive"] == {"name": "mine", "hash": "ab12"}
    assert results["parameters"]["days"] == 1.5 and results["parameters"]["archive"] == "my_data"
    assert results["results"]["double_days"]["value"] == 3.0
    assert results["checks"]["double_days"] == {"bound": {"at_most": 5}, "held": True}
    assert sorted(path.name for path in Path("out").iterdir()) == ["dates.csv", "notebook.ipynb", "results.json"]
    assert Path("out/dates.csv").read_text() == str(own)  # the chapter itself had the whole path
    texts = [Path("out/notebook.ipynb").read_text(), Path("out/results.json").read_text()]
    assert not any(str(place) in text for text in texts for place in (own, Path.cwd(), project, Path.home(), "/tmp"))


def test_a_notebook_is_cleaned_in_a_moment(tmp_path):
    "Long unbroken text, as of pictures, is searched for paths in no time; a kernel's own file names go."
    job = SimpleNamespace(values={"archive": "/my/data"}, cwd=tmp_path)
    text = "A1b/" * 300_000
    own_text = "from /my/data, https://a.b/my/data"
    texts = [text, f"{text}/tmp/ipykernel_12/34.py:1: UserWarning", own_text, f"{tmp_path}/x"]
    cell = {"metadata": {}, "outputs": [{"data": {"text/html": texts, "image/png": text}}]}
    files.write_json(tmp_path / "notebook.ipynb", {"metadata": {}, "cells": [cell]})
    begun = time.monotonic()
    execution._clean_notebook(tmp_path / "notebook.ipynb", job, tmp_path / "run")
    assert time.monotonic() - begun < 5
    cleaned = json.loads((tmp_path / "notebook.ipynb").read_text())["cells"][0]["outputs"][0]["data"]["text/html"]
    assert cleaned[0] == text and cleaned[1].endswith("cell:1: UserWarning")
    assert cleaned[2:] == ["from data, https://a.b/my/data", "x"]


def test_relative_paths_start_where_the_caller_stands(project):
    "A chapter finds the file that the caller names from its own folder, and threads are held to one."
    Path("mine.txt").write_text("41")
    cell = """
import os, phenolib as ph
ph.report.record("number", int(open(site).read()), "-")
ph.report.record("threads", int(os.environ["OMP_NUM_THREADS"]), "-")
ph.report.record("backend_set", int("inline" not in os.environ["MPLBACKEND"]), "-")
"""
    write_chapter(project, "10_file", cell)
    results = runner.run("10", {"site": "mine.txt"}, out="out")["results"]
    assert [results[name]["value"] for name in ("number", "threads", "backend_set")] == [41, 1, 0]


def test_a_chapter_that_raises_keeps_its_notebook(project):
    "The executed notebook of a failing chapter is kept and named, and older results are left alone."
    Path("out").mkdir()
    Path("out/results.json").write_text('{"schema": 1}')
    write_chapter(project, "20_bad", "print('so far')", "1 / 0")
    with pytest.raises(ChapterFailed, match="20_bad failed in cell .*ZeroDivisionError.*out/failed.ipynb"):
        runner.run("20", out="out")
    assert "so far" in Path("out/failed.ipynb").read_text()
    assert sorted(os.listdir("out")) == ["failed.ipynb", "results.json"]


def test_a_foreign_results_file_is_never_overwritten(project):
    "A folder whose results.json is somebody else's is refused before anything runs."
    Path("out").mkdir()
    Path("out/results.json").write_text("[1, 2]")
    write_chapter(project, "20_good", "1 + 1")
    with pytest.raises(InputError, match="not a chapter's; name another folder"):
        runner.run("20", out="out")
    assert Path("out/results.json").read_text() == "[1, 2]"


def test_an_input_error_in_a_chapter_leaves_nothing(project):
    "What the user gave was wrong: one line, and no folder."
    cell = "from phenolib.errors import InputError\nraise InputError('site x: no such site')"
    write_chapter(project, "30_input", cell)
    with pytest.raises(InputError, match="^site x: no such site$"):
        runner.run("30", out="deep/out")
    assert not Path("deep").exists()


def test_a_chapter_that_takes_too_long_is_ended(project):
    "After its time the kernel is gone, the chapter is named, and its notebook so far is kept."
    cell = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)"
    write_chapter(project, "40_slow", "print('so far')", cell)
    with pytest.raises(ChapterFailed, match="40_slow failed: did not end within 0.2 minutes"):
        runner.run("40", out="out", timeout=0.2)
    assert "so far" in Path("out/failed.ipynb").read_text()
    wait_for(lambda: has_ended(Path("pid").read_text()))


def test_strict_fails_for_published_values_alone(project):
    "A missed check fails a strict run of the published values, and only says so for a reader's own."
    write_chapter(project, "10_double", DOUBLE, parameters="days: float = 4.0  # days\nsteps: int = 3  # n")
    with pytest.raises(CheckFailed, match="10_double: double_days is 8, not at most 5.*out/notebook.ipynb"):
        runner.run("10", out="out", strict=True)
    assert json.loads(Path("out/results.json").read_text())["checks"]["double_days"]["held"] is False
    assert runner.run("10", {"days": 6}, out="mine", strict=True)["checks"]["double_days"]["held"] is False


def test_a_set_bounds_its_checks(project):
    "A bound of the set holds in place of the chapter's; one that meets no check fails a strict run."
    write_chapter(project, "10_double", DOUBLE)
    write_set(project, "fast", {"10": {"parameters": {"days": 4.0}, "checks": {"double_days": {"at_most": 9}}}})
    assert runner.run("10", set="fast", out="out", strict=True)["checks"]["double_days"]["bound"] == {"at_most": 9}
    write_set(project, "other", {"10": {"checks": {"duoble_days": {"at_most": 9}}}})
    with pytest.raises(CheckFailed, match="never checks; did you mean 'double_days'"):
        runner.run("10", set="other", out="out", strict=True)


# several runs


def test_runs_wait_for_what_they_need():
    "A run starts after those it needs; one whose need failed is not run; a circle is refused."
    order = []

    def fails():
        raise ChapterFailed("a failed")

    tasks = {"a": fails, "b": lambda: order.append("b"), "c": lambda: order.append("c"), "d": lambda: order.append("d")}
    outcomes = pool.together(tasks, needs={"b": ["a"], "c": ["d"], "d": ["not a task"]})
    assert order == ["d", "c"]
    assert "it needs a, which failed" in str(outcomes["b"])
    with pytest.raises(InputError, match="wait for each other: c, d"):
        pool.together(tasks, needs={"c": ["d"], "d": ["c"]})


def test_long_chains_begin_first():
    "Of the runs that may start, that for which most others wait goes first, so that no chain is left for the end."
    order = []
    tasks = {name: functools.partial(order.append, name) for name in "abcdef"}
    pool.together(tasks, needs={"d": ["b"], "e": ["d"], "f": ["c"]}, jobs=1)
    assert order == ["b", "c", "d", "a", "e", "f"]


def test_needs_are_read_from_the_notebook(project):
    "A chapter's needs are given by number in its metadata."
    write_chapter(project, "02_early")
    write_chapter(project, "12_net")
    write_chapter(project, "13_after", needs=[12, 2])
    assert notebooks.needs("13_after") == ["12_net", "02_early"]


def test_a_sweep_makes_one_table_and_one_page(project):
    "Every combination is a run; a failed one is listed, and the others are drawn with text for those who cannot see."
    cell = DOUBLE + "\nif site == 'none': 1 / 0\nph.report.record('empty_days', None, 'days', why='no <reference>')"
    cell += "\nph.report.record('n_series', 76, '-')"
    write_chapter(project, "10_double", cell)
    runs = runner.sweep("10", {"days": "1,2", "site": "mead2,none"}, out="out")
    assert [run.values["days"] for run in runs if run.results] == [1.0, 2.0]
    rows = list(csv.DictReader(open("out/sweep.csv")))
    assert list(rows[0]) == ["days", "site", *grid.COLUMNS]
    assert [(row["days"], row["value"], row["low"], row["unit"]) for row in rows if row["name"] == "double_days"] == [
        ("1.0", "2.0", "1.0", "days"),
        ("2.0", "4.0", "3.0", "days"),
    ]
    assert sum("ZeroDivisionError" in row["error"] for row in rows) == 2
    page = BeautifulSoup(Path("out/sweep.html").read_text(), "html.parser")
    alts = [image["alt"] for image in page.find_all("img")]
    assert alts == ["double_days in days against days. 1.0: 2.00; 2.0: 4.00."]
    assert len(page.find("tbody").find_all("tr")) == 4 and "ZeroDivisionError" in page.text
    assert "empty_days: no <reference>" in page.text and "n_series: 76" in page.text
    assert not page.find_all(["script", "link"]) and all(i["src"].startswith("data:") for i in page.find_all("img"))


def test_a_sweep_checks_every_value_first(project):
    "One wrong value among several stops a sweep before anything starts."
    write_chapter(project, "10_double", DOUBLE)
    for given, message in (({"days": "1,x"}, "'x' is not"), ({"dais": "1"}, "did you mean 'days'"), ({}, "NAME=V1,V2")):
        with pytest.raises(InputError, match=message):
            runner.sweep("10", given, out="out")
    assert not Path("out").exists()


def test_a_sweep_of_wrong_input_alone_is_an_input_error(project):
    "Where no run gets beyond its input, the line is said once and nothing is left."
    write_chapter(project, "30_input", "from phenolib.errors import InputError\nraise InputError(f'site {site}: none')")
    with pytest.raises(InputError, match="^site a: none$"):
        runner.sweep("30", {"site": "a"}, out="out")
    assert not Path("out").exists()


def test_a_list_is_swept_with_semicolons(project):
    "Commas part the items of a list, so semicolons part its values."
    write_chapter(project, "10_double")
    assert notebooks.several("10_double", {"shares": "0.1,0.2;0.5", "days": "1,1,2"}) == {
        "shares": [[0.1, 0.2], [0.5]],
        "days": [1.0, 2.0],
    }


# the book


@pytest.fixture
def chapter_job(project):
    "A job of the small chapter, as the book makes it."
    write_chapter(project, "10_double", DOUBLE)
    return lambda **more: execution.prepare("10", out=project / "_build" / "runs" / "10_double", cwd=project, **more)


def test_a_chapter_is_fresh_until_something_it_rests_on_changes(project, chapter_job, monkeypatch):
    "After a run nothing has to run; the notebook, the lock, a value, the archive or a used module makes it stale."
    now = site.sources()
    assert not site.is_fresh(chapter_job(), now)
    site.run_and_stamp(chapter_job(), now)
    assert site.is_fresh(chapter_job(), now)
    assert site.is_fresh(chapter_job(), now | {"phenolib.trends": "other"})  # a module that it did not use
    assert not site.is_fresh(chapter_job(), now | {"phenolib.report": "other"})
    write_set(project, "fast", {"10": {"parameters": {"days": 1}}})
    assert not site.is_fresh(chapter_job(set="fast"), now)
    with monkeypatch.context() as patch:
        patch.setattr(execution, "describe_archive", lambda job: {"name": "simulated", "hash": "other"})
        assert not site.is_fresh(chapter_job(), now)
    (project / "requirements.lock").write_text("numpy==3")
    assert not site.is_fresh(chapter_job(), now)
    (project / "requirements.lock").unlink()
    assert site.is_fresh(chapter_job(), now)
    write_chapter(project, "10_double", DOUBLE + "\n# another comment")
    assert not site.is_fresh(chapter_job(), now)


def test_a_killed_run_is_run_again(project, chapter_job):
    "The stamp is taken away before a run and written last, so that a killed run never counts as done."
    job, now = chapter_job(), site.sources()
    site.run_and_stamp(job, now)
    write_chapter(project, "10_double", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    with pytest.raises(ChapterFailed):
        site.run_and_stamp(chapter_job(), now)
    write_chapter(project, "10_double", DOUBLE)  # as it was when it was stamped
    assert not site.is_fresh(chapter_job(), now)


def test_a_killed_build_leaves_no_kernel(project):
    "When the runner itself is killed, the kernel it had started ends too."
    cell = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)"
    write_chapter(project, "40_slow", cell)
    code = "import pathlib; from phenolib import files, runner; files.checkout = lambda: pathlib.Path({!r}); "
    code = code.format(str(project)) + "runner.run('40', out='out')"
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.DEVNULL)
    wait_for(lambda: Path("pid").is_file() and Path("pid").read_text())
    process.kill()
    process.wait()
    wait_for(lambda: has_ended(Path("pid").read_text()))
    with execution._workplace(Path("out").resolve()):  # the next run takes away what the killed one left
        assert len(os.listdir("out")) == 1


def test_recording_keeps_where_results_come_from(project, tmp_path, monkeypatch):
    "A recorded real run keeps its archive, licence, machine and module hashes, beside those of other chapters."
    write_chapter(project, "10_double", DOUBLE, parameters=PARAMETERS + 'archive: str = "simulated"  # archive')
    write_set(project, "real", {"10": {"licence": "CC BY 4.0", "parameters": {"days": 1}}})
    (project / "data").mkdir()
    files.write_json(project / "data" / "real_results.json", {"schema": 1, "chapters": {"09_other": {"seconds": 1}}})
    monkeypatch.delenv("PHENOLIB_ARCHIVE", raising=False)
    with pytest.raises(InputError, match="PHENOLIB_ARCHIVE is not set"):
        runner.record("real")
    shutil.copytree(small_archive(tmp_path), tmp_path / "real_files")
    monkeypatch.setenv("PHENOLIB_ARCHIVE", str(tmp_path / "real_files"))
    entry = json.loads(runner.record("real").read_text())["chapters"]["10_double"]
    assert entry["results"]["double_days"]["value"] == 2.0
    assert entry["archive"]["name"] == "real_files" and entry["archive"]["licence"] == "CC BY 4.0"
    assert entry["modules"]["phenolib.report"] == site.sources()["phenolib.report"]
    assert entry["set"] == "real" and entry["machine"] and entry["date"] and "seconds" in entry
    text = (project / "data" / "real_results.json").read_text()
    assert "09_other" in text and str(tmp_path) not in text and os.uname().nodename not in entry["machine"]


def small_archive(tmp_path):
    "A folder that is recognised as camera files by its names."
    folder = tmp_path / "cameras"
    folder.mkdir()
    (folder / "mead2_AG_1000_3day.csv").write_text("date,gcc_90\n2020-01-01,0.33\n")
    return folder


CONFIG = {"title": "Small", "only_build_toc_files": True, "execute": {"execute_notebooks": "off"}}
TOC = {"format": "jb-book", "root": "book/index", "chapters": []}
TOC["chapters"] += [{"file": f"notebooks/{name}"} for name in ("10_toy", "11_other")]
TOC["chapters"] += [{"file": f"book/{name}"} for name in ("results", "parameters", "status")]


@pytest.fixture
def copy(tmp_path):
    "A copy of the library with two small chapters and the least of a book, and a function that builds it."
    root = tmp_path / "copy"
    shutil.copytree(REPOSITORY / "phenolib", root / "phenolib", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "phenolib" / "toy.py").write_text('"""A constant."""\n\nANSWER = 41\n')
    (root / "data").mkdir()
    shutil.copyfile(REPOSITORY / "data" / "published.csv", root / "data" / "published.csv")
    record = "import phenolib as ph\nfrom phenolib import toy\nph.report.record('answer_days', toy.ANSWER, 'days')"
    check = "ph.report.check('answer_days', at_most=50)"
    write_chapter(root, "10_toy", record, check, parameters="seed: int = 7  # seed")
    other = "import phenolib as ph\nph.report.record('other', seed, '-')"
    write_chapter(root, "11_other", other, parameters="seed: int = 7  # seed", needs=[10])
    (root / "book").mkdir()
    (root / "book" / "index.md").write_text("# Small\n\nA small book.\n")
    (root / "_config.yml").write_text(yaml.safe_dump(CONFIG))
    (root / "_toc.yml").write_text(yaml.safe_dump(TOC))
    (root / "requirements.lock").write_text("numpy\n")

    def build(*options):
        env = os.environ | {"PYTHONPATH": str(root), "PHENOLIB_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-m", "phenolib", "book", *options]
        return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)

    return SimpleNamespace(root=root, build=build)


def test_the_book_is_built_again_only_where_something_changed(copy):
    "A second build runs nothing; a changed constant changes the number on the page; a failure leaves the old pages."
    first = copy.build()
    assert first.returncode == 0, first.stderr
    assert "0 chapters fresh, 2 run" in first.stdout and "the book: _build/html/index.html" in first.stdout
    page = copy.root / "_build" / "html" / "notebooks" / "10_toy.html"
    assert "answer_days = 41 days" in text_of(page)
    assert "41" in text_of(copy.root / "_build" / "html" / "book" / "results.html")
    built = page.stat().st_mtime_ns

    second = copy.build()
    assert "2 chapters fresh, 0 run" in second.stdout, second.stderr
    assert page.stat().st_mtime_ns == built

    (copy.root / "phenolib" / "toy.py").write_text('"""A constant."""\n\nANSWER = 42\n')
    third = copy.build()
    assert third.returncode == 0 and "1 chapter fresh, 1 run" in third.stdout, third.stderr
    assert "answer_days = 42 days" in text_of(page) and "41 days" not in text_of(page)

    (copy.root / "phenolib" / "toy.py").write_text('"""A constant."""\n\nANSWER = 99\n')
    missed = copy.build()
    assert missed.returncode == 1 and "answer_days is 99, not at most 50" in missed.stderr
    (copy.root / "phenolib" / "toy.py").write_text("ANSWER = 1 / 0\n")
    failed = copy.build()
    kept = copy.root / "_build" / "runs" / "default" / "10_toy" / "failed.ipynb"
    assert failed.returncode == 1 and "10_toy failed in cell" in failed.stderr and kept.is_file()
    assert "Traceback" not in failed.stderr
    assert "answer_days = 42 days" in text_of(page)


def text_of(page):
    "The text that a reader sees, on one line."
    return " ".join(BeautifulSoup(page.read_text(), "html.parser").text.split())
