"""`seal adapt`: self-edits -> adapters, kept as PEFT directories."""

from seal_cli.options import SelfEditsArg, StudentOption
from seal_cli.pipeline import adapt as pipeline
from seal_cli.session import Session


def adapt(session: Session, self_edits: SelfEditsArg, student: StudentOption = None) -> None:
    """Train one LoRA per self-edit and repeat, and keep it."""
    session.answer(session.run(pipeline.adapt(session.resolver, self_edits, student)))
