"""When radar helps: two ensembles on fewer and fewer clear optical dates; other labels, and other landscapes."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import norm

from phenolib import dating, metrics, phenology
from phenolib.archive.patches import kind_of
from phenolib.errors import InputError
from phenolib.samples import DAY, EVENTS, FILTER, SITE, WITHIN, seasons_of
from phenolib.sources import phenocam, sentinel

SHARES = 1.0, 0.7, 0.5, 0.3, 0.2, 0.1  # of the clear optical dates that are kept
NEXT = slice(SITE - 1, SITE + 2)  # the site pixel and its neighbours in the middle 18 × 18 of a patch
SIDES = ("low", "high")


def thin(series, share, seed=0):
    """Which clear optical dates are kept, at random, when only a share of each season's is left.

    series   ``samples.Series``
    share    that is kept, rounded up: a season with any date keeps one [-]
    seed     of the draw; with one seed a smaller share is a part of a larger one
    returns  (n, m) bool, never True where there is no acquisition
    raises   InputError for a share outside 0–1
    """
    if not 0 <= share <= 1:
        raise InputError(f"share = {share} is out of range; give 0 to 1")
    there = series.optical_there
    lot = np.where(there, np.random.default_rng(seed).random(there.shape), np.inf)
    rank = lot.argsort(1).argsort(1)
    return there & (rank < np.ceil(share * there.sum(1) - 1e-9)[:, None])


def errors(samples, ensembles, *, shares=SHARES, draws=3, seed=0):
    """Absolute errors of several ensembles on the same thinned series.

    Each training cluster is dated by the member that did not learn from it, all others by the mean of the members; so
    every season tells of one that is new to its network, and not only the tested ones. The networks are not trained
    anew: they learned with up to 30 % of the acquisitions left out.

    samples    ``samples.Samples`` that the ensembles were trained and tested on
    ensembles  list of ``dating.Found`` of ``dating.cropclock``
    shares     of the clear optical dates that are kept
    draws      of the dates, over which the error is averaged; one where all are kept
    seed       of the draws; all ensembles see the same dates
    returns    (share, ensemble, n, 4) days; NaN where the camera has no date
    """
    series, found = samples.series(), np.empty((len(shares), len(ensembles), len(samples), len(EVENTS)))
    for k, share in enumerate(shares):
        keeps = [thin(series, share, seed + draw) for draw in range(draws if share < 1 else 1)]
        for j, ensemble in enumerate(ensembles):
            found[k, j] = np.mean([np.abs(medians(ensemble, keep) - series.true_day) for keep in keeps], 0)
    return found


def medians(ensemble, keep=None):
    """Dates of all samples of an ensemble where only some optical acquisitions are kept.

    ensemble  ``dating.Found`` of ``dating.cropclock``
    keep      (n, m) bool; default all
    returns   (n, 4) days from the middle of the season
    """
    models = [fit.model for fit in ensemble.networks]
    density = dating.whole(ensemble.tasks, models, None if keep is None else {"optical": keep})
    return models[0].dates(density.log()).median.numpy()


def gain(samples, found, *, shares=SHARES, groups=None, level=0.95, draws=2000, seed=0):
    """Mean absolute errors with and without radar, and how many days radar takes away in the same seasons.

        gain = mean over dates of (|error of the optical ensemble| − |error of that with both|)

    samples  ``samples.Samples``
    found    (share, 2, n, 4) of ``errors``: the ensemble with both sensors, then the optical one
    shares   as there
    groups   {name: (n,) bool} of seasons that are told of apart; default all
    level    of the percentile intervals; whole clusters are drawn, and the difference stays paired
    draws    of the bootstrap
    returns  DataFrame: group, share, event ("all": the four together), n (dates), clusters, and both, optical and gain
             [days], each with _low and _high (NaN with fewer than two clusters); a positive gain is a smaller error
             with radar
    """
    cluster = samples.table["cluster"].to_numpy()
    values = np.stack([found[:, 0], found[:, 1], found[:, 1] - found[:, 0]])  # (3, share, n, 4)
    rows = []
    for group, mask in (groups or {"all": np.ones(len(samples), bool)}).items():
        for event, column in {**{event: [k] for k, event in enumerate(EVENTS)}, "all": range(len(EVENTS))}.items():
            some = values[:, :, mask][..., list(column)]  # (3, share, m, event)
            known = np.isfinite(some).all((0, 1))
            if not known.any():
                continue
            labels = np.broadcast_to(cluster[mask, None], known.shape)[known]
            value, drawn = metrics.group_means(some[:, :, known], labels, draws=draws, seed=seed)  # (3, share), …
            mean = value, *metrics.percentiles(drawn, level)
            for k, share in enumerate(shares):
                row = {"group": group, "share": share, "event": event, "n": labels.size,
                       "clusters": len(set(labels))}
                for name, *numbers in zip(("both", "optical", "gain"), *(part[:, k] for part in mean)):
                    row |= dict(zip((name, f"{name}_low", f"{name}_high"), numbers))
                rows.append(row)
    return pd.DataFrame(rows)


def at_edge(archive, samples, *, truth=False):
    """Whether the camera of each season stands at the edge of its field, so far as a map tells it.

    It does where the site pixel and its eight neighbours hold more than one label. A crop map of one year does not see
    the edge between two fields of the same crop.

    archive  Archive of the samples
    samples  ``samples.Samples``
    truth    the map of the fields of a simulated archive in place of the crop map: for scoring alone
    returns  (n,) bool; False for a place without a map
    """
    found = {}
    for site in samples.places:
        labels = archive.field_map(site) if truth else _crops(archive, site)
        found[site] = labels is not None and len(np.unique(_middle(labels))) > 1
    return samples.table["site"].map(found).to_numpy(bool)


def camera_sd(archive, samples, *, metric="gcc_90", level=0.9):
    """The standard deviation of each camera date that its own noise makes, by the filter that made the labels.

    Half of the interval of ``phenology.seasons`` over the normal quantile. Errors of this size are the camera's own; a
    method without error would show a mean of √(2/π) of them. It says nothing of what the region of interest, the filter
    and the threshold make, nor of a camera that takes a catch crop or a warm autumn for the start of the season.

    archive  Archive of the samples
    samples  ``samples.Samples``
    metric   greenness of the camera
    level    of the interval that is asked for [-]
    returns  (n, 4) days; NaN where the camera has no date
    """
    def find(series):
        found = phenology.seasons(series.dropna("time"), per_year=1, **{**FILTER, "interval": level})
        return phenology.table(found, intervals=True)

    dates = _camera(archive, samples, metric, [f"{event}_{side}" for event in EVENTS for side in SIDES], find)
    width = (dates[:, 1::2] - dates[:, ::2]) / DAY
    return np.where(np.isnat(samples.dates), np.nan, width) / (2 * norm.ppf((1 + level) / 2))


def relabelled(samples, archive, *, metric="gcc_90"):
    """The same satellite places and windows with the dates of the cameras of another archive.

    samples  ``samples.Samples``
    archive  Archive that has cameras at the same sites
    metric   greenness of the camera
    returns  ``samples.Samples``; a season without a camera's season in its harvest year has no dates
    """
    dates = _camera(archive, samples, metric, ["peak", *EVENTS], lambda series: seasons_of(series, 1))
    near = np.abs(samples.table["peak"].to_numpy("datetime64[ns]") - dates[:, 0]) <= WITHIN
    new = {event: dates[:, 1 + k] for k, event in enumerate(EVENTS)}
    return replace(samples, table=samples.table.assign(on_season=near, **new))


def _camera(archive, samples, metric, columns, find):
    """Columns of the camera's season in each sample's harvest year, (n, column) datetime64; NaT without one.

    find   function of a series to a DataFrame with one row for each harvest year, ``season``
    """
    dates = np.full((len(samples), len(columns)), np.datetime64("NaT", "ns"))
    for site, rows in samples.table.groupby("site"):
        seasons = find(phenocam.greenness(archive.phenocam(site), metric)).set_index("season")
        dates[rows.index] = seasons.reindex(rows["year"])[columns].to_numpy("datetime64[ns]")
    return dates


def _crops(archive, site):
    """The first crop map of a place, (row, column); None without one."""
    for path in archive.kinds()["patches"]:
        name = sentinel.NAME.fullmatch(path.name)
        if name and name["place"] == site and kind_of(name["product"], float(name["resolution"])) == "crops":
            patch = sentinel.read_patch(path)
            return patch["crop"].values if "crop" in patch else None
    return None


def _middle(labels):
    """The labels of the site pixel and its neighbours."""
    row, column = (size // 2 - SITE for size in labels.shape)
    return labels[row:, column:][NEXT, NEXT]
