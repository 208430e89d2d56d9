"""What Sentinel-2 sees of a delta, pixel by pixel: every pixel has leaves, water and soil of its own salt."""

import numba
import numpy as np

from phenolib.simulate import clouds, optics, orbits, patches, salinity
from phenolib.simulate.calendar import stream

BANDS = (*patches.FINE, *patches.COARSE)
SLOW = 10  # days that the leaves of a field are looked back at, for green-up that comes late
CRUST = {"B02": 0.40, "B03": 0.44, "B04": 0.46, "B05": 0.47, "B06": 0.48, "B07": 0.49, "B08": 0.49, "B8A": 0.50,
         "B11": 0.44, "B12": 0.34}  # reflectance of a crust of salt, from memory of field spectra
CLOUD = 4  # pixels a side of 10 m that share their cloud


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look(table, nodes_area, nodes_ripe, nodes_wet, kind, area, ripe, wet, out):
    """Trilinear interpolation of table (kind, area, ripeness, wetness, band) at n points into out (n, band)."""
    low, part = np.empty(3, np.int64), np.empty(3, np.float32)
    one = np.float32(1)
    for k in range(area.size):
        for axis in range(3):
            nodes = nodes_area if axis == 0 else nodes_ripe if axis == 1 else nodes_wet
            value = area[k] if axis == 0 else ripe[k] if axis == 1 else wet[k]
            at = 0
            while at < nodes.size - 2 and value >= nodes[at + 1]:
                at += 1
            low[axis] = at
            part[axis] = min(max((value - nodes[at]) / (nodes[at + 1] - nodes[at]), np.float32(0)), one)
        for band in range(out.shape[1]):
            out[k, band] = 0.0
        for corner in range(8):
            a, b, c = corner & 1, (corner >> 1) & 1, corner >> 2
            weight = ((part[0] if a else one - part[0]) * (part[1] if b else one - part[1])
                      * (part[2] if c else one - part[2]))
            if weight > 0:
                for band in range(out.shape[1]):
                    out[k, band] += weight * table[kind[k], low[0] + a, low[1] + b, low[2] + c, band]


class Table:
    """The table of reflectances for one height of the sun, over soil and over standing water.

    bands       names
    sun_zenith  [°]
    """

    def __init__(self, bands, sun_zenith):
        axes, values = optics.read_table()
        values = values[:, :, 0][..., [list(optics.BANDS).index(name) for name in bands]]  # no leaf is dead alone
        low, part = optics._place(np.atleast_1d(float(sun_zenith)), axes["sun_zenith"])
        values = (1 - part[0]) * values[..., low[0], :] + part[0] * values[..., low[0] + 1, :]
        low, part = optics._place(np.array([1.0, optics.WATER]), axes["brightness"])
        self.values = np.stack([(1 - p) * values[:, :, :, k] + p * values[:, :, :, k + 1] for k, p in zip(low, part)])
        self.values = np.ascontiguousarray(self.values, np.float32)
        self.nodes = [axes[name].astype(np.float32) for name in ("area", "ripeness", "wetness")]

    def at(self, flooded, area, ripeness, wetness):
        """Reflectance of pixels, all (...). returns (..., band) float32"""
        out = np.empty((area.size, self.values.shape[-1]), np.float32)
        _look(self.values, *self.nodes, *(np.ascontiguousarray(v, t).ravel() for v, t in (
            (flooded, np.int64), (area, np.float32), (ripeness, np.float32), (wetness, np.float32))), out)
        return out.reshape(*area.shape, -1)


class Felt:
    """What salt does to the pixels of an area on a day: arrays (y, x) that stay alike for some days.

    salt     (y, x) [g/kg] that plants have lived with; 0 where they do not feel it
    now      (y, x) [g/kg] in the topsoil on the day
    vigour   (y, x) factor on the leaf area of the field
    low      (y, x) score of low ground, which is wetter
    """

    def __init__(self, salt, now, vigour, low):
        self.leaves = (vigour * salinity.leaf_factor(salt)).astype(np.float32)
        late = salinity.delay(salt)
        self.late, self.part = late.astype(np.int64), (late % 1).astype(np.float32)
        self.pale = salinity.pallor(salt).astype(np.float32)
        self.wet = (salinity.moisture(now) + 0.02 * np.clip(low, -2, 2)).astype(np.float32)
        self.now = now


def reflectance(table, growth, day, felt, field, brightness, config):
    """Reflectance of the pixels of an area on a day, without clouds and noise.

    table       ``Table`` of bands and the sun
    growth      dict of (field, time): lai_total, ripeness, theta, pond
    day         position in time
    felt        ``Felt``
    field       (y, x) number
    brightness  (y, x) factor on the soil's reflectance, or None
    config      for ``shrivel`` and ``brown_end``
    returns     (y, x, band) float32 [-] without a crust, (y, x) green leaf area [m² m⁻²], and (y, x) share of the
                ground that shows a crust, see ``crusted``

    Leaves of a late pixel are those that its field had some days ago as long as they grow; they ripen with the field.
    """
    total = growth["lai_total"]
    back = np.maximum(day - np.arange(SLOW + 1), 0)
    lag = np.ascontiguousarray(total[:, back])  # (field, days ago)
    before = (1 - felt.part) * lag[field, felt.late] + felt.part * lag[field, felt.late + 1]
    standing = felt.leaves * np.minimum(before, lag[:, 0][field])
    living, ripe, _ = optics.parts(np.ones(total.shape[0]), growth["ripeness"][:, day], shrivel=config.shrivel,
                                   brown_end=config.brown_end)
    area = standing * living.astype(np.float32)[field]
    ripe = ripe.astype(np.float32)[field]
    ripe = ripe + (1 - ripe) * felt.pale
    theta = np.clip(growth["theta"][:, day].astype(np.float32)[field] + felt.wet, 0.02, 0.6)
    wet = optics.wetness(theta)
    flood = np.clip(growth["pond"][:, day] / 20.0, 0, 1) > 0.5
    flooded = flood[field]
    value = table.at(flooded, area, ripe, wet)
    open_ = np.exp(-0.6 * standing)
    if brightness is not None:
        value *= (1 + (brightness - 1) * open_)[..., None]
    cover = np.where(flooded, 0, salinity.crust(felt.now, theta) * open_).astype(np.float32)[..., None]
    return value, area * (1 - ripe), cover


def crusted(value, cover, bands):
    """Reflectance with a crust of salt on a share of the ground, (y, x, band)."""
    return np.clip(value + cover * (np.array([CRUST[b] for b in bands], np.float32) - value), 0, 1)


def scene(delta, k):
    """One acquisition of Sentinel-2 over the whole area.

    delta    ``delta.Delta``
    k        row of ``delta.passes``
    returns  dict: B02, B03, B04, B08 (y, x), bands of 20 m and scl (y/2, x/2)
    """
    seed, area, config = delta.config.seed, delta.area, delta.config
    row = delta.passes.iloc[k]
    moment, day = str(row["time"]), delta.day(row["time"])
    value, green, cover = reflectance(Table(BANDS, row["sun"]), delta.growth, day, delta.felt(row["time"]), delta.field,
                                      delta.brightness, config)
    value = crusted(value, cover, BANDS)
    snow = delta.growth["snow"][:, day] > patches.SNOW
    value[snow[delta.field]] = patches.snow_cover(stream(seed, "delta", "snow", area.name, moment), 1)
    state = spread(delta.states[k], CLOUD, value.shape[:2])
    rng = stream(seed, "delta", "veil", area.name, moment)
    value = clouds.veil(rng, value[None], state[None], bands=BANDS, shared=2)
    image = orbits.shift(rng, np.ascontiguousarray(np.moveaxis(value, -1, 1)), sd=patches.GEOLOCATION["optical"])[0]
    flood = np.clip(delta.growth["pond"][:, day] / 20.0, 0, 1)[delta.field]
    classes = clouds.scl(state, green, flooded=flood, snow=snow[delta.field])
    rng, fine = stream(seed, "delta", "noise", area.name, moment), len(patches.FINE)
    found = dict(zip(patches.FINE, optics.observe(rng, image[:fine])))
    half = patches.coarse(image[fine:])  # of four pixels, whose errors are independent
    found |= dict(zip(patches.COARSE, optics.observe(rng, half, relative=0.015, floor=0.0015)))
    return found | {"scl": patches.coarse_classes(classes)}


def spread(values, size, shape):
    """Cells of so many pixels a side as pixels, cut to a shape."""
    return values.repeat(size, -2).repeat(size, -1)[..., :shape[0], :shape[1]]


def composites(delta, year):
    """Best NDVI of every ten days of a year in pixels of 20 m, as a product of composites gives it.

    Of the acquisitions of ten days the highest NDVI that no cloud was seen over; unseen haze lowers it, snow and cloud
    leave a gap. Bands have the random error of ``optics.observe``, halved as means of four pixels are; all of them are
    seen with the sun at 40°, as a product that corrects for it gives them.

    returns  (36,) datetime64[D] middles, (36, y/2, x/2) float32, NaN in a gap
    """
    area, config = delta.area, delta.config
    bands, table = ("B04", "B08"), Table(("B04", "B08"), 40.0)
    field, shape = delta.field[::2, ::2], (area.rows // 2, area.columns // 2)
    bright = delta.brightness[::2, ::2]
    starts = np.array([f"{year}-{month:02d}-{day:02d}" for month in range(1, 13) for day in (1, 11, 21)],
                      "datetime64[D]")
    ends = np.append(starts[1:], np.datetime64(f"{year + 1}-01-01"))
    times = delta.passes["time"].to_numpy("datetime64[D]")
    found = np.full((36, *shape), np.nan, np.float32)
    white = np.array([clouds.WHITE[b] for b in bands], np.float32)
    for n, (start, end) in enumerate(zip(starts, ends)):
        passes = np.flatnonzero((times >= start) & (times < end))
        felt = delta.felt(start + 5, every=2) if passes.size else None
        for k in passes:
            state = delta.states[k]
            if (state > clouds.DARK).all():
                continue
            rng = stream(delta.config.seed, "delta", "ndvi", area.name, str(times[k]))
            state = spread(state, CLOUD // 2, shape)
            day = delta.day(times[k])
            value, _, cover = reflectance(table, delta.growth, day, felt, field, bright, config)
            value = crusted(value, cover, bands)
            haze = state == clouds.HAZE
            low, high = clouds.OPACITY[clouds.HAZE]
            value[haze] += np.float32(low + (high - low) * rng.random()) * (white - value[haze])
            value = optics.observe(rng, value, relative=0.015, floor=0.0015)
            ndvi = (value[..., 1] - value[..., 0]) / np.maximum(value[..., 1] + value[..., 0], 1e-6)
            ndvi[(state > clouds.DARK) | (delta.growth["snow"][:, day] > patches.SNOW)[field]] = np.nan
            found[n] = np.fmax(found[n], ndvi)
    return starts + 5, found
