"""The work folder of one run: which batches are finished, and their rows.

      attempt.json                 how the rows are cut into batches; written once
      batches/000007/<table>.parquet   one folder per finished batch, put there by one rename
      out/                         the artifact being put together; weights are written here at once

A batch counts when its folder has its final name. Whoever holds the lock owns the folder.
"""

import fcntl
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seal_cli.store.artifact import fsync, write_parquet
from seal_cli.store.failpoints import failpoint
from seal_cli.store.schema import TABLES, by_table, from_table, to_table
from stages.errors import BusyError, InputError
from stages.records import Record

LOG = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the kernel's lock on a file: gone when the process is gone, whatever ended it.

    Raises:
        BusyError: another process holds it and `wait` is false.

    """
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            if not wait:
                raise BusyError(
                    f"{path.stem} is being made by {holder}.", "Wait for it, or use --wait."
                ) from error
            LOG.info("waiting for %s, being made by %s", path.stem, holder)
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}")
        stream.flush()
        yield


class Journal:
    """The finished batches of one run. All calls need the run's lock."""

    def __init__(self, folder: Path, artifact_id: str) -> None:
        self.folder = folder
        self.artifact_id = artifact_id
        self.batches = folder / "batches"
        self.out = folder / "out"
        self._synced: set[Path] = set()

    def begin(self, attempt: dict[str, Any]) -> dict[str, Any]:
        """Record how this run is cut, or give back how it was cut when it was first started."""
        self.batches.mkdir(parents=True, exist_ok=True)
        self.out.mkdir(exist_ok=True)
        record = self.folder / "attempt.json"
        if not record.exists():
            temporary = record.with_suffix(".tmp")
            temporary.write_text(json.dumps(attempt), encoding="utf-8")
            fsync(temporary)
            os.replace(temporary, record)
            fsync(self.folder)
        failpoint("attempt-written")
        try:
            recorded: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(
                f"{record} is damaged.", f"Delete {self.folder} and run again."
            ) from error
        return recorded

    def finished(self) -> set[str]:
        """Names of the batches that count; leftovers of unfinished ones are removed."""
        for leftover in self.batches.glob("*.tmp"):
            shutil.rmtree(leftover)
        return {path.name for path in self.batches.iterdir()}

    def append(self, name: str, rows: Iterable[Record]) -> None:
        """Write one batch; it counts when this returns."""
        temporary = self.batches / f"{name}.tmp"
        temporary.mkdir()
        for table, records in by_table(rows).items():
            write_parquet(
                to_table(table, records, self.artifact_id), temporary / f"{table}.parquet"
            )
        fsync(temporary)
        self._sync_weights()
        failpoint("batch-written")
        os.rename(temporary, self.batches / name)
        fsync(self.batches)
        failpoint("batch-renamed")

    def _sync_weights(self) -> None:
        """Put on disk what the batch's rows speak of, before they count."""
        for path in set(self.out.rglob("*")) - self._synced:
            fsync(path)
            self._synced.add(path)

    def rows(self, names: Iterable[str]) -> Iterator[Record]:
        """The rows of these batches, table by table within each batch."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name in names:
            for table, record in TABLES.items():
                file = self.batches / name / f"{table}.parquet"
                if not file.exists():
                    continue
                try:
                    with pq.ParquetFile(file) as parquet:
                        yield from from_table(record, parquet.read())
                except (OSError, pa.ArrowException) as error:
                    raise InputError(
                        f"{file} is damaged.", f"Delete {file.parent} and run again."
                    ) from error

    def discard(self) -> None:
        """Remove the work folder of a published run."""
        shutil.rmtree(self.folder)
