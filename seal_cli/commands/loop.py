"""`seal loop`: rounds of the six stages and eval, by the same calls and with the same ids.

It owns no artifact and keeps no state: killed and run again, every finished stage is a hit.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.commands import eval as evaluate
from seal_cli.commands import filter as filtering
from seal_cli.commands import generate, score, update
from seal_cli.inputs import ContextSet
from seal_cli.models import LocalModel, resolve_model
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages.config import (
    AdaptConfig,
    EvalConfig,
    FilterConfig,
    GenerateConfig,
    LoopConfig,
    ScoreConfig,
    UpdateConfig,
)
from stages.records import Metric, Selection

ContextsOption = Annotated[str, typer.Option("--contexts", help="Contexts artifact to learn from.")]
PolicyOption = Annotated[
    str, typer.Option("--policy", help="Model folder, hub name, update artifact, or tiny.")
]
EvalOption = Annotated[
    str | None,
    typer.Option(
        "--eval-contexts",
        help="Contexts artifact to measure on [default: the same, which is no held-out measure].",
    ),
]


@dataclass(frozen=True)
class Plan:
    """The configurations of all stages of a loop."""

    generate: GenerateConfig
    adapt: AdaptConfig
    score: ScoreConfig
    filter: FilterConfig
    update: UpdateConfig
    eval: EvalConfig


def loop(
    session: Session,
    contexts: ContextsOption,
    config: LoopConfig,
    policy: PolicyOption = "tiny",
    eval_contexts: EvalOption = None,
) -> None:
    """Run rounds of generate, score, filter and update, and measure every policy.

    Settings of the stages come from seal.toml, SEAL_* variables and --set.
    """
    source = session.artifact(contexts, "contexts")
    measured = session.artifact(eval_contexts, "contexts") if eval_contexts else source
    if measured.id == source.id:
        console.say("no --eval-contexts: measuring on contexts that are also learned from.")
    plan = _plan(session, config)
    model = resolve_model(session.workspace, policy)
    artifacts = [_measure(session, measured, model, plan)]
    for number in range(config.rounds):
        console.say(
            f"round {number + 1} of {config.rounds}, policy {model.policy.name} ({model.id})"
        )
        made = _round(session, source, model, plan, offset=number * config.limit)
        if made is None:
            console.say(
                "the selection is empty: no self-edit was worth learning; the loop ends here."
            )
            break
        model = resolve_model(session.workspace, made.id)
        artifacts.append(_measure(session, measured, model, plan))
    _answer(session, model, artifacts)


def _plan(session: Session, config: LoopConfig) -> Plan:
    """Every stage's settings, with the loop's own in place of theirs."""
    resolve = session.settings.resolve
    seed = config.seed
    return Plan(
        generate=replace(
            resolve(GenerateConfig), samples=config.samples, limit=config.limit, seed=seed
        ),
        adapt=replace(resolve(AdaptConfig), repeats=config.repeats, seed=seed),
        score=resolve(ScoreConfig),
        filter=resolve(FilterConfig),
        update=replace(resolve(UpdateConfig), seed=seed),
        eval=replace(resolve(EvalConfig), limit=config.eval_limit, seed=seed),
    )


def _round(
    session: Session, source: Artifact, model: LocalModel, plan: Plan, *, offset: int
) -> Artifact | None:
    """One round: the next contexts, written about, scored, filtered and learned from."""
    size = len(ContextSet(source).contexts)
    writing = replace(plan.generate, offset=offset % size)
    edits = session.run(generate.task(session, source, model, writing))
    rewards = session.run(score.task_of_self_edits(session, edits, model, plan.score, plan.adapt))
    selection = session.run(filtering.task(session, rewards, plan.filter))
    if not any(row.kept for row in selection.rows(Selection)):
        return None
    return session.run(update.task(session, selection, plan.update))


def _measure(session: Session, source: Artifact, model: LocalModel, plan: Plan) -> Artifact:
    """Evaluate a policy and say its accuracy."""
    metrics = session.run(
        evaluate.task(session, source, model, plan.eval, plan.generate, plan.adapt, plan.score)
    )
    for row in metrics.rows(Metric):
        if row.metric == "accuracy" and row.value is not None:
            console.say(
                f"round {row.round} {row.method:<13} {row.value:.3f} "
                f"[{row.ci_low:.3f}, {row.ci_high:.3f}] on {row.n} contexts"
            )
    return metrics


def _answer(session: Session, model: LocalModel, metrics: list[Artifact]) -> None:
    if session.as_json:
        console.out_json(
            {"policy": model.id, "round": model.policy.round, "metrics": [m.id for m in metrics]}
        )
    else:
        console.out(model.id)
