import lightgbm
import numpy as np
import pandas as pd
import pytest
import shap
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from phenolib import explain, indices
from phenolib.errors import InputError
from phenolib.nets import soilnet
from phenolib.salinity import BANDS, LAYERS, SALINITY, VEGETATION

GROUPED = {"first": ["a", "a_mean"], "second": ["b"], "third": ["c"], "nothing": ["d"]}


def table(n=400, seed=0):
    "Independent columns; a_mean is nearly a, and d tells nothing."
    x = pd.DataFrame(np.random.default_rng(seed).normal(size=(n, 5)), columns=["a", "a_mean", "b", "c", "d"])
    return x.assign(a_mean=x["a"] + 0.05 * x["a_mean"])


def linear(x):
    return 2.0 * x["a"].to_numpy() + 1.0 * x["b"].to_numpy() - 0.3 * x["c"].to_numpy()


def blocks(n, of=20):
    return np.arange(n) // of


class Small(torch.nn.Module):
    "Reads B11 and the mean of the elevation in the window, and the gate; nothing else."

    def __init__(self, curved=True):
        super().__init__()
        self.slope, self.drop, self.curved = torch.nn.Parameter(torch.tensor(1.5)), torch.nn.Dropout(0.5), curved

    def forward(self, bands, indices, ndvi, window):
        height = window[:, 0].mean((1, 2))
        if self.curved:
            return self.drop(self.slope * torch.tanh(bands[:, 8]) * (1 + 0.3 * height) + 0.2 * torch.sigmoid(ndvi))
        return self.drop(self.slope * bands[:, 8] + 0.5 * height)


def scene(n, seed=0):
    "Inputs of a network, of a window of 5 × 5 pixels with one elevation each."
    rng = np.random.default_rng(seed)
    window = rng.normal(size=(n, 9, 1, 1)) + 0.1 * rng.normal(size=(n, 9, 5, 5))
    return {key: a.astype(np.float32) for key, a in {
        "bands": rng.normal(size=(n, 10)), "indices": rng.normal(size=(n, 35)), "ndvi": rng.normal(size=n),
        "window": window}.items()}


# --------------------------------------------------------------- groups

def test_each_input_stands_in_one_group():
    "All 54 inputs stand in one group each, and 11 groups are all there are."
    found = explain.groups()
    assert sorted(sum(found.values(), [])) == sorted(explain.INPUTS) and len(explain.INPUTS) == 54
    assert len(found) == 11


def test_indices_of_one_another_stand_together():
    "29 of the 35 indices are distinct, and one that is a function of another is in its group."
    at = {name: group for group, members in explain.groups().items() for name in members}
    listed = [*VEGETATION, *SALINITY]
    of = {name: indices.TABLE[name].function_of for name in listed}
    assert len(listed) == 35 and sum(parent not in listed for parent in of.values()) == 29
    assert all(at[name] == at[parent] for name, parent in of.items() if parent in listed)


def test_no_band_of_a_group_is_left_in_red_edge_and_swir():
    "Without red edge and SWIR no index reads their bands; what is still shared is listed, lswi and ndwi too."
    found, left = explain.groups(), explain.shared()
    spectral = left[~left["input"].isin(LAYERS)]
    assert set(spectral["other"]) == {"greenness", "visible"}
    assert set(left["input"]) >= {"NDRE", "CIre", "MTCI", "lswi", "ndwi"}
    assert found["red edge"][:3] == ["B05", "B06", "B07"] and set(found["SWIR"]) == {"B11", "B12", "SI_SWIR", "SSSI2"}


def test_groups_of_what_there_is_and_joined():
    "A model of fewer inputs has fewer groups, and groups can be joined."
    found = explain.groups([*BANDS, "lswi"], joined={"water": ("SWIR", "LSWI")})
    assert list(found) == ["visible", "red edge", "greenness", "water"] and found["water"] == ["B11", "B12", "lswi"]


@pytest.mark.parametrize("ask, message", [
    (lambda: explain.groups(["B11", "lwsi"]), "'lwsi' is in no group; did you mean .*'lswi'"),
    (lambda: explain.groups(joined={"water": ("LSWI", "swir")}), "'swir' is not there to be joined; did you mean"),
    (lambda: explain.groups(joined={"SOS": ("GUS", "SDPS")}), "a group 'SOS' beside"),
    (lambda: explain.groups(["VV_VH"]), "no group"),
])
def test_unknown_inputs_and_groups(ask, message):
    "An input or a group that is not known is named."
    with pytest.raises(InputError, match=message):
        ask()


# --------------------------------------------------------------- Shapley values

@pytest.mark.parametrize("model", [
    lightgbm.LGBMRegressor(n_estimators=30, n_jobs=1, verbose=-1),
    RandomForestRegressor(20, max_depth=6, random_state=0),
], ids=["boosted", "forest"])
def test_trees_add_up(model):
    "The values of trees sum to the prediction less the mean of the background, and the unused column has about 0."
    x = table()
    model.fit(x, linear(x))
    found = explain.shap_trees(model, x[:50], x[100:], most=60)
    assert found.completeness()["gap"] < 1e-4 and found.completeness()["within"] > 0.95
    importance = explain.by_group(found, GROUPED, blocks=blocks(50, 5)).table()
    assert list(importance["value"].sort_values(ascending=False).index[:2]) == ["first", "second"]
    assert importance["value"]["nothing"] < 0.1


def test_linear_network_has_its_known_values():
    "Of a linear network the value of an input is its slope times its distance from the mean of the background."
    inputs, background = scene(6), scene(40, seed=1)
    found = explain.shap_network(Small(curved=False), inputs, background, draws=80)
    value = dict(zip(found.names, found.values.T))
    assert np.allclose(value["B11"], 1.5 * (inputs["bands"][:, 8] - background["bands"][:, 8].mean()), atol=1e-5)
    height = inputs["window"][:, 0].mean((1, 2)) - background["window"][:, 0].mean()
    assert np.allclose(value["dem"], 0.5 * height, atol=1e-5)
    assert not found.values[:, [name not in ("B11", "dem") for name in found.names]].any()
    assert np.abs(found.gap).max() < 1e-5


def test_curved_network_adds_up_within_its_error():
    "Expected gradients of a curved network sum to the prediction less the background's mean, as near as they say."
    inputs, background = scene(40), scene(50, seed=1)
    few, many = (explain.shap_network(Small(), inputs, background, draws=d) for d in (20, 200))
    assert few.completeness()["within"] > 0.9 and many.completeness()["within"] > 0.9
    assert many.completeness()["error"] < 0.5 * few.completeness()["error"]
    assert many.completeness()["gap"] < 0.05


def test_expected_gradients_are_those_of_shap():
    "Ours and the GradientExplainer agree within the error of draws, where the latter can work."
    class Stacked(torch.nn.Module):
        def forward(self, bands, window):
            return torch.tanh(bands[:, 0]) * (1 + 0.5 * window.mean((1, 2, 3))) + bands[:, 1] ** 2 / 4

    class Column(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Stacked()

        def forward(self, bands, window):
            return self.inner(bands, window)[:, None]

    rng = np.random.default_rng(0)
    inputs, background = ({"bands": rng.normal(size=(n, 2)).astype(np.float32),
                           "window": rng.normal(1, 0.2, (n, 1, 3, 3)).astype(np.float32)} for n in (5, 30))
    ours = explain.shap_network(Stacked(), inputs, background, draws=900, names={"bands": ("p", "q"), "window": ("w",)})
    theirs = shap.GradientExplainer(Column(), [torch.as_tensor(a) for a in background.values()]).shap_values(
        [torch.as_tensor(a) for a in inputs.values()], nsamples=2000, rseed=0)
    theirs = np.column_stack([theirs[0][..., 0], theirs[1][..., 0].sum((1, 2, 3))])
    assert np.abs(ours.values - theirs).max() < 0.08


def test_noise_is_what_nothing_would_get():
    "The noise of a group is as large as its values are off by the draws, so that it says what chance alone would give."
    class Crossed(torch.nn.Module):
        def forward(self, bands):
            return bands[:, 0] * bands[:, 1] * bands[:, 2]

    rng = np.random.default_rng(0)
    data = {"bands": rng.normal(size=(60, 3)).astype(np.float32)}
    names = {"bands": ("a", "b", "c")}
    one = {"a": ["a"], "b": ["b"], "c": ["c"]}
    rough, fine = (explain.shap_network(Crossed(), data, data, draws=d, names=names) for d in (10, 2000))
    told = explain.by_group(rough, one, blocks=blocks(60, 6)).table()["noise"]
    assert np.allclose(told, np.abs(rough.values - fine.values).mean(0), rtol=0.35)


def test_drawn_orders_are_exact_for_a_sum():
    "Of a sum of groups the drawn orders give each its part, whatever the order; for a table and for a network."
    x = table()
    found = explain.shap_sampled(linear, x[:30], x[100:200], GROUPED, draws=200)
    parts = {"first": 2.0 * x["a"], "second": 1.0 * x["b"], "third": -0.3 * x["c"], "nothing": 0 * x["d"]}
    for group, values in zip(found.names, found.values.T):
        assert np.allclose(values, parts[group][:30] - parts[group][100:200].mean(), atol=1e-9)
    inputs, background = scene(10), scene(20, seed=1)
    net = Small(curved=False)
    groups = explain.groups()
    drawn = explain.by_group(explain.shap_sampled(explain.predictor(net), inputs, background, groups, draws=40), groups,
                             blocks=blocks(10, 2))
    gradients = explain.by_group(explain.shap_network(net, inputs, background, draws=40), groups, blocks=blocks(10, 2))
    assert np.allclose(drawn.values, gradients.values, atol=1e-5)


def test_a_group_is_summed_before_its_size_is_taken():
    "Two inputs that cancel in each sample add nothing, though each alone adds much."
    values = np.random.default_rng(0).normal(size=(50, 1)) * [1.0, -1.0, 0.5]
    found = explain.Attributions(("a", "a_mean", "b"), values, 0 * values, np.zeros(50), np.zeros(50))
    importance = explain.by_group(found, {"a": ["a"], "b": ["b"]}, blocks=blocks(50, 5)).table()
    assert importance["value"]["a"] < 1e-12 and importance["value"]["b"] > 0.2


def test_a_network_is_left_as_it_was():
    "Dropout is off while a network is explained, and on again afterwards."
    net, inputs = Small(), scene(4)
    first = explain.shap_network(net, inputs, inputs, draws=4)
    assert net.training and np.array_equal(first.values, explain.shap_network(net, inputs, inputs, draws=4).values)


def test_several_networks_have_the_mean_of_their_values():
    "A list of networks with their mean as the call is explained as one."
    nets, inputs = torch.nn.ModuleList([Small(), Small(curved=False)]), scene(5)

    def mean(models, batch):
        return torch.stack([one(**batch) for one in models]).mean(0)

    each = [explain.shap_network(one, inputs, inputs, draws=6).values for one in nets]
    both = explain.shap_network(nets, inputs, inputs, draws=6, call=mean)
    assert np.allclose(both.values, np.mean(each, 0), atol=1e-6)


@pytest.mark.parametrize("mode, unread", [("index", {*BANDS, *LAYERS}), ("spectral", {*LAYERS})])
def test_what_the_network_does_not_read_has_nothing(mode, unread):
    "Inputs that a mode of the network leaves alone get exactly 0 by gradients and by permutation."
    torch.manual_seed(0)
    net, inputs = soilnet.SoilNet(mode=mode, width=16, channels=8), scene(6)
    found = explain.shap_network(net, inputs, inputs, draws=40)
    read = np.array([name not in unread for name in found.names])
    assert not found.values[:, ~read].any() and found.values[:, read].any(0).mean() > 0.95
    assert found.completeness()["gap"] < 4 * found.completeness()["error"]
    predict, ones = explain.predictor(net), np.ones(6)
    rises = explain.permutation(predict, inputs, ones, explain.groups(), blocks=np.arange(6) // 2, repeats=2).table()
    assert not rises["value"][["elevation", "relief", "LSWI", "NDWI", "SOS", "GUS", "SDPS"]].any()


# --------------------------------------------------------------- permutation and refit

def test_permutation_finds_what_a_model_reads():
    "The rise of the error of a linear model is known: √2 · slope · SD for each group; nothing for what is not read."
    x = table(4000)
    found = explain.permutation(linear, x, linear(x), GROUPED, blocks=blocks(4000)).table()
    assert np.allclose(found["value"], [2 * 2**0.5, 2**0.5, 0.3 * 2**0.5, 0], rtol=0.05)
    assert found["value"]["nothing"] == 0 and found["low"]["first"] < found["value"]["first"] < found["high"]["first"]


def test_permutation_of_a_network_moves_windows_whole():
    "Of the inputs of a network only the groups that it reads raise the error, in both measures."
    net, inputs = Small(), scene(200)
    predict = explain.predictor(net)
    for measure in ("rmse", "mae"):
        found = explain.permutation(predict, inputs, predict(inputs), explain.groups(), blocks=blocks(200),
                                    measure=measure, repeats=3).table()["value"]
        assert set(found.index[found > 0]) == {"SWIR", "elevation", "greenness"} and found.idxmax() == "SWIR"


def test_groups_join_what_tells_the_same():
    "Without one of two equal columns a new model loses nothing, though both have Shapley values; joined it loses much."
    x, rows = table(1200), np.arange(1200)
    y = linear(x) + np.random.default_rng(1).normal(0, 0.2, len(x))
    apart = {"a": ["a"], "copy": ["a_mean"], "b": ["b"], "c": ["c"], "d": ["d"]}
    keep = dict(train=rows[:800], test=rows[800:], blocks=blocks(400))

    def build(seed):
        return LinearRegression()

    lone, joined = (explain.refit(build, x, y, g, **keep).table() for g in (apart, GROUPED))
    assert lone["value"][["a", "copy"]].max() < 0.04 < 1 < joined["value"]["first"]
    assert lone["low"]["d"] <= 0.001 and abs(lone["value"]["d"]) < 0.01
    trees = explain.reference().fit(x[:800], y[:800])
    found = explain.shap_trees(trees, x[800:900], x[:800], most=50)
    assert explain.by_group(found, apart, blocks=blocks(100)).table()["value"][["a", "copy"]].min() > 0.1


def test_refit_alone_counts_what_groups_share():
    "Alone, each of two equal columns takes the error nearly to that of both."
    x, rows = table(1200), np.arange(1200)
    apart = {"a": ["a"], "copy": ["a_mean"], "b": ["b"], "c": ["c"], "d": ["d"]}
    found = explain.refit(lambda seed: LinearRegression(), x, linear(x), apart, train=rows < 800, test=rows >= 800,
                          blocks=blocks(400), alone=True).table()["value"]
    assert abs(found["a"] - found["copy"]) < 0.05 and found["a"] > 1 and abs(found["d"]) < 0.02


def test_reference_finds_the_planted_order_and_repeats():
    "The reference model ranks the planted groups, gives the noise group about 0, and gives the same for a seed."
    x, rows = table(1000), np.arange(1000)
    ask = dict(train=rows[:600], test=rows[600:], blocks=blocks(400), seed=3)
    first, again = (explain.refit(explain.reference, x, linear(x), GROUPED, **ask) for _ in range(2))
    assert list(np.argsort(-first.values)) == [0, 1, 2, 3] and abs(first.values[3]) < 0.05
    assert np.array_equal(first.values, again.values) and np.array_equal(first.drawn, again.drawn)


def test_a_column_is_of_the_longest_input_it_begins_with():
    "SI_SWIR_mean_150 is of SI_SWIR and not of SI, and columns that are kept are in every model."
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 4)),
                     columns=["SI", "SI_SWIR_mean_150", "B02", "season"])
    y = x["SI_SWIR_mean_150"].to_numpy() + x["season"].to_numpy()
    found = explain.refit(lambda seed: LinearRegression(), x, y, explain.groups(["B02", "SI", "SI_SWIR"]),
                          train=np.arange(100), test=np.arange(100, 200), blocks=blocks(100), kept=["season"]).table()
    assert found["value"]["SWIR"] > 0.8 and abs(found["value"]["visible"]) < 1e-9


def test_intervals_are_by_blocks():
    "Where blocks are alike within, the interval is wider than by samples; one block has none."
    effect = np.repeat(np.random.default_rng(0).normal(size=20) ** 2, 20)
    losses = pd.DataFrame({"": np.ones(400), "a": 1 + effect})
    whole, each, one = (explain.rise(losses, blocks=b).table() for b in (blocks(400), np.arange(400), np.zeros(400)))
    width = [t["high"]["a"] - t["low"]["a"] for t in (whole, each)]
    assert width[0] > 2 * width[1] and np.isnan(one["low"]["a"])


def test_intervals_hold_the_true_rise():
    "Over many planted samples the interval by blocks holds the rise of the whole population about as often as it says."
    held = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        block = np.repeat(rng.normal(size=40), 5)
        base, more = rng.normal(size=200), 0.7 * block + 0.7 * rng.normal(size=200)
        losses = pd.DataFrame({"": base**2, "a": (base + more) ** 2})
        row = explain.rise(losses, blocks=blocks(200, 5), draws=400).table().loc["a"]
        held.append(row["low"] <= 1.98**0.5 - 1 <= row["high"])
    assert 0.87 <= np.mean(held) <= 0.99


def test_folds_can_be_stacked():
    "Losses of two folds together are those of all their samples."
    x = table(200)
    parts = [explain.permuted(linear, x[s], linear(x[s]), GROUPED) for s in (slice(0, 100), slice(100, 200))]
    found = explain.rise(pd.concat(parts), blocks=blocks(200))
    assert found.names == tuple(GROUPED) and np.all(found.values[:2] > 0.5)


# --------------------------------------------------------------- attention

class Looking(torch.nn.Module):
    "Looks at B05 in the north of the window and at the indices in the south."

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def attention(self, bands, indices, ndvi, window):
        found = torch.zeros(len(bands), 4, 81, 11)
        found[:, :, :36, 3], found[:, :, 36:, 10] = 1, 1
        return found


def test_attention_by_token_and_place():
    "Shares per token are means over heads and queries, and maps keep rows from the north."
    found = explain.attention(Looking(), scene(5))
    assert found["share"].shape == (5, 11) and found["map"].shape == (9, 9, 11)
    assert np.allclose(found["share"].sum("token"), 1) and np.allclose(found["map"].sum("token"), 1)
    assert np.allclose(found["share"].sel(token="B05"), 36 / 81)
    assert (found["map"].sel(token="B05")[:4] == 1).all() and (found["map"].sel(token="index")[4:] == 1).all()


def test_attention_of_the_full_network():
    "The full network has 9 × 9 places and eleven tokens whose shares sum to 1."
    inputs = {**scene(3), "window": np.random.default_rng(0).normal(size=(3, 9, 65, 65)).astype(np.float32)}
    found = explain.attention(soilnet.SoilNet(width=16, channels=8), inputs)
    assert found["map"].shape == (9, 9, 11) and np.allclose(found["share"].sum("token"), 1, atol=1e-5)


def test_attention_of_other_tokens_is_refused():
    "Six bands of another sensor need their names."
    with pytest.raises(InputError, match="11 tokens; 7 names"):
        explain.attention(Looking(), scene(2), names=("a", "b", "c", "d", "e", "f", "index"))


# --------------------------------------------------------------- agreement

def importance(values, sd=0.01, seed=0):
    values = np.asarray(values, float)
    drawn = values[:, None] + np.random.default_rng(seed).normal(0, sd, (values.size, 500))
    return explain.Importance(tuple("abcdef"[: values.size]), values, drawn, np.full(values.size, np.nan))


def test_rank_correlation_of_methods():
    "The same order has 1, the opposite −1, and the draws give an interval around it."
    up, down = importance([1, 2, 3, 4, 5, 6]), importance([6, 5, 4, 3, 2, 1], seed=1)
    found = explain.agreement({"up": up, "half": importance([2, 4, 6, 8, 10, 12], sd=3, seed=2), "down": down})
    assert found["correlation"].round(6).tolist() == [1, -1, -1]
    assert (found["low"] <= found["correlation"]).all() and found["n"].tolist() == [6] * 3
    assert found["low"][0] < 0.9 and found["low"][1] == found["high"][1] == -1


def test_rank_correlation_of_a_table():
    "A table of methods × groups has its interval from groups that are drawn."
    found = explain.agreement(pd.DataFrame([[1, 2, 3, 4, 5], [1, 3, 2, 4, 5]], ["p", "q"], list("abcde")))
    assert found["correlation"][0] == pytest.approx(0.9) and found["low"][0] < 0.9 <= found["high"][0]


def test_against_truth_counts_what_is_not_there():
    "Groups without a true importance share one rank; the largest that a method gives them is told, in absolute units."
    truth = importance([0.5, 0.3, 0.0, -0.01, 0.002, 0.1])
    good, bad = importance([0.9, 0.4, 0.03, 0.01, 0.02, 0.2]), importance([0.0, 0.1, 0.5, 0.2, 0.3, 0.05], seed=1)
    found = explain.against_truth({"good": good, "bad": bad}, truth, least=0.005)
    assert found["correlation"]["good"] > 0.8 and found["correlation"]["bad"] < 0
    assert found["first"].tolist() == [1.0, 0.0] and found["spurious"].tolist() == [0.03, 0.5]


def test_shares_sum_to_one_and_none_is_refused():
    "Shares leave out what is below 0; where nothing is above, there is nothing to share."
    found = importance([0.3, 0.1, -0.05]).shares()
    assert found.values.tolist() == pytest.approx([0.75, 0.25, 0]) and found.table()["low"].min() >= 0
    with pytest.raises(InputError, match="nothing to share"):
        importance([0.0, -0.1, -0.2]).shares()


# --------------------------------------------------------------- what is refused

def with_nan(n):
    inputs = scene(n)
    inputs["bands"][1, 3] = np.nan
    return inputs


@pytest.mark.parametrize("ask, message", [
    (lambda: explain.permutation(linear, table(), linear(table()), {"first": ["a"], "second": ["b"]},
                                 blocks=blocks(400)), "column 'c' belongs to no group"),
    (lambda: explain.permutation(linear, table(), linear(table()), {**GROUPED, "more": ["f"]}, blocks=blocks(400)),
     "group 'more' has no column"),
    (lambda: explain.permutation(linear, table(), linear(table()), GROUPED, blocks=blocks(300)),
     "300 labels of blocks for 400 samples"),
    (lambda: explain.permutation(linear, table(), linear(table())[:7], GROUPED, blocks=blocks(400)),
     "7 values of truth for 400 samples"),
    (lambda: explain.permutation(linear, table(), linear(table()), GROUPED, blocks=blocks(400), measure="rsme"),
     "measure 'rsme' is not known; did you mean 'rmse'"),
    (lambda: explain.permutation(linear, table(), np.where(np.arange(400) == 3, np.nan, 1), GROUPED,
                                 blocks=blocks(400)), "1 of 400 samples have no error, the first in row 3"),
    (lambda: explain.refit(explain.reference, table(), linear(table()), GROUPED, train=[0, 1, 2], test=[2, 3],
                           blocks=[0, 1]), "row 2 is trained on and tested"),
    (lambda: explain.refit(explain.reference, table(), linear(table()), GROUPED, train=[0, 1, 2], test=[3],
                           blocks=[0], kept=["season"]), "column 'season'"),
    (lambda: explain.shap_network(Small(), scene(3), {"bands": scene(3)["bands"]}), "background has the inputs bands"),
    (lambda: explain.shap_network(Small(), with_nan(3), scene(3)), "input 'bands' has missing values in the samples"),
    (lambda: explain.shap_network(Small(), scene(3), scene(3), draws=1), "draws = 1; give an even number"),
    (lambda: explain.shap_network(Small(), scene(3), scene(3), names={"bands": "ab"}), "10 channels and 2 names"),
    (lambda: explain.shap_trees(None, table(), table()[["a"]]), "the background has other columns"),
    (lambda: explain.agreement({"one": importance([1, 2, 3])}), "two or more"),
    (lambda: explain.agreement({"p": importance([1, 2]), "q": importance([1, 2])}), "needs three or more"),
    (lambda: explain.agreement({"p": importance([1, 2, 3]), "q": importance([1, 2, 3, 4])}), "q has the groups"),
])
def test_what_is_refused_says_what_to_do(ask, message):
    "Columns of no group, groups of no column, other lengths, leaks and missing values are one line each."
    with pytest.raises(InputError, match=message):
        ask()
