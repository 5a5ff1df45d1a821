"""`seal filter`: rewards -> the selection that the policy learns from."""

import json
from pathlib import Path
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.runner import WHOLE, Job, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages import filter as stage
from stages.config import FilterConfig
from stages.identity import digest
from stages.records import Reward, Selection, SelfEdit
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
    artifact = session.run(task(session, source, session.resolve(FilterConfig)))
    if export is not None:
        write_jsonl(selected(session, artifact), export)
    session.answer(artifact)


def task(session: Session, source: Artifact, config: FilterConfig) -> Task:
    """The run that `seal filter` and `seal loop` share."""
    sql = stage.rule_text(config)
    self_edits = session.workspace.upstream(source, "self_edits")

    def open(job: Job) -> Work:
        tables = {"rewards": source.arrow("rewards"), "self_edits": self_edits.arrow("self_edits")}
        rewards = source.rows(Reward)
        return lambda _: stage.filter(rewards, tables=tables, query=sql, config=config)

    return Task(
        stage="filter",
        kind="selections",
        inputs=[source],
        material={
            "semantics": [stage.SEMANTICS],
            "config": config.key(),
            "rule": digest(sql),
            **({} if config.max_forget is None else {"max_forget": config.max_forget}),
        },
        config={"filter": config.key() | {"max_forget": config.max_forget}, "rule": sql},
        items=lambda: [WHOLE],
        open=open,
    )


def selected(session: Session, selection: Artifact) -> list[SelfEdit]:
    """The kept self-edits of a selection, in its order."""
    source = session.workspace.upstream(selection, "self_edits")
    edits = {edit.self_edit_id: edit for edit in source.rows(SelfEdit)}
    return [edits[row.self_edit_id] for row in selection.rows(Selection) if row.kept]


def write_jsonl(edits: list[SelfEdit], path: Path) -> None:
    """One {"prompt", "completion"} object a line, as the SEAL release has them; all or nothing.

    They are what `seal update` learns from: a self-edit of several steps has one for each request.
    """
    learned = (pair for edit in edits for pair in pairs(edit))
    rows = ({"prompt": pair.prompt, "completion": pair.completion} for pair in learned)
    console.save("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), path)
    console.say(f"{len(edits)} self-edits written to {path}.")
