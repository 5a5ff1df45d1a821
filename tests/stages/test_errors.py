"""The exception tree, its exit codes and its docstring say the same."""

import inspect
import re

import pytest

from stages import errors
from stages.errors import SealError

TREE = {
    "ConfigError": ("SealError", 2),
    "InputError": ("SealError", 3),
    "RowsFailed": ("SealError", 4),
    "ResourceError": ("SealError", 5),
    "OutOfTime": ("ResourceError", 5),
    "BusyError": ("SealError", 75),
    "InvalidSelfEdit": ("SealError", 1),
    "RowFailure": ("SealError", 1),
}
CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, SealError) and cls is not SealError
}


def test_the_tree_is_this_one() -> None:
    found = {n: (cls.__bases__[0].__name__, cls.exit_code) for n, cls in CLASSES.items()}
    assert found == TREE


def test_the_docstring_draws_the_tree_with_its_exit_codes() -> None:
    drawn = re.findall(r"[├└]── (\w+) +(\d+|row)", errors.__doc__ or "")
    codes = {"row": 1}
    assert {name: codes.get(code) or int(code) for name, code in drawn} == {
        name: code for name, (_, code) in TREE.items()
    }


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES.keys())
def test_an_error_carries_its_message_and_hint(cls: type[SealError]) -> None:
    error = cls("the file is gone.", "Copy it again.")
    assert (error.message, error.hint, str(error)) == (
        "the file is gone.",
        "Copy it again.",
        "the file is gone.",
    )
    assert cls("alone").hint == ""
