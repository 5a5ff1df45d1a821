"""`seal eval`: policy and contexts -> metrics, with everything they were computed from."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

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
from stages.domains import Domain
from stages.identity import derive_seed
from stages.records import Adapter, Answer, Metric, Record, Verdict

PolicyArg = Annotated[
    str,
    typer.Argument(metavar="POLICY", help="Model folder, hub name, update artifact, tiny, or -."),
]


@dataclass(frozen=True)
class Settings:
    """What an evaluation needs to know: how to measure, write, adapt and score."""

    eval: EvalConfig
    generate: GenerateConfig
    adapt: AdaptConfig
    score: ScoreConfig


def evaluate(session: Session, policy: PolicyArg, contexts: ContextsArg) -> None:
    """Measure how well a policy adapts itself to contexts."""
    source = session.artifact(contexts, "contexts")
    model = resolve_model(session.workspace, policy)
    session.answer(session.run(task(session, source, model)))


def task(session: Session, source: Artifact, model: LocalModel, **own: Any) -> Task:
    """The run that `seal eval` and `seal loop` share; `own` are settings of the loop's own."""
    settings = _settings(session, model, own)
    context_set = ContextSet(source)

    def items() -> list[str]:
        context_set.require_questions()
        chosen = context_set.slice(settings.eval.limit, settings.eval.offset)
        return [i for i in chosen if context_set.questions[i]]

    def open(job: Job) -> Work:
        inner = adapt.inner_loop(session, model, context_set.domain, settings.adapt, job.slots)
        examiner = score.examiner(session, model, context_set.domain, settings.score)
        write = generate.writer(session, model, context_set.domain, settings.generate)
        return lambda ids: stage.evaluate(
            [context_set.contexts[i] for i in ids],
            questions=context_set.questions,
            examiner=examiner,
            write=write,
            adapt=lambda edits: inner.self_edits(edits, context_set.contexts),
            adapt_to_passages=inner.passages,
        )

    def finish(rows: Sequence[Record]) -> Sequence[Metric]:
        return list(
            stage.summarise(
                [row for row in rows if isinstance(row, Adapter | Answer | Verdict)],
                questions={i: context_set.questions[i] for i in items()},
                policy=model.policy,
                dataset=source.id,
                grader=settings.score.grader,
                floor=settings.score.reward_floor,
                config=settings.eval,
            )
        )

    # A context gets its passage's adapters and those of its self-edits.
    per_context = settings.eval.repeats * (1 + settings.eval.samples)
    return Task(
        stage="eval",
        kind="metrics",
        inputs=[source, *model.inputs],
        material=_material(session, model, context_set.domain, settings),
        config={f.name: getattr(settings, f.name).key() for f in fields(settings)},
        items=items,
        open=open,
        plan=lambda: adapt.plan(session, model, settings.adapt, per_context),
        finish=finish,
        tables=("self_edits", "adapters", "answers", "verdicts"),
        models=model.location(),
    )


def _settings(session: Session, model: LocalModel, own: dict[str, Any]) -> Settings:
    """The four configurations; what [eval] has in common with the others stands in their place."""
    config = replace(session.resolve(EvalConfig, model), **own)
    # Seeds of its own: an evaluation must not meet the very samples that a round selected from.
    seed = derive_seed(config.seed, "eval")
    writing = session.resolve(GenerateConfig, model)
    adapting = session.resolve(AdaptConfig, model)
    return Settings(
        eval=config,
        generate=replace(writing, samples=config.samples, seed=seed, limit=0, offset=0),
        adapt=replace(adapting, repeats=config.repeats, seed=seed),
        score=session.resolve(ScoreConfig, model),
    )


def _material(
    session: Session, model: LocalModel, domain: Domain, settings: Settings
) -> dict[str, Any]:
    """What decides the metrics: everything that decides the rows they are made from."""
    return {
        "semantics": [stage.SEMANTICS],
        "config": settings.eval.key(),
        "generate": generate.material(session, model, domain, settings.generate),
        "adapt": adapt.material(session, model, domain, settings.adapt),
        "score": score.material(session, model, domain, settings.score),
    }
