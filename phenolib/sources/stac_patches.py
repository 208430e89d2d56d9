"""Patches around sites from a STAC catalogue, as the files that ``sources.sentinel`` reads: resumable, in parallel."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from phenolib.errors import InputError
from phenolib.sources import sentinel
from phenolib.sources.stac import NoScenes, open_stac

SIDE = 18  # pixels of 10 m; the site lies in row 9, column 9, counted from 0
PRODUCTS = {  # name of the file: sensor, bands, pixel [m]
    "S2_L2A_10m": ("sentinel-2", ("B02", "B03", "B04", "B08"), 10),
    "S2_L2A_20m": ("sentinel-2", ("B05", "B06", "B07", "B8A", "B11", "B12", "scl"), 20),
    "S1_GRD_10m": ("sentinel-1", ("vv", "vh"), 10),
}
ATTEMPTS = 3
WAIT = 2.0  # seconds before the second attempt; twice as long before each further one


def write(sites, years, catalog, folder, *, products=tuple(PRODUCTS), jobs=2, attempts=ATTEMPTS, say=print, **options):
    """Writes the patches of sites: one file for each site and product, all dates in it.

    A file that is there already is left as it is, so a killed run goes on where it stopped. Each file is written beside
    its place and then moved. What fails is tried again, and in the end told; the other files are not affected.

    sites     DataFrame with site, lon, lat [degrees]
    years     first and last year
    catalog   as ``sources.stac.open_stac``
    folder    made if absent
    products  of ``PRODUCTS``
    jobs      how many files are made at once
    attempts  how often a file is tried
    say       called with one line for each file
    options   of ``open_stac``, e.g. missing="skip"
    returns   DataFrame site, product, state ("made", "there", "no scene", "failed"), dates, why
    raises    InputError for sites without the columns, an unknown product, or years out of order
    """
    lacking = [c for c in ("site", "lon", "lat") if c not in sites]
    if lacking:
        raise InputError(f"the table of sites has no column '{lacking[0]}'; site, lon and lat are needed")
    unknown = [p for p in products if p not in PRODUCTS]
    if unknown or not years[0] <= years[1]:
        raise InputError(f"product '{unknown[0]}' is not known; use {', '.join(PRODUCTS)}" if unknown else
                         f"years = {years[0]}-{years[1]}: the first is after the last")
    folder = Path(folder)
    work = [(row, product) for row in sites.to_dict("records") for product in products]

    def one(row, product):
        found = _try(row, product, years, catalog, folder, attempts, options)
        say(f"{row['site']} {product}: {found['state']}"
            + (f", {found['dates']} dates" if found["dates"] else "") + (f"; {found['why']}" if found["why"] else ""))
        return found

    with ThreadPoolExecutor(max(1, int(jobs))) as pool:
        rows = list(pool.map(lambda w: one(*w), work))
    return pd.DataFrame(rows, columns=["site", "product", "state", "dates", "why"])


def _try(row, product, years, catalog, folder, attempts, options):
    """One file, tried some times; the row of the result."""
    row = {"site": str(row["site"]), "lon": float(row["lon"]), "lat": float(row["lat"])}
    result = {"site": row["site"], "product": product, "state": "there", "dates": 0, "why": ""}
    span = f"{years[0]}-01-01", f"{years[1]}-12-31"
    name, pixel = product.rsplit("_", 1)
    if list(folder.glob(f"{name}_{pixel}_{row['site']}_*_{span[0]}_{span[1]}.nc")):
        return result
    for attempt in range(attempts):
        if attempt:
            time.sleep(WAIT * 2 ** (attempt - 1))
        try:
            patch = read(row, product, span, catalog, **options)
        except NoScenes as error:
            return result | {"state": "no scene", "why": str(error)}
        except InputError as error:
            reason = str(error)
            continue
        except Exception as error:  # the network: what it raises shares no base
            reason = f"{type(error).__name__}: {error}"
            continue
        sentinel.write_patch(folder, patch, first=span[0], last=span[1])
        return result | {"state": "made", "dates": int(patch.sizes["time"])}
    return result | {"state": "failed", "why": reason}


def read(row, product, span, catalog, **options):
    """The patch of one site and product, a Dataset as ``sources.sentinel.read_patch`` gives it.

    row      site, lon, lat
    product  of ``PRODUCTS``
    span     first and last day
    catalog, options   as ``sources.stac.open_stac``
    raises   InputError as ``open_stac``; NoScenes where no scene holds a value of the patch
    """
    sensor, bands, pixel = PRODUCTS[product]
    side = SIDE * 10 // pixel
    cube = open_stac(catalog, site=(row["lon"], row["lat"]), size=(SIDE + 4) * 10, dates="/".join(span),
                     sensors=(sensor,), bands=bands, resolution=pixel, mask=None, **options)
    crs = cube["spatial_ref"].attrs["crs_wkt"]
    east, north = _projected(row["lon"], row["lat"], crs)
    column = int(np.floor((east - float(cube["x"][0])) / pixel + 0.5))
    line = int(np.floor((float(cube["y"][0]) - north) / pixel + 0.5))
    cube = cube.isel(x=slice(column - side // 2, column - side // 2 + side),
                     y=slice(line - side // 2, line - side // 2 + side)).compute()
    if cube.sizes["x"] != side or cube.sizes["y"] != side:
        raise InputError(f"{row['site']}: the scenes end within the patch; choose another site")
    there = cube[[b for b in bands if b != "scl"]].to_array().notnull().any(("variable", "y", "x"))
    cube = cube.isel(time=np.flatnonzero(there.values))
    if not cube.sizes["time"]:
        raise NoScenes(f"{row['site']}: no scene holds a value of the patch")
    cube = cube[list(bands)].drop_vars([c for c in cube.coords if c not in ("time", "y", "x", "spatial_ref")])
    cube = cube.isel(time=np.flatnonzero(~cube.indexes["time"].duplicated()))
    name, _ = product.rsplit("_", 1)
    cube.attrs = {"place": row["site"], "product": name, "resolution": pixel}
    return sentinel.with_crs(cube, crs)


def _projected(lon, lat, crs):
    """A place in the coordinates of a system [m]."""
    import pyproj

    return pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
