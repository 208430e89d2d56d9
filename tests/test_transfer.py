"""The network that corrects maps of soil moisture: patches and maps, what is frozen, what it can learn."""

import pytest
import torch

from phenolib import training
from phenolib.errors import InputError
from phenolib.nets.transfer import Corrector, likelihood

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def seeded():
    "Every test starts from the same weights."
    torch.manual_seed(3)


def fitted(model, x, y, epochs=200, **options):
    "The model after training on all samples at once; the losses."
    def loss(model, batch):
        mean, spread = model(batch["x"])
        return likelihood(mean[..., 0, 0], spread[..., 0, 0], batch["y"])

    return training.train(model, training.shuffled({"x": x, "y": y}, len(x)), loss=loss, epochs=epochs, decay=0,
                          progress=False, **options)


@pytest.mark.parametrize("blocks", [2, 4])
def test_a_map_is_told_as_its_patches_are(blocks):
    "Every pixel of a map has the value that its own patch has."
    model = Corrector(5, width=8, blocks=blocks).eval()
    x, side = torch.randn(2, 5, 14, 17), 2 * blocks + 1
    mean, spread = model(x)
    assert model.side == side and mean.shape == spread.shape == (2, 2, 15 - side, 18 - side)
    for row in range(mean.shape[2]):
        for column in range(mean.shape[3]):
            one = model(x[:, :, row:row + side, column:column + side])
            assert torch.allclose(one[0][..., 0, 0], mean[:, :, row, column], atol=1e-5)
            assert torch.allclose(one[1][..., 0, 0], spread[:, :, row, column], atol=1e-5)


def test_nothing_beyond_the_patch_counts():
    "A pixel five away changes nothing; one four away does."
    model = Corrector(3, width=8).eval()
    x = torch.randn(1, 3, 13, 13)
    plain = model(x)[0][0, :, 2, 2]  # its patch: rows and columns 2 to 10
    for at, same in ((1, True), (2, False), (11, True), (10, False)):
        other = x.clone()
        other[0, :, at, 6] += 5
        assert torch.equal(model(other)[0][0, :, 2, 2], plain) == same


def test_it_learns_eight_samples_by_heart():
    "Two layers of eight patches of noise, with their own targets."
    x, y = torch.randn(8, 4, 9, 9), torch.randn(8, 2)
    model = Corrector(4, width=16, dropout=0)
    fitted(model, x, y, lr=3e-3)
    assert (model(x)[0][..., 0, 0] - y).abs().max() < 0.15


def test_the_variance_is_that_of_the_noise():
    "Noise whose SD depends on a channel is found as such."
    x = torch.randn(4000, 1, 9, 9)
    noise = torch.where(x[:, :, 4, 4] > 0, 1.0, 0.3)
    y = noise * torch.randn(4000, 2)
    model = Corrector(1, width=8, blocks=2, dropout=0)
    fitted(model, x[:, :, 2:7, 2:7], y, epochs=80, lr=1e-2)
    sd = torch.exp(model(x[:, :, 2:7, 2:7])[1][..., 0, 0] / 2).mean(1).detach()
    loud = noise[:, 0] == 1
    assert sd[loud].median() == pytest.approx(1, rel=0.2) and 0.2 < sd[~loud].median() < 0.5


def test_the_frozen_part_does_not_move():
    "Bits of the early part stay, those of the rest change; put back in, all change."
    x, y = torch.randn(16, 4, 9, 9), torch.randn(16, 2)
    for frozen in (True, False):
        model = Corrector(4, width=8).freeze(frozen)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        fitted(model, x, y, epochs=3)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]) == (frozen and name.startswith("early"))


def test_a_residual_begins_at_nothing():
    "After restart the mean is 0 and the variance 1 everywhere; the other weights are as they were."
    model = Corrector(4, width=8).eval()
    early = model.encode(torch.ones(1, 4, 9, 9))
    mean, spread = model.restart()(torch.randn(3, 4, 12, 12))
    assert not mean.any() and not spread.any() and torch.equal(model.encode(torch.ones(1, 4, 9, 9)), early)


def test_what_is_not_known_is_not_learnt_from():
    "A missing target of one layer gives neither loss nor gradient; without any target the loss is 0."
    mean, spread = torch.zeros(2, 2, requires_grad=True), torch.zeros(2, 2)
    loss = likelihood(mean, spread, torch.tensor([[1.0, torch.nan], [torch.nan, 3.0]]))
    loss.backward()
    assert loss.item() == pytest.approx((0.5 + 4.5) / 2) and (mean.grad != 0).tolist() == [[True, False], [False, True]]
    assert likelihood(mean, spread, torch.full((2, 2), torch.nan)) == 0


def test_it_is_small():
    "With the 25 channels of the book and either width it has no more than 40,000 weights."
    for width in (24, 32):
        assert sum(p.numel() for p in Corrector(25, width=width).parameters()) <= 40_000


@pytest.mark.parametrize("shape", [(1, 3, 9, 9), (1, 4, 8, 9), (4, 9, 9)])
def test_other_inputs_are_refused(shape):
    "Channels, size and dimensions are named."
    with pytest.raises(InputError, match="the network reads"):
        Corrector(4)(torch.zeros(shape))
    with pytest.raises(InputError, match="blocks = 1"):
        Corrector(4, blocks=1)
