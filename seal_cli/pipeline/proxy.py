"""score with the proxy reward: a model judges the texts of self-edits; nothing is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, StageSpec, Work
from seal_cli.pipeline.adapt import contexts_of
from seal_cli.pipeline.contexts import ContextSet, group, pick
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.resolve import Resolver
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.config import RewardConfig, ScoreConfig
from stages.domains import ChosenDomain
from stages.engines import ChosenEngine
from stages.errors import ConfigError
from stages.records import Record, SelfEdit
from stages.rewards import proxy as stage


@dataclass(frozen=True, kw_only=True)
class Proxy(StageSpec):
    """One run of `seal score --reward proxy`."""

    STAGE = "score"
    KIND = "rewards"
    TABLES = ("ratings",)

    SEMANTICS = stage.SEMANTICS

    self_edits: str
    domain: ChosenDomain
    judge: ModelRef
    engine: ChosenEngine
    rubric: str
    max_tokens: int
    floor: float  # reward of an invalid self-edit
    decode_batch: int = field(compare=False)

    def inputs(self) -> tuple[str, ...]:
        return self.self_edits, *self.judge.inputs

    def about(self) -> dict[str, str]:
        return {"domain": self.domain.name}

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        return (contexts_of(store.artifact(self.self_edits)),)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """So many contexts that a decode batch is full."""
        edits = store.artifact(self.self_edits)
        n_edits, n_contexts = len(edits.rows(SelfEdit)), len(contexts_of(edits))
        return Plan(batch=max(1, self.decode_batch * n_contexts // max(1, n_edits)))

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> ratings and rewards of their self-edits."""
        source = store.artifact(self.self_edits)
        contexts = ContextSet(store.upstream(source, "contexts")).contexts
        edits = group(source.rows(SelfEdit))
        engine = runtime.engine(self.engine, self.judge, batch=self.decode_batch)

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return list(
                stage.proxy(
                    pick(edits, batch.items),
                    contexts=contexts,
                    judge=stage.Judge(self.judge.id, engine),
                    rubric=self.rubric,
                    floor=self.floor,
                    max_tokens=self.max_tokens,
                )
            )

        return work


def proxy(resolve: Resolver, source: Artifact, judge: LocalModel, reward: RewardConfig) -> Proxy:
    """The run that was asked for. Raises ConfigError for self-edits about tasks."""
    about = ContextSet(resolve.store.upstream(source, "contexts"))
    if not about.domain.PASSAGES:
        raise ConfigError(
            f"the rubric is about notes on passages; {source.id} is about tasks.",
            "Choose another --reward.",
        )
    config = resolve.config(ScoreConfig, judge)
    return Proxy(
        self_edits=source.id,
        domain=resolve.domain(about, judge),
        judge=resolve.reference(judge, config.chat),
        engine=resolve.engine(reward.proxy_engine, judge),
        rubric=stage.RUBRIC.read_text(encoding="utf-8"),
        floor=config.reward_floor,
        decode_batch=config.decode_batch,
        max_tokens=reward.proxy_tokens,
    )
