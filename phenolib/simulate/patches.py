"""Simulated patches of both Sentinels around the camera sites, written as ``sources.sentinel`` reads them."""

from pathlib import Path

import numpy as np
import pyproj
import xarray as xr

from phenolib.files import write_text
from phenolib.simulate import clouds, landscape, optics, orbits, radar, true_dates
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.sources import sentinel

PATCH = 18  # pixels of 10 m; the camera stands in row 9, column 9, counted from 0
FINE, COARSE = ("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12")
VIGOURS = np.array([0.6, 0.8, 1.0, 1.25, 1.6])  # factors on the leaf area at which reflectance is computed
CODES = {  # crop: code of the map
    "winter_wheat": 1110, "spring_wheat": 1120, "corn": 1200, "rice": 1300, "winter_barley": 1510, "tomato": 2230,
    "soybean": 4100, "potato": 5100, "dry_beans": 7100, "sugar_beet": 8100, "alfalfa": 9100, "grass": 9120,
    "cotton": 9211}  # fallow and water have none
LOWEST_SUN = 80.0  # zenith angle of the sun up to which there is optical data [°]
SNOW = 10.0  # water of a snow cover that hides the field [mm]
SHARES = (10, 20, 25, 50, 75, 80, 90)  # per cent of the amplitude at which the truth of the leaves is kept
GEOLOCATION = {"optical": 5.0, "radar": 7.0}  # SD of the shift of a scene [m]

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated satellite patches with known truth; seed {seed}, {sites} sites, harvest years {first}-{last}
kinds:
  patches: {{path: "patches/*.nc", reader: sentinel, units: "reflectance 1, backscatter 1"}}
"""


def make(folder, *, config=DEFAULT):
    """Write the patches of an archive: of the camera sites, and of squares without a camera.

    folder   receives patches/*.nc, truth/patches.csv, truth/patches_seasons.csv, truth/patch_fields.csv and archive.yml
    config   for sizes and assumptions; the patches begin in the autumn before the first of ``patch_years``
    """
    seed, (first, last) = config.seed, config.patch_years
    found, _, growth = landscape.whole(config)
    events = seasons(found, growth)
    growth = growth.sel(season=slice(None, last))
    span = np.datetime64(f"{first - 1}-09-01"), np.datetime64(f"{last}-12-31")
    fields = []
    for k, place in enumerate(found):
        own = growth.isel(field=slice(k * landscape.FIELDS, (k + 1) * landscape.FIELDS))
        for patch in (*optical(seed, place, own, span, config), backscatter(seed, place, own, span)):
            sentinel.write_patch(Path(folder) / "patches", patch, first=span[0], last=span[1])
        year = f"{last}-01-01", f"{last}-12-31"
        sentinel.write_patch(Path(folder) / "patches", crop_map(place, own), first=year[0], last=year[1])
        inside = middle(place.field)
        fields += [{"site": place.site, "row": y, "column": x, "field": int(inside[y, x])}
                   for y, x in np.ndindex(inside.shape)]
    dates = [row for row in landscape.truth(growth, SHARES) if row["season"] >= first]
    write_text(Path(folder) / "truth" / "patches.csv", true_dates.table(
        dates, ["site", "field", "crop", "season", "direction", "share", "date"]))
    write_text(Path(folder) / "truth" / "patches_seasons.csv", true_dates.table(
        events, ["site", "field", "climate", "crop", "season", *landscape.crops.EVENTS]))
    write_text(Path(folder) / "truth" / "patch_fields.csv", true_dates.table(
        fields, ["site", "row", "column", "field"]))
    write_text(Path(folder) / "archive.yml", ARCHIVE.format(seed=seed, sites=len(found), first=first, last=last))


def seasons(found, growth):
    """True dates of sowing, emergence, browning, ripeness and harvest, of all harvest years of the landscape.

    found    list of ``landscape.Place``
    growth   (field, season) of ``landscape.grow``, all fields of the first place first
    returns  list of dict: site, field, climate, crop, season and a date for each of ``crops.EVENTS``, "" where it did
             not come; what is never sown has no row
    """
    events = np.stack([growth[name].values.astype("datetime64[D]") for name in landscape.crops.EVENTS], -1)
    return [{"site": found[k // landscape.FIELDS].site, "field": k % landscape.FIELDS,
             "climate": found[k // landscape.FIELDS].climate, "crop": str(growth["planted"].values[k, s]),
             "season": int(growth["season"].values[s]),
             **{name: "" if np.isnat(day) else str(day) for name, day in zip(landscape.crops.EVENTS, events[k, s])}}
            for k, s in np.ndindex(events.shape[:2]) if not np.isnat(events[k, s, 0])]


def middle(image):
    """The patch in the middle of a map of a site, (..., y, x)."""
    start = landscape.SIZE // 2 - PATCH // 2
    return image[..., start : start + PATCH, start : start + PATCH]


def grid(place, pixel=10.0):
    """Centres of the pixels of a patch in UTM: x (column,), y (row,) [m], EPSG code."""
    zone = int((place.lon + 180) // 6) + 1
    code = (32600 if place.lat >= 0 else 32700) + zone
    east, north = pyproj.Transformer.from_crs(4326, code, always_xy=True).transform(place.lon, place.lat)
    corner_x, corner_y = np.floor(east / 10) * 10 - 90.0, np.ceil(north / 10) * 10 + 90.0  # the camera: pixel 9, 9
    count = round(PATCH * 10 / pixel)
    steps = (np.arange(count) + 0.5) * pixel
    return corner_x + steps, corner_y - steps, code


def optical(seed, place, growth, span, config=DEFAULT):
    """The 10 m and the 20 m patch of Sentinel-2 of one site, Datasets as ``sources.sentinel.read_patch`` gives.

    seed     of the archive
    place    ``landscape.Place``
    growth   (field, time) of its fields
    span     first and last day
    """
    rng = stream(seed, "optical", place.site)
    table = orbits.passes("sentinel-2", place.lon, place.lat, *span)
    table = table[orbits.sun_zenith(place.lon, place.lat, table["time"].to_numpy()) < LOWEST_SUN].reset_index(drop=True)
    table = table.groupby(table["time"].dt.date, as_index=False).first().drop(columns="index", errors="ignore")
    time = table["time"].to_numpy("datetime64[s]")
    sun = orbits.sun_zenith(place.lon, place.lat, time)
    day = np.searchsorted(growth["time"].values, time.astype("datetime64[D]"))
    seen = growth.isel(time=day)
    bands = (*FINE, *COARSE)
    value, total = canopy(seen, sun, bands, config), seen["lai_total"].values
    image = np.stack([ground(value[:, :, t], total[:, t], place) for t in range(time.size)])
    snow = np.median(seen["snow"].values, 0) > SNOW
    image[snow] = snow_cover(rng, (int(snow.sum()), 1, 1, 1))
    x, y, code = grid(place)
    edge = (landscape.SIZE - PATCH) // 2
    wide_x = np.concatenate([x[0] - 10 * np.arange(edge, 0, -1), x, x[-1] + 10 * np.arange(1, edge + 1)])
    wide_y = np.concatenate([y[0] + 10 * np.arange(edge, 0, -1), y, y[-1] - 10 * np.arange(1, edge + 1)])
    state = clouds.states(stream(seed, "clouds", place.cluster), time, wide_x[None, :], wide_y[:, None],
                          np.clip(np.array(clouds.PROBABILITY[place.region]) + config.cloud, 0.01, 0.99))
    image = clouds.veil(rng, image, state, bands=bands, shared=2)
    image = orbits.shift(rng, np.moveaxis(image, -1, 1), sd=GEOLOCATION["optical"])
    green = seen["lai_green"].values[place.field, :].transpose(2, 0, 1)
    classes = middle(clouds.scl(state, green, flooded=flooded(seen)[place.field, :].transpose(2, 0, 1),
                                snow=snow[:, None, None]))
    image = optics.observe(rng, middle(image))  # (time, band, y, x)
    fine = {b: image[:, k] for k, b in enumerate(FINE)}
    halves = coarse(image)
    half = {b: halves[:, len(FINE) + k] for k, b in enumerate(COARSE)}
    angles = {"sun_zenith": ("time", sun.astype(np.float32))}
    x20, y20, _ = grid(place, 20.0)
    return (_patch(place, fine, time, x, y, code, product="S2_L2A", resolution=10),
            _patch(place, half, time, x20, y20, code, product="S2_L2A", resolution=20,
                   more={"scl": (("time", "y", "x"), coarse_classes(classes)), **angles}))


def canopy(seen, sun, bands, config=DEFAULT):
    """Reflectance of fields at some vigours.

    seen     (field, time) of ``crops.grow`` at the dates
    sun      (time,) zenith angle [°]
    bands    names
    config   for ``shrivel``, ``brown_end`` and ``leafwise``
    returns  (vigour, field, time, band) at ``VIGOURS`` [-]
    """
    living, ripe, dead = optics.parts(seen["lai_total"].values, seen["ripeness"].values, shrivel=config.shrivel,
                                      brown_end=config.brown_end, leafwise=config.leafwise)
    wet = optics.wetness(np.clip(seen["theta"].isel(layer=0).values.astype(float), 0, 1))
    bright = np.where(flooded(seen) > 0.5, optics.WATER, 1.0)
    return np.stack([optics.reflectance(living * v, ripe, dead=dead * v, wetness=wet, brightness=bright,
                                        sun_zenith=np.broadcast_to(sun, living.shape), bands=bands) for v in VIGOURS])


def ground(value, total, place):
    """Reflectance of the pixels of a place on one date.

    value    (vigour, field, band) of ``canopy``
    total    (field,) standing leaf area [m² m⁻²]
    place    with field, vigour and brightness (y, x), such as ``landscape.Place``
    returns  (y, x, band) float32, 0–1; the soil's own brightness shows where the canopy is open
    """
    part = np.interp(place.vigour, VIGOURS, np.arange(VIGOURS.size))
    low = np.minimum(part.astype(int), VIGOURS.size - 2)
    share = (part - low)[..., None].astype(np.float32)
    a, b = (value[low + k, place.field] for k in (0, 1))
    mix = 1 + (place.brightness - 1) * np.exp(-0.6 * total[place.field] * place.vigour)
    return np.clip((a + (b - a) * share) * mix[..., None], 0, 1)


def snow_cover(rng, shape):
    """Reflectance of snow, a draw for each of a shape [-]; project default."""
    return np.clip(0.75 + 0.04 * rng.standard_normal(shape), 0, 1)


def flooded(seen):
    """Share of the ground of each field under standing water, (field, time)."""
    return np.clip(seen["pond"].values / 20.0, 0, 1)


def coarse(image):
    """Means of two by two pixels, (..., y, x)."""
    *layers, rows, columns = image.shape
    return image.reshape(*layers, rows // 2, 2, columns // 2, 2).mean((-3, -1))


def coarse_classes(classes):
    """The worst class of two by two pixels, shadow and cloud before land; of land the first. returns (..., y, x)"""
    corners = np.stack([classes[..., a::2, b::2] for a in (0, 1) for b in (0, 1)])
    order = np.array([9, 8, 3], corners.dtype)
    return np.select([(corners == worst).any(0) for worst in order], order, corners[0])


def backscatter(seed, place, growth, span):
    """The patch of Sentinel-1 of one site, a Dataset as ``sources.sentinel.read_patch`` gives it; see ``optical``."""
    rng = stream(seed, "radar", place.site)
    both = ("sentinel-1a", "sentinel-1b") if place.lon > -30 else ("sentinel-1a",)  # every 6 days in Europe, else 12
    table = orbits.passes("sentinel-1", place.lon, place.lat, *span, satellites=both)
    track = table["orbit"].iloc[int(np.argmin(abs(table["angle"] - 38)))]  # one, as studies take it
    table = table[table["orbit"] == track].reset_index(drop=True)
    time = table["time"].to_numpy("datetime64[s]")
    day = np.searchsorted(growth["time"].values, time.astype("datetime64[D]"))
    seen = growth.isel(time=day)
    power = echo(seen, table["angle"].to_numpy())
    factors = radar.gains(rng, table["orbit"].tolist())
    gain = np.array([factors[orbit] for orbit in table["orbit"]])  # (time, polarisation)
    image = power[:, place.field].transpose(3, 0, 1, 2) * gain[..., None, None]
    image = middle(radar.speckle(rng, orbits.shift(rng, image.astype(np.float32), sd=GEOLOCATION["radar"])))
    bands = {"vv": image[:, 0], "vh": image[:, 1]}
    x, y, code = grid(place)
    direction = str(table["direction"].iloc[0]).upper()
    return _patch(place, bands, time, x, y, code, product=f"S1_GRD-{direction}", resolution=10)


def echo(seen, angle):
    """Backscatter of fields without speckle.

    seen     (field, time) of ``crops.grow`` at the dates
    angle    (time,) of incidence [°]
    returns  (polarisation, field, time) VV and VH, linear power
    """
    names = {code: name for name, code in landscape.crops.CODES.items()}
    water, total = seen["canopy_water"].values.astype(float), seen["lai_total"].values.astype(float)
    theta = np.clip(seen["theta"].isel(layer=0).values.astype(float), 0.02, 0.55)
    rough = seen["roughness"].values.astype(float)
    power = np.empty((2, *water.shape))
    for k in range(water.shape[0]):
        crop = seen["crop"].values[k]
        for code in np.unique(crop):
            here = crop == code
            group = radar.GROUP_OF[names.get(int(code), "fallow")]
            power[:, k, here] = radar.backscatter(group, total[k, here], water[k, here], theta[k, here], angle[here],
                                                  flooded=flooded(seen)[k, here],
                                                  roughness=rough[k, here])
    return power


def crop_map(place, growth):
    """What grew where in the last harvest year, a Dataset with crop (y, x) as a data set hands it out."""
    x, y, code = grid(place)
    codes = np.array([CODES.get(str(crop), 0) for crop in growth["planted"].values[:, -1]])
    made = xr.Dataset({"crop": (("y", "x"), codes[middle(place.field)])}, {"y": y, "x": x},
                      {"place": place.site, "product": "OUTPUT_SIMULATED", "resolution": 10})
    return sentinel.with_crs(made, code)


def _patch(place, bands, time, x, y, code, *, product, resolution, more=()):
    data = {name: (("time", "y", "x"), value.astype(np.float32)) for name, value in bands.items()} | dict(more)
    made = xr.Dataset(data, {"time": time.astype("datetime64[ns]"), "y": y, "x": x},
                      {"place": place.site, "product": product, "resolution": resolution})
    return sentinel.with_crs(made, code)
