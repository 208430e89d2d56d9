"""Eddy-covariance towers: half-hourly exchange of CO2 and heat, with weather and soil.

Four layouts are read, told apart by their first lines:

    FLUXNET2015, ICOS  `FLX_<site>_FLUXNET2015_FULLSET_HH_….csv`, `ICOSETC_<site>_FLUXNET_HH_L2.csv`:
                       TIMESTAMP_START, TIMESTAMP_END (YYYYMMDDHHMM), NEE_VUT_REF, TA_F, … with quality flags in
                       columns …_QC (0 measured, 1 to 3 filled)
    AmeriFlux BASE     `AMF_<site>_BASE_HH_….csv`: two lines with #, then the same times, FC, NEE_PI, TA, SWC_1_1_1,
                       … without flags
    text with units    values between tabs, a second line of units, `Year DoY Hour NEE LE H Rg Tair Tsoil rH VPD
                       Ustar` (the example of R package REddyProc, Wutzler et al. 2018, doi:10.5194/bg-15-5015-2018)

−9999 is missing. Soil water is per cent and pressure kPa in these files; they are made m³ m⁻³ and hPa once, here.
Units of FLUXNET2015 are from memory of its documentation (Pastorello et al. 2020, doi:10.1038/s41597-020-0534-3).
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import atomic
from phenolib.sources.field_sensors import percent, read_lines, steps, table, whole

VARIABLES = {  # name: units, meaning, columns of FLUXNET2015 (the first that is there), of AmeriFlux, of the text
    "nee": ("umol m-2 s-1", "net ecosystem exchange of CO2, positive to the atmosphere",
            ("NEE_VUT_REF", "NEE_CUT_REF"), ("NEE_PI", "NEE", "FC"), "NEE"),
    "nee_sd": ("umol m-2 s-1", "random uncertainty of nee", ("NEE_VUT_REF_RANDUNC", "NEE_CUT_REF_RANDUNC"), (), ""),
    "reco_nt": ("umol m-2 s-1", "ecosystem respiration, night-time method",
                ("RECO_NT_VUT_REF", "RECO_NT_CUT_REF"), (), ""),
    "gpp_nt": ("umol m-2 s-1", "gross primary production, night-time method",
               ("GPP_NT_VUT_REF", "GPP_NT_CUT_REF"), (), ""),
    "reco_dt": ("umol m-2 s-1", "ecosystem respiration, daytime method",
                ("RECO_DT_VUT_REF", "RECO_DT_CUT_REF"), (), ""),
    "gpp_dt": ("umol m-2 s-1", "gross primary production, daytime method",
               ("GPP_DT_VUT_REF", "GPP_DT_CUT_REF"), (), ""),
    "ta": ("degC", "air temperature", ("TA_F", "TA_F_MDS"), ("TA",), "Tair"),
    "ts": ("degC", "soil temperature of the uppermost sensor", ("TS_F_MDS_1",), ("TS",), "Tsoil"),
    "swc": ("m3 m-3", "volumetric soil water of the uppermost sensor", ("SWC_F_MDS_1",), ("SWC",), ""),
    "sw_in": ("W m-2", "incoming shortwave radiation", ("SW_IN_F", "SW_IN_F_MDS"), ("SW_IN",), "Rg"),
    "vpd": ("hPa", "vapour pressure deficit", ("VPD_F", "VPD_F_MDS"), ("VPD", "VPD_PI"), "VPD"),
    "rh": ("%", "relative humidity", ("RH",), ("RH",), "rH"),
    "pa": ("hPa", "air pressure", ("PA_F", "PA"), ("PA",), ""),
    "precip": ("mm", "precipitation of the interval", ("P_F", "P"), ("P",), ""),
    "ws": ("m s-1", "wind speed", ("WS_F", "WS"), ("WS",), ""),
    "ustar": ("m s-1", "friction velocity", ("USTAR",), ("USTAR",), "Ustar"),
    "netrad": ("W m-2", "net radiation", ("NETRAD",), ("NETRAD",), ""),
    "le": ("W m-2", "latent heat", ("LE_F_MDS",), ("LE",), "LE"),
    "h": ("W m-2", "sensible heat", ("H_F_MDS",), ("H",), "H"),
    "night": ("1", "1 by night", ("NIGHT",), (), ""),
}
LAYERS = re.compile(r"(TS|SWC)_F_MDS_(\d+)")
PLACE = re.compile(r"([A-Z][A-Z_]*?)_(\d+)_(\d+)_(\d+)")  # AmeriFlux: horizontal, vertical place, replicate
SITE = re.compile(r"(?:FLX|ICOSETC|AMF)_([A-Z]{2}-[A-Za-z0-9]{3})_")
FORMATS = ("fluxnet", "ameriflux", "text")
TEXT_UNITS = {"umolm-2s-1": "umol m-2 s-1", "wm-2": "W m-2", "degc": "degC", "%": "%", "hpa": "hPa", "ms-1": "m s-1"}
USUAL = {  # smallest and largest median, as in the file
    "ta": (-45, 45, "°C"), "ts": (-40, 45, "°C"), "vpd": (0, 60, "hPa"), "rh": (1, 101, "per cent"),
    "pa": (50, 108, "kPa")}


def read(path, *, quality=0, utc_offset=None):
    """Measurements of one tower.

    path        file in one of the layouts of the module
    quality     largest quality flag whose values are kept, 0 measured (project default) to 3; or a dict by name, such
                as {"ta": 3}, 0 for the others. A value without a flag in a file with flags for it is missing
    utc_offset  hours by which the clock of the file (local standard time) is ahead of UTC; None leaves its times
    returns     (time) Dataset, a row for every step, the time the end of its interval: what there is of the names of
                ``VARIABLES``, nee [umol m-2 s-1, positive to the atmosphere], ta, ts [degC], swc [m3 m-3], sw_in
                [W m-2], vpd, pa [hPa], ustar [m s-1] …; ts_2, swc_2 and so on for deeper sensors; <name>_qc (int8, −1
                without) where there are flags. NaN where missing. attrs: site (or ""), source, format, stamp, clock,
                utc_offset (hours, 0 unless given), columns (which were read), remarks; each variable has units,
                long_name, retrieved (share of the rows with a value)
    raises      InputError for an unknown layout, a missing column, a value or time that cannot be read, a time that is
                there twice or goes back, more than one resolution, or values in another unit (fractions for per cent
                of soil water, kelvin, hPa for kPa)
    """
    path, remarks = Path(path), []
    limits = {"": quality} if not isinstance(quality, dict) else {"": 0, **quality}
    for name, limit in limits.items():
        if limit not in (0, 1, 2, 3) or (name and _base(name) not in VARIABLES):
            raise InputError(f"quality {name} {limit}: 0 to 3 for a name such as nee or ta is expected")
    if utc_offset is not None and not -12 <= utc_offset <= 14:
        raise InputError(f"utc_offset {utc_offset:g}: -12 to 14 hours are expected")
    kind = layout(path)
    time, given, columns, flags = {"fluxnet": _fluxnet, "ameriflux": _ameriflux, "text": _text}[kind](path, remarks)
    if "nee" not in columns:
        raise InputError(f"{path.name}: no column of net exchange of CO2 is there, such as NEE_VUT_REF, FC or NEE")
    step = steps(path, time)
    data = {}
    for name, column in columns.items():
        values, about = _converted(path, name, given[column], kind, remarks), VARIABLES[_base(name)]
        if name in flags:
            flag = given[flags[name]]
            wrong = ~(flag <= limits.get(name, limits.get(_base(name), limits[""])))
            there = int(values.notna().sum())
            values = values.mask(wrong)
            if there > values.notna().sum():
                remarks.append(f"{path.name}: {there - int(values.notna().sum())} of {there} values of {column} are "
                               "filled or without flag and are missing")
            data[f"{name}_qc"] = ("time", flag.fillna(-1).to_numpy(float), {"long_name": f"quality flag of {name}"})
        data[name] = ("time", values.to_numpy(float), {"units": about[0], "long_name": _long(name, about[1])})
    ends = pd.DatetimeIndex(time - pd.Timedelta(hours=utc_offset or 0), name="time")
    made, added = whole(xr.Dataset(data, {"time": ends}), step)
    if added:
        remarks.append(f"{path.name}: {added} of {made.sizes['time']} rows between the first and the last are not in "
                       "the file and are missing")
    for name in made.data_vars:
        if name.endswith("_qc"):
            made[name] = made[name].fillna(-1).astype(np.int8).assign_attrs(made[name].attrs)
        else:
            made[name].attrs["retrieved"] = float(made[name].notnull().mean())
    if not flags:
        remarks.append(f"{path.name}: has no quality flags; all values are taken as measured")
    clock = "local standard time of the file" if utc_offset is None else f"UTC, the file is {utc_offset:g} h ahead"
    found = SITE.search(path.name)
    return made.assign_attrs(site=found[1] if found else "", source=path.name, format=kind, stamp="end of the interval",
                             clock=clock, utc_offset=utc_offset or 0, columns=columns, remarks=remarks)


def layout(path):
    """Which layout a file has: "fluxnet", "ameriflux" or "text". raises InputError if it is none of them"""
    lines = read_lines(path)[:4]
    if lines[0].startswith("#"):
        head = next((line for line in lines if not line.startswith("#")), "")
        if "TIMESTAMP_START" in head:
            return "ameriflux"
    elif lines[0].startswith(("TIMESTAMP_START,", '"TIMESTAMP_START"')):
        return "fluxnet"
    elif {"Year", "DoY", "Hour"} <= set(lines[0].split("\t")):
        return "text"
    raise InputError(f"{Path(path).name}: is none of the known layouts, FLUXNET2015 or ICOS half-hourly "
                     "(TIMESTAMP_START first), AmeriFlux BASE (# lines first) and tab-separated text (Year, DoY, Hour)")


def write(dataset, path):
    """Write measurements as a FLUXNET2015 half-hourly file, the same bytes for the same values; −9999 where missing.

    Soil water is written in per cent, pressure in kPa, times in local standard time (attrs utc_offset). A variable
    without <name>_qc gets flag 0 where it has a value.

    dataset  (time) as ``read`` gives it, with nee
    path     the file, named like FLX_<site>_FLUXNET2015_FULLSET_HH_2014-2016_1-4.csv
    raises   InputError where time or nee is missing, the steps are not even, or soil water is no fraction
    """
    path = Path(path)
    if "nee" not in dataset or "time" not in dataset.dims or dataset.sizes["time"] < 2:
        raise InputError(f"{path.name}: the measurements have no 'nee' by time, two times or more; they are needed")
    time = dataset.indexes["time"] + pd.Timedelta(hours=dataset.attrs.get("utc_offset", 0))
    step = steps(path, pd.Series(time, index=range(1, len(time) + 1)))
    columns = {"TIMESTAMP_START": (time - step).strftime("%Y%m%d%H%M"), "TIMESTAMP_END": time.strftime("%Y%m%d%H%M")}
    for name in [*VARIABLES, *(n for n in dataset.data_vars if re.fullmatch(r"(ts|swc)_\d+", n))]:
        if name not in dataset:
            continue
        base, values = _base(name), dataset[name].values.astype(float)
        column = VARIABLES[base][2][0] if name == base else f"{base.upper()}_F_MDS_{name.split('_')[1]}"
        if base == "swc":
            if np.nanmax(values, initial=0) > 1:
                raise InputError(f"{path.name}: {name} has {np.nanmax(values):g}; a fraction is expected, divide per "
                                 "cent by 100")
            values = values * 100
        columns[column] = (values / 10 if base == "pa" else values).round(4) + 0.0
        if base in ("nee", "ta", "ts", "swc", "sw_in", "vpd", "pa", "precip", "ws", "le", "h"):
            flag = dataset[f"{name}_qc"].values if f"{name}_qc" in dataset else np.where(np.isnan(values), -1, 0)
            flag = np.nan_to_num(np.asarray(flag, float), nan=-1).astype(int)  # −9999 has no place in a byte
            columns[f"{column}_QC"] = np.where(flag < 0, -9999, flag)
    with atomic(path) as part:
        part.write_bytes(pd.DataFrame(columns).to_csv(index=False, lineterminator="\n", na_rep="-9999").encode())


# ---- the layouts: times, values, {name: column}, {name: column of its flag}

def _fluxnet(path, remarks):
    wanted = {c for about in VARIABLES.values() for c in about[2]}

    def keep(name):
        bare = name.removesuffix("_QC")
        return bare in wanted or bool(LAYERS.fullmatch(bare))

    given = table(path, keep=keep, text=("TIMESTAMP_START", "TIMESTAMP_END"))
    time = _stamps(path, given)
    columns = {n: c for n, about in VARIABLES.items() if (c := next((c for c in about[2] if c in given), None))}
    for column in given:
        if (found := LAYERS.fullmatch(column)) and int(found[2]) > 1:
            columns[f"{found[1].lower()}_{int(found[2])}"] = column
    if columns.get("nee") == "NEE_CUT_REF":
        remarks.append(f"{path.name}: has no NEE_VUT_REF; NEE_CUT_REF (one threshold of u* for all years) is read")
    return time, given, columns, {n: f"{c}_QC" for n, c in columns.items() if f"{c}_QC" in given}


def _ameriflux(path, remarks):
    lines = read_lines(path)
    first = 1 + next(k for k, line in enumerate(lines) if not line.startswith("#"))
    known = {c for about in VARIABLES.values() for c in about[3]}

    def bare(name):
        found = PLACE.fullmatch(name)
        return (found[1], int(found[2]), int(found[3]), int(found[4])) if found else (name, 0, 0, 0)

    given = table(path, first=first, keep=lambda n: bare(n)[0] in known, text=("TIMESTAMP_START", "TIMESTAMP_END"))
    time = _stamps(path, given)
    places = {}
    for column in given.columns.drop(["TIMESTAMP_START", "TIMESTAMP_END"], errors="ignore"):
        places.setdefault(bare(column)[0], []).append((bare(column)[1:], column))
    columns = {}
    for name, about in VARIABLES.items():
        there = [c for c in about[3] if c in places and any(given[o].notna().any() for _, o in places[c])]
        there = there or [c for c in about[3] if c in places]
        if there:
            chosen = sorted(places[there[0]])
            columns[name] = chosen[0][1]
            if name in ("ts", "swc"):
                columns |= {f"{name}_{k}": column for k, (_, column) in enumerate(chosen[1:], 2)}
    if columns.get("nee", "").startswith("FC"):
        remarks.append(f"{path.name}: has no NEE; the flux {columns['nee']} is read, without what is stored in the air")
    return time, given, columns, {}


def _text(path, remarks):
    lines = read_lines(path)
    names, units = (line.split("\t") for line in lines[:2])
    known = {about[4]: name for name, about in VARIABLES.items() if about[4]}
    given = table(path, separator="\t", units=1, keep=lambda n: n in known or n in ("Year", "DoY", "Hour"))
    columns = {known[n]: n for n in names if n in known}
    for name, column in columns.items():
        unit = re.sub(r"[\s_*]", "", units[names.index(column)]).lower()
        if TEXT_UNITS.get(unit) != VARIABLES[name][0]:
            raise InputError(f"{path.name}: column '{column}' is in '{units[names.index(column)]}'; "
                             f"{VARIABLES[name][0]} is expected")
    wrong = ~(given["Year"].between(1900, 2200) & given["DoY"].between(1, 367) & given["Hour"].between(0, 24))
    if wrong.any():
        line = wrong.idxmax()
        raise InputError(f"{path.name}: line {line} has Year {given['Year'][line]:g}, DoY {given['DoY'][line]:g}, Hour "
                         f"{given['Hour'][line]:g}; a day of the year and an hour of 0 to 24 are expected")
    minutes = ((given["DoY"] - 1) * 1440 + given["Hour"] * 60).round()
    time = pd.to_datetime(given["Year"].astype(int).astype(str), format="%Y") + pd.to_timedelta(minutes, unit="min")
    return time.astype("datetime64[ns]"), given, columns, {}


def _stamps(path, given):
    """The end of each row."""
    found = {}
    for name in ("TIMESTAMP_START", "TIMESTAMP_END"):
        if name not in given:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, given.columns)}")
        times = pd.to_datetime(given[name], format="%Y%m%d%H%M", errors="coerce")
        if times.isna().any():
            line = times.isna().idxmax()
            raise InputError(f"{path.name}: line {line} has {name} '{given[name][line]}'; a time such as 201807311230 "
                             "is expected")
        found[name] = times.astype("datetime64[ns]")
    length = found["TIMESTAMP_END"] - found["TIMESTAMP_START"]
    wrong = (length != length.iloc[0]) | (length <= pd.Timedelta(0))
    if wrong.any():
        line = wrong.idxmax()
        raise InputError(f"{path.name}: line {line} is {length[line] / pd.Timedelta(minutes=1):g} minutes long, the "
                         f"first {length.iloc[0] / pd.Timedelta(minutes=1):g}; give a file of one resolution")
    return found["TIMESTAMP_END"]


# ---- values

def _base(name):
    return re.sub(r"_\d+$", "", name)


def _long(name, text):
    return text if name == _base(name) else text.replace("the uppermost sensor", f"sensor {name.split('_')[1]}")


def _converted(path, name, values, kind, remarks):
    """Values in the unit that is given here; other units are refused."""
    base, middle = _base(name), values.median()
    if base in USUAL and not np.isnan(middle) and not USUAL[base][0] <= middle <= USUAL[base][1]:
        raise InputError(f"{path.name}: column '{values.name}' has a median of {middle:g}; it is in another unit, "
                         f"{USUAL[base][2]} is expected")
    if base == "swc":
        return percent(path, values, remarks)
    if name == "nee" and values.abs().median() > 100:
        raise InputError(f"{path.name}: column '{values.name}' has a median size of {values.abs().median():g}; "
                         "µmol m⁻² s⁻¹ are expected")
    return values * 10 if base == "pa" else values
