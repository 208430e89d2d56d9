"""What the readings of a real farm hold, where an archive with them is named."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import distance_transform_edt
from scipy.stats import spearmanr

from phenolib import archive
from phenolib.simulate import ground
from phenolib.sources import sentinel, soil_stations

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
FOLDER = Path(ROOT or ".") / "cookfarm"
PATH = FOLDER / "cookfarm_readings.csv.gz"
pytestmark = pytest.mark.skipif(not ROOT or not PATH.is_file(), reason="PHENOLIB_ARCHIVE names no archive of stations")


@pytest.fixture(scope="module")
def readings():
    return soil_stations.read(PATH)


def test_stations_depths_and_values(readings):
    "Twenty-seven stations, five depths, two years; a quarter to a third is missing; summers are dry and warm."
    assert readings.sizes == {"station": 27, "time": 729, "depth": 5}
    assert readings.depth.values.tolist() == [0.3, 0.6, 0.9, 1.2, 1.5]
    assert readings.attrs["depths_from"] == "the Cook Agronomy Farm"
    assert soil_stations.stations(PATH) == readings.station.values.tolist()
    assert 0.25 < float(readings.theta.isnull().mean()) < 0.35
    assert 0.09 < float(readings.theta.min()) and float(readings.theta.max()) < 0.55
    months = readings.groupby("time.month").median(...)
    assert float(months.theta.sel(month=9)) + 0.08 < float(months.theta.sel(month=3))
    assert float(months.soil_temperature.sel(month=8)) > float(months.soil_temperature.sel(month=2)) + 8
    swing = readings.soil_temperature.std("time").median("station").values
    assert (np.diff(swing) < 0).all()
    level = readings.ec.mean("time").median("station").values
    assert 0.1 < level[0] < level[2] < 0.6


def test_rows_are_written_back(readings, tmp_path):
    "Every row of the file is written again without a change; days that it leaves out become rows without a value."
    soil_stations.write(readings, tmp_path / PATH.name)
    old, new = (gzip.decompress(p.read_bytes()).decode().splitlines() for p in (PATH, tmp_path / PATH.name))
    assert new[0] == old[0] and set(old) <= set(new) and len(new) == 1 + 27 * 729
    assert all(row.endswith("," * 15) for row in set(new) - set(old))
    assert soil_stations.read(tmp_path / PATH.name).drop_attrs().equals(readings.drop_attrs())


def test_the_archive_knows_them():
    "The folder of the archive is recognised; a station is one Dataset; check remarks on the depths."
    found = archive.open_archive(ROOT)
    assert [p.name for p in found.kinds()["soil"]] == [PATH.name] and len(found.soil_stations) == 27
    assert found.soil("CAF003").sizes == {"time": 729, "depth": 5}
    assert found.weather("0000280849BAC91C").sizes["time"] == 487
    alone = archive.check(FOLDER)
    assert not list(alone) and "nothing tells the depths" in alone.remarks[0]


def test_real_weather_is_written_back(tmp_path):
    "A file of AgERA5, read and written, holds what it held, to the precision of its numbers."
    path = next((Path(ROOT) / "sentinel_patch").glob("AgERA5*"))
    real = sentinel.read_patch(path)
    placed = sentinel.with_crs(real.assign_coords(x=575000.0, y=5622120.0), 32631)
    back = sentinel.read_patch(sentinel.write_patch(tmp_path, placed))
    assert set(back.data_vars) == set(real.data_vars)
    for name in real:
        np.testing.assert_allclose(back[name], real[name], rtol=2e-7, atol=4e-5)


def test_wetness_and_slope_follow_the_farm():
    "The wetness of the elevation ranks places as the farm's own topographic wetness index does; slopes are as there."
    table = pd.read_csv(FOLDER / "cookfarm_grids.csv.gz")
    row, column = (((table[a] - table[a].min()) / 10).round().astype(int) for a in ("y", "x"))
    elevation, index = (np.full((row.max() + 1, column.max() + 1), np.nan) for _ in range(2))
    elevation[row.max() - row, column], index[row.max() - row, column] = table["DEM"], table["TWI"]
    nearest = distance_transform_edt(np.isnan(elevation), return_distances=False, return_indices=True)
    filled, there = elevation[tuple(nearest)], np.isfinite(elevation)
    assert spearmanr(ground.wetness(filled)[there], index[there]).statistic > 0.55
    simulated = np.median([ground.make(7, f"s{k}", "palouse", (60, 90)).slope for k in range(20)])
    assert simulated == pytest.approx(np.median(ground.slope(filled)[there]), abs=1.5)
