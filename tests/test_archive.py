"""Archives: recognised or described, hashed, simulated, downloaded, and checked."""

import hashlib
import http.server
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import archive, simulate
from phenolib.archive import downloads
from phenolib.errors import InputError
from phenolib.sources import phenocam

REAL = os.environ.get("PHENOLIB_ARCHIVE")
real = pytest.mark.skipif(not REAL, reason="PHENOLIB_ARCHIVE names no real archive")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    "Caches and downloads of each test lie in its own folder; no mirror is used."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PHENOLIB_MIRROR", raising=False)


def camera(folder, site="one", roi="1000", veg_type="AG", lat=41.0, lon=-96.0, step=3, where="phenocam"):
    "A small camera file."
    time = pd.date_range("2018-01-02", periods=40, freq="3D")
    data = xr.Dataset({"gcc_90": ("time", np.round(0.35 + 0.002 * np.arange(40), 5))}, {"time": time})
    data.attrs = dict(site=site, veg_type=veg_type, roi=roi, lat=lat, lon=lon, elev=1.0, step=step)
    path = folder / where / f"{site}_{veg_type}_{roi}_{step}day.csv"
    phenocam.write(data, path)
    return path


def published(folder, site="one", roi="1000", step=3):
    "Transition dates of one series."
    table = pd.DataFrame([{"site": site, "veg_type": "AG", "roi_id": roi, "direction": "rising", "gcc_value": "gcc_90",
                           **{n: pd.Timestamp("2018-03-01") for n in phenocam.TRANSITION_DATES},
                           **{n: 0.4 for n in phenocam.TRANSITION_NUMBERS}}])
    path = folder / "dates" / f"{site}_AG_{roi}_{step}day_transition_dates.csv"
    phenocam.write_transitions(table, path, {"Aggregation period": step})
    return path


@pytest.fixture
def folder(tmp_path):
    "Three sites, two of them 1 km apart, and dates of one."
    root = tmp_path / "mine"
    camera(root, "one", lat=41.0)
    camera(root, "one", roi="2000", lat=41.0)
    camera(root, "two", lat=41.009)
    camera(root, "far.away", lat=45.0, veg_type="GR")
    published(root)
    return root


def test_a_folder_is_recognised_by_its_content(folder):
    "Without archive.yml the kinds follow from the names of the files."
    found = archive.open_archive(folder)
    assert {k: len(v) for k, v in found.kinds().items()} == {"cameras": 4, "transitions": 1}
    assert found.name == "mine" and str(folder) not in repr(found)
    table = found.cameras()
    assert table["series"].tolist() == ["far.away_GR_1000", "one_AG_1000", "one_AG_2000", "two_AG_1000"]
    assert len(found.cameras(veg_type="AG")) == 3 and len(found.cameras("one")) == 2


def test_series_elsewhere_are_left_aside_when_there_is_a_phenocam_folder(folder):
    "The first pattern that matches wins, so that series kept for comparison do not mix with the archive's own."
    camera(folder, "other", where="old")
    assert len(archive.open_archive(folder).cameras()) == 4
    shutil.rmtree(folder / "phenocam")
    assert archive.open_archive(folder).cameras()["site"].tolist() == ["other"]


def test_the_three_day_file_is_taken_where_both_are_there(folder):
    "A series that is there per day and per three days counts once."
    camera(folder, "one", step=1)
    table = archive.open_archive(folder).cameras("one")
    assert table["step"].tolist() == [3, 3]


def test_sites_and_clusters_come_from_the_cameras(folder):
    "Sites within 5 km form a cluster, named by its first member, also through a third site."
    sites = archive.open_archive(folder).sites.set_index("site")
    assert sites["cluster"].to_dict() == {"one": "one", "two": "one", "far.away": "far.away"}
    camera(folder, "three", lat=41.05)
    assert archive.open_archive(folder).sites.set_index("site")["cluster"]["three"] == "one"
    assert list(sites.reset_index().columns) == list(archive.SITE_COLUMNS)


def test_sites_csv_comes_first(folder):
    "sites.csv decides on clusters and splits; a camera it lacks is added from its header."
    (folder / "sites.csv").write_text(
        "site,lon,lat,cluster,split,owner\none,-96,41,farm,test,me\ntwo,-96,41.009,farm,,\n")
    sites = archive.open_archive(folder).sites.set_index("site")
    assert sites["cluster"].to_dict() == {"one": "farm", "two": "farm", "far.away": "far.away"}
    assert sites.loc["one", "split"] == "test" and sites.loc["far.away", "owner"] == ""
    (folder / "sites.csv").write_text("site,lon,lat\none,west,41\n")
    with pytest.raises(InputError, match="line 2 has lon = 'west'"):
        archive.open_archive(folder).find_site("one")


def test_a_series_by_site_and_region(folder):
    "The standard region comes first; another is asked for by its number or with its vegetation."
    found = archive.open_archive(folder)
    assert found.phenocam("one").roi == "1000"
    assert found.phenocam("one", "2000").roi == found.phenocam("one", "AG_2000").roi == "2000"
    with pytest.raises(InputError, match="no region '2001'; there are 'AG_1000', 'AG_2000'"):
        found.phenocam("one", "2001")


def test_an_unknown_site_suggests_near_ones(folder):
    "A mistyped site is one clear line with what is near."
    with pytest.raises(InputError, match="site 'twoo' is not in the archive 'mine'; did you mean 'two'"):
        archive.open_archive(folder).phenocam("twoo")


def test_published_dates_are_the_reference(folder):
    "Three shares of each published event, with their interval and the series they belong to."
    published(folder, "gone")
    found = archive.open_archive(folder)
    assert len(found.transitions()) == 6
    reference = found.reference()
    assert reference.source == "published" and reference.events["share"].tolist() == [10, 25, 50]
    assert reference.events["path"].map(lambda p: p.name).unique().tolist() == ["one_AG_1000_3day.csv"]
    shutil.rmtree(folder / "dates")
    assert archive.open_archive(folder).reference() is None


def test_planted_truth_is_the_better_reference(folder):
    "Where the truth is known it is used, and its files are no archive files."
    (folder / "truth").mkdir()
    (folder / "truth" / "cameras.csv").write_text(
        "series,site,crop,season,direction,share,date\none_AG_1000,one,corn,2018,rising,20,2018-02-01\n")
    events = archive.open_archive(folder).reference().events
    assert archive.open_archive(folder).reference().source == "truth"
    assert events.loc[0, ["metric", "share"]].tolist() == ["gcc_90", 20]
    assert events["date"][0] == pd.Timestamp("2018-02-01") and events["path"][0].name == "one_AG_1000_3day.csv"


def test_nothing_to_read_is_said(tmp_path, folder):
    "An empty folder, a missing one and a file are told apart, each in one clear line."
    with pytest.raises(InputError, match=r"is empty: no file in it is named like phenocam/\*_\[13\]day.csv"):
        (tmp_path / "empty").mkdir()
        archive.open_archive(tmp_path / "empty")
    with pytest.raises(InputError, match="there is no such folder; did you mean 'mine'"):
        archive.open_archive(tmp_path / "min")
    with pytest.raises(InputError, match="did you mean 'simulated'"):
        archive.open_archive("simulatd")
    with pytest.raises(InputError, match="is a file"):
        archive.open_archive(folder / "phenocam" / "one_AG_1000_3day.csv")


@pytest.mark.parametrize("text", [
    "cameras: phenocam/*_3day.csv\n",
    "title: Ours\nlicence: CC0\nkinds:\n  cameras: {path: phenocam/*_3day.csv, reader: phenocam}\n",
    "cameras: [phenocam/two_AG_1000_3day.csv]\n",
    "cameras: {path: phenocam/two*_3day.csv, options: {columns: [gcc_90]}}\n",
    "cameras: phenocam/*_3day.csv\nsentinel: {stac: 'https://stac.example.org', collections: [sentinel-2-l2a]}\n",
])
def test_archive_yml_describes_the_files(folder, text):
    "Short and long forms, patterns and lists; only the kinds that are described are there."
    (folder / "archive.yml").write_text(text)
    found = archive.open_archive(folder)
    assert list(found.kinds()) == ["cameras"]
    assert found.name == ("Ours" if "Ours" in text else "mine")
    data = found.phenocam("two")
    assert data.attrs.get("licence") == ("CC0" if "CC0" in text else None)
    assert list(data) == ["gcc_90"] or "columns" not in text


@pytest.mark.parametrize("text, message", [
    ("cameras: ../mine/phenocam/*_3day.csv/../../../x\n", "leads out of the folder"),
    ("cameras: ../*/*_3day.csv\n", "leads out of the folder"),
    ("cameras: /etc/*_3day.csv\n", "leads out of the folder"),
    ("cameras: [../secret_3day.csv]\n", "leads out of the folder"),
    ("cameras: {pth: a}\n", "the key 'pth'; did you mean 'path'"),
    ("cameras: {path: 'phenocam/*', reader: phenocm}\n", "reader 'phenocm'; did you mean 'phenocam'"),
    ("cameras: {path: 'phenocam/*', options: {column: gcc_90}}\n", "the option 'column'; did you mean 'columns'"),
    ("cameras: 3\n", "'cameras' is 3"),
    ("cameras: {path: 3}\n", "needs one pattern as 'path'"),
    ("cameras: [\n", "is not valid YAML"),
    ("just text\n", "'key: value' lines are expected"),
    ("cameras: !!python/object/apply:os.system ['true']\n", "is not valid YAML"),
    ("cameras: nowhere/*_3day.csv\n", "no file in it is named like nowhere"),
    ("cameras: [phenocam/gone_AG_1000_3day.csv]\n", "is missing or has another sha256"),
])
def test_a_wrong_description_is_one_clear_line(folder, text, message):
    "Paths out of the folder, objects and unknown keys are refused."
    (folder / "archive.yml").write_text(text)
    with pytest.raises(InputError, match="archive|out of") as error:
        archive.open_archive(folder)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_hash_follows_the_content(folder, tmp_path):
    "A copy has the same hash; a changed byte, a new file or another kind changes it; the cache is not fooled."
    first = archive.open_archive(folder).hash()
    assert archive.open_archive(folder).hash() == first
    shutil.copytree(folder, tmp_path / "copy")
    assert archive.open_archive(tmp_path / "copy").hash() == first
    cameras = archive.open_archive(folder).hash(["cameras"])
    assert cameras != first
    path = published(folder, "two")
    assert archive.open_archive(folder).hash(["cameras"]) == cameras
    assert archive.open_archive(folder).hash() != first
    path.unlink()
    file = folder / "phenocam" / "two_AG_1000_3day.csv"
    file.write_text(file.read_text().replace("0.37000", "0.37001"))
    assert archive.open_archive(folder).hash() != first


def test_the_simulated_archive_is_made_once(monkeypatch):
    "Made on first use, kept for the next, made again when the simulator's code changes; never left half made."
    made, version = [], ["a"]

    def make(part, folder, *, seed):
        made.append((part, seed))
        camera(folder, "sim-one")
        if version[0] == "broken":
            raise InputError("broken")
        (folder / "sites.csv").write_text("site,lon,lat,cluster,crop,split,twin\nsim-one,-96,41,c,corn,test,one\n")

    monkeypatch.setattr(simulate, "make", make)
    monkeypatch.setattr(simulate, "version", lambda part: version[0])
    first = archive.open_archive("simulated")
    assert first.root == archive.open_archive("simulated").root and made == [(part, 7) for part in simulate.parts()]
    assert first.name == "simulated"
    version[0] = "b"
    assert archive.open_archive("simulated").root != first.root and len(made) == 2 * len(simulate.parts())
    version[0] = "broken"
    before = sorted(p.name for p in first.root.parent.iterdir() if p.is_dir())
    with pytest.raises(InputError):
        archive.open_archive("simulated")
    assert sorted(p.name for p in first.root.parent.iterdir() if p.is_dir()) == before


def test_a_simulated_archive_with_other_values_has_a_name(monkeypatch):
    "Values in the name reach the simulator, each landscape is kept apart, and parts can be chosen."
    made = []

    def make(part, folder, *, config=None, seed=None):
        made.append((part, config))
        camera(folder, "sim-one")
        (folder / "sites.csv").write_text("site,lon,lat\nsim-one,-96,41\n")

    monkeypatch.setattr(simulate, "make", make)
    name = "simulated+warmer:1.5+top_lead:0,0+seed:3+parts:patches,cameras"
    found = archive.open_archive(name)
    config = simulate.configure(seed=3, warmer=1.5, top_lead=(0.0, 0.0))
    assert made == [("cameras", config), ("patches", config)] and found.name == name
    assert archive.open_archive("simulated+seed:3+warmer:1.5+top_lead:0,0+parts:cameras,patches").root == found.root
    archive.open_archive("simulated+parts:cameras")
    assert made[2:] == [("cameras", None)]
    archive.open_archive("simulated")
    assert [part for part, _ in made[3:]] == [part for part in simulate.parts() if part != "cameras"]


@pytest.mark.parametrize(("name", "said"), [
    ("simulated+wamer:1", "did you mean 'warmer'"), ("simulated+sites:0", "out of range"),
    ("simulated+warmer:hot", "a number is expected"), ("simulated+parts:camera", "did you mean 'cameras'"),
    ("simulated+seed", "a value such as seed:2"), ("simulated+", "a value such as seed:2"),
    ("simulated+seed:1+seed:2", "stands twice")])
def test_a_value_that_no_landscape_has_is_named(name, said):
    "One line that names the archive and the value; nothing is made."
    with pytest.raises(InputError, match=said):
        archive.open_archive(name)


def test_only_the_part_whose_code_changed_is_made_again(monkeypatch):
    "Another version of one part leaves the files of the others as they were, and their hash."
    made, versions = [], {part: "a" for part in simulate.parts()}

    def make(part, folder, *, seed):
        made.append(part)
        path = camera(folder, f"sim-{part}")
        path.write_text(path.read_text() + f"# {versions[part]}\n")
        (folder / "sites.csv").write_text("site,lon,lat\nsim-cameras,-96,41\n")

    monkeypatch.setattr(simulate, "make", make)
    monkeypatch.setattr(simulate, "version", lambda part: versions[part])
    first = archive.open_archive("simulated")
    versions["flux_sites"] = "b"
    second = archive.open_archive("simulated")
    assert made == [*simulate.parts(), "flux_sites"] and first.root != second.root
    name = "phenocam/sim-cameras_AG_1000_3day.csv"
    assert (first.root / name).read_bytes() == (second.root / name).read_bytes()


def test_a_twin_stands_in_for_a_real_site(monkeypatch, capsys):
    "In the simulated archive a real site's name finds its simulated twin, and says so."
    def make(part, folder, *, seed):
        camera(folder, "sim-one")
        (folder / "sites.csv").write_text("site,lon,lat,twin\nsim-one,-96,41,one\n")

    monkeypatch.setattr(simulate, "make", make)
    found = archive.open_archive("simulated")
    assert found.phenocam("one").site == "sim-one"
    assert "the simulated twin 'sim-one' stands in" in capsys.readouterr().out
    with pytest.raises(InputError, match="did you mean"):
        found.find_site("onee")


def test_check_lists_what_is_wrong(folder):
    "Every unreadable file is one finding; the rest is still counted."
    (folder / "phenocam" / "cut_AG_1000_3day.csv").write_text("# Site: cut\ndate,gcc_90\n2018-01-02,0.3\n2018-01")
    (folder / "phenocam" / "raw_AG_1000_3day.csv").write_bytes(b"\0\1")
    findings = archive.check(folder)
    cameras = findings.kinds.set_index("kind").loc["cameras"]
    assert (cameras["files"], cameras["sites"], cameras["wrong"]) == (6, 3, 2)
    assert [(f.kind, f.file) for f in findings] == [
        ("cameras", "phenocam/cut_AG_1000_3day.csv"), ("cameras", "phenocam/raw_AG_1000_3day.csv")]
    assert "cameras: 6 files, 3 sites, 2018-01-02 to 2018-04-29" in str(findings)
    assert "line 4 has 1 fields" in str(findings) and str(folder) not in str(findings)


def test_check_tells_which_chapters_can_run(folder, tmp_path, monkeypatch):
    "A chapter can run when the kinds that its metadata name are there."
    from phenolib.archive import findings

    (tmp_path / "book" / "notebooks").mkdir(parents=True)
    for name, kinds in (("11_dates", '["cameras"]'), ("10_series", '["cameras", "sentinel"]'), ("00_start", "[]")):
        (tmp_path / "book" / "notebooks" / f"{name}.ipynb").write_text(
            '{"cells": [], "metadata": {"phenolib": {"kinds": ' + kinds + "}}}")
    monkeypatch.setattr(findings, "checkout", lambda: tmp_path / "book")
    chapters = archive.check(folder).chapters.set_index("chapter")
    assert chapters["runs"].to_dict() == {"00_start": True, "10_series": False, "11_dates": True}
    assert chapters.loc["10_series", "lacks"] == ["sentinel"]


class Server(http.server.BaseHTTPRequestHandler):
    "Serves bytes by path, honours Range, and can cut a transfer."

    files, cuts, requests = {}, [], []

    def do_GET(self):
        type(self).requests.append((self.path, self.headers.get("Range")))
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + self.cuts.pop()] if self.cuts else content[start:])
        self.close_connection = True

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    "A local web server; yields its handler with the address."
    handler = type("Handler", (Server,), {"files": {}, "cuts": [], "requests": []})
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
    handler.url = f"http://127.0.0.1:{web.server_port}"
    yield handler
    web.shutdown()
    web.server_close()


@pytest.fixture
def manifest(server, tmp_path, monkeypatch):
    "A catalogue of one camera file, that the server holds."
    content = camera(tmp_path / "source").read_bytes()
    server.files["/one.csv"] = content
    table = pd.DataFrame([
        dict(name="all", kind="collection", file="phenocam/*", licence="CC0", citation='Who "else"'),
        dict(name="one", kind="cameras", file="phenocam/one_AG_1000_3day.csv", url=f"{server.url}/one.csv",
             bytes=str(len(content)), sha256=hashlib.sha256(content).hexdigest(), licence="CC0", citation='Who "else"'),
        dict(name="asked", kind="cameras", file="x/two_AG_1000_3day.csv", bytes="5", note="obtain it from its owner"),
    ], columns=["name", "kind", "file", "url", "bytes", "sha256", "licence", "citation", "note"]).fillna("")
    path = tmp_path / "manifest.csv"
    table.to_csv(path, index=False)
    monkeypatch.setattr(downloads, "MANIFEST", path)
    return table


def left(tmp_path):
    "Files below the home folder, locks and archive.yml aside."
    return sorted(p.name for p in (tmp_path / "home").rglob("*") if p.is_file() and p.suffix not in (".lock", ".yml"))


@pytest.mark.parametrize("name", ["one", "all"])
def test_a_data_set_is_fetched_and_opens_as_an_archive(manifest, server, name):
    "One file or a collection; licence and citation come with it; it is fetched once."
    found = archive.open_archive(name)
    assert found.name == name and found.about["citation"] == 'Who "else"'
    assert found.phenocam("one").licence == "CC0"
    archive.get(name)
    assert len(server.requests) == 1


def test_a_wrong_hash_leaves_nothing(manifest, server, tmp_path):
    "What does not have the hash of the catalogue is not kept, and the error is one line."
    server.files["/one.csv"] = b"something else"
    with pytest.raises(InputError, match="does not have the sha256") as error:
        archive.get("one")
    assert "\n" not in str(error.value) and left(tmp_path) == []


def test_a_cut_transfer_goes_on_where_it_stopped(manifest, server, tmp_path):
    "Three cuts end the command with one line; the next run asks only for what is missing."
    server.cuts[:] = [100, 100, 100]
    with pytest.raises(InputError, match="was cut after 300 bytes; run the same command again"):
        archive.get("one")
    assert left(tmp_path) == [".one_AG_1000_3day.csv.download"]
    archive.get("one")
    assert [asked for _, asked in server.requests] == [None, "bytes=100-", "bytes=200-", "bytes=300-"]
    assert left(tmp_path) == ["one_AG_1000_3day.csv"]


def test_a_stale_part_is_thrown_away(manifest, server, tmp_path):
    "When the rest does not fit what is there, the hash says so, and the next run starts anew."
    part = tmp_path / "home" / "downloads" / "one" / "phenocam" / ".one_AG_1000_3day.csv.download"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 50)
    with pytest.raises(InputError, match="does not have the sha256"):
        archive.get("one")
    archive.get("one")
    assert left(tmp_path) == ["one_AG_1000_3day.csv"]


def test_the_mirror_comes_before_the_network(manifest, server, tmp_path, monkeypatch):
    "A file of the mirror is used after its hash was verified; another version there is refused."
    monkeypatch.setenv("PHENOLIB_MIRROR", str(tmp_path / "source"))
    archive.get("one")
    assert server.requests == []
    shutil.rmtree(tmp_path / "home")
    (tmp_path / "source" / "phenocam" / "one_AG_1000_3day.csv").write_text("other")
    with pytest.raises(InputError, match="the mirror holds another version"):
        archive.get("one")
    assert left(tmp_path) == []


def test_what_cannot_be_fetched_is_said(manifest, server):
    "No public address, an address that is gone, an unknown name."
    with pytest.raises(InputError, match="no public address that is checked here; obtain it from its owner"):
        archive.get("asked")
    del server.files["/one.csv"]
    with pytest.raises(InputError, match="the server answers 404"):
        archive.get("one")
    with pytest.raises(InputError, match="data set 'on' is not known; did you mean 'one'"):
        archive.get("on")


def test_an_archive_at_a_url(server, tmp_path):
    "archive.yml at the address lists the files; they are fetched once, with their hash checked."
    content = camera(tmp_path / "source").read_bytes()
    known = hashlib.sha256(content).hexdigest()
    server.files |= {"/mine/archive.yml": f"cameras: {{files: {{a/one_AG_1000_3day.csv: {known}}}}}".encode(),
                     "/mine/a/one_AG_1000_3day.csv": content}
    for _ in range(2):
        assert archive.open_archive(f"{server.url}/mine/").phenocam("one").site == "one"
    assert [path for path, _ in server.requests].count("/mine/a/one_AG_1000_3day.csv") == 1
    server.files["/mine/archive.yml"] = b"cameras: a/*_3day.csv"
    with pytest.raises(InputError, match="list them under 'files:'"):
        archive.open_archive(f"{server.url}/mine")
    server.files["/mine/archive.yml"] = b"cameras: ['../../../one_AG_1000_3day.csv']"
    with pytest.raises(InputError, match="leads out of the folder"):
        archive.open_archive(f"{server.url}/mine")
    with pytest.raises(InputError, match="needs the file archive.yml"):
        archive.open_archive(f"{server.url}/nothing")


def test_the_catalogue_is_whole():
    "Every file has a safe path, an address or a note, a hash, a licence and a citation; collections match files."
    table = archive.catalogue()
    files = table[table["kind"] != "collection"]
    assert files["file"].is_unique and files["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert (files["url"].str.startswith("https://") | (files["note"] != "")).all()
    assert (table[["licence", "citation"]] != "").all(axis=None)
    assert not files["file"].str.contains(r"^/|\.\.", regex=True).any()
    for name in table["name"].unique():
        rows = downloads.files_of(name)
        assert len(rows)
    assert len(downloads.files_of("phenocam-agriculture")) == 76


@real
def test_the_real_archive():
    "All 80 camera series, 76 agricultural ones at 62 sites, neighbours in one cluster, published dates of nine series."
    found = archive.open_archive(REAL)
    agriculture = found.cameras(veg_type="AG")
    assert (len(found.cameras()), len(agriculture), agriculture["site"].nunique()) == (80, 76, 62)
    sites = found.sites.set_index("site")
    mead = sites[sites.index.str.startswith("mead")]
    assert len(mead) == 6 and mead["cluster"].unique().tolist() == ["mead1"]
    assert found.reference().events["series"].nunique() == 9


@real
def test_the_catalogue_names_the_real_files():
    "Where the archive holds a file of the catalogue, it has the catalogue's size and hash."
    files = archive.catalogue().query("kind != 'collection'")
    for row in files.iloc[::10].itertuples():
        path = Path(REAL) / row.file
        if path.is_file():
            assert path.stat().st_size == int(row.bytes)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
