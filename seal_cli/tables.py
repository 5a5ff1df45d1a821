"""Tables for people, at any width: text wraps, numbers never, and what is left out is said.

What tells no line from another is said once, above the table. Where the width is not enough,
columns whose values repeat line after line become headings of groups; the last columns are left
out only when that does not help, and the table says which.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

from seal_cli.console import WIDEST, safe
from seal_cli.reports.colours import COLOURS
from stages.domains import drawn

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

GAP = 2  # characters between columns
LEAST, ENOUGH = 10, 24  # characters that a text keeps; those it has before columns are lifted
PLACES, FEWER = 4, 3  # decimals of a float, and those where room is scarce
_WORD = re.compile(r"[^\s-]+-?")
FEW = 3  # rows that are better shown a line a field than with columns left out
SHORT = 40  # characters of a value that can be said above a table


@dataclass(frozen=True)
class Column:
    """One column with its values."""

    name: str
    values: Sequence[Any]

    @cached_property
    def number(self) -> bool:
        """Whether its values are numbers, which are never split."""
        kinds = {type(value) for value in self.values if value is not None}
        return bool(kinds) and kinds <= {int, float}

    @cached_property
    def floats(self) -> bool:
        """Whether it has fractions: a measurement, nothing to group lines by."""
        return any(isinstance(value, float) for value in self.values)

    @cached_property
    def grids(self) -> bool:
        """Whether it holds ARC grids."""
        return any(isinstance(value, str) and drawn(value) for value in self.values)

    @property
    def runs(self) -> int:
        """How many stretches of equal values it has, from the first line to the last."""
        return sum(1 for _ in groupby(self.values))

    def same(self) -> bool:
        """Whether it tells no line from another: it is empty, or one short value throughout."""
        if not self.values or any(value != self.values[0] for value in self.values):
            return False
        empty = self.values[0] in (None, "")
        return empty or (len(self.values) > 1 and not self.floats and self._short)

    def one(self) -> bool:
        """Whether it is a text that is the same wherever there is one."""
        return (
            len({str(v) for v in self.values if v not in (None, "")}) == 1
            and not self.number
            and self._short
        )

    @property
    def _short(self) -> bool:
        return all(len(str(value)) <= SHORT for value in self.values)

    def about(self) -> str:
        """Its name and its one value."""
        return f"{self.name} {next(cell for cell in self.cells(PLACES) if cell)}"

    def cells(self, places: int) -> "list[str | Text]":
        """Its values as people read them."""
        if self.grids:
            return [_grid(value) for value in self.values]
        floats = [value for value in self.values if isinstance(value, float)]
        needed = max((_decimals(value, places) for value in floats), default=0)
        return [_cell(value, needed) for value in self.values]

    def natural(self, places: int) -> int:
        """Characters of its widest line; of its name only the longest part counts."""
        return max(_part(self.name), *map(_width, self.cells(places)), 1)

    def least(self, places: int, floor: int = LEAST) -> int:
        """The characters it cannot do without: its numbers, its longest word up to a limit."""
        natural = self.natural(places)
        if self.number or self.grids:
            return natural
        words = (len(word) for cell in self.cells(places) for word in _WORD.findall(str(cell)))
        word = min(max(words, default=0), ENOUGH)
        return min(natural, max(floor, word, _part(self.name)))


def layout(
    names: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None
) -> "Iterator[str | Table]":
    """The lines above a table, the table, and what was left out of it.

    `width` in characters; None for a file, where nothing has to be left out.
    """
    every = _columns(names, rows)
    columns = [column for column in every if not column.same()] or every
    if same := [c for c in every if c not in columns and c.values[0] not in (None, "")]:
        yield f"On every line: {', '.join(c.about() for c in same)}."
    places = PLACES if width is None or _total(columns, PLACES) <= width else FEWER
    room = WIDEST if width is None else width
    shown, once, lifted, left_out = _chosen(columns, room, places)
    if left_out and len(rows) <= FEW:
        names = [column.name for column in columns]
        yield from every_column(names, list(zip(*(c.values for c in columns), strict=True)), width)
        return
    if once:
        yield f"Where a line has one: {', '.join(c.about() for c in once)}."
    yield from _grouped(shown, lifted, _widths(shown, room, places), places)
    if left_out:
        names = [column.name for column in left_out]
        yield f"Left out at this width: {', '.join(names)} (--format csv has all)."


def every_column(
    names: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None
) -> "Iterator[str | Table]":
    """A table with all columns that were asked for, a line a field where it would be too wide."""
    columns = _columns(names, rows)
    room = WIDEST if width is None else width
    if _total(columns, PLACES, ENOUGH) <= room:
        yield from _grouped(columns, [], _widths(columns, room, PLACES), PLACES)
        return
    label = max(1, min(max(map(len, names)), room // 2))
    heads = list(map(safe, names))
    for number, row in enumerate(rows):
        cells = [
            Column(name, [value]).cells(PLACES)[0] for name, value in zip(names, row, strict=True)
        ]
        if number:
            yield ""
        fields = [Column("row", heads), Column(str(number), cells)]
        yield _table(fields, [heads, cells], [label, max(1, room - label - GAP)], heading=True)


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Column]:
    values = list(zip(*rows, strict=True)) or [()] * len(names)
    return [Column(name, column) for name, column in zip(names, values, strict=True)]


def _grouped(
    shown: Sequence[Column], lifted: Sequence[Column], widths: Sequence[int], places: int
) -> "Iterator[str | Table]":
    """A table for each stretch of lines with the same values of what was lifted."""
    cells = [column.cells(places) for column in shown]
    n_rows = len(cells[0])
    labels = zip(*(c.cells(PLACES) for c in lifted), strict=True) if lifted else [()] * n_rows
    stretches = [(label, len(list(group))) for label, group in groupby(labels)]
    start = 0
    for label, n in stretches or [((), 0)]:
        if label:
            about = (f"{c.name} {said}" for c, said in zip(lifted, label, strict=True) if said)
            yield ("\n" if start else "") + ", ".join(about) + ":"
        yield _table(shown, [c[start : start + n] for c in cells], widths, heading=start == 0)
        start += n


def _total(columns: Sequence[Column], places: int, floor: int | None = None) -> int:
    """Characters of a line: as wide as its values, or with no text wider than it must be."""
    widths = [c.natural(places) if floor is None else c.least(places, floor) for c in columns]
    return sum(widths) + GAP * (len(columns) - 1)


def _chosen(
    columns: list[Column], room: int, places: int
) -> tuple[list[Column], list[Column], list[Column], list[Column]]:
    """Which columns are shown, said once, headings of groups, and left out."""
    shown, once, lifted, left_out = list(columns), list[Column](), list[Column](), list[Column]()
    while len(shown) > 1 and _total(shown, places, ENOUGH) > room and (found := _liftable(shown)):
        shown.remove(found)
        lifted.append(found)
    while _total(shown, places) > room and (found := next(filter(Column.one, shown[1:]), None)):
        shown.remove(found)
        once.append(found)
    while _total(shown, places) > room and (found := _optional(shown, places, room)):
        shown.remove(found)
        left_out.append(found)
    as_before = columns.index
    return shown, once, sorted(lifted, key=as_before), sorted(left_out, key=as_before)


def _liftable(columns: Sequence[Column]) -> Column | None:
    """The column that changes least often from line to line, the widest of several."""
    able = [c for c in columns if 2 * c.runs <= len(c.values) and not c.grids and not c.floats]
    return min(able, key=lambda c: (c.runs, -c.natural(PLACES)), default=None)


def _optional(columns: Sequence[Column], places: int, room: int) -> Column | None:
    """What can go best while not even the least of all fits: a text, the last of them first."""
    if _total(columns, places, LEAST) <= room or len(columns) == 1:
        return None
    texts = [column for column in columns[1:] if not column.number]
    return (texts or columns)[-1]


def _widths(columns: Sequence[Column], room: int, places: int) -> list[int]:
    """Characters of each column: texts share what numbers leave, the short ones served first."""
    widths = {c.name: c.natural(places) for c in columns}
    texts = sorted((c for c in columns if not c.number), key=lambda c: widths[c.name])
    rest = room - GAP * (len(columns) - 1) - sum(widths[c.name] for c in columns if c.number)
    for i, column in enumerate(texts):
        least = sum(c.least(places) for c in texts[i + 1 :])
        share = max(rest // (len(texts) - i), column.least(places))
        widths[column.name] = max(min(widths[column.name], share, rest - least), 1)
        rest -= widths[column.name]
    return [widths[column.name] for column in columns]


def _table(
    columns: Sequence[Column],
    cells: "Sequence[Sequence[str | Text]]",
    widths: Sequence[int],
    *,
    heading: bool,
) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=heading)
    for column, width in zip(columns, widths, strict=True):
        justify: Literal["right", "left"] = "right" if column.number else "left"
        name = _broken(safe(column.name), width)
        table.add_column(name, width=width, justify=justify, overflow="fold")
    for row in zip(*cells, strict=True):
        table.add_row(*(_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)))
    return table


def _wrapped(cell: "str | Text", width: int) -> "str | Text":
    """A text on lines of at most `width`, broken at spaces and behind hyphens where it can be."""
    if not isinstance(cell, str):
        return cell
    lines = (wrap(line, width) or [""] for line in cell.splitlines())
    return "\n".join(part for line in lines for part in line)


def _broken(name: str, width: int) -> str:
    """A name on as many lines as it needs, broken behind underscores."""
    lines = [""]
    for i, word in enumerate(parts := name.split("_")):
        word += "_" * (i < len(parts) - 1)
        if lines[-1] and len(lines[-1] + word) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)


def _part(name: str) -> int:
    """Characters of a name's longest part, its underscore included."""
    first, *rest = reversed(name.split("_"))
    return max(len(first), *(len(word) + 1 for word in rest), 1)


def _width(cell: "str | Text") -> int:
    from rich.cells import cell_len

    return max(map(cell_len, str(cell).splitlines()), default=0)


def _decimals(value: float, places: int) -> int:
    return len(f"{value:.{places}f}".rstrip("0").partition(".")[2])


def _cell(value: Any, decimals: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        small = value and abs(value) < 10**-decimals
        return f"{value:.2g}" if small else f"{value:.{decimals}f}"
    return safe(str(value))


def _grid(value: Any) -> "str | Text":
    """A grid as coloured cells, two characters wide."""
    from rich.text import Text

    found = drawn(value) if isinstance(value, str) else None
    if found is None:
        return _cell(value, 0)
    grid = Text("\n").join(
        Text.assemble(*((f"{colour} ", f"black on {COLOURS[colour]}") for colour in row))
        for row in found
    )
    return grid + Text("\n")
