"""What racing would have saved and cost, replayed on rewards that have all their runs.

Trains and asks nobody. The runs of each self-edit are put in random order and given out one by one
as `stages.rewards.racing` would. Regret is measured twice: against the choice by all runs, which
flatters that choice (it is scored by the runs that made it), and on a run held out, which is fair
to all.
"""

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stages.interval import interval
from stages.rewards.racing import Bounds, Halving, Race, contenders

Runs = Mapping[str, Sequence[float]]  # self-edit -> accuracy of each run
Keep = Callable[[Runs, int], list[str]]  # runs so far, number of questions -> who runs again


@dataclass(frozen=True)
class Recorded:
    """One context: the runs of its self-edits in order of sample, all with as many."""

    runs: Runs
    n_questions: int


@dataclass(frozen=True)
class Policy:
    """A way of giving out runs."""

    name: str
    keep: Keep
    at_most: int | None = None  # runs for each, whoever is still in


@dataclass(frozen=True)
class Replayed:
    """One policy: shares of runs saved, and regret in accuracy with 95 % intervals over contexts.

    `regret` is against the choice by all runs, `held_out_*` of choosing by all runs but one: what
    the chosen self-edit earned in the run left out, and how much less that is than without racing.
    The latter are null where there are only two runs and one is needed to choose.
    """

    policy: str
    saved: float
    same_choice: float
    regret: float
    regret_low: float | None
    regret_high: float | None
    held_out_saved: float | None
    held_out_reward: float | None
    held_out_regret: float | None
    held_out_low: float | None
    held_out_high: float | None


def policies(n_runs: int) -> Iterator[Policy]:
    """All runs, fewer for everybody, halving of two strengths, bounds of several."""

    def everybody(runs: Runs, n_questions: int) -> list[str]:
        return list(runs)

    def raced(racing: Race) -> Keep:
        return lambda runs, n_questions: contenders(runs, n_questions, racing)

    yield Policy("all runs", everybody)
    for number in range(n_runs - 1, 0, -1):
        yield Policy(f"{number} for each", everybody, number)
    for share in (0.5, 0.4):
        yield Policy(f"halving {share}", raced(Halving(share)))
    for confidence in (0.3, 0.5, 0.68, 0.8, 0.9, 0.95):
        yield Policy(f"bounds {confidence}", raced(Bounds(confidence)))


def replay(contexts: Sequence[Recorded], *, resamples: int, seed: int) -> Iterator[Replayed]:
    """Every policy on the same `resamples` random orders of each context's runs."""
    n_runs = len(next(iter(contexts[0].runs.values())))
    chance = random.Random(seed)
    orders = [
        [
            {name: chance.sample(list(found), n_runs) for name, found in one.runs.items()}
            for _ in range(resamples)
        ]
        for one in contexts
    ]
    whole = Policy("all runs", lambda runs, _: list(runs))
    fair = [_held_out(one, drawn, whole) for one, drawn in zip(contexts, orders, strict=True)]
    for policy in policies(n_runs):
        pairs = list(zip(contexts, orders, strict=True))
        yield _replayed(policy, pairs, fair, n_runs)


@dataclass(frozen=True)
class _Outcome:
    """One context under one policy, means over the orders of its runs."""

    spent: float  # share of the runs
    earned: float
    same: float = 0.0


def _replayed(
    policy: Policy,
    pairs: Sequence[tuple[Recorded, Sequence[Runs]]],
    fair: Sequence[_Outcome],
    n_runs: int,
) -> Replayed:
    found = [_in_hindsight(one, drawn, policy) for one, drawn in pairs]
    best = [max(map(statistics.fmean, one.runs.values())) for one, _ in pairs]
    losses = [top - outcome.earned for top, outcome in zip(best, found, strict=True)]
    regret = interval(losses)
    # One run is held out: a policy that gives everybody all of the others is "all runs" there.
    comparable = n_runs > 2 and (policy.at_most is None or policy.at_most < n_runs - 1)
    held = [_held_out(one, drawn, policy) for one, drawn in pairs] if comparable else []
    less = [all_.earned - raced.earned for all_, raced in zip(fair, held, strict=False)]
    behind = interval(less)
    return Replayed(
        policy=policy.name,
        saved=1 - _weighted(pairs, found),
        same_choice=statistics.fmean(outcome.same for outcome in found),
        regret=float(regret.mean or 0.0),
        regret_low=regret.low,
        regret_high=regret.high,
        held_out_saved=1 - _weighted(pairs, held) if held else None,
        held_out_reward=statistics.fmean(o.earned for o in held) if held else None,
        held_out_regret=behind.mean,
        held_out_low=behind.low,
        held_out_high=behind.high,
    )


def _weighted(pairs: Sequence[tuple[Recorded, object]], found: Sequence[_Outcome]) -> float:
    """The share of all runs that were spent: a context counts by its self-edits."""
    sizes = [len(one.runs) for one, _ in pairs]
    spent = sum(size * outcome.spent for size, outcome in zip(sizes, found, strict=True))
    return spent / sum(sizes)


def _in_hindsight(one: Recorded, drawn: Sequence[Runs], policy: Policy) -> _Outcome:
    """The chosen self-edit by the mean of all its runs, those it did not get included."""
    means = {name: statistics.fmean(found) for name, found in one.runs.items()}
    best = _best(one.runs)
    chosen = [choose(order, one.n_questions, policy) for order in drawn]
    return _Outcome(
        statistics.fmean(spent for _, spent in chosen),
        statistics.fmean(means[name] for name, _ in chosen),
        statistics.fmean(name == best for name, _ in chosen),
    )


def _held_out(one: Recorded, drawn: Sequence[Runs], policy: Policy) -> _Outcome:
    """The chosen self-edit by the last run of each order, which nobody has seen."""
    chosen = [
        choose({name: found[:-1] for name, found in order.items()}, one.n_questions, policy)
        for order in drawn
    ]
    return _Outcome(
        statistics.fmean(spent for _, spent in chosen),
        statistics.fmean(order[name][-1] for (name, _), order in zip(chosen, drawn, strict=True)),
    )


def choose(runs: Runs, n_questions: int, policy: Policy) -> tuple[str, float]:
    """The best self-edit by the runs that a policy gives out in this order, and their share.

    By the mean of the runs that each had, the earliest of several: what best-of-n does with them.
    """
    n_runs = len(next(iter(runs.values())))
    limit = min(policy.at_most or n_runs, n_runs)
    given: dict[str, list[float]] = {name: [] for name in runs}
    running = list(runs)
    for turn in range(limit):
        for name in running:
            given[name].append(runs[name][turn])
        if turn + 1 < limit:
            running = policy.keep({name: given[name] for name in running}, n_questions)
        if not running:
            break
    return _best(given), sum(map(len, given.values())) / (n_runs * len(runs))


def _best(runs: Runs) -> str:
    means = {name: statistics.fmean(found) for name, found in runs.items()}
    return max(means, key=lambda name: means[name])  # the first of several
