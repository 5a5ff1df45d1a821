"""Keeps passages that a policy is measured on out of what it learns from.

A passage is what its content says (its id), so it is an evaluation passage when any artifact of the
store has it under an evaluation split, whatever the others call it: the SEAL release itself has a
finetuning file made of validation passages. Reads ids and splits, and decides nothing else. What
was learned already is there and stays a hit: the guard is asked before a run, not before a look.
"""

import logging
import re
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator

from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError

LOG = logging.getLogger(__name__)
EVALUATION = frozenset(("eval", "evaluation", "val", "valid", "validation", "dev", "test"))


def refuse_evaluation(
    workspace: Workspace, context_ids: Collection[str], allowed: Collection[str] | None = None
) -> None:
    """Raise ConfigError when passages to learn from belong to an evaluation split not `allowed`."""
    wanted, permitted = set(context_ids), {name.casefold() for name in allowed or ()}
    found: defaultdict[str, set[str]] = defaultdict(set)
    where: dict[str, str] = {}
    for artifact in workspace.all():
        for context_id, split in _splits(artifact):
            if context_id in wanted and is_evaluation(split) and split.casefold() not in permitted:
                found[split].add(context_id)
                where.setdefault(split, artifact.id)
    if found:
        names = sorted(found)
        counts = ", ".join(f"{len(found[name])} of split {name} in {where[name]}" for name in names)
        flags = " ".join(f"--allow-split {shlex.quote(name)}" for name in names)
        n_found = len(set().union(*found.values()))
        raise ConfigError(
            f"{n_found} of {len(wanted)} passages to learn from are for evaluation: {counts}.",
            f"Learn from other passages; if it is meant, say so: {flags}.",
        )


def is_evaluation(split: str) -> bool:
    """Whether a split's name says so in any of its parts: `squad_val`, `eval-200`."""
    return not EVALUATION.isdisjoint(re.split(r"[\W\d_]+", split.casefold()))


def _splits(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """The contexts of an artifact with their splits; what cannot be read is named and left out."""
    if "contexts" not in artifact.tables:
        return
    try:
        table = artifact.arrow("contexts", columns=("context_id", "split"))
    except InputError as error:
        LOG.warning("%s Its splits are not known. %s", error.message, error.hint)
        return
    yield from zip(
        table.column("context_id").to_pylist(), table.column("split").to_pylist(), strict=True
    )
