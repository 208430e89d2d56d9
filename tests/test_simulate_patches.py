"""Simulated satellite patches: the same bytes for a seed, files as real ones, and a truth that the pictures show."""

import numpy as np
import pandas as pd
import pyproj
import pytest

from phenolib import indices, phenology
from phenolib.archive import Archive
from phenolib.errors import InputError
from phenolib.simulate import config, landscape, patches
from phenolib.sources import sentinel


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    patches.make(folder, config=config.make(seed=3, sites=3, squares=1, years=(2019, 2019)))
    return folder


def test_same_seed_same_bytes_whatever_the_number_of_sites(made, tmp_path):
    "One site alone has the files that it has among three."
    patches.make(tmp_path, config=config.make(seed=3, sites=1, squares=0, years=(2019, 2019)))
    files = sorted(p.name for p in (tmp_path / "patches").iterdir())
    assert len(files) == 4
    for name in files:
        assert (tmp_path / "patches" / name).read_bytes() == (made / "patches" / name).read_bytes()


def test_files_are_an_archive_of_patches(made):
    "Each place has both sensors and a crop map; the camera's pixel is row 9, column 9; values are what they can be."
    found = Archive(made)
    assert found.patch_places[["optical", "radar", "crops"]].all(axis=None) and len(found.patch_places) == 4
    place = landscape.places(3, 1)[0]
    patch = found.patch(place.site)
    optical, radar = patch["optical"], patch["radar"]
    assert optical.sizes["y"] == optical.sizes["x"] == radar.sizes["y"] == 18
    to_utm = pyproj.Transformer.from_crs(4326, sentinel.epsg_of(optical), always_xy=True)
    east, north = to_utm.transform(place.lon, place.lat)
    assert abs(float(optical["x"][9]) - east) <= 5 and abs(float(optical["y"][9]) - north) <= 5
    for band in ("B02", "B04", "B08", "B11"):
        assert 0 <= float(optical[band].min()) and float(optical[band].max()) <= 1.2
    assert set(np.unique(optical["scl"])) <= {3, 4, 5, 6, 8, 9, 11}
    assert 0.2 < sentinel.clear(optical).attrs["clear_share"] < 0.8
    assert np.diff(optical.indexes["time"]).min() >= np.timedelta64(1, "D") / 2
    level = indices.to_db(radar)
    assert -16 < float(level["vv"].median()) < -6 and 5 < float((level["vv"] - level["vh"]).median()) < 14


def test_truth_has_the_dates_of_every_field(made):
    "Each field has a row a harvest year that it was sown for, its dates in order; the archive reads them."
    found = Archive(made).field_dates
    assert set(found["season"]) == {2019} and set(found["climate"]) == {"midwest", "northwest", "flanders"}
    days = found[["sowing", "emergence", "t_sen", "ripe", "harvest"]]
    steps = days.diff(axis=1).iloc[:, 1:].stack().dropna()
    assert (steps >= pd.Timedelta(0)).all() and days["sowing"].notna().all() and days["harvest"].notna().mean() > 0.8
    assert not found.duplicated(["site", "field", "season"]).any()


def test_pictures_show_the_planted_seasons(made):
    "The NDVI of the camera's field is half up within 25 days of the green leaves, and the crop map names its crop."
    found, truth = Archive(made), pd.read_csv(made / "truth" / "patches.csv", parse_dates=["date"])
    fields = pd.read_csv(made / "truth" / "patch_fields.csv")
    for site in found.patch_places["place"][:3]:
        patch = found.patch(site)
        own = fields[(fields["site"] == site)].pivot(index="row", columns="column", values="field").to_numpy() == 0
        ndvi = indices.index("NDVI", sentinel.clear(patch["optical"])).where(own).median(("y", "x"))
        dates = phenology.seasons(ndvi.drop_vars("spatial_ref"), method="whittaker", per_year=1)["sos50"].values
        planted = truth.query("site == @site and field == 0 and share == 50 and direction == 'rising'")
        assert len(planted) == 1 and planted["season"].item() == 2019
        assert np.nanmin(np.abs((dates - planted["date"].to_numpy()) / np.timedelta64(1, "D"))) < 25
        code = np.unique(patch["crops"]["crop"].values[own])
        assert code.tolist() == [patches.CODES[planted["crop"].item()]]


def test_fields_and_edges():
    "Four fields in each map; on an edge the camera's pixel is not of the field it looks at, else it is."
    for place in landscape.places(7, 20):
        assert set(np.unique(place.field)) == {0, 1, 2, 3}
        row, column = landscape.SIZE // 2, landscape.SIZE // 2
        assert (place.field[row, column] == 0) != place.on_edge
        assert place.field[row - 4, column] == 0 and 0.4 < place.vigour.min() and place.vigour.max() < 2


def test_the_truth_of_leaves_is_a_reference_of_its_own(made):
    "Dates of the leaves of each field are read as a reference, and a map says which pixels are of which field."
    found = Archive(made)
    events, site = found.reference("patches").events, found.patch_places["place"][0]
    fields = found.field_map(site)
    assert fields.shape == (18, 18) and set(np.unique(fields)) <= set(range(landscape.FIELDS))
    own = events[events["site"] == site]
    assert set(own["series"]) <= {f"{site}_{k}" for k in range(landscape.FIELDS)}
    assert (own["metric"] == "lai_green").all()
    assert {"rising", "falling"} == set(own["direction"]) and own["date"].notna().all()
    with pytest.raises(InputError, match="no map of fields"):
        found.field_map("nowhere")
