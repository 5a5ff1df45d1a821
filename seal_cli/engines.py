"""Seats an engine: finds who writes for a model, and puts the prompts as that model wants them.

Loads the weights where the engine runs on this machine. Decides nothing about what is asked.
"""

import importlib.util
import sys

from seal_cli.endpoints import EndpointModel, engine_of
from seal_cli.models import LocalModel
from seal_cli.session import Session
from stages.config import GenerateConfig, QuizConfig, ScoreConfig, VllmConfig
from stages.engines import Engine
from stages.errors import ConfigError

AT_ONCE = 256  # requests that vLLM is given at the least: it makes its batches itself


Asking = GenerateConfig | QuizConfig | ScoreConfig


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
    config: Asking,
    *,
    rank: int = 0,
) -> Engine:
    """The engine that was chosen by name, for this model.

    `config` says whether prompts go through the chat template, and how many are decoded together;
    `rank` is that of the adapters that this or another seat in this process will wear.

    Raises:
        ConfigError: the engine asks a server, and the model is here; or vLLM is not installed.

    """
    if isinstance(model, EndpointModel):  # the server has the chat template
        return engine_of(session, model)
    require_local(name)
    if name == "scripted":
        from stages.engines.scripted import ScriptedEngine

        return ScriptedEngine()
    if name == "vllm":
        return _vllm(session, model, config.chat, rank)
    from stages.engines.transformers import TransformersEngine

    chat = session.chat(config.chat, model)
    return TransformersEngine(session.load(model), config.decode_batch, chat=chat)


def _vllm(session: Session, model: LocalModel, chat: str, rank: int) -> Engine:
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
    in_template = session.chat(chat, model)
    return VllmEngine(served, config, lambda: session.load(model), rank, chat=in_template)


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
