"""The responses that networks learn from rows of ``breath``, and how near they are to true ones.

A truth is that of a simulated archive, ``breath_truth()``. It is read here for scores alone.
"""

import numpy as np
import pandas as pd

from phenolib.breath import thinned
from phenolib.breath_models import network
from phenolib.errors import InputError


def learn(table, water, region, *, driver="gpp", form="product", most=2000, truth=None, **options):
    """The responses of a region: network and curves.

    table    rows, of which those of the region with moisture and temperature are taken
    water    of ``soils``
    region   name
    driver   "gpp", "uptake" or "" for no term of plants; there is none where no row has the driver (chambers)
    form     "product" or "free"
    most     rows of a site, evenly in time
    truth    of ``breath_truth()``, or None
    options  of ``network``
    returns  what ``network`` returned, and ``curves``
    """
    part = table[table["region"] == region].dropna(subset=["moisture", "temperature"])
    plants = bool(driver) and part[driver].notna().any()
    part = thinned(part.dropna(subset=[driver]) if plants else part, most)
    found = network(part, water, form=form, plants=plants, driver=driver, **options)
    name = None if truth is None else _named(part["site"].iloc[0], truth)
    return found, curves(found, part, water, truth=None if name is None else truth.sel(site=name))


def _named(site, truth):
    """The site of the truth at which a tower or a chamber stands, or None."""
    return next((name for name in truth["site"].values if name in site), None)


def curves(found, rows, water, *, truth=None, points=80):
    """Learned responses on a grid over the data, with what they are held against.

    found    what ``network`` returned
    rows     that it was fitted to
    water    of ``soils``
    truth    Dataset of one site of ``breath_truth()`` with f (s) and g (temperature), or None
    points   of the grid, from 5 to 95 % of the rows
    returns  dict: s, f (mean, low, high), temperature, g (mean, low, high), wilting (median of θ_wilt/θ_sat, for the
             curve of JULES), seen_s, seen_t (of the rows), true_f, true_g (scaled as the learned ones: a largest f of
             1 on the grid, g = 1 where the learned one is; None where the truth is no product or is not known)
    """
    s, t = (np.linspace(*found.ranges[name], points) for name in ("s", "temperature"))
    own = water.loc[list(found.sites)]
    made = {"s": s, "f": found.moisture_response(s), "temperature": t, "g": found.temperature_response(t),
            "wilting": float((own["wilting"] / own["saturated"]).clip(0.02, 0.95).median()),
            "seen_s": (rows["moisture"] / rows["site"].map(water["saturated"])).to_numpy(),
            "seen_t": rows["temperature"].to_numpy(), "true_f": None, "true_g": None}
    if truth is not None and np.isfinite(truth["f"]).any():
        f, g = np.interp(s, truth["s"], truth["f"]), np.interp(t, truth["temperature"], truth["g"])
        made["true_f"] = f / f.max()
        made["true_g"] = g / np.interp(found.reference, truth["temperature"], truth["g"])
    return made


def response_error(mean, low, high, truth):
    """How far a learned response is from the true one, over the range on which both are.

    mean, low, high  (grid,) learned response and its band, NaN outside the data
    truth            (grid,) true response, scaled alike
    returns          error: mean of |learned − true| over mean of |true| [-]; coverage: share of the grid on which the
                     band holds the truth [-]; share: of the grid that is judged
    raises           InputError where nothing of the grid is known
    """
    mean, low, high, truth = (np.asarray(v, float) for v in (mean, low, high, truth))
    known = np.isfinite(mean) & np.isfinite(truth)
    if not known.any():
        raise InputError("the learned and the true response have no point of the grid in common")
    away = np.abs(mean - truth)[known].mean() / np.abs(truth[known]).mean()
    inside = (low <= truth) & (truth <= high)
    return {"error": float(away), "coverage": float(inside[known].mean()), "share": float(known.mean())}


def response_errors(learned):
    """``response_error`` of all curves that have a truth.

    learned  region → what ``learn`` returned
    returns  DataFrame: region, curve ("f", "g"), error, coverage, share
    """
    lines = [{"region": name, "curve": curve, **response_error(*own[curve], own[f"true_{curve}"])}
             for name, (_, own) in learned.items() for curve in ("f", "g") if own[f"true_{curve}"] is not None]
    return pd.DataFrame(lines, columns=["region", "curve", "error", "coverage", "share"])


WAYS = {"no_plants": "no term for plants", "net_uptake": "net uptake", "gpp": "GPP of the partition",
        "true_soil": "and true θ_sat", "true_moisture": "and true θ"}


def put_right(table, water, regions, *, truth, **options):
    """Where the error of f comes from: learned anew, with one thing after the other put right.

    table    rows
    water    of ``soils``
    regions  names; those without a true f are left out
    truth    of ``breath_truth()``: f, saturated (site), theta (site, time); None gives an empty table
    options  of ``learn``
    returns  DataFrame: region, of ("towers", "chambers"), way (of ``WAYS``), error, coverage of f. Chambers hear no
             plants, so for them the first three ways are one
    """
    lines, columns = [], ["region", "of", "way", "error", "coverage"]
    if truth is None:
        return pd.DataFrame(lines, columns=columns)
    known, exact = water.copy(), table.copy()
    for site in table["site"].unique():
        if (name := _named(site, truth)) is not None:
            known.loc[site, "saturated"] = float(truth["saturated"].sel(site=name))
            own = exact["site"] == site
            exact.loc[own, "moisture"] = truth["theta"].sel(site=name).interp(time=exact.loc[own, "time"].values).values
    ways = {"no_plants": (table, water, ""), "net_uptake": (table, water, "uptake"), "gpp": (table, water, "gpp"),
            "true_soil": (table, known, "gpp"), "true_moisture": (exact, known, "gpp")}
    for region in regions:
        some = table[table["region"] == region]
        kind, name = some["instrument"].iloc[0], _named(some["site"].iloc[0], truth)
        if name is None or not np.isfinite(truth["f"].sel(site=name)).any():
            continue
        for way, (rows, soil, driver) in ways.items():
            if kind == "chamber" and way in ("net_uptake", "gpp"):
                continue
            _, own = learn(rows, soil, region, driver=driver, truth=truth, **options)
            found = response_error(*own["f"], own["true_f"])
            lines.append({"region": region, "of": f"{kind}s", "way": way, **{k: found[k] for k in columns[3:]}})
    return pd.DataFrame(lines, columns=columns)


def parts_of_respiration(table, learned, truth):
    """What towers measure, and what of it is of the soil: means over the rows of each tower [µmol m⁻² s⁻¹].

    table    rows
    learned  region → what ``learn`` returned
    truth    of ``breath_truth()``: soil, plant (site, time)
    returns  DataFrame by tower: tower, soil_learned, soil_true, plant_true
    """
    lines = {}
    for site, rows in table[table["instrument"] == "tower"].dropna(subset=["moisture", "temperature"]).groupby("site"):
        true, net = truth.sel(site=site, time=rows["time"].to_numpy()), learned[rows["region"].iloc[0]][0]
        soil = net.predict(rows["moisture"].to_numpy(), rows["temperature"].to_numpy(), site, part="soil")[0]
        lines[site] = {"tower": rows["flux"].mean(), "soil_learned": soil.mean(),
                       "soil_true": float(true["soil"].mean()), "plant_true": float(true["plant"].mean())}
    return pd.DataFrame(lines).T
