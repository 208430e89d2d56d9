"""A fine grid within a coarse one: means over cells, smooth fields between their middles, and mass that is kept."""

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import xarray as xr

from phenolib.errors import InputError

PASSES = 6  # of ``Grid.knots``; what is left of a cell's misfit falls to 0.75 and less with each
PLAUSIBLE = 0.0, 0.7  # volumetric moisture of a soil [m³ m⁻³]
PLAIN = dict(cache=True, nogil=True)


def grid(fine, coarse):
    """How a fine grid lies in a coarse one.

    fine, coarse  DataArray or Dataset with y (from the north) and x, or pairs of arrays (y, x): middles of pixels and
                  of cells. The fine grid consists of whole cells; the coarse one may reach beyond it, as for a tile
    returns       Grid
    raises        InputError where rows run from the south, steps differ along an axis, a cell is no whole number of
                  pixels, or one grid is shifted against the other

    >>> coarse = [37.875, 37.625], [126.125, 126.375]
    >>> one = grid((np.arange(37.975, 37.5, -0.05), np.arange(126.025, 126.5, 0.05)), coarse)
    >>> one.factor, one.cells
    ((5, 5), (2, 2))
    """
    (y, x), (coarse_y, coarse_x) = (_coordinates(one) for one in (fine, coarse))
    (row, rows), (column, columns) = _along("y", y, coarse_y, -1), _along("x", x, coarse_x, 1)
    return Grid(y, x, coarse_y, coarse_x, (row, column), (rows, columns))


@dataclass(frozen=True)
class Grid:
    """Fine pixels in coarse cells; made by ``grid``.

    Methods take arrays (…, y, x), DataArrays or Datasets, and return the same. ``land`` (y, x) bool tells the pixels
    that count; default all. A missing value never counts.

    y, x                middles of the pixels [°]
    coarse_y, coarse_x  middles of the cells, which may be more than the fine grid covers [°]
    first               (row, column) of the first cell that is covered
    factor              pixels in a cell along y and x
    """

    y: np.ndarray
    x: np.ndarray
    coarse_y: np.ndarray
    coarse_x: np.ndarray
    first: tuple
    factor: tuple

    @property
    def cells(self):
        """Cells that the fine grid covers, along y and x."""
        return self.y.size // self.factor[0], self.x.size // self.factor[1]

    @property
    def covered(self):
        """Slices of the rows and columns of the coarse grid that the fine one covers."""
        return tuple(slice(one, one + n) for one, n in zip(self.first, self.cells))

    def block_mean(self, fine, land=None, *, least=0.0):
        """Means over the land of each cell, on the whole coarse grid; missing where no pixel has a value.

        least   share of a cell's land that must have a value, else it is missing [-]
        """
        def mean(values):
            found = np.full((len(values), self.coarse_y.size, self.coarse_x.size), np.nan)
            rows, columns = self.covered
            found[:, rows, columns] = _means(values, self._land(land), *self.factor, float(least))
            return found

        return self._apply(mean, fine, to_coarse=True)

    def expand(self, coarse):
        """Each pixel takes the value of its cell."""
        def each(values):
            rows, columns = self.covered
            return values[:, rows, columns].repeat(self.factor[0], 1).repeat(self.factor[1], 2)

        return self._apply(each, coarse, to_coarse=False)

    def smooth(self, coarse, land=None):
        """Bilinear between the middles of cells, float32.

        Missing cells are left out and the weights of the others scaled to one; a pixel without any such neighbour, as
        at a coast, takes the nearest cell that has a value. Beyond the outermost middles the field is level. A tile
        gets the same numbers as the whole if the coarse grid is whole.
        """
        land = self._land(land)

        def field(values):
            values = np.ascontiguousarray(values, np.float64)
            return _smooth(values, _nearest(values), *self._weights, land)

        return self._apply(field, coarse, to_coarse=False)

    def knots(self, coarse, land=None, *, passes=PASSES):
        """Values at the middles of cells whose smooth field has the cells' means, near enough.

        ``smooth`` of cell values flattens them: the means of the field differ from the values. What is missing is put
        on the knots, ``passes`` times (Richardson's iteration, which stops before it overshoots; project default).
        """
        found = coarse
        for _ in range(passes):
            left = coarse - self.block_mean(self.smooth(found, land), land)
            left = left.fillna(0) if hasattr(left, "fillna") else np.nan_to_num(left, nan=0.0)
            found = found + left  # cells that the fine grid does not cover keep their value
        return found

    def conserve(self, fine, coarse, land=None):
        """The fine field shifted in each cell by one number, so that its mean over land is the coarse value, float32.

        Means then agree to 1e-6. Cells without a coarse value stay as they are. A DataArray tells in its attribute
        ``outside`` the share of values that lie outside of ``PLAUSIBLE`` after it.

        raises   InputError for sizes that do not fit
        """
        given = getattr(coarse, "values", np.asarray(coarse))
        given = np.broadcast_to(given, (*np.shape(fine)[:-2], *given.shape[-2:]))
        self._fits(given, False)
        rows, columns = self.covered
        given = np.ascontiguousarray(given.reshape(-1, *given.shape[-2:])[:, rows, columns], np.float64)

        def shift(values):
            return _conserved(values, given, self._land(land), *self.factor)

        found = self._apply(shift, fine)
        if isinstance(found, xr.DataArray):
            found.attrs["outside"] = outside(found.values)
        return found

    def _land(self, land):
        if land is None:
            return np.ones((self.y.size, self.x.size), bool)
        land = np.asarray(land, bool)
        if land.shape != (self.y.size, self.x.size):
            raise InputError(f"land is {land.shape}, the fine grid {(self.y.size, self.x.size)}; give one of its size")
        return np.ascontiguousarray(land)

    def _fits(self, values, is_fine):
        y, x = (self.y, self.x) if is_fine else (self.coarse_y, self.coarse_x)
        if np.shape(values)[-2:] != (y.size, x.size):
            raise InputError(f"the array ends in {np.shape(values)[-2:]}, the {'fine' if is_fine else 'coarse'} grid "
                             f"has {(y.size, x.size)} rows and columns; give (…, y, x) of that grid")

    def _apply(self, work, given, to_coarse=None):
        """Work on (n, y, x) for arrays of any leading dimensions; ``to_coarse`` None: fine to fine."""
        if isinstance(given, xr.Dataset):
            return xr.Dataset({name: self._apply(work, one, to_coarse) for name, one in given.items()})
        if isinstance(given, xr.DataArray):
            given = given.transpose(..., "y", "x")
            y, x = (self.coarse_y, self.coarse_x) if to_coarse else (self.y, self.x)
            rest = {name: one for name, one in given.coords.items() if not {"y", "x"} & {*one.dims, name}}
            return xr.DataArray(self._apply(work, given.values, to_coarse), {**rest, "y": y, "x": x}, given.dims,
                                given.name, dict(given.attrs))
        given = np.asarray(given)
        self._fits(given, to_coarse is not False)
        values = given.reshape(-1, *given.shape[-2:])
        values = np.ascontiguousarray(values, np.result_type(values, np.float32))
        found = work(values)
        return found.reshape(*given.shape[:-2], *found.shape[-2:])

    @cached_property
    def _weights(self):
        """Rows and columns of the two cells around each pixel, and the weight of the second."""
        found = []
        for first, factor, fine, coarse in zip(self.first, self.factor, (self.y, self.x),
                                               (self.coarse_y, self.coarse_x)):
            at = first + (np.arange(fine.size) + 0.5) / factor - 0.5  # in cells, 0 at the middle of the first
            at = np.clip(at, 0, coarse.size - 1)
            low = np.minimum(at.astype(np.int64), max(coarse.size - 2, 0))
            found += [low, np.minimum(low + 1, coarse.size - 1), at - low]
        return tuple(found)


def outside(values):
    """Share of the values that lie outside of ``PLAUSIBLE`` [-]; 0 without values."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        out = (values < PLAUSIBLE[0]) | (values > PLAUSIBLE[1])
    return float(out.sum() / max(there.sum(), 1))


def _coordinates(one):
    y, x = (one["y"].values, one["x"].values) if hasattr(one, "coords") else one
    return np.asarray(y, float), np.asarray(x, float)


def _along(name, fine, coarse, sign):
    """First cell that is covered, and pixels in a cell."""
    steps = []
    for what, values in (("fine", fine), ("coarse", coarse)):
        if values.ndim != 1 or not values.size or (what == "fine" and values.size < 2):
            raise InputError(f"the {what} grid has {values.size} values of {name}; it takes two or more")
        if values.size < 2:  # a single cell is as large as the fine grid
            steps.append(steps[0] * fine.size)
            continue
        step = np.diff(values)
        if np.ptp(step) > 1e-3 * abs(step.mean()):
            raise InputError(f"the {name} of the {what} grid are not evenly spaced ({step.min():g} to {step.max():g})")
        if step.mean() * sign < 0:
            turn = "rows run from the south" if name == "y" else "columns run from the east"
            raise InputError(f"{turn} in the {what} grid; turn it with .sortby('{name}', ascending={sign > 0})")
        steps.append(float(values[-1] - values[0]) / (values.size - 1))
    ratio = steps[1] / steps[0]
    factor = round(ratio)
    if factor < 1 or abs(ratio - factor) > 1e-3 * ratio:
        raise InputError(f"a coarse cell of {abs(steps[1]):g}° is {ratio:.3f} pixels of {abs(steps[0]):g}° along "
                         f"{name}; resample the fine grid so that it is a whole number")
    away = ((fine[0] - steps[0] / 2) - (coarse[0] - steps[1] / 2)) / steps[1]  # between the first edges, in cells
    first = round(away)
    if abs(away - first) * factor > 0.05:
        raise InputError(f"the fine grid is shifted by {abs(away - first):.3f} of a coarse cell along {name}: it "
                         f"begins at {fine[0] - steps[0] / 2:g}°, edges of cells lie at {coarse[0] - steps[1] / 2:g}° "
                         f"and every {abs(steps[1]):g}°; cut or resample it to the edges")
    if first < 0 or fine.size % factor or first + fine.size // factor > coarse.size:
        raise InputError(f"the fine grid has {fine.size} pixels along {name} from cell {first} on, {factor} in a cell; "
                         f"it must consist of whole cells of the {coarse.size} that the coarse grid has")
    return first, factor


def _nearest(values):
    """Missing cells (t, y, x) filled with the nearest that has a value."""
    from scipy.ndimage import distance_transform_edt

    lost = np.isnan(values)
    if not lost.any():
        return values
    found, known = values.copy(), {}
    for t in range(len(values)):
        if lost[t].all():
            continue
        key = lost[t].tobytes()
        if key not in known:
            known[key] = distance_transform_edt(lost[t], return_distances=False, return_indices=True)
        found[t] = values[t][tuple(known[key])]
    return found


@numba.njit(**PLAIN)
def _means(values, land, high, wide, least):
    count, rows, columns = values.shape
    found = np.full((count, rows // high, columns // wide), np.nan)
    for t in range(count):
        for a in range(rows // high):
            for b in range(columns // wide):
                total, n, all_land = 0.0, 0, 0
                for i in range(a * high, (a + 1) * high):
                    for j in range(b * wide, (b + 1) * wide):
                        if land[i, j]:
                            all_land += 1
                            if not np.isnan(values[t, i, j]):
                                total += values[t, i, j]
                                n += 1
                if n and n >= least * all_land:
                    found[t, a, b] = total / n
    return found


@numba.njit(**PLAIN)
def _smooth(values, filled, low_y, high_y, weight_y, low_x, high_x, weight_x, land):
    found = np.full((len(values), low_y.size, low_x.size), np.nan, np.float32)
    for t in range(len(values)):
        for i in range(low_y.size):
            p, q, v = low_y[i], high_y[i], weight_y[i]
            for j in range(low_x.size):
                if not land[i, j]:
                    continue
                r, s, w = low_x[j], high_x[j], weight_x[j]
                total, weights = 0.0, 0.0
                for value, weight in ((values[t, p, r], (1 - v) * (1 - w)), (values[t, p, s], (1 - v) * w),
                                      (values[t, q, r], v * (1 - w)), (values[t, q, s], v * w)):
                    if not np.isnan(value):
                        total += weight * value
                        weights += weight
                if weights > 1e-9:
                    found[t, i, j] = total / weights
                else:
                    found[t, i, j] = filled[t, q if v > 0.5 else p, s if w > 0.5 else r]
    return found


@numba.njit(**PLAIN)
def _conserved(values, wanted, land, high, wide):
    count, rows, columns = values.shape
    found = np.empty(values.shape, np.float32)
    for t in range(count):
        for a in range(rows // high):
            for b in range(columns // wide):
                total, n = 0.0, 0
                for i in range(a * high, (a + 1) * high):
                    for j in range(b * wide, (b + 1) * wide):
                        if land[i, j] and not np.isnan(values[t, i, j]):
                            total += values[t, i, j]
                            n += 1
                shift = wanted[t, a, b] - total / n if n else 0.0
                if np.isnan(shift):
                    shift = 0.0
                for i in range(a * high, (a + 1) * high):
                    for j in range(b * wide, (b + 1) * wide):
                        found[t, i, j] = values[t, i, j] + (shift if land[i, j] else 0.0)
    return found
