"""score with the proxy reward: a model judges the texts of self-edits; nothing is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, StageSpec, Work
from seal_cli.inputs import ContextSet, group, pick
from seal_cli.models import LocalModel
from seal_cli.pipeline.adapt import contexts_of
from seal_cli.pipeline.resolve import Resolver
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages import proxy as stage
from stages.config import RewardConfig, ScoreConfig
from stages.domains import DOMAINS
from stages.engines import ENGINES
from stages.errors import ConfigError
from stages.identity import digest
from stages.records import Record, SelfEdit
from stages.rewards import PROXY
from stages.tables import Chosen


@dataclass(frozen=True, kw_only=True)
class Proxy(StageSpec):
    """One run of `seal score --reward proxy`."""

    STAGE = "score"
    KIND = "rewards"
    TABLES = ("ratings",)

    self_edits: str
    domain: str
    judge: ModelRef
    engine: Chosen
    rubric: str
    floor: float  # reward of an invalid self-edit
    decode_batch: int
    reward: RewardConfig

    def key(self) -> dict[str, Any]:
        """What decides the rows."""
        engine = ENGINES[self.engine.name]
        own = {self.engine.name: self.engine.settings.key()} if self.engine.settings else {}
        return {
            "semantics": [stage.SEMANTICS, DOMAINS[self.domain].SEMANTICS, engine.semantics],
            "judge": self.judge.id,
            "dtype": self.judge.dtype,
            "reward": {
                "rule": PROXY,
                "rubric": digest(self.rubric),
                "tokens": self.reward.proxy_tokens,
                "engine": self.engine.name,
                "chat": self.judge.chat,
                "floor": self.floor,
                **own,
            },
        }

    def config(self) -> dict[str, Any]:
        """The settings."""
        return {"reward": self.reward.key()}

    def inputs(self) -> tuple[str, ...]:
        """The self-edits, and the judge that we made."""
        return self.self_edits, *self.judge.inputs

    def models(self) -> dict[str, dict[str, str]]:
        """The judge."""
        return self.judge.location

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        """The contexts that there are self-edits of."""
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
                    config=self.reward,
                )
            )

        return work


def proxy(resolve: Resolver, source: Artifact, judge: LocalModel, reward: RewardConfig) -> Proxy:
    """The run that was asked for. Raises ConfigError for self-edits about tasks."""
    domain = ContextSet(resolve.store.upstream(source, "contexts")).domain
    if domain is not DOMAINS["knowledge"]:
        raise ConfigError(
            f"the rubric is about notes on passages; {source.id} is about tasks.",
            "Choose another --reward.",
        )
    config = resolve.config(ScoreConfig, judge)
    return Proxy(
        self_edits=source.id,
        domain=domain.NAME,
        judge=resolve.reference(judge, config.chat),
        engine=resolve.engine(reward.proxy_engine, judge),
        rubric=stage.RUBRIC.read_text(encoding="utf-8"),
        floor=config.reward_floor,
        decode_batch=config.decode_batch,
        reward=reward,
    )
