"""What examinations are worth by each rule, by hand."""

import pytest

from stages.exam import Outcome
from stages.rewards import BY_REGIME, REWARDS, reward_of
from stages.score import earned

RUNS = [Outcome(0.5), Outcome(1.0)]
RULES = [name for name, spec in REWARDS.items() if spec.rule is not None]


def test_float_noise_is_no_improvement() -> None:
    row = earned(Outcome(0.2), [Outcome(0.2)] * 3, floor=0.0, rule="improved")
    assert row["gain"] > 0  # the noise
    assert row["reward"] == 0


@pytest.mark.parametrize(
    ("rule", "baseline", "worth"),
    [
        ("accuracy", 0.25, 0.75),
        ("gain", 0.25, 0.5),
        ("gain", 1.0, -0.25),
        ("improved", 0.5, 1.0),
        ("improved", 0.75, 0.0),  # as good is not better
        ("solved", 0.0, 0.5),  # one of the two repeats got everything right
    ],
)
def test_a_rule_makes_the_reward_and_nothing_else(rule: str, baseline: float, worth: float) -> None:
    row = earned(Outcome(baseline), RUNS, floor=0.0, rule=rule)
    assert row["reward"] == worth
    assert (row["adapted_accuracy"], row["gain"]) == (0.75, 0.75 - baseline)
    assert (row["status"], row["n_repeats"]) == ("ok", 2)


@pytest.mark.parametrize("rule", RULES)
def test_what_failed_earns_nothing_and_what_was_invalid_the_floor(rule: str) -> None:
    failed = [Outcome(1.0), Outcome(None, "failed", "out of memory")]
    row = earned(Outcome(0.0), failed, floor=-1.0, rule=rule)
    assert (row["reward"], row["status"], row["reason"]) == (None, "failed", "out of memory")
    row = earned(Outcome(0.0), [Outcome(None, "invalid", "no text")], floor=-1.0, rule=rule)
    assert (row["reward"], row["status"]) == (-1.0, "invalid")


@pytest.mark.parametrize("rule", RULES)
def test_a_baseline_that_is_not_known_fails_what_needs_it(rule: str) -> None:
    row = earned(Outcome(None), RUNS, floor=0.0, rule=rule)
    assert (row["reward"], row["status"]) == (
        (0.75, "ok") if rule == "accuracy" else (None, "failed")
    )


def test_every_choice_is_a_reward() -> None:
    for choice in (*REWARDS, *BY_REGIME):
        assert {reward_of(choice, "single").name, reward_of(choice, "fewshot").name} <= set(REWARDS)
    assert reward_of("binary", "single").name == "improved"
    assert reward_of("binary", "fewshot").name == "solved"
    assert set(REWARDS) - set(RULES) == {"proxy"}
