"""Engines generate text. An engine answers requests; it does not know what they are about.

Rewards of different engines are never mixed: the engine is in the key of everything it wrote.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from stages.engines.settings import EndpointConfig, VllmConfig
from stages.fields import Config
from stages.tables import Chosen, Entry
from stages.tokens import render_all

if TYPE_CHECKING:
    from stages.engines.openai import Ledger
    from stages.models import LanguageModel
    from stages.training import Lora


@dataclass(frozen=True, slots=True)
class Request:
    """One text to write. An engine whose model has a chat template puts `prompt` into it.

    `system` stands before it, in a chat template as the system message.
    `stop`: the text ends before this string, once something that is not blank was written.
    `grammar`: EBNF that the text has to follow.
    """

    prompt: str
    seed: int
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: str | None = None
    grammar: str | None = None
    system: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What was written, or why nothing was: then `error` says so and the text is empty.

    `prompt` is the exact text that the model was given, where that is not the request's.
    """

    text: str
    n_tokens: int | None  # null where a server does not say
    finish: Literal["stop", "length"] | None
    error: str | None = None
    prompt: str | None = None


def given(requests: Sequence[Request], tokenizer: Any, *, chat: bool) -> list[Request]:
    """The requests with all that a model is given in their prompts."""
    texts = render_all(tokenizer, [(one.prompt, one.system) for one in requests], chat=chat)
    return [
        replace(one, prompt=text, system="") if chat or one.system else one
        for one, text in zip(requests, texts, strict=True)
    ]


def told(
    requests: Sequence[Request], put: Sequence[Request], completions: Sequence[Completion]
) -> list[Completion]:
    """Completions of `requests` that say what the model was given, where `put` is another text."""
    return [
        done if asked.prompt == one.prompt else replace(done, prompt=one.prompt)
        for asked, one, done in zip(requests, put, completions, strict=True)
    ]


class Written(Protocol):
    """What has a number of tokens: a completion, or a recipe's record of one."""

    @property
    def n_tokens(self) -> int | None:
        """Null where it is not known."""


def tokens_of(written: Sequence[Written]) -> int | None:
    """All their tokens; null when one of them is not known."""
    counts = [one.n_tokens for one in written]
    return None if None in counts else sum(count or 0 for count in counts)


def stop_at(text: str, stop: str | None) -> int | None:
    """Where a text ends by its request's `stop`, blanks at the front aside; None if it goes on."""
    if stop is None:
        return None
    place = text.find(stop, len(text) - len(text.lstrip()) + 1)
    return place if place >= 0 else None


def misfit(n_tokens: int, window: int) -> Completion | None:
    """What comes of a prompt that leaves no room for a token, or has none itself."""
    if 0 < n_tokens < window:
        return None
    error = f"prompt of {n_tokens} tokens does not fit the model's window of {window}"
    return Completion("", 0, None, error)


class Engine(Protocol):
    """Writes one completion per request, in order; with `loras`, each as its adapted model."""

    def complete(
        self, requests: Sequence[Request], loras: "Sequence[Lora | None]" = ()
    ) -> list[Completion]:
        """One completion per request; errors are in them, not raised.

        With `loras`, one per request: the same object again for what one adapted model writes.
        """

    def rest(self) -> None:
        """Give a GPU's memory to a trainer, until it is asked again."""

    def used(self) -> str | None:
        """What a server was asked since the last call, in a sentence; None where there is none."""


@dataclass(frozen=True)
class Access:
    """What a server is asked with. `secrets` are blotted out of everything that it says."""

    key: str | None
    secrets: Sequence[str]
    ledger: "Ledger"


@dataclass(frozen=True, kw_only=True)
class Seat:
    """What an engine is built from: a model of this process, or of a server, and how it is used.

    `load` and `access` are called by the engine that needs them. `batch` sequences are decoded
    together; `rank` is that of the adapters that it will apply, 0 for none.
    """

    model_id: str
    name: str
    folder: Path | None
    dtype: str
    chat: bool
    batch: int
    rank: int
    load: "Callable[[], LanguageModel]"
    access: Callable[[], Access]


@dataclass(frozen=True, kw_only=True)
class EngineSpec(Entry):
    """An engine that can be chosen. Its module has `build(seat, settings) -> Engine`.

    `local`: it answers for a model of this machine. `runs_model`: by its weights.
    `applies_lora`: it answers as an adapted model. `in_4_bits`: it takes weights in nf4.
    `sees_training`: it uses the weights that this process trains, so it answers as they change.
    `at_once`: requests that it wants at the least, because it makes its batches itself.
    """

    module: str
    local: bool = True
    runs_model: bool = True
    applies_lora: bool = False
    in_4_bits: bool = False
    sees_training: bool = False
    at_once: int = 1

    def build(self, seat: Seat, settings: Config | None) -> Engine:
        """The engine, for one model."""
        engine: Engine = import_module(self.module).build(seat, settings)
        return engine


ENGINES = {
    spec.name: spec
    for spec in (
        EngineSpec(
            name="transformers", module="stages.engines.transformers", applies_lora=True,
            sees_training=True, in_4_bits=True,
        ),
        EngineSpec(
            name="vllm", module="stages.engines.vllm", config=VllmConfig, applies_lora=True,
            at_once=256,
        ),
        EngineSpec(
            name="openai", module="stages.engines.openai", config=EndpointConfig, local=False,
            runs_model=False,
        ),
        EngineSpec(name="scripted", module="stages.engines.scripted", runs_model=False),
    )
}  # fmt: skip
LOCAL = tuple(spec.name for spec in ENGINES.values() if spec.local)
APPLY_LORA = tuple(spec.name for spec in ENGINES.values() if spec.applies_lora)
CHAT_MODES = ("auto", "on", "off")


@dataclass(frozen=True)
class ChosenEngine(Chosen):
    """An engine as a run holds it."""

    @property
    def entry(self) -> EngineSpec:
        """Its line in the table."""
        return ENGINES[self.name]
