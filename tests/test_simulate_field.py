"""One simulated field: its instruments agree with its truth, salt and breath follow its water, its files are read."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import archive, responses
from phenolib.errors import InputError
from phenolib.files import sha256
from phenolib.simulate import config, field
from phenolib.sources import field_sensors, moisture_stations, salt_samples


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "The archive of a field."
    folder = tmp_path_factory.mktemp("field")
    field.make(folder)
    return archive.open_archive(folder)


@pytest.fixture(scope="module")
def lived():
    "What is true in it before any instrument."
    return field.live(field.Settings())


@pytest.fixture(scope="module")
def truth(made):
    "What is true of it."
    with xr.open_dataset(made.root / "truth" / "plots_field.nc") as found:
        return found.load()


def test_all_instruments_are_there(made):
    "The archive names six kinds, and each is read with the reader of its kind."
    assert set(made.kinds()) == {"cameras", "plots", "root_images", "salt", "moisture_stations", "chambers"}
    assert made.phenocam("onefield")["gcc_90"].notnull().sum() > 80
    assert made.root_images["mask"].notna().all()
    assert made.root_images["tube"].nunique() == 6
    assert made.plot_satellite().sizes["plot"] == 1


def test_salt_comes_with_drought_and_goes_with_rain(made, truth):
    "The topsoil gains salt below the roof and loses it in winter; it stays below what maize feels."
    top = truth["salt"].isel(layer=0).to_series()
    assert top["2021-10-01"] > 1.4 * top["2021-05-15"]
    assert top["2022-01-31"] < 0.85 * top["2021-10-01"]
    assert 0 < top.min() and top.max() < 0.6
    samples = salt_samples.read(made.kinds()["salt"][0])
    assert len(samples) == 2 * field.POINTS * len(field.CAMPAIGNS)
    means = samples[samples["depth_top"] == 0].groupby("date")["salt"].mean()
    assert np.abs(means / top.reindex(means.index) - 1).max() < 0.2


def test_an_irrigated_field_has_less_salt(lived):
    "More water takes more salt along."
    wet = field.live(field.Settings(treatment="irrigated"))
    assert wet.salt[-120, 0] < lived.salt[-120, 0]


def test_breath_is_a_product_of_moisture_and_temperature(made, truth, lived):
    "The trenched chambers give the planted base back; the others breathe more where there are roots."
    table = field_sensors.read(made.kinds()["chambers"][0])
    soil = lived.soil
    alone = table[table["chamber"] > field.COLLARS // 2]
    fit = responses.fit("jules_q10", alone["flux"], alone["temperature_5cm"], alone["moisture_5cm"], time=alone["time"],
                        saturated=soil.saturated[0], wilting=soil.wilting[0], draws=10)
    assert fit.values["base"] == pytest.approx(field.BASE, rel=0.1) and fit.r2 > 0.8
    july = table[table["time"].dt.month == 7].groupby("chamber")["flux"].mean()
    assert july[:4].min() > july[4:].max() + 0.5
    assert float(truth["root_breath"].sel(hour="2021-03").max()) == 0


def test_probes_hold_the_true_water(made, truth):
    "The mean of four stations is the field's water, the upper layer drier than the lower in summer."
    layers = moisture_stations.layers(moisture_stations.read(made.kinds()["moisture_stations"][0]))
    for name in ("surface", "root_zone"):
        away = layers[name].mean("station") - truth[name]
        assert float(np.abs(away).mean()) < 0.02
    july = truth.sel(time="2021-07")
    assert float(july["surface"].mean()) < float(july["root_zone"].mean()) - 0.03


def test_dates_are_in_order(made):
    "The camera sees green before there are roots, and roots outlast the leaves."
    dates = pd.read_csv(made.root / "truth" / "plots_dates.csv", parse_dates=["date"]).set_index(["what", "event"])
    day = dates["date"]
    assert day["camera", "sos20"] < day["root", "sos20"] < day["camera", "eos20"] < day["root", "eos20"]
    assert day["satellite", "sos50"] > day["camera", "sos50"]


def test_same_seed_same_bytes(made, lived, tmp_path):
    "The same seed writes the same files, another one others."
    for seed, folder in ((config.DEFAULT.seed, tmp_path / "same"), (3, tmp_path / "other")):
        field.samples(folder, lived, field.Settings(), seed)
        field.stations(folder, lived, seed)
        field.chambers(folder, lived, field.Settings(), seed)
    for name in ("salt/onefield_salt_samples.csv", "stations/uscrn_daily.csv.gz", "soil_respiration/onefield.csv.gz"):
        assert sha256(made.root / name) == sha256(tmp_path / "same" / name)
        assert sha256(made.root / name) != sha256(tmp_path / "other" / name)


def test_wheat_has_a_season_too(tmp_path):
    "The other crop in another year with another seed is seen by a camera that runs through its season."
    settings = field.Settings(crop="winter_wheat", year=2018)
    lived = field.live(settings, config.make(seed=3))
    _, events = field.camera(tmp_path, lived, settings, 3)
    dates = {row["event"]: row["date"] for row in field.dated("camera", events)}
    assert dates["sos50"] < "2018-06" < dates["eos50"] < "2018-09"


@pytest.mark.parametrize("wrong, words", [
    (dict(crop="maize"), "crop = maize"), (dict(treatment="shelterd"), "did you mean"), (dict(year=2019), "2019"),
    (dict(year=1999), "2015"),
])
def test_what_cannot_be_is_refused(wrong, words):
    "A crop, treatment or year that is not there is named in one line."
    with pytest.raises(InputError, match=words):
        field.Settings(**wrong)
