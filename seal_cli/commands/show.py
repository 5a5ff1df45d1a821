"""`seal show`: one artifact."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seal_cli import console
from seal_cli.options import ArtifactArg, from_stdin, store_of
from seal_cli.settings import SECTIONS, toml_value
from seal_cli.store.artifact import Artifact
from seal_cli.tables import every_column

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

RowsOption = Annotated[int, typer.Option("--rows", min=0, help="Rows of the main table to print.")]
ConfigFlag = Annotated[bool, typer.Option("--config", help="Print its settings as a seal.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the whole manifest as JSON.")]

_WIDE = 200  # characters of one cell


def show(
    ctx: typer.Context,
    artifact: ArtifactArg,
    rows: RowsOption = 5,
    config: ConfigFlag = False,
    as_json: JsonOption = False,
) -> None:
    """Show an artifact: its settings, inputs and first rows."""
    workspace = store_of(ctx)
    found = workspace.artifact(workspace.resolve(from_stdin() if artifact == "-" else artifact))
    if as_json:
        console.out_json(found.manifest)
    elif config:
        console.out(_toml(found.manifest["config"]))
    else:
        console.out_facts(_facts(found))
        if rows:
            console.out("")
            for part in _first_rows(found, rows):
                console.out_rich(part)


def _toml(config: dict[str, Any]) -> str:
    """The resolved settings, as a file that gives the same key again."""
    lines = []
    for section, values in config.items():
        if section in SECTIONS:
            if values.get("rule") == "sql":
                lines += ["# Its query is in `seal show --json`; --query wants it as a file."]
            lines += [
                f"[{section}]",
                *(f"{key} = {toml_value(value)}" for key, value in values.items()),
                "",
            ]
    return "\n".join(lines).rstrip("\n")


def _facts(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    counts = ", ".join(f"{name} {t['rows']}" for name, t in manifest["tables"].items())
    return {
        "artifact": artifact.id,
        "status": manifest["status"],
        "tables": counts,
        "inputs": "  ".join(artifact.inputs) or manifest["source"],
        "made": f"{manifest['created_at']} in {manifest['seconds']} s",
        "on": f"{manifest['host']}, {manifest['device']}",
        "command": " ".join(["seal", *manifest["argv"]]) if manifest["argv"] else "(from Python)",
        "versions": ", ".join(f"{k} {v}" for k, v in manifest["versions"].items()),
        "folder": str(artifact.path),
    }


def _first_rows(artifact: Artifact, n: int) -> "Iterator[str | Table]":
    """The first rows of the main table, long texts cut; empty fields are not shown."""
    first = artifact.arrow(artifact.kind).slice(0, n)
    names = [name for name in first.column_names if name != "artifact_id" and _any(first[name])]
    rows = [tuple(map(_cut, row.values())) for row in first.select(names).to_pylist()]
    yield from every_column(names, rows, console.width())


def _any(column: "pa.ChunkedArray") -> bool:
    return bool(column.null_count < len(column))


def _cut(value: Any) -> Any:
    """A number as it is; anything else as a text of one line."""
    if value is None or type(value) in (int, float):
        return value
    text = str(value).replace("\n", "⏎")
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"
