"""`seal regrade`: the stored answers of rewards or metrics -> the same under another grader."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated

import typer

from seal_cli.endpoints import (
    grader_location,
    grader_material,
    grader_of,
    grader_semantics,
)
from seal_cli.inputs import group, pick
from seal_cli.probe import owner
from seal_cli.runner import Job, Plan, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages import regrade as stage
from stages.config import JUDGE, EvalConfig, JudgeConfig, ScoreConfig, resolved_grader
from stages.errors import InputError
from stages.exam import PROBE
from stages.grading import GRADERS, Grader
from stages.records import Adapter, Answer, Metric, Question, Record, Reward, Verdict

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="REWARDS|METRICS", help="What to judge again: id, prefix, @latest:score, or -."
    ),
]
GraderOption = Annotated[
    str,
    typer.Option(
        "--grader",
        help="Who judges the answers: offline (the newest version), "
        f"{', '.join(GRADERS)}, or judge:MODEL behind --base-url.",
    ),
]
_ROUNDS = 16  # verdicts per request under way that a batch has for a judge


def regrade(session: Session, source: SourceArg, grader: GraderOption) -> None:
    """Judge stored answers again with another grader; the model that gave them is not run.

    Rewards (of score, regrade or an import) give rewards, which filter takes; metrics give metrics.
    """
    name = resolved_grader(grader)
    found = session.artifact(source, "rewards", "metrics")
    session.answer(session.run(task(session, found, name)))


def task(session: Session, source: Artifact, grader: str) -> Task:
    """One run: rewards or metrics, judged again context by context."""
    answers = answers_of(session.workspace, source)
    again = _rewards if source.kind == "rewards" else _metrics

    def items() -> list[str]:
        rows = [*(source.rows(Reward) if source.kind == "rewards" else ()), *answers.rows(Answer)]
        return list(dict.fromkeys(row.context_id for row in rows))

    def plan() -> Plan:
        """All at once, but for a judge so many contexts as keep its server busy for a while."""
        if not grader.startswith(JUDGE):
            return Plan(batch=max(1, len(items())))
        asked = len(answers.rows(Answer)) / max(1, len(items()))
        together = session.resolve(JudgeConfig).concurrency * _ROUNDS
        return Plan(batch=max(1, int(together / max(1, asked))))

    def open(job: Job) -> Work:
        return again(session.workspace, source, answers, grader_of(session, grader))

    def finish(rows: Sequence[Record]) -> Sequence[Metric]:
        verdicts = [row for row in rows if isinstance(row, Verdict)]
        return list(_summary(session.workspace, source, answers, grader, verdicts))

    return Task(
        stage="regrade",
        kind=source.kind,
        inputs=[source],
        material={"semantics": [stage.SEMANTICS, grader_semantics(grader)], "grader": grader}
        | grader_material(session, grader),
        config={"grader": grader},
        items=items,
        open=open,
        plan=plan,
        finish=finish if source.kind == "metrics" else None,
        owners=lambda rows: owner([*answers.rows(Answer), *rows], _stored(source)),
        tables=("verdicts",),
        models=grader_location(session, grader),
    )


def _stored(source: Artifact) -> Sequence[Reward]:
    return source.rows(Reward) if source.kind == "rewards" else ()


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


def _rewards(workspace: Workspace, source: Artifact, answers: Artifact, grader: Grader) -> Work:
    """Contexts -> verdicts on what was said about them, and rewards."""
    rewards, given = source.rows(Reward), answers.rows(Answer)
    if not {row.self_edit_id for row in rewards} & {row.self_edit_id for row in given}:
        raise InputError(
            f"{answers.id} has no answer about a self-edit of {source.id}: its rewards are "
            "recorded numbers.",
            "Only what has answers can be judged again.",
        )
    trained = answers
    with suppress(InputError):  # an import may have none
        trained = workspace.upstream(answers, "adapters")
    stored, said, worn = group(rewards), _said(given, rewards), group(_adapters(trained))
    questions = _questions(workspace, answers)
    # What the unadapted student said on a probe is about every context, and is told with the first.
    probed = [row for row in given if row.method == PROBE and row.self_edit_id is None]
    about_all = {row.answer_id for row in probed}

    def work(ids: Sequence[str]) -> Iterator[Record]:
        first = rewards[0].context_id in ids
        rows = stage.rewards(
            pick(stored, ids),
            answers=pick(said, ids) + ([] if first else probed),
            adapters=pick(worn, ids),
            questions=questions,
            grader=grader,
        )
        told = set() if first else about_all
        return (r for r in rows if not (isinstance(r, Verdict) and r.answer_id in told))

    return work


def _said(answers: Sequence[Answer], rewards: Sequence[Reward]) -> dict[str, list[Answer]]:
    """Answers by the context they were given for: for a probe's the one that was learned about."""
    of = owner(answers, rewards)
    said: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        said[of(answer)].append(answer)
    return said


def _metrics(workspace: Workspace, source: Artifact, answers: Artifact, grader: Grader) -> Work:
    """Contexts -> verdicts on what was said about them; the metrics need those of all."""
    _require_evaluation(source)
    said, questions = group(answers.rows(Answer)), _questions(workspace, answers)
    return lambda ids: stage.judged(pick(said, ids), questions, grader)


def _require_evaluation(source: Artifact) -> None:
    metrics = source.rows(Metric)
    if len({(m.policy, m.round, m.dataset, m.regime) for m in metrics}) != 1 or (
        metrics[0].regime not in ("single", "cpt")
    ):
        raise InputError(
            f"{source.id} is not one evaluation in the regime single or cpt.",
            "Only such evaluations can be judged again.",
        )


def _summary(
    workspace: Workspace,
    source: Artifact,
    answers: Artifact,
    grader: str,
    verdicts: Sequence[Verdict],
) -> Iterator[Metric]:
    """The metrics that follow from new verdicts, by the rules of the evaluation."""
    settings = answers.manifest["config"]
    drawn = {k: v for k, v in settings.get("eval", {}).items() if k in ("resamples", "seed")}
    return stage.metrics(
        source.rows(Metric),
        answers=answers.rows(Answer),
        verdicts=verdicts,
        adapters=_adapters(answers),
        questions=group(workspace.upstream(answers, "questions").rows(Question)),
        grader=grader,
        floor=settings.get("score", {}).get("reward_floor", ScoreConfig().reward_floor),
        config=EvalConfig(**drawn),
    )


def _questions(workspace: Workspace, answers: Artifact) -> dict[str, Question]:
    """By id."""
    sources = [workspace.upstream(answers, "questions"), *map(workspace.artifact, answers.aside)]
    asked = (question for source in sources for question in source.rows(Question))
    return {question.question_id: question for question in asked}


def _adapters(artifact: Artifact) -> Sequence[Adapter]:
    return artifact.rows(Adapter) if "adapters" in artifact.tables else ()
