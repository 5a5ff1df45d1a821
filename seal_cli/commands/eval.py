"""`seal eval`: policy and contexts -> metrics, with everything they were computed from."""

from typing import Annotated

import typer

from seal_cli.api import Seal
from seal_cli.options import ContextsArg, StudentOption, stage_command
from seal_cli.pipeline.eval import TAKES

PolicyArg = Annotated[
    str,
    typer.Argument(metavar="POLICY", help="Model folder, hub name, update artifact, tiny, or -."),
]
ProbeOption = Annotated[
    str | None,
    typer.Option(
        "--probe",
        help="Held-out contexts; also report how adapting changes accuracy on them.",
        rich_help_panel="Grading",
    ),
]


@stage_command(TAKES, Seal.eval)
def evaluate(
    policy: PolicyArg,
    contexts: ContextsArg,
    student: StudentOption = None,
    probe: ProbeOption = None,
) -> None:
    """Measure how well a policy adapts itself, or a student."""
