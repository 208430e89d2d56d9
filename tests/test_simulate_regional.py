"""The simulated peninsula: its water closes, its images answer to moisture or do not, its files hold what was planted.
"""

import hashlib

import numpy as np
import pytest
import xarray as xr

from phenolib import archive, simulate
from phenolib.errors import InputError
from phenolib.simulate import peninsula, regional, regional_view
from phenolib.simulate.regional_view import IMAGES

SEED, YEAR = 3, 2019


@pytest.fixture(scope="module")
def basin():
    land = regional.land(SEED, 3, 3)
    return regional.Basin(land, regional.make_weather(SEED, land.lon, land.lat, (YEAR, YEAR)))


@pytest.fixture(scope="module")
def days(basin):
    return basin.sky.year(YEAR)


@pytest.fixture(scope="module")
def run(basin, days):
    "Water of a year with what was there before and after, and all fluxes."
    state = basin.start()
    before = state.stored()
    first = basin.balance(state, slice(0, days.start))
    water = basin.balance(state, days)
    return water, before, state.stored(), first["flux"].sum(0) + water["flux"].sum(0)


@pytest.fixture(scope="module")
def images(basin, run, days):
    return {name: regional_view.View(basin, SEED, name).make(run[0], days) for name in IMAGES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    "Small archives: twice the same, and one with images from elsewhere."
    found = {}
    for name, kind in (("first", "moisture"), ("again", "moisture"), ("elsewhere", "elsewhere")):
        found[name] = tmp_path_factory.mktemp("archives") / name
        simulate.make("peninsula", found[name], seed=SEED, tall=2, wide=2, first=YEAR, last=YEAR, stations=4,
                      images=kind)
    return found


def departures(basin, values):
    "What a pixel has beyond the mean of its coarse cell on the day, beyond its own mean of the month around."
    from scipy.ndimage import uniform_filter1d

    count = np.bincount(basin.land.block, minlength=basin.cells)
    means = np.stack([np.bincount(basin.land.block, day, basin.cells) / np.maximum(count, 1) for day in values])
    values = values - means[:, basin.land.block]
    return values - uniform_filter1d(values, 31, axis=0)


def test_grids_are_aligned():
    "Coarse cells lie at whole multiples of 0.25°, and 30 fine pixels fill one, whatever the size."
    for tall, wide in ((8, 8), (5, 3)):
        lon, lat = regional.axes(tall, wide)
        assert (lon.size, lat.size) == (30 * wide, 30 * tall) and lat[0] > lat[-1]
        edges = np.array([lon[0] - 1 / 240, lat[0] + 1 / 240]) / 0.25
        assert np.allclose(edges, edges.round(), atol=1e-9) and np.allclose(np.diff(lon), 1 / 120)


def test_the_land_is_a_peninsula_with_soils():
    "Three fifths are land, heights stay below 1500 m, valleys hold clay, forest stands on slopes."
    land = regional.land(SEED, 8, 8)
    on = land.land
    assert 0.55 < on.mean() < 0.66 and not on[-1, 0] and on[0, -1]
    assert 600 < land.elevation[on].max() < 1500 and (land.elevation > 0).all()
    assert ((land.sand + land.clay)[on] < 1).all() and set(np.unique(land.cover[on])) == set(regional.COVERS)
    assert np.corrcoef(land.hollow[on], land.clay[on])[0, 1] > 0.3
    forest = np.isin(land.cover, regional.FORESTS)
    assert land.slope[on & forest].mean() > 1.5 * land.slope[on & (land.cover == 12)].mean()


def test_water_is_neither_made_nor_lost(run, basin):
    "What falls is what evaporates, runs off, drains and stays, to a thousandth of a millimetre over all pixels."
    water, before, after, (falls, evaporates, runs, drains) = run
    assert before + falls - evaporates - runs - drains - after == pytest.approx(0, abs=1e-3)
    assert min(falls, evaporates, runs, drains) > 0
    pixels = basin.land.land.sum()
    assert 400 < evaporates / pixels * 365 / basin.sky.time.size < 1100


def test_moisture_stays_in_its_soil(run, basin):
    "No layer is drier than air-dry or wetter than its pores, and the root zone is the mean of both layers."
    water = run[0]
    for name in ("surface", "lower"):
        assert (water[name] > 0.3 * basin.soil.wilting).all() and (water[name] <= basin.soil.saturated + 1e-6).all()
    assert np.allclose(water["root_zone"], 0.1 * water["surface"] + 0.9 * water["lower"], atol=1e-6)
    change = [np.abs(np.diff(water[name], axis=0)).mean() for name in ("surface", "root_zone")]
    assert change[0] > 2 * change[1]


def test_there_is_detail_within_coarse_cells(run, basin):
    "The mean moisture of a year differs within a coarse cell by 0.02 to 0.06 m³ m⁻³."
    spread = [run[0]["surface"].mean(0)[basin.land.block == cell].std() for cell in np.unique(basin.land.block)
              if (basin.land.block == cell).sum() > 300]
    assert 0.02 < np.mean(spread) < 0.06


def test_a_dry_spell_ends_suddenly(run, basin, days):
    "In the last year moisture falls for weeks and is back within three days of the front."
    mean = run[0]["surface"].mean(1)
    begin, end = regional.SPELL
    assert mean[begin - 5] - mean[end - 1] > 0.05 and mean[end + 3] - mean[end - 1] > 0.08


@pytest.mark.parametrize("name, low, high", [
    ("moisture", -1, -0.2), ("weather", -0.1, 0.1), ("elsewhere", -0.1, 0.1)])
def test_images_answer_to_moisture_as_stated(images, run, basin, name, low, high):
    "Within coarse cells what is wetter for days is cooler where images answer; where they do not, nothing is."
    one, other = (departures(basin, v)[90:300] for v in (images[name]["lst_day"], run[0]["surface"]))
    assert low <= np.corrcoef(one.ravel(), other.ravel())[0, 1] <= high


def test_images_from_elsewhere_know_nothing_of_this_land(images, basin):
    "The pattern of temperature and NDVI of a year hangs on the own elevation and cover, or on those of nothing here."
    land = basin.land
    height, wood = land.on(land.elevation), land.on(np.isin(land.cover, regional.FORESTS)).astype(float)
    for name, least, most in (("weather", 0.6, 1.0), ("elsewhere", 0.0, 0.35)):
        night, green = (images[name][what].mean(0) for what in ("lst_night", "ndvi"))
        assert least <= abs(np.corrcoef(night, height)[0, 1]) <= most
        assert least <= abs(np.corrcoef(green, wood)[0, 1]) <= most


def test_wet_ground_is_cool_by_day_and_warm_at_night(basin, run, days):
    "Wetting cools bare soil at noon by 5 to 9 K and forest by 1 to 3.5 K, and warms both at night."
    view = regional_view.View(basin, SEED)
    at, summer = np.argmax(basin.sky.series["radiation"].values[days]), {}
    day = slice(days.start + at, days.start + at + 1)
    for leaves in (0.2, 5.0):
        for wet in (0.30, 0.70):
            theta = basin.soil.wilting + wet * (basin.soil.field - basin.soil.wilting)
            theta = theta[None].astype(np.float32)
            water = {"surface": theta, "lower": theta, "lai": np.full_like(theta, leaves),
                     "air": run[0]["air"][at:at + 1]}
            summer[leaves, wet] = view.make(water, day)
    for leaves, low, high in ((0.2, 2.5, 9), (5.0, 1, 3.5)):
        dry, wet = summer[leaves, 0.30], summer[leaves, 0.70]
        assert low < (dry["lst_day"] - wet["lst_day"]).mean() < high
        assert (wet["lst_night"] - dry["lst_night"]).mean() > 0.1


def test_clouds_hide_the_fine_image_and_not_the_coarse_one(basin, images, days):
    "Fine temperatures are missing in a third to two thirds of all days, most in the rainy season; coarse ones seldom."
    view, truth = regional_view.View(basin, SEED), images["moisture"]["lst_day"]
    fine = view.modis_lst("lst_day", truth, days, YEAR)
    month = basin.sky.time[days].astype("datetime64[M]").astype(int) % 12 + 1
    missing = np.isnan(fine).mean(1)
    assert 0.33 < missing.mean() < 0.67 and missing[np.isin(month, (6, 7, 8))].mean() > missing[month == 10].mean()
    error = (fine - truth)[np.isfinite(fine)]
    assert abs(np.median(error)) < 0.1 and 0.01 < (error < -2).mean() < 0.06
    coarse = view.glass_lst("lst_day", truth, days, YEAR)
    there = np.isfinite(coarse).any(0)
    assert np.isnan(coarse[:, there]).mean() < 0.15
    difference = np.nanmean((coarse - view.sixes(truth))[:, there], 0)
    assert np.abs(difference).max() < 2.5


def test_composites_are_the_greenest_clear_day(basin, images, days):
    "Composites of NDVI begin every 16 days, lie near the highest of their days, and have hardly a gap."
    truth = images["moisture"]["ndvi"]
    dates, found = regional_view.View(basin, SEED).modis_ndvi(truth, days, YEAR)
    assert dates.size == 23 and (np.diff(dates).astype(int) == 16).all() and np.isnan(found).mean() < 0.05
    error = found[5] - truth[80:96].max(0)
    assert -0.06 < np.nanmedian(error) < 0.02


def test_the_coarse_product_is_biased_smoothly_and_errs_for_days():
    "From a constant truth come a bias alike in neighbours, an error that lasts, and no more than was stated."
    land = regional.land(SEED, 8, 8)
    blocks, time = regional_view.Blocks(land), np.arange("2018-01-01", "2020-01-01", dtype="datetime64[D]")
    blocks.parts = [np.full((3, time.size, 64), 0.3)]
    found = blocks.product(SEED, land, time)
    assert (np.isfinite(found["surface"][0]) == blocks.dry.reshape(8, 8)).all()
    for seed in range(6):
        values = blocks.product(seed, land, time)["surface"]
        bias = values.mean(0) - 0.3
        apart = np.r_[np.diff(bias, axis=0).ravel(), np.diff(bias, axis=1).ravel()]
        assert np.nanstd(bias) < 0.06 and np.nanstd(apart) < 1.2 * np.nanstd(bias)
        error = values - 0.3 - bias
        lag = np.nanmean(error[1:] * error[:-1]) / np.nanmean(error**2)
        assert 0.6 < lag < 0.95 and 0.01 < np.nanstd(error) < 0.03


def test_forests_have_a_slow_coarse_root_zone():
    "A sudden rise reaches the coarse root zone of forests late, that of fields at once."
    land = regional.land(SEED, 2, 2)
    time = np.arange("2018-01-01", "2019-01-01", dtype="datetime64[D]")
    step = np.where(np.arange(time.size)[:, None] < 180, 0.2, 0.35) * np.ones(4)
    slow = []
    for share in (0.0, 1.0):
        blocks = regional_view.Blocks(land)
        blocks.parts = [np.stack([step, step, share * step])]
        slow.append(np.nanmean(blocks.product(SEED, land, time)["root_zone"][182:190]))
    assert slow[0] - slow[1] > 0.05


def test_rain_of_the_product_is_near_the_truth(basin, days):
    "Pixels of 0.1° tell the rain of the year within a tenth, and some drizzle that did not fall."
    lat, lon, found = regional_view.rain_product(SEED, basin.land, basin.sky, days, YEAR)
    assert np.allclose(np.mod(np.abs(lon) * 10, 1), 0.5) and lat[0] > lat[-1]
    true = regional.rain(basin.land, basin.sky, days)
    assert found.sum(0).mean() == pytest.approx(true.sum(0).mean(), rel=0.1) and (found >= 0).all()


def test_stations_are_points_near_their_pixels(basin, run, days):
    "Readings follow their pixel with an offset of their own; deep probes are slower; there are gaps, one begins late."
    known = np.ones(basin.land.block.size, bool)
    places = peninsula.sites(SEED, basin.land, 24, known)
    assert places["pixel"].is_unique and (places["station"].str.startswith("SIM_")).all()
    assert set(basin.land.cover[places["row"], places["column"]]) == set(regional.COVERS)
    time = basin.sky.time[days]
    series = {name: run[0][name][:, places["pixel"]].astype(float) for name in ("surface", "lower", "air")}
    data = peninsula.readings(SEED, places, time, series)["moisture"]
    surface = data.sel(depth=0.05).values.T
    error = surface - series["surface"]
    offset = np.nanmean(error, 0)
    assert 0.015 < offset.std() < 0.045 and 0.004 < np.nanstd(error - offset) < 0.02
    quick = [float(np.abs(data.sel(depth=d).diff("time")).mean()) for d in (0.05, 0.5, 1.0)]
    assert quick[0] > quick[1] and quick[0] > quick[2]
    missing = data.isnull()
    assert missing[1, :100].all() and 0.02 < float(missing.mean()) < 0.5
    cold = peninsula.smoothed(series["air"], 5.0).T < 0
    assert missing.sel(depth=0.05).values[cold].all()


def test_the_thermal_scene_changes_field_by_field(basin):
    "Some fields warm while others cool between two dates; the coarse image is the mean of the fine one."
    pairs = peninsula.scene(SEED, basin.land, YEAR)
    change = (pairs.fine[1] - pairs.fine[0]).values
    assert (change > 3).mean() > 0.05 and (change < -3).mean() > 0.05 and pairs.unit == "K"
    assert np.abs((pairs.coarse - pairs.fine).mean(("y", "x"))).max() < 0.3
    assert pairs.coarse.std() < pairs.fine.std()


def test_the_same_seed_gives_the_same_files(folders):
    "Two makes agree in every byte; other images change images alone."
    def sums(folder):
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
                for p in sorted(folder.rglob("*")) if p.is_file()}

    first, again, elsewhere = (sums(folders[name]) for name in ("first", "again", "elsewhere"))
    assert first == again and first.keys() == elsewhere.keys()
    changed = {name for name in first if first[name] != elsewhere[name]}
    assert changed == {"archive.yml", *(f"peninsula/{name}_{YEAR}.nc" for name in (
        "MOD11A1.061", "MOD13A2.061", "GLASS_LST", "GLASS_NDVI")), f"truth/peninsula_images_{YEAR}.nc"}
    other = regional.land(SEED + 1, 2, 2)
    assert (other.elevation != regional.land(SEED, 2, 2).elevation).any()


def test_an_archive_reads_what_was_planted(folders):
    "Coarse moisture lies near the mean of the true one, stations near their pixels, all through the readers."
    data = archive.Archive(folders["first"])
    coarse, truth = data.coarse_moisture(), data.moisture_truth()
    assert coarse.sizes == {"time": 365, "y": 2, "x": 2} and truth.sizes == {"time": 365, "y": 60, "x": 60}
    mean = truth["surface"].coarsen(y=30, x=30).mean().values
    error = coarse["surface"].values - mean
    error = error[:, np.isfinite(error).all(0)]
    assert error.size and np.abs(error.mean()) < 0.08 and (error - error.mean(0)).std() < 0.04
    ground = data.ground()
    assert (ground["land_cover"].values > 0).any() and 0 < float(ground["sand"].max()) < 1
    layers, stations = data.layers_at_stations(), data.moisture_stations().set_index("station")
    for station in layers["station"].values:
        place = stations.loc[station]
        pixel = truth.sel(x=place["lon"], y=place["lat"], method="nearest")
        both = xr.align(layers["surface"].sel(station=station), pixel["surface"].compute())
        assert abs(float((both[0] - both[1]).mean())) < 0.1
    assert data.fine_images("ndvi").sizes["time"] == 23 and data.coarse_images("ndvi").sizes["time"] == 46
    assert data.fusion_pairs()[0].fine.sizes["time"] == 2 and len(data.gauge_points()) == 4 * 36


@pytest.mark.parametrize("bad, words", [
    ({"images": "mosture"}, "did you mean 'moisture'"), ({"tall": 1}, "tall = 1"),
    ({"stations": 1.5}, "stations = 1.5"),
    ({"first": 2020, "last": 2019}, "last = 2019 lies before")])
def test_settings_out_of_range_are_named(bad, words):
    "A size or a kind of images that there is not is refused in one line."
    with pytest.raises(InputError, match=words):
        peninsula.Settings(**bad)


def test_more_stations_than_land_are_refused():
    "Stations need room on the land."
    land = regional.land(SEED, 2, 2)
    with pytest.raises(InputError, match="no room"):
        peninsula.sites(SEED, land, 5, np.arange(land.block.size) < 3)
