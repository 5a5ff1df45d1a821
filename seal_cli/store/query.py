"""Running one query that comes from anybody: its limits of time and memory, and its errors.

What it can read is the sandbox's business (`index`, `readonly`); printing is the commands'. A query
that does not let itself be interrupted is the process's (`seal_cli.boundary.confined`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seal_cli.store import index
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError, ResourceError, SealError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 2048  # rows
LONGEST = 1000  # characters of an error
RESULT_LIMIT = 2 << 30  # bytes, as much as the query itself may take


def require(workspace: Workspace) -> None:
    """Raise InputError where there is no store."""
    if not workspace.artifacts.is_dir():
        raise InputError(
            f"there is no store at {workspace.root}.",
            "Name it with --store, or make one with `seal init`.",
        )


def fetch(
    workspace: Workspace, query: str, seconds: float, parameters: Mapping[str, Any] | None = None
) -> "pa.Table":
    """The result of a query that comes from anybody, as an Arrow table.

    Raises:
        ConfigError: it does not run, or returns nothing.
        ResourceError: it took too long, or too much memory.

    """
    import duckdb

    with index.sandbox(workspace, seconds=seconds, query=query) as connection:
        try:  # errors surface while fetching, so both are inside
            relation = connection.sql(query, params=dict(parameters or {}))
            if relation is None:
                raise ConfigError("the query returns nothing.", "Only queries are allowed here.")
            return _fetched(relation.to_arrow_reader(BATCH))
        except (duckdb.Error, OSError) as error:  # while rows come, Arrow says it in its own words
            raise _explained(error, seconds) from error


def _fetched(reader: "pa.RecordBatchReader") -> "pa.Table":
    """All rows; DuckDB's memory limit does not count what it has handed over, so we do."""
    import pyarrow as pa

    batches, size = [], 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > RESULT_LIMIT:
            raise ResourceError(
                f"the result is larger than {index.MEMORY_LIMIT}.",
                "Ask for fewer rows or columns, or open index.duckdb with DuckDB itself.",
            )
    return pa.Table.from_batches(batches, schema=reader.schema)


def too_slow(seconds: float) -> ResourceError:
    """What is said of a query whose time is over."""
    return ResourceError(
        f"the query took longer than {seconds:g} s.", "Narrow it, or raise --timeout."
    )


def _explained(error: Exception, seconds: float) -> SealError:
    """What DuckDB says, as our error: by its words, which Arrow passes on without their class."""
    from seal_cli.store.readonly import last_words

    text = last_words(error)
    if text.startswith("INTERRUPT Error"):
        return too_slow(seconds)
    if text.startswith("Out of Memory Error"):
        return ResourceError(
            f"the query needs more than {index.MEMORY_LIMIT}.",
            "Narrow it, or open index.duckdb with DuckDB itself.",
        )
    words = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return ConfigError(
        f"the query does not run: {words}",
        "`seal sql 'SHOW TABLES'` lists the tables, 'DESCRIBE rewards' their columns.",
    )
