"""Soil carbon of a site from the way its moisture moves: is there more in it than in climate and texture?

Carbon is high where it is cold and wet, and clay holds it; so whatever moves with climate and texture tells of carbon,
also if it knows nothing of its own. What counts is the gain of moisture dynamics over both, at sites that were left
out. With some fifty sites that means ridge regression, and a test by permutation in place of a faith in R².

All of it is for the logarithm of organic carbon. An RMSE of 0.5 is a factor of e^0.5 = 1.6.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib import metrics
from phenolib.errors import InputError, near
from phenolib.moisture_events import FEATURES

CARBON = "soil_organic_carbon"
CLIMATE = ("mean_rain", "mean_temperature", "elevation",
           "latitude", "arid", "cold")  # the last three stand in where rain and temperature are not told
TEXTURE = ("sand", "clay")
TIMES = ("tau", "drain", "memory")  # dynamics that have no unit of moisture
SWING = (*TIMES, "gain", "rise", "amplitude", "range")  # and without its level
LOGGED = (*SWING, "mean_rain")  # go in as logarithms
COVER = "cover"  # stands for a column 0 or 1 of every land cover that is common enough
SETS = {"elevation": ("elevation",), "climate": CLIMATE, "texture": (*CLIMATE, *TEXTURE),
        "cover": (*CLIMATE, *TEXTURE, COVER), "times": TIMES, "swing": SWING, "dynamics": tuple(FEATURES),
        "climate_dynamics": (*CLIMATE, *FEATURES), "all": (*CLIMATE, *TEXTURE, *FEATURES)}
WORDS = {"mean": "mean of the others", "elevation": "elevation alone", "climate": "climate",
         "texture": "climate, texture", "cover": "climate, texture, cover", "times": "times",
         "swing": "times and sizes", "dynamics": "dynamics", "climate_dynamics": "climate, dynamics",
         "all": "climate, texture, dynamics"}
NAMES = ("mean", "climate", "texture", "climate_dynamics", "all", "dynamics")  # that are compared
ASKED = (("mean", "dynamics"), ("elevation", "dynamics"), ("climate", "dynamics"), ("texture", "times"),
         ("texture", "swing"), ("texture", "dynamics"), ("cover", "dynamics"))  # base, and what is added to it
PENALTIES = np.geomspace(0.1, 1000, 13)  # of ridge, for scaled columns


@dataclass(frozen=True)
class Rows:
    """Sites that can be told from: what is known of them and their carbon.

    values   DataFrame by site, scaled by no one yet; logarithms where ``LOGGED``
    target   (site,) ln of the organic carbon [g g⁻¹]
    groups   (site,) labels of regions
    remarks  what is missing, and how many sites are left out for it
    """

    values: pd.DataFrame
    target: np.ndarray
    groups: np.ndarray
    remarks: tuple

    def columns(self, name):
        """Columns of one of ``SETS`` that are there; InputError for an unknown set or where none is."""
        if name not in SETS:
            raise InputError(f"set '{name}' is not known{near(name, SETS)}")
        found = self._of(name)
        if not found:
            raise InputError(f"set '{name}': none of its columns is there ({', '.join(SETS[name])}); "
                             f"{'; '.join(self.remarks) or 'give another set'}")
        return found

    def has(self, name):
        """Whether a set has any column."""
        return bool(self._of(name))

    def _of(self, name):
        return [column for column in self.values
                if column in SETS[name] or (COVER in SETS[name] and column.startswith(f"{COVER} "))]

    def take(self, which):
        """The sites of a boolean or index array."""
        return Rows(self.values.iloc[which], self.target[which], self.groups[which], self.remarks)


def rows(sites, dynamics, *, least=0.8):
    """Sites and their moisture dynamics in one table.

    sites     DataFrame with site, soil_organic_carbon [g g⁻¹], and what there is of cluster, ``CLIMATE``, ``TEXTURE``,
              land_cover (classes of five sites or more, but not of all but five)
    dynamics  DataFrame of ``moisture_events.features``
    least     share of the sites that must have a column; others are left out, and told
    returns   Rows of the sites that have all columns that are left
    raises    InputError for a missing column, carbon that is no fraction, or fewer than 10 sites

    A feature that is always missing (gain without rain, a winter under frost) takes no site with it.
    """
    for name in ("site", CARBON):
        if name not in sites:
            raise InputError(f"the sites have no column '{name}'{near(name, sites.columns)}")
    own = sites.set_index("site")
    carbon = own[CARBON].astype(float)
    if (carbon > 1).any():
        raise InputError(f"site '{carbon.idxmax()}' has {CARBON} = {carbon.max():g}; g per g of soil is expected, "
                         "divide per cent by 100")
    names = [n for n in own.index[(carbon > 0).to_numpy()] if n in dynamics.index]
    if len(names) < 10:
        raise InputError(f"{len(names)} sites have both carbon above 0 and moisture; 10 or more are needed, compare "
                         "the names of the sites in both tables")
    parts = {c: own[c] for c in (*CLIMATE, *TEXTURE) if c in own} | {c: dynamics[c] for c in FEATURES if c in dynamics}
    table = pd.DataFrame({name: part.reindex(names).astype(float) for name, part in parts.items()})
    for name in LOGGED:
        if name in table:
            table[name] = np.log(table[name].where(table[name] > 0))
    if "land_cover" in own:
        cover = own["land_cover"].reindex(names).fillna("").astype(str)
        common = [c for c, count in cover.value_counts().sort_index().items() if c and 5 <= count <= len(names) - 5]
        table = table.assign(**{f"{COVER} {c}": (cover == c).astype(float) for c in common})
    known = table.notna().mean()
    flat = [name for name in table if table[name].nunique() < 2]
    kept = [name for name in table if known[name] >= least and name not in flat]
    lacking = [name for name in (*CLIMATE[:3], *TEXTURE, *FEATURES) if name not in kept]
    whole = table[kept].notna().all(axis=1).to_numpy()
    remarks = [f"not there: {', '.join(lacking)}"] if lacking else []
    if not whole.all():
        remarks.append(f"{(~whole).sum()} of {len(names)} sites lack one of the others and are left out")
    if whole.sum() < 10 or not kept:
        raise InputError(f"{whole.sum()} sites have all columns; 10 or more are needed ({'; '.join(remarks)})")
    groups = own["cluster"] if "cluster" in own else pd.Series(own.index, own.index)
    return Rows(table.loc[whole, kept], np.log(carbon.reindex(names).to_numpy())[whole],
                groups.reindex(names).astype(str).to_numpy()[whole], tuple(remarks))


# ---- prediction at sites left out

def predict(rows, name, *, hold="site", model="ridge", seed=0):
    """ln carbon of every site from the others: scaled, tuned and fitted without it.

    rows     Rows
    name     of ``SETS``, or "mean": the mean of the others
    hold     "site": one is left out at a time; "region": all of its group
    model    "ridge": penalty by leaving out one more (site or region) within the training sites; "gp": Gaussian
             process, a linear and a smooth part, hyperparameters by the likelihood of the training sites (scikit-learn)
    seed     of the Gaussian process, which starts once from its defaults
    returns  (site,)
    raises   InputError for an unknown set, model or hold, or a single region
    """
    groups = _held(rows, hold)
    if model not in ("ridge", "gp"):
        raise InputError(f"model '{model}' is not known{near(model, ('ridge', 'gp'))}")
    y, found = rows.target, np.full(rows.target.size, np.nan)
    X = np.zeros((y.size, 0)) if name == "mean" else rows.values[rows.columns(name)].to_numpy()
    for group in np.unique(groups):
        test = groups == group
        if name == "mean":
            found[test] = y[~test].mean()
            continue
        mean, sd = X[~test].mean(0), X[~test].std(0)
        scaled = (X - mean) / np.where(sd > 0, sd, 1)
        if model == "ridge":
            inner = np.unique(groups[~test], return_inverse=True)[1]
            penalty = PENALTIES[(_left_out(scaled[~test][None], y[~test], inner)[0]**2).sum(-1).argmin()]
            found[test] = _ridge(scaled[~test], y[~test], scaled[test], penalty)
        else:
            found[test] = _process(scaled[~test], y[~test], scaled[test], seed)
    return found


def scores(rows, found, *, against=None, groups=None, level=0.95, draws=500, seed=0):
    """R² and RMSE of predictions at sites left out, with intervals from draws of sites.

    R² = 1 − Σ(ŷ − y)² / Σ(y − ȳ)²: 0 or less is worth no more than the mean

    rows     Rows
    found    (site,) of ``predict``
    against  (site,) of another prediction: adds the gain in R² and the ratio of the RMSE, the draws paired
    groups   (site,) labels drawn as a whole; default each site alone
    returns  dict of r2, rmse (ln), and gain, ratio: each a dict value, interval, n, the arguments of ``report.record``
    """
    n = rows.target.size
    _, member = np.unique(np.arange(n) if groups is None else groups, return_inverse=True)
    size = member.max() + 1
    times = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), draws)[:, member]
    times = np.concatenate([np.ones((1, n)), times])
    made = _measures(rows.target, found, times)
    if against is not None:
        other = _measures(rows.target, against, times)
        made |= {"gain": made["r2"] - other["r2"], "ratio": made["rmse"] / other["rmse"]}
    return {name: {"value": float(v[0]), "interval": tuple(float(b) for b in metrics.percentiles(v[1:], level)),
                   "n": n} for name, v in made.items()}


def compare(rows, *, holds=("site", "region"), models=("ridge",), names=NAMES, level=0.95, draws=500, seed=0):
    """Every set of columns at sites, and at regions, left out.

    returns  DataFrame by hold, model and set: r2, r2_low, r2_high, rmse, rmse_low, rmse_high (ln), columns, sites; and
             dict {(hold, model, set): (site,) prediction}. A set without columns is not in it
    raises   InputError as ``predict``
    """
    table, found = {}, {}
    for hold in holds:
        for model in models:
            for name in names:
                if name in SETS and not rows.has(name):
                    continue
                said = found[hold, model, name] = predict(rows, name, hold=hold, model=model, seed=seed)
                row = {}
                for what, result in scores(rows, said, level=level, draws=draws, seed=seed).items():
                    row |= {what: result["value"], f"{what}_low": result["interval"][0],
                            f"{what}_high": result["interval"][1]}
                row |= {"columns": 0 if name == "mean" else len(rows.columns(name)), "sites": rows.target.size}
                table[hold, model, name] = row
    made = pd.DataFrame(table).T.rename_axis(["hold", "model", "set"])
    return made.astype({"columns": int, "sites": int}), found


def result(table, name, *, hold="site", model="ridge", what="r2"):
    """A score of ``compare`` as the arguments of ``report.record``: value, interval, n."""
    row = table.loc[(hold, model, name)]
    return {"value": float(row[what]), "interval": (float(row[f"{what}_low"]), float(row[f"{what}_high"])),
            "n": int(row["sites"])}


def links(rows, base="texture"):
    """Correlation of every column with ln carbon, and of what the base does not tell of both.

    base     of ``SETS``; its own columns have no partial correlation
    returns  DataFrame by column: r, partial (NaN for columns of the base)
    """
    y, own = rows.target - rows.target.mean(), rows.columns(base)
    one = np.column_stack([np.ones(y.size), _scaled(rows.values[own].to_numpy())])
    made = {}
    for name in [c for c in rows.values if not c.startswith(f"{COVER} ")]:
        x = _scaled(rows.values[[name]].to_numpy())[:, 0]
        rest = [v - one @ np.linalg.lstsq(one, v, rcond=None)[0] for v in (x, y)]
        made[name] = {"r": np.corrcoef(x, y)[0, 1], "partial": np.nan if name in own else np.corrcoef(*rest)[0, 1]}
    return pd.DataFrame(made).T


# ---- is it chance?

@dataclass(frozen=True)
class Gain:
    """What columns add to others, and how often as much comes of chance.

    value    gain in R², by leaving out (penalty as good as any for the whole, so a little too high)
    p        share of permutations with as much, (1 + number) / (1 + permutations)
    null     (permutation,) gains of permuted columns
    """

    value: float
    p: float
    null: np.ndarray


def permutation(rows, base="texture", added="dynamics", *, hold="site", within=True, permutations=500, seed=0):
    """Whether the added columns tell more than the base, by permuting what the base does not tell of them.

    The added columns are regressed on those of the base. Their residuals are permuted as whole rows between the sites
    of a region, put back on what the base tells, and ridge is fitted anew. So all that links the columns to climate and
    texture, and regions to one another, stays; only the link of their rest with carbon is cut.

    rows          Rows
    base, added   of ``SETS``; base "mean": nothing
    hold          "site" or "region", what is left out at a time
    within        permute within regions alone; False: over all sites
    permutations  how many
    returns       Gain
    raises        InputError for an unknown set or hold, or columns of the base alone

    Ridge in closed form: the errors of sites left out come from one decomposition (Allen 1974), the penalty is that
    with the least of them, for the true and the permuted columns alike. Kennedy (1995) for permuted residuals, here of
    the columns; p is right on average, not exactly for each table.
    """
    X, Z = _both(rows, base, added)
    groups = _held(rows, hold)
    labels = rows.groups if within else np.zeros(rows.target.size, int)
    order = _orders(labels, permutations, np.random.default_rng(seed))
    value, null = _gains(X, Z, rows.target, np.unique(groups, return_inverse=True)[1], order)
    return Gain(float(value), float((1 + (null >= value - 1e-12).sum()) / (1 + len(null))), null)


def questions(rows, asked=ASKED, **options):
    """The gains of several pairs of base and added columns, those that are there: {(base, added): Gain}.

    asked    pairs of ``SETS``; base "mean": nothing. Who asks seven questions finds p below 0.05 more often than once
             in twenty
    options  of ``permutation``
    """
    there = [(b, a) for b, a in asked if rows.has(a) and (b == "mean" or rows.has(b)) and (
        b != COVER or rows.columns(b) != rows.columns("texture"))]
    return {(base, added): permutation(rows, base, added, **options) for base, added in there}


def power(rows, base="texture", added="dynamics", *, sizes=(15, 20, 30, 40), repeats=100, permutations=99, alpha=0.05,
          within=True, seed=0):
    """How often the gain would be found with fewer sites, and how often a gain would be found that is not there.

    rows     Rows; each repeat draws some of its sites, without replacement
    sizes    numbers of sites; those above the number there is are left out
    repeats  draws of sites
    alpha    p below which a gain counts as found
    returns  DataFrame, a row per size: sites, power, power_low, power_high, false (the same after one permutation, so
             that nothing is there), false_low, false_high, gain (median). Intervals are those of a share of so many
             repeats (Jeffreys, 95 %)
    raises   InputError as ``permutation``

    Draws near the full number have most sites in common: their share tells of these sites, less of others like them.
    """
    from scipy.stats import beta

    X, Z = _both(rows, base, added)
    rng = np.random.default_rng(seed)
    made = []
    for size in sorted({int(s) for s in sizes if s <= rows.target.size}):
        found, false, gains = 0, 0, []
        for _ in range(repeats):
            some = rng.permutation(rows.target.size)[:size]
            labels = rows.groups[some] if within else np.zeros(size, int)
            order = _orders(labels, permutations, rng)
            x, z, y = X[some], Z[some], rows.target[some]
            value, null = _gains(x, z, y, np.arange(size), order)
            found += (1 + (null >= value - 1e-12).sum()) / (1 + permutations) <= alpha
            # the last permutation takes the place of the true columns
            false += (1 + (null[:-1] >= null[-1] - 1e-12).sum()) / permutations <= alpha
            gains.append(value)
        row = {"sites": size}
        for name, count in (("power", found), ("false", false)):
            low, high = beta.ppf([0.025, 0.975], count + 0.5, repeats - count + 0.5)
            row |= {name: count / repeats, f"{name}_low": low if count else 0.0,
                    f"{name}_high": high if count < repeats else 1.0}
        made.append(row | {"gain": float(np.median(gains))})
    return pd.DataFrame(made, columns=["sites", "power", "power_low", "power_high", "false", "false_low", "false_high",
                                       "gain"])


# ---- arithmetic

def _held(rows, hold):
    if hold not in ("site", "region"):
        raise InputError(f"hold '{hold}' is not known{near(hold, ('site', 'region'))}")
    if hold == "site":
        return np.arange(rows.target.size)
    if np.unique(rows.groups).size < 3:
        raise InputError(f"the sites lie in {np.unique(rows.groups).size} regions; leaving one out needs three")
    return rows.groups


def _both(rows, base, added):
    """Scaled columns of the base and of what is added to it, (site, column) each."""
    own = [] if base == "mean" else rows.columns(base)
    more = [c for c in rows.columns(added) if c not in own]
    if not more:
        raise InputError(f"set '{added}' adds no column to '{base}'")
    return tuple(_scaled(rows.values[c].to_numpy()) for c in (own, more))


def _scaled(X):
    sd = X.std(0)
    return (X - X.mean(0)) / np.where(sd > 0, sd, 1)


def _orders(labels, permutations, rng):
    """(permutation, site) indices, permuted within labels."""
    names, member = np.unique(labels, return_inverse=True)
    first = np.argsort(member, kind="stable")
    keys = rng.random((permutations, member.size)) + member  # sorted by label, at random within
    order = np.empty((permutations, member.size), int)
    order[:, first] = np.argsort(keys, 1)
    return order


def _gains(X, Z, y, groups, order):
    """Gain in R² of [X, Z] over X, and of X with permuted rests of Z: number, (permutation,)."""
    X, Z = _scaled(X), _scaled(Z)
    one = np.column_stack([np.ones(y.size), X])
    told = one @ np.linalg.lstsq(one, Z, rcond=None)[0]
    rest = Z - told
    every = np.concatenate([Z[None], told + rest[order]])  # (1 + permutation, site, column)
    every = np.concatenate([np.broadcast_to(X, (len(every), *X.shape)), every], 2)
    squares = (_left_out(every, y, groups)**2).sum(-1).min(-1)
    base = (_left_out(X[None], y, groups)**2).sum(-1).min(-1)[0] if X.shape[1] else _mean_out(y, groups)
    gains = (base - squares) / ((y - y.mean())**2).sum()
    return gains[0], gains[1:]


def _mean_out(y, groups):
    count = np.bincount(groups)
    return ((y - (y.sum() - np.bincount(groups, y)[groups]) / (y.size - count[groups]))**2).sum()


def _left_out(X, y, groups):
    """Errors at sites left out by group, for each penalty, in closed form: (table, site, column) → (table, penalty,
    site). e_g = (I − H_gg)⁻¹ (y − Hy)_g, H with an intercept that is not penalized. The scale is that of all sites."""
    X = X - X.mean(1, keepdims=True)
    values, vectors = np.linalg.eigh(X.swapaxes(1, 2) @ X)
    turned = X @ vectors  # (table, site, column)
    shrunk = 1 / (np.maximum(values, 0)[:, None, :] + PENALTIES[:, None])  # (table, penalty, column)
    fit = np.einsum("tsc,tpc,tc->tps", turned, shrunk, np.einsum("tsc,s->tc", turned, y - y.mean()), optimize=True)
    rest = (y - y.mean()) - fit
    n = y.size
    if np.unique(groups).size == n:
        return rest / (1 - (np.einsum("tsc,tpc->tps", turned**2, shrunk, optimize=True) + 1 / n))
    found = np.empty_like(rest)
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        part = turned[:, own]
        hat = np.einsum("tsc,tpc,tuc->tpsu", part, shrunk, part, optimize=True) + 1 / n
        found[..., own] = np.linalg.solve(np.eye(own.size) - hat, rest[..., own, None])[..., 0]
    return found


def _ridge(X, y, new, penalty):
    weights = np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ (y - y.mean()))
    return y.mean() + new @ weights


def _process(X, y, new, seed):
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

    kernel = (ConstantKernel(0.3, (1e-4, 10)) * DotProduct(1e-3, "fixed")
              + ConstantKernel(0.3, (1e-4, 10)) * RBF(3.0, (0.5, 30)) + WhiteKernel(0.5, (1e-2, 3)))
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    with warnings.catch_warnings():  # a part at the end of its bounds is a part that is not needed
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return model.predict(new)


def _measures(y, found, times):
    """R² and RMSE of draws: (draw, site) weights → (draw,) each."""
    total = times.sum(1)
    square = times @ (found - y)**2
    spread = times @ y**2 - (times @ y)**2 / total
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"r2": np.where(spread > 0, 1 - square / spread, np.nan), "rmse": np.sqrt(square / total)}
