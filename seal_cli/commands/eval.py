"""`seal eval`: policy and contexts -> metrics, with everything they were computed from."""

from typing import Annotated, Any

import typer

from seal_cli.api import Seal
from seal_cli.options import ContextsArg, StudentOption, stage_command
from seal_cli.pipeline.eval import TAKES
from seal_cli.results import Result

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


@stage_command(TAKES)
def evaluate(
    seal: Seal,
    policy: PolicyArg,
    contexts: ContextsArg,
    student: StudentOption = None,
    probe: ProbeOption = None,
    **settings: Any,
) -> Result:
    """Measure how well a policy adapts itself, or a student, to contexts."""
    return seal.eval(policy, contexts, student=student, probe=probe, **settings)
