"""Catalogues of scenes that we write are read back from disk and over HTTP; what is broken is named or counted."""

import http.server
import json
import pickle
import re
import threading
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  gives datasets their .rio
import xarray as xr
from rasterio.warp import transform

from phenolib.errors import InputError
from phenolib.sources.stac import CLEAR, open_stac
from phenolib.sources.stac_catalog import write_catalog

EAST, NORTH, N = 600_000.0, 5_500_020.0, 24  # top left corner [m] and pixels of 10 m a side
WHERE = (EAST + 120, NORTH - 120)


def grid(n=N, pixel=10.0, east=EAST, north=NORTH, crs="EPSG:32632"):
    "Middles of n by n pixels."
    x, y = east + (np.arange(n) + 0.5) * pixel, north - (np.arange(n) + 0.5) * pixel
    return xr.Dataset(coords={"y": y, "x": x}).rio.write_crs(crs)


def optical(date="2018-06-05T10:30:21Z", baseline="02.08", seed=0, classes=4, **about):
    "A Sentinel-2 scene: B04 and B08 on 10 m with one missing pixel, B11 and scl on 20 m."
    random = np.random.default_rng(seed)
    fine, coarse = grid(), grid(N // 2, 20.0)
    for band in ("B04", "B08"):
        fine[band] = ("y", "x"), np.round(random.uniform(0.02, 0.5, (N, N)), 4)
    fine["B04"][3, 5] = np.nan
    coarse["B11"] = ("y", "x"), np.round(random.uniform(0.1, 0.4, (N // 2, N // 2)), 4)
    coarse["scl"] = ("y", "x"), np.full((N // 2, N // 2), classes, "uint8")
    coarse["scl"][0, :3] = 9
    fine.attrs = {"datetime": date, "processing_baseline": baseline, "tile": "32UPA", "relative_orbit": 65, **about}
    return [fine, coarse]


def radar(date="2018-06-06T05:26:00Z", decibel=False, **about):
    "A Sentinel-1 scene, the same backscatter in linear power or in decibels."
    scene = grid()
    power = np.random.default_rng(9).uniform(0.01, 0.3, (N, N))
    power[0, 0] = np.nan
    for name in ("vv", "vh"):
        scene[name + "_db" * decibel] = ("y", "x"), 10 * np.log10(power) if decibel else power
    scene.attrs = {"datetime": date, "relative_orbit": 117, "orbit_state": "ascending", **about}
    return scene


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    "No test looks at other files than its own."
    monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")


@pytest.fixture
def scenes():
    return [optical(), optical("2022-06-10T10:30:21Z", "05.09", seed=1), radar()]


@pytest.fixture
def catalogue(tmp_path, scenes):
    return write_catalog(tmp_path / "catalogue", scenes)


class Ranges(http.server.SimpleHTTPRequestHandler):
    "Serves files in parts, as a store of scenes does."

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        try:
            with open(self.translate_path(self.path), "rb") as file:
                data = file.read()
        except OSError:
            self.send_error(404)
            return
        first, last = (int(span[1]), int(span[2] or len(data) - 1)) if span else (0, len(data) - 1)
        part = data[first:last + 1]
        self.send_response(206 if span else 200)
        if span:
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture
def served(catalogue):
    "The URL under which the catalogue is served on this machine."
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=catalogue.parent))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def change(path, edit):
    "Edit a JSON file in place."
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def asset(catalogue, number, name):
    "Path of a raster of a Sentinel-2 scene."
    return sorted(catalogue.parent.glob(f"sentinel-2-l2a/*/{name}.tif"))[number]


def test_what_is_written_is_read(catalogue, scenes):
    "Reflectance comes back within half a digital number in both baselines, backscatter exactly, missing as missing."
    cube = open_stac(catalogue, sensors=("sentinel-2", "sentinel-1"), bands=("B04", "B08", "B11", "scl", "vv", "vh"),
                     mask=None)
    assert cube.sizes == {"time": 3, "y": N, "x": N} and cube.rio.crs.to_epsg() == 32632
    moments = pd.to_datetime(["2018-06-05T10:30:21", "2018-06-06T05:26:00", "2022-06-10T10:30:21"])
    assert (cube.time.values == moments).all()
    assert list(cube.sensor.values) == ["sentinel-2", "sentinel-1", "sentinel-2"]
    for t, (fine, coarse) in {0: scenes[0], 2: scenes[1]}.items():
        for band in ("B04", "B08"):
            np.testing.assert_allclose(cube[band][t], fine[band], atol=5.1e-5)
        assert np.isnan(cube.B04[t].values).sum() == 1 and np.isnan(cube.vv[t].values).all()
        np.testing.assert_array_equal(cube.scl[t, ::2, ::2], coarse.scl)
        np.testing.assert_allclose(open_stac(catalogue, bands=["B11"], resolution=20, mask=None).B11[t // 2],
                                   coarse.B11, atol=5.1e-5)
    np.testing.assert_array_equal(cube.vv[1], scenes[2].vv.astype("float32"))
    assert np.isnan(cube.B04[1].values).all() and (cube.scl[1].values == 0).all()
    assert cube.B04.dtype == "float32" and cube.scl.dtype == "uint8"
    assert cube.x[0] == EAST + 5 and cube.y[0] == NORTH - 5
    assert [cube.attrs[f"scenes_{k}"] for k in ("found", "used", "outside", "skipped")] == [3, 3, 0, 0]


def test_over_http_as_from_disk(catalogue, served):
    "The same catalogue behind a URL gives the same values."
    wanted = dict(sensors=("sentinel-2", "sentinel-1"), bands=("B04", "B11", "scl", "vv"))
    near, far = (open_stac(place, **wanted).load() for place in (catalogue, f"{served}/catalog.json"))
    xr.testing.assert_identical(near.drop_attrs(), far.drop_attrs())
    assert near.B04.notnull().any() and near.vv.notnull().any()


def test_lazy(catalogue, monkeypatch):
    "Nothing is read before it is computed, and then only what is indexed; the cube survives pickling."
    cube = open_stac(catalogue, bands=["B04"], chunks={"y": 8, "x": 8})
    assert cube.B04.chunks == ((1, 1), (8, 8, 8), (8, 8, 8))
    read, whole = [], cube.B04.values
    from phenolib.sources import rasters

    inner = rasters.read_raster
    monkeypatch.setattr(rasters, "read_raster", lambda source, at, **k: read.append(at.shape) or inner(source, at, **k))
    again = open_stac(catalogue, bands=["B04"], chunks={"y": 8, "x": 8})
    read.clear()
    point = again.B04.sel(x=WHERE[0], y=WHERE[1], method="nearest")
    assert not read
    np.testing.assert_array_equal(point.values, cube.B04.sel(x=WHERE[0], y=WHERE[1], method="nearest").values)
    assert read and max(r * c for r, c in read) <= 64
    np.testing.assert_array_equal(again.B04[:, ::3, 4:20:5].values, whole[:, ::3, 4:20:5])
    np.testing.assert_array_equal(again.B04[1, 3].values, whole[1, 3])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).B04.values, whole)


def test_chunks_do_not_change_values(catalogue):
    "A shifted, finer grid in other coordinates gives the same numbers in one block and in many."
    wanted = dict(bands=["B04", "B11"], resolution=7.0, crs="EPSG:32633", mask=None)
    one, many = (open_stac(catalogue, **wanted, chunks={"y": n, "x": n}) for n in (500, 11))
    for band in ("B04", "B11"):
        np.testing.assert_allclose(one[band], many[band], atol=1e-6)
        assert 0.3 < one[band].notnull().mean() < 1


@pytest.mark.parametrize("edit, shift", [
    (lambda i: None, 0.0),
    (lambda i: [b["raster:bands"][0].pop("offset") for b in i["assets"].values() if "raster:bands" in b
                and "offset" in b["raster:bands"][0]], 0.0),
    (lambda i: i["properties"].update({"earthsearch:boa_offset_applied": True}), 0.1),
    (lambda i: i["properties"].update({"earthsearch:boa_offset_applied": False}), 0.0),
    (lambda i: i["assets"]["B04"]["raster:bands"][0].update(offset=0.0), 0.1),
])
def test_offset_is_taken_once(catalogue, scenes, edit, shift):
    "The 1000 of new baselines goes once: as stated, or by the baseline; never where it is gone already."
    item = next(p for p in catalogue.parent.glob("sentinel-2-l2a/*/*.json") if "2022" in p.name)
    change(item, edit)
    cube = open_stac(catalogue, bands=["B04"], dates="2022", mask=None)
    np.testing.assert_allclose(cube.B04[0], scenes[1][0].B04 + shift, atol=6e-5)


def test_an_offset_that_old_baselines_never_had(catalogue, scenes):
    "Earth Search states −0.1 for scenes of old baselines too; it is not applied to them."
    item = next(p for p in catalogue.parent.glob("sentinel-2-l2a/*/*.json") if "2018" in p.name)
    change(item, lambda i: i["assets"]["B04"]["raster:bands"][0].update(offset=-0.1))
    cube = open_stac(catalogue, bands=["B04"], dates="2018", mask=None)
    np.testing.assert_allclose(cube.B04[0], scenes[0][0].B04, atol=6e-5)


def test_an_untold_offset_is_asked_for(catalogue, scenes):
    "Without offset and baseline the reader does not guess."
    item = next(p for p in catalogue.parent.glob("sentinel-2-l2a/*/*.json") if "2022" in p.name)
    change(item, lambda i: (i["properties"].pop("s2:processing_baseline"), i["assets"]["B04"].pop("raster:bands")))
    with pytest.raises(InputError, match="neither the offset .* boa_offset='apply'"):
        open_stac(catalogue, bands=["B04"], dates="2022")
    cube = open_stac(catalogue, bands=["B04"], dates="2022", boa_offset="apply", mask=None)
    np.testing.assert_allclose(cube.B04[0], scenes[1][0].B04, atol=6e-5)


@pytest.mark.parametrize("names", [{"B04": "red", "B08": "nir", "scl": "SCL"}, {"B04": "B04_10m", "scl": "SCL_20m"}])
def test_names_of_assets(catalogue, scenes, names):
    "Assets called red, nir or B04_10m are B04 and B08."
    for item in catalogue.parent.glob("sentinel-2-l2a/*/*.json"):
        if item.name != "collection.json":
            change(item, lambda i: i.update(assets={names.get(k, k): a for k, a in i["assets"].items()}))
    cube = open_stac(catalogue, bands=["B04", "B08"], mask=None)
    np.testing.assert_allclose(cube.B08[1], scenes[1][0].B08, atol=6e-5)


def test_opening_without_a_look(catalogue, monkeypatch):
    "With check=False no file is opened before something is computed, and the values are the same."
    import rasterio

    looked = open_stac(catalogue, bands=["B04", "B11"])
    inner = rasterio.open
    monkeypatch.setattr(rasterio, "open", lambda *a, **k: pytest.fail("a file was opened"))
    unseen = open_stac(catalogue, bands=["B04", "B11"], check=False)
    monkeypatch.setattr(rasterio, "open", inner)
    xr.testing.assert_equal(unseen.load(), looked.load().drop_vars(["clear", "masked"]))


def test_a_doubtful_offset_is_named(catalogue, scenes):
    "Earth Search says of some scenes that the offset is still to be taken when it is gone: their values tell."
    item = next(p for p in catalogue.parent.glob("sentinel-2-l2a/*/*.json") if "2018" in p.name)
    change(item, lambda i: (i["properties"].update({"earthsearch:boa_offset_applied": False,
                                                    "s2:processing_baseline": "05.11"}),
                            i["assets"]["B04"]["raster:bands"][0].update(offset=-0.1)))
    wanted = dict(bands=["B04"], dates="2018", mask=None)
    with pytest.warns(UserWarning, match=f"{item.stem}: .*under 0 .*boa_offset={{'{item.stem}': 'none'}}"):
        open_stac(catalogue, **wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cube = open_stac(catalogue, **wanted, boa_offset={item.stem: "none"})
    np.testing.assert_allclose(cube.B04[0], scenes[0][0].B04, atol=6e-5)


def test_coarser_pixels_are_means(catalogue, scenes):
    "On 20 m a pixel is the mean of its four, of three where one is missing; on 60 m of 36."
    truth = scenes[0][0].B04
    for n in (2, 6):
        cube = open_stac(catalogue, bands=["B04"], resolution=10 * n, mask=None)
        np.testing.assert_allclose(cube.B04[0], truth.coarsen(x=n, y=n).mean(), atol=6e-5)


def test_finer_pixels_are_between(tmp_path):
    "A plane is a plane on any grid, also in another coordinate system, as the warper of GDAL has it."
    from rasterio.warp import Resampling, reproject

    scene = optical()
    scene[0]["B08"] = ("y", "x"), np.add.outer(np.arange(N) * 0.01, np.arange(N) * 0.01) + 0.1
    catalogue = write_catalog(tmp_path / "a", scene[:1])
    cube = open_stac(catalogue, bands=["B08"], resolution=4, mask=None)
    inner = dict(x=slice(EAST + 5, EAST + 10 * N - 5), y=slice(NORTH - 5, NORTH - 10 * N + 5))
    got = cube.B08[0].sel(inner)
    np.testing.assert_allclose(got, 0.1 + (got.x - EAST - 5) / 1000 + (NORTH - 5 - got.y) / 1000, atol=1e-4)
    cube = open_stac(catalogue, bands=["B08"], resolution=9, crs="EPSG:32633", mask=None)
    other = np.full(cube.B08.shape[1:], np.nan, "float32")
    reproject(scene[0].B08.values, other, src_transform=scene[0].rio.transform(), src_crs="EPSG:32632",
              dst_transform=cube.rio.transform(), dst_crs="EPSG:32633", resampling=Resampling.bilinear,
              dst_nodata=np.nan)
    np.testing.assert_allclose(cube.B08[0], np.where(np.isnan(cube.B08[0]), np.nan, other), atol=3e-4)
    assert np.mean(np.isfinite(other) == np.isfinite(cube.B08[0].values)) > 0.99


def test_chunks_of_20_m_bands(catalogue):
    "Blocks of an odd size give the same interpolated and masked values as one block."
    one, many = (open_stac(catalogue, bands=["B04", "B11", "scl"], chunks={"y": n, "x": n}).load() for n in (99, 7))
    xr.testing.assert_identical(one, many)


def test_decibels_and_power_are_the_same(tmp_path):
    "Radar in dB is read as linear power, before it is brought to another grid too."
    power, decibel = (write_catalog(tmp_path / name, [radar(decibel=d)]) for name, d in (("a", False), ("b", True)))
    for resolution in (10, 20, 7):
        a, b = (open_stac(c, sensors="sentinel-1", resolution=resolution) for c in (power, decibel))
        np.testing.assert_allclose(a.vv, b.vv, rtol=1e-4)
    assert a.orbit_state.item() == "ascending" and a.relative_orbit.item() == 117


def test_a_radar_unit_that_nobody_tells(tmp_path):
    "Uncalibrated amplitudes and unknown units are refused; the unit can be given."
    catalogue = write_catalog(tmp_path / "a", [radar()])
    item, = catalogue.parent.glob("sentinel-1-rtc/*/*.json")
    for collection, says in (("sentinel-1-grd", "uncalibrated"), ("others", "does not tell the unit")):
        change(item, lambda i, c=collection: (i.update(collection=c), i["assets"]["vv"].pop("raster:bands", 0)))
        change(catalogue.parent / "sentinel-1-rtc/collection.json", lambda i, c=collection: i.update(id=c))
        with pytest.raises(InputError, match=says):
            open_stac(catalogue, sensors="sentinel-1", bands=["vv"])
    assert float(open_stac(catalogue, sensors="sentinel-1", bands=["vv"], backscatter="linear").vv.max()) <= 0.3


def test_mask(catalogue):
    "Three cloudy pixels of 20 m take twelve of 10 m; the share is reported; without a mask all are there."
    cube = open_stac(catalogue, bands=["B08"])
    assert np.isnan(cube.B08[0].values).sum() == 12 and np.isnan(cube.B08[0, :2, :6].values).all()
    assert cube.masked[0] == pytest.approx(12 / N**2) and cube.clear[0] == pytest.approx(1 - 12 / N**2)
    assert open_stac(catalogue, bands=["B08"], mask=None).B08.notnull().all()
    assert cube.attrs["scl_kept"] == " ".join(map(str, CLEAR))


def test_all_cloud_is_kept_and_counted(tmp_path):
    "A scene that shows only cloud is a step of missing pixels, and counted."
    catalogue = write_catalog(tmp_path / "a", [optical(), optical("2018-06-10T10:30:21Z", seed=3, classes=9)])
    cube = open_stac(catalogue, bands=["B04"])
    assert cube.sizes["time"] == 2 and cube.attrs["scenes_cloudy"] == 1
    assert cube.B04[1].isnull().all() and cube.clear[1] == 0


def test_a_scene_outside_the_box_is_counted(tmp_path):
    "A scene next door is left out."
    away = [part.assign_coords(x=part.x + 50_000) for part in optical("2018-06-07T10:30:21Z", tile="32UQA")]
    catalogue = write_catalog(tmp_path / "a", [optical(), away])
    (lon,), (lat,) = transform("EPSG:32632", "EPSG:4326", *([v] for v in WHERE))
    inside = open_stac(catalogue, bands=["B04"], site=(lon, lat), size=60)
    assert inside.attrs["scenes_outside"] == 1 and inside.attrs["scenes_used"] == 1
    assert inside.sizes["x"] in (6, 7) and inside.B04.notnull().any()
    with pytest.raises(InputError, match="2 outside the box.*longitude before the latitude"):
        open_stac(catalogue, bands=["B04"], bbox=(49.6, 10.3, 49.7, 10.4))


def test_one_day_is_one_step(tmp_path):
    "Two tiles of one pass are joined; of two versions of one granule the newer baseline is used."
    west = optical(id="west", tile="32UPA")
    east = [p.assign_coords(x=p.x + N * 10) for p in optical("2018-06-05T10:30:35Z", seed=5, id="east", tile="32UQA")]
    newer = optical(baseline="05.00", seed=6, id="newer", tile="32UPA")
    cube = open_stac(write_catalog(tmp_path / "a", [west, east, newer]), bands=["B08"], mask=None)
    assert cube.sizes == {"time": 1, "y": N, "x": 2 * N} and cube.attrs["scenes_superseded"] == 1
    np.testing.assert_allclose(cube.B08[0], np.hstack([newer[0].B08, east[0].B08]), atol=6e-5)


def broken(catalogue, how):
    "Break B04 of the first scene; the words of the error."
    path = asset(catalogue, 0, "B04")
    if how == "half":
        path.write_bytes(path.read_bytes()[:path.stat().st_size * 2 // 3])
        return "truncated"
    if how == "gone":
        path.unlink()
        return "does not exist"
    if how == "empty":
        path.write_bytes(b"")
        return "cannot be read"
    change(path.parent / f"{path.parent.name}.json", lambda i: i["assets"].pop("B04"))
    return "is missing"


@pytest.mark.parametrize("how", ["half", "gone", "empty", "asset"])
def test_a_broken_scene_is_named_or_counted(catalogue, how):
    "One line names scene and asset; with missing='skip' the scene is left out and counted."
    says = broken(catalogue, how)
    says = f"S2A_20180605T103021_32UPA: the asset 'B04' .*{says}.*missing='skip'"
    with pytest.raises(InputError, match=says) as caught:
        open_stac(catalogue, bands=["B04"])
    assert "\n" not in str(caught.value)
    cube = open_stac(catalogue, bands=["B04"], missing="skip", mask=None)
    assert cube.attrs["scenes_skipped"] == 1 and "S2A_20180605T103021_32UPA" in cube.attrs["skipped"]
    assert cube.sizes["time"] == 1 and cube.B04.notnull().sum() == N * N - 1


@pytest.mark.parametrize("how, says", [("gone", "HTTP 404"), ("half", "truncated")])
def test_a_broken_scene_over_http(catalogue, served, how, says):
    "A file that the server has not, or has only in part, is found too."
    broken(catalogue, how)
    with pytest.raises(InputError, match=f"the asset 'B04' .*{says}"):
        open_stac(f"{served}/catalog.json", bands=["B04"])
    assert open_stac(f"{served}/catalog.json", bands=["B04"], missing="skip").attrs["scenes_skipped"] == 1


@pytest.mark.parametrize("how", ["half", "gone"])
def test_what_breaks_after_opening(catalogue, how):
    "A file that is lost between opening and computing is an error, or missing with a warning; never zeros."
    strict, lax = (open_stac(catalogue, bands=["B04"], mask=None, missing=m) for m in ("raise", "skip"))
    broken(catalogue, how)
    with pytest.raises(InputError, match="S2A_20180605T103021_32UPA: the asset 'B04'"):
        strict.B04.load()
    with pytest.warns(UserWarning, match="S2A_20180605T103021_32UPA.*its pixels are missing"):
        values = lax.B04.values
    assert np.isnan(values[0]).all() and np.isfinite(values[1]).sum() == N * N - 1


@pytest.fixture
def api(catalogue):
    "A search service on this machine, in two pages; what it was asked."
    import pystac

    items = list(pystac.Catalog.from_file(str(catalogue)).get_items(recursive=True))
    for item in items:
        item.make_asset_hrefs_absolute()
        item.clear_links()
    asked = []

    class Service(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self, value):
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            home = f"http://127.0.0.1:{self.server.server_port}"
            if self.path.startswith("/collections"):
                ids = {i.collection_id for i in items}
                return self.answer({"links": [], "collections": [
                    {"type": "Collection", "stac_version": "1.0.0", "id": name, "description": name, "license": "other",
                     "links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]},
                                             "temporal": {"interval": [[None, None]]}}} for name in sorted(ids)]})
            self.answer({
                "type": "Catalog", "stac_version": "1.0.0", "id": "service", "description": "service",
                "conformsTo": [f"https://api.stacspec.org/v1.0.0/{n}" for n in ("core", "item-search", "collections")],
                "links": [{"rel": "root", "href": home, "type": "application/json"},
                          {"rel": "data", "href": f"{home}/collections", "type": "application/json"},
                          {"rel": "search", "href": f"{home}/search", "method": "POST",
                           "type": "application/geo+json"}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            known = [i.to_dict(include_self_link=False, transform_hrefs=False) for i in items
                     if i.collection_id in body["collections"]]
            page = body.get("page", 0)
            more = {"rel": "next", "method": "POST", "href": f"http://127.0.0.1:{self.server.server_port}/search",
                    "body": {**body, "page": page + 1}}
            self.answer({"type": "FeatureCollection", "features": known[page:page + 1],
                         "links": [more] if page + 1 < len(known) else []})

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_search_service(api, catalogue, monkeypatch):
    "Scenes that an API finds, page by page, are those on disk; it is asked for the box, the dates, the collections."
    from phenolib.sources import stac

    url, asked = api
    wanted = dict(bbox=(10.3, 49.6, 10.5, 49.7), dates="2018-06/2022-06", bands=["B04"], resolution=1000)
    found = open_stac(url, collections="sentinel-2-l2a", **wanted)
    xr.testing.assert_equal(found.load(), open_stac(catalogue, **wanted).load())
    assert asked[0]["collections"] == ["sentinel-2-l2a"] and asked[0]["bbox"] == [10.3, 49.6, 10.5, 49.7]
    assert asked[0]["datetime"] == "2018-06-01T00:00:00Z/2022-06-30T23:59:59Z" and len(asked) == 2
    monkeypatch.setitem(stac.CATALOGUES, "earth-search", (url, *stac.CATALOGUES["earth-search"][1:]))
    assert open_stac("earth-search", **wanted).attrs["scenes_used"] == 2
    with pytest.raises(InputError, match="give bbox="):
        open_stac(url, collections="sentinel-2-l2a")


def test_a_scene_without_a_date_is_named_and_can_be_left_out(catalogue):
    "An item whose date is missing is one line; without it the others are mapped, every tile."
    from phenolib.maps import map_tiles

    path = next(p for p in catalogue.parent.glob("sentinel-2-l2a/*/*.json") if "2018" in p.name)
    change(path, lambda item: item["properties"].update(datetime=None))
    with pytest.raises(InputError, match="20180605.*has no datetime; add one"):
        open_stac(catalogue, bands=["B04"])
    cube = open_stac(catalogue, bands=["B04"], missing="skip")
    assert cube.attrs["scenes_skipped"] == 1 and "20180605" in cube.attrs["skipped"] and cube.sizes["time"] == 1
    report = map_tiles(lambda block: block[["B04"]].max("time"), cube, catalogue.parent / "map.zarr",
                       tile=max(cube.sizes["x"] // 2, 1), threads=1, progress=False)
    assert not report.failed and report.done == report.tiles


def test_on_the_grid_of_another_cube(catalogue):
    "Radar on the grid of the optical scenes, whatever its own; read in windows, it is the same."
    near = open_stac(catalogue, bbox=(10.3, 49.6, 10.5, 49.7), bands=["B04"], resolution=700)
    found = open_stac(catalogue, bbox=(10.3, 49.6, 10.5, 49.7), sensors="sentinel-1", like=near)
    xr.testing.assert_equal(found["x"].drop_vars("spatial_ref"), near["x"].drop_vars("spatial_ref"))
    assert (found["y"] == near["y"]).all() and found.rio.crs == near.rio.crs and found["vv"].notnull().any()
    windows = open_stac(catalogue, bbox=(10.3, 49.6, 10.5, 49.7), sensors="sentinel-1", like=near, chunks=False)
    xr.testing.assert_equal(windows.isel(x=slice(2, 9)).load(), found.isel(x=slice(2, 9)).load())


def test_a_catalogue_alone_is_an_archive(api, catalogue, served, tmp_path, monkeypatch):
    "The address of an interface, of a catalog.json, its path, or a public name: one cube, and hashes of their own."
    from phenolib.archive import open_archive

    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path / "home"))
    wanted = dict(bbox=(10.3, 49.6, 10.5, 49.7), dates="2018-06/2022-06", bands=["B04"], resolution=1000)
    near = open_stac(catalogue, **wanted).load()
    found = [open_archive(name) for name in (api[0], f"{served}/catalog.json", str(catalogue))]
    for one in found:
        xr.testing.assert_equal(open_stac(one.catalogue(), **wanted).load(), near)
    assert len({one.hash() for one in found}) == 3 and len({one.hash(("cameras",)) for one in found}) == 1
    assert open_archive("earth-search").catalogue() == "earth-search"
    with pytest.raises(InputError, match="names no area; give bbox"):
        found[0].cube()
    with pytest.raises(InputError, match="a catalogue that it answers as STAC; neither could be fetched"):
        open_archive(served)


def test_a_broken_catalogue(catalogue, tmp_path):
    "A link to an item that is not there, a folder without a catalogue, a wrong name: one line each."
    next(p for p in catalogue.parent.glob("sentinel-2-l2a/*/*.json") if "2018" in p.name).unlink()
    with pytest.raises(InputError, match="S2A_20180605T103021_32UPA.json: the catalogue links to it"):
        open_stac(catalogue, bands=["B04"])
    assert open_stac(catalogue, bands=["B04"], missing="skip").attrs["scenes_skipped"] == 1
    (tmp_path / "empty").mkdir()
    for place, says in ((tmp_path / "empty", "no catalog.json"), ("earth-serch", "did you mean 'earth-search'"),
                        (tmp_path / "x.json", "neither a file"), ("http://127.0.0.1:9/catalog.json", "no STAC cat"),
                        ("http://127.0.0.1:9/api", "does not answer")):
        with pytest.raises(InputError, match=says):
            open_stac(place, bbox=(10, 49, 11, 50))


@pytest.mark.parametrize("wrong, says", [
    ({"bands": ["B4"]}, "band 'B4' is unknown"), ({"bands": ["vv"]}, "none is of sentinel-2"),
    ({"sensors": "sentinel-3"}, "sensor 'sentinel-3' is unknown"), ({"dates": "June"}, "are no dates"),
    ({"dates": "2019/2018"}, "in this order"), ({"bbox": (11, 49, 10, 50)}, "west, south, east, north"),
    ({"crs": "EPSG:1"}, "unknown"), ({"dates": "2010"}, "holds no scene"), ({"missing": "zero"}, "missing = 'zero'"),
    ({"resolution": 0}, "positive"), ({"chunks": {"lat": 3}}, "time, y and x"),
])
def test_wrong_questions(catalogue, wrong, says):
    "A wrong argument is one line."
    with pytest.raises(InputError, match=says):
        open_stac(catalogue, **{"bands": ["B04"], **wrong})


def test_keys_that_are_needed_are_asked_for(monkeypatch):
    "Catalogues whose files need signatures or keys say so before anything is searched."
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "planetary_computer", None)
    for name, says in (("copernicus", "AWS_ACCESS_KEY_ID"), ("planetary-computer", "pip install planetary-computer")):
        with pytest.raises(InputError, match=says):
            open_stac(name, bbox=(10, 49, 11, 50))


def test_the_same_scenes_give_the_same_bytes(tmp_path, scenes):
    "Two catalogues of the same scenes are identical, and valid for other readers."
    import pystac

    folders = [write_catalog(tmp_path / name, scenes).parent for name in "ab"]
    files = [{p.relative_to(f).as_posix(): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders]
    assert files[0] == files[1] and len(files[0]) == 3 + 3 + 2 * 4 + 2
    items = list(pystac.Catalog.from_file(str(folders[0] / "catalog.json")).get_items(recursive=True))
    assert len(items) == 3 and not re.search(rb'"(/|file:)', files[0]["catalog.json"])
    new = next(i for i in items if i.datetime.year == 2022)
    assert new.assets["B04"].extra_fields["raster:bands"][0]["offset"] == -0.1
    assert new.properties["sat:relative_orbit"] == 65 and new.properties["proj:code"] == "EPSG:32632"
    assert new.properties["eo:cloud_cover"] == pytest.approx(100 * 3 / (N / 2) ** 2, abs=1e-4)
    assert np.isclose(new.bbox[0], 10.38, atol=0.1) and np.isclose(new.bbox[1], 49.64, atol=0.1)


def test_other_readers_read_it(catalogue, scenes):
    "The usual loader of STAC items finds the same grid and the same digital numbers."
    load = pytest.importorskip("odc.stac").load
    import pystac

    items = list(pystac.Catalog.from_file(str(catalogue)).get_items(recursive=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cube = load([i for i in items if i.datetime.year == 2022], bands=["B04", "B11"])
    expected = np.where(np.isnan(scenes[1][0].B04), 0, np.round(scenes[1][0].B04 * 10_000 + 1000))
    np.testing.assert_array_equal(cube.B04[0], expected)


def test_a_failed_write_leaves_nothing(tmp_path, scenes):
    "A wrong scene in the middle leaves no folder; what is there is only replaced if asked, and whole."
    target = tmp_path / "a"
    with pytest.raises(InputError, match="two scenes have this name"):
        write_catalog(target, [scenes[0], scenes[0]])
    assert list(tmp_path.iterdir()) == []
    write_catalog(target, scenes)
    with pytest.raises(InputError, match="is there already"):
        write_catalog(target, scenes)
    write_catalog(target, scenes[:1], overwrite=True)
    assert len(list(target.glob("*/*/*.json"))) == 1 and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("edit, says", [
    (lambda s: s[0].attrs.pop("datetime"), "tells no time"),
    (lambda s: s[0].attrs.pop("processing_baseline"), "'05.09'"),
    (lambda s: s.__setitem__(0, s[0].assign(B04=s[0].B04 * 10_000)), "divide digital numbers"),
    (lambda s: s.__setitem__(0, s[0].drop_vars("spatial_ref")), "coordinate system"),
    (lambda s: s.__setitem__(0, s[0].rename(B04="red")), "give B02"), (lambda s: s.append(s[0]), "twice"),
    (lambda s: s.__setitem__(0, s[0].assign_coords(x=np.cumsum(s[0].x - EAST) + EAST)), "not even"),
    (lambda s: s.__setitem__(0, s[0].assign_coords(x=s[0].x * 1e6)), "outside EPSG:32632"),
    (lambda s: s.__setitem__(1, s[1].assign(scl=s[1].scl + 9)), "no classes"),
])
def test_scenes_that_cannot_be_written(tmp_path, edit, says):
    "What is wrong with a scene is said in one line."
    scene = optical()
    edit(scene)
    with pytest.raises(InputError, match=says):
        write_catalog(tmp_path / "a", [scene])


def test_dark_pixels_are_not_lost(tmp_path):
    "Reflectance at or under zero is kept with the offset of new baselines; without it it becomes 0.0001, not missing."
    scenes = [optical(baseline="02.08"), optical("2022-06-10T10:30:21Z", "04.00")]
    for scene in scenes:
        scene[0]["B04"][0, 0] = -0.02
    cube = open_stac(write_catalog(tmp_path / "a", scenes), bands=["B04"], mask=None)
    np.testing.assert_allclose(cube.B04[:, 0, 0], [0.0001, -0.02], atol=1e-6)
