"""Parts of the networks for soil salinity: bands, indices, surroundings, and how they meet.

The study (Zhang et al. 2026, doi 10.1016/j.compag.2026.111748) names MODC, a ResNet of indices with two branches, CBAM
and cross-attention. Sizes, the gate, the places of tokens and how they are pooled are defaults of this project.
"""

import torch
import torch.nn.functional as F
from torch import nn

from phenolib.errors import InputError

KERNELS = 1, 3, 5, 7  # of the convolutions along the bands
FILTERS = 32  # of each of them
SIDE = 9  # tokens along a side of the window
NEAR = 120.0  # SD of the bell by which tokens count before anything is learned [m]


class MODC(nn.Module):
    """Tokens of a spectrum, one per band in the order of wavelength.

        token_j = W · concat_k ReLU(BN(conv_k(spectrum)))_j + place_j,   k = 1, 3, 5, 7 bands wide

    width   of a token
    bands   of the spectrum

    Kernels and the 32 filters of each are project defaults, so is the learned place, by which a token knows its band.
    """

    def __init__(self, width=64, bands=10):
        super().__init__()
        self.looks = nn.ModuleList(nn.Conv1d(1, FILTERS, k, padding=k // 2, bias=False) for k in KERNELS)
        self.norm = nn.BatchNorm1d(FILTERS * len(KERNELS))
        self.mix = nn.Conv1d(FILTERS * len(KERNELS), width, 1)
        self.place = nn.Parameter(torch.randn(bands, width))  # large: attention tells bands apart from the start

    def forward(self, spectrum):
        """Tokens (n, bands, width) of spectra (n, bands)."""
        return self.mix(F.relu(self.looked(spectrum))).transpose(1, 2) + self.place     # (n, bands, width)

    def looked(self, spectrum):
        """What the convolutions give before ReLU: (n, 128, bands), in evaluation mode linear in the spectrum."""
        x = spectrum[:, None]                                                           # (n, 1, bands)
        return self.norm(torch.cat([look(x) for look in self.looks], 1))                # (n, 128, bands)


class Residual(nn.Module):
    """x + W₂ ReLU(W₁ LN(x)); W₂ begins at 0, so that a fresh block passes on what it gets."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x):
        return x + self.second(F.relu(self.first(self.norm(x))))


class IndexResNet(nn.Module):
    """Features of the indices from two branches, one for plants and one for bare soil, mixed by NDVI.

        h = g · h_veg + (1 − g) · h_bare,   g = sigmoid((NDVI − centre) / hardness)

    width       of the features
    vegetation  indices that the first branch reads, which stand first
    salinity    indices that the second one reads
    centre      NDVI where both count the same [-]
    hardness    change of NDVI over which the gate opens [-]

    The two branches are the study's; three residual blocks each and the gate are project defaults.
    """

    def __init__(self, width=64, vegetation=16, salinity=19, *, centre=0.3, hardness=0.05):
        super().__init__()
        if not hardness > 0:
            raise InputError(f"hardness={hardness}: give the change of NDVI over which the gate opens, above 0")
        self.vegetation, self.centre, self.hardness = vegetation, centre, hardness
        self.green, self.bare = (nn.Sequential(nn.Linear(n, width), *(Residual(width) for _ in range(3)))
                                 for n in (vegetation, salinity))

    def gate(self, ndvi):
        """Share of the branch for plants, of NDVI of any shape."""
        return ((ndvi - self.centre) / self.hardness).sigmoid()

    def forward(self, indices, ndvi):
        """Features (…, width) of indices (…, vegetation + salinity) and NDVI (…) in its own unit."""
        g = self.gate(ndvi)[..., None]
        green, bare = indices[..., :self.vegetation], indices[..., self.vegetation:]
        return g * self.green(green) + (1 - g) * self.bare(bare)                        # (…, width)


class CBAM(nn.Module):
    """Attention to channels, then to places.

        F′ = σ(MLP(mean F) + MLP(max F)) ⊗ F,   F″ = σ(BN(conv([max_c F′; mean_c F′]))) ⊗ F′

    channels   of the map
    reduction  the MLP's hidden width is channels / reduction, and 8 at least
    kernel     side of the convolution of the spatial attention
    box        None, as published: the means and maxima are of the whole map, and the convolution is padded with zeros.
               A number: they are of a box of so many cells around each place, and nothing is padded, so that the map
               loses ``edge`` cells on each side, and no value depends on where the map ends

    Woo et al. (2018); 7 × 7 there, and a reduction of 16, which of 64 channels would leave 4.
    """

    def __init__(self, channels, reduction=8, *, kernel=7, box=None):
        super().__init__()
        hidden = max(channels // reduction, 8)
        self.mlp = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        self.look = nn.Conv2d(2, 1, kernel, padding=0 if box else kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(1)
        self.box = box
        self.edge = box // 2 + kernel // 2 if box else 0

    def forward(self, x):
        """The map (n, channels, h, w) again, with a box (n, channels, h − 2 · edge, w − 2 · edge)."""
        x = x * self.channels(x) if not self.box else crop(x, self.box // 2) * self.channels(x)
        places = self.places(x)
        return (crop(x, self.look.kernel_size[0] // 2) if self.box else x) * places

    def channels(self, x):
        """Weights of the channels, (n, channels, 1, 1), or of each place that a box fits around."""
        if self.box:
            mean = F.avg_pool2d(F.avg_pool2d(x, (self.box, 1), 1), (1, self.box), 1)
            most = F.max_pool2d(F.max_pool2d(x, (self.box, 1), 1), (1, self.box), 1)
        else:
            mean, most = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return (self.mlp(mean) + self.mlp(most)).sigmoid()

    def places(self, x):
        """Weights of the places, (n, 1, h, w)."""
        both = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)         # (n, 2, h, w)
        return self.norm(self.look(both)).sigmoid()


class Block(nn.Module):
    """Two convolutions 3 × 3, CBAM, and the input added; with a ``box`` nothing is padded, as in ``CBAM``.

    The second normalisation begins with the weight 0, so that a fresh block passes on what it gets.
    """

    def __init__(self, channels, stride=1, *, box=None, kernel=7):
        super().__init__()
        pad = 0 if box else 1
        self.stride, self.box = stride, box
        self.first = nn.Conv2d(channels, channels, 3, stride, pad, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, pad, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))
        nn.init.zeros_(self.norms[1].weight)
        self.attention = CBAM(channels, kernel=kernel, box=box)
        self.skip = nn.Conv2d(channels, channels, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        """(n, channels, h, w) to (n, channels, h / stride, w / stride), less the edges with a box."""
        y = F.relu(self.norms[0](self.first(x)))
        short = self.skip(crop(x, 1) if self.box else x)
        return self.rest(y, short)

    def dense(self, x):
        """The same for both grids that a stride of 2 can fall on in each direction: four maps, (4 · n, …).

        Rows and columns of the convolved map are even; see ``phases``.
        """
        y = F.relu(self.norms[0](F.conv2d(x, self.first.weight)))
        short = F.conv2d(crop(x, 1), self.skip.weight, self.skip.bias)
        return self.rest(phases(y), phases(short))

    def rest(self, y, short):
        """What follows the first convolution and the shortcut."""
        y = self.attention(self.norms[1](self.second(y)))
        return F.relu(y + (crop(short, 1 + self.attention.edge) if self.box else short))


class Spatial(nn.Module):
    """Tokens of the window around a pixel: a stem and three blocks with CBAM, 65 → 33 → 17 → 9 → 9.

    width, channels, layers   of a token, of the maps, of the input

    CBAM is the study's; three blocks and the strides are project defaults, and so is the learned place of a token.
    """

    def __init__(self, width=64, channels=64, layers=9):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(layers, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(channels, stride) for stride in (2, 2, 1)))
        self.project = nn.Conv2d(channels, width, 1)
        self.place = nn.Parameter(0.02 * torch.randn(SIDE**2, width))

    def forward(self, window):
        """Tokens (n, 81, width) of windows (n, layers, 65, 65), row by row from the north."""
        x = self.blocks(self.stem(window.contiguous(memory_format=torch.channels_last)))  # (n, channels, 9, 9)
        return self.project(x).flatten(2).transpose(1, 2) + self.place                  # (n, 81, width)


class CrossAttention(nn.Module):
    """Spatial tokens look at the tokens of the pixel.

        LN(x + W^O concat_j softmax(q_j k_jᵀ / √d) v_j),   q of the spatial tokens x, k and v of the pixel's

    width, heads   of the tokens; heads divide the width
    dropout        of what is added [-]
    """

    def __init__(self, width=64, heads=4, dropout=0.1):
        super().__init__()
        if width % heads:
            raise InputError(f"width={width} with heads={heads}: the heads must divide the width")
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out, self.norm, self.dropout = nn.Linear(width, width), nn.LayerNorm(width), nn.Dropout(dropout)

    def forward(self, spatial, pixel):
        """Tokens (n, queries, width) again, from those (n, queries, width) and the pixel's (n, keys, width)."""
        x = F.scaled_dot_product_attention(self.split(self.query(spatial)), *self.keys(pixel))
        return self.norm(spatial + self.dropout(self.out(x.transpose(1, 2).flatten(2))))

    def weights(self, spatial, pixel):
        """How much each spatial token looks at each of the pixel's, (n, heads, queries, keys)."""
        query, key = self.split(self.query(spatial)), self.keys(pixel)[0]
        return (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(-1)

    def keys(self, pixel):
        """Keys and values, (n, heads, keys, width / heads) each."""
        return [self.split(x) for x in self.key_value(pixel).chunk(2, -1)]

    def split(self, x):
        """(n, tokens, width) to (n, heads, tokens, width / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Pool(nn.Module):
    """Mean of spatial tokens with a learned weight for each place, which begins as a bell around the pixel.

    side   tokens along a side
    apart  metres between two of them

    A project default: with the plain mean, a few hundred samples do not teach a network that what is near counts more.
    """

    def __init__(self, side, apart):
        super().__init__()
        away = apart * (torch.arange(side) - (side - 1) / 2)
        self.logits = nn.Parameter((-0.5 * (away[:, None] ** 2 + away**2) / NEAR**2).flatten())

    def weights(self):
        """Of the tokens, row by row, (side²,); their sum is 1."""
        return self.logits.softmax(0)

    def forward(self, tokens):
        """(n, side², width) to (n, width)."""
        return torch.einsum("ntw,t->nw", tokens, self.weights())


def crop(x, edge):
    """The map (n, channels, h, w) without so many cells on each side."""
    return x[..., edge:x.shape[-2] - edge, edge:x.shape[-1] - edge]


def phases(x):
    """The four maps of every other row and column, (4 · n, channels, h / 2, w / 2), of (n, channels, h, w)."""
    return torch.cat([x[..., a::2, b::2] for a in (0, 1) for b in (0, 1)])
