"""The U-Net: seams, reach, sizes, the loss and the head."""

import math

import pytest
import torch

from phenolib.errors import InputError
from phenolib.nets import unet
from phenolib.nets.unet import UNet


def network(channels=(4, 8, 16), seed=0, **options):
    "A small network in evaluation mode, with statistics and weights that are not those of a fresh one."
    torch.manual_seed(seed)
    model = UNet(channels, **options).eval()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.3, 1)
    return model


def picture(rows=301, columns=355, seed=1):
    return torch.rand(3, rows, columns, generator=torch.Generator().manual_seed(seed)) * 255


@pytest.mark.parametrize("fold", [1, 2, 3])
@pytest.mark.parametrize("tile", [50, 96, 1000])
def test_tiles_give_the_whole(fold, tile):
    "Mask and traits are the same from tiles, at the seams too, for sizes that are no multiple of anything."
    model = network(fold=fold)
    mask, traits = model.whole(picture())
    other, same = model.tiled(picture(), tile)
    assert mask.shape == (301, 355) and mask.std() > 0.02
    torch.testing.assert_close(other, mask, atol=1e-5, rtol=0)
    torch.testing.assert_close(same, traits, atol=1e-5, rtol=0)


def test_reach_is_as_far_as_a_pixel_is_felt():
    "A changed pixel changes nothing further away than reach, and something more than half as far."
    model, image = network((4, 8), fold=2), picture(200, 200)
    other = image.clone()
    other[:, 100, 100] = 1e4
    changed = (model.whole(image)[0] != model.whole(other)[0]).nonzero() - 100
    assert model.reach / 2 < changed.abs().max() <= model.reach


def test_an_overlap_below_reach_is_refused():
    "The smallest overlap without seams is named."
    model = network()
    with pytest.raises(InputError, match=f"seams are exact from {model.reach} on"):
        model.tiled(picture(), 64, overlap=model.reach - 1)


@pytest.mark.parametrize("size", [(1, 1), (7, 40), (33, 8)])
def test_any_size_is_taken(size):
    "Images smaller than the network's unit have a mask of their size."
    mask, traits = network().whole(picture(*size))
    assert mask.shape == size and traits.shape == (3,) and traits.isfinite().all()


def test_sides_in_training_are_multiples_of_the_unit():
    "What whole() would pad, forward() refuses."
    model = network()
    logits, traits = model(picture(16, 24)[None])
    assert logits.shape == (1, 16, 24) and traits.shape == (1, 3)
    with pytest.raises(InputError, match="multiples of 8"):
        model(picture(16, 20)[None])


def test_turned_and_other_batches_are_alone():
    "In evaluation mode an image has the same mask in any company."
    model, images = network(), torch.stack([picture(32, 32, seed=k) for k in range(3)])
    with torch.no_grad():
        torch.testing.assert_close(model(images)[0][1], model(images[1:2])[0][0], atol=1e-5, rtol=0)


def test_length_grows_with_the_area():
    "Four copies of an image: about four times the length, the same density and branching."
    model = network()
    with torch.no_grad():
        model.head[-1].bias += 2
        one, four = (model(picture(512, 512).tile(1, k, k)[None])[1].expm1()[0] for k in (1, 2))
    assert four[0] / one[0] == pytest.approx(4, rel=0.05)
    torch.testing.assert_close(four[1:], one[1:], rtol=0.05, atol=0)


def test_the_outline_of_a_line_is_its_length():
    "Half the outline of lines three pixels wide, at two angles, is their length to 15 %."
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij")
    for angle in 0.0, 0.5:
        along = (x - 100) * math.cos(angle) + (y - 100) * math.sin(angle)
        across = (y - 100) * math.cos(angle) - (x - 100) * math.sin(angle)
        p = torch.sigmoid(4 * (1.5 - across.abs())) * torch.sigmoid(4 * (60 - along.abs()))
        assert unet.outline(p[None]).item() * p.numel() == pytest.approx(120, rel=0.15)


def test_the_loss_is_least_where_all_is_right():
    "Zero for the true mask and traits, more for any other; unknown traits add nothing."
    mask = (torch.rand(2, 16, 16) < 0.2).float()
    known = torch.tensor([[5.0, 1, 2], [torch.nan, 0, torch.nan]])
    right, said = 40 * (2 * mask - 1), known.nan_to_num(7).log1p()
    assert unet.loss(right, said, mask, known) < 1e-3
    assert unet.loss(-right, said, mask, known) > 1
    assert unet.loss(right, said + 1, mask, known, weight=1) == pytest.approx(0.5, abs=1e-3)
    assert unet.loss(right, said + 1, mask, known * torch.nan, weight=1) < 1e-3


def test_eight_crops_are_learnt_by_heart():
    "Masks of bars and their lengths, on noise that has little to do with them."
    torch.manual_seed(0)
    image, mask, known = torch.rand(8, 3, 32, 32) * 255, torch.zeros(8, 32, 32), torch.full((8, 3), torch.nan)
    for k in range(8):
        mask[k, 4 + 3 * k:6 + 3 * k, 2:12 + 2 * k] = 1
        known[k, 0] = 10.0 + 2 * k
    model = UNet((8, 16, 32)).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        logits, traits = model(image)
        unet.loss(logits, traits, mask, known).backward()
        optimiser.step()
    found = logits > 0
    assert 2 * (found * mask).sum() / (found.sum() + mask.sum()) > 0.95
    assert (traits[:, 0].expm1() - known[:, 0]).abs().max() < 4


def test_saved_is_loaded(tmp_path):
    "Weights, statistics and what training found out come back from the file."
    model, other = network(), UNet((4, 8, 16))
    model.threshold.fill_(0.35)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert other.threshold.item() == pytest.approx(0.35)
    assert torch.equal(other.eval().whole(picture())[0], model.whole(picture())[0])


@pytest.mark.parametrize(("options", "said"), [
    ({"channels": (16,)}, "two levels"), ({"channels": (16, 0)}, "two levels"),
    ({"traits": 4}, "length, rld, branching"), ({"fold": 0}, "fold = 0"),
], ids=str)
def test_what_cannot_be_built_is_refused(options, said):
    "The message says what can."
    with pytest.raises(InputError, match=said):
        UNet(**options)
