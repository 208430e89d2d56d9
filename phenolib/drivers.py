"""What drives the seasons of roots and leaves: tables of what sensors said while a crop grew, beside what it did.

One row is a plot in a season, the unit that was given a treatment and a year. Tubes and weeks are read from the same
plot in the same year: rows of those are there too, to model them with their groups, and to see what happens without.
"""

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import root_seasons, soil
from phenolib.errors import InputError
from phenolib.sources import plot_tables

UPPER = (0.1, 0.2)  # depths of "the soil" [m]: most roots are there
DEEPER = (0.6, 0.8)  # depths of "deeper soil" [m]
MEASURES = ("length", "start", "end")  # what of a season is explained


def conditions(sensors, *, texture=None):
    """Water and warmth of soil on one scale each, from both kinds of sensor.

    sensors  (plot, time, depth) of ``sources.plot_tables.read_soil``
    texture  class of the soil, for the water content; None gives none
    returns  (plot, time, depth) Dataset of moisture, M = −log₁₀(|ψ| / hPa) [-], larger is wetter; temperature [degC];
             and with a texture theta [m3 m-3], which follows from ψ by ``soil.water_content``
    raises   InputError as ``soil.wetness`` and ``soil.water_content``
    """
    psi = plot_tables.potential(sensors)
    found = xr.Dataset({"moisture": soil.wetness(psi).assign_attrs(units="1", long_name="-log10(|psi| / hPa)"),
                        "temperature": sensors["temperature"]})
    if texture is not None:
        found["theta"] = soil.water_content(psi, texture).assign_attrs(units="m3 m-3", long_name="soil water content")
    return found


def windows(leaves, share=0.2):
    """When a crop grows: from the median start to the median end of its leaves over all plots and years.

    A window that is the same for all plots and years of a crop: with each plot's own dates in it, a late season would
    be a warm one for no other reason than that summer is warm.

    leaves   table of ``root_seasons.table``
    share    of the amplitude at which seasons start and end
    returns  {crop: (first, last) day of year}
    """
    found, name = {}, f"{round(100 * share):02d}"
    for crop, some in leaves.dropna(subset=["date"]).groupby("crop"):
        ends = [some[some["event"] == f"{side}{name}"]["date"].dt.day_of_year.median() for side in ("sos", "eos")]
        if np.isfinite(ends).all():
            found[str(crop)] = tuple(round(day) for day in ends)
    if not found:
        raise InputError(f"no leaves have a start and an end at {share:.0%} of their amplitude; there is no season to "
                         "explain")
    return found


def by_season(found, seasons, roots, leaves, traits, *, measure="length", share=0.2, upper=UPPER, deeper=DEEPER):
    """One row for each plot and season: what drove, and what came of it.

    found    of ``conditions``
    seasons  ``archive.plot_seasons``
    roots    table of ``root_seasons.table``, and ``leaves`` likewise
    traits   a row an image, as ``tracing.measure`` gives it
    measure  length: days from start to end; start or end: day of year
    share    of the amplitude at which seasons start and end
    upper    depths of the soil that is meant by moisture and temperature [m], ``deeper`` those of deeper soil
    returns  DataFrame: plot, season, treatment, crop, maize (0 or 1), temperature [°C], moisture and deeper [−pF],
             theta if known, rld (mean over the tubes of the highest of the season) [cm cm⁻³], roots and leaves [days];
             NaN where unknown
    raises   InputError for an unknown measure, or depths at which there is no sensor
    """
    spans = windows(leaves, share)
    rows = []
    for one in seasons.itertuples():
        if one.crop not in spans or one.plot not in found["plot"].values:
            continue
        row = {"plot": one.plot, "season": one.season, "treatment": one.treatment, "crop": one.crop,
               "maize": int(one.crop in ("corn", "maize"))}
        within = found.sel(plot=one.plot, time=_span(one.season, spans[one.crop]))
        if within.sizes["time"]:
            top = _layer(within, upper)
            row |= {name: float(top[name].mean()) for name in top}
            row["deeper"] = float(_layer(within, deeper)["moisture"].mean())
        rows.append(row)
    table = pd.DataFrame(rows)
    most = traits.groupby(["plot", "season", "tube"])["rld_cm_cm3"].max()
    table = table.merge(most.groupby(["plot", "season"]).mean().rename("rld").reset_index(), "left",
                        on=["plot", "season"])
    for name, dates in (("roots", roots), ("leaves", leaves)):
        table = table.merge(_measured(dates, measure, share).rename(name).reset_index(), "left", on=["plot", "season"])
    return table.dropna(subset=["rld", "roots", "leaves"], how="all").reset_index(drop=True)


def by_tube(found, seasons, leaves, traits, *, share=0.2):
    """One row for each tube and season, with the soil at the depth of the tube.

    arguments  as ``by_season``
    returns    DataFrame: plot, tube, depth_cm, season, treatment, crop, maize, temperature, moisture, theta if known,
               rld (the highest of the season)
    """
    spans, rows = windows(leaves, share), []
    about = seasons.set_index(["plot", "season"])
    for (plot, season, tube), some in traits.groupby(["plot", "season", "tube"]):
        if (plot, season) not in about.index or about.loc[(plot, season), "crop"] not in spans:
            continue
        crop, treatment = about.loc[(plot, season), ["crop", "treatment"]]
        depth = float(some["depth_cm"].iloc[0])
        within = _layer(found.sel(plot=plot, time=_span(season, spans[crop])), [depth / 100])
        rows.append({"plot": plot, "tube": tube, "depth_cm": depth, "season": season, "treatment": treatment,
                     "crop": crop, "maize": int(crop in ("corn", "maize")), "rld": some["rld_cm_cm3"].max(),
                     **{name: float(within[name].mean()) for name in within}})
    return pd.DataFrame(rows)


def by_image(found, seasons, leaves, traits, *, days=14, share=0.2):
    """One row for each image within its crop's window, with the soil of the days before it: pseudo-replicates.

    days       before the image that are averaged
    arguments  as ``by_season``
    returns    as ``by_tube``, with date, and rld of the image
    """
    spans = windows(leaves, share)
    table = traits.merge(seasons[["plot", "season", "crop", "treatment"]], on=["plot", "season"])
    day = table["date"].dt.day_of_year
    first, last = (table["crop"].map({crop: span[k] for crop, span in spans.items()}) for k in (0, 1))
    table = table[(day >= first) & (day <= last)].reset_index(drop=True)
    before = found.rolling(time=days, min_periods=days // 2).mean()
    at = {"plot": xr.DataArray(table["plot"].to_numpy(str), dims="row"),
          "time": xr.DataArray(table["date"].to_numpy(), dims="row"),
          "depth": xr.DataArray(table["depth_cm"].to_numpy(float) / 100, dims="row")}
    if not len(table):
        return table.assign(**{name: [] for name in found}, maize=[], rld=[])
    seen = before.sel(plot=at["plot"], time=at["time"]).sel(depth=at["depth"], method="nearest")
    keep = table[["plot", "tube", "depth_cm", "season", "date", "treatment", "crop"]]
    return keep.assign(maize=table["crop"].isin(["corn", "maize"]).astype(int), rld=table["rld_cm_cm3"],
                       **{name: seen[name].values for name in found})


def tables(data, traits, *, measure="length", share=0.2, days=5, method="double_logistic"):
    """All tables of an archive with plots: rows of seasons, tubes and images.

    data     ``Archive`` with plots, their sensors and Sentinel-2
    traits   a row an image, as ``tracing.measured`` gives it
    measure  as ``by_season``
    share    of the amplitude at which seasons start and end
    days     of a composite of Sentinel-2
    method   of ``phenology.seasons``
    returns  {"seasons", "tubes", "images"}: DataFrames of ``by_season``, ``by_tube``, ``by_image``, with warmth beside
             temperature: its difference from the mean of the crop [°C]
    raises   InputError as these
    """
    seasons, options = data.plot_seasons, {"shares": (share, 0.5), "method": method}
    series = root_seasons.pooled(traits, "rld_cm_cm3")
    weeks = {key: (one["time"].values[0], one["time"].values[-1]) for key, one in series.items()}
    leaves = root_seasons.leaves(plot_tables.evi2(data.plot_satellite(), days), seasons, weeks, **options)
    roots = root_seasons.table(series, seasons, **options)
    known = data.plots["soil"].dropna().unique() if "soil" in data.plots else []
    found = conditions(data.plot_soil(), texture=known[0] if len(known) == 1 and known[0] in soil.TEXTURES else None)
    made = {"seasons": by_season(found, seasons, roots, leaves, traits, measure=measure, share=share),
            "tubes": by_tube(found, seasons, leaves, traits, share=share),
            "images": by_image(found, seasons, leaves, traits, share=share)}
    return {name: with_warmth(table) for name, table in made.items()}


def with_warmth(table):
    """Temperature less the mean of its crop [°C]: what is left of it when the crop is known."""
    return table.assign(warmth=table["temperature"] - table.groupby("crop")["temperature"].transform("mean"))


def true_seasons(dates, curves, *, measure="length", share=0.2, upper=UPPER, deeper=DEEPER):
    """The table of ``by_season`` with nothing measured: from the truth of an archive, for scoring alone.

    dates, curves  of ``Archive.plot_truth``
    others         as ``by_season``
    returns        as ``by_season``, with warmth as ``tables``
    """
    whole = dates[dates["depth_cm"].isna() & (dates["share"] == round(100 * share))]
    side = whole["direction"].map({"rising": "sos", "falling": "eos"})
    whole = whole.assign(event=side + f"{round(100 * share):02d}")
    known = xr.Dataset({"moisture": soil.wetness(-curves["tension"].load()), "temperature": curves["soil_temperature"],
                        "theta": curves["theta"]})
    parts = {organ: whole[whole["organ"] == organ] for organ in ("root", "leaf")}
    seasons = whole.drop_duplicates(["plot", "season"])[["plot", "season", "crop", "treatment"]]
    spans = windows(parts["leaf"], share)
    length = curves["root_length"].sel(depth=sorted(dates["depth_cm"].dropna().unique() / 100), method="nearest").load()
    rows = []
    for one in seasons.itertuples():
        first, last = spans[one.crop]
        grown = length.sel(plot=one.plot, time=_span(one.season, (min(first, 60), min(last + 60, 365))))
        rows += [{"plot": one.plot, "season": one.season, "tube": k, "rld_cm_cm3": float(value)}
                 for k, value in enumerate(grown.max("time").values)]
    return with_warmth(by_season(known, seasons, parts["root"], parts["leaf"], pd.DataFrame(rows), measure=measure,
                                 share=share, upper=upper, deeper=deeper))


def _measured(dates, measure, share):
    """(plot, season) Series of what a season measures [days]."""
    if measure not in MEASURES:
        raise InputError(f"measure '{measure}' is not known; give {', '.join(MEASURES)}")
    name = f"{round(100 * share):02d}"
    wide = dates.pivot_table(index=["plot", "season"], columns="event", values="date", aggfunc="first")
    wide = wide.reindex(columns=[f"{side}{name}" for side in ("sos", "eos")])
    ends = [pd.to_datetime(wide[event]) for event in wide]
    if measure == "length":
        return (ends[1] - ends[0]) / pd.Timedelta(days=1)
    one = ends[measure == "end"]
    begin = pd.to_datetime(wide.index.get_level_values("season").astype(str) + "-01-01")
    return (one - begin) / pd.Timedelta(days=1) + 1


def _span(season, days):
    begin = np.datetime64(f"{season}-01-01")
    return slice(begin + np.timedelta64(int(days[0]) - 1, "D"), begin + np.timedelta64(int(days[1]) - 1, "D"))


def _layer(data, depths):
    """Mean over some depths, each the nearest that has a sensor, at most 10 cm away."""
    there = data["depth"].values
    near = [float(there[abs(there - depth).argmin()]) for depth in depths]
    for asked, got in zip(depths, near):
        if abs(asked - got) > 0.1 + 1e-9:
            raise InputError(f"no sensor lies at {asked:g} m; there are {', '.join(f'{d:g}' for d in there)}")
    return data.sel(depth=sorted(set(near))).mean("depth")
