import numpy as np
import pytest
import torch

from phenolib import looking
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
