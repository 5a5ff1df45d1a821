"""regrade: the stored answers of rewards or metrics -> the same under another grader."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, StageSpec, Work
from seal_cli.pipeline.contexts import Stored, group
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Takes
from seal_cli.store.artifact import Artifact
from seal_cli.store.schema import as_now, from_table
from seal_cli.store.workspace import Workspace
from stages import regrade as stage
from stages.domains import DOMAINS
from stages.engines.settings import ServerConfig
from stages.errors import InputError
from stages.grading import ChosenGrader, resolved
from stages.grading.judge import JudgeConfig
from stages.records import Adapter, Answer, Metric, Question, Record, Reward, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

TAKES = Takes(JudgeConfig, models=False, retries=True, shards=True)
_ROUNDS = 16  # verdicts per request under way that a batch has for a judge
_AT_ONCE = 20_000  # answers of a batch for graders that compute: seconds, and 20 MB of records


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
        tables = [(source, "rewards")] if source.kind == "rewards" else []
        tables += [(answers_of(store, source), "answers")]
        pieces = (piece for one, table in tables for piece in one.pieces(table, ["context_id"]))
        about = (name for piece in pieces for name in piece.column("context_id").to_pylist())
        return (tuple(dict.fromkeys(about)),)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """So many contexts as are graded in seconds, or keep a judge's server busy for a while."""
        (items,) = self.phases(store)
        answers = answers_of(store, store.artifact(self.given))
        n_asked = answers.manifest["tables"]["answers"]["rows"]
        settings, together = self.grader.settings, _AT_ONCE
        if isinstance(settings, ServerConfig):
            together = settings.concurrency * _ROUNDS
        return Plan(batch=max(1, int(together / max(1, n_asked / max(1, len(items))))))


@dataclass(frozen=True, kw_only=True)
class RegradeRewards(Regrade):
    """Rewards under another grader."""

    KIND = "rewards"

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> verdicts on what was said about them, and rewards."""
        import pyarrow.compute as pc

        source, grader = store.artifact(self.given), runtime.grader(self.grader)
        answers = answers_of(store, source)
        rewards = source.arrow("rewards")
        given = _made_for(as_now("answers", answers.arrow("answers")), rewards)
        edits = given.column("self_edit_id")
        if not pc.any(pc.is_in(edits, value_set=rewards.column("self_edit_id"))).as_py():
            raise InputError(
                f"{answers.id} has no answer about a self-edit of {source.id}: its rewards are "
                "recorded numbers.",
                "Only what has answers can be judged again.",
            )
        trained = answers
        with suppress(InputError):  # an import may have none
            trained = store.upstream(answers, "adapters")
        stored, said = Stored(Reward, rewards), Stored(Answer, given)
        worn = Stored.of(trained, Adapter) if "adapters" in trained.tables else None
        questions = _questions(store, answers)
        # What the unadapted student said on a probe counts for every context.
        alone = pc.is_null(given.column("adapter_id"))
        probed = pc.equal(given.column("scope"), "probe")
        unadapted = from_table(Answer, given.filter(pc.and_(alone, probed)))

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            beside = [row for row in unadapted if row.context_id not in batch.items]
            rows = stage.rewards(
                stored.pick(batch.items),
                answers=said.pick(batch.items) + beside,
                adapters=worn.pick(batch.items) if worn else (),
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
        said, questions = Stored.of(answers, Answer), _questions(store, answers)

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return list(stage.judged(said.pick(batch.items), questions, grader))

        return work

    def finish(self, store: Workspace, rows: Iterable[Record]) -> list[Record]:
        """The metrics that follow from the verdicts, by the rules of the evaluation."""
        source = store.artifact(self.given)
        answers = answers_of(store, source)
        found = stage.metrics(
            source.rows(Metric),
            answers=partial(answers.stream, Answer),
            verdicts=(row for row in rows if isinstance(row, Verdict)),
            adapters=answers.rows(Adapter) if "adapters" in answers.tables else (),
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


def _made_for(answers: "pa.Table", rewards: "pa.Table") -> "pa.Table":
    """Answers with the context that each was made for: an earlier version did not say a probe's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    contexts = answers.column("context_id")
    unsaid = pc.fill_null(pc.equal(contexts, answers.column("about_context_id")), False)
    if not pc.any(unsaid).as_py():
        return answers
    edits, about = (rewards.column(name).to_pylist() for name in ("self_edit_id", "context_id"))
    known, first = dict(zip(edits, about, strict=True)), next(iter(about), "")
    asked = answers.column("self_edit_id").to_pylist()
    said = pa.array([known.get(edit, first) for edit in asked], pa.string())
    place = answers.column_names.index("context_id")
    return answers.set_column(place, "context_id", pc.if_else(unsaid, said, contexts))


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
