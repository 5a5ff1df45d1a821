"""`seal regrade`: the stored answers of rewards or metrics -> the same under another grader."""

from typing import Annotated

import typer

from seal_cli.pipeline import regrade as pipeline
from seal_cli.session import Session
from stages.grading import NAMES, resolved

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="REWARDS|METRICS", help="What to judge again: id, prefix, @latest:score, or -."
    ),
]
GraderOption = Annotated[
    str,
    typer.Option(
        "--grader",
        help=f"What judges the answers: {NAMES}; offline is the newest version, MODEL a model "
        "behind --base-url.",
    ),
]


def regrade(session: Session, source: SourceArg, grader: GraderOption) -> None:
    """Judge stored answers again with another grader; the model that gave them is not run.

    Rewards (of score, regrade or an import) give rewards, which filter takes; metrics give metrics.
    """
    session.answer(session.run(pipeline.regrade(session.resolver, source, resolved(grader))))
