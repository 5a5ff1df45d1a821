"""Means and their 95 % intervals, the same for metrics, reports and queries.

An interval is Student's t over contexts (or sequences of edits, where those are averaged): what is
uncertain is which contexts were drawn. A mean over questions weighs contexts by their questions; it
is a ratio of two sums, and its error that of a ratio (Cochran, Sampling Techniques, chapter 6). The
macros of `seal_cli/store/macros.sql` are the same formulas for any query.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

LEAST = 4  # values; fewer give no interval


class Interval(NamedTuple):
    """A mean and the bounds of its interval; null where there are too few values for them."""

    mean: float | None
    low: float | None
    high: float | None


def interval(
    values: Sequence[float], weights: Sequence[float] | None = None, *, share: bool = False
) -> Interval:
    """The mean of `values`, weighted where `weights` are given; a share ends at 0 and 1.

    Of n values with sums of weights w and of weighted values h = x w the variance of the mean
    m = sum h / sum w is n / (n - 1) * sum (h - m w)^2 / (sum w)^2.
    """
    n = len(values)
    if n == 0:
        return Interval(None, None, None)
    weighed = [1.0] * n if weights is None else weights
    hits = [value * weight for value, weight in zip(values, weighed, strict=True)]
    mean = math.fsum(hits) / math.fsum(weighed)
    if n < LEAST:
        return Interval(mean, None, None)
    off = [hit - mean * weight for hit, weight in zip(hits, weighed, strict=True)]
    error = math.sqrt(n / (n - 1) * math.fsum(x * x for x in off)) / math.fsum(weighed)
    half = t975(n - 1) * error
    bounds = (0.0, 1.0) if share else (-math.inf, math.inf)
    return Interval(mean, max(bounds[0], mean - half), min(bounds[1], mean + half))


def t975(df: int) -> float:
    """Student's t, quantile 0.975, from 3 degrees of freedom on: within 1 % of the exact one.

    The Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5).
    """
    terms = (1.959964, 2.372271, 2.822497, 2.555850, 1.589534)
    return math.fsum(term / df**power for power, term in enumerate(terms))
