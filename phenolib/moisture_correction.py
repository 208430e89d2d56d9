"""Correction of downscaled soil moisture towards stations: a network learnt on maps first, at stations afterwards.

Moisture is in m³ m⁻³, layers are those of ``moisture.LAYERS``, maps are (time, y, x). The network reads a patch of
9 × 9 pixels of ``CHANNELS``; it says by how much the downscaled moisture has to be changed, and how sure it is.
What it learns on maps lies in ``moisture_base``; splits, samples and simple corrections in ``moisture_samples``.
"""

import json
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from phenolib import conformal, training
from phenolib.errors import InputError
from phenolib.files import atomic, digest
from phenolib.moisture_base import RATE, Base, Scales, encoded, pieces, pretrain, said
from phenolib.moisture_samples import CHANNELS, FINE, LAYERS, simple

__all__ = ["Base", "Correction", "Found", "Scales", "compare", "correct_map", "finetune", "pretrain", "together",
           "transfer_start"]

SCRATCH = 3e-3  # learning rate of networks that see stations alone
LEVEL = 0.9  # of the intervals
NETWORKS = {"scratch": "network, stations alone", "transfer": "network, transfer",
            "whole": "network, transfer, all learnt on"}
PIXELS = 1 << 16  # of a piece of a map that is computed at once


# ---- learnt at stations

@dataclass(frozen=True)
class Correction:
    """Networks that correct the downscaled moisture, with their scales and the width of their intervals.

    networks  list of ``nets.transfer.Corrector`` that differ by their first weights and order
    scales    Scales
    sizes     of the networks
    half      (layer,) half-width of the intervals in SDs of the network; NaN before ``calibrated``
    level     of the intervals [-]
    history   of the first network
    stored    whether all came from the store
    seconds   that their training took
    """

    networks: list
    scales: Scales
    sizes: dict
    half: np.ndarray = field(default_factory=lambda: np.full(len(LAYERS), np.nan))
    level: float = LEVEL
    history: list = field(default_factory=list)
    stored: bool = False
    seconds: float = 0.0

    @property
    def overlap(self):
        """Pixels around a tile that its values depend on."""
        return self.networks[0].margin

    def at(self, samples):
        """Corrected moisture and SD of samples, each (n, layer) [m³ m⁻³]."""
        given = self.scales.patches(samples.patches)
        found = [said(network, given) for network in self.networks]
        mean, sd = training.combine([one[0] for one in found], [one[1] for one in found])
        return np.clip(samples.fine + self.scales.unit * mean, 0, 1), self.scales.unit * sd

    def __call__(self, fields):
        """Corrected maps of a block.

        fields   {channel: array (time, y, x), (y, x) or (time,)} of all ``CHANNELS`` but lst_known, e.g. as
                 ``moisture_samples.fields`` gives them; numpy or DataArray. NaN where they are missing
        returns  mean, low, high, each (layer, time, y, x) float32 [m³ m⁻³]; missing where the downscaled moisture is
        raises   InputError for a channel that is not there, or of another size

        Beyond the edge of a block nothing is known, as at sea: give tiles ``overlap`` pixels more at each side, and
        take them away afterwards.
        """
        import torch

        layers = [as_block(fields, name) for name in CHANNELS]
        fine = np.stack([np.asarray(layers[CHANNELS.index(name)], np.float32) for name in FINE])
        _, times, rows, columns = fine.shape
        edge = self.overlap
        mean, sd = np.empty_like(fine), np.empty_like(fine)
        step = max(1, PIXELS // (rows * columns))
        unit = self.scales.unit.astype(np.float32)
        still = {}
        for first in range(0, times, step):
            part = slice(first, min(first + step, times))
            some = np.zeros((part.stop - part.start, len(CHANNELS), rows + 2 * edge, columns + 2 * edge), np.float32)
            inside = some[:, :, edge:edge + rows, edge:edge + columns]
            for k, layer in enumerate(layers):
                if layer.shape[0] == 1:
                    still[k] = still[k] if k in still else self.scales.apply(k, layer)
                    inside[:, k] = still[k]
                else:
                    inside[:, k] = self.scales.apply(k, layer[part])
            with torch.inference_mode():
                given = torch.from_numpy(some).contiguous(memory_format=torch.channels_last)
                found = [network(given) for network in self.networks]
            means, spreads = (np.stack([one[k].numpy() for one in found]) for k in (0, 1))
            if len(found) > 1:
                middle, away = training.combine(means, np.exp(spreads / 2))
            else:
                middle, away = means[0], np.exp(spreads[0] / 2)
            mean[:, part] = np.moveaxis(middle, 1, 0) * unit[:, None, None, None]
            sd[:, part] = np.moveaxis(away, 1, 0) * unit[:, None, None, None]
        mean = np.clip(fine + mean, 0, 1)
        wide = sd * self.half.astype(np.float32)[:, None, None, None]
        return mean, np.clip(mean - wide, 0, 1), np.clip(mean + wide, 0, 1)

    def calibrated(self, away, sd, groups, level=LEVEL):
        """The same with intervals that hold new stations with the probability ``level``.

        away     (n, layer) found − observed at stations that were not trained on; NaN where one is missing
        sd       (n, layer) what the networks said
        groups   (n,) clusters of the stations
        level    [-]; K clusters reach K / (K + 1) at most, beyond which intervals have no end
        returns  Correction
        """
        half = [conformal.quantile(away[:, k] / sd[:, k], groups, level) for k in range(len(LAYERS))]
        return replace(self, half=np.array(half), level=float(level))

    def save(self, path):
        """Write weights, scales and widths as plain arrays (.npz); nothing in it is ever unpickled."""
        arrays = {f"{k}/{name}": value.numpy() for k, network in enumerate(self.networks)
                  for name, value in network.state_dict().items()}
        about = {"sizes": self.sizes, "channels": CHANNELS, "networks": len(self.networks), "level": self.level}
        with atomic(path) as part, open(part, "wb") as file:
            np.savez(file, mean=self.scales.mean, sd=self.scales.sd, half=self.half, about=json.dumps(about), **arrays)

    @classmethod
    def load(cls, path):
        """Read what ``save`` wrote.

        raises   InputError for a file that is none, or of other channels
        """
        import torch

        from phenolib.nets import transfer

        try:
            with np.load(path, allow_pickle=False) as file:
                kept = {name: file[name] for name in file.files}
            about = json.loads(str(kept["about"]))
        except (OSError, ValueError, KeyError) as problem:
            raise InputError(f"{path}: no saved correction ({type(problem).__name__}); give a file that "
                             "Correction.save wrote") from problem
        if tuple(about["channels"]) != CHANNELS:
            raise InputError(f"{path}: its network reads other channels than this version of the library; train anew")
        networks = []
        for k in range(about["networks"]):
            network = transfer.Corrector(len(CHANNELS), **about["sizes"])
            network.load_state_dict({name.split("/", 1)[1]: torch.from_numpy(value) for name, value in kept.items()
                                     if name.startswith(f"{k}/")})
            networks.append(network.eval())
        return cls(networks, Scales(kept["mean"], kept["sd"]), about["sizes"], kept["half"], about["level"])


def finetune(base, samples, split, *, frozen=True, from_scratch=False, epochs=50, batch=64, rate=None,
             patience=10, members=1, seed=0, archive="", progress=True):
    """The network of the maps, learnt on at stations: what to add to the downscaled moisture, and how sure it is.

    The head begins anew with 0, so before the first step the correction is none. The validation stations choose the
    epoch by their RMSE; those of the test are never read.

    base          Base of ``pretrain``
    samples       ``moisture_samples.Samples`` at stations
    split         ``splits.Split`` of their rows
    frozen        whether the early part stays as it was learnt on maps; if not, all weights are learnt on
    from_scratch  begin with weights of chance, all of them learnt: what transfer has to beat
    epochs        at most
    batch         samples of a step
    rate          learning rate; default a tenth of ``RATE``, or ``SCRATCH`` from scratch
    patience      epochs without a smaller error, after which it stops
    members       networks that differ by order and, from scratch, by first weights
    seed          of them
    archive       content hash of the archive of the samples
    returns       Correction without intervals: see ``calibrated``
    raises        InputError for no training or no validation sample with a value
    """
    from phenolib.nets import transfer

    unit = base.scales.unit
    residual = ((samples.target - samples.fine) / unit).astype(np.float32)
    known = np.isfinite(residual).any(1)
    rows = {"train": split.train[known[split.train]], "validation": split.validation[known[split.validation]]}
    for name, some in rows.items():
        if not some.size:
            raise InputError(f"no station sample for {name} has a value; give more stations or fewer folds")
    frozen = frozen and not from_scratch
    rate = rate or (SCRATCH if from_scratch else RATE / 10)
    given = {name: base.scales.patches(samples.patches[some]) for name, some in rows.items()}
    weights = base.network.state_dict()
    if frozen:  # what the frozen part says never changes, so it is computed once
        given = {name: encoded(base.network, values) for name, values in given.items()}
    data = {name: {"x": values, "y": residual[rows[name]]} for name, values in given.items()}

    def build():
        model = transfer.Corrector(len(CHANNELS), **base.sizes)
        if not from_scratch:
            model.load_state_dict(weights)
        return model.restart().freeze(frozen)

    def call(model, x):
        mean, spread = model.finish(x) if frozen else model(x)
        return mean[..., 0, 0], spread[..., 0, 0]

    def loss(model, one):
        return transfer.likelihood(*call(model, one["x"]), one["y"])

    def validate(model):
        found = training.predict(model, pieces(data["validation"]["x"]), lambda model, one: call(model, one["x"])[0])
        return {"error": float(np.sqrt(np.nanmean((found - data["validation"]["y"]) ** 2)))}

    def run(model, data, seed, checkpoint):
        return training.train(model, training.shuffled(data["train"], batch), loss=loss, validate=validate,
                              epochs=epochs, lr=rate, patience=patience, seed=seed, checkpoint=checkpoint,
                              progress=progress)

    parameters = {"base": base.key, "sizes": base.sizes, "epochs": epochs, "batch": batch, "rate": rate,
                  "patience": patience, "frozen": frozen, "from_scratch": from_scratch,
                  "rows": {name: digest(some.tolist()) for name, some in rows.items()},
                  "data": [float(np.nansum(v, dtype=float)) for one in data.values() for v in one.values()]}
    found = [training.fitted("moisture-correction", build, data, train=run, parameters=parameters, archive=archive,
                             seed=1000 * seed + k, uses=[Scales]) for k in range(members)]
    return Correction([one.model for one in found], base.scales, base.sizes, history=found[0].history,
                      stored=all(one.stored for one in found), seconds=sum(one.seconds for one in found))


def correct_map(correction, fields, like):
    """Corrected maps with their intervals.

    correction  Correction
    fields      of ``moisture_samples.fields``
    like        DataArray (time, y, x), whose coordinates the maps have
    returns     Dataset (time, y, x) float32 of surface, root_zone and <layer>_low, <layer>_high [m³ m⁻³]; attributes
                ``share`` (of the pixels and days with downscaled moisture that were corrected), ``level``
    """
    found = correction(fields)
    made = {}
    for which, values in zip(("", "_low", "_high"), found):
        for k, layer in enumerate(LAYERS):
            made[layer + which] = like.copy(data=values[k]).rename(layer + which).drop_attrs().assign_attrs(
                units="m3 m-3")
    asked = np.isfinite(np.asarray(fields[FINE[0]]))
    share = float(np.isfinite(found[0][0])[asked].mean()) if asked.any() else 0.0
    return xr.Dataset(made, attrs={"share": share, "level": correction.level})


def together(corrections):
    """Corrections of one Base as one, the mean of all their networks: for maps, with the stations of all folds.

    raises   InputError for corrections of different scales
    """
    first, *others = corrections = list(corrections)
    if any(not np.array_equal(one.scales.sd, first.scales.sd) for one in others):
        raise InputError("the corrections have different scales; put together those of one base")
    return replace(first, networks=[network for one in corrections for network in one.networks])


def transfer_start(base):
    """The Correction before any station was read: it adds nothing to the downscaled moisture."""
    from phenolib.nets import transfer

    model = transfer.Corrector(len(CHANNELS), **base.sizes)
    model.load_state_dict(base.network.state_dict())
    return Correction([model.restart().eval()], base.scales, base.sizes)


# ---- scores

@dataclass(frozen=True)
class Found:
    """What corrections say of samples that they were tested on.

    values   {kind: (n, layer)} moisture [m³ m⁻³]; missing where a sample was not tested
    sd       {kind: (n, layer)} of the networks [m³ m⁻³]
    fold     (n,) number of the fold that a sample was tested in; −1 for none
    models   {(kind, fold): Correction} of the networks
    """

    values: dict
    sd: dict
    fold: np.ndarray
    models: dict

    def intervals(self, samples, groups, kind="transfer", level=LEVEL):
        """Intervals of each fold, as wide as the errors at the stations of the other folds ask for.

        samples  Samples that were tested
        groups   (n,) clusters of the stations
        returns  low, high, each (n, layer) [m³ m⁻³]; without end where the other folds have too few clusters
        """
        away, half = self.values[kind] - samples.target, np.full(samples.target.shape, np.nan)
        groups = np.asarray(groups)
        for fold in np.unique(self.fold[self.fold >= 0]):
            own, others = self.fold == fold, (self.fold >= 0) & (self.fold != fold)
            others &= ~np.isin(groups, groups[own])
            for k in range(len(LAYERS)):
                if others.any():
                    half[own, k] = conformal.quantile((away / self.sd[kind])[others, k], groups[others], level)
                else:
                    half[own, k] = np.inf
        wide = half * self.sd[kind]
        return self.values[kind] - wide, self.values[kind] + wide


def compare(samples, folds, bases, kinds, *, seed=0, archive="", **options):
    """Each correction fitted and tested in each fold.

    samples  Samples at stations
    folds    list of ``splits.Split`` that test no sample twice
    bases    {year: Base} that saw nothing of a tested year, or one Base for all folds
    kinds    of ``moisture_samples.SIMPLE`` and ``NETWORKS``
    options  of ``finetune``
    returns  Found
    """
    values = {kind: np.full(samples.target.shape, np.nan, np.float32) for kind in kinds}
    sd = {kind: np.full(samples.target.shape, np.nan, np.float32) for kind in kinds if kind in NETWORKS}
    number, models = np.full(len(samples), -1), {}
    for fold, part in enumerate(folds):
        if (number[part.test] >= 0).any():
            raise InputError(f"fold {fold} tests samples that fold {number[part.test].max()} has tested; give folds "
                             "that test each sample once")
        number[part.test] = fold
        for kind, found in simple(samples, part, [kind for kind in kinds if kind not in NETWORKS], seed=seed).items():
            values[kind][part.test] = found
        base = bases[part.year] if isinstance(bases, dict) else bases
        for kind in sd:
            model = finetune(base, samples, part, frozen=kind == "transfer", from_scratch=kind == "scratch", seed=seed,
                             archive=archive, **options)
            values[kind][part.test], sd[kind][part.test] = model.at(samples[part.test])
            models[kind, fold] = model
    return Found(values, sd, number, models)


# ---- around the networks

def as_block(fields, name):
    """One channel as (time, y, x) or (1, y, x) float array: of the mask where the temperature is known, or as given."""
    if name == "lst_known":
        return np.isfinite(as_block(fields, "lst_day")).astype(np.float32)
    if name not in fields:
        raise InputError(f"the channel '{name}' is not among the fields; moisture_samples.fields gives all of them")
    values = fields[name]
    values = np.asarray(getattr(values, "values", values))
    times, rows, columns = np.shape(fields[FINE[0]])
    shape = {3: (times, rows, columns), 2: (1, rows, columns), 1: (times, 1, 1)}.get(values.ndim)
    values = {2: values[None], 1: values[:, None, None]}.get(values.ndim, values)
    if shape is None or values.shape != shape:
        raise InputError(f"the channel '{name}' has the shape {values.shape}; the downscaled moisture has "
                         f"{(times, rows, columns)}")
    return values
