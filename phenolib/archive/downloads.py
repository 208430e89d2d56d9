"""Named public data sets: what there is, and how to get it with its hash checked."""

import fnmatch
import json
import os
import shutil
from pathlib import Path

import pandas as pd

from phenolib.errors import InputError, near
from phenolib.files import atomic, home, inside, lock, sha256, write_text

MANIFEST = Path(__file__).resolve().parents[2] / "data" / "manifest.csv"
ATTEMPTS = 3


def catalogue():
    """The named data sets, one row per file.

    returns  DataFrame with columns name, kind, file, url, bytes, sha256, licence, citation, note. A row of kind
             "collection" stands for every row whose file matches its pattern.
    """
    if not MANIFEST.is_file():
        raise InputError("manifest.csv: the list of data sets is part of the book's source tree; run from a checkout")
    return pd.read_csv(MANIFEST, dtype=str, keep_default_na=False)


def get(name):
    """Fetch a named data set, each file with its sha256 checked, and return the folder that holds it.

    A file that is there already is kept. ``PHENOLIB_MIRROR`` (a read-only folder with the same file names) is looked
    at before the network. A transfer that was cut goes on where it stopped.

    name     a name of ``catalogue()``, e.g. "phenocam-mead2" or "phenocam-agriculture"
    returns  Path of a folder that ``open_archive`` reads
    raises   InputError for an unknown name, a file without a public address, a failed transfer or a wrong hash
    """
    rows = files_of(name)
    folder = home() / "downloads" / name
    with lock(folder.with_name(f".{name}.lock")), _bar(name, sum(int(b or 0) for b in rows["bytes"])) as bar:
        for row in rows.itertuples():
            _place(row, inside(folder, row.file), bar)
        about = {key: "; ".join(sorted(set(rows[key]) - {""})) for key in ("licence", "citation")}
        lines = [f"{key}: {json.dumps(text)}\n" for key, text in {"title": name, **about}.items()]
        write_text(folder / "archive.yml", "".join(lines))
    return folder


def files_of(name):
    """Rows of the catalogue that a name stands for."""
    table = catalogue()
    rows = table[table["name"] == name]
    if rows.empty:
        raise InputError(f"data set '{name}' is not known{near(name, table['name'].unique())}")
    if (rows["kind"] == "collection").any():
        pattern = rows["file"].iloc[0]
        return table[(table["kind"] != "collection") & table["file"].map(lambda f: fnmatch.fnmatch(f, pattern))]
    return rows


def _place(row, path, bar):
    """Put one file of the catalogue at ``path``: kept, copied from the mirror, or downloaded."""
    if path.is_file() and sha256(path) == row.sha256:
        bar.update(path.stat().st_size)
        return
    mirror = os.environ.get("PHENOLIB_MIRROR")
    # the mirror is laid out as the catalogue, or holds the file itself
    places = [inside(mirror, row.file), inside(mirror, path.name)] if mirror else []
    source = next((place for place in places if place.is_file()), None)
    if source:
        if sha256(source) != row.sha256:
            raise InputError(f"{row.file}: the mirror holds another version (other sha256); replace or remove it there")
        with atomic(path) as part:
            shutil.copyfile(source, part)
        bar.update(path.stat().st_size)
    elif row.url:
        fetch(row.url, path, row.sha256, bar)
    else:
        raise InputError(f"{row.file}: has no public address that is checked here; {row.note}")


def fetch(url, path, known=None, bar=None):
    """Download ``url`` to ``path``; a wrong hash leaves nothing, a cut transfer leaves a part to go on from.

    known    sha256 that the file must have, if one is known
    raises   InputError if the transfer fails or the hash differs
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    if not url.startswith(("https://", "http://")):
        raise InputError(f"{url}: only http and https addresses can be downloaded")
    path.parent.mkdir(parents=True, exist_ok=True)
    known_hash = f"sha256:{known}" if known else None
    try:
        pooch.retrieve(url, known_hash, path.name, path.parent, downloader=Resuming(path, bar))
    except ValueError as error:
        if isinstance(error, InputError) or "hash" not in str(error):
            raise
        raise InputError(f"{path.name}: what {url} sent does not have the sha256 {known[:12]}… of the catalogue; "
                         "nothing was kept, try again or report that the file has changed") from None


class Resuming:
    """A downloader for pooch that keeps what it has in a hidden part file and goes on from there."""

    def __init__(self, path, bar=None):
        self.part = path.with_name(f".{path.name}.download")
        self.bar = bar
        self.shown = 0

    def __call__(self, url, output_file, pooch):
        import requests

        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.transfer(url)
                break
            except requests.HTTPError as error:
                raise InputError(f"{url}: the server answers {error.response.status_code} "
                                 f"{error.response.reason}; check the address or try later") from None
            except requests.RequestException:
                if attempt == ATTEMPTS:
                    raise InputError(f"{url}: {self.what_happened()}") from None
        self.part.replace(output_file)

    def what_happened(self):
        """Half a line about a transfer that did not end."""
        size = self.part.stat().st_size if self.part.is_file() else 0
        if size:
            return f"the transfer was cut after {size} bytes; run the same command again to go on from there"
        return "cannot be reached; check the network, or set PHENOLIB_MIRROR to a folder that holds the files"

    def transfer(self, url):
        """One request, for what is not there yet."""
        import requests

        have = self.part.stat().st_size if self.part.is_file() else 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
            if have and answer.status_code == 416:  # nothing after what is there: it was whole, or the file changed
                return
            answer.raise_for_status()
            more = have > 0 and answer.status_code == 206
            answer.raw.enforce_content_length = False  # keep what came before a cut; the size is compared below
            with open(self.part, "ab" if more else "wb") as file:
                for block in answer.iter_content(1 << 16):
                    file.write(block)
                    self.show(file.tell())
        if self.part.stat().st_size < (have if more else 0) + int(answer.headers.get("Content-Length", 0)):
            raise requests.ConnectionError

    def show(self, size):
        """Move the progress bar to what this file has by now."""
        if self.bar is not None:
            self.bar.update(size - self.shown)
            self.shown = size


def _bar(name, total):
    from tqdm import tqdm

    return tqdm(total=total or None, desc=name, unit="B", unit_scale=True, disable=None)
