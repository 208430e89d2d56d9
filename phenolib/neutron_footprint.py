"""The footprint of a cosmic-ray neutron probe: how deep and how far it sees, and means of cores by that.

Units: depth and distance m, bulk density g cm⁻³, soil moisture m³ m⁻³, absolute humidity g m⁻³, pressure hPa.
"""

from dataclasses import dataclass

import numpy as np

from phenolib.errors import InputError

RANGES = {  # what is given: smallest and largest value, unit, and what a wrong one may be
    "neutrons": (0, 1e6, "counts per hour", "a count of 0 or less is a missing one"),
    "pressure": (300, 1100, "hPa", "1 kPa is 10 hPa"),
    "humidity": (0, 60, "g m⁻³", "a value in kg m⁻³ is to be multiplied with 1000"),
    "temperature": (-60, 60, "°C", "subtract 273.15 from Kelvin"),
    "relative humidity": (0, 110, "%", ""),
    "vapour pressure": (0, 80, "hPa", "1 kPa is 10 hPa"),
    "soil moisture": (0, 1, "m³ m⁻³", "divide per cent by 100"),
    "bulk density": (0.02, 2.65, "g cm⁻³", "divide kg m⁻³ by 1000"),
    "lattice water": (0, 0.5, "g g⁻¹", "divide per cent by 100"),
    "organic carbon": (0, 0.6, "g g⁻¹", "divide per cent by 100"),
    "biomass": (0, 100, "kg m⁻²", "10 t ha⁻¹ are 1 kg m⁻²"),
}


@dataclass(frozen=True)
class Weighted:
    """A profile as neutrons see it: theta [m³ m⁻³], depth86 [m], covered: share of their weight in the profile [-]."""

    theta: np.ndarray
    depth86: np.ndarray
    covered: np.ndarray


def depth86(theta, bulk_density, distance=0.0):
    """Depth above which 86 % of the neutrons come from [m], at a rescaled distance [m] from the probe.

    D = [8.321 + 0.14249 (0.96655 + e^(−r/100)) (20 + θ)/(0.0429 + θ)] / ρ cm. Köhli et al. (2015), Water Resour. Res.
    51:5772; Schrön et al. (2017). InputError out of range.

    >>> depth86(np.array([0.05, 0.2, 0.4]), 1.4).round(3).tolist()
    [0.491, 0.226, 0.152]
    """
    check("soil moisture", theta)
    check("bulk density", bulk_density)
    far = 0.96655 + np.exp(-distance / 100)
    return (8.321 + 0.14249 * far * (20 + theta) / (0.0429 + theta)) / bulk_density / 100


def depth_weights(depths, depth):
    """Weight of each layer of a profile: the integral of e^(−2z/D) over it, of 1 in all.

    depths   (k,) middles of the layers [m], ascending; layers meet halfway, the first begins at the surface
    depth    (...) D of ``depth86`` [m]
    returns  (..., k) adding up to the share of the weight that the profile covers

    >>> depth_weights([0.05, 0.15, 0.25], 0.2).round(3).tolist()
    [0.632, 0.233, 0.086]
    """
    depths = np.atleast_1d(np.asarray(depths, float))
    if depths.ndim != 1 or not (depths > 0).all() or (np.diff(depths) <= 0).any() or depths[-1] > 10:
        raise InputError(f"the depths {', '.join(f'{d:g}' for d in depths.ravel())} m are not middles of layers; give "
                         "metres above 0, ascending")
    edges = np.r_[0, (depths[1:] + depths[:-1]) / 2, 0]
    edges[-1] = 2 * depths[-1] - edges[-2]
    return -np.diff(np.exp(-2 * edges / np.asarray(depth, float)[..., None]), axis=-1)


def depth_weighted(theta, depths, *, bulk_density, distance=0.0):
    """Mean moisture of profiles as neutrons weight it; depth and mean are found in turns.

    theta         (..., k) [m³ m⁻³]; a missing layer has no weight, and ``covered`` is less
    depths        (k,) middles of the layers [m]
    bulk_density  [g cm⁻³], of the profile
    distance      rescaled, from the probe [m]
    returns       Weighted of (...); NaN where no layer is known
    raises        InputError for per cent, other numbers of depths than of layers, or wrong depths

    Schrön et al. (2017), Hydrol. Earth Syst. Sci. 21:5009.
    """
    theta = np.asarray(theta, float)
    check("soil moisture", theta)
    if theta.ndim == 0 or theta.shape[-1] != np.size(depths):
        raise InputError(f"theta of the shape {theta.shape} has not one value for each of {np.size(depths)} depths; "
                         "the last dimension is depth")
    known = np.isfinite(theta)
    mean = np.where(known.any(-1), np.where(known, theta, 0).sum(-1) / np.maximum(known.sum(-1), 1), np.nan)
    for _ in range(100):
        depth, before = depth86(mean, bulk_density, distance), mean
        weights = np.where(known, depth_weights(depths, depth), 0)
        mean = (weights * np.where(known, theta, 0)).sum(-1) / np.where(known.any(-1), weights.sum(-1), np.nan)
        if not (abs(mean - before) > 1e-7).any():
            break
    return Weighted(mean, depth86(mean, bulk_density, distance), weights.sum(-1))


def rescaled(distance, *, pressure=1013.25, theta=0.1, vegetation=0.0):
    """A distance as it would be at sea level without plants: r* = r / (F_p · F_veg).

    F_p = 0.4922 / (0.86 − e^(−P/1013.25)) ;  F_veg = 1 − 0.17 (1 − e^(−0.41 H)) (1 + e^(−9.25 θ))

    Thin air widens the footprint, plants narrow it; a point of a narrow footprint is relatively farther. (One public
    program multiplies with the factors here; near sea level over low plants it makes no difference.)

    distance    [m]
    pressure    [hPa]
    theta       mean of the footprint [m³ m⁻³]
    vegetation  height of the plants [m]
    returns     like distance [m]
    raises      InputError out of range

    Köhli et al. (2015); Schrön et al. (2017).

    >>> round(float(rescaled(100.0, pressure=700.0)), 1), round(float(rescaled(100.0, vegetation=20.0)), 1)
    (72.9, 131.1)
    """
    check("pressure", pressure)
    check("soil moisture", theta)
    air = 0.4922 / (0.86 - np.exp(-pressure / 1013.25))
    plants = 1 - 0.17 * (1 - np.exp(-0.41 * vegetation)) * (1 + np.exp(-9.25 * theta))
    return distance / air / plants


def distance_weights(distance, theta, humidity):
    """Weight of a core by its distance from the probe: neutrons that come from the ring at r, not normalised.

    W = (A₀e^(−A₁r) + A₂e^(−A₃r)) (1 − e^(−3.7r))  to 1 m, without the last factor to 50 m, with B in place of A beyond;
    A and B depend on θ and h. The ring is in W: cores need not be weighted with the area that they stand for.

    distance  (...) rescaled [m], see ``rescaled``
    theta     mean of the footprint [m³ m⁻³]; taken as 0.02 to 0.5, for which the formula was made
    humidity  [g m⁻³]
    returns   (...) float64
    raises    InputError for a distance below 0 or above 600 m, or values out of range

    Köhli et al. (2015), with the parameters of Schrön et al. (2017), Appendix A, as a public program of their authors
    gives them.

    >>> near, middle, far = distance_weights(np.array([5.0, 75, 200]), 0.1, 5.0)
    >>> round(float(near / middle), 1), round(float(middle / far), 1)
    (4.1, 3.1)
    """
    check("soil moisture", theta)
    check("humidity", humidity)
    r, x, y = np.asarray(distance, float), float(humidity), float(np.clip(theta, 0.02, 0.5))
    if not ((r >= 0) & (r <= 600)).all():
        raise InputError(f"a distance of {r.min():g} to {r.max():g} m from the probe; 0 to 600 m is expected")
    exp = np.exp
    a0 = 8735 * (1 + 0.00978 * x) * exp(-22.689 * y) + 11720 * (1 + 0.003632 * x) - 9306 * y
    a1 = ((-0.027925 + 6.851e-5 * x) * exp(-6.6577 * y / (1 + 12.2755 * y)) + 0.028544) * (1 + 0.002455 * x)
    a2 = 247970 * (1 + 0.00191 * x) * exp(-23.289 * y) + 374655 - 258552 * y
    a3 = 0.054818 * exp(-21.032 * y) + 0.6373 - 0.0791 * y + 5.425e-4 * x
    b0 = (39006 - 15002337 / (2009.24 * y + x - 0.13)) * (0.01181 - y) * exp(-3.146 * y) - 16.7417 * x * y + 3727
    b1 = 6.031e-5 * (x + 98.5) + 0.0013826 * y
    b2 = (11747 * (1 - 0.00475 * x) * exp(-55.033 * y * (1 - 0.00604 * x)) + 4521 - 3347.4 * y) * (2 + 0.01998 * x)
    b3 = ((-0.01543 + 8.81e-5 * x) * exp(-13.29 * y / (1 + 0.0405 * x + 26.74 * y)) + 0.01807) * (2 + 0.0011 * x)
    near = (a0 * exp(-a1 * r) + a2 * exp(-a3 * r)) * np.where(r <= 1, 1 - exp(-3.7 * r), 1)
    return np.where(r < 50, near, b0 * exp(-b1 * r) + b2 * exp(-b3 * r))


def check(name, values):
    """InputError where a value is out of the range that its name has in ``RANGES``; missing values pass."""
    low, high, units, hint = RANGES[name]
    wrong = [v for v in (smallest(values), largest(values)) if v < low or v > high]
    if wrong:
        raise InputError(f"{name} {wrong[0]:g} is out of range; {low:g} to {high:g} {units} is expected"
                         + (f"; {hint}" if hint else ""))


def smallest(values):
    """The smallest of some values, NaN where all are missing."""
    return float(np.fmin.reduce(np.ravel(np.asarray(values, float)), initial=np.nan))


def largest(values):
    """The largest of some values, NaN where all are missing."""
    return float(np.fmax.reduce(np.ravel(np.asarray(values, float)), initial=np.nan))
