"""Seats an engine: finds who writes for a model, and puts the prompts as that model wants them.

Loads the weights where the engine runs on this machine. Decides nothing about what is asked.
"""

import importlib.util
import sys
from dataclasses import dataclass

from seal_cli.endpoints import EndpointModel, engine_of
from seal_cli.models import LocalModel
from seal_cli.session import Session, renderer
from stages.config import VllmConfig
from stages.engines import Engine
from stages.errors import ConfigError
from stages.tokens import Render

AT_ONCE = 256  # requests that vLLM is given at the least: it makes its batches itself


@dataclass(frozen=True)
class Seated:
    """An engine ready to be asked, and what puts a prompt into the model's chat template."""

    engine: Engine
    render: Render


def require_local(name: str) -> None:
    """Raise ConfigError for an engine that does not run weights of this machine."""
    if name == "openai":
        raise ConfigError(
            "the engine openai asks a server, which cannot wear what is trained here.",
            "It is for `seal generate`: score its self-edits with --student MODEL.",
        )


def seat(
    session: Session,
    model: LocalModel | EndpointModel,
    name: str,
    *,
    chat: str,
    decode_batch: int,
    rank: int = 0,
) -> Seated:
    """The engine that was chosen by name, for this model.

    `chat` is a mode of `stages.config.CHAT_MODES`; `decode_batch` sequences are decoded together;
    `rank` is that of the adapters that this or another seat in this process will wear.

    Raises:
        ConfigError: the engine asks a server, and the model is here; or vLLM is not installed.

    """
    if isinstance(model, EndpointModel):  # the server has the chat template
        return Seated(engine_of(session, model), renderer(None, chat=False))
    require_local(name)
    if name == "scripted":
        from stages.engines.scripted import ScriptedEngine

        return Seated(ScriptedEngine(), renderer(None, chat=False))
    if name == "vllm":
        return _vllm(session, model, chat, rank)
    from stages.engines.transformers import TransformersEngine

    loaded = session.load(model)
    render = renderer(loaded.tokenizer, chat=session.chat(chat, model))
    return Seated(TransformersEngine(loaded, decode_batch), render)


def _vllm(session: Session, model: LocalModel, chat: str, rank: int) -> Seated:
    """An engine in this process, started when it is first asked."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            "--engine vllm needs vLLM, which is not installed.",
            "pip install 'seal-adapt[vllm]' on a machine with a GPU; `make test-vllm` shows how to "
            "on a CPU.",
        )
    from stages.engines.vllm import VllmEngine
    from stages.engines.vllm_process import Served

    served = Served(model.path.resolve(), model.id, model.dtype(session.dtype))
    config = session.resolve(VllmConfig, model)
    engine = VllmEngine(served, config, lambda: session.load(model), rank)
    return Seated(engine, renderer(engine.tokenizer, chat=session.chat(chat, model)))


def material(session: Session, model: LocalModel, name: str) -> dict[str, object]:
    """What an engine adds to the key of what it wrote, besides its name and semantics."""
    return {"vllm": session.resolve(VllmConfig, model).key()} if name == "vllm" else {}


def together(name: str, decode_batch: int) -> int:
    """How many requests to make before an engine is asked."""
    return max(decode_batch, AT_ONCE) if name == "vllm" else decode_batch


def rest() -> None:
    """Let the engine that holds a GPU's memory give it to a trainer; it wakes when it is asked."""
    process = sys.modules.get("stages.engines.vllm_process")
    if process is not None:
        process.rest()
