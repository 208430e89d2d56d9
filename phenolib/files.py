"""Atomic writes, hashes, safe paths, and the folder where the library keeps what it makes."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from phenolib.errors import InputError


@contextlib.contextmanager
def atomic(path):
    """A path beside ``path`` to write to; it takes the place of ``path`` when the block ends well.

    A block that raises, or a killed process, leaves what stood at ``path`` as it was.

    path     the file to be written; its folder is made if absent
    yields   Path of the file to write
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path, text):
    """Write ``text`` (str, UTF-8, newlines as given) to ``path`` atomically."""
    with atomic(path) as part:
        part.write_bytes(text.encode("utf-8"))


def write_json(path, value):
    """Write ``value`` as indented JSON to ``path`` atomically; not-a-number is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path):
    """The sha256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts):
    """One sha256 (64 hex digits) over values that JSON can hold; the same values give the same hash.

    >>> digest("a", 1) == digest("a", 1), digest("a", 1) == digest("a1")
    (True, False)
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def inside(folder, name):
    """The path of ``name`` in ``folder``; a name that leads out of the folder is refused.

    folder   folder that must hold the result
    name     relative path, usually read from a file
    returns  Path (resolved)
    raises   InputError if the path is absolute or escapes the folder

    >>> inside("/data", "a/b.csv").as_posix()
    '/data/a/b.csv'
    """
    root = Path(folder).resolve()
    path = (root / name).resolve()
    if Path(name).is_absolute() or not path.is_relative_to(root):
        raise InputError(f"{name}: leads out of the folder {folder}; give a path inside it")
    return path


def checkout():
    """The folder of the book's source tree that this library runs from, or None for a plain install."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "_toc.yml").is_file() and (root / "notebooks").is_dir() else None


def home():
    """The folder of generated archives, caches and fitted models.

    ``PHENOLIB_HOME`` if set; else ``data/`` of a checkout; else the user's cache folder.
    """
    if os.environ.get("PHENOLIB_HOME"):
        return Path(os.environ["PHENOLIB_HOME"]).expanduser()
    if checkout():
        return checkout() / "data"
    import platformdirs

    return Path(platformdirs.user_cache_dir("phenolib"))


@contextlib.contextmanager
def lock(path):
    """Hold a lock file while the block runs, so that two kernels never make the same thing at once."""
    import filelock

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path):
        yield
