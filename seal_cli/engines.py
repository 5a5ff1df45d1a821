"""Seats an engine: finds who writes for a model, and puts the prompts as that model wants them.

Loads the weights where the engine runs on this machine. Decides nothing about what is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass

from seal_cli.models import LocalModel
from seal_cli.session import Session, renderer
from stages.engines import Engine


@dataclass(frozen=True)
class Seated:
    """An engine ready to be asked, and what puts a prompt into the model's chat template."""

    engine: Engine
    render: Callable[[str], str]


def seat(session: Session, model: LocalModel, name: str, *, chat: str, decode_batch: int) -> Seated:
    """The engine that was chosen by name, for this model.

    `chat` is a mode of `stages.config.CHAT_MODES`; `decode_batch` sequences are decoded together.
    """
    if name == "scripted":
        from stages.engines.scripted import ScriptedEngine

        return Seated(ScriptedEngine(), renderer(None, chat=False))
    from stages.engines.transformers import TransformersEngine

    loaded = session.load(model)
    render = renderer(loaded.tokenizer, chat=session.chat(chat, model))
    return Seated(TransformersEngine(loaded, decode_batch), render)
