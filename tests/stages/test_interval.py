"""Means and their intervals: against exact quantiles, by simulation, and the same in SQL."""

import statistics
from pathlib import Path

import numpy as np
import pytest

from seal_cli.store import index
from stages.interval import interval, t975


@pytest.mark.parametrize(
    ("df", "exact"), [(3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227), (199, 1.97196)]
)
def test_the_quantile_is_student_s(df: int, exact: float) -> None:
    assert t975(df) == pytest.approx(exact, rel=0.01)


def test_the_interval_of_a_mean_is_by_hand() -> None:
    values = [0.0, 0.5, 0.5, 1.0, 0.25]
    half = t975(4) * statistics.stdev(values) / 5**0.5
    assert interval(values) == pytest.approx((0.45, 0.45 - half, 0.45 + half))


def test_weights_are_the_questions_of_a_context() -> None:
    """As if each question were a value, but for the error: questions of one context go together."""
    values, weights = [1.0, 0.0, 0.5, 0.5], [1.0, 3.0, 2.0, 2.0]
    mean, low, high = interval(values, weights)
    assert mean == statistics.fmean([1] + [0] * 3 + [1, 0] + [1, 0])
    off = [w * (v - 3 / 8) for v, w in zip(values, weights, strict=True)]
    half = t975(3) * (4 / 3 * sum(x * x for x in off)) ** 0.5 / 8
    assert (low, high) == pytest.approx((3 / 8 - half, 3 / 8 + half))
    assert interval(values, [5.0] * 4) == pytest.approx(interval(values))


def test_a_share_ends_at_0_and_1_and_few_values_have_no_interval() -> None:
    assert interval([0.0, 0.0, 0.0, 1.0], share=True).low == 0.0
    assert interval([1.0, 1.0, 1.0, 0.0], share=True).high == 1.0
    assert interval([0.0, 0.0, 0.0, 1.0]).low < 0.0  # type: ignore[operator]
    assert interval([0.25, 0.75, 0.5]) == (0.5, None, None)
    assert interval([]) == (None, None, None)


@pytest.mark.parametrize("weighted", [False, True])
def test_it_covers_the_truth_about_as_often_as_it_says(weighted: bool) -> None:
    """300 draws of 40 contexts; with weights, of as many as 9 questions each."""
    chance = np.random.default_rng(3)
    inside = 0
    for _ in range(300):
        weights = chance.integers(1, 10, 40) if weighted else np.ones(40, dtype=int)
        values = chance.binomial(weights, 0.3) / weights
        _, low, high = interval(values.tolist(), weights.tolist())
        inside += low <= 0.3 <= high  # type: ignore[operator]
    assert 0.92 <= inside / 300 <= 0.98


@pytest.mark.parametrize("n", [1, 3, 4, 60])
def test_queries_have_the_same_intervals(n: int) -> None:
    import duckdb

    chance = np.random.default_rng(n)
    values, weights = chance.random(n).tolist(), chance.integers(1, 9, n).tolist()
    with duckdb.connect() as connection:
        connection.execute((Path(index.__file__).parent / "macros.sql").read_text())
        connection.execute("CREATE TABLE t (x DOUBLE, w INT)")
        pairs = [*zip(values, weights, strict=True), (None, 7)]  # a null is no value
        connection.executemany("INSERT INTO t VALUES (?, ?)", pairs)
        query = "SELECT avg(x), mean_low(x), mean_high(x) FROM t"
        assert connection.execute(query).fetchone() == pytest.approx(tuple(interval(values)))
        query = "SELECT weighted(x, w), mean_low(x, w), mean_high(x, w) FROM t"
        found = connection.execute(query).fetchone()
        assert found == pytest.approx(tuple(interval(values, weights)))
