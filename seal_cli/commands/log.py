"""`seal log`: what an artifact was made from, down to the imported files."""

import typer
from rich.tree import Tree

from seal_cli import console
from seal_cli.options import ArtifactArg, from_stdin, store_of
from seal_cli.store.workspace import Workspace
from stages.errors import InputError


def log(ctx: typer.Context, artifact: ArtifactArg) -> None:
    """Draw the lineage of an artifact."""
    workspace = store_of(ctx)
    wanted = workspace.resolve(from_stdin() if artifact == "-" else artifact)
    console.out_rich(_tree(workspace, wanted, None, set()))


def _tree(workspace: Workspace, artifact_id: str, parent: Tree | None, seen: set[str]) -> Tree:
    """One node and, below it, its inputs; what was drawn already is only named."""
    again = artifact_id in seen
    seen.add(artifact_id)
    try:
        artifact = workspace.artifact(artifact_id)
    except InputError:
        return _node(parent, f"{artifact_id}  (not in this store)")
    manifest = artifact.manifest
    rows = manifest["tables"][artifact.kind]["rows"]
    failed = f", {artifact.n_failed} failed" if artifact.n_failed else ""
    text = f"{artifact.id}  {rows} {artifact.kind}{failed}  {manifest['created_at'][:16]}"
    node = _node(parent, text + ("  (above)" if again else ""))
    if again:
        return node
    for model_id, place in manifest["models"].items():
        if model_id.startswith("model-"):
            _node(node, console.safe(f"{model_id}  {place['name']}"))
    if manifest["source"]:
        _node(node, console.safe(manifest["source"]))
    for input_id in artifact.inputs:
        _tree(workspace, input_id, node, seen)
    return node


def _node(parent: Tree | None, text: str) -> Tree:
    return Tree(text) if parent is None else parent.add(text)
