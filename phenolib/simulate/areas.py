"""The two areas that the study maps, whole: the part of an archive for maps of 40 by 10 kilometres.

Half an hour and 16 GB are needed for it, so an archive has it only if it asks.
"""

from phenolib.simulate import maps, scenes
from phenolib.simulate.config import DEFAULT

YEARS = 2017, 2018  # of the scenes; maps are of the second, when its autumn was seen


def make(folder, *, config=DEFAULT):
    """Write both areas. folder, config: as ``maps.make``"""
    maps.make(folder, config=config, size=scenes.SIZE, years=dict.fromkeys(maps.YEARS, YEARS))
