"""Series of one site in plain tables: Sentinel-2 indices at overpass dates, and daily carbon uptake of a flux tower.

The layout is that of the public repository TIMESAT/HRVPP2_calibration. A file of indices starts with the column `t`
(dates), followed by one column per index, empty where the sky was not clear. A file of gross primary production (GPP)
starts with `TIMESTAMP` (``2017-01-09 00:00:00+00:00``); days that did not pass its quality control have no row. The
files state no units: GPP is taken as the daily sums of FLUXNET (Pastorello et al. 2020,
doi:10.1038/s41597-020-0534-3), the plant phenology index (PPI) and leaf area as m² m⁻² (Jin & Eklundh 2014,
doi:10.1016/j.rse.2014.07.010).
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import write_text
from phenolib.sources import tables

VARIABLES = {  # name: column in the files, units, long name, smallest and largest value that can be
    "NDVI": ("NDVI", "1", "normalized difference vegetation index", -1.0, 1.0),
    "EVI2": ("EVI2", "1", "two-band enhanced vegetation index", -1.0, 1.5),
    "PPI": ("PPI_mean", "m2 m-2", "plant phenology index", -1.0, 10.0),
    "FAPAR": ("FAPAR_mean", "1", "absorbed share of photosynthetically active radiation", 0.0, 1.1),
    "LAI": ("LAI_mean", "m2 m-2", "leaf area index", 0.0, 20.0),
    "GPP": ("GPP_DT_VUT_REF", "gC m-2 d-1", "gross primary production", -20.0, 60.0),
}
INDICES = tuple(name for name in VARIABLES if name != "GPP")
GPP_COLUMN = re.compile(r"GPP_(DT|NT)_[CV]UT_(REF|USTAR50|MEAN)")  # of FLUXNET: day- or night-time partition
FOLDERS = {("NDVI", "EVI2"): "S2_NDVI_EVI2", ("PPI",): "S2_PPI", ("FAPAR",): "S2_FAPAR_100m", ("LAI",): "S2_LAI"}
FEW = 0.02  # share of values that may be impossible before the whole file is refused


def read(path):
    """The indices or the GPP of one site, sorted by date.

    A date that has several rows in a file of indices (two tiles of one pass) gets their mean, missing ones left out.
    Single impossible values (a PPI of −22685.5 stands in a real file) are missing, and counted in the attribute
    ``impossible`` of their variable; where more than 2 % are impossible the unit is wrong and the file is refused.

    path     `<product>_<from>_<to>_<SITE>_LC<land cover>_…_mean.csv` or `<SITE>_GPP_DT_VUT_REF_dd_all_years.csv`
    returns  (time,) Dataset of those of ``VARIABLES`` that the file holds, NaN where missing; time is the calendar date
             without a time zone. attrs: site, source (name of the file)
    raises   InputError for a missing file or column, a wrong date or number, a day of GPP twice, values out of range,
             a truncated file, or a name that tells no site
    """
    path = Path(path)
    table = tables.read(path)
    first = table.columns[0]
    if first not in ("t", "TIMESTAMP"):
        raise InputError(f"{path.name}: the first column is '{first}'; 't' or 'TIMESTAMP' with the dates is expected")
    columns = _columns(path, table.columns[1:])
    time = tables.dates(path, table[first])
    values = pd.DataFrame({name: tables.numbers(path, table[column]) for name, column in columns.items()})
    impossible = {name: _mask(path, values, name, column) for name, column in columns.items()}
    twice = time.index[time.duplicated()]
    if len(twice) and "GPP" in values:
        raise InputError(f"{path.name}: the date {time[twice[0]]:%Y-%m-%d} is there again in line {twice[0]}; "
                         "one row per day is expected")
    values = values.groupby(time.to_numpy(), sort=True).mean()
    variables = {}
    for name, column in columns.items():
        _, units, long_name, _, _ = VARIABLES[name]
        about = {"units": units, "long_name": long_name, "column": column}
        if impossible[name]:
            about["impossible"] = impossible[name]
        variables[name] = ("time", values[name].to_numpy(), about)
    dates = ("time", values.index.to_numpy("datetime64[ns]"), {"long_name": "date"})
    return xr.Dataset(variables, {"time": dates}, {"site": tables.site_of(path), "source": path.name})


def write(dataset, path):
    """Write indices or GPP in the format that ``read`` reads, atomically.

    Numbers are written with as many digits as their type needs (float32 or float64). A missing index is an empty
    field, a missing day of GPP has no row.

    dataset  (time,) some of ``VARIABLES``, either indices or GPP; the attribute ``column`` of a variable names its
             column, else it has the usual name
    path     the file to write, see ``file_name``
    raises   InputError if there is nothing to write, GPP stands beside indices, a date is there twice, or the path
             names another site than dataset.attrs["site"]
    """
    path = Path(path)
    names = [name for name in VARIABLES if name in dataset]
    if not names or ("GPP" in names and len(names) > 1):
        raise InputError(f"{path.name}: holds {' and '.join(names) or 'no known variable'}; give GPP alone, or some of "
                         f"{', '.join(INDICES)}")
    site = dataset.attrs.get("site", "")
    if site and tables.site_of(path) != site:
        raise InputError(f"{path.name}: is the name of a file of {tables.site_of(path)}, the dataset is of {site}; "
                         "correct one of them")
    dataset = dataset.sortby("time")
    time = dataset.indexes["time"]
    if not time.is_unique:
        raise InputError(f"{path.name}: the date {time[time.duplicated()][0]:%Y-%m-%d} is there twice; keep one")
    stamp = time.strftime("%Y-%m-%d 00:00:00+00:00" if names == ["GPP"] else "%Y-%m-%d")
    columns = [[_number(v) for v in dataset[name].values] for name in names]
    rows = [row for row in zip(stamp, *columns) if names != ["GPP"] or row[1]]
    head = ["TIMESTAMP" if names == ["GPP"] else "t", *(_column(dataset[name]) for name in names)]
    write_text(path, "\n".join(map(",".join, [head, *rows])) + "\n")


def file_name(site, variables, years, land_cover=11):
    """Folder and name of a file in the layout of the public repository.

    site        name of the site
    variables   ("NDVI", "EVI2"), or one of ``VARIABLES``
    years       first and last year of the indices
    land_cover  code of the land cover over which the pixels were averaged; 11 is annual cropland

    >>> file_name("BE-Lon", ("PPI",), (2017, 2024))
    'S2_PPI/PPI_2017_01_01_2024_12_31_BE-Lon_LC11_mean.csv'
    >>> file_name("BE-Lon", ("GPP",), (2017, 2024))
    'GPP_daily/BE-Lon_GPP_DT_VUT_REF_dd_all_years.csv'
    """
    if tuple(variables) == ("GPP",):
        return f"GPP_daily/{site}_GPP_DT_VUT_REF_dd_all_years.csv"
    known = [" and ".join(v) for v in FOLDERS]
    if tuple(variables) not in FOLDERS:
        raise InputError(f"no file holds {' and '.join(variables)}{near(' and '.join(variables), known)}")
    several = len(variables) > 1
    product, of = ("S2", "_" + "_".join(variables)) if several else (variables[0], "")
    period = f"{years[0]}_01_01_{years[1]}_12_31"
    return f"{FOLDERS[tuple(variables)]}/{product}_{period}_{site}_LC{land_cover}{of}_mean.csv"


def _columns(path, names):
    """Variable: column, for the columns that are known; one column each."""
    found = {}
    for column in names:
        name = "GPP" if GPP_COLUMN.fullmatch(column) else column.removesuffix("_mean")
        if name not in VARIABLES or (name == "GPP" and found.get(name) == "GPP_DT_VUT_REF"):
            continue
        if name in found and name != "GPP":
            raise InputError(f"{path.name}: '{found[name]}' and '{column}' hold the same; keep one of them")
        found[name] = column
    if not found:
        known = [column for column, *_ in VARIABLES.values()]
        raise InputError(f"{path.name}: holds none of the columns {', '.join(known)}"
                         f"{near(names[0], known) if len(names) else ''}")
    return found


def _mask(path, values, name, column):
    """Set impossible values of a variable missing; how many there were."""
    _, units, _, low, high = VARIABLES[name]
    wrong = values.index[(values[name] < low) | (values[name] > high)]
    if len(wrong) > FEW * values[name].notna().sum():
        unit = "" if units == "1" else f" {units}"
        raise InputError(f"{path.name}: line {wrong[0]} has {column} = {values[name][wrong[0]]:g}; values from {low:g} "
                         f"to {high:g}{unit} are expected, convert the unit")
    values.loc[wrong, name] = np.nan
    return len(wrong)


def _column(variable):
    return variable.attrs.get("column", VARIABLES[variable.name][0])


def _number(value):
    """The shortest text that gives the value back in its own precision; nothing for NaN."""
    return "" if np.isnan(value) else str(value.item() if value.dtype == np.float64 else value)
