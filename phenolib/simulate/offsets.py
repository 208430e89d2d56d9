"""By how many days the dates of instruments differ where nothing disturbs them: no noise, no cloud, no gap."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.simulate import cameras, landscape, optics, patches
from phenolib.simulate.config import DEFAULT
from phenolib.simulate.true_dates import share_dates

ANGLE = 38.0  # of incidence of the radar [°]
SUN = 40.0  # zenith angle of the sun [°]; one for all days, so that its course moves no date
LEAST = {"camera": cameras.LEAST, "ndvi": 0.15, "ratio": 0.03, "leaves": landscape.LEAST}  # amplitude of a season


def signals(found, growth, config=DEFAULT):
    """What each instrument would see of the camera's field, every day and without error.

    found    list of ``landscape.Place``
    growth   (field, time) of ``landscape.grow`` for these places
    config   for all that decides on the view of camera and satellite
    returns  Dataset (site, time): camera greenness [-], ndvi [-], ratio VH / VV of linear power [-], vh and vv [dB],
             leaves: green leaf area index [m² m⁻²]; and the list of ``landscape.windows`` of each site
    """
    own = growth.isel(field=np.arange(len(found)) * landscape.FIELDS)
    pairs = [cameras.greenness(place, own.isel(field=k), config) for k, place in enumerate(found)]
    total, ripe, dead = optics.parts(own["lai_total"].values, own["ripeness"].values, shrivel=config.shrivel,
                                     brown_end=config.brown_end, leafwise=config.leafwise)
    wet = optics.wetness(np.clip(own["theta"].isel(layer=0).values.astype(float), 0, 1))
    bright = np.where(patches.flooded(own) > 0.5, optics.WATER, 1.0)
    red, infrared = np.moveaxis(optics.reflectance(total, ripe, dead=dead, wetness=wet, brightness=bright,
                                                   sun_zenith=SUN, bands=("B04", "B08")).astype(float), -1, 0)
    vv, vh = patches.echo(own, np.full(own.sizes["time"], ANGLE))
    data = {"camera": np.stack([curve for curve, _ in pairs]), "ndvi": (infrared - red) / (infrared + red),
            "ratio": vh / vv, "vh": 10 * np.log10(vh), "vv": 10 * np.log10(vv), "leaves": own["lai_green"].values}
    made = xr.Dataset({name: (("site", "time"), values) for name, values in data.items()},
                      {"site": [place.site for place in found], "time": own["time"].values})
    return made, [spans for _, spans in pairs]


def dates(made, spans, shares=(20, 50), *, smooth=7):
    """Share dates of every season of every signal.

    made, spans  of ``signals``
    shares       of the amplitude, per cent
    smooth       days over which the ratio is averaged: rain moves it from day to day
    returns      DataFrame: site, crop, season, event ("sos20"), and a date for each of ``LEAST``; missing where the
                 signal has no such season
    """
    rows = []
    for name, least in LEAST.items():
        values = made[name].rolling(time=smooth, center=True, min_periods=1).mean() if name == "ratio" else made[name]
        for k, site in enumerate(made["site"].values):
            for row in share_dates(made["time"].values, values.values[k], spans[k], shares, least):
                event = ("sos" if row["direction"] == "rising" else "eos") + str(row["share"])
                rows.append({"site": str(site), "crop": row["crop"].replace("_", " "), "season": row["season"],
                             "event": event, "signal": name, "date": row["date"]})
    table = pd.DataFrame(rows)
    keys = ["site", "crop", "season", "event", "signal"]
    table = table[~table.duplicated(keys, keep=False)]  # cuts of a meadow have no names
    return table.pivot(index=keys[:-1], columns="signal", values="date").reset_index().rename_axis(columns=None)


def over(found, growth, changes, config=DEFAULT):
    """Offsets of satellite and radar against the camera under other assumptions.

    found, growth  as in ``signals``
    changes        list of dict of values of the configuration, e.g. [dict(top_lead=(0, 0)), dict(brown_end=0.9)]
    returns        DataFrame: change (its number), site, crop, season, event; ndvi, ratio, leaves minus camera [days]
    """
    from dataclasses import replace

    tables = []
    for number, change in enumerate(changes):
        table = dates(*signals(found, growth, replace(config, **change)))
        for name in ("ndvi", "ratio", "leaves"):
            table[name] = (table[name] - table["camera"]) / pd.Timedelta(1, "D")
        tables.append(table.drop(columns="camera").assign(change=number))
    return pd.concat(tables, ignore_index=True)
