"""Simulated archives by name: the default landscape, or one with other values, made on first use and kept.

``simulated+seed:2+sites:20+warmer:1.5+top_lead:0,0+parts:cameras,patches`` changes values of the configuration (see
``simulate.config``); a range is two numbers with a comma between them. ``parts`` makes only those.
"""

import shutil

from phenolib.errors import InputError, near
from phenolib.files import digest, home, lock

SEED = 7
NAME = "simulated"


def named(name):
    """Whether a name is that of a simulated archive."""
    return name.partition("+")[0] == NAME


def folder(name):
    """The folder of a simulated archive, made on first use by one process at a time.

    Each part lies in a folder of its own, made anew only when its code or its configuration changes; the archive links
    them.

    name     "simulated", or with values as the module says
    raises   InputError for an unknown value or part, or a value out of range
    """
    from phenolib import simulate

    names, config, own = asked(name)
    plain = [] if config == simulate.DEFAULT else [repr(config)]

    def part(one):
        given = {"seed": SEED} if config == simulate.DEFAULT else {"config": config}
        mine = {key: value for key, value in own.items() if key in simulate.own_values([one])}
        key = digest(one, simulate.version(one), *plain, *([mine] if mine else []))[:12]
        return made(home() / "archives" / "parts" / f"{one}-{config.seed}-{key}",
                    lambda path: simulate.make(one, path, **given, **mine))

    key = digest({one: simulate.version(one) for one in names}, *plain, *([own] if own else []))[:12]
    return made(home() / "archives" / f"{NAME}-{config.seed}-{key}",
                lambda path: simulate.join([part(one) for one in names], path))


def asked(name):
    """Parts and configuration that a name asks for, and the values of parts of their own, such as the growth of roots:
    list of str, ``simulate.config.Config`` and dict."""
    from phenolib import simulate

    pairs = [value.partition(":") for value in name.split("+")[1:]]
    given = {key: text for key, _, text in pairs}
    if not all(key and text for key, text in given.items()):
        raise InputError(f"archive '{name}': after each plus comes a value such as seed:2")
    if len(given) < len(pairs):
        raise InputError(f"archive '{name}': a value stands twice; give each once")
    parts = given.pop("parts", "").split(",") if "parts" in given else simulate.parts()
    for one in parts:
        if one not in simulate.parts(every=True):
            raise InputError(f"archive '{name}': '{one}' is no part of it{near(one, simulate.parts(every=True))}")
    values = {key: number(text) for key, text in given.items()}
    own = {key: values.pop(key) for key in list(values) if key in simulate.own_values(parts)}
    try:
        config = simulate.configure(**{"seed": SEED, **values})
        for part in parts:
            mine = {key: value for key, value in own.items() if key in simulate.own_values([part])}
            simulate.settings(part, mine) if mine else None
    except InputError as error:
        raise InputError(f"archive '{name}': {error}") from None
    return [one for one in simulate.parts(every=True) if one in parts], config, own


def number(text):
    """A number, or a tuple of those that commas part; the text itself where it is neither."""
    def one(part):
        for kind in (int, float):
            try:
                return kind(part)
            except ValueError:
                continue
        return part

    found = [one(part) for part in text.split(",")]
    return tuple(found) if len(found) > 1 else found[0]


def made(target, make):
    """``target``, made by ``make(path)`` if it is not there: whole or not at all, by one process at a time."""
    with lock(target.with_name(f".{target.name}.lock")):
        if not target.is_dir():
            beside = target.with_name(f".{target.name}.part")
            shutil.rmtree(beside, ignore_errors=True)
            try:
                make(beside)
                beside.rename(target)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    return target
