"""Transforms of one grid, an array [height, width] of colours, each with its inverse, in numpy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stages.domains.arc.grids import COLOURS, Grid

Array: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Transform:
    """`inverse(apply(grid))` is `grid`; of a grid that `apply` cannot make it is anything."""

    name: str
    apply: Callable[[Array], Array]
    inverse: Callable[[Array], Array]


def array(grid: Grid) -> Array:
    """A grid as an array [height, width]."""
    return np.array(grid, dtype=np.uint8)


def grid(array: Array) -> Grid:
    """An array as a grid."""
    return tuple(tuple(row) for row in array.tolist())


def rotation(quarters: int) -> Transform:
    """Quarter turns, counter-clockwise."""
    return Transform(
        f"rotate {90 * quarters}",
        lambda grid: np.rot90(grid, quarters),
        lambda grid: np.rot90(grid, -quarters),
    )


def flip(axis: int) -> Transform:
    """Upside down (axis 0) or left to right (axis 1)."""
    return Transform(f"flip {axis}", lambda g: np.flip(g, axis), lambda g: np.flip(g, axis))


def _antitranspose(grid: Array) -> Array:
    return np.rot90(grid, 2).T


TRANSPOSE = Transform("transpose", np.transpose, np.transpose)
ANTITRANSPOSE = Transform("antitranspose", _antitranspose, _antitranspose)


def mirror(axis: int, *, first: bool) -> Transform:
    """The grid and its reflection, side by side along `axis`; the reflection `first` or second."""

    def apply(grid: Array) -> Array:
        halves = (grid, np.flip(grid, axis))
        return np.concatenate(halves[::-1] if first else halves, axis)

    def inverse(grid: Array) -> Array:
        low, high = np.array_split(grid, [grid.shape[axis] // 2], axis)
        return high if first else low

    return Transform(f"mirror {axis} {'before' if first else 'after'}", apply, inverse)


def translation(down: int, right: int) -> Transform:
    """What leaves on one side comes in on the other."""
    return Transform(
        f"translate {down} {right}",
        lambda grid: np.roll(grid, (down, right), (0, 1)),
        lambda grid: np.roll(grid, (-down, -right), (0, 1)),
    )


def scaling(height: int, width: int) -> Transform:
    """Every cell becomes a block of this size."""
    return Transform(
        f"scale {height} {width}",
        lambda grid: grid.repeat(height, 0).repeat(width, 1),
        lambda grid: grid[::height, ::width],
    )


def repetition(down: int, right: int) -> Transform:
    """The grid so many times below and beside itself."""
    return Transform(
        f"repeat {down} {right}",
        lambda grid: np.tile(grid, (down, right)),
        lambda grid: grid[: grid.shape[0] // down, : grid.shape[1] // right],
    )


def chain(*parts: Transform) -> Transform:
    """One after the other."""

    def apply(grid: Array) -> Array:
        for part in parts:
            grid = part.apply(grid)
        return grid

    def inverse(grid: Array) -> Array:
        for part in reversed(parts):
            grid = part.inverse(grid)
        return grid

    return Transform(" then ".join(part.name for part in parts), apply, inverse)


def recolouring(colours: tuple[int, ...]) -> Transform:
    """Colour i becomes `colours[i]`, a permutation of all ten."""
    table = np.array(colours, dtype=np.uint8)
    back = np.argsort(table).astype(np.uint8)
    name = "recolour " + "".join(map(str, colours))
    assert len(colours) == COLOURS
    return Transform(name, lambda grid: table[grid], lambda grid: back[grid])


IDENTITY = chain()
TURNS = (rotation(1), rotation(2), rotation(3))
FLIPS = (flip(0), flip(1))
MIRRORS = tuple(mirror(axis, first=first) for axis in (0, 1) for first in (True, False))
DOUBLED = scaling(2, 2)

# What the tools stand for, as in the released code; `basic` has a translation of its own besides.
BASIC = (*TURNS, *FLIPS, TRANSPOSE, *MIRRORS)
SIZE = (DOUBLED, scaling(2, 1), scaling(1, 2))
CHAIN = tuple(chain(part, DOUBLED) for part in (*TURNS, *FLIPS, TRANSPOSE))
REPEAT = (repetition(2, 1), repetition(1, 2), repetition(2, 2))

# The symmetries of the square: what a prediction can be asked for under, and taken back.
SYMMETRIES = (IDENTITY, *TURNS, *FLIPS, TRANSPOSE, ANTITRANSPOSE)
