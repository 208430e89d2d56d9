import numpy as np
import pytest
import torch

from phenolib.errors import InputError
from phenolib.nets import leaf
from phenolib.nets.leaf import CROPS, DRIVERS, LeafNet, broken
from phenolib.simulate import crops, plot_growth

DAYS = 120
CONSTANTS = torch.tensor([[3.0, 6.0], [0.1, 0.1], [1.6, 1.2], [0.12, 0.1]])


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


def seasons(n=8, days=DAYS, seed=0):
    "Drivers of seasons in made-up weather: warm days, both crops in turn, sown on the tenth day."
    draw = np.random.default_rng(seed)
    made = dict.fromkeys(DRIVERS, 0.0)
    made["t_mean"] = 14 + 4 * np.sin(np.arange(days) / 20) + draw.normal(0, 3, (n, days))
    made |= {"t_min": made["t_mean"] - 5, "t_max": made["t_mean"] + 5, "day_length": 14.0, "soil_temperature": 12.0}
    made |= {"wet_10": -2.5, "wet_40": -2.3, "wet_80": -2.0, "since": np.arange(days) - 10.0,
             "sown": (np.arange(days) > 10).astype(float)}
    first = (np.arange(n) % 2 == 0)[:, None]
    made |= {crop: (first if k == 0 else ~first).astype(float) for k, crop in enumerate(CROPS)}
    return torch.tensor(np.stack([np.broadcast_to(made[name], (n, days)) for name in DRIVERS], -1)).float()


def network(days=DAYS, **options):
    drivers = seasons()[..., : leaf.SCALED]
    return LeafNet(drivers.mean((0, 1)), drivers.std((0, 1)) + 0.1, days=days, **options).eval()


def obedient(drivers):
    "Phases that grow and brown by the growth rule, day by day."
    speed, water = leaf.allowed(drivers)
    rate, out, middle, width = (drivers[:, 0, -len(CROPS):] @ c for c in CONSTANTS)
    age = speed.cumsum(1) / leaf.MONTH
    grown, old = ((age - out[:, None]) / leaf.OUT).sigmoid(), ((age - middle[:, None]) / width[:, None]).sigmoid()
    phase = [torch.zeros(len(drivers))]
    for t in range(1, drivers.shape[1]):
        was = phase[-1]
        rise = rate * water[:, t] * grown[:, t] * (1 - old[:, t]) * (1 - was)
        phase.append(was + speed[:, t] / leaf.MONTH * (rise - old[:, t] * was / width))
    return torch.stack(phase, 1)


def test_responses_are_those_of_the_simulated_plots():
    "Wang-Engel and the response to water are the same formulas as in the simulator, written for tensors."
    warmth = np.linspace(-5, 50, 111)
    for low, best, high in ((0.0, 22.0, 35.0), (8.0, 30.0, 42.0)):
        own = leaf.wang_engel(*(torch.as_tensor(x) for x in (warmth, low, best, high)))
        assert np.allclose(own, crops.wang_engel(warmth, low, best, high), atol=1e-6)
    tension = np.geomspace(1, 5000, 50)
    own = leaf.moisture(*(torch.as_tensor(x) for x in (-tension, -50.0, -1500.0)))
    assert np.allclose(own, plot_growth.damp(tension))


def test_future_does_not_change_the_past():
    "Other weather after a day leaves everything up to that day as it was, bit for bit."
    model, drivers = network(), seasons()
    other = drivers.clone()
    other[:, 60:, : leaf.SCALED] += 5
    before, after = model(drivers).evi2, model(other).evi2
    assert torch.allclose(before[:, :60], after[:, :60], atol=1e-6)
    assert not torch.allclose(before[:, 60:], after[:, 60:], atol=1e-3)


def test_memory_of_constant_weather():
    "A memory of constant input rises to it as 1 − e^(−t/τ), each quarter of the channels at its own pace."
    memory = leaf.Memory(400)(torch.ones(1, 400, 4))[0]
    day = torch.arange(1, 401)[:, None]
    length = torch.tensor(leaf.MEMORIES)
    expected = (1 - (-day / length).exp()) / (length * (1 - (-1 / length).exp()))
    assert torch.allclose(memory, expected, atol=1e-4)


def test_overfits_eight_seasons():
    "Eight seasons of any shape can be learned by heart."
    drivers = seasons(days=90)
    target = 0.1 + 0.6 * obedient(drivers)
    model = network(days=90, dropout=0.0).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = (model(drivers).evi2 - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.sqrt() < 0.04


def test_saved_is_loaded(tmp_path):
    "Weights and scaler come back from a file as they were."
    model, drivers = network(), seasons()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = LeafNet(torch.zeros(leaf.SCALED), torch.ones(leaf.SCALED), days=DAYS).eval()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(model(drivers).evi2, other(drivers).evi2)


def test_what_obeys_breaks_nothing():
    "A season integrated by the rules has no penalty; the same season in colder weather, shifted or doubled has."
    drivers = seasons()
    phase = obedient(drivers)
    fine = broken(phase, drivers, CONSTANTS)
    assert fine["growth"] < 1e-8 and fine["unimodal"] < 1e-3 and fine["base"] == 0
    twice = torch.cat([phase[:, ::2], phase[:, ::2]], 1)
    assert broken(twice, drivers, CONSTANTS)["unimodal"] > 0.1
    assert broken(phase.roll(20, 1), drivers, CONSTANTS)["growth"] > 1e-2
    frosty = drivers.clone()
    frosty[..., 0] = -1
    assert broken(phase, frosty, CONSTANTS)["base"] > 0.1


def test_doing_nothing_breaks_the_growth_rule():
    "A field that stays bare in growing weather is no way around the rules, and neither is one that is always green."
    drivers = seasons()
    for phase in (0.0, 1.0):
        assert broken(torch.full(drivers.shape[:2], phase), drivers, CONSTANTS)["growth"] > 0.1


def test_wrong_base_stops_more_days():
    "A base temperature that is 5 K too high forbids green-up on days on which leaves grow."
    drivers = seasons()
    drivers[..., 0] -= 10
    phase = torch.linspace(0, 0.5, DAYS).expand(len(drivers), -1)
    right, wrong = (broken(phase, drivers, CONSTANTS, base_error=e)["base"] for e in (0.0, 5.0))
    assert 0 < right < wrong


def test_width_is_refused():
    "A width that the memories do not divide is named."
    with pytest.raises(InputError, match="width = 18"):
        network(width=18)
