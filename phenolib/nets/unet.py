"""U-Net with a head for root traits: a mask of the roots and their length, density and branching, from one image.

The study (Cao et al. 2026) names a U-Net and a regression network; the widths 32 to 512 are of its kind. All else is
our choice: the image folded before the first level, normalisation by statistics that stand still, traits from the
bottleneck beside shares of the mask, and one loss for both.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from phenolib.errors import InputError

TRAITS = "length", "rld", "branching"
EXTENSIVE = 1.0, 0.0, 0.0  # the length of an image grows with its area
AREA = 512 * 384  # pixels of the area that the head counts in
VALUES = 2**26  # of the first level that a tile may hold
LEAST = 1e-5  # share of the image below which a mask is as good as empty


class UNet(nn.Module):
    """Logits of the mask, and log1p of the traits, of images with values from 0 to 255.

        level k:  two convolutions 3×3 with batch normalisation and ReLU, then the maximum of 2×2
        back up:  transposed convolution 2×2, beside what the level gave on the way down, two convolutions again
        traits:   log1p(t) = softplus(MLP(mean of the bottleneck, log share, log outline) + e · log(area))

    ``fold`` puts squares of pixels into channels before the first level and takes them out after the last: the network
    then works on fewer, richer pixels, and its mask has all pixels of the image. The outline is Σ|∇p|/2 per pixel: of a
    thin root it is the length. e is 1 for the length, which grows with the area of the image, else 0.

    In evaluation mode the statistics stand still, so that no number depends on pixels further than ``reach`` away:
    a whole image and its tiles give the same mask.

    channels  widths of the levels; (32, 64, 128, 256, 512) is the published kind
    bands     of the image
    traits    that the head gives, in the order of ``TRAITS`` (length, rld, branching, in whatever units are learned)
    fold      side of the squares of pixels that are put into channels, 1 for none
    hidden    width inside the head

    Beside its weights it keeps what training found out: ``mean`` and ``sd`` of the bands, which it scales by, the
    ``threshold`` of the probability, the ``scale`` that images are read at, and the ``pixel`` [mm] there.

    Ronneberger et al. (2015); Ioffe & Szegedy (2015).
    """

    def __init__(self, channels=(16, 32, 64, 128), bands=3, traits=3, *, fold=2, hidden=32):
        super().__init__()
        if len(channels) < 2 or min(channels) < 1:
            raise InputError(f"channels = {channels}; give the widths of two levels or more, e.g. (16, 32, 64, 128)")
        if not 1 <= traits <= len(TRAITS):
            raise InputError(f"traits = {traits}; give 1 to {len(TRAITS)}: {', '.join(TRAITS)}")
        if fold < 1:
            raise InputError(f"fold = {fold}; give the side of squares of pixels, 1 for none")
        self.fold = fold
        first = bands * fold**2
        self.down = nn.ModuleList(double(a, b) for a, b in zip((first, *channels), channels))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in zip(channels, channels[1:]))
        self.merge = nn.ModuleList(double(2 * a, a) for a in channels[:-1])
        self.last = nn.Conv2d(channels[0], fold**2, 1)
        nn.init.constant_(self.last.bias, -3.0)  # roots are a few per cent of the pixels
        self.head = nn.Sequential(nn.Linear(channels[-1] + 2, hidden), nn.ReLU(), nn.Linear(hidden, traits))
        for name, size in ("mean", bands), ("sd", bands):
            self.register_buffer(name, torch.full((size, 1, 1), 64.0))
        for name, value in ("threshold", 0.5), ("scale", 1.0), ("pixel", torch.nan):
            self.register_buffer(name, torch.tensor(value))
        self.register_buffer("extensive", torch.tensor(EXTENSIVE[:traits]), persistent=False)
        self.to(memory_format=torch.channels_last)  # half as fast again on a CPU

    @property
    def unit(self):
        """The sides of what ``forward`` takes are multiples of this [pixels]."""
        return self.fold * 2 ** len(self.up)

    @property
    def reach(self):
        """How far away a pixel can lie and change the mask here, rounded up to a multiple of ``unit`` [pixels]."""
        levels = len(self.up)
        radius = sum(4 * 2**k for k in range(levels)) + 2 * 2**levels + 2**levels
        return -(-radius * self.fold // self.unit) * self.unit

    def forward(self, x):
        """Logits (batch, rows, columns) and traits (batch, traits) of images (batch, bands, rows, columns).

        raises   InputError if rows or columns are no multiple of ``unit``; see ``whole``
        """
        logits, deep = self.maps(x)
        return logits, self.traits(logits, deep)

    def maps(self, x):
        """Logits (batch, rows, columns) and the bottleneck (batch, channels[-1], rows / unit, columns / unit)."""
        if x.shape[-1] % self.unit or x.shape[-2] % self.unit:
            raise InputError(f"an image of {x.shape[-2]} × {x.shape[-1]} pixels; its sides must be multiples of "
                             f"{self.unit}: use whole() or tiled(), which pad it")
        x = F.pixel_unshuffle((x - self.mean) / self.sd, self.fold)  # (batch, bands · fold², rows / fold, …)
        kept = []
        for level in self.down[:-1]:
            kept.append(level(x))                                    # (batch, channels[k], rows / fold / 2ᵏ, …)
            x = F.max_pool2d(kept[-1], 2)
        deep = x = self.down[-1](x)                                  # (batch, channels[-1], rows / unit, …)
        for up, merge, skip in zip(reversed(self.up), reversed(self.merge), reversed(kept)):
            x = merge(torch.cat([skip, up(x)], 1))                   # (batch, channels[k], rows / fold / 2ᵏ, …)
        return F.pixel_shuffle(self.last(x).float(), self.fold)[:, 0], deep.float()

    def traits(self, logits, deep):
        """log1p of the traits (batch, traits), from the logits of all pixels and the bottleneck."""
        p = logits.sigmoid()
        share = p.mean((1, 2))                                       # (batch,)
        x = torch.cat([deep.mean((2, 3)), torch.stack([share, outline(p)], 1).add(LEAST).log()], 1)
        area = math.log(logits.shape[-1] * logits.shape[-2] / AREA)
        return F.softplus(self.head(x) + area * self.extensive)

    @torch.no_grad()
    def whole(self, image):
        """Logits (rows, columns) and traits (traits,) of an image (bands, rows, columns) of any size, at once.

        Rows and columns are added at the end as copies of the last until the sides are multiples of ``unit``.
        """
        rows, columns = image.shape[1:]
        logits, deep = self.maps(padded(image, self.unit))
        logits = logits[:, :rows, :columns]
        return logits[0], self.traits(logits, deep)[0]

    @torch.no_grad()
    def tiled(self, image, tile=None, overlap=None):
        """The numbers of ``whole`` from tiles, so that an image of any size fits into memory.

        image    (bands, rows, columns)
        tile     side of what is kept of a tile, rounded up to a multiple of ``unit`` [pixels]; default as large as
                 fits into about 2 GB
        overlap  what a tile sees beyond that on each side, rounded up likewise; default ``reach`` [pixels]
        returns  logits (rows, columns), traits (traits,)
        raises   InputError for an overlap below ``reach``, with which seams would show
        """
        if overlap is not None and overlap < self.reach:
            raise InputError(f"overlap = {overlap} pixels; for this network seams are exact from {self.reach} on")
        unit, (rows, columns) = self.unit, image.shape[1:]
        tile = tile or math.isqrt(VALUES // self.last.in_channels) * self.fold
        tile, overlap = (-(-size // unit) * unit for size in (tile, overlap or self.reach))
        x = padded(image, unit)
        height, width = x.shape[2:]
        logits = x.new_empty(1, height, width)
        deep = x.new_empty(1, self.down[-1][0].out_channels, height // unit, width // unit)
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                low, first = max(top - overlap, 0), max(left - overlap, 0)
                some, below = self.maps(x[..., low:top + tile + overlap, first:left + tile + overlap])
                bottom, right = min(top + tile, height), min(left + tile, width)
                logits[:, top:bottom, left:right] = some[:, top - low:bottom - low, left - first:right - first]
                a, b, c, d = (v // unit for v in (top, bottom, left, right))
                deep[..., a:b, c:d] = below[..., a - low // unit:b - low // unit, c - first // unit:d - first // unit]
        logits = logits[:, :rows, :columns]
        return logits[0], self.traits(logits, deep)[0]


class Averaged(nn.Module):
    """A network in training beside the moving average of its weights and statistics, which is steadier.

        slow ← d · slow + (1 − d) · fast,  d = min(decay, (1 + n) / (10 + n)) at step n

    fast    the network that is trained
    decay   share of the average that stays at each step

    Polyak & Juditsky (1992).
    """

    def __init__(self, fast, decay=0.998):
        super().__init__()
        self.fast, self.slow, self.decay = fast, copy.deepcopy(fast).requires_grad_(False), decay
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x):
        """What the trained network says, after the average has followed it by one step."""
        with torch.no_grad():
            self.steps += 1
            kept = min(self.decay, (1 + int(self.steps)) / (10 + int(self.steps)))
            for slow, fast in zip(self.slow.state_dict().values(), self.fast.state_dict().values()):
                slow.lerp_(fast, 1 - kept) if slow.is_floating_point() else slow.copy_(fast)
        return self.fast(x)


def double(a, b):
    """Two convolutions 3×3 from a to b channels, normalised by running statistics in evaluation mode."""
    layers = []
    for first in (a, b):
        layers += [nn.Conv2d(first, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def padded(image, unit):
    """An image (bands, rows, columns) as (1, bands, …) with sides that are multiples of ``unit``."""
    rows, columns = image.shape[1:]
    return F.pad(image[None], (0, -columns % unit, 0, -rows % unit), mode="replicate")


def outline(p):
    """Half the length of the outline per pixel, (batch,), of probabilities (batch, rows, columns).

    >>> thin = torch.zeros(1, 40, 40)
    >>> thin[:, 5:35, 20] = 1
    >>> round(float(outline(thin)) * 1600)  # 30 pixels long and one wide, seen from both sides
    31
    """
    down, right = p.diff(dim=1)[:, :, :-1], p.diff(dim=2)[:, :-1]
    return (down**2 + right**2 + 1e-12).sqrt().sum((1, 2)) / 2 / (p.shape[1] * p.shape[2])


def loss(logits, traits, mask, known, *, weight=0.1, positive=1.0, smooth=1.0):
    """Cross-entropy and Dice of the mask, and Huber of the traits, in one.

        L = BCE + (1 − (2 Σ p m + s) / (Σ p + Σ m + s)) + α · Huber(log1p traits)

    logits    (batch, rows, columns)
    traits    (batch, traits), log1p of what the network says
    mask      (batch, rows, columns) of 0 and 1
    known     (batch, traits), traits themselves; NaN where unknown, which adds nothing
    weight    α
    positive  weight of root pixels in the cross-entropy
    smooth    s [pixels]; the sums are over the whole batch, so that a crop without a root costs no whole one
    returns   scalar

    Milletari et al. (2016) for Dice; Huber (1964) with δ = 1.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, mask, pos_weight=logits.new_tensor(positive))
    p = logits.sigmoid()
    dice = (2 * (p * mask).sum() + smooth) / (p.sum() + mask.sum() + smooth)
    there = known.isfinite()
    away = F.huber_loss(traits, known.nan_to_num().clamp(min=0).log1p(), reduction="none")
    return entropy + 1 - dice + weight * (away * there).sum() / there.sum().clamp(min=1)
