"""How well, and how fast, the U-Net traces the roots of real scans: cross-validated by tube.

    python tests/benchmarks/bench_root_unet.py --data FOLDER --minutes 15 --turns 8 --out data/root_scans.json
        --options '{"channels": [16, 32, 64, 128, 128], "crop": 320, "batch": 2, "turned": 1, "colour": 0.15}'
    python tests/benchmarks/bench_root_unet.py --data FOLDER --steps 3734 --turns 8 --out data/root_scans_longer.json
        --options '{…, "precision": "bf16"}'                                             the same, four times as long
    python tests/benchmarks/bench_root_unet.py --data FOLDER --folds 5 --only 0 --minutes 5       one fold of five
    python tests/benchmarks/bench_root_unet.py --data FOLDER --shifts --out data/root_scans_longer.json
                                                    Dice of the hand masks against themselves, shifted by 1 and 2 pixels
    python tests/benchmarks/bench_root_unet.py --speed --out data/root_scans.json     megapixels per second, weights of
                                                                                      chance

Each tube is tested once; epoch and threshold are chosen on validation tubes among the others. Dice is the mean over the
scans of a fold at their full size, against the hand mask; its interval comes from draws of whole tubes. The minutes are
processor time of one thread and hold all that fitting takes: reading, training, looking at the validation scans. From
them, and the speed of this machine, follows the number of steps, which is printed: give it as --steps to repeat a run
elsewhere. Folds and speeds are added to what the file given as --out holds; a network that is taken from the store
keeps the minutes that the file has of it. A fold also says the Dice of the scans it was taught with, unturned: what a
network cannot trace even there, more training will not teach it. The scans' size of a pixel is not told;
--pixel gives one (300 dots per inch are 0.0847 mm), and traits are then learnt and judged too. Not a test: nothing here
is held against a bound, and pytest does not collect it.
"""

import argparse
import datetime
import json
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from phenolib import roots, tracing
from phenolib.files import write_json
from phenolib.nets import unet
from phenolib.sources import minirhizotron

EPOCHS, VALIDATION = 6, 0.15
SIZES = {"default": {}, "published kind": {"channels": (32, 64, 128, 256, 512), "fold": 1}}


def steps_in(seconds, table, split, options):
    "How many steps of training fit into so many seconds of processor time, with all that is around them."
    begun = time.process_time()
    own = "channels", "fold", "lr", "precision"
    task = tracing.Crops(table, split, **{k: v for k, v in options.items() if k not in own})
    model = unet.UNet(**{k: v for k, v in options.items() if k in ("channels", "fold")})
    read = time.process_time() - begun
    task.steps, begun = 6, time.process_time()
    for batch in task.batches(1, torch.Generator().manual_seed(0)):
        with torch.autocast("cpu", torch.bfloat16, enabled=options.get("precision") == "bf16"):
            loss = task.loss(model, batch)
        loss.backward()
    step, begun = (time.process_time() - begun) / task.steps, time.process_time()
    tracing.whole(model.eval(), next(iter(task.images.values())))
    look = (time.process_time() - begun) * len(task.looked)
    return max(1, int((seconds - read - EPOCHS * look) / EPOCHS / step))


def fold(table, split, options, minutes, steps, turns, seed):
    "One fold: the scores of its test scans, and what it took."
    steps = steps or steps_in(60 * minutes, table, split, options)
    begun = time.process_time()
    found = tracing.fit(table, split, **options, steps=steps, epochs=EPOCHS, seed=seed, progress=False)
    took, begun = time.process_time() - begun, time.process_time()
    scores = tracing.score(found.model, table.iloc[split.test], turns=turns)
    scored = time.process_time() - begun
    return scores, {"steps": steps, "epochs": EPOCHS, "minutes": took / 60, "stored": found.stored,
                    "trained_minutes": found.seconds / 60, "threshold": round(float(found.model.threshold), 2),
                    "validation_dice": 1 - min(row["error"] for row in found.history),
                    "training_dice": tracing.score(found.model, table.iloc[split.train])["dice"].mean(),
                    "dice": scores["dice"].mean(), "scored_seconds": scored}


def speed(size=(2273, 2550)):
    "Megapixels of an original scan per second of one thread, and weights, of the sizes."
    image, found = torch.rand(3, *size) * 255, {}
    for name, options in SIZES.items():
        model = unet.UNet(**options).eval()
        seconds = []
        for _ in range(2):
            begun = time.process_time()
            model.tiled(image)
            seconds.append(time.process_time() - begun)
        found[name] = {"megapixels_per_second": round(float(np.prod(size)) / 1e6 / min(seconds), 2),
                       "weights": sum(p.numel() for p in model.parameters()), "reach": model.reach}
        print(f"{name}: {found[name]['megapixels_per_second']:.2f} megapixels/s, {found[name]['weights']:,} weights, "
              f"reach {model.reach} pixels")
    return found


def shifts(table, by=(1, 2)):
    "Mean Dice of the hand masks against themselves, shifted by so many pixels along the rows or the columns."
    found = {}
    for pixels in by:
        each = []
        for _, row in table.iterrows():
            mask = tracing.read(row)[1]
            each.append(np.mean([roots.score(np.roll(mask, pixels, axis), mask)["dice"] for axis in (0, 1)]))
        found[pixels] = float(np.mean(each))
        print(f"shifted by {pixels}: Dice {found[pixels]:.3f}")
    return found


def about():
    "When and on what this was measured."
    return {"date": datetime.date.today().isoformat(), "machine": platform.processor() or platform.machine(),
            "threads": 1, "torch": torch.__version__}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with images/ and masks/")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="*", help="folds to run, from 0; default all")
    parser.add_argument("--minutes", type=float, default=15, help="processor time of a fold's fitting")
    parser.add_argument("--steps", type=int, help="of an epoch, instead of minutes")
    parser.add_argument("--turns", type=int, default=1, choices=(1, 8), help="8: mean over turned and mirrored scans")
    parser.add_argument("--pixel", type=float, help="size of a pixel [mm]")
    parser.add_argument("--options", type=json.loads, default={}, help='of tracing.fit, e.g. {"lr": 0.002}')
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="JSON to write")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--shifts", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    before = json.loads(Path(given.out).read_text()) if given.out and Path(given.out).is_file() else {}
    if given.speed:
        found = speed()
        return write_json(given.out, before | {"speed": found}) if given.out else None
    table = minirhizotron.folder(given.data)
    if given.shifts:
        found = shifts(table)
        return write_json(given.out, before | {"shifts": found}) if given.out else None
    if given.pixel:
        table["mm_per_pixel"] = given.pixel
    again = {k for k in range(given.folds) if given.only is None or k in given.only}
    folds = {int(k): one for k, one in before.get("folds", {}).items() if int(k) not in again}
    scores = [pd.DataFrame([scan for scan in before.get("scans", []) if scan["fold"] in folds])] if folds else []
    for k, split in enumerate(tracing.by_tube(table, given.folds, validation=VALIDATION, seed=given.seed)):
        if k in again:
            some, folds[k] = fold(table, split, given.options, given.minutes, given.steps, given.turns, given.seed)
            if folds[k]["stored"]:
                folds[k]["minutes"] = before.get("folds", {}).get(str(k), {}).get("minutes")
            scores.append(some.assign(fold=k))
            print(f"fold {k}: Dice {folds[k]['dice']:.3f}  " + json.dumps(folds[k]), flush=True)
            every = pd.concat(scores)
            result = {"folds": folds, "summary": tracing.summary(every)}
            if given.pixel:
                result["traits"] = {way: tracing.trait_errors(every, way) for way in ("mask", "head")}
            if given.out:
                scans = json.loads(every.to_json(orient="records", date_format="iso"))
                write_json(given.out, before | result | {"options": given.options, "turns": given.turns, **about(),
                                                         "scans": scans})
    for name, said in result["summary"].items():
        low, high = said["interval"]
        print(f"{name}: {said['value']:.3f} [{low:.3f}, {high:.3f}] of {said['n']} scans")


if __name__ == "__main__":
    main()
