"""Races replayed on recorded runs: choices and regret by hand."""

import pytest
from recorded import Policy, Recorded, choose, policies, replay

from stages.rewards.racing import Halving, contenders

# In this order of runs, `b` looks best at first and `a` is best in the end.
RUNS = {"a": [0.5, 1.0, 1.0], "b": [1.0, 0.0, 0.0], "c": [0.0, 0.0, 1.0], "d": [0.5, 0.0, 0.0]}


def halving(share: float) -> Policy:
    return Policy("halving", lambda runs, n: contenders(runs, n, Halving(share)))


def all_runs(at_most: int | None = None) -> Policy:
    return Policy("all", lambda runs, n: list(runs), at_most)


@pytest.mark.parametrize(
    ("policy", "chosen", "spent"),
    [
        (all_runs(), "a", 1.0),
        (all_runs(1), "b", 4 / 12),
        (all_runs(2), "a", 8 / 12),  # a .75, b .5
        (halving(0.5), "a", (4 + 2) / 12),  # b and a go on; after two runs a is left alone
        (halving(0.25), "b", 4 / 12),  # one is left at once
    ],
)
def test_a_choice_is_made_by_the_runs_given_out(policy: Policy, chosen: str, spent: float) -> None:
    assert choose(RUNS, 2, policy) == (chosen, pytest.approx(spent))


def test_who_was_dropped_can_still_be_chosen_by_its_mean() -> None:
    """As best-of-n would: it looks at rewards, not at who stayed longest."""
    runs = {"a": [0.8, 0.0], "b": [0.8, 0.1], "c": [0.7, 1.0]}
    assert choose(runs, 10, halving(0.5))[0] == "c"


def test_replaying_equal_runs_costs_nothing_and_saves_what_it_drops() -> None:
    certain = Recorded({"a": [1.0] * 3, "b": [0.5] * 3, "c": [0.0] * 3, "d": [0.0] * 3}, 2)
    results = {r.policy: r for r in replay([certain] * 2, resamples=3, seed=0)}
    assert all(r.regret == 0 and r.same_choice == 1 for r in results.values())
    assert results["all runs"].saved == 0
    assert results["1 for each"].saved == pytest.approx(2 / 3)
    assert results["halving 0.5"].saved == pytest.approx(1 - 6 / 12)
    assert results["halving 0.5"].held_out_saved == pytest.approx(1 - 6 / 8)
    assert results["2 for each"].held_out_saved is None  # it is "all runs" there
    assert {r.held_out_reward for r in results.values() if r.held_out_saved is not None} == {1.0}


def test_regret_is_what_the_choice_by_all_runs_has_more() -> None:
    # One run of b is 1.0 and beats a's steady .6 when it comes first (or ties do: a is earlier).
    lucky = Recorded({"a": [0.6, 0.6, 0.6], "b": [1.0, 0.0, 0.0]}, 5)
    result = {r.policy: r for r in replay([lucky], resamples=3000, seed=1)}["1 for each"]
    assert result.same_choice == pytest.approx(2 / 3, abs=0.03)
    assert result.regret == pytest.approx((1 - result.same_choice) * (0.6 - 1 / 3), abs=1e-9)
    # Held out: b was chosen by its 1.0, so what it earns then is 0.
    assert result.held_out_reward == pytest.approx(0.6 * 2 / 3, abs=0.03)
    assert (result.regret_low, result.regret_high) == (None, None)  # of one context


def test_the_same_seed_gives_the_same_curve() -> None:
    contexts = [Recorded(RUNS, 2), Recorded({k: v[::-1] for k, v in RUNS.items()}, 2)]
    first = list(replay(contexts, resamples=5, seed=3))
    assert first == list(replay(contexts, resamples=5, seed=3))
    assert first != list(replay(contexts, resamples=5, seed=4))


def test_with_two_runs_nothing_is_held_out() -> None:
    two = Recorded({"a": [0.5, 1.0], "b": [1.0, 0.0]}, 2)
    assert [policy.name for policy in policies(2)][:2] == ["all runs", "1 for each"]
    assert {r.held_out_reward for r in replay([two], resamples=2, seed=0)} == {None}
