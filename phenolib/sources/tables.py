"""Plain comma-separated tables: read whole or refused with the line that is wrong."""

import csv
import gzip
import re
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near

MISSING = ("", "NA", "NaN", "nan", "None", "-9999", "-9999.0", "-9999.00000")
DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ]\d\d:\d\d.*)?")
LAND_COVER_NAME = re.compile(r"_(?P<site>[A-Za-z0-9.\-]+)_LC\d+_")  # <product>_<from>_<to>_<site>_LC<code>_…
SERIES_NAME = re.compile(r"(?P<site>[A-Za-z0-9.\-]+)_(GPP|NDVI|EVI2|PPI|FAPAR|LAI)[_.]")
FLUX_CODE = re.compile(r"(?<![A-Za-z0-9\-])(?P<site>[A-Z]{2}-[A-Za-z0-9]{3})(?![A-Za-z0-9\-])")  # of flux networks


def read(path):
    """A table as text, one row per line of the file.

    path     a file of values between commas, the first line the names of the columns; compressed if named *.gz
    returns  DataFrame of str, its index the number of the line in the file (the first row is line 2)
    raises   InputError if there is no such file, it is not text or cannot be unpacked, it holds no rows, a line has
             another number of fields than the first, or a column is there twice
    """
    path = Path(path)
    text = whole_text(path, like="*.csv")
    rows = list(csv.reader(text.rstrip().splitlines(), skipinitialspace=True))
    if len(rows) < 2:
        raise InputError(f"{path.name}: holds no rows; the file is truncated or empty, download it again")
    names = [name.strip() for name in rows[0]]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise InputError(f"{path.name}: the column '{twice}' is there twice; remove one of them")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            cut = number == len(rows) and len(row) < len(names)
            what = "the file is truncated, download it again" if cut else "correct or remove the line"
            raise InputError(f"{path.name}: line {number} has {len(row)} fields, {len(names)} are expected; {what}")
    return pd.DataFrame(rows[1:], columns=names, index=pd.RangeIndex(2, len(rows) + 1))


def whole_text(path, *, like="*"):
    """The text of a file, compressed if named *.gz.

    like     pattern of the names that are suggested where there is no such file
    raises   InputError if there is no such file, or it is not text (UTF-8) or cannot be unpacked
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path.name}: is a folder; give one file of it")
    if not path.is_file():
        beside = [p.name for p in path.parent.glob(like) if p.is_file()] if path.parent.is_dir() else []
        raise InputError(f"{path.name}: there is no such file{near(path.name, beside)}")
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path.name}: cannot be unpacked ({error}); download it again") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"{path.name}: is not a text file; give the file as it was downloaded")
    return text


def numbers(path, column):
    """A column of text as float, NaN where missing ('', NA, −9999).

    raises   InputError naming the line if a value is no finite number
    """
    text = column.str.strip()
    missing = text.isin(MISSING)
    values = pd.to_numeric(text.where(~missing), errors="coerce").astype(float)
    wrong = values.index[~np.isfinite(values) & ~missing]
    if len(wrong):
        raise InputError(f"{Path(path).name}: line {wrong[0]} has {column.name} = '{column[wrong[0]]}'; "
                         "a number is expected, or nothing where it is missing")
    return values


def dates(path, column):
    """A column of text as calendar dates (datetime64[ns], midnight, no time zone).

    A time and an offset after the date are left out: the date is that of the clock that wrote it.

    raises   InputError naming the line if a value is no date such as 2018-07-31 or 20180731
    """
    parts = column.str.strip().str.extract(f"^{DATE.pattern}$")
    found = pd.to_datetime(parts[0] + parts[1] + parts[2], format="%Y%m%d", errors="coerce").astype("datetime64[ns]")
    wrong = found.index[found.isna()]
    if len(wrong):
        raise InputError(f"{Path(path).name}: line {wrong[0]} has {column.name} '{column[wrong[0]]}'; "
                         "a calendar date such as 2018-07-31 is expected")
    return found


def site_of(path):
    """The site that the name of a file tells: before _LC<code>_, before _GPP or an index, or a code such as BE-Lon.

    path     the file; only its name is looked at
    raises   InputError if the name tells no site

    >>> site_of("PPI_2017_01_01_2024_12_31_BE-Lon_LC11_mean.csv"), site_of("field.one_GPP_dd.csv")
    ('BE-Lon', 'field.one')
    """
    name = Path(path).name
    found = LAND_COVER_NAME.search(name) or SERIES_NAME.match(name) or FLUX_CODE.search(name)
    if not found:
        raise InputError(f"{name}: its name tells no site; name it like <site>_GPP_… or …_<site>_LC11_…")
    return found["site"]
