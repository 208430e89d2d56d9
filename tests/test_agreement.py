import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import agreement, phenology
from phenolib.errors import InputError
from phenolib.simulate import series as simulated

TIME = pd.date_range("2020-01-01", "2020-12-31", freq="D")
DAY = np.arange(TIME.size)


def curve(*humps):
    values = sum(high * np.exp(-(((DAY - middle) / width) ** 2)) for middle, width, high in humps)
    return xr.DataArray(values, {"time": TIME}, ["time"], "GPP")


def test_dates_on_a_curve_are_exact():
    "On a known hump the dates are those of the formula, to a tenth of a day, whatever the share."
    for share in (0.2, 0.5, 0.8):
        row = agreement.dates_on_curve(curve((180, 30, 10)), share, [TIME[182]]).iloc[0]
        half = 30 * np.sqrt(-np.log(share))
        assert abs((row["sos"] - TIME[180]) / pd.Timedelta("1D") + half) < 0.1
        assert abs((row["eos"] - TIME[180]) / pd.Timedelta("1D") - half) < 0.1
        assert row["peak"] == TIME[180]


def test_each_side_has_its_own_minimum():
    "Two humps that overlap: the end of the first is measured from the trough between them."
    both = curve((120, 25, 10), (200, 25, 8))
    first, second = agreement.dates_on_curve(both, 0.4, [TIME[120], TIME[200]]).itertuples()
    trough = both.values[120:200].min()
    at = np.interp((first.eos - TIME[0]) / pd.Timedelta("1D"), DAY, both.values)
    assert abs(at - (trough + 0.4 * (both.values[115:125].max() - trough))) < 0.01
    assert first.eos < second.sos


def test_a_peak_that_is_missing_has_no_dates():
    "NaT in, NaT out; a share outside 0 to 1 is refused."
    assert agreement.dates_on_curve(curve((180, 30, 10)), 0.4, [np.datetime64("NaT")]).isna().all(axis=None)
    with pytest.raises(InputError, match="share = 40"):
        agreement.dates_on_curve(curve((180, 30, 10)), 40, [TIME[180]])


def test_fits_are_dated_again_or_an_empty_table():
    "A product's own date is found again on its own curve; without a fit the table has its columns and no rows."
    again = agreement.dates_on_curve(curve((180, 30, 10)), 0.4, [TIME[180]]).assign(year=2020)
    table = agreement.on_own_curves({"a": (again, curve((180, 30, 10))), "b": None}, 0.4)
    assert (table["sos"] == table["sos_again"]).all() and table["site"].tolist() == ["a"]
    empty = agreement.on_own_curves({"b": None}, 0.4)
    assert len(empty) == 0 and list(empty) == list(table) and empty["sos"].dtype.kind == "M"


def test_simulated_dates_stand_beside_their_truth():
    "Most seasons of an easy kind are found, errors are small, and the intervals hold most of them."
    made = simulated.series("one_season", 60, seed=3)
    rows = agreement.beside_truth(phenology.seasons(made["ndvi"], method="whittaker"), made)
    assert set(rows["event"]) == {"sos20", "sos50", "eos20", "eos50"}
    assert rows["error"].abs().median() < 4 and (rows["width"].dropna() > 0).all()
    held = ((rows["low"] <= rows["true"]) & (rows["true"] <= rows["high"]))[rows["low"].notna()].mean()
    assert held > 0.75
    with pytest.raises(InputError, match="interval above 0"):
        agreement.beside_truth(phenology.seasons(made["ndvi"], interval=0), made)


def test_seasons_belong_together_by_peak_and_site():
    "The nearer of two seasons is taken, and never that of another site."
    ours = pd.DataFrame({"site": ["a", "a", "b"], "peak": TIME[[100, 110, 100]], "sos50": TIME[[60, 70, 61]]})
    theirs = pd.DataFrame({"site": ["a", "c"], "peak": TIME[[108, 100]], "sos50": TIME[[65, 65]]})
    both = agreement.match_seasons(ours, theirs)
    assert both["sos50_found"].iloc[0] == TIME[70] and pd.isna(both["sos50_found"].iloc[1])


def test_the_largest_of_ten_days_keeps_its_day():
    "A composite has one value a step, on the day on which it was seen; missing days do not count."
    values = xr.DataArray([1.0, np.nan, 3.0, 2.0, 5.0, 4.0], {"time": TIME[[0, 1, 9, 10, 19, 20]]}, ["time"])
    kept = agreement.largest(values, 10)
    assert kept.values.tolist() == [3.0, 5.0, 4.0] and (kept["time"] == TIME[[9, 19, 20]]).all()


def test_reasons_say_what_was_seen():
    "A gap, a second rise between, a missing season and a different level are told apart."
    seen = {"a": curve((180, 30, 10)), "b": curve((180, 30, 10)).where(DAY < 120)}
    events = pd.DataFrame({"site": ["b", "a", "a", "a"], "date": TIME[[150, 150, 150, 150]], "share": 40, "low": 0.0,
                           "found": [TIME[170], TIME[200], pd.NaT, TIME[163]], "high": 10.0, "direction": "rising"})
    words = agreement.reasons(events, seen, pd.DataFrame({"site": ["a"], "peak": [TIME[180]]}))
    assert words[0].startswith("gap: 0 %") and words[1].startswith("two rises")
    assert words[2] == "no season of ours" and words[3].startswith("observations there: 1.0 of")


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_a_crossing_lies_between_days_in_any_unit_of_time(unit):
    "Half of the way from 0 to 1 within a day is noon, whatever unit the dates are kept in."
    time = np.array(["2020-03-01", "2020-03-02"], f"datetime64[{unit}]")
    assert agreement.crossing(time, np.array([0.0, 1.0]), 0, 1, 0.5) == np.datetime64("2020-03-01T12:00")
    assert agreement.crossing(time, np.array([1.0, 0.0]), 1, 0, 0.25) == np.datetime64("2020-03-01T18:00")
