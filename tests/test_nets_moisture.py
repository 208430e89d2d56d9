"""The causal network of soil moisture: what it may know, what it can learn, and forecasts on grids."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from phenolib import moisture_forecasts, moisture_series, moisture_training
from phenolib.errors import InputError
from phenolib.nets import moisture as nets

pytestmark = pytest.mark.usefixtures("one_thread")
SCALES = {"weather": np.zeros(3), "weather_sd": np.ones(3), "static": np.zeros(2), "static_sd": np.ones(2),
          "theta": 0.3, "theta_sd": 0.1}
SMALL = dict(width=16, epochs=4, steps=2, window=364, batch=4, progress=False)


def network(kind="attention", **options):
    "A network with weights of chance, none of them zero."
    torch.manual_seed(3)
    options = {"dilations": (1, 2, 4), **options} if kind == "attention" else options
    model = nets.KINDS[kind](SCALES, width=16, **options).eval()
    torch.nn.init.normal_(model.leave.last.weight, std=0.1)
    if getattr(model, "attention", None):
        torch.nn.init.normal_(model.attention.ago)
        torch.nn.init.normal_(model.attention.leave.weight, std=0.3)
    return model


def days(count=900, sites=3, seed=0):
    "Inputs of a network: weather, soil, season, state, age."
    torch.manual_seed(seed)
    return [torch.randn(count, sites, 3).abs(), torch.randn(sites, 2), torch.arange(count) % 365 / 365,
            0.3 + 0.05 * torch.rand(1, sites).expand(count, -1), torch.arange(count).float()]


@pytest.mark.parametrize("start", nets.STARTS)
@pytest.mark.parametrize("kind", nets.KINDS)
def test_the_future_changes_no_bit_of_the_past(kind, start):
    "Other inputs from a day on: what is said before is equal to the bit, what is said after is not."
    model = network(kind, start=start)
    given = days()
    with torch.inference_mode():
        plain = model(*given)[0]
        for first in (500, 503):
            other = [v.clone() for v in given]
            other[0][first:] *= 3
            other[3] = torch.cat([given[3][:first], given[3][first:] + 0.1])
            changed = model(*other)[0]
            assert torch.equal(plain.mean[:first], changed.mean[:first])
            assert torch.equal(plain.sigma[:first], changed.sigma[:first])
            assert not torch.equal(plain.mean[first], changed.mean[first])


def test_it_looks_back_so_far_and_no_farther():
    "Convolutions reach 14 days, the attention 52 whole weeks; without it nothing beyond counts."
    given = days()
    other = [given[0].clone(), *given[1:]]
    other[0][140] += 5
    for attention, last in ((True, 154 + 7 + 364), (False, 154)):
        model = network(attention=attention)
        with torch.inference_mode():
            changed = (model(*given)[0].mean - model(*other)[0].mean).abs().amax(1).nonzero()[:, 0]
        assert changed.min() == 140 and last - 14 <= changed.max() <= last


@pytest.mark.parametrize("kind", nets.KINDS)
@pytest.mark.parametrize("piece", [364, 91, 7])
def test_pieces_are_the_whole(kind, piece):
    "Whole weeks one after the other give what all days at once give, to 1e-6 m³ m⁻³."
    model, given, kept, found = network(kind), days(500), None, []
    with torch.inference_mode():
        whole = model(*given)[0]
        for a in range(0, 500, piece):
            cut = [given[0][a:a + piece], given[1], *(v[a:a + piece] for v in given[2:])]
            out, kept = model(*cut, kept)
            found.append(out)
    for name in ("mean", "sigma"):
        assert torch.allclose(torch.cat([getattr(f, name) for f in found]), getattr(whole, name), rtol=0, atol=1e-6)


def test_a_site_does_not_know_the_others():
    "What is said of a site alone is what is said of it among others."
    model, given = network(), days(200)
    with torch.inference_mode():
        alone = model(given[0][:, 1:2], given[1][1:2], given[2], given[3][:, 1:2], given[4])[0].mean
        assert torch.allclose(alone[:, 0], model(*given)[0].mean[:, 1], rtol=0, atol=1e-6)


def test_the_state_grows_old():
    "Another state at the start counts on the first days and not after years; for the daily one it counts each day."
    given = days(2200)
    other = [*given[:3], given[3] + 0.15, given[4]]
    for start, old in (("state", 0.03), ("none", 0)):
        model = network(start=start)
        with torch.inference_mode():
            away = (model(*given)[0].mean - model(*other)[0].mean).abs().amax(1)
        assert away[-1] <= old * away[0] and (away[0] > 0) == (start == "state")
    model = network(start="series")
    assert (model(*given[:4], torch.zeros(2200))[0].mean - model(*other[:4], torch.zeros(2200))[0].mean).abs().min() > 0


def test_bounds_hold_for_any_weather():
    "Mean and sigma stay where moisture can be."
    given = days(100)
    with torch.inference_mode():
        out = network()(given[0] * 1e3, *given[1:])[0]
    assert 0 <= out.mean.min() and out.mean.max() <= nets.MOST and out.sigma.min() >= nets.SPREADS[0] - 1e-7
    assert out.sigma.max() <= nets.SPREADS[1] + 1e-7


def test_terms_of_the_loss_are_zero_where_all_is_right():
    "The truth said with a shift of its start has no term but the likelihood; days that are not known count nowhere."
    theta = 0.3 + 0.1 * torch.rand(100, 4)
    known = torch.rand(100, 4) > 0.3
    right = nets.Moisture(theta, torch.full_like(theta, 0.02))
    shifted = nets.Moisture(theta[20:, :2], theta[20:, :2])
    given = dict(scale=0.1, start=theta, age=torch.arange(100.0), shifted=shifted, past=20)
    terms = nets.losses(right, theta, known, **given)
    assert all(abs(float(terms[name])) < 1e-6 for name in nets.TERMS)
    assert float(terms["likelihood"]) == pytest.approx(np.log(0.02), rel=1e-5)
    odd = torch.where(known, theta, torch.nan)
    assert float(nets.losses(right, odd, known, **given)["likelihood"]) == pytest.approx(np.log(0.02), rel=1e-5)
    wrong = nets.Moisture(theta + 0.05 * torch.arange(100.0)[:, None], right.sigma)
    assert all(v > terms[name] + 0.01 for name, v in nets.losses(wrong, theta, known, **given).items())


@pytest.mark.parametrize("kind", nets.KINDS)
def test_it_learns_by_heart(kind):
    "Eight sites with moisture of their own."
    given = days(30, 8)
    theta = 0.3 + 0.1 * torch.sin(given[0].cumsum(0)[..., 0] / 8 + 3 * given[1][:, 0])
    torch.manual_seed(0)
    model = nets.KINDS[kind](SCALES, width=32, jitter=0, dropout=0)
    step = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(80):
        loss = (model(*given)[0].mean - theta).square().mean()
        step.zero_grad()
        loss.backward()
        step.step()
    assert loss.item() ** 0.5 < 0.015


# ---- training, on a planted network of sites

@pytest.fixture(scope="module")
def planted():
    "A bucket, wetter the less sand there is, and noise; its series and parts."
    rng, sites = np.random.default_rng(1), 10
    time = pd.date_range("2015-01-01", "2019-12-31")
    size, wave = (sites, len(time)), -np.cos(2 * np.pi * time.day_of_year.to_numpy() / 365)
    sky = {"precip": rng.gamma(0.3, 8, size), "ta": 9 + 6 * wave + rng.normal(size=size),
           "pe": np.maximum(1.6 + 1.5 * wave, 0.1) + np.zeros(size)}
    names = [f"S{k}" for k in range(sites)]
    table = pd.DataFrame({"site": names, "cluster": [f"c{k // 2}" for k in range(sites)],
                          "sand": [0.2, 0.8, 0.4, 0.6, 0.3, 0.7, 0.25, 0.75, 0.5, 0.35], "clay": 0.2})
    sand = table["sand"].to_numpy()
    truth = moisture_series.bucket(sky["precip"].T, sky["pe"].T, None, sand, 0.2).T + 0.6 * (0.5 - sand[:, None])
    daily = xr.Dataset({name: (("site", "time"), v) for name, v in {**sky, "theta": truth + 0.01 * rng.normal(
        size=size)}.items()}, {"site": names, "time": time})
    series = moisture_series.prepare((daily, table), weather=("precip", "ta", "pe"), statics=("sand",))
    return series, moisture_series.parts(series, test_years=2019, validation_years=2018, test_clusters=["c1"]), truth


@pytest.fixture(scope="module")
def trained(planted, tmp_path_factory):
    "Two small networks, a few steps old."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHENOLIB_HOME", str(tmp_path_factory.mktemp("home")))
        yield moisture_forecasts.fit(planted[0], planted[1], members=2, **SMALL)


def test_training_finds_what_was_planted(planted, tmp_path, monkeypatch):
    "After few epochs it is nearer to the truth in unseen years, and at unseen sites, than the first guess is."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    series, parts, truth = planted
    options = {**SMALL, "epochs": 14, "steps": 6, "lr": 1e-2, "jitter": 0, "dropout": 0}
    made = moisture_forecasts.fit(series, parts, **options)
    said = made.predict(series)
    assert said["theta"].dims == ("site", "time") and bool(said.notnull().all().to_array().all())
    for part in (parts.years, parts.both):
        away, guess = (np.sqrt(np.mean((v.values - truth)[part.values]**2)) for v in (said["theta"], series.start))
        assert away < 0.6 * guess


def test_nothing_of_the_test_is_learnt(planted, trained, tmp_path, monkeypatch):
    "Another target, weather and soil of what is tested gives the same scales and the same weights."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    series, parts, _ = planted
    tested = (parts.years | parts.sites | parts.both).values
    unseen = ~parts.known
    weather, theta, static = series.weather.copy(deep=True), series.theta.copy(deep=True), series.static.copy()
    weather.values[tested & (series.theta["time"].dt.year.values >= 2019)] += 3
    theta.values[tested] = 0.9
    static.loc[unseen] += 0.3
    other = moisture_series.Series(weather, theta, series.start, static, series.sites)
    for name, value in moisture_training.scales_of(series, parts).items():
        assert np.array_equal(value, moisture_training.scales_of(other, parts)[name])
    again = moisture_forecasts.fit(other, parts, **SMALL)
    for name, value in trained.networks[0].state_dict().items():
        assert torch.equal(value, again.networks[0].state_dict()[name])


def test_a_fit_comes_back_from_the_store(planted, tmp_path, monkeypatch):
    "The second call trains nothing and says the same; another seed is another network."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    series, parts, _ = planted
    first, again = (moisture_forecasts.fit(series, parts, kind="lstm", **SMALL) for _ in range(2))
    assert again.stored and not first.stored and again.histories == [list(h) for h in first.histories]
    assert np.array_equal(first.predict(series)["theta"], again.predict(series)["theta"])
    assert not moisture_forecasts.fit(series, parts, kind="lstm", seed=1, **SMALL).stored


def test_predictions_do_not_know_tomorrow(planted, trained):
    "Of an ensemble, through the whole of ``predict``."
    series, _, _ = planted
    weather = series.weather.copy(deep=True)
    weather[:, 800:] *= 2
    other = moisture_series.Series(weather, series.theta, series.start, series.static, series.sites)
    a, b = trained.predict(series), trained.predict(other)
    for name in ("theta", "sigma"):
        assert np.array_equal(a[name][:, :800], b[name][:, :800]) and not np.array_equal(a[name], b[name])
    assert float(a["sigma"].min()) > 0


def test_satellites_in_place_of_soil(planted, tmp_path, monkeypatch):
    "Without soils, with a further variable of the weather."
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path))
    series, parts, _ = planted
    swi = series.start.expand_dims(variable=["swi"]).transpose("site", "time", "variable")
    weather = xr.concat([series.weather, swi], "variable").astype("float32")
    bare = moisture_series.Series(weather, series.theta, series.start, series.static[[]], series.sites)
    made = moisture_forecasts.fit(bare, parts, **SMALL)
    assert made.statics == () and made.variables[-1] == "swi" and made.predict(bare)["theta"].shape == (10, 1826)
    with pytest.raises(InputError, match="no 'swi'"):
        made.predict(series)


# ---- forecasts

@pytest.mark.parametrize("threads", [1, 2])
def test_a_forecast_is_what_predict_says(planted, trained, tmp_path, threads):
    "Block by block on disk, to the whole numbers that are kept; a second call makes nothing."
    series, _, _ = planted
    weather = series.weather.transpose("time", "site", "variable").values
    options = dict(times=series.theta["time"].values, static=series.static, start=series.start.values[:, 0], block=4,
                   threads=threads)
    report = moisture_forecasts.forecast(trained, lambda cells: weather[:, cells], tmp_path / "map.zarr", **options)
    found = xr.open_zarr(report.path).load()
    said = trained.predict(series)
    assert report.made == 10 and found["theta"].dims == ("time", "cell")
    for name in ("theta", "sigma"):
        assert np.allclose(found[name].T, said[name], rtol=0, atol=5.2e-5)
    again = moisture_forecasts.forecast(trained, lambda cells: 1 / 0, report.path, **options)
    assert again.made == 0


def test_a_killed_forecast_goes_on(planted, trained, tmp_path):
    "Blocks that were finished are not asked for again."
    series, _, _ = planted
    weather, asked = series.weather.transpose("time", "site", "variable").values, []

    def read(cells, fails=True):
        asked.append(cells.start)
        if fails and cells.start >= 8:
            raise OSError("the disk went away")
        return weather[:, cells]

    one = trained.only(1)
    options = dict(times=series.theta["time"].values, static=series.static, block=4, threads=1)
    with pytest.raises(OSError, match="went away"):
        moisture_forecasts.forecast(one, read, tmp_path / "map.zarr", **options)
    report = moisture_forecasts.forecast(one, lambda cells: read(cells, False), tmp_path / "map.zarr", **options)
    assert asked == [0, 4, 8, 8] and report.made == 2
    assert bool(xr.open_zarr(report.path)["theta"].notnull().all())


def test_what_cannot_be_forecast_is_told(planted, trained, tmp_path):
    "Shape, gaps, days, soils, another forecast at the place: one line each."
    series, _, _ = planted
    weather, times = series.weather.transpose("time", "site", "variable").values, series.theta["time"].values

    def make(read=lambda cells: weather[:, cells], name="map.zarr", **options):
        given = {"times": times, "static": series.static, "threads": 1, **options}
        return moisture_forecasts.forecast(trained.only(1), read, tmp_path / name, **given)

    make()
    for said, call in (
            ("has the shape", lambda: make(lambda cells: weather[:9, cells], "a.zarr")),
            ("has gaps", lambda: make(lambda cells: np.where(weather > 9, np.nan, weather)[:, cells], "b.zarr")),
            ("not daily", lambda: make(name="c.zarr", times=times[::2])),
            ("no column 'sand'", lambda: make(name="d.zarr", static=series.static.rename(columns={"sand": "sandy"}))),
            ("another forecast", lambda: make(block=5))):
        with pytest.raises(InputError, match=said):
            call()


@pytest.mark.parametrize(("options", "said"), [
    ({"kind": "attenion"}, "did you mean 'attention'"), ({"start": "stat"}, "did you mean 'state'"),
    ({"weights": {"shft": 1}}, "did you mean 'shift'"), ({"window": 5000}, "windows of 5000 days"),
    ({"width": 20}, "multiple of 16")])
def test_fits_that_cannot_be_are_told(planted, options, said):
    "One line that names it."
    with pytest.raises(InputError, match=said):
        moisture_forecasts.fit(planted[0], planted[1], **{**SMALL, **options})
