"""The retention matrix: what is left of each passage after each further self-edit (paper Fig. 6).

Makes the metrics of the regime continual from its rows; trains and asks nothing. Row 0 is before
any edit, over all passages of the sequence; row k is after k edits, over the passages edited so
far. Cells that do not exist have no row.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from stages.config import ContinualConfig
from stages.eval import Measured, accuracy_of
from stages.records import Adapter, Answer, Metric, Question, Record, Verdict

# (sequence, step, position) -> accuracy; null where it failed. Sequences from 0, the others from 1.
Cells = dict[tuple[int, int, int], float | None]


@dataclass(frozen=True)
class Matrix:
    """The cells of all sequences, each a list of context ids in the order of their edits."""

    dealt: Sequence[Sequence[str]]
    cells: Cells
    harm: Mapping[tuple[int | None, int | None], Adapter]  # (sequence, step) -> its adapter

    @property
    def steps(self) -> range:
        """Edits so far, from 1."""
        return range(1, len(self.dealt[0]) + 1)

    def over_sequences(self, value: Callable[[int], float | None]) -> tuple[list[float], int]:
        """A value of each sequence, as far as there is one, and of how many there is none."""
        found = [value(number) for number in range(len(self.dealt))]
        known = [one for one in found if one is not None]
        return known, len(found) - len(known)

    def mean(self, number: int, places: Sequence[tuple[int, int]]) -> float | None:
        """The mean over some (step, position) of a sequence; null when one of them failed."""
        found = [self.cells.get((number, step, position)) for step, position in places]
        known = [value for value in found if value is not None]
        return statistics.fmean(known) if len(known) == len(found) else None

    def harmed(self, step: int, column: str, number: int) -> float | None:
        """A probe column of the adapter of a step; null when there is none."""
        value: float | None = getattr(self.harm.get((number, step)), column, None)
        return value

    def transfer(self, number: int) -> float | None:
        """Mean over all passages but the last: accuracy after the last edit minus after its own."""
        last = self.steps[-1]
        if last == 1:
            return None
        final = self.mean(number, [(last, i) for i in self.steps[:-1]])
        own = self.mean(number, [(i, i) for i in self.steps[:-1]])
        return None if final is None or own is None else final - own


def matrix(
    records: Iterable[Record],
    *,
    dealt: Sequence[Sequence[str]],
    questions: Mapping[str, Sequence[Question]],
    grader: str,
    config: ContinualConfig,
) -> Matrix:
    """The cells, from answers and verdicts. Adapters kept apart answer as on their own step."""
    verdicts = (row for row in records if isinstance(row, Verdict) and row.grader == grader)
    correct = {row.answer_id: row.correct for row in verdicts}
    given: dict[tuple[int | None, int | None, str], list[Answer]] = {}
    for row in records:
        if isinstance(row, Answer):
            given.setdefault((row.sequence, row.step, row.context_id), []).append(row)

    def accuracy(sequence: int | None, step: int, context: str) -> float | None:
        answers = given.get((sequence, step, context))
        return accuracy_of(answers, correct, len(questions[context])) if answers else None

    cells: Cells = {}
    for number, contexts in enumerate(dealt):
        for position, context in enumerate(contexts, 1):
            cells[number, 0, position] = accuracy(None, 0, context)
            for step in range(position, len(contexts) + 1):
                asked = position if config.separate else step
                cells[number, step, position] = accuracy(number, asked, context)
    adapters = (row for row in records if isinstance(row, Adapter))
    return Matrix(dealt, cells, {(row.sequence, row.step): row for row in adapters})


def metrics(found: Matrix, measured: Measured, config: ContinualConfig) -> Iterator[Metric]:
    """One row per cell, per step the mean over the passages seen, and what it comes to.

    Means over sequences, with intervals over them. Without a step: `just_edited` (the diagonal),
    `seen_after_last` (the last row), `backward_transfer`.
    """
    every = [*found.steps]
    named = method(config)

    def metric(
        name: str,
        value: Callable[[int], float | None],
        step: int | None = None,
        position: int | None = None,
    ) -> Metric:
        label = "unadapted" if step == 0 else named
        values, n_failed = found.over_sequences(value)
        return measured.metric(
            label, name, values, n_questions=None, n_failed=n_failed, step=step, position=position
        )

    def over(places: Sequence[tuple[int, int]]) -> Callable[[int], float | None]:
        return lambda number: found.mean(number, places)

    for step in (0, *every):
        row = [(step, position) for position in (every[:step] if step else every)]
        for cell in row:
            yield metric("accuracy", over([cell]), *cell)
        yield metric("accuracy_seen", over(row), step)
    yield metric("just_edited", over([(p, p) for p in every]))
    yield metric("seen_after_last", over([(every[-1], p) for p in every]))
    yield metric("backward_transfer", found.transfer)
    if any(row.probe_accuracy is not None for row in found.harm.values()):
        for step in every:
            for name in ("probe_accuracy", "probe_change", "probe_kl"):
                yield metric(name, partial(found.harmed, step, name), step)


def method(config: ContinualConfig) -> str:
    """What the rows after an edit are called: the countermeasures, if any."""
    if config.separate:
        return "separate adapters"
    parts = ["self-edits"]
    if config.replay:
        parts.append(f"replay {config.replay:g}")
    if config.gate is not None:
        on = " on probe" if config.gate_on == "probe" else ""
        parts.append(f"{config.gate_action} at {config.gate:g}{on}")
    return " + ".join(parts)
