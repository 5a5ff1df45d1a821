"""Exact match of grids: whole grids, in any spelling, and ARC's two attempts."""

import pytest

from stages.grading.grids import grid_match


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("[[1,2]]", 1.0),
        ("[[1, 2]]", 1.0),
        ("[[1,3]]", 0.0),
        ("[[1],[2]]", 0.0),
        ("[[1,3]]\n[[1,2]]", 1.0),
        ("[[1,3]]\n[[1,4]]\n[[1,2]]", 0.0),  # a third attempt is not looked at
        ("1 2", 0.0),
        ("", 0.0),
    ],
)
def test_one_of_two_attempts_is_the_whole_grid(answer: str, score: float) -> None:
    assert grid_match("", "[[1,2]]", answer) == score
