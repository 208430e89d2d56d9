"""Small networks that learn how respiration answers to moisture and temperature, with a band for each answer.

Nobody has published these networks: widths, loss, resampling and all defaults are those of this project. The form with
a base rate and a product of two responses is that of land-surface models (Clark et al. 2011, Geosci. Model Dev. 4:701,
eq. 65); here the two responses are learnt from fluxes and not given.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from scipy.stats import t as student
from torch.nn.functional import softplus

from phenolib.errors import InputError, near
from phenolib.nets.response_networks import NODES, Respiration, nodes, trained
from phenolib.responses import celsius, moisture

FORMS = ("product", "free")
LOSSES = ("laplace", "square")
REFERENCE = 10.0  # °C at which g = 1
WEEKS = 4  # that a site needs at least, as in ``responses.fit``
ROWS = 50_000  # that a fit reads at most
WILD = 500.0  # µmol m⁻² s⁻¹ beyond which a flux is taken for a code, as in ``fluxes``


@dataclass(frozen=True)
class Breath:
    """Learnt responses of respiration to moisture and temperature, scaled to g(10 °C) = 1 and a largest f of 1.

    network    ``Respiration``; form: "product" or "free"
    sites      names, in the order of the network
    saturated  site → θ_sat [m³ m⁻³]
    unit       mean flux of the rows [µmol m⁻² s⁻¹]
    drivers    site → mean of the autotrophic driver; empty without one
    limits     (2, 2) lowest and highest s and T of the rows: beyond them answers stay as at the limits
    ranges     "s", "temperature" → what 5 and 95 % of the rows lie below; "s_wide": 1 and 99 %
    reference  temperature at which g = 1 [°C]: 10, or the nearest that was seen
    seen       (points, 2) s and T of rows taken evenly, for the partial dependence of a free network
    score      (member,) mean negative log-likelihood in the weeks that the member left out [-], to choose settings by
    epochs     (member,) epoch that each member was taken from
    n          rows it was fitted to; retrieved: share of the rows with a flux that have all other values [-]
    remarks    what was done to the rows, in words
    """

    network: Respiration
    form: str
    sites: tuple
    saturated: dict
    unit: float
    drivers: dict
    limits: np.ndarray
    ranges: dict
    reference: float
    seen: np.ndarray
    score: np.ndarray
    epochs: np.ndarray
    n: int
    retrieved: float
    remarks: tuple = field(default=())

    # ---- curves

    def moisture_response(self, s, *, at=None, level=0.9):
        """f at relative moistures s = θ/θ_sat: mean, low, high, each (n,); NaN outside the data.

        s        (n,) [-]
        at       s at which f = 1; None: where it is largest between 1 and 99 % of the data, by member. A sharp peak is
                 learnt too low, which lifts all the rest: to hold two curves together, give a moisture often seen
        level    of the band
        returns  mean, low, high [-]
        raises   InputError for ``at`` outside the data

        The band is that of the members, by Student's t on the log. Of a free network it is the partial dependence:
        log h averaged over the temperatures that were seen, whatever the moisture was at the time.
        """
        dry, wet = self.limits[0]
        if at is not None and not dry <= at <= wet:
            raise InputError(f"at = {at:g} lies outside the data, {dry:.3f} to {wet:.3f} of saturated")
        return self._curve(s, 0, self._peak if at is None else self._members(np.array([at]), 0), level)

    def temperature_response(self, temperature, *, level=0.9):
        """g at temperatures [°C]: mean, low, high, each (n,), 1 at the reference; NaN outside the data.

        As ``moisture_response``, with the same words on the band and on the free network.
        """
        return self._curve(temperature, 1, self._members(np.array([self.reference]), 1), level)

    @property
    def base(self):
        """Respiration at f = g = 1 by site: site → (value, low, high) of a band of 90 % [µmol m⁻² s⁻¹].

        Of a free network with the partial responses in place of f and g; there it is a mean level and no more.
        """
        shift = self._peak[:, 0] + self._members(np.array([self.reference]), 1)[:, 0]
        if self.form == "free":
            shift = shift - self._centre  # both partial dependences hold the mean of log h
        rate = np.log(self._softplus(self.network.base)) + shift[:, None] + math.log(self.unit)
        return {site: band(rate[:, k]) for k, site in enumerate(self.sites)}

    @property
    def plant(self):
        """Factor of the autotrophic driver by site: site → (value, low, high), band of 90 %; empty without a driver."""
        if not self.drivers:
            return {}
        rate = np.log(self._softplus(self.network.plant)) + math.log(self.unit)
        return {site: band(rate[:, k] - math.log(self.drivers[site])) for k, site in enumerate(self.sites)}

    # ---- fluxes

    def predict(self, theta, temperature, site, autotrophic=None, *, part="all", level=0.9):
        """Expected flux at moistures and temperatures of known sites: mean, low, high, each (n,) [µmol m⁻² s⁻¹].

        theta        (n,) [m³ m⁻³]
        temperature  (n,) [°C]
        site         name, or (n,) names
        autotrophic  (n,) driver, if there was one in the fit and its part is asked for
        part         "all", "soil" (without the autotrophic term) or "plant" (that alone)
        level        of the band: of the curve; the scatter of single fluxes is not in it
        returns      mean, low, high; NaN where a value is missing
        raises       InputError for a site that was not in the fit, arrays of different length, per cent or kelvin

        Beyond the moistures and temperatures of the fit the responses stay as at the limits; ``beyond`` tells where.
        """
        s, t, place = self._inputs(theta, temperature, site)
        if part not in ("all", "soil", "plant"):
            raise InputError(f"part = {part!r}; give 'all', 'soil' or 'plant'")
        if self.drivers and part != "soil" and autotrophic is None:
            raise InputError("the fit had an autotrophic driver; give autotrophic, or part='soil'")
        if not self.drivers and (part == "plant" or autotrophic is not None):
            raise InputError("the fit had no autotrophic driver; leave autotrophic out, and part as 'all' or 'soil'")
        good = np.isfinite(s) & np.isfinite(t)
        total = np.zeros((len(self.score), len(s)))
        if part != "plant":
            inside = np.where(good, s, self.limits[0, 0]), np.where(good, t, self.limits[1, 0])
            total += np.exp(self._joint(*inside)) * self._softplus(self.network.base)[:, place]
        if self.drivers and part != "soil":
            driver = np.asarray(autotrophic, float)
            if driver.shape != s.shape:
                raise InputError(f"autotrophic has the shape {driver.shape}, moisture {s.shape}; give one value a row")
            scale = np.array([self.drivers[name] for name in self.sites])[place]
            total += self._softplus(self.network.plant)[:, place] * driver / scale
        total[:, ~good] = np.nan
        mean, away = total.mean(0), student.ppf((1 + level) / 2, len(total) - 1) * total.std(0, ddof=1)
        factor = np.exp(np.divide(away, mean, out=np.zeros(len(s)), where=mean != 0))  # a band of the log: above zero
        return tuple(self.unit * values for values in (mean, mean / factor, mean * factor))

    def beyond(self, theta, temperature, site):
        """Whether moisture or temperature lie beyond the rows of the fit, (n,) bool; arguments as ``predict``."""
        s, t, _ = self._inputs(theta, temperature, site)
        (dry, wet), (cold, hot) = self.limits
        return (s < dry) | (s > wet) | (t < cold) | (t > hot)

    # ---- storage

    def to_dict(self):
        """All of it as JSON can hold it; see ``from_dict``."""
        kept = {name: getattr(self, name) for name in ("form", "saturated", "unit", "drivers", "ranges", "reference",
                                                       "n", "retrieved")}
        arrays = {name: getattr(self, name).tolist() for name in ("limits", "seen", "score", "epochs")}
        weights = {name: values.tolist() for name, values in self.network.state_dict().items()}
        return {**kept, **arrays, "sites": list(self.sites), "remarks": list(self.remarks), "weights": weights,
                "monotone": self.form == "product" and self.network.warm.rising}

    @classmethod
    def from_dict(cls, kept):
        """Breath from what ``to_dict`` gave; it predicts the same numbers."""
        kept = dict(kept)
        weights, monotone = kept.pop("weights"), kept.pop("monotone")
        network = Respiration(len(kept["score"]), len(kept["sites"]), form=kept["form"], monotone=monotone,
                              autotrophic=bool(kept["drivers"]))
        network.load_state_dict({name: torch.tensor(values) for name, values in weights.items()})
        kept |= {name: np.asarray(kept[name]) for name in ("limits", "seen", "score", "epochs")}
        kept |= {name: tuple(kept[name]) for name in ("sites", "remarks")}
        kept["ranges"] = {name: tuple(values) for name, values in kept["ranges"].items()}
        return cls(network=network.eval(), **kept)

    # ---- inside

    def _inputs(self, theta, temperature, site):
        """s, T and the place of each row's site."""
        w, t = np.atleast_1d(moisture(theta)), np.atleast_1d(celsius(temperature))
        names = np.broadcast_to(np.asarray(site, object), w.shape) if np.ndim(site) == 0 else np.asarray(site, object)
        if not w.shape == t.shape == names.shape or w.ndim != 1:
            raise InputError(f"moisture, temperature and site have the shapes {w.shape}, {t.shape}, {names.shape}; "
                             "give one value a row")
        place = pd.Index(self.sites).get_indexer(names)
        if (place < 0).any():
            name = names[place < 0][0]
            raise InputError(f"the site '{name}' was not in the fit{near(name, self.sites)}")
        return w / np.array([self.saturated[name] for name in self.sites])[place], t, place

    def _scaled(self, values, axis):
        low, high = self.limits[axis]
        return torch.as_tensor(2 * (np.clip(values, low, high) - low) / (high - low) - 1, dtype=torch.float32)

    def _joint(self, s, t):
        """log f + log g, or log h, not yet scaled: (member, n)."""
        with torch.no_grad():
            if self.form == "free":
                return self.network.log_joint(self._scaled(s, 0), self._scaled(t, 1)).double().numpy()
        return self._members(s, 0) + self._members(t, 1)

    def _members(self, values, axis):
        """log f (axis 0) or log g (axis 1) of each member, not yet scaled: (member, n)."""
        with torch.no_grad():
            if self.form == "product":
                call = self.network.log_temperature if axis else self.network.log_moisture
                return call(self._scaled(values, axis)).double().numpy()
            points = np.repeat(self.seen[None], len(values), 0)                          # (n, points, 2)
            points[..., axis] = np.asarray(values)[:, None]
            s, t = (self._scaled(points[..., k].ravel(), k) for k in (0, 1))
            made = self.network.log_joint(s, t).double().numpy()
            return made.reshape(len(made), len(values), -1).mean(-1)

    @property
    def _centre(self):
        """Mean of log h over all pairs of a moisture and a temperature that were seen, each on its own: (member,)."""
        return self._members(self.seen[:, 0], 0).mean(1)

    @property
    def _peak(self):
        """Largest log f between 1 and 99 % of the data: (member, 1)."""
        return self._members(np.linspace(*self.ranges["s_wide"], 200), 0).max(1, keepdims=True)

    def _softplus(self, values):
        return softplus(values.detach()).double().numpy()

    def _curve(self, values, axis, scale, level):
        values = np.asarray(values, float)
        flat = values.ravel()
        inside = (flat >= self.limits[axis, 0]) & (flat <= self.limits[axis, 1])
        made = self._members(np.where(inside, flat, self.limits[axis, 0]), axis) - scale
        return tuple(np.where(inside, one, np.nan).reshape(values.shape) for one in band(made, level))


def band(members, level=0.9):
    """Centre and band of logs of positive values by member, (member, …): three of (…), floats if there is but one.

    The mean of the logs, ± Student's t of members − 1 degrees of freedom times their standard deviation: the members
    read weeks drawn anew, so their spread is the error of each.
    """
    mean = members.mean(0)
    away = student.ppf((1 + level) / 2, len(members) - 1) * members.std(0, ddof=1)
    made = np.exp([mean, mean - away, mean + away])
    return tuple(map(float, made)) if made.ndim == 1 else tuple(made)


# ---- the fit

def fit(theta, temperature, flux, *, site, time, saturated, form="product", monotone=False, autotrophic=None, members=5,
        loss="laplace", epochs=400, lr=0.03, decay=1e-3, patience=100, block=7, most=ROWS, seed=0):
    """Learn how respiration answers to moisture and temperature, common to all sites that are given together.

        R = b_site · f(θ/θ_sat) · g(T) (+ a_site · driver)        form "product"
        R = b_site · h(θ/θ_sat, T)     (+ a_site · driver)        form "free"

    theta        (n,) volumetric soil water [m³ m⁻³]
    temperature  (n,) of the soil [°C]
    flux         (n,) e.g. net exchange of mixed nights, or of chambers [µmol m⁻² s⁻¹]
    site         name, or (n,) names
    time         (n,) datetime64, in any order; tells the week
    saturated    site → θ_sat, one number, or (n,) [m³ m⁻³]
    form         "product", or "free": a network of both, to see what no product can follow
    monotone     g never falls with temperature (product alone)
    autotrophic  (n,) driver of the respiration of plants, not negative, e.g. the uptake of the day before
    members      of the ensemble; each reads weeks drawn with replacement at each site and stops by the weeks left out
    loss         "laplace" (the median of the flux; errors of towers are nearly so and grow with the flux) or "square"
                 (its mean)
    epochs       steps over all rows at most; lr, decay: rate and weight decay of Adam
    patience     a member ends after so many epochs without a smaller loss in the weeks left out
    block        days that are drawn together [days]
    most         rows that are read; of more, an even part of each site, which ``Breath.remarks`` tells
    seed         of weights and draws; a member does not depend on how many there are
    returns      Breath
    raises       InputError for an unknown form, one member, arrays of other lengths, per cent, kelvin, codes of missing
                 values, a site without θ_sat or with rows in fewer than 4 blocks, or where an input does not vary

    The scale of b, f and g cannot be told apart by any flux; it is fixed afterwards: g = 1 at 10 °C, largest f = 1
    over 1-99 % of the moistures. Whether f and g can be told apart depends on the data: see ``identifiable``. The
    noise of each site grows with its flux, σ = c + d · R, learnt beside. Networks are worked out at 96 points of an
    axis (40 × 40 free), linear between. All of this and every default is ours. A tower measures the respiration of the
    whole ecosystem: without a driver its plants are in b, f and g. Errors of the moisture sensor blunt f,
    those of the driver make its factor too small. In simulated nights of four towers over two years, with four seeds,
    bands of 90 % of five members held 92 % of f (1 at the median moisture) and 85 % of g; but 55 % of an f with a kink
    at its largest value when both are 1 there, see ``Breath.moisture_response``.
    """
    if form not in FORMS or loss not in LOSSES:
        name, known = ("form", FORMS) if form not in FORMS else ("loss", LOSSES)
        raise InputError(f"{name} = {form if name == 'form' else loss!r}{near(form, known)}")
    if int(members) < 2:
        raise InputError(f"members = {members}; a band needs two or more")
    if monotone and form == "free":
        raise InputError("monotone is for g of form='product'; leave it out of form='free'")
    rows, asked = table(theta, temperature, flux, site, time, saturated, autotrophic, block)
    retrieved, remarks = len(rows) / asked, []
    rows, remark = thinned(rows, int(most))
    remarks += remark
    sites = tuple(sorted(rows["site"].unique()))
    place = pd.Index(sites).get_indexer(rows["site"])
    unit = float(rows["flux"].abs().mean())
    drivers = rows.groupby("site")["driver"].mean().to_dict() if autotrophic is not None else {}
    for name, mean in drivers.items():
        if not mean > 0:
            raise InputError(f"the autotrophic driver of the site '{name}' is zero throughout; leave this site out")
    x = rows[["s", "temperature"]].to_numpy()
    limits = np.stack([x.min(0), x.max(0)], 1)                                           # (2, 2)
    for name, (low, high) in zip(("moisture", "temperature"), limits):
        if not high > low:
            raise InputError(f"the {name} is the same in all {len(rows)} rows; no response can be learnt")
    network = Respiration(members, len(sites), form=form, monotone=monotone, autotrophic=bool(drivers), seed=seed)
    if drivers:
        rows["driver"] /= rows["site"].map(drivers)
    count = weights(rows, members, seed)
    batch = {"flux": rows["flux"].to_numpy() / unit, "count": count, "driver": rows["driver"].to_numpy()}
    batch = {name: torch.tensor(values, dtype=torch.float32) for name, values in batch.items()}
    batch |= {"place": torch.as_tensor(place), "grid": nodes(x, limits, NODES[form])}
    score, epoch = trained(network, batch, loss, epochs, lr, decay, patience)
    quantiles = np.quantile(x, [0.01, 0.05, 0.95, 0.99], axis=0)
    ranges = {"s": tuple(quantiles[1:3, 0].tolist()), "temperature": tuple(quantiles[1:3, 1].tolist()),
              "s_wide": tuple(quantiles[[0, 3], 0].tolist())}
    reference = float(np.clip(REFERENCE, *limits[1]))
    if reference != REFERENCE:
        remarks.append(f"10 °C was not seen; g = 1 at {reference:.1f} °C")
    known = {name: float(value) for name, value in rows.groupby("site")["saturated"].first().items()}
    some = np.linspace(0, len(x) - 1, min(len(x), 200)).astype(int)
    return Breath(network.eval(), form, sites, known, unit, drivers, limits, ranges, reference, x[some], score, epoch,
                  len(rows), retrieved, tuple(remarks))


def table(theta, temperature, flux, site, time, saturated, autotrophic, block):
    """Rows without a missing value, in order of site and time, and how many rows have a flux."""
    w, t, flux = moisture(theta), celsius(temperature), np.asarray(flux, float)
    names = np.full(flux.shape, site, object) if np.ndim(site) == 0 else np.asarray(site, object)
    time = np.asarray(time, "datetime64[ns]")
    driver = np.zeros(flux.shape) if autotrophic is None else np.asarray(autotrophic, float)
    shapes = [values.shape for values in (w, t, flux, names, time, driver)]
    if len(set(shapes)) > 1 or flux.ndim != 1:
        raise InputError(f"moisture, temperature, flux, site, time and driver have the shapes "
                         f"{', '.join(map(str, shapes))}; give one value a row")
    wild = np.flatnonzero(np.abs(flux) > WILD)
    if wild.size:
        raise InputError(f"a flux of {flux[wild[0]]:g} µmol m-2 s-1 at {str(time[wild[0]])[:16]}; mask codes of "
                         "missing values")
    if (driver < 0).any():
        raise InputError(f"an autotrophic driver of {np.nanmin(driver):g} is below zero; give uptake as a positive "
                         "number")
    present = pd.unique(names)
    if isinstance(saturated, dict):
        for name in present:
            if name not in saturated:
                raise InputError(f"saturated has no value for the site '{name}'{near(name, saturated)}")
        for name in saturated:
            if name not in present:
                raise InputError(f"the site '{name}' of saturated has no row{near(name, present)}")
        high = pd.Series(names).map(saturated).to_numpy(float)
    else:
        high = np.broadcast_to(np.asarray(saturated, float), flux.shape)
    if not (high > 0).all() or (high > 1).any():
        raise InputError(f"saturated = {high[~((high > 0) & (high <= 1))][0]:g}; give shares of the volume above 0, "
                         "at most 1 m³ m⁻³")
    day = (time - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    rows = pd.DataFrame({"site": names, "day": day, "block": np.floor(day / block), "s": w / high, "temperature": t,
                         "flux": flux, "driver": driver, "saturated": high})
    asked = int(np.isfinite(flux).sum())
    if not asked:
        raise InputError(f"none of {len(flux)} fluxes is a number; look at what was left out before")
    rows = rows.dropna().sort_values(["site", "day"], kind="stable", ignore_index=True)
    each = rows.groupby("site")
    for name in present:
        blocks = each.get_group(name)["block"].nunique() if name in each.groups else 0
        if blocks < WEEKS:
            said = "no row with all values" if not blocks else f"rows in {blocks} blocks of {block} days alone"
            raise InputError(f"the site '{name}' has {said}; a fit needs {WEEKS} blocks")
        if each.get_group(name)["saturated"].nunique() > 1:
            raise InputError(f"the site '{name}' has more than one saturated water content; give one a site")
        middle = each.get_group(name)["s"].median()
        if middle > 1:
            raise InputError(f"half of the moistures of the site '{name}' are above {middle:.2f} of saturated; give "
                             "the water content of its filled pores")
    return rows, asked


def thinned(rows, most):
    """An even part of the rows of each site, at most ``most`` in all, and a remark where any was left out."""
    if len(rows) <= most:
        return rows, []
    size = rows.groupby("site").size().sort_values()
    left, kept = most, {}
    for k, (name, count) in enumerate(size.items()):  # what a small site does not need goes to the larger ones
        kept[name] = min(count, left // (len(size) - k))
        left -= kept[name]
    picked = [part.iloc[np.linspace(0, len(part) - 1, kept[name]).astype(int)] for name, part in rows.groupby("site")]
    return pd.concat(picked, ignore_index=True), [f"{sum(kept.values())} of {len(rows)} rows were read, evenly in time"]


def weights(rows, members, seed):
    """How often each member drew the block of each row: (member, n), 0 for a block that it leaves out."""
    site, _ = pd.factorize(rows["site"])
    label = rows.groupby(["site", "block"]).ngroup().to_numpy()
    owner = np.zeros(label.max() + 1, int)
    owner[label] = site
    found = np.zeros((members, len(owner)))
    for k in range(members):
        rng = np.random.default_rng([int(seed), k])
        for one in range(site.max() + 1):
            own = np.flatnonzero(owner == one)
            found[k, own] = np.bincount(rng.integers(len(own), size=len(own)), minlength=len(own))
    return found[:, label]


# ---- what the data can tell

def identifiable(theta, temperature, *, site, saturated, parts=5):
    """How far moisture and temperature varied on their own: the range of T within classes of moisture.

    theta, temperature, site, saturated  as ``fit``
    parts    classes of s with equal numbers
    returns  DataFrame, one row a class and "all": s_low, s_high, n, t_low, t_high (5 and 95 % [°C]), share (their
             distance over that of all rows [-]), correlation (Spearman, of s and T within the class)
    raises   InputError as ``fit``

    A product of two responses can be told apart where each class of moisture holds most of the temperatures. Shares
    near 1 and a correlation near 0 are what an experiment would have; in the field it is dry when it is warm.
    """
    w, t = moisture(theta), celsius(temperature)
    names = np.full(w.shape, site, object) if np.ndim(site) == 0 else np.asarray(site, object)
    if not w.shape == t.shape == names.shape or w.ndim != 1:
        raise InputError(f"moisture, temperature and site have the shapes {w.shape}, {t.shape}, {names.shape}; give "
                         "one value a row")
    if isinstance(saturated, dict):
        for name in pd.unique(names):
            if name not in saturated:
                raise InputError(f"saturated has no value for the site '{name}'{near(name, saturated)}")
        saturated = pd.Series(names).map(saturated).to_numpy(float)
    s = w / np.asarray(saturated, float)
    good = np.isfinite(s) & np.isfinite(t)
    s, t = s[good], t[good]
    if len(s) < 10 * parts:
        raise InputError(f"{len(s)} rows have moisture and temperature; {parts} classes need {10 * parts}")
    order = np.argsort(s, kind="stable")
    groups = {str(k + 1): own for k, own in enumerate(np.array_split(order, parts))} | {"all": order}
    whole = np.diff(np.quantile(t, [0.05, 0.95]))[0]
    lines = {}
    for name, own in groups.items():
        low, high = np.quantile(t[own], [0.05, 0.95])
        lines[name] = {"s_low": s[own[0]], "s_high": s[own[-1]], "n": len(own), "t_low": low, "t_high": high,
                       "share": (high - low) / whole, "correlation": float(spearmanr(s[own], t[own])[0])}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("class")
