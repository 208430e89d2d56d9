"""Maps of seasons of many years: mean, spread, trend, anomaly, tables by zone, areas of classes."""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm

from phenolib.errors import InputError, near

EXACT = 20  # years up to which the distribution of Kendall's S is counted out; beyond, it is taken for normal
PIECE = 8192  # pixels that are worked on at a time: their slopes stay in the processor's cache
HOW = "bring the zones to its grid, e.g. with rio.reproject_match"
STATISTICS = {  # name: units and meaning, in the order in which they are computed
    "n": ("1", "years with a value"),
    "mean": ("d", "mean over the years"),
    "sd": ("d", "SD between the years"),
    "earliest": ("d", "smallest value of all years"),
    "earliest_year": ("1", "year of the smallest value"),
    "latest": ("d", "largest value of all years"),
    "latest_year": ("1", "year of the largest value"),
    "trend": ("d a-1", "Theil-Sen slope"),
    "trend_low": ("d a-1", "lower end of the interval of the slope"),
    "trend_high": ("d a-1", "upper end of the interval of the slope"),
    "s": ("1", "Kendall's S: pairs of years that rise less those that fall"),
    "p": ("1", "probability of so large an |S| without a trend (Mann-Kendall, two-sided)"),
}


def by_year(seasons, event="sos50", *, rank=1):
    """One event of every harvest year as days since its 1 January.

    day = date − 1 January of the harvest year;  0 is 1 January, negative the year before

    Harvest years are those of ``phenology.seasons``: a winter crop starts in the year before that of its harvest. From
    March on a leap year counts one day more than others.

    seasons  Dataset of ``phenology.seasons`` (…, season) with the coordinates year and rank, numpy or dask
    event    a date (sos20, peak, eos50_low, …), or a figure such as amplitude, which is returned as it is
    rank     which season of the year: 1 is the largest
    returns  (year, …) float32 [d], NaN where there is none; lazy if the seasons are
    raises   InputError for an event or rank that is not there

    >>> time = np.array(["2019-10-12", "2020-10-01"], "datetime64[ns]")
    >>> found = xr.Dataset({"sos50": ("season", time)}, {"year": ("season", [2020, 2021]), "rank": ("season", [1, 1])})
    >>> by_year(found).values
    array([-81., -92.], dtype=float32)
    """
    for name in ("year", "rank"):
        if name not in seasons.variables or seasons[name].dims != ("season",):
            raise InputError(f"the seasons have no '{name}' along season; give what phenology.seasons returned")
    dated = [str(v) for v in seasons.data_vars if "season" in seasons[v].dims]
    if event not in dated:
        raise InputError(f"the seasons have no '{event}'{near(event, dated)}")
    chosen = seasons["rank"].values == rank
    if not chosen.any():
        raise InputError(f"the seasons have no rank {rank}; there are 1 to {int(seasons['rank'].max())}")
    year = seasons["year"].values[chosen].astype(int)
    if np.unique(year).size < year.size:
        raise InputError(f"a harvest year occurs twice among the seasons of rank {rank}; give one run, not two joined")
    days = seasons[event].isel(season=np.flatnonzero(chosen)).drop_vars(["year", "rank"], errors="ignore")
    days = days.rename(season="year").assign_coords(year=("year", year, {"long_name": "harvest year"}))
    about = {"units": days.attrs.get("units", "1"), "long_name": days.attrs.get("long_name", event)}
    if np.issubdtype(days.dtype, np.datetime64):
        new_year = xr.DataArray(np.array([f"{y:04d}-01-01" for y in year], "datetime64[ns]"), dims="year")
        days = (days - new_year) / np.timedelta64(1, "D")
        about = {"units": "d", "long_name": f"{about['long_name']}, days after 1 January of the harvest year"}
    return days.astype(np.float32).transpose("year", ...).rename(event).assign_attrs(about)


def over_years(days, *, least=5, level=0.95):
    """What many years show, pixel by pixel: mean, spread, extremes and trend. Missing years are left out.

    trend = median over all pairs of years i < j of (dⱼ − dᵢ) / (tⱼ − tᵢ)
    S     = Σ sign(dⱼ − dᵢ),   p = P(|S| at least so large | every order of the years is as likely)

    The interval of the slope takes the pairs at ranks (N ± z σ(S)) / 2 of the N slopes in order, σ² corrected for
    ties, as ``scipy.stats.theilslopes`` does; four years or fewer cannot hold 95 %. Up to 20 years p is counted out,
    also with ties; beyond that S is taken for normal, with the corrections for ties and continuity. Years are taken for
    independent: where one resembles the next, p is too small. Of a map without any trend, a share p of the pixels
    falls below p: ``scipy.stats.false_discovery_control`` corrects for that.

    days     (year, …) as ``by_year`` gives them, numpy or dask
    least    with fewer years trend, interval, S and p are NaN; the mean needs one year, the SD two
    level    of the interval of the slope [-]
    returns  Dataset (…) float32: n, mean, sd, earliest, earliest_year, latest, latest_year [d], trend, trend_low,
             trend_high [d a-1], s, p. Of equal values the first year is told.
    raises   InputError without a dimension year, for years that are no whole numbers or occur twice

    Theil (1950), Sen (1968); Mann (1945), Kendall (1975).
    """
    days, year = with_years(days)
    if not 0 < level < 1 or least < 2:
        raise InputError(f"level = {level}, least = {least}: give a level between 0 and 1, and at least 2 years")
    result = xr.apply_ufunc(
        lambda values: summary(values, year, int(least), float(level)), days,
        input_core_dims=[["year"]], output_core_dims=[["statistic"]], dask="parallelized", output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"statistic": len(STATISTICS)}})
    unit = days.attrs.get("units", "d")
    found = {name: result.isel(statistic=k).assign_attrs(units=units.replace("d", unit), long_name=text)
             for k, (name, (units, text)) in enumerate(STATISTICS.items())}
    return xr.Dataset(found, attrs={"years": f"{year.min()}-{year.max()}", "level": level, "least": int(least)})


def with_years(days):
    """The array with all its years in one chunk, and these as whole numbers."""
    if not isinstance(days, xr.DataArray) or "year" not in days.dims or "year" not in days.coords:
        raise InputError("the days have no dimension 'year' with its years; give a DataArray as trends.by_year returns")
    if not np.issubdtype(days.dtype, np.number):
        raise InputError(f"'{days.name}' holds '{days.dtype}'; give days as trends.by_year returns them")
    year = np.asarray(days["year"].values)
    if not np.issubdtype(year.dtype, np.number) or (year != np.round(year)).any() or np.unique(year).size < year.size:
        raise InputError(f"the years of '{days.name}' are not whole numbers that differ; join what is of one year")
    return days.chunk(year=-1) if days.chunks else days, year.astype(int)


def summary(values, year, least, level):
    """The STATISTICS of a block. values (…, year) → (…, statistic) float32."""
    order, flat = np.argsort(year), np.asarray(values).reshape(-1, year.size)
    found = np.empty((len(STATISTICS), flat.shape[0]), np.float32)
    for start in range(0, flat.shape[0], PIECE):
        some = slice(start, start + PIECE)
        v = flat[some][:, order].astype(float)
        v[~np.isfinite(v)] = np.nan
        n, t = np.isfinite(v).sum(1), year[order]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(n > 0, np.nansum(v, 1) / n, np.nan)
            sd = np.sqrt(np.where(n > 1, np.nansum((v - mean[:, None]) ** 2, 1) / (n - 1), np.nan))
        found[:3, some] = n, mean, sd
        for k, extreme, never in ((3, np.argmin, np.inf), (5, np.argmax, -np.inf)):
            place = extreme(np.where(np.isnan(v), never, v), 1)
            found[k, some] = np.take_along_axis(v, place[:, None], 1)[:, 0]
            found[k + 1, some] = np.where(n > 0, t[place], np.nan)
        found[7:, some] = np.nan
        enough = np.flatnonzero(n >= least)
        if enough.size:
            found[7:, start + enough] = slopes(v[enough], t, n[enough], level)
    return np.moveaxis(found, 0, -1).reshape((*values.shape[:-1], len(STATISTICS)))


def slopes(v, t, n, level):
    """Trend, its interval, S and p. v (pixel, year) with NaN, t (year,) increasing, n (pixel,) → (5, pixel)."""
    first, second = np.triu_indices(t.size, 1)
    slope = np.empty((len(v), first.size), np.float32)  # (pixel, pair)
    for k, (i, j) in enumerate(zip(first, second)):
        slope[:, k] = (v[:, j] - v[:, i]) / (t[j] - t[i])
    slope.sort(1)  # NaN to the end
    rising, falling = (slope > 0).sum(1), (slope < 0).sum(1)
    s, pairs = rising - falling, n * (n - 1) // 2
    tied, variance = np.flatnonzero(rising + falling < pairs), n * (n - 1) * (2 * n + 5) / 18
    some = v[tied]
    alike = np.stack([(some == some[:, k, None]).sum(1) for k in range(t.size)], 1)  # years with the value of this year
    group = np.maximum(alike, 1)
    variance[tied] -= ((group - 1) * (2 * group + 5)).sum(1) / 18  # Σ u (u − 1)(2u + 5) of groups: each year its share
    spread = norm.ppf(0.5 + level / 2) * np.sqrt(variance)
    low = np.maximum(np.round((pairs - spread) / 2).astype(int) - 1, 0)
    high = np.minimum(np.round((pairs + spread) / 2).astype(int), pairs - 1)
    at = np.take_along_axis(slope, np.stack([(pairs - 1) // 2, pairs // 2, low, high], 1), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.where(variance > 0, 2 * norm.sf(np.maximum(np.abs(s) - 1, 0) / np.sqrt(variance)), 1.0)
    for years in np.unique(n[n <= EXACT]):
        same = n == years
        p[same] = tail((1,) * int(years))[np.abs(s[same])]
    few = n[tied] <= EXACT
    words = np.sort(alike[few].astype(np.uint8), 1).view(f"S{t.size}").ravel()  # one for each pattern of equal years
    patterns, member = np.unique(words, return_inverse=True)
    for k, pattern in enumerate(patterns):
        here = tied[few][member == k]
        sizes, years = np.unique([u for u in pattern if u], return_counts=True)
        p[here] = tail(tuple(np.repeat(sizes, years // sizes).tolist()))[np.abs(s[here])]
    return np.stack([at[:, :2].mean(1), at[:, 2], at[:, 3], s, np.minimum(p, 1)])


@functools.lru_cache(maxsize=10_000)
def tail(groups):
    """P(|S| ≥ s) for s = 0, 1, … over all orders of values of which some are equal: groups are their numbers.

    The number of orders with k falling pairs is the coefficient of qᵏ in [n]! / Π [u]!, where [m]! is the product of
    (1 − qʲ) / (1 − q) for j = 1 … m.

    >>> tail((1, 1, 1)) * 6  # of six orders two have |S| = 3, four |S| = 1
    array([6., 6., 2., 2.])
    """
    n = sum(groups)
    ways = np.zeros(n * (n - 1) // 2 + 1, np.int64)  # of k falling pairs; at most 20! < 2⁶³
    ways[0] = 1
    for j in range(2, n + 1):
        ways = np.cumsum(ways)
        ways[j:] -= ways[:-j].copy()
    for j in (j for u in groups for j in range(2, u + 1)):
        ways[1:] -= ways[:-1].copy()
        for k in range(j):
            ways[k::j] = np.cumsum(ways[k::j])
    untied = ways.size - 1 - sum(u * (u - 1) // 2 for u in groups)
    count = np.zeros(ways.size)
    np.add.at(count, np.abs(untied - 2 * np.arange(untied + 1)), ways[:untied + 1])
    return np.cumsum(count[::-1])[::-1] / count.sum()


def anomaly(days, year, *, base=None, least=5):
    """How much later (positive) or earlier a year was than the mean of the other years.

    The year itself is never part of its own mean: with it, an anomaly would be smaller by 1 / number of years.

    days     (year, …) as ``by_year`` gives them, numpy or dask
    year     which one
    base     years to compare with, e.g. range(2000, 2020); None: all others
    least    years of the base that the SD needs; without any change in_sd scatters like t √(1 + 1/n), n − 1 degrees of
             freedom: two SDs of few years are nothing rare
    returns  Dataset (…) float32: anomaly [d], in_sd (anomaly / SD of the base), n (years of the base with a value)
    raises   InputError for a year that is not there, or a base without other years
    """
    days, years = with_years(days)
    others = [y for y in years if y != year and (base is None or y in set(base))]
    if year not in years or not others:
        why = f"no year of the base is among the other years of '{days.name}'" if year in years else f"no year {year}"
        raise InputError(f"{why}; there are {years.min()} to {years.max()}")
    rest = days.sel(year=others).astype(np.float64)
    n = rest.notnull().sum("year")
    late = days.sel(year=year).astype(np.float64) - rest.mean("year")
    sd = rest.std("year", ddof=1).where(n >= max(least, 2))
    text = f"{year} less the mean of {len(others)} other years, {min(others)} to {max(others)}"
    found = {"anomaly": (late, days.attrs.get("units", "d"), text),
             "in_sd": (late / sd.where(sd > 0), "1", f"{text}, in SDs of these"),
             "n": (n, "1", "other years with a value")}
    return xr.Dataset({name: values.astype(np.float32).assign_attrs(units=units, long_name=about)
                       for name, (values, units, about) in found.items()})


def zonal(layers, zones, names=None, *, quantiles=(0.1, 0.9), without=(0,)):
    """What the pixels of each zone hold: a table by crop class, or by field.

    One map is in memory at a time. What is lazy is computed for each: ``compute()`` it or write it first.

    layers     DataArray or Dataset of numbers (…, y, x), numpy or dask
    zones      (y, x) whole numbers on the same grid: classes, or numbers of fields; NaN is no zone
    names      {zone: name} or None
    quantiles  further columns q10, q90, … [-]
    without    numbers that are no zone
    returns    DataFrame, a row for each zone, layer and index of the leading dimensions: zone, name, layer, year …,
               pixels, retrieved (share with a value), mean, median, sd, q10, q90; NaN where nothing was retrieved
    raises     InputError if the grids differ, or the layers hold no numbers
    """
    layers = layers.to_dataset(name=layers.name or "value") if isinstance(layers, xr.DataArray) else layers
    space, number = zones.dims, np.asarray(zones.values).ravel()
    inside = np.isfinite(number) & ~np.isin(number, list(without))
    if (number[inside] != np.round(number[inside])).any():
        raise InputError("the zones hold numbers that are not whole; give classes or numbers of fields")
    codes, member = np.unique(number[inside].astype(np.int64), return_inverse=True)
    total, rows = np.bincount(member, minlength=codes.size), []
    for name, layer in layers.data_vars.items():
        same_grid(layer, zones)
        if not np.issubdtype(layer.dtype, np.number):
            raise InputError(f"'{name}' holds '{layer.dtype}'; give numbers, dates as trends.by_year returns them")
        leading = [d for d in layer.dims if d not in space]
        layer = layer.transpose(*leading, *space)
        for place in np.ndindex(*(layer.sizes[d] for d in leading)):
            value = np.asarray(layer[place].values, float).ravel()[inside]
            value[~np.isfinite(value)] = np.nan
            some = pd.Series(value).groupby(member)
            table = pd.DataFrame({"zone": codes, "layer": name, "pixels": total, "retrieved": some.count() / total,
                                  "mean": some.mean(), "median": some.median(), "sd": some.std()})
            for q in quantiles:
                table[f"q{100 * q:02.0f}"] = some.quantile(q)
            for k, (d, i) in enumerate(zip(leading, place)):
                table.insert(2 + k, d, layer[d].values[i] if d in layer.coords else i)
            rows.append(table)
    result = pd.concat(rows, ignore_index=True)
    if names is not None:
        result.insert(1, "name", [str(names.get(z, z)) for z in result["zone"]])
    return result


def same_grid(layer, zones):
    """Refuses two rasters whose rows and columns do not lie upon one another."""
    for d in zones.dims:
        if zones.ndim != 2 or d not in layer.dims:
            raise InputError(f"'{layer.name}' has the dimensions {layer.dims}, the zones {zones.dims}; give (y, x)")
        if layer.sizes[d] != zones.sizes[d]:
            raise InputError(f"'{layer.name}' has {layer.sizes[d]} pixels along {d}, the zones {zones.sizes[d]}; {HOW}")
        if d in layer.coords and d in zones.coords and layer.sizes[d] > 1:
            apart = np.abs(layer[d].values - zones[d].values).max() / abs(float(layer[d][1] - layer[d][0]))
            if not apart < 0.01:
                raise InputError(f"'{layer.name}' and the zones lie {apart:.3g} pixels apart along {d}; {HOW}")
    systems = [a["spatial_ref"].attrs.get("crs_wkt") for a in (layer, zones) if "spatial_ref" in a.coords]
    if len(set(systems) - {None}) == 2:
        import pyproj

        first, second = map(pyproj.CRS.from_wkt, systems)
        if first != second and first.to_epsg() != second.to_epsg():
            raise InputError(f"'{layer.name}' lies in {first.name}, the zones in {second.name}; {HOW}")


@dataclass(frozen=True)
class Areas:
    """Areas of classes and the accuracy of their map; every standard error is named _se.

    table      DataFrame by class: map_share (as mapped), share (corrected), users (a pixel mapped so is so), producers
               (a pixel that is so is mapped so) [-]
    overall    share of the area that is mapped right [-]
    """

    table: pd.DataFrame
    overall: float
    overall_se: float


def area_shares(classes, confusion):
    """Shares of classes in the area, corrected for the errors of their map, which a sample tells.

    With W the mapped share of class i, and n the sample drawn at random within each mapped class:

        p(i, j) = Wᵢ nᵢⱼ / nᵢ,   share of j = Σᵢ p(i, j),   SE² = Σᵢ (Wᵢ p(i, j) − p(i, j)²) / (nᵢ − 1)

    classes    the map, a DataArray of whole numbers (NaN is left out), or {class: pixels or area}
    confusion  DataFrame of counts: mapped class by rows, class on the ground by columns, the same classes
    returns    Areas; producers is NaN for a class that the sample did not find
    raises     InputError for a mapped class without a sample of two, or rows and columns that differ

    Olofsson et al. (2014), eqs. 1-11.
    """
    if isinstance(classes, xr.DataArray):
        number, count = np.unique(classes.values[np.isfinite(classes.values)], return_counts=True)
        classes = dict(zip(number.astype(int).tolist(), count.tolist()))
    if list(confusion.index) != list(confusion.columns):
        raise InputError("the rows (mapped) and columns (on the ground) of the confusion matrix are not the same "
                         "classes in the same order")
    strange = [c for c in classes if c not in confusion.index and classes[c] > 0]
    if strange:
        raise InputError(f"class {strange[0]} is on the map, not in the confusion matrix; sample it, or leave it out")
    n, weight = confusion.to_numpy(float), np.array([classes.get(c, 0) for c in confusion.index], float)
    sampled, weight = n.sum(1), weight / weight.sum()
    few = [c for c, k, w in zip(confusion.index, sampled, weight) if w > 0 and not k >= 2]
    if few or (n < 0).any():
        why = f"class {few[0]} has fewer than 2" if few else "a count is negative"
        raise InputError(f"confusion matrix: {why}; every class on the map needs a sample of 2 or more")
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(weight[:, None] > 0, n / sampled[:, None], 0.0)  # of mapped class i, what is j
        noise = np.where(weight[:, None] > 0, part * (1 - part) / (sampled[:, None] - 1), 0.0) * weight[:, None] ** 2
        share, right = (weight[:, None] * part).sum(0), weight * np.diag(part)
        users, producers = np.where(weight > 0, np.diag(part), np.nan), right / share
        own = np.diag(noise)
        producers_se = np.sqrt((1 - producers) ** 2 * own + producers**2 * (noise.sum(0) - own)) / share
        users_se = np.sqrt(own) / weight
    table = pd.DataFrame({"map_share": weight, "share": share, "share_se": np.sqrt(noise.sum(0)), "users": users,
                          "users_se": users_se, "producers": producers, "producers_se": producers_se},
                         index=confusion.index.rename("class"))
    return Areas(table, float(right.sum()), float(np.sqrt(own.sum())))
