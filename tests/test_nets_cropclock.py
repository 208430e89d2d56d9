import numpy as np
import pytest
import torch

from phenolib.errors import InputError
from phenolib.nets.cropclock import EVENTS, PACE, REACH, STEP, CropClock, View
from phenolib.nets.deepcrop import DeepCroP


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


def network(*sensors, **options):
    return CropClock(sensors or ("optical", "sar"), **options).eval()


def series(n, seed=0):
    "Acquisitions of noise on uneven days of their own, some of them not there."
    draw = torch.Generator().manual_seed(seed)
    return {sensor: (torch.rand(n, m, generator=draw).sub(0.5).mul(2 * REACH), torch.randn(n, m, 2, generator=draw),
                     (torch.rand(n, m, generator=draw) < 0.8).float()) for sensor, m in (("optical", 60), ("sar", 30))}


def middle(n):
    return 180 + 5 * torch.arange(n).float()


def planted(n, seed):
    "Seasons seen by both sensors on uneven days: days of 20 and 50 % of a rise and a fall, from a middle half known."
    draw = np.random.default_rng(seed)
    rise, fall = draw.uniform(-75, -25, (n, 1)), draw.uniform(25, 75, (n, 1))
    found = {}
    for sensor, m in ("optical", 80), ("sar", 40):
        days = draw.uniform(-REACH, REACH, (n, m))
        curve = 1 / (1 + np.exp((rise - days) / 5)) - 1 / (1 + np.exp((fall - days) / 5))
        values = np.stack([2 * curve - 0.7, 0.5 - curve], -1) + draw.normal(0, 0.05, (n, m, 2))
        found[sensor] = tuple(torch.from_numpy(x).float() for x in (days, values, draw.random((n, m)) < 0.9))
    back = 5 * np.log(4)  # from half to a fifth
    return found, torch.from_numpy(np.concatenate([rise - back, rise, fall, fall + back], 1)).float()


@pytest.fixture(scope="module")
def trained():
    "A small network that learnt planted seasons, of which it saw some without any acquisition."
    torch.manual_seed(1)
    model = CropClock(width=16)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(200):
        seasons, day = planted(16, seed=step)
        for _, _, weights in seasons.values():
            weights[:2] = 0
        optimiser.zero_grad()
        model.loss(model(seasons, middle(16)), day).backward()
        optimiser.step()
    return model.eval()


def test_eight_seasons_are_learnt_by_heart():
    "The medians of eight seasons of noise come within three days of dates that have nothing to do with them."
    model, data, day = CropClock(dropout=0.0), series(8), torch.rand(8, 4).sub(0.5).mul(300)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        density = model(data, middle(8))
        away = (model.dates(density).median - day).abs().max()
        if away < 3:
            break
        optimiser.zero_grad()
        model.loss(density, day).backward()
        optimiser.step()
    assert away < 3


def test_planted_seasons_are_dated_that_were_never_seen(trained):
    "Trained on planted seasons it dates others to two days, and the intervals hold most of them."
    seasons, day = planted(100, seed=999)
    with torch.no_grad():
        found = trained.dates(trained(seasons, middle(100)))
    assert (found.median - day).abs().mean() < 2
    assert ((found.low <= day) & (day <= found.high)).float().mean() > 0.8


def test_days_that_move_take_the_dates_with_them(trained):
    "All days one step later, and the middle as much earlier in the year: the medians are a step later, to a day."
    seasons, _ = planted(100, seed=999)
    later = {sensor: (days + STEP, *rest) for sensor, (days, *rest) in seasons.items()}
    with torch.no_grad():
        first, second = (trained.dates(trained(s, m)).median for s, m in ((seasons, middle(100)),
                                                                          (later, middle(100) - STEP)))
    assert (second - first - STEP).abs().max() < 1


def test_days_that_move_come_to_the_next_place_of_the_line():
    "On the line itself this holds to the last digits: only the place and the edges tell a season where it is."
    days, values, weights = series(3)["optical"]
    for first, second in zip(*(network()._on_line(d, values, weights, 6.0) for d in (days, days + STEP))):
        torch.testing.assert_close(first[..., :-1], second[..., 1:], atol=1e-4, rtol=1e-4)


def test_without_acquisitions_the_density_is_wide(trained):
    "None there, or an empty series: the dates are finite, and their intervals as wide as the season is unknown."
    seasons, _ = planted(20, seed=999)
    nothing = {sensor: (days, values, 0 * weights) for sensor, (days, values, weights) in seasons.items()}
    empty = {sensor: (torch.zeros(20, 0), torch.zeros(20, 0, 2), torch.zeros(20, 0)) for sensor in seasons}
    with torch.no_grad():
        seen, unseen, none = (trained(s, middle(20)) for s in (seasons, nothing, empty))
    torch.testing.assert_close(unseen, none)
    seen, unseen = (trained.dates(density) for density in (seen, unseen))
    assert all(x.isfinite().all() for x in unseen)
    assert ((unseen.high - unseen.low).mean(0) > 2 * (seen.high - seen.low).mean(0)).all()


@pytest.mark.parametrize("sensors", [(), ("optical",), ("sar",)], ids=str)
def test_densities_sum_to_one(sensors):
    "For each event Σ over the places is one, whatever is read."
    with torch.no_grad():
        density = network(*sensors)(series(3), middle(3))
    assert density.shape == (3, len(EVENTS), 2 * REACH // STEP + 1)
    torch.testing.assert_close(density.exp().sum(-1), torch.ones(3, 4))


def test_the_order_of_acquisitions_does_not_matter():
    "Permuted acquisitions are the same acquisitions."
    data = series(3)
    other = {}
    for sensor, parts in data.items():
        order = torch.randperm(parts[0].shape[1])
        other[sensor] = tuple(x[:, order] for x in parts)
    same(data, other)


def test_what_is_not_there_may_hold_anything():
    "Acquisitions of weight 0 change nothing, whatever finite values and days they have; others do."
    data = series(3)
    other = {sensor: (torch.where(weights > 0, days, 77.0), torch.where(weights[..., None] > 0, values, 1e6), weights)
             for sensor, (days, values, weights) in data.items()}
    same(data, other)
    days, values, weights = data["optical"]
    model = network()
    with torch.no_grad():
        first, second = (model(s, middle(3)) for s in (data, {**data, "optical": (days, -values, weights)}))
    assert (first - second).abs().max() > 1e-3


def test_days_given_once_are_days_given_for_each():
    "Seasons that share their days, as the pixels of a scene do, get the same numbers."
    data = series(5)
    once = {sensor: (days[:1], values, weights) for sensor, (days, values, weights) in data.items()}
    each = {sensor: (days[:1].expand(5, -1), values, weights) for sensor, (days, values, weights) in data.items()}
    same(once, each, torch.tensor([200.0]), torch.full((5,), 200.0))


def test_a_network_of_one_sensor_ignores_the_other():
    "An optical network takes NaN of the radar, or no radar."
    data = series(3)
    spoiled = {**data, "sar": tuple(torch.full_like(x, torch.nan) for x in data["sar"])}
    same({"optical": data["optical"]}, spoiled, model=network("optical"))


def same(first, second, m=None, n=None, model=None):
    "Two series give one density, to 1e-5."
    model, m = model or network(), middle(len(first["optical"][1])) if m is None else m
    with torch.no_grad():
        one, two = model(first, m), model(second, m if n is None else n)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


def test_quantile_and_probability_are_inverse():
    "The day before which a share lies has that share before it, at the ends of the line too."
    model = network()
    cumulative = torch.randn(50, model.line.numel()).softmax(-1).cumsum(-1)
    p = torch.cat([torch.tensor([0.001, 0.999]), torch.rand(48).clamp(0.001, 0.999)])
    day = model.quantile(cumulative, p)
    torch.testing.assert_close(model.probability(cumulative, day), p, atol=1e-4, rtol=0)
    day = torch.linspace(-REACH, REACH, 50)
    torch.testing.assert_close(model.quantile(cumulative, model.probability(cumulative, day)), day, atol=0.05, rtol=0)


def test_an_even_density_has_the_quantiles_of_its_line():
    "Half of an even density lies before the middle; a central interval has its share, wider by what is added."
    model = network()
    even = torch.full((1, 4, model.line.numel()), 1 / model.line.numel()).log()
    found = model.dates(even, level=0.5, widen=torch.tensor([0, 0.1, 0.25, 9]))
    length = 2 * REACH + STEP
    torch.testing.assert_close(found.median, torch.zeros(1, 4), atol=0.01, rtol=0)
    torch.testing.assert_close(found.high - found.low, torch.tensor([[0.5, 0.7, 1, 1]]) * length, atol=0.05, rtol=0)


def test_the_loss_is_least_at_the_bell():
    "The cross-entropy of a bell is least for that bell; an unknown date adds nothing, none known gives zero."
    model, day = network(), torch.tensor([[10.0, torch.nan, -50, torch.nan]])
    away = (model.line - torch.nan_to_num(day)[..., None]) / 6
    bell = (-0.5 * away**2).log_softmax(-1).requires_grad_()
    least = model.loss(bell.log_softmax(-1), day)
    assert (torch.autograd.grad(least, bell)[0].abs() < 1e-6).all()
    one, two = (model.loss(bell[:, [k]], day[:, [k]]) for k in (0, 2))
    torch.testing.assert_close(least, (one + two) / 2)
    nothing = model.loss(bell, torch.full((1, 4), torch.nan))
    assert nothing == 0 and (torch.autograd.grad(nothing, bell)[0] == 0).all()


def test_saved_is_loaded(tmp_path):
    "The weights on disk give the same numbers; the line is not among them."
    model, data = network(), series(2)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = network()
    with torch.no_grad():
        assert not torch.equal(model(data, middle(2)), other(data, middle(2)))
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(model(data, middle(2)), other(data, middle(2)))
    assert "line" not in model.state_dict()


@pytest.mark.parametrize("sensors", [("thermal",), ("optical", "lidar"), ()], ids=str)
def test_an_unknown_sensor_is_refused(sensors):
    "The network names what it can read."
    with pytest.raises(InputError, match="name some of optical, sar"):
        CropClock(sensors)


def test_it_is_small():
    "It has at most a twentieth of the weights of the faithful Deep-CroP."
    with torch.device("meta"):
        clock, deep = (sum(p.numel() for p in model.parameters()) for model in (CropClock(), DeepCroP("faithful")))
    assert clock <= 0.05 * deep


def test_the_view_begins_on_the_camera():
    "Weights sum to one, are the largest in the cell of the camera and the same to all sides of it."
    view = View()
    weights = view.weights().detach().reshape(6, 6)
    assert weights.sum().item() == pytest.approx(1) and weights.argmax() == 3 * 6 + 3
    assert torch.allclose(weights, weights.T) and [x.item() for x in view.bell()] == [0, 0, 50, 50]


def test_a_view_to_the_north_west_reads_the_first_cell():
    "Rows of a patch begin in the north, columns in the west; what is there is what is seen."
    view, values = View(), torch.randn(2, 7, 36, 2)
    view.place.data = torch.tensor([0.8, -0.8, -3, -3]) / PACE
    assert torch.allclose(view(values), values[:, :, 0], atol=1e-4)


def test_a_patch_that_is_all_alike_is_a_place():
    "Where all cells hold the same, the densities are those of the series itself, wherever the view lies."
    model, data = network(), series(4)
    model.view.place.data = torch.randn(4) / PACE
    patches = {s: (days, values[:, :, None].expand(-1, -1, 36, -1), weights)
               for s, (days, values, weights) in data.items()}
    assert torch.allclose(model(patches, middle(4)), model(data, middle(4)), atol=1e-4)


def test_the_view_finds_the_field_that_was_dated():
    "Another field with other dates fills the patch but for its north: the bell moves there."
    torch.manual_seed(1)
    model = CropClock(width=16)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    north = torch.zeros(36, 1)
    north[:12] = 1
    for step in range(150):
        (own, day), (other, _) = planted(16, seed=step), planted(16, seed=1000 + step)
        seen = {s: (days, values[:, :, None] * north + other[s][1][:, :, None] * (1 - north), weights)
                for s, (days, values, weights) in own.items()}
        optimiser.zero_grad()
        model.loss(model(seen, middle(16)), day).backward()
        optimiser.step()
    to_north, to_east, *_ = (x.item() for x in model.view.bell())
    assert to_north > 40 and abs(to_east) < to_north
    assert model.view.weights()[:12].sum() > 0.8
