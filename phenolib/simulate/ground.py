"""The ground below simulated fields: elevation, slope, wetness, texture, organic carbon and salinity."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.simulate import weather
from phenolib.simulate.calendar import stream

PIXEL = 10.0  # [m]
WAVES = 256  # of a random field
HOLLOW = 100.0  # distance to which a place is compared with what lies around it [m]
SALT = 0.1, 40.0  # from lowest to highest [dS m⁻¹]
PARTICLES, MINERAL, ORGANIC = 2.65, 1.64, 0.244  # density of particles, and of soil of each kind alone [g cm⁻³]
UNITS = dict(elevation="m", slope="degree", wetness="1", sand="%", clay="%", carbon="%", salinity="dS m-1")
NAMES = dict(
    elevation="elevation", slope="slope", wetness="how much the shape of the ground gathers water", sand="sand",
    clay="clay", carbon="soil organic carbon", salinity="electrical conductivity of the saturation extract")


@dataclass(frozen=True)
class Region:
    """The ground of a region. Project defaults of the order of what such land has; none is a measurement."""

    climate: str  # of ``weather.CLIMATES``
    height: float  # mean elevation [m]
    relief: float  # SD of elevation [m]
    reach: float  # of hills and hollows [m]
    salt: float = 0.5  # median EC_e [dS m⁻¹]
    patchy: float = 0.25  # SD of ln EC_e that relief does not explain
    sand: tuple = (15.0, 60.0)  # from lowest to highest [%]
    clay: tuple = (12.0, 35.0)


REGIONS = {
    "belt": Region("midwest", 300, 5.0, 450),
    "plains": Region("plains", 450, 4.5, 500),
    "palouse": Region("northwest", 790, 16.0, 300),
    "delta": Region("delta", 75, 0.8, 300),
    "valley": Region("california", 9, 0.7, 350, 2.2, 0.5),
    "north": Region("north", 270, 2.0, 500, 0.7),
    "flanders": Region("flanders", 20, 3.0, 400, sand=(15.0, 40.0), clay=(10.0, 18.0)),
    "yellow_river": Region("yellow_river", 7, 0.9, 300, 5.0, 0.7),
}


def make(seed, site, region, shape):
    """The ground around a place, at 10 m.

    Every property is a function of the distance from the place, built from ``waves``: a larger map holds the same
    values in its middle. With g Gaussian fields of mean 0 and variance 1, h that of the relief, Φ the normal
    distribution, w the wetness and T̄ the mean temperature of the climate:

        elevation  z = z₀ + SD·h, h a Matérn field (ν = 5/2)
        sand       lowest + (highest − lowest)·Φ(√0.75·g_far + √0.25·g_near)
        clay       the same of √0.65·g_far + √0.25·g_near − √0.10·h: finer in low ground
        carbon     1.5·(clay/22)^½ · e^{w − ½} · e^{−0.05·(T̄ − 10)} · e^{0.1·g_near}
        salinity   EC₀ · e^{−0.35·h} · e^{s·(√0.7·g_far + √0.3·g_near)}, within 0.1–40 dS m⁻¹

    g_far has a reach of 4 km, g_near one of 100 m (both ν = 3/2). All of these forms and numbers are project defaults;
    those of sand and clay make every percentage within their bounds equally likely over places.

    seed     of the archive
    site     name of the place; it alone, with the seed, decides on the values
    region   one of ``REGIONS``
    shape    rows and columns; the place is the pixel (rows // 2, columns // 2), row 0 in the north
    returns  (y, x) Dataset of elevation [m], slope [degree], wetness [-], sand, clay [%], carbon [%] and salinity EC_e
             [dS m⁻¹]; x, y [m] from the place
    raises   InputError for an unknown region, or a shape without pixels
    """
    if region not in REGIONS:
        raise InputError(f"region '{region}' is not known{near(region, REGIONS)}")
    rows, columns = (int(n) for n in shape)
    if rows < 1 or columns < 1:
        raise InputError(f"shape = {rows} x {columns}; give one row and one column or more")
    facts = REGIONS[region]
    climate = weather.CLIMATES[facts.climate]
    y, x = PIXEL * (rows // 2 - np.arange(rows)), PIXEL * (np.arange(columns) - columns // 2)
    margin = round(HOLLOW / PIXEL)  # so that the edge of a map has its surroundings too
    around = PIXEL * np.arange(1, margin + 1)
    relief = waves(stream(seed, "ground", site, "relief"), np.r_[x[0] - around[::-1], x, x[-1] + around],
                   np.r_[y[0] + around[::-1], y, y[-1] - around], reach=facts.reach, smoothness=2.5)
    wide = facts.height + facts.relief * relief
    inner = slice(margin, -margin), slice(margin, -margin)
    elevation, relief, wet = wide[inner], relief[inner], wetness(wide)[inner]

    def mixed(name, share):
        """√(1 − share)·g_far + √share·g_near"""
        far, close = (waves(stream(seed, "ground", site, name, which), x, y, reach=reach)
                      for which, reach in (("far", 4000.0), ("near", 100.0)))
        return np.sqrt(1 - share) * far + np.sqrt(share) * close

    clay = within(np.sqrt(0.9) * mixed("clay", 0.25 / 0.9) - np.sqrt(0.1) * relief, facts.clay)
    sand = within(mixed("sand", 0.25), facts.sand)
    uneven = waves(stream(seed, "ground", site, "carbon"), x, y, reach=100.0)
    data = dict(
        elevation=elevation, slope=slope(wide)[inner], wetness=wet, sand=sand, clay=clay,
        carbon=1.5 * np.sqrt(clay / 22) * np.exp(wet - 0.5 - 0.05 * (climate.mean - 10) + 0.1 * uneven),
        salinity=np.clip(facts.salt * np.exp(facts.patchy * mixed("salinity", 0.3) - 0.35 * relief), *SALT))
    return xr.Dataset({k: (("y", "x"), v, {"units": UNITS[k], "long_name": NAMES[k]}) for k, v in data.items()},
                      {"y": ("y", y, {"units": "m"}), "x": ("x", x, {"units": "m"})}, {"site": site, "region": region})


def waves(rng, x, y, *, reach, smoothness=1.5):
    """A Gaussian random field of mean 0 and variance 1 over places, as a sum of waves.

    g(p) = √(2/W)·Σ cos(k·p + φ), k = n·√(2ν/χ²) / reach, n normal in two dimensions, χ² of 2ν degrees of freedom,

    whose covariance is the Matérn one, (1 + √3·r)·e^{−√3·r} for ν = 3/2, with r the distance over the reach.

    rng         numpy Generator
    x, y        (column,), (row,)  [m]
    reach       ℓ of the Matérn covariance [m]
    smoothness  ν
    returns     (row, column)

    Rahimi & Recht (2007), Random features for large-scale kernel machines; the density of k is that of Rasmussen &
    Williams (2006), eq. 4.15.
    """
    spread = np.sqrt(2 * smoothness / rng.chisquare(2 * smoothness, WAVES)) / reach
    east, north = rng.standard_normal((2, WAVES)) * spread
    turn, rise = np.outer(north, y) + rng.uniform(0, 2 * np.pi, (WAVES, 1)), np.outer(east, x)
    return np.sqrt(2 / WAVES) * (np.cos(turn).T @ np.cos(rise) - np.sin(turn).T @ np.sin(rise))


def within(normal, bounds):
    """Values spread evenly between bounds, from a Gaussian field. returns like ``normal``"""
    from scipy.special import ndtr

    return bounds[0] + (bounds[1] - bounds[0]) * ndtr(normal)


def slope(elevation, pixel=PIXEL):
    """Slope of the ground, from the eight neighbours of a pixel; the edge goes on as it comes.

    ∂z/∂x = ((z_NE + 2·z_E + z_SE) − (z_NW + 2·z_W + z_SW)) / 8Δ, the same for y; slope = atan √(∂x² + ∂y²)

    elevation  (y, x)  [m]
    pixel      Δ [m]
    returns    (y, x)  [degree]

    Horn (1981), Proc. IEEE 69:14.

    >>> slope(np.add.outer(np.zeros(3), [0.0, 10.0, 20.0])).round(6).tolist()[1]
    [45.0, 45.0, 45.0]
    """
    z = np.pad(np.asarray(elevation, float), 1, mode="reflect", reflect_type="odd")
    across, down = z[:-2] + 2 * z[1:-1] + z[2:], z[:, :-2] + 2 * z[:, 1:-1] + z[:, 2:]
    return np.degrees(np.arctan(np.hypot(across[:, 2:] - across[:, :-2], down[2:] - down[:-2]) / (8 * pixel)))


def wetness(elevation, pixel=PIXEL):
    """How much the shape of the ground gathers water: 0 on steep ridges, ½ on the level, 1 in deep hollows.

    w = 1 / (1 + e^{−d}), d = (z̄ − z) / 1 m − tan(slope) / 0.1, z̄ the mean elevation of the square ±100 m around

    elevation  (y, x)  [m]
    pixel      [m]
    returns    (y, x)  [-]

    A project default; no water is routed.
    """
    from scipy.ndimage import uniform_filter

    around = uniform_filter(np.asarray(elevation, float), 2 * round(HOLLOW / pixel) + 1, mode="nearest")
    gathers = around - elevation - np.tan(np.radians(slope(elevation, pixel))) / 0.1
    return 1 / (1 + np.exp(-np.clip(gathers, -50, 50)))


def soil_of(ground, fields):
    """Means of the ground over the fields of a map.

    ground   (y, x) Dataset of ``make``
    fields   (y, x) number of the field of each pixel, 0 and up
    returns  (field,) Dataset of the same variables and units; a number without pixels gets NaN
    raises   InputError where the map has another shape
    """
    fields = np.asarray(fields)
    if fields.shape != (ground.sizes["y"], ground.sizes["x"]):
        raise InputError(f"the map of fields is {fields.shape}, the ground {ground.sizes['y'], ground.sizes['x']}; "
                         "give a map of the same place")
    count = np.bincount(fields.ravel()).astype(float)
    count[count == 0] = np.nan
    return xr.Dataset({name: ("field", np.bincount(fields.ravel(), values.values.ravel()) / count, values.attrs)
                       for name, values in ground.items()}, attrs=ground.attrs)


def bulk_density(carbon):
    """Bulk density of a soil from its organic carbon.

    ρ_b = 100 / (OM/0.244 + (100 − OM)/1.64), OM = 1.724·carbon

    carbon   [%]
    returns  [g cm⁻³]

    Adams (1973), J. Soil Sci. 24:10; the density of mineral soil is a project default.

    >>> round(float(bulk_density(1.5)), 2)
    1.43
    """
    organic = 1.724 * np.asarray(carbon, float)
    return 100 / (organic / ORGANIC + (100 - organic) / MINERAL)
