"""What dates the pixels of a tile: the main season of each harvest year by a curve, by Deep-CroP, and by CropClock.

Each class is called with the scenes of a tile, as ``maps.map_tiles`` hands them out, and returns its dates. They hold
weights and scales, no samples, and so are small enough to be sent to a worker.

A network dates a window of scenes, and neighbouring pixels share their convolutions only if they share their window. So
the middle of each pixel's season, by its own NDVI as in ``samples``, is rounded to one of a few days of the year, and
the pixels of one such day are dated together. In training windows were moved by more than that.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import dating, indices, phenology
from phenolib.errors import InputError
from phenolib.samples import DAY, EVENTS, SUMMER, clearer, window_scenes

CONTEXT = 9  # pixels around a tile that ``DeepCrop`` looks at
BLOCK = 32  # pixels a side that share their convolutions
REACH = 320  # days around the middle of a season in which acquisitions are read, as in training
YEAR = 366  # days
BETWEEN = {"deepcrop": 40, "cropclock": 10}  # days from one middle of a season to the next


@dataclass(frozen=True)
class Curve:
    """Dates of NDVI by a smoother and shares of the amplitude: the study's way, or any of ``phenology.seasons``.

    years    harvest years
    method   of ``phenology.seasons``
    options  of it
    """

    years: tuple
    method: str = "whittaker"
    options: dict = field(default_factory=dict)

    def __call__(self, block):
        """Dates (year, y, x) of ``EVENTS`` with ``_low`` and ``_high``, peak, and amplitude [-] of the largest season.

        A date more than a year from the peak is missing: such a rise or fall is none of a season.

        block  {"optical": Dataset (time, y, x) of B04 and B08, what is not clear missing}, or that Dataset alone
        """
        optical = block["optical"] if isinstance(block, dict) else block
        found = _seasons(indices.index("NDVI", optical), self.method, **self.options)
        names = [f"{event}{side}" for event in EVENTS for side in ("", "_low", "_high")]
        found = found[[name for name in (*names, "peak", "amplitude") if name in found]]
        near = {event: np.abs((found[event] - found["peak"]) / DAY) <= YEAR for event in EVENTS}
        for name in names:
            if name in found:
                found[name] = found[name].where(near[name[:5]])
        return _by_year(found, self.years)


@dataclass(frozen=True)
class DeepCrop:
    """Dates by Deep-CroP, every pixel as if it were the middle of a patch.

    network  ``nets.deepcrop.DeepCroP``, trained
    scales   {"optical", "sar"} of ``splits.Scaler``
    years    harvest years
    usable   share of a tile that must be clear in a scene [-]
    apart    least time between two scenes [days]
    """

    network: object
    scales: dict
    years: tuple
    usable: float = 0.5
    apart: float = 4.0

    @classmethod
    def of(cls, found, years):
        """From the ``dating.Found`` of ``dating.deepcrop``."""
        return cls(found.networks[0].model, found.tasks[0].scales, tuple(years))

    def __call__(self, block):
        """Dates (year, y, x) of ``EVENTS``; missing where the network says "no event", and in the outer 9 pixels.

        block  {"optical": Dataset (time, y, x) of B02, B03, B04 and B08, "radar": Dataset (time, y, x) of vv and vh
               [linear power]}
        """
        import torch

        values, clear, times = _greens(block["optical"])
        kept = clearer(times, clear.mean((1, 2)), np.flatnonzero(clear.mean((1, 2)) >= self.usable), self.apart)
        values, clear, times = values[kept], clear[kept], times[kept]
        with np.errstate(all="ignore"):
            values = np.where(clear[..., None], values, np.nanmean(values, axis=(1, 2), keepdims=True))
        sar, sar_times = _echoes(block["radar"])
        middle, neighbours = _middles(block["optical"], self.years)
        steps, looks = 30, 10
        dates = np.full((len(self.years), len(EVENTS), *clear.shape[1:]), np.datetime64("NaT", "ns"))
        for k, day, pixels in _together(middle, self.years, BETWEEN["deepcrop"]):
            step, scene = window_scenes(times, day, 0, times.size, steps, 0)
            if not scene.size or not sar_times.size:
                continue
            start = times[scene[0]]
            around, seen = (times[scene] - start) / DAY, (sar_times - start) / DAY
            look = np.abs(seen - np.linspace(around[0], around[-1], looks)[:, None]).argmin(1)
            when = around[np.clip(np.arange(steps) - step[0], 0, around.size - 1)]
            given = {"optical_days": torch.from_numpy(when).float(), "sar_days": torch.from_numpy(seen[look]).float()}
            light, there, echo = values[scene], clear[scene], sar[look]  # of the window, once for all blocks
            for box in _blocks(pixels):
                optical = np.zeros((steps, *light[0][box].shape), np.float32)
                mask = np.zeros(optical.shape[:3], bool)
                optical[step] = self.scales["optical"].apply(light[:, *box])
                mask[step] = there[:, *box] & _within(times[scene], neighbours, k, box)
                logits = self.network.dense(optical, self.scales["sar"].apply(echo[:, *box]), mask=mask, **given)
                found = self.network.dates(logits, given["optical_days"]).expected.numpy()  # (row, column, event)
                known = pixels[box] & logits[..., 0, 0].isfinite().numpy()
                dates[k][:, *box][:, known] = np.moveaxis(start + _days(found), -1, 0)[:, known]
        return _dataset(dates, EVENTS, self.years, block["optical"])


@dataclass(frozen=True)
class CropClock:
    """Dates and intervals by CropClock, from the acquisitions of each pixel.

    networks  list of ``nets.cropclock.CropClock``, trained: the density is the mean of theirs
    scales    {sensor: ``splits.Scaler``} of each network
    years     harvest years
    widen     (4,) what calibration adds to each side of an interval, in probability
    level     of the intervals [-]
    batch     pixels that are dated at once
    """

    networks: list
    scales: list
    years: tuple
    widen: np.ndarray
    level: float = 0.9
    batch: int = 512

    @classmethod
    def of(cls, found, years, *, members=1, level=0.9):
        """From the ``dating.Found`` of ``dating.cropclock``.

        members  of the ensemble that are asked: each costs as much as the first
        level    of the intervals
        """
        if not 1 <= members <= len(found.networks):
            raise InputError(f"members = {members}: the ensemble has {len(found.networks)}")
        return cls([fit.model for fit in found.networks[:members]], [task.scales for task in found.tasks[:members]],
                   tuple(years), dating.widening(found, level), level)

    def __call__(self, block):
        """Dates (year, y, x) of ``EVENTS`` with ``_low`` and ``_high``; missing where a pixel was never seen.

        block  as of ``DeepCrop``
        """
        import torch

        sensors = self.networks[0].sensors
        values, clear, times = _greens(block["optical"])
        given = {"optical": (_near_greens(values, clear), clear, times)}
        if "sar" in sensors:
            given["sar"] = _near_echoes(block["radar"])
        middle, _ = _middles(block["optical"], self.years)
        names = [f"{event}{side}" for event in EVENTS for side in ("", "_low", "_high")]
        dates = np.full((len(self.years), len(names), *clear.shape[1:]), np.datetime64("NaT", "ns"))
        for k, day, pixels in _together(middle, self.years, BETWEEN["cropclock"]):
            pixels &= clear.any(0)
            own = {s: [x[np.abs((given[s][2] - day) / DAY) <= REACH] for x in given[s]] for s in sensors}
            newyear = day.astype("datetime64[Y]").astype("datetime64[ns]")
            when = torch.tensor([(day - newyear) / DAY]).float()
            rows, columns = np.nonzero(pixels)
            for some in np.array_split(np.arange(rows.size), -(-rows.size // self.batch)) if rows.size else ():
                place = rows[some], columns[some]
                density = 0
                for network, scales in zip(self.networks, self.scales):
                    series = {}
                    for s in sensors:
                        seen, there, t = own[s]
                        v = scales[s].apply(np.moveaxis(seen[:, *place], 0, 1))         # (pixel, date, 2)
                        w = there[:, *place].T
                        series[s] = (torch.from_numpy((t - day) / DAY).float()[None],
                                     torch.from_numpy(np.where(w[..., None], v, 0)).float(),
                                     torch.from_numpy(np.ascontiguousarray(w)).float())
                    with torch.no_grad():
                        density = density + network(series, when).exp() / len(self.networks)
                said = self.networks[0].dates(density.log(), level=self.level, widen=torch.as_tensor(self.widen))
                found = torch.stack(said, -1).flatten(1).numpy()                        # (pixel, event and side)
                dates[k][:, *place] = (day + _days(found)).T
        return _dataset(dates, names, self.years, block["optical"])


@dataclass(frozen=True)
class Every:
    """Several ways to date in one pass over the scenes; layers bear the name of the way before their own.

    ways   {name: ``Curve``, ``DeepCrop`` or ``CropClock``}
    """

    ways: dict

    def __call__(self, block):
        """Dataset (year, y, x) of all layers, such as ndvi_sos20."""
        found = [way(block) for way in self.ways.values()]
        made = xr.Dataset()
        for way, one in zip(self.ways, found):
            made = made.assign({f"{way}_{name}": layer for name, layer in one.data_vars.items()})
        return made


# ---- what all share

def _seasons(ndvi, method="whittaker", **options):
    """The largest season of each harvest year of NDVI (time, y, x)."""
    options = {"thresholds": (0.2, 0.5), "per_year": 1, **options}
    return phenology.seasons(ndvi.transpose("time", ...), method=method, **options)


def _by_year(found, years):
    """Layers (season, y, x) as (year, y, x) of the harvest years that are wanted; missing where there is none."""
    found = found.swap_dims(season="year").drop_vars(["season", "rank"], errors="ignore")
    return found.transpose("year", ...).reindex(year=list(years)).drop_attrs(deep=False)


def _dataset(dates, names, years, like):
    """Dates (year, name, y, x) as a Dataset on the grid of the scenes."""
    grid = {c: like[c] for c in ("y", "x", "spatial_ref") if c in like.coords}
    made = xr.Dataset({n: (("year", "y", "x"), dates[:, j]) for j, n in enumerate(names)},
                      {"year": list(years), **grid})
    for name in names:
        event, _, side = name.partition("_")
        what = f"{'start' if event[:3] == 'sos' else 'end'} of season at {event[3:]} % of the amplitude"
        bound = {"low": "lower bound of the ", "high": "upper bound of the "}.get(side, "")
        made[name].attrs = {"long_name": bound + what}
    return made


def _greens(optical):
    """NDVI and GCC_s (time, y, x, 2) float32, where both are known, and the times."""
    both = indices.indices(["NDVI", "GCC"], optical).to_array().transpose("time", "y", "x", "variable")
    values = both.values.astype(np.float32)
    return values, np.isfinite(values).all(-1), optical["time"].values.astype("datetime64[ns]")


def _echoes(radar):
    """VV and VH (time, y, x, 2) in dB where there is any, gaps filled with the median of the tile; and the times."""
    sar = np.stack([indices.to_db(radar[v]).transpose("time", "y", "x").values for v in ("vv", "vh")], -1)
    kept = np.isfinite(sar).all(-1).mean((1, 2)) > 0.5
    sar = sar[kept].astype(np.float32)
    return (np.where(np.isfinite(sar), sar, np.nanmedian(sar, axis=(1, 2), keepdims=True)),
            radar["time"].values.astype("datetime64[ns]")[kept])


def _near_greens(values, clear):
    """NDVI and GCC_s (time, y, x, 2) as means of the clear ones of 3 × 3 pixels, where the middle one is clear."""
    return np.where(clear[..., None], np.stack([_near(values[..., k], clear) for k in range(2)], -1), np.nan)


def _near_echoes(radar):
    """VV and VH (time, y, x, 2) [dB] of the means of 3 × 3 pixels, where there is any, and the times."""
    found = []
    for v in ("vv", "vh"):
        power = radar[v].transpose("time", "y", "x").values.astype(np.float32)
        with np.errstate(all="ignore"):
            found.append(10 * np.log10(_near(power, np.isfinite(power))))
    values = np.stack(found, -1)
    return values, np.isfinite(values).all(-1), radar["time"].values.astype("datetime64[ns]")


def _near(values, known):
    """Means of what is known of 3 × 3 pixels, (time, y, x); NaN where nothing is."""
    from scipy.ndimage import uniform_filter

    total, count = (uniform_filter(x, (0, 3, 3), mode="constant") for x in
                    (np.where(known, values, 0), known.astype(np.float32)))
    return np.where(count > 0.05, total / np.maximum(count, 0.05), np.nan)


def _middles(optical, years):
    """The middle of each pixel's season by NDVI, (year, y, x); and the end of the season before and the start of that
    after, as {"before", "after"} of the same shape; NaT where there is none."""
    found = _seasons(indices.index("NDVI", optical), interval=0)
    around = _by_year(found[["sos20", "eos20", "peak"]], range(min(years) - 1, max(years) + 2))
    start, end, peak = (around[name].values.astype("datetime64[ns]") for name in ("sos20", "eos20", "peak"))
    middle = np.where(np.isnat(start) | np.isnat(end), peak, start + (end - start) // 2)
    start, end = (np.where(np.isnat(x), peak, x) for x in (start, end))
    rows = [year - min(years) + 1 for year in years]
    return middle[rows], {"before": end[[r - 1 for r in rows]], "after": start[[r + 1 for r in rows]]}


def _together(middle, years, between):
    """Pixels whose seasons lie around one day: of each year, its number, the day, and which pixels (y, x) bool.

    A pixel without a season is dated around 1 July, as in ``samples``.
    """
    for k, year in enumerate(years):
        newyear = np.datetime64(f"{year}-01-01", "ns")
        summer = np.datetime64(f"{year}-{SUMMER}", "ns")
        days = (np.where(np.isnat(middle[k]), summer, middle[k]) - newyear) / DAY
        number = np.round(days / between).astype(int)
        for one in np.unique(number):
            yield k, newyear + one * between * DAY, number == one


def _blocks(pixels):
    """Windows of rows and columns that together hold the patches of some pixels, so far as the tile has them."""
    rows, columns = pixels.shape
    for top in range(0, rows, BLOCK):
        for left in range(0, columns, BLOCK):
            some = pixels[top:top + BLOCK, left:left + BLOCK]
            if not some.any():
                continue
            inside = [np.flatnonzero(some.any(1 - axis)) for axis in (0, 1)]
            box = tuple(slice(max(start + own[0] - CONTEXT, 0), min(start + own[-1] + CONTEXT, size))
                        for start, own, size in zip((top, left), inside, (rows, columns)))
            if min(s.stop - s.start for s in box) >= 2 * CONTEXT:
                yield box


def _within(times, neighbours, k, box):
    """Which scenes lie between the seasons before and after of each pixel of a window, (scene, y, x) bool."""
    times = times[:, None, None]
    before, after = (neighbours[side][k][box] for side in ("before", "after"))
    return ~(times <= before) & ~(times >= after)  # NaT compares as False: no bound


def _days(values):
    """Days as timedelta64[ns], NaT for NaN."""
    return pd.to_timedelta(np.ravel(values), unit="D").to_numpy().reshape(np.shape(values))


def whole(found, ways):
    """Where each way to date gave all four dates, (y, x): 1 or 0, as a Dataset by way.

    found   Dataset (y, x) of ``days``, with layers such as ndvi_sos20
    ways    names of them
    """
    return xr.Dataset({way: found[[f"{way}_{event}" for event in EVENTS]].to_array().notnull().all("variable")
                       .astype(np.float32) for way in ways})


def fields(found, truth, year, ways, *, events=("sos50", "eos50"), least=60):
    """Medians of fields by each way to date against the day on which half of their leaves were there, or gone.

    found    Dataset (y, x) of ``days``
    truth    ``archive.cubes.Cube.truth``
    year     harvest year
    least    pixels of a field; of smaller ones, and where fewer than half were dated, nothing is told
    returns  DataFrame, one row a way, event and field: way, event, field, crop, away (median of the field less truth
             [days]), left (that less its median over the fields of the crop)
    """
    from phenolib import trends

    dates, number = truth
    dates, rows = dates[dates["season"] == year], []
    for event in events:
        own = dates[(dates["direction"] == ("rising" if event.startswith("sos") else "falling"))
                    & (dates["share"] == int(event[3:]))].drop_duplicates("parcel").set_index("parcel")
        true = (own["date"] - pd.Timestamp(f"{year}-01-01")) / pd.Timedelta(1, "D")
        for way in ways:
            zones = trends.zonal(found[f"{way}_{event}"], number).set_index("zone")
            zones = zones[(zones["pixels"] >= least) & (zones["retrieved"] > 0.5)]
            away = (zones["median"] - true.reindex(zones.index)).dropna()
            crop = own["crop"].reindex(away.index)
            rows.append(pd.DataFrame({"way": way, "event": event, "field": away.index, "crop": crop.to_numpy(),
                                      "away": away.to_numpy(),
                                      "left": (away - away.groupby(crop).transform("median")).to_numpy()}))
    return pd.concat(rows, ignore_index=True)


def northward(layer, *, blocks=20, least=30):
    """How a layer (y, x) [days] changes to the north: the Theil-Sen slope through the medians of blocks of rows.

    blocks   that the rows are put in
    least    values of a block that is used
    returns  {"blocks": used, "slope", "low", "high"} [days km-1], the interval of 95 %; NaN with fewer than five blocks
    """
    from scipy import stats

    north = (layer["y"].values - layer["y"].values.min()) / 1000
    block = np.minimum((blocks * north / (north.max() + 1e-9)).astype(int), blocks - 1)
    some = [layer.values[block == b] for b in range(blocks)]
    used = [b for b in range(blocks) if np.isfinite(some[b]).sum() >= least]
    if len(used) < 5:
        return {"blocks": len(used), "slope": np.nan, "low": np.nan, "high": np.nan}
    fit = stats.theilslopes([np.nanmedian(some[b]) for b in used], [north[block == b].mean() for b in used])
    return {"blocks": len(used), "slope": fit.slope, "low": fit.low_slope, "high": fit.high_slope}


def displacement(layer, other, *, reach=9, most=30.0, blocks=20, least=30, level=0.95, draws=500, seed=0):
    """Whether a map of dates shows what lies to the north or south: where it agrees best with another map.

    The misfit of a shift is the mean of |layer − other, shifted − their median difference|, of which no more than
    ``most`` counts, over pixels that are known at every shift. Blocks of rows are drawn for the interval.

    layer, other  (y, x) days
    reach         largest shift [pixels]
    most          [days]
    blocks        that the rows are put in
    least         pixels of a block that is used
    level         of the interval
    draws         of the blocks
    returns       {"misfit": Series by the shift to the north [m], "north": the shift with the least of it [m],
                  positive where the layer shows what lies to the north, "low", "high"}; NaN with fewer than five blocks
    """
    shift = pd.Index(float(abs(layer["y"][1] - layer["y"][0])) * np.arange(-reach, reach + 1), name="to the north [m]")
    nothing = {"misfit": pd.Series(np.nan, shift), "north": np.nan, "low": np.nan, "high": np.nan}
    rows = layer.sizes["y"] - 2 * reach
    if rows < 2:
        return nothing
    other = (other if other["y"][0] > other["y"][-1] else other.isel(y=slice(None, None, -1))).astype(float)
    mine = layer.sel(y=other["y"]).values[reach:reach + rows]
    moved = np.stack([other.values[reach - k:reach - k + rows] for k in range(-reach, reach + 1)])
    apart = np.where(np.isfinite(moved).all(0), mine - moved, np.nan)                   # (shift, y, x)
    place = np.linspace(0, blocks - 1e-9, rows).astype(int)
    some = [b for b in range(blocks) if np.isfinite(apart[0][place == b]).sum() >= least]
    if len(some) < 5:
        return nothing
    apart = np.minimum(np.abs(apart - np.nanmedian(apart, axis=(1, 2), keepdims=True)), most)
    size = np.stack([np.nanmean(apart[:, place == b], axis=(1, 2)) for b in some], 1)   # (shift, block)
    pick = np.random.default_rng(seed).integers(len(some), size=(draws, len(some)))
    span = np.quantile(shift[size[:, pick].mean(2).argmin(0)], [(1 - level) / 2, (1 + level) / 2])
    return {"misfit": pd.Series(size.mean(1), shift), "north": shift[size.mean(1).argmin()],
            **dict(zip(("low", "high"), span))}


def days(dates):
    """Dates (year, …) as days after 1 January of the harvest year; negative before it.

    dates    Dataset of datetime64 layers with the dimension year, as ``Curve`` gives them; other layers are left out
    returns  Dataset of float32 [d], NaN where there is no date; lazy if the dates are
    """
    years = [f"{year}-01-01" for year in dates["year"].values]
    newyear = xr.DataArray(np.array(years, "datetime64[ns]"), dims="year")
    found = dates[[name for name, layer in dates.data_vars.items() if layer.dtype.kind == "M"]]
    made = ((found - newyear) / DAY).astype(np.float32)
    for name, layer in made.data_vars.items():
        layer.attrs = {"units": "d", "long_name": f"{found[name].attrs.get('long_name', name)}, days after 1 January"}
    return made
