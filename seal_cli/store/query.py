"""Running one query that comes from anybody: its limits of time and memory, and its errors.

What it can read is the sandbox's business (`index`, `readonly`); printing is the commands'.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seal_cli.store import index
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError, ResourceError, SealError
from stages.sandbox import MEMORY, MEMORY_LIMIT, confined, spent

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 2048  # rows
LONGEST = 1000  # characters of an error


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

    box = index.sandbox(workspace, seconds=seconds, query=query)
    with box as connection, confined(seconds):
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
        if size > MEMORY:
            raise ResourceError(
                f"the result is larger than {MEMORY_LIMIT}.",
                "Ask for fewer rows or columns, or open index.duckdb with DuckDB itself.",
            )
    return pa.Table.from_batches(batches, schema=reader.schema)


def _explained(error: Exception, seconds: float) -> SealError:
    """What DuckDB says, as our error: by its words, which Arrow passes on without their class."""
    from seal_cli.store.readonly import last_words

    text = last_words(error)
    limit = spent(text, seconds)
    if limit is not None:
        return limit
    words = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return ConfigError(
        f"the query does not run: {words}",
        "`seal sql 'SHOW TABLES'` lists the tables, 'DESCRIBE rewards' their columns.",
    )


def check_complete(workspace: Workspace) -> None:
    """Raise InputError where a table that was asked for is damaged: rows of it were left out."""
    if workspace.missed:
        raise InputError(
            f"the result is without the rows of {', '.join(sorted(workspace.missed))}.",
            "`seal verify ID` says what is damaged, and how to heal it.",
        )
