"""One invocation of `seal`: its store, its settings, how to run, and how to answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from seal_cli import console
from seal_cli.execution.local import Local
from seal_cli.execution.runner import Runner, RunOptions
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import StageSpec
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Settings
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.errors import RowsFailed
from stages.fields import Config

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

    @cached_property
    def resolver(self) -> Resolver:
        """Names, files and settings -> what specs hold."""
        return Resolver(self.workspace, self.settings, self.flags, self.dtype)

    def resolve(self, cls: type[C], model: LocalModel | None = None) -> C:
        """The configuration of one stage, for a model that may bring settings of its own."""
        return self.resolver.config(cls, model)

    def artifact(self, reference: str, *kinds: str) -> Artifact:
        """The artifact a reference stands for. Raises InputError when it is not of these kinds."""
        return self.resolver.artifact(reference, *kinds)

    @cached_property
    def runtime(self) -> Runtime:
        """What this process has loaded."""
        return Runtime(self.workspace, self.device)

    def run(self, spec: StageSpec, check: Callable[[], None] = lambda: None) -> Artifact:
        """Run one stage, or find that it was run."""
        executor = Local(self.runtime, self.workspace)
        artifact = Runner(self.workspace, executor, self.options).run(spec, check)
        for said in self.runtime.usage():
            console.say(said)
        if artifact.n_failed:
            retry = ", or use --retry-failed" if spec.models() else ""
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
