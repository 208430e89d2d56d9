"""The one clear line, and names that are near."""

from phenolib.errors import CheckFailed, InputError, near


def test_an_input_error_is_one_line():
    "Line breaks of a quoted cause never reach the user."
    assert str(InputError("file.csv:\n  wrong\n")) == "file.csv: wrong"
    assert isinstance(InputError(""), ValueError)


def test_a_failed_check_is_not_wrong_input():
    "A missed bound is told apart from wrong input."
    assert not issubclass(CheckFailed, InputError)


def test_near_names_come_first():
    "A mistyped name finds its neighbours, whatever its case; without one the first names are listed."
    assert near("MEAD4", ["usof6", "mead3", "mead2"]) == "; did you mean 'mead2' or 'mead3'?"
    assert near("zzz", [f"site{n}" for n in range(10)]).endswith("'site7' and 2 more")
    assert near("zzz", []) == ""
