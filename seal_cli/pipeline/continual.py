"""eval in the regime continual: sequences of self-edits, each on top of the ones before."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from seal_cli import console
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, Work
from seal_cli.pipeline.evaluation import Evaluation, refuse_blind
from seal_cli.store.workspace import Workspace
from stages import eval as stage
from stages.config import ContinualConfig
from stages.errors import ConfigError
from stages.exam import Examination, rows_of
from stages.records import Record
from stages.regimes import continual, retention
from stages.regimes.continual import Lesson

_SEQUENCE = "sequence "


@dataclass(frozen=True, kw_only=True)
class Continual(Evaluation):
    """Phase 0: the unadapted model's answers, by context. Phase 1: the sequences."""

    SEMANTICS = (stage.SEMANTICS, continual.SEMANTICS)

    continual: ContinualConfig

    def __post_init__(self) -> None:
        if not self.continual.separate:
            refuse_blind(self.writing.engine, self.examining.engine)
            self.adapting.model.refuse_packed()
        if self.continual.gate is not None and self.continual.gate_on == "probe" and not self.probe:
            raise ConfigError(
                "--gate-on probe needs a probe set.", "Give one with --probe CONTEXTS."
            )

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        """The contexts of all sequences, then the sequences."""
        first = dict.fromkeys(i for dealt in self._dealt(store) for i in dealt)
        numbers = range(self.continual.sequences)
        return tuple(first), tuple(f"{_SEQUENCE}{number}" for number in numbers)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """Merged into the model, one adapter is trained at a time; apart, as many as fit."""
        slots = self.adapting.plan(runtime, 1).slots if self.continual.separate else 1
        return Plan(self.examining.config.decode_batch, slots)

    def _dealt(self, store: Workspace) -> list[list[str]]:
        """The contexts of each sequence. Raises ConfigError when there are not enough for one."""
        chosen, config = self.chosen(store).ids, self.continual
        if len(chosen) < config.edits:
            raise ConfigError(
                f"a sequence of {config.edits} edits needs as many contexts with questions, "
                f"here are {len(chosen)}.",
                "Give fewer --edits, or more contexts.",
            )
        return continual.deal(
            chosen, edits=config.edits, sequences=config.sequences, seed=self.measuring.seed
        )

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> answers; a sequence -> its self-edits, adapters, answers and verdicts."""
        from stages.training.merge import merging

        known, dealt = self.chosen(store).known, self._dealt(store)
        inner, examiner = self.parts(runtime, job.plan.slots)
        lesson = Lesson(
            questions=known.questions,
            examiner=examiner,
            write=self.writing.open(runtime, self.rank),
            rehearse=lambda edit, earlier: inner.rehearse(edit, earlier, known.contexts),
            adapt=lambda edits: inner.adapt(edits, known.contexts),
            merging=partial(merging, runtime.model(self.adapting.model).model),
            config=self.continual,
            seed=self.measuring.seed,
            probe=self.open_probe(runtime, store, inner, examiner),
        )

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            if batch.phase:
                number = int(batch.items[0].removeprefix(_SEQUENCE))
                console.say(f"sequence {number}: one batch, begun anew if it is stopped.")
                chosen = [known.contexts[i] for i in dealt[number]]
                return list(continual.evaluate(number, chosen, lesson))
            asked = [
                Examination(known.contexts[i], known.questions[i], step=0) for i in batch.items
            ]
            return rows_of(examiner.examine(asked))

        return work

    def finish(self, store: Workspace, rows: Iterable[Record]) -> list[Record]:
        """The metrics: the retention matrix and what follows from it."""
        found = retention.matrix(
            rows,
            dealt=self._dealt(store),
            questions=self.chosen(store).known.questions,
            grader=self.examining.grader.name,
            config=self.continual,
        )
        return list(retention.metrics(found, self.measured, self.continual))
