"""The report reward-agreement, by hand: rank correlation, choices, regret."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from stored import publish

from stages.records import Record, Reward, Status

# context -> (real reward, stand-in) of each self-edit
REWARDS: dict[str, list[tuple[float, float | None]]] = {
    # Ranks of the stand-in 1, 2.5, 2.5 against 1, 2, 3: 1.5 / sqrt(1.5 x 2) = .866. Of b and c the
    # earlier is chosen: .4; random .4, best .6.
    "one": [(0.2, 0.0), (0.4, 1.0), (0.6, 1.0)],
    # The other way round: -1; chosen 0, random .5, best 1.
    "two": [(1.0, 0.0), (0.0, 1.0)],
    # No order: no correlation; the first is chosen: .5, random .75, best 1.
    "three": [(0.5, 1.0), (1.0, 1.0)],
    # Nothing to choose between.
    "four": [(0.5, 1.0)],
    # Of two one has no stand-in.
    "five": [(0.5, 1.0), (1.0, None)],
}


def rows(stand_in: bool, **columns: Any) -> Sequence[Record]:
    found: list[Record] = []
    for context_id, pairs in REWARDS.items():
        for sample, pair in enumerate(pairs):
            value = pair[stand_in]
            status: Status = "failed" if value is None else "ok"
            fields: dict[str, Any] = {
                "self_edit_id": f"{context_id} {sample}", "context_id": context_id,
                "sample": sample, "policy": "p", "round": 0, "student": "p", "grader": "exact",
                "baseline_accuracy": 0.0, "adapted_accuracy": value, "adapted_std": 0.0,
                "gain": value, "reward": value, "n_repeats": 1, "n_questions": 5, "status": status,
                "reason": None,
            }  # fmt: skip
            found.append(Reward(**fields | columns))
    return found


def test_choices_and_ranks_are_as_by_hand(report: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    gold = publish(store, "score", "rewards", rows(False), name="gold")
    own = publish(store, "score", "rewards", rows(True, origin="self"), name="own")
    (row,) = report("reward-agreement")
    assert (row["artifact_id"], row["against"]) == (own.id, gold.id)
    assert (row["contexts"], row["self_edits"], row["ranked_contexts"]) == ("3", "7", "2")
    assert float(row["spearman"]) == round((1.5 / 3**0.5 - 1) / 2, 3)
    assert row["low"] == row["high"] == ""  # of two contexts
    assert [float(row[c]) for c in ("random", "chosen", "best")] == [0.55, 0.3, 0.867]
    assert (float(row["regret"]), float(row["random_regret"])) == (0.567, 0.317)
    assert float(row["recovered"]) == round((0.3 - 0.55) / (2.6 / 3 - 0.55), 3)


def test_pearson_is_taken_within_contexts(report: Any, tmp_path: Path) -> None:
    """Deviations: (-.2, 0, .2, .5, -.5, -.25, .25) and (-2/3, 1/3, 1/3, -.5, .5, 0, 0)."""
    store = tmp_path / "store"
    publish(store, "score", "rewards", rows(False), name="gold")
    publish(store, "score", "rewards", rows(True, origin="self"), name="own")
    (row,) = report("reward-agreement")
    product = 0.2 * 2 / 3 + 0.2 / 3 - 0.25 - 0.25
    squares = (0.04 * 2 + 0.25 * 2 + 0.0625 * 2) * (4 / 9 + 1 / 9 + 1 / 9 + 0.25 + 0.25)
    assert float(row["pearson_within"]) == round(product / squares**0.5, 3)


@pytest.mark.parametrize(
    ("stand_in", "found"),
    [
        ({"rule": "proxy", "adapted_accuracy": None, "gain": None, "student": "judge"}, 1),
        ({"origin": "self", "student": "another"}, 0),  # another student's rewards are no stand-in
        ({}, 0),  # gold questions again: another repeat, not a stand-in
    ],
)
def test_only_stand_ins_are_compared(
    report: Any, tmp_path: Path, stand_in: dict[str, Any], found: int
) -> None:
    store = tmp_path / "store"
    publish(store, "score", "rewards", rows(False), name="gold")
    publish(store, "score", "rewards", rows(True, **stand_in), name="other")
    assert len(report("reward-agreement")) == found
