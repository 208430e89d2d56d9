"""Area of applicability: where predictors are like those that a model has learned from, as its validation knew them."""

from dataclasses import dataclass

import numpy as np

from phenolib.errors import InputError

CHUNK = 65_536  # rows of new data that are compared at a time
WHISKER = 1.5  # interquartile ranges above the upper quartile
MISSING = ""  # what ``why`` says of a row with a missing predictor


@dataclass(frozen=True)
class Area:
    """What a model knows, and how far from it something may be.

    names      (p,) of the predictors
    mean, sd   (p,) of the training rows, in their units
    weights    (p,)
    known      (n, p) training rows, scaled and weighted
    unit       mean distance between two training rows: a dissimilarity of 1
    training   (n,) dissimilarity of each training row from those of other folds; NaN if it was in none
    threshold  dissimilarity up to which the error of the cross-validation may be expected
    """

    names: tuple
    mean: np.ndarray
    sd: np.ndarray
    weights: np.ndarray
    known: np.ndarray
    unit: float
    training: np.ndarray
    threshold: float

    def index(self, new):
        """Dissimilarity index of new rows: distance to the nearest training row, in mean distances between these.

        new      (…, p) predictors in the units and the order of the training rows
        returns  (…) float32, NaN where a predictor is missing
        raises   InputError for another number of predictors
        """
        return self._nearest(new)[0]

    def inside(self, new):
        """Whether new rows (…, p) lie in the area of applicability; bool (…), False where a predictor is missing."""
        return self.index(new) <= self.threshold

    def why(self, new):
        """The predictor that adds most to the distance of each new row (…, p); str (…), '' where one is missing.

        A predictor without weight is never it. It is asked of the nearest training row: another one may be nearly as
        near and differ in something else.
        """
        return np.array([*self.names, MISSING])[self._nearest(new)[1]]

    def summary(self, new):
        """Counts of new rows (…, p).

        returns  {"n", "inside", "outside", "missing": rows, missing ones being among those outside, "share_inside":
                 of all [-], "why": {predictor: rows outside because of it most, the most frequent first}}
        """
        index, why = self._nearest(new)
        inside, missing = index <= self.threshold, np.isnan(index)
        count = np.bincount(why[~inside & ~missing].ravel(), minlength=len(self.names))
        order = np.argsort(-count, kind="stable")
        return {"n": index.size, "inside": int(inside.sum()), "outside": int((~inside).sum()),
                "missing": int(missing.sum()), "share_inside": float(inside.mean()) if index.size else np.nan,
                "why": {self.names[k]: int(count[k]) for k in order if count[k]}}

    def _nearest(self, new):
        """Dissimilarity (…) float32, and which predictor adds most to it (…) int, p where one is missing."""
        new = np.asarray(new)
        if new.ndim < 1 or new.shape[-1] != len(self.names):
            raise InputError(f"the new rows have the shape {new.shape}; give (..., {len(self.names)}) of "
                             f"{', '.join(self.names)}")
        rows = new.reshape(-1, len(self.names))
        index, why = np.full(len(rows), np.nan, np.float32), np.full(len(rows), len(self.names), np.int16)
        used = self.weights > 0
        for start in range(0, len(rows), CHUNK):
            part = (np.asarray(rows[start:start + CHUNK], float) - self.mean) / self.sd * self.weights
            whole = np.flatnonzero(np.isfinite(part).all(1))
            if whole.size:
                apart = part[whole] - self.known[closest(part[whole][:, used], self.known[:, used])]
                index[start + whole] = np.sqrt((apart**2).sum(1)) / self.unit
                why[start + whole] = np.where(used, apart**2, -1).argmax(1)
        return index.reshape(new.shape[:-1]), why.reshape(new.shape[:-1])


def fit(predictors, weights=None, folds=None, *, names=None):
    """The area of applicability of a model that was trained on these rows.

    DI = min over training rows of ‖w (new − row) / sd‖  /  mean distance between two training rows

    threshold = the largest DI of a training row, to those of other folds, that is not more than 1.5 interquartile
    ranges above the upper quartile

    The folds must be those that the stated error is of: random ones give a small area whose error is that of random
    folds, blocks a larger one with their error. The index looks at predictors alone: what it calls inside may still
    follow another rule there.

    predictors  (n, p) of the training rows; a table names them by its columns
    weights     (p,) importance of each, 0 or more, e.g. of permutation; default all 1; negative ones count as 0, as
                with the authors
    folds       (n,) label of the fold that tested each row, or a list of ``splits.Split``, which leave out more than
                their test rows; default each row is a fold of its own
    names       (p,) of the predictors; default those of the table, or x0, x1, …
    returns     Area
    raises      InputError for missing values, a predictor that never changes, weights or folds of another length, a
                single fold, all weights 0

    Meyer & Pebesma (2021); the threshold as in their R package CAST.
    """
    values = np.asarray(predictors, float)
    if values.ndim != 2 or len(values) < 2:
        raise InputError(f"the predictors have the shape {values.shape}; give (n, p) with 2 rows or more")
    if names is None:
        names = getattr(predictors, "columns", [f"x{k}" for k in range(values.shape[1])])
    names = tuple(str(name) for name in names)
    weights = np.ones(len(names)) if weights is None else np.asarray(weights, float)
    if len(names) != values.shape[1] or weights.shape != (len(names),):
        raise InputError(f"{values.shape[1]} predictors, {len(names)} names, weights of {weights.shape}; give one of "
                         "each for each predictor")
    if not np.isfinite(weights).all() or not (weights > 0).any():
        raise InputError("the weights are missing or none is more than 0; give the importance of each predictor")
    for k, name in enumerate(names):
        lost = ~np.isfinite(values[:, k])
        if lost.any():
            raise InputError(f"predictor '{name}' is missing in {lost.sum()} training rows, the first is "
                             f"{np.flatnonzero(lost)[0]}; leave out what the model did not learn from")
        if np.ptp(values[:, k]) == 0:
            raise InputError(f"predictor '{name}' is {values[0, k]:g} in all training rows; leave it out")
    mean, sd, weights = values.mean(0), values.std(0, ddof=1), np.maximum(weights, 0)
    known = (values - mean) / sd * weights
    unit = between(known)
    if not unit > 0:
        raise InputError("the training rows do not differ in any predictor with a weight; give weight to others")
    training = apart(known, folds) / unit
    quarter, upper = np.nanpercentile(training, [25, 75])
    threshold = np.nanmax(training[training <= upper + WHISKER * (upper - quarter)])
    return Area(names, mean, sd, weights, known, float(unit), training, float(threshold))


def closest(rows, known):
    """For each of the rows (m, p), which of the known ones (n, p) is nearest; (m,) int."""
    from sklearn.metrics import pairwise_distances_argmin

    return pairwise_distances_argmin(rows, known)


def between(known):
    """Mean distance between two different rows of (n, p), in pieces of bounded memory."""
    from sklearn.metrics import pairwise_distances_chunked

    total = sum(part.sum() for part in pairwise_distances_chunked(known, working_memory=64))
    return total / (len(known) * (len(known) - 1))


def apart(known, folds):
    """Distance of each row (n, p) to the nearest that its fold was trained on; (n,), NaN for rows in no fold."""
    n, found = len(known), np.full(len(known), np.nan)
    if folds is None:
        from scipy.spatial import cKDTree

        return cKDTree(known).query(known, k=2)[0][:, 1]
    if all(hasattr(part, "test") for part in folds):
        sides = [(np.r_[part.train, part.validation], part.test) for part in folds]
    else:
        label = np.asarray(folds)
        if label.shape != (n,):
            raise InputError(f"{label.size} folds of {n} training rows; give each row the label of its fold")
        sides = [(np.flatnonzero(label != one), np.flatnonzero(label == one)) for one in dict.fromkeys(label.tolist())]
    if any(not trained.size for trained, _ in sides):
        raise InputError("all training rows are of one fold; give two or more")
    if max(rows.max(initial=-1) for side in sides for rows in side) >= n:
        raise InputError(f"the folds name rows beyond the {n} that are given; give the table they were made of")
    for trained, tested in sides:
        if tested.size:
            nearest = trained[closest(known[tested], known[trained])]
            found[tested] = np.sqrt(((known[tested] - known[nearest]) ** 2).sum(1))
    return found
