"""`seal eval`: policy and contexts -> metrics, with everything they were computed from."""

from typing import Annotated

import typer

from seal_cli.options import ContextsArg, StudentOption
from seal_cli.pipeline import eval as pipeline
from seal_cli.pipeline.resolve import require_local
from seal_cli.session import Session
from stages.config import GenerateConfig

PolicyArg = Annotated[
    str,
    typer.Argument(metavar="POLICY", help="Model folder, hub name, update artifact, tiny, or -."),
]
ProbeOption = Annotated[
    str | None,
    typer.Option(
        "--probe",
        help="Contexts artifact that nothing is trained on: what adapting does to it is told, too.",
    ),
]


def evaluate(
    session: Session,
    policy: PolicyArg,
    contexts: ContextsArg,
    student: StudentOption = None,
    probe: ProbeOption = None,
) -> None:
    """Measure how well a policy adapts itself, or a student, to contexts."""
    resolve = session.resolver
    source = resolve.artifact(contexts, "contexts")
    probed = resolve.artifact(probe, "contexts") if probe else None
    require_local(resolve.config(GenerateConfig).engine)  # before a server's model is looked for
    model = resolve.model(policy)
    adapted = resolve.model(student) if student else None
    session.answer(session.run(pipeline.evaluate(resolve, source, model, adapted, probed)))
