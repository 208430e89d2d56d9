"""Facts about crops: how each grows, where it is grown, in which rotations, and when it is sown."""

from dataclasses import dataclass

import numpy as np

from phenolib.errors import InputError, near
from phenolib.simulate import weather as climate_of


@dataclass(frozen=True)
class Crop:
    """How a crop grows. Thermal times [°C d] count from emergence, of winter cereals from the lengthening of days.

    Project defaults, set so that dates of normal years look like those that crop statistics report; they are not
    measurements. Sowing: the spread among fields of a district is near two weeks.
    """

    kind: str  # annual, winter (sown the year before), cut (perennial), bare, or cover (between two crops)
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
    stems: float = 0.0  # share of the plants' water that stems hold at flowering, which come after the leaves [-]
    root_depth: float = 1.0  # [m]
    root_speed: float = 0.013  # of the root front at best temperature [m d⁻¹]
    root_most: float = 3.0  # root length density near the surface [cm cm⁻³]
    root_low: float = 0.0  # T_n, T_o and T_x of root growth [°C]
    root_best: float = 22.0
    root_high: float = 35.0
    flood: float = 0.0  # depth of standing water [mm]


MAIZE = dict(root_low=8.0, root_best=30.0, root_high=42.0)
CROPS = {
    "corn": Crop("annual", 13.0, 10, 8, 30, 55, 335, 0.0125, 780, 55, 1480, 60, 264, ripe=0.9, wait=12, frost=-1.5,
                 height=2.6, basal=1.2, root_depth=1.2, root_speed=0.016, **MAIZE),
    "soybean": Crop("annual", 16.0, 11, 8, 30, 55, 410, 0.0115, 800, 120, 1420, 55, 259, ripe=0.9, wait=7,
                    height=0.95, depletion=0.5, root_most=2.0, **MAIZE),
    "rice": Crop("annual", 15.2, 12, 9, 32, 70, 560, 0.009, 1150, 70, 1600, 60, 260, wait=13, leaf_area=5.5, frost=-1.0,
                 basal=1.2, depletion=0.2, root_depth=0.4, root_most=4.0, flood=80, **MAIZE),
    "winter_wheat": Crop("winter", 12.6, 12, 0, 26, 110, 510, 0.009, 1130, 60, 1590, 60, wait=8, last=260,
                         leaf_area=4.8, autumn=0.22, frost=-8, stems=0.85, height=0.85, root_depth=1.2, root_most=4.0),
    "winter_barley": Crop("winter", 13.8, 10, 0, 26, 100, 460, 0.009, 950, 60, 1370, 55, wait=7, last=250,
                          leaf_area=4.5, autumn=0.35, frost=-7, stems=0.85, height=0.85, root_depth=1.2, root_most=4.0),
    "spring_wheat": Crop("annual", 6.3, 11, 0, 26, 105, 450, 0.010, 850, 60, 1400, 60, 205, wait=10, last=270,
                         leaf_area=4.2, frost=-8, stems=0.85, height=0.85, root_depth=1.1, root_most=4.0),
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
    "catch_crop": Crop("cover", base=3, rate=0.013, half=350, leaf_area=3.0, frost=-6, height=0.6, root_depth=0.3),
}
CODES = {name: k + 1 for k, name in enumerate(CROPS)}  # 0: between crops
CATCH = {"flanders": 0.85, "england": 0.4}  # share of early harvests that a catch crop follows; elsewhere ``RARELY``
RARELY = 0.06
DRAINS = {"flanders": 1.5, "england": 2.5}  # most that drains where groundwater is near [mm d⁻¹]
NO_TILL = {"midwest": 0.35, "plains": 0.45, "north": 0.4, "northwest": 0.4, "delta": 0.25}  # share of fields; else 0.05
AUTUMN = 0.5  # share of the ploughed fields before a spring crop that are ploughed in autumn
WEEDS = 0.35, (0.02, 0.10)  # share of gaps between crops with weeds, and their leaf area [m² m⁻²]
VOLUNTEERS = 0.3, (0.15, 0.8)  # the same of what comes up from lost grain after a harvest
SOWN = {"catch crop": -400.0, "late": -60.0, "volunteers": -100.0}  # thermal time from harvest to their sowing [°C d]
LATE = 245  # day of year of a harvest after which a catch crop is sown at once, on soil that may be wet
LATEST = 295  # day of year of a harvest that they still follow
ROUGH = {"ploughed": 4.0, "clods": 3.0, "seedbed": 1.8, "drilled": 1.2, "harvest": 1.4, "ruts": 2.3,
         "least": 0.9}  # H of the soil surface [cm]: clods after the sowing of winter cereals and catch crops, seedbed
# of the others, drilled without tillage, ruts of a harvest after ``LATE``; the level of all was set by the radar of
# fields in Flanders in winter
SMOOTHING = 600.0  # rain that takes 63 % of the roughness above the least [mm]
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
    ("flanders", "winter_wheat"): (292, 1.05), ("flanders", "winter_barley"): (272, 1.01),
    ("flanders", "corn"): (118, 0.65), ("england", "winter_wheat"): (280, 1.14),
    ("england", "winter_barley"): (268, 1.10), ("midwest", "winter_wheat"): (274, 0.97),
    ("plains", "winter_wheat"): (275, 0.95), ("delta", "winter_wheat"): (300, 0.97),
    ("california", "winter_wheat"): (322, 1.0), ("yellow_river", "winter_wheat"): (281, 0.95),
    ("california", "rice"): (128, 1.0), ("california", "corn"): (110, 1.1), ("california", "tomato"): (108, 1.0),
    ("california", "cotton"): (105, 0.95), ("delta", "corn"): (95, 1.0), ("delta", "soybean"): (126, 1.22),
    ("delta", "rice"): (108, 1.02), ("delta", "cotton"): (122, 0.98), ("korea", "rice"): (145, 0.95),
    ("korea", "soybean"): (155, 1.1), ("yellow_river", "cotton"): (118, 0.95),
}


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
