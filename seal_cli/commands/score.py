"""`seal score`: adapters or self-edits -> answers, verdicts, rewards."""

from typing import Annotated

import typer

from seal_cli.api import Seal
from seal_cli.options import ProbeOption, ProxyOption, StudentOption, stage_command
from seal_cli.pipeline.score import TAKES

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="ADAPTERS|SELF_EDITS", help="What to score: id, prefix, @latest:adapt, or -."
    ),
]
QuestionsOption = Annotated[
    str | None,
    typer.Option(
        "--questions",
        help="Ask the questions of this artifact instead, for example those of `seal quiz`.",
    ),
]


@stage_command(TAKES, Seal.score)
def score(
    source: SourceArg,
    student: StudentOption = None,
    questions: QuestionsOption = None,
    probe: ProbeOption = None,
    proxy_model: ProxyOption = None,
) -> None:
    """Ask adapted students the questions, and reward the self-edits.

    Given self-edits, it adapts in memory with the settings of [adapt] and keeps no weights.
    """
