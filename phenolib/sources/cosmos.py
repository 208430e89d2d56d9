"""COSMOS-UK: daily and sub-daily weather, soil moisture of cosmic-ray neutrons, point probes, and the sites.

The published data (UK Centre for Ecology & Hydrology, Environmental Information Data Centre, 2013 on) have for each
site `COSMOS-UK_<SITE_ID>_HydroSoil_Daily_<from>-<to>.csv` and the same with `SH` (30 minutes), each with `…_Flags.csv`
beside it (columns end in _FLAG; M missing, U unchecked, I infilled, E estimated) and the 30-minute one with
`…_QC_Flags.csv` (columns end in _QCFLAG; 0 passed), and one `COSMOS-UK_SiteMetadata_<from>-<to>.csv`. −9999 is missing.
The CSV of the portal has lines of metadata (`timestamp`, `site-id`, `site-name`, …), then `parameter-id`,
`parameter-name`, `parameter-units` with lower-case names and flags in columns `<name>_flag`.

Soil moisture is per cent in these files and is made a fraction once, here; daily radiation in MJ m⁻² d⁻¹ is made W m⁻².
"""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import atomic
from phenolib.sources import tables
from phenolib.sources.field_sensors import percent, read_lines, steps, table, whole

COLUMNS = {  # column: name, units, meaning
    "COSMOS_VWC": ("theta", "m3 m-3", "volumetric soil water content from cosmic-ray neutrons"),
    "CTS_MOD_CORR": ("neutrons", "h-1", "corrected neutron counts"),
    "D86_75M": ("d86", "cm", "depth above which 86 % of the neutrons were, 75 m away"),
    "PA": ("pa", "hPa", "air pressure"), "TA": ("ta", "degC", "air temperature"),
    "Q": ("q", "g m-3", "absolute humidity"), "RH": ("rh", "%", "relative humidity"),
    "WS": ("ws", "m s-1", "wind speed"), "WD": ("wd", "degrees", "wind direction"),
    "UX": ("ux", "m s-1", "wind, x"), "UY": ("uy", "m s-1", "wind, y"), "UZ": ("uz", "m s-1", "wind, z"),
    "PRECIP": ("precip", "mm", "precipitation of the interval, weighing gauge"),
    "PRECIP_TIPPING": ("precip_tipping", "mm", "precipitation of the interval, tipping bucket"),
    "PRECIP_RAINE": ("precip_raine", "mm", "precipitation of the interval, rain[e] gauge"),
    "LWIN": ("lw_in", "W m-2", "incoming longwave radiation"),
    "LWOUT": ("lw_out", "W m-2", "outgoing longwave radiation"),
    "SWIN": ("sw_in", "W m-2", "incoming shortwave radiation"),
    "SWOUT": ("sw_out", "W m-2", "outgoing shortwave radiation"), "RN": ("netrad", "W m-2", "net radiation"),
    "G1": ("g1", "W m-2", "soil heat flux 1"), "G2": ("g2", "W m-2", "soil heat flux 2"),
    "PE": ("pe", "mm", "potential evapotranspiration of the interval"), "SWE": ("swe", "mm", "snow water equivalent"),
    "SNOW": ("snow", "1", "whether there is snow"), "SNOW_DEPTH": ("snow_depth", "mm", "depth of snow"),
    "ALBEDO": ("albedo", "1", "albedo"), "GCC": ("gcc", "1", "greenness of the camera, highest of the day, unchecked"),
    "TA_MIN": ("ta_min", "degC", "lowest air temperature"), "TA_MAX": ("ta_max", "degC", "highest air temperature"),
}
RADIATION = ("LWIN", "LWOUT", "SWIN", "SWOUT", "RN")
MJ = 1e6 / 86400  # W m⁻² of 1 MJ m⁻² d⁻¹
PROBE = re.compile(r"TDT(\d+)_(VWC|TSOIL)")
PROFILE = re.compile(r"STP_TSOIL(\d+)")
PROBE_DEPTHS = {1: .1, 2: .1, 3: .05, 4: .05, 5: .15, 6: .15, 7: .25, 8: .25, 9: .5, 10: .5}  # m, by number
USUAL = {  # column: smallest and largest median that can be, and what it looks like outside
    "PA": (850, 1085, "hPa"), "TA": (-40, 45, "°C"), "Q": (0.5, 40, "g m⁻³"), "RH": (5, 101, "per cent")}
LEAST_MJ = 60.0  # a daily radiation above it is in W m⁻²
METADATA = {  # column: name
    "SITE_ID": "site", "SITE_NAME": "name", "START_DATE": "start", "END_DATE": "end", "LATITUDE": "lat",
    "LONGITUDE": "lon", "ALTITUDE": "elevation", "SOIL_TYPE": "soil_type", "LAND_COVER": "land_cover",
    "BULK_DENSITY": "bulk_density", "SOIL_ORGANIC_CARBON": "soil_organic_carbon", "LATTICE_WATER": "lattice_water"}
TEXT = ("site", "name", "start", "end", "soil_type", "land_cover")
OTHER_NAMES = {"LAT": "LATITUDE", "LONG": "LONGITUDE", "LON": "LONGITUDE", "LATTICE_BOUND_WATER": "LATTICE_WATER",
               "LATTICE_AND_BOUND_WATER": "LATTICE_WATER"}
NAME = re.compile(r"COSMOS-UK_([A-Za-z0-9]+)_HydroSoil_")


def read(path, *, without=("E", "I")):
    """Readings of one site, daily or sub-daily.

    path     CSV in one of the layouts of the module; flags are read from the files beside it or its own columns
    without  data flags whose values are missing here: E estimated, I infilled (project default); () keeps them, as
             may be wanted for weather. Values with M are always missing, and those that failed a check (QC flag not 0)
             unless one was estimated or infilled in their place
    returns  (time) Dataset, a row for every step: theta [m3 m-3], ta [degC], pa [hPa], q [g m-3], precip [mm],
             radiation [W m-2] and the other columns of the file by the names of ``COLUMNS``; theta_tdt [m3 m-3] and
             ts_tdt [degC] (time, probe) with coordinate probe_depth [m], ts_profile [degC] (time, depth). NaN where
             missing. attrs: site, source, resolution ("daily", "hourly" or "30 minutes"), stamp, remarks; each
             variable has attrs units, long_name and retrieved (share of the rows with a value)
    raises   InputError for an unknown layout, a missing column, a value or time that cannot be read, a time that is
             there twice or goes back, more than one resolution, another site in between, or values in another unit

    The depths of the point probes are those of the network by number, 1 and 2 at 0.1 m, 3 and 4 at 0.05 m, 5 and 6 at
    0.15 m, 7 and 8 at 0.25 m, 9 and 10 at 0.5 m. A time is the end of its interval, for daily values the start of the
    day (the documentation is not clear there); both are UTC.
    """
    path, remarks = Path(path), []
    wrong = [w for w in without if w not in ("M", "U", "I", "E")]
    if wrong:
        raise InputError(f"without '{wrong[0]}': the data flags are M, U, I and E")
    values, flags, site, units = _portal(path) if _is_portal(path) else _published(path)
    lacks = next((n for n in ("COSMOS_VWC", "TA", "TDT1_VWC") if n in values), None)
    if lacks is None:
        raise InputError(f"{path.name}: has none of COSMOS_VWC, TA and TDT1_VWC; a file of COSMOS-UK is expected")
    step = steps(path, values["time"])
    names = {pd.Timedelta(days=1): "daily", pd.Timedelta(hours=1): "hourly", pd.Timedelta(minutes=30): "30 minutes"}
    if step not in names:
        raise InputError(f"{path.name}: its rows are {step / pd.Timedelta(minutes=1):g} minutes apart; 30 minutes, "
                         "1 hour or 1 day is expected")
    _flagged(path, values, flags, without, remarks)
    found = {}
    for column in values.columns.drop("time"):
        found[column] = _checked(path, column, values[column], units.get(column, ""), names[step], remarks)
    if "SNOW" in found and units.get("SNOW"):  # a depth on the portal, yes or no in the published files
        units = {"snow": units["SNOW"]}
    made, added = whole(_dataset(found, pd.DatetimeIndex(values["time"], name="time")), step)
    if added:
        remarks.append(f"{path.name}: {added} of {made.sizes['time']} rows between the first and the last are not in "
                       "the file and are missing")
    for name in made.data_vars:
        made[name].attrs["units"] = units.get(name, made[name].attrs["units"])
        made[name].attrs["retrieved"] = float(made[name].notnull().mean())
    stamp = "start of the day" if names[step] == "daily" else "end of the interval"
    return made.assign_attrs(site=site, source=path.name, resolution=names[step], stamp=stamp, remarks=remarks)


def write(dataset, path):
    """Write readings as the published files have them, the same bytes for the same values; −9999 where missing.

    Soil moisture is written in per cent, daily radiation in MJ m⁻² d⁻¹.

    dataset  (time) as ``read`` gives it, any of its variables; attrs site
    path     the file, named like COSMOS-UK_<SITE_ID>_HydroSoil_Daily_2013-2023.csv (or _SH_)
    raises   InputError where time or the site is missing, soil moisture is no fraction, or no variable is known
    """
    path = Path(path)
    site = dataset.attrs.get("site") or (m[1] if (m := NAME.match(path.name)) else None)
    if site is None or "time" not in dataset.dims:
        raise InputError(f"{path.name}: the readings have no {'time' if site else 'site'}; (time) and attrs['site'] "
                         "are needed")
    time = dataset.indexes["time"]
    daily = len(time) > 1 and time[1] - time[0] == pd.Timedelta(days=1)
    columns = {}
    for old, (new, *_) in COLUMNS.items():
        if new in dataset:
            columns[old] = dataset[new].values.astype(float)
            if old in RADIATION and daily:
                columns[old] = columns[old] / MJ
    for new, last in (("theta_tdt", "VWC"), ("ts_tdt", "TSOIL")):
        if new in dataset:
            for probe in dataset["probe"].values:
                columns[f"TDT{int(probe)}_{last}"] = dataset[new].sel(probe=probe).values.astype(float)
    if "ts_profile" in dataset:
        for depth in dataset["depth"].values:
            columns[f"STP_TSOIL{100 * depth:.0f}"] = dataset["ts_profile"].sel(depth=depth).values.astype(float)
    if not columns:
        raise InputError(f"{path.name}: the readings have no variable that is known, such as theta or ta")
    for old in columns:
        if old.endswith("_VWC"):
            if np.nanmax(columns[old], initial=0) > 1:
                raise InputError(f"{path.name}: {old} has {np.nanmax(columns[old]):g}; a fraction is expected, divide "
                                 "per cent by 100")
            columns[old] = columns[old] * 100
    frame = pd.DataFrame(columns).round(4) + 0.0
    frame.insert(0, "DATE_TIME", time.strftime("%Y-%m-%d %H:%M:%S"))
    frame.insert(1, "SITE_ID", site)
    with atomic(path) as part:
        part.write_bytes(frame.to_csv(index=False, lineterminator="\n", na_rep="-9999").encode())


def metadata(path):
    """The sites of the network.

    path     COSMOS-UK_SiteMetadata_….csv
    returns  DataFrame, a row per site: site, and what there is of name, start, end (datetime64, NaT while it goes on),
             lat, lon [degrees], elevation [m], soil_type, land_cover, bulk_density [g cm-3], soil_organic_carbon,
             lattice_water [g g-1]; NaN where missing. attrs: source, remarks (the columns that are not there)
    raises   InputError for a missing SITE_ID, a site twice, a place that is none, carbon or water above 1 (per cent)
    """
    path = Path(path)
    given = tables.read(path).rename(columns=OTHER_NAMES)
    if "SITE_ID" not in given:
        raise InputError(f"{path.name}: the column 'SITE_ID' is missing{near('SITE_ID', given.columns)}")
    made = pd.DataFrame({new: given[old].str.strip() if new in TEXT else tables.numbers(path, given[old])
                         for old, new in METADATA.items() if old in given})
    for name in ("start", "end"):
        if name in made:
            missing = made[name].isin(tables.MISSING)
            dates = tables.dates(path, made.loc[~missing, name].map(_iso)) if (~missing).any() else None
            made[name] = (pd.Series(pd.NaT, made.index) if dates is None else dates.reindex(made.index)).astype(
                "datetime64[ns]")
    twice = made.index[made["site"].duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: line {twice[0]} is the second of site '{made['site'][twice[0]]}'; remove one")
    for name, low, high, what in (("lat", -90, 90, "degrees"), ("lon", -180, 180, "degrees"),
                                  ("bulk_density", 0.02, 2.7, "g cm⁻³"),
                                  ("soil_organic_carbon", 0, 1, "g g⁻¹, divide per cent by 100"),
                                  ("lattice_water", 0, 1, "g g⁻¹, divide per cent by 100")):
        wrong = made[name].notna() & ~made[name].between(low, high) if name in made else pd.Series(dtype=bool)
        if wrong.any():
            line = wrong.idxmax()
            raise InputError(f"{path.name}: line {line} has {name} = {made[name][line]:g}; {low:g} to {high:g} {what} "
                             "is expected")
    lacks = [new for new in METADATA.values() if new not in made]
    made = made.reset_index(drop=True)
    made.attrs = {"source": path.name, "remarks": [f"{path.name}: tells no {', '.join(lacks)}"] if lacks else []}
    return made


def write_metadata(frame, path):
    """Write sites (the columns of ``metadata``) as it reads them. raises InputError if there is no column site"""
    if "site" not in frame:
        raise InputError(f"{Path(path).name}: the table has no column 'site'{near('site', frame.columns)}")
    made = frame[[n for n in METADATA.values() if n in frame]].copy()
    for name in ("start", "end"):
        if name in made:
            made[name] = pd.to_datetime(made[name]).dt.strftime("%Y-%m-%d")
    made = made.rename(columns={new: old for old, new in METADATA.items()})
    with atomic(path) as part:
        part.write_bytes(made.to_csv(index=False, lineterminator="\n", na_rep="-9999").encode())


# ---- the two layouts

def _is_portal(path):
    return any(line.startswith(("parameter-id", '"parameter-id"')) for line in read_lines(path)[:30])


def _wanted(name):
    return name in COLUMNS or PROBE.fullmatch(name) or PROFILE.fullmatch(name)


def _published(path):
    """Values, flags, site and units of a published file."""
    values = table(path, keep=_wanted, text=("DATE_TIME", "SITE_ID"))
    for name in ("DATE_TIME", "SITE_ID"):
        if name not in values:
            raise InputError(f"{path.name}: the column '{name}' is missing; DATE_TIME, SITE_ID, … of COSMOS-UK are "
                             "expected, or the CSV of its portal")
    other = values.index[values["SITE_ID"] != values["SITE_ID"].iloc[0]]
    if len(other):
        raise InputError(f"{path.name}: line {other[0]} is of site '{values['SITE_ID'][other[0]]}', the first is of "
                         f"'{values['SITE_ID'].iloc[0]}'; give a file of one site")
    site = values["SITE_ID"].iloc[0]
    values.insert(0, "time", _times(path, values.pop("DATE_TIME")))
    flags = {}
    for beside in sorted(path.parent.glob("*_Flags.csv")):  # some have two dashes between the years
        if re.sub("_(QC_)?Flags$", "", beside.stem).replace("--", "-") == path.stem:
            flags |= _flags_beside(path, beside, values)
    return values.drop(columns="SITE_ID"), flags, site, {}


def _flags_beside(path, beside, values):
    """{(column, kind): Series of flags}; kind is "qc" or "data"."""
    quality = "_QC_" in beside.name
    names = [name.strip().strip('"') for name in read_lines(beside)[0].split(",")]
    wanted = {name: re.sub(r"_?(QC)?_?FLAG$", "", name) for name in names}
    wanted = {name: column for name, column in wanted.items() if column in values or name == "DATE_TIME"}
    given = table(beside, keep=lambda n: n in wanted, text=tuple(wanted))
    if "DATE_TIME" not in given:
        raise InputError(f"{beside.name}: the column 'DATE_TIME' is missing; the flags of {path.name} are expected")
    time = _times(beside, given["DATE_TIME"])
    if time.duplicated().any() or not values["time"].isin(time).all():
        raise InputError(f"{beside.name}: has not the times of {path.name}, each once; give the flags of the same file")
    given = given.set_axis(pd.DatetimeIndex(time)).reindex(values["time"]).set_axis(values.index)
    return {(column, "qc" if quality else "data"): given[name] for name, column in wanted.items() if column in values}


def _portal(path):
    """Values, flags, site and units of a file of the portal."""
    lines = read_lines(path)
    heads = {}
    for number, line in enumerate(lines[:30], 1):
        cells = next(csv.reader([line]))
        heads.setdefault(cells[0].strip(), (number, cells))
    if "site-id" not in heads or len(heads["site-id"][1]) < 2:
        raise InputError(f"{path.name}: the line 'site-id' is missing; give the CSV of the portal as it was downloaded")
    first, ids = heads["parameter-id"]
    below = [heads[n][0] for n in ("parameter-name", "parameter-units") if n in heads]
    names = [n.strip() for n in ids[1:]]
    flagged = [n for n in names if n.endswith("_flag")]
    values = table(path, first=first, units=max(below, default=first) - first, text=("parameter-id", *flagged),
                   keep=lambda n: bool(_wanted(n.upper())))
    units = {}
    if "parameter-units" in heads:
        units = {n.upper(): u.strip() for n, u in zip(names, heads["parameter-units"][1][1:])}
    values.insert(0, "time", _times(path, values.pop("parameter-id")))
    flags = {(n.removesuffix("_flag").upper(), "data"): values.pop(n) for n in flagged}
    values.columns = ["time", *values.columns[1:].str.upper()]
    return values, flags, heads["site-id"][1][1].strip(), units


def _times(path, column):
    found = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce").dt.tz_localize(None)
    if found.isna().any():
        line = found.isna().idxmax()
        raise InputError(f"{path.name}: line {line} has the time '{column[line]}'; one such as 2018-07-31 12:30:00 is "
                         "expected")
    return found.astype("datetime64[ns]").rename("time")


def _iso(date):
    """31/07/2018 as 2018-07-31; others as they are."""
    return re.sub(r"^(\d\d)/(\d\d)/(\d{4})$", r"\3-\2-\1", date)


# ---- values

def _flagged(path, values, flags, without, remarks):
    """Make values missing that failed a check or have a flag that is not wanted; tell how many."""
    for (column, kind), flag in flags.items():
        if column not in values:
            continue
        flag = flag.fillna("")
        if kind == "qc":
            wrong = ~flag.isin(("", "0", "0.0", "-9999", "NA"))
            if (column, "data") in flags:  # what failed is not in the file any more where another value is
                wrong &= ~flags[column, "data"].fillna("").isin(("E", "I"))
            what = "failed a check of quality"
        else:
            wrong = flag.isin([f for f in flag.unique() if set(f) & {"M", *without}])
            what = f"have a flag of M, {', '.join(without)}" if without else "have the flag M"
        gone = wrong & values[column].notna()
        if gone.any():
            remarks.append(f"{path.name}: {int(gone.sum())} of {int(values[column].notna().sum())} values of {column} "
                           f"{what} and are missing")
        values[column] = values[column].mask(wrong)


def _checked(path, column, values, unit, resolution, remarks):
    """Values in the unit that is given here; other units are refused."""
    if column.endswith("_VWC"):
        if unit and unit.lower() not in ("%", "percent", "per cent"):
            raise InputError(f"{path.name}: {column} is in '{unit}'; per cent is expected")
        return percent(path, values, remarks)
    middle = values.median()
    if column in USUAL and not np.isnan(middle) and not USUAL[column][0] <= middle <= USUAL[column][1]:
        raise InputError(f"{path.name}: column '{column}' has a median of {middle:g}; it is in another unit, "
                         f"{USUAL[column][2]} is expected")
    if column in RADIATION and resolution == "daily":
        if "W" in unit and "M" not in unit:
            return values
        if values.max() > LEAST_MJ:
            raise InputError(f"{path.name}: column '{column}' has {values.max():g} on a day; it looks like W m⁻², "
                             "MJ m⁻² per day is expected")
        return values * MJ
    return values


def _dataset(found, time):
    data = {new: ("time", found[old].to_numpy(), {"units": unit, "long_name": text})
            for old, (new, unit, text) in COLUMNS.items() if old in found}
    coords = {"time": time}
    probes = sorted({int(m[1]) for name in found if (m := PROBE.fullmatch(name))})
    for new, last, unit, text in (("theta_tdt", "VWC", "m3 m-3", "volumetric soil water content of point probes"),
                                  ("ts_tdt", "TSOIL", "degC", "soil temperature at point probes")):
        if any(f"TDT{p}_{last}" in found for p in probes):
            empty = pd.Series(np.nan, index=range(len(time)))
            block = np.stack([found.get(f"TDT{p}_{last}", empty).to_numpy() for p in probes], axis=1)
            data[new] = (("time", "probe"), block, {"units": unit, "long_name": text})
            coords["probe"] = probes
            coords["probe_depth"] = ("probe", [PROBE_DEPTHS.get(p, np.nan) for p in probes], {"units": "m"})
    depths = sorted(int(m[1]) for name in found if (m := PROFILE.fullmatch(name)))
    if depths:
        block = np.stack([found[f"STP_TSOIL{d}"].to_numpy() for d in depths], axis=1)
        data["ts_profile"] = (("time", "depth"), block, {"units": "degC", "long_name": "soil temperature of a profile"})
        coords["depth"] = ("depth", [d / 100 for d in depths], {"units": "m", "positive": "down"})
    return xr.Dataset(data, coords)
