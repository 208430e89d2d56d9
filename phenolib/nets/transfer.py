"""A small convolutional network that corrects maps of soil moisture: learnt everywhere first, at stations afterwards.

The study (Zhang et al. 2025, IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens., pp. 17405–17421) names a CNN with
transfer learning from maps to stations. The public abstract tells no sizes: patch, widths, the residual form, the
variance and what is frozen are defaults of this project.
"""

import torch
from torch import nn

from phenolib.errors import InputError

LAYERS = "surface", "root_zone"
SIDE = 9  # pixels along a side of a patch
LEAST, MOST = -6.0, 3.0  # of the log of the variance


class Block(nn.Module):
    """x without its border + ReLU(3 × 3 convolution of x): no padding, so a patch and a map give the same numbers."""

    def __init__(self, width):
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3)

    def forward(self, x):
        """(n, width, h, w) → (n, width, h − 2, w − 2)."""
        return x[..., 1:-1, 1:-1] + torch.relu(self.convolution(x))


class Corrector(nn.Module):
    """Mean and log-variance of two layers of soil moisture at the middle of a patch, or at each pixel of a map.

        early   1 × 1 convolution, ReLU, ``blocks − 1`` blocks           learnt on the downscaled maps everywhere
        last    one block                                                learnt on maps, learnt on at stations
        head    1 × 1 convolution of these and of the inputs of the      begun anew at stations, at 0
                pixel itself to mean and log-variance

    Each block takes a border of one pixel away, so four of them read 9 × 9 pixels. Nothing is padded and nothing is
    normalised inside: what is said of a pixel depends on its patch alone.

    channels  of the inputs, scaled to mean 0 and SD 1 of the training part, 0 where they are missing
    width     of all layers between
    blocks    of 3 × 3 pixels; the patch has 2 · blocks + 1 pixels along a side
    dropout   share of the channels left out before the head in training [-]
    """

    def __init__(self, channels, *, width=24, blocks=4, dropout=0.1):
        super().__init__()
        if blocks < 2 or channels < 1:
            raise InputError(f"channels = {channels}, blocks = {blocks}; give one channel and two blocks or more")
        self.channels, self.side = channels, 2 * blocks + 1
        self.early = nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU(),
                                   *(Block(width) for _ in range(blocks - 1)))
        self.last = nn.Sequential(Block(width), nn.Dropout2d(dropout))
        self.head = nn.Conv2d(width + channels, 2 * len(LAYERS), 1)
        self.to(memory_format=torch.channels_last)  # faster on a CPU

    @property
    def margin(self):
        """Pixels that a map loses at each side."""
        return self.side // 2

    def encode(self, x):
        """What the early part makes of (n, channels, h, w), before the inputs: (n, width + channels, h − 6, …)."""
        if x.ndim != 4 or x.shape[1] != self.channels or min(x.shape[2:]) < self.side:
            raise InputError(f"inputs of the shape {tuple(x.shape)}; the network reads (n, {self.channels}, height, "
                             f"width) of {self.side} pixels a side or more")
        cut = self.margin - 1
        return torch.cat([self.early(x), x[..., cut:-cut, cut:-cut]], 1)

    def finish(self, encoded):
        """Mean and log-variance (n, layer, …) from what ``encode`` gave."""
        around, own = encoded.split([encoded.shape[1] - self.channels, self.channels], 1)
        x = torch.cat([self.last(around), own[..., 1:-1, 1:-1]], 1)                     # (n, width + channels, h, w)
        mean, spread = self.head(x).chunk(2, 1)                                         # (n, layer, h, w)
        return mean, spread.clamp(LEAST, MOST)

    def forward(self, x):
        """Mean and log-variance, each (n, layer, h − 8, w − 8), of inputs (n, channels, h, w) in scaled units."""
        return self.finish(self.encode(x))

    def freeze(self, frozen=True):
        """Take the early part out of the training, or put it back in; returns the network."""
        self.early.requires_grad_(not frozen)
        return self

    def restart(self):
        """Begin the head anew with mean 0 and variance 1 everywhere, as a residual begins; returns the network."""
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        return self


def likelihood(mean, spread, target):
    """Negative Gaussian log-likelihood, mean over what is known; 0.5 · ((y − μ)² e^{−s} + s) without its constant.

    mean, spread  (n, layer, …) mean and log-variance
    target        alike, NaN where a layer is not known
    """
    known = target.isfinite()
    away = torch.where(known, target - mean, 0.0)
    each = 0.5 * (away.square() * torch.exp(-spread) + spread)
    return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)
