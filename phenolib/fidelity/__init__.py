"""Statistics by which simulated series are held against real ones: the same from any archive, as one tidy table.

    python -m phenolib.fidelity FOLDER --out FILE --source "who measured it, under which licence"
    python -m phenolib.fidelity simulated --against FILE --places sim-square
"""

import pandas as pd

from phenolib.errors import InputError, near
from phenolib.fidelity.cameras import of_cameras
from phenolib.fidelity.patches import of_place
from phenolib.fidelity.stages import of_fields, progress, read_progress
from phenolib.fidelity.tables import COLUMNS, KEYS, attribution, compare, distances, read, result, summary, write

__all__ = ["COLUMNS", "KEYS", "attribution", "compare", "distances", "of_cameras", "of_fields", "of_place", "progress",
           "read", "read_progress", "result", "statistics", "summary", "write"]


def statistics(archive, *, places="", climate="midwest", draws=200, seed=0):
    """All statistics that the files of an archive allow.

    archive  ``archive.Archive``, simulated or real
    places   how the names of the patches begin that are taken, e.g. those in the climate of the other archive
    climate  in which fields are taken whose true dates are known; weekly crop progress is of one state
    draws    of the bootstrap over fields, sites or years
    seed     of the draws
    returns  DataFrame ``COLUMNS``, sorted: what, crop ("" for all together), month (1–12; of a quarter its middle
             month; 0: no month), value with its 95 % interval low, high (missing with one group), n (values in the
             sample) and unit
    raises   InputError if no place begins so, and as the readers of the files

    What is in it: monthly medians by crop of NDVI, VV and VH, their change, NDVI of the ripe canopy, noise and speckle,
    clear dates and their gaps (``patches``); shape, noise and dates of the camera series (``cameras``); how sowing and
    stages are spread, from the true dates of fields or from weekly crop progress, where there is one (``stages``).
    """
    taken = [place for place in archive.patch_places["place"] if place.startswith(places)]
    if places and not taken:
        raise InputError(f"no place of patches in '{archive.name}' begins with '{places}'"
                         f"{near(places, archive.patch_places['place'])}")
    rows = [row for place in taken for row in of_place(archive.patch(place), place)] + of_cameras(archive)
    reports = sorted(archive.root.glob("**/*crop_progress*.csv"))
    staged = [of_fields(archive.field_dates, climate), *(read_progress(path) for path in reports)]
    parts = [summary(rows, draws=draws, seed=seed), *(
        progress(one, draws=draws, seed=seed) for one in staged if len(one))]
    return pd.concat([part for part in parts if len(part)] or parts).sort_values(KEYS, ignore_index=True)
