"""The rules by which the examinations of one self-edit become its reward.

A rule sees the accuracy of each repeat and of the unadapted student, nothing else. The proxy reward
is no rule: it examines nobody (`stages.rewards.proxy`).
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Rule = Callable[[Sequence[float], float], float]  # accuracy of each repeat, unadapted -> reward

SEMANTICS = 1
PROXY = "proxy"
NOISE = 1e-9  # the mean of 1/5, 1/5 and 1/5 is a little more than 1/5
RULES: Mapping[str, Rule] = {
    # The paper's for passages: mean accuracy over the repeats.
    "accuracy": lambda scores, baseline: statistics.fmean(scores),
    "gain": lambda scores, baseline: statistics.fmean(scores) - baseline,
    # 1 when the mean is above the unadapted student's, as the paper's Eq. 2 has it.
    "improved": lambda scores, baseline: float(statistics.fmean(scores) - baseline > NOISE),
    # The paper's for tasks: 1 when every test was solved; the share of the repeats that did.
    "solved": lambda scores, baseline: statistics.fmean(score == 1 for score in scores),
}


@dataclass(frozen=True)
class ChosenRule:
    """A rule as a run holds it."""

    name: str

    def key(self) -> dict[str, Any]:
        """What it adds to a key."""
        return {"name": self.name, "semantics": SEMANTICS}


def rule_of(choice: str, regime: Literal["single", "fewshot"]) -> str:
    """The rule that a choice stands for: `binary` means `improved` or, for tasks, `solved`."""
    if choice == "binary":
        return "solved" if regime == "fewshot" else "improved"
    return choice
