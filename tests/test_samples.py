from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import samples
from phenolib.errors import InputError

FIRST = np.datetime64("2018-01-01", "ns")
DAYS = np.arange(3 * 365)


def course(start, end, base, top):
    "A day-by-day course that rises around ``start`` and falls around ``end`` of each of three years [day of year]."
    day = DAYS % 365
    return base + (top - base) * (1 / (1 + np.exp((start - day) / 6)) - 1 / (1 + np.exp((end - day) / 6)))


def patch(start, end, *, every=5, cloudy=(), size=18, radar_step=12, spoiled=()):
    "Patches whose NDVI follows a course; cloudy scenes are not clear, of spoiled ones only the pixel in the corner."
    time, look = FIRST + DAYS[::every] * samples.DAY, FIRST + DAYS[::radar_step] * samples.DAY
    ndvi = course(start, end, 0.2, 0.85)[::every, None, None] * np.ones((1, size, size), np.float32)
    red = np.full_like(ndvi, 0.08)
    bands = {"B02": 0.05 + 0 * red, "B03": red * (1 + 0.3 * ndvi), "B04": red, "B08": red * (1 + ndvi) / (1 - ndvi)}
    scl = np.full(ndvi.shape, 4, np.uint8)
    scl[list(cloudy)] = 9
    scl[list(spoiled), 0, 0] = 9
    middle = (np.arange(size) - size / 2) * 10.0
    space = {"y": middle[::-1], "x": middle}
    optical = xr.Dataset({**{k: (("time", "y", "x"), v) for k, v in bands.items()}, "scl": (("time", "y", "x"), scl)},
                         {"time": time, **space}, {"source": "planted.nc"})
    lai = course(start, end, 0, 1)[::radar_step, None, None] * np.ones((1, size, size))
    power = {"vv": 10 ** (-1.0 - 0.2 * lai), "vh": 10 ** (-2.0 + 0.2 * lai)}
    radar = xr.Dataset({k: (("time", "y", "x"), v) for k, v in power.items()}, {"time": look, **space})
    return {"optical": optical, "radar": radar}


class Planted:
    "An archive with what ``of_archive`` asks for; the camera of a site runs ahead of its satellites."

    name = "planted"

    def __init__(self, sites, **options):
        "sites: {name: (cluster, split, crop, start, end, how many days the satellites are late)}"
        rows = [(name, *given[:3]) for name, given in sites.items()]
        self.sites = pd.DataFrame(rows, columns=["site", "cluster", "split", "crop"])
        self.patch_places = pd.DataFrame({"place": list(sites), "optical": True, "radar": True})
        self.given, self.options = sites, options

    def find_site(self, name):
        return name

    def cameras(self):
        return self.sites[["site"]]

    def patch(self, site):
        start, end, late = self.given[site][3:]
        return patch(start + late, end + late, **self.options)

    def phenocam(self, site):
        gcc = course(*self.given[site][3:5], 0.33, 0.45)[::3].astype(float)
        return xr.Dataset({"gcc_90": ("time", gcc)}, {"time": FIRST + DAYS[::3] * samples.DAY})

    def reference(self, kind, source):
        return SimpleNamespace(events=pd.DataFrame())


ONE = {"a": ("farm", "train", "corn", 150, 260, 10)}


@pytest.fixture(scope="module")
def one():
    return samples.of_archive(Planted(ONE))


def test_windows_have_the_shapes_of_the_study(one):
    "Thirty scenes and ten looks of 18 × 18 pixels, three seasons, all four dates of each inside the window."
    windows = one.windows()
    assert windows.optical.shape == (3, 30, 18, 18, 2) and windows.sar.shape == (3, 10, 18, 18, 2)
    assert windows.optical.dtype == windows.sar.dtype == np.float32 and windows.mask.all()
    assert ((windows.target >= 0) & (windows.target < 30)).all() and not windows.filled.any()
    assert one.table["season"].tolist() == ["a_2018", "a_2019", "a_2020"]


def test_label_is_the_nearest_scene_and_the_camera_date_is_kept(one):
    "The label's scene is the nearest of the window; start + true_day is the camera's date to the second."
    windows = one.windows()
    for k in range(len(one)):
        away = np.abs(windows.optical_days[k] - windows.true_day[k][:, None])  # (4, 30)
        assert (away.argmin(1) == windows.target[k]).all() and away.min(1) == pytest.approx(np.abs(windows.moved[k]))
    back = windows.start[:, None] + (windows.true_day * 86400e9).astype("timedelta64[ns]")
    assert (np.abs(back - one.dates) < np.timedelta64(1, "s")).all()
    assert (np.abs(windows.moved) <= 2.5).all()


def test_series_are_cells_of_30_metres(one):
    "Each cell is the mean of its nine pixels, of radar in linear power; the first row lies in the north."
    place, series = one.places["a"], one.series([1])
    assert series.optical.shape[2:] == series.sar.shape[2:] == (36, 2) and series.optical.dtype == np.float32
    there = series.optical_there[0]
    scene = np.abs((place.times - one.table["anchor"].iloc[1].to_datetime64()) / samples.DAY
                   - series.optical_days[0][there][3]).argmin()
    patch = place.optical[scene]
    assert series.optical[0][there][3, 7] == pytest.approx(patch[3:6, 3:6].mean((0, 1)))
    block = np.arange(2.0 * 18 * 18 * 2).reshape(2, 18, 18, 2)
    assert samples.cells(block)[1, 35] == pytest.approx(block[1, 15:, 15:].mean((0, 1)))
    loud = one.places["a"].sar.copy()
    loud[:, 0, 0] += 10 * np.log10(19)  # one pixel of nine: ten times more, so that the cell has three times the power
    louder = replace(one, places={"a": replace(place, sar=loud)}).series([1])
    there = series.sar_there[0]
    assert (louder.sar - series.sar)[0, there, 0] == pytest.approx(10 * np.log10(3), abs=0.05)
    assert (louder.sar == series.sar)[0, :, 1:].all()


def test_the_network_knows_where_the_cells_lie():
    "Its cells in metres are the cells of the samples, with the camera in the middle of its pixel of 10 m."
    from phenolib.nets import cropclock

    assert cropclock.CELL == 10 * samples.CELL and cropclock.CELLS == samples.SIZE // samples.CELL
    assert cropclock.SITE == 10 * (samples.SITE + 0.5)


def test_in_view_is_what_the_weights_look_at(one):
    "With all weight on one cell the baselines read that cell; a wrong number of weights is told."
    weights = np.zeros(36)
    weights[7] = 1
    place, seen = one.places["a"], samples.in_view(one, weights).places["a"]
    assert seen.pixel["NDVI"].values == pytest.approx(place.optical[:, 3:6, 3:6, 0].mean((1, 2)))
    assert (seen.pixel["time"].values == place.times).all() and seen.optical is place.optical
    with pytest.raises(InputError, match="give one for each of the 36 cells"):
        samples.in_view(one, np.ones(4))


def test_offset_moves_the_window_and_not_the_date(one):
    "Five scenes later the label is five steps earlier, at the same date, or no longer in the window."
    here, later = one.window(1), one.window(1, 5)
    assert (later.target == np.where(here.target >= 5, here.target - 5, 30)).all() and (here.target >= 5).any()
    shift = (later.start - here.start) / samples.DAY
    assert here.true_day == pytest.approx(later.true_day + shift[:, None])
    assert (later.optical[0, :25] == here.optical[0, 5:]).all()


def test_camera_does_not_place_the_window():
    "A camera that is three weeks earlier gets other labels in exactly the same windows: their place tells nothing."
    found = []
    for late in (10, 31):
        planted = Planted({"a": ("farm", "train", "corn", 160 - late, 270 - late, late)})
        found.append(samples.of_archive(planted))
    same = ["anchor", "low", "high", "first", "last"]
    pd.testing.assert_frame_equal(found[0].table[same], found[1].table[same])
    assert np.abs((found[0].dates - found[1].dates) / samples.DAY - 21).max() < 0.1


def test_a_window_holds_one_season():
    "With a scene every eleven days a window of 30 would see the years before and after; it ends where they begin."
    found = samples.of_archive(Planted(ONE, every=11))
    windows = found.windows()
    last = windows.start + windows.optical_days.max(1).astype("timedelta64[D]")
    assert (windows.start[1:, None] > found.dates[:-1]).all() and (last[:-1, None] < found.dates[1:]).all()
    assert not windows.mask.all() and (windows.optical[~windows.mask] == 0).all()
    assert np.diff(windows.optical_days, axis=1).min() >= 0


def test_event_outside_of_the_window_is_no_event(one):
    "A window of six scenes on the middle of the season sees neither start nor end; the camera's date is still known."
    short = samples.of_archive(Planted(ONE), steps=6)
    windows = short.windows()
    assert (windows.target == 6).all() and np.isnan(windows.moved).all() and np.isfinite(windows.true_day).all()


def test_season_without_a_scene_in_reach_is_kept():
    "Where clouds hide a year its seasons stay in the table, so that they count as not retrieved."
    hidden = range(73 - 20, 146 + 20)
    found = samples.of_archive(Planted(ONE, cloudy=hidden))
    assert not found.table["on_season"][1]
    assert found.table["anchor"][1] == pd.Timestamp("2019-07-01")
    few = found.windows([1])
    few_inside = few.mask.sum() < 30 and np.isfinite(few.optical).all() and np.isfinite(few.optical_days).all()
    assert few_inside and few.true_day.shape == (1, 4)


def test_clouds_are_left_out_or_filled():
    "A scene without its site pixel is not there; a pixel missing elsewhere holds the mean of its scene and is flagged."
    place = samples.place_of(patch(150, 260, cloudy=[3], spoiled=[40, 41]))
    assert place.times.size == DAYS[::5].size - 1 and place.filled.sum() == 2
    scene = np.flatnonzero(place.filled.any((1, 2)))[0]
    assert place.optical[scene, 0, 0] == pytest.approx(place.optical[scene, 9, 9], abs=1e-6)
    assert np.isnan(place.pixel["NDVI"][3])


def test_of_two_orbits_the_clearer_scene_is_kept():
    "With a scene every two days and four apart, the one with a cloud in its corner gives way to the next."
    place = samples.place_of(patch(150, 260, every=2, spoiled=[0]), apart=4)
    assert place.times[0] == FIRST + 2 * samples.DAY
    assert (np.diff(place.times) >= 4 * samples.DAY).all()
    assert samples.place_of(patch(150, 260, every=2), apart=0).times.size == DAYS[::2].size


def test_radar_looks_are_the_nearest_to_equal_steps(one):
    "Each of the ten looks is the acquisition nearest to its date; they are in dB."
    window, place = one.window(0), one.places["a"]
    even = np.linspace(window.optical_days.min(), window.optical_days.max(), 10)
    assert (np.abs(window.sar_days[0] - even) <= 6).all()
    assert window.sar.min() > -30 and window.sar.max() < -5
    assert np.isin(window.start + np.rint(window.sar_days[0] * 86400).astype("timedelta64[s]"), place.sar_times).all()


def test_date_the_camera_lacks_is_not_learned(one):
    "A date that is not known has the target −1."
    table = one.table.assign(sos20=pd.NaT)
    window = samples.Samples(table, one.places, 30, 10, 5).windows()
    assert (window.target[:, 0] == -1).all() and np.isnan(window.true_day[:, 0]).all()


def test_draws_are_repeatable(one):
    "The same seed gives the same offsets, and only multiples of five that keep the middle inside."
    first, second = (one.draw(np.random.default_rng(3)) for _ in range(2))
    assert (first == second).all() and set(first) <= set(one.offsets) == {-10, -5, 0, 5, 10}


def test_patch_larger_than_needed_is_cut_to_its_middle():
    "Of 64 × 64 pixels the 18 × 18 are kept whose row 9 is row 32; radar pixels of 20 m are put under them."
    big = patch(150, 260, size=64)
    big["optical"]["B04"][:, 32, 32] = 0.02
    big["radar"] = big["radar"].isel(x=slice(None, None, 2), y=slice(None, None, 2))
    place = samples.place_of(big)
    assert place.optical.shape[1:] == place.sar.shape[1:] == (18, 18, 2)
    assert place.optical[10, 9, 9, 0] > place.optical[10, 9, 8, 0] + 0.2
    with pytest.raises(InputError, match="16 pixels along y"):
        samples.place_of(patch(150, 260, size=16))


def test_nothing_seen_is_an_error():
    "An archive in which no season was seen says so."
    with pytest.raises(InputError, match="no season"):
        samples.of_archive(Planted(ONE), years=[1999])


class Mapped(Planted):
    "The same without a camera at some places, and with a crop map of two crops."

    def __init__(self, sites, watched=(), **options):
        super().__init__(sites, **options)
        self.watched = list(watched)
        self.patch_places = self.patch_places.assign(crops=True)

    def cameras(self):
        return self.sites[self.sites["site"].isin(self.watched)]

    def patch(self, site):
        made = super().patch(site)
        labels = np.full((made["optical"].sizes["y"], made["optical"].sizes["x"]), 1100)
        labels[:, 20:] = 1200
        crops = xr.DataArray(labels, {d: made["optical"][d] for d in ("y", "x")}, ("y", "x"))
        return made | {"crops": xr.Dataset({"crop": crops}, attrs={"until": "2019-12-31"})}


def test_fields_without_a_camera_give_pixels_inside_their_crop():
    "Pixels away from the border of two crops and from the edge of the file, in the year of the map, without dates."
    archive = Mapped({"a": ("farm", "", "", 150, 260, 0), "b": ("hill", "", "", 150, 260, 0)}, ["b"], size=40)
    found = samples.of_fields(archive, per_crop=4, seed=1)
    assert set(found.table["cluster"]) == {"a"} and set(found.table["year"]) == {2019} and len(found) == 4
    pixels = np.array([[int(p) for p in site.split(" ")[1].split(",")] for site in found.table["site"]])
    assert (pixels >= 9).all() and (pixels <= 31).all() and (pixels[:, 1] > 20).all()
    assert np.isnat(found.dates).all() and found.table["on_season"].all()
    windows = found.windows()
    assert (windows.target == -1).all() and windows.optical.shape == (4, 30, 18, 18, 2)
    series, place = found.series(), found.places[found.table["site"][0]]
    assert series.optical.ndim == series.sar.ndim == 3  # a field is told of itself, and looks nowhere
    scene = np.abs((place.times - found.table["anchor"][0].to_datetime64()) / samples.DAY
                   - series.optical_days[0, 0]).argmin()
    assert series.optical[0, 0] == pytest.approx(place.optical[scene, 8:11, 8:11].mean((0, 1)))
    again = samples.of_fields(archive, per_crop=4, seed=1)
    pd.testing.assert_frame_equal(found.table, again.table)
    with pytest.raises(InputError, match="no crop map"):
        samples.of_fields(Mapped(ONE, ["a"]))


def test_window_lies_on_the_season_that_the_camera_saw():
    "Of two NDVI seasons in a year the window is placed on that with the camera's peak, though it is the smaller one."
    day = DAYS % 365

    class Two(Planted):
        def patch(self, site):
            made = super().patch(site)
            spring = 0.75 * np.exp(-0.5 * ((day - 120) / 18.0) ** 2)
            autumn = 0.5 * np.exp(-0.5 * ((day - 260) / 18.0) ** 2)
            ndvi = (0.1 + spring + autumn)[::5, None, None]
            red = made["optical"]["B04"]
            made["optical"]["B08"] = red * (1 + ndvi) / (1 - ndvi)
            return made

        def phenocam(self, site):
            gcc = 0.33 + 0.1 * np.exp(-0.5 * ((day[::3] - 255) / 15.0) ** 2)
            return xr.Dataset({"gcc_90": ("time", gcc)}, {"time": FIRST + DAYS[::3] * samples.DAY})

    found = samples.of_archive(Two(ONE))
    middle = (found.table["anchor"].to_numpy("datetime64[ns]") - found.newyear) / samples.DAY
    assert np.abs(middle - 259).max() < 12 and found.table["on_season"].all()


def test_two_archives_are_pooled_and_their_clusters_kept_apart(one):
    "The same site of another archive is another site, in another cluster; windows of other sizes are refused."
    both = samples.pooled(one, one)
    assert len(both) == 2 * len(one) and len(both.places) == 2 * len(one.places)
    assert not set(both.table["cluster"][:len(one)]) & set(both.table["cluster"][len(one):])
    first, second = both.windows(np.arange(len(one))), both.windows(np.arange(len(one)) + len(one))
    np.testing.assert_array_equal(first.optical, second.optical)
    for other in (replace(one, steps=one.steps + 1), replace(one, camera=False)):
        with pytest.raises(InputError, match="cannot be pooled"):
            samples.pooled(one, other)


def test_what_was_not_clear_beside_a_place_is_left_out():
    "The mean of 3 × 3 pixels is of the clear ones."
    patches, filled = np.zeros((1, 18, 18, 2), np.float32), np.zeros((1, 18, 18), bool)
    patches[0, 9, 9], patches[0, 8, 8], filled[0, 8, 8] = 0.8, 5.0, True
    assert samples.own(patches, filled) == pytest.approx(np.full((1, 2), 0.1))
    assert samples.own(patches) == pytest.approx(np.full((1, 2), 5.8 / 9))
