"""The store of fitted models: a network is trained once for given data, parameters, seed and code."""

import inspect
import json
from dataclasses import dataclass
from importlib.metadata import version

from phenolib.errors import InputError
from phenolib.files import atomic, digest, home, inside, lock, sha256, write_json


@dataclass(frozen=True)
class Fitted:
    """A trained network with what its training recorded.

    model    torch.nn.Module in evaluation mode
    history  what ``train`` returned
    key      the hash it is stored under
    stored   True if it came from the store, False if it was trained now
    """

    model: object
    history: dict
    key: str
    stored: bool


def fitted(name, build, data, *, train, parameters=None, archive="", seed=0):
    """A trained network from the store, or trained here and now: the same numbers either way.

    The key covers the network's and the loop's source, the archive, the parameters, the seed and the versions of
    torch and numpy. The store lies in ``PHENOLIB_HOME/models``; weights are read as plain tensors, never unpickled.

    name        of the network, e.g. "deepcrop-lite"
    build       function of no argument that returns an untrained torch.nn.Module
    data        handed to ``train``
    train       function (model, data) that trains in place and returns a history that JSON can hold
    parameters  everything else that the result depends on, as a dict that JSON can hold
    archive     content hash of the archive the data come from
    seed        of weights and sampling
    returns     Fitted
    raises      InputError if what is stored under the key cannot be read

    """
    import torch

    parts = {"name": name, "sources": sources(build, train, fitted), "archive": archive, "seed": int(seed),
             "parameters": parameters or {}, "versions": {p: version(p) for p in ("torch", "numpy")}}
    key = digest(parts)
    folder = inside(home() / "models", f"{name}/{key[:16]}")
    weights, notes = folder / "weights.pt", folder / "history.json"
    with lock(home() / "models" / f"{key[:16]}.lock"):
        torch.manual_seed(int(seed))
        model = build()
        stored = notes.is_file()
        if stored:
            try:
                model.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
                history = json.loads(notes.read_text(encoding="utf-8"))["history"]
            except Exception as problem:
                raise InputError(f"{folder}: the stored model cannot be read ({type(problem).__name__}); "
                                 "delete this folder and it is trained again") from problem
        else:
            history = train(model, data)
            with atomic(weights) as part:
                torch.save(model.state_dict(), part)
            write_json(notes, {**parts, "history": history})  # last: it marks the entry as whole
    return Fitted(model.eval(), history, key, stored)


def sources(*functions):
    """Hashes of the files that define some functions; of their text alone where they stand in a notebook."""
    found = {}
    for function in functions:
        if function.__module__ == "__main__":
            found[function.__qualname__] = digest(inspect.getsource(function))
        else:
            found[function.__module__] = sha256(inspect.getsourcefile(function))
    return found
