"""The numbers that the five studies report, as data/published.csv holds them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from phenolib.errors import InputError
from phenolib.report import pages

PATH = Path(__file__).parent.parent / "data" / "published.csv"
CHAPTERS = """
00_start_here 01_a_season_in_one_pixel 02_satellites_radar_and_cameras 03_honest_splits_and_uncertainty
10_sentinel_series 11_phenocam_dates 12_deep_crop 13_deep_crop_against_phenocam 14_phenology_maps
20_minirhizotron_images 21_root_unet 22_root_phenology 23_leaf_pcnn 24_drivers_glmm 25_drivers_sem
30_salinity_samples_and_spectra 31_ss_soilnet 32_what_the_network_reads 33_salinity_maps_by_year
40_two_layers_of_water 41_estarfm 42_lightgbm_downscaling 43_transfer_bias_correction 44_moisture_maps
50_cosmic_ray_moisture 51_causal_attention_moisture 52_respiration_responses 53_soil_carbon_from_moisture
60_one_season_five_studies 90_speed_and_scale
""".split()
EVENTS = ("sos20", "eos20", "sos50", "eos50")
SITES = ("cafcookwestltar01", "mead2", "mead3", "neond06dp100042", "usof6")


@pytest.fixture(scope="module")
def rows():
    return {row["id"]: row for row in pages.read_published(PATH)}


def mean_error(rows, site, method, event):
    "Mean absolute difference over the seasons that Tables 3 and 4 print."
    found = [
        abs(float(row["value"]))
        for id, row in rows.items()
        if id.startswith(("deepcrop.t3.", "deepcrop.t4."))
        and f".{site}." in id
        and id.endswith(f".{method}.{event}.difference")
        and row["value"]
    ]
    return sum(found) / len(found)


def test_file_is_clean():
    "UTF-8 without a byte-order mark, LF, the twelve columns, no blank around a field."
    text = PATH.read_bytes()
    assert not text.startswith(b"\xef\xbb\xbf") and b"\r" not in text and text.endswith(b"\n")
    table = list(csv.reader(text.decode("utf-8").splitlines()))
    assert table[0] == pages.COLUMNS and {len(line) for line in table} == {12}
    assert all(field == field.strip() for line in table for field in line)


def test_ids_tell_the_study_and_are_stable_names(rows):
    "An id is lower-case words joined by dots, its study in front."
    for id, row in rows.items():
        assert id.split(".")[0] == row["study"] and id == id.lower() and id.replace(".", "_").isidentifier(), id


def test_each_row_is_a_number_or_says_that_none_is_given(rows):
    "A value, or a range, or a bound, as a number or a date; never a value beside a range."
    for id, row in rows.items():
        given = [row[key] for key in ("value", "low", "high") if row[key]]
        assert given or row["verdict"].startswith("not checkable ("), id
        assert not (row["value"] and (row["low"] or row["high"])), id
        assert row["quantity"] and row["unit"], id
        if row["unit"] not in ("date", "month", "month-day"):
            numbers = [float(text) for text in given]
            assert numbers == sorted(numbers), id
        assert pages.printed(row)[0], id


def test_chapters_and_verdicts_are_known(rows):
    "Every row names a chapter of the book; the only verdicts are scores and effects whose data are not public."
    assert {row["chapter"] for row in rows.values()} <= set(CHAPTERS)
    given = [id for id, row in rows.items() if row["verdict"]]
    assert all(rows[id]["verdict"].startswith("not checkable (") for id in given)
    tables = [id for id in given if id.startswith(tuple(f"deepcrop.t{k}." for k in (2, 3, 4, 5)))]
    others = ("deepcrop.map.", "deepcrop.text.", "cao.path.", "cao.direct.", "cao.indirect.", "cao.root_model.",
              "ss_soilnet.validation.", "ss_soilnet.headline.", "ss_soilnet.attribution.", "korea.lightgbm.",
              "korea.calibrated.")
    assert len(tables) == 108 and all(id.startswith(others) for id in given if id not in tables)
    assert all(any(id.startswith(one) for id in given) for one in others)
    without = [id for id in given if "the table gives no value" in rows[id]["verdict"]]
    assert len(without) == 4 and all(id.startswith("deepcrop.t4.mead3.2017.") and ".sos" in id for id in without)


@pytest.mark.parametrize(
    "start, count",
    [("t2.", 40), ("t3.", 24), ("t4.", 32), ("t5.", 12), ("t", 115), ("setup.", 45), ("map.", 22)],
)
def test_deepcrop_counts(rows, start, count):
    "Every row of Tables 2 to 5 (108 together, and 7 of the text), the set-up and the maps is there."
    assert sum(id.startswith("deepcrop." + start) for id in rows) == count


@pytest.mark.parametrize("study, count", [("cao", 32), ("ss_soilnet", 28), ("korea", 9), ("cosmos_uk", 0)])
def test_counts_of_the_other_studies(rows, study, count):
    "Cao: 9 coefficients with 9 p-values, 6 scores and timings, 8 of the set-up; the poster states no number."
    assert sum(row["study"] == study for row in rows.values()) == count


@pytest.mark.parametrize("site", ["cafcookwestltar01", "mead3"])
@pytest.mark.parametrize("method", ["ndvi", "deepcrop"])
@pytest.mark.parametrize("event", EVENTS)
def test_table_2_is_the_mean_of_tables_3_and_4(rows, site, method, event):
    "The printed MAE is the mean absolute season difference; one of 16 cells, 5.67, is cut to 5.6."
    printed = float(rows[f"deepcrop.t2.{site}.{method}.{event}.mae"]["value"])
    mean = mean_error(rows, site, method, event)
    cut = (site, method, event) == ("cafcookwestltar01", "deepcrop", "eos20")
    assert (mean, printed) == (pytest.approx(5.67, abs=0.01), 5.6) if cut else abs(mean - printed) <= 0.0501


@pytest.mark.parametrize("method, means", [("ndvi", (43.8, 10.7, 17.2, 18.2)), ("deepcrop", (7.8, 6.7, 10.7, 6.8))])
def test_five_site_means(rows, method, means):
    "The means of Table 2 over its five sites, which the text of the paper exchanges for NDVI."
    for event, mean in zip(EVENTS, means):
        values = [float(rows[f"deepcrop.t2.{site}.{method}.{event}.mae"]["value"]) for site in SITES]
        assert round(sum(values) / 5, 1) == mean


def test_table_5_repeats_table_2(rows):
    "Table 5 gives Deep-CroP the same errors as Table 2 does."
    for event in EVENTS:
        two, five = (rows[f"deepcrop.t{t}.cafcookwestltar01.deepcrop.{event}.mae"]["value"] for t in (2, 5))
        assert float(two) == float(five)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"verdict": "good"}, "unknown verdict 'good'"),
        ({"verdict": "not checkable"}, "unknown verdict"),
        ({"study": "deepcorp"}, "did you mean 'deepcrop'"),
        ({"id": "a.b"}, "occurs twice"),
    ],
)
def test_bad_rows_are_refused_by_name(tmp_path, change, message):
    "A row that breaks the rules of the file is named."
    good = dict.fromkeys(pages.COLUMNS, "") | {"id": "a.b", "study": "deepcrop"}
    other = good | {"id": "a.c"}
    with open(tmp_path / "published.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, pages.COLUMNS)
        writer.writeheader()
        writer.writerows([good, other | change])
    with pytest.raises(InputError, match=message):
        pages.read_published(tmp_path / "published.csv")


def test_a_missing_column_is_named(tmp_path):
    "The column that lacks is named."
    (tmp_path / "published.csv").write_text("id,study\na,deepcrop\n")
    with pytest.raises(InputError, match="column 'place' is missing"):
        pages.read_published(tmp_path / "published.csv")


@pytest.mark.parametrize("event", EVENTS)
def test_derived_offsets_are_means_of_what_is_printed(rows, event):
    "The offsets that chapter 02 stands beside are the means of the differences of Tables 3 and 4, and say so."
    printed = [float(row["value"]) for id, row in rows.items()
               if id.startswith(("deepcrop.t3.", "deepcrop.t4.")) and f".ndvi.{event}." in id and row["value"]]
    derived = rows[f"deepcrop.derived.ndvi_minus_camera.{event}"]
    assert float(derived["value"]) == pytest.approx(np.mean(printed), abs=0.05)
    assert derived["note"].startswith("not printed") and f"the {len(printed)} differences" in derived["note"]
