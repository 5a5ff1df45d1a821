"""`seal sql`: a read-only query over the tables of the store."""

import csv
import io
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seal_cli import console
from seal_cli.options import SecondsOption, store_of
from seal_cli.store import index
from seal_cli.store.described import described, described_columns
from seal_cli.store.query import BATCH, check_complete, fetch, require
from seal_cli.tables import every_column
from stages.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 1000  # rows of a table for people

QueryArg = Annotated[
    str | None,
    typer.Argument(metavar="QUERY", help="DuckDB SQL, or - to read it from stdin."),
]
TablesFlag = Annotated[
    bool, typer.Option("--tables", help="List the tables; with a table's name, its columns.")
]


class Format(StrEnum):
    """How a result is printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


FormatOption = Annotated[
    Format | None,
    typer.Option("--format", "-f", help="Output format. [default: table on a terminal, else csv]"),
]


def sql(
    ctx: typer.Context,
    query: QueryArg = None,
    format: FormatOption = None,
    timeout: SecondsOption = 60.0,
    tables: TablesFlag = False,
) -> None:
    """Query the store's tables with SQL, read-only.

    `seal sql --tables` lists the tables, `seal sql --tables scored` the columns of one. Most
    questions about self-edits need only the view scored. Nothing outside the store can be read,
    nothing can be written.
    """
    workspace = store_of(ctx)
    if tables:
        for part in every_column(*_described(query), console.width()):
            console.out_rich(part)
        return
    if query is None:
        raise ConfigError("seal sql needs a query.", "`seal sql --tables` lists the tables.")
    require(workspace)
    index.refresh(workspace)
    result = fetch(workspace, console.piped() if query == "-" else query, timeout)
    chosen = format or (Format.table if sys.stdout.isatty() else Format.csv)
    _PRINTERS[chosen](result)
    check_complete(workspace)


def _described(table: str | None) -> tuple[list[str], Sequence[tuple[str, ...]]]:
    """What tables there are, or the columns of one: heads and rows."""
    if table is None:
        return ["table", "what it holds"], list(described().items())
    return ["column", "type", "what it holds"], described_columns(table)


def _rows(result: "pa.Table") -> Iterator[tuple[Any, ...]]:
    """The rows as Python values, some at a time; columns may have the same name."""
    for batch in result.to_batches(max_chunksize=BATCH):
        columns = map(_values, result.column_names, batch.columns)
        yield from zip(*columns, strict=True)


def _values(name: str, column: "pa.Array") -> list[Any]:
    """A column as Python values. Raises ConfigError where there are none (an infinite date)."""
    try:
        return list(column.to_pylist(maps_as_pydicts="strict"))
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"column {name} has a value that cannot be printed: {error}.",
            "Make it text in the query, with ::VARCHAR.",
        ) from error


def _print_table(result: "pa.Table") -> None:
    rows = list(_rows(result.slice(0, SHOWN)))
    for part in every_column(result.column_names, rows, console.width()):
        console.out_rich(part)
    if result.num_rows > SHOWN:
        console.say(f"{SHOWN} of {result.num_rows} rows; --format csv prints them all.")


def _print_csv(result: "pa.Table") -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(result.column_names)
    for number, row in enumerate(_rows(result), 1):
        writer.writerow(row)
        if number % BATCH == 0:
            _flush_csv(buffer)
    _flush_csv(buffer)


def _flush_csv(buffer: io.StringIO) -> None:
    text = buffer.getvalue()
    if text:
        console.out(console.safe(text[:-1]) if sys.stdout.isatty() else text[:-1])
    buffer.seek(0)
    buffer.truncate()


def _print_json(result: "pa.Table") -> None:
    names = result.column_names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two columns are called {twice[0]}.", "A JSON object has one: rename one with AS."
        )
    for row in _rows(result):  # JSON has neither NaN nor infinities
        values = (None if isinstance(v, float) and not math.isfinite(v) else v for v in row)
        console.out_json(dict(zip(names, values, strict=True)))


def _print_parquet(result: "pa.Table") -> None:
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
