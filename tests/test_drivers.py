"""Tables of drivers: windows of a crop, the soil within them, seasons, tubes and images as rows."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from phenolib import drivers
from phenolib.errors import InputError

YEARS, PLOTS = (2017, 2018), ("A1", "A2")
SEASONS = pd.DataFrame([{"plot": plot, "season": year, "crop": "corn" if plot == "A1" else "winter_wheat",
                         "treatment": "rainfed"} for plot in PLOTS for year in YEARS])


def dates(start, end):
    "Seasons of all plots from one day of year to another, those of the second plot ten days earlier."
    rows = []
    for one in SEASONS.itertuples():
        for event, day in (("sos20", start), ("eos20", end)):
            date = pd.Timestamp(one.season, 1, 1) + pd.Timedelta(days=day - 1 - 10 * (one.plot == "A2"))
            rows.append({"plot": one.plot, "season": one.season, "crop": one.crop, "event": event, "date": date})
    return pd.DataFrame(rows)


@pytest.fixture
def sensors():
    "Dry from July on, warmer with the day of the year, -20 kPa else; deeper soil always wet."
    time = pd.date_range("2017-01-01", "2018-12-31")
    shape = (2, len(time), 4)
    t4 = np.full(shape, -20.0)
    t4[:, time.month >= 7, :2] = np.nan
    mps2 = np.where(np.isnan(t4), -200.0, np.nan)
    warm = np.broadcast_to(time.day_of_year.to_numpy()[:, None] / 10, shape)
    dims = "plot", "time", "depth"
    return xr.Dataset({"psi_t4": (dims, t4), "psi_mps2": (dims, mps2), "temperature": (dims, warm)},
                      {"plot": list(PLOTS), "time": time, "depth": [0.1, 0.2, 0.6, 0.8]})


@pytest.fixture
def traits():
    "Images of two tubes a plot, every two weeks; lengths grow with the day, more in the upper tube."
    rows = [{"plot": plot, "season": year, "tube": f"{plot}-{depth}", "depth_cm": depth, "date": date,
             "rld_cm_cm3": date.day_of_year / 100 + (depth == 10)}
            for plot in PLOTS for year in YEARS for depth in (10, 60)
            for date in pd.date_range(f"{year}-04-01", f"{year}-10-01", freq="14D")]
    return pd.DataFrame(rows)


def test_a_window_is_that_of_the_crop():
    "From the median start to the median end of its leaves, the same in every year."
    assert drivers.windows(dates(130, 250)) == {"corn": (130, 250), "winter_wheat": (120, 240)}
    with pytest.raises(InputError, match="no season to explain"):
        drivers.windows(dates(130, 250).assign(date=pd.NaT))


def test_a_row_is_a_plot_in_a_season(sensors, traits):
    "Moisture and warmth are means over the window and the depths; days from start to end, or of the year."
    found = drivers.conditions(sensors, texture="silt loam")
    table = drivers.by_season(found, SEASONS, dates(140, 260), dates(130, 250), traits)
    assert len(table) == 4 and table["maize"].tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(table[["roots", "leaves"]], 120)
    row = table.iloc[0]
    dry = 250 - 181  # days of July and later in the window of 121
    assert row["moisture"] == pytest.approx(-(np.log10(2000) * dry + np.log10(200) * (121 - dry)) / 121)
    assert row["deeper"] == pytest.approx(-np.log10(200)) and row["temperature"] == pytest.approx(19.0)
    assert 0.1 < row["theta"] < 0.3
    top = pd.Timestamp("2017-09-30").day_of_year
    assert row["rld"] == pytest.approx(top / 100 + 0.5)
    ends = drivers.by_season(found, SEASONS, dates(140, 260), dates(130, 250), traits, measure="end")
    assert ends["roots"].tolist() == [260, 260, 250, 250]


def test_rows_of_tubes_and_images(sensors, traits):
    "A tube has the soil at its depth; an image that of the days before it, and lies in the window."
    found = drivers.conditions(sensors)
    tubes = drivers.by_tube(found, SEASONS, dates(130, 250), traits)
    assert len(tubes) == 8 and "theta" not in tubes
    deep = tubes[tubes["depth_cm"] == 60]
    np.testing.assert_allclose(deep["moisture"], -np.log10(200))
    assert (tubes[tubes["depth_cm"] == 10]["moisture"] < -2.5).all()
    images = drivers.by_image(found, SEASONS, dates(130, 250), traits)
    day = images["date"].dt.day_of_year
    assert day.between(120, 250).all() and images["moisture"].notna().all()
    np.testing.assert_allclose(images["temperature"], (day - 6.5) / 10)
    late = images[(images["depth_cm"] == 10) & (images["date"].dt.month == 8)]
    np.testing.assert_allclose(late["moisture"], -np.log10(2000))


@pytest.mark.parametrize("options, said", [({"measure": "middle"}, "measure 'middle' is not known"),
                                           ({"deeper": (1.2,)}, "no sensor lies at 1.2 m; there are 0.1, 0.2")])
def test_mistakes_are_told(sensors, traits, options, said):
    "What cannot be tabled is refused with what there is."
    with pytest.raises(InputError, match=said):
        drivers.by_season(drivers.conditions(sensors), SEASONS, dates(140, 260), dates(130, 250), traits, **options)
