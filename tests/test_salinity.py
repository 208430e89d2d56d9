"Salinity: classes, what is read of a place, and samples."

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import salinity
from phenolib.errors import InputError

SIDE = 80
X, Y = 500_005.0 + 10 * np.arange(SIDE), 4_000_795.0 - 10 * np.arange(SIDE)


def image(value=0.1, age=0.0):
    rng = np.random.default_rng(0)
    data = {b: (("y", "x"), (value + 0.01 * k + 0.02 * rng.random((SIDE, SIDE))).astype(np.float32))
            for k, b in enumerate(salinity.BANDS)}
    return xr.Dataset({**data, "age": (("y", "x"), np.full((SIDE, SIDE), age, np.float32))}, {"y": Y, "x": X})


def scene():
    layers = {name: (("y", "x"), np.arange(SIDE**2, dtype=np.float32).reshape(SIDE, SIDE) + k)
              for k, name in enumerate(salinity.LAYERS)}
    return salinity.Scene("A", pd.Timestamp("2020-06-15"), image(), xr.Dataset(layers, {"y": Y, "x": X}))


def places(rows, columns):
    return pd.DataFrame({"sample": [f"s{k}" for k in range(len(rows))], "site": "a", "area": "A",
                         "date": pd.Timestamp("2020-06-15"), "campaign": "2020-06", "x": X[columns], "y": Y[rows],
                         "salt": np.linspace(0.5, 9, len(rows)), "land_cover": "corn"})


def test_the_inputs_are_those_of_the_study():
    "Ten bands, 16 and 19 indices, nine channels; 29 of the 35 indices are no function of another."
    from phenolib.indices import TABLE

    assert len(salinity.BANDS) == 10 and len(salinity.LAYERS) == 9
    assert len(salinity.VEGETATION) == 16 and len(salinity.SALINITY) == 19
    own = salinity.VEGETATION + salinity.SALINITY
    assert len(set(own)) == 35 and sum(not TABLE[n].function_of for n in own) == 29
    assert len(salinity.names()) == len(set(salinity.names())) == 54


def test_classes_meet_at_their_limits_and_keep_gaps():
    "A limit belongs to the class above it, in an array and in a map."
    layer = xr.DataArray([[0.99, 1.0], [6.0, np.nan]], dims=("y", "x"))
    assert salinity.classify(layer).values.tolist() == [[0, 1], [4, -1]]


def test_a_season_that_was_drawn_is_measured():
    "Of a drawn rise and fall the 20 and 90 % days and the slope between them come back; bare ground has slope 0."
    time = pd.date_range("2019-01-05", "2020-12-30", freq="10D")
    day = (time - pd.Timestamp("2020-01-01")).days.to_numpy(float)
    rise = 1 / (1 + np.exp(-0.1 * (day - 140))) - 1 / (1 + np.exp(-0.1 * (day - 250)))
    before = 1 / (1 + np.exp(-0.1 * (day + 225))) - 1 / (1 + np.exp(-0.1 * (day + 115)))
    values = np.stack([0.15 + 0.6 * (rise + before), np.full(day.size, 0.12)], 1)[:, None]
    ndvi = xr.DataArray(values, {"time": time}, ("time", "y", "x"))
    found = salinity.phenology_of(ndvi, [2020]).sel(year=2020)
    sos, sdps = 140 - np.log(4) / 0.1, 140 + np.log(9) / 0.1
    assert abs(float(found.sos[0, 0]) - sos) < 4 and abs(float(found.sdps[0, 0]) - sdps) < 5
    assert abs(float(found.gus[0, 0]) - 0.7 * 0.6 / (sdps - sos)) < 0.003
    assert np.isnan(found.sos[0, 1]) and found.gus[0, 1] == 0


def test_each_pixel_is_of_the_nearest_clear_image():
    "A cloud takes the pixel from the next image; its age tells which."
    near, far = image(0.1).drop_vars("age"), image(0.3).drop_vars("age")
    near["B08"][0, 0] = np.nan
    both = xr.concat([far, near], pd.DatetimeIndex(["2020-06-05", "2020-06-16"], name="time"))
    found = salinity.nearest_clear(both, "2020-06-15")
    assert found["age"][0, 0] == -10 and found["age"][0, 1] == 1
    assert found["B02"][0, 0] == far["B02"][0, 0] and found["B02"][0, 1] == near["B02"][0, 1]
    with pytest.raises(InputError, match="no image near 2020-06-15"):
        salinity.nearest_clear(both.isel(time=slice(0, 0)), "2020-06-15")


def test_cells_are_means_of_what_is_known():
    "Four pixels make a cell; one that is missing is left out; odd sizes are refused."
    pixels = np.arange(16.0).reshape(1, 4, 4)
    pixels[0, 0, 0] = np.nan
    found = salinity.cells(pixels)
    assert found.shape == (1, 2, 2) and np.isclose(found[0, 0, 0], (1 + 4 + 5) / 3) and found[0, 1, 1] == 12.5
    with pytest.raises(InputError, match="even number"):
        salinity.cells(np.ones((1, 3, 4)))


def test_windows_lie_around_their_sample():
    "The middle of a window, and of a patch of cells, is the sample's own place; edges are told and left out."
    lost = {}
    found = salinity.take(places([40, 2, 41], [39, 40, 36]), scene(), reach=5, lost=lost)
    assert len(found) == 2 and lost["window beyond the scene"] == 1 and found.asked == 3
    assert found.windows.shape == (2, 9, 65, 65) and found.patches.shape == (2, 9, 5, 5)
    assert (found.windows[:, :, 32, 32] == found.layers).all()
    assert found.layers[0, 0] == 40 * SIDE + 39
    assert np.isclose(found.patches[0, 0, 2, 2], salinity.cells(scene().layers["dem"].values[None])[0, 20, 19])
    assert found.features.shape == (2, 10 + 35 + 4 * 9) and np.isfinite(found.features.to_numpy()).all()
    assert np.allclose(found.target, np.log1p(found.table["salt"]))


def test_samples_elsewhere_are_refused():
    "If no sample lies in the scene, the message tells both places."
    table = places([40], [40])
    with pytest.raises(InputError, match="no sample lies in the scene of 'A'.*compare their projections"):
        salinity.take(table.assign(x=118.9, y=37.7), scene())


def test_what_is_read_of_pooled_samples_stays_in_order():
    "Samples of two scenes stand one after the other, with their losses together."
    one = salinity.take(places([40, 2], [39, 40]), scene())
    both = salinity.pooled([one, one])
    assert len(both) == 2 and both.asked == 4 and both.lost["window beyond the scene"] == 2
    assert (both[np.array([True, False])].bands == one.bands).all()


def test_smearing_gives_the_mean_back():
    "Means of a log-normal sample come back with the factor, and are too low without it."
    y = np.random.default_rng(0).normal(1.0, 0.8, 20_000)
    assert np.isclose(np.exp(1.0) * salinity.smearing(y - 1.0), np.exp(y).mean(), rtol=0.01) and \
        np.exp(1.0) < 0.8 * np.exp(y).mean()
