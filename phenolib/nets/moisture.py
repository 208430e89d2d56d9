"""A causal network of daily soil moisture: weather up to a day, what the soil is and a first state to mean and spread.

The published counterpart (1 km soil moisture of the UK, Environmental Information Data Centre, doi 10.5285/
5100e84a-6af9-419b-b4b6-4a5df13b1aec) names causal convolutions, causally masked attention, static vectors, an initial
state from a land-surface model and the four terms of ``losses``; sizes, weights and the pooling of the days that are
looked back on are defaults of this project. Training and forecasts are in ``phenolib.moisture_forecasts``.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from phenolib.errors import InputError, near

BLOCK = 7  # days that one key of the attention is the mean of
BACK = 52  # such blocks that are looked back on: 364 days
FADES = 10.0, 60.0, 365.0  # days in which the state at the start is forgotten by a third, to choose from
MOST = 0.95  # m³ m⁻³: upper bound of the mean
SPREADS = 0.005, 0.25  # m³ m⁻³: bounds of sigma
TERMS = {"change": 1.0, "shift": 0.5, "start": 0.05}  # weights of the terms beside the likelihood, project defaults
STARTS = ("state", "series", "none")


class Moisture(NamedTuple):
    """What the network says, (time, site) each."""

    mean: torch.Tensor  # m³ m⁻³
    sigma: torch.Tensor  # m³ m⁻³


class Inputs(nn.Module):
    """Scales the inputs, and adds the season and the state at the start with its age.

        weather, log(1 + precipitation)   less their mean over their SD
        season                            sine and cosine of the year and of half a year
        state                             z·e^{−age/τ} and e^{−age/τ} for τ of 10, 60 and 365 days;  z its scaled value

    scales  dict of arrays: weather, weather_sd (variable,), static, static_sd (column,), theta, theta_sd; of training
    rain    number of the variable that is precipitation, or None
    start   "state": of the first day alone, growing old; "series": of each day, always new; "none": not read
    jitter  SD of noise on the scaled soil of each site in training, so that it is no name of the site [-]
    """

    def __init__(self, scales, *, rain=0, start="state", jitter=0.3):
        super().__init__()
        if start not in STARTS:
            raise InputError(f"start '{start}' is not known{near(start, STARTS)}")
        for name, value in scales.items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))
        self.rain, self.start, self.jitter = rain, start, jitter

    @property
    def size(self):
        """Channels of a day."""
        return len(self.weather) + 4 + (0 if self.start == "none" else 2 * len(FADES))

    def forward(self, weather, season, state, age):
        """(time, site, variable), (time,) share of the year, (time, site), (time,) days to (time, site, channel)."""
        if self.rain is not None:
            weather = weather.clone()
            weather[..., self.rain] = weather[..., self.rain].clamp(min=0).log1p()
        days, sites, _ = weather.shape
        angle = 2 * math.pi * season[:, None] * torch.tensor([1.0, 2.0], device=season.device)  # (time, 2)
        year = torch.cat([angle.sin(), angle.cos()], 1)[:, None].expand(days, sites, 4)
        found = [(weather - self.weather) / self.weather_sd, year]
        if self.start != "none":
            fade = (-age[:, None] / torch.tensor(FADES, device=age.device)).exp()[:, None]      # (time, 1, 3)
            z = ((state - self.theta) / self.theta_sd)[..., None]
            found += [z * fade, fade.expand(days, sites, len(FADES))]
        return torch.cat(found, -1)

    def soil(self, static):
        """(site, column) to the same, scaled."""
        static = (static - self.static) / self.static_sd
        return static + self.jitter * torch.randn_like(static) if self.training and self.jitter else static


class Dropout(nn.Module):
    """Leaves out channels of a site for all days at once; what is left grows by as much."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, h):
        """(time, site, width) to the same."""
        if not (self.training and self.share):
            return h
        return h * F.dropout(torch.ones_like(h[:1]), self.share)


class Convolution(nn.Module):
    """h + W·GELU(γ(soil) ⊙ causal dilated convolution of h + β(soil)), three days that are ``dilation`` apart.

    Days are the first dimension and channels the last: in memory that is an image of days by sites with its channels
    last, over which a kernel of 3 × 1 goes. Nothing is normalised: that would cost as much as the convolution.
    """

    def __init__(self, width, dilation, dropout):
        super().__init__()
        self.dilation = dilation
        self.convolve = nn.Conv2d(width, width, (3, 1), dilation=(dilation, 1), bias=False)
        self.mix = nn.Parameter(torch.randn(width, width) / (2 * math.sqrt(width)))
        self.dropout = Dropout(dropout)
        self.to(memory_format=torch.channels_last)

    def forward(self, h, gain, shift, before):
        """(time, site, width) to the same; the days before, (2·dilation, site, width), go in and out."""
        x = torch.cat([before, h])                                                      # (more time, site, width)
        y = self.convolve(x.permute(2, 0, 1)[None])[0].permute(1, 2, 0)                 # (time, site, width)
        y = self.dropout(F.gelu(torch.addcmul(shift, y, gain)))
        return torch.addmm(h.flatten(0, 1), y.flatten(0, 1), self.mix).view_as(h), x[len(h):]


class Attention(nn.Module):
    """Each day looks at means of 7 days, wholly in the past, as far back as 364 days; one head for each 32 channels.

    A block that is not over when the day comes is not seen, whatever it holds; near days are left to convolutions. The
    scores have a learnt term for how long ago a block was. Blocks before the first day are zeros: what looks at them
    sees nothing.
    """

    def __init__(self, width, dropout):
        super().__init__()
        self.heads = max(1, width // 32)
        self.norm, self.keys = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.query, self.leave = nn.Linear(width, width), nn.Linear(width, width)
        self.ago = nn.Parameter(torch.zeros(self.heads, BACK))  # oldest first
        self.dropout = Dropout(dropout)

    def forward(self, h, before):
        """(time, site, width) to the same; keys and values of the 52 blocks before, (52, site, 2·width), in and out.

        The first day is the first of a block; so must be the first of the days that follow, if any do.
        """
        days, sites, width = h.shape
        whole, weeks, size = days // BLOCK, -(-days // BLOCK), width // self.heads
        x = self.norm(h)
        pooled = x[:whole * BLOCK].reshape(whole, BLOCK, sites, width).mean(1)          # (block, site, width)
        blocks = torch.cat([before, self.keys(pooled)])                                 # (52 + block, site, 2 width)
        query = F.pad(self.query(x) / math.sqrt(size), (0, 0, 0, 0, 0, weeks * BLOCK - days))
        query = query.reshape(weeks, BLOCK, sites * self.heads, size).transpose(1, 2)   # (week, site·head, 7, size)
        query = query.flatten(0, 1)                                                     # (week·site·head, 7, size)
        key, value = (v.reshape(len(blocks), sites * self.heads, size).unfold(0, BACK, 1)[:weeks].flatten(0, 1)
                      for v in blocks.chunk(2, -1))                                     # (week·site·head, size, 52)
        ago = self.ago[:, None].repeat(weeks * sites, 1, 1)                             # (week·site·head, 1, 52)
        weight = torch.baddbmm(ago, query, key).softmax(-1)                             # (week·site·head, 7, 52)
        found = (weight @ value.transpose(1, 2)).unflatten(0, (weeks, -1)).transpose(1, 2)
        found = found.reshape(weeks * BLOCK, sites, width)[:days]
        return h + self.dropout(self.leave(found)), blocks[len(blocks) - BACK:]


class MoistureNet(nn.Module):
    """Mean and spread of soil moisture on each day from the weather up to it; no day knows of a later one.

        enter     inputs of the day to ``width`` channels, and the soil's own
        six causal convolutions, 1 to 32 days apart (127 days), each with gain and shift from the soil
        attention at the 52 weeks before
        leave     two layers;  mean = 0.95·sigmoid, begun at the mean of the training, sigma in 0.005-0.25

    ``forward`` may be given the days in pieces of whole weeks: what it must keep of the days before comes back, and
    goes in with the next piece. The whole is computed the same way.

    scales     of ``Inputs``
    width      channels, a multiple of 16
    dilations  of the convolutions [days]
    attention  False: none
    start      of ``Inputs``
    rain       number of the variable that is precipitation
    jitter     of ``Inputs``
    dropout    share of channels [-]
    raises     InputError for another width
    """

    def __init__(self, scales, *, width=32, dilations=(1, 2, 4, 8, 16, 32), attention=True, start="state", rain=0,
                 jitter=0.3, dropout=0.1):
        super().__init__()
        if width < 16 or width % 16:
            raise InputError(f"width = {width}; give a multiple of 16")
        self.inputs, self.width = Inputs(scales, rain=rain, start=start, jitter=jitter), width
        self.enter = nn.Linear(self.inputs.size, width)
        self.soil = nn.Sequential(nn.Linear(max(1, len(self.inputs.static)), width), nn.GELU(),
                                  nn.Linear(width, (1 + 2 * len(dilations)) * width))
        self.convolutions = nn.ModuleList(Convolution(width, d, dropout) for d in dilations)
        self.attention = Attention(width, dropout) if attention else None
        self.leave = Leave(width, self.inputs)

    def forward(self, weather, static, season, state, age, before=None):
        """Moisture of each day, and what must be kept for the days that follow.

        weather  (time, site, variable) in its units
        static   (site, column) in its units; (site, 0) without soil
        season   (time,) share of the year 0-1
        state    (time, site) moisture at the start, or of each day [m³ m⁻³], see ``Inputs``
        age      (time,) days since then
        before   what came back with the days before; None: these are the first
        returns  Moisture, and what to keep
        """
        x = self.inputs(weather, season, state, age)                                    # (time, site, channel)
        days, sites, _ = x.shape
        soil = self.inputs.soil(static) if static.shape[1] else static.new_zeros(sites, 1)
        own, *film = self.soil(soil).split(self.width, -1)                              # (site, width) each
        h = self.enter(x) + own
        before = before or [None] * (len(self.convolutions) + 1)
        kept = []
        for layer, gain, shift, past in zip(self.convolutions, film[::2], film[1::2], before, strict=False):
            past = h.new_zeros(2 * layer.dilation, sites, self.width) if past is None else past
            h, past = layer(h, 1 + gain, shift, past)
            kept.append(past)
        if self.attention is not None:
            past = h.new_zeros(BACK, sites, 2 * self.width) if before[-1] is None else before[-1]
            h, past = self.attention(h, past)
            kept.append(past)
        return self.leave(h, state), kept


class Leave(nn.Module):
    """Channels to mean and sigma; where the state is that of each day, the mean begins at it."""

    def __init__(self, width, inputs):
        super().__init__()
        self.norm, self.first, self.last = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, 2)
        nn.init.normal_(self.last.weight, std=0.02)
        nn.init.zeros_(self.last.bias)
        self.daily = inputs.start == "series"
        self.register_buffer("middle", inputs.theta.clone())
        self.register_buffer("usual", inputs.theta_sd.clone())

    def forward(self, h, state):
        mean, spread = self.last(F.gelu(self.first(self.norm(h)))).unbind(-1)           # (time, site)
        base = ((state if self.daily else self.middle) / MOST).clamp(0.02, 0.98)
        return Moisture(MOST * (mean + base.logit()).sigmoid(), (self.usual * spread.exp()).clamp(*SPREADS))


class Recurrent(nn.Module):
    """An LSTM with the same inputs and the same way out, to compare with; arguments as ``MoistureNet``'s."""

    def __init__(self, scales, *, width=48, start="state", rain=0, jitter=0.3, dropout=0.1):
        super().__init__()
        self.inputs = Inputs(scales, rain=rain, start=start, jitter=jitter)
        self.lstm = nn.LSTM(self.inputs.size + len(self.inputs.static), width)
        with torch.no_grad():
            self.lstm.bias_hh_l0[width:2 * width] = 3.0  # it begins by remembering
        self.dropout = Dropout(dropout)
        self.leave = Leave(width, self.inputs)

    def forward(self, weather, static, season, state, age, before=None):
        """As that of ``MoistureNet``; what is kept is the state of the LSTM."""
        x = self.inputs(weather, season, state, age)
        soil = self.inputs.soil(static).expand(len(x), *static.shape)
        h, kept = self.lstm(torch.cat([x, soil], -1), before)
        return self.leave(self.dropout(h), state), kept


KINDS = {"attention": MoistureNet, "lstm": Recurrent}


# ---- what is to be small

def losses(said, theta, known, *, scale, start=None, age=None, shifted=None, past=0):
    """The terms of the loss, a dict of scalars.

        likelihood  −log N(θ; μ, σ) without its constant, mean over the days that are known
        change      mean |Δμ − Δθ| / SD of θ, over days that are known as the one before is
        shift       mean |μ′ − μ| / SD over the days that both passes say: the second began ``past`` days later, from
                    the state of that day; where one begins must not matter
        start       mean |μ − θ₀| e^{−age/10 d} / SD: the first days stay near the state they were given

    said       Moisture (time, site)
    theta      (time, site) [m³ m⁻³], anything where it is not known
    known      (time, site) bool
    scale      SD of θ in the training part
    start      (time, site) state that was given, with age (time,) [days]
    shifted    Moisture of the second pass, (time − past, site), of the first sites alone if it has fewer
    returns    dict of those terms that there is something for; add them with the weights ``TERMS``
    """
    theta = torch.where(known, theta, said.mean.detach())
    count = known.sum().clamp(min=1)
    each = 0.5 * ((theta - said.mean) / said.sigma).square() + said.sigma.log()
    found = {"likelihood": torch.where(known, each, 0.0).sum() / count}
    pair = known[1:] & known[:-1]
    change = (said.mean.diff(dim=0) - theta.diff(dim=0)).abs() / scale
    found["change"] = torch.where(pair, change, 0.0).sum() / pair.sum().clamp(min=1)
    if shifted is not None:
        found["shift"] = (shifted.mean - said.mean[past:, :shifted.mean.shape[1]]).abs().mean() / scale
    if start is not None:
        weight = (-age / FADES[0]).exp()[:, None]
        found["start"] = ((said.mean - start).abs() * weight).sum() / (weight.sum() * start.shape[1] * scale)
    return found
