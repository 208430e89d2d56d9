"""Soil stations: daily water content, temperature and electrical conductivity at some depths, as loggers hand them out.

The layout is that of the public readings of the Cook Agronomy Farm (Gasch et al. 2015,
doi:10.1016/j.spasta.2015.04.001): one row per station and day with the columns `SOURCEID,Date` and, for each port of
the logger, `Port1VW` (volumetric water content, m³ m⁻³), `Port1C` (°C) and `Port1EC` (bulk electrical conductivity,
dS m⁻¹), empty or `NA` where missing. Such a file does not tell how deep its ports lie: a table `depths.csv` beside it
(`port,depth_m`) does. The file may be compressed (`.csv.gz`).
"""

import gzip
import re
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import atomic
from phenolib.sources import tables

VARIABLES = {  # column of a port: name, units, meaning, smallest and largest value that can be, digits in a file
    "VW": ("theta", "m3 m-3", "volumetric soil water content", 0.0, 0.8, 3),
    "C": ("soil_temperature", "degC", "soil temperature", -40.0, 60.0, 2),
    "EC": ("ec", "dS m-1", "bulk electrical conductivity of the soil", 0.0, 20.0, 2),
}
PORT = re.compile(r"Port(\d+)(VW|C|EC)")
COOK_FARM = (0.3, 0.6, 0.9, 1.2, 1.5)  # depths of the ports at the Cook Agronomy Farm [m]
DEPTHS = "depths.csv"


def read(path, *, depths=None):
    """Readings of one or more stations on all days from the first to the last.

    path     CSV in the layout of the module, compressed or not
    depths   of the ports, first to last [m]; by default those of depths.csv beside the file, else those of the Cook
             Agronomy Farm, 0.3–1.5 m
    returns  (station, time, depth) Dataset of theta [m3 m-3], soil_temperature [degC] and ec [dS m-1], NaN where
             missing or without a row; depth is positive downwards [m]. attrs: source, and depths_from ("the caller",
             "depths.csv", or "the Cook Agronomy Farm")
    raises   InputError for a missing file or column, a date or number that cannot be read, a day of a station twice,
             water in per cent, values out of range, or depths that do not fit the ports
    """
    path = Path(path)
    table = tables.read(path)
    ports = _ports(path, table.columns)
    depths, told = _depths(path, ports, depths)
    station, day = table["SOURCEID"].str.strip(), tables.dates(path, table["Date"])
    if (station == "").any():
        raise InputError(f"{path.name}: line {station.index[station == ''][0]} has no SOURCEID; the name of the "
                         "station is expected")
    twice = table.index[pd.DataFrame({"station": station, "day": day}).duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: line {twice[0]} is the second of station {station[twice[0]]} on "
                         f"{day[twice[0]]:%Y-%m-%d}; one row per day is expected")
    names, row = np.unique(station, return_inverse=True)
    time = pd.date_range(day.min(), day.max(), freq="D", name="time", unit="ns")
    at = row, ((day - time[0]) // pd.Timedelta(days=1)).to_numpy()
    data = {}
    for kind, (name, units, text, *_) in VARIABLES.items():
        whole = np.full((names.size, time.size, len(ports)), np.nan)
        for k, port in enumerate(ports):
            whole[*at, k] = _values(path, table[f"Port{port}{kind}"], kind)
        data[name] = (("station", "time", "depth"), whole, {"units": units, "long_name": text})
    order = np.argsort(depths, kind="stable")
    about = {"units": "m", "long_name": "depth below the surface", "positive": "down"}
    found = xr.Dataset(data, {"station": names.astype(str), "time": time, "depth": ("depth", depths, about)},
                       {"source": path.name, "depths_from": told})
    return found.isel(depth=order)


def stations(path):
    """Names of the stations of a file, without its values. raises InputError as ``read``"""
    try:
        names = pd.read_csv(path, usecols=["SOURCEID"], dtype=str)["SOURCEID"]
    except (OSError, ValueError, EOFError, zlib.error):
        return read(path)["station"].values.tolist()  # tells what is wrong
    return sorted(names.dropna().str.strip().unique())


def write(dataset, path):
    """Write readings in the layout that ``read`` reads, atomically and the same bytes for the same values.

    Values are rounded as loggers round them, to 0.001 m³ m⁻³, 0.01 °C and 0.01 dS m⁻¹. Every station has a row
    for every day. `depths.csv` beside the file tells the depths.

    dataset  (station, time, depth) or, with a scalar coordinate ``station``, (time, depth), of theta, soil_temperature
             and ec
    path     the file; compressed where its name ends in .gz
    raises   InputError for a missing variable or coordinate, or other depths than the depths.csv that is there
    """
    path = Path(path)
    lacking = [n for n in (*(v[0] for v in VARIABLES.values()), "station", "depth", "time") if n not in dataset]
    if lacking:
        raise InputError(f"{path.name}: the readings have no '{lacking[0]}'; theta, soil_temperature and ec by "
                         "station, time and depth are needed")
    dataset = dataset if "station" in dataset.dims else dataset.expand_dims("station")
    _write_depths(path, [f"{k + 1},{depth:g}" for k, depth in enumerate(dataset["depth"].values)])
    columns, blocks = [], []
    for k in range(dataset.sizes["depth"]):
        for kind, (name, *_, places) in VARIABLES.items():
            values = dataset[name].isel(depth=k).transpose("station", "time").values.astype(float).ravel()
            columns.append(f"Port{k + 1}{kind}")
            blocks.append(values.round(places) + 0.0)  # no −0
    table = pd.DataFrame(np.stack(blocks, 1), columns=columns)
    date = dataset.indexes["time"].strftime("%Y-%m-%d")
    table.insert(0, "SOURCEID", np.repeat(dataset["station"].values.astype(str), dataset.sizes["time"]))
    table.insert(1, "Date", np.tile(date, dataset.sizes["station"]))
    text = table.to_csv(index=False, lineterminator="\n").encode()
    with atomic(path) as part:
        part.write_bytes(gzip.compress(text, 6, mtime=0) if path.suffix == ".gz" else text)


def _ports(path, columns):
    """Numbers of the ports of a file, each with all of its columns."""
    for name in ("SOURCEID", "Date"):
        if name not in columns:
            raise InputError(f"{path.name}: the column '{name}' is missing; SOURCEID, Date, Port1VW, Port1C, Port1EC "
                             "and so on are expected")
    ports = sorted({int(found[1]) for name in columns if (found := PORT.fullmatch(name))})
    if not ports:
        raise InputError(f"{path.name}: no column is named like Port1VW, Port1C, Port1EC; nothing is measured in it")
    for port in ports:
        for kind in VARIABLES:
            if f"Port{port}{kind}" not in columns:
                raise InputError(f"{path.name}: the column 'Port{port}{kind}' is missing; a port has VW, C and EC")
    return ports


def _values(path, column, kind):
    """One column as numbers within what can be."""
    name, units, _, low, high, _ = VARIABLES[kind]
    values = tables.numbers(path, column)
    if kind == "VW" and values.max() > 1:
        raise InputError(f"{path.name}: line {values.idxmax()} has {column.name} = {values.max():g}; it looks like per "
                         "cent, m³ m⁻³ from 0 to 1 is expected, divide by 100")
    wrong = values.index[(values < low) | (values > high)]
    if len(wrong):
        raise InputError(f"{path.name}: line {wrong[0]} has {column.name} = {values[wrong[0]]:g}; {low:g} to {high:g} "
                         f"{units} is expected, leave it empty where it is missing")
    return values


def _depths(path, ports, depths):
    """Depths of the ports [m], and where they are from."""
    told, beside = "the caller", path.with_name(DEPTHS)
    if depths is None and beside.is_file():
        table, told = tables.read(beside), DEPTHS
        for name in ("port", "depth_m"):
            if name not in table:
                raise InputError(f"{DEPTHS} beside {path.name}: the column '{name}' is missing; port and depth_m are "
                                 "expected")
        known = dict(zip(tables.numbers(beside, table["port"]), tables.numbers(beside, table["depth_m"])))
        depths = [known.get(port, np.nan) for port in ports]
    elif depths is None:
        depths, told = COOK_FARM, "the Cook Agronomy Farm"
    depths = np.atleast_1d(np.asarray(depths, float))
    if depths.shape != (len(ports),) or not (depths >= 0).all() or len(set(depths)) < len(ports):
        raise InputError(f"{path.name}: the depths {', '.join(f'{d:g}' for d in depths)} m do not fit ports "
                         f"{', '.join(map(str, ports))}; give one depth of 0 or more for each, all different")
    return depths, told


def _write_depths(path, rows):
    text, beside = "\n".join(["port,depth_m", *rows]) + "\n", path.with_name(DEPTHS)
    if beside.is_file() and beside.read_text(encoding="utf-8") != text:
        raise InputError(f"{path.name}: {DEPTHS} beside it tells other depths; write into another folder")
    with atomic(beside) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
