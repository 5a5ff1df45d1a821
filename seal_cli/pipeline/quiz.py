"""quiz: contexts -> the same contexts with questions that a model wrote about them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, StageSpec, Work
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Takes
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages import quiz as stage
from stages.config import QuizConfig
from stages.domains import ChosenDomain
from stages.domains import questions as asking
from stages.engines import ChosenEngine
from stages.errors import ConfigError
from stages.grading import ChosenGrader
from stages.records import Draft, Record

TAKES = Takes(QuizConfig, shards=True)


@dataclass(frozen=True, kw_only=True)
class Quiz(StageSpec):
    """One run of `seal quiz`. `prompt` is the name and the text of what the model is asked."""

    STAGE = "quiz"
    KIND = "contexts"
    TABLES = ("questions", "drafts", "policies")

    SEMANTICS = (stage.SEMANTICS, asking.SEMANTICS)

    contexts: str
    domain: ChosenDomain
    model: ModelRef
    engine: ChosenEngine
    grader: ChosenGrader
    prompt: tuple[str, str]
    settings: QuizConfig

    def inputs(self) -> tuple[str, ...]:
        return self.contexts, *self.model.inputs

    def about(self) -> dict[str, str]:
        return {"domain": self.domain.name, "writer": self.model.id}

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        contexts = ContextSet(store.artifact(self.contexts))
        return (tuple(contexts.slice(self.settings.limit, self.settings.offset)),)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """So many contexts that a decode batch is full."""
        return Plan(batch=max(1, self.settings.decode_batch // self.settings.samples))

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> themselves, drafts and questions."""
        contexts = ContextSet(store.artifact(self.contexts)).contexts
        engine = runtime.engine(self.engine, self.model, batch=self.settings.decode_batch)
        grader = runtime.grader(self.grader)
        master = stage.Quizmaster(self.model.policy, engine, grader, self.prompt, self.settings)

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return list(stage.quiz([contexts[i] for i in batch.items], master=master))

        return work

    def finish(self, store: Workspace, rows: Iterable[Record]) -> list[Record]:
        """The policy's row, where it is in no artifact."""
        return [] if self.model.artifact else [self.model.policy]


def quiz(resolve: Resolver, contexts: str, policy: str) -> Quiz:
    """The run that was asked for. Raises ConfigError for contexts that have no passages."""
    source = ContextSet(resolve.artifact(contexts, "contexts"))
    resolve.config(QuizConfig)  # an engine that there is not is said before a model
    model = resolve.model(policy)
    config = resolve.config(QuizConfig, model)
    if not source.domain.PASSAGES:
        raise ConfigError(
            f"{source.artifact.id} is about {source.domain.NAME}: it has no passages.",
            "Questions are written about passages.",
        )
    grader, _ = resolve.grader(config.grader, source.domain)
    return Quiz(
        contexts=source.artifact.id,
        domain=resolve.domain(source, model),
        model=resolve.reference(model, config.chat),
        engine=resolve.engine(config.engine, model),
        grader=grader,
        prompt=asking.template(config.prompt),
        settings=config,
    )


def said(made: Artifact) -> str:
    """How many questions were kept."""
    drafts = made.rows(Draft)
    kept = [draft for draft in drafts if draft.kept]
    about, in_all = ({draft.context_id for draft in some} for some in (kept, drafts))
    return (
        f"{len(kept)} of {len(drafts)} questions kept, about {len(about)} of {len(in_all)} "
        "contexts; see `seal report quiz`."
    )
