"""Settings of `loop`."""

import re
from dataclasses import dataclass

from stages.engines import APPLY_LORA
from stages.errors import ConfigError
from stages.fields import Config, option

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True, kw_only=True)
class LoopConfig(Config):
    """The shape of the RL loop (paper: 2 rounds of 50 contexts, 5 samples, 3 repeats)."""

    SECTION = "loop"

    rounds: int = option(2, "rounds of generate, score, filter and update", minimum=1)
    limit: int = option(50, "contexts per round, taken in order, wrapping around", minimum=1)
    samples: int | None = option(None, "self-edits per context, in place of [generate]", minimum=1)
    repeats: int | None = option(None, "adapters per self-edit, in place of [adapt]", minimum=1)
    eval_limit: int | None = option(
        None, "contexts of each evaluation, in place of [eval]", minimum=0
    )
    seed: int | None = option(None, "run seed of every stage, in place of theirs")
    slots: str | None = option(None, "adapters trained at once, in place of [adapt]")
    engine: str | None = option(
        None,
        "who generates and answers, in place of [generate] and [score]",
        choices=APPLY_LORA,
    )
    grader: str | None = option(None, "who judges the answers, in place of [score]")
    prompts: str = option("", "run the loop once for each of these, side by side: a,b,c")
    patience: int = option(
        0, "stop after so many rounds in a row that gain nothing for certain; 0 is never", minimum=0
    )
    budget: str = option("", "time to spend: 2h, 30m, 90s; the same command goes on later")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompts and len(set(self.names) - {""}) != len(self.names):
            raise ConfigError(
                f"prompts is {self.prompts!r}.", "Give different names with commas: a,b,c."
            )
        if self.budget and not (_DURATION.fullmatch(self.budget) and self.seconds):
            raise ConfigError(f"budget is {self.budget!r}.", "Write 2h, 30m, 90s or 1h30m.")

    @property
    def names(self) -> tuple[str, ...]:
        """The prompts to compare; none where the one of [generate] is used."""
        return tuple(name.strip() for name in self.prompts.split(",")) if self.prompts else ()

    @property
    def seconds(self) -> float | None:
        """The time to spend; None for all it takes."""
        found = _DURATION.fullmatch(self.budget)
        if found is None or not self.budget:
            return None
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return 3600 * hours + 60 * minutes + seconds
