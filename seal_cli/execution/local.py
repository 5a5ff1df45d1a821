"""The executor that works in this process, one batch after the other."""

import shutil
from collections.abc import Generator, Sequence

from seal_cli.execution.key import parts_of
from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Done, Job, Plan, StageSpec, Work
from seal_cli.store.workspace import Workspace
from stages.records import Record


class Local:
    """Works batches off with one runtime."""

    SEVERAL = False

    def __init__(self, runtime: Runtime, store: Workspace) -> None:
        self.runtime, self.store = runtime, store
        self._opened: tuple[str, Work] | None = None

    def plan(self, spec: StageSpec) -> Plan:
        """How the spec is cut for this machine."""
        return spec.plan(self.runtime, self.store)

    def run(
        self, spec: StageSpec, job: Job, batches: Sequence[Batch], made: Sequence[Record]
    ) -> Generator[Done, None, None]:
        """Work off the batches in their order."""
        shutil.rmtree(job.scratch, ignore_errors=True)  # of a batch that was not finished
        work = self._open(spec, job)
        for batch in batches:
            job.scratch.mkdir(parents=True, exist_ok=True)
            rows = work(batch, made)
            files = sorted(path for path in job.scratch.rglob("*") if path.is_file())
            yield Done(batch, rows, tuple(job.relative(path) for path in files))
            shutil.rmtree(job.scratch)  # its files were moved: a folder of each adapter is left

    def _open(self, spec: StageSpec, job: Job) -> Work:
        """The work of a run: opened once, for all of its phases."""
        if self._opened is None or self._opened[0] != job.artifact_id:
            self._opened = None  # what the last run holds is free before this one loads
            if used := parts_of(spec, ModelRef):
                self.runtime.keep(used)
            self._opened = job.artifact_id, spec.open(self.runtime, self.store, job)
        return self._opened[1]
