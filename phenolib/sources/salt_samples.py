"""Tables of soil samples with their salt content, or with the electrical conductivity it is reckoned from.

The layout is ours, since none is common: values between commas, each with its unit in the name of its column.

    sample, site, area, date, land_cover      names; date of sampling; area is the name of an area of the archive
    x_m, y_m, or lon, lat                     place in the projection of the area [m], or [degrees]
    depth_top_cm, depth_bottom_cm             of the layer
    salt_g_kg                                 salt content; or instead of it one of
    ec_e_dS_m, with saturation_percent        conductivity of the saturation extract, water of the saturated paste
    ec_1_5_dS_m                               conductivity of an extract of one part soil in five of water

A conductivity is that of an extract: the three kinds differ by up to ten times, and are never mixed.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.files import write_text
from phenolib.sources import tables

SALT, PASTE, DILUTE, WATER = "salt_g_kg", "ec_e_dS_m", "ec_1_5_dS_m", "saturation_percent"
KINDS = {"EC_e": PASTE, "EC_1:5": DILUTE}
MEDIANS = {PASTE: 200.0, DILUTE: 50.0}  # [dS/m]; soils stay below, values in µS/cm lie above
ERROR = 0.20  # of a salt content that comes from conductivity, a relative half width
MOST = 300.0  # a topsoil with more salt is none [g/kg]
COLUMNS = ("sample", "site", "area", "date", "land_cover")
DEPTHS = {"depth_top_cm": "depth_top", "depth_bottom_cm": "depth_bottom"}


def salt_of_ec(ec, saturation=None, *, kind="EC_e"):
    """Salt content from the electrical conductivity of an extract.

        EC_e:    S = 10^0.81 · EC_e^1.08 · SP / 1000        EC_1:5:  S = 3.2 · EC_1:5

    ec          (...) [dS/m]
    saturation  (...) SP, water of the saturated paste [% of the dry soil]; for EC_e alone
    kind        "EC_e" or "EC_1:5"
    returns     (...) [g/kg]; its error is some 20 %
    raises      InputError for another kind, or EC_e without SP

    The power form and 3.2 = 0.64 · 5 are from memory; both are rules of thumb that leave out what salts there are.

    >>> salt_of_ec(np.array([1, 4, 10, 20]), 50).round(2).tolist()
    [0.32, 1.44, 3.88, 8.21]
    >>> float(salt_of_ec(2.0, kind="EC_1:5"))
    6.4
    """
    if kind not in KINDS:
        raise InputError(f"the conductivity is called '{kind}', which no conversion to salt is known for"
                         f"{near(str(kind), KINDS)}")
    ec = np.asarray(ec, dtype=float)
    if kind == "EC_1:5":
        return 3.2 * ec
    if saturation is None:
        raise InputError("EC_e needs the saturation percentage to become a salt content; give it, or salt in g/kg")
    return 10**0.81 * ec**1.08 * np.asarray(saturation, dtype=float) / 1000


def ec_of_salt(salt, saturation):
    """Conductivity of the saturation extract from a salt content: ``salt_of_ec`` the other way round.

    salt        (...) [g/kg]
    saturation  (...) [%]
    returns     (...) [dS/m]

    >>> round(float(ec_of_salt(salt_of_ec(4.0, 50), 50)), 6)
    4.0
    """
    return (1000 * np.asarray(salt, dtype=float) / (10**0.81 * np.asarray(saturation, dtype=float))) ** (1 / 1.08)


def read(path):
    """A table of samples.

    path     as the module says
    returns  DataFrame: sample, site, area, date, x, y [m] or lon, lat [degrees], depth_top, depth_bottom [cm], salt,
             salt_low, salt_high [g/kg] (± 20 % where it comes from conductivity, else the same), land_cover, and the
             columns of conductivity where the table has them
    raises   InputError for a missing column, a conductivity of unknown kind or unit, two kinds of it, salt in per cent
             or above 300 g/kg, a negative or missing value, a depth that is none, or one place and date with different
             values
    """
    path = Path(path)
    table = tables.read(path)
    source = _measured(path, table)
    places = ("lon", "lat") if "lon" in table and "x_m" not in table else ("x_m", "y_m")
    for name in (*places, "date", *DEPTHS, *((WATER,) if source == PASTE else ())):
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, table.columns)}")
    found = {name: tables.numbers(path, table[name]) for name in (*places, *DEPTHS, source,
                                                                  *((WATER,) if source == PASTE else ()))}
    for name, values in found.items():
        _no_gap(path, name, values)
    made = pd.DataFrame({name: table[name].str.strip() if name in table else "" for name in COLUMNS}, index=table.index)
    made["date"] = tables.dates(path, table["date"])
    _depths(path, found)
    _units(path, source, found)
    salt = found[source] if source == SALT else pd.Series(
        salt_of_ec(found[source], found.get(WATER), kind=next(k for k, c in KINDS.items() if c == source)), table.index)
    wide = 0.0 if source == SALT else ERROR
    for name in places:
        made[name.removesuffix("_m")] = found[name]
    for name, short in DEPTHS.items():
        made[short] = found[name]
    made = made.assign(salt=salt, salt_low=salt * (1 - wide), salt_high=salt * (1 + wide))
    for name in (PASTE, DILUTE, WATER):
        if name in table:
            made[name] = tables.numbers(path, table[name])
    if "sample" not in table:
        made["sample"] = [f"line {line}" for line in table.index]
    _once(path, made)
    order = [*COLUMNS[:4], *(name.removesuffix("_m") for name in places), *DEPTHS.values(), "salt", "salt_low",
             "salt_high", "land_cover"]
    return made[[*order, *(c for c in made if c not in order)]].reset_index(drop=True)


def write(table, path):
    """Write samples as ``read`` reads them; columns of other names are left out.

    table    DataFrame with the columns that the module names
    path     the file
    """
    names = ("sample", "site", "area", "date", "x_m", "y_m", "lon", "lat", *DEPTHS, SALT, PASTE, DILUTE, WATER,
             "land_cover")
    kept = table[[name for name in names if name in table]]
    write_text(Path(path), kept.to_csv(index=False, lineterminator="\n"))


def _measured(path, table):
    """The column that salt comes from."""
    there = [name for name in (SALT, PASTE, DILUTE) if name in table]
    if SALT in there:
        return SALT
    if len(there) > 1:
        raise InputError(f"{path.name}: holds {PASTE} and {DILUTE}, which must not be mixed; leave one, or give {SALT}")
    if there:
        return there[0]
    for name in table.columns:
        short = name.lower()
        if short.startswith("salt"):
            raise InputError(f"{path.name}: the column '{name}' is not in g/kg; give {SALT} (1 % = 10 g/kg)")
        if re.match(r"ec([^a-z]|$|e[^a-z])", short):
            raise InputError(f"{path.name}: the column '{name}' tells no known kind and unit of conductivity; name it "
                             f"{PASTE} (saturation extract) or {DILUTE} (1:5 extract), in dS/m = 1000 uS/cm; other "
                             "extracts cannot be converted")
    raise InputError(f"{path.name}: the column '{SALT}' is missing{near(SALT, table.columns)}; or give {PASTE} with "
                     f"{WATER}, or {DILUTE}")


def _no_gap(path, name, values):
    for wrong, what in ((values.isna(), "is empty; a value is expected, or the line removed"),
                        (values < 0 if name not in ("x_m", "y_m", "lon", "lat") else values.isna(),
                         "= {:g} is negative; 0 or more is expected")):
        if wrong.any():
            line = values.index[wrong][0]
            raise InputError(f"{path.name}: line {line}: {name} {what.format(values[line])}")
    for name_, most in (("lon", 360), ("lat", 90)):
        if name == name_ and (values.abs() > most).any():
            line = values.index[values.abs() > most][0]
            raise InputError(f"{path.name}: line {line}: {name} = {values[line]:g} is out of range; degrees are "
                             "expected")


def _depths(path, found):
    top, bottom = found["depth_top_cm"], found["depth_bottom_cm"]
    wrong = (bottom <= top) | (bottom > 500)
    if wrong.any():
        line = top.index[wrong][0]
        raise InputError(f"{path.name}: line {line}: the layer from {top[line]:g} to {bottom[line]:g} cm is none; "
                         "depths in cm are expected, the bottom below the top")


def _units(path, source, found):
    values = found[source]
    if source == SALT:
        if (values > MOST).any():
            line = values.index[values > MOST][0]
            raise InputError(f"{path.name}: line {line}: {SALT} = {values[line]:g} cannot be, a soil holds at most "
                             f"{MOST:g} g/kg; mg/kg are divided by 1000, per cent are multiplied by 10")
        return
    if values.median() > MEDIANS[source]:
        raise InputError(f"{path.name}: {source} has a median of {values.median():g}, which looks like uS/cm; dS/m are "
                         "expected, divide by 1000")
    if source == PASTE:
        wet = found[WATER]
        if wet.median() < 2:
            raise InputError(f"{path.name}: {WATER} has a median of {wet.median():g}, which looks like a share; per "
                             "cent are expected, multiply by 100")
        if ((wet < 10) | (wet > 400)).any():
            line = wet.index[(wet < 10) | (wet > 400)][0]
            raise InputError(f"{path.name}: line {line}: {WATER} = {wet[line]:g} is out of range; 10 to 400 % are "
                             "expected")


def _once(path, made):
    """One place, date and layer has one value."""
    keys = [c for c in ("area", "x", "y", "lon", "lat", "date", "depth_top", "depth_bottom") if c in made]
    different = made.groupby(keys)["salt"].transform("nunique") > 1
    if different.any():
        first = made[different].iloc[0]
        same = made[(made[keys] == first[keys]).all(axis=1)]
        raise InputError(f"{path.name}: lines {' and '.join(map(str, same.index[:2]))} are of one place and date "
                         f"({first['date']:%Y-%m-%d}) but hold {same['salt'].iloc[0]:.4g} and "
                         f"{same['salt'][same['salt'] != same['salt'].iloc[0]].iloc[0]:.4g} g/kg; keep one, or their "
                         "mean")
