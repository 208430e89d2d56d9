"""A landscape with known truth, observed by simulated instruments that write the files real ones write.

An archive is made of parts. Each part has its own random streams, keyed by (seed, part, site, …), so that adding a
part or a site never changes what was made before.
"""

import os
import shutil
import tempfile
from dataclasses import fields
from importlib import import_module
from pathlib import Path

from phenolib.errors import InputError
from phenolib.files import digest, sha256, write_text
from phenolib.simulate.config import DEFAULT
from phenolib.simulate.config import make as configure

PARTS = {name: f"phenolib.simulate.{name}" for name in (
    "cameras", "flux_sites", "patches", "stations", "catalogue", "roots", "plots", "maps", "areas", "farm",
    "delta", "peninsula", "towers", "field")}
ALONE = ("plots", "maps", "areas", "farm", "delta", "peninsula", "towers", "field")  # parts that an archive has if it
# asks, as they are long or hold what another holds too
LAND = ("agreement.py", *(f"simulate/{name}.py" for name in (
    "calendar", "config", "landscape", "weather", "land", "ground", "crops", "crop_tables", "true_dates")))
VIEW = (*(f"simulate/{name}.py" for name in ("patches", "optics", "radar", "clouds", "orbits")), "simulate/prosail.nc",
        "sources/sentinel.py")
PLOTS = (*LAND, *(f"simulate/{name}.py" for name in ("optics", "clouds", "orbits", "profile", "plot_growth", "plots")),
         "simulate/prosail.nc", "sources/plot_tables.py", "sources/tables.py")
SOURCES = {  # the modules that decide on the bytes of a part; this one only hands on
    "cameras": (*LAND, "simulate/cameras.py", "simulate/camera_view.py", "sources/phenocam.py", "curves/__init__.py",
                "curves/engine.py", "curves/local.py", "curves/whittaker.py", "curves/functions.py"),
    "flux_sites": ("agreement.py", "simulate/calendar.py", "simulate/true_dates.py", "simulate/flux_sites.py",
                   "sources/site_series.py", "sources/tables.py"),
    "patches": (*LAND, *VIEW),
    "catalogue": (*LAND, *VIEW, "simulate/parcels.py", "simulate/scenes.py", "simulate/catalogue.py",
                  "sources/stac_catalog.py"),
    "maps": (*LAND, *VIEW, "simulate/parcels.py", "simulate/scenes.py", "simulate/maps.py", "sources/stac_catalog.py"),
    "areas": (*LAND, *VIEW, "simulate/parcels.py", "simulate/scenes.py", "simulate/maps.py", "simulate/areas.py",
              "sources/stac_catalog.py"),
    "stations": (*LAND, *VIEW, "simulate/stations.py", "sources/soil_stations.py", "sources/tables.py"),
    "plots": PLOTS,
    "roots": (*PLOTS, "simulate/roots.py", "simulate/rhizotron.py", "sources/minirhizotron.py"),
    "farm": (*LAND, *VIEW, "simulate/profile.py", "simulate/plot_growth.py", "simulate/stations.py", "simulate/farm.py",
             "sources/soil_stations.py", "sources/farm_tables.py", "sources/tables.py"),
    "delta": (*LAND, *VIEW, "simulate/parcels.py", "simulate/scenes.py", "simulate/salinity.py", "simulate/delta.py",
              "simulate/delta_view.py", "sources/salt_samples.py", "sources/coastal_samples.py", "sources/tables.py",
              "sources/stac_catalog.py"),
    "peninsula": (*(f"simulate/{name}.py" for name in (
        "calendar", "config", "weather", "ground", "clouds", "optics", "radar", "regional", "regional_view",
        "peninsula")), *(f"sources/{name}.py" for name in (
            "coarse_moisture", "regional_images", "moisture_stations", "fusion_pairs", "sentinel", "stac_catalog",
            "tables"))),
    "towers": ("neutrons.py", "neutron_footprint.py", "responses.py", *(f"simulate/{name}.py" for name in (
        "calendar", "config", "weather", "tower_water", "tower_breath", "tower_view", "towers")), *(
            f"sources/{name}.py" for name in ("cosmos", "neutron_series", "flux_tower", "field_sensors", "tables"))),
    "field": (*PLOTS, *(f"simulate/{name}.py" for name in ("cameras", "camera_view", "rhizotron", "field")),
              "responses.py", "curves/__init__.py", "curves/engine.py", "curves/local.py", "curves/whittaker.py",
              "curves/functions.py", *(f"sources/{name}.py" for name in (
                  "phenocam", "minirhizotron", "salt_samples", "moisture_stations", "field_sensors"))),
}
SHARED = ("warmer", "rain")  # of ``Settings``, that the configuration gives
OWN = {  # where the ``Settings`` of a part are
    "plots": "phenolib.simulate.plot_growth", "roots": "phenolib.simulate.plot_growth",
    "delta": "phenolib.simulate.delta", "peninsula": "phenolib.simulate.peninsula",
    "towers": "phenolib.simulate.towers", "field": "phenolib.simulate.field"}


def parts(every=False):
    """Names of the parts that an archive has; with ``every`` those too that it has only if it asks for them."""
    return [name for name in PARTS if every or name not in ALONE]


def make(part, folder, *, config=None, **changes):
    """Make one part of an archive in ``folder``: its files, its sites, its truth.

    part     one of ``parts(every=True)``
    folder   written into; made if absent
    config   ``config.Config``; the same gives the same bytes
    changes  of values of the configuration, e.g. seed=3, sites=24, years=(2017, 2019); the flux sites, which are a
             landscape of their own, take seed, sites and years alone
    raises   InputError for an unknown part, an unknown value or one out of range
    """
    if part not in PARTS:
        raise InputError(f"archive part '{part}' is not known; there are {', '.join(PARTS)}")
    module = import_module(PARTS[part])
    names = own_values([part])
    own = {name: changes.pop(name) for name in list(changes) if name in names}
    if own:
        module.make(Path(folder), config=config or configure(**changes), settings=settings(part, own))
    elif part == "flux_sites":
        module.make(Path(folder), **{"seed": config.seed if config else DEFAULT.seed, **changes})
    else:
        module.make(Path(folder), config=config or configure(**changes))


def own_values(names):
    """Names of the values that parts take beside those of the configuration. returns set of str"""
    return {field.name for part in names if part in OWN for field in fields(import_module(OWN[part]).Settings)
            if field.name not in SHARED}


def settings(part, values):
    """The ``Settings`` of a part with some values changed. raises InputError for a value out of range"""
    return import_module(OWN[part]).Settings(**values)


def make_all(folder, config=DEFAULT):
    """Make the parts of an archive in ``folder``.

    folder   made; it must not be there
    config   seed, sizes and assumptions of every part; the flux sites keep their number, and their years where
             ``years`` is the default
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".parts") as beside:
        for part in parts():
            own = {"years": config.years} if part == "flux_sites" and config.years != DEFAULT.years else {}
            make(part, Path(beside) / part, config=config, **own)
        join([Path(beside) / part for part in parts()], folder)


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
