"""The regime `continual` of eval: self-edits learned one on top of the other (paper Fig. 6).

A sequence goes over some passages. At each step the model writes a self-edit about the next one,
as it is by then, a LoRA is trained on it and merged, and the model is asked about every passage
seen so far: one row of the retention matrix. Two things stand against forgetting: earlier
self-edits learned again with each new one (replay), and a gate that holds back a merge which costs
too much. Adapters kept apart, each asked about its own passage, forget nothing.
"""

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stages.config import ContinualConfig
from stages.exam import Examination, Examined, Examiner, mean, rows_of
from stages.identity import canonical, derive_seed, digest
from stages.probe import Probe
from stages.progress import Progress
from stages.records import Adapter, Context, Question, Record, SelfEdit
from stages.training import Lora

if TYPE_CHECKING:
    from stages.training.merge import Merged

SEMANTICS = 1
CLIPPED = (1.0, 0.5, 0.25, 0.0)  # what a merge is scaled by, until it is within its budget

Trained = tuple[Adapter, Lora | None]


@dataclass(frozen=True)
class Lesson:
    """The collaborators of a sequence: the stages, the merge, and what its rows are seeded by."""

    questions: Mapping[str, Sequence[Question]]
    examiner: Examiner
    write: Callable[[Sequence[Context]], Iterable[SelfEdit]]
    # One adapter of a self-edit and of earlier ones again; one of each.
    rehearse: Callable[[SelfEdit, Sequence[SelfEdit]], Trained]
    adapt: Callable[[Sequence[SelfEdit]], Iterable[Trained]]
    # A block in which LoRAs go into the model.
    merging: Callable[[], "AbstractContextManager[Merged]"]
    config: ContinualConfig
    seed: int
    probe: Probe | None = None


def deal(contexts: Sequence[str], *, edits: int, sequences: int, seed: int) -> list[list[str]]:
    """Which passages each sequence goes over, none twice in one: `sequences` lists of `edits` ids.

    Shuffled and dealt out, and shuffled anew when too few are left: sequences share no passage as
    long as there are enough. More sequences are the same ones and others.
    """
    dealt: list[list[str]] = []
    deck: list[str] = []
    shuffles = 0
    while len(dealt) < sequences:
        if len(deck) < edits:
            deck = list(contexts)
            random.Random(derive_seed(seed, "sequences", shuffles)).shuffle(deck)
            shuffles += 1
        dealt.append([deck.pop() for _ in range(edits)])
    return dealt


def evaluate(number: int, contexts: Sequence[Context], lesson: Lesson) -> Iterator[Record]:
    """The rows of one sequence: each step's self-edit, adapter, answers and verdicts.

    The answers of a step carry its adapter's id, whichever passage they are about. A training that
    failed ends the sequence; after an invalid self-edit the model goes on as it is.
    """
    if lesson.config.separate:
        yield from _apart(number, contexts, lesson)
        return
    edits: list[SelfEdit] = []
    held: list[float | None] = []  # accuracy on each passage so far, after the last step
    said = Progress(f"sequence {number}: %d of %d edits", len(contexts))
    with lesson.merging() as merged:
        gate = _Gate(lesson, merged)
        for step, context in enumerate(contexts, 1):
            (written,) = lesson.write([context])
            edit = _in_sequence(written, number, step)
            yield edit
            seed = derive_seed(lesson.seed, "replay", number, step)
            again = replayed(edits, lesson.config.replay, seed)
            adapter, lora = lesson.rehearse(edit, again)
            adapter = _with(_named(adapter, number, step), replayed=[e.self_edit_id for e in again])
            if adapter.status == "failed":
                yield adapter
                return
            adapter, examined = gate.merge(adapter, lora, contexts[:step], held)
            yield adapter
            yield from rows_of(examined)
            held = [one.outcome.accuracy for one in examined]
            edits.append(edit)
            said.at(step)


def replayed(edits: Sequence[SelfEdit], wanted: float, seed: int) -> list[SelfEdit]:
    """The earlier self-edits learned again: so many, or (below 1) that share, rounded up."""
    count = math.ceil(wanted * len(edits)) if wanted < 1 else int(wanted)
    chosen = random.Random(seed).sample(range(len(edits)), min(count, len(edits)))
    return [edits[i] for i in sorted(chosen)]


class _Gate:
    """Merges adapters, each as far as its budget allows; without a budget, wholly."""

    def __init__(self, lesson: Lesson, merged: "Merged") -> None:
        self.lesson, self.merged, self.budget = lesson, merged, lesson.config.gate
        self.probed = lesson.probe.before if lesson.probe is not None else []

    def merge(
        self,
        adapter: Adapter,
        lora: Lora | None,
        passages: Sequence[Context],
        held: Sequence[float | None],
    ) -> tuple[Adapter, list[Examined]]:
        """Fold a LoRA in and ask about all `passages`; the last of them is the adapter's own.

        `held` are the accuracies on the others before. Gives the adapter's row, and how the model
        does now, by passage.
        """
        earlier = self.lesson.config.gate_on == "earlier"
        before = mean(held if earlier else self.probed)
        tried: dict[str, float | None] = {}
        for scale in self._scales(lora, gated=bool(held) or not earlier):
            if lora is not None:
                self.merged.wear(lora, scale)
            examined = self._examined(adapter, passages)
            probed = self.lesson.probe.accuracies() if self.lesson.probe else []
            after = mean([e.outcome.accuracy for e in examined[:-1]] if earlier else probed)
            tried[str(scale)] = after
            if self._within(before, after):
                break
        self.merged.keep()
        self.probed = probed
        told = self._told(adapter, lora, scale, before, tried)
        return self._harm(told, probed), examined

    def _scales(self, lora: Lora | None, *, gated: bool) -> Sequence[float]:
        """What is tried in turn; the last of them is taken in any case."""
        if lora is None:
            return (0.0,)
        if self.budget is None or not gated:
            return (1.0,)
        return CLIPPED if self.lesson.config.gate_action == "clip" else (1.0, 0.0)

    def _within(self, before: float | None, after: float | None) -> bool:
        """Whether a merge is within its budget; one of which that cannot be told is not."""
        if before is None or after is None or self.budget is None:
            return False
        return 100 * (before - after) <= self.budget + 1e-9  # 0.2 - 0.15 is a little more than 5

    def _examined(self, adapter: Adapter, passages: Sequence[Context]) -> list[Examined]:
        """Answers of the model as it is, under the step's adapter, whatever became of that."""
        under = replace(adapter, status="ok")
        exams = [Examination(c, self.lesson.questions[c.context_id], under) for c in passages]
        return self.lesson.examiner.examine(exams)

    def _told(
        self,
        adapter: Adapter,
        lora: Lora | None,
        scale: float,
        before: float | None,
        tried: Mapping[str, float | None],
    ) -> Adapter:
        """The adapter's row with what the gate did."""
        adapter = _with(adapter, scale=scale)
        if self.budget is None or lora is None:
            return adapter
        adapter = _with(adapter, gate={"before": before, "tried": dict(tried)})
        if scale == 1:
            return adapter
        done = f"merged at {scale}" if scale else "not merged"
        fell = f"{_shown(before)} would have become {_shown(tried['1.0'])}"
        return replace(adapter, reason="; ".join(filter(None, (adapter.reason, f"{done}: {fell}"))))

    def _harm(self, adapter: Adapter, probed: Sequence[float | None]) -> Adapter:
        """The adapter's row with what became of the probe after this step."""
        probe = self.lesson.probe
        return probe.told(adapter, probed, probe.kl(before=self.merged.bare)) if probe else adapter


def _apart(number: int, contexts: Sequence[Context], lesson: Lesson) -> Iterator[Record]:
    """A sequence whose adapters stay apart: each on the model as it was, asked about its own."""
    edits = [
        _in_sequence(edit, number, step) for step, edit in enumerate(lesson.write(contexts), 1)
    ]
    yield from edits
    trained = [
        (_named(adapter, number, step), lora)
        for step, (adapter, lora) in enumerate(lesson.adapt(edits), 1)
    ]
    yield from lesson.probe.measured(trained) if lesson.probe else [row for row, _ in trained]
    examinations = []
    for context, (row, lora) in zip(contexts, trained, strict=True):
        # Without an adapter it is the model itself that is asked, as it is where they are merged.
        under = replace(row, status="ok") if row.status == "invalid" else row
        asked = lesson.questions[context.context_id]
        examinations.append(Examination(context, asked, under, lora))
    yield from rows_of(lesson.examiner.examine(examinations))


def _in_sequence(edit: SelfEdit, number: int, step: int) -> SelfEdit:
    """A self-edit with an id of its own: two sequences may hold the very same one."""
    return replace(edit, self_edit_id=digest(edit.self_edit_id, number, step))


def _named(adapter: Adapter, number: int, step: int) -> Adapter:
    """An adapter as that of a step of a sequence."""
    named = digest(adapter.adapter_id, number, step)
    return replace(adapter, adapter_id=named, sequence=number, step=step)


def _with(adapter: Adapter, **about: Any) -> Adapter:
    """An adapter with more in its hyperparameters, for SQL to look into."""
    known = json.loads(adapter.hyperparameters)
    return replace(adapter, hyperparameters=canonical(known | about))


def _shown(accuracy: float | None) -> str:
    return "an unknown accuracy" if accuracy is None else f"{accuracy:.3f}"
