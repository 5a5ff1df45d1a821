"""A few-shot task: demonstrations of a rule, from the text of a context."""

import json
from dataclasses import dataclass

from stages.domains.arc.grids import Grid, checked


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
