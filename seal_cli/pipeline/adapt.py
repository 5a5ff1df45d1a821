"""adapt: self-edits -> adapters, kept as PEFT folders."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, StageSpec, Work
from seal_cli.pipeline.contexts import ContextSet, group, pick
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Takes
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages import adapt as stage
from stages.adapt import Inner, Student
from stages.config import AdaptConfig
from stages.domains import ChosenDomain, Domain
from stages.domains.arc.settings import ArcConfig
from stages.records import Adapter, Record, SelfEdit
from stages.training import SEMANTICS as TRAINER_SEMANTICS
from stages.training import Lora

TAKES = Takes(AdaptConfig, ArcConfig, shards=True)
MINUTE = 60.0  # seconds of estimated work that a batch is at most, unless a context is more
_TOKENS = 300.0  # of a self-edit that is not written yet
_READ = 1.5  # tokens that training reads for each that was written


@dataclass(frozen=True, kw_only=True)
class Adapting:
    """A model that is adapted, and how."""

    SEMANTICS = (stage.SEMANTICS, TRAINER_SEMANTICS)

    model: ModelRef
    config: AdaptConfig

    def open(self, runtime: Runtime, domain: Domain, slots: int) -> Inner:
        """The adapt stage with its collaborators."""
        tokenizer = runtime.model(self.model).tokenizer
        student = Student(self.model.id, tokenizer, self.model.targets, self.model.chat)
        return Inner(student, runtime.trainer(self.model, slots), domain, self.config)

    def plan(self, runtime: Runtime, per_context: float, tokens: float = _TOKENS) -> Plan:
        """As many contexts in a batch as keep the slots busy, for a minute at the most.

        A context has `per_context` adapters, each of which learns `tokens` in an epoch.
        """
        room = runtime.room(self.model, rank=self.config.rank, slots=self.config.n_slots)
        seconds = per_context * tokens * self.config.epochs / room.rate
        busy = math.ceil(room.jobs / per_context)
        return Plan(max(1, min(busy, int(MINUTE / max(seconds, 1e-9)))), room.slots)


@dataclass(frozen=True, kw_only=True)
class Adapt(StageSpec):
    """One run of `seal adapt`."""

    STAGE = "adapt"
    KIND = "adapters"

    self_edits: str
    domain: ChosenDomain
    adapting: Adapting

    def inputs(self) -> tuple[str, ...]:
        return self.self_edits, *self.adapting.model.inputs

    def about(self) -> dict[str, str]:
        return {"domain": self.domain.name, "student": self.adapting.model.id}

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        return (contexts_of(store.artifact(self.self_edits)),)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """So many contexts that the slots are busy."""
        edits = store.artifact(self.self_edits)
        return self.adapting.plan(runtime, *work_of(edits, self.adapting.config.repeats))

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> the adapters of their self-edits, saved."""
        from stages.training.directory import save

        source = store.artifact(self.self_edits)
        contexts = ContextSet(store.upstream(source, "contexts")).contexts
        edits = group(source.rows(SelfEdit))
        inner = self.adapting.open(runtime, self.domain.domain, job.plan.slots)

        def saved(adapter: Adapter, lora: Lora | None) -> Adapter:
            if lora is None:
                return adapter
            folder = job.weights(adapter.adapter_id)
            save(lora, folder)
            return replace(adapter, weights=job.relative(folder))

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return [
                saved(adapter, lora)
                for adapter, lora in inner.adapt(pick(edits, batch.items), contexts)
            ]

        return work


def adapting(resolve: Resolver, model: LocalModel, config: AdaptConfig) -> Adapting:
    """How a model of this machine is adapted."""
    reference = resolve.reference(model, config.chat, config.targets)
    return Adapting(model=reference, config=config)


def adapt(resolve: Resolver, self_edits: str, student: str | None = None) -> Adapt:
    """The run that was asked for: on the model that wrote the self-edits, or on another."""
    source = resolve.artifact(self_edits, "self_edits")
    model = resolve.writer_of(source, student)
    return Adapt(
        self_edits=source.id,
        domain=resolve.domain(ContextSet(resolve.store.upstream(source, "contexts")), model),
        adapting=adapting(resolve, model, resolve.config(AdaptConfig, model)),
    )


def contexts_of(self_edits: Artifact) -> tuple[str, ...]:
    """The contexts of self-edits, in their order, each once."""
    pieces = self_edits.pieces("self_edits", ["context_id"])
    names = (name for piece in pieces for name in piece.column("context_id").to_pylist())
    return tuple(dict.fromkeys(names))


def work_of(self_edits: Artifact, repeats: int) -> tuple[float, float]:
    """How many adapters a context gets, and how many tokens one learns in an epoch, on average."""
    pieces = self_edits.pieces("self_edits", ["n_tokens"])
    counts = [n for piece in pieces for n in piece.column("n_tokens").to_pylist()]
    known = [n for n in counts if n is not None]
    tokens = _READ * sum(known) / len(known) if known else _TOKENS
    return max(1.0, repeats * len(counts) / max(1, len(contexts_of(self_edits)))), tokens
