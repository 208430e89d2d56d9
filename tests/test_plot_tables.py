"""Tables of plots: what is wrong is told with its line, what is written is read again."""

import numpy as np
import pytest
import xarray as xr

from phenolib.archive import Archive, check
from phenolib.errors import InputError
from phenolib.sources import plot_tables

PLOTS = "plot,treatment,soil,lon,lat\nA,sheltered,silt,6.4,50.8\nB,rainfed,silt,6.4,50.8\n"
SEASONS = "plot,season,crop,sowing,harvest\nA,2018,corn,2018-04-28,2018-10-01\nB,2018,winter_wheat,2017-10-20,\n"
WEATHER = "date,t_mean_C,rain_mm\n2018-01-01,3.5,0\n2018-01-02,,1.2\n"
SOIL = ("plot,date,depth_cm,psi_t4_kPa,psi_mps2_kPa,temperature_C\nA,2018-01-01,10,-12,-15,4.0\n"
        "A,2018-01-01,40,-20,,5.0\nB,2018-01-02,10,,-300,4.1\n")
SATELLITE = "plot,date,B04,B08,scl\nA,2018-01-01,0.1,0.3,4\nA,2018-01-06,0.5,0.6,9\nB,2018-01-06,0.05,0.4,5\n"
TABLES = {"plots.csv": PLOTS, "seasons.csv": SEASONS, "weather.csv": WEATHER, "soil.csv": SOIL,
          "sentinel2.csv": SATELLITE}


@pytest.fixture
def folder(tmp_path):
    "Five small tables of two plots."
    for name, text in TABLES.items():
        (tmp_path / "plots").mkdir(exist_ok=True)
        (tmp_path / "plots" / name).write_text(text)
    return tmp_path


def test_an_archive_of_plots_by_its_files(folder):
    "Plots, seasons, weather, soil and satellite are found without archive.yml, compressed or not."
    data = Archive(folder)
    assert data.plots["plot"].tolist() == ["A", "B"]
    assert data.plot_seasons["treatment"].tolist() == ["sheltered", "rainfed"]
    assert float(data.plot_weather()["t_mean"][0]) == 3.5 and np.isnan(data.plot_weather()["t_mean"][1])
    soil = data.plot_soil()
    assert soil.sizes == {"plot": 2, "time": 2, "depth": 2} and soil["depth"].values.tolist() == [0.1, 0.4]
    seen = data.plot_satellite()
    assert np.isnan(seen["B08"].sel(plot="A").values[1]), "a cloud is no observation"
    assert data.plot_truth() == (None, None) and data.root_truth() is None
    assert len(check(folder)) == 0


def test_evi2_and_potential(folder):
    "EVI2 by its formula; the wet instrument is taken where it is wet, the other where it is dry."
    data = Archive(folder)
    found = plot_tables.evi2(data.plot_satellite())
    assert float(found.sel(plot="A").values[0]) == pytest.approx(2.5 * 0.2 / (0.3 + 0.24 + 1))
    both = plot_tables.potential(data.plot_soil())
    assert float(both.sel(plot="A", depth=0.1).values[0]) == pytest.approx(-12)
    assert float(both.sel(plot="B", depth=0.1).values[1]) == -300


@pytest.mark.parametrize("name, old, new, words", [
    ("plots.csv", "B,rainfed", "A,rainfed", "line 3: plot 'A' is there twice"),
    ("plots.csv", "treatment", "handling", "column 'treatment' is missing"),
    ("seasons.csv", "2018-10-01", "2018-03-01", "line 2: the harvest lies before the sowing"),
    ("seasons.csv", "A,2018", "A,x", "line 2 has season = 'x'"),
    ("seasons.csv", "B,2018,winter_wheat,2017-10-20,", "A,2018,corn,,", "line 3: this crop of plot 'A' in 2018"),
    ("weather.csv", "3.5", "93.5", "line 2 has t_mean_C = 93.5; -60 to 60 is expected"),
    ("weather.csv", "2018-01-02", "2018-01-01", "line 3 is the second of 2018-01-01"),
    ("soil.csv", "-12", "12", "psi_t4_kPa = 12"),
    ("soil.csv", ",10,-12", ",-10,-12", "depth_cm = '-10'"),
    ("sentinel2.csv", "0.3,4", "3000,4", "B08 = 3000"),
    ("sentinel2.csv", "plot,date,B04,B08,scl", "plot,date,red,nir,class", "none of the columns"),
])
def test_what_is_wrong_is_told(folder, name, old, new, words):
    "One line that names the file, the line and the value."
    path = folder / "plots" / name
    path.write_text(path.read_text().replace(old, new, 1))
    readers = {"plots.csv": plot_tables.read_plots, "seasons.csv": plot_tables.read_seasons,
               "weather.csv": plot_tables.read_weather, "soil.csv": plot_tables.read_soil,
               "sentinel2.csv": plot_tables.read_satellite}
    with pytest.raises(InputError, match=words) as error:
        readers[name](path)
    assert name in str(error.value) and "\n" not in str(error.value)


def test_what_is_not_there_is_told(folder):
    "A table that is missing, and an archive without plots."
    (folder / "plots" / "soil.csv").unlink()
    data = Archive(folder)
    with pytest.raises(InputError, match="soil.csv.gz is not beside plots.csv"):
        data.plot_soil()
    assert any("soil.csv.gz is not beside it" in remark for remark in check(folder).remarks)


def test_tables_are_read_as_they_were_written(tmp_path):
    "Weather, sensors and satellite come back, to the digits of the file; the same bytes each time."
    time = np.arange("2018-03-01", "2018-03-06", dtype="datetime64[D]").astype("datetime64[ns]")
    rng = np.random.default_rng(0)
    sky = xr.Dataset({"t_mean": ("time", rng.normal(10, 3, 5).round(2)), "rain": ("time", np.zeros(5))}, {"time": time})
    plot_tables.write_weather(tmp_path / "weather.csv", sky)
    xr.testing.assert_allclose(plot_tables.read_weather(tmp_path / "weather.csv")[["t_mean", "rain"]], sky)
    dims = "plot", "time", "depth"
    soil = xr.Dataset({"psi_t4": (dims, -rng.uniform(1, 80, (2, 5, 2)).round(1)),
                       "temperature": (dims, rng.normal(10, 1, (2, 5, 2)).round(2))},
                      {"plot": ["A", "B"], "time": time, "depth": [0.1, 0.4]})
    for name in ("one.csv.gz", "two.csv.gz"):
        plot_tables.write_soil(tmp_path / name, soil)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    again = plot_tables.read_soil(tmp_path / "one.csv.gz")
    np.testing.assert_allclose(again["psi_t4"], soil["psi_t4"])
    np.testing.assert_allclose(again["depth"], soil["depth"])
