"""The plots of `rounds` and `continual` as lines of text, for a terminal."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from seal_cli.console import safe

Row = Mapping[str, Any]
LEAST, MOST = 24, 72  # characters of the axis
SHADES = " ▁▂▃▄▅▆▇█"  # from 0 to 1, in eighths


def plot(name: str, rows: Sequence[Row], width: int) -> str | None:
    """A report's plot, at most `width` characters wide, or None: not all reports have one."""
    if not rows or name not in _PLOTS:
        return None
    return _PLOTS[name](rows, width)


def _rounds(rows: Sequence[Row], width: int) -> str | None:
    """Accuracy with its interval, a line each: `├──●──┤` on an axis from 0 to 1."""
    about = ("dataset", "grader", "model", "student", "prompt")
    telling = [key for key in about if len({row[key] for row in rows}) > 1]
    labels = [_label(row, "method", *telling) + f" {row['round']}" for row in rows]
    left = max(map(len, labels)) + 1
    axis = min(width - left, MOST)
    if axis < LEAST:
        return None
    lines = [
        label.ljust(left) + _interval(row["accuracy"], row["low"], row["high"], axis)
        for label, row in zip(labels, rows, strict=True)
    ]
    scale = "0" + "accuracy".center(axis - 2) + "1"
    return "\n".join([*lines, " " * left + scale])


def _label(row: Row, *keys: str) -> str:
    return " ".join(safe(str(row[key])) for key in keys if row[key] is not None)


def _interval(value: float, low: float | None, high: float | None, axis: int) -> str:
    at = [round(x * (axis - 1)) for x in (value, value if low is None else low, high or value)]
    cells = [" "] * axis
    cells[at[1] : at[2] + 1] = "─" * (at[2] + 1 - at[1])
    if at[1] < at[2]:
        cells[at[1]], cells[at[2]] = "├", "┤"
    cells[at[0]] = "●"
    return "".join(cells).rstrip()


def _continual(rows: Sequence[Row], width: int) -> str | None:
    """What is left of each passage after each edit: an eighth of a block per eighth of accuracy."""
    edits = [name for name in rows[0] if name.isdecimal()]
    size = min((width - 8) // max(len(edits), 1), 4)
    if size < 1 or not edits:
        return None
    lines = []
    for method, group in groupby(rows, lambda row: _label(row, "method", "model")):
        lines += [method, "edits   " + "passage learned at edit 1, 2, …"]
        for row in group:
            cells = (row[name] for name in edits)
            shades = (" " if c is None else SHADES[min(round(c * 8), 8)] or " " for c in cells)
            lines.append(
                f"{row['step']:>5}   " + "".join(shade * size for shade in shades).rstrip()
            )
    return "\n".join(lines)


_PLOTS = {"rounds": _rounds, "continual": _continual}
