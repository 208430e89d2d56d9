"""Simulated patches of both Sentinels around the camera sites, written as ``sources.sentinel`` reads them."""

from pathlib import Path

import numpy as np
import pyproj
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import write_text
from phenolib.simulate import cameras, clouds, landscape, optics, orbits, radar
from phenolib.simulate.calendar import stream
from phenolib.sources import sentinel

PATCH = 18  # pixels of 10 m; the camera stands in row 9, column 9, counted from 0
FINE, COARSE = ("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12")
VIGOURS = np.array([0.6, 0.8, 1.0, 1.25, 1.6])  # factors on the leaf area at which reflectance is computed
STEMS = 0.15  # of the standing leaf area at its height: stems among the leaves, once they are ripe [-]
CODES = {  # crop: code of the map
    "winter_wheat": 1110, "spring_wheat": 1120, "corn": 1200, "rice": 1300, "winter_barley": 1510, "tomato": 2230,
    "soybean": 4100, "potato": 5100, "dry_beans": 7100, "sugar_beet": 8100, "alfalfa": 9100, "grass": 9120,
    "cotton": 9211}  # fallow and water have none
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


def make(folder, *, seed, sites=60, years=(2018, 2020)):
    """Write the patches of an archive.

    folder   receives patches/*.nc, truth/patches.csv, truth/patch_fields.csv and archive.yml
    sites    how many; those of the cameras
    years    first and last harvest year; the patches begin in the autumn before
    raises   InputError for a size out of range
    """
    first, last = int(years[0]), int(years[1])
    if not 1 <= int(sites) <= 5000:
        raise InputError(f"sites = {sites} is out of range; give 1 to 5000")
    found = landscape.places(seed, int(sites))
    sky, growth = landscape.grow(seed, found, (first, last))
    span = np.datetime64(f"{first - 1}-09-01"), np.datetime64(f"{last}-12-31")
    fields = []
    for k, place in enumerate(found):
        own = growth.isel(field=slice(k * landscape.FIELDS, (k + 1) * landscape.FIELDS))
        for patch in (*optical(seed, place, own, span), backscatter(seed, place, own, span)):
            sentinel.write_patch(Path(folder) / "patches", patch, first=span[0], last=span[1])
        year = f"{last}-01-01", f"{last}-12-31"
        sentinel.write_patch(Path(folder) / "patches", crop_map(place, own), first=year[0], last=year[1])
        inside = middle(place.field)
        fields += [{"site": place.site, "row": y, "column": x, "field": int(inside[y, x])}
                   for y, x in np.ndindex(inside.shape)]
    write_text(Path(folder) / "truth" / "patches.csv", cameras.table(
        landscape.truth(growth, SHARES), ["site", "field", "crop", "season", "direction", "share", "date"]))
    write_text(Path(folder) / "truth" / "patch_fields.csv", cameras.table(fields, ["site", "row", "column", "field"]))
    write_text(Path(folder) / "archive.yml", ARCHIVE.format(seed=seed, sites=sites, first=first, last=last))


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


def optical(seed, place, growth, span):
    """The 10 m and the 20 m patch of Sentinel-2 of one site, Datasets as ``sources.sentinel.read_patch`` gives.

    seed     of the archive
    place    ``landscape.Place``
    growth   (field, time) of its fields
    span     first and last day
    """
    rng = stream(seed, "optical", place.site)
    table = orbits.passes("sentinel-2", place.lon, place.lat, *span)
    table = table[orbits.sun_zenith(place.lon, place.lat, table["time"].to_numpy()) < 72].reset_index(drop=True)
    table = table.groupby(table["time"].dt.date, as_index=False).first().drop(columns="index", errors="ignore")
    time = table["time"].to_numpy("datetime64[s]")
    sun = orbits.sun_zenith(place.lon, place.lat, time)
    day = np.searchsorted(growth["time"].values, time.astype("datetime64[D]"))
    seen = growth.isel(time=day)
    bands = (*FINE, *COARSE)
    value = _canopy(seen, sun, bands)  # (vigour, field, time, band)
    part = np.interp(place.vigour, VIGOURS, np.arange(VIGOURS.size))
    low = np.minimum(part.astype(int), VIGOURS.size - 2)
    share = (part - low)[None, ..., None].astype(np.float32)
    image = np.empty((time.size, *place.field.shape, len(bands)), np.float32)
    for t in range(time.size):
        a, b = (value[low + k, place.field, t] for k in (0, 1))
        image[t] = (a + (b - a) * share[0]) * _soil_mix(seen, place, t)[..., None]
    image = np.clip(image, 0, 1)
    snow = np.median(seen["snow"].values, 0) > SNOW
    image[snow] = np.clip(0.75 + 0.04 * rng.standard_normal((int(snow.sum()), 1, 1, 1)), 0, 1)
    x, y, code = grid(place)
    edge = (landscape.SIZE - PATCH) // 2
    wide_x = np.concatenate([x[0] - 10 * np.arange(edge, 0, -1), x, x[-1] + 10 * np.arange(1, edge + 1)])
    wide_y = np.concatenate([y[0] + 10 * np.arange(edge, 0, -1), y, y[-1] - 10 * np.arange(1, edge + 1)])
    state = clouds.states(stream(seed, "clouds", place.cluster), time, wide_x[None, :], wide_y[:, None],
                          clouds.PROBABILITY[place.region])
    image = clouds.veil(rng, image, state, bands=bands, shared=2)
    image = orbits.shift(rng, np.moveaxis(image, -1, 1), sd=GEOLOCATION["optical"])
    green = seen["lai_green"].values[place.field, :].transpose(2, 0, 1)
    classes = middle(clouds.scl(state, green, flooded=_flooded(seen)[place.field, :].transpose(2, 0, 1),
                                snow=snow[:, None, None]))
    image = optics.observe(rng, middle(image))  # (time, band, y, x)
    fine = {b: image[:, k] for k, b in enumerate(FINE)}
    halves = image.reshape(time.size, len(bands), PATCH // 2, 2, PATCH // 2, 2).mean((3, 5))
    coarse = {b: halves[:, len(FINE) + k] for k, b in enumerate(COARSE)}
    angles = {"sun_zenith": ("time", sun.astype(np.float32))}
    x20, y20, _ = grid(place, 20.0)
    # a coarse pixel takes the worst class of its four: shadow and cloud before land
    blocks = classes.reshape(time.size, PATCH // 2, 2, PATCH // 2, 2).transpose(0, 1, 3, 2, 4)
    blocks = blocks.reshape(time.size, PATCH // 2, PATCH // 2, 4)
    worst = np.where((blocks == 9).any(-1), 9, np.where((blocks == 8).any(-1), 8, np.where((blocks == 3).any(-1), 3,
                                                                                         blocks[..., 0])))
    return (_patch(place, fine, time, x, y, code, product="S2_L2A", resolution=10),
            _patch(place, coarse, time, x20, y20, code, product="S2_L2A", resolution=20,
                   more={"scl": (("time", "y", "x"), worst.astype(np.uint8)), **angles}))


def _canopy(seen, sun, bands):
    """Reflectance of fields at some vigours: (vigour, field, time, band)."""
    green, total, ripe = (seen[n].values.astype(float) for n in ("lai_green", "lai_total", "ripeness"))
    dead = np.clip(total - green, 0, None) * (1 - ripe) + STEMS * total * ripe  # brown leaves, and stems when ripe
    living = np.where(ripe > 0, total, green)
    wet = optics.wetness(np.clip(seen["theta"].isel(layer=0).values.astype(float), 0, 1))
    bright = np.where(_flooded(seen) > 0.5, optics.WATER, 1.0)
    return np.stack([optics.reflectance(living * v, np.clip(ripe, 0, 1), dead=dead * v, wetness=wet, brightness=bright,
                                        sun_zenith=np.broadcast_to(sun, living.shape), bands=bands) for v in VIGOURS])


def _soil_mix(seen, place, t):
    """How much of the soil's own brightness shows through the canopy: (y, x)."""
    area = seen["lai_total"].values[:, t][place.field] * place.vigour
    return 1 + (place.brightness - 1) * np.exp(-0.6 * area)


def _flooded(seen):
    """Share of the ground of each field under standing water, (field, time)."""
    return np.clip(seen["pond"].values / 20.0, 0, 1)


def backscatter(seed, place, growth, span):
    """The patch of Sentinel-1 of one site, a Dataset as ``sources.sentinel.read_patch`` gives it; see ``optical``."""
    rng = stream(seed, "radar", place.site)
    table = orbits.passes("sentinel-1", place.lon, place.lat, *span, satellites=("sentinel-1a",))
    table = table[table["orbit"] == table["orbit"].iloc[0]].reset_index(drop=True)  # one track, as studies take it
    time = table["time"].to_numpy("datetime64[s]")
    day = np.searchsorted(growth["time"].values, time.astype("datetime64[D]"))
    seen = growth.isel(time=day)
    names = {code: name for name, code in landscape.crops.CODES.items()}
    angle = table["angle"].to_numpy()
    water, total = seen["canopy_water"].values.astype(float), seen["lai_total"].values.astype(float)
    theta = np.clip(seen["theta"].isel(layer=0).values.astype(float), 0.02, 0.55)
    power = np.empty((2, *water.shape))
    for k in range(water.shape[0]):
        crop = seen["crop"].values[k]
        for code in np.unique(crop):
            here = crop == code
            group = radar.GROUP_OF[names.get(int(code), "fallow")]
            power[:, k, here] = radar.backscatter(group, total[k, here], water[k, here], theta[k, here], angle[here],
                                                  flooded=_flooded(seen)[k, here])
    factors = radar.gains(rng, table["orbit"].tolist())
    gain = np.array([factors[orbit] for orbit in table["orbit"]])  # (time, polarisation)
    image = power[:, place.field].transpose(3, 0, 1, 2) * gain[..., None, None]
    image = middle(radar.speckle(rng, orbits.shift(rng, image.astype(np.float32), sd=GEOLOCATION["radar"])))
    bands = {"vv": image[:, 0], "vh": image[:, 1]}
    x, y, code = grid(place)
    direction = str(table["direction"].iloc[0]).upper()
    return _patch(place, bands, time, x, y, code, product=f"S1_GRD-{direction}", resolution=10)


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
