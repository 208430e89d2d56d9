"""Real camera files beside patches fetched from a catalogue: the way of a reader who has satellites at the cameras."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_sources_stac_patches import scenes

from phenolib import samples
from phenolib.archive import open_archive
from phenolib.simulate import landscape, patches
from phenolib.sources import stac_patches
from phenolib.sources.stac_catalog import write_catalog

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
pytestmark = pytest.mark.skipif(not ROOT, reason="PHENOLIB_ARCHIVE names no real archive")
SITE = "mead2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A real camera file, and patches of a year that `data patches` took from a local catalogue of simulated scenes."
    root = tmp_path_factory.mktemp("cameras")
    place = landscape.places(3, 1)[0]
    _, growth = landscape.grow(3, [place], (2018, 2019))
    span = np.datetime64("2019-01-01"), np.datetime64("2019-12-31")
    fine, coarse = patches.optical(3, place, growth, span)
    radar = patches.backscatter(3, place, growth, span)
    catalogue = write_catalog(root / "catalogue", scenes(fine, coarse, radar))
    table = pd.DataFrame({"site": [SITE], "lon": [place.lon], "lat": [place.lat]})
    stac_patches.write(table, (2019, 2019), catalogue, root / "mine" / "patches", say=lambda line: None)
    (root / "mine" / "phenocam").mkdir()
    name = f"{SITE}_AG_1000_3day.csv"
    (root / "mine" / "phenocam" / name).symlink_to(Path(ROOT).resolve() / "phenocam" / name)
    table.assign(cluster="mead", crop="corn/soybean", split="test").to_csv(root / "mine" / "sites.csv", index=False)
    return root / "mine"


def test_real_camera_labels_fetched_patches(folder):
    "The season of 2019 of the real camera becomes a sample with its dates, windows and NDVI dates beside it."
    found = samples.of_archive(open_archive(folder))
    assert found.table[["site", "cluster", "split", "year"]].to_numpy().tolist() == [[SITE, "mead", "test", 2019]]
    sos50, eos50 = found.table["sos50"][0], found.table["eos50"][0]
    assert sos50.month in (5, 6, 7) and eos50.month in (8, 9, 10)
    windows = found.windows()
    assert windows.mask.sum() >= 20 and ((windows.target >= 0) & (windows.target < 30)).any()
    assert found.table["on_season"][0]
