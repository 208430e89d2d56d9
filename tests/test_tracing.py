"""Tracing: splits by tube, crops and their traits, training on drawn roots, scores, and what is refused."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw

from phenolib import roots, tracing
from phenolib.errors import InputError
from phenolib.nets.unet import UNet
from phenolib.splits import Split

SMALL = {"channels": (8, 16, 32), "crop": 64, "batch": 8, "progress": False}


def draw(folder, tubes=10, size=(128, 96), years=(2018, 2019), seed=0):
    "A folder of light lines on noise, with their masks; the table of it."
    rng, rows = np.random.default_rng(seed), []
    for k in range(tubes * len(years)):
        mask = Image.new("1", size)
        pen = ImageDraw.Draw(mask)
        for _ in range(1 + k % 5):
            points = np.array([rng.uniform(0, size[0]), rng.uniform(0, size[1])]) + rng.normal(0, 15, (4, 2)).cumsum(0)
            pen.line([tuple(p) for p in points], fill=1, width=int(rng.integers(3, 6)))
        image = rng.normal(60, 20, (*size[::-1], 3)) + 80 * np.asarray(mask)[..., None]
        tube, year = f"T{k % tubes:03d}", years[k // tubes]
        paths = folder / f"{tube}_{year}.png", folder / f"{tube}_{year}_mask.png"
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(paths[0])
        mask.save(paths[1])
        rows.append({"image": paths[0], "mask": paths[1], "tube": tube, "date": pd.Timestamp(year, 5, 1),
                     "depth_cm": 10.0, "mm_per_pixel": 0.1, "depth_of_field_mm": 2.0})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("roots"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHENOLIB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def split(table):
    return tracing.by_tube(table, 5, seed=1)[0]


@pytest.fixture(scope="module")
def found(table, split, home):
    "A small network that learnt drawn roots for some seconds."
    return tracing.fit(table, split, **SMALL, steps=20, epochs=5, lr=1e-2)


def test_every_tube_is_tested_once(table):
    "No tube is on two sides of a fold, and the tests of all folds are the table."
    parts = tracing.by_tube(table, 5)
    assert sorted(np.concatenate([p.test for p in parts])) == list(range(len(table)))
    for part in parts:
        sides = [set(table["tube"].iloc[rows]) for rows in (part.train, part.validation, part.test)]
        assert all(sides) and sum(map(len, sides)) == len(set.union(*sides)) == 10
        tracing.refuse_leakage(table.iloc[part.train], table.iloc[part.test])


def test_tested_tubes_and_years_are_unseen(table):
    "With years, neither tube nor year of a tested image is trained on or stops the training."
    for part in tracing.by_tube_and_year(table, [2019], 5):
        for rows in part.train, part.validation:
            tracing.refuse_leakage(table.iloc[rows], table.iloc[part.test], years=True)
        assert set(table["date"].iloc[part.test].dt.year) == {2019}


def test_leakage_is_refused(table):
    "A tube, or a year, on both sides is named."
    with pytest.raises(InputError, match="tube T000 is trained on and tested"):
        tracing.refuse_leakage(table.iloc[[0, 1]], table.iloc[[10]])
    with pytest.raises(InputError, match="year 2018 is trained on and tested"):
        tracing.refuse_leakage(table.iloc[[0]], table.iloc[[1]], years=True)
    with pytest.raises(InputError, match="T003 is trained on and tested"):
        tracing.fit(table, Split(np.array([1, 2, 3]), np.array([4]), np.array([13])))


@pytest.mark.parametrize(("call", "said"), [
    (lambda t: tracing.by_tube(t, 11), "folds = 11 of 10 tubes"),
    (lambda t: tracing.by_tube(t.drop(columns="tube"), 2), "no column 'tube'"),
    (lambda t: tracing.by_tube_and_year(t, [2017]), "no image is of 2017; there are 2018, 2019"),
    (lambda t: tracing.by_tube_and_year(t, [2018, 2019]), "fold 0 has no image to train on"),
], ids=["folds", "tube", "year", "years"])
def test_splits_that_cannot_be(table, call, said):
    "The message says which and what there is."
    with pytest.raises(InputError, match=said):
        call(table)


def test_drawn_roots_are_learnt_in_seconds(table, split, found):
    "On tubes that it never saw a small network reaches a Dice of 0.9."
    scores = tracing.score(found.model, table.iloc[split.test])
    assert scores["dice"].mean() > 0.9 and list(scores["tube"]) == list(table["tube"].iloc[split.test])
    said = tracing.summary(scores)["dice"]
    assert said["interval"][0] <= said["value"] <= said["interval"][1] and said["n"] == len(scores)


def test_traits_of_the_mask_are_near(table, split, found):
    "Length from the traced mask: R² above 0.9; the errors carry intervals."
    scores = tracing.score(found.model, table)
    errors = tracing.trait_errors(scores)
    assert set(errors) == set(tracing.TRAITS)
    assert errors["length_mm"]["r2"]["value"] > 0.9 and errors["length_mm"]["mae"]["interval"]
    assert tracing.trait_errors(scores, "head")["length_mm"]["r2"]["n"] == len(table)


def test_traits_are_measured_once(table, found, monkeypatch):
    "The second time they come from the cache, the same to the last digit; another archive is another cache."
    some = table.iloc[3:6]
    first = tracing.measured(found, some, archive="a")
    pd.testing.assert_frame_equal(first, tracing.measure(found.model, some))
    monkeypatch.setattr(tracing, "measure", lambda *a, **k: pytest.fail("measured again"))
    pd.testing.assert_frame_equal(tracing.measured(found, some, archive="a"), first)
    with pytest.raises(pytest.fail.Exception):
        tracing.measured(found, some, archive="b")
    for path in (tracing.home() / "cache" / "traits").glob("*.csv"):
        path.write_text("length_mm\n")
    with pytest.raises(InputError, match="delete the file"):
        tracing.measured(found, some, archive="a")


def test_the_same_seed_is_the_same_network(table, split, home, monkeypatch, tmp_path):
    "Trained twice apart: one key, the same weights; another seed gives others; the store gives it back."
    few = {**SMALL, "steps": 2, "epochs": 1, "batch": 2}
    first = tracing.fit(table, split, **few)
    again, other = tracing.fit(table, split, **few), tracing.fit(table, split, **few, seed=1)
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    apart = tracing.fit(table, split, **few)
    assert again.stored and not apart.stored and first.key == apart.key != other.key
    for a, b, c in zip(first.model.state_dict().values(), apart.model.state_dict().values(),
                       again.model.state_dict().values()):
        assert torch.equal(a.nan_to_num(), b.nan_to_num()) and torch.equal(a.nan_to_num(), c.nan_to_num())
    assert not torch.equal(first.model.last.weight, other.model.last.weight)


def test_half_the_digits_learn_the_same(table, split, home):
    "Mixed with bfloat16, on a CPU too: nearly the loss of float32 and not just it, a key and full weights of its own."
    few = {**SMALL, "steps": 4, "epochs": 1}
    full, half = tracing.fit(table, split, **few), tracing.fit(table, split, **few, precision="bf16")
    losses = [[row["loss"] for row in one.history] for one in (full, half)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02) and losses[0] != losses[1]
    assert full.key != half.key and half.model.last.weight.dtype == torch.float32
    with pytest.raises(InputError, match="'bf16'"):
        tracing.fit(table, split, **few, precision="half")


def test_other_test_tubes_train_the_same_network(table, split):
    "What is tested has no part in what is learnt: crops do not hold its pixels."
    one = tracing.Crops(table, split, crop=64)
    assert not set(one.images) & set(split.test)


def test_the_network_knows_what_it_needs(found):
    "Threshold, scale and size of a pixel are kept with the weights."
    assert 0 < found.model.threshold < 1 and found.model.scale == 1 and found.model.pixel.item() == pytest.approx(0.1)
    assert found.model.threshold.item() == pytest.approx(min(found.history, key=lambda r: r["error"])["threshold"])


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_a_probability_has_the_size_of_its_image(table, scale):
    "Whatever scale it works at, and from a path or an array alike."
    model = UNet((4, 8)).eval()
    model.scale.fill_(scale)
    image = np.asarray(Image.open(table["image"].iloc[0]))
    p = tracing.predict(model, image[:91, :77])
    assert p.shape == (91, 77) and p.dtype == np.float32 and 0 <= p.min() <= p.max() <= 1
    assert np.array_equal(tracing.predict(model, table["image"].iloc[0]), tracing.predict(model, image))


def test_turned_images_are_turned_back(table):
    "The mean over eight turns of an image turned is that mean, turned; one turn is not."
    torch.manual_seed(0)
    model, image = UNet((4, 8)).eval(), np.asarray(Image.open(table["image"].iloc[0]))[:96, :96]
    for turns, same in (8, True), (1, False):
        a, b = (tracing.predict(model, i, turns=turns) for i in (image, np.rot90(image[:, ::-1])))
        assert np.allclose(np.rot90(a[:, ::-1]), b, atol=1e-5) == same


def test_traits_of_the_parts_are_those_of_the_whole(table):
    "Length and branch points of crops that tile an image add up; a zoom makes roots longer as it looks."
    row = table.iloc[4]
    parts, mask = tracing.Parts.of(row, 1.0), tracing.read(row)[1]
    known = roots.traits(mask, mm_per_pixel=0.1)
    cuts = np.array([parts.within(y, x, 32, 32) for y in range(0, 96, 32) for x in range(0, 128, 32)])
    assert cuts[:, 0].sum() == pytest.approx(known.length_mm)
    assert np.nansum(cuts[:, 0] * cuts[:, 2] / 10) == pytest.approx(known.branch_points)
    assert cuts[:, 1].mean() == pytest.approx(known.rld_cm_cm3)
    far = parts.within(0, 0, 64, 128)
    assert far[0] == pytest.approx(2 * parts.within(0, 0, 64, 64)[0])


def test_crops_hold_roots_more_often(table, split):
    "Crops drawn around a root have more of it than those drawn anywhere, in the same proportion as the mask says."
    share = []
    for rooted in 0.0, 1.0:
        task = tracing.Crops(table, split, crop=32, rooted=rooted, weight=0)
        batch = [task.one(np.random.default_rng(k)) for k in range(60)]
        share.append(np.mean([mask.mean() for _, mask, _ in batch]))
        assert all(image.shape == (32, 32, 3) and mask.shape == (32, 32) and np.isnan(known).all()
                   for image, mask, known in batch)
    assert share[1] > 1.3 * share[0]


def test_a_crop_stays_with_its_mask(table, split):
    "Turned, mirrored and zoomed together: the light pixels are the root's."
    task = tracing.Crops(table, split, crop=64, colour=0.0, rooted=1.0, turned=1.0, zoom=0.3)
    for k in range(20):
        image, mask, known = task.one(np.random.default_rng(k))
        assert image[mask > 0].mean() > image[mask == 0].mean() + 50 and known[0] > 0


def test_dice_at_all_thresholds_is_dice():
    "The counts of twenty bins give the Dice of each threshold; of two empty masks it is one."
    rng = np.random.default_rng(0)
    p, mask = rng.random((40, 50)), rng.random((40, 50)) < 0.3
    for threshold, dice in zip(tracing.THRESHOLDS, tracing.dice_at(p, mask)):
        assert dice == pytest.approx(roots.score(p >= threshold, mask)["dice"])
    assert (tracing.dice_at(np.zeros((4, 4)), np.zeros((4, 4), bool)) == 1).all()


def test_errors_of_traits_are_those_that_were_planted():
    "A length that is 10 mm too long everywhere: bias and error 10, and the R² that follows."
    known = np.array([20.0, 40, 60, 80])
    table = pd.DataFrame({"tube": list("abcd"), "length_mm": known, "length_mm_mask": known + 10, "rld_cm_cm3": known,
                          "rld_cm_cm3_mask": known, "branching_cm": np.nan, "branching_cm_mask": known})
    errors = tracing.trait_errors(table)
    assert errors["length_mm"]["bias"]["value"] == errors["length_mm"]["mae"]["value"] == pytest.approx(10)
    assert errors["length_mm"]["r2"]["value"] == pytest.approx(1 - 4 * 100 / 2000)
    assert errors["rld_cm_cm3"]["r2"]["value"] == 1 and errors["branching_cm"]["r2"]["value"] is None
    with pytest.raises(InputError, match="way = 'net'"):
        tracing.trait_errors(table, "net")
    with pytest.raises(InputError, match="no traits"):
        tracing.trait_errors(table[["tube"]])


def broken(table, column, value, row=0):
    table = table.astype({column: object}) if table[column].dtype != float else table.copy()
    table.loc[table.index[row], column] = value
    return table


def test_what_cannot_be_learnt_from_is_refused(table, split, tmp_path):
    "One line names the file and says what to do."
    row = split.train[0]
    Image.new("1", (10, 10)).save(tmp_path / "small.png")
    Image.new("1", (128, 96)).save(tmp_path / "empty.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    for column, value, said in [("mask", None, "no mask to learn from"),
                                ("mask", tmp_path / "small.png", "the mask has 10 × 10 pixels"),
                                ("mask", tmp_path / "bad.png", "bad.png: is no JPEG"),
                                ("image", tmp_path / "none.png", "none.png: there is no such file"),
                                ("mm_per_pixel", 0.2, "mm_per_pixel from 0.1 to 0.2")]:
        with pytest.raises(InputError, match=said):
            tracing.fit(broken(table, column, value, row), split, **SMALL)
    with pytest.raises(InputError, match="give a smaller crop"):
        tracing.fit(table, split, crop=200)
    with pytest.raises(InputError, match="no tube is for validation"):
        tracing.fit(table, dataclasses.replace(split, validation=np.array([], int)))
    with pytest.raises(InputError, match="no mask of the training images has a root"):
        tracing.fit(table.assign(mask=tmp_path / "empty.png"), split, **SMALL)


def test_what_cannot_be_traced_is_refused(table, found):
    "Images of another kind, and pixels of another size than was learnt."
    with pytest.raises(InputError, match=r"give \(rows, columns, 3\) uint8"):
        tracing.predict(found.model, np.zeros((20, 20)))
    with pytest.raises(InputError, match="0.2 mm per pixel, but the network learned with 0.1"):
        tracing.score(found.model, broken(table, "mm_per_pixel", 0.2).iloc[:1])
    unknown = tracing.score(found.model, table.iloc[:1].drop(columns=["mm_per_pixel", "date"]))
    assert "length_mm" not in unknown and "dice" in unknown
