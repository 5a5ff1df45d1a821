"""One attempt at a spec, under its lock: batches -> journal -> commit.

What is finished is in the journal; what is killed goes on from there, cut as it was begun.
"""

import shutil
import time
from collections.abc import Iterator, Sequence, Set, Sized
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import Any

from seal_cli import console, signals
from seal_cli.execution.manifest import manifest
from seal_cli.execution.shards import Shard, Shards
from seal_cli.execution.spec import Batch, Done, Executor, Job, Plan, StageSpec, item_of
from seal_cli.store.artifact import Artifact, folder_of
from seal_cli.store.failpoints import failpoint
from seal_cli.store.identity import artifact_id
from seal_cli.store.journal import Journal, Made
from seal_cli.store.parts import write_parts
from seal_cli.store.publish import publish
from seal_cli.store.schema import TABLE_OF, TABLES, to_table
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError, OutOfTime
from stages.records import Record

SEEDED = "seeded"  # the batch that --retry-failed takes over from the attempt before
GRAIN = 10.0  # seconds: batches that are done sooner go into the journal together
MOST = 10_000  # rows that are held for that


@dataclass(frozen=True)
class RunOptions:
    """How to run, never what: none of it is in a key (`attempt` is, where one is asked for).

    No work is begun after `deadline`, a moment of `time.monotonic`. `shard`: that part alone, for
    a run to take over later. `merge_only`: take over, and compute nothing.
    """

    force: bool = False
    retry_failed: bool = False
    wait: bool = False
    deadline: float | None = None
    shard: Shard | None = None
    merge_only: bool = False
    argv: tuple[str, ...] = ()


def attempt_id(stage: str, material: dict[str, Any], attempt: int) -> str:
    """The id of one attempt at a key; that of the first is the key itself."""
    return artifact_id(stage, material | ({"attempt": attempt} if attempt else {}))


def _rows(artifact: Artifact) -> Iterator[Record]:
    """The rows of all its tables."""
    return chain.from_iterable(artifact.stream(TABLES[table]) for table in artifact.tables)


class Attempt:
    """One attempt at one spec, under its lock."""

    def __init__(
        self,
        store: Workspace,
        executor: Executor,
        options: RunOptions,
        spec: StageSpec,
        material: dict[str, Any],
        attempt: int,
        newest: Artifact | None,
    ) -> None:
        self.store, self.executor, self.options = store, executor, options
        self.spec, self.material, self.attempt = spec, material, attempt
        self.id = self.whole = attempt_id(spec.STAGE, material, attempt)
        if options.shard:
            self.id = options.shard.id(self.whole)
        self.before = newest if options.retry_failed else None
        self.journal = Journal(store.work_path(self.id), self.id)
        self.quick: list[Done] = []  # finished, and not in the journal yet
        self.held = 0  # rows of these
        self.started = datetime.now(UTC)
        self.clock = time.perf_counter()

    @cached_property
    def phases(self) -> list[list[str]]:
        """The items of each phase in order, each once; of a shard its own. Raises ConfigError."""
        phases = [list(dict.fromkeys(items)) for items in self.spec.phases(self.store)]
        shard = self.options.shard
        if len(phases) > 1 and (shard or self.options.merge_only):
            raise ConfigError(
                "what this run does last needs all that is before: it has no shards.",
                "Leave out --shard and --merge-only; --executor ray spreads it.",
            )
        return [shard.items(phases[0])] if shard else phases

    @cached_property
    def shards(self) -> Shards:
        """The shards that it may take over."""
        return Shards(self.store, self.whole, self.material, self.phases[0])

    def make(self) -> None:
        """Finish what is not finished, then publish."""
        if len(self.phases) > 1:
            self.before = None  # later phases read all of an earlier one: begun anew
        plan, shards = self._planned()
        done = self.journal.finished()
        for shard in shards:
            if shard.name not in done:
                self._take_over(shard)
        taken = self.shards.covered(shards)
        if self.before and SEEDED not in done:
            self.journal.append(SEEDED, *self._kept(self.before))
        batches = self._cut(plan.batch, taken)
        n_done = sum(batch.name in done for batch in batches)
        if self.options.merge_only and n_done < len(batches):
            raise InputError(
                f"{self.id} was begun without shards of {len(batches) - n_done} of its batches.",
                "Run the same command without --merge-only to go on.",
            )
        if n_done:
            console.say(f"{self.id}: going on after {n_done} of {len(batches)} batches.")
        job = Job(self.id, plan, self.journal.folder / "scratch")
        try:
            self._work_off(job, batches, done)
        finally:
            self._record()
        names = [name for name in self.journal.folders() if name != SEEDED]
        self._commit(([SEEDED] if self.before else []) + names)

    def _planned(self) -> tuple[Plan, list[Shard]]:
        """How the run is cut, and what shards it takes over: as it was when it was begun."""
        begun = self.journal.begun
        alone = begun or self.options.shard or self.attempt or len(self.phases) > 1
        shards = [] if alone else self.shards.found()
        taken = self.shards.covered(shards)
        left = [item for item in self.phases[0] if item not in taken]
        if self.options.merge_only and not begun:
            self.shards.require(shards, left)
        plan = self.executor.plan(self.spec) if left else Plan()
        before = self.before.id if self.before else None
        needed = [*self.spec.inputs(), *self.spec.side_inputs()]
        names = [shard.name for shard in shards]
        recorded = self.journal.begin(
            asdict(plan) | {"before": before, "inputs": needed, "shards": names}
        )
        if recorded["before"] != before:  # else its rows would be cut twice, in two ways
            way = "with" if recorded["before"] else "without"
            raise ConfigError(
                f"{self.id} was begun {way} --retry-failed.",
                f"Go on so, or take it away with `seal rm {self.id} --yes`.",
            )
        if recorded["slots"] != plan.slots:
            console.say(
                f"{self.id}: going on with {recorded['slots']} slots, as it was begun; "
                f"`seal rm {self.id} --yes` lets you begin anew."
            )
        return Plan(recorded["batch"], recorded["slots"]), list(
            map(Shard.named, recorded["shards"])
        )

    def _take_over(self, shard: Shard) -> None:
        """A shard into the journal as a finished batch."""
        rows = self.shards.rows(shard)
        self.journal.append(shard.name, rows, self.shards.link(shard, self.journal.out))
        console.say(f"{self.id}: took over the shard {shard.name}.")

    def _cut(self, size: int, taken: Set[str] = frozenset()) -> list[Batch]:
        """The batches; the same cut every time this run is resumed.

        Those of the first phase have `size` items, those of later ones an item each.
        """
        kept: set[str | None] = {*taken}
        if self.before:
            kept = {getattr(row, "context_id", None) for row in self.journal.rows([SEEDED])}
        cut = [
            (phase, items[start : start + (1 if phase else size)])
            for phase, every in enumerate(self.phases)
            for items in [[item for item in every if item not in kept]]
            for start in range(0, len(items), 1 if phase else size)
        ]
        return [Batch(f"{i:06}", phase, tuple(items)) for i, (phase, items) in enumerate(cut)]

    def _work_off(self, job: Job, batches: Sequence[Batch], done: set[str]) -> None:
        """Let the executor work off what is not finished, phase by phase."""
        n_done, last = sum(batch.name in done for batch in batches), time.monotonic()
        total = sum(len(batch.items) for batch in batches)
        finished = sum(len(batch.items) for batch in batches if batch.name in done)
        with console.progress(self.spec.STAGE, total=total, done=finished) as advance:
            for phase in range(len(self.phases)):
                fresh = [b for b in batches if b.phase == phase and b.name not in done]
                if not fresh:
                    continue
                self._check_time(n_done, len(batches))
                self._record()
                first = next(b.name for b in batches if b.phase == phase)
                names = (name for name in self.journal.folders() if name < first)
                made = list(self.journal.rows(names))
                with closing(self.executor.run(self.spec, job, fresh, made)) as results:
                    for result in results:
                        self._keep(job, result)
                        if self._is_due(last) or phase or self.held >= MOST:
                            self._record()
                            last = time.monotonic()
                        advance(len(result.batch.items))
                        signals.check()
                        n_done += 1
                        if n_done < len(batches):  # after the last one only the commit is left
                            self._check_time(n_done, len(batches))

    def _keep(self, job: Job, result: Done) -> None:
        """A finished batch beside those that wait for the journal, its files into out/."""
        for name in result.files:
            target = self.journal.out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (job.scratch / name).replace(target)
        self.quick.append(result)
        self.held += len(result.rows) if isinstance(result.rows, Sized) else 0

    def _record(self) -> None:
        """What is finished into the journal: a killed run loses what came after the last time."""
        done = sorted(self.quick, key=lambda one: one.batch.name)
        self.quick, self.held = [], 0
        if done:
            names = [one.batch.name for one in done]
            rows = chain.from_iterable(one.rows for one in done)
            files = [name for one in done for name in one.files]
            self.journal.append(names[0], rows, files, names)

    def _is_due(self, last: float) -> bool:
        """Whether what is finished goes into the journal now."""
        return self.executor.SEVERAL or time.monotonic() - last >= GRAIN

    def _check_time(self, done: int, total: int) -> None:
        """Raise OutOfTime between batches once the time is spent."""
        deadline = self.options.deadline
        if deadline is not None and time.monotonic() >= deadline:
            raise OutOfTime(
                f"the time is spent, with {done} of {total} batches of {self.spec.STAGE} done.",
                "Run the same command to go on.",
            )

    def _kept(self, before: Artifact) -> tuple[Iterator[Record], list[str]]:
        """The rows of every item in which nothing failed, and the files of their weights."""
        failed = {item_of(row) for row in _rows(before) if getattr(row, "status", "ok") == "failed"}

        def kept() -> Iterator[Record]:
            rows = (row for row in _rows(before) if hasattr(row, "context_id"))
            return (row for row in rows if item_of(row) not in failed)

        files: list[str] = []
        for relative in filter(None, (getattr(row, "weights", None) for row in kept())):
            target = self.journal.out / relative
            shutil.copytree(before.weights(relative), target, dirs_exist_ok=True)
            found = (path for path in target.rglob("*") if path.is_file())
            files += [path.relative_to(self.journal.out).as_posix() for path in found]
        return kept(), files

    def _written(self, made: Made) -> dict[str, Any]:
        """Every table's files in the artifact-to-be: what they count."""
        last: dict[str, list[Record]] = {}
        finished = [] if self.options.shard else self.spec.finish(self.store, made)
        for row in finished:
            last.setdefault(TABLE_OF[type(row)], []).append(row)
        kind, out = self.spec.KIND, self.journal.out
        counted = {}
        for table in dict.fromkeys((kind, *self.spec.TABLES, *made.tables, *last)):
            pieces = chain(made.table(table), [to_table(table, last.get(table, []), self.id)])
            counted[table] = write_parts(out / folder_of(table, kind), table, pieces)
        return counted

    def _commit(self, names: list[str]) -> None:
        weights = self.journal.claimed(names)
        tables = self._written(Made(self.journal, names, self.phases[0]))
        failpoint("parts-written")
        found = manifest(
            self.spec,
            self.store,
            tables,
            artifact_id=self.id,
            base=artifact_id(self.spec.STAGE, self.material),
            material=self.material,
            attempt=self.attempt,
            started=self.started,
            seconds=time.perf_counter() - self.clock,
            argv=self.options.argv,
        )
        try:
            publish(self.journal.out, self.store.path(self.id), found, weights)
        except FileExistsError:
            console.say(f"{self.id} was published by another process meanwhile.")
        self.journal.discard()
