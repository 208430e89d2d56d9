"""Parts that networks share: a branch of convolutions, an encoder layer, the encoding of days."""

import torch
import torch.nn.functional as F
from torch import nn

from phenolib.errors import InputError

PATCH = 18  # rows and columns of a patch
FILTERS = 32, 64, 128
KERNEL = 5


class ConvBranch(nn.Module):
    """Three convolutions 5×5 with ReLU, 32, 64 and 128 filters, max-pooling 2×2 after the second.

    The filters, ReLU and the pooling are the study's. Ours, because it leaves them open or says two things: all three
    kernels are 5×5, the pooling is a maximum of stride 2, and nothing is padded, for which 18 pixels are the size that
    ends in one: 18 → 14 → 10 → 5 → 1. ``padding="same"`` ends in 9×9.

    The branch gives two things: the last layer, and the mean of each of the ``levels`` over its pixels (the second
    level after its pooling), which the fusion of sensors reads.

    channels  of the input
    padding   "valid" or "same"
    levels    0, 1, 2: layers whose means are given

    Zhao et al. (2022), section 3.1; 257,824 weights for two channels.
    """

    def __init__(self, channels=2, *, padding="valid", levels=(0, 1, 2)):
        super().__init__()
        sizes = (channels, *FILTERS)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, KERNEL, padding=padding) for a, b in zip(sizes, sizes[1:]))
        self.padding, self.levels = padding, levels
        self.features = FILTERS[-1] * (1 if padding == "valid" else (PATCH // 2) ** 2)
        self.means = sum(FILTERS[k] for k in levels)

    def forward(self, patches):
        """Features (n, 128 · H · W) and means of the levels (n, 32 + 64 + 128) of patches (n, 18, 18, channels)."""
        x = patches.permute(0, 3, 1, 2)                              # (n, 2, 18, 18)
        first = F.relu(self.layers[0](x))                            # (n, 32, 14, 14)
        second = F.max_pool2d(F.relu(self.layers[1](first)), 2)      # (n, 64, 5, 5)
        third = F.relu(self.layers[2](second))                       # (n, 128, 1, 1)
        layers = first, second, third
        return third.flatten(1), torch.cat([layers[k].mean((2, 3)) for k in self.levels], 1)

    def dense(self, scene):
        """The same of every patch of a scene, each convolution done once for all the patches that share it.

        Pooling with stride 1 keeps what each of the overlapping patches would have pooled; two neighbours in a pooled
        patch are then two pixels apart, so what follows has dilation 2.

        scene    (n, rows, columns, channels), at least 18 × 18
        returns  features (n, 128, rows − 17, columns − 17) and means (n, 224, rows − 17, columns − 17); place (i, j)
                 is the patch whose first pixel is (i, j)
        raises   InputError with padding "same": the zeros around a patch are its own
        """
        if self.padding != "valid":
            raise InputError("a whole scene shares convolutions between patches, and the zeros that padding='same' "
                             "puts around a patch are its own; use padding='valid', or patch by patch")
        x = scene.permute(0, 3, 1, 2)                                # (n, 2, rows, columns)
        first = F.relu(self.layers[0](x))                            # (n, 32, rows − 4, columns − 4)
        second = F.max_pool2d(F.relu(self.layers[1](first)), 2, 1)   # (n, 64, rows − 9, columns − 9)
        last = self.layers[2]
        third = F.relu(F.conv2d(second, last.weight, last.bias, dilation=2))  # (n, 128, rows − 17, columns − 17)
        means = {0: lambda: _moving_mean(first, 14, 1), 1: lambda: _moving_mean(second, 5, 2), 2: lambda: third}
        return third, torch.cat([means[k]() for k in self.levels], 1)


def _moving_mean(x, size, step):
    """Mean over size × size values that lie ``step`` apart: (n, channels, rows − (size − 1) · step, …)."""
    for axis in (2, 3):
        count = x.shape[axis] - (size - 1) * step
        x = sum(x.narrow(axis, k * step, count) for k in range(size)) / size
    return x


class EncoderLayer(nn.Module):
    """One layer of a Transformer's encoder, which looks only at the tokens that are there.

        x′ = MHSA(LN(x)) + x,    x″ = FFN(LN(x′)) + x′     as in the vision Transformer that the study cites
        x′ = MHSA(LN(x) + x),    x″ = LN(FFN(x′) + x′)     as the study prints it, with ``literal_eq45``

    The first is the default; this, GELU in FFN, and where dropout stands are ours.

    width    of a token
    heads    of the attention; they divide the width
    hidden   width inside FFN

    Zhao et al. (2022), eqs 4 and 5.
    """

    def __init__(self, width, heads, hidden, *, dropout=0.1, literal_eq45=False):
        super().__init__()
        self.heads, self.literal = heads, literal_eq45
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.ffn = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, there):
        """Tokens (batch, tokens, width) again; ``there`` (batch, tokens) is False for those nobody looks at."""
        first, second = self.norms
        if self.literal:
            x = self.attend(first(x) + x, there)                     # (batch, tokens, width)
            return second(self.dropout(self.ffn(x)) + x)
        x = self.dropout(self.attend(first(x), there)) + x           # (batch, tokens, width)
        return self.dropout(self.ffn(second(x))) + x

    def attend(self, x, there):
        """Self-attention of several heads, (batch, tokens, width)."""
        x = F.scaled_dot_product_attention(*self._heads(x), attn_mask=there[:, None, None, :])
        return self.out(x.transpose(1, 2).flatten(2))                # (batch, tokens, width)

    def attention(self, x, there):
        """How much each token looks at each of those that are there, of ``forward``'s arguments.

        returns  (batch, heads, tokens, tokens), 1 in sum over the last dimension
        """
        first = self.norms[0](x)
        query, key, _ = self._heads(first + x if self.literal else first)
        score = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5  # (batch, heads, tokens, tokens)
        return score.masked_fill(~there[:, None, None, :], -torch.inf).softmax(-1)

    def _heads(self, x):
        """Query, key and value of each head, (batch, heads, tokens, width / heads) each."""
        return [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.query_key_value(x).chunk(3, -1)]


def day_encoding(days, width):
    """Sines and cosines of a day at periods from 2π to almost 2π · 10⁴ days, so that a token knows its date.

    days     (…) [days]
    width    even number of values per day
    returns  (…, width)

    >>> day_encoding(torch.tensor([0.0]), 4)
    tensor([[0., 0., 1., 1.]])
    """
    rate = 1e4 ** (-torch.arange(0, width, 2, device=days.device) / width)  # [radians per day]
    angle = days[..., None] * rate                                   # (…, width / 2)
    return torch.cat([angle.sin(), angle.cos()], -1)
