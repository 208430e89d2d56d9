import functools
import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from phenolib import training
from phenolib.errors import InputError


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    return tmp_path


def build():
    import torch

    return torch.nn.Linear(2, 1)


def train(model, data):
    import torch

    x, y = data
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimiser.step()
    return {"loss": float(loss.detach())}


def plane():
    import torch

    x = torch.linspace(-1, 1, 40).reshape(20, 2)
    return x, x @ torch.tensor([[2.0], [-1.0]]) + 0.5


def test_second_call_comes_from_the_store_with_the_same_weights(store):
    "A model is trained once; the store gives back the same numbers."
    first = training.fitted("plane", build, plane(), train=train, seed=3)
    second = training.fitted("plane", build, plane(), train=train, seed=3)
    assert (first.stored, second.stored) == (False, True)
    assert first.history == second.history and first.history["loss"] < 1e-3
    for a, b in zip(first.model.parameters(), second.model.parameters()):
        assert (a == b).all()


@pytest.mark.parametrize("change", [{"seed": 4}, {"archive": "other"}, {"parameters": {"width": 2}}])
def test_anything_the_result_depends_on_changes_the_key(store, change):
    "Another seed, archive or parameter is another entry of the store."
    first = training.fitted("plane", build, plane(), train=train, seed=3)
    other = training.fitted("plane", build, plane(), train=train, **{"seed": 3, **change})
    assert other.key != first.key and not other.stored


def test_a_damaged_entry_says_which_folder_to_delete(store):
    "Weights that cannot be read are one clear line, and nothing is unpickled."
    import pickle

    first = training.fitted("plane", build, plane(), train=train)
    weights = store / "models" / "plane" / first.key[:16] / "weights.pt"
    weights.write_bytes(pickle.dumps({"weight": print}))
    with pytest.raises(InputError, match="delete this folder"):
        training.fitted("plane", build, plane(), train=train)


def test_a_name_cannot_leave_the_store(store):
    "A model's name is no way out of the store."
    with pytest.raises(InputError, match="leads out"):
        training.fitted("../../plane", build, plane(), train=train)


def net(seed=0):
    import torch

    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.2),
                               torch.nn.Linear(16, 1))


def squares(model, batch):
    return ((model(batch["x"])[:, 0] - batch["y"]) ** 2).mean()


def rows(seed, n=50):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype("float32")
    return {"x": x, "y": x @ np.float32([1, -2, 0.5]) + rng.normal(size=n).astype("float32")}


def validate(model):
    import torch

    return {"error": float(squares(model, {k: torch.as_tensor(v) for k, v in rows(1).items()})), "n": 50}


def loop(model, **options):
    import torch

    torch.set_num_threads(1)
    options = {"loss": squares, "epochs": 6, "lr": 0.02, "validate": validate, **options}
    return training.train(model, training.shuffled(rows(0), 8), **options)


def weights(model):
    return {k: v.numpy().copy() for k, v in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)


def test_the_same_seed_gives_the_same_weights():
    "Order, dropout and history depend on the seed alone, and the caller's random numbers are left as they were."
    import torch

    found = []
    for k, seed in enumerate((3, 3, 4)):
        model = net()
        torch.manual_seed(k)
        before = torch.get_rng_state()
        history = loop(model, seed=seed)
        assert (torch.get_rng_state() == before).all() and not torch.are_deterministic_algorithms_enabled()
        found.append((weights(model), list(history)))
    assert same(found[0][0], found[1][0]) and found[0][1] == found[1][1]
    assert not same(found[0][0], found[2][0])


def test_history_is_json_with_the_seconds_apart():
    "A row an epoch with loss, error and rate; how long it took is no part of it."
    history = loop(net())
    assert json.loads(json.dumps(history)) == history and [r["epoch"] for r in history] == [1, 2, 3, 4, 5, 6]
    assert set(history[0]) == {"epoch", "loss", "lr", "error", "n"} and len(history.seconds) == 6
    assert history[0]["lr"] == 0.02 and np.isclose(history[3]["lr"], 0.01) and history[-1]["loss"] < history[0]["loss"]
    curve = training.learning_curve(history)
    assert curve.index.name == "epoch" and curve["error"].tolist() == [r["error"] for r in history]


def test_the_loop_recovers_planted_weights():
    "A linear model finds the plane that its data were made of."
    import torch

    data = rows(0, 200)
    data["y"] = data["x"] @ np.float32([1, -2, 0.5]) + np.float32(0.3)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    training.train(model, training.shuffled(data, 20), loss=squares, epochs=60, lr=0.05, decay=0)
    found = [*model.weight[0].tolist(), model.bias.item()]
    assert np.allclose(found, [1, -2, 0.5, 0.3], atol=1e-3)


def test_no_decay_is_adam():
    "One rule of steps serves both: decoupled decay of zero gives the weights of Adam."
    import torch

    data, model, other = rows(0), torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)
    other.load_state_dict(model.state_dict())
    whole = {k: torch.as_tensor(v) for k, v in data.items()}
    training.train(model, lambda epoch, generator: [whole], loss=squares, epochs=30, decay=0, schedule="constant",
                   clip=math.inf)
    adam = torch.optim.Adam(other.parameters(), lr=1e-3)
    for _ in range(30):
        adam.zero_grad()
        squares(other, whole).backward()
        adam.step()
    assert torch.allclose(model.weight, other.weight, atol=1e-6)


def test_early_stop_puts_the_best_weights_back():
    "Training stops when the error has not fallen for a while, and ends with the weights of its smallest error."
    import torch

    errors, seen = [5.0, 3.0, float("nan"), 4.0, 3.0, 1.0], []

    def planted(model):
        seen.append(weights(model))
        return {"error": torch.tensor(errors[len(seen) - 1])}

    model = net()
    history = loop(model, validate=planted, patience=3, epochs=10)
    assert [row["error"] for row in history] == [5.0, 3.0, None, 4.0, 3.0]
    assert same(weights(model), seen[1]) and not same(seen[1], seen[4]) and not model.training
    seen.clear()
    loop(model, validate=planted, epochs=4)
    assert same(weights(model), seen[1])  # without patience too


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_training as t
calls = []
def dying(model, batch):
    calls.append(1)
    if len(calls) == 17:  # of 7 in an epoch
        os.kill(os.getpid(), signal.SIGKILL)
    return t.squares(model, batch)
t.loop(t.net(), loss=dying, epochs=9, seed=5, checkpoint={checkpoint!r}, every=0.0)
"""


def test_a_killed_run_ends_as_an_unbroken_one(tmp_path):
    "Killed in the middle of an epoch, then interrupted in another, a training still ends with the same weights."
    import torch

    path = tmp_path / "run.pt"
    code = KILLED.format(tests=str(Path(__file__).parent), checkpoint=str(path))
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(torch.load(path, weights_only=True)["history"]) == 2
    calls = []

    def interrupted(model, batch):
        calls.append(1)
        if len(calls) == 18:
            raise KeyboardInterrupt
        return squares(model, batch)

    with pytest.raises(KeyboardInterrupt):
        loop(net(8), loss=interrupted, epochs=9, seed=5, checkpoint=path, every=0.0)
    assert len(torch.load(path, weights_only=True)["history"]) == 4
    resumed, unbroken = net(9), net()
    history = loop(resumed, epochs=9, seed=5, checkpoint=path, every=0.0)
    assert history == loop(unbroken, epochs=9, seed=5) and len(history) == len(history.seconds) == 9
    assert same(weights(resumed), weights(unbroken))
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_finished_checkpoint_is_not_trained_again(tmp_path):
    "The end is kept too, also of a run that stopped early: the second call gives its weights and takes no step."
    first, second = net(), net(1)
    history = loop(first, checkpoint=tmp_path / "c.pt", patience=1, epochs=30)
    assert len(history) < 30
    again = loop(second, checkpoint=tmp_path / "c.pt", patience=1, epochs=30, loss=None)
    assert again == history and again.seconds == history.seconds and same(weights(first), weights(second))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    "Other settings, another network or another file: one line says what differs and what to do."
    import torch

    path = tmp_path / "c.pt"
    loop(net(), checkpoint=path)
    with pytest.raises(InputError, match=r"lr = 0.02 \(here 0.1\)"):
        loop(net(), checkpoint=path, lr=0.1)
    with pytest.raises(InputError, match="of another network"):
        training.train(torch.nn.Linear(3, 1), None, loss=squares, epochs=6, lr=0.02, checkpoint=path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="delete it"):
        loop(net(), checkpoint=path)


def test_a_loss_that_is_no_number_names_epoch_and_batch():
    "The first batch with a missing value is named, as is a gradient that has none; nothing of it is kept."
    import torch

    def spoiled(epoch, generator):
        for k in range(4):
            yield {"x": torch.ones(2, 3) * (float("nan") if (epoch, k) == (2, 2) else k), "y": torch.ones(2)}

    with pytest.raises(InputError, match="epoch 2, batch 3: the loss is nan"):
        training.train(torch.nn.Linear(3, 1), spoiled, loss=squares, epochs=3)
    with pytest.raises(InputError, match="epoch 1, batch 1: the loss is 0, the norm of its gradient (inf|nan)"):
        training.train(torch.nn.Linear(3, 1), spoiled, epochs=1,
                       loss=lambda model, batch: model.bias.sub(model.bias).abs().sqrt()[0])


@pytest.mark.parametrize("options, words", [
    ({"validate": lambda model: {"mae": 1.0}}, "gave mae; give a dict with the key 'error'"),
    ({"validate": lambda model: {"error": float("nan")}}, "no finite error in 6 epochs"),
    ({"validate": None, "patience": 3}, "give validate too"),
    ({"schedule": "step"}, "'cosine' or 'constant'"),
    ({"precision": "half"}, "'float32' or 'bf16'")])
def test_what_cannot_be_trained_is_one_line(options, words):
    "Errors of the call say what to give."
    with pytest.raises(InputError, match=words):
        loop(net(), **options)


def test_epochs_without_batches_are_refused():
    "An empty training set is no silent success."
    with pytest.raises(InputError, match="epoch 1: no batch"):
        training.train(net(), lambda epoch, generator: [], loss=squares, epochs=2)


def test_frozen_layers_stay_as_they_are():
    "Frozen weights and the running statistics of a frozen normalisation do not move; the rest does."
    model = net()
    for layer in (model[0], model[1]):
        layer.requires_grad_(False)
    before = weights(model)
    loop(model, validate=None)
    after = weights(model)
    moved = {k.split(".")[0] for k in before if (before[k] != after[k]).any()}
    assert moved == {"3"}


def test_low_precision_on_a_cpu_only_if_asked():
    "bfloat16 without a GPU is for those who name the device."
    import torch

    seen = set()

    def loss(model, batch):
        seen.add(model(batch["x"]).dtype)
        return squares(model, batch)

    loop(net(), loss=loss, epochs=1, precision="bf16", device="cpu")
    assert seen == {torch.bfloat16}
    if not torch.cuda.is_available():
        loop(net(), loss=loss, epochs=1, precision="bf16")
        assert torch.float32 in seen


def test_the_bar_is_silent_unless_asked(capfd):
    "No line of progress outside a terminal; on demand few of them, with loss and error."
    loop(net())
    assert capfd.readouterr().err == ""
    loop(net(), progress="always", epochs=200)
    shown = capfd.readouterr().err
    assert "loss=" in shown and "error=" in shown and shown.count("\r") < 20 and shown.count("\n") == 1


def test_shuffled_batches_hold_every_sample_once():
    "An epoch is a new order of all samples in batches of near equal size."
    import torch

    generator = torch.Generator().manual_seed(0)
    batches = training.shuffled({"k": np.arange(17), "x": np.arange(17.0)}, 8)
    first, second = (list(batches(epoch, generator)) for epoch in (1, 2))
    assert [len(b["k"]) for b in first] == [6, 6, 5]
    order = torch.cat([b["k"] for b in first])
    assert sorted(order.tolist()) == list(range(17)) and order.tolist() != torch.cat([b["k"] for b in second]).tolist()
    assert all((b["k"] == b["x"]).all() for b in first)


def test_prediction_keeps_the_order_and_the_mode():
    "Samples come back in order, without dropout, and the network stays in the mode it was in."
    import torch

    model, x = net().train(), torch.as_tensor(rows(0)["x"])
    found = training.predict(model, [{"x": part} for part in x.split(7)], lambda m, b: m(b["x"]))
    assert model.training and np.allclose(found, model.eval()(x).detach().numpy(), atol=1e-6)


def test_an_ensemble_of_one_formula():
    "The members' variances and the spread of their means add up as METHODS says; members differ, seeds repeat."
    rng = np.random.default_rng(0)
    means, sigmas = rng.normal(1e3, 2, (5, 7)), rng.uniform(1, 3, (5, 7))
    mean, sigma = training.combine(means, sigmas)
    assert np.allclose(mean, means.mean(0))
    assert np.allclose(sigma**2, (sigmas**2 + means**2).mean(0) - mean**2)
    draws = rng.normal(means[:, 0], sigmas[:, 0], (200_000, 5))  # the mixture itself
    assert np.isclose(draws.std(), sigma[0], rtol=0.01)

    def run(model, seed):
        return loop(model, seed=seed, epochs=2, validate=None)

    def build():
        import torch

        return torch.nn.Linear(3, 1)

    first, second = (training.ensemble(build, run, members=3, seed=2) for _ in range(2))
    assert len({model.bias.item() for model, _ in first}) == 3 and not first[0][0].training
    assert all(same(weights(a), weights(b)) and r == s for (a, r), (b, s) in zip(first, second))


def test_the_store_hands_seed_and_checkpoint_to_the_loop(store):
    "A training that died goes on when it is asked for again; the store then holds the model and no checkpoint."
    left = []

    def fit(model, data, seed, checkpoint):
        def loss(model, batch):
            if not left and checkpoint.is_file():
                raise KeyboardInterrupt
            return squares(model, batch)

        return training.train(model, training.shuffled(data, 8), loss=loss, epochs=4, seed=seed, checkpoint=checkpoint,
                              every=0.0)

    with pytest.raises(KeyboardInterrupt):
        training.fitted("net", net, rows(0), train=fit, seed=3)
    (kept,) = store.rglob("checkpoint.pt")
    left.append("alive")
    first = training.fitted("net", net, rows(0), train=fit, seed=3)
    second = training.fitted("net", net, rows(0), train=fit, seed=3)
    assert not kept.is_file() and (first.stored, second.stored) == (False, True)
    assert len(first.history) == 4 and second.history == first.history and second.seconds == first.seconds
    assert same(weights(first.model), weights(second.model))


def test_the_code_of_the_loop_and_of_the_network_is_in_the_key(store, monkeypatch, tmp_path):
    "A change of the loop, of a network's file or of its printed form is another key, however the notebook builds it."
    (tmp_path / "widget.py").write_text("import torch\nclass Widget(torch.nn.Linear):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import widget

    keys = []

    def key(build):
        keys.append(training.fitted("w", build, plane(), train=train).key)

    key(lambda: widget.Widget(2, 1))
    key(lambda: widget.Widget(2, 1, bias=True))
    key(lambda: widget.Widget(2, 1, bias=False))
    assert keys[0] == keys[1] != keys[2]
    path = tmp_path / "widget.py"
    path.write_text(path.read_text() + "# other\n")
    key(lambda: widget.Widget(2, 1))
    assert keys[3] not in keys[:3]
    shutil.copytree(Path(training.__file__).parent, tmp_path / "training")
    monkeypatch.setattr(training, "__file__", str(tmp_path / "training" / "__init__.py"))
    key(lambda: widget.Widget(2, 1))
    assert keys[4] == keys[3]
    with open(tmp_path / "training" / "loop.py", "a") as file:
        file.write("# other\n")
    key(lambda: widget.Widget(2, 1))
    assert keys[5] not in keys[:5]
    used = training.fitted("w", lambda: widget.Widget(2, 1), plane(), train=train, uses=[json, squares])
    assert used.key not in keys


def test_a_partial_function_is_refused():
    "The values in a partial function are in no file; the key would not see them."
    with pytest.raises(InputError, match="no source of its own"):
        training.sources(functools.partial(net, 3))
