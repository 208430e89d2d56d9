"""What happens between crops, and by how much instruments differ: cameras, satellite and leaves of one landscape."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.simulate import cameras, config, crop_tables, crops, land, landscape, offsets, optics, true_dates, weather
from phenolib.simulate.calendar import stream

SMALL = config.make(seed=3, sites=6, squares=2, years=(2018, 2020))
CATCH = crops.CODES["catch_crop"]


@pytest.fixture(scope="module")
def whole():
    return landscape.whole(SMALL)


@pytest.fixture(scope="module")
def flemish():
    years, count = (2018, 2020), 30
    names = np.array([crops.rotation(stream(1, "turn", k), "flanders", years) for k in range(count)])
    sky = weather.make(stream(1, "sky"), "flanders", 51.0, years)
    soil = land.soils(np.full(count, 30.0), np.full(count, 14.0))
    return crops.grow([stream(1, "field", k) for k in range(count)], sky, soil, names, years=years)


def test_catch_crops_grow_between_crops_and_end_before_the_next(flemish):
    "After early harvests most Flemish fields bear one; it stands in autumn and is gone when the next crop is sown."
    covered = flemish["crop"] == CATCH
    assert 0.3 < float(covered.any("time").mean()) and float(flemish["lai_green"].where(covered).max()) > 1.5
    months = flemish["time"].dt.month.where(covered.any("field"), drop=True).values
    assert {10, 11} <= set(months) and not {6, 7} & set(months)
    for k in range(flemish.sizes["field"]):
        for sown in flemish["sowing"].isel(field=k).values:
            if not np.isnat(sown):
                assert not covered.isel(field=k).sel(time=slice(sown + np.timedelta64(1, "D"), None))[:20].any()


def test_work_roughens_the_soil_and_rain_smoothes_it(flemish):
    "Roughness stays between its bounds, jumps up to the values of ploughing and sowing, and falls otherwise."
    rough = flemish["roughness"].values
    assert rough.min() >= crop_tables.ROUGH["least"] - 1e-6 and rough.max() <= crop_tables.ROUGH["ploughed"] + 1e-6
    step = np.diff(rough, axis=1)
    landed = rough[:, 1:][step > 0.1]
    values = np.array(list(crop_tables.ROUGH.values()))
    assert landed.size and np.abs(landed[:, None] - values).min(axis=1).max() < 1e-3


def test_water_of_stems_comes_after_that_of_leaves():
    "At half of its leaf area wheat holds little of the water that it holds at heading, maize holds it in leaves."
    sky = weather.make(np.random.default_rng(1), "flanders", 51.0, (2018, 2018))
    found = crops.grow(np.random.default_rng(2), sky, land.soils([30.0] * 2, [15.0] * 2), [["winter_wheat"], ["corn"]],
                       years=(2018, 2018))
    share = []
    for k in (0, 1):
        one = found.isel(field=k)
        half = int(np.argmax(one["lai_total"].values > 0.5 * float(one["lai_total"].max())))
        share.append(float(one["canopy_water"][half] / one["lai_total"][half]))
    assert share[0] < 0.3 and share[1] > 0.7


def test_brown_leaves_are_the_same_whichever_way_they_brown():
    "The green share is what it is, leaf by leaf or together; shrivelling takes area away, a rest of green stays."
    total, brown = np.full(5, 4.0), np.linspace(0, 1, 5)
    for way in (0.0, 0.4, 1.0):
        living, ripe, dead = optics.parts(total, brown, shrivel=0.0, leafwise=way)
        assert living + dead == pytest.approx(total) and living * (1 - ripe) == pytest.approx(total * (1 - brown))
    living, ripe, _ = optics.parts(total, brown, shrivel=0.85, brown_end=0.9)
    assert living[-1] == pytest.approx(0.6) and ripe[-1] == pytest.approx(0.9) and living[0] == 4


def test_instruments_share_one_landscape(whole):
    "What a part is made from does not depend on which part asks, nor on the number of sites before a square."
    found, _, growth = whole
    again, _, fewer = landscape.whole(replace(SMALL, sites=2))
    assert [p.site for p in found[:2]] == [p.site for p in again[:2]] and found[6].site == again[2].site
    for a, b in ((0, 0), (6 * landscape.FIELDS, 2 * landscape.FIELDS)):
        xr.testing.assert_identical(growth["theta"].isel(field=a, drop=True).reset_coords(drop=True),
                                    fewer["theta"].isel(field=b, drop=True).reset_coords(drop=True))


def test_the_top_of_the_canopy_browns_first(whole):
    "A lead of the top brings the camera's end forward by as many days, and leaves NDVI where it is."
    found, _, growth = whole
    changes = [{"top_lead": (lead, lead)} for lead in (0.0, 10.0)]
    table = offsets.over(found[:6], growth.isel(field=slice(24)), changes, config=SMALL)
    annual = table[~table["crop"].isin(["alfalfa", "catch crop"]) & (table["event"] == "eos50")]
    middle = annual.groupby("change")["ndvi"].median()
    assert middle[1] - middle[0] == pytest.approx(10, abs=2.5)
    start = table[table["event"] == "sos50"].groupby("change")["ndvi"].median()
    assert start[0] == pytest.approx(start[1], abs=0.5)


def test_dates_are_in_order_and_leaves_come_after_the_camera(whole):
    "At half of the amplitude the camera is up before NDVI, and NDVI before the leaves themselves."
    found, _, growth = whole
    made, spans = offsets.signals(found[:6], growth.isel(field=slice(24)), SMALL)
    assert set(made) == {"camera", "ndvi", "ratio", "vh", "vv", "leaves"} and not made.to_array().isnull().any()
    table = offsets.dates(made, spans)
    some = table[(table["event"] == "sos50") & ~table["crop"].isin(["rice", "alfalfa", "catch crop"])]
    days = [((some[name] - some["camera"]) / pd.Timedelta(1, "D")).median() for name in ("ndvi", "leaves")]
    assert 0 < days[0] < days[1] < 45


def test_each_side_has_its_own_lowest_point():
    "A hump that was there before the first season does not become its base; a growth that is no season is passed over."
    time = pd.date_range("2020-01-01", periods=300).values
    day = np.arange(300.0)
    curve = np.exp(-((day / 20) ** 2)) + np.exp(-(((day - 150) / 20) ** 2)) + 0.004 * np.exp(-(((day - 230) / 5) ** 2))
    spans = [("corn", 2020, 100, 200), ("weeds", 2020, 220, 240)]
    rows = pd.DataFrame(true_dates.share_dates(time, curve, spans, (50,), 0.1))
    assert list(rows["crop"]) == ["corn", "corn"]
    away = (rows["date"] - pd.Timestamp("2020-05-30")) / pd.Timedelta(1, "D")
    assert away.tolist() == pytest.approx([-16.65, 16.65], abs=0.1)


def test_a_camera_sees_its_own_field_from_the_edge(whole):
    "On the edge of its field or in it, the camera sees the field to the north and nothing of the others."
    found, _, growth = whole
    edge = [p for p in landscape.places(SMALL.seed, 40) if p.on_edge]
    assert 4 < len(edge) < 25
    place = found[0]
    own, _ = cameras.greenness(place, growth.isel(field=0), SMALL)
    other, _ = cameras.greenness(replace(place, vigour=np.where(place.field == 0, place.vigour, 9.0)),
                                 growth.isel(field=0), SMALL)
    assert np.array_equal(own, other) and own.max() - own.min() > 0.04
