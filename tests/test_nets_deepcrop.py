import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from phenolib import nets
from phenolib.errors import InputError
from phenolib.nets.blocks import ConvBranch, EncoderLayer
from phenolib.nets.deepcrop import EVENTS, NONE, SITE, DeepCroP, spaced

PARTS = [{}, {"fusion": "mid"}, {"decision": "sigmoid"}, {"literal_eq45": True}, {"padding": "same"},
         {"sensors": "optical"}, {"parts": "cnn"}, {"parts": "transformer"},
         {"parts": "cnn", "sensors": "optical"}, {"parts": "transformer", "sensors": "optical"}]


@pytest.fixture(autouse=True)
def fixed():
    "Every test starts from the same weights, on one thread."
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(threads)


def network(size="lite", **options):
    return DeepCroP(size, **options).eval()


def samples(n, seed=0):
    "Windows of noise, their days uneven."
    draw = torch.Generator().manual_seed(seed)
    optical, sar = (torch.rand(n, steps, 18, 18, 2, generator=draw) for steps in (30, 10))
    days = torch.rand(n, 30, generator=draw).add(0.2).mul(5).cumsum(1)
    return {"optical": optical, "sar": 2 * sar - 1, "optical_days": days, "sar_days": spaced("sar").repeat(n, 1)}


def weights(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("options", PARTS, ids=str)
def test_every_variant_gives_a_logit_per_event_and_position(options):
    "All forms of the network and its ablations take the same samples and give (batch, 4, 31)."
    data = samples(2)
    if options.get("sensors") == "optical":
        del data["sar"], data["sar_days"]
    with torch.no_grad():
        logits = network(**options)(**data)
    assert logits.shape == (2, len(EVENTS), NONE + 1) and logits.isfinite().all()


def test_the_faithful_size_runs_with_thirty_heads_of_width_one():
    "The published widths are legal and give logits."
    model = network("faithful")
    with torch.no_grad():
        assert model(**samples(1)).shape == (1, 4, 31)
    assert (model.encoder.heads, model.project.out_features) == (30, 30)
    assert [m.in_features for m in model.mlp if isinstance(m, nn.Linear)] == [960, 10000, 5000, 1000]


def test_weights_are_as_many_as_the_shapes_say():
    "A branch has 257,824 weights, the faithful MLP 65.1 million."
    with torch.device("meta"):
        model = DeepCroP("faithful")
    assert [weights(branch) for branch in model.branches.values()] == [257_824, 257_824]
    assert weights(model.mlp) == 65_116_500


def test_eighteen_pixels_are_what_three_layers_without_padding_bring_to_one():
    "A branch is 18 → 14 → 10 → 5 → 1, in the plain layers too; with padding it ends in 9 × 9."
    branch, patches = ConvBranch(), torch.rand(3, 18, 18, 2)
    first, second, third = branch.layers
    plain = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2), third, nn.ReLU())
    last = plain(patches.permute(0, 3, 1, 2))
    features, means = branch(patches)
    assert last.shape == (3, 128, 1, 1) and means.shape == (3, 224)
    torch.testing.assert_close(features, last[:, :, 0, 0])
    torch.testing.assert_close(means[:, :32], plain[:2](patches.permute(0, 3, 1, 2)).mean((2, 3)))
    torch.testing.assert_close(means[:, 32:96], plain[:5](patches.permute(0, 3, 1, 2)).mean((2, 3)))
    assert ConvBranch(padding="same")(patches)[0].shape == (3, 128 * 9 * 9)


def test_the_printed_equations_are_another_network():
    "Eqs 4 and 5 as printed put the residual inside; with the same weights the tokens differ, and end normalised."
    usual, printed = (EncoderLayer(8, 2, 16, literal_eq45=flag).eval() for flag in (False, True))
    printed.load_state_dict(usual.state_dict())
    x, there = torch.rand(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
    assert (usual(x, there) - printed(x, there)).abs().max() > 0.1
    torch.testing.assert_close(printed(x, there).mean(-1), torch.zeros(2, 5), atol=1e-6, rtol=0)


def test_attention_is_that_of_torch():
    "The encoder layer is the one of torch, pre-norm, with the same weights and the same tokens left out."
    ours = EncoderLayer(8, 2, 16).eval()
    theirs = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, norm_first=True).eval()
    pairs = [(theirs.self_attn.in_proj_weight, ours.query_key_value.weight),
             (theirs.self_attn.in_proj_bias, ours.query_key_value.bias),
             *zip(theirs.self_attn.out_proj.parameters(), ours.out.parameters()),
             *zip(theirs.linear1.parameters(), ours.ffn[0].parameters()),
             *zip(theirs.linear2.parameters(), ours.ffn[3].parameters())]
    with torch.no_grad():
        for to, of in pairs:
            to.copy_(of)
        x, there = torch.rand(2, 5, 8), torch.tensor([[True] * 5, [True, False, True, True, False]])
        torch.testing.assert_close(ours(x, there), theirs(x, src_key_padding_mask=~there))


def test_eight_samples_are_learnt_by_heart():
    "The lite network puts every event of eight windows of noise on its position."
    model, data = DeepCroP(dropout=0.0), samples(8)
    target = torch.randint(0, NONE + 1, (8, 4))
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(100):
        logits = model(**data)
        if (logits.argmax(-1) == target).all():
            break
        optimiser.zero_grad()
        model.loss(logits, target).backward()
        optimiser.step()
    assert (logits.argmax(-1) == target).all()


def planted(n, seed):
    "Seasons of one pixel, 20 and 50 % of a rise and a fall of NDVI, seen on uneven days; windows without them too."
    draw = np.random.default_rng(seed)
    days = np.cumsum(draw.uniform(2, 8, (n, 30)), 1)
    rise, fall = draw.uniform(30, 60, (n, 1)), draw.uniform(90, 120, (n, 1))
    crop = draw.random((n, 1)) < 0.8
    curve = 1 / (1 + np.exp((rise - days) / 5)) - 1 / (1 + np.exp((fall - days) / 5))
    series = 0.2 + 0.6 * crop * curve + draw.normal(0, 0.01, days.shape)
    optical = np.zeros((n, 30, 18, 18, 2), np.float32)
    optical[:, :, SITE, SITE] = np.stack([series, 0.3 + 0.2 * series], -1)
    back = 5 * np.log(4)  # from half to a fifth
    truth = np.where(crop, np.concatenate([rise - back, rise, fall, fall + back], 1), np.nan)
    target = np.where(crop, np.abs(days[:, None] - np.nan_to_num(truth)[..., None]).argmin(-1), NONE)
    return torch.from_numpy(optical), torch.from_numpy(days).float(), torch.from_numpy(target), truth


def test_planted_seasons_are_dated_in_windows_never_seen():
    "Trained on planted seasons, the series of the pixel alone dates others to less than half the distance of images."
    model = DeepCroP(sensors="optical", parts="transformer")
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(300):
        optical, days, target, _ = planted(64, seed=step)
        optimiser.zero_grad()
        model.loss(model(optical, optical_days=days), target).backward()
        optimiser.step()
    optical, days, _, truth = planted(200, seed=999)
    model.eval()
    found = model.dates(model(optical, optical_days=days), days)
    has = np.isfinite(truth)
    assert ((found.no_event.numpy() < 0.5) == has).mean() > 0.98
    assert np.nanmean(np.abs(found.day.numpy() - truth)) < 2.5
    assert np.nanmean(np.abs(found.expected.numpy() - truth)) < 2


@pytest.mark.parametrize("options", [{"sensors": "optical"}, {"parts": "transformer"}], ids=str)
def test_acquisitions_in_another_order_are_tokens_in_another_order(options):
    "Without the fusion, whose convolution runs along the steps, the encoder knows the days and not the order."
    assert moved(network(**options)) < 1e-5


def test_the_fusion_reads_the_order_of_steps():
    "With the fusion the same exchange changes the tokens: f_conv reads neighbours in the sequence."
    model = network()
    assert moved(model) > 1e-5
    nn.init.zeros_(model.fusion.weight)
    assert moved(model) < 1e-5  # nothing else reads it


def moved(model):
    "How far the tokens of permuted acquisitions are from the permuted tokens."
    data, order = samples(2), torch.randperm(30)
    there = torch.ones(2, 30, dtype=torch.bool)
    found = []
    with torch.no_grad():
        for steps in (torch.arange(30), order):
            days = {"optical": data["optical_days"][:, steps], "sar": data["sar_days"]}
            read = {s: model._read(s, data[s]) for s in model.sensors}
            read["optical"] = model._read("optical", data["optical"][:, steps])
            found.append(model.tokens(read, days, there))
    places = torch.cat([order, torch.arange(30, found[0].shape[1])])
    return (found[0][:, places] - found[1]).abs().max()


@pytest.mark.parametrize("options", PARTS, ids=str)
def test_a_step_that_is_not_there_changes_nothing(options):
    "Values and days of masked steps, NaN too, reach no logit, and their probability is zero."
    model, data = network(**options), samples(2)
    mask = torch.rand(2, 30) < 0.6
    other = {**data, "optical": torch.where(mask[..., None, None, None], data["optical"], torch.nan),
             "optical_days": torch.where(mask, data["optical_days"], torch.nan)}
    with torch.no_grad():
        logits, again = (model(**some, mask=mask) for some in (data, other))
    torch.testing.assert_close(logits, again, rtol=0, atol=0)
    assert (logits.softmax(-1)[..., :NONE].mean(1)[~mask] == 0).all()
    dates = model.dates(again, other["optical_days"])
    assert dates.expected[dates.no_event <= 0.5].isfinite().all()


def test_the_gradient_of_a_masked_step_is_a_number():
    "NaN under the mask does not reach the weights, and a window without a step can be trained on."
    model, data = DeepCroP(), samples(2)
    mask = torch.zeros(2, 30, dtype=torch.bool)
    mask[0, :12] = True
    data["optical"][~mask] = torch.nan
    model.loss(model(**data, mask=mask), torch.tensor([[3, 4, 9, NONE], [NONE] * 4])).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("literal", [False, True])
def test_attention_is_what_the_encoder_adds_up(literal):
    "The weights times the values are what the layer's own attention gives; they sum to one and skip what is not there."
    layer, x, there = EncoderLayer(8, 4, 16, literal_eq45=literal).eval(), torch.randn(2, 5, 8), torch.rand(2, 5) < 0.7
    first = layer.norms[0](x)
    given = first + x if literal else first
    weights = layer.attention(x, there)
    torch.testing.assert_close(layer.out((weights @ layer._heads(given)[2]).transpose(1, 2).flatten(2)),
                               layer.attend(given, there))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 5))
    assert (weights.transpose(1, 3)[~there] == 0).all()


@pytest.mark.parametrize("options, tokens", [({}, 32), ({"sensors": "optical"}, 30), ({"size": "faithful"}, 32)])
def test_attention_of_the_network_is_of_its_tokens(options, tokens):
    "Thirty optical steps, the radar's token and that of the fusion; a masked step is not looked at."
    model, data = network(**options), samples(2)
    mask = torch.arange(30).expand(2, -1) < 20
    weights = model.attention(**data, mask=mask)
    assert weights.shape == (2, model.encoder.heads, tokens, tokens)
    assert (weights[..., 20:30] == 0).all() and not weights.requires_grad
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]))
    with pytest.raises(InputError, match="no encoder"):
        network(parts="cnn").attention(**data)


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_a_window_without_any_step_has_no_event(decision):
    "Where nothing was observed no date is retrieved."
    model = network(decision=decision, sensors="optical")
    with torch.no_grad():
        found = model.dates(model(torch.zeros(1, 30, 18, 18, 2), mask=torch.zeros(1, 30, dtype=torch.bool)))
    assert found.day.isnan().all()
    if decision == "softmax":
        assert (found.no_event == 1).all()


def sharp(**options):
    """A network whose logits differ by about one, so that a wrong pixel is seen.

    In double precision: single precision rounds by 1e-5 here, more or less by machine, and would hide a small mistake.
    """
    model = network(**options).double()
    with torch.no_grad():
        for module in (model.project, model.mlp[0], model.mlp[3], model.heads):
            module.weight *= 4
    return model


@pytest.mark.parametrize("options", [{}, {"fusion": "mid"}, {"sensors": "optical"}, {"parts": "cnn"},
                                     {"parts": "transformer"}, {"size": "faithful"}], ids=str)
def test_a_whole_scene_is_the_same_as_patch_by_patch(options):
    "Every pixel of a scene of several uneven tiles gets the numbers of its own patch; the border gets none."
    model = sharp(**options)
    optical, sar, days = torch.rand(30, 27, 24, 2), torch.rand(10, 27, 24, 2), samples(1)
    when = {"optical_days": days["optical_days"][0], "sar_days": days["sar_days"][0]}
    mask = torch.rand(30, 27, 24) < 0.8
    dense = model.dense(optical, sar, **when, mask=mask, tile=6)
    inside = [(r, c) for r in range(SITE, 27 - 8) for c in range(SITE, 24 - 8)]
    patches = [torch.stack([x[:, r - 9:r + 9, c - 9:c + 9] for r, c in inside]) for x in (optical, sar)]
    with torch.no_grad():
        single = model(*(x.double() for x in patches), **{k: v.expand(len(inside), -1) for k, v in when.items()},
                       mask=torch.stack([mask[:, r, c] for r, c in inside]))
    torch.testing.assert_close(dense[SITE:-8, SITE:-8].flatten(0, 1), single, atol=1e-9, rtol=0)
    assert single[single > -100].std() > 0.05 and single.std(0).max() > 0.01
    assert dense.isnan()[..., 0, 0].sum() == 27 * 24 - len(inside)
    assert model.dates(dense, when["optical_days"]).day.isnan()[0].all()


def test_a_scene_does_not_depend_on_its_tiles():
    "One tile or many, arrays or tensors, and a scene left out by the mask may hold anything."
    model, mask = sharp(), torch.arange(30) != 4
    optical, sar = torch.rand(30, 22, 23, 2), torch.rand(10, 22, 23, 2)
    whole = model.dense(optical, sar, mask=mask)
    optical[4] = torch.nan
    parts = model.dense(optical.numpy(), sar.numpy(), mask=mask.numpy(), tile=2)
    torch.testing.assert_close(whole, parts, atol=1e-9, rtol=0, equal_nan=True)


def test_single_precision_gives_the_same_probabilities():
    "What a map is made of is the same to 1e-5 by scene and by patch."
    model = network()
    optical, sar = torch.rand(30, 20, 20, 2), torch.rand(10, 20, 20, 2)
    dense = model.dense(optical, sar)
    patches = [x[:, r - 9:r + 9, c - 9:c + 9] for x in (optical, sar) for r, c in ((9, 9), (11, 10))]
    with torch.no_grad():
        single = model(torch.stack(patches[:2]), torch.stack(patches[2:]))
    found = torch.stack([dense[9, 9], dense[11, 10]])
    torch.testing.assert_close(found.softmax(-1), single.softmax(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_dates_are_the_days_of_positions(decision):
    "The most probable position is a day, the expectation lies between two, and a likely 'no event' is no date."
    model = network(decision=decision)
    days = torch.arange(30.0) * 5 + 100
    logits = torch.full((1, 4, 31), -30.0)
    logits[0, 0, 7] = 30
    logits[0, 1, [7, 8]] = torch.tensor([0.5, 0.4])
    logits[0, 2, NONE] = 30
    logits[0, 3] = torch.nan
    found = model.dates(logits, days)
    assert found.day[0, :2].tolist() == [135, 135] and found.day[0, 2:].isnan().all()
    assert found.expected[0, 0] == pytest.approx(135)
    assert 135 < found.expected[0, 1] < 137.5 and found.expected[0, 2:].isnan().all()
    assert found.no_event[0, 2] == pytest.approx(1) and found.no_event[0, 3].isnan()
    torch.testing.assert_close(model.dates(logits, days[None]), found, equal_nan=True)


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_an_unknown_event_adds_no_loss(decision):
    "Targets of −1 are left out of the mean; with none known the loss is zero and has a gradient."
    model = network(decision=decision)
    logits = torch.randn(2, 4, 31, requires_grad=True)
    target = torch.tensor([[3, -1, NONE, -1], [-1, -1, -1, -1]])
    one, two = (model.loss(logits[:1, [k]], target[:1, [k]]) for k in (0, 2))
    torch.testing.assert_close(model.loss(logits, target), (one + two) / 2)
    nothing = model.loss(logits, torch.full((2, 4), -1))
    nothing.backward()
    assert nothing == 0 and (logits.grad == 0).all()


def test_the_losses_are_their_formulas():
    "Cross-entropy is −log softmax; eq. 9 is a logistic for each of the 31."
    logits, target = torch.randn(1, 1, 31), torch.tensor([[5]])
    p = logits.exp() / (1 + logits.exp())
    right = torch.zeros(31)
    right[5] = 1
    torch.testing.assert_close(network().loss(logits, target), -logits.softmax(-1)[0, 0, 5].log())
    torch.testing.assert_close(network(decision="sigmoid").loss(logits, target),
                               -(right * p.log() + (1 - right) * (1 - p).log()).sum())


def test_saved_is_loaded(tmp_path):
    "The weights on disk give the same numbers."
    model, data = network(), samples(1)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = network()
    with torch.no_grad():
        assert not torch.equal(model(**data), other(**data))
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(model(**data), other(**data))


@pytest.mark.parametrize("call, message", [
    (lambda: DeepCroP("light"), "size='light': it is one of 'lite', 'faithful'"),
    (lambda: DeepCroP(parts="rnn"), "parts='rnn'"),
    (lambda: DeepCroP()(torch.rand(1, 30, 18, 18, 2)), "sar has nothing"),
    (lambda: DeepCroP()(torch.rand(1, 29, 18, 18, 2), torch.rand(1, 10, 18, 18, 2)), r"optical has the shape \(1, 29"),
    (lambda: DeepCroP().dense(torch.rand(30, 20, 17, 2), torch.rand(10, 20, 17, 2)), "20 × 17 pixels"),
    (lambda: DeepCroP(padding="same").dense(torch.rand(30, 18, 18, 2), torch.rand(10, 18, 18, 2)), "padding='valid'"),
    (lambda: DeepCroP().loss(torch.zeros(1, 4, 31), torch.full((1, 4), 31)), "a target is 31"),
    (lambda: DeepCroP().loss(torch.full((1, 4, 31), -1e4), torch.zeros(1, 4, dtype=int)), "mask leaves out"),
])
def test_a_mistake_is_one_clear_line(call, message):
    "What the network cannot take is refused with what it takes."
    with pytest.raises(InputError, match=message):
        call()


def test_torch_is_loaded_only_with_a_network():
    "Importing the library, or the package of networks, loads no torch."
    code = "import sys, phenolib; print(dir(phenolib.nets)); print('torch' in sys.modules); phenolib.nets.deepcrop"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == [str(sorted(nets.MODULES)), "False"]
