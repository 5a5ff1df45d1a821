"""`seal score`: adapters or self-edits -> answers, verdicts, rewards."""

from typing import Annotated

import typer

from seal_cli.options import StudentOption
from seal_cli.pipeline import score as pipeline
from seal_cli.session import Session

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
ProxyOption = Annotated[
    str | None,
    typer.Option("--proxy-model", help="Who judges the texts, with --reward proxy."),
]
ProbeOption = Annotated[
    str | None,
    typer.Option(
        "--probe",
        metavar="CONTEXTS",
        help="Contexts to ask every adapted model about, too: what it forgot. As many as "
        "probe_limit of [score] says.",
    ),
]


def score(
    session: Session,
    source: SourceArg,
    student: StudentOption = None,
    questions: QuestionsOption = None,
    probe: ProbeOption = None,
    proxy_model: ProxyOption = None,
) -> None:
    """Examine adapted students and reward the self-edits.

    Given self-edits, it adapts in memory with the settings of [adapt] and keeps no weights.
    """
    spec = pipeline.score(
        session.resolver,
        source,
        student=student,
        questions=questions,
        probe=probe,
        proxy_model=proxy_model,
    )
    session.answer(session.run(spec))
