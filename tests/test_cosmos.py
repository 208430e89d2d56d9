"""COSMOS-UK: written, read back, flags, the portal, the sites, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import cosmos

NAME = "COSMOS-UK_MOORH_HydroSoil_Daily_2014-2023.csv"


def readings(days=60, freq="D"):
    rng, time = np.random.default_rng(5), pd.date_range("2014-03-01", periods=days, freq=freq, name="time", unit="ns")
    data = {"theta": rng.uniform(0.2, 0.7, days), "ta": rng.normal(8, 5, days), "pa": rng.normal(940, 8, days),
            "q": rng.uniform(4, 12, days), "precip": rng.gamma(0.5, 6, days), "neutrons": rng.normal(1500, 50, days),
            "sw_in": rng.uniform(5, 300, days), "netrad": rng.normal(40, 60, days)}
    made = xr.Dataset({k: ("time", v) for k, v in data.items()}, {"time": time}, {"site": "MOORH"})
    made["theta_tdt"] = (("time", "probe"), rng.uniform(0.2, 0.8, (days, 3)))
    made["ts_tdt"] = (("time", "probe"), rng.normal(9, 3, (days, 3)))
    made["ts_profile"] = (("time", "depth"), rng.normal(9, 3, (days, 2)))
    return made.assign_coords(probe=[1, 2, 10], depth=[0.02, 0.5])


@pytest.mark.parametrize("freq, resolution, stamp", [
    ("D", "daily", "start of the day"), ("30min", "30 minutes", "end of the interval"),
    ("h", "hourly", "end of the interval")])
def test_written_and_read_back(tmp_path, freq, resolution, stamp):
    "What is written is read back, with units, depths of the probes and the share that is there."
    made = readings(freq=freq)
    made["theta"][7] = np.nan
    cosmos.write(made, tmp_path / NAME)
    back = cosmos.read(tmp_path / NAME)
    for name in made:
        np.testing.assert_allclose(back[name], made[name], atol=6e-4)
    assert back.attrs["site"] == "MOORH" and back.attrs["resolution"] == resolution and back.attrs["stamp"] == stamp
    assert back["probe_depth"].values.tolist() == [0.1, 0.1, 0.5] and back["depth"].values.tolist() == [0.02, 0.5]
    assert back["theta"].attrs["units"] == "m3 m-3" and np.isclose(back["theta"].attrs["retrieved"], 59 / 60)
    assert back.attrs["remarks"] == []
    again = tmp_path / "again" / NAME
    cosmos.write(back, again)
    assert again.read_bytes() == (tmp_path / NAME).read_bytes()


def test_units_in_the_file(tmp_path):
    "Soil moisture stands in per cent and daily radiation in MJ in the file, missing is -9999."
    made = readings(3).assign(theta=("time", [0.25, np.nan, 0.5]), sw_in=("time", [100.0, 200.0, 300.0]))
    cosmos.write(made, tmp_path / NAME)
    table = pd.read_csv(tmp_path / NAME)
    assert table["COSMOS_VWC"].tolist() == [25, -9999, 50] and np.allclose(table["SWIN"], [8.64, 17.28, 25.92])
    assert table["SITE_ID"].unique() == ["MOORH"] and table["DATE_TIME"][0] == "2014-03-01 00:00:00"


@pytest.mark.parametrize("years", ["2014-2023", "2014--2023"])
def test_flags_are_honoured(tmp_path, years):
    "Infilled and estimated values are missing unless wanted, those that failed a check always; all are told."
    made = readings(6)
    cosmos.write(made, tmp_path / NAME)
    date = made.indexes["time"].strftime("%Y-%m-%d %H:%M:%S")
    data = {"DATE_TIME": date, "SITE_ID": "MOORH", "COSMOS_VWC_FLAG": ["", "E", "I", "U", "M", ""],
            "TA_FLAG": ["", "I", "", "", "", ""]}
    pd.DataFrame(data).to_csv(
        tmp_path / f"COSMOS-UK_MOORH_HydroSoil_Daily_{years}_Flags.csv", index=False)
    pd.DataFrame({"DATE_TIME": date, "SITE_ID": "MOORH", "TA_QCFLAG": [0, 8, 0, 0, 0, 32]}).to_csv(
        tmp_path / "COSMOS-UK_MOORH_HydroSoil_Daily_2014-2023_QC_Flags.csv", index=False)
    back = cosmos.read(tmp_path / NAME)
    assert np.isfinite(back["theta"]).values.tolist() == [True, False, False, True, False, True]
    assert np.isfinite(back["ta"]).values.tolist() == [True, False, True, True, True, False]
    assert len(back.attrs["remarks"]) == 3
    filled = cosmos.read(tmp_path / NAME, without=())
    assert int(filled["theta"].notnull().sum()) == 5
    assert np.isfinite(filled["ta"]).values.tolist() == [True] * 5 + [False]
    with pytest.raises(InputError, match="without 'X'"):
        cosmos.read(tmp_path / NAME, without="X")


def test_flags_of_other_times_are_refused(tmp_path):
    "Flags that do not fit the times of the values are refused, not shifted."
    cosmos.write(readings(6), tmp_path / NAME)
    pd.DataFrame({"DATE_TIME": ["2014-03-01"], "COSMOS_VWC": ["E"]}).to_csv(
        tmp_path / NAME.replace(".csv", "_Flags.csv"), index=False)
    with pytest.raises(InputError, match="has not the times"):
        cosmos.read(tmp_path / NAME)


PORTAL = """timestamp,2026-01-01T00:00:00
site-id,MOORH
site-name,Moor House
date-installed,2013-01-01
date-decommissioned,
parameter-id,cosmos_vwc,cosmos_vwc_flag,ta_min,ta,snow,swin
parameter-name,VWC,VWC flag,Min Temp,Temp,Snow Depth,Radiation
parameter-units,%,,degC,degC,mm,MJ m-2
2021-01-01T00:00:00Z,65.5,,-2,1,3,2
2021-01-02T00:00:00Z,64,E,-1,2,0,3
2021-01-04T00:00:00Z,60,,0,3,,4
"""


def test_the_portal(tmp_path):
    "The CSV of the portal gives the same names and units; its flags are honoured and a day without a row is missing."
    path = tmp_path / "moorh.csv"
    path.write_text(PORTAL)
    made = cosmos.read(path)
    assert made.attrs["site"] == "MOORH" and made.sizes["time"] == 4
    np.testing.assert_allclose(made["theta"], [0.655, np.nan, np.nan, 0.6])
    assert made["ta_min"].values[0] == -2 and np.isclose(made["sw_in"].values[0], 2e6 / 86400)
    assert made["snow"].attrs["units"] == "mm" and made["theta"].attrs["units"] == "m3 m-3"
    assert "1 of 4 rows" in made.attrs["remarks"][-1]
    path.write_text(PORTAL.replace("units,%", "units,m3/m3"))
    with pytest.raises(InputError, match="COSMOS_VWC is in 'm3/m3'"):
        cosmos.read(path)
    path.write_text(PORTAL.replace("site-id,", "site,"))
    with pytest.raises(InputError, match="'site-id' is missing"):
        cosmos.read(path)


def line(text, old, new):
    return text.replace(old, new, 1)


@pytest.mark.parametrize("change, what", [
    (lambda t: t.replace("COSMOS", "C").replace(",TA,", ",T,").replace("TDT1_", "TDT3_"), "has none of COSMOS_VWC"),
    (lambda t: t.replace("DATE_TIME", "DATE"), "'DATE_TIME' is missing"),
    (lambda t: line(t, ",MOORH", ",SHEEP"), "give a file of one site"),
    (lambda t: line(t, "2014-03-02", "2014-03-01"), "is the second of 2014-03-01"),
    (lambda t: line(t, "2014-03-05", "2014-02-05"), "goes back in time"),
    (lambda t: line(t, "2014-03-05 00:00", "2014-03-05 07:00"), "give a file of one resolution"),
    (lambda t: line(t, "2014-03-05", "yesterday"), "the time 'yesterday"),
    (lambda t: t[:-30], "truncated"),
])
def test_what_is_refused(tmp_path, change, what):
    "Each fault of a file is one line that names the file."
    cosmos.write(readings(), tmp_path / NAME)
    text = (tmp_path / NAME).read_text()
    (tmp_path / NAME).write_text(change(text))
    with pytest.raises(InputError) as error:
        cosmos.read(tmp_path / NAME)
    assert what in str(error.value) and str(error.value).startswith("COSMOS-UK_MOORH")


@pytest.mark.parametrize("name, factor, what", [
    ("COSMOS_VWC", 0.01, "looks like a fraction"), ("TDT2_VWC", 0.01, "looks like a fraction"),
    ("PA", 0.1, "hPa is expected"), ("Q", 0.001, "g m⁻³ is expected"), ("SWIN", 11.574, "looks like W m⁻²")])
def test_other_units_are_refused(tmp_path, name, factor, what):
    "A fraction for per cent, kPa for hPa, kg for g and W for MJ per day are found."
    cosmos.write(readings(), tmp_path / NAME)
    table = pd.read_csv(tmp_path / NAME)
    table.assign(**{name: table[name] * factor}).to_csv(tmp_path / NAME, index=False)
    with pytest.raises(InputError, match=what):
        cosmos.read(tmp_path / NAME)


def test_values_that_cannot_be_are_missing_and_told(tmp_path):
    "Soil moisture above 100 per cent is missing, and said to be."
    cosmos.write(readings(), tmp_path / NAME)
    table = pd.read_csv(tmp_path / NAME)
    table.loc[3, "COSMOS_VWC"] = 130
    table.to_csv(tmp_path / NAME, index=False)
    made = cosmos.read(tmp_path / NAME)
    assert np.isnan(made["theta"][3]) and "1 of 60 values of COSMOS_VWC" in made.attrs["remarks"][0]


def test_another_step_and_what_cannot_be_written(tmp_path):
    "Steps of six hours are no resolution of the network; per cent and readings without a site are not written."
    cosmos.write(readings(freq="6h"), tmp_path / NAME)
    with pytest.raises(InputError, match="360 minutes apart"):
        cosmos.read(tmp_path / NAME)
    with pytest.raises(InputError, match="divide per cent by 100"):
        cosmos.write(readings() * 100, tmp_path / NAME)
    with pytest.raises(InputError, match="no site"):
        cosmos.write(readings().drop_attrs(), tmp_path / "x.csv")
    with pytest.raises(InputError, match="no variable that is known"):
        cosmos.write(readings()[["time"]].assign_attrs(site="MOORH"), tmp_path / "x.csv")


def test_sites_are_written_and_read_back(tmp_path):
    "Sites come back; a site twice, a place that is none and carbon in per cent are refused; dates may be British."
    frame = pd.DataFrame({"site": ["MOORH", "SHEEP"], "name": ["Moor House", "Sheepdrove"], "lat": [54.66, 51.53],
                          "lon": [-2.46, -1.48], "elevation": [565.0, 170.0],
                          "start": np.array(["2014-12-04", "2014-12-04"], "datetime64[ns]"),
                          "end": np.array(["2020-01-31", "NaT"], "datetime64[ns]"), "soil_type": ["Organic", "Mineral"],
                          "land_cover": ["Grassland", "Grassland, improved"], "bulk_density": [0.1, 1.2],
                          "soil_organic_carbon": [0.4, 0.05], "lattice_water": [0.01, np.nan]})
    path = tmp_path / "COSMOS-UK_SiteMetadata_2013-2023.csv"
    cosmos.write_metadata(frame, path)
    back = cosmos.metadata(path)
    pd.testing.assert_frame_equal(back[list(frame)], frame, check_dtype=False)
    assert back.attrs["remarks"] == []
    text = path.read_text()
    for old, new, what in (("SHEEP", "MOORH", "second of site 'MOORH'"), ("54.66", "154.66", "lat = 154.66"),
                           ("0.05", "5", "per cent by 100"), ("SITE_ID", "SITE", "'SITE_ID' is missing")):
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match=what):
            cosmos.metadata(path)
    path.write_text(text.replace("2014-12-04", "04/12/2014").replace("LATTICE_WATER", "OTHER"))
    back = cosmos.metadata(path)
    assert back["start"][0] == pd.Timestamp("2014-12-04") and back.attrs["remarks"][0].endswith("lattice_water")
