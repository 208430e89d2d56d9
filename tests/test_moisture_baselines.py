"""Models that a network for moisture has to beat: planted stores of water, regressions, seasons, unseen sites."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import moisture_baselines as baselines
from phenolib import moisture_scores, moisture_series
from phenolib import moisture_stores as stores
from phenolib.errors import InputError
from phenolib.plots import moisture_series as pictures

matplotlib.use("agg")
VARIABLES = ("precip", "ta", "rh", "sw_in", "ws", "pe")


def planted(sites=12, days=1096, seed=3):
    "Weather, soils and no moisture yet at sites of three clusters; the parts: two years, one cluster held out."
    rng = np.random.default_rng(seed)
    time = pd.date_range("2018-01-01", periods=days)
    names = [f"SIM{k:02d}" for k in range(sites)]
    turn = np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 200) / 365.25)
    weather = np.zeros((sites, days, len(VARIABLES)))
    weather[..., 0] = np.where(rng.random((sites, days)) < 0.4, rng.gamma(0.7, 8.0, (sites, days)), 0)
    weather[..., 1] = 10 + 6 * turn + rng.normal(0, 2, (sites, days))
    weather[..., 2] = 80 - 10 * turn + rng.normal(0, 4, (sites, days))
    weather[..., 3] = np.maximum(120 + 90 * turn + rng.normal(0, 25, (sites, days)), 5)
    weather[..., 4] = rng.gamma(4, 1, (sites, days))
    weather[..., 5] = np.maximum(1.6 + 1.5 * turn + rng.normal(0, 0.3, (sites, days)), 0)
    static = pd.DataFrame({"sand": rng.uniform(0.1, 0.8, sites), "clay": rng.uniform(0.05, 0.2, sites),
                           "organic_carbon": 10 ** rng.uniform(-2, -1, sites),
                           "bulk_density": rng.uniform(0.9, 1.5, sites)}, index=pd.Index(names, name="site"))
    coords = {"site": names, "time": time}
    series = SimpleNamespace(
        weather=xr.DataArray(weather, {**coords, "variable": list(VARIABLES)}, ("site", "time", "variable")),
        theta=xr.DataArray(np.full((sites, days), np.nan), coords, ("site", "time")),
        start=xr.DataArray(np.full((sites, days), 0.3), coords, ("site", "time")), static=static,
        sites=pd.DataFrame({"site": names, "cluster": [f"region {k % 3}" for k in range(sites)]}))
    known = xr.DataArray(np.arange(sites) % 3 != 2, {"site": names}, "site")
    early = xr.DataArray(time.year < 2020, {"time": time}, "time")
    parts = SimpleNamespace(train=(known & early).transpose("site", "time"), years=(known & ~early).transpose(
        "site", "time"), both=(~known & ~early).transpose("site", "time"))
    return series, parts


def answered(series, kind="bucket", noise=0.0, seed=5, **values):
    "The series with the moisture of a store whose wilting point follows the clay, and noise."
    table = stores.BUCKET if kind == "bucket" else stores.LAYERS
    p = np.tile([values.get(name, middle) for name, (_, middle, _) in table.items()], (len(series.static), 1))
    if kind == "bucket":
        p[:, 0] = 0.06 + 0.6 * series.static["clay"]
    truth = stores._runner(kind, series)(p)
    series.theta = series.theta.copy(data=truth + np.random.default_rng(seed).normal(0, noise, truth.shape))
    return series, series.theta.copy(data=truth)


def away(model, series, truth, part):
    "RMSE of a model in a part."
    return float(np.sqrt(((model.predict(series) - truth) ** 2).where(part).mean()))


def test_a_planted_bucket_is_recovered():
    "Its parameters are those planted, and sites in a cluster that was never seen follow their clay."
    series, parts = planted()
    series, truth = answered(series, noise=0.01, depth=220.0, drainage=0.6, demand=1.1)
    model = baselines.fit_bucket(series, parts)
    found = model.parameters(series)
    assert found["depth"].median() == pytest.approx(220, rel=0.15)
    assert found["demand"].median() == pytest.approx(1.1, rel=0.1)
    assert np.corrcoef(found["wilting"], series.static["clay"])[0, 1] > 0.95
    assert away(model, series, truth, parts.both) < 0.012 and away(model, series, truth, parts.years) < 0.008
    plain = baselines.fit_bucket(series, parts, properties=False)
    assert away(plain, series, truth, parts.both) > 1.5 * away(model, series, truth, parts.both)
    assert model.error == pytest.approx(0.01, rel=0.4) and model.days == int(parts.train.sum())


def test_own_parameters_help_at_known_sites():
    "What soil does not tell is learnt at each known site; others keep what soil tells."
    series, parts = planted()
    series, _ = answered(series)
    shift = xr.DataArray(np.random.default_rng(1).normal(0, 0.04, len(series.static)), {"site": series.theta["site"]})
    truth = series.theta = series.theta + shift
    shared, own = (baselines.fit_bucket(series, parts, per_site=p) for p in (False, True))
    assert away(own, series, truth, parts.years) < 0.5 * away(shared, series, truth, parts.years)
    xr.testing.assert_equal(*(m.predict(series).sel(site=["SIM02", "SIM05"]) for m in (shared, own)))
    assert set(own.own) == set(series.sites["site"][series.sites["cluster"] != "region 2"])


def test_planted_layers_are_recovered():
    "Two layers learn two layers; without any property of the soil they still answer."
    series, parts = planted()
    series, truth = answered(series, "layers", noise=0.01, conductivity=0.1, saturation=1.15, demand=1.2)
    model = baselines.fit_two_layers(series, parts)
    assert model.parameters(series)["saturation"].median() == pytest.approx(1.15, rel=0.1)
    assert away(model, series, truth, parts.both) < 0.01
    series.static = series.static[[]]
    assert baselines.fit_two_layers(series, parts).predict(series).notnull().all()


@pytest.mark.parametrize("kind", ["bucket", "layers"])
def test_water_is_kept_within_its_bounds(kind):
    "Neither floods nor a year without rain leave the range between nothing and saturation."
    series, _ = planted(sites=4, days=800)
    rain = series.weather.sel(variable="precip").values
    rain[:, :50], rain[:, 100:] = 200.0, 0.0
    said = answered(series, kind)[1]
    assert float(said.min()) > 0 and float(said.max()) <= stores.MOST
    assert float(said[:, 40].min()) > float(said[:, -1].max())


def test_no_store_knows_the_future():
    "Other weather after a day changes nothing up to that day."
    series, parts = planted()
    series, _ = answered(series)
    models = [baselines.fit_bucket(series, parts, iterations=2), baselines.fit_two_layers(series, parts, iterations=2),
              baselines.fit_ridge(series, parts), baselines.fit_trees(series, parts, rounds=20),
              baselines.fit_climatology(series, parts)]
    before = [m.predict(series) for m in models]
    series.weather = series.weather.copy()
    series.weather[:, 600:] = series.weather[:, 600:].values[:, ::-1]
    for model, said in zip(models, before):
        assert np.array_equal(model.predict(series).values[:, :600], said.values[:, :600])


def test_only_the_training_part_is_read():
    "Nonsense on all other days changes no model."
    series, parts = planted()
    series, _ = answered(series)
    for fit, options in ((baselines.fit_bucket, {"iterations": 3}), (baselines.fit_two_layers, {"iterations": 3}),
                         (baselines.fit_ridge, {}), (baselines.fit_trees, {"rounds": 20}),
                         (baselines.fit_climatology, {})):
        kept = series.theta
        one = fit(series, parts, **options).predict(series)
        series.theta = kept.where(parts.train, 0.9)
        xr.testing.assert_equal(one, fit(series, parts, **options).predict(series))
        series.theta = kept


def test_ridge_finds_what_is_linear():
    "Moisture that is linear in the rain of 30 days and in clay is told at sites that were never seen."
    series, parts = planted()
    X, names = baselines._features(series, ("clay",), False)
    rain, clay = (X[..., names.index(name)] for name in ("precip_30", "clay"))
    truth = series.theta.copy(data=0.1 + 0.02 * rain + 1.5 * clay)
    series.theta = truth + np.random.default_rng(2).normal(0, 0.01, truth.shape)
    model = baselines.fit_ridge(series, parts)
    assert away(model, series, truth, parts.both) < 0.01
    assert away(baselines.fit_ridge(series, parts, properties=False), series, truth, parts.both) > 0.02


def test_trees_bend_where_a_line_does_not():
    "Moisture that jumps with the rain of a week is told better by trees than by a ridge."
    series, parts = planted()
    X, names = baselines._features(series, (), False)
    truth = series.theta = series.theta.copy(data=0.2 + 0.1 * (X[..., names.index("precip_7")] > 2.0))
    trees, ridge = baselines.fit_trees(series, parts), baselines.fit_ridge(series, parts)
    assert away(trees, series, truth, parts.both) < 0.5 * away(ridge, series, truth, parts.both)


def test_a_season_is_that_of_the_site_its_cluster_or_its_soil():
    "Known sites repeat their season; an unknown one takes its cluster's, else that of the nearest soils."
    series, parts = planted()
    turn = np.cos(2 * np.pi * series.theta["time"].dt.day_of_year / 365.25)
    truth = series.theta = 0.2 + 0.05 * turn + xr.DataArray(series.static["clay"].to_numpy(), dims="site") * turn**0
    truth = series.theta = truth.transpose("site", "time").assign_coords(site=series.weather["site"])
    model = baselines.fit_climatology(series, parts, neighbours=2)
    assert away(model, series, truth, parts.years) < 0.002
    assert away(model, series, truth, parts.both) < truth.mean("time").std()  # nearer than the mean of all
    series.sites["cluster"] = "one"
    said = baselines.fit_climatology(series, parts).predict(series)
    known = float(truth.sel(site=parts.train.any("time")).mean())
    assert said.sel(site="SIM02").mean() == pytest.approx(known, abs=0.01)


def test_what_is_missing_is_named():
    "Gaps in the weather, soils that are not told, per cent, and nothing to train on."
    series, parts = planted(sites=6, days=400)
    series, _ = answered(series)
    model = baselines.fit_bucket(series, parts, iterations=2)
    with pytest.raises(InputError, match="tells no 'clay'"):
        model.predict(SimpleNamespace(**{**vars(series), "static": series.static.drop(columns="clay")}))
    with pytest.raises(InputError, match="sand of site 'SIM00' is 40"):
        baselines.hydraulics(series.static.assign(sand=40.0))
    with pytest.raises(InputError, match="clay of site 'SIM01' is missing"):
        static = series.static.copy()
        static.loc["SIM01", "clay"] = np.nan
        baselines.fit_ridge(SimpleNamespace(**{**vars(series), "static": static}), parts)
    with pytest.raises(InputError, match="has 0 days with moisture"):
        baselines.fit_climatology(series, SimpleNamespace(train=parts.train & False))
    holes = series.weather.copy()
    holes[2, 5, 0] = np.nan
    with pytest.raises(InputError, match="site 'SIM02' lacks values of precip"):
        model.predict(SimpleNamespace(**{**vars(series), "weather": holes}))


def test_snow_waits_for_warmth():
    "What falls in frost reaches the soil when it is warm, all of it."
    rain, warmth = np.array([[5.0, 10.0, 0.0, 0.0, 2.0]]), np.array([[1.0, -4.0, -1.0, 3.0, 9.0]])
    assert stores._melted(rain, warmth).tolist() == [[5.0, 0.0, 0.0, 9.0, 3.0]]


# ---- figures

def drawn():
    "Series as the chapters have them, what a network said of them, and the parts."
    series, _ = planted(sites=6, days=1096)
    series, truth = answered(series, noise=0.01)
    series = moisture_series.Series(series.weather, series.theta, series.start, series.static, series.sites)
    parts = moisture_series.parts(series, test_years=(2020,), validation_years=(2019,), test_clusters=("region 2",))
    return series, xr.Dataset({"theta": truth + 0.01, "sigma": 0 * truth + 0.02}), parts, truth


def test_time_is_shaded_by_its_part():
    "A known site has training, validation and test; an unseen one has no training."
    series, said, parts, truth = drawn()
    probes = xr.DataArray(truth.values[0][:, None], {"time": series.theta["time"], "probe": [1]}, ("time", "probe"))
    for site, words in (("SIM00", {"training", "validation", "test"}), ("SIM02", {"test"})):
        figure = pictures.site_record(series, said, site, parts, probes=probes, truth=truth.sel(site=site))
        found = {t.get_text() for t in figure.legends[0].get_texts()}
        assert words <= found and {"truth", "point probes", "first guess", "network, 90% band"} <= found
        assert ("training" in found) == ("training" in words)
        matplotlib.pyplot.close(figure)
    with pytest.raises(InputError, match="'SIM0X' is not in the series"):
        pictures.site_record(series, said, "SIM0X", parts)


def test_the_event_is_the_largest_rise():
    "A jump by 0.15 is found to the day; a year without observations says so."
    series, said, _, _ = drawn()
    theta = series.theta.sel(site="SIM01", time="2019") * 0 + 0.2
    theta[200:] += 0.15
    found = pictures.largest_rise(theta)
    assert abs((found - pd.Timestamp(theta["time"].values[200])) / pd.Timedelta(1, "D")) <= 2
    blank = moisture_series.Series(series.weather, series.theta.where(series.theta["site"] != "SIM01"), series.start,
                                   series.static, series.sites)
    figure = pictures.dynamics(blank, said, ["SIM00", "SIM01"], year=2019)
    assert any("nothing observed" in t.get_text() for t in figure.findobj(matplotlib.text.Text))
    matplotlib.pyplot.close(figure)


def test_scores_are_drawn_where_they_are():
    "Each model has its mark at its value in each part; an unknown model is refused."
    series, said, parts, truth = drawn()
    named = {"bucket": truth + 0.03, "network": said["theta"]}
    tables = {part: moisture_scores.compare({k: v.rename(site="station") for k, v in named.items()}, truth.where(
        getattr(parts, part)).rename(site="station"), draws=20) for part in ("years", "both")}
    axes = pictures.model_scores(tables, "rmse", label="RMSE")
    heights = [line.get_ydata() for line in axes.lines if line.get_marker() not in ("None", "_", None)]
    assert any(np.allclose(h, 0.03) for h in heights) and any(np.allclose(h, 0.01) for h in heights)
    with pytest.raises(InputError, match="'forest' has no colour"):
        pictures.model_scores({k: t.rename({"bucket": "forest"}) for k, t in tables.items()}, "rmse", label="RMSE")
    matplotlib.pyplot.close("all")
