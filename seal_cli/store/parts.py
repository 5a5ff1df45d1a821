"""The Parquet files of a table, written and put in order a piece at a time.

A piece is an Arrow table of some of its rows: what a run of a million rows holds is one piece.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_cli.store.schema import TABLE_OF, arrow_schema, statuses, to_table
from stages.records import Record

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS_PER_PART = 100_000
ROWS_AT_ONCE = 10_000  # a row group
Read = Callable[[Sequence[str] | None], Iterator["pa.Table"]]  # of a table's columns, or of all


def writer(path: Path, table: str) -> "pq.ParquetWriter":
    """A Parquet file of a table, every page with a checksum; a piece becomes a row group."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, arrow_schema(table), compression="zstd", write_page_checksum=True)


def write_rows(folder: Path, rows: Iterable[Record], artifact_id: str) -> list[Path]:
    """Mixed records as one file a table, `<table>.parquet`, order kept."""
    waiting: dict[str, list[Record]] = {}
    with ExitStack() as open_files:
        files: dict[str, Any] = {}

        def flush(table: str) -> None:
            if table not in files:
                path = folder / f"{table}.parquet"
                files[table] = path, open_files.enter_context(writer(path, table))
            files[table][1].write_table(to_table(table, waiting.pop(table), artifact_id))

        for row in rows:
            table = TABLE_OF[type(row)]
            waiting.setdefault(table, []).append(row)
            if len(waiting[table]) == ROWS_AT_ONCE:
                flush(table)
        for table in list(waiting):
            flush(table)
    return [path for path, _ in files.values()]


def write_parts(folder: Path, table: str, pieces: Iterable["pa.Table"]) -> dict[str, Any]:
    """A table's files in the folder of an artifact that is not published yet: what it counts."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("part-*.parquet"):  # of a commit that was interrupted
        old.unlink()
    groups, status, part = _regrouped(pieces), Counter[str](), 0
    first = next(groups, None)
    while first is not None or part == 0:  # a table without rows has a file, too
        with writer(folder / f"part-{part:05}.parquet", table) as file:
            more = islice(groups, ROWS_PER_PART // ROWS_AT_ONCE - 1)
            for group in chain([] if first is None else [first], more):
                file.write_table(group)
                status += statuses(table, group)
        first, part = next(groups, None), part + 1
    return {"rows": status.total(), "status": dict(status)}


def _regrouped(pieces: Iterable["pa.Table"]) -> Iterator["pa.Table"]:
    """The same rows in row groups: of many little batches, too, few are made."""
    import pyarrow as pa

    waiting, count = [], 0
    for piece in pieces:
        start = 0
        while start < piece.num_rows:
            taken = piece.slice(start, ROWS_AT_ONCE - count)
            start, count = start + taken.num_rows, count + taken.num_rows
            waiting.append(taken)
            if count == ROWS_AT_ONCE:
                yield pa.concat_tables(waiting)
                waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def in_order(table: str, read: Read, items: Sequence[str]) -> Iterator["pa.Table"]:
    """Pieces whose rows follow the items that they were made for, else as they came.

    What is made for no item counts as the first one's. Pieces that overlap (of a retry, of later
    phases) are put together first, as Arrow.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if "context_id" not in arrow_schema(table).names:
        yield from read(None)
        return
    known = pa.array(items, pa.string())

    def places(piece: "pa.Table") -> "pa.ChunkedArray":
        found = pc.index_in(piece.column("context_id"), value_set=known)
        return pc.fill_null(found, 0)

    spans = [pc.min_max(places(piece)).as_py() for piece in read(["context_id"])]
    apart = all(one["max"] <= after["min"] for one, after in pairwise(spans))
    for piece in read(None) if apart else [pa.concat_tables(read(None))]:
        order = pc.sort_indices(places(piece))  # stable
        for start in range(0, len(order), ROWS_AT_ONCE):
            yield piece.take(order.slice(start, ROWS_AT_ONCE))
