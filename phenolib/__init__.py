"""Crop phenology and soil remote sensing: files to dates, maps and effects.

Modules load when they are first used, so that ``import phenolib`` stays under a second.

>>> import phenolib as ph
>>> ph.phenology.__name__
'phenolib.phenology'
"""

from importlib import import_module

__version__ = "0.1.0"

MODULES = (
    "agreement",
    "archive",
    "baselines",
    "bootstrap",
    "comparison",
    "conformal",
    "curves",
    "dating",
    "drivers",
    "errors",
    "experiments",
    "farms",
    "fidelity",
    "files",
    "indices",
    "leaf_models",
    "looking",
    "maps",
    "metrics",
    "mixed_models",
    "nets",
    "path_models",
    "phenology",
    "plots",
    "report",
    "root_seasons",
    "roots",
    "runner",
    "samples",
    "season_maps",
    "simulate",
    "soil",
    "sources",
    "splits",
    "tasks",
    "thinning",
    "timing",
    "tracing",
    "training",
    "trends",
)


def __getattr__(name):
    if name in MODULES:
        return import_module(f"phenolib.{name}")
    if name == "open_archive":
        return import_module("phenolib.archive").open_archive
    raise AttributeError(f"module 'phenolib' has no attribute '{name}'")


def __dir__():
    return sorted([*MODULES, "open_archive", "__version__"])
