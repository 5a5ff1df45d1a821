"""The released code's training sets for ARC, made again in plain Python from what it does.

An oracle for counts: slow and obvious, on lists, sharing nothing with `stages.domains.arc`. What is
drawn at random there (shifts, colours, orders) is left out but for the number of draws.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

Grid = tuple[tuple[int, ...], ...]
Pair = tuple[Grid, Grid]
Change = Callable[[Grid], Grid]


def turned(grid: Grid) -> Grid:
    """A quarter turn, counter-clockwise."""
    return tuple(zip(*grid, strict=True))[::-1]


def transposed(grid: Grid) -> Grid:
    return tuple(zip(*grid, strict=True))


def upside_down(grid: Grid) -> Grid:
    return grid[::-1]


def left_to_right(grid: Grid) -> Grid:
    return tuple(row[::-1] for row in grid)


def stretched(height: int, width: int) -> Change:
    """Each cell so many times below and beside itself."""
    return lambda grid: tuple(
        tuple(cell for cell in row for _ in range(width)) for row in grid for _ in range(height)
    )


def tiled(height: int, width: int) -> Change:
    return lambda grid: tuple(row * width for row in grid) * height


def after(*changes: Change) -> Change:
    def all_of_them(grid: Grid) -> Grid:
        for change in changes:
            grid = change(grid)
        return grid

    return all_of_them


def beside(one: Change, other: Change) -> Change:
    return lambda grid: tuple(a + b for a, b in zip(one(grid), other(grid), strict=True))


def above(one: Change, other: Change) -> Change:
    return lambda grid: one(grid) + other(grid)


def same(grid: Grid) -> Grid:
    return grid


half_turned = after(turned, turned)
TWICE = stretched(2, 2)

# Under our names. The released tools have no other fixed transforms; `basic` has a random shift.
FIXED: dict[str, dict[str, Change]] = {
    "basic": {
        "rotate 90": turned,
        "rotate 180": half_turned,
        "rotate 270": after(turned, half_turned),
        "flip 0": upside_down,
        "flip 1": left_to_right,
        "transpose": transposed,
        "mirror 0 before": above(upside_down, same),
        "mirror 0 after": above(same, upside_down),
        "mirror 1 before": beside(left_to_right, same),
        "mirror 1 after": beside(same, left_to_right),
    },
    "size": {
        "scale 2 2": TWICE,
        "scale 2 1": stretched(2, 1),
        "scale 1 2": stretched(1, 2),
    },
    "chain": {
        f"{name} then scale 2 2": after(change, TWICE)
        for name, change in {
            "rotate 90": turned,
            "rotate 180": half_turned,
            "rotate 270": after(turned, half_turned),
            "flip 0": upside_down,
            "flip 1": left_to_right,
            "transpose": transposed,
        }.items()
    },
    "repeat": {
        "repeat 2 1": tiled(2, 1),
        "repeat 1 2": tiled(1, 2),
        "repeat 2 2": tiled(2, 2),
    },
}


def splits(pairs: Sequence[Pair]) -> list[tuple[Pair, ...]]:
    """Leave one out and leave two out, the pair that is asked for at the end."""
    found = []
    for asked, query in enumerate(pairs):
        others = [pair for i, pair in enumerate(pairs) if i != asked]
        for missing in (0, 1):
            for some in combinations(others, len(others) - missing):
                found.append((*some, query))
    return found


def tasks(pairs: Sequence[Pair], change: Change = same) -> set[tuple[Pair, ...]]:
    """Every task of one transform that shows something and has no grid over 30."""
    made = (
        tuple((change(before), change(output)) for before, output in task) for task in splits(pairs)
    )
    return {
        task
        for task in made
        if len(task) > 1 and all(max(len(g), len(g[0])) <= 30 for pair in task for g in pair)
    }


def with_nothing_shown(pairs: Sequence[Pair]) -> int:
    """Tasks without a demonstration, which the released code makes of two demonstrations."""
    return sum(len(task) == 1 for task in splits(pairs))
