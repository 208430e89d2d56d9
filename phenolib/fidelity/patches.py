"""What satellite patches show of fields, as samples: NDVI and backscatter by month, noise, speckle, clear dates."""

import numpy as np
import pandas as pd

from phenolib import curves, indices
from phenolib.fidelity.tables import robust
from phenolib.sources import sentinel

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
