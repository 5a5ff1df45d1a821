"""`seal loop`: rounds of the six stages and eval, by the same calls and with the same ids.

It owns no artifact and keeps no state: killed and run again, every finished stage is a hit.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer

from seal_cli import console, rewarding
from seal_cli.commands import eval as evaluate
from seal_cli.commands import filter as filtering
from seal_cli.commands import generate, import_contexts, score, update
from seal_cli.inputs import ContextSet
from seal_cli.models import SHIPPED, LocalModel, resolve_model
from seal_cli.runner import Task
from seal_cli.session import Session
from seal_cli.splits import AllowOption, refuse_evaluation
from seal_cli.store.artifact import Artifact
from stages.config import (
    AdaptConfig,
    FilterConfig,
    GenerateConfig,
    LoopConfig,
    ScoreConfig,
)
from stages.records import Metric, Selection

ContextsOption = Annotated[
    str,
    typer.Option(
        "--contexts",
        help="Contexts artifact to learn from, or tiny or tiny-grids (its train split).",
    ),
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="Model folder, hub name, update artifact, tiny or tiny-grids "
        "[default: the one that --contexts names, else tiny].",
    ),
]
EvalOption = Annotated[
    str | None,
    typer.Option(
        "--eval-contexts",
        help="Contexts artifact to measure on [default: of tiny its eval split, else the same].",
    ),
]


def loop(
    session: Session,
    contexts: ContextsOption,
    policy: PolicyOption = None,
    eval_contexts: EvalOption = None,
    allow_split: AllowOption = None,
) -> None:
    """Run rounds of generate, score, filter and update, and measure every policy.

    Settings of the stages come from seal.toml, SEAL_* variables and --set.
    """
    model = resolve_model(
        session.workspace, policy or (contexts if contexts in SHIPPED else "tiny")
    )
    config = session.resolve(LoopConfig, model)
    engine = _given(engine=config.engine)
    own = {AdaptConfig: _given(slots=config.slots), GenerateConfig: engine, ScoreConfig: engine}
    session = replace(session, flags={**session.flags, **own})
    source, measured = _contexts(session, contexts, eval_contexts)
    metrics = [_measure(session, measured, model, config)]
    made: list[Artifact] = []
    for number in range(config.rounds):
        console.say(f"round {number + 1} of {config.rounds}: {model.policy.name} ({model.id})")
        made += _round(session, source, model, config, number, allow_split)
        if made[-1].kind != "policies":
            console.say(f"{made[-1].id} keeps no self-edit: the loop ends here.")
            break
        model = resolve_model(session.workspace, made[-1].id)
        metrics.append(_measure(session, measured, model, config))
    if session.as_json:
        answer = {"policy": model.id, "round": model.policy.round}
        console.out_json(answer | {"metrics": [artifact.id for artifact in metrics]})
    else:
        console.out(model.id)
    session.check([*made, *metrics])


def _contexts(session: Session, contexts: str, measured: str | None) -> tuple[Artifact, Artifact]:
    """What is learned from and what is measured on."""
    if contexts in SHIPPED:
        source = session.run(import_contexts.task([contexts], split="train"))
        if measured is None:
            return source, session.run(import_contexts.task([contexts], split="eval"))
    else:
        source = session.artifact(contexts, "contexts")
    held_out = session.artifact(measured, "contexts") if measured else source
    if held_out.id == source.id:
        console.say("no --eval-contexts: measuring on contexts that are also learned from.")
    return source, held_out


def _round(
    session: Session,
    source: Artifact,
    model: LocalModel,
    config: LoopConfig,
    number: int,
    allow_split: Sequence[str] | None,
) -> list[Artifact]:
    """One round: the next contexts, written about, scored, filtered and learned from.

    Without an update, when the filter kept nothing.
    """
    seed = _given(seed=config.seed)
    context_set = ContextSet(source)
    writing = replace(
        session.resolve(GenerateConfig, model),
        limit=config.limit,
        offset=number * config.limit % len(context_set.contexts),
        **seed,
        **_given(samples=config.samples),
    )

    def run(task: Task) -> Artifact:
        # `update` checks what is kept; hours are saved by not working towards what it would refuse.
        ahead = context_set.slice(writing.limit, writing.offset)
        check = partial(refuse_evaluation, session.workspace, ahead, allow_split)
        return session.run(replace(task, check=check))

    adapting = replace(
        session.resolve(AdaptConfig, model), **seed, **_given(repeats=config.repeats)
    )
    scoring = score.judging(session, model, source)
    edits = run(generate.task(session, source, model, writing, adapting.rank))
    wanted = rewarding.rewarding(session, edits)
    rewards = run(score.task_of_self_edits(session, edits, model, scoring, adapting, wanted))
    selection = session.run(filtering.task(session, rewards, session.resolve(FilterConfig, model)))
    made = [edits, rewards, selection]
    if any(row.kept for row in selection.rows(Selection)):
        made.append(session.run(update.task(session, selection, allow_split=allow_split, **seed)))
    return made


def _measure(session: Session, source: Artifact, model: LocalModel, config: LoopConfig) -> Artifact:
    """Evaluate a policy and say its accuracy."""
    own = _given(limit=config.eval_limit, seed=config.seed)
    metrics = session.run(evaluate.task(session, source, model, **own))
    for row in metrics.rows(Metric):
        if row.metric == "accuracy" and row.value is not None:
            console.say(
                f"round {row.round} {row.method:<13} {row.value:.3f} "
                f"{_interval(row)} on {row.n} contexts"
                + (f", {row.n_failed} failed" if row.n_failed else "")
            )
    return metrics


def _given(**values: int | str | None) -> dict[str, Any]:
    """The settings that the loop was given; of the others the stages have their own."""
    return {name: value for name, value in values.items() if value is not None}


def _interval(row: Metric) -> str:
    """A metric's interval; one context has none."""
    if row.ci_low is None or row.ci_high is None:
        return "[no interval]"
    return f"[{row.ci_low:.3f}, {row.ci_high:.3f}]"
