"""The command line: ``phenolib run | sweep | book | simulate | data``."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

import phenolib
from phenolib.errors import CheckFailed, InputError

UsageError = typer.BadParameter.__base__  # of an unknown command or option; typer gives it no name

app = typer.Typer(
    help="Run the chapters of the book with your own parameters and data, and build the book.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Data sets that have a name, and folders of your own.", no_args_is_help=True)
app.add_typer(data, name="data")

Chapter = Annotated[str, typer.Argument(help="First characters of a chapter's name, such as 11.")]
Values = Annotated[list[str], typer.Option("-p", metavar="NAME=VALUE", help="A parameter; as often as you like.")]
Set = Annotated[str, typer.Option("--set", help="Other values for many parameters: fast, full or a YAML file.")]
Minutes = Annotated[float, typer.Option(help="Longest time for a chapter, in minutes.", min=0.001)]
Jobs = Annotated[int, typer.Option(help="How many chapters run at a time.", min=1)]


def _version(wanted: bool):
    if wanted:
        print(f"phenolib {phenolib.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
):
    pass


@app.command()
def run(
    chapter: Chapter,
    p: Values = [],  # noqa: B006
    set: Set = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the results; else phenolib-out/CHAPTER.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A check that does not hold is an error.")] = False,
    timeout: Minutes = 20,
    threads: Annotated[int, typer.Option(help="Threads for numerical work; 1 gives the book's numbers.", min=1)] = 1,
):
    """Run a chapter with other parameters or other data."""
    from phenolib import runner
    from phenolib.runner import notebooks

    out = out or Path("phenolib-out") / notebooks.find(chapter)
    given = notebooks.split(p)
    results = runner.run(chapter, given, set=set or None, out=out, strict=strict, timeout=timeout, threads=threads)
    held = [check["held"] for check in results["checks"].values()]
    words = {True: "held", False: "not held", None: "without a value"}
    checks = ", ".join(f"{held.count(outcome)} {word}" for outcome, word in words.items() if outcome in held)
    print(f"{len(results['results'])} results; checks: {checks or 'none'}; {_shown(out)}")


@app.command()
def sweep(
    chapter: Chapter,
    p: Annotated[list[str], typer.Option("-p", metavar="NAME=V1,V2", help="Values of a parameter.")] = [],  # noqa: B006
    set: Set = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the table; else phenolib-out/CHAPTER-sweep.")] = None,
    workers: Annotated[int, typer.Option(help="How many runs at a time.", min=1)] = 2,
    timeout: Minutes = 20,
):
    """Run a chapter for every combination of several values: one table, one page."""
    from phenolib import runner
    from phenolib.runner import notebooks

    out = out or Path("phenolib-out") / f"{notebooks.find(chapter)}-sweep"
    runs = runner.sweep(chapter, notebooks.split(p), set=set or None, out=out, jobs=workers, timeout=timeout)
    failed = [run for run in runs if not run.results]
    print(f"{len(runs)} runs: {_shown(out / 'sweep.csv')}, {_shown(out / 'sweep.html')}")
    if failed:
        for run in failed:
            values = ", ".join(f"{name}={value}" for name, value in run.values.items())
            print(f"phenolib: {values}: {run.error}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def book(
    set: Set = "",
    strict: Annotated[bool, typer.Option(help="A check that does not hold is an error.")] = True,
    jobs: Jobs = 2,
    only: Annotated[str, typer.Option(metavar="CHAPTER", help="Run this chapter alone and build no pages.")] = "",
    timeout: Annotated[float | None, typer.Option(help="Longest time for a chapter, in minutes.", min=0.001)] = None,
    record_full: Annotated[
        bool, typer.Option("--record-full", help="Run the full set into data/full_results.json.")
    ] = False,
    record_real: Annotated[
        bool, typer.Option("--record-real", help="Run on PHENOLIB_ARCHIVE into data/real_results.json.")
    ] = False,
):
    """Run the chapters that changed and build the pages to _build/html."""
    from phenolib import runner

    limit = {"timeout": timeout} if timeout else {}
    if record_full or record_real:
        for kind in ["full"] * record_full + ["real"] * record_real:
            print(f"recorded: {_shown(runner.record(kind, only=only or None, jobs=jobs, **limit))}")
        return
    built = runner.book(set=set or None, strict=strict, jobs=jobs, only=only or None, **limit)
    print(f"{len(built.fresh)} {'chapter' if len(built.fresh) == 1 else 'chapters'} fresh, {len(built.ran)} run")
    if built.page:
        print(f"the book: {_shown(built.page)}")


@app.command()
def simulate(
    out: Annotated[Path | None, typer.Option(help="Folder of the archive; it must be new or empty.")] = None,
    config: Annotated[Path | None, typer.Option(help="File of sizes and assumptions, see --show-config.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed gives another landscape.")] = None,
    sites: Annotated[int | None, typer.Option(help="How many camera sites.")] = None,
    years: Annotated[str, typer.Option(metavar="A-B", help="First and last year, such as 2016-2022.")] = "",
    scene: Annotated[str, typer.Option(metavar="TA1|TA2", help="Write one large area instead, as a catalogue.")] = "",
    size: Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Of that area; 4000x1000 if not given.")] = "",
    show_config: Annotated[bool, typer.Option("--show-config", help="Print the configuration and stop.")] = False,
):
    """Write an archive of simulated instruments in one landscape whose true dates are known.

    Options take the place of what the configuration says. A large area goes on where a run of it stopped.
    """
    import os

    from phenolib import simulate as simulator
    from phenolib.simulate import config as configuration

    span = _years(years) if years else None
    given = {"seed": seed, "sites": sites, "years": span}
    chosen = configuration.read(config, **{name: value for name, value in given.items() if value is not None})
    if show_config:
        print(configuration.text(chosen), end="")
        return
    if out is None:
        raise InputError("--out is missing; name a new folder for the archive")
    if size and not scene:
        raise InputError(f"--size {size}: belongs to --scene; leave it out")
    if scene:
        from phenolib.simulate import scenes

        if sites is not None:
            raise InputError(f"--sites {sites}: the scene {scene} has no sites; leave it out")
        scenes.make(out, scene, years=span, size=_size(size or "4000x1000"), config=chosen)
        print(f"scenes with known dates: {_shown(out)}")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: is there already; name a new folder")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    made = [folder for folder in part.parents if not folder.exists()]
    try:
        simulator.make_all(part, chosen)
        if out.exists():
            out.rmdir()
        part.replace(out)
    finally:
        _remove(part, made)
    print(f"an archive with known dates: {_shown(out)}")


@data.command("list")
def data_list():
    """List the data sets that have a name, with their size and licence."""
    from phenolib import archive

    rows = archive.catalogue()
    wide = max(rows["name"].str.len())
    for name, files in rows.groupby("name", sort=False):
        size = files["bytes"].astype(float).sum() / 1e6
        kinds, licences = (", ".join(sorted(set(files[column]) - {""})) for column in ("kind", "licence"))
        print(f"{name:{wide}}  {size:8.1f} MB  {kinds:20}  {licences}".rstrip())


@data.command("get")
def data_get(name: Annotated[str, typer.Argument(help="A name of the list.")]):
    """Fetch a named data set, continue a broken download, and check its hash."""
    from phenolib import archive

    print(_shown(archive.get(name)))


@data.command("check")
def data_check(folder: Annotated[str, typer.Argument(help="A folder of files of your own.")]):
    """Say what was found in a folder, what is wrong with it, and which chapters can run on it."""
    from phenolib import archive

    found = archive.check(folder)
    print(found)
    if len(found):
        raise typer.Exit(1)


@data.command("patches")
def data_patches(
    sites: Annotated[Path, typer.Option(help="Table with the columns site, lon and lat.")],
    years: Annotated[str, typer.Option(metavar="A-B", help="First and last year, such as 2018-2020.")],
    stac: Annotated[str, typer.Option(help="earth-search, planetary-computer, copernicus, a URL, or a catalog.json.")],
    out: Annotated[Path, typer.Option(help="Folder of the patches; files that are there stay.")],
    jobs: Annotated[int, typer.Option(help="Files made at once.", min=1, max=16)] = 2,
    strict: Annotated[bool, typer.Option(help="Fail where a scene cannot be read; else it is left out.")] = False,
):
    """Fetch Sentinel patches around sites from a catalogue, as chapters read them. Goes on where it stopped."""
    import pandas as pd

    from phenolib.sources import stac_patches

    if not sites.is_file():
        raise InputError(f"--sites {sites}: there is no such file")
    try:
        table = pd.read_csv(sites, dtype={"site": str})
        numbers = table.astype({c: float for c in ("lon", "lat") if c in table})
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{sites.name}: cannot be read as a table of sites ({error})") from None
    found = stac_patches.write(numbers, _years(years), stac, out, jobs=jobs, missing="raise" if strict else "skip")
    print(f"{_shown(out)}: " + ", ".join(f"{n} {state}" for state, n in found["state"].value_counts().items()))
    if (found["state"] == "failed").any():
        raise typer.Exit(1)


def _years(text):
    """(first, last) from "2016-2022"."""
    first, _, last = text.partition("-")
    try:
        span = int(first), int(last or first)
    except ValueError:
        raise InputError(f"--years {text}: write first and last year, such as 2016-2022") from None
    if span[0] > span[1]:
        raise InputError(f"--years {text}: the first year is after the last")
    return span


def _size(text):
    """(rows, columns) from "4000x1000"."""
    try:
        rows, columns = (int(n) for n in text.lower().split("x"))
    except ValueError:
        raise InputError(f"--size {text}: write rows and columns of pixels, such as 4000x1000") from None
    return rows, columns


def _remove(part, made):
    """Take away an unfinished folder and the empty folders made for it."""
    import contextlib
    import shutil

    shutil.rmtree(part, ignore_errors=True)
    for folder in made:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _shown(path):
    import os

    return os.path.relpath(path)


def _terminated(*_):
    raise SystemExit(143)


def main(arguments=None):
    """Run a command; what the user can mend is one line on the standard error and exit code 2."""
    from phenolib.runner import ChapterFailed

    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = app(arguments, prog_name="phenolib", standalone_mode=False)
    except InputError as error:
        code = _say(error, 2)
    except (ChapterFailed, CheckFailed) as error:
        code = _say(error, 1)
    except UsageError as error:
        code = _say(" ".join(error.format_message().split()), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = _say("stopped", 130)
    sys.exit(code or 0)


def _say(text, code):
    for line in str(text).splitlines():
        print(f"phenolib: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
