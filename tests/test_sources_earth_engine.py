"""What Earth Engine exports is read in our names and units; what is wrong with an export is named."""

import numpy as np
import pandas as pd
import pytest
import rioxarray

from phenolib.errors import InputError
from phenolib.sources.earth_engine import read_earth_engine
from phenolib.sources.stac_catalog import write_cog

EAST, NORTH = 600_000.0, 5_500_020.0  # top left corner [m]


def export(path, bands, dtype="uint16", nodata=None, shift=0):
    "A GeoTIFF with named bands, as Earth Engine writes it."
    import rasterio
    from affine import Affine

    values = list(bands.values())
    about = dict(driver="GTiff", count=len(values), height=values[0].shape[0], width=values[0].shape[1], dtype=dtype,
                 crs="EPSG:32632", transform=Affine(10, 0, EAST + shift, 0, -10, NORTH), nodata=nodata)
    with rasterio.open(path, "w", **about) as file:
        for number, (name, value) in enumerate(bands.items(), 1):
            file.write(value.astype(dtype), number)
            file.set_band_description(number, name)


@pytest.fixture
def numbers():
    "Digital numbers with one masked pixel, and classes with one cloud."
    red = np.random.default_rng(0).integers(200, 4000, (6, 8))
    red[0, 0] = 0
    classes = np.full((6, 8), 4)
    classes[5, 7] = 9
    return red, classes


def test_one_file_a_date(tmp_path, numbers):
    "Numbers become reflectance, names those of the library; masked and cloudy pixels are missing; NDVI is left."
    red, classes = numbers
    for name in ("field_20180615", "field_20180605"):
        export(tmp_path / f"{name}.tif", {"B4": red, "B8A": red, "SCL": classes, "NDVI": red})
    cube = read_earth_engine(tmp_path)
    assert list(cube.time.values) == list(pd.to_datetime(["2018-06-05", "2018-06-15"]))
    assert set(cube.data_vars) == {"B04", "B8A", "scl"} and cube.attrs["ignored"] == "NDVI"
    expected = np.where((red == 0) | (classes == 9), np.nan, red / 10_000)
    np.testing.assert_allclose(cube.B04[1], expected, rtol=1e-6)
    np.testing.assert_array_equal(cube.scl[0], classes)
    assert cube.chunks and np.isfinite(read_earth_engine(tmp_path, mask=None).B04[0, 5, 7])
    later = tmp_path / "later"
    later.mkdir()
    export(later / "2022_06_05.tif", {"B4": red + 1000})
    np.testing.assert_allclose(read_earth_engine(later, harmonized=False).B04[0], red / 10_000, atol=1e-6)


def test_many_dates_in_one_file(tmp_path, numbers):
    "Bands named after their scenes are laid in time, tiles of one pass together; pieces of an export are joined."
    red, _ = numbers
    names = ["20180605T103021_20180605T103024_T32UPA", "20180605T103021_20180605T103024_T32UQA",
             "20180615T103021_20180615T103024_T32UPA"]
    west = {names[0] + "_B4": red, names[1] + "_B4": np.full_like(red, 77), names[2] + "_B4": red + 1}
    export(tmp_path / "all-0000000000-0000000000.tif", west)
    export(tmp_path / "all-0000000000-0000000008.tif", west, shift=80)
    cube = read_earth_engine(tmp_path)
    assert cube.sizes == {"time": 2, "y": 6, "x": 16} and cube.time[0] == np.datetime64("2018-06-05T10:30:21")
    np.testing.assert_allclose(cube.B04[0, :, 8:], np.where(red == 0, 77, red) / 10_000, rtol=1e-6)
    np.testing.assert_allclose(cube.B04[1, :, :8], (red + 1) / 10_000, rtol=1e-6)


def test_radar_exports(tmp_path):
    "Decibels are seen by their sign, power by its own, months by their names."
    power = np.random.default_rng(1).uniform(0.01, 0.3, (6, 8))
    power[2, 2] = np.nan
    for name, values in (("db", 10 * np.log10(power)), ("power", power)):
        (tmp_path / name).mkdir()
        export(tmp_path / name / "s1_2018-06.tif", {"VV": values, "angle": values}, "float32", np.nan)
        cube = read_earth_engine(tmp_path / name)
        np.testing.assert_allclose(cube.vv[0], power, rtol=1e-5)
        assert cube.time[0] == np.datetime64("2018-06-01")


@pytest.mark.parametrize("date", ["system:index", "date", "system:time_start"])
def test_tables(tmp_path, date):
    "Rows become series by site; empty, 0 and −9999 are missing; two tiles of one pass are averaged."
    written = {"system:index": "20180605T103021_20180605T103024_T32UPA_0", "date": "2018-06-05",
               "system:time_start": "1528194621000"}[date]
    late = {"system:index": "20180615T103021_20180615T103024_T32UPA_0", "date": "2018-06-15T10:30:21",
            "system:time_start": "1529058621000"}[date]
    (tmp_path / "a.csv").write_text(f'{date},B4,B8,SCL,site,.geo\n{written},400,3000,4,a,"{{""x"":[1,2]}}"\n'
                                    f"{late},,-9999,4,a,\n{late},500,0,9,b,\n")
    cube = read_earth_engine(tmp_path)
    assert cube.sizes == {"site": 2, "time": 2} and cube.B04.dims == ("site", "time")
    assert float(cube.B04.sel(site="a")[0]) == pytest.approx(0.04) and cube.scl.dtype == "uint8"
    assert cube.B04.notnull().sum() == 1 and cube.B08.notnull().sum() == 1
    assert float(read_earth_engine(tmp_path, mask=None).B04.sel(site="b")[1]) == pytest.approx(0.05)


def test_tables_of_two_tiles(tmp_path):
    "The same moment in two tiles is one value; twice in one tile is an error that names the line."
    row = "20180605T103021_20180605T103024_T32U{}A,{},-12\n"
    path = tmp_path / "a.csv"
    path.write_text("system:index,B4,VV\n" + row.format("P", 400) + row.format("Q", 600))
    cube = read_earth_engine(path)
    assert cube.sizes == {"time": 1} and float(cube.B04[0]) == pytest.approx(0.05)
    assert float(cube.vv[0]) == pytest.approx(10**-1.2)
    path.write_text("system:index,B4,VV\n" + row.format("P", 400) + row.format("P", 600))
    with pytest.raises(InputError, match="a.csv: line 3 has 2018-06-05 again.*site="):
        read_earth_engine(path)


def test_exports_that_cannot_be_read(tmp_path, numbers):
    "What is wrong with an export is one line that names the file."
    red, _ = numbers
    with pytest.raises(InputError, match="no such file or folder"):
        read_earth_engine(tmp_path / "none")
    with pytest.raises(InputError, match="neither GeoTIFF nor CSV"):
        read_earth_engine(tmp_path)
    export(tmp_path / "field.tif", {"B4": red})
    with pytest.raises(InputError, match="field.tif: .*tells a date; name the file e.g. field_20180605.tif"):
        read_earth_engine(tmp_path)
    (tmp_path / "field.tif").rename(tmp_path / "field_20180605.tif")
    export(tmp_path / "copy_20180605.tif", {"B4": red})
    with pytest.raises(InputError, match="B04 of 2018-06-05 is in copy_20180605.tif too"):
        read_earth_engine(tmp_path)
    (tmp_path / "copy_20180605.tif").unlink()
    export(tmp_path / "field_20180606.tif", {"B4": red}, shift=3)
    with pytest.raises(InputError, match="field_20180606.tif: its pixels do not lie"):
        read_earth_engine(tmp_path)
    export(tmp_path / "field_20180606.tif", {"red": red})
    cube = read_earth_engine(tmp_path)
    assert cube.attrs["ignored"] == "red"
    whole = (tmp_path / "field_20180605.tif").read_bytes()
    (tmp_path / "field_20180605.tif").write_bytes(whole[:300])
    with pytest.raises(InputError, match="field_20180605.tif: .*truncated.*download it again, or move the file"):
        read_earth_engine(tmp_path)
    write_cog(tmp_path / "field_20180605.tif", red.astype("uint16"), rioxarray.open_rasterio(
        tmp_path / "field_20180606.tif").rio.transform(), "EPSG:32632", 0)
    with pytest.raises(InputError, match="field_20180605.tif: its bands have no names"):
        read_earth_engine(tmp_path)
    (tmp_path / "a.csv").write_text("date,B4\nJune,400\n")
    with pytest.raises(InputError, match="both|GeoTIFFs and CSV"):
        read_earth_engine(tmp_path)
    for text, says in (("date,B4\nJune,400\n", "line 2 has the date 'June'"),
                       ("date,NDVI\n2018-06-05,1\n", "bands such"),
                       ("day,B4\n2018-06-05,1\n", "no column tells the date")):
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(InputError, match=f"a.csv: .*{says}"):
            read_earth_engine(tmp_path / "a.csv")
