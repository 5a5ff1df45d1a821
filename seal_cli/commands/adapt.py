"""`seal adapt`: self-edits -> adapters, kept as PEFT directories."""

from typing import Any

from seal_cli.api import Seal
from seal_cli.options import SelfEditsArg, StudentOption, stage_command
from seal_cli.pipeline.adapt import TAKES
from seal_cli.results import Result


@stage_command(TAKES)
def adapt(
    seal: Seal, self_edits: SelfEditsArg, student: StudentOption = None, **settings: Any
) -> Result:
    """Train one LoRA per self-edit and repeat, and keep it."""
    return seal.adapt(self_edits, student=student, **settings)
