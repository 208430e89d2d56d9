"""The constrained network of leaves: weather and soil to a season of leaves that obeys four rules of growth.

The study names such a network and publishes no definition of it. Network, rules and numbers here are ours.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from phenolib.errors import InputError

MEMORIES = 4.0, 15.0, 50.0, 200.0  # time constants of what is remembered [days]
MONTH = 30.0  # rates in penalties are per so many days, so that they are of order one
RULES = "unimodal", "base", "growth"  # names of the weights λ₁, λ₂, λ₃
CONSTANTS = "k", "E", "A", "a"  # of the rules, for each crop: 1 / month, and months of best weather
OUT = 0.05  # how sharply leaves come out at the age E [months of best weather]


@dataclass(frozen=True)
class Limits:
    """What growth is held to: temperatures T_n, T_o, T_x of Wang–Engel, day lengths, water potentials.

    T_n is the base temperature, below which there is no green-up. Values are of the order of textbooks.
    """

    low: float  # [°C]
    best: float
    high: float
    short: float = 8.0  # day length at and below which nothing grows [h]
    long: float = 12.0  # … and from which it is no limit
    wet: float = -50.0  # water potential down to which growth is not slowed [kPa]
    dry: float = -1500.0  # … and at which it ends


CROPS = {"winter_wheat": Limits(0.0, 22.0, 35.0), "corn": Limits(8.0, 30.0, 42.0)}
DRIVERS = (  # of a day: °C, mm, MJ m⁻², kPa, h; soil temperature at 10 cm; −pF at three depths; days since sowing
    "t_mean", "t_min", "t_max", "rain", "radiation", "vpd", "day_length", "soil_temperature", "wet_10", "wet_40",
    "wet_80", "since", "sown", *CROPS)
SCALED = DRIVERS.index("sown")  # the first so many are scaled; the others are 0 or 1


class Leaf(NamedTuple):
    """What the network says of each day, (batch, day) each."""

    evi2: torch.Tensor  # [-]
    phase: torch.Tensor  # φ, 0 bare to 1 full leaf and back to 0


def wang_engel(temperature, low, best, high):
    """Response of growth to temperature, 1 at the best and 0 at and beyond the limits.

        f = [2(T−T_n)^α·(T_o−T_n)^α − (T−T_n)^{2α}] / (T_o−T_n)^{2α},  α = ln 2 / ln((T_x−T_n)/(T_o−T_n))

    all       tensors that broadcast [°C]
    returns   [-]

    Wang & Engel (1998), Agric. Syst. 58:1.

    >>> wang_engel(*map(torch.tensor, ([-3.0, 22.0, 35.0], 0.0, 22.0, 35.0))).round(decimals=3).tolist()
    [0.0, 1.0, 0.0]
    """
    power = math.log(2) / ((high - low) / (best - low)).log()
    share = ((torch.minimum(torch.maximum(temperature, low), high) - low) / (best - low)) ** power
    return (2 * share - share**2).clamp(0, 1)


def moisture(potential, wet, dry):
    """Response to water: 1 down to a potential, linear in ln|ψ| to 0 at another, (…) [-]; potentials in kPa, negative.

    >>> moisture(torch.tensor([-10.0, -1500.0]), torch.tensor(-50.0), torch.tensor(-1500.0)).tolist()
    [1.0, 0.0]
    """
    return (1 - (-potential).clamp(min=1e-6).div(-wet).log() / (dry / wet).log()).clamp(0, 1)


class Memory(nn.Module):
    """What lasts of each channel: weighted means of the days up to now, a quarter of the channels for each length.

        m(t) = Σ_{s ≤ t} e^{−(t−s)/τ} x(s) / τ
    """

    def __init__(self, days):
        super().__init__()
        age = torch.arange(days)[:, None] - torch.arange(days)                          # (day, day before)
        length = torch.tensor(MEMORIES)[:, None, None]
        kernel = torch.where(age >= 0, (-age.clamp(min=0) / length).exp() / length, torch.zeros(()))
        self.register_buffer("kernel", kernel, persistent=False)                        # (memory, day, day)

    def forward(self, x):
        """(batch, day, channel) to the same."""
        n, days, channels = x.shape
        x = x.reshape(n, days, len(MEMORIES), -1).permute(2, 1, 0, 3).reshape(len(MEMORIES), days, -1)
        x = self.kernel[:, :days, :days] @ x                                            # (memory, day, batch · part)
        return x.reshape(len(MEMORIES), days, n, -1).permute(2, 1, 0, 3).reshape(n, days, channels)


class Block(nn.Module):
    """A residual step: normalise, remember, mix what is now with what was."""

    def __init__(self, width, days, dropout):
        super().__init__()
        self.norm, self.memory = nn.LayerNorm(width), Memory(days)
        self.look, self.mix = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        now = self.norm(x)
        return x + self.dropout(self.mix(F.gelu(self.look(torch.cat([now, self.memory(now)], -1)))))


class LeafNet(nn.Module):
    """Daily weather and soil to EVI2 and phase; causal: no day knows of a later one.

        EVI2(t) = base + amplitude · φ(t),  φ = sigmoid of two blocks with memories of 4 to 200 days

    with a base and an amplitude for each crop.

    mean, sd  (SCALED,) of the drivers in the training seasons
    days      of a season, at most
    width     channels, a multiple of 4
    dropout   share [-]
    raises    InputError for another width
    """

    def __init__(self, mean, sd, *, days=365, width=16, dropout=0.1):
        super().__init__()
        if width % len(MEMORIES):
            raise InputError(f"width = {width}; give a multiple of {len(MEMORIES)}")
        for name, value in (("mean", mean), ("sd", sd)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))
        self.enter = nn.Linear(len(DRIVERS), width)
        self.blocks = nn.ModuleList(Block(width, days, dropout) for _ in range(2))
        self.leave = nn.Linear(width, 1)
        nn.init.constant_(self.leave.bias, -2.0)
        self.base = nn.Parameter(torch.full((len(CROPS),), 0.1))                        # EVI2 of bare soil
        self.amplitude = nn.Parameter(torch.full((len(CROPS),), 0.6))

    def forward(self, drivers):
        """Leaf of (batch, day, driver), drivers in their units."""
        crop = drivers[:, :1, -len(CROPS):]                                             # (batch, 1, crop)
        scaled = (drivers[..., :SCALED] - self.mean) / self.sd
        x = self.enter(torch.cat([scaled, drivers[..., SCALED:]], -1))                  # (batch, day, width)
        for block in self.blocks:
            x = block(x)
        phase = self.leave(x)[..., 0].sigmoid()                                         # (batch, day)
        return Leaf((crop @ self.base) + (crop @ self.amplitude) * phase, phase)


def broken(phase, drivers, constants, *, base_error=0.0):
    """How far seasons break each rule: the penalties of the loss, per month and square month.

        unimodal  mean relu(−dφ/dt) before the peak and relu(dφ/dt) after it: one season, not two
        base      mean relu(dφ/dt) where T < T_n: no green-up below the base temperature
        growth    mean (dφ/dt − f_T f_P [k f_W e (1 − o) (1 − φ) − o φ / a])²: leaves grow as the weather lets them from
                  an age E on, and brown around an age A; e = σ((S − E) / 0.05), o = σ((S − A) / a), S = ∫ f_T f_P dt

    The first is two rules, one each side of the peak, where φ is largest; it moves as the network learns. The last
    holds on every day: were it held before the peak alone, a field without any season would break no rule. For the same
    reason growth is not logistic: φ = 0 would nearly obey. Leaves age from sowing on. f_T is ``wang_engel``, f_P a line
    in the length of the day, f_W ``moisture``.

    phase       (batch, day) φ
    drivers     (batch, day, driver)
    constants   (4, crop) of ``CONSTANTS``
    base_error  added to T_n [K]: a wrong rule, to see what it does
    returns     dict of ``RULES`` to scalars
    """
    change, was = MONTH * (phase[:, 1:] - phase[:, :-1]), phase[:, :-1]                 # (batch, day − 1)
    before = torch.arange(1, phase.shape[1], device=phase.device) <= phase.detach().argmax(1, keepdim=True)
    cold = drivers[:, 1:, 0] < limit(drivers, "low") + base_error
    rate, out, middle, width = (drivers[:, :1, -len(CROPS):] @ c for c in constants)  # (batch, 1)
    speed, water = allowed(drivers, base_error)
    age = speed.cumsum(1)[:, 1:] / MONTH
    grown, old = ((age - out) / OUT).sigmoid(), ((age - middle) / width).sigmoid()
    rise = rate * water[:, 1:] * grown * (1 - old) * (1 - was)
    right = speed[:, 1:] * (rise - old * was / width)
    return {"unimodal": F.relu(torch.where(before, -change, change)).mean(), "base": (F.relu(change) * cold).mean(),
            "growth": (change - right).square().mean()}


def allowed(drivers, base_error=0.0):
    """f_T·f_P of each day since sowing, and f_W of the wettest depth; (batch, day) each [-]."""
    low, best, high, short, long, wet, dry = (limit(drivers, name) for name in Limits.__dataclass_fields__)
    warmth, light, sown = (drivers[..., DRIVERS.index(n)] for n in ("t_mean", "day_length", "sown"))
    water = drivers[..., DRIVERS.index("wet_10"):DRIVERS.index("wet_80") + 1].amax(-1)  # −pF
    day = ((light - short) / (long - short)).clamp(0, 1)
    return wang_engel(warmth, low + base_error, best, high) * day * sown, moisture(-(10 ** (-water - 1)), wet, dry)


def limit(drivers, name):
    """One of the ``Limits`` of the crop of each season: (batch, 1)."""
    return drivers[:, :1, -len(CROPS):] @ drivers.new_tensor([getattr(crop, name) for crop in CROPS.values()])
