"""Where an update finds what it learns once more: earlier rounds, other selections, contexts.

Reads the store and decides which artifacts are meant; how many examples are drawn from them, and
which, is `stages.update.draw`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seal_cli.commands.filter import selected
from seal_cli.inputs import ContextSet
from seal_cli.models import LocalModel, resolve_model
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.config import UpdateConfig
from stages.errors import ConfigError, InputError
from stages.trace import pairs
from stages.update import Earlier


@dataclass(frozen=True)
class Sources:
    """The artifacts to draw from; without any there is nothing to replay."""

    artifacts: Sequence[Artifact] = ()

    def material(self, session: Session, model: LocalModel, config: UpdateConfig) -> dict[str, Any]:
        """What they add to the key: nothing where nothing can be drawn."""
        if not self.artifacts:
            return {}
        asked: dict[str, Any] = {}
        for artifact in self.artifacts:
            if artifact.kind == "contexts":
                asked |= session.domain(ContextSet(artifact), model).material("ask")
        drawn = {"amount": config.replay, "from": [artifact.id for artifact in self.artifacts]}
        return {"replay": drawn | asked}

    def read(self, session: Session, model: LocalModel) -> list[Earlier]:
        """Every example that may be drawn."""
        found: list[Earlier] = []
        for artifact in self.artifacts:
            if artifact.kind == "contexts":
                found += _passages(session, model, artifact)
            else:
                found += _self_edits(session, artifact)
        return found


def sources(
    session: Session,
    model: LocalModel,
    config: UpdateConfig,
    selections: Sequence[str],
    contexts: str | None,
) -> Sources:
    """What was named, else what the policy and its ancestors learned from.

    Raises:
        ConfigError: something was named and `--replay` does not say how much of it.
        InputError: an earlier selection is not in this store.

    """
    named = [session.artifact(reference, "selections") for reference in selections]
    named += [session.artifact(contexts, "contexts")] if contexts else []
    if not config.replay:
        if named:
            raise ConfigError(
                "--replay-from and --replay-contexts go with --replay.",
                "Say how much: --replay 0.5.",
            )
        return Sources()
    return Sources(named or learned_from(session.workspace, model))


def learned_from(workspace: Workspace, model: LocalModel) -> list[Artifact]:
    """The selections that a policy and its ancestors learned from, the newest first."""
    found = []
    while model.artifact is not None:
        found.append(workspace.artifact(str(model.policy.selection)))
        parent = str(model.policy.parent)
        if not parent.startswith("update-"):
            break
        model = resolve_model(workspace, parent)
    return found


def _self_edits(session: Session, selection: Artifact) -> list[Earlier]:
    return [
        Earlier(edit.self_edit_id, edit.context_id, tuple(pairs(edit)))
        for edit in selected(session, selection)
    ]


def _passages(session: Session, model: LocalModel, artifact: Artifact) -> list[Earlier]:
    """What there is to learn of the contexts without any self-edit or answer."""
    context_set = ContextSet(artifact)
    domain = session.domain(context_set, model)
    found = [
        Earlier(f"{context.context_id}/{i}", context.context_id, (lesson,), asks=True)
        for context in context_set.contexts.values()
        for i, lesson in enumerate(domain.rehearsal(context))
    ]
    if not found:
        raise InputError(
            f"the contexts of {artifact.id} have no text of their own to learn.",
            "Replay self-edits: leave --replay-contexts out.",
        )
    return found
