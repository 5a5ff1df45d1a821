"""`seal adapt`: self-edits -> adapters, kept as PEFT directories."""

from seal_cli.api import Seal
from seal_cli.options import SelfEditsArg, StudentOption, stage_command
from seal_cli.pipeline.adapt import TAKES


@stage_command(TAKES, Seal.adapt)
def adapt(self_edits: SelfEditsArg, student: StudentOption = None) -> None:
    """Train one LoRA per self-edit and repeat, and keep it."""
