"""Every error with its interval, and the share that was retrieved."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from phenolib.errors import InputError

STATISTICS = {
    "mae": lambda d: np.mean(np.abs(d)),
    "median": lambda d: np.median(np.abs(d)),
    "bias": np.mean,
    "rmse": lambda d: np.sqrt(np.mean(d**2)),
    "within5": lambda d: np.mean(np.abs(d) <= 5),
    "within10": lambda d: np.mean(np.abs(d) <= 10),
    "within15": lambda d: np.mean(np.abs(d) <= 15),
}


@dataclass(frozen=True)
class Errors:
    """Errors of dates in days (found − reference; negative is earlier) with bootstrap intervals.

    n          compared pairs
    retrieved  share of the reference dates for which there is a found one [-]
    mae, median (of |error|), bias, rmse [days], within5, within10, within15 [-]; NaN without pairs
    """

    n: int
    retrieved: float
    values: dict
    intervals: dict

    def __getattr__(self, name):
        if name in STATISTICS:
            return self.values[name]
        raise AttributeError(name)

    def result(self, statistic, why):
        """One statistic as the arguments of ``report.record``: value, interval and n, or None and why there is none.

        >>> days([], []).result("mae", "no reference dates")
        {'value': None, 'why': 'no reference dates'}
        """
        if not self.n:
            return {"value": None, "why": why}
        low, high = self.intervals[statistic]
        return {"value": self.values[statistic], "interval": None if np.isnan(low) else (low, high), "n": self.n}

    def row(self, *statistics):
        """One line of a table: n, retrieved, and each statistic with its interval in brackets, as text.

        >>> days(["2020-05-03", "2021-05-02"], ["2020-05-01", "2021-05-01"]).row("bias")
        {'n': 2, 'retrieved': '1.00', 'bias': '1.5 [1.0, 2.0]'}
        """
        cells = {"n": self.n, "retrieved": f"{self.retrieved:.2f}"}
        for name in statistics:
            low, high = self.intervals[name]
            cells[name] = f"{self.values[name]:.1f}" + ("" if np.isnan(low) else f" [{low:.1f}, {high:.1f}]")
        return cells

    @property
    def interval(self):
        """The interval of the mean absolute error."""
        return self.intervals["mae"]


def days(found, reference, *, groups=None, level=0.95, draws=2000, seed=0):
    """Errors of found dates against reference dates.

    found, reference  (n,) datetime64; NaT in ``found``: not retrieved; NaT in ``reference``: left out
    groups            (n,) labels that are drawn as a whole in the bootstrap, e.g. the site; default each pair alone
    level             of the percentile interval [-]
    draws             of the bootstrap
    returns           Errors
    raises            InputError for arrays of different length

    >>> error = days(pd.to_datetime(["2020-05-03", "NaT"]), pd.to_datetime(["2020-05-01", "2021-05-01"]))
    >>> error.mae, error.n, error.retrieved
    (2.0, 1, 0.5)
    """
    found, reference = np.asarray(found, "datetime64[ns]"), np.asarray(reference, "datetime64[ns]")
    if found.shape != reference.shape:
        raise InputError(f"{found.size} found and {reference.size} reference dates; give pairs")
    asked = ~np.isnat(reference)
    pair = asked & ~np.isnat(found)
    difference = (found[pair] - reference[pair]) / np.timedelta64(1, "D")
    labels = np.arange(pair.sum()) if groups is None else np.asarray(groups)[pair]
    values, intervals = bootstrap(difference, labels, STATISTICS, level=level, draws=draws, seed=seed)
    return Errors(int(pair.sum()), float(pair.sum() / asked.sum()) if asked.any() else np.nan, values, intervals)


def bootstrap(sample, groups, statistics, *, level=0.95, draws=2000, seed=0):
    """Statistics of a sample with percentile intervals; whole groups are drawn with replacement.

    sample      (n,) numbers
    groups      (n,) labels
    statistics  name → function of (m,) to a number
    returns     {name: value}, {name: (low, high)}; NaN where the sample is empty; an interval is (NaN, NaN) with
                fewer than two groups
    """
    sample = np.asarray(sample, float)
    values = {name: float(f(sample)) if sample.size else np.nan for name, f in statistics.items()}
    _, member = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    members = [np.flatnonzero(member == k) for k in range(member.max() + 1)] if sample.size else []
    if len(members) < 2:
        return values, {name: (np.nan, np.nan) for name in statistics}
    rng = np.random.default_rng(seed)
    drawn = {name: np.empty(draws) for name in statistics}
    for k in range(draws):
        pick = np.concatenate([members[j] for j in rng.integers(len(members), size=len(members))])
        for name, f in statistics.items():
            drawn[name][k] = f(sample[pick])
    tail = (1 - level) / 2
    return values, {n: tuple(float(q) for q in np.quantile(v, [tail, 1 - tail])) for n, v in drawn.items()}


def group_means(values, groups, *, draws=2000, seed=0):
    """Means over the last dimension, and those of draws of whole groups with replacement; missing values are left out.

    One set of draws serves all leading dimensions, so that differences and means of them stay paired.

    values   (…, n) numbers
    groups   (n,) labels
    returns  (…) mean, (…, draw); NaN without values, and in the draws where fewer than two groups have some

    >>> mean, drawn = group_means([[1.0, 3.0], [2.0, np.nan]], ["a", "b"], draws=10)
    >>> mean.tolist(), np.isnan(drawn).all(-1).tolist()
    ([2.0, 2.0], [False, True])
    """
    values = np.asarray(values, float)
    _, member = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    one, there = np.eye(member.max() + 1)[member], np.isfinite(values)
    sums, count = np.where(there, values, 0) @ one, there.astype(float) @ one  # (…, group)
    times = np.random.default_rng(seed).multinomial(one.shape[1], np.full(one.shape[1], 1 / one.shape[1]), draws)
    with np.errstate(invalid="ignore"):
        mean, drawn = sums.sum(-1) / count.sum(-1), (sums @ times.T) / (count @ times.T)
    return mean, np.where(((count > 0).sum(-1) > 1)[..., None], drawn, np.nan)


def percentiles(drawn, level=0.95):
    """Bounds of the percentile interval of draws (…, draw): low and high, (…) each; NaN where all draws are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of nothing but NaN
        return tuple(np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=-1))


def estimate(sample, groups, statistic, *, why, level=0.95, draws=2000, seed=0):
    """One statistic of a sample as the arguments of ``report.record``.

    sample     (n,) numbers; missing ones are left out
    groups     (n,) labels that are drawn as a whole
    statistic  function of (m,) to a number
    why        the reason that is recorded if nothing is left
    returns    value, interval and n, or None and why there is none

    >>> estimate([1.0, 2.0, np.nan], ["a", "a", "b"], np.mean, why="nothing there")
    {'value': 1.5, 'interval': None, 'n': 2}
    """
    sample, groups = np.asarray(sample, float), np.asarray(groups)
    good = np.isfinite(sample)
    if not good.any():
        return {"value": None, "why": why}
    values, intervals = bootstrap(sample[good], groups[good], {"it": statistic}, level=level, draws=draws, seed=seed)
    low, high = intervals["it"]
    return {"value": values["it"], "interval": None if np.isnan(low) else (low, high), "n": int(good.sum())}


def interval_score(low, high, truth, *, level=0.9):
    """The interval score of Winkler: width, and a fine for each truth outside of it, in proportion to the distance.

        S = (u − l) + 2/α · (l − y)₊ + 2/α · (y − u)₊,  α = 1 − level

    low, high, truth  (n,) numbers in one unit, or datetime64 (then the score is in days)
    level             that the interval is to hold [-]
    returns           (n,) score, smaller is better; NaN where one of the three is missing
    raises            InputError for a level outside 0–1

    Its expectation is least for the interval between the quantiles α/2 and 1 − α/2 of what y can be: neither a wide nor
    a narrow interval pays. Winkler (1972); Gneiting & Raftery (2007), section 6.2.

    >>> interval_score([0.0, 0.0], [10.0, 10.0], [5.0, 11.0]).round(3).tolist()
    [10.0, 30.0]
    """
    if not 0 < level < 1:
        raise InputError(f"level = {level} is out of range; give a probability between 0 and 1")
    low, high, truth = numbers(low), numbers(high), numbers(truth)
    outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    return (high - low) + 2 / (1 - level) * outside


def inside(low, high, truth):
    """Whether an interval holds the truth: 1.0, 0.0, or NaN where one of the three is missing; each (n,)."""
    low, high, truth = numbers(low), numbers(high), numbers(truth)
    known = np.isfinite(low) & np.isfinite(high) & np.isfinite(truth)
    return np.where(known, ((low <= truth) & (truth <= high)).astype(float), np.nan)


def coverage(low, high, truth, *, groups=None, level=0.95, draws=500, seed=0):
    """Share of intervals that hold the truth, as the arguments of ``report.record``.

    low, high, truth  (n,) numbers or datetime64
    groups            (n,) labels drawn as a whole, e.g. the pixel, whose dates share one noise; default each alone
    level             of the bootstrap interval of this share (not of the intervals that are judged)
    returns           value [-], interval and n, or None and why there is none
    """
    hit = inside(low, high, truth)
    good = np.isfinite(hit)
    if not good.any():
        return {"value": None, "why": "no interval with a known truth"}
    labels = np.arange(hit.size) if groups is None else np.asarray(groups)
    _, member = np.unique(labels[good], return_inverse=True)
    hits, size = np.bincount(member, hit[good]), np.bincount(member)  # (group,)
    result = {"value": float(hits.sum() / size.sum()), "interval": None, "n": int(size.sum())}
    if size.size > 1:
        pick = np.random.default_rng(seed).integers(size.size, size=(draws, size.size))
        share = hits[pick].sum(1) / size[pick].sum(1)
        result["interval"] = tuple(float(q) for q in np.quantile(share, [(1 - level) / 2, (1 + level) / 2]))
    return result


def by_width(low, high, truth, *, parts=4):
    """Coverage in parts of equal size from the narrowest to the widest interval: right on average is not right in each.

    low, high, truth  (n,) numbers or datetime64
    returns           DataFrame by part (1 is the narrowest): width (median), coverage, n
    """
    low, high = numbers(low), numbers(high)
    table = pd.DataFrame({"width": high - low, "coverage": inside(low, high, truth)}).dropna()
    part = np.arange(len(table)) * parts // max(len(table), 1) + 1
    groups = table.sort_values("width", kind="stable").groupby(part)
    return groups.agg(width=("width", "median"), coverage=("coverage", "mean"), n=("width", "size")).rename_axis("part")


def numbers(values):
    """Numbers as float; dates as days since 1970, NaT as NaN."""
    values = np.asarray(values)
    if values.dtype.kind == "M":
        return (values - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    return values.astype(float)


def match(found, reference, *, within=60.0):
    """Which found date belongs to which reference date, so that the sum of the distances is smallest.

    found, reference  (m,), (n,) datetime64, any order; NaT never matches
    within            pairs further apart are no match [days]
    returns           (n,) int: index into ``found``, or -1

    Hungarian assignment (scipy). A found date is used once.
    """
    found, reference = np.asarray(found, "datetime64[ns]"), np.asarray(reference, "datetime64[ns]")
    result = np.full(reference.size, -1)
    if not found.size or not reference.size:
        return result
    distance = np.abs((reference[:, None] - found[None, :]) / np.timedelta64(1, "D"))
    distance[np.isnat(reference)[:, None] | np.isnat(found)[None, :]] = np.inf
    far = 1e6
    rows, columns = linear_sum_assignment(np.where(distance <= within, distance, far))
    good = distance[rows, columns] <= within
    result[rows[good]] = columns[good]
    return result


def false_events(found, both, *, keys=("series", "direction", "share")):
    """Which found events have no partner, within the time that the reference covers for their series.

    found    DataFrame with the columns ``keys`` and ``date``
    both     what ``match_events`` gave for it
    returns  (n,) bool for those found events that lie between the first and the last reference event of their series
    """
    found, both = (table.astype({"date": "datetime64[ns]"}) for table in (found, both))
    span = both.groupby(list(keys))["date"].agg(["min", "max"]).reset_index()
    inside = found.merge(span, on=list(keys))
    inside = inside[(inside["date"] >= inside["min"]) & (inside["date"] <= inside["max"])]
    partner = both.dropna(subset="found")[[*keys, "found"]].rename(columns={"found": "date"}).assign(partner=True)
    partner = partner.astype({"date": "datetime64[ns]"})
    return inside.merge(partner, on=[*keys, "date"], how="left")["partner"].isna().to_numpy()


def match_events(found, reference, *, within=60.0, keys=("series", "direction", "share")):
    """Found events beside reference events: each reference row gets the found date that belongs to it.

    found, reference  DataFrames with the columns ``keys`` and ``date``
    within            pairs further apart are no match [days]
    returns           the reference with columns ``found`` (datetime64, NaT without a match) and ``difference`` [days]
    """
    result = reference.reset_index(drop=True).copy()
    result["found"] = np.datetime64("NaT", "ns")
    groups = dict(list(found.groupby(list(keys))))
    for key, rows in result.groupby(list(keys)):
        if key not in groups:
            continue
        dates = groups[key]["date"].to_numpy("datetime64[ns]")
        which = match(dates, rows["date"].to_numpy("datetime64[ns]"), within=within)
        result.loc[rows.index[which >= 0], "found"] = dates[which[which >= 0]]
    result["difference"] = (result["found"] - pd.to_datetime(result["date"])) / pd.Timedelta(1, "D")
    return result
