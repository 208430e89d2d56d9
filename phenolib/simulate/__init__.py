"""A landscape with known truth, observed by simulated instruments that write the files real ones write.

An archive is made of parts. Each part has its own random streams, keyed by (seed, part, site, …), so that adding a
part or a site never changes what was made before.
"""

import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path

from phenolib.errors import InputError
from phenolib.files import digest, sha256, write_text

PARTS = {name: f"phenolib.simulate.{name}" for name in ("cameras", "flux_sites", "patches")}
SIZED = ("cameras", "patches")  # parts that have as many sites as asked for
SOURCES = {  # the modules that decide on the bytes of a part; this one only hands on
    "cameras": ("simulate/calendar.py", "simulate/cameras.py", "sources/phenocam.py", "curves/__init__.py",
                "curves/engine.py", "curves/local.py", "curves/whittaker.py", "curves/functions.py"),
    "flux_sites": ("simulate/calendar.py", "simulate/cameras.py", "simulate/flux_sites.py", "sources/site_series.py",
                   "sources/tables.py"),
    "patches": (*(f"simulate/{name}.py" for name in ("calendar", "cameras", "landscape", "patches", "weather", "land",
                                                     "crops", "optics", "radar", "clouds", "orbits")),
                "simulate/prosail.nc", "sources/sentinel.py"),
}


def parts():
    """Names of the parts that an archive can have."""
    return list(PARTS)


def make(part, folder, *, seed=7, **sizes):
    """Make one part of an archive in ``folder``: its files, its sites, its truth.

    part     one of ``parts()``
    folder   written into; made if absent
    seed     the same seed and sizes give the same bytes
    sizes    of the part, e.g. sites=60, years=(2016, 2022)
    raises   InputError for an unknown part or a size out of range
    """
    if part not in PARTS:
        raise InputError(f"archive part '{part}' is not known; there are {', '.join(PARTS)}")
    import_module(PARTS[part]).make(Path(folder), seed=int(seed), **{k: v for k, v in sizes.items() if v is not None})


def make_all(folder, *, seed=7, sites=None, years=None):
    """Make every part of an archive in ``folder``.

    folder   made; it must not be there
    sites    how many cameras, and patches around them; the other parts keep their sizes
    years    first and last harvest year of every part
    raises   InputError for a size out of range; then there is no such folder
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".parts") as beside:
        for part in PARTS:
            make(part, Path(beside) / part, seed=seed, years=years, **({"sites": sites} if part in SIZED else {}))
        join([Path(beside) / part for part in PARTS], folder)


def join(parts, folder):
    """Put parts of an archive together in one folder, without a change of their files.

    A file is linked where the disk allows it, else copied. archive.yml lists the kinds of all parts.

    parts    folders of parts, as ``make`` writes them
    folder   made; it must not be there
    """
    import yaml

    folder, found = Path(folder), []
    for part in parts:
        shutil.copytree(part, folder, copy_function=_link, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("archive.yml"))
        if (Path(part) / "archive.yml").is_file():
            found.append(yaml.safe_load((Path(part) / "archive.yml").read_text(encoding="utf-8")))
    if found:
        whole = {**found[0], "note": "; ".join(one["note"] for one in found),
                 "kinds": {name: kind for one in found for name, kind in one["kinds"].items()}}
        write_text(folder / "archive.yml", yaml.safe_dump(whole, sort_keys=False, width=1000))


def _link(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def version(part):
    """A hash that changes when the code that makes a part changes."""
    root = Path(__file__).resolve().parent.parent
    return digest(*[sha256(root / name) for name in SOURCES[part]])
