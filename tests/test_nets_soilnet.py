"""The networks for soil salinity: what each mode reads, the parts, the dense form, what can be learnt."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from phenolib.errors import InputError
from phenolib.nets.soil_blocks import CBAM, MODC, CrossAttention, IndexResNet, Pool
from phenolib.nets.soilnet import MODES, DenseSoilNet, SoilNet

READS = {"full": 4, "stack": 4, "spectral": 3, "index": 2}


@pytest.fixture(autouse=True, scope="module")
def fixed():
    "One thread, and what was asked of torch before."
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seeded():
    "Every test starts from the same weights."
    torch.manual_seed(1)


def used(model):
    "In evaluation mode, with statistics and weights that are not those of a fresh one, so that every part counts."
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.3, 1)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.3)
    for parameter in model.parameters():
        if parameter.abs().max() == 0:
            parameter.data.normal_(0, 0.3)
    model.head[-1].weight.data.mul_(30)
    return model.eval()


def small(mode="full", **options):
    options = {"channels": 8, "width": 16, **options}
    return DenseSoilNet(**options) if mode == "dense" else SoilNet(mode, **options)


def samples(n, side=65, bands=10, indices=35, layers=9):
    return torch.randn(n, bands), torch.randn(n, indices), torch.rand(n), torch.randn(n, layers, side, side)


def scene(model, rows=6, columns=10, dtype=torch.float32):
    edge = model.reach - 1
    return [torch.randn(shape, dtype=dtype) for shape in (
        (10, rows, columns), (35, rows, columns), (rows, columns), (9, rows // 2 + edge, columns // 2 + edge))]


def pixel_by_pixel(model, bands, indices, ndvi, layers):
    "What forward gives for the patch around the cell of each pixel."
    places = [(row, column) for row in range(ndvi.shape[0]) for column in range(ndvi.shape[1])]
    patches = torch.stack([layers[:, y // 2:y // 2 + model.reach, x // 2:x // 2 + model.reach] for y, x in places])
    with torch.no_grad():
        found = model(bands.flatten(1).T, indices.flatten(1).T, ndvi.flatten(), patches)
    return found.view(ndvi.shape)


@pytest.mark.parametrize("mode", [*MODES, "dense"])
def test_eight_samples_are_learnt_by_heart(mode):
    "Eight salt contents that have nothing to do with the inputs are given back to within 0.15 in log1p."
    model = small(mode, dropout=0.0)
    data, y = samples(8, 33 if mode == "dense" else 65), torch.rand(8) * 3
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(200):
        away = model(*data) - y
        if away.abs().max() < 0.15:
            break
        optimiser.zero_grad()
        F.huber_loss(away, torch.zeros(8)).backward()
        optimiser.step()
    assert away.abs().max() < 0.15


@pytest.mark.parametrize("mode", ["full", "dense"])
def test_a_planted_spectrum_and_surroundings_are_found(mode):
    "Half of the answer is in two bands, half in the relief nearby: half of the variance of new samples is explained."
    model, side = small(mode, layers=2, dropout=0.0), 33 if mode == "dense" else 65

    def planted(n):
        bands, indices, ndvi, _ = samples(n)
        relief = F.interpolate(torch.randn(n, 2, 6, 6), (side, side), mode="bilinear")
        middle = slice(side // 2 - 4, side // 2 + 5)
        return (bands, indices, ndvi, relief), bands[:, 6] - bands[:, 9] - 2 * relief[:, 0, middle, middle].mean((1, 2))

    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(80):
        data, y = planted(32)
        optimiser.zero_grad()
        F.huber_loss(model(*data), y).backward()
        optimiser.step()
    data, y = planted(200)
    with torch.no_grad():
        found = model.eval()(*data)
    assert (found - y).square().mean() < 0.5 * y.var()


@pytest.mark.parametrize("mode", MODES)
def test_what_a_mode_does_not_read_changes_nothing(mode):
    "Other bands, or none at all, leave the answer where the mode has no branch for them; those it reads change it."
    model, data = used(small(mode)), list(samples(4))
    found = model(*data)
    order = 1, 2, 0, 3  # indices and NDVI are read by all, then bands, then the window
    for k, place in enumerate(order):
        other = [x + 1 if j == place else x for j, x in enumerate(data)]
        none = [None if j == place else x for j, x in enumerate(data)]
        if k < READS[mode]:
            assert (model(*other) - found).abs().min() > 0
            with pytest.raises(InputError, match="has nothing; the network reads"):
                model(*none)
        else:
            torch.testing.assert_close(model(*other), found)
            torch.testing.assert_close(model(*none), found)


@pytest.mark.parametrize("mode", [*MODES, "dense"])
def test_saved_is_loaded(mode, tmp_path):
    "Weights written and read into another network give the same answers."
    model, data = used(small(mode)), samples(3, 33 if mode == "dense" else 65)
    torch.save(model.state_dict(), tmp_path / "net.pt")
    torch.manual_seed(2)
    other = small(mode).eval()
    assert not torch.allclose(other(*data), model(*data))
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    torch.testing.assert_close(other(*data), model(*data), atol=0, rtol=0)


@pytest.mark.parametrize("mode", [*MODES, "dense"])
def test_another_sensor_has_fewer_bands_and_indices(mode):
    "Six bands, 11 and 14 indices and five layers: an answer for each sample, and six tokens and one to look at."
    model = small(mode, bands=6, vegetation=11, salinity=14, layers=5).eval()
    data = samples(3, 33 if mode == "dense" else 65, 6, 25, 5)
    assert model(*data).shape == (3,)
    if mode in ("full", "dense"):
        assert model.attention(*data).shape[-1] == 7


@pytest.mark.parametrize(("mode", "queries"), [("full", 81), ("dense", 9)])
def test_attention_is_shared_out_among_bands_and_indices(mode, queries):
    "The weights of each place sum to 1 over ten bands and the indices, and all of them are positive."
    weights = used(small(mode)).attention(*samples(3, 33 if mode == "dense" else 65))
    assert weights.shape == (3, 4, queries, 11) and (weights > 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4, queries))


def test_attention_weights_are_those_of_the_answer():
    "Values weighted by them, brought together and added to the places, are what the layer gives."
    layer, spatial, pixel = CrossAttention(16, 4).eval(), torch.randn(2, 9, 16), torch.randn(2, 11, 16)
    seen = (layer.weights(spatial, pixel) @ layer.keys(pixel)[1]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(spatial, pixel), layer.norm(spatial + layer.out(seen)))


@pytest.mark.parametrize("mode", ["stack", "spectral", "index"])
def test_without_attention_there_is_none_to_look_at(mode):
    "The modes without cross-attention say so."
    with pytest.raises(InputError, match="has no attention"):
        small(mode).attention(*samples(2))


def test_the_gate_opens_for_plants():
    "With NDVI of 0.1 the vegetation indices do not count, with 0.6 those of salinity; at the centre half of each."
    model, indices = used_index(), torch.randn(5, 35)
    other_plants, other_salt = indices.clone(), indices.clone()
    other_plants[:, :16] += 3
    other_salt[:, 16:] += 3
    for ndvi, still, moved in (0.1, other_plants, other_salt), (0.6, other_salt, other_plants):
        found, same, new = (model(x, torch.full((5,), ndvi)) for x in (indices, still, moved))
        assert (same - found).abs().max() < 0.1 * (new - found).abs().max()
    torch.testing.assert_close(model.gate(torch.tensor([0.3, 0.35, -5.0, 5.0])), torch.tensor([0.5, 0.7311, 0, 1]),
                               atol=1e-4, rtol=0)
    assert IndexResNet(centre=0.5, hardness=0.01).gate(torch.tensor(0.45)) < 0.01


def used_index():
    model = IndexResNet(8).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    return model


def test_tokens_stand_in_the_order_of_the_bands():
    "A change of one band moves the tokens within three bands of it, which the widest kernel spans, and no other."
    model = MODC(8).eval()
    spectrum = torch.rand(1, 10)
    for band in range(10):
        other = spectrum.clone()
        other[:, band] += 10
        moved = (model(other) - model(spectrum)).abs().sum(-1)[0] > 1e-6
        assert moved[band]
        assert moved.nonzero().min() >= band - 3 and moved.nonzero().max() <= band + 3


@pytest.mark.parametrize(("channels", "hidden"), [(16, 8), (64, 8), (128, 16)])
def test_channel_attention_is_as_narrow_as_asked_but_not_below_eight(channels, hidden):
    "The map keeps its shape, and weights of channels and of places lie between 0 and 1."
    part, x = CBAM(channels).eval(), torch.randn(2, channels, 9, 9)
    assert part(x).shape == x.shape and part.mlp[0].out_channels == hidden
    assert part.channels(x).shape == (2, channels, 1, 1) and part.places(x).shape == (2, 1, 9, 9)
    assert all(((w > 0) & (w < 1)).all() for w in (part.channels(x), part.places(x)))


def test_attention_by_boxes_is_that_of_the_whole_where_the_box_is_the_whole():
    "A box of 5 × 5 around the only place it fits on gives the weights that pooling over the whole map gives."
    x = torch.randn(2, 16, 5, 5)
    boxes, whole = CBAM(16, kernel=3, box=5).eval(), CBAM(16, kernel=3).eval()
    whole.load_state_dict(boxes.state_dict())
    torch.testing.assert_close(boxes.channels(x), whole.channels(x))
    assert boxes(torch.randn(2, 16, 11, 13)).shape == (2, 16, 5, 7)


def test_what_is_near_counts_most_before_anything_is_learned():
    "Weights of the places sum to 1, fall away from the middle, and are learned."
    weights = Pool(9, 80.0).weights().view(9, 9)
    assert weights.argmax() == 40 and weights.sum().isclose(torch.tensor(1.0)) and weights.requires_grad
    assert (weights[4, 4:].diff() < 0).all()
    torch.testing.assert_close(weights, weights.T)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
@pytest.mark.parametrize("shape", [(2, 2), (6, 10), (4, 6)])
def test_whole_scene_is_patch_by_patch(dtype, bound, shape):
    "Dense answers are those of the patch around each pixel's cell, for odd and even numbers of cells."
    model = used(small("dense")).to(dtype)
    data = scene(model, *shape, dtype)
    found, expected = model.dense(*data), pixel_by_pixel(model, *data)
    assert found.shape == shape and expected.std() > 0.05
    assert (found - expected).abs().max() < bound


def test_parts_of_a_scene_give_the_whole(monkeypatch):
    "Fewer pixels at once leave the answers, and arrays do as well as tensors."
    model = used(small("dense"))
    data = scene(model, 8, 22)
    whole = model.dense(*data)
    monkeypatch.setattr("phenolib.nets.soilnet.PIXELS", 24)
    torch.testing.assert_close(model.dense(*(x.numpy() for x in data)), whole, atol=1e-5, rtol=0)


def test_two_blocks_reach_farther_and_are_dense_too():
    "With a second block a patch is 53 cells, and a scene is still what its patches give."
    model = used(small("dense", blocks=2))
    data = scene(model)
    assert model.reach == 53
    torch.testing.assert_close(model.dense(*data), pixel_by_pixel(model, *data), atol=1e-5, rtol=0)


def test_reach_is_as_far_as_a_cell_is_felt():
    "The cells that move the answer fill the patch to its edges and no cell beyond it; it is 660 m wide."
    model = used(small("dense"))
    data = scene(model, 2, 2)
    data[3].requires_grad_()
    model(data[0][:, 0, 0][None], data[1][:, 0, 0][None], data[2][:1, 0], data[3][None]).sum().backward()
    felt = data[3].grad.abs().sum(0).nonzero()
    assert felt.min() == 0 and felt.max() == model.reach - 1 == 32 and model.metres == 660


def test_a_gap_stays_where_it_is():
    "A pixel without a value has no answer, and one cell of the layers takes the answers that depend on it."
    model = used(small("dense"))
    data = scene(model, 8, 8)
    data[0][3, 2, 5] = torch.nan
    missing = model.dense(*data).isnan()
    assert missing[2, 5] and missing.sum() == 1
    data = scene(model, 8, 8)
    data[3][0, 0, 0] = torch.nan
    missing = model.dense(*data).isnan()
    assert missing[:2, :2].all() and missing.sum() == 4


def test_wrong_use_is_named():
    "Modes, heads, shapes, an odd scene and training mode: one line each that says what to do."
    with pytest.raises(InputError, match="mode='ful'; did you mean 'full'"):
        SoilNet("ful")
    with pytest.raises(InputError, match="the heads must divide the width"):
        SoilNet(width=30)
    with pytest.raises(InputError, match="hardness=0"):
        SoilNet(hardness=0)
    bands, indices, ndvi, window = samples(2)
    with pytest.raises(InputError, match=r"bands has the shape \(2, 9\); the network reads \(2, 10\)"):
        small()(bands[:, :9], indices, ndvi, window)
    model = small("dense")
    data = scene(model)
    with pytest.raises(InputError, match="training mode"):
        model.dense(*data)
    model.eval()
    with pytest.raises(InputError, match="5 × 10 pixels; give even numbers"):
        model.dense(data[0][:, :5], data[1][:, :5], data[2][:5], data[3])
    with pytest.raises(InputError, match="layers has the shape"):
        model.dense(*data[:3], data[3][:, 1:])
