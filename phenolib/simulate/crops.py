"""Crops that grow with the weather and the water of their fields: leaves, ripeness, height, roots and dates."""

from dataclasses import fields

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.simulate import crop_tables, land
from phenolib.simulate import weather as climate_of
from phenolib.simulate.crop_tables import CODES, CROPS, PLACES, REGIONS, Crop, calendar, rotation  # noqa: F401

ROOT_DEPTHS = np.array([0.05, 0.15, 0.30, 0.50, 0.80])  # [m]
HEAT_DEPTHS = np.array([0.05, 0.10, 0.20, 0.50, 1.00])  # [m]
ROOT_RATE, ROOT_LOSS, ROOT_DRY = 0.14, 0.006, 1.5  # r and m [1/day], μ of METHODS of root growth; project defaults
BY_DAY = 0.6  # share of the ageing that follows the season of the place, by length of day and choice of cultivar, and
# not the warmth of the year; set so that harvest years differ as they do in crop statistics
EVENTS = ("sowing", "emergence", "t_sen", "ripe", "harvest")
UNITS = dict(
    lai_green="m2 m-2", lai_total="m2 m-2", ripeness="1", canopy_water="m2 m-2", height="m", flowering="1",
    root_front="m", stress="1", et="mm d-1", evaporation="mm d-1", transpiration="mm d-1", runoff="mm d-1",
    drainage="mm d-1", irrigation="mm d-1", snow="mm", pond="mm", stored="mm", roughness="cm")
COVER = CROPS["catch_crop"]


def wang_engel(temperature, low, best, high):
    """Response of growth to temperature, 1 at the best and 0 at and beyond the limits.

    f = [2(T−T_n)^α·(T_o−T_n)^α − (T−T_n)^{2α}] / (T_o−T_n)^{2α}, α = ln 2 / ln((T_x−T_n)/(T_o−T_n))

    returns broadcast [-]. Wang & Engel (1998), Agric. Syst. 58:1.

    >>> wang_engel(np.array([0.0, 22.0, 35.0]), 0, 22, 35).round(3).tolist()
    [0.0, 1.0, 0.0]
    """
    power = np.log(2) / np.log((high - low) / (best - low))
    part = (np.clip(temperature, low, high) - low) ** power
    whole = (best - low) ** power
    return np.clip((2 * part * whole - part**2) / whole**2, 0, 1)


def plan(rng, climate, crops_by_year, years, origin):
    """Parameters of every season of fields, with what differs among fields drawn.

    rng            numpy Generator, or one per field, which makes a field independent of the others
    climate        (field,) names
    crops_by_year  (field, year) names
    origin         datetime64[D] that is day 0
    returns        dict of (field, season + 1): the numbers of ``Crop``, code, kind flags, ``ready`` [day], thermal
                   times of the field's cultivar, vigour [-] and wait [days]; of the gap before the season: ``weeds``
                   and ``cover``, most leaf area [m² m⁻²], and ``till`` [day]; the last season never begins
    """
    count, size = crops_by_year.shape
    drawn, gaps, no_till = [], [], []
    for one in rng if isinstance(rng, list) else [rng] * count:
        drawn.append(one.standard_normal((size, 4)))
        gaps.append(one.random((size, 6)))
        no_till.append(one.random())
    drawn, gaps = np.stack(drawn), np.stack(gaps)
    numbers = [f.name for f in fields(Crop) if f.name != "kind"]
    found = {name: np.zeros((count, size + 1)) for name in (*numbers, "code", "winter", "cut", "bare", "ready", "wait",
                                                            "vigour", "factor", "last")}
    found["ready"][:, -1] = np.inf
    for name in ("root_low", "root_best", "root_high", "rate", "brown", "flower_width", "depletion"):
        found[name][:, -1] = getattr(CROPS["fallow"], name)
    january = [(np.datetime64(f"{y}-01-01", "D") - origin).astype(int) for y in range(years[0] - 1, years[1] + 1)]
    for i, k in np.ndindex(count, size):
        crop = str(crops_by_year[i, k])
        facts, draw = CROPS[crop], drawn[i, k]
        for name in numbers:
            found[name][i, k] = getattr(facts, name)
        day, factor = calendar(str(climate[i]), crop)
        perennial = facts.kind in ("cut", "bare")
        winter = facts.kind == "winter"
        sown = january[k if winter else k + 1] + day + facts.sowing_sd * draw[0]
        found["ready"][i, k] = january[k + 1] - 184 + 2 if perennial else sown
        found["factor"][i, k] = factor = factor * (1 + 0.05 * draw[1])
        found["vigour"][i, k] = np.clip(1 + 0.12 * draw[2], 0.6, 1.35)
        found["wait"][i, k] = facts.wait * np.exp(0.7 * draw[3] - 0.245)
        found["last"][i, k] = january[k + 1] + facts.last
        for name in ("half", "flower", "sen", "mow", "flower_width"):
            found[name][i, k] *= factor
        found["rate"][i, k] /= factor
        found["code"][i, k] = CODES[crop]
        for kind in ("winter", "cut", "bare"):
            found[kind][i, k] = facts.kind == kind
    for i, k in np.ndindex(count, size):  # a perennial stays until the next crop is to be sown, or to the year's end
        if found["cut"][i, k] or found["bare"][i, k]:
            follows = found["ready"][i, k + 1] if k + 1 < size else np.inf
            same = k + 1 < size and crops_by_year[i, k] == crops_by_year[i, k + 1]
            end = january[k + 1] + 364
            found["last"][i, k] = end if same else min(end, follows - 10)
            if k and (found["cut"][i, k] or found["bare"][i, k]) and crops_by_year[i, k] == crops_by_year[i, k - 1]:
                found["ready"][i, k] = found["last"][i, k - 1] + 1
    found["leaf_area"] *= found["vigour"]
    return found | _gaps(found, climate, gaps, np.array(no_till), january)


def _gaps(found, climate, draw, no_till, january):
    """What stands between crops, and when the soil is worked: dict of weeds, cover and till, (field, season + 1).

    draw     (field, season, 6) and no_till (field,) uniform draws
    january  days of the first of January from the year before the first season
    """
    share, (low, high) = crop_tables.WEEDS
    catch = np.array([crop_tables.CATCH.get(str(name), crop_tables.RARELY) for name in climate])[:, None]
    stays = no_till < [crop_tables.NO_TILL.get(str(name), 0.05) for name in climate]
    lasting = (found["cut"] + found["bare"])[:, :-1] > 0
    ready, spring = found["ready"][:, :-1], (found["winter"][:, :-1] == 0) & ~lasting
    weeds = np.where(draw[..., 0] < share, low + (high - low) * draw[..., 1], 0.0) * ~lasting
    lost, (little, much) = crop_tables.VOLUNTEERS
    sown = spring & (draw[..., 2] < catch)
    cover = np.where(draw[..., 2] > 1 - lost, little + (much - little) * draw[..., 3], 0.0) * ~lasting
    cover = np.where(sown, COVER.leaf_area * (0.5 + 0.7 * draw[..., 3]), cover)
    autumn = spring & ~sown & (draw[..., 4] < crop_tables.AUTUMN)
    till = np.where(autumn, np.array(january[1:]) - 30 - 50 * draw[..., 5], ready - 8 - 12 * draw[..., 5])
    till = np.where(stays[:, None] | lasting, np.inf, till)
    ends = {"weeds": 0.0, "cover": 0.0, "till": np.inf}
    return {name: np.concatenate([value, np.full((len(value), 1), ends[name])], 1)
            for name, value in (("weeds", weeds), ("cover", cover), ("till", till))}


def grow(rng, weather, soil, crops_by_year, *, years, site=None, irrigated=None, dtype="float32"):
    """Grow the crops of fields through the years, day by day, together with the water and heat of their soils.

    Leaf area rises by the logistic of ``Crop`` over thermal time, held back by water stress; leaves brown, g(t) =
    1/(1+e^{(t−t_sen)/s}), over thermal time, in part that of a normal year, which stress and frost hasten; the standing
    leaf area falls only at harvest or mowing. A crop is sown on the first day after its farmer is ready on which the
    soil bears it and is warm enough, and harvested on a dry day after it is ripe. Winter cereals grow a little in
    autumn, and on after 30 cool days once days lengthen. Between crops weeds grow, or a catch crop after an early
    harvest, until the soil is worked; work roughens the soil and rain smoothes it. Roots: dL/dt = r·f_T·f_W·L·(1 −
    L/L_max(z)) behind a front that goes down by speed·f_T·f_W, less m·(1 + μ·dry)·L; they stop when the crop flowers
    or has no green leaves.

    rng            numpy Generator, or a list with one per field, which makes a field independent of the others
    weather        (time,) Dataset of ``weather.make``, or (site, time) of several of them after ``xr.concat``
    soil           Soil of (field,)
    crops_by_year  (field, year) names, keys of ``CROPS``
    years          first and last harvest year
    site           (field,) number of the field's site in ``weather``; None: the first
    irrigated      (field,) bool; None: no field is; rice stands in water anyway
    dtype          of the result
    returns        Dataset of (field, time) with units: lai_green, lai_total, ripeness (share of brown leaves),
                   canopy_water (LAI · water fraction; of cereals less
                   before stems have grown), height, flowering, root_front, stress (1: none, 0: full), et and
                   its parts, runoff, drainage, irrigation, snow, pond, stored, roughness (standard deviation of the
                   height of the soil surface), crop (code of ``CODES``, 0: none), mown;
                   theta (field, time, layer), soil_temperature (field, time, depth), root_length (field, time,
                   root_depth) [cm cm⁻³]; dates (field, season) of sowing, emergence, t_sen, ripe and harvest, missing
                   where there is none; the attribute water_balance is the largest error of a day [mm]
    raises         InputError for an unknown crop or shapes that do not fit

    Leaves, height and crop are those of the morning, water and heat those of the evening. Root growth as Wang & Engel
    (1998) for temperature; the rest of the forms are project defaults.
    """
    crops_by_year = np.atleast_2d(np.asarray(crops_by_year))
    count, size = crops_by_year.shape
    for crop in np.unique(crops_by_year):
        if str(crop) not in (planted := [name for name, facts in CROPS.items() if facts.kind != "cover"]):
            raise InputError(f"crop '{crop}' cannot be planted{near(str(crop), planted)}")
    if size != years[1] - years[0] + 1 or soil.n.shape != (count,):
        raise InputError(f"crops_by_year is {crops_by_year.shape}; it must be (field, year) for {soil.n.size} fields "
                         f"and harvest years {years[0]}-{years[1]}")
    weather = weather if "site" in weather.dims else weather.expand_dims("site")
    site = np.zeros(count, int) if site is None else np.asarray(site, int)
    climate = np.broadcast_to(weather.climate.values, weather.sizes["site"])[site]
    time = pd.DatetimeIndex(weather.time.values)
    sky = {name: weather[name].transpose("time", "site").values for name in ("rain", "t_mean", "t_min", "radiation",
                                                                              "et0")}
    sky["normal"] = np.stack([climate_of.normal(str(name), time.day_of_year) for name in np.broadcast_to(
        weather.climate.values, weather.sizes["site"])], 1)
    water_given = np.zeros(count, bool) if irrigated is None else np.asarray(irrigated, bool)
    every = plan(rng, climate, crops_by_year, years, time[0].to_numpy().astype("datetime64[D]"))
    fields_state = Fields(every, soil, climate, float(time[0].day_of_year))
    kept, worst = {}, 0.0
    for t, year_day in enumerate(time.day_of_year):
        row = fields_state.day(t, year_day, {name: value[t][site] for name, value in sky.items()}, water_given)
        worst = max(worst, row.pop("error"))
        for name, value in row.items():
            if name not in kept:
                kept[name] = np.empty((len(time), *value.shape), value.dtype if value.dtype.kind in "bi" else dtype)
            kept[name][t] = value
    shapes = dict(theta=("layer", "m3 m-3"), soil_temperature=("depth", "degC"), root_length=("root_depth", "cm cm-3"))
    data = {}
    for name, value in kept.items():
        if name in shapes:
            data[name] = (("field", "time", shapes[name][0]), value.transpose(1, 0, 2), {"units": shapes[name][1]})
        else:
            data[name] = (("field", "time"), value.T, {"units": UNITS[name]} if name in UNITS else {})
    dates = time.values[np.clip(fields_state.events, 0, None)]
    dates[fields_state.events < 0] = np.datetime64("NaT")
    data |= {name: (("field", "season"), dates[k]) for k, name in enumerate(EVENTS)}
    return xr.Dataset(data, dict(
        time=time, season=np.arange(years[0], years[1] + 1), layer=["0-10 cm", "10-100 cm"], depth=HEAT_DEPTHS,
        root_depth=ROOT_DEPTHS, planted=(("field", "season"), crops_by_year.astype(str))),
        {"water_balance": float(worst)})


class Fields:
    """The state of fields on one day: water, heat, and the crop on each; all arrays are (field,).

    every       dict of (field, season + 1) of ``plan``
    soil        Soil of (field,)
    climate     (field,) names, for the temperature of the soil at the beginning
    year_day    of the first day
    """

    def __init__(self, every, soil, climate, year_day):
        count = soil.n.size
        self.every, self.soil = every, soil
        self.now = {name: value[:, 0].copy() for name, value in every.items()}
        self.season, self.stage = np.zeros(count, int), np.zeros(count, int)  # 0 bare, 1 sown, 2 grows, 3 ripe
        self.events = np.full((len(EVENTS), count, every["code"].shape[1] - 1), -1)
        self.water = land.start(soil)
        normals = [climate_of.CLIMATES[str(name)] for name in climate]
        self.heat = np.stack([land.damped_wave(land.MIDDLES, year_day - n.coldest - 91.3, n.mean, n.swing)
                              for n in normals], 1)
        for name in ("germ", "chill", "dev", "age", "leaves", "autumn", "frosted", "dried", "front", "left"):
            setattr(self, name, np.zeros(count))
        self.outflow = np.array([crop_tables.DRAINS.get(str(name), np.inf) for name in climate])
        self.rough, self.worked = np.full(count, crop_tables.ROUGH["harvest"]), np.zeros(count, bool)
        self.most, self.warmth, self.alive = self.now["weeds"].copy(), np.zeros(count), np.ones(count)
        self.roots = np.zeros((len(ROOT_DEPTHS), count))
        self.read_heat, self.read_roots = land.at_depths(HEAT_DEPTHS), land.at_depths(ROOT_DEPTHS)

    def note(self, event, which, t):
        """Keep a day as that of an event of fields' current season."""
        which = np.flatnonzero(which)
        self.events[EVENTS.index(event), which, self.season[which]] = t

    def day(self, t, year_day, sky, irrigated):
        """One day on; leaves are those of the morning, water is that of the evening.

        returns  dict of what ``grow`` keeps, and the largest error of the water balance
        """
        now, soil = self.now, self.soil
        total = self.leaves + self.autumn
        brown = np.where(now["cut"] + now["bare"] > 0, 0.0, expit((self.age - now["sen"]) / now["brown"]))
        brown = np.where(self.stage >= 2, brown, 0.0)
        green = np.where(now["winter"] > 0, self.autumn * (1 - self.frosted) + self.leaves,
                         total * (1 - self.frosted)) * (1 - brown)
        cover = self.most * self.alive * expit(COVER.rate * (self.warmth - COVER.half)) * (self.stage == 0)
        plant, total, green = total, total + cover, green + cover
        front = np.where(cover > 0.3, COVER.root_depth, self.front)
        k, uptake, lost = land.stress(self.water, soil, front, now["depletion"])
        # water
        flooded = (now["flood"] > 0) & (self.stage >= 1) & ((now["bare"] > 0) | (
            (self.dev >= 0.25 * now["half"]) & (self.age < now["sen"] - 150)))
        target = np.where(flooded, now["flood"], 0.0)
        k = np.where(flooded & (self.water.pond > 0), 1.0, k)
        thirsty = irrigated & (self.stage == 2) & (now["bare"] == 0) & (brown < 0.3) & (green > 0.2) & (k < 0.98)
        germinates = irrigated & (self.stage == 1) & (self.water.theta[0] < 0.5 * (soil.capacity + soil.wilting))
        given = np.where(thirsty, np.minimum(lost, 40.0), np.where(germinates, 15.0, 0.0))
        given = np.where(flooded, np.clip(target - self.water.pond, 0, 60), given)
        stands = self.stage >= 2
        flowering = np.exp(-(((self.dev - now["flower"]) / np.maximum(now["flower_width"], 1)) ** 2))
        morning = dict(
            flowering=np.where(stands & (now["bare"] == 0), flowering, 0.0), stress=np.where(stands, k, 1.0),
            height=now["height"] * np.clip(plant / np.maximum(now["leaf_area"], 1e-9), 0, 1) ** 0.8 + np.clip(
                cover / COVER.leaf_area, 0, 1) * COVER.height,
            crop=np.where(self.stage >= 1, now["code"], CODES["catch_crop"] * (cover > 0.3)).astype(np.int8),
            roughness=self.rough.copy())
        before = land.stored(self.water)
        self.water, flow = land.step(
            self.water, soil, rain=sky["rain"], temperature=sky["t_mean"],
            evaporation=1.1 * sky["et0"] * np.exp(-0.5 * total),
            transpiration=now["basal"] * sky["et0"] * (1 - np.exp(-0.6 * green)) * k, uptake=uptake,
            dam=np.where(flooded, target, 3.0), irrigation=given, seal=np.where(flooded, 4.0, np.inf),
            outflow=self.outflow)
        after = land.stored(self.water)
        et = flow["evaporation"] + flow["transpiration"]
        error = np.abs(after - before - sky["rain"] - given + et + flow["runoff"] + flow["drainage"]).max()
        self.heat = land.heat(self.heat, land.warmth(sky["t_mean"], sky["radiation"], total), total, self.water.snow)
        mown = self.develop(t, year_day, sky, k, green - cover)
        self.grow_roots(green - cover)
        self.work(t, sky)
        self.begin_and_end(t, year_day, sky, brown)
        share = np.where(total > 0, 1 - green / np.maximum(total, 1e-9), 0.0)
        self.dried += (share - self.dried) / 5
        begin, done = 1.1 * now["half"], 0.85 * now["flower"]  # stems grow until the ears are out
        stems = now["stems"] * (1 - np.clip((self.dev - begin) / np.maximum(done - begin, 1), 0, 1))
        return dict(
            lai_green=green, lai_total=total, ripeness=share,
            canopy_water=total * (0.82 - 0.67 * self.dried) * (1 - stems * stands),
            root_front=self.front, et=et, evaporation=flow["evaporation"], transpiration=flow["transpiration"],
            runoff=flow["runoff"], drainage=flow["drainage"], irrigation=given, snow=self.water.snow,
            pond=self.water.pond, stored=after, theta=self.water.theta.T, root_length=self.roots.T, mown=mown,
            soil_temperature=(self.read_heat @ self.heat).T, error=error, **morning)

    def develop(self, t, year_day, sky, k, green):
        """Emergence, leaves, age and mowing. returns (field,) bool, mown"""
        now, soil = self.now, self.soil
        winter, cut, annual = now["winter"] > 0, now["cut"] > 0, (now["winter"] + now["cut"] + now["bare"]) == 0
        moist = (self.water.theta[0] - soil.wilting) / (0.3 * (soil.capacity - soil.wilting))
        self.germ += np.where(self.stage == 1, np.clip(self.heat[0] - now["base"], 0, None) * np.clip(moist, 0.3, 1), 0)
        out = (self.stage == 1) & (self.germ >= now["emerge"])
        self.note("emergence", out, t)
        self.stage[out] = 2
        self.leaves = np.where(out, now["leaf_area"] * expit(-now["rate"] * now["half"]), self.leaves)
        self.autumn = np.where(out & winter, 0.03, self.autumn)
        stands = self.stage >= 2
        warm = np.where(stands, np.clip(np.minimum(sky["t_mean"], now["cap"]) - now["base"], 0, None), 0.0)
        self.chill += (self.stage >= 1) & winter & (sky["t_mean"] > -2) & (sky["t_mean"] < 11)
        spring = (self.chill >= 30) & (year_day < 220)
        go = np.where(~winter | spring, warm, 0.0)
        self.dev += go
        brown_soon = annual & stands & (self.age > now["sen"] - 2 * now["brown"])  # then cold does not hold it back
        usual = np.clip(np.minimum(sky["normal"], now["cap"]) - now["base"], 0, None) * stands * (~winter | spring)
        ageing = (1 - BY_DAY) * go + BY_DAY * usual
        self.age += np.maximum(ageing * (1 + 0.10 * (1 - k)), 6.0 * brown_soon)
        self.autumn = np.where(winter & ~spring, logistic(self.autumn, now["autumn"], 0.018 * warm * k), self.autumn)
        leafing = cut | (self.dev < 1.15 * now["flower"])
        self.leaves = logistic(self.leaves, now["leaf_area"] - self.autumn, now["rate"] * go * np.sqrt(k) * leafing)
        # frost browns the leaves of winter crops and meadows for a while, and kills those of a grown summer crop
        cold = np.clip(now["frost"] - sky["t_min"], 0, None)
        self.frosted = np.clip(self.frosted * np.exp(-warm / 120) + 0.03 * cold * (winter | cut) * stands, 0, 0.85)
        to_go = np.clip(now["sen"] + 3.5 * now["brown"] - self.age, 0, None)
        killed = annual & stands & (self.dev > now["half"])
        self.age += np.where(killed, 0.35 * np.clip(cold / 2, 0, 1) * to_go, 0.0)
        mown = cut & stands & (self.dev >= now["mow"]) & (sky["rain"] < 1) & (year_day > 90) & (year_day < 300)
        self.leaves = np.where(mown, np.minimum(self.leaves, now["stubble"]), self.leaves)
        self.dev[mown] = 0
        return mown

    def grow_roots(self, green):
        """Root front and root length in every depth."""
        now = self.now
        feels = wang_engel(self.read_roots @ self.heat, now["root_low"], now["root_best"], now["root_high"])
        pull = np.log(np.maximum(land.tension(self.water.theta, self.soil), 50.0) / 50.0) / np.log(30.0)
        moist = np.clip(1 - pull, 0, 1)  # (layer, field): 1 above −50 kPa, log-linear to 0 at −1500 kPa
        moist_at = np.where(ROOT_DEPTHS[:, None] <= 0.1, moist[0], moist[1])
        fed = (green > 0.1 * now["leaf_area"]) | (self.dev < now["half"])
        grows = (self.stage == 2) & fed & ((now["cut"] > 0) | (self.dev < 1.1 * now["flower"])) & (now["bare"] == 0)
        wet = np.maximum(moist[1], np.where(self.front < 0.1, moist[0], 0))
        front = self.front + now["root_speed"] * feels[2] * wet * grows
        self.front = np.where(grows, np.clip(front, 0.03, now["root_depth"]), self.front)
        most = now["root_most"] * np.exp(-4 * ROOT_DEPTHS[:, None] / np.maximum(now["root_depth"], 0.1))
        here = grows & (self.front >= ROOT_DEPTHS[:, None])
        roots = np.where(here, np.maximum(self.roots, 0.02 * most), self.roots)
        rise = ROOT_RATE * feels * moist_at * np.clip(1 - roots / np.maximum(most, 1e-9), 0, 1)
        loss = np.where(self.stage >= 2, ROOT_LOSS, 4 * ROOT_LOSS) * (1 + ROOT_DRY * (1 - moist_at))
        self.roots = roots * (1 + np.where(here, rise, 0.0) - loss)

    def bears(self):
        """Whether the topsoil is dry enough for machines. returns (field,) bool"""
        return self.water.theta[0] < self.soil.capacity + 0.5 * (self.soil.saturated - self.soil.capacity)

    def work(self, t, sky):
        """Weeds or a catch crop between crops, the working of the soil, and rain on it."""
        now, bare = self.now, self.stage == 0
        self.warmth += np.where(bare, np.clip(sky["t_mean"] - COVER.base, 0, 25), 0.0)
        self.alive *= 1 - np.clip(0.06 * (COVER.frost - sky["t_min"]), 0, 0.9)
        gone = self.alive < 0.05  # weeds come again
        self.most, self.warmth = np.where(gone, now["weeds"], self.most), np.where(gone, 0.0, self.warmth)
        self.alive = np.where(gone, 1.0, self.alive)
        least = crop_tables.ROUGH["least"]
        fallen = np.where(sky["t_mean"] > 0, sky["rain"], 0.0)
        self.rough = least + (self.rough - least) * np.exp(-fallen / crop_tables.SMOOTHING)
        late = t - now["till"]
        tilled = bare & ~self.worked & (late >= 0) & ((self.bears() & (sky["rain"] < 4)) | (late >= 20))
        self.worked |= tilled
        self.rough = np.where(tilled, crop_tables.ROUGH["ploughed"], self.rough)
        self.most = np.where(tilled, now["weeds"], self.most)
        self.warmth = np.where(tilled, 0.0, self.warmth)

    def begin_and_end(self, t, year_day, sky, brown):
        """Sowing, the events of ripening, and harvest, after which the next season of the field waits."""
        now = self.now
        lasting = (now["cut"] + now["bare"]) > 0
        due = (self.stage == 0) & (t >= now["ready"])
        warm = (now["winter"] > 0) | (self.heat[1] > now["base"] + 1)
        sown = due & (lasting | (self.bears() & warm & (sky["rain"] < 4)) | (t >= now["ready"] + 21))
        self.note("sowing", sown & ~lasting, t)
        self.stage[sown] = np.where(lasting[sown], 2, 1)
        self.leaves[sown] = np.where(lasting, now["stubble"], 0.0)[sown]
        bed = np.where(now["winter"] > 0, crop_tables.ROUGH["clods"], crop_tables.ROUGH["seedbed"])
        bed = np.where(np.isfinite(now["till"]), bed, crop_tables.ROUGH["drilled"])
        self.rough = np.where(sown, np.where(lasting, crop_tables.ROUGH["least"], bed), self.rough)
        self.front = np.where(sown & (now["cut"] > 0), now["root_depth"], self.front)
        grown, k = ~lasting & (self.stage == 2), np.arange(len(t_sen := self.events[EVENTS.index("t_sen")]))
        last = np.minimum(self.season, t_sen.shape[1] - 1)
        self.note("t_sen", grown & (brown >= 0.5) & (t_sen[k, last] < 0), t)
        ripe = grown & (brown >= now["ripe"])
        self.note("ripe", ripe, t)
        self.stage[ripe] = 3
        self.left = np.where(ripe, now["wait"], self.left - (sky["rain"] < 2))
        done = (self.stage == 3) & (self.left <= 0) & (sky["rain"] < 1)
        done |= (self.season < self.events.shape[2]) & (t >= now["last"])
        if not done.any():
            return
        which = np.flatnonzero(done)
        code = now["code"][which]
        self.season[which] += 1
        for name, value in self.every.items():
            now[name][which] = value[which, self.season[which]]
        ends = which[~(lasting[which] & (now["code"][which] == code))]  # a meadow goes on into the next year
        crops = ends[~lasting[ends]]
        self.events[EVENTS.index("harvest"), crops, self.season[crops] - 1] = t
        self.stage[ends] = 0
        for name in ("germ", "chill", "dev", "age", "leaves", "autumn", "frosted", "front", "left"):
            getattr(self, name)[ends] = 0
        self.rough[crops] = crop_tables.ROUGH["harvest" if year_day < crop_tables.LATE else "ruts"]
        early = (now["cover"][ends] > 0) & (150 < year_day <= crop_tables.LATEST)
        catch = crop_tables.SOWN["catch crop" if year_day < crop_tables.LATE else "late"]
        wait = np.where(now["cover"][ends] > 1, catch, crop_tables.SOWN["volunteers"])
        self.rough[ends] = np.where(early & (now["cover"][ends] > 1), crop_tables.ROUGH["clods"], self.rough[ends])
        self.most[ends] = np.where(early, now["cover"][ends], now["weeds"][ends])
        self.warmth[ends], self.alive[ends], self.worked[ends] = wait * early, 1.0, False


def logistic(value, most, step):
    """A logistic one step on, exactly: most / (1 + (most/value − 1)·e^{−step}). returns like ``value``"""
    value = np.asarray(value, float)
    some = (value > 0) & (most > value)
    ratio = np.divide(most, value, out=np.ones_like(value), where=some) - 1
    return np.where(some, most / (1 + ratio * np.exp(-step)), value)


def expit(x):
    """1 / (1 + e^{−x}) without overflow. returns like ``x``"""
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
