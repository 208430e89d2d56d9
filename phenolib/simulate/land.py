"""Water and heat in the soil of simulated fields, day by day."""

from dataclasses import dataclass, replace

import numpy as np

from phenolib.errors import InputError

LAYERS = np.array([100.0, 900.0])[:, None]  # thickness: 0–10 and 10–100 cm [mm]
APART = 500.0  # between the middles of the layers [mm]
PARTS = 4  # of a day, for flows between the layers
TEXTURES = {  # θ_r, θ_s, α [cm⁻¹], n, K_s [cm d⁻¹]; class means, Carsel & Parrish (1988), Water Resour. Res. 24
    "sand": (0.045, 0.43, 0.145, 2.68, 712.8),
    "loamy sand": (0.057, 0.41, 0.124, 2.28, 350.2),
    "sandy loam": (0.065, 0.41, 0.075, 1.89, 106.1),
    "loam": (0.078, 0.43, 0.036, 1.56, 24.96),
    "silt": (0.034, 0.46, 0.016, 1.37, 6.00),
    "silt loam": (0.067, 0.45, 0.020, 1.41, 10.80),
    "sandy clay loam": (0.100, 0.39, 0.059, 1.48, 31.44),
    "clay loam": (0.095, 0.41, 0.019, 1.31, 6.24),
    "silty clay loam": (0.089, 0.43, 0.010, 1.23, 1.68),
    "sandy clay": (0.100, 0.38, 0.027, 1.23, 2.88),
    "silty clay": (0.070, 0.36, 0.005, 1.09, 0.48),
    "clay": (0.068, 0.38, 0.008, 1.09, 4.80),
}
NODES = np.array([0.05, 0.05, 0.1, 0.1, 0.2, 0.3, 0.4, 0.8, 1.0, 2.0])  # thickness of the layers of heat [m]
MIDDLES = np.cumsum(NODES) - NODES / 2
DIFFUSIVITY = 5e-7  # of heat in soil [m² s⁻¹]
YEAR = 365.25 * 86400.0  # [s]


@dataclass(frozen=True)
class Soil:
    """Hydraulic properties of fields, each (field,); both layers of a field are alike."""

    residual: np.ndarray  # θ_r [m³ m⁻³]
    saturated: np.ndarray  # θ_s [m³ m⁻³]
    alpha: np.ndarray  # α [kPa⁻¹]
    n: np.ndarray
    conductivity: np.ndarray  # K_s [mm d⁻¹]
    capacity: np.ndarray  # θ at −10 kPa, where drainage becomes slow [m³ m⁻³]
    wilting: np.ndarray  # θ at −1500 kPa [m³ m⁻³]
    sand: np.ndarray  # [%]
    clay: np.ndarray  # [%]


@dataclass(frozen=True)
class Water:
    """Water of fields."""

    theta: np.ndarray  # (layer, field) [m³ m⁻³]
    snow: np.ndarray  # (field,) [mm]
    pond: np.ndarray  # (field,) on the surface [mm]


def texture(sand, clay):
    """Texture class of soils after the triangle of the USDA.

    sand, clay  (field,) of the fine earth [%]
    returns     (field,) names, keys of ``TEXTURES``
    raises      InputError for shares below 0 or together above 100

    Soil Science Division Staff (2017), Soil survey manual, chapter 3.

    >>> texture([65, 20, 10], [10, 20, 45]).tolist()
    ['sandy loam', 'silt loam', 'silty clay']
    """
    sand, clay = np.atleast_1d(np.asarray(sand, float)), np.atleast_1d(np.asarray(clay, float))
    silt = 100 - sand - clay
    if not ((sand >= 0) & (clay >= 0) & (silt >= -1e-9)).all():
        raise InputError("sand and clay are out of range; give percentages of 0 or more, together at most 100")
    rules = [
        ("sand", silt + 1.5 * clay < 15),
        ("loamy sand", silt + 2 * clay < 30),
        ("sandy loam", ((clay >= 7) & (clay < 20) & (sand > 52)) | ((clay < 7) & (silt < 50))),
        ("silt", (silt >= 80) & (clay < 12)),
        ("silt loam", (silt >= 50) & (clay < 27)),
        ("loam", (clay < 27) & (silt >= 28) & (sand <= 52)),
        ("sandy clay loam", (clay < 35) & (silt < 28) & (sand > 45)),
        ("sandy clay", (clay >= 35) & (sand > 45)),
        ("clay loam", (clay < 40) & (sand > 20)),
        ("silty clay loam", clay < 40),
        ("silty clay", silt >= 40),
    ]
    return np.select([rule for _, rule in rules], [name for name, _ in rules], "clay")


def soils(sand, clay, rng=None):
    """Hydraulic properties of fields from their texture.

    sand, clay  (field,) of the fine earth [%]
    rng         numpy Generator that spreads α by 10 % and K_s by 30 % within a class; None: the means of the class
    returns     Soil of (field,)
    raises      InputError for shares below 0 or together above 100

    The means of texture classes of Carsel & Parrish (1988); the spread within a class is a project default, smaller
    than theirs, which is that of the classes of a whole country.
    """
    names = texture(sand, clay)
    residual, saturated, alpha, n, conductivity = np.array([TEXTURES[name] for name in names]).T
    spread = rng.standard_normal((2, len(names))) if rng is not None else np.zeros((2, len(names)))
    alpha = alpha * 10.197 * np.exp(0.1 * spread[0])  # cm⁻¹ to kPa⁻¹
    soil = Soil(residual, saturated, alpha, n, conductivity * 10 * np.exp(0.3 * spread[1]), residual, residual,
                np.broadcast_to(np.asarray(sand, float), alpha.shape),
                np.broadcast_to(np.asarray(clay, float), alpha.shape))
    return replace(soil, capacity=moisture(10.0, soil), wilting=moisture(1500.0, soil))


def moisture(tension, soil):
    """Water content at a tension: θ = θ_r + (θ_s − θ_r)·[1 + (α|ψ|)ⁿ]^{−m}, m = 1 − 1/n.

    tension  |ψ| [kPa], broadcast against (field,)
    returns  [m³ m⁻³]

    van Genuchten (1980), Soil Sci. Soc. Am. J. 44:892.
    """
    filled = (1 + (soil.alpha * tension) ** soil.n) ** (1 / soil.n - 1)
    return soil.residual + (soil.saturated - soil.residual) * filled


def tension(theta, soil):
    """Tension |ψ| [kPa] at a water content, the inverse of ``moisture``; at most 10⁶ kPa. returns like ``theta``"""
    filled = np.clip((theta - soil.residual) / (soil.saturated - soil.residual), 1e-9, 1.0)
    return np.minimum((filled ** (soil.n / (1 - soil.n)) - 1) ** (1 / soil.n) / soil.alpha, 1e6)


def conductivity(theta, soil):
    """Hydraulic conductivity K = K_s·S^½·[1 − (1 − S^{1/m})^m]², S the effective saturation. returns [mm d⁻¹]

    van Genuchten (1980), eq. 8.
    """
    m = 1 - 1 / soil.n
    filled = np.clip((theta - soil.residual) / (soil.saturated - soil.residual), 1e-9, 1.0)
    return soil.conductivity * np.sqrt(filled) * (1 - (1 - filled ** (1 / m)) ** m) ** 2


def start(soil, share=0.6):
    """Water of fields to begin with: layers filled from wilting point to field capacity by a share. returns Water"""
    theta = soil.wilting + share * (soil.capacity - soil.wilting)
    none = np.zeros_like(theta)
    return Water(np.stack([theta, theta]), none, none.copy())


def stored(water):
    """All water of fields. returns (field,) [mm]"""
    return (LAYERS * water.theta).sum(0) + water.snow + water.pond


def stress(water, soil, front, share):
    """How much of its demand a crop can transpire, and how much of it each layer gives.

    k = clip((TAW − D_r) / ((1 − p)·TAW), 0, 1), TAW = Σ (θ_fc − θ_wp)·rooted depth, D_r its depletion

    front    (field,) depth of the root front [m]
    share    (field,) p, share of TAW that a crop takes without stress [-]
    returns  (field,) k [-]; (layer, field) share of uptake, 1 in all; (field,) D_r [mm]

    Allen et al. (1998), FAO 56, eq. 84, called K_s there. Roots thin out as e^{−3z/front}; a dry layer gives less.
    """
    front = np.maximum(front, 0.05) * 1000
    top = np.minimum(front, LAYERS[0])
    rooted = np.stack([top, np.minimum(front, 1000.0) - top])
    width = soil.capacity - soil.wilting
    left = np.clip((water.theta - soil.wilting) / width, 0, 1)
    whole, lost = width * rooted.sum(0), (width * (1 - left) * rooted).sum(0)
    k = np.clip((whole - lost) / ((1 - share) * whole), 0, 1)
    upper = (1 - np.exp(-3 * top / front)) / (1 - np.exp(-3.0))
    asked = np.stack([upper, 1 - upper]) * left
    return k, asked / np.maximum(asked.sum(0), 1e-9), lost


def step(water, soil, *, rain, temperature, evaporation, transpiration, uptake, dam, irrigation=0.0, seal=np.inf,
         outflow=np.inf):
    """Water of fields one day on, and the flows of that day; inflow − outflow = change of ``stored`` exactly.

    Precipitation below 0 °C lies as snow, which melts by 3 mm per °C and day. What stands on the surface enters the
    soil by at most K_s and the free room of both layers, evaporates first, and runs off above the dam. Layers exchange
    water by gravity, K(θ), and by capillarity, √(K₁K₂)·(ψ₂ − ψ₁)/Δz; the lower one drains by K(θ).

    water          Water of (field,)
    rain           (field,) [mm d⁻¹]
    temperature    (field,) of the air [°C]
    evaporation    (field,) demand at the surface [mm d⁻¹]
    transpiration  (field,) what the crop takes, if the layers hold it above wilting point [mm d⁻¹]
    uptake         (layer, field) share of it from each layer [-]
    dam            (field,) depth of water that the surface holds back [mm]
    irrigation     (field,) [mm d⁻¹]
    seal           (field,) most that may enter and leave the soil below a puddled layer [mm d⁻¹]
    outflow        (field,) most that may drain from the lower layer: groundwater is near [mm d⁻¹]
    returns        Water; dict of (field,) evaporation, transpiration, runoff, drainage and deep (downward flow between
                   the layers) [mm d⁻¹]

    Evaporation from the topsoil falls as Allen et al. (1998), FAO 56, eq. 74, with 8 mm evaporated without hindrance.
    """
    theta, snow, pond = water.theta.copy(), water.snow, water.pond
    falling = np.where(temperature < 0, rain, 0.0)
    melt = np.minimum(snow, 3.0 * np.clip(temperature, 0, None))
    snow, pond = snow + falling - melt, pond + (rain - falling) + melt + irrigation
    evaporated = np.minimum(pond, evaporation)
    pond = pond - evaporated
    # infiltration fills the upper layer, then the lower
    room = np.clip(soil.saturated - theta, 0, None) * LAYERS
    enters = np.minimum(np.minimum(pond, room.sum(0)), np.minimum(soil.conductivity, seal))
    upper = np.minimum(enters, room[0])
    theta[0] += upper / LAYERS[0]
    theta[1] += (enters - upper) / LAYERS[1]
    pond = pond - enters
    runoff = np.clip(pond - dam, 0, None)
    pond = pond - runoff
    # evaporation and uptake
    dry = np.maximum(0.5 * soil.wilting, soil.residual + 0.01 * (soil.saturated - soil.residual))
    left = (theta[0] - dry) * LAYERS[0]
    whole = (soil.capacity - dry) * LAYERS[0]
    open_share = np.clip(left / np.maximum(whole - 8.0, 2.0), 0, 1)
    from_soil = np.minimum((evaporation - evaporated) * open_share, 0.9 * np.clip(left, 0, None))
    theta[0] -= from_soil / LAYERS[0]
    taken = np.minimum(transpiration * uptake, np.clip(theta - soil.wilting, 0, None) * LAYERS)
    theta -= taken / LAYERS
    drainage, deep = np.zeros_like(pond), np.zeros_like(pond)
    for _ in range(PARTS):
        down, out = flows(theta, soil, seal, outflow)
        theta[0] -= down / LAYERS[0]
        theta[1] += (down - out) / LAYERS[1]
        drainage, deep = drainage + out, deep + down
    return Water(theta, snow, pond), dict(
        evaporation=evaporated + from_soil, transpiration=taken.sum(0), runoff=runoff, drainage=drainage, deep=deep)


def flows(theta, soil, seal=np.inf, outflow=np.inf):
    """Flow from the upper to the lower layer and out of the lower in one part of a day. returns (field,) ×2 [mm]

    K is the geometric mean before and after a first guess of the flow, so that a wet coarse soil does not overshoot.
    """
    k = conductivity(theta, soil)
    held = (theta - soil.residual) * LAYERS  # [mm]
    guess = np.minimum(np.minimum(k, seal) / PARTS, 0.5 * held)
    after = conductivity(theta - guess / LAYERS, soil)
    gravity = np.minimum(np.sqrt(k * after), seal) / PARTS
    gravity = np.minimum(gravity, 0.5 * held)
    pull = tension(theta, soil) * 102.0  # [mm of water]
    matric = np.sqrt(k[0] * k[1]) * (pull[1] - pull[0]) / APART / PARTS
    most = 0.25 * np.abs(theta[0] - theta[1]) * LAYERS[0]  # a quarter of what would make both alike
    matric = np.clip(matric, -most, most)
    room = np.clip(soil.saturated - theta, 0, None) * LAYERS
    out = np.minimum(gravity[1], outflow / PARTS)
    down = np.minimum(gravity[0] + matric, room[1] + out)
    return np.maximum(down, -np.minimum(room[0], 0.5 * (held[1] - out))), out


def damped_wave(depth, days, mean, amplitude):
    """Temperature below a surface whose temperature is a yearly sine.

    T(z, t) = T̄ + A·e^{−z/D}·sin(ωt − z/D), D = √(2κ/ω), κ = 5·10⁻⁷ m² s⁻¹

    depth      z [m]
    days       since the surface passed its mean upward
    mean       T̄ [°C]
    amplitude  A [°C]
    returns    broadcast [°C]

    >>> round(float(damped_wave(2.24, 91.3125 + 58.13, 10.0, 10.0)), 1)
    13.7
    """
    damping = np.sqrt(2 * DIFFUSIVITY / (2 * np.pi / YEAR))
    turn = 2 * np.pi * np.asarray(days) / 365.25
    return mean + amplitude * np.exp(-depth / damping) * np.sin(turn - depth / damping)


def heat(temperature, surface, leaf_area, snow):
    """Soil temperature one day on, by conduction below a shaded surface.

    Heat passes between surface and soil through a conductance that leaf area lowers by e^{−0.4·LAI} and 25 mm of snow
    to a third; below it spreads by ∂T/∂t = κ·∂²T/∂z² in one implicit step, with no flow below 5 m. Freezing holds back
    no heat.

    temperature  (node, field) at ``MIDDLES`` [°C]
    surface      (field,) of air and sunlit ground [°C]
    leaf_area    (field,) standing [m² m⁻²]
    snow         (field,) [mm of water]
    returns      (node, field) [°C]
    """
    kappa = DIFFUSIVITY * 86400  # [m² d⁻¹]
    between = kappa / np.diff(MIDDLES)  # (node − 1,) [m d⁻¹]
    cover = 0.5 * np.exp(-0.4 * leaf_area - snow / 25)
    top = 1 / (1 / np.maximum(cover, 1e-4) + MIDDLES[0] / kappa)
    # Thomas algorithm on (node, field)
    count, right = len(NODES), temperature * NODES[:, None]
    right[0] += top * surface
    ratio, value = [None] * count, [None] * count
    for i in range(count):
        diagonal = NODES[i] + (top if i == 0 else between[i - 1]) + (between[i] if i < count - 1 else 0.0)
        before = between[i - 1] * ratio[i - 1] if i else 0.0
        carried = between[i - 1] * value[i - 1] if i else 0.0
        ratio[i] = (between[i] if i < count - 1 else 0.0) / (diagonal - before)
        value[i] = (right[i] + carried) / (diagonal - before)
    found = np.empty_like(right)
    found[-1] = value[-1]
    for i in range(count - 2, -1, -1):
        found[i] = value[i] + ratio[i] * found[i + 1]
    return found


def warmth(temperature, radiation, leaf_area):
    """Temperature of air and ground that drives the soil: sun warms bare ground beyond the air.

    T = T_air + (0.15 °C per MJ m⁻² d⁻¹ · R − 1) · e^{−0.4·LAI}; project default. returns (field,) [°C]
    """
    return temperature + (0.15 * radiation - 1.0) * np.exp(-0.4 * leaf_area)


def at_depths(depths):
    """Weights that read soil temperature at depths [m] from the nodes, linear between them. returns (depth, node)"""
    return np.stack([np.interp(depths, MIDDLES, row) for row in np.eye(len(MIDDLES))], 1)
