"""The networks behind ``nets.respiration``: all members of an ensemble at once, and how they are trained.

A response has one argument, so the networks are worked out at some nodes of an axis and not at every row; between the
nodes the log of the response is linear. That makes a fit of 100,000 rows cheap. Widths, weights to begin with and
rates are defaults of this project.
"""

import math

import numpy as np
import torch
from torch import nn

WIDTH = 16
NODES = {"product": 96, "free": 40}  # along an axis, at which the networks are worked out; linear between them
LOOK = 10  # epochs between two looks at the weeks left out


class Small(nn.Module):
    """Networks inputs - 16 - 16 - 1 with tanh and a straight line beside, one for each member, worked out at once.

    inputs   1 or 2, scaled to -1 … 1
    members  how many
    rising   non-negative weights, so that the output never falls with any input
    """

    def __init__(self, inputs, members, *, rising=False, generators):
        super().__init__()
        self.rising = rising

        def made(*shape, low=-1.0, high=1.0):
            each = [torch.empty(shape).uniform_(low, high, generator=one) for one in generators]
            return nn.Parameter(torch.stack(each))

        steep = 6.0 if inputs == 1 else 3.0  # so that a curve can bend within a tenth of its range from the beginning
        self.first = made(inputs, WIDTH, low=-steep, high=steep)
        self.first_bias = made(1, WIDTH, low=-2 * steep / 3, high=2 * steep / 3)
        reach = math.sqrt(3.0 / WIDTH)
        self.second = made(WIDTH, WIDTH, low=-reach, high=reach)
        self.second_bias = made(1, WIDTH, low=-0.5, high=0.5)
        self.last = made(WIDTH, 1, low=-0.3 * reach, high=0.3 * reach)
        self.line = nn.Parameter(torch.full((members, inputs, 1), 0.3 if rising else 0.0))  # |0| would learn nothing

    def forward(self, x):
        """(points, inputs) to (member, points)."""
        sign = torch.abs if self.rising else lambda weights: weights
        x = x.expand(len(self.first), *x.shape)                                         # (m, p, inputs)
        inner = torch.tanh(torch.baddbmm(self.first_bias, x, sign(self.first)))         # (m, p, 16)
        inner = torch.tanh(torch.baddbmm(self.second_bias, inner, sign(self.second)))   # (m, p, 16)
        return (inner @ sign(self.last) + x @ sign(self.line))[..., 0]                  # (m, p)


class Respiration(nn.Module):
    """R = softplus(base) · f(s) · g(T) + softplus(plant) · driver, or base · h(s, T) in place of f · g, by member.

    f = σ(network) lies in 0-1, g and h are exponentials of a network. ``base`` and ``plant`` have one value for each
    member and site. All is in units of the mean flux; the scale of base, f and g is fixed after the fit, by ``Breath``.
    """

    def __init__(self, members, sites, *, form="product", monotone=False, autotrophic=False, seed=0):
        super().__init__()
        generators = [torch.Generator().manual_seed(1000 * int(seed) + k) for k in range(members)]
        self.form = form
        if form == "product":
            self.wet = Small(1, members, generators=generators)
            self.warm = Small(1, members, rising=monotone, generators=generators)
        else:
            self.joint = Small(2, members, generators=generators)
        self.base = nn.Parameter(torch.full((members, sites), 1.0))
        self.plant = nn.Parameter(torch.full((members, sites), -2.0)) if autotrophic else None
        self.noise = nn.Parameter(torch.tensor([-1.0, -2.0]).repeat(members, sites, 1))

    def log_moisture(self, s):
        """log f at scaled moistures (p,): (member, p)."""
        return nn.functional.logsigmoid(self.wet(s[:, None]) + 1.0)

    def log_temperature(self, t):
        """log g at scaled temperatures (p,): (member, p), up to a constant."""
        return self.warm(t[:, None])

    def log_joint(self, s, t):
        """log h, or log f + log g, at scaled points (p,), (p,): (member, p)."""
        if self.form == "free":
            return self.joint(torch.stack([s, t], 1))
        return self.log_moisture(s) + self.log_temperature(t)


def nodes(x, limits, count):
    """Where the rows lie between the nodes: scaled nodes, lower node and share of the upper one, each by axis."""
    at = (x - limits[:, 0]) / (limits[:, 1] - limits[:, 0]) * (count - 1)
    lower = np.minimum(at.astype(int), count - 2)
    share = torch.as_tensor(at - lower, dtype=torch.float32)
    return torch.linspace(-1, 1, count), torch.as_tensor(lower), share


def logs(network, grid):
    """log of f · g, or of h, at the rows: (n, member)."""
    at, lower, share = grid
    s, t = lower.T
    left, up = share.T[:, :, None]                                                       # (n, 1) each
    if network.form == "product":
        wet, warm = network.log_moisture(at).T, network.log_temperature(at).T            # (node, member)
        return torch.lerp(wet.index_select(0, s), wet.index_select(0, s + 1), left) + \
            torch.lerp(warm.index_select(0, t), warm.index_select(0, t + 1), up)
    size = len(at)
    joint = network.log_joint(at.repeat_interleave(size), at.repeat(size)).T              # (node · node, member)
    corner = s * size + t
    low = torch.lerp(joint.index_select(0, corner), joint.index_select(0, corner + size), left)
    high = torch.lerp(joint.index_select(0, corner + 1), joint.index_select(0, corner + size + 1), left)
    return torch.lerp(low, high, up)


def misfit(network, batch, kind):
    """Loss of each row for each member, (n, member): negative log-likelihood without its constant."""
    place = batch["place"]
    positive = nn.functional.softplus
    mean = torch.exp(logs(network, batch["grid"])) * positive(network.base).T.index_select(0, place)
    if network.plant is not None:
        mean = mean + positive(network.plant).T.index_select(0, place) * batch["driver"][:, None]
    noise = positive(network.noise).permute(1, 0, 2).index_select(0, place)               # (n, member, 2)
    sigma = 0.01 + noise[..., 0] + noise[..., 1] * mean.detach()
    away = (batch["flux"][:, None] - mean) / sigma
    return torch.log(sigma) + (away.abs() if kind == "laplace" else 0.5 * away.square())


def trained(network, batch, kind, epochs, lr, decay, patience):
    """Train all members in place at once; each ends as it was when the weeks it left out were best foretold.

    The loss is a sum over members and Adam works on each weight alone, so a member is as if it were trained alone.
    """
    count = batch["count"].T                                                             # (n, member)
    out = (count == 0).float()
    inside, outside = count.sum(0), out.sum(0).clamp(min=1)
    nets = [p for name, p in network.named_parameters() if name.split(".")[0] in ("wet", "warm", "joint")]
    rest = [p for name, p in network.named_parameters() if name in ("base", "plant", "noise")]
    adam = torch.optim.AdamW([{"params": nets, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}], lr=lr)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs)
    best = {name: p.detach().clone() for name, p in network.named_parameters()}
    score = torch.full((len(inside),), math.inf)
    epoch = torch.zeros(len(inside), dtype=torch.long)
    for step in range(epochs + 1):
        each = misfit(network, batch, kind)
        if step % LOOK == 0 or step == epochs:
            found = ((each.detach() * out).sum(0) / outside)
            better = (found < score) & (step - epoch <= patience)
            for name, p in network.named_parameters():
                shape = (-1,) + (1,) * (p.ndim - 1)
                best[name] = torch.where(better.reshape(shape), p.detach(), best[name])
            score, epoch = torch.where(better, found, score), torch.where(better, step, epoch)
            if (step - epoch > patience).all():
                break
        adam.zero_grad()
        ((each * count).sum(0) / inside).sum().backward()
        adam.step()
        rates.step()
    network.load_state_dict(best)
    return score.double().numpy(), epoch.numpy()
