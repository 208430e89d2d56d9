"""Experimental plots with three water treatments and two crops: soil in layers, leaves, and roots at depths of tubes.

The layout follows the minirhizotron facility at Selhausen (Cai et al. 2016, doi:10.2136/vzj2016.05.0043; Lärm et al.
2023, doi:10.1038/s41597-023-02570-9): plots that are sheltered from rain, rain-fed or irrigated, with horizontal tubes
and sensors at several depths. Its numbers are project defaults.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.simulate import crop_tables, land, profile, weather
from phenolib.simulate.calendar import stream
from phenolib.simulate.crops import BY_DAY, expit, logistic, wang_engel

LAT, LON, CLIMATE = 50.87, 6.45, "flanders"  # 150 km to the west, whose climate is close to that of the place
TREATMENTS = ("sheltered", "rainfed", "irrigated")
CROPS = "winter_wheat", "corn"
LEFT_OUT = 2019  # the year that the study leaves out
DEPTHS = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 1.2])  # of tubes and sensors at the facility [m]
SAND, CLAY = 13.0, 17.0  # of the silty plots [%]
SHELTER = 0.4  # share of the rain of May to August that passes the shelter
GIVEN, FROM = 20.0, 25.0  # irrigation, and the depletion of the upper 60 cm that it waits for [mm]


@dataclass(frozen=True)
class Growth:
    """Rates of roots and leaves: what decides on the time between both. No date is among them.

    dL/dt = r·f_T^a·f_W^b·L·(1 − L/L_max(z)) behind a front that goes down by v·f_T^a·f_W^b, until the crop has flowered
    or has no leaves to feed roots; less m·(1 + μ·dry)·(1 + s·brown)·L, brown the share of brown leaves, all of them
    after harvest.
    """

    rise: tuple = (0.14, 0.3)  # r of wheat and of maize [d⁻¹]
    front: float = 0.013  # v [m d⁻¹]
    cold: tuple = (0.0, 0.0)  # added to the lowest temperature of root growth T_n of wheat and of maize [°C]
    leaf: float = 1.0  # factor on the speed of leaf growth, r₁
    loss: float = 0.006  # m [d⁻¹]
    dry: float = 1.5  # μ
    starved: float = 8.0  # s
    stop: float = 1.1  # thermal time to flowering after which roots stop [-]
    hasty: float = 0.6  # how much drought hastens the browning of leaves
    warmth: float = 1.0  # a: 0 is a landscape in which soil temperature does nothing to roots
    moist: float = 1.0  # b: 0 is one in which soil moisture does nothing to them
    drink: float = 0.0  # share of the water that is taken where roots are; the rest by depth alone
    thirst: float = 0.0  # exponent by which more roots than usual take more water


GROWTHS = {  # in dry soil roots start and end about -3 and +25 days from the leaves, 0 and 0, -8 and +10: that is what
    # these rates bring, nothing sets it; see ``tests/test_simulate_plots.py``
    "lasting": Growth(rise=(0.126, 0.90), front=0.0194, cold=(1.20, -3.94), loss=0.0024, dry=0.0, starved=13.6,
                      stop=1.0, moist=0.50),
    "even": Growth(rise=(0.447, 0.592), front=0.0216, cold=(4.43, -3.67), loss=0.0043, dry=1.66, starved=15.4,
                   stop=1.303, moist=0.84),
    "early": Growth(rise=(0.435, 0.891), front=0.030, cold=(4.5, -6.0), loss=0.0022, dry=0.71, starved=22.7,
                    stop=1.282, moist=0.745),
}
GROWTHS["unwarmed"] = replace(GROWTHS["lasting"], warmth=0.0)  # the temperature of the soil does nothing to roots
GROWTHS["thirsty"] = replace(GROWTHS["lasting"], moist=0.0, drink=1.0, thirst=1.0)  # roots dry the soil, not it them


@dataclass(frozen=True)
class Settings:
    """What an archive of plots may ask for beside the seed."""

    growth: str = "lasting"
    first: int = 2015
    last: int = 2021
    every: int = 7  # days between two images of a tube
    warmer: float = 0.0  # added to all air temperatures [°C]
    rain: float = 1.0  # factor on all rain [-]

    def __post_init__(self):
        if self.growth not in GROWTHS:
            raise InputError(f"growth = {self.growth}: is not known{near(self.growth, GROWTHS)}")
        if not 1990 <= self.first <= self.last <= 2100:
            raise InputError(f"first = {self.first}, last = {self.last}: years from 1990 to 2100 are expected")
        if self.last < 2015:
            raise InputError(f"last = {self.last}: Sentinel-2 flies since 2015, and leaves are dated by it; give 2015 "
                             "or later")
        if not 1 <= self.every <= 60:
            raise InputError(f"every = {self.every}: 1 to 60 days between two images are expected")

    @property
    def years(self):
        """Harvest years in which something is measured."""
        return [year for year in range(self.first, self.last + 1) if year != LEFT_OUT]


def table():
    """The plots: plot, treatment, and the crop of even years; the other crop grows in odd ones."""
    rows = [(f"{t[0].upper()}{k + 1}", t, crop) for t in TREATMENTS for k, crop in enumerate(CROPS)]
    return pd.DataFrame(rows, columns=["plot", "treatment", "even"])


def grow(settings=None, *, seed=7, growth=None, plots=None):
    """Water, heat, leaves and roots of the plots through all years.

    settings  ``Settings``
    seed      of weather and differences among plots
    growth    Growth in place of the named one
    plots     table in place of ``table()``, for more plots of the same kind
    returns   Dataset: (plot, time) lai_green, lai_total, ripeness, stress, et, irrigation; (plot, time, depth)
              root_length [cm cm⁻³], made [cm cm⁻³ d⁻¹] and lost [d⁻¹] of it, tension [kPa], theta [m3 m-3],
              soil_temperature [degC]; (plot, season) crop, sowing, harvest; the weather (time,); attribute
              water_balance, largest error of a day [mm]
    """
    settings = settings or Settings()
    growth = growth or GROWTHS[settings.growth]
    plots = table() if plots is None else plots
    span = settings.first, settings.last
    sky = weather.make(stream(seed, "plots", "weather"), CLIMATE, LAT, span, elevation=104.0, rain=settings.rain,
                       warmer=settings.warmer)
    sky = sky.sel(time=slice(f"{settings.first - 1}-09-01", None))
    state = Plots(plots, sky, span, growth, seed)
    kept = [state.day(t) for t in range(sky.sizes["time"])]
    dims = {"root_length": "depth", "made": "depth", "lost": "depth", "tension": "depth", "theta": "depth",
            "soil_temperature": "depth"}
    data = {name: (("plot", "time", *([dims[name]] if name in dims else [])),
                   np.stack([row[name] for row in kept]).swapaxes(0, 1) if name not in dims else
                   np.stack([row[name] for row in kept]).transpose(2, 0, 1)) for name in kept[0] if name != "error"}
    made = xr.Dataset(data, dict(time=sky.time, depth=DEPTHS, plot=plots["plot"].to_numpy(),
                                 season=np.arange(span[0], span[1] + 1),
                                 treatment=("plot", plots["treatment"].to_numpy())))
    for name, value in state.dates.items():
        day = made.time.values[np.clip(value, 0, None)]
        day[value < 0] = np.datetime64("NaT")
        made[name] = ("plot", "season"), day
    made["crop"] = ("plot", "season"), np.array(state.planted)
    units = dict(lai_green="m2 m-2", lai_total="m2 m-2", ripeness="1", stress="1", et="mm d-1", irrigation="mm d-1",
                 root_length="cm cm-3", made="cm cm-3 d-1", lost="d-1", tension="kPa", theta="m3 m-3",
                 soil_temperature="degC", snow="mm")
    for name, unit in units.items():
        made[name].attrs["units"] = unit
    return made.merge(sky).assign_attrs(water_balance=max(row["error"] for row in kept))


class Plots:
    """The state of plots on one day; all arrays are (plot,), of roots (depth, plot)."""

    def __init__(self, plots, sky, span, growth, seed):
        self.rates, count, self.sky = growth, len(plots), sky
        self.treatment = plots["treatment"].to_numpy()
        time = pd.DatetimeIndex(sky.time.values)
        self.time, self.normal = time, weather.normal(CLIMATE, time.day_of_year)
        self.soil = land.soils(np.full(count, SAND), np.full(count, CLAY), stream(seed, "plots", "soil"))
        self.theta, self.pond, self.snow = profile.start(self.soil), np.zeros(count), np.zeros(count)
        facts = weather.CLIMATES[CLIMATE]
        self.heat = np.repeat(land.damped_wave(land.MIDDLES, time[0].day_of_year - facts.coldest - 91.3, facts.mean,
                                               facts.swing)[:, None], count, 1)
        self.read_heat = land.at_depths(DEPTHS)
        self.read_soil = np.stack([np.interp(DEPTHS, profile.MIDDLES, row) for row in np.eye(len(profile.MIDDLES))], 1)
        self.planted, self.every = self.plan(plots, span, seed)
        self.season, self.stage = np.zeros(count, int), np.zeros(count, int)  # 0 bare, 1 sown, 2 grows, 3 ripe
        self.now = {name: value[:, 0].copy() for name, value in self.every.items()}
        self.dates = {name: np.full((count, len(self.planted[0])), -1) for name in ("sowing", "emergence", "harvest")}
        for name in ("germ", "chill", "dev", "age", "leaves", "autumn", "frosted", "front", "left"):
            setattr(self, name, np.zeros(count))
        self.roots = np.zeros((len(DEPTHS), count))

    def plan(self, plots, span, seed):
        """Crops by year, and the parameters of every season with what differs among plots and years drawn."""
        planted, size = [], span[1] - span[0] + 1
        names = ("base", "cap", "emerge", "half", "rate", "flower", "sen", "brown", "ripe", "leaf_area", "autumn",
                 "frost", "basal", "root_depth", "root_most", "root_low", "root_best", "root_high")
        every = {name: np.zeros((len(plots), size + 1)) for name in (*names, "winter", "ready", "wait", "vigour")}
        every["ready"][:, -1] = np.inf
        every["usual"] = np.ones((len(plots), size + 1))
        for name in ("root_low", "root_best", "root_high", "brown"):
            every[name][:, -1] = getattr(crop_tables.CROPS["corn"], name)
        for i, row in enumerate(plots.itertuples()):
            other = CROPS[1 - CROPS.index(row.even)]
            planted.append([row.even if year % 2 == 0 else other for year in range(span[0], span[1] + 1)])
            for k, crop in enumerate(planted[-1]):
                year, facts = span[0] + k, crop_tables.CROPS[crop]
                day, factor = crop_tables.calendar(CLIMATE, crop)
                common = stream(seed, "plots", "year", crop, year).standard_normal(2)
                own = stream(seed, "plots", row.plot, year).standard_normal(3)
                for name in names:
                    every[name][i, k] = getattr(facts, name)
                for name in ("half", "flower", "sen"):
                    every[name][i, k] *= factor * (1 + 0.02 * own[0])
                every["rate"][i, k] *= self.rates.leaf / factor
                every["usual"][i, k] = (facts.root_most * np.exp(-2 * DEPTHS / facts.root_depth)).sum()
                every["vigour"][i, k] = np.clip(1 + 0.08 * common[0] + 0.06 * own[1], 0.6, 1.4)
                every["root_most"][i, k] *= np.exp(0.12 * common[1] + 0.10 * own[2])
                winter = facts.kind == "winter"
                every["winter"][i, k] = winter
                begin = pd.Timestamp(year - winter, 1, 1) + pd.Timedelta(days=day + 4 * common[0])
                every["ready"][i, k] = (begin - self.time[0]).days
                every["wait"][i, k] = facts.wait
        every["leaf_area"] *= every["vigour"]
        return planted, every

    def day(self, t):
        """One day on. returns dict of what ``grow`` keeps, as of the evening, and the error of the water balance."""
        now, soil, when = self.now, self.soil, self.time[t]
        sky = {name: float(self.sky[name].values[t]) for name in ("rain", "t_mean", "t_min", "radiation", "et0")}
        total = self.leaves + self.autumn
        brown = np.where(self.stage >= 2, expit((self.age - now["sen"]) / now["brown"]), 0.0)
        green = np.where(now["winter"] > 0, self.autumn * (1 - self.frosted) + self.leaves,
                         total * (1 - self.frosted)) * (1 - brown)
        summer = 5 <= when.month <= 8
        given = np.where((self.treatment == "sheltered") & summer, SHELTER * sky["rain"], sky["rain"])
        wide, upper = 1000 * profile.THICK[:5], self.theta[:5]
        short = (np.clip(soil.capacity - upper, 0, None) * wide).sum(0)
        watered = (self.treatment == "irrigated") & summer & (self.stage == 2) & (short > FROM)
        water = given + np.where(watered, GIVEN, 0.0)
        pull = land.tension(self.theta, soil)
        moist = damp(pull)
        reach = np.maximum(self.front, 0.05)
        shape = np.exp(-3 * profile.MIDDLES[:, None] / reach) * profile.THICK * (profile.MIDDLES[:, None] < reach + 0.1)
        own = self.read_soil.T @ self.roots * profile.THICK
        shape = shape / shape.sum(0)
        own = np.where(own.sum(0) > 1e-6, own / np.maximum(own.sum(0), 1e-9), shape)
        asked = ((1 - self.rates.drink) * shape + self.rates.drink * own) * moist
        k = np.clip(1.6 * asked.sum(0), 0, 1)
        before = profile.stored(self.theta, self.pond, self.snow)
        self.theta, self.pond, self.snow, flow = profile.step(
            self.theta, self.pond, self.snow, soil, water=water, temperature=sky["t_mean"],
            evaporation=1.1 * sky["et0"] * np.exp(-0.5 * total),
            transpiration=now["basal"] * sky["et0"] * (1 - np.exp(-0.6 * green)) * k * self.thirst(),
            uptake=asked / np.maximum(asked.sum(0), 1e-9))
        et = flow["evaporation"] + flow["transpiration"]
        error = np.abs(profile.stored(self.theta, self.pond, self.snow) - before - water + et + flow["runoff"]
                       + flow["drainage"]).max()
        self.heat = land.heat(self.heat, land.warmth(sky["t_mean"], sky["radiation"], total), total, self.snow)
        self.develop(t, when.day_of_year, sky, k, moist[0])
        made, lost = self.grow_roots(green, brown)
        self.begin_and_end(t, brown, sky)
        ripeness = np.where(total > 0, 1 - green / np.maximum(total, 1e-9), 0)
        return dict(lai_green=green, lai_total=total, ripeness=ripeness,
                    stress=np.where(self.stage == 2, k, 1.0), et=et, irrigation=water - given, snow=self.snow,
                    root_length=self.roots.copy(), made=made, lost=lost,
                    tension=self.read_soil @ land.tension(self.theta, soil), theta=self.read_soil @ self.theta,
                    soil_temperature=self.read_heat @ self.heat, error=error)

    def thirst(self):
        """What roots of another length than usual multiply transpiration by, (plot,); 1 where they have no say."""
        return np.clip(2 * self.roots.sum(0) / self.now["usual"], 0.25, 2.5) ** self.rates.thirst

    def develop(self, t, year_day, sky, k, moist):
        """Emergence, leaves and age, as in ``crops``; drought hastens the browning."""
        now = self.now
        winter = now["winter"] > 0
        self.germ += np.where(self.stage == 1, np.clip(self.heat[0] - now["base"], 0, None) * np.clip(moist, 0.6, 1), 0)
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
        soon = ~winter & stands & (self.age > now["sen"] - 2 * now["brown"])
        normal = weather.normal(CLIMATE, year_day)
        usual = np.clip(np.minimum(normal, now["cap"]) - now["base"], 0, None) * stands * (~winter | spring)
        thirst = np.where(self.dev > now["half"], self.rates.hasty * (1 - k), 0.0)
        self.age += np.maximum(((1 - BY_DAY) * go + BY_DAY * usual) * (1 + thirst), 6.0 * soon)
        self.autumn = np.where(winter & ~spring, logistic(self.autumn, now["autumn"], 0.018 * warm * k), self.autumn)
        leafing = self.dev < 1.15 * now["flower"]
        self.leaves = logistic(self.leaves, now["leaf_area"] - self.autumn, now["rate"] * go * np.sqrt(k) * leafing)
        cold = np.clip(now["frost"] - sky["t_min"], 0, None)
        self.frosted = np.clip(self.frosted * np.exp(-warm / 120) + 0.03 * cold * winter * stands, 0, 0.85)

    def grow_roots(self, green, brown):
        """Root front and root length in every depth. returns what was made [cm cm⁻³ d⁻¹], and the rate of loss [d⁻¹]"""
        now, rates = self.now, self.rates
        low = now["root_low"] + np.where(now["winter"] > 0, *rates.cold)
        feels = wang_engel(self.read_heat @ self.heat, low, now["root_best"], now["root_high"]) ** rates.warmth
        moist = damp(self.read_soil @ land.tension(self.theta, self.soil))
        fed = (green > 0.1 * now["leaf_area"]) | (self.dev < now["half"])
        grows = (self.stage == 2) & fed & (self.dev < rates.stop * now["flower"])
        tip = np.array([np.interp(z, DEPTHS, column) for z, column in zip(self.front, (feels * moist**rates.moist).T)])
        self.front = np.where(grows, np.clip(self.front + rates.front * tip, 0.03, now["root_depth"]), self.front)
        most = now["root_most"] * np.exp(-2 * DEPTHS[:, None] / np.maximum(now["root_depth"], 0.1))
        here = grows & (self.front >= DEPTHS[:, None])
        begun = np.where(here & (self.roots < 0.03 * most), 0.03 * most - self.roots, 0.0)
        room = np.clip(1 - self.roots / np.maximum(most, 1e-9), 0, 1)
        rise = np.where(now["winter"] > 0, *rates.rise) * feels * moist**rates.moist * room
        made = begun + np.where(here, rise * (self.roots + begun), 0.0)
        gone = np.where(self.stage >= 2, brown, np.where(self.stage == 1, 0.0, 1.0))
        lost = rates.loss * (1 + rates.dry * (1 - moist)) * (1 + rates.starved * gone)
        self.roots = (self.roots + made) * np.exp(-lost)
        return made, lost

    def note(self, event, which, t):
        """Keep a day as that of an event of plots' current season."""
        which = np.flatnonzero(which)
        self.dates[event][which, self.season[which]] = t

    def begin_and_end(self, t, brown, sky):
        """Sowing on the first fit day, and harvest some dry days after the crop is ripe."""
        now = self.now
        sown = (self.stage == 0) & (t >= now["ready"]) & ((sky["rain"] < 4) | (t >= now["ready"] + 10))
        self.note("sowing", sown, t)
        self.stage[sown] = 1
        ripe = (self.stage == 2) & (brown >= now["ripe"])
        self.stage[ripe] = 3
        self.left = np.where(ripe, now["wait"], self.left - (sky["rain"] < 2))
        done = np.flatnonzero((self.stage == 3) & (self.left <= 0) & (sky["rain"] < 1))
        if not done.size:
            return
        self.dates["harvest"][done, self.season[done]] = t
        self.season[done] += 1
        for name, value in self.every.items():
            now[name][done] = value[done, self.season[done]]
        self.stage[done] = 0
        for name in ("germ", "chill", "dev", "age", "leaves", "autumn", "frosted", "front", "left"):
            getattr(self, name)[done] = 0


def damp(tension):
    """f_W: 1 above −50 kPa, linear in ln|ψ| to 0 at −1500 kPa. returns like ``tension``, 0–1

    >>> damp(np.array([10.0, 1500.0])).tolist()
    [1.0, 0.0]
    """
    return np.clip(1 - np.log(np.maximum(tension, 50.0) / 50.0) / np.log(30.0), 0, 1)


def with_growth(**changes):
    """``Growth`` of the study's kind with some rates changed. returns Growth"""
    return replace(GROWTHS["lasting"], **changes)
