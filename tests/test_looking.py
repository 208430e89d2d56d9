import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from phenolib import looking, samples
from phenolib.nets.cropclock import View
from phenolib.nets.deepcrop import DeepCroP, spaced

DAYS = torch.arange(0.0, 100.0, 10.0).repeat(3, 1)  # of ten acquisitions of three seasons


def planted(batch):
    "Dates that hang on one acquisition each: 20 days per unit at day 30, 5 days per unit at day 70; the last has none."
    values = batch["optical"][:, :, 0]
    found = torch.stack([20 * values[:, 3], 5 * values[:, 7] + 100], 1)
    found[2] = torch.nan
    return found.numpy()


def test_hiding_finds_what_a_date_hangs_on():
    "A block moves a date only where it covers what the date was made from, and by the value that is lost."
    batch = {"optical": torch.full((3, 10, 2), 2.0), "optical_days": DAYS, "sar": torch.ones(3, 4, 2)}
    middles = np.array([[0.0, 30, 70], [38, 62, 1000], [0, 30, 70]])
    moves = looking.occlusion(planted, batch, "optical", middles, half=10)
    assert moves.shape == (3, 3, 2)
    assert moves[0].tolist() == [[0, 0], [-40, 0], [0, -10]]
    assert moves[1, 0].tolist() == [-40, 0] and moves[1, 1].tolist() == [0, -10]
    assert np.isnan(moves[1, 2]).all(), "a block without an acquisition says nothing"
    assert np.isnan(moves[2]).all(), "a date that is not there does not move"
    assert (batch["optical"] == 2).all(), "the batch is left as it was"
    whole = looking.occlusion(planted, batch, "optical", np.zeros((3, 1)), half=np.inf)
    assert whole[0, 0].tolist() == [-40, -10]


def test_the_largest_effect_is_found_with_its_interval():
    "Of planted curves the place of the highest is found, whatever the sign; without a curve there is a reason."
    lags = np.arange(-60, 61, 15)
    curve = np.exp(-0.5 * ((lags - 15) / 20) ** 2) * np.array([[5.0], [-3], [8], [np.nan]])
    found = looking.largest(curve, lags, ["a", "b", "c", "d"])
    assert (found["value"], found["interval"], found["n"]) == (15, (15, 15), 3)
    assert looking.largest(curve[3:], lags, ["d"])["value"] is None


def test_a_profile_is_the_mean_in_bins_of_days():
    "Values fall into the bin of their distance; what is missing or too far away is left out."
    lags = np.array([[-31.0, 0, 7, 500], [-29, 8, np.nan, 14]])
    line = looking.profile([[1.0, 2, 4, 9], [3, 6, 7, np.nan]], lags, ["a", "b"])
    assert line["mean"].to_dict() == {-30.0: 2.0, 0.0: 3.0, 15.0: 6.0}
    assert line["n"].tolist() == [2, 2, 1]
    assert line.loc[-30.0, ["low", "high"]].tolist() == [1, 3]


@pytest.mark.parametrize("options, tokens", [({}, 32), ({"sensors": "optical"}, 30)], ids=str)
def test_attention_is_shared_out(options, tokens):
    "An encoder that looks evenly gives every token one share, and what all of them receive is one on average."
    torch.manual_seed(0)
    model = DeepCroP(**options).eval()
    batch = {"optical": torch.rand(2, 30, 18, 18, 2), "sar": torch.rand(2, 10, 18, 18, 2),
             "optical_days": spaced("optical").repeat(2, 1), "mask": torch.arange(30).expand(2, -1) < 12}
    found = looking.received(model, batch)
    assert found.shape == (2, tokens) and np.isnan(found[:, 12:30]).all()
    assert np.nanmean(found, 1) == pytest.approx(1, abs=1e-5) and np.nanstd(found) > 1e-3
    torch.nn.init.zeros_(model.encoder.query_key_value.weight)
    torch.nn.init.zeros_(model.encoder.query_key_value.bias)
    assert np.nanmax(np.abs(looking.received(model, batch) - 1)) < 1e-5


def test_the_diagram_tells_the_widths_of_the_network():
    "The boxes name what this network has."
    for size, widths in (("lite", ("width 32", "4 heads", "256, 128")), ("faithful", ("width 30", "30 heads", "5000"))):
        _, axes = plt.subplots()
        with torch.device("meta"):
            looking.diagram(axes, DeepCroP(size))
        text = " ".join(part.get_text() for part in axes.texts)
        assert all(width in text for width in widths)
    plt.close("all")


def test_a_sample_is_drawn_with_its_dates():
    "Two sensors with their patches and series; a date that is not there is left out."
    draw, days = np.random.default_rng(0), np.arange(0, 300, 10, dtype=np.float32)[None]
    true = np.array([[100.0, 110, np.nan, 220]])
    window = samples.Windows(draw.random((1, 30, 18, 18, 2)), None, draw.random((1, 10, 18, 18, 2)) - 20, days,
                             days[:, ::3], np.arange(30)[None] < 25, None, np.where(np.isnan(true), np.nan, 2.0), true,
                             np.array(["2019-01-01"], "datetime64[D]"), np.array([0]))
    figure = looking.sample(window, shown=4)
    above = figure.axes[-2]
    assert len(figure.axes) == 10 and above.lines[0].get_xdata().size == 25
    assert [text.get_text() for text in above.texts] == ["SOS20", "SOS50", "EOS20"]
    plt.close("all")


def test_densities_are_drawn_per_day():
    "The area under each density is one, the intervals are bars, and a date that is not there has no line."
    line, middle = np.arange(-100.0, 101, 5), pd.Timestamp("2019-07-01")
    values = np.exp(-0.5 * ((line - np.array([[-60], [-40], [40], [60]])) / 8) ** 2)
    values /= values.sum(1, keepdims=True)
    dates = pd.Series([middle, pd.NaT, middle, middle], ["sos20", "sos50", "eos50", "eos20"])
    bars = [np.repeat(np.datetime64("2019-06-01"), 4) + np.timedelta64(k, "D") for k in (0, 5, 9)]
    _, axes = plt.subplots()
    looking.density(axes, line, values, middle, bars, dates)
    assert len(axes.lines) == 4 * 2 + 3
    for area in axes.collections:
        path = area.get_paths()[0].vertices
        assert 5 * path[:, 1].sum() == pytest.approx(1, rel=1e-6)
    plt.close("all")


def test_the_view_is_drawn_around_the_camera():
    "Cells in metres, with the camera in the middle of its own, and a ring for each member."
    views = [View(), View()]
    views[1].place.data += 0.05
    _, axes = plt.subplots()
    image = looking.view(axes, views)
    assert image.get_extent() == [-95, 85, -85, 95] and len(axes.patches) == 2
    assert image.get_array().sum() == pytest.approx(100)
    assert axes.patches[1].get_center() == pytest.approx((50, 50))
    plt.close("all")
