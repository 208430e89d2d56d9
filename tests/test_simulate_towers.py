import filecmp
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import neutrons, responses, simulate
from phenolib.errors import InputError
from phenolib.simulate import tower_breath, tower_view, tower_water, towers
from phenolib.simulate.config import DEFAULT
from phenolib.sources import cosmos, field_sensors, flux_tower, neutron_series

SMALL = towers.Settings(sites=10, first=2019, last=2020, flux_sites=3, flux_years=1, neutron_sites=1)


@pytest.fixture(scope="module")
def world():
    return towers.world(DEFAULT, SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("towers")
    towers.make(made, settings=SMALL)
    return made


@pytest.fixture(scope="module")
def many():
    return {carbon: pd.concat([tower_water.sites(seed, 200, carbon) for seed in range(3)]) for carbon in towers.LINKS}


def daily(folder, site):
    return cosmos.read(folder / "cosmos" / f"COSMOS-UK_{site}_HydroSoil_Daily_2019-2020.csv")


# ---- water

def test_no_water_is_lost(world):
    "Rain of all years is what evaporated, ran off, drained and is in the soil and the snow."
    thick, water = tower_water.THICK[:, None], world.water
    held = (thick * (water.theta[-1] - world.soil.retained(1020.0))).sum(0) + water.snow[-1]
    gone = water.evaporation.sum(0) + water.runoff.sum(0) + water.drainage.sum(0)
    np.testing.assert_allclose(world.sky["rain"].sum(0), gone + held, atol=1e-6)


def test_moisture_stays_in_the_pores(world):
    "Moisture lies between dry and saturated soil, and moves through the year."
    theta = world.water.theta
    assert (theta > 0.01).all() and (theta <= world.soil.saturated + 1e-9).all()
    assert (theta[world.days, 0].std(0) > 0.02).all()


def test_carbon_opens_pores_and_holds_water():
    "The same texture with more carbon has more pores and keeps more water at -33 kPa."
    table = tower_water.sites(1, 10)
    more = table.assign(organic_carbon=table["organic_carbon"] * 1.8)
    poor, rich = tower_water.soils(table), tower_water.soils(more)
    assert (rich.saturated > poor.saturated).all()
    few = table["organic_carbon"].to_numpy() < 0.05
    assert few.any() and (rich.critical[0] > poor.critical[0])[few].all()
    assert (poor.wilting < poor.critical).all() and (poor.critical < poor.saturated).all()


def test_carbon_follows_climate_or_does_not(many):
    "Tied carbon is high where it is cold, wet, clayey, and under heath; free carbon has the same spread and no link."
    for carbon, table in many.items():
        log = np.log(table["organic_carbon"])
        rain, warm = (np.corrcoef(log, table[name])[0, 1] for name in ("mean_rain", "mean_temperature"))
        X = np.column_stack([np.log(table["mean_rain"]), table["mean_temperature"], table["clay"], np.ones(len(table))])
        clay = np.linalg.lstsq(X, log, rcond=None)[0][2]
        heath = log[table["land_cover"] == "heath"].mean() - log[table["land_cover"] == "arable"].mean()
        if carbon == "tied":
            assert rain > 0.35 and warm < -0.35 and clay > 1.5 and heath > 0.8
        else:
            assert abs(rain) < 0.12 and abs(warm) < 0.12 and abs(clay) < 1 and abs(heath) < 0.3
    tied, free = (np.log(many[carbon]["organic_carbon"]) for carbon in towers.LINKS)
    assert abs(tied.mean() - free.mean()) < 0.15 and abs(tied.std() - free.std()) < 0.12


def test_the_last_summer_is_a_drought():
    "From April to August of the last year rain is half of normal, and the soil is drier than in other summers."
    made = towers.world(DEFAULT, replace(SMALL, first=2015))
    time = made.sky["time"]
    month, year = time.astype("datetime64[M]").astype(int) % 12 + 1, time.astype("datetime64[Y]").astype(int) + 1970
    dry = (month >= 4) & (month <= 8)
    rain = [made.sky["rain"][dry & (year == y)].sum(0).mean() for y in range(2015, 2021)]
    assert rain[-1] < 0.75 * min(rain[:-1])
    late = (month >= 6) & (month <= 9)
    theta = [made.water.theta[late & (year == y), 1].mean() for y in range(2015, 2021)]
    assert theta[-1] < min(theta[:-1])


def test_weather_is_alike_near_by(world):
    "Rain of two sites of a region is more alike than that of sites of two regions, which is not independent either."
    rain = np.corrcoef(world.sky["rain"].T)
    assert rain[0, 5] > 0.6 > rain[0, 4] > 0.2
    relative = 100 * world.sky["vapour"] / tower_water.weather.saturation(world.sky["air"])
    assert 60 < relative.mean() < 90 and 450 < world.sky["demand"].sum(0).mean() / 4 < 800


def test_other_sites_do_not_change_a_site(world):
    "The first sites are the same in a larger network: place, soil, weather, water."
    large = towers.world(DEFAULT, replace(SMALL, sites=13))
    pd.testing.assert_frame_equal(large.table.iloc[:10], world.table)
    for name in ("rain", "air", "demand"):
        np.testing.assert_allclose(large.sky[name][:, :10], world.sky[name], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(large.water.theta[..., :10], world.water.theta, rtol=1e-7)


def test_soil_warmth_is_late_and_low_at_depth():
    "A yearly wave comes to 0.5 m with e^(-z/D) of its height and z/D late, D = 2.24 m."
    day = np.arange(3650.0)
    wave = 10 + 8 * np.sin(2 * np.pi * day / 365)
    deep = tower_water.warmth(wave, 0.5, 86400.0)
    expected = 10 + 8 * np.exp(-0.5 / 2.24) * np.sin(2 * np.pi * day / 365 - 0.5 / 2.24)
    np.testing.assert_allclose(deep, expected, atol=0.02)


# ---- neutrons and probes

def test_counts_are_those_of_the_true_moisture(folder, world):
    "Hourly counts of the file, brought to usual air and rays, are the curve of the true moisture within their chance."
    number = towers.hourly_sites(world.table, 1)[0]
    place = world.table.iloc[number]
    data = neutron_series.read(folder / "cosmic_ray" / f"{place.site}_time_series.csv.gz")
    rays = xr.open_dataset(folder / "truth" / "towers_incoming.nc")["incoming"]
    truth = xr.open_dataset(folder / "truth" / "towers_moisture.nc").sel(site=place.site)
    count = neutrons.screened(data["neutrons"])
    corrected = count * neutrons.pressure_factor(data["pa"]) / rays
    water = neutrons.absolute_humidity(data["ta"], relative=data["rh"])
    theta = truth["theta_neutron"].interp(time=data["time"] - np.timedelta64(24, "h"))
    expected = world.field.n_dry[number] * neutrons.uts(theta, water, bulk_density=place.bulk_density,
                                                        bound=world.field.bound[number])
    bare, leafy = tower_view.PLANTS[place.land_cover]
    green = xr.DataArray(world.green[world.days, number], {"time": truth["time"]}, ("time",)).interp(time=data["time"])
    expected = expected / neutrons.biomass_factor(bare + (leafy - bare) * green)
    bare_days = truth["snow"].reindex(time=data["time"], method="ffill") < 0.1
    away = ((corrected - expected) / np.sqrt(expected * neutrons.pressure_factor(data["pa"]) / rays)).where(bare_days)
    assert abs(float(away.mean())) < 0.15 and 0.9 < float(away.std()) < 1.15


def test_moisture_of_neutrons_is_near_the_truth(folder):
    "In mineral soils the daily product is within some 0.03 m3 m-3 of the truth, though their physics differ."
    truth = xr.open_dataset(folder / "truth" / "towers_moisture.nc")
    sites = pd.read_csv(folder / "truth" / "towers_sites.csv")
    errors = []
    for site in sites["site"][sites["organic_carbon"] < 0.06]:
        data = daily(folder, site)
        errors.append(float(np.sqrt(((data["theta"] - truth["theta_neutron"].sel(site=site)) ** 2).mean())))
    assert len(errors) >= 4 and 0.005 < np.mean(errors) < 0.04


def test_point_probes_have_an_error_of_their_own(folder):
    "Probes at 0.1 m follow the water between two layers, with an offset that is not that of neutrons."
    truth = xr.open_dataset(folder / "truth" / "towers_moisture.nc")
    both = []
    for site in truth["site"].values:
        data = daily(folder, site)
        theta = truth["theta"].sel(site=site)
        near = theta.isel(layer=0) * (0.125 / 0.175) + theta.isel(layer=1) * (0.05 / 0.175)
        both.append(float(xr.corr(data["theta_tdt"].sel(probe=1), near)))
        assert float(np.abs((data["theta_tdt"].sel(probe=2) - near).mean())) < 0.12
    assert min(both) > 0.9


def test_flags_are_honoured(folder):
    "Days with snow have an estimated moisture that reading leaves out; gaps are told as missing."
    site = pd.read_csv(folder / "truth" / "towers_sites.csv")["site"][4]
    kept, all_ = daily(folder, site), cosmos.read(
        folder / "cosmos" / f"COSMOS-UK_{site}_HydroSoil_Daily_2019-2020.csv", without=())
    snow = all_["snow"] > 0
    assert all_["theta"].where(snow).notnull().sum() > 0 and kept["theta"].where(snow).notnull().sum() == 0
    assert 0.6 < float(kept["theta"].notnull().mean()) < 0.99


def test_surveys_tell_soils_with_errors(folder):
    "Carbon, density and texture of the files are near those of the truth and not the same."
    truth = pd.read_csv(folder / "truth" / "towers_sites.csv")
    told = cosmos.metadata(folder / "cosmos" / "COSMOS-UK_SiteMetadata_2019-2020.csv")
    ratio = np.log(told["soil_organic_carbon"] / truth["organic_carbon"])
    assert 0.02 < ratio.std() < 0.4 and (told["bulk_density"] / truth["bulk_density"]).between(0.8, 1.25).all()
    soils = pd.read_csv(folder / "cosmos" / "site_soils.csv")
    assert list(soils.columns[:6]) == ["site", "sand", "clay", "cluster", "mean_rain", "mean_temperature"]
    assert soils["cluster"].nunique() == 5 and (abs(soils["sand"] - truth["sand"]) < 0.12).all()


# ---- breath

def test_curves_of_truth_are_the_formulas(folder):
    "f and g in the truth are those of JULES, and of the hump with Lloyd and Taylor; the third form has none."
    truth = xr.open_dataset(folder / "truth" / "towers_breath.nc")
    forms = [str(form) for form in truth["form"].values]
    assert sorted(forms) == sorted(tower_breath.FORMS)
    s, warm = truth["s"].values, truth["temperature"].values
    one = truth.isel(site=forms.index("jules"))
    np.testing.assert_allclose(one["f"], responses.jules_moisture(s * 0.5, 0.5, 0.15), atol=1e-9)
    np.testing.assert_allclose(one["g"], 2 ** ((warm - 10) / 10), rtol=1e-9)
    one = truth.isel(site=forms.index("hump"))
    np.testing.assert_allclose(one["g"], responses.lloyd_taylor(warm), rtol=1e-9)
    assert float(one["f"][-1]) < 1e-9 and abs(float(one["f"].max()) - 1) < 0.01
    assert np.isnan(truth["f"].isel(site=forms.index("supply"))).all()
    for k, form in enumerate(forms):
        if form != "supply":
            one = truth.isel(site=k)
            wet = np.interp(one["theta"] / one["saturated"], s, one["f"])
            product = float(one["base"]) * wet * np.interp(one["soil_temperature"], warm, one["g"])
            assert abs(product - one["soil"].values).max() < 0.1


def test_supply_is_no_product():
    "The best product of functions of moisture and of temperature leaves more than a tenth of the mean unexplained."
    s, warm = np.linspace(0.3, 0.85, 60), np.linspace(2, 22, 60)
    table = tower_breath.supply(s[:, None], warm[None])
    u, size, v = np.linalg.svd(table)
    left = table - size[0] * np.outer(u[:, 0], v[0])
    assert np.sqrt((left**2).mean()) > 0.1 * table.mean()
    product = tower_breath.soil_respiration("jules", 2.0, s[:, None], warm[None])
    u, size, v = np.linalg.svd(product)
    np.testing.assert_allclose(product, size[0] * np.outer(u[:, 0], v[0]), atol=1e-9)


def test_mixed_nights_give_respiration(folder):
    "Net exchange of windy nights is respiration in the mean; of calm nights much is missed."
    truth = xr.open_dataset(folder / "truth" / "towers_breath.nc")
    for path in sorted((folder / "towers").glob("FLX_*.csv")):
        data = flux_tower.read(path)
        true = truth.sel(site=data.attrs["site"])
        good = (data["night"] == 1) & (data["ustar"] >= float(true["threshold"])) & data["nee"].notnull()
        calm = (data["night"] == 1) & (data["ustar"] < 0.8 * float(true["threshold"])) & data["nee"].notnull()
        assert float(good.sum()) > 1000 and float(calm.sum()) > 500
        assert float(data["nee"].where(good).mean() / true["reco"].where(good).mean()) == pytest.approx(1, abs=0.06)
        assert float(data["nee"].where(calm).mean() / true["reco"].where(calm).mean()) < 0.8
        assert 0.7 < float(data["nee"].notnull().mean()) < 0.82
        assert float(xr.corr(true["theta"], true["soil_temperature"])) < -0.2


def test_towers_tell_where_they_stand(folder):
    "The table of soils names the tower of a site, with the true number of its soil, and fluxes are of a likely size."
    truth = xr.open_dataset(folder / "truth" / "towers_breath.nc")
    soils = pd.read_csv(folder / "cosmos" / "site_soils.csv").dropna(subset="tower").set_index("tower")
    assert list(soils.index) == list(truth["site"].values)
    assert list(soils["site"]) == list(truth["cosmos_site"].values) and soils["cluster"].nunique() == 3
    assert ((truth["base"] >= 1) & (truth["base"] <= 4)).all()
    assert 0.2 < float(truth["reco"].mean()) < 8 and float(truth["soil"].min()) >= 0


def test_chambers_see_the_soil_alone(folder):
    "The mean of chambers is soil respiration; one file has moisture in per cent and says so."
    truth = xr.open_dataset(folder / "truth" / "towers_breath.nc")
    paths = sorted((folder / "soil_respiration").glob("*.csv.gz"))
    assert len(paths) == 2
    notes = []
    for path in paths:
        data = field_sensors.read(path)
        notes.append(data.attrs["notes"])
        true = truth.sel(site=data.attrs["site_id"])
        at = true["soil"].sel(time=data["time"].to_numpy() + np.timedelta64(30, "m")).values
        assert data["flux"].mean() / at.mean() == pytest.approx(1, abs=0.25)
        assert data["moisture_5cm"].between(0.02, 0.9).all()
        assert any("per cent" in remark for remark in data.attrs["remarks"]) == ("per cent" in notes[-1])
    assert sum("per cent" in note for note in notes) == 1


def test_cores_hold_the_water_of_the_day(folder, world):
    "Water of soil cores is that of the uppermost layers of their day."
    number = towers.hourly_sites(world.table, 1)[0]
    site = world.table["site"][number]
    cores = neutron_series.read_cores(folder / "cosmic_ray" / f"{site}_calibration.csv")
    truth = xr.open_dataset(folder / "truth" / "towers_moisture.nc")["theta"].sel(site=site)
    for time, some in cores.groupby("time"):
        top = (some["theta_g"] * some["bulk_density"])[some["depth"] < 0.1].mean()
        assert top == pytest.approx(float(truth.sel(time=time.normalize()).isel(layer=0)), abs=0.03)


# ---- the part

def test_same_seed_same_bytes(folder, tmp_path):
    "Made again, every file is the same."
    simulate.make("towers", tmp_path / "again", sites=10, first=2019, last=2020, flux_sites=3, flux_years=1,
                  neutron_sites=1)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert len(names) > 30
    same, other, missing = filecmp.cmpfiles(folder, tmp_path / "again", names, shallow=False)
    assert not other and not missing


def test_without_towers_there_are_no_fluxes(tmp_path):
    "flux_years = 0 leaves out towers, chambers and their truth, and archive.yml does not promise them."
    towers.make(tmp_path, settings=replace(SMALL, sites=5, flux_years=0, neutron_sites=0))
    assert not (tmp_path / "towers").exists() and not (tmp_path / "truth" / "towers_breath.nc").exists()
    text = (tmp_path / "archive.yml").read_text(encoding="utf-8")
    assert "cosmos_sites" in text and "flux_towers" not in text and "neutron_series" not in text


@pytest.mark.parametrize("values, words", [
    ({"sites": 2}, "sites = 2"), ({"carbon": "tyed"}, "did you mean 'tied'"), ({"last": 2010}, "first = 2014"),
    ({"flux_years": 9}, "flux_years = 9"), ({"sites": 10.5}, "whole number")])
def test_settings_out_of_range_are_told(values, words):
    "Sizes that make no sense are named in one line."
    with pytest.raises(InputError, match=words) as told:
        simulate.settings("towers", values)
    assert "\n" not in str(told.value)
