"""`seal sql`: a read-only query over the tables of the store."""

import csv
import io
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from seal_cli import console
from seal_cli.options import store_of
from seal_cli.store import index
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError, ResourceError

QueryArg = Annotated[
    str, typer.Argument(metavar="QUERY", help="SQL (DuckDB's), or - to read it from stdin.")
]
SecondsOption = Annotated[
    float, typer.Option("--timeout", min=0.1, help="Seconds a query may take.")
]


class Format(StrEnum):
    """How a result is printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


FormatOption = Annotated[
    Format | None, typer.Option("--format", "-f", help="[default: table on a terminal, else csv]")
]


def sql(
    ctx: typer.Context,
    query: QueryArg,
    format: FormatOption = None,
    timeout: SecondsOption = 60.0,
) -> None:
    """Query the store's tables with SQL, read-only.

    The tables: contexts, questions, self_edits, adapters, answers, verdicts, rewards, selections,
    policies, metrics, artifacts. Nothing outside the store can be read, nothing can be written.
    """
    workspace = store_of(ctx)
    if not workspace.artifacts.is_dir():
        raise InputError(
            f"there is no store at {workspace.root}.",
            "Name it with --store, or make one with `seal init`.",
        )
    index.refresh(workspace)
    result = fetch(workspace, sys.stdin.read() if query == "-" else query, timeout)
    chosen = format or (Format.table if sys.stdout.isatty() else Format.csv)
    _PRINTERS[chosen](result)


def fetch(
    workspace: Workspace, query: str, seconds: float, parameters: Mapping[str, Any] | None = None
) -> Any:
    """The result as an Arrow table. Errors surface while fetching, so both are inside."""
    import duckdb

    with index.sandbox(workspace, seconds=seconds, query=query) as connection:
        try:
            relation = connection.sql(query, params=dict(parameters or {}))
            if relation is None:
                raise ConfigError("the query returns nothing.", "Only queries are allowed here.")
            return relation.to_arrow_table()
        except duckdb.InterruptException as error:
            raise ResourceError(
                f"the query took longer than {seconds:g} s.", "Narrow it, or raise --timeout."
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise ResourceError(
                f"the query needs more than {index.MEMORY_LIMIT}.",
                "Narrow it, or open index.duckdb with DuckDB itself.",
            ) from error
        except duckdb.Error as error:
            raise ConfigError(
                f"the query does not run: {_last_words(error)}",
                "`seal sql 'SHOW TABLES'` lists the tables, 'DESCRIBE rewards' their columns.",
            ) from error


def _last_words(error: Exception) -> str:
    """DuckDB's message; of an error inside our file system its last line, not its traceback."""
    text = str(error).strip()
    return text.splitlines()[-1] if "Traceback (most recent call last)" in text else text


def _print_table(result: Any) -> None:
    table = Table(box=None, pad_edge=False)
    for name in result.column_names:
        table.add_column(name, overflow="fold")
    for row in result.to_pylist():
        table.add_row(*(cell(value) for value in row.values()))
    console.out_rich(table)


def cell(value: Any) -> str:
    """A value as people read it, safe on a terminal."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else console.safe(str(value))


def _print_csv(result: Any) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(result.column_names)
    writer.writerows(row.values() for row in result.to_pylist())
    text = buffer.getvalue().rstrip("\n")
    console.out(console.safe(text) if sys.stdout.isatty() else text)


def _print_json(result: Any) -> None:
    for row in result.to_pylist():
        console.out_json(row)


def _print_parquet(result: Any) -> None:
    import pyarrow.parquet as pq

    if sys.stdout.isatty():
        raise ConfigError(
            "Parquet is not for a terminal.", "Redirect it: seal sql … -f parquet > out.parquet"
        )
    pq.write_table(result, sys.stdout.buffer)


_PRINTERS = {
    Format.table: _print_table,
    Format.csv: _print_csv,
    Format.json: _print_json,
    Format.parquet: _print_parquet,
}
