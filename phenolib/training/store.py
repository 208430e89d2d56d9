"""The store of fitted models: a network is trained once for given data, parameters, seed and code."""

import inspect
import json
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from phenolib.errors import InputError
from phenolib.files import atomic, digest, home, inside, lock, sha256, write_json


@dataclass(frozen=True)
class Fitted:
    """A trained network with what its training recorded.

    model    torch.nn.Module in evaluation mode
    history  what ``train`` returned
    key      the hash it is stored under
    stored   True if it came from the store, False if it was trained now
    seconds  that the training took when it was done [s]
    """

    model: object
    history: list
    key: str
    stored: bool
    seconds: float


def fitted(name, build, data, *, train, parameters=None, archive="", seed=0, uses=()):
    """A trained network from the store, or trained here and now: the same numbers either way.

    The key covers the source of the network, of the functions given here and of the loop, the printed form of the
    network, the archive, the parameters, the seed and the versions of torch and numpy. A value that a function of a
    notebook takes from elsewhere in the notebook is not in its source: name it in ``parameters``. The store lies in
    ``PHENOLIB_HOME/models``; weights are read as plain tensors, never unpickled. A chapter uses store and loop so::

        def fit(model, windows, seed, checkpoint):
            return training.train(model, windows, loss=loss, validate=validate, epochs=epochs, lr=lr, patience=10,
                                  seed=seed, checkpoint=checkpoint)
        found = training.fitted("deepcrop-lite", build, windows, train=fit, parameters={"epochs": epochs, "lr": lr},
                                archive=archive_hash, seed=seed, uses=[loss, validate, ph.samples])

    name        of the network, e.g. "deepcrop-lite"
    build       function of no argument that returns an untrained torch.nn.Module
    data        handed to ``train``
    train       function (model, data) that trains in place and returns a history that JSON can hold; arguments of the
                names ``seed`` and ``checkpoint`` are given to it if it has them, so that a killed run goes on
    parameters  everything else that the result depends on, as a dict that JSON can hold
    archive     content hash of the archive the data come from
    seed        of weights and sampling
    uses        further functions, classes or modules whose source the result depends on
    returns     Fitted
    raises      InputError if what is stored under the key cannot be read, or a function has no source

    """
    import torch

    torch.manual_seed(int(seed))
    model = build()
    classes = {type(m) for m in model.modules() if not type(m).__module__.startswith("torch.")}
    parts = {"name": name, "sources": sources(build, train, sys.modules[__package__], *classes, *uses),
             "network": digest(str(model)), "archive": archive, "seed": int(seed), "parameters": parameters or {},
             "versions": {p: version(p) for p in ("torch", "numpy")}}
    key = digest(parts)
    folder = inside(home() / "models", f"{name}/{key[:16]}")
    weights, notes, checkpoint = folder / "weights.pt", folder / "history.json", folder / "checkpoint.pt"
    with lock(home() / "models" / f"{key[:16]}.lock"):
        stored = notes.is_file()
        if stored:
            try:
                model.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
                kept = json.loads(notes.read_text(encoding="utf-8"))
                history, seconds = kept["history"], kept["seconds"]
            except Exception as problem:
                raise InputError(f"{folder}: the stored model cannot be read ({type(problem).__name__}); "
                                 "delete this folder and it is trained again") from problem
        else:
            given = {"seed": int(seed), "checkpoint": checkpoint}
            begun = time.perf_counter()
            history = train(model, data, **{k: v for k, v in given.items() if k in inspect.signature(train).parameters})
            seconds = sum(getattr(history, "seconds", [])) or time.perf_counter() - begun
            with atomic(weights) as part:
                torch.save(model.state_dict(), part)
            write_json(notes, {**parts, "history": history, "seconds": seconds})  # last: it marks the entry as whole
            checkpoint.unlink(missing_ok=True)
    return Fitted(model.eval(), history, key, stored, seconds)


def sources(*things):
    """Hashes of the files that define functions, classes, modules and packages; of the text alone of what a notebook
    defines.

    raises   InputError for anything else, e.g. a ``functools.partial``, whose values no file holds
    """
    found = {}
    for thing in things:
        if inspect.ismodule(thing):
            package = Path(thing.__file__).parent.rglob("*.py") if hasattr(thing, "__path__") else [thing.__file__]
            found[thing.__name__] = digest(sorted(sha256(path) for path in package))
        elif not (inspect.isfunction(thing) or inspect.isclass(thing)):
            raise InputError(f"{thing!r} has no source of its own; give a function written with def or lambda")
        elif thing.__module__ != "__main__":
            found[thing.__module__] = sha256(inspect.getsourcefile(thing))
        elif inspect.isclass(thing):
            found |= sources(*(f for f in vars(thing).values() if inspect.isfunction(f)))
        else:
            text = digest(inspect.getsource(thing))
            found[f"{thing.__qualname__} {text[:8]}"] = text  # two lambdas have one name
    return found
