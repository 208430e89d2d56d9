"""Hourly counts of a cosmic-ray neutron probe, and the soil cores on which it is calibrated.

The layout is that of the public example of the program neptoon (Fürstensee, Germany, 2014–2020). The series has the
column `DateTime_utc` (``2014-01-09 11:00:00+00:00``) and, for each hour, `NeutronCount_Epithermal_Cum1h`,
`NeutronCount_Slow_Cum1h` (counts), `AirTemperature` (°C), `AirHumidity_Relative` (%), `AirPressure` (hPa),
`Precipitation` (mm), and `AirTemperature_Sensor2`, `AirHumidity_Relative_Sensor2` of a second sensor, which by its
readings stands in a box that is warmer and drier than the air. Empty is missing; there are no flags. The file does not
tell whether a time is the beginning or the end of its hour. The cores have a row for each sample:
`DateTime_utc` (``17.01.2014 12:00``), `Profile_ID`, `Distance_to_CRNS_m`, `Profile_Depth_cm`, `SoilMoisture_g_g`,
`DryBulkDensity_g_cm3`, `SoilOrganicCarbon_g_g`, `LatticeWater_g_g`. Either may be compressed (`.csv.gz`).
"""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import atomic
from phenolib.sources import tables

TIME = "DateTime_utc"
VARIABLES = {  # name: column, units, meaning, smallest and largest value that can be
    "neutrons": ("NeutronCount_Epithermal_Cum1h", "h-1", "epithermal neutron counts", 1, 1e6),
    "neutrons_slow": ("NeutronCount_Slow_Cum1h", "h-1", "thermal neutron counts", 1, 1e6),
    "ta": ("AirTemperature", "degC", "air temperature", -60, 60),
    "rh": ("AirHumidity_Relative", "%", "relative humidity", 0, 110),
    "pa": ("AirPressure", "hPa", "air pressure", 300, 1100),
    "precip": ("Precipitation", "mm", "precipitation of the hour", 0, 300),
    "ta_box": ("AirTemperature_Sensor2", "degC", "temperature at the second sensor", -60, 70),
    "rh_box": ("AirHumidity_Relative_Sensor2", "%", "relative humidity at the second sensor", 0, 110),
}
NEEDED = ("neutrons", "pa")
CORES = {  # name: column, factor to our unit, smallest and largest value in the file, unit there
    "distance": ("Distance_to_CRNS_m", 1, 0, 600, "m"),
    "depth": ("Profile_Depth_cm", 0.01, 0.1, 500, "cm"),
    "theta_g": ("SoilMoisture_g_g", 1, 0, 20, "g g-1"),
    "bulk_density": ("DryBulkDensity_g_cm3", 1, 0.02, 2.65, "g cm-3"),
    "organic_carbon": ("SoilOrganicCarbon_g_g", 1, 0, 0.6, "g g-1"),
    "lattice_water": ("LatticeWater_g_g", 1, 0, 0.5, "g g-1"),
}
HINTS = {"pa": "1 kPa is 10 hPa, 100 Pa are 1 hPa", "ta": "subtract 273.15 from Kelvin", "rh": "per cent is expected",
         "theta_g": "divide per cent by 100", "organic_carbon": "divide per cent by 100",
         "lattice_water": "divide per cent by 100", "bulk_density": "divide kg m⁻³ by 1000"}
FEW = 0.02  # share of values that may be impossible before the whole file is refused
HOUR = pd.Timedelta(hours=1)


def read(path):
    """Counts and weather of one probe on every hour from the first to the last.

    Single impossible values, a count of 0 among them, are missing and are counted in the attribute ``impossible`` of
    their variable; where more than 2 % are impossible the unit is wrong and the file is refused.

    path     CSV in the layout of the module, compressed or not; of the columns, time, epithermal counts and pressure
             are needed
    returns  (time,) Dataset of those of ``VARIABLES`` that the file holds, NaN where missing or without a row; time is
             UTC without a time zone. attrs: source, stamp, added (hours without a row)
    raises   InputError for a missing file or column, a wrong date or number, times that do not ascend or are no whole
             hours apart, a relative humidity given as a fraction, or values out of range
    """
    path = Path(path)
    table = tables.read(path)
    for name in (TIME, *(VARIABLES[n][0] for n in NEEDED)):
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, table.columns)}")
    time = _times(path, table[TIME], "%Y-%m-%d %H:%M:%S%z", "2014-01-09 11:00:00+00:00")
    step = time.diff().iloc[1:]
    wrong = step.index[(step <= pd.Timedelta(0)) | (step % HOUR != pd.Timedelta(0))]
    if len(wrong):
        what = "is not later than the line before" if step[wrong[0]] <= pd.Timedelta(0) else "is no whole hour later"
        raise InputError(f"{path.name}: line {wrong[0]}, {time[wrong[0]]}, {what}; ascending hours are expected")
    hours = pd.date_range(time.iloc[0], time.iloc[-1], freq="h", name="time", unit="ns")
    at, data = ((time - hours[0]) // HOUR).to_numpy(), {}
    for name, (column, units, text, low, high) in VARIABLES.items():
        if column not in table:
            continue
        values = tables.numbers(path, table[column])
        about = {"units": units, "long_name": text}
        impossible = (values < low) | (values > high)
        if name.startswith("rh") and 0 < values.max() <= 1:
            raise InputError(f"{path.name}: {column} is {values.max():g} at most; it looks like a fraction, per cent "
                             "is expected, multiply with 100")
        if impossible.mean() > FEW:
            first = impossible.idxmax()
            hint = HINTS.get(name.removesuffix("_box"), "leave it empty where it is missing")
            raise InputError(f"{path.name}: {impossible.mean():.0%} of {column} are out of range, the first in line "
                             f"{first} with {values[first]:g}; {low:g} to {high:g} {units} is expected, {hint}")
        if impossible.any():
            about["impossible"] = int(impossible.sum())
        whole = np.full(len(hours), np.nan)
        whole[at] = values.mask(impossible)
        data[name] = ("time", whole, about)
    return xr.Dataset(data, {"time": hours}, {
        "source": path.name, "added": len(hours) - len(time),
        "stamp": "not told by the file, taken as the end of the hour"})


def write(dataset, path):
    """Write a series in the layout that ``read`` reads, atomically and the same bytes for the same values.

    dataset  (time,) some of ``VARIABLES``, neutrons and pa among them
    path     the file; compressed where its name ends in .gz
    raises   InputError for a missing variable, or times that are not hourly
    """
    path = Path(path)
    lacking = [name for name in (*NEEDED, "time") if name not in dataset]
    if lacking:
        raise InputError(f"{path.name}: the series has no '{lacking[0]}'; neutrons and pa by time are needed")
    time = dataset.indexes["time"]
    if len(time) > 1 and not (time[1:] - time[:-1] == HOUR).all():
        raise InputError(f"{path.name}: the series is not hourly; give every hour, missing ones as NaN")
    columns = {TIME: time.strftime("%Y-%m-%d %H:%M:%S+00:00")}
    columns |= {column: dataset[name].values for name, (column, *_) in VARIABLES.items() if name in dataset}
    _write(pd.DataFrame(columns), path)


def read_cores(path):
    """The samples of soil cores around a probe.

    path     CSV in the layout of the module
    returns  DataFrame of time (UTC without a time zone), profile, distance [m], depth [m] (middle of the sample),
             theta_g [g g-1], bulk_density [g cm-3], organic_carbon and lattice_water [g g-1]; its units are in attrs
    raises   InputError for a missing file or column, a missing or wrong value, per cent, a depth of a profile twice, or
             a profile at two distances
    """
    path = Path(path)
    table = tables.read(path)
    for name in (TIME, "Profile_ID", *(column for column, *_ in CORES.values())):
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, table.columns)}")
    cores = pd.DataFrame({"time": _times(path, table[TIME], "%d.%m.%Y %H:%M", "17.01.2014 12:00"),
                          "profile": table["Profile_ID"].str.strip()})
    for name, (column, factor, low, high, units) in CORES.items():
        values = tables.numbers(path, table[column])
        wrong = values.index[~values.between(low, high)]
        if len(wrong):
            value, hint = values[wrong[0]], f", {HINTS[name]}" if name in HINTS else ""
            raise InputError(f"{path.name}: line {wrong[0]} has {column} = {value:g}; {low:g} to {high:g} {units} is "
                             f"expected{hint if value > high else ', leave the line out where it is missing'}")
        cores[name] = values * factor
    theta = cores["theta_g"] * cores["bulk_density"]
    if theta.max() > 1:
        raise InputError(f"{path.name}: line {theta.idxmax()} has {theta.max():.2f} m³ of water per m³ of soil; check "
                         "SoilMoisture_g_g and DryBulkDensity_g_cm3")
    twice = cores.index[cores.duplicated(["time", "profile", "depth"])]
    if len(twice):
        raise InputError(f"{path.name}: line {twice[0]} is the second of profile {cores['profile'][twice[0]]} at its "
                         "depth; one row per sample is expected")
    places = cores.groupby(["time", "profile"])["distance"].nunique()
    if (places > 1).any():
        raise InputError(f"{path.name}: profile {places.idxmax()[1]} has two distances from the probe; keep one")
    cores.attrs = {"source": path.name, "units": {"distance": "m", "depth": "m", **{
        name: units for name, (*_, units) in CORES.items() if name not in ("distance", "depth")}}}
    return cores.reset_index(drop=True)


def write_cores(cores, path):
    """Write samples in the layout that ``read_cores`` reads, atomically; InputError for a missing column."""
    path = Path(path)
    lacking = [name for name in ("time", "profile", *CORES) if name not in cores]
    if lacking:
        raise InputError(f"{path.name}: the cores have no '{lacking[0]}'{near(lacking[0], cores.columns)}")
    columns = {TIME: pd.DatetimeIndex(cores["time"]).strftime("%d.%m.%Y %H:%M"), "Profile_ID": cores["profile"].values}
    columns |= {column: (cores[name].to_numpy(float) / factor).round(9) for name, (column, factor, *_) in CORES.items()}
    _write(pd.DataFrame(columns), path)


def _times(path, column, form, example):
    """Times as UTC without a time zone; InputError naming the line of a wrong one."""
    found = pd.to_datetime(column.str.strip(), format=form, errors="coerce", utc=True)
    wrong = found.index[found.isna()]
    if len(wrong):
        raise InputError(f"{path.name}: line {wrong[0]} has {column.name} '{column[wrong[0]]}'; a time such as "
                         f"{example} is expected")
    return found.dt.tz_localize(None).astype("datetime64[ns]")


def _write(table, path):
    text = table.to_csv(index=False, lineterminator="\n").encode()
    with atomic(path) as part:
        part.write_bytes(gzip.compress(text, 6, mtime=0) if path.suffix == ".gz" else text)
