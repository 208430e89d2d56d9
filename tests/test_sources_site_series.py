"""Tables of one site: what is written is read back, what a file holds is read, what is wrong is said."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import site_series

NAME = "S2_2017_01_01_2024_12_31_XX-One_LC11_NDVI_EVI2_mean.csv"
TEXT = "t,NDVI,EVI2\n2018-05-01,0.4,0.25\n2018-05-04,,\n2018-05-06,0.5,0.3\n"
TOWER = "XX-One_GPP_DT_VUT_REF_dd_all_years.csv"
UPTAKE = ("TIMESTAMP,GPP_DT_VUT_REF\n2018-05-01 00:00:00+00:00,10.25\n2018-05-02 00:00:00+00:00,0.0\n"
          "2018-05-05 00:00:00+00:00,12.5\n")


@pytest.fixture
def file(tmp_path):
    "Writes a file and returns its path."

    def write(text=TEXT, name=NAME):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def indices(passes=200, kind=np.float32, **values):
    "Made indices of one site, with cloud."
    time = pd.date_range("2019-11-02", periods=passes, freq="5D")
    seen = np.random.default_rng(1).random(passes) > 0.6
    wave = 0.4 + 0.3 * np.sin(np.arange(passes) / 11)
    data = {name: ("time", np.where(seen, scale * wave, np.nan).astype(kind)) for name, scale in values.items()}
    return xr.Dataset(data, {"time": time}, {"site": "XX-One"})


def test_indices_are_read(file):
    "Values, missing values and dates come as the file says, with units and names; the site comes from the file's name."
    data = site_series.read(file())
    np.testing.assert_array_equal(data.NDVI, [0.4, np.nan, 0.5])
    np.testing.assert_array_equal(data.EVI2, [0.25, np.nan, 0.3])
    assert data.time.dtype == "datetime64[ns]" and str(data.time.values[2])[:10] == "2018-05-06"
    assert (data.site, data.source) == ("XX-One", NAME)
    assert data.NDVI.units == "1" and data.NDVI.long_name == "normalized difference vegetation index"


def test_gpp_is_read_without_a_time_zone(file):
    "Days are calendar days of the clock that wrote them, whatever its offset; days without a row stay away."
    for offset in ("+00:00", "+01:00", ""):
        data = site_series.read(file(UPTAKE.replace("+00:00", offset), TOWER))
        assert data.indexes["time"].strftime("%m-%d").tolist() == ["05-01", "05-02", "05-05"]
        np.testing.assert_array_equal(data.GPP, [10.25, 0, 12.5])
    assert data.GPP.units == "gC m-2 d-1" and data.site == "XX-One" and int(data.time.dt.hour.max()) == 0


def test_files_of_the_flux_network_itself(file):
    "Dates without hyphens, more columns and −9999 are what the network serves; the day-time partition comes first."
    text = "TIMESTAMP,TA_F,GPP_NT_VUT_REF,GPP_DT_VUT_REF\n20180501,9.1,8,9\n20180502,9.3,-9999,-9999\n"
    data = site_series.read(file(text, "FLX_BE-Lon_FLUXNET2015_FULLSET_DD_2004-2018.csv"))
    np.testing.assert_array_equal(data.GPP, [9, np.nan])
    assert data.site == "BE-Lon" and data.GPP.column == "GPP_DT_VUT_REF"


def test_rows_are_sorted_and_tiles_of_one_pass_are_averaged(file):
    "Rows out of order are put in order; a date with two rows gets their mean, missing ones left out."
    rows = TEXT.splitlines(keepends=True)
    data = site_series.read(file(rows[0] + rows[3] + rows[1] + "2018-05-06,0.7,\n" + rows[2]))
    assert data.indexes["time"].is_monotonic_increasing and data.indexes["time"].is_unique
    np.testing.assert_allclose(data.NDVI, [0.4, np.nan, 0.6])
    np.testing.assert_allclose(data.EVI2, [0.25, np.nan, 0.3])


def test_a_single_impossible_value_is_missing_and_counted(tmp_path):
    "One overflow among many values is set missing; a whole file in another unit is refused."
    path = tmp_path / "PPI_2017_01_01_2024_12_31_XX-One_LC11_mean.csv"
    made = indices(PPI=1.0)
    kept = np.flatnonzero(np.isfinite(made.PPI))
    made.PPI[kept[7]] = -22685.54
    site_series.write(made, path)
    data = site_series.read(path)
    assert data.PPI.impossible == 1 and np.isnan(data.PPI[kept[7]])
    assert int(data.PPI.notnull().sum()) == kept.size - 1
    site_series.write(made.assign(PPI=made.PPI * 1000), path)
    with pytest.raises(InputError, match=r"has PPI_mean = .*; values from -1 to 10 m2 m-2 are expected, convert"):
        site_series.read(path)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("names", [("NDVI", "EVI2"), ("PPI",), ("FAPAR",), ("LAI",)])
def test_written_is_read_back(tmp_path, names, kind):
    "Made indices survive writing and reading in the precision they have; writing again changes no byte."
    made = indices(kind=kind, **{name: 0.9 - 0.2 * k for k, name in enumerate(names)})
    path = tmp_path / site_series.file_name("XX-One", names, (2019, 2022))
    site_series.write(made, path)
    data = site_series.read(path)
    for name in names:
        np.testing.assert_array_equal(data[name].values.astype(kind), made[name])
    assert list(data) == list(names) and data.site == "XX-One"
    first = path.read_bytes()
    site_series.write(data, path)
    assert path.read_bytes() == first


def test_written_gpp_is_read_back(tmp_path):
    "A missing day of GPP has no row; the partition keeps its name."
    made = indices(GPP=20.0, kind=np.float64).drop_attrs(deep=False)
    made.GPP.attrs["column"] = "GPP_NT_VUT_REF"
    path = tmp_path / site_series.file_name("XX-One", ("GPP",), (2019, 2022))
    site_series.write(made, path)
    assert path.read_text().startswith("TIMESTAMP,GPP_NT_VUT_REF\n20")
    data = site_series.read(path)
    np.testing.assert_array_equal(data.GPP, made.GPP.dropna("time"))
    assert data.GPP.column == "GPP_NT_VUT_REF"


@pytest.mark.parametrize("text, name, message", [
    (TEXT.replace("t,", "day,"), NAME, "the first column is 'day'; 't' or 'TIMESTAMP'"),
    (TEXT.replace("NDVI,EVI2", "ndvi,evi"), NAME, "holds none of the columns NDVI, EVI2"),
    (TEXT.replace("EVI2", "NDVI"), NAME, "'NDVI' is there twice"),
    (TEXT.replace("EVI2", "NDVI_mean"), NAME, "'NDVI' and 'NDVI_mean' hold the same; keep one"),
    (TEXT.replace("05-04", "05-41"), NAME, "line 3 has t '2018-05-41'"),
    (TEXT.replace("2018-05-04", "4 May 2018"), NAME, "line 3 has t '4 May 2018'; a calendar date"),
    (TEXT.replace("0.25", "green"), NAME, "line 2 has EVI2 = 'green'; a number"),
    (TEXT.replace("0.25", "inf"), NAME, "line 2 has EVI2 = 'inf'; a number"),
    (TEXT.replace("0.4", "40"), NAME, "line 2 has NDVI = 40; values from -1 to 1 are expected"),
    (TEXT[:-10], NAME, "line 4 has 1 fields, 3 are expected; the file is truncated"),
    (TEXT.replace("04,,", "04,,,"), NAME, "line 3 has 4 fields, 3 are expected; correct or remove"),
    (TEXT[:12], NAME, "holds no rows"),
    ("", NAME, "holds no rows"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", NAME, "is not a text file"),
    (TEXT, "ndvi.csv", "its name tells no site; name it like <site>_GPP_… or …_<site>_LC11_…"),
    (UPTAKE + "2018-05-02 12:00:00+00:00,3\n", TOWER, "the date 2018-05-02 is there again in line 5; one row per day"),
])
def test_wrong_input_is_one_clear_line(file, text, name, message):
    "Each fault names the file, the place and what was expected."
    with pytest.raises(InputError) as error:
        site_series.read(file(text, name))
    assert message in str(error.value)
    assert str(error.value).startswith(name) and "\n" not in str(error.value)


def test_files_that_are_not_there(file, tmp_path):
    "A missing file suggests a neighbour; a folder is not a file."
    file()
    with pytest.raises(InputError, match=f"no such file; did you mean '{NAME}'"):
        site_series.read(tmp_path / NAME.replace("One", "Two"))
    with pytest.raises(InputError, match="is a folder"):
        site_series.read(tmp_path)


def test_what_cannot_be_written_is_said(tmp_path):
    "GPP beside indices, no known variable, a date twice and another site's name are refused, and nothing is written."
    made = indices(NDVI=1.0, GPP=20.0)
    path = tmp_path / NAME
    for data, message in (
        (made, "holds NDVI and GPP; give GPP alone"),
        (made.rename(NDVI="ndvi").drop_vars("GPP"), "holds no known variable"),
        (xr.concat([made[["NDVI"]]] * 2, "time"), "is there twice"),
        (made[["NDVI"]].assign_attrs(site="XX-Two"), "is the name of a file of XX-One, the dataset is of XX-Two"),
    ):
        with pytest.raises(InputError, match=message):
            site_series.write(data, path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="no file holds NDVI and PPI; did you mean 'NDVI and EVI2'"):
        site_series.file_name("XX-One", ("NDVI", "PPI"), (2017, 2018))
