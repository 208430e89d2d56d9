"""Root traits from masks: length, diameter, branch points, and how well a predicted mask agrees with a drawn one.

Lengths are those of smoothed paths along the skeleton. The library skan sums steps of 1 and √2, which is 5 % too long
on average over angles, ends half a width before each tip, and takes 3 s to import, so it is one of the methods of
``length`` and loaded for that alone. Thinned after Lee et al. (1994): the faster rule of Zhang & Suen (1984) may eat
up a root that runs at 45°.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phenolib.errors import InputError, near

METHODS = ("smooth", "kimura", "skan")
CLASSES = (0.2, 0.4, 0.6, 0.8, 1.0)  # bounds of the diameter classes [mm]
HOLE = 4  # pixels: a hole up to this is filled, for it would be a loop of the skeleton
SPECK = 2.0  # widths: an object shorter than this is no root
ROUNDS, IN, OUT = 16, 0.6, -0.63  # smoothing: a step towards the neighbours and one back, so that curves do not shrink
EDGE = 0.35  # pixels from the middle of the last pixel of a root to its end, on average over directions and tips
WIDTH_ROUNDS = 8  # of smoothing the width along a branch
BRIDGE = 5.0  # widths that the shared stretch of two crossing roots may be long
BEND = 30.0  # degrees that a root may turn where it crosses another


@dataclass(frozen=True)
class Traits:
    """Traits of the roots in one image.

    length_mm         sum over all roots, tip to tip [mm]
    rld_cm_cm3        root length density: length over image area times depth of field [cm cm⁻³]
    planar_cm_cm2     length over image area [cm cm⁻²]
    branch_points     places where a root leaves another one
    crossings         places where a root runs over another one
    branching_cm      branch points per length [cm⁻¹]; NaN without length
    diameter_mm       mean over the length [mm]; NaN without length
    area_mm2          of the mask [mm²]
    by_class_mm       length by diameter class [mm]: class as text, e.g. "0.2–0.4" in mm, to length
    """

    length_mm: float
    rld_cm_cm3: float
    planar_cm_cm2: float
    branch_points: int
    crossings: int
    branching_cm: float
    diameter_mm: float
    area_mm2: float
    by_class_mm: dict


def traits(mask, *, mm_per_pixel, depth_of_field_mm=2.0, prune=1.0, classes=CLASSES):
    """Length, density, branching and diameters of the roots in a mask.

    RLD = L / (A · d)     L length, A area of the image, d depth of field

    mask               (y, x) root or not
    mm_per_pixel       width of a pixel [mm]
    depth_of_field_mm  depth of the soil in which the camera sees roots [mm]; 2–3 by custom, 0.78 as measured by
                       Taylor et al. (2014): RLD is as sure as this number
    prune              spurs shorter than this many root widths are no branches
    classes            bounds of the diameter classes, rising [mm]
    returns            Traits
    raises             InputError for what is no mask, and for sizes that are not above 0

    The diameter at a place of the skeleton is the area of the mask that lies nearest to it over its length, so that the
    mean diameter is area over length. Where roots cross, area is counted once, as it is seen.
    """
    pixel, depth = _positive("mm_per_pixel", mm_per_pixel), _positive("depth_of_field_mm", depth_of_field_mm)
    bounds = np.asarray(classes, float)
    if bounds.ndim != 1 or not bounds.size or not (np.diff([0, *bounds]) > 0).all():
        raise InputError(f"classes = {classes} are no diameter classes; give bounds above 0 that rise [mm]")
    mask = _mask(mask)
    network = _network(mask, prune)
    along, diameter = network.along * pixel, network.width * pixel
    total, area = along.sum(), mask.size * pixel**2
    branch_points, crossings = network.count()
    lengths = np.bincount(np.searchsorted(bounds, diameter, side="right"), along, bounds.size + 1)
    names = [f"{a:g}–{b:g}" for a, b in zip([0, *bounds], bounds)] + [f"above {bounds[-1]:g}"]
    return Traits(
        length_mm=float(total), rld_cm_cm3=float(total / (area * depth) * 100), planar_cm_cm2=float(total / area * 10),
        branch_points=branch_points, crossings=crossings,
        branching_cm=float(branch_points / total * 10) if total else np.nan,
        diameter_mm=float((along * diameter).sum() / total) if total else np.nan,
        area_mm2=float(mask.sum() * pixel**2), by_class_mm=dict(zip(names, lengths.tolist())),
    )


def length(mask, *, method="smooth", prune=1.0):
    """Length of all roots in a mask or of a skeleton [pixels].

    mask     (y, x) root or not; a skeleton is a mask whose roots are one pixel wide
    method   smooth  the pixels of each branch of the skeleton as a smoothed path (Taubin 1995), from tip to tip: a
                     skeleton ends about half a width before its root does and is carried on to the end of the mask.
                     So a line drawn with round ends is a width longer than from its first point to its last
             kimura  √(n_d² + (n_d + n_o/2)²) + n_o/2 of each branch with n_o straight and n_d diagonal steps,
                     Kimura et al. (1999): right at 0° and 45°, up to 3 % too long between, tips left out
             skan    sum of steps of 1 and √2 as by the library skan, Nunez-Iglesias et al. (2018): up to 8 % too
                     long, tips left out
    prune    spurs shorter than this many root widths are left out
    returns  length [pixels]; 0 for an empty mask
    raises   InputError for what is no mask, or an unknown method
    """
    if method not in METHODS:
        raise InputError(f"method '{method}' is unknown{near(method, METHODS)}")
    mask = _mask(mask)
    network = _network(mask, prune)
    if method == "smooth":
        return float(network.along.sum())
    if method == "kimura":
        return network.kimura()
    if not network.flat.size:
        return 0.0
    from skan import Skeleton

    return float(Skeleton(network.image()).path_lengths().sum())


def skeleton(mask, *, prune=1.0):
    """The middle lines of the roots in a mask, one pixel wide.

    mask     (y, x) root or not
    prune    spurs shorter than this many root widths are taken away; the width is that of the mask where they leave
    returns  (y, x) bool
    raises   InputError for what is no mask

    Holes of up to 4 pixels are filled; an object shorter than twice its width is a speck and has no skeleton.
    """
    mask = _mask(mask)
    return _network(mask, prune).image()


def score(predicted, mask, *, tolerance=2):
    """How well a predicted mask agrees with a drawn one.

    predicted, mask  (y, x) root or not
    tolerance        distance up to which a pixel counts as met [pixels]
    returns          dict of shares: dice, iou; cldice (Shit et al. 2021), of the skeletons; tolerant_precision
                     (predicted pixels near drawn ones), tolerant_recall (drawn pixels near predicted ones) and
                     tolerant_dice. Two empty masks agree (1), one empty mask does not (0)
    raises           InputError for what is no mask, two sizes, or a negative tolerance

    >>> line = np.zeros((9, 40))
    >>> line[4] = 1
    >>> found = score(np.roll(line, 1, axis=0), line)
    >>> found["dice"], found["tolerant_dice"]
    (0.0, 1.0)
    """
    if not 0 <= tolerance < np.inf:
        raise InputError(f"tolerance = {tolerance} is out of range; give pixels from 0")
    predicted, mask = _mask(predicted, "the predicted mask"), _mask(mask, "the drawn mask")
    if predicted.shape != mask.shape:
        raise InputError(f"the predicted mask is {predicted.shape} and the drawn one {mask.shape}; give equal sizes")
    names = ("dice", "iou", "cldice", "tolerant_precision", "tolerant_recall", "tolerant_dice")
    if not (predicted.any() and mask.any()):
        return dict.fromkeys(names, float(predicted.any() == mask.any()))
    both = (predicted & mask).sum()
    dice = 2 * both / (predicted.sum() + mask.sum())
    thin = _share(_thinned(predicted), mask), _share(_thinned(mask), predicted)
    met = _share(predicted, _near(mask, tolerance)), _share(mask, _near(predicted, tolerance))
    values = dice, dice / (2 - dice), _harmonic(*thin), *met, _harmonic(*met)
    return dict(zip(names, map(float, values)))


class Network:
    """A skeleton as a graph: its pixels, and which of them are neighbours.

    mask     (y, x) bool, with a margin of one pixel that is not root
    flat     (n,) places of the skeleton's pixels in the flat mask, rising
    half     (n,) distance to the edge of the mask [pixels]

    A diagonal pair is no link where a third pixel makes a way round of straight steps, so that a pixel with three links
    or more is a junction. Touching junctions make one node; the pixels between nodes and tips make a branch. Where a
    branch leaves a node it has an arm: pixel ``node`` of node ``hub``, and next to it pixel ``leaf`` of ``branch``.
    """

    def __init__(self, mask, flat, half):
        self.mask, self.flat, self.half = mask, flat, half
        across, size = mask.shape[1], flat.size
        number = np.full(mask.size, -1, np.int32)
        number[flat] = np.arange(size)
        links = []
        for step, round_by in ((1, ()), (across, ()), (across + 1, (1, across)), (across - 1, (-1, across))):
            other = number[flat + step]
            linked = other >= 0
            for way in round_by:
                linked &= number[flat + way] < 0
            links.append(np.stack([np.flatnonzero(linked), other[linked]]))
        self.a, self.b = np.concatenate(links, axis=1)
        self.diagonal = np.arange(self.a.size) >= links[0].shape[1] + links[1].shape[1]
        ends = np.concatenate([self.a, self.b])
        self.degree = np.bincount(ends, minlength=size)
        self.neighbours = np.concatenate([self.b, self.a])[np.argsort(ends, kind="stable")]
        self.first = np.cumsum(self.degree) - self.degree
        self.junction = self.degree >= 3
        within = self.junction[self.a] == self.junction[self.b]
        self.parts, self.part = _connected(self.a[within], self.b[within], size)
        a, b = self.a[~within], self.b[~within]
        self.node, self.leaf = np.where(self.junction[a], a, b), np.where(self.junction[a], b, a)
        self.branch, self.hub = self.part[self.leaf], self.part[self.node]

    @cached_property
    def place(self):
        "(n, 2) row and column; the pixels of a node lie in its middle."
        place = np.stack(np.divmod(self.flat, self.mask.shape[1]), axis=1).astype(float)
        hub = self.part[self.junction]
        count = np.bincount(hub, minlength=self.parts)[hub]
        for axis in (0, 1):
            place[self.junction, axis] = np.bincount(hub, place[self.junction, axis], self.parts)[hub] / count
        return place

    @cached_property
    def path(self):
        "(n, 2) smoothed row and column; nodes and tips stay."
        from scipy.sparse import csr_array, diags_array, eye_array

        between, size = np.flatnonzero(self.degree == 2), self.flat.size
        sides = self.neighbours[self.first[between, None] + np.arange(2)]
        mean = csr_array((np.full(sides.size, 0.5), (np.repeat(between, 2), sides.ravel())), shape=(size, size))
        pull, stay = mean - diags_array((self.degree == 2) * 1.0, format="csr"), eye_array(size, format="csr")
        step = (stay + OUT * pull) @ (stay + IN * pull)
        path = self.place
        for _ in range(ROUNDS):
            path = step @ path
        return path

    @cached_property
    def around(self):
        "Pixels of the mask (m, 2), and the pixel of the skeleton that is nearest to each (m,); not those of specks."
        pixels = np.argwhere(self.mask if self.flat.size else np.zeros((0, 0)))
        far, nearest = _nearest(np.stack(np.divmod(self.flat, self.mask.shape[1]), axis=1), pixels)
        near = far <= 2 * self.half[nearest] + 1
        return pixels[near], nearest[near]

    @cached_property
    def beyond(self):
        "(n,) distance from a tip to the edge of the mask, straight on [pixels]; 0 elsewhere."
        beyond, tips = np.zeros(self.flat.size), np.flatnonzero(self.degree == 1)
        back = self.walk(self.neighbours[self.first[tips]], tips, 2 * self.half[tips] + 2)
        ahead = np.zeros(self.path.shape)
        ahead[tips] = _unit(self.path[tips] - self.path[back])
        pixels, tip = (part[self.degree[self.around[1]] == 1] for part in self.around)
        np.maximum.at(beyond, tip, ((pixels - self.path[tip]) * ahead[tip]).sum(1) + EDGE)
        return beyond

    @cached_property
    def along(self):
        "(n,) length of path that belongs to a pixel: half of that to each neighbour, and all of it beyond a tip."
        steps, size = np.hypot(*(self.path[self.a] - self.path[self.b]).T) / 2, self.flat.size
        return np.bincount(self.a, steps, size) + np.bincount(self.b, steps, size) + self.beyond

    @cached_property
    def width(self):
        "(n,) width of the mask across the path [pixels]: the area nearest to a pixel over its length, smoothed along."
        from scipy.sparse import coo_array, eye_array

        size = self.flat.size
        area = np.bincount(self.around[1], minlength=size)
        both = np.stack([area, self.along], axis=1)
        mix = coo_array((np.ones(self.a.size), (self.a, self.b)), shape=(size, size)).tocsr()
        mix = mix + mix.T + eye_array(size, format="csr")
        for _ in range(WIDTH_ROUNDS):
            both = mix @ both
        return both[:, 0] / np.maximum(both[:, 1], 1e-9)

    @cached_property
    def branch_length(self):
        "(parts,) length of each branch from node or tip to node or tip [pixels]; that of a node is 0."
        steps = np.hypot(*(self.place[self.a] - self.place[self.b]).T)
        return np.bincount(self.owner, steps, self.parts)

    @property
    def owner(self):
        "(links,) the branch that a link belongs to, or the node for a link inside of it."
        return self.part[np.where(self.junction[self.a], self.b, self.a)]

    @cached_property
    def node_width(self):
        "(parts,) width of the mask at each node [pixels]; that of a branch is 0."
        wide = np.zeros(self.parts)
        np.maximum.at(wide, self.part[self.junction], 2 * self.half[self.junction])
        return wide

    def walk(self, at, before, steps):
        "The pixels that one reaches from ``at``, coming from ``before``, after so many steps or at the branch's end."
        at, before = at.copy(), before.copy()
        for k in range(int(steps.max(initial=0))):
            on = np.flatnonzero((steps >= k + 1) & (self.degree[at] == 2))
            one, two = (self.neighbours[self.first[at[on]] + side] for side in (0, 1))
            at[on], before[on] = np.where(one == before[on], two, one), at[on]
        return at

    def kimura(self):
        diagonal = np.bincount(self.owner[self.diagonal], minlength=self.parts)
        straight = np.bincount(self.owner[~self.diagonal], minlength=self.parts)
        return float((np.hypot(diagonal, diagonal + straight / 2) + straight / 2).sum())

    def image(self):
        "(y, x) bool of the skeleton, without the margin."
        image = np.zeros(self.mask.size, bool)
        image[self.flat] = True
        return image.reshape(self.mask.shape)[1:-1, 1:-1]

    def kept(self, keep):
        return Network(self.mask, self.flat[keep], self.half[keep])

    def pruned(self, prune):
        "Without spurs shorter than so many widths; where a node has nothing else, its two longest stay."
        spur = np.bincount(self.branch, minlength=self.parts)[self.branch] == 1
        short = spur & (self.branch_length[self.branch] < prune * self.node_width[self.hub])
        if not short.any():
            return self
        order = np.lexsort((-self.branch_length[self.branch], short, self.hub))
        rank = np.empty(order.size, int)
        rank[order] = np.arange(order.size) - np.searchsorted(self.hub[order], self.hub[order])
        stays = np.bincount(self.hub[~short], minlength=self.parts)[self.hub]
        gone = np.zeros(self.parts, bool)
        gone[self.branch[short & ((stays > 0) | (rank >= 2))]] = True
        return self.kept(~gone[self.part]).pruned(prune) if gone.any() else self

    def without_specks(self):
        "Without objects that are shorter than twice their width."
        objects, label = _connected(self.a, self.b, self.flat.size)
        wide = np.zeros(objects)
        np.maximum.at(wide, label, 2 * self.half)
        steps = np.bincount(label[self.a], np.hypot(*(self.place[self.a] - self.place[self.b]).T), objects)
        tips = np.bincount(label, np.where(self.degree == 1, self.half, 0), objects)
        speck = steps + tips < SPECK * wide
        return self.kept(~speck[label]) if speck.any() else self

    def count(self):
        """Branch points and crossings.

        Nodes closer than a root width are one. Four arms are a crossing where two and two of them lie on one straight
        line within 30°. Roots that cross at an acute angle share a stretch, so two nodes with three arms each that are
        up to five widths apart are tried as one node with four arms. All else with three arms or more is a branch
        point. Two laterals that leave a root at right angles and opposite each other look like a crossing, and are
        counted as one.
        """
        wide = self.node_width[self.hub]
        start, stop = (self.walk(self.leaf, self.node, widths * wide) for widths in (1, 3))
        start = np.where(start == stop, self.node, start)
        here, ahead = self.path[start], _unit(self.path[stop] - self.path[start])

        order = np.argsort(self.branch, kind="stable")
        double = np.flatnonzero(np.diff(self.branch[order]) == 0)
        one, two = order[double], order[double + 1]  # the two arms of a branch between nodes
        apart = self.branch_length[self.branch[one]] / np.maximum(wide[one], wide[two])
        short = apart < 1
        group = _connected(self.hub[one][short], self.hub[two][short], self.parts)[1][self.hub]
        arms = {}
        for arm in np.setdiff1d(np.arange(group.size), np.concatenate([one[short], two[short]])):
            arms.setdefault(group[arm], []).append(arm)

        def taken(groups, bridge=()):
            four = [arm for g in groups for arm in arms.get(g, ()) if arm not in bridge]
            if len(four) != 4 or not _straight(here[four], ahead[four]):
                return 0
            for g in groups:
                del arms[g]
            return 1

        crossings = sum(taken([g]) for g in list(arms))
        for k in np.argsort(apart):
            pair = {group[one[k]], group[two[k]]}
            if 1 <= apart[k] < BRIDGE and [len(arms.get(g, ())) for g in pair] == [3, 3]:
                crossings += taken(pair, (one[k], two[k]))
        return sum(len(group) >= 3 for group in arms.values()), crossings


def _network(mask, prune):
    from scipy import ndimage
    from skimage.morphology import remove_small_holes

    if not 0 <= prune < np.inf:
        raise InputError(f"prune = {prune} is out of range; give root widths from 0")
    mask = remove_small_holes(np.pad(mask, 1), max_size=HOLE)
    thin = _thinned(mask)
    edge = ndimage.binary_dilation(mask, np.ones((3, 3), bool)) & ~mask
    # the edge is half a pixel nearer than the pixel beyond it, but a skeleton lies up to half a pixel off the middle
    half = _nearest(np.argwhere(edge), np.argwhere(thin))[0] - 0.25
    return Network(mask, np.flatnonzero(thin), half).pruned(prune).without_specks()


def _thinned(mask):
    from skimage.morphology import skeletonize

    return skeletonize(mask, method="lee") > 0


def _connected(a, b, size):
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    return connected_components(coo_array((np.ones(a.size), (a, b)), shape=(size, size)), directed=False)


def _nearest(targets, places):
    "Distance (n,) from each of ``places`` (n, 2) to the nearest of ``targets`` (m, 2), and which it is (n,)."
    from scipy.spatial import KDTree

    if not (targets.size and places.size):
        return np.full(len(places), np.inf), np.zeros(len(places), int)
    return KDTree(targets).query(places)


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _straight(here, ahead):
    "Whether four arms (4, 2), with their directions, are two straight lines."
    for i, j, k, m in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):
        cosines = [(u * v).sum() for p, q in ((i, j), (k, m)) for across in [_unit(here[p] - here[q])]
                   for u, v in ((ahead[p], -ahead[q]), (ahead[p], across), (-ahead[q], across))]
        if min(cosines) >= np.cos(np.radians(BEND)):
            return True
    return False


def _near(mask, tolerance):
    from scipy import ndimage

    reach = np.arange(-int(tolerance), int(tolerance) + 1)
    return ndimage.binary_dilation(mask, reach[:, None] ** 2 + reach**2 <= tolerance**2)


def _share(part, of):
    return (part & of).sum() / max(part.sum(), 1)


def _harmonic(a, b):
    return 2 * a * b / (a + b) if a + b else 0.0


def _mask(mask, name="the mask"):
    values = np.asarray(mask)
    if values.ndim != 2:
        raise InputError(f"{name} has {values.ndim} dimensions; give one value per pixel, (y, x)")
    if values.dtype == bool:
        return np.ascontiguousarray(values).view(np.uint8) != 0  # pillow's True is 255, which compiled code trips over
    if not values.size or values.dtype.kind not in "uif":
        raise InputError(f"{name} holds no numbers; give root or not for each pixel")
    high = values.max()
    if not ((values == 0) | (values == high)).all() or high < 0:
        raise InputError(f"{name} holds other values than 0 and one above it; give root or not, as probability > 0.5")
    return values != 0


def _positive(name, value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not 0 < number < np.inf:
        raise InputError(f"{name} = {value} is no size; give a number above 0")
    return number
