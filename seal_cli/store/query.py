"""Running one query that comes from anybody: its limits of time and memory, and its errors.

What it can read is the sandbox's business (`index`, `readonly`); printing is the commands'.
"""

import os
import resource
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seal_cli import console
from seal_cli.store import index
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, ResourceError, SealError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 2048  # rows
LONGEST = 1000  # characters of an error
RESULT_LIMIT = 2 << 30  # bytes, as much as the query itself may take
PROCESS_LIMIT = 3 * RESULT_LIMIT  # with what neither of the two counts
GRACE = 2.0  # seconds in which a query may let itself be interrupted


def fetch(
    workspace: Workspace, query: str, seconds: float, parameters: Mapping[str, Any] | None = None
) -> "pa.Table":
    """The result of a query that comes from anybody, as an Arrow table.

    Raises:
        ConfigError: it does not run, or returns nothing.
        ResourceError: it took too long, or too much memory.

    """
    import duckdb

    with (
        confined(seconds),
        index.sandbox(workspace, seconds=seconds, query=query) as connection,
    ):
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


@contextmanager
def confined(seconds: float) -> Iterator[None]:
    """Ends the process when a query does not let itself be interrupted, and bounds its memory.

    DuckDB neither stops inside one function call nor counts its memory: `repeat('a', 4000000000)`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([PROCESS_LIMIT, *bounds]), hard))
    timer = threading.Timer(seconds + GRACE, _give_up, [seconds])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _give_up(seconds: float) -> None:
    """Nothing is lost: a query writes nothing, and nothing was printed yet."""
    error = _too_slow(seconds)
    console.complain(error)
    os._exit(error.exit_code)


def _too_slow(seconds: float) -> ResourceError:
    return ResourceError(
        f"the query took longer than {seconds:g} s.", "Narrow it, or raise --timeout."
    )


def _explained(error: Exception, seconds: float) -> SealError:
    """What DuckDB says, as our error: by its words, which Arrow passes on without their class."""
    from seal_cli.store.readonly import last_words

    text = last_words(error)
    if text.startswith("INTERRUPT Error"):
        return _too_slow(seconds)
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
