"""Folders of root images: listed by their names and their table, read, written again, refused with one clear line."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phenolib import archive
from phenolib.errors import InputError
from phenolib.sources import minirhizotron

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
REAL = Path(ROOT or ".") / "roots_minirhizotron"
real = pytest.mark.skipif(not ROOT or not REAL.is_dir(), reason="PHENOLIB_ARCHIVE names no archive of root images")
SCAN = "Soy_T003_L002_04.04.17_091357_003_Ann.jpg"


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    "Caches of each test lie in its own folder."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path / "home"))


def picture(high=48, wide=64, bands=3):
    "An even image with a bright line, and the mask of the line."
    image, mask = np.full((high, wide, bands)[: 3 if bands > 1 else 2], 60, "uint8"), np.zeros((high, wide), bool)
    mask[10:13], image[10:13] = True, 200
    return image, mask


def scan(path, high=48, wide=64, **options):
    "An image under any name."
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(high, wide)[0]).save(path, **options)
    return path


def tubes(**columns):
    "A table of the tubes T001 and T012."
    known = {"tube": ["T001", "T012"], "plot": ["wet", "dry"], "depth_cm": [20.0, 40.0], "mm_per_pixel": 0.1,
             "depth_of_field_mm": 2.0, **columns}
    return pd.DataFrame({k: v for k, v in known.items() if v is not None})


@pytest.fixture
def folder(tmp_path):
    "Three images of two tubes, masks of two of them, and the table of tubes."
    root = tmp_path / "mine" / "roots"
    image, mask = picture()
    minirhizotron.write(root, image, tube="T012", depth_cm=40, date="2018-05-02", mask=mask)
    minirhizotron.write(root, image, tube="T012", depth_cm=40, date="2018-04-25", mask=mask)
    minirhizotron.write(root, image, tube="T001", depth_cm=20, date="2018-04-25")
    minirhizotron.write_tubes(root, tubes(treatment=["sheltered", "rain-fed"]))
    return root


def refused(folder, *parts):
    "The one line with which a folder is refused."
    with pytest.raises(InputError) as error:
        minirhizotron.folder(folder)
    assert "\n" not in str(error.value) and str(folder) not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_a_folder_is_listed_with_what_its_table_knows(folder):
    "One row per image, sorted by tube and date, with its mask and the values of its tube."
    found = minirhizotron.folder(folder)
    assert found.columns.tolist() == [*minirhizotron.COLUMNS, "treatment"]
    assert [p.name for p in found["image"]] == [
        "T001_D020_2018-04-25.jpg", "T012_D040_2018-04-25.jpg", "T012_D040_2018-05-02.jpg"]
    assert found["mask"].iloc[0] is None and found["mask"].iloc[1].name == "T012_D040_2018-04-25.png"
    row = found.iloc[2]
    assert (row["tube"], row["plot"], row["treatment"], row["location"], row["session"]) == (
        "T012", "dry", "rain-fed", "", "")
    assert (row["depth_cm"], row["mm_per_pixel"], row["depth_of_field_mm"]) == (40, 0.1, 2)
    assert found["date"].dtype == "datetime64[ns]" and row["date"] == pd.Timestamp("2018-05-02")
    assert minirhizotron.folder(folder / "images").equals(found)


def test_images_directly_in_a_folder(tmp_path):
    "Without images/ and without a table only the names tell; other files are left aside; endings may be any."
    for name in ("T012_L003_D012.5_2018-04-25.JPG", "T012_L003_D012.5_2018-04-26.jpeg", "A-1_D000_2018-04-25.TIF",
                 "T012_D100_2018-04-25.png", "._T012_D100_2018-04-27.tif"):
        scan(tmp_path / name)
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    found = minirhizotron.folder(tmp_path)
    assert found["depth_cm"].tolist() == [0, 100, 12.5, 12.5] and found["tube"].tolist() == ["A-1", *["T012"] * 3]
    assert found["location"].tolist() == ["", "", "L003", "L003"]
    assert found["mm_per_pixel"].isna().all() and found["mask"].isna().all() and set(found["plot"]) == {""}


def test_names_of_scanners(tmp_path):
    "Experiment, tube, location, day.month.year, time, session and user; the depth is not among them."
    scan(tmp_path / "images" / SCAN)
    scan(tmp_path / "images" / "two_words_T044_L007_01.05.17_103548_005_.jpg")
    found = minirhizotron.folder(tmp_path)
    assert found["tube"].tolist() == ["T003", "T044"] and found["session"].tolist() == ["003", "005"]
    assert found["date"].tolist() == [pd.Timestamp("2017-04-04"), pd.Timestamp("2017-05-01")]
    assert found["depth_cm"].isna().all() and found["location"].tolist() == ["L002", "L007"]
    minirhizotron.write_tubes(tmp_path, tubes(tube=["T003", "T044"], depth_cm=[30.0, np.nan]))
    found = minirhizotron.folder(tmp_path)
    assert found["depth_cm"].iloc[0] == 30 and np.isnan(found["depth_cm"].iloc[1])


@pytest.mark.parametrize("name, said", [
    ("root.jpg", "root.jpg: its name tells no tube and date; name it like T012_D040_2018-04-25.jpg"),
    ("T012_D040_2018-04-25_b.jpg", "tells no tube and date"),
    ("T012_D040_2018-02-30.jpg", "'2018-02-30' is no date; year-month-day is expected"),
    (SCAN.replace("04.04.17", "32.04.17"), "'32.04.17' is no date; day.month.year is expected"),
    ("T013_D040_2018-04-25.jpg", "tubes.csv: has no tube 'T013', of which T013_D040_2018-04-25.jpg is; add a row; "
                                 "did you mean 'T001' or 'T012'?"),
    ("T012_D020_2018-04-26.jpg", "T012_D020_2018-04-26.jpg: its name says 20 cm, tubes.csv says 40 cm for the tube "
                                 "T012; correct one of them"),
    ("T012_D040_2018-04-25.tif", "T012_D040_2018-04-25.jpg and T012_D040_2018-04-25.tif: both are of tube T012 on "
                                 "2018-04-25, at one location and depth; keep one"),
    ("../masks/T012_D040_2018-06-25.png", "T012_D040_2018-06-25.png: this mask has no image; add the image "
                                          "T012_D040_2018-06-25.jpg or remove the mask"),
    ("../masks/T012_D040_2018-04-25.tif", "T012_D040_2018-04-25.png and T012_D040_2018-04-25.tif: both are masks"),
])
def test_a_file_that_does_not_fit_is_named(folder, name, said):
    "The line says which file, what is wrong with it and what to do."
    scan(folder / "images" / name)
    refused(folder, said)


@pytest.mark.parametrize("table, said", [
    (tubes().drop(columns="plot"), "tubes.csv: the column 'plot' is missing"),
    (tubes(tube="T001"), "tubes.csv: line 3 names the tube 'T001' again"),
    (tubes(mm_per_pixel=["0.1", "wide"]), "tubes.csv: line 3 has mm_per_pixel = 'wide'"),
    (tubes(mm_per_pixel=[0.1, 0.0]), "tubes.csv: line 3 has mm_per_pixel = 0; more than 0 is expected"),
    (tubes(depth_cm=[-20.0, 40.0]), "tubes.csv: line 2 has depth_cm = -20; 0 or more, downwards, is expected"),
])
def test_a_wrong_table_is_named(folder, table, said):
    "So is the line of tubes.csv, and its column."
    table.to_csv(folder / "tubes.csv", index=False)
    refused(folder, said)


def test_folders_without_images(folder, tmp_path):
    "A wrong name finds near ones; an empty folder says what is expected."
    refused(tmp_path / "mine" / "root", "root: there is no such folder; did you mean 'roots'?")
    (tmp_path / "empty" / "images").mkdir(parents=True)
    refused(tmp_path / "empty", "empty: holds no images; JPEG, PNG or TIFF files are expected")


def test_what_is_written_is_read_again(folder, tmp_path):
    "Image within the loss of a JPEG, mask exactly, the same bytes twice; values of the row become attributes."
    found = minirhizotron.folder(folder)
    image, mask = picture()
    for row in (found.iloc[1], next(found.iloc[1:].itertuples())):
        data = minirhizotron.read(row)
        assert data["image"].dims == ("y", "x", "band") and data["image"].dtype == "uint8"
        assert data["band"].values.tolist() == ["red", "green", "blue"]
        assert np.abs(data["image"].values.astype(int) - image).max() < 30 and (data["mask"].values == mask).all()
        assert data["x"].values[[0, -1]] == pytest.approx([0.05, 6.35]) and data["y"].attrs["units"] == "mm"
        assert {k: data.attrs[k] for k in ("tube", "location", "depth_cm", "date", "mm_per_pixel", "plot")} == {
            "tube": "T012", "location": "", "depth_cm": 40, "date": "2018-04-25", "mm_per_pixel": 0.1, "plot": "dry"}
    assert "mask" not in minirhizotron.read(found.iloc[0])
    minirhizotron.write(tmp_path / "again", image, tube="T012", depth_cm=40, date="2018-04-25", mask=mask)
    for name in ("images/T012_D040_2018-04-25.jpg", "masks/T012_D040_2018-04-25.png"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert Image.open(folder / "masks" / "T012_D040_2018-04-25.png").mode == "1"
    data.to_netcdf(tmp_path / "kept.nc")  # attributes of plain types


def test_images_of_other_kinds_become_three_bands(tmp_path):
    "Grey, palette and transparent images are read as they look; a path alone has no size of a pixel."
    image, mask = picture()
    grey = image[..., 0]
    for kind, given in {"grey": grey, "alpha": np.dstack([image, np.full_like(grey, 9)]), "bits": mask}.items():
        Image.fromarray(given).save(tmp_path / f"{kind}.png")
    Image.fromarray(image).quantize(4).save(tmp_path / "palette.png")
    for kind in ("grey", "alpha", "palette"):
        data = minirhizotron.read(tmp_path / f"{kind}.png")
        assert (data["image"].values == image).all() and data.attrs["tube"] == data.attrs["date"] == ""
        assert data["x"].values[0] == 0.5 and data["x"].attrs["units"] == "pixel"
    assert minirhizotron.read(tmp_path / "bits.png")["image"].values.max() == 255
    known = minirhizotron.read(scan(tmp_path / SCAN), mask=tmp_path / "bits.png", mm_per_pixel=0.2)
    assert known.attrs["tube"] == "T003" and known["y"].values[-1] == pytest.approx(9.5) and known["mask"].sum() == 192


def test_masks_may_be_painted_with_any_two_values(tmp_path):
    "The larger of two values is root, in colour or grey, with 8 or 16 bits."
    image, mask = picture()
    path = scan(tmp_path / "a.png")
    for k, given in enumerate([mask, mask.astype("uint8"), np.where(mask, 255, 7).astype("uint8"),
                               (mask * 65535).astype("u2"), np.dstack([mask * 255, mask * 0, mask * 0]).astype("u1")]):
        Image.fromarray(given).save(tmp_path / f"{k}_mask.png")
        assert (minirhizotron.read(path, tmp_path / f"{k}_mask.png")["mask"].values == mask).all(), k


@pytest.mark.parametrize("mask, said", [
    (picture(48, 63)[1], "the mask has 63 × 48 pixels, its image a.png 64 × 48; they must be alike"),
    (picture()[0][..., 0] + np.arange(64, dtype="uint8"), "the mask holds 128 values; two are expected"),
    (np.zeros((48, 64), bool), "the mask holds no root; remove it, or give empty=True"),
    (np.ones((48, 64), bool), "the mask is 1 everywhere, all of it would be root"),
    (~picture()[1], "94% of the mask would be root; the roots seem to be 0 and the soil 1: invert it"),
])
def test_a_mask_that_cannot_be_is_refused(tmp_path, mask, said):
    "Another size, more than two values, no root, all root, or root and soil the wrong way round."
    Image.fromarray(mask).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=f"^m.png: {said}"):
        minirhizotron.read(scan(tmp_path / "a.png"), tmp_path / "m.png")
    if "empty" in said:
        assert not minirhizotron.read(tmp_path / "a.png", tmp_path / "m.png", empty=True)["mask"].any()


def test_files_that_are_no_whole_image_are_refused(tmp_path, monkeypatch):
    "Cut or damaged, no image at all, 16 bits, not there, too large: one line each; the end is missed without decoding."
    for ending in ("jpg", "png", "tif"):
        path = scan(tmp_path / f"cut.{ending}", 400, 400)
        assert minirhizotron.size(path, whole=True) == (400, 400)
        path.write_bytes(path.read_bytes()[: -path.stat().st_size // 2])
        cut = pytest.raises(InputError, match=f"^cut.{ending}: (the image is truncated or damaged|is no JPEG)")
        with cut:
            minirhizotron.read(path)
        with cut:
            minirhizotron.size(path, whole=True)
    (tmp_path / "text.jpg").write_text("no image")
    Image.fromarray(np.zeros((4, 4), "uint16")).save(tmp_path / "deep.png")
    for name, said in (("text.jpg", "is no JPEG, PNG or TIFF image"), ("deep.png", "has more than 8 bits a band"),
                       ("none.jpg", "there is no such file")):
        with pytest.raises(InputError, match=f"^{name}: {said}"):
            minirhizotron.read(tmp_path / name)
    with pytest.raises(InputError, match="^a.png: mm_per_pixel = -1; more than 0 is expected"):
        minirhizotron.read(scan(tmp_path / "a.png"), mm_per_pixel=-1)
    Image.fromarray(np.zeros((1, 1), "uint8")).resize((12_000, 11_000)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match="^large.png: more than 120 megapixels are not read"):
        minirhizotron.read(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="^large.png: more than 120 megapixels are not read"):
        minirhizotron.size(tmp_path / "large.png")


@pytest.mark.parametrize("given, said", [
    ({"tube": "T 1"}, "the tube 'T 1', location '' and depth 40 cm make no name that can be read"),
    ({"depth_cm": -40}, "depth -40 cm make no name"),
    ({"location": "003"}, "location '003' and depth"),
    ({"image": picture()[0].astype(float)}, "the image is float64 of the shape (48, 64, 3); uint8 of"),
    ({"mask": picture(9)[1]}, "the mask is bool of the shape (9, 64); bool of (48, 64) is expected"),
])
def test_what_could_not_be_read_again_is_not_written(tmp_path, given, said):
    "Nothing is left in the folder."
    image, mask = picture()
    with pytest.raises(InputError) as error:
        minirhizotron.write(tmp_path, **{"image": image, "tube": "T1", "depth_cm": 40, "date": "2018-04-25",
                                         "mask": mask, **given})
    assert said in str(error.value) and not list(tmp_path.rglob("*.*"))


def test_tables_of_tubes_are_written(tmp_path):
    "Further columns stay; a missing column or a tube that is there twice is refused."
    minirhizotron.write_tubes(tmp_path, tubes(depth_cm=[20.0, np.nan], crop=["maize", "wheat"]))
    assert (tmp_path / "tubes.csv").read_text().splitlines()[2] == "T012,dry,,0.1,2.0,wheat"
    pd.testing.assert_frame_equal(minirhizotron.read_tubes(tmp_path / "tubes.csv"),
                                  tubes(depth_cm=[20.0, np.nan], crop=["maize", "wheat"]))
    for table, said in ((tubes(plot=None, plots="a"), "no column 'plot'; did you mean 'plots'"),
                        (tubes(tube="T1"), "the tube 'T1' is there twice")):
        with pytest.raises(InputError, match=said):
            minirhizotron.write_tubes(tmp_path, table)


def test_mixed_resolution_is_refused(folder):
    "A row of pixels more or less is let pass; another size, or another size of a pixel, is not."
    table = minirhizotron.folder(folder)
    assert minirhizotron.same_resolution(table)[["width", "height"]].drop_duplicates().values.tolist() == [[64, 48]]
    scan(folder / "images" / "T001_D020_2018-04-26.jpg", 48, 65)
    minirhizotron.same_resolution(minirhizotron.folder(folder))
    mixed = scan(folder / "images" / "T001_D020_2018-04-27.jpg", 96, 128)
    with pytest.raises(InputError, match="^mixed resolution: T001_D020_2018-04-27.jpg has 128 × 96 pixels, most images "
                                         "here have 64 × 48; keep them in folders of their own"):
        minirhizotron.same_resolution(minirhizotron.folder(folder))
    mixed.unlink()
    for scales, said in (([0.1, 0.05], "0.1 mm per pixel, T012_D040_2018-04-25.jpg 0.05"), ([0.1, np.nan], "no known")):
        minirhizotron.write_tubes(folder, tubes(mm_per_pixel=scales))
        with pytest.raises(InputError, match=f"mixed resolution: T001_D020_2018-04-25.jpg has .*{said}"):
            minirhizotron.same_resolution(minirhizotron.folder(folder))


def test_an_archive_knows_root_images(folder):
    "By their folder or by their names; the table is that of the folder with sizes; the hash covers masks and tubes."
    found = archive.open_archive(folder.parent)
    assert list(found.kinds()) == ["root_images"] and len(found.root_images) == 3 and found.root_tracings == []
    assert found.root_images.drop(columns=["width", "height"]).equals(minirhizotron.folder(folder.resolve()))
    assert archive.open_archive(folder).kinds() == found.kinds()
    (folder.parent / "archive.yml").write_text("root_images: roots/images/*2018-04-25.jpg\n")
    assert len(archive.open_archive(folder.parent).root_images) == 2
    hashes = [found.hash(["root_images"])]
    for path in (folder / "tubes.csv", next((folder / "masks").iterdir()), found.kinds()["root_images"][0]):
        path.write_bytes(path.read_bytes() + b"\n")
        hashes.append(archive.open_archive(folder.parent).hash(["root_images"]))
    assert len(set(hashes)) == 4
    (folder.parent / "sites.csv").write_text("site,lon,lat\na,1,2\n")
    assert archive.open_archive(folder.parent).hash(["root_images"]) == hashes[-1]


def test_check_finds_what_is_wrong_with_root_images(folder):
    "Tubes and dates are told; a wrong name, a cut image, a mask of another size and a lacking tube are findings."
    findings = archive.check(folder.parent)
    row = findings.kinds.iloc[0]
    assert not list(findings) and (row["files"], row["sites"], f"{row['last']:%Y-%m-%d}") == (3, 2, "2018-05-02")
    images = folder / "images"
    (images / "T001_D020_2018-04-25.jpg").write_bytes((images / "T001_D020_2018-04-25.jpg").read_bytes()[:-200])
    Image.fromarray(picture(20)[1]).save(folder / "masks" / "T012_D040_2018-05-02.png")
    scan(images / "T077_D020_2018-04-25.jpg")
    said = [f.problem for f in archive.check(folder.parent)]
    assert len(said) == 3 and any("truncated" in p for p in said)
    assert any("tubes.csv: has no tube 'T077'" in p for p in said)
    assert any("the mask has 64 × 20 pixels, its image T012_D040_2018-05-02.jpg 64 × 48" in p for p in said)
    (images / "T077_D020_2018-04-25.jpg").rename(images / "T077.jpg")
    for place in folder.parent, folder:  # with roots/ above images/, and without
        assert sum("T077.jpg: its name tells no tube" in f.problem for f in archive.check(place)) == 1


def test_a_listing_opens_no_image(folder, monkeypatch):
    "Thousands of images are listed by their names; for sizes the headers are read, and no pixel."
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("an image was decoded"))
    assert len(minirhizotron.same_resolution(minirhizotron.folder(folder))) == 3
    monkeypatch.setattr(Image, "open", lambda *a, **k: pytest.fail("an image was opened"))
    assert len(minirhizotron.folder(folder)) == 3


@real
def test_real_scans():
    "29 scans of 26 tubes in eight sessions, bright roots on dark soil, up to 4 % of root; one lacks a row of pixels."
    found = minirhizotron.folder(REAL)
    assert (len(found), found["tube"].nunique(), found["session"].nunique()) == (29, 26, 8)
    assert (found["date"].min(), found["date"].max()) == (pd.Timestamp("2017-03-20"), pd.Timestamp("2017-06-19"))
    assert found["mask"].notna().all() and found["mm_per_pixel"].isna().all()
    sizes = minirhizotron.same_resolution(found)
    assert set(sizes["width"]) == {2550} and sizes["height"].value_counts().to_dict() == {2273: 28, 2272: 1}
    for row in found.iloc[::10].itertuples():
        data = minirhizotron.read(row)
        root = data["mask"].values
        assert 0.001 < root.mean() < 0.04
        assert data["image"].values[root].mean() > 1.4 * data["image"].values[~root].mean()


@real
def test_the_real_archive_knows_them():
    "The scans are found beside cameras and stations; nothing is wrong with them."
    found = archive.open_archive(ROOT)
    assert len(found.kinds()["root_images"]) == 29 and len(found.root_images) == 29
    alone = archive.check(REAL)
    assert not list(alone) and alone.kinds.iloc[0][["kind", "files", "sites"]].tolist() == ["root_images", 29, 26]
