"""`seal regrade`: the stored answers of rewards or metrics -> the same under another grader."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated

import typer

from seal_cli.inputs import group
from seal_cli.runner import WHOLE, Job, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages import regrade as stage
from stages.config import EvalConfig, ScoreConfig
from stages.errors import ConfigError, InputError
from stages.grading import GRADERS, Grader
from stages.records import Adapter, Answer, Metric, Question, Record, Reward

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="REWARDS|METRICS", help="What to judge again: id, prefix, @latest:score, or -."
    ),
]
GraderOption = Annotated[
    str, typer.Option("--grader", help=f"Who judges the answers: {', '.join(GRADERS)}.")
]


def regrade(session: Session, source: SourceArg, grader: GraderOption) -> None:
    """Judge stored answers again with another grader; no model is run.

    Rewards (of score, regrade or an import) give rewards, which filter takes; metrics give metrics.
    """
    if grader not in GRADERS:
        raise ConfigError(f"there is no grader {grader!r}.", f"Graders: {', '.join(GRADERS)}.")
    found = session.artifact(source, "rewards", "metrics")
    session.answer(session.run(task(session.workspace, found, GRADERS[grader])))


def task(workspace: Workspace, source: Artifact, grader: Grader) -> Task:
    """One run: rewards or metrics, judged again."""
    answers = answers_of(workspace, source)

    def open(job: Job) -> Work:
        again = _rewards if source.kind == "rewards" else _metrics
        return lambda _: again(workspace, source, answers, grader)

    return Task(
        stage="regrade",
        kind=source.kind,
        inputs=[source],
        material={"semantics": [stage.SEMANTICS, grader.semantics], "grader": grader.name},
        config={"grader": grader.name},
        items=lambda: [WHOLE],
        open=open,
        tables=("verdicts",),
    )


def answers_of(workspace: Workspace, source: Artifact) -> Artifact:
    """The artifact with the answers that rewards or metrics follow from.

    Raises:
        InputError: there is none; an import may have recorded the numbers alone.

    """
    try:
        return workspace.upstream(source, "answers")
    except InputError as error:
        raise InputError(
            f"the answers behind {source.id} are not stored: {error.message}",
            "Only what has answers can be judged again; numbers that an import has recorded "
            "(basis 'recorded') stay as they are.",
        ) from error


def _rewards(
    workspace: Workspace, source: Artifact, answers: Artifact, grader: Grader
) -> Iterator[Record]:
    rewards = source.rows(Reward)
    given = answers.rows(Answer)
    if not {row.self_edit_id for row in rewards} & {row.self_edit_id for row in given}:
        raise InputError(
            f"{answers.id} has no answer about a self-edit of {source.id}: its rewards are "
            "recorded numbers.",
            "Only what has answers can be judged again.",
        )
    trained = answers
    with suppress(InputError):  # an import may have none
        trained = workspace.upstream(answers, "adapters")
    questions = workspace.upstream(answers, "questions").rows(Question)
    return stage.rewards(
        rewards,
        answers=given,
        adapters=_adapters(trained),
        questions={question.question_id: question for question in questions},
        grader=grader,
    )


def _metrics(
    workspace: Workspace, source: Artifact, answers: Artifact, grader: Grader
) -> Iterator[Record]:
    metrics = source.rows(Metric)
    if len({(m.policy, m.round, m.dataset, m.regime) for m in metrics}) != 1 or (
        metrics[0].regime not in ("single", "cpt")
    ):
        raise InputError(
            f"{source.id} is not one evaluation in the regime single or cpt.",
            "Only such evaluations can be judged again.",
        )
    settings = answers.manifest["config"]
    drawn = {k: v for k, v in settings.get("eval", {}).items() if k in ("resamples", "seed")}
    return stage.metrics(
        metrics,
        answers=answers.rows(Answer),
        adapters=_adapters(answers),
        questions=group(workspace.upstream(answers, "questions").rows(Question)),
        grader=grader,
        floor=settings.get("score", {}).get("reward_floor", ScoreConfig().reward_floor),
        config=EvalConfig(**drawn),
    )


def _adapters(artifact: Artifact) -> Sequence[Adapter]:
    return artifact.rows(Adapter) if "adapters" in artifact.tables else ()
