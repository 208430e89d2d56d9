"""Daily soil moisture of stations at some depths, what is known of them, and satellite bands at gauges.

`uscrn_daily.csv.gz`: one row per station, depth and day, `station,depth_m,date,sm_m3m3,n_hours`, daily means of hourly
readings of the U.S. Climate Reference Network (Bell et al. 2013, doi:10.1175/JHM-D-12-0146.1).
`uscrn_sensors.csv`: one row per probe. `station_static_variables.csv.gz`: soil, land cover and climate of stations,
one row per quantity, as the International Soil Moisture Network hands them out (Dorigo et al. 2021,
doi:10.5194/hess-25-5749-2021). `gauge_points.csv.gz`: Sentinel-2 and Sentinel-1 of ten days at gauges, with coarse
satellite soil moisture `ssm`.
"""

import gzip
import itertools
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import atomic
from phenolib.sources import tables

DAILY = ("station", "depth_m", "date", "sm_m3m3", "n_hours")
HOURS = 18  # of a day that a mean needs
STUCK = 14  # days with one value, after which a probe is looked at
MOVES = 0.03  # m3 m-3 by which the next probe moves meanwhile
WET = 15.0  # mm of rain meanwhile that a probe in the uppermost 20 cm would answer to
DEEPEST = 2.5  # m
LAYERS = {"surface": (0.1, 0.05), "root_zone": (1.0, 0.25)}  # bottom [m], and farthest a probe may be [m]
SENSORS = {"network": "network", "station": "station", "lat": "lat", "lon": "lon", "elev_m": "elevation",
           "depth_from": "depth_from", "depth_to": "depth_to", "sensor": "sensor", "n_raw": "hours",
           "n_good_days": "days"}
STATIC = ("network", "station_dir", "quantity_name", "unit", "depth_from[m]", "depth_to[m]", "value", "description",
          "quantity_source_name")
SOIL = {"saturation": "saturation", "clay fraction": "clay", "sand fraction": "sand", "silt fraction": "silt",
        "organic carbon": "organic_carbon"}
DEPTHS = {"0.0": "", "0.3": "_deep"}
OPTICAL = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
GAUGES = ("network", "station", "longitude", "latitude", *OPTICAL, "EndDate", "StartDate", "VH", "VV", "angle",
          "elevation", "fc", "landcover", "ssm")
BRIGHT = 0.4  # B2 above which a pixel is cloud or snow [-]
TOP = 50.0  # mm of the uppermost 5 cm


def read(path, *, least_hours=HOURS):
    """Daily soil moisture of stations.

    path         CSV as the module says, compressed or not
    least_hours  of a day whose mean counts; a day with fewer is missing
    returns      (station, time, depth) Dataset float32 of moisture [m3 m-3] and hours, NaN where missing; depth is
                 positive downwards [m]. attrs: source, remarks (list of str): days with too few hours, and probes
                 that were stuck, whose days are missing (see ``stuck``)
    raises       InputError for a missing column, a value in per cent or negative, a depth that is none, a row twice,
                 a number or date that cannot be read
    """
    path = Path(path)
    station, depth, day, moisture, hours = _daily(path)
    _check(path, station, depth, moisture, hours)
    twice = pd.DataFrame({"station": station, "day": day, "depth": depth}).duplicated()
    if twice.any():
        line = twice.idxmax()
        raise InputError(f"{path.name}: line {line} is the second of station {station[line]} at {depth[line]:g} m on "
                         f"{day[line]:%Y-%m-%d}; one row per station, depth and day is expected")
    names, row = np.unique(station, return_inverse=True)
    depths, column = np.unique(depth, return_inverse=True)
    time = pd.date_range(day.min(), day.max(), freq="D", name="time", unit="ns")
    at = row, ((day - time[0]) // pd.Timedelta(days=1)).to_numpy(), column
    few = (hours < least_hours).to_numpy()
    whole = {}
    for name, values in (("moisture", moisture.where(~few)), ("hours", hours)):
        whole[name] = np.full((names.size, time.size, depths.size), np.nan, np.float32)
        whole[name][at] = values
    about = {"units": "m", "long_name": "depth below the surface", "positive": "down"}
    data = xr.Dataset({
        "moisture": (("station", "time", "depth"), whole["moisture"],
                     {"units": "m3 m-3", "long_name": "volumetric soil moisture"}),
        "hours": (("station", "time", "depth"), whole["hours"], {"units": "h", "long_name": "hours with a reading"}),
    }, {"station": names.astype(str), "time": time, "depth": ("depth", depths, about)})
    runs = stuck(data)
    remarks = [f"{path.name}: {int(few.sum())} days of a probe have fewer than {least_hours} hours and are left "
               "out"] if few.any() else []
    if len(runs):
        first = runs.iloc[0]
        remarks.append(f"{path.name}: {len(runs)} times a probe was stuck while the next one moved, "
                       f"{int(runs['days'].sum())} days in all are taken as missing, the first {first['station']} at "
                       f"{first['depth']:g} m from {first['first']:%Y-%m-%d} to {first['last']:%Y-%m-%d}")
    return without(data, runs).assign_attrs(source=path.name, remarks=remarks)


def _daily(path):
    """The columns of ``DAILY``, by the line of the file."""
    try:  # quick; where anything is odd, the slow reader tells the line
        table = pd.read_csv(path, dtype=dict(zip(DAILY, (str, float, str, float, float))), na_values=tables.MISSING,
                            keep_default_na=False, skip_blank_lines=False)[list(DAILY)]
        day = pd.to_datetime(table["date"], format="%Y-%m-%d")
        odd = table.drop(columns="sm_m3m3").isna().any(axis=None) or table["station"].str.strip().ne(
            table["station"]).any() or table.empty or not np.isfinite(table["sm_m3m3"].dropna()).all()
    except (ValueError, KeyError, OSError, EOFError, zlib.error):
        odd = True
    if not odd:
        table.index = pd.RangeIndex(2, len(table) + 2)
        day = day.astype("datetime64[ns]").set_axis(table.index)
        return table["station"], table["depth_m"], day, table["sm_m3m3"], table["n_hours"]
    table = tables.read(path)
    _columns(path, table, DAILY)
    depth, moisture, hours = (tables.numbers(path, table[name]) for name in ("depth_m", "sm_m3m3", "n_hours"))
    return table["station"].str.strip(), depth, tables.dates(path, table["date"]), moisture, hours


def stuck(data, *, longer_than=STUCK, moves=MOVES, rain=None):
    """When probes told one and the same value while the soil about them moved.

    A probe counts where at other times it does move when the next one does, so that dry soil under a wet topsoil is
    kept; the limits are project defaults.

    data         Dataset as ``read`` gives it
    longer_than  days with the same value [d]
    moves        by how much the next probe above or below moved meanwhile [m3 m-3]
    rain         (station, time) DataArray [mm d-1]; where it is given, 15 mm meanwhile tell of a probe in the
                 uppermost 20 cm too. default none
    returns      DataFrame: station, depth [m], first, last (dates), days, value, moved (by how much the next one did)
    """
    values, depths = data["moisture"].transpose("station", "time", "depth").values, data["depth"].values
    time, rows = data.indexes["time"], []
    if rain is not None:
        rain = rain.reindex(station=data["station"], time=time).transpose("station", "time").values
    for s, d in itertools.product(range(values.shape[0]), range(values.shape[2])):
        one = values[s, :, d]
        edges = np.flatnonzero(np.r_[True, one[1:] != one[:-1], True])  # NaN differs from itself: a gap ends a run
        for first, end in zip(edges[:-1], edges[1:]):
            if end - first <= longer_than:
                continue
            moved = max((_range(side[first:end]) for side in _beside(values[s], d, first, end)
                         if _answers(one, side, end - first, moves, first, end)), default=0.0)
            wet = rain is not None and depths[d] <= 0.2 and np.nansum(rain[s, first:end]) > WET
            if moved > moves or wet:
                rows.append({"station": str(data["station"].values[s]), "depth": round(float(depths[d]), 4),
                             "first": time[first], "last": time[end - 1], "days": end - first,
                             "value": float(one[first]), "moved": moved})
    return pd.DataFrame(rows, columns=["station", "depth", "first", "last", "days", "value", "moved"])


def _beside(values, d, first, end):
    """Series of the next probe above and below that reads in these days."""
    there = [k for k in range(values.shape[1]) if k != d and np.isfinite(values[first:end, k]).any()]
    return [values[:, k] for k in ([k for k in there if k < d][-1:] + [k for k in there if k > d][:1])]


def _range(values):
    return float(np.nanmax(values) - np.nanmin(values)) if np.isfinite(values).any() else 0.0


def _answers(one, other, length, moves, first, end):
    """Whether a probe moves at other times when the next one does; a dry subsoil under a wet topsoil does not."""
    ranges = [_range(one[k:k + length]) for k in range(0, one.size - length + 1, length)
              if (k + length <= first or k >= end) and np.isfinite(one[k:k + length]).any()
              and _range(other[k:k + length]) > moves]
    return not ranges or float(np.median(ranges)) > MOVES / 3


def without(data, runs):
    """The Dataset with the days of ``stuck`` missing."""
    moisture = data["moisture"].copy(deep=True)
    for run in runs.itertuples():
        moisture.loc[{"station": run.station, "depth": run.depth, "time": slice(run.first, run.last)}] = np.nan
    return data.assign(moisture=moisture)


def depth_weights(depths, bottom, farthest):
    """Share of the layer from the surface to a depth that each probe stands for: what is nearer to it than to others.

    The borders lie midway between probes; the uppermost probe reaches to the surface, and what lies below ``bottom``
    is left out. Probes at 5, 10, 20, 50 and 100 cm share 0–100 cm as 7.5, 7.5, 20, 40 and 25 %.

    depths     (probe,) [m], rising
    bottom     of the layer [m]
    farthest   that a depth of the layer may lie from the nearest probe [m]
    returns    (probe,) weights that sum to 1, or None where a part of the layer is farther from any probe

    >>> depth_weights([0.05, 0.1, 0.2, 0.5, 1.0], 1.0, 0.25).round(3).tolist()
    [0.075, 0.075, 0.2, 0.4, 0.25]
    >>> depth_weights([0.05, 0.1, 0.2], 1.0, 0.25) is None
    True
    """
    depths = np.asarray(depths, float)
    if not depths.size:
        return None
    middles = (depths[1:] + depths[:-1]) / 2
    borders = np.clip(np.r_[0.0, middles, np.inf], 0, bottom)
    of_layer = np.linspace(0, bottom, 401)
    if np.abs(of_layer[:, None] - depths).min(axis=1).max() > farthest + 1e-6:
        return None
    return np.diff(borders) / bottom


def layers(data):
    """Moisture of 0–10 cm and of 0–100 cm from probes, weighted by the thickness that each stands for.

    A day's weights are those of the probes that read on it (see ``depth_weights``). The surface needs a probe within
    5 cm of every depth of it, the root zone one within 25 cm (a project default): with probes at 5, 10, 20, 50 and
    100 cm the surface needs that at 5 cm, the root zone those at 50 and 100 cm; else the day is missing.

    data     Dataset as ``read`` gives it
    returns  (station, time) Dataset float32 of surface and root_zone [m3 m-3]; attrs of each: retrieved (share of the
             days with any reading that have a value [-]), units, long_name
    """
    values = data["moisture"].transpose("station", "time", "depth").values
    depths, there = data["depth"].values, np.isfinite(values)
    patterns, which = np.unique(there.reshape(-1, depths.size), axis=0, return_inverse=True)
    which, any_there, made = which.reshape(-1), there.any(axis=2), {}
    for name, (bottom, farthest) in LAYERS.items():
        flat = np.full(which.size, np.nan, np.float32)
        for k, pattern in enumerate(patterns):
            weights = depth_weights(depths[pattern], bottom, farthest)
            if weights is not None:
                rows = which == k
                flat[rows] = values.reshape(-1, depths.size)[rows][:, pattern] @ weights
        whole = flat.reshape(there.shape[:2])
        share = float(np.isfinite(whole).sum() / max(any_there.sum(), 1))
        made[name] = (("station", "time"), whole, {
            "units": "m3 m-3", "long_name": f"soil moisture of 0-{100 * bottom:g} cm", "retrieved": share})
    return xr.Dataset(made, {"station": data["station"], "time": data["time"]},
                      {k: data.attrs[k] for k in ("source", "remarks") if k in data.attrs})


def sensors(path):
    """The probes of stations.

    returns  DataFrame, a row per probe: network, station, lat, lon [degrees], elevation [m], depth_from, depth_to [m],
             sensor, hours (readings), days (with enough of them)
    raises   InputError for a missing column, a place that is none or differs within a station, a probe twice
    """
    path = Path(path)
    table = tables.read(path)
    _columns(path, table, SENSORS)
    made = pd.DataFrame({new: table[old].str.strip() if old in ("network", "station", "sensor") else
                         tables.numbers(path, table[old]) for old, new in SENSORS.items()})
    _places(path, made["lon"], made["lat"])
    for station, own in made.groupby("station"):
        if len(own[["lat", "lon"]].drop_duplicates()) > 1:
            raise InputError(f"{path.name}: station '{station}' has two places, line {own.index[0]} and another; one "
                             "is expected")
    twice = made.duplicated(["station", "depth_from", "sensor"])
    if twice.any():
        raise InputError(f"{path.name}: line {twice.idxmax()} is the second of '{made['station'][twice.idxmax()]}' at "
                         f"{made['depth_from'][twice.idxmax()]:g} m; remove one of them")
    return made.reset_index(drop=True)


def static(path):
    """Soil, land cover and climate of stations.

    returns  DataFrame, a row per station: network, station (with _ for -), and for 0–0.3 m saturation [m3 m-3], clay,
             sand, silt, organic_carbon [fraction of the weight], for 0.3–1 m the same named …_deep; land_cover (class
             of the newest land-cover map), climate (class of Köppen and Geiger, the newest); NaN or "" where not told
    raises   InputError for a missing column, or fractions outside 0 to 100 %
    """
    path = Path(path)
    table = tables.read(path)
    _columns(path, table, STATIC)
    station = table["station_dir"].str.strip().str.replace("-", "_")
    rows = {}
    for line, name, row in zip(table.index, station, table.to_dict("records")):
        own = rows.setdefault(name, {"network": row["network"], "station": name, "land_cover": "", "climate": ""})
        what, value = row["quantity_name"].strip(), row["value"].strip()
        if what in SOIL and row["depth_from[m]"].strip() in DEPTHS:
            try:
                number = float(value) if value not in tables.MISSING else np.nan
            except ValueError:
                raise InputError(f"{path.name}: line {line} has {what} = '{value}'; a number is expected") from None
            part = row["unit"].strip().startswith("%")
            if not np.isnan(number) and not 0 <= number <= (100 if part else 1):
                raise InputError(f"{path.name}: line {line} has {what} = {number:g} {row['unit']}; "
                                 f"0 to {100 if part else 1} is expected")
            own[SOIL[what] + DEPTHS[row["depth_from[m]"].strip()]] = number / 100 if part else number
        elif what in ("land cover classification", "climate classification"):
            key = what.removesuffix(" classification").replace(" ", "_")
            newest = row["quantity_source_name"]
            if newest >= own.get(f"_{key}", "") and "insitu" not in newest.lower():
                own[key], own[f"_{key}"] = value, newest
    names = ["network", "station", *(f"{n}{deep}" for deep in DEPTHS.values() for n in SOIL.values()), "land_cover",
             "climate"]
    return pd.DataFrame(list(rows.values())).reindex(columns=names).sort_values("station", ignore_index=True)


def gauges(path):
    """Satellite bands of ten days at gauges, with coarse satellite soil moisture.

    returns  DataFrame, a row per gauge and ten days: network, station, lon, lat, start, end, B1 … B12 [reflectance
             0-1; missing where B2 is above 0.4, cloud or snow], VV, VH [dB], angle [degrees], elevation, cover (fc),
             land_cover, ssm as given, ssm_fraction = ssm / 50 [m3 m-3]. attrs: remarks, and notes on ssm and elevation
    raises   InputError for a missing column, a row twice, bands that are no reflectance times 10,000
    """
    path = Path(path)
    table = tables.read(path)
    _columns(path, table, GAUGES)
    made = {"network": table["network"].str.strip(), "station": table["station"].str.strip()}
    made |= {new: tables.numbers(path, table[old]) for old, new in (("longitude", "lon"), ("latitude", "lat"))}
    _places(path, made["lon"], made["lat"])
    made |= {new: tables.dates(path, table[old]) for old, new in (("StartDate", "start"), ("EndDate", "end"))}
    bands = {name: tables.numbers(path, table[name]) for name in OPTICAL}
    middle = float(bands["B2"].median())
    if middle < 2:
        raise InputError(f"{path.name}: B2 has a median of {middle:g}; reflectance times 10000 is expected, multiply "
                         "the bands")
    made |= {name: values / 1e4 for name, values in bands.items()}
    made |= {new: tables.numbers(path, table[old]) for old, new in (
        ("VV", "VV"), ("VH", "VH"), ("angle", "angle"), ("elevation", "elevation"), ("fc", "cover"),
        ("landcover", "land_cover"), ("ssm", "ssm"))}
    made = pd.DataFrame(made)
    twice = made.duplicated(["station", "start"])
    if twice.any():
        raise InputError(f"{path.name}: line {twice.idxmax()} is the second of '{made['station'][twice.idxmax()]}' "
                         f"from {made['start'][twice.idxmax()]:%Y-%m-%d}; remove one of them")
    if made["ssm"].min() < 0:
        raise InputError(f"{path.name}: line {made['ssm'].idxmin()} has ssm = {made['ssm'].min():g}; 0 or more is "
                         "expected")
    white = made["B2"] > BRIGHT
    made.loc[white, list(OPTICAL)] = np.nan
    made["ssm_fraction"] = made["ssm"] / TOP
    clear = made["B2"].notna()
    made = made.reset_index(drop=True)
    made.attrs = {
        "remarks": [f"{path.name}: {int(white.sum())} of {len(made)} rows have B2 above {BRIGHT:g}, cloud or snow, and "
                    f"are without optical bands; {clear.mean():.0%} of the rows have them",
                    f"{path.name}: the unit of ssm is not told; from {made['ssm'].min():.3g} to "
                    f"{made['ssm'].max():.3g} it is probably mm in the uppermost 5 cm; ssm / 50 is given beside it"],
        "ssm": "unit not told; probably mm in the uppermost 5 cm", "elevation": "as given, in no unit that is told"}
    return made


# ---- writing

def write(data, path):
    """Write daily soil moisture as ``read`` reads it, a row where there is a value, the same bytes for the same values.

    data     (station, time, depth) Dataset of moisture [m3 m-3] and, or 24, hours
    path     the file; compressed where its name ends in .gz
    """
    lacks = [name for name in ("moisture", "station", "time", "depth") if name not in data]
    if lacks:
        raise InputError(f"{Path(path).name}: the readings have no '{lacks[0]}'; moisture by station, time and depth "
                         "is needed")
    moisture = data["moisture"].transpose("station", "depth", "time")
    values = moisture.values.astype(float)
    s, d, t = np.nonzero(np.isfinite(values))
    hours = (data["hours"] if "hours" in data else xr.full_like(moisture, 24)).transpose(*moisture.dims).values[s, d, t]
    table = pd.DataFrame({
        "station": moisture["station"].values.astype(str)[s], "depth_m": moisture["depth"].values[d],
        "date": data.indexes["time"].strftime("%Y-%m-%d").to_numpy()[t], "sm_m3m3": values[s, d, t].round(4) + 0.0,
        "n_hours": hours.astype(int)})
    _write(table, path)


def write_sensors(table, path):
    """Write the probes of ``sensors`` (its columns) as it reads them."""
    _write(table.rename(columns={new: old for old, new in SENSORS.items()})[list(SENSORS)], path)


def write_static(table, path):
    """Write soil, land cover and climate of ``static`` (its columns, fractions) as it reads them."""
    rows = []
    for own in table.to_dict("records"):
        head = {"network": own["network"], "station_dir": own["station"].replace("_", "-")}
        for (top, deep), (what, name) in itertools.product(DEPTHS.items(), SOIL.items()):
            value = own.get(name + deep, np.nan)
            if np.isfinite(value):
                share = name != "saturation"
                rows.append({**head, "quantity_name": what, "unit": "% weight" if share else "m^3*m^-3",
                             "depth_from[m]": top, "depth_to[m]": "0.3" if top == "0.0" else "1.0",
                             "value": f"{value * (100 if share else 1):.2f}", "quantity_source_name": "HWSD"})
        for what, source in (("land_cover", "CCI_landcover_2010"), ("climate", "koeppen_geiger_2017")):
            if own.get(what):
                rows.append({**head, "quantity_name": f"{what.replace('_', ' ')} classification", "value": own[what],
                             "quantity_source_name": source})
    _write(pd.DataFrame(rows, columns=list(STATIC)), path)


def write_gauges(table, path):
    """Write bands at gauges of ``gauges`` (its columns; reflectance 0-1, times as dates) as it reads them."""
    made = table.rename(columns={"lon": "longitude", "lat": "latitude", "cover": "fc", "land_cover": "landcover"})
    made = made.assign(**{name: (table[name] * 1e4).round(6) for name in OPTICAL},
                       StartDate=pd.to_datetime(table["start"]).dt.strftime("%Y-%m-%dT%H:%M:%S"),
                       EndDate=pd.to_datetime(table["end"]).dt.strftime("%Y-%m-%dT%H:%M:%S"))
    _write(made[list(GAUGES)], path)


def _write(table, path):
    text = table.to_csv(index=False, lineterminator="\n").encode()
    with atomic(path) as part:
        part.write_bytes(gzip.compress(text, 6, mtime=0) if Path(path).suffix == ".gz" else text)


# ---- checks

def _columns(path, table, names):
    for name in names:
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, table.columns)}")


def _check(path, station, depth, moisture, hours):
    """Refuse rows that cannot be."""
    for name, wrong, text in (
        ("station", station == "", "the name of the station is expected"),
        ("depth_m", ~((depth > 0) & (depth <= DEEPEST)), f"metres below the surface, at most {DEEPEST:g}, are "
                                                         "expected; divide centimetres by 100"),
        ("n_hours", ~((hours >= 0) & (hours <= 24)), "0 to 24 hours are expected"),
        ("sm_m3m3", moisture > 1, "it looks like per cent, m³ m⁻³ from 0 to 1 is expected, divide by 100"),
        ("sm_m3m3", moisture < 0, "m³ m⁻³ from 0 to 1 is expected, leave it empty where it is missing"),
    ):
        if wrong.any():
            line = wrong.idxmax()
            value = {"station": station, "depth_m": depth, "n_hours": hours, "sm_m3m3": moisture}[name][line]
            told = f"'{value}'" if isinstance(value, str) else f"{value:g}"
            raise InputError(f"{path.name}: line {line} has {name} = {told}; {text}")


def _places(path, lon, lat):
    wrong = ~(lon.between(-180, 180) & lat.between(-90, 90))
    if wrong.any():
        line = wrong.idxmax()
        raise InputError(f"{path.name}: line {line} lies at longitude {lon[line]:g}, latitude {lat[line]:g}; degrees "
                         "are expected, -180 to 180 and -90 to 90")
