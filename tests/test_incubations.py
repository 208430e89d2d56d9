"""Incubation studies: units made one, what is told and what is refused; the real database."""

import os
from pathlib import Path

import numpy as np
import pytest

from phenolib.errors import InputError
from phenolib.sources import incubations

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
REAL = Path(ROOT or ".") / "soil_incubations"
real = pytest.mark.skipif(not ROOT or not REAL.is_dir(), reason="PHENOLIB_ARCHIVE names no archive of incubations")

META = """
incubationInfo:
  temperature: {temperature}
  moisture: {{value: {moisture}, units: percentFieldCapacity}}
variables:
  V1: {{name: time, units: d}}
  V2: {{name: a, units: {unit}, temperature: 10, site: one, amendment: straw}}
  V3: {{name: b, units: {unit}, moisture: 40, statistic: none}}
  V4: {{name: b_sd, units: {unit}, statistic: SD}}
"""


def make(folder, rows, unit="microgC/gSoil/d", temperature=20, moisture=60):
    folder.mkdir(exist_ok=True)
    (folder / "metadata.yaml").write_text(META.format(unit=unit, temperature=temperature, moisture=moisture))
    (folder / "timeSeries.csv").write_bytes("\r".join(["time,a,b,b_sd", *rows]).encode())
    return folder


def test_rates_of_a_study(tmp_path):
    "Rates come in mg C per gram and day with the temperature and moisture of their series; deviations are left out."
    made = incubations.study(make(tmp_path / "One2000", ["1,5,2,1", "3,4,,1"]))
    assert made["flux"].tolist() == [0.005, 0.004, 0.002]
    assert made["temperature"].tolist() == [10, 10, 20] and made["moisture"].tolist() == [0.6, 0.6, 0.4]
    assert set(made["moisture_of"]) == {"field capacity"} and set(made["basis"]) == {"soil"}
    assert made["treatment"].tolist()[:2] == ["amendment=straw"] * 2 and not made["doubtful"].any()
    assert "deviations" in made.attrs["remarks"][0] and made.attrs["retrieved"] == 1


def test_cumulative_becomes_a_rate(tmp_path):
    "A cumulative series of CO2 with a constant rate gives this rate of carbon back; one that falls gives none."
    rows = [f"{day},{day * 0.5 * 44.009 / 12.011},{5 - day},0" for day in (1, 2, 4)]
    made = incubations.study(make(tmp_path / "Two2001", rows, unit="mgCO2/gSoil"))
    rising, falling = (made[made["series"] == s] for s in "ab")
    assert np.allclose(rising["flux"], 0.5) and set(rising["kind"]) == {"cumulative"}
    assert falling["flux"].isna().all() and set(falling["kind"]) == {"amount"} and falling["value"].iloc[-1] == 1
    assert made.attrs["retrieved"] == 0.5 and any("fall" in r for r in made.attrs["remarks"])


def test_doubtful_units_are_told(tmp_path):
    "A soil that breathes half of its weight in a day has another unit than its metadata say."
    made = incubations.study(make(tmp_path / "Three2002", ["1,500,1,0"], unit="mgC/gSoil/d"))
    assert made["doubtful"].all() and any("doubtful" in r for r in made.attrs["remarks"])


def test_a_line_that_goes_back_is_left_out(tmp_path):
    "One slip of the pen in many lines is left out and told."
    rows = [f"{day},1,1,0" for day in (*range(1, 15), 3.5, *range(15, 20))]
    made = incubations.study(make(tmp_path / "Four2003", rows))
    assert 3.5 not in made["time"].values and made["time"].nunique() == 19
    assert any("goes back" in r for r in made.attrs["remarks"])


@pytest.mark.parametrize("rows, extra, what", [
    (["1,1,1,1", "1,2,2,2"], {}, "second of day 1"),
    (["5,1,1,1", "1,2,2,2"], {}, "goes back"),
    (["-1,1,1,1"], {}, "0 or more"),
    (["1,x,1,1"], {}, "a = 'x'"),
    (["1,1,1"], {}, "truncated"),
    (["1,1,1,1"], {"unit": "furlong"}, "'furlong', which is not known"),
    (["1,1,1,1"], {"temperature": "warm"}, "temperature 'warm'"),
])
def test_what_is_refused(tmp_path, rows, extra, what):
    "Each fault is one line that names the study."
    with pytest.raises(InputError) as error:
        incubations.study(make(tmp_path / "Bad2004", rows, **extra))
    assert what in str(error.value) and str(error.value).startswith("Bad2004/") and "\n" not in str(error.value)


def test_folders_and_fields_that_are_missing(tmp_path):
    "No folder, no study, another name, no metadata, no column, time in years."
    with pytest.raises(InputError, match="no such folder"):
        incubations.read(tmp_path / "none")
    with pytest.raises(InputError, match="holds no study"):
        incubations.read(tmp_path)
    make(tmp_path / "Five2005", ["1,1,1,1"])
    with pytest.raises(InputError, match="did you mean 'Five2005'"):
        incubations.read(tmp_path, studies=["Five2006"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there is no such file"):
        incubations.study(tmp_path / "empty")
    text = (tmp_path / "Five2005" / "metadata.yaml").read_text()
    for old, new, what in (("name: a,", "name: other,", "'other'"), ("units: d}", "units: y}", "days"),
                           ("variables:", "others:", "'variables' is missing"), ("V1:", "V1: {", "no YAML")):
        (tmp_path / "Five2005" / "metadata.yaml").write_text(text.replace(old, new))
        with pytest.raises(InputError, match=what):
            incubations.read(tmp_path)


@real
def test_real_studies():
    "Thirty-four studies are read; three quarters of their values give a rate; warmer soils breathe faster."
    made = incubations.read(REAL)
    assert made.attrs["studies"] == made["study"].nunique() == 34 and 0.7 < made.attrs["retrieved"] < 0.85
    assert len(made) > 15_000 and made["temperature"].between(4, 40).all()
    doubtful = set(made.loc[made["doubtful"], "study"])
    assert doubtful == {"Bradford2010", "BradleyCook2016", "Song2010"}
    assert {"Crow2018", "Wang2010", "Wells2022", "Dalias2001", "Richardson2020"} == set(
        made["study"]) - set(made.loc[made["flux"].notna(), "study"])
    by = made[made["study"] == "Haddix2011"].groupby("temperature")["flux"].mean()
    assert by.index.tolist() == [15, 25, 35] and by.is_monotonic_increasing
    wet = made[made["study"] == "Sierra2017BG"]
    assert sorted(wet["moisture"].unique()) == [0.15, 0.3, 0.6, 0.9] and set(wet["moisture_of"]) == {"pore space"}
    assert any("Lavoie2011JGR" in r and "goes back" in r for r in made.attrs["remarks"])


@real
def test_real_soils():
    "The soil of a study comes as text with numbers that can be read."
    soils = incubations.soils(REAL / "data" / "Rey2008")
    assert set(soils["study"]) == {"Rey2008"} and soils["carbonMean"].astype(float).between(0.1, 60).all()
