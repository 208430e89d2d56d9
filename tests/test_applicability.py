import numpy as np
import pandas as pd
import pytest

from phenolib import applicability
from phenolib.errors import InputError
from phenolib.splits import Split

NAMES = ["ndvi", "dem", "lswi"]


@pytest.fixture
def known():
    "300 training rows of three predictors in very different units."
    values = np.random.default_rng(0).normal(0, 1, (300, 3)) * [0.1, 5, 0.01] + [0.5, 20, 0]
    return pd.DataFrame(values, columns=NAMES)


def test_the_training_rows_are_inside_and_far_ones_are_not(known):
    "A row that was trained on has index 0; rows far off in any predictor are outside, and that predictor is named."
    area = applicability.fit(known)
    assert np.allclose(area.index(known), 0) and area.inside(known).all()
    middle = known.mean().to_numpy()
    for k, name in enumerate(NAMES):
        far = middle.copy()
        far[k] += 20 * known[name].std()
        assert not area.inside(far) and area.why(far) == name
    assert area.inside(middle)


def test_the_unit_is_the_mean_distance_between_training_rows():
    "Two rows: one at their mean distance from the nearest of them has index 1, at twice it 2."
    area = applicability.fit(np.array([[0.0], [10.0]]))
    assert area.index(np.array([[20.0], [30.0], [10.0]])).tolist() == pytest.approx([1, 2, 0])


def test_the_threshold_is_the_upper_whisker_of_the_training_rows():
    "It is a dissimilarity that a training row has, at most 1.5 interquartile ranges above the upper quartile."
    values = np.r_[np.arange(20.0), 1000.0][:, None]
    area = applicability.fit(values)
    assert area.training[:20] == pytest.approx(1 / values.std(ddof=1) / area.unit)
    assert area.threshold == pytest.approx(area.training[0]) and area.training[-1] > 100 * area.threshold


def test_the_units_of_a_predictor_do_not_matter(known):
    "Metres or kilometres, shifted or not: the index is the same."
    new = known.to_numpy()[:50] * 1.3
    one = applicability.fit(known).index(new)
    other = applicability.fit(known.to_numpy() * [1, 1000, 1] + [0, 7, 0]).index(new * [1, 1000, 1] + [0, 7, 0])
    assert np.allclose(one, other, rtol=1e-4)


def test_weights_say_what_counts(known):
    "What has no weight moves nothing and is never named; what has more weight leads out sooner."
    far = known.mean().to_numpy() + np.array([0, 8, 0]) * known.std().to_numpy()
    without, light, heavy = (applicability.fit(known, [1, weight, 1]) for weight in (0, 0.2, 5))
    assert without.inside(far) and without.why(far) != "dem"
    assert not heavy.inside(far) and heavy.why(far) == "dem"
    assert without.index(far) < light.index(far) < heavy.index(far)
    assert np.isnan(applicability.fit(known, [1, 0, 1]).index([0.5, np.nan, 0.0]))


def test_a_region_that_was_left_out_is_outside():
    "Trained without one of four clusters of predictors, that cluster is outside, the others inside."
    rng = np.random.default_rng(1)
    centres = np.array([[0, 0], [0, 10], [10, 0], [10, 10]])
    values, label = np.repeat(centres, 100, 0) + rng.normal(0, 0.5, (400, 2)), np.repeat(np.arange(4), 100)
    area = applicability.fit(values[label < 3], folds=np.arange(300) % 5)
    assert area.inside(values[label < 3]).mean() > 0.95 and area.inside(values[label == 3]).mean() < 0.05


def test_folds_of_regions_widen_the_area(known):
    "Where validation held out whole clusters, its error is that of rows further off: the area is larger."
    rng = np.random.default_rng(1)
    label = np.repeat(np.arange(6), 50)
    values = rng.normal(0, 3, (6, 2))[label] + rng.normal(0, 0.3, (300, 2))
    alone, random, region = (applicability.fit(values, folds=folds) for folds in (None, np.arange(300) % 5, label))
    assert alone.threshold <= random.threshold < region.threshold


def test_splits_tell_more_than_labels(known):
    "Given as splits, rows that were on no side are not what a tested row was compared with."
    label = np.arange(300) % 3
    same = [Split(np.flatnonzero(label != k), np.array([], int), np.flatnonzero(label == k)) for k in range(3)]
    assert np.allclose(applicability.fit(known, folds=same).training, applicability.fit(known, folds=label).training)
    fewer = [Split(part.train[::10], part.validation, part.test) for part in same[:2]]
    found = applicability.fit(known, folds=fewer)
    assert np.isnan(found.training[label == 2]).all()
    assert np.nanmean(found.training) > np.mean(applicability.fit(known, folds=label).training[label < 2])


def test_missing_predictors_are_outside_and_counted(known, monkeypatch):
    "Of a map with gaps every pixel is accounted for; pieces of any size give the same."
    area = applicability.fit(known)
    new = known.to_numpy()[:60].reshape(6, 10, 3).copy()
    new[0, :, 1] = np.nan
    new[1, :4] += [0, 500, 0]
    index = area.index(new)
    assert index.shape == area.why(new).shape == (6, 10) and index.dtype == np.float32
    assert np.isnan(index[0]).all() and not area.inside(new)[0].any() and (area.why(new)[0] == "").all()
    assert area.summary(new) == {"n": 60, "inside": 46, "outside": 14, "missing": 10, "share_inside": 46 / 60,
                                 "why": {"dem": 4}}
    monkeypatch.setattr(applicability, "CHUNK", 7)
    assert np.array_equal(area.index(new), index, equal_nan=True)


def test_nearest_rows_are_the_nearest(known):
    "The fast search agrees with all distances written out, also of many predictors and single precision."
    rng = np.random.default_rng(2)
    train, new = rng.normal(0, 1, (200, 20)), rng.normal(0, 2, (300, 20)).astype(np.float32)
    area = applicability.fit(train)
    scaled = (new - area.mean) / area.sd
    apart = np.sqrt(((scaled[:, None] - area.known[None])**2).sum(-1)).min(1)
    assert np.allclose(area.index(new), apart / area.unit, rtol=1e-5)
    every = np.sqrt(((area.known[:, None] - area.known[None])**2).sum(-1))
    assert area.unit == pytest.approx(every.sum() / (200 * 199))


def test_what_no_area_can_be_made_of_is_refused(known):
    "One line names the predictor or the lengths."
    holed = known.copy()
    holed.loc[3, "lswi"] = np.nan
    for given, said in [((holed,), "'lswi' is missing in 1 training rows, the first is 3"),
                        ((known.assign(dem=2.0),), "'dem' is 2 in all"), ((known, [1, 1]), r"weights of \(2,\)"),
                        ((known, [0, 0, -1]), "none is more than 0"), ((known, None, [1, 2]), "2 folds of 300"),
                        ((known, None, np.ones(300)), "of one fold"), ((known[:1],), "2 rows or more"),
                        ((known, None, [Split(np.arange(400), np.array([], int), np.r_[1])]), "beyond the 300")]:
        with pytest.raises(InputError, match=said) as error:
            applicability.fit(*given)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"give \(..., 3\) of ndvi, dem, lswi"):
        applicability.fit(known).index(np.zeros((4, 2)))
