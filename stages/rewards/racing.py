"""Repeats that adapt: after each run, the clear losers of a context are not run again.

`score` spends the same number of runs on every self-edit; here a run is spent where the choice of
the best one still depends on it (successive halving, or bounds from the estimated noise of a run).
A self-edit that was left out keeps the mean of the runs it had: those that went on were chosen for
being lucky so far, so rewards with different `n_repeats` are not quite alike.

Everything is decided within one context, so it does not matter which contexts make a batch.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from stages.exam import Outcome
from stages.records import Adapter, Question, Record, SelfEdit
from stages.score import Scoring, Trial
from stages.training import Lora

SEMANTICS = 1
PRIOR = 4  # degrees of freedom that the binomial variance counts for

Runs = Mapping[str, Sequence[float]]  # self-edit -> accuracy of each of its runs


@dataclass(frozen=True)
class Halving:
    """After each run the better `keep` of a context's self-edits run again, rounded up."""

    keep: float
    SEMANTICS = SEMANTICS

    def left(self, runs: Runs, n_questions: int) -> list[str]:
        """Who runs again."""
        ranked, _ = _ranked(runs)
        return ranked[: math.ceil(self.keep * len(ranked))]


@dataclass(frozen=True)
class Bounds:
    """Who is below the best by more than the noise of a run, at this confidence, is left out."""

    confidence: float
    SEMANTICS = SEMANTICS

    def left(self, runs: Runs, n_questions: int) -> list[str]:
        """Who runs again."""
        ranked, means = _ranked(runs)
        n_runs = len(runs[ranked[0]])
        quantile = statistics.NormalDist().inv_cdf((1 + self.confidence) / 2)
        reach = quantile * math.sqrt(noise(list(runs.values()), n_questions) / n_runs)
        return [name for name in ranked if means[name] + reach >= means[ranked[0]] - reach]


Race = Halving | Bounds
Adapt = Callable[[Sequence[SelfEdit], int], Iterable[tuple[Adapter, Lora | None]]]


def race(
    self_edits: Sequence[SelfEdit], adapt: Adapt, scoring: Scoring, *, repeats: int, racing: Race
) -> list[Record]:
    """What `score` gives, with at most `repeats` runs for each self-edit.

    `adapt(self_edits, repeat)` trains one adapter for each. A self-edit with a run that did not
    work has none to come: its reward is decided.
    """
    rows, baselines = scoring.unadapted(self_edits)
    trials: dict[str, list[Trial]] = {edit.self_edit_id: [] for edit in self_edits}
    running = list(self_edits)
    for repeat in range(repeats):
        examined, found = scoring.adapted(adapt(running, repeat))
        rows += examined
        for name, more in found.items():
            trials[name] += more
        outcomes = {name: [trial.outcome for trial in known] for name, known in trials.items()}
        left = _left(running, outcomes, scoring.questions, racing)
        running = [edit for edit in running if edit.self_edit_id in left]
        if not running:
            break
    return [*rows, *scoring.rewards(self_edits, baselines, trials)]


def _left(
    running: Sequence[SelfEdit],
    outcomes: Mapping[str, Sequence[Outcome]],
    questions: Mapping[str, Sequence[Question]],
    racing: Race,
) -> set[str]:
    """The self-edits that get another run: of a context with one left, none."""
    by_context: dict[str, dict[str, list[float]]] = {}
    for edit in running:
        found = [o.accuracy for o in outcomes[edit.self_edit_id] if o.accuracy is not None]
        if len(found) == len(outcomes[edit.self_edit_id]):
            by_context.setdefault(edit.context_id, {})[edit.self_edit_id] = found
    return {
        name
        for context_id, runs in by_context.items()
        for name in contenders(runs, len(questions[context_id]), racing)
    }


def contenders(runs: Runs, n_questions: int, racing: Race) -> list[str]:
    """Who runs again, given the accuracies so far of those still running; nobody when one is left.

    All have as many runs. Ties go to who comes first, as in the rule best-of-n.
    """
    left = racing.left(runs, n_questions)
    return left if len(left) > 1 else []


def _ranked(runs: Runs) -> tuple[list[str], dict[str, float]]:
    """Who runs, the best first, and their means."""
    means = {name: statistics.fmean(found) for name, found in runs.items()}
    return sorted(runs, key=lambda name: -means[name]), means  # stable


def noise(runs: Sequence[Sequence[float]], n_questions: int) -> float:
    """Variance of one run's accuracy in a context, estimated from all its self-edits.

    The binomial variance over the questions (half a right and half a wrong answer added, so that a
    perfect run is not taken for a certain one) and the variance between the runs of a self-edit,
    weighted by degrees of freedom.
    """
    spread = sum((x - statistics.fmean(found)) ** 2 for found in runs for x in found)
    degrees = sum(len(found) - 1 for found in runs)
    shares = [(sum(found) * n_questions + 0.5) / (len(found) * n_questions + 1) for found in runs]
    binomial = statistics.fmean(p * (1 - p) / n_questions for p in shares)
    return (PRIOR * binomial + spread) / (PRIOR + degrees)
