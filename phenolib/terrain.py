"""Slope and the two curvatures of a gridded elevation, in the signs of Zevenbergen & Thorne."""

import numpy as np
import xarray as xr

from phenolib.errors import InputError

TRUNCATE = 4.0  # SDs at which the Gaussian ends
LOWEST = -500.0  # no land lies lower [m]; files mark missing cells with −9999 or −32767


def terrain(dem, *, smooth=2.0):
    """Slope, profile and plan curvature of an elevation.

    With the cells z₁…z₉ of a window of 3 × 3, row by row from the north-west, and L the side of a cell:

    slope    arctan √(p² + q²),  p = [(z₃ + 2z₆ + z₉) − (z₁ + 2z₄ + z₇)] / 8L,  q likewise from south to north
    profile  −2 (D G² + E H² + F G H) / (G² + H²)    along the slope; negative in a trough, positive on a crest
    plan      2 (D H² + E G² − F G H) / (G² + H²)    across the slope; positive where the sides rise, in a hollow
             D = [(z₄ + z₆)/2 − z₅]/L²,  E = [(z₂ + z₈)/2 − z₅]/L²,  F = (z₃ + z₇ − z₁ − z₉)/4L²,
             G = (z₆ − z₄)/2L,  H = (z₂ − z₈)/2L;  0 where G = H = 0

    z = a x² has profile −2a and plan 0, z = a (x² + y²) has −2a and 2a. Other programs use other signs, or 100 times
    the number. On almost level ground both are mostly noise of the elevation, and a surface model has crops, trees and
    dykes in it, so slope and curvatures are those of the smoothed elevation. Rows in the other order only turn the
    signs of H and F together, which changes nothing.

    dem      DataArray (y, x) [m], projected metres, square cells, rows from the north or from the south
    smooth   SD of the Gaussian that the elevation is smoothed with [cells]; 0 for none. Project default. Within two
             SDs of an edge or a gap curvatures are less certain.
    returns  Dataset (y, x) float32 slope [°], profile and plan [m⁻¹]; the outermost cells, missing cells and their
             neighbours are NaN
    raises   InputError for degrees, cells that are not square or not even, elevations that cannot be, fewer than 3 × 3
             cells, a negative SD

    Horn (1981) for the slope, Zevenbergen & Thorne (1987) for the curvatures, their formulas from memory.
    """
    side = _side(dem)
    if not 0 <= smooth < np.inf:
        raise InputError(f"smooth = {smooth}; give a number of cells, 0 or more")
    z = np.asarray(dem.values, float)
    if not np.isfinite(z).any():
        raise InputError(f"'{dem.name}' has no elevation at all; look at how its missing cells are marked")
    wrong = z[(z < LOWEST) | np.isinf(z)]
    if wrong.size:
        raise InputError(f"'{dem.name}' has an elevation of {wrong[0]:g} m; make its missing cells NaN, e.g. with "
                         "rioxarray.open_rasterio(path, masked=True)")
    z = gaussian(z, smooth)
    found = {"slope": slope(z, side), **dict(zip(("profile", "plan"), curvatures(z, side)))}
    about = {"slope": ("degree", "slope"), "profile": ("m-1", "profile curvature"), "plan": ("m-1", "plan curvature")}
    known = np.isfinite(dem.values)
    return xr.Dataset({name: (dem.dims, np.where(known, values, np.nan).astype(np.float32),
                              dict(zip(("units", "long_name"), about[name]))) for name, values in found.items()},
                      dem.coords, {"smooth": float(smooth)})


def slope(z, side):
    """Slope [°] of an elevation z (row, column) [m] with cells of ``side`` [m] (Horn 1981); the outermost are NaN."""
    z1, z2, z3, z4, _, z6, z7, z8, z9 = _nine(z)
    p, q = ((z3 + 2 * z6 + z9) - (z1 + 2 * z4 + z7)) / 8 / side, ((z1 + 2 * z2 + z3) - (z7 + 2 * z8 + z9)) / 8 / side
    return _framed(np.degrees(np.arctan(np.hypot(p, q))))


def curvatures(z, side):
    """Profile and plan curvature [m⁻¹] of z (row, column) [m]; see ``terrain``."""
    z1, z2, z3, z4, z5, z6, z7, z8, z9 = _nine(z)
    d, e = ((z4 + z6) / 2 - z5) / side**2, ((z2 + z8) / 2 - z5) / side**2
    f, g, h = (z3 + z7 - z1 - z9) / 4 / side**2, (z6 - z4) / 2 / side, (z2 - z8) / 2 / side
    steep = g**2 + h**2
    level, divisor = steep == 0, np.where(steep == 0, 1, steep)
    profile = -2 * (d * g**2 + e * h**2 + f * g * h) / divisor
    plan = 2 * (d * h**2 + e * g**2 - f * g * h) / divisor
    whole = np.isfinite(z1 + z3 + z5 + z7 + z9)
    return tuple(_framed(np.where(whole, np.where(level, 0, part), np.nan)) for part in (profile, plan))


def gaussian(z, sd):
    """An elevation (row, column) smoothed by a Gaussian of SD ``sd`` [cells]; missing cells stay missing.

    Each cell is the height of the plane fitted to what is known around it, with the weights of the Gaussian. Where all
    is known that is the weighted mean; beside edges and gaps it keeps a plane a plane, which a mean would bend.
    """
    from scipy import ndimage

    known = np.isfinite(z)
    if not sd:
        return z
    row, column = (at - at.mean() for at in np.indices(z.shape).astype(float))
    middle = z[known].mean()  # keeps digits where the ground lies high
    filled = np.where(known, z - middle, 0)

    def total(values):
        return ndimage.gaussian_filter(values * known, sd, truncate=TRUNCATE, mode="constant")

    n, height = total(np.ones(z.shape)), total(filled)
    n = np.where(known, n, 1)
    u, v, zu, zv = (total(part) / n for part in (row, column, filled * row, filled * column))
    height = height / n
    uu, uv, vv = total(row**2) / n - u**2, total(row * column) / n - u * v, total(column**2) / n - v**2
    zu, zv = zu - height * u, zv - height * v
    spread = uu * vv - uv**2
    enough = known & (spread > 1e-6 * sd**4)  # not a single cell or line in a gap
    divisor = np.where(enough, spread, 1)
    lean = ((zu * vv - zv * uv) * (row - u) + (zv * uu - zu * uv) * (column - v)) / divisor
    return np.where(known, height + np.where(enough, lean, 0) + middle, np.nan)


def _side(dem):
    """The side of a cell [m]; InputError for a grid that is not metric."""
    if not isinstance(dem, xr.DataArray) or dem.dims != ("y", "x") or not {"y", "x"} <= set(dem.coords):
        dims = getattr(dem, "dims", type(dem).__name__)
        raise InputError(f"the elevation is {dims}; give a DataArray with the dimensions (y, x) and their metres, "
                         "e.g. .squeeze('band', drop=True) of what rioxarray reads")
    if min(dem.shape) < 3:
        raise InputError(f"the elevation has {dem.shape[0]} × {dem.shape[1]} cells; give 3 × 3 or more")
    steps = {}
    for axis in ("y", "x"):
        each = np.diff(np.asarray(dem[axis].values, float))
        steps[axis] = each.mean()
        if not np.isfinite(steps[axis]) or not np.allclose(each, steps[axis], rtol=1e-3, atol=0) or not steps[axis]:
            raise InputError(f"the cells of the elevation are not even along {axis}; bring it to a regular grid")
    projection = str(dem.coords["spatial_ref"].attrs.get("crs_wkt", "")) if "spatial_ref" in dem.coords else ""
    units = {str(dem[axis].attrs.get("units", "")) for axis in ("y", "x")}
    small = abs(steps["x"]) < 0.02 and abs(dem["x"]).max() <= 360 and abs(dem["y"]).max() <= 90
    if projection.upper().startswith("GEOG") or any(unit.startswith("degree") for unit in units) or small:
        raise InputError(f"the elevation is in degrees (cells of {abs(steps['x']):g}); bring it to metres, e.g. with "
                         "dem.rio.reproject(dem.rio.estimate_utm_crs(), resolution=30)")
    if not np.isclose(abs(steps["x"]), abs(steps["y"]), rtol=1e-3):
        raise InputError(f"the cells of the elevation are {abs(steps['x']):g} × {abs(steps['y']):g} m; give square "
                         "cells, e.g. with rio.reproject(resolution=30)")
    return abs(steps["x"])


def _nine(z):
    """The neighbours z₁…z₉ of all cells but the outermost."""
    rows, columns = z.shape
    return [z[i:rows - 2 + i, j:columns - 2 + j] for i in range(3) for j in range(3)]


def _framed(inner):
    return np.pad(inner, 1, constant_values=np.nan)
