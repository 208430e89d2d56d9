"""Crops that grow with the weather and the water of their fields: leaves, ripeness, height, roots and dates."""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.simulate import land
from phenolib.simulate import weather as climate_of


@dataclass(frozen=True)
class Crop:
    """How a crop grows. Thermal times [°C d] count from emergence, of winter cereals from the lengthening of days.

    Project defaults, set so that dates of normal years look like those that crop statistics report; they are not
    measurements. Sowing: the spread among fields of a district is near two weeks.
    """

    kind: str  # annual, winter (sown the year before), cut (perennial) or bare
    sow_at: float = 12.0  # normal temperature on the mean sowing day [°C]
    sowing_sd: float = 12.0  # among fields [days]
    base: float = 0.0  # base temperature of development [°C]
    cap: float = 30.0  # warmer days count as this [°C]
    emerge: float = 100.0  # from sowing to emergence, in the warmth of the topsoil [°C d]
    half: float = 500.0  # to half of the leaf area, t₁, without stress [°C d]
    rate: float = 0.010  # r₁ of the logistic rise [1/(°C d)]
    flower: float = 800.0  # to the middle of flowering, or of a tassel [°C d]
    flower_width: float = 60.0  # [°C d]
    sen: float = 1400.0  # to half of the leaves brown, t_sen [°C d]
    brown: float = 55.0  # s of the browning [°C d]
    ripe_by: float = 250.0  # day of year by which cultivars fit for a place have half of their leaves brown
    ripe: float = 0.95  # share of brown leaves of a ripe crop [-]
    wait: float = 9.0  # from ripe leaves to harvest, mean [days]
    last: float = 330.0  # day of year of the last harvest
    leaf_area: float = 5.0  # LAI_max [m² m⁻²]
    stubble: float = 0.0  # LAI that mowing leaves [m² m⁻²]
    autumn: float = 0.0  # LAI of a winter cereal in autumn [m² m⁻²]
    mow: float = np.inf  # from cut to cut [°C d]
    frost: float = -2.0  # lowest temperature that the leaves bear [°C]
    height: float = 1.0  # of the plant [m]
    basal: float = 1.15  # crop coefficient of a closed canopy [-]
    depletion: float = 0.55  # p: share of the soil water taken without stress [-]
    root_depth: float = 1.0  # [m]
    root_speed: float = 0.013  # of the root front at best temperature [m d⁻¹]
    root_most: float = 3.0  # root length density near the surface [cm cm⁻³]
    root_low: float = 0.0  # T_n, T_o and T_x of root growth [°C]
    root_best: float = 22.0
    root_high: float = 35.0
    flood: float = 0.0  # depth of standing water [mm]


MAIZE = dict(root_low=8.0, root_best=30.0, root_high=42.0)
CROPS = {
    "corn": Crop("annual", 12.3, 10, 8, 30, 55, 335, 0.0125, 780, 55, 1480, 55, 256, wait=13, frost=-1.5, height=2.6,
                 basal=1.2, root_depth=1.2, root_speed=0.016, **MAIZE),
    "soybean": Crop("annual", 16.0, 12, 8, 30, 55, 410, 0.0115, 800, 120, 1420, 50, 258, wait=9, height=0.95,
                    depletion=0.5, root_most=2.0, **MAIZE),
    "rice": Crop("annual", 15.2, 12, 9, 32, 70, 560, 0.009, 1150, 70, 1600, 60, 260, wait=13, leaf_area=5.5, frost=-1.0,
                 basal=1.2, depletion=0.2, root_depth=0.4, root_most=4.0, flood=80, **MAIZE),
    "winter_wheat": Crop("winter", 12.6, 12, 0, 26, 110, 560, 0.009, 1130, 60, 1590, 60, wait=8, last=260,
                         leaf_area=4.8, autumn=0.9, frost=-8, height=0.85, root_depth=1.2, root_most=4.0),
    "winter_barley": Crop("winter", 13.8, 10, 0, 26, 100, 500, 0.009, 950, 60, 1370, 55, wait=7, last=250,
                          leaf_area=4.5, autumn=1.1, frost=-7, height=0.85, root_depth=1.2, root_most=4.0),
    "spring_wheat": Crop("annual", 6.3, 11, 0, 26, 105, 450, 0.010, 850, 60, 1400, 60, 205, wait=10, last=270,
                         leaf_area=4.2, frost=-8, height=0.85, root_depth=1.1, root_most=4.0),
    "dry_beans": Crop("annual", 15.0, 11, 8, 30, 55, 340, 0.014, 480, 80, 950, 45, 238, last=300, leaf_area=3.6,
                      frost=-1, height=0.5, depletion=0.45, root_depth=0.7, root_most=1.8, **MAIZE),
    "alfalfa": Crop("cut", base=4, rate=0.016, flower=500, mow=500, leaf_area=4.8, stubble=0.35, frost=-5, height=0.7,
                    root_depth=1.5, root_most=1.5),
    "tomato": Crop("annual", 14.5, 14, 10, 32, 25, 420, 0.012, 600, 150, 1230, 80, 225, ripe=0.6, wait=8, last=310,
                   leaf_area=4.0, frost=0, height=0.6, depletion=0.4, root_depth=0.8, root_most=1.8, **MAIZE),
    "cotton": Crop("annual", 18.0, 11, 14, 34, 45, 560, 0.011, 800, 150, 1330, 60, 258, wait=16, last=340,
                   leaf_area=4.2, frost=0, height=1.1, depletion=0.6, root_depth=1.1, root_most=1.5, **MAIZE),
    "sugar_beet": Crop("annual", 8.0, 9, 3, 28, 90, 600, 0.008, 5000, 60, 2350, 200, 325, ripe=0.12, wait=20, last=335,
                       frost=-6, height=0.55, root_depth=1.1, root_most=2.0),
    "potato": Crop("annual", 9.5, 10, 4, 26, 185, 330, 0.012, 480, 90, 1300, 70, 244, ripe=0.9, wait=13, last=310,
                   leaf_area=4.5, frost=-1, height=0.65, depletion=0.35, root_depth=0.6, root_most=2.0),
    "grass": Crop("cut", base=3, rate=0.010, flower=9000, mow=650, leaf_area=4.2, stubble=1.2, frost=-9, height=0.35,
                  basal=1.0, root_depth=0.7, root_most=6.0),
    "water": Crop("bare", leaf_area=0.0, flood=300, basal=1.05, root_most=0.0),
    "fallow": Crop("bare", leaf_area=0.0, root_most=0.0),
}
CODES = {name: k + 1 for k, name in enumerate(CROPS)}  # 0: between crops
REGIONS = {  # share and rotation, share of irrigated fields; a region bears the name of its climate
    "midwest": (((0.6, ("corn", "soybean")), (0.15, ("corn",)), (0.1, ("corn", "soybean", "winter_wheat")),
                 (0.08, ("alfalfa",)), (0.07, ("grass",))), 0.2),
    "plains": (((0.35, ("winter_wheat",)), (0.2, ("winter_wheat", "corn", "fallow")), (0.25, ("corn", "soybean")),
                (0.1, ("alfalfa",)), (0.1, ("grass",))), 0.3),
    "north": (((0.45, ("spring_wheat", "soybean")), (0.3, ("dry_beans", "corn", "spring_wheat")),
               (0.15, ("sugar_beet", "spring_wheat")), (0.1, ("grass",))), 0.0),
    "northwest": (((0.5, ("winter_wheat", "spring_wheat", "dry_beans")), (0.25, ("winter_wheat", "fallow")),
                   (0.15, ("winter_wheat", "dry_beans")), (0.1, ("grass",))), 0.05),
    "california": (((0.3, ("rice",)), (0.2, ("alfalfa",)), (0.2, ("tomato", "winter_wheat")), (0.15, ("corn",)),
                    (0.15, ("cotton", "tomato"))), 1.0),
    "delta": (((0.4, ("rice", "soybean")), (0.25, ("soybean",)), (0.2, ("cotton", "corn")), (0.15, ("rice",))), 0.7),
    "florida": (((0.4, ("corn", "dry_beans")), (0.3, ("rice", "fallow")), (0.3, ("grass",))), 0.8),
    "flanders": (((0.3, ("winter_wheat", "corn", "potato")), (0.25, ("winter_wheat", "sugar_beet", "winter_barley")),
                  (0.25, ("corn",)), (0.2, ("grass",))), 0.05),
    "england": (((0.4, ("winter_wheat", "winter_barley", "sugar_beet")), (0.3, ("winter_wheat", "spring_wheat")),
                 (0.3, ("grass",))), 0.0),
    "korea": (((0.8, ("rice",)), (0.2, ("soybean", "potato"))), 1.0),
    "yellow_river": (((0.5, ("winter_wheat",)), (0.3, ("cotton",)), (0.2, ("rice",))), 0.8),
}
PLACES = {  # mean sowing day of year and factor on thermal times, where the rule by climate does not fit a place
    ("flanders", "winter_wheat"): (292, 1.12), ("flanders", "winter_barley"): (272, 1.08),
    ("flanders", "corn"): (118, 0.65), ("england", "winter_wheat"): (280, 1.14),
    ("england", "winter_barley"): (268, 1.10), ("midwest", "winter_wheat"): (274, 0.97),
    ("plains", "winter_wheat"): (275, 0.95), ("delta", "winter_wheat"): (300, 0.97),
    ("california", "winter_wheat"): (322, 1.0), ("yellow_river", "winter_wheat"): (281, 0.95),
    ("california", "rice"): (128, 1.0), ("california", "corn"): (110, 1.1), ("california", "tomato"): (108, 1.0),
    ("california", "cotton"): (105, 0.95), ("delta", "corn"): (95, 1.0), ("delta", "soybean"): (126, 1.22),
    ("delta", "rice"): (108, 1.02), ("delta", "cotton"): (122, 0.98), ("korea", "rice"): (145, 0.95),
    ("korea", "soybean"): (155, 1.1), ("yellow_river", "cotton"): (118, 0.95),
}
ROOT_DEPTHS = np.array([0.05, 0.15, 0.30, 0.50, 0.80])  # [m]
HEAT_DEPTHS = np.array([0.05, 0.10, 0.20, 0.50, 1.00])  # [m]
ROOT_RATE, ROOT_LOSS, ROOT_DRY = 0.14, 0.006, 1.5  # r and m [1/day], μ of METHODS of root growth; project defaults
EVENTS = ("sowing", "emergence", "t_sen", "ripe", "harvest")
UNITS = dict(
    lai_green="m2 m-2", lai_total="m2 m-2", ripeness="1", canopy_water="m2 m-2", height="m", flowering="1",
    root_front="m", stress="1", et="mm d-1", evaporation="mm d-1", transpiration="mm d-1", runoff="mm d-1",
    drainage="mm d-1", irrigation="mm d-1", snow="mm", pond="mm", stored="mm")


def rotation(rng, region, years):
    """Crops of one field by harvest year: a rotation of its region, begun anywhere.

    rng      numpy Generator
    region   one of ``REGIONS``
    years    first and last harvest year
    returns  (year,) names, keys of ``CROPS``
    raises   InputError for an unknown region
    """
    if region not in REGIONS:
        raise InputError(f"region '{region}' is not known{near(region, REGIONS)}")
    shares = np.array([share for share, _ in REGIONS[region][0]])
    turn = REGIONS[region][0][rng.choice(len(shares), p=shares / shares.sum())][1]
    begin = rng.integers(len(turn))
    return np.array([turn[(begin + k) % len(turn)] for k in range(int(years[1]) - int(years[0]) + 1)])


def calendar(climate, crop):
    """Mean sowing day and factor on thermal times of a crop where the climate is such.

    Farmers sow when the normal temperature passes that of the crop, and choose cultivars of which half of the leaves
    are brown by a day of the crop's; ``PLACES`` sets what this rule misses. returns day of year, factor [-]
    """
    facts, day = CROPS[crop], np.arange(1, 366)
    if (climate, crop) in PLACES:
        return PLACES[climate, crop]
    normal = climate_of.normal(climate, day)
    warm = day[normal >= facts.sow_at]
    if facts.kind == "winter":
        return float(np.clip(warm.max() if warm.size else 260, 255, 325)), 1.0
    sown = float(np.clip(warm.min() if warm.size else 140, 45, 160))
    grown = np.clip(np.minimum(normal, facts.cap) - facts.base, 0, None)[(day >= sown) & (day <= facts.ripe_by)].sum()
    return sown, float(np.clip(grown / (facts.emerge + facts.sen), 0.6, 1.2))


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
                   times of the field's cultivar, vigour [-] and wait [days]; the last season never begins
    """
    count, size = crops_by_year.shape
    drawn = np.stack([one.standard_normal((size, 4)) for one in (rng if isinstance(rng, list) else [rng] * count)])
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
        found["factor"][i, k] = factor = factor * (1 + 0.03 * draw[1])
        found["vigour"][i, k] = np.clip(1 + 0.12 * draw[2], 0.6, 1.35)
        found["wait"][i, k] = facts.wait * np.exp(0.5 * draw[3] - 0.12)
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
    return found


def grow(rng, weather, soil, crops_by_year, *, years, site=None, irrigated=None, dtype="float32"):
    """Grow the crops of fields through the years, day by day, together with the water and heat of their soils.

    Leaf area rises by the logistic of ``Crop`` over thermal time, held back by water stress; leaves brown, g(t) =
    1/(1+e^{(t−t_sen)/s}), over thermal time that stress and frost hasten; the standing leaf area falls only at harvest
    or mowing. A crop is sown on the first day after its farmer is ready on which the soil bears it and is warm enough,
    and harvested on a dry day after it is ripe. Winter cereals grow a little in autumn, and on after 30 cool days once
    days lengthen. Roots: dL/dt = r·f_T·f_W·L·(1 − L/L_max(z)) behind a front that goes down by speed·f_T·f_W, less
    m·(1 + μ·dry)·L; they stop when the crop flowers or has no green leaves.

    rng            numpy Generator, or a list with one per field, which makes a field independent of the others
    weather        (time,) Dataset of ``weather.make``, or (site, time) of several of them after ``xr.concat``
    soil           Soil of (field,)
    crops_by_year  (field, year) names, keys of ``CROPS``
    years          first and last harvest year
    site           (field,) number of the field's site in ``weather``; None: the first
    irrigated      (field,) bool; None: no field is; rice stands in water anyway
    dtype          of the result
    returns        Dataset of (field, time) with units: lai_green, lai_total, ripeness (share of brown leaves),
                   canopy_water (LAI · water fraction), height, flowering, root_front, stress (1: none, 0: full), et and
                   its parts, runoff, drainage, irrigation, snow, pond, stored, crop (code of ``CODES``, 0: none), mown;
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
        if str(crop) not in CROPS:
            raise InputError(f"crop '{crop}' is not known{near(str(crop), CROPS)}")
    if size != years[1] - years[0] + 1 or soil.n.shape != (count,):
        raise InputError(f"crops_by_year is {crops_by_year.shape}; it must be (field, year) for {soil.n.size} fields "
                         f"and harvest years {years[0]}-{years[1]}")
    weather = weather if "site" in weather.dims else weather.expand_dims("site")
    site = np.zeros(count, int) if site is None else np.asarray(site, int)
    climate = np.broadcast_to(weather.climate.values, weather.sizes["site"])[site]
    time = pd.DatetimeIndex(weather.time.values)
    sky = {name: weather[name].transpose("time", "site").values for name in ("rain", "t_mean", "t_min", "radiation",
                                                                              "et0")}
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
        k, uptake, lost = land.stress(self.water, soil, self.front, now["depletion"])
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
            height=now["height"] * np.clip(total / np.maximum(now["leaf_area"], 1e-9), 0, 1) ** 0.8,
            crop=np.where(self.stage >= 1, now["code"], 0).astype(np.int8))
        before = land.stored(self.water)
        self.water, flow = land.step(
            self.water, soil, rain=sky["rain"], temperature=sky["t_mean"],
            evaporation=1.1 * sky["et0"] * np.exp(-0.5 * total),
            transpiration=now["basal"] * sky["et0"] * (1 - np.exp(-0.6 * green)) * k, uptake=uptake,
            dam=np.where(flooded, target, 3.0), irrigation=given, seal=np.where(flooded, 4.0, np.inf))
        after = land.stored(self.water)
        et = flow["evaporation"] + flow["transpiration"]
        error = np.abs(after - before - sky["rain"] - given + et + flow["runoff"] + flow["drainage"]).max()
        self.heat = land.heat(self.heat, land.warmth(sky["t_mean"], sky["radiation"], total), total, self.water.snow)
        mown = self.develop(t, year_day, sky, k, green)
        self.grow_roots(green)
        self.begin_and_end(t, sky, brown)
        share = np.where(total > 0, 1 - green / np.maximum(total, 1e-9), 0.0)
        self.dried += (share - self.dried) / 5
        return dict(
            lai_green=green, lai_total=total, ripeness=share, canopy_water=total * (0.82 - 0.67 * self.dried),
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
        self.age += np.maximum(go * (1 + 0.25 * (1 - k)), 6.0 * brown_soon)
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

    def begin_and_end(self, t, sky, brown):
        """Sowing, the events of ripening, and harvest, after which the next season of the field waits."""
        now, soil = self.now, self.soil
        lasting = (now["cut"] + now["bare"]) > 0
        due = (self.stage == 0) & (t >= now["ready"])
        bears = self.water.theta[0] < soil.capacity + 0.5 * (soil.saturated - soil.capacity)
        warm = (now["winter"] > 0) | (self.heat[1] > now["base"] + 1)
        sown = due & (lasting | (bears & warm & (sky["rain"] < 4)) | (t >= now["ready"] + 21))
        self.note("sowing", sown & ~lasting, t)
        self.stage[sown] = np.where(lasting[sown], 2, 1)
        self.leaves[sown] = np.where(lasting, now["stubble"], 0.0)[sown]
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


def logistic(value, most, step):
    """A logistic one step on, exactly: most / (1 + (most/value − 1)·e^{−step}). returns like ``value``"""
    value = np.asarray(value, float)
    some = (value > 0) & (most > value)
    ratio = np.divide(most, value, out=np.ones_like(value), where=some) - 1
    return np.where(some, most / (1 + ratio * np.exp(-step)), value)


def expit(x):
    """1 / (1 + e^{−x}) without overflow. returns like ``x``"""
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
