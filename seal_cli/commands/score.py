"""`seal score`: adapters or self-edits -> answers, verdicts, rewards."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Annotated, Any

import typer

from seal_cli.commands import adapt
from seal_cli.engines import seat
from seal_cli.inputs import ContextSet, group, pick
from seal_cli.models import LocalModel, find_model, writer_of
from seal_cli.options import StudentOption
from seal_cli.runner import Job, Plan, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages import score as stage
from stages.config import AdaptConfig, ScoreConfig
from stages.domains import Domain
from stages.engines import SEMANTICS as ENGINE_SEMANTICS
from stages.errors import ConfigError
from stages.exam import Examiner
from stages.grading import GRADERS
from stages.lora import Lora
from stages.records import Adapter, Record, SelfEdit

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="ADAPTERS|SELF_EDITS", help="What to score: id, prefix, @latest:adapt, or -."
    ),
]
Adapters = Callable[[Sequence[SelfEdit]], Iterable[tuple[Adapter, Lora | None]]]


def score(session: Session, source: SourceArg, student: StudentOption = None) -> None:
    """Examine adapted students and reward the self-edits.

    Given self-edits, it adapts in memory with the settings of [adapt] and keeps no weights.
    """
    found = session.artifact(source, "adapters", "self_edits")
    if found.kind == "self_edits":
        model = writer_of(session.workspace, found, wanted=student)
        config, adapting = judging(session, model, found), session.resolve(AdaptConfig, model)
        session.answer(session.run(task_of_self_edits(session, found, model, config, adapting)))
    elif student is None:
        _refuse_training_flags(session)
        session.answer(session.run(task_of_adapters(session, found)))
    else:
        raise ConfigError("--student goes with self-edits.", "Adapters have theirs: leave it out.")


def _refuse_training_flags(session: Session) -> None:
    """Adapters are trained already: a flag that says how must not be passed over in silence."""
    known = {field.name for field in fields(AdaptConfig)}
    flags = session.flags.get(AdaptConfig, {})
    given = [name for name in known if flags.get(name) is not None]
    if given:
        raise ConfigError(
            f"--{given[0].replace('_', '-')} goes with self-edits; these adapters are trained.",
            "Leave it out, or score the self-edits themselves.",
        )


def task_of_adapters(session: Session, source: Artifact) -> Task:
    """Score the adapters that `seal adapt` kept; their rows stay where they are."""
    edits = session.workspace.upstream(source, "self_edits")
    student = source.manifest["key"]["student"]
    model = find_model(session.workspace, student, source.manifest["models"][student])

    def stored(_: Job) -> Adapters:
        from stages.lora.directory import load

        by_edit = _by_edit(source.rows(Adapter))

        def read(wanted: Sequence[SelfEdit]) -> Iterator[tuple[Adapter, Lora | None]]:
            for adapter in (a for edit in wanted for a in by_edit[edit.self_edit_id]):
                kept = adapter.weights
                yield adapter, load(source.weights(kept)) if kept else None

        return read

    config = judging(session, model, edits)

    def plan() -> Plan:
        """As many contexts as fill a decode batch with their adapters' questions."""
        questions = ContextSet(session.workspace.upstream(edits, "contexts")).questions
        rows = list(source.rows(Adapter))
        contexts = {adapter.context_id for adapter in rows}
        asked = sum(len(questions[adapter.context_id]) for adapter in rows)
        return Plan(batch=max(1, config.decode_batch * len(contexts) // max(1, asked)))

    return _task(session, source, edits, model, stored, config, plan)


def task_of_self_edits(
    session: Session,
    source: Artifact,
    model: LocalModel,
    config: ScoreConfig,
    adapting: AdaptConfig,
) -> Task:
    """Adapt in memory and score; the adapters' rows go into the rewards artifact."""
    context_set = ContextSet(session.workspace.upstream(source, "contexts"))

    def trained(job: Job) -> Adapters:
        inner = adapt.inner_loop(session, model, context_set.domain, adapting, job.slots)
        return lambda wanted: inner.self_edits(wanted, context_set.contexts)

    how = adapt.material(session, model, context_set.domain, adapting)
    per_context = adapt.per_context(source, adapting.repeats)
    return _task(
        session,
        source,
        source,
        model,
        trained,
        config,
        lambda: adapt.plan(session, model, adapting, per_context),
        how,
        adapting,
    )


def _task(
    session: Session,
    source: Artifact,
    self_edits: Artifact,
    model: LocalModel,
    adapters: Callable[[Job], Adapters],
    config: ScoreConfig,
    plan: Callable[[], Plan],
    how_adapted: dict[str, object] | None = None,
    adapting: AdaptConfig | None = None,
) -> Task:
    context_set = ContextSet(session.workspace.upstream(self_edits, "contexts"))

    def open(job: Job) -> Work:
        context_set.require_questions()
        edits = group(self_edits.rows(SelfEdit))
        questioner = examiner(session, model, context_set.domain, config)
        adapted = adapters(job)

        def work(ids: Sequence[str]) -> Iterator[Record]:
            wanted = pick(edits, ids)
            rows = stage.score(
                wanted,
                adapted(wanted),
                contexts=context_set.contexts,
                questions=context_set.questions,
                examiner=questioner,
            )
            return (row for row in rows if how_adapted is not None or not isinstance(row, Adapter))

        return work

    settings: dict[str, Any] = {"score": config.key()}
    return Task(
        stage="score",
        kind="rewards",
        inputs=[source, *model.inputs],
        material=material(session, model, context_set.domain, config) | {"adapt": how_adapted},
        config=settings | ({"adapt": adapting.key()} if adapting else {}),
        items=lambda: [edit.context_id for edit in self_edits.rows(SelfEdit)],
        open=open,
        plan=plan,
        tables=("answers", "verdicts"),
        models=model.location(),
    )


def _by_edit(adapters: Iterable[Adapter]) -> dict[str, list[Adapter]]:
    by_edit: dict[str, list[Adapter]] = {}
    for adapter in adapters:
        by_edit.setdefault(str(adapter.self_edit_id), []).append(adapter)
    return by_edit


def judging(session: Session, model: LocalModel, source: Artifact) -> ScoreConfig:
    """How answers about the contexts behind `source` are judged."""
    config = session.resolve(ScoreConfig, model)
    if config.grader != "default":
        return config
    domain = ContextSet(session.workspace.upstream(source, "contexts")).domain
    return replace(config, grader=domain.GRADER)


def material(
    session: Session, model: LocalModel, domain: Domain, config: ScoreConfig
) -> dict[str, object]:
    """What decides how a student is examined."""
    grader = GRADERS[config.grader]
    return {
        "semantics": [
            stage.SEMANTICS,
            domain.SEMANTICS,
            ENGINE_SEMANTICS["transformers"],
            grader.semantics,
        ],
        "student": model.id,
        "dtype": model.dtype(session.dtype),
        "config": config.key() | {"chat": session.chat(config.chat, model)},
    }


def examiner(session: Session, model: LocalModel, domain: Domain, config: ScoreConfig) -> Examiner:
    """Load the student and seat its examiner."""
    seated = seat(
        session, model, "transformers", chat=config.chat, decode_batch=config.decode_batch
    )
    return Examiner(
        student=model.id,
        engine=seated.engine,
        domain=domain,
        grader=GRADERS[config.grader],
        render=seated.render,
        config=config,
    )
