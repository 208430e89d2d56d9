"""Indices against their published formulas, against the catalogue, and what is refused."""

import numpy as np
import pytest
import spyndex
import xarray as xr

from phenolib import indices
from phenolib.errors import InputError

RNG = np.random.default_rng(3)
BANDS = xr.Dataset({b: (("y", "x"), RNG.uniform(0.02, 0.5, (4, 5))) for b in indices.BANDS}
                   | {b: (("y", "x"), RNG.uniform(0.01, 0.3, (4, 5))) for b in ("vv", "vh")})
B = {b: BANDS[b].values for b in BANDS}
FORMULAS = {
    "NDVI": lambda: (B["B08"] - B["B04"]) / (B["B08"] + B["B04"]),
    "EVI": lambda: 2.5 * (B["B08"] - B["B04"]) / (B["B08"] + 6 * B["B04"] - 7.5 * B["B02"] + 1),
    "EVI2": lambda: 2.5 * (B["B08"] - B["B04"]) / (B["B08"] + 2.4 * B["B04"] + 1),
    "GCC": lambda: B["B03"] / (B["B02"] + B["B03"] + B["B04"]),
    "SAVI": lambda: 1.5 * (B["B08"] - B["B04"]) / (B["B08"] + B["B04"] + 0.5),
    "MSAVI": lambda: 0.5 * (2 * B["B08"] + 1 - np.sqrt((2 * B["B08"] + 1) ** 2 - 8 * (B["B08"] - B["B04"]))),
    "GDVI2": lambda: (B["B08"] ** 2 - B["B04"] ** 2) / (B["B08"] ** 2 + B["B04"] ** 2),
    "NDRE": lambda: (B["B08"] - B["B05"]) / (B["B08"] + B["B05"]),
    "RENDVI": lambda: (B["B06"] - B["B05"]) / (B["B06"] + B["B05"]),
    "CIre": lambda: B["B08"] / B["B05"] - 1,
    "LSWI": lambda: (B["B08"] - B["B11"]) / (B["B08"] + B["B11"]),
    "NDWI": lambda: (B["B03"] - B["B08"]) / (B["B03"] + B["B08"]),
    "VSSI": lambda: 2 * B["B03"] - 5 * (B["B04"] + B["B08"]),
    "SSSI2": lambda: (B["B11"] * B["B12"] - B["B12"] ** 2) / B["B11"],
    "SI_T": lambda: 100 * B["B04"] / B["B08"],
    "RVI": lambda: 4 * B["vh"] / (B["vv"] + B["vh"]),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_index_is_its_published_formula(name):
    "Sixteen of the indices, written out again."
    np.testing.assert_allclose(indices.index(name, BANDS), FORMULAS[name](), rtol=1e-9)


def test_all_are_there_and_say_what_they_need():
    "19 for salinity, 16 and three more for vegetation, two for water, two for radar; all are computed."
    table = indices.table()
    assert table["group"].value_counts().to_dict() == {"salinity": 19, "vegetation": 18, "water": 2, "radar": 2}
    made = indices.indices(table.index, BANDS)
    assert set(made) == set(table.index) and (made["CRSI"] >= 0).all() and (abs(made["MTCI"]).fillna(0) <= 10).all()
    for name in table.index:
        with pytest.raises(InputError, match=f"index {name} needs the band"):
            indices.index(name, BANDS.drop_vars(indices.needs(name)[-1]))


@pytest.mark.parametrize("name", [n for n, i in indices.TABLE.items() if i.function_of])
def test_function_of_tells_of_nothing_new(name):
    "Pixels in the order of one index are in the order of the other, or in its reverse: kNDVI over positive NDVI."
    green = BANDS.assign(B08=BANDS["B08"] + 0.5)
    a, b = (indices.index(n, green).values.ravel() for n in (name, indices.TABLE[name].function_of))
    change = np.diff(a[np.argsort(b)])
    assert (change >= -1e-12).all() or (change <= 1e-12).all()


def test_names_that_clash_have_the_meaning_of_this_book():
    "The catalogue's NDSI is of snow and its BI of bare soil; ours are those of salinity, and any other name is its."
    np.testing.assert_allclose(indices.index("NDSI", BANDS), -indices.index("NDVI", BANDS))
    assert spyndex.indices["NDSI"].formula == "(G-S1)/(G+S1)"
    np.testing.assert_allclose(indices.index("NDMI", BANDS), indices.index("LSWI", BANDS))


def test_what_cannot_be_is_refused():
    "Unknown names, dB for power, numbers not scaled, another wavelength: each with its remedy."
    with pytest.raises(InputError, match="index 'NDVY' is not known.*NDVI"):
        indices.index("NDVY", BANDS)
    with pytest.raises(InputError, match="needs vv in linear power, not in dB; see indices.from_db"):
        indices.index("CR", BANDS.assign(vv=indices.to_db(BANDS["vv"])))
    with pytest.raises(InputError, match="B0[48] holds .*give reflectance from 0 to 1"):
        indices.index("NDVI", BANDS * 10000)
    with pytest.raises(InputError, match="needs B08 near 842 nm; the band given lies at 783 nm"):
        indices.index("NDVI", BANDS.assign(B08=BANDS["B08"].assign_attrs(wavelength=783)))


def test_missing_stays_missing_and_dask_stays_lazy():
    "NaN in a band is NaN in the index; 0/0 too; a dask cube is not computed."
    holes = BANDS.assign(B04=BANDS["B04"].where(BANDS["B04"] > 0.1))
    np.testing.assert_array_equal(indices.index("NDVI", holes).isnull(), holes["B04"].isnull())
    assert indices.index("NDVI", xr.Dataset({"B04": 0.0, "B08": 0.0})).isnull()
    lazy = indices.index("GCC", BANDS.chunk(y=2))
    assert lazy.chunks and np.allclose(lazy, indices.index("GCC", BANDS))


def test_db_and_back():
    "10 dB is ten times; nothing has no level."
    assert indices.to_db(xr.DataArray([10.0, 0.1])).values.tolist() == [10, -10]
    np.testing.assert_allclose(indices.from_db(indices.to_db(BANDS["vv"])), BANDS["vv"])
    assert indices.to_db(xr.DataArray([0.0])).isnull().all()
