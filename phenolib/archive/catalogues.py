"""The catalogue of Sentinel scenes of an archive, and the areas that its chapters look at."""

import json
import urllib.request
from functools import cached_property
from pathlib import Path

import pandas as pd

from phenolib.errors import InputError, near
from phenolib.files import digest, home, write_json
from phenolib.sources import tables

KINDS = ("catalogue",)
PATTERNS = {"catalogue": ("catalogue/catalog.json", "catalog.json", "*/catalog.json")}
READERS = {"catalogue": "stac"}
TABLE = "areas.csv"
COLUMNS = ("name", "lon", "lat", "epsg", "west", "south", "east", "north")
EDGES = ("left", "bottom", "right", "top")  # in the UTM zone [m], where the table has them


def look(path):
    """What a catalogue on disk holds: first and last moment of its scenes; every raster is opened.

    raises   InputError as ``sources.stac.open_stac``; where several rasters are broken, for the first of them
    """
    from concurrent.futures import ThreadPoolExecutor

    from phenolib.sources import rasters, stac_items

    every = pd.Timestamp("1970-01-01"), pd.Timestamp("2200-01-01")
    items = stac_items.items_of(path, None, ("sentinel-1", "sentinel-2"), None, *every, "raise", {})
    if not items:
        raise InputError(f"{path.name}: links to no scene of Sentinel-1 or Sentinel-2")
    sources = [rasters.Source(item.id, name, asset.get_absolute_href() or asset.href, otherwise="remove the scene")
               for item in items for name, asset in item.assets.items()]
    with ThreadPoolExecutor(4) as pool:
        broken = [answer for answer in pool.map(rasters.probe, sources) if isinstance(answer, InputError)]
    if broken:
        raise InputError(f"{broken[0]}" + (f"; {len(broken) - 1} more rasters are broken" if broken[1:] else ""))
    moments = [stac_items.moment_of(item) for item in items]
    return min(moments).to_datetime64(), max(moments).to_datetime64()


def alone(name):
    """Whether a name is that of a catalogue of scenes and of nothing else: a public one, or a catalog.json."""
    from phenolib.sources.stac_items import CATALOGUES

    return name in CATALOGUES or name.endswith("catalog.json") and (
        name.startswith(("https://", "http://")) or Path(name).expanduser().is_file())


def answers(url):
    """Whether a STAC catalogue or interface stands at a URL."""
    try:
        with urllib.request.urlopen(url, timeout=30) as page:
            return "stac_version" in json.loads(page.read(1_000_000))
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def described(name):
    """A folder with the archive.yml of an archive that is a catalogue alone.

    name  as of ``alone``, or a URL that ``answers``
    """
    place = name if "://" in name or "." not in name else str(Path(name).expanduser().resolve())
    root = home() / "catalogues" / digest(place)[:12]
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "archive.yml", {"title": place, "catalogue": {"stac": place}})  # JSON is YAML too
    return root


class Catalogues:
    """The part of an ``Archive`` that knows catalogues of scenes."""

    @cached_property
    def areas(self):
        """One row per area of areas.csv: name, lon, lat of its middle, epsg of its UTM zone, west, south, east, north
        [degrees], left, bottom, right, top [m] of the zone, and what else the table holds; without the table no row.

        raises   InputError for a missing column, an area that is there twice, or a value that is no number
        """
        path = self.root / TABLE
        if not path.is_file():
            return pd.DataFrame(columns=COLUMNS)
        table = tables.read(path)
        for name in COLUMNS:
            if name not in table:
                raise InputError(f"{TABLE}: the column '{name}' is missing{near(name, table.columns)}")
        twice = table["name"][table["name"].duplicated()]
        if len(twice):
            raise InputError(f"{TABLE}: line {twice.index[0]} names the area '{twice.iloc[0]}' again; keep one "
                             "row per area")
        numbers = {name: tables.numbers(path, table[name]) for name in COLUMNS[1:]}
        numbers |= {name: tables.numbers(path, table[name]) for name in EDGES if name in table}
        return table.assign(**numbers).astype({"epsg": int}).reset_index(drop=True)

    def catalogue(self):
        """What ``sources.stac.open_stac`` opens: the path of catalog.json, or the address under `stac` in archive.yml.

        raises   InputError if there is no catalogue, or there are several
        """
        if self._address:
            return self._address
        found = self.kinds().get("catalogue", [])
        if len(found) != 1:
            what = " and ".join(map(self.label, found[:2]))
            raise InputError(f"the archive '{self.name}' has no catalogue of scenes" if not found else
                             f"{what}: both are catalogues; name one of them in archive.yml")
        return found[0]

    def scenes(self, area, **options):
        """The scenes over an area on one grid of its UTM zone, read when they are computed.

        area     name of a row of ``areas``
        options  of ``sources.stac.open_stac``: sensors, bands, dates, resolution, …
        returns  Dataset (time, y, x), see ``sources.stac.open_stac``; attrs also: area, licence where it is known
        raises   InputError if there is no catalogue or no such area, and as ``open_stac``
        """
        from phenolib.sources.stac import open_stac

        table = self.areas.set_index("name")
        if area not in table.index:
            raise InputError(f"area '{area}' is not in {TABLE} of the archive '{self.name}'{near(area, table.index)}")
        row = table.loc[area]
        box = tuple(row[["west", "south", "east", "north"]])
        cube = open_stac(self.catalogue(), bbox=box, **{"crs": f"EPSG:{int(row['epsg'])}", **options})
        if "left" in row:  # the box in degrees reaches beyond the area
            cube = cube.sel(x=slice(row["left"], row["right"]), y=slice(row["top"], row["bottom"]))
            cube = cube.drop_vars("clear", errors="ignore")  # it is of the box
        return self._with_licence(cube.assign_attrs(area=area, title=f"Sentinel scenes of {self.name}"), "catalogue")

    @property
    def _address(self):
        """The address of a catalogue elsewhere, as archive.yml gives it, or ""."""
        return str(self._options("catalogue").get("stac", ""))
