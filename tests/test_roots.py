import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image, ImageDraw
from scipy.spatial import KDTree
from skimage.draw import line as pixels_between

from phenolib import roots
from phenolib.errors import InputError

REAL = os.environ.get("PHENOLIB_ARCHIVE")
real = pytest.mark.skipif(not REAL, reason="PHENOLIB_ARCHIVE names no real archive")
WIDTHS = (2, 3, 4, 5, 6, 8)


def drawn(*lines, width, margin=4):
    "Lines (k, 2) of rows and columns as a mask, with flat ends: pixels whose middle is within half a width of a line."
    lines = [np.asarray(line, float) for line in lines]
    low = np.floor(np.min([line.min(0) for line in lines], axis=0)) - width - margin
    size = np.ceil(np.max([line.max(0) for line in lines], axis=0) - low + width + margin).astype(int)
    mask, reach = np.zeros(size, bool), np.arange(-width // 2 - 1, width // 2 + 2)
    for line in lines:
        at = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
        fine = np.linspace(0, at[-1], int(at[-1] * 20) + 2)
        path = np.stack([np.interp(fine, at, line[:, k] - low[k]) for k in (0, 1)], axis=1)
        near = np.zeros(size, bool)
        for y, x in np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2).astype(int):
            near[tuple((np.rint(path[::10]).astype(int) + (y, x)).T)] = True
        pixels = np.argwhere(near)
        far, nearest = KDTree(path).query(pixels)
        inside = (far <= width / 2) & (nearest > 0) & (nearest < len(path) - 1)
        mask[tuple(pixels[inside].T)] = True
    return mask


def polar(angle, radius, start=(0, 0)):
    "A point at an angle [degrees] to the rows and a distance."
    return np.array(start) + radius * np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])


def turned(line, angle):
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.asarray(line, float) @ np.array([[cos, sin], [-sin, cos]])


def true_length(line):
    return np.hypot(*np.diff(line, axis=0).T).sum()


def error(line, width):
    return roots.length(drawn(line, width=width)) / true_length(line) - 1


def sine(height, period, count=5):
    t = np.linspace(0, count * period, 1000)
    return np.stack([height * np.sin(2 * np.pi * t / period), t], axis=1)


def arc(radius, start, turn):
    angle = np.radians(np.linspace(start, start + turn, 400))
    return radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)


@pytest.mark.parametrize("width", WIDTHS)
def test_straight_roots_have_their_length(width):
    "At every angle within 2 % for 21 widths and 5 % for 9, or 1.3 pixels: the mask itself has no finer ends."
    rng, angles = np.random.default_rng(width), np.arange(0, 180, 5)
    long, short = ([error([start, polar(angle, widths * width, start)], width) for angle in angles
                    for start in [rng.uniform(0, 1, 2)]] for widths in (21, 9))
    assert np.abs(long).max() <= max(0.02, 1.3 / (21 * width)) and np.quantile(np.abs(long), 0.95) <= 0.02
    assert np.abs(short).max() <= max(0.05, 1.3 / (9 * width)) and np.quantile(np.abs(short), 0.95) <= 0.05
    assert abs(np.mean(long)) <= 0.007


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("angle", [0, 25, 45, 70])
def test_curved_roots_have_their_length(width, angle):
    "Sine waves and arcs within 2 %: smoothing does not cut the corners."
    start = np.array([0.3, 0.8])
    assert abs(error(start + turned(sine(2 * width, 15 * width), angle), width)) <= 0.02
    assert abs(error(start + turned(sine(4 * width, 25 * width), angle), width)) <= 0.02
    assert abs(error(start + arc(10 * width, angle, 200), width)) <= 0.02


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("radius", [4, 8, 20])
def test_a_root_may_be_a_ring(width, radius):
    y, x = np.mgrid[:2 * (radius + 2) * width, :2 * (radius + 2) * width]
    ring = np.abs(np.hypot(y - (radius + 2) * width + 0.4, x - (radius + 2) * width) - radius * width) <= width / 2
    assert roots.length(ring) == pytest.approx(2 * np.pi * radius * width, rel=0.02)


def test_round_ends_count():
    "A line with round ends is a width longer than from its first point to its last."
    for width in WIDTHS:
        for angle in (0, 20, 45, 60):
            line = [(0.2, 0.7), polar(angle, 30 * width, (0.2, 0.7))]
            y, x = np.mgrid[-width - 3:30 * width + 8, -width - 3:30 * width + 8]
            down, right = polar(angle, 1)
            t = np.clip((y - 0.2) * down + (x - 0.7) * right, 0, 30 * width)
            mask = np.hypot(y - 0.2 - t * down, x - 0.7 - t * right) <= width / 2
            assert roots.length(mask) == pytest.approx(true_length(line) + width, rel=0.02)


def test_a_root_that_leaves_the_image_has_the_length_that_is_seen():
    mask = drawn(sine(10, 80), width=5)
    middle = mask[:, 100:300]
    whole = sine(10, 80)
    left = np.argwhere(mask)[:, 1].min()
    seen = whole[(whole[:, 1] > 100 - left - 0.5) & (whole[:, 1] < 300 - left - 0.5)]
    assert roots.length(middle) == pytest.approx(true_length(seen), rel=0.02)


@pytest.mark.parametrize("angle", [25, 45, 60, 90])
def test_forks_and_crossings_have_their_length(angle):
    "But for what one root hides of the other: at 25° a stretch of two widths."
    for width in (3, 6):
        root, lateral = [(0, -20 * width), (0, 20 * width)], [(0, 0), polar(angle, 20 * width)]
        crossing = [polar(angle, -20 * width), polar(angle, 20 * width)]
        assert roots.length(drawn(root, lateral, width=width)) == pytest.approx(60 * width, rel=0.04)
        assert roots.length(drawn(root, crossing, width=width)) == pytest.approx(80 * width, rel=0.05)


def test_turned_masks_have_the_same_traits():
    line, lateral = sine(12, 90), [sine(12, 90)[500], (120, 260)]
    mask = drawn(line, lateral, width=5)
    one = roots.traits(mask, mm_per_pixel=0.1)
    for turn in (np.rot90(mask), mask[::-1], mask[:, ::-1], mask.T):
        other = roots.traits(turn, mm_per_pixel=0.1)
        assert other.length_mm == pytest.approx(one.length_mm, rel=0.005)
        assert other.diameter_mm == pytest.approx(one.diameter_mm, rel=0.005)
        assert (other.branch_points, other.crossings) == (one.branch_points, one.crossings) == (1, 0)
    for angle in (15, 45, 70):
        other = roots.traits(drawn(turned(line, angle), turned(lateral, angle), width=5), mm_per_pixel=0.1)
        assert other.length_mm == pytest.approx(one.length_mm, rel=0.01) and other.branch_points == 1


SHAPES = {  # widths long, what is counted: branch points, crossings
    "line": ([[(0, 0), (0, 20)]], (0, 0)),
    "fork": ([[(0, 0), (0, -12)], [(0, 0), polar(25, 12)], [(0, 0), polar(-25, 12)]], (1, 0)),
    "lateral at 30°": ([[(0, -12), (0, 14)], [(0, 0), polar(30, 14)]], (1, 0)),
    "lateral at 90°": ([[(0, -12), (0, 14)], [(0, 0), polar(90, 14)]], (1, 0)),
    "crossing at 90°": ([[(0, -14), (0, 14)], [polar(90, -14), polar(90, 14)]], (0, 1)),
    "crossing at 45°": ([[(0, -14), (0, 14)], [polar(45, -14), polar(45, 14)]], (0, 1)),
    "crossing at 25°": ([[(0, -16), (0, 16)], [polar(25, -16), polar(25, 16)]], (0, 1)),
    "three crossings": ([[(0, -14), (0, 50)], *([polar(a, -14, (0, c)), polar(a, 14, (0, c))]
                                                for a, c in ((60, 0), (110, 18), (75, 36)))], (0, 3)),
    "laterals in turn": ([[(0, -12), (0, 20)], [(0, 0), polar(60, 14)], [(0, 3), polar(-60, 14, (0, 3))]], (2, 0)),
    "laterals on one side": ([[(0, -12), (0, 20)], [(0, 0), polar(60, 14)], [(0, 3), polar(60, 14, (0, 3))]], (2, 0)),
    "laterals from one place": ([[(0, -12), (0, 20)], [(0, 0), polar(50, 14)], [(0, 0), polar(-50, 14)]], (1, 0)),
    "star of five": ([[(0, 0), polar(a, 12)] for a in range(0, 360, 72)], (1, 0)),
    "opposite laterals, taken for a crossing": ([[(0, -12), (0, 12)], [(0, 0), (10, 0)], [(0, 0), (-10, 0)]], (0, 1)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_branch_points_and_crossings(shape):
    "Drawn 4 and 7 pixels wide and turned by 0, 30 and 75 degrees."
    lines, counted = SHAPES[shape]
    for width in (4, 7):
        for angle in (0, 30, 75):
            mask = drawn(*(0.4 + turned(np.array(line) * width, angle) for line in lines), width=width)
            found = roots.traits(mask, mm_per_pixel=0.1)
            assert (found.branch_points, found.crossings) == counted, (width, angle)
            assert found.branching_cm == pytest.approx(counted[0] / found.length_mm * 10)


def test_spurs_and_specks_go():
    "A bump of half a width is a spur, one of three widths a lateral; a blot of 5 pixels is no root."
    root = [(0, 0), (0, 200)]
    bump, lateral = ([(0, 100), (h, 100)] for h in (6, 21))
    with_bump, with_lateral = drawn(root, bump, width=6), drawn(root, lateral, width=6)
    assert roots.traits(with_bump, mm_per_pixel=1).branch_points == 0
    assert roots.length(with_bump) == pytest.approx(200, rel=0.02)
    assert roots.traits(with_lateral, mm_per_pixel=1).branch_points == 1
    assert roots.traits(with_lateral, mm_per_pixel=1, prune=5).branch_points == 0
    assert roots.length(with_lateral, prune=5) == pytest.approx(200, rel=0.02)
    blotted = with_bump.copy()
    blotted[1:6, 20:25] = True
    assert (roots.skeleton(blotted) == roots.skeleton(with_bump)).all()
    pierced = with_bump.copy()
    pierced[10, 100] = False
    assert not pierced.all() and roots.length(pierced) == roots.length(with_bump)


def test_what_is_no_root_has_no_length():
    for mask in (np.zeros((30, 40)), np.eye(1, 900, 410).reshape(30, 30), np.ones((1, 1)), np.ones((25, 25))):
        found = roots.traits(mask, mm_per_pixel=0.1)
        assert found.length_mm == found.rld_cm_cm3 == found.branch_points == sum(found.by_class_mm.values()) == 0
        assert np.isnan(found.diameter_mm) and np.isnan(found.branching_cm)
        assert found.area_mm2 == pytest.approx(mask.sum() * 0.01)
        assert not roots.skeleton(mask).any() and roots.skeleton(mask).shape == mask.shape
        assert all(roots.length(mask, method=method) == 0 for method in roots.METHODS)


def test_a_mask_may_be_a_skeleton_or_of_any_two_values():
    mask = drawn(sine(12, 90), width=5)
    thin = roots.skeleton(mask)
    assert thin.sum() < 1.1 * roots.length(mask) and not (thin & ~mask).any()
    assert (roots.skeleton(thin) == thin).all()
    assert roots.length(thin) == pytest.approx(roots.length(mask), rel=0.02)
    for same in (mask * 255, mask.astype(float), xr.DataArray(mask, dims=("y", "x")), np.asfortranarray(mask)):
        assert roots.length(same) == roots.length(mask)


def test_masks_of_pillow_are_read():
    "True of a 1-bit image is a byte of 255, which has crashed compiled code."
    image = Image.new("1", (200, 100))
    ImageDraw.Draw(image).line([(10, 50), (190, 50)], fill=1, width=5)
    mask = np.array(image)
    assert mask.dtype == bool and mask.view(np.uint8).max() == 255
    assert roots.length(mask) == pytest.approx(181, abs=1.5)
    assert roots.score(mask, mask)["cldice"] == 1


def test_units():
    "RLD is length over area times depth; a mask twice as large in mm is a root twice as long and thick."
    mask = drawn([(0.5, 0), (0.5, 150)], [(0.5, 75.5), (60, 75.5)], width=4)
    one = roots.traits(mask, mm_per_pixel=0.1, classes=(0.5, 1))
    two = roots.traits(mask, mm_per_pixel=0.2, classes=(1, 2))
    assert one.length_mm == pytest.approx(21, rel=0.02) and one.diameter_mm == pytest.approx(0.4, rel=0.03)
    assert one.planar_cm_cm2 == pytest.approx(one.length_mm / 10 / (mask.size * 1e-4))
    assert one.rld_cm_cm3 == pytest.approx(one.planar_cm_cm2 / 0.2)
    assert one.branching_cm == pytest.approx(1 / 2.1, rel=0.02)
    times = {"length_mm": 2, "diameter_mm": 2, "area_mm2": 4, "planar_cm_cm2": 0.5, "rld_cm_cm3": 0.5,
             "branching_cm": 0.5, "branch_points": 1}
    for name, factor in times.items():
        assert getattr(two, name) == pytest.approx(factor * getattr(one, name))
    assert list(two.by_class_mm.values()) == pytest.approx([2 * v for v in one.by_class_mm.values()])
    assert roots.traits(mask, mm_per_pixel=0.1, depth_of_field_mm=1).rld_cm_cm3 == pytest.approx(2 * one.rld_cm_cm3)
    assert pd.DataFrame([one, two]).length_mm.tolist() == [one.length_mm, two.length_mm]


@pytest.mark.parametrize("angle", [20, 35, 45])
def test_diameters(angle):
    "Roots 2.5, 5 and 9 pixels wide fall into their classes."
    line = 0.5 + turned([(0, 0), (0, 200)], angle)
    mask = np.zeros((600, 240), bool)
    for place, width in ((0, 2.5), (200, 5), (400, 9)):
        one = drawn(line, width=width)
        mask[place:place + len(one), :one.shape[1]] = one
    found = roots.traits(mask, mm_per_pixel=0.1, classes=(0.375, 0.7))
    assert list(found.by_class_mm) == ["0–0.375", "0.375–0.7", "above 0.7"]
    assert list(found.by_class_mm.values()) == pytest.approx([20, 20, 20], rel=0.03)
    assert found.diameter_mm == pytest.approx(0.55, rel=0.03)


def test_diameter_follows_a_taper():
    y, x = np.mgrid[-10:11, :320]
    taper = roots.traits(np.abs(y) <= 1 + x / 64, mm_per_pixel=0.1, classes=(0.5, 0.8, 1.1))
    assert list(taper.by_class_mm.values()) == pytest.approx([9.6, 9.6, 9.6, 3.2], abs=2)
    assert sum(taper.by_class_mm.values()) == pytest.approx(taper.length_mm) == pytest.approx(32, rel=0.02)


def test_kimura():
    "Exact at 0° and 45°; on average over angles 1.7 % and at most 3 % too long."
    found = {}
    for angle in range(0, 91):
        mask, end = np.zeros((460, 460), bool), np.rint(polar(angle, 400)).astype(int)
        mask[tuple(np.add(pixels_between(0, 0, *end), 20))] = True
        found[angle] = roots.length(mask, method="kimura") / np.hypot(*end) - 1
    assert found[0] == pytest.approx(0, abs=1e-9) and found[45] == pytest.approx(0, abs=1e-9)
    assert found[90] == pytest.approx(0, abs=1e-9)
    assert np.mean(list(found.values())) == pytest.approx(0.017, abs=0.002) and max(found.values()) <= 0.031


def test_skan_is_a_method():
    "It sums steps of 1 and √2, so it is right along rows and 5 % too long on average over angles."
    masks = [drawn(turned([(0, 0), (0, 300)], angle), width=3) for angle in range(0, 90, 5)]
    long = [roots.length(mask, method="skan") / 300 - 1 for mask in masks]
    assert abs(long[0]) <= 0.01 and np.mean(long) == pytest.approx(0.047, abs=0.01) and max(long) <= 0.085


def test_score_by_hand():
    "Ten pixels drawn, eight of them found and two beside."
    mask, found = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    mask[5, 5:15] = found[5, 5:13] = found[15, 5:7] = True
    values = roots.score(found, mask)
    assert values["dice"] == pytest.approx(0.8) and values["iou"] == pytest.approx(8 / 12)
    assert values["cldice"] == pytest.approx(0.8)
    assert values["tolerant_precision"] == pytest.approx(0.8) and values["tolerant_recall"] == 1
    assert values["tolerant_dice"] == pytest.approx(2 * 0.8 / 1.8)
    assert roots.score(found, mask, tolerance=0)["tolerant_recall"] == pytest.approx(0.8)
    assert roots.score(found, mask, tolerance=20)["tolerant_precision"] == 1


def test_score_is_symmetric_and_forgives_a_shift_within_the_tolerance():
    mask = drawn(sine(12, 90), width=4)
    shifted = np.roll(mask, 2, axis=0)
    there, back = roots.score(shifted, mask), roots.score(mask, shifted)
    assert there["dice"] == back["dice"] < 0.7 < 0.99 < there["tolerant_dice"]
    assert there["tolerant_precision"] == back["tolerant_recall"]
    assert there["cldice"] == pytest.approx(back["cldice"])
    thick = drawn(sine(12, 90), width=8, margin=0)[: mask.shape[0], : mask.shape[1]]
    assert thick.shape == mask.shape and roots.score(thick, mask)["cldice"] > 0.95 > roots.score(thick, mask)["dice"]
    assert set(roots.score(mask, mask).values()) == {1.0}
    empty = np.zeros_like(mask)
    assert set(roots.score(empty, empty).values()) == {1.0}
    assert set(roots.score(empty, mask).values()) == set(roots.score(mask, empty).values()) == {0.0}
    assert set(roots.score(~mask & False | (np.arange(mask.size).reshape(mask.shape) == 0), mask).values()) == {0.0}


@pytest.mark.parametrize("call, words", [
    (lambda m: roots.length(m[0]), "the mask has 1 dimensions; give one value per pixel"),
    (lambda m: roots.length(m * np.linspace(0, 1, 40)), "other values than 0 and one above it"),
    (lambda m: roots.length(np.where(m, np.nan, 0)), "other values than 0 and one above it"),
    (lambda m: roots.length(np.full((3, 3), "root")), "holds no numbers"),
    (lambda m: roots.length(np.zeros((0, 3))), "holds no numbers"),
    (lambda m: roots.length(m, method="smoth"), "method 'smoth' is unknown; did you mean 'smooth'"),
    (lambda m: roots.length(m, prune=-1), "prune = -1 is out of range"),
    (lambda m: roots.skeleton(m, prune=np.nan), "prune = nan is out of range"),
    (lambda m: roots.traits(m, mm_per_pixel=0), "mm_per_pixel = 0 is no size"),
    (lambda m: roots.traits(m, mm_per_pixel=np.nan), "mm_per_pixel = nan is no size"),
    (lambda m: roots.traits(m, mm_per_pixel=None), "mm_per_pixel = None is no size"),
    (lambda m: roots.traits(m, mm_per_pixel=0.1, depth_of_field_mm=-2), "depth_of_field_mm = -2 is no size"),
    (lambda m: roots.traits(m, mm_per_pixel=0.1, classes=(0.4, 0.2)), "are no diameter classes"),
    (lambda m: roots.traits(m, mm_per_pixel=0.1, classes=()), "are no diameter classes"),
    (lambda m: roots.score(m, m.T), "the predicted mask is (30, 40) and the drawn one (40, 30)"),
    (lambda m: roots.score(m * 0.5 + 0.1, m), "the predicted mask holds other values"),
    (lambda m: roots.score(m, m, tolerance=-1), "tolerance = -1 is out of range"),
])
def test_errors(call, words):
    mask = np.zeros((30, 40), bool)
    mask[10, 5:35] = True
    with pytest.raises(InputError) as error:
        call(mask)
    assert words in str(error.value) and "\n" not in str(error.value)


@real
@pytest.mark.parametrize("width", [4])
def test_real_tracings_are_measured_back(width):
    "Each traced root drawn alone has its length within 2 % in total and in the median file; together they hide some."
    from phenolib.sources import rsml

    table = []
    for path in sorted((Path(REAL) / "roots_paper" / "rsml").glob("*.rsml")):
        lines = [points for points in rsml.read(path).points.values() if len(points) > 1]
        masks = [drawn(points, width=width) for points in lines]
        together = drawn(*lines, width=width)
        table.append({"true": sum(map(true_length, lines)), "alone": sum(map(roots.length, masks)),
                      "together": roots.length(together), "seen": together.sum() / sum(m.sum() for m in masks)})
    table = pd.DataFrame(table)
    ratio, together = table.alone / table.true - 1, table.together / table.true - 1
    total = table.sum() / table.true.sum() - 1
    print(f"\nalone {total.alone:+.2%} in total, {ratio.median():+.2%} in the median file; together "
          f"{total.together:+.2%} and {together.median():+.2%}; of the area {1 - table.seen.median():.2%} is hidden")
    assert len(table) == 12 and abs(total.alone) <= 0.01
    assert ratio.abs().median() <= 0.01 and ratio.abs().max() <= 0.02
    assert -0.12 < together.median() < 0 and (table.together / table.true / table.seen).between(0.85, 1.07).all()


@real
def test_hand_masks_of_real_scans_agree_with_skan():
    "Length against that of the whole skeleton by skan: within 5 % in the median scan."
    from skan import Skeleton
    from skimage.morphology import skeletonize

    paths = sorted((Path(REAL) / "roots_minirhizotron" / "masks").glob("*.png"))[::4]
    difference = []
    for path in paths:
        mask = np.array(Image.open(path).convert("L")) > 0
        difference.append(roots.length(mask) / Skeleton(skeletonize(mask)).path_lengths().sum() - 1)
    low, middle, high = np.quantile(difference, [0, 0.5, 1])
    print(f"\nmedian {middle:+.2%} of {len(paths)} scans, {low:+.2%} to {high:+.2%}")
    assert len(paths) == 8 and abs(middle) <= 0.05
