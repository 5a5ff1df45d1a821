"""The rules by which the examinations of one self-edit become its reward."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.tables import Entry

SEMANTICS = 1
NOISE = 1e-9  # the mean of 1/5, 1/5 and 1/5 is a little more than 1/5

Rule = Callable[[Sequence[float], float], float]  # accuracy of each repeat, unadapted -> reward


@dataclass(frozen=True, kw_only=True)
class RewardSpec(Entry):
    """A reward that can be chosen."""

    text: str  # what it is, in a few words
    rule: Rule | None  # none where nobody is examined
    needs_unadapted: bool = True


ACCURACY = RewardSpec(
    name="accuracy",
    semantics=SEMANTICS,
    text="mean over the repeats (the paper, passages)",
    rule=lambda scores, baseline: statistics.fmean(scores),
    needs_unadapted=False,
)
GAIN = RewardSpec(
    name="gain",
    semantics=SEMANTICS,
    text="over the unadapted student",
    rule=lambda scores, baseline: statistics.fmean(scores) - baseline,
)
IMPROVED = RewardSpec(
    name="improved",
    semantics=SEMANTICS,
    text="1 where there is a gain (the paper, Eq. 2)",
    rule=lambda scores, baseline: float(statistics.fmean(scores) - baseline > NOISE),
)
SOLVED = RewardSpec(
    name="solved",
    semantics=SEMANTICS,
    text="share of the repeats that solve every test (the paper, tasks)",
    rule=lambda scores, baseline: statistics.fmean(score == 1 for score in scores),
)
