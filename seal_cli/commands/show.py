"""`seal show`: one artifact."""

from typing import Annotated, Any

import typer
from rich.table import Table

from seal_cli import console
from seal_cli.options import ArtifactArg, from_stdin, store_of
from seal_cli.settings import SECTIONS, toml_value
from seal_cli.store.artifact import Artifact

RowsOption = Annotated[int, typer.Option("--rows", min=0, help="Rows of the main table to print.")]
ConfigFlag = Annotated[bool, typer.Option("--config", help="Print its settings as a seal.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the whole manifest as JSON.")]

_WIDE = 60  # characters of one cell


def show(
    ctx: typer.Context,
    artifact: ArtifactArg,
    rows: RowsOption = 5,
    config: ConfigFlag = False,
    as_json: JsonOption = False,
) -> None:
    """Show what an artifact is, what it was made from, and its first rows."""
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
            console.out_rich(_first_rows(found, rows))


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


def _first_rows(artifact: Artifact, n: int) -> Table:
    """The first rows of the main table, long texts cut."""
    arrow = artifact.arrow(artifact.kind)
    table = Table(box=None, pad_edge=False)
    names = [name for name in arrow.column_names if name != "artifact_id"]
    shown = arrow.slice(0, n).select(names).to_pylist()
    wide = len(shown) and sum(len(str(v)) for v in shown[0].values()) > 200
    if wide:  # one field per line reads better than twenty narrow columns
        table.add_column(style="bold")
        for i in range(len(shown)):
            table.add_column(f"row {i}", max_width=_WIDE)
        for name in names:
            table.add_row(name, *(_cell(row[name]) for row in shown))
        return table
    for name in names:
        table.add_column(name)
    for row in shown:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    text = console.safe(text).replace("\n", "⏎")
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"
