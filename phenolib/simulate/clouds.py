"""Clouds and their shadows over a landscape, what a classification says of them, and what they leave in the data."""

from dataclasses import dataclass

import numpy as np

from phenolib.errors import InputError
from phenolib.simulate.optics import BANDS

CLEAR, HAZE, DARK, SHADOW, THIN, THICK = range(6)  # states; haze and dark are cloud and shadow that go undetected
SHADOW_CLASS, VEGETATION, BARE, WATER, MEDIUM, HIGH, SNOW = 3, 4, 5, 6, 8, 9, 11  # of the scene classification
PROBABILITY = {  # of cloud in each month, January first; project defaults, plausible for the region, not measured
    "belt": (0.66, 0.63, 0.62, 0.58, 0.56, 0.50, 0.44, 0.44, 0.44, 0.48, 0.62, 0.67),
    "plains": (0.52, 0.52, 0.52, 0.50, 0.52, 0.42, 0.37, 0.38, 0.38, 0.40, 0.47, 0.52),
    "palouse": (0.78, 0.70, 0.64, 0.58, 0.52, 0.45, 0.22, 0.25, 0.32, 0.50, 0.73, 0.79),
    "delta": (0.60, 0.58, 0.55, 0.50, 0.50, 0.44, 0.45, 0.40, 0.40, 0.38, 0.48, 0.58),
    "valley": (0.55, 0.48, 0.42, 0.32, 0.22, 0.12, 0.06, 0.07, 0.10, 0.20, 0.40, 0.54),
    "north": (0.68, 0.66, 0.64, 0.60, 0.58, 0.54, 0.44, 0.44, 0.50, 0.58, 0.70, 0.70),
    "flanders": (0.78, 0.70, 0.68, 0.60, 0.60, 0.58, 0.58, 0.58, 0.58, 0.66, 0.76, 0.79),
}
SHORTEST = 0.06  # least scale of a wave: the shortest are about 2π · 0.06 · reach / 3 long, 2.5 km; project default
WHITE = {"B02": 0.62, "B03": 0.61, "B04": 0.62, "B05": 0.62, "B06": 0.63, "B07": 0.63, "B08": 0.63, "B8A": 0.63,
         "B11": 0.50, "B12": 0.38}  # reflectance of an opaque cloud, project defaults
DIFFUSE = {"B02": 0.28, "B03": 0.21, "B04": 0.15, "B05": 0.13, "B06": 0.12, "B07": 0.11, "B08": 0.10, "B8A": 0.10,
           "B11": 0.04, "B12": 0.03}  # share of the light that reaches a shadow too, project defaults
OPACITY = {HAZE: (0.05, 0.30), THIN: (0.30, 0.75), THICK: (0.75, 1.0)}
DEPTH = {DARK: (0.10, 0.35), SHADOW: (0.35, 0.85)}  # share of the direct light that is lost


@dataclass(frozen=True)
class Sky:
    """Random fields over the plane, one a day, each day like the one before.

    g(x, t) = Σ_m a_m(t)·cos(k_m·x) + b_m(t)·sin(k_m·x), a_m and b_m normal and AR(1) in time

    Any place can be asked, near or far, points or grids, and the same place always has the same sky.
    """

    waves: np.ndarray  # (2, wave) [1/m]
    weights: np.ndarray  # (time, 2 · wave)

    def at(self, x, y):
        """The field at places.

        x, y     (...)  [m], broadcast against each other: x[None, :] and y[:, None] give a grid
        returns  (time, ...)  float32, standard normal at each place
        """
        x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
        places = np.stack([x.ravel(), y.ravel()], axis=1)
        found = np.empty((self.weights.shape[0], places.shape[0]), "float32")
        for start in range(0, places.shape[0], 20_000):
            rows = slice(start, start + 20_000)
            phase = np.remainder(places[rows] @ self.waves, 2 * np.pi).astype("float32")
            found[:, rows] = self.weights @ np.concatenate([np.cos(phase), np.sin(phase)], axis=1).T
        return found.reshape(-1, *x.shape)


def sky(rng, days, *, reach=20_000.0, persistence=0.45, waves=400):
    """Draw the field whose high values are clouds.

    Correlation e^{−3·d/reach} in space (0.05 at the reach) and ρ^{|t|} in time: g_t = ρ·g_{t−1} + √(1−ρ²)·ε.

    rng          numpy Generator
    days         (time,)  datetime64 or day numbers, rising; dates of overpass are enough
    reach        [m]
    persistence  ρ from a day to the next
    waves        how many wave vectors; the correlation is that of their sample
    returns      Sky
    raises       InputError for days that do not rise, ρ outside 0–1

    A sum of waves with random amplitudes (Rahimi & Recht 2007, in the form of random features). Reach and ρ are
    project defaults.
    """
    days = _days(days)
    if days.size == 0 or np.any(np.diff(days) < 0):
        raise InputError("the days of a sky must rise, and there must be at least one")
    if not 0 <= persistence < 1 or reach <= 0:
        raise InputError(f"persistence = {persistence} must be 0-1, reach = {reach} above 0")
    normal = rng.standard_normal((2, waves))
    # a normal over the root of a χ² of one degree: exponential correlation, but for waves too short to be clouds
    scale = np.maximum(np.abs(rng.standard_normal(waves)), SHORTEST)
    vectors = normal / scale * 3 / reach
    weights = rng.standard_normal((days.size, 2 * waves))
    for k, rho in enumerate(persistence ** np.diff(days), start=1):
        weights[k] = rho * weights[k - 1] + np.sqrt(1 - rho**2) * weights[k]
    return Sky(vectors, (weights / np.sqrt(waves)).astype("float32"))


def states(rng, days, x, y, probability, *, haze=0.04, dark=0.02, shadow_shift=(500.0, 900.0), reach=20_000.0,
           persistence=0.45):
    """Clear, cloud or shadow at places through days, seen and unseen.

    Cloudy if g > Φ⁻¹(1 − p(month)). Unseen cloud is the next lower band of g, so it lies at the edge of clouds; seen
    shadow lies where a thick cloud stands some way off; unseen shadow comes from small clouds of their own.

    rng           numpy Generator
    days          (time,)  datetime64, rising
    x, y          (...)  [m], broadcast against each other
    probability   (12,)  of cloud, January first, see ``PROBABILITY``
    haze          share of the not cloudy that has cloud unseen; 0.03–0.05
    dark          share of the clear that has shadow unseen
    shadow_shift  from a shadow to its cloud in x and y [m]; some height of clouds times tan of the sun's zenith angle
    reach, persistence  of the field, see ``sky``
    returns       (time, ...)  uint8: CLEAR, HAZE, DARK, SHADOW, THIN, THICK
    raises        InputError for probabilities outside 0–1 or days that do not rise

    The shares are project defaults.
    """
    from scipy.special import ndtri

    days = np.asarray(days)
    if not np.issubdtype(days.dtype, np.datetime64):
        raise InputError("the days of clouds must be dates, datetime64")
    share = np.asarray(probability, dtype=float)
    if share.shape != (12,) or np.any((share < 0) | (share > 1)) or not (0 <= haze < 1 and 0 <= dark < 1):
        raise InputError("cloud probabilities must be twelve shares, 0-1; so must be haze and dark")
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    field = sky(rng, days, reach=reach, persistence=persistence)
    small = sky(rng, days, reach=reach / 10, persistence=0.0)
    p = share[days.astype("datetime64[M]").astype(int) % 12].reshape(-1, *(1,) * x.ndim)
    here = field.at(x, y)
    thick, cloudy, unseen = (ndtri(1 - level) for level in (0.7 * p, p, p + haze * (1 - p)))
    found = np.zeros(here.shape, np.uint8)
    found[small.at(x, y) > ndtri(1 - dark)] = DARK
    found[field.at(x + shadow_shift[0], y + shadow_shift[1]) > thick] = SHADOW
    for level, state in ((unseen, HAZE), (cloudy, THIN), (thick, THICK)):
        found[here > level] = state
    return found


def scl(state, lai_green, *, flooded=0.0, snow=False):
    """Scene classes as Sentinel-2's own classification gives them: 3 shadow, 4 vegetation, 5 bare, 6 water, 8 and 9
    cloud, 11 snow.

    state      (...)  as ``states`` gives it; what goes unseen is classed as the land below
    lai_green  (...)  green leaf area index; vegetation from 0.5 [m² m⁻²], project default
    flooded    (...)  share of standing water; water from 0.5 where there is no vegetation
    snow       (...)  whether snow lies
    returns    (...)  uint8

    The other classes (0 no data, 1 defective, 2 dark, 7 unclassified, 10 cirrus) are not simulated.

    >>> scl([CLEAR, CLEAR, HAZE, THICK, SHADOW], [0.1, 3.0, 3.0, 3.0, 3.0]).tolist()
    [5, 4, 4, 9, 3]
    """
    state, lai_green, flooded, snow = np.broadcast_arrays(state, lai_green, flooded, snow)
    land = np.where(lai_green >= 0.5, VEGETATION, np.where(flooded >= 0.5, WATER, BARE))
    land = np.where(snow, SNOW, land)
    seen = {SHADOW: SHADOW_CLASS, THIN: MEDIUM, THICK: HIGH}
    return np.select([state == s for s in seen], list(seen.values()), land).astype(np.uint8)


def veil(rng, reflectance, state, *, bands=tuple(BANDS), shared=0):
    """Reflectance under cloud and shadow: whitened where there is cloud, darkened where there is shadow.

    cloud ρ' = (1 − a)·ρ + a·ρ_cloud; shadow ρ' = ρ·(1 − s·(1 − diffuse)); a and s drawn between bounds

    rng          numpy Generator
    reflectance  (..., band)  [-]
    state        (...)  as ``states`` gives it
    bands        names
    shared       how many of the last axes of ``state`` share a draw: 0 for points, 2 for images (..., y, x)
    returns      (..., band)  float32
    raises       InputError where the shapes do not fit

    Project defaults: shadow takes less from the blue than from the infrared, where no light comes from the sky.
    A mask of classes removes what is seen; haze and dark stay in the data.
    """
    value = np.array(reflectance, dtype="float32")
    state = np.asarray(state)
    if value.shape != (*state.shape, len(bands)):
        raise InputError(f"reflectance {value.shape} and state {state.shape} differ; bands: {', '.join(bands)}")
    white, diffuse = (np.array([table[b] for b in bands], "float32") for table in (WHITE, DIFFUSE))
    drawn = rng.random(state.shape[: state.ndim - shared], dtype="float32").reshape(
        state.shape[: state.ndim - shared] + (1,) * shared)
    strength = np.broadcast_to(drawn, state.shape)[..., None]
    for kind, (low, high) in OPACITY.items():
        at = state == kind
        opacity = low + (high - low) * strength[at]
        value[at] = (1 - opacity) * value[at] + opacity * white
    for kind, (low, high) in DEPTH.items():
        at = state == kind
        value[at] *= 1 - (low + (high - low) * strength[at]) * (1 - diffuse)
    return value


def _days(days):
    """Dates or numbers as days."""
    days = np.asarray(days)
    if np.issubdtype(days.dtype, np.datetime64):
        return (days - days[:1].astype("datetime64[D]")).astype("timedelta64[s]").astype(float) / 86400
    return days.astype(float)
