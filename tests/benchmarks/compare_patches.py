"""How far the simulated patches are from real ones: monthly medians of NDVI, VV and VH by crop, and their differences.

    python tests/benchmarks/compare_patches.py FOLDER             real patches with crop maps
    … --crops "winter wheat,maize" --other ANOTHER_ARCHIVE        in place of the simulated archive

Medians over the interior pixels of a crop (NDVI) and of the mean power of coarse pixels that lie in it (radar), in the
year of the map, then over the places. Not a test: nothing here is held against a bound.
"""

import argparse

import numpy as np
import pandas as pd

import phenolib as ph
from phenolib.sources import sentinel

CROPS = "winter wheat,maize,permanent grass"
NEAR = 2.0  # dB
FEWEST = 12, 4  # interior pixels of a crop at a place, optical and radar


def months(archive, crops):
    """Monthly medians of an archive: DataFrame (crop, what) × month."""
    data, rows = ph.open_archive(archive), []
    for place in data.patch_places.query("optical and radar and crops")["place"]:
        patch = data.patch(place)
        labels = patch["crops"]["crop"]
        coarse = sentinel.on_coarse(labels, patch["radar"])
        year = str(pd.Timestamp(patch["crops"].attrs["until"]).year)
        ndvi = ph.indices.index("NDVI", sentinel.clear(patch["optical"]))
        for code, crop in sentinel.CROPS.items():
            inside = (labels == code) & sentinel.interior(labels)
            within = (coarse == code) & sentinel.interior(coarse)
            if crop not in crops or inside.sum() < FEWEST[0] or within.sum() < FEWEST[1]:
                continue
            series = {"NDVI": ndvi.where(inside).median(("y", "x"))}
            for band in ("vv", "vh"):
                series[band.upper()] = ph.indices.to_db(patch["radar"][band].where(within).mean(("y", "x")))
            for what, values in series.items():
                middle = values.sel(time=year).dropna("time").groupby("time.month").median()
                rows += [(crop, what, int(m), float(v)) for m, v in zip(middle["month"].values, middle.values)]
    table = pd.DataFrame(rows, columns=["crop", "what", "month", "value"])
    return table.groupby(["crop", "what", "month"])["value"].median().unstack()


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("real")
    ask.add_argument("--other", default="simulated")
    ask.add_argument("--crops", default=CROPS)
    given = ask.parse_args()
    crops = given.crops.split(",")
    real, other = months(given.real, crops), months(given.other, crops)
    away = other - real
    for name, table in (("real", real), (f"{given.other} − real", away)):
        print(f"{name}\n{table.round(2).to_string()}\n")
    print("median size of the difference\n" + away.abs().median(axis=1).unstack().round(2).to_string())
    radar = away[away.index.get_level_values("what") != "NDVI"].stack()
    print(f"radar months within {NEAR:g} dB: {np.mean(radar.abs() <= NEAR):.2f}")


if __name__ == "__main__":
    main()
