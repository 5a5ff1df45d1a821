"""Settings of `score`: how a model is examined, and what that is worth."""

from dataclasses import dataclass

from stages.engines import APPLY_LORA, CHAT_MODES, LOCAL
from stages.fields import Config, option
from stages.grading import NAMES, resolved
from stages.rewards import CHOICES, REWARDS

RACES = ("off", "halving", "bounds")


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(Config):
    """How an adapted model is examined: greedy answers, a passage out of view, grids in view."""

    SECTION = "score"

    grader: str = option(
        "default",
        f"Grader of the answers: default (the domain's), {NAMES}. offline is the newest version; "
        "MODEL is a model behind --base-url.",
        elsewhere=True,
    )
    engine: str = option("transformers", "Engine that answers.", choices=APPLY_LORA, elsewhere=True)
    answer_tokens: int = option(64, "Longest answer, in tokens.", minimum=1)
    reward_floor: float = option(0.0, "Reward of an invalid self-edit.")
    voting: bool = option(False, "Ask under all 8 symmetries; submit the two most common grids.")
    chat: str = option("auto", "Use the model's chat template.", choices=CHAT_MODES, elsewhere=True)
    probe_limit: int = option(
        10, "Contexts of the probe to ask about; 0 is all.", minimum=0, elsewhere=True
    )
    decode_batch: int = option(128, "Sequences decoded together.", minimum=1, volatile=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grader != "default":
            object.__setattr__(self, "grader", resolved(self.grader))


@dataclass(frozen=True, kw_only=True)
class RewardConfig(Config):
    """What examinations are worth, and how many of them are made."""

    SECTION = "reward"

    reward: str = option(
        "accuracy",
        "What a self-edit earns. "
        + "; ".join(f"{spec.name}: {spec.text}" for spec in REWARDS.values())
        + "; binary: improved, for tasks solved",
        choices=CHOICES,
    )
    racing: str = option(
        "off",
        "Stop repeating self-edits that are clearly losing in their context.",
        choices=RACES,
    )
    racing_keep: float = option(
        0.5, "For halving: share that runs again, rounded up.", minimum=0.01, maximum=1
    )
    racing_confidence: float = option(
        0.5, "For bounds: confidence; a lower one saves more runs.", minimum=0, maximum=0.999
    )
    proxy_engine: str = option("transformers", "For proxy: engine of the judge.", choices=LOCAL)
    proxy_tokens: int = option(128, "For proxy: longest judgement, in tokens.", minimum=1)
