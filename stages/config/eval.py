"""Settings of `eval`, and of each of its regimes."""

from dataclasses import dataclass

from stages.errors import ConfigError
from stages.fields import Config, option


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Config):
    """How a policy is measured. Its four shared fields stand in place of the other stages'."""

    SECTION = "eval"

    regime: str = option(
        "default",
        "single (one passage, one adapter), cpt (all passages at once), continual (one edit "
        "after another) or fewshot (one task); default is the domain's.",
        choices=("default", "single", "cpt", "continual", "fewshot"),
    )
    oracle: str = option(
        "", "For fewshot: a file with one self-edit, used for every task.", elsewhere=True
    )
    samples: int = option(1, "Self-edits per context.", minimum=1)
    repeats: int = option(1, "Adapters per self-edit, each with its own seed.", minimum=1)
    limit: int = option(0, "Use this many contexts, wrapping around; 0 is all.", minimum=0)
    offset: int = option(0, "Start at this context.", minimum=0)
    seed: int = option(0, "Run seed; every row derives its own seed from it.")


@dataclass(frozen=True, kw_only=True)
class CptConfig(Config):
    """Continued pretraining on many passages at once, in place of [adapt] where both have a field.

    The paper's constants: v2 finetunes all weights (1 epoch at 7e-5, warm-up 0.03), v1 a LoRA (3
    epochs at 1e-3); both take 4 x 2 sequences per step and learn a self-edit as one text.
    """

    SECTION = "cpt"

    full: bool = option(False, "Finetune all weights instead of a LoRA.")
    lines: bool = option(False, "Learn each line of a self-edit by itself, not the whole as one.")
    epochs: int | None = option(
        None, "Passes over the texts.", shown="3, with --full 1", minimum=1, maximum=1000
    )
    learning_rate: float | None = option(
        None, "Peak learning rate.", shown="0.001, with --full 7e-5", minimum=0, maximum=1
    )
    batch_size: int | None = option(None, "Sequences per optimizer step.", shown="8", minimum=1)
    warmup: float | None = option(
        None,
        "With --full: share of the steps that is warm-up, without --warmup-steps.",
        shown="0.03",
        minimum=0,
        maximum=1,
    )
    questions: int = option(
        0, "Ask this many questions, drawn as the released code draws its 500; 0 is all.", minimum=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup and not self.full:
            raise ConfigError(
                "warmup, a share of the steps, goes with --full.",
                "Leave it out; a LoRA has --warmup-steps.",
            )
        defaults = (
            {"epochs": 1, "learning_rate": 7e-5, "batch_size": 8, "warmup": 0.03}
            if self.full
            else {"epochs": 3, "learning_rate": 1e-3, "batch_size": 8, "warmup": 0.0}
        )
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class ContinualConfig(Config):
    """A sequence of self-edits, each learned on top of the ones before (paper §5, Fig. 6)."""

    SECTION = "continual"

    edits: int = option(8, "Self-edits of a sequence, each about another passage.", minimum=1)
    sequences: int = option(8, "Sequences, each from the same model (the paper: 64).", minimum=1)
    separate: bool = option(
        False, "Keep the adapters apart and ask each about its passage, instead of merging them."
    )
    replay: float = option(
        0.0,
        "Earlier self-edits of the sequence learned again with each: a number, or a share below 1.",
        minimum=0,
    )  # fmt: skip
    gate: float | None = option(
        None, "Points of accuracy that a merge may cost before it is held back.", minimum=0
    )
    gate_action: str = option(
        "clip",
        "Scale a merge over its budget down to a half, a quarter, then nothing (clip), or "
        "leave it out (reject).",
        choices=("clip", "reject"),
    )
    gate_on: str = option(
        "earlier", "What a merge must not harm: the passages edited earlier, or the --probe.",
        choices=("earlier", "probe"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.replay > 1 and self.replay != int(self.replay):
            raise ConfigError(
                f"replay is {self.replay}.", "Give a whole number or a share below 1."
            )
        if self.separate and (self.replay or self.gate is not None):
            raise ConfigError(
                "separate adapters forget nothing: there is nothing to replay or to gate.",
                "Leave out --replay and --gate, or --separate.",
            )
        if self.gate is None and (self.gate_on, self.gate_action) != ("earlier", "clip"):
            raise ConfigError(
                "--gate-on and --gate-action say how --gate works, and there is no gate.",
                "Give its budget in points, --gate 5, or leave them out.",
            )
