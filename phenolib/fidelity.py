"""Statistics by which simulated series are held against real ones: the same from any archive, as one tidy table.

    python -m phenolib.fidelity FOLDER --out FILE --source "who measured it, under which licence"
    python -m phenolib.fidelity simulated --against FILE --places sim-square
"""

import argparse
import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import curves, indices, metrics, phenology
from phenolib.errors import InputError, near
from phenolib.files import write_text
from phenolib.sources import phenocam, sentinel

COLUMNS = ["what", "crop", "month", "value", "low", "high", "n", "unit"]
KEYS = ["what", "crop", "month"]
TOLERANCE = {"VV": 2.0, "VH": 2.0, "NDVI": 0.1}  # of monthly medians, in their unit; project default
PIXEL = 20.0  # m; finer radar is averaged to this, so that speckle of all archives is of one support
FEWEST = 8, 4  # interior pixels that make a field: optical, radar; project default
DRAWN = 9  # pixels of a field whose NDVI series is smoothed
FAR, NEXT = (3.0, 5.0), 1.0  # distances [pixels] at which speckle is taken for independent, and of neighbours
SWINGS = {"winter wheat": (3, 5), "maize": (5, 8), "sugar beet": (5, 8)}  # months from which to which VH moves
RIPENING = ("winter wheat", "winter barley", "barley")
GREEN = 0.6  # NDVI of a canopy that is still green; project default
RIPE = 40  # days after a canopy was last green in which it is ripe; project default
STUBBLE = 25, 60, 0.05  # days after it was last green from which the level of stubble is taken, and what is near it
LOW = 0.1  # NDVI below the curve that marks a cloud or shadow left in
SHAPE = dict(thresholds=(0.2, 0.5, 0.8), window=21.0, max_gap=30.0, per_year=8, interval=0, curve=True)
SERIES = 5  # series of one crop that are enough for rows of their own
STAGES = ("planted", "emerged", "silking", "mature", "dropping leaves", "harvested")
CROPS = {"soybeans": "soybean"}  # names of crop progress: names of the cameras
SHARES = (10, 16, 50, 84, 90)  # per cent of the area


def quantile(share):
    return lambda sample: np.quantile(sample, share)


def robust(sample):
    return 1.4826 * np.median(np.abs(sample))


HOW = {  # the last words of a row's name: statistic of its sample
    "": np.median, "share": np.mean, "median": np.median, "10 %": quantile(0.1), "90 %": quantile(0.9),
    "longest": np.max, "mean": np.mean, "SD": lambda sample: np.std(sample, ddof=1) if sample.size > 1 else np.nan,
    "SD within sites": lambda sample: np.sqrt(np.mean(sample**2)), "robust SD within sites": robust,
}


def statistics(archive, *, places="", draws=200, seed=0):
    """All statistics that the files of an archive allow.

    archive  ``archive.Archive``, simulated or real
    places   how the names of the patches begin that are taken, e.g. those in the climate of the other archive
    draws    of the bootstrap over fields, sites or years
    seed     of the draws
    returns  DataFrame ``COLUMNS``, sorted: what, crop ("" for all together), month (1–12; of a quarter its middle
             month; 0: no month), value with its 95 % interval low, high (missing with one group), n (values in the
             sample) and unit
    raises   InputError if no place begins so, and as the readers of the files

    What is in it: monthly medians by crop of NDVI, VV and VH, their change, NDVI of the ripe canopy, noise and speckle
    (``of_place``); clear dates and their gaps (``clear_dates``); shape, noise and dates of the camera series
    (``of_cameras``); dates of crop progress where the archive holds them (``progress``).
    """
    taken = [place for place in archive.patch_places["place"] if place.startswith(places)]
    if places and not taken:
        raise InputError(f"no place of patches in '{archive.name}' begins with '{places}'"
                         f"{near(places, archive.patch_places['place'])}")
    rows = [row for place in taken for row in of_place(archive.patch(place), place)] + of_cameras(archive)
    table = summary(rows, draws=draws, seed=seed)
    reports = sorted(archive.root.glob("**/*crop_progress*.csv"))
    parts = [table, *(progress(read_progress(path), draws=draws, seed=seed) for path in reports)]
    return pd.concat([part for part in parts if len(part)] or parts).sort_values(KEYS, ignore_index=True)


def summary(rows, *, draws=200, seed=0):
    """Samples to one row each: value, interval and n.

    rows     of (what, how, crop, month, unit, group, value); how is a key of ``HOW``, a group is drawn as a whole
    returns  DataFrame ``COLUMNS``
    """
    samples = pd.DataFrame(rows, columns=["what", "how", "crop", "month", "unit", "group", "value"]).dropna()
    found = []
    for (what, how, crop, month, unit), some in samples.groupby(["what", "how", "crop", "month", "unit"]):
        values, bounds = metrics.bootstrap(some["value"], some["group"], {how: HOW[how]}, draws=draws, seed=seed)
        name = f"{what}, {how}" if how else what
        found.append((name, crop, month, values[how], *bounds[how], len(some), unit))
    return pd.DataFrame(found, columns=COLUMNS).sort_values(KEYS, ignore_index=True)


def of_place(patch, place):
    """Samples of one place: a value a field and month, a field, or a date.

    patch    dict of Datasets as ``Archive.patch`` gives it
    place    its name
    returns  rows of ``summary``; series by crop are of the year of the crop map alone

    A field is a connected piece of interior pixels of one crop. Radar is averaged over a field in linear power, then
    made dB; NDVI is the median of its clear pixels.
    """
    rows = clear_dates(patch, place)
    if "crops" not in patch:
        return rows
    labels, year = patch["crops"]["crop"], patch["crops"].attrs["until"][:4]
    if "optical" in patch:
        optical = sentinel.clear(patch["optical"].sel(time=year))
        ndvi = indices.index("NDVI", optical)
        for crop, mask, name in fields(labels, FEWEST[0], place):
            rows += of_optical_field(sentinel.pixels(ndvi, mask), crop, name)
    if "radar" in patch:
        radar = on_grid(patch["radar"][["vv", "vh"]].sel(time=year))
        for crop, mask, name in fields(sentinel.on_coarse(labels, radar), FEWEST[1], place):
            rows += of_radar_field(radar, mask, crop, name)
    return rows


def on_grid(radar):
    """Radar finer than ``PIXEL`` averaged to it in linear power."""
    step = max(round(PIXEL / abs(float(radar["x"][1] - radar["x"][0]))), 1)
    return radar.coarsen(y=step, x=step, boundary="trim").mean()


def fields(labels, fewest, place):
    """The fields of a crop map: (crop, mask (y, x), name) of each with enough interior pixels."""
    from scipy.ndimage import label

    inside = sentinel.interior(labels)
    for code, crop in sentinel.CROPS.items():
        pieces, count = label((inside & (labels == code)).values)
        for k in range(1, count + 1):
            if (pieces == k).sum() >= fewest:
                yield crop, inside.copy(data=pieces == k), f"{place} {crop} {k}"


def monthly(series, what, crop, unit, group):
    """Medians of the months of a series (time,), as rows of ``summary``."""
    some = series.dropna("time")
    middle = pd.Series(some.values, some.indexes["time"].month).groupby(level=0).median()
    return [(what, "", crop, int(month), unit, group, float(value)) for month, value in middle.items()]


def of_optical_field(ndvi, crop, group):
    """Samples of the clear NDVI of a field in one year, (pixel, time)."""
    field = ndvi.median("pixel").dropna("time")
    if field.sizes["time"] < 5:
        return []
    rows = monthly(field, "NDVI", crop, "-", group)
    if crop in RIPENING:
        rows += [(what, "", crop, 0, "-", group, value)
                 for what, value in zip(("NDVI of the ripe canopy", "NDVI of stubble"), ripe_ndvi(field))]
    drawn = ndvi.isel(pixel=np.linspace(0, ndvi.sizes["pixel"] - 1, DRAWN).astype(int))
    smooth = curves.smooth(drawn, method="whittaker").interp(time=drawn["time"])
    away = (drawn - smooth.transpose("pixel", "time")).values  # (pixel, time)
    away = away[np.isfinite(away)]
    return [*rows, ("NDVI noise about its curve", "", crop, 0, "-", group, robust(away - np.median(away))),
            ("NDVI noise about its curve", "", "", 0, "-", group, robust(away - np.median(away))),
            ("NDVI 0.1 or more below its curve", "share", "", 0, "-", group, float(np.mean(away <= -LOW)))]


def ripe_ndvi(field):
    """NDVI of a ripe canopy before its harvest, and of the stubble; NaN where it was never green or never seen ripe.

    field    (time,) clear NDVI of a year
    returns  the last value before NDVI first comes near to that of stubble, within ``RIPE`` days after it was last
             ``GREEN`` between April and August; and the lower quartile of what was seen of stubble

    What ripens is brown, but stands; so this level holds the spectrum of brown leaves and stems to account.
    """
    months = field["time"].dt.month
    green = field["time"].values[((field >= GREEN) & (months >= 4) & (months <= 8)).values]
    if not green.size:
        return np.nan, np.nan
    pause = np.flatnonzero(np.diff(green) > np.timedelta64(RIPE, "D"))  # what is green after it is another crop
    since = (field["time"].values - green[pause[0] if pause.size else -1]) / np.timedelta64(1, "D")
    late = field.values[(since >= STUBBLE[0]) & (since <= STUBBLE[1])]
    if not late.size:
        return np.nan, np.nan
    stubble = float(np.quantile(late, 0.25))
    browning = field.values[(since > 0) & (since <= RIPE)]
    standing = browning[: np.argmax(np.append(browning, stubble) <= stubble + STUBBLE[2])]
    return float(standing[-1]) if standing.size else np.nan, stubble


def of_radar_field(radar, mask, crop, group):
    """Samples of the backscatter of a field in one year: (time, y, x) vv, vh in linear power."""
    rows = []
    for band in ("vv", "vh"):
        power = sentinel.pixels(radar[band], mask)
        level = monthly(indices.to_db(power.mean("pixel")), band.upper(), crop, "dB", group)
        rows += level
        if band == "vh" and crop in SWINGS:
            first, last = SWINGS[crop]
            month = {row[3]: row[-1] for row in level}
            words = " to ".join(pd.Timestamp(2001, m, 1).month_name() for m in (first, last))
            change = month.get(last, np.nan) - month.get(first, np.nan)
            rows.append((f"VH change from {words}", "", crop, 0, "dB", group, change))
        spread, shared = speckle(power, np.argwhere(mask.values))
        rows += [(f"{band.upper()} speckle SD at {PIXEL:g} m", "", "", 0, "dB", group, spread),
                 (f"{band.upper()} looks at {PIXEL:g} m", "", "", 0, "1", group, looks(spread)),
                 (f"{band.upper()} speckle shared with the next pixel", "", "", 0, "-", group, shared)]
    return rows


def speckle(power, place):
    """Speckle of a field from the differences between its pixels, each about its own mean over time.

        Var(xᵢ − xⱼ) = 2 σ² (1 − ρ),  with ρ = 0 from three to five pixels apart

    power    (pixel, time) linear power
    place    (pixel, 2) row and column of each
    returns  σ [dB] and ρ of next pixels [-]; NaN where no two pixels are far enough apart
    """
    level = indices.to_db(power).values
    level = level[:, np.isfinite(level).all(0)]
    if level.shape[1] < 5:
        return np.nan, np.nan
    level = level - level.mean(1, keepdims=True)
    product = level @ level.T / (level.shape[1] - 1)
    own = np.diag(product)
    square = own[:, None] + own - 2 * product
    apart = np.hypot(*(place[:, None] - place).transpose(2, 0, 1))
    far, close = square[(apart >= FAR[0]) & (apart <= FAR[1])], square[apart == NEXT]
    if not far.size or not close.size:
        return np.nan, np.nan
    return float(np.sqrt(far.mean() / 2)), float(1 - close.mean() / far.mean())


def looks(spread):
    """Equivalent number of looks of speckle whose SD is ``spread`` [dB], for gamma-distributed power.

    SD = 10 / ln 10 · √ψ₁(L), ψ₁ the trigamma function

    >>> round(looks(2.2), 1)
    4.4
    """
    from scipy.optimize import brentq
    from scipy.special import polygamma

    if not spread > 0:
        return np.nan
    wanted = (spread * np.log(10) / 10) ** 2
    return float(np.exp(brentq(lambda x: polygamma(1, np.exp(x)) - wanted, -5, 12)))


def clear_dates(patch, place):
    """Samples of the dates of one place: whether each is clear, the gaps between clear ones, dates a year.

    A date is clear where at least half of the pixels are of the classes ``sources.sentinel.CLEAR``. Data sets that
    leave out cloudy scenes show a larger share of clear dates than the sky; the dates of a month and the gaps do not.
    """
    rows = []
    if "radar" in patch:
        rows.append(("radar dates a year", "", "", 0, "1", place, per_year(patch["radar"].indexes["time"])))
    optical = patch.get("optical", patch.get("optical_20"))
    if optical is None:
        return rows
    time = optical.indexes["time"]
    rows.append(("optical dates a year", "", "", 0, "1", place, per_year(time)))
    seen = optical["scl"].isin(sentinel.CLEAR).mean(("y", "x")).values >= 0.5
    rows += [("clear dates", "share", "", int(month), "-", place, float(is_clear))
             for month, is_clear in zip(time.month, seen)]
    rows.append(("clear dates a year", "", "", 0, "1", place, per_year(time) * seen.mean()))
    clear = time[seen]
    counts = pd.Series(seen, time.to_period("M")).groupby(level=0).sum()
    rows += [("clear dates of a month", "mean", "", month.month, "1", place, float(count))
             for month, count in counts.items()]
    gaps = (clear[1:] - clear[:-1]) / pd.Timedelta(1, "D")
    middle = (clear[:-1] + (clear[1:] - clear[:-1]) / 2).month
    for month, gap in zip(middle, gaps):
        rows += [("gap between clear dates", how, "", int(month) % 12 // 3 * 3 + 1, "d", place, gap)
                 for how in ("median", "90 %")]
    return [*rows, ("gap between clear dates, longest of a place", "", "", 0, "d", place, max(gaps, default=np.nan))]


def per_year(time):
    """Dates a year of a series of dates."""
    return (len(time) - 1) / ((time[-1] - time[0]) / pd.Timedelta(365.25, "D")) if len(time) > 1 else np.nan


def of_cameras(archive, veg_type="AG"):
    """Samples of the camera series of a vegetation type: shape and noise of each, and its dates.

    returns  rows of ``summary``. Shape and dates are those of the largest season of each harvest year; a series
             counts by the median over its years. Crops are those of the table of sites, where a site has one alone.
    """
    table = archive.cameras() if "cameras" in archive.kinds() else pd.DataFrame(columns=["veg_type"])
    table = table[table["veg_type"] == veg_type]
    if table.empty:
        return []
    crop_of = archive.sites.set_index("site")["crop"]
    shapes, dates = [], []
    for camera in table.itertuples():
        crop = crop_of[camera.site] if "/" not in crop_of[camera.site] else ""
        shape, main = of_series(phenocam.greenness(phenocam.read(camera.path)))
        shapes.append({"site": camera.site, "crop": crop} | shape)
        dates.append(main.assign(site=camera.site, crop=crop))
    shapes, dates = pd.DataFrame(shapes), pd.concat(dates, ignore_index=True)
    rows = []
    for crop, some in by_crop(shapes):
        for (what, unit), values in some.drop(columns=["site", "crop"]).items():
            rows += [(f"camera {what}", how, crop, 0, unit, site, value) for how in ("median", "10 %", "90 %")
                     for site, value in zip(some["site"], values)]
    for crop, some in by_crop(dates):
        for event in ("sos50", "eos50"):
            rows += spread(some.dropna(subset=event), event, crop)
    return rows


def by_crop(table):
    """("", all rows), then (crop, its rows) for each known crop with at least ``SERIES`` rows."""
    known = [(crop, some) for crop, some in table.groupby("crop") if crop and len(some) >= SERIES]
    return [("", table), *known]


def of_series(seen):
    """What one camera series is like.

    seen     (time,) greenness, NaN where nothing was seen
    returns  {(what, unit): value}, NaN where it cannot be told; and the largest season of each harvest year, as
             ``phenology.table`` gives it

    The curve follows its observations, so noise that is new at each value leaves residuals whose lag-1
    autocorrelation is about −0.2, not 0.
    """
    seen = seen.dropna("time")
    time = seen.indexes["time"]
    step = int(np.median(np.diff(time)) / np.timedelta64(1, "D"))
    found = phenology.seasons(seen, **SHAPE)
    rows = phenology.table(found)
    main = rows[rows["rank"] == 1].dropna(subset="amplitude")
    curve = found["curve"].rename(day="time")
    away = (seen - curve.interp(time=time)).dropna("time")
    follows = np.diff(away["time"].values) == np.timedelta64(step, "D")
    before, after = away.values[:-1][follows], away.values[1:][follows]

    def days(first, last):
        return ((main[last] - main[first]) / pd.Timedelta(1, "D")).median()

    peak = main["peak"].dropna()
    top, later = (curve.interp(time=xr.DataArray(d, dims="peak")).values
                  for d in (peak.to_numpy(), (peak + pd.Timedelta(30, "D")).to_numpy()))
    slow = pd.Series((later - top) / main.loc[peak.index, "amplitude"])
    gaps = np.diff(time) / np.timedelta64(1, "D")
    span = (time[-1] - time[0]) / pd.Timedelta(1, "D")
    return {
        ("amplitude", "-"): main["amplitude"].median(), ("base", "-"): main["base"].median(),
        ("noise SD", "-"): float(away.std(ddof=1)),
        ("noise robust SD", "-"): robust(away.values - np.median(away.values)),
        ("noise lag-1 autocorrelation", "-"): float(np.corrcoef(before, after)[0, 1]) if before.size > 9 else np.nan,
        ("EOS50 minus SOS50", "d"): days("sos50", "eos50"), ("EOS20 minus SOS20", "d"): days("sos20", "eos20"),
        ("rise from 20 to 80 %", "d"): days("sos20", "sos80"), ("fall from 80 to 20 %", "d"): days("eos80", "eos20"),
        ("change 30 days after the peak, over amplitude", "-"): slow.median(),
        ("seasons a year", "1"): rows["amplitude"].notna().sum() / (span / 365.25),
        ("values there of those possible", "-"): len(time) / (span / step + 1),
        ("longest gap", "d"): float(gaps.max()),
    }, main


def spread(dates, event, crop):
    """Samples of the spread of one event [days], as rows of ``summary``: over all site-years, within and between sites.

    dates    DataFrame site, season (harvest year), and the event's dates; no missing ones

    A site's deviations from its mean over k years are multiplied by √(k / (k − 1)); a site of one year has none.
    """
    january = pd.to_datetime(dates["season"].astype(int).astype(str))
    day = (dates[event] - january) / pd.Timedelta(1, "D")
    of_site = day.groupby(dates["site"])
    years = of_site.transform("size")
    within = ((day - of_site.transform("mean")) * np.sqrt(years / (years - 1).where(years > 1)))
    what, sites = f"camera {event.upper()}", of_site.mean()
    rows = [(what, how, crop, 0, unit, site, d) for how, unit in (("median", "d of year"), ("SD", "d"))
            for site, d in zip(dates["site"], day)]
    rows += [(what, how, crop, 0, "d", site, d) for how in ("SD within sites", "robust SD within sites")
             for site, d in zip(dates["site"], within)]
    return rows + [(f"{what}, mean of a site", "SD", crop, 0, "d", site, d) for site, d in sites.items()]


def read_progress(path):
    """Weekly crop progress as the days at which shares of the area had reached a stage.

    path     table with the columns Crop, Stage, Season, Date (end of a week), CumPercentage (0–1)
    returns  DataFrame crop, stage, year, share [%], day (of the year; NaN if the share was there from the first week
             on, or never), between the weeks by a straight line
    raises   InputError if a column is missing
    """
    table = pd.read_csv(path, na_values=["NA"])
    for name in ("Crop", "Stage", "Season", "Date", "CumPercentage"):
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, table.columns)}")
    day = pd.to_datetime(table["Date"]) - pd.to_datetime(table["Season"].astype(str))
    table = table.assign(day=day / pd.Timedelta(1, "D") + 1, crop=table["Crop"].str.lower().replace(CROPS),
                         stage=table["Stage"].str.lower()).dropna(subset="CumPercentage").sort_values("day")
    rows = []
    for (crop, stage, year), some in table[table["stage"].isin(STAGES)].groupby(["crop", "stage", "Season"]):
        done, days = 100 * some["CumPercentage"].to_numpy(), some["day"].to_numpy()
        for share in SHARES:
            k = int(np.argmax(done >= share))
            part = (share - done[k - 1]) / (done[k] - done[k - 1]) if k else np.nan
            rows.append((crop, stage, year, share, days[k - 1] + part * (days[k] - days[k - 1])))
    return pd.DataFrame(rows, columns=["crop", "stage", "year", "share", "day"])


def progress(dates, *, draws=200, seed=0):
    """How dates of field work and of stages are spread, between years and within a year.

    dates    DataFrame crop, stage, year, date: one row a field; or as ``read_progress`` gives it
    returns  DataFrame ``COLUMNS``: for each crop and stage the mean day of the year by which half of the area (of the
             fields) is there, its SD between years, and the days from 16 to 84 and from 10 to 90 % of the area within
             a year (median over years); the bootstrap is over years
    """
    if "share" not in dates:
        day = (dates["date"] - pd.to_datetime(dates["year"].astype(str))) / pd.Timedelta(1, "D") + 1
        groups = day.groupby([dates[c] for c in ("crop", "stage", "year")])
        names = ["crop", "stage", "year", "share"]
        dates = groups.quantile([s / 100 for s in SHARES]).rename_axis(names).reset_index(name="day")
        dates["share"] = (100 * dates["share"]).round().astype(int)
    rows = []
    for (crop, stage, year), some in dates.groupby(["crop", "stage", "year"]):
        day = some.set_index("share")["day"]
        rows += [(f"{stage}, day of 50 %", "mean", crop, 0, "d of year", year, day[50]),
                 (f"{stage}, day of 50 %", "SD", crop, 0, "d", year, day[50])]
        rows += [(f"{stage}, days from {a} to {b} %", "", crop, 0, "d", year, day[b] - day[a])
                 for a, b in ((16, 84), (10, 90))]
    return summary(rows, draws=draws, seed=seed)


def compare(simulated, real):
    """Simulated statistics beside real ones.

    simulated, real  DataFrames as ``statistics`` or ``read`` gives them
    returns          DataFrame what, crop, month, simulated, real, distance (simulated − real), unit, within (of the
                     monthly medians of NDVI, VV and VH, whether the distance is within ``TOLERANCE``; missing for
                     what has none), overlap (whether the two intervals meet; missing where one is unknown); rows that
                     both have
    raises           InputError if they have no row in common, or a unit differs
    """
    both = simulated.merge(real, on=KEYS, suffixes=("", "_real"))
    if both.empty:
        raise InputError("the two tables have no row (what, crop, month) in common; were both made by this version?")
    other = both[both["unit"] != both["unit_real"]]
    if len(other):
        row = other.iloc[0]
        raise InputError(f"'{row['what']}' has the unit '{row['unit']}' in one table and '{row['unit_real']}' in the "
                         "other; make both with this version")
    away = both["value"] - both["value_real"]
    tolerance = both["what"].map(TOLERANCE)
    known = both[["low", "high", "low_real", "high_real"]].notna().all(axis=1)
    meet = (both["low"] <= both["high_real"]) & (both["low_real"] <= both["high"])
    return both[KEYS].assign(
        simulated=both["value"], real=both["value_real"], distance=away, unit=both["unit"],
        within=(away.abs() <= tolerance).astype("boolean").where(tolerance.notna()),
        overlap=meet.astype("boolean").where(known))


def write(table, path, archive, *, title="", sources=()):
    """Write a table of statistics, headed by ``#`` lines: archive, date, and whose data under which licence.

    table    of ``statistics``
    path     file to write
    archive  of which it is
    title    of the archive; default its own name
    sources  see ``attribution``
    raises   InputError as ``attribution``
    """
    head = [f"Statistics of the archive: {title or archive.name}", f"Made on {datetime.date.today()} with "
            "phenolib.fidelity; intervals 95 %, bootstrap over fields, sites or years",
            *attribution(archive, sources)]
    write_text(path, "".join(f"# {line}\n" for line in head) + table.to_csv(index=False, float_format="%.5g"))


def attribution(archive, sources=()):
    """Lines that say whose data an archive holds.

    sources  one line each: who measured, where it is published, licence; default licence and citation of archive.yml
    raises   InputError if neither tells the licence: nothing without one may be published
    """
    lines = [str(s) for s in sources] or [
        f"{key}: {archive.about[key]}" for key in ("licence", "citation") if archive.about.get(key)]
    if not lines:
        raise InputError(f"archive '{archive.name}': no licence is stated in archive.yml; name the sources and their "
                         "licences, one --source each")
    return lines


def read(path):
    """A table that ``write`` wrote, as ``statistics`` gives it.

    raises   InputError for a missing file or column
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; `python -m phenolib.fidelity ARCHIVE --out {path.name}` writes it")
    table = pd.read_csv(path, comment="#")
    for name in COLUMNS:
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, table.columns)}")
    return table.fillna({"crop": ""})


def main(arguments=None):
    from phenolib.archive import open_archive

    ask = argparse.ArgumentParser(prog="python -m phenolib.fidelity", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("archive", help="'simulated', a folder, or the name of a public data set")
    ask.add_argument("--places", default="", help="how the names of the patches begin that are taken")
    ask.add_argument("--out", help="file that receives the table")
    ask.add_argument("--title", default="", help="of the archive, in the first line of the file")
    ask.add_argument("--source", action="append", default=[], help="whose data under which licence; may be repeated")
    ask.add_argument("--against", help="file with the statistics of another archive, to be printed beside")
    given = ask.parse_args(arguments)
    try:
        archive = open_archive(given.archive)
        other = read(given.against) if given.against else None
        if given.out:
            attribution(archive, given.source)
        table = statistics(archive, places=given.places)
        if given.out:
            write(table, given.out, archive, title=given.title, sources=given.source)
        if given.against:
            print(compare(table, other).to_string(index=False, float_format="%.3f"))
    except InputError as error:
        ask.exit(2, f"{error}\n")
    return table


if __name__ == "__main__":
    main()
