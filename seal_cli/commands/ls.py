"""`seal ls`: what is in the store."""

from typing import Annotated

import typer

from seal_cli import console
from seal_cli.options import store_of
from seal_cli.results import summary
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import check_stage

StageArg = Annotated[
    str | None, typer.Argument(metavar="STAGE", help="Only artifacts of this stage, e.g. score.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

_HEADINGS = ("artifact", "kind", "rows", "failed", "made", "seconds", "from")


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
    numbers = ("rows", "failed", "seconds")
    console.out_columns(_HEADINGS, [_row(artifact) for artifact in artifacts], right=numbers)


def _row(artifact: Artifact) -> list[str]:
    manifest = artifact.manifest
    made_from = " ".join(artifact.inputs) or str(manifest["source"] or "")
    return [
        artifact.id,
        artifact.kind,
        str(manifest["tables"][artifact.kind]["rows"]),
        str(artifact.n_failed or ""),
        manifest["created_at"][:16].replace("T", " "),
        f"{manifest['seconds']:.1f}",
        made_from,
    ]
