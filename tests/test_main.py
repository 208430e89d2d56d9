"""The command line says what is wrong in one line and ends with a code that scripts can rely on."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from conftest import DOUBLE, wait_for, write_chapter

import phenolib
from phenolib.__main__ import _years, main
from phenolib.errors import InputError

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def command(capsys):
    "Run a command line and return its exit code, what it printed, and its errors."

    def call(line):
        with pytest.raises(SystemExit) as end:
            main(line.split())
        return end.value.code, *capsys.readouterr()

    return call


def test_help_comes_at_once():
    "The help of the command is there in about a second: nothing heavy is imported for it."
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "phenolib", "--help"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0 and all(word in done.stdout for word in ("run", "sweep", "book", "simulate", "data"))
    assert time.monotonic() - begun < 4  # under one second on an idle machine


def test_the_command_line_imports_nothing_heavy():
    "Neither the command line nor the runner loads NumPy, papermill or the like before they are needed."
    code = "import sys, phenolib.__main__, phenolib.runner; "
    code += "print([m for m in ('numpy', 'pandas', 'papermill', 'matplotlib', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version(command):
    "--version names the version and ends well."
    assert command("--version")[:2] == (0, f"phenolib {phenolib.__version__}\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rum 10", "No such command 'rum'. Did you mean 'run'?"),
        ("run", "Missing argument 'chapter'"),
        ("run 99", "chapter '99': there is none"),
        ("run 10 --dry", "No such option: --dry"),
        ("run 10 -p dais=3", "chapter 10_double has no parameter 'dais'; did you mean 'days'?"),
        ("run 10 -p days=soon", "parameter 'days' is a number (float); 'soon' is not"),
        ("run 10 --set fats", "set 'fats': there is no such set or file; did you mean 'fast'?"),
        ("sweep 10", "a sweep needs values: -p NAME=V1,V2"),
        ("book --only 99", "chapter '99': there is none"),
        ("simulate --out full --seed 1", "--out full: is there already; name a new folder"),
        ("simulate --out new --seed 1 --years 2022-2016", "the first year is after the last"),
    ],
)
def test_what_the_user_can_mend_is_one_line(project, command, line, message):
    "Wrong input is one line on the standard error, exit code 2, and nothing is written."
    write_chapter(project, "10_double", DOUBLE)
    (project / "tests" / "sets").mkdir(parents=True)
    (project / "tests" / "sets" / "fast.yml").write_text("")
    Path("full").mkdir()
    Path("full/mine.txt").write_text("")
    code, out, err = command(line)
    assert code == 2 and out == ""
    assert err.startswith("phenolib: ") and message in err and err.count("\n") == 1
    assert os.listdir() == ["full"] and os.listdir("full") == ["mine.txt"]


def test_run_says_where_the_results_lie(project, command):
    "A run ends with its counts and a path that can be typed as it stands."
    write_chapter(project, "10_double", DOUBLE)
    code, out, err = command("run 10 -p days=1")
    assert (code, out) == (0, "1 results; checks: 1 held; phenolib-out/10_double\n")
    assert "10_double: started" in err and "10_double: done after" in err
    assert Path("phenolib-out/10_double/results.json").is_file()


def test_a_failing_chapter_ends_with_one(project, command):
    "A chapter that raises is named with its kept notebook, without a traceback, and the exit code is 1."
    write_chapter(project, "20_bad", "1 / 0")
    code, _, err = command("run 20 --out out")
    assert code == 1 and "20_bad failed" in err and "out/failed.ipynb" in err and "Traceback" not in err


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_leaves_nothing_half_written(project, sent, code):
    "Ctrl-C, or a request to end, stops the kernel and leaves no folder behind."
    write_chapter(project, "40_slow", "open('started', 'w').close()\nimport time\ntime.sleep(600)")
    script = "import pathlib, signal; from phenolib import files; files.checkout = lambda: pathlib.Path({!r}); "
    # a shell that starts the tests in the background lets its children ignore Ctrl-C
    script += "signal.signal(signal.SIGINT, signal.default_int_handler); "
    script = script.format(str(project)) + "from phenolib.__main__ import main; main(['run', '40', '--out', 'out'])"
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-c", script], env=env, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: Path("started").exists())
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in err
    assert os.listdir() == ["started"]


def test_simulate_writes_an_archive_whole_or_not_at_all(project, command, monkeypatch):
    "The simulator gets its sizes, writes beside, and the folder appears when it is complete."
    given = {}

    def make(folder, config):
        given.update(seed=config.seed, sites=config.sites, years=config.years, rain=config.rain)
        folder.mkdir(parents=True)
        (folder / "sites.csv").write_text("site")
        if config.seed == 13:
            raise InputError("seed 13: unlucky")

    monkeypatch.setattr("phenolib.simulate.make_all", make)
    code, out, _ = command("simulate --out deep/new --seed 5 --sites 3 --years 2016-2018")
    assert (code, out) == (0, "an archive with known dates: deep/new\n")
    assert given == {"seed": 5, "sites": 3, "years": (2016, 2018), "rain": 1.0}
    assert os.listdir("deep") == ["new"]
    assert command("simulate --out other/new --seed 13")[0] == 2
    assert not Path("other").exists()
    Path("dry.yml").write_text("rain: 0.5\nseed: 4\n")
    assert command("simulate --out dry --config dry.yml --sites 2")[0] == 0
    assert given == {"seed": 4, "sites": 2, "years": (2016, 2022), "rain": 0.5}


def test_a_configuration_is_shown_and_read_back(project, command):
    "What --show-config prints is a configuration file; a wrong name or value in one is told in one line."
    code, out, _ = command("simulate --show-config --seed 5")
    Path("all.yml").write_text(out)
    assert code == 0 and command("simulate --show-config --config all.yml")[1] == out and "seed: 5" in out
    for text, words in (("rian: 2", "did you mean 'rain'"), ("rain: wet", "a number is expected"),
                        ("rain: -1", "0 to 5"), ("years: [2020, 2018]", "the first is larger"),
                        ("- 1", "lines such as"), ("a: [", "no YAML"),
                        ("patch_years: [2001, 2002]", "outside years")):
        Path("bad.yml").write_text(text)
        code, _, err = command("simulate --out new --config bad.yml")
        assert code == 2 and "bad.yml: " in err and words in err and len(err.strip().splitlines()) == 1
    assert command("simulate --out new --config none.yml")[0] == 2 and not Path("new").exists()


def test_years_are_read_as_a_span():
    "2016-2018 is a span, 2016 a single year, and anything else an error."
    assert _years("2016-2018") == (2016, 2018) and _years("2016") == (2016, 2016)
    with pytest.raises(InputError, match="write first and last year"):
        _years("lately")


def test_the_page_of_data_tells_every_value_of_the_configuration():
    "A value that can be changed stands in the table of book/data.md, a single number with its default."
    from phenolib.simulate.config import DEFAULT

    rows = [line for line in (REPOSITORY / "book" / "data.md").read_text(encoding="utf-8").splitlines()
            if line.startswith("| `")]
    for name, value in asdict(DEFAULT).items():
        told = [row for row in rows if f"`{name}`" in row.split("|")[1]]
        assert len(told) == 1, name
        names = [n.strip(" `") for n in told[0].split("|")[1].split(",")]
        if not isinstance(value, tuple):
            assert float(told[0].split("|")[2].split(",")[names.index(name)]) == value, name
