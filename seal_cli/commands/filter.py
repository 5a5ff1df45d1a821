"""`seal filter`: rewards -> the selection that the policy learns from."""

from pathlib import Path
from typing import Annotated

import typer

from seal_cli.api import Seal
from seal_cli.options import stage_command
from seal_cli.pipeline.filter import TAKES

RewardsArg = Annotated[
    str, typer.Argument(metavar="REWARDS", help="An artifact: id, prefix, @latest:score, or -.")
]
ExportOption = Annotated[
    Path | None,
    typer.Option(
        "--export", help="Also write the kept self-edits as prompt/completion JSON lines."
    ),
]


@stage_command(TAKES, Seal.filter)
def filter(rewards: RewardsArg, export: ExportOption = None) -> None:
    """Select the self-edits to learn from."""
