"""What runs on a node: one worker an actor, with a runtime and a place for files of its own."""

import os
import pickle
import socket
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from seal_cli.execution.depot import CHUNK, PLACE, SuppliedRuntime, Supply
from seal_cli.execution.local import Local
from seal_cli.execution.manifest import versions
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, StageSpec
from seal_cli.store.workspace import Workspace
from stages.records import Record

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Home:
    """The driver's store, and what it is known by where a worker may see it itself."""

    root: Path
    known_by: tuple[str, int, int]

    @classmethod
    def of(cls, root: Path) -> "Home":
        """A store of this machine."""
        return cls(root, _known_by(root))

    @property
    def here(self) -> bool:
        """Whether this process sees the very same folder, and is not told to use another."""
        return (
            PLACE not in os.environ and self.root.is_dir() and _known_by(self.root) == self.known_by
        )


def _known_by(root: Path) -> tuple[str, int, int]:
    machine = _BOOT.read_text() if _BOOT.exists() else socket.gethostname()
    found = root.stat()
    return machine, found.st_dev, found.st_ino


@dataclass(frozen=True)
class Sent:
    """A finished batch on its way: its rows, and its files as references to chunks."""

    rows: list[Record]
    files: dict[str, list[Any]]


class Worker:
    """Works batches off, one after the other. `depot` serves what is not on this node."""

    def __init__(self, home: Home, device: str, depot: Any) -> None:
        self.home, self.device, self.depot = home, device, depot
        self.supply: Supply | None = None

    def ready(self) -> tuple[str, dict[str, str]]:
        """Where it is, and with what; it gets no work before this was told."""
        return socket.gethostname(), versions()

    def plan(self, packed: bytes) -> Plan:
        """How a run is cut: by the memory and the device that work it off."""
        spec = self._unpacked(packed)
        return self._local.plan(spec)

    def work(
        self, packed: bytes, artifact_id: str, plan: Plan, batch: Batch, made: Sequence[Record]
    ) -> Sent:
        """A batch. Its files lie on this node alone, and the driver fetches them."""
        import ray

        spec = self._unpacked(packed)
        job = Job(artifact_id, plan, self._scratch / "batch")
        with closing(self._local.run(spec, job, [batch], made)) as results:
            done = next(results)
            files = {}
            for name in done.files:
                with (job.scratch / name).open("rb") as stream:
                    parts = iter(partial(stream.read, CHUNK), b"")
                    files[name] = [ray.put(part) for part in parts]
            return Sent(list(done.rows), files)

    def _unpacked(self, packed: bytes) -> StageSpec:
        """A spec, with what it is made from on this node."""
        spec: StageSpec = pickle.loads(packed)  # noqa: S301  # of the driver that began this actor
        local = self._local  # knows where the store is
        if self.supply is not None:
            self.supply.bring([*spec.inputs(), *spec.side_inputs()])
        del local
        return spec

    @cached_property
    def _local(self) -> Local:
        if self.home.here:
            store = Workspace(self.home.root)
            return Local(Runtime(store, self.device), store)
        self.supply = Supply(self.depot)
        return Local(SuppliedRuntime(self.supply, self.device), self.supply.store)

    @cached_property
    def _scratch(self) -> Path:
        """Ends with the actor's node at the latest: in the folder for temporary files."""
        return Path(tempfile.mkdtemp(prefix="seal-worker-"))
