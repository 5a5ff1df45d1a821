"""What a grader is: something that makes a judgement of each question, its golds and an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stages.engines import Engine
from stages.fields import Config
from stages.grading.bias import GainBias
from stages.tables import Entry


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

    def grade_all(self, items: Sequence[Item]) -> list[Judgement]:
        """One judgement per item, in order."""


Server = Callable[[str, Any], Engine]  # a model's name and how it is asked -> what asks it
Score = Callable[[str, str, str], float]  # question, gold, answer -> 0..1


@dataclass(frozen=True, kw_only=True)
class GraderSpec(Entry):
    """A grader that can be chosen."""

    asks: bool = False  # a model of a server, which judges; it is chosen as NAME:MODEL
    exact: bool = False  # verdicts are facts, not estimates
    bias: GainBias | None = None  # of a gain under it, where that was measured

    def build(self, name: str, settings: Config | None, server: Server) -> Grader:
        """The grader that was chosen by this name."""
        raise NotImplementedError

    def material(self) -> dict[str, Any]:
        """What else decides the verdicts: it goes into keys."""
        return {}


@dataclass(frozen=True, kw_only=True)
class ScoreGrader(GraderSpec):
    """Judges by a score of each accepted answer; `threshold` and above is correct."""

    score: Score
    threshold: float = 1.0

    def build(self, name: str, settings: Config | None, server: Server) -> Grader:
        """Itself."""
        return self

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
