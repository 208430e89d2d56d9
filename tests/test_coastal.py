"""Coastal samples: a file is read as what it is, models are scored where they were not trained, maps know their end."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401  the accessor
import xarray as xr

from phenolib import coastal
from phenolib.errors import InputError
from phenolib.sources import coastal_samples as source

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
REAL, SCENE = Path(ROOT or ".") / "salinity_odisha", Path(ROOT or ".") / "salinity_scene"
real = pytest.mark.skipif(not ROOT or not REAL.is_dir(), reason="PHENOLIB_ARCHIVE names no archive of coastal samples")


def planted(n=120, *, areas=2, seed=0, signal=1.0, place=0.0):
    "Samples whose EC follows the near infrared and their cell; two a cell."
    rng = np.random.default_rng(seed)
    cell = np.arange(n) // 2
    area = np.array(list("CTUV"))[cell % areas]
    own = rng.normal(size=n // 2 + 1)[cell]
    nir = 0.22 + 0.03 * rng.normal(size=n)
    bands = {b: level * np.exp(0.1 * rng.normal(size=n)) for b, level in zip(source.BANDS, (.06, .09, .1, 0, .24, .16))}
    log = 6.5 - signal * (nir - 0.22) / 0.03 + place * own + 0.3 * rng.normal(size=n)
    return pd.DataFrame({"sample": [f"{a}-S{k:03d}_20240213" for k, a in enumerate(area)], **bands, "nir": nir,
                         "ec": np.exp(log), "cell": [f"{a}{c:02d}" for a, c in zip(area, cell)],
                         "strip": [f"{a}{c % 5}" for a, c in zip(area, cell)], "area": area, "sea": cell % 5 + 1})


def table(n=6, **changed):
    "A file as it is downloaded, bands as whole numbers of Landsat."
    made = pd.DataFrame({"Name": [f"C-S{k:02d}_20240213" for k in range(n)], "EC": np.linspace(100.0, 4000, n),
                         "pH": 6.0, "Blue": 9200 + np.arange(n), "Green": 10500, "Red": 10800, "NIR": 15300,
                         "SWIR1": 16200, "SWIR2": 13700})
    return made.assign(**changed)


def written(path, frame, **options):
    frame.to_csv(path, index=False, **options)
    return path


def test_whole_numbers_of_landsat_become_reflectance(tmp_path):
    "Blue 9200 is 0.053; a row without bands is left out, and the share says so; µ in Latin-1 is read."
    frame = table(Notes="Repeated EC = 132.5 µS/cm", Dist_Sea=3, Grid_Cell_ID="C15")
    frame.loc[2, "Blue"] = None
    found = source.read(written(tmp_path / "raw.csv", frame, encoding="latin-1"))
    assert len(found) == 5 and found.attrs["retrieved"] == pytest.approx(5 / 6)
    assert found.blue[0] == pytest.approx(9200 * 2.75e-5 - 0.2) and found.date[0] == pd.Timestamp("2024-02-13")
    assert found.loc[0, ["cell", "strip", "area", "sea"]].tolist() == ["C15", "C1", "C", 3]
    assert "1 of 6 samples have no reflectance" in found.attrs["remarks"][0]


def test_stored_reflectance_and_a_wrong_index(tmp_path):
    "Columns of reflectance are taken as they are; an NDVI of red and green is found out, and not read."
    frame = table()
    for name in source.FILE.values():
        frame[name + "_R"] = frame[name] * 2.75e-5 - 0.2
    frame["NDVI"] = (frame.Red_R - frame.Green_R) / (frame.Red_R + frame.Green_R)
    frame["NDWI"] = (frame.Green_R - frame.NIR_R) / (frame.Green_R + frame.NIR_R)
    found = source.read(written(tmp_path / "x.csv", frame))
    assert found.red[0] == pytest.approx(frame.Red_R[0]) and "NDVI" not in found
    assert "the column 'NDVI' is not NDVI: it holds (red - green)/(red + green)" in found.attrs["remarks"]
    assert source.misnamed(frame).set_index("column").agrees.to_dict() == {"NDVI": False, "NDWI": True}
    with pytest.raises(InputError, match="'Red' and 'Red_R' differ"):
        source.read(written(tmp_path / "y.csv", frame.assign(Red=frame.Red + 100)))


@pytest.mark.parametrize("changed, words", [
    ({"EC": [0.1, 0.4, 1, 2, 3, 4]}, "the median EC is 1.5 uS/cm, .* units='dS/m'"),
    ({"EC": [-1.0, 2, 3, 4, 5, 6]}, "line 2 has an EC of -1"),
    ({"EC": ["100", "two", "3", "4", "5", "6"]}, "line 3, column 'EC': 'two' is no number"),
    ({"NIR": 60000}, "reflectance in 'NIR' is 1.45"),
    ({"Name": "C-S01"}, "does not end in a date"),
])
def test_what_is_wrong_is_told_in_one_line(tmp_path, changed, words):
    "EC in another unit or below zero, text, an impossible band, a name without a date."
    with pytest.raises(InputError, match=words) as caught:
        source.read(written(tmp_path / "bad.csv", table().assign(**changed)))
    assert "\n" not in str(caught.value) and "bad.csv" in str(caught.value)


def test_missing_columns_and_files_are_named(tmp_path):
    "The column or file that is lacking is told, with one that is near."
    with pytest.raises(InputError, match="no column 'SWIR2'; did you mean 'SWIR1'"):
        source.read(written(tmp_path / "a.csv", table().drop(columns="SWIR2")))
    with pytest.raises(InputError, match="no such file; did you mean 'a.csv'"):
        source.read(tmp_path / "b.csv")
    found = source.read(written(tmp_path / "c.csv", table(EC=np.linspace(0.1, 4, 6))), units="dS/m")
    assert found.ec.iloc[-1] == pytest.approx(4000)


def test_what_is_written_is_read_back(tmp_path):
    "A table and a scene come back as they were, to the whole number of Landsat; a folder is found by one of its files."
    samples = planted(20).assign(land_cover="rice", repeats=np.arange(20) == 3)
    samples.loc[5, "red"] = np.nan
    source.write(samples, tmp_path / "a.csv")
    found, rest = source.read(tmp_path / "a.csv"), samples.drop(index=5).reset_index(drop=True)
    assert np.abs(found[list(source.BANDS)] - rest[list(source.BANDS)]).to_numpy().max() < 1.4e-5
    assert (found[["ec", "cell", "sea", "land_cover", "repeats"]] == rest[["ec", "cell", "sea", "land_cover", "repeats"]
                                                                          ]).all(axis=None)
    shown = scene(samples).rio.write_crs(32615)
    shown["blue"][0, 0] = np.nan
    source.write_scene(shown, tmp_path / "landsat")
    back = source.scene(tmp_path / "landsat")
    assert float(np.abs(back - shown).to_array().max()) < 1.4e-5 and np.isnan(back.blue[0, 0])
    assert back.rio.crs.to_epsg() == 32615 and len(source.whole_scenes([tmp_path / "landsat" / "NIR.tif"])) == 6


def test_duplicates_tell_the_noise_and_become_one(tmp_path):
    "Two samples of one pixel: their ratio, the SD of one value, and one row with the geometric mean."
    frame = table(RPD_EC=["", "5", "", "", "", ""], EC=[100.0, 400, 500, 600, 700, 800])
    frame.loc[1, "Blue"] = frame.Blue[0]
    found = source.read(written(tmp_path / "x.csv", frame))
    pairs = source.duplicates(found)
    assert pairs.ratio.tolist() == pytest.approx([4]) and pairs.attrs["sd"] == pytest.approx(np.log(4) / np.sqrt(2))
    one = source.merged(found)
    assert len(one) == 5 and one.ec[0] == pytest.approx(200) and one.merged.tolist() == [2, 1, 1, 1, 1]


def test_features_are_made_of_the_bands():
    "Six bands give 12 indices of plants and 19 of salinity; none that needs a red edge."
    found = coastal.features(planted(10))
    assert found.shape == (10, 37) and {"NDRE", "MTCI"}.isdisjoint(found)
    assert found.NDVI.iloc[0] == pytest.approx((found.nir - found.red).iloc[0] / (found.nir + found.red).iloc[0])


@pytest.mark.parametrize("split", ["cell", "strip", "area"])
def test_groups_stay_whole(split):
    "No cell, strip or area is on both sides; every sample is tested once."
    samples = planted()
    fold = coastal.folds_of(samples, split)
    assert (pd.Series(fold).groupby(samples[split].to_numpy()).nunique() == 1).all()
    assert len(np.unique(fold)) == min(10, samples[split].nunique())


def test_a_planted_signal_is_found_and_place_alone_is_not():
    "What the near infrared tells is found in new strips; what only the cell tells is lost there, and not at random."
    scores, said = coastal.evaluate(planted(), models=("mean", "place", "forest", "svr"), groups=("strip",), draws=100,
                                    trees=60)
    r2 = scores.set_index("model").r2
    assert r2["forest"] > 0.6 and r2["svr"] > 0.6 and r2["mean"] < 0.05 and r2["place"] < 0.1
    row = scores.set_index("model").loc["forest"]
    assert row.rmse_low < row.rmse < row.rmse_high and len(said) == 4 * 120
    assert row.r2_within == pytest.approx(row.r2, abs=0.05)
    assert row.rpiq == pytest.approx(np.subtract(*np.percentile(said.y[:120], [75, 25])) / row.rmse)
    with pytest.raises(InputError, match="model 'forrest' is not known; did you mean 'forest'"):
        coastal.fitted("forrest", planted())


def test_the_index_network_learns():
    "The branch of indices finds the planted signal of the near infrared in cells that it has not seen."
    samples = planted(160)
    model = coastal.fitted("index network", samples[:120], members=1, epochs=40)
    left = samples[120:].reset_index(drop=True)
    error = model(left) - np.log(left.ec)
    assert np.sqrt((error**2).mean()) < 0.7 * np.log(left.ec).std()


def test_classes_where_nothing_can_be_known():
    "Without a signal accuracy is that of the largest class, and balanced accuracy a half."
    row = coastal.classify(planted(signal=0.0, place=1.0), groups=("strip",), repeats=4, trees=40).iloc[0]
    assert row.accuracy <= row.largest + 0.02 and abs(row.balanced - 0.5) < 0.06 and row.accuracy_low < row.accuracy
    with pytest.raises(InputError, match="all samples are of one class"):
        coastal.classify(planted(signal=0.0))
    sure = coastal.classify(planted(), groups=("random", "strip"), repeats=4, trees=40).set_index("split")
    assert (sure.balanced > 0.75).all() and sure.published.isna().all() and coastal.published(planted()) == {}


def test_local_samples_mend_a_shift_and_a_slope():
    "A model that is off by a constant is mended by a few samples; one with half the slope needs the line."
    rng = np.random.default_rng(0)
    y, groups = rng.normal(2, 1, 80), np.arange(80) % 8
    noise = 0.2 * rng.normal(size=80)
    shifted = coastal.recalibrated(y, y + 1 + noise, groups, draws=40).set_index(["way", "count"]).rmse
    assert shifted["shift", 0] > 0.95 and shifted["shift", 12] < 0.25 < 0.9 < shifted["mean", 12]
    flat = coastal.recalibrated(y, y / 2 + noise / 2, groups, draws=40).set_index(["way", "count"]).rmse
    assert flat["line", 24] < 0.25 < 0.4 < flat["shift", 24]
    with pytest.raises(InputError, match="all samples are of one group"):
        coastal.recalibrated(y, y, np.zeros(80))


def scene(samples, *, bright=0.0):
    "A scene of 20 × 30 pixels with the bands of samples; the eastern half may be brighter."
    pick = np.random.default_rng(1).integers(len(samples), size=(20, 30))
    more = np.where(np.arange(30) >= 15, bright, 0)
    grid = {"y": 3e6 - 30.0 * np.arange(20), "x": 4e5 + 30.0 * np.arange(30)}
    return xr.Dataset({b: (("y", "x"), (samples[b].to_numpy()[pick] + more).astype(np.float32))
                       for b in source.BANDS}, grid)


def test_a_map_says_where_it_ends():
    "Pixels like the samples are inside, brighter ones outside; the interval holds about as many as it says."
    samples = planted(200)
    made = coastal.mapper(samples[:120].reset_index(drop=True), trees=60)
    left = samples[120:].reset_index(drop=True)
    held = np.abs(made.predict(left) - np.log(left.ec)) <= made.half
    assert held.mean() > 0.8
    shown = scene(samples, bright=0.15)
    shown["blue"][0, 0] = np.nan
    found = coastal.map_scene(shown, made)
    assert float(found.inside[1:, :15].mean()) > 0.85 and float(found.inside[:, 15:].mean()) == 0
    assert np.isnan(found.ec[0, 0]) and found.attrs["retrieved"] == pytest.approx(599 / 600)
    assert bool((found.low < found.ec)[1:].all()) and bool((found.ec < found.high)[1:].all())
    within = coastal.overlap(samples, shown)["within"]
    assert 0.3 < within["all"] <= 0.55 and within["nir"] < 0.7


def test_a_scene_is_read_from_its_files(tmp_path):
    "Six files become reflectance, 65535 no value; another scale and a missing file are told."
    for k, name in enumerate(source.FILE.values()):
        values = np.full((1, 4, 5), 11000 + 500 * k, np.uint16)
        values[0, 0, 0] = 65535
        with rasterio.open(tmp_path / f"{name}.tif", "w", driver="GTiff", width=5, height=4, count=1, dtype="uint16",
                           nodata=65535, crs="EPSG:32644", transform=rasterio.Affine(30, 0, 4e5, 0, -30, 3e6)) as file:
            file.write(values)
    found = source.scene(tmp_path)
    assert float(found.blue[1, 1]) == pytest.approx(0.1025, abs=1e-6) and np.isnan(found.nir[0, 0])
    with pytest.raises(InputError, match="median reflectance"):
        source.scene(tmp_path, scale=1.0, offset=0.0)
    (tmp_path / "NIR.tif").unlink()
    with pytest.raises(InputError, match="no NIR.tif"):
        source.scene(tmp_path)


@real
def test_the_real_files_agree():
    "Three files of the same samples: one reflectance, one EC; the classes of the file are those of ours."
    raw, all_, own = (source.read(REAL / f"soil_data_{name}.csv") for name in ("raw", "allindices", "reflectance"))
    assert len(raw) == len(all_) == len(own) == 106 and raw.attrs["asked"] == 113
    for other in (all_, own):
        assert np.abs(raw[list(source.BANDS)] - other[list(source.BANDS)]).to_numpy().max() < 1e-6
        assert (raw.ec == other.ec).all()
        assert any("it holds (red - green)/(red + green)" in r for r in other.attrs["remarks"])
    file = pd.read_csv(REAL / "soil_data_allindices.csv")
    assert (np.digitize(file.EC, coastal.LIMITS["two"]) == file.EC_bin).all()
    assert (np.digitize(file.EC, coastal.LIMITS["three"]) == file.EC_cat).all()
    assert len(source.merged(raw)) == 100 and raw.cell.nunique() == 50 and raw.strip.nunique() == 10
    assert 0.3 < source.duplicates(raw).attrs["sd"] < 0.45


@real
def test_the_real_samples_are_scored():
    "In strips that were left out a forest explains some of EC; in the other area nothing."
    samples = source.merged(source.read(REAL / "soil_data_raw.csv"))
    scores, _ = coastal.evaluate(samples, models=("forest",), groups=("strip", "area"), trees=100, draws=200)
    assert coastal.published(samples) == coastal.PUBLISHED
    strip, area = scores.r2
    assert 0.1 < strip < 0.45 and area < 0 and scores.r2_within[0] < strip - 0.05


@real
@pytest.mark.skipif(not SCENE.is_dir(), reason="the archive has no scene")
def test_the_real_scene_lies_beyond_the_samples():
    "The scene is of an inland plain, brighter than the coast: nearly all of it is outside."
    samples = source.merged(source.read(REAL / "soil_data_raw.csv"))
    shown = source.scene(SCENE)
    assert shown.sizes == {"x": 605, "y": 558} and coastal.overlap(samples, shown)["within"]["all"] < 0.1
    found = coastal.map_scene(shown.isel(y=slice(0, 128)), coastal.mapper(samples, trees=60))
    assert found.attrs["inside"] < 0.15 and found.attrs["retrieved"] > 0.9
