"""Grids as text and as JSON."""

from typing import Any

import pytest
from arc_made import grids
from hypothesis import given
from hypothesis import strategies as st

from stages.domains.arc.grids import checked, from_json, from_text, to_json, to_text


@given(grids())
def test_a_grid_comes_back_from_text_and_from_json(grid: Any) -> None:
    assert from_text(to_text(grid)) == grid
    assert from_json(to_json(grid)) == grid
    assert checked([list(row) for row in grid]) == grid


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [[]],
        [[1], [1, 2]],
        [[10]],
        [[-1]],
        [[True]],
        [[1.0]],
        [["1"]],
        [1],
        [[0] * 31],
        [[0]] * 31,
        "12",
        {"0": [1]},
    ],
)
def test_what_is_no_grid(value: Any) -> None:
    assert checked(value) is None


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("1 2\n3 4", ((1, 2), (3, 4))),
        ("12\n34\n", ((1, 2), (3, 4))),
        ("The output:\n1 2\n3 4\n\n5 6", ((1, 2), (3, 4))),
        ("1 2\nand so on\n3 4", ((1, 2),)),
        ("1 2\n3", None),
        ("none", None),
        ("", None),
        ("1 \u0662", None),
        ("0 " * 31, None),
    ],
)
def test_the_first_grid_of_a_text(text: str, grid: Any) -> None:
    assert from_text(text) == grid


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    found = from_text(text), from_json(text)
    assert all(grid is None or checked(grid) == grid for grid in found)
