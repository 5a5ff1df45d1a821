"""What a self-edit can be worth: the table of rewards, and a reward as a run holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stages.rewards.rules import ACCURACY, GAIN, IMPROVED, SOLVED, RewardSpec
from stages.tables import Chosen

# A model judges the text; nothing is trained and nobody examined (`stages.rewards.proxy`).
PROXY = RewardSpec(name="proxy", text="a model judges the text; nothing is trained", rule=None)
REWARDS = {spec.name: spec for spec in (ACCURACY, GAIN, IMPROVED, SOLVED, PROXY)}
# Names that stand for another one, by how the domain is measured.
BY_REGIME: Mapping[str, Mapping[str, str]] = {"binary": {"single": "improved", "fewshot": "solved"}}
_ALIAS = {name: alias for alias, names in BY_REGIME.items() for name in names.values()}
CHOICES = tuple(dict.fromkeys(_ALIAS.get(name, name) for name in REWARDS))


@dataclass(frozen=True)
class ChosenReward(Chosen):
    """A reward as a run holds it."""

    @property
    def entry(self) -> RewardSpec:
        """Its line in the table."""
        return REWARDS[self.name]


def reward_of(choice: str, regime: Literal["single", "fewshot"]) -> ChosenReward:
    """The reward that a choice stands for, where contexts are measured in this regime."""
    return ChosenReward(BY_REGIME[choice][regime] if choice in BY_REGIME else choice)
