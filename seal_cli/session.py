"""One invocation of `seal`: its store, its settings, how to run, and how to answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from seal_cli import console
from seal_cli.inputs import ContextSet
from seal_cli.models import LocalModel
from seal_cli.runner import Runner, RunOptions, Task
from seal_cli.settings import Settings
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.config import Config
from stages.domains import SETTINGS, Domain
from stages.errors import ConfigError, InputError, RowsFailed
from stages.models import has_chat_template
from stages.tokens import Render, render

if TYPE_CHECKING:
    from stages.engines.openai import OpenAIEngine
    from stages.models import LanguageModel

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Session:
    """Everything a command needs that is not its own argument."""

    workspace: Workspace
    settings: Settings
    options: RunOptions
    flags: Mapping[type[Config], Mapping[str, Any]]
    device: str = "auto"
    dtype: str = "auto"
    as_json: bool = False
    servers: "list[OpenAIEngine]" = field(default_factory=list)  # who was asked in this run

    def resolve(self, cls: type[C], model: LocalModel | None = None) -> C:
        """The configuration of one stage, for a model that may bring settings of its own."""
        folder = model.path if model else None
        return self.settings.resolve(cls, self.flags.get(cls), folder)

    def domain(self, contexts: ContextSet, model: LocalModel | None = None) -> Domain:
        """The domain of these contexts, with its settings for a model.

        Raises:
            ConfigError: a flag is about another domain.

        """
        found = contexts.domain
        for name, (cls, build) in SETTINGS.items():
            if name == found.NAME:
                found = build(self.resolve(cls, model))
                continue
            given = [key for key, value in self.flags.get(cls, {}).items() if value is not None]
            if given:
                raise ConfigError(
                    f"--{given[0].replace('_', '-')} is not about contexts of {found.NAME}.",
                    f"Leave it out: it is about those of {name}.",
                )
        return found

    def artifact(self, reference: str, *kinds: str) -> Artifact:
        """The artifact a reference stands for. Raises InputError when it is not of these kinds."""
        found = self.workspace.artifact(self.workspace.resolve(reference))
        if kinds and found.kind not in kinds:
            raise InputError(
                f"{found.id} holds {found.kind}, not {' or '.join(kinds)}.", "See `seal ls`."
            )
        return found

    def run(self, task: Task) -> Artifact:
        """Run one stage, or find that it was run."""
        artifact = Runner(self.workspace, self.options).run(task)
        for engine in self.servers:
            console.say(f"{engine.model}: {engine.usage}.")
        self.servers.clear()
        if artifact.n_failed:
            retry = ", or use --retry-failed" if task.models else ""
            console.say(
                f"{artifact.id}: {artifact.n_failed} failed rows; see their reason column{retry}."
            )
        return artifact

    def answer(self, *artifacts: Artifact) -> None:
        """Print what was made: one id a line, or JSON. Raises RowsFailed under --strict."""
        for artifact in artifacts:
            if self.as_json:
                console.out_json(summary(artifact))
            else:
                console.out(artifact.id)
        self.check(artifacts)

    def check(self, artifacts: Sequence[Artifact]) -> None:
        """Raise RowsFailed when rows failed and --strict was given."""
        failed = sum(artifact.n_failed for artifact in artifacts)
        if self.options.strict and failed:
            # Without a model the same rows would fail again: those commands have no --retry-failed.
            retry = any(artifact.manifest["models"] for artifact in artifacts if artifact.n_failed)
            hint = "Run again with --retry-failed." if retry else "See their reason column."
            raise RowsFailed(f"{failed} rows failed.", hint)

    def load(self, model: LocalModel) -> "LanguageModel":
        """The model, on this session's device."""
        from stages.models import load

        return load(model.path.resolve(), self.device, model.dtype(self.dtype), model.id)

    def chat(self, mode: str, model: LocalModel) -> bool:
        """Whether prompts go through the model's chat template. Raises ConfigError."""
        template = has_chat_template(model.path)
        if mode == "on" and not template:
            raise ConfigError(f"{model.policy.name} has no chat template.", "Use --chat off.")
        return template if mode == "auto" else mode == "on"


def renderer(tokenizer: object, *, chat: bool) -> Render:
    """A function that puts prompts into the chat template, or leaves them."""
    return partial(render, tokenizer, chat=chat)


def summary(artifact: Artifact) -> dict[str, object]:
    """What --json prints about an artifact."""
    manifest = artifact.manifest
    return {
        "artifact_id": artifact.id,
        "kind": artifact.kind,
        "stage": artifact.stage,
        "status": manifest["status"],
        "inputs": artifact.inputs,
        "tables": manifest["tables"],
        "path": str(artifact.path),
        "seconds": manifest["seconds"],
    }
