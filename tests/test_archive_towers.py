"""Neutron stations, flux towers, chambers and incubations in an archive: found by name, joined, checked, refused."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import archive
from phenolib.archive import towers
from phenolib.errors import InputError
from phenolib.sources import cosmos, field_sensors, flux_tower, neutron_series, tables

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
real = pytest.mark.skipif(not ROOT or not Path(ROOT, "cosmic_ray").is_dir(),
                          reason="PHENOLIB_ARCHIVE names no archive with neutron counts")
KINDS = set(towers.KINDS)


def station(site, first, days, probes, seed=0):
    "Daily readings of a station."
    rng = np.random.default_rng(seed)
    time = pd.date_range(first, periods=days, name="time", unit="ns")
    return xr.Dataset({
        "theta": ("time", rng.uniform(0.1, 0.5, days).round(3)), "ta": ("time", rng.normal(9, 3, days).round(2)),
        "theta_tdt": (("time", "probe"), rng.uniform(0.1, 0.5, (days, len(probes))).round(3))},
        {"time": time, "probe": list(probes)}, {"site": site})


def sites():
    "The table of the network."
    return pd.DataFrame({"site": ["BBBB", "AAAA"], "name": ["b", "a"], "lat": [52.0, 51.0], "lon": [-1.0, -2.0],
                         "elevation": [10.0, 200.0], "bulk_density": [1.1, 0.7], "soil_organic_carbon": [0.03, 0.2],
                         "lattice_water": [0.02, 0.01]})


def tower():
    "One day of a tower."
    time = pd.date_range("2020-01-01 00:30", periods=48, freq="30min", name="time", unit="ns")
    return xr.Dataset({"nee": ("time", np.linspace(-3, 4, 48)), "ta": ("time", np.linspace(1, 9, 48)),
                       "ts": ("time", np.linspace(3, 5, 48)), "swc": ("time", np.full(48, 0.3))}, {"time": time})


@pytest.fixture
def made(tmp_path):
    "An archive with each of the kinds and a truth."
    for name in ("cosmos", "towers", "cosmic_ray", "soil_respiration", "incubations/Study1", "truth"):
        (tmp_path / name).mkdir(parents=True)
    place = tmp_path / "cosmos"
    cosmos.write(station("AAAA", "2018-01-01", 40, (1, 2)), place / "COSMOS-UK_AAAA_HydroSoil_Daily_2018-2018.csv")
    cosmos.write(station("BBBB", "2018-01-11", 20, (1, 2, 9), 1),
                 place / "COSMOS-UK_BBBB_HydroSoil_Daily_2018-2018.csv")
    time = pd.date_range("2018-01-01", periods=40).strftime("%Y-%m-%d %H:%M:%S")
    pd.DataFrame({"DATE_TIME": time, "TA_FLAG": ["E", *[""] * 39]}).to_csv(
        place / "COSMOS-UK_AAAA_HydroSoil_Daily_2018-2018_Flags.csv", index=False)
    cosmos.write_metadata(sites(), place / "COSMOS-UK_SiteMetadata_2018-2018.csv")
    (place / "site_soils.csv").write_text("site,sand,clay,cluster,mean_rain,mean_temperature\n"
                                          "AAAA,0.4,0.2,west,900,9.5\nBBBB,0.3,,,700,10\n")
    flux_tower.write(tower(), tmp_path / "towers" / "FLX_XX-S01_FLUXNET2015_FULLSET_HH_2020-2020_1-4.csv")
    hours = pd.date_range("2018-01-01", periods=30, freq="h", name="time", unit="ns")
    neutron_series.write(xr.Dataset({"neutrons": ("time", np.arange(30.0) + 900), "pa": ("time", np.full(30, 1000.0))},
                                    {"time": hours}), tmp_path / "cosmic_ray" / "N001_time_series.csv.gz")
    neutron_series.write_cores(pd.DataFrame({
        "time": [hours[5]] * 2, "profile": ["1", "1"], "distance": 5.0, "depth": [0.05, 0.15], "theta_g": [0.2, 0.3],
        "bulk_density": 1.2, "organic_carbon": 0.02, "lattice_water": 0.01}),
        tmp_path / "cosmic_ray" / "N001X_calibration.csv")
    field_sensors.write(pd.DataFrame({"chamber": 1, "time": hours, "flux": 2.0, "moisture_5cm": 0.3}),
                        tmp_path / "soil_respiration" / "d20200101_SIM.csv.gz")
    study = tmp_path / "incubations" / "Study1"
    (study / "metadata.yaml").write_text(
        "incubationInfo: {temperature: 20}\nvariables:\n  V1: {name: time, units: d}\n"
        "  V2: {name: a, units: mgC/gSoil/d, temperature: 10}\n")
    (study / "timeSeries.csv").write_text("time,a\n1,0.5\n3,0.2\n")
    (study / "initConditions.csv").write_text("site,clay\nx,20\n")
    xr.Dataset({"theta": ("site", [0.3])}, {"site": ["AAAA"]}).to_netcdf(
        tmp_path / "truth" / "towers_moisture.nc", engine="h5netcdf")
    (tmp_path / "truth" / "towers_sites.csv").write_text("site,n0\nAAAA,1500\n")
    return tmp_path


def test_every_kind_is_found_by_its_name_and_nothing_else_is(made):
    "Flags, descriptions, soils and truth belong to other files and are no kind of their own."
    found = archive.open_archive(made).kinds()
    assert set(found) == KINDS
    assert {kind: len(paths) for kind, paths in found.items()} == {
        "cosmos": 2, "cosmos_sites": 1, "flux_towers": 1, "neutron_series": 1, "neutron_cores": 1, "chambers": 1,
        "incubations": 1}


def test_tables_of_other_makers_with_such_names_are_left_alone(made):
    "A series or a calibration that has nothing of a neutron probe in its first line is not taken for one."
    (made / "rain_time_series.csv").write_text("day,rain\n1,2\n")
    (made / "balance_calibration.csv").write_text("weight,volt\n1,2\n")
    (made / "d20200101_other.csv").write_text("a,b\n1,2\n")
    (made / "other").mkdir()
    (made / "other" / "timeSeries.csv").write_text("a,b\n1,2\n")
    found = archive.open_archive(made).kinds()
    assert all(len(found[k]) == 1 for k in ("neutron_series", "neutron_cores", "chambers", "incubations"))


def test_towers_of_all_layouts_are_found_together(made):
    "A folder with FLUXNET2015, AmeriFlux and the text of Tharandt has three towers."
    (made / "AMF_US-CRT_BASE_HH_2-5.csv").write_text("# Site: US-CRT\n")
    (made / "Example_DETha98.txt").write_text("Year\tDoY\tHour\tNEE\n")
    assert archive.open_archive(made).flux_towers() == ["Example_DETha98", "US-CRT", "XX-S01"]


def test_patterns_taken_together_stay_inside_the_archive(made):
    "A bar stands between patterns also in archive.yml; none of them may lead out of the folder."
    (made / "archive.yml").write_text("flux_towers: 'towers/FLX_*.csv|more/*.txt'\n")
    (made / "more").mkdir()
    (made / "more" / "a_tower.txt").write_text("Year\tDoY\tHour\tNEE\n")
    assert archive.open_archive(made).flux_towers() == ["XX-S01", "a_tower"]
    (made / "archive.yml").write_text("flux_towers: 'towers/FLX_*.csv|../../*.csv'\n")
    with pytest.raises(InputError, match="outside|leads out|inside"):
        archive.open_archive(made)


def test_daily_readings_of_sites_are_joined_by_day_and_probe(made):
    "Each value is where its site, day and probe are; what a site has not is missing."
    data = archive.open_archive(made).cosmos_daily()
    one, two = (station("AAAA", "2018-01-01", 40, (1, 2)), station("BBBB", "2018-01-11", 20, (1, 2, 9), 1))
    assert data["theta"].dims == ("site", "time") and data["theta"].dtype == np.float32
    np.testing.assert_allclose(data["theta"].sel(site="AAAA"), one["theta"], rtol=1e-5)
    there = data.sel(site="BBBB", time=two["time"])
    np.testing.assert_allclose(there["theta_tdt"].sel(probe=[1, 2, 9]), two["theta_tdt"], rtol=1e-5)
    assert data["theta"].sel(site="BBBB").notnull().sum() == 20
    assert data["theta_tdt"].sel(site="AAAA", probe=9).isnull().all()
    assert data["probe_depth"].values.tolist() == [0.1, 0.1, 0.5]
    assert np.isnan(data["ta"].sel(site="AAAA")[0]) and data["theta"].attrs["retrieved"] == pytest.approx(60 / 80)
    assert any("flag" in r for r in data.attrs["remarks"])


def test_one_station_alone(made):
    "A name gives that station, an unknown one a near name."
    opened = archive.open_archive(made)
    assert opened.cosmos_daily("BBBB").sizes["time"] == 20
    with pytest.raises(InputError, match="no daily readings of the neutron station 'BBBA'; did you mean 'BBBB'"):
        opened.cosmos_daily(["BBBA"])


def test_sites_have_the_soils_beside(made):
    "Soil and climate are joined by name; a site without a cluster is one of its own."
    table = archive.open_archive(made).cosmos_sites().set_index("site")
    assert list(table.index) == ["AAAA", "BBBB"] and table["cluster"].tolist() == ["west", "BBBB"]
    assert table["sand"].tolist() == [0.4, 0.3] and np.isnan(table["clay"]["BBBB"])
    assert table["mean_rain"].tolist() == [900, 700]
    (made / "cosmos" / "site_soils.csv").unlink()
    table = archive.open_archive(made).cosmos_sites()
    assert table["cluster"].tolist() == ["AAAA", "BBBB"] and "sand" not in table


def test_the_others_are_read_by_the_name_of_their_site(made):
    "Tower, probe, cores of another name, chambers, incubations and truth."
    opened = archive.open_archive(made)
    assert opened.flux_towers() == ["XX-S01"] and opened.flux_tower("XX-S01", utc_offset=1).attrs["utc_offset"] == 1
    assert opened.neutron_sites() == ["N001"] and opened.neutron_series("N001").attrs["site"] == "N001"
    assert len(opened.neutron_cores("N001")) == 2  # one probe and one table, whatever their names
    assert opened.chamber_sites() == ["d20200101_SIM"]
    assert opened.chambers("d20200101_SIM")["moisture_5cm"].iloc[0] == 0.3
    assert opened.incubations()["flux"].tolist() == [0.5, 0.2] and opened.incubations().attrs["studies"] == 1
    assert opened.tower_moisture_truth()["theta"].values == pytest.approx([0.3])
    assert opened.tower_site_truth()["n0"].tolist() == [1500] and opened.breath_truth() is None
    for call, what in ((opened.flux_tower, "flux tower 'x'"), (opened.neutron_series, "counts of 'x'"),
                       (opened.neutron_cores, "probe 'x'"), (opened.chambers, "chambers of 'x'"),
                       (opened.incubations, "study 'x'")):
        with pytest.raises(InputError, match=what):
            call("x")


def test_options_stand_in_the_description_of_the_archive(made):
    "The unit of soil moisture at chambers can be told once, beside the pattern; an unknown option is refused."
    (made / "archive.yml").write_text("chambers: {path: soil_respiration/*.csv.gz, moisture_unit: percent}\n")
    assert archive.open_archive(made).chambers("d20200101_SIM")["moisture_5cm"].iloc[0] == pytest.approx(0.003)
    (made / "archive.yml").write_text("chambers: {path: soil_respiration/*.csv.gz, options: {moisture_units: percent}}")
    with pytest.raises(InputError, match="the option 'moisture_units'; did you mean 'moisture_unit'"):
        archive.open_archive(made)


def test_without_files_of_a_kind_it_is_told_how_they_are_named(made):
    "One line with an example."
    (made / "towers" / "FLX_XX-S01_FLUXNET2015_FULLSET_HH_2020-2020_1-4.csv").unlink()
    with pytest.raises(InputError, match="has no flux towers; a file of it is named like FLX_<site>"):
        archive.open_archive(made).flux_towers()


def test_two_files_of_one_site_are_refused(made):
    "Which of them counts is not guessed."
    neutron = made / "cosmic_ray" / "N001_time_series.csv.gz"
    (made / "N001_time_series.csv").write_bytes(gzip.decompress(neutron.read_bytes()))
    with pytest.raises(InputError, match="two files of hourly neutron counts of 'N001'"):
        archive.open_archive(made).neutron_series("N001")


def test_the_hash_follows_every_file_that_is_read(made):
    "Flags, soils, descriptions, the metadata of a study and the truth count as the files themselves do."
    for kind, name in (("cosmos", "cosmos/COSMOS-UK_AAAA_HydroSoil_Daily_2018-2018_Flags.csv"),
                       ("cosmos_sites", "cosmos/site_soils.csv"), ("cosmos", "truth/towers_moisture.nc"),
                       ("chambers", "soil_respiration/d20200101_SIM_DESCRIPTION.txt"),
                       ("incubations", "incubations/Study1/metadata.yaml")):
        before = archive.open_archive(made).hash([kind])
        with open(made / name, "ab") as file:
            file.write(b" \n")
        assert archive.open_archive(made).hash([kind]) != before, name


def test_check_reads_all_and_finds_nothing(made):
    "Every kind has a row with its sites and dates."
    found = archive.check(made)
    assert not found.problems and set(found.kinds["kind"]) == KINDS
    rows = found.kinds.set_index("kind")
    assert rows.loc["cosmos", "sites"] == 2 and rows.loc["cosmos", "last"] == pd.Timestamp("2018-02-09")


@pytest.mark.parametrize(("name", "text", "problem"), [
    ("cosmos/COSMOS-UK_AAAA_HydroSoil_Daily_2018-2018.csv",
     "DATE_TIME,SITE_ID,COSMOS_VWC\n2018-01-01,AAAA,0.2\n2018-01-02,AAAA,0.3\n", "looks like a fraction"),
    ("cosmos/COSMOS-UK_BBBB_HydroSoil_Daily_2018-2018.csv",
     "DATE_TIME,SITE_ID,TA\n2018-01-01 00:30,BBBB,2\n2018-01-01 01:00,BBBB,3\n", "rows are 30 minutes"),
    ("cosmos/COSMOS-UK_SiteMetadata_2018-2018.csv", "SITE,NAME\nAAAA,a\n", "'SITE_ID' is missing"),
    ("cosmos/site_soils.csv", "site,sand\nAAAA,40\n", "line 2 has sand = 40; 0 to 1 is expected"),
    ("cosmos/site_soils.csv", "site,sand\nAAAB,0.4\n", "site 'AAAB', which the table of sites has not; did you mean"),
    ("towers/FLX_XX-S01_FLUXNET2015_FULLSET_HH_2020-2020_1-4.csv", "TIME,NEE\n1,2\n", "none of the known layouts"),
    ("cosmic_ray/N001X_calibration.csv", "DateTime_utc,Profile_ID\n17.01.2014 12:00,1\n", "is missing"),
    ("soil_respiration/d20200101_SIM.csv.gz", None, "cannot be unpacked"),
    ("cosmic_ray/N001_time_series.csv.gz", None, "cannot be unpacked"),
    ("incubations/Study1/metadata.yaml", "variables: {}\n", "the field 'incubationInfo' is missing"),
])
def test_a_wrong_file_is_one_line_that_names_it(made, name, text, problem):
    "The rest of the archive is checked all the same."
    (made / name).write_bytes(b"\x1f\x8bnot" if text is None else text.encode())
    found = archive.check(made)
    assert [p for p in found.problems if problem in p.problem and Path(name).name in p.problem], found.problems
    assert all("\n" not in p.problem for p in found.problems) and set(found.kinds["kind"]) == KINDS


def test_whole_text_and_lines_open_files_alike(tmp_path):
    "A table and the lines of a logger refuse the same files with the same words."
    (tmp_path / "a.csv.gz").write_bytes(b"nothing")
    (tmp_path / "b.csv").write_bytes(b"\x89PNG\x00")
    for name in ("a.csv.gz", "b.csv", "c.csv", "."):
        said = []
        for read in (tables.read, field_sensors.read_lines):
            with pytest.raises(InputError) as problem:
                read(tmp_path / name)
            said.append(str(problem.value).partition(";")[0])
        assert said[0] == said[1]


@real
def test_real_files_are_found_and_read():
    "The real probe with its cores, six data sets of chambers, two towers and the incubations."
    opened = archive.open_archive(ROOT)
    (site,) = opened.neutron_sites()
    assert opened.neutron_series(site)["neutrons"].notnull().sum() > 40_000
    assert opened.neutron_cores(site)["time"].dt.floor("D").nunique() == 2
    assert len(opened.chamber_sites()) == 6 and opened.flux_towers() == ["Example_DETha98", "US-CRT"]
    assert opened.tower_moisture_truth() is None and opened.tower_site_truth() is None


@real
@pytest.mark.parametrize("folder", ["cosmic_ray", "flux", "soil_respiration", "soil_incubations"])
def test_a_real_folder_alone_is_checked_without_a_finding(folder):
    "As a stranger would check what was downloaded."
    found = archive.check(Path(ROOT) / folder)
    assert not found.problems, found.problems


def test_a_simulated_network_is_an_archive_of_these_kinds(tmp_path):
    "What the simulation writes is found, read and checked like any other folder, and has its truth."
    from phenolib import simulate

    simulate.make("towers", tmp_path, sites=5, first=2020, last=2021, flux_years=0, neutron_sites=1)
    opened = archive.open_archive(tmp_path)
    assert set(opened.kinds()) == {"cosmos", "cosmos_sites", "neutron_series", "neutron_cores"}
    table, data, truth = opened.cosmos_sites(), opened.cosmos_daily(), opened.tower_moisture_truth()
    assert table["site"].tolist() == data["site"].values.tolist() == truth["site"].values.tolist()
    assert table["cluster"].nunique() == 5 and table[["sand", "clay", "mean_rain"]].notna().all(axis=None)
    there = data["theta"].notnull() & (truth["theta_neutron"] > 0)
    assert there.mean() > 0.5 and abs((data["theta"] - truth["theta_neutron"]).where(there).mean()) < 0.05
    (site,) = opened.neutron_sites()
    assert opened.incoming_truth()["time"].equals(opened.neutron_series(site)["time"])
    assert opened.tower_site_truth()["site"].tolist() == table["site"].tolist()
    assert not archive.check(tmp_path).problems
