"""score: adapters or self-edits -> answers, verdicts, rewards."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, StageSpec, Work
from seal_cli.pipeline import rewarding
from seal_cli.pipeline.adapt import Adapting, adapting, contexts_of, work_of
from seal_cli.pipeline.contexts import ContextSet, group, pick
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.probe import ChosenProbe
from seal_cli.pipeline.proxy import Proxy, proxy
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Takes
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages import score as stage
from stages.config import AdaptConfig, RewardConfig, ScoreConfig
from stages.domains import SETTINGS, ChosenDomain, Domain
from stages.domains.arc.settings import ArcConfig
from stages.engines import ChosenEngine
from stages.errors import ConfigError, InputError
from stages.exam import Examiner, rows_of
from stages.fields import Config
from stages.grading import ChosenGrader
from stages.grading.judge import JudgeConfig
from stages.records import Adapter, Record, SelfEdit
from stages.rewards import ChosenReward, reward_of
from stages.rewards.racing import Race, race
from stages.training import Lora

C = TypeVar("C", bound=Config)
TAKES = Takes(ScoreConfig, RewardConfig, AdaptConfig, ArcConfig, JudgeConfig, shards=True)
Adapters = Iterator[tuple[Adapter, Lora | None]]


@dataclass(frozen=True, kw_only=True)
class Examining:
    """A model that is asked questions, adapted or not, and the graders of its answers."""

    SEMANTICS = stage.SEMANTICS

    model: ModelRef
    engine: ChosenEngine
    grader: ChosenGrader
    beside: tuple[ChosenGrader, ...]  # whose verdicts are stored, too, and count for nothing
    config: ScoreConfig

    def open(self, runtime: Runtime, domain: Domain, rank: int) -> Examiner:
        """The examiner; `rank` is that of the adapters that the engine will apply."""
        batch = self.config.decode_batch
        return Examiner(
            student=self.model.id,
            engine=runtime.engine(self.engine, self.model, batch=batch, rank=rank),
            domain=domain,
            grader=runtime.grader(self.grader),
            beside=[runtime.grader(chosen) for chosen in self.beside],
            config=self.config,
        )

    @property
    def at_once(self) -> int:
        """Questions that are asked together."""
        return max(self.engine.entry.at_once, self.config.decode_batch)


@dataclass(frozen=True, kw_only=True)
class Score(StageSpec):
    """One run of `seal score`: by stored `adapters`, else by those trained as `adapting` says."""

    STAGE = "score"
    KIND = "rewards"
    TABLES = ("answers", "verdicts")

    self_edits: str
    adapters: str | None
    contexts: str
    questions: str | None  # another contexts artifact, whose questions are asked
    domain: ChosenDomain
    examining: Examining
    adapting: Adapting | None
    rank: int = field(compare=False)  # of the adapters
    rule: ChosenReward
    racing: Race | None
    probe: ChosenProbe | None

    def inputs(self) -> tuple[str, ...]:
        """In the order in which what is upstream of the rewards is looked for."""
        others = (self.questions,) if self.questions else ()
        return self.adapters or self.self_edits, *others, *self.examining.model.inputs

    def side_inputs(self) -> tuple[str, ...]:
        return (self.probe.contexts,) if self.probe else ()

    def about(self) -> dict[str, str]:
        return {"domain": self.domain.name, "student": self.examining.model.id}

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        return (contexts_of(store.artifact(self.self_edits)),)

    def check(self, store: Workspace) -> None:
        """Raise when the probe has contexts that are learned about."""
        if self.probe is not None:
            learned = contexts_of(store.artifact(self.self_edits))
            self.probe.check(store, self._asked(store), learned)
            self.probe.warn(store)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """So many contexts that the slots are busy, or that a decode batch is full."""
        if self.adapting is not None:
            repeats = 1 if self.racing else self.adapting.config.repeats
            edits = store.artifact(self.self_edits)
            return self.adapting.plan(runtime, *work_of(edits, repeats))
        asked = self._asked(store).questions
        rows = store.artifact(str(self.adapters)).rows(Adapter)
        about = [str(adapter.context_id) for adapter in rows]
        n_contexts, n_asked = len(set(about)), sum(len(asked[i]) for i in about)
        return Plan(batch=max(1, self.examining.at_once * n_contexts // max(1, n_asked)))

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> answers, verdicts and rewards of their self-edits."""
        domain, asked = self.domain.domain, self._asked(store)
        asked.require_questions()
        edits = group(store.artifact(self.self_edits).rows(SelfEdit))
        first = next(iter(edits), "")
        examiner = self.examining.open(runtime, domain, self.rank)
        probe = self.probe.open(store, examiner, first=first) if self.probe else None
        if probe is not None:
            probe.baseline()  # raises before anything is trained
        contexts, questions = asked.contexts, asked.questions
        scoring = stage.Scoring(contexts, questions, examiner, self.rule.name, probe)
        score = self._scorer(runtime, store, job, scoring)

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            before = rows_of(probe.unadapted) if probe and first in batch.items else []
            return [*before, *score(pick(edits, batch.items))]

        return work

    def _scorer(
        self, runtime: Runtime, store: Workspace, job: Job, scoring: stage.Scoring
    ) -> Callable[[Sequence[SelfEdit]], Sequence[Record]]:
        """Self-edits -> rows: by stored adapters, by adapters trained for it, or by a race."""
        if self.adapting is None:
            read = _stored(store.artifact(str(self.adapters)))
            return lambda edits: [
                row
                for row in scoring.score(edits, read(edits))
                if not isinstance(row, Adapter)  # their rows stay where they are
            ]
        inner, racing = self.adapting.open(runtime, self.domain.domain, job.plan.slots), self.racing
        if racing is None:
            return lambda edits: scoring.score(edits, inner.adapt(edits, scoring.contexts))
        return lambda edits: race(
            edits,
            lambda left, repeat: inner.adapt(left, scoring.contexts, [repeat]),
            scoring,
            repeats=inner.config.repeats,
            racing=racing,
        )

    def _asked(self, store: Workspace) -> ContextSet:
        return ContextSet(store.artifact(self.questions or self.contexts))

    def finish(self, store: Workspace, rows: Iterable[Record]) -> list[Record]:
        """The row of a student that is in no other artifact's `policies`: reports name it."""
        model = self.examining.model
        writers = store.artifact(self.self_edits).manifest["about"].get("writer")
        return [] if model.artifact or model.id == writers else [model.policy]


def _stored(adapters: Artifact) -> Callable[[Sequence[SelfEdit]], Adapters]:
    """Self-edits -> their stored adapters with the weights."""
    from stages.training.directory import load

    by_edit: dict[str, list[Adapter]] = {}
    for adapter in adapters.rows(Adapter):
        by_edit.setdefault(str(adapter.self_edit_id), []).append(adapter)

    def read(wanted: Sequence[SelfEdit]) -> Adapters:
        for adapter in (a for edit in wanted for a in by_edit[edit.self_edit_id]):
            yield adapter, load(adapters.weights(adapter.weights)) if adapter.weights else None

    return read


def examining(
    resolve: Resolver, model: LocalModel, domain: Domain, config: ScoreConfig
) -> Examining:
    """How a model of this machine is examined."""
    grader, beside = resolve.grader(config.grader, domain)
    return Examining(
        model=resolve.reference(model, config.chat),
        engine=resolve.engine(config.engine, model),
        grader=grader,
        beside=beside,
        config=replace(config, grader=grader.name),
    )


def score(
    resolve: Resolver,
    source: str,
    *,
    student: str | None = None,
    questions: str | None = None,
    probe: str | None = None,
    proxy_model: str | None = None,
) -> Score | Proxy:
    """The run that was asked for: of adapters, or of self-edits."""
    found = resolve.artifact(source, "adapters", "self_edits")
    asked = resolve.artifact(questions, "contexts") if questions else None
    other = resolve.artifact(probe, "contexts") if probe else None
    asks = any(given is not None for given in (student, asked, other))
    reward = rewarding.rewarding(resolve, found.kind, proxy=proxy_model is not None, asks=asks)
    if proxy_model is not None:
        _refuse_training_flags(resolve, "the proxy reward trains nothing")
        return proxy(resolve, found, resolve.model(proxy_model), reward)
    if found.kind == "self_edits":
        model = resolve.writer_of(found, student)
        config = resolve.config(AdaptConfig, model)
        return score_self_edits(resolve, found, model, config, reward, questions=asked, probe=other)
    if student is not None:
        raise ConfigError("--student goes with self-edits.", "Adapters have theirs: leave it out.")
    return _score_adapters(resolve, found, reward, asked, other)


def score_self_edits(
    resolve: Resolver,
    edits: Artifact,
    model: LocalModel,
    config: AdaptConfig,
    reward: RewardConfig,
    *,
    questions: Artifact | None = None,
    probe: Artifact | None = None,
) -> Score:
    """The run that adapts in memory and scores; its adapters' rows go into the rewards artifact."""
    rewarding.refuse_race_of_one(reward, config)
    return Score(
        adapters=None,
        adapting=adapting(resolve, model, config),
        rank=config.rank,
        **_about(resolve, edits, model, reward, questions, probe),
    )


def _score_adapters(
    resolve: Resolver,
    adapters: Artifact,
    reward: RewardConfig,
    questions: Artifact | None,
    probe: Artifact | None,
) -> Score:
    """The run that scores the adapters that `seal adapt` kept."""
    _refuse_training_flags(resolve, "these adapters are trained")
    edits = resolve.store.upstream(adapters, "self_edits")
    model = resolve.known(adapters, adapters.about("student"))
    return Score(
        adapters=adapters.id,
        adapting=None,
        rank=_trained(adapters, AdaptConfig).rank,
        # They are asked as they learned: with the settings of the domain that they were trained on.
        **_about(resolve, edits, model, reward, questions, probe, as_trained(adapters)),
    )


def _about(
    resolve: Resolver,
    edits: Artifact,
    model: LocalModel,
    reward: RewardConfig,
    questions: Artifact | None,
    probe: Artifact | None,
    trained_on: ChosenDomain | None = None,
) -> dict[str, Any]:
    """What every scoring run is about: self-edits, questions, a student, perhaps a probe."""
    contexts = resolve.store.upstream(edits, "contexts")
    other = questions if questions and questions.id != contexts.id else None
    if other is not None:
        _check_questions(edits, other)
    about = ContextSet(other or contexts)
    config = resolve.config(ScoreConfig, model)
    return {
        "self_edits": edits.id,
        "contexts": contexts.id,
        "questions": other.id if other else None,
        "domain": trained_on or resolve.domain(about, model),
        "examining": examining(resolve, model, about.domain, config),
        "rule": reward_of(reward.reward, about.domain.REGIME),
        "racing": rewarding.race_of(reward),
        "probe": ChosenProbe(probe.id, config.probe_limit) if probe else None,
    }


def _check_questions(edits: Artifact, questions: Artifact) -> None:
    """Raise InputError when there are no questions about some of the contexts."""
    about = set(contexts_of(edits))
    missing = about - ContextSet(questions).contexts.keys()
    if missing:
        raise InputError(
            f"{len(missing)} of {len(about)} contexts of {edits.id} are not in {questions.id}.",
            "Give questions about the same contexts: `seal quiz` keeps them all.",
        )


def _refuse_training_flags(resolve: Resolver, why: str) -> None:
    """Nothing is trained: a flag that says how must not be passed over in silence."""
    training: list[type[Config]] = [AdaptConfig, *(cls for cls, _ in SETTINGS.values())]
    examining = {field.name for field in fields(ScoreConfig)}
    for given in (name for cls in training for name in resolve.flags.get(cls, {})):
        if given not in examining:
            raise ConfigError(
                f"--{given.replace('_', '-')} goes with self-edits that are trained; {why}.",
                "Leave it out, or score the self-edits themselves.",
            )


def as_trained(adapters: Artifact) -> ChosenDomain:
    """The domain of adapters, with the settings that they were trained with."""
    cls, _ = SETTINGS.get(name := adapters.about("domain"), (None, None))
    return ChosenDomain(name, _trained(adapters, cls) if cls else None)


def _trained(adapters: Artifact, cls: type[C]) -> C:
    """A configuration that adapters were trained with. Raises InputError."""
    try:
        return cls(**adapters.manifest["config"][cls.SECTION])
    except (KeyError, TypeError, ConfigError) as error:
        raise InputError(
            f"the manifest of {adapters.id} does not say how they were trained.",
            "Train them again with `seal adapt`.",
        ) from error
