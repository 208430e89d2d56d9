"""Simulated stations: the same bytes for a seed, files as real ones, and readings around a truth."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import archive
from phenolib.simulate import config, ground, landscape, stations
from phenolib.sources import soil_stations

PORTS = [0.05, 0.1, 0.2, 0.5, 1.0]


@pytest.fixture(scope="module")
def sizes():
    return config.make(seed=3, sites=3, squares=1, years=(2018, 2019))


@pytest.fixture(scope="module")
def made(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("stations")
    stations.make(folder, config=sizes)
    return folder


@pytest.fixture(scope="module")
def grown(sizes):
    places = landscape.places(3, 3, config=sizes)
    return places, *landscape.grow(3, places, sizes.years, config=sizes)


def test_same_seed_same_bytes_whatever_the_number_of_sites(made, tmp_path):
    "One site alone has the files that it has among three."
    stations.make(tmp_path, config=config.make(seed=3, sites=1, squares=0, years=(2018, 2019)))
    site = landscape.places(3, 1)[0].site
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob(f"*{site}*"))
    assert len(files) == 2
    for name in [*files, "soil/depths.csv"]:
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()
    alone, among = (pd.read_csv(folder / "soil" / "profiles.csv", dtype=str) for folder in (tmp_path, made))
    assert alone.iloc[0].equals(among.iloc[0]) and among["site"].nunique() == 3
    with xr.open_dataset(tmp_path / "truth" / "soil.nc") as one, xr.open_dataset(made / "truth" / "soil.nc") as three:
        assert one.equals(three.sel(site=[site]))


def test_files_are_an_archive(made, grown):
    "Each place has weather on every day, each camera a station; values are what they can be; nothing is found wrong."
    found, (places, sky, _) = archive.open_archive(made), grown
    assert {k: len(v) for k, v in found.kinds().items()} == {"patches": 4, "soil": 3}
    assert not list(archive.check(made))
    for k, place in enumerate(places):
        weather, soil = found.weather(place.site), found.soil(place.site)
        assert weather.equals(found.patch(place.site)["weather"])
        np.testing.assert_allclose(weather.t_mean, sky.t_mean[k], atol=2e-5)
        np.testing.assert_allclose(weather.rain, sky.rain[k], rtol=1e-6)
        np.testing.assert_allclose(weather.vapour_pressure, sky.humidity[k], rtol=1e-5)
        assert (weather.t_dew <= weather.t_min + 0.01).all()
        np.testing.assert_allclose(weather.wind, sky.wind[k] / 0.748, rtol=2e-3)  # FAO 56, eq. 47 at 10 m
        assert soil.depth.values.tolist() == PORTS and soil.attrs["depths_from"] == "depths.csv"
        assert soil.sizes["time"] == sky.sizes["time"] and soil.attrs["licence"] == "CC0-1.0"
        assert 0 < float(soil.theta.min()) and float(soil.theta.max()) < 0.6
    assert found.weather("sim-square-01").sizes == {"time": sky.sizes["time"]}
    table = found.soil_stations.set_index("station")
    assert table["sand_percent"].between(15, 60).all() and table["clay_percent"].between(12, 35).all()
    assert table["bulk_density_g_cm3"].between(1.1, 1.65).all() and table["elevation_m"].notna().all()


def test_readings_lie_around_the_truth(made):
    "Without its offset a sensor is right to its drift, noise and rounding; up to two fifths of the days are missing."
    found = archive.open_archive(made)
    with xr.open_dataset(made / "truth" / "soil.nc") as truth:
        missing = []
        for site in truth["site"].values:
            soil, clean = found.soil(site), truth.sel(site=site)
            for name, drift in stations.DRIFT.items():
                error = (np.log(soil[name] / clean[name]).where(clean[name] > 0.2) if name == "ec" else
                         (soil[name] - clean[name]))
                within = (error - error.median("time")).std("time")
                assert float(within.max()) < 2 * drift + 0.01
                assert float(np.abs(error.median("time")).max()) < 4 * (stations.OFFSET[name] + drift)
            missing.append(float(soil.theta.isnull().mean()))
        assert truth.theta.notnull().all() and 0.05 < np.mean(missing) < 0.45


def test_ports_read_the_layers_that_they_lie_in(grown):
    "At 5 cm the upper layer, at 10 cm both by halves, deeper the lower one; temperature at its own depth."
    places, _, growth = grown
    soil = ground.soil_of(ground.make(3, places[0].site, places[0].region, places[0].field.shape), places[0].field)
    clean, own = stations.state(growth.isel(field=0), soil.isel(field=0)), growth.isel(field=0)
    upper, lower = (own["theta"].isel(layer=k) for k in (0, 1))
    for depth, expected in zip(PORTS, (upper, (upper + lower) / 2, lower, lower, lower)):
        np.testing.assert_allclose(clean.theta.sel(depth=depth), expected, rtol=1e-5)
    np.testing.assert_allclose(clean.soil_temperature, own["soil_temperature"], rtol=1e-5)
    swing = clean.soil_temperature.std("time").values
    assert (np.diff(swing) < 0).all()


def test_conductivity_rises_with_water_salt_and_clay(grown):
    "Each alone raises the conductivity of the bulk soil; that of a soil without salt stays low."
    _, _, growth = grown
    own = growth.isel(field=0)

    def ec(salt=0.5, clay=20.0):
        soil = xr.Dataset({"salinity": salt, "clay": clay, "carbon": 1.5})
        return stations.state(own, soil)

    base = ec()
    theta, order = base.theta.isel(depth=2).values, np.argsort(base.theta.isel(depth=2).values)
    assert (np.diff(base.ec.isel(depth=2).values[order]) >= 0).all() and np.ptp(theta) > 0.02
    assert (ec(salt=4.0).ec > base.ec).all() and (ec(clay=30.0).ec > base.ec).all()
    assert 0.02 < float(base.ec.min()) and float(base.ec.max()) < 0.8 < float(ec(salt=4.0).ec.max())


def test_outages_have_the_share_and_the_length_of_their_chain():
    "A chain that begins on one day of 200 and ends on one of 20 is out on a tenth of the days, for 20 days."
    lost = stations.outages(np.random.default_rng(1), (4000, 40), 1 / 200, 1 / 20)
    spells = ((~lost[:-1]) & lost[1:]).sum()
    assert not lost[0].any() and lost.mean() == pytest.approx(1 / 11, rel=0.15)
    assert lost.sum() / spells == pytest.approx(20, rel=0.15)


def test_a_sensor_that_died_stays_dead():
    "Among many sensors the share that ends before the last day is the one planned."
    time = pd.date_range("2019-01-01", periods=600)
    clean = xr.Dataset({name: (("time", "depth"), np.full((600, 400), 0.3)) for name, *_ in
                        soil_stations.VARIABLES.values()}, {"time": time, "depth": np.arange(400) / 100})
    read = stations.readings(np.random.default_rng(2), clean)
    silent = read.theta.isel(time=slice(-120, None)).isnull().all("time")
    assert 0.08 < float(silent.mean()) < stations.DIES
    assert read.theta.isnull().equals(read.ec.isnull())
