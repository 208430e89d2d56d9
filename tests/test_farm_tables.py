"""Tables of a farm: what is written is read again, what is wrong is told with its line, what is real is read."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phenolib.errors import InputError
from phenolib.sources import farm_tables

GRID = """DEM,TWI,MUSYM,NDRE.M,Cook_fall_ECa,X2011,x,y
790,4.1,"Loam, 3 to 7 percent",-0.1,7.5,WW,100,200
791,4.4,"Loam, 3 to 7 percent",0.1,,SL,110,200
792,4.0,Silt,0.2,8.5,NA,100,190
793,5.0,Silt,0.3,9.5,WW,120,190
"""
PROFILES = """SOURCEID,Easting,Northing,TAXSUSDA,HZDUSD,UHDICM,LHDICM,BLD,PHIHOX
A,101,199,Palouse,Ap,0,21,1.4,4.9
A,101,199,Palouse,Bw,21,150,1.6,
B,119,191,Naff,Ap,0,30,,6.1
"""
DENSITY = """SOURCEID,Easting,Northing,UHDICM,LHDICM,BLD
A,101,199,20,40,1.2
B,119,191,20,40,1.3
"""
WEATHER = """Date,Precip_wrcc,MaxT_wrcc,MinT_wrcc
2011-01-02,0,-6.7,-12.8
2011-01-03,1.5,,-17.8
2011-01-05,0,2.1,-1.0
"""
TABLES = {"grids": (GRID, farm_tables.read_grid, farm_tables.write_grid),
          "profiles": (PROFILES, farm_tables.read_profiles, farm_tables.write_profiles),
          "bdensity": (DENSITY, farm_tables.read_density, farm_tables.write_density),
          "weather": (WEATHER, farm_tables.read_weather, farm_tables.write_weather)}
ROOT = os.environ.get("PHENOLIB_ARCHIVE")
FARM = Path(ROOT or ".") / "cookfarm"
real = pytest.mark.skipif(not ROOT or not FARM.is_dir(), reason="PHENOLIB_ARCHIVE names no archive with a farm")


def same(one, other):
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    return one.drop_attrs().equals(other.drop_attrs())


def written(tmp_path, name, text=None):
    path = tmp_path / f"my_{name}.csv"
    path.write_text(TABLES[name][0] if text is None else text)
    return path


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_what_is_written_is_read_again(tmp_path, name, end):
    "Compressed or not, and the same bytes for the same values."
    _, read, write = TABLES[name]
    first = read(written(tmp_path, name))
    for folder in ("one", "two"):
        write(first, tmp_path / folder / f"my_{name}.csv{end}")
    assert same(read(tmp_path / "one" / f"my_{name}.csv{end}"), first)
    assert len({(tmp_path / folder / f"my_{name}.csv{end}").read_bytes() for folder in ("one", "two")}) == 1


def test_maps_lie_north_up_with_gaps(tmp_path):
    "Cells without a row are missing; text keeps its commas; units are told."
    grid = farm_tables.read_grid(written(tmp_path, "grids"))
    assert grid.sizes == {"y": 2, "x": 3} and grid["y"].values.tolist() == [200, 190] and grid.attrs["cell"] == 10
    np.testing.assert_array_equal(grid["elevation"], [[790, 791, np.nan], [792, np.nan, 793]])
    assert grid["soil_unit"].values[0].tolist() == ["Loam, 3 to 7 percent"] * 2 + [""]
    assert grid["crop_2011"].values.tolist() == [["WW", "SL", ""], ["", "", "WW"]]
    assert np.isnan(grid["eca_fall"].values[0, 1]) and grid["eca_fall"].attrs["units"] == "mS m-1"
    assert "eca_spring" not in grid


def test_layers_and_weather_have_si_units(tmp_path):
    "Depths are in metres, days without a row are missing days."
    profiles = farm_tables.read_profiles(written(tmp_path, "profiles"))
    assert profiles["bottom"].tolist() == [0.21, 1.5, 0.3] and profiles["series"].tolist()[-1] == "Naff"
    assert profiles["ph"].isna().tolist() == [False, True, False]
    sky = farm_tables.read_weather(written(tmp_path, "weather"))
    assert sky.sizes["time"] == 4 and np.isnan(sky["rain"].values[2]) and np.isnan(sky["t_max"].values[1])
    assert float(sky["t_min"][1]) == -17.8


@pytest.mark.parametrize("name, old, new, words", [
    ("grids", "TWI", "TPI", "column 'TWI' is missing"),
    ("grids", "793,5.0,Silt,0.3,9.5,WW,120,190", "793,5.0,Silt,0.3,9.5,WW,100,190", "line 5 is the second of the cell"),
    ("grids", "WW,120,190", "WW,124,190", "line 5 has x = 124, which is not on the grid of 10 m"),
    ("grids", "WW,120,190", "WW,9e9,190", "remove the lines that belong elsewhere"),
    ("grids", "WW,100,200", "WW,,200", "line 2 has no x"),
    ("grids", "790,4.1", "high,4.1", "line 2 has DEM = 'high'"),
    ("grids", "792,4.0", "99999,4.0", "line 4 has DEM = 99999; -500 to 9000"),
    ("grids", ",9.5,", ",-9.5,", "line 5 has Cook_fall_ECa = -9.5"),
    ("profiles", "HZDUSD", "HORIZON", "column 'HZDUSD' is missing"),
    ("profiles", "Ap,0,21", "Ap,21,21", "line 2 has LHDICM = 21, which is not below UHDICM = 21"),
    ("profiles", "Bw,21,150", "Bw,,150", "line 3 has no UHDICM"),
    ("profiles", "Ap,0,30", "Ap,-5,30", "line 4 has UHDICM = -5"),
    ("profiles", "A,101,199,Palouse,Bw", "A,102,199,Palouse,Bw", "line 3 has another position of 'A'"),
    ("profiles", "B,119", ",119", "line 4 has no SOURCEID"),
    ("profiles", "1.4,4.9", "1400,4.9", "line 2 has BLD = 1400; 0.1 to 2.7"),
    ("profiles", "1.4,4.9", "1.4,49", "line 2 has PHIHOX = 49"),
    ("bdensity", "BLD", "density", "column 'BLD' is missing"),
    ("bdensity", "B,119,191", "B,far,191", "line 3 has Easting = 'far'"),
    ("weather", "MinT_wrcc", "MinT", "column 'MinT_wrcc' is missing"),
    ("weather", "2011-01-05", "2011-01-03", "line 4 is the second of 2011-01-03"),
    ("weather", "2.1,-1.0", "-2.1,-1.0", "line 4 has MaxT_wrcc below MinT_wrcc"),
    ("weather", "1.5,", "-1.5,", "line 3 has Precip_wrcc = -1.5"),
])
def test_what_is_wrong_is_told_with_its_line(tmp_path, name, old, new, words):
    "One line that names the file, the line and what to do."
    text, read, _ = TABLES[name]
    assert old in text
    with pytest.raises(InputError, match=f"my_{name}.csv: .*{words}") as told:
        read(written(tmp_path, name, text.replace(old, new, 1)))
    assert "\n" not in str(told.value)


def test_one_row_is_no_grid(tmp_path):
    "A grid needs two rows and two columns."
    with pytest.raises(InputError, match="all cells have y = 200"):
        farm_tables.read_grid(written(tmp_path, "grids", "".join(GRID.splitlines(keepends=True)[:3])))


@pytest.mark.parametrize("name, lacks, words", [
    ("grids", "twi", "the maps have no 'twi'"), ("profiles", "horizon", "no column 'horizon'"),
    ("bdensity", "bulk_density", "no column 'bulk_density'"), ("weather", "rain", "the weather has no 'rain'")])
def test_what_lacks_a_column_is_not_written(tmp_path, name, lacks, words):
    "A table that could not be read again is refused."
    _, read, write = TABLES[name]
    found = read(written(tmp_path, name))
    found = found.drop(columns=lacks) if isinstance(found, pd.DataFrame) else found.drop_vars(lacks)
    with pytest.raises(InputError, match=words):
        write(found, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@real
def test_the_real_farm_is_read_and_written_back(tmp_path):
    "3865 cells, 183 profiles, 42 places with cores, two years; nothing is lost on the way to a file and back."
    found = {}
    for name, (_, read, write) in TABLES.items():
        found[name] = read(FARM / f"cookfarm_{name}.csv.gz")
        write(found[name], tmp_path / f"back_{name}.csv.gz")
        assert same(read(tmp_path / f"back_{name}.csv.gz"), found[name]), name
    grid = found["grids"]
    assert int(grid["elevation"].notnull().sum()) == 3865 and grid.attrs["cell"] == pytest.approx(10)
    assert set(np.unique(grid["crop_2011"])) - {""} == {"WW", "SW", "SB", "SL"} <= set(farm_tables.CROPS)
    assert len(np.unique(grid["soil_unit"])) == 6 and "eca_spring" in grid
    assert found["profiles"]["station"].nunique() == 183 and found["bdensity"]["station"].nunique() == 42
    sky = found["weather"]
    assert sky.sizes["time"] == 729 and 500 < float(sky["rain"].sum()) / 2 < 650
