"""What seven yearly maps of salinity cost: a land of 1000 × 1000 pixels, from the scenes on disk to the Zarr of maps.

    python tests/benchmarks/bench_salt_maps.py --out data/salt_map_costs.json

The land is simulated (some minutes, once), the network has weights of chance, which do not matter for the time. Kept
are processor and wall time of the seasons and of the maps, each in a run of ``maps.map_tiles`` on two threads, and the
most memory that the process held; and what a second call of a finished map costs. Not a test: nothing here is held
against a bound.
"""

import argparse
import datetime
import json
import os
import resource
import tempfile
import time
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", default="simulated+parts:delta+rows:1032+columns:1032")
    parser.add_argument("--area", default="DELTA")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tile", type=int, default=258)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    import numpy as np
    import torch

    import phenolib as ph
    from phenolib import maps, salinity, salinity_mapper, salinity_models, splits
    from phenolib.nets import soilnet

    torch.set_num_threads(1)
    data, years = ph.open_archive(given.archive), tuple(range(2019, 2026))
    net = soilnet.DenseSoilNet().eval()
    scales = salinity_models.Scales(*(splits.Scaler(np.zeros(n), np.ones(n)) for n in (10, 35, 9)))
    network = salinity_models.Network("dense", [net], scales, [], False, 0.0)
    place, found = Path(tempfile.mkdtemp()), {}

    def measured(name, function, cube, **options):
        wall, cpu = time.perf_counter(), time.process_time()
        report = maps.map_tiles(function, cube, place / f"{name}.zarr", threads=given.threads, **options)
        found[f"{name}_minutes"] = round((time.perf_counter() - wall) / 60, 2)
        found[f"{name}_core_minutes"] = round((time.process_time() - cpu) / 60, 2)
        assert not report.failed, report.failed
        return report

    ndvi = data.ndvi(given.area, (years[0] - 1, years[-1])).to_dataset(name="ndvi")
    grown = measured("seasons", salinity_mapper.Seasons(years), ndvi, tile=given.tile)
    dates = tuple(f"{year}-06-15" for year in years)
    mapper = salinity_mapper.Mapper(network, dates, data.dem(given.area), maps.open_map(grown.path), 1.0, 1.0)
    images = salinity.images_of(data, given.area, dates)
    report = measured("salt", mapper, images, tile=given.tile, overlap=mapper.overlap)
    again = time.perf_counter()
    maps.map_tiles(mapper, images, report.path, threads=given.threads, tile=given.tile, overlap=mapper.overlap)
    known = float(maps.open_map(report.path)["salt"].notnull().sum())
    result = {"pixels": int(np.prod([images.sizes[d] for d in "yx"])), "years": len(years), "mapped": int(known),
              "threads": given.threads, **found,
              "minutes": round(found["seasons_minutes"] + found["salt_minutes"], 2),
              "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
              "second_call_seconds": round(time.perf_counter() - again, 2), "network_weights": sum(
                  p.numel() for p in net.parameters()),
              "date": f"{datetime.date.today()}", "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
