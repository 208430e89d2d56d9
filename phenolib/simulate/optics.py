"""What an optical satellite sees of a field: reflectance of green, ripening and dead canopies over dry or wet soil.

The reflectances come from the leaf model PROSPECT-D and the canopy model SAIL, as the package ``prosail`` computes
them, at nadir. They were computed once and are shipped as a table, so that a simulation needs no ``prosail``.
"""

from functools import cache
from pathlib import Path

import numpy as np
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources.sentinel import WAVELENGTHS

WIDTHS = {"B02": 66.0, "B03": 36.0, "B04": 31.0, "B05": 15.0, "B06": 15.0, "B07": 20.0, "B08": 106.0, "B8A": 21.0,
          "B11": 91.0, "B12": 175.0}  # at half maximum [nm]; from memory, see the mission's own response tables
BANDS = {name: (WAVELENGTHS[name], width) for name, width in WIDTHS.items()}  # Sentinel-2A: centre, width [nm]
WAVELENGTH = np.arange(400.0, 2501.0)  # of the models [nm]
GREEN = dict(n=1.5, cab=45.0, car=9.0, cbrown=0.0, cw=0.015, cm=0.005)  # a green leaf, project default
RIPE = dict(n=1.5, cab=0.0, car=0.0, cbrown=1.0, cw=0.002, cm=0.006)  # a ripe or dead one, project default
CANOPY = dict(lidfa=57.0, hspot=0.1)  # mean leaf angle [°] and hot spot [-]
WATER = 0.15  # brightness that makes the wet soil as dark as standing water, project default
NODES = {  # of the table; between them reflectance is close to linear
    "area": (0, 0.125, 0.25, 0.375, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6.5, 8),
    "ripeness": (0, 0.3, 0.5, 0.65, 0.8, 0.87, 0.92, 0.95, 0.975, 0.99, 1),
    "dead": (0, 0.2, 0.4, 0.6, 0.8, 0.9, 1),
    "wetness": (0, 0.5, 1),
    "brightness": (0.1, 0.7, 1.4),
    "sun_zenith": (20, 35, 50, 62, 75),
}
MEANING = {
    "area": ("m2 m-2", "leaf and stem area index, living and dead"),
    "ripeness": ("1", "how far the living leaves have gone from green to ripe"),
    "dead": ("1", "share of the area that is ripe throughout, mixed leaf by leaf"),
    "wetness": ("1", "1 - psoil: 0 the dry, 1 the wet soil spectrum"),
    "brightness": ("1", "factor on the soil spectrum, rsoil"),
    "sun_zenith": ("degree", "sun zenith angle"),
}
TABLE = Path(__file__).with_name("prosail.nc")


def response(bands=tuple(BANDS)):
    """Gaussian spectral response of bands on the wavelengths of the models.

    S(λ) = e^{−(λ − λ₀)² / 2σ²} / Σ, σ = FWHM / 2√(2 ln 2)

    bands    names, of ``BANDS``
    returns  (band, 2101), each row sums to 1
    raises   InputError for an unknown band

    Centres and widths from memory; that the response is Gaussian is a simplification.

    >>> weight = response(["B04"])
    >>> weight.shape, round((weight @ WAVELENGTH).item(), 1)
    ((1, 2101), 664.6)
    """
    for name in bands:
        if name not in BANDS:
            raise InputError(f"band '{name}' is not simulated{near(name, BANDS)}")
    centre, width = np.array([BANDS[name] for name in bands]).T[..., None]
    weight = np.exp(-4 * np.log(2) * ((WAVELENGTH - centre) / width) ** 2)
    return weight / weight.sum(axis=1, keepdims=True)


def leaf(ripeness):
    """Leaf properties on the way from green to ripe, for PROSPECT.

    Chlorophyll and carotenoids go to 0, water to 0.002 cm, brown pigment to 1, all together. To let chlorophyll fall
    alone would keep the NDVI near 0.7 until harvest.

    ripeness  0–1
    returns   dict: n [-], cab, car [µg cm⁻²], cbrown [-], cw [cm], cm [g cm⁻²]

    Project defaults.

    >>> leaf(1.0)["cab"], leaf(0.0)["cw"]
    (0.0, 0.015)
    """
    return {name: (1 - ripeness) * GREEN[name] + ripeness * RIPE[name] for name in GREEN}


def prosail():
    """The optional package ``prosail``. raises InputError where it is not installed"""
    try:
        import prosail as package
    except ImportError as error:
        raise InputError("the package 'prosail' is not installed; to compute reflectances anew, give "
                         "`pip install prosail`; the shipped table needs none") from error
    return package


def spectrum(area, living, dead=0.0, *, wetness=0.5, brightness=1.0, sun_zenith=35.0, view_zenith=0.0, azimuth=0.0):
    """Reflectance of one canopy from 400 to 2500 nm, from PROSPECT-D and SAIL.

    Living and dead leaves stand mixed: SAIL is given ρ = (1 − d)·ρ_living + d·ρ_dead, and the same for transmittance.

    area         leaf and stem area index, living and dead [m² m⁻²]
    living       dict of leaf properties, as ``leaf`` gives it
    dead         share d of the area that is ripe throughout [-]
    wetness      1 − psoil: 0 the dry, 1 the wet soil spectrum of the package
    brightness   factor on the soil spectrum, rsoil
    sun_zenith, view_zenith, azimuth   [°], azimuth between sun and view
    returns      (2101,) directional reflectance factor [-]
    raises       InputError where prosail is not installed

    Jacquemoud et al. (2009), the models together; Féret et al. (2017), PROSPECT-D; Verhoef et al. (2007), SAIL.
    """
    package = prosail()
    mixed = np.zeros((2, WAVELENGTH.size))
    for share, properties in ((1 - dead, living), (dead, RIPE)):
        if share:
            mixed += share * np.array(package.run_prospect(**properties, prospect_version="D")[1:3])
    return package.run_sail(*mixed, area, CANOPY["lidfa"], CANOPY["hspot"], sun_zenith, view_zenith, azimuth,
                            rsoil=brightness, psoil=1 - wetness)


def make_table(nodes=None):
    """Compute the table of reflectances; some ten seconds.

    nodes    dict of axis: values, where others than ``NODES`` are wanted
    returns  Dataset with ``reflectance`` (area, ripeness, dead, wetness, brightness, sun_zenith, band) [-]
    raises   InputError where prosail is not installed or an axis is unknown
    """
    package = prosail()
    for name in nodes or {}:
        if name not in NODES:
            raise InputError(f"axis '{name}' is not one of the table{near(name, NODES)}")
    axes = {name: np.asarray((nodes or {}).get(name, values), dtype=float) for name, values in NODES.items()}
    dead_leaf = np.array(package.run_prospect(**RIPE, prospect_version="D")[1:3])
    weight = response()
    soils = [(w, b) for w in axes["wetness"] for b in axes["brightness"]]
    value = np.empty([v.size for v in axes.values()] + [len(BANDS)])
    for r, ripeness in enumerate(axes["ripeness"]):
        living = np.array(package.run_prospect(**leaf(ripeness), prospect_version="D")[1:3])
        for d, dead in enumerate(axes["dead"]):
            mixed = (1 - dead) * living + dead * dead_leaf
            for a, area in enumerate(axes["area"]):
                for z, zenith in enumerate(axes["sun_zenith"]):
                    seen = [package.run_sail(*mixed, area, CANOPY["lidfa"], CANOPY["hspot"], zenith, 0.0, 0.0,
                                             rsoil=b, psoil=1 - w) for w, b in soils]
                    value[a, r, d, :, :, z] = (np.array(seen) @ weight.T).reshape(value.shape[3:5] + (-1,))
    coords = {name: (name, v.astype("float32"), dict(zip(("units", "long_name"), MEANING[name])))
              for name, v in axes.items()}
    return xr.Dataset(
        {"reflectance": ([*axes, "band"], value.astype("float32"),
                         {"units": "1", "long_name": "directional reflectance factor at nadir"})},
        {**coords, "band": list(BANDS)},
        {"title": "Canopy reflectance in the bands of Sentinel-2A from PROSPECT-D and SAIL",
         "source": "package prosail 2.0.5; Gaussian spectral response", "licence": "CC0-1.0",
         "leaf": f"green {GREEN}; ripe {RIPE}", "canopy": str(CANOPY)})


def write_table(table, path=TABLE):
    """Write a table as netCDF, packed to whole numbers of 1/65000.

    table    Dataset, as ``make_table`` gives it
    path     written
    """
    table.to_netcdf(path, engine="h5netcdf", encoding={"reflectance": dict(
        dtype="uint16", scale_factor=1 / 65000, _FillValue=65535, zlib=True, complevel=9, shuffle=True)})


@cache
def read_table(path=TABLE):
    """The shipped table as its axes and its values.

    path     netCDF, as ``write_table`` writes it
    returns  dict of axis: (node,), and (area, ripeness, dead, wetness, brightness, sun_zenith, band) [-]
    raises   InputError where the file is missing or of other bands
    """
    if not Path(path).is_file():
        raise InputError(f"the table of reflectances {path} is missing; make it with write_table(make_table())")
    with xr.open_dataset(path, engine="h5netcdf") as table:
        if list(table.band.values) != list(BANDS):
            raise InputError(f"{path}: bands {', '.join(table.band.values)} are not {', '.join(BANDS)}")
        values = np.ascontiguousarray(table.reflectance.transpose(*NODES, "band").values, dtype="float32")
        axes = {name: table[name].values.astype(float) for name in NODES}
    values.setflags(write=False)
    return axes, values


def wetness(theta_surface, porosity=0.45, *, decay=3.0):
    """How dark moisture makes a soil: 0 as dry, 1 as wet as the soil spectra of the table.

    w = (1 − e^{−c·S}) / (1 − e^{−c}), S = θ / porosity

    theta_surface  (...)  water in the top few millimetres [m³ m⁻³]
    porosity       (...)  [m³ m⁻³]
    decay                 c: the larger, the sooner a soil is as dark as it gets
    returns        (...)  0–1
    raises         InputError if theta lies outside 0–1 (percent given as fraction)

    The exponential form is that of Lobell & Asner (2002), from memory; c is a project default.

    >>> float(wetness(0.0)), float(wetness(0.45)), round(float(wetness(0.2)), 2)
    (0.0, 1.0, 0.77)
    """
    theta = np.asarray(theta_surface, dtype=float)
    if np.any((theta < 0) | (theta > 1)):
        raise InputError("surface soil water outside 0-1; give m3 m-3, not per cent")
    filled = np.clip(theta / porosity, 0, 1)
    return -np.expm1(-decay * filled) / -np.expm1(-decay)


def parts(total, ripeness, *, shrivel=0.85, brown_end=1.0, leafwise=0.0):
    """Leaves of a browning canopy as ``reflectance`` wants them.

    Of the browning a share goes leaf by leaf, the rest through all leaves together; a ripe leaf shrivels:

    living = L·(1 − w·b)·(1 − s·r), r = (b − w·b) / (1 − w·b); dead = L·w·b·(1 − s)

    total      (...)  L, standing leaf area index [m² m⁻²]
    ripeness   (...)  b, share of it that is brown, 0–1
    shrivel           s, share of its area that a ripe leaf loses to the view from above
    brown_end         how far the ripest leaves are from green: below 1 some chlorophyll is left
    leafwise          w
    returns    (...) ×3  area of living leaves, their ripeness, area of dead leaves

    Project defaults. With s = 0.85 a ripe canopy of LAI 5 has an NDVI near 0.24; ripe wheat and barley in Flanders have
    0.22 to 0.28. Green share (1 − w·b)·(1 − r) = 1 − b whatever w is.

    >>> [float(value) for value in parts(4.0, 0.5, shrivel=0.5, leafwise=1.0)]
    [2.0, 0.0, 1.0]
    """
    total, brown = np.asarray(total, dtype=float), np.clip(np.asarray(ripeness, dtype=float), 0, 1)
    single = leafwise * brown
    ripe = (brown - single) / np.maximum(1 - single, 1e-9)
    return total * (1 - single) * (1 - shrivel * ripe), brown_end * ripe, total * single * (1 - shrivel)


def reflectance(lai, ripeness=0.0, *, dead=0.0, wetness=0.5, brightness=1.0, sun_zenith=35.0, bands=tuple(BANDS)):
    """Reflectance of canopies at nadir, between the nodes of the table by multilinear interpolation.

    Outside the table (area above 8, sun below 75° or above 20° from the zenith, …) the nearest node holds. The
    arguments are broadcast against each other; where the last three are single numbers it is fastest.

    lai          (...)  living leaf area index [m² m⁻²]
    ripeness     (...)  of the living leaves: 0 green – 1 ripe, all properties together
    dead         (...)  area index of dead leaves and stems between them [m² m⁻²]
    wetness      (...)  of the soil: 0 dry – 1 wet, see ``wetness``
    brightness   (...)  factor on the soil spectrum; ``WATER`` over standing water
    sun_zenith   (...)  [°]
    bands               names
    returns      (..., band)  float32, 0–1; NaN where an argument is NaN
    raises       InputError for an unknown band, negative area or shares outside 0–1

    Against the models themselves the error is below 0.01 in reflectance and below 0.02 in NDVI.

    >>> red, infrared = reflectance([0.0, 4.0], bands=["B04", "B08"]).T
    >>> [round(float(ndvi), 1) for ndvi in (infrared - red) / (infrared + red)]
    [0.1, 0.9]
    """
    response(bands)
    axes, table = read_table()
    table = table[..., [list(BANDS).index(name) for name in bands]]
    lai, dead, ripeness, wetness = (np.asarray(v, dtype=float) for v in (lai, dead, ripeness, wetness))
    for name, value, most in (("lai", lai, np.inf), ("dead", dead, np.inf), ("ripeness", ripeness, 1),
                              ("wetness", wetness, 1)):
        if np.any((value < 0) | (value > most)):
            raise InputError(f"{name} = {value.min():.3g} to {value.max():.3g} lies outside 0-{most:g}")
    area = lai + dead
    given = {"area": area, "ripeness": ripeness, "dead": dead / np.where(area > 0, area, 1), "wetness": wetness,
             "brightness": np.asarray(brightness, dtype=float), "sun_zenith": np.asarray(sun_zenith, dtype=float)}
    shape = np.broadcast_shapes(*(v.shape for v in given.values()))
    for name in [n for n, v in given.items() if v.size == 1]:  # one number: the table loses that axis
        low, part = _place(given.pop(name).reshape(1), axes[name])
        axis = list(axes).index(name)
        axes = {n: v for n, v in axes.items() if n != name}
        table = ((1 - part[0]) * np.take(table, low[0], axis) + part[0] * np.take(table, low[0] + 1, axis))
    if not given:
        return np.broadcast_to(np.clip(table, 0, 1).astype("float32"), (*shape, len(bands))).copy()
    flat = [np.broadcast_to(v, shape).ravel() for v in given.values()]
    found = np.empty((flat[0].size, len(bands)), "float32")
    for start in range(0, found.shape[0], 200_000):
        rows = slice(start, start + 200_000)
        found[rows] = _between(table, list(axes.values()), [v[rows] for v in flat])
    return np.clip(found, 0, 1).reshape(*shape, len(bands))


def _place(value, nodes):
    """The node below each value and the share of the way to the next."""
    low = np.clip(np.searchsorted(nodes, value, side="right") - 1, 0, nodes.size - 2)
    return low, np.clip((value - nodes[low]) / (nodes[low + 1] - nodes[low]), 0, 1)


def _between(table, axes, values):
    """Multilinear interpolation of ``table`` (..., band) at n points. returns (n, band)"""
    places = [_place(value, nodes) for value, nodes in zip(values, axes)]
    steps = np.cumprod([1, *(nodes.size for nodes in axes[:0:-1])])[::-1]  # rows of the flat table from node to node
    rows = table.reshape(-1, table.shape[-1]).astype("float32", copy=False)
    total = np.zeros((values[0].size, rows.shape[1]), "float32")
    for corner in np.ndindex((2,) * len(axes)):
        index = sum((low + up) * step for (low, _), up, step in zip(places, corner, steps))
        weight = np.prod([part if up else 1 - part for (_, part), up in zip(places, corner)], axis=0)
        total += weight.astype("float32")[:, None] * rows[index]
    return total


def observe(rng, reflectance, *, relative=0.03, floor=0.003):
    """Reflectance as a satellite product gives it, with random errors.

    ρ' = ρ · (1 + 0.03 ε₁) + 0.003 ε₂

    rng          numpy Generator
    reflectance  (...)  [-]
    relative     standard deviation of the relative error
    floor        standard deviation of the error that is always there [-]
    returns      (...)  float32, cut to 0–1

    Project defaults. Errors of bands, pixels and dates are independent here; those of real atmospheric corrections
    are not.
    """
    value = np.asarray(reflectance, dtype="float32")
    noisy = value * (1 + relative * rng.standard_normal(value.shape, dtype="float32"))
    return np.clip(noisy + floor * rng.standard_normal(value.shape, dtype="float32"), 0, 1)
