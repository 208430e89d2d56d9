"""The one training loop of all networks: seed, device, early stop, checkpoint, resume, progress bar."""

import contextlib
import math
import os
import time
from pathlib import Path

from phenolib.errors import InputError
from phenolib.files import atomic


class History(list):
    """One dict an epoch, as JSON can hold it; ``seconds`` lies apart, since it differs from run to run.

    epoch    from 1
    loss     mean over the batches
    lr       learning rate
    error    of ``validate``, beside all else that it gave; None where it was no finite number
    """

    def __init__(self, rows=(), seconds=()):
        super().__init__(rows)
        self.seconds = list(seconds)


def train(model, batches, *, loss, epochs, validate=None, lr=1e-3, schedule="cosine", decay=0.01, clip=1.0,
          patience=None, seed=0, device="auto", precision="float32", checkpoint=None, every=60.0, progress=True):
    """Train a network in place; the loop of every network of the book.

    AdamW with the gradient's norm held below ``clip``; with ``decay=0`` it is Adam. A module all of whose own weights
    are frozen (``requires_grad=False``) stays in evaluation mode, so that its running statistics are frozen too. With
    ``validate`` the weights of the epoch of the smallest error are put back at the end; the error must come from
    validation sites, never from those of the test. The same seed gives the same weights on the same machine and number
    of threads. A run that was killed and goes on from its checkpoint ends with the weights and history of an unbroken
    one. All this is our choice: of its training Deep-CroP gives rate and batch size alone.

    model       torch.nn.Module; in the end in evaluation mode, on the device that it came on
    batches     function (epoch from 1, torch.Generator) that yields dicts of tensors, e.g. ``shuffled(…)``; what it
                draws at random it draws from the generator
    loss        function (model, batch) to a scalar tensor; the batch lies on the device of the training
    epochs      at most so many
    validate    function (model) to a dict of floats with the key "error", called in evaluation mode after each epoch;
                see ``predict``
    lr          learning rate of the first epoch
    schedule    "cosine": lr/2 · (1 + cos(π · epochs done / epochs)); or "constant"
    decay       weight decay, decoupled [per step and unit of lr]
    clip        largest norm of the gradient; ``math.inf`` leaves it as it is
    patience    stop after so many epochs without a smaller error
    seed        of dropout and of the generator
    device      "auto" is CUDA if there is one, else CPU; or a name of torch
    precision   "float32", or "bf16": mixed with bfloat16, on CPU only if ``device`` names it
    checkpoint  file that the run is kept in, and goes on from if it is there
    every       least time between two writes of the checkpoint [s]; it is always written at the end
    progress    True: a bar in a terminal, silent elsewhere; "always": everywhere; False: never
    returns     History
    raises      InputError for a loss or gradient that is no finite number, epochs without batches, errors of which
                none is a number, and a checkpoint that cannot be read or is of a training with other settings

    Loshchilov & Hutter (2019) for AdamW; Loshchilov & Hutter (2017) for the cosine.

    """
    import torch
    from tqdm import tqdm

    for name, value, known in (("schedule", schedule, ("cosine", "constant")),
                               ("precision", precision, ("float32", "bf16"))):
        if value not in known:
            raise InputError(f"{name} = {value!r}; give {known[0]!r} or {known[1]!r}")
    if patience is not None and validate is None:
        raise InputError("patience waits for a smaller error; give validate too")
    settings = {"epochs": epochs, "lr": lr, "schedule": schedule, "decay": decay, "clip": clip, "patience": patience,
                "seed": seed, "precision": precision}
    mixed = precision == "bf16" and (device != "auto" or torch.cuda.is_available())
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    origin = next(model.parameters()).device
    model.to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=lr, weight_decay=decay)
    generator = torch.Generator()
    history, best, saved = History(), None, time.perf_counter()
    with repeatable(seed, device):
        generator.manual_seed(int(seed))
        if checkpoint and Path(checkpoint).is_file():
            history, best = resume(checkpoint, settings, model, optimiser, generator, device)
        with tqdm(total=epochs, initial=len(history), unit="epoch", mininterval=1,
                  disable={True: None, False: True, "always": False}[progress]) as bar:
            while not over(history, epochs, patience):
                begun, epoch = time.perf_counter(), len(history) + 1
                rate = lr * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2 if schedule == "cosine" else lr
                for group in optimiser.param_groups:
                    group["lr"] = rate
                row = {"epoch": epoch, "lr": rate}
                row["loss"] = one_epoch(model, batches(epoch, generator), loss, optimiser, trained, clip, epoch, device,
                                        mixed)
                if validate:
                    row |= judged(model, validate, epoch)
                    if best_epoch([*history, row]) == epoch:
                        best = {k: v.detach().clone() for k, v in model.state_dict().items()}
                history.append(row)
                history.seconds.append(time.perf_counter() - begun)
                if checkpoint and (over(history, epochs, patience) or time.perf_counter() - saved >= every):
                    save(checkpoint, settings, model, optimiser, generator, device, history, best)
                    saved = time.perf_counter()
                shown = {k: f"{row[k]:.4g}" for k in ("loss", "error") if row.get(k) is not None}
                bar.set_postfix(shown, refresh=False)
                bar.update()
    if validate and best is None:
        raise InputError(f"validate gave no finite error in {len(history)} epochs; give one for every state of the "
                         "network, e.g. a loss")
    if best:
        model.load_state_dict(best)
    model.to(origin).eval()
    return history


def one_epoch(model, batches, loss, optimiser, trained, clip, epoch, device, mixed):
    """Mean loss over the batches of an epoch, one step of the optimiser after each of them.

    Losses stay on the device until the epoch is over, so that a GPU never waits for a number to be looked at.
    """
    import torch

    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            module.eval()
    losses, norms = [], []
    for batch in batches:
        batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            value = loss(model, batch)
        value.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained, clip))
        optimiser.step()
        losses.append(value.detach())
    if not losses:
        raise InputError(f"epoch {epoch}: no batch; are there samples?")
    values = torch.stack([torch.stack(losses).double(), torch.stack(norms).double()]).cpu()  # (2, batch)
    bad = (~values.isfinite()).any(0).nonzero()
    if len(bad):
        first = int(bad[0])
        raise InputError(f"epoch {epoch}, batch {first + 1}: the loss is {values[0, first]:.4g}, the norm of its "
                         f"gradient {values[1, first]:.4g}; look for missing values in this batch, or lower lr")
    return float(values[0].mean())


def judged(model, validate, epoch):
    """What ``validate`` says of a network, as floats; None for what is no finite number."""
    import torch

    with torch.no_grad():
        found = validate(model.eval())
    if "error" not in found:
        raise InputError(f"epoch {epoch}: validate gave {', '.join(found) or 'nothing'}; give a dict with the key "
                         "'error'")
    return {k: float(v) if math.isfinite(v) else None for k, v in found.items()}


def best_epoch(history):
    """The first epoch of the smallest error; 0 where there is none."""
    errors = [(row["error"], row["epoch"]) for row in history if row.get("error") is not None]
    return min(errors)[1] if errors else 0


def over(history, epochs, patience):
    """Whether all epochs are done, or too many since the best."""
    return len(history) >= epochs or (patience is not None and len(history) - best_epoch(history) >= patience)


@contextlib.contextmanager
def repeatable(seed, device):
    """Seeded random numbers and deterministic algorithms, where torch has them, while the block runs."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cuda = device.type == "cuda"
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS sums in any order
    with torch.random.fork_rng([device] if cuda else []):
        torch.manual_seed(int(seed))
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def save(path, settings, model, optimiser, generator, device, history, best):
    """Write all that a run needs to go on, as plain tensors and numbers; the place in the schedule is the epoch."""
    import torch

    random = {"generator": generator.get_state(), "cpu": torch.get_rng_state()}
    if device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(device)
    with atomic(path) as part:
        torch.save({"settings": settings, "weights": model.state_dict(), "optimiser": optimiser.state_dict(),
                    "random": random, "history": list(history), "seconds": history.seconds, "best": best}, part)


def resume(path, settings, model, optimiser, generator, device):
    """Put back what ``save`` wrote; the history so far and the best weights.

    raises   InputError if the file cannot be read, or is of another network or other settings
    """
    import torch

    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
        other = [k for k in settings if kept["settings"][k] != settings[k]]
        if not other:
            model.load_state_dict(kept["weights"])
            optimiser.load_state_dict(kept["optimiser"])
            generator.set_state(kept["random"]["generator"])
            torch.set_rng_state(kept["random"]["cpu"])
            if device.type == "cuda":
                torch.cuda.set_rng_state(kept["random"]["cuda"], device)
    except Exception as problem:
        raise InputError(f"{path}: the checkpoint cannot be read, or is of another network "
                         f"({type(problem).__name__}); delete it and the training starts again") from problem
    if other:
        said = ", ".join(f"{k} = {kept['settings'][k]} (here {settings[k]})" for k in other)
        raise InputError(f"{path}: a checkpoint with {said}; delete it or give another path")
    return History(kept["history"], kept["seconds"]), kept["best"]


def learning_curve(history):
    """The history of a training as a table to plot.

    returns  DataFrame with the index epoch; loss, lr, and error beside all else that ``validate`` gave (NaN if missing)
    """
    import pandas as pd

    return pd.DataFrame(list(history)).set_index("epoch").astype(float)
