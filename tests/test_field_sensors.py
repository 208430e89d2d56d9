"""Chambers and tables of loggers: written, read back, what is told and what is refused; the real chambers."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phenolib.errors import InputError
from phenolib.sources import field_sensors

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
REAL = Path(ROOT or ".") / "soil_respiration"
real = pytest.mark.skipif(not ROOT or not REAL.is_dir(), reason="PHENOLIB_ARCHIVE names no archive of chambers")
HEAD = '"CSR_PORT","CSR_TIMESTAMP_BEGIN","CSR_FLUX_CO2","CSR_SM5","CSR_T10"'


def file(tmp_path, rows, head=HEAD, zone=None):
    path = tmp_path / "d2020_SITE.csv.gz"
    path.write_bytes(gzip.compress("\n".join([head, *rows]).encode()))
    if zone:
        (tmp_path / "d2020_SITE_DESCRIPTION.txt").write_text(
            f"CSR_SITE_NAME: A hill\nCSR_LATITUDE: 40.5\nCSR_LONGITUDE: -77\nCSR_TIMESTAMP_TZ: {zone}\nCSR_NOTES:\n")
    return path


def test_chambers_are_written_and_read_back(tmp_path):
    "Flux, moisture and temperature of two chambers come back, with the place and in UTC."
    rng, time = np.random.default_rng(3), pd.date_range("2019-06-01", periods=50, freq="h", unit="ns")
    frame = pd.DataFrame({"flux": rng.gamma(2, 1, 100), "r2": rng.uniform(0.9, 1, 100),
                          "moisture_5cm": rng.uniform(0.1, 0.4, 100), "temperature_10cm": rng.normal(12, 3, 100)})
    frame = frame.round(6).assign(chamber=np.repeat([1, 4], 50), time=time.append(time))
    frame.loc[3, "moisture_5cm"] = np.nan
    frame.attrs = {"site": "A hill", "lat": 40.5, "lon": -77.0}
    field_sensors.write(frame, tmp_path / "made.csv.gz")
    back = field_sensors.read(tmp_path / "made.csv.gz")
    pd.testing.assert_frame_equal(back[list(frame)], frame, check_like=True)
    assert back.attrs["site"] == "A hill" and back.attrs["lat"] == 40.5 and back.attrs["clock"].startswith("UTC")
    assert back.attrs["units"]["moisture_5cm"] == "m3 m-3" and back.attrs["retrieved"] == 1
    one = field_sensors.to_dataset(back, chamber=4)
    assert one.sizes["time"] == 50 and one["flux"].attrs["units"] == "umol m-2 s-1"
    both = field_sensors.to_dataset(back)
    assert np.allclose(both["flux"], frame["flux"].to_numpy().reshape(2, 50).mean(0))
    with pytest.raises(InputError, match="chamber 2"):
        field_sensors.to_dataset(back, chamber=2)


def test_local_time_becomes_utc(tmp_path):
    "Noon at five hours behind is 17:00 UTC; without a description the clock stays and is told."
    rows = ['1,"2019-06-01 12:00",2,0.2,10']
    assert field_sensors.read(file(tmp_path, rows, zone="Etc/GMT+5"))["time"][0] == pd.Timestamp("2019-06-01 17:00")
    (tmp_path / "d2020_SITE_DESCRIPTION.txt").unlink()
    assert "not told" in field_sensors.read(file(tmp_path, rows)).attrs["clock"]


def test_an_hour_that_is_there_twice_is_left_out(tmp_path):
    "Where summer time ends an hour cannot be told and is left out, not guessed."
    rows = [f'1,"2019-11-03 0{h}:30",2,0.2,10' for h in range(4)]
    made = field_sensors.read(file(tmp_path, rows, zone="America/New_York"))
    assert len(made) == 3 and any("clock is changed" in r for r in made.attrs["remarks"])


def test_percent_and_negative_moisture(tmp_path):
    "Per cent become a fraction, negative moisture is missing, both are told; what can be neither is refused."
    rows = [f'1,"2019-06-01 0{k}:00",2,{w},10' for k, w in enumerate((21, 35, -3, 18))]
    made = field_sensors.read(file(tmp_path, rows))
    assert made["moisture_5cm"].tolist()[:2] == [0.21, 0.35] and np.isnan(made["moisture_5cm"][2])
    told = made.attrs["remarks"]
    assert len(told) == 2 and "per cent" in told[0] and "negative in 1 of 4" in told[1]
    mixed = [f'1,"2019-06-01 0{k}:00",2,{w},10' for k, w in enumerate((0.21, 0.35, 0.2, 18))]
    with pytest.raises(InputError, match="CSR_SM5 has 25.0% of its values above 1.*moisture_unit"):
        field_sensors.read(file(tmp_path, mixed))
    chosen = field_sensors.read(file(tmp_path, mixed), moisture_unit="fraction")
    assert chosen["moisture_5cm"].notna().sum() == 3 and "above 1 in 1 of 4" in chosen.attrs["remarks"][0]


def test_repeated_and_faulty_rows(tmp_path):
    "Copies are given once, a time with two values not at all, rows with an error or a poor fit are left out; all told."
    head = "CSR_PORT,CSR_TIMESTAMP_BEGIN,CSR_FLUX_CO2,CSR_R2_CO2,CSR_ERROR"
    rows = ["1,2019-06-01 00:00,2,0.99,FALSE", "1,2019-06-01 00:00,2,0.99,FALSE", "1,2019-06-01 01:00,3,0.99,FALSE",
            "1,2019-06-01 01:00,4,0.99,FALSE", "1,2019-06-01 02:00,5,0.5,FALSE", "1,2019-06-01 03:00,6,0.99,TRUE",
            "1,2019-06-01 04:00,-9999,0.99,FALSE", "2,2019-06-01 00:00,7,0.99,FALSE"]
    made = field_sensors.read(file(tmp_path, rows, head), least_r2=0.9)
    assert made["flux"].tolist() == [2, 7] and made.attrs["retrieved"] == 0.25
    assert len(made.attrs["remarks"]) == 5


@pytest.mark.parametrize("rows, head, what", [
    (['1,"noon",2,0.2,10'], HEAD, "line 2 has CSR_TIMESTAMP_BEGIN = noon"),
    (['1.5,"2019-06-01 00:00",2,0.2,10'], HEAD, "CSR_PORT = 1.5"),
    (['1,"2019-06-01 00:00",many,0.2,10'], HEAD, "CSR_FLUX_CO2 = 'many'"),
    (['1,"2019-06-01 00:00",2,0.2'], HEAD, "truncated"),
    (['1,"2019-06-01 00:00",2,0.2,283'], HEAD, "kelvin"),
    (['1,"2019-06-01 00:00",2,0.2,10', '1,"2019-06-01 01:00",2,0.2,95'], HEAD, "line 3 has CSR_T10 = 95"),
    (['1,"2019-06-01 01:00",2,0.2,10', '1,"2019-06-01 00:00",2,0.2,10'], HEAD, "line 3 goes back"),
    (['1,"2019-06-01 00:00",400,0.2,10'], HEAD, "µmol m⁻² s⁻¹ are expected"),
    (['1,"2019-06-01 00:00",2,0.2,10'], HEAD.replace("FLUX_CO2", "FLUX_CH4"), "'CSR_FLUX_CO2' is missing"),
    (['1,"2019-06-01 00:00",2,0.2,10'], HEAD.replace("SM5", "T10"), "is there twice"),
    ([], HEAD, "holds no rows"),
])
def test_what_is_refused(tmp_path, rows, head, what):
    "Each fault is one line that names the file."
    with pytest.raises(InputError) as error:
        field_sensors.read(file(tmp_path, rows, head))
    assert what in str(error.value) and str(error.value).startswith("d2020_SITE.csv.gz")


def test_files_that_are_none(tmp_path):
    "No file, a folder, no text, no time zone."
    file(tmp_path, ['1,"2019-06-01 00:00",2,0.2,10'], zone="Nowhere/Here")
    with pytest.raises(InputError, match="no such file; did you mean 'd2020_SITE.csv.gz'"):
        field_sensors.read(tmp_path / "d2021_SITE.csv.gz")
    with pytest.raises(InputError, match="is a folder"):
        field_sensors.read(tmp_path)
    with pytest.raises(InputError, match="no time zone"):
        field_sensors.read(tmp_path / "d2020_SITE.csv.gz")
    (tmp_path / "x.csv").write_bytes(b"\xff\x00a")
    with pytest.raises(InputError, match="not a text file"):
        field_sensors.read(tmp_path / "x.csv")
    with pytest.raises(InputError, match="moisture_unit 'grams'"):
        field_sensors.read(tmp_path / "x.csv", moisture_unit="grams")


def times(*minutes):
    index = range(2, len(minutes) + 2)
    return pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(minutes, unit="min"), index=index)


def test_steps_of_a_logger():
    "Gaps are no other resolution; half of a file at another one is."
    assert field_sensors.steps("x", times(0, 30, 60, 150, 180)) == pd.Timedelta(minutes=30)
    for series, what in ((times(0, 30, 30), "line 4 is the second"), (times(0, 30, 20), "line 4 goes back"),
                         (times(0, 30, 60, 70), "line 5 is 10 minutes"), (times(0), "one time only"),
                         (times(*range(0, 6000, 30), *range(6000, 9000, 60)), "60 minutes after")):
        with pytest.raises(InputError, match=what):
            field_sensors.steps("x", series)


@real
def test_real_chambers():
    "Six sites: fluxes of soils, moisture as a fraction, one negative reading and the repeated rows told."
    made = {p.name[10:-7]: field_sensors.read(p) for p in sorted(REAL.glob("d*.csv.gz"))}
    assert {k: len(v) for k, v in made.items()} == {
        "ZHANG_maple": 56687, "SCOTT_WKG": 90883, "CHANG": 12681, "KAYE_UNE": 15755, "SZUTU_BOULDINA": 25978,
        "SZUTU_BOULDINC": 51138}
    for frame in made.values():
        assert frame.attrs["retrieved"] > 0.92 and 0.3 < frame["flux"].median() < 3
        assert frame.attrs["clock"].startswith("UTC") and not frame.duplicated(["chamber", "time"]).any()
        for name in frame.filter(like="moisture"):
            assert frame[name].min() >= 0 and 0.02 < frame[name].quantile(0.01) < frame[name].quantile(0.99) < 0.6
    assert any("negative in 1 of 15755" in r for r in made["KAYE_UNE"].attrs["remarks"])
    assert any("7169 of 98080 rows repeat" in r for r in made["SCOTT_WKG"].attrs["remarks"])
    warm = made["ZHANG_maple"]
    assert warm["temperature_5cm"].corr(np.log(warm["flux"])) > 0.6
    hours = warm.groupby(warm["time"].dt.hour)["temperature_5cm"].mean()
    assert 20 <= hours.idxmax() <= 23  # afternoon in Indiana
