"""`seal gc`: sweep what nothing needs."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from seal_cli.discarding import YesFlag, go
from seal_cli.options import store_of
from seal_cli.store.removal import Goes, all_but_top, damaged_answers, leftovers, older
from stages.errors import ConfigError

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class Measure(StrEnum):
    """Columns of `rewards` that adapters can be ranked by."""

    REWARD = "reward"
    GAIN = "gain"


TopOption = Annotated[
    int | None,
    typer.Option(
        "--keep-top",
        metavar="N",
        min=0,
        help="In every scored adapters artifact, keep the weights of the best N self-edits only.",
    ),
]
ByOption = Annotated[Measure, typer.Option("--by", help="What --keep-top ranks by.")]
AgeOption = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="AGE",
        help="Also artifacts older than this that nothing needs: 30d, 8w, 12h.",
    ),
]
AnswersFlag = Annotated[
    bool,
    typer.Option("--answers", help="Also damaged answers of servers; they are requested again."),
]


def gc(
    ctx: typer.Context,
    keep_top: TopOption = None,
    by: ByOption = Measure.REWARD,
    older_than: AgeOption = None,
    answers: AnswersFlag = False,
    yes: YesFlag = False,
) -> None:
    """List what the store no longer needs; --yes deletes it.

    Without options: trash, finished work and temporary files.
    """
    store = store_of(ctx)
    going: list[Goes] = list(leftovers(store))
    if keep_top is not None:
        going += all_but_top(store, keep_top, by.value)
    if older_than is not None:
        going += older(store, _age(older_than))
    if answers:
        going += damaged_answers(store)
    go(store, going, yes=yes)


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if found is None:
        raise ConfigError(f"{text!r} is no age.", "Use a number and h, d or w: 30d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
