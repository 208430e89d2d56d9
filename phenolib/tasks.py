"""What the training loop needs of the networks that date seasons: their batches, losses and validation, and the run."""

import copy
import hashlib

import numpy as np

from phenolib import splits, training
from phenolib.files import digest
from phenolib.samples import DAY

MODELS = {  # options of ``nets.deepcrop.DeepCroP``; the ablations are the study's
    "deepcrop": {},
    "optic": {"sensors": "optical"},
    "cnn": {"parts": "cnn"},
    "transformer": {"parts": "transformer"},
    "faithful": {"size": "faithful"},
}
DROPPED, SHIFTED, NOISE = 0.3, 10.0, 0.02  # of CropClock's training: share of acquisitions, days, SDs


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

    def moved(self, samples):
        """The same task, with its scales, on other samples: to date them, not to train."""
        other = copy.copy(self)
        other.samples = samples
        return other

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

    def content(self):
        """One hash of all that is learned from: windows, dates and places of the training and validation seasons."""
        rows = np.concatenate([self.split.train, self.split.validation])
        table = self.samples.table.iloc[rows]
        places = [self.samples.places[site] for site in sorted(set(table["site"]))]
        arrays = [part for p in places for part in (p.optical, p.times, p.sar, p.sar_times)]
        return digest(table.to_csv(index=False), self.samples.steps, self.samples.looks, self.samples.slide,
                      [hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in arrays])

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
    dropped  share of the acquisitions of each sensor that are left out of a season in training, at most [-]
    """

    def __init__(self, samples, split, *, sensors=("optical", "sar"), batch=16, dropped=DROPPED):
        splits.refuse_leakage(samples.table.iloc[split.train], samples.table.iloc[split.validation])
        self.samples, self.split, self.sensors, self.batch = samples, split, tuple(sensors), batch
        self.dropped = dropped
        self.known = samples.series()
        self.scales = {s: splits.Scaler.fit(getattr(self.known, s)[split.train], self.there(s)[split.train])
                       for s in self.sensors}

    def moved(self, samples):
        """The same task, with its scales, on other samples: to date them, not to train."""
        other = copy.copy(self)
        other.samples, other.known = samples, samples.series()
        return other

    def there(self, sensor):
        """Which acquisitions of a sensor there are, (n, m) bool."""
        return getattr(self.known, f"{sensor}_there")

    def content(self):
        """One hash of all that is learned from: acquisitions and dates of the training and validation seasons."""
        rows = np.concatenate([self.split.train, self.split.validation])
        names = [f"{s}{part}" for s in self.sensors for part in ("", "_days", "_there")]
        arrays = [getattr(self.known, name)[rows] for name in (*names, "middle", "true_day")]
        return digest(self.dropped, [hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in arrays])

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
        """Batches of the training seasons: acquisitions left out, all days moved by up to 10."""
        import torch

        count = self.split.train.size
        for pick in torch.randperm(count, generator=generator).tensor_split(-(-count // self.batch)):
            batch = self.tensors(self.split.train[pick])
            move = SHIFTED * (2 * torch.rand(len(pick), 1, generator=generator) - 1)
            batch["day"] = batch["day"] + move
            batch["middle"] = batch["middle"] - move[:, 0]
            for s in self.sensors:
                batch[f"{s}_days"] = batch[f"{s}_days"] + move
                kept = 1 - self.dropped * torch.rand(len(pick), 1, generator=generator)
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


def deepcrop(model):
    """A function that builds Deep-CroP or one of its ablations, named as in ``MODELS``."""
    from phenolib.nets.deepcrop import DeepCroP

    return lambda: DeepCroP(**MODELS[model])


def cropclock(sensors):
    """A function that builds CropClock for some sensors."""
    from phenolib.nets.cropclock import CropClock

    return lambda: CropClock(sensors)


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

    parameters = {"epochs": epochs, "lr": lr, "patience": patience, "batch": task.batch, "data": task.content(),
                  "train": task.split.train.tolist(), "validation": task.split.validation.tolist()}
    return training.fitted(name, build, task, train=fit, parameters=parameters, archive=archive, seed=seed,
                           uses=[type(task), splits])
