"""Splits of samples in space: whole blocks and whole campaigns, and no window on two sides."""

from dataclasses import dataclass

import numpy as np

from phenolib.errors import InputError, near
from phenolib.splits import Split, drawn, split

WINDOW = 650.0  # side of what a network sees of a place: 65 pixels of 10 m [m]
COLUMNS = "sample", "site", "campaign", "x", "y"


@dataclass(frozen=True)
class Campaign(Split):
    """A split that tests one campaign.

    campaign  that is tested
    shared    rows for training and validation whose site or window overlaps with a tested one; 0 if it is strict
    """

    campaign: str
    shared: int


def size_for(window, reach):
    """Side of blocks that neither a window nor the samples' likeness spans: the larger of both.

    window   side of a window [m]
    reach    range of the variogram [m], see ``kriging.variogram``
    returns  [m]
    raises   InputError for a length that is not positive

    >>> size_for(650, 4200.0)
    4200.0
    """
    return max(_length("window", window), _length("range", reach))


def block_of(x, y, size, origin=None):
    """The square block that each point lies in.

    x, y     (n,) projected [m]
    size     side of a block [m]
    origin   (x, y) of a corner of blocks [m]; default (0, 0), so that other samples do not move the blocks
    returns  (n,) str "column,row", counted from the origin
    raises   InputError for a size that is not positive, or a point without a place

    >>> block_of([500.0, 1500.0], [2500.0, -1.0], 1000).tolist()
    ['0,2', '1,-1']
    """
    size = _length("size", size)
    places = np.stack([np.asarray(x, float), np.asarray(y, float)], 1)
    if not np.isfinite(places).all():
        raise InputError(f"point {np.flatnonzero(~np.isfinite(places).all(1))[0]} has no x or no y; leave it out")
    cells = np.floor((places - (0 if origin is None else np.asarray(origin, float))) / size).astype(int)
    return np.array([f"{column},{row}" for column, row in cells], str)


def by_block(table, *, size, folds=5, validation=0.2, window=WINDOW, seed=0):
    """Every block is tested once; nothing that is learnt from shares a pixel with what is tested.

    Blocks are dealt to folds so that these have about as many samples each. Samples whose window overlaps with one that
    is tested, and training samples whose window overlaps with one for validation, are on no side: the smaller the
    blocks, the more of them (``left_out``). Layers that were made with a filter see further than the window; add its
    reach.

    table       a row a sample, with sample, site, campaign, x, y [m]
    size        side of a block [m], at least the range of the variogram: ``size_for``
    folds       that the blocks are dealt to
    validation  share of the other samples that are drawn for validation, in whole blocks [-]
    window      samples nearer than this along both axes overlap: side of a window [m]
    seed        of the deal and of the draws
    returns     list of ``splits.Split``
    raises      InputError for a missing column or place, fewer blocks than folds, blocks smaller than the window, and
                where a fold leaves nothing to train or validate on
    """
    _places(table)
    if _length("size", size) < _length("window", window):
        raise InputError(f"size = {size:g} m is less than the window of {window:g} m; give a size of at least "
                         "blocks.size_for(window, range)")
    block = block_of(table["x"], table["y"], size)
    names, count = np.unique(block, return_counts=True)
    if not 2 <= folds <= names.size:
        raise InputError(f"folds = {folds} of {names.size} blocks of {size:g} m; give 2 to {names.size}, or smaller "
                         "blocks")
    order = np.random.default_rng(seed).permutation(names.size)
    fold, load = {}, np.zeros(folds, int)
    for k in order[np.argsort(-count[order], kind="stable")]:  # the fullest first, each to the emptiest fold
        fold[names[k]] = int(np.argmin(load))
        load[fold[names[k]]] += count[k]
    dealt = np.array([fold[name] for name in block])
    return [_around(table, dealt == k, dealt != k, block, validation, window, seed + k, f"fold {k}")
            for k in range(folds)]


def leave_campaign_out(table, *, window=WINDOW, strict=True, size=None, validation=0.2, seed=0):
    """Every campaign is tested once: other dates, and, if strict, other places.

    Where every campaign went all over the land nothing is left to train on if strict; ``by_block_and_campaign`` then
    tests other dates at other places.

    table       a row a sample, with sample, site, campaign, x, y [m]
    window      as in ``by_block``
    strict      True: rows of other campaigns whose site or window overlaps with a tested one are on no side; False:
                they are kept, and ``shared`` of the split tells how many they are
    size        side of the blocks that are drawn for validation [m]; default four windows
    validation  share of the other samples that are drawn for validation, in whole blocks [-]
    seed        of the draws
    returns     list of ``Campaign``, in order of their names
    raises      InputError for a missing column or place, a single campaign, and where a campaign leaves nothing to
                train or validate on
    """
    _places(table)
    block = block_of(table["x"], table["y"], 4 * window if size is None else size)
    campaign = table["campaign"].astype(str).to_numpy()
    names = sorted(set(campaign))
    if len(names) < 2:
        raise InputError(f"all samples are of campaign '{names[0]}'; split them with blocks.by_block")
    found = []
    for k, name in enumerate(names):
        test = campaign == name
        shared = ~test & (overlaps(table, table[test], window)
                          | table["site"].isin(table["site"][test]).to_numpy())
        what = f"campaign '{name}'" + (" (give strict=False to keep places that were sampled twice)" if strict else "")
        part = _around(table, test, ~test & ~shared if strict else ~test, block, validation, window, seed + k, what,
                       apart=strict)
        kept = np.r_[part.train, part.validation]
        found.append(Campaign(part.train, part.validation, part.test, name, int(shared[kept].sum())))
    return found


def by_block_and_campaign(table, *, size, folds=5, validation=0.2, window=WINDOW, seed=0):
    """As ``by_block``, and nothing of the tested campaign is trained on: other dates at other places.

    Samples of tested blocks from other campaigns, and of other blocks from the tested campaign, are on no side. Every
    sample is tested once, in folds × campaigns splits at most.

    table    as ``by_block``, and the other arguments
    returns  list of ``Campaign``, without pairs of fold and campaign that have nothing to test; ``shared`` is 0
    raises   InputError as ``by_block``, and where a pair leaves nothing to train or validate on
    """
    found = []
    for k, part in enumerate(by_block(table, size=size, folds=folds, validation=validation, window=window, seed=seed)):
        campaign = table["campaign"].astype(str).to_numpy()
        for name in sorted(set(campaign[part.test])):
            train, chosen = (rows[campaign[rows] != name] for rows in (part.train, part.validation))
            for side, rows in (("train", train), ("validate", chosen)):
                if not rows.size and (side == "train" or validation):
                    raise InputError(f"fold {k} without campaign '{name}' leaves no sample to {side} on; give fewer "
                                     "folds or more for validation")
            found.append(Campaign(train, chosen, part.test[campaign[part.test] == name], name, 0))
    return found


def for_all(table, *, size, validation=0.2, window=WINDOW, seed=0):
    """All samples to learn from, for the model that maps; nothing is left to test it on.

    table, size, window, seed   as in ``by_block``
    validation  share of the samples that stop the training, in whole blocks; those that overlap with them are left out
    returns     ``splits.Split`` without test samples
    """
    _places(table)
    block, every = block_of(table["x"], table["y"], size), np.ones(len(table), bool)
    chosen = np.isin(block, _blocks(block, validation, seed))
    train = every & ~chosen & ~overlaps(table, table[chosen], window)
    if not train.any() or not chosen.any():
        raise InputError(f"blocks of {size:g} m leave no sample to train on, or none to stop by; give smaller blocks")
    return Split(np.flatnonzero(train), np.flatnonzero(chosen), np.empty(0, int))


def at_random(table, folds=5, validation=0.2, seed=0):
    """Every row is tested once, wherever it lies: optimistic, for neighbours then stand on both sides. To show that.

    table       a row a sample
    folds       that the rows are dealt to
    validation  share of the other rows that are drawn for validation [-]
    seed        of the deal
    returns     list of ``splits.Split``
    raises      InputError for more folds than rows, or fewer than 2
    """
    if not 2 <= folds <= len(table):
        raise InputError(f"folds = {folds} of {len(table)} samples; give 2 to {len(table)}")
    _share(validation)
    rng = np.random.default_rng(seed)
    parts, found = np.array_split(rng.permutation(len(table)), folds), []
    for k in range(folds):
        test = np.isin(np.arange(len(table)), parts[k])
        rest = np.flatnonzero(~test)
        chosen = np.isin(np.arange(len(table)), list(drawn(rest.tolist(), validation, int(rng.integers(2**31)))))
        found.append(split(~test & ~chosen, chosen, test))
    return found


def refuse_overlap(train, test, window=WINDOW):
    """Raises InputError if a window that is tested overlaps with one that is trained on.

    train, test  tables with sample, x, y [m]
    window       samples nearer than this along both axes overlap [m]
    raises       InputError that names the samples
    """
    seen = overlaps(test, train, window)
    if seen.any():
        one = test[seen].iloc[0]
        other = train[overlaps(train, test[seen].iloc[:1], window)].iloc[0]
        apart = max(abs(one["x"] - other["x"]), abs(one["y"] - other["y"]))
        more = f" (and {seen.sum() - 1} more)" if seen.sum() > 1 else ""
        raise InputError(f"the window of sample '{one['sample']}', which is tested, overlaps with that of "
                         f"'{other['sample']}', {apart:.0f} m from it, which is trained on{more}; split with "
                         "blocks.by_block")


def overlaps(table, others, window=WINDOW):
    """Which windows of a table overlap with one of the others: nearer than ``window`` [m] along both axes; (n,) bool.

    Windows of 65 pixels of 10 m that share a pixel are always nearer than 650 m.
    """
    from scipy.spatial import cKDTree

    if not len(others):
        return np.zeros(len(table), bool)
    away, _ = cKDTree(others[["x", "y"]].to_numpy(float)).query(table[["x", "y"]].to_numpy(float), p=np.inf)
    return away < window


def left_out(part, table):
    """Share of the rows of a table that a split has on no side [-].

    >>> left_out(Split(np.arange(5), np.arange(5, 6), np.arange(6, 8)), range(10))
    0.2
    """
    return (len(table) - part.train.size - part.validation.size - part.test.size) / len(table)


def _around(table, test, rest, block, validation, window, seed, what, apart=True):
    """The Split that tests some rows; of the rest, blocks are for validation and what overlaps is on no side.

    apart   False: rows that overlap with what is tested are kept
    """
    free = rest & ~overlaps(table, table[test], window) if apart else rest
    chosen = free & np.isin(block, _blocks(block[free], validation, seed))
    train = free & ~chosen & ~overlaps(table, table[chosen], window)
    for name, rows in (("train", train), ("validate", chosen)):
        if not rows.any() and (name == "train" or validation):
            raise InputError(f"{what} leaves no sample to {name} on: windows of {window:g} m overlap with what is "
                             "tested or for validation; give larger blocks, a smaller window, or less for validation")
    return split(train, chosen, test)


def _blocks(block, share, seed):
    """Blocks drawn until they hold a share of the samples, at least one if the share is not 0."""
    names, count = np.unique(block, return_counts=True)
    order = np.random.default_rng(seed).permutation(names.size)
    before = np.cumsum(count[order]) - count[order] / 2  # a block is in if more than half of it is
    most = max(1, int((before <= _share(share) * block.size).sum())) if share else 0
    return names[order[:most]]


def _places(table):
    """InputError unless the table has the columns, and each sample a place."""
    for name in COLUMNS:
        if name not in table:
            raise InputError(f"the samples have no column '{name}'{near(name, table.columns)}")
    if not len(table):
        raise InputError("there are no samples; give a table with rows")
    lost = ~np.isfinite(table[["x", "y"]].to_numpy(float)).all(1)
    if lost.any():
        raise InputError(f"sample '{table['sample'][lost].iloc[0]}' has no x or no y; leave it out")
    if (table[["x", "y"]].abs().max() <= 360).all():
        raise InputError(f"x up to {table['x'].abs().max():g} and y up to {table['y'].abs().max():g} are degrees; give "
                         "projected metres")


def _length(name, value):
    if not 0 < value < np.inf:
        raise InputError(f"{name} = {value}; give a length in metres, more than 0")
    return float(value)


def _share(value):
    if not 0 <= value < 1:
        raise InputError(f"validation = {value}; give a share from 0 to less than 1")
    return value
