"""What is known of a farm with soil stations: maps on a grid, soil profiles, bulk density of cores, and daily weather.

The layout is that of the public data of the Cook Agronomy Farm (Gasch et al. 2015, doi:10.1016/j.spasta.2015.04.001;
R package GSIF, data set cookfarm), four tables of values between commas, compressed or not:

    *_grids.csv      x, y [m] of the middles of the cells of an even grid, DEM, TWI, and what else there is of MUSYM
                     (soil map unit), NDRE.M, NDRE.Sd, Cook_fall_ECa, Cook_spr_ECa and X2011, X2012, … (crop of a
                     harvest year); a row for each cell that belongs to the farm
    *_profiles.csv   SOURCEID, Easting, Northing, TAXSUSDA, HZDUSD, UHDICM, LHDICM (upper and lower border [cm]), BLD,
                     PHIHOX; a row for each horizon of a place
    *_bdensity.csv   SOURCEID, Easting, Northing, UHDICM, LHDICM, BLD; a row for each core
    *_weather.csv    Date, Precip_wrcc, MaxT_wrcc, MinT_wrcc

The files tell neither the zone of their coordinates (UTM 11N at that farm) nor the unit of the apparent electrical
conductivity; mS m⁻¹, in which such instruments read, is taken. ``CROPS`` says how the codes of crops are read here;
the documentation of the data calls them the cropping system of a year and no more.
"""

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError
from phenolib.files import atomic
from phenolib.sources import tables

GRID = {  # column: name, units, meaning, smallest and largest value that can be
    "DEM": ("elevation", "m", "elevation above the sea", -500, 9000),
    "TWI": ("twi", "1", "topographic wetness index", -50, 50),
    "NDRE.M": ("ndre", "1", "normalized difference red edge index, mean of the images", -1, 1),
    "NDRE.Sd": ("ndre_sd", "1", "normalized difference red edge index, SD of the images", 0, 2),
    "Cook_fall_ECa": ("eca_fall", "mS m-1", "apparent electrical conductivity in fall", 0, 3000),
    "Cook_spr_ECa": ("eca_spring", "mS m-1", "apparent electrical conductivity in spring", 0, 3000)}
NEEDED = ("x", "y", "DEM", "TWI")
UNIT = "MUSYM"
CROP = re.compile(r"X(\d{4})")
CROPS = {"WW": "winter wheat", "SW": "spring wheat", "SB": "spring barley", "SL": "spring legume"}
KINDS = {"winter wheat": "winter wheat", "spring wheat": "spring cereal", "spring barley": "spring cereal",
         "spring legume": "legume"}
PLACE = {"SOURCEID": "station", "Easting": "x", "Northing": "y"}
BORDERS = {"UHDICM": "top", "LHDICM": "bottom"}  # in the file [cm], here [m]
SOIL = {"BLD": ("bulk_density", 0.1, 2.7), "PHIHOX": ("ph", 1, 13)}
WEATHER = {"Precip_wrcc": ("rain", "mm d-1", "rain and snow", 0, 1000),
           "MaxT_wrcc": ("t_max", "degC", "highest air temperature", -70, 70),
           "MinT_wrcc": ("t_min", "degC", "lowest air temperature", -90, 60)}
MOST = 50_000_000  # cells of the rectangle around a grid
OFF = 0.01  # of a cell, by which its middle may lie beside the grid


def read_grid(path):
    """Maps of a farm.

    path     CSV in the layout of the module, compressed or not
    returns  (y, x) Dataset, north first: elevation [m], twi [-], and what the file has of ndre, ndre_sd [-], eca_fall,
             eca_spring [mS m-1], soil_unit and crop_<year> (text); NaN or "" outside the farm and where missing.
             x and y are the middles of the cells [m]. attrs: source, cell [m]
    raises   InputError for a missing column, a coordinate or number that cannot be read or is out of range, cells that
             lie on no even grid, or a cell that is there twice
    """
    path = Path(path)
    table = _with(path, NEEDED)
    at = {name: _all(path, table[name], "a coordinate in metres") for name in "xy"}
    cell = min(_spacing(path, at[name]) for name in "xy")
    east, north = (at[name].max() - at[name].min() for name in "xy")
    if (east / cell + 1) * (north / cell + 1) > MOST:
        raise InputError(f"{path.name}: its cells of {cell:g} m lie {east:.0f} m × {north:.0f} m apart; remove the "
                         "lines that belong elsewhere")
    place, axes = {}, {}
    for name, values in at.items():
        steps = (values - values.min()) / cell
        place[name] = steps.round().astype(int)
        off = values.index[(steps - place[name]).abs() > OFF]
        if len(off):
            raise InputError(f"{path.name}: line {off[0]} has {name} = {table[name][off[0]]}, which is not on the grid "
                             f"of {cell:g} m that the others lie on; correct the line, or bring all cells to one grid")
        axes[name] = values.min() + cell * np.arange(place[name].max() + 1)
        axes[name][place[name]] = values  # as the file has them, to the last digit
    twice = table.index[pd.DataFrame(place).duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: line {twice[0]} is the second of the cell x = {table['x'][twice[0]]}, "
                         f"y = {table['y'][twice[0]]}; keep one")
    where = place["y"].max() - place["y"].to_numpy(), place["x"].to_numpy()
    shape, data = (axes["y"].size, axes["x"].size), {}
    for column, (name, units, text, low, high) in GRID.items():
        if column in table:
            data[name] = _filled(shape, where, _within(path, table[column], low, high), np.nan), units, text
    for column, name in _texts(table.columns).items():
        values = table[column].str.strip()
        data[name] = _filled(shape, where, values.where(~values.isin(tables.MISSING), ""), ""), "1", _meaning(name)
    return xr.Dataset({name: (("y", "x"), value, {"units": units, "long_name": text})
                       for name, (value, units, text) in data.items()},
                      {"y": ("y", axes["y"][::-1], {"units": "m"}), "x": ("x", axes["x"], {"units": "m"})},
                      {"source": path.name, "cell": float(cell)})


def write_grid(dataset, path):
    """Write maps as ``read_grid`` reads them, atomically: a row for each cell with an elevation.

    dataset  (y, x) of elevation and twi, and what it has of the others
    path     the file; compressed where its name ends in .gz
    raises   InputError where elevation or twi is missing
    """
    for name in ("elevation", "twi"):
        if name not in dataset:
            raise InputError(f"{Path(path).name}: the maps have no '{name}'; elevation and twi by y and x are needed")
    dataset = dataset.transpose("y", "x")
    inside = np.isfinite(dataset["elevation"].values)
    columns = {column: dataset[name].values[inside] for column, (name, *_) in GRID.items() if name in dataset}
    if "soil_unit" in dataset:
        columns[UNIT] = dataset["soil_unit"].values[inside]
    columns |= {f"X{name[5:]}": dataset[name].values[inside] for name in sorted(dataset) if _crop_year(name)}
    y, x = np.broadcast_arrays(dataset["y"].values[:, None], dataset["x"].values)
    _write(pd.DataFrame({**columns, "x": x[inside], "y": y[inside]}), path)


def read_profiles(path):
    """Horizons of soil profiles.

    returns  DataFrame, a row for each horizon: station, x, y [m], series (of the soil), horizon, top, bottom [m],
             bulk_density [g cm-3], ph (in water)
    raises   InputError for a missing column, a border or place that is missing or no number, a horizon without
             thickness, a place with two positions, or a value out of range
    """
    path = Path(path)
    table = _with(path, (*PLACE, *BORDERS, "HZDUSD"))
    made = _layers(path, table)
    for column, name in (("TAXSUSDA", "series"), ("HZDUSD", "horizon")):
        made[name] = table[column].str.strip() if column in table else ""
    for column, (name, low, high) in SOIL.items():
        made[name] = _within(path, table[column], low, high) if column in table else np.nan
    order = ["station", "x", "y", "series", "horizon", "top", "bottom", "bulk_density", "ph"]
    return made[order].reset_index(drop=True)


def write_profiles(table, path):
    """Write profiles as ``read_profiles`` reads them. raises InputError for a missing column"""
    _write_layers(table, path, {"series": "TAXSUSDA", "horizon": "HZDUSD"}, SOIL)


def read_density(path):
    """Bulk density of cores.

    returns  DataFrame, a row for each core: station, x, y [m], top, bottom [m], bulk_density [g cm-3]
    raises   InputError as ``read_profiles``
    """
    path = Path(path)
    table = _with(path, (*PLACE, *BORDERS, "BLD"))
    made = _layers(path, table)
    return made.assign(bulk_density=_within(path, table["BLD"], *SOIL["BLD"][1:])).reset_index(drop=True)


def write_density(table, path):
    """Write cores as ``read_density`` reads them. raises InputError for a missing column"""
    _write_layers(table, path, {}, {"BLD": SOIL["BLD"]})


def read_weather(path):
    """Daily weather of the farm.

    returns  (time,) Dataset on all days from the first to the last: rain [mm d-1], t_max, t_min [degC], NaN where
             missing; attrs: source
    raises   InputError for a missing column, a day that is there twice, a value that cannot be read or is out of
             range, or a day whose highest temperature is below its lowest
    """
    path = Path(path)
    table = _with(path, ("Date", *WEATHER))
    day = tables.dates(path, table["Date"])
    twice = day.index[day.duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: line {twice[0]} is the second of {day[twice[0]]:%Y-%m-%d}; one row per day is "
                         "expected")
    values = {column: _within(path, table[column], *WEATHER[column][3:]) for column in WEATHER}
    wrong = day.index[values["MaxT_wrcc"] < values["MinT_wrcc"]]
    if len(wrong):
        raise InputError(f"{path.name}: line {wrong[0]} has MaxT_wrcc below MinT_wrcc; correct one of them, or leave "
                         "both empty")
    time = pd.date_range(day.min(), day.max(), freq="D", name="time", unit="ns")
    whole = pd.DataFrame(values).set_axis(pd.DatetimeIndex(day)).reindex(time)
    return xr.Dataset({name: ("time", whole[column].to_numpy(), {"units": units, "long_name": text})
                       for column, (name, units, text, *_) in WEATHER.items()}, {"time": time}, {"source": path.name})


def write_weather(dataset, path):
    """Write weather as ``read_weather`` reads it: (time,) rain, t_max, t_min. raises InputError where one is missing"""
    for name, *_ in WEATHER.values():
        if name not in dataset:
            raise InputError(f"{Path(path).name}: the weather has no '{name}'; rain, t_max and t_min are needed")
    rows = {column: dataset[name].values for column, (name, *_) in WEATHER.items()}
    _write(pd.DataFrame({"Date": dataset.indexes["time"].strftime("%Y-%m-%d"), **rows}), path)


def _with(path, needed):
    table = tables.read(path)
    for name in needed:
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing; {', '.join(needed)} are needed")
    return table


def _all(path, column, what):
    """A column of numbers of which none may be missing."""
    values = tables.numbers(path, column)
    missing = values.index[values.isna()]
    if len(missing):
        raise InputError(f"{path.name}: line {missing[0]} has no {column.name}; {what} is expected")
    return values


def _within(path, column, low, high):
    """A column of numbers within what can be, NaN where missing."""
    values = tables.numbers(path, column)
    wrong = values.index[(values < low) | (values > high)]
    if len(wrong):
        raise InputError(f"{path.name}: line {wrong[0]} has {column.name} = {values[wrong[0]]:g}; {low:g} to {high:g} "
                         "is expected, leave it empty where it is missing")
    return values


def _spacing(path, values):
    """The distance that most neighbours along an axis have [m]."""
    apart = np.diff(np.unique(values)).round(6)
    if not apart.size:
        raise InputError(f"{path.name}: all cells have {values.name} = {values.iloc[0]:g}; a grid of two rows and two "
                         "columns or more is expected")
    sizes, count = np.unique(apart, return_counts=True)
    return float(sizes[count.argmax()])


def _filled(shape, where, values, empty):
    values = values.to_numpy(dtype=float if empty != "" else str)
    whole = np.full(shape, empty, values.dtype)
    whole[where] = values
    return whole


def _texts(columns):
    """Columns of text of a grid, and the names that they get here."""
    return {c: "soil_unit" if c == UNIT else f"crop_{CROP.fullmatch(c)[1]}" for c in columns
            if c == UNIT or CROP.fullmatch(c)}


def _meaning(name):
    return "soil map unit" if name == "soil_unit" else f"crop of the harvest year {name[5:]}"


def _crop_year(name):
    return re.fullmatch(r"crop_\d{4}", str(name)) is not None


def _layers(path, table):
    """Places and borders of layers: station, x, y, top and bottom [m]."""
    made = pd.DataFrame({"station": table["SOURCEID"].str.strip()})
    unnamed = made.index[made["station"] == ""]
    if len(unnamed):
        raise InputError(f"{path.name}: line {unnamed[0]} has no SOURCEID; the name of the place is expected")
    for column, name in list(PLACE.items())[1:]:
        made[name] = _all(path, table[column], "a coordinate in metres")
    for column, name in BORDERS.items():
        made[name] = _all(path, table[column], "a depth in centimetres") / 100
        wrong = made.index[(made[name] < 0) | (made[name] > 10)]
        if len(wrong):
            raise InputError(f"{path.name}: line {wrong[0]} has {column} = {table[column][wrong[0]]}; 0 to 1000 cm is "
                             "expected")
    thin = made.index[made["bottom"] <= made["top"]]
    if len(thin):
        raise InputError(f"{path.name}: line {thin[0]} has LHDICM = {table['LHDICM'][thin[0]]}, which is not below "
                         f"UHDICM = {table['UHDICM'][thin[0]]}; correct one of them")
    moved = made.groupby("station")[["x", "y"]].nunique().max(axis=1)
    if (moved > 1).any():
        name = moved.index[moved > 1][0]
        rows = made[made["station"] == name]
        first = rows[["x", "y"]].iloc[0]
        line = rows.index[(rows[["x", "y"]] != first).any(axis=1)][0]
        raise InputError(f"{path.name}: line {line} has another position of '{name}' than the lines before; a place "
                         "has one")
    return made


def _write_layers(table, path, texts, numbers):
    back = {new: old for old, new in PLACE.items()} | texts | {name: column for column, (name, *_) in numbers.items()}
    for name in (*back, *BORDERS.values()):
        if name not in table:
            raise InputError(f"{Path(path).name}: the table has no column '{name}'; {', '.join(back)}, top and bottom "
                             "are needed")
    made = {back[name]: table[name] for name in PLACE.values()} | {texts[name]: table[name] for name in texts}
    made |= {column: (100 * table[name]).round(6) for column, name in BORDERS.items()}
    _write(pd.DataFrame(made | {column: table[name] for column, (name, *_) in numbers.items()}), path)


def _write(table, path):
    path = Path(path)
    text = table.to_csv(index=False, lineterminator="\n").encode()
    with atomic(path) as part:
        part.write_bytes(gzip.compress(text, 6, mtime=0) if path.suffix == ".gz" else text)
