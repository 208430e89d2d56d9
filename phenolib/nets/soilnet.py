"""SS-SoilNet: salt in the topsoil from a pixel's spectrum, its indices and what lies around it; and a dense form of it.

The study (Zhang et al. 2026, doi 10.1016/j.compag.2026.111748) names the blocks: a one-dimensional convolution along
the bands (MODC), a ResNet of indices with two branches, CBAM around the window of 65 × 65 pixels, and cross-attention
with queries from the window; the ablations too. Its summary tells no sizes. They are defaults of this project, as are
the gate, the places of the tokens, how they are pooled, and everything about ``DenseSoilNet``.
"""

import torch
import torch.nn.functional as F
from torch import nn

from phenolib.errors import InputError, near
from phenolib.nets.soil_blocks import CBAM, MODC, SIDE, Block, CrossAttention, IndexResNet, Pool, Spatial

__all__ = ["CBAM", "MODC", "CrossAttention", "DenseSoilNet", "IndexResNet", "SoilNet"]
MODES = "full", "stack", "spectral", "index"
WINDOW, PIXEL = 65, 10.0  # pixels along a side of the published window; side of a pixel [m]
STRIDE = 8  # pixels between two tokens of it
CELL = 20.0  # side of a cell that the dense form reads its layers in [m]
BOX, LOOK = 5, 3  # sides of the pooling and of the spatial attention in the dense form [cells]
APART = 3  # cells between its tokens, on the grid with half as many
PIXELS = 1024  # that the dense form computes at once, which fit into a processor's cache


class SoilNet(nn.Module):
    """log1p of the salt content from a spectrum, its indices and a window, in the study's form and its ablations.

    mode        "full": the window's tokens look at those of bands and indices (cross-attention), pooled, MLP
                "stack" (SS-Stack): spectrum, indices and window pooled and side by side, MLP
                "spectral" (Spec-Index): the same of spectrum and indices; reads no window
                "index" (Index): the indices alone; reads neither window nor bands
    width       of a token
    channels    of the maps of the window
    heads       of the cross-attention
    dropout     share [-]
    bands       of the spectrum, in the order of wavelength; another sensor may have fewer
    vegetation  indices of plants, which stand first among the indices
    salinity    indices of bare soil
    layers      of the window
    centre, hardness   of the gate between plants and bare soil, as in ``IndexResNet``
    raises      InputError for an unknown mode and a width that the heads do not divide

    The spectrum is pooled with a learned weight per band and channel, for a plain mean would not know one band from
    another; the window's tokens as in ``Pool``. Blocks and ablations are of Zhang et al. (2026); sizes are project
    defaults.
    """

    def __init__(self, mode="full", *, width=64, channels=64, heads=4, dropout=0.1, bands=10, vegetation=16,
                 salinity=19, layers=9, centre=0.3, hardness=0.05):
        super().__init__()
        if mode not in MODES:
            raise InputError(f"mode={mode!r}{near(mode, MODES)}")
        self.mode = mode
        self.shapes = {"indices": (vegetation + salinity,), "ndvi": ()}
        self.index = IndexResNet(width, vegetation, salinity, centre=centre, hardness=hardness)
        if mode != "index":
            self.shapes["bands"] = bands,
            self.spectral = MODC(width, bands)
        if mode in ("full", "stack"):
            self.shapes["window"] = layers, WINDOW, WINDOW
            self.spatial, self.near = Spatial(width, channels, layers), Pool(SIDE, STRIDE * PIXEL)
        if mode == "full":
            self.cross = CrossAttention(width, heads, dropout)
        elif mode != "index":
            self.pool = nn.Parameter(torch.full((bands, width), 1 / bands))
        self.head = head({"stack": 3, "spectral": 2}.get(mode, 1) * width, width, dropout)

    def forward(self, bands=None, indices=None, ndvi=None, window=None):
        """log1p of salt content [g/kg], (n,).

        bands    (n, bands)  reflectance in the order of wavelength, scaled to mean 0 and SD 1 of the training part
        indices  (n, vegetation + salinity)  scaled likewise, those of plants first
        ndvi     (n,)  as it is [-]
        window   (n, layers, 65, 65)  scaled likewise, rows from the north
        raises   InputError if one that the mode reads is lacking or has another shape; the others may be None
        """
        check(self.shapes, bands=bands, indices=indices, ndvi=ndvi, window=window)
        index = self.index(indices, ndvi)                                               # (n, width)
        if self.mode == "index":
            return self.head(index)[:, 0]
        tokens = self.spectral(bands)                                                   # (n, bands, width)
        if self.mode == "full":
            x = self.cross(self.spatial(window), torch.cat([tokens, index[:, None]], 1))  # (n, 81, width)
            return self.head(self.near(x))[:, 0]
        parts = [(tokens * self.pool).sum(1), index]
        if self.mode == "stack":
            parts.append(self.near(self.spatial(window)))
        return self.head(torch.cat(parts, 1))[:, 0]

    @torch.no_grad()
    def attention(self, bands, indices, ndvi, window):
        """How much each place of the window looks at each band and at the indices; arguments as ``forward``.

        returns  (n, heads, 81, bands + 1), 1 in sum over the last dimension; places row by row from the north, bands
                 in their order and the indices last. It tells where the network looks, not what moves its answer
        raises   InputError as ``forward``, and for a mode without attention
        """
        if self.mode != "full":
            raise InputError(f"mode={self.mode!r} has no attention to look at; the full one has")
        check(self.shapes, bands=bands, indices=indices, ndvi=ndvi, window=window)
        return self.cross.weights(self.spatial(window), pixel_tokens(self, bands, indices, ndvi))


class DenseSoilNet(nn.Module):
    """The full network in a form whose context is computed once for all pixels; a design of this project.

    The published block cannot share work between windows: its channel attention pools over each whole window, and
    its zeros stand at each window's own edge. Here the layers are read on a grid of 20 m, which is as fine as they
    are; channel attention pools over a box of 5 × 5 cells around each place, nothing is padded, and the queries are
    3 × 3 tokens 120 m apart. So what a place adds does not depend on where a patch ends, and neighbours share it.

        stem 3 × 3, a block of stride 2 with CBAM by boxes, tokens at −120, 0 and 120 m

    blocks   with CBAM; the first has stride 2, more of them have stride 1 and reach farther
    others   as ``SoilNet``

    With one block a patch is 33 cells or 660 m, about the published window; with two it is 53 cells.
    """

    def __init__(self, *, width=64, channels=32, heads=4, dropout=0.1, bands=10, vegetation=16, salinity=19, layers=9,
                 centre=0.3, hardness=0.05, blocks=1):
        super().__init__()
        self.spectral = MODC(width, bands)
        self.index = IndexResNet(width, vegetation, salinity, centre=centre, hardness=hardness)
        self.stem = nn.Sequential(nn.Conv2d(layers, channels, 3, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(channels, 1 if k else 2, box=BOX, kernel=LOOK) for k in range(blocks)))
        self.project = nn.Conv2d(channels, width, 1)
        self.place = nn.Parameter(0.02 * torch.randn(9, width))
        self.cross, self.near = CrossAttention(width, heads, dropout), Pool(3, 2 * CELL * APART)
        self.head = head(width, width, dropout)
        self.shapes = {"indices": (vegetation + salinity,), "ndvi": (), "bands": (bands,),
                       "patch": (layers, self.reach, self.reach)}

    @property
    def reach(self):
        """Cells along a side of the patch that one answer depends on."""
        radius, jump = 1, 1                                                             # of the stem
        for block in self.blocks:
            radius += jump                                                              # the first convolution
            jump *= block.stride
            radius += jump * (1 + block.attention.edge)
        return 2 * (radius + APART * jump) + 1

    @property
    def metres(self):
        """Side of that patch [m]."""
        return CELL * self.reach

    def forward(self, bands, indices, ndvi, patch):
        """log1p of salt content [g/kg], (n,).

        bands, indices, ndvi   as in ``SoilNet``
        patch    (n, layers, reach, reach)  layers in cells of 20 m, that of the pixel in the middle, rows from the
                 north
        raises   InputError for another shape
        """
        check(self.shapes, bands=bands, indices=indices, ndvi=ndvi, patch=patch)
        x = self.cross(self.context(patch), pixel_tokens(self, bands, indices, ndvi))   # (n, 9, width)
        return self.head(self.near(x))[:, 0]

    @torch.no_grad()
    def attention(self, bands, indices, ndvi, patch):
        """As ``SoilNet.attention``, (n, heads, 9, bands + 1)."""
        check(self.shapes, bands=bands, indices=indices, ndvi=ndvi, patch=patch)
        return self.cross.weights(self.context(patch), pixel_tokens(self, bands, indices, ndvi))

    def context(self, patch):
        """Tokens (n, 9, width) of patches (n, layers, reach, reach), row by row from the north."""
        x = self.blocks(self.stem(patch.contiguous(memory_format=torch.channels_last)))  # (n, channels, 7, 7)
        return self.project(x[..., ::APART, ::APART]).flatten(2).transpose(1, 2) + self.place

    @torch.no_grad()
    def dense(self, bands, indices, ndvi, layers):
        """log1p of salt content of every pixel of a scene: what ``forward`` gives for the patch around its cell.

        bands    (bands, rows, columns), indices (vegetation + salinity, rows, columns), ndvi (rows, columns), scaled
                 as in ``forward``; tensors or arrays, rows and columns even: 2 × 2 pixels are a cell
        layers   (layers, rows / 2 + reach − 1, columns / 2 + reach − 1)  cells of 20 m, with half of reach − 1 on each
                 side of the pixels
        returns  (rows, columns)  NaN where an input of the pixel, or one cell of its patch, is NaN
        raises   InputError for another shape, and in training mode

        The layers are convolved at once, at about 1.5 kB a cell for 32 channels; pixels go through in small parts.
        """
        rows, columns = ndvi.shape[-2:]
        if self.training:
            raise InputError("the network is in training mode, where pixels depend on one another; call eval() first")
        if rows % 2 or columns % 2:
            raise InputError(f"ndvi has {rows} × {columns} pixels; give even numbers, for 2 × 2 of them are a cell")
        more = self.reach - 1
        shapes = {name: (*self.shapes[name], rows, columns) for name in ("bands", "indices", "ndvi")}
        shapes["layers"] = self.shapes["patch"][0], rows // 2 + more, columns // 2 + more
        given = {"bands": bands, "indices": indices, "ndvi": ndvi, "layers": layers}
        check(shapes, batch=False, **given)
        like = self.place
        bands, indices, ndvi, layers = (torch.as_tensor(x) for x in given.values())
        field, frozen = self.field(layers.to(like)), Frozen(self)
        found = like.new_empty(rows, columns)
        wide = min(columns // 2, PIXELS // 4)
        high = max(1, PIXELS // 4 // wide)                                              # cells of a part
        for top in range(0, rows // 2, high):
            for left in range(0, columns // 2, wide):
                h, w = min(high, rows // 2 - top), min(wide, columns // 2 - left)
                at = slice(2 * top, 2 * (top + h)), slice(2 * left, 2 * (left + w))
                tokens = torch.stack([field[top + a:top + a + h, left + b:left + b + w] for a in self.steps
                                      for b in self.steps], 2).flatten(0, 1)            # (cells, 9, 2 · width)
                pixels = (by_cell(x[..., *at].to(like)) for x in (bands, indices, ndvi[None]))
                some = frozen(tokens, *pixels)                                          # (cells, 4)
                found[at] = some.view(h, w, 2, 2).transpose(1, 2).reshape(2 * h, 2 * w)
        return found

    @property
    def steps(self):
        """Cells from the first token of a cell to each along a row."""
        return [2 * APART * k for k in range(3)]

    def field(self, layers):
        """Tokens without their place, and their queries, side by side: (h + 12, w + 12, 2 · width) for h × w cells."""
        h, w = (n - self.reach + 1 for n in layers.shape[1:])
        x = F.pad(layers[None], (0, w % 2, 0, h % 2), mode="replicate")                 # both grids alike
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        x = self.project(self.blocks[1:](self.blocks[0].dense(x)))                      # (4, width, h / 2 + 6, …)
        x = x.unflatten(0, (2, 2)).permute(3, 0, 4, 1, 2).flatten(2, 3).flatten(0, 1)   # (h + 12, w + 12, width)
        query = self.cross.query
        return torch.cat([central(x), F.linear(x, query.weight)], -1)


class Frozen:
    """What ``DenseSoilNet`` does with pixels in evaluation mode, as few and large products in memory that stays.

    Without ReLU between them, the convolutions along the bands with their normalisation are one matrix, and so are
    the mixture of the filters and the keys and values.
    """

    def __init__(self, network):
        self.network, spectral, self.cross = network, network.spectral, network.cross
        self.bands, self.width = spectral.place.shape
        self.size = self.width // self.cross.heads                                      # of one head
        zero = spectral.looked(network.place.new_zeros(1, self.bands)).transpose(1, 2).flatten()
        unit = spectral.looked(torch.eye(self.bands).to(network.place)).transpose(1, 2).flatten(1)
        self.bias, self.look = zero, unit - zero                                        # (bands · 128), (bands, …)
        mix = spectral.mix
        self.key_value = mix.weight[:, :, 0].T @ self.cross.key_value.weight.T          # (128, 2 · width)
        self.key_value_place = self.cross.key_value(spectral.place + mix.bias)          # (bands, 2 · width)
        self.place = central(network.place + self.cross.out.bias)                       # (9, width)
        self.near = network.near.weights()                                              # (9,)
        self.out = central(self.cross.out.weight.T)                                     # (width, width)
        self.query_place = self.cross.query(network.place)                              # (9, width)
        self.kept = {}

    def __call__(self, tokens, bands, indices, ndvi):
        """log1p (cells, 4) from tokens (cells, 9, 2 · width), bands and indices (cells, 4, …), NDVI (cells, 4, 1)."""
        cells = len(tokens)
        look, memory, query, score, weight, seen, x = self.room(cells)
        torch.addmm(self.bias, bands.flatten(0, 1), self.look, out=look).relu_()        # (n, bands · 128)
        for j, one in enumerate(look.chunk(self.bands, 1)):
            torch.mm(one, self.key_value, out=memory[:, j])                             # (n, 2 · width)
        memory[:, :-1] += self.key_value_place
        memory[:, -1] = self.cross.key_value(self.network.index(indices.flatten(0, 1), ndvi.flatten()))
        heads = [slice(j * self.size, (j + 1) * self.size) for j in range(self.cross.heads)]
        of_head = [slice(9 * j, 9 * j + 9) for j in range(self.cross.heads)]
        asked = (tokens[..., self.width:] + self.query_place).mul_(self.size**-0.5).transpose(1, 2)
        for at, nine in zip(heads, of_head):
            query[:, at, nine] = asked[:, at]                                           # zero where heads differ
        key, value = memory[..., :self.width], memory[..., self.width:]                 # (n, bands + 1, width)
        torch.bmm(key.reshape(cells, -1, self.width), query, out=score.view(cells, -1, query.shape[-1]))
        torch.softmax(score, 1, out=weight)                                             # (n, bands + 1, 9 · heads)
        for at, nine in zip(heads, of_head):
            seen[..., at] = weight[..., nine].transpose(1, 2) @ value[..., at]          # (n, 9, size)
        x.view(cells, 4, 9, -1).copy_((tokens[..., :self.width] + self.place)[:, None])
        x.view(-1, self.width).addmm_(seen.view(-1, self.width), self.out)              # (n · 9, width), centred
        norm = self.cross.norm
        size = torch.linalg.vector_norm(x, dim=2).square_().div_(self.width).add_(norm.eps).rsqrt_()
        x = torch.bmm((size * self.near)[:, None], x)[:, 0] * norm.weight + norm.bias   # (n, width)
        return self.network.head(x).view(cells, 4)

    def room(self, cells):
        """Memory for filters, keys with values, queries, scores, weights, what is seen and what it is added to."""
        if cells not in self.kept:
            n, heads = 4 * cells, self.cross.heads
            score = n, self.bands + 1, 9 * heads
            shapes = ((n, self.bias.numel()), (n, self.bands + 1, 2 * self.width), (cells, self.width, 9 * heads),
                      score, score, (n, 9, self.width), (n, 9, self.width))
            self.kept[cells] = [self.bias.new_zeros(shape) for shape in shapes]
        return self.kept[cells]


def pixel_tokens(network, bands, indices, ndvi):
    """Tokens of the bands and, last, of the indices, (n, bands + 1, width)."""
    return torch.cat([network.spectral(bands), network.index(indices, ndvi)[:, None]], 1)


def head(inputs, width, dropout):
    """The last layers: inputs → width → 1."""
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1))


def central(x):
    """Without the mean over the last dimension, as LayerNorm takes it away."""
    return x - x.mean(-1, keepdim=True)


def by_cell(x):
    """Pixels (features, 2 · h, 2 · w) as (h · w, 4, features), a cell's four together."""
    features, rows, columns = x.shape
    return x.view(features, rows // 2, 2, columns // 2, 2).permute(1, 3, 2, 4, 0).reshape(-1, 4, features)


def check(shapes, *, batch=True, **given):
    """Refuse arguments that are lacking or have another shape; what ``shapes`` does not name is not looked at."""
    n = (len(given["indices"]),) if batch and given["indices"] is not None else ()
    for name, shape in shapes.items():
        shape = (*n, *shape)
        if given[name] is None or tuple(given[name].shape) != shape:
            found = "nothing" if given[name] is None else f"the shape {tuple(given[name].shape)}"
            raise InputError(f"{name} has {found}; the network reads {shape}")
