"""What TIMESAT writes: coded dates, parameters of seasons, and daily fits."""

import numpy as np
import pandas as pd
import pytest

from phenolib.errors import InputError
from phenolib.sources import timesat

NAME = "XX-One_GPP_DT_VUT_REF_dd_all_years_vpp.csv"
VALUES = dict(SOSD=18117.74, SOSV=7.0, LSLOPE=0.2, EOSD=18199.5, EOSV=7.8, RSLOPE=0.3, LENGTH=81.76, MINV=1.0,
              MAXD=18151.0, MAXV=17.0, AMPL=16.0, TPROD=1200.0, SPROD=1120.0)


def lines(year=2018, slot=1, **values):
    "Lines of one season; what is not given is missing."
    return "".join(f"{year}_s{slot}_{name},{values.get(name, '')}\n" for name in timesat.PARAMETERS)


TEXT = "id,settings 1\n" + lines(**VALUES) + lines(slot=2) + lines(2019)


@pytest.fixture
def file(tmp_path):
    "Writes a file and returns its path."

    def write(text=TEXT, name=NAME):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("code, moment", [
    (18001.0, "2018-01-01"), (18117.5, "2018-04-27 12:00"), (20060.0, "2020-02-29"), (20366.0, "2020-12-31"),
    (16365.25, "2016-12-30 06:00"), (5001.0, "2005-01-01"),
])
def test_coded_dates(code, moment):
    "Day 1.0 is the start of 1 January, in leap years too."
    assert timesat.date(code) == pd.Timestamp(moment)


def test_a_season_is_a_row(file):
    "Dates, values and lengths of the season come back; slots without a season have no row, their year is remembered."
    seasons = timesat.read_seasons(file())
    assert len(seasons) == 1 and seasons.attrs["years"] == [2018, 2019]
    season = seasons.iloc[0]
    assert (season["site"], season["year"], season["slot"]) == ("XX-One", 2018, 1)
    assert abs(season["sos"] - pd.Timestamp("2018-04-27 17:45:36")) < pd.Timedelta("1s")
    assert season["peak"] == pd.Timestamp("2018-05-31") and season["eos"] == pd.Timestamp("2018-07-18 12:00")
    for code, (name, _, unit) in timesat.PARAMETERS.items():
        assert unit == "date" or season[name] == VALUES[code]
    assert all(seasons[name].dtype == "datetime64[ns]" for name in ("sos", "peak", "eos"))
    assert set(seasons.attrs["long_name"]) >= set(seasons.columns[3:])
    units = seasons.attrs["units"]
    assert (units["sos_value"], units["rise_slope"], units["total_productivity"]) == (
        "gC m-2 d-1", "gC m-2 d-2", "gC m-2")


def test_the_share_of_amplitude_follows_from_the_values(file):
    "With bases 0.5 and 1.5, a peak of 17 and 40 %, start and end values give back 40 %."
    values = VALUES | {"SOSV": 0.5 + 0.4 * 16.5, "EOSV": 1.5 + 0.4 * 15.5, "MINV": 1.0}
    assert abs(timesat.read_seasons(file("id,settings 1\n" + lines(**values))).share[0] - 0.4) < 1e-12


def test_a_season_across_new_year(file):
    "A season of 2018 may start in 2017; the year of the code counts."
    values = VALUES | {"SOSD": 17300.0}
    assert timesat.read_seasons(file("id,settings 1\n" + lines(**values))).sos[0] == pd.Timestamp("2017-10-27")


def test_several_settings(file):
    "Where TIMESAT ran twice, the first column is taken unless another is named."
    text = "".join(line + ("," + line.split(",")[1] if k else ",settings 2") + "\n"
                   for k, line in enumerate(TEXT.splitlines())).replace("7.0,7.0", "7.0,6.0")
    assert timesat.read_seasons(file(text)).sos_value[0] == 7
    assert timesat.read_seasons(file(text), settings="settings 2").sos_value[0] == 6
    with pytest.raises(InputError, match="the column 'settings 3' is missing; did you mean"):
        timesat.read_seasons(file(text), settings="settings 3")


def test_no_season_at_all(file):
    "A file of empty slots is an empty table with its columns, not an error."
    seasons = timesat.read_seasons(file("id,settings 1\n" + lines() + lines(slot=2)))
    assert len(seasons) == 0 and list(seasons.columns) == timesat.COLUMNS


@pytest.mark.parametrize("old, new, message", [
    ("id,", "name,", "the columns are name, settings 1; 'id' and 'settings 1' are expected"),
    ("2018_s1_SOSD", "2018_s1_SOS", "line 2 has id '2018_s1_SOS'; <year>_s<slot>_<parameter> is expected; did"),
    ("2018_s1_SOSV", "SOSV", "line 3 has id 'SOSV'"),
    ("2018_s1_SOSV", "2018_s1_SOSD", "line 3 has the id '2018_s1_SOSD' again"),
    ("18117.74", "43217.74", "line 2 has the date 43217.7 for a season of 2018; a number such as 18117.74"),
    ("18117.74", "18417.74", "line 2 has the date 18417.7 for a season of 2018"),
    ("18117.74", "0", "line 2 has the date 0 for a season of 2018"),
    ("18117.74", "May", "line 2 has settings 1 = 'May'; a number"),
])
def test_wrong_input_is_one_clear_line(file, old, new, message):
    "Each fault names the file, the line and what was expected."
    with pytest.raises(InputError) as error:
        timesat.read_seasons(file(TEXT.replace(old, new)))
    assert message in str(error.value)
    assert str(error.value).startswith(NAME) and "\n" not in str(error.value)


def test_a_daily_fit(file):
    "The fit comes with its unit and site, sorted; 31 December of a leap year is not there and not made up."
    time = pd.date_range("2020-12-28", "2021-01-03").delete(3)
    text = "Date,settings 1\n" + "".join(f"{t:%Y-%m-%d},{k / 4}\n" for k, t in enumerate(time))
    fit = timesat.read_fit(file(text, NAME.replace("vpp", "yfit")))
    assert fit.name == "GPP" and fit.units == "gC m-2 d-1" and fit.site == "XX-One"
    assert (fit.indexes["time"] == time).all() and fit.indexes["time"].tz is None
    np.testing.assert_array_equal(fit, np.arange(6) / 4)
    with pytest.raises(InputError, match="the date 2021-01-03 is there again in line 8"):
        timesat.read_fit(file(text + "2021-01-03,1\n", NAME.replace("vpp", "yfit")))
    with pytest.raises(InputError, match="'Date' and 'settings 1' are expected"):
        timesat.read_fit(file())
