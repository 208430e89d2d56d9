"""Patches from a catalogue: the files of the default archive again, resumed and with broken scenes."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.simulate import landscape, patches
from phenolib.sources import sentinel, stac_patches
from phenolib.sources.stac_catalog import write_catalog


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    "A site of the simulated landscape, its patches of spring 2019, and a catalogue of scenes that hold them."
    place = landscape.places(3, 1)[0]
    _, growth = landscape.grow(3, [place], (2019, 2019))
    span = np.datetime64("2019-04-01"), np.datetime64("2019-05-15")
    fine, coarse = patches.optical(3, place, growth, span)
    radar = patches.backscatter(3, place, growth, span)
    folder = tmp_path_factory.mktemp("stac")
    return place, fine, coarse, radar, write_catalog(folder / "catalogue", scenes(fine, coarse, radar))


def scenes(fine, coarse, radar):
    "The acquisitions of patches as scenes of a catalogue."
    made = []
    for k, moment in enumerate(fine["time"].values):
        about = {"datetime": f"{str(moment)[:19]}Z", "processing_baseline": "02.08", "tile": "14TQL",
                 "relative_orbit": 12}
        made.append([_wide(p.isel(time=k, drop=True), m, about) for p, m in ((fine, 10), (coarse, 20))])
    for k, moment in enumerate(radar["time"].values):
        about = {"datetime": f"{str(moment)[:19]}Z", "relative_orbit": 34, "orbit_state": "descending"}
        made.append(_wide(radar.isel(time=k, drop=True), 10, about))
    return made


def _wide(patch, pixel, about):
    "A patch as the middle of a scene, its edge repeated for 120 m on all sides."
    more = 120 // pixel
    bands = {b: (("y", "x"), np.pad(patch[b].values, more, mode="edge")) for b in patch.data_vars if patch[b].ndim == 2}
    x = patch["x"].values[0] + pixel * (np.arange(patch.sizes["x"] + 2 * more) - more)
    y = patch["y"].values[0] - pixel * (np.arange(patch.sizes["y"] + 2 * more) - more)
    wide = sentinel.with_crs(xr.Dataset(bands, {"y": y, "x": x}), sentinel.epsg_of(patch))
    wide.attrs = about
    return wide


def table(place):
    return pd.DataFrame({"site": [place.site], "lon": [place.lon], "lat": [place.lat]})


def test_catalogue_gives_the_patches_again(planted, tmp_path):
    "Both sensors come back on the same pixels: reflectance within half a number, power within its rounding in dB."
    place, fine, coarse, radar, catalogue = planted
    said = []
    found = stac_patches.write(table(place), (2019, 2019), catalogue, tmp_path, say=said.append)
    assert found["state"].tolist() == ["made"] * 3 and len(said) == 3
    assert found["dates"].tolist() == [fine.sizes["time"]] * 2 + [radar.sizes["time"]]
    made = sentinel.read_place(tmp_path, place.site)
    assert set(made) == {"optical", "optical_20", "radar"}
    for band in ("B04", "B08"):
        np.testing.assert_allclose(made["optical"][band], fine[band], atol=1.1e-4)
    np.testing.assert_array_equal(made["optical_20"]["scl"], coarse["scl"])
    np.testing.assert_allclose(made["radar"]["vh"], radar["vh"], rtol=3e-5)
    for axis in ("x", "y"):
        np.testing.assert_array_equal(made["optical"][axis], fine[axis])
        np.testing.assert_array_equal(made["radar"][axis], radar[axis])


def test_run_goes_on_where_it_stopped(planted, tmp_path, monkeypatch):
    "A file that is there stays as it is; one that fails is tried again, and told if it fails for good."
    place, *_, catalogue = planted
    stac_patches.write(table(place), (2019, 2019), catalogue, tmp_path, products=["S1_GRD_10m"], say=lambda line: None)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    calls, inner = [], stac_patches.open_stac
    monkeypatch.setattr(stac_patches, "WAIT", 0.0)

    def fails(*given, **options):
        calls.append(options["sensors"])
        if len(calls) < 3:
            raise OSError("the line is dead")
        return inner(*given, **options)

    monkeypatch.setattr(stac_patches, "open_stac", fails)
    found = stac_patches.write(table(place), (2019, 2019), catalogue, tmp_path, jobs=1, say=lambda line: None)
    assert found["state"].tolist() == ["made", "made", "there"] and len(calls) == 4
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())
    calls.clear()
    gone = stac_patches.write(table(place), (2019, 2019), catalogue, tmp_path / "other", jobs=1, attempts=2,
                              products=["S2_L2A_10m"], say=lambda line: None)
    assert gone["state"].tolist() == ["failed"] and "the line is dead" in gone["why"][0]


def test_years_and_places_without_scenes(planted, tmp_path):
    "No scene in a year or at a place is a state with its reason, no file and no failure."
    place, *_, catalogue = planted
    none = stac_patches.write(table(place), (2021, 2021), catalogue, tmp_path, say=lambda line: None)
    far = stac_patches.write(table(place).assign(lon=10.0), (2019, 2019), catalogue, tmp_path, say=lambda line: None)
    assert (none["state"] == "no scene").all() and (far["state"] == "no scene").all()
    assert none["why"].str.len().min() > 10 and not list(tmp_path.glob("*.nc"))


def test_what_cannot_be_asked_is_refused(planted, tmp_path):
    place, *_, catalogue = planted
    with pytest.raises(InputError, match="no column 'lat'"):
        stac_patches.write(table(place).drop(columns="lat"), (2019, 2019), catalogue, tmp_path)
    with pytest.raises(InputError, match="product 'S3' is not known"):
        stac_patches.write(table(place), (2019, 2019), catalogue, tmp_path, products=["S3"])
    with pytest.raises(InputError, match="the first is after the last"):
        stac_patches.write(table(place), (2020, 2019), catalogue, tmp_path)


def test_command_fetches_and_goes_on(planted, tmp_path, capsys):
    "`phenolib data patches` writes the files, leaves them on a second run, and names a table that is not there."
    from phenolib.__main__ import main

    place, *_, catalogue = planted
    table(place).to_csv(tmp_path / "sites.csv", index=False)
    call = ["data", "patches", "--sites", str(tmp_path / "sites.csv"), "--years", "2019-2019", "--stac", str(catalogue),
            "--out", str(tmp_path / "out")]
    codes = []
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main(call)
        codes.append((end.value.code or 0, capsys.readouterr().out))
    assert codes[0][0] == codes[1][0] == 0 and "3 made" in codes[0][1] and "3 there" in codes[1][1]
    call[3] = str(tmp_path / "none.csv")
    with pytest.raises(SystemExit) as end:
        main(call)
    assert end.value.code == 2 and "there is no such file" in capsys.readouterr().err
