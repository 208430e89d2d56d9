"""Models of soil salinity: the network of the study with what is left when parts of it go, trees, support vectors.

All learn y = ln(1 + S), since a few very salty samples would rule a squared error in g/kg; all are turned back into
grams by the same rule, ``in_grams``.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib import conformal, metrics, salinity, splits, training
from phenolib.errors import InputError
from phenolib.files import digest

NETWORKS = {"index": "Index", "spectral": "Spec-Index", "stack": "SS-Stack", "full": "SS-SoilNet",
            "dense": "SS-SoilNet, dense"}
TABULAR = {"mean": "mean", "kriging": "kriging", "forest": "RF", "svr": "SVR"}
NAMES = {**NETWORKS, **TABULAR}
FAR = 5.0  # SDs beyond which an input counts as so many
HUBER = 1.0  # of y, from which the loss grows linearly
SIZES = {"width": 64, "channels": 32, "heads": 4, "dropout": 0.1}  # of the networks


# ---- scales

@dataclass(frozen=True)
class Scales:
    """Scales of bands, indices and layers, fitted on training samples alone; ``apply`` puts missing values at 0."""

    bands: splits.Scaler
    indices: splits.Scaler
    layers: splits.Scaler

    @classmethod
    def fit(cls, samples, dense=False):
        """Scales of samples; indices are cut to their 1st and 99th percentile for it."""
        around = samples.patches if dense else samples.windows
        low, high = np.nanpercentile(samples.indices, [1, 99], axis=0)
        return cls(splits.Scaler.fit(samples.bands), splits.Scaler.fit(np.clip(samples.indices, low, high)),
                   splits.Scaler.fit(np.moveaxis(around, 1, -1)))

    def apply(self, bands, indices, layers):
        """Bands (…, 10), indices (…, 35) and layers (…, 9) scaled, float32; either may be None."""
        return tuple(None if x is None else scaled(getattr(self, name), x)
                     for name, x in (("bands", bands), ("indices", indices), ("layers", layers)))


def scaled(scaler, values):
    """Values (…, channel) in SDs from the mean, no farther than ``FAR``; 0 where they are missing."""
    with np.errstate(invalid="ignore"):
        found = np.clip(scaler.apply(np.asarray(values, np.float32)), -FAR, FAR)
    return np.nan_to_num(found, nan=0.0).astype(np.float32)


def inputs(samples, scales, dense=False):
    """What a network takes: dict of bands, indices, ndvi and window (n, 9, …) as float32 arrays."""
    around = samples.patches if dense else samples.windows
    bands, own, layers = scales.apply(samples.bands, samples.indices, np.moveaxis(around, 1, -1))
    return {"bands": bands, "indices": own, "ndvi": np.nan_to_num(samples.ndvi, nan=0.0).astype(np.float32),
            "window": np.ascontiguousarray(np.moveaxis(layers, -1, 1))}


# ---- networks

@dataclass(frozen=True)
class Network:
    """Trained networks of one kind with their scales.

    kind     of ``NETWORKS``
    members  list of torch.nn.Module
    scales   Scales
    history  of the first
    stored   whether all came from the store
    seconds  that their training took
    """

    kind: str
    members: list
    scales: Scales
    history: list
    stored: bool
    seconds: float

    @property
    def dense(self):
        """Whether it reads patches of cells in place of windows."""
        return self.kind == "dense"

    def each(self, samples, batch=128):
        """What each member says of samples, (member, n) of y."""
        data = inputs(samples, self.scales, self.dense)
        return np.stack([training.predict(model, _batches(data, batch), call) for model in self.members])

    def __call__(self, samples):
        """Mean of the members, (n,) of y."""
        return self.each(samples).mean(0)


def call(model, batch):
    """y of a batch, (n,)."""
    return model(batch["bands"], batch["indices"], batch["ndvi"], batch["window"])


def _batches(data, size):
    import torch

    count = len(data["ndvi"])
    return [{name: torch.from_numpy(np.ascontiguousarray(values[k:k + size])) for name, values in data.items()}
            for k in range(0, count, size)]


def network(kind, samples, split, *, sizes=None, epochs=30, batch=32, lr=1e-3, decay=0.01, jitter=0.0, members=1,
            seed=0, archive="", progress=True):
    """Networks of one kind, trained on the training samples of a split or taken from the store.

    Windows are turned and mirrored at random: none of the nine channels knows a direction. The validation samples
    choose the epoch; the test samples are never read.

    kind      of ``NETWORKS``
    samples   ``salinity.Samples``; for "dense" with patches
    split     ``splits.Split``
    sizes     of ``nets.soilnet``, over ``SIZES``
    epochs    at most
    decay     of weights
    jitter    SD of the noise on scaled bands and indices in training [-]
    members   networks that differ by their first weights and their order
    seed      of them
    archive   content hash of the archive of the samples
    returns   Network
    raises    InputError for an unknown kind, or "dense" without patches
    """
    from phenolib.nets import soilnet

    salinity.check(kind, NETWORKS)
    dense = kind == "dense"
    if dense and samples.patches is None:
        raise InputError("the dense form reads patches of cells; read the samples with reach=soilnet.DenseSoilNet()"
                         ".reach")
    sizes = {**SIZES, **(sizes or {})}
    scales = Scales.fit(samples[split.train], dense)
    data = {name: {**inputs(samples[rows], scales, dense), "target": samples[rows].target.astype(np.float32)}
            for name, rows in (("train", split.train), ("validation", split.validation))}

    def build():
        return soilnet.DenseSoilNet(**sizes) if dense else soilnet.SoilNet(mode=kind, **sizes)

    def loss(model, batch):
        import torch.nn.functional as F

        return F.huber_loss(call(model, batch), batch["target"], delta=HUBER)

    def validate(model):
        said = training.predict(model, _batches(data["validation"], 128), call)
        return {"error": float(np.abs(said - data["validation"]["target"]).mean())}

    def run(model, data, seed, checkpoint):
        return training.train(model, turned(data["train"], batch, jitter), loss=loss, validate=validate,
                              epochs=epochs, lr=lr, decay=decay, seed=seed, checkpoint=checkpoint, progress=progress)

    parameters = {"kind": kind, "sizes": sizes, "epochs": epochs, "batch": batch, "lr": lr, "decay": decay,
                  "jitter": jitter,
                  "train": samples.table["sample"].iloc[split.train].tolist(),
                  "validation": samples.table["sample"].iloc[split.validation].tolist(),
                  "data": digest([float(np.float64(v).sum()) for v in data["train"].values()])}
    found = [training.fitted("soilnet", build, data, train=run, parameters=parameters, archive=archive,
                             seed=1000 * seed + k, uses=[Scales, splits]) for k in range(members)]
    return Network(kind, [one.model for one in found], scales, found[0].history, all(one.stored for one in found),
                   sum(one.seconds for one in found))


def turned(data, size, jitter=0.0):
    """``training.shuffled`` with windows turned and mirrored, each batch in one of the eight ways, and noise on bands
    and indices."""
    import torch

    plain = training.shuffled(data, size)

    def batches(epoch, generator):
        for one in plain(epoch, generator):
            way = int(torch.randint(8, (1,), generator=generator))
            window = one["window"].rot90(way % 4, (2, 3))
            noisy = {name: one[name] + jitter * torch.randn(one[name].shape, generator=generator)
                     for name in ("bands", "indices") if jitter}
            yield {**one, **noisy, "window": window.flip(3) if way >= 4 else window}

    return batches


# ---- tables

@dataclass(frozen=True)
class Table:
    """A model of ``Samples.features``, or of places alone, with the values that stand for missing ones."""

    kind: str
    model: object
    fill: pd.Series | None

    def __call__(self, samples):
        """(n,) of y."""
        if self.kind == "mean":
            return np.full(len(samples), self.model)
        if self.kind == "kriging":
            return self.model(samples.table["x"].to_numpy(), samples.table["y"].to_numpy())
        return self.model.predict(samples.features.fillna(self.fill).to_numpy())


def tabular(kind, samples, split, *, trees=400, seed=0):
    """A model without a network: the mean, kriging of the samples, a random forest, or support vectors.

    kind     of ``TABULAR``
    samples  ``salinity.Samples``
    split    the training samples are fitted to; those of validation choose cost and tolerance of the support vectors
    trees    of the forest
    returns  Table
    """
    salinity.check(kind, TABULAR)
    own = samples[split.train]
    if kind == "mean":
        return Table(kind, float(own.target.mean()), None)
    if kind == "kriging":
        from phenolib import kriging

        x, y = own.table["x"].to_numpy(), own.table["y"].to_numpy()
        model = kriging.variogram(x, y, own.target)
        return Table(kind, lambda at_x, at_y: kriging.krige(x, y, own.target, at_x, at_y, model)[0], None)
    features, fill = own.features, own.features.median()
    values = features.fillna(fill).to_numpy()
    if kind == "forest":
        from sklearn.ensemble import RandomForestRegressor

        model = RandomForestRegressor(trees, min_samples_leaf=3, max_features=1 / 3, random_state=seed, n_jobs=1)
        return Table(kind, model.fit(values, own.target), fill)
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    known, best = samples[split.validation], None
    for cost in (0.3, 1.0, 3.0, 10.0):
        for gamma in (0.003, 0.01, 0.03):
            model = make_pipeline(StandardScaler(), SVR(C=cost, gamma=gamma, epsilon=0.1)).fit(values, own.target)
            error = np.abs(model.predict(known.features.fillna(fill).to_numpy()) - known.target).mean()
            best = min(best or (np.inf, None), (error, model), key=lambda pair: pair[0])
    return Table(kind, best[1], fill)


# ---- scores

def compare(samples, folds, kinds, *, archive="", seed=0, trees=400, progress=True, **options):
    """Each model trained and tested on each fold.

    samples  ``salinity.Samples``
    folds    list of ``splits.Split``
    kinds    of ``NAMES``
    options  of ``network``
    returns  DataFrame, a row a model and test sample: model, fold, row (of the samples), y, found (of y), salt, mapped
             (what was found in g/kg), factor; and {(model, fold): trained model}
    """
    rows, models = [], {}
    for fold, split in enumerate(folds):
        for kind in kinds:
            if kind in NETWORKS:
                model = network(kind, samples, split, archive=archive, seed=seed, progress=progress, **options)
            else:
                model = tabular(kind, samples, split, trees=trees, seed=seed)
            models[kind, fold] = model
            test, known = samples[split.test], samples[split.validation]
            rows.append(pd.DataFrame({"model": kind, "fold": fold, "row": split.test, "y": test.target,
                                      "found": model(test), "salt": test.table["salt"],
                                      "factor": salinity.smearing(known.target - model(known))}))
    return in_grams(pd.concat(rows, ignore_index=True)), models


def in_grams(found):
    """What models found in g/kg: by ``salinity.smearing`` of the residuals of the other folds, or of the validation
    samples where there is one fold alone; no more than was found in any other sample.

    found    DataFrame: model, fold, y, found, factor (of the validation samples)
    returns  it with mapped [g/kg]
    """
    made = found.assign(mapped=np.nan)
    for (kind, fold), own in found.groupby(["model", "fold"]):
        others = found[(found["model"] == kind) & (found["fold"] != fold)]
        factor = salinity.smearing(others["y"] - others["found"]) if len(others) else own["factor"].iloc[0]
        most = others["salt"].max() if len(others) else np.inf
        made.loc[own.index, "mapped"] = np.clip(factor * np.exp(own["found"]) - 1, 0, most)
    return made


def scores(found, blocks, *, level=0.95, draws=1000, seed=0):
    """Errors of each model with intervals from draws of whole blocks.

    found    DataFrame of ``compare``
    blocks   (sample,) labels, by the rows of the samples
    returns  DataFrame by model: n, and rmse, mae, bias [g/kg], r2, rpiq [-], log_rmse [-] with <name>_low, <name>_high

    RPIQ is the distance between the quartiles over the RMSE (Bellon-Maurel et al. 2010, Trends Anal. Chem. 29:1073).
    """
    rows = []
    for kind, own in found.groupby("model", sort=False):
        data = own[["salt", "mapped", "y", "found"]].to_numpy()
        labels = np.asarray(blocks)[own["row"]]
        value, drawn = _errors(data), [_errors(data[pick]) for pick in _draws(labels, draws, seed)]
        row = {"model": kind, "n": len(own), **value}
        if drawn:
            low, high = np.nanquantile(pd.DataFrame(drawn), [(1 - level) / 2, (1 + level) / 2], axis=0)
            row |= {f"{name}_low": a for name, a in zip(value, low)} | {f"{name}_high": b for name, b in
                                                                      zip(value, high)}
        rows.append(row)
    return pd.DataFrame(rows).set_index("model")


def _draws(labels, draws, seed):
    """Rows of draws of whole blocks with replacement; none with fewer than two blocks."""
    _, member = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    members, rng = [np.flatnonzero(member == k) for k in range(member.max() + 1)], np.random.default_rng(seed)
    for _ in range(draws if len(members) > 1 else 0):
        yield np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])


def _errors(data):
    """data (n, 4): salt, mapped, y, found"""
    salt, mapped, y, found = data.T
    error = mapped - salt
    rmse, spread = float(np.sqrt(np.mean(error**2))), float(np.var(salt))
    return {"rmse": rmse, "mae": float(np.abs(error).mean()), "bias": float(error.mean()),
            "r2": 1 - rmse**2 / spread if spread > 0 else np.nan,
            "rpiq": float(np.subtract(*np.percentile(salt, [75, 25]))) / rmse if rmse > 0 else np.nan,
            "log_rmse": float(np.sqrt(np.mean((found - y) ** 2)))}


def ratio(found, kind, others, blocks, *, name="rmse", level=0.95, draws=1000, seed=0):
    """An error of one model over the smallest of others, with the interval of draws of blocks that both share.

    returns  dict value, interval, n, and other, the model that was the best
    """
    wide = {k: own.set_index("row") for k, own in found[found["model"].isin([kind, *others])].groupby("model")}
    rows = wide[kind].index
    data = {k: own.loc[rows, ["salt", "mapped", "y", "found"]].to_numpy() for k, own in wide.items()}
    other = min(others, key=lambda k: _errors(data[k])[name])
    drawn = [_errors(data[kind][pick])[name] / _errors(data[other][pick])[name]
             for pick in _draws(np.asarray(blocks)[rows], draws, seed)]
    return {"value": _errors(data[kind])[name] / _errors(data[other])[name],
            "interval": tuple(np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])), "n": len(rows), "other": other}


def by_group(found, labels, *, least=5):
    """Errors by a label of the samples, such as class or land cover: DataFrame by (model, label) with n.

    labels   (sample,) by the rows of the samples
    least    samples of a label that is told of
    """
    own = found.assign(label=np.asarray(labels)[found["row"]])
    rows = [{"model": kind, "label": label, "n": len(part), **_errors(part[["salt", "mapped", "y", "found"]]
                                                                      .to_numpy())}
            for (kind, label), part in own.groupby(["model", "label"], sort=False) if len(part) >= least]
    return pd.DataFrame(rows).set_index(["model", "label"])


def intervals(found, blocks, *, level=0.9):
    """Intervals of each test sample by the residuals of the blocks of other folds, so that none is held by its own.

    found    rows of one model of ``compare``
    blocks   (sample,) labels
    returns  the rows with half (of the interval of y), low and high [g/kg], and held
    """
    own = found.reset_index(drop=True)
    labels = np.asarray(blocks)[own["row"]]
    half = np.full(len(own), np.inf)
    for fold in own["fold"].unique():
        test = (own["fold"] == fold).to_numpy()
        others = ~test & ~np.isin(labels, labels[test])
        if others.any():
            half[test] = conformal.quantile((own["found"] - own["y"])[others], labels[others], level)
    low, high = np.maximum(np.expm1(own["found"] - half), 0), np.expm1(own["found"] + half)
    return own.assign(half=half, low=low, high=high, held=(own["salt"] >= low) & (own["salt"] <= high))


def coverage(held, blocks, *, level=0.95, seed=0):
    """Share of intervals that hold, with its interval by blocks: the arguments of ``report.record``."""
    return metrics.estimate(np.asarray(held, float), blocks, np.mean, why="no interval", level=level, seed=seed)
