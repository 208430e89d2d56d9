"""Water in many layers of soil, day by day: the profile below experimental plots with tubes and sensors at depths."""

import numpy as np

from phenolib.simulate import land

THICK = np.array([0.05, 0.10, 0.15, 0.20, 0.20, 0.30, 0.40])[:, None]  # of the layers [m]
MIDDLES = (np.cumsum(THICK, 0) - THICK / 2).ravel()  # [m]
APART = np.diff(MIDDLES)[:, None] * 1000  # [mm]
PARTS = 12  # of a day


def start(soil, share=0.7):
    """Water contents to begin with, from wilting point to field capacity by a share. returns (layer, plot) [m³ m⁻³]"""
    return np.repeat((soil.wilting + share * (soil.capacity - soil.wilting))[None], len(THICK), 0)


def stored(theta, pond=0.0, snow=0.0):
    """All water of plots, layers (layer, plot) and surface. returns (plot,) [mm]"""
    return (1000 * THICK * theta).sum(0) + pond + snow


def step(theta, pond, snow, soil, *, water, temperature, evaporation, transpiration, uptake):
    """Water of plots one day on; inflow − outflow = change of ``stored`` exactly.

    Between layers flow K·(1 + Δ|ψ|/Δz) downward, K the geometric mean of both; below the last one K. What the topsoil
    cannot take stands on the surface and runs off above 5 mm. Snow falls below 0 °C and melts by 3 mm per °C and day.
    Each part of a day moves at most what a fifth of the difference in filling between two layers holds, so that an
    explicit step stays stable.

    theta          (layer, plot) [m³ m⁻³]
    pond, snow     (plot,) [mm]
    soil           ``land.Soil`` of (plot,)
    water          (plot,) rain and irrigation [mm d⁻¹]
    temperature    of the air [°C]
    evaporation    (plot,) demand at the surface [mm d⁻¹]
    transpiration  (plot,) what the crop takes where the layers hold it above wilting point [mm d⁻¹]
    uptake         (layer, plot) share of it from each layer [-]
    returns        theta, pond, snow; dict of (plot,) evaporation, transpiration, runoff and drainage [mm d⁻¹]

    van Genuchten (1980) for ψ and K; Darcy's law, with project defaults for the surface.
    """
    wide = 1000 * THICK
    theta = theta.copy()
    falling = water if temperature < 0 else 0.0 * water
    melt = np.minimum(snow, 3.0 * max(temperature, 0.0))
    snow, pond = snow + falling - melt, pond + water - falling + melt
    evaporated = np.minimum(pond, evaporation)
    pond = pond - evaporated
    dry = np.maximum(0.5 * soil.wilting, soil.residual + 0.01 * (soil.saturated - soil.residual))
    left = np.clip((theta[0] - dry) * wide[0], 0, None)
    open_share = np.clip(left / ((soil.capacity - dry) * wide[0]), 0, 1)
    from_soil = np.minimum((evaporation - evaporated) * open_share, 0.9 * left)
    theta[0] -= from_soil / wide[0]
    taken = np.minimum(transpiration * uptake, np.clip(theta - soil.wilting, 0, None) * wide)
    theta -= taken / wide
    out = np.zeros_like(pond)
    width = soil.saturated - soil.residual
    for _ in range(PARTS):
        room = np.clip(soil.saturated - theta, 0, None) * wide
        enters = np.minimum(np.minimum(pond, soil.conductivity / PARTS), room[0])
        theta[0] += enters / wide[0]
        pond = pond - enters
        k, pull = land.conductivity(theta, soil), land.tension(theta, soil) * 102.0  # [mm d⁻¹], [mm of water]
        mean = np.sqrt(k[:-1] * k[1:])
        filled = (theta - soil.residual) / width
        most = 0.2 * np.abs(np.diff(filled, axis=0)) * width * np.minimum(wide[:-1], wide[1:])
        matric = np.clip(mean * np.diff(pull, axis=0) / APART / PARTS, -most, most)
        held = np.clip(theta - dry, 0, None) * wide
        gravity = np.minimum(k[:-1] / PARTS, 0.3 * held[:-1])
        room = np.clip(soil.saturated - theta, 0, None) * wide
        flow = np.clip(matric + gravity, -np.minimum(0.3 * held[1:], 0.3 * room[:-1]),
                       np.minimum(0.3 * held[:-1], 0.3 * room[1:]))  # 0.3 each way: no layer is emptied or overfilled
        drained = np.minimum(k[-1] / PARTS, 0.3 * held[-1])
        theta[:-1] -= flow / wide[:-1]
        theta[1:] += flow / wide[1:]
        theta[-1] -= drained / wide[-1]
        out = out + drained
    runoff = np.clip(pond - 5.0, 0, None)
    return theta, pond - runoff, snow, dict(evaporation=evaporated + from_soil, transpiration=taken.sum(0),
                                            runoff=runoff, drainage=out)
