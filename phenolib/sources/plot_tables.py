"""Experimental plots with tubes and sensors: tables of plots, crops, weather, soil sensors and Sentinel-2.

The layout is ours, since none is common: five tables of values between commas in one folder, each value with its unit
in the name of its column.

    plots.csv       plot, treatment, soil, lon, lat
    seasons.csv     plot, season (harvest year), crop, sowing, harvest
    weather.csv     date, t_mean_C, t_min_C, t_max_C, rain_mm, radiation_MJ_m2, relative_humidity_percent,
                    vapour_pressure_kPa, wind_m_s
    soil.csv[.gz]   plot, date, depth_cm, psi_t4_kPa, psi_mps2_kPa, temperature_C; potentials are negative; T4 is a
                    tensiometer, MPS-2 a matric potential sensor; a table without one of them is read too
    sentinel2.csv   plot, date, B04, B08 (reflectance 0-1), scl (scene class, as Sentinel-2 gives it)
"""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import atomic, write_text
from phenolib.sources import tables

PLOTS, SEASONS, WEATHER, SOIL, SATELLITE = "plots.csv", "seasons.csv", "weather.csv", "soil.csv.gz", "sentinel2.csv"
SKY = {  # column: name, units, meaning, smallest and largest value that can be, digits in a file
    "t_mean_C": ("t_mean", "degC", "mean air temperature", -60, 60, 2),
    "t_min_C": ("t_min", "degC", "lowest air temperature", -70, 60, 2),
    "t_max_C": ("t_max", "degC", "highest air temperature", -60, 70, 2),
    "rain_mm": ("rain", "mm d-1", "rain and snow", 0, 500, 2),
    "radiation_MJ_m2": ("radiation", "MJ m-2 d-1", "global radiation", 0, 45, 2),
    "relative_humidity_percent": ("relative_humidity", "%", "relative humidity", 0, 100, 1),
    "vapour_pressure_kPa": ("vapour_pressure", "kPa", "actual vapour pressure", 0, 8, 3),
    "wind_m_s": ("wind", "m s-1", "wind speed at 2 m", 0, 60, 2)}
SENSORS = {
    "psi_t4_kPa": ("psi_t4", "kPa", "water potential by tensiometer", -100, 0, 1),
    "psi_mps2_kPa": ("psi_mps2", "kPa", "water potential by matric potential sensor", -1e5, 0, 1),
    "temperature_C": ("temperature", "degC", "soil temperature", -40, 60, 2)}
BANDS = {"B04": ("B04", "1", "reflectance in the red", -0.1, 1.6, 4),
         "B08": ("B08", "1", "reflectance in the near infrared", -0.1, 1.6, 4)}
CLEAR = (4, 5, 6, 7)  # scene classes of clear land and water, and of what no class fits


def read_plots(path):
    """The plots. returns DataFrame: plot, treatment, soil, lon, lat [°]. raises InputError for a plot that is there
    twice, or a missing column"""
    table = _columns(path, tables.read(path), ("plot", "treatment"))
    twice = table["plot"][table["plot"].duplicated()]
    if len(twice):
        raise InputError(f"{Path(path).name}: line {twice.index[0]}: plot '{twice.iloc[0]}' is there twice; keep one")
    numbers = {name: tables.numbers(path, table[name]) for name in ("lon", "lat") if name in table}
    return table.assign(**numbers).reset_index(drop=True)


def read_seasons(path):
    """What grew where. returns DataFrame: plot, season (int), crop, sowing, harvest (datetime64, NaT where empty)

    raises   InputError for a missing column, a year that is none, a harvest before sowing, or a season twice
    """
    table = _columns(path, tables.read(path), ("plot", "season", "crop"))
    season = tables.numbers(path, table["season"])
    if season.isna().any() or (season % 1 != 0).any():
        line = season.index[season.isna() | (season % 1 != 0)][0]
        raise InputError(f"{Path(path).name}: line {line} has season '{table['season'][line]}'; a harvest year such as "
                         "2018 is expected")
    made = pd.DataFrame({"plot": table["plot"], "season": season.astype(int), "crop": table["crop"]})
    for name in ("sowing", "harvest"):
        text = table[name] if name in table else pd.Series("", table.index)
        known = ~text.str.strip().isin((*tables.MISSING, "NaT"))
        made[name] = pd.Series(pd.NaT, table.index, dtype="datetime64[ns]")
        made.loc[known, name] = tables.dates(path, text[known])
    wrong = made.index[made["harvest"] < made["sowing"]]
    if len(wrong):
        raise InputError(f"{Path(path).name}: line {wrong[0]}: the harvest lies before the sowing; correct one of them")
    twice = made.index[made.duplicated(["plot", "season", "crop"])]
    if len(twice):
        raise InputError(f"{Path(path).name}: line {twice[0]}: this crop of plot '{made['plot'][twice[0]]}' in "
                         f"{made['season'][twice[0]]} is there twice; keep one")
    return made.reset_index(drop=True)


def read_weather(path):
    """Daily weather, (time,) Dataset of the variables of ``SKY`` that the table has, all days, NaN where missing.

    raises   InputError for a missing date column, a value out of range or no number, or a day that is there twice
    """
    found = _read(path, SKY, ())
    return xr.Dataset({name: ("time", value, about) for name, (value, about) in found[0].items()},
                      {"time": found[1]["date"]}, {"source": Path(path).name})


def write_weather(path, dataset):
    """Write weather as ``read_weather`` reads it: (time,) of some of ``SKY``."""
    _write(path, dataset, SKY, ())


def read_soil(path):
    """Readings of the sensors, (plot, time, depth) Dataset of psi_t4, psi_mps2 [kPa], temperature [degC]; depth [m].

    raises   InputError as ``read_weather``, and for a potential above zero
    """
    found, axes = _read(path, SENSORS, ("plot", "depth_cm"))
    axes = {"plot": axes["plot"], "time": axes["date"], "depth": ("depth", axes["depth_cm"] / 100,
            {"units": "m", "long_name": "depth below the surface", "positive": "down"})}
    return xr.Dataset({name: (("plot", "depth", "time"), value, about) for name, (value, about) in found.items()}, axes,
                      {"source": Path(path).name}).transpose("plot", "time", "depth")


def write_soil(path, dataset):
    """Write sensors as ``read_soil`` reads them: (plot, time, depth); rows without any value are left out."""
    _write(path, dataset.assign_coords(depth_cm=("depth", np.round(100 * dataset["depth"].values, 3))).swap_dims(
        depth="depth_cm").drop_vars("depth"), SENSORS, ("plot", "depth_cm"))


def read_satellite(path):
    """Sentinel-2 at the plots, (plot, time) Dataset of B04 and B08 [-], NaN where it was not clear, and scl.

    raises   InputError as ``read_weather``; a reflectance above 1.6 looks like one times 10,000
    """
    found, axes = _read(path, BANDS | {"scl": ("scl", "1", "scene class", 0, 11, 0)}, ("plot",), daily=False)
    made = xr.Dataset({name: (("plot", "time"), value, about) for name, (value, about) in found.items()},
                      {"plot": axes["plot"], "time": axes["date"]}, {"source": Path(path).name})
    if "scl" not in made:
        return made
    clear = made["scl"].isin(CLEAR)
    return made.assign({name: made[name].where(clear) for name in ("B04", "B08")})


def write_satellite(path, dataset):
    """Write Sentinel-2 as ``read_satellite`` reads it: (plot, time) of B04, B08 and scl."""
    _write(path, dataset, BANDS | {"scl": ("scl", "1", "scene class", 0, 11, 0)}, ("plot",))


def evi2(satellite, days=5):
    """EVI2 composited over spans of days: the mean of what was clear in each span.

    EVI2 = 2.5·(B08 − B04) / (B08 + 2.4·B04 + 1); composites of five days are the study's.

    satellite  (plot, time) of ``read_satellite``
    days       of a composite
    returns    (plot, time) DataArray [-], time the middle day of each span, NaN where nothing was clear

    Jiang et al. (2008), Remote Sens. Environ. 112:3833.
    """
    red, infrared = satellite["B04"], satellite["B08"]
    value = 2.5 * (infrared - red) / (infrared + 2.4 * red + 1)
    found = value.resample(time=f"{days}D", origin="start_day").mean()
    found = found.assign_coords(time=found["time"] + np.timedelta64(days // 2, "D"))
    return found.rename("EVI2").assign_attrs(units="1", long_name="two-band enhanced vegetation index")


def potential(soil, *, wet=-60.0, width=20.0):
    """One water potential from both instruments: the tensiometer where it is wet, the other where it is dry.

    Between −60 ± 20 kPa both are blended by a cosine of the mean of what they say; where one is missing the other is
    taken, where it can tell: MPS-2 says nothing wetter than −10 kPa.

    soil     (plot, time, depth) of ``read_soil``
    wet      middle of the blend [kPa]
    width    half of it [kPa]
    returns  (plot, time, depth) DataArray [kPa], negative
    """
    t4, mps2 = soil["psi_t4"], soil["psi_mps2"]
    both = xr.concat([t4, mps2], "which").mean("which")
    share = 0.5 - 0.5 * np.cos(np.pi * np.clip((wet + width - both) / (2 * width), 0, 1))  # of MPS-2
    blended = (1 - share) * t4 + share * mps2
    found = blended.where(t4.notnull() & mps2.notnull(), t4.where(t4.notnull(), mps2))
    return found.rename("psi").assign_attrs(units="kPa", long_name="soil water potential")


def _columns(path, table, needed):
    for name in needed:
        if name not in table:
            raise InputError(f"{Path(path).name}: the column '{name}' is missing; {', '.join(needed)} are needed")
    return table


def _read(path, known, axes, *, daily=True):
    """Arrays of the known columns over axes and dates. returns {name: (array, attrs)}, {axis or "date": values}"""
    path = Path(path)
    table = _columns(path, tables.read(path), (*axes, "date"))
    there = [column for column in known if column in table]
    if not there:
        raise InputError(f"{path.name}: none of the columns {', '.join(known)} is in it; nothing is measured")
    date = tables.dates(path, table["date"])
    keys = {"plot": table["plot"].str.strip()} if "plot" in axes else {}
    if "depth_cm" in axes:
        keys["depth_cm"] = tables.numbers(path, table["depth_cm"])
        wrong = keys["depth_cm"].index[~(keys["depth_cm"] > 0)]
        if len(wrong):
            raise InputError(f"{path.name}: line {wrong[0]} has depth_cm = '{table['depth_cm'][wrong[0]]}'; a depth "
                             "above 0 is expected")
    twice = table.index[pd.DataFrame({**keys, "date": date}).duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: line {twice[0]} is the second of {date[twice[0]]:%Y-%m-%d} at this place; keep "
                         "one")
    time = pd.date_range(date.min(), date.max(), freq="D", unit="ns")
    time = time if daily else pd.DatetimeIndex(date.unique()).sort_values()
    found_axes, at = {"date": time}, []
    for name in axes:
        found_axes[name], place = np.unique(keys[name].to_numpy(), return_inverse=True)
        at.append(place)
    at.append(time.get_indexer(date))
    if "plot" in found_axes:
        found_axes["plot"] = found_axes["plot"].astype(str)
    shape = [len(found_axes[name]) for name in axes] + [len(time)]
    data = {}
    for column in there:
        name, units, text, low, high, _ = known[column]
        value = tables.numbers(path, table[column])
        wrong = value.index[(value < low) | (value > high)]
        if len(wrong):
            raise InputError(f"{path.name}: line {wrong[0]} has {column} = {value[wrong[0]]:g}; {low:g} to {high:g} is "
                             f"expected [{units}]")
        whole = np.full(shape, np.nan)
        whole[*at] = value
        data[name] = whole, {"units": units, "long_name": text}
    return data, found_axes


def _write(path, dataset, known, axes):
    path = Path(path)
    frame = dataset[[known[c][0] for c in known if known[c][0] in dataset]].rename(time="date").to_dataframe()
    frame = frame.reset_index()
    columns = {known[c][0]: c for c in known if known[c][0] in dataset}
    frame = frame.rename(columns=columns)[[*axes, "date", *columns.values()]].sort_values([*axes, "date"])
    frame = frame.dropna(how="all", subset=list(columns.values()))
    frame["date"] = frame["date"].dt.strftime("%Y-%m-%d")
    for column in columns.values():
        frame[column] = frame[column].astype(float).round(known[column][5]) + 0.0
    if "scl" in frame:
        frame["scl"] = frame["scl"].astype(int)
    text = frame.to_csv(index=False, lineterminator="\n")
    if path.suffix != ".gz":
        write_text(path, text)
        return
    with atomic(path) as part:
        part.write_bytes(gzip.compress(text.encode(), 6, mtime=0))
