"""Stores of water that follow the weather: a bucket, and two layers with the soil functions of a land-surface model.

Both are calibrated on the training part and are what a network for soil moisture has to beat. They read the form of
``moisture_series``: weather (site, time, variable) without gaps, theta (site, time) with NaN where it is not known,
start (site, time), static by site. They are run by compiled loops, a site at a time.
"""

from dataclasses import dataclass, field

import numba
import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near

PLAIN = dict(cache=True, nogil=True, error_model="numpy")
NOISE = 0.05  # m³ m⁻³: what a day at a site is away from a store of water; with the next two, project defaults
DAYS = 5.0, 60.0  # independent days that a site counts for where sites share their parameters, and where each has own
SPREAD = 1.5, 0.3, 1.0  # SD of the priors: of a parameter, of its change with 1 SD of a property, of a site's own
EVERY = 3  # each how manyth day of training is fitted: neighbouring days say the same
LEAST = 60  # days of training that a site needs for parameters, or a season, of its own
MELT = 3.0  # mm of snow a day and degree above zero, as in the first guess
MOST = 0.95  # m³ m⁻³: largest saturation, that of a raw peat
LOAM = {"sand": 0.40, "clay": 0.20, "organic_carbon": 0.02, "bulk_density": 1.3}  # where the soil is not known
BUCKET = {  # least, default and largest value of each parameter
    "wilting": (0.01, 0.12, 0.40), "available": (0.03, 0.20, 0.60), "drainable": (0.01, 0.10, 0.50),
    "depth": (50.0, 300.0, 2000.0), "drainage": (0.01, 0.3, 3.0), "demand": (0.3, 0.9, 1.8),
    "critical": (0.05, 0.5, 1.0)}
LAYERS = {
    "conductivity": (0.003, 0.3, 30.0), "saturation": (0.6, 1.0, 1.5), "wilting": (0.3, 1.0, 2.0),
    "critical": (0.3, 1.0, 2.0), "demand": (0.3, 0.9, 1.8), "shallow_roots": (0.05, 0.35, 0.95),
    "exchange": (0.001, 0.03, 1.0), "depth": (150.0, 500.0, 1500.0), "seen": (0.1, 0.6, 1.0)}
TOP = 100.0  # mm, thickness of the upper of two layers
UNITS = {"bucket": {"wilting": "m3 m-3", "available": "m3 m-3", "drainable": "m3 m-3", "depth": "mm",
                    "drainage": "d-1", "demand": "1", "critical": "1"},
         "layers": {"exchange": "d-1", "depth": "mm"}}


# ---- water that is stored

@numba.njit(**PLAIN)
def _melted(rain, warmth):
    """Rain and melt (site, time) mm: snow lies at 0 °C and below, and melts 3 mm for each day and degree above."""
    found = np.empty(rain.shape)
    for k in range(rain.shape[0]):
        snow = 0.0
        for t in range(rain.shape[1]):
            if warmth[k, t] <= 0:
                snow += rain[k, t]
                found[k, t] = 0.0
            else:
                melt = min(snow, MELT * warmth[k, t])
                snow -= melt
                found[k, t] = rain[k, t] + melt
    return found


@numba.njit(**PLAIN)
def _bucket(rain, demand, start, p, found):
    """rain, demand (site, time) mm; start (site,) m³ m⁻³; p (site, 7) of ``BUCKET``; found (site, time) m³ m⁻³."""
    for k in range(rain.shape[0]):
        depth = p[k, 3]
        wilting, capacity = p[k, 0] * depth, (p[k, 0] + p[k, 1]) * depth
        full = min(p[k, 0] + p[k, 1] + p[k, 2], MOST) * depth
        critical = wilting + p[k, 6] * (capacity - wilting)
        share = 1 - np.exp(-p[k, 4])
        water = min(start[k] * depth, full)
        for t in range(rain.shape[1]):
            water = min(water + rain[k, t], full)
            stress = min(max((water - wilting) / (critical - wilting), 0.0), 1.0)
            water -= min(p[k, 5] * demand[k, t] * stress, max(water - wilting, 0.0))
            water -= max(water - capacity, 0.0) * share
            found[k, t] = water / depth


@numba.njit(**PLAIN)
def _drained(water, full, rate, power):
    """What is left in a layer after a day of K(θ): exact for ds/dt = −rate·s^power, s the share of the pores."""
    s = max(water / full, 1e-3)
    return min(full * (s ** (1 - power) + (power - 1) * rate) ** (1 / (1 - power)), water)


@numba.njit(**PLAIN)
def _two_layers(rain, demand, start, p, soil, found):
    """As ``_bucket``; p (site, 9) of ``LAYERS``; soil (site, 5): saturated, critical, wilting, b, K [mm d⁻¹]."""
    for k in range(rain.shape[0]):
        deep, seen = p[k, 7], p[k, 8]
        pores = min(soil[k, 0] * p[k, 1], MOST)
        wilting = min(soil[k, 2] * p[k, 1] * p[k, 2], 0.8 * pores)
        critical = wilting + max(min((soil[k, 1] - soil[k, 2]) * p[k, 1] * p[k, 3], 0.95 * pores - wilting), 0.01)
        power, fast = 2 * soil[k, 3] + 3, soil[k, 4] * p[k, 0]
        full_1, full_2 = pores * TOP, pores * deep
        mixed = (1 - np.exp(-p[k, 6])) * pores * TOP * deep / (TOP + deep)
        water_1, water_2 = min(start[k], pores) * TOP, min(start[k], pores) * deep
        for t in range(rain.shape[1]):
            water_1 += rain[k, t]
            over = max(water_1 - full_1, 0.0)
            water_1, water_2 = water_1 - over, min(water_2 + over, full_2)
            need = p[k, 4] * demand[k, t]
            for layer in range(2):
                water, thick, share = (water_1, TOP, p[k, 5]) if layer == 0 else (water_2, deep, 1 - p[k, 5])
                stress = min(max((water / thick - wilting) / (critical - wilting), 0.0), 1.0)
                taken = min(need * share * stress, max(water - wilting * thick, 0.0))
                if layer == 0:
                    water_1 -= taken
                else:
                    water_2 -= taken
            left = _drained(water_1, full_1, fast / full_1, power)
            passed = min(water_1 - left, max(full_2 - water_2, 0.0))
            water_1, water_2 = water_1 - passed, water_2 + passed
            water_2 = _drained(water_2, full_2, fast / full_2, power)
            moved = mixed * (water_2 / full_2 - water_1 / full_1)
            water_1, water_2 = min(water_1 + moved, full_1), min(water_2 - moved, full_2)
            found[k, t] = seen * water_1 / TOP + (1 - seen) * water_2 / deep


def hydraulics(static):
    """Water retention and conductivity of soils from their texture and organic carbon, for Clapp–Hornberger's form.

    θ/θ_s = (ψ/ψ_s)^(−1/b),   K = K_s (θ/θ_s)^(2b + 3)

    static   DataFrame by site: sand, clay [0–1]; organic_carbon [g g-1] and bulk_density [g cm-3] where they are known.
             A column that is not there counts as that of a loam (``LOAM``)
    returns  DataFrame by site: saturated, critical (−33 kPa), wilting (−1.5 MPa) [m3 m-3], b [-],
             conductivity [mm d-1]
    raises   InputError for a share above 1

    Cosby et al. (1984), Water Resour. Res. 20:682, for the mineral soil; mixed with organic matter as in Lawrence &
    Slater (2008), Clim. Dyn. 30:145, by the share of the carbon density in 130 kg m-3. Numbers from memory.

    >>> hydraulics(pd.DataFrame({"sand": [0.4], "clay": [0.2], "organic_carbon": [0.0]})).round(3).iloc[0].tolist()
    [0.439, 0.282, 0.151, 6.09, 325.872]
    """
    known = {name: static[name].to_numpy(float) if name in static else np.full(len(static), value)
             for name, value in LOAM.items()}
    for name in ("sand", "clay", "organic_carbon"):
        wrong = ~((known[name] >= 0) & (known[name] <= 1))
        if wrong.any():
            at = int(wrong.argmax())
            raise InputError(f"static: {name} of site '{static.index[at]}' is {known[name][at]:g}; a share from 0 to 1 "
                             "is expected, divide per cent by 100")
    sand, clay = 100 * known["sand"], 100 * known["clay"]
    organic = np.clip(1000 * known["organic_carbon"] * known["bulk_density"] / 130, 0, 1)
    mixed = {name: (1 - organic) * mineral + organic * peat for name, mineral, peat in (
        ("saturated", 0.489 - 0.00126 * sand, 0.9), ("b", 2.91 + 0.159 * clay, 2.7),
        ("suction", 10 * 10 ** (1.88 - 0.0131 * sand), 10.3))}
    mixed["conductivity"] = 86400 * 0.0070556 * 10 ** (-0.884 + 0.0153 * sand)
    mixed["conductivity"] = mixed["conductivity"] ** (1 - organic) * (86400 * 0.1) ** organic
    for name, tension in (("critical", 3366.0), ("wilting", 152_957.0)):  # mm of water
        mixed[name] = mixed["saturated"] * np.minimum((tension / mixed["suction"]) ** (-1 / mixed["b"]), 1)
    return pd.DataFrame(mixed, index=static.index)[["saturated", "critical", "wilting", "b", "conductivity"]]


@dataclass(frozen=True)
class Store:
    """A calibrated store of water: ``fit_bucket`` or ``fit_two_layers``.

    kind          "bucket" or "layers"
    coefficients  (parameter, 1 + property) on the scale on which parameters are fitted
    mean, sd      of the properties at the training sites, DataFrame rows by name
    own           {site: (parameter,)} of the sites that have parameters of their own
    error         RMSE in the training part [m3 m-3]
    days          of the training part
    """

    kind: str
    coefficients: np.ndarray
    mean: pd.Series
    sd: pd.Series
    own: dict = field(default_factory=dict)
    error: float = np.nan
    days: int = 0

    def parameters(self, series):
        """Values of the parameters at the sites of a series: DataFrame by site."""
        table = BUCKET if self.kind == "bucket" else LAYERS
        return pd.DataFrame(_values(self._raw(series), table), index=sites_of(series), columns=list(table))

    def predict(self, series):
        """Moisture at the sites and days of a series (own parameters where a site was calibrated alone).

        series   ``moisture_series.Series``
        returns  (site, time) DataArray theta [m3 m-3]
        """
        table = BUCKET if self.kind == "bucket" else LAYERS
        return as_theta(series, _runner(self.kind, series)(_values(self._raw(series), table)), self.kind)

    def _raw(self, series):
        design = _design(series, self.mean, self.sd)
        raw = design @ self.coefficients.T
        for k, site in enumerate(sites_of(series)):
            raw[k] = self.own.get(site, raw[k])
        return raw


def fit_bucket(series, parts, *, per_site=False, properties=True, iterations=30):
    """A bucket of one layer whose parameters follow texture and carbon, calibrated on the training part.

        water(t) = water(t−1) + rain − demand · pe · stress − drainage above field capacity − what overflows
        stress   = 0 at wilting, 1 above wilting + critical · available;   θ = water / depth

    It begins on the first day at ``series.start`` and then knows the weather alone, the past of it alone. Where the
    weather has ta, snow lies and melts before it counts as rain.

    series      ``moisture_series.Series``
    parts       ``moisture_series.Parts``; ``parts.train`` (site, time) bool is read
    per_site    True: sites with 60 training days or more also get parameters of their own, drawn towards those that
                their soil suggests; other sites keep these
    properties  whether the parameters change with ``series.static``
    iterations  of least squares, at most
    returns     Store
    raises      InputError for gaps in the weather, a property that is missing, or too few days

    Parameters are fitted by least squares (scipy) with Gaussian priors; ranges and priors are project defaults.
    """
    return _calibrate("bucket", series, parts, per_site, properties, iterations)


def fit_two_layers(series, parts, *, per_site=False, properties=True, iterations=30):
    """Two layers in the way of a land-surface model, with multipliers of what ``hydraulics`` says of the soil.

    The multipliers follow the soil as the parameters of ``fit_bucket`` do; ``properties=False``: one set for all.

    Clapp–Hornberger conductivity drains the layers (exact within a day), roots take water from both with a stress
    between wilting point and critical point, diffusion evens them out, θ weighs the upper layer with ``seen``. Ten
    centimetres lie above; the thickness of the lower layer is calibrated. JULES has four layers, solves Richards'
    equation and its own energy balance: this is like it in its soil functions alone.

    arguments   of ``fit_bucket``
    returns     Store
    raises      as ``fit_bucket``

    Best et al. (2011), Geosci. Model Dev. 4:677, for the soil functions of JULES; the rest is a project default.
    """
    return _calibrate("layers", series, parts, per_site, properties, iterations)


def _calibrate(kind, series, parts, per_site, properties, iterations):
    from scipy.optimize import least_squares

    table = BUCKET if kind == "bucket" else LAYERS
    train, theta = training_of(series, parts)
    names = list(series.static.columns) if properties else []
    thinned = train & (np.arange(train.shape[1]) % EVERY == 0)
    thinned = train if thinned.sum() < LEAST else thinned
    seen = thinned.any(1)
    known = soil_of(series)[names]
    mean, sd = known[seen].mean(), known[seen].std(ddof=0)
    sd = sd.where(sd > 1e-9, 1.0)
    design = _design(series, mean, sd)
    width = design.shape[1]
    centre = _raw_of(table)
    scale = np.array([SPREAD[0], *[SPREAD[1]] * (width - 1)])
    run = _runner(kind, series, np.flatnonzero(seen))
    design_seen, train_seen = design[seen], thinned[seen]
    target = theta[seen][train_seen]
    weight = np.sqrt(np.broadcast_to(DAYS[0] / train_seen.sum(1, keepdims=True), train_seen.shape)[train_seen]) / NOISE
    count = len(table)

    def unpack(x):
        made = np.zeros((count, width))
        made[:] = x.reshape(count, width) * scale
        made[:, 0] += centre
        return made

    def residual(x):
        said = run(_values(design_seen @ unpack(x).T, table))[train_seen]
        return np.concatenate([(said - target) * weight, x])

    def jacobian(x, step=1e-4):
        raw = design_seen @ unpack(x).T
        now = run(_values(raw, table))[train_seen]
        slopes = np.empty((target.size, count, width))
        row = np.broadcast_to(np.arange(len(raw))[:, None], train_seen.shape)[train_seen]
        for j in range(count):
            moved = raw.copy()
            moved[:, j] += step
            slope = (run(_values(moved, table))[train_seen] - now) / step * weight
            slopes[:, j] = slope[:, None] * (design_seen * scale)[row]
        return np.concatenate([slopes.reshape(target.size, -1), np.eye(x.size)])

    found = least_squares(residual, np.zeros(count * width), jac=jacobian, max_nfev=iterations)
    coefficients, own = unpack(found.x), {}
    if per_site:
        regressed = design @ coefficients.T
        sites = sites_of(series)
        for k in np.flatnonzero(train.sum(1) >= LEAST):
            own[sites[k]] = _alone(_runner(kind, series, [k]), regressed[k], table, theta[k], train[k], iterations)
    made = Store(kind, coefficients, mean, sd, own, np.nan, int(train.sum()))
    away = (made.predict(series).values - theta)[train]
    return Store(kind, coefficients, mean, sd, own, float(np.sqrt(np.mean(away**2))), int(train.sum()))


def _alone(run, centre, table, theta, train, iterations):
    """Parameters of one site, near what its soil suggests."""
    from scipy.optimize import least_squares

    weight = np.sqrt(DAYS[1] / train.sum()) / NOISE

    def residual(x):
        said = run(_values((centre + SPREAD[2] * x)[None], table))[0]
        return np.concatenate([(said - theta)[train] * weight, x])

    found = least_squares(residual, np.zeros(centre.size), max_nfev=iterations, diff_step=1e-4)
    return centre + SPREAD[2] * found.x


def _runner(kind, series, rows=slice(None)):
    """A function of parameter values (site, parameter) to moisture (site, time)."""
    names = [n for n in ("precip", "pe", "ta") if n != "ta" or n in series.weather["variable"].values]
    rain, demand, *warmth = (np.ascontiguousarray(v) for v in np.moveaxis(weather_of(series, names)[rows], -1, 0))
    rain = _melted(rain, warmth[0]) if warmth else rain
    begun = series.start.transpose("site", "time").values[rows, 0].astype(float)
    begun = np.where(np.isfinite(begun), begun, 0.3)
    if kind == "layers":
        static = series.static.set_axis(series.static.index.astype(str)).reindex(sites_of(series))
        soil = np.ascontiguousarray(hydraulics(static).to_numpy()[rows])
    found = np.empty(rain.shape)

    def run(values):
        if kind == "bucket":
            _bucket(rain, demand, begun, values, found)
        else:
            _two_layers(rain, demand, begun, values, soil, found)
        return found.copy()

    return run


def _values(raw, table):
    """Parameters on the scale on which they are fitted to values between their ends, even in the logarithm."""
    low, _, high = np.log(np.array(list(table.values()))).T
    return np.exp(low + (high - low) / (1 + np.exp(-np.clip(raw, -30, 30))))


def _raw_of(table):
    low, middle, high = np.log(np.array(list(table.values()))).T
    share = (middle - low) / (high - low)
    return np.log(share / (1 - share))


# ---- what all models of moisture read

def sites_of(series):
    return series.weather["site"].values.astype(str)


def clusters_of(series):
    """(site,) cluster of each site; the site itself where there is none."""
    sites = sites_of(series)
    table = series.sites.set_index("site") if "site" in series.sites else series.sites
    return table["cluster"].reindex(sites).astype(str).to_numpy() if "cluster" in table else sites


def soil_of(series):
    """Properties by site, carbon as its logarithm: it spans two orders of magnitude."""
    made = series.static.astype(float).copy()
    made.index = made.index.astype(str)
    made = made.reindex(sites_of(series))
    if "organic_carbon" in made:
        made["organic_carbon"] = np.log10(made["organic_carbon"].clip(lower=1e-3))
    missing = made.columns[made.isna().any()]
    if len(missing):
        site = made.index[made[missing[0]].isna()][0]
        raise InputError(f"static: {missing[0]} of site '{site}' is missing; give it, or leave the column out")
    return made


def _design(series, mean, sd):
    """(site, 1 + property): ones, and the properties in SDs of the training sites."""
    soil = soil_of(series)
    for name in mean.index:
        if name not in soil:
            raise InputError(f"the series tells no '{name}' of its soils, which the model was fitted "
                             f"with{near(name, soil.columns)}")
    return np.column_stack([np.ones(len(soil)), ((soil[mean.index] - mean) / sd).to_numpy()])


def weather_of(series, names):
    """Weather (site, time, variable) as float; InputError where a variable or a value is missing."""
    weather = series.weather.transpose("site", "time", "variable")
    there = [str(v) for v in weather["variable"].values]
    for name in names:
        if name not in there:
            raise InputError(f"the weather has no '{name}'{near(name, there)}")
    values = weather.values[..., [there.index(n) for n in names]].astype(float)
    if not np.isfinite(values).all():
        site, _, variable = (int(v) for v in np.argwhere(~np.isfinite(values))[0])
        raise InputError(f"the weather of site '{sites_of(series)[site]}' lacks values of {names[variable]}; prepare "
                         "the series with moisture_series.prepare")
    return values


def training_of(series, parts):
    """Days to fit to (site, time) bool, and the moisture."""
    theta = series.theta.transpose("site", "time")
    train = parts.train.transpose("site", "time").reindex_like(theta, fill_value=False).values.astype(bool)
    values = theta.values.astype(float)
    train &= np.isfinite(values)
    if train.sum() < LEAST:
        raise InputError(f"the training part has {int(train.sum())} days with moisture; {LEAST} are needed, so hold "
                         "out less")
    return train, values


def as_theta(series, values, who):
    weather = series.weather.transpose("site", "time", "variable")
    return xr.DataArray(values, {"site": weather["site"], "time": weather["time"]}, ("site", "time"), "theta",
                        {"units": "m3 m-3", "long_name": f"volumetric soil moisture, {who}"})
