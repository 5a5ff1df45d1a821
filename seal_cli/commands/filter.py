"""`seal filter`: rewards -> the selection that the policy learns from."""

import json
from pathlib import Path
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.pipeline import filter as pipeline
from seal_cli.session import Session
from stages.config import FilterConfig
from stages.records import SelfEdit
from stages.trace import pairs

RewardsArg = Annotated[
    str, typer.Argument(metavar="REWARDS", help="An artifact: id, prefix, @latest:score, or -.")
]
ExportOption = Annotated[
    Path | None,
    typer.Option(
        "--export", help="Also write the kept self-edits as prompt/completion JSON lines."
    ),
]


def filter(  # the stage's name in the pipeline
    session: Session,
    rewards: RewardsArg,
    export: ExportOption = None,
) -> None:
    """Keep the self-edits that earned it."""
    if export is not None:
        console.check_folder(export)
    source = session.artifact(rewards, "rewards")
    spec = pipeline.filter(session.resolver, source, session.resolve(FilterConfig))
    artifact = session.run(spec)
    if export is not None:
        write_jsonl(pipeline.selected(session.workspace, artifact), export)
    session.answer(artifact)


def write_jsonl(edits: list[SelfEdit], path: Path) -> None:
    """One {"prompt", "completion"} object a line, as the SEAL release has them; all or nothing.

    They are what `seal update` learns from: a self-edit of several steps has one for each request.
    """
    learned = (pair for edit in edits for pair in pairs(edit))
    rows = ({"prompt": pair.prompt, "completion": pair.completion} for pair in learned)
    console.save("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), path)
    console.say(f"{len(edits)} self-edits written to {path}.")
