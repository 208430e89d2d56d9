"""A simulated peninsula, the part of an archive for soil moisture of two layers: coarse products, images and stations.

Land, weather and water are those of ``regional``, what instruments see of them is that of ``regional_view``. Stations
are points in pixels, so they differ from their pixel. All numbers are project defaults.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import atomic, write_text
from phenolib.simulate import radar, regional, regional_view
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.sources import coarse_moisture, fusion_pairs, moisture_stations, regional_images, sentinel, stac_catalog

NETWORK = "SIM"
DEPTHS = 0.05, 0.10, 0.20, 0.50, 1.00  # of probes [m]
UPPER = 1.0, 0.75, 0.25, 0.0, 0.0  # share of the upper layer in what a probe reads; the rest is the lower one
LAGS = 1.0, 1.5, 3.0, 6.0, 20.0  # days of the filter on what a probe reads
OFFSET, GAIN = 0.025, 0.08  # SD of a station's own offset [m³ m⁻³] and of its gain
PROBE = 0.008  # SD of the offset of a probe
ERROR, KEEPS, WHITE = 0.006, 0.9, 0.006  # SD of a station's error that lasts, what is left after a day; of noise
GAPS = (1, 4), (10, 45)  # of a station: fewest and most, shortest and longest [days]
LATE = 0.4  # share of the time after which one station starts
SHARES = {12: 0.34, 4: 0.22, 5: 0.20, 10: 0.16, 13: 0.08}  # of stations by cover
APART = 5  # fine pixels between stations, if there is room
TOP = 50.0  # mm of the uppermost 5 cm, in which ``ssm`` of gauges is given
CLASSES = {4: "60", 5: "90", 10: "130", 12: "10", 13: "190"}  # cover as classes of the land cover of the ESA
DRY = dict(B1=0.110, B2=0.129, B3=0.146, B4=0.178, B5=0.191, B6=0.205, B7=0.218, B8=0.233, B8A=0.245, B9=0.240,
           B10=0.002, B11=0.333, B12=0.301)  # reflectance of dry soil, and of dense leaves
GREEN = dict(B1=0.020, B2=0.026, B3=0.055, B4=0.017, B5=0.079, B6=0.300, B7=0.420, B8=0.470, B8A=0.480, B9=0.440,
             B10=0.002, B11=0.195, B12=0.070)
SCENE, PIXEL, COARSE = 200, 0.001, 10  # of the thermal scene: pixels a side, degrees, fine pixels of a coarse one
DATES = "05-01", "05-17", "06-02"  # of the thermal scene in the last year; the middle one is to be predicted
TRUTH = 1e-4  # m³ m⁻³ of a number in the file of the truth

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated peninsula with two layers of soil moisture and known truth; images of {images}; seed {seed}
kinds:
  coarse_moisture: {{path: "peninsula/SM*_GLEAM_*.nc"}}
  fine_images: {{path: "peninsula/MOD1*.nc"}}
  coarse_images: {{path: "peninsula/GLASS_*.nc"}}
  rain: {{path: "peninsula/IMERG_*.nc"}}
  ground: {{path: "peninsula/dem.tif"}}
  moisture_stations: {{path: "soil_moisture/uscrn_daily*.csv*"}}
  gauge_points: {{path: "soil_moisture/gauge_points*.csv*"}}
  fusion_pairs: {{path: "fusion_lst/*.tif"}}
"""


@dataclass(frozen=True)
class Settings:
    """What an archive of the peninsula may ask for beside the seed."""

    images: str = "moisture"  # what LST and NDVI answer to, one of ``regional_view.IMAGES``
    tall: int = 8  # coarse cells from north to south
    wide: int = 8  # from west to east
    stations: int = 48
    first: int = 2018  # year
    last: int = 2020

    def __post_init__(self):
        regional_view.known(self.images)
        for name, low, high in (("tall", 2, 40), ("wide", 2, 40), ("stations", 2, 2000), ("first", 1990, 2100),
                                ("last", 1990, 2100)):
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"{name} = {value}: give a whole number from {low} to {high}")
        if self.last < self.first:
            raise InputError(f"last = {self.last} lies before first = {self.first}; give the first year first")


def make(folder, *, config=DEFAULT, settings=None):
    """Write the part of an archive for soil moisture.

    folder    receives peninsula/ (coarse moisture, images, rain, ground), soil_moisture/ (stations, gauges),
              fusion_lst/ (a thermal scene), archive.yml, and truth/ with moisture, images and the scene's middle date
    config    for the seed, the rain and the warmth
    settings  ``Settings``; None: the defaults
    """
    folder, settings, seed = Path(folder), settings or Settings(), config.seed
    land = regional.land(seed, settings.tall, settings.wide)
    sky = regional.make_weather(seed, land.lon, land.lat, (settings.first, settings.last), rain=config.rain,
                                warmer=config.warmer)
    basin = regional.Basin(land, sky)
    view, blocks = regional_view.View(basin, seed, settings.images), regional_view.Blocks(land)
    places = sites(seed, land, settings.stations, blocks.dry[land.block])
    state, at = basin.start(), []
    basin.balance(state, slice(0, sky.year(settings.first).start))
    for year in range(settings.first, settings.last + 1):
        days = sky.year(year)
        water = basin.balance(state, days)
        blocks.add(water)
        at.append({name: water[name][:, places["pixel"]].astype(float)
                   for name in ("surface", "lower", "lai", "air")})
        write_truth(folder / "truth", land, sky.time[days], year, water)
        write_images(folder, view, water, days, year)
        lat, lon, falls = regional_view.rain_product(seed, land, sky, days, year)
        regional_images.write_rain(array(sky.time[days], lat, lon, falls), folder / "peninsula" / f"IMERG_{year}.nc")
    time = sky.time[sky.year(settings.first).start:sky.year(settings.last).stop]
    coarse = blocks.product(seed, land, time)
    write_coarse(folder / "peninsula", land, time, coarse)
    write_ground(folder / "peninsula", seed, land)
    series = {name: np.concatenate([part[name] for part in at]) for name in at[0]}
    write_stations(folder / "soil_moisture", seed, land, places, time, series, coarse["surface"], blocks)
    write_scene(folder, seed, land, settings.last)
    write_text(folder / "archive.yml", ARCHIVE.format(images=settings.images, seed=seed))


# ---- images, products and truth

def array(time, lat, lon, values):
    """Fields with their coordinates. returns DataArray (time, y, x)"""
    return xr.DataArray(values, {"time": np.asarray(time, "datetime64[ns]"), "y": lat, "x": lon}, ("time", "y", "x"))


def write_images(folder, view, water, days, year):
    """The images of a year as both sensors hand them out, and every eighth day without cloud and noise."""
    land, sky, into = view.land, view.sky, folder / "peninsula"
    time, true = sky.time[days], view.make(water, days)
    lat, lon = (v.reshape(-1, 6).mean(1) for v in (land.lat, land.lon))
    fine, coarse = {}, {}
    for name in ("lst_day", "lst_night"):
        fine[name] = array(time, land.lat, land.lon, land.back(view.modis_lst(name, true[name], days, year)))
        coarse[name] = array(time, lat, lon, view.glass_lst(name, true[name], days, year))
    regional_images.write_modis(fine, into / f"MOD11A1.061_{year}.nc")
    regional_images.write_glass(coarse, into / f"GLASS_LST_{year}.nc")
    dates, values = view.modis_ndvi(true["ndvi"], days, year)
    regional_images.write_modis({"ndvi": array(dates, land.lat, land.lon, land.back(values))},
                                into / f"MOD13A2.061_{year}.nc")
    dates, values = view.glass_ndvi(true["ndvi"], days, year)
    regional_images.write_glass({"ndvi": array(dates, lat, lon, values)}, into / f"GLASS_NDVI_{year}.nc")
    some = {name: (values[::8], scale, unit) for (name, values), (scale, unit) in zip(
        true.items(), ((0.01, "degC"), (0.01, "degC"), (1e-4, "1")))}
    _packed(folder / "truth" / f"peninsula_images_{year}.nc", land, time[::8], some)


def write_truth(folder, land, time, year, water):
    """The moisture of all pixels on all days of a year."""
    _packed(folder / f"peninsula_moisture_{year}.nc", land, time,
            {name: (water[name], TRUTH, "m3 m-3") for name in ("surface", "root_zone")})


def write_coarse(folder, land, time, layers):
    """The coarse product, a file a layer and year."""
    lat, lon = (v.reshape(-1, regional.FINE).mean(1) for v in (land.lat, land.lon))
    years = time.astype("datetime64[Y]").astype(int) + 1970
    for layer, values in layers.items():
        for year in np.unique(years):
            some = years == year
            name = f"{coarse_moisture.LAYERS[layer]}_{year}_GLEAM_v3.8a.nc"
            coarse_moisture.write_gleam(array(time[some], lat, lon, values[some]), folder / name, layer=layer,
                                        version="v3.8a")


def write_ground(folder, seed, land):
    """Elevation [m], sand and clay [g kg⁻¹] as a map tells them, see ``regional_view.soil_maps``, and land cover (IGBP;
    17 is water); the sea is missing in all others."""
    from affine import Affine

    step = regional.COARSE / regional.FINE
    corner = Affine(step, 0, land.lon[0] - step / 2, 0, -step, land.lat[0] + step / 2)
    sand, clay = regional_view.soil_maps(seed, land)
    layers = {"dem": (np.where(land.land, np.round(land.elevation, 1), np.nan).astype(np.float32), float("nan")),
              "sand": (np.where(land.land, np.round(1000 * sand), 65535).astype(np.uint16), 65535),
              "clay": (np.where(land.land, np.round(1000 * clay), 65535).astype(np.uint16), 65535),
              "land_cover": (np.where(land.land, land.cover, regional.WATER).astype(np.uint8), 255)}
    for name, (values, nodata) in layers.items():
        with atomic(folder / f"{name}.tif") as part:
            stac_catalog.write_cog(part, values, corner, "EPSG:4326", nodata)


def _packed(path, land, time, layers):
    """Fields of land pixels as whole numbers, {name: (values (time, pixel), unit of a number, unit)}."""
    made, encoding = {}, {"time": {"units": "days since 1970-01-01", "dtype": "int32"}}
    for name, (values, scale, unit) in layers.items():
        numbers = land.back(np.round(values / np.float32(scale)).astype(np.int16), missing=-32768)
        about = {"units": unit, "scale_factor": scale, "_FillValue": np.int16(-32768), "grid_mapping": "spatial_ref"}
        made[name] = ("time", "y", "x"), numbers, about
        encoding[name] = dict(zlib=True, complevel=1, shuffle=True,
                              chunksizes=(min(32, len(time)), *land.land.shape))
    data = xr.Dataset(made, {"time": np.asarray(time, "datetime64[ns]"), "y": land.lat, "x": land.lon})
    with atomic(path) as part:
        sentinel.with_crs(data, 4326).to_netcdf(part, engine="h5netcdf", encoding=encoding)


# ---- stations

def sites(seed, land, count, known):
    """Places of stations, spread over covers and apart from each other where there is room.

    land     ``regional.Land``
    count    how many
    known    (pixel,) bool, land pixels of cells that the coarse product has
    returns  DataFrame: station, pixel (number among land pixels), row, column, lon, lat (within the pixel)
    """
    rng = stream(seed, "peninsula", "sites")
    rows, columns = np.nonzero(land.land)
    cover, free = land.on(land.cover), np.asarray(known).copy()
    wanted = np.array(list(SHARES.values())) * count
    numbers = np.floor(wanted).astype(int)
    numbers[np.argsort(numbers - wanted, kind="stable")[:count - numbers.sum()]] += 1
    chosen = []
    for turn in (*(c for c, n in zip(SHARES, numbers) for _ in range(n)), *[None] * count):
        if len(chosen) == count:
            break
        pool = np.flatnonzero(free & (cover == turn)) if turn else np.flatnonzero(free)
        if not pool.size:
            pool = np.setdiff1d(np.flatnonzero(known), chosen)
        if not pool.size:
            raise InputError(f"stations = {count}: there is no room for them on the land; give fewer")
        one = int(rng.choice(pool))
        chosen.append(one)
        free &= np.maximum(abs(rows - rows[one]), abs(columns - columns[one])) >= APART
    at = np.array(chosen)
    step, inside = regional.COARSE / regional.FINE, rng.uniform(-0.45, 0.45, (2, count))
    return pd.DataFrame({"station": [f"SIM_{n:03d}" for n in range(1, count + 1)], "pixel": at, "row": rows[at],
                         "column": columns[at], "lon": (land.lon[columns[at]] + step * inside[0]).round(5),
                         "lat": (land.lat[rows[at]] + step * inside[1]).round(5)})


def readings(seed, places, time, series):
    """Daily moisture that probes read.

    θ = θ̄ + (1 + gain)·(θ_pixel − θ̄) + offset + an error that lasts + noise; a probe's θ_pixel is a mix of both layers
    by ``UPPER``, filtered by ``LAGS`` days. The two upper probes are missing in frost; each station has gaps of weeks,
    and one begins late.

    places   of ``sites``
    time     (time,) datetime64[D]
    series   dict of (time, station) surface, lower [m³ m⁻³] and air [°C]
    returns  Dataset (station, time, depth) moisture and hours
    """
    size, count = len(time), len(places)
    moisture = np.empty((count, size, len(DEPTHS)))
    hours = np.full(moisture.shape, 24)
    warm = smoothed(series["air"], 5.0)
    for k, name in enumerate(places["station"]):
        rng = stream(seed, "peninsula", "station", name)
        gain, offset = GAIN * rng.standard_normal(), OFFSET * rng.standard_normal()
        lasts = np.zeros(size)
        fresh = rng.standard_normal(size)
        for t in range(size):
            lasts[t] = KEEPS * lasts[t - 1] + np.sqrt(1 - KEEPS**2) * fresh[t] if t else fresh[0]
        for d, (upper, lag) in enumerate(zip(UPPER, LAGS)):
            pixel = smoothed(upper * series["surface"][:, k] + (1 - upper) * series["lower"][:, k], lag)
            own = pixel.mean() + (1 + gain) * (pixel - pixel.mean()) + offset + PROBE * rng.standard_normal()
            own += (ERROR * lasts + WHITE * rng.standard_normal(size)) * 0.8**d
            own[(warm[:, k] < 0) & (d < 2)] = np.nan
            moisture[k, :, d] = own
        for _ in range(rng.integers(GAPS[0][0], GAPS[0][1] + 1)):
            begin, length = rng.integers(0, size), rng.integers(*GAPS[1])
            moisture[k, begin:begin + length] = np.nan
        begin, length = rng.integers(0, size), rng.integers(*GAPS[1])
        moisture[k, begin:begin + length, rng.integers(len(DEPTHS))] = np.nan
        short = rng.random((size, 1)) < 0.04
        hours[k] = np.where(short, rng.integers(8, 24, (size, 1)), 24)
    moisture[min(1, count - 1), :int(LATE * size)] = np.nan
    coords = {"station": places["station"].to_numpy(), "time": np.asarray(time, "datetime64[ns]"),
              "depth": np.array(DEPTHS)}
    dims = "station", "time", "depth"
    return xr.Dataset({"moisture": (dims, np.clip(moisture, 0.005, 0.6)), "hours": (dims, hours)}, coords)


def smoothed(values, days):
    """An exponential filter over time, whose memory is some days; 1 changes nothing. returns like ``values``"""
    made = np.array(values, float)
    for t in range(1, len(made)):
        made[t] = made[t - 1] + (made[t] - made[t - 1]) / days
    return made


def write_stations(folder, seed, land, places, time, series, coarse, blocks):
    """Readings, probes, soils and bands at stations, in the four files of a network."""
    data = readings(seed, places, time, series)
    moisture_stations.write(data, folder / "uscrn_daily.csv.gz")
    pixel = places["pixel"].to_numpy()
    height, clay, sand, loose = (land.on(v)[pixel].astype(float)
                                 for v in (land.elevation, land.clay, land.sand, land.loose))
    rows = [{"network": NETWORK, "station": place.station, "lat": place.lat, "lon": place.lon,
             "elevation": round(z, 1), "depth_from": depth, "depth_to": depth, "sensor": "simulated probe",
             "hours": int(data["hours"][k, :, d].where(data["moisture"][k, :, d].notnull()).sum()),
             "days": int(data["moisture"][k, :, d].notnull().sum())}
            for k, (place, z) in enumerate(zip(places.itertuples(), height)) for d, depth in enumerate(DEPTHS)]
    moisture_stations.write_sensors(pd.DataFrame(rows), folder / "uscrn_sensors.csv")
    soil = regional.soil(sand, clay, loose)
    rng = stream(seed, "peninsula", "soil tables")
    near = {"saturation": soil.saturated, "clay": np.clip(clay + 0.03 * rng.standard_normal(clay.size), 0.02, 0.6)}
    near["sand"] = np.clip(sand + 0.05 * rng.standard_normal(clay.size), 0.02, 0.97 - near["clay"])
    near |= {"silt": 1 - near["sand"] - near["clay"], "organic_carbon": 0.006 + 0.02 * rng.random(clay.size)}
    cover = land.on(land.cover)[pixel]
    moisture_stations.write_static(pd.DataFrame({
        "network": NETWORK, "station": places["station"], **near, **{f"{name}_deep": v for name, v in near.items()},
        "land_cover": [CLASSES[int(c)] for c in cover], "climate": "Dwa"}), folder / "station_static_variables.csv.gz")
    table = gauges(seed, places, time, series, coarse.reshape(len(time), -1)[:, land.block[pixel]], height, cover)
    moisture_stations.write_gauges(table, folder / "gauge_points.csv.gz")


def gauges(seed, places, time, series, coarse, height, cover):
    """Bands of ten days at stations, with the coarse product as mm of water in the uppermost 5 cm, ssm = 50·θ.

    Reflectance is that of soil, darker when wet, and of leaves, by their cover; radar is that of the water cloud model
    with some speckle. A fifth of the rows has no optical bands, another 7 % shows clouds; a fifth has no radar.

    returns  DataFrame as ``moisture_stations.write_gauges`` takes it
    """
    rows = []
    for k, place in enumerate(places.itertuples()):
        rng = stream(seed, "peninsula", "gauge", place.station)
        for begin in range(0, len(time) - 9, 10):
            ten = slice(begin, begin + 10)
            theta, leaves = series["surface"][ten, k].mean(), series["lai"][ten, k].mean()
            leafy, wet = 1 - np.exp(-0.6 * leaves), 1 - 0.45 * np.clip(theta / 0.4, 0, 1)
            bands = {b: (leafy * GREEN[b] + (1 - leafy) * DRY[b] * wet) for b in DRY}
            noise, kind = rng.standard_normal(len(bands)), rng.random(2)
            bands = {b: max(v * (1 + 0.03 * n) + 0.003 * n, 1e-4) for (b, v), n in zip(bands.items(), noise)}
            white = rng.uniform(0.6, 0.95)
            angle = rng.uniform(31, 45)
            vv, vh = (radar.decibel(v) for v in radar.backscatter("broad-leaved", leaves, leaves, theta, angle))
            if kind[0] < 0.07:
                bands = {b: (v if b == "B10" else 0.2 * v + 0.8 * white) for b, v in bands.items()}
            elif kind[0] < 0.27:
                bands = dict.fromkeys(bands, np.nan)
            speckle = 0.5 * rng.standard_normal(2)
            seen = kind[1] > 0.2
            rows.append({
                "network": NETWORK, "station": place.station, "lon": place.lon, "lat": place.lat, **bands,
                "start": time[begin], "end": time[begin] + 10,
                "VV": round(float(vv + speckle[0]), 6) if seen else np.nan,
                "VH": round(float(vh + speckle[1]), 6) if seen else np.nan,
                "angle": round(angle, 6) if seen else np.nan, "elevation": round(float(height[k]), 1),
                "cover": round(100 * leafy, 2), "land_cover": int(cover[k]),
                "ssm": round(float(TOP * coarse[ten, k].mean()), 6)})
    return pd.DataFrame(rows)


# ---- a thermal scene

def scene(seed, land, year):
    """A thermal scene of fields of 0.001° on three dates, where crops close and are harvested on dates of their own.

    The coarse images are means of 10 × 10 fine pixels with noise of 0.3 K, brought to the fine grid bilinearly.

    returns  ``fusion_pairs.Pairs`` with the fine images of all three dates [K]
    """
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    rng = stream(seed, "peninsula", "scene")
    low = land.land & (land.cover == 12)
    rows, columns = np.nonzero(low if low.any() else land.land)
    middle = int(rng.integers(rows.size))
    lon, lat = np.round(land.lon[columns[middle]], 2), np.round(land.lat[rows[middle]], 2)
    y, x = np.indices((SCENE, SCENE))
    places = rng.uniform(0, SCENE, (320, 2))
    wobble = [1.5 * gaussian_filter(rng.standard_normal(x.shape), 3) * 10 for _ in range(2)]
    number = cKDTree(places).query(np.stack([y + wobble[0], x + wobble[1]], -1))[1]
    kind = rng.choice(4, len(places), p=(0.40, 0.28, 0.25, 0.07))  # closes, is harvested, forest, town
    own, wet = rng.normal(18, 9, len(places)), rng.normal(0, 1, len(places))
    texture = gaussian_filter(rng.standard_normal(x.shape), 1.2)
    texture *= 0.6 / texture.std()
    wide = gaussian_filter(rng.standard_normal(x.shape), 25)
    wide *= 1.0 / wide.std()
    river = np.abs(x - 120 - 25 * np.sin(y / 31)) < 3
    fine = []
    for day, (air, strength) in zip((0, 16, 32), ((297.0, 13.0), (300.5, 15.0), (302.0, 16.5))):
        closes = 1 / (1 + np.exp(-(day - own) / 4))
        green = np.choose(kind, [0.08 + 0.85 * closes, 0.90 - 0.75 * closes, 0.95, 0.15])
        warm = air + strength * (1 - green) * (1 - 0.12 * wet) + 2.0 * (kind == 3)
        image = warm[number] + texture + wide * (1 + 0.02 * day)
        fine.append(np.where(river, air - 4 + 0.2 * texture, image))
    fine = np.array(fine, np.float32)
    means = fine.reshape(3, SCENE // COARSE, COARSE, -1, COARSE).mean((2, 4))
    means = means + 0.3 * rng.standard_normal(means.shape)
    line = regional.between(SCENE // COARSE, COARSE)
    coarse = np.matmul(np.matmul(line, means), line.T).astype(np.float32)
    time = np.array([f"{year}-{date}" for date in DATES], "datetime64[D]")
    lat = lat + PIXEL * (SCENE / 2 - np.arange(SCENE) - 0.5)
    lon = lon + PIXEL * (np.arange(SCENE) - SCENE / 2 + 0.5)
    both = (sentinel.with_crs(array(time, lat, lon, v), 4326) for v in (fine, coarse))
    return fusion_pairs.Pairs("fusion_lst", *both, "K")


def write_scene(folder, seed, land, year):
    """The thermal scene: the fine image of the middle date goes to truth/."""
    whole = scene(seed, land, year)
    fusion_pairs.write(fusion_pairs.Pairs(whole.name, whole.fine[[0, 2]], whole.coarse, "K"), folder / "fusion_lst")
    fusion_pairs.write(fusion_pairs.Pairs(whole.name, whole.fine[[1]], None, "K"), folder / "truth")
