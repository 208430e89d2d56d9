"""A network that learns soil moisture on maps, without a station: what a correction at stations starts from.

Moisture is in m³ m⁻³, layers are those of ``moisture.LAYERS``; the network reads patches of 9 × 9 pixels of
``moisture_samples.CHANNELS``.
"""

from dataclasses import dataclass

import numpy as np

from phenolib import training
from phenolib.errors import InputError
from phenolib.moisture_samples import CHANNELS, FINE, LAYERS

RATE = 1e-2  # learning rate on the maps; a tenth of it at stations
SIZES = {"width": 24, "blocks": 4, "dropout": 0.3}  # of the network
FAR = 5.0  # SDs beyond which an input counts as so many


# ---- scales

@dataclass(frozen=True)
class Scales:
    """Mean and SD of each channel, from training samples alone; what is missing is 0 after it.

    mean, sd   (channel,)
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def fit(cls, patches):
        """Scales of patches (n, channel, 9, 9); a channel that never changes, or is always missing, keeps SD 1."""
        count = np.isfinite(patches).sum((0, 2, 3))
        safe = np.maximum(count, 1)
        mean = np.nansum(patches, (0, 2, 3), dtype=float) / safe
        away = patches - mean[:, None, None].astype(np.float32)
        sd = np.sqrt(np.nansum(away**2, (0, 2, 3), dtype=float) / safe)
        known = CHANNELS.index("lst_known")
        mean[known], sd[known] = 0, 1
        return cls(mean, np.where(sd > 1e-9, sd, 1.0))

    @property
    def unit(self):
        """SD of the downscaled moisture of each layer, (layer,) [m³ m⁻³]: the unit of what the network says."""
        return self.sd[[CHANNELS.index(name) for name in FINE]]

    def apply(self, k, values):
        """Values of channel k in SDs from its mean, no farther than ``FAR``; float32, 0 where they are missing."""
        made = (np.asarray(values, np.float32) - np.float32(self.mean[k])) * np.float32(1 / self.sd[k])
        return np.nan_to_num(np.clip(made, -FAR, FAR, out=made), copy=False, nan=0.0)

    def patches(self, patches):
        """Patches (n, channel, 9, 9) scaled."""
        made = np.empty(patches.shape, np.float32)
        for k in range(patches.shape[1]):
            made[:, k] = self.apply(k, patches[:, k])
        return made


# ---- learnt on maps

@dataclass(frozen=True)
class Base:
    """A network that says the downscaled moisture of a place from what lies around it.

    network   ``nets.transfer.Corrector``
    scales    Scales of the samples it was trained on
    sizes     of the network
    r2        {layer: share of the variance of the downscaled moisture in cells not trained on, itself not shown}
    detail    the same of what the downscaled moisture has beyond the smooth coarse product
    history   of the training
    key       of the store
    stored    whether it came from there
    seconds   that its training took
    """

    network: object
    scales: Scales
    sizes: dict
    r2: dict
    detail: dict
    history: list
    key: str
    stored: bool
    seconds: float


def pretrain(everywhere, *, sizes=None, epochs=6, batch=128, rate=RATE, hidden=0.5, validation=0.2, seed=0, archive="",
             progress=True):
    """A network that reproduces the downscaled moisture everywhere, or the one of the store.

    The downscaled moisture is among its inputs, so that it can be corrected later; with a chance of ``hidden`` both
    layers are left out of a sample, and are then told from the drivers, ground, rain and the coarse product around.
    No station is read.

    everywhere  ``moisture_samples.Samples`` of pixels drawn from the maps: ``moisture_samples.everywhere``
    sizes       of the network, over ``SIZES``
    epochs      at most
    batch       samples of a step
    rate        learning rate
    hidden      chance that the downscaled moisture is left out [-]
    validation  share of the coarse cells that choose the epoch and give R² [-]
    seed        of weights, order and draw of the cells
    archive     content hash of the archive of the samples
    returns     Base
    """
    from phenolib.nets import transfer

    sizes = {**SIZES, **(sizes or {})}
    cells = everywhere.table["cell"].to_numpy()
    names = np.unique(cells)
    if names.size < 2:
        raise InputError(f"the samples lie in {names.size} coarse cell; give maps of two cells or more")
    chosen = np.random.default_rng(seed).permutation(names)[:max(1, round(validation * names.size))]
    held = np.isin(cells, chosen)
    scales = Scales.fit(everywhere.patches[~held])
    at = [CHANNELS.index(name) for name in FINE]
    target = ((everywhere.fine - scales.mean[at]) / scales.sd[at]).astype(np.float32)
    data = {"x": scales.patches(everywhere.patches[~held]), "y": target[~held]}
    unseen = scales.patches(everywhere.patches[held])
    unseen[:, at] = 0

    def build():
        return transfer.Corrector(len(CHANNELS), **sizes)

    def loss(model, given):
        mean, spread = model(given["x"])
        return transfer.likelihood(mean[..., 0, 0], spread[..., 0, 0], given["y"])

    def batches(epoch, generator):
        import torch

        for one in training.shuffled(data, batch)(epoch, generator):
            shown = torch.rand(len(one["x"]), generator=generator) >= hidden
            x = one["x"].clone()
            x[:, at] *= shown[:, None, None, None]
            yield {"x": x, "y": one["y"]}

    def validate(model):
        return {"error": float(np.sqrt(np.mean((said(model, unseen)[0] - target[held]) ** 2)))}

    def run(model, data, seed, checkpoint):
        return training.train(model, batches, loss=loss, validate=validate, epochs=epochs, lr=rate, seed=seed,
                              checkpoint=checkpoint, progress=progress)

    parameters = {"sizes": sizes, "epochs": epochs, "batch": batch, "rate": rate, "hidden": hidden,
                  "channels": CHANNELS, "held": sorted(map(str, chosen)), "data": _sum(everywhere)}
    made = training.fitted("moisture-base", build, data, train=run, parameters=parameters, archive=archive, seed=seed,
                           uses=[Scales])
    told = said(made.model, unseen)[0] * scales.sd[at] + scales.mean[at]
    fine, smooth = everywhere.fine[held], everywhere.smooth[held]
    r2 = {layer: _r2(told[:, k], fine[:, k]) for k, layer in enumerate(LAYERS)}
    detail = {layer: _r2((told - smooth)[:, k], (fine - smooth)[:, k]) for k, layer in enumerate(LAYERS)}
    return Base(made.model, scales, sizes, r2, detail, made.history, made.key, made.stored, made.seconds)


# ---- around the network

def encoded(network, patches, size=512):
    """What the early part makes of scaled patches (n, channel, 9, 9): (n, width + channel, 3, 3) float32."""
    return training.predict(network, pieces(patches, size), lambda model, one: model.encode(one["x"]))


def said(network, patches):
    """Mean and SD of scaled patches, each (n, layer), in units of the scales."""
    import torch

    found = training.predict(network, pieces(patches),
                             lambda model, one: torch.stack(model(one["x"]))[..., 0, 0].permute(1, 0, 2))
    return found[:, 0], np.exp(found[:, 1] / 2)


def pieces(values, size=512):
    import torch

    return [{"x": torch.from_numpy(np.ascontiguousarray(values[k:k + size]))} for k in range(0, len(values), size)]


def _r2(found, truth):
    return float(1 - np.mean((found - truth) ** 2) / np.var(truth))


def _sum(samples):
    return [float(np.nansum(v, dtype=float)) for v in (samples.patches, samples.fine)] + [len(samples.table)]
