"""What the regimes of eval share: who writes, adapts and is examined, the probe."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import StageSpec
from seal_cli.pipeline.adapt import Adapting
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.generate import Writing
from seal_cli.pipeline.probe import ChosenProbe
from seal_cli.pipeline.score import Examining
from seal_cli.store.workspace import Workspace
from stages import eval as stage
from stages.adapt import Inner
from stages.config import EvalConfig
from stages.domains import ChosenDomain
from stages.engines import ChosenEngine
from stages.errors import ConfigError
from stages.exam import Examiner
from stages.probe import Probe
from stages.tokens import learnable


def refuse_blind(*engines: ChosenEngine) -> None:
    """Raise ConfigError for a model in an engine that does not see its weights change."""
    for engine in engines:
        if engine.entry.runs_model and not engine.entry.sees_training:
            raise ConfigError(
                f"the engine {engine.name} does not see weights that change in this process.",
                "Choose another --engine, or keep adapters apart (--separate; no --full).",
            )


@dataclass(frozen=True, kw_only=True)
class Evaluation(StageSpec):
    """One run of `seal eval`: `writing` is the policy's, the other two are the student's."""

    STAGE = "eval"
    KIND = "metrics"
    TABLES = ("self_edits", "adapters", "answers", "verdicts")

    SEMANTICS: ClassVar[int | tuple[int, ...]] = stage.SEMANTICS

    contexts: str
    domain: ChosenDomain
    measuring: EvalConfig
    writing: Writing
    adapting: Adapting
    examining: Examining
    probe: ChosenProbe | None

    def inputs(self) -> tuple[str, ...]:
        """The contexts first, as lineage goes to the first; then the models that we made."""
        made = (*self.writing.model.inputs, *self.adapting.model.inputs)
        return self.contexts, *dict.fromkeys(made)

    def side_inputs(self) -> tuple[str, ...]:
        return (self.probe.contexts,) if self.probe else ()

    def about(self) -> dict[str, str]:
        return {
            "domain": self.domain.name,
            "writer": self.writing.model.id,
            "student": self.adapting.model.id,
        }

    def check(self, store: Workspace) -> None:
        """Raise when the probe has contexts that are evaluated on."""
        if self.probe is not None:
            chosen = self.chosen(store)
            self.probe.check(store, chosen.known, chosen.ids)

    @property
    def rank(self) -> int:
        """Of the adapters that an engine will apply."""
        return self.adapting.config.rank

    @property
    def measured(self) -> stage.Measured:
        """What the metrics have in common."""
        regime: Any = self.measuring.regime
        grader = self.examining.grader.name
        return stage.Measured(self.writing.model.policy, self.contexts, regime, grader)

    def chosen(self, store: Workspace) -> "Chosen":
        """The contexts that are evaluated on."""
        return Chosen(ContextSet(store.artifact(self.contexts)), self.measuring)

    def open_probe(
        self, runtime: Runtime, store: Workspace, inner: Inner, examiner: Examiner
    ) -> Probe | None:
        """The probe as the student is asked about it."""
        if self.probe is None:
            return None
        passages = map(inner.domain.passage_lessons, self.probe.asked(store))
        lessons = [one for passage in passages for one in passage]
        rows = learnable(list(map(inner.tokenised, lessons)))
        lm = runtime.model(self.adapting.model)
        return self.probe.open(store, examiner, lm=lm, rows=rows)

    def parts(self, runtime: Runtime, slots: int) -> tuple[Inner, Examiner]:
        """The inner loop and the examiner of the student."""
        domain = self.domain.domain
        inner = self.adapting.open(runtime, domain, slots)
        return inner, self.examining.open(runtime, domain, self.rank)


@dataclass(frozen=True)
class Chosen:
    """The contexts of an evaluation, in order: those of its slice that have questions."""

    known: ContextSet
    config: EvalConfig

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Their ids."""
        self.known.require_questions()
        ids = self.known.slice(self.config.limit, self.config.offset)
        return tuple(i for i in ids if self.known.questions[i])
