"""CropClock: when the events of a season fall, as densities over days, from whatever acquisitions there are.

A design of this project, not of a study. Deep-CroP answers with one of thirty optical dates; here each event has a
density on a line of days, and each sensor is read at its own dates, with gaps where there are gaps. Deep-CroP reads a
patch around a camera pixel by pixel; here one bell of four numbers learns which part of it the cameras look at.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from phenolib.errors import InputError

EVENTS = "sos20", "sos50", "eos50", "eos20"
SENSORS = {"optical": 2, "sar": 2}  # values of an acquisition: NDVI and GCC_s; VV and VH
REACH = 280  # days before and after the middle of the season that are looked at
STEP = 5  # days between two places of the line
BANDWIDTHS = 6.0, 20.0  # SD of the two kernels that bring acquisitions to the line [days]
DILATIONS = 1, 2, 4, 8, 16, 1  # of the convolutions: each place sees the whole season
YEAR = 365.25
CELL, CELLS, SITE = 30.0, 6, 95.0  # side of a cell [m]; cells along a side of a patch; the camera from its corner [m]
WIDE = 50.0  # SD of the view before it has learned anything [m]
PACE = 10.0  # how much faster than weights the numbers of the view are learned


class Density(NamedTuple):
    """What the network says of each event, in days from the middle of the season; the last dimension is of ``EVENTS``.

    median    half of the density lies before it
    low, high bounds of the interval
    """

    median: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


class Block(nn.Module):
    """A residual step: normalise, look at neighbours on the line, mix the channels."""

    def __init__(self, width, dilation, dropout):
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.look = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return x + self.dropout(self.mix(F.gelu(self.look(self.norm(x)))))              # (batch, width, places)


class View(nn.Module):
    """Which part of the patch around a camera tells what the camera sees: a bell over its cells, learned.

        w ∝ exp(−½ ((n − n₀) / s_n)² − ½ ((e − e₀) / s_e)²)

    with n and e of the cells' centres to the north and to the east of the camera. It is the same for all cameras, both
    sensors and all dates, and begins at the camera with SDs of 50 m.
    """

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(4))                                       # n₀, e₀ [100 m], ln s_n, ln s_e
        centre = CELL * (torch.arange(CELLS) + 0.5) - SITE
        self.register_buffer("north", -centre.repeat_interleave(CELLS), persistent=False)  # (cell,) [m]
        self.register_buffer("east", centre.repeat(CELLS), persistent=False)

    def bell(self):
        """Middle to the north and to the east, and SD in both directions [m]; scalars."""
        north, east, tall, wide = PACE * self.place
        return 100 * north, 100 * east, WIDE * tall.exp(), WIDE * wide.exp()

    def weights(self):
        """Of the cells, (36,), rows from the north; their sum is 1."""
        north, east, tall, wide = self.bell()
        return (-0.5 * (((self.north - north) / tall) ** 2 + ((self.east - east) / wide) ** 2)).softmax(0)

    def forward(self, values):
        """What is in view: (batch, n, 36, value) as (batch, n, value)."""
        return torch.einsum("bncv,c->bnv", values, self.weights())


class CropClock(nn.Module):
    """Densities of four events from irregular, unpaired acquisitions of two sensors.

    A camera is not a pixel: it looks at a part of a field before it. So in training, where the dates are a camera's,
    ``View`` makes one series of the patch around it. A place without a camera is dated by the series of its own.

    Two Gaussian kernels, of 6 and of 20 days, bring the acquisitions of each sensor to a line of days around the middle
    of the season, as weighted means with the logarithm of the weight beside them, so that the network knows a gap from
    a value:

        x(t) = Σᵢ wᵢ k(t − tᵢ) vᵢ / (ε + Σᵢ wᵢ k(t − tᵢ)),   d(t) = ln(1 + Σᵢ wᵢ k(t − tᵢ))

    With the place on the line and the day of the year they go through six residual convolutions, and a softmax over the
    line gives each event a density. Nothing is paired, moved to a date or cut to a number of scenes; the order of the
    acquisitions does not matter, for sums have none. It is not causal: the whole season is known when it is dated.

    sensors   names of ``SENSORS`` that are read
    width     channels
    dropout   share [-]
    raises    InputError for an unknown sensor
    """

    def __init__(self, sensors=("optical", "sar"), *, width=48, dropout=0.1):
        super().__init__()
        if not sensors or set(sensors) - set(SENSORS):
            raise InputError(f"sensors={sensors!r}: name some of {', '.join(SENSORS)}")
        self.sensors = tuple(sensors)
        self.register_buffer("line", torch.arange(-REACH, REACH + STEP, STEP, dtype=torch.float32), persistent=False)
        self.view = View()
        channels = len(BANDWIDTHS) * sum(SENSORS[s] + 1 for s in self.sensors) + 4
        self.enter = nn.Conv1d(channels, width, 1)
        self.blocks = nn.ModuleList(Block(width, d, dropout) for d in DILATIONS)
        self.norm = nn.GroupNorm(4, width)
        self.leave = nn.Conv1d(width, len(EVENTS), 1)

    def forward(self, series, middle):
        """Logarithm of each event's density, per place of ``line``.

        series   {sensor: (days, values, weights)}: (batch or 1, n) days from the middle of the season; values in SDs,
                 (batch, n, 36, 2) of the cells around a camera or (batch, n, 2) of a place itself; (batch, n) weights,
                 0 for what is not there (its values may be anything finite)
        middle   (batch or 1,) day of the year of the middle
        returns  (batch, 4, places); Σ exp = 1 over the places

        Where all samples share their days, as the pixels of a scene do, give them once: the kernels are made once.
        """
        columns = []
        for sensor in self.sensors:
            days, values, weights = series[sensor]
            values = self.view(values) if values.ndim == 4 else values                  # (batch, n, 2)
            for bandwidth in BANDWIDTHS:
                columns += self._on_line(days, values, weights, bandwidth)
        place = self.line / 100                                                         # (places,)
        angle = 2 * math.pi / YEAR * (self.line + middle[:, None])                      # (batch or 1, places)
        size = columns[0].shape[0], 1, -1
        columns += [x.expand(*size) for x in (place, place**2 / 4, angle.sin()[:, None], angle.cos()[:, None])]
        x = self.enter(torch.cat(columns, 1))                                           # (batch, width, places)
        for block in self.blocks:
            x = block(x)
        return self.leave(self.norm(x)).log_softmax(-1)                                 # (batch, 4, places)

    def loss(self, density, day, *, width=6.0):
        """Mean cross-entropy with a bell of ``width`` days around each known date, which is as sure as a camera is.

        density  (batch, 4, places) of ``forward``
        day      (batch, 4) days from the middle of the season; NaN: not known, it adds nothing
        width    SD of the bell [days]
        returns  scalar
        """
        known = torch.isfinite(day)
        away = (self.line - torch.nan_to_num(day)[..., None]) / width                   # (batch, 4, places)
        bell = (-0.5 * away**2).softmax(-1)
        return -(bell * density).sum(-1)[known].sum() / known.sum().clamp(min=1)

    def dates(self, density, *, level=0.9, widen=0.0):
        """Median and central interval of each density.

        density  (…, 4, places), logarithms
        level    probability of the interval by the densities themselves [-]
        widen    what is added to it on each side, as calibration found, (4,) or a number, in probability
        returns  Density of (…, 4)
        """
        half = torch.as_tensor(level / 2 + torch.as_tensor(widen), dtype=density.dtype).clamp(0, 0.5)
        cumulative = density.exp().cumsum(-1)
        middle = torch.full_like(cumulative[..., 0], 0.5)
        return Density(*(self.quantile(cumulative, p) for p in (middle, middle - half, middle + half)))

    def quantile(self, cumulative, p):
        """The day before which the share p of a density lies, straight between the places; (…,).

        cumulative  (…, places) sums of the density up to and with each place
        p           (…,)
        """
        k = (cumulative < p[..., None]).sum(-1).clamp(max=self.line.numel() - 1)        # (…,)
        after = cumulative.gather(-1, k[..., None])[..., 0]
        before = F.pad(cumulative, (1, 0)).gather(-1, k[..., None])[..., 0]
        share = ((p - before) / (after - before).clamp(min=1e-12)).clamp(0, 1)
        return self.line[k] + STEP * (share - 0.5)

    def probability(self, cumulative, day):
        """The share of a density that lies before a day: the inverse of ``quantile``; (…,)."""
        place = ((day + REACH) / STEP + 0.5).clamp(0, self.line.numel())                # in cells of the line
        k = place.floor().long().clamp(max=self.line.numel() - 1)
        edges = F.pad(cumulative, (1, 0))
        before, after = (edges.gather(-1, j[..., None])[..., 0] for j in (k, k + 1))
        return before + (place - k) * (after - before)

    def _on_line(self, days, values, weights, bandwidth):
        """Weighted means (batch, 2, places) and log weights (batch, 1, places) on the line."""
        kernel = (-0.5 * ((self.line - days[..., None]) / bandwidth) ** 2).exp()        # (batch or 1, n, places)
        both = torch.cat([values * weights[..., None], weights[..., None]], -1)         # (batch, n, 3)
        kernel = kernel[0] if len(kernel) == 1 else kernel                              # one matrix, one product
        sums = both.transpose(1, 2) @ kernel                                            # (batch, 3, places)
        return sums[:, :-1] / (sums[:, -1:] + 1e-3), sums[:, -1:].log1p()
