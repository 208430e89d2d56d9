"""Strips of the two areas that the study maps, as one static STAC catalogue: the part of an archive for maps.

The areas are those of Zhao et al. (2022), doi:10.1016/j.rse.2022.113046, 4000 × 1000 pixels; here the middle of each,
``SIZE``. ``simulate.areas`` writes them whole, ``phenolib simulate --scene`` a whole one.
"""

from phenolib.simulate import parcels, scenes
from phenolib.simulate.config import DEFAULT

SIZE = 400, 100  # rows and columns of 10 m
YEARS = {"TA1": (2017, 2018), "TA2": (2016, 2022)}  # of the scenes; maps begin a year later, when autumn was seen
BANDS = "B02", "B03", "B04", "B08", "scl", "vv", "vh"


def make(folder, *, config=DEFAULT, size=SIZE, years=YEARS):
    """Write the part of an archive that is mapped.

    folder   receives catalogue/catalog.json and its scenes, areas.csv, crop_maps/<area>_<year>.tif,
             truth/<area>_parcels.tif, truth/maps_seasons.csv, truth/maps_parcels.csv and archive.yml
    config   for the seed and the assumptions
    size     of each area, rows and columns of 10 m
    years    {name of an area: first and last year}
    """
    areas = [parcels.around(name, *scenes.AREAS[name][:2], size, scenes.AREAS[name][2]) for name in years]
    scenes.write(folder, areas, name="maps", years=years, config=config, bands=BANDS)
