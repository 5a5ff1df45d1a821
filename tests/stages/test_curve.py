"""When a loop may end, on learning curves by hand."""

import pytest

from stages.curve import Gain, best, said, settled


def gain(low: float | None, high: float | None) -> Gain:
    value = None if low is None or high is None else (low + high) / 2
    return Gain(value, low, high, 9)


UP, HOLDS_0, DOWN = gain(0.1, 0.3), gain(-0.1, 0.2), gain(-0.3, -0.1)
AT_MOST_0, AT_LEAST_0, UNKNOWN = gain(-0.2, 0.0), gain(0.0, 0.2), gain(None, None)


@pytest.mark.parametrize(
    ("gains", "patience", "ends"),
    [
        ([], 1, False),
        ([UP, UP, UP], 1, False),
        ([HOLDS_0], 1, True),
        ([UP, HOLDS_0], 1, True),
        ([HOLDS_0], 2, False),
        ([HOLDS_0, UP, HOLDS_0], 2, False),  # the row is broken
        ([UP, HOLDS_0, HOLDS_0], 2, True),
        ([AT_LEAST_0, AT_LEAST_0], 2, True),
        ([DOWN], 5, True),  # certainly nothing: no need of patience
        ([UP, AT_MOST_0], 5, True),
        ([DOWN, UP], 5, False),  # what counts is the last round
        ([UNKNOWN, UNKNOWN], 1, False),  # nothing is said either way
        ([HOLDS_0, UNKNOWN], 2, False),
        ([DOWN, DOWN, DOWN], 0, False),  # off
    ],
)
def test_it_ends_when_the_intervals_say_no_gain(
    gains: list[Gain], patience: int, ends: bool
) -> None:
    assert (settled(gains, patience) is not None) is ends


def test_it_says_why() -> None:
    assert settled([UP, DOWN], 3) == (
        "round 2 gained nothing over the best before it (-0.200 [-0.300, -0.100])"
    )
    assert settled([HOLDS_0], 1) == "no certain gain in the last round (+0.050 [-0.100, +0.200])"
    assert "the last 2 rounds" in str(settled([HOLDS_0, HOLDS_0], 2))


def test_the_best_round_is_the_earliest_of_the_highest() -> None:
    assert best([0.1, 0.7, None, 0.7, 0.2]) == 1
    assert best([None, 0.0]) == 1
    assert best([None]) is None
    assert best([]) is None


def test_a_gain_without_numbers_is_said_in_words() -> None:
    assert said(Gain(0.25, None, None, 3)) == "+0.250 [no interval]"
    assert said(Gain(None, None, None, 0)) == "no gain to tell"
