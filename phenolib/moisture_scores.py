"""Scores of soil moisture against probes, with intervals by station, and triple collocation where there is no truth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import metrics
from phenolib.errors import InputError, near

STATISTICS = {  # name: unit and meaning
    "pcc": ("-", "Pearson correlation"),
    "anomaly_pcc": ("-", "Pearson correlation of what is left over a moving mean"),
    "rmse": ("m3 m-3", "root of the mean squared difference"),
    "ubrmse": ("m3 m-3", "RMSE without the bias, sqrt(RMSE² − bias²)"),
    "bias": ("m3 m-3", "mean of predicted less observed"),
    "kge": ("-", "Kling-Gupta efficiency"),
    "alpha": ("-", "SD of the predicted over that of the observed"),
    "beta": ("-", "mean of the predicted over that of the observed"),
    "nse": ("-", "Nash-Sutcliffe efficiency: 1 − MSE / variance of the observed, the R² of a prediction"),
}
PAIRS = 10  # of a station, below which it has no score
TRIPLES = 100  # below which triple collocation is refused
UNTESTABLE = ("that the errors of the three are independent of each other and of the truth cannot be tested with three "
              "series: a product that assimilates satellite moisture (GLEAM) must not meet one made of the same "
              "satellites (ESA CCI)")


def anomalies(series, *, window=35, least=5):
    """What is left of a series over its centred moving mean.

    a(t) = θ(t) − mean of θ over the days t − w/2 … t + w/2

    series   (…, time) DataArray with any dates in order; NaN where missing
    window   w, length of the moving mean [days]
    least    values that the mean needs; with fewer the anomaly is missing. A ten-day series has 3 values in 35 days:
             give a longer window
    returns  DataArray like the series, NaN where missing
    raises   InputError without time, or for dates that do not increase

    Entekhabi et al. (2010), J. Hydrometeorol. 11:832, for moisture anomalies; window of 35 days as is usual.

    >>> time = pd.date_range("2020-01-01", periods=9)
    >>> wet = xr.DataArray([0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0], {"time": time}, "time")
    >>> anomalies(wet, window=5).values.tolist()[4]
    4.0
    """
    if "time" not in series.dims:
        raise InputError(f"the series has the dimensions {', '.join(map(str, series.dims))}; one must be time")
    at = metrics.numbers(series["time"].values.astype("datetime64[ns]"))
    if (np.diff(at) <= 0).any():
        raise InputError("the dates of the series do not increase; sort them and leave out those that occur twice")
    turned = series.transpose(..., "time")
    values = turned.values.astype(float)
    first, last = np.searchsorted(at, at - window / 2, "left"), np.searchsorted(at, at + window / 2, "right")
    there = np.isfinite(values)
    edge = np.zeros((*values.shape[:-1], 1))
    sums, count = (np.concatenate([edge, np.cumsum(v, -1)], -1) for v in (np.where(there, values, 0), there))
    count = count[..., last] - count[..., first]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (sums[..., last] - sums[..., first]) / count
    left = np.where(there & (count >= least), values - mean, np.nan)
    return turned.copy(data=left).transpose(*series.dims)


# ---- scores

@dataclass(frozen=True)
class Scores:
    """Scores of a product against probes.

    n         pairs of predicted and observed
    share     of the observed values that have a predicted one [-]
    stations  DataFrame by station: n, share and each of ``STATISTICS``; NaN with fewer than 10 pairs
    table     DataFrame by statistic: mean (over the stations), low, high (its interval by drawing stations), stations
              (that have it), pooled, pooled_low, pooled_high (of all pairs as one sample)
    """

    n: int
    share: float
    stations: pd.DataFrame
    table: pd.DataFrame

    def __getattr__(self, name):
        if name in STATISTICS:
            return float(self.table.loc[name, "mean"])
        raise AttributeError(name)

    def result(self, statistic, *, pooled=False, why="no station has enough pairs"):
        """One statistic as the arguments of ``report.record``: value, interval and n (stations), or None and why."""
        if statistic not in self.table.index:
            raise InputError(f"statistic '{statistic}' is not known{near(statistic, self.table.index)}")
        return _record(self.table.loc[statistic], pooled, why)


def scores(predicted, observed, *, window=35, least=5, groups=None, level=0.95, draws=2000, seed=0):
    """Scores at stations: means over stations, of all pairs as one sample, and intervals by drawing stations.

    bias = mean(P − O),  RMSE = √mean (P − O)²,  ubRMSE = √(RMSE² − bias²)
    KGE  = 1 − √((r − 1)² + (α − 1)² + (β − 1)²),  α = SD(P)/SD(O),  β = mean(P)/mean(O)
    NSE  = 1 − mean (P − O)² / var(O)

    A mean over stations says how well time is followed; pooled scores mix that with what differs between stations.

    predicted, observed  (station, time) DataArrays [m³ m⁻³]; the predicted one is brought to the stations and days of
                         the observed one
    window, least        of ``anomalies``, taken over the days on which both are there
    groups               (station,) labels drawn as a whole, e.g. the coarse cell; default each station alone
    level, draws, seed   of the intervals
    returns              Scores
    raises               InputError for dimensions that are missing, values above 1 (per cent, or mm), nothing in common

    Gupta et al. (2009), J. Hydrol. 377:80, for KGE; Entekhabi et al. (2010) for ubRMSE.
    """
    predicted, observed = _beside(predicted, observed, "predicted")
    pair = np.isfinite(predicted) & np.isfinite(observed)
    asked = np.isfinite(observed).sum("time")
    names = observed["station"].values
    p, o = (v.where(pair) for v in (predicted, observed))
    moments = _moments(p.values, o.values)  # (station, 6)
    odd = _moments(*(anomalies(v, window=window, least=least).values for v in (p, o)))
    own = _statistics(moments, odd)
    stations = pd.DataFrame(own, index=pd.Index(names, name="station"))
    stations[moments[:, 0] < PAIRS] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        stations.insert(0, "share", pair.sum("time").values / asked.values)
    stations.insert(0, "n", moments[:, 0].astype(int))
    labels = names if groups is None else np.asarray(groups)
    mean, drawn = metrics.group_means(stations[list(STATISTICS)].to_numpy().T, labels, draws=draws, seed=seed)
    pooled, again = _pooled(moments, odd, labels, draws, seed)
    low, high = metrics.percentiles(drawn, level)
    pooled_low, pooled_high = metrics.percentiles(again, level)
    table = pd.DataFrame({"mean": mean, "low": low, "high": high, "stations": stations[list(STATISTICS)].notna().sum(),
                          "pooled": pooled, "pooled_low": pooled_low, "pooled_high": pooled_high},
                         index=pd.Index(list(STATISTICS), name="statistic"))
    total = int(moments[:, 0].sum())
    return Scores(total, total / int(asked.sum()), stations, table)


def compare(products, observed, **options):
    """Several products at the same stations and days: only pairs that all of them have are judged.

    products  {name: (station, time) DataArray [m³ m⁻³]}
    observed  (station, time) DataArray [m³ m⁻³]
    options   of ``scores``
    returns   DataFrame by product: n, share (of the observed values, that all have), own_share (that it has itself),
              stations, then each of ``STATISTICS`` with <name>_low, <name>_high, and pooled_<name> with its bounds
    raises    InputError for no product, and as ``scores``

    ``cells`` makes a table to read of it, ``result`` the arguments of ``report.record``.
    """
    made = common(products, observed)
    rows = {}
    for name, given in products.items():
        own = _beside(given, observed, name)[0]
        found = scores(made[name], observed, **options)
        there = np.isfinite(observed.transpose("station", "time"))
        row = {"n": found.n, "share": found.share,
               "own_share": float((np.isfinite(own) & there).sum() / there.sum()),
               "stations": int(found.table.loc["rmse", "stations"])}
        for prefix, column in (("", "mean"), ("pooled_", "pooled")):
            bounds = ("low", "high") if not prefix else ("pooled_low", "pooled_high")
            for statistic, line in found.table.iterrows():
                row |= {prefix + statistic: line[column], f"{prefix}{statistic}_low": line[bounds[0]],
                        f"{prefix}{statistic}_high": line[bounds[1]]}
        rows[name] = row
    return pd.DataFrame(rows).T.astype(float).astype({"n": int, "stations": int}).rename_axis("product")


def common(products, observed):
    """Products on the stations and days of the observed one, each missing where one of all is; {name: DataArray}."""
    if not products:
        raise InputError("there is no product to score; give {name: DataArray of station and time}")
    made = {name: _beside(given, observed, name)[0] for name, given in products.items()}
    there = np.isfinite(observed.transpose("station", "time"))
    for one in made.values():
        there = there & np.isfinite(one)
    return {name: one.where(there) for name, one in made.items()}


def result(table, product, statistic, *, why="no station has enough pairs"):
    """One number of ``compare`` as the arguments of ``report.record``; n is that of the stations."""
    for name, known in ((product, table.index), (statistic, table.columns)):
        if name not in known:
            raise InputError(f"'{name}' is not in the table of scores{near(name, known)}")
    row = table.loc[product]
    return _record({"mean": row[statistic], "low": row[f"{statistic}_low"], "high": row[f"{statistic}_high"],
                    "stations": row["stations"]}, False, why)


def cells(table, statistics=("pcc", "anomaly_pcc", "rmse", "ubrmse", "bias", "kge"), *, digits=3):
    """A table of ``compare`` to read: each statistic with its interval in brackets, as text."""
    text = {"pairs": table["n"].astype(int), "stations": table["stations"].astype(int)}
    for name in statistics:
        text[name] = [f"{row[name]:.{digits}f}" + ("" if np.isnan(row[f"{name}_low"]) else
                      f" [{row[f'{name}_low']:.{digits}f}, {row[f'{name}_high']:.{digits}f}]")
                      for _, row in table.iterrows()]
    return pd.DataFrame(text, index=table.index)


def ratio(one, other, observed, *, name="rmse", pooled=False, window=35, least=5, groups=None, level=0.95, draws=2000,
          seed=0):
    """A statistic of one product over that of another at the same stations and days, with a paired interval.

    one, other, observed  (station, time) DataArrays [m³ m⁻³]
    name                  of ``STATISTICS``
    pooled                False: of the means over stations; True: of all pairs as one sample
    groups, level, draws, seed   as ``scores``; both share the draws
    returns               dict value, interval, n (stations): the arguments of ``report.record``
    raises                InputError for an unknown statistic, and as ``scores``
    """
    return _against(one, other, observed, name, pooled, window, least, groups, level, draws, seed, np.divide)


def gain(one, other, observed, *, name="pcc", pooled=False, window=35, least=5, groups=None, level=0.95, draws=2000,
         seed=0):
    """A statistic of one product less that of another at the same stations and days; arguments as ``ratio``."""
    return _against(one, other, observed, name, pooled, window, least, groups, level, draws, seed, np.subtract)


def _against(one, other, observed, name, pooled, window, least, groups, level, draws, seed, how):
    if name not in STATISTICS:
        raise InputError(f"statistic '{name}' is not known{near(name, STATISTICS)}")
    made = common({"one": one, "other": other}, observed)
    observed = observed.transpose("station", "time").where(np.isfinite(made["one"]))
    place = list(STATISTICS).index(name)
    labels = observed["station"].values if groups is None else np.asarray(groups)
    moments = [_moments(made[k].values, observed.values) for k in made]
    odd = [_moments(*(anomalies(v, window=window, least=least).values for v in (made[k], observed))) for k in made]
    enough = moments[0][:, 0] >= PAIRS
    if pooled:
        pairs = [_pooled(m, a, labels, draws, seed) for m, a in zip(moments, odd)]
        value, drawn = how(pairs[0][0][place], pairs[1][0][place]), how(pairs[0][1][place], pairs[1][1][place])
    else:
        own = np.where(enough, [_statistics(m, a)[name] for m, a in zip(moments, odd)], np.nan)
        own = np.where(np.isfinite(own).all(0), own, np.nan)
        mean, again = metrics.group_means(own, labels, draws=draws, seed=seed)
        value, drawn = how(*mean), how(*again)
    low, high = metrics.percentiles(drawn, level)
    return _record({"mean": value, "low": low, "high": high, "stations": enough.sum()}, False, "no common pairs")


def _record(row, pooled, why):
    """A line of a table as the arguments of ``report.record``."""
    columns = ("pooled", "pooled_low", "pooled_high") if pooled else ("mean", "low", "high")
    value, low, high = (row[column] for column in columns)
    if not np.isfinite(value):
        return {"value": None, "why": why}
    return {"value": float(value), "interval": None if np.isnan(low) else (float(low), float(high)),
            "n": int(row["stations"])}


def _beside(predicted, observed, name):
    """Both as (station, time), the predicted one at the stations and days of the observed one."""
    for what, given in ((name, predicted), ("observed", observed)):
        if not isinstance(given, xr.DataArray) or set(given.dims) != {"station", "time"}:
            raise InputError(f"{what}: give a DataArray with the dimensions station and time, not "
                             f"{getattr(given, 'dims', type(given).__name__)}")
        most = float(given.max())
        if most > 1:
            raise InputError(f"{what}: moisture up to {most:.3g} is above 1; give volume fractions [m³ m⁻³], not per "
                             "cent or mm")
    observed = observed.transpose("station", "time")
    found = predicted.transpose("station", "time").reindex(station=observed["station"], time=observed["time"])
    if not bool((np.isfinite(found) & np.isfinite(observed)).any()):
        raise InputError(f"{name}: no value lies at a station and day of the observed moisture; compare the names of "
                         "the stations and the dates of both")
    return found, observed


def _moments(p, o):
    """n, ΣP, ΣO, ΣP², ΣO², ΣPO of the pairs of each station; (station, time) → (station, 6)."""
    good = np.isfinite(p) & np.isfinite(o)
    p, o = np.where(good, p, 0), np.where(good, o, 0)
    return np.stack([good.sum(1), p.sum(1), o.sum(1), (p * p).sum(1), (o * o).sum(1), (p * o).sum(1)], -1).astype(float)


def _statistics(moments, odd):
    """``STATISTICS`` of sums (…, 6) of values and of anomalies: dict of (…)."""
    n, p, o, pp, oo, po = np.moveaxis(moments, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, o, pp, oo, po = (v / n for v in (p, o, pp, oo, po))
        bias, square = p - o, np.maximum(pp - 2 * po + oo, 0)
        r, alpha, beta = _correlation(moments), np.sqrt(_variance(pp, p) / _variance(oo, o)), p / o
        kge = 1 - np.sqrt((r - 1)**2 + (alpha - 1)**2 + (beta - 1)**2)
    return {"pcc": r, "anomaly_pcc": _correlation(odd), "rmse": np.sqrt(square),
            "ubrmse": np.sqrt(np.maximum(square - bias**2, 0)), "bias": bias, "kge": kge, "alpha": alpha, "beta": beta,
            "nse": 1 - square / _variance(oo, o)}


def _variance(square, mean):
    """Mean of squares and mean to variance; NaN where it is nothing but rounding."""
    found = square - mean**2
    return np.where(found > 1e-12 * np.maximum(square, 1e-12), found, np.nan)


def _correlation(moments):
    n, p, o, pp, oo, po = np.moveaxis(moments, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, o = p / n, o / n
        return np.where(n >= 3, (po / n - p * o) / np.sqrt(_variance(pp / n, p) * _variance(oo / n, o)), np.nan)


def _pooled(moments, odd, labels, draws, seed):
    """``STATISTICS`` of all pairs as one sample, (statistic,), and of draws of whole groups, (statistic, draw)."""
    _, member = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    one = np.eye(member.max() + 1)[member].T  # (group, station)
    sums = [one @ m for m in (moments, odd)]
    value = np.array(list(_statistics(*(s.sum(0) for s in sums)).values()))
    seen = (sums[0][:, 0] > 0).sum()
    if seen < 2:
        return value, np.full((len(STATISTICS), draws), np.nan)
    times = np.random.default_rng(seed).multinomial(len(one), np.full(len(one), 1 / len(one)), draws)
    return value, np.array(list(_statistics(*(times @ s for s in sums)).values()))


# ---- triple collocation

@dataclass(frozen=True)
class Triple:
    """What three series tell of each other's errors.

    n          triples
    names      of the three
    error_sd   {name: SD of its random error [unit of the series]}; NaN where the variance is found below zero
    r2         {name: squared correlation with the truth [-]}
    scale      {name: by what its signal is larger than that of the first [-]}
    intervals  {(quantity, name): (low, high)}, of error_sd, r2 and scale, by drawing blocks of time, or stations
    remarks    tuple of lines: what speaks against the assumptions, and what cannot be tested
    """

    n: int
    names: tuple
    error_sd: dict
    r2: dict
    scale: dict
    intervals: dict
    remarks: tuple

    def result(self, quantity, name):
        """One number as the arguments of ``report.record``."""
        value = getattr(self, quantity)[name]
        if not np.isfinite(value):
            return {"value": None, "why": f"the error variance of {name} is found below zero"}
        low, high = self.intervals[quantity, name]
        return {"value": value, "interval": None if np.isnan(low) else (low, high), "n": self.n}


def triple(x, y, z, *, names=("x", "y", "z"), block=30, level=0.95, draws=1000, seed=0):
    """Triple collocation in covariance form: the random error of each of three series, without a truth.

    σ²ₓ = Q_xx − Q_xy Q_xz / Q_yz,   R²ₓ = Q_xy Q_xz / (Q_xx Q_yz),   and so on in turn;  Q: covariances

    It holds if each series is linear in the truth and the errors have no correlation with the truth or with one
    another. The first shows in part: covariances must be positive and variances too. The last cannot be tested with
    three series; see ``Triple.remarks``. GLEAM assimilates satellite moisture, so it is not independent of ESA CCI.

    x, y, z  (time,) or (station, time) arrays in one order; NaN where missing. With stations the covariances are
             about the mean of each station, so what differs between stations does not count; give anomalies to leave
             out the season as well
    names    of the three, for the result
    block    successive days that are drawn together [steps of time]; with stations whole stations are drawn
    returns  Triple
    raises   InputError for other shapes, fewer than 100 triples, or a covariance that is not above zero

    Stoffelen (1998); McColl et al. (2014), Geophys. Res. Lett. 41:6229, for R²; at least 100 triples: project default.
    """
    data = np.stack([np.asarray(v, float) for v in _same(x, y, z, names)], -1)
    stations = data.ndim == 3
    data = data if stations else data[None]
    good = np.isfinite(data).all(-1)
    n = int(good.sum())
    if n < TRIPLES:
        raise InputError(f"triple collocation of {', '.join(names)}: {n} days have all three; give {TRIPLES} or more")
    pieces = _pieces(data, good, None if stations else block)  # (piece, 1 + 3 + 9)
    covariance = _covariance(pieces.sum(0), stations)
    off = {(a, b): covariance[a, b] for a, b in ((0, 1), (0, 2), (1, 2))}
    for (a, b), value in off.items():
        if not value > 0:
            raise InputError(f"triple collocation: {names[a]} and {names[b]} have the covariance {value:.2g}; it needs "
                             "three series that rise and fall together")
    found = _collocate(covariance)
    spread = {}
    if len(pieces) > 1:
        times = np.random.default_rng(seed).multinomial(len(pieces), np.full(len(pieces), 1 / len(pieces)), draws)
        drawn = _collocate(np.moveaxis(_covariance(times @ pieces, stations), (-2, -1), (0, 1)))
        spread = {name: metrics.percentiles(v, level) for name, v in drawn.items()}
    remarks = [f"the error variance of {names[k]} is found below zero: an assumption fails, or {n} triples are too few"
               for k in range(3) if not found["error_sd"][k] >= 0]
    remarks += [f"R² of {names[k]} is {found['r2'][k]:.2f}, above 1: the errors of the other two are likely correlated"
                for k in range(3) if found["r2"][k] > 1]
    quantities = {q: dict(zip(names, map(float, v))) for q, v in found.items()}
    intervals = {(q, name): tuple(float(b[k]) for b in spread[q]) if spread else (np.nan, np.nan)
                 for q in found for k, name in enumerate(names)}
    return Triple(n, tuple(names), **quantities, intervals=intervals, remarks=(*remarks, UNTESTABLE))


def _same(x, y, z, names):
    """The three, of one shape; DataArrays are brought to the coordinates of the first."""
    given = [x, y, z]
    if all(isinstance(v, xr.DataArray) for v in given):
        order = [d for d in ("station", "time") if d in x.dims]
        given = list(xr.align(*(v.transpose(*order) for v in given), join="inner"))
    shapes = {np.shape(v) for v in given}
    if len(shapes) > 1 or len(next(iter(shapes))) not in (1, 2) or len(set(names)) != 3:
        raise InputError(f"triple collocation of {', '.join(names)}: the shapes are "
                         f"{', '.join(str(np.shape(v)) for v in given)}; give three of (time,) or (station, time)")
    return given


def _pieces(data, good, block):
    """Sums n, Σv, Σv·vᵀ of each station, or of each block of time; about station means with stations."""
    values = np.where(good[..., None], data, 0.0)
    n = good.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n[:, None] > 0, values.sum(1) / n[:, None], 0)
    values = np.where(good[..., None], values - mean[:, None], 0.0)
    member = (np.broadcast_to(np.arange(len(good))[:, None], good.shape) if block is None
              else np.broadcast_to(np.arange(good.shape[1]) // int(block), good.shape)).ravel()
    flat, count = values.reshape(-1, 3), good.ravel().astype(float)
    columns = [count, *flat.T, *(flat[:, a] * flat[:, b] for a in range(3) for b in range(3))]
    found = np.stack([np.bincount(member, c) for c in columns], -1)
    return found[found[:, 0] > 0]


def _covariance(sums, stations):
    """Sums (…, 13) to covariances (…, 3, 3); with stations the values are about their station's mean already."""
    n, mean, square = sums[..., :1], sums[..., 1:4], sums[..., 4:].reshape(*sums.shape[:-1], 3, 3)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.zeros_like(mean) if stations else mean / n
        return square / n[..., None] - mean[..., :, None] * mean[..., None, :]


def _collocate(q):
    """q (3, 3, …) → dict of (3, …)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        signal = np.stack([q[0, 1] * q[0, 2] / q[1, 2], q[0, 1] * q[1, 2] / q[0, 2], q[0, 2] * q[1, 2] / q[0, 1]])
        own = np.stack([q[k, k] for k in range(3)])
        scale = np.stack([np.ones_like(q[0, 0]), q[1, 2] / q[0, 2], q[1, 2] / q[0, 1]])
        return {"error_sd": np.sqrt(np.where(own >= signal, own - signal, np.nan)), "r2": signal / own, "scale": scale}
