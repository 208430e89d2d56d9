import ast
import filecmp
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phenolib import archive, metrics, phenology, simulate
from phenolib.errors import InputError
from phenolib.sources import phenocam


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Twenty-four simulated cameras of three years."
    place = tmp_path_factory.mktemp("simulated")
    simulate.make("cameras", place, seed=3, sites=24, years=(2017, 2019))
    return place


def test_the_same_seed_writes_the_same_bytes(folder, tmp_path):
    "An archive is a function of its seed and sizes."
    simulate.make("cameras", tmp_path, seed=3, sites=24, years=(2017, 2019))
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    assert len(names) == 27
    assert filecmp.cmpfiles(folder, tmp_path, names, shallow=False)[0] == names


def test_more_sites_change_no_earlier_site(folder, tmp_path):
    "A site's series depends on its own streams alone."
    simulate.make("cameras", tmp_path, seed=3, sites=8, years=(2017, 2019))
    name = "phenocam/sim-002_AG_1000_3day.csv"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_another_seed_is_another_landscape(folder, tmp_path):
    "Students with different seeds get different dates."
    simulate.make("cameras", tmp_path, seed=4, sites=3, years=(2017, 2019))
    one, other = (pd.read_csv(f / "truth" / "cameras.csv").query("site == 'sim-mead2'") for f in (folder, tmp_path))
    assert (one["date"].to_numpy() != other["date"].to_numpy()).mean() > 0.8


def test_files_are_those_of_the_network(folder):
    "A simulated file has the network's columns, padding, gaps, outliers and flags, and no name of a real site."
    for path in sorted((folder / "phenocam").glob("*.csv")):
        data = phenocam.read(path)
        assert set(phenocam.VARIABLES) <= set(data) and data.attrs["site"].startswith("sim-")
        assert bool((data.int_flag[:90] == 1).all()) and bool(data.gcc_90[:90].isnull().all())
    steps = np.diff(data.gcc_90.dropna("time").time.values) / np.timedelta64(1, "D")
    assert np.median(steps) == 3


def test_truth_hangs_together(folder):
    "Starts come before ends, and a larger share is reached later on the way up and left earlier on the way down."
    truth = pd.read_csv(folder / "truth" / "cameras.csv", parse_dates=["date"])
    wide = truth[truth["crop"] != "alfalfa"].pivot_table(
        index=["series", "season"], columns=["direction", "share"], values="date", aggfunc="first")
    assert (wide["rising"][90] < wide["falling"][90]).all()
    assert (wide["rising"].diff(axis=1).iloc[:, 1:].to_numpy() >= np.timedelta64(0)).all()
    assert (wide["falling"].diff(axis=1).iloc[:, 1:].to_numpy() <= np.timedelta64(0)).all()


def test_winter_wheat_starts_in_autumn(folder):
    "Winter wheat greens before New Year at a low share, and is ripe in its harvest year."
    truth = pd.read_csv(folder / "truth" / "cameras.csv", parse_dates=["date"]).query("crop == 'winter wheat'")
    falling = truth.query("direction == 'falling'")
    assert (falling["date"].dt.year == falling["season"]).all()
    assert (truth.query("direction == 'rising' and share == 10")["date"].dt.year < truth["season"].max()).any()


def test_true_dates_come_back(folder):
    "The phenology finds the planted dates: 3 days at 50 %, 5 at 20 % on average."
    data = archive.Archive(folder)
    truth = data.reference("cameras", "truth").events
    found = phenology.events(phenology.camera_seasons(data.cameras(), per_year=8))
    both = metrics.match_events(found, truth[truth["share"].isin([20, 50])])
    for share, bound in ((50, 3), (20, 5)):
        for direction in ("rising", "falling"):
            some = both[(both["share"] == share) & (both["direction"] == direction)]
            error = metrics.days(some["found"], some["date"], draws=2)
            assert error.mae <= bound and error.retrieved > 0.75


@pytest.mark.parametrize("bad, words", [
    (dict(sites=0), "sites = 0"), (dict(years=(2020, 2018)), "years = 2020-2018"), (dict(years=(1800, 1801)), "years"),
])
def test_sizes_out_of_range_are_named(tmp_path, bad, words):
    "A size that cannot be made is refused, and nothing is written."
    with pytest.raises(InputError, match=words):
        simulate.make("cameras", tmp_path / "new", seed=1, **bad)
    assert not (tmp_path / "new").exists()


def test_unknown_part_is_named(tmp_path):
    "Only parts that exist can be made."
    with pytest.raises(InputError, match="'scene' is not known"):
        simulate.make("scene", tmp_path, seed=1)


@pytest.mark.parametrize("part", simulate.parts(every=True))
def test_the_hash_of_a_part_covers_what_it_is_made_with(part):
    "Every module that a part imports, directly or not, and that draws, dates or writes it enters its version."
    root = Path(simulate.__file__).resolve().parent.parent
    known, open_ = set(), [simulate.PARTS[part].removeprefix("phenolib.").replace(".", "/") + ".py"]
    while open_:
        path = open_.pop()
        if path in known or not path.startswith(("simulate/", "agreement")):
            continue
        known.add(path)
        for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("phenolib"):
                base = node.module.removeprefix("phenolib").removeprefix(".").replace(".", "/")
                names = [f"{base}/{alias.name}".strip("/") for alias in node.names]
                open_ += [f"{name}.py" for name in (*names, base) if (root / f"{name}.py").is_file()]
    assert known <= {*simulate.SOURCES[part], "simulate/__init__.py"}, sorted(known - set(simulate.SOURCES[part]))
