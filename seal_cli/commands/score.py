"""`seal score`: adapters or self-edits -> answers, verdicts, rewards."""

from typing import Annotated, Any

import typer

from seal_cli.api import Seal
from seal_cli.options import ProbeOption, ProxyOption, StudentOption, stage_command
from seal_cli.pipeline.score import TAKES
from seal_cli.results import Result

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
        help="Ask the questions of this contexts artifact (of `seal quiz`, say) instead.",
    ),
]


@stage_command(TAKES)
def score(
    seal: Seal,
    source: SourceArg,
    student: StudentOption = None,
    questions: QuestionsOption = None,
    probe: ProbeOption = None,
    proxy_model: ProxyOption = None,
    **settings: Any,
) -> Result:
    """Examine adapted students and reward the self-edits.

    Given self-edits, it adapts in memory with the settings of [adapt] and keeps no weights.
    """
    return seal.score(
        source,
        student=student,
        questions=questions,
        probe=probe,
        proxy_model=proxy_model,
        **settings,
    )
