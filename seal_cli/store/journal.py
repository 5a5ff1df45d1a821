"""The work folder of one run: which batches are finished, and their rows.

      attempt.json                 how the rows are cut into batches; written once
      batches/000007/<table>.parquet   one folder per finished batch, put there by one rename
      batches/000007/batch.json    the digests of these, and of the batch's files in out/
      out/                         the artifact being put together; weights are written here at once

A batch counts when its folder has its final name; one that is damaged is made again. Whoever holds
the lock owns the folder.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from seal_cli.store.artifact import entry, write_parquet
from seal_cli.store.failpoints import failpoint
from seal_cli.store.files import (
    Damaged,
    Stamp,
    fresh_digest,
    fsync,
    make_folder,
    open_to_append,
    read_sealed,
    remove,
    stamp,
    write_sealed,
)
from seal_cli.store.schema import TABLES, by_table, from_table, to_table
from stages.errors import BusyError, InputError
from stages.records import Record

LOG = logging.getLogger(__name__)
ATTEMPT, BATCH = "attempt.json", "batch.json"


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the kernel's lock on a file: gone when the process is gone, whatever ended it.

    Raises:
        BusyError: another process holds it and `wait` is false.
        InputError: it is no regular file; a link could lead out of the store.

    """
    with _held(path, wait) as stream:
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}")
        stream.flush()
        try:
            yield
        finally:
            with suppress(OSError):  # whoever has it open sees that it is another's no more
                path.unlink()


def _held(path: Path, wait: bool) -> TextIO:
    """The file, locked, and still the one that is there: its holder before removed its own."""
    while True:
        with ExitStack() as opened:
            stream = opened.enter_context(os.fdopen(open_to_append(path), "a+", encoding="utf-8"))
            _lock(stream, path.stem, wait)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(stream.fileno()), path.lstat()):
                    opened.pop_all()
                    return stream


def _lock(stream: TextIO, name: str, wait: bool) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.seek(0)
        holder = stream.read().strip() or "another process"
        if not wait:
            raise BusyError(
                f"{name} is being made by {holder}.", "Wait for it, or use --wait."
            ) from error
        LOG.info("waiting for %s, being made by %s", name, holder)
        fcntl.flock(stream, fcntl.LOCK_EX)


class Journal:
    """The finished batches of one run. All calls need the run's lock."""

    def __init__(self, folder: Path, artifact_id: str) -> None:
        self.folder = folder
        self.artifact_id = artifact_id
        self.batches = folder / "batches"
        self.out = folder / "out"
        self._proven: dict[Path, tuple[Stamp, str]] = {}  # what this process hashed itself

    def begin(self, attempt: dict[str, Any]) -> dict[str, Any]:
        """Record how this run is cut, or give back how it was cut when it was first started.

        Raises:
            InputError: it is not known any more how it was cut, or a link is in its place.

        """
        for folder in (self.folder, self.batches, self.out):
            if folder.is_symlink():
                raise InputError(f"{folder} is a link.", "Move it away, and run again.")
            make_folder(folder)
        record = self.folder / ATTEMPT
        if not record.exists():
            write_sealed(record, attempt)
        failpoint("attempt-written")
        try:
            return read_sealed(record)
        except Damaged as error:
            raise InputError(
                f"{record} is damaged: {error}.",
                f"Without it the batches beside it are lost: `seal rm {self.artifact_id} --yes`, "
                "and run again.",
            ) from error

    def finished(self) -> set[str]:
        """Names of the batches that count; what is left of others is removed."""
        for leftover in self.batches.glob("*.tmp"):
            remove(leftover)
        found = set()
        for batch in sorted(self.batches.iterdir()):
            try:
                self._check(batch.name)
                found.add(batch.name)
            except Damaged as error:
                LOG.warning("%s of %s is made again: %s.", batch.name, self.artifact_id, error)
                remove(batch)
        return found

    def append(self, name: str, rows: Iterable[Record], files: Iterable[str] = ()) -> None:
        """Write one batch, whose `files` are in out/; it counts when this returns."""
        temporary = self.batches / f"{name}.tmp"
        temporary.mkdir()
        tables = {}
        for table, records in by_table(rows).items():
            path = temporary / f"{table}.parquet"
            write_parquet(to_table(table, records, self.artifact_id), path)
            tables[path.name] = entry(path)
        weights = {file: self._entry(self.out / file) for file in files}
        for folder in {folder for file in weights for folder in (self.out / file).parents}:
            if folder.is_relative_to(self.out):
                fsync(folder)
        write_sealed(temporary / BATCH, {"tables": tables, "files": weights})
        failpoint("batch-written")
        os.rename(temporary, self.batches / name)
        fsync(self.batches)
        failpoint("batch-renamed")

    def rows(self, names: Iterable[str]) -> Iterator[Record]:
        """The rows of these batches, table by table within each batch.

        Raises:
            InputError: a batch is damaged.

        """
        import pyarrow.parquet as pq

        for name in names:
            try:
                tables = self._check(name)["tables"]
            except Damaged as error:
                raise self._again(name, error) from error
            for table, record in TABLES.items():
                if f"{table}.parquet" in tables:
                    with pq.ParquetFile(self.batches / name / f"{table}.parquet") as parquet:
                        yield from from_table(record, parquet.read())

    def claimed(self, names: Iterable[str]) -> dict[str, Any]:
        """The files in out/ that these batches speak of, proven; all others are removed.

        Raises:
            InputError: one of them is damaged.

        """
        found: dict[str, Any] = {}
        for name in names:
            try:
                found |= self._check(name)["files"]
            except Damaged as error:
                raise self._again(name, error) from error
        for path in list(self.out.rglob("*")):  # of a batch that was begun and not finished
            if not path.is_dir() and path.relative_to(self.out).as_posix() not in found:
                path.unlink()
        return found

    def discard(self) -> None:
        """Remove the work folder of a published run."""
        remove(self.folder)

    def abandon(self) -> None:
        """Remove the work folder of a run that failed before any of its batches counted."""
        with suppress(OSError):
            if not self.folder.is_symlink() and all(
                path.suffix == ".tmp" for path in self.batches.glob("*")
            ):
                remove(self.folder)

    def _entry(self, path: Path) -> dict[str, Any]:
        found = entry(path)
        self._proven[path] = stamp(path), found["sha256"]
        return found

    def _check(self, name: str) -> dict[str, Any]:
        """What a batch says of its files, all of them proven. Raises Damaged."""
        record = read_sealed(self.batches / name / BATCH)
        places = {self.batches / name / table: e for table, e in record["tables"].items()}
        places |= {self.out / file: e for file, e in record["files"].items()}
        for path, expected in places.items():
            known = self._proven.get(path)
            if known is None or known[0] != stamp(path):
                known = self._proven[path] = fresh_digest(path)
            if known[1] != expected["sha256"]:
                raise Damaged(f"{path.name} is not what was written")
        return record

    def _again(self, name: str, error: Damaged) -> InputError:
        return InputError(
            f"{name} of {self.artifact_id} is damaged: {error}.",
            "Run the same command again: it is made anew.",
        )
