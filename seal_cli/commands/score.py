"""`seal score`: adapters or self-edits -> answers, verdicts, rewards."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from seal_cli import engines, rewarding
from seal_cli.commands import adapt
from seal_cli.endpoints import (
    grader_location,
    grader_material,
    grader_of,
    grader_semantics,
    graders_beside,
)
from seal_cli.inputs import ContextSet, group, pick
from seal_cli.models import LocalModel, find_model, resolve_model, writer_of
from seal_cli.options import StudentOption
from seal_cli.probe import Probing
from seal_cli.runner import Job, Plan, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from seal_cli.trained import as_trained, refuse_training_flags
from stages import score as stage
from stages.config import AdaptConfig, RewardConfig, ScoreConfig
from stages.domains import Domain
from stages.engines import SEMANTICS as ENGINE_SEMANTICS
from stages.errors import ConfigError, InputError
from stages.exam import Examiner
from stages.lora import Lora
from stages.racing import race
from stages.records import Adapter, Record, SelfEdit

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="ADAPTERS|SELF_EDITS", help="What to score: id, prefix, @latest:adapt, or -."
    ),
]
QuestionsOption = Annotated[
    str | None,
    typer.Option(
        "--questions",
        help="Ask the questions of this contexts artifact (of `seal quiz`, say) instead.",
    ),
]
ProxyOption = Annotated[
    str | None,
    typer.Option("--proxy-model", help="Who judges the texts, with --reward proxy."),
]
ProbeOption = Annotated[
    str | None,
    typer.Option(
        "--probe",
        metavar="CONTEXTS",
        help="Contexts to ask every adapted model about, too: what it forgot. As many as "
        "probe_limit of [score] says.",
    ),
]
Score = Callable[..., Iterator[Record]]  # self-edits -> rows, given contexts, questions, examiner


def score(
    session: Session,
    source: SourceArg,
    student: StudentOption = None,
    questions: QuestionsOption = None,
    probe: ProbeOption = None,
    proxy_model: ProxyOption = None,
) -> None:
    """Examine adapted students and reward the self-edits.

    Given self-edits, it adapts in memory with the settings of [adapt] and keeps no weights.
    """
    found = session.artifact(source, "adapters", "self_edits")
    asked = session.artifact(questions, "contexts") if questions else None
    other = session.artifact(probe, "contexts") if probe else None
    wanted = rewarding.rewarding(
        session,
        found.kind,
        student=student,
        questions=asked,
        probe=other,
        proxy_model=proxy_model,
    )
    if proxy_model is not None:
        judge = resolve_model(session.workspace, proxy_model)
        session.answer(session.run(rewarding.proxy_task(session, found, judge, wanted)))
    elif found.kind == "self_edits":
        model = writer_of(session.workspace, found, wanted=student)
        config, adapting = judging(session, model, found), session.resolve(AdaptConfig, model)
        task = task_of_self_edits(session, found, model, config, adapting, wanted, asked, other)
        session.answer(session.run(task))
    elif student is None:
        refuse_training_flags(session)
        session.answer(session.run(task_of_adapters(session, found, wanted, asked, other)))
    else:
        raise ConfigError("--student goes with self-edits.", "Adapters have theirs: leave it out.")


def task_of_adapters(
    session: Session,
    source: Artifact,
    wanted: RewardConfig,
    questions: Artifact | None = None,
    probe: Artifact | None = None,
) -> Task:
    """Score the adapters that `seal adapt` kept; their rows stay where they are."""
    session = as_trained(session, source)
    edits = session.workspace.upstream(source, "self_edits")
    student = source.manifest["key"]["student"]
    model = find_model(session.workspace, student, source.manifest["models"][student])
    asked = _asked(session, edits, questions)

    def stored(_: Job) -> Score:
        from stages.lora.directory import load

        by_edit = _by_edit(source.rows(Adapter))

        def read(wanted: Sequence[SelfEdit]) -> Iterator[tuple[Adapter, Lora | None]]:
            for adapter in (a for edit in wanted for a in by_edit[edit.self_edit_id]):
                kept = adapter.weights
                yield adapter, load(source.weights(kept)) if kept else None

        def score(edits: Sequence[SelfEdit], **how: Any) -> Iterator[Record]:
            rows = stage.score(edits, read(edits), rule=wanted.reward, **how)
            return (row for row in rows if not isinstance(row, Adapter))

        return score

    config = judging(session, model, edits)

    def plan() -> Plan:
        """As many contexts as fill a decode batch with their adapters' questions."""
        rows = list(source.rows(Adapter))
        contexts = {adapter.context_id for adapter in rows}
        n_asked = sum(len(asked.questions[adapter.context_id]) for adapter in rows)
        at_once = engines.together(config.engine, config.decode_batch)
        return Plan(batch=max(1, at_once * len(contexts) // max(1, n_asked)))

    how = {"score": config, "reward": wanted}
    rank = source.manifest["config"]["adapt"]["rank"]
    return _task(session, [source], edits, asked, model, stored, how, plan, rank, probe)


def task_of_self_edits(
    session: Session,
    source: Artifact,
    model: LocalModel,
    config: ScoreConfig,
    adapting: AdaptConfig,
    wanted: RewardConfig,
    questions: Artifact | None = None,
    probe: Artifact | None = None,
) -> Task:
    """Adapt in memory and score; the adapters' rows go into the rewards artifact."""
    asked = _asked(session, source, questions)
    domain = session.domain(asked, model)
    racing = wanted.racing != "off"
    if racing:
        refuse_race_of_one(adapting)

    def trained(job: Job) -> Score:
        inner = adapt.inner_loop(session, model, domain, adapting, job.slots)

        def score(edits: Sequence[SelfEdit], **how: Any) -> Iterator[Record]:
            if not racing:
                adapters = inner.self_edits(edits, asked.contexts)
                return stage.score(edits, adapters, rule=wanted.reward, **how)
            return race(
                edits,
                lambda left, repeat: inner.self_edits(left, asked.contexts, [repeat]),
                repeats=adapting.repeats,
                config=wanted,
                **how,
            )

        return score

    per_context = adapt.per_context(source, 1 if racing else adapting.repeats)
    return _task(
        session,
        [source],
        source,
        asked,
        model,
        trained,
        {"score": config, "reward": wanted, "adapt": adapting},
        lambda: adapt.plan(session, model, adapting, per_context),
        adapting.rank,
        probe,
    )


def refuse_race_of_one(adapting: AdaptConfig) -> None:
    """Raise ConfigError where every self-edit has one run, so that racing could save none."""
    if adapting.repeats < 2:
        raise ConfigError(
            "--racing gives out repeats, and there is one run for each self-edit.",
            "Give --repeats 2 or more, or leave --racing out.",
        )


def _asked(session: Session, self_edits: Artifact, questions: Artifact | None) -> ContextSet:
    """The contexts of self-edits with their own questions, or with those of another artifact.

    Raises:
        InputError: the other one lacks some of the contexts.

    """
    if questions is None:
        return ContextSet(session.workspace.upstream(self_edits, "contexts"))
    found = ContextSet(questions)
    about = {edit.context_id for edit in self_edits.rows(SelfEdit)}
    missing = about - found.contexts.keys()
    if missing:
        raise InputError(
            f"{len(missing)} of {len(about)} contexts of {self_edits.id} are not in "
            f"{questions.id}.",
            "Give questions about the same contexts: `seal quiz` keeps them all.",
        )
    return found


def _task(
    session: Session,
    inputs: Sequence[Artifact],
    self_edits: Artifact,
    asked: ContextSet,
    model: LocalModel,
    scoring: Callable[[Job], Score],
    how: Mapping[str, Any],
    plan: Callable[[], Plan],
    rank: int,
    probe: Artifact | None,
) -> Task:
    """One run; `how` are the configurations, of `adapt` where it adapts."""
    config: ScoreConfig = how["score"]
    own = session.workspace.upstream(self_edits, "contexts")
    probing = Probing(probe, config.probe_limit) if probe else None
    domain = session.domain(asked, model)

    def open(job: Job) -> Work:
        asked.require_questions()
        edits = group(self_edits.rows(SelfEdit))
        questioner = examiner(session, model, domain, config, rank)
        score = scoring(job)

        def work(ids: Sequence[str]) -> Iterator[Record]:
            if probing:
                yield from probing.unadapted(questioner, first=next(iter(edits)) in ids)
            yield from score(
                pick(edits, ids),
                contexts=asked.contexts,
                questions=asked.questions,
                examiner=questioner,
                probe=probing.probe if probing else None,
            )

        return work

    adapting = how.get("adapt")
    adapted = adapt.material(session, model, domain, adapting) if adapting else None
    # Other questions before the model: what is upstream of the rewards is looked for in this order.
    others = [] if asked.artifact.id == own.id else [asked.artifact]
    # A student that wrote nothing is in no other artifact's `policies`: reports could not name it.
    foreign = model.artifact is None and model.id != self_edits.manifest["key"].get("policy")
    task = Task(
        stage="score",
        kind="rewards",
        inputs=[*inputs, *others, *model.inputs],
        material=material(session, model, domain, config)
        | {"adapt": adapted, **rewarding.key(how["reward"])},
        config={name: settings.key() for name, settings in how.items()}
        | domain.material("train" if adapting else "ask"),
        items=lambda: [edit.context_id for edit in self_edits.rows(SelfEdit)],
        open=open,
        plan=plan,
        tables=("answers", "verdicts"),
        finish=lambda _: [model.policy] if foreign else [],
        models=model.location() | grader_location(session, config.grader),
    )
    return probing.beside(task, self_edits, asked) if probing else task


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
    return {
        "semantics": [
            stage.SEMANTICS,
            domain.SEMANTICS,
            ENGINE_SEMANTICS[config.engine],
            grader_semantics(config.grader),
        ],
        "student": model.id,
        "dtype": model.dtype(session.dtype),
        "config": config.key() | {"chat": session.chat(config.chat, model)},
        **domain.material("ask"),
        **engines.material(session, model, config.engine),
        **grader_material(session, config.grader, *graders_beside(config.grader, domain)),
    }


def examiner(
    session: Session, model: LocalModel, domain: Domain, config: ScoreConfig, rank: int
) -> Examiner:
    """Load the student and seat its examiner; `rank` is that of its adapters."""
    seated = engines.seat(
        session,
        model,
        config.engine,
        chat=config.chat,
        decode_batch=config.decode_batch,
        rank=rank,
    )
    return Examiner(
        student=model.id,
        engine=seated.engine,
        domain=domain,
        grader=grader_of(session, config.grader),
        beside=graders_beside(config.grader, domain),
        render=seated.render,
        config=config,
    )
