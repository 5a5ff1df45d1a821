"""Settings of `adapt`, and those of every LoRA."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.engines import CHAT_MODES
from stages.errors import ConfigError
from stages.fields import Config, option
from stages.tokens import Row
from stages.training import Job
from stages.training.schedule import SCHEDULES

OVER_LENGTH = ("cut", "drop")
PAD_TARGETS = ("eos", "none", "official")


@dataclass(frozen=True, kw_only=True)
class LoraConfig(Config):
    """A LoRA and how it is trained: shared by the inner loop (adapt) and the outer one (update)."""

    rank: int = option(32, "LoRA rank.", minimum=1, maximum=512)
    alpha: int = option(64, "LoRA alpha; updates are scaled by alpha / rank.", minimum=1)
    targets: str = option(
        "default",
        "Modules: 'default' (query and value), 'all-linear', or names with commas.",
        elsewhere=True,
    )
    epochs: int = option(10, "Passes over the training sequences.", minimum=1, maximum=1000)
    learning_rate: float = option(1e-3, "Peak learning rate.", minimum=0, maximum=1)
    schedule: str = option(
        "linear", "Decay of the learning rate to zero after its peak.", choices=SCHEDULES
    )
    warmup_steps: int = option(0, "Optimizer steps of warm-up.", minimum=0)
    batch_size: int = option(1, "Sequences per optimizer step.", minimum=1)
    max_length: int = option(2048, "Longest training sequence, in tokens.", minimum=2)
    seed: int = option(0, "Run seed; every row derives its own seed from it.")

    def job(self, rows: Sequence[Row], targets: tuple[str, ...], seed: int, **decided: Any) -> Job:
        """A training on these rows as configured, but for what is `decided` otherwise."""
        names = ("rank", "alpha", "epochs", "learning_rate", "batch_size", "schedule")
        known = {name: getattr(self, name) for name in (*names, "warmup_steps")}
        return Job(rows=tuple(rows), targets=targets, seed=seed, **known | decided)


@dataclass(frozen=True, kw_only=True)
class AdaptConfig(LoraConfig):
    """The inner loop, with the paper's constants (appendix; PEFT's default targets for Qwen2)."""

    SECTION = "adapt"

    repeats: int = option(3, "Adapters per self-edit, each with its own seed.", minimum=1)
    max_sequences: int = option(
        128, "Training sequences per self-edit, the passage included (the paper: 31).", minimum=1
    )
    over_length: str = option(
        "cut",
        "Cut a sequence longer than max-length, or drop it for the next one. One that has no "
        "target left is always dropped.",
        choices=OVER_LENGTH,
    )
    pad_targets: str = option(
        "eos",
        "End tokens as targets: one per sequence (eos), none, or padding to max-length "
        "(official, as in the paper).",
        choices=PAD_TARGETS,
    )
    max_epochs: int = option(20, "Most epochs that a self-edit may ask for.", minimum=1)
    max_learning_rate: float = option(
        1e-2, "Highest learning rate that a self-edit may ask for.", minimum=0, maximum=1
    )
    max_steps: int = option(
        375,
        "Most optimizer steps of a self-edit that asks for its epochs (the paper: 375).",
        minimum=1,
    )
    chat: str = option("auto", "Use the model's chat template.", choices=CHAT_MODES, elsewhere=True)
    slots: str = option(
        "auto", "Adapters trained at once: a number, or auto (by free memory).", volatile=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slots != "auto" and not (self.slots.isdecimal() and int(self.slots) > 0):
            raise ConfigError(f"slots is {self.slots!r}.", "Give a number from 1 on, or auto.")

    @property
    def n_slots(self) -> int | None:
        """The slots asked for; None for auto."""
        return None if self.slots == "auto" else int(self.slots)
