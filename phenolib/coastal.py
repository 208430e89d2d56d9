"""Coastal soil samples with EC and six bands of Landsat: how far models of EC reach where they were not trained.

All models learn ln EC [µS/cm]. Neither the extract nor the depth of EC is told, so nothing here is a salt content and
nothing is comparable with other EC but by rank. Samples have no coordinates: what is near is told by the cell of the
grid they were taken in, by its strip across the coast, and by the area.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from phenolib import conformal, indices, metrics
from phenolib.errors import InputError, near
from phenolib.salinity import SALINITY, VEGETATION
from phenolib.sources.coastal_samples import BANDS, SENTINEL, dataset

PLANTS, SOIL = (tuple(n for n in names if set(indices.needs(n)) <= set(SENTINEL.values())) for names in
                (VEGETATION, SALINITY))  # those that need no red edge: 12 and 19
MODELS = ("mean", "place", "forest", "svr", "index network")
SPLITS = ("random", "cell", "strip", "area")  # from the easiest to the hardest
LIMITS = {"two": (1900.0,), "three": (1400.0, 3000.0)}  # classes of the data set's own work [µS/cm]
PUBLISHED = {"forest": 0.882, "neural network": 0.803, "logistic": 0.775}  # accuracy in two classes, see ``classify``
OWN = {"n": (100, 106), "ends": (29.3, 8242.0)}  # of that data set: samples, merged or not; lowest and highest EC
FAR = 5.0  # SDs beyond which an input of the network counts as so many
ROWS = 64  # of a scene that are mapped at once


# ---- what is read

def features(samples):
    """Bands and the indices that can be made of them.

    samples  DataFrame or Dataset with ``coastal_samples.BANDS`` [-]
    returns  DataFrame, a row a sample or pixel: 6 bands, 12 indices of plants, 19 of salinity
    """
    bands = dataset(samples)
    made = indices.indices(PLANTS + SOIL, bands)
    columns = {b: bands[SENTINEL[b]].values.ravel() for b in BANDS}
    return pd.DataFrame({**columns, **{name: made[name].values.ravel() for name in PLANTS + SOIL}})


def folds_of(samples, split, *, folds=10, seed=0):
    """Which samples are tested together.

    samples  DataFrame of ``coastal_samples.read``
    split    "random" rows, or a column whose groups stay whole: "cell", "strip" (cells across the coast), "area"
    folds    at most; groups are dealt to them at random, in even numbers of samples
    seed     of the deal
    returns  (n,) int
    raises   InputError for an unknown split, or a column with one value
    """
    from sklearn.model_selection import GroupKFold

    n = len(samples)
    if split == "random":
        return np.random.default_rng(seed).permutation(np.arange(n) % min(folds, n))
    if split not in SPLITS or split not in samples:
        raise InputError(f"split '{split}' is not among the samples{near(split, [s for s in SPLITS if s in samples])}")
    count = samples[split].nunique()
    if count < 2:
        raise InputError(f"all samples are of one {split}; it cannot be left out")
    found = np.empty(n, int)
    deal = GroupKFold(min(folds, count), shuffle=True, random_state=seed)
    for k, (_, test) in enumerate(deal.split(np.zeros(n), groups=samples[split])):
        found[test] = k
    return found


# ---- models

def fitted(name, samples, *, trees=500, members=2, epochs=60, seed=0):
    """A model of ln EC.

    name     "mean"; "place" (area and distance class from the sea, without any image); "forest"; "svr" (support vectors
             whose cost and width are chosen by cells); "index network" (``SoilNet`` of mode "index", a few members)
    samples  DataFrame of ``coastal_samples.read``
    trees    of the forest
    members, epochs   of the network
    returns  function of such samples (or, but for "place", a table of features) to (n,) ln EC
    raises   InputError for an unknown name
    """
    if name not in MODELS:
        raise InputError(f"model '{name}' is not known{near(name, MODELS)}")
    y = np.log(samples["ec"].to_numpy(float))
    if name == "mean":
        return lambda new: np.full(len(new), y.mean())
    if name == "place":
        return _place(samples, y)
    x = features(samples)
    if name == "index network":
        return _network(x, y, samples["cell"], members, epochs, seed)
    if name == "forest":
        from sklearn.ensemble import RandomForestRegressor

        model = RandomForestRegressor(trees, min_samples_leaf=3, max_features=1 / 3, random_state=seed, n_jobs=1)
        model.fit(x.to_numpy(), y)
    else:
        from sklearn.model_selection import GridSearchCV, GroupKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVR

        choice = {"svr__C": [0.3, 1.0, 3.0, 10.0], "svr__gamma": [0.003, 0.01, 0.03]}
        model = GridSearchCV(make_pipeline(StandardScaler(), SVR(epsilon=0.1)), choice, cv=GroupKFold(5),
                             scoring="neg_mean_absolute_error")
        model.fit(x.to_numpy(), y, groups=samples["cell"])

    def predict(new):
        return model.predict(_table(new).to_numpy())

    predict.model = model
    return predict


def _table(new):
    return new if set(PLANTS) <= set(new) else features(new)


def _place(samples, y):
    """Mean of the area plus a common slope with the distance class; an area that is not known gets the mean of all."""
    means = pd.Series(y).groupby(samples["area"].to_numpy()).mean()
    sea = samples["sea"].to_numpy(float)
    within = y - means[samples["area"]].to_numpy()
    middle = pd.Series(sea).groupby(samples["area"].to_numpy()).transform("mean").to_numpy()
    spread = ((sea - middle) ** 2).sum()
    slope = ((sea - middle) * within).sum() / spread if spread > 0 else 0.0

    def predict(new):
        base = new["area"].map(means).fillna(y.mean()).to_numpy(float)
        return base + slope * (new["sea"].to_numpy(float) - sea.mean())

    return predict


def _network(x, y, cells, members, epochs, seed):
    """The branch of indices of the network, scaled on the training rows; a fifth of their cells choose the epoch."""
    import torch
    import torch.nn.functional as F

    from phenolib import training
    from phenolib.nets.soilnet import SoilNet

    names = [*PLANTS, *SOIL]
    mean, sd, centre, spread = x[names].mean(), x[names].std(), y.mean(), y.std()

    def inputs(table):
        scaled = ((table[names] - mean) / sd).clip(-FAR, FAR).fillna(0.0)
        return {"indices": np.array(scaled, np.float32), "ndvi": np.array(table["NDVI"].fillna(0.0), np.float32)}

    def call(model, batch):
        return model(indices=batch["indices"], ndvi=batch["ndvi"])

    def run(model, seed):
        names_of = np.random.default_rng(seed).permutation(np.unique(cells))
        held = np.isin(cells, names_of[:max(1, len(names_of) // 5)])
        data = {**inputs(x[~held]), "target": ((y[~held] - centre) / spread).astype(np.float32)}
        known = [{k: torch.from_numpy(v) for k, v in inputs(x[held]).items()}]
        training.train(model, training.shuffled(data, 32), epochs=epochs, lr=4e-3, decay=0.05, seed=seed,
                       progress=False, loss=lambda m, b: F.huber_loss(call(m, b), b["target"]),
                       validate=lambda m: {"error": float(np.abs(training.predict(m, known, call) * spread + centre
                                                                 - y[held]).mean())})

    models = []
    for k in range(members):
        torch.manual_seed(1000 * seed + k)
        model = SoilNet(mode="index", width=16, dropout=0.2, vegetation=len(PLANTS), salinity=len(SOIL))
        run(model, 1000 * seed + k)
        models.append(model)

    def predict(new):
        batch = [{k: torch.from_numpy(v) for k, v in inputs(_table(new)).items()}]
        return spread * np.mean([training.predict(m, batch, call) for m in models], 0) + centre

    return predict


# ---- scores

def evaluate(samples, *, models=MODELS, groups=SPLITS, folds=10, level=0.95, draws=1000, seed=0, **options):
    """Errors of ln EC of samples that were not trained on, by how far away these were.

    RPIQ = (third − first quartile of ln EC) / RMSE,   R² = 1 − Σ(ŷ − y)² / Σ(y − ȳ)²

    samples  DataFrame of ``coastal_samples.read``; ``merged`` first, or pairs of one pixel stand on both sides of a
             random split
    models   of ``MODELS``
    groups   of ``SPLITS``
    folds    at most
    level    of the intervals, from draws of whole cells [-]
    options  of ``fitted``
    returns  DataFrame, a row a split and model: split, model, n, folds, rmse, mae (of ln EC), r2, r2_within (against
             the mean of each area: what is left when telling areas apart does not count), rpiq, two, three (share in
             the right class by ``LIMITS``), each with _low and _high; and the predictions: DataFrame with split, model,
             sample, fold, y, found
    raises   InputError as ``fitted`` and ``folds_of``

    R² of a model that knows nothing is a little below 0 here, for the mean is that of other samples. With few areas the
    interval, of cells, does not tell how another area would do.
    """
    y = np.log(samples["ec"].to_numpy(float))
    rows, said = [], []
    for split in groups:
        fold = folds_of(samples, split, folds=folds, seed=seed)
        for name in models:
            found = np.empty(len(samples))
            for k in np.unique(fold):
                model = fitted(name, samples[fold != k].reset_index(drop=True), seed=seed + int(k), **options)
                found[fold == k] = model(samples[fold == k].reset_index(drop=True))
            said.append(pd.DataFrame({"split": split, "model": name, "sample": samples["sample"], "fold": fold, "y": y,
                                      "found": found}))
            rows.append({"split": split, "model": name, "n": len(y), "folds": int(fold.max()) + 1,
                         **_scores(y, found, samples, level, draws, seed)})
    return pd.DataFrame(rows), pd.concat(said, ignore_index=True)


def _scores(y, found, samples, level, draws, seed):
    """Errors with their intervals."""
    _, area = np.unique(samples["area"].astype(str), return_inverse=True)

    def of(function):
        return lambda rows: function(y[rows.astype(int)], found[rows.astype(int)])

    def rmse(a, b):
        return np.sqrt(np.mean((b - a) ** 2))

    def same_class(edges):
        return lambda a, b: np.mean(np.digitize(a, np.log(edges)) == np.digitize(b, np.log(edges)))

    def within(rows):
        rows = rows.astype(int)
        a, own = y[rows], area[rows]
        mean = np.bincount(own, a, area.max() + 1) / np.maximum(np.bincount(own, minlength=area.max() + 1), 1)
        return 1 - np.sum((found[rows] - a) ** 2) / max(np.sum((a - mean[own]) ** 2), 1e-12)

    statistics = {
        "rmse": of(rmse), "mae": of(lambda a, b: np.abs(b - a).mean()),
        "r2": of(lambda a, b: 1 - np.mean((b - a) ** 2) / max(np.var(a), 1e-12)),
        "r2_within": within,
        "rpiq": of(lambda a, b: np.subtract(*np.percentile(a, [75, 25])) / max(rmse(a, b), 1e-12)),
        **{name: of(same_class(edges)) for name, edges in LIMITS.items()}}
    values, intervals = metrics.bootstrap(np.arange(len(y)), samples["cell"], statistics, level=level, draws=draws,
                                          seed=seed)
    return {k: v for name in values for k, v in ((name, values[name]), (f"{name}_low", intervals[name][0]),
                                                 (f"{name}_high", intervals[name][1]))}


def published(samples):
    """Accuracies of the data set's own work, see ``classify``: a dict by model; empty if these are other samples."""
    ends = samples["ec"].min(), samples["ec"].max()
    own = len(samples) in OWN["n"] and np.allclose(ends, OWN["ends"], rtol=1e-6)
    return dict(PUBLISHED) if own else {}


def classify(samples, *, groups=SPLITS, classes="two", repeats=20, folds=10, trees=300, level=0.95, seed=0):
    """Classes of EC by a random forest, as the data set's own work classified them, and where it was not trained.

    "random" is what that work did: samples drawn at random, four fifths to train and one fifth to test, many times
    over. Its table of results (outputs/smalldata_model_results_ECbin_all_80_20random.csv of the repository of the
    samples) gives the mean accuracy of 100 such draws in two classes: ``PUBLISHED``. No article with these numbers was
    found. Its three-class accuracies leave the saltiest class out of the count and are not comparable with any.

    samples  DataFrame of ``coastal_samples.read``
    groups   of ``SPLITS``
    classes  "two" (limit 1900 µS/cm) or "three" (1400 and 3000)
    repeats  draws of "random"; a quarter as many deals of the groups to folds, one where each group is a fold
    trees    of a forest; 15 leaves at most and 5 predictors tried, as there
    level    of the interval, from draws of whole cells [-]
    returns  DataFrame by split: accuracy with _low, _high (mean over repeats and samples), balanced (mean of the shares
             right in each class), kappa, largest (share of the largest class, which needs no image), published (NaN
             for other samples)
    raises   InputError for an unknown number of classes, samples of one class alone, and as ``folds_of``
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score
    from sklearn.model_selection import train_test_split

    if classes not in LIMITS:
        raise InputError(f"classes = '{classes}' is not known{near(classes, LIMITS)}")
    truth = np.digitize(samples["ec"], LIMITS[classes])
    if len(np.unique(truth)) < 2:
        raise InputError(f"all samples are of one class by the limits {LIMITS[classes]} uS/cm; give samples of two")
    x, rows, known = features(samples).to_numpy(), np.arange(len(samples)), published(samples)
    made = []
    for split in groups:
        right, times, pairs = np.zeros(len(rows)), np.zeros(len(rows)), []
        deals = repeats if split == "random" else 1 if samples[split].nunique() <= folds else -(-repeats // 4)
        for k in range(deals):
            if split == "random":
                parts = [train_test_split(rows, test_size=0.2, random_state=seed + k)]
            else:
                fold = folds_of(samples, split, folds=folds, seed=seed + k)
                parts = [(rows[fold != one], rows[fold == one]) for one in np.unique(fold)]
            for train, test in parts:
                model = RandomForestClassifier(trees, max_leaf_nodes=15, max_features=5, random_state=seed + k)
                found = model.fit(x[train], truth[train]).predict(x[test])
                right[test] += found == truth[test]
                times[test] += 1
                pairs.append(np.stack([truth[test], found]))
        a, b = np.concatenate(pairs, 1)
        share = np.divide(right, times, out=np.full(len(rows), np.nan), where=times > 0)
        mean, drawn = metrics.group_means(share, samples["cell"], seed=seed)
        low, high = metrics.percentiles(drawn, level)
        made.append({"split": split, "n": len(rows), "accuracy": float(mean), "accuracy_low": float(low),
                     "accuracy_high": float(high), "balanced": balanced_accuracy_score(a, b),
                     "kappa": cohen_kappa_score(a, b), "largest": np.bincount(truth).max() / len(truth),
                     "published": known.get("forest", np.nan) if (split, classes) == ("random", "two") else np.nan})
    return pd.DataFrame(made)


def recalibrated(y, found, groups, *, counts=(0, 3, 6, 12, 24), draws=200, level=0.9, seed=0):
    """What local samples mend of a model that was trained elsewhere.

    Every group is tested in turn; local samples are drawn from the other groups. Ways: "shift" adds their mean of
    y − ŷ; "line" is a + b·ŷ by least squares, from 3 samples on; "mean" is their mean of y, without any model. With no
    local sample "shift" is the model as it is.

    y, found  (n,) measured, and said by the model
    groups    (n,) labels, such as clusters of sites
    counts    of local samples; those that a group leaves too few for are left out
    draws     of samples for each count
    level     of the interval over draws [-]; it does not tell how another coast would do
    returns   DataFrame: count, way, rmse (mean over draws), low, high
    raises    InputError with a single group
    """
    y, found, groups = np.asarray(y, float), np.asarray(found, float), np.asarray(groups)
    names, rng, rows = np.unique(groups), np.random.default_rng(seed), []
    if names.size < 2:
        raise InputError("all samples are of one group; local samples must come from another than is tested")
    most = min((groups != name).sum() for name in names)
    for count in (c for c in counts if c <= most):
        errors = {"shift": [], **({"mean": []} if count else {}), **({"line": []} if count > 2 else {})}
        for _ in range(draws if count else 1):
            made = {way: np.empty(len(y)) for way in errors}
            for name in names:
                test = groups == name
                some = rng.choice(np.flatnonzero(~test), count, replace=False)
                made["shift"][test] = found[test] + (np.mean(y[some] - found[some]) if count else 0.0)
                if count:
                    made["mean"][test] = y[some].mean()
                if count > 2:
                    made["line"][test] = np.polyval(np.polyfit(found[some], y[some], 1), found[test])
            for way, own in made.items():
                errors[way].append(np.sqrt(np.mean((own - y) ** 2)))
        for way, own in errors.items():
            low, high = metrics.percentiles(np.array(own), level)
            rows.append({"count": count, "way": way, "rmse": np.mean(own), "low": low, "high": high})
    return pd.DataFrame(rows)


# ---- maps

@dataclass(frozen=True)
class Mapper:
    """A forest with what its interval and its area of applicability need.

    predict  function of features to ln EC
    half     half-width of the interval of ln EC
    level    of it [-]
    area     ``applicability.Area``, or another object with ``inside`` and ``index`` of (n, p) features
    names    of the features that ``area`` reads
    """

    predict: object
    half: float
    level: float
    area: object
    names: tuple


def mapper(samples, *, split="strip", level=0.9, area=None, trees=500, seed=0):
    """A forest of all samples, an interval from samples of groups that were left out, and where it may be used.

    The half-width is the conformal quantile, by cells, of the residuals of a cross-validation over whole groups. It
    holds for a new cell as far from the samples as the groups are from each other; not for another coast.

    samples  DataFrame of ``coastal_samples.read``
    split    of ``SPLITS`` but "random": the groups that are left out
    level    of the interval [-]
    area     of applicability; None: that of the bands, weighted by their share of the importance of the forest
    trees    of the forest
    returns  Mapper
    """
    from phenolib import applicability

    fold = folds_of(samples, split, folds=samples[split].nunique(), seed=seed)
    _, said = evaluate(samples, models=("forest",), groups=(split,), folds=int(fold.max()) + 1, draws=2, seed=seed,
                       trees=trees)
    half = conformal.quantile(said["found"] - said["y"], samples["cell"], level)
    predict = fitted("forest", samples, trees=trees, seed=seed)
    if area is None:
        area = applicability.fit(samples[list(BANDS)], weights=_band_weights(predict.model), folds=fold)
    return Mapper(predict, half, level, area, BANDS)


def _band_weights(model):
    """Importance of each band: its own, and an even part of that of every index made of it."""
    share = dict(zip([*BANDS, *PLANTS, *SOIL], model.feature_importances_))
    weight = {name: share[band] for band, name in SENTINEL.items()}
    for name in PLANTS + SOIL:
        for band in indices.needs(name):
            weight[band] += share[name] / len(indices.needs(name))
    return np.array([weight[SENTINEL[band]] for band in BANDS])


def map_scene(scene, mapper):
    """EC of every pixel of a scene, with its interval and whether the samples reach it.

    scene    Dataset (y, x) of ``coastal_samples.scene``
    mapper   Mapper
    returns  Dataset (y, x): ec, low, high [µS/cm], inside (bool), dissimilarity [-]; attrs: retrieved (share of pixels
             with reflectance), inside (share of these that lies in the area of applicability), level
    """
    made = {name: np.full(tuple(scene.sizes[d] for d in "yx"), np.nan, np.float32) for name in ("ec", "dissimilarity")}
    inside = np.zeros(made["ec"].shape, bool)
    scene = scene.transpose("y", "x")
    for start in range(0, scene.sizes["y"], ROWS):
        part = scene.isel(y=slice(start, start + ROWS))
        table = features(part)
        good = np.flatnonzero(np.isfinite(table[[*BANDS, *PLANTS]]).all(axis=1))
        if not good.size:
            continue
        at = np.unravel_index(good, (part.sizes["y"], part.sizes["x"]))
        at = at[0] + start, at[1]
        some = table.iloc[good]
        made["ec"][at] = mapper.predict(some.fillna(0.0))
        known = some[list(mapper.names)].to_numpy()
        made["dissimilarity"][at], inside[at] = mapper.area.index(known), mapper.area.inside(known)
    log = xr.DataArray(made["ec"], {d: scene[d] for d in "yx"}, ("y", "x"))
    about = {"units": "uS cm-1", "long_name": "EC of the extract of the samples, which is not told"}
    found = xr.Dataset({"ec": np.exp(log).assign_attrs(about), "low": np.exp(log - mapper.half).assign_attrs(about),
                        "high": np.exp(log + mapper.half).assign_attrs(about), "inside": log.copy(data=inside),
                        "dissimilarity": log.copy(data=made["dissimilarity"])})
    known = np.isfinite(made["ec"])
    found.attrs = {"retrieved": float(known.mean()), "level": mapper.level,
                   "inside": float(inside[known].mean()) if known.any() else float("nan")}
    return found.assign_coords(spatial_ref=scene["spatial_ref"]) if "spatial_ref" in scene.coords else found


def overlap(samples, scene):
    """Whether a scene looks like the samples, band by band.

    samples  DataFrame with ``coastal_samples.BANDS``
    scene    Dataset of them
    returns  DataFrame by band: sample_low, sample_high (smallest and largest), sample_median, scene_median, within
             (share of the pixels between the two ends); the row "all" has the share of pixels within all six ranges
    """
    rows, whole = [], True
    for band in BANDS:
        value = scene[band].values.ravel()
        known, own = np.isfinite(value), samples[band]
        within = (value >= own.min()) & (value <= own.max())
        whole = whole & within
        rows.append({"band": band, "sample_low": own.min(), "sample_median": own.median(), "sample_high": own.max(),
                     "scene_median": float(np.nanmedian(value)), "within": float(within[known].mean())})
    return pd.DataFrame([*rows, {"band": "all", "within": float(whole[known].mean())}]).set_index("band")
