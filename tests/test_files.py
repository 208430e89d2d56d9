"""Atomic writes, hashes and safe paths."""

import json

import pytest

from phenolib import files
from phenolib.errors import InputError


def test_a_failed_write_keeps_the_old_file(tmp_path):
    "When the block raises, the old file stands and nothing is left beside it."
    path = tmp_path / "a.txt"
    files.write_text(path, "old\n")
    with pytest.raises(RuntimeError), files.atomic(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_makes_its_folder_and_replaces(tmp_path):
    "The folder is made, the text replaced, line ends kept."
    path = tmp_path / "deep" / "a.txt"
    files.write_text(path, "one\r\n")
    files.write_text(path, "zwölf\n")
    assert path.read_bytes() == "zwölf\n".encode()
    assert path.stat().st_mode & 0o444 == 0o444


def test_json_is_strict(tmp_path):
    "Not-a-number is refused, and the old file stays."
    path = tmp_path / "a.json"
    files.write_json(path, {"a": [1, None]})
    with pytest.raises(ValueError):
        files.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": [1, None]}


def test_hashes(tmp_path):
    "The sha256 is that of the bytes; a digest depends on every value, not on the order of keys."
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1}) != files.digest({"a": 1, "b": 3})


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd"])
def test_a_path_cannot_leave_its_folder(tmp_path, name):
    "Paths that climb out, absolute ones included, are refused."
    with pytest.raises(InputError, match="leads out of the folder"):
        files.inside(tmp_path, name)


def test_a_link_cannot_leave_its_folder(tmp_path):
    "A link that points outside does not help."
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(InputError):
        files.inside(tmp_path / "in", "link/a")
    assert files.inside(tmp_path / "in", "b/../c") == (tmp_path / "in" / "c").resolve()


def test_home_follows_the_environment(tmp_path, monkeypatch):
    "PHENOLIB_HOME decides; without it a checkout keeps its own data folder."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    assert files.home() == tmp_path
    monkeypatch.delenv("PHENOLIB_HOME")
    monkeypatch.setattr(files, "checkout", lambda: tmp_path)
    assert files.home() == tmp_path / "data"


def test_a_lock_is_held_by_one(tmp_path):
    "While a block holds the lock, another process would wait."
    import filelock

    with files.lock(tmp_path / "deep" / "a.lock"):
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(tmp_path / "deep" / "a.lock", timeout=0, is_singleton=False).acquire()
