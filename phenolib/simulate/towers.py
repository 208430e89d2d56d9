"""Simulated stations of soil moisture, flux towers, neutron probes, soil chambers: the part ``towers`` of an archive.

Sites, soils, weather and water are those of ``tower_water``, what breathes is in ``tower_breath``, what instruments see
in ``tower_view``. The truth lies in truth/.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenolib.errors import InputError, near
from phenolib.files import atomic, write_text
from phenolib.simulate import tower_breath, tower_view, tower_water
from phenolib.simulate.config import DEFAULT
from phenolib.sources import cosmos, field_sensors, flux_tower, neutron_series

LINKS = "tied", "free"
CHAMBERS = (2, 3), (4, 4)  # of the two chamber sites: half-hours between measurements, and chambers

ARCHIVE = """\
title: simulated
licence: CC0-1.0
note: simulated network of soil moisture, neutrons and fluxes with known truth; soil carbon {carbon}; seed {seed}
kinds:
  cosmos: {{path: "cosmos/COSMOS-UK_*_HydroSoil_Daily_*[0-9].csv"}}
  cosmos_sites: {{path: "cosmos/COSMOS-UK_SiteMetadata_*.csv"}}
"""
KINDS = {"flux_towers": ("towers", "FLX_*.csv"), "neutron_series": ("cosmic_ray", "*_time_series.csv.gz"),
         "neutron_cores": ("cosmic_ray", "*_calibration.csv"), "chambers": ("soil_respiration", "*.csv.gz")}


@dataclass(frozen=True)
class Settings:
    """What an archive of towers may ask for beside the seed."""

    sites: int = 54
    first: int = 2014  # year of the daily files
    last: int = 2021
    flux_sites: int = 12  # at most; towers stand in three of the five regions
    flux_years: int = 2  # the last ones; 0: no towers and no chambers
    neutron_sites: int = 4  # at most, with counts of the last year by the hour, and soil cores
    carbon: str = "tied"  # to climate, clay and cover, or "free" of them

    def __post_init__(self):
        for name, low, high in (("sites", 5, 500), ("first", 1990, 2100), ("last", 1990, 2100), ("flux_sites", 0, 60),
                                ("flux_years", 0, 20), ("neutron_sites", 0, 60)):
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"{name} = {value}: give a whole number from {low} to {high}")
        if self.last < self.first:
            raise InputError(f"last = {self.last} lies before first = {self.first}; give the first year first")
        if self.flux_years > self.last - self.first + 1:
            raise InputError(f"flux_years = {self.flux_years}: there are {self.last - self.first + 1} years from "
                             f"{self.first} to {self.last}")
        if self.carbon not in LINKS:
            raise InputError(f"carbon = '{self.carbon}': give tied or free{near(str(self.carbon), LINKS)}")


@dataclass(frozen=True)
class World:
    """All that is true: the table of sites, soil, sky, water and field (neutrons) of the modules, green, and days, the
    slice of the days of the files"""

    table: pd.DataFrame
    soil: object
    sky: dict
    water: object
    field: object
    green: np.ndarray
    days: slice

    def year(self, first, last=None):
        """The days of years. returns slice"""
        last = first if last is None else last
        return slice(*np.searchsorted(self.sky["time"], [np.datetime64(f"{first}-01-01"),
                                                         np.datetime64(f"{last + 1}-01-01")]))


def world(config=DEFAULT, settings=None):
    """Sites, soils, weather, water and neutrons, before any instrument. returns World"""
    settings = settings or Settings()
    table = tower_water.sites(config.seed, settings.sites, settings.carbon)
    soil = tower_water.soils(table)
    sky = tower_water.make_weather(config.seed, table, (settings.first, settings.last), rain=config.rain,
                                   warmer=config.warmer)
    green = tower_water.leaves(table, sky["time"])
    water = tower_water.balance(table, soil, sky, green)
    field = tower_view.neutron_field(config.seed, table, sky, water, green)
    first = int(np.searchsorted(sky["time"], np.datetime64(f"{settings.first}-01-01")))
    return World(table, soil, sky, water, field, green, slice(first, len(sky["time"])))


def make(folder, *, config=DEFAULT, settings=None):
    """Write the part of an archive for the network.

    folder    receives cosmos/ (daily readings with flags, sites, soils), towers/ (half-hourly fluxes), cosmic_ray/
              (hourly counts, cores), soil_respiration/ (chambers), archive.yml, and truth/
    config    for the seed, the rain and the warmth
    settings  ``Settings``; None: the defaults
    """
    folder, settings, seed = Path(folder), settings or Settings(), config.seed
    made = world(config, settings)
    years = f"{settings.first}-{settings.last}"
    survey = tower_view.surveyed(seed, made.table)
    facts = write_daily(folder / "cosmos", seed, made, survey, years)
    towers = write_breath(folder, seed, made, settings) if settings.flux_years and settings.flux_sites else []
    write_hours(folder, seed, made, settings)
    write_soils(folder / "cosmos", made, survey, towers)
    write_truth(folder / "truth", made, facts)
    kinds = [f'  {kind}: {{path: "{where}/{pattern}"}}\n' for kind, (where, pattern) in KINDS.items()
             if any((folder / where).glob(pattern))]
    write_text(folder / "archive.yml", ARCHIVE.format(carbon=settings.carbon, seed=seed) + "".join(kinds))


def write_daily(folder, seed, made, survey, years):
    """Daily readings with flags, and metadata. returns DataFrame by site: n0, start"""
    facts = []
    for place, measured in zip(made.table.itertuples(), survey.itertuples()):
        data, flags = tower_view.daily(seed, place, measured, place.Index, made.sky, made.water, made.field, made.green,
                                       made.days)
        path = folder / f"COSMOS-UK_{place.site}_HydroSoil_Daily_{years}.csv"
        cosmos.write(data, path)
        flags = flags.rename(columns=lambda name: f"{name}_FLAG")
        flags.insert(0, "DATE_TIME", data.indexes["time"].strftime("%Y-%m-%d %H:%M:%S"))
        flags.insert(1, "SITE_ID", place.site)
        with atomic(path.with_name(f"{path.stem}_Flags.csv")) as part:
            part.write_bytes(flags.to_csv(index=False, lineterminator="\n").encode())
        facts.append({"site": place.site, "n0": data.attrs["n0"], "start": data.attrs["start"]})
    facts = pd.DataFrame(facts)
    kinds = np.where(made.table["organic_carbon"] > 0.12, "Organic soil", np.where(
        made.table["clay"] > 0.3, "Calcareous mineral soil", "Mineral soil"))
    sites = made.table[["site", "lon", "lat", "elevation", "land_cover"]].merge(survey.drop(
        columns=["sand", "clay", "theta_errors"]), on="site").assign(
            name=[f"Simulated {cluster} {site}" for cluster, site in zip(made.table["cluster"], made.table["site"])],
            start=facts["start"].to_numpy(), end=None, soil_type=kinds)
    cosmos.write_metadata(sites, folder / f"COSMOS-UK_SiteMetadata_{years}.csv")
    return facts


def write_soils(folder, made, survey, towers):
    """Texture of soil maps, region and normals of climate, and which site has a tower."""
    there = {tower.site: tower.code for tower in towers}
    table = made.table[["site", "cluster", "mean_rain", "mean_temperature"]].merge(survey[["site", "sand", "clay"]])
    table["tower"] = [there.get(site, "") for site in table["site"]]
    table = table[["site", "sand", "clay", "cluster", "mean_rain", "mean_temperature", "tower"]]
    with atomic(folder / "site_soils.csv") as part:
        part.write_bytes(table.round({"mean_rain": 1, "mean_temperature": 2}).to_csv(
            index=False, lineterminator="\n").encode())


def write_breath(folder, seed, made, settings):
    """Files of towers and chambers, and the truth of their fluxes. returns list of Tower"""
    towers = tower_breath.towers(seed, made.table, made.soil, settings.flux_sites)
    first = settings.last - settings.flux_years + 1
    days = made.year(first, settings.last)
    places, found = list(made.table.itertuples()), []
    for tower in towers:
        place = places[tower.number]
        true = tower_breath.breath(seed, tower, place, made.soil, made.sky, made.water, made.green, days)
        data = tower_breath.measured(seed, tower, place, true, made.water.evaporation[days, tower.number])
        flux_tower.write(data, folder / "towers" / f"FLX_{tower.code}_FLUXNET2015_FULLSET_HH_{first}-{settings.last}"
                         "_1-4.csv")
        found.append(true)
    truth = tower_breath.true_dataset(towers, found, made.soil)
    _netcdf(truth, folder / "truth" / "towers_breath.nc")
    for number, ((every, count), tower, true) in enumerate(zip(CHAMBERS, towers, found)):
        table = tower_breath.chambers(seed, tower, places[tower.number], true, every=every, count=count)
        path = folder / "soil_respiration" / f"simulated_{tower.code}.csv.gz"
        note = "soil moisture is the share of the volume"
        if number == 1:
            table["moisture_5cm"] = (100 * table["moisture_5cm"]).round(2)
            note = "soil moisture is in per cent of the volume"
        field_sensors.write(table, path)
        beside = path.with_name(path.name.removesuffix(".csv.gz") + "_DESCRIPTION.txt")
        write_text(beside, beside.read_text(encoding="utf-8") + f"CSR_SITE_ID: {tower.code}\nCSR_NOTES: {note}\n")
    return towers


def write_hours(folder, seed, made, settings):
    """Hourly counts and cores of the last year, at sites spread over the regions, and the incoming rays as truth."""
    days = made.year(settings.last)
    for number in hourly_sites(made.table, settings.neutron_sites):
        place = next(made.table.iloc[[number]].itertuples())
        series = tower_view.hourly(seed, place, number, made.sky, made.water, made.field, days)
        neutron_series.write(series, folder / "cosmic_ray" / f"{place.site}_time_series.csv.gz")
        neutron_series.write_cores(tower_view.cores(seed, place, number, made.sky, made.water, days),
                                   folder / "cosmic_ray" / f"{place.site}_calibration.csv")
        rays = xr.Dataset({"incoming": ("time", tower_view.incoming(seed, series["time"].values))},
                          {"time": series["time"]})
        _netcdf(rays, folder / "truth" / "towers_incoming.nc")


def hourly_sites(table, count):
    """Numbers of the sites with an hourly series: every sixth from the second on, so that regions and soils differ."""
    order = [k for start in range(6) for k in range((1 + start) % 6, len(table), 6)]
    return sorted(order[:count])


def write_truth(folder, made, facts):
    """Moisture by layers and as neutrons weight it, and what is true of the sites."""
    theta = np.moveaxis(made.water.theta[made.days], 1, 2).transpose(1, 0, 2).astype(np.float32)
    tops, bottoms = zip(*tower_water.LAYERS)
    coords = {"site": made.table["site"].to_numpy(), "time": made.sky["time"][made.days].astype("datetime64[ns]"),
              "top": ("layer", list(tops)), "bottom": ("layer", list(bottoms))}
    about = {"units": "m3 m-3"}
    truth = xr.Dataset({
        "theta": (("site", "time", "layer"), theta, about),
        "theta_neutron": (("site", "time"), made.field.theta[made.days].T.astype(np.float32), about),
        "snow": (("site", "time"), made.water.snow[made.days].T.astype(np.float32), {"units": "mm"}),
        "evaporation": (("site", "time"), made.water.evaporation[made.days].T.astype(np.float32), {"units": "mm"}),
        "drainage": (("site", "time"), made.water.drainage[made.days].T.astype(np.float32), {"units": "mm"}),
        "runoff": (("site", "time"), made.water.runoff[made.days].T.astype(np.float32), {"units": "mm"})}, coords)
    _netcdf(truth, folder / "towers_moisture.nc")
    soil, sites = made.soil, made.table.merge(facts, on="site").assign(
        n_dry=made.field.n_dry, bound=made.field.bound)
    for name in ("saturated", "critical", "wilting", "b", "psi", "conductivity", "organic"):
        values = getattr(soil, name)
        sites[name] = values[0]
        sites[f"{name}_root_zone"] = values[1]
    with atomic(folder / "towers_sites.csv") as part:
        part.write_bytes(sites.round(6).to_csv(index=False, lineterminator="\n").encode())


def _netcdf(data, path):
    """A compressed file, the same bytes for the same values."""
    encoding = {name: dict(zlib=True, complevel=2, shuffle=True) for name in data.data_vars
                if data[name].dtype.kind == "f" and data[name].ndim > 1}
    encoding["time"] = {"units": "minutes since 1970-01-01", "dtype": "int32"}
    with atomic(path) as part:
        data.to_netcdf(part, engine="h5netcdf", encoding=encoding)
