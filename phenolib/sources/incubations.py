"""Incubations of soil: respiration at controlled temperature and moisture, one tidy table of many studies.

The layout is that of the Soil Incubation Database (Schädel et al. 2020, doi:10.5194/essd-12-1511-2020): a folder for
each study with `timeSeries.csv` (first column the time in days, then a column per series), `metadata.yaml` (which
soil, temperature, moisture and unit a column has) and `initConditions.csv` (soil of the sites).

Units differ from study to study. What a unit allows is made a rate in mg C per gram (of soil, of carbon, of organic
matter) or per sample, and day; what is cumulative is made the mean rate since the time before. A unit is what the
metadata say: rates that no soil reaches are marked as doubtful and serve within their study only, as ratios.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.sources import tables

CO2 = 12.011 / 44.009  # carbon in CO2, by weight
UNITS = {  # unit without spaces, lower case: kind, what it is related to, factor to mg C per gram (and day)
    "mgc/gsoil/d": ("rate", "soil", 1.0), "microgc/gsoil/d": ("rate", "soil", 1e-3),
    "mgco2/gsoil/d": ("rate", "soil", CO2), "micromolc-co2/g/d": ("rate", "soil", 12.011e-3),
    "mgc/gc/d": ("rate", "carbon", 1.0), "mgc/gc/day": ("rate", "carbon", 1.0), "mgc/gsoilc/d": ("rate", "carbon", 1.0),
    "microgc/gsoc/h": ("rate", "carbon", 24e-3), "microgc/gom/h": ("rate", "organic matter", 24e-3),
    "mgc/day": ("rate", "sample", 1.0), "mmolco2/d": ("rate", "sample", 12.011),
    "mgc/gsoil": ("cumulative", "soil", 1.0), "mgdetritusc/gsoil": ("cumulative", "soil", 1.0),
    "mgco2/gsoil": ("cumulative", "soil", CO2), "microgco2/gsoil": ("cumulative", "soil", 1e-3 * CO2),
    "mgc/gc": ("cumulative", "carbon", 1.0), "mgcco2/gc": ("cumulative", "carbon", 1.0),
    "mgsoilc/kgsoilc": ("cumulative", "carbon", 1e-3), "percentc": ("cumulative", "carbon", 10.0),
    "massco2carbonpersoilmass[µg/g](co2-cefflux/soil)": ("amount", "soil", np.nan),
    "percentc14remaining": ("remaining", "carbon", np.nan), "ppm": ("concentration", "sample", np.nan),
}
HIGHEST = {"soil": 10.0, "carbon": 20.0, "organic matter": 10.0}  # mg C g⁻¹ d⁻¹ (project default), above it doubtful
MOST_BACK = 0.1  # of the lines, that may go back in time as slips of the pen
FALL = 0.05  # of the largest value, by which a cumulative series may fall
MOISTURE = {"percentGWC": "dry soil", "percentFieldCapacity": "field capacity",
            "percentWaterFilledPoreSpace": "pore space"}
SAID = ("name", "varDesc", "units", "statistic", "primaryVariable", "primaryVariableName", "gasMeasured", "site",
        "temperature", "moisture")
FILES = ("metadata.yaml", "timeSeries.csv")


def read(folder, *, studies=None):
    """All studies below a folder, or some.

    folder   with a folder for each study, or one that holds them in `data`
    studies  names of folders; None for all
    returns  DataFrame as of ``study``, one below the other. attrs: units, remarks, studies (how many), retrieved (share
             of the rows with a rate)
    raises   InputError if there is no such folder, it holds no study, a name is none of them, or as ``study``
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder.name}: there is no such folder; give the one with a folder for each study")
    if not any(folder.glob(f"*/{FILES[0]}")) and (folder / "data").is_dir():
        folder = folder / "data"
    names = sorted(p.parent.name for p in folder.glob(f"*/{FILES[0]}"))
    if not names:
        raise InputError(f"{folder.name}: holds no study; folders with {' and '.join(FILES)} are expected")
    for name in names if studies is None else studies:
        if name not in names:
            raise InputError(f"study '{name}': there is none in {folder.name}{near(name, names)}")
    each = [study(folder / name) for name in (names if studies is None else studies)]
    made = pd.concat(each, ignore_index=True)
    made.attrs = {"units": each[0].attrs["units"], "remarks": [r for one in each for r in one.attrs["remarks"]],
                  "studies": len(each), "retrieved": float(made["flux"].notna().mean())}
    return made


def study(folder):
    """One study.

    folder   with metadata.yaml and timeSeries.csv
    returns  DataFrame, a row per series and time with a value, in the order of time: study, series (column of the
             file), site, treatment (what else differs, as "amendment=detritus; midDepth=10"), temperature [degC],
             moisture [fraction of moisture_of], moisture_of ("dry soil", "field capacity", "pore space" or ""), time
             [d], value and unit as in the file, kind ("rate", "cumulative", "amount", "remaining", "concentration"),
             flux [mg C per gram of basis and day; per sample and day], basis ("soil", "carbon", "organic matter",
             "sample"), doubtful (a rate that no soil reaches). NaN where not told, or where no rate can be had.
             attrs: units, remarks, retrieved (share of the rows with a rate)
    raises   InputError for a missing file, column or field, an unknown unit, a value that cannot be read, a time that
             is there twice, times that go back in more than a tenth of the lines, or a time that is not in days

    Rates of a cumulative series are the mean since the time before, the first since day 0; a series in such a unit that
    falls is of kind "amount" and has no rate, its values can be compared at the same day. Standard deviations, other
    gases and isotopes, and lines whose time goes back, are left out, and told.
    """
    folder, remarks = Path(folder), []
    about = _metadata(folder)
    path = folder / "timeSeries.csv"
    given = _told(folder, tables.read, path)
    time = _days(path, given, remarks)
    info, rows, left = about["incubationInfo"], [], []
    columns = [said for key, said in about["variables"].items() if key != "V1"]
    for said in columns:
        name = str(said.get("name"))
        if name not in given:
            raise InputError(f"{folder.name}/{path.name}: the column '{name}' of metadata.yaml is missing"
                             f"{near(name, given.columns)}")
        gas = said.get("gasMeasured") or info.get("gasMeasured") or "CO2"
        if str(gas).upper() != "CO2" or str(said.get("statistic") or "none").lower() in ("sd", "se"):
            left.append(name)
            continue
        rows.append(_series(folder, said, info, time, _told(folder, tables.numbers, path, given[name])))
    if not rows:
        raise InputError(f"{folder.name}: has no series of CO2")
    if left:
        remarks.append(f"{folder.name}: {len(left)} of {len(columns)} columns are deviations, other gases or isotopes "
                       "and are left out")
    made = pd.concat(rows, ignore_index=True)
    made.insert(0, "study", folder.name)
    made["doubtful"] = made.groupby("unit")["doubtful"].transform("any")
    fell = [r["series"].iloc[0] for r in rows if set(r["kind"]) == {"amount"} and _kind(r["unit"]) == "cumulative"]
    if fell:
        remarks.append(f"{folder.name}: {len(fell)} of {len(rows)} series, the first '{fell[0]}', are in a unit that "
                       "is cumulative, but fall; no rates are made of them")
    for name, what in (("temperature", "no temperature"), ("moisture", "no moisture"), ("flux", "no rate")):
        count = int(made[name].isna().sum())
        if count:
            remarks.append(f"{folder.name}: {count} of {len(made)} values have {what}")
    if made["doubtful"].any():
        remarks.append(f"{folder.name}: {made['doubtful'].mean():.0%} of the values are in a unit with rates up to "
                       f"{made.loc[made['doubtful'], 'flux'].max():.3g} mg C g⁻¹ d⁻¹, which no soil reaches; the unit "
                       f"of the metadata ('{made['unit'].iloc[0]}') is doubtful, compare within the study only")
    made.attrs = {"remarks": remarks, "retrieved": float(made["flux"].notna().mean()), "units": {
        "temperature": "degC", "moisture": "fraction of moisture_of", "time": "d", "value": "as told in unit",
        "flux": "mg C per g of basis and d; basis 'sample': mg C d-1"}}
    return made


def soils(folder):
    """Soil of the sites of one study.

    folder   with initConditions.csv
    returns  DataFrame of text, as in the file, with the column study; numbers of its own columns are read with
             ``tables.numbers``
    raises   InputError as ``tables.read``
    """
    folder = Path(folder)
    made = tables.read(folder / "initConditions.csv").reset_index(drop=True)
    made.insert(0, "study", folder.name)
    return made


def _metadata(folder):
    """metadata.yaml with its two needed fields."""
    import yaml

    path = folder / FILES[0]
    if not path.is_file():
        raise InputError(f"{folder.name}/{FILES[0]}: there is no such file; a study has {' and '.join(FILES)}")
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{folder.name}/{path.name}: is no YAML ({error})") from None
    for name in ("incubationInfo", "variables"):
        if not isinstance(said, dict) or not isinstance(said.get(name), dict):
            raise InputError(f"{folder.name}/{path.name}: the field '{name}' is missing")
    first = said["variables"].get("V1") or {}
    if str(first.get("units")).lower() not in ("d", "day", "days"):
        raise InputError(f"{folder.name}/{path.name}: the time V1 is in '{first.get('units')}'; days (d) are expected")
    return said


def _days(path, given, remarks):
    """Time of the rows [d]; NaN for rows without any value."""
    name = f"{path.parent.name}/{path.name}"
    time = _told(path.parent, tables.numbers, path, given.iloc[:, 0])
    empty = given.iloc[:, 1:].apply(lambda c: c.str.strip().isin(tables.MISSING)).all(axis=1)
    lost = time.isna() & ~empty
    if lost.any():
        remarks.append(f"{name}: {int(lost.sum())} of {len(time)} lines have values but no time and are left out")
    twice = time.dropna().index[time.dropna().duplicated()]
    if len(twice):
        raise InputError(f"{name}: line {twice[0]} is the second of day {time[twice[0]]:g}; remove one of them")
    if (time < 0).any():
        raise InputError(f"{name}: line {time.idxmin()} has day {time.min():g}; 0 or more is expected")
    back = time < time.cummax()
    if back.mean() > MOST_BACK:
        raise InputError(f"{name}: line {back.idxmax()} goes back in time to day {time[back.idxmax()]:g}, as "
                         f"{int(back.sum())} of {len(time)} lines do; sort the lines by time")
    if back.any():
        remarks.append(f"{name}: line {back.idxmax()} goes back in time to day {time[back.idxmax()]:g}; "
                       f"{int(back.sum())} of {len(time)} lines do and are left out")
    return time.mask(back)


def _told(folder, function, *arguments):
    """What a function gives; its error with the name of the study before it."""
    try:
        return function(*arguments)
    except InputError as error:
        raise InputError(f"{folder.name}/{error}") from None


def _kind(units):
    return UNITS["".join(units.iloc[0].lower().split())][0]


def _series(folder, said, info, time, values):
    """Rows of one series."""
    unit = str(said.get("units"))
    known = UNITS.get("".join(unit.lower().split()))
    if known is None:
        raise InputError(f"{folder.name}/{FILES[0]}: column '{said['name']}' is in '{unit}', which is not known"
                         f"{near(''.join(unit.lower().split()), UNITS)}")
    kind, basis, factor = known
    good = time.notna() & values.notna()
    days, value = time[good].to_numpy(), values[good].to_numpy()
    rate, doubtful = value * factor, False
    if kind == "cumulative":
        if len(value) and (np.diff(value) < -FALL * np.abs(value).max()).any():
            kind, rate = "amount", np.full(len(value), np.nan)
        else:
            before = np.concatenate([[0.0], days[:-1]])
            gained = np.diff(rate, prepend=0.0)
            rate = np.divide(gained, days - before, out=np.full(len(days), np.nan), where=days > before)
    if basis in HIGHEST and np.isfinite(rate).any():
        doubtful = bool(np.nanmax(rate) > HIGHEST[basis])
    moisture = info.get("moisture") if isinstance(info.get("moisture"), dict) else {}
    wet = _number(folder, said, "moisture", said.get("moisture", moisture.get("value")))
    of = MOISTURE.get(str(moisture.get("units")), "")
    other = "; ".join(f"{k}={v}" for k, v in said.items() if k not in SAID and v is not None)
    return pd.DataFrame({
        "series": str(said["name"]), "site": str(said.get("site") or ""), "treatment": other,
        "temperature": _number(folder, said, "temperature", said.get("temperature", info.get("temperature"))),
        "moisture": wet / 100 if of else np.nan, "moisture_of": of, "time": days, "value": value, "unit": unit,
        "kind": kind, "flux": rate, "basis": basis, "doubtful": doubtful})


def _number(folder, said, name, value):
    if value is None:
        return np.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{folder.name}/{FILES[0]}: column '{said['name']}' has {name} '{value}'; a number is "
                         "expected")
    return float(value)
