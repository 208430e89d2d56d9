"""Soil stations: written, read back, and what is refused."""

import gzip

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import soil_stations

HEAD = "SOURCEID,Date,Port1VW,Port1C,Port1EC,Port2VW,Port2C,Port2EC"


def made(names=("one", "two"), days=20, depths=(0.05, 0.2, 1.0), seed=1):
    "Readings of some stations with holes, rounded as loggers round them."
    rng = np.random.default_rng(seed)
    dims, size = ("station", "time", "depth"), (len(names), days, len(depths))
    data = {"theta": rng.uniform(0.05, 0.45, size).round(3), "soil_temperature": rng.uniform(-5, 25, size).round(2),
            "ec": rng.uniform(0, 2, size).round(2)}
    for values in data.values():
        values[rng.random(size) < 0.2] = np.nan
    time = pd.date_range("2019-03-30", periods=days)
    return xr.Dataset({k: (dims, v) for k, v in data.items()},
                      {"station": list(names), "time": time, "depth": list(depths)})


def text(tmp_path, *rows, head=HEAD, name="x_readings.csv"):
    path = tmp_path / name
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


@pytest.mark.parametrize("name", ["x_readings.csv", "x_readings.csv.gz"])
def test_readings_are_read_as_written(tmp_path, name):
    "Values, gaps, dates, depths and stations come back, compressed or not; the same readings give the same bytes."
    data = made()
    soil_stations.write(data, tmp_path / name)
    back = soil_stations.read(tmp_path / name)
    for variable in data:
        np.testing.assert_array_equal(back[variable], data[variable])
    assert back.station.values.tolist() == ["one", "two"] == soil_stations.stations(tmp_path / name)
    assert back.time.equals(data.time.astype(back.time.dtype)) and back.depth.values.tolist() == [0.05, 0.2, 1.0]
    assert back.theta.attrs["units"] == "m3 m-3" and back.ec.attrs["units"] == "dS m-1"
    assert back.attrs == {"source": name, "depths_from": "depths.csv"}
    soil_stations.write(data, tmp_path / "again" / name)
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["again", "depths.csv", name])


def test_one_station_and_its_layout(tmp_path):
    "A station alone is written in the columns of the public readings, missing values as nothing."
    one = made(("one",), days=1).isel(station=0)
    one["theta"][0, 0], one["soil_temperature"][0, 0], one["ec"][0, 0] = 0.25, -0.001, np.nan
    soil_stations.write(one, tmp_path / "one_readings.csv")
    lines = (tmp_path / "one_readings.csv").read_text().splitlines()
    assert lines[0].startswith(HEAD) and lines[1].startswith("one,2019-03-30,0.25,0.0,,")
    assert (tmp_path / "depths.csv").read_text() == "port,depth_m\n1,0.05\n2,0.2\n3,1\n"


def test_days_without_a_row_are_missing(tmp_path):
    "Every day from the first to the last is there, in order, whatever the order of the rows and stations."
    path = text(tmp_path, "b,2019-01-03,0.3,1,0.1,NA,2,", "a,2019-01-01,0.2,1,0.1,0.4,2,0.2", "b,2019-01-01,0.1,,,,,")
    data = soil_stations.read(path, depths=(0.5, 0.1))
    assert data.station.values.tolist() == ["a", "b"] and data.sizes["time"] == 3
    assert data.depth.values.tolist() == [0.1, 0.5] and data.attrs["depths_from"] == "the caller"
    np.testing.assert_array_equal(data.theta.sel(station="b", depth=0.5), [0.1, np.nan, 0.3])
    np.testing.assert_array_equal(data.theta.sel(station="a", depth=0.1), [0.4, np.nan, np.nan])


def test_depths(tmp_path):
    "Those of the caller come first, then depths.csv, then those of the Cook Agronomy Farm where there are five ports."
    path = text(tmp_path, "a,2019-01-01,0.2,1,0.1,0.4,2,0.2")
    with pytest.raises(InputError, match="depths 0.3, 0.6, 0.9, 1.2, 1.5 m do not fit ports 1, 2"):
        soil_stations.read(path)
    (tmp_path / "depths.csv").write_text("port,depth_m\n2,0.4\n1,0.1\n")
    assert soil_stations.read(path).depth.values.tolist() == [0.1, 0.4]
    assert soil_stations.read(path, depths=[0.2, 0.6]).depth.values.tolist() == [0.2, 0.6]
    (tmp_path / "depths.csv").write_text("port,depth_m\n1,0.1\n")
    with pytest.raises(InputError, match="depths 0.1, nan m do not fit"):
        soil_stations.read(path)
    (tmp_path / "depths.csv").write_text("port,depth\n1,0.1\n")
    with pytest.raises(InputError, match="depths.csv beside x_readings.csv: the column 'depth_m' is missing"):
        soil_stations.read(path)
    soil_stations.write(made(), tmp_path / "five" / "a_readings.csv")
    with pytest.raises(InputError, match="depths.csv beside it tells other depths"):
        soil_stations.write(made(depths=(0.1, 0.2, 1.0)), tmp_path / "five" / "b_readings.csv")


@pytest.mark.parametrize("row, problem", [
    ("a,2019-13-01,0.2,1,0.1,0.4,2,0.2", "line 2 has Date '2019-13-01'; a calendar date"),
    ("a,2019-01-01,25.1,1,0.1,30,2,0.2", "line 2 has Port1VW = 25.1; it looks like per cent"),
    ("a,2019-01-01,0.95,1,0.1,0.4,2,0.2", "line 2 has Port1VW = 0.95; 0 to 0.8 m3 m-3 is expected"),
    ("a,2019-01-01,0.2,1,0.1,0.4,285.3,0.2", "line 2 has Port2C = 285.3; -40 to 60 degC"),
    ("a,2019-01-01,0.2,1,0.1,0.4,2,310", "line 2 has Port2EC = 310; 0 to 20 dS m-1"),
    ("a,2019-01-01,wet,1,0.1,0.4,2,0.2", "line 2 has Port1VW = 'wet'; a number is expected"),
    (",2019-01-01,0.2,1,0.1,0.4,2,0.2", "line 2 has no SOURCEID"),
    ("a,2019-01-01,0.2,1,0.1,0.4,2,0.2\na,2019-01-01,0.2,1,0.1,0.4,2,0.2", "line 3 is the second of station a on 2019"),
    ("a,2019-01-01,0.2,1,0.1,0.4,2,0.2\na,2019-01", "line 3 has 2 fields, 8 are expected; the file is truncated"),
])
def test_a_wrong_row_is_one_clear_line(tmp_path, row, problem):
    with pytest.raises(InputError, match=problem) as error:
        soil_stations.read(text(tmp_path, row), depths=(0.1, 0.5))
    assert "x_readings.csv" in str(error.value) and str(tmp_path) not in str(error.value)


def test_a_file_of_another_kind_is_refused(tmp_path):
    "A missing column, no port, a cut compressed file, nothing at all."
    row = "a,2019-01-01,0.2,1,0.1,0.4,2,0.2"
    for old, new, problem in (("SOURCEID", "Station", "column 'SOURCEID' is missing"),
                              ("Port2EC", "Port2ec", "column 'Port2EC' is missing; a port has VW, C and EC"),
                              ("Port", "Probe", "no column is named like Port1VW")):
        with pytest.raises(InputError, match=problem):
            soil_stations.read(text(tmp_path, row, head=HEAD.replace(old, new)), depths=(0.1, 0.5))
    cut = tmp_path / "cut_readings.csv.gz"
    cut.write_bytes(gzip.compress(f"{HEAD}\n{row}\n".encode())[:-12])
    for problem in (soil_stations.read, soil_stations.stations):
        with pytest.raises(InputError, match="cut_readings.csv.gz: cannot be unpacked"):
            problem(cut)
    with pytest.raises(InputError, match="there is no such file"):
        soil_stations.read(tmp_path / "none_readings.csv.gz")
    with pytest.raises(InputError, match="have no 'ec'"):
        soil_stations.write(made().drop_vars("ec"), tmp_path / "new" / "a_readings.csv")
    assert not (tmp_path / "new").exists()
