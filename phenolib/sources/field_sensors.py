"""Sensors in the field: tables of loggers, and automatic chambers that measure the CO2 flux of the soil.

Chambers are read in the layout of COSORE (Bond-Lamberty et al. 2020, doi:10.1111/gcb.15353): a table of values between
commas, compressed or not, one row per measurement, with the columns `CSR_PORT` (number of the chamber),
`CSR_TIMESTAMP_BEGIN` (clock of the instrument), `CSR_FLUX_CO2` (µmol m⁻² s⁻¹, positive to the atmosphere) and what
there is of `CSR_FLUX_SE_CO2`, `CSR_R2_CO2`, `CSR_ERROR`, `CSR_T<depth in cm>` (°C) and `CSR_SM<depth in cm>` (m³ m⁻³).
`<name>_DESCRIPTION.txt` beside it tells the site and the time zone of the clock.

``table``, ``steps``, ``whole`` and ``percent`` are shared by the readers of towers and neutron stations.
"""

import csv
import gzip
import io
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import atomic
from phenolib.sources import tables

NEEDED = ("CSR_PORT", "CSR_TIMESTAMP_BEGIN", "CSR_FLUX_CO2")
MEASURED = {"CSR_FLUX_CO2": "flux", "CSR_FLUX_SE_CO2": "flux_se", "CSR_R2_CO2": "r2"}
DEPTH = re.compile(r"CSR_(SM|T)(\d+(?:\.\d+)?)")
SAID = re.compile(r"(CSR_[A-Z_]+):[ \t]*(.*)")
FLUX = 100.0  # µmol m⁻² s⁻¹, above which a median is no soil flux
TOGETHER = 48  # rows at another distance in a row, from which they are another resolution and no gaps


# ---- tables of loggers

def table(path, *, separator=",", first=1, units=0, keep=None, text=()):
    """Columns of a table of a logger.

    path       file of values between ``separator``, compressed if named *.gz
    first      number of the line with the names of the columns, 1 for the first
    units      lines after it to leave out, such as one of units
    keep       function that tells of the name of a column whether it is wanted; None for all
    text       columns to be kept as text
    returns    DataFrame of float, NaN where missing ('', NA, −9999), and of str; its index is the number of the line
    raises     InputError if there is no such file, it is no text, holds no rows, a line has another number of fields
               than the names, a column is there twice, or a value is no number
    """
    path = Path(path)
    lines = read_lines(path)
    if len(lines) < first + units + 1:
        raise InputError(f"{path.name}: holds no rows; the file is truncated or empty, download it again")
    names = [name.strip() for name in next(csv.reader([lines[first - 1]], delimiter=separator))]
    twice = next((n for n in names if n and names.count(n) > 1), None)
    if twice is not None:
        raise InputError(f"{path.name}: the column '{twice}' is there twice; remove one of them")
    start = first + units
    for number, line in enumerate(lines[start:], start + 1):
        if line.count(separator) + 1 != len(names):
            fields = len(next(csv.reader([line], delimiter=separator), []))
            if fields != len(names):
                cut = number == len(lines) and fields < len(names)
                what = "the file is truncated, download it again" if cut else "correct or remove the line"
                raise InputError(f"{path.name}: line {number} has {fields} fields, {len(names)} are expected; {what}")
    wanted = [k for k, name in enumerate(names) if keep is None or name in text or keep(name)]
    made = pd.read_csv(io.StringIO("\n".join(lines[start:])), sep=separator, header=None, usecols=wanted,
                       dtype={k: str for k in wanted if names[k] in text}, keep_default_na=False,
                       na_values={k: list(tables.MISSING) for k in wanted if names[k] not in text},
                       skipinitialspace=True, skip_blank_lines=False, low_memory=False)
    made.columns = [names[k] for k in wanted]
    made.index = pd.RangeIndex(start + 1, len(lines) + 1)
    for name in made:
        if name in text:
            made[name] = made[name].str.strip()
        elif made[name].dtype.kind in "iuf":
            values = made[name].astype(float)
            made[name] = values.mask(values == -9999)
            if np.isinf(values).any():
                made[name] = tables.numbers(path, values.astype(str).rename(name))
        else:
            made[name] = tables.numbers(path, made[name].astype(str).rename(name))
    return made


def read_lines(path):
    """The lines of a text file, compressed if named *.gz, whatever ends them (LF, CR LF or CR); none that is empty at
    the end. raises InputError if there is no such file, or it is no text"""
    text = tables.whole_text(path)
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def steps(path, time):
    """The distance of the rows of a logger.

    time     Series of times, its index the number of the line
    returns  the Timedelta that is most frequent between rows
    raises   InputError if a time is there twice, goes back, or the rows are of more than one resolution
    """
    name = Path(path).name
    twice = time.index[time.duplicated()]
    if len(twice):
        raise InputError(f"{name}: line {twice[0]} is the second of {time[twice[0]]:%Y-%m-%d %H:%M}; remove one "
                         "of them")
    apart = time.diff().iloc[1:]
    back = apart.index[apart < pd.Timedelta(0)]
    if len(back):
        raise InputError(f"{name}: line {back[0]} goes back in time to {time[back[0]]:%Y-%m-%d %H:%M}; sort the lines "
                         "by time")
    if apart.empty:
        raise InputError(f"{name}: holds one time only; two or more are expected")
    step = apart.mode().iloc[0]
    odd = apart.index[(apart % step) != pd.Timedelta(0)]
    if not len(odd):  # gaps are whole steps; many equal ones in a row are none
        run = apart.groupby((apart != apart.shift()).cumsum()).transform("size")
        odd = apart.index[(apart != step) & (run >= TOGETHER)]
    if len(odd):
        raise InputError(f"{name}: line {odd[0]} is {apart[odd[0]] / pd.Timedelta(minutes=1):g} minutes after the one "
                         f"before, most are {step / pd.Timedelta(minutes=1):g}; give a file of one resolution")
    return step


def whole(dataset, step):
    """A (time) Dataset with a row for every step from the first to the last, NaN where there was none, and how many
    rows were added (int)."""
    time = dataset.indexes["time"]
    every = pd.date_range(time[0], time[-1], freq=step, unit="ns", name="time")
    return dataset.reindex(time=every), len(every) - len(time)


def percent(path, values, remarks):
    """Per cent of volume as a fraction, once.

    values   Series [%], its name the column
    remarks  list, to which is added how many values lay outside 0 to 100 % and are missing
    raises   InputError if no value is above 1: these are fractions
    """
    name, there = Path(path).name, values.dropna()
    if len(there) and there.max() <= 1:
        raise InputError(f"{name}: column '{values.name}' has {there.max():g} at most; it looks like a fraction, per "
                         "cent is expected, multiply by 100")
    outside = (values < 0) | (values > 100)
    if outside.any():
        remarks.append(f"{name}: {int(outside.sum())} of {len(there)} values of {values.name} lie outside 0 to 100 % "
                       "and are missing")
    return values.mask(outside) / 100


# ---- chambers

def read(path, *, moisture_unit=None, least_r2=None):
    """Measurements of chambers.

    path           table in the layout of the module; `<name>_DESCRIPTION.txt` beside it is read where it is
    moisture_unit  "fraction" or "percent" of all soil moisture in the file; by default told from the values: a
                   fraction where none is above 1, per cent where more than half are; else it is refused
    least_r2       measurements whose fit has a smaller R² are left out; None for all (project default)
    returns        DataFrame, a row per measurement, by chamber and time: chamber (int), time (start of the measurement,
                   UTC where the description tells the zone of the clock), flux [µmol m-2 s-1, positive to the
                   atmosphere], what there is of flux_se and r2, temperature_<depth>cm [degC], moisture_<depth>cm
                   [m3 m-3]; NaN where missing. attrs: source, units (by column), stamp, clock, remarks, retrieved
                   (share of the rows of the file that are given), and what the description tells (site, lat, lon …)
    raises         InputError for a missing column, a value or time that cannot be read, times of a chamber that go
                   back, soil moisture whose unit cannot be decided, temperature in kelvin, or a flux that is none

    Negative soil moisture is missing, and told. Rows that are there twice are given once; a time that a chamber has
    twice with other values (as where a clock is set back) is left out, both rows; both are told. Rows with CSR_ERROR
    are left out. Readings of a moisture sensor can be shared by all chambers of a site.
    """
    path, remarks = Path(path), []
    if moisture_unit not in (None, "fraction", "percent"):
        raise InputError(f"moisture_unit '{moisture_unit}': 'fraction' or 'percent' is expected")
    given = table(path, text=("CSR_TIMESTAMP_BEGIN", "CSR_ERROR"),
                  keep=lambda n: n == "CSR_PORT" or n in MEASURED or DEPTH.fullmatch(n))
    for name in NEEDED:
        if name not in given:
            raise InputError(f"{path.name}: the column '{name}' is missing; a table of COSORE with {', '.join(NEEDED)} "
                             "is expected")
    site = description(path)
    time = pd.to_datetime(given["CSR_TIMESTAMP_BEGIN"], format="ISO8601", errors="coerce")
    _first(path, given["CSR_TIMESTAMP_BEGIN"], time.isna(), "a time such as 2018-07-31 12:30 is expected")
    _first(path, given["CSR_PORT"], given["CSR_PORT"] % 1 != 0, "a whole number is expected")
    made = pd.DataFrame({"chamber": given["CSR_PORT"].astype(int), "time": time.astype("datetime64[ns]")})
    units = {"flux": "umol m-2 s-1", "flux_se": "umol m-2 s-1", "r2": "1"}
    for old, new in MEASURED.items():
        if old in given:
            made[new] = given[old]
    if made["flux"].abs().median() > FLUX:
        raise InputError(f"{path.name}: CSR_FLUX_CO2 has a median of {made['flux'].median():g}; µmol m⁻² s⁻¹ are "
                         "expected")
    sensors = sorted((m[1], float(m[2]), name) for name in given if (m := DEPTH.fullmatch(name)))
    for kind, depth, old in sensors:
        new = f"{'moisture' if kind == 'SM' else 'temperature'}_{depth:g}cm"
        made[new] = _moisture(path, given[old], moisture_unit, remarks) if kind == "SM" else _celsius(path, given[old])
        units[new] = "m3 m-3" if kind == "SM" else "degC"
    good = _kept(path, given, made, least_r2, remarks)
    made = made[good].sort_values(["chamber", "time"], kind="stable").reset_index(drop=True)
    clock = "as in the file; the time zone is not told"
    if site.get("timezone"):
        made["time"] = _utc(path, made["time"], site["timezone"])
        clock = f"UTC, from {site['timezone']}"
        unclear = made["time"].isna()
        if unclear.any():
            remarks.append(f"{path.name}: {int(unclear.sum())} of {len(given)} rows have a time that "
                           f"{site['timezone']} has twice or never, where the clock is changed, and are left out")
            made = made[~unclear].reset_index(drop=True)
    made.attrs = {"source": path.name, "stamp": "start of the measurement", "clock": clock, "remarks": remarks,
                  "units": {k: v for k, v in units.items() if k in made}, "retrieved": len(made) / len(given), **site}
    return made


def description(path):
    """What `<name>_DESCRIPTION.txt` beside a table of chambers tells, {} where there is none.

    returns  dict of what there is of site, site_id, lat, lon [degrees], elevation [m], igbp (class of land cover),
             instrument, timezone (of the clock), notes
    """
    path = Path(path)
    beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".csv") + "_DESCRIPTION.txt")
    if not beside.is_file():
        return {}
    said = {m[1]: m[2].strip() for line in read_lines(beside) if (m := SAID.fullmatch(line.rstrip()))}
    wanted = {"site": "CSR_SITE_NAME", "site_id": "CSR_SITE_ID", "igbp": "CSR_IGBP", "instrument": "CSR_INSTRUMENT",
              "timezone": "CSR_TIMESTAMP_TZ", "notes": "CSR_NOTES", "lat": "CSR_LATITUDE", "lon": "CSR_LONGITUDE",
              "elevation": "CSR_ELEVATION"}
    made = {new: said[old] for new, old in wanted.items() if said.get(old)}
    for name in ("lat", "lon", "elevation"):
        if name in made:
            one = pd.Series([made[name]], index=[1 + list(said).index(wanted[name])], name=wanted[name])
            made[name] = float(tables.numbers(beside, one).iloc[0])
    return made


def write(frame, path):
    """Write measurements of ``read`` (its columns, fractions) as it reads them, the same bytes for the same values.

    Times are written in UTC with a description beside that says so; site, lat and lon are taken from attrs.

    path     the file; compressed where its name ends in .gz
    raises   InputError for a missing column
    """
    path = Path(path)
    for name in ("chamber", "time", "flux"):
        if name not in frame:
            raise InputError(f"{path.name}: the measurements have no '{name}'; chamber, time and flux are needed")
    names = {"chamber": "CSR_PORT", "time": "CSR_TIMESTAMP_BEGIN"} | {new: old for old, new in MEASURED.items()}
    for column in frame:
        if found := re.fullmatch(r"(moisture|temperature)_([\d.]+)cm", column):
            names[column] = f"CSR_{'SM' if found[1] == 'moisture' else 'T'}{found[2]}"
    made = frame[[c for c in names if c in frame]].rename(columns=names)
    made["CSR_TIMESTAMP_BEGIN"] = pd.DatetimeIndex(frame["time"]).strftime("%Y-%m-%d %H:%M:%S")
    raw = made.to_csv(index=False, lineterminator="\n", na_rep="NA").encode()
    about = {"CSR_SITE_NAME": "site", "CSR_LONGITUDE": "lon", "CSR_LATITUDE": "lat", "CSR_ELEVATION": "elevation"}
    lines = [f"{k}: {frame.attrs.get(v, '')}" for k, v in about.items()] + ["CSR_TIMESTAMP_TZ: Etc/UTC"]
    with atomic(path.with_name(path.name.removesuffix(".gz").removesuffix(".csv") + "_DESCRIPTION.txt")) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    with atomic(path) as part:
        part.write_bytes(gzip.compress(raw, 6, mtime=0) if path.suffix == ".gz" else raw)


def to_dataset(frame, *, chamber=None):
    """Measurements of one chamber, or of all chambers together, as a Dataset.

    frame    of ``read``
    chamber  its number; None for the mean of all chambers per hour
    returns  (time) Dataset with the other columns of the frame as variables with units
    raises   InputError for a chamber that is not there
    """
    data = frame.drop(columns="chamber")
    if chamber is None:
        data = data.assign(time=frame["time"].dt.floor("h")).groupby("time").mean()
    else:
        numbers = frame["chamber"].unique().tolist()
        if chamber not in numbers:
            raise InputError(f"chamber {chamber}: there is none{near(chamber, numbers)}")
        data = data[frame["chamber"] == chamber].set_index("time")
    made = xr.Dataset.from_dataframe(data)
    for name in made.data_vars:
        made[name].attrs["units"] = frame.attrs["units"][name]
    about = {k: v for k, v in frame.attrs.items() if k != "units"}
    if chamber is None:
        about["stamp"] = "start of the hour"
    return made.assign_attrs(about)


def _moisture(path, values, unit, remarks):
    """Soil moisture as a fraction; what was done is told."""
    there, name = values.dropna(), f"{path.name}: {values.name}"
    over = float((there > 1).mean()) if len(there) else 0.0
    if unit is None:
        unit = "fraction" if over == 0 else "percent"
        if 0 < over <= 0.5 or there.max() > 100:
            raise InputError(f"{name} has {over:.1%} of its values above 1, {there.max():g} at most; neither a "
                             "fraction nor per cent, say which with moisture_unit='fraction' or 'percent'")
        if over:
            remarks.append(f"{name} is per cent ({there.max():g} at most), m³ m⁻³ is expected; divided by 100")
    values = values / 100 if unit == "percent" else values
    for wrong, what in ((values < 0, "negative"), (values > 1, "above 1")):
        if wrong.any():
            remarks.append(f"{name} is {what} in {int(wrong.sum())} of {len(there)} values, these are missing")
    return values.where((values >= 0) & (values <= 1))


def _celsius(path, values):
    if values.median() > 150:
        raise InputError(f"{path.name}: column '{values.name}' has a median of {values.median():g}; it looks like "
                         "kelvin, °C is expected, subtract 273.15")
    _first(path, values, (values < -60) | (values > 80), "-60 to 80 °C is expected")
    return values


def _kept(path, given, made, least_r2, remarks):
    """Which rows are measurements that can be used; the others are told."""
    good, total = pd.Series(True, index=made.index), len(made)

    def leave(wrong, what):
        nonlocal good
        wrong = wrong & good
        if wrong.any():
            remarks.append(f"{path.name}: {int(wrong.sum())} of {total} rows {what} and are left out")
        good &= ~wrong

    if "CSR_ERROR" in given:
        leave(given["CSR_ERROR"].str.upper().isin(("TRUE", "T", "1")), "have CSR_ERROR")
    if least_r2 is not None:
        if "r2" not in made:
            raise InputError(f"{path.name}: least_r2 is given, but there is no column 'CSR_R2_CO2'")
        leave(~(made["r2"] >= least_r2), f"have an R² below {least_r2:g}")
    leave(made["flux"].isna(), "have no flux")
    leave(made.duplicated(), "repeat another")
    leave(made.where(good).duplicated(["chamber", "time"], keep=False), "share chamber and time with another value")
    back = made.groupby("chamber")["time"].diff() < pd.Timedelta(0)
    if back.any():
        line = back.idxmax()
        raise InputError(f"{path.name}: line {line} goes back in time to {made['time'][line]:%Y-%m-%d %H:%M} at "
                         f"chamber {made['chamber'][line]}; sort the lines by time")
    return good


def _utc(path, time, zone):
    try:
        told = ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise InputError(f"{path.name}: its description has CSR_TIMESTAMP_TZ '{zone}', which is no time zone; one such "
                         "as Etc/GMT+5 is expected") from None
    return time.dt.tz_localize(told, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC").dt.tz_localize(None)


def _first(path, values, wrong, what):
    """Refuse the first line that is wrong."""
    if wrong.any():
        line = wrong.idxmax()
        raise InputError(f"{path.name}: line {line} has {values.name} = {values[line]}; {what}")
