"""The string metrics of SQuAD v1.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.grading import SCORES as GRADERS
from stages.grading.squad import contained, exact_match, normalise, token_f1

METRICS = [exact_match, contained, token_f1]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat, a dog & AN owl.", "cat dog owl"),
        ("theatre", "theatre"),
        ("U.S.", "us"),
        ("\tCafé\n", "café"),
        ("the", ""),
    ],
)
def test_normalising_is_the_squad_rule(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("gold", "answer", "exact", "within", "f1"),
    [
        ("1871", "1871", 1, 1, 1),
        ("The Quay", "quay.", 1, 1, 1),
        ("1871", "It opened in 1871.", 0, 1, 0.4),
        ("187", "1871", 0, 0, 0),
        ("old quay", "quay old", 0, 0, 1),
        ("old old quay", "old quay", 0, 0, 0.8),
        ("1871", "", 0, 0, 0),
        ("the", "the", 1, 0, 0),
    ],
)
def test_the_three_metrics_on_known_pairs(
    gold: str, answer: str, exact: float, within: float, f1: float
) -> None:
    scores = [metric("?", gold, answer) for metric in METRICS]
    assert scores == pytest.approx([exact, within, f1])


@given(st.text(), st.text())
def test_any_text_scores_between_zero_and_one(gold: str, answer: str) -> None:
    for metric in METRICS:
        assert 0 <= metric("?", gold, answer) <= 1
    if exact_match("?", gold, answer):
        assert token_f1("?", gold, answer) == float(bool(normalise(gold)))


@pytest.mark.parametrize("name", GRADERS)
def test_a_grader_takes_the_best_of_the_accepted_answers(name: str) -> None:
    judged = GRADERS[name].grade("When?", ("in May", "1871"), "1871")
    assert (judged.correct, judged.score, judged.reason) == (True, 1.0, None)
    assert GRADERS[name].grade("When?", ("in May",), "1871").correct is False


@pytest.mark.parametrize("name", GRADERS)
@pytest.mark.parametrize("answer", ["", "  \n"])
def test_an_empty_answer_is_wrong(name: str, answer: str) -> None:
    judged = GRADERS[name].grade("When?", ("1871",), answer)
    assert (judged.correct, judged.score) == (False, 0.0)
    assert judged.reason


def test_f1_counts_half_as_correct() -> None:
    grader = GRADERS["f1"]
    assert grader.grade("?", ("old quay wall",), "quay").correct is True  # 2*1/(3+1)
    assert grader.grade("?", ("old quay wall tower",), "quay").correct is False
