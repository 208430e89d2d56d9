"""One module per kind of file: ``read`` gives xarray with units, ``write`` makes the same format again."""

from importlib import import_module

MODULES = ("coarse_moisture", "cosmos", "earth_engine", "field_sensors", "flux_tower", "fusion_pairs", "incubations",
           "minirhizotron", "moisture_stations", "neutron_series", "phenocam", "plot_tables", "rasters",
           "regional_images", "rsml", "sentinel", "site_series", "soil_stations", "stac", "stac_catalog",
           "stac_patches", "timesat")


def __getattr__(name):
    if name in MODULES:
        return import_module(f"phenolib.sources.{name}")
    raise AttributeError(f"module 'phenolib.sources' has no attribute '{name}'")


def __dir__():
    return sorted(MODULES)
