import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from phenolib.errors import InputError
from phenolib.terrain import gaussian, terrain

SIDE = 30.0
X, Y = np.arange(41) * SIDE + 500_000, 4_200_000 - np.arange(31) * SIDE  # rows from the north
EAST, NORTH = np.meshgrid(X - X.mean(), Y - Y.mean())


def dem(z, y=Y, x=X):
    return xr.DataArray(z, coords={"y": y, "x": x}, dims=("y", "x"), name="dem")


def off_axis(found, name):
    "Values where the ground is not level, without the frame of missing cells."
    level = np.hypot(EAST, NORTH) < 2 * SIDE
    return found[name].where(~level).values[1:-1, 1:-1]


@pytest.mark.parametrize("bend", [1e-3, -2e-4])
def test_curvatures_of_a_trough_and_a_bowl(bend):
    "z = a x² bends by −2a along its slope and not across; z = a (x² + y²) by −2a along and 2a across."
    trough, bowl = (terrain(dem(z), smooth=0) for z in (bend * EAST**2, bend * (EAST**2 + NORTH**2)))
    east = EAST[1:-1, 1:-1] != 0
    assert np.allclose(trough["profile"].values[1:-1, 1:-1][east], -2 * bend, rtol=1e-4)
    assert np.allclose(trough["plan"].values[1:-1, 1:-1], 0, atol=1e-9)
    assert np.nanmax(np.abs(off_axis(bowl, "profile") + 2 * bend)) < 1e-4 * abs(bend)
    assert np.nanmax(np.abs(off_axis(bowl, "plan") - 2 * bend)) < 1e-4 * abs(bend)


@pytest.mark.parametrize("angle", [30, 90, 217])
def test_a_turned_saddle_has_the_same_curvatures(angle):
    "Ground that is turned about its middle is as steep and as bent there, so the diagonal term has its right sign."
    def at_middle(angle):
        turn = np.radians(angle)
        u, v = EAST * np.cos(turn) + NORTH * np.sin(turn), NORTH * np.cos(turn) - EAST * np.sin(turn)
        found = terrain(dem(2e-4 * u**2 - 1e-4 * v**2 + 3e-4 * u * v + 0.02 * u + 0.01 * v), smooth=0)
        return [float(found[name][15, 20]) for name in ("slope", "profile", "plan")]
    assert at_middle(angle) == pytest.approx(at_middle(0), rel=1e-5)


def test_slope_of_a_plane():
    "A plane that rises 3 in 100 to the east and 4 in 100 to the north has 5 in 100, smoothed or not, and no bend."
    for smooth in (0, 2.0):
        found = terrain(dem(100 + 0.03 * EAST + 0.04 * NORTH), smooth=smooth)
        inner = found.isel(y=slice(1, -1), x=slice(1, -1))
        assert np.allclose(inner["slope"], np.degrees(np.arctan(0.05)), rtol=1e-5)
        assert np.allclose(inner["profile"], 0, atol=1e-9) and np.allclose(inner["plan"], 0, atol=1e-9)
        assert found["slope"].attrs["units"] == "degree" and found["plan"].attrs["units"] == "m-1"


def test_level_ground_is_zero_and_edges_are_missing():
    "Level ground has zeros, not missing values; the outermost cells are missing."
    for name, values in terrain(dem(np.full(EAST.shape, 3.0))).items():
        assert (values.values[1:-1, 1:-1] == 0).all(), name
        assert np.isnan(values.values).sum() == EAST.size - (EAST.shape[0] - 2) * (EAST.shape[1] - 2)


def test_rows_from_the_south_give_the_same_ground():
    "The same cells in the other order of rows have the same slope and curvatures at the same places."
    z = dem(np.random.default_rng(0).normal(0, 1, EAST.shape))
    one, other = terrain(z), terrain(z.isel(y=slice(None, None, -1)))
    assert (other["y"].values == Y[::-1]).all()
    xr.testing.assert_allclose(one, other.sel(y=one["y"]))


def test_noise_is_smoothed_and_the_shape_stays():
    "With 1 m of noise on a bowl, smoothed curvatures find the bend, those of the cells as they are do not."
    bend, noise = 2e-4, np.random.default_rng(1).normal(0, 0.3, EAST.shape)
    z = dem(bend * (EAST**2 + NORTH**2) + noise)
    error = {smooth: np.nanmedian(np.abs(off_axis(terrain(z, smooth=smooth), "plan")[8:-8, 8:-8] - 2 * bend))
             for smooth in (0, 2.0)}
    assert error[2.0] < 0.3 * 2 * bend < error[0]


def test_missing_cells_stay_missing_and_spoil_only_their_neighbours():
    "A gap is missing with the ring around it; a plane stays one beside it, and beyond the Gaussian nothing changes."
    plane = dem(0.02 * EAST + 0.01 * NORTH)
    hill = dem(0.02 * EAST + 1e-4 * NORTH**2)
    for z in plane, hill:
        holed = z.copy(data=z.values.copy())
        holed[10:13, 20:23] = np.nan
        whole, found = terrain(z), terrain(holed)
        for name in found:
            assert np.isnan(found[name][9:14, 19:24]).all()
            assert np.isfinite(found[name][8, 18:26]).all() and np.isnan(found[name]).sum() == EAST.size - 29 * 39 + 25
            beside = found[name] - whole[name]
            assert np.nanmax(np.abs(beside if z is plane else beside[:, 32:])) < 1e-9
    assert np.isnan(gaussian(holed.values, 2.0)).sum() == 9
    assert np.isfinite(gaussian(np.where(np.eye(9) * np.arange(9) == 4, 5.0, np.nan), 2.0)).sum() == 1


def test_smoothing_is_a_gaussian_where_all_is_known():
    "Far from edges it is the weighted mean of scipy, also where the ground lies 4000 m high."
    z = np.random.default_rng(3).normal(4000, 5, (50, 60))
    assert np.allclose(gaussian(z, 2.0)[9:-9, 9:-9], ndimage.gaussian_filter(z, 2.0)[9:-9, 9:-9], atol=1e-9)


def test_elevations_that_cannot_be_used_are_refused():
    "One line says what is wrong with the grid and what to do."
    z = dem(0.01 * EAST)
    degrees = {"y": 45 - np.arange(31) / 3600, "x": 10 + np.arange(41) / 3600}
    wkt = xr.DataArray(0, attrs={"crs_wkt": 'GEOGCS["WGS 84"]'})
    for wrong, said in [(z.assign_coords(degrees), "in degrees"), (z.assign_coords(spatial_ref=wkt), "in degrees"),
                        (z.assign_coords(x=X * 2), "square cells"),
                        (z.assign_coords(x=z["x"].assign_attrs(units="degrees_east")), "in degrees"),
                        (z.assign_coords(x=X**2), "not even along x"), (z[:2], "2 × 41 cells"),
                        (z.expand_dims("band"), "band"), (z.T, r"\(y, x\)"), (z.values, "DataArray"),
                        (z.where(z > 1, -32767), "-32767 m; make its missing cells NaN"),
                        (z * np.nan, "no elevation at all")]:
        with pytest.raises(InputError, match=said) as error:
            terrain(wrong)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="smooth = -1"):
        terrain(z, smooth=-1)
