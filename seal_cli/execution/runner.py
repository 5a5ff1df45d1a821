"""Run a spec: key -> hit, or an attempt at it (`attempt`) under its lock.

Knows no stage by name. Lock, journal, attempts, deadline and order are known here and in `attempt`,
nowhere else. Work is opened when the first unfinished batch needs it, so a hit imports no torch.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from seal_cli import console
from seal_cli.execution.attempt import Attempt, RunOptions, attempt_id
from seal_cli.execution.spec import Executor, StageSpec
from seal_cli.store.artifact import Artifact
from seal_cli.store.journal import locked
from seal_cli.store.workspace import Workspace
from stages.errors import BusyError, ConfigError

GAP = 16  # attempts that may be missing between two, when some were copied or removed


class Runner:
    """Runs specs in one store."""

    def __init__(self, store: Workspace, executor: Executor, options: RunOptions) -> None:
        if options.force and options.retry_failed:
            raise ConfigError("--force and --retry-failed exclude each other.", "Choose one.")
        if options.shard and options.merge_only:
            raise ConfigError("--shard and --merge-only exclude each other.", "Choose one.")
        again = options.force or options.retry_failed
        if again and (options.shard or options.merge_only):
            raise ConfigError(  # stores may differ in how often it was run
                "--force and --retry-failed are not for shards.", "Run it again without shards."
            )
        self.store, self.executor, self.options = store, executor, options

    def run(self, spec: StageSpec, check: Callable[[], None] = lambda: None) -> Artifact:
        """The artifact of a spec: found, or made. `check` is asked before a run, as the spec's."""
        self.store.create()
        material = material_of(spec)
        last = self._last_attempt(spec.STAGE, material)
        newest = None
        if last is not None and not self.options.force:
            newest = self.store.artifact(attempt_id(spec.STAGE, material, last))
            newest.check()
            newest.prove_tables()
            if self._is_hit(newest):
                return self._there(newest)
        if (shard := self.options.shard) and self.store.has(
            there := shard.id(attempt_id(spec.STAGE, material, 0))
        ):
            found = self.store.artifact(there)
            found.check()
            found.prove_tables()
            return self._there(found)
        for needed in (*spec.inputs(), *spec.side_inputs()):
            self.store.artifact(needed).check()
        check()
        spec.check(self.store)
        attempt = 0 if last is None else last + 1
        run = Attempt(self.store, self.executor, self.options, spec, material, attempt, newest)
        with locked(self.store.lock_path(run.id), wait=self.options.wait):
            if not self.store.path(run.id).exists():
                try:
                    run.make()
                except BaseException:
                    run.journal.abandon()
                    raise
        return self.store.artifact(run.id)

    def _there(self, found: Artifact) -> Artifact:
        """Finish what a run that was killed right after publishing left undone."""
        console.say(f"{found.id} is there already.")
        work = self.store.work_path(found.id)
        if work.exists():
            with suppress(BusyError), locked(self.store.lock_path(found.id), wait=False):
                shutil.rmtree(work, ignore_errors=True)
        return found

    def _is_hit(self, newest: Artifact) -> bool:
        if self.options.retry_failed and newest.n_failed == 0:
            console.say(f"{newest.id} has no failed rows.")
            return True
        return not self.options.retry_failed

    def _last_attempt(self, stage: str, material: dict[str, Any]) -> int | None:
        """The highest published attempt at a key, be it whole or not; what is elsewhere is brought.

        Elsewhere, nothing is looked for after the first that is missing.
        """
        last, attempt, beyond = None, 0, self.store.beyond
        while attempt - (last or 0) <= GAP:
            one = attempt_id(stage, material, attempt)
            here = os.path.lexists(self.store.path(one))
            if beyond and not here:
                here = beyond.bring(one, weights=True)
                beyond = beyond if here else None
            last = attempt if here else last
            attempt += 1
        return last


def material_of(spec: StageSpec) -> dict[str, Any]:
    """What an artifact's id is the hash of, besides its stage."""
    return spec.key()
