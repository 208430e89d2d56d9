"""Tables of soil samples: what we write we read back, and each mistake has its line."""

import numpy as np
import pandas as pd
import pytest

from phenolib.errors import InputError
from phenolib.sources import salt_samples
from phenolib.sources.salt_samples import ec_of_salt, read, salt_of_ec, write

ROWS = {"sample": ["a", "b", "c"], "site": ["1", "1", "2"], "area": "DELTA", "date": "2020-06-12",
        "x_m": [100.0, 200.0, 300.0], "y_m": [5.0, 6.0, 7.0], "depth_top_cm": 0, "depth_bottom_cm": 20,
        "salt_g_kg": [0.5, 3.0, 12.0], "land_cover": "wheat"}


def table(**changes):
    made = pd.DataFrame({**ROWS, **changes})
    return made.drop(columns=[name for name, value in changes.items() if value is None])


def put(path, **changes):
    table(**changes).to_csv(path, index=False)
    return path


def test_conversion_has_the_known_values():
    "At 50 % saturation, 1, 4, 10 and 20 dS/m are 0.32, 1.44, 3.88 and 8.21 g/kg; the way back gives them again."
    ec = np.array([1.0, 4.0, 10.0, 20.0])
    salt = salt_of_ec(ec, 50)
    np.testing.assert_allclose(salt, [0.32, 1.44, 3.88, 8.21], atol=0.005)
    np.testing.assert_allclose(ec_of_salt(salt, 50), ec)
    assert salt_of_ec(1.0, kind="EC_1:5") == pytest.approx(3.2)


def test_salt_is_read_as_it_was_written(tmp_path):
    "What is written comes back, its layer in centimetres, with no error of conversion."
    write(table(), tmp_path / "a.csv")
    found = read(tmp_path / "a.csv")
    assert found["salt"].tolist() == ROWS["salt_g_kg"] and (found["salt_low"] == found["salt_high"]).all()
    assert found["x"].tolist() == ROWS["x_m"] and found["depth_bottom"].tolist() == [20] * 3
    assert (found["date"] == pd.Timestamp("2020-06-12")).all() and found["land_cover"].tolist() == ["wheat"] * 3
    write(table(), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_conductivity_becomes_salt_with_its_error(tmp_path):
    "Both extracts are converted each in its way, with 20 % on both sides, and stay in the table."
    ec = {"salt_g_kg": None, "ec_e_dS_m": [1.0, 4.0, 10.0], "saturation_percent": 50.0}
    found = read(put(tmp_path / "paste.csv", **ec))
    np.testing.assert_allclose(found["salt"], [0.3228, 1.4427, 3.8812], rtol=2e-3)
    np.testing.assert_allclose(found["salt_high"] / found["salt"], 1.2)
    np.testing.assert_allclose(found["salt_low"] / found["salt"], 0.8)
    assert found["ec_e_dS_m"].tolist() == [1.0, 4.0, 10.0] and (found["saturation_percent"] == 50).all()
    found = read(put(tmp_path / "dilute.csv", salt_g_kg=None, ec_1_5_dS_m=[0.1, 1.0, 2.0]))
    np.testing.assert_allclose(found["salt"], [0.32, 3.2, 6.4])


def test_degrees_are_read_too(tmp_path):
    "A table may give longitude and latitude in place of metres."
    found = read(put(tmp_path / "a.csv", x_m=None, y_m=None, lon=[118.9, 118.91, 118.92], lat=37.7))
    assert found["lon"].tolist() == [118.9, 118.91, 118.92] and "x" not in found


@pytest.mark.parametrize("changes, words", [
    (dict(salt_g_kg=None, ec_e_dS_m=[1200.0, 3400, 900], saturation_percent=50), "median of 1200.*uS/cm.*divide"),
    (dict(salt_g_kg=None, ec_1_5_dS_m=[120.0, 3400, 900]), "median of 900.*uS/cm"),
    (dict(salt_g_kg=None, ec_e_dS_m=1.0), "column 'saturation_percent' is missing"),
    (dict(salt_g_kg=None, ec_e_dS_m=1.0, saturation_percent=0.5), "looks like a share"),
    (dict(salt_g_kg=None, ec_e_dS_m=[1.0, 2, 3], saturation_percent=[50, 900, 50]), "line 3.*out of range"),
    (dict(salt_g_kg=None, ec_e_dS_m=1.0, ec_1_5_dS_m=1.0, saturation_percent=50), "must not be mixed"),
    (dict(salt_g_kg=None, ec_1_2_dS_m=1.0), "'ec_1_2_dS_m' tells no known kind.*cannot be converted"),
    (dict(salt_g_kg=None, EC=1.0), "'EC' tells no known kind"),
    (dict(salt_g_kg=None, salt_percent=0.3), "'salt_percent' is not in g/kg.*1 % = 10"),
    (dict(salt_g_kg=None), "column 'salt_g_kg' is missing"),
    (dict(salt_g_kg=[1.0, 2.0, 3500.0]), "line 4: salt_g_kg = 3500 cannot be.*mg/kg"),
    (dict(salt_g_kg=[1.0, -2.0, 3.0]), "line 3: salt_g_kg = -2 is negative"),
    (dict(salt_g_kg=[1.0, np.nan, 3.0]), "line 3: salt_g_kg is empty"),
    (dict(salt_g_kg=["1", "two", "3"]), "line 3 has salt_g_kg = 'two'"),
    (dict(depth_bottom_cm=[20, 20, 0]), "line 4: the layer from 0 to 0 cm is none"),
    (dict(x_m=None), "column 'x_m' is missing"),
    (dict(date=None), "column 'date' is missing"),
    (dict(date="spring"), "line 2 has date 'spring'"),
    (dict(x_m=[1.0, 1.0, 3.0], y_m=[5.0, 5.0, 7.0]), "lines 2 and 3 are of one place and date .*0.5 and 3 g/kg"),
    (dict(x_m=None, y_m=None, lon=500.0, lat=37.0), "line 2: lon = 500 is out of range"),
])
def test_mistakes_are_named(tmp_path, changes, words):
    "One line says which file, line or column is wrong, and what to do."
    with pytest.raises(InputError, match=words) as error:
        read(put(tmp_path / "soil.csv", **changes))
    assert str(error.value).startswith("soil.csv:") and "\n" not in str(error.value)


def test_the_same_value_twice_is_no_mistake(tmp_path):
    "One place and date with one value twice is kept; with another layer it may differ."
    found = read(put(tmp_path / "a.csv", x_m=1.0, y_m=2.0, salt_g_kg=2.0))
    assert len(found) == 3
    found = read(put(tmp_path / "b.csv", x_m=1.0, y_m=2.0, depth_top_cm=[0, 20, 40], depth_bottom_cm=[20, 40, 60]))
    assert found["salt"].tolist() == ROWS["salt_g_kg"]


def test_an_unknown_extract_is_refused():
    "A 1:2 extract is not taken for another, and EC_e without saturation says what it needs."
    with pytest.raises(InputError, match="'EC_1:2'.*did you mean 'EC_1:5'"):
        salt_of_ec(1.0, kind="EC_1:2")
    with pytest.raises(InputError, match="needs the saturation percentage"):
        salt_samples.salt_of_ec(1.0)
