"""The DuckDB side: one view per table over the files that manifests name, and read-only queries.

`index.duckdb` is a cache for other tools to open: written beside itself and renamed, deletable at
any time. `seal sql` never trusts it: it builds its views in memory, reads the store through a file
system that cannot write, and has everything else locked away (model text is untrusted, and queries
come from other people too).
"""

import errno
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_cli.store.artifact import Artifact
from seal_cli.store.failpoints import failpoint
from seal_cli.store.journal import locked
from seal_cli.store.schema import TABLES, empty_select
from seal_cli.store.workspace import Workspace
from stages.identity import digest

if TYPE_CHECKING:
    import duckdb

LOG = logging.getLogger(__name__)
SQL = Path(__file__).parent  # the view `accuracies` and the macros of every query
MEMORY_LIMIT = "2GiB"
STAMP = "index.stamp"  # beside the index: which artifacts it is about, and where
_CATALOGUE = (
    "artifact_id VARCHAR, kind VARCHAR, stage VARCHAR, inputs VARCHAR[], source VARCHAR, "
    "created_at TIMESTAMPTZ, status VARCHAR, n_rows BIGINT, seconds DOUBLE, host VARCHAR"
)


def refresh(workspace: Workspace) -> None:
    """Write the index if artifacts came or went since, be it by cp or rsync.

    It is a cache: where it cannot be written (a full disk, a read-only store), that is said and the
    command goes on.
    """
    if not workspace.artifacts.is_dir():
        return
    import duckdb

    stamp = workspace.root / STAMP
    try:
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != _stamp(workspace):
            workspace.create()
            with locked(workspace.locks / "index.lock", wait=True):
                _write(workspace)
                stamp.write_text(_stamp(workspace), encoding="utf-8")
    except (OSError, duckdb.Error) as error:
        if getattr(error, "errno", None) not in (errno.EROFS, errno.EACCES):
            LOG.warning(
                "index.duckdb could not be written (%s); the next command tries again.", error
            )


def _stamp(workspace: Workspace) -> str:
    """What the index is made from and the file it is: equal means up to date and undamaged.

    The root is in it because the views hold absolute paths: a moved store needs them anew.
    """
    file = workspace.index.stat() if workspace.index.exists() else None
    made = [file.st_size, file.st_mtime_ns] if file else []
    return digest(str(workspace.root), workspace.ids(), made)


def _write(workspace: Workspace) -> None:
    """Make index.duckdb anew beside itself and put it in place by one rename."""
    import duckdb

    temporary = workspace.root / "index.tmp"
    log = workspace.root / "index.tmp.wal"
    for leftover in (temporary, log):  # of a process that was killed here
        leftover.unlink(missing_ok=True)
    try:
        with duckdb.connect(str(temporary)) as connection:
            _define(connection, list(workspace.all()), prefix="")
        failpoint("index-written")
        os.replace(temporary, workspace.index)
        failpoint("index-replaced")
    finally:
        for leftover in (temporary, log):
            leftover.unlink(missing_ok=True)


@contextmanager
def sandbox(workspace: Workspace, *, seconds: float) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection that can read this store's tables and do nothing else, for `seconds`."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT})
    connection.register_filesystem(_read_only_files(workspace.root))
    _define(connection, list(workspace.all()), prefix="sealro://")
    for setting in (
        "temp_directory = ''",
        "allowed_directories = ['sealro://']",
        "enable_external_access = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield connection
    finally:
        timer.cancel()
        connection.close()


def _define(
    connection: "duckdb.DuckDBPyConnection", artifacts: list[Artifact], prefix: str
) -> None:
    """The catalogue of artifacts as a table, and every table of the schema as a view."""
    connection.execute(f"CREATE TABLE artifacts ({_CATALOGUE})")
    rows = [_catalogue_row(artifact) for artifact in artifacts]
    if rows:
        connection.executemany(f"INSERT INTO artifacts VALUES ({', '.join('?' * 10)})", rows)
    connection.execute("CREATE TABLE lineage (artifact_id VARCHAR, ancestor VARCHAR)")
    pairs = _lineage(artifacts)
    if pairs:
        connection.executemany("INSERT INTO lineage VALUES (?, ?)", pairs)
    for table in TABLES:
        files = [
            file
            for artifact in artifacts
            if table in artifact.tables
            for file in artifact.files(table)
        ]
        connection.execute(f'CREATE VIEW "{table}" AS {_select(table, files, prefix)}')
    connection.execute((SQL / "macros.sql").read_text(encoding="utf-8"))
    accuracies = (SQL / "accuracies.sql").read_text(encoding="utf-8")
    connection.execute(f"CREATE VIEW accuracies AS {accuracies}")


def _lineage(artifacts: list[Artifact]) -> list[tuple[str, str]]:
    """(artifact, everything it was made from, itself included): what a join between stages needs.

    The same self-edit may stand in several artifacts; this says which of them a reward is about.
    """
    inputs = {artifact.id: artifact.inputs for artifact in artifacts}
    pairs = []
    for artifact in artifacts:
        seen, waiting = {artifact.id}, [artifact.id]
        while waiting:
            new = [i for i in inputs.get(waiting.pop(), []) if i not in seen]
            seen.update(new)
            waiting += new
        pairs += [(artifact.id, ancestor) for ancestor in sorted(seen)]
    return pairs


def _catalogue_row(artifact: Artifact) -> list[Any]:
    manifest = artifact.manifest
    n_rows = manifest["tables"][artifact.kind]["rows"]
    return [
        artifact.id,
        artifact.kind,
        artifact.stage,
        artifact.inputs,
        manifest["source"],
        manifest["created_at"],
        manifest["status"],
        n_rows,
        manifest["seconds"],
        manifest["host"],
    ]


def _select(table: str, files: list[Path], prefix: str) -> str:
    """The view's query; the empty typed row set fixes names and types whatever the files have."""
    if not files:
        return empty_select(table)
    quoted = ", ".join("'" + f"{prefix}{file}".replace("'", "''") + "'" for file in files)
    files_select = f"SELECT * FROM read_parquet([{quoted}], union_by_name=true)"
    return f"{empty_select(table)} UNION ALL BY NAME {files_select}"


class _Reading:
    """An open file for DuckDB, whose threads share it: each has a position of its own."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size
        self._here = threading.local()

    def tell(self) -> int:
        """This thread's position."""
        return getattr(self._here, "position", 0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move this thread's position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        self._here.position = start + offset
        return start + offset

    def read(self, length: int = -1) -> bytes:
        """The bytes at this thread's position, which moves behind them."""
        length = self._size - self.tell() if length < 0 else length
        data = os.pread(self._descriptor, length, self.tell())
        self._here.position = self.tell() + len(data)
        return data

    def close(self) -> None:
        """Close it, once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:  # DuckDB drops without closing
        self.close()


def _read_only_files(root: Path) -> Any:
    """An fsspec file system that opens files under `root` for reading and knows nothing else."""
    from fsspec import AbstractFileSystem

    class ReadOnlyFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
        protocol = "sealro"
        cachable = False

        def _path(self, path: str) -> Path:
            real = Path(self._strip_protocol(path)).resolve()
            if not real.is_relative_to(root.resolve()):
                raise PermissionError(f"{path} is outside the store")
            return real

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return path.removeprefix("sealro://")

        def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
            if mode != "rb":
                raise PermissionError("the store is read-only")
            return _Reading(self._path(path))

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            stat = self._path(path).stat()
            return {"name": path, "size": stat.st_size, "type": "file", "mtime": stat.st_mtime}

        def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
            return [self.info(path)] if detail else [path]

        def modified(self, path: str) -> datetime:
            return datetime.fromtimestamp(self._path(path).stat().st_mtime, UTC)

    return ReadOnlyFiles()
