"""A delta with salty soils, the part of an archive for maps of salinity: samples, scenes, elevation, NDVI and truth.

DELTA lies at the mouth of the Yellow River, where six campaigns take samples; COAST is on the Gulf of Mexico, whose few
laboratory records test what was learned in the other. The places are real, all else is not.
"""

from dataclasses import dataclass
from dataclasses import fields as fields_of
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import atomic, write_text
from phenolib.simulate import clouds, crops, delta_view, land, parcels, salinity, scenes, weather
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.sources import coastal_samples, salt_samples, sentinel, stac_catalog

AREAS = {"DELTA": (118.9, 37.75, "yellow_river"), "COAST": (-92.3, 29.8, "delta")}  # lon, lat of the middle, climate
COAST = 320  # pixels a side of COAST at most
YEARS = {"DELTA": (2018, 2025), "COAST": (2018, 2020)}  # harvest years that are grown; maps begin a year later
CAMPAIGNS = ("2019-07-20", "2020-03-18", "2020-06-12", "2020-10-16", "2022-10-16", "2024-06-12")  # their middles
MAPPED = "06-15"  # day of a map
SEASONS = ("2022-03-15", "2022-07-15", "2022-10-15")  # of one year, so that season and year can be told apart
RECORDED = ("2019-06-14", "2020-06-16")  # days of the laboratory records of COAST
RECORDS = 43
NEAR = 3  # acquisitions around a date
CLEARNESS = 20.0  # days that an acquisition without clouds may be farther away than one under clouds
BLOCK = 48  # pixels a side of a block of fields, with a track in the north and in the west
STRIPS = 2, 5  # fewest and most fields of a block
SOME = 400  # fields that are grown at a time
CLOUDY = (0.35, 0.38, 0.40, 0.40, 0.40, 0.45, 0.60, 0.55, 0.42, 0.35, 0.36, 0.35)  # probability of cloud by month at
# the Yellow River, plausible and not measured
GROWN = {  # shares of parcels: the crops of one by harvest year
    "yellow_river": ((0.30, ("winter_wheat",)), (0.14, ("winter_wheat", "corn")), (0.20, ("cotton",)),
                     (0.12, ("corn",)), (0.09, ("rice",)), (0.07, ("fallow",)), (0.07, ("grass",)),
                     (0.01, ("water",))),
    "delta": ((0.30, ("rice", "soybean")), (0.20, ("soybean",)), (0.20, ("cotton", "corn")), (0.08, ("rice",)),
              (0.10, ("fallow",)), (0.11, ("grass",)), (0.01, ("water",)))}
COVERS = {"winter_wheat": "wheat", "corn": "corn", "cotton": "cotton", "rice": "rice", "soybean": "soybean",
          "fallow": "fallow", "grass": "meadow"}  # that are sampled
KEPT = ("lai_total", "ripeness", "theta", "pond", "snow", "height")  # of the growth
SITES, CLUSTERS = 450, 70  # for 806 samples; half of the sites are visited once
APART, REACH = 100.0, 350.0  # sites of a cluster: least distance, and largest from its middle [m]
MARGIN = 56  # pixels at the edge without samples, so that what surrounds each is there
POINTS, PAIRS, MASKED = 113, 5, 7  # of the coastal table: rows, those that repeat another, those without reflectance
MEASURED = 0.35  # SD of ln EC of one value of the coastal table, about as pairs of the public one have it
ERROR, CONVERSION = 0.15, 0.20  # SD of ln S of a sample around its pixel, and of EC around the conversion from salt

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated delta with salt in its soils ({salt}) and known truth; {samples} samples; seed {seed}
kinds:
  catalogue: {{path: "catalogue/catalog.json", reader: stac}}
  salt: {{path: "delta/*samples.csv", reader: salt_samples}}
  dem: {{path: "delta/dem_*.tif", reader: raster}}
  ndvi: {{path: "delta/ndvi_*.nc", reader: netcdf}}
  coastal: {{path: "delta/coastal_samples.csv", reader: coastal_samples}}
  landsat: {{path: "delta/landsat/*.tif", reader: landsat}}
"""


@dataclass(frozen=True)
class Settings:
    """What an archive of the delta may ask for beside the seed."""

    salt: str = "terrain"  # where salt comes from, one of ``salinity.LANDSCAPES``
    rows: int = 768  # of 10 m, even
    columns: int = 768
    samples: int = 806

    def __post_init__(self):
        salinity.known(self.salt)
        for name in ("rows", "columns"):
            value = getattr(self, name)
            if not isinstance(value, int) or value % 2 or not 160 <= value <= 4000:
                raise InputError(f"{name} = {value}: give an even number of pixels from 160 to 4000")
        if not isinstance(self.samples, int) or not 12 <= self.samples <= 20_000:
            raise InputError(f"samples = {self.samples}: give a whole number from 12 to 20000")


class Delta:
    """An area with its salt, its fields grown, ready to be seen.

    area      ``parcels.Area``
    years     first and last harvest year
    settings  ``Settings``
    config    for the seed and the assumptions

    ground, salt  ``salinity.Ground`` and ``salinity.Salt``
    field         (y, x) number of the field; the last two are roads and edges, and rivers and canals
    planted       (field, year) names
    growth        {name: (field, time)} of ``KEPT``
    passes        DataFrame of the acquisitions, as ``scenes.acquisitions``
    states        (pass, y/4, x/4) clouds, see ``clouds.states``
    vigour, brightness  (y, x) factors
    """

    def __init__(self, area, years, settings, config=DEFAULT):
        seed = config.seed
        self.area, self.years, self.settings, self.config = area, years, settings, config
        self.sky = weather.make(stream(seed, "weather", area.name), area.region, area.centre[1], years,
                                rain=config.rain, warmer=config.warmer)
        self.ground = salinity.relief(seed, area)
        self.salt = salinity.field(seed, area, self.ground, settings.salt, years, self.sky)
        self.low = salinity.scores(self.ground)["low"]
        self.field, middles = lay_out(seed, area)
        count = len(middles)
        self.field[(self.field < 0) | (self.ground.dyke > 0.5)] = count
        self.field[self.ground.water] = count + 1
        self.passes = scenes.acquisitions(area, years)[0]
        self._grow(middles)
        self.vigour, self.brightness = (parcels.smooth(seed, key, area, *area.whole, sd=sd, reach=reach)
                                        for key, sd, reach in (("vigour", 0.12, 4), ("brightness", 0.08, 3)))

    def _grow(self, middles):
        """Grow the parcels, the edges and the water; keep what is seen of them."""
        seed, area = self.config.seed, self.area
        shares = GROWN[area.region]
        x, y = area.west + 10 * middles[:, 1], area.north - 10 * middles[:, 0]
        sand, clay = (clouds.sky(stream(seed, key, area.name), [0], reach=8000.0).at(x, y)[0]
                      for key in ("sand", "clay"))
        self.sand = np.append(np.clip(30 + 10 * sand, 12, 60), [30, 30])
        self.clay = np.append(np.clip(20 + 5 * clay, 10, 32), [20, 20])
        planted, water, rngs, soils = [], [], [], []
        count = self.years[1] - self.years[0] + 1
        for k in range(len(middles) + 2):
            number = k if k < len(middles) else ("edges", "water")[k - len(middles)]
            rng = stream(seed, "delta", "field", area.name, number)
            turn = {"edges": ("grass",), "water": ("water",)}.get(
                number, shares[rng.choice(len(shares), p=np.array([s for s, _ in shares]))][1])
            begin, irrigated = rng.integers(len(turn)), rng.random() < crops.REGIONS[area.region][1]
            planted.append([turn[(begin + n) % len(turn)] for n in range(count)])
            water.append(bool(irrigated and planted[-1][0] not in ("fallow", "grass")))
            rngs.append(stream(seed, "delta", "growth", area.name, number))
            soils.append(land.soils([self.sand[k]], [self.clay[k]], stream(seed, "delta", "soil", area.name, number)))
        self.planted = np.array(planted)
        soil = land.Soil(*(np.concatenate([getattr(one, f.name) for one in soils]) for f in fields_of(land.Soil)))
        parts = []
        for first in range(0, len(rngs), SOME):
            some = slice(first, first + SOME)
            part = land.Soil(*(getattr(soil, f.name)[some] for f in fields_of(land.Soil)))
            grown = crops.grow(rngs[some], self.sky, part, self.planted[some], years=self.years,
                               irrigated=np.array(water[some]))[list(KEPT)].isel(layer=0)
            parts.append({name: grown[name].values for name in KEPT})
        self.start = grown["time"].values[0].astype("datetime64[D]")
        self.growth = {name: np.concatenate([part[name] for part in parts]) for name in KEPT}

    def day(self, moment):
        """Position of a moment in the growth."""
        return int((np.datetime64(moment, "D") - self.start).astype(int))

    def felt(self, moment, every=1):
        """What salt does on a day, ``delta_view.Felt``; nothing where the landscape is harmless."""
        some = (slice(None, None, every),) * 2
        vigour, low = self.vigour[some], self.low[some]
        if self.settings.salt == "harmless":
            none = np.zeros(vigour.shape, np.float32)
            return delta_view.Felt(none, none, vigour, low)
        lived, now = (self.salt.at(moment, season=season, every=every) for season in (False, True))
        return delta_view.Felt(lived, now, vigour, low)

    @cached_property
    def states(self):
        """Clouds at all acquisitions in cells of ``delta_view.CLOUD`` pixels."""
        area, time = self.area, self.passes["time"].to_numpy("datetime64[s]")
        cells = (slice(0, -(-n // delta_view.CLOUD)) for n in (area.rows, area.columns))
        x, y = area.middles(*cells, 10.0 * delta_view.CLOUD)
        chance = np.array(clouds.PROBABILITY.get(area.region, CLOUDY)) + self.config.cloud
        return clouds.states(stream(self.config.seed, "clouds", area.name), time, x[None], y[:, None],
                             np.clip(chance, 0.01, 0.99))

    def near(self, dates):
        """Rows of the acquisitions around dates, ``NEAR`` of each: the clearest of the nearest."""
        clear = (self.states <= clouds.DARK).mean((1, 2))
        times, chosen = self.passes["time"].to_numpy("datetime64[D]"), set()
        for date in dates:
            away = np.abs((times - np.datetime64(date, "D")).astype(int)) + CLEARNESS * (1 - clear)
            chosen |= set(np.argsort(away, kind="stable")[:NEAR].tolist())
        return sorted(chosen)


def lay_out(seed, area):
    """The fields of an area: blocks cut into strips that run north to south or west to east.

    returns (y, x) int32 number of the field, −1 on tracks; (field, 2) row and column of the middles
    """
    numbers, middles = np.full((area.rows, area.columns), -1, np.int32), []
    for i, j in np.ndindex(-(-area.rows // BLOCK), -(-area.columns // BLOCK)):
        rng = stream(seed, "delta", "block", area.name, i, j)
        count, along = int(rng.integers(STRIPS[0], STRIPS[1] + 1)), rng.random() < 0.5
        widths = rng.uniform(0.6, 1.4, count)
        cuts = 1 + np.round(np.concatenate([[0], np.cumsum(widths) / widths.sum()]) * (BLOCK - 1)).astype(int)
        for low, high in zip(cuts[:-1], cuts[1:]):
            across, whole = slice(low, high), slice(1, BLOCK)
            rows, columns = (across, whole) if along else (whole, across)
            rows, columns = (slice(n * BLOCK + s.start, n * BLOCK + s.stop) for n, s in ((i, rows), (j, columns)))
            numbers[rows, columns] = len(middles)
            middles.append(((rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2))
    return numbers, np.array(middles)


# ---- samples

def sites(delta, samples):
    """Places where samples are taken: clusters of some, in fields, fallows and meadows.

    returns DataFrame: cluster, number, row, column (pixels), x_m, y_m; drawn without a look at the salt
    """
    area, share = delta.area, samples / 806
    rng = stream(delta.config.seed, "delta", "sites", area.name)
    count, wanted = max(4, round(CLUSTERS * share)), max(8, round(SITES * share))
    covers = np.array([crop in COVERS for crop in delta.planted[:, 0]])
    covers[-2:] = False
    margin = min(MARGIN, (min(area.rows, area.columns) - 40) // 2)
    rows, sizes = [], np.maximum(rng.multinomial(wanted, np.full(count, 1 / count)), 1)
    for cluster, size in enumerate(sizes, 1):
        own, tries = [], 0
        middle = rng.uniform([margin, margin], [area.rows - margin, area.columns - margin])
        while len(own) < size and tries < 400:
            tries += 1
            place = middle + rng.uniform(-REACH, REACH, 2) / 10
            row, column = np.floor(place).astype(int)
            inside = margin <= row < area.rows - margin and margin <= column < area.columns - margin
            apart = APART if tries < 200 else APART / 4
            if inside and covers[delta.field[row, column]] and all(np.hypot(*(place - o)) * 10 >= apart for o in own):
                own.append(place)
        rows += [{"cluster": cluster, "number": n, "row": p[0], "column": p[1]} for n, p in enumerate(own, 1)]
    return pd.DataFrame(rows)


def visits(rng, places, samples, campaigns):
    """Who is visited when: half of the sites once, the others in several campaigns. returns (visit, 2) place, campaign

    Sites of one cluster that are visited once are so in one campaign.
    """
    lasting = rng.random(len(places)) < 0.5
    if lasting.sum() < 2:
        lasting[:2] = True
    when = dict(zip(sorted(set(places["cluster"])), rng.permutation(places["cluster"].nunique()) % campaigns))
    found = []
    for campaign in range(campaigns):
        size = samples // campaigns + (campaign < samples % campaigns)
        once = np.flatnonzero(~lasting & (places["cluster"].map(when) == campaign).to_numpy())[:size]
        more = rng.permutation(np.flatnonzero(lasting))[:size - once.size]
        again = rng.choice(np.concatenate([once, more]), size - once.size - more.size)  # a second hole beside the first
        found += [(place, campaign) for place in (*once, *more, *again)]
    return np.array(found)


def take(delta, samples, dates):
    """Samples of a delta.

    samples  how many
    dates    of the middles of the campaigns
    returns  DataFrame as ``sources.salt_samples.write`` writes it, with salt_g_kg, and the clay [%] of the field
    """
    area = delta.area
    places = sites(delta, samples)
    rng = stream(delta.config.seed, "delta", "samples", area.name)
    rows, shifts = [], rng.integers(-3, 4, (len(dates), places["cluster"].max() + 1))
    fields_at = {date: delta.salt.at(date) for date in dates}
    for place, campaign in visits(rng, places, samples, len(dates)):
        at, date = places.iloc[place], dates[campaign]
        row, column = np.array([at["row"], at["column"]]) + rng.normal(0, 0.8, 2)
        field = delta.field[int(row), int(column)]
        if field >= len(delta.planted) - 2:  # a road or a canal: the place itself
            row, column = at["row"], at["column"]
            field = delta.field[int(row), int(column)]
        day = np.datetime64(date) + shifts[campaign, int(at["cluster"])]
        crop = delta.planted[field, int(str(day)[:4]) - delta.years[0]]
        salt = fields_at[date][int(row), int(column)] * np.exp(ERROR * rng.standard_normal())
        rows.append({"site": f"{area.name[0]}{int(at['cluster']):03d}-{int(at['number']):02d}", "area": area.name,
                     "date": str(day), "x_m": round(area.west + 10 * column, 1), "y_m": round(area.north - 10 * row, 1),
                     "depth_top_cm": 0, "depth_bottom_cm": 20,
                     "salt_g_kg": round(float(np.clip(salt, *salinity.LIMITS)), 3),
                     "land_cover": COVERS.get(crop, crop), "clay": delta.clay[field]})
    table = pd.DataFrame(rows).sort_values(["date", "site"], kind="stable", ignore_index=True)
    table.insert(0, "sample", [f"{area.name[0]}{n:04d}" for n in range(1, len(table) + 1)])
    return table


def laboratory(delta, table):
    """Samples as a laboratory reports them: electrical conductivity of the saturated paste in place of salt.

    The saturation percentage grows with clay; EC comes from salt by the conversion of ``sources.salt_samples`` the
    other way round, with an error of ``CONVERSION``.
    """
    rng = stream(delta.config.seed, "delta", "laboratory", delta.area.name)
    noise = rng.standard_normal((2, len(table)))
    saturation = np.clip(28 + 1.1 * table["clay"] + 5 * noise[0], 25, 80).round(1)
    ec = salt_samples.ec_of_salt(table["salt_g_kg"], saturation) * np.exp(CONVERSION * noise[1])
    made = table.drop(columns="salt_g_kg").assign(ec_e_dS_m=ec.round(3), saturation_percent=saturation)
    return made


def landsat(delta):
    """An area on the last day of ``RECORDED`` as Landsat sees it: the clearest Sentinel-2 scene near it in 30 m.

    returns  Dataset (y, x) of ``coastal_samples.BANDS`` [-], by whole numbers of its Level 2; NaN under clouds
    """
    area, shape = delta.area, delta.field.shape
    k = max(delta.near(RECORDED[-1:]), key=lambda k: (delta.states[k] <= clouds.DARK).mean())
    seen = {name: value if value.shape == shape else delta_view.spread(value, 2, shape)
            for name, value in delta_view.scene(delta, k).items()}
    clear, made = coarse(np.isin(seen["scl"], sentinel.LAND)) == 1, {}
    for band, name in coastal_samples.SENTINEL.items():
        value = coastal_samples.numbers(coarse(seen[name])) * coastal_samples.SCALE + coastal_samples.OFFSET
        made[band] = ("y", "x"), np.where(clear, value, np.nan)
    x, y = area.middles(slice(0, clear.shape[0]), slice(0, clear.shape[1]), 30.0)
    return sentinel.with_crs(xr.Dataset(made, {"y": y, "x": x}), area.epsg)


def coarse(values):
    """Means of 3 × 3 pixels, from the north-west corner; what is left over is cut off."""
    rows, columns = (n // 3 for n in values.shape)
    return values[:3 * rows, :3 * columns].reshape(rows, 3, columns, 3).mean((1, 3))


def coastal(delta, scene):
    """Samples with EC of an extract that is not told (it is 1:5) and the bands of a scene, spread over a grid of cells.

    The northern and the southern half are areas; each has five strips across the coast and five distances from the sea.
    The column NDVI is (red − green)/(red + green), the fault of a public table.

    scene    of ``landsat``
    returns  DataFrame as ``sources.coastal_samples.write`` takes it
    """
    rng, date = stream(delta.config.seed, "delta", "coastal", delta.area.name), RECORDED[-1]
    rows, columns = scene.sizes["y"], scene.sizes["x"]
    half = -(-rows // 2)
    row, column = np.indices((rows, columns)).reshape(2, -1)
    coast = coarse(delta.ground.coast).ravel()
    field = delta.field[3 * row + 1, 3 * column + 1]
    crop = delta.planted[field, int(date[:4]) - delta.years[0]]
    made = pd.DataFrame({name: scene[name].values.ravel() for name in coastal_samples.BANDS})
    made = made.assign(NDVI=(made["red"] - made["green"]) / (made["red"] + made["green"]), area=np.where(
        row < half, "N", "S"), sea=1 + np.digitize(coast, np.quantile(coast, [0.2, 0.4, 0.6, 0.8])),
        land_cover=[COVERS.get(c, c) for c in crop], salt=coarse(delta.salt.at(date)).ravel())
    made["cell"] = made["area"] + (1 + row % half * 5 // half).astype(str) + made["sea"].astype(str)
    dry = coarse(delta.ground.water).ravel() == 0
    pool = made[dry & (field < len(delta.planted) - 2) & np.isin(crop, list(COVERS)) & made["blue"].notna()]
    pool = pool.iloc[rng.permutation(len(pool))]
    turn = pool.groupby("cell").cumcount().sort_values(kind="stable")  # one of each cell, a second, a third
    found = pool.loc[turn.index[:POINTS - PAIRS]].assign(repeats=False)
    found = pd.concat([found, found.iloc[:PAIRS].assign(repeats=True)], ignore_index=True)
    found.loc[found.index[PAIRS:PAIRS + MASKED], [*coastal_samples.BANDS, "NDVI"]] = np.nan
    found["ec"] = (1000 / 3.2 * found["salt"] * np.exp(MEASURED * rng.standard_normal(len(found)))).round(1)
    found = found.sort_values(["cell", "repeats"], kind="stable", ignore_index=True)
    found["sample"] = [f"{a}-S{n:03d}_{date.replace('-', '')}" for n, a in enumerate(found["area"], 1)]
    return found


# ---- the files

def make(folder, *, config=DEFAULT, settings=None):
    """Write the part of an archive for salinity.

    Scenes lie around the campaigns and around 15 June of each year, for 2022 in March and July too; each time the three
    acquisitions that are near and clear. NDVI is the best of ten days, see ``delta_view.composites``.

    folder    receives delta/samples.csv, ec_samples.csv, coastal_samples.csv, landsat/<band>.tif, dem_<area>.tif,
              ndvi_<area>_<year>.nc, catalogue/,
              crop_maps/<area>_<year>.tif, areas.csv, archive.yml, truth/delta_salt_<area>.nc and
              truth/delta_ground_<area>.nc
    config    for the seed and the assumptions
    settings  ``Settings``; None: the defaults
    """
    folder, settings = Path(folder), settings or Settings()
    areas = {name: around(name, settings) for name in AREAS}
    for name, area in areas.items():
        delta = Delta(area, YEARS[name], settings, config)
        dates = truth_dates(name)
        write_land(folder, delta)
        write_truth(folder, delta, dates)
        wanted = [*dates, *SEASONS] if name == "DELTA" else dates
        for k in delta.near(wanted):
            stac_catalog.write_scene(folder / "catalogue", datasets(delta, k))
        for year in range(YEARS[name][0], YEARS[name][1] + 1):
            write_ndvi(folder, delta, year)
        if name == "DELTA":
            salt_samples.write(take(delta, settings.samples, CAMPAIGNS), folder / "delta" / "samples.csv")
        else:
            table = laboratory(delta, take(delta, RECORDS, RECORDED))
            salt_samples.write(table, folder / "delta" / "ec_samples.csv")
            scene = landsat(delta)
            coastal_samples.write_scene(scene, folder / "delta" / "landsat")
            coastal_samples.write(coastal(delta, scene), folder / "delta" / "coastal_samples.csv")
    places = [{"name": a.name, "lon": a.centre[0], "lat": a.centre[1], "epsg": a.epsg,
               **dict(zip(("west", "south", "east", "north", "left", "bottom", "right", "top"), (*a.bbox, *a.edges)))}
              for a in areas.values()]
    write_text(folder / "areas.csv", pd.DataFrame(places).round(6).to_csv(index=False, lineterminator="\n"))
    write_text(folder / "archive.yml", ARCHIVE.format(salt=settings.salt, samples=settings.samples, seed=config.seed))
    stac_catalog.write_index(folder / "catalogue", title="Simulated Sentinel scenes of a delta", licence="CC0-1.0")


def around(name, settings):
    """The area of a name, as large as settings say. returns ``parcels.Area``"""
    size = settings.rows, settings.columns
    return parcels.around(name, *AREAS[name][:2], size if name == "DELTA" else [min(n, COAST) for n in size],
                          AREAS[name][2])


def truth_dates(name):
    """Dates whose salt is kept: of the campaigns and of the maps, rising."""
    if name != "DELTA":
        return sorted(RECORDED)
    first, last = YEARS[name]
    return sorted({*CAMPAIGNS, *(f"{year}-{MAPPED}" for year in range(first + 1, last + 1))})


def datasets(delta, k):
    """One acquisition as ``stac_catalog.write_scene`` takes it: a Dataset for each size of pixel."""
    area, row = delta.area, delta.passes.iloc[k]
    about = {"id": f"{row['satellite'].replace('sentinel-', 'S').upper()}_{row['time']:%Y%m%d}_{area.name}",
             "datetime": row["time"], "platform": row["satellite"], "relative_orbit": int(row["orbit"]),
             "orbit_state": row["direction"],
             "processing_baseline": "04.00" if row["time"] >= scenes.NEWER else "02.14",
             "properties": {"view:sun_elevation": round(90 - float(row["sun"]), 2)}}
    found, made = delta_view.scene(delta, k), []
    for pixel in (10.0, 20.0):
        size = int(area.rows * 10 // pixel), int(area.columns * 10 // pixel)
        x, y = area.middles(slice(0, size[0]), slice(0, size[1]), pixel)
        some = {n: (("y", "x"), v) for n, v in found.items() if v.shape == size}
        made.append(sentinel.with_crs(xr.Dataset(some, {"y": y, "x": x}, about), area.epsg))
    return made


def write_land(folder, delta):
    """The model of the surface, and a crop map of each year."""
    from affine import Affine

    area = delta.area
    tall = delta.growth["height"].max(1)[delta.field] * 0.5  # of crops, a mean over the seasons of the radar
    model = salinity.surface(delta.config.seed, area, delta.ground, tall)
    crs = f"EPSG:{area.epsg}"
    with atomic(folder / "delta" / f"dem_{area.name}.tif") as part:
        stac_catalog.write_cog(part, model, Affine(30, 0, area.west, 0, -30, area.north), crs, float("nan"))
    for n, year in enumerate(range(delta.years[0], delta.years[1] + 1)):
        codes = np.array([scenes.CODES[str(crop)] for crop in delta.planted[:, n]], np.uint8)
        with atomic(folder / "crop_maps" / f"{area.name}_{year}.tif") as part:
            stac_catalog.write_cog(part, codes[delta.field], Affine(10, 0, area.west, 0, -10, area.north), crs, 0)


def write_truth(folder, delta, dates):
    """The salt of all pixels on dates, and the ground it comes from."""
    area, land_ = delta.area, delta.ground
    x, y = area.middles(*area.whole)
    salt = np.stack([delta.salt.at(date) for date in dates])
    about = {"units": "g kg-1", "long_name": "salt content of the topsoil, 0-20 cm"}
    made = xr.Dataset({"salt": (("time", "y", "x"), salt, about)},
                      {"time": np.array(dates, "datetime64[ns]"), "y": y, "x": x})
    packed = dict(dtype="uint16", scale_factor=0.001, _FillValue=65535, zlib=True, complevel=1, shuffle=True)
    _netcdf(folder / "truth" / f"delta_salt_{area.name}.nc", sentinel.with_crs(made, area.epsg), {"salt": packed})
    units = {"elevation": "m", "coast": "m", "canal": "m", "reclaimed": "1"}
    made = xr.Dataset({name: (("y", "x"), getattr(land_, name).astype(np.float32), {"units": unit})
                       for name, unit in units.items()}, {"y": y, "x": x})
    _netcdf(folder / "truth" / f"delta_ground_{area.name}.nc", sentinel.with_crs(made, area.epsg),
            {name: dict(zlib=True, complevel=1, shuffle=True) for name in units})


def write_ndvi(folder, delta, year):
    """The best NDVI of every ten days of a year."""
    area = delta.area
    time, values = delta_view.composites(delta, year)
    x, y = area.middles(slice(0, area.rows // 2), slice(0, area.columns // 2), 20.0)
    about = {"units": "1", "long_name": "NDVI, the best of ten days"}
    made = xr.Dataset({"NDVI": (("time", "y", "x"), values, about)},
                      {"time": time.astype("datetime64[ns]"), "y": y, "x": x})
    packed = dict(dtype="int16", scale_factor=1e-4, _FillValue=-32768, zlib=True, complevel=1, shuffle=True,
                  chunksizes=(36, min(64, y.size), min(64, x.size)))
    _netcdf(folder / "delta" / f"ndvi_{area.name}_{year}.nc", sentinel.with_crs(made, area.epsg), {"NDVI": packed})


def _netcdf(path, data, encoding):
    """A file after the CF conventions, its grid mapping named where every reader looks for it."""
    days = {"time": {"units": "days since 1970-01-01", "dtype": "int32"}} if "time" in data.coords else {}
    for name in data.data_vars:
        data[name].attrs["grid_mapping"] = "spatial_ref"
    with atomic(path) as part:
        data.to_netcdf(part, engine="h5netcdf", encoding={**encoding, **days})
