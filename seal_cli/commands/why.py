"""`seal why`: what one self-edit changed, and what could have done it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from seal_cli import console
from seal_cli.options import from_stdin, store_of
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.store import index
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError
from stages.records import Answer, Reward, SelfEdit, Verdict
from stages.why import Asked, Change, Said, Why
from stages.why import why as explain

SelfEditArg = Annotated[
    str, typer.Argument(metavar="SELF_EDIT", help="Its id, a unique prefix of it, or -.")
]
RewardsOption = Annotated[
    str | None,
    typer.Option(
        "--rewards",
        help="The rewards artifact to explain [default: the newest that has the self-edit].",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_SECONDS = 60.0  # to look for an id in every artifact


def why(
    ctx: typer.Context,
    self_edit: SelfEditArg,
    rewards: RewardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a self-edit changed: per question the answers before and after.

    With the line of it that covers the gold answer, and the sibling that won.
    """
    workspace = store_of(ctx)
    wanted = from_stdin() if self_edit == "-" else self_edit
    within = workspace.resolve(rewards) if rewards else None
    edit_id, artifact_id = find(workspace, wanted, within)
    artifact = workspace.artifact(artifact_id)
    found = gather(workspace, artifact, edit_id)
    if as_json:
        console.out_json({"artifact_id": artifact.id} | asdict(found))
    else:
        _render(found, artifact)


def find(workspace: Workspace, prefix: str, within: str | None) -> tuple[str, str]:
    """A self-edit's id and the newest rewards artifact, or `within`, that has it.

    Raises:
        ConfigError: several self-edits begin like this, or it is no id.
        InputError: there is none, or it was never scored.

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
    return explain(
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
    """The self-edits of these ids: the artifact's, or where an import has them beside it.

    Raises InputError when one of them is nowhere in the store.
    """
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


def _render(found: Why, artifact: Artifact) -> None:
    edit, reward = found.self_edit, found.reward
    console.out_rich(_facts(found, artifact))
    console.out(f"\n{console.safe(edit.completion)}")
    if found.questions:
        console.out("")
        console.out_rich(_questions(found.questions))
    else:
        console.out("\nIts answers are not stored: the reward is a recorded number.")
    if found.winner is not None:
        won = found.winner
        better = [q.question for q in found.questions if q.question_id in won.better_on]
        console.out(
            f"\nThe winner, {won.self_edit.self_edit_id} (sample {won.reward.sample}), earned "
            f"{_number(won.reward.reward)}:\n\n{console.safe(won.self_edit.completion)}"
        )
        if better:
            console.out("\nIt was better on:")
        for question in better:
            console.out(f"  {console.safe(question)}")
    elif reward.status == "ok":
        console.out("\nIt won: no sibling earned more.")


def _facts(found: Why, artifact: Artifact) -> Table:
    edit, reward = found.self_edit, found.reward
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    earned = f"{_number(reward.reward)}, gain {_number(reward.gain)}"
    if reward.adapted_std is not None:
        earned += f", deviation {_number(reward.adapted_std)} over {reward.n_repeats} repeats"
    facts = {
        "self-edit": f"{edit.self_edit_id} (sample {edit.sample}, round {edit.round})",
        "about": found.title or edit.context_id,
        "status": reward.status + (f": {reward.reason}" if reward.reason else ""),
        "reward": f"{earned} ({reward.grader}, {artifact.id})",
        "rank": f"{found.rank} of {found.n_siblings}",
        "changed": _changes(found.changes),
    }
    for name, value in facts.items():
        table.add_row(name, console.safe(value))
    return table


def _questions(questions: Sequence[Asked]) -> Table:
    table = Table(box=None, pad_edge=False, show_lines=False)
    for name in ("question", "gold", "before", "after", "became", "covered by"):
        table.add_column(name, overflow="fold")
    for asked in questions:
        table.add_row(
            console.safe(asked.question),
            console.safe(" / ".join(asked.golds)),
            _said(asked.before),
            _said(asked.after),
            _changes(asked.changes),
            _cover(asked),
        )
    return table


def _said(answers: Sequence[Said]) -> str:
    """Answers with their verdicts, the same ones once."""
    marks = {True: "✓", False: "✗", None: "?"}
    lines = [f"{marks[row.correct]} {console.safe(row.text) or '(empty)'}" for row in answers]
    return "\n".join(dict.fromkeys(lines))


def _changes(changes: Mapping[Change, int]) -> str:
    """`learned` for one repeat, `learned 2, lost 1` for several."""
    if sum(changes.values()) == 1:
        return next(iter(changes))
    return ", ".join(f"{change} {n}" for change, n in changes.items())


def _cover(asked: Asked) -> str:
    if asked.cover is None:
        return "nothing"
    cover = asked.cover
    where = "the passage" if cover.line is None else f"line {cover.line}"
    return where if cover.covers else f"nothing ({where} has {cover.recall:.0%} of its words)"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
