"""What a map of dates costs: core time and memory against pixels and years, and what the study's area would take.

    phenolib simulate --scene TA1 --size 2048x256 --years 2017-2018 --out archives/tenth   a tenth of 4000 × 1000
    python tests/benchmarks/bench_season_maps.py --archive archives/tenth --area TA1 --out data/map_costs.json
    python tests/benchmarks/bench_season_maps.py --ways NDVI                               strips of the book's maps

For NDVI by Whittaker, for CropClock (one member) and for Deep-CroP (lite), through ``maps.map_tiles`` on one thread:
the reading of the scenes, the dating and the writing, each size in a process of its own. A line is laid through at
least four sizes of one year, and for NDVI through four numbers of years of one size; kept are its slope, its start,
the largest residual as a share of the time, the core time of 4000 × 1000 pixels and one year by the line, and the
most memory that the process ever held. Tiles are as large as the blocks of the files for NDVI, and a quarter of that
for the networks, which need the memory. Networks have weights of chance, which do not matter for the time. Not a
test: nothing here is held against a bound.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WHOLE = 4000 * 1000
TILE = {"NDVI": 512, "CropClock": 256, "Deep-CroP": 256}  # pixels a side; the files have blocks of 512
SHORT = {"Deep-CroP": 2}  # its rows are divided by this
YEARS = (2017, 2017), (2017, 2018), (2017, 2020), (2017, 2022)  # of TA2 in the archive of maps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", default="simulated+parts:maps")
    parser.add_argument("--area", default="TA1")
    parser.add_argument("--year", type=int, default=2018)
    parser.add_argument("--rows", default="512,1024,1536,2048", help="of the area, from the north")
    parser.add_argument("--ways", default="NDVI,CropClock,Deep-CroP")
    parser.add_argument("--out", type=Path, help="JSON to write the numbers to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(**json.loads(given.one))))
        return
    rows, found = [int(n) for n in given.rows.split(",")], {}
    base = {"archive": given.archive, "area": given.area}
    for way in given.ways.split(","):
        cost = [alone({**base, "way": way, "rows": n // SHORT.get(way, 1), "first": given.year, "last": given.year})
                for n in rows]
        found[way] = line("pixels", cost, WHOLE)
        print(way, json.dumps(found[way]), flush=True)
    if "NDVI" in found:
        cost = [alone({"archive": "simulated+parts:maps", "area": "TA2", "way": "NDVI", "rows": 400, "first": first,
                       "last": last}) for first, last in YEARS]
        found["NDVI, years"] = line("years", cost, 10)
        print(json.dumps(found["NDVI, years"]), flush=True)
    if given.out:
        about = {"date": f"{datetime.date.today()}", "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
        old = json.loads(given.out.read_text()) if given.out.is_file() else {}
        found = {**old.get("costs", {}).get("ways", {}), **found}
        given.out.write_text(json.dumps({**old, "costs": {**about, "ways": found}}, indent=1) + "\n")


def alone(what):
    "The costs of one map in a process of its own."
    done = subprocess.run([sys.executable, __file__, "--one", json.dumps(what)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def one(archive, area, way, rows, first, last):
    "Pixels, years, core seconds and peak memory of one map."
    import torch

    import phenolib as ph
    from phenolib import season_maps, splits
    from phenolib.nets.cropclock import CropClock
    from phenolib.nets.deepcrop import DeepCroP

    torch.set_num_threads(1)
    years = tuple(range(first, last + 1))
    scale = {s: splits.Scaler(np.zeros(2), np.ones(2)) for s in ("optical", "sar")}
    made = {"NDVI": lambda: season_maps.Curve(years),
            "CropClock": lambda: season_maps.CropClock([CropClock().eval()], [scale], years, np.zeros(4)),
            "Deep-CroP": lambda: season_maps.DeepCrop(DeepCroP().eval(), scale, years)}[way]()
    cube = ph.open_archive(archive).cube(area, years=(first, last), tile=0).top(rows)
    scenes = {"optical": cube.optical[["B04", "B08"]]} if way == "NDVI" else cube.scenes
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        report = ph.maps.map_tiles(made, scenes, Path(folder, "map.zarr"), tile=TILE[way], threads=1, progress=False,
                                   overlap=season_maps.CONTEXT if way != "NDVI" else 0)
        seconds = time.process_time() - begun
    assert not report.failed
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())  # ru_maxrss begins at the parent's
    return {"pixels": report.pixels, "years": len(years), "scenes": cube.optical.sizes["time"], "core_s": seconds,
            "peak_gb": int(peak[1]) / 1e6}


def line(by, cost, whole):
    "The straight line through core seconds against pixels or years, and where it leads."
    size, seconds = (np.array([row[k] for row in cost], float) for k in (by, "core_s"))
    slope, start = np.polyfit(size, seconds, 1)
    off = np.abs(seconds - start - slope * size) / seconds
    return {"sizes": cost, f"{by}_per_second": 1 / slope, "start_s": start, "largest_residual_share": float(off.max()),
            "whole": whole, "whole_core_minutes": (start + slope * whole) / 60}


if __name__ == "__main__":
    main()
