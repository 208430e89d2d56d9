"""Flux sites of an archive: recognised, described, joined, hashed and checked."""

import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import archive
from phenolib.errors import InputError
from phenolib.sources import site_series, timesat


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    "Caches of each test lie in its own folder."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path / "home"))


def write(folder, site, names, first="2018-01-02", step=5, n=30, years=(2018, 2018), **values):
    "A small file of a site, every value the same."
    time = pd.date_range(first, periods=n, freq=f"{step}D")
    data = xr.Dataset({name: ("time", np.full(n, values.get(name, 0.5))) for name in names}, {"time": time})
    path = folder / site_series.file_name(site, names, years)
    site_series.write(data.assign_attrs(site=site), path)
    return path


def seasons(folder, site, year=2018, low=(0.5, 1.5), high=17.0, share=0.4):
    "What TIMESAT would write of one season with unequal minima."
    values = dict.fromkeys(timesat.PARAMETERS, 1.0) | {
        "SOSD": 18100.25, "EOSD": 18200.0, "MAXD": 18150.0, "MAXV": high, "MINV": sum(low) / 2,
        "SOSV": low[0] + share * (high - low[0]), "EOSV": low[1] + share * (high - low[1])}
    path = folder / "TIMESAT_GPP_out" / f"{site}_GPP_DT_VUT_REF_dd_all_years_vpp.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("id,settings 1\n" + "".join(f"{year}_s1_{k},{v}\n" for k, v in values.items()))
    return path


@pytest.fixture
def folder(tmp_path):
    "Two flux sites: one with everything but a fit, one with an index alone."
    root = tmp_path / "mine"
    write(root, "AA-One", ("NDVI", "EVI2"))
    write(root, "AA-One", ("PPI",), first="2018-01-03", n=20)
    write(root, "AA-One", ("GPP",), first="2018-03-01", step=3, n=10)
    write(root, "BB-Two", ("LAI",))
    seasons(root, "AA-One")
    return root


def test_flux_sites_are_recognised(folder):
    "The kinds follow from the names of the files; a table says which site has which, places unknown."
    found = archive.open_archive(folder)
    assert {k: len(v) for k, v in found.kinds().items()} == {"site_indices": 3, "site_gpp": 1, "timesat": 1}
    table = found.flux_sites.set_index("site")
    assert table[["site_indices", "site_gpp", "timesat"]].to_numpy().tolist() == [[True] * 3, [True, False, False]]
    assert table["lon"].isna().all() and table["cluster"].tolist() == ["AA-One", "BB-Two"]
    assert len(found.sites) == 0 and len(found.cameras()) == 0


def test_places_come_from_flux_sites_csv(folder):
    "The table of the archive gives places and crops; a site it lacks is added without a place."
    (folder / "flux_sites.csv").write_text("site,lon,lat,crop,owner\nBB-Two,4.7,50.5,corn,me\n")
    table = archive.open_archive(folder).flux_sites.set_index("site")
    assert table.loc["BB-Two", ["lon", "crop", "owner", "cluster"]].tolist() == [4.7, "corn", "me", "BB-Two"]
    assert np.isnan(table.loc["AA-One", "lon"]) and table.loc["AA-One", "site_gpp"]
    (folder / "flux_sites.csv").write_text("site,lon,lat\nBB-Two,east,50.5\n")
    with pytest.raises(InputError, match="flux_sites.csv: line 2 has lon = 'east'"):
        _ = archive.open_archive(folder).flux_sites


def test_indices_are_joined_on_their_dates(folder):
    "All indices of a site stand on all its dates, missing where one was not observed; units stay."
    data = archive.open_archive(folder).site_series("AA-One")
    assert list(data) == ["NDVI", "EVI2", "PPI"] and data.sizes["time"] == 50
    assert [int(data[name].notnull().sum()) for name in data] == [30, 30, 20]
    assert data.PPI.units == "m2 m-2" and data.site == "AA-One" and data.indexes["time"].is_monotonic_increasing


def test_an_index_in_two_files(folder):
    "Two periods of an index are one series; the same date in both is refused."
    write(folder, "AA-One", ("PPI",), first="2019-01-03", n=20, years=(2019, 2019))
    assert int(archive.open_archive(folder).site_series("AA-One").PPI.notnull().sum()) == 40
    write(folder, "AA-One", ("PPI",), first="2018-01-03", n=20, years=(2019, 2019))
    with pytest.raises(InputError, match="both hold PPI on 2018-01-03; keep one of them"):
        archive.open_archive(folder).site_series("AA-One")


def test_gpp_is_daily(folder):
    "Days without a row are missing days; nothing is filled."
    gpp = archive.open_archive(folder).gpp("AA-One")
    assert gpp.dims == ("time",) and gpp.sizes["time"] == 28 and int(gpp.notnull().sum()) == 10
    assert gpp.units == "gC m-2 d-1" and gpp.site == "AA-One"


def test_what_a_site_lacks_is_said(folder):
    "An unknown site suggests a near one; a site without GPP says so; TIMESAT may be absent or half there."
    found = archive.open_archive(folder)
    with pytest.raises(InputError, match="flux site 'AA-On' is not in the archive 'mine'; did you mean 'AA-One'"):
        found.gpp("AA-On")
    with pytest.raises(InputError, match="site 'BB-Two' has no site_gpp in the archive 'mine'"):
        found.gpp("BB-Two")
    assert found.timesat("BB-Two") is None
    table, fit = found.timesat("AA-One")
    assert len(table) == 1 and fit is None


def test_timesat_is_the_published_reference(folder):
    "Start and end are events at the share that the file implies, each with the minimum of its own side."
    reference = archive.open_archive(folder).reference("site_gpp")
    events = reference.events
    assert reference.source == "published" and events["direction"].tolist() == ["rising", "falling"]
    assert events["share"].tolist() == [40, 40] and events["metric"].unique().tolist() == ["GPP"]
    assert events["date"].tolist() == [pd.Timestamp("2018-04-10 06:00"), pd.Timestamp("2018-07-19")]
    np.testing.assert_allclose(events["low"], [0.5, 1.5])
    assert events["path"].map(lambda p: p.name).unique().tolist() == ["AA-One_GPP_DT_VUT_REF_dd_all_years.csv"]
    assert set(archive.EVENTS) <= set(events.columns)
    assert archive.open_archive(folder).reference() is None


def test_planted_truth_of_gpp_is_the_better_reference(folder):
    "Where the truth is known it comes first, with the file it belongs to."
    (folder / "truth").mkdir()
    (folder / "truth" / "site_gpp.csv").write_text(
        "series,site,crop,season,direction,share,date\nAA-One_GPP,AA-One,corn,2018,rising,20,2018-04-01\n")
    reference = archive.open_archive(folder).reference("site_gpp")
    assert reference.source == "truth" and set(archive.EVENTS) <= set(reference.events.columns)
    assert reference.events["path"][0].name == "AA-One_GPP_DT_VUT_REF_dd_all_years.csv"


def test_archive_yml_describes_flux_sites(folder):
    "Patterns of one's own, a licence by kind, and only what is described."
    shutil.move(folder / "GPP_daily", folder / "towers")
    (folder / "archive.yml").write_text("kinds:\n  site_gpp: {path: towers/*.csv, reader: site_series, licence: CC0}\n")
    found = archive.open_archive(folder)
    assert list(found.kinds()) == ["site_gpp"] and found.gpp("AA-One").licence == "CC0"
    (folder / "archive.yml").write_text("site_gpp: {path: towers/*.csv, reader: timesat}\n")
    with pytest.raises(InputError, match="'site_gpp' has the reader 'timesat'; there are 'site_series'"):
        archive.open_archive(folder)


def test_the_hash_of_a_kind_follows_its_files_alone(folder):
    "Another index or camera table changes no hash of GPP; a changed value, the truth and the table of places do."
    def of(kind):
        return archive.open_archive(folder).hash([kind])

    first = of("site_gpp")
    write(folder, "BB-Two", ("LAI",), LAI=1.5)
    (folder / "sites.csv").write_text("site,lon,lat\n")
    assert of("site_gpp") == first
    (folder / "flux_sites.csv").write_text("site,lon,lat\nAA-One,4,50\n")
    second = of("site_gpp")
    write(folder, "AA-One", ("GPP",), first="2018-03-01", step=3, n=10, GPP=0.25)
    assert len({first, second, of("site_gpp")}) == 3


def test_check_tells_about_flux_sites(folder):
    "Each kind is counted with its dates; a wrong file is one finding, an odd value one remark."
    path = write(folder, "CC-Odd", ("PPI",), n=100)
    path.write_text(path.read_text().replace(",0.5\n", ",-22685.5\n", 1))
    (folder / "S2_PPI" / "PPI_2018_01_01_2018_12_31_DD-Cut_LC11_mean.csv").write_text("t,PPI_mean\n2018-01-02\n")
    (folder / "GPP_daily" / "EE-Not_GPP_DT_VUT_REF_dd_all_years.csv").write_text("t,NDVI\n2018-01-02,0.5\n")
    (folder / "TIMESAT_GPP_out" / "FF-Bad_GPP_vpp.csv").write_text("id,settings 1\n2018_s1_SOSD,1.5\n")
    findings = archive.check(folder)
    rows = findings.kinds.set_index("kind")
    assert rows.loc["site_indices", ["files", "sites", "wrong"]].tolist() == [5, 3, 1]
    assert rows.loc["site_gpp", ["files", "wrong"]].tolist() == [2, 1]
    assert rows.loc["timesat", "first"] == pd.Timestamp("2018-04-10 06:00")
    assert [f.file.split("/")[1][:14] for f in findings] == ["PPI_2018_01_01", "EE-Not_GPP_DT_", "FF-Bad_GPP_vpp"]
    assert "holds NDVI; GPP is expected in a file of this name" in str(findings)
    assert findings.remarks == [f"{path.name}: 1 value of PPI that cannot be is taken as missing"]
    assert findings.remarks[0] in str(findings) and str(folder) not in str(findings)


def test_check_of_a_file_without_a_site(folder):
    "A file whose name tells no site is one finding, not two."
    shutil.copy(write(folder, "AA-One", ("PPI",)), folder / "S2_PPI" / "a b_LC1_mean.csv")
    assert ["tells no site" in f.problem for f in archive.check(folder)] == [True]
