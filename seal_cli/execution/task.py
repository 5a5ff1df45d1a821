"""A run as closures, as a spec: until every stage has a spec of its own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seal_cli.execution import spec
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import WHOLE, Batch, Plan, StageSpec
from seal_cli.store.artifact import WEIGHTS, Artifact
from seal_cli.store.workspace import Workspace
from stages.records import Record

Work = Callable[[Sequence[str]], Iterable[Record]]


@dataclass(frozen=True)
class Job:
    """What a stage may know of its run: its id, where weights go, how many slots it has.

    `made` reads the rows of the batches that are finished.
    """

    artifact_id: str
    weights: Path
    slots: int = 1
    made: Callable[[], Iterable[Record]] = lambda: ()

    def relative(self, path: Path) -> str:
        """A path under `weights` as rows spell it: relative to the artifact."""
        return str(Path(WEIGHTS) / path.relative_to(self.weights))


@dataclass(frozen=True)
class Task:
    """One run of one stage.

    `material` decides the rows and is the key; `config` is what `seal show --config` prints.
    `items` are the ids of the contexts in order (or `WHOLE`), `plan` says how they are worked off.
    `alone` are items after those, of a batch each, that may read what all before them made; a run
    that has some is not cut by context, and `retry_failed` begins it anew.
    `open` loads what the work needs and returns it; `finish` makes the rows that need all others.
    `check` raises when this may not be run; what is there already was, and is not asked. `aside`
    are inputs that the rows are not about (what is replayed, a probe): nothing is looked up through
    them, and `material` says which they are. `owners` tells of all rows to which item each belongs;
    by default that is its context.
    """

    stage: str
    kind: str
    inputs: Sequence[Artifact]
    material: dict[str, Any]
    config: dict[str, Any]
    items: Callable[[], Sequence[str]]
    open: Callable[[Job], Work]
    plan: Callable[[], Plan] = lambda: Plan()
    alone: Sequence[str] = ()
    finish: Callable[[Sequence[Record]], Iterable[Record]] | None = None
    check: Callable[[], None] = lambda: None
    tables: Sequence[str] = ()  # further tables, written even when empty
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    source: str | None = None
    aside: Sequence[Artifact] = ()
    owners: Callable[[Sequence[Record]], Callable[[Record], str]] = lambda _: _context_of


@dataclass(frozen=True)
class TaskSpec(StageSpec):
    """A task as the runner wants it."""

    task: Task

    @property
    def STAGE(self) -> str:  # type: ignore[override]  # noqa: N802
        """As the task says."""
        return self.task.stage

    @property
    def KIND(self) -> str:  # type: ignore[override]  # noqa: N802
        """As the task says."""
        return self.task.kind

    @property
    def TABLES(self) -> Sequence[str]:  # type: ignore[override]  # noqa: N802
        """As the task says."""
        return self.task.tables

    def key(self) -> dict[str, Any]:
        """As the task says."""
        return self.task.material

    def config(self) -> dict[str, Any]:
        """As the task says."""
        return self.task.config

    def inputs(self) -> tuple[str, ...]:
        """As the task says."""
        return tuple(a.id for a in self.task.inputs)

    def side_inputs(self) -> tuple[str, ...]:
        """As the task says."""
        return tuple(a.id for a in self.task.aside)

    def source(self) -> str | None:
        """As the task says."""
        return self.task.source

    def models(self) -> dict[str, dict[str, str]]:
        """As the task says."""
        return self.task.models

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        """As the task says."""
        first = tuple(self.task.items())
        return (first, tuple(self.task.alone)) if self.task.alone else (first,)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """As the task says."""
        return self.task.plan()

    def item_of(self, store: Workspace, rows: Sequence[Record]) -> Callable[[Record], str]:
        """As the task says."""
        return self.task.owners(rows)

    def check(self, store: Workspace) -> None:
        """As the task says."""
        self.task.check()

    def open(self, runtime: Runtime, store: Workspace, job: spec.Job) -> spec.Work:
        """As the task says."""
        made: list[Record] = []
        work = self.task.open(
            Job(job.artifact_id, job.scratch / WEIGHTS, job.plan.slots, lambda: made)
        )

        def run(batch: Batch, before: Sequence[Record]) -> list[Record]:
            made[:] = before
            return list(work(batch.items))

        return run

    def finish(self, store: Workspace, rows: Sequence[Record]) -> list[Record]:
        """As the task says."""
        return list(self.task.finish(rows)) if self.task.finish else []


def _context_of(row: Record) -> str:
    """The item of a row in a stage that is cut by context."""
    return str(getattr(row, "context_id", WHOLE))
