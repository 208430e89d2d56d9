"""Errors of the dates that need no network, on the test sites of an archive.

    python tests/benchmarks/bench_baselines.py
    python tests/benchmarks/bench_baselines.py --archive /my/data --folds 10 --out found.csv

In the last column dates that a method does not retrieve are the crop's mean day.
Without --folds the sites that sites.csv marks as test are tested; with it every cluster, in so many folds.
Not a test: nothing here is held against a bound, and pytest does not collect it.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import phenolib as ph
from phenolib import baselines, samples, splits


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", default="simulated")
    parser.add_argument("--folds", type=int, help="test every cluster, in so many folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="CSV to write the table to")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", "All-NaN slice")
    begun = time.perf_counter()
    found = samples.of_archive(ph.open_archive(given.archive))
    print(f"{time.perf_counter() - begun:.0f} s to read; {about(found)}")
    parts = splits.each_cluster(found, folds=given.folds, validation=0, seed=given.seed) if given.folds else [
        splits.leave_cluster_out(found, validation=0)]
    predicted, whole, tested = {}, {}, np.concatenate([part.test for part in parts])
    for part in parts:
        splits.refuse_leakage(found.table.iloc[part.train], found.table.iloc[part.test])
        for name, days in baselines.every(found, part.train, seed=given.seed).items():
            name = name.split(" (")[0] if given.folds else name  # the smoother differs between folds
            predicted.setdefault(name, np.full(days.shape, np.nan))[part.test] = days[part.test]
            days = baselines.completed(found, days, part.train)
            whole.setdefault(name, np.full(days.shape, np.nan))[part.test] = days[part.test]
    errors = {name: (baselines.score(found, days, tested), baselines.score(found, whole[name], tested))
              for name, days in predicted.items()}
    table = pd.DataFrame([{"method": name, "event": event, **some[event].row("mae", "median", "bias"),
                           "mae completed": f"{full[event].mae:.1f}"}
                          for name, (some, full) in errors.items() for event in some]).set_index(["method", "event"])
    print(table.to_string())
    if given.out:
        table.to_csv(given.out)


def about(found):
    """How many seasons there are, what their windows hold, and how far labels were moved; one line."""
    windows = found.windows()
    known, inside = windows.target >= 0, (windows.target >= 0) & (windows.target < found.steps)
    any_window = np.any([(w.target >= 0) & (w.target < found.steps)
                         for w in (found.windows(offsets=offset) for offset in found.offsets)], axis=0)
    moved = np.abs(windows.moved[inside])
    return (f"{len(found)} site-seasons of {found.table['site'].nunique()} sites, with all four dates "
            f"{known.all(1).mean():.2f}; inside the window {inside.sum(0) / known.sum(0)}, inside any "
            f"{any_window.sum(0) / known.sum(0)}; label moves [days] median {np.median(moved):.1f}, mean "
            f"{moved.mean():.1f}, 95 % {np.percentile(moved, 95):.1f}, most {moved.max():.1f}; scenes a window "
            f"{windows.mask.sum(1).mean():.1f}")


if __name__ == "__main__":
    main()
