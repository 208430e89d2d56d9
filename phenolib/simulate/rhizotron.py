"""Drawn minirhizotron images: the same roots grow, age and vanish in one window of a tube from week to week."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

ROWS, COLUMNS = 384, 512  # pixels of an image
MM = 0.15  # of a pixel, as of a scanner of 170 dots per inch
FIELD = 2.0  # depth of field, the depth of soil that a picture shows [mm]
VOLUME = ROWS * COLUMNS * MM**2 * FIELD / 1000  # of soil in view [cm³]
STEP = 1.0  # between the points of a root [pixels]
MAIN, BRANCH = 90.0, 40.0  # mean length of a root in view and of a branch [pixels]
PER_CM = 0.5  # branches on a centimetre of a root
SPEED = {"main": 100.0, "branch": 60.0}  # of a tip [pixels d⁻¹]
WAIT = 1.0  # from the passing of the tip to the branch [days]
GHOST = 12.0  # days in which a dead root leaves a trace that is no root any more
PALE, TAN = np.array([0.86, 0.82, 0.74]), np.array([0.62, 0.50, 0.36])  # colour of a young and of an old root
AGED = 70.0  # days in which a root turns from one to the other
SOIL, STONE = np.array([0.40, 0.31, 0.22]), np.array([0.55, 0.52, 0.47])
LOST = 400.0  # days that no root outlives


@dataclass(frozen=True)
class Root:
    """One root with its branches: points (n, 2) as row and column [pixels], and of each of them the width [pixels], the
    time at which a tip passed it [day], and the length of root that it stands for [pixels]; branches: times at which
    they leave; death [day]."""

    points: np.ndarray
    width: np.ndarray
    passed: np.ndarray
    length: np.ndarray
    branches: np.ndarray
    death: float


def births(rng, made, lost, *, density=1.0, volume=VOLUME):
    """Days on which roots appear in a window, and on which they die.

    Roots are born as a Poisson process whose mean brings the made length, each with the mean length of a root and its
    branches, and die at the rate of loss: over many windows their length follows that of the soil.

    made, lost  (day,) [cm cm⁻³ d⁻¹], [d⁻¹]
    density     factor on the number of roots of this tube
    volume      of soil in view [cm³]
    returns     (root,), (root,) days
    """
    each = (MAIN + BRANCH * PER_CM * MAIN * MM / 10) * MM / 10  # [cm]
    number = rng.poisson(made * volume * density / each)
    born = np.repeat(np.arange(len(made)), number) + rng.random(number.sum())
    gone = np.concatenate([[0.0], np.cumsum(lost)])
    survives = gone[np.minimum(born.astype(int), len(made) - 1)] + rng.exponential(size=born.size)
    dies = np.interp(survives, gone + 1e-9 * np.arange(gone.size), np.arange(gone.size), right=np.inf)
    return born, np.minimum(dies, born + LOST)


def root(rng, born, death):
    """A root: a path whose direction drifts at random, with branches; what leaves the picture comes in again opposite.

    Widths of 2 to 8 pixels taper towards the tip. rng: numpy Generator. born, death: days. returns Root
    """
    main = MAIN * np.exp(0.45 * rng.standard_normal() - 0.10)
    width = float(np.clip(4.2 * np.exp(0.3 * rng.standard_normal()), 2.4, 8.0))
    start, heading = rng.random(2) * (ROWS, COLUMNS), rng.uniform(0, 2 * np.pi)
    parts = [_path(rng, start, heading, main, width, born, SPEED["main"])]
    along, leaves = np.cumsum(np.full(len(parts[0][0]), STEP)), []
    for at in np.sort(rng.uniform(0.1, 0.85, rng.poisson(PER_CM * main * MM / 10))):
        k = int(np.searchsorted(along, at * along[-1]))
        turn = rng.choice([-1, 1]) * rng.uniform(0.7, 1.3)
        day = parts[0][2][k] + WAIT
        parts.append(_path(rng, parts[0][0][k], parts[0][4][k] + turn, rng.exponential(BRANCH - 12) + 12,
                           max(0.55 * width, 2.0), day, SPEED["branch"]))
        leaves.append(day)
    points, widths, passed, length = (np.concatenate([p[i] for p in parts]) for i in range(4))
    return Root(points, widths, passed, length, np.array(leaves), death)


def _path(rng, start, heading, long, width, born, speed):
    """Points, widths, times, lengths and headings of a path."""
    count = max(int(round(long / STEP)), 5)
    turns = 0.035 * rng.standard_normal(count).cumsum() + 0.10 * rng.standard_normal(count)
    angle = heading + turns
    points = start + STEP * np.stack([np.sin(angle), np.cos(angle)], 1).cumsum(0)
    share = np.arange(1, count + 1) / count
    taper = np.clip(width * (1 - 0.35 * share), 1.8, None)
    taper[-4:] *= (0.95, 0.85, 0.75, 0.6)
    return points, taper, born + share * long / speed, np.full(count, STEP), angle


class Window:
    """A window of a tube with all roots that ever show in it.

    rng       numpy Generator: of the soil, of the roots
    made, lost, density   of ``births``
    wetness   (day,) 0 dry – 1 wet: wet soil is darker
    """

    def __init__(self, rng, made, lost, *, density=1.0, wetness=None):
        self.ground = Ground.drawn(rng)
        self.wetness = np.zeros(len(made)) if wetness is None else wetness
        born, dies = births(rng, made, lost, density=density)
        self.roots = [root(rng, *days) for days in zip(born, dies)]

    @cached_property
    def stamped(self):
        """Pixels of all roots: flat index, share covered, day passed, day of death, distance as a share of the half
        width; each pixel once for a root."""
        found = [_stamp(one) for one in self.roots]
        if not found:
            return (np.empty(0, int), *[np.empty(0)] * 4)
        return tuple(np.concatenate(column) for column in zip(*found))

    def mask(self, day):
        """Where a root is at the end of a day, (row, column) bool."""
        index, cover, passed, death, _ = self.stamped
        there = (passed <= day) & (death > day) & (cover >= 0.5)
        made = np.zeros(ROWS * COLUMNS, bool)
        made[index[there]] = True
        return made.reshape(ROWS, COLUMNS)

    def traits(self, day):
        """What is truly in view at the end of a day: dict of length_mm, branch_points, roots, rld_cm_cm3."""
        length = branches = number = 0
        for one in self.roots:
            if one.death > day and one.passed[0] <= day:
                length += one.length[one.passed <= day].sum() * MM
                branches += int((one.branches <= day).sum())
                number += 1
        return {"length_mm": length, "branch_points": branches, "roots": number,
                "rld_cm_cm3": length / 10 / VOLUME}

    def image(self, rng, day, *, light=1.0):
        """The picture of a day, (row, column, 3) uint8, and its mask moved with it.

        Light falls unevenly, the tube is turned a little differently each time, and the sensor is noisy.

        rng    numpy Generator of the picture
        light  of the camera in that year [-]
        """
        index, cover, passed, death, off = self.stamped
        there = (passed <= day) & (death + GHOST > day)
        index, cover, off = index[there], cover[there], off[there]
        age = np.clip((day - passed[there]) / AGED, 0, 1)
        left = np.clip(1 - (day - death[there]) / GHOST, 0, 1)  # 1 while it lives
        alpha = cover * np.where(left < 1, 0.30 * left, 1 - 0.35 * age) * (1 - 0.25 * off**2)
        alpha *= 1 - 0.9 * self.ground.smeared.ravel()[index]
        order = np.argsort(alpha, kind="stable")  # the strongest is drawn last
        wet = float(self.wetness[min(int(day), len(self.wetness) - 1)])
        picture = self.ground.colour.reshape(-1, 3) * (1 - 0.35 * wet)
        colour = (PALE + (TAN - PALE) * age[:, None]).astype("float32")
        a = alpha[order, None].astype("float32")
        picture[index[order]] = picture[index[order]] * (1 - a) + colour[order] * a
        move = tuple(rng.integers(-4, 5, 2))
        picture = np.roll(_soften(picture.reshape(ROWS, COLUMNS, 3)), move, (0, 1))
        y, x = np.linspace(-1, 1, ROWS)[:, None], np.linspace(-1, 1, COLUMNS)[None]
        tilt = rng.normal(0, 0.12, 2)
        shade = light * (1 + tilt[0] * y + tilt[1] * x - 0.12 * (x**2 + y**2)) * (1 + 0.05 * rng.standard_normal())
        grain = rng.standard_normal((ROWS, COLUMNS), dtype="float32")
        noisy = picture * shade.astype("float32")[..., None] + (0.020 * grain)[..., None]
        return (np.clip(noisy, 0, 1) * 255).astype(np.uint8), np.roll(self.mask(day), move, (0, 1))


@dataclass(frozen=True)
class Ground:
    """What lies behind the roots of a window: colour (row, column, 3) 0–1, and the share by which soil smears the
    glass, 0–1."""

    colour: np.ndarray
    smeared: np.ndarray

    @classmethod
    def drawn(cls, rng):
        """Soil with a 1/f texture, stones, cracks, scratches on the glass and smears before the roots."""
        rough, fine, wide = _texture(rng, 1.0), _texture(rng, 0.5), _texture(rng, 1.6)
        bright = 1 + 0.16 * rough + 0.07 * fine
        tint = 1 + 0.05 * wide[..., None] * np.array([1.0, 0.2, -0.8])
        colour = SOIL * np.exp(0.12 * rng.standard_normal()) * bright[..., None] * tint
        y, x = np.mgrid[:ROWS, :COLUMNS]
        for _ in range(rng.poisson(5)):
            size, place = rng.uniform(5, 30, 2), rng.random(2) * (ROWS, COLUMNS)
            turn = rng.uniform(0, np.pi)
            u = (y - place[0]) * np.cos(turn) + (x - place[1]) * np.sin(turn)
            v = (x - place[1]) * np.cos(turn) - (y - place[0]) * np.sin(turn)
            stone = np.clip(3 * (1.1 - np.sqrt((u / size[0]) ** 2 + (v / size[1]) ** 2) + 0.15 * fine), 0, 1)
            colour += stone[..., None] * 0.8 * (STONE * rng.uniform(0.7, 1.2) * (1 + 0.05 * fine[..., None]) - colour)
        crack = np.abs(_texture(rng, 1.4)) < 0.012
        colour[crack] *= 0.55
        for _ in range(rng.poisson(2)):
            a, b = rng.random(2) * (ROWS, COLUMNS), rng.random(2) * (ROWS, COLUMNS)
            away = np.abs((b[1] - a[1]) * (a[0] - y) - (a[1] - x) * (b[0] - a[0])) / max(np.hypot(*(b - a)), 1)
            colour[away < 0.7] += 0.10
        smear = _texture(rng, 1.2)
        share = rng.uniform(0.05, 0.10)
        return cls(np.clip(colour, 0.02, 1).astype("float32"),
                   np.clip(4 * (smear - np.quantile(smear, 1 - share)), 0, 1).astype("float32"))


def _texture(rng, power):
    """A random picture of mean 0 and variance 1 with amplitudes that fall as 1/f^power. returns (row, column)"""
    y, x = np.fft.fftfreq(ROWS)[:, None], np.fft.rfftfreq(COLUMNS)[None]
    f = np.sqrt(y**2 + x**2)
    f[0, 0] = np.inf
    wave = np.fft.rfft2(rng.standard_normal((ROWS, COLUMNS))) * np.maximum(f, 1 / COLUMNS) ** -power
    wave[0, 0] = 0
    made = np.fft.irfft2(wave, s=(ROWS, COLUMNS))
    return made / made.std()


def _soften(picture):
    """A picture through a lens: a mean of neighbours, 1-2-1 both ways, edges wrapped."""
    for axis in (0, 1):
        picture = 0.5 * picture + 0.25 * (np.roll(picture, 1, axis) + np.roll(picture, -1, axis))
    return picture


def _stamp(one):
    """Pixels that a root covers, see ``Window.stamped``."""
    reach = int(np.ceil(one.width.max() / 2)) + 1
    step = np.arange(-reach, reach + 1)
    dy, dx = (v.ravel() for v in np.meshgrid(step, step, indexing="ij"))
    middle = np.round(one.points).astype(int)
    rows, columns = middle[:, :1] + dy, middle[:, 1:] + dx
    away = np.hypot(rows - one.points[:, :1], columns - one.points[:, 1:])
    cover = np.clip(one.width[:, None] / 2 - away + 0.5, 0, 1)
    which, k = np.nonzero(cover > 0)
    index = rows[which, k] % ROWS * COLUMNS + columns[which, k] % COLUMNS
    off = away[which, k] / (one.width[which] / 2)
    order = np.lexsort((off, index))
    first = order[np.unique(index[order], return_index=True)[1]]  # of each pixel the nearest point
    return (index[first], cover[which, k][first], one.passed[which[first]], np.full(first.size, one.death),
            np.minimum(off[first], 1))
