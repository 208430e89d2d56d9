"""Networks that date the seasons of samples: what the training loop needs of each, and the dates they give."""

from dataclasses import dataclass

import numpy as np

from phenolib import conformal, samples, splits, training
from phenolib.errors import InputError
from phenolib.files import digest
from phenolib.samples import DAY, EVENTS

MODELS = {  # options of ``nets.deepcrop.DeepCroP``; the ablations are the study's
    "deepcrop": {},
    "optic": {"sensors": "optical"},
    "cnn": {"parts": "cnn"},
    "transformer": {"parts": "transformer"},
    "faithful": {"size": "faithful"},
}
DROPPED, SHIFTED, NOISE = 0.3, 10.0, 0.02  # of CropClock's training: share of acquisitions, days, SDs


@dataclass(frozen=True)
class Found:
    """Dates of all samples by a network that was trained on some of them.

    days       (n, 4) days since 1 January of the harvest year; NaN: not retrieved
    low, high  (n, 4) bounds of the interval, or None where the network gives none
    networks   list of ``training.Fitted``, one a member
    tasks      what each was trained by
    """

    days: np.ndarray
    low: np.ndarray
    high: np.ndarray
    networks: list
    tasks: list


class Patches:
    """The task of Deep-CroP and its ablations: windows of patches, moved labels, ``batches``, ``loss``, ``validate``.

    In each epoch each training season gives one window, at an offset drawn anew, so that the event is not always at
    one step. Values are scaled by mean and SD of the training windows. Validation is the loss of the validation
    seasons at the offsets −5, 0 and 5.

    samples  ``samples.Samples``
    split    ``splits.Split``
    batch    windows of a step, at most
    """

    def __init__(self, samples, split, *, batch=16):
        splits.refuse_leakage(samples.table.iloc[split.train], samples.table.iloc[split.validation])
        self.samples, self.split, self.batch = samples, split, batch
        windows = samples.windows(split.train)
        self.scales = {"optical": splits.Scaler.fit(windows.optical, windows.mask),
                       "sar": splits.Scaler.fit(windows.sar)}

    def tensors(self, rows, offsets=0):
        """Windows of some seasons, scaled, as tensors by the names of the network's arguments, and their ``target``."""
        import torch

        windows = self.samples.windows(rows, offsets)
        optical = self.scales["optical"].apply(windows.optical) * windows.mask[..., None, None, None]
        sar = self.scales["sar"].apply(windows.sar)
        return {"optical": torch.from_numpy(optical).float(), "sar": torch.from_numpy(sar).float(),
                "optical_days": torch.from_numpy(windows.optical_days), "sar_days": torch.from_numpy(windows.sar_days),
                "mask": torch.from_numpy(windows.mask), "target": torch.from_numpy(windows.target)}

    def batches(self, epoch, generator):
        """Batches of one window for each training season."""
        import torch

        count = self.split.train.size
        offsets = self.samples.offsets[torch.randint(self.samples.offsets.size, (count,), generator=generator).numpy()]
        for pick in torch.randperm(count, generator=generator).tensor_split(-(-count // self.batch)):
            yield self.tensors(self.split.train[pick], offsets[pick])

    @staticmethod
    def logits(model, batch):
        """What the network says of a batch, (batch, 4, 31)."""
        return model(**{name: values for name, values in batch.items() if name != "target"})

    def loss(self, model, batch):
        """The network's own loss of a batch."""
        return model.loss(self.logits(model, batch), batch["target"])

    def validate(self, model):
        """{"error": mean loss of the validation seasons}."""
        device = next(model.parameters()).device
        slide = self.samples.slide
        batches = (self.tensors(self.split.validation, offset) for offset in (-slide, 0, slide))
        return {"error": np.mean([float(self.loss(model, {k: v.to(device) for k, v in b.items()})) for b in batches])}

    def days(self, model):
        """Dates of all samples from the windows in the middle: (n, 4) days since 1 January of the harvest year.

        It is the expectation over the positions; NaN where "no event" has a probability above one half.
        """
        import torch

        rows = np.arange(len(self.samples))
        found = []
        for some in np.array_split(rows, -(-rows.size // 50)):
            batch = self.tensors(some)
            with torch.no_grad():
                found.append(model.dates(self.logits(model, batch), batch["optical_days"]).expected.numpy())
        start = self.samples.windows().start.astype("datetime64[ns]")
        return np.concatenate(found) + ((start - self.samples.newyear) / DAY)[:, None]


class Acquisitions:
    """The task of CropClock: acquisitions at their own dates, thinned, shifted and made noisier in each epoch anew.

    samples  ``samples.Samples``
    split    ``splits.Split``
    sensors  that the network reads
    batch    seasons of a step, at most
    """

    def __init__(self, samples, split, *, sensors=("optical", "sar"), batch=16):
        splits.refuse_leakage(samples.table.iloc[split.train], samples.table.iloc[split.validation])
        self.samples, self.split, self.sensors, self.batch = samples, split, tuple(sensors), batch
        self.known = samples.series()
        self.scales = {s: splits.Scaler.fit(getattr(self.known, s)[split.train], self.there(s)[split.train])
                       for s in self.sensors}

    def there(self, sensor):
        """Which acquisitions of a sensor there are, (n, m) bool."""
        return getattr(self.known, f"{sensor}_there")

    def tensors(self, rows, keep=None):
        """Series of some seasons, scaled, as tensors; ``day`` are the camera's dates.

        keep   {sensor: (n, m) bool} which of the acquisitions of all samples are kept; default all
        """
        import torch

        batch = {"day": torch.from_numpy(self.known.true_day[rows]).float(),
                 "middle": torch.from_numpy(self.known.middle[rows]).float()}
        for s in self.sensors:
            there = self.there(s)[rows] & (True if keep is None or s not in keep else keep[s][rows])
            batch[s] = torch.from_numpy(self.scales[s].apply(getattr(self.known, s)[rows])).float()
            batch[f"{s}_days"] = torch.from_numpy(getattr(self.known, f"{s}_days")[rows])
            batch[f"{s}_weights"] = torch.from_numpy(there).float()
        return batch

    def batches(self, epoch, generator):
        """Batches of the training seasons: up to 30 % of the acquisitions left out, all days moved by up to 10."""
        import torch

        count = self.split.train.size
        for pick in torch.randperm(count, generator=generator).tensor_split(-(-count // self.batch)):
            batch = self.tensors(self.split.train[pick])
            move = SHIFTED * (2 * torch.rand(len(pick), 1, generator=generator) - 1)
            batch["day"] = batch["day"] + move
            batch["middle"] = batch["middle"] - move[:, 0]
            for s in self.sensors:
                batch[f"{s}_days"] = batch[f"{s}_days"] + move
                kept = 1 - DROPPED * torch.rand(len(pick), 1, generator=generator)
                batch[f"{s}_weights"] *= torch.rand(batch[f"{s}_weights"].shape, generator=generator) < kept
                batch[s] = batch[s] + NOISE * torch.randn(batch[s].shape, generator=generator)
            yield batch

    def density(self, model, batch):
        """What the network says of a batch, (batch, 4, places) logarithms."""
        return model({s: (batch[f"{s}_days"], batch[s], batch[f"{s}_weights"]) for s in self.sensors}, batch["middle"])

    def loss(self, model, batch):
        """The network's own loss of a batch."""
        return model.loss(self.density(model, batch), batch["day"])

    def validate(self, model):
        """{"error": loss of the validation seasons}."""
        device = next(model.parameters()).device
        batch = {name: values.to(device) for name, values in self.tensors(self.split.validation).items()}
        return {"error": float(self.loss(model, batch))}

    def densities(self, model, rows=None, keep=None):
        """Densities of some samples, or of all: (n, 4, places), not their logarithms, on the CPU."""
        import torch

        rows = np.arange(len(self.samples)) if rows is None else rows
        with torch.no_grad():
            return self.density(model, self.tensors(rows, keep)).exp()


def train(task, build, *, name, epochs, lr, patience=None, seed=0, archive="", progress=True):
    """A network of a task, from the store or trained now.

    task      ``Patches`` or ``Acquisitions``
    build     function of no argument that returns the untrained network
    name      in the store
    epochs    at most so many
    lr        learning rate of the first epoch
    patience  epochs without a smaller error, after which it stops
    seed      of weights, order and offsets
    archive   content hash of the archive of the samples
    progress  as in ``training.train``
    returns   ``training.Fitted``
    """
    def fit(model, task, seed, checkpoint):
        return training.train(model, task.batches, loss=task.loss, validate=task.validate, epochs=epochs, lr=lr,
                              patience=patience, seed=seed, checkpoint=checkpoint, progress=progress)

    parameters = {"epochs": epochs, "lr": lr, "patience": patience, "batch": task.batch,
                  "steps": [task.samples.steps, task.samples.looks, task.samples.slide],
                  "train": task.split.train.tolist(), "validation": task.split.validation.tolist(),
                  "samples": digest(task.samples.table.to_csv(index=False))}
    return training.fitted(name, build, task, train=fit, parameters=parameters, archive=archive, seed=seed,
                           uses=[type(task), samples, splits])


def deepcrop(found, split, model="deepcrop", *, epochs=40, lr=1e-3, batch=16, seed=0, archive="", progress=True):
    """Dates of all samples by Deep-CroP or one of its ablations, trained on the training rows.

    found    ``samples.Samples``
    split    ``splits.Split``; its validation rows choose the epoch
    model    name in ``MODELS``
    others   as ``train``
    returns  Found
    raises   InputError for an unknown model
    """
    from phenolib.nets.deepcrop import DeepCroP

    if model not in MODELS:
        raise InputError(f"model '{model}': there are {', '.join(MODELS)}")
    task = Patches(found, split, batch=batch)
    network = train(task, lambda: DeepCroP(**MODELS[model]), name=f"deepcrop-{model}", epochs=epochs, lr=lr, seed=seed,
                    archive=archive, progress=progress)
    return Found(task.days(network.model), None, None, [network], [task])


def cropclock(found, split, *, sensors=("optical", "sar"), members=5, epochs=20, lr=2e-3, batch=16, level=0.9, seed=0,
              archive="", progress=True):
    """Dates and intervals of all samples by CropClock: an ensemble, each member stopped on clusters of its own.

    The clusters that are not tested are dealt to the members; each learns from all others, stops on its own, and says
    in the end where in its densities the dates of its own clusters lie. So each training cluster is calibrated on once,
    by a network that did not learn from it, and the intervals of the whole hold ``level`` on new clusters (conformal,
    on the ranks of the dates in the densities). That the same clusters also stopped the member makes them a little
    easier than new ones. The dates of all others are of the mean of the members' densities; those of the training rows
    are of the one member that did not learn from them.

    sensors  that are read
    members  of the ensemble, at least 2
    level    that the intervals are to hold [-]
    others   as ``deepcrop``
    returns  Found

    Chernozhukov et al. (2021) for conformal ranks; Lakshminarayanan et al. (2017) for ensembles.
    """
    import torch

    from phenolib.nets.cropclock import CropClock

    parts = inner(found, split, members, seed)
    tasks = [Acquisitions(found, part, sensors=sensors, batch=batch) for part in parts]
    fits = [train(task, lambda: CropClock(sensors), name="cropclock", epochs=epochs, lr=lr, seed=1000 * seed + k,
                  archive=archive, progress=progress) for k, task in enumerate(tasks)]
    density = whole(tasks, [fit.model for fit in fits])
    widen = calibrated(found, split, fits[0].model, density, tasks[0].known.true_day, level)
    dates = fits[0].model.dates(density.log(), level=level, widen=torch.as_tensor(widen))
    middle = (found.table["anchor"].to_numpy("datetime64[ns]") - found.newyear) / DAY
    days, low, high = (np.asarray(x) + middle[:, None] for x in dates)
    return Found(days, low, high, fits, tasks)


def inner(found, split, members, seed=0):
    """The clusters that are not tested, dealt to members: list of Split, each cluster in one validation part."""
    rows = np.concatenate([split.train, split.validation])
    cluster = found.table["cluster"].to_numpy()
    names = np.random.default_rng(seed).permutation(sorted(set(cluster[rows])))
    if not 2 <= members <= names.size:
        raise InputError(f"members = {members}: give 2 to {names.size}, for each stops on clusters of its own")
    own = [np.isin(cluster[rows], names[k::members]) for k in range(members)]
    return [splits.Split(np.sort(rows[~mine]), np.sort(rows[mine]), split.test) for mine in own]


def whole(tasks, models, keep=None):
    """Densities of all samples, (n, 4, places): of a validation row by its own member, of others by the mean of all."""
    import torch

    every = torch.stack([task.densities(model, keep=keep) for task, model in zip(tasks, models)])
    density = every.mean(0)
    for task, own in zip(tasks, every):
        density[task.split.validation] = own[task.split.validation]
    return density


def calibrated(found, split, model, density, true_day, level):
    """By how much in probability each side of the central interval is widened so that it holds ``level``; (4,)."""
    import torch

    rows = np.concatenate([split.train, split.validation])
    rank = model.probability(density[rows].cumsum(-1), torch.as_tensor(np.nan_to_num(true_day[rows])).float()).numpy()
    rank[np.isnan(true_day[rows])] = np.nan
    groups = found.table["cluster"].to_numpy()[rows]
    half = [conformal.quantile(rank[:, k] - 0.5, groups, level) for k in range(len(EVENTS))]
    return np.minimum(half, 0.5) - level / 2
