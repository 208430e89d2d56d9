"""Variogram of samples, and ordinary kriging: what location alone tells of a value."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phenolib.errors import InputError, near

MODELS = "Exponential", "Gaussian", "Spherical"
LEAST = 10  # samples
TOGETHER = 1.0  # samples nearer than this were taken at one place [m]
CHUNK = 4096  # places that are computed at a time


@dataclass(frozen=True)
class Variogram:
    """How unlike two values are at a distance: γ(h) = half the mean of their squared difference.

    model   name of its form, of ``MODELS``
    nugget  γ just beyond 0: error of a sample, change within metres, and between campaigns at one place
    sill    γ far away
    scale   length in the model's formula [m]
    range   distance at which γ has gone 95 % of the way from nugget to sill (practical range) [m]
    lags    (k,) middles of the classes of distance [m]
    gamma   (k,) what was found there
    pairs   (k,) of how many pairs
    """

    model: str
    nugget: float
    sill: float
    scale: float
    range: float
    lags: np.ndarray
    gamma: np.ndarray
    pairs: np.ndarray

    @property
    def reached(self):
        """Whether the range lies within the distances that were looked at; else it is a guess."""
        return bool(self.range <= self.lags[-1])

    @property
    def structured(self):
        """Share of the sill that depends on distance [-]; near 0 kriging is the mean."""
        return 1 - self.nugget / self.sill if self.sill else 0.0

    def at(self, distance):
        """γ of the fitted form at distances [m]; 0 at 0."""
        distance = np.asarray(distance, float)
        return np.where(distance > 0, self.fitted.variogram(distance), 0.0)

    @cached_property
    def fitted(self):
        """The gstools model."""
        return _model(self.model, var=self.sill - self.nugget, nugget=self.nugget, len_scale=self.scale)


def variogram(x, y, values, *, model="Exponential", lags=15, most=None, robust=False):
    """The variogram of samples, and a model of it.

    γ̂(h) = 1/2N Σ (zᵢ − zⱼ)²  over the N pairs of a class of distance; classes widen with distance, for near pairs are
    few and tell most. Pairs at one place, of several campaigns, are a class of their own and tell the nugget. The model
    is fitted by least squares, each class weighted with its pairs over the square of its distance.

    x, y     (n,) projected [m]
    values   (n,) of any unit; of a heavy tail give the logarithm, of salt log1p
    model    one of ``MODELS``; Exponential is the project default
    lags     number of classes of distance
    most     largest distance [m]; default a third of the largest between two samples
    robust   True: Cressie's estimator, which outliers move less, but which is no mean of squares
    returns  Variogram
    raises   InputError for fewer than 10 samples, all at one place, missing or equal values, too few classes with pairs

    By gstools (Müller et al. 2022).
    """
    import gstools

    x, y, values = _samples(x, y, values)
    if model not in MODELS:
        raise InputError(f"model = '{model}'{near(model, MODELS)}")
    if values.std() == 0:
        raise InputError(f"all {values.size} values are {values[0]:g}; a variogram needs values that differ")
    if most is None:
        most = _widest(x, y) / 3
    if lags < 4 or not TOGETHER < most < np.inf:
        raise InputError(f"lags = {lags}, most = {most}: give 4 classes or more, and a distance of more than "
                         f"{TOGETHER:g} m")
    edges = TOGETHER + (most - TOGETHER) * np.linspace(0, 1, int(lags) + 1) ** 1.5  # project default
    at, gamma, pairs = gstools.vario_estimate(
        (x, y), values, np.r_[0, edges], return_counts=True, estimator="cressie" if robust else "matheron")
    at[0] = 0.0  # pairs at one place
    seen = pairs > 0
    if seen.sum() < 4:
        raise InputError(f"only {seen.sum()} classes of distance up to {most:.0f} m have pairs; give a larger 'most'")
    at, gamma, pairs = at[seen], gamma[seen], pairs[seen].astype(int)
    form = _model(model)
    form.set_arg_bounds(check_args=False, len_scale=[TOGETHER, 3 * most])
    weights = np.sqrt(pairs) / np.maximum(at, at[at > 0].min())
    away = np.maximum(at, TOGETHER / 100)  # a model's γ(0) is 0, not its nugget
    form.fit_variogram(away, gamma, weights=weights / weights.max(), loss="linear", max_eval=20_000,
                       init_guess={"len_scale": most / 5, "var": gamma.max() / 2, "nugget": gamma.max() / 4})
    return Variogram(model, float(form.nugget), float(form.sill), float(form.len_scale),
                     float(form.percentile_scale(0.95)), at, gamma, pairs)


def krige(x, y, values, at_x, at_y, variogram):
    """Ordinary kriging: the mean of the samples weighted by how alike values are at their distances.

    Samples at one place count once, with their mean and a nugget divided by their number. The nugget is taken for the
    error of a sample: without one kriging returns the samples where they are, with one it smooths them.

    x, y, values  (n,) samples [m], in the unit of the variogram
    at_x, at_y    (...) where it is wanted [m]; numpy
    variogram     Variogram
    returns       mean (...), and variance (...) of a new sample there, nugget included; float64
    raises        InputError for fewer than 10 samples, all at one place, missing values or places

    Matheron (1963). The numbers are those of ``gstools.krige.Ordinary``, many places at a time.
    """
    from scipy.linalg import pinvh
    from scipy.spatial.distance import cdist

    x, y, values = _samples(x, y, values)
    at_x, at_y = np.broadcast_arrays(np.asarray(at_x, float), np.asarray(at_y, float))
    if not (np.isfinite(at_x).all() and np.isfinite(at_y).all()):
        raise InputError("a place to krige at has no x or no y; leave it out")
    if variogram.structured <= 0:  # no sample tells of another place
        return np.full(at_x.shape, values.mean()), np.full(at_x.shape, variogram.sill * (1 + 1 / values.size))
    x, y, values, count = at_one_place(x, y, values)
    places, wanted = np.stack([x, y], 1), np.stack([at_x.ravel(), at_y.ravel()], 1)
    form, n = variogram.fitted, x.size
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = form.covariance(cdist(places, places)) + np.diag(variogram.nugget / count)
    system[n, :n] = system[:n, n] = 1  # weights add up to 1
    inverse = pinvh(system)  # a Gaussian model without nugget is all but singular
    mean, variance = np.empty(len(wanted)), np.empty(len(wanted))
    for start in range(0, len(wanted), CHUNK):
        part = slice(start, start + CHUNK)
        alike = np.vstack([form.covariance(cdist(places, wanted[part])), np.ones(len(wanted[part]))])
        weights = inverse @ alike
        mean[part] = values @ weights[:n]
        variance[part] = np.maximum(form.sill - (weights * alike).sum(0), 0)
    return mean.reshape(at_x.shape), variance.reshape(at_x.shape)


def at_one_place(x, y, values, within=TOGETHER):
    """Samples nearer than ``within`` [m] as one: mean place, mean value, and of how many; (m,) each."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(np.stack([x, y], 1)).query_pairs(within, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(x.size, x.size))
    number, place = connected_components(links, directed=False)
    count = np.bincount(place, minlength=number)
    return (*(np.bincount(place, part, number) / count for part in (x, y, values)), count)


def _samples(x, y, values):
    """The three as float arrays of one length; InputError where no variogram could be made of them."""
    x, y, values = (np.asarray(part, float) for part in (x, y, values))
    if not x.shape == y.shape == values.shape or x.ndim != 1:
        raise InputError(f"x, y and values have the shapes {x.shape}, {y.shape}, {values.shape}; give three of (n,)")
    lost = ~np.isfinite(x + y + values)
    if lost.any():
        raise InputError(f"{lost.sum()} of {x.size} samples, the first at row {np.flatnonzero(lost)[0]}, have no "
                         "place or no value; leave them out")
    if x.size < LEAST:
        raise InputError(f"{x.size} samples are too few for kriging; give {LEAST} or more")
    if max(np.ptp(x), np.ptp(y)) <= TOGETHER:
        raise InputError(f"all {x.size} samples are at one place, x {x[0]:g}, y {y[0]:g}; give samples of several")
    return x, y, values


def _widest(x, y):
    """The largest distance between two points: between two corners of their hull."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    points = np.stack([x, y], 1)
    try:
        points = points[ConvexHull(points).vertices]
    except QhullError:  # on one line, where there is no hull
        points = points[np.unique(np.r_[points.argmin(0), points.argmax(0)])]
    return pdist(points).max()


def _model(name, **given):
    import gstools

    return getattr(gstools, name)(dim=2, **given)

