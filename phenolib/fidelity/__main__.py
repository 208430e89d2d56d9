"""The command: statistics of an archive as a table, beside those of another."""

import argparse

from phenolib import fidelity
from phenolib.errors import InputError


def main(arguments=None):
    from phenolib.archive import open_archive

    ask = argparse.ArgumentParser(prog="python -m phenolib.fidelity", description=fidelity.__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("archive", help="'simulated', a folder, or the name of a public data set")
    ask.add_argument("--places", default="", help="how the names of the patches begin that are taken")
    ask.add_argument("--out", help="file that receives the table")
    ask.add_argument("--title", default="", help="of the archive, in the first line of the file")
    ask.add_argument("--source", action="append", default=[], help="whose data under which licence; may be repeated")
    ask.add_argument("--against", help="file with the statistics of another archive, to be printed beside")
    given = ask.parse_args(arguments)
    try:
        archive = open_archive(given.archive)
        other = fidelity.read(given.against) if given.against else None
        if given.out:
            fidelity.attribution(archive, given.source)
        table = fidelity.statistics(archive, places=given.places)
        if given.out:
            fidelity.write(table, given.out, archive, title=given.title, sources=given.source)
        if given.against:
            print(fidelity.compare(table, other).to_string(index=False, float_format="%.3f"))
    except InputError as error:
        ask.exit(2, f"{error}\n")
    return table


if __name__ == "__main__":
    main()
