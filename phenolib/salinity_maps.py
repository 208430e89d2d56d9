"""Salinity maps of many years: areas of classes, persistent and fluctuating salt, transitions, change that is sure.

Maps are arrays (year, y, x) of salt content [g/kg] with the years as a coordinate; a pixel without a value is NaN, and
every table says what share of the pixels has one. Intervals of areas come from a sample of the map's errors, those of
kappa from whole blocks of pixels, for neighbours err together.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm

from phenolib import trends
from phenolib.errors import InputError, near
from phenolib.salinity import CLASSES, classify

NAMES = tuple(CLASSES)
PERSISTENCE = ("stable low", "fluctuating", "persistent high", "rising", "falling")
SEASONS = {"winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11)}
PIXEL = 10.0  # side of a pixel where the maps have no coordinates [m]


# ---- areas

def class_areas(maps, *, pixel=None, confusion=None, level=0.9):
    """How many hectares each class of salinity covers in each year, as mapped and corrected for errors of the map.

    maps       (year, y, x) salt [g/kg], or classes as whole numbers, −1 for missing
    pixel      side of a pixel [m]; default that of the coordinate x, 10 m without one
    confusion  DataFrame of counts as ``confusion`` gives it: mapped class by rows, class on the ground by columns; it
               serves all years. None: areas as mapped alone
    level      of the interval of the corrected area [-]
    returns    DataFrame, a row for each year and class: year, class, hectares, share (of the pixels with a value),
               retrieved (share of all pixels with a value); with a confusion matrix corrected, low, high [ha], users,
               producers [-]
    raises     InputError without a dimension year, or for a mapped class of which the sample holds fewer than two

    The correction is that of ``trends.area_shares``, Olofsson et al. (2014). Its interval is that of points drawn at
    random within each mapped class: from clustered samples it is too narrow, and from samples that the map was made
    with both the area and its interval are wrong.
    """
    maps = checked(maps)
    side = _side(maps, pixel)
    rows = []
    for year in maps["year"].values:
        code = codes(maps.sel(year=year).values)
        count = np.bincount(code[code >= 0], minlength=len(NAMES))
        known = int(count.sum())
        table = pd.DataFrame({"year": int(year), "class": NAMES, "hectares": count * side**2 / 1e4,
                              "share": count / known if known else np.nan, "retrieved": known / code.size})
        if confusion is not None:
            table = table.assign(corrected=np.nan, low=np.nan, high=np.nan, users=np.nan, producers=np.nan)
            if known:
                found = trends.area_shares(dict(zip(NAMES, count.tolist())), confusion).table.reindex(NAMES)
                whole, wide = known * side**2 / 1e4, norm.ppf(0.5 + level / 2)
                share, error = found["share"].to_numpy(), found["share_se"].to_numpy()
                table = table.assign(corrected=whole * share, low=whole * np.maximum(share - wide * error, 0),
                                     high=whole * np.minimum(share + wide * error, 1),
                                     users=found["users"].to_numpy(), producers=found["producers"].to_numpy())
        rows.append(table)
    return pd.concat(rows, ignore_index=True)


def confusion(found, truth, *, names=NAMES):
    """Counts of samples by the class of the map and the class on the ground.

    found, truth  (n,) salt [g/kg], or classes 0, 1, … as whole numbers with −1 for missing; pairs with a missing one
                  are left out
    names         of the classes
    returns       DataFrame of counts: mapped class by rows, class on the ground by columns

    >>> confusion([0.5, 3.0, 3.0], [0.7, 5.0, 3.5]).loc["moderate"].tolist()
    [0, 0, 1, 1, 0]
    """
    found, truth = (codes(v).ravel() for v in (found, truth))
    if found.size != truth.size:
        raise InputError(f"{found.size} mapped and {truth.size} true values; give pairs")
    good = (found >= 0) & (truth >= 0)
    count = np.zeros((len(names), len(names)), int)
    np.add.at(count, (found[good], truth[good]), 1)
    return pd.DataFrame(count, pd.Index(names, name="mapped"), pd.Index(names, name="truth"))


# ---- the same place through the years

def persistence(maps, *, limit=4.0, low=2.0, often=0.85, least=5, trend=None):
    """Where soil is salty nearly always, nearly never, or now and then (the "polarisation" of a region).

    persistent high  S > limit in a share of at least ``often`` of the years with a value
    stable low       S < low in as large a share
    fluctuating      all else

    The thresholds are the project default: 4 g/kg is where heavy salinity begins, 2 g/kg where moderate does; of seven
    years six are enough.

    maps     (year, y, x) salt [g/kg]
    limit    above which a year counts as salty [g/kg]
    low      below which a year counts as low [g/kg]
    often    share of the years [-]
    least    years with a value that a pixel needs
    trend    level of the Mann-Kendall test, e.g. 0.05, by which fluctuating pixels become rising or falling; None: not
             told apart. Of seven years without any trend a share of about this size passes the test.
    returns  (y, x) int8 DataArray: place in ``PERSISTENCE``, −1 where too few years have a value; attrs: retrieved
             (share of the pixels that has a class), years
    raises   InputError for thresholds that contradict each other
    """
    maps = checked(maps)
    if not 0 <= low <= limit or not 0.5 < often <= 1:
        raise InputError(f"low = {low}, limit = {limit}, often = {often}: give low <= limit, and a share above 0.5")
    known = maps.notnull().sum("year")
    enough = known >= max(int(least), 1)
    need = often * known - 1e-9
    high, bottom = ((test.sum("year") >= need) & enough for test in (maps > limit, maps < low))
    code = xr.where(high, 2, xr.where(bottom, 0, 1))
    if trend is not None:
        if not 0 < trend < 1:
            raise InputError(f"trend = {trend} is the level of a test; give a probability such as 0.05")
        found = trends.over_years(maps.astype(np.float32).assign_attrs(units="g/kg"), least=least)
        moved = (code == 1) & (found["p"] <= trend)
        code = xr.where(moved & (found["trend"] > 0), 3, xr.where(moved & (found["trend"] < 0), 4, code))
    code = xr.where(enough, code, -1).astype(np.int8).transpose("y", "x").rename("persistence")
    return code.assign_attrs(long_name="persistence of salt", names=", ".join(PERSISTENCE),
                             retrieved=float(enough.mean()), years=f"{maps.year.values.min()}-{maps.year.values.max()}")


def transitions(maps, *, between="years"):
    """How many pixels go from each class to each other.

    maps     (year, y, x) salt [g/kg], or classes as whole numbers, −1 for missing
    between  "years": from each year to the next of the maps, all pairs together; "ends": from the first to the last
    returns  DataFrame of counts, class before by rows and after by columns; attrs: pairs (of years), retrieved (share
             of all pixels and pairs with both values). ``row_shares`` makes probabilities of it
    raises   InputError for fewer than two years

    Errors of the maps look like transitions: two maps of an unchanged place that each are right in a share p of the
    pixels agree in about p². See ``changed`` for change beyond the interval.
    """
    maps = checked(maps)
    if between not in ("years", "ends"):
        raise InputError(f"between = '{between}' is not known{near(between, ('years', 'ends'))}")
    if maps.sizes["year"] < 2:
        raise InputError(f"one year, {maps.year.values[0]}, has no transition; give two or more")
    order = maps.sortby("year")
    years = order["year"].values.astype(int).tolist()
    pairs = list(zip(years[:-1], years[1:])) if between == "years" else [(years[0], years[-1])]
    count, there = np.zeros((len(NAMES), len(NAMES)), int), 0
    for before, after in pairs:
        one = confusion(order.sel(year=before).values, order.sel(year=after).values).to_numpy()
        count, there = count + one, there + one.sum()
    table = pd.DataFrame(count, pd.Index(NAMES, name="from"), pd.Index(NAMES, name="to"))
    table.attrs = {"pairs": pairs, "retrieved": float(there / (len(pairs) * order.sizes["y"] * order.sizes["x"]))}
    return table


def row_shares(counts):
    """Shares of each row of a table of counts; NaN for a row without any.

    >>> row_shares(pd.DataFrame([[3, 1], [0, 0]])).round(2).values.tolist()
    [[0.75, 0.25], [nan, nan]]
    """
    made = counts.div(counts.sum(axis=1).where(lambda n: n > 0), axis=0)
    made.attrs = counts.attrs
    return made


def change(maps, low, high, first, last):
    """Change of a place between two years beside what the intervals of both maps allow.

    d = ln(1 + S₂) − ln(1 + S₁);   sure where |d| > √(h₁² + h₂²)

    with h the half of the interval on the side that faces the other year, on the same scale. That takes the errors of
    the two years as independent; where a model errs alike in both, the test is too careful.

    maps, low, high  (year, y, x) salt and its interval [g/kg]
    first, last      years
    returns          Dataset (y, x): change, uncertainty (on the scale of ln(1 + S)), factor (of 1 + S), sure (bool)
    raises           InputError for a year that is not there, or bounds upside down
    """
    maps, low, high = (np.log1p(checked(m)) for m in (maps, low, high))
    for year in (first, last):
        if year not in maps["year"].values:
            raise InputError(f"there is no map of {year}; there are {', '.join(map(str, maps.year.values))}")
    if bool((low > high).any()):
        raise InputError("a lower bound lies above the upper one; give low first, then high")
    up, down = (high - maps).clip(min=0), (maps - low).clip(min=0)
    one, two = (dict(year=year, drop=True) for year in (first, last))
    away = maps.sel(**two) - maps.sel(**one)
    rise = np.hypot(up.sel(**one), down.sel(**two))
    fall = np.hypot(down.sel(**one), up.sel(**two))
    width = xr.where(away >= 0, rise, fall).where(away.notnull())
    return xr.Dataset({"change": away, "uncertainty": width, "factor": np.exp(away), "sure": np.abs(away) > width},
                      attrs={"first": int(first), "last": int(last)})


def changed(maps, low, high):
    """What share of the pixels changed by more than their interval, from each year to the next and from first to last.

    maps, low, high  (year, y, x) salt and its interval [g/kg]
    returns          DataFrame: first, last (years), rose, fell, within (shares of the pixels with a value in both),
                     retrieved (that share of all)

    Without any change 90 % intervals of independent normal errors leave about 10 % beyond, half of it on each side.
    """
    years = np.sort(checked(maps)["year"].values.astype(int)).tolist()
    rows = []
    for one, two in [*zip(years[:-1], years[1:]), *([(years[0], years[-1])] if len(years) > 2 else [])]:
        found = change(maps, low, high, one, two)
        known = found["change"].notnull() & found["uncertainty"].notnull()
        n = max(int(known.sum()), 1)
        rose, fell = (float((found["sure"] & known & (sign * found["change"] > 0)).sum() / n) for sign in (1, -1))
        rows.append({"first": one, "last": two, "rose": rose, "fell": fell, "within": 1 - rose - fell,
                     "retrieved": float(known.mean())})
    return pd.DataFrame(rows)


def square_trends(maps, *, cells=20, least=5):
    """Trend of ln(1 + S) over the years in squares, by the median of the slopes between years.

    maps     (year, y, x) salt [g/kg]
    cells    pixels a side of a square; its mean of what is known is taken
    least    years of a square
    returns  DataArray (y, x) [a⁻¹], see ``trends.over_years``
    """
    squares = np.log1p(checked(maps)).coarsen(y=cells, x=cells, boundary="trim").mean().rename("salt")
    return trends.over_years(squares, least=least)["trend"]


# ---- against truth

def kappa(found, truth, *, blocks=None, weights=None, level=0.95, draws=500, seed=0):
    """Cohen's kappa of two maps of classes: agreement beyond chance, with an interval by whole blocks.

    κ = (p₀ − pₑ) / (1 − pₑ)

    found, truth  (..., y, x) of one shape: classes as whole numbers, −1 for missing, or salt [g/kg], to be classified
    blocks        side of square blocks [m] that are drawn with replacement (maps need x and y), or labels of the shape
                  of the maps, or None: no interval. A block should be as wide as errors are alike: the range of the
                  variogram, or the window of a network
    weights       None; "linear" or "quadratic": how far apart classes are counts
    level         of the interval [-]
    draws         of the blocks
    returns       {"value", "interval", "n"} as ``report.record`` takes them, or value None and why; n counts pixels
    raises        InputError for maps of different shape

    Cohen (1960); computed by scikit-learn. Intervals of few blocks are rough: below about ten they are too narrow.
    """
    from sklearn.metrics import cohen_kappa_score

    if np.shape(found) != np.shape(truth):
        raise InputError(f"the maps have the shapes {np.shape(found)} and {np.shape(truth)}; give two of one grid")
    label = None if blocks is None else np.broadcast_to(block_labels(found, blocks), np.shape(found)).ravel()
    one, two = codes(found).ravel(), codes(truth).ravel()
    good = (one >= 0) & (two >= 0)
    if not good.any():
        return {"value": None, "why": "no pixel with a class in both maps"}
    size = int(max(one[good].max(), two[good].max())) + 1
    pair = one[good].astype(int) * size + two[good]
    rows, columns = np.divmod(np.arange(size * size), size)

    def of(count):
        seen = count > 0
        if np.unique(np.r_[rows[seen], columns[seen]]).size < 2:
            return np.nan
        return cohen_kappa_score(rows[seen], columns[seen], weights=weights, sample_weight=count[seen])

    value = of(np.bincount(pair, minlength=size * size))
    if not np.isfinite(value):
        return {"value": None, "why": "both maps hold one class alone"}
    result = {"value": float(value), "interval": None, "n": int(good.sum())}
    if label is not None:
        names, member = np.unique(label[good], return_inverse=True)
        count = np.bincount(member * size * size + pair, minlength=names.size * size * size).reshape(names.size, -1)
        if names.size > 1:
            times = np.random.default_rng(seed).multinomial(names.size, np.full(names.size, 1 / names.size), draws)
            drawn = [of(c) for c in times @ count]
            result["interval"] = tuple(float(q) for q in np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
    return result


def yearly_agreement(found, truth, *, blocks=None, level=0.95, draws=300, seed=0):
    """How well the classes of each year agree with the truth.

    found, truth  (year, y, x) salt [g/kg] of one grid; years that only one of them has are left out
    blocks        as in ``kappa``
    returns       DataFrame by year: right (share of pixels in the right class), near (at most one class off), kappa,
                  kappa_low, kappa_high, weighted (linear weights), weighted_low, weighted_high, retrieved (share of the
                  pixels with a true value that the map has)
    """
    found, truth = checked(found), checked(truth)
    rows = []
    for year in np.intersect1d(found["year"].values, truth["year"].values):
        one, two = found.sel(year=year), truth.sel(year=year)
        a, b = codes(one), codes(two)
        both = (a >= 0) & (b >= 0)
        away = np.abs(a[both].astype(int) - b[both])
        row = {"year": int(year), "right": np.mean(away == 0) if both.any() else np.nan,
               "near": np.mean(away <= 1) if both.any() else np.nan}
        for name, weights in (("kappa", None), ("weighted", "linear")):
            got = kappa(one, two, blocks=blocks, weights=weights, level=level, draws=draws, seed=seed)
            low, high = got.get("interval") or (np.nan, np.nan)
            row |= {name: np.nan if got["value"] is None else got["value"], f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"retrieved": both.sum() / max((b >= 0).sum(), 1)})
    if not rows:
        raise InputError(f"no year is in both: maps of {found.year.values.tolist()}, truth of "
                         f"{truth.year.values.tolist()}")
    return pd.DataFrame(rows)


# ---- season and year

@dataclass(frozen=True)
class Seasons:
    """Season and year of samples, told apart as far as the campaigns allow.

    factors     DataFrame: what, factor (of 1 + S, against the reference season; of a year: per year), low, high, p
    confounded  sentences: what these campaigns cannot tell apart; empty if nothing
    campaigns   DataFrame of counts: year by rows, season by columns
    model       ``mixed_models.Result``
    """

    factors: pd.DataFrame
    confounded: list
    campaigns: pd.DataFrame
    model: object


def seasons(samples, *, reference=None, year="linear", campaigns=True, level=0.95):
    """How salt differs between seasons, with the change from year to year beside it.

    ln(1 + S) ~ season + year + (1 | site) + (1 | campaign)

    What a campaign has of its own (the weather of that month) is in all of its samples at once. It is a random effect,
    so that the replicates of a season are its campaigns and not its samples; without it intervals are far too narrow.

    samples    DataFrame, one row a sample: date, site, and salt or salt_g_kg [g/kg]
    reference  season that the others are compared with; default the one with the most campaigns
    year       "linear": a change per year; "random": years differ without direction; "none"
    campaigns  whether campaigns (year and month) are a random effect
    level      of the intervals [-]
    returns    Seasons; factors are exp(effect), of 1 + S
    raises     InputError for a missing column, one season alone, a salt content below zero
    """
    from phenolib import mixed_models

    salt = next((c for c in ("salt", "salt_g_kg") if c in samples), "salt")
    for name in ("date", "site", salt):
        if name not in samples:
            raise InputError(f"the samples have no column '{name}'{near(name, samples.columns)}")
    if year not in ("linear", "random", "none"):
        raise InputError(f"year = '{year}' is not known{near(year, ('linear', 'random', 'none'))}")
    date = pd.to_datetime(samples["date"])
    values = samples[salt].astype(float)
    if (values < 0).any():
        raise InputError(f"column '{salt}' holds {values.min():g}; a salt content is 0 or more")
    season = date.dt.month.map({m: name for name, months in SEASONS.items() for m in months})
    table = pd.DataFrame({"y": np.log1p(values), "season": season, "year": date.dt.year,
                          "site": samples["site"].astype(str), "campaign": date.dt.strftime("%Y-%m")}).dropna()
    held = table.drop_duplicates("campaign").groupby("season").size().sort_values(ascending=False, kind="stable")
    if len(held) < 2:
        raise InputError(f"all samples are of {held.index[0]}; seasons need samples of two or more")
    reference = held.index[0] if reference is None else reference
    if reference not in held.index:
        raise InputError(f"no sample is of '{reference}'{near(reference, held.index)}")
    counts = pd.crosstab(table["year"], table["season"])
    others = [s for s in SEASONS if s in held.index and s != reference]
    for name in others:
        table[name] = (table["season"] == name).astype(float)
    middle = int(round(table["year"].mean()))
    table["since"] = (table["year"] - middle).astype(float)
    linear = year == "linear" and table["year"].nunique() > 1
    confounded = _confounded(table, counts, reference, others, linear)
    groups = ["site"]
    if campaigns and table["campaign"].nunique() > len(others) + 1 + linear:
        groups.append("campaign")
    if year == "random" and table["year"].nunique() > 2:
        table["in_year"] = "y" + table["year"].astype(str)
        groups.append("in_year")
    fixed = [*others, *(["since"] if linear else [])]
    fit = mixed_models.fit("y ~ " + " + ".join(fixed), table, groups=groups, level=level)
    rows = fit.fixed.set_index("term").loc[fixed]
    factors = pd.DataFrame({"what": [f"{t} against {reference}" if t != "since" else "each year" for t in fixed],
                            "factor": np.exp(rows["estimate"].to_numpy()), "low": np.exp(rows["low"].to_numpy()),
                            "high": np.exp(rows["high"].to_numpy()), "p": rows["p"].to_numpy()})
    return Seasons(factors, confounded, counts, fit)


def _confounded(table, counts, reference, others, linear):
    """What the campaigns cannot tell apart, as sentences."""
    said = []
    for season in [reference, *others]:
        years = counts.index[counts[season] > 0].tolist()
        if len(years) == 1:
            said.append(f"{season} was sampled in {years[0]} alone: its effect cannot be told from what {years[0]} had "
                        "of its own")
    for season in others:
        if not ((counts[season] > 0) & (counts.drop(columns=season).sum(axis=1) > 0)).any():
            said.append(f"{season} never stands beside another season of the same year: season and year are one there")
    alone = [y for y in counts.index if (counts.loc[y] > 0).sum() == 1]
    if len(alone) > 1:
        said.append(f"{', '.join(map(str, alone))} were each sampled in one season: change between them is one of year "
                    "and season together, told apart only by assuming that a season is alike in all years")
    campaigns = table["campaign"].nunique()
    left = campaigns - len(others) - 1 - linear
    if left < 1:
        said.append(f"{campaigns} campaigns for {len(others) + 1 + linear} effects: none is left to tell a campaign "
                    "from its season and year, so the intervals hold for these campaigns alone")
    return said


# ---- what all share

def checked(maps):
    """Maps (year, y, x) with their years; InputError for anything else."""
    if not isinstance(maps, xr.DataArray) or set(maps.dims) != {"year", "y", "x"} or "year" not in maps.coords:
        dims = getattr(maps, "dims", type(maps).__name__)
        raise InputError(f"the maps have {dims}; give a DataArray with year, y and x, and the years as a coordinate")
    if np.unique(maps["year"].values).size < maps.sizes["year"]:
        raise InputError(f"a year occurs twice among the maps: {maps.year.values.tolist()}")
    return maps.transpose("year", "y", "x")


def codes(values):
    """Classes of a map: whole numbers as they are, salt contents classified."""
    values = np.asarray(values)
    return values if values.dtype.kind in "iu" else classify(values.astype(float))


def block_labels(layer, blocks):
    """Labels (y, x) of square blocks of a side in metres; labels that are given are returned as they are."""
    if not np.isscalar(blocks):
        return np.asarray(blocks)
    if not isinstance(layer, xr.DataArray) or not {"y", "x"} <= set(layer.coords):
        raise InputError(f"blocks of {blocks:g} m need maps with the coordinates x and y; give labels instead")
    row, column = (np.floor((layer[d].values - layer[d].values.min()) / float(blocks)).astype(int) for d in "yx")
    return row[:, None] * (column.max() + 1) + column[None, :]


def _side(maps, pixel):
    """Side of a pixel [m]."""
    if pixel is not None:
        return float(pixel)
    return abs(float(maps["x"][1] - maps["x"][0])) if "x" in maps.coords and maps.sizes["x"] > 1 else PIXEL
