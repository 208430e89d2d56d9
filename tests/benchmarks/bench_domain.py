"""How far CropClock carries: trained on one simulated archive, it dates another with other weather, land and clouds.

    python tests/benchmarks/bench_domain.py                          2 °C warmer, cloud more likely by 0.1
    python tests/benchmarks/bench_domain.py --warmer 0 --cloud 0     another draw of the same landscape alone
    … --sites 20 --seed 11 --folder /tmp/other                       an archive that is there is used again

Prints mean absolute errors in days with their 95 % intervals (whole clusters drawn), the share that was retrieved, and
the share of dates that the 90 % intervals hold, with their median width in days (430 and more: no bound, for the
archive has too few clusters for the level); then how much smaller each error is than that of NDVI corrected on the
first archive, where both give a date. Every season of the other archive is dated by a network
or an offset that did not learn from its cluster:

    crop mean, first   the mean day of the crop in the first archive
    NDVI, first        NDVI of the study less its median error of the crop, learned on the first archive
    NDVI, second       the same, learned on the other clusters of the second archive
    CropClock, first   the ensemble of the first archive
    CropClock, second  an ensemble trained on the second archive alone
    CropClock, both    an ensemble trained on the seasons of both

Not a test: nothing here is held against a bound, and pytest does not collect it. Simulated is held against simulated
only: it tells what a change of weather and clouds does where cameras and crops stay as they are.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from phenolib import baselines, dating, metrics, samples, simulate, splits, thinning
from phenolib.archive import open_archive


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", default="simulated", help="archive that is trained on")
    parser.add_argument("--sites", type=int, default=20)
    parser.add_argument("--seed", type=int, default=11, help="of the other archive")
    parser.add_argument("--warmer", type=float, default=2.0, help="degrees")
    parser.add_argument("--cloud", type=float, default=0.1, help="added to the probability of cloud")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where the other archive is kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as beside:
        other = second(given, given.folder or Path(beside) / "other")
    first = timed("samples of the first archive", samples.of_archive, open_archive(given.first))
    print(f"{len(first)} seasons of the first archive, {len(other)} of the second in "
          f"{other.table['cluster'].nunique()} clusters\n")
    found = methods(first, other, given.epochs)
    print(table(other, found).to_string(), differences(other, found).to_string(), sep="\n\n")


def second(given, folder):
    """The samples of the other archive, which is made where it is not there."""
    if not folder.is_dir():
        config = simulate.configure(seed=given.seed, sites=given.sites, squares=0, warmer=given.warmer,
                                    cloud=given.cloud, years=(2017, 2020))
        parts = [folder.with_name(f"{folder.name}-{part}") for part in ("cameras", "patches")]
        for part, name in zip(parts, ("cameras", "patches")):
            timed(f"{name} of the second archive", simulate.make, name, part, config=config)
        simulate.join(parts, folder)
    return timed("samples of the second archive", samples.of_archive, open_archive(folder))


def methods(first, other, epochs):
    """{name: (days, low, high)} of the other samples; no interval where a method gives none."""
    both = samples.pooled(first, other)
    learned, dated = np.arange(len(first)), np.arange(len(first), len(both))
    ndvi = baselines.threshold(both)
    shifted = np.empty((len(other), len(samples.EVENTS)))
    for part in splits.each_cluster(other, folds=5, validation=0):
        shifted[part.test] = baselines.without_offset(other, ndvi[dated], part.train, by_crop=True)[part.test]
    ensembles = {}
    for name, some in (("first", first), ("second", other), ("both", both)):
        ensembles[name] = timed(f"CropClock, {name}", dating.cropclock, some, held_out(some), epochs=epochs,
                                progress=False)
    return {
        "crop mean, first": (baselines.crop_mean(both, learned)[dated], None, None),
        "NDVI, first": (baselines.without_offset(both, ndvi, learned, by_crop=True)[dated], None, None),
        "NDVI, second": (shifted, None, None),
        "CropClock, first": dates(dating.elsewhere(ensembles["first"], other)),
        "CropClock, second": dates(ensembles["second"]),
        "CropClock, both": tuple(part[dated] for part in dates(ensembles["both"])),
    }


def dates(found):
    return found.days, found.low, found.high


def held_out(some):
    return splits.leave_cluster_out(some, validation=0.15)


def table(other, found):
    rows, true, groups = {}, baselines.truth(other), other.table["cluster"].to_numpy()
    for name, (days, low, high) in found.items():
        scores = baselines.score(other, days, np.arange(len(other)))
        rows[name] = {event: score.row("mae")["mae"] for event, score in scores.items()}
        rows[name]["retrieved"] = " ".join(f"{score.retrieved:.2f}" for score in scores.values())
        if low is not None:
            held = [metrics.coverage(low[:, k], high[:, k], true[:, k], groups=groups)["value"] for k in range(4)]
            whole = metrics.coverage(low.ravel(), high.ravel(), true.ravel(), groups=np.repeat(groups, 4))
            rows[name]["held"] = "{:.2f} [{:.2f}, {:.2f}]".format(whole["value"], *whole["interval"])
            rows[name]["held by event"] = " ".join(f"{share:.2f}" for share in held)
            rows[name]["width"] = " ".join(f"{width:.0f}" for width in np.median(high - low, 0))
    return pd.DataFrame(rows).T.fillna("")


def differences(other, found, base="NDVI, first"):
    """By how many days the error is smaller than that of ``base``, on the dates that both give."""
    rows, true, groups = {}, baselines.truth(other), other.table["cluster"].to_numpy()
    error = {name: np.abs(days - true) for name, (days, _, _) in found.items()}
    for name in [name for name in found if name != base]:
        less = error[base] - error[name]
        both = np.isfinite(less)
        rows[name] = {event: "{:.1f} [{:.1f}, {:.1f}]".format(*thinning.means(less[k, j], groups[k]))
                      for j, event in enumerate(samples.EVENTS) for k in [both[:, j]]}
    return pd.DataFrame(rows).T.rename_axis(f"less than {base}")


def timed(what, function, *arguments, **options):
    begun = time.perf_counter()
    found = function(*arguments, **options)
    print(f"{time.perf_counter() - begun:6.1f} s  {what}", flush=True)
    return found


if __name__ == "__main__":
    main()
