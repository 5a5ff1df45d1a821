"""What a self-edit changed: answer by answer, against its siblings, and which line could do it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stages.domains import knowledge
from stages.records import Answer, Context, Question, Reward, SelfEdit, Verdict
from stages.why import Why, why

Given = tuple[str, bool | None]  # a text and its verdict


class Told:
    """Collects answers and verdicts to the questions of one context."""

    def __init__(self, asked: Sequence[Question]) -> None:
        self.asked, self.answers, self.verdicts = asked, [], []  # type: ignore[var-annotated]

    def add(self, edit: str | None, given: Sequence[Given], repeat: int = 0) -> None:
        method = "self-edits" if edit else "unadapted"
        for question, (text, correct) in zip(self.asked, given, strict=False):
            name = f"{len(self.answers)}"
            context_id = question.context_id
            self.answers.append(
                Answer(
                    name, context_id, question.question_id, "s", edit, edit, method, repeat, text, 1
                )
            )
            self.verdicts.append(Verdict(name, context_id, "offline-2", correct, None, None))


@pytest.fixture
def told(world: list[tuple[Context, list[Question]]]) -> Told:
    return Told(world[0][1])


@pytest.fixture
def explain(
    world: list[tuple[Context, list[Question]]],
    told: Told,
    edit: Callable[..., SelfEdit],
    reward: Callable[..., Reward],
) -> Callable[..., Why]:
    """`explain(texts, earned, which)`: of self-edits e0, e1, … by their rewards."""
    context, asked = world[0]

    def go(texts: Sequence[str], earned: Sequence[float | None], which: int = 0) -> Why:
        edits = {
            f"e{i}": edit(context, text, sample=i, self_edit_id=f"e{i}")
            for i, text in enumerate(texts)
        }
        rows = [
            reward(f"e{i}", value, context_id=context.context_id) for i, value in enumerate(earned)
        ]
        elsewhere = reward("x9", 1.0)  # of another context: no sibling
        return why(
            rows[which],
            rewards=[*rows, elsewhere],
            self_edits=edits,
            context=context,
            questions=asked,
            answers=told.answers,
            verdicts=told.verdicts,
            domain=knowledge,
        )

    return go


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (("1902", False), ("1871", True), "learned"),
        (("1871", True), ("1902", False), "lost"),
        (("1871", True), ("1871", True), "kept right"),
        (("1902", False), ("1999", False), "still wrong"),
        (("1902", False), (" ", False), "emptied"),
        (("1871", True), ("", False), "emptied"),
        (("", False), ("", False), "still wrong"),
        (("1902", None), ("1871", True), "not judged"),
        (("1871", True), ("1902", None), "not judged"),
    ],
)
def test_every_answer_has_its_change(
    explain: Any, told: Told, before: Given, after: Given, change: str
) -> None:
    told.add(None, [before])
    told.add("e0", [after])
    found = explain(["It is old."], [0.5])
    (asked,) = found.questions  # the second was not asked
    assert asked.golds == ("1871",)
    assert [(row.text, row.change) for row in asked.after] == [(after[0], change)]
    assert [(row.text, row.correct) for row in asked.before] == [before]
    assert asked.changes == found.changes == {change: 1}


def test_repeats_are_counted(explain: Any, told: Told) -> None:
    told.add(None, [("no", False), ("31 m", True)])
    for repeat, first in enumerate(["1871", "1871", ""]):
        told.add("e0", [(first, bool(first)), ("31 m", True)], repeat)
    found = explain(["It is old."], [0.8])
    assert [asked.changes for asked in found.questions] == [
        {"learned": 2, "emptied": 1},
        {"kept right": 3},
    ]
    assert found.changes == {"learned": 2, "emptied": 1, "kept right": 3}


def test_of_several_unadapted_answers_the_majority_counts(explain: Any, told: Told) -> None:
    for correct in (True, True, False):
        told.add(None, [("1871" if correct else "no", correct)])
    told.add("e0", [("1871", True)])
    (asked,) = explain(["It is old."], [1.0]).questions
    assert asked.changes == {"kept right": 1}


def test_the_line_that_covers_the_gold_is_named(explain: Any, told: Told) -> None:
    told.add(None, [("no", False)] * 2)
    first, second = explain(["It is old.\nIn 1871 it opened."], [0.5]).questions
    assert (first.cover.source, first.cover.line, first.cover.text) == (
        "self-edit", 2, "In 1871 it opened."
    )  # fmt: skip
    assert first.cover.covers
    # "31 m" stands in no line, but the passage is always trained on.
    assert (second.cover.source, second.cover.line, second.cover.covers) == ("passage", None, True)


def test_what_has_only_some_of_the_words_came_closest_and_does_not_cover(
    explain: Any, told: Told, world: list[tuple[Context, list[Question]]]
) -> None:
    context, _ = world[0]
    question = Question("q", context.context_id, 0, "Who built it?", ("Isambard Kingdom Brunel",))
    told.asked = [question]
    told.add(None, [("no", False)])

    def cover(text: str) -> Any:
        return why(
            explain([text], [0.5]).reward,
            rewards=[explain([text], [0.5]).reward],
            self_edits={"e0": explain([text], [0.5]).self_edit},
            context=context,
            questions=[question],
            answers=told.answers,
            verdicts=told.verdicts,
            domain=knowledge,
        ).questions[0].cover  # fmt: skip

    assert cover("Nobody knows.") is None
    part = cover("Somebody.\nThere was once a man of the name of Kingdom.")
    assert (part.line, part.covers) == (2, False)
    assert part.recall == pytest.approx(1 / 3)


def test_an_invalid_self_edit_has_no_lines(explain: Any, told: Told) -> None:
    told.add(None, [("no", False)])
    (asked,) = explain(["In 1871\x00"], [0.0]).questions
    assert asked.cover.source == "passage"
    assert asked.after == ()


def test_the_winner_is_that_of_the_default_rule_and_where_it_was_better(
    explain: Any, told: Told
) -> None:
    told.add(None, [("no", False)] * 2)
    told.add("e1", [("1871", True), ("no", False)])
    told.add("e2", [("1871", True), ("31 m", True)])
    earned = [None, 0.5, 1.0, 1.0]
    texts = ["a", "b", "c", "d"]
    second = explain(texts, earned, which=1)
    assert (second.rank, second.n_siblings) == (3, 4)
    assert second.winner.self_edit.completion == "c"  # the earliest of two that earned the same
    assert second.winner.reward.reward == 1.0
    assert second.winner.better_on == (told.asked[1].question_id,)
    first = explain(texts, earned, which=2)
    assert (first.rank, first.winner) == (1, None)
    failed = explain(texts, earned, which=0)
    assert failed.rank == 4
    assert set(failed.winner.better_on) == {q.question_id for q in told.asked}


def test_an_invalid_self_edit_ranks_behind_whatever_its_floor(
    explain: Any, reward: Callable[..., Reward], world: list[tuple[Context, list[Question]]]
) -> None:
    context, asked = world[0]
    ok = explain(["a", "b"], [0.1, 0.9])
    floor = reward("e1", 0.5, context_id=context.context_id, status="invalid")
    found = why(
        ok.reward,
        rewards=[ok.reward, floor],
        self_edits={"e0": ok.self_edit},
        context=context,
        questions=asked,
        answers=[],
        verdicts=[],
        domain=knowledge,
    )
    assert (found.rank, found.winner) == (1, None)


def test_an_answer_of_the_passage_alone_is_not_the_unadapted_one(explain: Any, told: Told) -> None:
    told.add(None, [("no", False)])
    told.add(None, [("1871", True)])
    told.answers[1] = replace(told.answers[1], method="passage-only")
    told.add("e0", [("1871", True)])
    (asked,) = explain(["It is old."], [1.0]).questions
    assert [row.text for row in asked.before] == ["no"]


def test_without_answers_there_is_still_a_rank(explain: Any) -> None:
    found = explain(["a", "b"], [0.1, 0.9])
    assert (found.rank, found.questions, found.changes) == (2, (), {})
    assert found.winner.better_on == ()
