"""Pictures of executed chapters: their alternative text, the one at the top, and those that are kept."""

import base64
import json

from phenolib import files


def images(notebook):
    """The PNG outputs of a notebook as (cell, bytes, metadata)."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                yield cell, base64.b64decode(png), output.get("metadata", {}).get("image/png", {})


def staged(path, target):
    """Write an executed chapter for the builder of the pages.

    The builder takes the alternative text of a picture from its cell, so it is put there. A picture shown under the
    name "main" is put at the top of the chapter too, below the title.

    path    executed notebook
    target  where the staged one is written; the picture for the top is written beside it
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell, png, about in images(notebook):
        if about.get("alt"):
            cell["metadata"].setdefault("mystnb", {})["image"] = {"alt": about["alt"]}
        if about.get("name") == "main":
            picture = target.with_name(f"{target.stem}-main.png")
            picture.write_bytes(png)
            notebook["cells"][0]["source"] = below_title(notebook["cells"][0]["source"], picture.name, about["alt"])
    files.write_json(target, notebook)


def below_title(source, name, alt):
    """The text of the first cell with a picture after its title line.

    >>> print(below_title("# Dates\\n\\nA text.", "dates-main.png", "Dates of a field"))
    # Dates
    <BLANKLINE>
    ```{image} dates-main.png
    :alt: Dates of a field
    ```
    <BLANKLINE>
    A text.
    """
    title, _, rest = "".join(source).partition("\n")
    return f"{title}\n\n```{{image}} {name}\n:alt: {alt}\n```\n\n{rest.lstrip()}"


def keep(path, folder, chapter):
    """Write every named picture of an executed chapter to ``folder`` as <chapter>-<name>.png."""
    for _, png, about in images(json.loads(path.read_text(encoding="utf-8"))):
        if about.get("name"):
            with files.atomic(folder / f"{chapter}-{about['name']}.png") as part:
                part.write_bytes(png)
