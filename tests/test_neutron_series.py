"""Hourly neutron counts and soil cores: written, read back, refused; and what a real probe saw."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import neutron_calibration, neutrons
from phenolib.errors import InputError
from phenolib.sources import neutron_series

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
FOLDER = Path(ROOT or ".") / "cosmic_ray"
real = pytest.mark.skipif(not ROOT or not FOLDER.is_dir(), reason="PHENOLIB_ARCHIVE names no archive of neutrons")
HEAD = "DateTime_utc,NeutronCount_Epithermal_Cum1h,AirPressure,AirHumidity_Relative"
CORES = ("DateTime_utc,Profile_ID,Distance_to_CRNS_m,Profile_Depth_cm,SoilMoisture_g_g,DryBulkDensity_g_cm3,"
         "SoilOrganicCarbon_g_g,LatticeWater_g_g")
CORE = "17.01.2014 12:00,1,25,2.5,0.2,1.2,0.02,0.003"


def text(tmp_path, *rows, head=HEAD, name="probe.csv"):
    path = tmp_path / name
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def made(hours=50, seed=1):
    "An hourly series with holes."
    rng = np.random.default_rng(seed)
    values = {"neutrons": rng.poisson(800, hours).astype(float), "pa": rng.normal(1005, 8, hours).round(1),
              "ta": rng.normal(10, 6, hours).round(1), "rh": rng.uniform(40, 100, hours).round(1),
              "precip": rng.uniform(0, 2, hours).round(1)}
    for column in values.values():
        column[1:-1][rng.random(hours - 2) < 0.1] = np.nan
    time = pd.date_range("2019-03-31", periods=hours, freq="h")
    return xr.Dataset({name: ("time", column) for name, column in values.items()}, {"time": time})


@pytest.mark.parametrize("name", ["probe.csv", "probe.csv.gz"])
def test_a_series_is_read_as_written(tmp_path, name):
    "Values, gaps and hours come back, compressed or not; the same series gives the same bytes."
    data = made()
    neutron_series.write(data, tmp_path / name)
    back = neutron_series.read(tmp_path / name)
    for variable in data:
        np.testing.assert_array_equal(back[variable], data[variable])
    assert set(back) == set(data) and back.time.equals(data.time.astype(back.time.dtype))
    assert back.neutrons.attrs["units"] == "h-1" and back.pa.attrs["units"] == "hPa" and back.rh.attrs["units"] == "%"
    assert back.attrs["source"] == name and back.attrs["added"] == 0 and "not told" in back.attrs["stamp"]
    neutron_series.write(back, tmp_path / "again" / name)
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_hours_without_a_row_are_missing_and_counted(tmp_path):
    "A hole of two hours is two missing hours; times in another zone are made UTC."
    path = text(tmp_path, "2014-01-09 11:00:00+00:00,700,1000,80", "2014-01-09 15:00:00+01:00,710,1000,")
    data = neutron_series.read(path)
    assert data.sizes["time"] == 4 and data.attrs["added"] == 2
    assert data.time.values[-1] == np.datetime64("2014-01-09T14")
    np.testing.assert_array_equal(data.neutrons, [700, np.nan, np.nan, 710])
    assert np.isnan(data.rh.values[-1])


def test_single_impossible_values_are_missing_and_counted(tmp_path):
    "A count of 0 in a hundred is left out and told; in every tenth row the file is refused."
    rows = [f"2014-01-{1 + k // 24:02d} {k % 24:02d}:00:00+00:00,{0 if k == 7 else 700},1000,80" for k in range(100)]
    data = neutron_series.read(text(tmp_path, *rows))
    assert data.neutrons.attrs["impossible"] == 1 and np.isnan(data.neutrons.values[7])
    assert "impossible" not in data.pa.attrs
    with pytest.raises(InputError, match="10% of NeutronCount_Epith.* are out of range, the first in line 9 with 0"):
        neutron_series.read(text(tmp_path, *rows[:10]))


@pytest.mark.parametrize("rows, problem", [
    (["2014-01-09 11:00,700,1000,80"], "line 2 has DateTime_utc '2014-01-09 11:00'; a time such as"),
    (["2014-01-09 11:00:00+00:00,many,1000,80"], "line 2 has NeutronCount_Epithermal_Cum1h = 'many'"),
    (["2014-01-09 11:00:00+00:00,700,100.0,80"], "100% of AirPressure are out of range.*1 kPa is 10 hPa"),
    (["2014-01-09 11:00:00+00:00,700,1000,0.8"], "AirHumidity_Relative is 0.8 at most; it looks like a fraction"),
    (["2014-01-09 11:00:00+00:00,700,1000,80"] * 2, "line 3, 2014-01-09 11:00:00, is not later than the line before"),
    (["2014-01-09 11:00:00+00:00,700,1000,80", "2014-01-09 11:30:00+00:00,700,1000,80"], "is no whole hour later"),
    (["2014-01-09 11:00:00+00:00,700,1000,80", "2014-01-09"], "line 3 has 1 fields, 4 are expected; the file is trunc"),
])
def test_a_wrong_row_is_one_clear_line(tmp_path, rows, problem):
    with pytest.raises(InputError, match=problem) as error:
        neutron_series.read(text(tmp_path, *rows))
    assert "probe.csv" in str(error.value) and str(tmp_path) not in str(error.value)


def test_a_series_of_another_kind_is_refused(tmp_path):
    "A missing column, no file, nothing to write."
    row = "2014-01-09 11:00:00+00:00,700,1000,80"
    with pytest.raises(InputError, match="column 'AirPressure' is missing; did you mean 'AirPresure'"):
        neutron_series.read(text(tmp_path, row, head=HEAD.replace("AirPressure", "AirPresure")))
    with pytest.raises(InputError, match="there is no such file"):
        neutron_series.read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="has no 'pa'"):
        neutron_series.write(made().drop_vars("pa"), tmp_path / "new.csv")
    with pytest.raises(InputError, match="not hourly"):
        neutron_series.write(made().isel(time=[0, 1, 5]), tmp_path / "new.csv")
    assert not (tmp_path / "new.csv").exists()


def test_cores_are_read_as_written(tmp_path):
    "Samples come back with depths in metres and times without a zone; the same bytes again."
    path = text(tmp_path, CORE, CORE.replace("2.5", "7.5").replace("0.2,", "0.197002141,"), head=CORES)
    cores = neutron_series.read_cores(path)
    assert cores["depth"].tolist() == [0.025, 0.075] and cores["time"][0] == pd.Timestamp("2014-01-17 12:00")
    assert cores.attrs["units"]["depth"] == "m" and cores.attrs["units"]["bulk_density"] == "g cm-3"
    neutron_series.write_cores(cores, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(neutron_series.read_cores(tmp_path / "again.csv"), cores)
    neutron_series.write_cores(cores, tmp_path / "third.csv")
    assert (tmp_path / "third.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()
    with pytest.raises(InputError, match="cores have no 'theta_g'"):
        neutron_series.write_cores(cores.drop(columns="theta_g"), tmp_path / "no.csv")


@pytest.mark.parametrize("old, new, problem", [
    ("17.01.2014 12:00", "2014-01-17", "line 2 has DateTime_utc '2014-01-17'; a time such as 17.01.2014 12:00"),
    ("2.5,0.2,", "2.5,20.5,", "SoilMoisture_g_g = 20.5; 0 to 20 g g-1 is expected, divide per cent by 100"),
    ("1.2,0.02,", "1200,0.02,", "DryBulkDensity_g_cm3 = 1200.*divide kg m⁻³ by 1000"),
    ("1.2,0.02,", "1.2,2.0,", "SoilOrganicCarbon_g_g = 2; 0 to 0.6.*divide per cent by 100"),
    ("0.02,0.003", "0.02,", "LatticeWater_g_g = nan.*leave the line out"),
    ("0.2,1.2,", "0.9,1.2,", "line 2 has 1.08 m³ of water per m³ of soil"),
])
def test_a_wrong_core_is_one_clear_line(tmp_path, old, new, problem):
    assert old in CORE
    with pytest.raises(InputError, match=problem) as error:
        neutron_series.read_cores(text(tmp_path, CORE.replace(old, new), head=CORES, name="cores.csv"))
    assert "cores.csv" in str(error.value) and "\n" not in str(error.value)


def test_cores_that_contradict_themselves_are_refused(tmp_path):
    "A sample twice, a profile at two places, a missing column."
    for rows, problem in (([CORE, CORE], "line 3 is the second of profile 1"),
                          ([CORE, CORE.replace(",25,2.5", ",75,7.5")], "profile 1 has two distances")):
        with pytest.raises(InputError, match=problem):
            neutron_series.read_cores(text(tmp_path, *rows, head=CORES))
    with pytest.raises(InputError, match="column 'LatticeWater_g_g' is missing; did you mean 'LatticeWater'"):
        neutron_series.read_cores(text(tmp_path, CORE, head=CORES.replace("LatticeWater_g_g", "LatticeWater")))


@pytest.fixture(scope="module")
def probe():
    "The real series with the vapour of its box, the only one at hand when the cores were taken, and its cores."
    data = neutron_series.read(FOLDER / "FSC001_time_series.csv.gz")
    box = neutrons.absolute_humidity(data["ta_box"], relative=data["rh_box"])
    return data.assign(q=box), neutron_series.read_cores(FOLDER / "FSCD001_calibration.csv")


@real
def test_the_real_files_are_read_whole(probe):
    "Six years of hours, an eighth of them without counts; two campaigns of 18 profiles with six samples."
    data, cores = probe
    assert data.sizes["time"] == 56245 and data.attrs["added"] == 0
    assert float(data["neutrons"].notnull().mean()) == pytest.approx(0.8735, abs=1e-4)
    assert data["ta"].dropna("time").time.values[0] > np.datetime64("2015-01-09")
    assert len(cores) == 216 and cores.groupby("time")["profile"].nunique().tolist() == [18, 18]
    assert sorted(cores["distance"].unique()) == [25, 75, 200] and cores["depth"].max() == 0.275
    screened = neutrons.screened(data["neutrons"])
    assert 5 < screened.attrs["screened"] < 100


@real
def test_the_real_probe_is_calibrated_on_its_cores(probe):
    "N₀ is that which the providers state, 1111; but the two days of cores disagree by more than cores and counts do."
    data, cores = probe
    found = neutron_calibration.calibrate(cores, data, draws=100)
    assert found.n0 == pytest.approx(1111, rel=0.01) and found.low < 1111 < found.high
    first, second = found.campaigns.to_dict("records")
    assert first["high"] < second["low"] and 0.10 < found.spread < 0.15
    assert (found.campaigns["covered"] > 0.85).all() and (found.campaigns["hours"] >= 22).all()
    wet = neutrons.moisture(data.sel(time=slice("2014-01-16", "2014-01-18")), second["n0"], **found.soil)
    at = wet.sel(time="2014-01-18T00:00")
    assert at["theta"] - first["theta"] > 10 * at["theta_sd"]  # the band of counting is the smallest error here


@real
def test_the_real_series_gives_moisture(probe):
    "Sandy soil with peat around: 0.02 to 0.35 in most hours, wetter in winter; 10 % more rays would shift it by 0.06."
    data, cores = probe
    part = data.sel(time=slice("2015", "2016"))
    made = neutron_calibration.calibrate(cores, data, draws=0)
    found = neutrons.moisture(part, made.n0, **made.soil)
    low, middle, high = found["theta"].quantile([0.05, 0.5, 0.95]).values
    assert 0.02 < low < 0.08 < middle < 0.2 < high < 0.35
    assert found.attrs["retrieved"] > 0.8 and found.attrs["out_of_range"] < 0.01
    assert 0.002 < float(found["theta_sd"].median()) < 0.008
    month = found["theta"].groupby("time.month").mean()
    assert month.sel(month=[1, 2, 12]).mean() > month.sel(month=[6, 7, 8]).mean() + 0.05
    rays = neutrons.moisture(part, made.n0, incoming=1.1, **made.soil)["theta"]
    assert 0.03 < float((rays - found["theta"]).mean()) < 0.1
