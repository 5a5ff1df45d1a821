"""Records <-> Parquet. The columns of a table are the fields of its record, plus `artifact_id`."""

import dataclasses
import types
import typing
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from stages import records
from stages.errors import InputError
from stages.records import Record

if TYPE_CHECKING:
    import pyarrow as pa

R = TypeVar("R")

# The order is that of the pipeline; it is also the order in which the tables are listed.
TABLES: dict[str, type[Record]] = {
    "contexts": records.Context,
    "questions": records.Question,
    "drafts": records.Draft,
    "self_edits": records.SelfEdit,
    "adapters": records.Adapter,
    "answers": records.Answer,
    "verdicts": records.Verdict,
    "ratings": records.Rating,
    "rewards": records.Reward,
    "selections": records.Selection,
    "policies": records.Policy,
    "metrics": records.Metric,
}
TABLE_OF = {record: name for name, record in TABLES.items()}

# Graders that rows name without their version: there was one when these were written.
_UNVERSIONED = {"offline": "offline-1"}

# What columns say of a row whose first column here is null: earlier versions did not write that. An
# adapter's method stood in `context_id` where it was of many contexts, its place in a sequence in
# its hyperparameters; an answer about a probe had the probe's context, and `probe` as its method.
_EARLIER = {
    "adapters": {
        "method": "CASE WHEN contains(context_id, '-') THEN context_id"  # an id has no hyphen
        " WHEN self_edit_id IS NULL THEN 'passage-only' ELSE 'self-edits' END",
        "context_id": "CASE WHEN NOT contains(context_id, '-') THEN context_id END",
        "sequence": "(hyperparameters->>'$.sequence')::BIGINT",
        "step": "(hyperparameters->>'$.step')::BIGINT",
    },
    "answers": {
        "scope": "CASE method WHEN 'probe' THEN 'probe' ELSE 'own' END",
        "about_context_id": "CASE method WHEN 'probe' THEN context_id END",
        "method": "CASE WHEN method <> 'probe' THEN method"
        " WHEN adapter_id IS NULL THEN 'unadapted' ELSE 'self-edits' END",
    },
}

# The columns that differ between two runs of the same key: time, place and slots, nothing else.
VOLATILE = {"adapters": ("seconds", "alone")}

_DUCKDB_TYPES = {
    str: "VARCHAR",
    int: "BIGINT",
    float: "DOUBLE",
    bool: "BOOLEAN",
    tuple: "VARCHAR[]",
}


@cache
def columns(table: str) -> dict[str, tuple[type, bool]]:
    """Field name -> (str | int | float | bool | tuple, nullable)."""
    hints = typing.get_type_hints(TABLES[table])
    return {name: _plain(hints[name]) for name in _names(table)}


@cache
def _names(table: str) -> list[str]:
    """The fields of a record in the order of its columns: where a row came from stands last."""
    inherited = {field.name for field in dataclasses.fields(records.Sourced)}
    names = [field.name for field in dataclasses.fields(TABLES[table])]
    return sorted(names, key=lambda name: name in inherited)


def _plain(annotation: Any) -> tuple[type, bool]:
    """`Literal["a"] | None` -> (str, True); `tuple[str, ...]` -> (tuple, False)."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        return _plain(inner[0])[0], True
    if origin is typing.Literal:
        return type(typing.get_args(annotation)[0]), False
    if origin is tuple:
        return tuple, False
    return annotation, False


@cache
def arrow_schema(table: str) -> "pa.Schema":
    """The Parquet schema of a table."""
    import pyarrow as pa

    kinds = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        tuple: pa.list_(pa.string()),
    }
    fields = [
        pa.field(name, kinds[kind], nullable) for name, (kind, nullable) in columns(table).items()
    ]
    return pa.schema([*fields, pa.field("artifact_id", pa.string(), nullable=False)])


def empty_select(table: str) -> str:
    """SQL for the table without rows: what makes every view exist in a fresh store."""
    typed = [
        f'NULL::{_DUCKDB_TYPES[kind]} AS "{name}"' for name, (kind, _) in columns(table).items()
    ]
    return f"SELECT {', '.join(typed)}, NULL::VARCHAR AS artifact_id WHERE false"


def versioned_select(table: str, stored: str) -> str:
    """SQL for the stored rows of a table as rows are said now, whatever columns they have."""
    rows = f"{empty_select(table)} UNION ALL BY NAME {stored}"
    derived = _EARLIER.get(table, {})
    said = [
        f"CASE WHEN {next(iter(derived))} IS NULL THEN {value} ELSE {name} END AS {name}"
        for name, value in derived.items()
    ]
    if "grader" in columns(table):
        named = " ".join(f"WHEN '{old}' THEN '{new}'" for old, new in _UNVERSIONED.items())
        said.append(f"CASE grader {named} ELSE grader END AS grader")
    return f"SELECT * REPLACE ({', '.join(said)}) FROM ({rows})" if said else rows


def to_table(table: str, rows: Sequence[Record], artifact_id: str) -> "pa.Table":
    """Rows of one table as Arrow; a lone surrogate in model text becomes U+FFFD."""
    import pyarrow as pa

    schema = arrow_schema(table)
    arrays = []
    for field in schema:
        if field.name == "artifact_id":
            arrays.append(pa.repeat(pa.scalar(artifact_id), len(rows)))
            continue
        values = [getattr(row, field.name) for row in rows]
        try:
            arrays.append(pa.array(values, field.type))
        except UnicodeEncodeError:
            arrays.append(pa.array(list(map(_storable, values)), field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return list(map(_storable, value)) if isinstance(value, tuple) else value


def statuses(table: str, rows: "pa.Table") -> Counter[str]:
    """How many rows have which status; a verdict that is null is `failed`, as its record says."""
    import pyarrow.compute as pc

    if table == "verdicts":
        failed = rows.column("correct").null_count
        return +Counter({"ok": rows.num_rows - failed, "failed": failed})
    if "status" not in rows.column_names:
        return +Counter({"ok": rows.num_rows})
    found = pc.value_counts(rows.column("status").combine_chunks()).to_pylist()
    return Counter({entry["values"]: entry["counts"] for entry in found})


def from_table(record: type[R], table: "pa.Table") -> list[R]:
    """Arrow -> records; columns that the record does not know are passed over.

    A column that is missing says what follows from the others, or takes its field's default:
    earlier versions did not write it.

    Raises:
        InputError: a column without a default is missing, or one has another type.

    """
    name = TABLE_OF[record]  # type: ignore[index]  # R is one of the records
    table = as_now(name, table)
    fields = {field.name: field for field in dataclasses.fields(record)}  # type: ignore[arg-type]
    names = []
    for field in arrow_schema(name):
        present = field.name in table.column_names
        if field.name == "artifact_id" or (not present and _has_default(fields[field.name])):
            continue
        if not present or table.schema.field(field.name).type != field.type:
            raise InputError(
                f"column {field.name} of {name} is missing or not {field.type}.",
                "The artifact was made by another version; run its stage again.",
            )
        names.append(field.name)
    values = {name: table.column(name).to_pylist() for name in names}
    if "grader" in values:
        values["grader"] = [_UNVERSIONED.get(grader, grader) for grader in values["grader"]]
    for column, (kind, _) in columns(name).items():
        if kind is tuple and column in values:
            values[column] = [tuple(value) for value in values[column]]
    rows = zip(*values.values(), strict=True)
    return [record(**dict(zip(names, row, strict=True))) for row in rows]


def as_now(name: str, stored: "pa.Table") -> "pa.Table":
    """A table, of an earlier version perhaps, with what columns of today say of its rows."""
    import duckdb

    if set(list(_EARLIER.get(name, ()))[:1]) <= set(stored.column_names):
        return stored
    with duckdb.connect() as connection:
        connection.register("stored", stored)
        return connection.sql(versioned_select(name, "SELECT * FROM stored")).to_arrow_table()


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not dataclasses.MISSING
