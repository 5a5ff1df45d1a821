"""Who trains. A trainer turns jobs into LoRAs over one frozen base model and leaves it as found.

`reference` trains one job at a time with PEFT: slow, plain, and what every faster trainer is
compared with. Needs only torch, transformers, peft and safetensors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stages.tables import Entry
from stages.tokens import Row

if TYPE_CHECKING:
    from torch import Tensor


# Raised by hand when the same job would give another LoRA; in the key of what was trained.
SEMANTICS = 1
# The same for how LoRAs are folded into a base: float32, cast back to the checkpoint's dtype.
MERGE_SEMANTICS = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One adapter to train. `targets` are resolved module names, e.g. ("q_proj", "v_proj").

    `schedule` is one of `stages.training.schedule`, `objective` one of
    `stages.training.objectives`.
    """

    rows: tuple[Row, ...]
    rank: int
    alpha: int
    targets: tuple[str, ...]
    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    schedule: str = "linear"
    warmup_steps: int = 0
    objective: str = "rest-em"


@dataclass(frozen=True)
class Lora:
    """Low-rank updates by full module name: A [rank, in] and B [out, rank], float32 on the CPU.

    `transposed`: the adapted modules keep their weights as [in, out], as GPT-2's Conv1D does (a
    fact about the base model that PEFT wants to be told).
    """

    rank: int
    alpha: int
    weights: "dict[str, tuple[Tensor, Tensor]]"
    transposed: bool = False

    @property
    def targets(self) -> list[str]:
        """The short module names, as PEFT wants them."""
        return sorted({name.rsplit(".", 1)[-1] for name in self.weights})


@dataclass(frozen=True)
class Trained:
    """What became of a job: a LoRA, or the reason why there is none.

    `alone`: why it was trained one at a time where many at once were asked for.
    """

    lora: Lora | None
    n_steps: int
    first_loss: float | None
    last_loss: float | None
    seconds: float
    error: str | None = None
    alone: str | None = None


@dataclass(frozen=True, kw_only=True)
class Objective(Entry):
    """What a training minimises.

    `adds`: the loss of a step is the mean of -log p over its targets, each times the weight of its
    row, so rows can be trained apart and many jobs at once. Else all rows of a step come together.
    """

    adds: bool = False

    def loss(self, rows: Sequence[Row], losses: "Sequence[Tensor]", n_targets: int) -> "Tensor":
        """What these rows add to the loss of a step that has `n_targets` in all.

        `losses` are -log p of each row's targets, [n_targets of the row].
        """
        raise NotImplementedError


class Trainer(Protocol):
    """Trains jobs and yields their results in the order of the jobs."""

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        """One result per job; errors are in them, not raised."""
