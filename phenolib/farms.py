"""A farm with soil stations: what the maps and profiles say at each station, and readings as one long table."""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.sources.farm_tables import CROPS, KINDS

EVERY = {"day": "D", "week": "W-MON", "month": "MS", "year": "YS"}
SHARE = 1 / 3  # of the days of a month or week that must have a value
DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
AT_DEPTH = ("bulk_density", "ph", "horizon")
MEASURED = ("theta", "soil_temperature", "ec")


def stations(grid, names, *, profiles=None, density=None, depths=()):
    """What is known of the place of each station.

    Maps are read in the cell that holds the station; slope is that of the elevation. At each depth of a sensor the
    bulk density is that of the core, else of the horizon, whose layer holds the depth; pH and name of the horizon are
    those of the profile. Cores and horizons are never mixed: where there is a table of cores, density is from it alone.

    grid      (y, x) Dataset of ``sources.farm_tables.read_grid``
    names     of the stations
    profiles  DataFrame of ``farm_tables.read_profiles``
    density   DataFrame of ``farm_tables.read_density``; one of both must have the position of every station
    depths    of the sensors [m]
    returns   DataFrame, a row for each station: station, x, y [m], elevation [m], slope [degree], twi, what else the
              maps have (ndre, eca_fall, eca_spring, soil_unit, crop_<year>), series, and bulk_density_30cm, ph_30cm,
              horizon_30cm and so on for each depth; NaN or "" where nothing is known
    raises    InputError for a station without position, or one that lies outside the maps
    """
    given = [t for t in (profiles, density) if t is not None]
    if not given:
        raise InputError("there is no table of profiles and none of cores; one of both tells where the stations lie")
    where = pd.concat([t[["station", "x", "y"]] for t in given]).drop_duplicates("station").set_index("station")
    rows = []
    maps = grid.assign(slope=slope(grid["elevation"]))
    for name in names:
        if name not in where.index:
            raise InputError(f"station '{name}' has readings and no profile; without one its place is not known"
                             f"{near(name, where.index)}")
        x, y = where.loc[name]
        row = {"station": name, "x": float(x), "y": float(y), **_cell(maps, name, x, y)}
        if profiles is not None:
            row["series"] = next(iter(profiles.loc[profiles["station"] == name, "series"]), "")
        for depth in depths:
            end = f"_{100 * depth:.0f}cm"
            own, core = _layer(profiles, name, depth), _layer(density, name, depth)
            dense = own if density is None else core
            row["bulk_density" + end] = np.nan if dense is None else float(dense["bulk_density"])
            if profiles is not None:
                row["ph" + end] = np.nan if own is None else float(own["ph"])
                row["horizon" + end] = "" if own is None else own["horizon"]
        rows.append(row)
    return pd.DataFrame(rows)


def slope(elevation):
    """Slope of the ground from the differences to the neighbours of a cell, on both sides where both are known.

    slope = atan √(∂z/∂x² + ∂z/∂y²)

    elevation  (y, x) DataArray [m] on an even grid, x and y in metres
    returns    (y, x) DataArray [degree], NaN where a direction has no neighbour

    >>> plane = xr.DataArray(np.add.outer(np.zeros(3), [0.0, 10.0, 20.0]), {"y": [20.0, 10, 0], "x": [0.0, 10, 20]})
    >>> slope(plane).round(6).values.tolist()[0]
    [45.0, 45.0, 45.0]
    """
    rise = []
    for name in ("x", "y"):
        step = elevation[name].diff(name).mean()
        ahead, behind = elevation.shift({name: -1}) - elevation, elevation - elevation.shift({name: 1})
        rise.append(xr.concat([ahead, behind], "side").mean("side") / step)
    made = np.degrees(np.arctan(np.hypot(*rise)))
    return made.assign_attrs(units="degree", long_name="slope of the ground")


def table(readings, farm, *, every="month", fewest=None):
    """Readings as a long table: a row for each station, depth and month (or week, day, year).

    The crop of a row is that of the harvest year which is the calendar year of its first day: in autumn that is the
    crop which was harvested, not the one that is sown.

    readings  (station, time, depth) Dataset of ``sources.soil_stations.read``
    farm      DataFrame of ``stations``
    every     "day", "week", "month" or "year"
    fewest    days with both theta and soil_temperature that make a row; default a third of the days of a period
    returns   DataFrame: station, depth [m], start (first day of the period), year, month, days, theta [m3 m-3],
              soil_temperature [degC], ec [dS m-1], crop (its code), kind ("winter wheat", "spring cereal", "legume";
              the code itself where it is not known), and the columns of ``farm``, where those that it has for every
              depth (bulk_density_30cm, …) are one column with the value of the row's depth
    raises    InputError for another period, or a station that ``farm`` does not have
    """
    if every not in EVERY:
        raise InputError(f"every = '{every}' is not known{near(every, EVERY)}")
    lacking = sorted(set(readings["station"].values.tolist()) - set(farm["station"]))
    if lacking:
        raise InputError(f"station '{lacking[0]}' has readings and is not in the table of the farm; add it, or leave "
                         "it out")
    fewest = max(1, round(SHARE * DAYS[every])) if fewest is None else int(fewest)
    known = readings["theta"].notnull() & readings["soil_temperature"].notnull()
    values = readings[[name for name in MEASURED if name in readings]].where(known).assign(days=known.astype(float))
    rows = values.to_dataframe().reset_index()
    rows["start"] = rows["time"].dt.to_period(EVERY[every][:1]).dt.start_time
    groups = rows.groupby(["station", "depth", "start"], sort=True)
    found = groups[list(values.drop_vars("days"))].mean().assign(days=groups["days"].sum().astype(int)).reset_index()
    found = found[found["days"] >= fewest].reset_index(drop=True)
    found["year"], found["month"] = found["start"].dt.year, found["start"].dt.month
    crops = [name for name in farm if name.startswith("crop_")]
    deep = {name: [c for c in farm if c.startswith(f"{name}_") and c.endswith("cm")] for name in AT_DEPTH}
    plain = farm.drop(columns=[*crops, *sum(deep.values(), [])])
    found = found.merge(plain, "left", on="station").merge(_of_year(farm, crops), "left", on=["station", "year"])
    found["crop"] = found["crop"].fillna("")
    found["kind"] = [KINDS.get(CROPS.get(code, ""), code) for code in found["crop"]]
    found["cm"] = (100 * found["depth"]).round().astype(int)
    for name, columns in deep.items():
        if columns:
            found = found.merge(_at_depth(farm, name, columns), "left", on=["station", "cm"])
    first = ["station", "depth", "start", "year", "month", "days", *(n for n in MEASURED if n in found), "crop", "kind"]
    return found[[*first, *(c for c in found if c not in (*first, "cm"))]]


def _cell(maps, name, x, y):
    """Values of the maps in the cell that holds a place."""
    half = 0.5 * maps.attrs["cell"] * (1 + 1e-6)
    row, column = (int(np.abs(maps[axis].values - at).argmin()) for axis, at in (("y", y), ("x", x)))
    here = maps.isel(y=row, x=column)
    if max(abs(float(here["x"]) - x), abs(float(here["y"]) - y)) > half or not np.isfinite(here["elevation"]):
        raise InputError(f"station '{name}' at x = {x:.0f} m, y = {y:.0f} m lies outside the maps; correct its "
                         "position, or leave it out of the readings")
    order = ["elevation", "slope", "twi", *(n for n in maps if n not in ("elevation", "slope", "twi"))]
    return {n: here[n].values.item() for n in order}


def _layer(layers, name, depth):
    """The row of a table of layers that holds a depth, the nearest by its middle where several do; None without."""
    if layers is None:
        return None
    own = layers[(layers["station"] == name) & (layers["top"] <= depth + 1e-9) & (layers["bottom"] >= depth - 1e-9)]
    if own.empty:
        return None
    return own.loc[((own["top"] + own["bottom"]) / 2 - depth).abs().idxmin()]


def _of_year(farm, crops):
    """Crops of harvest years as station, year, crop."""
    parts = [pd.DataFrame({"station": farm["station"], "year": int(name[5:]), "crop": farm[name]}) for name in crops]
    return pd.concat(parts) if parts else pd.DataFrame({"station": [], "year": [], "crop": []}).astype({"year": int})


def _at_depth(farm, name, columns):
    """Values by station and depth [cm] of columns such as ph_30cm."""
    parts = [pd.DataFrame({"station": farm["station"], "cm": int(c.removeprefix(f"{name}_")[:-2]), name: farm[c]})
             for c in columns]
    return pd.concat(parts, ignore_index=True)
