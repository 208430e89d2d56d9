"""Simulated scenes: windows agree, the same bytes for a seed, read back as written, and a killed run that goes on."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr

from phenolib import phenology
from phenolib.__main__ import main
from phenolib.errors import InputError
from phenolib.simulate import catalogue, config, parcels, scenes
from phenolib.sources import sentinel
from phenolib.sources.stac import open_stac

SMALL = config.make(seed=3)
TINY = dict(size=(160, 140), config=SMALL, years=(2020, 2020), dates=2)


@pytest.fixture(scope="module")
def area():
    return parcels.around("test", -90.0, 36.0, (560, 180), "delta")


@pytest.fixture(scope="module")
def scene(area):
    return scenes.Scene(area, (2020, 2020), config=SMALL, dates=12)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "made"
    scenes.make(folder, "TA2", **TINY)
    return folder


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def test_noise_belongs_to_places():
    "Two windows that overlap have the same noise where they do, another draw another, and its variance is 1."
    def draw(row, column, shape):
        noise = parcels.Noise(1, "key", row=row, column=column)
        return noise.standard_normal(shape), noise.standard_normal(shape)

    whole, second = draw(-20, 90, (2, 300, 280))
    part, _ = draw(100, 110, (2, 60, 200))
    assert (whole[:, 120:180, 20:220] == part).all() and not (whole == second).any()
    assert abs(whole.std() - 1) < 0.01 and abs(np.corrcoef(whole[0].ravel(), whole[1].ravel())[0, 1]) < 0.02


def test_windows_of_the_land_agree(area):
    "Parcels, vigour and brightness of a window are those of the whole area; the vigour spreads as it is told to."
    whole, middles = parcels.lay_out(3, area, *area.whole)
    window = slice(70, 230), slice(30, 170)
    part, some = parcels.lay_out(3, area, *window)
    assert (whole[window] == part).all() and {n: middles[n] for n in some} == some
    factor = parcels.smooth(3, "vigour", area, *area.whole, sd=0.12, reach=4)
    assert (factor[window] == parcels.smooth(3, "vigour", area, *window, sd=0.12, reach=4)).all()
    assert abs(np.log(factor).std() / 0.12 - 1) < 0.1


def test_parcels_are_a_mosaic(area):
    "Rectangles of 4 to 64 ha fill the quarter sections but for roads, and none lies on another."
    pixels = []
    for i, j in np.ndindex(20, 20):
        pieces = parcels.quarter(3, area, i, j)
        seen = np.zeros((parcels.QUARTER, parcels.QUARTER), int)
        for row, column, height, width in pieces:
            seen[row - i * parcels.QUARTER :, column - j * parcels.QUARTER :][:height, :width] += 1
            pixels.append(height * width)
        assert len(pieces) <= parcels.MOST and seen.max() == 1 and (seen == 0).mean() < 0.06
    assert min(pixels) >= parcels.SMALLEST and 8 < np.mean(pixels) / 100 < 20 and max(pixels) > 5000


def test_a_parcel_does_not_depend_on_the_area(area, scene):
    "A smaller area with the same corner has the same parcels and crops where both lie."
    small = scenes.Scene(parcels.Area("test", area.west, area.north, area.epsg, 160, 180, "delta"), (2020, 2020),
                         config=SMALL, dates=12)
    inside = slice(0, 150), slice(0, 180)
    assert (small.numbers[inside] == scene.numbers[inside]).all()
    ours, theirs = (s.fields.reset_index(drop=True).query("parcel > 0") for s in (small, scene))
    both = ours.merge(theirs, on="parcel", suffixes=("", "_other"))
    assert len(both) >= 10 and (both["irrigated"] == both["irrigated_other"]).all()
    assert [list(small.planted[k]) for k in ours.index] == [
        list(scene.planted[theirs.index[theirs["parcel"] == n][0]]) for n in ours["parcel"]]


def test_tiles_agree_with_the_whole(scene):
    "A window across the borders of tiles, computed as one, has the pixels of the whole scene, bit for bit."
    whole, window = scene.area.whole, (slice(430, 560), slice(36, 110))
    for k in (0, 7):
        all_, part = (scenes.optical(scene, k, *w) for w in (whole, window))
        for name in all_:
            step = 2 if name in ("scl", *scenes.patches.COARSE) else 1
            inside = tuple(slice(s.start // step, s.stop // step) for s in window)
            assert np.array_equal(all_[name][inside], part[name]), name
        all_, part = (scenes.backscatter(scene, k, *w) for w in (whole, window))
        assert np.array_equal(all_["vh"][window], part["vh"])


def test_same_seed_same_bytes_and_another_seed_others(made, tmp_path):
    "An area is the same to the byte for a seed; another seed gives another."
    scenes.make(tmp_path / "same", "TA2", **TINY)
    scenes.make(tmp_path / "other", "TA2", **TINY | {"config": config.make(seed=4)})
    first, other = files(made), files(tmp_path / "other")
    assert first == files(tmp_path / "same") and set(first) == set(other)
    assert all(first[name] != other[name] for name in first if name.endswith((".tif", "seasons.csv")))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "same"]


def test_scenes_are_read_back(made):
    "The catalogue opens as a real one does, with reflectance, classes and backscatter as they were seen."
    area = parcels.around("TA2", *scenes.AREAS["TA2"][:2], TINY["size"], scenes.AREAS["TA2"][2])
    seen = scenes.Scene(area, (2020, 2020), config=SMALL, dates=2)
    found = open_stac(made / "catalogue", bands=("B04", "scl"), mask=None)
    assert found.sizes["time"] == 2 and (found.sizes["y"], found.sizes["x"]) == TINY["size"]
    assert found.rio.crs.to_epsg() == area.epsg
    x, y = area.middles(*area.whole)
    assert (found["x"].values == x).all() and (found["y"].values == y).all()
    expected, step = scenes.optical(seen, 1, *area.whole), found.isel(time=1).compute()
    assert np.abs(step["B04"].values - np.maximum(expected["B04"], 1e-4)).max() < 1e-4
    assert (step["scl"].values[::2, ::2] == expected["scl"]).all()
    coarse = open_stac(made / "catalogue", bands=("B11",), mask=None, resolution=20).isel(time=1)
    assert np.abs(coarse["B11"].values - np.maximum(expected["B11"], 1e-4)).max() < 1e-4
    radar = open_stac(made / "catalogue", sensors=("sentinel-1",)).isel(time=1)
    assert (radar["vv"].values == scenes.backscatter(seen, 1, *area.whole)["vv"]).all()


def test_truth_lies_beside(made):
    "Numbers of the parcels, true dates and the crop map fit together, and the table of areas holds the scenes."
    with rasterio.open(made / "truth/TA2_parcels.tif") as file:
        numbers, place = file.read(1), file.bounds
    with rasterio.open(made / "crop_maps/TA2_2020.tif") as file:
        classes = file.read(1)
        assert file.bounds == place and file.dtypes == ("uint8",)
    about = pd.read_csv(made / "truth/TA2_parcels.csv")
    assert set(about["parcel"]) == set(np.unique(numbers)) - {0}
    for row in about.to_dict("records"):
        own = numbers == row["parcel"]
        assert set(classes[own]) == {scenes.CODES[row["crop"]]} and own.sum() == round(100 * row["hectares"])
    dates = pd.read_csv(made / "truth/TA2_seasons.csv", parse_dates=["date"])
    assert set(dates["parcel"]) <= set(about["parcel"]) and (dates["area"] == "TA2").all()
    assert {"rising", "falling"} == set(dates["direction"]) and 20 in set(dates["share"])
    where = pd.read_csv(made / "areas.csv").iloc[0]
    assert where["west"] < where["lon"] < where["east"] and where["south"] < where["lat"] < where["north"]


def test_a_killed_run_goes_on(made, tmp_path, monkeypatch):
    "Scenes that are whole are kept, the rest is made, and the bytes are those of a run that was never killed."
    write, done = scenes.stac_catalog.write_cog, []

    def dies(path, *given, **options):
        done.append(path)
        if len(done) == 27:  # two maps, two scenes of 11 rasters, one of 2, and in the midst of the fourth
            raise KeyboardInterrupt
        write(path, *given, **options)

    monkeypatch.setattr(scenes.stac_catalog, "write_cog", dies)
    with pytest.raises(KeyboardInterrupt):
        scenes.make(tmp_path / "killed", "TA2", **TINY)
    part = tmp_path / ".killed.part"
    assert [p.name for p in tmp_path.iterdir()] == [part.name]
    whole = sorted(p.parent for p in part.glob("catalogue/*/[!.]*/*.json"))
    assert len(whole) == 3 and len(list(part.glob("catalogue/*/.*.part"))) == 1
    with pytest.raises(InputError, match="unfinished scene of other settings"):
        scenes.make(tmp_path / "killed", "TA2", **TINY | {"config": config.make(seed=4)})
    kept = {p.name: p.stat().st_ino for p in whole}
    scenes.make(tmp_path / "killed", "TA2", **TINY)
    assert files(tmp_path / "killed") == files(made)
    assert kept.items() <= {p.name: p.stat().st_ino for p in (tmp_path / "killed").glob("catalogue/*/*")}.items()


def test_ndvi_of_parcels_follows_the_truth(scene, area):
    "Where no cloud is seen, the NDVI of a parcel with one season is half up near the true date of its leaves."
    whole = scenes.Scene(area, (2020, 2020), config=SMALL)
    truth = pd.DataFrame(whole.events).query("direction == 'rising' and share == 50 and crop in ('soybean', 'corn')")
    truth = truth.drop_duplicates("field", keep=False).set_index("field")["date"].astype("datetime64[ns]")
    window = slice(0, 240), slice(0, 180)
    numbers = whole.numbers[window]
    here = [n for n in np.unique(numbers) if n in truth.index and (numbers == n).sum() > 400]
    rows = []
    for k in range(len(whole.optical)):
        seen = scenes.optical(whole, k, *window)
        clear = np.isin(seen["scl"], sentinel.CLEAR).repeat(2, 0).repeat(2, 1)
        ndvi = np.where(clear, (seen["B08"] - seen["B04"]) / (seen["B08"] + seen["B04"]), np.nan)
        rows.append([np.nanmedian(ndvi[numbers == n]) if clear[numbers == n].any() else np.nan for n in here])
    cube = xr.DataArray(np.array(rows).T, {"time": whole.optical["time"].to_numpy()}, ("parcel", "time"))
    found = phenology.seasons(cube, method="whittaker", per_year=1)["sos50"].values[:, 0]
    error = (found - truth[here].to_numpy()) / np.timedelta64(1, "D")
    assert len(here) >= 5 and np.nanmedian(np.abs(error)) < 20


def test_the_south_is_warmer():
    "The weather of an area goes from cool in the north to warm in the south, and leaves come earlier there."
    long = scenes.Scene(parcels.around("long", -90.0, 36.0, (4000, 160), "delta"), (2020, 2020), config=SMALL, dates=2)
    dates = pd.DataFrame(long.events).query("direction == 'rising' and share == 50 and crop == 'soybean'")
    middle = dict(zip(long.fields["parcel"], long.middles[:, 0]))
    kilometres = dates["field"].map(middle).to_numpy() / 100
    slope = np.polyfit(kilometres, pd.to_datetime(dates["date"]).dt.day_of_year.to_numpy(), 1)[0]
    assert len(dates) > 50 and slope < 0


@pytest.mark.parametrize(("given", "message"), [
    (dict(name="TA3"), "scene 'TA3' is not known; did you mean"),
    (dict(size=(41, 100)), "give even numbers of rows and columns"),
    (dict(years=(2012, 2013)), "give a first and a last year from 2016 on"),
])
def test_what_cannot_be_is_refused(tmp_path, given, message):
    "Wrong names and sizes are one line, and nothing is left behind."
    with pytest.raises(InputError, match=message):
        scenes.make(tmp_path / "new", **{"name": "TA1", **TINY, **given})
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_scene(tmp_path, monkeypatch, capsys):
    "The command names the area, its size and its year; what is wrong is one line."
    given = {}
    monkeypatch.setattr(scenes, "write", lambda folder, areas, **rest: given.update(areas=areas, **rest))
    monkeypatch.chdir(tmp_path)

    def command(line):
        with pytest.raises(SystemExit) as end:
            main(line.split())
        return end.value.code, capsys.readouterr()

    code, said = command("simulate --scene TA1 --out new --seed 5 --years 2021-2021 --size 400x100")
    assert code == 0 and said.out == "scenes with known dates: new\n" and Path("new").is_dir()
    assert (given["areas"][0].rows, given["areas"][0].columns) == (400, 100)
    assert given["years"] == (2021, 2021) and given["config"].seed == 5 and given["name"] == "TA1"
    for line, message in (("--scene TA9", "scene 'TA9' is not known"), ("--scene TA1 --size 400", "write rows and"),
                          ("--scene TA1 --sites 3", "has no sites")):
        code, said = command(f"simulate {line} --out other")
        assert code == 2 and message in said.err and said.err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_catalogue_is_a_part_of_an_archive(tmp_path, monkeypatch):
    "Three areas lie in one catalogue; each is found by its box, with one track of radar and its own truth."
    monkeypatch.setattr(catalogue, "AREAS", dict(list(catalogue.AREAS.items())[:2]))
    acquisitions = scenes.acquisitions
    monkeypatch.setattr(scenes, "acquisitions", lambda *given: tuple(t[:4] for t in acquisitions(*given)))
    catalogue.make(tmp_path, config=config.make(seed=5))
    areas = pd.read_csv(tmp_path / "areas.csv")
    assert list(areas["name"]) == ["delta", "valley"]
    for row in areas.to_dict("records"):
        found = open_stac(tmp_path / "catalogue", bbox=[row[k] for k in ("west", "south", "east", "north")],
                          sensors=("sentinel-2", "sentinel-1"), mask=None)
        assert found.sizes["time"] == 8 and found.rio.crs.to_epsg() == row["epsg"]
        assert np.unique(found["relative_orbit"].values[found["sensor"].values == "sentinel-1"]).size == 1
        assert (tmp_path / "truth" / f"{row['name']}_parcels.tif").is_file()
    about = pd.read_csv(tmp_path / "truth" / "catalogue_seasons.csv")
    assert set(about["area"]) == {"delta", "valley"}
    items = [json.loads(p.read_text()) for p in (tmp_path / "catalogue").glob("*/*/*.json")]
    assert len(items) == 16 and len({item["id"] for item in items}) == 16
