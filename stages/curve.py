"""The learning curve of a loop: which round was best, and when more rounds gain nothing.

Decides from numbers alone, so that a loop that was killed and resumed decides the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference of accuracies, paired by context, with its 95 % interval."""

    value: float | None  # null without a context in common
    low: float | None  # null with too few of them for an interval
    high: float | None
    n: int


def best(accuracies: Sequence[float | None]) -> int | None:
    """The round with the highest accuracy, of equals the earliest; None when none has any."""
    known = [number for number, value in enumerate(accuracies) if value is not None]
    return max(known, key=lambda number: (accuracies[number], -number), default=None)


def settled(gains: Sequence[Gain], patience: int) -> str | None:
    """Why the loop may end after these rounds, or None. A patience of 0 never ends it.

    `gains[i]` is what round i + 1 gained over the best round before it. It ends when the last round
    certainly gained nothing (the interval lies at or below 0), or when none of the last `patience`
    rounds certainly gained something (the intervals hold 0). A round without an interval says
    nothing either way, and breaks the row.
    """
    if not (patience and gains):
        return None
    last = gains[-1]
    if last.high is not None and last.high <= 0:
        return f"round {len(gains)} gained nothing over the best before it ({said(last)})"
    row = gains[-patience:]
    if len(row) == patience and all(gain.low is not None and gain.low <= 0 for gain in row):
        rounds = "round" if patience == 1 else f"{patience} rounds"
        return f"no certain gain in the last {rounds} ({said(last)})"
    return None


def said(gain: Gain) -> str:
    """A gain in words: +0.246 [+0.150, +0.342]."""
    if gain.value is None:
        return "no gain to tell"
    if gain.low is None or gain.high is None:
        return f"{gain.value:+.3f} [no interval]"
    return f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
