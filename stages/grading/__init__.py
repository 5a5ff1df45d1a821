"""Who judges. A grader is a function from question, golds and answer to a judgement.

The default is calibrated against the 4,870 released GPT-4.1 verdicts (`offline`); the SQuAD string
metrics stand beside it; these read English and nothing else. Grids are compared exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.grading.grids import SEMANTICS as GRID_SEMANTICS
from stages.grading.grids import grid_match
from stages.grading.offline import SEMANTICS as OFFLINE_SEMANTICS
from stages.grading.offline import content_recall as content_recall
from stages.grading.offline import offline_score
from stages.grading.squad import SEMANTICS as SQUAD_SEMANTICS
from stages.grading.squad import contained, exact_match, token_f1


@dataclass(frozen=True, slots=True)
class Judgement:
    """`correct` is null when the grader could not tell; then `reason` says why."""

    correct: bool | None
    score: float | None
    reason: str | None = None


Score = Callable[[str, str, str], float]  # question, gold, answer -> 0..1


@dataclass(frozen=True, slots=True)
class Grader:
    """Judges by a score of each accepted answer; `threshold` and above is correct."""

    name: str
    semantics: int  # raised by hand when a verdict would change; in the key of every reward
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


GRADERS = {
    "offline": Grader("offline", OFFLINE_SEMANTICS, offline_score, 1.0),
    "exact": Grader("exact", SQUAD_SEMANTICS, exact_match, 1.0),
    "contained": Grader("contained", SQUAD_SEMANTICS, contained, 1.0),
    "f1": Grader("f1", SQUAD_SEMANTICS, token_f1, 0.5),
    "arc-grid": Grader("arc-grid", GRID_SEMANTICS, grid_match, 1.0),
}
