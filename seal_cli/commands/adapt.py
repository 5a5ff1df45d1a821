"""`seal adapt`: self-edits -> adapters, kept as PEFT directories."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from seal_cli.engines import rest
from seal_cli.inputs import ContextSet, group, pick
from seal_cli.models import LocalModel, writer_of
from seal_cli.options import SelfEditsArg, StudentOption
from seal_cli.runner import Job, Plan, Task, Work
from seal_cli.session import Session, renderer
from seal_cli.store.artifact import Artifact
from stages import adapt as stage
from stages.adapt import Student
from stages.config import AdaptConfig
from stages.domains import Domain
from stages.lora import SEMANTICS as TRAINER_SEMANTICS
from stages.lora import Lora, Trainer
from stages.lora.targets import resolve_targets
from stages.models import weight_shapes
from stages.records import Adapter, Context, SelfEdit

Trained = Iterable[tuple[Adapter, Lora | None]]


def adapt(session: Session, self_edits: SelfEditsArg, student: StudentOption = None) -> None:
    """Train one LoRA per self-edit and repeat, and keep it."""
    source = session.artifact(self_edits, "self_edits")
    model = writer_of(session.workspace, source, wanted=student)
    config = session.resolve(AdaptConfig, model)
    session.answer(session.run(task(session, source, model, config)))


def task(session: Session, source: Artifact, model: LocalModel, config: AdaptConfig) -> Task:
    """The run that `seal adapt` makes."""
    context_set = ContextSet(session.workspace.upstream(source, "contexts"))
    domain = session.domain(context_set, model)

    def open(job: Job) -> Work:
        from stages.lora.directory import save

        edits = group(source.rows(SelfEdit))
        inner = inner_loop(session, model, domain, config, job.slots)

        def work(ids: Sequence[str]) -> Iterator[Adapter]:
            for adapter, lora in inner.self_edits(pick(edits, ids), context_set.contexts):
                if lora is None:
                    yield adapter
                    continue
                folder = job.weights / adapter.adapter_id
                save(lora, folder)
                yield replace(adapter, weights=job.relative(folder))

        return work

    return Task(
        stage="adapt",
        kind="adapters",
        inputs=[source, *model.inputs],
        material=material(session, model, domain, config),
        config={"adapt": config.key(), **domain.material("train")},
        items=lambda: [edit.context_id for edit in source.rows(SelfEdit)],
        open=open,
        plan=lambda: plan(session, model, config, per_context(source, config.repeats)),
        models=model.location(),
    )


def material(
    session: Session, model: LocalModel, domain: Domain, config: AdaptConfig
) -> dict[str, object]:
    """What decides the adapters that a student gets."""
    return {
        "semantics": [stage.SEMANTICS, domain.SEMANTICS, TRAINER_SEMANTICS],
        "student": model.id,
        "dtype": model.dtype(session.dtype),
        "config": config.key()
        | {
            "targets": list(targets(model, config.targets)),
            "chat": session.chat(config.chat, model),
        },
        **domain.material("train"),
    }


def targets(model: LocalModel, wanted: str) -> tuple[str, ...]:
    """The modules that a LoRA on this model adapts."""
    return resolve_targets(wanted, weight_shapes(model.path))


@dataclass(frozen=True)
class Inner:
    """The inner loop on one student: the adapt stage with its collaborators."""

    student: Student
    trainer: Trainer
    domain: Domain
    config: AdaptConfig

    def self_edits(
        self,
        edits: Sequence[SelfEdit],
        contexts: Mapping[str, Context],
        repeats: Sequence[int] | None = None,
    ) -> Trained:
        """Adapters trained on self-edits and their passages: all repeats, or these."""
        rest()
        yield from stage.adapt(
            edits,
            contexts=contexts,
            student=self.student,
            trainer=self.trainer,
            domain=self.domain,
            config=self.config,
            repeats=repeats,
        )

    def passages(self, contexts: Sequence[Context]) -> Trained:
        """Adapters trained on passages alone."""
        rest()
        yield from stage.adapt_to_passages(
            contexts,
            student=self.student,
            trainer=self.trainer,
            domain=self.domain,
            config=self.config,
        )

    def rehearsed(
        self, edit: SelfEdit, earlier: Sequence[SelfEdit], contexts: Mapping[str, Context]
    ) -> tuple[Adapter, Lora | None]:
        """One adapter trained on a self-edit and its passage, and on earlier ones again."""
        return stage.rehearse(
            edit,
            earlier,
            contexts=contexts,
            student=self.student,
            trainer=self.trainer,
            domain=self.domain,
            config=self.config,
        )


def inner_loop(
    session: Session, model: LocalModel, domain: Domain, config: AdaptConfig, slots: int
) -> Inner:
    """Load the student and its trainer."""
    from stages.lora.batched import BatchedTrainer
    from stages.lora.reference import ReferenceTrainer

    loaded = session.load(model)
    render = renderer(loaded.tokenizer, chat=session.chat(config.chat, model))
    student = Student(model.id, loaded.tokenizer, targets(model, config.targets), render)
    trainer = ReferenceTrainer(loaded) if slots == 1 else BatchedTrainer(loaded, slots)
    return Inner(student, trainer, domain, config)


def plan(session: Session, model: LocalModel, config: AdaptConfig, per_context: float) -> Plan:
    """As many contexts in a batch as keep the slots busy, with `per_context` adapters each."""
    from stages.lora.room import room

    rest()  # what it holds of a GPU is free when training begins
    adapted = targets(model, config.targets)
    shapes = weight_shapes(model.path)
    found = room(config.n_slots, shapes, adapted, config.rank, session.device)
    return Plan(max(1, math.ceil(found.jobs / per_context)), found.slots)


def per_context(self_edits: Artifact, repeats: int) -> float:
    """How many adapters a context gets, on average."""
    contexts = [edit.context_id for edit in self_edits.rows(SelfEdit)]
    return max(1.0, repeats * len(contexts) / max(1, len(set(contexts))))
