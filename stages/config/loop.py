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

    rounds: int = option(2, "Rounds of generate, score, filter and update.", minimum=1)
    limit: int = option(50, "Contexts per round, in order, wrapping around.", minimum=1)
    samples: int | None = option(None, "Self-edits per context.", shown="[generate]'s", minimum=1)
    repeats: int | None = option(None, "Adapters per self-edit.", shown="[adapt]'s", minimum=1)
    eval_limit: int | None = option(
        None, "Contexts of each evaluation.", shown="[eval]'s", minimum=0
    )
    seed: int | None = option(None, "Run seed of every stage.", shown="each stage's")
    slots: str | None = option(None, "Adapters trained at once.", shown="[adapt]'s")
    engine: str | None = option(
        None,
        "Engine that generates and answers.",
        shown="[generate]'s and [score]'s",
        choices=APPLY_LORA,
    )
    grader: str | None = option(None, "Grader of the answers.", shown="[score]'s")
    prompts: str = option("", "Run the loop once for each of these, side by side: a,b,c.")
    patience: int = option(
        0, "Stop after N rounds without a significant gain; 0 is never.", minimum=0
    )
    budget: str = option("", "Time to spend: 2h, 30m, 90s. The same command goes on later.")

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
