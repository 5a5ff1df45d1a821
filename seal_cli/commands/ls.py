"""`seal ls`: what is in the store, or in a place that others use too."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from seal_cli import console
from seal_cli.options import store_of
from seal_cli.results import summary_of
from seal_cli.sharing import Sharing
from seal_cli.store.workspace import Workspace, check_stage

StageArg = Annotated[
    str | None, typer.Argument(metavar="STAGE", help="Only artifacts of this stage, e.g. score.")
]
RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--remote", metavar="URL", help="List what is at this URL instead; nothing is fetched."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]

_HEADINGS = ("artifact", "kind", "rows", "failed", "made", "seconds", "from")


def ls(
    ctx: typer.Context,
    stage: StageArg = None,
    remote: RemoteOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the artifacts of the store, oldest first."""
    if stage is not None:
        check_stage(stage)
    found = _there(store_of(ctx), remote, stage) if remote else _here(store_of(ctx), stage)
    if as_json:
        for path, manifest in found.items():
            console.out_json(summary_of(manifest, path) | {"created_at": manifest["created_at"]})
        return
    if not found:
        console.say(
            f"nothing at {remote} yet: `seal push ID {remote}` sends artifacts there."
            if remote
            else "nothing here yet: `seal import contexts FILE` brings passages in."
        )
        return
    numbers = ("rows", "failed", "seconds")
    console.out_columns(_HEADINGS, [_row(m) for m in found.values()], right=numbers)


def _here(store: Workspace, stage: str | None) -> dict[str, dict[str, Any]]:
    """Path -> manifest."""
    return {str(artifact.path): artifact.manifest for artifact in store.all(stage)}


def _there(store: Workspace, remote: str, stage: str | None) -> dict[str, dict[str, Any]]:
    """URL -> manifest; an unreadable one is named and passed over."""
    place = Sharing(store, remote).place
    manifests, bad = place.all(stage)
    for error in bad:
        console.say(f"{error.message} It is left out. {error.hint}")
    return {place.url_of(manifest["artifact_id"]): manifest for manifest in manifests}


def _row(manifest: Mapping[str, Any]) -> list[str]:
    failed = sum(table["status"].get("failed", 0) for table in manifest["tables"].values())
    inputs = " ".join(entry["artifact_id"] for entry in manifest["inputs"])
    return [
        manifest["artifact_id"],
        manifest["kind"],
        str(manifest["tables"][manifest["kind"]]["rows"]),
        str(failed or ""),
        manifest["created_at"][:16].replace("T", " "),
        f"{manifest['seconds']:.1f}",
        inputs or str(manifest["source"] or ""),
    ]
