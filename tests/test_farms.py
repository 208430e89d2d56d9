"""A farm: what maps and profiles say at its stations, months of days, and the farm of an archive."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_farm_tables import DENSITY, PROFILES, WEATHER

from phenolib import archive, farms
from phenolib.errors import InputError
from phenolib.sources import soil_stations

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
FARM = Path(ROOT or ".") / "cookfarm"
real = pytest.mark.skipif(not ROOT or not FARM.is_dir(), reason="PHENOLIB_ARCHIVE names no archive with a farm")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    "Caches of each test lie in its own folder."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path / "home"))


def grid_text(without=()):
    "A plane that rises by 1 m from cell to cell to the east."
    rows = [f"{790 + i},{4 + 0.1 * j},{'WW' if i < 2 else 'SL'},{'SL' if i < 2 else 'SW'},{100 + 10 * i},{200 - 10 * j}"
            for i in range(3) for j in range(3) if (i, j) not in without]
    return "\n".join(["DEM,TWI,X2011,X2012,x,y", *rows]) + "\n"


def readings(names=("A", "B"), first="2011-01-01", days=730):
    "Water that is the day of the month in hundredths, temperature 10 times that; station B misses every even day."
    time = pd.date_range(first, periods=days)
    value = np.broadcast_to((time.day.to_numpy() / 100)[None, :, None], (len(names), days, 2)).copy()
    value[1, time.day % 2 == 0] = np.nan
    dims = "station", "time", "depth"
    return xr.Dataset({"theta": (dims, value), "soil_temperature": (dims, 10 * value), "ec": (dims, value)},
                      {"station": list(names), "time": time, "depth": [0.3, 0.9]})


@pytest.fixture
def folder(tmp_path):
    "A farm of two stations."
    root = tmp_path / "mine"
    soil_stations.write(readings(), root / "my_readings.csv")
    for name, text in (("grids", grid_text()), ("profiles", PROFILES), ("bdensity", DENSITY), ("weather", WEATHER)):
        (root / f"my_{name}.csv").write_text(text)
    return root


def test_slope_of_a_plane():
    "A plane has one slope everywhere, at its edges too; where a direction has no neighbour there is none."
    y, x = np.array([30.0, 20, 10]), np.array([0.0, 10, 20, 30])
    plane = xr.DataArray(0.3 * x[None, :] + 0.4 * y[:, None], {"y": y, "x": x})
    np.testing.assert_allclose(farms.slope(plane), np.degrees(np.arctan(0.5)))
    hole = plane.where((plane["x"] != 10) | (plane["y"] != 20))
    some = farms.slope(hole).values
    assert np.isnan(some).sum() == 4 and np.nanmax(np.abs(some - np.degrees(np.arctan(0.5)))) < 1e-9
    assert np.isnan(farms.slope(plane.where(plane["x"] == 10))).all()


def test_stations_have_what_maps_and_layers_say(folder):
    "Values of the cell that holds a station, of the core and of the horizon that hold the depth."
    farm = archive.open_archive(folder).farm().set_index("station")
    assert farm.loc["A", ["elevation", "twi", "crop_2011", "crop_2012", "series"]].tolist() == [790, 4, "WW", "SL",
                                                                                              "Palouse"]
    assert farm.loc["B", ["elevation", "crop_2011"]].tolist() == [792, "SL"]
    assert farm["slope"].tolist() == pytest.approx([np.degrees(np.arctan(0.1))] * 2)
    assert farm["bulk_density_30cm"].tolist() == [1.2, 1.3] and farm["bulk_density_90cm"].isna().all()
    assert farm["horizon_90cm"].tolist() == ["Bw", ""] and farm.loc["B", "ph_30cm"] == 6.1


def test_density_of_horizons_where_there_are_no_cores(folder):
    "Cores and horizons are never mixed."
    (folder / "my_bdensity.csv").unlink()
    farm = archive.open_archive(folder).farm().set_index("station")
    assert farm.loc["A", ["bulk_density_30cm", "bulk_density_90cm"]].tolist() == [1.6, 1.6]
    assert np.isnan(farm.loc["B", "bulk_density_30cm"])


def test_months_are_means_of_days(folder):
    "Every value is the mean of the days with water and temperature; the crop is that of the year, facts of the depth."
    data = archive.open_archive(folder)
    table = farms.table(data.farm_soil(), data.farm())
    assert len(table) == 2 * 2 * 24 and table["start"].dt.day.eq(1).all()
    march = table[(table["start"] == "2012-03-01") & (table["depth"] == 0.3)].set_index("station")
    assert march["theta"].tolist() == pytest.approx([0.16, 0.16]) and march["days"].tolist() == [31, 16]
    assert march["soil_temperature"].tolist() == pytest.approx([1.6, 1.6])
    assert march["crop"].tolist() == ["SL", "SW"] and march["kind"].tolist() == ["legume", "spring cereal"]
    assert march["bulk_density"].tolist() == [1.2, 1.3] and march["horizon"].tolist() == ["Bw", "Ap"]
    assert not [c for c in table if c.endswith("cm") or c.startswith("crop_")]


@pytest.mark.parametrize("every, rows", [("day", 4 * 730 - 2 * sum(
    day.day % 2 == 0 for day in pd.date_range("2011-01-01", periods=730))), ("week", 4 * 106), ("year", 8)])
def test_other_periods(folder, every, rows):
    "Days, weeks and years; a row needs a third of its days."
    data = archive.open_archive(folder)
    found = farms.table(data.farm_soil(), data.farm(), every=every)
    assert abs(len(found) - rows) <= 8 and not found.duplicated(["station", "depth", "start"]).any()
    most = found["days"].max()
    assert len(farms.table(data.farm_soil(), data.farm(), every=every, fewest=most + 1)) == 0


def test_a_month_needs_both_water_and_temperature(folder):
    "A day with one of them alone is no day."
    data = archive.open_archive(folder)
    soil = data.farm_soil()
    soil["soil_temperature"] = soil["soil_temperature"].where(soil["time"].dt.month != 5)
    assert 5 not in set(farms.table(soil, data.farm())["month"])


def test_unknown_periods_and_stations(folder):
    "Told with what there is."
    data = archive.open_archive(folder)
    farm, soil = data.farm(), data.farm_soil()
    with pytest.raises(InputError, match="every = 'months' is not known; did you mean 'month'"):
        farms.table(soil, farm, every="months")
    with pytest.raises(InputError, match="station 'B' has readings and is not in the table"):
        farms.table(soil, farm[farm["station"] == "A"])
    with pytest.raises(InputError, match="no table of profiles and none of cores"):
        farms.stations(data.farm_grid(), ["A"])


def test_an_archive_tells_what_its_farm_has(folder):
    "Kinds, weather and maps; check tells of the tables; the hash covers each of them and no other kind."
    data = archive.open_archive(folder)
    assert {k: len(v) for k, v in data.kinds().items()} == {"soil": 1, "farm": 1}
    assert data.farms.loc[0, "farm"] == "my" and data.farms.loc[0, "stations"] == ["A", "B"]
    assert data.farm_weather().sizes["time"] == 4 and data.farm_truth() == (None, None)
    findings = archive.check(folder)
    assert not list(findings)
    assert "9 cells of 10 m" in findings.remarks[-1] and "2 soil profiles" in findings.remarks[-1]
    before = data.hash(["farm"]), data.hash()
    for name in ("grids", "profiles", "bdensity", "weather"):
        path = folder / f"my_{name}.csv"
        path.write_bytes(path.read_bytes() + b"\n")
        after = archive.open_archive(folder).hash(["farm"]), archive.open_archive(folder).hash()
        assert after[0] != before[0] and after[1] != before[1], name
        before = after
    (folder / "my_weather.csv").unlink()
    assert "no weather beside it" in archive.check(folder).remarks[-1]
    with pytest.raises(InputError, match="no weather lies beside my_grids.csv"):
        archive.open_archive(folder).farm_weather()


@pytest.mark.parametrize("name, text, words", [
    ("grids", grid_text({(2, 0), (2, 1), (2, 2)}), "station 'B' at x = 119 m, y = 191 m lies outside the maps"),
    ("grids", grid_text({(2, 1)}), "station 'B' at x = 119 m, y = 191 m lies outside the maps"),
    ("profiles", PROFILES.replace("B,119", "D,119"), "station 'B' has readings and no profile"),
    ("profiles", PROFILES.replace("1.4", "heavy"), "line 2 has BLD = 'heavy'"),
    ("weather", WEATHER.replace("2011-01-05", "2011-13-05"), "line 4 has Date '2011-13-05'"),
])
def test_a_broken_farm_is_one_finding(folder, name, text, words):
    "It is told by check, and by what needs the table."
    (folder / "my_bdensity.csv").unlink()
    (folder / f"my_{name}.csv").write_text(text)
    assert sum(words in f.problem for f in archive.check(folder)) == 1
    data = archive.open_archive(folder)
    with pytest.raises(InputError, match=words):
        _ = data.farm_weather() if name == "weather" else data.farm()


def test_farms_by_name(folder, tmp_path):
    "With one farm its name is not needed; with two it is; readings alone make none."
    for name in ("readings", "grids", "profiles"):
        (folder / "there").mkdir(exist_ok=True)
        text = (folder / f"my_{name}.csv").read_text()
        for old, new in (("A,", "C,"), ("B,", "D,")):
            text = text.replace(old, new)
        (folder / "there" / f"your_{name}.csv").write_text(text)
    (folder / "there" / "depths.csv").write_bytes((folder / "depths.csv").read_bytes())
    data = archive.open_archive(folder)
    assert data.farm("your")["station"].tolist() == ["C", "D"] and data.farm("my")["station"].tolist() == ["A", "B"]
    with pytest.raises(InputError, match="has 2 farms; name one; there are 'my', 'your'"):
        data.farm()
    with pytest.raises(InputError, match="farm 'yours' is not in the archive 'mine'; did you mean 'your'"):
        data.farm("yours")
    soil_stations.write(readings(), tmp_path / "plain" / "my_readings.csv")
    with pytest.raises(InputError, match="archive 'plain' has no farm"):
        archive.open_archive(tmp_path / "plain").farm()


@real
def test_the_real_farm():
    "Every station has its place, crops and density at its depths; summers are dry under winter wheat."
    data = archive.open_archive(ROOT)
    farm = data.farm("cookfarm")
    assert len(farm) == 27 and farm["slope"].between(0, 25).all() and farm["twi"].between(2.5, 10).all()
    assert set(farm["crop_2011"]) == {"WW", "SW", "SB", "SL"} and farm["bulk_density_150cm"].between(0.9, 1.8).all()
    months = farms.table(data.farm_soil(), farm)
    assert 2300 < len(months) < 2600 and months["bulk_density"].notna().all()
    dry = months[months["month"].isin([7, 8]) & (months["depth"] > 0.8)].groupby("kind")["theta"].mean()
    assert dry["winter wheat"] + 0.03 < dry["legume"]
    assert data.farm_weather().sizes["time"] == 729
