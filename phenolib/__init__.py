"""Crop phenology and soil remote sensing: files to dates, maps and effects.

Modules load when they are first used, so that ``import phenolib`` stays under a second.

>>> import phenolib as ph
>>> ph.phenology.__name__
'phenolib.phenology'
"""

from importlib import import_module
from pkgutil import iter_modules

__version__ = "0.1.0"

MODULES = tuple(sorted(one.name for one in iter_modules(__path__) if not one.name.startswith("_")))


def __getattr__(name):
    if name in MODULES:
        return import_module(f"phenolib.{name}")
    if name == "open_archive":
        return import_module("phenolib.archive").open_archive
    raise AttributeError(f"module 'phenolib' has no attribute '{name}'")


def __dir__():
    return sorted([*MODULES, "open_archive", "__version__"])
