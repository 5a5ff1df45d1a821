"""`seal eval`: policy and contexts -> metrics, with everything they were computed from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from seal_cli.commands import adapt, generate, score
from seal_cli.inputs import ContextSet
from seal_cli.models import LocalModel, resolve_model
from seal_cli.options import ContextsArg, StudentOption
from seal_cli.runner import Job, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages import eval as stage
from stages import fewshot as tasks
from stages.config import AdaptConfig, EvalConfig, GenerateConfig, ScoreConfig
from stages.domains import Domain
from stages.errors import ConfigError
from stages.identity import derive_seed
from stages.records import Adapter, Answer, Metric, Record, SelfEdit, Verdict

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
    oracle: str | None = None  # its self-edit

    def keys(self) -> dict[str, dict[str, Any]]:
        """The four configurations, as far as they decide what comes out."""
        return {name: getattr(self, name).key() for name in ("eval", "generate", "adapt", "score")}


def evaluate(
    session: Session, policy: PolicyArg, contexts: ContextsArg, student: StudentOption = None
) -> None:
    """Measure how well a policy adapts itself, or a student, to contexts."""
    source = session.artifact(contexts, "contexts")
    model = resolve_model(session.workspace, policy)
    adapted = resolve_model(session.workspace, student) if student else model
    session.answer(session.run(task(session, source, model, adapted)))


def task(
    session: Session,
    source: Artifact,
    model: LocalModel,
    student: LocalModel | None = None,
    **own: Any,
) -> Task:
    """The run that `seal eval` and `seal loop` share; `own` are settings of the loop's own.

    `model` writes the self-edits; `student`, or else `model` itself, is adapted and examined.
    """
    student = student or model
    settings = _settings(session, source, model, student, own)
    context_set = ContextSet(source)
    fewshot = settings.eval.regime == "fewshot"

    def items() -> list[str]:
        context_set.require_questions()
        chosen = context_set.slice(settings.eval.limit, settings.eval.offset)
        return [i for i in chosen if context_set.questions[i]]

    def open(job: Job) -> Work:
        inner = adapt.inner_loop(session, student, context_set.domain, settings.adapt, job.slots)
        examiner = score.examiner(session, student, context_set.domain, settings.score)
        write = generate.writer(session, model, context_set.domain, settings.generate)
        evaluated = (
            partial(tasks.evaluate, oracle=settings.oracle)
            if fewshot
            else partial(stage.evaluate, adapt_to_passages=inner.passages)
        )
        return lambda ids: evaluated(
            [context_set.contexts[i] for i in ids],
            questions=context_set.questions,
            examiner=examiner,
            write=write,
            adapt=lambda edits: inner.self_edits(edits, context_set.contexts),
        )

    def finish(rows: Sequence[Record]) -> Sequence[Metric]:
        edits = [row for row in rows if isinstance(row, SelfEdit)]
        chosen = {edit.self_edit_id for edit in edits if edit.prompt_name == tasks.ORACLE}
        named: dict[str, Any] = {
            "regime": "fewshot",
            "methods": tasks.METHODS if settings.oracle else tasks.METHODS[:-1],
            "belongs_to": partial(tasks.of, oracles=chosen),
        }
        return list(
            stage.summarise(
                [row for row in rows if isinstance(row, Adapter | Answer | Verdict)],
                questions={i: context_set.questions[i] for i in items()},
                policy=model.policy,
                dataset=source.id,
                grader=settings.score.grader,
                floor=settings.score.reward_floor,
                config=settings.eval,
                **(named if fewshot else {}),
            )
        )

    # A context gets its passage's adapters, or the oracle's, and those of its self-edits.
    per_context = settings.eval.repeats * (1 + settings.eval.samples)
    return Task(
        stage="eval",
        kind="metrics",
        inputs=[source, *{a.id: a for a in model.inputs + student.inputs}.values()],
        material=_material(session, model, student, context_set.domain, settings),
        config=settings.keys(),
        items=items,
        open=open,
        plan=lambda: adapt.plan(session, student, settings.adapt, per_context),
        finish=finish,
        tables=("self_edits", "adapters", "answers", "verdicts"),
        models=model.location() | student.location(),
    )


def _settings(
    session: Session, source: Artifact, model: LocalModel, student: LocalModel, own: dict[str, Any]
) -> Settings:
    """The four configurations; what [eval] has in common with the others stands in their place."""
    config = replace(session.resolve(EvalConfig, model), **own)
    domain = ContextSet(source).domain
    if config.regime == "default":
        config = replace(config, regime=domain.REGIME)
    if config.regime != domain.REGIME:
        raise ConfigError(
            f"the regime {config.regime} is not for contexts of {domain.NAME}.",
            f"Leave it out, or give {domain.REGIME}.",
        )
    # Seeds of its own: an evaluation must not meet the very samples that a round selected from.
    seed = derive_seed(config.seed, "eval")
    writing = session.resolve(GenerateConfig, model)
    adapting = session.resolve(AdaptConfig, student)
    return Settings(
        eval=config,
        generate=replace(writing, samples=config.samples, seed=seed, limit=0, offset=0),
        adapt=replace(adapting, repeats=config.repeats, seed=seed),
        score=score.judging(session, student, source),
        oracle=_oracle(config),
    )


def _oracle(config: EvalConfig) -> str | None:
    """The self-edit in the file that --oracle names. Raises ConfigError."""
    if not config.oracle:
        return None
    if config.regime != "fewshot":
        raise ConfigError("--oracle goes with the regime fewshot.", "Leave it out.")
    try:
        return Path(config.oracle).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{config.oracle} is not a readable file: {error}.", "Give a file with one tool call."
        ) from error


def _material(
    session: Session, model: LocalModel, student: LocalModel, domain: Domain, settings: Settings
) -> dict[str, Any]:
    """What decides the metrics: everything that decides the rows they are made from."""
    return {
        "semantics": [stage.SEMANTICS, tasks.SEMANTICS],
        "config": settings.eval.key(),
        "oracle": settings.oracle,
        "generate": generate.material(session, model, domain, settings.generate),
        "adapt": adapt.material(session, student, domain, settings.adapt),
        "score": score.material(session, student, domain, settings.score),
    }
