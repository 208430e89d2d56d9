"""What TIMESAT wrote about a series: the parameters of its seasons (`*_vpp.csv`) and its daily fit (`*_yfit.csv`).

`_vpp` stands for vegetation phenology and productivity. Its dates are coded YYDDD.fraction, where day 001.0 is the
start of 1 January: 18117.74 is day 117.74 of 2018. Compared in all 30 seasons of the five public cropland files, the
daily fit at the coded start and end, so read, is the coded value within 0.0006 gC m⁻² d⁻¹; one day off it is 0.25. In
the same files the start and the end lie at 40 % of the rise and of the fall, each from the minimum of its own side;
the value that the file calls the minimum is the mean of the two. TIMESAT counts 365 days a year: 31 December of a leap
year is in no fit. Jönsson & Eklundh (2004), doi:10.1016/j.cageo.2004.05.006.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources import tables
from phenolib.sources.site_series import VARIABLES

PARAMETERS = {  # code in the file: column, meaning, unit ("series": that of the series)
    "SOSD": ("sos", "start of season", "date"),
    "SOSV": ("sos_value", "value at the start", "series"),
    "LSLOPE": ("rise_slope", "slope of the rise", "series d-1"),
    "EOSD": ("eos", "end of season", "date"),
    "EOSV": ("eos_value", "value at the end", "series"),
    "RSLOPE": ("fall_slope", "slope of the fall, as a positive number", "series d-1"),
    "LENGTH": ("length", "days from start to end", "d"),
    "MINV": ("base", "mean of the minima before and after the peak", "series"),
    "MAXD": ("peak", "date of the largest value", "date"),
    "MAXV": ("peak_value", "largest value", "series"),
    "AMPL": ("amplitude", "peak value above base", "series"),
    "TPROD": ("total_productivity", "sum of the fit from the day of the start to the day after the end", "series d"),
    "SPROD": ("seasonal_productivity", "total productivity less the base on each of its days", "series d"),
}
COLUMNS = ["site", "year", "slot", "sos", "peak", "eos", "length", "amplitude", "base", "peak_value", "sos_value",
           "eos_value", "share", "rise_slope", "fall_slope", "total_productivity", "seasonal_productivity"]
IDENTIFIER = re.compile(r"(?P<year>\d{4})_s(?P<slot>\d+)_(?P<parameter>\w+)")


def read_seasons(path, settings=""):
    """The seasons that TIMESAT found, one row each; a slot without a season has no row.

    path      `<SITE>_<series>_vpp.csv`
    settings  which column, where TIMESAT ran with several settings; the first by default
    returns   DataFrame: site, year and slot of the season, the columns of ``PARAMETERS`` (dates as datetime64[ns],
              length in days, values in the unit of the series), and share: the share of the amplitude at which start
              and end were set [-], which follows from the values,

                  share = ((sos_value + eos_value)/2 − base) / (peak_value − base)

              attrs: series ("GPP"), settings, years (all that the file has slots for), units and long_name by column
    raises    InputError for a missing file or column, an unknown parameter, one that is there twice, or a date that
              cannot be
    """
    path = Path(path)
    table = tables.read(path)
    column = _settings(path, table, settings)
    series = series_of(path)
    values = tables.numbers(path, table[column])
    rows, seen = {}, set()
    for line, text in table["id"].items():
        named = IDENTIFIER.fullmatch(text.strip())
        if not named or named["parameter"] not in PARAMETERS:
            raise InputError(f"{path.name}: line {line} has id '{text}'; <year>_s<slot>_<parameter> is expected"
                             f"{near(named['parameter'], PARAMETERS) if named else ', e.g. 2018_s1_SOSD'}")
        if text in seen:
            raise InputError(f"{path.name}: line {line} has the id '{text}' again; keep one row for it")
        seen.add(text)
        name, _, unit = PARAMETERS[named["parameter"]]
        year = int(named["year"])
        value = _date(path, line, values[line], year) if unit == "date" else values[line]
        rows.setdefault((year, int(named["slot"])), {})[name] = value
    site = tables.site_of(path)
    found = [{"site": site, "year": year, "slot": slot, **row} for (year, slot), row in sorted(rows.items())
             if not all(pd.isna(v) for v in row.values())]
    seasons = pd.DataFrame(found, columns=COLUMNS)
    dates = [name for name, _, unit in PARAMETERS.values() if unit == "date"]
    others = [name for name in COLUMNS[3:] if name not in dates]
    seasons = seasons.astype({**dict.fromkeys(dates, "datetime64[ns]"), **dict.fromkeys(others, float),
                              "year": int, "slot": int})
    base, high = seasons["base"], seasons["peak_value"]
    seasons["share"] = ((seasons["sos_value"] + seasons["eos_value"]) / 2 - base) / (high - base)
    of = VARIABLES[series][1] if series in VARIABLES else ""
    units = {name: _unit(unit, of) for name, _, unit in PARAMETERS.values() if unit != "date"}
    seasons.attrs = {
        "series": series, "settings": column, "years": sorted({year for year, _ in rows}),
        "units": {**units, "share": "1"},
        "long_name": {**{name: text for name, text, _ in PARAMETERS.values()},
                      "share": "share of the amplitude at start and end", "slot": "number of the season in its year"},
    }
    return seasons


def read_fit(path, settings=""):
    """The curve that TIMESAT fitted to a series.

    path      `<SITE>_<series>_yfit.csv`
    settings  which column, where TIMESAT ran with several settings; the first by default
    returns   (time,) DataArray, named and in the unit of the series; one value a day, none on 31 December of a leap
              year. attrs: site, settings, source, units, long_name
    raises    InputError for a missing file or column, a wrong date or number, or a date twice
    """
    path = Path(path)
    table = tables.read(path)
    column = _settings(path, table, settings, first="Date")
    time = tables.dates(path, table["Date"])
    twice = time.index[time.duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: the date {time[twice[0]]:%Y-%m-%d} is there again in line {twice[0]}; "
                         "one row per day is expected")
    values = tables.numbers(path, table[column])
    order = np.argsort(time.to_numpy(), kind="stable")
    series = series_of(path)
    _, units, long_name, _, _ = VARIABLES.get(series, ("", "", series, 0, 0))
    about = {"units": units, "long_name": f"{long_name}, fitted by TIMESAT", "site": tables.site_of(path),
             "settings": column, "source": path.name}
    return xr.DataArray(values.to_numpy()[order], {"time": time.to_numpy()[order]}, ["time"], series, about)


def date(code, century=2000):
    """The moment that a number YYDDD.fraction stands for (datetime64[ns]).

    date = 1 January of the year + (DDD.fraction − 1) days

    >>> date(18117.75)
    Timestamp('2018-04-27 18:00:00')
    """
    year, day = divmod(float(code), 1000)
    return (pd.Timestamp(century + int(year), 1, 1) + pd.Timedelta(round((day - 1) * 86400), "s")).as_unit("ns")


def series_of(path):
    """Name of the series that was fitted, from the name of the file."""
    named = re.findall(r"(?<![A-Za-z0-9])(GPP|NDVI|EVI2|PPI|FAPAR|LAI)(?![A-Za-z0-9])", path.name)
    return named[-1] if named else "series"


def _unit(unit, of):
    """Unit of a parameter of a series with the unit ``of``: a rate per day times days is an amount."""
    if of.endswith(" d-1"):
        unit = unit.replace("series d-1", f"{of.removesuffix(' d-1')} d-2")
        unit = unit.replace("series d", of.removesuffix(" d-1"))
    return unit.replace("series", "" if of == "1" and " " in unit else of).strip()


def _settings(path, table, settings, first="id"):
    names = list(table.columns)
    if names[0] != first or len(names) < 2:
        raise InputError(f"{path.name}: the columns are {', '.join(names)}; '{first}' and 'settings 1' are expected")
    if settings and settings not in names[1:]:
        raise InputError(f"{path.name}: the column '{settings}' is missing{near(settings, names[1:])}")
    return settings or names[1]


def _date(path, line, code, year):
    """A coded date of a season of a year, NaT where missing; a season may start the year before or end after."""
    if np.isnan(code):
        return pd.NaT
    short, day = divmod(code, 1000)
    century = year - year % 100
    near_by = [c for c in (century - 100, century, century + 100) if abs(c + short - year) <= 1]
    if not 0 <= short <= 99 or not 1 <= day < 367 or not near_by:
        raise InputError(f"{path.name}: line {line} has the date {code:g} for a season of {year}; a number such as "
                         f"{year % 100:02d}117.74 is expected, the year and the day of it")
    return date(code, near_by[0])
