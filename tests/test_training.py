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
