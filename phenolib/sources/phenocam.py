"""Files of the PhenoCam network: greenness series of field cameras, and the transition dates published for them.

A file starts with ``#`` lines that hold ``key: value``, then a line of column names, then one row per date. Missing
values are ``NA``, ``None`` or −9999. Formats: Richardson et al. (2018), doi:10.1038/sdata.2018.28; Hufkens et al.
(2018), doi:10.1111/2041-210X.12970; Seyednasrollah et al. (2019), doi:10.1038/s41597-019-0229-9.
"""

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import write_text

FILE_NAME = re.compile(r"(?P<site>.+)_(?P<veg_type>[A-Z]{2})_(?P<roi>\d+)_(?P<step>[13])day\.csv")
GREEN = ("gcc_mean", "gcc_50", "gcc_75", "gcc_90")
METRICS = (*GREEN, "rcc_mean", "rcc_50", "rcc_75", "rcc_90")
RAW = (
    "date,year,doy,image_count,midday_filename,midday_r,midday_g,midday_b,midday_gcc,midday_rcc,r_mean,r_std,g_mean,"
    "g_std,b_mean,b_std,gcc_mean,gcc_std,gcc_50,gcc_75,gcc_90,rcc_mean,rcc_std,rcc_50,rcc_75,rcc_90,max_solar_elev,"
    "snow_flag,outlierflag_gcc_mean,outlierflag_gcc_50,outlierflag_gcc_75,outlierflag_gcc_90"
).split(",")
PROCESSED = [*(f"smooth_{m}" for m in METRICS), *(f"smooth_ci_{m}" for m in METRICS), "int_flag"]
FLAGS = {
    "snow_flag": ("snow in the view", "no_snow snow"),
    **{f"outlierflag_{m}": (f"outlier of {m}", "kept outlier") for m in GREEN},
    "int_flag": ("value filled in by the processing", "observed interpolated"),
}
COUNTS = ("image_count", *FLAGS)
VARIABLES = [c for c in (*RAW, *PROCESSED) if c not in ("date", "year", "doy")]
SHARES = (10, 25, 50)
TRANSITION_DATES = [f"transition_{s}{end}" for end in ("", "_lower_ci", "_upper_ci") for s in SHARES]
TRANSITION_NUMBERS = [*(f"threshold_{s}" for s in SHARES), "min_gcc", "max_gcc"]
TRANSITIONS = ["site", "veg_type", "roi_id", "direction", "gcc_value", *TRANSITION_DATES, *TRANSITION_NUMBERS]
MISSING = ["NA", "None", "", "NaN", "nan", "-9999", "-9999.0", "-9999.00000"]


def read(path, columns=None):
    """A camera series as a Dataset, one entry per row of the file, sorted by date.

    path     `<site>_<VEG>_<ROI>_1day.csv` or `_3day.csv`, as the network serves it or as its R client writes it
    columns  names to read, e.g. ["gcc_90"]; all that the file holds by default
    returns  (time,) variables named as the columns, NaN where missing (an empty text for `midday_filename`); year
             and doy follow from `time`. Flags are 0 or 1; `int_flag` is NaN where nothing was filled in.
             attrs: site, veg_type, roi, lat, lon [degree], elev [m], step [days], source, header (JSON)
    raises   InputError for a missing file or column, a wrong date or number, a date twice, two sites in one file,
             a truncated file, or a file that is not text
    """
    path = Path(path)
    comments, lines, first = _split(path)
    header = _header(path, comments)
    names = _names(path, lines)
    wanted = _wanted(path, names, [columns] if isinstance(columns, str) else columns)
    labels = [n for n in ("site", "sitename") if n in names]
    table = _parse(path, lines, ["date", *labels, *wanted], text=["date", "midday_filename", *labels])
    if labels:
        _one_site(path, table[labels[0]], header["site"], first)
    time = _dates(path, table["date"], first)
    order = np.argsort(time.to_numpy(), kind="stable")
    _refuse_twice(path, time.iloc[order])
    variables = {}
    for name in wanted:
        if name == "midday_filename":
            values = table[name].fillna("").to_numpy(dtype=str)
        else:
            values = _numbers(path, name, table[name], first)
        variables[name] = ("time", values[order], _about(name))
    middle = ("time", time.to_numpy()[order], {"long_name": "middle of the period"})
    return xr.Dataset(variables, {"time": middle}, {**header, "source": path.name})


def read_header(path):
    """What the header of a camera series says, without reading the rows.

    returns  dict: site, veg_type, roi, lat, lon, elev, step, header (JSON of every key and value in order)
    raises   InputError as ``read``
    """
    path = Path(path)
    _refuse_absent(path)
    comments, line = [], ""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            if not line.startswith("#"):
                break
            comments.append(line)
    if "\0" in line or "\ufffd" in line:
        _refuse_binary(path)
    return _header(path, comments)


def greenness(dataset, metric="gcc_90"):
    """The greenness that was seen: outliers and snow are missing, nothing is filled in.

    dataset  (time,) as ``read`` returns it
    metric   one of ``METRICS``
    returns  (time,) DataArray [-], its attrs with long_name and units for figures
    raises   InputError if the dataset does not hold the metric
    """
    if metric not in dataset:
        there = [m for m in METRICS if m in dataset]
        source = dataset.attrs.get("source", "the series")
        raise InputError(f"{source}: the column '{metric}' is missing{near(metric, there)}")
    value = dataset[metric]
    for flag in (f"outlierflag_{metric}", "snow_flag"):
        if flag in dataset:
            value = value.where(dataset[flag] != 1)
    kind = {"gcc": "green chromatic coordinate", "rcc": "red chromatic coordinate"}[metric[:3]]
    return value.assign_attrs(units="-", long_name=kind, site=dataset.attrs.get("site", ""))


def write(dataset, path):
    """Write a camera series as the network does, atomically.

    The 32 raw columns; if the dataset holds a smoothed column or `int_flag`, the processed columns too. What it lacks
    is written as NA. Numbers have five decimals; a processed file drops trailing zeros, as the R client does.

    dataset  (time,) as ``read`` returns it; attrs site, veg_type, roi, lat, lon, elev, step
    path     the file to write
    raises   InputError if an attribute is missing or a date is there twice
    """
    path = Path(path)
    absent = [k for k in ("site", "veg_type", "roi", "lat", "lon", "elev", "step") if k not in dataset.attrs]
    if absent:
        raise InputError(f"{path.name}: the dataset has no attribute '{absent[0]}'; set dataset.attrs['{absent[0]}']")
    processed = any(c in dataset for c in PROCESSED)
    dataset = dataset.sortby("time")
    time = dataset.indexes["time"]
    _refuse_twice(path, time.to_series())
    columns = {
        "date": time.strftime("%Y-%m-%d").tolist(),
        "year": time.year.astype(str).tolist(),
        "doy": time.day_of_year.astype(str).tolist(),
    }
    for name in [*RAW[3:], *(PROCESSED if processed else [])]:
        columns[name] = _column(dataset, name, trim=processed)
    lines = [*_header_lines(dataset, processed), ",".join(columns), *map(",".join, zip(*columns.values()))]
    write_text(path, "\n".join(lines) + "\n")


def read_transitions(path):
    """The transition dates that the network published for a series, one row per event.

    path     `<site>_<VEG>_<ROI>_3day_transition_dates.csv`; files of 2016 name the first column `sitename`
    returns  DataFrame with the columns of the file (`site` first), dates as datetime64 (NaT where missing);
             attrs: the header's keys and values, and `step` [days]
    raises   InputError as ``read``, and for a direction that is neither rising nor falling
    """
    path = Path(path)
    comments, lines, first = _split(path)
    header = _fields(path, comments)
    lines[0] = re.sub(r"^sitename\b", "site", lines[0])
    names = _names(path, lines)
    for name in TRANSITIONS:
        if name not in names:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, names)}; "
                             "a file of transition dates is expected")
    table = _parse(path, lines, names, text=[n for n in names if n not in TRANSITION_NUMBERS])
    _one_site(path, table["site"], header.get("Site"), first)
    wrong = table.index[~table["direction"].isin(["rising", "falling"])]
    if len(wrong):
        raise InputError(f"{path.name}: line {first + wrong[0]} has direction '{table.direction[wrong[0]]}'; "
                         "rising or falling is expected")
    for name in TRANSITION_DATES:
        table[name] = _dates(path, table[name], first)
    for name in TRANSITION_NUMBERS:
        table[name] = _numbers(path, name, table[name], first)
    table.attrs = {**header, "step": _step(path, header)}
    return table


def write_transitions(table, path, header=None):
    """Write transition dates as the network does, atomically.

    table    DataFrame with the columns that ``read_transitions`` gives
    path     the file to write
    header   keys and values of the header; by default those in ``table.attrs``
    """
    header = {k: v for k, v in (table.attrs if header is None else header).items() if k not in ("step", "title")}
    if len(table):
        first = table.iloc[0]
        header = {"Site": first["site"], "Veg Type": first["veg_type"], "ROI ID Number": first["roi_id"], **header}
    text = table.reindex(columns=TRANSITIONS).copy()
    for name in TRANSITION_DATES:
        text[name] = pd.to_datetime(text[name]).dt.strftime("%Y-%m-%d")
    for name in TRANSITION_NUMBERS:
        text[name] = [_number(v, trim=True) for v in text[name].astype(float)]
    rows = text.astype(object).where(text.notna(), "NA").astype(str)
    title = f"Transition date estimate for {header.get('Site', 'NA')}"
    lines = ["#", f"# {title}", "#", *(f"# {k}: {v}" for k, v in header.items()), "#"]
    write_text(path, "\n".join([*lines, ",".join(TRANSITIONS), *map(",".join, rows.to_numpy())]) + "\n")


def _refuse_absent(path):
    if path.is_dir():
        raise InputError(f"{path.name}: is a folder; give one file of it")
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        raise InputError(f"{path.name}: there is no such file{near(path.name, beside)}")


def _refuse_binary(path):
    raise InputError(f"{path.name}: is not a text file; give the CSV file as it was downloaded")


def _split(path):
    """The header's lines, the column line with all rows, and the line number of the first row; every row is whole."""
    _refuse_absent(path)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        _refuse_binary(path)
    lines = text.rstrip().splitlines()
    n = next((k for k, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comments, lines = lines[:n], lines[n:]
    if len(lines) < 2:
        raise InputError(f"{path.name}: holds no rows; the file is truncated or empty, download it again")
    commas = lines[0].count(",")
    for number, line in enumerate(lines[1:], n + 2):
        if line.count(",") != commas:
            if line.startswith("#"):
                _refuse_header(path, comments, [c for c in lines[number - n - 1 :] if c.startswith("#")], number)
            what = "correct or remove the line"
            if number == n + len(lines) and line.count(",") < commas:
                what = "the file is truncated, download it again"
            raise InputError(f"{path.name}: line {number} has {line.count(',') + 1} fields, {commas + 1} are expected; "
                             f"{what}")
    return comments, lines, n + 2


def _refuse_header(path, first, second, number):
    sites = {value for comments in (first, second) for key, value in _pairs(comments) if key == "Site"}
    what = f"two sites, {' and '.join(sorted(sites))}" if len(sites) > 1 else "two files run together"
    raise InputError(f"{path.name}: line {number} starts a second header ({what}); split it, one file per series")


def _pairs(comments):
    """(key, value) of each comment; ('title', text) for one without a colon. Two comments may share a line."""
    for line in comments:
        for comment in filter(None, map(str.strip, line.split("#"))):
            key, colon, value = comment.partition(":")
            yield (key.strip(), value.lstrip(":").strip()) if colon else ("title", comment)


def _fields(path, comments):
    fields = {}
    for key, value in _pairs(comments):
        if key == "Site" and fields.get(key, value) != value:
            raise InputError(f"{path.name}: the header names two sites, {fields[key]} and {value}; "
                             "split it into one file per site")
        fields.setdefault(key, value)
    return fields


def _header(path, comments):
    fields = _fields(path, comments)
    named = FILE_NAME.fullmatch(path.name)
    named = named.groupdict() if named else {}
    site = fields.get("Site") or named.get("site")
    if not site:
        raise InputError(f"{path.name}: names no site; add a line '# Site: <name>' above the columns, "
                         "or name the file <site>_<VEG>_<ROI>_3day.csv")
    if named and named["site"] != site:
        raise InputError(f"{path.name}: two sites in one file: '{site}' in the header and '{named['site']}' in the "
                         "file name; rename the file or correct the header")
    known = {k: v for k, v in fields.items() if v not in MISSING}
    return {
        "site": site,
        "veg_type": known.get("Veg Type", named.get("veg_type", "")),
        "roi": known.get("ROI ID Number", named.get("roi", "")),
        **{key: _header_number(path, known, name) for key, name in (("lat", "Lat"), ("lon", "Lon"), ("elev", "Elev"))},
        "step": _step(path, fields),
        "header": json.dumps(fields, ensure_ascii=False),
    }


def _header_number(path, fields, name):
    try:
        return float(fields.get(name, "nan"))
    except ValueError:
        raise InputError(f"{path.name}: the header says '{name}: {fields[name]}'; a number is expected") from None


def _step(path, fields):
    """Days per value: from the header (today's or the older key), else from the file name."""
    lower = {k.lower(): v for k, v in fields.items()}
    step = lower.get("aggregation period") or lower.get("days to aggregate")
    if step is None:
        named = re.search(r"_([13])day\b|_([13])day_", path.name) or re.match(r"([13])-day", fields.get("title", ""))
        step = next(filter(None, named.groups()), None) if named else None
    if step not in ("1", "3"):
        raise InputError(f"{path.name}: the aggregation period is '{step}'; 1 or 3 days are expected, "
                         "add a line '# Aggregation Period: 3' above the columns")
    return int(step)


def _names(path, lines):
    """The column names; the column line is put in order (no quotes, no blanks)."""
    names = [n.strip().strip('"') for n in lines[0].split(",")]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise InputError(f"{path.name}: the column '{twice}' is there twice; remove one of them")
    lines[0] = ",".join(names)
    return names


def _wanted(path, names, columns):
    """Names of the columns to read, in the order of the file."""
    for name in ["date", *(columns or [])]:
        if name not in names or name not in ("date", *VARIABLES):
            known = [n for n in names if n in VARIABLES]
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, known or names)}")
    if not columns and not any(m in names for m in GREEN):
        raise InputError(f"{path.name}: no greenness column, at least one of {', '.join(GREEN)} is needed"
                         f"{near('gcc_90', names)}")
    return [n for n in names if n in (columns or VARIABLES)]


def _parse(path, lines, names, text):
    """The named columns as a DataFrame; those in ``text`` as text, the others as numbers where they are numbers."""
    try:
        return pd.read_csv(
            io.StringIO("\n".join(lines)), usecols=names, dtype={n: object for n in text if n in names},
            na_values=MISSING, keep_default_na=False, skipinitialspace=True, low_memory=False,
        )
    except (pd.errors.ParserError, ValueError) as error:
        raise InputError(f"{path.name}: cannot be read as a table: {error}") from None


def _one_site(path, column, site, first):
    for row, name in column.items():
        site = site or name
        if name != site:
            raise InputError(f"{path.name}: two sites in one file, {site} and {name} (line {first + row}); "
                             "split it into one file per site")


def _dates(path, column, first):
    missing_allowed = column.name != "date"
    dates = pd.to_datetime(column, format="%Y-%m-%d", errors="coerce").astype("datetime64[ns]")
    wrong = column.index[dates.isna() & ~(column.isna() & missing_allowed)]
    if len(wrong):
        value = column[wrong[0]]
        value = "NA" if pd.isna(value) else value
        raise InputError(f"{path.name}: line {first + wrong[0]} has {column.name} '{value}'; "
                         "a calendar date such as 2018-07-31 is expected")
    return dates


def _refuse_twice(path, time):
    twice = time[time.duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: the date {twice.iloc[0]:%Y-%m-%d} is there {(time == twice.iloc[0]).sum()} "
                         "times; keep one row per date")


def _numbers(path, name, column, first):
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan, copy=True)
    wrong, expected = np.isnan(values) & column.notna().to_numpy(), "a number or NA"
    values[values == -9999] = np.nan
    if name in GREEN:
        wrong, expected = wrong | (values < 0) | (values > 1), "a share between 0 and 1, or NA,"
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"{path.name}: line {first + row} has {name} = '{column.iloc[row]}'; {expected} is expected")
    return values


def _about(name):
    """Units and a readable name of a column."""
    if name in FLAGS:
        long_name, meanings = FLAGS[name]
        return {"units": "1", "long_name": long_name, "flag_values": [0.0, 1.0], "flag_meanings": meanings}
    if name in ("image_count", "midday_filename", "max_solar_elev"):
        return {
            "image_count": {"units": "1", "long_name": "images in the period"},
            "midday_filename": {"long_name": "image nearest to noon"},
            "max_solar_elev": {"units": "degree", "long_name": "highest solar elevation"},
        }[name]
    for prefix, words in (("smooth_ci_", "half 95 % interval of smoothed "), ("smooth_", "smoothed "),
                          ("midday_", "noon image: ")):
        if name.startswith(prefix):
            return {"units": "1", "long_name": words + _about(name.removeprefix(prefix))["long_name"]}
    what, _, statistic = name.partition("_")
    quantity = {"gcc": "green chromatic coordinate", "rcc": "red chromatic coordinate", "r": "red digital number",
                "g": "green digital number", "b": "blue digital number"}[what]
    summary = {"": "", "mean": ", mean", "std": ", standard deviation"}.get(statistic, f", {statistic}th percentile")
    return {"units": "1", "long_name": quantity + summary}


def _header_lines(dataset, processed):
    """The ``#`` lines: those that were read, with what the attributes say now; else those of a file of today."""
    attrs = dataset.attrs
    last = f"{dataset.indexes['time'][-1]:%Y-%m-%d}" if dataset.sizes["time"] else "NA"
    now = {
        "Site": attrs["site"], "Veg Type": attrs["veg_type"], "ROI ID Number": attrs["roi"], "Lat": attrs["lat"],
        "Lon": attrs["lon"], "Elev": attrs["elev"],
    }
    fields = json.loads(attrs.get("header", "{}")) or {
        "title": f"{attrs['step']}-day summary product time series for {attrs['site']}", **now,
        "UTC Offset": round(attrs["lon"] / 15), "Image Count Threshold": 1, "Aggregation Period": attrs["step"],
        "Solar Elevation Min": 10.0, "Time of Day Min": "00:00:00", "Time of Day Max": "23:59:59",
        "ROI Brightness Min": 100, "ROI Brightness Max": 665,
        "Creation Date": last, "Creation Time": "00:00:00", "Update Date": last, "Update Time": "00:00:00",
        **({"Final Processing Date": last, "Final Processing Time": "00:00:00"} if processed else {}),
    }
    for key, value in now.items():
        if not _same(fields.get(key), value):
            fields[key] = value
    title = fields.pop("title", f"{attrs['step']}-day summary product time series for {attrs['site']}")
    double = ("Final Processing Date", "Final Processing Time")  # the network's own files have two colons here
    pairs = [f"# {k}{'::' if k in double else ':'} {v}" for k, v in fields.items()]
    return ["#", f"# {title}", "#", *pairs, "#"]


def _same(text, value):
    if isinstance(value, str):
        return str(text) == value
    try:
        return float(text) == float(value) or (np.isnan(float(text)) and np.isnan(float(value)))
    except (TypeError, ValueError):
        return text in MISSING and np.isnan(value)


def _column(dataset, name, *, trim):
    if name not in dataset:
        return ["NA"] * dataset.sizes["time"]
    values = dataset[name].values
    if name == "midday_filename":  # None where a period had no image, NA where the row was added by the processing
        images = dataset["image_count"].values if "image_count" in dataset else np.full(values.size, np.nan)
        return [str(v) if v not in MISSING else "None" if n == 0 else "NA" for v, n in zip(values, images)]
    if name in COUNTS:
        return ["NA" if np.isnan(v) else str(int(v)) for v in values.astype(float)]
    return [_number(v, trim=trim) for v in values.astype(float).tolist()]


def _number(value, *, trim):
    if value != value:
        return "NA"
    text = f"{value:.5f}"
    if not trim:
        return text
    text = text.rstrip("0").rstrip(".")
    return f"{value:.0e}" if re.fullmatch(r"-?0\.000+[1-9]", text) else text  # as R writes one digit below 0.001
