"""Samples of Deep-CroP: windows of satellite patches around a camera, with the camera's dates as labels."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import indices, phenology
from phenolib.errors import InputError
from phenolib.sources import phenocam, sentinel

EVENTS = ("sos20", "sos50", "eos50", "eos20")
SIZE = 18  # pixels of 10 m along a side of a patch
SITE = 9  # row and column of the camera's pixel
CELL = 3  # pixels along a side of a cell: what CropClock reads of a patch are the means of 6 × 6 of them
FEWEST = 5  # observations in which a season can be seen
SUMMER = "07-01"  # middle of a harvest year in which the pixel shows no season; of the northern hemisphere
WITHIN = np.timedelta64(60, "D")  # between the peaks of one season in two series
FILTER = dict(method="savgol", thresholds=(0.2, 0.5), interval=0)  # of the study: TIMESAT's filter, 20 and 50 %
DAY = np.timedelta64(1, "D")
COLUMNS = ["season", "site", "cluster", "split", "crop", "year", "anchor", "peak", "on_season", "low", "high", "first",
           "last", *EVENTS]


@dataclass(frozen=True)
class Place:
    """What the satellites saw around one camera.

    optical   (scene, 18, 18, 2) float32 NDVI and GCC_s of usable scenes; what was not clear is filled
    filled    (scene, 18, 18) bool, where that was done
    times     (scene,) datetime64
    sar       (look, 18, 18, 2) float32 VV and VH [dB]
    sar_times (look,) datetime64
    pixel     Dataset (time) NDVI, GCC: the site pixel in every scene, missing where it was not clear
    radar     Dataset (time) vv, vh: mean of the 3 × 3 pixels around the site, linear power
    """

    optical: np.ndarray
    filled: np.ndarray
    times: np.ndarray
    sar: np.ndarray
    sar_times: np.ndarray
    pixel: xr.Dataset
    radar: xr.Dataset


@dataclass(frozen=True)
class Windows:
    """Windows of n samples as arrays; days count from the ``start`` of each.

    optical       (n, 30, 18, 18, 2) float32 NDVI and GCC_s; 0 where ``mask`` is False
    filled        (n, 30, 18, 18) bool, pixels that were not clear and hold the mean of the clear ones of their scene
    sar           (n, 10, 18, 18, 2) float32 VV and VH [dB]; 0 in a window without scenes
    optical_days  (n, 30) float32; a step that is not there has the day of the nearest one that is
    sar_days      (n, 10) float32
    mask          (n, 30) bool, which steps are there
    target        (n, 4) int: step of the scene nearest to each of ``EVENTS``; 30 if it lies outside of the window; −1
                  if the camera has no such date
    moved         (n, 4) days from the camera's date to that scene, NaN without one
    true_day      (n, 4) the camera's date as it is, for scoring; NaN if there is none
    start         (n,) datetime64[D] day of the first scene
    rows          (n,) rows of ``Samples.table``
    """

    optical: np.ndarray
    filled: np.ndarray
    sar: np.ndarray
    optical_days: np.ndarray
    sar_days: np.ndarray
    mask: np.ndarray
    target: np.ndarray
    moved: np.ndarray
    true_day: np.ndarray
    start: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Series:
    """Acquisitions around the seasons of n samples, each at its own day, none paired.

    optical, sar  (n, m, 36, 2) float32 NDVI and GCC_s; VV and VH [dB]; in ``cells`` of 30 m around a camera; (n, m, 2)
                  of a place without one: the mean of its 3 × 3 pixels; 0 where there is none
    optical_days, sar_days    (n, m) days from the middle of the season (``anchor``)
    optical_there, sar_there  (n, m) bool
    middle        (n,) day of the year of the middle, from 0
    true_day      (n, 4) the camera's dates from the middle [days], NaN if there is none
    rows          (n,) rows of ``Samples.table``
    """

    optical: np.ndarray
    optical_days: np.ndarray
    optical_there: np.ndarray
    sar: np.ndarray
    sar_days: np.ndarray
    sar_there: np.ndarray
    middle: np.ndarray
    true_day: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Samples:
    """Seasons of cameras with the satellite series around them; windows are cut when they are asked for.

    table     one row a season: season (name), site, cluster, split, crop, year (of harvest), anchor (middle of the
              window without offset), peak (of the NDVI season it is placed on; else the anchor), on_season (whether
              that peak is within 60 days of the camera's), low, high (scenes a window may take), first, last (of all
              its windows), and the camera's dates ``EVENTS`` [datetime64, NaT: none]
    places    {site: Place}
    steps     optical scenes in a window
    looks     radar acquisitions in a window
    slide     scenes from one window of a season to the next
    camera    whether cameras stand at the places, which look at a part of the patch; else each place is told of itself
    """

    table: pd.DataFrame
    places: dict
    steps: int
    looks: int
    slide: int
    camera: bool = True

    def __len__(self):
        return len(self.table)

    @property
    def offsets(self):
        """The offsets that windows of a season have, in scenes: multiples of ``slide`` that keep the anchor inside."""
        return _offsets(self.steps, self.slide)

    @property
    def dates(self):
        """The camera's dates, (n, 4) datetime64[ns]."""
        return self.table[list(EVENTS)].to_numpy("datetime64[ns]")

    @property
    def newyear(self):
        """1 January of each harvest year, (n,) datetime64[ns]: what the days of ``baselines`` count from."""
        return self.table["year"].astype(str).to_numpy("datetime64[Y]").astype("datetime64[ns]")

    def draw(self, generator):
        """An offset for each season, (n,) int, drawn from ``offsets``: the event is not always at one step."""
        return generator.choice(self.offsets, size=len(self))

    def window(self, k, offset=0):
        """The window of season k, ``offset`` scenes later, as ``Windows`` of one sample."""
        row = self.table.iloc[k]
        place = self.places[row["site"]]
        steps, looks = self.steps, self.looks
        step, scene = window_scenes(place.times, row["anchor"], row["low"], row["high"], steps, offset)
        mask = np.zeros(steps, bool)
        mask[step] = True
        optical, sar = np.zeros((steps, SIZE, SIZE, 2), np.float32), np.zeros((looks, SIZE, SIZE, 2), np.float32)
        filled, sar_days = np.zeros((steps, SIZE, SIZE), bool), np.zeros(looks, np.float32)
        optical_days = np.zeros(steps, np.float32)
        times = place.times[scene]
        start = np.datetime64(times[0] if times.size else row["anchor"], "D")
        true_day = (self.dates[k] - start) / DAY
        target, moved = np.where(np.isnan(true_day), -1, steps), np.full(len(EVENTS), np.nan)
        if times.size:
            days = (times - start) / DAY
            optical[step], filled[step] = place.optical[scene], place.filled[scene]
            optical_days[:] = days[np.clip(np.arange(steps) - step[0], 0, days.size - 1)]
            even = np.linspace(days[0], days[-1], looks)
            seen = (place.sar_times - start) / DAY
            look = np.abs(seen - even[:, None]).argmin(1)
            sar[:], sar_days[:] = place.sar[look], seen[look]
            within = np.flatnonzero((true_day >= days[0]) & (true_day <= days[-1]))
            nearest = np.abs(days - true_day[within, None]).argmin(1)
            target[within], moved[within] = step[nearest], days[nearest] - true_day[within]
        found = (optical, filled, sar, optical_days, sar_days, mask, target, moved, true_day, start, k)
        return Windows(*(np.asarray(values)[None] for values in found))

    def windows(self, rows=None, offsets=0):
        """Windows of several seasons.

        rows     of ``table``; default all
        offsets  in scenes, one for all or one for each: ``draw`` in training, a fixed one in testing
        returns  Windows
        """
        rows = np.arange(len(self)) if rows is None else np.asarray(rows)
        offsets = np.broadcast_to(offsets, rows.shape)
        found = [self.window(int(k), int(offset)) for k, offset in zip(rows, offsets)]
        return Windows(*(np.concatenate([getattr(one, f.name) for one in found]) for f in fields(Windows)))

    def series(self, rows=None, *, reach=320):
        """The acquisitions within ``reach`` days of the middle of several seasons, whatever is there.

        rows     of ``table``; default all
        returns  Series
        """
        rows = np.arange(len(self)) if rows is None else np.asarray(rows)
        anchor, sites = (self.table[name].to_numpy()[rows] for name in ("anchor", "site"))
        anchor = anchor.astype("datetime64[ns]")
        seen = {site: self.places[site] for site in set(sites)}
        part = cells if self.camera else own
        light = {site: (p.times, part(p.optical, p.filled)) for site, p in seen.items()}
        echo = {site: (p.sar_times, 10 * np.log10(part(10 ** (p.sar / 10)))) for site, p in seen.items()}
        near = [[_around(*part[site], middle, reach) for site, middle in zip(sites, anchor)] for part in (light, echo)]
        return Series(*_padded(near[0]), *_padded(near[1]), (anchor - anchor.astype("datetime64[Y]")) / DAY,
                      (self.dates[rows] - anchor[:, None]) / DAY, rows)


def own(patches, filled=None):
    """Means of the 3 × 3 pixels around the site, where they were clear: (scene, 18, 18, 2) as (scene, 2).

    filled  (scene, 18, 18) bool, what was not clear; never the site itself
    """
    near = np.s_[:, SITE - 1:SITE + 2, SITE - 1:SITE + 2]
    weights = np.ones(patches[near].shape[:3]) if filled is None else ~filled[near]
    return np.einsum("syxv,syx->sv", patches[near], weights / weights.sum((1, 2), keepdims=True)).astype(np.float32)


def cells(patches, filled=None):
    """Means of the 6 × 6 cells of 3 × 3 pixels, rows from the north: patches (scene, 18, 18, 2) as (scene, 36, 2).

    filled  is not looked at: what was not clear holds the mean of its scene
    """
    count = SIZE // CELL
    return patches.reshape(-1, count, CELL, count, CELL, 2).mean((2, 4)).reshape(-1, count * count, 2)


def in_view(samples, weights):
    """The same samples, with what is in view of each camera in place of its pixel: as ``baselines`` read them.

    samples  ``Samples``
    weights  (36,) of the cells, as ``nets.cropclock.View`` learns them
    returns  Samples; ``Place.pixel`` holds the weighted means of NDVI and GCC_s in the usable scenes. The windows stay
             where the NDVI of the pixel has put them
    raises   InputError for another number of weights
    """
    if np.shape(weights) != ((SIZE // CELL) ** 2,):
        raise InputError(f"weights of shape {np.shape(weights)}: give one for each of the {(SIZE // CELL) ** 2} cells")

    def seen(place):
        values = np.einsum("scv,c->vs", cells(place.optical), weights)
        return xr.Dataset({name: ("time", one) for name, one in zip(("NDVI", "GCC"), values)}, {"time": place.times})

    return replace(samples, places={site: replace(p, pixel=seen(p)) for site, p in samples.places.items()})


def of_archive(archive, *, steps=30, looks=10, slide=5, usable=0.5, apart=4.0, metric="gcc_90", years=None,
               places=()):
    """Samples of all places of an archive that have a camera and patches of both satellites.

    Of the study: patches of 18 × 18 pixels with the camera in the middle, 30 scenes with NDVI and GCC_s, 10 radar
    images with VV and VH in dB, and labels from the camera's greenness by TIMESAT's filter at 20 and 50 % of the
    amplitude, moved to the nearest date with a usable image. All else is a resolution of ours:

    - a scene is usable if the site pixel (row 9, column 9) and a share ``usable`` of the patch are clear. Where orbits
      overlap, the clearer of two scenes less than ``apart`` days from one another is kept: else 30 scenes cover only
      half a season there
    - one calendar window a sample: consecutive usable scenes, and the radar images nearest to equally spaced dates of
      that window
    - where a window lies must not tell the camera's dates: it is placed on a season of the NDVI of the site pixel, its
      middle between SOS20 and EOS20 of the NDVI (the peak where one is missing). Of the two largest of each harvest
      year it is the one whose peak is nearest to the camera's, within 60 days, as seasons are matched in validation.
      Where there is none it is the largest of that harvest year, or 1 July (``on_season`` False), and the camera's
      dates count all the same. It begins after the largest season of the year before (its EOS20) and ends before that
      of the year after (its SOS20), so that it holds the events of one main season
    - labels are moved to the nearest optical scene, and the move is kept; the date as it was is kept for scoring
    - of each harvest year the camera's largest season, where the satellites saw all of it

    archive   Archive
    steps     scenes in a window; fewer that are there are masked
    looks     radar images in a window
    slide     scenes by which the windows of a season differ
    usable    share of the patch that must be clear [-]
    apart     least time between two scenes [days]
    metric    greenness of the camera
    years     harvest years that are kept; default all
    places    sites that are kept; default all
    returns   Samples
    raises    InputError if no season is left, or a patch is smaller than 18 × 18 pixels
    """
    there = archive.patch_places
    there = set(there["place"][there["optical"] & there["radar"]]) & set(archive.cameras()["site"])
    wanted = {archive.find_site(name) for name in places} or there
    seasons, found = [], {}
    for site in archive.sites[archive.sites["site"].isin(wanted & there)].itertuples():
        place = place_of(archive.patch(site.site), usable=usable, apart=apart)
        camera = seasons_of(phenocam.greenness(archive.phenocam(site.site), metric), 1)
        some = _placed(camera, place, steps, slide)
        some = some[some["year"].isin(years if years is not None else some["year"])]
        seasons.append(some.assign(site=site.site, cluster=site.cluster, split=site.split, crop=site.crop))
        found[site.site] = place
    table = pd.concat(seasons, ignore_index=True) if seasons else pd.DataFrame()
    if table.empty:
        raise InputError(f"the archive '{archive.name}' has no season that a camera and both satellites saw")
    reference = archive.reference("cameras", "truth").events
    if "crop" in reference:
        table["crop"] = _sown(table, reference)
    name = table["site"] + "_" + table["year"].astype(str)
    return Samples(table.assign(season=name)[COLUMNS], found, steps, looks, slide)


def of_fields(archive, *, per_crop=6, peaks=("04-01", "09-15"), steps=30, looks=10, slide=5, usable=0.5, apart=4.0,
              seed=0):
    """Samples of places without a camera: pixels inside the fields of a crop map, in the year of the map.

    The window is placed on the largest season whose peak lies between two days of that year. A pixel is drawn from
    those whose neighbours bear the same crop and whose patch of 18 × 18 lies in the file.

    archive   Archive with patches that have a crop map
    per_crop  pixels of each crop and place, at most
    peaks     first and last day between which the season has its peak
    others    as ``of_archive``
    seed      of the draw of pixels
    returns   Samples: the cluster is the place, the site "place row,column", and the camera's dates are all missing
    raises    InputError if no pixel is left
    """
    rng = np.random.default_rng(seed)
    rows, found = [], {}
    there = archive.patch_places.query("optical and radar and crops")["place"]
    for name in sorted(set(there) - set(archive.cameras()["site"])):
        patch = archive.patch(name)
        labels, year = patch["crops"]["crop"], pd.Timestamp(patch["crops"].attrs["until"]).year
        inside = sentinel.interior(labels).values.copy()
        inside[:SITE] = inside[:, :SITE] = inside[SITE - SIZE + 1:] = inside[:, SITE - SIZE + 1:] = False
        for code in np.unique(labels.values[inside]):
            if int(code) not in sentinel.CROPS:
                continue
            for row, column in rng.permutation(np.argwhere(inside & (labels.values == code)))[:per_crop]:
                site = f"{name} {row},{column}"
                place = place_of(patch, usable=usable, apart=apart, site=(int(row), int(column)))
                seasons = seasons_of(place.pixel["NDVI"], 3)
                first, last = (pd.Timestamp(f"{year}-{day}") for day in peaks)
                own = seasons[(seasons["peak"] >= first) & (seasons["peak"] <= last)].sort_values("rank")
                rows.append({"season": f"{site} {year}", "site": site, "cluster": name, "split": "",
                             "crop": sentinel.CROPS[int(code)], "year": year, "on_season": not own.empty,
                             **_window(place, seasons, None if own.empty else own.iloc[0], year, steps, slide)})
                found[site] = place
    if not rows:
        raise InputError(f"the archive '{archive.name}' has no crop map without a camera under both satellites")
    table = pd.DataFrame(rows).assign(**dict.fromkeys(EVENTS, pd.NaT))
    table = table.astype(dict.fromkeys(EVENTS, "datetime64[ns]"))[COLUMNS]
    return Samples(table, found, steps, looks, slide, camera=False)


def pooled(first, other):
    """The seasons of two archives as one; sites, clusters and seasons of the other get names of their own.

    first, other   ``Samples`` with windows of one size
    returns        Samples, those of ``first`` before those of ``other``
    raises         InputError where their windows differ, or only one of them has cameras
    """
    sizes = [(some.steps, some.looks, some.slide) for some in (first, other)]
    if sizes[0] != sizes[1]:
        raise InputError(f"windows of {sizes[0]} and of {sizes[1]} scenes, looks and steps cannot be pooled")
    if first.camera != other.camera:
        raise InputError("samples with cameras and samples without cannot be pooled: their series are not alike")
    table = other.table.assign(**{name: "other-" + other.table[name] for name in ("site", "cluster", "season")})
    places = first.places | {f"other-{site}": place for site, place in other.places.items()}
    return replace(first, table=pd.concat([first.table, table], ignore_index=True), places=places)


def place_of(patch, *, usable=0.5, apart=4.0, site=None):
    """A place's patches as ``Place``; see ``of_archive``.

    patch    dict of Datasets, as ``Archive.patch`` gives it
    site     row and column of the optical pixel that is dated; default the one in the middle
    raises   InputError if the 18 × 18 pixels around it leave the patch
    """
    optical, radar = _cut(patch["optical"], site), patch["radar"]
    radar = radar.sel(x=optical["x"], y=optical["y"], method="nearest")
    both = indices.indices(["NDVI", "GCC"], sentinel.clear(optical, sentinel.LAND))
    values = both.to_array().transpose("time", "y", "x", "variable").values.astype(np.float32)  # (scene, 18, 18, 2)
    clear = np.isfinite(values).all(-1)
    share = clear.mean((1, 2))
    kept = clearer(optical["time"].values, share, np.flatnonzero(clear[:, SITE, SITE] & (share >= usable)), apart)
    values, clear = values[kept], clear[kept]
    mean = np.nanmean(np.where(clear[..., None], values, np.nan), axis=(1, 2), keepdims=True)
    heard = (radar["vv"].notnull() & radar["vh"].notnull()).transpose("time", "y", "x").values
    radar = radar.isel(time=np.flatnonzero(heard[:, SITE, SITE]))
    sar = np.stack([indices.to_db(radar[v]).transpose("time", "y", "x").values for v in ("vv", "vh")], -1)
    sar = np.where(np.isfinite(sar), sar, np.nanmedian(sar, axis=(1, 2), keepdims=True))  # (look, 18, 18, 2)
    near = dict(x=slice(SITE - 1, SITE + 2), y=slice(SITE - 1, SITE + 2))
    times, sar_times = (bands["time"].values.astype("datetime64[ns]") for bands in (optical, radar))
    return Place(np.where(clear[..., None], values, mean), ~clear, times[kept], sar.astype(np.float32), sar_times,
                 both.isel(x=SITE, y=SITE, drop=True).drop_vars("spatial_ref", errors="ignore").compute(),
                 radar[["vv", "vh"]].isel(near).mean(("x", "y"), keep_attrs=True))


def seasons_of(series, per_year=2, **options):
    """The largest seasons of each harvest year of a series, by TIMESAT's filter as in the study.

    series    (time,) DataArray; where a time stands twice the mean is taken
    per_year  how many
    options   of ``phenology.seasons``, in place of the study's
    returns   DataFrame as ``phenology.table``, the harvest year as ``season``; no rows without a season
    """
    values = pd.Series(series.values, series["time"].values.astype("datetime64[ns]")).dropna().groupby(level=0).mean()
    if values.size < FEWEST:
        dates = {name: pd.Series(dtype="datetime64[ns]") for name in ("peak", *EVENTS)}
        return pd.DataFrame({"season": pd.Series(dtype=int), "rank": pd.Series(dtype=int), **dates})
    series = xr.DataArray(values.to_numpy(), {"time": values.index.to_numpy()}, "time")
    found = phenology.table(phenology.seasons(series, per_year=per_year, **{**FILTER, **options}))
    return found.dropna(subset="peak").reset_index(drop=True)


def nearest(found, peaks):
    """Which season of a table has the nearest peak; (n,) rows of it, −1 where none is within 60 days.

    found   DataFrame of ``seasons_of``
    peaks   (n,) datetime64
    """
    there, peaks = found["peak"].to_numpy("datetime64[ns]"), np.asarray(peaks, "datetime64[ns]")
    if not there.size:
        return np.full(peaks.shape, -1)
    away = np.abs(peaks[:, None] - there)
    return np.where(away.min(1) <= WITHIN, away.argmin(1), -1)


def _placed(camera, place, steps, slide):
    """The camera's seasons that the satellites saw whole, each with its anchor and the scenes its windows may take."""
    seen = place.pixel["time"].values.astype("datetime64[ns]")[[0, -1]]
    dates = camera[["peak", *EVENTS]].to_numpy("datetime64[ns]")
    camera = camera.rename(columns={"season": "year"})
    camera = camera[((dates >= seen[0]) & (dates <= seen[1]) | np.isnat(dates)).all(1)].reset_index(drop=True)
    both = seasons_of(place.pixel["NDVI"])
    main = both[both["rank"] == 1].set_index("season")
    rows = []
    for year, row in zip(camera["year"], nearest(both, camera["peak"])):
        season = both.iloc[row] if row >= 0 else main.loc[year] if year in main.index else None
        rows.append({"on_season": row >= 0, **_window(place, both, season, year, steps, slide)})
    return pd.concat([camera[[*EVENTS, "year"]], pd.DataFrame(rows)], axis=1)


def _window(place, seasons, season, year, steps, slide):
    """Where the windows of a season lie, as columns of the table; on 1 July of the year where it is None."""
    main = seasons[seasons["rank"] == 1]
    ends, starts = (main[f"{edge}20"].fillna(main[f"{edge}50"]).fillna(main["peak"]) for edge in ("eos", "sos"))
    if season is None:
        anchor = peak = pd.Timestamp(f"{year}-{SUMMER}")
    else:
        peak = season["peak"]
        anchor = peak if pd.isna(season["sos20"]) or pd.isna(season["eos20"]) else (
            season["sos20"] + (season["eos20"] - season["sos20"]) / 2)
    before, after = ends[ends < anchor].max(), starts[starts > anchor].min()
    low = 0 if pd.isna(before) else int(np.searchsorted(place.times, before.to_datetime64(), "right"))
    high = place.times.size if pd.isna(after) else int(np.searchsorted(place.times, after.to_datetime64()))
    taken = [scene for offset in _offsets(steps, slide)
             for scene in window_scenes(place.times, anchor, low, high, steps, offset)[1]]
    first, last = (place.times[[min(taken), max(taken)]] if taken else (anchor, anchor))
    return {"anchor": anchor, "peak": peak, "low": low, "high": high, "first": pd.Timestamp(first),
            "last": pd.Timestamp(last)}


def _around(times, values, middle, reach):
    """Days (m,) from the middle and values (m, …) of the acquisitions within reach of it."""
    days = (times - middle) / DAY
    near = np.abs(days) <= reach
    return days[near], values[near]


def _padded(found):
    """Values (n, m, …), days (n, m) and a mask (n, m) of n lists of acquisitions, as long as the longest."""
    most = max(days.size for days, _ in found)
    values = np.zeros((len(found), most, *found[0][1].shape[1:]), np.float32)
    days = np.zeros((len(found), most), np.float32)
    there = np.zeros((len(found), most), bool)
    for k, (when, what) in enumerate(found):
        values[k, :when.size], days[k, :when.size], there[k, :when.size] = what, when, True
    return values, days, there


def _offsets(steps, slide):
    most = max(steps // 2 - 1, 0) // slide * slide
    return np.arange(-most, most + 1, slide)


def window_scenes(times, anchor, low, high, steps, offset):
    """Which steps of a window are there, and which scenes of the series they are; two (m,) int."""
    scene = np.searchsorted(times, np.datetime64(anchor)) - steps // 2 + offset + np.arange(steps)
    step = np.flatnonzero((scene >= low) & (scene < high))
    return step, scene[step]


def clearer(times, share, scenes, apart):
    """Of scenes less than ``apart`` days from one another the clearer one."""
    kept = []
    for scene in scenes:
        if kept and (times[scene] - times[kept[-1]]) / DAY < apart:
            kept[-1] = scene if share[scene] > share[kept[-1]] else kept[-1]
        else:
            kept.append(scene)
    return np.array(kept, int)


def _cut(bands, site=None):
    """The 18 × 18 pixels whose row 9 and column 9 are a pixel of the patch, or the one in its middle."""
    cut = {}
    for axis, middle in zip(sentinel.SPACE, site or [bands.sizes[axis] // 2 for axis in sentinel.SPACE]):
        if middle < SITE or middle - SITE + SIZE > bands.sizes[axis]:
            raise InputError(f"{bands.attrs.get('source', 'the patch')}: {bands.sizes[axis]} pixels along {axis}; "
                             f"{SIZE} around pixel {middle} are needed")
        cut[axis] = slice(middle - SITE, middle - SITE + SIZE)
    return bands.isel(cut)


def _sown(table, reference):
    """The crop of each season where a reference tells it, as a crop map of each year would; else the site's."""
    half = reference[(reference["direction"] == "rising") & (reference["share"] == 50)]
    crops = []
    for row in table.itertuples():
        some = half[(half["site"] == row.site) & (half["season"] == row.year)]
        off = (some["date"] - (row.sos50 if pd.notna(row.sos50) else row.eos50)).abs()
        crops.append(some["crop"].iloc[off.argmin()] if len(some) and off.notna().any() else row.crop)
    return crops
