"""A grid of colours, and a grid as text. Knows no tasks, no transforms and no numpy.

As text a grid is a line per row and a digit per cell with spaces between (a digit alone is one
token for most tokenizers), or nested lists. In the tables a grid is JSON, as the ARC files have it.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

Grid = tuple[tuple[int, ...], ...]

COLOURS = 10  # 0 is the background
MAX_SIDE = 30  # ARC's own limit

_ROW = re.compile(r"\s*[0-9](?:[ \t]*[0-9])*\s*")
_INNER = r"\[[0-9,\s]*\]"
_LISTS = re.compile(rf"\[\s*{_INNER}(?:[,\s]*{_INNER})*\s*\]")


def checked(value: Any) -> Grid | None:
    """Nested lists as a grid: 1 to 30 rows of one width of 1 to 30 colours 0 to 9; else None."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_SIDE:
        return None
    if not all(isinstance(row, list | tuple) for row in value):
        return None
    if not 1 <= len(value[0]) <= MAX_SIDE or any(len(row) != len(value[0]) for row in value):
        return None
    # Not isinstance: true and false are integers to Python, but no colours.
    if any(type(cell) is not int or not 0 <= cell < COLOURS for row in value for cell in row):
        return None
    return tuple(tuple(row) for row in value)


def to_text(grid: Grid) -> str:
    """A line per row."""
    return "\n".join(" ".join(map(str, row)) for row in grid)


def from_text(text: str) -> Grid | None:
    """The first grid in a text: its first lines of digits; None if they are no grid."""
    rows: list[list[int]] = []
    for line in text.splitlines():
        if _ROW.fullmatch(line):
            rows.append([int(cell) for cell in line if "0" <= cell <= "9"])
        elif rows:
            break
    return checked(rows)


def to_lists(grid: Grid) -> str:
    """A list of rows, a line each, cells with blanks between, as numpy prints an array."""
    return "[" + "\n ".join("[" + " ".join(map(str, row)) + "]" for row in grid) + "]"


def from_lists(text: str) -> Grid | None:
    """The first nested lists in a text, commas allowed; None if there are none or no grid."""
    found = _LISTS.search(text)
    if found is None:
        return None
    rows = [row[1:-1].replace(",", " ").split() for row in re.findall(_INNER, found[0])]
    # Of several digits it is no colour, and of thousands nothing that `int` takes.
    return checked([[int(cell) if len(cell) == 1 else COLOURS for cell in row] for row in rows])


def to_json(grid: Sequence[Sequence[int]]) -> str:
    """The one JSON spelling of a grid."""
    return json.dumps(grid, separators=(",", ":"))


def from_json(text: str) -> Grid | None:
    """What `to_json` wrote, in any spelling; None for anything else."""
    try:
        return checked(json.loads(text))
    except (ValueError, RecursionError):
        return None
