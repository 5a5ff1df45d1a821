"""A few-shot task: demonstrations, and a grid to be turned into another by the same rule, as text.

Knows how a task is written down for a model; what becomes of it in training is `training_set`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from stages.domains.arc.grids import Grid, checked, to_text

INTRODUCTION = "Find the rule that turns each input grid into its output grid."


@dataclass(frozen=True, slots=True)
class Pair:
    """A demonstration."""

    input: Grid
    output: Grid


def demonstrations(text: str) -> tuple[Pair, ...]:
    """The demonstrations of a context, from its text."""
    pairs = []
    for pair in json.loads(text):
        before, after = checked(pair["input"]), checked(pair["output"])
        assert before is not None  # only checked grids become contexts
        assert after is not None
        pairs.append(Pair(before, after))
    return tuple(pairs)


def shown(pairs: Sequence[Pair]) -> str:
    """Demonstrations, a blank line between them."""
    return "\n\n".join(f"{_asked(pair.input)}{to_text(pair.output)}" for pair in pairs)


def asked(pairs: Sequence[Pair], query: Grid) -> str:
    """What a model is asked: the demonstrations, then a grid that waits for its output."""
    return f"{INTRODUCTION}\n\n{shown(pairs)}\n\n{_asked(query)}"


def _asked(grid: Grid) -> str:
    return f"Input:\n{to_text(grid)}\nOutput:\n"
