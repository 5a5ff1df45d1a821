"""Who judges. A grader makes a judgement of each question, its golds and an answer.

The default is fitted to the GPT-4.1 verdicts of the SEAL release (`offline-2`; `offline-1` is what
it was before); the SQuAD string metrics stand beside it; these read English and nothing else.
Grids are compared exactly. A model can judge, too (`judge`): it is made where its engine is known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from stages.grading.grids import SEMANTICS as GRID_SEMANTICS
from stages.grading.grids import grid_match
from stages.grading.offline import ACCEPTED, offline_score
from stages.grading.offline import SEMANTICS as OFFLINE_SEMANTICS
from stages.grading.offline import content_recall as content_recall
from stages.grading.offline_1 import SEMANTICS as OFFLINE_1_SEMANTICS
from stages.grading.offline_1 import offline_score as offline_1_score
from stages.grading.squad import SEMANTICS as SQUAD_SEMANTICS
from stages.grading.squad import contained, exact_match, token_f1


@dataclass(frozen=True, slots=True)
class Item:
    """One answer to be judged, with all that a grader may know about it."""

    question: str
    golds: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """`correct` is null when the grader could not tell; then `reason` says why."""

    correct: bool | None
    score: float | None
    reason: str | None = None


class Grader(Protocol):
    """Judges answers, as many together as there are."""

    @property
    def name(self) -> str:
        """What verdicts and rewards call it."""

    @property
    def semantics(self) -> int:
        """Raised by hand when a verdict would change; in the key of every reward."""

    def grade_all(self, items: Sequence[Item]) -> list[Judgement]:
        """One judgement per item, in order."""


Score = Callable[[str, str, str], float]  # question, gold, answer -> 0..1


@dataclass(frozen=True, slots=True)
class ScoreGrader:
    """Judges by a score of each accepted answer; `threshold` and above is correct."""

    name: str
    semantics: int
    score: Score
    threshold: float

    def grade(self, question: str, golds: Sequence[str], answer: str) -> Judgement:
        """The best score over the accepted answers. An empty answer is wrong."""
        if not answer.strip():
            return Judgement(False, 0.0, "empty answer")
        if not golds:
            return Judgement(None, None, "no gold answer")
        best = max(self.score(question, gold, answer) for gold in golds)
        return Judgement(best >= self.threshold, best)

    def grade_all(self, items: Sequence[Item]) -> list[Judgement]:
        """Each by itself."""
        return [self.grade(item.question, item.golds, item.answer) for item in items]


GRADERS = {
    "offline-2": ScoreGrader("offline-2", OFFLINE_SEMANTICS, offline_score, ACCEPTED),
    "offline-1": ScoreGrader("offline-1", OFFLINE_1_SEMANTICS, offline_1_score, 1.0),
    "exact": ScoreGrader("exact", SQUAD_SEMANTICS, exact_match, 1.0),
    "contained": ScoreGrader("contained", SQUAD_SEMANTICS, contained, 1.0),
    "f1": ScoreGrader("f1", SQUAD_SEMANTICS, token_f1, 0.5),
    "arc-grid": ScoreGrader("arc-grid", GRID_SEMANTICS, grid_match, 1.0),
}
