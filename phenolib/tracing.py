"""Teaches a U-Net to trace roots from images and hand-drawn masks; says what it traces, and judges that by tube."""

import dataclasses
import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from phenolib import metrics, roots, splits, training
from phenolib.errors import InputError
from phenolib.files import digest, home, lock, write_text
from phenolib.sources import minirhizotron

TRAITS = "length_mm", "rld_cm_cm3", "branching_cm"  # what the head says, in the order of ``nets.unet.TRAITS``
STEPS = 20  # thresholds are multiples of 1/20
THRESHOLDS = np.arange(1, STEPS) / STEPS
LOOKED = 40  # validation images that choose the epoch and the threshold, at most
AVERAGED = 0.998  # share of the average of the weights that stays at each step
THIN = 0.4  # share of root from which a pixel of a mask that was made smaller is root


def by_tube(table, folds=5, *, validation=0.2, seed=0):
    """Every tube is tested once, in one of so many groups of tubes; all images of a tube are on one side.

    table       a row an image, with tube
    folds       groups that the tubes are dealt to
    validation  share of the other tubes that choose epoch and threshold [-]
    seed        of the deal and of the draws
    returns     list of ``splits.Split``
    raises      InputError for a table without tubes, or with fewer than two and the folds
    """
    tubes = _column(table, "tube")
    count = tubes.nunique()
    if not 2 <= folds <= count:
        raise InputError(f"folds = {folds} of {count} tubes; give 2 to {count}")
    return splits.each_cluster(pd.DataFrame({"cluster": tubes}), folds=folds, validation=validation, seed=seed)


def by_tube_and_year(table, years, folds=5, *, validation=0.2, seed=0):
    """As ``by_tube``, and nothing of the tested years is trained on: other roots in other weather.

    Images of tested tubes from other years, and of other tubes from tested years, are on no side.

    table    a row an image, with tube and date
    years    that are tested
    others   as ``by_tube``
    returns  list of ``splits.Split``
    raises   InputError as ``by_tube``, for a year that no image has, and where a fold has nothing to train or test on
    """
    year = _column(table, "date").dt.year
    for one in years:
        if one not in set(year):
            raise InputError(f"no image is of {one}; there are {', '.join(map(str, sorted(set(year))))}")
    tested = year.isin(list(years)).to_numpy()
    found = []
    for k, part in enumerate(by_tube(table, folds, validation=validation, seed=seed)):
        rows = [part.train[~tested[part.train]], part.validation[~tested[part.validation]],
                part.test[tested[part.test]]]
        for name, some in zip(("train", "validate", "test"), rows):
            if not some.size and (name != "validate" or validation):
                raise InputError(f"fold {k} has no image to {name} on; give fewer folds or other years")
        found.append(splits.Split(*rows))
    return found


def refuse_leakage(train, test, *, years=False):
    """Raises InputError if a tube, and with ``years`` a year too, is on both sides.

    train, test   tables with tube, and date
    """
    sides = {"tube": [set(_column(part, "tube")) for part in (train, test)]}
    if years:
        sides["year"] = [set(_column(part, "date").dt.year) for part in (train, test)]
    for name, (first, second) in sides.items():
        both = sorted(first & second)
        if both:
            more = f" (and {len(both) - 1} more)" if len(both) > 1 else ""
            raise InputError(f"{name} {both[0]} is trained on and tested{more}; split with tracing.by_tube"
                             f"{'_and_year' if years else ''}")


class Crops:
    """The task of the U-Net: crops with their masks, turned, mirrored, zoomed and recoloured; ``batches``, ``loss``,
    ``validate``.

    All images are held in memory, one byte a band. By default crops are hardly changed: where training passes over the
    images a few times only, each crop is new anyway, and turned, zoomed and recoloured crops slowed it down (after a
    minute on the real scans a Dice of 0.40 instead of 0.49). Long training on few images wants turned=1, zoom=0.2,
    colour=0.2.

    Traits of a crop are shares of those of its image: the middle line of the mask, and its junctions, as far as they
    lie in the crop, so that no root ends at the edge of a crop.

    table   a row an image, with tube, image and mask (paths); mm_per_pixel and depth_of_field_mm to
            learn traits by
    split   ``splits.Split`` of its rows
    scale   images are read at this share of their size [-]
    crop    side of a crop [pixels of the image that was read]
    batch   crops of a step
    steps   of an epoch
    rooted  share of the crops that are drawn with a root in them [-]
    turned  share of the crops that are turned by 0 to 3 right angles and mirrored at random [-]
    zoom    largest zoom to either side, as its logarithm
    colour  SD of the logarithm of the brightness; of each band beside it, and of what is added, it is less
    weight  of the traits in the loss; with 0 none are learnt
    """

    def __init__(self, table, split, *, scale=1.0, crop=192, batch=4, steps=500, rooted=0.7, turned=0.0, zoom=0.0,
                 colour=0.05, weight=0.1):
        refuse_leakage(table.iloc[split.train], table.iloc[split.validation])
        refuse_leakage(table.iloc[np.concatenate([split.train, split.validation])], table.iloc[split.test])
        if not split.validation.size:
            raise InputError("no tube is for validation; give some, for they choose the epoch and the threshold")
        self.table, self.split, self.scale, self.weight = table, split, scale, weight
        self.crop, self.batch, self.steps = crop, batch, steps
        self.rooted, self.turned, self.zoom, self.colour = rooted, turned, zoom, colour
        self.looked = split.validation[:: -(-split.validation.size // LOOKED)]
        self.images, self.masks = {}, {}
        for row in [*split.train, *self.looked]:
            self.images[row], self.masks[row] = read(table.iloc[row], scale)
        for row in split.train:
            if min(self.masks[row].shape) < crop:
                raise InputError(f"{_name(table.iloc[row])}: {' × '.join(map(str, self.masks[row].shape))} pixels at "
                                 f"scale {scale}, less than the crop of {crop}; give a smaller crop")
        self.root = {row: np.flatnonzero(self.masks[row]).astype(np.int32) for row in split.train}
        if not any(root.size for root in self.root.values()):
            raise InputError("no mask of the training images has a root; look at the masks")
        values = np.concatenate([self.images[row][::7, ::7].reshape(-1, 3) for row in split.train]).astype(float)
        self.mean, self.sd = values.mean(0), values.std(0)
        self.known = {row: Parts.of(table.iloc[row], scale) for row in split.train} if weight else {}

    def batches(self, epoch, generator):
        """Crops of training images, drawn anew in each epoch."""
        import torch

        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        for _ in range(self.steps):
            image, mask, known = (np.stack(part) for part in zip(*(self.one(rng) for _ in range(self.batch))))
            yield {"image": torch.from_numpy(image).permute(0, 3, 1, 2), "mask": torch.from_numpy(mask),
                   "known": torch.from_numpy(known)}

    def one(self, rng):
        """A crop (crop, crop, 3) in 0–255, its mask (crop, crop) of 0 and 1, its traits (3,); float32."""
        from PIL import Image

        row = self.split.train[rng.integers(self.split.train.size)]
        image, mask, root = self.images[row], self.masks[row], self.root[row]
        height, width = mask.shape
        side = min(round(self.crop * np.exp(rng.uniform(-self.zoom, self.zoom))), height, width)
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        if rng.random() < self.rooted and root.size:
            y, x = np.array(divmod(int(root[rng.integers(root.size)]), width)) - rng.integers(side, size=2)
            top, left = min(max(y, 0), height - side), min(max(x, 0), width - side)
        image, mask = (part[top:top + side, left:left + side] for part in (image, mask))
        known = self.known[row].within(top, left, side, self.crop) if self.known else np.full(3, np.nan)
        if side != self.crop:
            size = self.crop, self.crop
            image = np.asarray(Image.fromarray(image).resize(size, Image.BILINEAR))
            mask = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.BILINEAR)) > THIN
        turn, mirror = (rng.integers(4), rng.random() < 0.5) if rng.random() < self.turned else (0, False)
        image, mask = (np.rot90(part[:, ::-1] if mirror else part, turn) for part in (image, mask))
        gain = np.exp(rng.normal(0, self.colour) + rng.normal(0, self.colour / 3, 3))
        image = image * gain + rng.normal(0, 30 * self.colour)
        return image.astype(np.float32), mask.astype(np.float32), known.astype(np.float32)

    def loss(self, model, batch):
        """Cross-entropy and Dice of the mask with Huber of the traits: ``nets.unet.loss``."""
        from phenolib.nets import unet

        logits, traits = model(batch["image"])
        return unet.loss(logits, traits, batch["mask"], batch["known"], weight=self.weight)

    def validate(self, model):
        """{"error": 1 − the mean Dice of whole validation images by the average, "threshold": where it is best}."""
        found = [dice_at(whole(model.slow, self.images[row])[0], self.masks[row]) for row in self.looked]
        mean = np.mean(found, 0)
        return {"error": 1 - mean.max(), "threshold": THRESHOLDS[mean.argmax()]}

    def content(self):
        """One hash of all that is learned from."""
        said = [name for name in ("mm_per_pixel", "depth_of_field_mm") if name in self.table]
        return digest(self.table.iloc[self.split.train][said].to_csv(index=False),
                      [hashlib.sha256(np.ascontiguousarray(part)).hexdigest() for row in sorted(self.images)
                       for part in (self.images[row], self.masks[row])])


class Parts:
    """Where in an image its length and its branch points lie, for the traits of crops.

    line      (n, 2) row and column of the middle line
    junction  (m, 2) of its junctions
    each      length of a pixel of the line [mm]
    share     branch points of a junction
    pixel     width of a pixel [mm]
    depth     of field [mm]
    """

    def __init__(self, line, junction, each, share, pixel, depth):
        self.line, self.junction, self.each, self.share = line, junction, each, share
        self.pixel, self.depth = pixel, depth

    @classmethod
    def of(cls, row, scale):
        """From the mask of a row of the table, at its full size; None of it is known without the size of a pixel."""
        from scipy import ndimage

        pixel = _pixel(row)
        if not np.isfinite(pixel):
            return cls(np.zeros((0, 2)), np.zeros((0, 2)), np.nan, np.nan, np.nan, np.nan)
        mask = read(row)[1]
        whole, thin = roots.traits(mask, mm_per_pixel=pixel, depth_of_field_mm=_depth(row)), roots.skeleton(mask)
        around = ndimage.convolve(thin.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant")
        label, count = ndimage.label(thin & (around > 3), np.ones((3, 3)))
        junction = np.array(ndimage.center_of_mass(label > 0, label, range(1, count + 1))).reshape(-1, 2)
        line = np.argwhere(thin)
        return cls(line * scale, junction * scale, whole.length_mm / max(len(line), 1),
                   whole.branch_points / max(count, 1), pixel / scale, _depth(row))

    def within(self, top, left, side, crop):
        """Traits (3,) of a crop that was drawn ``crop`` pixels wide: of its roots as they then look."""
        inside = [((part >= (top, left)) & (part < (top + side, left + side))).all(1).sum()
                  for part in (self.line, self.junction)]
        length, count = inside[0] * self.each * crop / side, inside[1] * self.share
        area = (crop * self.pixel) ** 2
        return np.array([length, length / (area * self.depth) * 100, count / length * 10 if length else np.nan])


def fit(table, split, *, channels=(16, 32, 64, 128), fold=2, scale=1.0, crop=192, batch=4, steps=500, epochs=8,
        lr=3e-3, rooted=0.7, turned=0.0, zoom=0.0, colour=0.05, weight=0.1, precision="float32", seed=0, archive="",
        progress=True):
    """A U-Net that traces roots, trained on the training tubes or taken from the store.

    It is the moving average of the weights that is kept, which does not swing from step to step. The validation
    tubes choose the epoch and the threshold; the test tubes are never read.

    table     as ``sources.minirhizotron.folder`` gives it: a row an image, with tube, image and mask (paths);
              mm_per_pixel and depth_of_field_mm: traits are learnt from images where they are known
    split     ``splits.Split``, see ``by_tube``
    channels  widths of the levels; ``fold`` as in ``nets.unet.UNet``
    epochs    of ``steps`` steps of ``batch`` crops each
    lr        learning rate of the first epoch
    precision "float32", or "bf16": mixed with bfloat16, on CPU too; twice as fast on a processor with matrix units
    seed      of weights and crops
    archive   content hash of the archive of the images
    progress  as in ``training.train``
    others    as ``Crops``
    returns   ``training.Fitted``; its network knows its threshold, scale and size of a pixel, and is all that
              ``predict`` needs
    raises    InputError for a tube on two sides, images without a mask, mixed sizes of a pixel, masks of which none has
              a root, and as ``sources.minirhizotron.read``
    """
    import torch

    from phenolib.nets import unet

    pixel = _one_pixel(table.iloc[np.concatenate([split.train, split.validation])])
    given = {"scale": scale, "crop": crop, "batch": batch, "steps": steps, "rooted": rooted, "turned": turned,
             "zoom": zoom, "colour": colour, "weight": weight}
    task = Crops(table, split, **given)

    def build():
        return unet.Averaged(unet.UNet(channels, fold=fold), AVERAGED)

    def run(model, task, seed, checkpoint):
        for net in model.fast, model.slow:
            net.mean.copy_(_bands(task.mean))
            net.sd.copy_(_bands(task.sd))
            net.scale.fill_(task.scale)
            net.pixel.fill_(pixel / task.scale if weight else np.nan)
        history = training.train(model, task.batches, loss=task.loss, validate=task.validate, epochs=epochs, lr=lr,
                                 seed=seed, checkpoint=checkpoint, progress=progress, precision=precision,
                                 device="auto" if precision == "float32" or torch.cuda.is_available() else "cpu")
        best = min((row for row in history if row["error"] is not None), key=lambda row: row["error"])
        model.slow.threshold.fill_(best["threshold"])
        return history

    parameters = {**given, "channels": list(channels), "fold": fold, "epochs": epochs, "lr": lr, "precision": precision,
                  "pixel": str(pixel), "data": task.content(), "train": split.train.tolist(),
                  "validation": split.validation.tolist()}
    found = training.fitted("unet", build, task, train=run, parameters=parameters, archive=archive, seed=seed,
                            uses=[Crops, splits, *([roots] if weight else [])])
    return dataclasses.replace(found, model=found.model.slow)


def whole(model, image, turns=1):
    """Probability of root (rows, columns) and traits (3,) of an image (rows, columns, 3) at the size it is read at.

    turns   1; or 8 for the mean over the image turned and mirrored, which takes eight times as long, and is for
            networks that learned from turned crops
    """
    import torch

    device = next(model.parameters()).device
    x = torch.tensor(image, device=device).permute(2, 0, 1).float()  # (3, rows, columns)
    said, traits = [], []
    for k in range(turns):
        way = x.flip(2) if k >= 4 else x
        logits, known = model.tiled(way.rot90(k % 4, (1, 2)))
        p = logits.sigmoid().rot90(-(k % 4), (0, 1))
        said.append(p.flip(1) if k >= 4 else p)
        traits.append(known)
    return torch.stack(said).mean(0).cpu().numpy(), torch.stack(traits).mean(0).expm1().cpu().numpy()


def predict(model, image, *, turns=1, traits=False):
    """Probability of root at each pixel of an image.

    model    a network of ``fit`` (``Fitted.model``)
    image    (rows, columns, 3) uint8, or a path
    turns    as ``whole``
    traits   whether the head is asked too
    returns  (rows, columns) float32 in 0–1; a root is where it is above ``float(model.threshold)``. With ``traits``
             also a dict of ``TRAITS``; NaN from a network that learned none
    raises   InputError for what is no image of three bands
    """
    import torch
    import torch.nn.functional as F

    image = _image(image)
    small = _resized(image, float(model.scale))
    p, known = whole(model, small, turns)
    if p.shape != image.shape[:2]:
        p = F.interpolate(torch.from_numpy(p)[None, None], image.shape[:2], mode="bilinear")[0, 0].numpy()
    if not traits:
        return p
    return p, dict(zip(TRAITS, map(float, known if model.pixel.isfinite() else np.full(len(TRAITS), np.nan))))


def measure(model, table, *, turns=1):
    """Traits of images, measured in the masks that a network traces in them.

    model    a network of ``fit``
    table    of ``sources.minirhizotron.folder``: image, date, mm_per_pixel, depth_of_field_mm and what else it holds
    turns    as ``whole``
    returns  the table without its masks, with season (the year of the image) and each of ``TRAITS``
    raises   InputError for images whose size of a pixel is not known, or not the one that was learned from
    """
    rows = []
    for _, row in table.iterrows():
        _same_pixel(model, row)
        p = predict(model, row["image"], turns=turns)
        of = roots.traits(p > float(model.threshold), mm_per_pixel=_pixel(row), depth_of_field_mm=_depth(row))
        rows.append({name: getattr(of, name) for name in TRAITS})
    found = table.drop(columns="mask", errors="ignore").assign(season=_column(table, "date").dt.year)
    return found.join(pd.DataFrame(rows, index=table.index, columns=list(TRAITS)))


def measured(fitted, table, *, archive, turns=1):
    """As ``measure``, by a network of ``fit``, once for an archive: chapters that build on the same images share it.

    The traits lie in ``PHENOLIB_HOME/cache/traits``. The key covers the network, the source that traces and measures,
    the archive and the names of the images.

    fitted   ``training.Fitted`` of ``fit``
    table    as ``measure``
    archive  content hash of the images
    turns    as ``whole``
    returns  as ``measure``
    raises   as ``measure``, and InputError for a cache that cannot be read
    """
    from phenolib.nets import unet

    names = [Path(image).name for image in table["image"]]
    key = digest(fitted.key, archive, names, turns, training.sources(sys.modules[__name__], roots, unet),
                 *(version(name) for name in ("scikit-image", "skan", "torch")))
    path = home() / "cache" / "traits" / f"{key[:16]}.csv"
    with lock(path.with_suffix(".lock")):
        if not path.is_file():
            write_text(path, measure(fitted.model, table, turns=turns)[list(TRAITS)].to_csv(index=False))
        try:
            kept = pd.read_csv(path)[list(TRAITS)].set_axis(table.index)
        except (ValueError, KeyError) as problem:
            raise InputError(f"{path}: these traits cannot be read; delete the file and they are measured again") \
                from problem
    seasons = _column(table, "date").dt.year
    return table.drop(columns="mask", errors="ignore").assign(season=seasons).join(kept)


def score(model, table, *, threshold=None, turns=1, tolerance=2):
    """How well a network traces the images of a table, one row an image.

    model      a network of ``fit``
    table      as ``fit``, of tubes that it did not learn from
    threshold  of the probability; default the one that validation tubes chose
    turns      as ``whole``
    tolerance  as ``roots.score`` [pixels]
    returns    DataFrame with tube, those of date and depth_cm that the table has, the shares of ``roots.score`` (dice,
               iou, cldice, …), and where the size of a pixel is known each of ``TRAITS`` three times: of the hand mask
               (``length_mm``), of the traced mask (``length_mm_mask``), as the head says (``length_mm_head``)
    raises     InputError for images without a mask, and a size of pixels other than what was learned from
    """
    limit, found = float(model.threshold) if threshold is None else threshold, []
    for _, row in table.iterrows():
        pixel = _same_pixel(model, row)
        image, mask = read(row)
        p, said = predict(model, image, turns=turns, traits=True)
        line = {name: row[name] for name in ("tube", "date", "depth_cm") if name in row}
        line |= roots.score(p > limit, mask, tolerance=tolerance)
        if np.isfinite(pixel):
            for end, one in ("", mask), ("_mask", p > limit):
                of = roots.traits(one, mm_per_pixel=pixel, depth_of_field_mm=_depth(row))
                line |= {f"{name}{end}": getattr(of, name) for name in TRAITS}
            line |= {f"{name}_head": value for name, value in said.items()}
        found.append(line)
    return pd.DataFrame(found, index=table.index)


def summary(scores, names=("dice", "iou", "cldice", "tolerant_dice"), *, level=0.95):
    """Means over the images, with intervals from draws of whole tubes.

    scores   of ``score``, several folds put together if there are
    returns  {name: the arguments of ``report.record``}
    """
    return {name: metrics.estimate(scores[name], scores["tube"], np.mean, why="no image with a mask", level=level)
            for name in names}


def trait_errors(scores, way="mask", *, level=0.95):
    """R², mean absolute error and bias of traits against those of the hand masks, with intervals over tubes.

        R² = 1 − Σ(found − known)² / Σ(known − mean of known)²

    scores   of ``score``
    way      "mask": measured in the traced mask; "head": what the regression says
    returns  {trait: {"r2", "mae", "bias": the arguments of ``report.record``}}, in the units of the trait
    raises   InputError for another way, and scores without traits
    """
    if way not in ("mask", "head"):
        raise InputError(f"way = {way!r}; give 'mask' or 'head'")
    if TRAITS[0] not in scores:
        raise InputError("these scores have no traits; give images whose mm_per_pixel is known")
    result = {}
    for name in TRAITS:
        known, found = (scores[column].to_numpy(float) for column in (name, f"{name}_{way}"))
        there = np.where(np.isfinite(known) & np.isfinite(found), np.arange(known.size), np.nan)

        def r2(rows, known=known, found=found):
            rows = rows.astype(int)
            spread = ((known[rows] - known[rows].mean()) ** 2).sum()
            return 1 - ((found[rows] - known[rows]) ** 2).sum() / spread if spread else 0.0

        statistics = {"r2": (there, r2), "mae": (abs(found - known), np.mean), "bias": (found - known, np.mean)}
        result[name] = {s: metrics.estimate(sample, scores["tube"], f, why="no image with this trait", level=level)
                        for s, (sample, f) in statistics.items()}
    return result


def dice_at(p, mask):
    """Dice (19,) of p > threshold against a mask, at each of ``THRESHOLDS``; 1 where both are empty.

    >>> dice_at(np.array([0.9, 0.2]), np.array([True, False]))[[0, 9]].round(2).tolist()
    [0.67, 1.0]
    """
    bins = np.minimum(p.ravel() * STEPS, STEPS - 1).astype(np.uint8)
    both, every = (np.bincount(part, minlength=STEPS) for part in (bins[mask.ravel()], bins))
    hit, said = (count[::-1].cumsum()[::-1][1:] for count in (both, every))
    total = said + mask.sum()
    return np.where(total, 2 * hit / np.maximum(total, 1), 1.0)


def read(row, scale=1.0):
    """Image (rows, columns, 3) uint8 and mask (rows, columns) bool of a row, at a share of their size.

    raises   InputError for a row without a mask, and as ``sources.minirhizotron.read``
    """
    from PIL import Image

    path = row["mask"]
    if path is None or path != path:
        raise InputError(f"{_name(row)}: there is no mask to learn from or to judge by; leave it out")
    found = minirhizotron.read(row["image"], path, empty=True)
    image, mask = found["image"].values, found["mask"].values
    if scale == 1:
        return image, mask
    small = _resized(image, scale)
    share = Image.fromarray(mask.astype(np.float32)).resize(small.shape[1::-1], Image.BOX)
    return small, np.asarray(share) > THIN


def _image(image):
    if isinstance(image, (str, Path)):
        return minirhizotron.read(image)["image"].values
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"an image of shape {image.shape} and type {image.dtype}; give (rows, columns, 3) uint8")
    return image


def _resized(image, scale):
    from PIL import Image

    if scale == 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize(size, Image.BOX if scale < 1 else Image.BILINEAR))


def _column(table, name):
    if name not in table:
        raise InputError(f"the table of images has no column '{name}'; see sources.minirhizotron.folder")
    return table[name]


def _name(row):
    return Path(row["image"]).name


def _pixel(row):
    value = row.get("mm_per_pixel", np.nan)
    return np.nan if value is None else float(value)


def _same_pixel(model, row):
    """The size of a pixel of a row [mm], NaN if unknown. raises InputError if the network learned with another"""
    pixel, learned = _pixel(row), float(model.pixel * model.scale)
    if np.isfinite(pixel) and np.isfinite(learned) and not np.isclose(pixel, learned, rtol=0.01):
        raise InputError(f"{_name(row)}: {pixel:g} mm per pixel, but the network learned with {learned:g}; give "
                         "images of that size")
    return pixel


def _depth(row):
    value = row.get("depth_of_field_mm", np.nan)
    return 2.0 if value is None or value != value else float(value)


def _one_pixel(table):
    """The one size of a pixel in a table [mm], NaN if unknown."""
    sizes = sorted({size for size in map(_pixel, (row for _, row in table.iterrows())) if np.isfinite(size)})
    if len(sizes) > 1 and not np.isclose(sizes[0], sizes[-1], rtol=0.01):
        raise InputError(f"mm_per_pixel from {sizes[0]:g} to {sizes[-1]:g}: one network learns one size of pixels; "
                         "give each size a table of its own")
    return sizes[0] if sizes else np.nan


def _bands(values):
    import torch

    return torch.tensor(values, dtype=torch.float32)[:, None, None]
