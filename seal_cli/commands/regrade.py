"""`seal regrade`: the stored answers of rewards or metrics -> the same under another grader."""

from typing import Annotated

import typer

from seal_cli.pipeline import regrade as pipeline
from seal_cli.session import Session
from stages.config import resolved_grader
from stages.grading import GRADERS

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
        help="Who judges the answers: offline (the newest version), "
        f"{', '.join(GRADERS)}, or judge:MODEL behind --base-url.",
    ),
]


def regrade(session: Session, source: SourceArg, grader: GraderOption) -> None:
    """Judge stored answers again with another grader; the model that gave them is not run.

    Rewards (of score, regrade or an import) give rewards, which filter takes; metrics give metrics.
    """
    session.answer(session.run(pipeline.regrade(session.resolver, source, resolved_grader(grader))))
