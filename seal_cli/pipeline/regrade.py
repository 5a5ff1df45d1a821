"""regrade: the stored answers of rewards or metrics -> the same under another grader."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, StageSpec, Work
from seal_cli.pipeline.contexts import group, pick
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Takes
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages import regrade as stage
from stages.domains import DOMAINS
from stages.engines.settings import ServerConfig
from stages.errors import InputError
from stages.grading import ChosenGrader, resolved
from stages.grading.judge import JudgeConfig
from stages.records import Adapter, Answer, Metric, Question, Record, Reward, Verdict

TAKES = Takes(JudgeConfig, models=False, retries=True, shards=True)
_ROUNDS = 16  # verdicts per request under way that a batch has for a judge


@dataclass(frozen=True, kw_only=True)
class Regrade(StageSpec):
    """One run of `seal regrade`; what comes out is of the kind that goes in."""

    STAGE = "regrade"
    TABLES = ("verdicts",)

    SEMANTICS = stage.SEMANTICS

    given: str
    grader: ChosenGrader

    def inputs(self) -> tuple[str, ...]:
        return (self.given,)

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        """The contexts of rewards and answers."""
        source = store.artifact(self.given)
        rewards = source.rows(Reward) if source.kind == "rewards" else ()
        about = [row.context_id for row in rewards]
        about += [row.context_id for row in answers_of(store, source).rows(Answer)]
        return (tuple(dict.fromkeys(about)),)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """All at once, but for a judge so many contexts as keep its server busy for a while."""
        (items,) = self.phases(store)
        if not isinstance(self.grader.settings, ServerConfig):
            return Plan(batch=max(1, len(items)))
        n_asked = len(answers_of(store, store.artifact(self.given)).rows(Answer))
        together = self.grader.settings.concurrency * _ROUNDS
        return Plan(batch=max(1, int(together / max(1, n_asked / max(1, len(items))))))


@dataclass(frozen=True, kw_only=True)
class RegradeRewards(Regrade):
    """Rewards under another grader."""

    KIND = "rewards"

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> verdicts on what was said about them, and rewards."""
        source, grader = store.artifact(self.given), runtime.grader(self.grader)
        answers = answers_of(store, source)
        rewards = source.rows(Reward)
        given = _made_for(answers.rows(Answer), rewards)
        if not {row.self_edit_id for row in rewards} & {row.self_edit_id for row in given}:
            raise InputError(
                f"{answers.id} has no answer about a self-edit of {source.id}: its rewards are "
                "recorded numbers.",
                "Only what has answers can be judged again.",
            )
        trained = answers
        with suppress(InputError):  # an import may have none
            trained = store.upstream(answers, "adapters")
        stored, said, worn = group(rewards), group(given), group(_adapters(trained))
        questions = _questions(store, answers)
        # What the unadapted student said on a probe counts for every context.
        unadapted = [row for row in given if row.scope == "probe" and row.adapter_id is None]

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            beside = [row for row in unadapted if row.context_id not in batch.items]
            rows = stage.rewards(
                pick(stored, batch.items),
                answers=pick(said, batch.items) + beside,
                adapters=pick(worn, batch.items),
                questions=questions,
                grader=grader,
            )
            return [row for row in rows if row.context_id in batch.items]

        return work


@dataclass(frozen=True, kw_only=True)
class RegradeMetrics(Regrade):
    """Metrics under another grader."""

    KIND = "metrics"

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> verdicts on what was said about them; the metrics need those of all."""
        source, grader = store.artifact(self.given), runtime.grader(self.grader)
        answers = answers_of(store, source)
        said, questions = group(answers.rows(Answer)), _questions(store, answers)

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return list(stage.judged(pick(said, batch.items), questions, grader))

        return work

    def finish(self, store: Workspace, rows: Iterable[Record]) -> list[Record]:
        """The metrics that follow from the verdicts, by the rules of the evaluation."""
        source = store.artifact(self.given)
        answers = answers_of(store, source)
        found = stage.metrics(
            source.rows(Metric),
            answers=answers.rows(Answer),
            verdicts=[row for row in rows if isinstance(row, Verdict)],
            adapters=_adapters(answers),
            questions=group(store.upstream(answers, "questions").rows(Question)),
            grader=self.grader.name,
        )
        return list(found)


def regrade(resolve: Resolver, source: str, grader: str) -> Regrade:
    """The run that was asked for."""
    grader = resolved(grader)
    found = resolve.artifact(source, "rewards", "metrics")
    answers_of(resolve.store, found)  # raises where there are none
    chosen, _ = resolve.grader(grader, DOMAINS["knowledge"])
    if found.kind == "rewards":
        return RegradeRewards(given=found.id, grader=chosen)
    _require_evaluation(found)
    return RegradeMetrics(given=found.id, grader=chosen)


def answers_of(store: Workspace, source: Artifact) -> Artifact:
    """The artifact with the answers that these follow from. Raises InputError without any."""
    try:
        return store.upstream(source, "answers")
    except InputError as error:
        raise InputError(
            f"the answers behind {source.id} are not stored: {error.message}",
            "Only what has answers can be judged again; numbers that an import has recorded "
            "(basis 'recorded') stay as they are.",
        ) from error


def _made_for(answers: Sequence[Answer], rewards: Sequence[Reward]) -> list[Answer]:
    """Answers with the context that each was made for: an earlier version did not say a probe's."""
    known = {row.self_edit_id: row.context_id for row in rewards}
    first = next(iter(known.values()), "")
    return [
        replace(row, context_id=known.get(str(row.self_edit_id), first))
        if row.context_id == row.about_context_id
        else row
        for row in answers
    ]


def _require_evaluation(source: Artifact) -> None:
    metrics = source.rows(Metric)
    about = {(m.method, m.policy, m.round) for m in metrics}
    if (
        len({(m.dataset, m.regime) for m in metrics}) != 1
        or len({method for method, *_ in about}) < len(about)
        or metrics[0].regime not in ("single", "cpt")
    ):
        raise InputError(
            f"{source.id} is not one evaluation in the regime single or cpt.",
            "Only such evaluations can be judged again.",
        )


def _questions(store: Workspace, answers: Artifact) -> dict[str, Question]:
    """By id."""
    sources = [store.upstream(answers, "questions"), *map(store.artifact, answers.aside)]
    asked = (question for source in sources for question in source.rows(Question))
    return {question.question_id: question for question in asked}


def _adapters(artifact: Artifact) -> Sequence[Adapter]:
    return artifact.rows(Adapter) if "adapters" in artifact.tables else ()
