"""Settings of `update`."""

from dataclasses import dataclass

from stages.config.adapt import LoraConfig
from stages.errors import ConfigError
from stages.fields import option
from stages.training.objectives import OBJECTIVES


@dataclass(frozen=True, kw_only=True)
class UpdateConfig(LoraConfig):
    """The outer loop's finetuning (ReST-EM's M-step), with the paper's constants."""

    SECTION = "update"

    rank: int = option(64, "LoRA rank.", minimum=1, maximum=512)
    alpha: int = option(128, "LoRA alpha; updates are scaled by alpha / rank.", minimum=1)
    targets: str = option(
        "all-linear",
        "Modules: 'default' (query and value), 'all-linear', or names with commas.",
        elsewhere=True,
    )
    epochs: int = option(2, "Passes over the selection.", minimum=1, maximum=1000)
    learning_rate: float = option(3e-4, "Peak learning rate.", minimum=0, maximum=1)
    batch_size: int = option(10, "Sequences per optimizer step.", minimum=1)
    max_length: int = option(8192, "Longest prompt with completion, in tokens.", minimum=2)
    objective: str = option(
        "rest-em", "What the finetuning minimises.", choices=tuple(OBJECTIVES), elsewhere=True
    )
    keep: str = option(
        "merged",
        "Store the merged model, or the adapter alone, which needs its base.",
        choices=("merged", "adapter"),
    )
    replay: float = option(
        0.0,
        "Learn earlier rounds' self-edits again: up to 1 a share of the new ones, above it a "
        "number.",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.replay > 1 and self.replay % 1:
            raise ConfigError(
                f"replay is {self.replay}.", "Give a share up to 1, or a whole number from 2 on."
            )
