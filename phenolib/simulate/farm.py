"""A simulated farm with soil stations on hilly ground: maps, profiles, weather, readings, and what truly drives them.

Water, heat and weather are those of the other simulated places; what is new is that the ground moves water and
sorts texture, and that crops in strips take water from other depths. The layout is that of the Cook Agronomy Farm
(Gasch et al. 2015, doi:10.1016/j.spasta.2015.04.001), in whose climate the farm lies; its numbers are project defaults.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.files import atomic, write_text
from phenolib.simulate import calendar, crop_tables, ground, land, profile, stations, true_dates, weather
from phenolib.simulate.calendar import stream
from phenolib.simulate.config import DEFAULT
from phenolib.simulate.crops import expit
from phenolib.simulate.plot_growth import damp
from phenolib.sources import farm_tables, soil_stations

LAT, CLIMATE, HEIGHT = 46.78, "northwest", 790.0
NAME = "farm"
RELIEF = 11.0, 170.0  # SD of the elevation, and reach of hills and hollows [m]
CELLS, MARGIN, BLOCK = 60, 20, 4  # along a side of the farm; around it, from where water comes; in a block of columns
CORNER = 14  # cells along the north-western corner that is not of the farm
WEST, SOUTH = 400_000.0, 5_000_000.0  # of the south-western cell [m]
STATIONS, OTHERS, APART = 27, 33, 45.0  # places with readings, with a profile alone, and their least distance [m]
DEPTHS = np.array(soil_stations.COOK_FARM)
CODES = {"WW": "winter wheat", "SW": "spring wheat", "SL": "dry beans"}  # in turn on each strip; of ``calendar.CROPS``
STRIPS = 6
ROOTS = {"WW": 1.7, "SW": 1.2, "SL": 0.8}  # how deep they go [m]
BASAL = {code: crop_tables.CROPS[crop].basal for code, crop in (
    ("WW", "winter_wheat"), ("SW", "spring_wheat"), ("SL", "dry_beans"))}
# what drives the water, and how much
RUN_ON = 0.12  # ln of the share of rain that arrives, for each SD of the wetness index
HOLDS = 0.6  # the same of the share of drainage that low ground holds back
CLAY = 22.0, 3.0, (10.0, 38.0)  # mean, SD and bounds [%]
LOOSE = 0.014  # SD of the pore space that nothing on a map tells [m³ m⁻³]
MULCH = 0.4  # share of the evaporation of bare soil below the straw of direct seeding
SORTED = 0.5  # correlation of clay with the wetness index
VIGOUR = 0.15  # SD among places and years of how much water a crop takes, as a share
COOLING = 0.45  # share of the sun's warmth that wet topsoil uses up
DEEP = 400.0  # thickness of the layer below those of ``profile`` [mm]
THICK = np.append(profile.THICK, DEEP / 1000)[:, None]
MIDDLES = np.append(profile.MIDDLES, profile.THICK.sum() + DEEP / 2000)
LOAM, FINE = ("silt loam", 18.0), ("silty clay loam", 34.0)  # texture classes and their clay, between which soils lie
SUMMER = 7, 8, 9  # months
CORES = ((20, 40), (50, 70), (80, 100), (110, 130), (140, 150))  # [cm]
HORIZONS = (("Ap", 0, 20), ("A", 20, 45), ("Bw1", 45, 75), ("Bw2", 75, 110), ("Bt", 110, 153))  # [cm]

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated farm with soil stations and known truth; seed {seed}, harvest years {first}-{last}
kinds:
  soil: {{path: "**/*_readings.csv*", reader: soil_stations, units: "m3 m-3, degC, dS m-1"}}
  farm: {{path: "farm/*_grids.csv*", reader: farm_tables, units: "m, degree, mS m-1"}}
"""


@dataclass(frozen=True)
class Columns:
    """Columns of soil, each (n,), vigour (n, year)."""

    wet: np.ndarray  # wetness index in SDs of the farm's
    clay: np.ndarray  # [%]
    sun: np.ndarray  # radiation on the slope as a share of that on level ground [-]
    loose: np.ndarray  # pore space beyond that of the texture [m³ m⁻³]
    leaves: np.ndarray  # row of the table of leaves
    vigour: np.ndarray  # of the crop, factor on the water that it takes [-]

    def join(self, *others):
        """All columns one after the other. returns Columns"""
        names = self.__dataclass_fields__
        return Columns(**{n: np.concatenate([getattr(one, n) for one in (self, *others)]) for n in names})

    def but(self, **changes):
        """The same columns with some properties changed; a number stands for all. returns Columns"""
        return replace(self, **{n: np.broadcast_to(value, self.wet.shape) for n, value in changes.items()})


def make(folder, *, config=DEFAULT):
    """Write the farm.

    folder   receives farm/farm_readings.csv.gz, farm_grids.csv.gz, farm_profiles.csv.gz, farm_bdensity.csv.gz,
             farm_weather.csv.gz and depths.csv, truth/farm.nc, truth/farm_effects.csv and archive.yml
    config   for the seed, ``warmer``, ``rain``, and the first two of ``years``
    """
    seed, folder = config.seed, Path(folder)
    first, last = config.years[0], min(config.years[0] + 1, config.years[1])
    sky = weather.make(stream(seed, NAME, "weather"), CLIMATE, LAT, (first, last), elevation=HEIGHT, rain=config.rain,
                       warmer=config.warmer).sel(time=slice(None, f"{last}-12-31"))
    maps = terrain(seed)
    places = placed(seed, maps)
    wanted = sky["time"].dt.year.values >= first
    columns, leaves, cases = arranged(seed, maps, places, sky, (first, last))
    grown = run(columns, leaves, sky)
    time = sky["time"].values[wanted]
    theta, warm = (grown[name][wanted] for name in ("theta", "soil_temperature"))  # (time, depth, column)
    write_readings(seed, folder, places, time, theta, warm)
    weather_ = sky[["rain", "t_max", "t_min"]].isel(time=wanted).round(1)
    farm_tables.write_weather(weather_, folder / NAME / f"{NAME}_weather.csv.gz")
    farm_tables.write_grid(seen(seed, maps, leaves, time, wanted, theta[..., len(cases) * STATIONS:], (first, last)),
                           folder / NAME / f"{NAME}_grids.csv.gz")
    write_soil(seed, folder / NAME, places)
    effects = true_effects(cases, columns, time, theta, warm, maps.attrs)
    write_text(folder / "truth" / "farm_effects.csv", true_dates.table(effects, list(effects[0])))
    write_truth(folder, maps, places, time, theta, warm)
    write_text(folder / "archive.yml", ARCHIVE.format(seed=seed, first=first, last=last))


def terrain(seed):
    """The ground of the farm: (y, x) Dataset of elevation [m], twi, wet (in SDs), sun, clay, plain (clay without what
    terrain does to it) [%], loose, run_on and strip; attrs: mean and sd of twi, and cell [m].

    TWI = ln(a / tan β), a the area that drains through a metre of contour, of flow in many directions (Freeman 1991,
    Comput. Geosci. 17:413), smoothed over neighbours. Radiation on a slope follows a sun of 45° in the south.
    """
    from scipy.ndimage import gaussian_filter

    size, inner = CELLS + 2 * MARGIN, slice(MARGIN, -MARGIN)
    far = ground.PIXEL * np.arange(size)
    height, reach = RELIEF
    wide = HEIGHT + height * ground.waves(stream(seed, NAME, "relief"), far, far[::-1], reach=reach, smoothness=2.5)
    steep = np.radians(ground.slope(wide))
    index = np.log(drained(wide) * ground.PIXEL / np.tan(np.maximum(steep, np.radians(0.5))))
    twi = gaussian_filter(index, 1.0)[inner, inner]
    south, east = np.gradient(wide, ground.PIXEL)  # rows go south
    fall = np.hypot(south, east)
    facing = np.divide(-south, fall, out=np.zeros_like(fall), where=fall > 0)  # 1: the slope falls to the south
    sun = (np.cos(steep) + np.sin(steep) * facing)[inner, inner]
    mean, sd = float(twi.mean()), float(twi.std())
    wet = (twi - mean) / sd
    at = ground.PIXEL * np.arange(CELLS)
    patchy, loose = (ground.waves(stream(seed, NAME, name), at, at[::-1], reach=near)
                     for name, near in (("clay", 120.0), ("loose", 40.0)))
    middle, spread, bounds = CLAY
    plain = middle + spread * np.sqrt(1 - SORTED**2) * patchy
    share = np.exp(RUN_ON * wet)
    data = dict(elevation=wide[inner, inner], twi=twi, wet=wet, sun=sun, clay=np.clip(plain + spread * SORTED * wet,
                *bounds), plain=np.clip(plain, *bounds), loose=LOOSE * loose, run_on=share / share.mean(),
                strip=np.broadcast_to(np.arange(CELLS) * STRIPS // CELLS, (CELLS, CELLS)))
    return xr.Dataset({name: (("y", "x"), values) for name, values in data.items()},
                      {"y": SOUTH + at[::-1], "x": WEST + at}, {"mean": mean, "sd": sd, "cell": ground.PIXEL})


def drained(elevation):
    """Cells that drain through each cell, itself among them; flow goes to all lower neighbours by slope. (y, x)"""
    rows, columns = elevation.shape
    high = np.pad(elevation, 1, constant_values=np.inf)
    area = np.pad(np.ones_like(elevation), 1)
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    move = np.array([i * (columns + 2) + j for i, j in steps])
    length = np.array([np.hypot(i, j) for i, j in steps])
    high, area = high.ravel(), area.ravel()
    order = np.argsort(-elevation.ravel(), kind="stable")
    for k in (order // columns + 1) * (columns + 2) + order % columns + 1:
        down = np.clip((high[k] - high[k + move]) / length, 0, None) ** 1.1
        if down.sum() > 0:
            area[k + move] += area[k] * down / down.sum()
    return area.reshape(rows + 2, columns + 2)[1:-1, 1:-1]


def placed(seed, maps):
    """Stations, and places with a profile alone: DataFrame of place, row, column, x, y, and the ground there."""
    rng = stream(seed, NAME, "places")
    rows = []
    while len(rows) < STATIONS + OTHERS:
        row, column = (int(v) for v in rng.integers(3, CELLS - 3, 2))
        if row + column < CORNER + 2:
            continue
        x, y = maps["x"].values[column] + rng.uniform(-4, 4), maps["y"].values[row] + rng.uniform(-4, 4)
        if all(np.hypot(x - one["x"], y - one["y"]) > APART for one in rows):
            here = maps.isel(y=row, x=column)
            kind = "sim-f" if len(rows) < STATIONS else "sim-p"
            rows.append({"place": f"{kind}{len(rows) + 1:02d}", "row": row, "column": column, "x": round(x, 2),
                         "y": round(y, 2), **{name: float(here[name]) for name in here.data_vars}})
    return pd.DataFrame(rows)


def arranged(seed, maps, places, sky, years):
    """All columns of soil in one: the stations as they are and in cases that are not, then the blocks of the map.

    The cases: no run-on and no drainage held back ("dry"), and no sorted clay either ("flat"); each phase of the
    rotation everywhere ("phase", 0–2); winter wheat or legumes everywhere in the last year, after the crop that was
    there before ("WW" and "SL").

    returns  Columns; leaves, a list of what ``grown_leaves`` gives; cases, {case: slice of the columns}
    """
    own, names = places[:STATIONS], ("wet", "clay", "sun", "loose")
    vigour = 1 + VIGOUR * stream(seed, NAME, "vigour").standard_normal((STATIONS, years[1] - years[0] + 1))
    true = Columns(*(own[n].to_numpy(float) for n in names), own["strip"].to_numpy(int), np.clip(vigour, 0.5, 1.5))
    blocks = maps.coarsen(y=BLOCK, x=BLOCK).mean()
    strip = maps["strip"].values[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK].ravel()
    coarse = Columns(*(blocks[n].values.ravel() for n in names), strip, np.ones((strip.size, vigour.shape[1])))
    sown = [rotation(k, years) for k in range(STRIPS)]
    found = {"true": true, "dry": true.but(wet=0.0), "flat": true.but(wet=0.0, clay=own["plain"].to_numpy())}
    found |= {("phase", k): true.but(leaves=k) for k in range(len(CODES))}
    for code in ("WW", "SL"):
        found[code] = true.but(leaves=true.leaves + len(sown))
        sown += [[*sown[k][:-1], code] for k in range(STRIPS)]
    cases = {case: slice(k * STATIONS, (k + 1) * STATIONS) for k, case in enumerate(found)}
    first, *others = found.values()
    return first.join(*others, coarse), [grown_leaves(seed, codes, sky, years) for codes in sown], cases


def rotation(strip, years):
    """Codes of the crops of a strip by harvest year."""
    return [list(CODES)[(strip + year) % len(CODES)] for year in range(years[0], years[1] + 1)]


def grown_leaves(seed, codes, sky, years):
    """Leaves and roots under the crops of some years: (time,) total and green leaf area [m² m⁻²], depth of the roots
    [m], and crop coefficient, as dict. A crop is sown on one day on the whole farm."""
    day = np.arange(sky.sizes["time"], dtype=float)
    epoch = sky["time"].values[0].astype("datetime64[D]")
    made = dict(total=np.zeros(day.size), green=np.zeros(day.size), reach=np.full(day.size, 0.05),
                basal=np.full(day.size, 1.0))
    for k, code in enumerate(codes):
        one = calendar.growths(seed, f"{NAME}-{code}", [CODES[code]], years, epoch)[k]
        area, green = calendar.leaf_area(one, day)
        grows = (day > one.half - one.crop_facts.rise) & (day < one.end)
        reach = ROOTS[code] * expit((day - one.half + 5) / 12) + (0.3 if code == "WW" else 0.05)
        made["reach"] = np.where(grows, np.clip(reach, 0, ROOTS[code]), made["reach"])
        made["total"], made["green"] = made["total"] + area, made["green"] + area * green
        made["basal"] = np.where(grows, BASAL[code], made["basal"])
    return made


def soils(clay, loose):
    """Hydraulic properties between those of two texture classes by clay, α and K_s in their logarithms; looser soil
    holds more water at every tension. returns Soil"""
    share = np.clip((clay - LOAM[1]) / (FINE[1] - LOAM[1]), -0.5, 1.25)
    one, two = (np.array(land.TEXTURES[name])[:, None] for name, _ in (LOAM, FINE))
    residual, saturated, _, n, _ = one + share * (two - one)
    _, _, alpha, _, conductivity = np.exp(np.log(one) + share * np.log(two / one))
    residual, saturated = residual + 0.5 * loose, saturated + loose
    soil = land.Soil(residual, saturated, alpha * 10.197, n, conductivity * 10, residual, residual,
                     np.full(share.shape, 15.0), np.broadcast_to(clay, share.shape))
    return replace(soil, capacity=land.moisture(10.0, soil), wilting=land.moisture(1500.0, soil))


def run(columns, leaves, sky):
    """Water and heat of columns of soil day by day.

    Seven layers are those of ``profile``; below them one of 40 cm takes what drains, and drains by K(θ), less where
    the ground is low. Rain arrives by run_on = e^{0.15·wet} over its mean on the farm. Roots take water from each
    layer as far as they reach, e^{−3z/reach}, and as it is wet. Sun warms wet topsoil less.

    columns  Columns of (n,)
    leaves   list of dict of (time,), see ``grown_leaves``
    sky      (time,) of ``weather.make``
    returns  dict: theta [m³ m⁻³] and soil_temperature [°C] at ``DEPTHS``, (time, depth, n); error, largest of the
             water balance of a day [mm]
    """
    soil, count, size = soils(columns.clay, columns.loose), columns.wet.size, sky.sizes["time"]
    stand = {name: np.stack([one[name] for one in leaves])[columns.leaves] for name in leaves[0]}  # (n, time)
    share, holds = np.exp(RUN_ON * columns.wet), np.exp(-HOLDS * columns.wet)
    share = share / np.exp(0.5 * RUN_ON**2)  # about its mean over the farm
    theta = np.concatenate([profile.start(soil, 0.4), (soil.wilting + 0.6 * (soil.capacity - soil.wilting))[None]])
    pond, snow = np.zeros(count), np.zeros(count)
    facts, start = weather.CLIMATES[CLIMATE], int(sky["time"].dt.dayofyear[0])
    heat = np.repeat(land.damped_wave(land.MIDDLES, start - facts.coldest - 91.3, facts.mean, facts.swing)[:, None],
                     count, 1)
    read_water = np.stack([np.interp(DEPTHS, MIDDLES, row) for row in np.eye(len(MIDDLES))], 1)
    read_heat = land.at_depths(DEPTHS)
    made = {name: np.empty((size, DEPTHS.size, count)) for name in ("theta", "soil_temperature")}
    season = np.clip(sky["time"].dt.year.values - sky["time"].dt.year.values[-1] - 1, -columns.vigour.shape[1], -1)
    error, sky = 0.0, {name: sky[name].values for name in ("rain", "t_mean", "radiation", "et0")}
    for t in range(size):
        total, green, reach, basal = (stand[name][:, t] for name in ("total", "green", "reach", "basal"))
        shape = np.exp(-3 * MIDDLES[:, None] / reach) * THICK * (MIDDLES[:, None] < reach + 0.1)
        asked = shape / shape.sum(0) * damp(land.tension(theta, soil))
        whole = asked.sum(0)
        water, air, et0 = share * sky["rain"][t], sky["t_mean"][t], sky["et0"][t]
        demand = basal * et0 * (1 - np.exp(-0.6 * green)) * np.clip(1.6 * whole, 0, 1) * columns.vigour[:, season[t]]
        asked = asked / np.maximum(whole, 1e-9)
        before = stored(theta, pond, snow)
        upper, pond, snow, flow = profile.step(
            theta[:-1], pond, snow, soil, water=water, temperature=air, transpiration=demand, uptake=asked[:-1],
            evaporation=1.1 * MULCH * et0 * np.exp(-0.5 * total))
        lowest, taken, out = below(theta[-1], soil, flow["drainage"], demand * asked[-1], holds)
        theta = np.concatenate([upper, lowest[None]])
        lost = flow["evaporation"] + flow["transpiration"] + flow["runoff"] + taken + out
        error = max(error, float(np.abs(stored(theta, pond, snow) - before - water + lost).max()))
        filled = np.clip((theta[0] - soil.residual) / (soil.saturated - soil.residual), 0, 1)
        sun = sky["radiation"][t] * columns.sun * (1 - COOLING * filled)
        heat = land.heat(heat, land.warmth(air, sun, total), total, snow)
        made["theta"][t], made["soil_temperature"][t] = read_water @ theta, read_heat @ heat
    return made | {"error": error}


def stored(theta, pond, snow):
    """All water of columns [mm]."""
    return (1000 * THICK * theta).sum(0) + pond + snow


def below(theta, soil, gained, asked, holds):
    """The lowest layer one day on: its water, what roots took, and what drained [mm d⁻¹]."""
    taken = np.minimum(asked, np.clip(theta - soil.wilting, 0, None) * DEEP)
    theta = theta + (gained - taken) / DEEP
    out = np.minimum(holds * land.conductivity(theta, soil), 0.3 * np.clip(theta - soil.residual, 0, None) * DEEP)
    out = np.maximum(out, (theta - soil.saturated) * DEEP)
    return theta - out / DEEP, taken, out


def density(depth):
    """Bulk density of the soil at a depth [m]; it grows downward. returns [g cm⁻³]"""
    return 1.22 + 0.14 * np.asarray(depth, float)


def bulk_ec(theta, clay, depth, salt=0.8):
    """Electrical conductivity of the bulk soil as in ``stations.state``, at depths [m]. returns [dS m⁻¹]"""
    pores = 1 - density(depth) / ground.PARTICLES
    return salt * (0.8 + 0.6 * depth) * pores * np.clip(1.4 * theta - 0.1, 0, 1) + 0.01 * clay * theta / pores


def write_readings(seed, folder, places, time, theta, warm):
    """What the sensors of the stations read, each with errors of its own, see ``stations.readings``."""
    found, units = [], {name: {"units": u, "long_name": text} for name, u, text, *_ in soil_stations.VARIABLES.values()}
    for k, place in enumerate(places["place"][:STATIONS]):
        values = theta[..., k], warm[..., k], bulk_ec(theta[..., k], places["clay"][k], DEPTHS)
        clean = xr.Dataset({name: (("time", "depth"), v, units[name]) for name, v in zip(units, values)},
                           {"time": time, "depth": DEPTHS})
        read = stations.readings(stream(seed, NAME, "sensors", place), clean)
        found.append(read.assign_coords(station=place))
    soil_stations.write(xr.concat(found, "station"), folder / NAME / f"{NAME}_readings.csv.gz")


def seen(seed, maps, leaves, time, wanted, theta, years):
    """The maps as instruments and images have them: Dataset as ``farm_tables.write_grid`` takes it.

    theta   (time, depth, block) true water of the blocks
    """
    found = maps[["elevation", "twi"]].copy()
    codes = [rotation(k, years) for k in range(STRIPS)]
    strip, shape = maps["strip"].values, (CELLS, CELLS)
    rng, clay = stream(seed, NAME, "instruments"), maps["clay"].values
    blocks, side = maps.coarsen(y=BLOCK, x=BLOCK).mean(), CELLS // BLOCK
    own, coarse = (soils(one["clay"].values.ravel(), one["loose"].values.ravel()) for one in (maps, blocks))
    for name, month in (("eca_fall", 10), ("eca_spring", 4)):
        day = int(np.flatnonzero(time == np.datetime64(f"{years[0]}-{month:02d}-01"))[0])
        filled = (theta[day] - coarse.residual) / (coarse.saturated - coarse.residual)  # (depth, block)
        fine = filled.reshape(-1, side, side).repeat(BLOCK, 1).repeat(BLOCK, 2).reshape(DEPTHS.size, -1)
        water = own.residual + fine * (own.saturated - own.residual)
        ec = bulk_ec(water, clay.ravel(), DEPTHS[:, None])[:4].mean(0).reshape(shape)  # 0.3–1.2 m
        found[name] = ("y", "x"), (100 * ec * np.exp(0.12 * rng.standard_normal(shape))).round(3)
    year = np.flatnonzero((time.astype("datetime64[Y]").astype(int) + 1970) == years[0])
    images = year[np.linspace(75, 290, 11).astype(int)]
    green = np.stack([one["green"][wanted][images] for one in leaves[:STRIPS]])  # (strip, image)
    vigour = np.exp(0.06 * maps["wet"].values + 0.08 * rng.standard_normal(shape))
    index = -0.2 + 0.7 * (1 - np.exp(-0.5 * green[strip] * vigour[..., None]))
    index = index + 0.02 * rng.standard_normal(index.shape)
    found["ndre"], found["ndre_sd"] = (("y", "x"), index.mean(-1).round(4)), (("y", "x"), index.std(-1).round(4))
    words = np.array(["Simulated silt loam, ridges", "Simulated silt loam, slopes", "Simulated silt loam, low ground"])
    found["soil_unit"] = ("y", "x"), words[np.digitize(maps["wet"].values, (-0.8, 0.8))]
    for k, year in enumerate(range(years[0], years[1] + 1)):
        found[f"crop_{year}"] = ("y", "x"), np.array([codes[s][k] for s in range(STRIPS)])[strip]
    corner = np.add.outer(np.arange(CELLS), np.arange(CELLS)) < CORNER
    found["elevation"] = found["elevation"].round(2).where(~corner)
    return found.assign(twi=found["twi"].round(4))


def write_soil(seed, folder, places):
    """Profiles of all places, and cores of the stations."""
    profiles, cores = [], []
    for place in places.itertuples():
        rng, about = stream(seed, NAME, "profile", place.place), {"station": place.place, "x": place.x, "y": place.y}
        own, edge = 0.06 * rng.standard_normal(), [0, *(h[2] + int(rng.integers(-4, 5)) for h in HORIZONS[:-1]), 153]
        for k, (horizon, *_) in enumerate(HORIZONS):
            top, bottom = edge[k] / 100, edge[k + 1] / 100
            profiles.append({**about, "series": "Simulated", "horizon": horizon, "top": top, "bottom": bottom,
                             "bulk_density": round(float(density((top + bottom) / 2)) + own
                                                   + 0.04 * rng.standard_normal(), 2),
                             "ph": round(4.9 + 0.45 * k + 0.2 * rng.standard_normal(), 2)})
        if place.Index < STATIONS:
            cores += [{**about, "top": a / 100, "bottom": b / 100,
                       "bulk_density": round(float(density((a + b) / 200)) + own + 0.03 * rng.standard_normal(), 3)}
                      for a, b in CORES]
    farm_tables.write_profiles(pd.DataFrame(profiles), folder / f"{NAME}_profiles.csv.gz")
    farm_tables.write_density(pd.DataFrame(cores), folder / f"{NAME}_bdensity.csv.gz")


def true_effects(cases, columns, time, theta, warm, about):
    """Planted strengths, and the effects that they have: differences between the farm and the same farm without them.

    returns  list of dict: driver, response, season ("year" or "summer", July to September), depth [m], value, unit,
             meaning
    """
    true, dry, flat = cases["true"], cases["dry"], cases["flat"]
    index = about["sd"] * columns.wet[true]  # wetness index from its mean over the farm
    clay = columns.clay[dry] - columns.clay[flat]
    year = time.astype("datetime64[Y]").astype(int) + 1970
    summer = np.isin(time.astype("datetime64[M]").astype(int) % 12 + 1, SUMMER)
    rows = [
        _effect("twi", "rain that arrives", RUN_ON / about["sd"], "ln for each unit of TWI", "planted"),
        _effect("twi", "drainage that is held back", HOLDS / about["sd"], "ln for each unit of TWI", "planted"),
        _effect("twi", "clay", CLAY[1] * SORTED / about["sd"], "% for each unit of TWI", "planted"),
        _effect("moist topsoil", "warmth of the sun", -COOLING, "share from dry to full", "planted")]
    rows += [_effect(code, "roots", depth, "m", "planted") for code, depth in ROOTS.items()]
    years = range(year[0], year[-1] + 1)
    rotations = [rotation(k, (years[0], years[-1])) for k in range(len(CODES))]

    def moved(values, first, second, of):
        """Slope through the origin of what a change does on what is changed, over the stations."""
        return float((of * (values[first] - values[second])).sum() / (of**2).sum())

    for season, days in (("year", np.ones_like(summer)), ("summer", summer)):
        water, warmth = theta[days].mean(0), warm[days].mean(0)  # (depth, column)
        by_year = [theta[days & (year == one)].mean(0) for one in years]
        for k, depth in enumerate(DEPTHS):
            def crop(code, one, k=k, by_year=by_year):
                phase = next(p for p in range(len(CODES)) if rotations[p][one] == code)
                return by_year[one][k, cases["phase", phase]].mean()

            apart = np.mean([crop("WW", one) - crop("SL", one) for one in range(len(years))])
            alone = by_year[-1][k, cases["WW"]].mean() - by_year[-1][k, cases["SL"]].mean()
            where, each = {"season": season, "depth": float(depth)}, "m3 m-3 for each unit of TWI"
            rows += [
                _effect("twi", "theta", moved(water[k], true, flat, index), each, "by water and by clay", **where),
                _effect("twi", "theta", moved(water[k], true, dry, index), each, "by water at the same clay", **where),
                _effect("clay", "theta", moved(water[k], dry, flat, clay), "m3 m-3 for each %", "at the same water",
                        **where),
                _effect("WW", "theta", apart, "m3 m-3", "less legume as the rotation has both", **where),
                _effect("WW", "theta", alone, "m3 m-3", "less legume after the same crop, last year", **where),
                _effect("theta", "soil_temperature", moved(warmth[k], true, flat, water[0, true] - water[0, flat]),
                        "degC for each m3 m-3", "of water at 0.3 m by the cooling of the topsoil", **where)]
    return rows


def _effect(driver, response, value, unit, meaning, season="", depth=""):
    return {"driver": driver, "response": response, "season": season, "depth": depth, "value": round(float(value), 6),
            "unit": unit, "meaning": meaning}


def write_truth(folder, maps, places, time, theta, warm):
    """True water and temperature at the stations, and true maps of clay and of the rain that arrives."""
    names = places["place"][:STATIONS].to_numpy(str)
    data = {name: (("station", "time", "depth"), values[..., :STATIONS].transpose(2, 0, 1).astype(np.float32),
                   {"units": units}) for name, values, units in (
                       ("theta", theta, "m3 m-3"), ("soil_temperature", warm, "degC"))}
    truth = xr.Dataset(data | {name: (("y", "x"), maps[name].values.astype(np.float32), {"units": units})
                               for name, units in (("clay", "%"), ("run_on", "1"))},
                       {"station": names, "time": time, "depth": DEPTHS, "y": maps["y"], "x": maps["x"]})
    with atomic(folder / "truth" / "farm.nc") as part:
        truth.to_netcdf(part, engine="h5netcdf", encoding={
            **{name: {"zlib": True, "complevel": 4} for name in truth},
            "time": {"units": "days since 2000-01-01", "dtype": "int32"}})
