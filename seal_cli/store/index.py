"""The DuckDB side: one view per table over the files that manifests name, and read-only queries.

`index.duckdb` is a cache for other tools to open: written beside itself and renamed, deletable at
any time. A stage leaves it alone: what is new is put in when it is asked for (`seal init`, `sql`,
`report`). `seal sql` never trusts it: it builds its views in memory, reads the store through a file
system that cannot write, and has everything else locked away (model text is untrusted, and queries
come from other people too).
"""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_cli.store.artifact import Artifact
from seal_cli.store.catalogue import SETTINGS, create, fill, insert, names_of
from seal_cli.store.failpoints import failpoint
from seal_cli.store.files import MANIFEST, Damaged, Stamp, read_sealed, stamp, write_sealed
from seal_cli.store.journal import locked
from seal_cli.store.schema import TABLES, empty_select, versioned_select
from seal_cli.store.workspace import Workspace
from stages.errors import BusyError, InputError
from stages.identity import digest
from stages.sandbox import MEMORY_LIMIT, close_off, interrupted_after, spent

if TYPE_CHECKING:
    import duckdb

LOG = logging.getLogger(__name__)
SQL = Path(__file__).parent  # the views below and the macros of every query
# Each may use those before it.
VIEWS = (
    "model_names", "judgements", "experiments", "accuracies", "traces",
    "scored", "judged", "flips", "lines", "retention", "runs",
)  # fmt: skip
# Functions (by a part of their names) that take a table's name or a query as text.
_BY_TEXT = ("query", "histogram", "serialized", "duckdb_", "pragma", "show", "summarize")
STAMP = "index.stamp"  # beside the index: which artifacts it is about, and where
# (artifact, everything it was made from, itself included): what a join between stages needs. The
# same self-edit may stand in several artifacts; this says which of them a reward is about.
# A view: a chain of n artifacts has n² / 2 pairs, which only the queries that name it pay for.
_LINEAGE = """
    CREATE OR REPLACE VIEW lineage AS
    WITH RECURSIVE
        made AS (SELECT artifact_id, unnest(inputs) AS input FROM artifacts),
        lineage (artifact_id, ancestor) AS (
            SELECT artifact_id, artifact_id FROM artifacts
            UNION
            SELECT lineage.artifact_id, input
            FROM lineage JOIN made ON made.artifact_id = lineage.ancestor
        )
    FROM lineage"""


def refresh(workspace: Workspace) -> None:
    """Write the index if artifacts came or went since, be it by cp or rsync.

    It is a cache: where it cannot be written (a full disk, a read-only store, another process that
    is writing it), the command goes on.
    """
    if not workspace.artifacts.is_dir():
        return
    recorded = _recorded(workspace)
    if recorded == _stamp(workspace, workspace.ids()):  # what it leaves out is tried again
        return
    import duckdb

    try:
        workspace.create()
        with suppress(BusyError), locked(workspace.locks / "index.lock", wait=False):
            try:
                _write(workspace, recorded)
            except duckdb.Error:  # what it went on from may be damaged
                _write(workspace, None)
    except (OSError, duckdb.Error, InputError) as error:
        if getattr(error, "errno", None) not in (errno.EROFS, errno.EACCES):
            LOG.warning(
                "index.duckdb could not be written (%s); the next command tries again.", error
            )


def _recorded(workspace: Workspace) -> dict[str, Any] | None:
    """What stands beside the index; a damaged note is as good as none."""
    file = workspace.root / STAMP
    if not os.path.lexists(file):
        return None
    try:
        return read_sealed(file)
    except Damaged as error:
        LOG.info("%s is damaged (%s): the index is written anew.", file.name, error)
        return None


def _stamp(workspace: Workspace, ids: list[str]) -> dict[str, Any]:
    """Which artifacts an index is about, where they lie, and the file that it is.

    The root is in it because the views hold absolute paths: a moved store needs them anew.
    """
    made: list[int] = []
    with suppress(Damaged):
        made = list(stamp(workspace.index))
    names = digest(sorted(f"{name} {one}" for one, name in names_of(workspace).items()))
    return {"root": str(workspace.root), "ids": digest(sorted(ids)), "names": names, "index": made}


def _proven(
    workspace: Workspace, artifacts: Iterable[Artifact], tables: Collection[str]
) -> list[Artifact]:
    """Those of the artifacts whose files of these tables may be read; of others that is said."""
    found = []
    for artifact in artifacts:
        try:
            artifact.prove_tables(tables)
            found.append(artifact)
        except InputError as error:
            workspace.leave_out(artifact.id, error)
    return found


def _write(workspace: Workspace, recorded: dict[str, Any] | None) -> None:
    """Put index.duckdb in place by one rename: the recorded one with what is new, or a new one."""
    import duckdb

    temporary = workspace.root / "index.tmp"
    log = workspace.root / "index.tmp.wal"
    for leftover in (temporary, log):  # of a process that was killed here
        leftover.unlink(missing_ok=True)
    here = _stamp(workspace, [])
    try:
        if recorded is not None and all(recorded.get(k) == here[k] for k in ("root", "index")):
            shutil.copyfile(workspace.index, temporary)
        with duckdb.connect(str(temporary)) as connection:
            ids = _bring_up(connection, workspace)
        if recorded == _stamp(workspace, ids):
            return
        failpoint("index-written")
        os.replace(temporary, workspace.index)
        failpoint("index-replaced")
        write_sealed(workspace.root / STAMP, _stamp(workspace, ids))
    finally:
        for leftover in (temporary, log):
            leftover.unlink(missing_ok=True)


def _bring_up(connection: "duckdb.DuckDBPyConnection", workspace: Workspace) -> list[str]:
    """Take out of an index what is gone or is another now, and put in what is new; its ids."""
    create(connection)
    connection.execute("CREATE SCHEMA IF NOT EXISTS known")  # not listed by SHOW TABLES
    connection.execute("CREATE TABLE IF NOT EXISTS known.manifests (artifact_id TEXT, stamp TEXT)")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS known.files (artifact_id TEXT, kind TEXT, path TEXT)"
    )
    known = dict(connection.execute("FROM known.manifests").fetchall())
    found = {}
    for name in workspace.ids():
        with suppress(Damaged):
            found[name] = str(stamp(workspace.path(name) / MANIFEST))
    left = [name for name, mark in known.items() if found.get(name) != mark]
    for table in ("artifacts", SETTINGS, "known.manifests", "known.files"):
        connection.execute(f"DELETE FROM {table} WHERE artifact_id IN (SELECT unnest(?))", [left])
    fresh = [name for name, mark in found.items() if known.get(name) != mark]
    proven = _proven(workspace, workspace.some(fresh), TABLES)
    names = names_of(workspace)
    fill(connection, proven, proven, names)
    connection.execute("UPDATE artifacts SET tag = NULL")
    for artifact_id, name in names.items():
        connection.execute(
            "UPDATE artifacts SET tag = ? WHERE artifact_id = ?", [name, artifact_id]
        )
    marks = ((one.id, found[one.id]) for one in proven)
    insert(connection, "known.manifests", ["TEXT"] * 2, marks)
    files = (
        (one.id, table, str(one.path / name))
        for one in proven
        for table in one.tables
        for name in one.parts(table)
    )
    insert(connection, "known.files", ["TEXT"] * 3, files)
    paths: dict[str, list[str]] = {}
    query = (
        "SELECT f.kind, path FROM known.files f JOIN artifacts USING (artifact_id)"
        " ORDER BY created_at, artifact_id, path"
    )
    for table, path in connection.execute(query).fetchall():
        paths.setdefault(table, []).append(path)
    _create_views(connection, paths)
    return [name for (name,) in connection.execute("SELECT artifact_id FROM artifacts").fetchall()]


@contextmanager
def sandbox(
    workspace: Workspace, *, seconds: float, query: str | None = None
) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection that can read this store's tables and do nothing else, for `seconds`.

    Given the query it is for, it opens only the files of tables that the query can be about. An
    artifact with a bad one among them is named and left out.

    Raises:
        InputError: a table cannot be read, though its files are what was written.

    """
    import duckdb

    from seal_cli.store.readonly import PREFIX, PublishedFiles, last_words

    files = PublishedFiles()

    # DuckDB counts the cores of the machine, be they ours or not.
    own = hasattr(os, "sched_getaffinity")
    threads = len(os.sched_getaffinity(0)) if own else os.cpu_count() or 1
    tables = (*TABLES, SETTINGS) if query is None else _named(query)
    every = list(workspace.all())
    artifacts = _proven(workspace, every, tables)
    workspace.missed |= {one.id for one in every} - {one.id for one in artifacts}
    connection = duckdb.connect(
        ":memory:", config={"memory_limit": MEMORY_LIMIT, "threads": threads}
    )
    with connection:
        connection.execute("SET parquet_metadata_cache = true")
        connection.register_filesystem(files)
        try:
            _define(connection, artifacts, names_of(workspace), files.admit, tables)
        except duckdb.Error as error:
            text = last_words(error)
            raise spent(text, seconds) or InputError(
                f"a table cannot be read: {text}.",
                "`seal verify --all` says which artifact is damaged: copy that one again.",
            ) from error
        close_off(connection, PREFIX)
        with interrupted_after(connection, seconds):
            yield connection


def _define(
    connection: "duckdb.DuckDBPyConnection",
    artifacts: list[Artifact],
    names: Mapping[str, str],
    admit: Callable[[Path, Stamp], str],
    tables: Collection[str],
) -> None:
    """The catalogue of artifacts and their lineage as tables, every table of the schema as a view.

    `admit` names a proven file for DuckDB. What is not among `tables` is there without rows:
    opening a thousand footers takes a second.
    """
    create(connection)
    told = artifacts if SETTINGS in tables else []
    fill(connection, artifacts, told, names)
    files = {
        table: [admit(*file) for artifact in artifacts for file in artifact.files(table)]
        for table in TABLES
        if table in tables
    }
    _create_views(connection, files)


def define_empty(connection: "duckdb.DuckDBPyConnection") -> None:
    """Every table and view without a row: what columns there are."""
    _define(connection, [], {}, lambda path, _: str(path), ())


def _view(name: str) -> str:
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def _named(query: str) -> list[str]:
    """The tables that a query can be about, by itself or by a view.

    A name has one spelling in SQL, whatever its case, except where a query puts it together for a
    function that takes it as text.
    """
    for view in reversed(VIEWS):
        if view in query.lower():
            query += _view(view)
    said = query.lower()
    if any(word in said for word in _BY_TEXT):
        return [*TABLES, SETTINGS]
    return [table for table in (*TABLES, SETTINGS) if table in said]


def _create_views(
    connection: "duckdb.DuckDBPyConnection", files: Mapping[str, Sequence[str]]
) -> None:
    """A view for every table of the schema, and those on them; `files` are those of each table."""
    connection.execute(_LINEAGE)
    for table in TABLES:
        select = _select(table, files.get(table, ()))
        connection.execute(f'CREATE OR REPLACE VIEW "{table}" AS {select}')
    connection.execute(_view("macros"))
    for name in VIEWS:
        connection.execute(f"CREATE OR REPLACE VIEW {name} AS {_view(name)}")


def _select(table: str, files: Sequence[str]) -> str:
    """The view's query; the empty typed row set fixes names and types whatever the files have."""
    if not files:
        return empty_select(table)
    quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    files_select = f"SELECT * FROM read_parquet([{quoted}], union_by_name=true)"
    return versioned_select(table, files_select)
