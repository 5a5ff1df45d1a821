"""`seal ls`: what is in the store."""

from typing import Annotated, Any

import typer
from rich.table import Table

from seal_cli import console
from seal_cli.options import store_of
from seal_cli.session import summary
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import check_stage

StageArg = Annotated[
    str | None, typer.Argument(metavar="STAGE", help="Only artifacts of this stage, e.g. score.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def ls(ctx: typer.Context, stage: StageArg = None, as_json: JsonOption = False) -> None:
    """List the artifacts of the store, oldest first."""
    if stage is not None:
        check_stage(stage)
    artifacts = list(store_of(ctx).all(stage))
    if as_json:
        for artifact in artifacts:
            console.out_json(summary(artifact) | {"created_at": artifact.manifest["created_at"]})
        return
    if not artifacts:
        console.say("nothing here yet: `seal import contexts FILE` brings passages in.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("artifact", "kind", "rows", "failed", "made", "seconds"):
        numbers = heading in ("rows", "failed", "seconds")
        table.add_column(heading, justify="right" if numbers else "left", no_wrap=True, min_width=5)
    table.columns[0].min_width = 25  # an id that is cut is of no use
    table.add_column("from", no_wrap=True, overflow="ellipsis")
    for artifact in artifacts:
        table.add_row(*_row(artifact))
    console.out_rich(table)


def _row(artifact: Artifact) -> list[Any]:
    manifest = artifact.manifest
    made_from = " ".join(artifact.inputs) or str(manifest["source"] or "")
    return [
        artifact.id,
        artifact.kind,
        str(manifest["tables"][artifact.kind]["rows"]),
        str(artifact.n_failed or ""),
        manifest["created_at"][:16].replace("T", " "),
        f"{manifest['seconds']:.1f}",
        console.safe(made_from),
    ]
