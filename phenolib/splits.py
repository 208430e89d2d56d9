"""Splits of samples that keep sites of one farm, and windows that overlap, on one side; and scalers fitted on one."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolib.errors import InputError, near
from phenolib.samples import EVENTS


@dataclass(frozen=True)
class Split:
    """Rows of a table for training, for stopping and choosing, and for the one test; (m,) int each."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def leave_cluster_out(samples, clusters=None, *, validation=0.2, seed=0):
    """Whole clusters of sites are held out, as sites of one farm share weather, soil and crop.

    The study held out five sites and does not say how it treated their neighbours: by default the rows that sites.csv
    marks as test are tested, and what else stands in their clusters is on no side.

    samples     ``Samples``, or a table with site and cluster, and split if no clusters are given
    clusters    those that are tested; default as above
    validation  share of the other clusters that are drawn for validation [-]
    seed        of the draw
    returns     Split
    raises      InputError for an unknown cluster, or where nothing is left to train or test on
    """
    table = table_of(samples)
    if clusters is None:
        test = (table["split"] == "test").to_numpy()
        held = table["cluster"].isin(table["cluster"][test]).to_numpy()
    else:
        for name in clusters:
            if name not in set(table["cluster"]):
                raise InputError(f"cluster '{name}' is not among the samples{near(name, table['cluster'].unique())}")
        held = test = table["cluster"].isin(clusters).to_numpy()
    chosen = drawn(table["cluster"][~held], validation, seed)
    return split(~held & ~table["cluster"].isin(chosen), ~held & table["cluster"].isin(chosen), test)


def each_cluster(samples, *, folds=None, validation=0.2, seed=0):
    """Every cluster is tested once.

    samples     ``Samples``, or a table with cluster
    folds       groups that the clusters are dealt to; default one for each cluster
    validation  share of the other clusters for validation [-]
    seed        of the deal and of the draws
    returns     list of Split
    """
    names = np.random.default_rng(seed).permutation(sorted(set(table_of(samples)["cluster"])))
    folds = len(names) if folds is None else int(folds)
    return [leave_cluster_out(samples, names[k::folds], validation=validation, seed=seed + k) for k in range(folds)]


def leave_years_out(samples, years, *, strict=True, validation=0.2, seed=0):
    """Harvest years are held out at all sites: the same fields in other weather.

    Windows of the years before and after may overlap with those that are tested; such rows are on no side.

    samples     ``Samples``, or a table with site, cluster, year, first, last and the camera's dates
    years       those that are tested
    strict      True: no image is on both sides, which of three years leaves little to train on; False: images from
                between two seasons may be, those of a labelled season may not
    validation  share of the clusters whose other years are used for validation [-]
    seed        of the draw
    returns     Split
    raises      InputError where nothing is left to train or test on
    """
    table = table_of(samples)
    test = table["year"].isin(list(years)).to_numpy()
    near_by = overlaps(table, table[test], strict)
    chosen = table["cluster"].isin(drawn(table["cluster"], validation, seed)).to_numpy()
    return split(~test & ~near_by & ~chosen, ~test & ~near_by & chosen, test)


def at_random(samples, *, test=0.2, validation=0.2, seed=0):
    """Rows are drawn whatever their site: optimistic, for the same field then stands on both sides. To show that alone.

    samples           ``Samples``, or a table
    test, validation  shares of the rows [-]
    seed              of the draw
    returns           Split
    """
    order = np.random.default_rng(seed).permutation(len(table_of(samples)))
    tested, stopped = round(test * order.size), round(validation * order.size)
    return Split(*(np.sort(part) for part in (order[tested + stopped:], order[tested:tested + stopped],
                                              order[:tested])))


def refuse_leakage(train, test, *, clusters=True, strict=True):
    """Raises InputError if what is tested was seen in training.

    train, test   tables (rows of ``Samples.table``) with season, site, cluster, first and last
    clusters      whether a cluster on both sides is refused; False for ``leave_years_out``
    strict        as there
    raises        InputError for a cluster, or windows of one site that overlap, on both sides
    """
    both = sorted(set(train["cluster"]) & set(test["cluster"]))
    if clusters and both:
        raise InputError(f"the cluster '{both[0]}' is trained on and tested{_more(both)}; hold out whole clusters")
    seen = list(test["season"][overlaps(test, train, strict)])
    if seen:
        raise InputError(f"the window of '{seen[0]}' overlaps with one of its site that is trained on{_more(seen)}; "
                         "leave out one of them")


@dataclass(frozen=True)
class Scaler:
    """Mean and SD of each channel, fitted on the training part alone.

    mean, sd   (channel,)
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def fit(cls, values, mask=None):
        """A scaler for values (…, channel); those that are NaN, or where ``mask`` is False, are left out.

        mask   of the leading dimensions of the values, e.g. (n, step)

        >>> Scaler.fit(np.array([[1.0, 10.0], [3.0, 10.0]])).apply(np.array([3.0, 11.0])).tolist()
        [1.0, 1.0]
        """
        values = np.asarray(values, float)
        values = values.reshape(-1, values.shape[-1]) if mask is None else values[np.asarray(mask)]
        axes = tuple(range(values.ndim - 1))
        sd = np.nanstd(values, axis=axes)
        return cls(np.nanmean(values, axis=axes), np.where(sd > 0, sd, 1.0))

    def apply(self, values):
        """The values (…, channel) in SDs from the mean, float32 where they were."""
        values = np.asarray(values)
        return ((values - self.mean) / self.sd).astype(np.result_type(values, np.float32))


def table_of(samples):
    """The table of ``Samples``, or the table itself."""
    return getattr(samples, "table", samples)


def split(train, validation, test):
    """A Split of three masks; InputError where there is nothing to train or test on."""
    for name, mask in (("train", train), ("test", test)):
        if not np.any(mask):
            raise InputError(f"the split leaves no sample to {name} on; hold out less or other sites")
    return Split(*(np.flatnonzero(mask) for mask in (train, validation, test)))


def drawn(names, share, seed):
    """A share of the different names, at least one if the share is not 0."""
    names = sorted(set(names))
    most = max(1, round(share * len(names))) if share else 0
    return set(np.random.default_rng(seed).permutation(names)[:most])


def overlaps(table, others, strict=True):
    """Which windows of a table overlap in time with one of the others at the same site; (n,) bool.

    strict   False: only those that reach into the other's season, from its first to its last date, or are reached
    """
    first, last = (others[list(EVENTS)].agg(edge, axis=1) for edge in ("min", "max")) if not strict else (None, None)
    found = np.zeros(len(table), bool)
    for k, row in enumerate(table.itertuples()):
        same = others["site"] == row.site
        if strict:
            found[k] = (same & (others["first"] <= row.last) & (others["last"] >= row.first)).any()
        else:
            dates = pd.Series([getattr(row, event) for event in EVENTS])
            found[k] = (same & ((first <= row.last) & (last >= row.first) | (others["first"] <= dates.max())
                                & (others["last"] >= dates.min()))).any()
    return found


def _more(names):
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
