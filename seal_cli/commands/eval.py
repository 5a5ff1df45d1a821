"""`seal eval`: policy and contexts -> metrics, with everything they were computed from."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from seal_cli.commands import adapt, generate, score
from seal_cli.inputs import ContextSet
from seal_cli.models import LocalModel, resolve_model
from seal_cli.options import ContextsArg
from seal_cli.runner import Job, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages import eval as stage
from stages.config import AdaptConfig, EvalConfig, GenerateConfig, ScoreConfig
from stages.identity import derive_seed
from stages.records import Adapter, Answer, Metric, Record, Verdict

PolicyArg = Annotated[
    str,
    typer.Argument(metavar="POLICY", help="Model folder, hub name, update artifact, tiny, or -."),
]


def evaluate(
    session: Session,
    policy: PolicyArg,
    contexts: ContextsArg,
    config: EvalConfig,
    writing: GenerateConfig,
    adapting: AdaptConfig,
    scoring: ScoreConfig,
) -> None:
    """Measure how well a policy adapts itself to contexts."""
    source = session.artifact(contexts, "contexts")
    model = resolve_model(session.workspace, policy)
    session.answer(session.run(task(session, source, model, config, writing, adapting, scoring)))


def task(
    session: Session,
    source: Artifact,
    model: LocalModel,
    config: EvalConfig,
    writing: GenerateConfig,
    adapting: AdaptConfig,
    scoring: ScoreConfig,
) -> Task:
    """The run that `seal eval` and `seal loop` share."""
    # Seeds of its own: an evaluation must not meet the very samples that a round selected from.
    seed = derive_seed(config.seed, "eval")
    writing = replace(writing, samples=config.samples, seed=seed, limit=0, offset=0)
    adapting = replace(adapting, repeats=config.repeats, seed=seed)
    context_set = ContextSet(source)

    def items() -> list[str]:
        return context_set.slice(config.limit, config.offset)

    def open(job: Job) -> Work:
        inner = adapt.inner_loop(session, model, context_set.domain, adapting)
        examiner = score.examiner(session, model, context_set.domain, scoring)
        write = generate.writer(session, model, context_set.domain, writing)
        return lambda ids: stage.evaluate(
            [context_set.contexts[i] for i in ids],
            questions=context_set.questions,
            examiner=examiner,
            write=write,
            adapt=lambda edits: inner.self_edits(edits, context_set.contexts),
            adapt_to_passages=inner.passages,
        )

    def finish(rows: Sequence[Record]) -> Sequence[Metric]:
        chosen = [context_set.contexts[i] for i in items()]
        return list(
            stage.summarise(
                [row for row in rows if isinstance(row, Adapter | Answer | Verdict)],
                contexts=chosen,
                questions={c.context_id: context_set.questions[c.context_id] for c in chosen},
                policy=model.policy,
                dataset=source.id,
                floor=scoring.reward_floor,
                config=config,
            )
        )

    domain = context_set.domain
    return Task(
        stage="eval",
        kind="metrics",
        inputs=[source, *model.inputs],
        material={
            "semantics": [stage.SEMANTICS],
            "config": config.key(),
            "generate": generate.material(session, model, domain, writing),
            "adapt": adapt.material(session, model, domain, adapting),
            "score": score.material(session, model, domain, scoring),
        },
        config={
            "eval": config.key(),
            "generate": writing.key(),
            "adapt": adapting.key(),
            "score": scoring.key(),
        },
        items=items,
        open=open,
        finish=finish,
        tables=("self_edits", "adapters", "answers", "verdicts"),
        models=model.location(),
    )
