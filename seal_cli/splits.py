"""Keeps passages that a policy is measured on out of what it learns from.

A passage is what its content says (its id), so it is an evaluation passage when any artifact of the
store has it under an evaluation split, whatever the others call it: the SEAL release itself has a
finetuning file made of validation passages. Reads ids and splits, and decides nothing else.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Annotated

import typer

from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError

EVALUATION = frozenset(("eval", "evaluation", "val", "valid", "validation", "dev", "test"))

AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-split",
        metavar="NAME",
        help="Learn from passages of this evaluation split all the same; repeatable.",
    ),
]


def refuse_evaluation(
    workspace: Workspace, context_ids: Collection[str], allowed: Collection[str] | None = None
) -> None:
    """Raise ConfigError when passages to learn from belong to an evaluation split.

    `allowed` splits are permitted by name: a permission, no setting, so it is in no key.
    """
    wanted, permitted = set(context_ids), {name.casefold() for name in allowed or ()}
    found: defaultdict[str, set[str]] = defaultdict(set)
    where: dict[str, str] = {}
    for artifact in workspace.all():
        if "contexts" not in artifact.tables:
            continue
        table = artifact.arrow("contexts", columns=("context_id", "split"))
        pairs = zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
        for context_id, split in pairs:
            if context_id in wanted and split.casefold() in EVALUATION - permitted:
                found[split].add(context_id)
                where.setdefault(split, artifact.id)
    if found:
        names = sorted(found)
        counts = ", ".join(f"{len(found[name])} of split {name} in {where[name]}" for name in names)
        flags = " ".join(f"--allow-split {name}" for name in names)
        n_found = len(set().union(*found.values()))
        raise ConfigError(
            f"{n_found} of {len(wanted)} passages to learn from are for evaluation: {counts}.",
            f"Learn from other passages; if it is meant, say so: {flags}.",
        )
