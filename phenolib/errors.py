"""The one-clear-line error, and names that are near a mistyped one."""

import difflib


class InputError(ValueError):
    """Something the user gave is wrong; the message is one line that says what, where and what to do.

    The command line prints the line and exits with 2; nothing is written.
    """

    def __init__(self, message):
        super().__init__(" ".join(str(message).split()))


class CheckFailed(AssertionError):
    """A recorded result missed its bound in a strict run."""


def near(name, names, *, most=3):
    """Half a sentence that suggests names close to a mistyped one.

    name     what was given
    names    what there is
    most     how many suggestions at most
    returns  "; did you mean 'mead2' or 'mead3'?", or the first few names where none is near

    >>> near("mead4", ["mead2", "mead3", "usof6"])
    "; did you mean 'mead2' or 'mead3'?"
    >>> near("x", ["mead2", "usof6"])
    "; there are 'mead2', 'usof6'"
    >>> near("x", [])
    ''
    """
    names = [str(n) for n in names]
    lower = {n.lower(): n for n in reversed(names)}
    close = [lower[n] for n in difflib.get_close_matches(str(name).lower(), lower, n=most, cutoff=0.6)]
    if close:
        return "; did you mean " + " or ".join(f"'{n}'" for n in sorted(close)) + "?"
    if not names:
        return ""
    rest = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return "; there are " + ", ".join(f"'{n}'" for n in names[:8]) + rest
