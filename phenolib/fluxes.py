"""Net exchange of carbon dioxide of a flux tower: calm nights left out, and its parts, respiration and uptake.

NEE = R_eco − GPP, positive to the atmosphere. What is measured above a canopy at night is the respiration of the whole
ecosystem: of roots, stems and leaves as well as of microbes, so as "soil respiration" it is an upper bound. It holds
only where the air is mixed. In calm nights CO₂ is stored below the sensors or drains away downhill; a threshold of the
friction velocity u* leaves most of these hours out, but neither the storage nor the advection of the others is
corrected here: give NEE with the storage term where there is one.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import leastsq

from phenolib.errors import InputError
from phenolib.responses import T_LLOYD, celsius, lloyd_taylor

WINDOW, STEP, REFIT = 14, 5, 4  # days: fits of E₀ and their step, refits of R_ref
LEAST, RANGE = 6, 5.0  # a fit of E₀ needs more values than that, over so many K
SPIKE = 4.5  # z of the median absolute deviation beyond which a value of a window is left out
LIMITS, RELATIVE = (0.0, 450.0), 0.5  # K between which E₀ has to lie, and its relative standard error
BEST = 3  # windows whose E₀ are averaged
SEASON_ROWS, CLASS_ROWS = 160, 50  # night values that a season and a temperature class need
CORRELATION = 0.4  # of u* and temperature within a class, below which it is used
AHEAD = 10  # classes of u* that make the plateau
GRAMS = 12.011e-6  # g of carbon in a µmol


def night(shortwave, *, limit=10.0):
    """Whether it is night, by incoming shortwave radiation.

    shortwave  (time,) [W m⁻²]
    limit      at most [W m⁻²]: 10 in Reichstein et al. (2005), 20 in Papale et al. (2006)
    returns    (time,) bool; False where the radiation is missing

    >>> night([0.0, 10.0, 15.0, np.nan]).tolist(), night([15.0], limit=20).tolist()
    ([True, True, False, False], [True])
    """
    return np.asarray(shortwave, float) <= limit


def mixed(ustar, threshold):
    """Whether the air is mixed well enough: u* at or above a threshold.

    ustar      (time,) friction velocity [m s⁻¹]
    threshold  one or (time,) [m s⁻¹], given or of ``ustar_threshold``
    returns    (time,) bool; False where u* is missing
    raises     InputError for a threshold below zero or a negative u*, e.g. a code of missing values

    >>> mixed([0.1, 0.3, np.nan], 0.3).tolist()
    [False, True, False]
    """
    ustar, threshold = np.asarray(ustar, float), np.asarray(threshold, float)
    for name, values in (("u*", ustar), ("threshold of u*", threshold)):
        if (values < 0).any():
            raise InputError(f"a {name} of {np.nanmin(values):g} m s-1 is below zero; mask codes of missing values")
    return ustar >= threshold


def filled(nee, *, decimals=2, most=0.1):
    """Whether a value has more decimals than its file otherwise has: made by a model, not measured.

    nee       (time,) [µmol m⁻² s⁻¹]
    decimals  of measured values
    most      share of such values above which the file simply has more decimals, and none is told [-]
    returns   (time,) bool

    >>> filled([1.25, -0.5, 3.0, 1.234, np.nan], most=0.5).tolist(), filled([1.25, 1.234]).tolist()
    ([False, False, False, True, False], [False, False])
    """
    values = np.asarray(nee, float) * 10.0**decimals
    odd = np.abs(values - np.round(values)) > 0.05
    return odd & (odd.sum() <= most * np.isfinite(values).sum())


# ---- threshold of u*

@dataclass(frozen=True)
class Threshold:
    """A threshold of u* with what it was found from.

    value      largest of the seasons [m s⁻¹]; interval: of the bootstrap
    table      DataFrame: season (its first month), temperature class, mean temperature, n, correlation of u* and
               temperature, threshold (NaN if none), fate ("used" or why not)
    retrieved  share of the classes with a threshold [-]; found: share of the draws with a value [-]
    drawn      (draw,) [m s⁻¹]
    """

    value: float
    interval: tuple
    table: pd.DataFrame
    retrieved: float
    found: float
    drawn: np.ndarray


def ustar_threshold(time, nee, ustar, temperature, night, *, share=0.95, temperature_classes=6, ustar_classes=20,
                    draws=100, level=0.9, seed=0):
    """The u* from which on the net exchange of the night no longer depends on it (moving-point test).

    Nights of three months (January to March, …) are put into classes of temperature with equal numbers; a class counts
    where u* and temperature are correlated by less than 0.4. Its values are put into classes of u* with equal numbers.
    The threshold is the mean u* of the first class with

        mean NEE ≥ share · mean NEE of the 10 classes above it,   and the same for the class after it

    A season has the median of its temperature classes; the site has the largest of its seasons. The bootstrap draws
    whole nights within each season.

    time                 (time,) datetime64, UTC
    nee                  (time,) [µmol m⁻² s⁻¹], not yet filtered by u*
    ustar                (time,) [m s⁻¹]
    temperature          (time,) of the air [°C]
    night                (time,) bool, see ``night``
    share                of the plateau that is enough [-]
    temperature_classes  how many
    ustar_classes        how many
    draws, level, seed   of the bootstrap
    returns              Threshold
    raises               InputError for arrays of different length, or where no class gives a threshold

    After Reichstein et al. (2005) and Papale et al. (2006), Biogeosciences 3:571, both from memory: seasons, classes,
    0.4, the ten classes above and 95 % (the second: 99 %) are theirs as remembered; the bootstrap of nights is ours,
    theirs draws single values. They asked for 0.1 m s⁻¹ at least in forests, which is left to the caller. Scatter keeps
    the test from being passed and the largest season is taken, so the estimate is too high rather than too low, the
    more the nearer the share is to 1. Of values that were filtered before, only a threshold above that of the filter
    can be found. The fluxes are as uncertain as the threshold: repeat what follows over ``Threshold.drawn``.
    """
    time, nee, t = series(time, nee, temperature)
    ustar, night = np.asarray(ustar, float), np.asarray(night)
    if ustar.shape != nee.shape or night.shape != nee.shape or night.dtype != bool:
        raise InputError(f"nee, ustar and night have the shapes {nee.shape}, {ustar.shape}, {night.shape}; give one "
                         "value for each time, night as True or False")
    if (ustar < 0).any():
        raise InputError(f"a u* of {np.nanmin(ustar):g} m s-1 is below zero; mask codes of missing values")
    rows = np.flatnonzero(night & np.isfinite(nee) & np.isfinite(ustar) & np.isfinite(t))
    season = (time[rows].astype("datetime64[M]").astype(int) % 12) // 3
    settings = share, temperature_classes, ustar_classes
    table = [line for k in range(4) for line in
             _season(k, nee[rows[season == k]], ustar[rows[season == k]], t[rows[season == k]], settings)]
    table = pd.DataFrame(table, columns=["season", "temperature_class", "temperature", "n", "correlation", "threshold",
                                         "fate"])
    if not table["threshold"].notna().any():
        why = "; ".join(f"{n} x {fate}" for fate, n in table["fate"].value_counts().items())
        raise InputError(f"no threshold of u* in {rows.size} values of the night ({why}); give one, e.g. 0.3 for a "
                         "forest")
    rng, drawn = np.random.default_rng(seed), np.full(int(draws), np.nan)
    blocks = [_members(_nights(time[rows[season == k]]), rows[season == k]) for k in range(4)]
    for k in range(drawn.size):
        lines = []
        for number, nights in enumerate(blocks):
            if not nights:
                continue
            pick = np.concatenate([nights[j] for j in rng.integers(len(nights), size=len(nights))])
            lines += _season(number, nee[pick], ustar[pick], t[pick], settings)
        drawn[k] = _largest([(line[0], line[5]) for line in lines])
    ok, bounds = np.isfinite(drawn), (np.nan, np.nan)
    if ok.mean() >= 0.5:
        bounds = tuple(float(q) for q in np.quantile(drawn[ok], [(1 - level) / 2, (1 + level) / 2]))
    return Threshold(_largest(table[["season", "threshold"]].itertuples(index=False)), bounds, table,
                     float(table["threshold"].notna().mean()), float(ok.mean()), drawn)


def _season(number, nee, ustar, t, settings):
    """Lines of the table of ``Threshold`` for one season."""
    share, temperature_classes, ustar_classes = settings
    first = 3 * number + 1
    if nee.size < SEASON_ROWS:
        return [(first, -1, np.nan, nee.size, np.nan, np.nan, f"fewer than {SEASON_ROWS} values in the season")]
    lines = []
    for k, rows in enumerate(np.array_split(np.argsort(t, kind="stable"), temperature_classes)):
        x, y, warm = ustar[rows], nee[rows], t[rows]
        flat = x.std() == 0 or warm.std() == 0
        r, found, fate = np.nan if flat else float(np.corrcoef(x, warm)[0, 1]), np.nan, "used"
        if rows.size < max(CLASS_ROWS, 2 * ustar_classes):
            fate = "too few values in the class"
        elif flat or abs(r) >= CORRELATION:
            fate = "u* goes with temperature"
        else:
            found = _plateau(x, y, share, ustar_classes)
            fate = "used" if np.isfinite(found) else "no plateau"
        lines.append((first, k, float(warm.mean()), rows.size, r, found, fate))
    return lines


def _plateau(ustar, nee, share, classes):
    """The moving-point test of one class; NaN where it is never passed."""
    parts = np.array_split(np.argsort(ustar, kind="stable"), classes)
    x, y = (np.array([v[p].mean() for p in parts]) for v in (ustar, nee))
    above = np.array([y[k + 1: k + 1 + AHEAD].mean() for k in range(classes - 1)])
    passed = (y[:-1] >= share * above) & (above > 0)
    both = np.flatnonzero(passed[:-1] & passed[1:])
    return float(x[both[0]]) if both.size else np.nan


def _largest(pairs):
    """The largest of the medians of seasons."""
    seasons = {}
    for season, value in pairs:
        if np.isfinite(value):
            seasons.setdefault(season, []).append(value)
    return float(max((np.median(v) for v in seasons.values()), default=np.nan))


# ---- partition

@dataclass(frozen=True)
class Partition:
    """Respiration and uptake of a flux tower.

    series     Dataset (time): reco, gpp [µmol m⁻² s⁻¹] with reco_low, reco_high, gpp_low, gpp_high; r_ref
               [µmol m⁻² s⁻¹] of 10 °C
    e0         temperature sensitivity of the site [K]; interval: of the bootstrap
    r_ref      median of the refits [µmol m⁻² s⁻¹]; r_ref_interval: of the bootstrap
    windows    DataFrame of the fits of E₀: start, n, range [K], r_ref, e0, error (standard error of E₀), fate ("site"
               for those that made the site's, "good", or why not)
    refits     DataFrame of R_ref: time, n, r_ref
    retrieved  shares [-]: windows (good of all), refits (with a value, of all), reco and gpp (of all times), draws
    longest    days between two refits at most; across them R_ref is a straight line
    drawn      {"e0": (draw,), "reco": (draw, time) float32}
    level      of the intervals [-]
    """

    series: xr.Dataset
    e0: float
    interval: tuple
    r_ref: float
    r_ref_interval: tuple
    windows: pd.DataFrame
    refits: pd.DataFrame
    retrieved: dict
    longest: float
    drawn: dict = field(repr=False)
    level: float

    def yearly(self, *, least=0.9):
        """Respiration of calendar years: its mean rate times the length of the year.

        least    share of the year that is to have a respiration [-]
        returns  DataFrame by year: reco, low, high [g C m⁻² a⁻¹], share; NaN below ``least``, the share tells why

        Uptake is not summed: it is missing wherever NEE is, by day more often than not, and needs a filling of gaps.
        Times are taken for the ends of intervals, so midnight of 1 January is of the year before.
        """
        time, rate = self.series["time"].values, self.series["reco"].values
        step = np.median(np.diff(time))
        year, rows = (time - step // 2).astype("datetime64[Y]"), {}
        for one in np.unique(year):
            length = (one + 1).astype("datetime64[ns]") - one.astype("datetime64[ns]")
            here = np.flatnonzero((year == one) & np.isfinite(rate))
            share = min(float(here.size * step / length), 1.0)
            sums = np.full(3, np.nan)
            if share >= least:
                drawn = self.drawn["reco"][:, here].mean(1, dtype=float)
                tail = [(1 - self.level) / 2, (1 + self.level) / 2]
                sums = np.r_[rate[here].mean(), np.nanquantile(drawn, tail)] * (length / np.timedelta64(1, "s")) * GRAMS
            rows[int(str(one))] = (*sums, share)
        return pd.DataFrame.from_dict(rows, orient="index", columns=["reco", "low", "high", "share"])


def partition(time, nee, temperature, usable, *, window=WINDOW, step=STEP, refit=REFIT, limits=LIMITS, near=6,
              draws=100, level=0.95, seed=0):
    """Respiration of the ecosystem from its nights, and uptake as what is left by day (Reichstein et al. 2005).

    R_eco(t) = R_ref(t) · exp[E₀ (1/(T_ref − T₀) − 1/(T(t) − T₀))],   GPP = R_eco − NEE

    1. Windows of 14 days, every 5: R_ref and E₀ by least squares where there are more than 6 values over 5 K or more,
       after values with 0.6745 |NEE − median| / MAD > 4.5 are left out.
    2. Of the windows with 0 < E₀ < 450 K and a standard error below half of E₀, the three of the least error are
       averaged: the E₀ of the site.
    3. R_ref is fitted again every 4 days with that E₀, by least squares from 4 values on, stands at the mean time of
       its values, is 0 at least, and in between a straight line; beyond the first and last it stays.

    time           (time,) datetime64 in order, UTC
    nee            (time,) [µmol m⁻² s⁻¹], NaN where missing
    temperature    (time,) of air or soil [°C]; E₀ belongs to it
    usable         (time,) bool: what R_ref and E₀ are fitted to, e.g. ``night(...) & mixed(...)`` and quality flags
    window, step   of the fits of E₀ [days]
    refit          of R_ref [days]
    limits         of E₀ of a window [K]; public code takes 30 in place of 0
    near           days from which a night of the bootstrap may come [days]
    draws, level, seed   of the bootstrap
    returns        Partition
    raises         InputError for arrays of different length, times out of order, codes of missing values, kelvin, or
                   where no window or no refit has values

    Reichstein et al. (2005), Glob. Change Biol. 11:1424; the outlier rule of Papale et al. (2006), as public code of
    the method has it. That R_ref is fitted from 4 values on and is not negative follows that code, too.

    Intervals: a local block bootstrap (Paparoditis & Politis 2002; project default). Each night is replaced by one
    drawn from those within 6 days, with its temperatures and gaps, and all steps are repeated. They hold the scatter of
    nights; not what all nights share: storage and advection, the threshold of u*, or that R_eco of warm days is an
    extrapolation from cool nights. The mean of the three best-determined windows is not the best-determined mean: where
    E₀ differs through the year, it is that of a few weeks. Values that were filled with a model have little scatter,
    win the choice of windows and then give the sensitivity of that model: leave them out of ``usable``.
    """
    time, nee, t = series(time, nee, temperature)
    usable = np.asarray(usable)
    if usable.shape != nee.shape or usable.dtype != bool:
        raise InputError(f"usable is {usable.dtype} of shape {usable.shape}; give True or False for each of "
                         f"{nee.size} times")
    rows = np.flatnonzero(usable & np.isfinite(nee) & np.isfinite(t))
    if rows.size <= LEAST:
        raise InputError(f"{rows.size} of {nee.size} values are usable nights with NEE and temperature; look at the "
                         "limits of radiation and u*")
    begin = (time[rows[0]] - np.timedelta64(12, "h")).astype("datetime64[D]").astype("datetime64[ns]")
    begin += np.timedelta64(12, "h")  # windows run from noon to noon
    at = (time - begin) / np.timedelta64(1, "D")
    how = float(window), float(step), limits
    windows, e0 = _sensitivity(at[rows], t[rows], nee[rows], *how)
    if not np.isfinite(e0):
        why = "; ".join(f"{n} x {fate}" for fate, n in windows["fate"].value_counts().items())
        raise InputError(f"none of {len(windows)} windows gives a temperature sensitivity ({why}); give a longer or "
                         "less filtered series, or another temperature")
    refits, asked = _references(at[rows], t[rows], nee[rows], e0, refit)
    if not len(refits):
        raise InputError(f"none of {asked} periods of {refit} days has 4 usable values; give a longer refit")
    reco, r_ref = _respiration(at, t, refits, e0)

    rng, nights = np.random.default_rng(seed), _nights(time[rows])
    drawn_e0, drawn_ref = np.full((2, int(draws)), np.nan)
    drawn = np.full((int(draws), time.size), np.nan, np.float32)
    for k in range(int(draws)):
        pick, moved = _local(nights, near, rng)
        x = at[rows[pick]] + moved
        order = np.argsort(x, kind="stable")
        x, pick = x[order], rows[pick[order]]
        _, drawn_e0[k] = _sensitivity(x, t[pick], nee[pick], *how, table=False)
        if np.isfinite(drawn_e0[k]):
            again, _ = _references(x, t[pick], nee[pick], drawn_e0[k], refit)
            if len(again):
                drawn[k], drawn_ref[k] = _respiration(at, t, again, drawn_e0[k])[0], again["r_ref"].median()
    ok = np.isfinite(drawn_ref)
    tail = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(drawn[ok], tail, axis=0) if ok.mean() >= 0.5 else np.full((2, time.size), np.nan)
    e0s, refs = (tuple(float(q) for q in np.quantile(v[ok], tail)) if ok.mean() >= 0.5 else (np.nan, np.nan)
                 for v in (drawn_e0, drawn_ref))
    flux = {"units": "umol m-2 s-1"}
    made = {"reco": (reco, "respiration of the ecosystem"), "reco_low": (low, "lower bound of reco"),
            "reco_high": (high, "upper bound of reco"), "gpp": (reco - nee, "gross uptake"),
            "gpp_low": (low - nee, "lower bound of gpp"), "gpp_high": (high - nee, "upper bound of gpp"),
            "r_ref": (r_ref, "respiration at 10 degC")}
    dataset = xr.Dataset({name: ("time", np.asarray(v, float), flux | {"long_name": text})
                          for name, (v, text) in made.items()}, {"time": time})
    retrieved = {"windows": float(windows["fate"].isin(["good", "site"]).mean()), "refits": float(len(refits) / asked),
                 "reco": float(np.isfinite(reco).mean()), "gpp": float(np.isfinite(reco - nee).mean()),
                 "draws": float(ok.mean())}
    gaps = np.diff(refits["time"])
    windows, refits = (table.assign(**{column: begin + (table[column].to_numpy() * 86400e9).astype("timedelta64[ns]")})
                       for table, column in ((windows, "start"), (refits, "time")))
    return Partition(dataset, float(e0), e0s, float(refits["r_ref"].median()), refs, windows, refits, retrieved,
                     float(gaps.max(initial=0.0)), {"e0": drawn_e0, "reco": drawn}, float(level))


def series(time, nee, temperature):
    """Times, net exchange and temperature as arrays, or an error that says what is wrong with them."""
    time, nee, t = np.asarray(time, "datetime64[ns]"), np.asarray(nee, float), celsius(temperature)
    if time.ndim != 1 or time.size < 2 or not time.shape == nee.shape == t.shape:
        raise InputError(f"time, nee and temperature have the shapes {time.shape}, {nee.shape}, {t.shape}; give one "
                         "series of each, of the same length")
    if np.isnat(time).any() or (np.diff(time) <= np.timedelta64(0, "ns")).any():
        raise InputError("the times are not in order, or one is there twice or missing; sort them and drop repeats")
    wild = np.flatnonzero(np.abs(nee) > 500)
    if wild.size:
        raise InputError(f"a net exchange of {nee[wild[0]]:g} µmol m-2 s-1 at {str(time[wild[0]])[:16]}; mask codes of "
                         "missing values")
    return time, nee, t


def outliers(values, z=SPIKE):
    """Values with 0.6745 |v − median| / MAD > z, (n,) bool; none where the median absolute deviation is 0.

    >>> outliers(np.array([1.0, 2.0, 1.5, 1.2, 30.0])).tolist()
    [False, False, False, False, True]
    """
    away = np.abs(values - np.median(values))
    mad = np.median(away)
    return 0.6745 * away > z * mad if mad > 0 else np.zeros(len(values), bool)


def lloyd_taylor_fit(temperature, flux):
    """R_ref, E₀ and the standard error of E₀ by least squares; NaN where the search ends without a minimum.

    temperature  (n,) [°C]
    flux         (n,) [µmol m⁻² s⁻¹]
    returns      R_ref of 10 °C [µmol m⁻² s⁻¹], E₀ [K], its standard error [K]
    """
    h = 1 / (10.0 - T_LLOYD) - 1 / (temperature - T_LLOYD)

    def away(p):
        return p[0] * np.exp(np.clip(p[1] * h, -50, 50)) - flux

    def slope(p):
        g = np.exp(np.clip(p[1] * h, -50, 50))
        return np.stack([g, p[0] * g * h], 1)

    best, inverse, about, _, status = leastsq(away, [max(flux.mean(), 0.01), 200.0], Dfun=slope, full_output=True,
                                              maxfev=200)
    if status not in (1, 2, 3, 4) or inverse is None:
        return np.nan, np.nan, np.nan
    return best[0], best[1], np.sqrt(inverse[1, 1] * (about["fvec"] ** 2).sum() / (flux.size - 2))


def _sensitivity(at, t, nee, window, step, limits, table=True):
    """Windows and their E₀. at (n,) days in order → DataFrame (None without table), E₀ of the site or NaN."""
    lines = []
    for start in np.arange(0, np.ceil(at[-1]), step):
        some = slice(*np.searchsorted(at, [start, start + window]))
        x, y = t[some], nee[some]
        line = [start, x.size, np.ptp(x) if x.size else 0.0, np.nan, np.nan, np.nan, "good"]
        lines.append(line)
        if x.size <= LEAST:
            line[6] = f"not more than {LEAST} values"
            continue
        kept = ~outliers(y)
        if line[2] < RANGE or kept.sum() <= LEAST:
            line[6] = f"range below {RANGE:g} K" if line[2] < RANGE else f"not more than {LEAST} values"
            continue
        line[1] = int(kept.sum())
        line[3:6] = lloyd_taylor_fit(x[kept], y[kept])
        if not np.isfinite(line[4]):
            line[6] = "no fit"
        elif not limits[0] < line[4] < limits[1]:
            line[6] = f"E0 outside {limits[0]:g}-{limits[1]:g} K"
        elif not line[5] < RELATIVE * line[4]:
            line[6] = "error of E0 too large"
    best = sorted((k for k, line in enumerate(lines) if line[6] == "good"), key=lambda k: lines[k][5])[:BEST]
    e0 = float(np.mean([lines[k][4] for k in best])) if best else np.nan
    if not table:
        return None, e0
    for k in best:
        lines[k][6] = "site"
    return pd.DataFrame(lines, columns=["start", "n", "range", "r_ref", "e0", "error", "fate"]), e0


def _references(at, t, nee, e0, refit):
    """R_ref of each period with 4 values: DataFrame time [days], n, r_ref; and how many periods there are."""
    period = np.floor(at / refit).astype(int)
    g = lloyd_taylor(t, e0=e0)
    n, gy, gg, when = (np.bincount(period, weights) for weights in (None, g * nee, g * g, at))
    there = n > 3
    made = {"time": when[there] / n[there], "n": n[there], "r_ref": np.maximum(gy[there] / gg[there], 0)}
    return pd.DataFrame(made), period[-1] + 1


def _respiration(at, t, refits, e0):
    """R_eco and R_ref at all times."""
    r_ref = np.interp(at, refits["time"], refits["r_ref"])
    return r_ref * lloyd_taylor(t, e0=e0), r_ref


def _nights(time):
    """Number of the night, from noon to noon."""
    return (time + np.timedelta64(12, "h")).astype("datetime64[D]").astype(int)


def _members(labels, rows):
    """Rows of each night, as a list."""
    return [rows[labels == one] for one in np.unique(labels)]


def _local(nights, near, rng):
    """A draw of the local block bootstrap: rows (places in ``nights``), and by how many days each is moved."""
    first, last = int(nights[0]), int(nights[-1])
    target = np.arange(first, last + 1)
    source = np.clip(target + rng.integers(-int(near), int(near) + 1, target.size), first, last)
    begin, end = np.searchsorted(nights, source), np.searchsorted(nights, source, side="right")
    size = end - begin
    inside = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    return np.repeat(begin, size) + inside, np.repeat(target - source, size).astype(float)
