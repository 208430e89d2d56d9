"""A whole landscape of parcels seen by both Sentinels, written as a STAC catalogue with its truth beside it.

All that lies on the ground or in a picture is computed window by window: a place has the same parcel, the same noise
and the same speckle whichever window asks for it.
"""

import json
from dataclasses import asdict, dataclass
from dataclasses import fields as fields_of
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import simulate
from phenolib.errors import InputError, near
from phenolib.files import atomic, lock, write_json, write_text
from phenolib.simulate import (
    clouds,
    crops,
    land,
    landscape,
    optics,
    orbits,
    parcels,
    patches,
    radar,
    true_dates,
    weather,
)
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.simulate.config import text as config_text
from phenolib.sources import sentinel, stac_catalog

AREAS = {"TA1": (-121.5, 38.0, "valley"), "TA2": (-90.0, 35.9165, "delta")}  # lon, lat of the middle, region; the two
# test areas of Zhao et al. (2022), doi:10.1016/j.rse.2022.113046, whose long side is taken to lie north to south
SIZE = (4000, 1000)  # of them, rows and columns of 10 m
TILE = 500  # pixels a side that are computed at a time
MARGIN = 6  # pixels around a tile that geolocation may shift into it
CELL = 500  # rows that share their weather
SOUTHWARD = 0.025  # warmer with every km to the south [°C]; steeper than climates are, so that a map shows it
CODES = {  # crop: class of the Cropland Data Layer
    "corn": 1, "cotton": 2, "rice": 3, "soybean": 5, "winter_barley": 21, "spring_wheat": 23, "winter_wheat": 24,
    "alfalfa": 36, "sugar_beet": 41, "dry_beans": 42, "potato": 43, "tomato": 54, "fallow": 61, "water": 111,
    "grass": 176}
BANDS = (*patches.FINE, *patches.COARSE)
SENSORS = {"optical": "sentinel-2", "radar": "sentinel-1"}
NEWER = np.datetime64("2022-01-25")  # the day of processing baseline 04.00

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated Sentinel scenes with known truth; {names}; seed {seed}, years {first}-{last}
kinds:
  catalogue: {{path: "catalogue/catalog.json", reader: stac}}
"""


@dataclass(frozen=True)
class Ground:
    """A window of the land: field (y, x), an index into the grown fields, vigour and brightness (y, x) as a Place."""

    field: np.ndarray
    vigour: np.ndarray
    brightness: np.ndarray


class Scene:
    """An area with its parcels grown, ready to be seen. Whole-area arrays take 16 bytes a pixel, and clouds a
    quarter of a byte a pixel and date.

    area    Area
    years   first and last harvest year; scenes run from 1 January of the first to 31 December of the last
    config  for the seed and the assumptions
    dates   at most so many of each sensor; None: all

    optical, radar  DataFrame of the acquisitions, as ``orbits.passes``, optical with sun [°]
    fields          DataFrame of the grown fields: parcel (0: roads and edges of a cell of weather), sand, clay [%],
                    irrigated
    planted         (field, year) names
    events          true dates, rows of ``landscape.truth``
    """

    def __init__(self, area, years, *, config=DEFAULT, dates=None):
        seed = config.seed
        self.area, self.years, self.config = area, span(years), config
        self.optical, self.radar = (table[:dates] for table in acquisitions(area, self.years))
        numbers, middles = parcels.lay_out(seed, area, *area.whole)
        order = np.array(sorted(middles), np.int32)
        cells = -(-area.rows // CELL)
        index = np.zeros(order.max() + 1, np.int32)
        index[order] = np.arange(order.size)
        edge = order.size + np.arange(area.rows, dtype=np.int32)[:, None] // CELL
        self.field = np.where(numbers > 0, index[numbers], edge)
        self.numbers = numbers
        self.middles = np.array([*(middles[n] for n in order),
                                 *((k * CELL + CELL / 2, area.columns / 2) for k in range(cells))])
        self._grow(order, cells)
        self.vigour, self.brightness = (np.empty(numbers.shape, np.float32) for _ in range(2))
        for tile in tiles(*area.whole):
            self.vigour[tile] = parcels.smooth(seed, "vigour", area, *tile, sd=0.12, reach=4)
            self.brightness[tile] = parcels.smooth(seed, "brightness", area, *tile, sd=0.10, reach=3)

    def _grow(self, order, cells):
        """Grow the parcels and the edges; of their days those of the acquisitions are kept, and the true dates."""
        seed, area, years, config = self.config.seed, self.area, self.years, self.config
        climate, latitude = landscape.REGIONS[area.region][0], area.centre[1]
        south = (np.arange(cells) * CELL + CELL / 2 - area.rows / 2) / 100  # of the middle of the area [km]
        sky = xr.concat([weather.make(stream(seed, "weather", area.name), climate, latitude, years,
                                      rain=config.rain, warmer=config.warmer + SOUTHWARD * km) for km in south], "site")
        self.fields, self.planted, rngs = parcels.soils_and_crops(
            seed, area, years, [*order, *(-1 - np.arange(cells))], self.middles)
        site = np.clip(self.middles[:, 0] // CELL, 0, cells - 1).astype(int)
        days = np.unique(np.concatenate([t["time"].to_numpy("datetime64[D]") for t in (self.optical, self.radar)]))
        seen, self.events = [], []
        for start in range(0, len(rngs), 1000):
            some = slice(start, start + 1000)
            part = self.fields[some]
            each = [land.soils([a], [b], stream(seed, "soil", area.name, n))
                    for a, b, n in zip(part["sand"], part["clay"], part.index)]
            soil = land.Soil(*(np.concatenate([getattr(one, f.name) for one in each]) for f in fields_of(land.Soil)))
            growth = crops.grow(rngs[some], sky, soil, self.planted[some], years=years, site=site[some],
                                irrigated=part["irrigated"].to_numpy())
            growth["roughness"] = growth["roughness"] * np.float32(config.roughness)
            growth = growth.assign_coords(site=("field", np.full(len(part), area.name)),
                                          number=("field", part["parcel"].to_numpy()))
            self.events += landscape.truth(growth.isel(field=part["parcel"].to_numpy() > 0), patches.SHARES)
            seen.append(growth.sel(time=days))
        self.seen = xr.concat(seen, "field", data_vars="minimal", coords="minimal", compat="override")

    def on(self, kind):
        """All fields on the days of the acquisitions of "optical" or "radar", (field, time)."""
        return self.seen.sel(time=getattr(self, kind)["time"].to_numpy("datetime64[D]"))

    @cached_property
    def canopy(self):
        """Reflectance of the fields at all optical dates, (vigour, field, time, band), see ``patches.canopy``."""
        return patches.canopy(self.on("optical"), self.optical["sun"].to_numpy(), BANDS, self.config)

    @cached_property
    def echo(self):
        """Backscatter of the fields at all radar dates with the errors of calibration, (polarisation, field, time)."""
        gains = radar.gains(stream(self.config.seed, "gain", self.area.name), self.radar["orbit"].tolist())
        factors = np.array([gains[orbit] for orbit in self.radar["orbit"]]).T[:, None]
        return (patches.echo(self.on("radar"), self.radar["angle"].to_numpy()) * factors).astype(np.float32)

    def ground(self, rows, columns):
        """A window of the land."""
        return Ground(self.field[rows, columns], self.vigour[rows, columns], self.brightness[rows, columns])

    @cached_property
    def states(self):
        """Clouds over the area at all optical dates, (time, y, x) uint8 in pixels of 20 m, see ``clouds.states``."""
        area, time = self.area, self.optical["time"].to_numpy("datetime64[s]")
        chance = np.clip(np.array(clouds.PROBABILITY[area.region]) + self.config.cloud, 0.01, 0.99)
        found = np.empty((time.size, area.rows // 2, area.columns // 2), np.uint8)
        for rows, columns in tiles(slice(0, area.rows // 2), slice(0, area.columns // 2)):
            x, y = area.middles(rows, columns, 20.0)
            found[:, rows, columns] = clouds.states(stream(self.config.seed, "clouds", area.name), time, x[None, :],
                                                    y[:, None], chance)
        return found


def span(years):
    """First and last year as numbers. raises InputError for years without both Sentinels"""
    first, last = (int(year) for year in years)
    if not 2016 <= first <= last <= 2100:
        raise InputError(f"years = {first}-{last} is out of range; give a first and a last year from 2016 on")
    return first, last


def tiles(rows, columns):
    """The windows of at most ``TILE`` pixels a side that make up a window, in rows from the north."""
    for top in range(rows.start, rows.stop, TILE):
        for left in range(columns.start, columns.stop, TILE):
            yield slice(top, min(top + TILE, rows.stop)), slice(left, min(left + TILE, columns.stop))


def acquisitions(area, years):
    """When the Sentinels see an area: Sentinel-2 once a day where the sun is high enough, Sentinel-1A on one track.

    returns  DataFrame of Sentinel-2, with the zenith angle of the sun [°]; DataFrame of Sentinel-1; ``orbits.passes``
    """
    lon, lat = area.centre
    days = np.datetime64(f"{years[0]}-01-01"), np.datetime64(f"{years[1]}-12-31")
    optical = orbits.passes("sentinel-2", lon, lat, *days)
    optical["sun"] = orbits.sun_zenith(lon, lat, optical["time"].to_numpy())
    optical = optical[(optical["sun"] < patches.LOWEST_SUN) & ~optical["time"].dt.date.duplicated()]
    echoes = orbits.passes("sentinel-1", lon, lat, *days, satellites=("sentinel-1a",))
    echoes = echoes[echoes["orbit"] == echoes["orbit"].iloc[0]]
    return optical.reset_index(drop=True), echoes.reset_index(drop=True)


# ---- what the satellites see


def optical(scene, k, rows, columns):
    """One acquisition of Sentinel-2 in a window.

    scene          Scene
    k              row of ``scene.optical``
    rows, columns  slices with even ends
    returns        dict: B02, B03, B04, B08 (y, x) and the bands of 20 m (y/2, x/2) [-], scl (y/2, x/2) uint8
    """
    seed, area, moment = scene.config.seed, scene.area, scene.optical["time"].iloc[k]
    day, seen, value = str(moment), scene.on("optical").isel(time=k), scene.canopy[:, :, k]
    total, green = seen["lai_total"].values, seen["lai_green"].values
    water, snow = patches.flooded(seen), seen["snow"].values > patches.SNOW
    white = patches.snow_cover(stream(seed, "snow", area.name, day), 1)
    shape = rows.stop - rows.start, columns.stop - columns.start
    found = {b: np.empty(shape, np.float32) for b in patches.FINE}
    found |= {b: np.empty((shape[0] // 2, shape[1] // 2), np.float32) for b in patches.COARSE}
    found["scl"] = np.empty((shape[0] // 2, shape[1] // 2), np.uint8)
    for tile in tiles(rows, columns):
        wide, core = _wider(area, *tile)
        here = scene.ground(*wide)
        image = patches.ground(value, total, here)
        image[snow[here.field]] = white
        state = scene.states[k, *(slice(s.start // 2, s.stop // 2) for s in wide)].repeat(2, 0).repeat(2, 1)
        image = clouds.veil(stream(seed, "veil", area.name, day), image[None], state[None], bands=BANDS, shared=2)
        image = orbits.shift(stream(seed, "optical shift", area.name, day), np.moveaxis(image, -1, 1),
                             sd=patches.GEOLOCATION["optical"])[0, :, *core]
        field = here.field[core]
        classes = clouds.scl(state[core], green[field], flooded=water[field], snow=snow[field])
        noise = parcels.Noise(seed, "optical", area.name, day, row=tile[0].start, column=tile[1].start)
        image = optics.observe(noise, image)
        half = patches.coarse(image)
        y, x = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(tile, (rows, columns)))
        for n, b in enumerate(patches.FINE):
            found[b][y, x] = image[n]
        y, x = (slice(s.start // 2, s.stop // 2) for s in (y, x))
        for n, b in enumerate(patches.COARSE, len(patches.FINE)):
            found[b][y, x] = half[n]
        found["scl"][y, x] = patches.coarse_classes(classes)
    return found


def backscatter(scene, k, rows, columns):
    """One acquisition of Sentinel-1 in a window, see ``optical``. returns dict: vv, vh (y, x), linear power"""
    seed, area, moment = scene.config.seed, scene.area, scene.radar["time"].iloc[k]
    power = scene.echo[..., k]
    found = np.empty((2, rows.stop - rows.start, columns.stop - columns.start), np.float32)
    for tile in tiles(rows, columns):
        wide, core = _wider(area, *tile)
        image = orbits.shift(stream(seed, "radar shift", area.name, str(moment)), power[None, :, scene.field[wide]],
                             sd=patches.GEOLOCATION["radar"])[0, :, *core]
        noise = parcels.Noise(seed, "radar", area.name, str(moment), row=tile[0].start, column=tile[1].start)
        y, x = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(tile, (rows, columns)))
        found[:, y, x] = radar.speckle(noise, image)
    return {"vv": found[0], "vh": found[1]}


def _wider(area, rows, columns):
    """A tile with its margin as far as the area reaches, and where the tile lies in it."""
    wide = tuple(slice(max(s.start - MARGIN, 0), min(s.stop + MARGIN, end))
                 for s, end in ((rows, area.rows), (columns, area.columns)))
    return wide, tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip((rows, columns), wide))


# ---- the files

def write(folder, areas, *, name, years, config=DEFAULT, dates=None, bands=None):
    """Write the scenes of areas as one static catalogue, with crop maps, the table of areas and the truth.

    Scenes that lie in the folder already are kept, so a killed run goes on where it stopped. areas.csv holds the middle
    of each area, the box around it [degrees], and its own edges in UTM [m]: left, bottom, right, top.

    folder   receives catalogue/, crop_maps/<area>_<year>.tif, areas.csv, archive.yml, truth/<area>_parcels.tif and
             truth/<name>_seasons.csv and _parcels.csv
    areas    list of Area
    name     of the tables of the truth
    years    as ``Scene``, or {name of an area: years}
    config, dates   as ``Scene``
    bands    that are written; default all
    """
    from tqdm import tqdm

    folder = Path(folder)
    years = years if isinstance(years, dict) else dict.fromkeys([area.name for area in areas], years)
    events, kept = [], []
    for area in areas:
        scene = Scene(area, years[area.name], config=config, dates=dates)
        _write_land(folder, scene)
        steps = [(kind, k) for kind in SENSORS for k in range(len(getattr(scene, kind)))]
        for kind, k in tqdm(steps, desc=area.name, unit="scene", disable=None):
            about = _about(scene, kind, k)
            if not stac_catalog.scene_folder(folder / "catalogue", SENSORS[kind], about["id"]).is_dir():
                stac_catalog.write_scene(folder / "catalogue", _datasets(scene, kind, k, about, bands))
        events += scene.events
        kept.append(_parcel_table(scene))
    write_text(folder / "truth" / f"{name}_seasons.csv", true_dates.table(
        [{**e, "area": e["site"], "parcel": e["field"]} for e in events],
        ["area", "parcel", "crop", "season", "direction", "share", "date"]))
    write_text(folder / "truth" / f"{name}_parcels.csv", pd.concat(kept).to_csv(index=False, lineterminator="\n"))
    places = [{"name": a.name, "lon": a.centre[0], "lat": a.centre[1], "epsg": a.epsg,
               **dict(zip(("west", "south", "east", "north", "left", "bottom", "right", "top"), (*a.bbox, *a.edges)))}
              for a in areas]
    write_text(folder / "areas.csv", pd.DataFrame(places).round(6).to_csv(index=False, lineterminator="\n"))
    write_text(folder / "archive.yml", ARCHIVE.format(names=", ".join(a.name for a in areas), seed=config.seed,
                                                      first=min(first for first, _ in years.values()),
                                                      last=max(last for _, last in years.values())))
    stac_catalog.write_index(folder / "catalogue", title="Simulated Sentinel scenes", licence="CC0-1.0")


def _about(scene, kind, k):
    """Attributes of one acquisition, as ``stac_catalog.write_scene`` takes them."""
    row = getattr(scene, kind).iloc[k]
    short = row["satellite"].replace("sentinel-", "S").upper()
    about = {"id": f"{short}_{row['time']:%Y%m%d}_{scene.area.name}", "datetime": row["time"],
             "platform": row["satellite"], "relative_orbit": int(row["orbit"]), "orbit_state": row["direction"]}
    if kind == "radar":
        return about | {"properties": {"view:incidence_angle": float(row["angle"])}}
    return about | {"processing_baseline": "04.00" if row["time"] >= NEWER else "02.14",
                    "properties": {"view:sun_elevation": round(90 - float(row["sun"]), 2)}}


def _datasets(scene, kind, k, about, bands=None):
    """The Datasets of one acquisition, one per size of pixel."""
    rows, columns = scene.area.whole
    found = (optical if kind == "optical" else backscatter)(scene, k, rows, columns)
    made = []
    for pixel in (10.0, 20.0):
        step = int(pixel // 10)
        y, x = slice(0, rows.stop // step), slice(0, columns.stop // step)
        some = {n: (("y", "x"), v) for n, v in found.items()
                if v.shape == (y.stop, x.stop) and (bands is None or n in bands)}
        if some:
            middle_x, middle_y = scene.area.middles(y, x, pixel)
            made.append(sentinel.with_crs(xr.Dataset(some, {"y": middle_y, "x": middle_x}, about), scene.area.epsg))
    return made


def _write_land(folder, scene):
    """Numbers of the parcels, and a crop map of each year."""
    from affine import Affine

    area = scene.area
    place = Affine(10, 0, area.west, 0, -10, area.north), f"EPSG:{area.epsg}"
    rasters = {Path("truth") / f"{area.name}_parcels.tif": scene.numbers}
    for n, year in enumerate(range(scene.years[0], scene.years[1] + 1)):
        codes = np.array([CODES[str(crop)] for crop in scene.planted[:, n]], np.uint8)
        rasters[Path("crop_maps") / f"{area.name}_{year}.tif"] = codes[scene.field]
    for path, values in rasters.items():
        with atomic(folder / path) as part:
            stac_catalog.write_cog(part, values, *place, 0)


def _parcel_table(scene):
    """One row for each parcel and year: area, parcel, season, crop, irrigated, sand, clay [%], hectares."""
    pixels = np.bincount(scene.field.ravel(), minlength=len(scene.fields))
    about = scene.fields.assign(area=scene.area.name, hectares=pixels / 100)
    tables = [about.assign(season=year, crop=scene.planted[:, n])
              for n, year in enumerate(range(scene.years[0], scene.years[1] + 1))]
    table = pd.concat(tables).query("parcel > 0").sort_values(["parcel", "season"]).round({"sand": 1, "clay": 1})
    return table[["area", "parcel", "season", "crop", "irrigated", "sand", "clay", "hectares"]]


def make(out, name, *, years=None, size=SIZE, config=DEFAULT, dates=None):
    """Write one of the two large areas; a run that was killed goes on where it stopped and ends with the same bytes.

    out      folder, new or empty; what is unfinished lies beside it in .<out>.part
    name     of ``AREAS``
    years    first and last year; None: the ``catalogue_year`` of the configuration
    size     rows, columns of 10 m
    config   for the seed and the assumptions
    dates    at most so many of each sensor; None: all
    raises   InputError for an unknown name, a size or years out of range, a folder that is there, or an unfinished
             scene beside it that was begun with other settings
    """
    out = Path(out)
    if name not in AREAS:
        raise InputError(f"scene '{name}' is not known{near(name, AREAS)}")
    area = parcels.around(name, *AREAS[name][:2], size, AREAS[name][2])
    part = out.with_name(f".{out.name}.part")
    years = span(years or (config.catalogue_year, config.catalogue_year))
    settings = {"area": asdict(area), "years": list(years), "config": config_text(config), "dates": dates,
                "code": simulate.version("catalogue")}
    guard = out.with_name(f".{out.name}.lock")
    try:
        with lock(guard):
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise InputError(f"--out {out}: is there already; name a new folder")
            noted = part / "settings.json"
            if noted.is_file() and json.loads(noted.read_text(encoding="utf-8")) != settings:
                raise InputError(f"{part}: an unfinished scene of other settings or another version lies there; remove "
                                 "it first")
            write_json(noted, settings)
            write(part, [area], name=name, years=years, config=config, dates=dates)
            noted.unlink()
            if out.exists():
                out.rmdir()
            part.replace(out)
    finally:
        guard.unlink(missing_ok=True)
