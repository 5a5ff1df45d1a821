"""The rubric's judge: numbers read strictly, and no reward where there are none."""

from collections.abc import Callable
from typing import Any

import pytest

from stages.engines import Request
from stages.engines.scripted import ScriptedEngine
from stages.errors import RowFailure
from stages.records import Context, Rating, Reward, SelfEdit
from stages.rewards.proxy import RUBRIC, Judge, points, proxy

GOOD = {"length": 4, "diversity": 3, "quality": 5, "correctness": 1}


@pytest.mark.parametrize(
    "text",
    [
        "length: 4\ndiversity: 3\nquality: 5\ncorrectness: 1",
        " 4\ndiversity: 3\nquality: 5\ncorrectness: 1\n\nNotes:",  # goes on from the prompt
        "Correctness: 1\n**Quality**: 5/5\n- diversity = 3\n* Length: 4.",
        "My judgement:\nlength: 4\ndiversity: 3\nquality: 5\ncorrectness: 1\nThe notes are good.",
    ],
)
def test_numbers_are_read(text: str) -> None:
    assert points(text) == GOOD


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no number for length, diversity, quality, correctness"),
        ("length: 4\ndiversity: 3\nquality: 5", "no number for correctness"),
        ("length: 6\ndiversity: 3\nquality: 5\ncorrectness: 1", "length 6: not from 1 to 5"),
        ("length: 0\ndiversity: 3\nquality: 5\ncorrectness: 1", "length 0"),
        ("length: 4.5\ndiversity: 3\nquality: 5\ncorrectness: 1", "no number for length"),
        ("length: 4 or 5\ndiversity: 3\nquality: 5\ncorrectness: 1", "no number for length"),
        ("length: 4\nlength: 5\ndiversity: 3\nquality: 5\ncorrectness: 1", "length twice"),
        ("length: four\ndiversity: 3\nquality: 5\ncorrectness: 1", "no number for length"),
    ],
)
def test_anything_else_is_no_judgement(text: str, reason: str) -> None:
    with pytest.raises(RowFailure, match=reason):
        points(text)


@pytest.fixture
def run(contexts: dict[str, Context]) -> Callable[..., list[Any]]:
    def go(edits: list[SelfEdit], script: Callable[[Request], str]) -> list[Any]:
        judge = Judge("judge", ScriptedEngine(script))
        return list(
            proxy(
                edits,
                contexts=contexts,
                judge=judge,
                rubric=RUBRIC.read_text(),
                floor=-1.0,
                max_tokens=50,
            )
        )

    return go


def judgement(request: Request) -> str:
    if "Vik" in request.prompt:
        raise RowFailure("the server is down")
    assert request.temperature == 0
    assert request.prompt.endswith("\nlength:")
    assert "Passage: The harbour of Ost" in request.prompt
    if "rubbish" in request.prompt:
        return "I would not say."
    return "4\ndiversity: 3\nquality: 5\ncorrectness: 1"


def test_the_reward_is_the_sum_of_the_points_and_no_accuracy(
    run: Any, contexts: dict[str, Context], edit: Callable[..., SelfEdit]
) -> None:
    ost, vik = contexts.values()
    edits = [
        edit(ost, "It is {old}."),
        edit(ost, "rubbish", sample=1),
        edit(ost, "", sample=2, status="invalid", reason="no text to train on"),
        edit(vik, "It is high."),
    ]
    rows = run(edits, judgement)
    rewards = [row for row in rows if isinstance(row, Reward)]
    assert [(r.reward, r.status) for r in rewards] == [
        (13.0, "ok"), (None, "failed"), (-1.0, "invalid"), (None, "failed"),
    ]  # fmt: skip
    assert [r.reason for r in rewards[1:]] == [
        "the judge gave no number for length, diversity, quality, correctness",
        "no text to train on",
        "the server is down",
    ]
    for reward in rewards:
        assert (reward.adapted_accuracy, reward.gain, reward.n_repeats) == (None, None, 0)
        assert (reward.rule, reward.grader) == ("proxy", "rubric")
    ratings = [row for row in rows if isinstance(row, Rating)]
    assert len(ratings) == 3  # the invalid one was not judged
    assert (ratings[0].length, ratings[0].correctness, ratings[0].judge) == (4, 1, "judge")
    assert (ratings[1].length, ratings[1].text) == (None, "I would not say.")
