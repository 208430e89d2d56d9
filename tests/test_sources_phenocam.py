"""Files of the camera network: what is written is read back, what a real file holds is read, what is wrong is said."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import phenocam

REAL = os.environ.get("PHENOLIB_ARCHIVE")
real = pytest.mark.skipif(not REAL, reason="PHENOLIB_ARCHIVE names no real archive")
HEADER = """\
#
# 3-day summary product time series for field.one
#
# Site: field.one
# Veg Type: AG
# ROI ID Number: 1000
# Lat: 41.5
# Lon: -96.25
# Elev: 300
# Time of Day Max: 23:59:59
# Aggregation Period: 3
#
"""
BODY = """\
date,image_count,midday_filename,gcc_90,outlierflag_gcc_90,int_flag
2018-05-01,40,a_1.jpg,0.35000,0,NA
2018-05-04,0,None,NA,NA,1
2018-05-07,38,a_3.jpg,-9999,1,NA
"""
NAME = "field.one_AG_1000_3day.csv"


@pytest.fixture
def file(tmp_path):
    "Writes a camera file and returns its path."

    def write(text=HEADER + BODY, name=NAME):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def series(days=60, **attrs):
    "A made series with a gap, an outlier and an interpolated stretch."
    time = pd.date_range("2019-12-01", periods=days, freq="3D")
    gcc = np.round(0.38 + 0.05 * np.sin(np.arange(days) / 9), 5)
    gcc[5:9] = np.nan
    flag = np.where(np.isnan(gcc), np.nan, 0.0)
    flag[20] = 1.0
    names = np.where(np.isnan(gcc), "", "noon.jpg")
    data = xr.Dataset(
        {"gcc_90": ("time", gcc), "outlierflag_gcc_90": ("time", flag), "midday_filename": ("time", names)},
        {"time": time},
    )
    known = dict(site="field.one", veg_type="AG", roi="1000", lat=41.5, lon=-96.25, elev=300.0, step=3)
    return data.assign_attrs({**known, **attrs})


def test_what_the_rows_hold_is_read(file):
    "Values, missing values, flags and file names come as the file says."
    data = phenocam.read(file())
    assert data.time.values.astype("datetime64[D]").astype(str).tolist() == ["2018-05-01", "2018-05-04", "2018-05-07"]
    np.testing.assert_array_equal(data.gcc_90, [0.35, np.nan, np.nan])
    np.testing.assert_array_equal(data.int_flag, [np.nan, 1, np.nan])
    assert data.midday_filename.values.tolist() == ["a_1.jpg", "", "a_3.jpg"]
    assert data.outlierflag_gcc_90.attrs["flag_meanings"] == "kept outlier"


def test_what_the_header_holds_is_read(file):
    "Site, region and place are attributes; a value may hold colons; only the file's name is kept, not its path."
    data = phenocam.read(file())
    assert (data.site, data.veg_type, data.roi, data.step) == ("field.one", "AG", "1000", 3)
    assert (data.lat, data.lon, data.elev) == (41.5, -96.25, 300)
    assert json.loads(data.header)["Time of Day Max"] == "23:59:59"
    assert data.source == NAME
    assert phenocam.read_header(file()) == {k: v for k, v in data.attrs.items() if k != "source"}


def test_every_variable_has_units_and_a_name():
    "All columns of the network are described; only the file name has no unit."
    for name in phenocam.VARIABLES:
        about = phenocam._about(name)
        assert about["long_name"]
        assert "units" in about or name == "midday_filename"


@pytest.mark.parametrize("header", [
    HEADER.replace("# Lat: 41.5\n# Lon: -96.25\n", "# Lat: 41.5 # Lon: -96.25\n"),
    HEADER.replace("# Aggregation Period: 3", "# Days to Aggregate: 3\n# Sun Elevation Min: 5.0"),
    HEADER.replace("Lat: 41.5", "Lat:: 41.5"),
    HEADER.replace("#\n", ""),
    HEADER.replace("\n", "\r\n"),
    "\ufeff" + HEADER,
])
def test_older_and_odd_headers(file, header):
    "Two comments on a line, older keys, double colons, other lengths and line ends mean the same."
    data = phenocam.read(file(header + BODY))
    assert (data.site, data.step, data.lat, data.lon) == ("field.one", 3, 41.5, -96.25)


def test_file_name_stands_in_for_a_header(file):
    "A table without any header takes site, region and step from its name; its place is unknown."
    data = phenocam.read(file(BODY))
    assert (data.site, data.roi, data.step) == ("field.one", "1000", 3)
    assert np.isnan(data.lat)


def test_dates_are_sorted(file):
    "Rows out of order are put in order, and their values go with them."
    rows = BODY.splitlines(keepends=True)
    data = phenocam.read(file(HEADER + rows[0] + rows[3] + rows[1] + rows[2]))
    np.testing.assert_array_equal(data.image_count, [40, 0, 38])
    assert data.indexes["time"].is_monotonic_increasing


def test_only_the_columns_asked_for(file):
    "Columns by name, one or several."
    assert set(phenocam.read(file(), ["gcc_90", "int_flag"])) == {"gcc_90", "int_flag"}
    assert set(phenocam.read(file(), "gcc_90")) == {"gcc_90"}


@pytest.mark.parametrize("text, message", [
    (HEADER + BODY.replace("date,", "day,"), "the column 'date' is missing"),
    (HEADER + BODY.replace("gcc_90", "green_90"), "no greenness column"),
    (HEADER + BODY.replace("int_flag", "gcc_90"), "'gcc_90' is there twice"),
    (HEADER + BODY.replace("2018-05-04", "2018-05-41"), "line 15 has date '2018-05-41'"),
    (HEADER + BODY.replace("2018-05-04", "NA"), "line 15 has date 'NA'"),
    (HEADER + BODY.replace("2018-05-04", "2018-05-01"), "the date 2018-05-01 is there 2 times"),
    (HEADER + BODY.replace("0.35000", "green"), "line 14 has gcc_90 = 'green'; a share between 0 and 1"),
    (HEADER + BODY.replace("0.35000", "35"), "line 14 has gcc_90 = '35"),
    (HEADER + BODY.replace("38,", "many,"), "line 16 has image_count = 'many'; a number"),
    (HEADER + BODY[:-8], "line 16 has 4 fields, 6 are expected; the file is truncated"),
    (HEADER + BODY.replace("None,", ""), "line 15 has 5 fields, 6 are expected; correct or remove"),
    (HEADER + BODY.splitlines()[0], "holds no rows"),
    (HEADER, "holds no rows"),
    ("", "holds no rows"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", "is not a text file"),
    ("é".encode("latin-1") + BODY.encode(), "is not a text file"),
    (HEADER + BODY + HEADER.replace("one", "two") + BODY, "two sites, field.one and field.two"),
    (HEADER + BODY + HEADER + BODY, "two files run together"),
    (HEADER.replace("# Veg", "# Site: field.two\n# Veg") + BODY, "two sites, field.one and field.two"),
    (HEADER.replace("Site: field.one", "Site: field.two") + BODY, "two sites in one file"),
    (HEADER.replace("41.5", "north") + BODY, "'Lat: north'"),
    (HEADER.replace("Period: 3", "Period: 16") + BODY, "the aggregation period is '16'"),
])
def test_wrong_input_is_one_clear_line(file, text, message):
    "Each fault names the file, the place and what was expected."
    with pytest.raises(InputError) as error:
        phenocam.read(file(text))
    assert message in str(error.value)
    assert str(error.value).startswith(NAME) and "\n" not in str(error.value)


def test_two_sites_in_a_column(file):
    "A column that names the site must name one."
    rows = BODY.replace("date,", "site,date,").replace("2018", "field.one,2018")
    phenocam.read(file(HEADER + rows))
    with pytest.raises(InputError, match=r"two sites in one file, field.one and field.two \(line 15\)"):
        phenocam.read(file(HEADER + rows.replace("field.one,2018-05-04", "field.two,2018-05-04")))


def test_columns_that_are_not_there(file):
    "A requested column that is missing is named, with one that is near."
    with pytest.raises(InputError, match="'gcc_9' is missing; did you mean 'gcc_90'"):
        phenocam.read(file(), ["gcc_9"])


def test_files_that_are_not_there(file, tmp_path):
    "A missing file suggests a neighbour; a folder is not a file."
    file()
    with pytest.raises(InputError, match="no such file; did you mean 'field.one_AG_1000_3day.csv'"):
        phenocam.read(tmp_path / "field.one_AG_2000_3day.csv")
    with pytest.raises(InputError, match="is a folder"):
        phenocam.read(tmp_path)


def test_written_is_read_back(tmp_path):
    "A made series survives writing and reading, across New Year, with its gaps and flags."
    made = series()
    phenocam.write(made, tmp_path / NAME)
    data = phenocam.read(tmp_path / NAME)
    for name in made:
        np.testing.assert_array_equal(data[name], made[name])
    assert {k: data.attrs[k] for k in made.attrs} == made.attrs
    assert [c for c in data] == phenocam.VARIABLES[: len(data)]


def test_written_twice_is_the_same(tmp_path):
    "Reading and writing again changes no byte, header included."
    phenocam.write(series(), tmp_path / NAME)
    first = (tmp_path / NAME).read_bytes()
    phenocam.write(phenocam.read(tmp_path / NAME), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == first


def test_raw_and_processed_formats(tmp_path):
    "A raw file has the network's 32 columns and five decimals; a processed one 49 columns and no trailing zeros."
    made = series()
    phenocam.write(made, tmp_path / NAME)
    lines = [line for line in (tmp_path / NAME).read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == ",".join(phenocam.RAW) and len(phenocam.RAW) == 32
    assert ",0.38000," in lines[1]
    phenocam.write(made.assign(int_flag=made.gcc_90 * np.nan), tmp_path / NAME)
    lines = (tmp_path / NAME).read_text().splitlines()
    assert any(line.startswith("# Final Processing Date:: ") for line in lines)
    lines = [line for line in lines if not line.startswith("#")]
    assert lines[0].count(",") == 48 and ",0.38," in lines[1]


def test_changed_attributes_reach_the_header(tmp_path):
    "What the attributes say now is written, whatever the header said when it was read."
    phenocam.write(series(), tmp_path / NAME)
    moved = phenocam.read(tmp_path / NAME).assign_attrs(site="field.two", lat=42.0)
    phenocam.write(moved, tmp_path / "field.two_AG_1000_3day.csv")
    again = phenocam.read(tmp_path / "field.two_AG_1000_3day.csv")
    assert (again.site, again.lat, again.lon) == ("field.two", 42.0, -96.25)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    "Nothing is written when an attribute is missing or a date is there twice."
    phenocam.write(series(), tmp_path / NAME)
    before = (tmp_path / NAME).read_bytes()
    made = series()
    del made.attrs["lat"]
    with pytest.raises(InputError, match="no attribute 'lat'"):
        phenocam.write(made, tmp_path / NAME)
    with pytest.raises(InputError, match="is there 2 times"):
        phenocam.write(xr.concat([series(), series()], "time"), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def transitions():
    "Two published events."
    dates = {name: pd.to_datetime(["2018-05-01", None]).as_unit("ns") for name in phenocam.TRANSITION_DATES}
    numbers = {name: [0.35, 0.4] for name in phenocam.TRANSITION_NUMBERS}
    table = pd.DataFrame({"site": "a.b", "veg_type": "AG", "roi_id": "0001", "direction": ["rising", "falling"],
                          "gcc_value": "gcc_90", **dates, **numbers})
    table.attrs = {"Site": "a.b", "Aggregation period": "3"}
    return table


def test_transition_dates_are_read_back(tmp_path):
    "Published events survive writing and reading; a missing date stays missing."
    path = tmp_path / "a.b_AG_0001_3day_transition_dates.csv"
    phenocam.write_transitions(transitions(), path)
    table = phenocam.read_transitions(path)
    pd.testing.assert_frame_equal(table, transitions(), check_dtype=False)
    assert table.attrs["step"] == 3 and table["roi_id"].tolist() == ["0001", "0001"]


@pytest.mark.parametrize("old, new, message", [
    ("sitename", "sitename", None),
    ("direction", "way", "the column 'direction' is missing"),
    ("rising", "upward", "line 10 has direction 'upward'"),
    ("2018-05-01,2018-05-01", "2018-05-01,1 May", "has transition_25 '1 May'"),
    ("a.b,AG,0001,falling", "c,AG,0001,falling", "two sites in one file"),
    ("Period: 3", "Period: 3", None),
])
def test_transition_files_of_2016_and_wrong_ones(tmp_path, old, new, message):
    "Older files name the first column sitename; what is wrong is one clear line."
    path = tmp_path / "a.b_AG_0001_3day_transition_dates.csv"
    phenocam.write_transitions(transitions(), path)
    path.write_text(path.read_text().replace("site,", "sitename,").replace(old, new))
    if message is None:
        assert phenocam.read_transitions(path)["site"].tolist() == ["a.b", "a.b"]
    else:
        with pytest.raises(InputError, match=message):
            phenocam.read_transitions(path)


@real
def test_every_real_series_is_read_and_written_back(tmp_path):
    "Series of the real archive are read, and written again without a change of a byte."
    files = sorted(Path(REAL).glob("**/*_[13]day.csv"))
    files = [f for f in files if "transition_dates" not in f.name]
    assert files
    for file in files[::4]:
        data = phenocam.read(file)
        assert data.indexes["time"].is_unique and data.gcc_90.notnull().any()
        assert 0.2 < float(data.gcc_90.median()) < 0.7
        phenocam.write(data, tmp_path / file.name)
        assert phenocam.read(tmp_path / file.name).identical(data)
        if "# Aggregation Period" in file.read_text():  # files of 2016 differ in how they write what is missing
            assert (tmp_path / file.name).read_bytes() == file.read_bytes()


@real
def test_every_real_transition_file_is_read_and_written_back(tmp_path):
    "Published dates of the real archive survive reading and writing; rising dates come in the order of the shares."
    files = sorted(Path(REAL).glob("**/*transition_dates*.csv"))
    for file in files:
        table = phenocam.read_transitions(file)
        rising = table[table["direction"] == "rising"]
        assert (rising["transition_10"] <= rising["transition_50"]).all()
        phenocam.write_transitions(table, tmp_path / file.name)
        assert (tmp_path / file.name).read_text() == file.read_text().replace("sitename", "site")


def test_header_of_a_binary_file_is_refused(tmp_path):
    "A file that is not text is refused when its header is read, before anything is drawn from it."
    path = tmp_path / "mead2_AG_1000_3day.csv"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(InputError, match="not a text file"):
        phenocam.read_header(path)
