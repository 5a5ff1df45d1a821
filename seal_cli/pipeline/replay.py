"""What an update learns once more: of earlier rounds, other selections, contexts.

Decides which artifacts are meant; how many examples are drawn from them, and which, is
`stages.update.draw`.
"""

from collections.abc import Sequence

from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.filter import selected
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.resolve import Resolver
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.config import UpdateConfig
from stages.domains import ChosenDomain, Domain
from stages.errors import ConfigError, InputError
from stages.trace import pairs
from stages.update import Earlier


def sources(
    resolve: Resolver,
    model: LocalModel,
    config: UpdateConfig,
    selections: Sequence[str],
    contexts: str | None,
) -> tuple[str, ...]:
    """What was named, else what the policy and its ancestors learned from; the artifacts' ids.

    Raises ConfigError where something was named and `--replay` does not say how much of it, and
    InputError where an earlier selection is not in this store.
    """
    named = [resolve.artifact(reference, "selections").id for reference in selections]
    named += [resolve.artifact(contexts, "contexts").id] if contexts else []
    if named and not config.replay:
        raise ConfigError(
            "--replay-from and --replay-contexts go with --replay.", "Say how much: --replay 0.5."
        )
    if not config.replay:
        return ()
    return tuple(named) or learned_from(resolve, model)


def learned_from(resolve: Resolver, model: LocalModel) -> tuple[str, ...]:
    """The selections that a policy and its ancestors learned from, the newest first."""
    found = []
    while model.artifact is not None:
        found.append(resolve.store.artifact(str(model.policy.selection)).id)
        parent = str(model.policy.parent)
        if not parent.startswith("update-"):
            break
        model = resolve.model(parent)
    return tuple(found)


def earlier(store: Workspace, ids: Sequence[str], rehearsed: ChosenDomain | None) -> list[Earlier]:
    """Every example that may be drawn from these artifacts; contexts are of this domain."""
    found: list[Earlier] = []
    for artifact in map(store.artifact, ids):
        if artifact.kind == "contexts":
            assert rehearsed is not None
            found += _passages(artifact, rehearsed.domain)
        else:
            edits = selected(store, artifact)
            found += [Earlier(e.self_edit_id, e.context_id, tuple(pairs(e))) for e in edits]
    return found


def _passages(artifact: Artifact, domain: Domain) -> list[Earlier]:
    """What there is to learn of the contexts without any self-edit or answer."""
    found = [
        Earlier(f"{context.context_id}/{i}", context.context_id, (lesson,), asks=True)
        for context in ContextSet(artifact).contexts.values()
        for i, lesson in enumerate(domain.rehearsal(context))
    ]
    if not found:
        raise InputError(
            f"the contexts of {artifact.id} have no text of their own to learn.",
            "Replay self-edits: leave --replay-contexts out.",
        )
    return found
