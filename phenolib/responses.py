"""How respiration answers to moisture and temperature: the classical forms, and their fit to measurements.

Respiration is a flux of carbon dioxide, positive to the atmosphere. Moisture is a share of the volume [m³ m⁻³] and
temperature is in °C wherever it is given or returned.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.stats import norm
from scipy.stats import t as student

from phenolib.errors import InputError, near

ZERO = 273.15  # K at 0 °C
CARBON = 1e9 / 12.011  # µmol in a kg of carbon
T_Q10 = 282.4 - ZERO  # °C at which the Q10 form of JULES is 1
T_LLOYD = 227.13 - ZERO  # °C below which the form of Lloyd and Taylor has no meaning
KAPPA = 0.5e-8  # s⁻¹, rate of the single pool of JULES at f = g = 1
RATES = {"dpm": 3.22e-7, "rpm": 9.65e-9, "bio": 2.12e-8, "hum": 6.43e-10}  # s⁻¹: decomposable and resistant plant
# material, microbes, humus: the four pools of RothC as JULES has them
WEEKS = 4  # that an interval needs at least


def moisture(theta):
    """Moisture as an array, or an error where it is no share of the volume."""
    values = np.asarray(theta, float)
    if (values < 0).any():
        raise InputError(f"a soil moisture of {np.nanmin(values):g} is below zero; mask codes of missing values and "
                         "readings below the range of the sensor")
    if (values > 1).any():
        raise InputError(f"a soil moisture of {np.nanmax(values):g} is above 1 m³ m⁻³; divide per cent by 100")
    return values


def celsius(temperature):
    """Temperature as an array, or an error where it cannot be in °C."""
    values = np.asarray(temperature, float)
    if (values > 80).any():
        raise InputError(f"a temperature of {np.nanmax(values):g} is beyond 80 °C; take 273.15 from kelvin")
    if (values <= T_LLOYD).any():
        raise InputError(f"a temperature of {np.nanmin(values):g} °C is below {T_LLOYD:.2f} °C; mask codes of missing "
                         "values")
    return values


def like(given, values):
    """Values as what was given: a DataArray with its coordinates, or an array."""
    return given.copy(data=values).drop_attrs() if isinstance(given, xr.DataArray) else values


def respiration(theta, temperature, *, base, moisture_response, temperature_response):
    """Ecosystem respiration as a base rate times its moisture and temperature responses.

    R(t) = base · f(θ(t)) · g(T(t))

    theta                 (time,)  volumetric soil water [m³ m⁻³]
    temperature           (time,)  soil temperature at 5 cm [°C]
    base                           respiration at f = g = 1 [µmol m⁻² s⁻¹]
    moisture_response              f, function of theta [-]
    temperature_response           g, function of temperature [-]
    returns               (time,)  [µmol m⁻² s⁻¹]
    raises                InputError if theta lies outside 0-1 (per cent given for a share), or for kelvin

    Clark et al. (2011), Geosci. Model Dev. 4:701, eq. 65. The product is an assumption: where substrate or oxygen limit
    the flux, the best temperature moves with moisture, and no f and g can follow.

    >>> respiration(0.3, 10.0, base=2.0, moisture_response=lambda w: 0.5, temperature_response=lambda t: 1.0)
    1.0
    """
    moisture(theta), celsius(temperature)
    return base * moisture_response(theta) * temperature_response(temperature)


# ---- the forms

def jules_moisture(theta, saturated, wilting, *, pools=1):
    """Moisture response of JULES: a rise to an optimum, and a slow fall when pores fill with water.

    s = θ/θ_sat,   s_w = θ_wilt/θ_sat,   s_o = (1 + s_w)/2,   s_min = c·s_w

    f = 0.2                                    s ≤ s_min
    f = 0.2 + 0.8 (s − s_min)/(s_o − s_min)    s_min < s ≤ s_o
    f = 1 − 0.8 (s − s_o)                      s > s_o

    theta      (...) [m³ m⁻³]; DataArray or numpy
    saturated  θ_sat, one or (...) [m³ m⁻³]
    wilting    θ_wilt, water content at −1.5 MPa, one or (...) [m³ m⁻³]
    pools      1 with c = 1, or 4 (RothC) with c = 1.7
    returns    like theta, 0.2-1 [-]; above saturation it counts as saturated
    raises     InputError for moisture that is no share, a wilting point that is not below saturation, other pools

    With four pools and s_w ≥ 0.417 (clays) s_min lies above s_o: the rise is gone, f jumps from 0.2 onto the fall.
    Clark et al. (2011), eqs 65-67; source of JULES, routine ``microbe``.

    >>> jules_moisture(np.array([0.04, 0.16, 0.26, 0.40]), 0.40, 0.12).round(3).tolist()
    [0.2, 0.429, 1.0, 0.72]
    """
    if pools not in (1, 4):
        raise InputError(f"pools = {pools}; JULES has 1 or 4")
    high, low = moisture(saturated), moisture(wilting)
    if not (low < high).all():
        raise InputError(f"a wilting point of {np.max(low):g} is not below a saturation of {np.min(high):g} m³ m⁻³; "
                         "look whether the two are exchanged")
    s, s_w = np.minimum(moisture(theta) / high, 1.0), low / high
    optimum, least = (1 + s_w) / 2, (1.0 if pools == 1 else 1.7) * s_w
    width = np.where(optimum > least, optimum - least, 1.0)  # without a rise nothing is divided by it
    rise = 0.2 + 0.8 * (s - least) / width
    return like(theta, np.where(s <= least, 0.2, np.where(s <= optimum, rise, 1 - 0.8 * (s - optimum))))


def q10(temperature, *, q10=2.0, reference=T_Q10):
    """Temperature response by a factor for ten kelvin: g = q₁₀^((T − T_ref)/10).

    temperature  (...) [°C]
    q10          [-]
    reference    at which g = 1 [°C]; default that of JULES, 282.4 K
    returns      like temperature [-]
    raises       InputError for kelvin or missing codes

    Clark et al. (2011), eqs 65-67.

    >>> q10(np.array([0.0, 10.0, 20.0, 25.0])).round(3).tolist()
    [0.527, 1.053, 2.107, 2.979]
    """
    return like(temperature, q10 ** ((celsius(temperature) - reference) / 10))


def rothc(temperature):
    """Temperature response of RothC as JULES has it: g = 47.9/(1 + exp(106/(T_K − 254.85))), 0 up to 263.15 K.

    temperature  (...) [°C]
    returns      like temperature [-]; 1 at 9.25 °C
    raises       InputError for kelvin or missing codes

    Clark et al. (2011), eqs 65-67; Coleman & Jenkinson (1996) for the model.

    >>> rothc(np.array([-15.0, 0.0, 10.0, 20.0, 25.0])).round(3).tolist()
    [0.0, 0.146, 1.105, 2.831, 3.812]
    """
    kelvin = celsius(temperature) + ZERO
    warm = np.where(kelvin <= 263.15, 263.15, kelvin)  # keeps NaN
    return like(temperature, np.where(kelvin <= 263.15, 0.0, 47.9 / (1 + np.exp(106 / (warm - 254.85)))))


def lloyd_taylor(temperature, *, e0=308.56, reference=10.0):
    """Temperature response of Lloyd and Taylor: g = exp[E₀ (1/(T_ref − T₀) − 1/(T − T₀))], T₀ = 227.13 K.

    temperature  (...) [°C]
    e0           E₀ [K]; default that of the paper
    reference    T_ref, at which g = 1 [°C]; default that of the paper, 283.15 K
    returns      like temperature [-]
    raises       InputError for kelvin or missing codes

    Its Q10 falls as it gets warmer, see ``sensitivity``. Lloyd & Taylor (1994), Funct. Ecol. 8:315.

    >>> lloyd_taylor(np.array([0.0, 10.0, 20.0])).round(3).tolist()
    [0.302, 1.0, 2.303]
    """
    return like(temperature, np.exp(e0 * (1 / (reference - T_LLOYD) - 1 / (celsius(temperature) - T_LLOYD))))


def sensitivity(response, temperature, *, span=10.0):
    """Q10 of any temperature response, about a temperature: [g(T + span/2) / g(T − span/2)]^(10/span).

    response     g, function of °C
    temperature  (...) [°C]
    span         [K]; the smaller, the more local
    returns      like temperature [-]; infinite or NaN where g is 0
    raises       InputError for a span that is not above zero

    >>> round(float(sensitivity(lloyd_taylor, 10.0)), 3), round(float(sensitivity(q10, 25.0)), 3)
    (2.694, 2.0)
    """
    if not span > 0:
        raise InputError(f"span = {span} K; give one above zero")
    with np.errstate(divide="ignore", invalid="ignore"):
        return (response(temperature + span / 2) / response(temperature - span / 2)) ** (10 / span)


def vegetation_factor(cover):
    """Slower turnover under plants, for the four pools of RothC alone: f_v = 0.6 + 0.4 (1 − cover).

    cover    (...) share of the ground with vegetation [-]
    returns  like cover, 0.6-1 [-]
    raises   InputError for a share outside 0-1

    Clark et al. (2011).

    >>> vegetation_factor(1.0), vegetation_factor(0.0)
    (0.6, 1.0)
    """
    if ((np.asarray(cover) < 0) | (np.asarray(cover) > 1)).any():
        raise InputError("a vegetation cover lies outside 0-1; divide per cent by 100")
    return 0.6 + 0.4 * (1 - cover)


def layer_factor(depth, *, decay=2.0):
    """Slower turnover with depth in the layered form of JULES: e^(−τz).

    depth    z (...) of the middle of the layer, downwards [m]
    decay    τ [m⁻¹]
    returns  like depth [-]
    raises   InputError for a depth below zero

    >>> round(float(layer_factor(0.5)), 3)
    0.368
    """
    if (np.asarray(depth) < 0).any():
        raise InputError(f"a depth of {np.min(depth):g} m is below zero; depths count downwards")
    return np.exp(-decay * depth)


def micromoles(flux):
    """kg C m⁻² s⁻¹ as µmol m⁻² s⁻¹.

    >>> round(micromoles(1e-8), 4)
    0.8326
    """
    return flux * CARBON


def kilograms(flux):
    """µmol m⁻² s⁻¹ as kg C m⁻² s⁻¹.

    >>> round(kilograms(micromoles(3e-8)), 12)
    3e-08
    """
    return flux / CARBON


def jules_base(carbon, *, cover=None):
    """Base rate of JULES from the carbon of the soil, before f and g: Σ κ·C over pools.

    carbon   C_s of the single pool, one or (...) [kg m⁻²]; or a dict of all or some of the pools of ``RATES``
    cover    share of vegetation [-], for pools only; None: without the factor
    returns  [µmol m⁻² s⁻¹]
    raises   InputError for an unknown pool, or a cover with the single pool

    Clark et al. (2011), eqs 65-67. The whole flux of the pools is returned: JULES gives a part of it back to BIO
    and HUM.

    >>> round(jules_base(10.0), 3), round(jules_base({"rpm": 2.0, "hum": 8.0}), 3)
    (4.163, 2.035)
    """
    if not isinstance(carbon, dict):
        if cover is not None:
            raise InputError("the single pool of JULES knows no vegetation factor; leave cover out or give four pools")
        return micromoles(KAPPA * carbon)
    unknown = [name for name in carbon if name not in RATES]
    if unknown:
        raise InputError(f"no pool '{unknown[0]}'{near(unknown[0], RATES)}")
    total = sum(RATES[name] * amount for name, amount in carbon.items())
    return micromoles(total) * (1.0 if cover is None else vegetation_factor(cover))


# ---- fits

def _quadratic(t, w, known, r_ref, e0, slope, bend):
    away = w - known["middle"]
    return r_ref * lloyd_taylor(t, e0=e0) * np.maximum(1 + slope * away + bend * away**2, 0)


def _exponential(t, w, known, r_ref, e0, slope):
    return r_ref * lloyd_taylor(t, e0=e0) * np.exp(slope * (w - known["middle"]))


def _jules(g):
    return lambda t, w, known, base: base * g(t) * jules_moisture(w, known["saturated"], known["wilting"])


FORMS = {  # name: parameters, their start, R(T, θ), whether it needs θ
    "lloyd_taylor": (("r_ref", "e0"), (1.0, 200.0), lambda t, w, known, r, e: r * lloyd_taylor(t, e0=e), False),
    "lloyd_taylor_quadratic": (("r_ref", "e0", "slope", "bend"), (1.0, 200.0, 0.0, 0.0), _quadratic, True),
    "lloyd_taylor_exponential": (("r_ref", "e0", "slope"), (1.0, 200.0, 0.0), _exponential, True),
    "jules_q10": (("base",), (1.0,), _jules(q10), True),
    "jules_rothc": (("base",), (1.0,), _jules(rothc), True),
}


@dataclass(frozen=True)
class Fit:
    """A classical form fitted to fluxes.

    form       name of ``FORMS``
    values     parameter → value; intervals: parameter → (low, high)
    n          rows it was fitted to; retrieved: their share of all rows with a flux [-]
    weeks      blocks of the bootstrap; converged: share of its draws with a fit [-]
    rmse       of the rows it was fitted to [µmol m⁻² s⁻¹]; r2: share of their variance [-]
    known      what was not fitted: middle (median θ), saturated, wilting
    drawn      (draw, parameter), NaN where a draw had no fit
    """

    form: str
    values: dict
    intervals: dict
    n: int
    retrieved: float
    weeks: int
    converged: float
    rmse: float
    r2: float
    known: dict
    drawn: np.ndarray

    def predict(self, temperature, theta=None):
        """Flux at (...) temperature [°C] and moisture [m³ m⁻³]: (...) [µmol m⁻² s⁻¹]; NaN where one is missing."""
        return self._at(temperature, theta, self.values.values())

    def band(self, temperature, theta=None, *, level=0.95):
        """Interval of the fitted curve, low and high (...); the scatter of single fluxes is not in it."""
        made = [self._at(temperature, theta, p) for p in self.drawn if np.isfinite(p).all()]
        return tuple(np.quantile(made, tails(level, self.weeks), axis=0))

    def _at(self, temperature, theta, parameters):
        _, _, form, wet = FORMS[self.form]
        if wet and theta is None:
            raise InputError(f"'{self.form}' needs the soil moisture; give theta")
        return form(celsius(temperature), moisture(theta) if wet else None, self.known, *parameters)


def tails(level, blocks):
    """Quantiles of bootstrap draws that bound an interval, widened for few blocks as Student's t is.

    >>> [round(float(q), 4) for q in tails(0.95, 10)], round(float(tails(0.95, 10_000)[0]), 4)
    ([0.0086, 0.9914], 0.025)
    """
    low = norm.cdf(-np.sqrt(blocks / (blocks - 1)) * student.ppf((1 + level) / 2, blocks - 1))
    return low, 1 - low


def fit(form, flux, temperature, theta=None, *, time, saturated=None, wilting=None, draws=200, block=7, level=0.95,
        seed=0):
    """Fit a classical form to fluxes by least squares, with intervals from a bootstrap of whole weeks.

    lloyd_taylor              R = R_ref · g(T; E₀), g of ``lloyd_taylor`` with T_ref = 10 °C
    lloyd_taylor_quadratic    … · max(0, 1 + slope·(θ − θ_m) + bend·(θ − θ_m)²), θ_m the median of θ
    lloyd_taylor_exponential  … · exp(slope·(θ − θ_m))
    jules_q10, jules_rothc    R = base · f(θ) · g(T) with f of ``jules_moisture``; the base alone is fitted

    form         name
    flux         (time,) [µmol m⁻² s⁻¹]
    temperature  (time,) [°C]
    theta        (time,) [m³ m⁻³], for all forms but the first
    time         (time,) datetime64, in any order; tells the week
    saturated    θ_sat of the soil [m³ m⁻³], for JULES
    wilting      θ_wilt [m³ m⁻³], for JULES
    draws        of the bootstrap
    block        days that are drawn together [days]
    level        of the interval [-]
    seed         of the draws
    returns      Fit
    raises       InputError for an unknown form, arrays of different length, missing arguments, fewer rows than twice
                 the parameters, fewer than 4 weeks, or where the rows cannot tell the parameters

    Rows with a missing value are left out; ``Fit.retrieved`` tells the share that is kept. The two moisture forms and
    the weekly blocks are project defaults. Where it is dry when it is warm, θ and T cannot be told apart: look at the
    intervals of E₀ and slope together. Intervals are percentiles widened for few blocks (Hesterberg 2015, Am. Stat.
    69:371). In simulated seasons with noise in spells of a week those of 95 % held the truth in 90 % of the cases,
    with blocks of two weeks in 92 %: where noise lasts longer, take longer blocks.
    """
    if form not in FORMS:
        raise InputError(f"no form '{form}'{near(form, FORMS)}")
    names, start, curve, wet = FORMS[form]
    flux, t = np.asarray(flux, float), celsius(temperature)
    if wet and theta is None:
        raise InputError(f"'{form}' needs the soil moisture; give theta")
    w = moisture(theta) if wet else np.zeros(flux.shape)
    day = (np.asarray(time, "datetime64[ns]") - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    if not flux.shape == t.shape == w.shape == day.shape or flux.ndim != 1:
        raise InputError(f"flux, temperature, moisture and time have the shapes {flux.shape}, {t.shape}, {w.shape}, "
                         f"{day.shape}; give one series of each, of the same length")
    good = np.isfinite(flux) & np.isfinite(t) & np.isfinite(w) & np.isfinite(day)
    asked = int(np.isfinite(flux).sum())
    flux, t, w, day = flux[good], t[good], w[good], day[good]
    if flux.size < 2 * len(names):
        raise InputError(f"{flux.size} of {asked} fluxes have temperature and moisture; '{form}' needs "
                         f"{2 * len(names)}")
    known = {}
    if form.startswith("jules"):
        if saturated is None or wilting is None:
            raise InputError(f"'{form}' needs saturated and wilting, the water contents of the soil")
        known = {"saturated": float(saturated), "wilting": float(wilting)}
    elif wet:
        known = {"middle": float(np.median(w))}
    _, week = np.unique(np.floor(day / block), return_inverse=True)
    weeks = int(week.max()) + 1
    if weeks < WEEKS:
        raise InputError(f"the fluxes are of {weeks} blocks of {block} days; an interval needs {WEEKS}")

    def fitted(rows, first):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", OptimizeWarning)  # a covariance that cannot be told is looked at below
            return curve_fit(lambda _, *p: curve(t[rows], w[rows], known, *p), None, flux[rows], first, method="lm",
                             maxfev=4000)

    whole = slice(None)
    try:
        best, covariance = fitted(whole, (max(flux.mean(), 0.01), *start[1:]))
    except RuntimeError as error:
        raise InputError(f"no least-squares fit of '{form}' to {flux.size} fluxes; try a form with fewer parameters, "
                         "or a longer series") from error
    if not np.isfinite(covariance).all():
        raise InputError(f"{flux.size} fluxes cannot tell the parameters of '{form}'; temperature or moisture hardly "
                         "vary")
    rng, members = np.random.default_rng(seed), [np.flatnonzero(week == k) for k in range(weeks)]
    drawn = np.full((int(draws), len(names)), np.nan)
    for k in range(len(drawn)):
        rows = np.concatenate([members[j] for j in rng.integers(weeks, size=weeks)])
        try:
            drawn[k] = fitted(rows, best)[0]
        except RuntimeError:
            continue  # stays NaN and is told as Fit.converged
    ok = np.isfinite(drawn).all(1)
    bounds = np.full((2, len(names)), np.nan)
    if ok.mean() >= 0.5:
        bounds = np.quantile(drawn[ok], tails(level, weeks), axis=0)
    away = flux - curve(t, w, known, *best)
    r2 = 1 - np.mean(away**2) / np.var(flux) if np.var(flux) > 0 else np.nan
    return Fit(form, {name: float(v) for name, v in zip(names, best)},
               {name: (float(low), float(high)) for name, low, high in zip(names, *bounds)}, flux.size,
               flux.size / asked, weeks, float(ok.mean()), float(np.sqrt(np.mean(away**2))), float(r2), known, drawn)
