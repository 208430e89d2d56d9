"""Deep-CroP: dates of a season from patches of Sentinel-2 and Sentinel-1, by convolutions and an encoder.

The study (Zhao et al. 2022, doi 10.1016/j.rse.2022.113046) fixes the samples, the filters, the fusion, 30 heads, the
widths 900 and 10000-5000-1000-500, and a probability per position in time. What it leaves open, or says in two ways, is
resolved here; each docstring tells what is ours.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from phenolib.errors import InputError
from phenolib.nets.blocks import PATCH, ConvBranch, EncoderLayer, day_encoding

EVENTS = "sos20", "sos50", "eos50", "eos20"
STEPS = {"optical": 30, "sar": 10}  # acquisitions in a window
BANDS = {"optical": ("ndvi", "gcc_s"), "sar": ("vv", "vh")}
SITE = 9  # row and column of the site's pixel: 18 is even, so there is none in the middle
NONE = STEPS["optical"]  # class of "no event in this window"
SPACING = 5.0  # of optical acquisitions where no days are given [days]
FUSED = 128
ABSENT = -1e4  # logit of a step that is not there: its probability is exactly zero
SIZES = {
    "lite": {"width": 32, "heads": 4, "hidden": 64, "mlp": (256, 128)},
    "faithful": {"width": 30, "heads": 30, "hidden": 900, "mlp": (10000, 5000, 1000, 500)},
}
CHOICES = {"size": tuple(SIZES), "padding": ("valid", "same"), "fusion": ("all", "mid"),
           "decision": ("softmax", "sigmoid"), "sensors": ("both", "optical"), "parts": ("all", "cnn", "transformer")}


class Read(NamedTuple):
    """What the network reads of one sensor: features of the patch, means of its layers, values of the site's pixel."""

    features: object  # (batch, steps, 128 · H · W), None without convolutions
    means: object     # (batch, steps, 32 + 64 + 128), None without convolutions
    site: object      # (batch, steps, 2)


class Dates(NamedTuple):
    """Dates found, for each of ``EVENTS`` in the last dimension.

    day       day of the most probable position [days]; NaN where "no event" is more probable than any one position
    expected  Σ pᵢ · dayᵢ / Σ pᵢ over the positions [days]; NaN where "no event" has a probability above one half
    no_event  probability that the event is not in the window [-]
    """

    day: torch.Tensor
    expected: torch.Tensor
    no_event: torch.Tensor


class DeepCroP(nn.Module):
    """The study's network, with its ablations, at its size or at one that a CPU trains.

    Each acquisition's patch goes through a branch of three convolutions, one branch a sensor. The sequence has 32
    tokens: 30 optical ones (128 features, and NDVI, GCC_s, VV, VH of the site's pixel at the date), one that sums up
    the 10 radar acquisitions, and one of the fusion

        F_fusion = sigmoid(f_conv(concat[F_s1, F_s2])),  f_conv along time.

    One encoder layer and an MLP follow, and for each event a probability of every optical date and of "no event".

    Of the study: samples, branches, the fusion's equation, the site's signal in the sequence, 30 heads, FFN 900, MLP
    10000-5000-1000-500, and the ablations. Ours: radar values are those of the acquisition nearest in time; the fusion
    reads the mean of each layer, its kernel spans three steps and its token is the mean over the steps that are there;
    the radar token is linear in all radar features; shorter rows of the sequence are filled with zeros; tokens are
    projected to width 30, so that a head has width 1; one layer; days are encoded by sines; dropout; heads and the
    class "no event"; and the size "lite".

    size          "lite" (width 32, 4 heads, FFN 64, MLP 256-128) or "faithful" (65.1 million weights in the MLP)
    padding       "valid", or "same" (features of 9 × 9 pixels; no ``dense``)
    fusion        "all" three layers, or the "mid" one
    decision      "softmax" over positions (ours), or "sigmoid" of each position (the study's eq. 9)
    literal_eq45  True: residuals inside the normalisation, as printed in eqs 4 and 5
    sensors       "both", or "optical": no radar and no fusion, 30 tokens
    parts         "all"; "cnn": no encoder, no days, no site's signal; "transformer": no patch, the site's signal alone,
                  30 tokens. What else the study left out of its ablations is not told; this is ours
    dropout       share [-]
    raises        InputError for an unknown choice

    Zhao et al. (2022), section 3, Table 5 (ablations).
    """

    def __init__(self, size="lite", *, padding="valid", fusion="all", decision="softmax", literal_eq45=False,
                 sensors="both", parts="all", dropout=0.1):
        super().__init__()
        given = {"size": size, "padding": padding, "fusion": fusion, "decision": decision, "sensors": sensors,
                 "parts": parts}
        for name, value in given.items():
            if value not in CHOICES[name]:
                raise InputError(f"{name}={value!r}: it is one of {', '.join(map(repr, CHOICES[name]))}")
        shape = SIZES[size]
        self.sensors = tuple(STEPS) if sensors == "both" else ("optical",)
        self.decision, self.parts = decision, parts
        self.fuses = sensors == "both" and parts != "transformer"
        levels = (0, 1, 2) if fusion == "all" else (1,)
        self.branches = nn.ModuleDict() if parts == "transformer" else nn.ModuleDict(
            {s: ConvBranch(padding=padding, levels=levels) for s in self.sensors})
        features = self.branches["optical"].features if self.branches else 0
        self.row = features + (0 if parts == "cnn" else 2 * len(self.sensors))
        if self.fuses:
            self.radar = nn.Linear(STEPS["sar"] * features, FUSED)
            means = 2 * self.branches["optical"].means
            self.fusion = nn.Conv2d(means, FUSED, (1, 3), padding=(0, 1))  # a Conv1D, in the layout that is fast
        self.project = nn.Linear(self.row, shape["width"])
        self.encoder = None if parts == "cnn" else EncoderLayer(
            shape["width"], shape["heads"], shape["hidden"], dropout=dropout, literal_eq45=literal_eq45)
        sizes = ((STEPS["optical"] + 2 * self.fuses) * shape["width"], *shape["mlp"])
        self.mlp = nn.Sequential(*(layer for a, b in zip(sizes, sizes[1:])
                                   for layer in (nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout))))
        self.heads = nn.Linear(sizes[-1], len(EVENTS) * (NONE + 1))  # the four heads, side by side

    def forward(self, optical, sar=None, *, optical_days=None, sar_days=None, mask=None):
        """Logits of every position for each event.

        optical       (batch, 30, 18, 18, 2)  NDVI and GCC_s [-]
        sar           (batch, 10, 18, 18, 2)  VV and VH, of dB, scaled to about −1 to 1; None for an optical network
        optical_days  (batch, 30)  days since the window's start [days]; every 5 days if not given
        sar_days      (batch, 10)  the same of the radar acquisitions; equally spaced over 145 days if not given
        mask          (batch, 30)  True for the steps that are there; all of them if not given. The others may hold
                                   anything, NaN too: nothing looks at them, and their probability is zero
        returns       (batch, 4, 31)  EVENTS; 30 positions and "no event"
        raises        InputError if a shape is another, or the radar is lacking
        """
        return self._logits(*self._inputs(optical, sar, optical_days, sar_days, mask))

    @torch.no_grad()
    def attention(self, optical, sar=None, *, optical_days=None, sar_days=None, mask=None):
        """How much each token of the sequence looks at each other in the encoder; arguments as ``forward``.

        returns  (batch, heads, tokens, tokens), 1 in sum over the last dimension; tokens are the 30 optical steps, then
                 the radar's and that of the fusion where the network has them
        raises   InputError as ``forward``, and for a network without an encoder
        """
        if not self.encoder:
            raise InputError("parts='cnn' has no encoder, so there is no attention to look at")
        return self.encoder.attention(*self._sequence(*self._inputs(optical, sar, optical_days, sar_days, mask)))

    @torch.no_grad()
    def dense(self, optical, sar=None, *, optical_days=None, sar_days=None, mask=None, tile=32):
        """Logits of every pixel of a scene: the numbers that ``forward`` gives for the patch around each.

        The scene is read and computed tile by tile; neighbouring patches share their convolutions.

        optical       (30, rows, columns, 2)  as in ``forward``; tensor or array
        sar           (10, rows, columns, 2)
        optical_days  (30,), sar_days (10,)  of the whole scene [days]
        mask          (30,) or (30, rows, columns)  True where a pixel's step is there. The 18 × 18 values around a
                      pixel whose step is there are finite, or what it gets is NaN
        tile          rows and columns computed at once
        returns       (rows, columns, 4, 31) on the CPU; NaN where the patch of a pixel leaves the scene, that is in
                      the first 9 and the last 8 rows and columns
        raises        InputError as ``forward``, with padding "same", and for a scene smaller than a patch
        """
        rows, columns = optical.shape[1:3]
        if min(rows, columns) < PATCH:
            raise InputError(f"the scene has {rows} × {columns} pixels; a patch has {PATCH} × {PATCH}")
        data = self._given(optical, sar, (), (rows, columns))
        weight = self.heads.weight
        mask = torch.ones(STEPS["optical"], dtype=torch.bool) if mask is None else torch.as_tensor(mask)
        mask = mask.reshape(STEPS["optical"], *(mask.shape[1:] or (1, 1))).expand(-1, rows, columns)
        days = [None if d is None else torch.as_tensor(d)[None] for d in (optical_days, sar_days)]
        found = torch.full((rows, columns, len(EVENTS), NONE + 1), torch.nan, dtype=weight.dtype)
        edge = PATCH - 1
        for top in range(0, rows - edge, tile):
            for left in range(0, columns - edge, tile):
                high, wide = min(tile, rows - edge - top), min(tile, columns - edge - left)
                window = slice(top, top + high + edge), slice(left, left + wide + edge)
                site = slice(top + SITE, top + SITE + high), slice(left + SITE, left + SITE + wide)
                parts = {s: torch.as_tensor(x[:, *window]).to(weight) for s, x in data.items()}
                there = mask[:, *site].flatten(1).T.to(weight.device)                   # (pixels, 30)
                when, there = self._calendar(*days, there, weight)
                logits = self._logits({s: self._read_dense(s, x) for s, x in parts.items()}, when, there)
                found[site] = logits.unflatten(0, (high, wide)).cpu()
        return found

    @torch.no_grad()
    def dates(self, logits, optical_days=None):
        """Days and probabilities from logits.

        logits        (…, 4, 31)
        optical_days  (30,) or (…, 30) [days], as given to ``forward``
        returns       Dates of (…, 4); NaN where the logits are NaN
        """
        days = spaced("optical") if optical_days is None else torch.as_tensor(optical_days)
        days = days.to(logits)[..., None, :].expand(*logits.shape[:-1], NONE)           # (…, 4, 30)
        p = logits.softmax(-1) if self.decision == "softmax" else logits.sigmoid()      # (…, 4, 31)
        no_event, p, best = p[..., NONE], p[..., :NONE], logits.argmax(-1, keepdim=True)
        day = days.gather(-1, best.clamp(max=NONE - 1))[..., 0]                         # (…, 4)
        expected = torch.where(p > 0, p * days, 0).sum(-1) / p.sum(-1)                  # (…, 4)
        return Dates(torch.where((best[..., 0] < NONE) & ~no_event.isnan(), day, torch.nan),
                     torch.where(no_event <= 0.5, expected, torch.nan), no_event)

    def loss(self, logits, target):
        """Mean loss of the events that are known; the study names none, both forms are ours.

        "softmax": cross-entropy over the 31 classes. "sigmoid": the 31 binary cross-entropies of an event, summed.

        logits   (batch, 4, 31)
        target   (batch, 4)  int, position 0–29, 30 "no event", −1 not known: it adds nothing
        returns  scalar; 0 if nothing is known
        raises   InputError for another class, or if an event is said to be at a step that is not there
        """
        known = target >= 0
        logits, target = logits[known], target[known].long()                            # (known, 31), (known,)
        if (target > NONE).any():
            raise InputError(f"a target is {int(target.max())}; positions are 0 to {NONE - 1}, {NONE} is 'no event'")
        if (logits.gather(-1, target[:, None]) <= ABSENT).any():
            raise InputError("a target is a step that the mask leaves out; take the nearest date that is there")
        if self.decision == "softmax":
            total = F.cross_entropy(logits, target, reduction="sum")
        else:
            total = F.binary_cross_entropy_with_logits(logits, F.one_hot(target, NONE + 1).to(logits), reduction="sum")
        return total / max(len(target), 1)

    def tokens(self, read, days, mask):
        """What the MLP reads, (batch, 32 or 30, width): zeros for steps that are not there.

        read     dict of Read for each sensor
        days     dict of (batch, steps) for each sensor [days]
        mask     (batch, 30)
        """
        x, mask = self._sequence(read, days, mask)
        if self.encoder:
            x = self.encoder(x, mask)                                                   # (batch, 32, width)
        return torch.where(mask[..., None], x, 0)

    def _sequence(self, read, days, mask):
        """What the encoder reads, (batch, 32 or 30, width), and which tokens are there, (batch, 32 or 30)."""
        there = mask[..., None]                                                         # (batch, 30, 1)
        optical, sar = read["optical"], read.get("sar")
        columns = [optical.features] if self.branches else []
        if self.parts != "cnn":
            columns.append(optical.site)
        if sar:
            nearest = (days["optical"][:, :, None] - days["sar"][:, None]).abs().argmin(-1)
            if self.parts != "cnn":
                columns.append(_at(sar.site, nearest))                                  # (batch, 30, 2)
        x = torch.cat(columns, -1).masked_fill_(~there, 0)                              # (batch, 30, 128 + 4)
        if self.fuses:
            radar = self.radar(sar.features.flatten(1))                                 # (batch, 128)
            means = torch.cat([optical.means, _at(sar.means, nearest)], -1)             # (batch, 30, 448)
            means = means.masked_fill_(~there, 0)[:, None].permute(0, 3, 1, 2)          # (batch, 448, 1, 30)
            fused = self.fusion(means).sigmoid()[:, :, 0].transpose(1, 2)               # (batch, 30, 128)
            fused = fused.masked_fill(~there, 0).sum(1) / there.sum(1).clamp(min=1)     # (batch, 128)
            two = torch.stack([radar, fused], 1)                                        # (batch, 2, 128)
            x = torch.cat([x, F.pad(two, (0, self.row - FUSED))], 1)                    # (batch, 32, 128 + 4)
            mask = F.pad(mask, (0, 2), value=True)                                      # (batch, 32)
        x = self.project(x)                                                             # (batch, 32, width)
        if self.encoder:
            when = day_encoding(days["optical"], x.shape[-1])                           # (batch, 30, width)
            x = x + F.pad(when, (0, 0, 0, x.shape[1] - STEPS["optical"]))
        return x, mask

    def _inputs(self, optical, sar, optical_days, sar_days, mask):
        """Read and days of each sensor, and the mask, from the arguments of ``forward``."""
        data = self._given(optical, sar, (len(optical),), (PATCH, PATCH))
        days, mask = self._calendar(optical_days, sar_days, mask, optical)
        data["optical"] = torch.where(mask[..., None, None, None], data["optical"], 0)
        return {s: self._read(s, x) for s, x in data.items()}, days, mask

    def _logits(self, read, days, mask):
        x = self.mlp(self.tokens(read, days, mask).flatten(1))                          # (batch, 500)
        x = self.heads(x).unflatten(-1, (len(EVENTS), NONE + 1))                        # (batch, 4, 31)
        return x.masked_fill(~F.pad(mask, (0, 1), value=True)[:, None], ABSENT)

    def _read(self, sensor, patches):
        """Read of patches (batch, steps, 18, 18, 2)."""
        site = patches[:, :, SITE, SITE]                                                # (batch, steps, 2)
        if not self.branches:
            return Read(None, None, site)
        both = self.branches[sensor](patches.flatten(0, 1))                             # (batch · steps, …)
        return Read(*(x.unflatten(0, patches.shape[:2]) for x in both), site)

    def _read_dense(self, sensor, scene):
        """The same of every patch in a scene (steps, rows, columns, 2); the pixels are the batch."""
        last = SITE - PATCH + 1                                                         # rows behind the site's: 8
        site = scene[:, SITE:last, SITE:last]                                           # (steps, rows, columns, 2)
        site = site.flatten(1, 2).transpose(0, 1)                                       # (pixels, steps, 2)
        if not self.branches:
            return Read(None, None, site)
        both = self.branches[sensor].dense(scene)                                       # (steps, …, rows, columns)
        return Read(*(x.permute(2, 3, 0, 1).flatten(0, 1) for x in both), site)

    def _given(self, optical, sar, batch, pixels):
        """The data of the sensors that the network reads, their shapes checked."""
        data = {"optical": optical, "sar": sar}
        for sensor in self.sensors:
            shape = (*batch, STEPS[sensor], *pixels, len(BANDS[sensor]))
            if data[sensor] is None or tuple(data[sensor].shape) != shape:
                found = "nothing" if data[sensor] is None else f"the shape {tuple(data[sensor].shape)}"
                raise InputError(f"{sensor} has {found}; the network reads {shape}")
        return {sensor: data[sensor] for sensor in self.sensors}

    def _calendar(self, optical_days, sar_days, mask, like):
        """Days of both sensors (1 or batch, steps) and the mask (batch, 30), on the device of ``like``."""
        given = {"optical": optical_days, "sar": sar_days}
        days = {s: (spaced(s)[None] if d is None else torch.as_tensor(d)).to(like) for s, d in given.items()}
        mask = torch.ones(like.shape[:2]) if mask is None else torch.as_tensor(mask)
        mask = mask.to(like.device, torch.bool)
        days["optical"] = torch.where(mask, days["optical"], 0)  # days of steps that are not there may be anything
        return days, mask


def _at(x, steps):
    """Rows of x (batch, …, n) at the steps (1 or batch, 30): (batch, 30, n)."""
    return x[torch.arange(len(x), device=x.device)[:, None], steps]


def spaced(sensor):
    """Days of equally spaced acquisitions of one window: every 5 days of Sentinel-2, ten radar dates as far apart.

    >>> spaced("sar")[[0, -1]]
    tensor([  0., 145.])
    """
    return torch.linspace(0, SPACING * (STEPS["optical"] - 1), STEPS[sensor])
