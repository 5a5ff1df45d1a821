"""eval in the regime cpt: one model trained on all contexts, by method, and asked about all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from seal_cli import console
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, Work
from seal_cli.pipeline.evaluation import Evaluation, refuse_blind
from seal_cli.store.workspace import Workspace
from stages import eval as stage
from stages.config import CptConfig
from stages.exam import Examination, rows_of
from stages.records import Question, Record, SelfEdit
from stages.regimes import cpt

METHODS = (cpt.PASSAGES, cpt.EDITS)


@dataclass(frozen=True, kw_only=True)
class Cpt(Evaluation):
    """Phase 0: self-edits and unadapted answers, by context. Phase 1: each method's training."""

    SEMANTICS = (stage.SEMANTICS, cpt.SEMANTICS)

    cpt: CptConfig

    def __post_init__(self) -> None:
        if self.cpt.full:
            refuse_blind(self.examining.engine)
            self.adapting.model.refuse_packed()

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        """The chosen contexts, then the methods."""
        return self.chosen(store).ids, METHODS

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """So many contexts that a decode batch is full."""
        slots = self.adapting.plan(runtime, 1).slots
        batch = self.writing.config.decode_batch // self.measuring.samples
        return Plan(max(1, batch), slots)

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> self-edits and answers; a method -> its adapter, answers and metrics."""
        chosen, questions = self.chosen(store), self._questions(store)
        contexts = chosen.known.contexts
        inner, examiner = self.parts(runtime, job.plan.slots)
        loaded = runtime.model(self.adapting.model)
        learn = cpt.full(loaded) if self.cpt.full else cpt.lora(inner.trainer, loaded)
        probe = self.open_probe(runtime, store, inner, examiner)
        planned = partial(cpt.planned, inner=inner, config=self.cpt)
        write = self.writing.open(runtime, self.rank)

        def prepare(ids: Sequence[str]) -> list[Record]:
            asked = [Examination(contexts[i], questions[i]) for i in ids if i in questions]
            written = write([contexts[i] for i in ids])
            return [*written, *rows_of(examiner.examine(asked))]

        def train(method: str, made: Sequence[Record]) -> list[Record]:
            edits = [row for row in made if isinstance(row, SelfEdit) and method == cpt.EDITS]
            learned = [contexts[i] for i in chosen.ids]
            told = f"{method}: training on {len(learned)} passages and {len(edits)} self-edits"
            console.say(f"{told}: one batch, begun anew if it is stopped.")
            return cpt.evaluate(
                method,
                learned,
                edits,
                questions=questions,
                plan=planned,
                learn=learn,
                examiner=examiner,
                measured=self.measured,
                probe=probe,
            )

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return train(batch.items[0], made) if batch.phase else prepare(batch.items)

        return work

    def _questions(self, store: Workspace) -> dict[str, list[Question]]:
        chosen = self.chosen(store)
        return cpt.drawn(chosen.known.questions, chosen.ids, self.cpt.questions)

    def finish(self, store: Workspace, rows: Iterable[Record]) -> list[Record]:
        questions = self._questions(store)
        return list(stage.summarise(rows, questions=questions, measured=self.measured))
