"""Three small areas through one year as one static STAC catalogue, the part of an archive that is read as scenes."""

from phenolib.simulate import parcels, scenes
from phenolib.simulate.config import DEFAULT

AREAS = {"delta": (-90.65, 35.62), "valley": (-121.74, 38.65), "belt": (-93.62, 42.03)}  # region: lon, lat
SIDE = 120  # pixels of 10 m


def make(folder, *, config=DEFAULT):
    """Write the catalogue part of an archive.

    folder   receives catalogue/catalog.json and its scenes, areas.csv, crop_maps/<area>_<year>.tif,
             truth/<area>_parcels.tif, truth/catalogue_seasons.csv, truth/catalogue_parcels.csv and archive.yml
    config   for the seed, the ``catalogue_year`` and the assumptions
    """
    areas = [parcels.around(region, *place, (SIDE, SIDE), region) for region, place in AREAS.items()]
    year = config.catalogue_year
    scenes.write(folder, areas, name="catalogue", years=(year, year), config=config)
