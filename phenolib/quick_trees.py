"""A LightGBM forest over many rows at once: the same numbers bit for bit, ten times as fast on one core.

LightGBM walks each row down each tree, and waits at each node for what it reads. Here a tree is a list of tests; a
test that fails strikes out the leaves on its left, which is one bitwise AND for a row, and a processor does it for
eight rows at once. The leaf of a row is the first that is left (QuickScorer: Lucchese et al. 2015,
doi:10.1145/2766462.2767733).
"""

import re

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from phenolib.errors import InputError

MOST = 64  # leaves of a tree: bits of a word
BLOCK = 512  # rows whose columns fit into a processor's nearest cache


class Trees:
    """A regression forest of LightGBM, ready for many rows.

    text    of the model: ``Booster.model_to_string()``, or what ``save_model`` writes
    rounds  trees to use, from the first; None: as many as are in the text
    raises  InputError for a forest that is not a plain sum of regression trees, for splits by category, for zero as
            missing, and for trees of more than 64 leaves

    >>> import lightgbm
    >>> x = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    >>> model = lightgbm.train({"num_leaves": 8, "verbose": -1}, lightgbm.Dataset(x, x[:, 0] * x[:, 1]), 20)
    >>> bool((Trees(model.model_to_string()).predict(x.T) == model.predict(x)).all())
    True
    """

    def __init__(self, text, rounds=None):
        head, *trees = text.split("\nTree=")
        about = dict(re.findall(r"^(\w+)=(.*)$", head, re.M))
        words = about.get("objective", "regression").split()
        if "feature_names" not in about or about.get("num_class", "1") != "1" or "average_output" in head.split() or \
                words[0] not in ("regression", "regression_l1", "huber", "quantile", "mape", "fair") or "sqrt" in words:
            raise InputError("the text is no LightGBM model whose answer is the sum of its trees; give the text of a "
                             "boosted regression")
        self.columns = tuple(about["feature_names"].split())
        if rounds is not None and not 1 <= rounds <= len(trees):
            raise InputError(f"rounds = {rounds}; the model has {len(trees)} trees, give 1 to {len(trees)}")
        read = [_read(tree, k) for k, tree in enumerate(trees[:rounds])]
        tests = [test for tree, _ in read for test in tree]
        size = max((len(values) for _, values in read), default=1)
        word = np.uint32 if size <= 32 else np.uint64
        column, level, left, mask = zip(*tests) if tests else ((), (), (), ())
        self.size, self.rounds = size, len(read)
        self.column, self.level = np.array(column, np.int32), np.array(level, np.float32)
        self.left, self.mask = np.array(left, np.bool_), np.array(mask, np.uint64).astype(word)
        self.values = np.zeros((len(read), 32 if size <= 32 else MOST))
        for row, (_, values) in zip(self.values, read):
            row[:len(values)] = values
        self.begins = np.r_[0, np.cumsum([len(tree) for tree, _ in read])].astype(np.int64)

    def predict(self, columns, out=None):
        """The answer of the forest for each row.

        columns  (columns, rows) float32, in the order of ``columns``, quickest in C order; NaN is missing
        out      (rows,) float64 to write to, else made
        returns  (rows,) float64
        raises   InputError for another shape or type
        """
        if columns.dtype != np.float32 or columns.ndim != 2 or len(columns) != len(self.columns):
            raise InputError(f"columns are {columns.dtype} of the shape {columns.shape}; give float32 "
                             f"({len(self.columns)}, rows)")
        out = np.zeros(columns.shape[1]) if out is None else out
        out[:] = 0
        _add(np.ascontiguousarray(columns), self.column, self.level, self.left, self.mask, self.values, self.begins,
             out)
        return out


def _read(text, number):
    """Tests (column, level, whether missing is on the left, leaves that stay if it fails), and values of leaves."""
    told = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
    values = np.array(told["leaf_value"].split(), float)
    if values.size > MOST:
        raise InputError(f"tree {number} has {values.size} leaves; {MOST} at most are read here")
    if told["num_cat"] != "0" or told.get("is_linear", "0") != "0":
        raise InputError(f"tree {number} splits by categories or holds linear models; give a forest of numbers alone")
    if values.size == 1:
        return [], values
    column, kind, low, high = (np.array(told[name].split(), int)
                               for name in ("split_feature", "decision_type", "left_child", "right_child"))
    level = np.array(told["threshold"].split(), float)
    missing = (kind >> 2) & 3  # 0 none, 1 zero, 2 NaN
    if (missing == 1).any():
        raise InputError(f"tree {number} takes zero for missing; train it with zero_as_missing=false")
    order, under, todo = [], {}, [(0, False)]
    while todo:  # depth first, from the left
        node, seen = todo.pop()
        if node < 0:
            order.append(~node)
        elif not seen:
            todo += [(high[node], False), (node, True), (low[node], False)]
            under[node] = len(order)
        else:
            under[node] = under[node], len(order)
    cut = level.astype(np.float32)  # x ≤ level for every float32 x: the largest float32 that is not above it
    cut = np.where(cut > level, np.nextafter(cut, np.float32(-np.inf)), cut)
    left = np.where(missing == 2, (kind & 2) > 0, level >= 0)  # without NaN in training, LightGBM reads it as 0
    full = (1 << MOST) - 1
    tests = [(column[n], cut[n], left[n], full ^ ((1 << under[n][1]) - (1 << under[n][0]))) for n in range(column.size)]
    return tests, values[order]


@intrinsic
def _first(context, word):
    """Place of the lowest bit of a word that is not 0."""
    def make(target, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return word(word), make


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add(columns, column, level, left, mask, values, begins, out):
    """Add the value of each tree, in their order, to each row of out; columns (columns, rows)."""
    rows, full = columns.shape[1], np.empty(1, mask.dtype)
    full[0] = 0
    full = ~full
    words = np.empty(BLOCK, mask.dtype)
    for first in range(0, rows, BLOCK):
        count = min(BLOCK, rows - first)
        for tree in range(begins.size - 1):
            for r in range(BLOCK):
                words[r] = full[0]
            for k in range(begins[tree], begins[tree + 1]):
                x, cut, kept = columns[column[k], first:first + count], level[k], mask[k]
                if left[k]:  # NaN is on the left, and NaN > cut is false
                    for r in range(count):
                        words[r] = words[r] & kept if x[r] > cut else words[r]
                else:
                    for r in range(count):
                        words[r] = words[r] if x[r] <= cut else words[r] & kept
            for r in range(count):
                out[first + r] += values[tree, _first(words[r])]
