"""Names, files and settings -> what specs hold: ids, model references, configurations, texts.

The commands and `seal_cli.api` build specs by it. `default` and `auto` end here; of the settings
that a model brings in its folder, those of the model that a configuration is about count.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import endpoint_id
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.models import LocalModel, find_model, resolve_model, writer_of
from seal_cli.settings import DEFAULT_FILE, Settings
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.domains import SETTINGS, ChosenDomain, Domain
from stages.engines import ENGINES, ChosenEngine
from stages.engines.settings import EndpointConfig, ServerConfig
from stages.errors import ConfigError, InputError
from stages.fields import Config
from stages.grading import ChosenGrader, spec_of
from stages.grading.judge import JudgeConfig
from stages.models import QUANTISED, TOKENIZER, has_chat_template, weight_shapes
from stages.training.targets import resolve_targets

C = TypeVar("C", bound=Config)
S = TypeVar("S", bound=ServerConfig)


@dataclass(frozen=True)
class Resolver:
    """A store, settings, and the flags that were given for each configuration."""

    store: Workspace
    settings: Settings
    flags: Mapping[type[Config], Mapping[str, Any]] = field(default_factory=dict)
    dtype: str = "auto"
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def config(self, cls: type[C], model: LocalModel | None = None) -> C:
        """One configuration, for a model that may bring settings of its own."""
        folder = model.home(DEFAULT_FILE) if model else None
        return self.settings.resolve(cls, self.flags.get(cls), folder)

    def artifact(self, reference: str, *kinds: str) -> Artifact:
        """The artifact a reference stands for. Raises InputError when it is not of these kinds."""
        found = self.store.artifact(self.store.resolve(reference))
        if found.path.parent == self.store.shards:
            raise InputError(
                f"{found.id} is a shard.", "Merge first: run its command without --shard."
            )
        if kinds and found.kind not in kinds:
            raise InputError(
                f"{found.id} holds {found.kind}, not {' or '.join(kinds)}.", "See `seal ls`."
            )
        return found

    def model(self, reference: str) -> LocalModel:
        """The model of this machine that a reference stands for."""
        return resolve_model(self.store, reference)

    def writer_of(self, self_edits: Artifact, wanted: str | None = None) -> LocalModel:
        """The model that wrote self-edits, or the one that is wanted instead."""
        return writer_of(self.store, self_edits, wanted=wanted)

    def known(self, artifact: Artifact, model_id: str) -> LocalModel:
        """A model that an artifact was made with."""
        return find_model(self.store, model_id, artifact.manifest["models"].get(model_id, {}))

    def domain(self, contexts: ContextSet, model: LocalModel | None = None) -> ChosenDomain:
        """The domain of contexts, set for a model. Raises ConfigError for flags of another one."""
        found = ChosenDomain(contexts.domain.NAME)
        for name, (cls, _) in SETTINGS.items():
            if name == found.name:
                found = replace(found, settings=self.config(cls, model))
                continue
            for given in self.flags.get(cls, {}):
                raise ConfigError(
                    f"--{given.replace('_', '-')} is not about contexts of {found.name}.",
                    f"Leave it out: it is about those of {name}.",
                )
        return found

    def reference(self, model: LocalModel, chat: str, targets: str | None = None) -> ModelRef:
        """A model as a spec holds it. `chat` is a mode, `targets` what a LoRA is to adapt."""
        shapes = weight_shapes(model.weights) if targets is not None else {}
        found = ModelRef(
            id=model.id,
            dtype=model.dtype(self.dtype),
            chat=self._chat(chat, model),
            targets=() if targets is None else resolve_targets(targets, shapes),
            name=model.policy.name,
            round=model.policy.round,
            path=None if model.artifact else str(model.path.resolve()),
            base=self.reference(model.base, chat) if model.base else None,
        )
        if found.base:  # which its adapter is folded into
            found.refuse_packed()
        return found

    def _chat(self, mode: str, model: LocalModel) -> bool:
        """Whether prompts go through the model's chat template. Raises ConfigError."""
        template = has_chat_template(model.home(TOKENIZER))
        if mode == "on" and not template:
            raise ConfigError(f"{model.policy.name} has no chat template.", "Use --chat off.")
        return template if mode == "auto" else mode == "on"

    def engine(self, name: str, model: LocalModel) -> ChosenEngine:
        """An engine with its settings. Raises ConfigError where it cannot run the model."""
        require_local(name)
        spec = ENGINES[name]
        if self.dtype == QUANTISED and spec.runs_model and not spec.in_4_bits:
            raise ConfigError(
                f"the engine {name} cannot be given weights in {self.dtype}.",
                "Leave out --dtype nf4, or choose another --engine.",
            )
        return ChosenEngine(name, self.config(spec.config, model) if spec.config else None)

    def endpoint(self, name: str, chat: str, engine: str) -> tuple[ModelRef, ChosenEngine]:
        """A model as its server calls it. Raises ConfigError where `chat` and [endpoint] differ."""
        config = self.server(EndpointConfig)
        wanted = {"auto": config.api, "on": "chat", "off": "completions"}[chat]
        if config.api not in ("auto", wanted):
            raise ConfigError(
                f"--api {config.api} and --chat {chat} do not agree.", "Leave one out."
            )
        config = replace(config, api="chat" if wanted == "auto" else wanted)
        model = ModelRef(
            id=endpoint_id(name),
            dtype="",
            chat=config.api == "chat",
            name=name,
            server=config.base_url,
        )
        return model, ChosenEngine(engine, config)

    def grader(self, name: str, domain: Domain) -> tuple[ChosenGrader, tuple[ChosenGrader, ...]]:
        """A grader by its name, and those beside it: of a judge the domain's own, at no cost."""
        if name == "default":
            name = domain.GRADER
        spec = spec_of(name)
        if not spec.asks:
            return ChosenGrader(name, self.config(spec.config) if spec.config else None), ()
        config = self.server(JudgeConfig)
        config = replace(config, api="chat" if config.api == "auto" else config.api)
        return ChosenGrader(name, config), (ChosenGrader(domain.GRADER),)

    def server(self, cls: type[S]) -> S:
        """How a server is asked; its address may come from OPENAI_BASE_URL."""
        config = self.config(cls)
        if config.base_url:
            return config
        return replace(config, base_url=self.environ.get("OPENAI_BASE_URL", ""))


def require_local(name: str) -> None:
    """Raise ConfigError for an engine that does not run weights of this machine."""
    if not ENGINES[name].local:
        raise ConfigError(
            f"the engine {name} asks a server, which cannot apply adapters that are trained here.",
            "It is for `seal generate`: score its self-edits with --student MODEL.",
        )
