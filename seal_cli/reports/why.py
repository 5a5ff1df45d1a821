"""Everything that the store has about one self-edit, found by its id, for `stages.why`."""

import re
from collections.abc import Sequence

from seal_cli.pipeline.contexts import ContextSet
from seal_cli.store import index
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError
from stages.records import Answer, Reward, SelfEdit, Verdict
from stages.why import Why, why

_SECONDS = 60.0  # to look for an id in every artifact


def find(workspace: Workspace, prefix: str, within: str | None) -> tuple[str, str]:
    """A self-edit's id and the newest rewards artifact, or `within`, that has it.

    Raises ConfigError where several begin like this, or it is no id, and InputError where there is
    none, or it was never scored.
    """
    if not re.fullmatch(r"[\w-]+", prefix):
        raise ConfigError(f"{prefix!r} is not the id of a self-edit.", "See `seal sql`.")
    scored = """
        SELECT self_edit_id, arg_max(artifact_id, (created_at, artifact_id))
        FROM rewards JOIN artifacts USING (artifact_id)
        WHERE starts_with(self_edit_id, $prefix) AND artifact_id = coalesce($within, artifact_id)
        GROUP BY self_edit_id ORDER BY self_edit_id LIMIT 5"""
    written = """
        SELECT DISTINCT self_edit_id FROM self_edits WHERE starts_with(self_edit_id, $prefix)
        ORDER BY 1 LIMIT 5"""
    with index.sandbox(workspace, seconds=_SECONDS) as connection:
        rows = connection.execute(scored, {"prefix": prefix, "within": within}).fetchall()
        known = rows or connection.execute(written, {"prefix": prefix}).fetchall()
    exact = [row for row in known if row[0] == prefix] or known
    if not exact:
        raise InputError(
            f"no self-edit {prefix} in {workspace.root}.",
            "`seal sql 'select self_edit_id, completion from self_edits'` lists them.",
        )
    if len(exact) > 1:
        some = ", ".join(row[0] for row in exact[:4])
        raise ConfigError(f"several self-edits begin with {prefix}.", f"Say more: {some}.")
    if not rows:
        where = f"has no reward in {within}" if within else "was never scored"
        raise InputError(f"self-edit {exact[0][0]} {where}.", "Run `seal score` on its artifact.")
    return exact[0][0], exact[0][1]


def gather(workspace: Workspace, artifact: Artifact, edit_id: str) -> Why:
    """Everything about one self-edit that a rewards artifact and its inputs hold."""
    rewards = artifact.rows(Reward)
    reward = next(row for row in rewards if row.self_edit_id == edit_id)
    contexts = ContextSet(workspace.upstream(artifact, "contexts"))
    siblings = [row.self_edit_id for row in rewards if row.context_id == reward.context_id]
    told = "verdicts" in artifact.tables  # an import may have recorded the rewards alone
    answers = workspace.upstream(artifact, "answers").rows(Answer) if told else []
    verdicts = artifact.rows(Verdict) if told else []
    return why(
        reward,
        rewards=rewards,
        self_edits=_written(workspace, artifact, siblings),
        context=contexts.contexts[reward.context_id],
        questions=contexts.questions[reward.context_id] if told else [],
        answers=[answer for answer in answers if answer.context_id == reward.context_id],
        verdicts=[verdict for verdict in verdicts if verdict.context_id == reward.context_id],
        domain=contexts.domain if told else None,
    )


def _written(workspace: Workspace, artifact: Artifact, ids: Sequence[str]) -> dict[str, SelfEdit]:
    """The self-edits of these ids: the artifact's, or where an import has them beside it."""
    try:
        sources = [workspace.upstream(artifact, "self_edits")]
    except InputError:
        sources = [other for other in workspace.all("import") if "self_edits" in other.tables]
    found = {edit.self_edit_id: edit for source in sources for edit in source.rows(SelfEdit)}
    absent = [edit_id for edit_id in ids if edit_id not in found]
    if absent:
        raise InputError(
            f"the text of self-edit {absent[0]} is not in {workspace.root}.",
            f"{artifact.id} has its reward alone: import the file that has the self-edits.",
        )
    return found
