"""`seal why`: what one self-edit changed, and what could have done it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from seal_cli import console
from seal_cli.options import JsonOption, from_stdin, store_of
from seal_cli.reports.why import find, gather
from seal_cli.store.artifact import Artifact
from stages.why import Asked, Change, Said, Why

SelfEditArg = Annotated[
    str, typer.Argument(metavar="SELF_EDIT", help="Id of a self-edit, a unique prefix, or -.")
]
RewardsOption = Annotated[
    str | None,
    typer.Option(
        "--rewards",
        help="Rewards artifact. [default: the newest with the self-edit]",
    ),
]


def why(
    ctx: typer.Context,
    self_edit: SelfEditArg,
    rewards: RewardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a self-edit changed, question by question.

    Per question the answers before and after. With the line of it that covers the gold answer, and
    the sibling that won.
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


def _render(found: Why, artifact: Artifact) -> None:
    edit, reward = found.self_edit, found.reward
    console.out_facts(_facts(found, artifact))
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


def _facts(found: Why, artifact: Artifact) -> dict[str, str]:
    edit, reward = found.self_edit, found.reward
    earned = f"{_number(reward.reward)}, gain {_number(reward.gain)}"
    if reward.adapted_std is not None:
        earned += f", deviation {_number(reward.adapted_std)} over {reward.n_repeats} repeats"
    return {
        "self-edit": f"{edit.self_edit_id} (sample {edit.sample}, round {edit.round})",
        "about": found.title or edit.context_id,
        "status": reward.status + (f": {reward.reason}" if reward.reason else ""),
        "reward": f"{earned} ({reward.grader}, {artifact.id})",
        "rank": f"{found.rank} of {found.n_siblings}",
        "changed": _changes(found.changes),
    }


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
