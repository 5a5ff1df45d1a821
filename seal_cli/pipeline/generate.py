"""generate: contexts -> self-edits."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, StageSpec, Work
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Takes
from seal_cli.store.workspace import Workspace
from stages import generate as stage
from stages.config import GenerateConfig
from stages.domains import ChosenDomain
from stages.domains.arc.settings import ArcConfig
from stages.engines import ENGINES, ChosenEngine
from stages.engines.settings import EndpointConfig, ServerConfig
from stages.recipes import Recipe
from stages.records import Context, Record, SelfEdit

TAKES = Takes(
    GenerateConfig,
    EndpointConfig,
    ArcConfig,
    shards=True,
    without=("grids", "reorder", "colours", "own_first"),  # how the student is trained
)
Writer = Callable[[Sequence[Context]], Iterable[SelfEdit]]
_ROUNDS = 16  # requests per place under way that a batch has for a server


@dataclass(frozen=True, kw_only=True)
class Writing:
    """A model that writes self-edits, by an engine and a recipe."""

    SEMANTICS = stage.SEMANTICS

    domain: ChosenDomain
    model: ModelRef
    engine: ChosenEngine
    recipe: Recipe
    config: GenerateConfig

    def open(self, runtime: Runtime, rank: int) -> Writer:
        """The generate stage with its collaborators; `rank` is that of adapters to come."""
        batch = self.config.decode_batch
        engine = runtime.engine(self.engine, self.model, batch=batch, rank=rank)
        return lambda contexts: stage.generate(
            contexts,
            policy=self.model.policy,
            engine=engine,
            domain=self.domain.domain,
            recipe=self.recipe,
            config=self.config,
        )

    @property
    def at_once(self) -> int:
        """Self-edits that are written together."""
        if isinstance(self.engine.settings, ServerConfig):
            return _ROUNDS * self.engine.settings.concurrency
        return max(self.engine.entry.at_once, self.config.decode_batch)


@dataclass(frozen=True, kw_only=True)
class Generate(StageSpec):
    """One run of `seal generate`. `rank` is that of adapters the engine will apply later."""

    STAGE = "generate"
    KIND = "self_edits"
    TABLES = ("policies",)

    contexts: str
    writing: Writing
    rank: int = field(default=0, compare=False)

    def inputs(self) -> tuple[str, ...]:
        return self.contexts, *self.writing.model.inputs

    def about(self) -> dict[str, str]:
        return {"domain": self.writing.domain.name, "writer": self.writing.model.id}

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        contexts = ContextSet(store.artifact(self.contexts))
        config = self.writing.config
        return (tuple(contexts.slice(config.limit, config.offset)),)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """As many contexts as are written about together."""
        return Plan(batch=max(1, self.writing.at_once // self.writing.config.samples))

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> self-edits."""
        contexts = ContextSet(store.artifact(self.contexts)).contexts
        write = self.writing.open(runtime, self.rank)

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return list(write([contexts[i] for i in batch.items]))

        return work

    def finish(self, store: Workspace, rows: Iterable[Record]) -> list[Record]:
        """The policy's row, where it is in no artifact."""
        return [] if self.writing.model.artifact else [self.writing.model.policy]


def writing(
    resolve: Resolver, model: LocalModel, contexts: ContextSet, config: GenerateConfig
) -> Writing:
    """How a model of this machine writes about these contexts."""
    return Writing(
        domain=resolve.domain(contexts, model),
        model=resolve.reference(model, config.chat),
        engine=resolve.engine(config.engine, model),
        recipe=contexts.domain.recipe(config.prompt),
        config=config,
    )


def generate(resolve: Resolver, contexts: str, policy: str) -> Generate:
    """The run that was asked for: of a model of this machine, or of a server's."""
    source = ContextSet(resolve.artifact(contexts, "contexts"))
    config = resolve.config(GenerateConfig)
    if ENGINES[config.engine].local:
        model = resolve.model(policy)
        how = writing(resolve, model, source, resolve.config(GenerateConfig, model))
    else:
        asked, engine = resolve.endpoint(policy, config.chat, config.engine)
        how = Writing(
            domain=resolve.domain(source),
            model=asked,
            engine=engine,
            recipe=source.domain.recipe(config.prompt),
            config=config,
        )
    return Generate(contexts=source.artifact.id, writing=how)
