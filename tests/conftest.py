"""Small projects with small chapters, for the tests of the runner and the command line."""

import time

import nbformat
import psutil
import pytest

from phenolib import files

PARAMETERS = """
days: float = 2.0                # days to double [days]
site: str = "mead2"              # name of a site
steps: int = 3                   # how many
plot: bool = True                # whether to draw
shares: list[float] = [0.2, 0.5] # thresholds [-]
seed: int = 7                    # fixes nothing here
"""
DOUBLE = """
import phenolib as ph
ph.report.record("double_days", 2 * days, "days", interval=(2 * days - 1, 2 * days + 1), n=steps)
ph.report.check("double_days", at_most=5)
"""


def write_chapter(folder, name, *cells, parameters=PARAMETERS, **metadata):
    "Write a small chapter with a parameters cell."
    book = nbformat.v4.new_notebook()
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book.metadata.phenolib = metadata
    head = nbformat.v4.new_code_cell(parameters.strip(), metadata={"tags": ["parameters"]})
    book.cells = [nbformat.v4.new_markdown_cell(f"# {name}"), head]
    book.cells += [nbformat.v4.new_code_cell(cell.strip()) for cell in cells]
    for place, cell in enumerate(book.cells):
        cell.id = f"cell-{place}"
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    nbformat.write(book, folder / "notebooks" / f"{name}.ipynb")


def has_ended(pid):
    try:
        return psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def one_thread():
    "One thread of torch for a module of tests, and what was asked of it before afterwards."
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def project(tmp_path, monkeypatch):
    "An empty project to put chapters in; the caller stands in another folder."
    root, here = tmp_path / "project", tmp_path / "here"
    (root / "notebooks").mkdir(parents=True)
    here.mkdir()
    monkeypatch.setattr(files, "checkout", lambda: root)
    monkeypatch.setenv("PHENOLIB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(here)
    return root
