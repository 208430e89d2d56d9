"""Flux towers: written, read back, four layouts, quality flags, and what is refused; the real towers."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import flux_tower

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
REAL = Path(ROOT or ".") / "flux"
real = pytest.mark.skipif(not ROOT or not REAL.is_dir(), reason="PHENOLIB_ARCHIVE names no archive of towers")
NAME = "FLX_DE-Tst_FLUXNET2015_FULLSET_HH_2014-2014_1-4.csv"


def tower(rows=96, seed=11):
    rng, time = np.random.default_rng(seed), pd.date_range("2014-06-01 00:30", periods=rows, freq="30min", unit="ns")
    data = {"nee": rng.laplace(0, 4, rows), "nee_sd": rng.uniform(0.5, 2, rows), "ta": rng.normal(15, 5, rows),
            "ts": rng.normal(13, 2, rows), "ts_2": rng.normal(12, 1, rows), "swc": rng.uniform(0.1, 0.4, rows),
            "sw_in": rng.uniform(0, 900, rows), "vpd": rng.uniform(0, 20, rows), "pa": rng.normal(990, 5, rows),
            "ustar": rng.uniform(0.05, 0.9, rows), "le": rng.normal(90, 40, rows), "h": rng.normal(60, 40, rows),
            "night": rng.integers(0, 2, rows), "reco_nt": rng.uniform(1, 6, rows)}
    made = xr.Dataset({k: ("time", np.asarray(v, float)) for k, v in data.items()}, {"time": time})
    made["nee"][5] = np.nan
    return made


def test_written_and_read_back(tmp_path):
    "What is written as FLUXNET2015 is read back, in fractions and hPa, with the end of the interval as time."
    made = tower()
    flux_tower.write(made, tmp_path / NAME)
    back = flux_tower.read(tmp_path / NAME)
    for name in made:
        np.testing.assert_allclose(back[name], made[name], atol=6e-4)
    assert (back["time"] == made["time"]).all() and back.attrs["site"] == "DE-Tst" and back.attrs["format"] == "fluxnet"
    assert back["swc"].attrs["units"] == "m3 m-3" and back["nee"].attrs["units"] == "umol m-2 s-1"
    assert back.attrs["stamp"] == "end of the interval" and "local standard time" in back.attrs["clock"]
    assert back["nee_qc"].values[[4, 5]].tolist() == [0, -1] and np.isclose(back["nee"].attrs["retrieved"], 95 / 96)
    again = tmp_path / "again" / NAME
    flux_tower.write(back, again)
    assert again.read_bytes() == (tmp_path / NAME).read_bytes()


def test_names_and_units_in_the_file(tmp_path):
    "The file has the columns of the network, soil water in per cent and pressure in kPa."
    flux_tower.write(tower(), tmp_path / NAME)
    table = pd.read_csv(tmp_path / NAME)
    assert {"NEE_VUT_REF", "NEE_VUT_REF_QC", "NEE_VUT_REF_RANDUNC", "TA_F", "TS_F_MDS_2", "SWC_F_MDS_1", "PA_F",
            "NIGHT", "RECO_NT_VUT_REF", "USTAR", "SWC_F_MDS_1_QC"} <= set(table)
    assert table["SWC_F_MDS_1"].between(10, 40).all() and table["PA_F"].between(90, 105).all()
    assert table["TIMESTAMP_START"][0] == 201406010000 and table["NEE_VUT_REF"][5] == -9999


def test_local_time_becomes_utc(tmp_path):
    "A clock one hour ahead is set back by one hour, and written ahead again."
    flux_tower.write(tower(), tmp_path / NAME)
    back = flux_tower.read(tmp_path / NAME, utc_offset=1)
    assert back["time"].values[0] == np.datetime64("2014-05-31T23:30") and back.attrs["clock"].startswith("UTC")
    flux_tower.write(back, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / NAME).read_bytes()
    with pytest.raises(InputError, match="utc_offset 60"):
        flux_tower.read(tmp_path / NAME, utc_offset=60)


def test_quality_flags_are_honoured(tmp_path):
    "Only what was measured is kept unless filled values are wanted, for all or for some; what goes is told."
    made = tower(8).drop_vars("night")
    made["nee"][5] = 1.0
    made["nee_qc"] = ("time", [0, 0, 1, 1, 2, 3, 0, -1])
    made["sw_in_qc"] = ("time", [0, 2, 0, 0, 0, 0, 0, 0])
    flux_tower.write(made, tmp_path / NAME)
    kept = {q: flux_tower.read(tmp_path / NAME, quality=q)["nee"].notnull().sum().item() for q in range(4)}
    assert kept == {0: 3, 1: 5, 2: 6, 3: 7}
    back = flux_tower.read(tmp_path / NAME, quality={"sw_in": 3})
    assert back["sw_in"].notnull().all() and back["nee"].notnull().sum() == 3
    assert "5 of 8 values of NEE_VUT_REF" in back.attrs["remarks"][0]
    assert back["nee_qc"].values.tolist() == [0, 0, 1, 1, 2, 3, 0, -1]
    for wrong in (4, {"neee": 1}):
        with pytest.raises(InputError, match="quality"):
            flux_tower.read(tmp_path / NAME, quality=wrong)


def test_a_site_with_one_threshold_and_a_gap(tmp_path):
    "NEE_CUT_REF is read where there is no NEE_VUT_REF; rows that are not there are missing; both are told."
    flux_tower.write(tower(), tmp_path / NAME)
    lines = (tmp_path / NAME).read_text().replace("NEE_VUT", "NEE_CUT").splitlines()
    (tmp_path / NAME).write_text("\n".join(lines[:20] + lines[23:]))
    back = flux_tower.read(tmp_path / NAME)
    assert back.attrs["columns"]["nee"] == "NEE_CUT_REF" and back.sizes["time"] == 96
    assert int(back["ta"].isnull().sum()) == 3 and back["ta_qc"].values[19] == -1
    assert "no NEE_VUT_REF" in back.attrs["remarks"][0] and "3 of 96 rows" in back.attrs["remarks"][-1]


AMERIFLUX = """# Site: US-Tst
# Version: 1-5
TIMESTAMP_START,TIMESTAMP_END,FC,{}SWC_1_2_1,SWC_1_1_1,TS_1_1_1,PA,TA
201901010000,201901010030,1.5,{}40,25,3,99,-2
201901010030,201901010100,-9999,{}41,26,3,99,-2
201901010100,201901010130,1.7,{}42,-9999,3,99,-2
"""


def test_ameriflux(tmp_path):
    "The upper sensor is the first; NEE is preferred to FC, which lacks what is stored in the air; no flags, told."
    path = tmp_path / "AMF_US-Tst_BASE_HH_1-5.csv"
    path.write_text(AMERIFLUX.format("", "", "", ""))
    made = flux_tower.read(path, utc_offset=-5)
    assert made.attrs["site"] == "US-Tst" and made["time"].values[0] == np.datetime64("2019-01-01T05:30")
    np.testing.assert_allclose(made["swc"], [0.25, 0.26, np.nan])
    np.testing.assert_allclose(made["swc_2"], [0.4, 0.41, 0.42])
    assert made["pa"].values[0] == 990 and "sensor 2" in made["swc_2"].attrs["long_name"]
    assert len(made.attrs["remarks"]) == 2 and np.isclose(made["nee"].attrs["retrieved"], 2 / 3)
    path.write_text(AMERIFLUX.format("NEE_PI,", "2,", "3,", "4,"))
    assert flux_tower.read(path)["nee"].values.tolist() == [2, 3, 4]


TEXT = "\r".join(["Year\tDoY\tHour\tNEE\tTsoil\tVPD", "-\t-\t-\tumolm-2s-1\tdegC\thPa",
                  "1998\t365\t23.5\t2\t4\t5", "1998\t366\t0\t-9999\t4\t5", ""])


def test_text_with_units(tmp_path):
    "Lines that end in CR, a line of units, hour 0 of the day after the last; another unit is refused."
    path = tmp_path / "tower.txt"
    path.write_bytes(TEXT.encode())
    made = flux_tower.read(path)
    assert made["time"].values[-1] == np.datetime64("1999-01-01") and made["nee"].values[0] == 2
    assert np.isnan(made["nee"].values[1]) and made.attrs["format"] == "text" and made.attrs["site"] == ""
    path.write_bytes(TEXT.replace("umolm-2s-1", "gCm-2d-1").encode())
    with pytest.raises(InputError, match="'NEE' is in 'gCm-2d-1'"):
        flux_tower.read(path)
    path.write_bytes(TEXT.replace("366", "400").encode())
    with pytest.raises(InputError, match="line 4 has Year 1998, DoY 400"):
        flux_tower.read(path)


def change(text, old, new):
    return text.replace(old, new, 1)


@pytest.mark.parametrize("edit, what", [
    (lambda t: "a,b\n1,2\n", "none of the known layouts"),
    (lambda t: t.replace("NEE_VUT_REF", "NEE_OTHER"), "no column of net exchange"),
    (lambda t: t.replace("TIMESTAMP_END", "TIMESTAMP_STOP"), "'TIMESTAMP_END' is missing"),
    (lambda t: change(t, "201406010030,201406010100", "201406010000,201406010030"), "is the second of"),
    (lambda t: change(t, "201406010100,201406010130", "201405010100,201405010130"), "goes back in time"),
    (lambda t: change(t, "201406010100,201406010130", "201406010100,201406010200"), "line 4 is 60 minutes long"),
    (lambda t: change(t, "201406010030,2014", "yesterday,2014"), "TIMESTAMP_START 'yesterday'"),
    (lambda t: t[:-20], "truncated"),
])
def test_what_is_refused(tmp_path, edit, what):
    "Each fault of a file is one line that names the file."
    flux_tower.write(tower(), tmp_path / NAME)
    (tmp_path / NAME).write_text(edit((tmp_path / NAME).read_text()))
    with pytest.raises(InputError) as error:
        flux_tower.read(tmp_path / NAME)
    assert what in str(error.value) and str(error.value).startswith("FLX_DE-Tst")


@pytest.mark.parametrize("name, scale, shift, what", [
    ("SWC_F_MDS_1", 0.01, 0, "looks like a fraction"), ("TA_F", 1, 273.15, "°C is expected"),
    ("PA_F", 10, 0, "kPa is expected"), ("VPD_F", 100, 0, "hPa is expected"), ("NEE_VUT_REF", 1000, 0, "µmol m⁻² s⁻¹")])
def test_other_units_are_refused(tmp_path, name, scale, shift, what):
    "A fraction for per cent, kelvin, hPa for kPa, Pa for hPa and nmol for µmol are found."
    flux_tower.write(tower(), tmp_path / NAME)
    table = pd.read_csv(tmp_path / NAME)
    table[name] = (table[name] * scale + shift).where(table[name] != -9999, -9999)
    table.to_csv(tmp_path / NAME, index=False)
    with pytest.raises(InputError, match=what):
        flux_tower.read(tmp_path / NAME)


def test_what_cannot_be_written(tmp_path):
    "Without nee, and with soil water in per cent, nothing is written."
    with pytest.raises(InputError, match="no 'nee'"):
        flux_tower.write(tower().drop_vars("nee"), tmp_path / NAME)
    with pytest.raises(InputError, match="divide per cent by 100"):
        flux_tower.write(tower().assign(swc=tower()["swc"] * 100), tmp_path / NAME)
    assert not any(tmp_path.iterdir())


@real
def test_real_tharandt():
    "A year of a spruce forest: 64 % of the half-hours have NEE, a summer sink, warmest soil in August."
    made = flux_tower.read(REAL / "Example_DETha98.txt", utc_offset=1)
    assert made.sizes["time"] == 17520 and np.isclose(made["nee"].attrs["retrieved"], 11263 / 17520)
    assert made["time"].values[0] == np.datetime64("1997-12-31T23:30") and made.attrs["format"] == "text"
    months = made[["nee", "ts", "sw_in"]].groupby("time.month").mean()
    assert float(months["nee"].sel(month=5)) < -3 and int(months["ts"].idxmax()) in (7, 8)
    day = made["sw_in"].groupby("time.hour").mean()
    assert 10 <= int(day.idxmax()) <= 12  # solar noon at 14° E in UTC
    night = made.where(made["sw_in"] <= 10)
    assert float(night["nee"].mean()) > 0.5


@real
def test_real_ameriflux():
    "Two winter days at an American field: soil water in per cent becomes 0.40 to 0.47, half the fluxes are missing."
    made = flux_tower.read(REAL / "AMF_US-CRT_BASE_HH_2-5.csv", utc_offset=-5)
    assert made.attrs["site"] == "US-CRT" and made.sizes["time"] == 96 and made.attrs["columns"]["nee"] == "NEE_PI"
    assert 0.39 < float(made["swc"].min()) < float(made["swc"].max()) < 0.48
    assert 980 < float(made["pa"].mean()) < 1010 and np.isclose(made["nee"].attrs["retrieved"], 38 / 96)
    assert "no quality flags" in made.attrs["remarks"][-1]
