"""Leaves of plots from weather and soil: seasons as tables of days, honest splits, the constrained network, rivals."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from scipy.optimize import least_squares
from scipy.stats import norm

from phenolib import metrics, root_seasons, training
from phenolib.errors import InputError, near
from phenolib.nets import leaf as nets
from phenolib.sources import plot_tables
from phenolib.splits import Scaler

DAYS = 365  # of a season, from 1 November of the year before the harvest: soil and weather come before the leaves
LEFT_OUT = (2019,)  # the harvest year that the study leaves out
WEEKS = {"winter_wheat": (45, 255), "corn": (118, 328)}  # days of the year between which leaves are dated
DEPTHS = {"wet_10": 0.1, "wet_40": 0.4, "wet_80": 0.8}  # of water potentials [m]
HPA = 10.0  # in a kPa
DRIEST = -3.7  # −pF at −500 kPa, below which a matric potential sensor says nothing
WEIGHTS = {"unimodal": 1.0, "base": 1.0, "growth": 1.0}  # λ₁, λ₂, λ₃, of the loss of composites
FREE = dict.fromkeys(WEIGHTS, 0.0)
PARTS = {"training": "train", "unseen years": "years", "unseen treatment": "treatment", "both unseen": "both"}
FAR = "extrapolation"
TOLERANCE = 0.005  # share of the amplitude that a curve may move the wrong way in a day
FROM, FULL = 0.1, 0.6  # shares of the training from and after which the rules begin and count in full: a flat season
# breaks none of them, and a network that heard of them first would stay there
NOISE = 0.05  # EVI2 beyond which a residual counts by its size, not its square


@dataclass(frozen=True)
class Leaves:
    """Seasons of plots, day by day.

    table     DataFrame, one row a season: plot, season, crop, treatment, sowing
    time      (season, day) datetime64[D]
    drivers   (season, day, driver) of ``nets.leaf.DRIVERS``, in their units, none missing
    observed  (season, day) EVI2 of composites on their middle days [-], NaN elsewhere
    truth     (season, day) EVI2 without cloud and noise [-]; None where nobody knows it
    """

    table: pd.DataFrame
    time: np.ndarray
    drivers: np.ndarray
    observed: np.ndarray
    truth: np.ndarray | None

    def __len__(self):
        return len(self.table)

    def take(self, rows):
        """Some seasons. rows: (m,) int or (n,) bool; returns Leaves"""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True), time=self.time[rows],
                       drivers=self.drivers[rows], observed=self.observed[rows],
                       truth=None if self.truth is None else self.truth[rows])

    def driver(self, name):
        """One of ``nets.leaf.DRIVERS``: (season, day)."""
        return self.drivers[..., nets.DRIVERS.index(name)]


def of_archive(archive, *, left_out=LEFT_OUT):
    """Seasons of all plots of an archive that weather covers.

    Nothing that is known only afterwards is among the drivers: not the harvest, and no value of a later day. A sensor
    that says nothing keeps its last value; a matric potential sensor that has run dry thus stays at its limit.

    archive   an open ``Archive`` with plots
    left_out  harvest years
    returns   Leaves
    raises    InputError for a crop without limits in ``nets.leaf.CROPS``, a season without a sowing date, plots without
              a latitude, a variable or depth that is missing, or where no season is covered
    """
    sky, soil = archive.plot_weather(), archive.plot_soil()
    green = plot_tables.evi2(archive.plot_satellite())
    wet = -np.log10(np.clip(-HPA * plot_tables.potential(soil), 1, None))  # −pF: larger is wetter
    truth = archive.plot_truth()[1]
    if "lat" not in archive.plots:
        raise InputError("plots.csv has no column 'lat'; the length of the day is counted from it")
    for name in ("t_mean", "t_min", "t_max", "rain", "radiation", "vapour_pressure"):
        if name not in sky:
            raise InputError(f"weather.csv has no {name}; the leaves are modelled from it")
    latitude = archive.plots.set_index("plot")["lat"]
    table, kept = archive.plot_seasons, []
    table = table[~table["season"].isin(left_out)][["plot", "season", "crop", "treatment", "sowing"]]
    for row in table.itertuples():
        if row.crop not in nets.CROPS:
            raise InputError(f"seasons.csv: the crop '{row.crop}' has no limits of growth{near(row.crop, nets.CROPS)}; "
                             "give them in nets.leaf.CROPS")
        if pd.isna(row.sowing):
            raise InputError(f"seasons.csv: plot {row.plot} has no sowing date in {row.season}; give one")
        time = pd.date_range(f"{row.season - 1}-11-01", periods=DAYS)
        if sky["time"].values[0] > time[0] or sky["time"].values[-1] < time[-1]:
            continue
        drivers = _drivers(row, time, sky, soil["temperature"], wet, latitude[row.plot])
        seen = green.sel(plot=row.plot).dropna("time").to_series().reindex(time).to_numpy(float)
        known = None if truth is None else truth["evi2"].sel(plot=row.plot, time=time).values.astype(float)
        kept.append((row.Index, time.values.astype("datetime64[D]"), drivers, seen, known))
    if not kept:
        raise InputError("no season of a plot lies within the weather; a season needs it from November to October")
    index, time, drivers, seen, known = zip(*kept)
    return Leaves(table.loc[list(index)].reset_index(drop=True), np.stack(time), np.stack(drivers), np.stack(seen),
                  None if truth is None else np.stack(known))


def _drivers(row, time, sky, warmth, wet, latitude):
    """(day, driver) of one season."""
    day = sky.sel(time=time)
    low, high = day["t_min"].values, day["t_max"].values
    since = np.asarray((time - row.sowing) / pd.Timedelta(1, "D"))
    found = {name: _last(day[name].values) for name in ("t_mean", "t_min", "t_max", "rain", "radiation")}
    found["vpd"] = _last((saturation(low) + saturation(high)) / 2 - day["vapour_pressure"].values)
    found["day_length"] = day_length(latitude, time.day_of_year.to_numpy())
    found["soil_temperature"] = _sensor(warmth, row.plot, 0.1, time)
    found |= {name: _sensor(wet, row.plot, depth, time) for name, depth in DEPTHS.items()}
    found |= {"since": np.clip(since, 0, 300), "sown": (since > 0).astype(float)}
    found |= {crop: np.full(len(time), float(crop == row.crop)) for crop in nets.CROPS}
    return np.stack([found[name] for name in nets.DRIVERS], -1)


def _sensor(values, plot, depth, time):
    """(day,) of the sensor next to a depth; where it says nothing, its last value, also from before these days."""
    near_by = values.sel(plot=plot).dropna("depth", how="all")
    if not near_by.sizes["depth"] or abs(float(near_by["depth"].sel(depth=depth, method="nearest")) - depth) > 0.15:
        raise InputError(f"soil.csv: plot {plot} has no sensor within 15 cm of {100 * depth:g} cm; one is needed")
    whole = near_by.sel(depth=depth, method="nearest").to_series()
    return pd.Series(_last(whole), whole.index).reindex(time, method="ffill").bfill().to_numpy()


def _last(values):
    """Missing values as the last one before; at the beginning as the first one after."""
    return pd.Series(np.asarray(values, float)).ffill().bfill().to_numpy()


def saturation(temperature):
    """Saturation vapour pressure [kPa] at temperatures [°C]; Allen et al. (1998), FAO 56, eq. 11.

    >>> round(float(saturation(24.5)), 3)
    3.075
    """
    return 0.6108 * np.exp(17.27 * np.asarray(temperature) / (np.asarray(temperature) + 237.3))


def day_length(latitude, day):
    """Hours from sunrise to sunset, (…) [h]; latitude [°], day of the year; Allen et al. (1998), FAO 56, eqs 24-34.

    >>> day_length(50.87, np.array([172, 355])).round(1).tolist()
    [16.3, 7.7]
    """
    tilt = 0.409 * np.sin(2 * np.pi * np.asarray(day) / 365 - 1.39)
    return 24 / np.pi * np.arccos(np.clip(-np.tan(np.radians(latitude)) * np.tan(tilt), -1, 1))


@dataclass(frozen=True)
class Fold:
    """Years and a treatment that a model does not see, and rows of ``Leaves.table``, (m,) int each.

    train      other years and other treatments
    years      unseen years, seen treatments
    treatment  the unseen treatment in seen years
    both       the unseen treatment in unseen years
    """

    held_years: tuple
    held_treatment: str
    train: np.ndarray
    years: np.ndarray
    treatment: np.ndarray
    both: np.ndarray


def folds(leaves):
    """Every year and every treatment is left out once: as many folds as treatments, each with its share of the years.

    leaves   Leaves, or their table
    returns  list of Fold
    raises   InputError for fewer than two treatments, or fewer years than treatments
    """
    table = getattr(leaves, "table", leaves)
    treatments, years = list(dict.fromkeys(table["treatment"])), sorted(set(table["season"]))
    if len(treatments) < 2 or len(years) < len(treatments):
        raise InputError(f"{len(treatments)} treatments in {len(years)} years: two treatments, and a year for each of "
                         "them, are needed to leave both out")
    found = []
    for k, name in enumerate(treatments):
        held = tuple(years[k :: len(treatments)])
        year, other = table["season"].isin(held).to_numpy(), (table["treatment"] == name).to_numpy()
        parts = [np.flatnonzero(mask) for mask in (~year & ~other, year & ~other, ~year & other, year & other)]
        found.append(Fold(held, name, *parts))
        refuse_leakage(table.iloc[parts[0]], table.iloc[parts[1]], treatments=False)
        refuse_leakage(table.iloc[parts[0]], table.iloc[parts[2]], years=False)
        refuse_leakage(table.iloc[parts[0]], table.iloc[parts[3]])
    return found


def refuse_leakage(train, test, *, years=True, treatments=True):
    """Raises InputError if what is tested was seen in training.

    train, test  tables with plot, season and treatment; of one archive or of two with the same days
    years        whether a year on both sides is refused: its weather is the same in all plots
    treatments   whether a treatment on both sides is
    raises       InputError for a season of a plot, a year or a treatment on both sides
    """
    keys = ["season"] * years + ["treatment"] * treatments
    for key in keys:
        both = sorted(set(train[key]) & set(test[key]))
        if both:
            raise InputError(f"{key} '{both[0]}' is trained on and tested; leave out whole {key}s")
    both = sorted(set(zip(train["plot"], train["season"])) & set(zip(test["plot"], test["season"])))
    if both:
        raise InputError(f"plot {both[0][0]} in {both[0][1]} is trained on and tested; leave it out on one side")


@dataclass(frozen=True)
class Network:
    """Members of an ensemble and the noise of what they were fitted to.

    members   list of ``nets.leaf.LeafNet``
    noise     SD of composites about the fit, in training [-]
    history   what the training of each member recorded
    seconds   that the trainings took when they were done [s]
    """

    members: list
    noise: float
    history: list
    seconds: float

    def each(self, leaves):
        """EVI2 of every member, (member, season, day) [-]."""
        batch = [{"drivers": _tensor(leaves.drivers)}]
        return np.stack([training.predict(m, batch, lambda model, b: model(b["drivers"]).evi2) for m in self.members])

    def __call__(self, leaves):
        """EVI2, (season, day) [-]: the mean of the members."""
        return self.each(leaves).mean(0)

    def spread(self, leaves):
        """SD of a composite about the prediction by what the members disagree on, and by noise: (season, day) [-]."""
        each = self.each(leaves)
        return training.combine(each, np.full_like(each, self.noise))[1]


def network(leaves, rows, *, weights=WEIGHTS, invent=True, base_error=0.0, members=2, epochs=120, lr=5e-3, batch=4,
            width=16, seed=0, archive=""):
    """The constrained network, fitted to the composites of some seasons; from the store where it was fitted before.

    The rules need no observation. So with ``invent`` they are held not only in the weather of the training seasons but,
    in every step, also in the same weather made warmer or colder, wetter or drier (``invented``). Their constants are
    fitted first, in the same seasons (``rules_alone``): a network that learns them itself makes them as slow as it
    likes, and breaks no rule by doing nothing.

    leaves      Leaves
    rows        (m,) int, the seasons to learn from: scaler, weights and noise know no other
    weights     λ of ``nets.leaf.RULES``; ``FREE`` is the network without rules
    base_error  added to the base temperature of the rules alone [K]: a wrong rule
    members     of the ensemble
    epochs, lr, batch, width   of the training and the network; batch in seasons
    seed        the members have the seeds 1000 · seed + 0, 1, …
    archive     content hash of the archive
    returns     Network
    raises      InputError for an unknown rule, rows without a composite, or, with rules, a crop that is in no row
    """
    for name in weights:
        if name not in WEIGHTS:
            raise InputError(f"the rule '{name}' is not known{near(name, WEIGHTS)}; use {', '.join(WEIGHTS)}")
    some = leaves.take(rows)
    if not np.isfinite(some.observed).any():
        raise InputError("the training seasons have no clear composite; there is nothing to learn from")
    scaler = Scaler.fit(some.drivers[..., : nets.SCALED])
    ruled = any(weights.values())
    constants = _tensor(rules_alone(leaves, rows, base_error=base_error).constants) if ruled else None
    loss = _loss(weights, constants, base_error)
    shuffled = training.shuffled({"drivers": _tensor(some.drivers), "observed": _tensor(some.observed)}, batch)

    def build():
        return nets.LeafNet(scaler.mean, scaler.sd, width=width)

    def fit(model, data, seed, checkpoint):
        def batches(epoch, generator):
            strength = torch.tensor(float(np.clip((epoch / epochs - FROM) / (FULL - FROM), 0, 1)))
            for part in shuffled(epoch, generator):
                more = [invented(part["drivers"], generator)] if ruled and invent else []
                yield part | {"drivers": torch.cat([part["drivers"], *more]), "strength": strength}

        return training.train(model, batches, loss=loss, epochs=epochs, lr=lr, seed=seed, checkpoint=checkpoint,
                              progress=False)

    about = {"weights": {k: float(v) for k, v in weights.items()}, "invent": invent, "base_error": base_error,
             "epochs": epochs, "lr": lr, "batch": batch, "constants": None if constants is None else constants.tolist(),
             "rows": some.table[["plot", "season"]].astype(str).to_numpy().tolist()}
    found = [training.fitted("leaf", build, None, train=fit, parameters=about, archive=archive, seed=1000 * seed + k,
                             uses=[invented]) for k in range(members)]
    made = Network([f.model for f in found], 0.0, [f.history for f in found], sum(f.seconds for f in found))
    return replace(made, noise=float(np.sqrt(np.nanmean((made(some) - some.observed) ** 2))))


def networks(leaves, parts, *, seed=0, **options):
    """``network`` of each fold: list of Network. seed: those of the folds are 10 · seed, 10 · seed + 1, …"""
    return [network(leaves, fold.train, seed=10 * seed + k, **options) for k, fold in enumerate(parts)]


def _loss(weights, constants, base_error):
    """The loss of a batch: composites and rules of its first seasons, and rules in invented weather."""
    def loss(model, batch):
        said, seen = model(batch["drivers"]), batch["observed"]
        known, here = seen.isfinite(), len(seen)
        away = (said.evi2[:here] - seen)[known] / NOISE
        total = torch.nn.functional.huber_loss(away, torch.zeros_like(away))
        for part in (slice(None, here), slice(here, None)):
            if any(weights.values()) and len(batch["drivers"][part]):
                broken = nets.broken(said.phase[part], batch["drivers"][part], constants, base_error=base_error)
                total = total + batch["strength"] * sum(weights.get(k, 0.0) * v for k, v in broken.items())
        return total

    return loss


def invented(drivers, generator):
    """Weather and soil that nobody saw: each season −3 to +6 K, half to 1.3 times the rain, up to 1.6 pF drier.

    The soil is driest at a time of the year that is drawn too, and no drier than the sensors can tell.

    drivers    (season, day, driver) tensor
    generator  torch.Generator
    returns    the same shape; day length, sowing and crop as they are
    """
    made, at = drivers.clone(), nets.DRIVERS.index
    warm, rain, dry, when = torch.rand(4, len(drivers), 1, generator=generator)          # (season, 1) each
    warm, rain = 9 * warm - 3, 0.5 + 0.8 * rain
    day = torch.arange(drivers.shape[1]) / DAYS
    dry = 0.2 - 1.8 * dry * (0.5 + 0.5 * torch.cos(2 * torch.pi * (day - when)))         # (season, day)
    for name, change in {"t_mean": 1.0, "t_min": 1.0, "t_max": 1.0, "soil_temperature": 0.9}.items():
        made[..., at(name)] += change * warm
    made[..., at("vpd")] *= (0.06 * warm).exp()                                          # of saturation, per kelvin
    made[..., at("rain")] *= rain
    for name in DEPTHS:
        made[..., at(name)] = (made[..., at(name)] + dry).clamp(DRIEST, 0)
    return made


def _tensor(values):
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


def climatology(leaves, rows, *, width=10.0):
    """The mean season of each crop. returns function (Leaves) to (season, day) EVI2

    rows    (m,) int, the seasons to learn from
    width   SD of the days that a mean is taken over [days]
    """
    some, day = leaves.take(rows), np.arange(DAYS)
    kernel = np.exp(-0.5 * ((day[:, None] - day) / width) ** 2)
    means = {}
    for crop in set(some.table["crop"]):
        seen = some.observed[(some.table["crop"] == crop).to_numpy()]
        means[crop] = kernel @ np.nansum(seen, 0) / np.maximum(kernel @ np.isfinite(seen).sum(0), 1e-9)
    return lambda other: np.stack([means[crop] for crop in other.table["crop"]])


def thermal_sum(leaves, base):
    """Warmth above a base temperature since growth may begin: (season, day) [°C d].

    It counts from sowing; of what was sown before the winter from 1 January.

    base   [°C], a number or (season, 1)
    """
    january = leaves.time >= leaves.table["season"].to_numpy().astype(str).astype("datetime64[D]")[:, None]
    return np.cumsum(np.clip(leaves.driver("t_mean") - base, 0, None) * (january & (leaves.driver("sown") > 0)), 1)


def thermal_time(leaves, rows):
    """Leaves by warmth alone: a double logistic in thermal time, fitted for each crop.

        EVI2 = b + a · [1/(1 + e^{−(S−S₁)/w₁}) − 1/(1 + e^{−(S−S₂)/w₂})],  S = Σ max(T − T_b, 0)

    rows     (m,) int, the seasons to learn from
    returns  function (Leaves) to (season, day) EVI2, with the attribute ``parameters``: DataFrame by crop of T_b [°C],
             S₁, w₁, S₂, w₂ [°C d], b, a [-]
    """
    some, found = leaves.take(rows), {}
    for crop in sorted(set(some.table["crop"])):
        own = some.take((some.table["crop"] == crop).to_numpy())
        known = np.isfinite(own.observed)

        def residual(p, own=own, known=known):
            return (_double(p, thermal_sum(own, p[0])) - own.observed)[known] / NOISE

        low, high = [-5, 50, 10, 300, 10, 0, 0.1], [14, 2500, 500, 5000, 600, 0.3, 1.5]
        starts = [[base, share * most, 80, most, 80, 0.1, 0.6] for base in (0, 6) for share in (0.3, 0.5)
                  for most in [np.median(thermal_sum(own, base)[:, 260])]]
        fits = [least_squares(residual, np.clip(p, low, high), bounds=(low, high), loss="soft_l1",
                              x_scale=[1, 50, 20, 50, 20, 0.05, 0.1], max_nfev=200) for p in starts]
        found[crop] = min(fits, key=lambda f: f.cost).x

    def predict(other):
        p = np.stack([found[crop] for crop in other.table["crop"]]).T[..., None]         # (parameter, season, 1)
        return _double(p, thermal_sum(other, p[0]))

    predict.parameters = pd.DataFrame(found, index=["T_b", "S_1", "w_1", "S_2", "w_2", "b", "a"]).T
    return predict


def _double(p, warmth):
    rise, fall = (1 / (1 + np.exp(-np.clip((warmth - p[k]) / p[k + 1], -50, 50))) for k in (1, 3))
    return p[5] + p[6] * (rise - fall)


def rules_alone(leaves, rows, *, base_error=0.0):
    """The rules as a model of their own, without a network: they are integrated, and fitted for each crop.

        dφ/dt = f_T f_P [k f_W e (1 − o) (1 − φ) − o φ / a]

    with e, o and S of ``nets.leaf.broken``.

    rows        (m,) int, the seasons to learn from
    base_error  as in ``network``
    returns     function (Leaves) to (season, day) EVI2, with the attribute ``constants``: (4, crop) of
                ``nets.leaf.CONSTANTS``, in the order of ``nets.leaf.CROPS``
    """
    some, found = leaves.take(rows), {}
    for crop in nets.CROPS:
        own = some.take((some.table["crop"] == crop).to_numpy())
        if not np.isfinite(own.observed).any():
            raise InputError(f"no composite of {crop} is among the seasons to learn from; the rules need some of each "
                             "crop")
        known, (speed, water) = np.isfinite(own.observed), _speed(own, base_error)

        def residual(p, own=own, known=known, speed=speed, water=water):
            return (_integrate(p, speed, water) - own.observed)[..., known] / NOISE

        def slope(p, residual=residual):
            step = 1e-4 * np.maximum(np.abs(p), 0.01)
            many = residual((p + np.diag(step)).T[..., None, None])
            return ((many - residual(p)) / step[:, None]).T

        low, high = [0.1, 0, 0.1, 0.02, 0, 0.3], [60, 3, 9, 1.5, 0.3, 1.2]
        start = [3, 0.15, 0.8 * np.median(speed.sum(1)) / nets.MONTH, 0.15, 0.08, 0.7]
        found[crop] = least_squares(residual, start, slope, (low, high), loss="soft_l1", max_nfev=60,
                                    x_scale=[1, 0.1, 0.3, 0.05, 0.05, 0.1]).x

    def predict(other):
        p = np.stack([found[crop] for crop in other.table["crop"]]).T[..., None]         # (parameter, season, 1)
        return _integrate(p, *_speed(other, base_error))

    predict.constants = np.stack([found[crop][:4] for crop in nets.CROPS], 1)
    return predict


def _speed(leaves, base_error):
    """f_T·f_P and f_W, (season, day) each."""
    return (x.numpy() for x in nets.allowed(_tensor(leaves.drivers), base_error))


def _integrate(p, speed, water):
    """EVI2 by the rules, (…, season, day); p: (6, …, 1, 1) or (6,) k, E, A, a, base, amplitude."""
    rate, out, middle, width, base, amplitude = (np.asarray(x)[..., 0] if np.ndim(x) else x for x in p)
    speed = speed / nets.MONTH
    age = np.cumsum(speed, -1)
    shape = np.broadcast_shapes(np.shape(rate), speed.shape[:1])
    phase, found = np.zeros(shape), np.zeros((*shape, speed.shape[1]))
    for t in range(speed.shape[1]):
        grown, old = (1 / (1 + np.exp(np.clip((at - age[:, t]) / wide, -40, 40)))
                      for at, wide in ((out, nets.OUT), (middle, width)))
        rise = rate * water[:, t] * grown * (1 - old) * (1 - phase)
        found[..., t] = phase = np.clip(phase + speed[:, t] * (rise - old * phase / width), 0, 1)
    return np.expand_dims(base, -1) + np.expand_dims(amplitude, -1) * found


def season_index(leaves, *, days=21):
    """The growing season index: the product of three limits, each linear from 0 to 1, mean of the last days.

        GSI = f(T_min; −2…5 °C) · f(VPD; 4.1…0.9 kPa) · f(day length; 10…11 h)

    days     of the mean
    returns  (season, day) [-]

    Jolly et al. (2005), Glob. Change Biol. 11:619.
    """
    limits = {"t_min": (-2.0, 5.0), "vpd": (4.1, 0.9), "day_length": (10.0, 11.0)}
    index = np.prod([np.clip((leaves.driver(k) - a) / (b - a), 0, 1) for k, (a, b) in limits.items()], 0)
    return np.stack([pd.Series(row).rolling(days, min_periods=1).mean() for row in index])


def growing_season_index(leaves, rows):
    """EVI2 as a line in ``season_index`` since sowing, for each crop. returns function (Leaves) to (season, day) EVI2

    rows   (m,) int, the seasons to learn from
    """
    some, lines = leaves.take(rows), {}
    index = season_index(some) * some.driver("sown")
    for crop in set(some.table["crop"]):
        known = np.isfinite(some.observed) & (some.table["crop"] == crop).to_numpy()[:, None]
        lines[crop] = np.polyfit(index[known], some.observed[known], 1)
    return lambda other: np.stack([np.polyval(lines[crop], row) for crop, row in zip(
        other.table["crop"], season_index(other) * other.driver("sown"))])


def violations(evi2, leaves, *, tolerance=TOLERANCE):
    """Days on which a season breaks a law, (season, day) bool each.

    cold     the curve rises by more than the tolerance on a day whose mean temperature is below the crop's base
    second   it rises by more than that after its peak, or falls before it: part of a second season

    evi2       (season, day) [-]
    tolerance  per day, as a share of the curve's own range [-]
    returns    dict: "cold", "second" and "any"
    """
    evi2 = np.asarray(evi2)
    step = np.diff(evi2, axis=1, prepend=evi2[:, :1]) / np.maximum(np.ptp(evi2, axis=1, keepdims=True), 1e-6)
    base = np.array([nets.CROPS[crop].low for crop in leaves.table["crop"]])[:, None]
    after = np.arange(evi2.shape[1]) > evi2.argmax(1)[:, None]
    found = {"cold": (step > tolerance) & (leaves.driver("t_mean") < base),
             "second": np.where(after, step, -step) > tolerance}
    return found | {"any": found["cold"] | found["second"]}


def mean_square(evi2, leaves, *, observed=False):
    """Mean square error of each season in the weeks in which leaves are dated, (season,) [-]; NaN without any value.

    observed   whether it is against composites; else against the truth, where it is known
    """
    against = leaves.observed if observed or leaves.truth is None else leaves.truth
    known = np.isfinite(against) & in_weeks(leaves)
    square = np.where(known, (np.asarray(evi2) - np.nan_to_num(against)) ** 2, 0).sum(1)
    return np.where(known.any(1), square / np.maximum(known.sum(1), 1), np.nan)


def in_weeks(leaves):
    """Which days lie in ``WEEKS`` of the crop, (season, day) bool."""
    january = leaves.table["season"].to_numpy().astype(str).astype("datetime64[D]")[:, None]
    day = (leaves.time - january).astype(int) + 1
    first, last = np.array([WEEKS[crop] for crop in leaves.table["crop"]]).T[..., None]
    return (day >= first) & (day <= last)


def root_mean(square, years, *, over=None, why="no season to compare", **options):
    """Root mean square error, or its ratio to that of another model in the same seasons, as for ``report.record``.

    square   (n,) of ``mean_square``
    years    (n,) harvest years, which are drawn as a whole for the interval
    over     (n,) of the other model
    returns  value, interval and n, or None and why there is none
    """
    both = np.stack([square, square if over is None else over])
    both = both[:, np.isfinite(both).all(0)]
    if not both.size:
        return {"value": None, "why": why}
    years = np.asarray(years)[np.isfinite(np.stack([square, square if over is None else over])).all(0)]
    mean, drawn = metrics.group_means(both, years, **options)
    value, draws = (np.sqrt(x[0] / x[1] if over is not None else x[0]) for x in (mean, drawn))
    interval = None if np.isnan(draws).all() else tuple(float(q) for q in metrics.percentiles(draws))
    return {"value": float(value), "interval": interval, "n": both.shape[1]}


def scores(fits, leaves, parts, other=None):
    """Errors and violations of models season by season, in what they saw and in what they did not.

    fits     name of a model to its fits, one for each fold: functions (Leaves) to (season, day) EVI2
    leaves   Leaves
    parts    list of Fold
    other    Leaves of the same years in another climate: each model is tested on the years that it did not see
    returns  DataFrame: model, part (of ``PARTS``, or ``FAR``), plot, season, crop, treatment, square (against the
             truth), observed (against composites), and the shares of days "cold", "second" and "any" of ``violations``
    raises   InputError as ``refuse_leakage``
    """
    rows = []
    for name, some in ((name, some) for name, found in fits.items() for some in _tested(found, leaves, parts, other)):
        part, tested, evi2 = some
        share = {rule: days.mean(1) for rule, days in violations(evi2, tested).items()}
        rows.append(tested.table.assign(model=name, part=part, square=mean_square(evi2, tested),
                                        observed=mean_square(evi2, tested, observed=True), **share))
    return pd.concat(rows, ignore_index=True).drop(columns="sowing")


def rmse(table, model, part, *, column="square", over=None, **options):
    """Error of a model in a part of ``scores``, or its ratio to that of another, as for ``report.record``.

    column    square or observed
    over      name of the other model
    options   of ``root_mean``
    """
    some = table[table["part"] == part]
    own, other = (some[some["model"] == name] for name in (model, over))
    against = other[column].to_numpy() if over else None
    return root_mean(own[column].to_numpy(), own["season"], over=against, **options)


def cell(found):
    """A result of ``rmse`` as text: value, and interval in brackets.

    >>> cell({"value": 0.1, "interval": (0.05, 0.2), "n": 3})
    '0.100 [0.050, 0.200]'
    """
    if found["value"] is None:
        return ""
    span = found["interval"]
    return f"{found['value']:.3f}" + (f" [{span[0]:.3f}, {span[1]:.3f}]" if span else "")


def inside(networks, leaves, parts, other=None, *, level=0.9):
    """Share of composites within the intervals of ``Network.spread``, season by season.

    networks  of the folds
    level     that the intervals are made for
    returns   DataFrame: part, plot, season, crop, treatment, inside (NaN without a composite)
    """
    wide, rows = norm.ppf((1 + level) / 2), []
    for model, fold in zip(networks, parts, strict=True):
        for part, some, evi2 in _tested([model], leaves, [fold], other):
            half = wide * model.spread(some)
            hit = metrics.inside(evi2 - half, evi2 + half, some.observed)
            known = np.isfinite(hit).sum(1)
            share = np.where(known, np.nansum(hit, 1) / np.maximum(known, 1), np.nan)
            rows.append(some.table.assign(part=part, inside=share))
    return pd.concat(rows, ignore_index=True).drop(columns="sowing")


def unseen(leaves, fold):
    """The seasons of the years that a fold does not see, of whatever archive. returns Leaves"""
    return leaves.take(leaves.table["season"].isin(fold.held_years).to_numpy())


def _tested(found, leaves, parts, other):
    """Part, seasons and predicted EVI2 of each fold of one model."""
    for fold, predict in zip(parts, found, strict=True):
        sides = {name: leaves.take(getattr(fold, key)) for name, key in PARTS.items()}
        if other is not None:
            far = unseen(other, fold)
            refuse_leakage(leaves.table.iloc[fold.train], far.table, treatments=False)
            sides[FAR] = far
        for name, some in sides.items():
            yield name, some, predict(some)


def dated(fits, leaves, parts, truth, other=None, other_truth=None, **options):
    """Dates of models beside the true ones, in the years that each did not see.

    truth, other_truth   of ``archive.plot_truth``; None where nobody knows it
    options              of ``root_seasons.dates``
    returns              DataFrame of ``beside_truth`` with model, part ("unseen years" with both treatments, or
                         "extrapolation")
    """
    rows = []
    for name, found in fits.items():
        for part, some, evi2 in _tested(found, leaves, parts, other):
            if part not in ("unseen years", "both unseen", FAR):
                continue
            kept = other_truth if part == FAR else truth
            if kept is None:
                continue
            kept = kept.merge(some.table[["plot", "season"]], on=["plot", "season"])
            rows.append(beside_truth(dates(evi2, some, **options), kept).assign(
                model=name, part=FAR if part == FAR else "unseen years"))
    empty = pd.DataFrame(columns=["model", "part", "season", "event", "date", "true", "days"])
    return pd.concat(rows or [empty], ignore_index=True)


def dates(evi2, leaves, **options):
    """Dates of predicted curves: a double logistic on the weeks in which leaves are dated, see ``root_seasons.dates``.

    evi2     (season, day) [-]
    returns  DataFrame: plot, season, crop, treatment, event, date
    """
    import xarray as xr

    series = {}
    for row, time, curve, inside in zip(leaves.table.itertuples(), leaves.time, np.asarray(evi2), in_weeks(leaves)):
        series[row.plot, row.season] = xr.DataArray(curve[inside], {"time": time[inside].astype("datetime64[ns]")},
                                                    ["time"])
    found = root_seasons.table(series, leaves.table, **options)
    return found[["plot", "season", "crop", "treatment", "event", "date"]]


def beside_truth(found, truth):
    """Dates beside the true ones of leaves: DataFrame of ``dates`` with true and days (found − true).

    found   of ``dates``
    truth   of ``archive.plot_truth``
    """
    true = truth[truth["organ"] == "leaf"]
    event = np.where(true["direction"] == "rising", "sos", "eos") + true["share"].map("{:02d}".format)
    true = true.assign(event=event).rename(columns={"date": "true"})[["plot", "season", "event", "true"]]
    both = true.merge(found, "left", on=["plot", "season", "event"])
    both = both[both["event"].isin(found["event"].unique())]
    return both.assign(days=(both["date"] - both["true"]) / pd.Timedelta(1, "D"))
