"""Cosmic-ray neutrons near the ground: counts corrected for the air, and soil moisture from them and back.

Hydrogen slows fast neutrons, so a wet soil sends fewer of them up. Units: counts per hour, pressure hPa, absolute
humidity g m⁻³, bulk density g cm⁻³, lattice water and organic carbon g per g of dry soil, depth and distance m, soil
moisture m³ m⁻³. `bound` is the hydrogen of the dry soil as water, g g⁻¹, see ``bound_water``. How deep and how far a
probe sees is in ``phenolib.neutron_footprint``, its calibration in ``phenolib.neutron_calibration``.
"""

import numpy as np
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.neutron_footprint import check, depth86, largest, smallest

A0, A1, A2 = 0.0808, 0.372, 0.115  # Desilets et al. (2010)
BETA = 0.0076  # hPa⁻¹; a project default, 0.0070 to 0.0077 are in use
PRESSURE = 1013.25  # hPa
RIGIDITY = 4.49  # GV, of the neutron monitor at Jungfraujoch
ORGANIC_WATER = 0.556  # g of water with the hydrogen of 1 g of cellulose, 5·18/162
ORGANIC_MATTER = 1.724  # g of organic matter with 1 g of carbon, the usual factor; 1.7 to 2.25 are in use
UTS_DENSITY = 1.43  # g cm⁻³, of the soil for which the universal transport solution was computed
UTS = {  # p0 … p8, Köhli et al. (2021): two transport codes, with the response of a detector (drf) or an energy window
    "Mar21_mcnp_drf": (1.094, 0.028, 0.254, 3.537, 0.139, -0.0014, -0.0088, 0.000115, 0.0),
    "Mar21_mcnp_ewin": (1.265, 0.0259, 0.135, 1.237, 0.063, -0.00021, -0.0117, 0.00012, 0.0),
    "Mar21_uranos_drf": (1.024, 0.0226, 0.207, 1.625, 0.235, -0.0029, -0.0093, 7.4e-05, 0.0),
    "Mar21_uranos_ewin": (1.223, 0.0185, 0.142, 2.568, 0.155, -0.00047, -0.0119, 9.2e-05, 0.0),
}
FORMS = ("desilets", *UTS)


def absolute_humidity(temperature, *, relative=None, vapour_pressure=None):
    """Water vapour in air: h = 1000·e / (461.5·T), e in Pa and T in K.

    temperature      [°C]
    relative         relative humidity [%], or
    vapour_pressure  [hPa]
    returns          like temperature [g m⁻³]
    raises           InputError for none or both of the two, a humidity given as a fraction, Kelvin, values out of range

    Saturation vapour pressure as in FAO Irrigation and Drainage Paper 56, equation 11.

    >>> round(float(absolute_humidity(20.0, relative=100.0)), 2), round(float(absolute_humidity(10, relative=80)), 2)
    (17.28, 7.52)
    """
    if (relative is None) == (vapour_pressure is None):
        raise InputError("absolute humidity needs either the relative humidity [%] or the vapour pressure [hPa]")
    check("temperature", temperature)
    if relative is None:
        check("vapour pressure", vapour_pressure)
    else:
        check("relative humidity", relative)
        if 0 < largest(relative) <= 1:
            raise InputError(f"the relative humidity is {largest(relative):g} at most; it looks like a fraction, per "
                             "cent is expected, multiply with 100")
        vapour_pressure = relative / 100 * 6.108 * np.exp(17.27 * temperature / (temperature + 237.3))
    return 1000 * 100 * vapour_pressure / (461.5 * (temperature + 273.15))


def pressure_factor(pressure, reference=PRESSURE, beta=BETA):
    """Factor on counts for the mass of air above: f = exp(β (P − P₀)); pressures [hPa], β [hPa⁻¹]. InputError out of
    range.

    >>> round(float(pressure_factor(1003.25)), 4)
    0.9268
    """
    check("pressure", pressure)
    check("pressure", reference)
    if not 0.005 <= beta <= 0.01:
        raise InputError(f"beta = {beta:g} hPa⁻¹; 0.005 to 0.01 is expected, 0.0076 is usual")
    return np.exp(beta * (pressure - reference))


def humidity_factor(humidity, reference=0.0):
    """Factor on counts for water vapour: f = 1 + 0.0054 (h − h₀), h [g m⁻³]. Rosolem et al. (2013). InputError where h
    looks like kg m⁻³ or is out of range; not to be used with the universal transport solution, which has its own.

    >>> round(humidity_factor(10.0), 4)
    1.054
    """
    check("humidity", humidity)
    most = largest(humidity)
    if 0 < most < 0.05:  # so dry is only air below −40 °C
        raise InputError(f"the absolute humidity is {most:g} at most; it looks like kg m⁻³, g m⁻³ is expected, "
                         "multiply with 1000")
    return 1 + 0.0054 * (humidity - reference)


def incoming_factor(intensity, reference, rigidity=None):
    """What counts are divided by for the incoming rays: f = 1 + γ (I/I_ref − 1), γ = 1 − 0.075 (R_c − 4.49).

    intensity  of a neutron monitor, any unit
    reference  its intensity when the probe was calibrated, same unit
    rigidity   cut-off rigidity of the site [GV]; None: γ = 1
    returns    like intensity [-]
    raises     InputError for intensities of 0 or less, or a rigidity outside 0–20 GV

    Hawdon et al. (2014), Water Resour. Res. 50:5029; the form of f is from memory. γ belongs to the monitor at
    Jungfraujoch.

    >>> incoming_factor(110.0, 100.0), round(incoming_factor(110.0, 100.0, rigidity=2.55), 4)
    (1.1, 1.1146)
    """
    if not (smallest(intensity) > 0 and reference > 0):
        raise InputError(f"an incoming intensity of {min(smallest(intensity), reference):g} is not above 0; leave it "
                         "missing where the monitor did not run")
    if rigidity is not None and not 0 <= rigidity <= 20:
        raise InputError(f"rigidity = {rigidity:g}; the cut-off rigidity is 0 to 20 GV")
    gamma = 1 if rigidity is None else 1 - 0.075 * (rigidity - RIGIDITY)
    return gamma * (intensity / reference - 1) + 1


def biomass_factor(biomass):
    """Factor on counts for plants: f = 1 / (1 − 0.009 B), B above ground [kg m⁻²]. Baatz et al. (2015). InputError out
    of range.

    >>> round(biomass_factor(10.0), 4)
    1.0989
    """
    check("biomass", biomass)
    return 1 / (1 - 0.009 * biomass)


def corrected(neutrons, *, pressure, humidity=None, incoming=1.0, biomass=0.0, reference_pressure=PRESSURE,
              reference_humidity=0.0, beta=BETA):
    """Counts as they would be at reference pressure and humidity, under the reference rays, and without plants.

    neutrons            counts per hour as measured
    pressure            [hPa]
    humidity            [g m⁻³]; None leaves it out, as the universal transport solution wants it
    incoming            factor of ``incoming_factor``; 1 where no monitor is at hand, which takes the sun's cycle of
                        11 years, some 10 % of the counts, for soil moisture
    biomass             [kg m⁻²]
    reference_pressure, reference_humidity, beta   see ``pressure_factor`` and ``humidity_factor``
    returns             like neutrons
    raises              InputError for counts of 0 or less, or any input out of range
    """
    check("neutrons", neutrons)
    if smallest(neutrons) <= 0:
        raise InputError(f"a count of {smallest(neutrons):g} is not above 0; leave it missing where nothing was "
                         "counted")
    if smallest(incoming) <= 0:
        raise InputError(f"the factor of the incoming rays is {smallest(incoming):g}; above 0 is expected")
    found = neutrons * pressure_factor(pressure, reference_pressure, beta) * biomass_factor(biomass) / incoming
    return found if humidity is None else found * humidity_factor(humidity, reference_humidity)


def screened(neutrons, most=6.0, hours=25):
    """Hourly counts without those that chance cannot explain: part hours, jumps of the counter.

    A count is left out where it is more than ``most`` times √median from the median of the hours around it. A strong
    shower moves counts by less within an hour. Give counts corrected for pressure, or as measured.

    neutrons  (time,) DataArray, hourly
    most      in units of the chance of counting [-]; a project default
    hours     of the median
    returns   like neutrons, NaN where left out; attrs: screened (how many)

    >>> hourly = xr.DataArray(np.r_[np.full(30, 800.0), 300.0, np.full(30, 800.0)], dims="time")
    >>> screened(hourly).attrs["screened"]
    1
    """
    median = neutrons.rolling(time=int(hours), center=True, min_periods=int(hours) // 3).median()
    odd = abs(neutrons - median) > most * np.sqrt(median)
    return neutrons.where(~odd).assign_attrs({**neutrons.attrs, "screened": int(odd.sum())})


def bound_water(lattice_water=0.0, organic_carbon=0.0, soc_as="crspy"):
    """Hydrogen of the dry soil as water: lattice water, and that of organic matter.

    soc_as   "crspy": 0.556·SOC, as that program and most others code it; "organic_matter": 0.556·1.724·SOC, for 0.556
             is the water of organic matter, which is more than its carbon. The second is right for peat; a probe must
             be calibrated with the one with which it is read
    returns  [g g⁻¹]
    raises   InputError for another name, or per cent

    >>> round(bound_water(0.01, 0.1), 4), round(bound_water(0.01, 0.1, "organic_matter"), 4)
    (0.0656, 0.1059)
    """
    factors = {"crspy": ORGANIC_WATER, "organic_matter": ORGANIC_WATER * ORGANIC_MATTER}
    if soc_as not in factors:
        raise InputError(f"soc_as = '{soc_as}'{near(soc_as, factors)}")
    check("lattice water", lattice_water)
    check("organic carbon", organic_carbon)
    return lattice_water + factors[soc_as] * organic_carbon


def desilets(neutrons, n0, *, bulk_density, bound=0.0):
    """Soil moisture from corrected counts: θ = [a₀ / (N/N₀ − a₁) − a₂ − bound]·ρ.

    n0       counts over dry soil, from ``neutron_calibration.calibrate``
    returns  like neutrons [m³ m⁻³]; below 0 where counts are above those of dry soil, NaN where N ≤ 0.372 N₀, fewer
             than over water
    raises   InputError for counts of 0 or less

    Desilets et al. (2010), Water Resour. Res. 46:W11505.

    >>> float(desilets(685.4, 1000, bulk_density=1.4).round(3))
    0.2
    """
    ratio = _curved(_ratio(neutrons, n0, bulk_density))
    return (A0 / (ratio - A1) - A2 - bound) * bulk_density


def desilets_counts(theta, n0, *, bulk_density, bound=0.0):
    """Corrected counts over a soil of moisture θ: N = N₀ [a₀ / (θ/ρ + a₂ + bound) + a₁]; InputError for per cent.

    >>> desilets_counts(np.array([0.05, 0.2, 0.4, 0.6]), 1, bulk_density=1.4).round(4).tolist()
    [0.9081, 0.6854, 0.5736, 0.5206]
    """
    check("soil moisture", theta)
    check("bulk density", bulk_density)
    return to_counts(theta, n0, "desilets", None, bulk_density, bound)


def koehli(neutrons, n0, *, bulk_density, bound=0.0):
    """``desilets`` as Köhli et al. (2021) write it, with counts over soil without any hydrogen.

    N_max = N₀ (a₀ + a₁a₂)/a₂ ;  θ/ρ = −a₂ (1 − N/N_max) / (a₁a₂/(a₀ + a₁a₂) − N/N_max) − bound

    >>> float(koehli(685.4, 1000, bulk_density=1.4).round(3))
    0.2
    """
    share = _curved(_ratio(neutrons, n0, bulk_density)) * A2 / (A0 + A1 * A2)
    return (-A2 * (1 - share) / (A1 * A2 / (A0 + A1 * A2) - share) - bound) * bulk_density


def uts(theta, humidity, *, bulk_density=UTS_DENSITY, bound=0.0, parameters="Mar21_mcnp_drf"):
    """Counts over those of dry soil in dry air, N/N_D, by the universal transport solution.

    N/N_D = (p₁ + p₂s)/(p₁ + s)·(p₀ + p₆h + p₇h² + p₈h³/s) + e^(−p₃s) (p₄ + p₅h),  s = (θ + bound·ρ)·1.43/ρ

    theta       [m³ m⁻³], above 0
    humidity    [g m⁻³]
    parameters  one of ``UTS``
    returns     [-]
    raises      InputError for another set, or values out of range

    Köhli et al. (2021), Front. Water 2:544847, equation 15. N_D is a number of its own: calibrate, never convert N₀.

    >>> [round(float(uts(0.2, h)), 4) for h in (0, 5, 10)]
    [0.4466, 0.429, 0.4133]
    """
    check("soil moisture", theta)
    check("humidity", humidity)
    check("bulk density", bulk_density)
    return _uts((theta + bound * bulk_density) * UTS_DENSITY / bulk_density, humidity, _set(parameters))


def uts_theta(neutrons, n_dry, humidity, *, bulk_density, bound=0.0, parameters="Mar21_mcnp_drf"):
    """Soil moisture by bisection of ``uts``; counts corrected for all but humidity.

    neutrons, humidity  (...) counts per hour, [g m⁻³]
    n_dry               N_D, from ``neutron_calibration.calibrate``
    returns             (...) [m³ m⁻³]; down to −bound·ρ for dry soil; NaN where no moisture explains the counts, or an
                        input is missing

    >>> float(uts_theta(429.0, 1000, 5.0, bulk_density=1.43).round(3))
    0.2
    """
    ratio, humidity = _alike(_ratio(neutrons, n_dry, bulk_density), humidity)
    check("humidity", humidity)
    set_ = _set(parameters)
    low, high = xr.full_like(ratio, 1e-6), xr.full_like(ratio, 50.0)  # 50: peat with 1 g cm⁻³ of water at 0.03 g cm⁻³
    known = (ratio <= _uts(low, humidity, set_)) & (ratio >= _uts(high, humidity, set_))
    for _ in range(60):
        middle = (low + high) / 2
        more = _uts(middle, humidity, set_) > ratio  # than were counted: the soil is wetter
        low, high = low.where(~more, middle), high.where(more, middle)
    found = ((low + high) / 2 * bulk_density / UTS_DENSITY - bound * bulk_density).where(known)
    return found if isinstance(neutrons, xr.DataArray) else found.values


def to_counts(theta, n0, form, humidity, bulk_density, bound):
    """Corrected counts over a soil by any of ``FORMS``; theta and the rest as in ``desilets_counts`` and ``uts``,
    but theta is not checked."""
    if form == "desilets":
        return n0 * (A0 / (theta / bulk_density + A2 + bound) + A1)
    set_ = parameters_of(form)
    if humidity is None:
        raise InputError(f"form = '{form}' needs the humidity [g m⁻³]")
    return n0 * _uts((theta + bound * bulk_density) * UTS_DENSITY / bulk_density, humidity, set_)


def to_theta(neutrons, n0, form, humidity, bulk_density, bound):
    """Soil moisture from corrected counts by any of ``FORMS``, as ``desilets`` and ``uts_theta``."""
    if form == "desilets":
        return desilets(neutrons, n0, bulk_density=bulk_density, bound=bound)
    if humidity is None:
        raise InputError(f"form = '{form}' needs the humidity [g m⁻³]")
    return uts_theta(neutrons, n0, humidity, bulk_density=bulk_density, bound=bound, parameters=form)


def counting_band(neutrons, n0, *, bulk_density, bound=0.0, hours=1, factor=1.0, form="desilets", humidity=None,
                  level=0.9, draws=0, seed=0):
    """What the chance of counting does to soil moisture: a count of N has the variance N.

    With N corrected and the mean of some hours, SD(N) = √(N · factor / hours), and SD(θ) = SD(N) / |dN/dθ|. The curve
    is steep for few counts, so the band by draws leans to wet; that by SD(θ) does not.

    neutrons  (...) corrected, mean per hour
    hours     how many the mean is of; (...) or a number
    factor    corrected over measured counts; (...) or a number
    form      one of ``FORMS``
    humidity  [g m⁻³], for the universal transport solution
    level     probability within the band [-]
    draws     0: from SD(θ); else the quantiles of so many Poisson draws
    returns   sd, low, high: (...) [m³ m⁻³]; high is infinite where a drawn count is below that over water; NaN where
              there is no moisture
    raises    InputError as ``desilets``, or for a level outside 0–1

    >>> [round(float(part), 4) for part in counting_band(685.4, 1000, bulk_density=1.4, hours=24)]
    [0.0062, 0.1898, 0.2101]
    """
    from scipy.stats import norm

    if not 0 < level < 1:
        raise InputError(f"level = {level:g}; a probability between 0 and 1 is expected, such as 0.9")
    curve = form, humidity, bulk_density, bound
    theta = to_theta(neutrons, n0, *curve)
    step = 1e-4
    slope = (to_counts(theta + step, n0, *curve) - to_counts(theta - step, n0, *curve)) / (2 * step)
    sd = np.sqrt(neutrons * factor / hours) / abs(slope)
    if not draws:
        wide = norm.ppf(0.5 + level / 2) * sd
        return sd, theta - wide, theta + wide
    total, per = np.broadcast_arrays(np.asarray(neutrons * hours / factor, float), factor / np.asarray(hours, float))
    rng, known = np.random.default_rng(seed), np.isfinite(total)
    few, many = np.full((2, *total.shape), np.nan)
    for at in np.ndindex(total.shape):  # a place at a time: (draws, places) would not fit
        if known[at]:
            few[at], many[at] = np.quantile(rng.poisson(total[at], draws) * per[at], (0.5 - level / 2, 0.5 + level / 2))
    few, many = (neutrons * 0 + part for part in (few, many))
    low, high = to_theta(many, n0, *curve), to_theta(few, n0, *curve)
    lost = np.isnan(high) & known
    return sd, low, high.where(~lost, np.inf) if hasattr(high, "where") else np.where(lost, np.inf, high)


def moisture(data, n0, *, bulk_density, bound=0.0, form="desilets", hours=24, least=0.5, level=0.9, **correction):
    """Soil moisture of an hourly series, with its band.

    data          (time,) Dataset of neutrons (counts per hour), pa [hPa], and q [g m⁻³] or ta [°C] and rh [%]
    n0            of ``neutron_calibration.calibrate`` with the same form, bound water and correction
    hours         counts are averaged over so many hours that end at each time
    least         share of these that must have been counted [-]; a project default
    level         of the band
    correction    of ``corrected``: incoming, biomass, beta, reference_pressure, reference_humidity
    returns       (time,) Dataset of neutrons (corrected means), theta, theta_sd, theta_low, theta_high [m3 m-3],
                  depth86 [m]. theta is missing where it is below 0 or above the pores, 1 − ρ/2.65. attrs: retrieved
                  (share of the times with theta), counted (share with enough hours), out_of_range (share of the
                  counted), form, n0, bulk_density, bound, incoming ("1 throughout" or "corrected")
    raises        InputError for a missing variable, a series that is not hourly, and as ``corrected``
    """
    data, water = with_humidity(data)
    step = np.diff(data["time"].values)
    if step.size and (step != np.timedelta64(1, "h")).any():
        at = np.flatnonzero(step != np.timedelta64(1, "h"))[0] + 1
        raise InputError(f"the series is not hourly at {str(data['time'].values[at])[:16]}; give every hour, missing "
                         "ones as NaN")
    if int(hours) < 1 or not 0 < least <= 1 or not 0 < level < 1:
        raise InputError(f"hours = {hours}, least = {least}, level = {level}: give 1 hour or more, shares from 0 to 1")
    parameters_of(form)
    raw = data["neutrons"]
    fixed = corrected(raw, pressure=data["pa"], humidity=water if form == "desilets" else None, **correction)
    raw = raw.where(np.isfinite(fixed) & np.isfinite(water))
    window = dict(time=int(hours), min_periods=max(1, int(np.ceil(least * int(hours)))))
    number = raw.notnull().rolling(time=int(hours), min_periods=1).sum()
    mean = fixed.where(raw.notnull()).rolling(**window).mean()
    factor, humid = mean / raw.rolling(**window).mean(), water.where(raw.notnull()).rolling(**window).mean()
    theta = to_theta(mean, n0, form, humid, bulk_density, bound)
    sd, low, high = counting_band(mean, n0, bulk_density=bulk_density, bound=bound, hours=number, factor=factor,
                                  form=form, humidity=humid, level=level)
    counted, fits = mean.notnull(), (theta >= 0) & (theta <= 1 - bulk_density / 2.65)
    found = xr.Dataset({"neutrons": mean, "theta": theta.where(fits), "theta_sd": sd.where(fits),
                        "theta_low": low.where(fits), "theta_high": high.where(fits)})
    found["depth86"] = depth86(found["theta"], bulk_density)
    for name, variable in found.items():
        variable.attrs = {"units": {"neutrons": "h-1", "depth86": "m"}.get(name, "m3 m-3")}
    found.attrs = {"retrieved": float(fits.mean()), "counted": float(counted.mean()), "form": form, "n0": float(n0),
                   "out_of_range": float((~fits & counted).sum() / max(1, int(counted.sum()))),
                   "bulk_density": float(bulk_density), "bound": float(bound),
                   "incoming": "corrected" if "incoming" in correction else "1 throughout"}
    return found


def with_humidity(data):
    """The series, and its absolute humidity; InputError for a missing variable."""
    lacking = [name for name in ("time", "neutrons", "pa") if name not in data]
    if lacking or not ("q" in data or {"ta", "rh"} <= set(data)):
        raise InputError(f"the series has no '{lacking[0] if lacking else 'q'}'; neutrons, pa, and q (absolute "
                         "humidity) or ta and rh by time are needed")
    return data, data["q"] if "q" in data else absolute_humidity(data["ta"], relative=data["rh"])


def parameters_of(form):
    """Parameters of a form, None for Desilets; InputError for none of ``FORMS``."""
    if form not in FORMS:
        raise InputError(f"form or set '{form}' is not known{near(form, FORMS)}")
    return UTS.get(form)


def _ratio(neutrons, n0, bulk_density):
    """N/N₀, all checked."""
    if smallest(neutrons) <= 0 or not n0 > 0:
        raise InputError(f"a count of {smallest(neutrons):g} over n0 = {n0:g}: both must be above 0; leave it missing "
                         "where nothing was counted")
    check("bulk density", bulk_density)
    return (neutrons if hasattr(neutrons, "dims") else np.asarray(neutrons, float)) / n0


def _curved(ratio):
    """N/N₀ where the curve of Desilets has a moisture for it, else NaN."""
    return ratio.where(ratio > A1) if hasattr(ratio, "where") else np.where(ratio > A1, ratio, np.nan)


def _set(parameters):
    if parameters not in UTS:
        raise InputError(f"the set '{parameters}' is not known{near(parameters, UTS)}")
    return UTS[parameters]


def _alike(a, b):
    """Two arrays as DataArrays of one shape."""
    if isinstance(a, xr.DataArray) or isinstance(b, xr.DataArray):
        like = a * 0 + b * 0
        return like + a, like + b
    return tuple(xr.DataArray(part) for part in np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float)))


def _uts(s, h, p):
    return ((p[1] + p[2] * s) / (p[1] + s) * (p[0] + p[6] * h + p[7] * h**2 + p[8] * h**3 / s)
            + np.exp(-p[3] * s) * (p[4] + p[5] * h))
