"""`seal regrade`: the stored answers of rewards or metrics -> the same under another grader."""

from typing import Annotated

import typer

from seal_cli.api import Seal
from seal_cli.options import stage_command
from seal_cli.pipeline.regrade import TAKES
from stages.grading import NAMES

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="REWARDS|METRICS", help="What to grade again: id, prefix, @latest:score, or -."
    ),
]
GraderOption = Annotated[
    str,
    typer.Option(
        "--grader",
        help=f"Grader of the answers: {NAMES}. offline is the newest version; MODEL is a model "
        "behind --base-url.",
    ),
]


@stage_command(TAKES, Seal.regrade)
def regrade(source: SourceArg, grader: GraderOption) -> None:
    """Grade stored answers again with another grader.

    The model that gave them is not run. Rewards (of score, regrade or an import) give rewards,
    which filter takes; metrics give metrics.
    """
