"""Every chapter runs with the fast set, records its results, holds its checks, and describes its pictures."""

import json
from pathlib import Path

import nbformat
import pytest

from phenolib import runner
from phenolib.archive import simulated
from phenolib.runner import notebooks

CHAPTERS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_runs_with_the_fast_set(path, tmp_path):
    "The chapter runs, records, holds its checks, and every picture in it has a text."
    results = runner.run(path.stem, set="fast", out=tmp_path / "out", strict=True)
    assert results["results"], "a chapter records at least one result"
    assert results["checks"], "a chapter checks at least one result"
    assert all(check["held"] is not False for check in results["checks"].values())
    assert simulated.named(results["archive"]["name"])
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results

    notebook = nbformat.read(tmp_path / "out" / "notebook.ipynb", as_version=4)
    pictures = list(pictures_of(notebook))
    assert pictures, "an executed chapter holds at least one picture"
    assert all(len(alt.split()) >= 5 for alt in pictures), "a picture's text says what is to be seen"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    warnings = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert not warnings, f"a chapter warns of nothing: {warnings}"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_stored_without_outputs(path):
    "A chapter in the repository has no outputs and a parameters cell of which every line can be read."
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    cell = next(cell for cell in code if "parameters" in cell.metadata.get("tags", []))
    lines = [line for line in cell.source.splitlines() if line.strip() and not line.startswith("#")]
    found = notebooks.parameters(path)
    assert [line.split(":")[0].split("=")[0].strip() for line in lines] == [parameter.name for parameter in found]
    assert all(parameter.help for parameter in found), "every parameter has its meaning beside it"
    assert found[0].name == "archive" and simulated.named(found[0].default)
    for parameter in found:
        assert notebooks.checked(path.stem, {parameter.name: parameter.default}) == {parameter.name: parameter.default}


def pictures_of(notebook):
    "The text of each PNG that a notebook shows, from the output or from its cell; empty where there is none."
    for cell in notebook.cells:
        of_cell = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield output.metadata.get("image/png", {}).get("alt", "") or of_cell
