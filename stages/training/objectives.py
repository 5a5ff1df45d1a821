"""The table of objectives: what a training minimises."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.tables import Chosen
from stages.tokens import Row
from stages.training import Objective

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RestEm(Objective):
    """Supervised finetuning (ReST-EM's M-step, paper Eq. 3; the inner loop, all weights 1)."""

    def loss(self, rows: Sequence[Row], losses: "Sequence[Tensor]", n_targets: int) -> "Tensor":
        """The weighted sum over the targets of these rows, over the number of all."""
        parts = [x.sum() * (row.weight / n_targets) for row, x in zip(rows, losses, strict=True)]
        return parts[0] if len(parts) == 1 else sum(parts[1:], parts[0])


OBJECTIVES: dict[str, Objective] = {one.name: one for one in (RestEm(name="rest-em", adds=True),)}


@dataclass(frozen=True)
class ChosenObjective(Chosen):
    """An objective as a run holds it."""

    @property
    def entry(self) -> Objective:
        """Its line in the table."""
        return OBJECTIVES[self.name]
