"""`seal update`: selection -> the next policy, a Hugging Face model directory."""

from typing import Annotated

import typer

from seal_cli.api import Seal
from seal_cli.options import AllowOption, stage_command
from seal_cli.pipeline.update import TAKES

SelectionArg = Annotated[
    str, typer.Argument(metavar="SELECTION", help="An artifact: id, prefix, @latest:filter, or -.")
]
WriterOption = Annotated[
    str | None,
    typer.Option(
        "--policy", help="Weights to train, if not those of the policy that wrote the selection."
    ),
]
ReplayFromOption = Annotated[
    list[str] | None,
    typer.Option(
        "--replay-from",
        metavar="SELECTION",
        help="Replay from this selection instead of the earlier rounds'; repeatable.",
    ),
]
ReplayContextsOption = Annotated[
    str | None,
    typer.Option(
        "--replay-contexts",
        metavar="CONTEXTS",
        help="Replay the texts of these contexts instead of the earlier rounds' self-edits.",
    ),
]


@stage_command(TAKES, Seal.update)
def update(
    selection: SelectionArg,
    policy: WriterOption = None,
    replay_from: ReplayFromOption = None,
    replay_contexts: ReplayContextsOption = None,
    allow_split: AllowOption = None,
) -> None:
    """Finetune the policy on the selected self-edits."""
