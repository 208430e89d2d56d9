"""Dates of field work and of stages: of single fields, and of the area of a state in weekly reports."""

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.fidelity.tables import summary

STAGES = ("planted", "emerged", "silking", "mature", "dropping leaves", "harvested")
CROPS = {"soybeans": "soybean"}  # names of crop progress: names of the cameras
EVENTS = {"sowing": "planted", "emergence": "emerged", "t_sen": "dropping leaves", "ripe": "mature",
          "harvest": "harvested"}  # true dates of a field: what weekly reports call it
SHARES = (10, 16, 50, 84, 90)  # per cent of the area


def of_fields(dates, climate=""):
    """True dates of fields as ``progress`` wants them.

    dates    DataFrame of ``Archive.field_dates``
    climate  of the fields that are taken; "" for all
    returns  DataFrame crop, stage, year, date, one row a field, season and stage that came

    Reports call a soybean field "dropping leaves" when a third to a half of its leaves are yellow, so it stands beside
    the day when half of them are brown; maize is "mature" when no leaf is green.
    """
    some = dates[(dates["climate"] == climate) | (climate == "")].rename(columns={**EVENTS, "season": "year"})
    some = some.assign(crop=some["crop"].str.replace("_", " "))
    return some.melt(["crop", "year"], list(EVENTS.values()), "stage", "date").dropna()


def read_progress(path):
    """Weekly crop progress as the days at which shares of the area had reached a stage.

    path     table with the columns Crop, Stage, Season, Date (end of a week), CumPercentage (0–1)
    returns  DataFrame crop, stage, year, share [%], day (of the year; NaN if the share was there from the first week
             on, or never), between the weeks by a straight line
    raises   InputError if a column is missing
    """
    table = pd.read_csv(path, na_values=["NA"])
    for name in ("Crop", "Stage", "Season", "Date", "CumPercentage"):
        if name not in table:
            raise InputError(f"{path.name}: the column '{name}' is missing{near(name, table.columns)}")
    day = pd.to_datetime(table["Date"]) - pd.to_datetime(table["Season"].astype(str))
    table = table.assign(day=day / pd.Timedelta(1, "D") + 1, crop=table["Crop"].str.lower().replace(CROPS),
                         stage=table["Stage"].str.lower()).dropna(subset="CumPercentage").sort_values("day")
    rows = []
    for (crop, stage, year), some in table[table["stage"].isin(STAGES)].groupby(["crop", "stage", "Season"]):
        done, days = 100 * some["CumPercentage"].to_numpy(), some["day"].to_numpy()
        for share in SHARES:
            k = int(np.argmax(done >= share))
            part = (share - done[k - 1]) / (done[k] - done[k - 1]) if k else np.nan
            rows.append((crop, stage, year, share, days[k - 1] + part * (days[k] - days[k - 1])))
    return pd.DataFrame(rows, columns=["crop", "stage", "year", "share", "day"])


def progress(dates, *, draws=200, seed=0):
    """How dates of field work and of stages are spread, between years and within a year.

    dates    DataFrame crop, stage, year, date: one row a field; or as ``read_progress`` gives it
    returns  DataFrame ``COLUMNS``: for each crop and stage the mean day of the year by which half of the area (of the
             fields) is there, its SD between years, and the days from 16 to 84 and from 10 to 90 % of the area within
             a year (median over years); the bootstrap is over years
    """
    if "share" not in dates:
        day = (dates["date"] - pd.to_datetime(dates["year"].astype(str))) / pd.Timedelta(1, "D") + 1
        groups = day.groupby([dates[c] for c in ("crop", "stage", "year")])
        names = ["crop", "stage", "year", "share"]
        dates = groups.quantile([s / 100 for s in SHARES]).rename_axis(names).reset_index(name="day")
        dates["share"] = (100 * dates["share"]).round().astype(int)
    rows = []
    for (crop, stage, year), some in dates.groupby(["crop", "stage", "year"]):
        day = some.set_index("share")["day"]
        rows += [(f"{stage}, day of 50 %", "mean", crop, 0, "d of year", year, day[50]),
                 (f"{stage}, day of 50 %", "SD", crop, 0, "d", year, day[50])]
        rows += [(f"{stage}, days from {a} to {b} %", "", crop, 0, "d", year, day[b] - day[a])
                 for a, b in ((16, 84), (10, 90))]
    return summary(rows, draws=draws, seed=seed)
