"""Calibration of a cosmic-ray neutron probe: what it would count over dry soil, from cores taken around it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.neutron_footprint import check, depth86, depth_weights, distance_weights, rescaled
from phenolib.neutrons import bound_water, corrected, parameters_of, to_counts, with_humidity

SAMPLE = ("distance", "depth", "theta_g", "bulk_density", "organic_carbon", "lattice_water")  # of a core


@dataclass(frozen=True)
class Calibration:
    """What a probe counts over dry soil, from cores.

    n0            N₀ of Desilets, or N_D of the universal transport solution [counts per hour]: mean of the campaigns
    low, high     interval from cores drawn anew within each distance, and from the chance of counting; it knows nothing
                  of what else differs between campaigns, see ``spread``
    campaigns     DataFrame, a row for each: time, n0, low, high, neutrons (corrected), hours (counted), theta,
                  bulk_density and bound as the probe sees them, depth86 [m], covered (share of the depth weight within
                  the cores), profiles
    form, soc_as  with which it was made, and with which alone it is to be read
    """

    n0: float
    low: float
    high: float
    campaigns: pd.DataFrame
    form: str
    soc_as: str

    @property
    def soil(self):
        """bulk_density and bound, means of the campaigns, as the other functions take them."""
        return {name: float(self.campaigns[name].mean()) for name in ("bulk_density", "bound")}

    @property
    def spread(self):
        """Largest less smallest N₀ of the campaigns, as a share of their mean [-]; 0 for one campaign.

        Where it is much more than their intervals, one number does not fit the site, whatever the interval of n0 says.
        """
        return float(np.ptp(self.campaigns["n0"]) / self.n0)


def calibrate(cores, data, *, hours=24, form="desilets", soc_as="crspy", vegetation=0.0, draws=300, level=0.9, seed=0,
              **correction):
    """N₀ from soil cores and the counts at their time.

    Moisture, bulk density and bound water of the cores are averaged by depth, with D86 of the footprint's mean moisture
    and the bulk density of the profile, and then by distance; as the weights depend on the mean, this is repeated until
    it stays (Schrön et al. 2017). Then N₀ is the corrected count over what the curve gives for N₀ = 1.

    cores       DataFrame of time, profile, distance [m], depth [m], theta_g [g g⁻¹], bulk_density [g cm⁻³],
                organic_carbon and lattice_water [g g⁻¹]; a row for each sample, as ``sources.neutron_series`` reads it
    data        (time,) hourly Dataset as ``neutrons.moisture`` takes it
    hours       counts are averaged over so many hours around the time of the cores
    form        one of ``neutrons.FORMS``
    soc_as      see ``neutrons.bound_water``
    vegetation  height of the plants [m]
    draws       of cores and counts, for the interval of probability level
    correction  as in ``neutrons.moisture``; it must be the same there
    returns     Calibration
    raises      InputError for missing columns or values, values out of range, moisture above 1, a sample twice, or a
                campaign with less than half of its hours counted
    """
    lacking = [n for n in (*SAMPLE, "time", "profile") if n not in cores]
    if lacking:
        raise InputError(f"the cores have no column '{lacking[0]}'{near(lacking[0], cores.columns)}")
    lost = cores.index[cores[[*SAMPLE]].isna().any(axis=1)]
    if len(lost) or not len(cores):
        raise InputError(f"row {lost[0]} of the cores has a missing value; leave the row out" if len(lost)
                         else "there are no cores")
    twice = cores.index[cores.duplicated(["time", "distance", "profile", "depth"])]
    if len(twice):
        raise InputError(f"row {twice[0]} of the cores is the second of its profile and depth; keep one")
    parameters_of(form)
    bound = bound_water(cores["lattice_water"], cores["organic_carbon"], soc_as)
    rng, rows, drawn = np.random.default_rng(seed), [], []
    for time, part in cores.assign(bound=bound, theta=cores["theta_g"] * cores["bulk_density"]).groupby("time"):
        check("soil moisture", part["theta"])
        grid = part.assign(water=part["bound"] * part["bulk_density"]).pivot(
            index=["distance", "profile"], columns="depth", values=["theta", "bulk_density", "water"])
        counted = _around(data, time, hours, form, correction)
        layers = np.stack([grid[name].to_numpy() for name in ("theta", "bulk_density", "water")])
        depths = grid["theta"].columns.to_numpy(float)
        distance = grid.index.get_level_values("distance").to_numpy(float)
        seen = _seen(layers, depths, distance, counted, vegetation)
        again = []
        for _ in range(int(draws)):
            pick = np.concatenate([rng.choice(np.flatnonzero(distance == d), (distance == d).sum())
                                   for d in np.unique(distance)])
            again.append(rng.poisson(counted["total"]) / counted["total"] * counted["neutrons"] / _per_n0(
                _seen(layers[:, pick], depths, distance[pick], counted, vegetation), form, counted["humidity"]))
        found = counted["neutrons"] / _per_n0(seen, form, counted["humidity"])
        drawn.append(again)
        low, high = _interval(again, level)
        rows.append({"time": time, "n0": found, "low": low, "high": high, "neutrons": counted["neutrons"],
                     "hours": counted["hours"], **seen, "profiles": len(distance)})
    table = pd.DataFrame(rows)
    return Calibration(float(table["n0"].mean()), *_interval(np.mean(drawn, axis=0), level), table, form, soc_as)


def _interval(values, level):
    if not np.size(values):
        return np.nan, np.nan
    return tuple(float(q) for q in np.quantile(values, (0.5 - level / 2, 0.5 + level / 2)))


def _around(data, time, hours, form, correction):
    """Means of the hours around a time: corrected counts, humidity, pressure; and how much was counted."""
    data, water = with_humidity(data)
    away = (data["time"].values - np.datetime64(time)) / np.timedelta64(1, "h")
    at = (away > -hours / 2) & (away <= hours / 2)
    part, water = data.isel(time=at), water.isel(time=at)
    known = (part["neutrons"] * part["pa"] * water).notnull().values
    if known.sum() < hours / 2:
        raise InputError(f"only {known.sum()} of {hours} hours around the cores of {str(np.datetime64(time))[:16]} "
                         "were counted with pressure and humidity; give longer hours or leave these cores out")
    part, water = part.isel(time=known), water.isel(time=known)
    correction = {name: v.sel(time=part["time"]) if hasattr(v, "dims") and "time" in v.dims else v
                  for name, v in correction.items()}
    humidity = water if form == "desilets" else None
    mean = corrected(part["neutrons"], pressure=part["pa"], humidity=humidity, **correction)
    return {"neutrons": float(mean.mean()), "humidity": float(water.mean()), "pressure": float(part["pa"].mean()),
            "total": float(part["neutrons"].sum()), "hours": int(known.sum())}


def _seen(layers, depths, distance, air, vegetation):
    """Means of (theta, bulk density, bound water per volume) (3, profile, depth) as the probe sees them."""
    known = np.isfinite(layers).all(0)
    layers = np.where(known, layers, 0)
    density = layers[1].sum(1) / known.sum(1)
    mean = layers[0].sum() / known.sum()
    for _ in range(100):
        r = rescaled(distance, pressure=air["pressure"], theta=mean, vegetation=vegetation)
        depth, far = depth86(mean, density, r), distance_weights(r, mean, air["humidity"])
        down = depth_weights(depths, depth) * known
        covered = down.sum(1)
        weights = down / covered[:, None] * (far / far.sum())[:, None]
        mean, before = (weights * layers[0]).sum(), mean
        if abs(mean - before) < 1e-6:
            break
    dense, water = ((weights * layers[k]).sum() for k in (1, 2))
    return {"theta": float(mean), "bulk_density": float(dense), "bound": float(water / dense),
            "depth86": float((far * depth).sum() / far.sum()), "covered": float((far * covered).sum() / far.sum())}


def _per_n0(seen, form, humidity):
    return float(to_counts(seen["theta"], 1.0, form, humidity, seen["bulk_density"], seen["bound"]))
