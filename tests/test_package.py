import contextlib
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import yaml
from numba.core.dispatcher import Dispatcher

import phenolib
from phenolib import curves

ROOT = Path(__file__).resolve().parent.parent


def test_import_is_light():
    "Importing the library loads none of the heavy ones; each of its modules can still be reached."
    code = ("import sys, phenolib; heavy = {'torch', 'numba', 'pandas', 'xarray', 'matplotlib', 'papermill', 'dask'}; "
            "print(sorted(heavy & set(sys.modules))); print(phenolib.phenology.__name__)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines() == ["[]", "phenolib.phenology"]


def test_first_call_of_a_compiled_function_is_made_under_a_lock(monkeypatch):
    "Two processes never compile the same function at once: the first call holds the lock, later ones do not."
    held = []

    @contextlib.contextmanager
    def lock(path):
        held.append(path.name)
        yield

    monkeypatch.setattr(curves, "lock", lock)
    curves.kernel.cache_clear()
    line = np.arange(5, dtype=np.float32)[None]
    for _ in range(3):
        assert np.allclose(curves.kernel("daily")(np.arange(5.0), line, 5), line)
    curves.kernel.cache_clear()
    assert held == ["compile.lock"]


def test_compiled_code_is_kept_on_disk():
    "Every compiled function asks numba to keep its machine code and to let other threads run."
    found = []
    for path in sorted((ROOT / "phenolib" / "curves").glob("*.py")):
        module = import_module(f"phenolib.curves.{path.stem}".removesuffix(".__init__"))
        compiled = [f for f in vars(module).values() if isinstance(f, Dispatcher) and f.__module__ == module.__name__]
        found += compiled
        for function in compiled:
            assert function.targetoptions["nogil"], function
            assert Path(function._cache.cache_path).is_dir(), function  # None without cache=True
    assert set(curves.KERNELS) <= {f.__name__ for f in found}


def test_versions_agree():
    "The citation file and the package name one version; conda users read the same lock."
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == phenolib.__version__
    pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    assert "-r requirements.lock" in pip


def test_lock_is_exact_and_names_no_host():
    "Every line of the lock is one exact version, from whatever index the user has."
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert len(packages) > 100 and all(line.count("==") == 1 for line in packages)
    assert not any("+" in line or "://" in line or line.startswith("-") for line in packages)
    asked = [line.split("#")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()]
    names = {line.split("==")[0] for line in packages}
    wanted = {a.replace("_", "-").split("=")[0].split("<")[0].strip().lower() for a in asked if a}
    assert wanted <= names
