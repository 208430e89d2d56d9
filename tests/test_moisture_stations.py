"""Soil-moisture stations: what is written is read, stuck probes are found, layers are weighted by thickness."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib.errors import InputError
from phenolib.sources import moisture_stations
from phenolib.sources.moisture_stations import OPTICAL

ROOT = os.environ.get("PHENOLIB_ARCHIVE")
FOLDER = Path(ROOT or ".", "soil_moisture")
real = pytest.mark.skipif(not ROOT or not FOLDER.is_dir(),
                          reason="PHENOLIB_ARCHIVE names no archive with soil-moisture stations")
DEPTHS = np.array([0.05, 0.1, 0.2, 0.5, 1.0])
HEAD = "station,depth_m,date,sm_m3m3,n_hours\n"


def readings(days=200, seed=0):
    "Two stations whose soil answers to the same water, less in the deep."
    rng = np.random.default_rng(seed)
    water = np.cumsum(rng.normal(0, 1, (2, days)), axis=1)
    water /= water.std(axis=1, keepdims=True)
    values = 0.25 + 0.05 * water[..., None] * np.array([1, 0.9, 0.8, 0.6, 0.5]) + rng.normal(0, 0.003, (2, days, 5))
    time = pd.date_range("2019-03-01", periods=days, name="time", unit="ns")
    places = {"station": ["Sim_A_1", "Sim_B_2"], "time": time, "depth": DEPTHS}
    return xr.Dataset({"moisture": (("station", "time", "depth"), values.clip(0.01, 0.6).round(4)),
                       "hours": (("station", "time", "depth"), np.full(values.shape, 24.0))}, places)


def test_what_is_written_is_read_again(tmp_path):
    "Values, gaps and hours come back; the same values give the same bytes."
    planted, path = readings(), tmp_path / "uscrn_daily.csv.gz"
    planted["moisture"][0, 3:6, 2] = np.nan
    moisture_stations.write(planted, path)
    found = moisture_stations.read(path)
    np.testing.assert_allclose(found["moisture"], planted["moisture"], atol=1e-6)
    assert found["station"].values.tolist() == ["Sim_A_1", "Sim_B_2"] and found.attrs["remarks"] == []
    np.testing.assert_allclose(found["depth"], DEPTHS)
    first = path.read_bytes()
    moisture_stations.write(planted, path)
    assert path.read_bytes() == first


def test_the_careful_reader_finds_the_same(tmp_path):
    "A blank in front of a name or an empty value of moisture changes nothing else."
    planted = readings()
    moisture_stations.write(planted, tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_text()
    first = text.splitlines()[1]
    (tmp_path / "b.csv").write_text(text.replace(first, f" {first}"))
    (tmp_path / "c.csv").write_text(text.replace(first, ",".join([*first.split(",")[:3], "", "24"])))
    same, one, less = (moisture_stations.read(tmp_path / f"{name}.csv") for name in "abc")
    assert same["moisture"].equals(one["moisture"])
    assert int(less["moisture"].isnull().sum()) == 1


def test_days_with_few_hours_are_left_out_and_told(tmp_path):
    "A mean of less than 18 hours is missing."
    planted, path = readings(), tmp_path / "a.csv"
    planted["hours"][1, 7, 0] = 17
    moisture_stations.write(planted, path)
    found = moisture_stations.read(path)
    assert np.isnan(found["moisture"][1, 7, 0]) and int(found["moisture"].isnull().sum()) == 1
    assert found.attrs["remarks"] == ["a.csv: 1 days of a probe have fewer than 18 hours and are left out"]
    assert moisture_stations.read(path, least_hours=12)["moisture"].notnull().all()


def test_a_stuck_probe_is_found_and_told(tmp_path):
    "A probe that repeats one value for 20 days while its neighbours move is missing then, and only then."
    planted, path = readings(), tmp_path / "a.csv"
    planted["moisture"][0, 50:70, 1] = 0.3123
    planted["moisture"][1, 50:60, 1] = 0.3123  # ten days can be
    moisture_stations.write(planted, path)
    found = moisture_stations.read(path)
    gone = found["moisture"].isnull()
    assert int(gone.sum()) == 20 and gone[0, 50:70, 1].all()
    assert "1 times a probe was stuck" in found.attrs["remarks"][0] and "Sim_A_1 at 0.1 m" in found.attrs["remarks"][0]


def test_dry_soil_in_the_deep_is_not_stuck():
    "A deep probe that never answers to the one above keeps its values."
    planted = readings()
    planted["moisture"][0, :, 4] = 0.095 + 0.001 * (np.arange(200) // 20)
    assert moisture_stations.stuck(planted).empty


def test_rain_tells_of_a_stuck_probe_that_stands_alone():
    "Without neighbours 40 mm of rain in the days of one value tell that it is stuck."
    planted = readings().isel(depth=[0])
    planted["moisture"][0, 50:70] = 0.3123
    assert moisture_stations.stuck(planted).empty
    rain = xr.zeros_like(planted["moisture"].isel(depth=0, drop=True))
    rain[0, 55] = 40.0
    [run] = moisture_stations.stuck(planted, rain=rain).to_dict("records")
    assert (run["station"], run["days"], run["value"]) == ("Sim_A_1", 20, pytest.approx(0.3123))


@pytest.mark.parametrize(("row", "why"), [
    ("A,0.05,2019-04-07,31.2,24", "line 3 has sm_m3m3 = 31.2; it looks like per cent"),
    ("A,0.05,2019-04-07,-0.01,24", "line 3 has sm_m3m3 = -0.01; m³ m⁻³ from 0 to 1"),
    ("A,5,2019-04-07,0.3,24", "line 3 has depth_m = 5; metres below the surface"),
    ("A,,2019-04-07,0.3,24", "line 3 has depth_m = nan; metres"),
    ("A,0.05,2019-04-07,0.3,25", "line 3 has n_hours = 25; 0 to 24"),
    (",0.05,2019-04-07,0.3,24", "line 3 has station = ''; the name"),
    ("A,0.05,2019-04-06,0.3,24", "line 3 is the second of station A at 0.05 m on 2019-04-06"),
    ("A,0.05,7 April,0.3,24", "line 3 has date '7 April'"),
    ("A,0.05,2019-04-07,wet,24", "line 3 has sm_m3m3 = 'wet'; a number")])
def test_rows_that_cannot_be_are_refused(tmp_path, row, why):
    "The line and its value are named."
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD}A,0.05,2019-04-06,0.31,24\n{row}\n")
    with pytest.raises(InputError, match=why):
        moisture_stations.read(path)


def test_a_missing_column_is_named(tmp_path):
    "The nearest name is suggested."
    path = tmp_path / "a.csv"
    path.write_text(HEAD.replace("sm_m3m3", "sm_m3_m3") + "A,0.05,2019-04-06,0.31,24\n")
    with pytest.raises(InputError, match="column 'sm_m3m3' is missing; did you mean 'sm_m3_m3'"):
        moisture_stations.read(path)


def test_layers_are_weighted_by_thickness():
    "A profile that falls evenly with depth gives the weighted mean; the weights of a full set sum to one."
    for (bottom, farthest), weights in ((moisture_stations.LAYERS["surface"], [0.75, 0.25, 0, 0, 0]),
                                        (moisture_stations.LAYERS["root_zone"], [0.075, 0.075, 0.2, 0.4, 0.25])):
        np.testing.assert_allclose(moisture_stations.depth_weights(DEPTHS, bottom, farthest), weights)
    found = moisture_stations.layers(readings())
    planted = readings()["moisture"].values
    np.testing.assert_allclose(found["surface"], planted @ [0.75, 0.25, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found["root_zone"], planted @ [0.075, 0.075, 0.2, 0.4, 0.25], atol=1e-6)
    assert found["surface"].attrs["retrieved"] == 1.0


@pytest.mark.parametrize(("lacks", "surface", "root_zone"), [
    ([0], False, True), ([1], True, True), ([2], True, True), ([3], True, False), ([4], True, False),
    ([0, 1, 2, 3, 4], False, False), ([1, 2], True, True), ([2, 3], True, False)])
def test_a_layer_needs_the_probes_that_carry_it(lacks, surface, root_zone):
    "Without 5 cm there is no surface, without 50 or 100 cm no root zone; the share that is left is told."
    data = readings()
    data["moisture"][0, :, lacks] = np.nan
    found = moisture_stations.layers(data)
    assert bool(found["surface"][0].notnull().all()) is surface
    assert bool(found["root_zone"][0].notnull().all()) is root_zone
    whole = 2 if lacks != [0, 1, 2, 3, 4] else 1
    assert found["root_zone"].attrs["retrieved"] == (1 + root_zone) / whole


def test_a_constant_profile_keeps_its_value_whatever_is_missing():
    "Weights of any set of probes sum to one."
    data = readings()
    data["moisture"][:] = 0.3
    rng = np.random.default_rng(1)
    data["moisture"] = data["moisture"].where(rng.random(data["moisture"].shape) > 0.3)
    for layer in moisture_stations.layers(data).values():
        assert 0 < layer.attrs["retrieved"] < 1
        np.testing.assert_allclose(layer.values[np.isfinite(layer.values)], 0.3, atol=1e-6)


def probes():
    return pd.DataFrame({"network": "SIM", "station": np.repeat(["Sim_A_1", "Sim_B_2"], 5),
                         "lat": np.repeat([36.1, 37.2], 5), "lon": np.repeat([127.1, 128.2], 5),
                         "elevation": np.repeat([100.0, 250.0], 5), "depth_from": np.tile(DEPTHS, 2),
                         "depth_to": np.tile(DEPTHS, 2), "sensor": "simulated probe", "hours": 4800, "days": 200})


def test_probes_are_read_again(tmp_path):
    "What is written is read; a station in two places, a place that is none and a probe twice are refused."
    path, table = tmp_path / "uscrn_sensors.csv", probes()
    moisture_stations.write_sensors(table, path)
    pd.testing.assert_frame_equal(moisture_stations.sensors(path), table, check_dtype=False)
    for changed, why in ((table.assign(lat=[*table["lat"][:9], 40.0]), "station 'Sim_B_2' has two places"),
                         (table.assign(lon=500.0), "line 2 lies at longitude 500"),
                         (pd.concat([table, table[:1]]), "line 12 is the second of 'Sim_A_1' at 0.05 m")):
        moisture_stations.write_sensors(changed, path)
        with pytest.raises(InputError, match=why):
            moisture_stations.sensors(path)


def test_soil_of_stations_is_read_again(tmp_path):
    "Shares of the weight, land cover and climate; the newest map counts."
    soil = {f"{n}{deep}": [0.2, 0.25] for deep in ("", "_deep") for n in ("saturation", "clay", "sand", "silt",
                                                                         "organic_carbon")}
    table = pd.DataFrame({"network": "SIM", "station": ["Sim_A_1", "Sim_B_2"], **soil, "land_cover": ["10", "130"],
                          "climate": ["Dwa", "Cfa"]})
    path = tmp_path / "station_static_variables.csv.gz"
    moisture_stations.write_static(table, path)
    pd.testing.assert_frame_equal(moisture_stations.static(path), table)
    moisture_stations.write_static(table.assign(clay=[0.2, 25.0]), path)
    with pytest.raises(InputError, match="has clay fraction = 2500 % weight; 0 to 100 is expected"):
        moisture_stations.static(path)


def bands(rows=30):
    rng = np.random.default_rng(2)
    start = pd.date_range("2019-01-01", periods=rows, freq="10D", unit="ns")
    seen = {band: rng.uniform(0.05, 0.3, rows).round(4) for band in OPTICAL}
    return pd.DataFrame({"network": "SIM", "station": "Sim_A_1", "lon": 127.1, "lat": 36.1, "start": start,
                         "end": start + pd.Timedelta(days=10), **seen, "VV": -12.0, "VH": -19.0, "angle": 38.0,
                         "elevation": 5.0, "cover": 20.0, "land_cover": 40.0, "ssm": rng.uniform(2, 25, rows).round(4)})


def test_bands_at_gauges_are_read_again(tmp_path):
    "Reflectance comes back; cloud or snow is missing in all bands and told; ssm is kept, and given as a share beside."
    path, table = tmp_path / "gauge_points.csv.gz", bands()
    table.loc[4, "B2"] = 0.9
    moisture_stations.write_gauges(table, path)
    found = moisture_stations.gauges(path)
    assert found.loc[4, list(OPTICAL)].isna().all() and found["B2"].notna().sum() == 29
    keep = [c for c in table if c not in OPTICAL]
    pd.testing.assert_frame_equal(found[keep], table[keep], check_dtype=False)
    np.testing.assert_allclose(found["B8"].drop(4), table["B8"].drop(4))
    np.testing.assert_allclose(found["ssm_fraction"], table["ssm"] / 50)
    assert "1 of 30 rows have B2 above 0.4" in found.attrs["remarks"][0] and "probably mm" in found.attrs["ssm"]
    moisture_stations.write_gauges(pd.concat([table, table[:1]]), path)
    with pytest.raises(InputError, match="line 32 is the second of 'Sim_A_1' from 2019-01-01"):
        moisture_stations.gauges(path)
    moisture_stations.write_gauges(table.assign(**{b: table[b] / 1e4 for b in OPTICAL}), path)
    with pytest.raises(InputError, match="B2 has a median of .*; reflectance times 10000 is expected"):
        moisture_stations.gauges(path)


@real
def test_real_stations_are_read():
    "82 stations, most with all five depths; nine in ten days of the surface can be told; no probe looks stuck."
    data = moisture_stations.read(FOLDER / "uscrn_daily.csv.gz")
    assert dict(data.sizes) == {"station": 82, "time": 1097, "depth": 5} and data.attrs["remarks"] == []
    layers = moisture_stations.layers(data)
    assert 0.85 < layers["surface"].attrs["retrieved"] < 0.9 and 0.45 < layers["root_zone"].attrs["retrieved"] < 0.55
    probes = moisture_stations.sensors(FOLDER / "uscrn_sensors.csv")
    assert set(data["station"].values) <= set(probes["station"])


@real
def test_real_tables_beside_are_read():
    "Soil of 130 stations, and 9,919 rows of bands at 91 gauges of which 43 have readings."
    soil = moisture_stations.static(FOLDER / "station_static_variables.csv.gz")
    assert len(soil) == 130 and soil["clay"].between(0.03, 0.6).all() and (soil["land_cover"] != "").all()
    table = moisture_stations.gauges(FOLDER / "gauge_points.csv.gz")
    data = moisture_stations.read(FOLDER / "uscrn_daily.csv.gz")
    assert len(table) == 9919 and len(set(table["station"]) & set(data["station"].values)) == 43
    assert table["ssm_fraction"].between(0, 0.51).all() and table["B2"].max() <= 0.4
