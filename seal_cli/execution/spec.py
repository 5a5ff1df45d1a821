"""The protocol of a run: a stage run as a value, and who works it off.

A spec is frozen and pickles: it holds resolved values only (artifact ids, model references, names
of table entries, configurations, texts), so it can be opened in another process or on another
machine and gives the same rows there. The runner cuts it into batches, an executor works them off.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from seal_cli.execution.key import fields_of, parts_of
from seal_cli.execution.models import ModelRef
from seal_cli.store.artifact import WEIGHTS
from seal_cli.store.workspace import Workspace
from stages.fields import Config
from stages.grading import ChosenGrader
from stages.records import Record

if TYPE_CHECKING:
    from seal_cli.execution.runtime import Runtime

WHOLE = "whole"  # the one item of a run that is not cut by context


@dataclass(frozen=True)
class Plan:
    """How a run is worked off: decided when it is first started, recorded, kept on resuming.

    `batch` items of the first phase make one batch; `slots` adapters are trained at once.
    """

    batch: int = 1
    slots: int = 1


@dataclass(frozen=True)
class Batch:
    """Items of one phase that are worked off together. What is not finished is done anew, whole."""

    name: str
    phase: int
    items: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What the work may know of its run. `scratch` is a folder of the worker's own.

    Rows name files relative to `scratch`; the runner moves them into the artifact.
    """

    artifact_id: str
    plan: Plan
    scratch: Path

    def weights(self, *parts: str) -> Path:
        """A place for weights in the scratch folder."""
        return self.scratch.joinpath(WEIGHTS, *parts)

    def relative(self, path: Path) -> str:
        """A path below `scratch` as rows spell it: relative to the artifact."""
        return str(path.relative_to(self.scratch))


@dataclass(frozen=True)
class Done:
    """A finished batch: its rows, and its files relative to the job's scratch folder."""

    batch: Batch
    rows: Iterable[Record]
    files: tuple[str, ...] = ()


# A batch and the rows of the phases before its own -> the batch's rows, gone through once.
Work = Callable[[Batch, Sequence[Record]], Iterable[Record]]


def item_of(row: Record) -> str:
    """Which item of a run a row was made for: its context."""
    return str(getattr(row, "context_id", WHOLE))


class StageSpec:
    """One run of one stage. Subclasses are frozen dataclasses that pickle.

    What is not overridden here is as most stages have it: one phase, cut by context, no side
    inputs, no models, nothing to check and nothing to finish.
    """

    STAGE: str  # also the first part of the artifact's id
    KIND: str  # the main table
    TABLES: tuple[str, ...] = ()  # further tables, written even when empty
    HERE = False  # it is worked off where its inputs lie, whoever works the others off

    def key(self) -> dict[str, Any]:
        """What decides the rows: every field that is not opted out. Equal keys are one artifact."""
        return fields_of(self)

    def config(self) -> dict[str, Any]:
        """The settings by section, for the manifest."""
        return {part.SECTION: part.shown() for part in parts_of(self, Config)}

    def inputs(self) -> tuple[str, ...]:
        """Ids of the artifacts it is made from, the one that lineage goes to first."""
        raise NotImplementedError

    def side_inputs(self) -> tuple[str, ...]:
        """Ids of artifacts that its rows are not about: a probe, what is replayed."""
        return ()

    def source(self) -> str | None:
        """The file or folder of an import, for the manifest."""
        return None

    def models(self) -> dict[str, dict[str, str]]:
        """Id -> name and place of every model it uses, for the manifest: provenance, not key."""
        used = [*parts_of(self, ModelRef), *parts_of(self, ChosenGrader)]
        return {name: place for part in used for name, place in part.location.items()}

    def about(self) -> dict[str, str]:
        """What later stages ask of the manifest: domain, writer, student."""
        return {}

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        """Item ids by phase. Items of a phase are independent; they may read earlier phases."""
        return ((WHOLE,),)

    def plan(self, runtime: "Runtime", store: Workspace) -> Plan:
        """How to cut it; asked where it will run."""
        return Plan()

    def check(self, store: Workspace) -> None:
        """Raise when it may not be run. Asked before a run, never before a hit."""

    def open(self, runtime: "Runtime", store: Workspace, job: Job) -> Work:
        """Load what the work needs."""
        raise NotImplementedError

    def finish(self, store: Workspace, rows: Iterable[Record]) -> list[Record]:
        """The rows that need all others, which are read anew whenever they are gone through."""
        return []


class Executor(Protocol):
    """Who works batches off: this process, or workers elsewhere.

    `SEVERAL` are at work at once: each of their batches is journaled when it comes, since together
    they may be minutes of work.
    """

    SEVERAL: bool

    def plan(self, spec: StageSpec) -> Plan:
        """How the spec is cut for the workers."""

    def run(
        self, spec: StageSpec, job: Job, batches: Sequence[Batch], made: Sequence[Record]
    ) -> Generator[Done, None, None]:
        """Work off the batches of one phase, in any order; `made` are the rows of those before.

        Closed, it begins no more of them.
        """
