"""The work folder of one run: which batches are finished, and their rows.

      attempt.json                 how the rows are cut into batches; written once
      batches/000007/<table>.parquet   one folder per finished batch, or of several that were quick,
                                   put there by one rename
      batches/000007/batch.json    which they are, the digests of these and of their files in out/
      out/                         the artifact being put together; weights are written here at once

A batch counts when its folder has its final name; one that is damaged is made again. Whoever holds
the lock owns the folder.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

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
from seal_cli.store.parts import in_order, write_rows
from seal_cli.store.publish import entry
from seal_cli.store.schema import TABLES, from_table
from stages.errors import BusyError, InputError
from stages.records import Record

if TYPE_CHECKING:
    import pyarrow as pa

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

    @property
    def begun(self) -> bool:
        """Whether it is recorded how this run is cut."""
        return (self.folder / ATTEMPT).exists()

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
        found: set[str] = set()
        for batch in sorted(self.batches.iterdir()):
            try:
                found.update(self._check(batch.name).get("batches", [batch.name]))
            except Damaged as error:
                LOG.warning("%s of %s is made again: %s.", batch.name, self.artifact_id, error)
                remove(batch)
        return found

    def folders(self) -> list[str]:
        """What to read rows by: the folders of the batches, in their order."""
        return sorted(folder.name for folder in self.batches.iterdir())

    def append(
        self,
        name: str,
        rows: Iterable[Record],
        files: Iterable[str] = (),
        batches: Sequence[str] = (),
    ) -> None:
        """Write one batch, whose `files` are in out/; it counts when this returns.

        `batches` are those that it stands for, where that is more than the one of its name.
        """
        temporary = self.batches / f"{name}.tmp"
        temporary.mkdir()
        written = write_rows(temporary, rows, self.artifact_id)
        tables = {path.name: entry(path) for path in written}
        weights = {file: self._entry(self.out / file) for file in files}
        for folder in {folder for file in weights for folder in (self.out / file).parents}:
            if folder.is_relative_to(self.out):
                fsync(folder)
        several = {"batches": list(batches)} if batches else {}
        write_sealed(temporary / BATCH, several | {"tables": tables, "files": weights})
        failpoint("batch-written")
        os.rename(temporary, self.batches / name)
        fsync(self.batches)
        failpoint("batch-renamed")

    def rows(self, names: Iterable[str]) -> Iterator[Record]:
        """The rows of these batches, table by table within each batch. Raises InputError."""
        for name in names:
            for table, record in TABLES.items():
                for piece in self.pieces([name], table):
                    yield from from_table(record, piece)

    def pieces(
        self, names: Iterable[str], table: str, columns: Sequence[str] | None = None
    ) -> Iterator["pa.Table"]:
        """A table's rows of these batches, a row group at a time.

        Raises:
            InputError: a batch is damaged.

        """
        import pyarrow.parquet as pq

        file = f"{table}.parquet"
        for name in names:
            path = self.batches / name / file
            try:
                expected = read_sealed(path.with_name(BATCH))["tables"].get(file)
                if expected is None:
                    continue
                self._prove(path, expected)
            except Damaged as error:
                raise self._again(name, error) from error
            with pq.ParquetFile(path) as parquet:
                for group in range(parquet.num_row_groups):
                    yield parquet.read_row_group(group, columns)

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
            self._prove(path, expected)
        return record

    def _prove(self, path: Path, expected: dict[str, Any]) -> None:
        """Raise Damaged unless a file is what was written."""
        known = self._proven.get(path)
        if known is None or known[0] != stamp(path):
            known = self._proven[path] = fresh_digest(path)
        if known[1] != expected["sha256"]:
            raise Damaged(f"{path.name} is not what was written")

    def _again(self, name: str, error: Damaged) -> InputError:
        return InputError(
            f"{name} of {self.artifact_id} is damaged: {error}.",
            "Run the same command again: it is made anew.",
        )


@dataclass(frozen=True)
class Made:
    """All rows of a run, table by table in the order of its items; read anew at each pass."""

    journal: Journal
    names: Sequence[str]  # of the batches
    items: Sequence[str]

    def __iter__(self) -> Iterator[Record]:
        for table, record in TABLES.items():
            for piece in self.table(table):
                yield from from_table(record, piece)

    @property
    def tables(self) -> list[str]:
        """Those that have rows."""
        return [
            name for name in TABLES if any(True for _ in self.journal.pieces(self.names, name, ()))
        ]

    def table(self, table: str) -> Iterator["pa.Table"]:
        """One table in pieces, none where there is no such row."""

        def read(columns: Sequence[str] | None) -> Iterator["pa.Table"]:
            return self.journal.pieces(self.names, table, columns)

        yield from in_order(table, read, self.items)
