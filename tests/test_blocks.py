import numpy as np
import pandas as pd
import pytest

from phenolib import blocks
from phenolib.errors import InputError

CAMPAIGNS = ["2019-07", "2020-03", "2022-10"]


@pytest.fixture
def table():
    "400 samples in 80 clusters over 30 km; each cluster was sampled in one campaign, some of the sites in two."
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(80), 5)
    x, y = (rng.uniform(0, 30_000, 80)[cluster] + rng.normal(0, 150, 400) + start for start in (500_000, 4_200_000))
    rows = pd.DataFrame({"sample": [f"d{k:03d}" for k in range(400)], "site": [f"p{k}" for k in range(400)],
                         "campaign": np.array(CAMPAIGNS)[cluster % 3], "x": x, "y": y})
    again = rows[::20].assign(campaign=rows["campaign"][::20].map(dict(zip(CAMPAIGNS, CAMPAIGNS[1:] + CAMPAIGNS[:1]))),
                              sample=lambda part: part["sample"] + "b")
    return pd.concat([rows, again], ignore_index=True)


def nearest(table, one, other):
    "The smallest Chebyshev distance between two sides."
    a, b = (table.iloc[rows][["x", "y"]].to_numpy() for rows in (one, other))
    return np.abs(a[:, None] - b[None]).max(-1).min()


def test_a_point_keeps_its_block():
    "Blocks are laid on whole multiples of their size, so other points do not move them; an origin does."
    x, y = np.random.default_rng(0).uniform(-5000, 5000, (2, 50))
    names = blocks.block_of(x, y, 1000)
    assert (blocks.block_of(x[:7], y[:7], 1000) == names[:7]).all()
    assert names.tolist() == [f"{np.floor(a / 1000):.0f},{np.floor(b / 1000):.0f}" for a, b in zip(x, y)]
    assert blocks.block_of([1400.0], [0.0], 1000, origin=(500, 0)) == "0,0" != blocks.block_of([1400.0], [0.0], 1000)


@pytest.mark.parametrize("validation", [0.2, 0.0])
def test_no_window_is_on_two_sides_of_a_block_split(table, validation):
    "Every sample is tested once, blocks are whole, and sides lie at least a window apart."
    parts = blocks.by_block(table, size=3000, folds=5, validation=validation)
    assert sorted(np.concatenate([part.test for part in parts])) == list(range(len(table)))
    block = blocks.block_of(table["x"], table["y"], 3000)
    for part in parts:
        assert not set(block[part.test]) & set(block[np.r_[part.train, part.validation]])
        assert nearest(table, part.train, part.test) >= 650
        if validation:
            assert nearest(table, part.validation, part.test) >= 650
            assert nearest(table, part.train, part.validation) >= 650
            assert not set(block[part.validation]) & set(block[part.train])
            free = part.train.size + part.validation.size
            assert 0.1 < part.validation.size / free < 0.35
        assert 0 <= blocks.left_out(part, table) < 0.5
        blocks.refuse_overlap(table.iloc[part.train], table.iloc[part.test])


def test_folds_are_about_as_large(table):
    "No fold tests much more than its fifth; the same seed deals the same folds, another one others."
    parts = blocks.by_block(table, size=3000, folds=5, seed=3)
    sizes = [part.test.size for part in parts]
    assert max(sizes) - min(sizes) < 0.1 * len(table)
    x = np.r_[np.full(100, 1500.0), 1500 + 3000 * np.repeat(np.arange(1, 11), 10)]
    uneven = pd.DataFrame({"sample": range(200), "site": range(200), "campaign": "one", "x": x, "y": 1500.0})
    for seed in range(5):
        one, two = blocks.by_block(uneven, size=3000, folds=2, validation=0, seed=seed)
        assert one.test.size == two.test.size == 100
    again, other = (blocks.by_block(table, size=3000, folds=5, seed=seed) for seed in (3, 4))
    assert all((a.test == b.test).all() and (a.train == b.train).all() for a, b in zip(parts, again))
    assert any(a.test.tolist() != b.test.tolist() for a, b in zip(parts, other))


def test_smaller_blocks_leave_out_more(table):
    "The narrower the blocks, the more samples lie beside one that is tested."
    shares = [np.mean([blocks.left_out(part, table) for part in blocks.by_block(table, size=size, validation=0)])
              for size in (700, 3000, 9000)]
    assert shares[0] > shares[1] > shares[2]


def test_a_campaign_is_left_out_with_its_places(table):
    "Strict: no site and no window of the tested campaign is trained on; else they are, and are counted."
    for part in blocks.leave_campaign_out(table):
        assert set(table["campaign"].iloc[part.test]) == {part.campaign} and part.shared == 0
        assert part.campaign not in set(table["campaign"].iloc[np.r_[part.train, part.validation]])
        assert nearest(table, np.r_[part.train, part.validation], part.test) >= 650
        assert nearest(table, part.train, part.validation) >= 650
    loose = blocks.leave_campaign_out(table, strict=False)
    assert [part.campaign for part in loose] == CAMPAIGNS
    for part in loose:
        kept = table.iloc[np.r_[part.train, part.validation]]
        tested = table.iloc[part.test]
        assert part.campaign not in set(kept["campaign"])
        assert part.shared >= kept["site"].isin(tested["site"]).sum() > 0


def test_other_dates_at_other_places(table):
    "By block and campaign every sample is tested once, and neither its campaign nor its surroundings are trained on."
    parts = blocks.by_block_and_campaign(table, size=3000)
    assert sorted(np.concatenate([part.test for part in parts])) == list(range(len(table)))
    for part in parts:
        assert set(table["campaign"].iloc[part.test]) == {part.campaign}
        for side in part.train, part.validation:
            assert side.size and part.campaign not in set(table["campaign"].iloc[side])
            assert nearest(table, side, part.test) >= 650
    with pytest.raises(InputError, match="without campaign 'one' leaves no sample to train on"):
        blocks.by_block_and_campaign(table.assign(campaign="one"), size=3000)


def test_a_moved_site_is_one_place(table):
    "A site that is tested is not trained on, even if its coordinates of another campaign lie far off."
    moved = table.copy()
    twice = moved["sample"].str.endswith("b")
    moved.loc[twice, "x"] += 40_000
    for part in blocks.leave_campaign_out(moved):
        assert not set(moved["site"].iloc[part.test]) & set(moved["site"].iloc[np.r_[part.train, part.validation]])


def test_a_random_split_tests_every_row_once_and_overlaps(table):
    "Rows are tested once, sides are apart as rows, but not as places: refuse_overlap says so and names the samples."
    parts = blocks.at_random(table, folds=5, validation=0.2, seed=1)
    assert sorted(np.concatenate([part.test for part in parts])) == list(range(len(table)))
    for part in parts:
        assert not set(part.train) & set(part.test) and not set(part.validation) & set(np.r_[part.train, part.test])
        assert part.train.size + part.validation.size + part.test.size == len(table)
    with pytest.raises(InputError, match=r"sample 'd\d{3}b?', which is tested, overlaps .* 'd\d{3}b?', \d+ m from it"):
        blocks.refuse_overlap(table.iloc[parts[0].train], table.iloc[parts[0].test])


def test_windows_that_share_a_pixel_overlap():
    "Two windows of 65 pixels whose pixels are 64 apart share a column, at 65 they do not: 650 m decides."
    rows = pd.DataFrame({"x": [0.0, 649.9, 650.0, 0.0], "y": [0.0, 0.0, 0.0, -649.0]})
    assert blocks.overlaps(rows, rows[:1]).tolist() == [True, True, False, True]
    assert not blocks.overlaps(rows, rows[:0]).any()


def test_the_larger_of_window_and_range_is_the_size_of_blocks():
    "Blocks are never smaller than the window."
    assert blocks.size_for(650, 4200) == 4200 and blocks.size_for(650, 200) == 650
    with pytest.raises(InputError, match="range = nan"):
        blocks.size_for(650, np.nan)


def test_what_cannot_be_split_is_refused(table):
    "One line names the column, the sample or the number, and what to do."
    lost = table.copy()
    lost.loc[7, "y"] = np.nan
    here = table.assign(x=500_000.0, y=4_200_000.0)
    for wrong, given, said in [(table.drop(columns="site"), {}, "no column 'site'"), (lost, {}, "'d007' has no x"),
                               (table.assign(x=118.0, y=37.0), {}, "degrees"), (table[:0], {}, "no samples"),
                               (table, {"size": 500}, "less than the window of 650"), (here, {}, "of 1 blocks"),
                               (table, {"size": -1}, "size = -1"), (table, {"validation": 1.0}, "validation = 1.0"),
                               (table, {"size": 20_000, "window": 20_000, "folds": 2}, "leaves no sample to")]:
        with pytest.raises(InputError, match=said) as error:
            blocks.by_block(wrong, **{"size": 3000, **given})
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="all samples are of campaign '2019-07'"):
        blocks.leave_campaign_out(table[table["campaign"] == "2019-07"])
    with pytest.raises(InputError, match="strict=False"):
        blocks.leave_campaign_out(here)
    with pytest.raises(InputError, match="folds = 1 of"):
        blocks.at_random(table, folds=1)
