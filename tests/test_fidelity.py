"""Statistics of archives: each plants what it is to find, and the published table is what the real archive gives."""

import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import fidelity, files
from phenolib.archive import Archive
from phenolib.errors import InputError
from phenolib.fidelity import __main__ as command
from phenolib.sources import phenocam, sentinel

REAL = os.environ.get("PHENOLIB_ARCHIVE")
PUBLISHED = files.checkout() / "data" / "real_statistics.csv"
DAYS = pd.date_range("2020-01-01", "2020-12-31", freq="5D")


def only(table, what, crop="", month=0):
    "The one row of that name."
    rows = table[(table["what"] == what) & (table["crop"] == crop) & (table["month"] == month)]
    assert len(rows) == 1, f"{what}, {crop}, {month}: {len(rows)} rows"
    return rows.iloc[0]


def curve(days=DAYS, low=0.15, high=0.85, start=120, end=200):
    "NDVI of one crop: up around one day of the year, down around another."
    day = days.day_of_year.to_numpy()
    return low + (high - low) / (1 + np.exp(-(day - start) / 6)) / (1 + np.exp((day - end) / 4))


def square(place, rng, *, size=24, scl=None, looks=4.4):
    "A place with wheat in the west and maize in the east: both sensors and a crop map."
    x, y = 500005.0 + 10 * np.arange(size), 5500235.0 - 10 * np.arange(size)
    labels = np.where(np.arange(size) < size // 2, 1110, 1200) * np.ones((size, 1), int)
    ndvi = np.where(labels == 1110, curve()[:, None, None], curve(start=170, end=270)[:, None, None])
    ndvi = np.clip(ndvi + 0.02 * rng.standard_normal(ndvi.shape), -0.9, 0.95)
    scl = np.full((DAYS.size, size, size), 4, np.uint8) if scl is None else scl
    coords = {"time": DAYS, "y": y, "x": x}
    dims = "time", "y", "x"
    optical = xr.Dataset({"B04": (dims, 0.2 * (1 - ndvi)), "B08": (dims, 0.2 * (1 + ndvi)), "scl": (dims, scl)}, coords,
                         {"place": place, "product": "S2_L2A", "resolution": 10})
    month = DAYS.month.to_numpy()
    level = np.where(labels == 1110, np.where(month == 5, -22.0, -16.0)[:, None, None], -18.0)  # VH [dB]
    power = 10 ** (level / 10) * rng.gamma(looks, 1 / looks, (2, *level.shape))
    radar = xr.Dataset({"vv": (dims, 10**0.6 * power[0]), "vh": (dims, power[1])}, coords,
                       {"place": place, "product": "S1_GRD-ASCENDING", "resolution": 10})
    crops = xr.Dataset({"crop": (dims[1:], labels)}, {"y": y, "x": x},
                       {"place": place, "product": "OUTPUT_MADE", "resolution": 10})
    return [sentinel.with_crs(d, 32631) for d in (optical, radar, crops)]


def camera(path, rng, *, site, years=3, amplitude=0.1, noise=0.004):
    "A camera series that rises around day 150 and falls around day 250 of each year."
    time = pd.date_range("2018-01-01", periods=365 * years // 3, freq="3D")
    value = 0.34 + amplitude * curve(time, 0, 1, 150, 250) + noise * rng.standard_normal(time.size)
    data = xr.Dataset({"gcc_90": ("time", value)}, {"time": time}, {
        "site": site, "veg_type": "AG", "roi": "1000", "lat": 41.0, "lon": -96.0, "elev": 300.0, "step": 3})
    phenocam.write(data, path / f"{site}_AG_1000_3day.csv")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "An archive of two places and six cameras."
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(1)
    for place in ("one", "two"):
        for patch in square(place, rng):
            sentinel.write_patch(folder / "patches", patch, first="2020-01-01", last="2020-12-31")
    (folder / "phenocam").mkdir()
    for k in range(6):
        camera(folder / "phenocam", rng, site=f"site{k}")
    return Archive(folder)


@pytest.fixture(scope="module")
def table(made):
    return fidelity.statistics(made, draws=50)


def test_months_and_changes_by_crop_are_found(table):
    "NDVI, VV and VH of each crop and month, and the change of VH, are those planted; each place is one field of each."
    assert table.columns.tolist() == fidelity.COLUMNS and not table.duplicated(fidelity.KEYS).any()
    for crop, month, planted in (("winter wheat", 6, curve()), ("maize", 2, curve(start=170, end=270))):
        planted = np.median(planted[DAYS.month == month])
        assert only(table, "NDVI", crop, month)["value"] == pytest.approx(planted, abs=0.02)
    assert only(table, "VH", "maize", 7)["value"] == pytest.approx(-18, abs=0.1)
    assert only(table, "VV", "maize", 7)["value"] == pytest.approx(-12, abs=0.1)
    change = only(table, "VH change from March to May", "winter wheat")
    assert change["value"] == pytest.approx(-6, abs=0.2) and change["n"] == 2 and change["unit"] == "dB"
    assert only(table, "NDVI noise about its curve")["value"] == pytest.approx(0.02, abs=0.005)


def test_looks_and_shared_speckle_are_found(table):
    "Four pixels of 4.4 looks each make 17.6 looks at 20 m, alone; a mean of two neighbours shares half of it."
    assert only(table, "VH looks at 20 m")["value"] == pytest.approx(17.6, rel=0.15)
    assert abs(only(table, "VH speckle shared with the next pixel")["value"]) < 0.08
    rng = np.random.default_rng(2)
    one = rng.gamma(4, 1 / 4, (400, 12, 13))
    both = (one[:, :, 1:] + one[:, :, :-1]) / 2  # shared along the rows, not along the columns
    power = xr.DataArray(both.reshape(400, -1).T, {"time": pd.date_range("2020", periods=400)}, ("pixel", "time"))
    spread, shared = fidelity.patches.speckle(power, np.argwhere(np.ones((12, 12), bool)))
    assert fidelity.patches.looks(spread) == pytest.approx(8, rel=0.05) and shared == pytest.approx(0.25, abs=0.03)


def test_trend_of_a_field_is_no_speckle():
    "What all pixels of a field do together, and what a pixel is at all times, does not count as speckle."
    rng = np.random.default_rng(3)
    own = 1 + 0.3 * rng.random((64, 1))
    together = np.exp(np.sin(np.arange(200) / 9))
    power = own * together * rng.gamma(4.4, 1 / 4.4, (64, 200))
    power = xr.DataArray(power, {"time": pd.date_range("2020", periods=200)}, ("pixel", "time"))
    spread, _ = fidelity.patches.speckle(power, np.argwhere(np.ones((8, 8), bool)))
    assert fidelity.patches.looks(spread) == pytest.approx(4.4, rel=0.05)


def test_ripe_canopy_is_told_from_stubble():
    "A wheat that is 0.3 when ripe and 0.15 as stubble gives both, though a catch crop follows; bare soil gives none."
    day = DAYS.day_of_year.to_numpy()
    value = np.select([day < 180, day < 190, day < 206, day < 250], [0.85, 0.55, 0.3, 0.15], 0.8)
    field = xr.DataArray(value, {"time": DAYS}, ("time",))
    assert fidelity.patches.ripe_ndvi(field) == (0.3, 0.15)
    assert np.isnan(fidelity.patches.ripe_ndvi(field * 0.2)).all()


def test_fields_are_connected_pieces_without_their_edges():
    "Two fields of one crop apart are two; a field with too few interior pixels is none."
    labels = xr.DataArray(np.zeros((12, 24), int), dims=("y", "x"))
    labels[1:11, 1:8] = labels[1:11, 9:16] = 1110
    labels[1:4, 18:22] = 1200
    found = list(fidelity.patches.fields(labels, 8, "here"))
    assert [(crop, int(mask.sum())) for crop, mask, _ in found] == [("winter wheat", 40), ("winter wheat", 40)]


def test_clear_dates_and_gaps(tmp_path):
    "A sky that is clear on every second date gives half of the dates and gaps of ten days; one date is longest apart."
    seen = np.full((DAYS.size, 24, 24), 9, np.uint8)
    seen[::2] = 4
    seen[20] = 9  # 10 April
    optical, *_ = square("one", np.random.default_rng(0), scl=seen)
    found = fidelity.summary(fidelity.patches.clear_dates({"optical": optical}, "one"))
    assert only(found, "clear dates, share", month=7)["value"] == pytest.approx(0.5, abs=0.1)
    assert only(found, "clear dates of a month, mean", month=7)["value"] == 3
    assert only(found, "gap between clear dates, median", month=7)["value"] == 10
    assert only(found, "gap between clear dates, longest of a place")["value"] == 20
    assert only(found, "optical dates a year")["value"] == pytest.approx(73, abs=0.1)


def test_cameras_shape_and_noise(table):
    "Amplitude, length, seasons a year and white noise of planted camera series; sites are alike, so dates are too."
    assert only(table, "camera amplitude, median")["value"] == pytest.approx(0.1, abs=0.006)
    assert only(table, "camera EOS50 minus SOS50, median")["value"] == pytest.approx(100, abs=2)
    assert only(table, "camera noise SD, median")["value"] == pytest.approx(0.004, rel=0.15)
    assert -0.3 < only(table, "camera noise lag-1 autocorrelation, median")["value"] < 0
    assert only(table, "camera seasons a year, median")["value"] == pytest.approx(1, abs=0.02)
    assert only(table, "camera values there of those possible, median")["value"] == 1
    assert only(table, "camera longest gap, 90 %")["value"] == 3
    assert only(table, "camera SOS50, median")["value"] == pytest.approx(149, abs=2)
    assert only(table, "camera SOS50, SD within sites")["value"] < 2


def test_spread_within_and_between_sites():
    "Dates with SD 5 within and 10 between sites give these back, and the years of one site have no effect on another."
    rng = np.random.default_rng(4)
    site, year = np.repeat(np.arange(200), 4), np.tile(np.arange(2018, 2022), 200)
    day = 150 + 10 * rng.standard_normal(200)[site] + 5 * rng.standard_normal(800)
    dates = pd.DataFrame({"site": site, "season": year,
                          "sos50": pd.to_datetime(year.astype(str)) + pd.to_timedelta(day, "D")})
    found = fidelity.summary(fidelity.cameras.spread(dates, "sos50", "corn"), draws=20)
    assert only(found, "camera SOS50, SD within sites", "corn")["value"] == pytest.approx(5, rel=0.05)
    assert only(found, "camera SOS50, robust SD within sites", "corn")["value"] == pytest.approx(5, rel=0.15)
    assert only(found, "camera SOS50, mean of a site, SD", "corn")["value"] == pytest.approx(np.hypot(10, 2.5), rel=0.1)


def test_progress_of_fields_and_of_weekly_reports_agree(tmp_path):
    "Sowing dates with SD 8 within and 4 between years give 16 days from 16 to 84 %, from dates and from weekly shares."
    rng = np.random.default_rng(5)
    middles = 126 + 4 * rng.standard_normal(20)
    day = middles[:, None] + 8 * rng.standard_normal((20, 400))
    years = np.arange(2002, 2022)
    dates = pd.DataFrame({"crop": "corn", "stage": "planted", "year": np.repeat(years, 400)})
    dates["date"] = pd.to_datetime(dates["year"].astype(str)) + pd.to_timedelta(day.ravel() - 1, "D")
    weeks = pd.DataFrame([
        {"Crop": "Corn", "Stage": "Planted", "Season": year, "CumPercentage": np.mean(some <= d),
         "Date": (pd.Timestamp(f"{year}-01-01") + pd.Timedelta(d - 1, "D")).strftime("%Y-%m-%d")}
        for year, some in zip(years, day) for d in range(80, 180, 7)])
    weeks.to_csv(tmp_path / "crop_progress.csv", index=False)
    read = fidelity.read_progress(tmp_path / "crop_progress.csv")
    for found, near in ((fidelity.progress(dates, draws=20), 0.3), (fidelity.progress(read, draws=20), 1.5)):
        assert only(found, "planted, day of 50 %, mean", "corn")["value"] == pytest.approx(middles.mean(), abs=near)
        assert only(found, "planted, day of 50 %, SD", "corn")["value"] == pytest.approx(middles.std(ddof=1), abs=near)
        assert only(found, "planted, days from 16 to 84 %", "corn")["value"] == pytest.approx(15.9, abs=1 + near)
    weeks.drop(columns="Stage").to_csv(tmp_path / "crop_progress.csv", index=False)
    with pytest.raises(InputError, match="crop_progress.csv: the column 'Stage' is missing"):
        fidelity.read_progress(tmp_path / "crop_progress.csv")


def test_fields_stand_beside_reports():
    "True dates of fields of a climate become stages: half brown is dropping leaves; what did not come is left out."
    days = np.array([[120, 130, 260, 270, 280], [110, 121, 255, 266, 270]], "timedelta64[D]")
    names = ["sowing", "emergence", "t_sen", "ripe", "harvest"]
    dates = pd.DataFrame(np.datetime64("2020-01-01", "ns") + days, columns=names)
    dates = dates.assign(site="a", field=[0, 1], climate=["midwest", "delta"], crop="dry_beans", season=2020)
    dates.loc[0, "harvest"] = pd.NaT
    found = fidelity.of_fields(dates, "midwest")
    assert dict(zip(found["stage"], found["date"].dt.day_of_year)) == {
        "planted": 121, "emerged": 131, "dropping leaves": 261, "mature": 271}
    assert set(found["crop"]) == {"dry beans"} and set(found["year"]) == {2020}
    assert len(fidelity.of_fields(dates)) == 9


def test_distances_of_months(table):
    "VH moved by 3 dB in one month: the median stays 0, the largest distance and its month are told."
    other = table.copy()
    other.loc[(other["what"] == "VH") & (other["crop"] == "maize") & (other["month"] == 5), "value"] -= 3
    found = fidelity.distances(fidelity.compare(table, other)).set_index(["band", "crop"]).loc["VH", "maize"]
    assert found["median"] == 0 and found["largest"] == pytest.approx(3) and found["month"] == 5
    assert found["n"] == 12 and found["within"] == pytest.approx(11 / 12) and found["unit"] == "dB"


def test_a_row_is_what_a_record_wants(table):
    "A row gives value, unit in words, interval and n; one that is not there gives the reason."
    found = fidelity.result(table, "camera longest gap, median")
    assert found["value"] == 3 and found["unit"] == "days" and found["n"] == 6 and len(found["interval"]) == 2
    none = fidelity.result(table, "VH", "oak", 7)
    assert none["value"] is None and none["why"] == "the archive has no VH of oak in month 7"


def test_places_are_chosen_by_the_beginning_of_their_name(made, table):
    "One place alone has half of the fields; a beginning that no place has is refused with near names."
    found = fidelity.statistics(made, places="tw", draws=2)
    assert only(found, "VH", "maize", 7)["n"] == 1 and only(table, "VH", "maize", 7)["n"] == 2
    with pytest.raises(InputError, match="'twice'.*'two'"):
        fidelity.statistics(made, places="twice")


def test_comparison_tells_distance_and_tolerance(table):
    "One dB off is within the tolerance, three are not; what has none is neither; nothing in common is refused."
    other = table.copy()
    other.loc[other["what"] == "VH", ["value", "low", "high"]] += 3
    other.loc[other["what"] == "VV", ["value", "low", "high"]] -= 1
    found = fidelity.compare(other, table)
    assert len(found) == len(table)
    vv, vh, camera = (found[found["what"] == what] for what in ("VV", "VH", "camera base, median"))
    assert vv["within"].all() and not vh["within"].any() and camera["within"].isna().all()
    np.testing.assert_allclose(vh["distance"], 3)
    assert camera["overlap"].all() and not vh["overlap"].any()
    with pytest.raises(InputError, match="no row"):
        fidelity.compare(table.assign(crop="oak"), table)
    with pytest.raises(InputError, match="unit"):
        fidelity.compare(table.assign(unit="mile"), table)


def test_same_table_for_a_seed_and_by_the_file(made, table, tmp_path):
    "Made again it is the same; written and read it is the same to five digits; without a licence nothing is written."
    pd.testing.assert_frame_equal(fidelity.statistics(made, draws=50), table)
    with pytest.raises(InputError, match="--source"):
        fidelity.write(table, tmp_path / "t.csv", made)
    fidelity.write(table, tmp_path / "t.csv", made, title="made", sources=["Made for this test, CC0"])
    pd.testing.assert_frame_equal(fidelity.read(tmp_path / "t.csv"), table, rtol=1e-4)
    head = [line for line in (tmp_path / "t.csv").read_text().splitlines() if line.startswith("#")]
    assert head[0] == "# Statistics of the archive: made" and head[-1] == "# Made for this test, CC0"


def test_a_file_that_is_no_table_is_refused(tmp_path):
    "A missing file and a missing column are one line each."
    with pytest.raises(InputError, match="no such file"):
        fidelity.read(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("# made\nwhat,crop,month,value\nNDVI,maize,7,0.8\n")
    with pytest.raises(InputError, match="t.csv: the column 'low' is missing"):
        fidelity.read(tmp_path / "t.csv")


def test_command_prints_the_comparison(made, table, tmp_path, capsys):
    "The command writes the table and prints it beside another one; a wrong folder is one line and status 2."
    path = tmp_path / "t.csv"
    command.main([str(made.root), "--out", str(path), "--source", "CC0"])
    command.main([str(made.root), "--against", str(path)])
    assert "camera amplitude, median" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        command.main([str(tmp_path / "nowhere")])
    assert stop.value.code == 2 and "there is no such folder" in capsys.readouterr().err


def test_published_table_names_its_sources():
    "The table of the real archive names who measured and under which licence, and no path."
    head = [line for line in PUBLISHED.read_text().splitlines() if line.startswith("#")]
    text = " ".join(head)
    for word in ("PhenoCam", "CC BY 4.0", "Copernicus Sentinel", "MIT", "USDA", "public domain"):
        assert word in text
    assert "/work" not in text and "/home" not in text
    real = fidelity.read()
    assert real.columns.tolist() == fidelity.COLUMNS and not real.duplicated(fidelity.KEYS).any()
    assert only(real, "VH change from March to May", "winter wheat")["value"] < -4


@pytest.mark.skipif(not REAL, reason="PHENOLIB_ARCHIVE names no archive")
def test_published_table_is_what_the_real_archive_gives():
    "Patches and crop progress of the archive give the rows that are published."
    archive = Archive(REAL)
    rows = [row for place in archive.patch_places["place"] for row in fidelity.of_place(archive.patch(place), place)]
    reports = sorted(archive.root.glob("**/*crop_progress*.csv"))
    again = pd.concat([fidelity.summary(rows, draws=2), *(
        fidelity.progress(fidelity.read_progress(path), draws=2) for path in reports)])
    found = fidelity.compare(again, fidelity.read(PUBLISHED))
    assert len(found) == len(again)
    np.testing.assert_allclose(found["simulated"], found["real"], rtol=1e-3, atol=1e-4)
