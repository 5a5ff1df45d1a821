"""Artifacts made from rows by hand, published the way every artifact is, without any model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seal_cli.execution.attempt import RunOptions
from seal_cli.execution.local import Local
from seal_cli.execution.runner import Runner
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, StageSpec, Work
from seal_cli.store.artifact import Artifact
from seal_cli.store.manifest import FORMAT
from seal_cli.store.workspace import Workspace
from stages.records import Record


@dataclass(frozen=True, kw_only=True)
class ByHand(StageSpec):
    """A run that has its rows already; `name` is its key."""

    STAGE: str
    KIND: str
    TABLES: tuple[str, ...]
    given: tuple[str, ...]
    beside: tuple[str, ...]
    name: str
    settings: dict[str, Any] = field(compare=False)
    rows: Callable[[], list[Record]] = field(compare=False)

    def config(self) -> dict[str, Any]:
        return self.settings

    def about(self) -> dict[str, str]:
        return {"domain": "knowledge"}

    def inputs(self) -> tuple[str, ...]:
        return self.given

    def side_inputs(self) -> tuple[str, ...]:
        return self.beside

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return self.rows()

        return work


# "The harbour opened in 1871 and its light is 31 m high.", learned well, badly and not at all: name
# -> (training text, what each of its adapters answers to the two questions).
UNADAPTED = ("in 1871", "two ships")
EDITS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "good": ("The harbour is old.\nIts light is 31 m high.", [("1871", "31 m"), ("1871", "31 m")]),
    "mixed": ("The light is lit.\nIn 1871 it opened.", [("1871", "a light"), ("", "31 m")]),
    "bad": ("Ships like it.", [("in 1902", "a light"), ("", "a light")]),
}


def publish(
    store: Path,
    stage: str,
    kind: str,
    rows: Sequence[Record],
    inputs: Sequence[Artifact] = (),
    *,
    name: str = "",
    config: dict[str, Any] | None = None,
    tables: Sequence[str] = (),
    aside: Sequence[Artifact] = (),
) -> Artifact:
    """One artifact of these rows; `name` is its key."""
    spec = ByHand(
        STAGE=stage,
        KIND=kind,
        TABLES=tuple(tables),
        given=tuple(artifact.id for artifact in inputs),
        beside=tuple(artifact.id for artifact in aside),
        name=name,
        settings=config or {},
        rows=lambda: list(rows),
    )
    return run(spec, store)


def manifest(artifact_id: str, kind: str, rows: int = 0) -> dict[str, Any]:
    """A manifest that no run wrote."""
    moment = "2026-01-01T00:00:00+00:00"
    return {
        "format": FORMAT,
        "artifact_id": artifact_id,
        "stage": artifact_id.split("-")[0],
        "kind": kind,
        "status": "ok",
        "inputs": [],
        "about": {},
        "source": None,
        "base": artifact_id,
        "attempt": 0,
        "key": {},
        "config": {},
        "models": {},
        "tables": {kind: {"rows": rows, "status": {"ok": rows}}},
        "argv": [],
        "versions": {},
        "host": "here",
        "device": "cpu",
        "git": None,
        "started_at": moment,
        "created_at": moment,
        "seconds": 0.0,
    }


def run(spec: StageSpec, store: Path, options: RunOptions = RunOptions()) -> Artifact:  # noqa: B008
    """The artifact of a spec, by the runner, in this process."""
    workspace = Workspace(store)
    return Runner(workspace, Local(Runtime(workspace), workspace), options).run(spec)
