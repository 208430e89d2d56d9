"""What camera series look like, as samples: shape, noise, gaps, and the spread of their dates."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import phenology
from phenolib.fidelity.tables import robust
from phenolib.sources import phenocam

SHAPE = dict(thresholds=(0.2, 0.5, 0.8), window=21.0, max_gap=30.0, per_year=8, interval=0, curve=True)
SERIES = 5  # series of one crop that are enough for rows of their own


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
