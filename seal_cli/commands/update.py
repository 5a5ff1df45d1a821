"""`seal update`: selection -> the next policy, a Hugging Face model directory."""

from typing import Annotated

import typer

from seal_cli.pipeline import update as pipeline
from seal_cli.pipeline.splits import AllowOption
from seal_cli.session import Session

SelectionArg = Annotated[
    str, typer.Argument(metavar="SELECTION", help="An artifact: id, prefix, @latest:filter, or -.")
]
WriterOption = Annotated[
    str | None,
    typer.Option(
        "--policy", help="Weights to train, if not those of the policy that wrote the selection."
    ),
]


ReplayFromOption = Annotated[
    list[str] | None,
    typer.Option(
        "--replay-from",
        metavar="SELECTION",
        help="Replay from this selection, in place of the earlier rounds'; repeatable.",
    ),
]
ReplayContextsOption = Annotated[
    str | None,
    typer.Option(
        "--replay-contexts",
        metavar="CONTEXTS",
        help="Replay the texts of these contexts, in place of the earlier rounds' self-edits.",
    ),
]


def update(
    session: Session,
    selection: SelectionArg,
    policy: WriterOption = None,
    replay_from: ReplayFromOption = None,
    replay_contexts: ReplayContextsOption = None,
    allow_split: AllowOption = None,
) -> None:
    """Finetune the policy on the selected self-edits."""
    source = session.artifact(selection, "selections")
    spec = pipeline.update(
        session.resolver,
        source,
        policy,
        replay_from=replay_from or (),
        replay_contexts=replay_contexts,
        allow_split=allow_split or (),
    )
    session.answer(session.run(spec))
