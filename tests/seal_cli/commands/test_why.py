"""`seal why` as a user runs it: which artifact it explains, what it prints, what it refuses."""

import json
from typing import Any

import pytest
from stored import publish

from stages.records import Reward


def test_it_prints_answers_changes_lines_and_the_winner(seal: Any, scored: Any) -> None:
    out = seal("why", scored.edits["mixed"]).out
    for text in (
        "rank 2 of 4", "exact", "✗ in 1871", "✓ 1871", "✗ (empty)", "learned 1, emptied 1",
        "line 2", "the passage", "Its light is 31 m high.",
        "It was better on: When did the harbour open?",
    ):  # fmt: skip
        assert text in " ".join(out.split()), text
    assert "It won: no sibling earned more." in seal("why", scored.edits["good"]).out


def test_json_is_one_object_with_everything(seal: Any, scored: Any) -> None:
    (line,) = seal("why", "-", "--json", stdin=scored.edits["mixed"] + "\n").out.splitlines()
    found = json.loads(line)
    assert found["artifact_id"] == scored.rewards.id
    assert found["reward"]["reward"] == 0.5
    assert found["changes"] == {"learned": 2, "emptied": 1, "still wrong": 1}
    assert found["winner"]["self_edit"]["self_edit_id"] == scored.edits["good"]
    assert [q["cover"]["line"] for q in found["questions"]] == [2, None]


def test_the_newest_rewards_are_explained_unless_others_are_named(seal: Any, scored: Any) -> None:
    again = seal("regrade", scored.rewards.id, "--grader", "contained").id
    newest = json.loads(seal("why", scored.edits["bad"], "--json").out)
    assert (newest["artifact_id"], newest["reward"]["grader"]) == (again, "contained")
    assert newest["changes"] == {"lost": 1, "still wrong": 2, "emptied": 1}
    named = ["why", scored.edits["bad"], "--json", "--rewards", "@latest:score"]
    assert json.loads(seal(*named).out)["artifact_id"] == scored.rewards.id


def test_an_id_may_be_a_unique_prefix(seal: Any, scored: Any) -> None:
    wanted = scored.edits["mixed"]
    others = [edit for edit in scored.edits.values() if edit != wanted]
    n = next(n for n in range(1, 17) if not any(o.startswith(wanted[:n]) for o in others))
    assert json.loads(seal("why", wanted[:n], "--json").out)["self_edit"]["self_edit_id"] == wanted


@pytest.mark.parametrize(
    ("wanted", "code", "message"),
    [
        ("zzzz", 3, "no self-edit zzzz"),
        ("x' or 1", 2, "is not the id of a self-edit"),
        ("twin-", 2, "several self-edits begin with twin-"),
        ("twin-1", 3, "was never scored"),
    ],
)
def test_what_cannot_be_explained_is_said(
    seal: Any, scored: Any, wanted: str, code: int, message: str
) -> None:
    from dataclasses import replace

    from stages.records import SelfEdit

    (row, *_) = scored.self_edits.rows(SelfEdit)
    twins = [replace(row, self_edit_id=f"twin-{i}") for i in (1, 2)]
    publish(scored.root, "generate", "self_edits", twins, [scored.contexts], name="twins")
    result = seal("why", wanted)
    assert result.code == code
    assert message in result.err


def test_a_self_edit_that_is_not_in_the_named_rewards(seal: Any, scored: Any) -> None:
    (row, *_) = scored.rewards.rows(Reward)
    other = publish(scored.root, "import", "rewards", [row], [scored.self_edits], name="one")
    result = seal("why", scored.edits["bad"], "--rewards", other.id)
    assert result.code == 3
    assert f"has no reward in {other.id}" in result.err
    recorded = seal("why", scored.edits["good"], "--rewards", other.id).out
    assert "Its answers are not stored" in recorded


def test_model_text_cannot_speak_to_the_terminal(seal: Any, scored: Any) -> None:
    out = seal("why", scored.edits["broken"]).out
    assert "\x00" not in out
    assert "\\x00" in out
    assert "control characters in the text" in out
