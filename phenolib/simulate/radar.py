"""What a C-band radar satellite sees of a field: soil, water in the canopy, flooded paddies, speckle, tracks."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from phenolib.errors import InputError, near
from phenolib.simulate.optics import GREEN, RIPE

WAVENUMBER = 1.133  # k at 5.405 GHz [1/cm]
ROUGHNESS = 1.2  # standard deviation of the height of the soil surface [cm], project default
FLOODED = {"vv": 10**-2.0, "vh": 10**-2.8}  # power from standing water seen obliquely, project defaults


@dataclass(frozen=True)
class Plants:
    """Parameters of the water cloud model for a group of crops.

    form     "leaf": V₁ is the standing area; "one": V₁ = 1
    vv, vh   A and B, see ``backscatter``
    """

    form: str
    vv: tuple[float, float]
    vh: tuple[float, float]


GROUPS = {
    # Project defaults; with V₁ = 1 wheat falls in both polarisations until heading, as it is observed to.
    "small grain": Plants("one", (0.028, 0.16), (0.007, 0.20)),
    # Project defaults; driven by leaf area, for comparison with the line above.
    "small grain by leaf": Plants("leaf", (0.010, 0.12), (0.0042, 0.16)),
    # Project defaults.
    "maize": Plants("leaf", (0.018, 0.13), (0.0068, 0.22)),
    # Project defaults without a source, set near those of maize.
    "broad-leaved": Plants("leaf", (0.020, 0.14), (0.0065, 0.22)),
    # Set to the level of one field of sugar beet in Flanders.
    "upright broad-leaved": Plants("leaf", (0.055, 0.14), (0.0115, 0.22)),
    "rice": Plants("leaf", (0.018, 0.12), (0.0055, 0.18)),
    # Driven by NDVI, V₁ = V₂ = NDVI; numbers of Baghdadi et al. (2017) from memory, unverified.
    "ndvi": Plants("leaf", (0.0950, 0.5513), (0.0413, 1.1662)),
}
GROUP_OF = {  # crop of the landscape: group
    "corn": "maize", "rice": "rice",
    **dict.fromkeys(("sugar_beet", "catch_crop"), "upright broad-leaved"),
    **dict.fromkeys(("winter_wheat", "spring_wheat", "winter_barley"), "small grain"),
    **dict.fromkeys(("soybean", "dry_beans", "alfalfa", "tomato", "cotton", "potato", "grass", "water",
                     "fallow"), "broad-leaved")}


def decibel(power):
    """10 · log₁₀ of a power. returns (...) [dB]

    >>> float(decibel(0.01))
    -20.0
    """
    return 10 * np.log10(power)


def bare_soil(theta_surface, angle, *, roughness=ROUGHNESS):
    """Backscatter of bare soil in both polarisations.

    σ⁰_VV = 10^{−1.138} · cos^{1.528}θ · 10^{0.008·cotθ·mv} · (kH)^{0.71·sinθ}
    σ⁰_VH = 10^{−2.325} · cos^{−0.01}θ · 10^{0.011·cotθ·mv} · (kH)^{0.44·sinθ}

    theta_surface  (...)  water in the top centimetres [m³ m⁻³]; mv is the same in per cent
    angle          (...)  incidence angle θ [°]
    roughness      (...)  H [cm]
    returns        (...), (...)  σ⁰ VV and VH, linear power
    raises         InputError if soil water lies outside 0–1 (percent given as fraction) or the angle outside 15–60°

    Baghdadi et al. (2016), C band (k = 1.133 cm⁻¹); verified in the code of the package radarscatter. H is a project
    default.

    >>> [round(float(decibel(s)), 1) for s in bare_soil(0.2, 39.0)]
    [-10.5, -20.2]
    """
    theta, angle = np.asarray(theta_surface, dtype=float), np.asarray(angle, dtype=float)
    if np.any((theta < 0) | (theta > 1)):
        raise InputError("surface soil water outside 0-1; give m3 m-3, not per cent")
    if np.any((angle < 15) | (angle > 60)):
        raise InputError(f"incidence angle {angle.min():.3g}-{angle.max():.3g} outside 15-60 degrees")
    sin, cos = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    wet, rough = 100 * theta * cos / sin, WAVENUMBER * np.asarray(roughness, dtype=float)
    vv = 10**-1.138 * cos**1.528 * 10 ** (0.008 * wet) * rough ** (0.71 * sin)
    vh = 10**-2.325 * cos**-0.01 * 10 ** (0.011 * wet) * rough ** (0.44 * sin)
    return vv, vh


def canopy_water(lai, ripeness=0.0, *, dead=0.0):
    """Water in a canopy as the leaf area that holds it when green.

    V₂ = LAI · (1 − r + r·d) + d·dead, d = water in a ripe leaf / in a green one

    lai       (...)  living leaf area index [m² m⁻²]
    ripeness  (...)  of the living leaves: 0 green – 1 ripe
    dead      (...)  area index of dead leaves and stems [m² m⁻²]
    returns   (...)  [m² m⁻²]

    Project default, with the leaf water of ``optics``: radar sees drying, and lags until the harvest.

    >>> float(canopy_water(4.0)), round(float(canopy_water(4.0, 1.0)), 2)
    (4.0, 0.53)
    """
    dry = RIPE["cw"] / GREEN["cw"]
    return np.asarray(lai) * (1 - (1 - dry) * np.asarray(ripeness)) + dry * np.asarray(dead)


def backscatter(group, standing, canopy_water, theta_surface, angle=39.0, *, flooded=0.0, roughness=ROUGHNESS,
                plants=None):
    """Backscatter of a field by the water cloud model, without speckle.

    σ⁰ = A·V₁·cosθ·(1 − T²) + T²·σ⁰_soil, T² = e^{−2·B·V₂ / cosθ}

    group          of crops, of ``GROUPS``; for a crop of the calendar see ``GROUP_OF``
    standing       (...)  standing leaf and stem area index [m² m⁻²]: V₁ of maize, rice and broad-leaved crops;
                          small-grain cereals have V₁ = 1, and it is not looked at. NDVI for the group "ndvi"
    canopy_water   (...)  V₂ [m² m⁻²], see ``canopy_water``; NDVI for the group "ndvi"
    theta_surface  (...)  water in the top centimetres [m³ m⁻³]
    angle          (...)  incidence angle θ [°]
    flooded        (...)  share of the ground under standing water; the soil model does not hold over water
    roughness      (...)  of the soil [cm]
    plants                parameters other than those of the group
    returns        (...), (...)  σ⁰ VV and VH, linear power
    raises         InputError for an unknown group or values out of range

    Attema & Ulaby (1978), verified; parameters of the groups are project defaults, of "ndvi" from memory; the power
    of water (−20 dB VV, −28 dB VH) is a project default without angle or wind, and without the echo from water to
    stem and back.

    >>> [round(float(decibel(s)), 1) for s in backscatter("maize", 4.0, 4.0, 0.2)]
    [-11.9, -17.0]
    """
    if plants is None:
        if group not in GROUPS:
            raise InputError(f"group of crops '{group}' has no radar parameters{near(group, GROUPS)}")
        plants = GROUPS[group]
    standing, water, flooded = (np.asarray(v, dtype=float) for v in (standing, canopy_water, flooded))
    for name, value in (("standing", standing), ("canopy_water", water)):
        if np.any(value < 0):
            raise InputError(f"{name} = {value.min():.3g} is negative")
    if np.any((flooded < 0) | (flooded > 1)):
        raise InputError("flooded is a share of the ground, 0-1")
    cos = np.cos(np.radians(np.asarray(angle, dtype=float)))
    matter = standing if plants.form == "leaf" else 1.0
    found = []
    for name, soil in zip(("vv", "vh"), bare_soil(theta_surface, angle, roughness=roughness)):
        a, b = getattr(plants, name)
        through = np.exp(-2 * b * water / cos)
        ground = (1 - flooded) * soil + flooded * FLOODED[name]
        found.append(a * matter * cos * (1 - through) + through * ground)
    return tuple(found)


def speckle(rng, image, *, looks=4.4, pixel=10.0, resolution=20.0):
    """Multiply an image with speckle that neighbours share, as in a product whose pixels are finer than its resolution.

    I = σ⁰ · Γ(L, 1/L). A white Gaussian field is averaged over the width of a resolution cell, and each of its values
    is turned into the gamma value of the same probability. So the mean of a patch varies as that of as many
    independent cells of 20 m as it holds, not of pixels of 10 m.

    rng         numpy Generator
    image       (..., y, x)  linear power; with speckle of its own for each image of a stack
    looks       L; 4.4 for the ground range product of Sentinel-1, from memory
    pixel       [m]
    resolution  [m]; ~20 × 22 m, from memory; not above ``pixel``: all pixels are independent
    returns     (..., y, x)  float32, linear power
    raises      InputError for an image with less than two dimensions or looks, pixel not above 0

    In dB: SD = (10/ln 10)·√ψ₁(L), 2.2 dB at L = 4.4, and a bias of (10/ln 10)·(ψ(L) − ln L) ≈ −0.5 dB.
    """
    image = np.asarray(image, dtype="float32")
    if image.ndim < 2:
        raise InputError(f"speckle needs an image (..., y, x), not an array of {image.ndim} dimension(s); "
                         "for points there is point_speckle")
    if not (looks > 0 and pixel > 0):
        raise InputError(f"looks = {looks} and pixel = {pixel} must be above 0")
    kernel, (rows, columns) = _cell(resolution / pixel), image.shape[-2:]
    more = kernel.size - 1
    field = rng.standard_normal((*image.shape[:-2], rows + more, columns + more), dtype="float32")
    field = sum(weight * field[..., k : k + rows, :] for k, weight in enumerate(kernel))
    field = sum(weight * field[..., k : k + columns] for k, weight in enumerate(kernel))
    normal = np.linspace(-5.5, 5.5, 2201)
    quantile = special.gammaincinv(looks, special.ndtr(normal)) / looks
    return image * np.interp(field, normal, quantile).astype("float32")


def _cell(width):
    """Weights of the average over ``width`` pixels, of unit sum of squares.

    The weight e of the last pixel is such that (Σw)² / Σw² is the width: an average over many pixels then varies as
    one over independent cells. returns (pixel,)
    """
    if width <= 1:
        return np.ones(1, "float32")
    whole = int(width)
    part = width - whole
    if part < 1e-9:
        weight = np.ones(whole)
    else:  # (m + e)² = width · (m + e²)
        edge = (whole - np.sqrt(whole**2 - (width - 1) * whole * part)) / (width - 1)
        weight = np.append(np.ones(whole), edge)
    return (weight / np.sqrt((weight**2).sum())).astype("float32")


def point_speckle(rng, power, *, looks=4.4):
    """Multiply values with speckle, each with its own: places or dates that share no resolution cell.

    rng      numpy Generator
    power    (...)  linear power
    looks    L; more for the mean of a field
    returns  (...)  linear power
    """
    return np.asarray(power) * rng.gamma(looks, 1 / looks, np.shape(power))


def gains(rng, orbits, *, most=0.5):
    """Error of calibration of each relative orbit, the same on all its dates.

    rng      numpy Generator
    orbits   relative orbits, one an observation or one each
    most     [dB]; the errors are uniform between −most and +most
    returns  dict of orbit: (vv, vh) factors on linear power

    Project default. Draws follow the sorted orbits.
    """
    names = sorted(set(orbits))
    factors = 10 ** (rng.uniform(-most, most, (len(names), 2)) / 10)
    return {name: (float(vv), float(vh)) for name, (vv, vh) in zip(names, factors)}
