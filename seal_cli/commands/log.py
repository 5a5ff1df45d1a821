"""`seal log`: what an artifact was made from, down to the imported files."""

from collections.abc import Iterator

import typer
from rich.tree import Tree

from seal_cli import console
from seal_cli.options import ArtifactArg, from_stdin, store_of
from seal_cli.store.workspace import Workspace
from stages.errors import InputError

DEEPEST = 20  # inputs of inputs in one tree


def log(ctx: typer.Context, artifact: ArtifactArg) -> None:
    """Draw the lineage of an artifact."""
    workspace = store_of(ctx)
    wanted = workspace.resolve(from_stdin() if artifact == "-" else artifact)
    for tree in _trees(workspace, wanted):
        console.out_rich(tree)


def _trees(workspace: Workspace, wanted: str) -> Iterator[Tree]:
    """An artifact and, below it, its inputs; what was drawn already is only named.

    What lies deeper than a line is wide begins a tree of its own.
    """
    seen: set[str] = set()
    roots = [wanted]
    for root in roots:  # which grows
        if root in seen:
            continue
        top = Tree("")
        waiting = [(root, top, 0)]
        while waiting:
            artifact_id, parent, depth = waiting.pop()
            if depth == DEEPEST and artifact_id not in seen:
                parent.add(f"{artifact_id}  (below)")
                roots.append(artifact_id)
                continue
            node, inputs = _node(workspace, artifact_id, parent, again=artifact_id in seen)
            seen.add(artifact_id)
            waiting += [(name, node, depth + 1) for name in reversed(inputs)]
        yield top.children[0]


def _node(
    workspace: Workspace, artifact_id: str, parent: Tree, *, again: bool
) -> tuple[Tree, list[str]]:
    """The line of one artifact with its models and source, and the inputs to draw below it."""
    try:
        artifact = workspace.artifact(artifact_id)
    except InputError:
        return parent.add(f"{artifact_id}  (not in this store)"), []
    manifest = artifact.manifest
    rows = manifest["tables"][artifact.kind]["rows"]
    failed = f", {artifact.n_failed} failed" if artifact.n_failed else ""
    text = f"{artifact.id}  {rows} {artifact.kind}{failed}  {manifest['created_at'][:16]}"
    node = parent.add(text + ("  (above)" if again else ""))
    if again:
        return node, []
    for model_id, place in manifest["models"].items():
        if model_id.startswith("model-"):
            node.add(console.safe(f"{model_id}  {place['name']}"))
    if manifest["source"]:
        node.add(console.safe(manifest["source"]))
    return node, artifact.inputs
