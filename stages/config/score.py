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
        "what judges the answers: default (the domain's), "
        f"{NAMES}; offline is the newest version, MODEL a model behind --base-url",
        elsewhere=True,
    )
    engine: str = option("transformers", "who answers", choices=APPLY_LORA, elsewhere=True)
    answer_tokens: int = option(64, "longest answer in tokens", minimum=1)
    reward_floor: float = option(0.0, "reward of an invalid self-edit")
    voting: bool = option(
        False, "ask for grids in eight ways and give the two that come most often as attempts"
    )
    chat: str = option("auto", "use the model's chat template", choices=CHAT_MODES, elsewhere=True)
    probe_limit: int = option(
        10, "contexts of the probe that are asked about; 0 is all", minimum=0, elsewhere=True
    )
    decode_batch: int = option(128, "sequences decoded together", minimum=1, volatile=True)

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
        "; ".join(f"{spec.name}: {spec.text}" for spec in REWARDS.values())
        + "; binary: improved or, of tasks, solved",
        choices=CHOICES,
    )
    racing: str = option(
        "off",
        "give no further repeats to who is behind in its context: by halving, or by bounds",
        choices=RACES,
    )
    racing_keep: float = option(
        0.5, "share that runs again (halving), rounded up", minimum=0.01, maximum=1
    )
    racing_confidence: float = option(
        0.5, "confidence of the bounds: lower saves more runs", minimum=0, maximum=0.999
    )
    proxy_engine: str = option("transformers", "who runs the judge (proxy)", choices=LOCAL)
    proxy_tokens: int = option(128, "longest judgement in tokens (proxy)", minimum=1)
