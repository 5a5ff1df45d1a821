"""Every transform is taken back by its inverse, on grids up to 30x30."""

from typing import Any

import numpy as np
from arc_made import grids
from hypothesis import given
from hypothesis import strategies as st

from stages.domains.arc import transforms as t

EVERY = (*t.BASIC, *t.SIZE, *t.CHAIN, *t.REPEAT, *t.SYMMETRIES)


@given(grids(), st.sampled_from(EVERY))
def test_every_transform_has_its_inverse(grid: Any, transform: t.Transform) -> None:
    before = t.array(grid)
    assert t.grid(transform.inverse(transform.apply(before))) == grid


@given(grids(), st.integers(-40, 40), st.integers(-40, 40), st.permutations(range(10)))
def test_so_have_translations_and_recolourings(grid: Any, i: int, j: int, to: list[int]) -> None:
    whole = t.chain(t.translation(i, j), t.recolouring(tuple(to)), t.rotation(1), t.scaling(2, 3))
    assert t.grid(whole.inverse(whole.apply(t.array(grid)))) == grid


def test_what_they_do_to_a_small_grid() -> None:
    grid = t.array(((1, 2), (3, 4)))
    done = {f.name: t.grid(f.apply(grid)) for f in EVERY}
    assert done["rotate 90"] == ((2, 4), (1, 3))
    assert done["flip 0"] == ((3, 4), (1, 2))
    assert done["transpose"] == ((1, 3), (2, 4))
    assert done["antitranspose"] == ((4, 2), (3, 1))
    assert done["mirror 1 after"] == ((1, 2, 2, 1), (3, 4, 4, 3))
    assert done["mirror 0 before"] == ((3, 4), (1, 2), (1, 2), (3, 4))
    assert done["scale 1 2"] == ((1, 1, 2, 2), (3, 3, 4, 4))
    assert done["scale 2 1"] == ((1, 2), (1, 2), (3, 4), (3, 4))
    assert done["repeat 2 1"] == ((1, 2), (3, 4), (1, 2), (3, 4))
    assert t.grid(t.translation(0, 1).apply(grid)) == ((2, 1), (4, 3))
    assert len(done) == len(set(done.values())) == len({f.name for f in EVERY})


@given(grids(largest=6))
def test_the_symmetries_are_the_eight_of_the_square(grid: Any) -> None:
    """Closed: doing one after another is again one of them."""
    array = t.array(grid)
    images = {f.apply(array).tobytes() for f in t.SYMMETRIES}
    for first in t.SYMMETRIES:
        for second in t.SYMMETRIES:
            assert np.ascontiguousarray(second.apply(first.apply(array))).tobytes() in images
