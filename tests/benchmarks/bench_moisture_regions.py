"""Soil moisture at sites whose whole region was left out, each region in turn: more than one chapter run can pay for.

    python tests/benchmarks/bench_moisture_regions.py --archive simulated+parts:towers --out data/moisture_regions.json

Five models learn five times, on the known years of all regions but one, with the settings of chapter 51. Kept are the
scores of all sites as unseen ones, in the known and in the unseen years, and the ratios of errors with intervals from
draws of whole regions (there are few of them) and of sites. Takes about ten minutes of one core.
"""

import argparse
import datetime
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr

import phenolib as ph
from phenolib import moisture_baselines, moisture_forecasts, moisture_scores, moisture_series
from phenolib.files import write_json

TRAINING = dict(epochs=40, members=1, window=365, batch=8, steps=16, progress=False)  # as chapter 51
YEARS = dict(test_years=[2020, 2021], validation_years=[2019])
NAMES = "start", "trees", "bucket", "layers", "lstm", "network", "hybrid"


def learnt(series, parts, seed):
    "What each model says everywhere, having learnt from the training part."
    said = {"start": series.start}
    for name, fit in (("trees", moisture_baselines.fit_trees), ("bucket", moisture_baselines.fit_bucket),
                      ("layers", moisture_baselines.fit_two_layers)):
        said[name] = fit(series, parts).predict(series)
    layered = replace(series, start=said["layers"].astype("float32"))
    for name, given, options in (("lstm", series, {"kind": "lstm"}), ("network", series, {}),
                                 ("hybrid", layered, {"start": "series"})):
        said[name] = moisture_forecasts.fit(given, parts, **TRAINING, **options, seed=seed).predict(given)["theta"]
    return {name: one.transpose("site", "time") for name, one in said.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", default="simulated+parts:towers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="JSON to write")
    given = parser.parse_args()
    torch.set_num_threads(1)
    begun, data = time.process_time(), ph.open_archive(given.archive)
    series = moisture_series.prepare(data)
    regions = np.unique(series.cluster)
    every = {name: xr.full_like(series.theta, np.nan) for name in NAMES}
    where = {part: xr.zeros_like(series.theta, dtype=bool) for part in ("sites", "both")}
    for region in regions:
        parts = moisture_series.parts(series, test_clusters=[region], seed=given.seed, **YEARS)
        rows = ~np.asarray(parts.known)
        for name, one in learnt(series, parts, given.seed).items():
            every[name].values[rows] = one.transpose(*series.theta.dims).values[rows]
        for part in where:
            where[part] |= getattr(parts, part)
        print(f"{region}: {rows.sum()} sites", flush=True)
    found = {}
    for part, mask in where.items():
        observed = series.theta.where(mask).rename(site="station")
        said = {name: one.rename(site="station") for name, one in every.items()}
        table = moisture_scores.compare(said, observed, seed=given.seed)
        ratios = {}
        for one in ("network", "hybrid", "layers"):
            for other in [n for n in ("bucket", "trees", "lstm") if n != one]:
                for way, groups in (("regions", series.cluster), ("sites", None)):
                    it = moisture_scores.ratio(said[one], said[other], observed, groups=groups, seed=given.seed)
                    ratios[f"{one}_over_{other}_by_{way}"] = {k: it[k] for k in ("value", "interval", "n")}
        found[part] = {"scores": {name: {s: moisture_scores.result(table, name, s) for s in (
            "rmse", "ubrmse", "nse", "kge", "bias")} for name in NAMES}, "ratios": ratios}
    write_json(Path(given.out), {"archive": given.archive, "hash": data.hash(), "regions": len(regions),
                                 "seed": given.seed, "training": TRAINING, "years": YEARS, "parts": found,
                                 "core_minutes": round((time.process_time() - begun) / 60, 1),
                                 "date": datetime.date.today().isoformat()})


if __name__ == "__main__":
    main()
