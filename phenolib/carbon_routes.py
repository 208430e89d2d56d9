"""The daily series of sites from which soil carbon is told, by route, and what carbon in the metadata does to them.

Soil moisture of neutrons is computed *with* the carbon of the site's metadata: its hydrogen is taken off, and bulk
density, which falls with carbon, multiplies the rest. To tell carbon from such moisture reads back in part what was
put in. Point probes are the control. Counts, before any metadata, are one for the circle alone, and not for carbon: the
hydrogen of organic matter is in them and makes every size smaller, see ``moisture_events.wetness``.
"""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import moisture_events, neutrons, soil_carbon, station_moisture
from phenolib.errors import InputError, near
from phenolib.soil_carbon import CARBON

ROUTES = {"neutrons": "neutrons, as moisture", "counts": "neutrons, as counts", "probes": "point probes",
          "truth": "true moisture"}
DEPTH = 0.1  # m, of the probes that are read
APART = 1000.0  # km: widest group of stations that make a region where no table tells it


def gather(data, *, depth=None):
    """Sites with their carbon, and the daily series that an archive has of them.

    data     Archive with daily COSMOS-UK files, or else with stations of probes
    depth    of the probes [m]; default 0.1 for COSMOS-UK, the uppermost else
    returns  DataFrame of sites (site, cluster, soil_organic_carbon [g g⁻¹] and what is known of climate, texture,
             bulk_density, lattice_water; for stations latitude, and arid and cold by the class of their climate stand
             for rain and temperature, and groups no wider than 1000 km for regions);
             {route: (site, time) DataArray} of ``ROUTES``: neutrons [m³ m⁻³], counts (``moisture_events.wetness``),
             probes [m³ m⁻³]; rain (site, time) [mm d⁻¹] or None; and counts as counted (site, time) [h⁻¹] or None
    raises   InputError where the archive has neither, or nothing of carbon
    """
    kinds = data.kinds()
    if "cosmos" in kinds:
        return _of_cosmos(data, DEPTH if depth is None else depth)
    if "moisture_stations" not in kinds:
        raise InputError(f"archive '{data.name}' has no daily series of soil moisture; files of COSMOS-UK or of "
                         "stations of probes are needed")
    probes = data.station_moisture()["moisture"]
    depth = float(probes["depth"].min()) if depth is None else depth
    moisture = probes.sel(depth=depth, method="nearest").reset_coords(drop=True).rename(station="site")
    sites = data.moisture_stations().rename(columns={"station": "site", "organic_carbon": CARBON})
    if CARBON not in sites:
        raise InputError(f"archive '{data.name}' tells no organic carbon of its stations; "
                         "station_static_variables.csv.gz beside the probes is needed")
    if {"lon", "lat"} <= set(sites):
        sites["cluster"] = station_moisture.clusters(sites["lon"], sites["lat"], apart=APART)
        sites["latitude"] = sites["lat"]
    if "climate" in sites:  # classes of Köppen and Geiger: B is dry, D and E have cold winters
        told = sites["climate"].fillna("").str.strip().str[:1]
        for name, letters in (("arid", "B"), ("cold", "DE")):
            sites[name] = told.isin(list(letters)).astype(float).where(told.isin(list("ABCDE")))
    return sites, {"probes": moisture}, None, None


def _of_cosmos(data, depth):
    sites, daily = data.cosmos_sites(), data.cosmos_daily()
    made = {}
    if "theta" in daily:
        made["neutrons"] = daily["theta"]
    if "neutrons" in daily:
        made["counts"] = moisture_events.wetness(daily["neutrons"])
    if "theta_tdt" in daily:
        far = np.abs(daily["theta_tdt"]["probe_depth"].values - depth)
        made["probes"] = daily["theta_tdt"].isel(probe=np.flatnonzero(far <= far.min() + 1e-6)).mean("probe")
    made = {name: one.transpose("site", "time").reset_coords(drop=True) for name, one in made.items()}
    rain = daily["precip"].transpose("site", "time") if "precip" in daily else None
    counts = daily["neutrons"].transpose("site", "time") if "neutrons" in daily else None
    return sites, made, rain, counts


def tables(sites, series, rain=None, *, least=0.8, draws=100, level=0.9, seed=0):
    """Dynamics of every route, and the table to tell carbon from, at the sites that all routes have.

    sites, series, rain   of ``gather``
    least                 share of the sites that must have a feature, see ``soil_carbon.rows``
    draws, level, seed    of the intervals of the features
    returns               {route: DataFrame of ``moisture_events.features``}, {route: Rows}
    raises                InputError as ``moisture_events.features`` and ``soil_carbon.rows``
    """
    moves = {route: moisture_events.features(one, rain, draws=draws, level=level, seed=seed)
             for route, one in series.items()}
    made = {route: soil_carbon.rows(sites, one, least=least) for route, one in moves.items()}
    common = set.intersection(*(set(one.values.index) for one in made.values()))
    return moves, {route: one.take(np.flatnonzero(one.values.index.isin(common))) for route, one in made.items()}


# ---- what the metadata put in

CHANGES = {"carbon": "carbon", "density": "carbon and density", "kept": "carbon, N₀ kept"}


def shuffled(sites, theta, counts, rain=None, *, shuffles=10, changes=tuple(CHANGES), least=0.8, soc_as="crspy",
             seed=0):
    """Whose carbon do the dynamics tell: metadata are shuffled between sites, moisture is computed with them again.

    sites, theta, counts, rain   of ``gather``: theta and counts (as counted) of the neutrons
    shuffles      how often
    changes       "carbon": the probe is calibrated anew with it, see ``with_carbon``; "density": its bulk density comes
                  with it; "kept": carbon alone, with the N₀ of the true one
    least         of ``soil_carbon.rows``
    returns       DataFrame, a row per shuffle and change: shuffle, change, r2 (of the shuffled carbon, told from the
                  new dynamics alone, sites left out one at a time), before (the same from the old dynamics: chance),
                  follows (R² of ln wrong over own carbon, told from new less old dynamics: how far they follow what
                  was put in, beside all that differs between the sites)
    raises        InputError as ``with_carbon``, or for an unknown change
    """
    for change in changes:
        if change not in CHANGES:
            raise InputError(f"change '{change}' is not known{near(change, CHANGES)}")
    known = sites.set_index("site").loc[theta["site"].values].reset_index()
    own, rng, made = known[CARBON].to_numpy(), np.random.default_rng(seed), []
    old = moisture_events.features(theta, rain, draws=0)

    def told(rows, name="dynamics"):
        return soil_carbon.scores(rows, soil_carbon.predict(rows, name), draws=2)["r2"]["value"]

    for k in range(shuffles):
        order = rng.permutation(len(known))
        table = known.assign(**{CARBON: own[order]})
        first = soil_carbon.rows(table, old, least=least)
        before = told(first)
        for change in changes:
            density = known["bulk_density"].to_numpy()[order] if change == "density" else None
            again = with_carbon(theta, counts, known, own[order], density=density, anew=change != "kept",
                                soc_as=soc_as)
            new = soil_carbon.rows(table, moisture_events.features(again, rain, draws=0), least=least)
            common = new.values.index.intersection(first.values.index)
            names = [c for c in new.values if c in moisture_events.FEATURES and c in first.values]
            moved = new.values.loc[common, names] - first.values.loc[common, names]
            put = np.log(own[order] / own)[known["site"].isin(common)]
            made.append({"shuffle": k, "change": change, "r2": told(new), "before": before, "follows": told(
                soil_carbon.Rows(moved, put, np.arange(len(common)), ()))})
    return pd.DataFrame(made)


def calibration(theta, counts, sites, *, soc_as="crspy"):
    """N₀ that each site's moisture was computed with, told from moisture and counts.

    theta    (site, time) moisture of neutrons [m³ m⁻³]
    counts   (site, time) corrected counts [h⁻¹]
    sites    DataFrame with site, bulk_density, soil_organic_carbon, lattice_water
    soc_as   of ``neutrons.bound_water``
    returns  DataFrame by site: n0, spread (5–95 % over the days, relative), bound [g g⁻¹], bulk_density. A spread well
             above the rounding means that moisture came by another equation, or with other metadata
    """
    density, bound = _soil(sites, theta["site"].values, soc_as)
    ratio = neutrons.desilets_counts(theta, 1.0, bulk_density=_along(density, theta), bound=_along(bound, theta))
    with np.errstate(invalid="ignore"):
        each = (counts / ratio).transpose("site", "time").values
    low, middle, high = np.nanquantile(each, [0.05, 0.5, 0.95], axis=1)
    return pd.DataFrame({"n0": middle, "spread": (high - low) / middle, "bound": bound, "bulk_density": density},
                        index=pd.Index(theta["site"].values, name="site"))


def with_carbon(theta, counts, sites, carbon, *, density=None, anew=True, soc_as="crspy",
                days=30):
    """Moisture of neutrons as it would be had the metadata held another carbon: the counts are the same.

    The probe is calibrated anew, as it would have been: N₀ is that with which the counts give the moisture of the days
    of calibration, here the first ``days`` with a value, which were told by soil cores. So the level stays near, and
    what changes is by how much moisture answers to counts.

    theta    (site, time) moisture with the carbon of ``sites`` [m³ m⁻³]
    counts   (site, time) corrected counts [h⁻¹]
    sites    DataFrame with site, bulk_density [g cm⁻³], soil_organic_carbon, lattice_water [g g⁻¹]
    carbon   (site,) of the table in place of its own [g g⁻¹]
    density  (site,) in place of its own [g cm⁻³], or None
    anew     calibrate anew; False keeps N₀, as when a table is corrected after the fact
    returns  (site, time) [m³ m⁻³]; NaN where the counts are fewer than over water
    """
    names = theta["site"].values
    table = sites.set_index("site").loc[names].reset_index()
    known = calibration(theta, counts, table, soc_as=soc_as)
    other = table.assign(**{CARBON: np.asarray(carbon, float)})
    if density is not None:
        other["bulk_density"] = np.asarray(density, float)
    dense, bound = _soil(other, names, soc_as)
    theta, counts = theta.transpose("site", "time"), counts.transpose("site", "time")
    both = np.isfinite(theta.values) & np.isfinite(counts.values)
    first = both & (np.cumsum(both, 1) <= days)
    level = np.where(first, theta.values, 0).sum(1) / np.maximum(first.sum(1), 1)
    own = known["n0"].to_numpy() * neutrons.desilets_counts(
        level, 1.0, bulk_density=known["bulk_density"].to_numpy(), bound=known["bound"].to_numpy())
    n0 = (own / neutrons.desilets_counts(level, 1.0, bulk_density=dense, bound=bound) if anew
          else known["n0"].to_numpy())
    found = counts.copy(data=np.full(counts.shape, np.nan))
    for k in range(names.size):
        if first[k].any():
            found[k] = neutrons.desilets(counts[k], n0[k], bulk_density=dense[k], bound=bound[k])
    return found.where(both)


def _soil(sites, names, soc_as):
    """Bulk density and bound water (site,) in the order of the names."""
    table = sites.set_index("site")
    for column in ("bulk_density", CARBON):
        if column not in table:
            raise InputError(f"the sites have no column '{column}'{near(column, table.columns)}")
    table = table.reindex(names)
    lattice = table["lattice_water"].fillna(0).to_numpy(float) if "lattice_water" in table else 0.0
    density, carbon = table["bulk_density"].to_numpy(float), table[CARBON].to_numpy(float)
    if not (np.isfinite(density) & np.isfinite(carbon)).all():
        lost = names[~(np.isfinite(density) & np.isfinite(carbon))][0]
        raise InputError(f"site '{lost}' has no bulk density or no organic carbon; leave it out")
    return density, neutrons.bound_water(lattice, carbon, soc_as)


def _along(values, like):
    return xr.DataArray(values, {"site": like["site"].values}, ("site",))
