"""A landscape with known truth, observed by simulated instruments that write the files real ones write.

An archive is made of parts. Each part has its own random streams, keyed by (seed, part, site, …), so that adding a
part or a site never changes what was made before.
"""

from importlib import import_module
from pathlib import Path

from phenolib.errors import InputError
from phenolib.files import digest, sha256

PARTS = {"cameras": "phenolib.simulate.cameras"}
SOURCES = {"cameras": ("simulate/__init__.py", "simulate/calendar.py", "simulate/cameras.py", "sources/phenocam.py",
                       "curves/__init__.py", "curves/kernels.py")}


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


def version(part):
    """A hash that changes when the code that makes a part changes."""
    root = Path(__file__).resolve().parent.parent
    return digest(*[sha256(root / name) for name in SOURCES[part]])
